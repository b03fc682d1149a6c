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
use crate::storage::accounts::{AccountError, Accounts, View};

/// Which user.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub struct UserPath {
    /// The user.
    user: UserId,
}

/// A user as the caller sees them.
fn seen(accounts: &Accounts<'_>, principal: &Principal, user: UserId) -> Result<User, AccountError> {
    // Somebody whom the caller shares no room with looks like nobody.
    if !accounts.sees(View { user: principal.user, all: principal.admin }, user)? {
        return Err(AccountError::NoUser);
    }
    let row = accounts.user(user)?.ok_or(AccountError::NoUser)?;
    let suspended_at = accounts.suspended_at(user)?;
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
