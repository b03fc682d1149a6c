//! `GET /api/v1/invites`

use axum::extract::State;
use holler_core::wire::rest::Invite;

use crate::api::ProblemResponse;
use crate::api::extract::Json;
use crate::app::App;
use crate::auth::Principal;

/// Invites, newest first: your own, and for an admin everybody's.
///
/// One that is over stays listed for up to 30 days. At most 2,000 are.
#[utoipa::path(
    get, path = "/api/v1/invites", tag = "invites", operation_id = "list_invites",
    responses((status = 200, description = "The invites", body = [Invite])),
)]
pub async fn handler(State(app): State<App>, principal: Principal) -> Result<Json<Vec<Invite>>, ProblemResponse> {
    let made_by = (!principal.admin).then_some(principal.user);
    let invites = app.auth.read(move |accounts| Ok(accounts.invites(made_by)?)).await?;
    Ok(Json(invites.into_iter().map(super::told).collect()))
}
