//! `GET /api/v1/rooms/{room}`

use axum::extract::State;
use axum::response::Response;
use holler_core::wire::rest::Room;

use super::{RoomPath, answer, visible};
use crate::api::ProblemResponse;
use crate::api::extract::Path;
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
) -> Result<Response, ProblemResponse> {
    visible(&app, &principal, room).await?;
    answer(&app, &principal, room).await
}
