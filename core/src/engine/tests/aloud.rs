//! One person's devices: one plays, all show it.

use super::voice::{burst, emergency, live, plays, taken, two_rooms};
use super::*;
use crate::wire::limits::{HEARTBEAT, HEARTBEAT_IDLE_MAX, PLAYING_USED, PLAYING_USED_HERE};

/// The person at the bench is 1, their device 2.
const OWN: u8 = 1;

/// An engine that plays aloud, follows rooms 3 and 4, and was told nothing of others.
fn aloud() -> Bench {
    let mut bench = two_rooms();
    bench.input(Input::Command(Command::Aloud { on: true }));
    bench.input(Input::Token { access: "t".into(), expires_in: Duration::from_secs(9_000) });
    bench.input(Input::NetworkUp);
    bench.pong(ms(30));
    bench
}

fn say_plays(bench: &mut Bench, device: u8) {
    say_plays_after(bench, device, None);
}

/// The last sign of life of the one that played before was so long ago.
fn say_plays_after(bench: &mut Bench, device: u8, last_sign_ms: Option<u64>) {
    bench.say(&ServerMessage::Playing { device: id(device), among: 2, last_sign_ms });
}

/// How long ago this device was used, as it said each time.
fn said(bench: &mut Bench) -> Vec<u64> {
    let sent = bench.sent().into_iter();
    sent.filter_map(|m| if let ClientMessage::PlayingHere { used_ago_ms } = m { Some(used_ago_ms) } else { None })
        .collect()
}

fn states(bench: &mut Bench) -> Vec<HeardState> {
    let notices = bench.notices().into_iter();
    notices.filter_map(|n| if let Notice::Heard { state, .. } = n { Some(state) } else { None }).collect()
}

fn floor(room: u8, floor: FloorState) -> ServerMessage {
    ServerMessage::Floor { room: id(room), floor }
}

#[test]
fn ones_own_speech_from_another_device_is_shown_and_never_played_aloud() {
    let mut bench = aloud();
    for spoken in [taken(1, OWN, 1), emergency(2, OWN, 2)] {
        bench.say(&floor(3, spoken));
        let plays = bench.outputs.iter().any(|o| matches!(o, Output::StartPlayback { .. }));
        assert!(!plays && states(&mut bench) == [HeardState::Elsewhere], "shown, and not missed");
    }
    // What nobody hears, as in a recorder, is no echo.
    let mut bench = two_rooms();
    bench.say(&floor(3, taken(1, OWN, 1)));
    assert_eq!(plays(&mut bench), [(burst(1), true)]);
    bench.input(Input::Command(Command::Aloud { on: true }));
    assert_eq!(plays(&mut bench), [(burst(1), false)]);
}

#[test]
fn what_plays_on_another_device_is_not_played_here_and_not_missed_but_emergencies_are_played() {
    let mut bench = aloud();
    bench.say(&floor(3, taken(1, 60, 1)));
    assert_eq!(plays(&mut bench), [(burst(1), true)], "in doubt it plays");
    say_plays(&mut bench, 77);
    assert!(bench.outputs.contains(&Output::Notice(Notice::Playing { elsewhere: Some(id(77)) })));
    assert!(bench.outputs.contains(&Output::StopPlayback { burst: burst(1) }));
    assert_eq!(states(&mut bench), [HeardState::Elsewhere]);
    bench.say(&floor(4, taken(1, 61, 2)));
    assert_eq!(states(&mut bench), [HeardState::Elsewhere]);
    bench.say(&floor(3, emergency(2, 62, 3)));
    assert_eq!(plays(&mut bench), [(burst(3), true)]);
    // It plays here again: what is being spoken is heard from here on, as the emergency has its end.
    bench.say(&floor(3, FloorState::Idle { token: FloorToken { term: 1, counter: 3 } }));
    bench.pass(Duration::from_secs(3));
    bench.take();
    say_plays(&mut bench, 2);
    assert!(bench.outputs.contains(&Output::Notice(Notice::Playing { elsewhere: None })));
    assert_eq!(plays(&mut bench), [(burst(2), true)]);
    bench.input(Input::Binary { link: bench.link, bytes: live(2, 9, 1) });
    assert!(!bench.outputs.is_empty(), "its frames are played");
}

#[test]
fn what_was_said_while_nothing_came_from_the_device_that_plays_is_missed() {
    let idle = |counter| FloorState::Idle { token: FloorToken { term: 1, counter } };
    let missed =
        |bench: &mut Bench| -> Vec<BurstId> {
            let notices = bench.notices().into_iter();
            notices
                .filter_map(|n| {
                    if let Notice::Heard { burst, state: HeardState::Missed, .. } = n { Some(burst) } else { None }
                })
                .collect()
        };
    let speak = |bench: &mut Bench, n: u8, user| {
        bench.say(&floor(3, taken(n.into(), user, n)));
        bench.pass(ms(500));
        bench.say(&floor(3, idle(n.into())));
        pass(bench, Duration::from_secs(5));
    };
    for (last_sign_ms, are_missed) in [(18_000, vec![2, 4]), (0, vec![])] {
        let mut bench = aloud();
        say_plays(&mut bench, 77);
        for (n, user) in [(1, 60), (2, 60), (3, OWN), (4, 61)] {
            speak(&mut bench, n, user);
        }
        say_plays_after(&mut bench, 77, Some(60_000));
        // Nothing is known of the one before: that may be told later, on another connection.
        say_plays(&mut bench, 2);
        bench.take();
        say_plays_after(&mut bench, 2, Some(last_sign_ms));
        let are_missed: Vec<_> = are_missed.into_iter().map(burst).collect();
        assert_eq!(missed(&mut bench), are_missed, "neither what the other one played, nor one's own");
        say_plays(&mut bench, 77);
        say_plays_after(&mut bench, 2, Some(60_000));
        assert_eq!(missed(&mut bench), [], "it is told once");
    }
    // What is being said is heard from here on, and where that can't be, it is missed.
    let mut bench = aloud();
    say_plays(&mut bench, 77);
    bench.say(&floor(3, taken(1, 60, 1)));
    bench.say(&floor(4, taken(2, 61, 2)));
    bench.take();
    say_plays_after(&mut bench, 2, Some(20_000));
    assert!(bench.outputs.iter().any(|o| matches!(o, Output::StartPlayback { burst: b, .. } if *b == burst(1))));
    assert_eq!(missed(&mut bench), [burst(2)]);
    say_plays_after(&mut bench, 2, Some(20_000));
    assert_eq!(missed(&mut bench), [], "once");
    // Its sender was lost and came back: it is heard after all.
    let mut bench = aloud();
    say_plays(&mut bench, 77);
    bench.say(&floor(3, taken(1, 60, 1)));
    bench.say(&floor(3, idle(1)));
    bench.say(&floor(3, taken(2, 60, 1)));
    bench.take();
    say_plays_after(&mut bench, 2, Some(20_000));
    assert!(bench.outputs.iter().any(|o| matches!(o, Output::StartPlayback { .. })));
    assert_eq!(missed(&mut bench), []);
}

#[test]
fn a_device_that_is_not_to_be_disturbed_keeps_no_other_from_playing() {
    let mut bench = aloud();
    say_plays(&mut bench, 77);
    bench.take();
    bench.input(Input::Command(Command::SetHearing { hearing: Hearing::Nothing }));
    assert_eq!(bench.sent(), [ClientMessage::PlayingStopped {}]);
    bench.say(&floor(3, taken(1, 60, 1)));
    assert_eq!(states(&mut bench), [HeardState::Missed], "nobody is relied on");
    // Its own speech from elsewhere is no more played than before.
    bench.say(&floor(4, emergency(2, OWN, 2)));
    assert_eq!(plays(&mut bench), []);
    bench.pass(ms(500));
    bench.take();
    bench.input(Input::Command(Command::Used));
    assert!(said(&mut bench).is_empty());
    bench.input(Input::Command(Command::SetHearing { hearing: Hearing::All }));
    assert_eq!(said(&mut bench), [0]);
}

#[test]
fn a_device_that_was_told_nothing_on_its_connection_plays() {
    let mut bench = aloud();
    say_plays(&mut bench, 77);
    bench.take();
    bench.input(Input::Closed { link: bench.link, code: None, detail: String::new() });
    assert!(bench.outputs.contains(&Output::Notice(Notice::Playing { elsewhere: None })));
    bench.pass(Duration::from_secs(5));
    bench.connect();
    assert_eq!(said(&mut bench).len(), 1, "it says again that it plays");
    bench.say(&floor(3, taken(5, 60, 5)));
    // It is told of the room before it may be told who plays.
    assert!(
        bench.outputs.iter().all(|o| !matches!(o, Output::Notice(Notice::Heard { state: HeardState::Elsewhere, .. })))
    );
    // One that is heard by nobody claims nothing, and is silenced by nothing.
    bench.input(Input::Command(Command::Aloud { on: false }));
    assert!(bench.sent().contains(&ClientMessage::PlayingStopped {}));
    say_plays(&mut bench, 77);
    assert_eq!(bench.notices(), []);
}

/// Lets time pass while the server answers, and gives what was sent.
fn pass(bench: &mut Bench, span: Duration) -> Vec<ClientMessage> {
    let (end, mut all) = (bench.now + span, vec![]);
    while bench.now < end {
        bench.pass(ms(500));
        let sent = bench.sent();
        for message in &sent {
            if let ClientMessage::Ping { nonce, .. } = message {
                bench.say(&ServerMessage::Pong { nonce: *nonce, server_time: UnixMs(0), presence_ms: None });
            }
        }
        all.extend(sent);
    }
    all
}

#[test]
fn use_is_said_at_once_where_it_moves_the_sound_and_seldom_where_it_plays() {
    let mut bench = aloud();
    say_plays(&mut bench, 2);
    let mut sent = vec![];
    for _ in 0..20 {
        sent.extend(pass(&mut bench, Duration::from_secs(2)));
        bench.input(Input::Command(Command::Used));
    }
    sent.retain(|message| matches!(message, ClientMessage::PlayingHere { .. }));
    assert_eq!(sent.len(), 1, "once in {PLAYING_USED_HERE:?}: {sent:?}");
    pass(&mut bench, Duration::from_secs(3));
    say_plays(&mut bench, 77);
    assert_eq!(said(&mut bench), [3_000], "what was not said may be later than what the server goes by");
    say_plays(&mut bench, 77);
    bench.input(Input::Command(Command::Used));
    bench.input(Input::Command(Command::Used));
    assert!(said(&mut bench).is_empty(), "not more often than once in {PLAYING_USED:?}");
    bench.pass(PLAYING_USED);
    assert_eq!(said(&mut bench), [1_000]);
    say_plays(&mut bench, 77);
    bench.pass(PLAYING_USED);
    bench.input(Input::Command(Command::Used));
    assert_eq!(said(&mut bench), [0]);
    // A press is use.
    say_plays(&mut bench, 77);
    bench.pass(PLAYING_USED);
    bench.input(Input::Command(Command::KeyDown {
        room: id(3),
        burst: burst(9),
        priority: crate::model::Priority::Normal,
        queue: false,
        when_free: false,
        frame_ms: crate::units::FrameMs::Ms20,
        bitrate: crate::units::Bitrate(24_000),
    }));
    assert_eq!(said(&mut bench), [0]);
}

#[test]
fn a_device_that_others_rely_on_gives_signs_of_life_though_it_was_put_away() {
    let mut bench = aloud();
    bench.input(Input::Command(Command::PutAway { idle: true }));
    pass(&mut bench, 8 * HEARTBEAT_IDLE_MAX);
    say_plays(&mut bench, 2);
    let pings = |sent: Vec<ClientMessage>| -> Vec<Option<u32>> {
        let pings = sent.into_iter();
        pings.filter_map(|m| if let ClientMessage::Ping { next_ms, .. } = m { Some(next_ms) } else { None }).collect()
    };
    let taken_back = pings(pass(&mut bench, ms(500)));
    assert_eq!(taken_back, [None], "it takes its promise back at once");
    let kept = pings(pass(&mut bench, 8 * HEARTBEAT));
    assert!(kept.len() >= 7 && kept.iter().all(Option::is_none), "{kept:?}");
    bench.say(&ServerMessage::Playing { device: id(2), among: 1, last_sign_ms: None });
    let alone = pings(pass(&mut bench, 8 * HEARTBEAT_IDLE_MAX));
    assert_eq!(alone.last(), Some(&Some(120_000)), "alone it may sleep again");
}
