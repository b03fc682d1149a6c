//! `DELETE /api/v1/push/subscription`

use axum::extract::State;
use axum::http::StatusCode;

use crate::api::ProblemResponse;
use crate::app::App;
use crate::auth::Principal;

/// Have the device in use told no more.
///
/// What waited for it goes too.
#[utoipa::path(
    delete, path = "/api/v1/push/subscription", tag = "notifications", operation_id = "delete_push_subscription",
    responses(
        (status = 204, description = "It is told no more"),
        (status = 404, description = "not-found: it has no subscription"),
    ),
)]
pub async fn handler(State(app): State<App>, principal: Principal) -> Result<StatusCode, ProblemResponse> {
    let device = principal.device;
    app.auth.write(&principal, move |accounts, _| accounts.remove_push_subscription(device, false)).await?;
    Ok(StatusCode::NO_CONTENT)
}
