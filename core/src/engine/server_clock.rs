//! What the server's clock says, as well as it can be known here.
//!
//! This machine's wall clock may be wrong, and may be set while the client runs. So what must be told in the server's time (when
//! something was spoken before a restart of this device) goes by the server's own word: each `welcome` and `pong` brings it,
//! half a round trip old, give or take that half.

use core::time::Duration;

use super::ports::ServerTime;
use crate::units::{Mono, UnixMs};

/// How far two clocks of ordinary quartz drift apart: 100 µs a second.
const DRIFT_PER_MILLION: u64 = 100;

/// The best sample so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ServerClock(Option<Sample>);

#[derive(Clone, Copy, Debug)]
struct Sample {
    at: Mono,
    server: UnixMs,
    uncertainty: Duration,
}

impl Sample {
    fn uncertainty_at(&self, when: Mono) -> Duration {
        let apart = when.since(self.at).max(self.at.since(when));
        let drift = apart.as_micros() * u128::from(DRIFT_PER_MILLION) / 1_000_000;
        self.uncertainty + Duration::from_micros(u64::try_from(drift).unwrap_or(u64::MAX))
    }
}

impl ServerClock {
    /// The server said that it is `server`, in answer to what was sent `round_trip` ago.
    pub(super) fn sample(&mut self, now: Mono, server: UnixMs, round_trip: Duration) {
        let uncertainty = round_trip / 2 + Duration::from_millis(1);
        if self.0.is_none_or(|best| best.uncertainty_at(now) >= uncertainty) {
            let half_ms = u64::try_from((round_trip / 2).as_millis()).unwrap_or(u64::MAX);
            self.0 = Some(Sample { at: now, server: UnixMs(server.0.saturating_add(half_ms)), uncertainty });
        }
    }

    /// The server's time at a moment of this client's; `None` before anything was heard.
    pub(super) fn at(&self, when: Mono) -> Option<ServerTime> {
        let sample = self.0?;
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let at = if when >= sample.at {
            sample.server.0.saturating_add(ms(when.since(sample.at)))
        } else {
            sample.server.0.saturating_sub(ms(sample.at.since(when)))
        };
        Some(ServerTime { at: UnixMs(at), uncertainty_ms: ms(sample.uncertainty_at(when)) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_sample_counts_until_its_age_has_made_it_worse() {
        let mut clock = ServerClock::default();
        assert_eq!(clock.at(Mono(0)), None);
        clock.sample(Mono(10_000_000), UnixMs(1_000_000), Duration::from_millis(20));
        let hit = |at, uncertainty_ms| Some(ServerTime { at: UnixMs(at), uncertainty_ms });
        assert_eq!(clock.at(Mono(10_000_000)), hit(1_000_010, 11));
        assert_eq!(clock.at(Mono(8_000_000)), hit(998_010, 11), "also for what was before it");
        // A worse one, soon after: the first still counts.
        clock.sample(Mono(11_000_000), UnixMs(1_005_000), Duration::from_secs(2));
        assert_eq!(clock.at(Mono(11_000_000)), hit(1_001_010, 11));
        // After three hours it is off by a second at most, and a sample of a tenth is better.
        assert_eq!(clock.at(Mono(10_000_000 + 10_800_000_000)), hit(11_800_010, 1_091));
        clock.sample(Mono(10_810_000_000), UnixMs(11_799_500), Duration::from_millis(100));
        assert_eq!(clock.at(Mono(10_810_000_000)), hit(11_799_550, 51));
    }
}
