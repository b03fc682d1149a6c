//! `PUT /api/v1/me/password`

use axum::extract::State;
use axum::http::StatusCode;
use holler_core::wire::rest::ChangePassword;

use crate::api::extract::Json;
use crate::api::{ProblemResponse, bounds};
use crate::app::App;
use crate::auth::Principal;

/// Change your own password. Every other sign-in of yours ends; this one stays.
///
/// Wrong old passwords are limited: 10 per device, then one in 20 s.
#[utoipa::path(
    put, path = "/api/v1/me/password", tag = "people", operation_id = "change_password",
    request_body = ChangePassword,
    responses(
        (status = 204, description = "Changed"),
        (status = 403, description = "forbidden: the old password is wrong, or the token's scopes do not allow it"),
        (status = 422, description = "out-of-bounds: a field is outside its bounds"),
        (status = 429, description = "rate-limited: too many attempts; Retry-After says when to come again"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Json(request): Json<ChangePassword>,
) -> Result<StatusCode, ProblemResponse> {
    let renamed = |problem: holler_core::wire::problem::Problem, field: &'static str| problem.field(field);
    bounds::shown_password(&request.old_password).map_err(|problem| renamed(problem, "old_password"))?;
    bounds::new_password(&request.new_password, &app.auth.policy())
        .map_err(|problem| renamed(problem, "new_password"))?;
    app.auth.change_password(&principal, request).await?;
    Ok(StatusCode::NO_CONTENT)
}
