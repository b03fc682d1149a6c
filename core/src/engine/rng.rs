//! The engine's own chance: jitter for waits, and nothing else.
//!
//! A machine draws no randomness (DESIGN, invariant 9), yet a thousand clients that lost the same server must not come
//! back in the same millisecond. So the shell gives one seed at the start, and everything after it follows: a run replays
//! bit-exactly. Identifiers are not made here. They must never repeat, not even when a shell seeds badly, so each comes
//! with the command that needs it, drawn by the shell from the system.

use core::time::Duration;

/// SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", OOPSLA 2014): 64 bits of state, no
/// security, good enough to spread waits.
#[derive(Clone, Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A span between half of `span` and the whole.
    pub(super) fn spread(&mut self, span: Duration) -> Duration {
        let us = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
        let half = us / 2;
        Duration::from_micros(half + self.next() % (us - half + 1))
    }

    /// A number to tell one `ping` from another.
    pub(super) fn nonce(&mut self) -> u32 {
        u32::try_from(self.next() >> 32).unwrap_or(0)
    }
}
