//! The socket gateway: `/api/v1/socket`.
//!
//! Each socket has two halves that share a [`Connection`]: [`reader`] judges what comes
//! ([`holler_core::session::Inbound`]) and hands it to the homes and the store; [`writer`] sends what
//! [`holler_core::session::Outbox`] decides, and reads the log for a client that is behind. Homes put what they have for a
//! client straight into its outbox.

mod connection;
mod reader;
mod writer;

use std::sync::Arc;

use axum::extract::State;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use holler_core::wire::limits::CONTROL_BYTES_MAX;
use holler_core::wire::problem::{MEDIA_TYPE, Problem, ProblemKind};
use holler_core::wire::socket::SUBPROTOCOL;

use crate::app::App;

pub use connection::{Connection, Connections, Frame, Outgoing, encode};

/// The buffer that a socket's reader fills; most messages are shorter.
const READ_BUFFER_BYTES: usize = 1_024;
/// Messages are gathered up to this size before they are written; the buffer is made when it is first needed.
const WRITE_BUFFER_BYTES: usize = 4 * 1_024;

/// `GET /api/v1/socket`: the upgrade.
pub async fn upgrade(
    State(app): State<App>,
    headers: HeaderMap,
    socket: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let socket = match socket {
        Ok(socket) => socket,
        Err(rejection) => {
            let detail = format!("this address takes WebSocket upgrades (RFC 6455) only: {rejection}");
            return refuse(&Problem::new(ProblemKind::Malformed, detail));
        }
    };
    if let Err(problem) = check_origin(&app, &headers) {
        return refuse(&problem);
    }
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    if !offered.flat_map(|list| list.split(',')).any(|name| name.trim() == SUBPROTOCOL) {
        let detail = format!("expected Sec-WebSocket-Protocol: {SUBPROTOCOL}; the client did not offer it");
        return refuse(&Problem::new(ProblemKind::Malformed, detail));
    }
    socket
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(CONTROL_BYTES_MAX)
        .max_frame_size(CONTROL_BYTES_MAX)
        .on_upgrade(move |socket| serve(app, socket))
}

/// A browser names the page that opens a socket: only our own pages may. Others (the CLI) send no origin.
fn check_origin(app: &App, headers: &HeaderMap) -> Result<(), Problem> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let origin = origin.to_str().unwrap_or_default();
    let same = origin.strip_prefix("https://").is_some_and(|name| !name.is_empty() && name == host);
    if same || app.is_allowed_origin(origin) {
        return Ok(());
    }
    Err(Problem::new(ProblemKind::Forbidden, "sockets are opened by pages of this server only; found another origin")
        .field("Origin"))
}

fn refuse(problem: &Problem) -> Response {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::BAD_REQUEST);
    let body = serde_json::to_vec(problem).unwrap_or_default();
    (status, [(header::CONTENT_TYPE, MEDIA_TYPE)], body).into_response()
}

async fn serve(app: App, socket: WebSocket) {
    metrics::gauge!("holler_sockets_open").increment(1.0);
    let (sink, stream) = socket.split();
    let out = Arc::new(Outgoing::new(app.clock));
    let writing = tokio::spawn(writer::run(app.clone(), Arc::clone(&out), sink));
    reader::run(app, stream, out, writing).await;
    metrics::gauge!("holler_sockets_open").decrement(1.0);
}
