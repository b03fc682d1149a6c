//! How often sign-in may be tried, per login and per address.
//!
//! Each key has a bucket after the generic cell rate algorithm (ITU-T I.371 annex A): one number, the time at which its bucket
//! would be full again. Keys are kept as hashes with a key of this process, so that neither logins nor addresses lie in memory.
//! The maps are bounded: beyond that, the bucket that has recovered most is forgotten.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use holler_core::units::Mono;
use holler_core::wire::problem::{Problem, ProblemKind};

/// Buckets of each kind.
const BUCKETS_MAX: usize = 16_384;

/// So many at once, then one in an interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// At once, from 1.
    pub burst: u32,
    /// How long until the next.
    pub interval: Duration,
}

/// How often sign-in may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignInRates {
    /// At one login. A right password takes nothing.
    pub login: Rate,
    /// From one address (IPv6: from one /64); a whole site may share an address.
    pub address: Rate,
}

impl Default for SignInRates {
    /// 10 at a login, then one in 20 s; 60 from an address, then one a second.
    fn default() -> Self {
        Self {
            login: Rate { burst: 10, interval: Duration::from_secs(20) },
            address: Rate { burst: 60, interval: Duration::from_secs(1) },
        }
    }
}

/// Limits the attempts to sign in.
#[derive(Debug, Default)]
pub struct SignInLimits {
    rates: RwLock<SignInRates>,
    hasher: RandomState,
    logins: Mutex<Buckets>,
    addresses: Mutex<Buckets>,
}

impl SignInLimits {
    /// From now on these rates hold; what was tried before counts.
    pub fn set(&self, rates: SignInRates) {
        *self.rates.write().unwrap_or_else(PoisonError::into_inner) = rates;
    }

    fn rates(&self) -> SignInRates {
        *self.rates.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// One attempt at `login` from `address`.
    pub fn attempt(&self, now: Mono, login: &str, address: IpAddr) -> Result<(), Problem> {
        let rates = self.rates();
        let address = self.hasher.hash_one(network(address));
        lock(&self.addresses).take(rates.address, now, address).map_err(|wait| refused(wait, "from your address"))?;
        lock(&self.logins)
            .take(rates.login, now, self.hasher.hash_one(login))
            .map_err(|wait| refused(wait, "for this login"))?;
        Ok(())
    }

    /// The password was right: the login's attempt does not count.
    pub fn forgive(&self, login: &str) {
        lock(&self.logins).give_back(self.rates().login, self.hasher.hash_one(login));
    }
}

/// A customer usually has a whole /64.
pub(crate) fn network(address: IpAddr) -> u128 {
    match address.to_canonical() {
        IpAddr::V4(v4) => u128::from(v4.to_bits()),
        IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
    }
}

fn refused(wait: Duration, what: &str) -> Problem {
    let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
    Problem::new(ProblemKind::RateLimited, format!("too many attempts to sign in {what}: wait {seconds} s"))
        .retry_after_s(seconds)
}

fn lock(buckets: &Mutex<Buckets>) -> std::sync::MutexGuard<'_, Buckets> {
    buckets.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Default)]
pub(crate) struct Buckets {
    /// When each bucket will be full again.
    full_at: HashMap<u64, Mono>,
}

impl Buckets {
    /// Takes one, and says how long until the bucket is full again; or how long to wait.
    pub(crate) fn take(&mut self, rate: Rate, now: Mono, key: u64) -> Result<Duration, Duration> {
        let full_at = self.full_at.get(&key).copied().unwrap_or_default().max(now);
        let missing = full_at.since(now);
        let most = rate.interval * (rate.burst - 1);
        if missing > most {
            return Err(missing - most);
        }
        if self.full_at.len() >= BUCKETS_MAX && !self.full_at.contains_key(&key) {
            self.make_room(now);
        }
        self.full_at.insert(key, full_at + rate.interval);
        Ok(missing + rate.interval)
    }

    fn give_back(&mut self, rate: Rate, key: u64) {
        if let Some(full_at) = self.full_at.get_mut(&key) {
            *full_at = *full_at - rate.interval;
        }
    }

    fn make_room(&mut self, now: Mono) {
        self.full_at.retain(|_, full_at| *full_at > now);
        if self.full_at.len() >= BUCKETS_MAX
            && let Some(key) = self.full_at.iter().min_by_key(|(_, full_at)| **full_at).map(|(key, _)| *key)
        {
            self.full_at.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Mono = Mono(3_600_000_000);

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_login_can_be_guessed_at_only_slowly() {
        let limits = SignInLimits::default();
        for n in 0..10 {
            limits.attempt(NOW, "sam", address(&format!("192.0.2.{n}"))).unwrap();
        }
        let refused = limits.attempt(NOW, "sam", address("192.0.2.99")).unwrap_err();
        assert!(refused.is(ProblemKind::RateLimited));
        assert_eq!(refused.retry_after_s, Some(21));
        limits.attempt(NOW, "alex", address("192.0.2.99")).unwrap();
        assert!(limits.attempt(NOW + Duration::from_secs(19), "sam", address("192.0.2.99")).is_err());
        limits.attempt(NOW + Duration::from_secs(20), "sam", address("192.0.2.99")).unwrap();
    }

    #[test]
    fn a_right_password_does_not_count() {
        let limits = SignInLimits::default();
        for n in 0..40 {
            limits.attempt(NOW, "sam", address(&format!("192.0.2.{n}"))).unwrap();
            limits.forgive("sam");
        }
    }

    #[test]
    fn an_address_is_a_network_of_64_bits_in_ipv6() {
        let limits = SignInLimits::default();
        for n in 0..60 {
            limits.attempt(NOW, &format!("user{n}"), address(&format!("2001:db8::{n:x}"))).unwrap();
        }
        assert!(limits.attempt(NOW, "other", address("2001:db8::ffff")).is_err());
        limits.attempt(NOW, "other", address("2001:db8:0:1::1")).unwrap();
    }

    #[test]
    fn memory_is_bounded_and_the_busy_stay_known() {
        let mut buckets = Buckets::default();
        let rate = SignInRates::default().login;
        for _ in 0..rate.burst {
            buckets.take(rate, NOW, 0).unwrap();
        }
        for key in 1..=(BUCKETS_MAX as u64 + 100) {
            buckets.take(rate, NOW, key).unwrap();
        }
        assert_eq!(buckets.full_at.len(), BUCKETS_MAX);
        assert!(buckets.take(rate, NOW, 0).is_err(), "the one under attack is not forgotten");
    }

    #[test]
    fn new_rates_hold_from_now_on() {
        let limits = SignInLimits::default();
        for n in 0..10 {
            limits.attempt(NOW, "sam", address(&format!("192.0.2.{n}"))).unwrap();
        }
        assert!(limits.attempt(NOW, "sam", address("192.0.2.10")).is_err());
        let login = Rate { burst: 12, interval: Duration::from_secs(20) };
        limits.set(SignInRates { login, ..SignInRates::default() });
        limits.attempt(NOW, "sam", address("192.0.2.11")).unwrap();
        limits.attempt(NOW, "sam", address("192.0.2.12")).unwrap();
        assert!(limits.attempt(NOW, "sam", address("192.0.2.13")).is_err());
    }
}
