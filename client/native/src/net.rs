//! The socket: TCP, TLS and WebSocket, and what is sent next.
//!
//! Each connection is a reading and a writing task. What waits to be written lies in lanes: live voice first, then control
//! messages, then repair, then bulk (DESIGN section 5). Voice that waited too long is dropped, not sent late: the repair brings
//! it. The kernel is given little at a time (`TCP_NOTSENT_LOWAT`), so that what was handed over is not far ahead of live voice.

use core::time::Duration;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use holler_core::engine::{ConnectFailure, Input, Lane, LinkNo};
use holler_core::units::Mono;
use holler_core::wire::limits::{QUEUE_VOICE_BYTES_MAX, VOICE_STALE};
use holler_core::wire::socket::SUBPROTOCOL;
use holler_core::wire::voice::{FrameAge, VoiceFrame};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error as WsError, Message};
use url::Url;

use crate::{clock, trust};

/// Bytes read from the socket at once: a phone's worth of memory, and larger than nearly every message.
const READ_BUFFER_BYTES: usize = 4 * 1024;
/// Bytes gathered before they are written: one message at a time, so that the lanes decide the order.
const WRITE_BUFFER_BYTES: usize = 0;
/// Largest message that is taken: 500 events of the largest text.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Most control messages that wait; the engine itself is bounded well below.
const CONTROL_MAX: usize = 4_096;
/// Bytes that the kernel takes before they are on their way: four voice frames of the largest size.
const UNSENT_BYTES_MAX: u32 = 6 * 1024;
/// How long a close may take.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Where a connection's news go.
pub trait Events: Send + Sync + 'static {
    /// Something happened.
    fn input(&self, input: Input) -> impl Future<Output = ()> + Send;
}

enum Item {
    Text(String),
    Voice { frame: VoiceFrame, captured_at: Mono, queued_at: Mono },
}

#[derive(Default)]
struct Queues {
    voice: VecDeque<Item>,
    voice_bytes: usize,
    control: VecDeque<Item>,
    repair: VecDeque<Item>,
    bulk: VecDeque<Item>,
    closed: bool,
    /// Where the connection leads.
    peer: Option<IpAddr>,
}

/// What waits to be written on one connection.
#[derive(Clone, Default)]
pub struct Lanes(Arc<(Mutex<Queues>, Notify)>);

impl Lanes {
    fn change(&self, change: impl FnOnce(&mut Queues)) {
        let (queues, wake) = &*self.0;
        change(&mut queues.lock().unwrap_or_else(PoisonError::into_inner));
        wake.notify_one();
    }

    /// A control message; in the repair lane it stays behind the repair frames before it.
    pub fn text(&self, lane: Lane, text: String) {
        self.change(|queues| match lane {
            Lane::Voice | Lane::Control if queues.control.len() < CONTROL_MAX => {
                queues.control.push_back(Item::Text(text));
            }
            Lane::Voice | Lane::Control => queues.closed = true,
            Lane::Repair => queues.repair.push_back(Item::Text(text)),
            Lane::Bulk => queues.bulk.push_back(Item::Text(text)),
        });
    }

    /// A voice frame.
    pub fn voice(&self, lane: Lane, frame: VoiceFrame, captured_at: Mono) {
        let item = Item::Voice { frame, captured_at, queued_at: clock::now() };
        self.change(|queues| {
            if lane == Lane::Voice {
                queues.voice_bytes += item.bytes();
                queues.voice.push_back(item);
                while queues.voice_bytes > QUEUE_VOICE_BYTES_MAX {
                    let Some(oldest) = queues.voice.pop_front() else { break };
                    queues.voice_bytes -= oldest.bytes();
                }
            } else if lane == Lane::Bulk {
                queues.bulk.push_back(item);
            } else {
                queues.repair.push_back(item);
            }
        });
    }

    /// Closes the connection: what waits in the control lane still goes out where the server takes it at once, all else is dropped.
    pub fn close(&self) {
        self.change(|queues| queues.closed = true);
    }

    /// Where the connection leads, once it is open.
    pub(crate) fn peer(&self) -> Option<IpAddr> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).peer
    }

    /// What still goes out on a connection that is being closed.
    fn last(&self) -> Option<Item> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner).control.pop_front()
    }

    /// The next item and its lane; `None`: close.
    async fn next(&self) -> Option<(Lane, Item)> {
        let (queues, wake) = &*self.0;
        loop {
            {
                let mut queues = queues.lock().unwrap_or_else(PoisonError::into_inner);
                if queues.closed {
                    return None;
                }
                while let Some(item) = queues.voice.pop_front() {
                    queues.voice_bytes -= item.bytes();
                    if !item.is_stale() {
                        return Some((Lane::Voice, item));
                    }
                }
                if let Some(item) = queues.control.pop_front() {
                    return Some((Lane::Control, item));
                }
                if let Some(item) = queues.repair.pop_front() {
                    return Some((Lane::Repair, item));
                }
                if let Some(item) = queues.bulk.pop_front() {
                    return Some((Lane::Bulk, item));
                }
            }
            wake.notified().await;
        }
    }
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Voice { frame, .. } => frame.payload.len(),
        }
    }

    fn is_stale(&self) -> bool {
        matches!(self, Self::Voice { queued_at, .. } if clock::now().since(*queued_at) > VOICE_STALE)
    }

    /// The message, a frame's age as of now.
    fn message(self) -> Message {
        match self {
            Self::Text(text) => Message::text(text),
            Self::Voice { mut frame, captured_at, .. } => {
                frame.age = FrameAge::from(clock::now().since(captured_at));
                Message::Binary(frame.encode())
            }
        }
    }
}

/// Runs a connection from its opening to its end, and tells all of it.
pub async fn run(events: &impl Events, link: LinkNo, base: &Url, tls: Arc<rustls::ClientConfig>, lanes: Lanes) {
    let opened = tokio::select! {
        opened = open(base, tls) => opened,
        () = closed(&lanes) => return,
    };
    let socket = match opened {
        Ok(socket) => socket,
        Err(Failed { failure, detail, retry_after }) => {
            return events.input(Input::ConnectFailed { link, failure, detail, retry_after }).await;
        }
    };
    let peer = socket.get_ref().get_ref().0.peer_addr().ok();
    lanes.change(|queues| queues.peer = peer.map(|address| address.ip()));
    events.input(Input::Connected { link }).await;
    let (mut write, mut read) = socket.split();
    let writing = async {
        while let Some((lane, item)) = lanes.next().await {
            let repair_bytes = if matches!(lane, Lane::Repair | Lane::Bulk) { item.bytes() } else { 0 };
            let is_frame = matches!(item, Item::Voice { .. });
            if let Err(error) = write.send(item.message()).await {
                return Some(error.to_string());
            }
            if repair_bytes > 0 && is_frame {
                events.input(Input::Sent { link, repair_bytes }).await;
            }
        }
        // A polite close; a server that does not take it is left alone.
        let closing = async {
            while let Some(item) = lanes.last() {
                write.feed(item.message()).await?;
            }
            write.close().await
        };
        let _ = tokio::time::timeout(CLOSE_WAIT, closing).await;
        None
    };
    let reading = async {
        loop {
            match read.next().await {
                Some(Ok(Message::Text(text))) => {
                    events.input(Input::Text { link, text: text.as_str().to_owned() }).await;
                }
                Some(Ok(Message::Binary(bytes))) => {
                    // A copy of its own: a frame is kept, and must not keep the read buffer.
                    events.input(Input::Binary { link, bytes: Bytes::copy_from_slice(&bytes) }).await;
                }
                Some(Ok(Message::Close(frame))) => {
                    let (code, detail) = frame.map_or((None, String::new()), |frame| {
                        (Some(u16::from(frame.code)), frame.reason.as_str().to_owned())
                    });
                    return (code, detail);
                }
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => {}
                Some(Err(error)) => return (None, error.to_string()),
                None => return (None, "the server closed the connection".to_owned()),
            }
        }
    };
    let (code, detail) = tokio::select! {
        ended = reading => ended,
        written = writing => (None, written.unwrap_or_else(|| "closed here".to_owned())),
    };
    events.input(Input::Closed { link, code, detail }).await;
}

async fn closed(lanes: &Lanes) {
    let (queues, wake) = &*lanes.0;
    while !queues.lock().unwrap_or_else(PoisonError::into_inner).closed {
        wake.notified().await;
    }
}

/// Why a socket could not be opened.
struct Failed {
    failure: ConnectFailure,
    detail: String,
    /// How long the server wants this client to stay away.
    retry_after: Option<Duration>,
}

impl From<(ConnectFailure, String)> for Failed {
    fn from((failure, detail): (ConnectFailure, String)) -> Self {
        Self { failure, detail, retry_after: None }
    }
}

async fn open(base: &Url, tls: Arc<rustls::ClientConfig>) -> Result<Socket, Failed> {
    let foreign = |detail: String| Failed::from((ConnectFailure::Handshake, detail));
    let host = base.host_str().ok_or_else(|| (ConnectFailure::Name, base.to_string()))?;
    let port = base.port_or_known_default().unwrap_or(443);
    // A literal IPv6 address is bracketed in an URL, and nowhere else.
    let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
    let addresses = tokio::net::lookup_host((name.as_str(), port)).await;
    let addresses: Vec<_> = addresses.map_err(|error| (ConnectFailure::Name, error.to_string()))?.collect();
    let tcp = TcpStream::connect(&*addresses).await;
    let tcp = tcp.map_err(|error| (ConnectFailure::Unreachable, error.to_string()))?;
    if let Err(error) = socket2::SockRef::from(&tcp).set_tcp_notsent_lowat(UNSENT_BYTES_MAX) {
        // Live voice is then further behind what waits in the kernel, on slow links only.
        tracing::debug!(%error, "the kernel does not bound what waits unsent");
    }
    tcp.set_nodelay(true).map_err(|error| (ConnectFailure::Unreachable, error.to_string()))?;
    let server = ServerName::try_from(name).map_err(|error| (ConnectFailure::Name, error.to_string()))?;
    let stream = TlsConnector::from(tls).connect(server, tcp).await.map_err(|error| match trust::advice(&error) {
        Some(advice) => (ConnectFailure::Certificate, advice),
        None => (ConnectFailure::Handshake, error.to_string()),
    })?;
    let mut url = base.clone();
    url.set_path("/api/v1/socket");
    url.set_scheme("wss").map_err(|()| foreign(base.to_string()))?;
    let mut request = url.as_str().into_client_request().map_err(|error| foreign(error.to_string()))?;
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static(SUBPROTOCOL));
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
    let (socket, _) = opened.map_err(|error| {
        if let WsError::Http(answer) = &error {
            let header = answer.headers().get("retry-after").and_then(|value| value.to_str().ok());
            let retry_after = header.and_then(|value| value.trim().parse().ok()).map(Duration::from_secs);
            return Failed { retry_after, ..foreign(format!("it answered {}", answer.status())) };
        }
        foreign(error.to_string())
    })?;
    Ok(socket)
}
