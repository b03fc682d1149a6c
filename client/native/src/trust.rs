//! Which certificates this client trusts: the system's roots, and one more file for a company's or a local CA.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Why there is nothing to check certificates with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// The file with a further root can't be used.
    #[error("{}: expected certificates in PEM; {detail}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        detail: String,
    },
    /// The TLS library refuses.
    #[error("TLS can't be set up: {0}")]
    Tls(#[from] rustls::Error),
}

/// TLS 1.3 with the system's roots and those in `ca`.
///
/// A system without any roots is no error by itself: with `ca` it works, without it every server is refused, and the refusal
/// says what to do.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, TrustError> {
    let mut roots = RootCertStore::empty();
    // What the system holds and rustls can't read is of no use to anybody else's connection either.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = ca {
        let fault = |detail: String| TrustError::File { path: path.to_owned(), detail };
        let mut found = 0;
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| fault(error.to_string()))? {
            roots
                .add(certificate.map_err(|error| fault(error.to_string()))?)
                .map_err(|error| fault(error.to_string()))?;
            found += 1;
        }
        if found == 0 {
            return Err(fault("found none".to_owned()));
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// What to tell a person whose connection failed because of a certificate; `None` where it failed for another reason.
pub fn advice(error: &(dyn core::error::Error + 'static)) -> Option<String> {
    let certificate = find(error, &|error| match error.downcast_ref::<rustls::Error>() {
        Some(rustls::Error::InvalidCertificate(why)) => Some(why.clone()),
        Some(_) | None => None,
    })?;
    if certificate == rustls::CertificateError::UnknownIssuer {
        let what = "its issuer is not known here: run `hollerd trust` on the server's machine, or name the CA's certificate \
                    with --ca FILE";
        return Some(what.to_owned());
    }
    let expired =
        matches!(certificate, rustls::CertificateError::Expired | rustls::CertificateError::ExpiredContext { .. });
    if expired {
        let what =
            "it has expired: tell whoever runs the server to renew it; if it has not, this machine's clock is wrong";
        return Some(what.to_owned());
    }
    Some(format!("{certificate}: check the server's name and clock, or name its CA with --ca FILE"))
}

/// Looks through an error and its sources; an `io::Error` hides one inside.
fn find<T>(
    error: &(dyn core::error::Error + 'static),
    is: &impl Fn(&(dyn core::error::Error + 'static)) -> Option<T>,
) -> Option<T> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(found) = is(error) {
            return Some(found);
        }
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if let Some(found) = inner.and_then(|inner| find(inner, is)) {
            return Some(found);
        }
        next = error.source();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_certificates_is_refused_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        std::fs::write(&path, "no certificate").unwrap();
        let error = client_config(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("ca.pem") && error.contains("PEM"), "{error}");
        assert!(client_config(Some(Path::new("/nonexistent/ca.pem"))).is_err());
        assert!(client_config(None).is_ok());
    }

    #[test]
    fn an_unknown_issuer_is_found_inside_other_errors() {
        let tls = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let outer = std::io::Error::other(std::io::Error::other(tls));
        assert!(advice(&outer).unwrap().contains("hollerd trust"));
        assert_eq!(advice(&std::io::Error::other("reset")), None);
    }
}
