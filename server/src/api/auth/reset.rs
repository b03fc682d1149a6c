//! `POST /api/v1/auth/reset`

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State};
use holler_core::wire::rest::{Tokens, UseReset};

use crate::api::extract::Json;
use crate::api::{ProblemResponse, bounds};
use crate::app::App;

/// Set a new password by an admin's one-time link, and sign this device in.
///
/// The link is used up, and every other sign-in of the user ends. Tokens that are not good are limited: 30 per address, then one
/// in 2 s.
#[utoipa::path(
    post, path = "/api/v1/auth/reset", tag = "auth", operation_id = "use_reset",
    request_body = UseReset,
    responses(
        (status = 200, description = "The password is set, and the device signed in", body = Tokens),
        (status = 401, description = "unauthenticated: the link is not good, whatever the reason"),
        (status = 422, description = "out-of-bounds: a field is outside its bounds"),
        (status = 429, description = "rate-limited: too many attempts; Retry-After says when to come again"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Json(request): Json<UseReset>,
) -> Result<Json<Tokens>, ProblemResponse> {
    bounds::new_password(&request.password, &app.auth.policy())?;
    bounds::name("device_name", &request.device_name)?;
    Ok(Json(app.auth.use_reset(request, from.ip()).await?))
}
