//! How often to try again: waits that double, and a budget for new connections.
//!
//! A thousand clients that lost the same server come back spread over their waits, each of which is drawn between half and the
//! whole of a span that doubles with every failure. A network that comes and goes resets that span, as one wants to be back at
//! once; so there is a budget beside it, which no luck resets.

use core::time::Duration;

use crate::units::Mono;

/// The longest wait: what a person would accept before pressing "retry", without a phone's radio working all day.
pub(super) const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// The longest wait while a person's speech waits for the connection: few clients are in that state, and not for long.
pub(super) const BACKOFF_URGENT_MAX: Duration = Duration::from_secs(1);
/// Attempts that may follow each other without a budgeted wait: half a minute of urgent ones.
const ATTEMPTS_AT_ONCE: u32 = 40;
/// In the long run one attempt in this time.
const ATTEMPT_EVERY: Duration = Duration::from_secs(10);

/// The span to draw the next wait from, after so many failures in a row.
pub(super) fn backoff(first: Duration, failures: u32) -> Duration {
    (first * 2_u32.saturating_pow(failures.min(10))).min(BACKOFF_MAX)
}

/// The budget of new connections: a bucket of attempts that fills slowly (a leaky bucket, as ITU-T I.371's GCRA).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Budget {
    /// When the bucket would be full again.
    full_at: Mono,
}

impl Budget {
    /// Takes one attempt, or says from when on there is one.
    pub(super) fn take(&mut self, now: Mono) -> Result<(), Mono> {
        let free_at = self.full_at - ATTEMPT_EVERY * (ATTEMPTS_AT_ONCE - 1);
        if now < free_at {
            return Err(free_at);
        }
        self.full_at = self.full_at.max(now) + ATTEMPT_EVERY;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_lets_some_pass_at_once_and_then_one_in_ten_seconds() {
        let mut budget = Budget::default();
        let begin = Mono(10_000_000_000);
        for _ in 0..ATTEMPTS_AT_ONCE {
            assert_eq!(budget.take(begin), Ok(()));
        }
        assert_eq!(budget.take(begin), Err(begin + ATTEMPT_EVERY));
        assert_eq!(budget.take(begin + ATTEMPT_EVERY), Ok(()));
        assert_eq!(budget.take(begin + ATTEMPT_EVERY), Err(begin + 2 * ATTEMPT_EVERY));
        let rested = begin + ATTEMPT_EVERY * 100;
        let mut taken = 0;
        while budget.take(rested).is_ok() {
            taken += 1;
        }
        assert_eq!(taken, ATTEMPTS_AT_ONCE, "rest fills it, no further than full");
    }

    #[test]
    fn waits_double_up_to_their_bound() {
        let spans = [0, 1, 2, 30].map(|failures| backoff(Duration::from_millis(500), failures).as_millis());
        assert_eq!(spans, [500, 1_000, 2_000, 30_000]);
    }
}
