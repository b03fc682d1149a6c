//! `POST /api/v1/rooms/{room}/events`

use axum::extract::State;
use axum::http::StatusCode;
use holler_core::model::{EventBody, Role};
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::rest::{NewEvent, Sent};

use crate::api::ProblemResponse;
use crate::api::append_problem;
use crate::api::extract::{Json, Path};
use crate::api::rooms::{RoomPath, member};
use crate::app::App;
use crate::auth::Principal;
use crate::storage::Append;

/// Append a message to a room's log.
///
/// The answer comes when the event is committed and synced. Sent again with the same `client_id` from the same device, it is
/// stored once and gets the answer of the first time, with status 200.
#[utoipa::path(
    post, path = "/api/v1/rooms/{room}/events", tag = "log", operation_id = "append_event",
    params(RoomPath), request_body = NewEvent,
    responses(
        (status = 201, description = "Stored", body = Sent),
        (status = 200, description = "It was stored before", body = Sent),
        (status = 404, description = "not-found: no such room, or you are no member; or no such target"),
        (status = 409, description = "stale-epoch: the room's key is at another epoch; conflict: the client id was used for something else"),
        (status = 422, description = "out-of-bounds: a field is outside its bounds"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(RoomPath { room }): Path<RoomPath>,
    Json(NewEvent { client_id, epoch, body }): Json<NewEvent>,
) -> Result<(StatusCode, Json<Sent>), ProblemResponse> {
    let role = member(&app, &principal, room).await?;
    if role < Role::Talker {
        let detail = "your role in this room is listener; writing needs talker";
        return Err(Problem::new(ProblemKind::Forbidden, detail).into());
    }
    check_body(&body)?;
    let append = Append {
        room,
        user: principal.user,
        device: principal.device,
        role,
        client_id,
        epoch,
        body,
        received_at: app.clock.unix(),
    };
    let appended = app.store.append(append).await.map_err(|error| append_problem(&error))?;
    let status = if appended.replayed { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(Sent { seq: appended.event.seq, received_at: appended.event.received_at })))
}

/// Clients append messages; bursts and emergencies are the server's to append.
pub fn check_body(body: &EventBody) -> Result<(), Problem> {
    match body {
        EventBody::MessagePosted { .. } | EventBody::MessageEdited { .. } | EventBody::MessageDeleted { .. } => Ok(()),
        EventBody::BurstStarted { .. }
        | EventBody::BurstCommitted { .. }
        | EventBody::BurstInterrupted { .. }
        | EventBody::BurstCompleted { .. }
        | EventBody::EmergencyRaised {}
        | EventBody::EmergencyCleared { .. } => {
            let detail = format!("clients send message.* bodies; {} is appended by the server", body.kind());
            Err(Problem::new(ProblemKind::Forbidden, detail).field("body.kind"))
        }
    }
}
