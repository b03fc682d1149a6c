//! `POST /api/v1/auth/sign-out`

use axum::extract::State;
use axum::http::StatusCode;

use crate::api::ProblemResponse;
use crate::app::App;
use crate::auth::Principal;

/// End the sign-in of this device.
///
/// Its tokens are refused from now on. The device stays known and may sign in again; to shut it out for good, revoke it with
/// `DELETE /devices/{device}`.
#[utoipa::path(
    post, path = "/api/v1/auth/sign-out", tag = "auth", operation_id = "sign_out",
    responses((status = 204, description = "Signed out")),
)]
pub async fn handler(State(app): State<App>, principal: Principal) -> Result<StatusCode, ProblemResponse> {
    app.auth.sign_out(&principal).await?;
    Ok(StatusCode::NO_CONTENT)
}
