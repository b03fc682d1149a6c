//! The client: one machine that a shell drives, composed of small ones.
//!
//! It exists so that every client (native, browser, mobile) behaves alike, and so that the behaviour can be tested in virtual
//! time over links that cut and lose. It does no I/O, reads no clock and draws no randomness.
//!
//! | machine | what it holds |
//! |---|---|
//! | `link` | token, socket, heartbeats, backoff |
//! | `rooms` | subscriptions, events in order, roles, floor, emergencies |
//! | `sends` | texts until they are acked |
//! | `talk` | one's own bursts, from key-down until the server has every frame |
//! | `listen` | others' bursts: which plays, what is missing, what was measured |
//! | [`jitter`] | when each frame of a burst is played |
//!
//! A shell calls [`Engine::handle`] with what happened and the time, then does every [`Output`] until
//! [`Engine::poll_output`] gives `None`, then waits until the next input or [`Engine::poll_timeout`], whichever is first, at
//! which it hands in [`Input::Timeout`]. Beside that there is one call in the other direction, [`Engine::pull`]: a sound
//! device asks for the next frame when it needs it.

#![expect(dead_code, reason = "talking and listening, which come next, use the rest of link and rooms")]

pub mod jitter;
mod link;
mod notice;
mod ports;
mod rng;
mod rooms;
mod sends;

use std::collections::VecDeque;

pub use notice::{HeardState, LinkReason, LinkState, Notice, SendState, TalkState};
pub use ports::{Command, ConnectFailure, FetchError, Input, Lane, LinkNo, Output, Received, Restored, Store};
pub use sends::SENDS_WAITING_MAX;

use link::{Change, Link, Session};
use rng::Chance;
use rooms::{Rooms, Subscribed};
use sends::Sends;

use crate::model::Event;
use crate::units::{Mono, RequestId, RoomId};
use crate::wire::problem::Problem;
use crate::wire::socket::{ClientMessage, ServerMessage};

/// What every machine gets with a call: the time, the way out, and what holds of the connection.
struct Cx<'a> {
    now: Mono,
    out: &'a mut VecDeque<Output>,
    chance: &'a mut Chance,
    session: Option<Session>,
    next_request: &'a mut u32,
    /// When something was last sent: no heartbeat is needed for a while after it.
    sent_at: &'a mut Mono,
}

impl Cx<'_> {
    fn push(&mut self, output: Output) {
        self.out.push_back(output);
    }

    fn notice(&mut self, notice: Notice) {
        self.out.push_back(Output::Notice(notice));
    }

    fn request(&mut self) -> RequestId {
        let request = RequestId(*self.next_request);
        *self.next_request = self.next_request.wrapping_add(1);
        request
    }

    /// Sends where the connection is up, otherwise not at all.
    fn send(&mut self, lane: Lane, message: &ClientMessage) {
        if let Some(session) = self.session {
            self.send_on(session.link, lane, message);
        }
    }

    fn send_on(&mut self, link: LinkNo, lane: Lane, message: &ClientMessage) {
        match serde_json::to_string(message) {
            Ok(text) => {
                *self.sent_at = self.now;
                self.out.push_back(Output::Send { link, lane, text });
            }
            Err(error) => self.notice(Notice::Fault { detail: format!("a message can't be written: {error}") }),
        }
    }
}

/// The client.
#[derive(Debug)]
pub struct Engine {
    out: VecDeque<Output>,
    chance: Chance,
    /// When something was last sent.
    sent_at: Mono,
    next_request: u32,
    link: Link,
    rooms: Rooms,
    sends: Sends,
}

/// Makes a [`Cx`] from fields of the engine, so that its machines can be borrowed beside it.
macro_rules! cx {
    ($engine:ident, $now:expr) => {
        Cx {
            now: $now,
            out: &mut $engine.out,
            chance: &mut $engine.chance,
            session: $engine.link.session(),
            next_request: &mut $engine.next_request,
            sent_at: &mut $engine.sent_at,
        }
    };
}

impl Engine {
    /// An engine that does nothing yet. `seed` spreads its waits; any number will do, the same number gives the same run.
    pub fn new(seed: u64) -> Self {
        Self {
            out: VecDeque::new(),
            chance: Chance::new(seed),
            sent_at: Mono::default(),
            next_request: 1,
            link: Link::new(),
            rooms: Rooms::default(),
            sends: Sends::default(),
        }
    }

    /// What must be done; `None` when everything was.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to hand in [`Input::Timeout`]; an instant that is past means at once.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let up = self.link.session().is_some();
        [self.link.poll_timeout(self.sent_at), self.rooms.poll_timeout(), self.sends.poll_timeout(up)]
            .into_iter()
            .flatten()
            .min()
    }

    /// Takes in what happened. `now` never decreases.
    pub fn handle(&mut self, now: Mono, input: Input) {
        let mut cx = cx!(self, now);
        let mut change = None;
        match input {
            Input::Start => self.link.start(&mut cx),
            Input::Stop => change = self.link.stop(&mut cx),
            Input::NetworkUp => self.link.network_up(&mut cx),
            Input::Token { access, expires_in } => self.link.token(&mut cx, access, expires_in),
            Input::TokenFailed { sign_in, detail } => change = self.link.token_failed(&mut cx, sign_in, detail),
            Input::Connected { link } => self.link.connected(&mut cx, link),
            Input::ConnectFailed { link, failure, detail } => {
                change = self.link.connect_failed(&mut cx, link, failure, detail);
            }
            Input::Closed { link, code, detail } => change = self.link.closed(&mut cx, link, code, detail),
            Input::Text { link, text } => {
                if self.link.is_current(link) {
                    self.link.note_heard(now);
                    match serde_json::from_str(&text) {
                        Ok(message) => return self.message(now, message),
                        // A newer server may send what this client does not know: that is not an error.
                        Err(error) if !is_known_type(&text) => drop(error),
                        Err(error) => cx.notice(Notice::Fault { detail: format!("a message can't be read: {error}") }),
                    }
                }
            }
            Input::Binary { link, bytes } => {
                if self.link.is_current(link) {
                    self.link.note_heard(now);
                    drop(bytes);
                }
            }
            Input::Sent { .. } | Input::FramesFetched { .. } | Input::Captured { .. } | Input::CaptureEnded { .. } => {}
            Input::EventsFetched { room, page } => {
                let mut handed = Vec::new();
                self.rooms.fetched(&mut cx, room, page, &mut handed);
                self.events(now, &handed);
                return;
            }
            Input::StoreFailed { detail } => cx.notice(Notice::StoreFailed { detail }),
            Input::Restore(Restored::Send { room, client_id, body }) => {
                self.sends.send(&mut cx, room, client_id, body, true);
            }
            Input::Restore(Restored::Burst { .. }) => {}
            Input::Command(command) => self.command(now, command),
            Input::Timeout => {
                change = self.link.on_timeout(&mut cx);
                if change.is_none() {
                    self.rooms.on_timeout(&mut cx);
                    self.sends.on_timeout(&mut cx);
                }
            }
        }
        self.changed(now, change);
    }

    fn changed(&mut self, now: Mono, change: Option<Change>) {
        let mut cx = cx!(self, now);
        match change {
            Some(Change::Up) => {
                self.rooms.link_up(&mut cx);
                self.sends.link_up(&mut cx);
            }
            Some(Change::Down) => self.rooms.link_down(),
            None => {}
        }
    }

    fn command(&mut self, now: Mono, command: Command) {
        let mut cx = cx!(self, now);
        match command {
            Command::Follow { room, cursor, voice } => self.rooms.follow(&mut cx, room, cursor, voice),
            Command::Unfollow { room } => self.rooms.unfollow(&mut cx, room),
            Command::SetPrimary { .. } | Command::KeyDown { .. } | Command::KeyUp => {}
            Command::Send { room, client_id, body } => self.sends.send(&mut cx, room, client_id, body, false),
            Command::ClearEmergency { room, raised_by } => {
                let request = cx.request();
                cx.send(Lane::Control, &ClientMessage::EmergencyClear { request, room, raised_by });
            }
        }
    }

    fn message(&mut self, now: Mono, message: ServerMessage) {
        let mut cx = cx!(self, now);
        let mut change = None;
        match message {
            ServerMessage::Welcome { user, device, server_time: _, heartbeat_ms, expires_in_s } => {
                change = self.link.welcome(&mut cx, user, device, heartbeat_ms, expires_in_s);
            }
            ServerMessage::Subscribed { request, room, role, head, first_seq, epoch: _, floor, emergencies } => {
                let answer = Subscribed { request, room, role, head, first_seq, floor, emergencies };
                self.rooms.subscribed(&mut cx, &answer);
            }
            ServerMessage::Events { room, incarnation, events } => {
                let mut handed = Vec::new();
                self.rooms.events(&mut cx, room, incarnation, events, &mut handed);
                self.events(now, &handed);
            }
            ServerMessage::HistoryGap { room, incarnation, first_seq } => {
                self.rooms.history_gap(&mut cx, room, incarnation, first_seq);
            }
            ServerMessage::Ack { room: _, client_id, seq, received_at } => {
                self.sends.acked(&mut cx, client_id, seq, received_at);
            }
            ServerMessage::Refused { room, client_id, request, burst: _, problem } => {
                self.refused(now, room, client_id, request, problem);
            }
            ServerMessage::FloorGranted { .. }
            | ServerMessage::FloorQueued { .. }
            | ServerMessage::FloorDenied { .. }
            | ServerMessage::FloorRevoked { .. }
            | ServerMessage::FloorWarning { .. }
            | ServerMessage::BurstStatus { .. } => {}
            ServerMessage::Floor { room, floor } => {
                self.rooms.floor_is(&mut cx, room, &floor);
            }
            ServerMessage::Emergency { room, raised_by } => self.rooms.emergencies_are(&mut cx, room, raised_by),
            ServerMessage::Role { room, role } => self.rooms.role_is(&mut cx, room, role),
            ServerMessage::Pong { nonce, server_time: _ } => self.link.pong(&mut cx, nonce),
            ServerMessage::Error { request: _, problem } => {
                cx.notice(Notice::Fault { detail: problem.to_string() });
            }
            ServerMessage::Draining { reconnect_after_ms } => {
                let after = core::time::Duration::from_millis(u64::from(reconnect_after_ms));
                change = self.link.draining(&mut cx, after);
            }
        }
        self.changed(now, change);
    }

    fn refused(
        &mut self,
        now: Mono,
        room: RoomId,
        client_id: Option<crate::units::ClientId>,
        request: Option<RequestId>,
        problem: Problem,
    ) {
        let mut cx = cx!(self, now);
        if let Some(client_id) = client_id {
            self.sends.refused(&mut cx, client_id, problem);
            return;
        }
        if request.is_some_and(|request| self.rooms.refused(&mut cx, room, request, &problem)) {
            return;
        }
        cx.notice(Notice::RoomRefused { room, problem });
    }

    fn events(&mut self, _now: Mono, _handed: &[Event]) {}
}

/// The types of the messages that this client knows.
const KNOWN_MESSAGES: &[&str] = &[
    "ack",
    "burst.status",
    "draining",
    "emergency",
    "error",
    "events",
    "floor",
    "floor.denied",
    "floor.granted",
    "floor.queued",
    "floor.revoked",
    "floor.warning",
    "history.gap",
    "pong",
    "refused",
    "role",
    "subscribed",
    "welcome",
];

/// Whether a message that can't be read names a type that this client knows, or none.
fn is_known_type(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: String,
    }
    serde_json::from_str::<Typed>(text).map_or(true, |typed| KNOWN_MESSAGES.contains(&typed.kind.as_str()))
}

#[cfg(test)]
mod tests;
