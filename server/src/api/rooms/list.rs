//! `GET /api/v1/rooms`

use axum::extract::State;
use holler_core::wire::rest::Room;

use super::seen_by;
use crate::api::ProblemResponse;
use crate::api::extract::Json;
use crate::app::App;
use crate::auth::Principal;

/// Your rooms, by name.
///
/// An admin's token sees every room of the workspace; those that the admin is no member of come without `role`.
#[utoipa::path(
    get, path = "/api/v1/rooms", tag = "rooms", operation_id = "list_rooms",
    responses((status = 200, description = "The rooms", body = [Room])),
)]
pub async fn handler(State(app): State<App>, principal: Principal) -> Result<Json<Vec<Room>>, ProblemResponse> {
    let (user, admin) = (principal.user, principal.admin);
    let rows =
        app.auth.read(move |accounts| Ok(if admin { accounts.rooms()? } else { accounts.rooms_of(user)? })).await?;
    let mut rooms = Vec::with_capacity(rows.len());
    for row in rows {
        rooms.push(seen_by(&app, &principal, row).await?);
    }
    Ok(Json(rooms))
}
