//! What the screens show, from what a host tells.

use core::time::Duration;

use dioxus::prelude::VirtualDom;
use futures_channel::mpsc::unbounded;
use holler_core::engine::{LinkReason, SendState};
use holler_core::model::{BurstHeader, Codec, Event, EventBody, Priority, RoomKind};
use holler_core::units::{Bitrate, ClientId, Cursor, DeviceId, Epoch, FloorToken, FrameMs, Incarnation, Seq, UnixMs};
use holler_core::wire::rest::Room;

use super::*;
use crate::port::Host;

const ROOM: RoomId = RoomId::from_bytes([1; 16]);
const ME: UserId = UserId::from_bytes([2; 16]);
const OTHER: UserId = UserId::from_bytes([3; 16]);
const BURST: BurstId = BurstId::from_bytes([4; 16]);
const NOW: f64 = 1_000.0;

fn view() -> View {
    let mut view = View::default();
    let identity = Identity { user: ME, device: DeviceId::from_bytes([2; 16]), login: "me".into() };
    view.apply(NOW, Told::SignedIn(identity));
    let head = Cursor { incarnation: Incarnation::from_bytes([9; 16]), seq: Seq(0) };
    let room = Room {
        id: ROOM,
        name: "Site".into(),
        kind: RoomKind::Group,
        role: Some(Role::Talker),
        members: 2,
        head,
        talk_limit_s: None,
    };
    view.apply(NOW, Told::Directory { workspace: "W".into(), rooms: vec![room], people: Vec::new() });
    let device = DeviceId::from_bytes([2; 16]);
    view.apply(NOW, Told::Notice(Notice::Link(LinkState::Up { user: ME, device })));
    view.look_at(Some(ROOM));
    view
}

fn event(seq: u64, user: UserId, client_id: u8, body: EventBody) -> Told {
    Told::Notice(Notice::Event(Box::new(Event {
        room: ROOM,
        seq: Seq(seq),
        received_at: UnixMs(0),
        user,
        device: DeviceId::from_bytes([7; 16]),
        client_id: ClientId::from_bytes([client_id; 16]),
        body,
    })))
}

fn posted(text: &str) -> EventBody {
    EventBody::MessagePosted { text: text.into(), reply_to: None }
}

fn talk(view: &mut View, state: TalkState) -> Vec<Ask> {
    view.apply(NOW, Told::Notice(Notice::Talk { room: ROOM, burst: BURST, state }))
}

fn taken_by_another() -> FloorState {
    let header = BurstHeader {
        burst: BURST,
        codec: Codec::Opus,
        frame_ms: FrameMs::Ms20,
        bitrate: Bitrate(24_000),
        key_epoch: Epoch(0),
    };
    FloorState::Taken {
        token: FloorToken::default(),
        user: OTHER,
        device: DeviceId::from_bytes([3; 16]),
        priority: Priority::Normal,
        header,
        since_ms: 0,
    }
}

#[test]
fn it_is_time_to_speak_only_when_the_floor_is_granted_and_the_microphone_runs() {
    let granted = || TalkState::Granted { access: Duration::ZERO, until: Duration::from_secs(60) };
    for speak_now_first in [true, false] {
        let mut view = view();
        assert!(view.press(false));
        let (first, second) =
            if speak_now_first { (TalkState::SpeakNow, granted()) } else { (granted(), TalkState::SpeakNow) };
        assert_eq!(talk(&mut view, first), []);
        assert_eq!(talk(&mut view, second), [Ask::Tone(Tone::Grant)]);
        let press = view.press.as_ref().unwrap();
        assert!(press.recording && matches!(press.state, PressState::Granted { until: Some(61_000.0) }));
    }
}

#[test]
fn a_press_ends_once_and_none_begins_where_one_may_not_talk() {
    let mut view = view();
    assert!(!view.release(), "nothing is held");
    assert!(view.press(false));
    assert!(!view.press(false), "it is held already");
    assert!(view.release());
    assert!(!view.release());
    view.apply(NOW, Told::Notice(Notice::Role { room: ROOM, role: Some(Role::Listener) }));
    assert!(!view.press(false));
}

#[test]
fn a_recording_that_failed_says_why_at_the_button() {
    let mut view = view();
    view.press(false);
    talk(&mut view, TalkState::Starting);
    view.apply(NOW, Told::Notice(Notice::Fault { detail: "recording: no microphone".into() }));
    talk(&mut view, TalkState::Failed { detail: "nothing was recorded".into() });
    let press = view.press.as_ref().unwrap();
    assert_eq!(press.state, PressState::Failed { words: "no microphone".into() });
    assert!(!press.held && view.faults.is_empty());
}

#[test]
fn ones_own_text_stands_once_waiting_and_then_sent() {
    let mut view = view();
    let id = ClientId::from_bytes([5; 16]);
    view.rooms.get_mut(&ROOM).unwrap().send(id, ME, 0, "hello".into());
    let waits = |view: &View| match view.rooms[&ROOM].items.as_slice() {
        [Item::Text(text)] => text.seq.is_none(),
        other => panic!("{other:?}"),
    };
    assert!(waits(&view));
    let state = SendState::Acked { seq: Seq(1), received_at: UnixMs(0) };
    view.apply(NOW, Told::Notice(Notice::Send { room: ROOM, client_id: id, state }));
    assert!(!waits(&view));
    view.apply(NOW, event(1, ME, 5, posted("hello")));
    assert!(!waits(&view));
}

#[test]
fn edits_and_deletions_change_what_is_shown() {
    let mut view = view();
    view.apply(NOW, event(1, OTHER, 1, posted("one")));
    view.apply(NOW, event(2, OTHER, 2, posted("two")));
    view.apply(NOW, event(3, OTHER, 3, EventBody::MessageEdited { target: Seq(1), text: "uno".into() }));
    view.apply(NOW, event(4, OTHER, 4, EventBody::MessageDeleted { target: Seq(2) }));
    let texts: Vec<_> = view.rooms[&ROOM]
        .items
        .iter()
        .map(|item| match item {
            Item::Text(text) => (text.text.clone(), text.edited),
            Item::Burst { .. } | Item::Emergency { .. } | Item::Gap => panic!("{item:?}"),
        })
        .collect();
    assert_eq!(texts, [(Some("uno".to_owned()), true), (None, false)]);
}

#[test]
fn without_a_connection_nobody_is_said_to_talk() {
    let mut view = view();
    view.apply(NOW, Told::Notice(Notice::Floor { room: ROOM, floor: taken_by_another() }));
    assert!(view.rooms[&ROOM].talker.is_some());
    let reason = LinkReason::Lost { detail: "x".into() };
    let waiting = LinkState::Waiting { reason, retry_in: Duration::from_secs(2) };
    view.apply(NOW, Told::Notice(Notice::Link(waiting)));
    assert!(view.rooms[&ROOM].talker.is_none());
    assert!(matches!(view.link, Link::Down { retry_at: 3_000.0, .. }));
}

#[test]
fn what_comes_into_another_room_is_counted_and_ones_own_is_not() {
    let mut view = view();
    view.look_at(None);
    view.apply(NOW, event(1, OTHER, 1, posted("one")));
    view.apply(NOW, event(2, ME, 2, posted("mine")));
    assert_eq!(view.rooms[&ROOM].unread, 1);
    view.look_at(Some(ROOM));
    assert_eq!(view.rooms[&ROOM].unread, 0);
}

#[test]
fn a_timeline_is_bounded() {
    let mut view = view();
    for seq in 1..=600 {
        view.apply(NOW, event(seq, OTHER, 1, EventBody::EmergencyRaised {}));
    }
    assert_eq!(view.rooms[&ROOM].items.len(), 500);
}

#[test]
fn signing_out_leaves_nothing_of_the_person() {
    let mut view = view();
    view.apply(NOW, Told::Audible(true));
    view.apply(NOW, Told::SignedOut { reason: None });
    let account = Account::SignedOut { reason: None, busy: false };
    assert_eq!(view, View { account, audible: true, ..View::default() });
}

fn drawn(view: View) -> String {
    let (_, inbox) = unbounded();
    let host = Host::new(|_| {}, || NOW, |_| "12:00".into(), || [0; 16]);
    let mut dom: VirtualDom = crate::dom_of(host, inbox, view);
    dom.rebuild_in_place();
    dioxus_ssr::render(&dom)
}

#[test]
fn text_is_text() {
    let mut view = view();
    view.apply(NOW, event(1, OTHER, 1, posted("<script>alert(1)</script>")));
    let page = drawn(view);
    assert!(!page.contains("<script>"), "{page}");
    assert!(page.contains("alert(1)"), "{page}");
}

#[test]
fn every_screen_draws() {
    for (view, words) in [
        (View::default(), "Starting Holler"),
        (
            View { account: Account::SignedOut { reason: Some("Wrong".into()), busy: false }, ..View::default() },
            "Wrong",
        ),
        (view(), "Hold to talk"),
    ] {
        let page = drawn(view);
        assert!(page.contains(words), "{words}: {page}");
    }
}
