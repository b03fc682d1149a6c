//! The client: one machine that a shell drives, composed of small ones.
//!
//! It exists so that every client (native, browser, mobile) behaves alike, and so that the behaviour can be tested in virtual
//! time over links that cut and lose. It does no I/O, reads no clock and draws no randomness.
//!
//! | machine | what it holds |
//! |---|---|
//! | `link` | token, socket, heartbeats, backoff |
//! | `rooms` | subscriptions, events in order, roles, floor, emergencies |
//! | `outbox` | the order in which texts and bursts leave, and which history of a log was seen |
//! | `sends` | texts until they are acked |
//! | `talk` | one's own bursts, from key-down until the server has every frame |
//! | `listen` | others' bursts: which plays, what is missing, what was measured |
//! | `aloud` | whether this device plays, or another one of the same person |
//! | `presence` | who is here, for as long as it counts |
//! | `receipts` | how far this device got, until the server knows |
//! | `roster` | when to fetch the people and rooms that one sees |
//! | [`jitter`] | when each frame of a burst is played |
//! | [`replay`] | a burst of the past, faster, and its waveform |
//!
//! A shell calls [`Engine::handle`] with what happened and the time, then does every [`Output`] until
//! [`Engine::poll_output`] gives `None`, then waits until the next input or [`Engine::poll_timeout`], whichever is first, at
//! which it hands in [`Input::Timeout`]. Beside that there is one call in the other direction, [`Engine::pull`]: a sound
//! device asks for the next frame when it needs it.

mod aloud;
mod backoff;
mod cx;
mod figures;
pub mod jitter;
mod known;
mod link;
mod listen;
mod notice;
mod outbox;
mod ports;
mod presence;
mod receipts;
pub mod replay;
mod rng;
mod rooms;
mod roster;
mod sends;
mod server_clock;
mod talk;
mod voice_path;

use core::time::Duration;
use std::collections::VecDeque;

pub use figures::SpokenFigures;
pub use listen::{Heard, Hearing, Pull};
pub use notice::{HeardState, LinkReason, LinkState, Notice, PresenceFeed, SendState, TalkState};
pub use ports::{
    Command, ConnectFailure, FetchError, Input, Lane, LinkNo, Output, Received, Restored, ServerTime, Spoken, Store,
};
pub use presence::PersonSeen;
pub use sends::SENDS_WAITING_MAX;

use aloud::Aloud;
use cx::Cx;
use known::is_known_type;
use link::{Change, Link, Welcome};
use listen::{BurstEnd, Listen};
use outbox::Outbox;
use presence::Presence;
use receipts::Receipts;
use rng::Chance;
use rooms::{Rooms, Subscribed};
use roster::Roster;
use sends::Sends;
use talk::{Earlier, KeyDown, Talk};
use voice_path::VoicePath;

use crate::model::{BurstHeader, Codec, Event};
use crate::path::PathFigures;
use crate::units::{BurstId, ClientId, Cursor, Epoch, Incarnation, Mono, RequestId, RoomId, UserId};
use crate::wire::datagram::PathKind;
use crate::wire::json;
use crate::wire::presence::PersonPresence;
use crate::wire::problem::Problem;
use crate::wire::socket::{ClientMessage, ServerMessage};
use crate::wire::voice::VoiceFrame;

/// What is settled when an engine is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Config {
    /// Spreads the waits: any number will do, and the same number gives the same run.
    pub seed: u64,
    /// Whether bursts of several rooms play at the same time, as a recorder wants; otherwise one room plays at a time.
    pub play_all: bool,
    /// How many frames back the redundancy in a frame may reach, as far as the sound port can use it: 1 with in-band FEC,
    /// more with DRED, 0 with none.
    pub recovery_reach: u16,
    /// There is no local store: memory is all there is, and nothing is ever left to [`Output::LoadBurst`].
    pub no_store: bool,
    /// What this client can use to send voice as datagrams, the best first; none: the socket carries all.
    pub paths: &'static [PathKind],
}

/// The client.
#[derive(Debug)]
pub struct Engine {
    out: VecDeque<Output>,
    chance: Chance,
    /// When something was last sent.
    sent_at: Mono,
    next_request: u32,
    path: VoicePath,
    link: Link,
    rooms: Rooms,
    outbox: Outbox,
    sends: Sends,
    talk: Talk,
    listen: Listen,
    aloud: Aloud,
    presence: Presence,
    receipts: Receipts,
    roster: Roster,
}

/// Makes a [`Cx`] from fields of the engine, so that its machines can be borrowed beside it.
macro_rules! cx {
    ($engine:ident, $now:expr) => {
        Cx {
            now: $now,
            out: &mut $engine.out,
            chance: &mut $engine.chance,
            session: $engine.link.session(),
            server: $engine.link.server_clock(),
            outbox: &mut $engine.outbox,
            next_request: &mut $engine.next_request,
            sent_at: &mut $engine.sent_at,
            path: &mut $engine.path,
        }
    };
}

impl Engine {
    /// An engine that does nothing yet.
    pub fn new(config: Config) -> Self {
        Self {
            out: VecDeque::new(),
            chance: Chance::new(config.seed),
            sent_at: Mono::default(),
            next_request: 1,
            path: VoicePath::new(config.paths),
            link: Link::new(),
            rooms: Rooms::default(),
            outbox: Outbox::default(),
            sends: Sends::default(),
            talk: Talk::new(config.no_store),
            listen: Listen::new(config.play_all, config.recovery_reach),
            aloud: Aloud::default(),
            presence: Presence::default(),
            receipts: Receipts::default(),
            roster: Roster::default(),
        }
    }

    /// What must be done; `None` when everything was.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// How many outputs wait.
    pub fn outputs(&self) -> usize {
        self.out.len()
    }

    /// When to hand in [`Input::Timeout`]; an instant that is past means at once.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let up = self.link.session().is_some();
        [
            self.link.poll_timeout(self.sent_at),
            self.rooms.poll_timeout(),
            self.sends.poll_timeout(up, &self.outbox),
            self.talk.poll_timeout(),
            self.listen.poll_timeout(),
            self.aloud.poll_timeout(),
            self.presence.poll_timeout(),
            self.receipts.poll_timeout(up),
            self.roster.poll_timeout(),
            self.path.poll_timeout(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// The next sound of a burst that plays; the sound port tells with [`Input::Played`] when it is heard.
    pub fn pull(&mut self, now: Mono, burst: BurstId) -> Pull {
        let pull = self.listen.pull(&mut cx!(self, now), burst);
        self.ends(now);
        pull
    }

    /// The burst that plays, or played last, in figures.
    pub fn heard(&self) -> Option<Heard> {
        self.listen.heard()
    }

    /// The round trip to the server, smoothed; `None` before it was measured.
    pub fn round_trip(&self) -> Option<Duration> {
        self.link.rtt()
    }

    /// The path beside the socket, in figures; `None`: there is none.
    pub fn voice_path(&self) -> Option<PathFigures> {
        self.path.figures()
    }

    /// What is known of a person at `now`: only what is still good by this client's own clock.
    pub fn presence(&self, now: Mono, user: UserId) -> PersonSeen {
        self.presence.seen(now, user)
    }

    fn half_rtt(&self) -> Duration {
        self.link.rtt().unwrap_or_default() / 2
    }

    /// Takes in what happened. `now` never decreases.
    pub fn handle(&mut self, now: Mono, input: Input) {
        let was_up = self.link.session().is_some();
        self.dispatch(now, input);
        self.ends(now);
        let is_up = self.link.session().is_some();
        if was_up && !is_up {
            self.changed(now, Change::Down);
        } else if is_up && !was_up {
            self.changed(now, Change::Up);
        }
        while self.outbox.take_moved() {
            // Something has its place: what was spoken after it may go.
            self.sends.flush(&mut cx!(self, now));
            self.talk.advance(&mut cx!(self, now), &self.rooms);
        }
        let talking = self.talk.is_talking();
        self.link.set_talking(&mut cx!(self, now), talking);
        let urgent = self.talk.is_urgent(now);
        self.link.set_urgent(&mut cx!(self, now), urgent);
        let mut cx = cx!(self, now);
        let shown = self.aloud.show(&mut cx);
        self.listen.set_here(&mut cx, &shown);
        self.link.set_relied_on(&mut cx, shown.relied_on);
        let (expecting, away) = (self.listen.is_live(), self.link.is_put_away());
        cx!(self, now).path_drives(expecting, away);
    }

    fn dispatch(&mut self, now: Mono, input: Input) {
        let half_rtt = self.half_rtt();
        let mut cx = cx!(self, now);
        if input.is_answer() {
            self.link.sign_of_network(&mut cx);
        }
        match input {
            Input::Start => self.link.start(&mut cx),
            Input::Stop => {
                if self.link.session().is_some() {
                    // What was gathered goes out with the goodbye; it is kept until a later connection hears that it is stored.
                    self.receipts.tell(&mut cx);
                }
                self.link.stop(&mut cx);
            }
            Input::NetworkUp => {
                cx.path_network();
                self.link.network_up(&mut cx);
            }
            Input::NetworkSign => self.link.sign_of_network(&mut cx),
            Input::Token { access, expires_in } => self.link.token(&mut cx, access, expires_in),
            Input::TokenFailed { sign_in, detail, retry_after } => {
                self.link.token_failed(&mut cx, sign_in, detail, retry_after);
            }
            Input::Connected { link } => {
                if self.link.awaits(link) {
                    let follows = self.rooms.follows(&mut cx, |room| self.presence.is_watched(room));
                    self.presence.asked_with_auth(&follows);
                    self.link.connected(&mut cx, link, self.presence.own(), follows);
                }
            }
            Input::ConnectFailed { link, failure, detail, retry_after } => {
                self.link.connect_failed(&mut cx, link, failure, detail, retry_after);
            }
            Input::Closed { link, code, detail } => self.link.closed(&mut cx, link, code, detail),
            Input::Text { link, text } => {
                if self.link.is_current(link) {
                    self.link.note_heard(now);
                    match json::read(&text) {
                        Ok(message) => self.message(now, message),
                        // A newer server may send what this client does not know: that is not an error.
                        Err(error) if !is_known_type(&text) => drop(error),
                        Err(error) => cx.notice(Notice::Fault { detail: format!("a message can't be read: {error}") }),
                    }
                }
            }
            Input::Binary { link, bytes } => {
                if self.link.is_current(link) {
                    self.link.note_heard(now);
                    self.link.note_active(now);
                    cx.path_live();
                    match VoiceFrame::decode(&bytes) {
                        Ok(frame) => self.listen.voice(&mut cx, half_rtt, frame),
                        Err(error) => cx.notice(Notice::Fault { detail: error.to_string() }),
                    }
                }
            }
            Input::PathOpened { link } => cx.path_opened(link),
            Input::PathFailed { link, detail: _ } => cx.path_failed(link),
            Input::Datagram { link, counter, inner } => {
                let half_rtt = cx.path.half_rtt().unwrap_or(half_rtt);
                // What does not fit is dropped without a word, as the network itself would drop it.
                for frame in cx.path_received(link, counter, &inner).unwrap_or_default() {
                    self.link.note_active(now);
                    self.listen.voice(&mut cx, half_rtt, frame);
                }
            }
            Input::Sent { link, repair_bytes } => {
                if self.link.is_current(link) {
                    self.talk.repair_sent(&mut cx, repair_bytes);
                }
            }
            Input::EventsFetched { room, page } => {
                let mut handed = Vec::new();
                self.rooms.fetched(&mut cx, room, page, &mut handed);
                self.events(now, room, &handed);
            }
            Input::RosterFetched { answer } => self.roster.fetched(&mut cx, answer),
            Input::PresenceFetched { room, answer } => self.presence.fetched(&mut cx, room, answer),
            Input::FramesFetched { burst, frames } => self.listen.fetched(&mut cx, burst, frames),
            Input::Captured { burst, captured_at, payload } => {
                self.talk.captured(&mut cx, &self.rooms, burst, captured_at, payload);
            }
            Input::CaptureEnded { burst, fault } => self.talk.capture_ended(&mut cx, &self.rooms, burst, fault),
            Input::Played { burst, number, heard_at } => self.listen.played(&mut cx, burst, number, heard_at),
            Input::PlaybackFailed { burst, detail } => {
                cx.notice(Notice::Fault { detail: format!("playing {burst}: {detail}") });
            }
            Input::BurstLoaded { burst, frames } => self.talk.burst_loaded(&mut cx, &self.rooms, burst, frames),
            Input::StoreFailed { detail } => {
                self.talk.store_failed();
                cx.notice(Notice::StoreFailed { detail });
            }
            Input::Restore(Restored::Send { room, client_id, body }) => {
                self.sends.send(&mut cx, room, client_id, body, true);
            }
            Input::Restore(Restored::Burst { room, header, priority, spoken, placed, delivered, last, digest }) => {
                self.rooms.follow_to_talk(&mut cx, room);
                let earlier = Earlier { room, header, priority, spoken, placed, delivered, last, digest };
                self.talk.restore(&mut cx, &self.rooms, &earlier);
            }
            Input::Restore(Restored::Receipts { room, read, heard }) => {
                self.receipts.restore(&mut cx, room, read, heard);
            }
            Input::Command(command) => self.command(now, command),
            Input::Timeout => {
                self.link.on_timeout(&mut cx);
                if self.link.session().is_some() {
                    self.rooms.on_timeout(&mut cx);
                    self.sends.on_timeout(&mut cx);
                    self.receipts.on_timeout(&mut cx);
                }
                self.talk.on_timeout(&mut cx, &self.rooms);
                self.listen.on_timeout(&mut cx);
                self.aloud.on_timeout(&mut cx);
                self.presence.on_timeout(&mut cx);
                self.roster.on_timeout(&mut cx);
            }
        }
    }

    /// What became of others' bursts, for the receipts.
    fn ends(&mut self, now: Mono) {
        let mut cx = cx!(self, now);
        while let Some(end) = self.listen.poll_end() {
            match end {
                BurstEnd::Heard { room, burst } => self.receipts.heard(&mut cx, room, burst),
                BurstEnd::Settled { room, burst } => self.receipts.settled(&mut cx, room, burst),
            }
        }
    }

    fn changed(&mut self, now: Mono, change: Change) {
        let (heard_at, rtt) = (self.link.heard_at(), self.link.rtt().unwrap_or_default());
        let mut cx = cx!(self, now);
        match change {
            Change::Up => {
                self.rooms.link_up(&mut cx);
                self.presence.link_up(&mut cx);
                self.roster.link_up(&mut cx);
                self.sends.link_up(&mut cx);
                self.aloud.link_up(&mut cx);
                cx.path_asks();
            }
            Change::Down => {
                self.rooms.link_down();
                self.presence.link_down(&mut cx);
                self.receipts.link_down();
                self.aloud.link_down();
                self.roster.link_down();
                self.talk.link_down(&mut cx, heard_at, rtt);
                cx.path_down();
            }
        }
    }

    fn command(&mut self, now: Mono, command: Command) {
        if matches!(command, Command::KeyDown { .. } | Command::Send { .. }) {
            self.link.note_active(now);
        }
        let mut cx = cx!(self, now);
        match command {
            Command::Follow { room, cursor, voice } => self.rooms.follow(&mut cx, room, cursor, voice),
            Command::Unfollow { room } => self.rooms.unfollow(&mut cx, room),
            Command::SetPrimary { room } => self.listen.set_primary(&mut cx, room),
            Command::SetHearing { hearing } => {
                self.aloud.set_quiet(&mut cx, hearing == Hearing::Nothing);
                self.listen.set_hearing(&mut cx, hearing);
            }
            Command::Mute { room, muted } => self.listen.mute(&mut cx, room, muted),
            Command::KeepRoster => self.roster.keep(&mut cx),
            Command::Read { room, cursor } => self.receipts.read(&mut cx, room, cursor),
            Command::Heard { room, burst } => self.receipts.heard(&mut cx, room, burst),
            Command::SetPresence { state } => self.presence.set(&mut cx, state),
            Command::WatchPresence { room } => self.presence.watch(&mut cx, room),
            Command::UnwatchPresence { room } => self.presence.unwatch(&mut cx, room),
            Command::PutAway { idle } => self.link.set_idle(now, idle),
            Command::Aloud { on } => self.aloud.set(&mut cx, on),
            Command::Used => self.aloud.used(&mut cx),
            Command::KeyDown { room, burst, priority, queue, when_free, frame_ms, bitrate } => {
                self.aloud.used(&mut cx);
                self.rooms.follow_to_talk(&mut cx, room);
                let header = BurstHeader { burst, codec: Codec::Opus, frame_ms, bitrate, key_epoch: Epoch(0) };
                self.talk.key_down(&mut cx, &self.rooms, KeyDown { room, priority, queue, when_free, header });
            }
            Command::KeyUp => self.talk.key_up(&mut cx),
            Command::Cancel => self.talk.cancel(&mut cx, &self.rooms),
            Command::Send { room, client_id, body } => self.sends.send(&mut cx, room, client_id, body, false),
            Command::ForgetBurst { burst } => self.talk.forget(&mut cx, &self.rooms, burst),
            Command::ForgetText { client_id } => self.sends.forget(&mut cx, client_id),
            Command::ClearEmergency { room, raised_by } => {
                let request = cx.request();
                cx.send(Lane::Control, &ClientMessage::EmergencyClear { request, room, raised_by });
            }
        }
    }

    fn message(&mut self, now: Mono, message: ServerMessage) {
        let half_rtt = self.half_rtt();
        let mut cx = cx!(self, now);
        match message {
            ServerMessage::Welcome { user, device, server_time, heartbeat_ms, expires_in_s, resume } => {
                let welcome = Welcome { user, device, server_time, heartbeat_ms, expires_in_s, resume };
                self.link.welcome(&mut cx, welcome);
            }
            ServerMessage::Subscribed { request, room, role, head, first_seq, epoch: _, floor, emergencies } => {
                self.receipts.history(room, head);
                let answer = Subscribed { request, room, role, head, first_seq, floor, emergencies };
                if self.rooms.subscribed(&mut cx, &answer) {
                    if cx.outbox.is_new(room, head.incarnation) {
                        cx.push(Output::Reoffer { room, incarnation: head.incarnation });
                    }
                    if self.rooms.hears(room) {
                        let asked_at = self.rooms.asked_at(room);
                        self.listen.floor(&mut cx, half_rtt, room, &answer.floor, asked_at);
                    }
                    self.talk.room_live(&mut cx, &self.rooms);
                }
            }
            ServerMessage::Events { room, incarnation, events } => {
                self.link.note_active(now);
                let mut handed = Vec::new();
                self.rooms.events(&mut cx, room, incarnation, events, &mut handed);
                self.events(now, room, &handed);
            }
            ServerMessage::HistoryGap { room, incarnation, first_seq } => {
                self.rooms.history_gap(&mut cx, room, incarnation, first_seq);
            }
            ServerMessage::Ack { room, client_id, seq, incarnation, received_at } => {
                self.sends.acked(&mut cx, client_id, Cursor { incarnation, seq }, received_at);
                self.history(now, room, incarnation);
            }
            ServerMessage::Refused { room, client_id, request, burst, problem } => {
                self.refused(now, room, client_id, request, burst, problem);
            }
            ServerMessage::FloorGranted { request, room: _, token, until_ms } => {
                self.talk.granted(&mut cx, &self.rooms, request, token, from_ms(until_ms));
            }
            ServerMessage::FloorQueued { request, room: _, position, waiting } => {
                self.talk.queued(&mut cx, request, position, waiting);
            }
            ServerMessage::FloorDenied { request, room: _, reason } => {
                self.talk.denied(&mut cx, &self.rooms, request, reason);
            }
            ServerMessage::FloorRevoked { request, room: _, token: _, reason } => {
                self.talk.revoked(&mut cx, &self.rooms, request, reason);
            }
            ServerMessage::FloorWarning { request, room: _, remaining_ms } => {
                self.talk.warned(&mut cx, request, from_ms(remaining_ms));
            }
            ServerMessage::BurstStatus { room, burst, incarnation, complete, missing } => {
                self.talk.status(&mut cx, &self.rooms, burst, incarnation, complete, &missing);
                self.history(now, room, incarnation);
            }
            ServerMessage::Floor { room, floor } => {
                self.link.note_active(now);
                if self.rooms.floor_is(&mut cx, room, &floor) && self.rooms.hears(room) {
                    self.listen.floor(&mut cx, half_rtt, room, &floor, None);
                }
            }
            ServerMessage::Emergency { room, raised_by } => self.rooms.emergencies_are(&mut cx, room, raised_by),
            ServerMessage::Role { room, role } => {
                self.rooms.role_is(&mut cx, room, role);
                if role.is_none() {
                    self.presence.left(&mut cx, room);
                    self.receipts.left(room);
                }
            }
            ServerMessage::Pong { nonce, server_time, presence_ms } => {
                self.link.pong(&mut cx, nonce, server_time);
                self.presence.confirmed(&mut cx, presence_ms);
            }
            ServerMessage::Presence { user, state, age_ms, lease_ms } => {
                self.presence.told(&mut cx, &PersonPresence { user, state, age_ms, lease_ms });
            }
            ServerMessage::PresenceRoom { room, people } => self.presence.room_told(&mut cx, room, &people),
            ServerMessage::PresenceCounts { room, counts, lease_ms } => {
                self.presence.counts_told(&mut cx, room, counts, lease_ms);
            }
            ServerMessage::Playing { device, among, last_sign_ms } => {
                self.aloud.told(&mut cx, device, among, last_sign_ms);
            }
            ServerMessage::ReceiptStored { request, room } => self.receipts.stored(&mut cx, room, request),
            ServerMessage::Receipts { room, seq, burst, of, delivered, taken } => {
                cx.notice(Notice::Receipts { room, seq, burst, of, delivered, taken });
            }
            ServerMessage::RosterChanged {} => self.roster.changed(&mut cx),
            ServerMessage::VoicePath { request, offer } => cx.path_offered(request, offer),
            ServerMessage::PresenceDegraded { poll_ms } => self.presence.degraded(&mut cx, poll_ms),
            ServerMessage::Error { request, problem } => {
                if !self.talk.refused(&mut cx, &self.rooms, request, None, &problem) {
                    cx.notice(Notice::Fault { detail: problem.to_string() });
                }
            }
            ServerMessage::Draining { reconnect_after_ms } => self.link.draining(&mut cx, from_ms(reconnect_after_ms)),
        }
    }

    fn refused(
        &mut self,
        now: Mono,
        room: RoomId,
        client_id: Option<ClientId>,
        request: Option<RequestId>,
        burst: Option<BurstId>,
        problem: Problem,
    ) {
        let mut cx = cx!(self, now);
        if let Some(client_id) = client_id {
            return self.sends.refused(&mut cx, client_id, problem);
        }
        // One request may have asked for a room's events and its people: both must hear of it.
        let followed = request.is_some_and(|request| self.rooms.refused(&mut cx, room, request, &problem));
        let watched = request.is_some_and(|request| self.presence.refused(&mut cx, room, request, &problem, followed));
        if followed
            || watched
            || request.is_some_and(|request| self.receipts.refused(&mut cx, room, request, &problem))
            || self.talk.refused(&mut cx, &self.rooms, request, burst, &problem)
        {
            return;
        }
        cx.notice(Notice::RoomRefused { room, problem });
    }

    /// A room's log has this history: where it is another than before, what was acked in that one is offered again.
    fn history(&mut self, now: Mono, room: RoomId, incarnation: Incarnation) {
        let cx = cx!(self, now);
        if cx.outbox.is_new(room, incarnation) {
            cx.out.push_back(Output::Reoffer { room, incarnation });
        }
    }

    fn events(&mut self, now: Mono, room: RoomId, events: &[Event]) {
        let hears = self.rooms.hears(room);
        let incarnation = self.rooms.incarnation(room);
        let mut cx = cx!(self, now);
        for event in events {
            if let Some(incarnation) = incarnation {
                self.receipts.event(&mut cx, incarnation, event, hears);
            }
            if hears {
                self.listen.event(&mut cx, event);
            }
        }
    }
}

fn from_ms(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}

#[cfg(test)]
mod tests;
