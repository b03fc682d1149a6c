//! `GET /api/v1/push/subscription`

use axum::extract::State;
use holler_core::wire::rest::PushSubscription;

use crate::api::ProblemResponse;
use crate::api::extract::Json;
use crate::app::App;
use crate::auth::Principal;
use crate::storage::accounts::AccountError;

/// Where the device in use is told of what it missed.
#[utoipa::path(
    get, path = "/api/v1/push/subscription", tag = "notifications", operation_id = "get_push_subscription",
    responses(
        (status = 200, description = "Its subscription", body = PushSubscription),
        (status = 404, description = "not-found: it has none, or its push service no longer knows it"),
    ),
)]
pub async fn handler(State(app): State<App>, principal: Principal) -> Result<Json<PushSubscription>, ProblemResponse> {
    let found = app
        .auth
        .read(move |accounts| accounts.push_subscription(principal.device)?.ok_or(AccountError::NoSubscription));
    Ok(Json(found.await?))
}
