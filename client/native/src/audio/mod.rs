//! Sound in and out: files, microphones and speakers, and Opus between them and the engine.
//!
//! ```text
//! source ─▶ framer ─▶ opus::Encoder ─▶ engine ─▶ network             one thread: capture
//! network ─▶ engine (jitter buffer) ─▶ opus::Decoder ─▶ Stretcher ─▶ sink   one thread: playback
//! ```
//!
//! Inside, sound is one channel of `f32` between −1 and 1 at [`RATE_HZ`]. Sound devices and pacing block, so that each running
//! [`capture`] and [`playback`] has a thread of its own; the async shell only starts, wakes and stops it.

pub mod capture;
pub mod devices;
pub mod framer;
pub mod opus;
pub mod playback;
pub mod render;
pub mod resample;
pub mod sink;
pub mod source;
pub mod wav;

use std::path::PathBuf;

/// Samples per second of all sound inside.
pub const RATE_HZ: u32 = 48_000;

/// The time that this many samples last, µs.
pub(crate) fn samples_us(samples: usize) -> u64 {
    u64::try_from(samples).unwrap_or(0) * 1_000_000 / u64::from(RATE_HZ)
}

/// Why there is no sound.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AudioError {
    /// A file can't be read or written.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// It is no WAV file, or one in a format that is not known here.
    #[error("{}: {detail}; give a WAV file with 8, 16, 24 or 32 bit, or 32 bit float samples", path.display())]
    Wav {
        /// Which.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// The sound system has no such device, or it failed.
    #[error("{what}: {detail}")]
    Device {
        /// Microphone or speaker.
        what: &'static str,
        /// Why.
        detail: String,
    },
    /// The codec refused.
    #[error(transparent)]
    Opus(#[from] opus::OpusError),
    /// No thread could be started.
    #[error("the system gives no thread for sound: {0}")]
    Thread(std::io::Error),
}
