//! What is spoken and written without a link, or without the floor: kept, delivered in order, and once.
#![expect(clippy::wildcard_enum_match_arm, reason = "tests look for one message among all")]

use super::world::{ROOM, World, device, payload};
use super::*;
use crate::units::{BurstId, FrameNo};
use crate::wire::problem::ProblemKind;
use crate::wire::socket::DenyReason;
use crate::wire::voice::VoiceKind;

fn burst(n: u8) -> BurstId {
    BurstId::from_bytes([n; 16])
}

fn two(seed: u64) -> World {
    let mut world = World::new(seed, 2);
    world.follow(0);
    world.follow(1);
    world.pass(ms(500));
    world
}

impl World {
    fn speak(&mut self, peer: usize, n: u8, span: Duration) {
        self.key_down(peer, burst(n), false);
        self.pass(span);
        self.command(peer, Command::KeyUp);
        self.pass(ms(50));
    }

    fn write(&mut self, peer: usize, n: u8) {
        let body = EventBody::MessagePosted { text: format!("text {n}"), reply_to: None };
        self.command(peer, Command::Send { room: id(ROOM), client_id: id(n), body });
    }

    /// What one device brought into the log, in the log's order: bursts by their number, texts by theirs.
    fn brought_by(&self, peer: usize) -> Vec<String> {
        let mine = self.log().iter().filter(|event| event.device == device(peer));
        mine.filter_map(|event| match &event.body {
            EventBody::BurstStarted { header, .. } => Some(format!("burst {}", header.burst.bytes()[0])),
            EventBody::MessagePosted { text, .. } => Some(text.clone()),
            _ => None,
        })
        .collect()
    }
}

#[test]
fn a_burst_spoken_without_a_link_is_delivered_when_it_returns_and_marked_with_its_age() {
    let mut world = two(1);
    world.set_offline(0, true);
    world.pass(ms(5_000));
    world.speak(0, 1, ms(1_000));
    assert_eq!(world.talk_states(0, burst(1)).last(), Some(&TalkState::Waiting));
    world.pass(ms(3_600_000));
    world.set_offline(0, false);
    world.pass(ms(5_000));
    assert_eq!(world.talk_states(0, burst(1)).last(), Some(&TalkState::Delivered));
    assert!(world.has_whole(1, 0, burst(1)));
    let ages = world.log().iter().filter_map(|event| match &event.body {
        EventBody::BurstStarted { token: None, spoken_ago_ms, uncertainty_ms: 0, .. } => Some(*spoken_ago_ms),
        _ => None,
    });
    let ages: Vec<u64> = ages.collect();
    assert!(matches!(ages[..], [age] if (3_601_000..3_603_000).contains(&age)), "{ages:?}");
    // It does not talk into what is heard now: it can be played when somebody likes.
    assert!(world.heard_states(1, burst(1)).contains(&HeardState::Missed));
    assert!(world.peers[1].received[&burst(1)].brought);
    assert!(!world.peers[1].played.contains_key(&burst(1)));
}

#[test]
fn what_a_person_drops_is_not_delivered_and_holds_nothing_up() {
    let mut world = two(1);
    world.set_offline(0, true);
    world.pass(ms(5_000));
    world.speak(0, 1, ms(1_000));
    world.write(0, 2);
    world.write(0, 3);
    world.pass(ms(60_000));
    world.command(0, Command::ForgetBurst { burst: burst(1) });
    world.command(0, Command::ForgetText { client_id: id(2) });
    world.set_offline(0, false);
    world.pass(ms(20_000));
    assert_eq!(world.brought_by(0), ["text 3"]);
}

#[test]
fn a_burst_that_just_missed_the_link_is_heard_live() {
    let mut world = two(2);
    world.set_offline(0, true);
    world.pass(ms(5_000));
    world.speak(0, 1, ms(1_000));
    world.pass(ms(2_000));
    world.set_offline(0, false);
    world.pass(ms(5_000));
    assert!(world.has_whole(1, 0, burst(1)));
    assert_eq!(world.peers[1].played[&burst(1)].len(), world.peers[0].kept[&burst(1)].len());
}

#[test]
fn a_denied_burst_is_brought_where_that_was_wished_and_stays_where_not() {
    for (when_free, end) in [(true, TalkState::Delivered), (false, TalkState::Kept)] {
        let mut world = two(3);
        world.key_down(0, burst(1), false);
        world.pass(ms(500));
        world.key_down_as(1, burst(2), false, when_free);
        world.pass(ms(1_000));
        world.command(1, Command::KeyUp);
        world.pass(ms(3_000));
        let states = world.talk_states(1, burst(2));
        assert!(states.contains(&TalkState::Denied { reason: DenyReason::Busy }));
        assert_eq!(states.last(), Some(&end), "while somebody else still talks");
        world.command(0, Command::KeyUp);
        world.pass(ms(3_000));
        assert!(world.has_whole(1, 0, burst(1)));
        assert_eq!(when_free, world.peers[0].received.contains_key(&burst(2)) && world.has_whole(0, 1, burst(2)));
        assert_eq!(
            world.log().iter().filter(|e| matches!(e.body, EventBody::BurstStarted { .. })).count(),
            if when_free { 2 } else { 1 }
        );
    }
}

#[test]
fn texts_and_bursts_of_a_room_go_out_in_the_order_in_which_they_were_spoken() {
    for restart in [false, true] {
        let mut world = two(4);
        world.set_offline(0, true);
        world.pass(ms(5_000));
        world.write(0, 1);
        world.speak(0, 2, ms(700));
        world.write(0, 3);
        world.write(0, 4);
        world.speak(0, 5, ms(400));
        world.speak(0, 6, ms(400));
        world.write(0, 7);
        world.pass(ms(60_000));
        if restart {
            world.restart(0);
            world.pass(ms(60_000));
        }
        world.set_offline(0, false);
        world.pass(ms(20_000));
        let expected = ["text 1", "burst 2", "text 3", "text 4", "burst 5", "burst 6", "text 7"];
        assert_eq!(world.brought_by(0), expected, "restart: {restart}");
        for n in [2, 5, 6] {
            assert!(world.has_whole(1, 0, burst(n)));
        }
    }
}

#[test]
fn a_client_that_dies_while_it_speaks_completes_the_burst_when_it_is_started_again() {
    let mut world = two(5);
    world.key_down(0, burst(1), false);
    world.pass(ms(1_500));
    world.set_offline(0, true);
    world.pass(ms(1_000));
    // Recording, unheard by anybody, it dies.
    world.restart(0);
    world.pass(ms(30_000));
    world.set_offline(0, false);
    world.pass(ms(10_000));
    assert!(world.heard_states(1, burst(1)).contains(&HeardState::Interrupted));
    let spoken = world.peers[0].kept[&burst(1)].len();
    assert!(spoken > 110, "what was spoken without a link too: {spoken}");
    assert!(world.has_whole(1, 0, burst(1)));
}

#[test]
fn what_a_restored_backup_lacks_is_offered_again_in_its_order_and_once() {
    let mut world = two(6);
    world.write(0, 1);
    world.speak(0, 2, ms(800));
    world.pass(ms(2_000));
    world.write(0, 3);
    world.speak(0, 4, ms(800));
    world.pass(ms(20_000));
    let before = world.brought_by(0);
    assert_eq!(before, ["text 1", "burst 2", "text 3", "burst 4"]);
    // The backup has the first text only, and another history from there on.
    world.restore_backup(1);
    world.pass(ms(60_000));
    assert_eq!(world.brought_by(0), before);
    for n in [2, 4] {
        assert!(world.known_bursts()[&burst(n)], "burst {n} is complete again");
    }
    // Once: another connection to the same history offers nothing.
    let events = world.log().len();
    world.set_offline(0, true);
    world.pass(ms(10_000));
    world.set_offline(0, false);
    world.pass(ms(20_000));
    assert_eq!(world.log().len(), events);
}

fn restored(bench: &mut Bench, n: u8, frames: u16) {
    restored_as(bench, n, frames, false, false);
}

fn restored_as(bench: &mut Bench, n: u8, frames: u16, placed: bool, delivered: bool) {
    let mut recording = crate::burst::Recording::new();
    for number in 1..=frames {
        recording.push(payload(burst(n), number)).expect("bounded");
    }
    let (last, digest) = recording.end().expect("it has frames");
    let header = BurstHeader {
        burst: burst(n),
        codec: Codec::Opus,
        frame_ms: crate::units::FrameMs::Ms20,
        bitrate: crate::units::Bitrate(24_000),
        key_epoch: Epoch(0),
    };
    let spoken = Spoken::Server(ServerTime { at: UnixMs(1_000_000), uncertainty_ms: 200 });
    let priority = crate::model::Priority::Normal;
    let burst = Restored::Burst { room: id(3), header, priority, spoken, placed, delivered, last, digest };
    bench.input(Input::Restore(burst));
}

fn offers(sent: Vec<ClientMessage>) -> Vec<ClientMessage> {
    sent.into_iter().filter(|m| matches!(m, ClientMessage::BurstOffer { .. })).collect()
}

fn subscribed(bench: &mut Bench) {
    let sent = bench.sent();
    let request = sent.iter().find_map(|m| match m {
        ClientMessage::Subscribe { request, .. } => Some(*request),
        ClientMessage::Auth { rooms, .. } => rooms.first().map(|follow| follow.request),
        _ => None,
    });
    bench.say(&ServerMessage::Subscribed {
        request: request.expect("the room of a burst that waits is followed"),
        room: id(3),
        role: Role::Talker,
        head: Cursor { incarnation: id(9), seq: Seq(0) },
        first_seq: Seq(1),
        epoch: Epoch(0),
        floor: FloorState::Idle { token: FloorToken::default() },
        emergencies: vec![],
    });
}

#[test]
fn a_burst_of_before_a_restart_of_the_device_has_its_age_by_the_servers_clock() {
    let mut bench = Bench::new();
    restored(&mut bench, 1, 3);
    bench.input(Input::Token { access: "t".into(), expires_in: Duration::from_secs(900) });
    bench.input(Input::Start);
    bench.link = bench.asked_link();
    bench.input(Input::Connected { link: bench.link });
    bench.now = bench.now + ms(100);
    let server_time = UnixMs(8_200_000);
    let (user, device) = (id(1), id(2));
    bench.say(&ServerMessage::Welcome {
        user,
        device,
        server_time,
        heartbeat_ms: 15_000,
        expires_in_s: 900,
        resume: None,
    });
    subscribed(&mut bench);
    let outputs = bench.take();
    assert!(outputs.contains(&Output::LoadBurst { burst: burst(1) }), "its frames are read when they are needed");
    let frames = (1..=3).map(|number| payload(burst(1), number)).collect();
    bench.input(Input::BurstLoaded { burst: burst(1), frames: Ok(frames) });
    let sent = bench.sent();
    let age = sent.iter().find_map(|m| match m {
        ClientMessage::BurstOffer { spoken_ago_ms, uncertainty_ms, .. } => Some((*spoken_ago_ms, *uncertainty_ms)),
        _ => None,
    });
    // 7,200 s and half of the 100 ms round trip; off by that half, 1 ms, and what it was off by then.
    assert_eq!(age, Some((7_200_050, Some(251))));
}

/// After a backup was restored, most of what is offered again is there: nothing is read for it, and a copy that the disk lost is no
/// trouble before it is needed.
#[test]
fn a_burst_that_was_delivered_is_offered_again_before_its_frames_are_read() {
    for lacks in [false, true] {
        let mut bench = Bench::up();
        restored_as(&mut bench, 1, 3, false, true);
        subscribed(&mut bench);
        let load = Output::LoadBurst { burst: burst(1) };
        let outputs = bench.take();
        assert!(!outputs.contains(&load), "{outputs:?}");
        let missing = if lacks { vec![crate::model::FrameRange { from: FrameNo(2), to: FrameNo(2) }] } else { vec![] };
        let (room, incarnation, complete) = (id(3), id(9), !lacks);
        bench.say(&ServerMessage::BurstStatus { room, burst: burst(1), incarnation, complete, missing });
        let outputs = bench.take();
        let delivered =
            |output: &Output| matches!(output, Output::Notice(Notice::Talk { state: TalkState::Delivered, .. }));
        assert_eq!((outputs.contains(&load), outputs.iter().any(delivered)), (lacks, !lacks), "{outputs:?}");
        if lacks {
            bench.input(Input::BurstLoaded { burst: burst(1), frames: Ok(vec![payload(burst(1), 1)]) });
            let fault = |output: &Output| matches!(output, Output::Notice(Notice::Fault { .. }));
            assert!(bench.take().iter().any(fault), "now it matters, and is said");
        }
    }
}

/// Over a slow link `burst.end` is asked twice, and both answers come when the log turned out to be another.
#[test]
fn a_late_answer_to_what_was_asked_before_the_offer_is_not_the_offers() {
    let mut bench = Bench::up();
    restored_as(&mut bench, 1, 3, true, false);
    subscribed(&mut bench);
    bench.take();
    let missing = || ServerMessage::Refused {
        room: id(3),
        client_id: None,
        request: None,
        burst: Some(burst(1)),
        problem: Problem::new(ProblemKind::NotFound, "the room's log has no burst of this name"),
    };
    bench.say(&missing());
    let frames = (1..=3).map(|number| payload(burst(1), number)).collect();
    bench.input(Input::BurstLoaded { burst: burst(1), frames: Ok(frames) });
    assert_eq!(offers(bench.sent()).len(), 1, "it is brought");
    bench.say(&missing());
    let outputs = bench.take();
    assert!(!outputs.contains(&Output::Store(Store::BurstHeld { burst: burst(1) })), "{outputs:?}");
    let (room, incarnation, complete) = (id(3), id(9), true);
    bench.say(&ServerMessage::BurstStatus { room, burst: burst(1), incarnation, complete, missing: vec![] });
    let delivered =
        |output: &Output| matches!(output, Output::Notice(Notice::Talk { state: TalkState::Delivered, .. }));
    assert!(bench.take().iter().any(delivered));
}

#[test]
fn bursts_of_before_wait_while_ones_own_voice_is_live() {
    let mut bench = Bench::up();
    restored(&mut bench, 1, 400);
    subscribed(&mut bench);
    let frames = (1..=400).map(|number| payload(burst(1), number)).collect();
    bench.input(Input::BurstLoaded { burst: burst(1), frames: Ok(frames) });
    bench.input(Input::Command(Command::KeyDown {
        room: id(3),
        burst: burst(2),
        priority: crate::model::Priority::Normal,
        queue: false,
        when_free: true,
        frame_ms: crate::units::FrameMs::Ms20,
        bitrate: crate::units::Bitrate(24_000),
    }));
    let captured_at = bench.now;
    bench.input(Input::Captured { burst: burst(2), captured_at, payload: payload(burst(2), 1) });
    let sent = bench.sent();
    let request = sent.iter().find_map(|m| match m {
        ClientMessage::FloorRequest { request, .. } => Some(*request),
        _ => None,
    });
    let token = FloorToken { term: 1, counter: 1 };
    let request = request.expect("what is spoken now does not wait for what was spoken before");
    bench.say(&ServerMessage::FloorGranted { request, room: id(3), token, until_ms: 60_000 });
    bench.take();
    let missing = vec![crate::model::FrameRange { from: FrameNo(1), to: FrameNo(400) }];
    let (room, incarnation, complete) = (id(3), id(9), false);
    bench.say(&ServerMessage::BurstStatus { room, burst: burst(1), incarnation, complete, missing });
    let frames = |bench: &mut Bench| {
        let outputs = bench.take();
        let voice = outputs.into_iter().filter_map(|o| match o {
            Output::Voice { lane, frame, .. } if frame.kind == VoiceKind::Repair => Some(lane),
            _ => None,
        });
        voice.collect::<Vec<_>>()
    };
    assert_eq!(frames(&mut bench), [], "not one frame while the floor is held");
    bench.input(Input::Command(Command::KeyUp));
    bench.input(Input::CaptureEnded { burst: burst(2), fault: None });
    let lanes = frames(&mut bench);
    assert!(lanes.len() > 100 && lanes.iter().all(|lane| *lane == Lane::Bulk), "{}", lanes.len());
    // As much as the shell took, and no more.
    let link = bench.link;
    bench.input(Input::Sent { link, repair_bytes: 600 });
    assert_eq!(frames(&mut bench).len(), 10);
}

#[test]
fn a_burst_that_the_store_can_not_read_is_said_and_holds_nobody_up() {
    let mut bench = Bench::up();
    restored(&mut bench, 1, 3);
    restored(&mut bench, 2, 3);
    subscribed(&mut bench);
    bench.take();
    bench.input(Input::BurstLoaded { burst: burst(1), frames: Err("the disk is damaged".into()) });
    let outputs = bench.take();
    let failed = |o: &Output| matches!(o, Output::Notice(Notice::Talk { state: TalkState::Failed { .. }, .. }));
    assert!(outputs.iter().any(failed) && outputs.contains(&Output::Store(Store::BurstHeld { burst: burst(1) })));
    assert!(outputs.contains(&Output::LoadBurst { burst: burst(2) }));
    // One that is there, but not whole, is not offered as if it were.
    bench.input(Input::BurstLoaded { burst: burst(2), frames: Ok(vec![payload(burst(2), 1)]) });
    assert!(bench.take().iter().any(failed));
}

/// The server answers an offer with its request and its burst.
#[test]
fn an_offer_that_is_refused_for_now_waits_and_one_that_is_refused_for_good_stays_here() {
    for (kind, held) in [(ProblemKind::StorageFull, false), (ProblemKind::Conflict, true)] {
        let mut bench = Bench::up();
        restored(&mut bench, 1, 3);
        subscribed(&mut bench);
        bench.take();
        let frames = (1..=3).map(|number| payload(burst(1), number)).collect();
        bench.input(Input::BurstLoaded { burst: burst(1), frames: Ok(frames) });
        let request = offers(bench.sent())[0].request();
        let mut problem = Problem::new(kind, "refused");
        problem.retry_after_s = Some(20);
        let state = if held { TalkState::Kept } else { TalkState::PutOff { problem: problem.clone() } };
        bench.say(&ServerMessage::Refused { room: id(3), client_id: None, request, burst: Some(burst(1)), problem });
        let outputs = bench.take();
        let last = outputs.iter().rev().find_map(|o| match o {
            Output::Notice(Notice::Talk { state, .. }) => Some(state.clone()),
            Output::Notice(Notice::RoomRefused { .. }) => panic!("it is about a burst"),
            _ => None,
        });
        assert_eq!(last, Some(state));
        assert_eq!(outputs.contains(&Output::Store(Store::BurstHeld { burst: burst(1) })), held);
        bench.pass(ms(6_000));
        assert_eq!(offers(bench.sent()).len(), 0, "{kind:?}: not before the time that the server named");
    }
}
