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
use std::net::SocketAddr;
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

use self::sealed::Sealed;
use self::session::Carrier;
use crate::app::App;
use crate::clock::Clock;
use crate::gateway::Connection;
use crate::storage::audit::chain::hex;

pub use session::{Buffers, Carry, Session, SessionId};
pub use socket::{PACKET_BYTES_MAX, Socket, bind, receive};

/// How often sessions that have something to say later are looked at: reports to talkers are due every 100 ms.
const SWEEP: Duration = Duration::from_millis(50);
/// How often all sessions are, so that those which rest let go of what they remember.
const LOOK: Duration = Duration::from_secs(5);

/// The datagrams of this server.
#[derive(Debug)]
pub struct Voice {
    clock: Clock,
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
        Self {
            clock,
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
        getrandom::fill(&mut id).and_then(|()| getrandom::fill(&mut secret[..])).ok()?;
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

    /// A packet came that is none of QUIC's: ours, or nobody's. It is opened where it lies.
    pub fn received(&self, socket: &Arc<Socket>, from: SocketAddr, packet: &mut [u8], buffers: &mut Buffers) {
        let what = self.judge(socket, from, packet, buffers);
        metrics::counter!("holler_voice_datagrams_total", "what" => what).increment(1);
    }

    fn judge(&self, socket: &Arc<Socket>, from: SocketAddr, packet: &mut [u8], buffers: &mut Buffers) -> &'static str {
        let Some(id) = session_of(packet) else { return "not-ours" };
        let Some(session) = self.session(id) else { return "unknown-session" };
        let Some(sealed) = session.sealed() else { return "unknown-session" };
        let Ok((counter, inner)) = sealed.open(packet) else { return "forged" };
        let now = self.clock.now();
        if !sealed.allows(now) {
            return "surplus";
        }
        let taken = session.take(now, counter, &Bytes::copy_from_slice(inner));
        if let Err(DatagramError::Replayed(_)) = taken {
            return "replayed";
        }
        if sealed.came(now, counter, from, socket)
            && let Some(challenge) = sealed.challenge()
        {
            let counter = session.challenge(challenge, buffers);
            let (inner, packet) = buffers.parts();
            sealed.send_challenge(counter, inner, packet);
        }
        if let Ok(Some(response)) = taken
            && sealed.answered(response, from, socket)
        {
            metrics::counter!("holler_voice_path_moves_total").increment(1);
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
        let all: Vec<_> = self.sessions.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for session in all {
            session.timeout(now, buffers);
        }
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
    let mut buffers = Buffers::default();
    let mut next_look = voice.clock.now() + LOOK;
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
        let now = voice.clock.now();
        any = voice.sweep(now, &mut buffers);
        if now >= next_look {
            next_look = now + LOOK;
            voice.look_at_all(now, &mut buffers);
        }
    }
}
