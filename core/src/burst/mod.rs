//! The frames of one burst: gathering, gaps, digest, repair.
//!
//! A burst is first a local numbered log, and live sending an optimisation on top. So whoever holds its frames, in whatever
//! order they came, must be able to say what is missing, and to prove at the end that nothing is:
//!
//! - [`Frames`] is the bounded store that all three sides share: the first bytes under a number stay.
//! - [`Recording`] is the sender's side: frames are pushed from key-down on, sent from the first one at the grant, and sealed
//!   at key-up by the last number and the digest over all frames.
//! - [`Assembly`] is the server's side: it takes frames from the burst's owner only, live or as repair, compares with what the
//!   sender stated at key-up, and says which events of the burst the room's log must get, each exactly once.
//!
//! ```text
//!             burst.end, frames missing             the last missing frame
//!   ┌──────┐   append burst.committed    ┌───────┐  append burst.completed  ┌──────────┐
//!   │ Live │ ──────────────────────────► │ Ended │ ───────────────────────► │ Complete │
//!   └──────┘                             └───────┘                          └──────────┘
//!      │  │   burst.end, nothing missing: append burst.committed               ▲   ▲
//!      │  └────────────────────────────────────────────────────────────────────┘   │
//!      │                                     ▲                                     │
//!      │ the link died:                      │ burst.end, frames missing           │ burst.end, nothing missing:
//!      │ append burst.interrupted            │                                     │ append burst.completed
//!      │                              ┌─────────────┐                              │
//!      └────────────────────────────► │ Interrupted │ ─────────────────────────────┘
//!                                     └─────────────┘
//! ```
//!
//! A listener holds [`Frames`]: it plays the live edge ([`Frames::late_entry`]) and fetches [`Frames::missing`] afterwards.

mod assembly;
mod frames;
mod recording;
#[cfg(test)]
mod tests;

pub use assembly::{Assembly, EndRefused, FrameRefused, Phase, Status};
pub use frames::{Frames, Inserted, OutOfBounds};
pub use recording::{PushRefused, Recording, RestoreError};
