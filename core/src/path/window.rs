//! Which datagrams came: each is taken once, and the other end is told.

use crate::wire::datagram::Report;

/// How far back a datagram may come late, in datagrams (as RFC 4303 section 3.4.3 does it for IPsec).
pub const WINDOW: u32 = 1_024;
const WORDS: usize = 16;

/// A window over the counters of one direction.
#[derive(Clone, Debug, Default)]
pub(super) struct Window {
    highest: u32,
    came: u32,
    /// A bit for each counter, at its remainder by [`WINDOW`].
    seen: [u64; WORDS],
}

impl Window {
    /// Whether this one is new.
    pub(super) fn is_new(&self, counter: u32) -> bool {
        counter > self.highest || counter > 0 && self.highest - counter < WINDOW && !self.has(counter)
    }

    /// Whether this one is new; it is not from now on.
    pub(super) fn take(&mut self, counter: u32) -> bool {
        if !self.is_new(counter) {
            return false;
        }
        if counter > self.highest {
            if counter - self.highest >= WINDOW {
                self.seen = [0; WORDS];
            } else {
                for skipped in self.highest + 1..=counter {
                    let (word, bit) = place(skipped);
                    self.seen[word] &= !bit;
                }
            }
            self.highest = counter;
        }
        let (word, bit) = place(counter);
        self.seen[word] |= bit;
        self.came = self.came.wrapping_add(1);
        true
    }

    fn has(&self, counter: u32) -> bool {
        let (word, bit) = place(counter);
        self.seen[word] & bit != 0
    }

    /// A report without the map.
    pub(super) fn counts(&self) -> Report {
        Report { highest: self.highest, came: self.came, map: 0 }
    }

    pub(super) fn report(&self) -> Report {
        let mut map = 0;
        for below in 1..=64_u32.min(self.highest.saturating_sub(1)) {
            if self.has(self.highest - below) {
                map |= 1 << (below - 1);
            }
        }
        Report { map, ..self.counts() }
    }
}

fn place(counter: u32) -> (usize, u64) {
    let at = counter % WINDOW;
    (usize::try_from(at / 64).unwrap_or(0), 1 << (at % 64))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Against a set that forgets nothing.
        #[test]
        fn each_is_taken_once(steps in prop::collection::vec((-1_500..40_i64, 0..3_u8), 0..400)) {
            let (mut window, mut seen, mut highest) = (Window::default(), BTreeSet::new(), 0_u32);
            for (step, far) in steps {
                let step = if far == 0 && step > 38 { step * 100 } else { step };
                let counter = u32::try_from((i64::from(highest) + step).max(0)).unwrap();
                let expected = counter > 0 && (counter > highest || highest - counter < WINDOW) && !seen.contains(&counter);
                prop_assert_eq!(window.take(counter), expected, "{} of {}", counter, highest);
                if expected {
                    seen.insert(counter);
                }
                highest = highest.max(counter);
                let report = window.report();
                prop_assert_eq!((report.highest, report.came), (highest, u32::try_from(seen.len()).unwrap()));
                for below in 1..=64 {
                    let there = highest.checked_sub(below).is_some_and(|counter| seen.contains(&counter));
                    prop_assert_eq!(report.map >> (below - 1) & 1 == 1, there);
                }
            }
        }
    }
}
