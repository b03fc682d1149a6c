//! The one place where the server reads its clocks.

use std::time::{Duration, Instant, SystemTime};

use holler_core::units::{Mono, UnixMs};

/// The process's monotonic clock and the machine's wall clock.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Default for Clock {
    fn default() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Clock {
    /// Monotonic time since this clock was made. It begins above zero, so that "long before" can be expressed.
    pub fn now(&self) -> Mono {
        let since = Instant::now().saturating_duration_since(self.origin);
        Mono(0) + Duration::from_secs(3600) + since
    }

    /// The instant at which [`Clock::now`] will give `at`, for timers.
    pub fn instant(&self, at: Mono) -> tokio::time::Instant {
        let span = at.since(Mono(0) + Duration::from_secs(3600));
        tokio::time::Instant::from_std(self.origin.checked_add(span).unwrap_or(self.origin))
    }

    /// The wall clock.
    pub fn unix(&self) -> UnixMs {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
