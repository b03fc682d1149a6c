//! Coming, staying, going, and coming back.

use super::*;
use crate::wire::limits::SILENCE_MAX;
use crate::wire::socket::CloseCode;

fn waiting(notices: &[Notice]) -> Option<(LinkReason, Duration)> {
    notices.iter().rev().find_map(|notice| {
        if let Notice::Link(LinkState::Waiting { reason, retry_in }) = notice {
            Some((reason.clone(), *retry_in))
        } else {
            None
        }
    })
}

#[test]
fn the_first_message_is_auth_and_the_round_trip_is_measured_and_told() {
    let mut bench = Bench::up();
    let sent = bench.sent();
    assert!(matches!(&sent[0], ClientMessage::Auth { token, .. } if token == "t"));
    let ClientMessage::Ping { nonce, rtt_us: None, .. } = sent[1] else {
        panic!("expected a ping, found {:?}", sent[1])
    };
    bench.now = bench.now + ms(80);
    bench.say(&ServerMessage::Pong { nonce, server_time: UnixMs(0), presence_ms: None });
    let outputs = bench.sent();
    assert!(matches!(outputs[..], [ClientMessage::Ping { rtt_us: Some(80_000), .. }]), "{outputs:?}");
}

#[test]
fn without_a_token_one_is_fetched_before_anything_is_connected() {
    let mut bench = Bench::new();
    bench.input(Input::Start);
    let outputs = bench.take();
    assert!(outputs.contains(&Output::RefreshToken) && !outputs.iter().any(|o| matches!(o, Output::Connect { .. })));
    bench.input(Input::Token { access: "t".into(), expires_in: ms(60_000) });
    assert!(bench.take().iter().any(|o| matches!(o, Output::Connect { .. })));
}

#[test]
fn a_token_is_refreshed_before_it_expires_and_told_on_the_same_socket() {
    let mut bench = Bench::up();
    let mut refreshed_at = None;
    for _ in 0..900 {
        bench.pong(ms(5));
        bench.pass(ms(1_000));
        if refreshed_at.is_none() && bench.outputs.contains(&Output::RefreshToken) {
            refreshed_at = Some(bench.now);
            bench.input(Input::Token { access: "t2".into(), expires_in: ms(900_000) });
            assert!(bench.outputs.iter().any(|o| matches!(o, Output::Send { text, .. } if text.contains("\"t2\""))));
        }
    }
    let at = refreshed_at.expect("a refresh").since(Mono(1_000_000));
    assert!((ms(800_000)..ms(900_000)).contains(&at), "{at:?}");
    assert_eq!(waiting(&bench.notices()), None);
}

#[test]
fn waits_grow_to_a_cap_and_never_vanish() {
    let mut bench = Bench::new();
    bench.input(Input::Token { access: "t".into(), expires_in: ms(10_000_000) });
    bench.input(Input::Start);
    let mut waits = Vec::new();
    for _ in 0..14 {
        let link = bench.asked_link();
        bench.take();
        let failure = ConnectFailure::Unreachable;
        bench.input(Input::ConnectFailed { link, failure, detail: String::new(), retry_after: None });
        let (_, wait) = waiting(&bench.notices()).expect("it should wait");
        waits.push(wait);
        bench.pass(wait);
    }
    assert!(waits.iter().all(|w| (ms(250)..=ms(30_000)).contains(w)), "{waits:?}");
    assert!(waits[0] <= ms(500) && waits[13] >= ms(15_000), "{waits:?}");
    // Drawn: clients that failed together do not come back together.
    assert!(waits[10..].windows(2).any(|w| w[0] != w[1]), "{waits:?}");
}

#[test]
fn the_network_coming_back_ends_the_wait() {
    let mut bench = Bench::up();
    for _ in 0..6 {
        bench.input(Input::Closed { link: bench.link, code: None, detail: "reset".into() });
        bench.pass(ms(100));
        bench.take();
        bench.input(Input::NetworkUp);
        assert!(bench.outputs.iter().any(|o| matches!(o, Output::Connect { .. })));
        bench.connect();
    }
}

#[test]
fn silence_ends_a_connection_and_a_dead_path_is_found_by_asking() {
    let mut bench = Bench::up();
    while bench.pong(ms(5)) > 0 {}
    let quiet_since = bench.now;
    let mut lost = None;
    while lost.is_none() && bench.now.since(quiet_since) < 2 * SILENCE_MAX {
        bench.pass(ms(100));
        lost = waiting(&bench.notices());
    }
    assert_eq!(lost.map(|(reason, _)| reason), Some(LinkReason::Silent));
    // A heartbeat after 15 s, and no answer to it.
    assert!(bench.now.since(quiet_since) <= SILENCE_MAX, "{:?}", bench.now.since(quiet_since));
}

#[test]
fn an_idle_connection_says_little() {
    let mut bench = Bench::up();
    while bench.pong(ms(5)) > 0 {}
    let mut pings = 0;
    for _ in 0..600 {
        bench.pass(ms(100));
        pings += bench.pong(ms(0));
    }
    assert!((3..=4).contains(&pings), "{pings} pings in a minute");
}

#[test]
fn close_codes_decide_whether_it_comes_back() {
    for code in CloseCode::ALL {
        let mut bench = Bench::up();
        bench.take();
        bench.input(Input::Closed { link: bench.link, code: Some(code.number()), detail: String::new() });
        bench.pass(ms(60));
        let outputs = bench.take();
        let ended =
            outputs.contains(&Output::Notice(Notice::Link(LinkState::Ended { reason: LinkReason::Closed(*code) })));
        assert_eq!(ended, !code.resumable(), "{code:?}");
        assert_eq!(outputs.contains(&Output::RefreshToken), *code == CloseCode::TokenExpired, "{code:?}");
    }
}

#[test]
fn news_of_an_old_connection_changes_nothing() {
    let mut bench = Bench::up();
    let old = bench.link;
    bench.input(Input::Closed { link: old, code: None, detail: String::new() });
    bench.input(Input::NetworkUp);
    bench.connect();
    bench.take();
    bench.input(Input::Closed { link: old, code: Some(4102), detail: String::new() });
    bench.input(Input::Text { link: old, text: "?".into() });
    bench.input(Input::Binary { link: old, bytes: Bytes::from_static(b"?") });
    assert_eq!(bench.take(), []);
}

#[test]
fn a_message_of_a_newer_server_is_ignored_and_one_that_is_broken_is_told() {
    let mut bench = Bench::up();
    bench.take();
    bench.input(Input::Text { link: bench.link, text: r#"{"type":"weather","rain":true}"#.into() });
    assert_eq!(bench.take(), []);
    bench.input(Input::Text { link: bench.link, text: r#"{"type":"pong","nonce":"no"}"#.into() });
    assert!(matches!(bench.notices()[..], [Notice::Fault { .. }]));
}

#[test]
fn a_draining_server_is_left_and_met_again_when_it_said() {
    let mut bench = Bench::up();
    bench.take();
    bench.say(&ServerMessage::Draining { reconnect_after_ms: 1_234 });
    assert_eq!(waiting(&bench.notices()), Some((LinkReason::Draining, ms(1_234))));
    bench.pass(ms(1_233));
    assert_eq!(bench.take(), []);
    bench.pass(ms(1));
    assert!(bench.take().iter().any(|o| matches!(o, Output::Connect { .. })));
}

#[test]
fn when_the_network_returns_a_try_over_the_old_path_is_not_waited_for() {
    let mut bench = Bench::new();
    bench.input(Input::Token { access: "t".into(), expires_in: ms(10_000_000) });
    bench.input(Input::Start);
    let connects = |outputs: &[Output]| {
        outputs
            .iter()
            .filter_map(|o| if let Output::Connect { link } = o { Some(*link) } else { None })
            .collect::<Vec<_>>()
    };
    let first = connects(&bench.take());
    bench.pass(ms(3_000));
    bench.input(Input::NetworkUp);
    let outputs = bench.take();
    assert!(outputs.contains(&Output::Disconnect { link: first[0] }), "{outputs:?}");
    let second = connects(&outputs);
    assert!(second.len() == 1 && second != first);
}

#[test]
fn sending_again_and_again_without_an_answer_is_no_sign_of_life() {
    let mut bench = Bench::up();
    bench.pong(ms(20));
    bench.pass(ms(1_000));
    let started = bench.now;
    let mut n = 0;
    while waiting(&bench.notices()).is_none() && bench.now.since(started) < ms(60_000) {
        n += 1;
        let body = EventBody::MessagePosted { text: "on my way".into(), reply_to: None };
        bench.input(Input::Command(Command::Send { room: id(3), client_id: id(n), body }));
        bench.pass(ms(4_000));
    }
    let took = bench.now.since(started);
    assert!(took < ms(30_000), "a dead connection was found after {took:?} only");
}

#[test]
fn an_auth_that_came_too_late_is_tried_again() {
    let mut bench = Bench::new();
    bench.input(Input::Token { access: "t".into(), expires_in: ms(10_000_000) });
    bench.input(Input::Start);
    let link = bench.take().iter().find_map(|o| if let Output::Connect { link } = o { Some(*link) } else { None });
    let link = link.expect("a connection");
    bench.input(Input::Connected { link });
    bench.input(Input::Closed { link, code: Some(CloseCode::AuthExpected.number()), detail: String::new() });
    assert!(waiting(&bench.notices()).is_some());
}

#[test]
fn a_server_that_names_a_wait_is_left_alone_for_it() {
    let mut bench = Bench::new();
    bench.input(Input::Token { access: "t".into(), expires_in: ms(10_000_000) });
    bench.input(Input::Start);
    let link = bench.asked_link();
    bench.take();
    let (failure, retry_after) = (ConnectFailure::Handshake, Some(Duration::from_secs(20)));
    bench.input(Input::ConnectFailed { link, failure, detail: "503".into(), retry_after });
    let (_, wait) = waiting(&bench.notices()).expect("it should wait");
    assert!((ms(20_250)..=ms(20_500)).contains(&wait), "{wait:?}");
    // Not for ever, whatever it says.
    bench.pass(wait);
    let link = bench.asked_link();
    bench.take();
    let retry_after = Some(Duration::from_secs(1_000_000));
    bench.input(Input::ConnectFailed { link, failure, detail: "503".into(), retry_after });
    let (_, wait) = waiting(&bench.notices()).expect("it should wait");
    assert!(wait <= Duration::from_secs(601), "{wait:?}");
}

#[test]
fn a_network_that_flaps_does_not_use_up_the_server() {
    let mut bench = Bench::new();
    bench.input(Input::Token { access: "t".into(), expires_in: ms(10_000_000) });
    bench.input(Input::Start);
    let mut attempts = 0;
    for _ in 0..600 {
        // For ten minutes, the network comes back every second, and the server can't be reached.
        let asked = |output: Output| if let Output::Connect { link } = output { Some(link) } else { None };
        let links: Vec<LinkNo> = bench.take().into_iter().filter_map(asked).collect();
        attempts += links.len();
        if let Some(link) = links.last().copied() {
            let (failure, detail, retry_after) = (ConnectFailure::Unreachable, String::new(), None);
            bench.input(Input::ConnectFailed { link, failure, detail, retry_after });
        }
        bench.pass(ms(1_000));
        bench.input(Input::NetworkUp);
    }
    assert!((90..=110).contains(&attempts), "{attempts} attempts in ten minutes");
}

#[test]
fn a_press_of_the_button_does_not_wait_for_a_long_pause_to_end() {
    let mut bench = Bench::new();
    bench.input(Input::Token { access: "t".into(), expires_in: ms(10_000_000) });
    bench.input(Input::Start);
    let fail = |bench: &mut Bench, retry_after| {
        let link = bench.asked_link();
        bench.take();
        let (failure, detail) = (ConnectFailure::Unreachable, String::new());
        bench.input(Input::ConnectFailed { link, failure, detail, retry_after });
        waiting(&bench.notices()).expect("it should wait").1
    };
    for _ in 0..8 {
        let wait = fail(&mut bench, None);
        bench.pass(wait);
    }
    assert!(fail(&mut bench, None) >= ms(15_000));
    let press = |n: u8| {
        Input::Command(Command::KeyDown {
            room: id(3),
            burst: BurstId::from_bytes([n; 16]),
            priority: crate::model::Priority::Normal,
            queue: false,
            when_free: false,
            frame_ms: crate::units::FrameMs::Ms20,
            bitrate: crate::units::Bitrate(24_000),
        })
    };
    bench.input(press(1));
    bench.take();
    bench.pass(ms(500));
    // And while it is spoken, the waits are short; but a server's wish is heeded.
    assert!(fail(&mut bench, None) <= ms(1_000));
    bench.pass(ms(1_000));
    assert!(fail(&mut bench, Some(Duration::from_secs(30))) >= ms(30_000));
    bench.input(Input::NetworkUp);
    bench.pass(ms(20_000));
    assert!(!bench.take().iter().any(|output| matches!(output, Output::Connect { .. })));
}

/// One try after the other fails, each after a wait of at least so long, until one begins. How long it waited.
fn next_wait(bench: &mut Bench) -> Duration {
    let link = bench.asked_link();
    bench.take();
    let failure = ConnectFailure::Unreachable;
    bench.input(Input::ConnectFailed { link, failure, detail: String::new(), retry_after: None });
    waiting(&bench.notices()).expect("it should wait").1
}

#[test]
fn a_server_that_restarts_is_met_within_a_second() {
    let mut bench = Bench::up();
    while bench.pong(ms(20)) > 0 {}
    bench.pass(ms(10_000));
    bench.take();
    let lost = bench.now;
    bench.input(Input::Closed { link: bench.link, code: None, detail: "reset".into() });
    let (_, mut wait) = waiting(&bench.notices()).expect("it should wait");
    while bench.now.since(lost) < ms(9_000) {
        assert!(wait <= ms(1_000), "{wait:?} after {:?}", bench.now.since(lost));
        bench.pass(wait);
        wait = next_wait(&mut bench);
    }
    // One that stays away is left alone more and more.
    for _ in 0..6 {
        bench.pass(wait);
        wait = next_wait(&mut bench);
    }
    assert!(wait >= ms(15_000), "{wait:?}");
}

#[test]
fn a_sign_of_the_network_ends_a_long_wait_and_nothing_else() {
    let mut bench = Bench::new();
    bench.input(Input::Token { access: "t".into(), expires_in: ms(10_000_000) });
    bench.input(Input::Start);
    let connects = |bench: &mut Bench| bench.take().iter().any(|o| matches!(o, Output::Connect { .. }));
    // What is tried already goes on.
    let first = bench.asked_link();
    bench.take();
    bench.input(Input::NetworkSign);
    assert_eq!(bench.take(), []);
    bench.input(Input::ConnectFailed {
        link: first,
        failure: ConnectFailure::Unreachable,
        detail: String::new(),
        retry_after: None,
    });
    for _ in 0..8 {
        let wait = waiting(&bench.notices()).expect("it should wait").1;
        bench.pass(wait);
        let link = bench.asked_link();
        bench.take();
        let failure = ConnectFailure::Unreachable;
        bench.input(Input::ConnectFailed { link, failure, detail: String::new(), retry_after: None });
    }
    assert!(waiting(&bench.notices()).expect("it should wait").1 >= ms(15_000));
    // Just tried: the sign says nothing new.
    bench.input(Input::NetworkSign);
    assert!(!connects(&mut bench));
    bench.pass(ms(10_000));
    bench.input(Input::RosterFetched { answer: Ok(()) });
    assert!(connects(&mut bench), "the server answered, and is not tried");
}
