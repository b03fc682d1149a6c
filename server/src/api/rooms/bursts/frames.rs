//! `GET /api/v1/rooms/{room}/bursts/{burst}/frames`

use axum::body::Body;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use holler_core::units::FrameNo;
use holler_core::wire::frames;
use holler_core::wire::limits::FRAMES_PER_BURST_MAX;
use holler_core::wire::problem::{Problem, ProblemKind};

use super::{BurstPath, no_burst};
use crate::api::extract::{Path, Query};
use crate::api::rooms::member;
use crate::api::{ProblemResponse, problem};
use crate::app::App;
use crate::auth::Principal;
use crate::storage::StoreError;

/// Frames that are read and held at once; a whole burst may have 5 MiB.
const READ_FRAMES: u16 = 250;

/// Which frames.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct RangeQuery {
    /// The first frame wanted; 1 when absent.
    #[param(minimum = 1, maximum = 15000)]
    from: Option<u16>,
    /// The last frame wanted; the burst's last when absent.
    #[param(minimum = 1, maximum = 15000)]
    to: Option<u16>,
}

/// The frames of a burst that the server has.
///
/// One after the other, each as its number (u16), its length in bytes (u16), both big-endian, and its bytes. Frames that the
/// server lacks are left out; a whole burst has at most 5 MiB. It comes as a stream: an answer that breaks off is not whole.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}/bursts/{burst}/frames", tag = "bursts", operation_id = "get_frames",
    params(BurstPath, RangeQuery),
    responses(
        (status = 200, description = "The frames", body = Vec<u8>, content_type = "application/vnd.holler.frames"),
        (status = 404, description = "not-found: no such room or burst, or you are no member"),
        (status = 422, description = "out-of-bounds: the range"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(BurstPath { room, burst }): Path<BurstPath>,
    Query(range): Query<RangeQuery>,
) -> Result<Response, ProblemResponse> {
    member(&app, &principal, room).await?;
    let (from, to) = (range.from.unwrap_or(1), range.to.unwrap_or(FRAMES_PER_BURST_MAX));
    for (field, number, lowest) in [("from", from, 1), ("to", to, from)] {
        if !(lowest..=FRAMES_PER_BURST_MAX).contains(&number) {
            let detail = format!("expected {lowest} to {FRAMES_PER_BURST_MAX}; found {number}");
            return Err(Problem::new(ProblemKind::OutOfBounds, detail).field(field).into());
        }
    }
    let found = app.store.burst(room, burst).await.map_err(problem::store)?.ok_or_else(|| no_burst(burst))?;
    let to = to.min(found.present.last().map_or(0, |range| range.to.0));
    let store = app.store.clone();
    let read = move |from: u16| {
        let store = store.clone();
        async move {
            let last = from.saturating_add(READ_FRAMES - 1).min(to);
            let found = store.frames(room, burst, FrameNo(from), FrameNo(last)).await?;
            let mut body = BytesMut::with_capacity(found.iter().map(|(_, payload)| payload.len() + 4).sum());
            for (number, payload) in &found {
                frames::put(&mut body, *number, payload);
            }
            Ok::<_, StoreError>((body.freeze(), (last < to).then(|| last + 1)))
        }
    };
    // What fails at once is told as a problem; what fails later breaks the answer off, which a client notices.
    let (first, next) = if from <= to { read(from).await.map_err(problem::store)? } else { (Bytes::new(), None) };
    let rest = stream::try_unfold(next, move |next| {
        let read = next.map(&read);
        async move {
            match read {
                Some(part) => part.await.map(|(bytes, next)| Some((bytes, next))),
                None => Ok(None),
            }
        }
    });
    let body = Body::from_stream(stream::once(async { Ok(first) }).chain(rest));
    Ok(([(header::CONTENT_TYPE, frames::MEDIA_TYPE)], body).into_response())
}
