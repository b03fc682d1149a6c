//! What is recorded: blocks of the sound thread go to an encoder, and its packets to the engine.
//!
//! The sound thread does not say to which burst a block belongs. So one burst records at a time: the next waits until the thread
//! gave the rest of the one before, which is a block and what it counted.

use core::cell::RefCell;
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use holler_core::engine::Input;
use holler_core::model::BurstHeader;
use holler_core::units::{BurstId, Mono};
use js_sys::Float32Array;
use wasm_bindgen::{JsCast as _, JsValue};

use super::clock;
use super::codec::{Encoder, words};
use super::sound::Sound;
use crate::message::Trial;

/// How long a press waits for the microphone before it has failed: the browser may be asking the person meanwhile.
const MICROPHONE_WAIT: Duration = Duration::from_secs(20);
/// How long the rest of a burst that was stopped keeps the next one waiting: the engine waits no longer for it.
const REST_WAIT: Duration = Duration::from_secs(1);

/// When a frame that the encoder has was captured, and when it was given to the encoder.
type Times = Rc<RefCell<VecDeque<(Mono, Mono)>>>;

pub(super) struct Capturing {
    burst: BurstId,
    pub(super) encoder: Encoder,
    times: Times,
    /// It is a trial: its packets stay here.
    trial: Option<Rc<RefCell<VecDeque<Bytes>>>>,
    stopping: bool,
    /// Frames that the encoder has.
    count: u16,
}

impl Capturing {
    pub(super) fn new(burst: BurstId, encoder: Encoder, trial: Option<Rc<RefCell<VecDeque<Bytes>>>>) -> Self {
        Self { burst, encoder, times: Times::default(), trial, stopping: false, count: 0 }
    }

    pub(super) fn burst(&self) -> BurstId {
        self.burst
    }

    pub(super) fn is_trial(&self) -> bool {
        self.trial.is_some()
    }
}

impl Sound {
    /// Begins to record. Where the page has no microphone yet, it is asking for it; the burst begins when it comes.
    pub(super) fn start_capture(&self, header: &BurstHeader) {
        let burst = header.burst;
        if self.capture.borrow().as_ref().is_some_and(|capturing| capturing.stopping) {
            self.next.replace(Some(*header));
            return self.rest.set(Some(REST_WAIT));
        }
        self.gauge.begin(burst);
        let times = Times::default();
        let (shell, taken) = (self.shell.clone(), Rc::clone(&times));
        let packet = move |payload| {
            let times = taken.borrow_mut().pop_front();
            if let (Some(shell), Some((captured_at, given_at))) = (shell.upgrade(), times) {
                shell.sound.gauge.packet(burst, clock::now().since(given_at));
                shell.input(Input::Captured { burst, captured_at, payload });
            }
        };
        let shell = self.shell.clone();
        let fault = move |detail: String| {
            if let Some(shell) = shell.upgrade() {
                shell.sound.capture_failed(burst, &format!("the browser can't encode: {detail}"));
            }
        };
        match Encoder::new(header, packet, fault) {
            Ok(encoder) => {
                self.end_trial();
                self.capture_with(Capturing { times, ..Capturing::new(burst, encoder, None) });
            }
            Err(error) => {
                let detail = format!("this browser has no Opus encoder (WebCodecs): {}", words(&error));
                self.input(Input::CaptureEnded { burst, fault: Some(detail) });
            }
        }
    }

    pub(super) fn capture_with(&self, capturing: Capturing) {
        let samples = capturing.encoder.samples();
        *self.capture.borrow_mut() = Some(capturing);
        self.too_late.set(Some(MICROPHONE_WAIT));
        self.record(samples);
    }

    /// A trial gives way to a burst.
    fn end_trial(&self) {
        self.trial.set(None);
        if self.capture.borrow_mut().take_if(|capturing| capturing.is_trial()).is_some() {
            self.tried(Trial::Over);
        }
    }

    pub(super) fn record(&self, samples: usize) {
        let message = js_sys::Object::new();
        if js_sys::Reflect::set(&message, &"record".into(), &samples.into()).is_ok() {
            self.tell(true, &message);
        }
    }

    /// The burst that waited for the one before begins.
    fn begin_next(&self) {
        self.rest.set(None);
        if let Some(header) = self.next.take() {
            self.start_capture(&header);
        }
    }

    /// The sound thread gave no rest of the burst before: that one is over.
    pub(super) fn rest_is_late(&self) {
        let late = self.capture.borrow_mut().take_if(|capturing| capturing.stopping);
        if late.is_some_and(|late| late.is_trial()) {
            self.tried(Trial::Over);
        }
        self.begin_next();
    }

    /// Stops after what was said until now.
    pub(super) fn stop_capture(&self, burst: BurstId) {
        if self.next.borrow_mut().take_if(|header| header.burst == burst).is_some() {
            return self.input(Input::CaptureEnded { burst, fault: Some("early".to_owned()) });
        }
        let known = self.capture.borrow_mut().as_mut().filter(|capturing| capturing.burst == burst).map(|capturing| {
            capturing.stopping = true;
        });
        if known.is_none() {
            return;
        }
        if self.ports.borrow().is_some() {
            self.tell(true, &"stop".into());
        } else {
            // The microphone never came.
            self.capture_failed(burst, "early");
        }
    }

    /// The page can't have the microphone. What is wrong with a recording is a name that the screens have words for, or, where
    /// nobody could do anything about it, what the browser says.
    pub(super) fn no_microphone(&self, detail: &str) {
        if let Some(header) = self.next.take() {
            self.input(Input::CaptureEnded { burst: header.burst, fault: Some(detail.to_owned()) });
        }
        let burst = self.capture.borrow().as_ref().map(|capturing| capturing.burst);
        if let Some(burst) = burst {
            self.capture_failed(burst, detail);
        }
    }

    pub(super) fn capture_failed(&self, burst: BurstId, detail: &str) {
        let failed = self.capture.borrow_mut().take_if(|capturing| capturing.burst == burst);
        if let Some(failed) = failed {
            self.too_late.set(None);
            self.tell(true, &"stop".into());
            if failed.is_trial() {
                self.tried(Trial::Over);
            } else {
                self.input(Input::CaptureEnded { burst, fault: Some(detail.to_owned()) });
            }
            self.begin_next();
        }
    }

    /// A block of the sound thread, or that none will follow.
    pub(super) fn captured(&self, data: JsValue) {
        let block = match data.dyn_into::<Float32Array>() {
            Ok(block) => block,
            Err(counts) => return self.captured_all(&counts),
        };
        let sound = block.to_vec();
        let spoken = Duration::from_micros(sound.len() as u64 * 1_000 / 48);
        let ago = u64::try_from((spoken + self.input_latency.get()).as_micros()).unwrap_or(0);
        let captured_at = Mono(clock::now().0.saturating_sub(ago));
        let failed = {
            let mut capturing = self.capture.borrow_mut();
            let Some(capturing) = capturing.as_mut() else { return };
            self.too_late.set(None);
            if !capturing.is_trial() {
                capturing.count = capturing.count.saturating_add(1);
                self.note_wave(capturing.burst, capturing.count, &sound);
                capturing.times.borrow_mut().push_back((captured_at, clock::now()));
                self.gauge.count(|spoken| {
                    spoken.frames += 1;
                    spoken.capture = Duration::from_micros(ago);
                });
            }
            capturing.encoder.encode(&sound).err().map(|error| (capturing.burst, words(&error)))
        };
        if let Some((burst, detail)) = failed {
            self.capture_failed(burst, &format!("the browser can't encode: {detail}"));
        }
        self.level(&sound);
    }

    fn captured_all(&self, counts: &JsValue) {
        let Some(capturing) = self.capture.borrow_mut().take_if(|capturing| capturing.stopping) else { return };
        self.too_late.set(None);
        if capturing.is_trial() && self.next.borrow().is_some() {
            // A trial gives way to a burst.
            self.tried(Trial::Over);
            return self.begin_next();
        }
        if !capturing.is_trial() {
            self.gauge.thread(counts);
            self.tell_wave(capturing.burst);
        }
        self.begin_next();
        self.encoding.set(self.encoding.get().saturating_add(1));
        let shell = self.shell.clone();
        wasm_bindgen_futures::spawn_local(async move {
            let fault = capturing.encoder.flush().await.err().map(|error| words(&error));
            let Some(shell) = shell.upgrade() else { return };
            shell.sound.encoding.set(shell.sound.encoding.get().saturating_sub(1));
            match &capturing.trial {
                Some(packets) => {
                    let packets = packets.take();
                    shell.sound.play_trial(capturing.burst, packets);
                }
                None => {
                    shell.input(Input::CaptureEnded { burst: capturing.burst, fault });
                    shell.sound.tell_quality();
                }
            }
        });
    }
}
