//! `PATCH /api/v1/users/{user}`

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::rest::{ChangeUser, User};

use super::UserPath;
use crate::api::conditional::{IfMatch, tag};
use crate::api::extract::{Json, Path};
use crate::api::{ProblemResponse, bounds};
use crate::app::App;
use crate::auth::Principal;

/// Change a user: their name, their role, or whether they are suspended.
///
/// Needs an admin; one's own name everyone may change. A suspended user can't sign in, their sign-ins end, and no token of theirs is
/// good until they are restored; they stay in their rooms. The last admin can be neither suspended nor made a member. `If-Match` takes
/// the `ETag` of the user as you see them.
#[utoipa::path(
    patch, path = "/api/v1/users/{user}", tag = "people", operation_id = "change_user",
    params(UserPath), request_body = ChangeUser,
    responses(
        (status = 200, description = "The user as they are now", body = User),
        (status = 404, description = "not-found: there is no such user"),
        (status = 409, description = "conflict: this is the last admin"),
        (status = 412, description = "precondition-failed: they were changed meanwhile"),
        (status = 422, description = "out-of-bounds: a field is outside its bounds"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    if_match: IfMatch,
    Path(UserPath { user }): Path<UserPath>,
    Json(request): Json<ChangeUser>,
) -> Result<Response, ProblemResponse> {
    let ChangeUser { name, role, suspended } = request;
    let own_name_only = user == principal.user && role.is_none() && suspended.is_none();
    if !principal.admin && !own_name_only {
        // Also where there is no such user: who may not change people learns nothing about them here.
        let detail = "this needs an admin of the workspace; your own name you may change yourself";
        return Err(Problem::new(ProblemKind::Forbidden, detail).into());
    }
    if let Some(name) = &name {
        bounds::name("name", name)?;
    }
    let caller = principal.clone();
    app.auth
        .change(&principal, move |accounts, now| {
            if_match.check(&tag(&super::seen(accounts, &caller, user)?))?;
            if let Some(name) = name {
                accounts.rename_user(user, &name)?;
            }
            if let Some(role) = role {
                accounts.set_user_role(user, role)?;
            }
            if let Some(suspended) = suspended {
                accounts.suspend_user(user, suspended, now)?;
            }
            Ok(accounts.changed()?)
        })
        .await?;
    tracing::info!(%user, "user changed");
    let user = app.auth.read(move |accounts| super::seen(accounts, &principal, user)).await?;
    Ok(([(header::ETAG, tag(&user))], Json(user)).into_response())
}
