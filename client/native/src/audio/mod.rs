//! Sound in and out: files, microphones and speakers, Opus between them and the engine.
//!
//! ```text
//! source ─▶ framer ─▶ opus::Encoder ─▶ engine ─▶ network
//! network ─▶ engine (jitter buffer) ─▶ opus::Decoder ─▶ Stretcher ─▶ sink
//! ```
//!
//! Inside, sound is one channel of `f32` between −1 and 1 at [`RATE_HZ`].

pub mod opus;

/// Samples per second of all sound inside.
pub const RATE_HZ: u32 = 48_000;
