//! How often secrets may be guessed: passwords, links.
//!
//! A limit that anybody can use up for somebody else is a way to lock them out. So none of these is for a login alone:
//!
//! - A stranger's attempts count for where they come from, and for the login together with where they come from. Somebody who floods
//!   a login from their own network is braked there; the owner, elsewhere, is not.
//! - A device that proves that it was signed in before (with any refresh token that it got) has a budget of its own, which nobody
//!   without that token can use up. So the owner signs in also from the network that the flood comes from.
//! - "Where" is counted twice: near (an IPv4 address, an IPv6 /64, as customers get it) and wide (an IPv4 /24, an IPv6 /48), with four
//!   times as much, because who has a /48 has 65,536 times a /64.
//!
//! What is right is given back, so that a site behind one address can sign in a shift at once. Each key has a bucket after the generic
//! cell rate algorithm (ITU-T I.371 annex A): one number, the time at which its bucket would be full again. Keys are kept as hashes
//! with a key of this process, so that neither logins nor addresses lie in memory. The maps are bounded: beyond that, the bucket
//! that has recovered most is forgotten.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, Hash, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use holler_core::units::{DeviceId, InviteId, Mono};
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

impl Rate {
    /// What a wide network has, where this is what an address has.
    fn wide(self) -> Self {
        Self { burst: self.burst.saturating_mul(WIDE), interval: self.interval / WIDE }
    }
}

/// What a wide network has, as a multiple of what an address has.
const WIDE: u32 = 4;

/// How often sign-in may be tried: what an operator sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignInRates {
    /// Wrong passwords for one login from one address, and on one known device.
    pub login: Rate,
    /// All attempts of strangers from one address (IPv6: from one /64); a whole site may share an address.
    pub address: Rate,
}

impl Default for SignInRates {
    /// 10 at a login, then one in 20 s; 60 from an address, then one a second.
    fn default() -> Self {
        Self { login: rate(10, 20_000), address: rate(60, 1_000) }
    }
}

const fn rate(burst: u32, interval_ms: u64) -> Rate {
    Rate { burst, interval: Duration::from_millis(interval_ms) }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Strangers' sign-ins from an address. Right ones count too: each is a hash.
    Near,
    /// The same from a wide network.
    Wide,
    /// Strangers' wrong passwords for a login from an address.
    LoginNear,
    /// The same from a wide network.
    LoginWide,
    /// Wrong passwords from a known device.
    Device,
    /// All sign-ins of a known device.
    DeviceWork,
    /// Links that lead nowhere, from an address.
    LinkNear,
    /// The same from a wide network.
    LinkWide,
    /// Joining by one invite from one address, in vain: the login was taken.
    Invited,
    /// Notes in the audit log that strangers are braked at a login; one is enough for an hour.
    Noted,
    /// All such notes: a flood of many logins writes no flood of notes.
    Notes,
}

const KINDS: usize = 11;

impl Kind {
    fn rate(self, rates: &SignInRates) -> Rate {
        match self {
            Self::Near => rates.address,
            Self::Wide => rates.address.wide(),
            Self::LoginNear | Self::Device => rates.login,
            Self::LoginWide => rates.login.wide(),
            Self::DeviceWork => rate(30, 2_000),
            Self::LinkNear => rate(30, 2_000),
            Self::LinkWide => rate(30, 2_000).wide(),
            Self::Invited => rate(10, 20_000),
            Self::Noted => rate(1, 3_600_000),
            Self::Notes => rate(20, 60_000),
        }
    }

    const fn refusal(self) -> &'static str {
        match self {
            Self::Near => "too many attempts to sign in from your address",
            Self::Wide => "too many attempts to sign in from your network",
            Self::LoginNear | Self::LoginWide => "too many wrong passwords for this login from where you are",
            Self::Device => "too many wrong passwords on this device",
            Self::DeviceWork => "too many sign-ins of this device",
            Self::LinkNear | Self::LinkWide => "too many links that are not good, from where you are",
            Self::Invited => "too many logins that are taken: think of a rarer one",
            Self::Noted | Self::Notes => "enough notes",
        }
    }
}

/// An attempt that was let through: to be given back when what was guessed is right.
#[derive(Debug, Default)]
#[must_use]
pub struct Guess(Vec<(Kind, u64)>);

/// Limits guesses.
#[derive(Debug, Default)]
pub struct GuessLimits {
    rates: RwLock<SignInRates>,
    hasher: RandomState,
    buckets: [Mutex<Buckets>; KINDS],
}

impl GuessLimits {
    /// From now on these rates hold; what was tried before counts.
    pub fn set(&self, rates: SignInRates) {
        *self.rates.write().unwrap_or_else(PoisonError::into_inner) = rates;
    }

    fn rate(&self, kind: Kind) -> Rate {
        kind.rate(&self.rates.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// A stranger tries a password for `login`.
    pub fn stranger(&self, now: Mono, login: &str, from: IpAddr) -> Result<Guess, Problem> {
        let (near, wide) = networks(from);
        self.take(now, Kind::Near, near)?;
        self.take(now, Kind::Wide, wide)?;
        Ok(Guess(vec![
            self.take(now, Kind::LoginNear, (login, near))?,
            self.take(now, Kind::LoginWide, (login, wide))?,
        ]))
    }

    /// A device that was signed in before tries a password.
    pub fn known(&self, now: Mono, device: DeviceId) -> Result<Guess, Problem> {
        self.take(now, Kind::DeviceWork, device)?;
        Ok(Guess(vec![self.take(now, Kind::Device, device)?]))
    }

    /// Somebody shows what should be a link's token.
    pub fn link(&self, now: Mono, from: IpAddr) -> Result<Guess, Problem> {
        let (near, wide) = networks(from);
        Ok(Guess(vec![self.take(now, Kind::LinkNear, near)?, self.take(now, Kind::LinkWide, wide)?]))
    }

    /// Somebody with an invite tries a login that may be taken.
    pub fn invited(&self, now: Mono, invite: InviteId, from: IpAddr) -> Result<Guess, Problem> {
        Ok(Guess(vec![self.take(now, Kind::Invited, (invite, networks(from).0))?]))
    }

    /// Whether it is worth a note that strangers are braked at this login.
    pub fn note(&self, now: Mono, login: &str) -> bool {
        self.take(now, Kind::Noted, login).is_ok() && self.take(now, Kind::Notes, ()).is_ok()
    }

    /// What was guessed was right: the attempt does not count.
    pub fn forgive(&self, guess: Guess) {
        for (kind, key) in guess.0 {
            let rate = self.rate(kind);
            self.buckets(kind).give_back(rate, key);
        }
    }

    fn take(&self, now: Mono, kind: Kind, key: impl Hash) -> Result<(Kind, u64), Problem> {
        let key = self.hasher.hash_one(key);
        let rate = self.rate(kind);
        let taken = self.buckets(kind).take(rate, now, key);
        match taken {
            Ok(_) => Ok((kind, key)),
            Err(wait) => {
                let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
                let detail = format!("{}: wait {seconds} s", kind.refusal());
                Err(Problem::new(ProblemKind::RateLimited, detail).retry_after_s(seconds))
            }
        }
    }

    fn buckets(&self, kind: Kind) -> std::sync::MutexGuard<'_, Buckets> {
        self.buckets[kind as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where an address is, near: a customer usually has a whole /64.
pub(crate) fn network(address: IpAddr) -> u128 {
    networks(address).0
}

/// Where an address is, near and wide.
fn networks(address: IpAddr) -> (u128, u128) {
    match address.to_canonical() {
        IpAddr::V4(v4) => (v4.to_bits().into(), (v4.to_bits() >> 8 << 8).into()),
        IpAddr::V6(v6) => (v6.to_bits() >> 64 << 64, v6.to_bits() >> 80 << 80),
    }
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

    fn device(n: u8) -> DeviceId {
        DeviceId::from_bytes([n; 16])
    }

    /// Tries until it is refused, at most `most` times; how often it was let through.
    fn flood(most: usize, mut attempt: impl FnMut(usize) -> Result<Guess, Problem>) -> usize {
        (0..most).find(|n| attempt(*n).is_err()).unwrap_or(most)
    }

    #[test]
    fn a_login_can_be_guessed_at_only_slowly() {
        let limits = GuessLimits::default();
        let here = address("192.0.2.1");
        assert_eq!(flood(100, |_| limits.stranger(NOW, "sam", here)), 10);
        let refused = limits.stranger(NOW, "sam", here).unwrap_err();
        assert!(refused.is(ProblemKind::RateLimited));
        assert_eq!(refused.retry_after_s, Some(21));
        assert!(limits.stranger(NOW + Duration::from_secs(19), "sam", here).is_err());
        let _ = limits.stranger(NOW + Duration::from_secs(20), "sam", here).unwrap();
        let _ = limits.stranger(NOW, "alex", here).unwrap();
    }

    #[test]
    fn whoever_floods_a_login_does_not_lock_its_owner_out() {
        let limits = GuessLimits::default();
        // For an hour, ten times a second, from the very network that the owner is in.
        let shared = address("192.0.2.1");
        let mut through = 0;
        for tick in 0..36_000_u64 {
            let now = NOW + Duration::from_millis(100 * tick);
            through += usize::from(limits.stranger(now, "sam", shared).is_ok());
            if tick % 3_000 == 2_999 {
                // Every five minutes the owner signs in: from elsewhere, and here with their own device.
                let guess = limits.stranger(now, "sam", address("198.51.100.7")).expect("elsewhere");
                limits.forgive(guess);
                let guess = limits.known(now, device(1)).expect("with a known device");
                limits.forgive(guess);
                assert!(limits.stranger(now, "sam", shared).is_err(), "and the flood is braked");
            }
        }
        assert!(through <= 10 + 3_600 / 20 + 1, "{through}");
    }

    #[test]
    fn a_whole_network_is_not_a_thousand_strangers() {
        let limits = GuessLimits::default();
        // One guess a /64, from a /48; and one an address, from a /24.
        assert_eq!(flood(1_000, |n| limits.stranger(NOW, "sam", address(&format!("2001:db8:1:{n:x}::1")))), 40);
        assert_eq!(flood(250, |n| limits.stranger(NOW, "sam", address(&format!("192.0.2.{n}")))), 40);
        // Over many logins it is the network that counts.
        let many = |n: usize| limits.stranger(NOW, &format!("user{n}"), address(&format!("2001:db8:2:{n:x}::1")));
        assert_eq!(flood(1_000, many), 240);
        let one = |n: usize| limits.stranger(NOW, &format!("user{n}"), address(&format!("2001:db8:3::{n:x}")));
        assert_eq!(flood(1_000, one), 60);
        let _ = limits.stranger(NOW, "sam", address("2001:db8:4::1")).unwrap();
    }

    #[test]
    fn mapped_addresses_are_the_same_place() {
        let limits = GuessLimits::default();
        assert_eq!(flood(100, |_| limits.stranger(NOW, "sam", address("192.0.2.1"))), 10);
        assert!(limits.stranger(NOW, "sam", address("::ffff:192.0.2.1")).is_err());
    }

    #[test]
    fn what_is_right_does_not_count_as_a_guess() {
        let limits = GuessLimits::default();
        let mut now = NOW;
        for _ in 0..1_000 {
            let guess = limits.stranger(now, "sam", address("192.0.2.1")).unwrap();
            limits.forgive(guess);
            now = now + Duration::from_secs(1);
        }
        for _ in 0..1_000 {
            let guess = limits.link(NOW, address("192.0.2.1")).unwrap();
            limits.forgive(guess);
        }
    }

    #[test]
    fn a_known_device_guesses_slowly_and_works_only_so_much() {
        let limits = GuessLimits::default();
        assert_eq!(flood(100, |_| limits.known(NOW, device(1))), 10);
        let _ = limits.known(NOW, device(2)).unwrap();
        // Right passwords too: each is a hash.
        let right = |_| {
            limits.known(NOW, device(3)).map(|guess| {
                limits.forgive(guess);
                Guess::default()
            })
        };
        assert_eq!(flood(100, right), 30);
    }

    #[test]
    fn links_and_taken_logins_are_guessed_slowly_where_the_guesser_is() {
        let limits = GuessLimits::default();
        let (here, there) = (address("192.0.2.1"), address("198.51.100.1"));
        assert_eq!(flood(100, |_| limits.link(NOW, here)), 30);
        let _ = limits.link(NOW, there).unwrap();
        let invite = InviteId::from_bytes([1; 16]);
        assert_eq!(flood(100, |_| limits.invited(NOW, invite, here)), 10);
        let _ = limits.invited(NOW, invite, there).expect("others join by the same invite");
    }

    #[test]
    fn a_braked_login_is_noted_once_an_hour_and_a_flood_of_logins_is_no_flood_of_notes() {
        let limits = GuessLimits::default();
        assert!(limits.note(NOW, "sam") && !limits.note(NOW, "sam"));
        assert!(limits.note(NOW + Duration::from_secs(3_600), "sam"));
        let noted = (0..10_000).filter(|n| limits.note(NOW, &format!("user{n}"))).count();
        assert!(noted <= 20, "{noted}");
    }

    #[test]
    fn rates_are_set_while_it_runs_and_a_network_has_four_times_as_much() {
        let limits = GuessLimits::default();
        let here = address("192.0.2.1");
        assert_eq!(flood(5, |_| limits.stranger(NOW, "sam", here)), 5);
        limits.set(SignInRates { login: rate(2, 20_000), address: rate(20, 1_000) });
        assert!(limits.stranger(NOW, "sam", here).is_err(), "what was tried before counts");
        assert_eq!(flood(100, |n| limits.stranger(NOW, "alex", address(&format!("198.51.100.{n}")))), 8);
        assert_eq!(flood(100, |_| limits.known(NOW, device(1))), 2);
    }

    #[test]
    fn memory_is_bounded_and_the_busy_stay_known() {
        let (mut buckets, rate) = (Buckets::default(), SignInRates::default().login);
        for _ in 0..rate.burst {
            buckets.take(rate, NOW, 0).unwrap();
        }
        for key in 1..=(BUCKETS_MAX as u64 + 100) {
            buckets.take(rate, NOW, key).unwrap();
        }
        assert_eq!(buckets.full_at.len(), BUCKETS_MAX);
        assert!(buckets.take(rate, NOW, 0).is_err(), "the one under attack is not forgotten");
    }
}
