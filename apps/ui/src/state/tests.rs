//! What the screens show, from what a host tells.

use core::time::Duration;

use dioxus::prelude::VirtualDom;
use futures_channel::mpsc::unbounded;
use holler_core::engine::{HeardState, Hearing, LinkReason, LinkState, Notice, PersonSeen, SendState, TalkState};
use holler_core::model::{BurstHeader, Codec, Event, EventBody, Priority, RoomKind, UserRole};
use holler_core::units::{Bitrate, ClientId, Cursor, DeviceId, Epoch, FloorToken, FrameMs, Incarnation, Seq, UnixMs};
use holler_core::wire::rest::{InviteOffer, Room};
use holler_core::wire::socket::FloorState;

use super::*;
use crate::port::{Host, WaitsWhat};

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
    view.apply(
        NOW,
        Told::Directory { workspace: "W".into(), rooms: vec![room], people: Vec::new(), invites_by: InvitesBy::Admins },
    );
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
        assert!(view.press(false, false));
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
    assert!(view.press(false, false));
    assert!(!view.press(false, false), "it is held already");
    assert!(view.release());
    assert!(!view.release());
    view.apply(NOW, Told::Notice(Notice::Role { room: ROOM, role: Some(Role::Listener) }));
    assert!(!view.press(false, false));
}

#[test]
fn a_click_that_nothing_holds_talks_until_the_next_one() {
    let mut view = view();
    assert!(view.press(false, true));
    assert!(!view.release(), "a key that comes up elsewhere does not end it");
    talk(&mut view, TalkState::SpeakNow);
    talk(&mut view, TalkState::Granted { access: Duration::ZERO, until: Duration::from_secs(60) });
    assert!(drawn(view.clone()).contains("Tap again when done"));
    assert!(view.end());
    assert!(view.press(false, false) && view.release(), "the next press is held as ever");
}

#[test]
fn what_is_said_in_the_echo_room_comes_back_from_the_server() {
    for (echo, name, members) in [(true, "Echo", 1), (false, "Echo", 2), (false, "Ben", 1)] {
        let mut view = view();
        let room = view.rooms.get_mut(&ROOM).unwrap();
        (room.kind, room.name, room.members) = (RoomKind::Direct, name.into(), members);
        assert_eq!(room.is_echo(), echo);
        view.press(false, false);
        talk(&mut view, TalkState::SpeakNow);
        talk(&mut view, TalkState::Ending);
        let replay = Ask::Replay { room: ROOM, burst: BURST, frame_ms: FrameMs::Ms20, from_ms: 0, speed: 100 };
        assert_eq!(talk(&mut view, TalkState::Delivered).contains(&replay), echo);
        assert!(!drawn(view.clone()).contains("came back from the server"), "it has not yet");
        view.apply(NOW, Told::Replaying(Some(BURST)));
        assert_eq!(drawn(view).contains("came back from the server"), echo);
    }
}

#[test]
fn an_emergency_is_cleared_with_a_connection_and_without_one_it_is_said_why_not() {
    let mut view = view();
    view.apply(NOW, Told::Notice(Notice::Emergencies { room: ROOM, raised_by: vec![ME] }));
    let connected = drawn(view.clone());
    assert!(connected.contains("Clear it") && !connected.contains("it can be cleared once you are"), "{connected}");
    view.apply(NOW, Told::Notice(Notice::Link(LinkState::Connecting { attempt: 1 })));
    let page = drawn(view);
    let button = page.split("<button").find(|button| button.contains("Clear it")).unwrap();
    assert!(button.contains("disabled") && page.contains("it can be cleared once you are"), "{page}");
    assert!(!connected.split("<button").any(|button| button.contains("Clear it") && button.contains("disabled")));
}

#[test]
fn a_recording_that_failed_says_why_at_the_button() {
    let mut view = view();
    view.press(false, false);
    talk(&mut view, TalkState::Starting);
    view.apply(NOW, Told::Notice(Notice::Fault { detail: "recording: NotFoundError".into() }));
    talk(&mut view, TalkState::Failed { detail: "nothing was recorded".into() });
    let press = view.press.as_ref().unwrap();
    assert_eq!(
        press.state,
        PressState::Failed { words: "There is no microphone. Connect one, then press again.".into() }
    );
    assert!(!press.held && view.faults.is_empty());
}

#[test]
fn ones_own_text_stands_once_waiting_and_then_sent() {
    let mut view = view();
    let id = ClientId::from_bytes([5; 16]);
    view.rooms.get_mut(&ROOM).unwrap().send(id, ME, 0, "hello".into(), None);
    let waits = |view: &View| {
        let timeline = &view.rooms[&ROOM].timeline;
        match (timeline.waiting(), timeline.len()) {
            ([Item::Text(text)], 0) => text.seq.is_none(),
            ([], 1) => false,
            other => panic!("{other:?}"),
        }
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
        .timeline
        .iter()
        .map(|item| match item {
            Item::Text(text) => (text.text.clone(), text.edited),
            Item::Burst(_) | Item::Emergency { .. } | Item::Seen { .. } | Item::Gap { .. } => panic!("{item:?}"),
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
fn what_a_tab_that_leads_anew_tells_again_stands_there_once() {
    let mut view = view();
    view.look_at(None);
    let Told::Notice(Notice::Event(first)) = event(1, OTHER, 1, posted("one")) else { panic!() };
    view.apply(NOW, Told::History { room: ROOM, events: vec![*first] });
    for seq in [1, 2, 2, 1, 3] {
        view.apply(NOW, event(seq, OTHER, u8::try_from(seq).unwrap(), posted("text")));
    }
    assert_eq!((view.rooms[&ROOM].timeline.len(), view.rooms[&ROOM].unread), (3, 2));
    // What came while no tab led is in the past that the next one fetches.
    let past = (2..=4).map(|seq| {
        let Told::Notice(Notice::Event(event)) = event(seq, OTHER, 1, posted("text")) else { panic!() };
        *event
    });
    view.apply(NOW, Told::History { room: ROOM, events: past.collect() });
    assert_eq!((view.rooms[&ROOM].timeline.len(), view.rooms[&ROOM].unread), (4, 3));
    // Another log, which begins anew.
    let head = Cursor { incarnation: Incarnation::from_bytes([8; 16]), seq: Seq(0) };
    notice(&mut view, Notice::Room { room: ROOM, role: Some(Role::Talker), head, first_seq: Seq(1) });
    view.apply(NOW, event(1, OTHER, 9, posted("of another log")));
    assert_eq!(view.rooms[&ROOM].timeline.len(), 1);
}

#[test]
fn a_timeline_is_bounded_and_draws_what_is_looked_at() {
    let mut view = view();
    let head = Cursor { incarnation: Incarnation::from_bytes([9; 16]), seq: Seq(51_500) };
    notice(&mut view, Notice::Room { room: ROOM, role: Some(Role::Talker), head, first_seq: Seq(1) });
    for seq in 1..=51_500 {
        view.apply(NOW, event(seq, OTHER, 1, EventBody::EmergencyRaised {}));
    }
    let room = &view.rooms[&ROOM];
    let kept = room.timeline.len();
    assert!((ITEMS_MAX..ITEMS_MAX + timeline::ITEMS_STEP).contains(&kept), "{kept}");
    assert_eq!(room.earlier(), None, "there is no room for more");
    assert_eq!(room.earliest, room.timeline.first_seq(), "what gave way can be fetched again once there is");
    let page = drawn(view);
    let lines = page.matches("emergency by").count();
    assert!((24..=72).contains(&lines), "{lines}");
}

/// A burst in the log that was ended by its sender, and what it came to here.
fn burst(view: &mut View, seq: u64, n: u8, missed: bool) {
    let FloorState::Taken { header, .. } = taken_by_another() else { panic!() };
    let burst = BurstId::from_bytes([n; 16]);
    let header = BurstHeader { burst, ..header };
    let (token, priority) = (Some(FloorToken::default()), Priority::Normal);
    let started = EventBody::BurstStarted { header, priority, token, spoken_ago_ms: 0, uncertainty_ms: 0 };
    view.apply(NOW, event(2 * seq - 1, OTHER, n, started));
    if missed {
        let state = holler_core::engine::HeardState::Missed;
        notice(view, Notice::Heard { room: ROOM, burst, user: OTHER, state });
    }
    let digest = holler_core::model::BurstDigest([0; 32]);
    let committed = EventBody::BurstCommitted { burst, last: holler_core::units::FrameNo(50), digest, missing: vec![] };
    view.apply(NOW, event(2 * seq, OTHER, n, committed));
}

#[test]
fn what_was_missed_plays_in_order_until_something_else_is_chosen() {
    let mut view = view();
    burst(&mut view, 1, 1, true);
    burst(&mut view, 2, 2, false);
    burst(&mut view, 3, 3, true);
    let id = |n| BurstId::from_bytes([n; 16]);
    let replay = |n| Ask::Replay { room: ROOM, burst: id(n), frame_ms: FrameMs::Ms20, from_ms: 0, speed: 100 };
    let missed = |view: &View| view.rooms[&ROOM].timeline.missed().count();
    assert!(drawn(view.clone()).contains("Play missed (2)"));
    assert_eq!(view.play_missed(), Some(replay(1)));
    assert_eq!(view.apply(NOW, Told::Replaying(Some(id(1)))), []);
    assert_eq!(missed(&view), 1, "what plays is missed no more");
    view.apply(NOW, Told::Heard(id(1)));
    assert_eq!(view.apply(NOW, Told::Replaying(None)), [replay(3)]);
    assert!(view.rooms[&ROOM].timeline.burst(id(1)).unwrap().heard, "it was played to its end");
    assert_eq!(view.apply(NOW, Told::Replaying(Some(id(2)))), [], "somebody chose another one");
    assert_eq!(view.apply(NOW, Told::Replaying(None)), []);
    assert!(!view.rooms[&ROOM].timeline.burst(id(2)).unwrap().heard, "it was stopped");
    assert_eq!(view.rooms[&ROOM].timeline.last_burst(), Some((id(3), FrameMs::Ms20)));
}

#[test]
fn a_burst_shows_its_waveform_only_where_it_was_decoded_and_its_player_while_it_plays() {
    let mut view = view();
    burst(&mut view, 1, 1, false);
    let id = BurstId::from_bytes([1; 16]);
    let page = drawn(view.clone());
    assert!(page.contains("1.0 s") && !page.contains("class=\"wave\"") && !page.contains("range"), "{page}");
    view.apply(NOW, Told::Wave { burst: id, bars: vec![0, 255], frames: 50 });
    let page = drawn(view.clone());
    assert!(page.contains("M2 11v2M6 0v24") && !page.contains("range"), "{page}");
    view.apply(NOW, Told::Replaying(Some(id)));
    let page = drawn(view.clone());
    assert!(
        page.contains("range") && page.contains("0.0 s of 1.0 s") && page.contains("aria-label=\"Stop\""),
        "{page}"
    );
}

#[test]
fn ones_own_text_can_be_changed_and_others_only_taken_back_by_who_dispatches() {
    let mut view = view();
    view.apply(NOW, event(1, OTHER, 1, posted("hello")));
    let answer = EventBody::MessagePosted { text: "yes".into(), reply_to: Some(Seq(1)) };
    view.apply(NOW, event(2, ME, 2, answer));
    assert!(drawn(view.clone()).contains("Somebody: hello"), "what is answered is shown");
    assert!(!view.rooms[&ROOM].may_delete_others());
    notice(&mut view, Notice::Role { room: ROOM, role: Some(Role::Dispatcher) });
    assert!(view.rooms[&ROOM].may_delete_others());
    view.compose = Some(Compose::Reply(Seq(1)));
    assert!(drawn(view.clone()).contains("You answer Somebody: hello"));
    view.apply(NOW, event(3, OTHER, 3, EventBody::MessageDeleted { target: Seq(1) }));
    assert!(drawn(view).contains("Somebody: Taken back"));
}

#[test]
fn a_room_that_is_gone_under_the_page_says_so_and_is_left_for_good() {
    let mut view = view();
    view.latch = true;
    assert!(view.press(false, false));
    assert_eq!(notice(&mut view, Notice::Role { room: ROOM, role: None }), [Ask::KeyUp], "nobody talks on");
    assert!(!view.press(false, false));
    let none = Told::Directory { workspace: "W".into(), rooms: vec![], people: vec![], invites_by: InvitesBy::Admins };
    view.apply(NOW, none);
    let page = drawn(view.clone());
    assert!(page.contains("no longer there for you") && page.contains("Back to the rooms"), "{page}");
    assert!(!page.contains("Hold to talk") && !page.contains("Write a message"), "{page}");
    view.look_at(None);
    assert!(view.rooms.is_empty());
}

#[test]
fn who_came_and_went_is_shown_with_the_time_only_where_it_was_seen() {
    let mut view = view();
    view.names.insert(OTHER, "Ben".into());
    let told = |joined, left, live| Told::Members { room: ROOM, joined, left, live };
    view.apply(NOW, told(vec![OTHER, ME], vec![], true));
    view.apply(NOW, told(vec![], vec![OTHER], false));
    notice(&mut view, Notice::Role { room: ROOM, role: Some(Role::Listener) });
    let page = drawn(view);
    assert!(page.contains("12:00: Ben joined the room") && page.contains("While you were away: Ben left"), "{page}");
    assert!(page.contains("12:00: you may now only listen here") && !page.contains("You joined"), "{page}");
}

#[test]
fn a_direct_room_opens_once_it_is_there_unless_somebody_went_elsewhere() {
    let mut view = view();
    view.opening = Some(OTHER);
    view.look_at(None);
    assert_eq!(view.apply(NOW, Told::Direct(Ok(ROOM))), [], "it is no longer wanted");
    view.opening = Some(OTHER);
    assert_eq!(view.apply(NOW, Told::Direct(Ok(ROOM))), [Ask::Open(ROOM)]);
    view.opening = Some(OTHER);
    view.apply(NOW, Told::Direct(Err("there is no such user".into())));
    assert!(drawn(view).contains("there is no such user"));
}

#[test]
fn an_invite_is_offered_to_whose_role_may_make_one() {
    let mut view = view();
    let may = |view: &mut View, role, by| {
        notice(view, Notice::Role { room: ROOM, role: Some(role) });
        view.invites_by = by;
        view.may_invite()
    };
    for (role, by, expected) in [
        (Role::Admin, None, false),
        (Role::Admin, Some(InvitesBy::Admins), false),
        (Role::Admin, Some(InvitesBy::RoomAdmins), true),
        (Role::Dispatcher, Some(InvitesBy::RoomAdmins), false),
        (Role::Dispatcher, Some(InvitesBy::Dispatchers), true),
        (Role::Talker, Some(InvitesBy::Dispatchers), false),
    ] {
        assert_eq!(may(&mut view, role, by), expected, "{role} {by:?}");
    }
    view.admin = true;
    assert!(view.may_invite());
    view.panel = Panel::People;
    notice(&mut view, Notice::PresenceRoom { room: ROOM, people: vec![ME] });
    assert!(drawn(view.clone()).contains("Invite people: they join"));
    view.invite = Some(InviteView { room: ROOM, busy: false, made: Some(Err("there are too many".into())) });
    assert!(drawn(view).contains("There is no invite: there are too many"));
}

#[test]
fn the_past_is_asked_for_as_long_as_there_is_more() {
    let mut view = view();
    let head = Cursor { incarnation: Incarnation::from_bytes([9; 16]), seq: Seq(9) };
    notice(&mut view, Notice::Room { room: ROOM, role: Some(Role::Talker), head, first_seq: Seq(2) });
    view.apply(NOW, event(5, OTHER, 5, posted("five")));
    assert_eq!(view.rooms[&ROOM].earlier().map(|cursor| cursor.seq), Some(Seq(5)));
    let Told::Notice(Notice::Event(older)) = event(2, OTHER, 2, posted("two")) else { panic!() };
    view.apply(NOW, Told::History { room: ROOM, events: vec![*older] });
    assert_eq!(view.rooms[&ROOM].earlier(), None);
    assert!(
        matches!(view.rooms[&ROOM].timeline.iter().next(), Some(Item::Text(text)) if text.seq == Some(Seq(2))),
        "older is above"
    );
}

#[test]
fn settings_are_kept_in_a_line_and_outlive_a_sign_out() {
    let settings = Settings {
        language: Some(crate::words::Language::Arabic),
        muted: [ROOM].into(),
        room_volumes: [(ROOM, 40)].into(),
        people_volumes: [(OTHER, 150)].into(),
        awake: false,
        look: Look::Dark,
        contrast: true,
        still: true,
        key: "KeyT".into(),
        microphone: Some("a1".into()),
        echo: false,
        noise: false,
        tones: false,
        ready: false,
        silence: Some(PresenceState::Solo),
    };
    assert_eq!(Settings::of(&settings.line()), settings);
    assert_eq!(Settings::of(&Settings::default().line()), Settings::default());
    for line in ["", "look=pink key= echo=maybe other=1 microphone=", &format!("key={}", "x".repeat(300))] {
        assert_eq!(Settings::of(line), Settings::default(), "{line}");
    }
    assert_eq!((settings.key_words().as_str(), Settings::default().key_words().as_str()), ("T", "the space bar"));
    let mut view = view();
    view.apply(NOW, Told::Settings(settings.clone()));
    view.apply(NOW, Told::SignedOut { reason: None });
    assert_eq!(view.settings, settings);
}

#[test]
fn sound_that_the_browser_stops_in_the_background_is_told_apart() {
    let mut view = view();
    view.apply(NOW, Told::Audible(false));
    assert!(!view.silenced, "it was never on");
    view.apply(NOW, Told::Audible(true));
    view.apply(NOW, Told::Audible(false));
    assert!(!view.silenced, "somebody looked");
    view.apply(NOW, Told::Audible(true));
    view.apply(NOW, Told::Visible(false));
    view.apply(NOW, Told::Audible(false));
    view.apply(NOW, Told::Visible(true));
    assert!(view.silenced);
    view.apply(NOW, Told::Audible(true));
    assert!(!view.silenced);
}

#[test]
fn signing_out_leaves_nothing_of_the_person() {
    let mut view = view();
    view.apply(NOW, Told::Audible(true));
    view.apply(NOW, Told::SignedOut { reason: None });
    let account = Account::SignedOut { reason: None, busy: false };
    assert_eq!(view, View { account, audible: true, ..View::default() });
}

fn notice(view: &mut View, notice: Notice) -> Vec<Ask> {
    view.apply(NOW, Told::Notice(notice))
}

#[test]
fn a_latched_press_outlives_the_finger_and_ends_at_the_next_tap() {
    let mut view = view();
    view.latch = true;
    assert!(view.press(false, false));
    assert!(!view.release(), "a finger that is lifted ends nothing");
    assert!(view.press.as_ref().unwrap().held);
    assert!(view.end());
    assert!(!view.end());
}

#[test]
fn nobody_talks_on_in_a_room_that_is_left_unless_it_is_an_emergency() {
    for emergency in [false, true] {
        let mut view = view();
        view.latch = true;
        assert!(view.press(emergency, false));
        assert_eq!(view.look_at(Some(ROOM)), [Ask::Open(ROOM)], "it is still looked at");
        let asks = view.look_at(None);
        assert_eq!(asks.contains(&Ask::KeyUp), !emergency, "{asks:?}");
        assert_eq!(view.press.as_ref().unwrap().held, emergency);
    }
}

#[test]
fn an_emergency_needs_two_seconds_of_holding_and_opens_the_microphone_for_ten() {
    let mut view = view();
    view.hold = Some(NOW);
    assert!(!view.is_due(NOW + 1_999.0));
    assert_eq!(view.tick(NOW + 1_999.0), []);
    view.release();
    assert_eq!(view.tick(NOW + 5_000.0), [], "let go in time");
    view.hold = Some(NOW);
    assert!(view.is_due(NOW + 2_000.0));
    assert_eq!(view.tick(NOW + 2_000.0), [Ask::KeyDown { room: ROOM, emergency: true }]);
    assert!(!view.release(), "it goes on without a finger");
    talk(&mut view, TalkState::SpeakNow);
    assert!(!view.is_due(NOW + 9_999.0));
    assert_eq!(view.tick(NOW + 10_000.0), [Ask::KeyUp]);
    assert!(!view.press.as_ref().unwrap().held);
}

#[test]
fn an_emergency_that_is_held_up_by_a_press_ends_that_first() {
    let mut view = view();
    view.latch = true;
    view.press(false, false);
    view.hold = Some(NOW);
    assert_eq!(view.tick(NOW + 2_000.0), [Ask::KeyUp, Ask::KeyDown { room: ROOM, emergency: true }]);
}

#[test]
fn an_alarm_sounds_until_it_is_acknowledged_and_again_when_it_is_raised_again() {
    let mut view = view();
    let raised = |by: &[UserId]| Notice::Emergencies { room: ROOM, raised_by: by.to_vec() };
    notice(&mut view, raised(&[ME]));
    assert!(!view.is_due(NOW), "one knows of one's own");
    notice(&mut view, raised(&[ME, OTHER]));
    assert!(view.is_ticking());
    assert_eq!(view.tick(NOW), [Ask::Tone(Tone::Alarm)]);
    assert_eq!(view.tick(NOW + 1_000.0), []);
    assert_eq!(view.tick(NOW + 3_000.0), [Ask::Tone(Tone::Alarm)]);
    view.acknowledged.insert((ROOM, OTHER));
    assert!(!view.is_due(NOW + 60_000.0));
    notice(&mut view, raised(&[]));
    notice(&mut view, raised(&[OTHER]));
    assert!(view.is_due(NOW + 60_000.0));
}

#[test]
fn waiting_in_line_is_heard_once() {
    let mut view = view();
    view.press(false, false);
    let queued = |position| TalkState::Queued { position, waiting: 2 };
    assert_eq!(talk(&mut view, queued(2)), [Ask::Tone(Tone::Busy)]);
    assert_eq!(talk(&mut view, queued(1)), []);
}

#[test]
fn what_was_seen_is_told_once_and_only_while_the_screen_can_be_seen() {
    let mut view = view();
    let head = Cursor { incarnation: Incarnation::from_bytes([9; 16]), seq: Seq(1) };
    let read = |seq| Ask::Read { room: ROOM, cursor: Cursor { seq: Seq(seq), ..head } };
    assert_eq!(view.apply(NOW, event(1, OTHER, 1, posted("one"))), [read(1)]);
    assert_eq!(view.apply(NOW, Told::Visible(false)), []);
    assert_eq!(view.apply(NOW, event(2, OTHER, 2, posted("two"))), []);
    assert_eq!(view.apply(NOW, Told::Visible(true)), [read(2)]);
    assert_eq!(view.look_at(None), [Ask::Close(ROOM)]);
    assert_eq!(view.apply(NOW, event(3, OTHER, 3, posted("three"))), []);
    assert_eq!(view.look_at(Some(ROOM)), [Ask::Open(ROOM), read(3)]);
    let other = Cursor { incarnation: Incarnation::from_bytes([8; 16]), seq: Seq(2) };
    let restored = Notice::Room { room: ROOM, role: Some(Role::Talker), head: other, first_seq: Seq(1) };
    assert_eq!(notice(&mut view, restored), [Ask::Read { room: ROOM, cursor: other }], "of a restored log, anew");
}

#[test]
fn receipts_are_counted_in_words() {
    let words = |of, delivered, taken| Reach { of, delivered, taken }.words(Taken::Heard);
    assert_eq!(words(9, 9, 7), "Heard by 7 of 9");
    assert_eq!(words(9, 9, 9), "Heard by all 9");
    assert_eq!(words(9, 5, 0), "Delivered to 5 of 9");
    assert_eq!(words(1, 1, 1), "Heard");
    assert_eq!(words(0, 0, 0), "Nobody else is in this room");
}

#[test]
fn one_sees_who_heard_it_at_the_burst_and_at_the_button() {
    let mut view = view();
    view.press(false, false);
    let FloorState::Taken { header, .. } = taken_by_another() else { panic!() };
    let (token, priority) = (Some(FloorToken::default()), Priority::Normal);
    let started = EventBody::BurstStarted { header, priority, token, spoken_ago_ms: 0, uncertainty_ms: 0 };
    view.apply(NOW, event(1, ME, 1, started));
    view.release();
    // Of a burst of another tab, or of an earlier press, this one takes nothing.
    let other = BurstId::from_bytes([9; 16]);
    for state in [TalkState::Waiting, TalkState::Delivered] {
        view.apply(NOW, Told::Notice(Notice::Talk { room: ROOM, burst: other, state }));
    }
    assert_eq!(view.press.as_ref().map(|press| (press.burst, &press.state)), Some((None, &PressState::Starting)));
    talk(&mut view, TalkState::Starting);
    talk(&mut view, TalkState::Delivered);
    assert!(drawn(view.clone()).contains("the server has every word"));
    notice(&mut view, Notice::Receipts { room: ROOM, seq: Seq(1), burst: Some(BURST), of: 9, delivered: 9, taken: 7 });
    let page = drawn(view);
    assert!(page.contains("Heard by 7 of 9."), "at the button: {page}");
}

#[test]
fn nobody_is_shown_as_here_without_being_known_to_be() {
    let mut view = view();
    let other = UserId::from_bytes([5; 16]);
    notice(&mut view, Notice::PresenceRoom { room: ROOM, people: vec![OTHER, ME, other] });
    let here = |view: &View| view.people().unwrap().iter().filter(|(_, _, seen)| seen.is_here()).count();
    assert_eq!(here(&view), 0);
    let seen = |state| PersonSeen { state, age: Some(Duration::from_secs(300)) };
    notice(&mut view, Notice::Presence { user: OTHER, seen: seen(PresenceState::Available) });
    assert_eq!(here(&view), 1);
    assert_eq!(view.people().unwrap()[0].0, OTHER, "who is here comes first");
    notice(&mut view, Notice::Presence { user: OTHER, seen: seen(PresenceState::Unknown) });
    assert_eq!(here(&view), 0);
    assert_eq!(view.seen(OTHER).words(NOW), "Not known; last heard of 5 min ago");
    assert_eq!(view.seen(other).words(NOW), "Not known; never heard of");
    view.panel = Panel::People;
    assert!(drawn(view).contains("last heard of 5 min ago"));
}

#[test]
fn an_invite_is_looked_at_used_and_leaves_the_address() {
    let mut view = View::default();
    let link = Entry::Invite { token: "hi1.abc".into() };
    assert_eq!(view.apply(NOW, Told::Opened(link)), [Ask::LookInvite { token: "hi1.abc".into() }]);
    view.apply(NOW, Told::SignedOut { reason: None });
    assert!(view.entry.is_some(), "that nobody is signed in changes nothing");
    let offer =
        InviteOffer { workspace_name: "Site 9".into(), role: UserRole::Member, rooms: vec![], expires_at: UnixMs(0) };
    view.apply(NOW, Told::Offer(Ok(offer)));
    let page = drawn(view.clone());
    assert!(page.contains("Join Site 9") && !page.contains("hi1.abc"), "{page}");
    view.entry.as_mut().unwrap().busy = true;
    view.apply(NOW, Told::EntryFailed("taken".into()));
    assert!(drawn(view.clone()).contains("taken"));
    let identity = Identity { user: ME, device: DeviceId::from_bytes([2; 16]), login: "me".into() };
    assert_eq!(view.apply(NOW, Told::SignedIn(identity.clone())), [], "somebody who was signed in before");
    view.entry.as_mut().unwrap().busy = true;
    assert_eq!(view.apply(NOW, Told::SignedIn(identity)), [Ask::LeaveLink]);
    assert!(view.entry.is_none());
}

#[test]
fn an_invite_that_is_not_good_says_so_and_what_to_do() {
    let mut view = View::default();
    view.apply(NOW, Told::Opened(Entry::Invite { token: "x".into() }));
    view.apply(NOW, Told::Offer(Err("it is over".into())));
    let page = drawn(view);
    assert!(page.contains("it is over") && page.contains("Ask whoever sent it") && !page.contains("<form"), "{page}");
}

#[test]
fn a_sign_in_name_is_made_of_a_name_and_is_one() {
    for (name, login) in [
        ("Jürgen  Groß", "jurgen.gros"),
        (" Ana-María O'Neil ", "ana-maria.oneil"),
        ("J. R. Hartley", "j.r.hartley"),
        ("李雷", ""),
        ("--x", "x"),
    ] {
        assert_eq!(login_of(name), login);
        assert_eq!(is_login(login), !login.is_empty(), "{login}");
    }
    for wrong in ["", "Ben", "-ben", "b en", "ben!", &"x".repeat(65)] {
        assert!(!is_login(wrong), "{wrong}");
    }
}

fn drawn(view: View) -> String {
    let (_, inbox) = unbounded();
    let host = Host::new(|_| {}, || NOW, |_| "12:00".into(), || [0; 16]);
    let mut dom: VirtualDom = crate::dom_of(host, inbox, view);
    dom.rebuild_in_place();
    dioxus_ssr::render(&dom)
}

#[test]
fn what_plays_on_another_device_is_said_is_not_missed_and_sounds_no_tone() {
    let mut view = view();
    burst(&mut view, 1, 1, true);
    let (elsewhere, missed) =
        (DeviceId::from_bytes([8; 16]), |view: &View| view.rooms[&ROOM].timeline.missed().count());
    let plays = |elsewhere| Told::Notice(Notice::Playing { elsewhere });
    assert_eq!(view.apply(NOW, plays(Some(elsewhere))), [Ask::Devices], "its name is asked for");
    assert!(drawn(view.clone()).contains("Plays on another of your devices"));
    let phone =
        |id| Device { id, name: "Phone".into(), created_at: UnixMs(0), last_used_at: UnixMs(0), revoked: false };
    view.apply(NOW, Told::Devices(vec![phone(elsewhere)]));
    let page = drawn(view.clone());
    assert!(page.contains("Plays on Phone") && page.contains("Play here"), "{page}");
    assert_eq!(view.apply(NOW, plays(Some(elsewhere))), [], "its name is known");
    let heard =
        |state| Told::Notice(Notice::Heard { room: ROOM, burst: BurstId::from_bytes([1; 16]), user: OTHER, state });
    assert_eq!(view.apply(NOW, heard(HeardState::Elsewhere)), []);
    assert_eq!(missed(&view), 0);
    view.apply(NOW, Told::Notice(Notice::Floor { room: ROOM, floor: taken_by_another() }));
    let idle = Told::Notice(Notice::Floor { room: ROOM, floor: FloorState::Idle { token: FloorToken::default() } });
    assert!(!view.apply(NOW, idle.clone()).contains(&Ask::Tone(Tone::Release)), "the other device sounds it");
    assert_eq!(view.apply(NOW, plays(None)), []);
    assert!(!drawn(view.clone()).contains("Play here"));
    view.apply(NOW, Told::Notice(Notice::Floor { room: ROOM, floor: taken_by_another() }));
    assert!(view.apply(NOW, idle).contains(&Ask::Tone(Tone::Release)));
    // Nobody knows where it plays while there is no connection.
    view.apply(NOW, plays(Some(elsewhere)));
    view.apply(NOW, Told::Notice(Notice::Link(LinkState::Connecting { attempt: 1 })));
    assert_eq!(view.plays_on, None);
}

#[test]
fn what_one_says_on_another_device_is_said_to_be_ones_own() {
    let mut view = view();
    let mut floor = taken_by_another();
    if let FloorState::Taken { user, .. } = &mut floor {
        *user = ME;
    }
    view.apply(NOW, Told::Notice(Notice::Floor { room: ROOM, floor }));
    assert!(drawn(view).contains("You are talking, on another device"));
}

#[test]
fn silence_that_was_asked_for_is_kept_and_says_nothing_of_what_it_missed() {
    let mut view = view();
    let missed = |view: &mut View| {
        let state = HeardState::Missed;
        view.apply(NOW, Told::Notice(Notice::Heard { room: ROOM, burst: BURST, user: OTHER, state }))
    };
    assert_eq!(missed(&mut view), [Ask::Tone(Tone::Missed)]);
    assert_eq!(view.say(PresenceState::Busy), [Ask::Presence(PresenceState::Busy), Ask::Hear(Hearing::Nothing)]);
    assert_eq!(missed(&mut view), []);
    assert_eq!(view.say(PresenceState::Solo)[1], Ask::Hear(Hearing::Primary));
    assert_eq!(view.say(PresenceState::Available)[1], Ask::Hear(Hearing::All));
    view.settings.muted.insert(ROOM);
    assert_eq!(missed(&mut view), []);
    // The engine of a new sign-in knows of no silence yet.
    let identity = Identity { user: OTHER, device: DeviceId::from_bytes([9; 16]), login: "ben".into() };
    assert!(view.apply(NOW, Told::SignedIn(identity.clone())).contains(&Ask::Mute { room: ROOM, muted: true }));
    // Nor does a page that was loaded anew: what is kept of the settings says it.
    view.say(PresenceState::Busy);
    let mut anew = View::default();
    anew.apply(NOW, Told::Settings(Settings::of(&view.settings.line())));
    let asks = anew.apply(NOW, Told::SignedIn(identity.clone()));
    assert!(asks.contains(&Ask::Hear(Hearing::Nothing)) && asks.contains(&Ask::Presence(PresenceState::Busy)));
    anew.say(PresenceState::Away);
    let mut anew = View { settings: Settings::of(&anew.settings.line()), ..View::default() };
    assert!(!anew.apply(NOW, Told::SignedIn(identity)).iter().any(|ask| matches!(ask, Ask::Hear(_))));
}

#[test]
fn a_microphone_that_goes_in_the_middle_is_told_and_what_was_said_goes_its_way() {
    let mut view = view();
    view.look_at(Some(ROOM));
    assert!(view.press(false, false));
    let talk = |state| Told::Notice(Notice::Talk { room: ROOM, burst: BURST, state });
    view.apply(NOW, talk(TalkState::Starting));
    view.apply(NOW, talk(TalkState::SpeakNow));
    view.apply(NOW, Told::Notice(Notice::Fault { detail: "recording: lost".into() }));
    view.apply(NOW, talk(TalkState::Ending));
    view.apply(NOW, talk(TalkState::Delivered));
    assert_eq!(view.press.as_ref().map(|press| press.state.clone()), Some(PressState::Delivered));
    assert!(
        view.faults.iter().any(|fault| fault.contains("then press again. What you said until then")),
        "{:?}",
        view.faults
    );
}

#[test]
fn whoever_chooses_a_room_sees_it() {
    let mut view = view();
    (view.settings_open, view.quality_open) = (true, true);
    view.look_at(Some(ROOM));
    assert!(!view.settings_open && !view.quality_open);
}

#[test]
fn a_notification_leads_to_its_room_as_soon_as_that_is_known() {
    let mut known = view();
    known.look_at(None);
    assert_eq!(known.apply(NOW, Told::Show(ROOM)), [Ask::Open(ROOM)]);
    assert_eq!(known.open, Some(ROOM));
    let mut early = View::default();
    assert_eq!(early.apply(NOW, Told::Show(ROOM)), []);
    early.rooms = known.rooms.clone();
    let told = |rooms| Told::Directory { workspace: "W".into(), rooms, people: vec![], invites_by: InvitesBy::Admins };
    assert_eq!(early.apply(NOW, told(vec![])), [], "one is in that room no more");
    early.apply(NOW, Told::Show(ROOM));
    assert_eq!(early.open, None);
    let mut later = View::default();
    later.apply(NOW, Told::Show(ROOM));
    let room = Room {
        id: ROOM,
        name: "Site".into(),
        kind: RoomKind::Group,
        role: Some(Role::Talker),
        members: 2,
        head: Cursor { incarnation: Incarnation::from_bytes([9; 16]), seq: Seq(0) },
        talk_limit_s: None,
    };
    assert_eq!(later.apply(NOW, told(vec![room.clone()])), [Ask::Open(ROOM)]);
    later.look_at(None);
    assert_eq!(later.apply(NOW, told(vec![room])), [], "once only");
}

#[test]
fn notifications_are_asked_for_after_the_first_missed_burst_and_once() {
    let mut view = view();
    view.apply(NOW, Told::Telling(Telling::Unasked));
    let asks = |view: &View| drawn(view.clone()).contains("Be told of what you miss");
    assert!(!asks(&view));
    burst(&mut view, 1, 1, true);
    assert!(asks(&view));
    for telling in [Telling::Off, Telling::On, Telling::Refused, Telling::Never] {
        view.apply(NOW, Told::Telling(telling));
        assert!(!asks(&view), "{telling:?}");
        view.settings_open = true;
        assert_eq!(drawn(view.clone()).contains("Notifications"), telling != Telling::Never, "{telling:?}");
        view.settings_open = false;
    }
}

#[test]
fn a_clock_is_told_of_only_when_it_is_off_by_what_people_see() {
    let mut view = view();
    view.apply(NOW, Told::ClockOff(-90_000.0));
    assert_eq!(view.clock_off, None);
    view.apply(NOW, Told::ClockOff(-180_000.0));
    assert_eq!(view.clock_off, Some(-180_000.0));
    view.apply(NOW, Told::Outdated);
    view.apply(NOW, Told::SignedOut { reason: None });
    assert!(view.outdated && view.clock_off.is_some(), "true of this page, whoever is signed in");
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
        (
            View { entry: Some(EntryView::new(Entry::Reset { token: "x".into() })), ..View::default() },
            "Set a new password",
        ),
        (View { open: None, ..view() }, "Allow the microphone now"),
        (View { settings_open: true, ..view() }, "Where you are signed in"),
        (View { open: None, rooms: sorted::Map::new(), ..view() }, "you are me to them"),
    ] {
        let page = drawn(view);
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[test]
fn what_waits_is_said_while_there_is_no_connection_and_what_is_held_back_always() {
    let mut view = View::default();
    let piece = |n: u8, held| Waits {
        room: RoomId::from_bytes([1; 16]),
        held,
        since: u64::from(n),
        what: WaitsWhat::Burst { burst: BurstId::from_bytes([n; 16]), length_ms: Some(1_000), cut: false },
    };
    view.apply(0.0, Told::Queue(vec![piece(1, false), piece(2, true)]));
    assert_eq!(view.waiting().count(), 2, "nothing goes out");
    view.link = Link::Up;
    let held: Vec<u64> = view.waiting().map(|waits| waits.since).collect();
    assert_eq!(held, [2], "the rest is on its way");
    view.apply(0.0, Told::Storage(Storage::Full));
    view.apply(0.0, Told::SignedOut { reason: None });
    assert_eq!(
        (view.waiting().count(), view.storage),
        (0, Storage::Full),
        "how things are kept does not go with a person"
    );
}

#[test]
fn a_browser_that_threw_away_what_it_kept_is_said_to_have() {
    let mut view = View::default();
    view.apply(0.0, Told::Evicted);
    assert!(matches!(&view.account, Account::SignedOut { reason: Some(words), .. } if words.contains("threw away")));
}
