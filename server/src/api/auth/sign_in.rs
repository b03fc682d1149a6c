//! `POST /api/v1/auth/sign-in`

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State};
use holler_core::wire::rest::{SignIn, Tokens};

use crate::api::extract::Json;
use crate::api::{ProblemResponse, bounds};
use crate::app::App;

/// Sign in with a login and a password.
///
/// Gives an access token and the first refresh token of a new sign-in. Name the `device` of an earlier sign-in to go on being
/// that device; its earlier sign-in then ends. A device that is unknown or revoked gets a new identity.
/// Attempts are limited where they come from: 10 wrong ones per login and address, then one in 20 s; 60 per address, then one a
/// second; from a whole network (an IPv4 /24, an IPv6 /48) four times that. A device that shows a refresh token which it once got
/// (`earlier`) has a budget of its own, so that nobody else can use it up.
#[utoipa::path(
    post, path = "/api/v1/auth/sign-in", tag = "auth", operation_id = "sign_in",
    request_body = SignIn,
    responses(
        (status = 200, description = "Signed in", body = Tokens),
        (status = 401, description = "bad-credentials: no user has this login with this password"),
        (status = 403, description = "forbidden: the password is right, but the account is suspended"),
        (status = 422, description = "out-of-bounds: a field is outside its bounds"),
        (status = 429, description = "rate-limited: too many attempts; Retry-After says when to come again"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Json(request): Json<SignIn>,
) -> Result<Json<Tokens>, ProblemResponse> {
    bounds::login(&request.login.to_ascii_lowercase())?;
    bounds::shown_password(&request.password)?;
    bounds::name("device_name", &request.device_name)?;
    Ok(Json(app.auth.sign_in(request, from.ip()).await?))
}
