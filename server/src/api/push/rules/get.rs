//! `GET /api/v1/push/rules`

use axum::extract::State;
use holler_core::wire::rest::PushRules;

use crate::api::ProblemResponse;
use crate::api::extract::Json;
use crate::app::App;
use crate::auth::Principal;

/// Of what you are told while your devices are not connected.
#[utoipa::path(
    get, path = "/api/v1/push/rules", tag = "notifications", operation_id = "get_push_rules",
    responses((status = 200, description = "The rules of all your devices", body = PushRules)),
)]
pub async fn handler(State(app): State<App>, principal: Principal) -> Result<Json<PushRules>, ProblemResponse> {
    Ok(Json(app.auth.read(move |accounts| Ok(accounts.push_rules(principal.user)?)).await?))
}
