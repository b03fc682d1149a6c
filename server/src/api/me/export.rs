//! `GET /api/v1/me/export`

use axum::extract::State;
use axum::response::Response;

use crate::api::ProblemResponse;
use crate::api::users::export;
use crate::app::App;
use crate::auth::Principal;

/// Everything that is kept of you, as lines of JSON.
///
/// Profile, devices, memberships, invites, receipts, and what you wrote and spoke in every room. The last line has the type `end`: an
/// answer without it is not whole. Two exports run at once on a server.
#[utoipa::path(
    get, path = "/api/v1/me/export", tag = "people", operation_id = "export_me",
    responses((status = 200, description = "One object a line", body = String, content_type = "application/x-ndjson")),
)]
pub async fn handler(State(app): State<App>, principal: Principal) -> Result<Response, ProblemResponse> {
    export::answer(&app, &principal, principal.user).await
}
