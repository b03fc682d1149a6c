//! `GET /api/v1/rooms/{room}/retention`

use axum::extract::State;
use holler_core::wire::rest::Retention;

use super::super::RoomPath;
use crate::api::ProblemResponse;
use crate::api::extract::{Json, Path};
use crate::app::App;

/// How long a room keeps its events, and whether it is under legal hold.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}/retention", tag = "rooms", operation_id = "get_retention",
    params(RoomPath),
    responses(
        (status = 200, description = "What the room keeps", body = Retention),
        (status = 404, description = "not-found: no such room"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    Path(RoomPath { room }): Path<RoomPath>,
) -> Result<Json<Retention>, ProblemResponse> {
    Ok(Json(super::of(&app, room).await?))
}
