//! `GET /api/v1/rooms/{room}/events/{seq}/receipts`

use axum::extract::State;
use holler_core::units::{RoomId, Seq};
use holler_core::wire::presence::MessageReceipts;
use holler_core::wire::problem::{Problem, ProblemKind};

use crate::api::extract::{Json, Path};
use crate::api::rooms::{member, sees_receipts};
use crate::api::{ProblemResponse, problem};
use crate::app::App;
use crate::auth::Principal;
use crate::storage::receipts;

/// Which event of which room.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub struct EventPath {
    /// The room.
    room: RoomId,
    /// The event's number.
    seq: Seq,
}

/// Who has a message, and who read it.
///
/// For the one who wrote it, and for the room's dispatchers and admins. Present members count; who left does not.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}/events/{seq}/receipts", tag = "events", operation_id = "message_receipts",
    params(EventPath),
    responses(
        (status = 200, description = "Who got how far", body = MessageReceipts),
        (status = 403, description = "forbidden: it is not yours, and you are no dispatcher of the room"),
        (status = 404, description = "not-found: no such room or message, or you are no member"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(EventPath { room, seq }): Path<EventPath>,
) -> Result<Json<MessageReceipts>, ProblemResponse> {
    let role = member(&app, &principal, room).await?;
    let workspace = app.auth.workspace();
    let found = app.store.read(move |db| receipts::of_message(db, workspace, room, seq)).await;
    let none = || Problem::new(ProblemKind::NotFound, format!("there is no message {seq} in this room")).field("seq");
    let found = found.map_err(problem::store)?.ok_or_else(none)?;
    sees_receipts(role, found.user == principal.user)?;
    Ok(Json(found))
}
