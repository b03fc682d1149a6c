//! The board in virtual time, with real outboxes; only the sockets are absent.
#![expect(clippy::wildcard_enum_match_arm, reason = "tests look for one message among all")]

use holler_core::session::Next;
use holler_core::units::DeviceId;
use holler_core::wire::limits::{PRESENCE_GRACE, QUEUE_CONTROL_BYTES_MAX};

use super::*;
use crate::clock::VirtualTime;
use crate::gateway::{Frame, Outgoing};

const UNIX: u64 = 1_795_305_600_000;
const STEP: Duration = Duration::from_millis(50);

fn room(n: u8) -> RoomId {
    RoomId::from_bytes([n; 16])
}

fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

struct World {
    time: &'static VirtualTime,
    now: Mono,
    board: Board,
    next: u64,
}

impl World {
    fn new(limits: Limits) -> Self {
        let time: &'static VirtualTime = Box::leak(Box::default());
        let mut world = Self { time, now: Mono(3_600_000_000), board: Board::new(Clock::of(time), limits), next: 1 };
        world.pass(Duration::ZERO);
        world
    }

    /// Lets time pass in small steps, with signs of life from `alive` in each.
    fn pass_with(&mut self, span: Duration, alive: &[&Arc<Connection>]) {
        let end = self.now + span;
        loop {
            self.time.set(self.now, UnixMs(UNIX + self.now.0 / 1_000));
            for connection in alive {
                connection.set_heard(self.now);
            }
            self.board.flush();
            if self.now == end {
                return;
            }
            self.now = (self.now + STEP).min(end);
        }
    }

    fn pass(&mut self, span: Duration) {
        self.pass_with(span, &[]);
    }

    fn open(&mut self, of: u8, device: u8) -> Arc<Connection> {
        let out = Arc::new(Outgoing::new(Clock::of(self.time)));
        let connection =
            Arc::new(Connection::new(self.next, user(of), DeviceId::from_bytes([device; 16]), out, self.now));
        self.next += 1;
        self.board.opened(&connection, None);
        connection
    }

    fn watch(&self, connection: &Connection, n: u8, members: &[u8]) {
        self.board.watch(connection, room(n), || members.iter().map(|n| user(*n)).collect());
    }
}

/// What the socket was sent, in short.
fn told(connection: &Connection) -> Vec<String> {
    let mut all = Vec::new();
    while let (Next::Item(Frame::Text(text)), _) = connection.out.try_next() {
        all.push(match serde_json::from_str::<ServerMessage>(&text).unwrap() {
            ServerMessage::Presence { user, state, .. } => format!("{} {state}", user.bytes()[0]),
            ServerMessage::PresenceRoom { room, people } => {
                let people = people.iter().map(|p| format!("{} {}", p.user.bytes()[0], p.state));
                format!("room {}: {}", room.bytes()[0], people.collect::<Vec<_>>().join(", "))
            }
            ServerMessage::PresenceCounts { counts, .. } => {
                format!("counts: {} available, {} unknown", counts.available, counts.unknown)
            }
            ServerMessage::PresenceDegraded { poll_ms } => format!("degraded {poll_ms}"),
            ServerMessage::Role { room, role: None } => format!("no member of {}", room.bytes()[0]),
            other => panic!("{other:?}"),
        });
    }
    all
}

const S: fn(u64) -> Duration = Duration::from_secs;

#[test]
fn who_watches_is_told_once_of_each_change_and_of_nobody_else() {
    let mut world = World::new(Limits::default());
    let watcher = world.open(1, 1);
    world.pass(S(0));
    world.watch(&watcher, 1, &[1, 2]);
    world.watch(&watcher, 2, &[1, 2, 3]);
    assert_eq!(told(&watcher), ["room 1: 1 available, 2 unknown", "room 2: 1 available, 2 unknown, 3 unknown"]);
    let other = world.open(2, 2);
    let stranger = world.open(4, 4);
    world.board.set(&other, PresenceState::Solo);
    world.pass(S(0));
    // Both rooms have 2 in them; that is one change, and what lay between is nobody's business.
    assert_eq!(told(&watcher), ["2 solo"]);
    assert_eq!(told(&stranger), Vec::<String>::new());
    world.board.unwatch(&watcher, room(1));
    world.board.unwatch(&watcher, room(2));
    world.board.set(&other, PresenceState::Busy);
    world.pass(S(0));
    assert_eq!(told(&watcher), Vec::<String>::new());
    assert!(world.board.inner().rooms.is_empty() && world.board.inner().rooms_of.is_empty());
}

#[test]
fn a_silent_socket_is_unknown_when_its_lease_ends_and_a_closed_one_offline_after_the_grace() {
    let mut world = World::new(Limits::default());
    let watcher = world.open(1, 1);
    let (silent, closing) = (world.open(2, 2), world.open(3, 3));
    world.pass(S(0));
    world.watch(&watcher, 1, &[1, 2, 3]);
    told(&watcher);
    world.board.closed(&closing, Ending::Closed);
    world.pass_with(PRESENCE_GRACE - Duration::from_millis(1), &[&watcher]);
    assert_eq!(told(&watcher), Vec::<String>::new());
    world.pass_with(Duration::from_millis(2), &[&watcher]);
    assert_eq!(told(&watcher), ["3 offline"]);
    world.pass_with(S(34), &[&watcher]);
    assert_eq!(told(&watcher), Vec::<String>::new());
    world.pass_with(S(2), &[&watcher]);
    assert_eq!(told(&watcher), ["2 unknown"]);
    let person = world.board.person(silent.user);
    assert_eq!((person.state, person.lease_ms), (PresenceState::Unknown, 0));
    assert!((40_000..42_000).contains(&person.age_ms.unwrap()));
}

#[test]
fn an_idle_device_counts_for_as_long_as_it_promised() {
    let mut world = World::new(Limits::default());
    let (watcher, idle) = (world.open(1, 1), world.open(2, 2));
    idle.set_lease(S(145));
    world.watch(&watcher, 1, &[1, 2]);
    world.pass_with(S(144), &[&watcher]);
    assert_eq!(world.board.person(idle.user).state, PresenceState::Available);
    world.pass_with(S(2), &[&watcher]);
    assert_eq!(world.board.person(idle.user).state, PresenceState::Unknown);
}

#[test]
fn large_rooms_are_told_as_counts_now_and_then() {
    let mut world = World::new(Limits::default());
    let members: Vec<u8> = (1..=150).collect();
    let watcher = world.open(1, 1);
    world.watch(&watcher, 1, &members);
    assert_eq!(told(&watcher), ["counts: 1 available, 149 unknown"]);
    world.pass_with(S(3), &[&watcher]);
    let others: Vec<_> = (2..=61).map(|n| world.open(n, n)).collect();
    world.pass_with(S(0), &[&watcher]);
    assert_eq!(told(&watcher), ["counts: 61 available, 89 unknown"]);
    for other in &others {
        world.board.closed(other, Ending::SignedOut);
    }
    world.pass_with(Duration::from_millis(1_900), &[&watcher]);
    assert_eq!(told(&watcher), Vec::<String>::new());
    world.pass_with(Duration::from_millis(200), &[&watcher]);
    assert_eq!(told(&watcher), ["counts: 1 available, 89 unknown"]);
    let all: Vec<UserId> = members.iter().map(|n| user(*n)).collect();
    assert_eq!(world.board.room(room(1), &all).people, None);
}

#[test]
fn a_removed_member_is_told_no_more_and_a_new_one_appears() {
    let mut world = World::new(Limits::default());
    let (watcher, removed) = (world.open(1, 1), world.open(2, 2));
    for connection in [&watcher, &removed] {
        world.watch(connection, 1, &[1, 2]);
        told(connection);
    }
    world.board.refresh(|_| vec![user(1), user(3)], |_| true);
    world.open(3, 3);
    world.pass(S(0));
    assert_eq!(told(&removed), ["no member of 1"]);
    assert_eq!(world.board.promise(&removed), None);
    assert_eq!(told(&watcher).last().unwrap(), "room 1: 1 available, 3 available");
    world.board.refresh(|_| vec![user(1), user(3)], |of| of != user(3));
    assert_eq!(world.board.person(user(3)).age_ms, None, "a removed user leaves nothing");
}

#[test]
fn a_storm_degrades_the_board_and_calm_brings_it_back() {
    let mut world = World::new(Limits { fanout_max: 20, ..Limits::default() });
    let members: Vec<u8> = (1..=30).collect();
    let watchers: Vec<_> = (1..=3).map(|n| world.open(n, n)).collect();
    for watcher in &watchers {
        world.watch(watcher, 1, &members);
    }
    world.pass(S(0));
    watchers.iter().for_each(|watcher| drop(told(watcher)));
    assert!(world.board.promise(&watchers[0]).is_some());
    // Ten changes for three watchers are more than 20 messages.
    let others: Vec<_> = (11..=20).map(|n| world.open(n, n)).collect();
    world.pass(S(0));
    assert!(world.board.is_degraded());
    for watcher in &watchers {
        assert_eq!(told(watcher), ["degraded 30000"]);
        assert_eq!(world.board.promise(watcher), None);
    }
    // What is asked for is right all the same, and who begins to watch is told to ask.
    let all: Vec<UserId> = members.iter().map(|n| user(*n)).collect();
    assert_eq!(world.board.room(room(1), &all).counts.available, 13);
    world.watch(&others[0], 1, &members);
    assert_eq!(told(&others[0]), ["degraded 30000"]);
    let everybody: Vec<&Arc<Connection>> = watchers.iter().chain(&others).collect();
    world.pass_with(S(14), &everybody);
    assert!(world.board.is_degraded());
    world.pass_with(S(2), &everybody);
    assert!(!world.board.is_degraded());
    for watcher in watchers.iter().chain(&others[..1]) {
        let told = told(watcher);
        assert!(told.len() == 1 && told[0].starts_with("room 1: 1 available"), "{told:?}");
        assert!(world.board.promise(watcher).is_some());
    }
}

#[test]
fn too_many_watches_are_told_to_ask() {
    let mut world = World::new(Limits { watches_max: 1, ..Limits::default() });
    let (first, second) = (world.open(1, 1), world.open(2, 2));
    world.watch(&first, 1, &[1, 2]);
    world.watch(&second, 1, &[1, 2]);
    assert_eq!(told(&first), ["room 1: 1 available, 2 available"]);
    assert_eq!(told(&second), ["degraded 30000"]);
    assert_eq!(world.board.promise(&second), None);
}

#[test]
fn a_reader_that_takes_nothing_costs_little_and_is_promised_nothing() {
    let mut world = World::new(Limits::default());
    let (slow, other) = (world.open(1, 1), world.open(2, 2));
    world.watch(&slow, 1, &[1, 2]);
    told(&slow);
    slow.out.control("x".repeat(QUEUE_CONTROL_BYTES_MAX + 1).into(), None);
    for state in [PresenceState::Busy, PresenceState::Away, PresenceState::Solo] {
        world.board.set(&other, state);
        world.pass(S(0));
    }
    assert_eq!(world.board.promise(&slow), None);
    assert!(matches!(slow.out.try_next().0, Next::Item(_)));
    assert_eq!(told(&slow), Vec::<String>::new());
    world.pass(S(1));
    assert_eq!(told(&slow), ["room 1: 1 available, 2 solo"]);
    assert!(world.board.promise(&slow).is_some());
}

#[test]
fn transitions_are_given_out_once_and_restored_as_they_were() {
    let mut world = World::new(Limits::default());
    let (stays, leaves) = (world.open(1, 1), world.open(2, 2));
    world.board.closed(&leaves, Ending::Closed);
    world.pass_with(S(60), &[&stays]);
    let records = world.board.take_records();
    let found: Vec<_> = records.iter().map(|t| (t.user, t.state)).collect();
    assert_eq!(found, [(user(1), PresenceState::Available), (user(2), PresenceState::Offline)]);
    assert!(world.board.take_records().is_empty());
    let mut next = World::new(Limits::default());
    next.board.restore(&records, UnixMs(records[1].at.0 + 100_000));
    let seen = |world: &World, n| (world.board.person(user(n)).state, world.board.person(user(n)).age_ms);
    assert_eq!(seen(&next, 2), (PresenceState::Offline, Some(100_000)));
    assert_eq!(seen(&next, 1), (PresenceState::Unknown, Some(100_000)));
    next.open(1, 1);
    assert_eq!(seen(&next, 1), (PresenceState::Available, Some(0)));
    assert_eq!(next.board.take_records().len(), 1, "what was read is not written again");
}
