//! The hot paths. Each is a function of its own that no compiler merges with its caller, for callgrind tells functions apart.

use std::hint::black_box;
use std::time::Duration;

use anyhow::{Result, ensure};
use bytes::Bytes;
use holler_core::burst::Frames;
use holler_core::engine::jitter::{Entry, History, Jitter, Playout};
use holler_core::floor::{self, Floor};
use holler_core::log::identity;
use holler_core::model::{BurstHeader, Codec, Event, EventBody, Priority, Role};
use holler_core::seal::{Key, KeyId, Place, SealingKey};
use holler_core::session::{Inbound, Next, Outbox, Received};
use holler_core::units::{
    Bitrate, BurstId, BurstTag, Cursor, DeviceId, Epoch, FloorToken, FrameMs, FrameNo, Incarnation, Mono, RequestId,
    RoomId, Seq, UnixMs, UserId,
};
use holler_core::wire::socket::{ClientMessage, ServerMessage};
use holler_core::wire::voice::{VoiceFrame, VoiceKind};
use holler_server::clock::Clock;
use holler_server::gateway::{Frame, Outgoing, encode};

use crate::bench::durable::Numbers;
use crate::bench::world::TEXT;

/// A hot path.
pub(super) struct Case {
    /// Its function's.
    pub(super) name: &'static str,
    /// For the report.
    pub(super) what: &'static str,
    /// Prepares it, and does it so many times.
    pub(super) run: fn(u32) -> Result<()>,
}

pub(super) const CASES: &[Case] = &[
    Case { name: "voice_frame", what: "a voice frame read and written", run: voice_frames },
    Case { name: "inbound_voice", what: "a voice frame judged by a session", run: inbound_voices },
    Case { name: "inbound_send", what: "a send read and judged by a session", run: inbound_sends },
    Case { name: "floor_frame", what: "a live frame against the floor", run: floor_frames },
    Case { name: "burst_frame", what: "a frame into a burst's log", run: burst_frames },
    Case { name: "outbox_voice", what: "a voice frame through an outbox", run: outbox_voices },
    Case { name: "outbox_events", what: "events through an outbox", run: outbox_events_all },
    Case { name: "gateway_voice", what: "a voice frame to a socket's task", run: gateway_voices },
    Case { name: "gateway_events", what: "events to a socket's task", run: gateway_events_all },
    Case { name: "jitter_frame", what: "a frame through the jitter buffer", run: jitter_frames },
    Case { name: "send_identity", what: "the identity of a send", run: send_identities },
    Case { name: "event_sealed", what: "an event's body sealed", run: events_sealed },
];

const ROOM: RoomId = RoomId::from_bytes([1; 16]);
const DEVICE: DeviceId = DeviceId::from_bytes([2; 16]);
const USER: UserId = UserId::from_bytes([3; 16]);
const BURST: BurstId = BurstId::from_bytes([4; 16]);
const HISTORY: Incarnation = Incarnation::from_bytes([5; 16]);
const START: Mono = Mono(1_000_000);

fn frame(number: u16) -> VoiceFrame {
    VoiceFrame {
        kind: VoiceKind::Live,
        age: Duration::from_millis(25).into(),
        number: FrameNo(number),
        tag: BURST.tag(),
        token: FloorToken { term: 1, counter: 1 },
        payload: Bytes::from_static(&[7; 80]),
    }
}

/// A burst has so many frames at most: a case that needs more begins another.
fn numbers(times: u32) -> impl Iterator<Item = u16> {
    (1..=times).map(|number| u16::try_from(number % 10_000).unwrap_or(1).max(1))
}

#[inline(never)]
fn voice_frame(bytes: &Bytes) -> bool {
    VoiceFrame::decode(bytes).is_ok_and(|frame| black_box(frame.encode()).len() == bytes.len())
}

fn voice_frames(times: u32) -> Result<()> {
    let bytes = frame(1).encode();
    for _ in 0..times {
        ensure!(voice_frame(black_box(&bytes)), "a voice frame was not read");
    }
    Ok(())
}

fn session() -> Result<Inbound> {
    let mut session = Inbound::new(START);
    let auth = session.text(START, r#"{"type":"auth","token":"t","client":"bench"}"#);
    ensure!(matches!(auth, Received::Authenticate { .. }), "auth was refused");
    session.authenticated(START + Duration::from_secs(600));
    Ok(session)
}

#[inline(never)]
fn inbound_voice(session: &mut Inbound, now: Mono, bytes: &Bytes) -> bool {
    let received = session.binary(now, bytes);
    black_box(session.brake(now, true, bytes.len()));
    matches!(received, Received::Voice(_))
}

fn inbound_voices(times: u32) -> Result<()> {
    let (mut session, bytes) = (session()?, frame(1).encode());
    for _ in 0..times {
        ensure!(inbound_voice(&mut session, START, black_box(&bytes)), "a voice frame was refused");
    }
    Ok(())
}

#[inline(never)]
fn inbound_send(session: &mut Inbound, now: Mono, text: &str) -> bool {
    let received = session.text(now, text);
    black_box(session.brake(now, false, text.len()));
    matches!(received, Received::Message(_))
}

fn body() -> EventBody {
    EventBody::MessagePosted { text: TEXT.to_owned(), reply_to: None }
}

fn inbound_sends(times: u32) -> Result<()> {
    let mut session = session()?;
    let send = ClientMessage::Send { room: ROOM, client_id: Numbers::default().next(), epoch: None, body: body() };
    let text = serde_json::to_string(&send)?;
    for _ in 0..times {
        ensure!(inbound_send(&mut session, START, black_box(&text)), "a send was refused");
    }
    Ok(())
}

#[inline(never)]
fn floor_frame(floor: &mut Floor, now: Mono, token: FloorToken, tag: BurstTag) -> bool {
    floor.handle(now, floor::Input::Heard { device: DEVICE });
    let speaks = floor.holder().is_some_and(|(_, burst, _)| burst.tag() == tag);
    let accepted = floor.accepts(now, DEVICE, token);
    while let Some(output) = floor.poll_output() {
        black_box(output);
    }
    black_box(floor.poll_timeout());
    speaks && accepted
}

fn floor_frames(times: u32) -> Result<()> {
    let mut floor = Floor::new(floor::Config::default(), 1, Mono(u64::MAX), []);
    let header = BurstHeader {
        burst: BURST,
        codec: Codec::Opus,
        frame_ms: FrameMs::Ms20,
        bitrate: Bitrate(24_000),
        key_epoch: Epoch(0),
    };
    let request = floor::Request {
        device: DEVICE,
        user: USER,
        role: Role::Talker,
        request: RequestId(1),
        priority: Priority::Normal,
        queue: false,
        header,
        spoken_ago: Duration::ZERO,
    };
    floor.handle(START, floor::Input::Request(request));
    let (_, _, token) = floor.holder().ok_or_else(|| anyhow::anyhow!("the floor was not granted"))?;
    for number in 0..times {
        let now = START + Duration::from_millis(u64::from(number % 1_000));
        ensure!(floor_frame(&mut floor, now, token, BURST.tag()), "a frame of the holder was refused");
    }
    Ok(())
}

#[inline(never)]
fn burst_frame(frames: &mut Frames, number: FrameNo, payload: &Bytes) -> bool {
    frames.insert(number, payload.clone()).is_ok()
}

fn burst_frames(times: u32) -> Result<()> {
    let (mut frames, payload) = (Frames::new(), frame(1).payload);
    for number in numbers(times) {
        ensure!(burst_frame(&mut frames, FrameNo(number), &payload), "a frame was refused");
    }
    Ok(())
}

#[inline(never)]
fn outbox_voice(outbox: &mut Outbox<Bytes>, now: Mono, item: &Bytes) -> bool {
    outbox.voice(now, item.clone(), item.len());
    let sent = matches!(black_box(outbox.next(now)), Next::Item(_));
    sent && matches!(outbox.next(now), Next::Idle)
}

fn outbox_voices(times: u32) -> Result<()> {
    let (mut outbox, bytes) = (Outbox::default(), frame(1).encode());
    for _ in 0..times {
        ensure!(outbox_voice(&mut outbox, START, &bytes), "a frame was not sent");
    }
    Ok(())
}

#[inline(never)]
fn outbox_events(outbox: &mut Outbox<Bytes>, now: Mono, seq: Seq, item: &Bytes) -> bool {
    outbox.events(now, ROOM, seq, seq, Some(item.clone()), item.len());
    let sent = matches!(black_box(outbox.next(now)), Next::Item(_));
    sent && matches!(outbox.next(now), Next::Idle)
}

fn outbox_events_all(times: u32) -> Result<()> {
    let (mut outbox, bytes) = (Outbox::default(), Bytes::from_static(&[b'e'; 350]));
    let cursor = Cursor { incarnation: HISTORY, seq: Seq(0) };
    outbox.follow(ROOM, cursor, cursor);
    for seq in 1..=u64::from(times) {
        ensure!(outbox_events(&mut outbox, START, Seq(seq), &bytes), "an event was not sent");
    }
    Ok(())
}

#[inline(never)]
fn gateway_voice(out: &Outgoing, bytes: &Bytes) -> bool {
    out.voice(bytes.clone());
    let sent = matches!(black_box(out.try_next().0), Next::Item(_));
    sent && matches!(out.try_next().0, Next::Idle)
}

fn gateway_voices(times: u32) -> Result<()> {
    let (out, bytes) = (Outgoing::new(Clock::default()), frame(1).encode());
    for _ in 0..times {
        ensure!(gateway_voice(&out, &bytes), "a frame was not sent");
    }
    Ok(())
}

#[inline(never)]
fn gateway_events(out: &Outgoing, seq: Seq, shared: &Frame) -> bool {
    let Frame::Text(text) = shared else { return false };
    out.events(ROOM, seq, seq, Some(text.clone()));
    let sent = matches!(black_box(out.try_next().0), Next::Item(_));
    sent && matches!(out.try_next().0, Next::Idle)
}

fn gateway_events_all(times: u32) -> Result<()> {
    let out = Outgoing::new(Clock::default());
    let cursor = Cursor { incarnation: HISTORY, seq: Seq(0) };
    let hello = ServerMessage::Draining { reconnect_after_ms: 0 };
    out.follow(&hello, ROOM, cursor, cursor);
    ensure!(matches!(out.try_next().0, Next::Item(_)), "what begins a subscription was not sent");
    let event = Event {
        room: ROOM,
        seq: Seq(1),
        received_at: UnixMs(1_790_000_000_000),
        user: USER,
        device: DEVICE,
        client_id: Numbers::default().next(),
        body: body(),
    };
    let text = Frame::Text(encode(&ServerMessage::Events { room: ROOM, incarnation: HISTORY, events: vec![event] }));
    for seq in 1..=u64::from(times) {
        ensure!(gateway_events(&out, Seq(seq), &text), "an event was not sent");
    }
    Ok(())
}

#[inline(never)]
fn jitter_frame(jitter: &mut Jitter, now: Mono, number: FrameNo) -> Playout {
    black_box(jitter.insert(now, number, Duration::from_millis(25)));
    jitter.tick(now)
}

fn jitter_frames(times: u32) -> Result<()> {
    let mut jitter = Jitter::new(FrameMs::Ms20, Entry::Beginning, History::default(), 0);
    let mut played = 0;
    for (at, number) in (0..).zip(numbers(times)) {
        let now = START + Duration::from_millis(20 * at);
        played += u32::from(matches!(jitter_frame(&mut jitter, now, FrameNo(number)), Playout::Frame(_)));
    }
    ensure!(played > times / 2, "{played} of {times} frames were played");
    Ok(())
}

#[inline(never)]
fn send_identity(body: &EventBody) -> Vec<u8> {
    identity(USER, body)
}

fn send_identities(times: u32) -> Result<()> {
    let body = body();
    for _ in 0..times {
        ensure!(!black_box(send_identity(black_box(&body))).is_empty(), "a send has no identity");
    }
    Ok(())
}

#[inline(never)]
fn event_sealed(key: &SealingKey, nonce: &[u8; 24], json: &[u8]) -> Vec<u8> {
    let row: [&[u8]; 2] = [ROOM.bytes(), &[0; 8]];
    key.seal(nonce, &Place { table: "events", column: "body", row: &row }, json)
}

fn events_sealed(times: u32) -> Result<()> {
    let key = SealingKey::new(KeyId(1), &Key::take(&mut [9; 32]));
    let json = serde_json::to_vec(&body())?;
    for number in 0..times {
        // Nonces of a bench, which protects nothing.
        let mut nonce = [0; 24];
        nonce[..4].copy_from_slice(&number.to_be_bytes());
        ensure!(black_box(event_sealed(&key, &nonce, &json)).len() > json.len(), "nothing was sealed");
    }
    Ok(())
}
