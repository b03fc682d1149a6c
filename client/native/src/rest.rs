//! The REST interface as a client sees it.

use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use holler_core::engine::FetchError;
use holler_core::model::Role;
use holler_core::units::{BurstId, Cursor, FrameNo, RoomId, Seq, UserId};
use holler_core::wire::presence::{BurstReceipts, MessageReceipts, RoomPresence};
use holler_core::wire::problem::{self, Problem, ProblemKind};
use holler_core::wire::rest::{
    AcceptInvite, Burst, EventPage, InviteOffer, LookInvite, Me, Member, NewEvent, NewUser, Refresh, Room, Roster,
    Sent, SetMember, SignIn, Tokens, UseReset, User,
};
use holler_core::wire::{frames, limits};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::trust;

/// A request that takes longer has failed: a burst of 5 MiB over a slow link still comes within it.
const REQUEST_WAIT: Duration = Duration::from_secs(60);
/// Opening the connection may take this long.
const CONNECT_WAIT: Duration = Duration::from_secs(15);
/// Largest answer that is read: a page of 500 events of the largest text, with room to spare.
const ANSWER_BYTES_MAX: u64 = 32 * 1024 * 1024;

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestError {
    /// The server refused, and says why.
    #[error(transparent)]
    Refused(#[from] Problem),
    /// The server's certificate is not trusted.
    #[error("the server's certificate is not trusted: {0}")]
    Certificate(String),
    /// No answer.
    #[error("the server does not answer: {0}")]
    Unreachable(String),
    /// An answer that no Holler server gives: something else is in the way.
    #[error("what answered is not a Holler server: {0}")]
    Foreign(String),
    /// The address is not one.
    #[error("expected an address like https://holler.example:8443, found {found:?}")]
    Address {
        /// What was given.
        found: String,
    },
}

impl RestError {
    /// Whether the server said that this is the problem.
    pub fn is(&self, kind: ProblemKind) -> bool {
        matches!(self, Self::Refused(problem) if problem.is(kind))
    }
}

impl From<RestError> for FetchError {
    fn from(error: RestError) -> Self {
        match &error {
            RestError::Refused(Problem { retry_after_s: Some(seconds), .. }) => {
                Self::After(Duration::from_secs(u64::from(*seconds)), error.to_string())
            }
            // An expired token is renewed meanwhile.
            RestError::Refused(problem) if problem.status < 500 && ![401, 429].contains(&problem.status) => {
                Self::Never(error.to_string())
            }
            RestError::Address { .. } => Self::Never(error.to_string()),
            RestError::Refused(_) | RestError::Certificate(_) | RestError::Unreachable(_) | RestError::Foreign(_) => {
                Self::Later(error.to_string())
            }
        }
    }
}

/// Checks a server's address and gives it without a path.
pub fn address(text: &str) -> Result<Url, RestError> {
    let fault = || RestError::Address { found: text.to_owned() };
    let mut url = Url::parse(text).map_err(|_| fault())?;
    if url.scheme() != "https" || url.host_str().is_none() {
        return Err(fault());
    }
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    Ok(url)
}

/// A server's REST interface. A cheap clone shares the connections and the token.
#[derive(Clone, Debug)]
pub struct Rest {
    client: reqwest::Client,
    base: Url,
    token: Arc<Mutex<Option<String>>>,
}

impl Rest {
    /// An interface to the server at `base` ([`address`]).
    pub fn new(base: Url, tls: &rustls::ClientConfig) -> Result<Self, RestError> {
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.clone())
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(REQUEST_WAIT)
            .connect_timeout(CONNECT_WAIT)
            .build()
            .map_err(|error| RestError::Unreachable(error.to_string()))?;
        Ok(Self { client, base, token: Arc::default() })
    }

    /// The access token for what follows.
    pub fn set_token(&self, token: String) {
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token);
    }

    /// `POST /auth/sign-in`
    pub async fn sign_in(&self, sign_in: &SignIn) -> Result<Tokens, RestError> {
        self.post("auth/sign-in", sign_in).await
    }

    /// `POST /invites/look`
    pub async fn look_invite(&self, token: String) -> Result<InviteOffer, RestError> {
        self.post("invites/look", &LookInvite { token }).await
    }

    /// `POST /invites/accept`
    pub async fn accept_invite(&self, request: &AcceptInvite) -> Result<Tokens, RestError> {
        self.post("invites/accept", request).await
    }

    /// `POST /auth/reset`
    pub async fn use_reset(&self, request: &UseReset) -> Result<Tokens, RestError> {
        self.post("auth/reset", request).await
    }

    /// `POST /auth/refresh`
    pub async fn refresh(&self, refresh_token: String) -> Result<Tokens, RestError> {
        self.post("auth/refresh", &Refresh { refresh_token }).await
    }

    /// `POST /auth/sign-out`
    pub async fn sign_out(&self) -> Result<(), RestError> {
        self.send(self.request(reqwest::Method::POST, "auth/sign-out")?).await.map(drop)
    }

    /// `GET /me`
    pub async fn me(&self) -> Result<Me, RestError> {
        self.read("me").await
    }

    /// `GET /rooms`
    pub async fn rooms(&self) -> Result<Vec<Room>, RestError> {
        self.read("rooms").await
    }

    /// `POST /users`; for admins.
    pub async fn create_user(&self, user: &NewUser) -> Result<User, RestError> {
        self.post("users", user).await
    }

    /// `PUT /rooms/{room}/members/{user}`; for admins of the room.
    pub async fn set_member(&self, room: RoomId, user: UserId, role: Role) -> Result<(), RestError> {
        let request = self.request(reqwest::Method::PUT, &format!("rooms/{room}/members/{user}"))?;
        self.send(request.json(&SetMember { role })).await.map(drop)
    }

    /// `GET /rooms/{room}/members`
    pub async fn members(&self, room: RoomId) -> Result<Vec<Member>, RestError> {
        self.read(&format!("rooms/{room}/members")).await
    }

    /// `GET /roster`: everything one sees, or what changed since.
    pub async fn roster(&self, since: Option<&str>) -> Result<Roster, RestError> {
        // A token of ours has letters, digits, `-` and `_` only.
        self.read(&since.map_or("roster".to_owned(), |since| format!("roster?since={since}"))).await
    }

    /// `GET /presence`: who of a room is here.
    pub async fn presence(&self, room: RoomId) -> Result<RoomPresence, RestError> {
        self.read(&format!("presence?room={room}")).await
    }

    /// `GET /rooms/{room}/bursts/{burst}/receipts`
    pub async fn burst_receipts(&self, room: RoomId, burst: BurstId) -> Result<BurstReceipts, RestError> {
        self.read(&format!("rooms/{room}/bursts/{burst}/receipts")).await
    }

    /// `GET /rooms/{room}/events/{seq}/receipts`
    pub async fn message_receipts(&self, room: RoomId, seq: Seq) -> Result<MessageReceipts, RestError> {
        self.read(&format!("rooms/{room}/events/{seq}/receipts")).await
    }

    /// `GET /rooms/{room}/events`: the page after a cursor, or the first.
    pub async fn events(&self, room: RoomId, after: Option<Cursor>, limit: u32) -> Result<EventPage, RestError> {
        let limit = limit.clamp(1, limits::PAGE_EVENTS_MAX);
        let after = after
            .map_or(String::new(), |after| format!("&after_incarnation={}&after_seq={}", after.incarnation, after.seq));
        self.read(&format!("rooms/{room}/events?limit={limit}{after}")).await
    }

    /// `POST /rooms/{room}/events`
    pub async fn append(&self, room: RoomId, event: &NewEvent) -> Result<Sent, RestError> {
        self.post(&format!("rooms/{room}/events"), event).await
    }

    /// `GET /rooms/{room}/bursts/{burst}`
    pub async fn burst(&self, room: RoomId, burst: BurstId) -> Result<Burst, RestError> {
        self.read(&format!("rooms/{room}/bursts/{burst}")).await
    }

    /// `GET /rooms/{room}/bursts/{burst}/frames`: the frames `from` to `to` that the server has.
    pub async fn frames(
        &self,
        room: RoomId,
        burst: BurstId,
        from: FrameNo,
        to: FrameNo,
    ) -> Result<Vec<(FrameNo, Bytes)>, RestError> {
        let path = format!("rooms/{room}/bursts/{burst}/frames?from={from}&to={to}");
        let body = self.send(self.request(reqwest::Method::GET, &path)?).await?;
        frames::decode(body).map_err(|error| RestError::Foreign(error.to_string()))
    }

    async fn read<T: DeserializeOwned>(&self, path: &str) -> Result<T, RestError> {
        decode(&self.send(self.request(reqwest::Method::GET, path)?).await?)
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, RestError> {
        decode(&self.send(self.request(reqwest::Method::POST, path)?.json(body)).await?)
    }

    fn request(&self, method: reqwest::Method, path: &str) -> Result<reqwest::RequestBuilder, RestError> {
        let url = self.base.join(&format!("api/v1/{path}"));
        let url = url.map_err(|_| RestError::Address { found: path.to_owned() })?;
        let request = self.client.request(method, url);
        let token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(match token.as_ref() {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    async fn send(&self, request: reqwest::RequestBuilder) -> Result<Bytes, RestError> {
        let answer = request.send().await.map_err(|error| network(&error))?;
        let status = answer.status();
        if answer.content_length().is_some_and(|length| length > ANSWER_BYTES_MAX) {
            return Err(RestError::Foreign(format!("an answer of more than {ANSWER_BYTES_MAX} bytes")));
        }
        let kind = answer.headers().get(reqwest::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let is_problem = kind.is_some_and(|kind| kind.starts_with(problem::MEDIA_TYPE));
        let body = answer.bytes().await.map_err(|error| network(&error))?;
        if is_problem {
            return Err(RestError::Refused(decode(&body)?));
        }
        if !status.is_success() {
            return Err(RestError::Foreign(format!("status {status} without a problem document")));
        }
        Ok(body)
    }
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, RestError> {
    serde_json::from_slice(body).map_err(|error| RestError::Foreign(error.to_string()))
}

fn network(error: &reqwest::Error) -> RestError {
    if let Some(advice) = trust::advice(error) {
        return RestError::Certificate(advice);
    }
    let mut cause: &dyn core::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    // The deepest cause says what happened; the outer ones repeat the address.
    RestError::Unreachable(cause.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_and_have_no_path() {
        assert_eq!(address("https://localhost:8443/x?y").unwrap().as_str(), "https://localhost:8443/");
        for wrong in ["http://localhost", "localhost:8443", "", "https://"] {
            assert!(address(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_may_work_later_is_tried_later() {
        let refused = |kind| FetchError::from(RestError::Refused(Problem::new(kind, "x")));
        assert!(matches!(refused(ProblemKind::NotFound), FetchError::Never(_)));
        for kind in [ProblemKind::RateLimited, ProblemKind::Unavailable, ProblemKind::Unauthenticated] {
            assert!(matches!(refused(kind), FetchError::Later(_)), "{kind:?}");
        }
    }
}
