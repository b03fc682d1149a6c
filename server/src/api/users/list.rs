//! `GET /api/v1/users`

use axum::extract::State;
use holler_core::wire::rest::User;

use crate::api::ProblemResponse;
use crate::api::extract::Query;
use crate::api::pages::{Page, PageQuery, by_name};
use crate::app::App;
use crate::auth::Principal;
use crate::storage::accounts::View;

/// The people whom you see, by name.
///
/// Those who share a room with you, and yourself; an admin's token sees everybody. Logins are shown to admins, and to everyone their
/// own.
#[utoipa::path(
    get, path = "/api/v1/users", tag = "people", operation_id = "list_users",
    params(PageQuery),
    responses((status = 200, description = "People; `Link` leads to the next page", body = [User])),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Query(query): Query<PageQuery>,
) -> Result<Page<User>, ProblemResponse> {
    let limit = query.limit()?;
    let view = View { user: principal.user, all: principal.admin };
    let (page, suspended) = app
        .auth
        .read(move |accounts| {
            let visible = accounts.visible_people(view)?;
            let users: Vec<_> = accounts.users()?.into_iter().filter(|user| visible.contains(&user.id)).collect();
            let page = query.cut(accounts, "users", limit, users, |user| by_name(&user.name, user.id.bytes()))?;
            Ok((page, accounts.suspended()?))
        })
        .await?;
    Ok(page.map(|user| User {
        id: user.id,
        login: (principal.admin || user.id == principal.user).then_some(user.login),
        name: user.name,
        role: user.role,
        suspended_at: suspended.get(&user.id).copied().filter(|_| principal.admin),
    }))
}
