//! The first start: a workspace with rooms and an admin, so that there is something to sign in to.

use holler_core::model::{Role, RoomKind, UserRole};
use holler_core::units::{RoomId, UserId, WorkspaceId};
use zeroize::Zeroizing;

use crate::auth::password::Passwords;
use crate::auth::{Auth, AuthError};
use crate::clock::Clock;
use crate::storage::accounts::{AccountError, Accounts, UserRow, workspaces};
use crate::storage::{Store, StoreError};

/// The login of the first admin.
pub const ADMIN: &str = "admin";
/// The rooms of a new workspace, with the first admin in each.
pub const ROOMS: [(&str, RoomKind); 2] = [("Everyone", RoomKind::Channel), ("Operations", RoomKind::Group)];
const WORKSPACE_NAME: &str = "Holler";

/// Why the first start failed. Nothing was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FirstStartError {
    /// The database.
    #[error(transparent)]
    Account(#[from] AccountError),
    /// The password.
    #[error(transparent)]
    Auth(#[from] AuthError),
}

impl From<StoreError> for FirstStartError {
    fn from(error: StoreError) -> Self {
        Self::Account(error.into())
    }
}

/// The workspace of a database, and on the first start what was made.
pub struct Workspace {
    /// Its identifier.
    pub id: WorkspaceId,
    /// The password of the user `admin`, made just now; kept nowhere.
    pub fresh_password: Option<Zeroizing<String>>,
}

/// Finds the workspace, or makes it with its rooms and an admin, all or nothing.
pub async fn workspace(store: &Store, clock: Clock) -> Result<Workspace, FirstStartError> {
    if let Some(id) = find(store).await? {
        return Ok(Workspace { id, fresh_password: None });
    }
    let password = readable_password().map_err(StoreError::from)?;
    let passwords = Passwords::new().map_err(AuthError::Password)?;
    let hash = passwords.hash(password.clone()).await.map_err(AuthError::Password)?;
    let (vault, now) = (store.vault().clone(), clock.unix());
    let id = store
        .write(move |db| {
            let id = WorkspaceId::from_bytes(random()?);
            let accounts = Accounts::create(db, &vault, id, WORKSPACE_NAME, now)?;
            let admin = UserRow {
                id: UserId::from_bytes(random()?),
                login: ADMIN.to_owned(),
                name: "Admin".to_owned(),
                role: UserRole::Admin,
            };
            accounts.add_user(&admin, &hash, now)?;
            for (name, kind) in ROOMS {
                let room = RoomId::from_bytes(random()?);
                accounts.add_room(room, kind, name, now)?;
                accounts.set_member(room, admin.id, Role::Admin, now)?;
            }
            Ok::<_, AccountError>(id)
        })
        .await?;
    Ok(Workspace { id, fresh_password: Some(password) })
}

/// The workspace of a database that was served before.
pub async fn find(store: &Store) -> Result<Option<WorkspaceId>, StoreError> {
    Ok(store.read(workspaces).await?.first().copied())
}

/// 20 characters in groups of four, 100 bits: easy to read aloud and to type, without letters that look alike.
pub fn readable_password() -> Result<Zeroizing<String>, getrandom::Error> {
    const LETTERS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut bytes = Zeroizing::new([0_u8; 20]);
    getrandom::fill(&mut *bytes)?;
    let mut text = Zeroizing::new(String::with_capacity(24));
    for (at, byte) in bytes.iter().enumerate() {
        if at > 0 && at % 4 == 0 {
            text.push('-');
        }
        text.push(char::from(LETTERS[usize::from(byte % 32)]));
    }
    Ok(text)
}

fn random() -> Result<[u8; 16], StoreError> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// Opens what signs people in, for the workspace of a database.
pub async fn auth(
    store: &Store,
    id: WorkspaceId,
    clock: Clock,
    config: &crate::config::Config,
) -> Result<Auth, AuthError> {
    let lifetimes = crate::auth::Lifetimes { access: config.access_lifetime, refresh: config.refresh_lifetime };
    let auth = Auth::open(store.clone(), id, clock, lifetimes).await?;
    auth.set_sign_in_rates(config.limits);
    Ok(auth)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_readable_and_differ() {
        let (one, other) = (readable_password().unwrap(), readable_password().unwrap());
        assert_eq!(one.len(), 24);
        assert!(one.split('-').all(|group| group.len() == 4 && group.bytes().all(|b| b.is_ascii_alphanumeric())));
        assert_ne!(one, other);
    }
}
