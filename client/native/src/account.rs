//! Who is signed in here: signing in, and tokens that are still good.

use core::time::Duration;
use std::path::PathBuf;

use holler_core::wire::problem::ProblemKind;
use holler_core::wire::rest::{SignIn, Tokens};

use crate::clock;
use crate::rest::{self, Rest, RestError};
use crate::store::{Profile, Store, StoreError};
use crate::trust::{self, TrustError};

/// An access token that is valid for less than this is not worth beginning with.
pub(crate) const TOKEN_LEFT_MIN: Duration = Duration::from_secs(30);

/// Why a client can't be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// Nobody is signed in.
    #[error("nobody is signed in here: sign in first")]
    SignedOut,
    /// The server, or the way to it.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// The local store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Certificates.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: {0}")]
    Random(#[from] getrandom::Error),
}

impl ClientError {
    /// Whether only a new sign-in helps.
    pub(crate) fn wants_sign_in(&self) -> bool {
        match self {
            Self::SignedOut => true,
            Self::Rest(RestError::Refused(problem)) => problem.status == 401,
            Self::Rest(_) | Self::Store(_) | Self::Trust(_) | Self::Random(_) => false,
        }
    }

    /// How long the server wants to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rest(RestError::Refused(problem)) => problem.retry_after_s.map(|s| Duration::from_secs(u64::from(s))),
            Self::SignedOut | Self::Rest(_) | Self::Store(_) | Self::Trust(_) | Self::Random(_) => None,
        }
    }
}

/// Signs in, and keeps who is signed in. The same person on the same server stays the same device.
pub async fn sign_in(
    store: &Store,
    server: &str,
    ca: Option<PathBuf>,
    login: &str,
    password: String,
    device_name: String,
) -> Result<Profile, ClientError> {
    let server = rest::address(server)?;
    let tls = trust::client_config(ca.as_deref())?;
    let before = store.profile()?;
    let before = before.filter(|before| before.server == server.as_str() && before.login == login);
    let device = before.as_ref().map(|before| before.device);
    let rest = Rest::new(server.clone(), &tls)?;
    let request = |device| SignIn {
        login: login.to_owned(),
        password: password.clone(),
        device_name: device_name.clone(),
        device,
        // Shows that it was this device, so that others' failed attempts don't count for it.
        earlier: before.as_ref().filter(|_| device.is_some()).map(|before| before.refresh_token.clone()),
    };
    let tokens = match rest.sign_in(&request(device)).await {
        // The device was removed meanwhile, or signed out for good: begin as a new one.
        Err(error) if device.is_some() && (error.is(ProblemKind::NotFound) || error.is(ProblemKind::Revoked)) => {
            rest.sign_in(&request(None)).await?
        }
        other => other?,
    };
    let mut profile = Profile {
        server: server.into(),
        ca,
        login: login.to_owned(),
        user: tokens.user,
        device: tokens.device,
        access_token: String::new(),
        access_until_ms: 0,
        refresh_token: String::new(),
    };
    take_tokens(&mut profile, tokens);
    store.set_profile(Some(&profile))?;
    Ok(profile)
}

pub(crate) fn take_tokens(profile: &mut Profile, tokens: Tokens) {
    profile.access_token = tokens.access_token;
    profile.access_until_ms = clock::wall().0 + u64::from(tokens.expires_in_s) * 1_000;
    profile.refresh_token = tokens.refresh_token;
}

pub(crate) fn left(profile: &Profile) -> Duration {
    Duration::from_millis(profile.access_until_ms.saturating_sub(clock::wall().0))
}

/// A REST interface with a valid token for who is signed in here; for programs that need no socket.
pub async fn rest_of(store: &Store) -> Result<Rest, ClientError> {
    let profile = store.profile()?.ok_or(ClientError::SignedOut)?;
    let tls = trust::client_config(profile.ca.as_deref())?;
    let rest = Rest::new(rest::address(&profile.server)?, &tls)?;
    let profile = fresh(store, &rest, false).await?;
    rest.set_token(profile.access_token);
    Ok(rest)
}

/// The profile with a token that is still valid for a while; `renew`: with a new one, unless another process just got one.
pub(crate) async fn fresh(store: &Store, rest: &Rest, renew: bool) -> Result<Profile, ClientError> {
    let locked = store.clone();
    let before = store.profile()?.ok_or(ClientError::SignedOut)?;
    if !renew && left(&before) >= TOKEN_LEFT_MIN {
        return Ok(before);
    }
    let lock = tokio::task::spawn_blocking(move || locked.lock_tokens()).await;
    let _lock = lock.map_err(|error| StoreError::System(format!("thread: {error}")))??;
    let mut profile = store.profile()?.ok_or(ClientError::SignedOut)?;
    if profile.access_token != before.access_token && left(&profile) >= TOKEN_LEFT_MIN {
        return Ok(profile);
    }
    let tokens = rest.refresh(profile.refresh_token.clone()).await?;
    take_tokens(&mut profile, tokens);
    store.set_profile(Some(&profile))?;
    Ok(profile)
}
