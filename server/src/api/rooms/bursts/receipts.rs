//! `GET /api/v1/rooms/{room}/bursts/{burst}/receipts`

use axum::extract::State;
use holler_core::wire::presence::BurstReceipts;

use super::{BurstPath, no_burst};
use crate::api::extract::{Json, Path};
use crate::api::rooms::{member, sees_receipts};
use crate::api::{ProblemResponse, problem};
use crate::app::App;
use crate::auth::Principal;
use crate::storage::receipts;

/// Who has a burst, and who heard it to its end.
///
/// For the one who spoke it, and for the room's dispatchers and admins. Present members count; who left does not.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}/bursts/{burst}/receipts", tag = "bursts", operation_id = "burst_receipts",
    params(BurstPath),
    responses(
        (status = 200, description = "Who got how far", body = BurstReceipts),
        (status = 403, description = "forbidden: it is not yours, and you are no dispatcher of the room"),
        (status = 404, description = "not-found: no such room or burst, or you are no member"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(BurstPath { room, burst }): Path<BurstPath>,
) -> Result<Json<BurstReceipts>, ProblemResponse> {
    let role = member(&app, &principal, room).await?;
    let workspace = app.auth.workspace();
    let found = app.store.read(move |db| receipts::of_burst(db, workspace, room, burst)).await;
    let found = found.map_err(problem::store)?.ok_or_else(|| no_burst(burst))?;
    sees_receipts(role, found.user == principal.user)?;
    Ok(Json(found))
}
