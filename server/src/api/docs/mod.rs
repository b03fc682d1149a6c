//! `GET /api/v1/docs`: the description of the interface for people.
//!
//! The page is written here from the same OpenAPI document that `/api/v1/openapi.json` serves. It is all in one: no script runs, nothing
//! is loaded from elsewhere, so it works without a network and under the strictest policy of a browser. Its search is a form that
//! this endpoint answers.

mod example;
mod render;

use std::sync::LazyLock;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use holler_core::wire::problem::{Problem, ProblemKind};
use serde_json::Value;

use super::ProblemResponse;
use super::extract::Query;
use super::openapi;

/// The longest text that is searched for, in characters.
const WORDS_CHARS_MAX: usize = 100;
/// Styles are in the page itself, nothing else is anywhere; the form leads back here.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; form-action 'self'; \
    frame-ancestors 'none'; base-uri 'none'";

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| serde_json::from_str(&openapi::rest()).unwrap_or_default());
static WHOLE: LazyLock<String> = LazyLock::new(|| render::page(&DOCUMENT, ""));

/// What to look for.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct WordsQuery {
    /// Show only the endpoints that have all these words somewhere.
    #[param(max_length = 100)]
    q: Option<String>,
}

/// The description of this interface, for people.
#[utoipa::path(
    get, path = "/api/v1/docs", tag = "server", operation_id = "docs",
    params(WordsQuery),
    responses(
        (status = 200, description = "Every endpoint with its parameters, bodies, examples and problems", body = String, content_type = "text/html"),
        (status = 422, description = "out-of-bounds: more than 100 characters to look for"),
    ),
)]
pub async fn handler(Query(WordsQuery { q }): Query<WordsQuery>) -> Result<Response, ProblemResponse> {
    let words = q.unwrap_or_default();
    if words.chars().count() > WORDS_CHARS_MAX {
        let detail = format!("expected at most {WORDS_CHARS_MAX} characters to look for");
        return Err(Problem::new(ProblemKind::OutOfBounds, detail).field("q").into());
    }
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    if words.trim().is_empty() {
        return Ok((headers, WHOLE.as_str()).into_response());
    }
    Ok((headers, render::page(&DOCUMENT, &words)).into_response())
}

#[cfg(test)]
mod tests;
