//! Who the server is to its clients: its certificate, and the local authority that vouches for it.
//!
//! Unless the operator brings a certificate, the first start makes a root (P-256, 10 years) in the keys folder and a server
//! certificate under it. `hollerd trust` puts the root into the trust stores of this machine ([`crate::trust`]). The root may
//! only vouch for this host, the configured names and private address ranges (RFC 5280 section 4.2.1.10): a stolen `ca.key`
//! is of no use against other sites. The server certificate lives 397 days, the longest that browsers take, and is renewed
//! at a start that finds it with less than 30 days left, or without a name that is now configured.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{
    BasicConstraints, CertificateParams, CidrSubnet, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    GeneralSubtree, IsCa, Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::crypto::CryptoProvider;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

use crate::config::Config;

const DAY: Duration = Duration::from_secs(86_400);
const CA_LIFETIME: Duration = Duration::from_secs(3_652 * 86_400);
/// The longest that the CA/Browser forum's rules and Apple's clients took when this was written.
const LEAF_LIFETIME: Duration = Duration::from_secs(397 * 86_400);
/// A start that finds less than this left makes a new one; servers are started more often than once a month for updates.
const LEAF_LEFT_MIN: Duration = Duration::from_secs(30 * 86_400);

/// The file of the root certificate in the keys folder, for clients and trust stores.
pub const CA_CERTIFICATE: &str = "ca.pem";
const CA_KEY: &str = "ca.key";
const LEAF_CERTIFICATE: &str = "server.pem";
const LEAF_KEY: &str = "server.key";

/// Why the server has no certificate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PkiError {
    /// A file can't be read or written.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file holds no certificate or key that can be used.
    #[error("{path}: expected {expected}: {reason}")]
    Content {
        /// The file.
        path: PathBuf,
        /// What it should hold.
        expected: &'static str,
        /// Why it does not.
        reason: String,
    },
    /// One half of the local CA is missing.
    #[error(
        "{present} is there but {missing} is not: restore it from a backup, or remove both to have a new local CA made"
    )]
    HalfAuthority {
        /// The file that is there.
        present: PathBuf,
        /// The file that is not.
        missing: PathBuf,
    },
    /// A certificate can't be made.
    #[error("can't make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// TLS can't be set up.
    #[error("can't set up TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The server's certificate and key, ready to serve.
pub struct Identity {
    /// The server's certificate first.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// The root that clients must trust; absent with an own certificate.
    pub root: Option<PathBuf>,
    /// What was made just now, if anything.
    pub made: Made,
}

/// What a start had to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Made {
    /// Everything was there and good.
    Nothing,
    /// A new server certificate, under the root that was there.
    Certificate,
    /// A new root, and a certificate under it: trust stores must be told.
    Authority,
}

impl Identity {
    /// Reads the operator's certificate, or reads, renews or makes those of the local CA. `now` is the time since 1970.
    pub fn load(config: &Config, now: Duration) -> Result<Self, PkiError> {
        match &config.tls {
            Some(own) => Ok(Self {
                chain: read_chain(&own.certificate)?,
                key: read_key(&own.key)?,
                root: None,
                made: Made::Nothing,
            }),
            None => local(&config.keys, &names(&config.public_names), now),
        }
    }

    /// Why clients refuse the certificate at `now`, apart from who vouches for it; `None`: they have no reason.
    pub fn out_of_date(&self, now: Duration) -> Option<String> {
        let (_, certificate) = x509_parser::parse_x509_certificate(self.chain.first()?).ok()?;
        let validity = certificate.validity();
        let at = |time: i64| Duration::from_secs(u64::try_from(time).unwrap_or(0));
        if now >= at(validity.not_after.timestamp()) {
            return Some(format!("it expired on {}", validity.not_after));
        }
        (now < at(validity.not_before.timestamp())).then(|| format!("it is valid only from {} on", validity.not_before))
    }

    /// TLS 1.3 only, HTTP/1.1 (which carries the socket), tickets sealed with a key of this process.
    pub fn server_config(self) -> Result<rustls::ServerConfig, PkiError> {
        let mut config = rustls::ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_no_client_auth()
            .with_single_cert(self.chain, self.key)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        Ok(config)
    }
}

/// The cryptography behind TLS, passed explicitly so that no crate's default is picked up by accident.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Makes the keys folder where it is missing, readable by its owner only.
pub fn make_keys_folder(keys: &Path) -> Result<(), PkiError> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(keys)
        .map_err(|source| PkiError::File { path: keys.to_owned(), source })
}

/// Every name that the certificate must carry.
fn names(configured: &[String]) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()];
    let host = rustix::system::uname().nodename().to_string_lossy().to_lowercase();
    for name in std::iter::once(host).chain(configured.iter().map(|name| name.to_lowercase())) {
        if ServerName::try_from(name.as_str()).is_ok() && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn local(keys: &Path, names: &[String], now: Duration) -> Result<Identity, PkiError> {
    make_keys_folder(keys)?;
    let [ca_pem, ca_key, leaf_pem, leaf_key] =
        [CA_CERTIFICATE, CA_KEY, LEAF_CERTIFICATE, LEAF_KEY].map(|name| keys.join(name));
    match (ca_pem.exists(), ca_key.exists()) {
        (true, true) => {}
        (false, false) => return make_all(keys, names, now),
        (true, false) => return Err(PkiError::HalfAuthority { present: ca_pem, missing: ca_key }),
        (false, true) => return Err(PkiError::HalfAuthority { present: ca_key, missing: ca_pem }),
    }
    let root = read_chain(&ca_pem)?.swap_remove(0);
    if !outlives(&root, now) {
        return make_all(keys, names, now);
    }
    if leaf_pem.exists() && leaf_key.exists() {
        let (chain, key) = (read_chain(&leaf_pem)?, read_key(&leaf_key)?);
        if vouches(&root, &chain[0], names, now + LEAF_LEFT_MIN) {
            return Ok(Identity { chain, key, root: Some(ca_pem), made: Made::Nothing });
        }
    }
    let ca_key = read_text(&ca_key)?;
    let issuer = KeyPair::from_pem(&ca_key).and_then(|key| Issuer::from_ca_cert_der(&root, key)).map_err(|error| {
        PkiError::Content { path: keys.join(CA_KEY), expected: "the local CA's key (PEM)", reason: error.to_string() }
    })?;
    let (chain, key) = make_leaf(keys, &issuer, names, now)?;
    if vouches(&root, &chain[0], names, now + LEAF_LEFT_MIN) {
        return Ok(Identity { chain, key, root: Some(ca_pem), made: Made::Certificate });
    }
    // Its constraints do not reach a name that was configured later.
    make_all(keys, names, now)
}

/// Whether a root will still be valid when a certificate that is made now ends. TLS libraries differ in whether they look at
/// a root's own dates, so it is checked here.
fn outlives(root: &CertificateDer<'_>, now: Duration) -> bool {
    let until = x509_parser::parse_x509_certificate(root).map(|(_, root)| root.validity().not_after.timestamp());
    until.is_ok_and(|until| u64::try_from(until).is_ok_and(|until| Duration::from_secs(until) >= now + LEAF_LIFETIME))
}

/// Whether clients that trust `root` take `leaf` for every one of `names` at the time `at`.
fn vouches(root: &CertificateDer<'_>, leaf: &CertificateDer<'_>, names: &[String], at: Duration) -> bool {
    let mut roots = RootCertStore::empty();
    if roots.add(root.clone().into_owned()).is_err() {
        return false;
    }
    let Ok(verifier) = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider()).build() else {
        return false;
    };
    names.iter().all(|name| {
        ServerName::try_from(name.as_str()).is_ok_and(|name| {
            verifier.verify_server_cert(leaf, &[], &name, &[], UnixTime::since_unix_epoch(at)).is_ok()
        })
    })
}

fn make_all(keys: &Path, names: &[String], now: Duration) -> Result<Identity, PkiError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Holler local CA");
    // Trust stores list roots by this name: it says whose it is, and the number keeps a later one of the same host apart.
    let host = names.get(3).map_or("localhost", String::as_str);
    params.distinguished_name.push(DnType::CommonName, format!("Holler local CA on {host} ({})", now.as_secs()));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints =
        Some(NameConstraints { permitted_subtrees: permitted(names), excluded_subtrees: Vec::new() });
    set_validity(&mut params, now.saturating_sub(DAY), now + CA_LIFETIME);
    let certificate = params.self_signed(&key)?;
    write_secret(&keys.join(CA_KEY), &key.serialize_pem())?;
    write_secret(&keys.join(CA_CERTIFICATE), &certificate.pem())?;
    let (chain, key) = make_leaf(keys, &Issuer::new(params, key), names, now)?;
    Ok(Identity { chain, key, root: Some(keys.join(CA_CERTIFICATE)), made: Made::Authority })
}

fn make_leaf(
    keys: &Path,
    issuer: &Issuer<'_, KeyPair>,
    names: &[String],
    now: Duration,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PkiError> {
    let key = KeyPair::generate()?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Holler");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    // A day back, so that a client whose clock lags takes it; both together stay within the 397 days.
    set_validity(&mut params, now.saturating_sub(DAY), now + LEAF_LIFETIME - DAY);
    let certificate = params.signed_by(&key, issuer)?;
    write_secret(&keys.join(LEAF_KEY), &key.serialize_pem())?;
    write_secret(&keys.join(LEAF_CERTIFICATE), &certificate.pem())?;
    Ok((read_chain(&keys.join(LEAF_CERTIFICATE))?, read_key(&keys.join(LEAF_KEY))?))
}

/// This host's names, and the names and addresses that never belong to a public site.
fn permitted(names: &[String]) -> Vec<GeneralSubtree> {
    let mut permitted: Vec<_> =
        ["local", "internal", "home.arpa", "test"].map(|name| GeneralSubtree::DnsName(name.to_owned())).into();
    for range in
        [([127, 0, 0, 0], 8), ([10, 0, 0, 0], 8), ([172, 16, 0, 0], 12), ([192, 168, 0, 0], 16), ([169, 254, 0, 0], 16)]
    {
        permitted.push(GeneralSubtree::IpAddress(CidrSubnet::from_v4_prefix(range.0, range.1)));
    }
    for (address, prefix) in
        [(Ipv6Addr::LOCALHOST, 128), (Ipv6Addr::from(0xfc_u128 << 120), 7), (Ipv6Addr::from(0xfe80_u128 << 112), 10)]
    {
        permitted.push(GeneralSubtree::IpAddress(CidrSubnet::from_v6_prefix(address.octets(), prefix)));
    }
    for name in names {
        permitted.push(match name.parse::<IpAddr>() {
            Ok(address) => GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(
                address,
                if address.is_ipv4() { 32 } else { 128 },
            )),
            Err(_) => GeneralSubtree::DnsName(name.clone()),
        });
    }
    permitted
}

fn set_validity(params: &mut CertificateParams, from: Duration, until: Duration) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from.as_secs());
    params.not_after = epoch + Duration::from_secs(until.as_secs());
}

/// The files of the local CA in the keys folder: its root, the server's certificate, the server's key.
pub fn local_files(keys: &Path) -> [PathBuf; 3] {
    [CA_CERTIFICATE, LEAF_CERTIFICATE, LEAF_KEY].map(|name| keys.join(name))
}

/// Reads a certificate chain and its key.
pub fn read(
    certificate: &Path,
    key: &Path,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), PkiError> {
    Ok((read_chain(certificate)?, read_key(key)?))
}

/// Whether `key` is that of the first certificate.
pub fn fits(chain: &[CertificateDer<'static>], key: PrivateKeyDer<'static>) -> Result<(), rustls::Error> {
    rustls::sign::CertifiedKey::from_der(chain.to_vec(), key, &provider())?.keys_match()
}

/// Whether `certificate` is for `name`, whoever vouches for it.
pub fn names_match(certificate: &CertificateDer<'_>, name: &str) -> bool {
    let Ok(name) = ServerName::try_from(name) else { return false };
    rustls::server::ParsedCertificate::try_from(certificate)
        .is_ok_and(|parsed| rustls::client::verify_server_name(&parsed, &name).is_ok())
}

/// A client that trusts what the machine trusts.
pub fn system_client() -> Result<rustls::ClientConfig, PkiError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    client_of(roots)
}

pub(crate) fn client_of(roots: RootCertStore) -> Result<rustls::ClientConfig, PkiError> {
    Ok(rustls::ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// What a client of a server with these settings should trust: the local CA, or with an own certificate what the machine trusts.
pub fn client(config: &Config) -> Result<rustls::ClientConfig, PkiError> {
    if config.tls.is_some() {
        return system_client();
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(read_chain(&config.keys.join(CA_CERTIFICATE))?);
    client_of(roots)
}

fn read_text(path: &Path) -> Result<String, PkiError> {
    std::fs::read_to_string(path).map_err(|source| PkiError::File { path: path.to_owned(), source })
}

/// Reads certificates, at least one.
pub fn read_chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let content = |reason: String| PkiError::Content { path: path.to_owned(), expected: "certificates (PEM)", reason };
    let chain = CertificateDer::pem_slice_iter(read_text(path)?.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| content(error.to_string()))?;
    if chain.is_empty() {
        return Err(content("found none".to_owned()));
    }
    Ok(chain)
}

fn read_key(path: &Path) -> Result<PrivateKeyDer<'static>, PkiError> {
    PrivateKeyDer::from_pem_slice(read_text(path)?.as_bytes()).map_err(|error| PkiError::Content {
        path: path.to_owned(),
        expected: "a private key (PEM)",
        reason: error.to_string(),
    })
}

/// Writes a file that only its owner may read; a crash leaves the old one or the new one, never a piece.
fn write_secret(path: &Path, text: &str) -> Result<(), PkiError> {
    let fresh = path.with_extension("new");
    let write = || {
        let _ = std::fs::remove_file(&fresh);
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        std::fs::rename(&fresh, path)
    };
    write().map_err(|source| PkiError::File { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    const NOW: Duration = Duration::from_secs(1_790_000_000);

    fn load(keys: &Path, configured: &[&str], now: Duration) -> Identity {
        let configured: Vec<_> = configured.iter().map(|name| (*name).to_owned()).collect();
        local(keys, &names(&configured), now).unwrap()
    }

    fn root(keys: &Path) -> CertificateDer<'static> {
        read_chain(&keys.join(CA_CERTIFICATE)).unwrap().swap_remove(0)
    }

    #[test]
    fn the_first_start_makes_a_root_and_later_ones_keep_it() {
        let dir = tempfile::tempdir().unwrap();
        let keys = dir.path().join("keys");
        let first = load(&keys, &["radio.example.org", "192.0.2.7"], NOW);
        assert_eq!(first.made, Made::Authority);
        let expected = ["localhost", "127.0.0.1", "::1", "radio.example.org", "192.0.2.7"].map(str::to_owned);
        assert!(vouches(&root(&keys), &first.chain[0], &expected, NOW));
        assert!(!vouches(&root(&keys), &first.chain[0], &["other.example.org".to_owned()], NOW));
        assert!(!vouches(&root(&keys), &first.chain[0], &expected, NOW + LEAF_LIFETIME));
        for (path, mode) in [(keys.clone(), 0o700), (keys.join(CA_KEY), 0o600), (keys.join(LEAF_KEY), 0o600)] {
            assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, mode);
        }
        let second = load(&keys, &["radio.example.org", "192.0.2.7"], NOW + Duration::from_secs(3_600));
        assert_eq!((second.made, second.chain), (Made::Nothing, first.chain));
    }

    #[test]
    fn a_certificate_near_its_end_is_renewed_under_the_same_root() {
        let dir = tempfile::tempdir().unwrap();
        load(dir.path(), &[], NOW);
        let before = root(dir.path());
        assert_eq!(load(dir.path(), &[], NOW + LEAF_LIFETIME - 40 * DAY).made, Made::Nothing);
        assert_eq!(load(dir.path(), &[], NOW + LEAF_LIFETIME - 20 * DAY).made, Made::Certificate);
        assert_eq!(load(dir.path(), &[], NOW + LEAF_LIFETIME - 20 * DAY).made, Made::Nothing);
        assert_eq!(root(dir.path()), before);
        let first = load(dir.path(), &[], NOW);
        assert_eq!(first.out_of_date(NOW), None);
        assert!(first.out_of_date(NOW + 2 * LEAF_LIFETIME).unwrap().contains("expired on"));
        assert!(first.out_of_date(Duration::ZERO).unwrap().contains("only from"));
        assert_eq!(load(dir.path(), &[], NOW + CA_LIFETIME - LEAF_LIFETIME + DAY).made, Made::Authority);
    }

    #[test]
    fn a_name_configured_later_is_added() {
        let dir = tempfile::tempdir().unwrap();
        load(dir.path(), &[], NOW);
        assert_eq!(load(dir.path(), &["radio.internal"], NOW).made, Made::Certificate, "within the root's constraints");
        assert_eq!(load(dir.path(), &["radio.example.org"], NOW).made, Made::Authority, "beyond them");
    }

    #[test]
    fn the_root_can_not_vouch_for_other_sites() {
        let dir = tempfile::tempdir().unwrap();
        load(dir.path(), &[], NOW);
        let (root, key) = (root(dir.path()), read_text(&dir.path().join(CA_KEY)).unwrap());
        let issuer = Issuer::from_ca_cert_der(&root, KeyPair::from_pem(&key).unwrap()).unwrap();
        let sites = ["bank.example.com".to_owned()];
        let forged = tempfile::tempdir().unwrap();
        let (chain, _) = make_leaf(forged.path(), &issuer, &sites, NOW).unwrap();
        assert!(!vouches(&root, &chain[0], &sites, NOW));
    }

    #[test]
    fn half_an_authority_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        load(dir.path(), &[], NOW);
        std::fs::remove_file(dir.path().join(CA_KEY)).unwrap();
        let before = root(dir.path());
        assert!(matches!(local(dir.path(), &names(&[]), NOW), Err(PkiError::HalfAuthority { .. })));
        assert_eq!(root(dir.path()), before);
    }

    #[test]
    fn an_own_certificate_needs_its_own_key() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        load(one.path(), &[], NOW);
        load(other.path(), &[], NOW);
        let mixed = Identity {
            chain: read_chain(&one.path().join(LEAF_CERTIFICATE)).unwrap(),
            key: read_key(&other.path().join(LEAF_KEY)).unwrap(),
            root: None,
            made: Made::Nothing,
        };
        assert!(matches!(mixed.server_config(), Err(PkiError::Tls(_))));
        assert!(load(one.path(), &[], NOW).server_config().is_ok());
    }
}
