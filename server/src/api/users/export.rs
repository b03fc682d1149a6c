//! `GET /api/v1/users/{user}/export`

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use holler_core::units::UserId;

use super::UserPath;
use crate::api::ProblemResponse;
use crate::api::extract::Path;
use crate::app::App;
use crate::auth::Principal;

/// Everything that is kept of a user, as lines of JSON: see `GET /me/export`.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/export", tag = "people", operation_id = "export_user",
    params(UserPath),
    responses(
        (status = 200, description = "One object a line", body = String, content_type = "application/x-ndjson"),
        (status = 404, description = "not-found: there is no such user"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(UserPath { user }): Path<UserPath>,
) -> Result<Response, ProblemResponse> {
    answer(&app, &principal, user).await
}

/// The export as a stream; where it fails it breaks off, which a client notices.
pub(in crate::api) async fn answer(
    app: &App,
    principal: &Principal,
    user: UserId,
) -> Result<Response, ProblemResponse> {
    let lines = crate::export::begin(&app.auth, &app.store, principal.into(), user).await?;
    let body = stream::unfold(lines, async |mut lines| lines.recv().await.map(|line| (line, lines)));
    let headers = [
        (header::CONTENT_TYPE, "application/x-ndjson"),
        (header::CONTENT_DISPOSITION, "attachment; filename=\"holler-export.jsonl\""),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}
