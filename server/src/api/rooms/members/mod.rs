//! The members of a room.

pub mod get;
pub mod list;
pub mod remove;
pub mod set;

use std::collections::HashMap;

use holler_core::units::{Mono, RoomId, UserId};
use holler_core::wire::rest::Member;

use crate::storage::accounts::MemberRow;

/// Which member of which room.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub struct MemberPath {
    /// The room.
    room: RoomId,
    /// The user.
    user: UserId,
}

/// A member as they are told, with the sockets that are open here.
fn told(row: MemberRow, connected: &HashMap<UserId, (u32, Mono)>, now: Mono) -> Member {
    let MemberRow { user, name, role } = row;
    let sockets = connected.get(&user);
    Member {
        user,
        name,
        role,
        connections: sockets.map_or(0, |(count, _)| *count),
        last_heard_ms: sockets.map(|(_, heard)| u64::try_from(now.since(*heard).as_millis()).unwrap_or(u64::MAX)),
    }
}
