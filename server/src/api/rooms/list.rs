//! `GET /api/v1/rooms`

use axum::extract::State;
use holler_core::wire::rest::Room;

use super::seen_by;
use crate::api::ProblemResponse;
use crate::api::extract::Query;
use crate::api::pages::{Page, PageQuery, by_name};
use crate::app::App;
use crate::auth::Principal;

/// Your rooms, by name.
///
/// An admin's token sees every room of the workspace; those that the admin is no member of come without `role`.
#[utoipa::path(
    get, path = "/api/v1/rooms", tag = "rooms", operation_id = "list_rooms",
    params(PageQuery),
    responses((status = 200, description = "The rooms; `Link` leads to the next page", body = [Room])),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Query(query): Query<PageQuery>,
) -> Result<Page<Room>, ProblemResponse> {
    let (user, admin, limit) = (principal.user, principal.admin, query.limit()?);
    let rows = app
        .auth
        .read(move |accounts| {
            let rows = if admin { accounts.rooms()? } else { accounts.rooms_of(user)? };
            query.cut(accounts, "rooms", limit, rows, |row| by_name(&row.name, row.id.bytes()))
        })
        .await?;
    let mut items = Vec::with_capacity(rows.items.len());
    for row in rows.items {
        items.push(seen_by(&app, &principal, row).await?);
    }
    Ok(Page { items, limit: rows.limit, next: rows.next })
}
