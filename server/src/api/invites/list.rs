//! `GET /api/v1/invites`

use axum::extract::State;
use holler_core::wire::rest::Invite;

use crate::api::ProblemResponse;
use crate::api::extract::Query;
use crate::api::pages::{Page, PageQuery, newest};
use crate::app::App;
use crate::auth::Principal;

/// Invites, newest first: your own, and for an admin everybody's.
///
/// One that is over stays listed for up to 30 days. At most 2,000 are.
#[utoipa::path(
    get, path = "/api/v1/invites", tag = "invites", operation_id = "list_invites",
    params(PageQuery),
    responses((status = 200, description = "The invites; `Link` leads to the next page", body = [Invite])),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Query(query): Query<PageQuery>,
) -> Result<Page<Invite>, ProblemResponse> {
    let (made_by, limit) = ((!principal.admin).then_some(principal.user), query.limit()?);
    let page = app.auth.read(move |accounts| {
        query.cut(accounts, "invites", limit, accounts.invites(made_by)?, |row| newest(row.made_at, row.id.bytes()))
    });
    Ok(page.await?.map(super::told))
}
