//! The certificate on disk: whether it is valid, for how long, for which names, and whether its key is there.

use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::Notes;
use crate::config::Config;
use crate::pki::{self, CA_CERTIFICATE, PkiError};

const WHY: &str = "Clients refuse a server whose certificate they can't check: nobody could sign in or talk.";
/// From here on it is told: time enough to act, also over holidays.
const LEFT_WARNING: Duration = Duration::from_secs(21 * 86_400);

/// Gives the server's certificate where it can be served.
pub(super) fn look(notes: &mut Notes<'_>, config: &Config, now: Duration) -> Option<Vec<u8>> {
    let (certificate, key, own) = match &config.tls {
        Some(own) => (own.certificate.clone(), own.key.clone(), true),
        None => {
            let [root, certificate, key] = pki::local_files(&config.keys);
            if !certificate.exists() && !root.exists() {
                notes.note("there is no certificate yet: the first start makes a local CA and one under it");
                return None;
            }
            expiry(
                notes,
                &root,
                now,
                "Start the server again: it makes a new local CA. Then run `hollerd trust` on every machine.",
            );
            (certificate, key, false)
        }
    };
    let (renew, broken) = if own {
        (
            "Renew it where it came from, then `systemctl reload hollerd` (or HUP).",
            "Name the right files with tls.certificate and tls.key.",
        )
    } else {
        (
            "Reload or restart the server: it makes a new one.",
            "Restore the keys folder from its backup, or remove both server.pem and server.key and restart.",
        )
    };
    let (chain, key) = match pki::read(&certificate, &key) {
        Ok(both) => both,
        Err(error) => {
            let denied =
                matches!(&error, PkiError::File { source, .. } if source.kind() == ErrorKind::PermissionDenied);
            let remedy =
                "The user that the server runs as must be able to read it: give it to them with chown or chmod.";
            notes.bad(error.to_string(), WHY, if denied { remedy } else { broken });
            return None;
        }
    };
    if let Err(error) = pki::fits(&chain, key) {
        notes.bad(format!("{}: the key is not that of the certificate ({error})", certificate.display()), WHY, broken);
        return None;
    }
    expiry(notes, &certificate, now, renew);
    names(notes, &certificate, &chain[0], config, own);
    Some(chain[0].to_vec())
}

fn expiry(notes: &mut Notes<'_>, path: &Path, now: Duration, remedy: &str) {
    let shown = path.display();
    let Ok(chain) = pki::read_chain(path) else {
        if path.ends_with(CA_CERTIFICATE) {
            notes.bad(format!("{shown} can't be read"), WHY, "Restore the keys folder from its backup.");
        }
        return;
    };
    let Ok((_, parsed)) = X509Certificate::from_der(&chain[0]) else {
        return notes.bad(format!("{shown} is no X.509 certificate"), WHY, remedy);
    };
    let at = |time: i64| Duration::from_secs(u64::try_from(time).unwrap_or(0));
    let (from, until) = (at(parsed.validity().not_before.timestamp()), at(parsed.validity().not_after.timestamp()));
    let days = until.saturating_sub(now).as_secs() / 86_400;
    if now < from {
        notes.bad(
            format!("{shown} is valid only from {} on", parsed.validity().not_before),
            WHY,
            "Look at the clock, or wait.",
        );
    } else if now >= until {
        notes.bad(format!("{shown} expired on {}", parsed.validity().not_after), WHY, remedy);
    } else if until - now < LEFT_WARNING {
        notes.warning(format!("{shown} expires in {days} days"), WHY, remedy);
    } else {
        notes.good(format!("{shown} is valid for another {days} days"));
    }
}

fn names(notes: &mut Notes<'_>, path: &Path, certificate: &CertificateDer<'_>, config: &Config, own: bool) {
    let missing: Vec<&str> =
        config.public_names.iter().map(String::as_str).filter(|name| !pki::names_match(certificate, name)).collect();
    if missing.is_empty() {
        return;
    }
    let found = X509Certificate::from_der(certificate).ok().and_then(|(_, parsed)| {
        let names = parsed.subject_alternative_name().ok()??;
        let dns = names
            .value
            .general_names
            .iter()
            .filter_map(|name| if let GeneralName::DNSName(name) = name { Some(*name) } else { None });
        Some(dns.collect::<Vec<_>>().join(", "))
    });
    let what = format!("{} is not for {}, but for {}", path.display(), missing.join(", "), found.unwrap_or_default());
    if own {
        notes.bad(what, WHY, "Get a certificate for every name in server.public_names, or remove the names.");
    } else {
        notes.warning(what, WHY, "Reload or restart the server: it makes one for the configured names.");
    }
}
