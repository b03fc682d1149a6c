//! What the program around a client chooses.

use holler_core::model::Priority;
use holler_core::units::{Bitrate, FrameMs};

/// How to talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Talk {
    /// With which weight to ask for the floor.
    pub priority: Priority,
    /// Whether to wait where the floor is taken.
    pub queue: bool,
    /// Where it is denied: whether the burst is delivered all the same, for listeners to play when they like.
    pub when_free: bool,
    /// The length of a frame.
    pub frame_ms: FrameMs,
    /// The encoder's target.
    pub bitrate: Bitrate,
}

impl Default for Talk {
    fn default() -> Self {
        Self {
            priority: Priority::Normal,
            queue: false,
            when_free: false,
            frame_ms: FrameMs::Ms20,
            bitrate: Bitrate(24_000),
        }
    }
}

/// How a client is to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Bursts of several rooms play at the same time.
    pub play_all: bool,
    /// A person hears what is played: of their devices of which that is so, the one that was used last plays.
    pub aloud: bool,
    /// Live voice goes over the socket only, never as datagrams.
    pub socket_only: bool,
}
