//! `DELETE /api/v1/rooms/{room}`

use axum::extract::State;
use holler_core::wire::rest::ShredReceipt;

use super::{RoomPath, changeable, no_room};
use crate::api::ProblemResponse;
use crate::api::conditional::IfMatch;
use crate::api::extract::{Json, Path};
use crate::app::App;
use crate::auth::Principal;

/// Delete a room with everything that was said in it, for good.
///
/// Its key is deleted, so that nobody can read its events and bursts any more; backups that were made before hold them until they are
/// deleted. Its members see it go from their rosters, and sockets that follow it are told so within a second. Done again, the answer is
/// the same receipt. A room under legal hold stays. `If-Match` compares what `PATCH` can change.
#[utoipa::path(
    delete, path = "/api/v1/rooms/{room}", tag = "rooms", operation_id = "delete_room",
    params(RoomPath),
    responses(
        (status = 200, description = "Deleted, now or earlier: what went", body = ShredReceipt),
        (status = 404, description = "not-found: there never was such a room"),
        (status = 409, description = "conflict: the room is under legal hold"),
        (status = 412, description = "precondition-failed: the room was changed meanwhile"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    if_match: IfMatch,
    Path(RoomPath { room }): Path<RoomPath>,
) -> Result<Json<ShredReceipt>, ProblemResponse> {
    let receipt = app
        .auth
        .write(&principal, move |accounts, now| {
            if let Some(row) = accounts.room(room)? {
                if_match.check_part(&changeable(&row))?;
                return Ok(Some(accounts.shred_room(room, now)?));
            }
            Ok(accounts.shredded(room)?.map(|receipt| (0, receipt)))
        })
        .await?;
    let (generation, receipt) = receipt.ok_or_else(|| no_room(room))?;
    app.auth.reach(generation).await?;
    tracing::info!(%room, events = receipt.events, "room deleted");
    Ok(Json(receipt))
}
