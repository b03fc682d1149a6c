//! Connections by the thousand, on one thread.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use holler_core::wire::socket::{ClientMessage, Follow, ServerMessage};
use rustls::client::{ClientSessionStore, Resumption, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, HandshakeKind, NamedGroup};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::{JoinSet, LocalSet};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::wire::{self, Wire};

/// How long anything may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// What a client of ours promises: to be silent for no longer.
const NEXT_MS: u32 = 120_000;
/// How often it says that it is there.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);
/// Bytes read at once.
const READ: usize = 4 * 1024;

/// The thread that all connections are on.
pub(super) struct Thread {
    runtime: Runtime,
    tasks: LocalSet,
}

impl Thread {
    pub(super) fn new() -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, tasks: LocalSet::new() })
    }

    /// Runs, and with it every connection's task; between two calls they rest.
    pub(super) fn run<T>(&self, what: impl Future<Output = Result<T>>) -> Result<T> {
        self.tasks.block_on(&self.runtime, what)
    }

    /// A task of a connection.
    pub(super) fn spawn(task: impl Future<Output = ()> + 'static) {
        tokio::task::spawn_local(task);
    }
}

/// A TLS session of one client, which it resumes when it comes back.
///
/// The library's own store is one for all clients of a process; these are to be as many as there would be processes.
#[derive(Debug, Default)]
struct OwnSession(Mutex<Option<Tls13ClientSessionValue>>);

impl ClientSessionStore for OwnSession {
    fn set_kx_hint(&self, _: ServerName<'static>, _: NamedGroup) {}
    fn kx_hint(&self, _: &ServerName<'_>) -> Option<NamedGroup> {
        None
    }
    fn set_tls12_session(&self, _: ServerName<'static>, _: Tls12ClientSessionValue) {}
    fn tls12_session(&self, _: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        None
    }
    fn remove_tls12_session(&self, _: &ServerName<'static>) {}
    fn insert_tls13_ticket(&self, _: ServerName<'static>, value: Tls13ClientSessionValue) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }
    fn take_tls13_ticket(&self, _: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// TLS of one client, which remembers its own sessions.
pub(super) fn own(tls: &ClientConfig) -> Arc<ClientConfig> {
    let mut own = tls.clone();
    own.resumption = Resumption::store(Arc::new(OwnSession::default()));
    Arc::new(own)
}

/// A connection, and what was read of it.
pub(super) struct Client {
    stream: TlsStream<TcpStream>,
    wire: Wire,
    read: Vec<u8>,
    /// Of `read`, what was given out.
    used: usize,
}

/// A message that came.
#[derive(Clone, Debug)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) content: Vec<u8>,
}

impl Message {
    /// One of ours.
    pub(super) fn ours(&self) -> Result<Option<ServerMessage>> {
        ensure!(
            self.kind != wire::CLOSE,
            "the server closed: {}",
            String::from_utf8_lossy(self.content.get(2..).unwrap_or_default())
        );
        if self.kind != wire::TEXT {
            return Ok(None);
        }
        let message = serde_json::from_slice(&self.content);
        Ok(Some(message.with_context(|| String::from_utf8_lossy(&self.content).into_owned())?))
    }
}

impl Client {
    /// TCP and TLS.
    pub(super) async fn connect(wire: Wire, address: SocketAddr, tls: &Arc<ClientConfig>) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connecting")?;
        stream.set_nodelay(true)?;
        let mut stream = stream;
        if wire == Wire::Nats {
            // It introduces itself in the clear, then asks for TLS.
            let mut info = vec![0; READ];
            let mut length = 0;
            while !info[..length].ends_with(b"\r\n") {
                let more = stream.read(&mut info[length..]).await?;
                ensure!(more > 0, "NATS hung up");
                length += more;
            }
        }
        let stream = TlsConnector::from(Arc::clone(tls))
            .connect(ServerName::try_from("localhost")?, stream)
            .await
            .context("TLS")?;
        Ok(Self { stream, wire, read: Vec::new(), used: 0 })
    }

    /// Whether TLS took up an earlier session.
    pub(super) fn is_resumed(&self) -> bool {
        self.stream.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed)
    }

    /// Signs in at ours, and follows rooms.
    pub(super) async fn sign_in(&mut self, token: &str, rooms: Vec<Follow>) -> Result<ServerMessage> {
        self.send(&wire::upgrade()).await?;
        let wanted = rooms.len();
        let auth = ClientMessage::Auth { token: token.to_owned(), client: "bench".to_owned(), presence: None, rooms };
        let ping = ClientMessage::Ping { nonce: 1, rtt_us: None, next_ms: Some(NEXT_MS) };
        self.upgraded().await?;
        self.send(&[wire::said(&auth), wire::said(&ping)].concat()).await?;
        let (mut welcome, mut followed, mut ponged) = (None, 0, false);
        while welcome.is_none() || followed < wanted || !ponged {
            match self.next().await?.ours()? {
                Some(message @ ServerMessage::Welcome { .. }) => welcome = Some(message),
                Some(ServerMessage::Subscribed { .. }) => followed += 1,
                Some(ServerMessage::Pong { .. }) => ponged = true,
                Some(ServerMessage::Refused { problem, .. } | ServerMessage::Error { problem, .. }) => {
                    bail!("{problem}")
                }
                _ => {}
            }
        }
        welcome.context("no welcome came")
    }

    async fn upgraded(&mut self) -> Result<()> {
        loop {
            if let Some(end) = self.read.windows(4).position(|four| four == b"\r\n\r\n") {
                ensure!(self.read.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&self.read[..end]));
                self.used = end + 4;
                return Ok(());
            }
            self.fill().await?;
        }
    }

    /// Sends these, then waits until the login is done.
    pub(super) async fn hello(&mut self, bytes: &[u8]) -> Result<()> {
        self.hello_and(bytes, wire::NO_KIND).await.map(drop)
    }

    /// The same; gives the last message of a kind that came before.
    pub(super) async fn hello_and(&mut self, bytes: &[u8], kind: u8) -> Result<Option<Vec<u8>>> {
        self.send(bytes).await?;
        let mut found = None;
        loop {
            let message = self.next().await?;
            if self.wire.is_ready(message.kind, &message.content) {
                return Ok(found);
            }
            if message.kind == kind {
                found = Some(message.content);
            }
        }
    }

    pub(super) async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await.context("sending")?;
        self.stream.flush().await.context("sending")
    }

    /// Says a message of ours.
    pub(super) async fn say(&mut self, message: &ClientMessage) -> Result<()> {
        self.send(&wire::said(message)).await
    }

    async fn fill(&mut self) -> Result<()> {
        self.read.drain(..self.used);
        self.used = 0;
        self.read.reserve(READ);
        let more = self.stream.read_buf(&mut self.read).await.context("receiving")?;
        ensure!(more > 0, "the server hung up");
        Ok(())
    }

    /// The next message. Given up while it waits, it has lost nothing.
    pub(super) async fn next(&mut self) -> Result<Message> {
        loop {
            if let Some(cut) = self.wire.cut(&self.read[self.used..]) {
                let content = self.read[self.used + cut.begin..self.used + cut.end].to_vec();
                self.used += cut.end;
                return Ok(Message { kind: cut.kind, content });
            }
            self.fill().await?;
        }
    }

    /// How many deliveries came, at once; waits for something.
    async fn deliveries(&mut self, which: Deliveries) -> Result<u64> {
        self.fill().await?;
        let mut count = 0;
        while let Some(cut) = self.wire.cut(&self.read[self.used..]) {
            let content = &self.read[self.used + cut.begin..self.used + cut.end];
            count += match which {
                Deliveries::Messages => self.wire.messages(cut.kind, content),
                Deliveries::Voice => u64::from(self.wire.is_voice(cut.kind)),
            };
            self.used += cut.end;
        }
        Ok(count)
    }

    /// Cuts the connection as a network that is gone does.
    pub(super) fn cut(self) {
        let (tcp, _) = self.stream.into_inner();
        // Without the lingering of a good end.
        let _ = tcp.set_zero_linger();
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deliveries {
    /// What was published.
    Messages,
    /// Voice.
    Voice,
}

/// What a crowd of subscribers got together.
#[derive(Default)]
pub(super) struct Tally {
    delivered: Cell<u64>,
    wanted: Cell<u64>,
    reached: Notify,
    fault: RefCell<Option<anyhow::Error>>,
}

impl Tally {
    /// All that was delivered so far.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered.get()
    }

    /// Waits until so many were delivered in all.
    pub(super) async fn reach(&self, wanted: u64) -> Result<()> {
        let missing = self.reach_within(wanted, PATIENCE).await?;
        ensure!(missing == 0, "{missing} of {wanted} deliveries have not come in {} s", PATIENCE.as_secs());
        Ok(())
    }

    /// Waits until so many were delivered in all, but no longer than `patience`. Says how many have not come.
    pub(super) async fn reach_within(&self, wanted: u64, patience: Duration) -> Result<u64> {
        self.wanted.set(wanted);
        let until = Instant::now() + patience;
        while self.delivered.get() < wanted {
            let waited = tokio::time::timeout_at(until.into(), self.reached.notified()).await;
            if let Some(fault) = self.fault.borrow_mut().take() {
                return Err(fault);
            }
            if waited.is_err() {
                break;
            }
        }
        Ok(wanted.saturating_sub(self.delivered.get()))
    }

    /// Whoever waits is told that a connection failed.
    pub(super) fn fail(&self, fault: anyhow::Error) {
        *self.fault.borrow_mut() = Some(fault);
        self.reached.notify_one();
    }

    pub(super) fn add(&self, count: u64) {
        self.delivered.set(self.delivered.get() + count);
        if self.delivered.get() >= self.wanted.get() {
            self.reached.notify_one();
        }
    }
}

/// Reads for good, counts into `tally`, and says now and then that it is there.
pub(super) async fn subscribe(mut client: Client, tally: Rc<Tally>, which: Deliveries) {
    let wire = client.wire;
    let alive = tokio::time::sleep(SIGN_OF_LIFE);
    tokio::pin!(alive);
    let ping = wire::said(&ClientMessage::Ping { nonce: 2, rtt_us: None, next_ms: Some(NEXT_MS) });
    loop {
        let came = tokio::select! {
            biased;
            came = client.deliveries(which) => came,
            () = alive.as_mut(), if wire == Wire::Holler => {
                alive.as_mut().reset(tokio::time::Instant::now() + SIGN_OF_LIFE);
                client.send(&ping).await.map(|()| 0)
            }
        };
        match came {
            Ok(0) => {}
            Ok(count) => tally.add(count),
            Err(fault) => {
                return tally.fail(fault);
            }
        }
    }
}

/// Makes `count` clients, at most `at_once` at the same time, in their order.
pub(super) async fn crowd<F>(count: usize, at_once: usize, make: impl Fn(usize) -> F) -> Result<Vec<Client>>
where
    F: Future<Output = Result<Client>> + 'static,
{
    let mut clients: Vec<Option<Client>> = (0..count).map(|_| None).collect();
    let mut making = JoinSet::new();
    let mut next = 0;
    loop {
        while next < count && making.len() < at_once {
            let (at, client) = (next, make(next));
            making.spawn_local(async move { tokio::time::timeout(PATIENCE, client).await.map(|made| (at, made)) });
            next += 1;
        }
        let Some(made) = making.join_next().await else { break };
        let (at, client) = made?.context("a connection took too long")?;
        clients[at] = Some(client.with_context(|| format!("client {at}"))?);
    }
    Ok(clients.into_iter().flatten().collect())
}
