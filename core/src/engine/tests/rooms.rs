//! Events in order without holes, and sends that are answered once.

use super::*;

const HISTORY: u8 = 9;

fn event(seq: u64) -> Event {
    Event {
        room: id(3),
        seq: Seq(seq),
        received_at: UnixMs(seq),
        user: id(1),
        device: id(2),
        client_id: id(4),
        body: EventBody::MessagePosted { text: seq.to_string(), reply_to: None },
    }
}

fn cursor(seq: u64) -> Cursor {
    Cursor { incarnation: id(HISTORY), seq: Seq(seq) }
}

fn events(range: core::ops::RangeInclusive<u64>) -> ServerMessage {
    ServerMessage::Events { room: id(3), incarnation: id(HISTORY), events: range.map(event).collect() }
}

/// A page; `0..=0` is one without events.
fn page(range: core::ops::RangeInclusive<u64>, head: u64) -> Result<crate::wire::rest::EventPage, FetchError> {
    Ok(crate::wire::rest::EventPage {
        next: cursor(*range.end()),
        events: range.filter(|seq| *seq > 0).map(event).collect(),
        head: cursor(head),
        first_seq: Seq(1),
    })
}

fn subscribed(bench: &mut Bench, head: u64) {
    let request = bench
        .sent()
        .into_iter()
        .rev()
        .find_map(|m| if let ClientMessage::Subscribe { request, .. } = m { Some(request) } else { None })
        .expect("a subscription");
    bench.say(&ServerMessage::Subscribed {
        request,
        room: id(3),
        role: Role::Talker,
        head: cursor(head),
        first_seq: Seq(1),
        epoch: Epoch(0),
        floor: FloorState::Idle { token: FloorToken::default() },
        emergencies: vec![],
    });
}

fn following(at: Option<u64>, head: u64) -> Bench {
    let mut bench = Bench::up();
    bench.input(Input::Command(Command::Follow { room: id(3), cursor: at.map(cursor), voice: true }));
    subscribed(&mut bench, head);
    bench
}

fn seen(bench: &mut Bench) -> Vec<u64> {
    bench.notices().into_iter().filter_map(|n| if let Notice::Event(e) = n { Some(e.seq.0) } else { None }).collect()
}

#[test]
fn a_subscription_goes_on_where_the_last_one_ended() {
    let mut bench = following(None, 5);
    bench.say(&events(6..=8));
    assert_eq!(seen(&mut bench), [6, 7, 8]);
    bench.input(Input::Closed { link: bench.link, code: None, detail: String::new() });
    bench.input(Input::NetworkUp);
    bench.connect();
    let again = bench
        .sent()
        .into_iter()
        .find_map(|m| if let ClientMessage::Auth { rooms, .. } = m { Some(rooms) } else { None })
        .expect("the first message is auth");
    assert_eq!(again.iter().map(|follow| follow.cursor).collect::<Vec<_>>(), [Some(cursor(8))]);
}

#[test]
fn what_comes_twice_is_handed_on_once_and_the_cursor_is_kept() {
    let mut bench = following(Some(0), 4);
    bench.say(&events(1..=3));
    bench.say(&events(2..=4));
    let outputs = bench.take();
    let kept = outputs
        .iter()
        .filter_map(|o| if let Output::Store(Store::Cursor { cursor, .. }) = o { Some(cursor.seq.0) } else { None });
    assert_eq!(kept.collect::<Vec<_>>(), [3, 4]);
    bench.outputs = outputs;
    assert_eq!(seen(&mut bench), [1, 2, 3, 4]);
}

#[test]
fn a_hole_is_fetched_and_what_follows_it_waits() {
    let mut bench = following(Some(0), 0);
    bench.say(&events(1..=1));
    bench.say(&events(4..=5));
    let outputs = bench.take();
    assert!(outputs.contains(&Output::FetchEvents { room: id(3), after: cursor(1) }));
    assert!(outputs.contains(&Output::Notice(Notice::EventsMissing { room: id(3), after: Seq(1), found: Seq(4) })));
    bench.say(&events(6..=6));
    assert_eq!(seen(&mut bench), [0; 0]);
    bench.input(Input::EventsFetched { room: id(3), page: page(2..=3, 6) });
    assert_eq!(seen(&mut bench), [2, 3, 4, 5, 6]);
}

#[test]
fn a_fetch_that_fails_or_gives_too_little_is_tried_again_but_not_at_once() {
    let mut bench = following(Some(0), 0);
    bench.say(&events(3..=3));
    bench.take();
    for answer in [Err(FetchError::Later("no network".into())), page(0..=0, 3)] {
        bench.input(Input::EventsFetched { room: id(3), page: answer });
        assert!(!bench.take().iter().any(|o| matches!(o, Output::FetchEvents { .. })));
        bench.pass(ms(2_000));
        assert!(bench.take().contains(&Output::FetchEvents { room: id(3), after: cursor(0) }));
    }
    bench.input(Input::EventsFetched { room: id(3), page: page(1..=2, 3) });
    assert_eq!(seen(&mut bench), [1, 2, 3]);
}

#[test]
fn a_lost_history_is_told_and_what_follows_is_taken() {
    let mut bench = following(Some(7), 40);
    bench.say(&ServerMessage::HistoryGap { room: id(3), incarnation: id(HISTORY), first_seq: Seq(30) });
    bench.say(&events(30..=31));
    assert_eq!(seen(&mut bench), [30, 31]);
}

fn text(n: u8) -> Command {
    Command::Send {
        room: id(3),
        client_id: id(n),
        body: EventBody::MessagePosted { text: n.to_string(), reply_to: None },
    }
}

fn sends(bench: &mut Bench) -> Vec<ClientId> {
    let ids = bench
        .sent()
        .into_iter()
        .filter_map(|m| if let ClientMessage::Send { client_id, .. } = m { Some(client_id) } else { None });
    ids.collect()
}

#[test]
fn a_send_without_an_answer_is_sent_again_with_the_same_name_after_a_reconnect() {
    let mut bench = following(None, 0);
    bench.input(Input::Command(text(1)));
    bench.input(Input::Command(text(2)));
    assert_eq!(sends(&mut bench), [id(1), id(2)]);
    bench.say(&ServerMessage::Ack {
        room: id(3),
        client_id: id(1),
        seq: Seq(1),
        incarnation: id(9),
        received_at: UnixMs(0),
    });
    bench.input(Input::Closed { link: bench.link, code: None, detail: String::new() });
    bench.input(Input::Command(text(3)));
    assert_eq!(sends(&mut bench), []);
    bench.input(Input::NetworkUp);
    bench.connect();
    assert_eq!(sends(&mut bench), [id(2), id(3)]);
}

#[test]
fn a_send_is_kept_before_it_is_sent_and_forgotten_when_it_is_answered() {
    let mut bench = following(None, 0);
    bench.take();
    bench.input(Input::Command(text(1)));
    let outputs = bench.take();
    let kept = outputs.iter().position(|o| matches!(o, Output::Store(Store::Send { .. }))).expect("kept");
    let sent = outputs.iter().position(|o| matches!(o, Output::Send { .. })).expect("sent");
    assert!(kept < sent);
    bench.say(&ServerMessage::Ack {
        room: id(3),
        client_id: id(1),
        seq: Seq(1),
        incarnation: id(9),
        received_at: UnixMs(5),
    });
    assert!(bench.outputs.contains(&Output::Store(Store::SendDone {
        client_id: id(1),
        place: Some(Cursor { incarnation: id(9), seq: Seq(1) })
    })));
    // A second answer, from an earlier sending, says nothing new.
    bench.take();
    bench.say(&ServerMessage::Ack {
        room: id(3),
        client_id: id(1),
        seq: Seq(1),
        incarnation: id(9),
        received_at: UnixMs(5),
    });
    assert_eq!(bench.take(), []);
}

#[test]
fn not_now_is_tried_again_in_order_and_never_is_told() {
    use crate::wire::problem::{Problem, ProblemKind};
    let mut bench = following(None, 0);
    bench.input(Input::Command(text(1)));
    bench.take();
    let later = Problem::new(ProblemKind::RateLimited, "slower").retry_after_s(3);
    bench.say(&ServerMessage::Refused {
        room: id(3),
        client_id: Some(id(1)),
        request: None,
        burst: None,
        problem: later.clone(),
    });
    let state = SendState::PutOff { problem: later };
    assert!(bench.take().contains(&Output::Notice(Notice::Send { room: id(3), client_id: id(1), state })));
    bench.input(Input::Command(text(2)));
    assert_eq!(sends(&mut bench), [], "the second must not overtake the first");
    bench.pass(ms(2_900));
    assert_eq!(sends(&mut bench), []);
    bench.pass(ms(2_000));
    assert_eq!(sends(&mut bench), [id(1), id(2)]);
    let never = Problem::new(ProblemKind::Forbidden, "no");
    bench.say(&ServerMessage::Refused {
        room: id(3),
        client_id: Some(id(1)),
        request: None,
        burst: None,
        problem: never.clone(),
    });
    let state = SendState::Refused { problem: never };
    assert!(bench.take().contains(&Output::Notice(Notice::Send { room: id(3), client_id: id(1), state })));
}

#[test]
fn the_number_of_waiting_sends_is_bounded() {
    let mut bench = Bench::new();
    for n in 0..=SENDS_WAITING_MAX {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&n.to_be_bytes());
        let client_id = ClientId::from_bytes(bytes);
        let body = EventBody::MessagePosted { text: "x".into(), reply_to: None };
        bench.take();
        bench.input(Input::Command(Command::Send { room: id(3), client_id, body }));
    }
    assert!(matches!(bench.notices()[..], [Notice::Send { state: SendState::TooMany, .. }]));
}
