//! The state of a room's home: its machines, and who listens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use holler_core::floor::{self, Audience, Floor};
use holler_core::log::LogHead;
use holler_core::model::{Event, EventBody, Role};
use holler_core::path::Route;
use holler_core::session::Coalesce;
use holler_core::units::{
    BurstId, BurstStep, BurstTag, ClientId, Cursor, DeviceId, Epoch, Incarnation, Mono, RequestId, RoomId, Seq, UnixMs,
    UserId,
};
use holler_core::wire::socket::{DenyReason, FloorState, RevokeReason, ServerMessage};
use holler_core::wire::voice::{VoiceFrame, VoiceKind};

use super::bursts::{Bursts, Settled};
use super::journal::{Entry, Journal, Outcome};
use super::load::Load;
use super::{Command, Committed};
use crate::clock::Clock;
use crate::gateway::{Connection, encode};
use crate::storage::receipts::Reach;
use crate::storage::{Append, BurstRecord};
use crate::voice::Buffers;

/// How often frames are taken from memory into a chunk.
const CHUNK: Duration = Duration::from_secs(1);

/// One process is the home of all its rooms: its lease has no end.
const NO_LEASE_END: Mono = Mono(u64::MAX);

/// A socket that follows the room.
struct Member {
    connection: Arc<Connection>,
    role: Role,
    voice: bool,
}

/// Draws 16 random bytes.
pub type Draw = Box<dyn FnMut() -> Result<[u8; 16], getrandom::Error> + Send>;

/// What a home starts from.
pub struct Opening {
    /// The room.
    pub room: RoomId,
    /// Above that of every home before.
    pub term: u32,
    /// Whose emergencies are on.
    pub emergencies: Vec<UserId>,
    /// Where the log stands, after the [`interruption`] of every burst that an earlier home left open.
    pub log: LogHead,
    /// Names the events that have no other name.
    pub draw: Draw,
}

/// The event that ends a burst which an earlier home left open. It is to be written before anybody can ask about the burst: its
/// sender may come back with a `burst.end` at once.
pub fn interruption(room: RoomId, burst: BurstId, record: &BurstRecord, received_at: UnixMs) -> Append {
    Append {
        room,
        user: record.user,
        device: record.device,
        role: Role::Talker,
        client_id: burst.client_id(BurstStep::Ended),
        epoch: None,
        body: EventBody::BurstInterrupted {
            burst,
            last_received: record.present.last().map(|range| range.to).unwrap_or_default(),
        },
        received_at,
    }
}

/// One room: a machine. After every call, its shell calls [`Room::settle`], does what [`Room::write`] and [`Room::poll_load`]
/// ask for, and waits until [`Room::poll_timeout`] at most.
pub struct Room {
    room: RoomId,
    clock: Clock,
    draw: Draw,
    floor: Floor,
    bursts: Bursts,
    journal: Journal,
    members: BTreeMap<DeviceId, Member>,
    incarnation: Incarnation,
    first_seq: Seq,
    head: Seq,
    epoch: Epoch,
    chunk_at: Option<Mono>,
    draining: bool,
    buffers: Buffers,
    /// The burst whose frames were last sent on, until those who listen know of its end.
    sent_on: Option<BurstTag>,
}

impl Room {
    /// A home that nobody follows yet.
    pub fn new(opening: Opening, clock: Clock) -> Self {
        let Opening { room, term, emergencies, log, draw } = opening;
        Self {
            room,
            clock,
            draw,
            floor: Floor::new(floor::Config::default(), term, NO_LEASE_END, emergencies),
            bursts: Bursts::new(),
            journal: Journal::new(room, clock),
            members: BTreeMap::new(),
            incarnation: log.incarnation,
            first_seq: log.first_seq,
            head: log.head,
            epoch: log.epoch,
            chunk_at: None,
            draining: false,
            buffers: Buffers::default(),
            sent_on: None,
        }
    }

    /// The room.
    pub fn id(&self) -> RoomId {
        self.room
    }

    pub(super) fn clock(&self) -> Clock {
        self.clock
    }

    /// Whether it is to end and nothing is left to write.
    pub fn is_done(&self) -> bool {
        self.draining && self.journal.is_empty() && self.bursts.nothing_unsaved()
    }

    /// The entry to write now, if there is one; [`Room::written`] must be called with what came of it.
    pub fn write(&mut self) -> Option<Entry> {
        let due = self.journal.due().is_some_and(|at| at <= self.clock.now());
        if due { self.journal.write() } else { None }
    }

    /// What to read from storage.
    pub fn poll_load(&mut self) -> Option<Load> {
        self.bursts.poll_load()
    }

    /// When to call [`Room::timeout`].
    pub fn poll_timeout(&self) -> Option<Mono> {
        [self.floor.poll_timeout(), self.chunk_at, self.journal.due(), self.bursts.poll_timeout()]
            .into_iter()
            .flatten()
            .min()
    }

    /// The time of [`Room::poll_timeout`] has come.
    pub fn timeout(&mut self) {
        let now = self.clock.now();
        self.floor.handle(now, floor::Input::Timeout);
        if self.chunk_at.is_some_and(|at| at <= now) {
            self.chunk_at = None;
            self.bursts.save(&mut self.journal);
        }
        let holder = self.floor.holder().map(|(_, burst, _)| burst);
        let members = &self.members;
        self.bursts.timeout(now, holder, |device| members.contains_key(&device), &mut self.journal);
    }

    /// Runs the machines' outputs, and plans the next chunk.
    pub fn settle(&mut self) {
        while let Some(output) = self.floor.poll_output() {
            self.floor_output(&output);
        }
        while let Some(settled) = self.bursts.poll_settled() {
            self.tell_status(&settled);
        }
        if self.chunk_at.is_none() && !self.bursts.nothing_unsaved() {
            self.chunk_at = Some(self.clock.now() + if self.draining { Duration::ZERO } else { CHUNK });
        }
    }

    /// An entry of the journal was written, or not.
    pub fn written(&mut self, outcome: &Outcome) {
        if let Outcome::Retry(why) = outcome {
            self.bursts.tell_stuck(why);
        }
        if let Some(entry) = self.journal.settled(outcome) {
            self.bursts.written(&entry, outcome, &mut self.journal);
        }
    }

    /// Events were committed: everyone who follows is told; the message is serialised once.
    pub fn committed(&mut self, batch: Committed) {
        let Committed { events, overflow } = batch;
        if let (Some(first), Some(last)) = (events.first(), events.last()) {
            let (first, last) = (first.seq, last.seq);
            self.head = self.head.max(last);
            let text = self.events_message(&events);
            for member in self.members.values() {
                member.connection.out.events(self.room, first, last, Some(text.clone()));
            }
        }
        if let Some(head) = overflow {
            self.head = self.head.max(head);
            for member in self.members.values() {
                member.connection.out.events(self.room, head, head, None);
            }
        }
    }

    fn events_message(&self, events: &[Arc<Event>]) -> Utf8Bytes {
        let events = events.iter().map(|event| Event::clone(event)).collect();
        encode(&ServerMessage::Events { room: self.room, incarnation: self.incarnation, events })
    }

    /// Does what is asked.
    pub fn command(&mut self, command: Command) {
        let now = self.clock.now();
        match command {
            Command::Join { connection, role, request, cursor, voice } => {
                self.join(now, connection, role, request, cursor, voice);
            }
            Command::Leave { device, connection } => self.leave(now, device, connection),
            Command::Floor(floor::Input::Request(request)) => self.request(now, request),
            Command::Floor(input) => self.floor.handle(now, input),
            Command::Role { user, role } => {
                for member in self.members.values_mut().filter(|member| member.connection.user == user) {
                    if let Some(role) = role {
                        member.role = role;
                    }
                }
                self.floor.handle(now, floor::Input::RoleChanged { user, role });
            }
            Command::Voice { connection, frame } => self.voice(now, &connection, frame),
            Command::BurstEnd { connection, burst, last, digest } => {
                self.floor.handle(now, floor::Input::Heard { device: connection.device });
                self.floor.handle(now, floor::Input::Ended { device: connection.device, burst });
                self.bursts.end(now, connection.device, burst, last, digest, &mut self.journal);
            }
            Command::BurstOffer { connection, offer } => {
                let (device, burst) = (connection.device, offer.header.burst);
                self.floor.handle(now, floor::Input::Heard { device });
                // Where a grant was given that its asker never heard of.
                self.floor.handle(now, floor::Input::Ended { device, burst });
                self.bursts.offer(now, device, connection.user, *offer, &mut self.journal);
            }
            Command::Receipts(reach) => self.receipts(&reach),
            Command::Loaded(loaded) => self.bursts.loaded(now, *loaded, &mut self.journal),
            Command::Drain => {
                self.draining = true;
                self.floor.handle(now, floor::Input::Drain);
                self.bursts.save(&mut self.journal);
            }
        }
    }

    /// Tells senders how far their events got, and dispatchers of all.
    fn receipts(&self, reach: &[Reach]) {
        for Reach { seq, user, burst, of, delivered, taken } in reach.iter().copied() {
            let text = encode(&ServerMessage::Receipts { room: self.room, seq, burst, of, delivered, taken });
            for member in self.members.values() {
                if member.connection.user == user || member.role >= Role::Dispatcher {
                    member.connection.out.control(text.clone(), Some(Coalesce::Receipts(self.room, seq)));
                }
            }
        }
    }

    /// A floor request. Denied where the burst could not be kept: too many are unsettled, or the store takes nothing; or where
    /// the burst's name is another device's.
    fn request(&mut self, now: Mono, request: floor::Request) {
        let taken = self.bursts.owner(request.header.burst).is_some_and(|owner| owner != request.device);
        if !taken && !self.journal.is_stuck() && !self.bursts.is_full() {
            return self.floor.handle(now, floor::Input::Request(request));
        }
        if let Some(member) = self.members.get(&request.device) {
            let reason = if taken { DenyReason::NotAllowed } else { DenyReason::HomeUnavailable };
            let denied = ServerMessage::FloorDenied { request: request.request, room: self.room, reason };
            member.connection.out.floor(encode(&denied), None);
        }
    }

    fn join(
        &mut self,
        now: Mono,
        connection: Arc<Connection>,
        role: Role,
        request: RequestId,
        cursor: Option<Cursor>,
        voice: bool,
    ) {
        let device = connection.device;
        if self.members.get(&device).is_some_and(|member| member.connection.id != connection.id) {
            // The floor must hear that the old socket is gone before anything that comes from the new one.
            self.floor.handle(now, floor::Input::Gone { device });
        }
        let head = Cursor { incarnation: self.incarnation, seq: self.head };
        let subscribed = ServerMessage::Subscribed {
            request,
            room: self.room,
            role,
            head,
            first_seq: self.first_seq,
            epoch: self.epoch,
            floor: self.floor.state(now),
            emergencies: self.floor.emergencies().to_vec(),
        };
        connection.out.follow(&subscribed, self.room, cursor.unwrap_or(head), head);
        if voice
            && let FloorState::Taken { device: talker, header, .. } = self.floor.state(now)
            && talker != device
        {
            for frame in self.bursts.late_entry(now, header.burst) {
                connection.out.voice(frame.encode());
            }
        }
        self.members.insert(device, Member { connection, role, voice });
    }

    fn leave(&mut self, now: Mono, device: DeviceId, connection: u64) {
        let Some(member) = self.members.get(&device) else { return };
        if member.connection.id != connection {
            return;
        }
        member.connection.out.unfollow(self.room);
        self.members.remove(&device);
        self.floor.handle(now, floor::Input::Gone { device });
    }

    /// A voice frame: live ones need the current token and go to everyone, repairs need the burst's owner.
    fn voice(&mut self, now: Mono, connection: &Connection, mut frame: VoiceFrame) {
        let device = connection.device;
        self.floor.handle(now, floor::Input::Heard { device });
        if frame.kind == VoiceKind::Live {
            let speaks = self.floor.holder().is_some_and(|(_, burst, _)| burst.tag() == frame.tag);
            if !speaks || !self.floor.accepts(now, device, frame.token) {
                // Frames of a talker who was just revoked: they are repaired later, and the revocation was told.
                metrics::counter!("holler_voice_frames_total", "what" => "stale-token").increment(1);
                return;
            }
            frame.age = (frame.age.duration() + connection.one_way()).into();
        }
        let kept = self.bursts.frame(now, device, &frame, &mut self.journal);
        let what = match &kept {
            Ok(true) if frame.kind == VoiceKind::Live => {
                self.fan_out(now, device, &frame.encode());
                self.sent_on = Some(frame.tag);
                "live"
            }
            Ok(true) => "repair",
            Ok(false) => "duplicate",
            Err(_) => "refused",
        };
        metrics::counter!("holler_voice_frames_total", "what" => what).increment(1);
        if let Err(problem) = kept {
            connection.out.answer(&ServerMessage::Error { request: None, problem });
        }
    }

    /// Sends a live frame of `talker` to everybody who listens.
    fn fan_out(&mut self, now: Mono, talker: DeviceId, frame: &Bytes) {
        let (mut by_datagram, mut by_socket, mut both) = (0, 0, 0);
        for (listener, member) in &self.members {
            if member.voice && *listener != talker {
                match member.connection.voice(now, frame, &mut self.buffers) {
                    Route::Datagram(_) => by_datagram += 1,
                    Route::Socket => by_socket += 1,
                    Route::Both(_) => both += 1,
                }
            }
        }
        for (route, sent) in [("datagram", by_datagram), ("socket", by_socket), ("both", both)] {
            if sent > 0 {
                metrics::counter!("holler_voice_frames_sent_total", "route" => route).increment(sent);
            }
        }
    }

    fn floor_output(&mut self, output: &floor::Output) {
        match output {
            floor::Output::Granted { device, user, token, priority, header, spoken_ago, again, .. } => {
                if !again {
                    self.bursts.start(self.clock.now(), *device, *user, header.burst, &mut self.journal);
                    self.journal.push(Entry::Event {
                        burst: Some(header.burst),
                        user: *user,
                        device: *device,
                        client_id: header.burst.client_id(BurstStep::Started),
                        body: EventBody::BurstStarted {
                            header: *header,
                            token: Some(*token),
                            priority: *priority,
                            spoken_ago_ms: u64::try_from(spoken_ago.as_millis()).unwrap_or(u64::MAX),
                            uncertainty_ms: 0,
                        },
                    });
                }
            }
            floor::Output::Revoked { burst, reason: RevokeReason::LinkLost, .. } => {
                self.bursts.interrupt(*burst, &mut self.journal);
            }
            floor::Output::EmergencyRaised { user, device } => {
                self.log_emergency(*user, *device, EventBody::EmergencyRaised {});
            }
            floor::Output::EmergencyCleared { by, device, raised_by } => {
                self.log_emergency(*by, *device, EventBody::EmergencyCleared { raised_by: *raised_by });
            }
            floor::Output::Outcome { priority, outcome, wait, .. } => {
                let (outcome, priority) = (outcome.as_str(), priority.as_str());
                metrics::counter!("holler_floor_outcomes_total", "outcome" => outcome, "priority" => priority)
                    .increment(1);
                metrics::histogram!("holler_floor_wait_seconds", "outcome" => outcome).record(wait.as_secs_f64());
            }
            floor::Output::Changed(floor) => self.last_words(floor),
            floor::Output::Revoked { .. }
            | floor::Output::Queued { .. }
            | floor::Output::Denied { .. }
            | floor::Output::Warning { .. }
            | floor::Output::Emergencies { .. }
            | floor::Output::ClearRefused { .. } => {}
        }
        let Some((audience, message)) = output.message(self.room) else { return };
        let coalesce = [
            (matches!(message, ServerMessage::Floor { .. }), Coalesce::Floor(self.room)),
            (matches!(message, ServerMessage::Emergency { .. }), Coalesce::Emergency(self.room)),
            (matches!(message, ServerMessage::FloorQueued { .. }), Coalesce::Queue(self.room)),
        ]
        .into_iter()
        .find_map(|(is_kind, coalesce)| is_kind.then_some(coalesce));
        let text = encode(&message);
        match audience {
            Audience::Device(device) => {
                if let Some(member) = self.members.get(&device) {
                    member.connection.out.floor(text, coalesce);
                }
            }
            Audience::Room => {
                for member in self.members.values() {
                    member.connection.out.floor(text.clone(), coalesce);
                }
            }
        }
    }

    /// Where a burst has ended with this change of the floor, its last words get there before the change does.
    fn last_words(&mut self, floor: &FloorState) {
        let talking = match floor {
            FloorState::Idle { .. } => None,
            FloorState::Taken { header, .. } => Some(header.burst.tag()),
        };
        let Some(ended) = self.sent_on.take_if(|tag| Some(*tag) != talking) else { return };
        let now = self.clock.now();
        for member in self.members.values().filter(|member| member.voice) {
            member.connection.ended_burst(now, ended);
        }
    }

    fn log_emergency(&mut self, user: UserId, device: DeviceId, body: EventBody) {
        match (self.draw)() {
            Ok(bytes) => {
                let client_id = ClientId::from_bytes(bytes);
                self.journal.push(Entry::Event { burst: None, user, device, client_id, body });
            }
            Err(error) => tracing::error!(%error, "an emergency could not be logged: no random bytes"),
        }
    }

    fn tell_status(&self, settled: &Settled) {
        let Some(member) = self.members.get(&settled.device) else { return };
        member.connection.out.answer(&match &settled.status {
            Ok(status) => ServerMessage::BurstStatus {
                room: self.room,
                burst: settled.burst,
                incarnation: self.incarnation,
                complete: status.complete,
                missing: status.missing.clone(),
            },
            Err(problem) => ServerMessage::Refused {
                room: self.room,
                client_id: None,
                request: settled.request,
                burst: Some(settled.burst),
                problem: problem.clone(),
            },
        });
    }
}
