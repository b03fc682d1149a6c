//! The seam between the engine and sound: what a sound port must do, and the one that uses [`crate::audio`].

use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use holler_core::engine::Pull;
use holler_core::model::BurstHeader;
use holler_core::units::{BurstId, FrameNo, Mono, RoomId, UserId};

use crate::audio::capture::{Capture, Captured};
use crate::audio::opus::EncoderSettings;
use crate::audio::playback::{Playback, Played, Pull as Sounds};
use crate::audio::sink::SinkKind;
use crate::audio::source::SourceKind;

/// Opus looks ahead by 6.5 ms at 48 kHz: a packet's sound is heard that much after its first sample.
const OPUS_LOOKAHEAD: Duration = Duration::from_micros(6_500);

/// What a recording burst gives. Called from the sound port's threads.
pub trait Recorded: Send + Sync + 'static {
    /// A frame, and when its first sample was captured.
    fn frame(&self, captured_at: Mono, payload: Bytes);
    /// No more will come; why, where it did not end as asked.
    fn ended(&self, fault: Option<String>);
}

/// What a playing burst asks for. Called from the sound port's threads.
pub trait Plays: Send + Sync + 'static {
    /// The next sound.
    fn pull(&self) -> Pull;
    /// When a frame's first sample is heard.
    fn played(&self, number: FrameNo, heard_at: Mono);
    /// The sink failed.
    fn failed(&self, fault: String);
}

/// A burst to be played.
#[derive(Clone, Copy, Debug)]
pub struct ToPlay {
    /// Which.
    pub burst: BurstId,
    /// In which room.
    pub room: RoomId,
    /// How it is coded.
    pub header: BurstHeader,
    /// Who speaks.
    pub user: UserId,
}

/// Records and plays. None of these may block.
pub trait Sound: Send + 'static {
    /// Begin to record.
    fn start_capture(&mut self, header: &BurstHeader, to: Arc<dyn Recorded>);
    /// Stop after what was said until now.
    fn stop_capture(&mut self, burst: BurstId);
    /// Begin to play.
    fn start_playback(&mut self, what: &ToPlay, from: Arc<dyn Plays>);
    /// A frame came: a playback that waits should ask.
    fn wake(&mut self);
    /// Stop playing at once.
    fn stop_playback(&mut self, burst: BurstId);
}

/// A client that only reads and writes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Sound for Silent {
    fn start_capture(&mut self, _: &BurstHeader, to: Arc<dyn Recorded>) {
        to.ended(Some("this client has no microphone".into()));
    }

    fn stop_capture(&mut self, _: BurstId) {}

    fn start_playback(&mut self, _: &ToPlay, _: Arc<dyn Plays>) {}

    fn wake(&mut self) {}

    fn stop_playback(&mut self, _: BurstId) {}
}

/// Records from a source and plays each burst into a sink of its own.
pub struct Audio<F> {
    source: SourceKind,
    sinks: F,
    captures: BTreeMap<BurstId, Capture>,
    /// With whether each is over: dropping one that is not would cut it off.
    playbacks: BTreeMap<BurstId, (Playback, Arc<AtomicBool>)>,
}

impl<F: FnMut(&ToPlay) -> SinkKind + Send + 'static> Audio<F> {
    /// Sound from `source`; `sinks` says into what each burst is played.
    pub fn new(source: SourceKind, sinks: F) -> Self {
        Self { source, sinks, captures: BTreeMap::new(), playbacks: BTreeMap::new() }
    }
}

impl<F: FnMut(&ToPlay) -> SinkKind + Send + 'static> Sound for Audio<F> {
    fn start_capture(&mut self, header: &BurstHeader, to: Arc<dyn Recorded>) {
        let settings =
            EncoderSettings { frame: header.frame_ms, bitrate: header.bitrate, ..EncoderSettings::default() };
        let heard = Arc::clone(&to);
        let emit = move |captured| match captured {
            Captured::Frame { captured_at, packet } => heard.frame(captured_at, packet),
            Captured::Ended { fault } => heard.ended(fault.map(|fault| fault.to_string())),
        };
        match Capture::start(self.source.clone(), settings, emit) {
            Ok(capture) => {
                self.captures.insert(header.burst, capture);
            }
            Err(error) => to.ended(Some(error.to_string())),
        }
    }

    fn stop_capture(&mut self, burst: BurstId) {
        if let Some(capture) = self.captures.remove(&burst) {
            capture.stop();
        }
    }

    fn start_playback(&mut self, what: &ToPlay, from: Arc<dyn Plays>) {
        let sink = (self.sinks)(what);
        let (pulled, told) = (Arc::clone(&from), Arc::clone(&from));
        let pull = move |_| match pulled.pull() {
            Pull::Wait { until } => Sounds::Wait { until },
            Pull::Frame { number, payload, stretch } => Sounds::Frame { number, packet: payload, advice: stretch },
            Pull::Recover { lost, back, later } => Sounds::Recover { lost, before: back, later },
            Pull::Conceal { lost } => Sounds::Conceal(lost),
            Pull::Bridge => Sounds::Bridge,
            Pull::End => Sounds::End,
        };
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let report = move |played| match played {
            Played::Frame { number, heard_at, .. } => told.played(number, heard_at + OPUS_LOOKAHEAD),
            Played::Ended { fault } => {
                ended.store(true, Ordering::Release);
                if let Some(fault) = fault {
                    told.failed(fault.to_string());
                }
            }
        };
        match Playback::start(sink, what.header.frame_ms, pull, report) {
            Ok(playback) => {
                self.playbacks.retain(|_, (_, over)| !over.load(Ordering::Acquire));
                self.playbacks.insert(what.burst, (playback, over));
            }
            Err(error) => from.failed(error.to_string()),
        }
    }

    fn wake(&mut self) {
        for (playback, _) in self.playbacks.values() {
            playback.wake();
        }
    }

    fn stop_playback(&mut self, burst: BurstId) {
        if let Some((playback, _)) = self.playbacks.remove(&burst) {
            playback.stop();
        }
    }
}
