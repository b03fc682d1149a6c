//! `DELETE /api/v1/users/{user}`

use axum::extract::State;
use axum::http::StatusCode;
use futures_util::{TryStreamExt as _, stream};
use holler_core::model::{EventBody, Role};
use holler_core::units::{ClientId, RoomId, Seq, UserId};
use holler_core::wire::problem::Problem;

use super::UserPath;
use crate::api::conditional::{IfMatch, tag};
use crate::api::extract::{Path, Query};
use crate::api::{ProblemResponse, append_problem, problem, random};
use crate::app::App;
use crate::auth::Principal;
use crate::storage::accounts::Accounts;
use crate::storage::{Append, log};

/// Messages that are taken back at once.
const AT_ONCE: usize = 64;
/// Events that are read at once.
const PAGE: u32 = 200;

/// What to do about what they wrote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Messages {
    /// It stays in the rooms, under an identifier that names nobody any more.
    #[default]
    Keep,
    /// Each text is taken back by a `message.deleted`; its words go when the room's retention reaches them.
    Delete,
}

/// How to erase.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EraseQuery {
    /// What to do about what they wrote; `keep` when absent.
    #[serde(default)]
    #[param(inline)]
    messages: Messages,
}

/// Erase a user: who they were can't be told any more, and they can't come back.
///
/// Login, name, password, devices, sign-ins, memberships and receipts go, and what the audit log says about them can't be read any
/// more; its chain still holds. Their login is free again. Export first what somebody may want. The last admin can't be erased.
#[utoipa::path(
    delete, path = "/api/v1/users/{user}", tag = "people", operation_id = "erase_user",
    params(UserPath, EraseQuery),
    responses(
        (status = 204, description = "Erased"),
        (status = 404, description = "not-found: there is no such user"),
        (status = 409, description = "conflict: this is the last admin"),
        (status = 412, description = "precondition-failed: they were changed meanwhile"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    if_match: IfMatch,
    Path(UserPath { user }): Path<UserPath>,
    Query(EraseQuery { messages }): Query<EraseQuery>,
) -> Result<StatusCode, ProblemResponse> {
    let caller = principal.clone();
    let check = move |accounts: &Accounts<'_>| if_match.check(&tag(&super::seen(accounts, &caller, user)?));
    if messages == Messages::Delete {
        // What was taken back stays so: nothing is begun for a caller who expects another state.
        app.auth.read(check.clone()).await?;
        let rooms = app.auth.read(move |accounts| Ok(accounts.rooms()?)).await?;
        for room in rooms {
            take_back(&app, &principal, user, room.id).await?;
        }
    }
    app.auth
        .change(&principal, move |accounts, now| {
            check(accounts)?;
            accounts.erase_user(user, now)
        })
        .await?;
    tracing::info!(%user, "user erased");
    Ok(StatusCode::NO_CONTENT)
}

/// Takes back every text of a user in a room that was not taken back yet. Done again it does what is left.
async fn take_back(app: &App, principal: &Principal, user: UserId, room: RoomId) -> Result<(), Problem> {
    let (mut after, mut standing) = (Seq(0), std::collections::BTreeSet::new());
    loop {
        let vault = app.store.vault().clone();
        let read = app.store.read(move |db| log::events_by(db, &vault, room, user, after, PAGE));
        let page = read.await.map_err(problem::store)?;
        let Some(last) = page.last() else { break };
        after = last.seq;
        for event in &page {
            if let EventBody::MessagePosted { .. } = &event.body {
                standing.insert(event.seq);
            } else if let EventBody::MessageDeleted { target } = &event.body {
                standing.remove(target);
            }
        }
    }
    stream::iter(standing.into_iter().map(Ok::<_, Problem>))
        .try_for_each_concurrent(AT_ONCE, async |target| {
            let append = Append {
                room,
                user: principal.user,
                device: principal.device,
                role: Role::Admin,
                client_id: ClientId::from_bytes(random()?),
                epoch: None,
                body: EventBody::MessageDeleted { target },
                received_at: app.clock.unix(),
            };
            match app.store.append(append).await {
                // An admin of the room was faster.
                Ok(_) | Err(crate::storage::AppendError::Refused(_)) => Ok(()),
                Err(error) => Err(append_problem(&error)),
            }
        })
        .await
}
