//! One direction of a link for datagrams.

use std::collections::BTreeMap;

use holler_core::units::Mono;

use super::{Bottleneck, Profile};
use crate::chance::Chance;

/// What became of a datagram, as far as the network knows; a sender is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It will arrive.
    Carried,
    /// It will arrive twice.
    Twice,
    /// It was lost on the way.
    Lost,
    /// The queue was full.
    Dropped,
    /// The link is cut.
    Cut,
}

/// One direction of a link for datagrams.
#[derive(Clone, Debug)]
pub struct Datagrams<T> {
    profile: Profile,
    bottleneck: Bottleneck,
    flying: BTreeMap<(Mono, u64), T>,
    count: u64,
    last_arrival: Mono,
    cut: bool,
}

impl<T: Clone> Datagrams<T> {
    /// A link that is up.
    pub fn new(profile: Profile, chance: Chance) -> Self {
        Self {
            profile,
            bottleneck: Bottleneck::new(chance),
            flying: BTreeMap::new(),
            count: 0,
            last_arrival: Mono::default(),
            cut: false,
        }
    }

    /// From now on the link behaves so.
    pub fn set_profile(&mut self, profile: Profile) {
        self.profile = profile;
    }

    /// Cuts the link: what is on its way is lost too.
    pub fn cut(&mut self) {
        self.cut = true;
        self.flying.clear();
    }

    /// Joins it again.
    pub fn heal(&mut self) {
        self.cut = false;
    }

    /// A datagram of `bytes` sets out.
    pub fn send(&mut self, now: Mono, bytes: usize, item: T) -> Sent {
        if self.cut {
            return Sent::Cut;
        }
        let profile = self.profile;
        if self.bottleneck.queued(now, &profile) + bytes > profile.queue_bytes {
            return Sent::Dropped;
        }
        let left = self.bottleneck.depart(now, &profile, bytes);
        if self.bottleneck.loses(profile.loss) {
            return Sent::Lost;
        }
        let mut arrives = left + self.bottleneck.travel(&profile);
        if self.bottleneck.chance.per_million(profile.reorder) {
            // Those behind it overtake it.
            arrives = arrives + profile.reorder_by;
        } else {
            arrives = arrives.max(self.last_arrival);
            self.last_arrival = arrives;
        }
        let twice = self.bottleneck.chance.per_million(profile.duplicate);
        if twice {
            let later = arrives + self.bottleneck.travel(&profile);
            self.fly(later, item.clone());
        }
        self.fly(arrives, item);
        if twice { Sent::Twice } else { Sent::Carried }
    }

    fn fly(&mut self, arrives: Mono, item: T) {
        self.count += 1;
        self.flying.insert((arrives, self.count), item);
    }

    /// When something arrives next.
    pub fn next_at(&self) -> Option<Mono> {
        self.flying.keys().next().map(|(at, _)| *at)
    }

    /// What has arrived.
    pub fn receive(&mut self, now: Mono) -> Option<T> {
        let at = self.next_at()?;
        if at > now {
            return None;
        }
        self.flying.pop_first().map(|(_, item)| item)
    }
}
