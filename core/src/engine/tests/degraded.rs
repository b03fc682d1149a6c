//! What the client does where the server can't keep it up to date, refuses, or is gone without a word.

use super::*;
use crate::model::PresenceState;
use crate::units::RequestId;
use crate::wire::limits::{HEARTBEAT_IDLE_MAX, SILENCE_MAX};
use crate::wire::presence::{PersonPresence, PresenceCounts, RoomPresence};
use crate::wire::problem::ProblemKind;

const ROOM: RoomId = RoomId::from_bytes([3; 16]);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// What came out, and when.
type Seen = Vec<(Mono, Output)>;

/// Lets time pass; the server answers every ping, and promises with it that what it told of people holds for 40 s.
fn live(bench: &mut Bench, span: Duration) -> Seen {
    let end = bench.now + span;
    let mut seen = Vec::new();
    while bench.now < end {
        bench.pass(ms(100));
        for output in bench.take() {
            if let Output::Send { text, .. } = &output
                && let Ok(ClientMessage::Ping { nonce, .. }) = serde_json::from_str(text)
            {
                bench.say(&ServerMessage::Pong { nonce, server_time: UnixMs(0), presence_ms: Some(40_000) });
            }
            seen.push((bench.now, output));
        }
    }
    seen
}

/// When the room was asked for over REST, counted from `begin`.
fn asked(seen: &Seen, begin: Mono) -> Vec<Duration> {
    let asked = |output: &Output| *output == Output::FetchPresence { room: ROOM };
    seen.iter().filter(|(_, output)| asked(output)).map(|(at, _)| at.since(begin)).collect()
}

/// The states of 7 that were told, and when.
fn states(seen: &Seen, begin: Mono) -> Vec<(PresenceState, Duration)> {
    let told = |output: &Output| {
        if let Output::Notice(Notice::Presence { seen, .. }) = output { Some(seen.state) } else { None }
    };
    seen.iter().filter_map(|(at, output)| Some((told(output)?, at.since(begin)))).collect()
}

fn feeds(seen: &Seen) -> Vec<PresenceFeed> {
    let told =
        |output: &Output| if let Output::Notice(Notice::PresenceFeed(feed)) = output { Some(*feed) } else { None };
    seen.iter().filter_map(|(_, output)| told(output)).collect()
}

fn person(state: PresenceState, lease: Duration) -> PersonPresence {
    PersonPresence { user: id(7), state, age_ms: Some(0), lease_ms: u32::try_from(lease.as_millis()).expect("short") }
}

fn answer(bench: &mut Bench, answer: Result<PersonPresence, FetchError>) {
    let (counts, lease_ms) = (PresenceCounts::default(), 5_000);
    let answer = answer.map(|person| RoomPresence { room: ROOM, people: Some(vec![person]), counts, lease_ms });
    bench.input(Input::PresenceFetched { room: ROOM, answer });
}

/// A bench that watches the room, in which 7 is available for 30 s.
fn watching() -> Bench {
    let mut bench = Bench::up();
    while bench.pong(ms(5)) > 0 {}
    bench.input(Input::Command(Command::WatchPresence { room: ROOM }));
    bench.say(&ServerMessage::PresenceRoom { room: ROOM, people: vec![person(PresenceState::Available, s(30))] });
    bench.take();
    bench
}

#[test]
fn a_server_that_cant_tell_changes_is_asked_at_drawn_times_until_it_tells_them_again() {
    let mut bench = watching();
    let begin = bench.now;
    bench.say(&ServerMessage::PresenceDegraded { poll_ms: 10_000 });
    let seen = live(&mut bench, s(40));
    assert_eq!(feeds(&seen), [PresenceFeed::Polled]);
    let times = asked(&seen, begin);
    assert!(matches!(times[..], [at] if (ms(1_250)..=ms(2_600)).contains(&at)), "soon, and once: {times:?}");
    // The pongs' promise is not for who can't tell changes: what was told before counts for its lease.
    let told = states(&seen, begin);
    assert!(matches!(told[..], [(PresenceState::Unknown, at)] if (s(30)..=ms(30_200)).contains(&at)), "{told:?}");

    // An answer counts for as long as it says, and the next question comes within the time that the server named.
    let begin = bench.now;
    answer(&mut bench, Ok(person(PresenceState::Busy, s(5))));
    let seen = live(&mut bench, s(11));
    let told = states(&seen, begin);
    let [(PresenceState::Busy, _), (PresenceState::Unknown, lapsed)] = told[..] else { panic!("{told:?}") };
    assert!((s(5)..=ms(5_200)).contains(&lapsed), "{lapsed:?}");
    let times = asked(&seen, begin);
    assert!(matches!(times[..], [at] if (s(5)..=ms(10_100)).contains(&at)), "{times:?}");

    // A wait that the server names comes on top; a failure without one does not end it.
    let begin = bench.now;
    answer(&mut bench, Err(FetchError::After(s(60), "429".into())));
    let times = asked(&live(&mut bench, s(71)), begin);
    assert!(matches!(times[..], [at] if at >= s(65)), "{times:?}");
    let begin = bench.now;
    answer(&mut bench, Err(FetchError::Later("no network".into())));
    assert_eq!(asked(&live(&mut bench, s(11)), begin).len(), 1);

    // It tells again: nobody asks any more.
    bench.say(&ServerMessage::PresenceRoom { room: ROOM, people: vec![person(PresenceState::Solo, s(30))] });
    let begin = bench.now;
    let seen = live(&mut bench, s(60));
    assert_eq!((feeds(&seen), asked(&seen, begin)), (vec![PresenceFeed::Live], vec![]));
    assert_eq!(bench.engine.presence(bench.now, id(7)).state, PresenceState::Solo, "the promise counts again");
}

/// A long promise of earlier does not outlive the word that changes can't be told any more.
#[test]
fn what_was_told_for_long_counts_for_a_short_time_only_once_changes_cant_be_told() {
    let mut bench = watching();
    let told = person(PresenceState::Available, SILENCE_MAX * 4);
    bench.say(&ServerMessage::PresenceRoom { room: ROOM, people: vec![told] });
    let begin = bench.now;
    bench.say(&ServerMessage::PresenceDegraded { poll_ms: 10_000 });
    let told = states(&live(&mut bench, SILENCE_MAX * 2), begin);
    let [(PresenceState::Unknown, at)] = told[..] else { panic!("{told:?}") };
    assert!((SILENCE_MAX..=SILENCE_MAX + ms(200)).contains(&at), "{at:?}");
}

#[test]
fn a_server_that_wants_to_be_asked_all_the_time_is_not_and_one_that_refuses_is_left_alone() {
    let mut bench = watching();
    bench.say(&ServerMessage::PresenceDegraded { poll_ms: 1 });
    assert_eq!(asked(&live(&mut bench, s(2)), Mono::default()).len(), 1);
    let begin = bench.now;
    answer(&mut bench, Ok(person(PresenceState::Away, s(20))));
    let times = asked(&live(&mut bench, s(6)), begin);
    assert!(matches!(times[..], [at] if at >= ms(2_500)), "{times:?}");
    answer(&mut bench, Err(FetchError::Never("not a member".into())));
    let seen = live(&mut bench, s(30));
    assert!(seen.iter().any(|(_, o)| matches!(o, Output::Notice(Notice::RoomRefused { room: ROOM, .. }))));
    bench.say(&ServerMessage::PresenceDegraded { poll_ms: 10_000 });
    assert_eq!(asked(&live(&mut bench, s(60)), Mono::default()), []);
}

/// The waits between pings of a device that was put away, while nothing else happens.
fn waits(bench: &mut Bench, pings: usize) -> Vec<u64> {
    let mut waits = Vec::new();
    let mut last = bench.now;
    while waits.len() < pings {
        assert!(bench.now.since(last) < s(200), "no ping any more after {waits:?}");
        let seen = live(bench, ms(100));
        if seen.iter().any(|(_, o)| matches!(o, Output::Send { text, .. } if text.contains("\"ping\""))) {
            waits.push((bench.now.since(last) + ms(500)).as_secs());
            last = bench.now;
        }
    }
    waits
}

#[test]
fn a_connection_that_died_in_a_long_wait_gets_shorter_ones_until_the_network_is_another() {
    let lasting = || Input::Token { access: "t".into(), expires_in: s(1_000_000) };
    let mut bench = Bench::up();
    bench.input(lasting());
    bench.input(Input::Command(Command::PutAway { idle: true }));
    assert_eq!(waits(&mut bench, 9).last().copied(), Some(HEARTBEAT_IDLE_MAX.as_secs()));
    // A box on the way forgets the connection. The next ping finds out.
    let begin = bench.now;
    bench.take();
    let connects = |bench: &Bench| bench.outputs.iter().any(|o| matches!(o, Output::Connect { .. }));
    while !connects(&bench) {
        bench.pass(ms(100));
        assert!(bench.now.since(begin) < s(200), "a dead connection must be found");
    }
    let silent =
        |o: &Output| matches!(o, Output::Notice(Notice::Link(LinkState::Waiting { reason: LinkReason::Silent, .. })));
    assert!(bench.outputs.iter().any(silent));
    bench.connect();
    bench.input(lasting());
    let half = HEARTBEAT_IDLE_MAX.as_secs() / 2;
    let after = waits(&mut bench, 9);
    assert_eq!((after.iter().max(), after.last()), (Some(&half), Some(&half)), "{after:?}");
    bench.input(Input::NetworkUp);
    let elsewhere = waits(&mut bench, 6);
    assert_eq!(elsewhere.last().copied(), Some(HEARTBEAT_IDLE_MAX.as_secs()), "{elsewhere:?}");
}

/// The receipts that were sent: the request, what is read, what was heard.
fn receipts(seen: &Seen) -> Vec<(Mono, RequestId, Option<Seq>, Vec<BurstId>)> {
    let sent = |output: &Output| -> Option<(RequestId, Option<Seq>, Vec<BurstId>)> {
        let Output::Send { text, .. } = output else { return None };
        let message = serde_json::from_str(text).expect("the engine writes what it means");
        if let ClientMessage::Receipt { request, read, heard, .. } = message {
            Some((request, read, heard))
        } else {
            None
        }
    };
    let found =
        seen.iter().filter_map(|(at, output)| sent(output).map(|(request, read, heard)| (*at, request, read, heard)));
    found.collect()
}

#[test]
fn a_receipt_that_is_put_off_is_told_again_and_one_that_is_refused_is_not() {
    let mut bench = Bench::up();
    let cursor = |seq| Cursor { incarnation: id(4), seq: Seq(seq) };
    bench.input(Input::Command(Command::Read { room: ROOM, cursor: cursor(1) }));
    bench.input(Input::Command(Command::Heard { room: ROOM, burst: id(5) }));
    let said = receipts(&live(&mut bench, s(2)));
    let [(_, request, Some(Seq(1)), heard)] = &said[..] else { panic!("{said:?}") };
    assert_eq!(heard[..], [id::<BurstId>(5)]);
    let mut request = *request;
    let refuse = |bench: &mut Bench, request, kind| {
        let (request, problem) = (Some(request), Problem::new(kind, "test"));
        bench.say(&ServerMessage::Refused { room: ROOM, client_id: None, request, burst: None, problem });
    };
    for kind in [ProblemKind::Unavailable, ProblemKind::Unknown, ProblemKind::RateLimited, ProblemKind::Internal] {
        let begin = bench.now;
        refuse(&mut bench, request, kind);
        let again = receipts(&live(&mut bench, s(21)));
        let [(at, next, Some(Seq(1)), heard)] = &again[..] else { panic!("{kind:?}: {again:?}") };
        assert!(at.since(begin) >= s(10) && heard[..] == [id::<BurstId>(5)], "{kind:?}: {again:?}");
        assert_ne!(*next, request);
        request = *next;
    }
    refuse(&mut bench, request, ProblemKind::Forbidden);
    let seen = live(&mut bench, s(60));
    let settled =
        |o: &Output| matches!(o, Output::Store(Store::ReceiptsStored { heard, .. }) if heard[..] == [id::<BurstId>(5)]);
    assert!(seen.iter().any(|(_, output)| settled(output)), "nor after the next start");
    assert_eq!(receipts(&seen).len(), 0);
}
