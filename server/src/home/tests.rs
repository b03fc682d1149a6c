//! A home with the real store and real outboxes; only the sockets are absent.
#![expect(clippy::wildcard_enum_match_arm, reason = "tests look for one message among all")]

mod offers;
mod store;

use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use holler_core::burst::Recording;
use holler_core::model::{BurstHeader, Codec, EventBody, Priority};
use holler_core::session::Next;
use holler_core::units::{Bitrate, Epoch, FloorToken, FrameMs, Incarnation};
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::socket::{DenyReason, FloorState, RevokeReason, ServerMessage};
use holler_core::wire::voice::{FrameAge, VoiceKind};

use super::*;
use crate::gateway::{Frame, Outgoing};
use crate::keys::KeyRing;
use crate::storage::{NoHooks, log};

const ROOM: RoomId = RoomId::from_bytes([9; 16]);

async fn open(top: &Path) -> (Homes, Store, Clock) {
    let data = top.join("data");
    let ring = KeyRing::load_or_create(&top.join("keys"), &data).unwrap();
    let store = Store::open(&data, ring, Arc::new(NoHooks)).unwrap();
    let vault = store.vault().clone();
    let is_new = store.log_head(ROOM).await.unwrap().is_none();
    if is_new {
        store.write(move |db| log::create(db, &vault, ROOM)).await.unwrap();
    }
    let clock = Clock::default();
    (Homes::new(&store, clock), store, clock)
}

struct Client {
    home: Home,
    connection: Arc<Connection>,
    clock: Clock,
}

impl Client {
    /// A signed-in socket that follows the room.
    async fn join(homes: &Homes, clock: Clock, device: u8, role: Role, cursor: Option<Cursor>) -> Self {
        static NUMBER: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(1);
        let home = homes.home(ROOM).await.unwrap().unwrap();
        let connection = Arc::new(Connection::new(
            NUMBER.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            UserId::from_bytes([device; 16]),
            DeviceId::from_bytes([device; 16]),
            Arc::new(Outgoing::new(clock)),
            clock.now(),
        ));
        let join =
            Command::Join { connection: Arc::clone(&connection), role, request: RequestId(0), cursor, voice: true };
        assert!(home.send(join).await);
        Self { home, connection, clock }
    }

    /// What is sent next, as the writing half of a socket would take it.
    async fn next(&self) -> Next<Frame> {
        loop {
            match self.connection.out.try_next().0 {
                Next::Idle => tokio::time::timeout(Duration::from_secs(20), self.connection.out.woken()).await.unwrap(),
                next => return next,
            }
        }
    }

    /// The next control message for which `wanted` gives something; others are skipped.
    async fn until<T>(&self, mut wanted: impl FnMut(ServerMessage) -> Option<T>) -> T {
        loop {
            if let Next::Item(Frame::Text(text)) = self.next().await
                && let Some(found) = wanted(serde_json::from_str(&text).unwrap())
            {
                return found;
            }
        }
    }

    async fn voice(&self) -> VoiceFrame {
        loop {
            if let Next::Item(Frame::Binary(bytes)) = self.next().await {
                return VoiceFrame::decode(&bytes).unwrap();
            }
        }
    }

    async fn event(&self, kind: &str) -> EventBody {
        self.until(|message| match message {
            ServerMessage::Events { events, .. } => {
                events.into_iter().map(|event| event.body).find(|body| body.kind() == kind)
            }
            _ => None,
        })
        .await
    }

    async fn ask(&self, request: u32, priority: Priority, queue: bool, header: BurstHeader) {
        let request = floor::Request {
            device: self.connection.device,
            user: self.connection.user,
            role: Role::Talker,
            request: RequestId(request),
            priority,
            queue,
            header,
            spoken_ago: Duration::from_millis(5),
        };
        assert!(self.home.send(Command::Floor(floor::Input::Request(request))).await);
    }

    async fn granted(&self) -> FloorToken {
        self.until(|message| match message {
            ServerMessage::FloorGranted { token, .. } => Some(token),
            _ => None,
        })
        .await
    }

    async fn say(&self, kind: VoiceKind, burst: BurstId, token: FloorToken, number: FrameNo, payload: &Bytes) {
        let token = if kind == VoiceKind::Live { token } else { FloorToken::default() };
        let frame = VoiceFrame { kind, age: FrameAge(200), number, tag: burst.tag(), token, payload: payload.clone() };
        assert!(self.home.send(Command::Voice { connection: Arc::clone(&self.connection), frame }).await);
    }

    async fn end(&self, burst: BurstId, recording: &mut Recording) {
        let (last, digest) = recording.end().unwrap();
        let connection = Arc::clone(&self.connection);
        assert!(self.home.send(Command::BurstEnd { connection, burst, last, digest }).await);
    }

    /// The next `burst.status` or refusal.
    async fn status(&self) -> Result<(bool, Vec<u16>), String> {
        self.until(|message| match message {
            ServerMessage::BurstStatus { complete, missing, .. } => {
                Some(Ok((complete, missing.iter().flat_map(|range| range.from.0..=range.to.0).collect())))
            }
            ServerMessage::Refused { problem, .. } => Some(Err(problem.kind.into_owned())),
            _ => None,
        })
        .await
    }

    async fn leave(&self) {
        let leave = Command::Leave { device: self.connection.device, connection: self.connection.id };
        assert!(self.home.send(leave).await);
    }
}

fn header(burst: u8) -> BurstHeader {
    BurstHeader {
        burst: BurstId::from_bytes([burst; 16]),
        codec: Codec::Opus,
        frame_ms: FrameMs::Ms20,
        bitrate: Bitrate(24_000),
        key_epoch: Epoch(0),
    }
}

fn recording(frames: u8) -> Recording {
    let mut recording = Recording::new();
    for number in 1..=frames {
        recording.push(Bytes::from(vec![number; 40])).unwrap();
    }
    recording
}

#[tokio::test]
async fn a_burst_is_heard_stored_and_settled() {
    let top = tempfile::tempdir().unwrap();
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    let listener = Client::join(&homes, clock, 2, Role::Listener, None).await;
    let header = header(1);
    talker.ask(1, Priority::Normal, false, header).await;
    let token = talker.granted().await;
    let taken = listener
        .until(|message| match message {
            ServerMessage::Floor { floor: FloorState::Taken { header, .. }, .. } => Some(header),
            _ => None,
        })
        .await;
    assert_eq!(taken, header);
    let mut recording = recording(5);
    while let Some((number, payload)) = recording.take_unsent() {
        talker.say(VoiceKind::Live, header.burst, token, number, &payload).await;
        let heard = listener.voice().await;
        assert_eq!((heard.number, heard.payload), (number, payload));
        assert!(heard.age >= FrameAge(200), "the age only grows");
    }
    talker.end(header.burst, &mut recording).await;
    assert_eq!(talker.status().await, Ok((true, vec![])));
    let committed = listener.event("burst.committed").await;
    let (last, digest) = recording.end().unwrap();
    assert_eq!(committed, EventBody::BurstCommitted { burst: header.burst, last, digest, missing: vec![] });
    // What was told as complete is there, and stays.
    let stored = store.frames(ROOM, header.burst, FrameNo(1), FrameNo(5)).await.unwrap();
    assert!(stored.iter().map(|(number, payload)| (*number, payload)).eq(recording.frames().iter()));
    // Ending it again, from memory or from storage, changes nothing.
    talker.end(header.burst, &mut recording).await;
    assert_eq!(talker.status().await, Ok((true, vec![])));
    assert_eq!(store.log_head(ROOM).await.unwrap().unwrap().head, Seq(2));
}

#[tokio::test]
async fn what_the_link_dropped_is_repaired_by_the_owner_alone() {
    let top = tempfile::tempdir().unwrap();
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    let listener = Client::join(&homes, clock, 2, Role::Talker, None).await;
    let header = header(1);
    talker.ask(1, Priority::Normal, false, header).await;
    let token = talker.granted().await;
    let mut recording = recording(6);
    while let Some((number, payload)) = recording.take_unsent() {
        if ![2, 3, 6].contains(&number.0) {
            talker.say(VoiceKind::Live, header.burst, token, number, &payload).await;
        }
    }
    talker.end(header.burst, &mut recording).await;
    assert_eq!(talker.status().await, Ok((false, vec![2, 3, 6])));
    // Somebody else can neither fill nor end it.
    let forged = Bytes::from_static(b"forged");
    listener.say(VoiceKind::Repair, header.burst, token, FrameNo(2), &forged).await;
    let refused = listener
        .until(|message| match message {
            ServerMessage::Error { problem, .. } => Some(problem),
            _ => None,
        })
        .await;
    assert!(refused.is(ProblemKind::Forbidden), "{refused}");
    for number in [2, 3, 6].map(FrameNo) {
        let payload = recording.frames().frame(number).unwrap().clone();
        talker.say(VoiceKind::Repair, header.burst, token, number, &payload).await;
    }
    assert_eq!(talker.status().await, Ok((true, vec![])), "told without being asked again");
    let completed = listener.event("burst.completed").await;
    let (last, digest) = recording.end().unwrap();
    assert_eq!(completed, EventBody::BurstCompleted { burst: header.burst, last, digest });
    assert_eq!(store.frames(ROOM, header.burst, FrameNo(1), FrameNo(6)).await.unwrap().len(), 6);
}

#[tokio::test]
async fn live_frames_need_the_current_token_and_the_burst_it_was_granted_for() {
    let top = tempfile::tempdir().unwrap();
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    let urgent = Client::join(&homes, clock, 2, Role::Talker, None).await;
    let listener = Client::join(&homes, clock, 3, Role::Talker, None).await;
    talker.ask(1, Priority::Normal, false, header(1)).await;
    let old = talker.granted().await;
    urgent.ask(1, Priority::Emergency, false, header(2)).await;
    let current = urgent.granted().await;
    assert!(current > old);
    let reason = talker
        .until(|message| match message {
            ServerMessage::FloorRevoked { reason, .. } => Some(reason),
            _ => None,
        })
        .await;
    assert_eq!(reason, RevokeReason::Preempted);
    let stray = Bytes::from_static(b"stray");
    talker.say(VoiceKind::Live, header(1).burst, old, FrameNo(1), &stray).await;
    talker.say(VoiceKind::Live, header(2).burst, current, FrameNo(1), &stray).await;
    urgent.say(VoiceKind::Live, header(1).burst, current, FrameNo(1), &stray).await;
    let good = Bytes::from_static(b"good");
    urgent.say(VoiceKind::Live, header(2).burst, current, FrameNo(1), &good).await;
    assert_eq!(listener.voice().await.payload, good);
    listener.event("emergency.raised").await;
    assert_eq!(store.emergencies(ROOM).await.unwrap(), [urgent.connection.user]);
}

#[tokio::test]
async fn one_who_joins_mid_burst_hears_the_live_edge_at_once() {
    let top = tempfile::tempdir().unwrap();
    let (homes, _store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    let listener = Client::join(&homes, clock, 2, Role::Listener, None).await;
    let header = header(1);
    talker.ask(1, Priority::Normal, false, header).await;
    let token = talker.granted().await;
    listener.event("burst.started").await;
    let mut recording = recording(10);
    while let Some((number, payload)) = recording.take_unsent() {
        talker.say(VoiceKind::Live, header.burst, token, number, &payload).await;
        listener.voice().await;
    }
    let late = Client::join(&homes, clock, 3, Role::Listener, None).await;
    let (talking, head) = late
        .until(|message| match message {
            ServerMessage::Subscribed { floor: FloorState::Taken { user, .. }, head, .. } => Some((user, head)),
            _ => None,
        })
        .await;
    assert_eq!(talking, talker.connection.user);
    assert_eq!(head.seq, Seq(1), "burst.started has its place since the grant");
    let numbers = [late.voice().await, late.voice().await, late.voice().await].map(|frame| frame.number.0);
    assert_eq!(numbers, [8, 9, 10]);
}

#[tokio::test]
async fn a_talker_whose_link_died_is_interrupted_and_completes_after_a_restart() {
    let top = tempfile::tempdir().unwrap();
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    let waiting = Client::join(&homes, clock, 2, Role::Talker, None).await;
    let header_1 = header(1);
    talker.ask(1, Priority::Normal, false, header_1).await;
    let token = talker.granted().await;
    waiting.ask(1, Priority::Normal, true, header(2)).await;
    let mut recording = recording(4);
    for _ in 0..2 {
        let (number, payload) = recording.take_unsent().unwrap();
        talker.say(VoiceKind::Live, header_1.burst, token, number, &payload).await;
    }
    talker.leave().await;
    // After 2 s of silence the floor goes to the next, and the log says what became of the burst.
    let next = waiting.granted().await;
    assert!(next > token);
    let interrupted = waiting.event("burst.interrupted").await;
    assert_eq!(interrupted, EventBody::BurstInterrupted { burst: header_1.burst, last_received: FrameNo(2) });
    homes.drain().await;
    drop((homes, talker, waiting));
    store.close().await;

    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    // The second burst was being spoken when the server went down: its new home says so.
    while store.log_head(ROOM).await.unwrap().unwrap().head < Seq(4) {
        talker.next().await;
    }
    talker.end(header_1.burst, &mut recording).await;
    assert_eq!(talker.status().await, Ok((false, vec![3, 4])));
    for number in [3, 4].map(FrameNo) {
        let payload = recording.frames().frame(number).unwrap().clone();
        talker.say(VoiceKind::Repair, header_1.burst, token, number, &payload).await;
    }
    assert_eq!(talker.status().await, Ok((true, vec![])));
    let kinds: Vec<_> = store.events(ROOM, Seq(0), 100).await.unwrap().iter().map(|event| event.body.kind()).collect();
    assert_eq!(kinds, ["burst.started", "burst.interrupted", "burst.started", "burst.interrupted", "burst.completed"]);
    talker.ask(9, Priority::Normal, false, header(3)).await;
    assert!(talker.granted().await > next, "the tokens of a restarted home are above the old ones");
}

#[tokio::test]
async fn refusals_reach_the_one_who_asked() {
    let top = tempfile::tempdir().unwrap();
    let (homes, _store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    let other = Client::join(&homes, clock, 2, Role::Talker, None).await;
    other.end(header(7).burst, &mut recording(3)).await;
    assert_eq!(other.status().await, Err("urn:holler:problem:not-found".to_owned()));
    talker.ask(1, Priority::Normal, false, header(1)).await;
    let token = talker.granted().await;
    other.ask(1, Priority::Normal, false, header(2)).await;
    let reason = other
        .until(|message| match message {
            ServerMessage::FloorDenied { reason, .. } => Some(reason),
            _ => None,
        })
        .await;
    assert_eq!(reason, DenyReason::Busy);
    let mut recording = recording(3);
    let (number, payload) = recording.take_unsent().unwrap();
    talker.say(VoiceKind::Live, header(1).burst, token, number, &payload).await;
    other.end(header(1).burst, &mut recording).await;
    assert_eq!(other.status().await, Err("urn:holler:problem:forbidden".to_owned()));
}

#[tokio::test]
async fn a_follower_from_an_old_cursor_is_told_to_read_the_log() {
    let top = tempfile::tempdir().unwrap();
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    talker.ask(1, Priority::Normal, false, header(1)).await;
    talker.event("burst.started").await;
    let incarnation = store.log_head(ROOM).await.unwrap().unwrap().incarnation;
    let cursor = Cursor { incarnation, seq: Seq(0) };
    let follower = Client::join(&homes, clock, 2, Role::Listener, Some(cursor)).await;
    loop {
        if let Next::Fetch { room, after } = follower.next().await {
            assert_eq!((room, after), (ROOM, cursor));
            break;
        }
    }
    let foreign = Cursor { incarnation: Incarnation::from_bytes([7; 16]), seq: Seq(40) };
    let restored = Client::join(&homes, clock, 3, Role::Listener, Some(foreign)).await;
    loop {
        if let Next::Fetch { after, .. } = restored.next().await {
            assert_eq!(after, foreign);
            break;
        }
    }
    assert!(follower.clock.now() <= clock.now());
}

/// The server restarts while somebody talks. They go on under the new home, and what the old one had is part of the burst.
#[tokio::test]
async fn a_talker_goes_on_over_a_restart_and_the_burst_is_one() {
    let top = tempfile::tempdir().unwrap();
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    let header = header(1);
    talker.ask(1, Priority::Normal, false, header).await;
    let token = talker.granted().await;
    let mut recording = recording(9);
    for _ in 0..3 {
        let (number, payload) = recording.take_unsent().unwrap();
        talker.say(VoiceKind::Live, header.burst, token, number, &payload).await;
    }
    homes.drain().await;
    drop((homes, talker));
    store.close().await;

    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    let listener = Client::join(&homes, clock, 2, Role::Listener, None).await;
    talker.ask(1, Priority::Normal, false, header).await;
    let token = talker.granted().await;
    while let Some((number, payload)) = recording.take_unsent() {
        talker.say(VoiceKind::Live, header.burst, token, number, &payload).await;
        assert_eq!(listener.voice().await.number, number);
    }
    talker.end(header.burst, &mut recording).await;
    while talker.status().await != Ok((true, vec![])) {}
    let (last, digest) = recording.end().unwrap();
    assert_eq!(
        listener.event("burst.completed").await,
        EventBody::BurstCompleted { burst: header.burst, last, digest }
    );
    let stored = store.frames(ROOM, header.burst, FrameNo(1), FrameNo(9)).await.unwrap();
    assert!(stored.iter().map(|(number, payload)| (*number, payload)).eq(recording.frames().iter()));
}
