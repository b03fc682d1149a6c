//! WebTransport (draft-ietf-webtrans-http3, over RFC 9221 datagrams): how a browser's voice path is carried.
//!
//! A browser that was given an offer over its socket opens a session at [`ADDRESS`], takes our certificate by its hash
//! ([`certificates`]), and shows the session's secret on the first stream that it opens. From then on both ends send datagrams: the
//! counter (4 bytes, big-endian) and the inner bytes of [`holler_core::wire::datagram`].
//!
//! QUIC itself is not trusted with the question of what may wait: its queue holds some packets, the oldest goes first, and the window
//! is fixed. A window that shrinks at each loss, as cubic's, holds voice back until it is seconds old, where the loss is the radio's and
//! not a queue's. What keeps us from flooding a link is that voice has a rate of its own, which the room bounds, and that a path that loses
//! too much is left for the socket.

mod certificates;
mod door;
mod shared;

use std::any::Any;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use holler_core::wire::limits::{
    DATAGRAM_BYTES_MAX, DATAGRAMS_AT_ONCE_MAX, DATAGRAMS_PER_S_MAX, UNPROVEN_PER_ADDRESS_MAX,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use wtransport::VarInt;
use wtransport::endpoint::IncomingSessionFuture;
use wtransport::quinn::congestion::{Controller, ControllerFactory};
use wtransport::quinn::{self, AsyncUdpSocket, EndpointConfig, IdleTimeout, ServerConfig, TransportConfig};
use zeroize::Zeroizing;

pub(super) use self::certificates::CertificateError;
use self::certificates::Certificates;
pub(super) use self::door::{Door, listen};
use self::shared::Shared;

/// Where a session is opened.
pub(super) const ADDRESS: &str = "/api/v1/voice";
/// From the first packet to the secret.
const PROOF_MAX: Duration = Duration::from_secs(5);
/// Connections that have not shown a secret yet; one more is turned away.
const UNPROVEN_MAX: usize = 256;
/// With so many that have not, a new one must first show that its address is its own (RFC 9000 section 8.1.2).
const UNPROVEN_TRUSTED: usize = 32;
/// The same for those of one address: others may speak in its name, and use its share up.
const UNPROVEN_TRUSTED_PER_ADDRESS: usize = 4;
/// A connection of which nothing comes for so long has ended. Browsers send a sign of life each 15 s while a session is open.
const IDLE_MAX_MS: u32 = 30_000;
/// Voice that waits for its turn, in bytes: some frames, then the oldest is dropped.
const SEND_BUFFER_BYTES: usize = 4_096;
/// Voice that waits to be read, in bytes.
const RECEIVE_BUFFER_BYTES: usize = 16 * 1_024;
/// What may be on its way unacknowledged, in bytes: the 200 packets a second of a session at 1,200 bytes, for 270 ms.
const WINDOW_BYTES: u64 = 64 * 1_024;
/// Streams that a client may have open: the request of the session and that of the proof.
const STREAMS_MAX: u8 = 2;
/// The client's streams of one direction: three of HTTP/3, and what it may open for no purpose (RFC 9114 section 7.2.8).
const ONE_WAY_STREAMS_MAX: u8 = 6;
/// What may be sent to us on streams before it is read.
const STREAM_BYTES_MAX: u32 = 8 * 1_024;
/// How often it is looked whether the certificate must change.
const LOOK_EVERY: Duration = Duration::from_secs(3_600);
const SESSION_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
const COUNTER_BYTES: usize = 4;
/// Code with which a connection is closed that showed no secret of a session (an HTTP/3 code would say something else).
const NO_SUCH_SESSION: VarInt = VarInt::from_u32(1);
/// Code with which one is closed whose session has ended.
const ENDED: VarInt = VarInt::from_u32(0);

/// Who knows the sessions.
pub(super) trait Sessions: Send + Sync + 'static {
    /// Whether a page of this origin, loaded from there, may open a session on a server that it names so.
    fn allows(&self, origin: Option<&str>, authority: &str) -> bool;

    /// The session of that number, if the secret is its own: it is carried by `carrier` from now on.
    fn prove(
        &self,
        session: [u8; SESSION_BYTES],
        secret: &[u8; SECRET_BYTES],
        carrier: &Arc<Carrier>,
    ) -> Option<Box<dyn Carried>>;
}

/// A session that is carried by a connection. Dropped when the connection is gone.
pub(super) trait Carried: Send {
    /// A datagram came.
    fn received(&mut self, counter: u32, inner: Bytes);
}

/// A connection that carries a session.
pub(super) struct Carrier {
    connection: wtransport::Connection,
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Carrier").finish_non_exhaustive()
    }
}

impl Carrier {
    /// Sends a datagram now, or never. `false`: the connection is gone, or this does not fit into a packet.
    pub(super) fn send(&self, counter: u32, inner: &[u8]) -> bool {
        let mut bytes = BytesMut::with_capacity(COUNTER_BYTES + inner.len());
        bytes.put_u32(counter);
        bytes.put_slice(inner);
        self.connection.send_datagram(bytes).is_ok()
    }

    /// Ends it.
    pub(super) fn close(&self) {
        self.connection.close(ENDED, b"the session has ended");
    }
}

/// Takes the connections.
pub(super) struct Listener {
    /// One for each UDP socket.
    endpoints: Vec<quinn::Endpoint>,
    certificates: Mutex<Certificates>,
    unproven: Arc<Semaphore>,
    shares: Arc<Shares>,
    /// The wall clock, since 1970.
    now: Box<dyn Fn() -> Duration + Send + Sync>,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").finish_non_exhaustive()
    }
}

/// Why WebTransport can't be served.
#[derive(Debug, thiserror::Error)]
pub(super) enum ListenerError {
    /// No certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The socket.
    #[error("QUIC does not take the UDP socket: {0}")]
    Socket(#[from] std::io::Error),
}

impl Listener {
    /// Takes connections on these. `now`: the wall clock, since 1970.
    pub(super) fn new(
        sockets: impl IntoIterator<Item = Arc<dyn AsyncUdpSocket>>,
        now: impl Fn() -> Duration + Send + Sync + 'static,
    ) -> Result<Self, ListenerError> {
        let certificates = Certificates::new(now())?;
        let config = server_config(&certificates)?;
        let endpoint = |socket| {
            let mut endpoint = EndpointConfig::default();
            // The first bits tell QUIC's packets from ours on the same port (RFC 9443 section 3): they must stay as they are.
            endpoint.grease_quic_bit(false);
            let runtime = Arc::new(quinn::TokioRuntime);
            quinn::Endpoint::new_with_abstract_socket(endpoint, Some(config.clone()), socket, runtime)
        };
        let endpoints = sockets.into_iter().map(endpoint).collect::<Result<_, _>>()?;
        let unproven = Arc::new(Semaphore::new(UNPROVEN_MAX));
        let (certificates, shares) = (Mutex::new(certificates), Arc::default());
        Ok(Self { endpoints, certificates, unproven, shares, now: Box::new(now) })
    }

    /// What an offer names: the SHA-256 of each certificate that may be shown, in base64url.
    pub(super) fn hashes(&self) -> Vec<String> {
        self.certificates.lock().unwrap_or_else(PoisonError::into_inner).hashes()
    }

    /// Takes connections until `stop`; then closes them all.
    pub(super) async fn run(self: Arc<Self>, sessions: Arc<dyn Sessions>, stop: CancellationToken) {
        let tasks = TaskTracker::new();
        for endpoint in self.endpoints.iter().cloned() {
            let accept = accept(endpoint, Arc::clone(&self), Arc::clone(&sessions), tasks.clone());
            let stop = stop.clone();
            tasks.spawn(async move { stop.run_until_cancelled(accept).await });
        }
        let mut look = tokio::time::interval(LOOK_EVERY);
        while stop.run_until_cancelled(look.tick()).await.is_some() {
            self.turn_if_due();
        }
        for endpoint in &self.endpoints {
            endpoint.close(quinn::VarInt::from_u32(0), b"the server is going down");
        }
        tasks.close();
        tasks.wait().await;
    }

    fn turn_if_due(&self) {
        let now = (self.now)();
        let mut certificates = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        if !certificates.is_due(now) {
            return;
        }
        let config = certificates.turn(now).map_err(ListenerError::from).and_then(|()| server_config(&certificates));
        match config {
            Ok(config) => self.endpoints.iter().for_each(|endpoint| endpoint.set_server_config(Some(config.clone()))),
            // The one that is shown is good for another six days: the next look tries again.
            Err(error) => tracing::error!(%error, "the certificate for WebTransport stays as it is"),
        }
    }
}

fn server_config(certificates: &Certificates) -> Result<ServerConfig, ListenerError> {
    let mut transport = TransportConfig::default();
    transport
        .max_concurrent_bidi_streams(STREAMS_MAX.into())
        .max_concurrent_uni_streams(ONE_WAY_STREAMS_MAX.into())
        .stream_receive_window(STREAM_BYTES_MAX.into())
        .receive_window((4 * STREAM_BYTES_MAX).into())
        .send_window(u64::from(4 * STREAM_BYTES_MAX))
        .max_idle_timeout(Some(IdleTimeout::from(quinn::VarInt::from_u32(IDLE_MAX_MS))))
        .datagram_send_buffer_size(SEND_BUFFER_BYTES)
        .datagram_receive_buffer_size(Some(RECEIVE_BUFFER_BYTES))
        .congestion_controller_factory(Arc::new(FixedWindow));
    let mut config = ServerConfig::with_crypto(Arc::new(certificates.tls()?));
    config
        .transport_config(Arc::new(transport))
        .max_incoming(UNPROVEN_MAX)
        .incoming_buffer_size(RECEIVE_BUFFER_BYTES as u64)
        .incoming_buffer_size_total((RECEIVE_BUFFER_BYTES * UNPROVEN_TRUSTED) as u64);
    Ok(config)
}

/// A window that stays as it is, whatever is lost.
#[derive(Clone, Debug)]
struct FixedWindow;

impl ControllerFactory for FixedWindow {
    fn build(self: Arc<Self>, _now: Instant, _mtu: u16) -> Box<dyn Controller> {
        Box::new(Self)
    }
}

impl Controller for FixedWindow {
    fn on_congestion_event(&mut self, _now: Instant, _sent: Instant, _persistent: bool, _lost: u64) {}

    fn on_mtu_update(&mut self, _mtu: u16) {}

    fn window(&self) -> u64 {
        WINDOW_BYTES
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(Self)
    }

    fn initial_window(&self) -> u64 {
        WINDOW_BYTES
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

fn count(what: &'static str) {
    metrics::counter!("holler_webtransport_total", "what" => what).increment(1);
}

async fn accept(
    endpoint: quinn::Endpoint,
    listener: Arc<Listener>,
    sessions: Arc<dyn Sessions>,
    connections: TaskTracker,
) {
    while let Some(incoming) = endpoint.accept().await {
        let Ok(permit) = Arc::clone(&listener.unproven).try_acquire_owned() else {
            count("full");
            incoming.refuse();
            continue;
        };
        let Some((share, before)) = Shares::take(&listener.shares, incoming.remote_address().ip()) else {
            count("share");
            incoming.refuse();
            continue;
        };
        let crowded = listener.unproven.available_permits() < UNPROVEN_MAX - UNPROVEN_TRUSTED
            || before >= UNPROVEN_TRUSTED_PER_ADDRESS;
        if crowded && incoming.may_retry() {
            count("retry");
            // It comes again from where it says that it is.
            let _ = incoming.retry();
            continue;
        }
        connections.spawn(serve(incoming, Arc::clone(&sessions), (permit, share)));
    }
}

/// How many connections of each address have not shown a secret yet; there are no more than [`UNPROVEN_MAX`] in all.
#[derive(Debug, Default)]
struct Shares(Mutex<BTreeMap<IpAddr, usize>>);

/// One of them.
struct Share {
    of: Arc<Shares>,
    address: IpAddr,
}

impl Shares {
    /// One more for this address, and how many it had; `None`: it has all that it may have. A network gives a household 2^64 addresses of IPv6:
    /// these are one.
    fn take(of: &Arc<Self>, address: IpAddr) -> Option<(Share, usize)> {
        let address = match address.to_canonical() {
            IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
            address @ IpAddr::V4(_) => address,
        };
        let mut shares = of.0.lock().unwrap_or_else(PoisonError::into_inner);
        let share = shares.entry(address).or_default();
        let before = *share;
        if before >= UNPROVEN_PER_ADDRESS_MAX {
            return None;
        }
        *share += 1;
        Some((Share { of: Arc::clone(of), address }, before))
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut shares = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get_mut(&self.address) {
            *share -= 1;
            if *share == 0 {
                shares.remove(&self.address);
            }
        }
    }
}

async fn serve(incoming: quinn::Incoming, sessions: Arc<dyn Sessions>, unproven: (OwnedSemaphorePermit, Share)) {
    let proven = tokio::time::timeout(PROOF_MAX, proven(incoming, &*sessions)).await;
    drop(unproven);
    let proven = match proven {
        Ok(Ok(proven)) => proven,
        Ok(Err(what)) => return count(what),
        // Dropped, it closes.
        Err(_) => return count("late"),
    };
    count("opened");
    carry(proven).await;
    count("ended");
}

/// A connection that has shown the secret of a session.
struct Proven {
    carrier: Arc<Carrier>,
    session: Box<dyn Carried>,
    /// Dropped, they would tell the browser that its stream failed.
    _streams: (wtransport::SendStream, wtransport::RecvStream),
}

/// Brings a connection to its proof, or says what it lacks.
async fn proven(incoming: quinn::Incoming, sessions: &dyn Sessions) -> Result<Proven, &'static str> {
    let request = IncomingSessionFuture::with_quic_incoming(incoming).await.map_err(|_| "handshake")?;
    if request.path() != ADDRESS {
        request.not_found().await;
        return Err("address");
    }
    if !sessions.allows(request.origin(), request.authority()) {
        request.forbidden().await;
        return Err("origin");
    }
    let connection = request.accept().await.map_err(|_| "gone")?;
    let (mut send, mut receive) = connection.accept_bi().await.map_err(|_| "gone")?;
    let mut proof = Zeroizing::new([0; SESSION_BYTES + SECRET_BYTES]);
    receive.read_exact(&mut *proof).await.map_err(|_| "gone")?;
    let carrier = Arc::new(Carrier { connection });
    let mut session = [0; SESSION_BYTES];
    session.copy_from_slice(&proof[..SESSION_BYTES]);
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    secret.copy_from_slice(&proof[SESSION_BYTES..]);
    let Some(session) = sessions.prove(session, &secret, &carrier) else {
        carrier.connection.close(NO_SUCH_SESSION, b"no session has this secret");
        return Err("secret");
    };
    send.write_all(&[1]).await.map_err(|_| "gone")?;
    Ok(Proven { carrier, session, _streams: (send, receive) })
}

/// Hands on what comes, until the connection ends.
async fn carry(mut proven: Proven) {
    let mut allowed = Allowance::new(Instant::now());
    while let Ok(datagram) = proven.carrier.connection.receive_datagram().await {
        if !allowed.takes(Instant::now()) {
            count("rate");
            continue;
        }
        let mut bytes = datagram.payload();
        if bytes.len() <= COUNTER_BYTES || bytes.len() > DATAGRAM_BYTES_MAX {
            count("length");
            continue;
        }
        let counter = bytes.get_u32();
        proven.session.received(counter, bytes);
    }
}

/// How many packets may come.
struct Allowance {
    saved: u32,
    /// Up to when what was saved is counted.
    until: Instant,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self { saved: DATAGRAMS_AT_ONCE_MAX, until: now }
    }

    /// Whether one more may come.
    fn takes(&mut self, now: Instant) -> bool {
        let each = Duration::from_secs(1) / DATAGRAMS_PER_S_MAX;
        let more = now.saturating_duration_since(self.until).as_nanos() / each.as_nanos();
        let more = u32::try_from(more).unwrap_or(DATAGRAMS_AT_ONCE_MAX).min(DATAGRAMS_AT_ONCE_MAX);
        if self.saved + more >= DATAGRAMS_AT_ONCE_MAX {
            (self.saved, self.until) = (DATAGRAMS_AT_ONCE_MAX, now);
        } else {
            self.saved += more;
            self.until += each * more;
        }
        let takes = self.saved > 0;
        self.saved = self.saved.saturating_sub(1);
        takes
    }
}

#[cfg(test)]
#[path = "webtransport_tests.rs"]
mod tests;
