//! One direction of a TCP connection.

use core::time::Duration;
use std::collections::VecDeque;

use holler_core::units::Mono;

use super::{Bottleneck, Profile};
use crate::chance::Chance;

/// The least time after which a lost segment is sent again (Linux; RFC 6298 says one second).
const RETRANSMIT_MIN: Duration = Duration::from_millis(200);
/// Bytes of a segment.
const SEGMENT: usize = 1_400;
/// Losses of one segment in a row that are modelled; each doubles the wait.
const DOUBLINGS_MAX: u32 = 8;

#[derive(Clone, Debug)]
struct Item<T> {
    /// `None`: stalled by a cut.
    arrives: Option<Mono>,
    bytes: usize,
    item: T,
}

/// One direction of a TCP connection: everything arrives, once and in order, or nothing after it does.
#[derive(Clone, Debug)]
pub struct Pipe<T> {
    profile: Profile,
    bottleneck: Bottleneck,
    items: VecDeque<Item<T>>,
    bytes: usize,
    last_arrival: Mono,
    cut_since: Option<Mono>,
}

impl<T> Pipe<T> {
    /// A direction of a new connection.
    pub fn new(profile: Profile, chance: Chance) -> Self {
        Self {
            profile,
            bottleneck: Bottleneck::new(chance),
            items: VecDeque::new(),
            bytes: 0,
            last_arrival: Mono::default(),
            cut_since: None,
        }
    }

    /// From now on the link behaves so.
    pub fn set_profile(&mut self, profile: Profile) {
        self.profile = profile;
    }

    /// Whether the sender's buffer takes more. What has not arrived, and been taken, fills it.
    pub fn has_room(&self) -> bool {
        self.bytes < self.profile.queue_bytes
    }

    /// Hands in `bytes`. A sender asks [`Pipe::has_room`] first; what is handed in all the same waits too.
    pub fn send(&mut self, now: Mono, bytes: usize, item: T) {
        self.bytes += bytes;
        let arrives = self.cut_since.is_none().then(|| self.arrival(now, bytes));
        self.items.push_back(Item { arrives, bytes, item });
    }

    fn arrival(&mut self, now: Mono, bytes: usize) -> Mono {
        let profile = self.profile;
        let mut at = self.bottleneck.depart(now, &profile, bytes);
        for _ in 0..bytes.div_ceil(SEGMENT).max(1) {
            let mut wait = RETRANSMIT_MIN.max(profile.delay * 2);
            let mut losses = 0;
            while losses < DOUBLINGS_MAX && self.bottleneck.loses(profile.loss) {
                at = at + wait;
                wait *= 2;
                losses += 1;
            }
        }
        at = at + self.bottleneck.travel(&profile);
        self.last_arrival = self.last_arrival.max(at);
        self.last_arrival
    }

    /// The way is cut: what has not arrived stalls, and is sent again once it heals.
    pub fn cut(&mut self, now: Mono) {
        if self.cut_since.is_some() {
            return;
        }
        self.cut_since = Some(now);
        for item in self.items.iter_mut().filter(|item| item.arrives.is_some_and(|at| at > now)) {
            item.arrives = None;
        }
    }

    /// The way is there again. TCP notices with its next retransmission, the wait for which has doubled meanwhile.
    pub fn heal(&mut self, now: Mono) {
        let Some(since) = self.cut_since.take() else { return };
        let mut tries_at = since;
        let mut wait = RETRANSMIT_MIN.max(self.profile.delay * 2);
        while tries_at < now {
            tries_at = tries_at + wait;
            wait *= 2;
        }
        self.last_arrival = self.last_arrival.min(now);
        for at in 0..self.items.len() {
            if self.items[at].arrives.is_none() {
                let bytes = self.items[at].bytes;
                self.items[at].arrives = Some(self.arrival(tries_at, bytes));
            }
        }
    }

    /// When something arrives next, if anything does.
    pub fn next_at(&self) -> Option<Mono> {
        self.items.front()?.arrives
    }

    /// What has arrived; a receiver that does not take it slows the sender down.
    pub fn receive(&mut self, now: Mono) -> Option<T> {
        if self.next_at()? > now {
            return None;
        }
        let item = self.items.pop_front()?;
        self.bytes -= item.bytes;
        Some(item.item)
    }

    /// How much has not arrived, in items.
    pub fn waiting(&self) -> usize {
        self.items.len()
    }
}
