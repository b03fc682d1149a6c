//! `DELETE /api/v1/invites/{invite}`

use axum::extract::State;
use axum::http::StatusCode;

use super::InvitePath;
use crate::api::ProblemResponse;
use crate::api::extract::Path;
use crate::app::App;
use crate::auth::Principal;

/// Take an invite back: nobody joins by it any more.
///
/// Your own; an admin's token takes back anybody's. Those who have joined stay.
#[utoipa::path(
    delete, path = "/api/v1/invites/{invite}", tag = "invites", operation_id = "revoke_invite",
    params(InvitePath),
    responses(
        (status = 204, description = "Taken back"),
        (status = 404, description = "not-found: no such invite, or it is somebody else's, or it was taken back already"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(InvitePath { invite }): Path<InvitePath>,
) -> Result<StatusCode, ProblemResponse> {
    super::visible(&app, &principal, invite).await?;
    app.auth.write(&principal, move |accounts, now| accounts.revoke_invite(invite, now)).await?;
    tracing::info!(%invite, "invite taken back");
    Ok(StatusCode::NO_CONTENT)
}
