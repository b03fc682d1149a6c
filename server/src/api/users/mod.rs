//! The people of the workspace.

pub mod change;
pub mod create;
pub mod devices;
pub mod erase;
pub mod export;
pub mod get;
pub mod list;
pub mod reset;

use holler_core::units::UserId;
use holler_core::wire::problem::Problem;
use holler_core::wire::rest::User;

use crate::app::App;
use crate::auth::Principal;
use crate::storage::accounts::{AccountError, View};

/// Which user.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub struct UserPath {
    /// The user.
    user: UserId,
}

/// A user as the caller sees them.
async fn seen(app: &App, principal: &Principal, user: UserId) -> Result<User, Problem> {
    let view = View { user: principal.user, all: principal.admin };
    let read = move |accounts: &crate::storage::accounts::Accounts<'_>| {
        // Somebody whom the caller shares no room with looks like nobody.
        if !accounts.sees(view, user)? {
            return Err(AccountError::NoUser);
        }
        Ok((accounts.user(user)?.ok_or(AccountError::NoUser)?, accounts.suspended_at(user)?))
    };
    let (row, suspended_at) = app.auth.read(read).await?;
    let own = principal.admin || user == principal.user;
    Ok(User {
        id: row.id,
        login: own.then_some(row.login),
        name: row.name,
        role: row.role,
        suspended_at: suspended_at.filter(|_| principal.admin),
    })
}

/// Whether the caller may see and change what belongs to this user: it is they, or the caller is an admin. Somebody else looks like
/// nobody.
async fn own(app: &App, principal: &Principal, user: UserId) -> Result<(), Problem> {
    if user == principal.user {
        return Ok(());
    }
    if !principal.admin {
        return Err(AccountError::NoUser.into());
    }
    app.auth.read(move |accounts| accounts.user(user)?.map(|_| ()).ok_or(AccountError::NoUser)).await
}
