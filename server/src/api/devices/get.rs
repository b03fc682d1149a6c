//! `GET /api/v1/devices/{device}`

use axum::extract::State;
use axum::response::Response;
use holler_core::wire::rest::Device;

use super::{DevicePath, answer, visible};
use crate::api::ProblemResponse;
use crate::api::extract::Path;
use crate::app::App;
use crate::auth::Principal;

/// A device: your own; an admin's token sees anybody's. The part of its `ETag` that `If-Match` compares stands for its name, and
/// for whether it is revoked.
#[utoipa::path(
    get, path = "/api/v1/devices/{device}", tag = "devices", operation_id = "get_device",
    params(DevicePath),
    responses(
        (status = 200, description = "The device", body = Device),
        (status = 404, description = "not-found: no such device"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(DevicePath { device }): Path<DevicePath>,
) -> Result<Response, ProblemResponse> {
    Ok(answer(app.auth.read(move |accounts| visible(accounts, &principal, device)).await?))
}
