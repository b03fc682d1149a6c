//! `GET /api/v1/push`

use axum::extract::State;
use holler_core::wire::rest::PushOffer;

use super::sender;
use crate::api::ProblemResponse;
use crate::api::extract::Json;
use crate::app::App;

/// Which push services this server is set up for, and its key for Web Push.
#[utoipa::path(
    get, path = "/api/v1/push", tag = "notifications", operation_id = "get_push",
    responses((status = 200, description = "What the server can do", body = PushOffer)),
)]
pub async fn handler(State(app): State<App>) -> Result<Json<PushOffer>, ProblemResponse> {
    Ok(Json(sender(&app)?.offer()))
}
