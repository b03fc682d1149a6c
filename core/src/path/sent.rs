//! Frames that were sent by datagram, until they are reported.

use core::time::Duration;

use bytes::Bytes;

use crate::units::{BurstTag, Mono};
use crate::wire::datagram::Report;
use crate::wire::limits::DATAGRAM_COPIES_MAX;
use crate::wire::voice::{FrameAge, HEADER_BYTES};

/// How long after it was sent a frame of which nothing was heard still goes over the socket: by then a path is given up whose round trip is
/// up to a second. What is older is fetched.
const AGAIN_MAX: Duration = Duration::from_millis(2_500);

/// Frames sent for so long before the end of a burst go over the socket, too, as far as nothing was heard of them: no later datagram repeats
/// them, and a listener who hears of the end no longer notices that datagrams stopped. It is what a listener waits before saying so
/// ([`super::STALL`]), and what the two ways differ by.
const LAST_WORDS: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Sent {
    /// Of the datagram that brought it first, then of those that repeated it; 0: no more.
    counters: [u32; 1 + DATAGRAM_COPIES_MAX],
    pub(super) at: Mono,
    /// As it was sent, the age as of then.
    pub(super) frame: Bytes,
    /// The socket did not carry it, and nothing was heard of it.
    pub(super) open: bool,
}

impl Sent {
    /// A frame that a datagram brings. `open`: it alone.
    pub(super) fn new(counter: u32, at: Mono, frame: Bytes, open: bool) -> Self {
        let mut counters = [0; 1 + DATAGRAM_COPIES_MAX];
        counters[0] = counter;
        Self { counters, at, frame, open }
    }

    /// A later datagram repeats it.
    pub(super) fn copied_in(&mut self, counter: u32) {
        if let Some(free) = self.counters.iter_mut().find(|counter| **counter == 0) {
            *free = counter;
        }
    }

    /// Whether a datagram that brought it came, as far as this report tells.
    pub(super) fn came(&self, report: &Report) -> bool {
        self.counters.iter().any(|counter| *counter > 0 && report.has(*counter) == Some(true))
    }

    /// Whether it is one of the last words of the burst with this tag, which ends now.
    pub(super) fn is_last_word(&self, now: Mono, tag: BurstTag) -> bool {
        now.since(self.at) <= LAST_WORDS && self.frame.get(6..14) == Some(&tag.0[..])
    }

    /// It is to go over the socket, if nothing was heard of it and it is not too old; once.
    pub(super) fn again(&mut self, now: Mono) -> Option<(Mono, Bytes)> {
        let was_open = core::mem::replace(&mut self.open, false);
        (was_open && now.since(self.at) < AGAIN_MAX).then(|| (self.at, self.frame.clone()))
    }
}

/// How many frames before `newest` an earlier one is, where it is of the same burst and token; both are whole voice frames.
pub(super) fn distance(newest: &[u8], earlier: &[u8]) -> Option<u8> {
    // Kind and flags; then, behind age and number, tag and token.
    if newest[..2] != earlier[..2] || newest[6..HEADER_BYTES] != earlier[6..HEADER_BYTES] {
        return None;
    }
    let number = |frame: &[u8]| u16::from_be_bytes([frame[4], frame[5]]);
    u8::try_from(number(newest).checked_sub(number(earlier))?).ok()
}

/// The age of a whole voice frame that was stated `since` ago.
pub(super) fn aged(frame: &[u8], since: Duration) -> FrameAge {
    FrameAge::from(FrameAge(u16::from_be_bytes([frame[2], frame[3]])).duration() + since)
}
