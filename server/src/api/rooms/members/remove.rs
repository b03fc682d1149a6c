//! `DELETE /api/v1/rooms/{room}/members/{user}`

use axum::extract::State;
use axum::http::StatusCode;

use super::MemberPath;
use crate::api::ProblemResponse;
use crate::api::conditional::IfMatch;
use crate::api::extract::Path;
use crate::api::rooms::{manages, visible};
use crate::app::App;
use crate::auth::Principal;
use crate::storage::accounts::AccountError;

/// Remove a member from a room, or leave it oneself.
///
/// Removing somebody else needs the role `admin` in the room, or an admin of the workspace.
#[utoipa::path(
    delete, path = "/api/v1/rooms/{room}/members/{user}", tag = "rooms", operation_id = "remove_member",
    params(MemberPath),
    responses(
        (status = 204, description = "They are no member any more"),
        (status = 404, description = "not-found: no such room, or they are no member"),
        (status = 412, description = "precondition-failed: the role was changed meanwhile"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    if_match: IfMatch,
    Path(MemberPath { room, user }): Path<MemberPath>,
) -> Result<StatusCode, ProblemResponse> {
    if user == principal.user {
        visible(&app, &principal, room).await?;
    } else {
        manages(&app, &principal, room).await?;
    }
    app.auth
        .change(&principal, move |accounts, _| {
            if_match.check_part(&accounts.role_in(room, user)?.ok_or(AccountError::NoMember)?)?;
            accounts.remove_member(room, user)
        })
        .await?;
    tracing::info!(%room, %user, "member removed");
    Ok(StatusCode::NO_CONTENT)
}
