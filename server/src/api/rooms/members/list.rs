//! `GET /api/v1/rooms/{room}/members`

use axum::extract::State;
use holler_core::wire::rest::Member;

use super::told;
use crate::api::ProblemResponse;
use crate::api::extract::{Path, Query};
use crate::api::pages::{Page, PageQuery, by_name};
use crate::api::rooms::{RoomPath, visible};
use crate::app::App;
use crate::auth::Principal;

/// The members of a room, by name, with the sockets that each has open on this server.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}/members", tag = "rooms", operation_id = "list_members",
    params(RoomPath, PageQuery),
    responses(
        (status = 200, description = "The members; `Link` leads to the next page", body = [Member]),
        (status = 404, description = "not-found: no such room, or you are no member"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(RoomPath { room }): Path<RoomPath>,
    Query(query): Query<PageQuery>,
) -> Result<Page<Member>, ProblemResponse> {
    let limit = query.limit()?;
    visible(&app, &principal, room).await?;
    let rows = app.auth.read(move |accounts| {
        query.cut(accounts, "members", limit, accounts.members(room)?, |row| by_name(&row.name, row.user.bytes()))
    });
    let rows = rows.await?;
    let (connected, now) = (app.connections.of_users(), app.clock.now());
    Ok(rows.map(|row| told(row, &connected, now)))
}
