//! The certificates that a browser takes by their hash.
//!
//! A browser that is given `serverCertificateHashes` takes a certificate that nobody vouches for, if its SHA-256 was named, its key
//! is of P-256, and it is valid for no more than 14 days (WebTransport, section "Custom certificate hash verification"). So each lives
//! 14 days, and is shown for 6 of them. The next one is made one turn ahead, and every offer names both: a client that was given an
//! offer just before the turn gets in after it.

use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use wtransport::quinn::crypto::rustls::QuicServerConfig;
use wtransport::tls::WEBTRANSPORT_ALPN;

const DAY: Duration = Duration::from_secs(86_400);
/// How long a certificate is valid, its first day before it was made included: the most that browsers take.
const LIFETIME: Duration = DAY.saturating_mul(14);
/// How long one is shown. Made a turn earlier, it is then 12 days old, of the 13 that are left to it.
pub(super) const TURN: Duration = DAY.saturating_mul(6);

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(in crate::voice) enum CertificateError {
    /// It could not be made.
    #[error("a certificate for WebTransport could not be made: {0}")]
    Make(#[from] rcgen::Error),
    /// TLS does not take it.
    #[error("TLS does not take the certificate for WebTransport: {0}")]
    Tls(#[from] rustls::Error),
    /// QUIC does not take it.
    #[error("QUIC does not take the TLS settings: {0}")]
    Quic(#[from] wtransport::quinn::crypto::rustls::NoInitialCipherSuite),
}

/// One, with its key.
struct Certificate {
    der: CertificateDer<'static>,
    key: KeyPair,
}

impl Certificate {
    /// Makes one. `now`: since 1970.
    fn new(now: Duration) -> Result<Self, CertificateError> {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        // No name is compared where the hash is.
        let mut params = CertificateParams::new(["localhost".to_owned()])?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Holler voice");
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        // A day back, so that a client whose clock lags takes it.
        let from = Duration::from_secs(now.saturating_sub(DAY).as_secs());
        params.not_before = epoch + from;
        params.not_after = epoch + from + LIFETIME;
        let der = params.self_signed(&key)?.der().clone();
        Ok(Self { der, key })
    }

    fn hash(&self) -> String {
        URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, &self.der))
    }

    /// TLS 1.3 for HTTP/3 with this certificate.
    fn tls(&self) -> Result<QuicServerConfig, CertificateError> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der())
            .map_err(|error| rustls::Error::General(error.to_owned()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(vec![self.der.clone()], key)?;
        tls.alpn_protocols = vec![WEBTRANSPORT_ALPN.to_vec()];
        Ok(QuicServerConfig::try_from(tls)?)
    }
}

/// The one that is shown, and the next.
pub(super) struct Certificates {
    current: Certificate,
    next: Certificate,
    /// When the current one was first shown, since 1970.
    since: Duration,
}

impl Certificates {
    /// Makes both. `now`: since 1970.
    pub(super) fn new(now: Duration) -> Result<Self, CertificateError> {
        Ok(Self { current: Certificate::new(now)?, next: Certificate::new(now)?, since: now })
    }

    /// Whether it is time for the next one. A wall clock that was set back turns at once: what lies in the future is not valid yet.
    pub(super) fn is_due(&self, now: Duration) -> bool {
        now.checked_sub(self.since).is_none_or(|shown| shown >= TURN)
    }

    /// The next one is shown from now on. After a pause of more than a turn, in which it grew old too, both are new.
    pub(super) fn turn(&mut self, now: Duration) -> Result<(), CertificateError> {
        let in_turn = now.checked_sub(self.since).is_some_and(|shown| shown < TURN + DAY);
        let next = Certificate::new(now)?;
        let before = std::mem::replace(&mut self.next, next);
        self.current = if in_turn { before } else { Certificate::new(now)? };
        self.since = now;
        Ok(())
    }

    /// What an offer names: the SHA-256 of both, in base64url.
    pub(super) fn hashes(&self) -> Vec<String> {
        vec![self.current.hash(), self.next.hash()]
    }

    /// How connections are encrypted from now on.
    pub(super) fn tls(&self) -> Result<QuicServerConfig, CertificateError> {
        self.current.tls()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_790_000_000);

    fn validity(certificate: &Certificate) -> (Duration, Duration) {
        let (_, parsed) = x509_parser::parse_x509_certificate(&certificate.der).unwrap();
        let at = |at: x509_parser::time::ASN1Time| Duration::from_secs(u64::try_from(at.timestamp()).unwrap());
        (at(parsed.validity().not_before), at(parsed.validity().not_after))
    }

    /// What a browser asks of a certificate that it takes by its hash.
    #[test]
    fn a_certificate_is_of_p_256_and_valid_for_no_more_than_14_days() {
        let certificate = Certificate::new(NOW).unwrap();
        let (from, until) = validity(&certificate);
        assert!(from < NOW && until - from <= DAY * 14, "{from:?} to {until:?}");
        assert!(certificate.key.is_compatible(&PKCS_ECDSA_P256_SHA256));
        assert_eq!(certificate.hash().len(), 43);
        assert!(certificate.tls().is_ok());
    }

    /// At any time over a year, the certificate shown is valid, and every offer of the last turn named it.
    #[test]
    fn an_offer_made_before_a_turn_holds_after_it() {
        let mut certificates = Certificates::new(NOW).unwrap();
        let mut turns = 0;
        let mut offered = certificates.hashes();
        for hour in 1..=(365 * 24) {
            let now = NOW + Duration::from_secs(3_600) * hour;
            if certificates.is_due(now) {
                certificates.turn(now).unwrap();
                turns += 1;
                assert!(offered.contains(&certificates.current.hash()), "an offer of an hour ago no longer holds");
            }
            let (from, until) = validity(&certificates.current);
            assert!(from < now && now + DAY / 2 < until, "shown outside its time at hour {hour}");
            offered = certificates.hashes();
        }
        assert_eq!(turns, 60);
    }

    #[test]
    fn after_a_long_pause_or_a_clock_set_back_both_are_new() {
        for now in [NOW + DAY * 40, NOW - DAY * 40] {
            let mut certificates = Certificates::new(NOW).unwrap();
            assert!(certificates.is_due(now));
            certificates.turn(now).unwrap();
            for certificate in [&certificates.current, &certificates.next] {
                let (from, until) = validity(certificate);
                assert!(from < now && now + DAY < until);
            }
        }
    }
}
