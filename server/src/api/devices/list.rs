//! `GET /api/v1/devices`

use axum::extract::State;
use holler_core::wire::rest::Device;

use crate::api::ProblemResponse;
use crate::api::extract::Query;
use crate::api::pages::{Page, PageQuery};
use crate::app::App;
use crate::auth::Principal;

/// Your devices, newest first.
///
/// Tokens for scripts are listed too: each is a device of its own. A revoked device stays listed for 90 days.
#[utoipa::path(
    get, path = "/api/v1/devices", tag = "devices", operation_id = "list_devices",
    params(PageQuery),
    responses((status = 200, description = "Your devices; `Link` leads to the next page", body = [Device])),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Query(query): Query<PageQuery>,
) -> Result<Page<Device>, ProblemResponse> {
    Ok(super::page(&app, principal.user, query).await?)
}
