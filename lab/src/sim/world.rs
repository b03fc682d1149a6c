//! The world of a run: virtual time, what happens next, and what people do.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;

use holler_core::engine::{Command, Input, LinkNo};
use holler_core::model::{EventBody, PresenceState, Role};
use holler_core::units::{Bitrate, BurstId, ClientId, DeviceId, FrameNo, Incarnation, Mono, RoomId, UnixMs, UserId};
use holler_core::wire::socket::ClientMessage;
use holler_server::clock::VirtualTime;

use super::check::Observer;
use super::client::{Client, Lanes, Local, Said};
use super::conn::{Conn, Wire};
use super::disk::{Disk, State};
use super::plan::{Act, Plan};
use super::server::{Later, Person, Server, token};
use super::udp::{self, Sessions, Udp};
use super::{Options, Outcome, Plant};
use crate::chance::Chance;

/// Where virtual time begins: "long before" can be expressed.
pub(super) const BEGIN: Mono = Mono(3_600_000_000);
/// Where the wall clock begins.
const UNIX_BEGIN: u64 = 1_795_000_000_000;
/// How long after the last fault everything must be settled: the longest backoff, the longest waits of the protocol, and one
/// repair after another.
const SETTLE: Duration = Duration::from_secs(240);
/// How often it is checked what everybody is told of the others.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// More steps than this without an end is a run that goes round in circles.
const STEPS_MAX: u64 = 2_000_000;

/// What happens to a client.
#[derive(Debug)]
pub(super) enum What {
    /// Its request for a connection reaches the server's machine, or nothing.
    Knocks {
        link: LinkNo,
    },
    Connected {
        link: LinkNo,
        conn: u64,
    },
    Input {
        input: Box<Input>,
        era: u32,
    },
    /// A request over REST reaches the server.
    Asks(Rest),
    Capture {
        burst: BurstId,
        number: u16,
    },
    KeyUp {
        burst: BurstId,
    },
    Synced,
    Pull {
        burst: BurstId,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Rest {
    Token,
    Events { room: RoomId, after: holler_core::units::Cursor },
    Frames { room: RoomId, burst: BurstId, from: FrameNo, to: FrameNo },
    Presence { room: RoomId },
}

#[derive(Debug)]
pub(super) enum Event {
    Server {
        life: u64,
        later: Later,
    },
    ServerStarts,
    ServerStops,
    Client {
        client: usize,
        life: u32,
        what: What,
    },
    ClientStarts {
        client: usize,
    },
    Act {
        at: usize,
    },
    Fault {
        at: usize,
    },
    Over {
        at: usize,
    },
    TwinSays {
        conn: u64,
        client: usize,
    },
    TwinGoes {
        conn: u64,
    },
    /// A stranger sends what a client sent.
    Copy {
        from: SocketAddr,
        bytes: Vec<u8>,
    },
    /// Everybody looks who is here.
    Look,
}

pub(super) struct World<'a> {
    pub(super) plan: &'a Plan,
    trace: bool,
    lines: Vec<String>,
    pub(super) hash: u64,
    pub(super) now: Mono,
    pub(super) time: &'static VirtualTime,
    pub(super) server_ahead: i64,
    queue: BTreeMap<(Mono, u64), Event>,
    count: u64,
    pub(super) rooms: Vec<RoomId>,
    pub(super) clients: Vec<Client>,
    pub(super) server: Server,
    pub(super) conns: BTreeMap<u64, Conn>,
    /// In which history of the server's log a connection was opened.
    pub(super) conn_eras: BTreeMap<u64, u32>,
    pub(super) next_conn: u64,
    pub(super) net: Chance,
    pub(super) backup: Option<State>,
    pub(super) era: u32,
    pub(super) observer: Observer,
    pub(super) server_next: Option<Option<Mono>>,
    pub(super) client_next: Vec<Option<Mono>>,
    pub(super) traffic: Vec<Vec<Duration>>,
    pub(super) udp: Vec<Udp>,
    pub(super) sessions: Sessions,
    pub(super) plant: Option<Plant>,
}

thread_local! {
    /// The clock of this thread's world. The server's machines hold on to theirs for ever, so it is made once a thread.
    static TIME: &'static VirtualTime = Box::leak(Box::default());
}

impl<'a> World<'a> {
    pub(super) fn new(plan: &'a Plan, options: Options) -> Self {
        let mut chance = Chance::new(plan.seed ^ 0x5eed);
        let rooms: Vec<RoomId> = (0..plan.rooms).map(|_| RoomId::from_bytes(chance.bytes())).collect();
        let logs: Vec<_> = rooms.iter().map(|room| (*room, Incarnation::from_bytes(chance.bytes()))).collect();
        let mut clients = Vec::new();
        for profile in &plan.clients {
            clients.push(Client {
                user: UserId::from_bytes(chance.bytes()),
                device: DeviceId::from_bytes(chance.bytes()),
                engine: None,
                life: 0,
                up: *profile,
                down: *profile,
                cut: false,
                conn: None,
                lanes: Lanes::default(),
                local: Local::default(),
                token: None,
                wall_ahead: 0,
                recording: None,
                said: BTreeMap::new(),
                sends: BTreeMap::new(),
                is_up: false,
                ended: false,
                hearing: BTreeMap::new(),
                attempts: std::collections::VecDeque::new(),
                own: PresenceState::Available,
                played: BTreeSet::new(),
                read: BTreeMap::new(),
                chance: chance.fork(),
            });
        }
        let people =
            clients.iter().map(|client| Person { user: client.user, device: client.device, role: Role::Talker });
        let people = people.collect();
        let time = TIME.with(|time| *time);
        let server = Server::new(time, Disk::new(&logs, options.plant), people, chance.fork(), options.plant);
        let count = clients.len();
        let mut wet = Chance::new(plan.seed ^ 0x0dd_b411);
        let udp = udp::ways(&clients, &plan.udp, &mut wet);
        let mut world = Self {
            plan,
            trace: options.trace,
            lines: Vec::new(),
            hash: plan.seed,
            now: BEGIN,
            time,
            server_ahead: 0,
            queue: BTreeMap::new(),
            count: 0,
            rooms,
            clients,
            server,
            conns: BTreeMap::new(),
            conn_eras: BTreeMap::new(),
            next_conn: 1,
            net: chance.fork(),
            backup: None,
            era: 0,
            observer: Observer::new(plan.dry),
            server_next: None,
            client_next: vec![None; count],
            traffic: vec![Vec::new(); count],
            udp,
            sessions: Sessions::default(),
            plant: options.plant,
        };
        world.set_time();
        world.server.open_voice();
        for client in 0..count {
            let after = Duration::from_millis(world.net.below(500));
            world.at(after, Event::ClientStarts { client });
        }
        world.at(LOOK_EVERY, Event::Look);
        for (at, (after, _, _)) in plan.acts.iter().enumerate() {
            world.at(*after + Duration::from_secs(1), Event::Act { at });
        }
        for (at, (after, fault)) in plan.faults.iter().enumerate() {
            world.at(*after + Duration::from_secs(1), Event::Fault { at });
            world.at(*after + Duration::from_secs(1) + fault.lasts(), Event::Over { at });
        }
        world
    }

    /// Runs to the end and checks.
    pub(super) fn run(mut self) -> Outcome {
        let end = BEGIN + Duration::from_secs(1) + self.plan.calm_at + SETTLE;
        let mut steps = 0;
        while let Some(next) = self.next().filter(|next| *next <= end) {
            steps += 1;
            if steps > STEPS_MAX {
                self.observer.violation("busy loop", format!("{STEPS_MAX} steps and no end"));
                break;
            }
            if next > self.now {
                self.now = next;
                self.set_time();
            }
            self.step();
        }
        self.now = end;
        self.finish();
        let Self { hash, observer, lines, traffic, server, .. } = self;
        let heard = observer.heard_at.into_iter().map(|(client, burst, at)| (client, burst, at.since(BEGIN))).collect();
        let (violations, mut tally) = (observer.violations, observer.tally);
        (tally.resumed, tally.receipts) = (server.resumed, server.disk.receipts);
        Outcome { hash, violations, trace: lines, steps, tally, heard, traffic }
    }

    pub(super) fn set_time(&self) {
        self.time.set(self.now, self.unix());
    }

    pub(super) fn unix(&self) -> UnixMs {
        let since = u64::try_from(self.now.since(BEGIN).as_millis()).unwrap_or_default();
        UnixMs((UNIX_BEGIN + since).saturating_add_signed(self.server_ahead))
    }

    /// The true time, which no clock of the run need show.
    pub(super) fn true_unix(&self) -> UnixMs {
        UnixMs(self.unix().0.saturating_add_signed(-self.server_ahead))
    }

    pub(super) fn at(&mut self, after: Duration, event: Event) {
        self.count += 1;
        self.queue.insert((self.now + after, self.count), event);
    }

    pub(super) fn client_at(&mut self, after: Duration, client: usize, what: What) {
        let life = self.clients[client].life;
        self.at(after, Event::Client { client, life, what });
    }

    pub(super) fn mix(&mut self, bytes: &[u8]) {
        let mut hash = self.hash ^ self.now.0;
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            hash = (hash ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
        self.hash = hash;
    }

    /// A line of the trace, where one is kept.
    pub(super) fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.trace {
            let mut text = String::new();
            let _ = write!(text, "{:>10.3} ms  ", self.now.since(BEGIN).as_secs_f64() * 1_000.0);
            text.push_str(&line());
            self.lines.push(text);
        }
    }

    fn arrival(&self) -> Option<(Mono, u64)> {
        let arrives = |(number, conn): (&u64, &Conn)| {
            Some((conn.down.next_at().filter(|_| conn.client_open)?.max(conn.lazy_until), *number))
        };
        self.conns.iter().filter_map(arrives).min()
    }

    fn next(&mut self) -> Option<Mono> {
        if self.server_next.is_none() {
            self.server_next = Some(self.server.next_timeout(&self.conns));
        }
        let queued = self.queue.keys().next().map(|(at, _)| *at);
        let clients = self.client_next.iter().flatten().min().copied();
        let arrival = self.arrival().map(|(at, _)| at);
        let datagram = self.datagram_arrival().map(|(at, _)| at);
        [queued, clients, arrival, datagram, self.server_next.flatten()].into_iter().flatten().min()
    }

    /// Does the one thing that is next.
    fn step(&mut self) {
        let now = self.now;
        if self.queue.keys().next().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, event)) = self.queue.pop_first() {
                self.happen(event);
            }
        } else if let Some((_, conn)) = self.arrival().filter(|(at, _)| *at <= now) {
            self.deliver(conn);
        } else if let Some((_, client)) = self.datagram_arrival().filter(|(at, _)| *at <= now) {
            self.datagram_arrives(client);
        } else if self.server_next.flatten().is_some_and(|at| at <= now) {
            self.server.timeout(now, &mut self.conns);
            self.after_server();
        } else if let Some(client) = self.client_next.iter().position(|at| at.is_some_and(|at| at <= now)) {
            self.input(client, Input::Timeout, self.era);
        }
    }

    /// The server did something: what it puts off is planned, and its clients may have more room.
    pub(super) fn after_server(&mut self) {
        let life = self.server.life;
        for (after, later) in std::mem::take(&mut self.server.later) {
            self.at(after, Event::Server { life, later });
        }
        self.server_next = None;
        self.sessions.ended.append(&mut self.server.ended);
        self.flush_datagrams();
        for client in 0..self.clients.len() {
            self.flush(client);
        }
        let eras = &mut self.conn_eras;
        self.conns.retain(|number, conn| {
            let over = conn.is_over();
            if over {
                eras.remove(number);
            }
            !over
        });
    }

    pub(super) fn happen(&mut self, event: Event) {
        match event {
            Event::Server { life, later } => {
                if self.server.up && self.server.life == life {
                    self.server.happen(self.now, later, &mut self.conns);
                    self.after_server();
                }
            }
            Event::ServerStarts => {
                self.server.start();
                self.tell(|| "the server is back".into());
                self.server_next = None;
            }
            Event::ServerStops => self.kill_server(false),
            Event::Client { client, life, what } => {
                if self.clients[client].life == life && self.clients[client].engine.is_some() {
                    self.client_happens(client, what);
                }
            }
            Event::ClientStarts { client } => self.start(client),
            Event::Act { at } => self.act(at),
            Event::Fault { at } => self.fault(at),
            Event::Over { at } => self.over(at),
            Event::TwinSays { conn, client } => {
                let until = UnixMs(self.unix().0 + 600_000);
                let auth = ClientMessage::Auth {
                    token: token(client, until),
                    client: "twin".into(),
                    presence: None,
                    rooms: Vec::new(),
                };
                if let Some(conn) = self.conns.get_mut(&conn)
                    && let Ok(text) = serde_json::to_string(&auth)
                {
                    let wire = Wire::Text(text);
                    conn.up.send(self.now, wire.bytes(), wire);
                    self.server_next = None;
                }
            }
            Event::TwinGoes { conn } => self.hang_up(conn),
            Event::Copy { from, bytes } => self.server_gets(from, bytes),
            Event::Look => {
                self.look();
                self.at(LOOK_EVERY, Event::Look);
            }
        }
    }

    // People.

    fn act(&mut self, at: usize) {
        let plan = self.plan;
        let (_, client, act) = &plan.acts[at];
        let client = *client;
        if self.clients[client].engine.is_none() {
            return;
        }
        self.tell(|| format!("person {client}: {act:?}"));
        match act {
            Act::Write { room } => {
                let client_id = ClientId::from_bytes(self.clients[client].chance.bytes());
                let (room, text) = (self.rooms[*room], format!("message {at} of {client}"));
                self.clients[client].sends.insert(client_id, room);
                let body = EventBody::MessagePosted { text, reply_to: None };
                self.command(client, Command::Send { room, client_id, body });
            }
            Act::Talk { room, hold, priority, queue, when_free, frame_ms } => {
                if self.clients[client].recording.is_some() {
                    return;
                }
                let burst = BurstId::from_bytes(self.clients[client].chance.bytes());
                let room = self.rooms[*room];
                let said = Said::new(room, self.now);
                self.clients[client].said.insert(burst, said);
                self.observer.frames.insert(burst, *frame_ms);
                let (priority, queue, bitrate) = (*priority, *queue, Bitrate(24_000));
                let (when_free, frame_ms) = (*when_free, *frame_ms);
                let press = Command::KeyDown { room, burst, priority, queue, when_free, frame_ms, bitrate };
                self.command(client, press);
                self.client_at(*hold, client, What::KeyUp { burst });
            }
            Act::Be { state } => {
                self.clients[client].own = *state;
                self.command(client, Command::SetPresence { state: *state });
            }
            Act::Read { room } => {
                let room = self.rooms[*room];
                if let Some(cursor) = self.observer.shown(client, self.clients[client].life, room) {
                    self.command(client, Command::Read { room, cursor });
                }
            }
            Act::Cancel => {
                // What is still recorded then is not live.
                if let Some(said) =
                    self.clients[client].recording.and_then(|burst| self.clients[client].said.get_mut(&burst))
                {
                    said.broken = true;
                }
                self.command(client, Command::Cancel);
            }
            Act::Clear { room } => {
                let (room, raised_by) = (self.rooms[*room], self.clients[client].user);
                self.command(client, Command::ClearEmergency { room, raised_by });
            }
        }
    }
}
