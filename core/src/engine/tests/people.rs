//! Presence, receipts, resuming and rare heartbeats, from the client's side.

use super::*;
use crate::model::{EventBody, PresenceState};
use crate::path::{End, Path};
use crate::units::Seq;
use crate::wire::limits::{HEARTBEAT, HEARTBEAT_IDLE_MAX, SILENCE_MAX};
use crate::wire::presence::{PersonPresence, PresenceCounts};
use crate::wire::problem::{Problem, ProblemKind};
use crate::wire::socket::{CloseCode, FloorState};

const ROOM: RoomId = RoomId::from_bytes([3; 16]);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn person(n: u8, state: PresenceState, lease: Duration) -> PersonPresence {
    let lease_ms = u32::try_from(lease.as_millis()).unwrap();
    PersonPresence { user: id(n), state, age_ms: Some(0), lease_ms }
}

fn room_of(people: Vec<PersonPresence>) -> ServerMessage {
    ServerMessage::PresenceRoom { room: ROOM, people }
}

/// A bench that watches the room, in which 7 is available with this lease.
fn watching(lease: Duration) -> Bench {
    let mut bench = Bench::up();
    bench.input(Input::Command(Command::WatchPresence { room: ROOM }));
    bench.say(&room_of(vec![person(7, PresenceState::Available, lease)]));
    bench.take();
    bench
}

fn state(bench: &Bench) -> PresenceState {
    bench.engine.presence(bench.now, id(7)).state
}

/// The states of 7 that were told.
fn told(bench: &mut Bench) -> Vec<PresenceState> {
    let notices = bench.notices().into_iter();
    notices.filter_map(|n| if let Notice::Presence { seen, .. } = n { Some(seen.state) } else { None }).collect()
}

fn confirm(bench: &mut Bench, presence_ms: Option<u32>) {
    bench.say(&ServerMessage::Pong { nonce: 0, server_time: UnixMs(0), presence_ms });
}

#[test]
fn past_its_lease_nobody_is_available_by_this_clients_own_clock() {
    let mut bench = watching(s(30));
    let last = bench.now + s(30);
    assert_eq!(bench.engine.presence(last - Duration::from_micros(1), id(7)).state, PresenceState::Available);
    let seen = bench.engine.presence(last, id(7));
    assert_eq!((seen.state, seen.age), (PresenceState::Unknown, Some(s(30))), "also before any timer ran");
    bench.pass(s(31));
    assert_eq!(told(&mut bench), [PresenceState::Unknown], "and it is told, once");
}

#[test]
fn a_promise_renews_what_was_told_and_without_it_leases_run_out() {
    let mut bench = watching(s(30));
    bench.now = bench.now + s(20);
    confirm(&mut bench, Some(40_000));
    bench.now = bench.now + s(39);
    assert_eq!(state(&bench), PresenceState::Available);
    confirm(&mut bench, None);
    bench.now = bench.now + s(1);
    assert_eq!(state(&bench), PresenceState::Unknown);
    // A promise that comes late revives it: no change was told, on this connection.
    bench.input(Input::Timeout);
    confirm(&mut bench, Some(40_000));
    assert_eq!(told(&mut bench), [PresenceState::Unknown, PresenceState::Available]);
}

#[test]
fn a_promise_is_for_what_was_told_on_the_same_connection() {
    let mut bench = watching(s(30));
    bench.input(Input::Closed { link: bench.link, code: None, detail: String::new() });
    bench.input(Input::NetworkUp);
    bench.connect();
    // The new connection has not told the room yet.
    confirm(&mut bench, Some(40_000));
    bench.now = bench.now + s(30);
    assert_eq!(state(&bench), PresenceState::Unknown);
    bench.say(&room_of(vec![person(7, PresenceState::Busy, s(5))]));
    assert_eq!(state(&bench), PresenceState::Busy);
}

#[test]
fn who_is_cut_off_soon_says_that_nothing_is_known() {
    let mut bench = watching(s(30));
    confirm(&mut bench, Some(145_000));
    bench.input(Input::Closed { link: bench.link, code: None, detail: String::new() });
    bench.take();
    bench.pass(s(14));
    assert_eq!(told(&mut bench), []);
    bench.pass(s(1));
    assert_eq!(told(&mut bench), [PresenceState::Unknown]);
}

#[test]
fn changes_are_told_and_strangers_forgotten() {
    let mut bench = watching(s(30));
    let change = |state| ServerMessage::Presence { user: id(7), state, age_ms: Some(0), lease_ms: 30_000 };
    bench.say(&change(PresenceState::Solo));
    bench.say(&change(PresenceState::Solo));
    assert_eq!(told(&mut bench), [PresenceState::Solo]);
    bench.say(&ServerMessage::Role { room: ROOM, role: None });
    assert_eq!(state(&bench), PresenceState::Unknown);
    assert_eq!(
        bench.engine.presence(bench.now, id(7)).age,
        None,
        "nothing is known of a room that one was taken out of"
    );
    confirm(&mut bench, Some(40_000));
    assert_eq!(state(&bench), PresenceState::Unknown);
}

#[test]
fn large_rooms_have_counts_that_run_out_too() {
    let mut bench = Bench::up();
    bench.input(Input::Command(Command::WatchPresence { room: ROOM }));
    let counts = PresenceCounts { available: 120, ..PresenceCounts::default() };
    bench.say(&ServerMessage::PresenceCounts { room: ROOM, counts, lease_ms: 5_000 });
    bench.pass(s(6));
    let told: Vec<_> = bench
        .notices()
        .into_iter()
        .filter_map(|n| if let Notice::PresenceCounts { counts, .. } = n { Some(counts) } else { None })
        .collect();
    assert_eq!(told, [Some(counts), None]);
}

#[test]
fn one_message_resumes_everything_and_a_refused_token_falls_back_to_the_access_token() {
    let mut bench = Bench::up();
    bench.input(Input::Command(Command::Follow { room: ROOM, cursor: None, voice: true }));
    bench.input(Input::Command(Command::WatchPresence { room: ROOM }));
    bench.input(Input::Command(Command::WatchPresence { room: id(4) }));
    bench.input(Input::Command(Command::SetPresence { state: PresenceState::Solo }));
    let welcome = |resume: Option<String>| ServerMessage::Welcome {
        user: id(1),
        device: id(2),
        server_time: UnixMs(0),
        heartbeat_ms: 15_000,
        expires_in_s: 900,
        resume,
    };
    bench.say(&welcome(Some("hs1.x".into())));
    bench.take();
    let lost = Input::Closed { link: bench.link, code: None, detail: String::new() };
    bench.input(lost);
    bench.input(Input::NetworkUp);
    bench.link = bench.asked_link();
    bench.take();
    bench.input(Input::Connected { link: bench.link });
    let sent = bench.sent();
    let [ClientMessage::Auth { token, presence, rooms, .. }] = &sent[..] else { panic!("{sent:?}") };
    assert_eq!((token.as_str(), *presence), ("hs1.x", Some(PresenceState::Solo)));
    assert_eq!(rooms.iter().map(|f| (f.room, f.voice, f.presence)).collect::<Vec<_>>(), [(ROOM, true, true)]);
    // Refused: at once again, with the access token.
    let code = Some(CloseCode::ResumeRefused.number());
    bench.input(Input::Closed { link: bench.link, code, detail: String::new() });
    bench.pass(Duration::ZERO);
    bench.link = bench.asked_link();
    bench.take();
    bench.input(Input::Connected { link: bench.link });
    let sent = bench.sent();
    assert!(
        matches!(&sent[..], [ClientMessage::Auth { token, rooms, .. }] if token == "t" && rooms.len() == 1),
        "{sent:?}"
    );
    // What auth brought is not asked for again; the room that is only watched is.
    bench.say(&welcome(None));
    let sent = bench.sent();
    let watched: Vec<_> = sent
        .iter()
        .filter_map(|m| if let ClientMessage::PresenceWatch { room, .. } = m { Some(*room) } else { None })
        .collect();
    assert_eq!(watched, [id(4)]);
    assert!(!sent.iter().any(|m| matches!(m, ClientMessage::Subscribe { .. })), "{sent:?}");
    // A second refusal waits like any other failure.
    bench.input(Input::Closed { link: bench.link, code, detail: String::new() });
    assert!(bench.engine.poll_timeout().unwrap() > bench.now);
}

/// A bench whose token lasts as long as a test.
fn lasting() -> Bench {
    let mut bench = Bench::up();
    bench.input(Input::Token { access: "t".into(), expires_in: s(1_000_000) });
    bench.pong(Duration::ZERO);
    bench
}

/// The waits between pings while nothing else happens, each answered after 100 ms.
fn rhythm(bench: &mut Bench, pings: usize) -> Vec<u64> {
    let mut waits = Vec::new();
    let mut last = bench.now;
    bench.pong(Duration::from_millis(100));
    while waits.len() < pings {
        assert!(bench.now.since(last) < s(200), "no ping any more after {waits:?}");
        bench.pass(Duration::from_millis(100));
        let sent = bench.outputs.iter().any(|o| matches!(o, Output::Send { text, .. } if text.contains("\"ping\"")));
        if sent {
            waits.push((bench.now.since(last) + ms(500)).as_secs());
            last = bench.now;
            assert_eq!(bench.pong(Duration::from_millis(100)), 1);
        }
    }
    waits
}

#[test]
fn a_device_that_was_put_away_pings_ever_more_rarely_and_begins_anew_when_somebody_talks() {
    let mut bench = lasting();
    assert!(rhythm(&mut bench, 4).iter().skip(1).all(|wait| (15..=16).contains(wait)), "in the hand it does not");
    bench.input(Input::Command(Command::PutAway { idle: true }));
    let waits = rhythm(&mut bench, 8);
    assert_eq!(waits.last().copied(), Some(HEARTBEAT_IDLE_MAX.as_secs()), "{waits:?}");
    assert!(waits.is_sorted(), "{waits:?}");
    // It says so before: each ping promises the wait that follows it.
    bench.pass(HEARTBEAT_IDLE_MAX + s(1));
    let promised = bench
        .sent()
        .into_iter()
        .find_map(|m| if let ClientMessage::Ping { nonce, next_ms, .. } = m { Some((nonce, next_ms)) } else { None });
    let (nonce, next_ms) = promised.expect("a ping was due");
    assert_eq!(next_ms, Some(120_000));
    bench.say(&ServerMessage::Pong { nonce, server_time: UnixMs(0), presence_ms: None });
    let talks = FloorState::Idle { token: FloorToken::default() };
    bench.say(&ServerMessage::Floor { room: ROOM, floor: talks });
    let waits = rhythm(&mut bench, 2);
    assert!(waits.iter().all(|wait| *wait <= 2 * HEARTBEAT.as_secs()), "{waits:?}");
}

/// Nor does a path, whose probes are answered, keep a radio at work.
#[test]
fn a_device_that_was_put_away_goes_quiet_though_it_has_a_path() {
    let mut bench = lasting();
    let (link, mut server) = (bench.link, Path::new(bench.now, End::Server));
    bench.input(Input::PathOpened { link });
    // Everything is answered at once. Gives how many datagrams there were, and when pings were sent.
    let mut run = |bench: &mut Bench, span: Duration| {
        let (end, mut datagrams, mut pings) = (bench.now + span, 0, vec![]);
        while bench.now < end {
            bench.pass(ms(100));
            for output in bench.take() {
                if let Output::Datagram { counter, inner, .. } = output {
                    datagrams += 1;
                    server.received(bench.now, counter, &inner, &mut vec![]).expect("clients say what servers know");
                    let mut out = vec![];
                    while let Some(counter) = server.next(bench.now, &mut out) {
                        bench.input(Input::Datagram { link, counter, inner: core::mem::take(&mut out).into() });
                    }
                } else if let Output::Send { text, .. } = output
                    && let Ok(ClientMessage::Ping { nonce, .. }) = serde_json::from_str(&text)
                {
                    pings.push(bench.now);
                    bench.say(&ServerMessage::Pong { nonce, server_time: UnixMs(0), presence_ms: None });
                }
            }
            // What comes late of an earlier connection says nothing.
            bench.input(Input::Datagram { link: LinkNo(99), counter: 1, inner: Bytes::new() });
        }
        (datagrams, pings)
    };
    assert!(run(&mut bench, s(60)).0 > 4);
    assert!(bench.engine.voice_path().is_some_and(|path| path.up));
    bench.input(Input::Command(Command::PutAway { idle: true }));
    let (datagrams, pings) = run(&mut bench, s(1_800));
    assert!(datagrams <= 1, "{datagrams}");
    let wait = pings[pings.len() - 1].since(pings[pings.len() - 2]);
    assert!(wait >= HEARTBEAT_IDLE_MAX, "{wait:?}");
    bench.input(Input::Command(Command::PutAway { idle: false }));
    assert!(run(&mut bench, ms(200)).0 >= 1, "it asks at once");
    // Around voice there is no saving: it is looked whether the path carries.
    bench.input(Input::Command(Command::PutAway { idle: true }));
    run(&mut bench, s(60));
    bench.input(Input::Binary { link, bytes: Bytes::from_static(&[9; 40]) });
    assert!(run(&mut bench, s(3)).0 >= 2);
}

#[test]
fn a_connection_that_was_idle_is_not_given_up_when_somebody_presses_the_button() {
    let mut bench = lasting();
    bench.input(Input::Command(Command::PutAway { idle: true }));
    rhythm(&mut bench, 8);
    bench.pass(SILENCE_MAX + s(20));
    bench.input(Input::Command(Command::PutAway { idle: false }));
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.pong(Duration::from_millis(100)), 1, "it asks at once");
    bench.pass(s(5));
    assert!(!bench.notices().iter().any(|n| matches!(n, Notice::Link(LinkState::Waiting { .. }))));
}

fn event(seq: u64, body: EventBody) -> Event {
    Event { room: ROOM, seq: Seq(seq), received_at: UnixMs(0), user: id(7), device: id(8), client_id: id(9), body }
}

/// The request, and delivered, read and heard.
type Told = (RequestId, Option<u64>, Option<u64>, Vec<BurstId>);

fn receipts(bench: &mut Bench) -> Vec<Told> {
    let sent = bench.sent().into_iter();
    sent.filter_map(|m| {
        if let ClientMessage::Receipt { request, delivered, read, heard, .. } = m {
            Some((request, delivered.map(|seq| seq.0), read.map(|seq| seq.0), heard))
        } else {
            None
        }
    })
    .collect()
}

#[test]
fn receipts_are_gathered_kept_until_stored_and_told_again_after_a_reconnect() {
    let mut bench = Bench::up();
    let history = Incarnation::from_bytes([4; 16]);
    let cursor = |seq| Cursor { incarnation: history, seq: Seq(seq) };
    bench.input(Input::Command(Command::Follow { room: ROOM, cursor: Some(cursor(0)), voice: false }));
    let request = bench.sent().into_iter().find_map(|m| m.request()).unwrap();
    let subscribed = |request| ServerMessage::Subscribed {
        request,
        room: ROOM,
        role: Role::Talker,
        head: cursor(0),
        first_seq: Seq(1),
        epoch: Epoch(0),
        floor: FloorState::Idle { token: FloorToken::default() },
        emergencies: vec![],
    };
    bench.say(&subscribed(request));
    let post = |seq| event(seq, EventBody::MessagePosted { text: "x".into(), reply_to: None });
    bench.say(&ServerMessage::Events { room: ROOM, incarnation: history, events: vec![post(1), post(2)] });
    bench.input(Input::Command(Command::Read { room: ROOM, cursor: cursor(1) }));
    bench.input(Input::Command(Command::Heard { room: ROOM, burst: id(5) }));
    assert!(receipts(&mut bench).is_empty(), "they are gathered for a second");
    bench.pass(s(2));
    let told = receipts(&mut bench);
    assert_eq!(told.len(), 1);
    assert_eq!((told[0].1, told[0].2, told[0].3.as_slice()), (Some(2), Some(1), &[id(5)][..]));
    // The answer was lost with the connection: all of it again, once.
    bench.input(Input::Closed { link: bench.link, code: None, detail: String::new() });
    bench.input(Input::NetworkUp);
    bench.connect();
    bench.pass(s(2));
    let told = receipts(&mut bench);
    assert_eq!((told.len(), told[0].1, told[0].2, told[0].3.as_slice()), (1, Some(2), Some(1), &[id(5)][..]));
    bench.say(&ServerMessage::ReceiptStored { request: told[0].0, room: ROOM });
    assert!(bench.take().iter().any(
        |o| matches!(o, Output::Store(Store::ReceiptsStored { heard, .. }) if heard.as_slice() == [id::<BurstId>(5)])
    ));
    for _ in 0..3 {
        bench.pass(s(10));
        bench.pong(Duration::from_millis(10));
    }
    assert!(receipts(&mut bench).is_empty(), "what is stored is not told again");
}

/// A room that can't be opened for a moment is asked for again, and so are its people; one that is gone is told once.
#[test]
fn a_room_that_could_not_be_opened_is_asked_for_again_with_its_people() {
    for (kind, again) in [(ProblemKind::Unavailable, true), (ProblemKind::NotFound, false)] {
        let mut bench = Bench::new();
        bench.input(Input::Token { access: "t".into(), expires_in: Duration::from_secs(900) });
        bench.input(Input::Command(Command::Follow { room: ROOM, cursor: None, voice: true }));
        bench.input(Input::Command(Command::WatchPresence { room: ROOM }));
        bench.input(Input::Start);
        bench.connect();
        let request = bench
            .sent()
            .into_iter()
            .find_map(|m| if let ClientMessage::Auth { rooms, .. } = m { Some(rooms[0].request) } else { None });
        let problem = Problem::new(kind, "x").retry_after_s(1);
        bench.say(&ServerMessage::Refused { room: ROOM, client_id: None, request, burst: None, problem });
        let told = bench.take().iter().filter(|o| matches!(o, Output::Notice(Notice::RoomRefused { .. }))).count();
        assert_eq!(told, usize::from(!again), "{kind:?}");
        bench.pass(s(5));
        let sent = bench.sent();
        assert_eq!(sent.iter().any(|m| matches!(m, ClientMessage::Subscribe { .. })), again, "{kind:?}");
        assert_eq!(sent.iter().any(|m| matches!(m, ClientMessage::PresenceWatch { .. })), again, "{kind:?}");
    }
}

/// What a person says of themselves while `auth` is on its way is told as soon as the server has answered.
#[test]
fn a_state_said_while_connecting_is_told() {
    let mut bench = Bench::new();
    bench.input(Input::Token { access: "t".into(), expires_in: Duration::from_secs(900) });
    bench.input(Input::Command(Command::SetPresence { state: PresenceState::Available }));
    bench.input(Input::Start);
    bench.link = bench.asked_link();
    bench.input(Input::Connected { link: bench.link });
    bench.input(Input::Command(Command::SetPresence { state: PresenceState::Away }));
    bench.take();
    bench.say(&ServerMessage::Welcome {
        user: id(1),
        device: id(2),
        server_time: UnixMs(0),
        heartbeat_ms: 15_000,
        expires_in_s: 900,
        resume: None,
    });
    let away = ClientMessage::PresenceSet { state: PresenceState::Away };
    assert!(bench.sent().contains(&away));
}

/// The answer to a ping says for how long what is known of others holds: whoever sends all the time asks all the same.
#[test]
fn who_sends_all_the_time_still_asks_what_holds() {
    let mut bench = Bench::up();
    bench.pong(Duration::from_millis(10));
    bench.pong(Duration::from_millis(10));
    let mut pings = 0;
    for n in 0..30 {
        let body = EventBody::MessagePosted { text: "x".into(), reply_to: None };
        bench.input(Input::Command(Command::Send { room: ROOM, client_id: id(n), body }));
        bench.say(&ServerMessage::RosterChanged {});
        bench.pass(s(4));
        pings += bench.pong(Duration::from_millis(10));
    }
    assert!(pings >= 3, "{pings} in two minutes, and {SILENCE_MAX:?} is for how long the server promises");
}

/// A full disk over there says nothing of a receipt: it is kept. That the room is gone ends it.
#[test]
fn receipts_survive_a_server_that_has_no_room() {
    for (kind, kept) in
        [(ProblemKind::StorageFull, true), (ProblemKind::ReadOnly, true), (ProblemKind::NotFound, false)]
    {
        let mut bench = Bench::up();
        let head = Cursor { incarnation: Incarnation::from_bytes([4; 16]), seq: Seq(0) };
        bench.input(Input::Command(Command::Follow { room: ROOM, cursor: Some(head), voice: false }));
        let request = bench.sent().into_iter().find_map(|m| m.request()).unwrap();
        bench.say(&ServerMessage::Subscribed {
            request,
            room: ROOM,
            role: Role::Talker,
            head,
            first_seq: Seq(1),
            epoch: Epoch(0),
            floor: FloorState::Idle { token: FloorToken::default() },
            emergencies: vec![],
        });
        let events = vec![event(1, EventBody::MessagePosted { text: "x".into(), reply_to: None })];
        bench.say(&ServerMessage::Events { room: ROOM, incarnation: head.incarnation, events });
        bench.input(Input::Command(Command::Heard { room: ROOM, burst: id(5) }));
        bench.pass(s(2));
        let request = Some(receipts(&mut bench)[0].0);
        let problem = Problem::new(kind, "no room");
        bench.say(&ServerMessage::Refused { room: ROOM, client_id: None, request, burst: None, problem });
        let forgotten = bench.take().iter().any(|o| matches!(o, Output::Store(Store::ReceiptsStored { .. })));
        assert_eq!(forgotten, !kept, "{kind:?}");
    }
}

/// Two listeners: one hears a burst to its end, one is cut off in between.
#[test]
fn heard_is_who_heard_it_to_its_end_and_delivered_waits_for_the_frames() {
    let mut world = world::World::new(3, 3);
    for peer in 0..3 {
        world.follow(peer);
    }
    world.pass(s(2));
    let burst = id(40);
    world.key_down(0, burst, false);
    world.pass(s(1));
    world.set_offline(2, true);
    world.pass(s(1));
    world.input(0, Input::Command(Command::KeyUp));
    world.pass(s(5));
    assert_eq!(world.receipts(1), ([burst].into(), world.log().last().map(|event| event.seq)));
    assert_eq!(world.receipts(0).0, [].into(), "nobody is a listener of themselves");
    assert_eq!(world.receipts(2).0, [].into());
    world.set_offline(2, false);
    world.pass(s(30));
    // It was delivered; that the end was heard nobody can say.
    assert_eq!(world.receipts(2).1, world.log().last().map(|event| event.seq));
    assert!(world.has_whole(2, 0, burst));
}
