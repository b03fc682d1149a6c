//! Voice as datagrams, beside the socket (`docs/PROTOCOL.md`, "Voice as datagrams").
//!
//! A client asks for a path over its socket and gets a session with a secret ([`Voice::offer`]). The session is the socket's: it ends with
//! it. What comes by datagram and is genuine, new and allowed waits in its [`Session`] for the socket's reader, which judges it like a
//! binary message; what a room has for a listener goes out at once, from within the room's fan-out ([`Session::voice`]). Which way a frame
//! goes is decided by [`holler_core::path`].
//!
//! One UDP port carries all of it; the first byte of a packet says whose it is (RFC 9443). Ours begin with 0x08.
//!
//! | module | what it holds |
//! |---|---|
//! | `socket` | the UDP sockets, and the task that reads each |
//! | `session` | one path |
//! | `sealed` | sealed UDP: keys, addresses, allowance |
//! | `webtransport` | WebTransport, for browsers: QUIC, certificates, proofs |

mod sealed;
mod session;
mod socket;
#[cfg(test)]
mod tests;
mod webtransport;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use holler_core::units::Mono;
use holler_core::wire::datagram::{DatagramError, PathKind, PathOffer};
use holler_core::wire::sealed::session_of;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::sealed::{Address, Sealed};
use self::session::Carrier;
use crate::app::App;
use crate::clock::Clock;
use crate::gateway::Connection;
use crate::storage::audit::chain::hex;

pub use session::{Buffers, Carry, Session, SessionId};
pub use socket::{PACKET_BYTES_MAX, Socket, bind, receive};

/// How often sessions that have something to say later are looked at: reports to talkers are due every 100 ms.
pub const SWEEP: Duration = Duration::from_millis(50);
/// How often all sessions are, so that those which rest let go of what they remember.
pub const LOOK: Duration = Duration::from_secs(5);

type Fill = dyn Fn(&mut [u8]) -> bool + Send + Sync;

/// Where random bytes come from: names, secrets, challenges.
struct Draw(Box<Fill>);

impl Draw {
    /// Whether there were any.
    fn fill(&self, bytes: &mut [u8]) -> bool {
        (self.0)(bytes)
    }
}

impl std::fmt::Debug for Draw {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Draw").finish_non_exhaustive()
    }
}

/// The datagrams of this server.
#[derive(Debug)]
pub struct Voice {
    clock: Clock,
    draw: Draw,
    sockets: OnceLock<Vec<Arc<Socket>>>,
    /// At most one a socket that is signed in.
    sessions: RwLock<HashMap<SessionId, Arc<Session>>>,
    /// Those that have something to say later.
    timed: Mutex<Vec<Arc<Session>>>,
    wake: Notify,
    web: OnceLock<Arc<webtransport::Listener>>,
}

impl Voice {
    /// Without sockets: nothing is offered.
    pub fn new(clock: Clock) -> Self {
        Self::drawing(clock, |bytes| getrandom::fill(bytes).is_ok())
    }

    /// The same with random bytes from `draw`, which says whether there were any.
    pub fn drawing(clock: Clock, draw: impl Fn(&mut [u8]) -> bool + Send + Sync + 'static) -> Self {
        Self {
            clock,
            draw: Draw(Box::new(draw)),
            sockets: OnceLock::new(),
            sessions: RwLock::default(),
            timed: Mutex::default(),
            wake: Notify::new(),
            web: OnceLock::new(),
        }
    }

    /// Datagrams travel over these from now on. Only the first call counts.
    pub fn open(&self, sockets: &[Arc<Socket>]) {
        let _first = self.sockets.set(sockets.to_vec());
    }

    /// The UDP port; `None`: there is none.
    pub fn port(&self) -> Option<u16> {
        Some(self.sockets.get()?.first()?.local().port())
    }

    /// Gives a client a path: the first of `kinds` that this server has. It takes the place of the one before. `None`: there is none
    /// of these.
    pub fn offer(&self, connection: &Connection, kinds: &[PathKind]) -> Option<PathOffer> {
        let port = self.port()?;
        let web = self.web.get();
        let has = |kind: &PathKind| match kind {
            PathKind::SealedUdp => true,
            PathKind::Webtransport => web.is_some(),
        };
        let kind = kinds.iter().copied().find(has)?;
        let (mut id, mut secret) = ([0; 8], zeroize::Zeroizing::new([0; 32]));
        if !self.draw.fill(&mut id) || !self.draw.fill(&mut secret[..]) {
            return None;
        }
        let carrier = match kind {
            PathKind::SealedUdp => Carrier::Sealed(Sealed::new(id, &secret).ok()?),
            PathKind::Webtransport => Carrier::Opened(ArcSwapOption::empty()),
        };
        let certificates = web.filter(|_| kind == PathKind::Webtransport).map(|web| web.hashes()).unwrap_or_default();
        let offer =
            PathOffer { kind, port, session: hex(&id), secret: URL_SAFE_NO_PAD.encode(&secret[..]), certificates };
        let session = Session::new(id, *secret, carrier, Arc::clone(&connection.out), self.clock.now());
        self.enter(connection, Arc::new(session)).then_some(offer)
    }

    /// `false`: the connection has ended meanwhile.
    fn enter(&self, connection: &Connection, session: Arc<Session>) -> bool {
        self.write(|sessions| sessions.insert(session.id(), Arc::clone(&session)));
        let before = connection.set_path(Some(session));
        if let Some(before) = before {
            self.remove(&before);
        }
        if connection.is_closing() {
            self.close(connection);
            return false;
        }
        true
    }

    /// A connection has ended, or may no longer speak or hear: so has its path.
    pub fn close(&self, connection: &Connection) {
        connection.set_closing();
        if let Some(session) = connection.set_path(None) {
            self.remove(&session);
        }
    }

    fn remove(&self, session: &Session) {
        session.end();
        self.write(|sessions| sessions.remove(&session.id()));
    }

    fn write<T>(&self, change: impl FnOnce(&mut HashMap<SessionId, Arc<Session>>) -> T) -> T {
        let mut sessions = self.sessions.write().unwrap_or_else(PoisonError::into_inner);
        let changed = change(&mut sessions);
        metrics::gauge!("holler_voice_paths_open").set(f64::from(u32::try_from(sessions.len()).unwrap_or(u32::MAX)));
        changed
    }

    /// A session by its name.
    pub fn session(&self, id: SessionId) -> Option<Arc<Session>> {
        self.sessions.read().unwrap_or_else(PoisonError::into_inner).get(&id).cloned()
    }

    /// The session of that name for WebTransport, if the secret is its own.
    fn entitled(&self, id: SessionId, secret: &[u8]) -> Option<Arc<Session>> {
        let session = self.session(id)?;
        (session.kind() == PathKind::Webtransport && session.has_secret(secret)).then_some(session)
    }

    /// A packet came, from one address to one of ours where that is known, that is none of QUIC's: ours, or nobody's. It is opened where it
    /// lies. Gives what it was counted as.
    pub fn received(
        &self,
        socket: &Arc<Socket>,
        way: (SocketAddr, Option<IpAddr>),
        packet: &mut [u8],
        buffers: &mut Buffers,
    ) -> &'static str {
        let what = self.judge(socket, way, packet, buffers);
        metrics::counter!("holler_voice_datagrams_total", "what" => what).increment(1);
        what
    }

    fn judge(
        &self,
        socket: &Arc<Socket>,
        (remote, local): (SocketAddr, Option<IpAddr>),
        packet: &mut [u8],
        buffers: &mut Buffers,
    ) -> &'static str {
        let Some(id) = session_of(packet) else { return "not-ours" };
        let Some(session) = self.session(id) else { return "unknown-session" };
        let Some(sealed) = session.sealed() else { return "unknown-session" };
        let length = packet.len();
        let Ok((counter, inner)) = sealed.open(packet) else { return "forged" };
        let now = self.clock.now();
        // Before the allowance, which somebody who repeats packets could else use up.
        if session.came_before(counter) {
            return "replayed";
        }
        if !sealed.allows(now) {
            return "surplus";
        }
        let taken = session.take(now, counter, &Bytes::copy_from_slice(inner));
        if let Err(DatagramError::Replayed(_)) = taken {
            return "replayed";
        }
        let from = Address { remote, local, socket: Arc::clone(socket) };
        if sealed.came(now, (counter, length), &from, &self.draw)
            && let Some((challenge, is_elsewhere)) = sealed.challenge()
        {
            if is_elsewhere {
                session.moved(now);
            }
            if let Some(counter) = session.challenge(challenge, buffers) {
                let (inner, packet) = buffers.parts();
                sealed.send_challenge(counter, inner, packet);
            }
        }
        if let Ok(Some(response)) = taken
            && let Some(has_moved) = sealed.answered(response, &from)
        {
            if has_moved {
                session.moved(now);
                metrics::counter!("holler_voice_path_moves_total").increment(1);
            } else {
                session.placed(now);
            }
        }
        self.reply(&session, now, buffers);
        if taken.is_ok() { "taken" } else { "malformed" }
    }

    /// Takes the inner bytes of a datagram that something other than sealed UDP carried, found genuine, to `session`.
    pub fn carried(&self, session: &Arc<Session>, counter: u32, inner: &Bytes, buffers: &mut Buffers) {
        let now = self.clock.now();
        let what = match session.take(now, counter, inner) {
            Ok(_) => "taken",
            Err(DatagramError::Replayed(_)) => "replayed",
            Err(_) => "malformed",
        };
        metrics::counter!("holler_voice_datagrams_total", "what" => what).increment(1);
        self.reply(session, now, buffers);
    }

    fn reply(&self, session: &Arc<Session>, now: Mono, buffers: &mut Buffers) {
        if session.reply(now, buffers) && !session.timed.swap(true, Ordering::AcqRel) {
            self.timed.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(session));
            self.wake.notify_one();
        }
    }

    /// Whether a session has something to say later.
    pub fn is_timed(&self) -> bool {
        !self.timed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// Looks at the sessions that have something to say later. Gives whether there are any left.
    fn sweep(&self, now: Mono, buffers: &mut Buffers) -> bool {
        let mut sessions = std::mem::take(&mut *self.timed.lock().unwrap_or_else(PoisonError::into_inner));
        sessions.retain(|session| {
            // Before the look: what comes between the two enters it anew.
            session.timed.store(false, Ordering::Release);
            session.timeout(now, buffers) && !session.timed.swap(true, Ordering::AcqRel)
        });
        let mut timed = self.timed.lock().unwrap_or_else(PoisonError::into_inner);
        timed.append(&mut sessions);
        !timed.is_empty()
    }

    fn look_at_all(&self, now: Mono, buffers: &mut Buffers) {
        let mut all: Vec<_> = self.sessions.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        // In an order that a run repeats.
        all.sort_unstable_by_key(|session| session.id());
        for session in all {
            session.timeout(now, buffers);
        }
    }
}

/// Lets the paths say in time what they have to say.
#[derive(Debug)]
pub struct Timekeeper {
    next_look: Mono,
    buffers: Buffers,
}

impl Timekeeper {
    /// From now on.
    pub fn new(now: Mono) -> Self {
        Self { next_look: now + LOOK, buffers: Buffers::default() }
    }

    /// Does what is due. `true`: to be called again after [`SWEEP`]; `false`: after [`LOOK`], or once [`Voice::is_timed`].
    pub fn turn(&mut self, now: Mono, voice: &Voice) -> bool {
        let any = voice.sweep(now, &mut self.buffers);
        if now >= self.next_look {
            self.next_look = now + LOOK;
            voice.look_at_all(now, &mut self.buffers);
        }
        any
    }
}

/// Opens the datagrams of a server on these sockets, until `stop`. Gives its tasks.
pub fn start(app: &App, sockets: Vec<Arc<Socket>>, stop: &CancellationToken) -> Vec<JoinHandle<()>> {
    let voice = &app.voice;
    voice.open(&sockets);
    let mut tasks = vec![tokio::spawn(keep_time(Arc::clone(voice), stop.clone()))];
    if sockets.is_empty() {
        return tasks;
    }
    match webtransport::listen(voice, &sockets) {
        Ok(web) => {
            let _first = voice.web.set(Arc::clone(&web));
            tasks.push(tokio::spawn(web.run(Arc::new(webtransport::Door(Arc::clone(app))), stop.clone())));
        }
        Err(error) => {
            tracing::error!(%error, "browsers' voice stays on their sockets");
            let receive = |socket| tokio::spawn(receive(Arc::clone(voice), socket, stop.clone()));
            tasks.extend(sockets.into_iter().map(receive));
        }
    }
    tasks
}

/// Lets the paths say in time what they have to say, until `stop`: one task for all of them.
pub async fn keep_time(voice: Arc<Voice>, stop: CancellationToken) {
    let mut times = Timekeeper::new(voice.clock.now());
    let mut any = false;
    loop {
        let pause = async {
            if any {
                tokio::time::sleep(SWEEP).await;
            } else {
                let _waited = tokio::time::timeout(LOOK, voice.wake.notified()).await;
            }
        };
        if stop.run_until_cancelled(pause).await.is_none() {
            return;
        }
        any = times.turn(voice.clock.now(), &voice);
    }
}
