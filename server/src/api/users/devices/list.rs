//! `GET /api/v1/users/{user}/devices`

use axum::extract::State;
use holler_core::wire::rest::Device;

use crate::api::extract::{Path, Query};
use crate::api::pages::{Page, PageQuery};
use crate::api::users::{UserPath, own};
use crate::api::{ProblemResponse, devices};
use crate::app::App;
use crate::auth::Principal;

/// A user's devices, newest first.
///
/// Your own; an admin's token lists anybody's.
#[utoipa::path(
    get, path = "/api/v1/users/{user}/devices", tag = "devices", operation_id = "list_user_devices",
    params(UserPath, PageQuery),
    responses(
        (status = 200, description = "Their devices; `Link` leads to the next page", body = [Device]),
        (status = 404, description = "not-found: there is no such user, or they are somebody else"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Path(UserPath { user }): Path<UserPath>,
    Query(query): Query<PageQuery>,
) -> Result<Page<Device>, ProblemResponse> {
    own(&app, &principal, user).await?;
    Ok(devices::page(&app, user, query).await?)
}
