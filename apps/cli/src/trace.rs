//! Watches sound on its way, for `--frames`: when each frame was captured or heard.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use holler_client::sound::{Plays, Recorded, Sound, ToPlay};
use holler_core::engine::Pull;
use holler_core::model::BurstHeader;
use holler_core::units::{BurstId, FrameNo, Mono};
use tokio::sync::mpsc::{Receiver, Sender, channel};

/// Traces that may wait to be printed; beyond them some are left out, for sound must not wait.
const WAITING_MAX: usize = 4_096;

/// Something about sound.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Trace {
    /// A frame was captured.
    Captured { number: FrameNo, captured_at: Mono },
    /// A frame was, or is about to be, heard.
    Heard { burst: BurstId, number: FrameNo, heard_at: Mono, how: &'static str },
    /// A burst was played to its end; its sink is being closed.
    Over { burst: BurstId },
}

/// A sound port that tells what passes through another.
pub(crate) struct Traced<S> {
    inner: S,
    tell: Sender<Trace>,
}

impl<S: Sound> Traced<S> {
    pub(crate) fn new(inner: S) -> (Self, Receiver<Trace>) {
        let (tell, traces) = channel(WAITING_MAX);
        (Self { inner, tell }, traces)
    }
}

impl<S: Sound> Sound for Traced<S> {
    fn start_capture(&mut self, header: &BurstHeader, to: Arc<dyn Recorded>) {
        let tell = self.tell.clone();
        let recording = Recording { to, tell, frames: AtomicU16::new(0) };
        self.inner.start_capture(header, Arc::new(recording));
    }

    fn stop_capture(&mut self, burst: BurstId) {
        self.inner.stop_capture(burst);
    }

    fn start_playback(&mut self, what: &ToPlay, from: Arc<dyn Plays>) {
        let playing = Playing { from, tell: self.tell.clone(), burst: what.burst, pulled: Mutex::default() };
        self.inner.start_playback(what, Arc::new(playing));
    }

    fn wake(&mut self) {
        self.inner.wake();
    }

    fn stop_playback(&mut self, burst: BurstId) {
        self.inner.stop_playback(burst);
        let _ = self.tell.try_send(Trace::Over { burst });
    }
}

struct Recording {
    to: Arc<dyn Recorded>,
    tell: Sender<Trace>,
    frames: AtomicU16,
}

impl Recorded for Recording {
    fn frame(&self, captured_at: Mono, payload: bytes::Bytes) {
        let number = FrameNo(self.frames.fetch_add(1, Ordering::Relaxed).saturating_add(1));
        self.to.frame(captured_at, payload);
        let _ = self.tell.try_send(Trace::Captured { number, captured_at });
    }

    fn ended(&self, fault: Option<String>) {
        self.to.ended(fault);
    }
}

struct Playing {
    from: Arc<dyn Plays>,
    tell: Sender<Trace>,
    burst: BurstId,
    /// How the frames came that were pulled and not yet reported as played.
    pulled: Mutex<BTreeMap<FrameNo, &'static str>>,
}

impl Playing {
    fn pulled(&self) -> std::sync::MutexGuard<'_, BTreeMap<FrameNo, &'static str>> {
        self.pulled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Plays for Playing {
    fn pull(&self) -> Pull {
        let pull = self.from.pull();
        match &pull {
            Pull::Frame { number, .. } => drop(self.pulled().insert(*number, "whole")),
            Pull::Recover { lost, .. } => drop(self.pulled().insert(*lost, "recovered")),
            Pull::Conceal { lost } => drop(self.pulled().insert(*lost, "concealed")),
            Pull::End => drop(self.tell.try_send(Trace::Over { burst: self.burst })),
            Pull::Wait { .. } | Pull::Bridge => {}
        }
        pull
    }

    fn played(&self, number: FrameNo, heard_at: Mono) {
        self.from.played(number, heard_at);
        let how = self.pulled().remove(&number).unwrap_or("concealed");
        let _ = self.tell.try_send(Trace::Heard { burst: self.burst, number, heard_at, how });
    }

    fn failed(&self, fault: String) {
        self.from.failed(fault);
        let _ = self.tell.try_send(Trace::Over { burst: self.burst });
    }
}
