//! `POST /api/v1/invites/accept`

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State};
use axum::http::StatusCode;
use holler_core::wire::rest::{AcceptInvite, Tokens};

use crate::api::extract::Json;
use crate::api::{ProblemResponse, bounds};
use crate::app::App;

/// Join by an invite: makes a user, puts them into the rooms, and signs this device in.
///
/// Tokens that are not good are limited: 30 per address, then one in 2 s. So are logins that are taken: 10 per invite and
/// address, then one in 20 s.
#[utoipa::path(
    post, path = "/api/v1/invites/accept", tag = "invites", operation_id = "accept_invite",
    request_body = AcceptInvite,
    responses(
        (status = 201, description = "Joined and signed in", body = Tokens),
        (status = 404, description = "not-found: the invite is not good, whatever the reason"),
        (status = 409, description = "conflict: the login is taken; the invite is still good"),
        (status = 422, description = "out-of-bounds: a field is outside its bounds"),
        (status = 429, description = "rate-limited: too many attempts; Retry-After says when to come again"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Json(request): Json<AcceptInvite>,
) -> Result<(StatusCode, Json<Tokens>), ProblemResponse> {
    bounds::login(&request.login)?;
    bounds::name("name", &request.name)?;
    bounds::new_password(&request.password, &app.auth.policy())?;
    bounds::name("device_name", &request.device_name)?;
    Ok((StatusCode::CREATED, Json(app.auth.accept_invite(request, from.ip()).await?)))
}
