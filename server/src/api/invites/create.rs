//! `POST /api/v1/invites`

use axum::extract::State;
use axum::http::StatusCode;
use holler_core::model::UserRole;
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::rest::{InviteRoom, MadeInvite, NewInvite};

use crate::api::ProblemResponse;
use crate::api::extract::Json;
use crate::api::rooms::visible;
use crate::app::App;
use crate::auth::{Principal, links};
use crate::storage::accounts::invites_from;

/// Make an invite.
///
/// Whoever has its link can join, as often as `uses_max` says. An admin invites into every room, and admins too. As the policy's
/// `invites_by` has it, so do admins or dispatchers of a room into that room, with no higher role than their own. What an invite promises counts when it is used: a room that its maker may no longer invite
/// into is left out then, and an invite of somebody who was suspended or erased lets nobody in. A workspace has at most 1,000
/// invites that are good.
#[utoipa::path(
    post, path = "/api/v1/invites", tag = "invites", operation_id = "create_invite",
    request_body = NewInvite,
    responses(
        (status = 201, description = "The new invite with its link, which is shown only now", body = MadeInvite),
        (status = 404, description = "not-found: no such room, or you are no member"),
        (status = 409, description = "conflict: there are 1,000 invites already"),
        (status = 422, description = "out-of-bounds: a field is outside its bounds"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Json(request): Json<NewInvite>,
) -> Result<(StatusCode, Json<MadeInvite>), ProblemResponse> {
    let policy = app.auth.policy();
    super::check(&request, &policy)?;
    let refused = |field, detail: String| Err(Problem::new(ProblemKind::Forbidden, detail).field(field).into());
    for InviteRoom { room, role } in &request.rooms {
        let held = visible(&app, &principal, *room).await?;
        if principal.admin {
            continue;
        }
        match (invites_from(policy.invites_by), held) {
            (Some(least), Some(held)) if held < least => {
                return refused("rooms", format!("inviting into a room needs the role {least} there; you are {held}"));
            }
            (Some(_), Some(held)) if held < *role => {
                return refused("rooms", format!("nobody gives more than they have: in this room you are {held}"));
            }
            (Some(_), Some(_)) => {}
            (None, _) | (_, None) => {
                return refused("rooms", "as the policy has it, only admins of the workspace invite".to_owned());
            }
        }
    }
    if !principal.admin && (request.role == UserRole::Admin || request.rooms.is_empty()) {
        let (field, detail) = match request.role {
            UserRole::Admin => ("role", "only an admin of the workspace invites admins"),
            UserRole::Member => ("rooms", "name at least one room: only an admin of the workspace invites into none"),
        };
        return refused(field, detail.to_owned());
    }
    let (invite, token) = app.auth.make_invite((&principal).into(), request).await?;
    let link = token.link(&app.config().public_url());
    let qr_svg = links::qr_svg(&link)?;
    Ok((StatusCode::CREATED, Json(MadeInvite { invite: super::told(invite), link: link.to_string(), qr_svg })))
}
