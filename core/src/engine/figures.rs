//! What a shell counted of the burst that it records, or recorded last: at every stage as much, or it shows where it went.

use core::time::Duration;

use serde::{Deserialize, Serialize};

/// A burst that is recorded, or was recorded last, in figures. The engine does not count them: each stage is its shell's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpokenFigures {
    /// Samples that the microphone gave.
    pub samples: u64,
    /// Samples that it should have given meanwhile: the sound thread was not run for them.
    pub skipped: u64,
    /// Samples of nothing at all between samples of something: the system had none of the microphone.
    pub silent: u64,
    /// Frames that were given to the encoder.
    pub frames: u32,
    /// Packets that came out of it.
    pub packets: u32,
    /// Live frames that were given to the network.
    pub sent: u32,
    /// Live frames that grew too old for it, or were too many: they are repaired afterwards.
    pub stale: u32,
    /// From the air to the encoder: device and one frame.
    pub capture: Duration,
    /// In the encoder, the last packet.
    pub encode: Duration,
    /// In the queue to the network, the last live frame.
    pub queue: Duration,
    /// From the button to the first live frame that was given to the network.
    pub first_sent: Option<Duration>,
}
