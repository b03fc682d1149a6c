//! How loud rooms and people are, as the person set it.

use holler_core::sorted;
use holler_core::units::{RoomId, UserId};

/// How loud rooms and people are, percent; whoever is not in it is as loud as they speak.
#[derive(Default)]
pub struct Volumes {
    rooms: sorted::Map<RoomId, u8>,
    people: sorted::Map<UserId, u8>,
}

impl Volumes {
    /// Rooms and people that are louder or softer, percent.
    pub fn new(rooms: sorted::Map<RoomId, u8>, people: sorted::Map<UserId, u8>) -> Self {
        Self { rooms, people }
    }

    /// The share of its loudness with which somebody is heard in a room.
    pub fn gain(&self, room: RoomId, user: UserId) -> f32 {
        let of = |percent: Option<&u8>| f32::from(percent.copied().unwrap_or(100)) / 100.0;
        of(self.rooms.get(&room)) * of(self.people.get(&user))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOUD: RoomId = RoomId::from_bytes([1; 16]);
    const ROOM: RoomId = RoomId::from_bytes([2; 16]);
    const SOFT: UserId = UserId::from_bytes([3; 16]);
    const USER: UserId = UserId::from_bytes([4; 16]);

    #[test]
    fn a_person_is_as_loud_as_the_room_and_they_are_set() {
        let volumes = Volumes::new([(LOUD, 200)].into_iter().collect(), [(SOFT, 25)].into_iter().collect());
        let gains =
            [(ROOM, USER), (LOUD, USER), (ROOM, SOFT), (LOUD, SOFT)].map(|(room, user)| volumes.gain(room, user));
        assert_eq!(gains, [1.0, 2.0, 0.25, 0.5]);
        let silent = Volumes::new([(ROOM, 0)].into_iter().collect(), sorted::Map::default());
        assert_eq!(silent.gain(ROOM, USER), 0.0);
        assert_eq!(silent.gain(LOUD, USER), 1.0, "another room is not changed");
    }
}
