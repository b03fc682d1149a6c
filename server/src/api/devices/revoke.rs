//! `DELETE /api/v1/devices/{device}`

use axum::extract::State;
use axum::http::StatusCode;

use super::{DevicePath, changeable, visible};
use crate::api::ProblemResponse;
use crate::api::conditional::IfMatch;
use crate::api::extract::Path;
use crate::app::App;
use crate::auth::Principal;

/// Sign a device out for good.
///
/// Your own; an admin's token revokes anybody's. Its tokens are refused and its sockets closed within a second.
#[utoipa::path(
    delete, path = "/api/v1/devices/{device}", tag = "devices", operation_id = "revoke_device",
    params(DevicePath),
    responses(
        (status = 204, description = "Revoked"),
        (status = 404, description = "not-found: no such device, or it is revoked already"),
        (status = 412, description = "precondition-failed: it was renamed meanwhile"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    if_match: IfMatch,
    Path(DevicePath { device }): Path<DevicePath>,
) -> Result<StatusCode, ProblemResponse> {
    app.auth
        .change(&principal.clone(), move |accounts, now| {
            if_match.check_part(&changeable(&visible(accounts, &principal, device)?))?;
            accounts.revoke_device(device, now)
        })
        .await?;
    tracing::info!(%device, "device revoked");
    Ok(StatusCode::NO_CONTENT)
}
