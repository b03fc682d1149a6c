//! The order in which things leave this device: texts and bursts of a room go out in the order in which they were spoken or
//! written (DESIGN section 7), whichever of them has to wait.
//!
//! A text waits until it is acked. A burst that goes live holds nobody up; one that has to be offered afterwards does, until it
//! has its place in the log. [`super::sends`] and [`super::talk`] ask here whether it is a thing's turn.
//!
//! Beside that, this remembers which history of a room's log was seen last. Another one means that a backup was restored: what
//! was acked in the one before is offered again, by [`Output::Reoffer`](super::Output::Reoffer).

use crate::sorted;
use std::collections::VecDeque;

use crate::units::{BurstId, ClientId, Incarnation, RoomId};

/// Something that is to get a place in a room's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Item {
    Text(ClientId),
    Burst(BurstId),
}

#[derive(Debug)]
struct Waiting {
    item: Item,
    /// Whether what was spoken after it waits for it.
    holds: bool,
}

#[derive(Debug, Default)]
pub(super) struct Outbox {
    rooms: sorted::Map<RoomId, VecDeque<Waiting>>,
    incarnations: sorted::Map<RoomId, Incarnation>,
    /// Something left since this was last asked: others may have their turn.
    moved: bool,
}

impl Outbox {
    /// Something new, spoken after all that is here.
    pub(super) fn add(&mut self, room: RoomId, item: Item) {
        let room = self.rooms.entry(room).or_default();
        if !room.iter().any(|waiting| waiting.item == item) {
            room.push_back(Waiting { item, holds: matches!(item, Item::Text(_)) });
        }
    }

    /// A burst does not go live: what was spoken after it waits for it. One that is not here any more stands behind the others.
    pub(super) fn hold(&mut self, room: RoomId, item: Item) {
        self.add(room, item);
        let found = self.rooms.get_mut(&room).and_then(|room| room.iter_mut().find(|waiting| waiting.item == item));
        if let Some(waiting) = found {
            waiting.holds = true;
        }
    }

    /// It has its place, or will not get one.
    pub(super) fn done(&mut self, room: RoomId, item: Item) {
        let Some(waiting) = self.rooms.get_mut(&room) else { return };
        let before = waiting.len();
        waiting.retain(|waiting| waiting.item != item);
        self.moved |= waiting.len() < before;
        if waiting.is_empty() {
            self.rooms.remove(&room);
        }
    }

    /// Whether nothing that was spoken before it still waits. Texts wait for bursts only: the server keeps their own order.
    pub(super) fn is_turn(&self, room: RoomId, item: Item) -> bool {
        let Some(waiting) = self.rooms.get(&room) else { return true };
        let text = matches!(item, Item::Text(_));
        let before = waiting.iter().take_while(|waiting| waiting.item != item);
        !before.into_iter().any(|waiting| waiting.holds && (!text || matches!(waiting.item, Item::Burst(_))))
    }

    pub(super) fn take_moved(&mut self) -> bool {
        core::mem::take(&mut self.moved)
    }

    /// Notes the history that a room's log has. Whether it is news to this run of the client.
    pub(super) fn is_new(&mut self, room: RoomId, incarnation: Incarnation) -> bool {
        self.incarnations.insert(room, incarnation) != Some(incarnation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_for_what_was_spoken_before_it() {
        let (room, other) = (RoomId::from_bytes([1; 16]), RoomId::from_bytes([2; 16]));
        let text = |n| Item::Text(ClientId::from_bytes([n; 16]));
        let burst = |n| Item::Burst(BurstId::from_bytes([n; 16]));
        let mut outbox = Outbox::default();
        for item in [text(1), text(2), burst(3), text(4), burst(5)] {
            outbox.add(room, item);
        }
        assert!(outbox.is_turn(room, text(2)), "texts go out together");
        assert!(outbox.is_turn(room, text(4)), "a burst that may go live holds nobody up");
        assert!(!outbox.is_turn(room, burst(3)), "a burst that is offered does wait for texts");
        outbox.hold(room, burst(3));
        assert!(!outbox.is_turn(room, text(4)));
        assert!(outbox.is_turn(other, text(4)) && outbox.is_turn(other, burst(5)), "rooms do not wait for each other");
        outbox.done(room, text(1));
        outbox.done(room, text(2));
        assert!(outbox.is_turn(room, burst(3)) && outbox.take_moved() && !outbox.take_moved());
        outbox.done(room, burst(3));
        assert!(outbox.is_turn(room, text(4)) && !outbox.is_turn(room, burst(5)));
        outbox.done(room, text(4));
        assert!(outbox.is_turn(room, burst(5)));
    }

    #[test]
    fn a_new_history_is_news_once() {
        let room = RoomId::from_bytes([1; 16]);
        let (first, second) = (Incarnation::from_bytes([1; 16]), Incarnation::from_bytes([2; 16]));
        let mut outbox = Outbox::default();
        let seen = [first, first, second, second, first].map(|incarnation| outbox.is_new(room, incarnation));
        assert_eq!(seen, [true, false, true, false, true]);
    }
}
