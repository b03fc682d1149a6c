//! `PUT /api/v1/rooms/{room}/retention`

use axum::extract::State;
use holler_core::wire::limits::RETENTION_DAYS;
use holler_core::wire::problem::within;
use holler_core::wire::rest::{Retention, SetRetention};

use super::super::RoomPath;
use crate::api::ProblemResponse;
use crate::api::extract::{Json, Path};
use crate::app::App;
use crate::auth::Principal;

/// Set how long a room keeps its events, and whether it is under legal hold.
///
/// What is older goes within minutes: the first event that is kept has a higher number then, and clients that had not read what went are
/// told of the gap. Under legal hold nothing goes.
#[utoipa::path(
    put, path = "/api/v1/rooms/{room}/retention", tag = "rooms", operation_id = "set_retention",
    params(RoomPath), request_body = SetRetention,
    responses(
        (status = 200, description = "What the room keeps from now on", body = Retention),
        (status = 404, description = "not-found: no such room"),
        (status = 422, description = "out-of-bounds: more than 3650 days"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(RoomPath { room }): Path<RoomPath>,
    Json(SetRetention { days, held }): Json<SetRetention>,
) -> Result<Json<Retention>, ProblemResponse> {
    within("days", "days, where 0 is for ever", days.unwrap_or(0), 0..=*RETENTION_DAYS.end())?;
    app.auth.change(&principal, move |accounts, now| accounts.set_retention(room, days, held, now)).await?;
    tracing::info!(%room, days, held, "retention set");
    Ok(Json(super::of(&app, room).await?))
}
