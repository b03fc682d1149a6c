//! `GET /api/v1/rooms/{room}/bursts/{burst}/frames`

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
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
/// server lacks are left out; a whole burst has at most 5 MiB.
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
    app.store.burst(room, burst).await.map_err(problem::store)?.ok_or_else(|| no_burst(burst))?;
    let found = app.store.frames(room, burst, FrameNo(from), FrameNo(to)).await.map_err(problem::store)?;
    let mut body = BytesMut::with_capacity(found.iter().map(|(_, payload)| payload.len() + 4).sum());
    for (number, payload) in &found {
        frames::put(&mut body, *number, payload);
    }
    Ok(([(header::CONTENT_TYPE, frames::MEDIA_TYPE)], body.freeze()).into_response())
}
