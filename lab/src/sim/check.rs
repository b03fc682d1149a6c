//! What is observed in a run, and what must hold of it.

#![expect(clippy::wildcard_enum_match_arm, reason = "of many kinds, those that matter here are picked out")]

use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use holler_core::engine::{HeardState, LinkState, Notice, Received, SendState, TalkState};
use holler_core::model::PresenceState;
use holler_core::units::{BurstId, Cursor, FloorToken, FrameMs, FrameNo, Incarnation, Mono, RoomId, Seq};
use holler_core::wire::limits::{SILENCE_MAX, VOICE_STALE};
use holler_core::wire::socket::FloorState;
use holler_core::wire::voice::{VoiceFrame, VoiceKind};

use super::client::Client;
use super::disk::State;
use super::world::World;
use super::{Tally, Violation};
use crate::history::{self, Entry, Record};

/// For how long somebody may be told as here after the server last read something of theirs: their lease at the server, the lease
/// that it promises to those who look, and a `pong` that was under way for long.
const HERE_MAX: Duration = Duration::from_secs(2 * SILENCE_MAX.as_secs() + 20);

/// Connection attempts of one client in any second, and in any minute: 40 in a row, while speech waits, and then one in ten seconds.
const ATTEMPTS_A_SECOND: usize = 4;
const ATTEMPTS_A_MINUTE: usize = 46;

type Reader = (usize, u32, RoomId);

/// What is observed.
#[derive(Default)]
pub(super) struct Observer {
    pub(super) violations: Vec<Violation>,
    pub(super) tally: Tally,
    pub(super) frames: BTreeMap<BurstId, FrameMs>,
    /// What was seen of each room in each era.
    records: BTreeMap<(RoomId, u32), Vec<Record>>,
    /// The logs that a restored backup replaced.
    past: BTreeMap<(RoomId, u32), Vec<Entry>>,
    /// Which reader a client is now in a room, and how far it is.
    readers: BTreeMap<Reader, (u64, Option<u64>)>,
    next_reader: u64,
    /// The highest place among a client's own acks.
    own: BTreeMap<(usize, RoomId, u32), u64>,
    /// The same when the client last asked for the end of a log, and of which history.
    asked: BTreeMap<(usize, RoomId), (u32, u64)>,
    tokens: BTreeMap<(usize, RoomId), FloorToken>,
    voices: BTreeMap<(usize, [u8; 8]), FloorToken>,
    heard: BTreeMap<(usize, u32, BurstId), Vec<Bytes>>,
    pub(super) heard_at: Vec<(usize, BurstId, Mono)>,
    /// Since when a client's life follows a room.
    followed: BTreeMap<Reader, Mono>,
    /// The last event that a client's life was shown.
    shown: BTreeMap<Reader, Cursor>,
    /// The last frame of each burst that went to somebody's ear.
    pulled: BTreeMap<(usize, BurstId), FrameNo>,
    /// See [`super::Plan`].
    dry: bool,
}

impl Observer {
    pub(super) fn new(dry: bool) -> Self {
        Self { dry, ..Self::default() }
    }

    pub(super) fn violation(&mut self, kind: &'static str, detail: String) {
        if self.violations.len() < 20 {
            self.violations.push(Violation { kind, detail });
        }
    }

    pub(super) fn frame_ms(&self, burst: BurstId) -> Duration {
        self.frames.get(&burst).map_or(Duration::from_millis(20), |length| length.duration())
    }

    fn record(&mut self, room: RoomId, era: u32, record: Record) {
        self.records.entry((room, era)).or_default().push(record);
    }

    /// A client begins: from these cursors, where it has any.
    pub(super) fn starts(&mut self, client: usize, life: u32, era: u32, cursors: &[(RoomId, Option<Cursor>)]) {
        for (room, cursor) in cursors {
            if let Some(cursor) = cursor {
                self.handed_on(client, life, *room, *cursor);
            }
            self.begins(client, life, *room, era, cursor.map(|cursor| cursor.seq.0));
        }
    }

    fn begins(&mut self, client: usize, life: u32, room: RoomId, era: u32, after: Option<u64>) {
        self.next_reader += 1;
        let reader = self.next_reader;
        self.readers.insert((client, life, room), (reader, after));
        if let Some(after) = after {
            self.record(room, era, Record::Begins { reader, after });
        }
    }

    /// A backup replaces the log: what it was until now is kept for the check.
    pub(super) fn restored(&mut self, era: u32, state: &State) {
        for (room, state) in state {
            self.past.insert((*room, era), state.events.iter().map(|event| Entry::from(&**event)).collect());
        }
    }

    /// A client asks where the log ends: what it knows now must be in the answer. What is acked while the answer is on its way need not.
    pub(super) fn asks(&mut self, client: usize, room: RoomId, era: u32) {
        let known = self.own.get(&(client, room, era)).copied().unwrap_or_default();
        self.asked.insert((client, room), (era, known));
    }

    /// A client reads where the log ends.
    pub(super) fn read(&mut self, client: usize, room: RoomId, era: u32, head: Seq) {
        let asked = self.asked.get(&(client, room)).filter(|(when, _)| *when == era);
        let known = asked.map_or(0, |(_, known)| *known);
        let client = u64::try_from(client).unwrap_or_default();
        self.record(room, era, Record::Read { client, known, head: head.0 });
    }

    /// A client tries to connect: not too often.
    pub(super) fn attempt(&mut self, client: usize, now: Mono, attempts: &mut VecDeque<Mono>) {
        attempts.push_back(now);
        while attempts.front().is_some_and(|at| now.since(*at) > Duration::from_secs(60)) {
            attempts.pop_front();
        }
        let lately = attempts.iter().filter(|at| now.since(**at) <= Duration::from_secs(1)).count();
        if lately > ATTEMPTS_A_SECOND || attempts.len() > ATTEMPTS_A_MINUTE {
            let detail = format!("client {client}: {lately} attempts in a second, {} in a minute", attempts.len());
            self.violation("herd", detail);
        }
    }

    /// Everything up to here was handed on to a client.
    pub(super) fn handed_on(&mut self, client: usize, life: u32, room: RoomId, cursor: Cursor) {
        self.shown.insert((client, life, room), cursor);
    }

    /// The last event that a client's life was shown in a room.
    pub(super) fn shown(&self, client: usize, life: u32, room: RoomId) -> Option<Cursor> {
        self.shown.get(&(client, life, room)).copied()
    }

    /// A client says what it got: nothing that it did not get.
    pub(super) fn receipt(
        &mut self,
        client: usize,
        life: u32,
        room: RoomId,
        incarnation: Incarnation,
        delivered: Option<Seq>,
    ) {
        let shown = self.shown(client, life, room).filter(|shown| shown.incarnation == incarnation);
        if let Some(delivered) = delivered
            && shown.is_none_or(|shown| delivered > shown.seq)
        {
            let detail = format!("client {client} in {room}: says that it has {delivered}, was given {shown:?}");
            self.violation("receipt", detail);
        }
    }

    /// Voice arrives at a client: the tokens of live frames never decrease.
    pub(super) fn voice(&mut self, client: usize, bytes: &Bytes) {
        let Ok(frame) = VoiceFrame::decode(bytes) else {
            return self.violation("unreadable", format!("client {client} was sent a frame that can't be read"));
        };
        if frame.kind == VoiceKind::Live {
            let last = self.voices.entry((client, frame.tag.0)).or_insert(frame.token);
            if frame.token < *last {
                let detail = format!("client {client}: a frame under {:?} after one under {last:?}", frame.token);
                self.violation("token", detail);
            } else {
                *last = frame.token;
            }
        }
    }

    /// A burst begins to be played, from its first frame or again.
    pub(super) fn plays(&mut self, client: usize, burst: BurstId) {
        self.pulled.remove(&(client, burst));
    }

    /// A frame goes to somebody's ear: each once, and in their order.
    pub(super) fn pulled(&mut self, client: usize, burst: BurstId, number: FrameNo) {
        let before = self.pulled.insert((client, burst), number);
        if before.is_some_and(|before| number <= before) {
            self.violation("doubled", format!("client {client} plays {number} of {burst} after {before:?}"));
        }
    }

    /// What the engine handed over of somebody's burst.
    pub(super) fn received(&mut self, now: Mono, client: usize, life: u32, received: Received) {
        if received.complete {
            self.heard_at.push((client, received.header.burst, now));
            self.tally.heard += 1;
            let frames = received.frames.into_iter().map(|(_, payload)| payload).collect();
            self.heard.insert((client, life, received.header.burst), frames);
        }
    }

    /// What a client is told.
    pub(super) fn notice(&mut self, now: Mono, at: usize, era: u32, client: &mut Client, notice: &Notice) {
        let life = client.life;
        match notice {
            Notice::Link(state) => {
                client.is_up = matches!(state, LinkState::Up { .. });
                client.ended = matches!(state, LinkState::Ended { .. });
            }
            Notice::Room { room, head, .. } => {
                if let Some((_, None)) = self.readers.get(&(at, life, *room)) {
                    self.begins(at, life, *room, era, Some(head.seq.0));
                }
                self.followed.entry((at, life, *room)).or_insert(now);
                self.read(at, *room, era, head.seq);
            }
            Notice::HistoryGap { room, first_seq, .. } => {
                self.begins(at, life, *room, era, Some(first_seq.0.saturating_sub(1)));
            }
            Notice::Event(event) => {
                let Some((reader, after)) = self.readers.get_mut(&(at, life, event.room)) else { return };
                *after = Some(event.seq.0);
                let reader = *reader;
                self.record(event.room, era, Record::Seen { reader, entry: Entry::from(&**event) });
            }
            Notice::EventsMissing { room, after, found, .. } => {
                let detail = format!("client {at} in {room}: {found} came straight after {after}");
                self.violation("events missing", detail);
            }
            Notice::Floor { room, floor, .. } => {
                let (FloorState::Idle { token } | FloorState::Taken { token, .. }) = floor;
                let last = self.tokens.entry((at, *room)).or_default();
                if token < last {
                    let detail = format!("client {at} in {room}: {token:?} after {last:?}");
                    self.violation("token", detail);
                } else {
                    *last = *token;
                }
            }
            Notice::Send { room, client_id, state, .. } => match state {
                SendState::Acked { seq, .. } => {
                    self.tally.acked += 1;
                    client.sends.remove(client_id);
                    let own = self.own.entry((at, *room, era)).or_default();
                    *own = (*own).max(seq.0);
                    let key = (*client.device.bytes(), *client_id.bytes());
                    let number = u64::try_from(at).unwrap_or_default();
                    self.record(*room, era, Record::Acked { client: number, key, seq: seq.0 });
                }
                SendState::Refused { problem, .. } => {
                    client.sends.remove(client_id);
                    self.violation("refused", format!("client {at}: a good message was refused: {problem}"));
                }
                _ => {}
            },
            Notice::Talk { burst, state, .. } => {
                let Some(said) = client.said.get_mut(burst) else { return };
                match state {
                    TalkState::Granted { .. } => said.granted = true,
                    TalkState::Revoked { .. } | TalkState::Offline => said.broken = true,
                    TalkState::Repairing { frames } if self.dry && said.is_live() => {
                        let detail = format!("client {at}: the server lacks {frames} frames of {burst}, spoken live");
                        self.violation("gap", detail);
                    }
                    TalkState::Delivered => {
                        self.tally.delivered += 1;
                        said.done = Some("delivered");
                    }
                    // A store that could not keep that it was delivered makes it be brought once more.
                    TalkState::Kept if said.done.is_none() => said.done = Some("kept"),
                    TalkState::Failed { .. } if said.done.is_none() => said.done = Some("failed"),
                    _ => {}
                }
            }
            Notice::Heard { room, burst, state, .. } => match state {
                HeardState::Complete | HeardState::Incomplete { .. } => {
                    client.hearing.remove(burst);
                }
                // One that is complete can still be stopped by an emergency in another room.
                HeardState::Missed | HeardState::Elsewhere if self.heard.contains_key(&(at, life, *burst)) => {}
                HeardState::Playing { .. } | HeardState::Interrupted | HeardState::Missed | HeardState::Elsewhere => {
                    client.hearing.insert(*burst, *room);
                }
                _ => {}
            },
            Notice::Fault { detail } if !client.local.lacks => {
                self.violation("fault", format!("client {at}: {detail}"));
            }
            _ => {}
        }
    }
}

/// For how long before the end of a burst frames may be missing at a listener: nothing more comes that would show it sooner.
const TAIL: Duration = VOICE_STALE;

impl World<'_> {
    /// A listener asks for frames of a burst that it lacks, the last of which is this.
    pub(super) fn fetches(&mut self, client: usize, burst: BurstId, to: FrameNo) {
        let life = self.clients[client].life;
        let Some(said) = self.clients.iter().find_map(|client| client.said.get(&burst)) else { return };
        let followed = self.observer.followed.get(&(client, life, said.room));
        let there = followed.is_some_and(|since| *since < said.begun);
        let frame = self.observer.frame_ms(burst);
        let left = said.frames.len().saturating_sub(usize::from(to.0));
        let late = frame * u32::try_from(left).unwrap_or(u32::MAX) > TAIL;
        if self.plan.dry && said.is_live() && there && late {
            let detail = format!("client {client} lacks frame {to} of {burst}, spoken live, {left} before its end");
            self.observer.violation("gap", detail);
        }
    }

    /// Everything is quiet: what must hold now.
    pub(super) fn finish(&mut self) {
        let era = self.era;
        for room in self.rooms.clone() {
            let Some(state) = self.server.disk.state.get(&room) else { continue };
            let log: Vec<Entry> = state.events.iter().map(|event| Entry::from(&**event)).collect();
            let (first, head) = (state.log.first_seq.0, state.log.head.0);
            if log.len() != usize::try_from(head + 1 - first).unwrap_or_default() {
                self.observer.violation("gap", format!("{room}: {} events from {first} to {head}", log.len()));
            }
            for past in 0..=era {
                let records = self.observer.records.remove(&(room, past)).unwrap_or_default();
                let faults = if past == era {
                    history::check(&records, &log, first)
                } else {
                    history::check(&records, &self.observer.past.remove(&(room, past)).unwrap_or_default(), 1)
                };
                for fault in faults {
                    self.observer.violation(fault.kind(), format!("{room}, history {past}: {fault}"));
                }
            }
            for client in 0..self.clients.len() {
                let life = self.clients[client].life;
                let at = self.observer.readers.get(&(client, life, room)).and_then(|(_, after)| *after);
                if at != Some(head) {
                    let detail = format!("client {client} has {room} up to {at:?}, its log ends at {head}");
                    self.observer.violation("behind", detail);
                }
            }
        }
        self.settled();
        self.bursts();
        self.people();
    }

    /// Nobody is told as here who was not heard of for long.
    pub(super) fn look(&mut self) {
        let now = self.now;
        for (at, client) in self.clients.iter().enumerate() {
            let Some(engine) = &client.engine else { continue };
            for (whom, other) in self.clients.iter().enumerate().filter(|(whom, _)| *whom != at) {
                let seen = engine.presence(now, other.user);
                if matches!(seen.state, PresenceState::Unknown | PresenceState::Offline) {
                    continue;
                }
                self.observer.tally.here += 1;
                let heard = self.server.heard.get(&other.device).copied();
                if heard.is_none_or(|heard| now.since(heard) > HERE_MAX) {
                    let ago = heard.map(|heard| now.since(heard));
                    let detail = format!("client {at} sees {whom} as {}, last heard {ago:?} ago", seen.state);
                    self.observer.violation("presence lies", detail);
                }
            }
        }
    }

    /// In the end everybody sees everybody as they are, and the server knows what was heard and read.
    fn people(&mut self) {
        let (now, era) = (self.now, self.era);
        for (at, client) in self.clients.iter().enumerate() {
            let Some(engine) = &client.engine else { continue };
            for (whom, other) in self.clients.iter().enumerate().filter(|(whom, _)| *whom != at) {
                let seen = engine.presence(now, other.user);
                if client.is_up && other.is_up && seen.state != other.own {
                    let detail = format!("client {at} sees {whom} as {} who is {}", seen.state, other.own);
                    self.observer.violation("presence", detail);
                }
            }
            // A log that was set back may not know the burst any more: then nothing can be told of it.
            for (room, burst) in client.played.iter().filter(|_| era == 0) {
                let state = self.server.disk.state.get(room);
                if state.is_some_and(|state| !state.heard.contains(&(*burst, client.user))) {
                    let detail = format!("client {at} heard {burst}, and the server does not know");
                    self.observer.violation("receipt lost", detail);
                }
            }
            for (room, cursor) in &client.read {
                let Some(state) = self.server.disk.state.get(room) else { continue };
                let mark = state.marks.get(&client.user).filter(|mark| mark.0 == state.log.incarnation);
                if cursor.incarnation == state.log.incarnation && mark.is_none_or(|mark| mark.2 < cursor.seq) {
                    let detail = format!("client {at} read {room} up to {}, the server has {mark:?}", cursor.seq);
                    self.observer.violation("receipt lost", detail);
                }
            }
        }
    }

    /// Nothing waits for ever.
    fn settled(&mut self) {
        let observer = &mut self.observer;
        for (at, client) in self.clients.iter().enumerate() {
            if !client.is_up {
                observer.violation("hang", format!("client {at} is not connected (ended: {})", client.ended));
            }
            if !client.sends.is_empty() {
                observer.violation("hang", format!("client {at} waits for {} answers", client.sends.len()));
            }
            for (burst, said) in &client.said {
                match said.done {
                    Some(_) if said.frames.is_empty() => {}
                    None => observer.violation("hang", format!("client {at}: nothing came of {burst}")),
                    Some("kept" | "failed") if said.granted && !said.shortened => {
                        let detail = format!("client {at}: {burst} was granted and is {:?}", said.done);
                        observer.violation("burst given up", detail);
                    }
                    Some(_) => {}
                }
            }
            for burst in client.hearing.keys() {
                observer.violation("hang", format!("client {at}: nothing came of hearing {burst}"));
            }
        }
    }

    /// What was delivered is whole, at the server and at everyone who followed.
    fn bursts(&mut self) {
        let observer = &mut self.observer;
        for (at, client) in self.clients.iter().enumerate() {
            for (burst, said) in client.said.iter().filter(|(_, said)| said.done == Some("delivered")) {
                let row = self.server.disk.state.get(&said.room).and_then(|state| state.bursts.get(burst));
                let Some(row) = row else {
                    // A log that was set back gets it again, from whoever could keep it, and that it was delivered.
                    let local = &client.local;
                    if self.era == 0 || local.frames(*burst) == said.frames && local.keeps_delivered(*burst) {
                        observer.violation("burst lost", format!("{burst} of client {at} was delivered and is gone"));
                    }
                    continue;
                };
                if !row.facts.complete || !said.is(row.frames.values()) {
                    if self.era == 0 {
                        let detail = format!(
                            "{burst} of client {at}: {} of {} frames, complete: {}",
                            row.frames.len(),
                            said.frames.len(),
                            row.facts.complete
                        );
                        observer.violation("burst incomplete", detail);
                    }
                    continue;
                }
                for (listener, other) in self.clients.iter().enumerate() {
                    let followed = observer.followed.get(&(listener, other.life, said.room));
                    if listener == at || followed.is_none_or(|since| *since >= said.begun) || self.era > 0 {
                        continue;
                    }
                    match observer.heard.get(&(listener, other.life, *burst)) {
                        Some(frames) if said.is(frames.iter()) => {}
                        Some(frames) => {
                            let detail = format!("{burst}: client {listener} has {} other frames", frames.len());
                            observer.violation("burst altered", detail);
                        }
                        None => {
                            let detail = format!("{burst} of client {at} never was complete at client {listener}");
                            observer.violation("not heard", detail);
                        }
                    }
                }
            }
        }
    }
}
