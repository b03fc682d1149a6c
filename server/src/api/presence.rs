//! `GET /api/v1/presence`

use axum::extract::State;
use holler_core::units::RoomId;
use holler_core::wire::presence::RoomPresence;

use super::ProblemResponse;
use super::extract::{Json, Query};
use super::rooms::member;
use crate::app::App;
use crate::auth::Principal;

/// Of which room.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RoomQuery {
    /// The room.
    room: RoomId,
}

/// Who of a room is here.
///
/// The socket tells changes as they happen (`presence.watch`); this is for a look, and for as long as the socket says
/// `presence.degraded`. Each state has an age, and a lease after which it counts as `unknown`. A room of more than 100 members is
/// told as counts only.
#[utoipa::path(
    get, path = "/api/v1/presence", tag = "people", operation_id = "presence",
    params(RoomQuery),
    responses(
        (status = 200, description = "Who is here", body = RoomPresence),
        (status = 404, description = "not-found: no such room, or you are no member"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Query(RoomQuery { room }): Query<RoomQuery>,
) -> Result<Json<RoomPresence>, ProblemResponse> {
    member(&app, &principal, room).await?;
    Ok(Json(app.presence.room(room, &app.auth.members_of(room))))
}
