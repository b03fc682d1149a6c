//! `PATCH /api/v1/devices/{device}`

use axum::extract::State;
use axum::response::Response;
use holler_core::wire::rest::{ChangeDevice, Device};

use super::{DevicePath, answer, changeable, visible};
use crate::api::conditional::IfMatch;
use crate::api::extract::{Json, Path};
use crate::api::{ProblemResponse, bounds};
use crate::app::App;
use crate::auth::Principal;
use crate::storage::accounts::AccountError;

/// Give a device another name. Later sign-ins keep it.
///
/// Your own; an admin's token names anybody's.
#[utoipa::path(
    patch, path = "/api/v1/devices/{device}", tag = "devices", operation_id = "change_device",
    params(DevicePath), request_body = ChangeDevice,
    responses(
        (status = 200, description = "The device as it is now", body = Device),
        (status = 404, description = "not-found: no such device, or it is revoked"),
        (status = 412, description = "precondition-failed: it was renamed or revoked meanwhile"),
        (status = 422, description = "out-of-bounds: the name is outside its bounds"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    if_match: IfMatch,
    Path(DevicePath { device }): Path<DevicePath>,
    Json(ChangeDevice { name }): Json<ChangeDevice>,
) -> Result<Response, ProblemResponse> {
    bounds::name("name", &name)?;
    let caller = principal.clone();
    let row = app
        .auth
        .write(&principal, move |accounts, _| {
            if_match.check_part(&changeable(&visible(accounts, &caller, device)?))?;
            accounts.name_device(device, &name)?;
            accounts.device(device)?.ok_or(AccountError::NoDevice)
        })
        .await?;
    Ok(answer(row))
}
