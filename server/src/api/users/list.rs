//! `GET /api/v1/users`

use axum::extract::State;
use holler_core::wire::rest::User;

use crate::api::ProblemResponse;
use crate::api::extract::Json;
use crate::app::App;
use crate::auth::Principal;

/// The people of the workspace, by name.
///
/// Logins are shown to admins, and to everyone their own.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "people", operation_id = "list_users",
    responses((status = 200, description = "Every user", body = [User])),
)]
pub async fn handler(State(app): State<App>, principal: Principal) -> Result<Json<Vec<User>>, ProblemResponse> {
    let (users, suspended) = app.auth.read(|accounts| Ok((accounts.users()?, accounts.suspended()?))).await?;
    let users = users.into_iter().map(|user| User {
        id: user.id,
        login: (principal.admin || user.id == principal.user).then_some(user.login),
        name: user.name,
        role: user.role,
        suspended_at: suspended.get(&user.id).copied().filter(|_| principal.admin),
    });
    Ok(Json(users.collect()))
}
