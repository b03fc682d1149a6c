//! Conditional requests (RFC 9110 section 13): a client that has the current state is told so in one line, and a change that was
//! made from an old state is refused.
//!
//! The entity tag of a representation is a hash of its bytes. [`tags`] adds it to every JSON answer of a `GET` and compares
//! `If-None-Match`. `If-Match` is compared by the handlers that take [`IfMatch`], inside the transaction of the change, so that nothing
//! comes between; where a change offers none, any `If-Match` fails rather than being ignored.

use axum::body::{Body, HttpBody as _, to_bytes};
use axum::extract::{FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use holler_core::wire::problem::{Problem, ProblemKind};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::ProblemResponse;
use super::extract::Json;
use crate::storage::accounts::AccountError;

/// Changes that compare `If-Match`.
pub const CONDITIONAL: &[(Method, &str)] = &[
    (Method::PUT, "/api/v1/policy"),
    (Method::PATCH, "/api/v1/rooms/{room}"),
    (Method::DELETE, "/api/v1/rooms/{room}"),
    (Method::PUT, "/api/v1/rooms/{room}/members/{user}"),
    (Method::DELETE, "/api/v1/rooms/{room}/members/{user}"),
    (Method::PATCH, "/api/v1/users/{user}"),
    (Method::DELETE, "/api/v1/users/{user}"),
    (Method::PATCH, "/api/v1/devices/{device}"),
    (Method::DELETE, "/api/v1/devices/{device}"),
];

/// Answers up to this size get a tag, bytes; larger ones are not gathered for it.
const TAGGED_BYTES_MAX: u64 = 1024 * 1024;

/// The strong entity tag of what `value` looks like as JSON.
pub fn tag(value: &impl Serialize) -> String {
    // What can't be serialised is not sent either.
    tag_of(&serde_json::to_vec(value).unwrap_or_default())
}

fn tag_of(bytes: &[u8]) -> String {
    format!("\"{}\"", hash(bytes))
}

/// The tag of what also changes by itself: a part for what people can change, which [`IfMatch::check_part`] compares, and one for all.
pub fn tag_of_parts(changeable: &impl Serialize, all: &impl Serialize) -> String {
    format!("\"{}.{}\"", hash_of(changeable), hash_of(all))
}

/// An answer with its tag of two parts.
pub fn tagged_in_parts<T: Serialize>(changeable: &impl Serialize, all: T) -> Response {
    ([(header::ETAG, tag_of_parts(changeable, &all))], Json(all)).into_response()
}

fn hash_of(value: &impl Serialize) -> String {
    hash(&serde_json::to_vec(value).unwrap_or_default())
}

fn hash(bytes: &[u8]) -> String {
    BASE64.encode(&Sha256::digest(bytes)[..12])
}

/// What the caller expects the current state to be.
#[derive(Clone, Debug)]
pub struct IfMatch(Option<String>);

impl IfMatch {
    /// Refuses unless the caller expects nothing, or the state that has this tag.
    pub fn check(&self, current: &str) -> Result<(), AccountError> {
        self.check_with(|tag| tag == current)
    }

    /// The same of what has a tag of two parts: only the first counts.
    pub fn check_part(&self, changeable: &impl Serialize) -> Result<(), AccountError> {
        let part = format!("\"{}.", hash_of(changeable));
        self.check_with(|tag| tag.starts_with(&part))
    }

    /// Refuses where the caller expects anything at all: there is nothing yet.
    pub fn check_absent(&self) -> Result<(), AccountError> {
        if self.0.is_some() { Err(AccountError::Stale) } else { Ok(()) }
    }

    /// Refuses unless the caller expects nothing, or a tag that `fits`. What exists has the tag `*` too.
    fn check_with(&self, fits: impl Fn(&str) -> bool) -> Result<(), AccountError> {
        let Some(expected) = &self.0 else { return Ok(()) };
        if expected.trim() == "*" || list(expected).any(fits) { Ok(()) } else { Err(AccountError::Stale) }
    }
}

/// The members of a list of tags. None of ours has a comma in it.
fn list(header: &str) -> impl Iterator<Item = &str> {
    header.split(',').map(str::trim)
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ProblemResponse> {
        Ok(Self(joined(&parts.headers, &header::IF_MATCH)?))
    }
}

/// The values of a header that may come several times.
fn joined(headers: &HeaderMap, name: &header::HeaderName) -> Result<Option<String>, Problem> {
    let mut values = headers.get_all(name).iter().peekable();
    if values.peek().is_none() {
        return Ok(None);
    }
    let texts: Result<Vec<_>, _> = values.map(HeaderValue::to_str).collect();
    let texts = texts.map_err(|_| {
        Problem::new(ProblemKind::Malformed, "expected entity tags in quotes, or *").field(name.as_str().to_owned())
    })?;
    Ok(Some(texts.join(",")))
}

/// Adds entity tags, answers 304 where the client has the current state, and refuses `If-Match` where it is not compared.
pub(super) async fn tags(request: Request, next: Next) -> Result<Response, ProblemResponse> {
    let reads = *request.method() == Method::GET;
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if changes && request.headers().contains_key(header::IF_MATCH) {
        let path = request.extensions().get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
        if !CONDITIONAL.iter().any(|(method, conditional)| method == request.method() && *conditional == path) {
            let detail = "this change compares no ETag: leave out If-Match";
            return Err(Problem::new(ProblemKind::PreconditionFailed, detail).field("If-Match").into());
        }
    }
    let known = if reads { joined(request.headers(), &header::IF_NONE_MATCH)? } else { None };
    let response = next.run(request).await;
    if !reads || response.status() != StatusCode::OK {
        return Ok(response);
    }
    let response = if response.headers().contains_key(header::ETAG) { response } else { tagged(response).await? };
    let tag = response.headers().get(header::ETAG).and_then(|tag| tag.to_str().ok());
    // Section 13.1.2: weak comparison; ours are all strong.
    let current = tag.is_some_and(|tag| {
        known.is_some_and(|known| {
            known.trim() == "*" || list(&known).any(|given| given.strip_prefix("W/").unwrap_or(given) == tag)
        })
    });
    if !current {
        return Ok(response);
    }
    let (mut parts, _) = response.into_parts();
    parts.status = StatusCode::NOT_MODIFIED;
    for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH] {
        parts.headers.remove(name);
    }
    Ok((parts, Body::empty()).into_response())
}

async fn tagged(response: Response) -> Result<Response, ProblemResponse> {
    if response.body().size_hint().exact().is_none_or(|bytes| bytes > TAGGED_BYTES_MAX) {
        return Ok(response);
    }
    let (mut parts, body) = response.into_parts();
    let bytes = to_bytes(body, usize::MAX)
        .await
        .map_err(|_| Problem::new(ProblemKind::Internal, "the answer could not be gathered"))?;
    if let Ok(tag) = HeaderValue::from_str(&tag_of(&bytes)) {
        parts.headers.insert(header::ETAG, tag);
    }
    Ok((parts, Body::from(bytes)).into_response())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_expected_is_compared() {
        let expects = |text: &str| IfMatch(Some(text.to_owned())).check("\"a\"");
        assert!(IfMatch(None).check("\"a\"").is_ok());
        for good in ["\"a\"", "*", " * ", "\"b\", \"a\"", "\"a\",\"b\""] {
            assert!(expects(good).is_ok(), "{good}");
        }
        // A weak tag never matches (RFC 9110 section 13.1.1).
        for wrong in ["\"b\"", "a", "W/\"a\"", ""] {
            assert!(matches!(expects(wrong), Err(AccountError::Stale)), "{wrong}");
        }
    }

    #[test]
    fn equal_values_have_equal_tags() {
        assert_eq!(tag(&[1, 2]), tag(&[1, 2]));
        assert_ne!(tag(&[1, 2]), tag(&[1, 3]));
        assert_eq!(tag(&[1, 2]), tag_of(b"[1,2]"));
    }
}
