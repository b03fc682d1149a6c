//! Links that are emulated in virtual time: what a bad network does, repeatable from a seed and as fast as the machine allows.
//!
//! | kind | what it is | what a bad network does to it |
//! |---|---|---|
//! | [`Datagrams`] | one direction of UDP | each is delayed, lost, doubled, overtaken, or finds the queue full |
//! | [`Pipe`] | one direction of a TCP connection | loss becomes delay: a retransmission, and everything behind it waits; a cut stalls it until it heals or the connection is given up |
//!
//! Both are machines: `send` takes the time, `next_at` says when something arrives, `receive` takes it out. Nothing here knows
//! what travels. A cut loses datagrams; it only stalls a pipe, as TCP sends again. Who gives a connection up, and which end hears
//! of it, is for the owner of both of its pipes to say: dropping them loses what had not arrived, and an end that is not told
//! of it has a half-open connection.
//!
//! Random loss is drawn for each packet. Bursty loss is the model of Gilbert and Elliott: a good and a bad state, with a chance
//! of loss in each and a chance to change from one to the other with every packet.

mod datagrams;
mod pipe;
#[cfg(test)]
mod tests;

use core::time::Duration;

pub use datagrams::{Datagrams, Sent};
use holler_core::units::Mono;
pub use pipe::Pipe;

use crate::chance::Chance;

/// How packets get lost. Chances are in parts of a million.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Each packet on its own.
    Random {
        /// The chance of each.
        per_million: u32,
    },
    /// In bursts: Gilbert and Elliott.
    Bursty {
        /// From the good state to the bad, at each packet.
        worsens: u32,
        /// From the bad state to the good, at each packet.
        heals: u32,
        /// Loss while it is good.
        good: u32,
        /// Loss while it is bad.
        bad: u32,
    },
}

impl Loss {
    /// None at all.
    pub const NONE: Self = Self::Random { per_million: 0 };
}

/// What one direction of a link does to what travels on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Profile {
    /// From one end to the other.
    pub delay: Duration,
    /// Added to it, evenly from nothing to this much.
    pub jitter: Duration,
    /// How packets get lost.
    pub loss: Loss,
    /// Bytes a second; `None`: as many as come.
    pub rate: Option<u64>,
    /// Bytes that wait in front of the bottleneck before more are dropped (datagrams) or not taken (pipes).
    pub queue_bytes: usize,
    /// Datagrams that are overtaken, in parts of a million.
    pub reorder: u32,
    /// How much later such a datagram comes.
    pub reorder_by: Duration,
    /// Datagrams that come twice, in parts of a million.
    pub duplicate: u32,
}

impl Profile {
    /// A link that only delays.
    pub const fn plain(delay: Duration) -> Self {
        Self {
            delay,
            jitter: Duration::ZERO,
            loss: Loss::NONE,
            rate: None,
            queue_bytes: 64 * 1024,
            reorder: 0,
            reorder_by: Duration::ZERO,
            duplicate: 0,
        }
    }
}

/// The state of a bottleneck: its loss and its queue.
#[derive(Clone, Debug)]
struct Bottleneck {
    chance: Chance,
    bad: bool,
    free_at: Mono,
}

impl Bottleneck {
    fn new(chance: Chance) -> Self {
        Self { chance, bad: false, free_at: Mono::default() }
    }

    fn loses(&mut self, loss: Loss) -> bool {
        match loss {
            Loss::Random { per_million } => self.chance.per_million(per_million),
            Loss::Bursty { worsens, heals, good, bad } => {
                let changes = if self.bad { heals } else { worsens };
                if self.chance.per_million(changes) {
                    self.bad = !self.bad;
                }
                self.chance.per_million(if self.bad { bad } else { good })
            }
        }
    }

    /// Bytes that wait.
    fn queued(&self, now: Mono, profile: &Profile) -> usize {
        let Some(rate) = profile.rate else { return 0 };
        let us = u64::try_from(self.free_at.since(now).as_micros()).unwrap_or(u64::MAX);
        usize::try_from(us.saturating_mul(rate) / 1_000_000).unwrap_or(usize::MAX)
    }

    /// When the last byte has left.
    fn depart(&mut self, now: Mono, profile: &Profile, bytes: usize) -> Mono {
        let Some(rate) = profile.rate else { return now };
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.free_at = self.free_at.max(now) + Duration::from_micros(bytes.saturating_mul(1_000_000) / rate.max(1));
        self.free_at
    }

    fn travel(&mut self, profile: &Profile) -> Duration {
        let jitter = u64::try_from(profile.jitter.as_micros()).unwrap_or(u64::MAX);
        profile.delay + Duration::from_micros(self.chance.between(0, jitter))
    }
}
