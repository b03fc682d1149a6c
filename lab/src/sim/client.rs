//! A person with a client: the real engine, a local store that survives as far as it was synced, and the shell between them.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use holler_core::burst::Recording;
use holler_core::engine::{Engine, Lane, LinkNo, Restored, Spoken, Store};
use holler_core::model::{BurstDigest, BurstHeader, EventBody, PresenceState, Priority};
use holler_core::units::{BurstId, ClientId, Cursor, DeviceId, FrameNo, Incarnation, Mono, RoomId, UnixMs, UserId};
use holler_core::wire::limits::VOICE_STALE;
use holler_core::wire::voice::{FrameAge, VoiceFrame};

use super::conn::{Conn, Wire};
use crate::chance::Chance;
use crate::link::Profile;

/// A burst in the local store.
#[derive(Clone, Debug)]
struct LocalBurst {
    ord: u64,
    room: RoomId,
    header: BurstHeader,
    priority: Priority,
    begun: Mono,
    placed: bool,
    held: bool,
    end: Option<(FrameNo, BurstDigest)>,
    delivered_in: Option<Incarnation>,
    frames: BTreeMap<FrameNo, Bytes>,
}

/// A text in the local store.
#[derive(Clone, Debug)]
struct LocalSend {
    ord: u64,
    room: RoomId,
    client_id: ClientId,
    body: EventBody,
    acked_in: Option<Incarnation>,
}

/// What the local store holds; as `client/native` keeps it.
#[derive(Clone, Debug, Default)]
struct Rows {
    next_ord: u64,
    cursors: BTreeMap<RoomId, Cursor>,
    sends: Vec<LocalSend>,
    bursts: Vec<LocalBurst>,
    read: BTreeMap<RoomId, Cursor>,
    heard: Vec<(RoomId, BurstId)>,
}

impl Rows {
    fn burst(&mut self, id: BurstId) -> Option<&mut LocalBurst> {
        self.bursts.iter_mut().find(|burst| burst.header.burst == id)
    }

    fn ord(&mut self) -> u64 {
        self.next_ord += 1;
        self.next_ord
    }

    fn apply(&mut self, begun: Mono, change: Store) {
        match change {
            Store::BurstBegun { room, header, priority, server_time: _ } => {
                let (placed, held, end, delivered_in, frames) = (false, false, None, None, BTreeMap::new());
                let ord = self.ord();
                self.bursts.push(LocalBurst {
                    ord,
                    room,
                    header,
                    priority,
                    begun,
                    placed,
                    held,
                    end,
                    delivered_in,
                    frames,
                });
            }
            Store::Frame { burst, number, payload } => {
                if let Some(burst) = self.burst(burst) {
                    burst.frames.insert(number, payload);
                }
            }
            Store::BurstPlaced { burst } => {
                if let Some(burst) = self.burst(burst) {
                    burst.placed = true;
                }
            }
            Store::BurstHeld { burst } => {
                if let Some(burst) = self.burst(burst) {
                    burst.held = true;
                }
            }
            Store::BurstEnded { burst, end: Some(end) } => {
                if let Some(burst) = self.burst(burst) {
                    burst.end = Some(end);
                }
            }
            Store::BurstEnded { burst, end: None } => self.bursts.retain(|known| known.header.burst != burst),
            Store::BurstDelivered { burst, incarnation } => {
                if let Some(burst) = self.burst(burst) {
                    burst.delivered_in = Some(incarnation);
                }
            }
            // Which bursts of others were played is for people's lists only.
            Store::BurstHeard { .. } => {}
            Store::Cursor { room, cursor } => {
                self.cursors.insert(room, cursor);
            }
            Store::Send { room, client_id, body } => {
                if !self.sends.iter().any(|send| send.client_id == client_id) {
                    let ord = self.ord();
                    self.sends.push(LocalSend { ord, room, client_id, body, acked_in: None });
                }
            }
            Store::SendDone { client_id, place: Some(place) } => {
                if let Some(send) = self.sends.iter_mut().find(|send| send.client_id == client_id) {
                    send.acked_in = Some(place.incarnation);
                }
            }
            Store::SendDone { client_id, place: None } => self.sends.retain(|send| send.client_id != client_id),
            Store::Heard { room, burst } => {
                if !self.heard.contains(&(room, burst)) {
                    self.heard.push((room, burst));
                }
            }
            Store::Read { room, cursor } => {
                self.read.insert(room, cursor);
            }
            Store::ReceiptsStored { room, read, heard } => {
                let told = |cursor: &Cursor| {
                    read.is_some_and(|read| read.incarnation == cursor.incarnation && cursor.seq <= read.seq)
                };
                if self.read.get(&room).is_some_and(told) {
                    self.read.remove(&room);
                }
                self.heard.retain(|(known, burst)| *known != room || !heard.contains(burst));
            }
        }
    }

    /// What is not finished, or, with a room and its history, what was acked in another history of it; in its order.
    fn restored(&self, now: Mono, other_than: Option<(RoomId, Incarnation)>) -> Vec<Restored> {
        let wanted = |room: RoomId, done_in: Option<Incarnation>| match other_than {
            None => done_in.is_none(),
            Some((of, incarnation)) => of == room && done_in.is_some_and(|done_in| done_in != incarnation),
        };
        let mut found = Vec::new();
        for send in self.sends.iter().filter(|send| wanted(send.room, send.acked_in)) {
            let (room, client_id, body) = (send.room, send.client_id, send.body.clone());
            found.push((send.ord, Restored::Send { room, client_id, body }));
        }
        for burst in self.bursts.iter().filter(|burst| !burst.held && wanted(burst.room, burst.delivered_in)) {
            // The client died while it was spoken: it ends with what was kept.
            let Some((last, digest)) = burst.end.or_else(|| ended(&burst.frames)) else { continue };
            let item = Restored::Burst {
                room: burst.room,
                header: burst.header,
                priority: burst.priority,
                spoken: Spoken::Ago(now.since(burst.begun)),
                placed: burst.placed && other_than.is_none(),
                delivered: other_than.is_some(),
                last,
                digest,
            };
            found.push((burst.ord, item));
        }
        found.sort_by_key(|(ord, _)| *ord);
        found.into_iter().map(|(_, item)| item).collect()
    }
}

/// Where a recording ends that was cut off.
fn ended(frames: &BTreeMap<FrameNo, Bytes>) -> Option<(FrameNo, BurstDigest)> {
    let mut recording = Recording::new();
    for frame in contiguous(frames) {
        recording.push(frame).ok()?;
    }
    recording.end()
}

/// The local store: what waits becomes durable in groups.
#[derive(Debug, Default)]
pub(super) struct Local {
    durable: Rows,
    waiting: Vec<(Mono, Store)>,
    syncing: Option<Vec<(Mono, Store)>>,
    pub(super) full: bool,
    /// Something was not kept: what is missing later is no wonder, and is said.
    pub(super) lacks: bool,
}

impl Local {
    pub(super) fn push(&mut self, now: Mono, change: Store) {
        self.waiting.push((now, change));
    }

    /// Begins to sync what waits; whether there is anything.
    pub(super) fn begin(&mut self) -> bool {
        if self.syncing.is_some() || self.waiting.is_empty() {
            return false;
        }
        self.syncing = Some(std::mem::take(&mut self.waiting));
        true
    }

    /// The sync has ended. How many changes could not be kept.
    pub(super) fn synced(&mut self) -> usize {
        let changes = self.syncing.take().unwrap_or_default();
        if self.full {
            self.lacks |= !changes.is_empty();
            return changes.len();
        }
        for (at, change) in changes {
            self.durable.apply(at, change);
        }
        0
    }

    /// The client is gone. `coin`: what was being synced had reached the disk.
    pub(super) fn crash(&mut self, coin: bool) {
        let syncing = self.syncing.take().unwrap_or_default();
        self.waiting.clear();
        if coin && !self.full {
            for (at, change) in syncing {
                self.durable.apply(at, change);
            }
        }
    }

    pub(super) fn cursor(&self, room: RoomId) -> Option<Cursor> {
        self.durable.cursors.get(&room).copied()
    }

    /// What a new life begins with.
    pub(super) fn unfinished(&self, now: Mono) -> Vec<Restored> {
        let rooms: BTreeSet<RoomId> =
            self.durable.read.keys().copied().chain(self.durable.heard.iter().map(|(room, _)| *room)).collect();
        let receipts = rooms.into_iter().map(|room| Restored::Receipts {
            room,
            read: self.durable.read.get(&room).copied(),
            heard: self.durable.heard.iter().filter(|(of, _)| *of == room).map(|(_, burst)| *burst).collect(),
        });
        self.durable.restored(now, None).into_iter().chain(receipts).collect()
    }

    /// What was acked in another history of the room's log than this one.
    pub(super) fn acked_elsewhere(&self, now: Mono, room: RoomId, incarnation: Incarnation) -> Vec<Restored> {
        self.durable.restored(now, Some((room, incarnation)))
    }

    /// The frames of a burst, once what still waits is kept too; from the first to the first that is missing.
    pub(super) fn load(&self, burst: BurstId) -> Vec<Bytes> {
        let mut rows = self.durable.clone();
        if !self.full {
            for (at, change) in self.syncing.iter().flatten().chain(&self.waiting) {
                rows.apply(*at, change.clone());
            }
        }
        rows.burst(burst).map_or_else(Vec::new, |row| contiguous(&row.frames))
    }

    /// The frames of a burst that survive, from the first to the first that is missing.
    pub(super) fn frames(&self, burst: BurstId) -> Vec<Bytes> {
        let row = self.durable.bursts.iter().find(|row| row.header.burst == burst);
        row.map_or_else(Vec::new, |row| contiguous(&row.frames))
    }

    /// Whether it is kept that a burst was delivered, so that a log which was set back is offered it.
    pub(super) fn keeps_delivered(&self, burst: BurstId) -> bool {
        self.durable.bursts.iter().any(|row| row.header.burst == burst && row.delivered_in.is_some())
    }

    /// Whether a receipt is kept, and so is told after a crash.
    pub(super) fn keeps_heard(&self, room: RoomId, burst: BurstId) -> bool {
        self.durable.heard.contains(&(room, burst))
    }

    /// Up to where a room was read, and the server does not know it.
    pub(super) fn kept_read(&self, room: RoomId) -> Option<Cursor> {
        self.durable.read.get(&room).copied()
    }

    /// Whether a send is kept, and so goes on after a crash.
    pub(super) fn keeps_send(&self, client_id: ClientId) -> bool {
        self.durable.sends.iter().any(|send| send.client_id == client_id && send.acked_in.is_none())
    }
}

fn contiguous(frames: &BTreeMap<FrameNo, Bytes>) -> Vec<Bytes> {
    let next = frames.iter().zip(1..).take_while(|((number, _), expected)| number.0 == *expected);
    next.map(|((_, payload), _)| payload.clone()).collect()
}

#[derive(Debug)]
enum Item {
    Text(String),
    Voice { frame: VoiceFrame, captured_at: Mono, queued_at: Mono },
}

/// As `client/native/src/net.rs`: what waits for the network, in the order of its lanes.
#[derive(Debug, Default)]
pub(super) struct Lanes {
    voice: VecDeque<Item>,
    control: VecDeque<Item>,
    repair: VecDeque<Item>,
    bulk: VecDeque<Item>,
}

impl Lanes {
    pub(super) fn text(&mut self, lane: Lane, text: String) {
        self.lane(lane).push_back(Item::Text(text));
    }

    pub(super) fn voice(&mut self, now: Mono, lane: Lane, frame: VoiceFrame, captured_at: Mono) {
        self.lane(lane).push_back(Item::Voice { frame, captured_at, queued_at: now });
    }

    fn lane(&mut self, lane: Lane) -> &mut VecDeque<Item> {
        match lane {
            Lane::Voice => &mut self.voice,
            Lane::Control => &mut self.control,
            Lane::Bulk => &mut self.bulk,
            _ => &mut self.repair,
        }
    }

    /// Hands on what the connection takes; gives the bytes of repair among it.
    pub(super) fn flush(&mut self, now: Mono, conn: &mut Conn) -> usize {
        let mut repaired = 0;
        while conn.up.has_room() {
            let fresh =
                |item: &Item| !matches!(item, Item::Voice { queued_at, .. } if now.since(*queued_at) > VOICE_STALE);
            while self.voice.front().is_some_and(|item| !fresh(item)) {
                self.voice.pop_front();
            }
            let live = self.voice.pop_front().or_else(|| self.control.pop_front());
            let repair = live.is_none();
            let later = || self.repair.pop_front().or_else(|| self.bulk.pop_front());
            let Some(item) = live.or_else(later) else { break };
            let wire = match item {
                Item::Text(text) => Wire::Text(text),
                Item::Voice { mut frame, captured_at, .. } => {
                    if repair {
                        repaired += frame.payload.len();
                    }
                    frame.age = FrameAge::from(now.since(captured_at));
                    Wire::Binary(frame.encode())
                }
            };
            conn.up.send(now, wire.bytes(), wire);
        }
        repaired
    }
}

/// A burst as its speaker spoke it.
#[derive(Clone, Debug)]
pub(super) struct Said {
    pub(super) room: RoomId,
    /// What can still be expected to be heard: after a crash, what the local store had kept.
    pub(super) frames: Vec<Bytes>,
    pub(super) granted: bool,
    /// The last word about it: delivered, kept, failed.
    pub(super) done: Option<&'static str>,
    /// The client died before everything said was on its disk.
    pub(super) shortened: bool,
    pub(super) begun: Mono,
    /// The floor was taken away, or the connection was lost.
    pub(super) broken: bool,
}

impl Said {
    pub(super) fn new(room: RoomId, begun: Mono) -> Self {
        Self { room, frames: Vec::new(), granted: false, done: None, shortened: false, begun, broken: false }
    }

    /// Whether it is, or was, said live from its first frame to its last.
    pub(super) fn is_live(&self) -> bool {
        self.granted && !self.broken && !self.shortened
    }

    /// Whether these frames are what was said; after a crash, what was kept and what had been sent beyond it.
    pub(super) fn is<'a>(&self, mut found: impl Iterator<Item = &'a Bytes>) -> bool {
        self.frames.iter().all(|frame| found.next() == Some(frame)) && (self.shortened || found.next().is_none())
    }
}

/// A person and their client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    /// `None`: it does not run.
    pub(super) engine: Option<Engine>,
    /// Counts its lives.
    pub(super) life: u32,
    pub(super) up: Profile,
    pub(super) down: Profile,
    pub(super) cut: bool,
    pub(super) conn: Option<(LinkNo, u64)>,
    pub(super) lanes: Lanes,
    pub(super) local: Local,
    /// The access token and until when it is valid, by this client's wall clock.
    pub(super) token: Option<(String, UnixMs)>,
    /// Milliseconds that this client's wall clock is ahead.
    pub(super) wall_ahead: i64,
    pub(super) recording: Option<BurstId>,
    pub(super) said: BTreeMap<BurstId, Said>,
    /// Sends that were asked for and have no answer yet.
    pub(super) sends: BTreeMap<ClientId, RoomId>,
    pub(super) is_up: bool,
    pub(super) ended: bool,
    /// Others' bursts whose last state says that more is to come.
    pub(super) hearing: BTreeMap<BurstId, RoomId>,
    pub(super) attempts: VecDeque<Mono>,
    /// How the person last said they are.
    pub(super) own: PresenceState,
    /// Bursts heard to their end, and up to where each room was read.
    pub(super) played: BTreeSet<(RoomId, BurstId)>,
    pub(super) read: BTreeMap<RoomId, Cursor>,
    pub(super) chance: Chance,
}

impl Client {
    pub(super) fn wall(&self, unix: UnixMs) -> UnixMs {
        UnixMs(unix.0.saturating_add_signed(self.wall_ahead))
    }

    /// How long a kept token is still valid, as this client sees it.
    pub(super) fn token_left(&self, unix: UnixMs) -> Option<(String, Duration)> {
        let (token, until) = self.token.as_ref()?;
        let left = until.0.checked_sub(self.wall(unix).0).filter(|left| *left >= 10_000)?;
        Some((token.clone(), Duration::from_millis(left)))
    }
}

/// The frame that a speaker says, different for each burst and number.
pub(super) fn payload(burst: BurstId, number: u16) -> Bytes {
    let mut bytes = burst.bytes().to_vec();
    bytes.extend(number.to_be_bytes());
    bytes.resize(40 + usize::from(number % 7), 7);
    bytes.into()
}
