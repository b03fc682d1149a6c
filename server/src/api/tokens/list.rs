//! `GET /api/v1/tokens`

use axum::extract::State;
use holler_core::wire::rest::Token;

use super::seen;
use crate::api::ProblemResponse;
use crate::api::extract::Query;
use crate::api::pages::{Page, PageQuery};
use crate::app::App;
use crate::auth::Principal;

/// Your tokens for scripts.
///
/// A revoked one stays listed for 90 days. Those that earlier versions made are listed as devices only.
#[utoipa::path(
    get, path = "/api/v1/tokens", tag = "devices", operation_id = "list_tokens",
    params(PageQuery),
    responses((status = 200, description = "Your tokens; `Link` leads to the next page", body = [Token])),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Query(query): Query<PageQuery>,
) -> Result<Page<Token>, ProblemResponse> {
    let limit = query.limit()?;
    let page = app.auth.read(move |accounts| {
        query.cut(accounts, "tokens", limit, accounts.tokens(principal.user)?, |token| *token.device.id.bytes())
    });
    Ok(page.await?.map(seen))
}
