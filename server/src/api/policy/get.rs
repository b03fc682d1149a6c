//! `GET /api/v1/policy`

use axum::extract::State;
use holler_core::wire::policy::Policy;

use crate::api::extract::Json;
use crate::app::App;

/// The rules of the workspace.
#[utoipa::path(
    get, path = "/api/v1/policy", tag = "workspace", operation_id = "get_policy",
    responses((status = 200, description = "The rules", body = Policy)),
)]
pub async fn handler(State(app): State<App>) -> Json<Policy> {
    Json(Policy::clone(&app.auth.policy()))
}
