//! Bursts from one engine to others, over good links and bad ones.

use proptest::prelude::*;

use super::world::{World, distinct, payload};
use super::*;
use crate::units::BurstId;
use crate::wire::socket::{DenyReason, FloorState};

pub(super) fn burst(n: u8) -> BurstId {
    BurstId::from_bytes([n; 16])
}

/// Three who follow one room and are connected.
fn three(seed: u64) -> World {
    let mut world = World::new(seed, 3);
    for peer in 0..3 {
        world.follow(peer);
    }
    world.pass(ms(500));
    world
}

#[test]
fn what_is_spoken_is_heard_from_the_first_frame_to_the_last() {
    let mut world = three(1);
    world.key_down(0, burst(1), false);
    world.pass(ms(3_000));
    world.command(0, Command::KeyUp);
    world.pass(ms(2_000));
    let spoken = world.peers[0].kept[&burst(1)].len();
    assert!((149..=151).contains(&spoken));
    for listener in [1, 2] {
        assert!(world.has_whole(listener, 0, burst(1)));
        let played = &world.peers[listener].played[&burst(1)];
        assert_eq!(played.len(), spoken, "{:?}", world.heard_states(listener, burst(1)));
        assert!(distinct(played));
    }
    let states = world.talk_states(0, burst(1));
    let access =
        states.iter().find_map(|s| if let TalkState::Granted { access, .. } = s { Some(*access) } else { None });
    assert_eq!(access, Some(ms(40)), "a round trip");
    assert_eq!(states.last(), Some(&TalkState::Delivered));
    assert!(
        states.iter().position(|s| *s == TalkState::SpeakNow) > states.iter().position(|s| *s == TalkState::Starting)
    );
    let heard = world.heard_states(1, burst(1));
    let ear = heard.iter().find_map(|s| {
        if let HeardState::Began { mouth_to_ear, late_entry: None } = s { Some(*mouth_to_ear) } else { None }
    });
    // 20 ms of frame, 40 ms of way; the first frame waited for its grant; and the jitter buffer's start.
    assert!((ms(60)..ms(140)).contains(&ear.expect("it was heard")), "{ear:?}");
}

#[test]
fn speak_now_is_not_said_before_capture_runs() {
    let mut bench = Bench::up();
    bench.input(Input::Command(Command::KeyDown {
        room: id(3),
        burst: burst(1),
        priority: crate::model::Priority::Normal,
        queue: false,
        when_free: false,
        frame_ms: crate::units::FrameMs::Ms20,
        bitrate: crate::units::Bitrate(24_000),
    }));
    let speak = Notice::Talk { room: id(3), burst: burst(1), state: TalkState::SpeakNow };
    assert!(bench.outputs.iter().any(|o| matches!(o, Output::StartCapture { .. })));
    assert!(!bench.notices().contains(&speak));
    let captured_at = bench.now;
    bench.input(Input::Captured { burst: burst(1), captured_at, payload: payload(burst(1), 1) });
    let outputs = bench.take();
    let kept = outputs.iter().any(|o| matches!(o, Output::Store(Store::Frame { .. })));
    assert!(kept && outputs.contains(&Output::Notice(speak)));
}

#[test]
fn one_who_comes_late_hears_the_live_edge_and_ends_with_everything() {
    let mut world = World::new(2, 3);
    world.follow(0);
    world.follow(1);
    world.pass(ms(500));
    world.key_down(0, burst(1), false);
    world.pass(ms(2_000));
    world.follow(2);
    world.pass(ms(1_000));
    world.command(0, Command::KeyUp);
    world.pass(ms(2_000));
    let heard = world.heard_states(2, burst(1));
    assert_eq!(heard[0], HeardState::Playing { late: true });
    let late = heard.iter().find_map(|s| if let HeardState::Began { late_entry, .. } = s { *late_entry } else { None });
    assert!(late.expect("it was heard") <= ms(150), "{late:?}");
    let first = world.peers[2].played[&burst(1)][0];
    assert!((95..=110).contains(&first), "played from frame {first}");
    assert!(world.has_whole(2, 0, burst(1)));
}

#[test]
fn key_up_before_the_grant_loses_nothing() {
    let mut world = three(3);
    world.one_way = ms(400);
    world.key_down(0, burst(1), false);
    world.pass(ms(300));
    world.command(0, Command::KeyUp);
    world.pass(ms(6_000));
    assert!(world.has_whole(1, 0, burst(1)) && world.has_whole(2, 0, burst(1)));
    assert_eq!(world.peers[1].played[&burst(1)].len(), world.peers[0].kept[&burst(1)].len());
}

#[test]
fn a_talker_whose_link_dies_and_comes_back_in_time_goes_on_and_nothing_is_missing() {
    for (away, seed) in [(300, 4), (1_200, 5), (5_000, 6)] {
        let mut world = three(seed);
        world.key_down(0, burst(1), false);
        world.pass(ms(1_500));
        world.set_offline(0, true);
        world.pass(ms(away));
        world.set_offline(0, false);
        world.pass(ms(3_000));
        world.command(0, Command::KeyUp);
        world.pass(ms(10_000));
        assert!(world.has_whole(1, 0, burst(1)) && world.has_whole(2, 0, burst(1)), "away for {away} ms");
        assert_eq!(world.talk_states(0, burst(1)).last(), Some(&TalkState::Delivered));
        if away == 300 {
            // The floor was kept: what left into the dead link is sent again live, and heard, not only repaired.
            let played = world.peers[1].played[&burst(1)].len();
            assert_eq!(played, world.peers[0].kept[&burst(1)].len(), "{:?}", world.heard_states(1, burst(1)));
        }
    }
}

fn press(bench: &mut Bench, n: u8) {
    bench.input(Input::Command(Command::KeyDown {
        room: id(3),
        burst: burst(n),
        priority: crate::model::Priority::Normal,
        queue: true,
        when_free: false,
        frame_ms: crate::units::FrameMs::Ms20,
        bitrate: crate::units::Bitrate(24_000),
    }));
}

fn record(bench: &mut Bench, n: u8, number: u16) {
    let captured_at = bench.now;
    bench.input(Input::Captured { burst: burst(n), captured_at, payload: payload(burst(n), number) });
}

fn requests(bench: &mut Bench) -> Vec<RequestId> {
    let sent = bench.sent().into_iter();
    sent.filter_map(|m| if let ClientMessage::FloorRequest { request, .. } = m { Some(request) } else { None })
        .collect()
}

#[test]
fn what_was_spoken_before_the_grant_is_sent_faster_than_spoken_but_not_in_one_go() {
    let mut bench = two_rooms();
    press(&mut bench, 1);
    let request = requests(&mut bench)[0];
    for number in 1..=60 {
        record(&mut bench, 1, number);
    }
    assert!(!bench.take().iter().any(|o| matches!(o, Output::Voice { .. })), "nothing is sent before the grant");
    let token = FloorToken { term: 1, counter: 1 };
    bench.say(&ServerMessage::FloorGranted { request, room: id(3), token, until_ms: 60_000 });
    let frames = |bench: &mut Bench| bench.take().iter().filter(|o| matches!(o, Output::Voice { .. })).count();
    let at_once = frames(&mut bench);
    assert!((1..=10).contains(&at_once), "{at_once} at once");
    // Four times as fast as spoken: 20 in the time of 5.
    bench.pass(ms(100));
    let soon = frames(&mut bench);
    assert!((15..=25).contains(&soon), "{soon} in 100 ms");
    bench.pass(ms(200));
    assert_eq!(at_once + soon + frames(&mut bench), 60);
}

#[test]
fn a_room_is_asked_for_one_burst_at_a_time() {
    let mut bench = two_rooms();
    press(&mut bench, 1);
    record(&mut bench, 1, 1);
    bench.input(Input::Command(Command::KeyUp));
    bench.input(Input::CaptureEnded { burst: burst(1), fault: None });
    let first = requests(&mut bench);
    assert_eq!(first.len(), 1);
    press(&mut bench, 2);
    record(&mut bench, 2, 1);
    // A second request would put the first burst out of the queue.
    assert_eq!(requests(&mut bench), []);
    let token = FloorToken { term: 1, counter: 1 };
    bench.say(&ServerMessage::FloorGranted { request: first[0], room: id(3), token, until_ms: 60_000 });
    let sent = bench.sent();
    let end = sent.iter().position(|m| matches!(m, ClientMessage::BurstEnd { .. }));
    let next = sent.iter().position(|m| matches!(m, ClientMessage::FloorRequest { .. }));
    assert!(end.is_some() && end < next, "{sent:?}");
}

#[test]
fn who_ends_without_a_link_is_repaired_afterwards() {
    let mut world = three(7);
    world.key_down(0, burst(1), false);
    world.pass(ms(1_500));
    world.set_offline(0, true);
    world.pass(ms(2_500));
    world.command(0, Command::KeyUp);
    world.pass(ms(20_000));
    assert!(world.heard_states(1, burst(1)).contains(&HeardState::Interrupted));
    world.set_offline(0, false);
    world.pass(ms(10_000));
    assert!(world.has_whole(1, 0, burst(1)) && world.has_whole(2, 0, burst(1)));
}

#[test]
fn a_listener_whose_link_dies_ends_with_everything() {
    let mut world = three(8);
    world.key_down(0, burst(1), false);
    world.pass(ms(1_500));
    world.set_offline(1, true);
    world.pass(ms(1_000));
    world.command(0, Command::KeyUp);
    world.pass(ms(3_000));
    world.set_offline(1, false);
    world.pass(ms(10_000));
    assert!(world.has_whole(1, 0, burst(1)) && world.has_whole(2, 0, burst(1)));
}

#[test]
fn a_taken_floor_is_denied_or_waited_for() {
    let mut world = three(10);
    world.key_down(0, burst(1), false);
    world.pass(ms(500));
    world.key_down(1, burst(2), false);
    world.key_down(2, burst(3), true);
    world.pass(ms(500));
    assert!(world.talk_states(1, burst(2)).contains(&TalkState::Denied { reason: DenyReason::Busy }));
    assert!(world.talk_states(2, burst(3)).contains(&TalkState::Queued { position: 1, waiting: 1 }));
    for peer in [0, 1, 2] {
        world.command(peer, Command::KeyUp);
    }
    world.pass(ms(5_000));
    assert_eq!(world.talk_states(1, burst(2)).last(), Some(&TalkState::Kept));
    // It waited to be heard, and was: what was said is not lost because the button came up meanwhile.
    assert_eq!(world.talk_states(2, burst(3)).last(), Some(&TalkState::Delivered));
    assert!(world.has_whole(0, 2, burst(3)) && world.has_whole(1, 0, burst(1)));
}

#[test]
fn bursts_of_one_device_go_out_in_the_order_in_which_they_were_spoken() {
    let mut world = three(11);
    world.one_way = ms(300);
    for n in 1..=3 {
        world.key_down(0, burst(n), false);
        world.pass(ms(200));
        world.command(0, Command::KeyUp);
        world.pass(ms(50));
    }
    world.pass(ms(15_000));
    let order = world
        .log()
        .iter()
        .filter_map(|e| if let EventBody::BurstStarted { header, .. } = &e.body { Some(header.burst) } else { None });
    assert_eq!(order.collect::<Vec<_>>(), [burst(1), burst(2), burst(3)]);
    for n in 1..=3 {
        assert!(world.has_whole(1, 0, burst(n)));
    }
}

pub(super) fn taken(world_token: u32, by: u8, n: u8) -> FloorState {
    FloorState::Taken {
        token: FloorToken { term: 1, counter: world_token },
        user: id(by),
        device: id(by),
        priority: crate::model::Priority::Normal,
        header: header(n),
        since_ms: 0,
    }
}

pub(super) fn header(n: u8) -> BurstHeader {
    BurstHeader {
        burst: burst(n),
        codec: Codec::Opus,
        frame_ms: crate::units::FrameMs::Ms20,
        bitrate: crate::units::Bitrate(24_000),
        key_epoch: Epoch(0),
    }
}

pub(super) fn live(n: u8, number: u16, counter: u32) -> Bytes {
    let frame = VoiceFrame {
        kind: crate::wire::voice::VoiceKind::Live,
        age: ms(30).into(),
        number: crate::units::FrameNo(number),
        tag: burst(n).tag(),
        token: FloorToken { term: 1, counter },
        payload: payload(burst(n), number),
    };
    frame.encode()
}

/// An engine that follows rooms 3 and 4.
pub(super) fn two_rooms() -> Bench {
    let mut bench = Bench::up();
    for room in [3, 4] {
        bench.take();
        bench.input(Input::Command(Command::Follow { room: id(room), cursor: None, voice: true }));
        let request = bench
            .sent()
            .into_iter()
            .find_map(|m| if let ClientMessage::Subscribe { request, .. } = m { Some(request) } else { None });
        bench.say(&ServerMessage::Subscribed {
            request: request.expect("a subscription"),
            room: id(room),
            role: Role::Talker,
            head: Cursor { incarnation: id(9), seq: Seq(0) },
            first_seq: Seq(1),
            epoch: Epoch(0),
            floor: FloorState::Idle { token: FloorToken::default() },
            emergencies: vec![],
        });
    }
    bench.take();
    bench
}

pub(super) fn plays(bench: &mut Bench) -> Vec<(BurstId, bool)> {
    let outputs = bench.take().into_iter();
    let started = outputs.filter_map(|o| {
        if let Output::StartPlayback { burst, .. } = o {
            return Some((burst, true));
        }
        if let Output::StopPlayback { burst } = o { Some((burst, false)) } else { None }
    });
    started.collect()
}

#[test]
fn when_two_rooms_talk_the_primary_plays_and_an_emergency_always() {
    let mut bench = two_rooms();
    bench.input(Input::Command(Command::SetPrimary { room: Some(id(4)) }));
    bench.say(&ServerMessage::Floor { room: id(3), floor: taken(1, 60, 1) });
    assert_eq!(plays(&mut bench), [(burst(1), true)]);
    bench.say(&ServerMessage::Floor { room: id(4), floor: taken(1, 61, 2) });
    assert_eq!(plays(&mut bench), [(burst(1), false), (burst(2), true)]);
    bench.say(&ServerMessage::Floor { room: id(3), floor: taken(2, 62, 3) });
    let missed = Notice::Heard { room: id(3), burst: burst(3), user: id(62), state: HeardState::Missed };
    assert!(bench.outputs.contains(&Output::Notice(missed)));
    assert_eq!(plays(&mut bench), []);
    let mut emergency = taken(3, 63, 4);
    if let FloorState::Taken { priority, .. } = &mut emergency {
        *priority = crate::model::Priority::Emergency;
    }
    bench.say(&ServerMessage::Floor { room: id(3), floor: emergency });
    assert_eq!(plays(&mut bench), [(burst(2), false), (burst(4), true)]);
}

/// Rooms 3 and 4: somebody talks in each.
fn two_talk(bench: &mut Bench) {
    bench.say(&ServerMessage::Floor { room: id(3), floor: taken(1, 60, 1) });
    bench.say(&ServerMessage::Floor { room: id(4), floor: taken(1, 61, 2) });
}

pub(super) fn emergency(number: u8, user: u8, burst: u8) -> FloorState {
    let mut floor = taken(number.into(), user, burst);
    if let FloorState::Taken { priority, .. } = &mut floor {
        *priority = crate::model::Priority::Emergency;
    }
    floor
}

#[test]
fn whoever_is_not_to_be_disturbed_hears_emergencies_only() {
    let mut bench = two_rooms();
    bench.input(Input::Command(Command::SetHearing { hearing: Hearing::Nothing }));
    two_talk(&mut bench);
    assert_eq!(plays(&mut bench), []);
    bench.say(&ServerMessage::Floor { room: id(3), floor: emergency(2, 62, 3) });
    assert_eq!(plays(&mut bench), [(burst(3), true)]);
    // Whoever may be disturbed again hears who is talking, from here on; not above the emergency.
    bench.input(Input::Command(Command::SetHearing { hearing: Hearing::All }));
    assert_eq!(plays(&mut bench), []);
}

#[test]
fn solo_is_the_primary_room_and_follows_it() {
    let mut bench = two_rooms();
    bench.input(Input::Command(Command::SetPrimary { room: Some(id(4)) }));
    bench.input(Input::Command(Command::SetHearing { hearing: Hearing::Primary }));
    two_talk(&mut bench);
    assert_eq!(plays(&mut bench), [(burst(2), true)]);
    bench.input(Input::Command(Command::SetPrimary { room: Some(id(3)) }));
    assert_eq!(plays(&mut bench), [(burst(2), false), (burst(1), true)]);
    bench.input(Input::Command(Command::SetPrimary { room: None }));
    assert_eq!(plays(&mut bench), [(burst(1), false)]);
}

#[test]
fn a_room_that_is_silenced_stops_at_once_is_missed_and_goes_on_where_it_is() {
    let mut bench = two_rooms();
    two_talk(&mut bench);
    assert_eq!(plays(&mut bench), [(burst(1), true)], "who began first");
    bench.input(Input::Command(Command::Mute { room: id(3), muted: true }));
    let missed = Notice::Heard { room: id(3), burst: burst(1), user: id(60), state: HeardState::Missed };
    assert!(bench.outputs.contains(&Output::Notice(missed)));
    assert_eq!(plays(&mut bench), [(burst(1), false), (burst(2), true)], "the other room is heard instead");
    bench.input(Input::Command(Command::Mute { room: id(3), muted: false }));
    assert_eq!(plays(&mut bench), [], "it does not interrupt what plays");
    bench.say(&ServerMessage::Floor { room: id(3), floor: emergency(2, 62, 3) });
    assert_eq!(plays(&mut bench), [(burst(2), false), (burst(3), true)]);
}

#[test]
fn what_is_heard_late_begins_at_the_live_edge() {
    let mut bench = two_rooms();
    bench.input(Input::Command(Command::Mute { room: id(3), muted: true }));
    bench.say(&ServerMessage::Floor { room: id(3), floor: taken(1, 60, 1) });
    for number in 1..=50 {
        bench.input(Input::Binary { link: bench.link, bytes: live(1, number, 1) });
    }
    bench.input(Input::Command(Command::Mute { room: id(3), muted: false }));
    for number in 51..=56 {
        bench.input(Input::Binary { link: bench.link, bytes: live(1, number, 1) });
    }
    bench.now = bench.now + ms(200);
    let pulled = bench.engine.pull(bench.now, burst(1));
    assert!(matches!(pulled, Pull::Frame { number, .. } if number.0 > 50), "{pulled:?}");
    let heard = bench.engine.heard().expect("figures");
    assert_eq!((heard.burst, heard.came), (burst(1), 6));
}

/// Eight hours in a room, in virtual time: a burst a minute. What is held afterwards is what was held after the first hour; its
/// measure is the engine's own state, written out.
#[test]
fn a_working_day_of_listening_leaves_nothing_behind() {
    let mut world = three(9);
    let size = |world: &World| format!("{:?}", world.peers[1].engine).len();
    let mut hours = Vec::new();
    for minute in 0..8 * 60_u16 {
        let mut name = [7; 16];
        name[..2].copy_from_slice(&minute.to_be_bytes());
        let id = BurstId::from_bytes(name);
        world.key_down(0, id, false);
        world.pass(ms(1_000));
        world.command(0, Command::KeyUp);
        world.pass(ms(59_000));
        assert!(!world.peers[1].played[&id].is_empty(), "minute {minute} was heard");
        for peer in &mut world.peers {
            // What the bench itself writes down.
            peer.notices.clear();
            peer.played.clear();
            peer.received.clear();
            peer.kept.clear();
        }
        if minute % 60 == 59 {
            hours.push(size(&world));
        }
    }
    let (first, last) = (hours[0], hours[7]);
    assert!(last < first + first / 4, "after each hour: {hours:?}");
}

#[test]
fn frames_that_come_before_their_floor_message_are_played() {
    let mut bench = two_rooms();
    for number in 1..=3 {
        bench.input(Input::Binary { link: bench.link, bytes: live(1, number, 1) });
    }
    bench.say(&ServerMessage::Floor { room: id(3), floor: taken(1, 60, 1) });
    bench.now = bench.now + ms(100);
    let pulled = bench.engine.pull(bench.now, burst(1));
    assert!(matches!(pulled, Pull::Frame { number, .. } if number.0 == 1), "{pulled:?}");
}

#[test]
fn a_token_below_one_that_was_accepted_is_never_played() {
    let mut bench = two_rooms();
    bench.say(&ServerMessage::Floor { room: id(3), floor: taken(5, 60, 1) });
    bench.take();
    // A floor message, and a frame, of an earlier grant.
    bench.say(&ServerMessage::Floor { room: id(3), floor: taken(4, 61, 2) });
    assert_eq!(plays(&mut bench), []);
    bench.input(Input::Binary { link: bench.link, bytes: live(1, 1, 4) });
    bench.now = bench.now + ms(200);
    assert!(matches!(bench.engine.pull(bench.now, burst(1)), Pull::Wait { .. }));
    bench.input(Input::Binary { link: bench.link, bytes: live(1, 1, 5) });
    bench.now = bench.now + ms(200);
    assert!(matches!(bench.engine.pull(bench.now, burst(1)), Pull::Frame { .. }));
}

#[test]
fn frames_of_bursts_that_are_not_known_are_bounded() {
    let mut bench = two_rooms();
    for n in 0..20_000_u16 {
        let (of, number) = (u8::try_from(n % 200).expect("small") + 1, n / 200 + 1);
        bench.input(Input::Binary { link: bench.link, bytes: live(of, number, 1) });
    }
    assert_eq!(bench.engine.listen.early_len(), 150);
}

fn check_seed(seed: u64) {
    let mut world = three(seed);
    world.drop_per_mille = world.draw(150);
    let mut texts = 0_u8;
    let mut waits_for_free = vec![];
    for round in 0..6_u8 {
        let talker = usize::try_from(world.draw(3)).expect("small");
        let queue = world.draw(2) == 0;
        let when_free = world.draw(2) == 0;
        world.key_down_as(talker, burst(round + 1), queue, when_free);
        if when_free {
            waits_for_free.push(burst(round + 1));
        }
        for _ in 0..world.draw(4) {
            let span = ms(world.draw(1_200));
            world.pass(span);
            let peer = usize::try_from(world.draw(3)).expect("small");
            match world.draw(3) {
                0 => {
                    let offline = !world.peers[peer].offline;
                    world.set_offline(peer, offline);
                }
                1 => {
                    texts += 1;
                    let body = EventBody::MessagePosted { text: texts.to_string(), reply_to: None };
                    world.command(peer, Command::Send { room: id(world::ROOM), client_id: id(texts), body });
                }
                _ => {}
            }
        }
        world.command(talker, Command::KeyUp);
        let span = ms(world.draw(3_000));
        world.pass(span);
    }
    for peer in 0..3 {
        world.set_offline(peer, false);
    }
    world.pass(ms(90_000));
    let seqs: Vec<u64> = world.log().iter().map(|event| event.seq.0).collect();
    let posted = world.log().iter().filter(|e| matches!(e.body, EventBody::MessagePosted { .. })).count();
    assert_eq!(posted, usize::from(texts), "seed {seed}: each text is in the log once");
    for peer in 0..3 {
        assert_eq!(world.events_seen(peer), seqs, "seed {seed}: peer {peer} saw every event once and in order");
    }
    let owners: Vec<(BurstId, usize)> = (0..3)
        .flat_map(|peer| world.peers[peer].kept.keys().map(move |burst| (*burst, peer)).collect::<Vec<_>>())
        .collect();
    for (burst, complete) in world.known_bursts() {
        let talker = owners.iter().find(|(of, _)| *of == burst).expect("somebody spoke it").1;
        assert!(complete, "seed {seed}: {burst} is not complete: {:?}", world.talk_states(talker, burst));
        for listener in (0..3).filter(|listener| *listener != talker) {
            let states = world.heard_states(listener, burst);
            assert!(
                world.has_whole(listener, talker, burst),
                "seed {seed}: {listener} lacks some of {burst}: {states:?}"
            );
            let played = world.peers[listener].played.get(&burst).cloned().unwrap_or_default();
            assert!(distinct(&played), "seed {seed}: a frame was played twice");
        }
    }
    // Every burst came to an end that its speaker was told.
    for (burst, talker) in owners {
        let states = world.talk_states(talker, burst);
        let denied = states.iter().any(|state| matches!(state, TalkState::Denied { .. }));
        let ended_well = match states.last() {
            Some(TalkState::Delivered) => true,
            // Only where the floor was denied, and nobody wished it to be sent when free.
            Some(TalkState::Kept) => denied && !waits_for_free.contains(&burst),
            _ => false,
        };
        assert!(ended_well, "seed {seed}: {burst} ended as {states:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    /// Whatever is cut and dropped meanwhile: once the links hold, every burst that the server knows is whole everywhere, and
    /// every event was seen once and in order.
    #[test]
    fn nothing_is_lost_over_links_that_cut_and_drop(seed: u64) {
        check_seed(seed);
    }
}

#[test]
fn a_burst_that_is_completed_long_after_it_was_left_is_whole_at_last() {
    let mut world = three(12);
    world.key_down(0, burst(1), false);
    world.pass(ms(1_500));
    world.set_offline(0, true);
    world.pass(ms(500));
    world.command(0, Command::KeyUp);
    // Long enough for the listeners to have given up waiting for the rest.
    world.pass(ms(60_000));
    assert!(matches!(world.heard_states(1, burst(1)).last(), Some(HeardState::Incomplete { .. })));
    world.set_offline(0, false);
    world.pass(ms(10_000));
    assert_eq!(world.talk_states(0, burst(1)).last(), Some(&TalkState::Delivered));
    assert!(world.has_whole(1, 0, burst(1)) && world.has_whole(2, 0, burst(1)));
    assert_eq!(world.heard_states(1, burst(1)).last(), Some(&HeardState::Complete));
}
