//! `POST /api/v1/users/{user}/reset`

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use holler_core::wire::limits::RESET_LIFE_S;
use holler_core::wire::problem::within;
use holler_core::wire::rest::{NewReset, ResetLink};

use super::UserPath;
use crate::api::ProblemResponse;
use crate::api::extract::{Json, Path};
use crate::app::App;
use crate::auth::sign_in::after;
use crate::auth::{Principal, links};

/// Make a one-time link with which a user sets a new password.
///
/// It takes the place of an earlier one. Their sign-ins end when it is used, not before.
#[utoipa::path(
    post, path = "/api/v1/users/{user}/reset", tag = "people", operation_id = "create_reset",
    params(UserPath), request_body = NewReset,
    responses(
        (status = 201, description = "The link, which is shown only now", body = ResetLink),
        (status = 404, description = "not-found: there is no such user"),
        (status = 422, description = "out-of-bounds: a field is outside its bounds"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(UserPath { user }): Path<UserPath>,
    Json(NewReset { expires_in_s }): Json<NewReset>,
) -> Result<(StatusCode, Json<ResetLink>), ProblemResponse> {
    within("expires_in_s", "s", expires_in_s, RESET_LIFE_S)?;
    let lives = Duration::from_secs(expires_in_s.into());
    let expires_at = after(app.clock.unix(), lives);
    let token = app.auth.make_reset((&principal).into(), user, lives).await?;
    let link = token.link(&app.config().public_url());
    let qr_svg = links::qr_svg(&link)?;
    Ok((StatusCode::CREATED, Json(ResetLink { link: link.to_string(), qr_svg, expires_at })))
}
