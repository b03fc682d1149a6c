//! What a handler left of a request's body is read, within bounds, before the answer goes out.
//!
//! HTTP/1.1 ends a connection whose request was answered but not read. A client that still sends then finds its link broken, and may
//! never see the answer that says why. So a refusal waits for the rest of the body: up to [`BYTES_MAX`], and for [`TIME_MAX`]. A client
//! that asked first (`Expect: 100-continue`) and was not told to go on sends no body; it is answered at once.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{Request, State};
use axum::http::header;
use axum::middleware::Next;
use axum::response::Response;
use futures_util::StreamExt as _;
use holler_core::wire::limits::REST_BODY_BYTES_MAX;
use hyper::body::{Frame, SizeHint};

/// Bytes of a body that are read after its request was answered: four times the largest that is taken.
const BYTES_MAX: usize = 4 * REST_BODY_BYTES_MAX;
/// How long that may take.
pub(super) const TIME_MAX: Duration = Duration::from_secs(5);

type Slot = Arc<Mutex<Option<Body>>>;

/// A body that comes back when its reader is done with it before its end.
struct Lent {
    body: Body,
    slot: Slot,
    /// Whether the client sends it whatever we do.
    is_coming: bool,
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.is_coming = true;
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.is_coming && !self.body.is_end_stream() {
            *self.slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(std::mem::take(&mut self.body));
        }
    }
}

/// Reads what the handlers behind it leave.
pub(super) async fn take(State(longest): State<Duration>, request: Request, next: Next) -> Response {
    let slot = Slot::default();
    let is_coming = !request.headers().contains_key(header::EXPECT);
    let lend = |body| Body::new(Lent { body, slot: Arc::clone(&slot), is_coming });
    let response = next.run(request.map(lend)).await;
    let left = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(body) = left {
        // Whatever came of it: the answer is sent now.
        let _done = tokio::time::timeout(longest, read(body)).await;
    }
    response
}

async fn read(body: Body) {
    let (mut parts, mut bytes) = (body.into_data_stream(), 0);
    while let Some(Ok(part)) = parts.next().await {
        bytes += part.len();
        if bytes > BYTES_MAX {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware::from_fn_with_state;
    use axum::routing::post;
    use futures_util::stream;
    use tower::ServiceExt as _;

    use super::*;

    fn server() -> Router {
        let refuses = post(async || axum::http::StatusCode::FORBIDDEN);
        let reads = post(async |body: Bytes| body.len().to_string());
        Router::new()
            .route("/refuses", refuses)
            .route("/reads", reads)
            .layer(from_fn_with_state(Duration::from_millis(1), take))
    }

    async fn send(path: &str, expect: bool, body: Body) -> Response {
        let mut request = Request::builder().method("POST").uri(path);
        if expect {
            request = request.header("expect", "100-continue");
        }
        server().oneshot(request.body(body).unwrap()).await.unwrap()
    }

    /// A body of `parts` parts of 64 KiB that counts those that were taken, and then never ends.
    fn endless(parts: usize, taken: &Arc<std::sync::atomic::AtomicUsize>) -> Body {
        let taken = Arc::clone(taken);
        let some = stream::iter(0..parts).map(move |_| {
            taken.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            Ok::<_, axum::Error>(Bytes::from(vec![0; 64 * 1024]))
        });
        Body::from_stream(some.chain(stream::pending()))
    }

    #[tokio::test]
    async fn what_is_left_is_read_within_bounds_of_bytes_and_time() {
        // More than there may be; a client that stalls, which ends by time alone; one that waits to be asked and is not.
        for (parts, expect, wanted) in [(1_000, false, 17), (3, false, 3), (3, true, 0)] {
            let taken = Arc::default();
            assert_eq!(send("/refuses", expect, endless(parts, &taken)).await.status(), 403);
            assert_eq!(taken.load(std::sync::atomic::Ordering::Relaxed), wanted, "{parts} {expect}");
        }
        // What is read by its handler is untouched.
        let answer = send("/reads", false, Body::from("hello")).await;
        assert_eq!(axum::body::to_bytes(answer.into_body(), 10).await.unwrap(), "5");
    }
}
