//! Rooms: who is in them and what is in their logs.

pub mod bursts;
pub mod change;
pub mod create;
pub mod delete;
pub mod direct;
pub mod events;
pub mod get;
pub mod list;
pub mod members;
pub mod retention;

use axum::response::Response;
use holler_core::model::{Role, RoomKind};
use holler_core::units::{Cursor, RoomId};
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::rest::Room;
use serde::Serialize;

use super::{ProblemResponse, conditional, problem};
use crate::app::App;
use crate::auth::Principal;
use crate::storage::accounts::RoomRow;

/// Which room.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub struct RoomPath {
    /// The room.
    room: RoomId,
}

/// There is no such room, as far as the caller may know.
fn no_room(room: RoomId) -> Problem {
    Problem::new(ProblemKind::NotFound, format!("there is no room {room} that you are a member of")).field("room")
}

/// The caller's role. Where they have none, another process may have given them one a moment ago: the list of rooms, which is
/// read from the database, would show it already.
async fn role(app: &App, principal: &Principal, room: RoomId) -> Result<Option<Role>, Problem> {
    let role = app.auth.role_in(room, principal.user);
    if role.is_none() {
        app.auth.look().await.map_err(problem::store)?;
        return Ok(app.auth.role_in(room, principal.user));
    }
    Ok(role)
}

/// The caller's role in a room whose content they want.
pub(super) async fn member(app: &App, principal: &Principal, room: RoomId) -> Result<Role, Problem> {
    match role(app, principal, room).await? {
        Some(role) => Ok(role),
        None if principal.admin && app.auth.has_room(room) => {
            Err(Problem::new(ProblemKind::Forbidden, "you manage this room, but only its members see what is in it"))
        }
        None => Err(no_room(room)),
    }
}

/// Whether the caller may know who got something that was sent.
fn sees_receipts(role: Role, own: bool) -> Result<(), Problem> {
    if own || role >= Role::Dispatcher {
        return Ok(());
    }
    let detail = "who got something is told to the one who sent it, and to dispatchers and admins of the room";
    Err(Problem::new(ProblemKind::Forbidden, detail))
}

/// The caller's role in a room that they may see; an admin of the workspace sees every room.
pub(super) async fn visible(app: &App, principal: &Principal, room: RoomId) -> Result<Option<Role>, Problem> {
    let role = role(app, principal, room).await?;
    if role.is_some() || principal.admin && app.auth.has_room(room) { Ok(role) } else { Err(no_room(room)) }
}

/// Whether the caller may change the members of a room.
async fn manages(app: &App, principal: &Principal, room: RoomId) -> Result<(), Problem> {
    let role = visible(app, principal, room).await?;
    if principal.admin || role == Some(Role::Admin) {
        return Ok(());
    }
    Err(Problem::new(ProblemKind::Forbidden, "this needs the role admin in the room, or an admin of the workspace"))
}

/// What people can change of a room, which its tag has a part for.
fn changeable(row: &RoomRow) -> impl Serialize + use<> {
    (row.name.clone(), row.kind, row.talk_limit_s)
}

/// A room as the caller sees it, with its entity tag: a part for what `PATCH` can change, and one for all.
async fn answer(app: &App, principal: &Principal, room: RoomId) -> Result<Response, ProblemResponse> {
    let row = app.auth.read(move |accounts| Ok(accounts.room(room)?)).await?.ok_or_else(|| no_room(room))?;
    let changeable = changeable(&row);
    let seen = seen_by(app, principal, row).await?;
    Ok(conditional::tagged_in_parts(&changeable, seen))
}

/// A room as the caller sees it.
async fn seen_by(app: &App, principal: &Principal, row: RoomRow) -> Result<Room, Problem> {
    let log = app.store.log_head(row.id).await.map_err(problem::store)?.ok_or_else(|| no_room(row.id))?;
    let row = if row.kind == RoomKind::Direct {
        let viewer = principal.user;
        app.auth.read(move |accounts| Ok(accounts.named_for(viewer, row)?)).await?
    } else {
        row
    };
    Ok(Room {
        id: row.id,
        name: row.name,
        kind: row.kind,
        role: app.auth.role_in(row.id, principal.user),
        members: row.members,
        talk_limit_s: row.talk_limit_s,
        head: Cursor { incarnation: log.incarnation, seq: log.head },
    })
}
