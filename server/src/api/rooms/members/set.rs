//! `PUT /api/v1/rooms/{room}/members/{user}`

use axum::extract::State;
use axum::http::StatusCode;
use holler_core::wire::rest::SetMember;

use super::MemberPath;
use crate::api::ProblemResponse;
use crate::api::conditional::IfMatch;
use crate::api::extract::{Json, Path};
use crate::api::rooms::manages;
use crate::app::App;
use crate::auth::Principal;

/// Add a member to a room, or change what they may do there.
///
/// Needs the role `admin` in the room, or an admin of the workspace. A room has at most 5,000 members. `If-Match` compares the role, by
/// the `ETag` of the member.
#[utoipa::path(
    put, path = "/api/v1/rooms/{room}/members/{user}", tag = "rooms", operation_id = "set_member",
    params(MemberPath), request_body = SetMember,
    responses(
        (status = 204, description = "They are a member with this role"),
        (status = 404, description = "not-found: no such room or user"),
        (status = 409, description = "conflict: a direct room has its two members already, another 5,000"),
        (status = 412, description = "precondition-failed: the role was changed meanwhile"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    if_match: IfMatch,
    Path(MemberPath { room, user }): Path<MemberPath>,
    Json(SetMember { role }): Json<SetMember>,
) -> Result<StatusCode, ProblemResponse> {
    manages(&app, &principal, room).await?;
    app.auth
        .change(&principal, move |accounts, now| {
            match accounts.role_in(room, user)? {
                Some(held) => if_match.check_part(&held)?,
                None => if_match.check_absent()?,
            }
            accounts.set_member(room, user, role, now)
        })
        .await?;
    tracing::info!(%room, %user, %role, "member set");
    Ok(StatusCode::NO_CONTENT)
}
