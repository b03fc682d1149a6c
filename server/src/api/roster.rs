//! `GET /api/v1/roster`

use axum::extract::State;
use holler_core::wire::rest::Roster;

use super::ProblemResponse;
use super::extract::{Json, Query};
use crate::app::App;
use crate::auth::Principal;
use crate::storage::accounts::View;

/// Where the client stands.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct SinceQuery {
    /// The `sync_token` of the last answer; absent for a snapshot.
    #[param(max_length = 256, pattern = r"^[A-Za-z0-9_-]*$")]
    since: Option<String>,
}

/// The people and rooms that you see: all of them, or what changed since.
///
/// You see your rooms with their members, and the people who share a room with you; an admin's token sees everything. Without
/// `since` the answer is a snapshot. With the `sync_token` of the last answer it is the difference, exactly. A token is good for 30
/// days or 10,000 changes of the workspace; after that, and where the caller became or ceased to be an admin, it is refused with
/// `sync-token-expired`: take a snapshot. The socket says `roster.changed` when it is worth asking.
#[utoipa::path(
    get, path = "/api/v1/roster", tag = "people", operation_id = "roster",
    params(SinceQuery),
    responses(
        (status = 200, description = "A snapshot, or what changed", body = Roster),
        (status = 410, description = "sync-token-expired: take a snapshot"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Query(SinceQuery { since }): Query<SinceQuery>,
) -> Result<Json<Roster>, ProblemResponse> {
    let (view, now) = (View { user: principal.user, all: principal.admin }, app.clock.unix());
    Ok(Json(app.auth.read(move |accounts| accounts.roster(view, since.as_deref(), now)).await?))
}
