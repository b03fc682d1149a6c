//! `GET /api/v1/users/{user}`

use axum::extract::State;
use holler_core::wire::rest::User;

use super::UserPath;
use crate::api::ProblemResponse;
use crate::api::extract::{Json, Path};
use crate::app::App;
use crate::auth::Principal;

/// A person. The login is shown to admins, and to everyone their own.
#[utoipa::path(
    get, path = "/api/v1/users/{user}", tag = "people", operation_id = "get_user",
    params(UserPath),
    responses(
        (status = 200, description = "The user", body = User),
        (status = 404, description = "not-found: there is no such user"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(UserPath { user }): Path<UserPath>,
) -> Result<Json<User>, ProblemResponse> {
    Ok(Json(app.auth.read(move |accounts| super::seen(accounts, &principal, user)).await?))
}
