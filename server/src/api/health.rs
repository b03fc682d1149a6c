//! `GET /healthz` and `GET /readyz`

use axum::extract::State;
use holler_core::wire::problem::{Problem, ProblemKind};

use super::{ProblemResponse, problem};
use crate::app::App;
use crate::storage::accounts;

/// Whether the process runs.
///
/// It looks at nothing else: an orchestrator that restarts what fails here must not do so because a disk is full.
#[utoipa::path(
    get, path = "/healthz", tag = "server", operation_id = "healthz",
    responses((status = 200, description = "The process runs", body = String, content_type = "text/plain")),
)]
pub async fn healthz() -> &'static str {
    "ok\n"
}

/// Whether the server takes requests: the database answers, and it is not going down.
#[utoipa::path(
    get, path = "/readyz", tag = "server", operation_id = "readyz",
    responses(
        (status = 200, description = "It takes requests", body = String, content_type = "text/plain"),
        (status = 503, description = "unavailable: it is going down, or the database does not answer; read-only: its disk can't be written"),
        (status = 507, description = "storage-full: nothing new is stored until there is room"),
    ),
)]
pub async fn readyz(State(app): State<App>) -> Result<&'static str, ProblemResponse> {
    if app.is_draining() {
        return Err(Problem::new(ProblemKind::Unavailable, "the server is going down").retry_after_s(5).into());
    }
    let workspace = app.auth.workspace();
    app.store.read(move |db| accounts::generation(db, workspace)).await.map_err(|error| {
        problem::store(error);
        Problem::new(ProblemKind::Unavailable, "the database does not answer; see the server's log").retry_after_s(5)
    })?;
    if let Some(closed) = app.store.closed_for() {
        return Err(Problem::from(closed).into());
    }
    Ok("ready\n")
}
