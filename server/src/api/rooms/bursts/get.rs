//! `GET /api/v1/rooms/{room}/bursts/{burst}`

use axum::extract::State;
use holler_core::log::End;
use holler_core::wire::rest::Burst;

use super::{BurstPath, no_burst};
use crate::api::extract::{Json, Path};
use crate::api::rooms::member;
use crate::api::{ProblemResponse, problem};
use crate::app::App;
use crate::auth::Principal;

/// What the server knows of a burst, and which of its frames it has.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}/bursts/{burst}", tag = "bursts", operation_id = "get_burst",
    params(BurstPath),
    responses(
        (status = 200, description = "The burst", body = Burst),
        (status = 404, description = "not-found: no such room or burst, or you are no member"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(BurstPath { room, burst }): Path<BurstPath>,
) -> Result<Json<Burst>, ProblemResponse> {
    member(&app, &principal, room).await?;
    let found = app.store.burst(room, burst).await.map_err(problem::store)?.ok_or_else(|| no_burst(burst))?;
    let (last, digest) = match found.end {
        End::Committed { last, digest } => (Some(last), Some(digest)),
        End::Open | End::Interrupted => (None, None),
    };
    Ok(Json(Burst {
        header: found.header,
        user: found.user,
        device: found.device,
        seq: found.seq,
        last,
        digest,
        complete: found.complete,
        present: found.present,
    }))
}
