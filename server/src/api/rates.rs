//! How many requests one device, or one address without a token, may make.
//!
//! A quota of q requests in a minute is a bucket that holds q and fills evenly (the generic cell rate algorithm, as in
//! [`crate::auth::limits`]): all of it may be used at once. Every answer says where the caller stands, in the fields `RateLimit` and
//! `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10; beyond the quota the answer is 429 with `Retry-After`. Requests whose
//! token is not good count for their address, so that guessing tokens is braked too. Attempts to sign in have limits of their own.

use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request};
use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;
use holler_core::units::{DeviceId, Mono};
use holler_core::wire::problem::{Problem, ProblemKind};

use crate::auth::limits::{Buckets, Rate, network};

/// The window that quotas are given for, s.
const WINDOW_S: u32 = 60;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STATE: HeaderName = HeaderName::from_static("ratelimit");

/// Requests in a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestRates {
    /// From one device.
    pub device: u32,
    /// Without a good token, from one address (IPv6: from one /64); a whole site may share an address.
    pub address: u32,
}

impl Default for RequestRates {
    fn default() -> Self {
        Self { device: 1_200, address: 1_200 }
    }
}

/// Counts requests.
#[derive(Debug, Default)]
pub struct RequestLimits {
    hasher: RandomState,
    devices: Mutex<Buckets>,
    addresses: Mutex<Buckets>,
}

/// Where a caller stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    name: &'static str,
    quota: u32,
    remaining: u32,
    /// Until the whole quota is there again, s.
    reset_s: u32,
    /// Until the next request is taken, s; 0: it is taken now.
    retry_after_s: u32,
}

impl RequestLimits {
    /// A request of a device.
    pub fn device(&self, now: Mono, rates: RequestRates, device: DeviceId) -> Standing {
        take(&self.devices, "device", rates.device, now, self.hasher.hash_one(device))
    }

    /// A request without a good token.
    pub fn address(&self, now: Mono, rates: RequestRates, address: IpAddr) -> Standing {
        take(&self.addresses, "address", rates.address, now, self.hasher.hash_one(network(address)))
    }
}

/// Whence a request came, as far as its connection says.
pub(super) fn address(request: &Request) -> IpAddr {
    let from = request.extensions().get::<ConnectInfo<SocketAddr>>();
    from.map_or(IpAddr::from([0, 0, 0, 0]), |ConnectInfo(from)| from.ip())
}

fn take(buckets: &Mutex<Buckets>, name: &'static str, quota: u32, now: Mono, key: u64) -> Standing {
    let interval = Duration::from_secs(WINDOW_S.into()) / quota.max(1);
    let rate = Rate { burst: quota.max(1), interval };
    let taken = buckets.lock().unwrap_or_else(PoisonError::into_inner).take(rate, now, key);
    let seconds = |span: Duration| u32::try_from(span.as_millis().div_ceil(1_000)).unwrap_or(u32::MAX);
    match taken {
        Ok(used) => {
            let spent = u32::try_from(used.as_nanos().div_ceil(interval.as_nanos().max(1))).unwrap_or(u32::MAX);
            Standing { name, quota, remaining: quota.saturating_sub(spent), reset_s: seconds(used), retry_after_s: 0 }
        }
        Err(wait) => Standing { name, quota, remaining: 0, reset_s: WINDOW_S, retry_after_s: seconds(wait).max(1) },
    }
}

impl Standing {
    /// Refuses a request beyond the quota.
    pub fn check(&self) -> Result<(), Problem> {
        if self.retry_after_s == 0 {
            return Ok(());
        }
        let Self { name, quota, retry_after_s, .. } = self;
        let detail = format!("more than {quota} requests a minute from this {name}: wait {retry_after_s} s");
        Err(Problem::new(ProblemKind::RateLimited, detail).retry_after_s(*retry_after_s))
    }

    /// Says in an answer where the caller stands.
    pub fn tell(&self, response: &mut Response) {
        let Self { name, quota, remaining, reset_s, .. } = self;
        let policy = format!("\"{name}\";q={quota};w={WINDOW_S}");
        let state = format!("\"{name}\";r={remaining};t={reset_s}");
        for (field, text) in [(POLICY, policy), (STATE, state)] {
            if let Ok(value) = HeaderValue::from_str(&text) {
                response.headers_mut().insert(field, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Mono = Mono(3_600_000_000);

    #[test]
    fn a_device_has_its_quota_and_gets_it_back_evenly() {
        let (limits, rates) = (RequestLimits::default(), RequestRates { device: 60, address: 1 });
        let one = DeviceId::from_bytes([1; 16]);
        let first = limits.device(NOW, rates, one);
        assert_eq!((first.remaining, first.reset_s, first.check()), (59, 1, Ok(())));
        for left in (0..59).rev() {
            assert_eq!(limits.device(NOW, rates, one).remaining, left);
        }
        let beyond = limits.device(NOW, rates, one);
        let refused = beyond.check().unwrap_err();
        assert!(refused.is(ProblemKind::RateLimited) && refused.retry_after_s == Some(1), "{refused}");
        assert!(limits.device(NOW, rates, DeviceId::from_bytes([2; 16])).check().is_ok(), "others are not held up");
        let later = limits.device(NOW + Duration::from_secs(10), rates, one);
        assert_eq!(later.remaining, 9);
    }

    #[test]
    fn what_is_told_is_what_the_draft_says() {
        let limits = RequestLimits::default();
        let standing = limits.address(NOW, RequestRates::default(), IpAddr::from([192, 0, 2, 1]));
        let mut response = Response::default();
        standing.tell(&mut response);
        assert_eq!(response.headers()["ratelimit-policy"], "\"address\";q=1200;w=60");
        assert_eq!(response.headers()["ratelimit"], "\"address\";r=1199;t=1");
    }
}
