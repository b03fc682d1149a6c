//! The server's sockets: what its gateway makes of messages, and what it sends.

#![expect(clippy::wildcard_enum_match_arm, reason = "of many kinds, those that matter here are picked out")]

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use holler_core::floor;
use holler_core::log::Resume;
use holler_core::model::{PresenceState, Role, Scope};
use holler_core::presence::Ending;
use holler_core::session::{Inbound, Next, Received};
use holler_core::units::{BurstTag, ClientId, Cursor, DeviceId, Mono, RequestId, RoomId, Seq, UnixMs};
use holler_core::wire::limits::{HEARTBEAT, SENDS_IN_FLIGHT_MAX};
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::socket::{ClientMessage, CloseCode, Follow, ServerMessage};
use holler_core::wire::voice::VoiceFrame;
use holler_server::auth::Principal;
use holler_server::auth::resume::is_resume_token;
use holler_server::gateway::{Connection, Frame, Outgoing, encode};
use holler_server::home::{Command, Offer};
use holler_server::storage::Append;
use holler_server::storage::receipts::Receipt;

use super::conn::{Conn, Wire};
use super::disk::{Asker, Job};
use super::server::{Home, Later, Server, WORKSPACE, served};

/// As in `gateway::writer`.
const PAGE_EVENTS: usize = 100;
/// As in `gateway::reader`.
const BURSTS_MAX: usize = 32;

pub(super) struct Session {
    pub(super) connection: Arc<Connection>,
    pub(super) rooms: BTreeSet<RoomId>,
    pub(super) bursts: VecDeque<(BurstTag, RoomId)>,
}

pub(super) struct Socket {
    pub(super) conn: u64,
    pub(super) inbound: Inbound,
    pub(super) session: Option<Session>,
    pub(super) out: Arc<Outgoing>,
    /// Sends on their way to the log; their answers come in their order.
    pub(super) answers: VecDeque<Waiting>,
    pub(super) brake_until: Mono,
    /// A subscription that waits for the home to start: nothing is read meanwhile.
    pub(super) blocked: Option<(RoomId, Command)>,
    /// Whether that subscription asks for presence too.
    pub(super) watches: bool,
    /// What its end says about its device.
    pub(super) ending: Ending,
    pub(super) fetching: bool,
    /// Rooms to follow that came with `auth`.
    pub(super) follows: VecDeque<Follow>,
    pub(super) closing: bool,
    pub(super) stalled_since: Option<Mono>,
}

/// What a reader takes.
enum Came {
    Datagram(VoiceFrame),
    Wire(Wire),
}

pub(super) struct Waiting {
    pub(super) ticket: u64,
    pub(super) room: RoomId,
    pub(super) about: About,
    pub(super) answer: Option<ServerMessage>,
}

/// What an answer is about.
#[derive(Clone, Copy, Debug)]
pub(super) enum About {
    Send(ClientId),
    Receipt(RequestId),
}

impl Server {
    /// Reads one message, if there is one and the reader would read it now.
    pub(super) fn read(&mut self, now: Mono, number: u64, conns: &mut BTreeMap<u64, Conn>) -> bool {
        let Some(socket) = self.sockets.get_mut(&number) else { return false };
        if socket.closing
            && let Some(session) = socket.session.take()
        {
            let ending = socket.ending;
            self.leave(Some(session), ending);
            return true;
        }
        let Some(socket) = self.sockets.get_mut(&number) else { return false };
        if !socket.reads() || now < socket.brake_until {
            return false;
        }
        // Rooms that came with `auth`, one after the other.
        if socket.session.is_some()
            && let Some(Follow { request, room, cursor, voice, presence }) = socket.follows.pop_front()
        {
            self.message(number, ClientMessage::Subscribe { request, room, cursor, voice, presence });
            return true;
        }
        let path = socket.session.as_ref().and_then(|session| session.connection.path());
        let by_datagram = path.and_then(|path| path.try_frame());
        let wire = match by_datagram {
            Some(frame) => Came::Datagram(frame),
            None if socket.answers.len() >= SENDS_IN_FLIGHT_MAX => return false,
            None => match conns.get_mut(&socket.conn).and_then(|conn| conn.up.receive(now)) {
                Some(wire) => Came::Wire(wire),
                None => return false,
            },
        };
        self.reads += 1;
        let (received, voice, bytes) = match wire {
            Came::Datagram(frame) => (socket.inbound.voice(now, frame), true, 0),
            Came::Wire(Wire::Text(text)) => (socket.inbound.text(now, &text), false, text.len()),
            Came::Wire(Wire::Binary(bytes)) => (socket.inbound.binary(now, &bytes), true, bytes.len()),
            Came::Wire(Wire::Close(_)) => {
                self.end(number, conns);
                return true;
            }
        };
        if let Some(session) = &socket.session {
            session.connection.set_heard(now);
            session.connection.set_lease(socket.inbound.silence_max());
            self.heard.insert(session.connection.device, now);
        }
        // The rate of datagrams has a bound of its own.
        let brake = if bytes > 0 { socket.inbound.brake(now, voice, bytes) } else { Duration::ZERO };
        if brake > Duration::ZERO {
            socket.brake_until = now + brake;
        }
        match received {
            Received::Authenticate { token, presence, rooms } => {
                socket.follows = rooms.into();
                self.authenticate(now, number, &token, presence);
            }
            Received::Message(message) => self.message(number, message),
            Received::Voice(frame) => self.voice(number, frame),
            Received::Refuse { request, problem } => socket.out.answer(&ServerMessage::Error { request, problem }),
            Received::Close(code) => {
                socket.out.close(code);
                socket.closing = true;
            }
        }
        true
    }

    /// As `gateway::beginning`.
    fn authenticate(&mut self, now: Mono, number: u64, token: &str, presence: Option<PresenceState>) {
        let Some(socket) = self.sockets.get_mut(&number) else { return };
        let unix = self.clock.unix();
        let resumed = is_resume_token(token).then(|| self.resume.verify(token, unix));
        if let Some(None) = resumed {
            socket.out.close(CloseCode::ResumeRefused);
            socket.closing = true;
            return;
        }
        if resumed.is_some() {
            self.resumed += 1;
        }
        let said = resumed.flatten().and_then(|said| {
            let who = self.people.iter().position(|person| person.device == said.device)?;
            Some(format!("{who}:{}", said.expires_at.0))
        });
        let token = said.as_deref().unwrap_or(token);
        let parsed = token
            .split_once(':')
            .and_then(|(who, until)| Some((self.people.get(who.parse::<usize>().ok()?)?, UnixMs(until.parse().ok()?))));
        let Some((person, until)) = parsed.filter(|(_, until)| unix.0 / 1_000 < until.0 / 1_000) else {
            let code = if parsed.is_some() { CloseCode::TokenExpired } else { CloseCode::BadToken };
            socket.out.close(code);
            socket.closing = true;
            return;
        };
        let left = Duration::from_millis(until.0.saturating_sub(unix.0));
        socket.inbound.authenticated(now + left);
        let welcome = ServerMessage::Welcome {
            user: person.user,
            device: person.device,
            server_time: unix,
            heartbeat_ms: u32::try_from(HEARTBEAT.as_millis()).unwrap_or(u32::MAX),
            expires_in_s: u32::try_from(left.as_secs()).unwrap_or(u32::MAX),
            resume: self.resume.sign(&Principal {
                workspace: WORKSPACE,
                user: person.user,
                device: person.device,
                sign_in: None,
                scopes: Scope::ALL.to_vec(),
                admin: false,
                expires_at: until,
            }),
        };
        let mut replaced = None;
        if socket.session.is_none() {
            let (user, device) = (person.user, person.device);
            let id = self.next_connection;
            self.next_connection += 1;
            let connection = Arc::new(Connection::new(id, user, device, Arc::clone(&socket.out), now));
            self.board.opened(&connection, presence);
            self.heard.insert(device, now);
            socket.session = Some(Session { connection, rooms: BTreeSet::new(), bursts: VecDeque::new() });
            replaced = self.devices.insert(device, (id, number));
        } else if let Some((session, state)) = socket.session.as_ref().zip(presence) {
            self.board.set(&session.connection, state);
        }
        socket.out.floor(encode(&welcome), None);
        self.wake_board(now);
        let older = replaced.and_then(|(_, older)| self.sockets.get_mut(&older)).map(|older| {
            older.out.close(CloseCode::Replaced);
            older.closing = true;
            older.session.as_ref().map(|session| Arc::clone(&session.connection))
        });
        if let Some(connection) = older.flatten() {
            self.close_path(&connection);
        }
    }

    fn role(&self, device: DeviceId) -> Role {
        self.people.iter().find(|person| person.device == device).map_or(Role::Listener, |person| person.role)
    }

    /// As `gateway::reader`'s session.
    fn message(&mut self, number: u64, message: ClientMessage) {
        let unix = self.clock.unix();
        let Some(socket) = self.sockets.get_mut(&number) else { return };
        let Some(session) = socket.session.as_mut() else { return };
        let connection = Arc::clone(&session.connection);
        let (user, device, out) = (connection.user, connection.device, Arc::clone(&socket.out));
        let role = self.role(device);
        let refuse = |room, request, client_id, burst, problem| {
            out.answer(&ServerMessage::Refused { room, client_id, request, burst, problem });
        };
        let apart = || Problem::new(ProblemKind::OutOfOrder, "needs a subscription to the room").field("room");
        let Some(socket) = self.sockets.get_mut(&number) else { return };
        let Some(session) = socket.session.as_mut() else { return };
        let follows = |session: &Session, room: &RoomId| session.rooms.contains(room);
        match message {
            ClientMessage::Subscribe { request, room, cursor, voice, presence } => {
                let watcher = presence.then(|| Arc::clone(&connection));
                let join = Command::Join { connection, role, request, cursor, voice };
                match self.homes.get(&room) {
                    Some(Home::Running(_)) => {
                        session.rooms.insert(room);
                        self.command(room, join);
                        if let Some(connection) = watcher {
                            self.watch(&connection, room);
                        }
                    }
                    Some(Home::Starting { .. }) => (socket.blocked, socket.watches) = (Some((room, join)), presence),
                    None if self.disk.state.contains_key(&room) => {
                        (socket.blocked, socket.watches) = (Some((room, join)), presence);
                        self.homes.insert(room, Home::Starting { term: None, left: 0 });
                        self.disk.push(Job::TakeHome { room });
                    }
                    None => refuse(room, Some(request), None, None, Problem::new(ProblemKind::NotFound, "no room")),
                }
            }
            ClientMessage::Unsubscribe { room } => {
                let followed = session.rooms.remove(&room);
                if followed {
                    self.command(room, Command::Leave { device, connection: connection.id });
                }
            }
            ClientMessage::Send { room, client_id, epoch, body, .. } => {
                if role < Role::Talker {
                    let problem = Problem::new(ProblemKind::Forbidden, "writing needs talker");
                    return refuse(room, None, Some(client_id), None, problem);
                }
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                socket.answers.push_back(Waiting { ticket, room, about: About::Send(client_id), answer: None });
                let append = Append { room, user, device, role, client_id, epoch, body, received_at: unix };
                self.disk.push(Job::Append { append, asker: Asker::Socket { socket: number, ticket } });
            }
            ClientMessage::FloorRequest { request, room, priority, queue, header, spoken_ago_ms, .. } => {
                if !follows(session, &room) {
                    return refuse(room, Some(request), None, None, apart());
                }
                session.remember(header.burst.tag(), room);
                let spoken_ago = Duration::from_millis(spoken_ago_ms);
                let request = floor::Request { device, user, role, request, priority, queue, header, spoken_ago };
                self.command(room, Command::Floor(floor::Input::Request(request)));
            }
            ClientMessage::FloorRelease { request, room } => {
                if !follows(session, &room) {
                    return refuse(room, Some(request), None, None, apart());
                }
                self.command(room, Command::Floor(floor::Input::Release { device, request }));
            }
            ClientMessage::BurstEnd { room, burst, last, digest, .. } => {
                if !follows(session, &room) {
                    return refuse(room, None, None, Some(burst), apart());
                }
                session.remember(burst.tag(), room);
                self.command(room, Command::BurstEnd { connection, burst, last, digest });
            }
            ClientMessage::BurstOffer {
                request,
                room,
                header,
                priority,
                spoken_ago_ms,
                uncertainty_ms,
                last,
                digest,
            } => {
                if !follows(session, &room) {
                    return refuse(room, Some(request), None, Some(header.burst), apart());
                }
                session.remember(header.burst.tag(), room);
                let uncertainty_ms = uncertainty_ms.unwrap_or(0);
                let offer = Offer { request, header, priority, spoken_ago_ms, uncertainty_ms, last, digest };
                self.command(room, Command::BurstOffer { connection, offer: Box::new(offer) });
            }
            ClientMessage::EmergencyClear { request, room, raised_by } => {
                if !follows(session, &room) {
                    return refuse(room, Some(request), None, None, apart());
                }
                let clear = floor::Input::ClearEmergency { device, request, by: user, role, raised_by };
                self.command(room, Command::Floor(clear));
            }
            ClientMessage::Ping { nonce, rtt_us, .. } => {
                if let Some(rtt_us) = rtt_us {
                    connection.set_rtt_us(rtt_us);
                }
                let presence_ms = self.board.promise(&connection);
                out.answer(&ServerMessage::Pong { nonce, server_time: unix, presence_ms });
                let rooms: BTreeSet<RoomId> =
                    session.bursts.iter().map(|(_, room)| *room).filter(|room| session.rooms.contains(room)).collect();
                for room in rooms {
                    self.command(room, Command::Floor(floor::Input::Heard { device }));
                }
            }
            // As `gateway::path`.
            ClientMessage::VoicePath { request, kinds } => {
                let before = connection.path().map(|path| path.id());
                let offer = self.voice.offer(&connection, &kinds);
                self.ended.extend(before);
                out.answer(&ServerMessage::VoicePath { request, offer });
            }
            ClientMessage::VoicePathStalled {} => {
                if let Some(path) = connection.path() {
                    path.stalled(self.clock.now());
                }
            }
            ClientMessage::PresenceSet { state } => {
                self.board.set(&connection, state);
                self.wake_board(self.clock.now());
            }
            ClientMessage::PresenceWatch { room, .. } => self.watch(&connection, room),
            ClientMessage::PresenceUnwatch { room } => self.board.unwatch(&connection, room),
            ClientMessage::Receipt { request, room, incarnation, delivered, read, heard } => {
                let ticket = self.next_ticket;
                self.next_ticket += 1;
                socket.answers.push_back(Waiting { ticket, room, about: About::Receipt(request), answer: None });
                let receipt = Receipt { room, user, incarnation, delivered, read, heard, at: unix };
                self.disk.push(Job::Receipt { receipt, asker: Asker::Socket { socket: number, ticket } });
            }
            _ => {}
        }
    }

    fn voice(&mut self, number: u64, frame: VoiceFrame) {
        let Some(socket) = self.sockets.get_mut(&number) else { return };
        let Some(session) = socket.session.as_mut() else { return };
        let room = session.bursts.iter().rev().find(|(tag, _)| *tag == frame.tag).map(|(_, room)| *room);
        let Some(room) = room.filter(|room| session.rooms.contains(room)) else {
            let problem = Problem::new(ProblemKind::OutOfOrder, "a voice frame's tag must name a burst of this socket");
            return socket.out.answer(&ServerMessage::Error { request: None, problem });
        };
        let connection = Arc::clone(&session.connection);
        self.command(room, Command::Voice { connection, frame });
    }

    /// As `gateway::writer`.
    pub(super) fn write(&mut self, now: Mono, number: u64, conns: &mut BTreeMap<u64, Conn>) {
        let Some(socket) = self.sockets.get_mut(&number) else { return };
        let Some(conn) = conns.get_mut(&socket.conn) else { return };
        while !socket.fetching {
            if !conn.down.has_room() {
                socket.stalled_since.get_or_insert(now);
                return;
            }
            socket.stalled_since = None;
            let wire = match socket.out.try_next().0 {
                Next::Item(Frame::Text(text)) => Wire::Text(text.as_str().to_owned()),
                Next::Item(Frame::Binary(bytes)) => Wire::Binary(bytes),
                Next::Fetch { room, after } => {
                    socket.fetching = true;
                    let us = Duration::from_micros(self.chance.between(100, 4_000));
                    return self.later.push((us, Later::Page { socket: number, room, after }));
                }
                Next::Close(code) => {
                    conn.down.send(now, 44, Wire::Close(Some(code.number())));
                    return self.later.push((Duration::ZERO, Later::Gone { socket: number }));
                }
                Next::Idle => return,
            };
            conn.down.send(now, wire.bytes(), wire);
        }
    }

    pub(super) fn page(
        &mut self,
        now: Mono,
        number: u64,
        room: RoomId,
        after: Cursor,
        conns: &mut BTreeMap<u64, Conn>,
    ) {
        let Some(socket) = self.sockets.get_mut(&number) else { return };
        socket.fetching = false;
        let Some(state) = self.disk.state.get(&room) else { return };
        let Some(conn) = conns.get_mut(&socket.conn) else { return };
        let mut send = |message: &ServerMessage| {
            let text = serde_json::to_string(message).unwrap_or_default();
            let wire = Wire::Text(text);
            conn.down.send(now, wire.bytes(), wire);
        };
        let log = state.log;
        let from = match log.resume(after) {
            Resume::After(seq) => seq,
            Resume::Gap => {
                send(&ServerMessage::HistoryGap { room, incarnation: log.incarnation, first_seq: log.first_seq });
                Seq(log.first_seq.0.saturating_sub(1))
            }
        };
        let events = served(self.plant, number, state.page(from, PAGE_EVENTS));
        let sent = events.last().map_or(from, |event| event.seq);
        if events.is_empty() && from < log.head {
            socket.out.fetch_failed(room);
            socket.out.close(CloseCode::Internal);
            return;
        }
        if !events.is_empty() {
            send(&ServerMessage::Events { room, incarnation: log.incarnation, events });
        }
        socket.out.fetched(room, after, log.incarnation, sent, log.head);
    }
}

impl Session {
    fn remember(&mut self, tag: BurstTag, room: RoomId) {
        self.bursts.retain(|(known, _)| *known != tag);
        if self.bursts.len() >= BURSTS_MAX {
            self.bursts.pop_front();
        }
        self.bursts.push_back((tag, room));
    }
}

impl Socket {
    /// Whether its reader reads at all now.
    pub(super) fn reads(&self) -> bool {
        !self.closing && self.blocked.is_none() && !self.out.is_full()
    }
}
