//! `PATCH /api/v1/rooms/{room}`

use axum::extract::State;
use axum::response::Response;
use holler_core::wire::limits::TALK_LIMIT_S;
use holler_core::wire::problem::within;
use holler_core::wire::rest::{ChangeRoom, Room};

use super::{RoomPath, answer, changeable, manages};
use crate::api::conditional::IfMatch;
use crate::api::extract::{Json, Path};
use crate::api::{ProblemResponse, bounds};
use crate::app::App;
use crate::auth::Principal;
use crate::storage::accounts::AccountError;

/// Change a room's name, its talk limit, or what kind of group it is.
///
/// Needs the role `admin` in the room, or an admin of the workspace. What is left out stays. `If-Match` compares what this can change;
/// it takes the `ETag` of the room, and does not mind that its log went on.
#[utoipa::path(
    patch, path = "/api/v1/rooms/{room}", tag = "rooms", operation_id = "change_room",
    params(RoomPath), request_body = ChangeRoom,
    responses(
        (status = 200, description = "The room from now on", body = Room),
        (status = 404, description = "not-found: no such room, or you are no member"),
        (status = 409, description = "conflict: a direct room stays one"),
        (status = 412, description = "precondition-failed: the room was changed meanwhile"),
        (status = 422, description = "out-of-bounds: a field is outside its bounds"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    if_match: IfMatch,
    Path(RoomPath { room }): Path<RoomPath>,
    Json(change): Json<ChangeRoom>,
) -> Result<Response, ProblemResponse> {
    manages(&app, &principal, room).await?;
    if let Some(name) = &change.name {
        bounds::name("name", name)?;
    }
    if let Some(Some(seconds)) = change.talk_limit_s {
        within("talk_limit_s", "s", seconds, TALK_LIMIT_S)?;
    }
    app.auth
        .change(&principal, move |accounts, _| {
            let mut row = accounts.room(room)?.ok_or(AccountError::NoRoom)?;
            if_match.check_part(&changeable(&row))?;
            row.name = change.name.unwrap_or(row.name);
            row.kind = change.kind.unwrap_or(row.kind);
            row.talk_limit_s = change.talk_limit_s.unwrap_or(row.talk_limit_s);
            accounts.change_room(&row)
        })
        .await?;
    tracing::info!(%room, "room changed");
    answer(&app, &principal, room).await
}
