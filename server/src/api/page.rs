//! `GET /`: what somebody sees who opens the server in a browser.

use axum::http::header;
use axum::response::{IntoResponse, Response};

const PAGE: &str = include_str!("page.html");
/// Everything is in the page itself: nothing is loaded, nothing runs.
const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'";

/// A page for people.
#[utoipa::path(
    get, path = "/", tag = "server", operation_id = "page",
    responses((status = 200, description = "That the server runs, and how to use it", body = String, content_type = "text/html")),
)]
pub async fn handler() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, POLICY)];
    (headers, PAGE.replace("{version}", env!("CARGO_PKG_VERSION"))).into_response()
}
