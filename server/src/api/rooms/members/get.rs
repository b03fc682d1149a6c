//! `GET /api/v1/rooms/{room}/members/{user}`

use axum::extract::State;
use axum::response::Response;
use holler_core::wire::rest::Member;

use super::{MemberPath, told};
use crate::api::extract::Path;
use crate::api::rooms::visible;
use crate::api::{ProblemResponse, conditional};
use crate::app::App;
use crate::auth::Principal;
use crate::storage::accounts::AccountError;

/// A member of a room. The part of its `ETag` that `If-Match` compares stands for the role.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}/members/{user}", tag = "rooms", operation_id = "get_member",
    params(MemberPath),
    responses(
        (status = 200, description = "The member", body = Member),
        (status = 404, description = "not-found: no such room, or they are no member"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(MemberPath { room, user }): Path<MemberPath>,
) -> Result<Response, ProblemResponse> {
    visible(&app, &principal, room).await?;
    let row = app.auth.read(move |accounts| accounts.member(room, user)?.ok_or(AccountError::NoMember)).await?;
    let role = row.role;
    Ok(conditional::tagged_in_parts(&role, told(row, &app.connections.of_users(), app.clock.now())))
}
