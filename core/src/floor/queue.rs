//! Those who wait for the floor.

use core::cmp::Reverse;

use super::Request;
use crate::model::Priority;
use crate::units::{DeviceId, Mono};

/// A request that waits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// What was asked, with the latest request number.
    pub(super) asked: Request,
    /// Its weight now: that asked for, unless its emergency was cleared.
    pub(super) priority: Priority,
    /// When it was asked.
    pub(super) since: Mono,
    /// When it is denied.
    pub(super) expires: Mono,
    /// Ties are broken by arrival, also within one instant.
    arrival: u64,
    /// The position that its device was told; 0: none yet.
    told: u32,
}

/// Ordered by priority, the highest first, then by arrival.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    entries: Vec<Waiting>,
    arrivals: u64,
}

impl Queue {
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.entries.iter()
    }

    /// The weight of the first in the queue.
    pub(super) fn heaviest(&self) -> Option<Priority> {
        self.entries.first().map(|entry| entry.priority)
    }

    /// Lets a request wait.
    pub(super) fn add(&mut self, asked: Request, since: Mono, expires: Mono) {
        self.arrivals += 1;
        let priority = asked.priority;
        self.entries.push(Waiting { asked, priority, since, expires, arrival: self.arrivals, told: 0 });
        self.sort();
    }

    /// The first, whose turn it is.
    pub(super) fn pop(&mut self) -> Option<Waiting> {
        (!self.entries.is_empty()).then(|| self.entries.remove(0))
    }

    /// Takes out the last, if it has less weight than `priority`.
    pub(super) fn pop_lighter(&mut self, priority: Priority) -> Option<Waiting> {
        self.entries.pop_if(|last| last.priority < priority)
    }

    pub(super) fn of_device(&mut self, device: DeviceId) -> Option<&mut Waiting> {
        self.entries.iter_mut().find(|entry| entry.asked.device == device)
    }

    /// Takes out every entry that `which` names, in the order of the queue.
    pub(super) fn take(&mut self, which: impl FnMut(&mut Waiting) -> bool) -> Vec<Waiting> {
        self.entries.extract_if(.., which).collect()
    }

    /// Gives the entries that `which` names another weight; they keep their arrival.
    pub(super) fn reweigh(&mut self, which: impl Fn(&Waiting) -> bool, priority: Priority) {
        for entry in self.entries.iter_mut().filter(|entry| which(entry)) {
            entry.priority = priority;
        }
        self.sort();
    }

    /// When the next entry expires.
    pub(super) fn next_expiry(&self) -> Option<Mono> {
        self.entries.iter().map(|entry| entry.expires).min()
    }

    /// The entries whose position has changed since their device was last told, with the new one.
    pub(super) fn moved(&mut self) -> Vec<(Request, u32)> {
        let mut moved = Vec::new();
        for (entry, position) in self.entries.iter_mut().zip(1..) {
            if entry.told != position {
                entry.told = position;
                moved.push((entry.asked, position));
            }
        }
        moved
    }

    /// Has the entry's device told its position again.
    pub(super) fn tell_again(&mut self, device: DeviceId) {
        if let Some(entry) = self.of_device(device) {
            entry.told = 0;
        }
    }

    fn sort(&mut self) {
        self.entries.sort_by_key(|entry| (Reverse(entry.priority), entry.arrival));
    }
}
