//! The one place where the server reads its clocks.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use holler_core::units::{Mono, UnixMs};

/// The process's monotonic clock and the machine's wall clock; in a simulation, clocks that it sets.
#[derive(Clone, Copy, Debug)]
pub struct Clock(Source);

#[derive(Clone, Copy, Debug)]
enum Source {
    System { origin: Instant },
    Virtual(&'static VirtualTime),
}

/// Time that a simulation sets.
#[derive(Debug, Default)]
pub struct VirtualTime {
    mono_us: AtomicU64,
    unix_ms: AtomicU64,
}

impl VirtualTime {
    /// Sets both clocks.
    pub fn set(&self, mono: Mono, unix: UnixMs) {
        self.mono_us.store(mono.0, Ordering::Relaxed);
        self.unix_ms.store(unix.0, Ordering::Relaxed);
    }
}

impl Default for Clock {
    fn default() -> Self {
        Self(Source::System { origin: Instant::now() })
    }
}

impl Clock {
    /// Clocks that a simulation sets.
    pub const fn of(time: &'static VirtualTime) -> Self {
        Self(Source::Virtual(time))
    }

    /// Monotonic time since this clock was made. It begins above zero, so that "long before" can be expressed.
    pub fn now(&self) -> Mono {
        match self.0 {
            Source::System { origin } => {
                Mono(0) + Duration::from_secs(3600) + Instant::now().saturating_duration_since(origin)
            }
            Source::Virtual(time) => Mono(time.mono_us.load(Ordering::Relaxed)),
        }
    }

    /// The instant at which [`Clock::now`] will give `at`, for timers; without meaning in a simulation, which has none.
    pub fn instant(&self, at: Mono) -> tokio::time::Instant {
        let Source::System { origin } = self.0 else { return tokio::time::Instant::now() };
        let span = at.since(Mono(0) + Duration::from_secs(3600));
        tokio::time::Instant::from_std(origin.checked_add(span).unwrap_or(origin))
    }

    /// The wall clock.
    pub fn unix(&self) -> UnixMs {
        match self.0 {
            Source::System { .. } => {
                let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
                UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
            }
            Source::Virtual(time) => UnixMs(time.unix_ms.load(Ordering::Relaxed)),
        }
    }
}
