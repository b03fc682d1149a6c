//! Which addresses may be called.
//!
//! Where a browser is told is named by a client: without care, whoever has an account could have this server call what only the
//! server reaches. So a name is resolved here, and only public unicast addresses are called: none of the special-purpose ones
//! (RFC 6890 and the IANA registries), and none that embeds an IPv4 address. An operator may except the hosts of own services.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Name, Resolve, Resolving};
use url::{Host, Url};

/// IPv4 blocks that are not public: first address and prefix length.
const SPECIAL_V4: &[([u8; 4], u32)] = &[
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 52, 193, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([192, 175, 48, 0], 24),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 3),
];

/// Blocks within the global unicast addresses of IPv6, 2000::/3, that are not public.
const SPECIAL_V6: &[([u16; 3], u32)] = &[
    // IETF protocol assignments, Teredo among them.
    ([0x2001, 0, 0], 23),
    ([0x2001, 0xdb8, 0], 32),
    // 6to4 embeds an IPv4 address.
    ([0x2002, 0, 0], 16),
    ([0x2620, 0x4f, 0x8000], 48),
    ([0x3fff, 0, 0], 20),
];

/// Whether an address is public.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !SPECIAL_V4.iter().any(|(first, length)| {
            let mask = u32::MAX << (32 - length);
            address.to_bits() & mask == Ipv4Addr::from(*first).to_bits()
        }),
        IpAddr::V6(address) => {
            // Whatever lies elsewhere is mapped, translated, local, multicast or not assigned.
            address.segments()[0] & 0xe000 == 0x2000
                && !SPECIAL_V6.iter().any(|([a, b, c], length)| {
                    let mask = u128::MAX << (128 - length);
                    address.to_bits() & mask == Ipv6Addr::new(*a, *b, *c, 0, 0, 0, 0, 0).to_bits()
                })
        }
    }
}

/// Whom may be called.
#[derive(Clone, Debug)]
pub struct Policy(Arc<Rule>);

#[derive(Debug)]
enum Rule {
    Any,
    PublicOr(Vec<String>),
}

impl Policy {
    /// Anybody: the operator named them.
    pub fn any() -> Self {
        Self(Arc::new(Rule::Any))
    }

    /// Public addresses, and these hosts wherever they are.
    pub fn public_or(hosts: &[String]) -> Self {
        Self(Arc::new(Rule::PublicOr(hosts.iter().map(|host| host.to_ascii_lowercase()).collect())))
    }

    /// Whether a URL may be called, as far as it says so itself: a name is judged when it is resolved.
    pub fn allows(&self, url: &Url) -> bool {
        if url.scheme() != "https" || !url.username().is_empty() || url.password().is_some() {
            return false;
        }
        match (&*self.0, url.host()) {
            (_, None) => false,
            (Rule::Any, Some(_)) => true,
            (Rule::PublicOr(_), Some(Host::Domain(_))) => true,
            (Rule::PublicOr(hosts), Some(Host::Ipv4(address))) => {
                is_public(address.into()) || hosts.contains(&address.to_string())
            }
            (Rule::PublicOr(hosts), Some(Host::Ipv6(address))) => {
                is_public(address.into()) || hosts.contains(&address.to_string())
            }
        }
    }

    fn takes(&self, name: &str, address: IpAddr) -> bool {
        match &*self.0 {
            Rule::Any => true,
            Rule::PublicOr(hosts) => is_public(address) || hosts.iter().any(|host| host == name),
        }
    }
}

/// A name has no address that may be called.
#[derive(Debug, thiserror::Error)]
#[error("the name has no public address")]
pub struct NotPublic;

impl Resolve for Policy {
    fn resolve(&self, name: Name) -> Resolving {
        let policy = self.clone();
        Box::pin(async move {
            let name = name.as_str().trim_end_matches('.').to_ascii_lowercase();
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            // What is called is what was judged: the connection is made to these addresses, not to the name.
            let allowed: Vec<SocketAddr> = found.filter(|address| policy.takes(&name, address.ip())).collect();
            if allowed.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(allowed.into_iter()) as Box<dyn Iterator<Item = SocketAddr> + Send>)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn special_addresses_are_refused_in_every_encoding() {
        for special in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "127.255.0.1",
            "169.254.169.254",
            "172.31.0.1",
            "192.0.0.8",
            "192.168.1.1",
            "198.19.0.1",
            "203.0.113.5",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:8.8.8.8",
            "::ffff:127.0.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "100::1",
            "fc00::1",
            "fd00::1",
            "fe80::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
            "5f00::1",
        ] {
            assert!(!is_public(special.parse().unwrap()), "{special}");
        }
        for public in ["1.1.1.1", "8.8.8.8", "100.63.0.1", "172.32.0.1", "198.20.0.1", "2606:4700::1", "2a00:1450::1"] {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn an_endpoint_is_https_at_a_public_address_unless_its_host_is_named() {
        let policy = Policy::public_or(&["10.0.0.7".to_owned(), "push.corp".to_owned()]);
        let allows = |url: &str| policy.allows(&Url::parse(url).unwrap());
        for good in ["https://fcm.googleapis.com/x", "https://8.8.8.8/", "https://10.0.0.7:8443/x"] {
            assert!(allows(good), "{good}");
        }
        for bad in [
            "http://fcm.googleapis.com/x",
            "https://127.0.0.1/",
            "https://2130706433/",
            "https://0x7f.1/",
            "https://[::1]/",
            "https://[::ffff:10.0.0.7]/",
            "https://a:b@push.example.org/",
            "ftp://push.example.org/",
        ] {
            assert!(!allows(bad), "{bad}");
        }
        assert!(policy.takes("push.corp", "10.9.9.9".parse().unwrap()));
        assert!(!policy.takes("push.example.org", "10.9.9.9".parse().unwrap()));
    }

    #[tokio::test]
    async fn a_name_that_leads_inside_is_not_called() {
        let resolve = |policy: &Policy| policy.resolve("localhost".parse().unwrap());
        assert!(resolve(&Policy::public_or(&[])).await.is_err());
        assert!(resolve(&Policy::public_or(&["localhost".to_owned()])).await.is_ok());
    }
}
