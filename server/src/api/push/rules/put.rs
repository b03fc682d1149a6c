//! `PUT /api/v1/push/rules`

use axum::extract::State;
use holler_core::wire::rest::PushRules;

use crate::api::ProblemResponse;
use crate::api::extract::Json;
use crate::app::App;
use crate::auth::Principal;

/// Set of what you are told while your devices are not connected.
///
/// A field that is left out gets its default. It holds for what happens from now on.
#[utoipa::path(
    put, path = "/api/v1/push/rules", tag = "notifications", operation_id = "set_push_rules",
    request_body = PushRules,
    responses((status = 200, description = "The rules from now on", body = PushRules)),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Json(rules): Json<PushRules>,
) -> Result<Json<PushRules>, ProblemResponse> {
    let user = principal.user;
    app.auth.write(&principal, move |accounts, _| Ok(accounts.set_push_rules(user, &rules)?)).await?;
    Ok(Json(rules))
}
