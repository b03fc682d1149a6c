//! How loud rooms and people are, as the person set it.

use holler_core::sorted;
use holler_core::units::{RoomId, UserId};

/// How loud rooms and people are, percent.
#[derive(Default)]
pub(super) struct Volumes {
    rooms: sorted::Map<RoomId, u8>,
    people: sorted::Map<UserId, u8>,
}

impl Volumes {
    pub(super) fn new(rooms: sorted::Map<RoomId, u8>, people: sorted::Map<UserId, u8>) -> Self {
        Self { rooms, people }
    }

    /// The share of its loudness with which somebody is heard in a room.
    pub(super) fn gain(&self, room: RoomId, user: UserId) -> f32 {
        let of = |percent: Option<&u8>| f32::from(percent.copied().unwrap_or(100)) / 100.0;
        of(self.rooms.get(&room)) * of(self.people.get(&user))
    }
}
