//! How often to try again: waits that double, and a budget for new connections.
//!
//! A thousand clients that lost the same server come back spread over their waits, each of which is drawn between half and the
//! whole of a span that doubles with every failure. Most losses are brief, and of a server that comes back nobody is told: for
//! some seconds after a good connection was lost the span stays short. A network that comes and goes resets it, as one wants to be
//! back at once; so there is a budget beside it, which no luck resets.

use core::time::Duration;

use crate::units::Mono;

/// The first wait after a failure; each further one doubles. Half of it to the whole, drawn: a server that restarts must not
/// meet all of its clients in one instant.
pub(super) const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// The longest wait: what a person would accept before pressing "retry", without a phone's radio working all day.
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// The longest wait while a person's speech waits for the connection, and while the loss is young: few clients are in the first
/// state, and none for long in either. It trades a dozen tries of each client of a server that restarts for being back a second
/// after it.
const BACKOFF_SOON_MAX: Duration = Duration::from_secs(1);
/// A loss is young for this long: a server has restarted by then, a train has left its tunnel.
const YOUNG: Duration = Duration::from_secs(10);
/// A sign that the server might be reached ends a wait when the last try is this long ago: then such signs alone never use up
/// the budget.
const SIGN_AFTER: Duration = ATTEMPT_EVERY;
/// Attempts that may follow each other without a budgeted wait: half a minute of urgent ones.
const ATTEMPTS_AT_ONCE: u32 = 40;
/// In the long run one attempt in this time.
const ATTEMPT_EVERY: Duration = Duration::from_secs(10);

/// The span to draw the next wait from, after so many failures in a row.
pub(super) fn backoff(first: Duration, failures: u32) -> Duration {
    (first * 2_u32.saturating_pow(failures.min(10))).min(BACKOFF_MAX)
}

/// How long the next wait for the connection is to be.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waits {
    /// Failures in a row.
    pub(super) failures: u32,
    /// Speech waits for the connection.
    pub(super) urgent: bool,
    young_until: Mono,
    tried_at: Option<Mono>,
}

impl Waits {
    /// A connection that had held was lost.
    pub(super) fn lost(&mut self, now: Mono) {
        self.failures = 0;
        self.young_until = now + YOUNG;
    }

    /// A connection is tried.
    pub(super) fn tried(&mut self, now: Mono) {
        self.tried_at = Some(now);
    }

    /// Whether a sign that the server might be reached is worth a try.
    pub(super) fn heed_sign(&self, now: Mono) -> bool {
        self.tried_at.is_none_or(|at| now >= at + SIGN_AFTER)
    }

    /// The span from which the next wait is drawn.
    pub(super) fn span(&self, now: Mono) -> Duration {
        let most = if self.urgent || now < self.young_until { BACKOFF_SOON_MAX } else { BACKOFF_MAX };
        backoff(BACKOFF_FIRST, self.failures).min(most)
    }
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
    fn waits_double_up_to_their_bound_and_stay_short_while_the_loss_is_young() {
        let now = Mono(1_000_000);
        let spans = |waits: Waits, at| [0, 1, 2, 30].map(|failures| Waits { failures, ..waits }.span(at).as_millis());
        let mut waits = Waits::default();
        assert_eq!(spans(waits, now), [500, 1_000, 2_000, 30_000]);
        assert_eq!(spans(Waits { urgent: true, ..waits }, now), [500, 1_000, 1_000, 1_000]);
        waits.lost(now);
        assert_eq!(spans(waits, now), [500, 1_000, 1_000, 1_000]);
        assert_eq!(spans(waits, now + YOUNG), [500, 1_000, 2_000, 30_000]);
    }
}
