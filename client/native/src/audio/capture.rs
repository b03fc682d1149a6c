//! Records a burst: source, framer and encoder on a thread of their own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use holler_core::units::Mono;

use super::AudioError;
use super::framer::Framer;
use super::opus::{Encoder, EncoderSettings};
use super::source::{Heard, Source, SourceKind};
use crate::clock;

/// What a capture tells.
#[derive(Debug)]
pub enum Captured {
    /// A frame.
    Frame {
        /// When its first sample was captured.
        captured_at: Mono,
        /// The Opus packet: 1 to 1,275 bytes.
        packet: Bytes,
    },
    /// No more frames will come.
    Ended {
        /// Why, where it did not end as asked or at the end of its file.
        fault: Option<AudioError>,
    },
}

/// A running capture. Dropped, it stops.
#[derive(Debug)]
pub struct Capture {
    /// When to stop, µs of [`clock::now`]; 0: not yet.
    stop_at: Arc<AtomicU64>,
    thread: Option<JoinHandle<()>>,
}

impl Capture {
    /// Opens a source and records. `emit` is called on the capture's thread: with each frame as soon as it is spoken and encoded,
    /// at last once with [`Captured::Ended`].
    pub fn start(
        source: SourceKind,
        settings: EncoderSettings,
        mut emit: impl FnMut(Captured) + Send + 'static,
    ) -> Result<Self, AudioError> {
        let stop_at = Arc::new(AtomicU64::new(0));
        let stop = Arc::clone(&stop_at);
        let run = move || {
            let fault = source.open().and_then(|source| record(source, settings, &stop, &mut emit)).err();
            emit(Captured::Ended { fault });
        };
        let thread =
            std::thread::Builder::new().name("holler-capture".into()).spawn(run).map_err(AudioError::Thread)?;
        Ok(Self { stop_at, thread: Some(thread) })
    }

    /// Stops after what was captured until now. The remaining frames come, then [`Captured::Ended`].
    pub fn stop(&self) {
        let _ = self.stop_at.compare_exchange(0, clock::now().0.max(1), Ordering::AcqRel, Ordering::Acquire);
    }
}

impl Drop for Capture {
    fn drop(&mut self) {
        self.stop();
        // The thread ends within a block; nothing waits for it, so that a shell's task can drop a capture.
        drop(self.thread.take());
    }
}

fn record(
    mut source: Box<dyn Source>,
    settings: EncoderSettings,
    stop: &AtomicU64,
    emit: &mut impl FnMut(Captured),
) -> Result<(), AudioError> {
    let mut encoder = Encoder::new(settings)?;
    let mut framer = Framer::new(settings.frame);
    let mut encode = |framer: &mut Framer, encoder: &mut Encoder| {
        while let Some((captured_at, frame)) = framer.frame() {
            emit(Captured::Frame { captured_at, packet: encoder.encode(&frame)?.into() });
        }
        Ok::<(), AudioError>(())
    };
    loop {
        let stop_at = stop.load(Ordering::Acquire);
        match source.read()? {
            Heard::Sound { captured_at, .. } if stop_at != 0 && captured_at.0 >= stop_at => break,
            Heard::Sound { captured_at, sound } => framer.push(captured_at, &sound),
            Heard::Nothing if stop_at != 0 => break,
            Heard::Nothing => {}
            Heard::End => break,
        }
        encode(&mut framer, &mut encoder)?;
    }
    framer.finish(encoder.lookahead());
    encode(&mut framer, &mut encoder)
}
