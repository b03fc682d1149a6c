//! `DELETE /api/v1/users/{user}/devices`

use axum::extract::State;
use axum::http::StatusCode;

use crate::api::ProblemResponse;
use crate::api::extract::Path;
use crate::api::users::{UserPath, own};
use crate::app::App;
use crate::auth::Principal;

/// Sign every device of a user out for good, tokens for scripts too.
///
/// Your own, this device among them; an admin's token does it for anybody. Their tokens are refused and their sockets closed
/// within a second. The password stays: change it too where somebody else may know it.
#[utoipa::path(
    delete, path = "/api/v1/users/{user}/devices", tag = "devices", operation_id = "revoke_user_devices",
    params(UserPath),
    responses(
        (status = 204, description = "All are signed out"),
        (status = 404, description = "not-found: there is no such user, or they are somebody else"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(UserPath { user }): Path<UserPath>,
) -> Result<StatusCode, ProblemResponse> {
    own(&app, &principal, user).await?;
    app.auth.change(&principal, move |accounts, now| Ok(accounts.revoke_devices(user, now)?)).await?;
    tracing::info!(%user, "all devices revoked");
    Ok(StatusCode::NO_CONTENT)
}
