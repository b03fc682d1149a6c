//! A trial of the microphone: a few seconds are recorded, encoded, decoded and played, as others would hear them. Nothing leaves
//! this device.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use holler_core::model::{BurstHeader, Codec};
use holler_core::units::{Bitrate, BurstId, Epoch, FrameMs};

use super::capture::Capturing;
use super::clock;
use super::codec::{Encoder, words};
use super::replay::Replay;
use super::sound::{Past, Sound};
use crate::message::{ToPage, Trial};

/// How long it records: a sentence.
const RECORDED: Duration = Duration::from_secs(4);
/// As a burst is encoded.
const BITRATE: Bitrate = Bitrate(24_000);

impl Sound {
    /// Whether a burst is being recorded, to the last frame that the encoder gives, and not a trial.
    pub(super) fn is_recording(&self) -> bool {
        self.encoding.get() > 0
            || self.next.borrow().is_some()
            || self.capture.borrow().as_ref().is_some_and(|capturing| !capturing.is_trial())
    }

    /// Begins a trial, unless something is being recorded.
    pub(super) fn try_microphone(&self) {
        if self.capture.borrow().is_some() {
            return;
        }
        let burst = BurstId::from_bytes(clock::random());
        let (codec, key_epoch) = (Codec::Opus, Epoch(0));
        let header = BurstHeader { burst, codec, frame_ms: FrameMs::Ms20, bitrate: BITRATE, key_epoch };
        let packets: Rc<RefCell<VecDeque<Bytes>>> = Rc::default();
        let kept = Rc::clone(&packets);
        let shell = self.shell.clone();
        let fault = move |detail: String| {
            if let Some(shell) = shell.upgrade() {
                shell.sound.capture_failed(burst, &format!("the browser can't encode: {detail}"));
            }
        };
        match Encoder::new(&header, move |packet| kept.borrow_mut().push_back(packet), fault) {
            Ok(encoder) => {
                self.capture_with(Capturing::new(burst, encoder, Some(packets)));
                self.tried(Trial::Recording);
                self.trial.set(Some(RECORDED));
            }
            Err(error) => {
                let detail = format!("this browser has no Opus encoder (WebCodecs): {}", words(&error));
                if let Some(shell) = self.shell.upgrade() {
                    shell.tell(&ToPage::Fault { detail });
                }
            }
        }
    }

    /// It has recorded long enough.
    pub(super) fn trial_recorded(&self) {
        let trial = self.capture.borrow().as_ref().filter(|capturing| capturing.is_trial()).map(Capturing::burst);
        if let Some(burst) = trial {
            self.stop_capture(burst);
        }
    }

    /// Everything is encoded: plays it.
    pub(super) fn play_trial(&self, burst: BurstId, packets: VecDeque<Bytes>) {
        self.replay(Replay::new(Past::Trial, FrameMs::Ms20, packets.into(), 0, 100), burst);
    }

    pub(super) fn tried(&self, trial: Trial) {
        if let Some(shell) = self.shell.upgrade() {
            shell.tell(&ToPage::Trying(trial));
        }
    }
}
