//! The server's process: the real machines, in the places where the server's own shells have them.
//!
//! A room's home is `holler_server::home::Room`, a socket's halves are `Inbound` and `Outbox` (inside `Outgoing`), the log's order
//! comes from `core::log`. What is written here stands for the tasks around them: `gateway::reader` (what a message is turned
//! into), `gateway::writer` (pages for a client that is behind), `home::task` (what a home writes and reads).

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use holler_core::model::{Event, Role};
use holler_core::presence::Ending;
use holler_core::session::Inbound;
use holler_core::units::{Cursor, DeviceId, Incarnation, Mono, RoomId, Seq, UnixMs, UserId, WorkspaceId};
use holler_core::wire::limits::{PAGE_EVENTS_MAX, SENDS_IN_FLIGHT_MAX, STALLED_READER_MAX};
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::socket::{CloseCode, ServerMessage};
use holler_server::auth::resume::ResumeKeys;
use holler_server::clock::{Clock, VirtualTime};
use holler_server::gateway::{Connection, Outgoing};
use holler_server::home::{Command, Committed, Entry, Load, Opening, Outcome, Room, interruption};
use holler_server::presence::{Board, GATHER, Limits};
use holler_server::storage::{Append, AppendError};
use holler_server::voice::{Buffers, LOOK, SWEEP, Socket as UdpSocket, Timekeeper, Voice};

use super::conn::Conn;
use super::disk::{Asker, Disk, Job, Told};
use super::gateway::{About, Session, Socket, Waiting};
use super::{Plant, udp};
use crate::chance::Chance;

/// Something that the server's process does later.
#[derive(Debug)]
pub(super) enum Later {
    Synced,
    Fanout { room: RoomId, events: Vec<Arc<Event>> },
    Loaded { room: RoomId, load: Load },
    Page { socket: u64, room: RoomId, after: Cursor },
    Gone { socket: u64 },
}

pub(super) enum Home {
    /// `left`: interruptions that are not written yet.
    Starting {
        term: Option<u32>,
        left: usize,
    },
    Running(Box<Room>),
}

/// Who there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Person {
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    pub(super) role: Role,
}

pub(super) struct Server {
    pub(super) up: bool,
    /// Counts its lives: what an earlier one had put off never comes.
    pub(super) life: u64,
    pub(super) disk: Disk,
    pub(super) later: Vec<(Duration, Later)>,
    /// Messages and frames that it read, for the bound on what a herd may ask of it.
    pub(super) reads: u64,
    pub(super) clock: Clock,
    pub(super) chance: Chance,
    pub(super) people: Vec<Person>,
    pub(super) homes: BTreeMap<RoomId, Home>,
    pub(super) sockets: BTreeMap<u64, Socket>,
    /// The newest connection of each device, and its socket.
    pub(super) devices: BTreeMap<DeviceId, (u64, u64)>,
    next_socket: u64,
    /// Connections are numbered as their devices sign in: of two sockets of one device the one that signed in last counts.
    pub(super) next_connection: u64,
    pub(super) next_ticket: u64,
    fanned_until: BTreeMap<RoomId, Mono>,
    pub(super) plant: Option<Plant>,
    /// Who is here, and when the board is to be asked again.
    pub(super) board: Board,
    pub(super) board_at: Option<Mono>,
    pub(super) resume: ResumeKeys,
    /// When something of a device was last read.
    pub(super) heard: BTreeMap<DeviceId, Mono>,
    /// Sockets that began with a resume token.
    pub(super) resumed: u64,
    /// For [`Plant::LieAlive`]: connections that are gone.
    ghosts: Vec<Arc<Connection>>,
    pub(super) voice: Voice,
    pub(super) socket: Arc<UdpSocket>,
    pub(super) buffers: Buffers,
    pub(super) times: Timekeeper,
    /// When the paths are looked at next.
    pub(super) times_at: Mono,
    /// Voice sessions that have ended.
    pub(super) ended: BTreeSet<[u8; 8]>,
}

/// The tenant of the simulated world.
pub(super) const WORKSPACE: WorkspaceId = WorkspaceId::from_bytes([7; 16]);

fn board(clock: Clock) -> Board {
    Board::new(clock, Limits::default())
}

/// An access token of the simulated world: whose, and until when by the server's wall clock.
pub(super) fn token(person: usize, until: UnixMs) -> String {
    format!("{person}:{}", until.0)
}

impl Server {
    pub(super) fn new(
        time: &'static VirtualTime,
        disk: Disk,
        people: Vec<Person>,
        chance: Chance,
        plant: Option<Plant>,
    ) -> Self {
        let key = ([1; 8], vec![9; 32].into());
        let clock = Clock::of(time);
        let socket = Arc::new(UdpSocket::simulated(udp::SERVER));
        Self {
            voice: udp::voice(clock, &socket, Chance::new(0)),
            socket,
            buffers: Buffers::default(),
            times: Timekeeper::new(clock.now()),
            times_at: Mono::default(),
            ended: BTreeSet::new(),
            board: board(Clock::of(time)),
            board_at: None,
            resume: ResumeKeys::new(WORKSPACE, vec![key]),
            heard: BTreeMap::new(),
            resumed: 0,
            ghosts: Vec::new(),
            up: true,
            life: 1,
            disk,
            later: Vec::new(),
            reads: 0,
            clock: Clock::of(time),
            chance,
            people,
            homes: BTreeMap::new(),
            sockets: BTreeMap::new(),
            devices: BTreeMap::new(),
            next_socket: 1,
            next_connection: 1,
            next_ticket: 1,
            fanned_until: BTreeMap::new(),
            plant,
        }
    }

    /// The process ends without a word to itself. `coin`: see [`Disk::crash`].
    pub(super) fn kill(&mut self, coin: bool) {
        self.up = false;
        self.life += 1;
        self.later.clear();
        self.homes.clear();
        self.sockets.clear();
        self.devices.clear();
        self.fanned_until.clear();
        self.board = board(self.clock);
        self.ghosts.clear();
        self.board_at = None;
        self.disk.crash(coin);
    }

    /// The process is there again: the board reads what an earlier one wrote down.
    pub(super) fn start(&mut self) {
        self.up = true;
        self.open_voice();
        let transitions: Vec<_> = self.disk.presence.values().copied().collect();
        self.board.restore(&transitions, self.clock.unix());
    }

    /// The board has something to do soon.
    pub(super) fn wake_board(&mut self, now: Mono) {
        let soon = now + GATHER;
        self.board_at = Some(self.board_at.map_or(soon, |at| at.min(soon)));
    }

    pub(super) fn accept(&mut self, now: Mono, conn: u64) -> u64 {
        let number = self.next_socket;
        self.next_socket += 1;
        let socket = Socket {
            conn,
            inbound: Inbound::new(now),
            session: None,
            out: Arc::new(Outgoing::new(self.clock)),
            answers: VecDeque::new(),
            brake_until: Mono::default(),
            blocked: None,
            watches: false,
            ending: Ending::Closed,
            fetching: false,
            follows: VecDeque::new(),
            closing: false,
            stalled_since: None,
        };
        self.sockets.insert(number, socket);
        number
    }

    /// A planned end: every client is told, the homes write what they hold, the sockets close.
    pub(super) fn drain(&mut self) {
        for socket in self.sockets.values() {
            let reconnect_after_ms = u32::try_from(self.chance.below(3_000)).unwrap_or_default();
            socket.out.answer(&ServerMessage::Draining { reconnect_after_ms });
        }
        for home in self.homes.values_mut() {
            if let Home::Running(room) = home {
                room.command(Command::Drain);
            }
        }
    }

    pub(super) fn next_timeout(&self, conns: &BTreeMap<u64, Conn>) -> Option<Mono> {
        if !self.up {
            return None;
        }
        let homes = self.homes.values().filter_map(|home| match home {
            Home::Running(room) => room.poll_timeout(),
            Home::Starting { .. } => None,
        });
        let sockets = self.sockets.values().filter_map(|socket| {
            let session = (!socket.closing).then(|| socket.inbound.poll_timeout());
            let stalled = socket.stalled_since.map(|since| since + STALLED_READER_MAX);
            let arrival = conns.get(&socket.conn).and_then(|conn| conn.up.next_at());
            let reads = socket.reads() && socket.answers.len() < SENDS_IN_FLIGHT_MAX;
            let read = arrival.filter(|_| reads).map(|at| at.max(socket.brake_until));
            // Voice that came by datagram meanwhile is read then.
            let brake = Some(socket.brake_until).filter(|at| *at > self.clock.now());
            [session, stalled, read, brake].into_iter().flatten().min()
        });
        homes.chain(sockets).chain(self.board_at).chain([self.times_at]).min()
    }

    pub(super) fn timeout(&mut self, now: Mono, conns: &mut BTreeMap<u64, Conn>) {
        for home in self.homes.values_mut() {
            if let Home::Running(room) = home
                && room.poll_timeout().is_some_and(|at| at <= now)
            {
                room.timeout();
            }
        }
        if self.board_at.is_some_and(|at| at <= now) {
            for ghost in &self.ghosts {
                ghost.set_heard(now);
            }
            self.board_at = self.board.flush();
            let transitions = self.board.take_records();
            if !transitions.is_empty() {
                self.disk.push(Job::Presence { transitions });
            }
        }
        if self.times_at <= now {
            let any = self.times.turn(now, &self.voice);
            self.times_at = now + if any { SWEEP } else { LOOK };
        }
        let mut lost = Vec::new();
        for (number, socket) in &mut self.sockets {
            if !socket.closing
                && let Some(code) = socket.inbound.timeout(now)
            {
                socket.out.close(code);
                socket.ending = if code == CloseCode::Silent { Ending::Silent } else { Ending::Closed };
                socket.closing = true;
            }
            if socket.stalled_since.is_some_and(|since| now >= since + STALLED_READER_MAX) {
                lost.push(*number);
            }
        }
        for number in lost {
            self.end(number, conns);
        }
        self.pump(now, conns);
    }

    /// Does everything that can be done now.
    pub(super) fn pump(&mut self, now: Mono, conns: &mut BTreeMap<u64, Conn>) {
        if !self.up {
            return;
        }
        self.settle();
        let numbers: Vec<u64> = self.sockets.keys().copied().collect();
        for number in &numbers {
            while self.read(now, *number, conns) {
                self.settle();
            }
        }
        for number in &numbers {
            self.write(now, *number, conns);
        }
        if self.disk.begin() {
            // Most syncs take a few milliseconds; now and then a disk thinks for a while.
            let slow = self.chance.one_in(60);
            let us = if slow { self.chance.between(50_000, 900_000) } else { self.chance.between(500, 9_000) };
            self.later.push((Duration::from_micros(us), Later::Synced));
        }
    }

    pub(super) fn settle(&mut self) {
        for (id, home) in &mut self.homes {
            let Home::Running(room) = home else { continue };
            room.settle();
            while let Some(load) = room.poll_load() {
                let us = self.chance.between(100, 5_000);
                self.later.push((Duration::from_micros(us), Later::Loaded { room: *id, load }));
            }
            let Some(entry) = room.write() else { continue };
            self.disk.push(match entry {
                Entry::Chunk { burst, frames } => Job::Chunk { room: *id, burst, frames },
                Entry::Event { user, device, client_id, body, .. } => {
                    let (role, received_at) = (Role::Talker, self.clock.unix());
                    let append = Append { room: *id, user, device, role, client_id, epoch: None, body, received_at };
                    Job::Append { append, asker: Asker::Journal { room: *id } }
                }
            });
        }
    }

    /// Something that was put off.
    pub(super) fn happen(&mut self, now: Mono, later: Later, conns: &mut BTreeMap<u64, Conn>) {
        match later {
            Later::Synced => self.synced(now),
            Later::Fanout { room, events } => {
                if let Some(Home::Running(home)) = self.homes.get_mut(&room) {
                    // A home that is slower than the log is told the head only.
                    let committed = if self.chance.one_in(40) {
                        Committed { events: Vec::new(), overflow: events.last().map(|event| event.seq) }
                    } else {
                        Committed { events, overflow: None }
                    };
                    home.committed(committed);
                }
            }
            Later::Loaded { room, load } => {
                let record = self.disk.record(room, load.burst);
                let found = record.map(|record| {
                    let rows = self.disk.state.get(&room).and_then(|state| state.bursts.get(&load.burst));
                    let frames = rows.map(|row| row.frames.iter().map(|(n, p)| (*n, p.clone())).collect());
                    (record, frames.unwrap_or_default())
                });
                let loaded = load.found(Ok(found));
                self.command(room, Command::Loaded(Box::new(loaded)));
            }
            Later::Page { socket, room, after } => self.page(now, socket, room, after, conns),
            Later::Gone { socket } => self.end(socket, conns),
        }
        self.pump(now, conns);
    }

    fn synced(&mut self, now: Mono) {
        let coin = self.chance.one_in(2);
        let written = self.disk.synced(coin);
        for (asker, told) in written.told {
            match asker {
                Asker::Socket { socket, ticket } => {
                    let Some(socket) = self.sockets.get_mut(&socket) else { continue };
                    if let Some(waiting) = socket.answers.iter_mut().find(|waiting| waiting.ticket == ticket) {
                        let incarnation = self.disk.state.get(&waiting.room).map(|state| state.log.incarnation);
                        waiting.answer = answered(told, waiting, incarnation.unwrap_or(NO_LOG));
                    }
                    while let Some(answer) = socket.answers.front().and_then(|waiting| waiting.answer.as_ref()) {
                        socket.out.answer(answer);
                        socket.answers.pop_front();
                    }
                }
                Asker::Journal { room } => {
                    if let Some(Home::Running(home)) = self.homes.get_mut(&room) {
                        home.written(&match told {
                            Told::Event { replayed: true, .. } => Outcome::Before,
                            Told::Event { .. } | Told::Chunk | Told::Term(_) | Told::Receipt(_) => Outcome::Written,
                            Told::Refused(refusal) => Outcome::from(&AppendError::from(refusal)),
                            Told::Failed(error) => Outcome::from(&error),
                        });
                        home.settle();
                    }
                }
                Asker::Opening { room } => self.opening(room, &told),
            }
        }
        for (room, events) in written.fanout {
            if events.is_empty() || !self.homes.contains_key(&room) {
                continue;
            }
            // The store's writer tells the home's task, which comes to it a little later; never out of order.
            let until = self.fanned_until.entry(room).or_default();
            *until = (*until).max(now + Duration::from_micros(self.chance.below(1_500)));
            self.later.push((until.since(now), Later::Fanout { room, events }));
        }
    }

    fn opening(&mut self, room: RoomId, told: &Told) {
        let Some(Home::Starting { term, left }) = self.homes.get_mut(&room) else { return };
        match told {
            Told::Term(taken) => {
                *term = Some(*taken);
                let open: Vec<_> = self.disk.state.get(&room).map_or_else(Vec::new, |state| {
                    let is_open = |row: &&super::disk::BurstRow| row.facts.end == holler_core::log::End::Open;
                    state.bursts.values().filter(is_open).map(|row| row.header.burst).collect()
                });
                *left = open.len();
                for burst in open {
                    if let Some(record) = self.disk.record(room, burst) {
                        let append = interruption(room, burst, &record, self.clock.unix());
                        self.disk.push(Job::Append { append, asker: Asker::Opening { room } });
                    }
                }
            }
            Told::Event { .. } => *left -= 1,
            Told::Chunk | Told::Receipt(_) => {}
            Told::Refused(_) | Told::Failed(_) => {
                self.homes.remove(&room);
                self.unblock(room, false);
                return;
            }
        }
        if let Some(Home::Starting { term: Some(term), left: 0 }) = self.homes.get(&room)
            && let Some(state) = self.disk.state.get(&room)
        {
            let mut chance = self.chance.fork();
            let mut log = state.log;
            if self.plant == Some(Plant::OldHead) {
                log.head = Seq(log.head.0.saturating_sub(1));
            }
            let opening = Opening {
                room,
                term: *term,
                emergencies: state.emergencies(),
                log,
                draw: Box::new(move || Ok(chance.bytes())),
            };
            self.homes.insert(room, Home::Running(Box::new(Room::new(opening, self.clock))));
            self.unblock(room, true);
        }
    }

    /// The home has started, or could not: those who wait for it go on.
    fn unblock(&mut self, room: RoomId, started: bool) {
        let mut joins = Vec::new();
        for socket in self.sockets.values_mut() {
            if socket.blocked.as_ref().is_some_and(|(waits, _)| *waits == room)
                && let Some((_, join)) = socket.blocked.take()
            {
                if started {
                    let watches = std::mem::take(&mut socket.watches);
                    joins.push((socket.session.as_mut(), join, watches));
                } else if let Command::Join { request, .. } = join {
                    let problem = Problem::new(ProblemKind::Unavailable, "the room can't be opened").retry_after_s(1);
                    let refused =
                        ServerMessage::Refused { room, client_id: None, request: Some(request), burst: None, problem };
                    socket.out.answer(&refused);
                }
            }
        }
        let mut commands = Vec::new();
        for (session, join, watches) in joins {
            if let Some(session) = session {
                session.rooms.insert(room);
                commands.push((join, watches.then(|| Arc::clone(&session.connection))));
            }
        }
        for (command, watches) in commands {
            self.command(room, command);
            if let Some(connection) = watches {
                self.watch(&connection, room);
            }
        }
    }

    /// Everybody is a member of every room.
    pub(super) fn watch(&mut self, connection: &Connection, room: RoomId) {
        let people = &self.people;
        self.board.watch(connection, room, || people.iter().map(|person| person.user).collect());
        self.wake_board(self.clock.now());
    }

    pub(super) fn command(&mut self, room: RoomId, command: Command) {
        if let Some(Home::Running(home)) = self.homes.get_mut(&room) {
            home.command(command);
            home.settle();
        }
    }

    /// The socket is gone, for whatever reason: homes are told, the other end may not be.
    pub(super) fn end(&mut self, number: u64, conns: &mut BTreeMap<u64, Conn>) {
        let Some(socket) = self.sockets.remove(&number) else { return };
        socket.out.end();
        if let Some(conn) = conns.get_mut(&socket.conn) {
            conn.socket = None;
        }
        self.leave(socket.session, socket.ending);
    }

    pub(super) fn leave(&mut self, session: Option<Session>, ending: Ending) {
        let Some(session) = session else { return };
        self.close_path(&session.connection);
        let (device, id) = (session.connection.device, session.connection.id);
        if self.plant == Some(Plant::LieAlive) {
            self.ghosts.push(Arc::clone(&session.connection));
        } else {
            self.board.closed(&session.connection, ending);
            self.wake_board(self.clock.now());
        }
        if self.devices.get(&device).is_some_and(|(newest, _)| *newest == id) {
            self.devices.remove(&device);
        }
        for room in session.rooms {
            self.command(room, Command::Leave { device, connection: id });
        }
    }

    /// `GET …/events`; the error says whether it may work later.
    pub(super) fn events(&self, room: RoomId, after: Cursor) -> Result<holler_core::wire::rest::EventPage, bool> {
        let state = self.disk.state.get(&room).ok_or(false)?;
        let log = state.log;
        if after.incarnation != log.incarnation || after.seq > log.head {
            return Err(false);
        }
        let from = after.seq.max(Seq(log.first_seq.0.saturating_sub(1)));
        let limit = usize::try_from(PAGE_EVENTS_MAX).unwrap_or(usize::MAX);
        let events = served(self.plant, 0, state.page(from, limit));
        let next = events.last().map_or(from, |event| event.seq);
        let head = log.head.max(next);
        Ok(holler_core::wire::rest::EventPage {
            events,
            next: Cursor { incarnation: log.incarnation, seq: next },
            head: Cursor { incarnation: log.incarnation, seq: head },
            first_seq: log.first_seq,
        })
    }
}

/// What a reader is given; a planted fault gives some readers something else.
pub(super) fn served(plant: Option<Plant>, reader: u64, mut events: Vec<Event>) -> Vec<Event> {
    if plant == Some(Plant::Disagree) && reader % 2 == 1 {
        for event in &mut events {
            if let holler_core::model::EventBody::MessagePosted { text, .. } = &mut event.body {
                text.push('!');
            }
        }
    }
    events
}

/// A room without a log answers no sends.
const NO_LOG: Incarnation = Incarnation::from_bytes([0; 16]);

fn answered(told: Told, waiting: &Waiting, incarnation: Incarnation) -> Option<ServerMessage> {
    let room = waiting.room;
    let refused = |problem: Problem| {
        let (client_id, request) = match waiting.about {
            About::Send(client_id) => (Some(client_id), None),
            About::Receipt(request) => (None, Some(request)),
        };
        ServerMessage::Refused { room, client_id, request, burst: None, problem }
    };
    match (told, waiting.about) {
        (Told::Event { event, .. }, About::Send(client_id)) => {
            Some(ServerMessage::Ack { room, client_id, seq: event.seq, incarnation, received_at: event.received_at })
        }
        (Told::Receipt(Ok(())), About::Receipt(request)) => Some(ServerMessage::ReceiptStored { request, room }),
        (Told::Receipt(Err(error)), _) => Some(refused(error.into())),
        (Told::Refused(refusal), _) => Some(refused(AppendError::from(refusal).into())),
        (Told::Failed(error), _) => Some(refused(AppendError::from(error).into())),
        (Told::Event { .. } | Told::Receipt(Ok(())) | Told::Chunk | Told::Term(_), _) => None,
    }
}
