//! The reading half of a socket: judges what comes and hands it on.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, SplitStream};
use holler_core::floor;
use holler_core::model::{PresenceState, Priority, Role, Scope};
use holler_core::presence::Ending;
use holler_core::session::{Inbound, Received};
use holler_core::sorted;
use holler_core::units::{BurstId, BurstTag, ClientId, RequestId, RoomId};
use holler_core::wire::limits::{SENDS_IN_FLIGHT_MAX, SUBSCRIPTIONS_MAX};
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::socket::{ClientMessage, CloseCode, Follow, ServerMessage};
use holler_core::wire::voice::VoiceFrame;
use tokio::task::JoinHandle;
use tokio::time::sleep_until;

use super::beginning::{authenticate, ending_of};
use super::people::Got;
use super::writer::Ended;
use super::{Connection, Outgoing};
use crate::api::{append_problem, check_body};
use crate::app::App;
use crate::auth::Principal;
use crate::home::{Command, Home, Offer};
use crate::storage::{Append, Point};

/// Bursts of one socket whose frames may still come: the one that is spoken and those under repair.
const BURSTS_MAX: usize = 32;

/// How long a socket that sent something unreadable stays open behind its close frame.
const LINGER: Duration = Duration::from_secs(1);

/// Reads until the session ends, then leaves every room.
///
/// What a socket does now and then is boxed while it lasts: else its task would hold room for the largest of it as long as it is idle.
pub(super) async fn run(
    app: App,
    mut stream: SplitStream<WebSocket>,
    out: Arc<Outgoing>,
    mut writing: JoinHandle<Ended>,
) {
    let mut inbound = Inbound::new(app.clock.now());
    let mut changes = app.auth.changes();
    let mut session: Option<Session> = None;
    let mut sends = Sends::new();
    let mut closing = false;
    let mut ending = Ending::Closed;
    loop {
        if closing && let Some(session) = session.take() {
            // From now on it neither speaks nor hears, however long its queue takes.
            Box::pin(session.end(ending)).await;
        }
        let full = out.is_full();
        tokio::select! {
            biased;
            _ended = &mut writing => break,
            Some(answer) = sends.next(), if !sends.is_empty() => {
                out.answer(&answer);
                app.store.hooks().at(Point::Acked);
            }
            _changed = changes.changed(), if !closing => {
                if let Some(session) = session.as_mut() && let Err(code) = Box::pin(session.recheck()).await {
                    out.close(code);
                    ending = ending_of(code);
                    closing = true;
                }
            }
            () = sleep_until(app.clock.instant(inbound.poll_timeout())), if !closing => {
                if let Some(code) = inbound.timeout(app.clock.now()) {
                    out.close(code);
                    ending = ending_of(code);
                    closing = true;
                }
            }
            // What is not read waits in the socket: nothing is lost, and TCP slows the client down.
            () = out.room(), if full => {}
            frame = by_datagram(session.as_ref()), if !closing && !full => {
                let received = inbound.voice(app.clock.now(), frame);
                if let Err(Stop::Close(code)) = act(&app, &mut inbound, &mut session, &mut sends, &out, received).await {
                    out.close(code);
                    closing = true;
                }
            }
            message = stream.next(), if !closing && !full && sends.len() < SENDS_IN_FLIGHT_MAX => {
                let Some(message) = message else { break };
                match received(&app, &mut inbound, &mut session, &mut sends, &out, message).await {
                    Ok(()) => {}
                    Err(Stop::Close(code)) => {
                        out.close(code);
                        closing = true;
                    }
                    Err(Stop::Unreadable) => {
                        if let Some(session) = session.take() {
                            // Before the client is told, which takes as long as it likes.
                            Box::pin(session.end(ending)).await;
                        }
                        out.close(CloseCode::Malformed);
                        let _ended = (&mut writing).await;
                        // What the client still sends can't be read any more, and a socket that is closed over unread bytes
                        // is reset: then the client might not see the close code.
                        tokio::time::sleep(LINGER).await;
                        break;
                    }
                    Err(Stop::Gone) => break,
                }
            }
        }
    }
    if let Some(session) = session {
        Box::pin(session.end(ending)).await;
    }
    writing.abort();
}

/// The next voice frame that came by datagram.
async fn by_datagram(session: Option<&Session>) -> VoiceFrame {
    match session.and_then(|session| session.connection.path()) {
        Some(path) => path.next_frame().await,
        None => std::future::pending().await,
    }
}

pub(super) enum Stop {
    /// Close with this code, after what is queued.
    Close(CloseCode),
    /// What came is no message: nothing more can be read.
    Unreadable,
    /// The socket ended.
    Gone,
}

/// One message from the socket.
async fn received(
    app: &App,
    inbound: &mut Inbound,
    session: &mut Option<Session>,
    sends: &mut Sends,
    out: &Arc<Outgoing>,
    message: Result<Message, axum::Error>,
) -> Result<(), Stop> {
    let now = app.clock.now();
    let (received, voice, bytes) = match message {
        Ok(Message::Text(text)) => (inbound.text(now, &text), false, text.len()),
        Ok(Message::Binary(bytes)) => (inbound.binary(now, &bytes), true, bytes.len()),
        Ok(Message::Ping(_) | Message::Pong(_)) => {
            inbound.heard(now);
            return Ok(());
        }
        Ok(Message::Close(_)) => return Err(Stop::Gone),
        Err(error) => return Err(failed(error)),
    };
    act(app, inbound, session, sends, out, received).await?;
    // The client's next message stays in its socket meanwhile.
    let brake = inbound.brake(now, voice, bytes);
    if brake > Duration::ZERO {
        tokio::time::sleep(brake).await;
    }
    Ok(())
}

/// Does what came of a message or datagram.
async fn act(
    app: &App,
    inbound: &mut Inbound,
    session: &mut Option<Session>,
    sends: &mut Sends,
    out: &Arc<Outgoing>,
    received: Received,
) -> Result<(), Stop> {
    if let Some(session) = session.as_ref() {
        session.connection.set_heard(app.clock.now());
        session.connection.set_lease(inbound.silence_max());
    }
    match received {
        Received::Authenticate { token, presence, rooms } => {
            Box::pin(authenticate(app, inbound, session, out, &token, presence)).await?;
            if let Some(session) = session.as_mut() {
                for Follow { request, room, cursor, voice, presence } in rooms {
                    let subscribe = ClientMessage::Subscribe { request, room, cursor, voice, presence };
                    Box::pin(session.message(subscribe, sends)).await;
                }
            }
        }
        Received::Message(message) => {
            if let Some(session) = session.as_mut() {
                Box::pin(session.message(message, sends)).await;
            }
        }
        Received::Voice(frame) => {
            if let Some(session) = session.as_mut() {
                session.voice(frame).await;
            }
        }
        Received::Refuse { request, problem } => {
            metrics::counter!("holler_socket_refused_total", "problem" => problem.kind.to_string()).increment(1);
            out.answer(&ServerMessage::Error { request, problem });
        }
        Received::Close(code) => return Err(Stop::Close(code)),
    }
    Ok(())
}

/// A socket error: messages that can't be read end the session, everything else is a lost link.
fn failed(error: axum::Error) -> Stop {
    use tokio_tungstenite::tungstenite::Error;
    use tokio_tungstenite::tungstenite::error::ProtocolError;
    let error = error.into_inner();
    let unreadable = match error.downcast_ref::<Error>() {
        Some(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => false,
        Some(error) => matches!(error, Error::Capacity(_) | Error::Utf8(_) | Error::Protocol(_)),
        None => false,
    };
    if unreadable { Stop::Unreadable } else { Stop::Gone }
}

/// What a refusal is about.
pub(super) enum About {
    Request(RequestId),
    Send(ClientId),
    Burst(BurstId),
}

impl About {
    pub(super) fn refused(self, room: RoomId, problem: Problem) -> ServerMessage {
        let (mut request, mut client_id, mut burst) = (None, None, None);
        match self {
            Self::Request(number) => request = Some(number),
            Self::Send(id) => client_id = Some(id),
            Self::Burst(id) => burst = Some(id),
        }
        ServerMessage::Refused { room, client_id, request, burst, problem }
    }
}

/// Sends on their way to the log; their answers come in their order.
pub(super) type Sends = FuturesOrdered<BoxFuture<'static, ServerMessage>>;

/// A room that the socket follows.
struct Subscription {
    home: Home,
    role: Role,
}

/// A signed-in socket.
pub(super) struct Session {
    pub(super) app: App,
    pub(super) principal: Principal,
    pub(super) connection: Arc<Connection>,
    rooms: sorted::Map<RoomId, Subscription>,
    /// Which room the frames of a burst belong to, newest last.
    bursts: VecDeque<(BurstTag, RoomId)>,
}

impl Session {
    pub(super) fn new(app: App, principal: Principal, out: Arc<Outgoing>, presence: Option<PresenceState>) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(1);
        let id = NUMBER.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection::new(id, principal.user, principal.device, out, app.clock.now()));
        if let Some(older) = app.connections.insert(Arc::clone(&connection)) {
            // Its own reader may notice only when its link does.
            app.voice.close(&older);
        }
        app.presence.opened(&connection, presence);
        Self { app, principal, connection, rooms: sorted::Map::default(), bursts: VecDeque::new() }
    }

    /// The socket is gone: every home is told.
    async fn end(self, ending: Ending) {
        self.app.voice.close(&self.connection);
        self.app.connections.remove(&self.connection);
        self.app.players.gone(&self.connection);
        self.app.presence.closed(&self.connection, ending);
        for subscription in self.rooms.values() {
            subscription.home.send(self.leave()).await;
        }
    }

    fn leave(&self) -> Command {
        Command::Leave { device: self.connection.device, connection: self.connection.id }
    }

    pub(super) fn answer(&self, message: &ServerMessage) {
        self.connection.out.answer(message);
    }

    pub(super) fn refuse(&self, room: RoomId, about: About, problem: Problem) {
        metrics::counter!("holler_socket_refused_total", "problem" => problem.kind.to_string()).increment(1);
        self.answer(&about.refused(room, problem));
    }

    /// Users, devices or members changed: is this session still allowed, and in which rooms?
    async fn recheck(&mut self) -> Result<(), CloseCode> {
        if !self.app.auth.is_current(&self.principal) {
            return Err(CloseCode::Revoked);
        }
        let rooms: Vec<RoomId> = self.rooms.keys().copied().collect();
        for room in rooms {
            let role = self.role(room);
            let Some(subscription) = self.rooms.get_mut(&room) else { continue };
            if role == Some(subscription.role) {
                continue;
            }
            let home = subscription.home.clone();
            home.send(Command::Role { user: self.connection.user, role }).await;
            match role {
                Some(role) => subscription.role = role,
                None => {
                    self.rooms.remove(&room);
                    self.app.presence.unwatch(&self.connection, room);
                    home.send(self.leave()).await;
                }
            }
            if role.is_none() && !self.app.auth.has_room(room) {
                let detail = "the room was deleted, and everything that was said there with it";
                let problem = Problem::new(ProblemKind::NotFound, detail).field("room");
                self.answer(&ServerMessage::Refused { room, client_id: None, request: None, burst: None, problem });
            }
            self.answer(&ServerMessage::Role { room, role });
        }
        Ok(())
    }

    /// What the user may do in a room, now.
    fn role(&self, room: RoomId) -> Option<Role> {
        self.app.auth.role_in(room, self.principal.user)
    }

    /// The same, or the refusal to give.
    fn member(&self, room: RoomId) -> Result<Role, Problem> {
        self.role(room).ok_or_else(|| no_room(room))
    }

    /// The same, where another process may have let the user in a moment ago.
    pub(super) async fn member_after_a_look(&self, room: RoomId) -> Result<Role, Problem> {
        if self.role(room).is_none() {
            self.app.auth.look().await.map_err(Problem::from)?;
        }
        self.member(room)
    }

    /// A room that must be followed for what was asked.
    fn followed(&self, room: RoomId, what: &str) -> Result<&Subscription, Problem> {
        self.rooms.get(&room).ok_or_else(|| {
            Problem::new(
                ProblemKind::OutOfOrder,
                format!("{what} needs a subscription to the room: send subscribe first"),
            )
            .field("room")
        })
    }

    async fn message(&mut self, message: ClientMessage, sends: &mut Sends) {
        match message {
            // `Inbound` gives it as `Received::Authenticate`.
            ClientMessage::Auth { .. } => {}
            ClientMessage::Subscribe { request, room, cursor, voice, presence } => {
                match self.subscribe(request, room, cursor, voice).await {
                    Ok(()) if presence => self.watch(request, room).await,
                    Ok(()) => {}
                    Err(problem) => self.refuse(room, About::Request(request), problem),
                }
            }
            ClientMessage::VoicePath { request, kinds } => self.voice_path(request, &kinds),
            ClientMessage::VoicePathStalled {} => self.voice_path_stalled(),
            ClientMessage::PresenceSet { state } => self.set_presence(state),
            ClientMessage::PresenceWatch { request, room } => self.watch(request, room).await,
            ClientMessage::PresenceUnwatch { room } => self.app.presence.unwatch(&self.connection, room),
            ClientMessage::PlayingHere { used_ago_ms } => self.plays_here(Duration::from_millis(used_ago_ms)),
            ClientMessage::PlayingStopped {} => self.app.players.gone(&self.connection),
            ClientMessage::Receipt { request, room, incarnation, delivered, read, heard } => {
                self.receipt(request, room, Got { incarnation, delivered, read, heard }, sends).await;
            }
            ClientMessage::Unsubscribe { room } => {
                if let Some(subscription) = self.rooms.remove(&room) {
                    subscription.home.send(self.leave()).await;
                }
            }
            ClientMessage::Send { room, client_id, epoch, body } => {
                let allowed = self.principal.require(Scope::Messages).and_then(|()| check_body(&body));
                match allowed.and_then(|()| self.member(room)).and_then(may_write) {
                    Err(problem) => self.refuse(room, About::Send(client_id), problem),
                    Ok(role) => {
                        let append = Append {
                            room,
                            user: self.connection.user,
                            device: self.connection.device,
                            role,
                            client_id,
                            epoch,
                            body,
                            received_at: self.app.clock.unix(),
                        };
                        sends.push_back(Box::pin(send(self.app.clone(), append)));
                    }
                }
            }
            ClientMessage::FloorRequest { request, room, priority, queue, header, spoken_ago_ms } => {
                let followed = self.principal.require(Scope::Floor).and_then(|()| self.followed(room, "floor.request"));
                match followed {
                    Err(problem) => self.refuse(room, About::Request(request), problem),
                    Ok(subscription) => {
                        let input = floor::Input::Request(floor::Request {
                            device: self.connection.device,
                            user: self.connection.user,
                            role: subscription.role,
                            request,
                            priority,
                            queue,
                            header,
                            spoken_ago: Duration::from_millis(spoken_ago_ms),
                        });
                        subscription.home.send(Command::Floor(input)).await;
                        self.remember(header.burst.tag(), room);
                    }
                }
            }
            ClientMessage::FloorRelease { request, room } => match self.followed(room, "floor.release") {
                Err(problem) => self.refuse(room, About::Request(request), problem),
                Ok(subscription) => {
                    let input = floor::Input::Release { device: self.connection.device, request };
                    subscription.home.send(Command::Floor(input)).await;
                }
            },
            ClientMessage::BurstEnd { room, burst, last, digest } => {
                match self.principal.require(Scope::Floor).and_then(|()| self.followed(room, "burst.end")) {
                    Err(problem) => self.refuse(room, About::Burst(burst), problem),
                    Ok(subscription) => {
                        let connection = Arc::clone(&self.connection);
                        subscription.home.send(Command::BurstEnd { connection, burst, last, digest }).await;
                        self.remember(burst.tag(), room);
                    }
                }
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
                let followed = self.principal.require(Scope::Floor).and_then(|()| self.followed(room, "burst.offer"));
                match followed.and_then(|subscription| may_bring(subscription.role, priority).map(|()| subscription)) {
                    Err(problem) => {
                        let burst = Some(header.burst);
                        metrics::counter!("holler_socket_refused_total", "problem" => problem.kind.to_string())
                            .increment(1);
                        let request = Some(request);
                        self.answer(&ServerMessage::Refused { room, client_id: None, request, burst, problem });
                    }
                    Ok(subscription) => {
                        let connection = Arc::clone(&self.connection);
                        let uncertainty_ms = uncertainty_ms.unwrap_or(0);
                        let offer = Offer { request, header, priority, spoken_ago_ms, uncertainty_ms, last, digest };
                        subscription.home.send(Command::BurstOffer { connection, offer: Box::new(offer) }).await;
                        self.remember(header.burst.tag(), room);
                    }
                }
            }
            ClientMessage::EmergencyClear { request, room, raised_by } => {
                match self.principal.require(Scope::Floor).and_then(|()| self.followed(room, "emergency.clear")) {
                    Err(problem) => self.refuse(room, About::Request(request), problem),
                    Ok(subscription) => {
                        let input = floor::Input::ClearEmergency {
                            device: self.connection.device,
                            request,
                            by: self.connection.user,
                            role: subscription.role,
                            raised_by,
                        };
                        subscription.home.send(Command::Floor(input)).await;
                    }
                }
            }
            ClientMessage::Ping { nonce, rtt_us, next_ms: _ } => {
                if let Some(rtt_us) = rtt_us {
                    self.connection.set_rtt_us(rtt_us);
                }
                let presence_ms = self.app.presence.promise(&self.connection);
                self.answer(&ServerMessage::Pong { nonce, server_time: self.app.clock.unix(), presence_ms });
                self.tell_active_rooms().await;
            }
            ClientMessage::Report { room, access_us, mouth_to_ear_us, late_entry_us, .. } => {
                if self.rooms.contains_key(&room) {
                    crate::metrics::report(access_us, mouth_to_ear_us, late_entry_us);
                }
            }
        }
    }

    async fn subscribe(
        &mut self,
        request: RequestId,
        room: RoomId,
        cursor: Option<holler_core::units::Cursor>,
        voice: bool,
    ) -> Result<(), Problem> {
        self.principal.require(Scope::Messages)?;
        if voice {
            self.principal.require(Scope::Media)?;
        }
        if !self.rooms.contains_key(&room) && self.rooms.len() >= SUBSCRIPTIONS_MAX {
            let detail = format!("a socket follows at most {SUBSCRIPTIONS_MAX} rooms: unsubscribe from one first");
            return Err(Problem::new(ProblemKind::OutOfBounds, detail));
        }
        let role = self.member_after_a_look(room).await?;
        let home = self.app.homes.home(room).await.map_err(|error| {
            tracing::error!(%room, %error, "a room's home could not be started");
            Problem::new(ProblemKind::Unavailable, "the room can't be opened at the moment").retry_after_s(1)
        })?;
        let draining = || Problem::new(ProblemKind::Unavailable, "the server is draining: reconnect").retry_after_s(1);
        let home = home.ok_or_else(draining)?;
        let connection = Arc::clone(&self.connection);
        if !home.send(Command::Join { connection, role, request, cursor, voice }).await {
            return Err(draining());
        }
        self.rooms.insert(room, Subscription { home, role });
        Ok(())
    }

    /// Frames of this burst belong to `room`.
    fn remember(&mut self, tag: BurstTag, room: RoomId) {
        self.bursts.retain(|(known, _)| *known != tag);
        if self.bursts.len() >= BURSTS_MAX {
            self.bursts.pop_front();
        }
        self.bursts.push_back((tag, room));
    }

    async fn voice(&mut self, frame: VoiceFrame) {
        let room = self.bursts.iter().rev().find(|(tag, _)| *tag == frame.tag).map(|(_, room)| *room);
        let subscription = room.and_then(|room| self.rooms.get(&room));
        let Some(subscription) = subscription else {
            let detail = "a voice frame's tag must name a burst of a floor.request or burst.end on this socket";
            self.answer(&ServerMessage::Error {
                request: None,
                problem: Problem::new(ProblemKind::OutOfOrder, detail),
            });
            return;
        };
        let connection = Arc::clone(&self.connection);
        subscription.home.send(Command::Voice { connection, frame }).await;
    }

    /// A ping is a sign of life for the floors that this device has or waits for.
    async fn tell_active_rooms(&self) {
        let mut told: Vec<RoomId> = Vec::new();
        for (_, room) in &self.bursts {
            if !told.contains(room)
                && let Some(subscription) = self.rooms.get(room)
            {
                told.push(*room);
                let heard = floor::Input::Heard { device: self.connection.device };
                subscription.home.send(Command::Floor(heard)).await;
            }
        }
    }
}

fn no_room(room: RoomId) -> Problem {
    Problem::new(ProblemKind::NotFound, format!("there is no room {room} that you are a member of")).field("room")
}

/// Whether a role may bring a burst of this weight: the same as may have spoken it live.
fn may_bring(role: Role, priority: Priority) -> Result<(), Problem> {
    if role.may_talk_at(priority) {
        return Ok(());
    }
    let detail = format!("your role in this room is {role}; it may not talk with priority {priority}");
    Err(Problem::new(ProblemKind::Forbidden, detail).field("priority"))
}

fn may_write(role: Role) -> Result<Role, Problem> {
    if role >= Role::Talker {
        return Ok(role);
    }
    Err(Problem::new(ProblemKind::Forbidden, "your role in this room is listener; writing needs talker"))
}

async fn send(app: App, append: Append) -> ServerMessage {
    let (room, client_id) = (append.room, append.client_id);
    match app.store.append(append).await {
        Ok(appended) => {
            let (seq, received_at) = (appended.event.seq, appended.event.received_at);
            ServerMessage::Ack { room, client_id, seq, incarnation: appended.incarnation, received_at }
        }
        Err(error) => About::Send(client_id).refused(room, append_problem(&error)),
    }
}
