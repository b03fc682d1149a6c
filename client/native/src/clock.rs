//! The one place where the native client reads a clock.

use core::time::Duration;

use holler_core::units::{Mono, UnixMs};
use rustix::time::{ClockId, clock_gettime};

/// Now, on the clock that all processes of this machine share and that goes on while it sleeps (`CLOCK_BOOTTIME`), µs.
pub fn now() -> Mono {
    let time = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Mono(seconds * 1_000_000 + u64::try_from(time.tv_nsec / 1_000).unwrap_or(0))
}

/// The wall clock, for people; it may be wrong, and nothing is ordered by it.
pub fn wall() -> UnixMs {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    UnixMs(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// The time from now until `at`; zero where it is past.
pub fn until(at: Mono) -> Duration {
    at.since(now())
}

/// Names the time since the device was started: [`now`] counts on within it, and begins anew with another. Where the system does
/// not say, each run of the program has a name of its own.
pub fn boot() -> &'static str {
    static BOOT: std::sync::OnceLock<String> = std::sync::OnceLock::new();
    BOOT.get_or_init(|| {
        let unknown = || format!("unknown-{}-{}", std::process::id(), now().0);
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map_or_else(|_| unknown(), |id| id.trim().to_owned())
    })
}
