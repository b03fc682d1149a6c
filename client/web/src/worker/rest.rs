//! The REST interface by `fetch`, problem documents decoded.

use core::cell::RefCell;
use core::time::Duration;
use std::rc::Weak;

use bytes::Bytes;
use holler_core::engine::{FetchError, Input};
use holler_core::model::InvitesBy;
use holler_core::units::{BurstId, Cursor, DeviceId, FrameNo, RoomId, UserId};
use holler_core::wire::frames;
use holler_core::wire::json;
use holler_core::wire::presence::RoomPresence;
use holler_core::wire::problem::{self, Problem};
use holler_core::wire::rest::{
    AcceptInvite, Device, EventPage, InviteOffer, LookInvite, Me, NewInvite, Refresh, Room, Roster, SignIn, Tokens,
    UseReset,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{AbortSignal, Headers, RequestCache, RequestCredentials, RequestInit, RequestRedirect, Response};

use super::{Shell, global};
use crate::message::Why;

/// A request that takes longer has failed: a burst of 5 MiB over a slow link still comes within it.
const REQUEST_WAIT_MS: u32 = 60_000;

/// Why a request failed.
#[derive(Clone, Debug)]
pub(super) enum RestError {
    /// The server refused, and says why.
    Refused(Problem),
    /// No answer; browsers say no more to pages.
    Unreachable,
    /// An answer that no Holler server gives.
    Foreign(String),
}

impl RestError {
    /// How long the server wants to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused(problem) => problem.retry_after_s.map(|s| Duration::from_secs(u64::from(s))),
            Self::Unreachable | Self::Foreign(_) => None,
        }
    }
}

impl core::fmt::Display for RestError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Refused(problem) => f.write_str(&problem.detail),
            Self::Unreachable => f.write_str("the server does not answer: check the network, then try again"),
            Self::Foreign(detail) => {
                write!(
                    f,
                    "what answered is not the Holler server ({detail}): a captive portal or proxy may be in the way"
                )
            }
        }
    }
}

impl From<RestError> for FetchError {
    fn from(error: RestError) -> Self {
        match &error {
            // An expired token is renewed meanwhile.
            RestError::Refused(problem) if problem.status < 500 && ![401, 429].contains(&problem.status) => {
                Self::Never(error.to_string())
            }
            RestError::Refused(_) | RestError::Unreachable | RestError::Foreign(_) => match error.retry_after() {
                Some(wait) => Self::After(wait, error.to_string()),
                None => Self::Later(error.to_string()),
            },
        }
    }
}

impl From<&RestError> for Why {
    fn from(error: &RestError) -> Self {
        let (kind, detail) = match error {
            RestError::Refused(problem) => (problem.kind.clone().into_owned(), problem.detail.clone()),
            RestError::Unreachable => ("unreachable".to_owned(), error.to_string()),
            RestError::Foreign(detail) => ("foreign".to_owned(), detail.clone()),
        };
        Self { kind, detail }
    }
}

impl From<RestError> for Why {
    fn from(error: RestError) -> Self {
        Self::from(&error)
    }
}

/// What is wanted of the policy.
#[derive(serde::Deserialize)]
struct OfPolicy {
    invites_by: InvitesBy,
}

/// What is wanted of an invite that was made.
#[derive(serde::Deserialize)]
struct OfInvite {
    link: String,
    qr_svg: String,
}

/// The server's REST interface, with the access token in use.
pub(super) struct Rest {
    token: RefCell<Option<String>>,
    shell: Weak<Shell>,
}

impl Rest {
    pub(super) fn new(shell: &Weak<Shell>) -> Self {
        Self { token: RefCell::default(), shell: shell.clone() }
    }

    /// The access token for what follows.
    pub(super) fn set_token(&self, token: Option<String>) {
        *self.token.borrow_mut() = token;
    }

    /// Whether this is the access token in use.
    pub(super) fn has(&self, token: &str) -> bool {
        self.token.borrow().as_deref() == Some(token)
    }

    pub(super) async fn sign_in(&self, sign_in: &SignIn) -> Result<Tokens, RestError> {
        decode(&self.call("POST", "auth/sign-in", Some(encode(sign_in)?)).await?)
    }

    pub(super) async fn look_invite(&self, token: String) -> Result<InviteOffer, RestError> {
        decode(&self.call("POST", "invites/look", Some(encode(&LookInvite { token })?)).await?)
    }

    pub(super) async fn accept_invite(&self, accept: &AcceptInvite) -> Result<Tokens, RestError> {
        decode(&self.call("POST", "invites/accept", Some(encode(accept)?)).await?)
    }

    pub(super) async fn use_reset(&self, reset: &UseReset) -> Result<Tokens, RestError> {
        decode(&self.call("POST", "auth/reset", Some(encode(reset)?)).await?)
    }

    pub(super) async fn refresh(&self, refresh_token: String) -> Result<Tokens, RestError> {
        decode(&self.call("POST", "auth/refresh", Some(encode(&Refresh { refresh_token })?)).await?)
    }

    pub(super) async fn sign_out(&self) -> Result<(), RestError> {
        self.call("POST", "auth/sign-out", None).await.map(drop)
    }

    pub(super) async fn me(&self) -> Result<Me, RestError> {
        decode(&self.call("GET", "me", None).await?)
    }

    pub(super) async fn rooms(&self) -> Result<Vec<Room>, RestError> {
        decode(&self.call("GET", "rooms", None).await?)
    }

    pub(super) async fn roster(&self) -> Result<Roster, RestError> {
        decode(&self.call("GET", "roster", None).await?)
    }

    pub(super) async fn invites_by(&self) -> Result<InvitesBy, RestError> {
        decode::<OfPolicy>(&self.call("GET", "policy", None).await?).map(|policy| policy.invites_by)
    }

    pub(super) async fn direct(&self, user: UserId) -> Result<Room, RestError> {
        decode(&self.call("PUT", &format!("rooms/direct/{user}"), None).await?)
    }

    pub(super) async fn invite(&self, invite: &NewInvite) -> Result<(String, String), RestError> {
        decode::<OfInvite>(&self.call("POST", "invites", Some(encode(invite)?)).await?)
            .map(|made| (made.link, made.qr_svg))
    }

    pub(super) async fn devices(&self) -> Result<Vec<Device>, RestError> {
        decode(&self.call("GET", "devices", None).await?)
    }

    pub(super) async fn revoke(&self, device: DeviceId) -> Result<(), RestError> {
        self.call("DELETE", &format!("devices/{device}"), None).await.map(drop)
    }

    pub(super) async fn export(&self) -> Result<Bytes, RestError> {
        self.call("GET", "me/export", None).await
    }

    /// Only below `/push`, whatever the path.
    pub(super) async fn push(&self, method: &str, path: &str, body: String) -> Result<String, RestError> {
        if !path.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'/') {
            return Err(RestError::Foreign("no path of notifications".to_owned()));
        }
        let body = self.call(method, &format!("push{path}"), Some(body).filter(|body| !body.is_empty())).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    pub(super) async fn presence(&self, room: RoomId) -> Result<RoomPresence, RestError> {
        decode(&self.call("GET", &format!("presence?room={room}"), None).await?)
    }

    pub(super) async fn events(&self, room: RoomId, after: Cursor, limit: u32) -> Result<EventPage, RestError> {
        let Cursor { incarnation, seq } = after;
        let path = format!("rooms/{room}/events?limit={limit}&after_incarnation={incarnation}&after_seq={seq}");
        decode(&self.call("GET", &path, None).await?)
    }

    pub(super) async fn frames(
        &self,
        room: RoomId,
        burst: BurstId,
        from: FrameNo,
        to: FrameNo,
    ) -> Result<Vec<(FrameNo, Bytes)>, RestError> {
        let path = format!("rooms/{room}/bursts/{burst}/frames?from={from}&to={to}");
        let body = self.call("GET", &path, None).await?;
        frames::decode(body).map_err(|error| RestError::Foreign(error.to_string()))
    }

    async fn call(&self, method: &str, path: &str, body: Option<String>) -> Result<Bytes, RestError> {
        let unable = |_: JsValue| RestError::Unreachable;
        let headers = Headers::new().map_err(unable)?;
        if let Some(token) = self.token.borrow().as_ref() {
            headers.set("authorization", &format!("Bearer {token}")).map_err(unable)?;
        }
        let options = RequestInit::new();
        options.set_method(method);
        options.set_cache(RequestCache::NoStore);
        options.set_credentials(RequestCredentials::Omit);
        options.set_redirect(RequestRedirect::Error);
        options.set_signal(Some(&AbortSignal::timeout_with_u32(REQUEST_WAIT_MS)));
        if let Some(body) = body {
            headers.set("content-type", "application/json").map_err(unable)?;
            options.set_body_opt_str(Some(&body));
        }
        options.set_headers_headers(&headers);
        let answer = global().fetch_with_str_and_init(&format!("/api/v1/{path}"), &options);
        let answer: Response = JsFuture::from(answer).await.map_err(unable)?.unchecked_into();
        let is_problem = answer
            .headers()
            .get("content-type")
            .ok()
            .flatten()
            .is_some_and(|kind| kind.starts_with(problem::MEDIA_TYPE));
        let body = JsFuture::from(answer.array_buffer().map_err(unable)?).await.map_err(unable)?;
        let body = Bytes::from(js_sys::Uint8Array::new(&body).to_vec());
        if is_problem {
            return Err(RestError::Refused(decode(&body)?));
        }
        if !answer.ok() {
            return Err(RestError::Foreign(format!("status {} without a problem document", answer.status())));
        }
        if let Some(shell) = self.shell.upgrade().filter(|shell| shell.tabs.leads()) {
            // It can be reached.
            shell.input(Input::NetworkSign);
        }
        Ok(body)
    }
}

fn encode(value: &impl Serialize) -> Result<String, RestError> {
    serde_json::to_string(value).map_err(|error| RestError::Foreign(error.to_string()))
}

fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, RestError> {
    let text = core::str::from_utf8(body).map_err(|error| RestError::Foreign(error.to_string()))?;
    json::read(text).map_err(|error| RestError::Foreign(error.to_string()))
}
