//! `GET /api/v1/invites/{invite}`

use axum::extract::State;
use holler_core::wire::rest::Invite;

use super::InvitePath;
use crate::api::ProblemResponse;
use crate::api::extract::{Json, Path};
use crate::app::App;
use crate::auth::Principal;

/// An invite: your own, and for an admin anybody's.
#[utoipa::path(
    get, path = "/api/v1/invites/{invite}", tag = "invites", operation_id = "get_invite",
    params(InvitePath),
    responses(
        (status = 200, description = "The invite", body = Invite),
        (status = 404, description = "not-found: no such invite, or it is somebody else's"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(InvitePath { invite }): Path<InvitePath>,
) -> Result<Json<Invite>, ProblemResponse> {
    Ok(Json(super::told(super::visible(&app, &principal, invite).await?)))
}
