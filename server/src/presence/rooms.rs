//! The rooms that somebody watches: who is in them, and who is told.

use std::collections::BTreeSet;

use holler_core::units::{Mono, RoomId, UserId};
use holler_core::wire::limits::PRESENCE_LIST_MAX;
use holler_core::wire::socket::ServerMessage;

use super::{COUNTS_EVERY, Inner};

/// A watched room.
#[derive(Debug, Default)]
pub(super) struct Watched {
    pub(super) members: BTreeSet<UserId>,
    /// Sockets, by number.
    pub(super) watchers: BTreeSet<u64>,
    pub(super) counts_changed: bool,
    pub(super) counts_at: Mono,
}

impl Watched {
    /// Whether it is told as counts.
    pub(super) fn is_large(&self) -> bool {
        self.members.len() > PRESENCE_LIST_MAX
    }

    /// When its counts are to be told.
    pub(super) fn counts_due(&self) -> Option<Mono> {
        (self.counts_changed && self.is_large()).then(|| self.counts_at + COUNTS_EVERY)
    }
}

impl Inner {
    pub(super) fn is_watched_by(&self, room: RoomId, id: u64) -> bool {
        self.rooms.get(&room).is_some_and(|watched| watched.watchers.contains(&id))
    }

    pub(super) fn watch(&mut self, id: u64, room: RoomId, members: impl FnOnce() -> Vec<UserId>) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        let (user, was_behind) = (socket.connection.user, socket.behind);
        socket.rooms.insert(room);
        self.watches += 1;
        let watched = self.rooms.entry(room).or_default();
        watched.watchers.insert(id);
        if !watched.members.contains(&user) {
            // The first to watch; or they became a member a moment ago.
            self.refresh(room, members());
            if !was_behind && let Some(socket) = self.sockets.get_mut(&id) {
                // It is told the room at once.
                socket.behind = false;
                self.behind.remove(&id);
            }
        }
    }

    pub(super) fn unwatch(&mut self, id: u64, room: RoomId) {
        let Some(socket) = self.sockets.get_mut(&id) else { return };
        if !socket.rooms.remove(&room) {
            return;
        }
        self.watches -= 1;
        if let Some(watched) = self.rooms.get_mut(&room) {
            watched.watchers.remove(&id);
            if watched.watchers.is_empty() {
                self.set_members(room, Vec::new());
                self.rooms.remove(&room);
            }
        }
    }

    /// The members of a watched room are these; those who watch it and are none of them are told no more.
    pub(super) fn refresh(&mut self, room: RoomId, members: Vec<UserId>) {
        let Some(watched) = self.rooms.get(&room) else { return };
        let is_other = watched.members.len() != members.len() || !members.iter().all(|u| watched.members.contains(u));
        if !is_other {
            return;
        }
        self.set_members(room, members);
        let Some(watched) = self.rooms.get(&room) else { return };
        let strangers =
            watched.watchers.iter().copied().filter(|id| {
                self.sockets.get(id).is_none_or(|socket| !watched.members.contains(&socket.connection.user))
            });
        let strangers: Vec<u64> = strangers.collect();
        for id in strangers {
            if let Some(socket) = self.sockets.get(&id) {
                // Else it would take the next promise for this room too.
                socket.connection.out.answer(&ServerMessage::Role { room, role: None });
            }
            self.unwatch(id, room);
        }
        let left = self.rooms.get(&room).map(|watched| watched.watchers.clone()).unwrap_or_default();
        for id in left {
            if let Some(socket) = self.sockets.get_mut(&id) {
                socket.behind = true;
                self.behind.insert(id);
            }
        }
    }

    fn set_members(&mut self, room: RoomId, members: Vec<UserId>) {
        let Some(watched) = self.rooms.get_mut(&room) else { return };
        let before = std::mem::replace(&mut watched.members, members.into_iter().collect());
        for user in before.difference(&watched.members) {
            if let Some(rooms) = self.rooms_of.get_mut(user) {
                rooms.remove(&room);
                if rooms.is_empty() {
                    self.rooms_of.remove(user);
                }
            }
        }
        for user in &watched.members {
            self.rooms_of.entry(*user).or_default().insert(room);
        }
    }

    /// How many messages a change of this person would be.
    pub(super) fn listeners(&self, user: UserId) -> usize {
        let rooms = self.rooms_of.get(&user).into_iter().flatten().filter_map(|room| self.rooms.get(room));
        rooms.filter(|watched| !watched.is_large()).map(|watched| watched.watchers.len()).sum()
    }
}
