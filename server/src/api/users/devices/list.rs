//! `GET /api/v1/users/{user}/devices`

use axum::extract::State;
use holler_core::wire::rest::Device;

use crate::api::ProblemResponse;
use crate::api::devices::told;
use crate::api::extract::{Json, Path};
use crate::api::users::{UserPath, own};
use crate::app::App;
use crate::auth::Principal;

/// A user's devices, the one that was used last first.
///
/// Your own; an admin's token lists anybody's.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/devices", tag = "devices", operation_id = "list_user_devices",
    params(UserPath),
    responses(
        (status = 200, description = "Their devices", body = [Device]),
        (status = 404, description = "not-found: there is no such user, or they are somebody else"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(UserPath { user }): Path<UserPath>,
) -> Result<Json<Vec<Device>>, ProblemResponse> {
    own(&app, &principal, user).await?;
    let devices = app.auth.read(move |accounts| Ok(accounts.devices(user)?)).await?;
    Ok(Json(devices.into_iter().map(told).collect()))
}
