//! `GET /api/v1/rooms/{room}`

use axum::extract::State;
use holler_core::wire::rest::Room;

use super::{RoomPath, no_room, seen_by, visible};
use crate::api::ProblemResponse;
use crate::api::extract::{Json, Path};
use crate::app::App;
use crate::auth::Principal;

/// One room.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}", tag = "rooms", operation_id = "get_room",
    params(RoomPath),
    responses(
        (status = 200, description = "The room", body = Room),
        (status = 404, description = "not-found: no such room, or you are no member"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(RoomPath { room }): Path<RoomPath>,
) -> Result<Json<Room>, ProblemResponse> {
    visible(&app, &principal, room).await?;
    let row = app.auth.read(move |accounts| Ok(accounts.room(room)?)).await?.ok_or_else(|| no_room(room))?;
    Ok(Json(seen_by(&app, &principal, row).await?))
}
