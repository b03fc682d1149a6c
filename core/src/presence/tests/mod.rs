//! The promises one by one; [`reference`] has them all at once.

mod reference;

use super::*;

const LEASE: Duration = Duration::from_secs(40);
const GRACE: Duration = crate::wire::limits::PRESENCE_GRACE;
const START: Mono = Mono(1_000_000_000);

fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

fn device(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 16])
}

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn open(machine: &mut Presence, now: Mono, of: u8, dev: u8, connection: u64) {
    machine.handle(now, Input::Opened { user: user(of), device: device(dev), connection, state: None, lease: LEASE });
}

fn changes(machine: &mut Presence) -> Vec<UserId> {
    let outputs = core::iter::from_fn(|| machine.poll_output());
    outputs.filter_map(|o| if let Output::Changed { user } = o { Some(user) } else { None }).collect()
}

fn records(machine: &mut Presence) -> Vec<(DeviceId, PresenceState, Mono)> {
    let outputs = core::iter::from_fn(|| machine.poll_output());
    outputs
        .filter_map(|o| if let Output::Record { device, state, at, .. } = o { Some((device, state, at)) } else { None })
        .collect()
}

#[test]
fn past_its_lease_nobody_is_available_even_if_no_timer_ran() {
    let mut machine = Presence::default();
    open(&mut machine, START, 1, 1, 1);
    let last = START + LEASE - Duration::from_micros(1);
    assert_eq!(machine.seen(last, user(1)).state, PresenceState::Available);
    assert_eq!(
        machine.seen(START + LEASE, user(1)),
        Seen { state: PresenceState::Unknown, age: Some(LEASE), lease: Duration::ZERO }
    );
    assert_eq!(machine.poll_timeout(), Some(START + LEASE));
    changes(&mut machine);
    machine.handle(START + LEASE, Input::Timeout);
    assert_eq!(changes(&mut machine), [user(1)]);
    assert_eq!(machine.poll_timeout(), None);
}

#[test]
fn who_was_never_heard_of_is_unknown_without_an_age() {
    let seen = Presence::default().seen(START, user(1));
    assert_eq!(seen, Seen { state: PresenceState::Unknown, age: None, lease: Duration::ZERO });
}

#[test]
fn a_reconnect_within_the_grace_keeps_the_state_and_tells_nobody() {
    let mut machine = Presence::default();
    open(&mut machine, START, 1, 1, 1);
    machine.handle(START, Input::Set { device: device(1), connection: 1, state: PresenceState::Busy });
    changes(&mut machine);
    machine.handle(START + s(1), Input::Closed { device: device(1), connection: 1, ending: Ending::Closed });
    open(&mut machine, START + s(1) + GRACE - Duration::from_micros(1), 1, 1, 2);
    assert!(machine.poll_output().is_none());
    assert_eq!(machine.seen(START + s(10), user(1)).state, PresenceState::Busy);
    // The older socket's end comes late: the newer one stays.
    machine.handle(START + s(11), Input::Closed { device: device(1), connection: 1, ending: Ending::Closed });
    machine.handle(START + s(20), Input::Timeout);
    assert_eq!(machine.seen(START + s(20), user(1)).state, PresenceState::Busy);
}

#[test]
fn a_closed_socket_is_offline_after_the_grace_with_the_age_of_the_close() {
    let mut machine = Presence::default();
    open(&mut machine, START, 1, 1, 1);
    machine.handle(START + s(7), Input::Closed { device: device(1), connection: 1, ending: Ending::Closed });
    assert_eq!(machine.poll_timeout(), Some(START + s(7) + GRACE));
    let later = START + s(100);
    machine.handle(later, Input::Timeout);
    let offline = Seen { state: PresenceState::Offline, age: Some(s(93)), lease: Duration::ZERO };
    assert_eq!(machine.seen(later, user(1)), offline);
    assert_eq!(
        records(&mut machine),
        [(device(1), PresenceState::Available, START), (device(1), PresenceState::Offline, START + s(7))]
    );
}

#[test]
fn who_signs_out_is_offline_at_once() {
    let mut machine = Presence::default();
    open(&mut machine, START, 1, 1, 1);
    machine.handle(START + s(1), Input::Closed { device: device(1), connection: 1, ending: Ending::SignedOut });
    assert_eq!(machine.seen(START + s(1), user(1)).state, PresenceState::Offline);
    assert_eq!(machine.poll_timeout(), None);
}

#[test]
fn signs_of_life_that_come_late_count_from_when_they_were() {
    let mut machine = Presence::default();
    open(&mut machine, START, 1, 1, 1);
    open(&mut machine, START, 2, 2, 2);
    changes(&mut machine);
    // At the end of both leases the shell looks: from one device something came 10 s ago.
    let now = START + LEASE;
    assert_eq!(machine.due(now).collect::<Vec<_>>(), [(device(1), 1), (device(2), 2)]);
    machine.handle(now, Input::Heard { device: device(1), connection: 1, at: now - s(10), lease: LEASE });
    machine.handle(now, Input::Timeout);
    assert_eq!(changes(&mut machine), [user(2)]);
    assert_eq!(machine.seen(now, user(1)).age, Some(s(10)));
    assert_eq!(machine.seen(now, user(1)).lease, s(30));
    assert_eq!(machine.poll_timeout(), Some(now + s(30)));
    // A sign that came after the lease had run out, but before anybody looked, counts: one who talks is heard every 20 ms.
    let late = now + s(31);
    assert_eq!(machine.seen(late, user(1)).state, PresenceState::Unknown);
    machine.handle(late, Input::Heard { device: device(1), connection: 1, at: now + s(30), lease: LEASE });
    assert_eq!(machine.seen(late, user(1)).state, PresenceState::Available);
    // One after that does not bring it back: its socket was closed for its silence.
    let late = late + LEASE;
    machine.handle(late, Input::Timeout);
    machine.handle(late, Input::Heard { device: device(1), connection: 1, at: late, lease: LEASE });
    assert_eq!(machine.seen(late, user(1)).state, PresenceState::Unknown);
}

#[test]
fn the_strongest_device_counts() {
    let mut machine = Presence::default();
    for dev in 1..=3 {
        open(&mut machine, START, 1, dev, u64::from(dev));
    }
    let set = |machine: &mut Presence, dev: u8, state| {
        machine.handle(START, Input::Set { device: device(dev), connection: u64::from(dev), state });
        machine.seen(START, user(1)).state
    };
    assert_eq!(set(&mut machine, 1, PresenceState::Away), PresenceState::Available);
    assert_eq!(set(&mut machine, 2, PresenceState::Busy), PresenceState::Busy);
    assert_eq!(set(&mut machine, 3, PresenceState::Offline), PresenceState::Busy);
    assert_eq!(set(&mut machine, 2, PresenceState::Solo), PresenceState::Solo);
    assert_eq!(set(&mut machine, 2, PresenceState::Offline), PresenceState::Away);
    assert_eq!(set(&mut machine, 1, PresenceState::Offline), PresenceState::Offline);
    assert_eq!(set(&mut machine, 1, PresenceState::Unknown), PresenceState::Offline);
}

#[test]
fn a_restarted_server_says_unknown_with_the_age_that_was_written_down() {
    let mut machine = Presence::default();
    machine.handle(START, Input::Restored { user: user(1), offline: false, age: s(300) });
    machine.handle(START, Input::Restored { user: user(1), offline: true, age: s(9_000) });
    machine.handle(START, Input::Restored { user: user(2), offline: true, age: s(60) });
    let seen = machine.seen(START + s(5), user(1));
    assert_eq!((seen.state, seen.age), (PresenceState::Unknown, Some(s(305))));
    let seen = machine.seen(START + s(5), user(2));
    assert_eq!((seen.state, seen.age), (PresenceState::Offline, Some(s(65))));
}

#[test]
fn a_removed_person_leaves_nothing() {
    let mut machine = Presence::default();
    open(&mut machine, START, 1, 1, 1);
    machine.handle(START, Input::Removed { user: user(1) });
    assert_eq!(machine.people().count(), 0);
    assert_eq!(machine.poll_timeout(), None);
    assert_eq!(machine.seen(START, user(1)).state, PresenceState::Unknown);
}

#[test]
fn counts_add_up() {
    let mut machine = Presence::default();
    open(&mut machine, START, 1, 1, 1);
    open(&mut machine, START, 2, 2, 2);
    machine.handle(START, Input::Set { device: device(2), connection: 2, state: PresenceState::Busy });
    let counts = machine.counts(START, (1..=5).map(user));
    let found = PresenceState::ALL.iter().map(|state| counts.of(*state)).collect::<Vec<_>>();
    assert_eq!(found, [3, 0, 0, 1, 0, 1]);
}
