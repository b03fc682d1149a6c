//! `PUT /api/v1/rooms/direct/{user}`

use axum::extract::State;
use holler_core::units::{RoomId, UserId};
use holler_core::wire::rest::Room;

use super::{no_room, seen_by};
use crate::api::extract::{Json, Path};
use crate::api::{ProblemResponse, problem, random};
use crate::app::App;
use crate::auth::Principal;
use crate::storage::accounts::{AccountError, Accounts, View};

/// Whom to talk with.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub struct UserPath {
    /// The other person, or oneself.
    user: UserId,
}

/// Open the direct room with a person: the one that there is, or a new one.
///
/// Two people have one such room, however often and from whichever side it is opened. Both are talkers, nobody else is ever let in, and
/// to each of the two it bears the other's name. Who had left it is a member again. With oneself it is the echo room, called `Echo`, of
/// which nobody else is ever a member: what is said there can be fetched as others would hear it.
#[utoipa::path(
    put, path = "/api/v1/rooms/direct/{user}", tag = "rooms", operation_id = "open_direct_room",
    params(UserPath),
    responses(
        (status = 200, description = "The room", body = Room),
        (status = 404, description = "not-found: no such person, or you share no room with them"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(UserPath { user }): Path<UserPath>,
) -> Result<Json<Room>, ProblemResponse> {
    let (new, caller) = (RoomId::from_bytes(random()?), principal.user);
    let view = View { user: caller, all: principal.admin };
    let open = move |accounts: &Accounts<'_>, now| {
        if !accounts.sees(view, user)? {
            return Err(AccountError::NoUser);
        }
        accounts.direct_room(caller, user, new, now)
    };
    let (room, generation) = app.auth.write(&principal, open).await?;
    app.auth.reach(generation).await.map_err(problem::store)?;
    let row = app.auth.read(move |accounts| Ok(accounts.room(room)?)).await?.ok_or_else(|| no_room(room))?;
    Ok(Json(seen_by(&app, &principal, row).await?))
}
