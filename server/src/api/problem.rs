//! Errors on their way out: RFC 9457 problem documents.

use std::any::Any;

use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use holler_core::wire::problem::{MEDIA_TYPE, Problem, ProblemKind, TYPE_PREFIX};

use crate::storage::StoreError;

/// A problem as a response: its status, its media type, and the headers that belong to it.
#[derive(Clone, Debug)]
pub struct ProblemResponse(pub Problem);

impl<E: Into<Problem>> From<E> for ProblemResponse {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for ProblemResponse {
    fn into_response(self) -> Response {
        let Self(problem) = self;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let retry_after = problem.retry_after_s;
        // A problem has nothing that could fail to serialise; an empty document would still carry the status.
        let body = serde_json::to_vec(&problem).unwrap_or_default();
        let mut response =
            (status, [(header::CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE))], body).into_response();
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            // RFC 9110 section 11.6.1: every 401 names how to authenticate.
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"holler\""));
        }
        // For the metrics and the log line of the request, which must not read the body.
        response.extensions_mut().insert(Told(problem.kind.into_owned()));
        response
    }
}

/// The type of the problem that a response carries.
#[derive(Clone, Debug)]
pub struct Told(pub String);

impl Told {
    /// Whether it is of `kind`.
    pub fn is(&self, kind: ProblemKind) -> bool {
        self.0.strip_prefix(TYPE_PREFIX) == Some(kind.as_str())
    }
}

/// No route has this path.
pub async fn no_such_path(uri: Uri) -> ProblemResponse {
    let detail = format!("there is nothing at {:.200}; the API is described at /api/v1/openapi.json", uri.path());
    ProblemResponse(Problem::new(ProblemKind::NotFound, detail))
}

/// A route has this path, but not for this method.
pub async fn no_such_method(method: Method) -> ProblemResponse {
    let detail = format!("{method:.20} is not offered here; the header Allow names what is");
    ProblemResponse(Problem::new(ProblemKind::MethodNotAllowed, detail))
}

/// A handler panicked.
pub fn panicked(_panic: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request handler panicked; its message is on standard error");
    ProblemResponse(Problem::new(ProblemKind::Internal, "the server failed at this request; see its log"))
        .into_response()
}

/// Logs a store error that is a fault, and makes the problem of it.
pub fn store(error: StoreError) -> Problem {
    if matches!(error, StoreError::Damaged(_) | StoreError::Sqlite(_) | StoreError::Sealed(_) | StoreError::Panicked) {
        tracing::error!(%error, "the database reported a fault");
    }
    error.into()
}
