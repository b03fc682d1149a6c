//! `GET /api/v1/devices`

use axum::extract::State;
use holler_core::wire::rest::Device;

use crate::api::ProblemResponse;
use crate::api::extract::Json;
use crate::app::App;
use crate::auth::Principal;

/// Your devices, the one that was used last first.
///
/// Tokens for scripts are listed too: each is a device of its own. A revoked device stays listed for 90 days.
#[utoipa::path(
    get, path = "/api/v1/devices", tag = "devices", operation_id = "list_devices",
    responses((status = 200, description = "Your devices", body = [Device])),
)]
pub async fn handler(State(app): State<App>, principal: Principal) -> Result<Json<Vec<Device>>, ProblemResponse> {
    let devices = app.auth.read(move |accounts| Ok(accounts.devices(principal.user)?)).await?;
    Ok(Json(devices.into_iter().map(super::told).collect()))
}
