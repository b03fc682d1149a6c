//! `DELETE /api/v1/tokens/{token}`

use axum::extract::State;
use axum::http::StatusCode;
use holler_core::units::DeviceId;

use crate::api::ProblemResponse;
use crate::api::extract::Path;
use crate::app::App;
use crate::auth::Principal;
use crate::storage::accounts::AccountError;

/// Which token.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub struct TokenPath {
    /// The device that the token is.
    token: DeviceId,
}

/// Revoke one of your tokens for scripts, for good.
///
/// It is refused, and its sockets are closed, within a second. An admin revokes somebody else's as a device.
#[utoipa::path(
    delete, path = "/api/v1/tokens/{token}", tag = "devices", operation_id = "revoke_token",
    params(TokenPath),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "not-found: no such token of yours, or it is revoked already"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(TokenPath { token }): Path<TokenPath>,
) -> Result<StatusCode, ProblemResponse> {
    let user = principal.user;
    app.auth
        .change(&principal, move |accounts, now| {
            let own = accounts.tokens(user)?.into_iter().any(|row| row.device.id == token);
            if own { accounts.revoke_device(token, now) } else { Err(AccountError::NoToken) }
        })
        .await?;
    tracing::info!(device = %token, "token revoked");
    Ok(StatusCode::NO_CONTENT)
}
