//! Telling devices that are not connected: of missed bursts, texts and emergencies.
//!
//! What is to be told waits in the database ([`crate::storage::push`]): an event marks its room in the transaction that stores it,
//! and the [`worker`] finds whom to tell, sends with bounded concurrency, and writes down what became of each try. So nothing is
//! forgotten by a restart; what a service took twice because a crash came between replaces itself there, by its topic.
//!
//! A notification is small, and a reason to look: the device fetches what happened over its socket. Web Push encrypts it for the
//! browser ([`encryption`]), so that it may name room and sender; the other services read along and get identifiers only. Of a
//! room with end-to-end encryption nobody gets more than that.
//!
//! | module | what it holds |
//! |---|---|
//! | [`address`] | which addresses may be called: a Web Push endpoint is named by a client |
//! | [`apns`] | the Apple Push Notification service |
//! | [`content`] | what a notification says |
//! | [`encryption`] | RFC 8188 and RFC 8291 |
//! | [`fcm`] | Firebase Cloud Messaging, HTTP v1 |
//! | [`http`] | requests with bounded time and answers |
//! | [`vapid`] | RFC 8292 |
//! | [`web`] | RFC 8030 |
//! | [`worker`] | from the queue to the services |

pub mod address;
pub mod apns;
pub mod content;
pub mod encryption;
pub mod fcm;
pub mod http;
pub mod vapid;
pub mod web;
pub mod worker;

use std::path::PathBuf;
use std::time::Duration;

use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::rest::{PushKind, PushOffer, PushTarget};

use crate::clock::Clock;
use crate::config::Config;
use crate::pki::PkiError;
use crate::storage::accounts::{Accounts, Notice};
use crate::storage::audit::Actor;
use crate::storage::{Store, StoreError};
use holler_core::units::WorkspaceId;
use vapid::VapidKey;

pub use worker::run;

/// The settings of notifications.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PushSettings {
    /// Whom a push service may write to (RFC 8292 section 2.1): `mailto:` or `https:`; absent: the server's own URL.
    pub contact: Option<String>,
    /// Hosts of own push services: they may be at addresses that are not public.
    pub private_hosts: Vec<String>,
    /// Certificates (PEM) that push services may also be vouched for by.
    pub roots: Option<PathBuf>,
    /// The service account of Firebase Cloud Messaging (JSON).
    pub fcm_account: Option<PathBuf>,
    /// The Apple Push Notification service.
    pub apns: Option<apns::ApnsSettings>,
}

/// Why notifications can't be sent at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The key for Web Push.
    #[error("the key for Web Push: {0}")]
    Key(String),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of the settings.
    #[error("{setting}: {}: {reason}", path.display())]
    File {
        /// Which setting names it.
        setting: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// TLS.
    #[error("notifications can't be sent: {0}")]
    Tls(#[from] PkiError),
    /// The HTTP client.
    #[error("notifications can't be sent: {0}")]
    Client(#[from] reqwest::Error),
}

/// What became of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// The service took it.
    Taken,
    /// There is no such device any more: its subscription goes.
    Gone,
    /// Later, for this cause; the service may have said when.
    Later(&'static str, Option<Duration>),
    /// Never: it would be refused again.
    Refused(&'static str),
}

/// Sends notifications.
pub struct Push {
    key: VapidKey,
    web: web::WebPush,
    fcm: Option<fcm::Fcm>,
    apns: Option<apns::Apns>,
}

impl Push {
    /// Reads the settings' files, and the key of Web Push or makes one.
    pub async fn open(store: &Store, workspace: WorkspaceId, clock: Clock, config: &Config) -> Result<Self, PushError> {
        let (settings, tls) = (&config.push, http::tls(config.push.roots.as_deref())?);
        let contact = settings.contact.clone().unwrap_or_else(|| config.public_url());
        let guarded = http::Client::new(tls.clone(), address::Policy::public_or(&settings.private_hosts))?;
        let (fcm, apns) = apps(settings, tls)?;
        let key = key(store, workspace, clock).await?;
        Ok(Self { web: web::WebPush::new(guarded, key.clone(), contact), key, fcm, apns })
    }

    /// What clients are told of it.
    pub fn offer(&self) -> PushOffer {
        let kinds =
            [Some(PushKind::Web), self.fcm.as_ref().map(|_| PushKind::Fcm), self.apns.as_ref().map(|_| PushKind::Apns)];
        PushOffer { kinds: kinds.into_iter().flatten().collect(), vapid_public_key: self.key.public_base64() }
    }

    /// Refuses where a device could never be told.
    pub fn check(&self, target: &PushTarget) -> Result<(), Problem> {
        target.check()?;
        let unknown =
            |field: &'static str, detail: &str| Err(Problem::new(ProblemKind::OutOfBounds, detail).field(field));
        match target {
            PushTarget::Web { endpoint, p256dh, auth } => self.web.check(endpoint, p256dh, auth),
            PushTarget::Fcm { .. } if self.fcm.is_none() => {
                unknown("kind", "this server is not set up for Firebase Cloud Messaging (push.fcm_account)")
            }
            PushTarget::Apns { topic, .. } => match &self.apns {
                None => unknown("kind", "this server is not set up for Apple's push service (push.apns_key)"),
                Some(apns) if !apns.serves(topic) => {
                    unknown("topic", "this server is not set up for this app (push.apns_topics)")
                }
                Some(_) => Ok(()),
            },
            PushTarget::Fcm { .. } => Ok(()),
        }
    }

    /// Tries once. `now`: the time since 1970.
    pub async fn send(&self, notice: &Notice, now: Duration) -> Sent {
        match &notice.target {
            PushTarget::Web { endpoint, p256dh, auth } => self.web.send(endpoint, p256dh, auth, notice, now).await,
            PushTarget::Fcm { token } => match &self.fcm {
                Some(fcm) => fcm.send(token, notice, now).await,
                None => Sent::Refused("not-configured"),
            },
            PushTarget::Apns { token, topic } => match &self.apns {
                Some(apns) if apns.serves(topic) => apns.send(token, topic, notice, now).await,
                Some(_) | None => Sent::Refused("not-configured"),
            },
        }
    }
}

type Apps = (Option<fcm::Fcm>, Option<apns::Apns>);

fn apps(settings: &PushSettings, tls: rustls::ClientConfig) -> Result<Apps, PushError> {
    let client = http::Client::new(tls, address::Policy::any())?;
    let fcm = settings.fcm_account.as_deref().map(|path| fcm::Fcm::open(path, client.clone())).transpose()?;
    let apns = settings.apns.as_ref().map(|settings| apns::Apns::open(settings, client)).transpose()?;
    Ok((fcm, apns))
}

/// Reads the files that the settings name; gives the names of the services that can be used.
pub fn check(settings: &PushSettings) -> Result<Vec<&'static str>, PushError> {
    let (fcm, apns) = apps(settings, http::tls(settings.roots.as_deref())?)?;
    let names = [
        Some("Web Push"),
        fcm.map(|_| "Firebase Cloud Messaging"),
        apns.map(|_| "the Apple Push Notification service"),
    ];
    Ok(names.into_iter().flatten().collect())
}

async fn key(store: &Store, workspace: WorkspaceId, clock: Clock) -> Result<VapidKey, PushError> {
    let (vault, now) = (store.vault().clone(), clock.unix());
    let found = store.read(move |db| Accounts::open(db, &vault, workspace)?.push_key()).await?;
    if let Some(private) = found {
        return VapidKey::from_pkcs8(&private).map_err(PushError::Key);
    }
    let private = vapid::generate().map_err(PushError::Key)?;
    let (vault, kept) = (store.vault().clone(), private.clone());
    store
        .write(move |db| Accounts::open(db, &vault, workspace)?.acting(Actor::Server, now).add_push_key(&kept, now))
        .await?;
    VapidKey::from_pkcs8(&private).map_err(PushError::Key)
}

#[cfg(test)]
mod tests;
