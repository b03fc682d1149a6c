//! `GET /api/v1/openapi.json`, `GET /api/v1/socket.schema.json`, `GET /.well-known/jwks.json`

use std::sync::LazyLock;

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::extract::Json;
use super::openapi;
use crate::app::App;

static OPENAPI: LazyLock<String> = LazyLock::new(openapi::rest);
static SOCKET: LazyLock<String> = LazyLock::new(openapi::socket);

/// This description.
#[utoipa::path(
    get, path = "/api/v1/openapi.json", tag = "server", operation_id = "openapi",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
pub async fn rest() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI.as_str()).into_response()
}

/// The messages of the socket as JSON Schema (2020-12).
#[utoipa::path(
    get, path = "/api/v1/socket.schema.json", tag = "server", operation_id = "socket_schema",
    responses((status = 200, description = "JSON Schema", body = Object, content_type = "application/schema+json")),
)]
pub async fn socket() -> Response {
    ([(header::CONTENT_TYPE, "application/schema+json")], SOCKET.as_str()).into_response()
}

/// The public keys that access tokens are signed with (RFC 7517).
#[utoipa::path(
    get, path = "/.well-known/jwks.json", tag = "server", operation_id = "jwks",
    responses((status = 200, description = "The keys", body = Object)),
)]
pub async fn jwks(State(app): State<App>) -> Json<serde_json::Value> {
    Json(app.auth.jwks())
}
