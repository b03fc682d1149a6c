//! Taking connections: TCP, TLS, HTTP/1.1, and going down without dropping what is under way.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::{Domain, Protocol, SockRef, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

/// A client that has not finished its TLS handshake by then is dropped.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);
/// Handshakes that are computed between two turns of everybody else, for each core: one takes about as long as 20 messages. Fewer make a crowd
/// that comes back wait for nothing, more make those who talk wait for the crowd.
const HANDSHAKES_A_TURN: usize = 2;
/// A client that has not sent a request's head by then is dropped; also how long an idle connection is kept.
const HEAD_MAX: Duration = Duration::from_secs(30);
/// The most that a request's head may have, and the least that hyper allows; an idle connection holds none of it.
const HEAD_BYTES_MAX: usize = 8 * 1024;
/// Bytes that the kernel holds for a connection before the server keeps them: about 10 s of voice on a link that stalls, and
/// 320 KB/s at a round trip of 200 ms.
const SEND_BUFFER_BYTES: usize = 64 * 1024;
/// How long requests under way may still take once the server is going down.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Connections that the kernel holds until they are accepted, where its own limit (`net.core.somaxconn`, usually this much) is no lower: one
/// more would come again after a second or more, which a crowd that comes back after an outage should not have to.
const BACKLOG: i32 = 4_096;
/// When no connection can be accepted (usually: no more file descriptors), how long until the next attempt.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Lets this process open as many files as it may: shells and systemd give 1,024 to begin with and allow far more.
pub fn raise_open_files() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let limit = getrlimit(Resource::Nofile);
    // Where it is refused the doctor says so.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
}

/// Why the server does not listen.
#[derive(Debug, thiserror::Error)]
#[error("can't listen on {over}{address}: {source}")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
    flag: &'static str,
    /// What stands before the address where it is not TCP.
    over: &'static str,
}

impl ListenError {
    /// The address of voice as datagrams can't be had.
    pub(crate) fn udp(address: SocketAddr, source: io::Error) -> Self {
        Self { address, source, flag: "`[voice] udp_port` (or switch datagrams off: `udp = false`)", over: "UDP " }
    }

    /// Whether only a server can tell: this user may not take such a port, and the server's may.
    pub fn is_for_the_server(&self) -> bool {
        self.source.kind() == io::ErrorKind::PermissionDenied && self.address.port() < 1024
    }

    /// What to do about it.
    pub fn remedy(&self) -> String {
        remedy(self.address, &self.source, self.flag, !self.over.is_empty())
    }
}

fn remedy(address: SocketAddr, error: &io::Error, flag: &str, udp: bool) -> String {
    let kind = error.kind();
    if kind == io::ErrorKind::AddrInUse {
        let (shows, what) = if udp { ("ss -lunp", "port") } else { ("ss -ltnp", "address") };
        format!("Another program has it: `{shows}` shows which. Stop that, or name another {what} with {flag}.")
    } else if kind == io::ErrorKind::PermissionDenied && address.port() < 1024 {
        format!(
            "Ports below 1024 need the capability CAP_NET_BIND_SERVICE: grant it, or name a higher one with {flag}."
        )
    } else if kind == io::ErrorKind::AddrNotAvailable {
        format!("This machine does not have it: `ip address` shows what it has. Name one of those with {flag}.")
    } else {
        format!("Name another address with {flag}.")
    }
}

/// How connections are encrypted; a new value holds for new connections.
pub type Tls = Arc<ArcSwap<rustls::ServerConfig>>;

/// Keeps a connection's place among those that the server takes. A handler that goes on after its response, as a socket does,
/// keeps the one from its request's extensions for as long.
#[derive(Clone, Debug)]
pub struct ConnectionSlot(#[expect(dead_code, reason = "held, not read")] Arc<OwnedSemaphorePermit>);

/// Binds every address. On a machine without IPv6, `[::1]` is left out with a warning if another address can be had.
pub fn listen(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, ListenError> {
    let mut listeners = Vec::new();
    let mut missing = None;
    for address in addresses {
        let error = |source| ListenError { address: *address, source, flag: "--listen", over: "" };
        match bind(*address) {
            Ok(listener) => listeners.push(listener),
            Err(source) if address.ip() == Ipv6Addr::LOCALHOST && no_such_address(&source) => {
                missing = Some(error(source));
            }
            Err(source) => return Err(error(source)),
        }
    }
    match missing {
        Some(error) if listeners.is_empty() => Err(error),
        Some(error) => {
            tracing::warn!("{error}; the other addresses are served");
            Ok(listeners)
        }
        None => Ok(listeners),
    }
}

/// Binds the address of the private listener.
pub fn listen_private(address: SocketAddr) -> Result<TcpListener, ListenError> {
    bind(address).map_err(|source| ListenError { address, source, flag: "--private (or `off`)", over: "" })
}

fn no_such_address(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restarted server takes its port back from connections that linger.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        // So that 0.0.0.0 and [::] can be given together, whatever the system's default.
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves `router` on `listeners` until `stop`; then answers what is under way, for at most 10 s or until `cut`.
///
/// At most `connections_max` at once: further ones wait in the kernel. Requests carry [`ConnectInfo`] and [`ConnectionSlot`].
pub async fn serve(
    listeners: Vec<TcpListener>,
    tls: Tls,
    router: Router,
    connections_max: usize,
    stop: CancellationToken,
    cut: CancellationToken,
) {
    let slots = Arc::new(Semaphore::new(connections_max));
    let turns = Turns::new(std::thread::available_parallelism().map_or(1, usize::from) * HANDSHAKES_A_TURN);
    let connections = TaskTracker::new();
    let accepting = TaskTracker::new();
    for listener in listeners {
        let server = Server {
            tls: Arc::clone(&tls),
            router: router.clone(),
            slots: Arc::clone(&slots),
            turns: turns.clone(),
            connections: connections.clone(),
            stop: stop.clone(),
            cut: cut.clone(),
        };
        accepting.spawn(server.accept(listener));
    }
    accepting.close();
    accepting.wait().await;
    connections.close();
    let drained = cut.run_until_cancelled(tokio::time::timeout(DRAIN_MAX, connections.wait())).await;
    if !matches!(drained, Some(Ok(()))) && !connections.is_empty() {
        tracing::warn!(left = connections.len(), "connections were cut: they had not ended");
        cut.cancel();
        connections.wait().await;
    }
}

struct Server {
    tls: Tls,
    router: Router,
    slots: Arc<Semaphore>,
    turns: Turns,
    connections: TaskTracker,
    stop: CancellationToken,
    cut: CancellationToken,
}

impl Server {
    async fn accept(self, listener: TcpListener) {
        loop {
            let Some(Ok(slot)) = self.stop.run_until_cancelled(Arc::clone(&self.slots).acquire_owned()).await else {
                return;
            };
            let Some(accepted) = self.stop.run_until_cancelled(listener.accept()).await else { return };
            match accepted {
                Ok((stream, peer)) => {
                    let acceptor = TlsAcceptor::from(self.tls.load_full());
                    let (router, stop) = (self.router.clone(), self.stop.clone());
                    let slot = ConnectionSlot(Arc::new(slot));
                    let handshake = (acceptor, self.turns.clone());
                    let connection = connection(stream, peer, handshake, router, slot, stop);
                    let cut = self.cut.clone();
                    self.connections.spawn(async move { cut.run_until_cancelled(connection).await });
                }
                Err(error) => {
                    metrics::counter!("holler_accept_errors_total").increment(1);
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// The order in which handshakes are computed: a few, then everybody else.
///
/// When thousands come back at once, the runtime would compute one handshake after the other, and who is signed in would wait behind all
/// of them. So each needs one of a few permits, and keeps it until the runtime has looked for other work. What a handshake waits for
/// from its client, it waits for without a permit: a slow client takes nobody's turn.
#[derive(Clone, Debug)]
struct Turns(Arc<Semaphore>);

impl Turns {
    fn new(at_once: usize) -> Self {
        Self(Arc::new(Semaphore::new(at_once)))
    }

    /// Computes the first step of `work`, when it is its turn.
    async fn step<F: Future>(&self, work: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        let mut work = work;
        // The semaphore is never closed.
        let turn = self.0.acquire().await;
        let step = poll_fn(|cx| Poll::Ready(work.as_mut().poll(cx))).await;
        tokio::task::yield_now().await;
        drop(turn);
        step
    }
}

/// TLS, within 10 s from the first byte, which must come within 10 s, too.
async fn handshake(stream: TcpStream, acceptor: &TlsAcceptor, turns: &Turns) -> io::Result<TlsStream<TcpStream>> {
    tokio::time::timeout(HANDSHAKE_MAX, stream.readable()).await??;
    let mut accepting = pin!(acceptor.accept(stream));
    match turns.step(accepting.as_mut()).await {
        Poll::Ready(done) => done,
        Poll::Pending => tokio::time::timeout(HANDSHAKE_MAX, accepting).await?,
    }
}

async fn connection(
    stream: TcpStream,
    peer: SocketAddr,
    (acceptor, turns): (TlsAcceptor, Turns),
    router: Router,
    slot: ConnectionSlot,
    stop: CancellationToken,
) {
    // Voice frames and answers are small and must not wait for each other. An error means that the peer is gone already.
    let _ = stream.set_nodelay(true);
    // What the kernel has taken can't be dropped any more when it has become stale: let it take little.
    let _ = SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES);
    let stream = match stop.run_until_cancelled(handshake(stream, &acceptor, &turns)).await {
        Some(Ok(stream)) => stream,
        Some(Err(_)) => {
            // Scanners and clients that do not trust the certificate; not worth a line of the log each.
            metrics::counter!("holler_tls_failures_total").increment(1);
            return;
        }
        None => return,
    };
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(ConnectInfo(peer));
        request.extensions_mut().insert(slot.clone());
        let router = router.clone();
        async move {
            Ok::<_, Infallible>(router.oneshot(request.map(Body::new)).await.unwrap_or_else(|never| match never {}))
        }
    });
    let mut http = hyper::server::conn::http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX).max_buf_size(HEAD_BYTES_MAX);
    let served = http.serve_connection(TokioIo::new(stream), service).with_upgrades();
    tokio::pin!(served);
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = stop.cancelled() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection ended");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// Who is signed in waits for a few handshakes, however many there are.
    #[tokio::test]
    async fn handshakes_take_turns_with_everybody_else() {
        const CROWD: usize = 200;
        let (turns, computed) = (Turns::new(3), Arc::new(AtomicUsize::new(0)));
        let crowd: Vec<_> = (0..CROWD)
            .map(|_| {
                let (turns, computed) = (turns.clone(), Arc::clone(&computed));
                tokio::spawn(async move {
                    let handshake = pin!(async { computed.fetch_add(1, Ordering::Relaxed) });
                    assert!(turns.step(handshake).await.is_ready());
                })
            })
            .collect();
        let (mut before, mut most) = (0, 0);
        while before < CROWD {
            tokio::task::yield_now().await;
            let now = computed.load(Ordering::Relaxed);
            most = most.max(now - before);
            before = now;
        }
        // Those that had their turn give it to the next before somebody else is seen to.
        assert!((1..=6).contains(&most), "{most} of {CROWD} between two turns");
        for handshake in crowd {
            handshake.await.unwrap();
        }
    }
}
