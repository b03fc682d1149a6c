//! Reading requests: each failure is a problem that names the field.

use axum::body::Bytes;
use axum::extract::path::ErrorKind;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use holler_core::wire::limits::REST_BODY_BYTES_MAX;
use holler_core::wire::problem::{Problem, ProblemKind};
use serde::de::DeserializeOwned;

use super::ProblemResponse;
use crate::auth::Principal;

/// The JSON body of a request, or of a response.
#[derive(Clone, Debug)]
pub struct Json<T>(pub T);

impl<T: serde::Serialize> axum::response::IntoResponse for Json<T> {
    fn into_response(self) -> axum::response::Response {
        axum::Json(self.0).into_response()
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = ProblemResponse;

    async fn from_request(request: Request, state: &S) -> Result<Self, ProblemResponse> {
        if !is_json(request.headers()) {
            let detail = "expected Content-Type: application/json";
            return Err(Problem::new(ProblemKind::UnsupportedMediaType, detail).into());
        }
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| unread(&rejection))?;
        // Serde takes a list of values in the place of an object; nobody is promised that.
        if bytes.trim_ascii_start().first().is_some_and(|first| *first == b'[') {
            return Err(Problem::new(ProblemKind::Malformed, "expected a JSON object, found a list").into());
        }
        let mut deserializer = serde_json::Deserializer::from_slice(&bytes);
        let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| misfit(&error))?;
        deserializer
            .end()
            .map_err(|error| Problem::new(ProblemKind::Malformed, format!("the body is not JSON: {error}")))?;
        Ok(Self(value))
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

fn unread(rejection: &BytesRejection) -> Problem {
    if let BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) = rejection {
        return too_large();
    }
    Problem::new(ProblemKind::Malformed, format!("the body ended early: {rejection}"))
}

/// The body is larger than any that is taken.
pub fn too_large() -> Problem {
    Problem::new(ProblemKind::TooLarge, format!("a body has at most {REST_BODY_BYTES_MAX} bytes"))
}

fn misfit(error: &serde_path_to_error::Error<serde_json::Error>) -> Problem {
    let inner = error.inner();
    match inner.classify() {
        serde_json::error::Category::Data => {}
        serde_json::error::Category::Io | serde_json::error::Category::Syntax | serde_json::error::Category::Eof => {
            return Problem::new(ProblemKind::Malformed, format!("the body is not JSON: {inner}"));
        }
    }
    let path = error.path().to_string();
    let text = inner.to_string();
    // Serde reports a missing or unknown field at the object that lacks or has it.
    let named =
        ["missing field `", "unknown field `"].iter().find_map(|begin| text.strip_prefix(begin)?.split('`').next());
    let field = match (path.as_str(), named) {
        (".", None) => None,
        (".", Some(field)) => Some(field.to_owned()),
        (path, Some(field)) if path != field && !path.ends_with(&format!(".{field}")) => {
            Some(format!("{path}.{field}"))
        }
        (path, Some(_) | None) => Some(path.to_owned()),
    };
    let problem = Problem::new(ProblemKind::Malformed, text);
    match field {
        Some(field) => problem.field(field),
        None => problem,
    }
}

/// The parameters in a path.
#[derive(Clone, Debug)]
pub struct Path<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ProblemResponse> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(value)) => Ok(Self(value)),
            Err(rejection) => Err(path_problem(rejection).into()),
        }
    }
}

fn path_problem(rejection: PathRejection) -> Problem {
    let malformed = |detail: String| Problem::new(ProblemKind::Malformed, detail);
    let PathRejection::FailedToDeserializePathParams(failed) = rejection else {
        return malformed("the path can't be read".to_owned());
    };
    #[expect(clippy::wildcard_enum_match_arm, reason = "the others name no field, and there may be more")]
    match failed.into_kind() {
        ErrorKind::ParseErrorAtKey { key, expected_type, .. } => {
            malformed(format!("expected {expected_type}")).field(key)
        }
        ErrorKind::DeserializeError { key, message, .. } => malformed(message).field(key),
        ErrorKind::InvalidUtf8InPathParam { key } => malformed("expected UTF-8".to_owned()).field(key),
        other => malformed(other.to_string()),
    }
}

/// The parameters in a query.
#[derive(Clone, Debug)]
pub struct Query<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ProblemResponse> {
        match axum::extract::Query::from_request_parts(parts, state).await {
            Ok(axum::extract::Query(value)) => Ok(Self(value)),
            Err(rejection) => {
                let text = rejection.body_text();
                let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
                let named = ["missing field `", "unknown field `"]
                    .iter()
                    .find_map(|begin| text.strip_prefix(begin)?.split('`').next())
                    .or_else(|| text.split_once(": ").map(|(field, _)| field));
                let problem = Problem::new(ProblemKind::Malformed, format!("the query: {text}"));
                Err(match named {
                    Some(field) => problem.field(field.to_owned()),
                    None => problem,
                }
                .into())
            }
        }
    }
}

/// Who sends the request: put there by [`super::access::enforce`].
impl<S: Send + Sync> FromRequestParts<S> for Principal {
    type Rejection = ProblemResponse;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, ProblemResponse> {
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::new(ProblemKind::Unauthenticated, "this needs Authorization: Bearer").into())
    }
}
