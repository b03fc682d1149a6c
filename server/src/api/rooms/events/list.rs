//! `GET /api/v1/rooms/{room}/events`

use axum::extract::State;
use holler_core::units::{Cursor, Incarnation, Seq};
use holler_core::wire::limits::{PAGE_EVENTS_DEFAULT, PAGE_EVENTS_MAX};
use holler_core::wire::problem::{Problem, ProblemKind, within};
use holler_core::wire::rest::EventPage;

use crate::api::ProblemResponse;
use crate::api::extract::{Json, Path, Query};
use crate::api::problem;
use crate::api::rooms::{RoomPath, member, no_room};
use crate::app::App;
use crate::auth::Principal;

/// Where to go on, and how far.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct PageQuery {
    /// The history that `after_seq` counts in: `next.incarnation` of the page before. Both, or neither for the beginning.
    after_incarnation: Option<Incarnation>,
    /// The last event that is known: `next.seq` of the page before.
    after_seq: Option<u64>,
    /// Events wanted: 1 to 500; 100 when absent.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
}

/// A page of a room's log.
///
/// Events come in order and without holes. Where retention has removed the events after the cursor, the page begins at
/// `first_seq`.
#[utoipa::path(
    get, path = "/api/v1/rooms/{room}/events", tag = "log", operation_id = "list_events",
    params(RoomPath, PageQuery),
    responses(
        (status = 200, description = "A page", body = EventPage),
        (status = 404, description = "not-found: no such room, or you are no member"),
        (status = 410, description = "wrong-incarnation: the log's history changed; begin again without a cursor"),
        (status = 422, description = "out-of-bounds: the limit, or a cursor beyond the log's end"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(RoomPath { room }): Path<RoomPath>,
    Query(query): Query<PageQuery>,
) -> Result<Json<EventPage>, ProblemResponse> {
    member(&app, &principal, room).await?;
    let limit = query.limit.unwrap_or(PAGE_EVENTS_DEFAULT);
    within("limit", "events", limit, 1..=PAGE_EVENTS_MAX)?;
    let log = app.store.log_head(room).await.map_err(problem::store)?.ok_or_else(|| no_room(room))?;
    let after = match (query.after_incarnation, query.after_seq) {
        (None, None) => Seq(0),
        (Some(incarnation), Some(seq)) => {
            if incarnation != log.incarnation {
                let detail = format!(
                    "the log is now {}, the cursor is of {incarnation}: begin again without one",
                    log.incarnation
                );
                return Err(Problem::new(ProblemKind::WrongIncarnation, detail).field("after_incarnation").into());
            }
            if seq > log.head.0 {
                let detail = format!("the log ends at {}; the cursor is at {seq}", log.head);
                return Err(Problem::new(ProblemKind::OutOfBounds, detail).field("after_seq").into());
            }
            Seq(seq)
        }
        (Some(_), None) => return Err(half("after_seq").into()),
        (None, Some(_)) => return Err(half("after_incarnation").into()),
    };
    // Retention may have removed what follows the cursor: go on where the log begins.
    let after = after.max(Seq(log.first_seq.0.saturating_sub(1)));
    let events = app.store.events(room, after, limit).await.map_err(problem::store)?;
    let next = events.last().map_or(after, |event| event.seq);
    Ok(Json(EventPage {
        events,
        next: Cursor { incarnation: log.incarnation, seq: next },
        head: Cursor { incarnation: log.incarnation, seq: log.head.max(next) },
        first_seq: log.first_seq,
    }))
}

fn half(field: &'static str) -> Problem {
    let detail = "after_incarnation and after_seq belong together: send both, or neither for the beginning";
    Problem::new(ProblemKind::Malformed, detail).field(field)
}
