//! `POST /api/v1/rooms`

use axum::extract::State;
use axum::http::StatusCode;
use holler_core::model::Role;
use holler_core::units::RoomId;
use holler_core::wire::rest::{NewRoom, Room};

use super::{no_room, seen_by};
use crate::api::extract::Json;
use crate::api::{ProblemResponse, bounds, random};
use crate::app::App;
use crate::auth::Principal;

/// Make a room.
///
/// Its maker becomes its first member, with the role `admin`. A `direct` room takes two members.
#[utoipa::path(
    post, path = "/api/v1/rooms", tag = "rooms", operation_id = "create_room",
    request_body = NewRoom,
    responses(
        (status = 201, description = "The new room", body = Room),
        (status = 409, description = "conflict: there are 5,000 rooms already"),
        (status = 422, description = "out-of-bounds: a field is outside its bounds"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Json(request): Json<NewRoom>,
) -> Result<(StatusCode, Json<Room>), ProblemResponse> {
    bounds::name("name", &request.name)?;
    let (room, owner) = (RoomId::from_bytes(random()?), principal.user);
    app.auth
        .change(&principal, move |accounts, now| {
            accounts.add_room(room, request.kind, &request.name, now)?;
            accounts.set_member(room, owner, Role::Admin, now)
        })
        .await?;
    tracing::info!(%room, "room made");
    let row = app.auth.read(move |accounts| Ok(accounts.room(room)?)).await?.ok_or_else(|| no_room(room))?;
    Ok((StatusCode::CREATED, Json(seen_by(&app, &principal, row).await?)))
}
