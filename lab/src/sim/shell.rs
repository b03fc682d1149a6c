//! The clients' shells: what `client/native` does around an engine.

#![expect(clippy::wildcard_enum_match_arm, reason = "of many kinds, those that matter here are picked out")]

use core::time::Duration;

use holler_core::engine::{
    Command, Config, ConnectFailure, Engine, FetchError, Input, Lane, LinkNo, LinkReason, LinkState, Notice, Output,
    Pull, Store,
};
use holler_core::units::{BurstId, RoomId, UnixMs};
use holler_core::wire::socket::{ClientMessage, CloseCode};

use super::client::{Lanes, payload};
use super::conn::{Conn, Wire};
use super::server::token;
use super::udp;
use super::world::{BEGIN, Rest, What, World};

impl World<'_> {
    pub(super) fn start(&mut self, client: usize) {
        let seed = self.clients[client].chance.draw();
        let unix = self.true_unix();
        let one = &mut self.clients[client];
        let paths = if self.plan.udp[client].is_some() { udp::KINDS } else { &[] };
        one.engine = Some(Engine::new(Config { seed, play_all: false, recovery_reach: 1, no_store: false, paths }));
        let token = one.token_left(unix);
        let unfinished = one.local.unfinished(self.now);
        let cursors: Vec<_> = self.rooms.iter().map(|room| (*room, one.local.cursor(*room))).collect();
        self.tell(|| format!("client {client} starts with {} unfinished", unfinished.len()));
        self.observer.starts(client, self.clients[client].life, self.era, &cursors);
        if let Some((access, expires_in)) = token {
            self.input(client, Input::Token { access, expires_in }, self.era);
        }
        for item in unfinished {
            self.input(client, Input::Restore(item), self.era);
        }
        let state = self.clients[client].own;
        self.command(client, Command::SetPresence { state });
        self.input(client, Input::Start, self.era);
        for (room, cursor) in cursors {
            self.command(client, Command::Follow { room, cursor, voice: true });
            self.command(client, Command::WatchPresence { room });
        }
    }

    pub(super) fn command(&mut self, client: usize, command: Command) {
        self.input(client, Input::Command(command), self.era);
    }

    /// Hands an input to an engine, and does what it asks for. `era`: the history that the news come from.
    pub(super) fn input(&mut self, client: usize, input: Input, era: u32) {
        let now = self.now;
        let Some(engine) = self.clients[client].engine.as_mut() else { return };
        engine.handle(now, input);
        self.drain(client, era);
    }

    pub(super) fn drain(&mut self, client: usize, era: u32) {
        while let Some(output) = self.clients[client].engine.as_mut().and_then(Engine::poll_output) {
            self.output(client, output, era);
        }
        self.flush(client);
        if self.clients[client].local.begin() {
            let us = self.clients[client].chance.between(1_000, 40_000);
            self.client_at(Duration::from_micros(us), client, What::Synced);
        }
        self.client_next[client] = self.clients[client].engine.as_ref().and_then(Engine::poll_timeout);
    }

    pub(super) fn flush(&mut self, client: usize) {
        let now = self.now;
        let one = &mut self.clients[client];
        let Some((link, number)) = one.conn else { return };
        let Some(conn) = self.conns.get_mut(&number).filter(|conn| conn.client_open) else { return };
        let before = conn.up.waiting();
        let repair_bytes = one.lanes.flush(now, conn);
        if conn.up.waiting() > before {
            self.traffic[client].push(now.since(BEGIN));
        }
        self.server_next = None;
        if repair_bytes > 0 {
            let input = Box::new(Input::Sent { link, repair_bytes });
            self.client_at(Duration::from_micros(200), client, What::Input { input, era: self.era });
        }
    }

    fn output(&mut self, client: usize, output: Output, era: u32) {
        let now = self.now;
        match output {
            Output::Connect { link } => {
                if let Some((_, old)) = self.clients[client].conn.take() {
                    self.hang_up(old);
                }
                self.clients[client].lanes = Lanes::default();
                self.observer.attempt(client, now, &mut self.clients[client].attempts);
                let one_way = self.clients[client].up.delay;
                // TCP and TLS: two round trips and a half until the upgrade is asked for.
                self.client_at(one_way * 5, client, What::Knocks { link });
            }
            Output::Disconnect { link } => {
                if let Some((_, number)) = self.clients[client].conn.take_if(|(current, _)| *current == link) {
                    self.hang_up(number);
                }
                self.clients[client].lanes = Lanes::default();
            }
            Output::Send { link, lane, text } => {
                let current = self.clients[client].conn.is_some_and(|(current, _)| current == link);
                if current {
                    self.asks(client, &text);
                    if !text.starts_with("{\"type\":\"ping\"") {
                        self.tell(|| format!("client {client} says {text}"));
                    }
                    if text.starts_with("{\"type\":\"receipt\"")
                        && let Ok(ClientMessage::Receipt { room, incarnation, delivered, .. }) =
                            serde_json::from_str(&text)
                    {
                        let life = self.clients[client].life;
                        self.observer.receipt(client, life, room, incarnation, delivered);
                    }
                    self.clients[client].lanes.text(lane, text);
                }
            }
            Output::Voice { link, lane, frame, captured_at } => {
                let current = self.clients[client].conn.is_some_and(|(current, _)| current == link);
                if current && !(lane == Lane::Voice && self.forgets(client, &frame)) {
                    if lane != Lane::Voice {
                        self.tell(|| format!("client {client} repairs frame {}", frame.number));
                    }
                    self.clients[client].lanes.voice(now, lane, frame, captured_at);
                }
            }
            Output::OpenPath { link, offer } => self.open_path(client, link, &offer),
            Output::Datagram { link, counter, inner, .. } => self.datagram(client, link, counter, &inner),
            Output::RefreshToken => self.ask(client, Rest::Token),
            Output::FetchEvents { room, after } => self.ask(client, Rest::Events { room, after }),
            Output::FetchFrames { room, burst, from, to } => {
                self.fetches(client, burst, to);
                self.ask(client, Rest::Frames { room, burst, from, to });
            }
            Output::FetchPresence { room } => self.ask(client, Rest::Presence { room }),
            Output::Store(change) => {
                let one = &mut self.clients[client];
                match &change {
                    Store::Heard { room, burst } => {
                        one.played.insert((*room, *burst));
                    }
                    Store::Read { room, cursor } => {
                        one.read.insert(*room, *cursor);
                    }
                    Store::Cursor { room, cursor } => self.observer.handed_on(client, one.life, *room, *cursor),
                    _ => {}
                }
                one.local.push(now, change);
            }
            Output::LoadBurst { burst } => {
                let frames = Ok(self.clients[client].local.load(burst));
                self.disk_says(client, Input::BurstLoaded { burst, frames });
            }
            Output::Reoffer { room, incarnation } => {
                for item in self.clients[client].local.acked_elsewhere(now, room, incarnation) {
                    self.disk_says(client, Input::Restore(item));
                }
            }
            Output::StartCapture { burst, .. } => {
                self.clients[client].recording = Some(burst);
                let wait = Duration::from_millis(5 + self.clients[client].chance.below(30));
                self.client_at(wait, client, What::Capture { burst, number: 1 });
            }
            Output::StopCapture { burst } => {
                self.clients[client].recording = None;
                let input = Box::new(Input::CaptureEnded { burst, fault: None });
                self.client_at(Duration::from_millis(3), client, What::Input { input, era: self.era });
            }
            Output::StartPlayback { burst, .. } => {
                let plays = self.plan.with_sound;
                self.observer.plays(client, burst);
                if plays {
                    self.client_at(Duration::ZERO, client, What::Pull { burst });
                }
            }
            Output::Received(received) => {
                self.tell(|| {
                    let (burst, count) = (received.header.burst, received.frames.len());
                    format!("client {client} has {burst}: {count} frames, complete: {}", received.complete)
                });
                self.observer.received(now, client, self.clients[client].life, received);
            }
            Output::Notice(notice) => {
                if !matches!(notice, Notice::RoundTrip(_)) {
                    self.tell(|| format!("client {client} is told {notice:?}"));
                }
                if let Notice::Link(LinkState::Ended { reason: LinkReason::Closed(CloseCode::Replaced) }) = &notice {
                    // A person whose client was replaced starts it again.
                    let input = Box::new(Input::Start);
                    self.client_at(Duration::from_secs(4), client, What::Input { input, era: self.era });
                }
                self.observer.notice(now, client, era, &mut self.clients[client], &notice);
            }
            _ => {}
        }
    }

    /// An answer of the local store, some time later.
    fn disk_says(&mut self, client: usize, input: Input) {
        let wait = Duration::from_millis(10);
        self.client_at(wait, client, What::Input { input: Box::new(input), era: self.era });
    }

    /// A message that asks for the ends of logs.
    fn asks(&mut self, client: usize, text: &str) {
        if !(text.starts_with("{\"type\":\"auth\"") || text.starts_with("{\"type\":\"subscribe\"")) {
            return;
        }
        let era = self.clients[client].conn.and_then(|(_, number)| self.conn_eras.get(&number).copied());
        let rooms: Vec<RoomId> = match serde_json::from_str(text) {
            Ok(ClientMessage::Auth { rooms, .. }) => rooms.iter().map(|follow| follow.room).collect(),
            Ok(ClientMessage::Subscribe { room, .. }) => vec![room],
            _ => Vec::new(),
        };
        for room in rooms {
            self.observer.asks(client, room, era.unwrap_or(self.era));
        }
    }

    fn ask(&mut self, client: usize, rest: Rest) {
        if let Rest::Events { room, .. } = &rest {
            self.observer.asks(client, *room, self.era);
        }
        let one_way = self.clients[client].up.delay;
        // A request has a connection of its own more often than not.
        self.client_at(one_way * 3, client, What::Asks(rest));
    }

    fn rest(&mut self, client: usize, rest: Rest) {
        let one_way = self.clients[client].up.delay;
        let there = self.server.up && !self.clients[client].cut;
        let later = || FetchError::Later("no answer".into());
        let input = match rest {
            Rest::Token => {
                if there {
                    let (valid, wall) = (self.plan.token_s * 1_000, self.clients[client].wall(self.true_unix()));
                    let access = token(client, UnixMs(self.unix().0 + valid));
                    self.clients[client].token = Some((access.clone(), UnixMs(wall.0 + valid)));
                    Input::Token { access, expires_in: Duration::from_millis(valid) }
                } else {
                    Input::TokenFailed { sign_in: false, detail: "no answer".into(), retry_after: None }
                }
            }
            Rest::Events { room, after } => {
                let page = if there {
                    let refused = |later| {
                        if later { FetchError::Later(String::new()) } else { FetchError::Never("refused".into()) }
                    };
                    self.server.events(room, after).map_err(refused)
                } else {
                    Err(later())
                };
                if let Ok(page) = &page {
                    self.observer.read(client, room, self.era, page.head.seq);
                }
                Input::EventsFetched { room, page }
            }
            Rest::Frames { room, burst, from, to } => {
                let row = self.server.disk.state.get(&room).and_then(|state| state.bursts.get(&burst));
                let frames = match row {
                    _ if !there => Err(later()),
                    None => Err(FetchError::Never("there is no such burst".into())),
                    Some(row) => Ok(row.frames.range(from..=to).map(|(n, p)| (*n, p.clone())).collect()),
                };
                Input::FramesFetched { burst, frames }
            }
            Rest::Presence { room } => {
                let members: Vec<_> = self.clients.iter().map(|one| one.user).collect();
                let answer = if there { Ok(self.server.board.room(room, &members)) } else { Err(later()) };
                Input::PresenceFetched { room, answer }
            }
        };
        let wait = if there { one_way } else { Duration::from_secs(1) };
        self.client_at(wait, client, What::Input { input: Box::new(input), era: self.era });
    }

    pub(super) fn client_happens(&mut self, client: usize, what: What) {
        let now = self.now;
        match what {
            What::Knocks { link } => {
                let (cut, one_way) = (self.clients[client].cut, self.clients[client].up.delay);
                if cut || !self.server.up {
                    // Some networks say so, others just don't answer.
                    let wait = if self.net.one_in(2) { Duration::from_millis(100) } else { Duration::from_secs(19) };
                    let (failure, detail) = (ConnectFailure::Unreachable, String::new());
                    let input = Input::ConnectFailed { link, failure, detail, retry_after: None };
                    return self.client_at(wait, client, What::Input { input: Box::new(input), era: self.era });
                }
                let number = self.open(client, link);
                self.client_at(one_way, client, What::Connected { link, conn: number });
            }
            What::Connected { link, conn } => {
                // The engine may have given this one up meanwhile: then a newer one is on its way.
                self.clients[client].conn = Some((link, conn));
                self.observer.tally.connects += 1;
                self.input(client, Input::Connected { link }, self.era);
            }
            What::Input { input, era } => self.input(client, *input, era),
            What::Asks(rest) => self.rest(client, rest),
            What::Capture { burst, number } => self.capture(client, burst, number),
            What::KeyUp { burst } => {
                if self.clients[client].recording == Some(burst) {
                    self.command(client, Command::KeyUp);
                }
            }
            What::Synced => {
                let failed = self.clients[client].local.synced();
                for _ in 0..failed.min(3) {
                    self.input(client, Input::StoreFailed { detail: "the disk is full".into() }, self.era);
                }
                if self.clients[client].local.begin() {
                    let us = self.clients[client].chance.between(1_000, 40_000);
                    self.client_at(Duration::from_micros(us), client, What::Synced);
                }
            }
            What::Pull { burst } => {
                let Some(engine) = self.clients[client].engine.as_mut() else { return };
                let pull = engine.pull(now, burst);
                self.drain(client, self.era);
                let frame = self.observer.frame_ms(burst);
                let next = match pull {
                    Pull::Frame { number, .. } => {
                        self.observer.pulled(client, burst, number);
                        self.input(client, Input::Played { burst, number, heard_at: now }, self.era);
                        frame
                    }
                    Pull::Recover { .. } | Pull::Conceal { .. } => frame,
                    Pull::Bridge => Duration::from_millis(10),
                    Pull::Wait { until } => {
                        until.map_or(frame, |until| until.since(now)).clamp(Duration::from_millis(5), frame)
                    }
                    Pull::End => return,
                };
                self.client_at(next, client, What::Pull { burst });
            }
        }
    }

    fn capture(&mut self, client: usize, burst: BurstId, number: u16) {
        if self.clients[client].recording != Some(burst) {
            return;
        }
        let frame = self.observer.frame_ms(burst);
        let bytes = payload(burst, number);
        if let Some(said) = self.clients[client].said.get_mut(&burst) {
            said.frames.push(bytes.clone());
        }
        let captured_at = self.now - frame;
        self.client_at(frame, client, What::Capture { burst, number: number.saturating_add(1) });
        self.input(client, Input::Captured { burst, captured_at, payload: bytes }, self.era);
    }

    pub(super) fn open(&mut self, client: usize, link: LinkNo) -> u64 {
        let number = self.next_conn;
        self.next_conn += 1;
        let socket = self.server.accept(self.now, number);
        let one = &self.clients[client];
        let conn = Conn::new(client, one.life, link, socket, one.up, one.down, &mut self.net);
        self.conns.insert(number, conn);
        self.conn_eras.insert(number, self.era);
        self.server_next = None;
        number
    }

    /// The client's end closes: the server hears of it, if the way is there.
    pub(super) fn hang_up(&mut self, number: u64) {
        if let Some(conn) = self.conns.get_mut(&number) {
            conn.client_open = false;
            conn.up.send(self.now, 40, Wire::Close(None));
            self.server_next = None;
        }
    }

    /// Something arrives at a client.
    pub(super) fn deliver(&mut self, number: u64) {
        let now = self.now;
        let Some(conn) = self.conns.get_mut(&number) else { return };
        let Some(wire) = conn.down.receive(now) else { return };
        let (client, life, link) = (conn.client, conn.life, conn.link);
        conn.client_open &= !matches!(wire, Wire::Close(_));
        let era = self.conn_eras.get(&number).copied().unwrap_or_default();
        if self.clients.get(client).is_none_or(|one| one.life != life || one.conn != Some((link, number))) {
            return;
        }
        self.traffic[client].push(now.since(BEGIN));
        let input = match wire {
            Wire::Text(text) => {
                self.mix(text.as_bytes());
                let welcome = text.starts_with("{\"type\":\"welcome\"");
                if let Some(conn) = self.conns.get_mut(&number) {
                    conn.welcomed |= welcome;
                }
                let welcomed = self.conns.get(&number).is_none_or(|conn| conn.welcomed);
                if !welcomed && text.starts_with("{\"type\":\"subscribed\"") {
                    self.observer.violation("order", format!("client {client} was subscribed before it was welcomed"));
                }
                if !text.starts_with("{\"type\":\"pong\"") {
                    self.tell(|| format!("client {client} hears {text}"));
                }
                Input::Text { link, text }
            }
            Wire::Binary(bytes) => {
                self.mix(&bytes);
                self.observer.voice(client, &bytes);
                Input::Binary { link, bytes }
            }
            Wire::Close(code) => {
                self.tell(|| format!("client {client}: its socket closed ({code:?})"));
                self.clients[client].conn = None;
                Input::Closed { link, code, detail: String::new() }
            }
        };
        // The socket has room again.
        self.server.pump(now, &mut self.conns);
        self.after_server();
        self.input(client, input, era);
    }
}
