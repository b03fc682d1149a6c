//! Who is here, on this server: the board.
//!
//! It puts [`holler_core::presence`] to work: sockets that open, speak and end go in, and what changed is told to those who
//! watch a room that the person is a member of. Everybody works on the board directly, under a lock that is held for microseconds;
//! [`task`] gathers changes for a quarter of a second and tells them. A change is serialised once for all who are told.
//!
//! - **Signs of life** are not handed in as they come: each [`Connection`] keeps the time of its last one, and the board looks there when
//!   a lease is about to run out, or somebody asks. An idle socket costs the board nothing.
//! - **Large rooms**, of more than [`PRESENCE_LIST_MAX`] members, are told as counts, at most every 2 s.
//! - **A slow reader** is not told more while its queue is full. When it has drained it gets each of its rooms anew; until then the
//!   promise that comes with `pong` is withheld, so that its own leases run out instead of lying.
//! - **Degraded**: where one round of changes would be more than [`Limits::fanout_max`] messages, or more than
//!   [`Limits::watches_max`] rooms are watched, the board tells no changes for at least 15 s, and says so: clients then ask
//!   `GET /presence` now and then, which is answered from memory. What is known stays right meanwhile.
//!
//! Transitions are written down, so that a server that was restarted says since when it does not know.

mod rooms;
pub mod task;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use holler_core::model::PresenceState;
use holler_core::presence::{Ending, Input, Output, Presence};
use holler_core::session::Coalesce;
use holler_core::units::{DeviceId, Mono, RoomId, UnixMs, UserId};
use holler_core::wire::limits::{PRESENCE_LIST_MAX, PRESENCE_POLL, SILENCE_MAX};
use holler_core::wire::presence::{PersonPresence, PresenceCounts, RoomPresence};
use holler_core::wire::socket::ServerMessage;
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::gateway::{Connection, encode};
use crate::storage::presence::Transition;
use rooms::Watched;

/// How long changes are gathered: who reconnects to another room in a moment is one change.
pub const GATHER: Duration = Duration::from_millis(250);
/// How often the counts of a large room are told.
const COUNTS_EVERY: Duration = Duration::from_secs(2);
/// How long the board stays degraded at least, and for how long there must have been little to tell.
const CALM: Duration = Duration::from_secs(15);

/// How much the board takes on.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Messages in one round of changes, four times a second: each costs about two microseconds of one core.
    pub fanout_max: usize,
    /// Rooms watched, over all sockets.
    pub watches_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { fanout_max: 20_000, watches_max: 200_000 }
    }
}

/// The board.
#[derive(Debug)]
pub struct Board {
    inner: Mutex<Inner>,
    wake: Notify,
    clock: Clock,
    limits: Limits,
}

#[derive(Debug)]
struct Socket {
    connection: Arc<Connection>,
    rooms: BTreeSet<RoomId>,
    /// It must get its rooms anew before it can be told changes.
    behind: bool,
}

#[derive(Debug, Default)]
struct Inner {
    machine: Presence,
    sockets: HashMap<u64, Socket>,
    rooms: HashMap<RoomId, Watched>,
    /// The watched rooms that each person is a member of.
    rooms_of: HashMap<UserId, BTreeSet<RoomId>>,
    changed: BTreeSet<UserId>,
    records: BTreeMap<DeviceId, (UserId, PresenceState, Mono)>,
    watches: usize,
    behind: BTreeSet<u64>,
    /// Since when the board tells no changes, and since when there has been little to tell.
    degraded: Option<(Mono, Mono)>,
}

impl Board {
    /// An empty board.
    pub fn new(clock: Clock, limits: Limits) -> Self {
        Self { inner: Mutex::default(), wake: Notify::new(), clock, limits }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What an earlier server wrote down.
    pub fn restore(&self, transitions: &[Transition], now: UnixMs) {
        let mut inner = self.inner();
        for Transition { user, state, at, .. } in transitions {
            let offline = *state == PresenceState::Offline;
            // A wall clock that was set back makes ages shorter, and no state better.
            let age = Duration::from_millis(now.0.saturating_sub(at.0));
            inner.machine.handle(self.clock.now(), Input::Restored { user: *user, offline, age });
        }
        while inner.machine.poll_output().is_some() {}
    }

    /// A socket signed in.
    pub fn opened(&self, connection: &Arc<Connection>, state: Option<PresenceState>) {
        let mut inner = self.inner();
        let socket = Socket { connection: Arc::clone(connection), rooms: BTreeSet::new(), behind: false };
        inner.sockets.insert(connection.id, socket);
        let (user, device) = (connection.user, connection.device);
        let opened = Input::Opened { user, device, connection: connection.id, state, lease: connection.lease() };
        inner.handle(self.clock.now(), opened);
        drop(inner);
        self.wake.notify_one();
    }

    /// A person says how they are.
    pub fn set(&self, connection: &Connection, state: PresenceState) {
        let set = Input::Set { device: connection.device, connection: connection.id, state };
        self.inner().handle(self.clock.now(), set);
        self.wake.notify_one();
    }

    /// A socket ended. It watches nothing any more.
    pub fn closed(&self, connection: &Connection, ending: Ending) {
        let mut inner = self.inner();
        if let Some(socket) = inner.sockets.get(&connection.id) {
            for room in socket.rooms.clone() {
                inner.unwatch(connection.id, room);
            }
        }
        let closed = Input::Closed { device: connection.device, connection: connection.id, ending };
        inner.handle(self.clock.now(), closed);
        inner.sockets.remove(&connection.id);
        inner.behind.remove(&connection.id);
        drop(inner);
        self.wake.notify_one();
    }

    /// A socket wants to be told who of a room is here; that its user is a member has been seen. `members` gives everybody.
    pub fn watch(&self, connection: &Connection, room: RoomId, members: impl FnOnce() -> Vec<UserId>) {
        let mut inner = self.inner();
        let now = self.clock.now();
        let is_new = inner.sockets.get(&connection.id).is_some_and(|socket| !socket.rooms.contains(&room));
        if is_new && inner.watches >= self.limits.watches_max || inner.degraded.is_some() {
            connection.out.control(degraded(), Some(Coalesce::PresenceFeed));
        }
        if is_new && inner.watches < self.limits.watches_max {
            inner.watch(connection.id, room, members);
        }
        if inner.degraded.is_none() && inner.is_watched_by(room, connection.id) {
            let text = encode(&inner.told(now, room));
            connection.out.control(text, Some(Coalesce::PresenceRoom(room)));
        }
    }

    /// A socket wants to be told no more.
    pub fn unwatch(&self, connection: &Connection, room: RoomId) {
        self.inner().unwatch(connection.id, room);
    }

    /// For how long everything that this socket was told holds, unless it is told otherwise, ms. `None`: it can't be told now.
    pub fn promise(&self, connection: &Connection) -> Option<u32> {
        let inner = self.inner();
        let socket = inner.sockets.get(&connection.id)?;
        let kept = !socket.rooms.is_empty() && !socket.behind && inner.degraded.is_none();
        kept.then(|| millis(connection.lease()))
    }

    /// Who of a room is here, for somebody who asks.
    pub fn room(&self, room: RoomId, members: &[UserId]) -> RoomPresence {
        let mut inner = self.inner();
        let now = self.clock.now();
        let people: Vec<PersonPresence> = members.iter().map(|user| inner.person(now, *user)).collect();
        let mut counts = PresenceCounts::default();
        for person in &people {
            counts.add(person.state);
        }
        let people = (members.len() <= PRESENCE_LIST_MAX).then_some(people);
        RoomPresence { room, people, counts, lease_ms: millis(SILENCE_MAX) }
    }

    /// What can be said of one person.
    pub fn person(&self, user: UserId) -> PersonPresence {
        self.inner().person(self.clock.now(), user)
    }

    /// Users, rooms or members changed. Who is no longer a member is told no more; the others get the rooms that changed anew.
    pub fn refresh(&self, members: impl Fn(RoomId) -> Vec<UserId>, is_user: impl Fn(UserId) -> bool) {
        let mut inner = self.inner();
        let now = self.clock.now();
        let gone: Vec<UserId> = inner.machine.people().filter(|user| !is_user(*user)).collect();
        for user in gone {
            inner.machine.handle(now, Input::Removed { user });
            inner.changed.remove(&user);
        }
        let rooms: Vec<RoomId> = inner.rooms.keys().copied().collect();
        for room in rooms {
            inner.refresh(room, members(room));
        }
        drop(inner);
        self.wake.notify_one();
    }

    /// Does what is due: tells the changes. Gives when to call it again at the latest.
    pub fn flush(&self) -> Option<Mono> {
        let mut inner = self.inner();
        let now = self.clock.now();
        inner.handle(now, Input::Timeout);
        let cost: usize = inner.changed.iter().map(|user| inner.listeners(*user)).sum();
        if let Some((since, calm)) = inner.degraded {
            let calm = if cost > self.limits.fanout_max / 2 { now } else { calm };
            inner.changed.clear();
            inner.degraded = Some((since, calm));
            if now.since(calm) >= CALM {
                tracing::info!(for_s = now.since(since).as_secs(), "changes of presence are told again");
                inner.degraded = None;
                // Each socket gets its rooms anew, as many a round as a round may cost.
                let watching = inner.sockets.iter_mut().filter(|(_, socket)| !socket.rooms.is_empty());
                let behind: Vec<u64> = watching.map(|(id, socket)| (socket.behind = true, *id).1).collect();
                inner.behind.extend(behind);
            }
        } else if cost > self.limits.fanout_max {
            tracing::warn!(
                changes = inner.changed.len(),
                messages = cost,
                "too many changes of presence: told to poll"
            );
            metrics::counter!("holler_presence_degraded_total").increment(1);
            inner.degraded = Some((now, now));
            inner.changed.clear();
            let text = degraded();
            for socket in inner.sockets.values().filter(|socket| !socket.rooms.is_empty()) {
                socket.connection.out.control(text.clone(), Some(Coalesce::PresenceFeed));
            }
        } else {
            inner.tell_changes(now);
        }
        inner.tell_counts(now);
        inner.catch_up(now, self.limits.fanout_max);
        inner.due(now)
    }

    /// The transitions since the last call, to be written down.
    pub fn take_records(&self) -> Vec<Transition> {
        let (now, unix) = (self.clock.now(), self.clock.unix());
        let records = std::mem::take(&mut self.inner().records);
        let at = |at: Mono| UnixMs(unix.0.saturating_sub(u64::try_from(now.since(at).as_millis()).unwrap_or(0)));
        let records = records.into_iter();
        records.map(|(device, (user, state, since))| Transition { device, user, state, at: at(since) }).collect()
    }

    /// Whether any socket is open.
    pub fn is_empty(&self) -> bool {
        self.inner().sockets.is_empty()
    }

    /// Whether changes are told at the moment.
    pub fn is_degraded(&self) -> bool {
        self.inner().degraded.is_some()
    }

    /// Waits until there is something to do.
    pub(crate) async fn woken(&self) {
        self.wake.notified().await;
    }
}

impl Inner {
    /// Hands an input in, after the signs of life that are still on its way.
    fn handle(&mut self, now: Mono, input: Input) {
        let due: Vec<_> = self.machine.due(now).collect();
        self.hand_in(now, due);
        self.machine.handle(now, input);
        while let Some(output) = self.machine.poll_output() {
            match output {
                Output::Changed { user } => {
                    self.changed.insert(user);
                }
                Output::Record { user, device, state, at } => {
                    self.records.insert(device, (user, state, at));
                }
            }
        }
    }

    fn hand_in(&mut self, now: Mono, devices: Vec<(DeviceId, u64)>) {
        for (device, id) in devices {
            if let Some(socket) = self.sockets.get(&id) {
                let (at, lease) = (socket.connection.heard(), socket.connection.lease());
                self.machine.handle(now, Input::Heard { device, connection: id, at, lease });
            }
        }
    }

    /// What is told of a person.
    fn person(&mut self, now: Mono, user: UserId) -> PersonPresence {
        let devices: Vec<_> = self.machine.devices(user).collect();
        self.hand_in(now, devices);
        let seen = self.machine.seen(now, user);
        // Nobody has to confirm that somebody is gone; but who was told so must hear from the server to go on saying it.
        let least = if seen.state == PresenceState::Offline { SILENCE_MAX } else { Duration::ZERO };
        let lease = seen.lease.max(least);
        let age_ms = seen.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        PersonPresence { user, state: seen.state, age_ms, lease_ms: millis(lease) }
    }

    /// What is told of a room as a whole.
    fn told(&mut self, now: Mono, room: RoomId) -> ServerMessage {
        let Some((members, large)) = self.rooms.get(&room).map(|watched| (watched.members.clone(), watched.is_large()))
        else {
            return ServerMessage::PresenceRoom { room, people: Vec::new() };
        };
        let people: Vec<PersonPresence> = members.iter().map(|user| self.person(now, *user)).collect();
        if !large {
            return ServerMessage::PresenceRoom { room, people };
        }
        let mut counts = PresenceCounts::default();
        for person in &people {
            counts.add(person.state);
        }
        ServerMessage::PresenceCounts { room, counts, lease_ms: millis(SILENCE_MAX) }
    }

    fn tell_changes(&mut self, now: Mono) {
        for user in std::mem::take(&mut self.changed) {
            let PersonPresence { user, state, age_ms, lease_ms } = self.person(now, user);
            let rooms = self.rooms_of.get(&user).cloned().unwrap_or_default();
            let mut text: Option<Utf8Bytes> = None;
            let mut told = HashSet::new();
            for room in rooms {
                let Some(watched) = self.rooms.get_mut(&room) else { continue };
                if watched.is_large() {
                    watched.counts_changed = true;
                    continue;
                }
                for id in &watched.watchers {
                    let Some(socket) = self.sockets.get_mut(id).filter(|socket| !socket.behind) else { continue };
                    if !told.insert(*id) {
                        continue;
                    }
                    if socket.connection.out.is_full() {
                        socket.behind = true;
                        self.behind.insert(*id);
                        continue;
                    }
                    let message = || encode(&ServerMessage::Presence { user, state, age_ms, lease_ms });
                    let text = text.get_or_insert_with(message).clone();
                    socket.connection.out.control(text, Some(Coalesce::Presence(user)));
                }
            }
        }
    }

    fn tell_counts(&mut self, now: Mono) {
        if self.degraded.is_some() {
            return;
        }
        let due = self.rooms.iter().filter(|(_, watched)| watched.counts_due().is_some_and(|at| at <= now));
        let due: Vec<RoomId> = due.map(|(room, _)| *room).collect();
        for room in due {
            let message = self.told(now, room);
            let Some(watched) = self.rooms.get_mut(&room) else { continue };
            watched.counts_changed = false;
            watched.counts_at = now;
            let text = encode(&message);
            for id in &watched.watchers {
                if let Some(socket) = self.sockets.get_mut(id).filter(|socket| !socket.behind) {
                    if socket.connection.out.is_full() {
                        socket.behind = true;
                        self.behind.insert(*id);
                    } else {
                        socket.connection.out.control(text.clone(), Some(Coalesce::PresenceRoom(room)));
                    }
                }
            }
        }
    }

    /// Sockets that could not be told get their rooms anew, once their queues have drained.
    fn catch_up(&mut self, now: Mono, rooms_max: usize) {
        if self.degraded.is_some() {
            return;
        }
        let mut texts: HashMap<RoomId, Utf8Bytes> = HashMap::new();
        let mut told = 0;
        for id in self.behind.clone() {
            let Some(socket) = self.sockets.get_mut(&id) else {
                self.behind.remove(&id);
                continue;
            };
            if socket.connection.out.is_full() {
                continue;
            }
            if told >= rooms_max {
                break;
            }
            socket.behind = false;
            let (connection, rooms) = (Arc::clone(&socket.connection), socket.rooms.clone());
            self.behind.remove(&id);
            for room in rooms {
                told += 1;
                let text = if let Some(text) = texts.get(&room) {
                    text.clone()
                } else {
                    let text = encode(&self.told(now, room));
                    texts.entry(room).or_insert(text).clone()
                };
                connection.out.control(text, Some(Coalesce::PresenceRoom(room)));
            }
        }
    }

    /// When there is something to do next.
    fn due(&self, now: Mono) -> Option<Mono> {
        let counts = self.rooms.values().filter_map(|watched| watched.counts_due()).min();
        let behind = (!self.behind.is_empty()).then(|| now + GATHER);
        let degraded = self.degraded.map(|_| now + GATHER);
        [self.machine.poll_timeout(), counts, behind, degraded].into_iter().flatten().min()
    }
}

fn degraded() -> Utf8Bytes {
    encode(&ServerMessage::PresenceDegraded { poll_ms: millis(PRESENCE_POLL) })
}

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
