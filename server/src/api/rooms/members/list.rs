//! `GET /api/v1/rooms/{room}/members`

use axum::extract::State;
use holler_core::wire::rest::Member;

use crate::api::ProblemResponse;
use crate::api::extract::{Json, Path};
use crate::api::rooms::{RoomPath, visible};
use crate::app::App;
use crate::auth::Principal;

/// The members of a room, by name, with the sockets that each has open on this server.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}/members", tag = "rooms", operation_id = "list_members",
    params(RoomPath),
    responses(
        (status = 200, description = "The members", body = [Member]),
        (status = 404, description = "not-found: no such room, or you are no member"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(RoomPath { room }): Path<RoomPath>,
) -> Result<Json<Vec<Member>>, ProblemResponse> {
    visible(&app, &principal, room).await?;
    let rows = app.auth.read(move |accounts| Ok(accounts.members(room)?)).await?;
    let (connected, now) = (app.connections.of_users(), app.clock.now());
    let members = rows.into_iter().map(|row| {
        let sockets = connected.get(&row.user);
        Member {
            user: row.user,
            name: row.name,
            role: row.role,
            connections: sockets.map_or(0, |(count, _)| *count),
            last_heard_ms: sockets.map(|(_, heard)| u64::try_from(now.since(*heard).as_millis()).unwrap_or(u64::MAX)),
        }
    });
    Ok(Json(members.collect()))
}
