//! The members of a room.

pub mod list;
pub mod remove;
pub mod set;

use holler_core::units::{RoomId, UserId};

/// Which member of which room.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub struct MemberPath {
    /// The room.
    room: RoomId,
    /// The user.
    user: UserId,
}
