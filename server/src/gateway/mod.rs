//! The socket gateway: `/api/v1/socket`.
//!
//! Each socket has two halves that share a [`Connection`]: [`reader`] judges what comes
//! ([`holler_core::session::Inbound`]) and hands it to the homes and the store; [`writer`] sends what
//! [`holler_core::session::Outbox`] decides, and reads the log for a client that is behind. Homes put what they have for a
//! client straight into its outbox.

mod beginning;
mod connection;
mod path;
mod people;
mod reader;
mod roster;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{WebSocket, WebSocketUpgrade};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use futures_util::StreamExt;
use holler_core::wire::limits::CONTROL_BYTES_MAX;
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::socket::{CloseCode, SUBPROTOCOL, ServerMessage};

use crate::api::{ProblemResponse, no_such_method};
use crate::app::App;
use crate::serve::ConnectionSlot;

pub use connection::{Connection, Connections, Frame, Outgoing, encode};
pub use roster::tell_changes as tell_roster_changes;

/// The buffer that a socket's reader fills; most messages are shorter, and it grows for one that is not.
const READ_BUFFER_BYTES: usize = 256;
/// Messages are gathered up to this size before they are written; the buffer is made when it is first needed.
const WRITE_BUFFER_BYTES: usize = 4 * 1_024;

/// How long sockets may take to send what is queued for them once the server is going down.
const DRAIN_MAX: Duration = Duration::from_secs(5);
/// Clients of a server that goes down come back within this time, spread at random.
const RECONNECT_SPREAD_MS: u32 = 3_000;

/// The socket's route. Its connections must carry [`ConnectionSlot`], as those of [`crate::serve`] do.
pub fn router(app: App) -> Router {
    Router::new().route("/api/v1/socket", get(upgrade).fallback(no_such_method)).with_state(app)
}

/// Tells every client to come back later, closes its socket, and has the homes write what they hold.
pub async fn drain(app: &App) {
    app.connections.for_each(|connection| {
        let mut random = [0; 4];
        // Without random bytes all come back at once, which their own backoff then spreads.
        let _ = getrandom::fill(&mut random);
        let reconnect_after_ms = u32::from_be_bytes(random) % RECONNECT_SPREAD_MS;
        connection.out.answer(&ServerMessage::Draining { reconnect_after_ms });
    });
    app.homes.drain().await;
    app.connections.for_each(|connection| connection.out.close(CloseCode::Draining));
    app.sockets.close();
    if tokio::time::timeout(DRAIN_MAX, app.sockets.wait()).await.is_err() {
        tracing::warn!(
            left = app.sockets.len(),
            "sockets were cut: they did not take what was queued for them within 5 s"
        );
    }
}

/// `GET /api/v1/socket`: the upgrade.
async fn upgrade(
    State(app): State<App>,
    slot: Option<Extension<ConnectionSlot>>,
    headers: HeaderMap,
    socket: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let socket = match socket {
        Ok(socket) => socket,
        Err(rejection) => {
            let detail = format!("this address takes WebSocket upgrades (RFC 6455) only: {rejection}");
            return ProblemResponse(Problem::new(ProblemKind::Malformed, detail)).into_response();
        }
    };
    if let Err(problem) = check_origin(&app, &headers) {
        return ProblemResponse(problem).into_response();
    }
    let offered = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    if !offered.flat_map(|list| list.split(',')).any(|name| name.trim() == SUBPROTOCOL) {
        let detail = format!("expected Sec-WebSocket-Protocol: {SUBPROTOCOL}; the client did not offer it");
        return ProblemResponse(Problem::new(ProblemKind::Malformed, detail)).into_response();
    }
    socket
        .protocols([SUBPROTOCOL])
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_message_size(CONTROL_BYTES_MAX)
        .max_frame_size(CONTROL_BYTES_MAX)
        .on_upgrade(move |socket| async move {
            let sockets = app.sockets.clone();
            sockets.track_future(serve(app, socket)).await;
            drop(slot);
        })
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

async fn serve(app: App, socket: WebSocket) {
    metrics::gauge!("holler_sockets_open").increment(1.0);
    let (sink, stream) = socket.split();
    let out = Arc::new(Outgoing::new(app.clock));
    let writing = tokio::spawn(writer::run(app.clone(), Arc::clone(&out), sink));
    reader::run(app, stream, out, writing).await;
    metrics::gauge!("holler_sockets_open").decrement(1.0);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Both tasks of a socket lie in memory for as long as it is idle, thousands of times: what they need now and then must be boxed.
    #[test]
    fn an_idle_socket_holds_little() {
        fn size2<A, B, F>(_: impl FnOnce(A, B) -> F) -> usize {
            size_of::<F>()
        }
        fn size3<A, B, C, F>(_: impl FnOnce(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let (reading, writing) = (size2(serve), size3(writer::run));
        assert!(reading <= 2_560 && writing <= 1_536, "{reading} bytes to read, {writing} to write");
    }
}
