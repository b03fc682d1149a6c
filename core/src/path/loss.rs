//! How much is lost, and how often frames are said again for it.

use core::time::Duration;

use crate::units::Mono;
use crate::wire::datagram::Report;

/// Loss from which on frames are said again, in thousandths, and how often. Each copy costs the bits of a frame; with independent
/// losses of 10 %, one copy leaves 1 %, two leave 0.1 %.
const STEPS: [(u16, usize); 2] = [(10, 1), (80, 2)];
/// Datagrams over which loss is measured: at 50 a second, half a second.
const SPAN_MIN: u32 = 25;
/// How long less loss must last for a copy to be left out.
const CLEAN: Duration = Duration::from_secs(10);

/// The loss of one direction, as the other end reports it.
#[derive(Clone, Debug, Default)]
pub(super) struct Loss {
    counted: Report,
    /// In thousandths, smoothed; it rises at once.
    per_mille: u16,
    copies: usize,
    /// Since when fewer copies would do.
    fewer_since: Option<Mono>,
}

impl Loss {
    pub(super) fn per_mille(&self) -> u16 {
        self.per_mille
    }

    /// How many earlier frames each datagram repeats.
    pub(super) fn copies(&self) -> usize {
        self.copies
    }

    /// A report came that is newer than those before.
    pub(super) fn reported(&mut self, now: Mono, report: Report) {
        let span = report.highest.saturating_sub(self.counted.highest);
        if span < SPAN_MIN {
            return;
        }
        let came = report.came.wrapping_sub(self.counted.came).min(span);
        self.counted = report;
        let found = u16::try_from(u64::from(span - came) * 1_000 / u64::from(span)).unwrap_or(1_000);
        self.per_mille = if found > self.per_mille { found } else { (3 * self.per_mille + found) / 4 };
        let wanted = STEPS.iter().rev().find(|(from, _)| self.per_mille >= *from).map_or(0, |(_, copies)| *copies);
        if wanted >= self.copies {
            self.copies = wanted;
            self.fewer_since = None;
        } else if now.since(*self.fewer_since.get_or_insert(now)) >= CLEAN {
            self.copies -= 1;
            self.fewer_since = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_come_at_once_and_go_one_by_one_after_a_clean_while() {
        let (mut loss, mut now, mut report) = (Loss::default(), Mono::default(), Report::default());
        let mut second = |loss: &mut Loss, lost: u32| {
            now = now + Duration::from_secs(1);
            report = Report { highest: report.highest + 50, came: report.came + 50 - lost, map: 0 };
            loss.reported(now, report);
            loss.copies()
        };
        assert_eq!(second(&mut loss, 0), 0);
        assert_eq!(second(&mut loss, 2), 1, "4 % of loss");
        assert_eq!(second(&mut loss, 10), 2, "20 % of loss");
        let copies: Vec<_> = (0..40).map(|_| second(&mut loss, 0)).collect();
        let lasted = |count| copies.iter().filter(|copies| **copies == count).count();
        assert!(lasted(2) >= 10 && lasted(1) >= 10 && lasted(0) > 0, "{copies:?}");
        assert!(copies.is_sorted_by(|a, b| a >= b), "{copies:?}");
        assert_eq!(second(&mut loss, 50), 2, "all lost");
        assert_eq!(loss.per_mille(), 1_000);
    }

    #[test]
    fn a_few_datagrams_say_nothing_of_loss() {
        let mut loss = Loss::default();
        loss.reported(Mono::default(), Report { highest: 20, came: 1, map: 0 });
        assert_eq!((loss.per_mille(), loss.copies()), (0, 0));
    }
}
