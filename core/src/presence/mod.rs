//! Who is here: what is known of each person, for how long it counts, and since when.
//!
//! A state without an age is a lie in waiting: the phone that said "available" may lie in a river. So every device's state is
//! under a **lease** that only a sign of life renews. Once it ran out, the state is [`PresenceState::Unknown`], with the age of
//! the last sign, and never anything else; [`Presence::seen`] goes by the time that it is asked for, so that a shell whose timers
//! are late does not lie either.
//!
//! | a device | counts as |
//! |---|---|
//! | within its lease | what it said last; `available` until it says something |
//! | closed its socket, or lost it noticeably | as before for [`PRESENCE_GRACE`] (a reconnect does not flicker), then `offline` |
//! | was silent until its lease ran out | `unknown` |
//! | signed out, or revoked | `offline` at once |
//!
//! Of several devices the **strongest** state counts (busy, solo, available, away, offline, in this order): who said on one
//! of them that they are not to be disturbed is not, and who walked away from one is still there with the other. That rule needs
//! no clock and no order, so that any two servers that know of the same devices come to the same answer. Where no device is
//! within its lease, the one that went last counts.
//!
//! The machine's form is that of all: [`Presence::handle`], then [`Presence::poll_output`] until it gives nothing, then
//! [`Presence::poll_timeout`]. Signs of life need not be handed in as they come, which would be 50 a second for a talker: a
//! shell that keeps the time of the last one hands it in when a lease is about to run out ([`Presence::due`]), or is asked about.
//!
//! [`PRESENCE_GRACE`]: crate::wire::limits::PRESENCE_GRACE

mod machine;
#[cfg(test)]
mod tests;

use core::time::Duration;

pub use machine::Presence;

use crate::model::PresenceState;
use crate::units::{DeviceId, Mono, UserId};

/// How a device's socket ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was closed, by either side, or it broke: the device is gone, or comes back within the grace.
    Closed,
    /// Nothing came for too long: nobody knows.
    Silent,
    /// The device was signed out or revoked: it does not come back.
    SignedOut,
}

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A device signed in on a socket.
    Opened {
        /// Whose.
        user: UserId,
        /// The device.
        device: DeviceId,
        /// Numbers the sockets: of two of the same device the higher is the newer.
        connection: u64,
        /// What it says; `None`: what it said last if it is back within the grace, else available.
        state: Option<PresenceState>,
        /// How long that counts without another sign of life.
        lease: Duration,
    },
    /// A device says how its person is. [`PresenceState::Unknown`] is nothing that one can say, and ignored.
    Set {
        /// The device.
        device: DeviceId,
        /// Its socket.
        connection: u64,
        /// The state.
        state: PresenceState,
    },
    /// Something came from a device at `at`, which may be a while ago. Nothing once its lease was found to have run out.
    Heard {
        /// The device.
        device: DeviceId,
        /// Its socket.
        connection: u64,
        /// When.
        at: Mono,
        /// How long that counts, from `at`.
        lease: Duration,
    },
    /// A device's socket ended.
    Closed {
        /// The device.
        device: DeviceId,
        /// Its socket; a newer one of the same device stays.
        connection: u64,
        /// How.
        ending: Ending,
    },
    /// What was written down of a device before the machine began: it went, or was last heard of, `age` ago.
    Restored {
        /// Whose.
        user: UserId,
        /// Whether its end was seen; otherwise nobody knows.
        offline: bool,
        /// How long ago.
        age: Duration,
    },
    /// The person is no longer in the workspace.
    Removed {
        /// Who.
        user: UserId,
    },
    /// The time of [`Presence::poll_timeout`] has come.
    Timeout,
}

/// What a shell must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tell those who watch that a person's state is another: ask [`Presence::seen`] for it.
    Changed {
        /// Who.
        user: UserId,
    },
    /// Write down a device's latest transition, so that a restarted server knows what to say.
    Record {
        /// Whose.
        user: UserId,
        /// The device.
        device: DeviceId,
        /// Its state; [`PresenceState::Unknown`]: its lease ran out.
        state: PresenceState,
        /// Since when.
        at: Mono,
    },
}

/// What can be said of a person at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// How they are.
    pub state: PresenceState,
    /// How long ago that was last confirmed by a sign of life, or, of who is gone, how long ago they went or were last heard. `None`:
    /// nothing was ever heard.
    pub age: Option<Duration>,
    /// How much longer it counts without another sign of life; zero for `unknown`, and for `offline` unless a device says so.
    pub lease: Duration,
}
