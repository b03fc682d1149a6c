//! Users and what they sign in with.

use std::collections::HashMap;

use holler_core::model::UserRole;
use holler_core::units::{DeviceId, UnixMs, UserId};
use holler_core::wire::limits::USERS_MAX;
use rusqlite::{OptionalExtension as _, params};
use zeroize::Zeroizing;

use super::{AccountError, Accounts, Credentials, Ended, UserRow, ms, time, word};
use crate::storage::StoreError;
use crate::storage::audit::Action;

impl Accounts<'_> {
    fn login_hash(&self, login: &str) -> [u8; 32] {
        self.sealer.lookup("users.login", login.as_bytes())
    }

    /// Adds a user. `password` is a PHC string.
    pub fn add_user(&self, user: &UserRow, password: &str, now: UnixMs) -> Result<u64, AccountError> {
        let id = user.id.bytes();
        let count = "SELECT count(*) FROM users WHERE workspace_id = ?1 AND ?2 IS NOT NULL";
        self.spare_room(count, id, "users", USERS_MAX, "erase those who are gone for good")?;
        let added = self
            .db
            .prepare_cached(
                "INSERT INTO users (workspace_id, user_id, login_hash, login, name, password, role, created_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (workspace_id, login_hash) DO NOTHING",
            )?
            .execute(params![
                self.ws(),
                id,
                self.login_hash(&user.login),
                self.seal("users", "login", id, user.login.as_bytes())?,
                self.seal("users", "name", id, user.name.as_bytes())?,
                self.seal("users", "password", id, password.as_bytes())?,
                user.role.as_str(),
                ms(now),
            ])?;
        if added == 0 {
            return Err(AccountError::LoginTaken);
        }
        self.record(Action::UserAdded, |entry| {
            let entry = entry.target(user.id).about(user.id).detail("role", user.role.as_str());
            entry.detail("login", user.login.as_str()).detail("name", user.name.as_str())
        })?;
        Ok(self.changed()?)
    }

    /// What sign-in needs to know of the user with this login.
    pub fn credentials(&self, login: &str) -> Result<Option<Credentials>, StoreError> {
        let row = self
            .db
            .prepare_cached("SELECT user_id, role, password, suspended_at IS NOT NULL FROM users WHERE workspace_id = ?1 AND login_hash = ?2")?
            .query_row(params![self.ws(), self.login_hash(login)], |row| {
                Ok((row.get::<_, [u8; 16]>(0)?, word(row, 1)?, row.get::<_, Vec<u8>>(2)?, row.get(3)?))
            })
            .optional()?;
        row.map(|(id, role, sealed, suspended)| {
            let password = Zeroizing::new(self.text("users", "password", &id, &sealed)?);
            Ok(Credentials { user: UserId::from_bytes(id), role, password, suspended })
        })
        .transpose()
    }

    /// Replaces a user's password (a PHC string) and ends all their sign-ins. Tokens for scripts stay.
    pub fn set_password(&self, user: UserId, password: &str) -> Result<u64, AccountError> {
        self.replace_password(user, password, None)
    }

    /// The same by the user themself: the sign-in of this device stays.
    pub fn set_own_password(&self, user: UserId, device: DeviceId, password: &str) -> Result<u64, AccountError> {
        self.replace_password(user, password, Some(device))
    }

    fn replace_password(&self, user: UserId, password: &str, keep: Option<DeviceId>) -> Result<u64, AccountError> {
        let sealed = self.seal("users", "password", user.bytes(), password.as_bytes())?;
        let changed = self
            .db
            .prepare_cached("UPDATE users SET password = ?3 WHERE workspace_id = ?1 AND user_id = ?2")?
            .execute(params![self.ws(), user.bytes(), sealed])?;
        if changed == 0 {
            return Err(AccountError::NoUser);
        }
        self.db
            .prepare_cached(
                "UPDATE sign_ins SET ended = ?3 WHERE workspace_id = ?1 AND user_id = ?2 AND ended IS NULL AND device_id IS NOT ?4",
            )?
            .execute(params![self.ws(), user.bytes(), Ended::Password.as_str(), keep.as_ref().map(DeviceId::bytes)])?;
        // A link for a new password was for the old one.
        self.forget_reset(user)?;
        self.record(Action::PasswordSet, |entry| entry.target(user))?;
        Ok(self.changed()?)
    }

    /// A user's password, as a PHC string.
    pub fn password(&self, user: UserId) -> Result<Option<Zeroizing<String>>, StoreError> {
        let sealed: Option<Vec<u8>> = self
            .db
            .prepare_cached("SELECT password FROM users WHERE workspace_id = ?1 AND user_id = ?2")?
            .query_row(params![self.ws(), user.bytes()], |row| row.get(0))
            .optional()?;
        sealed.map(|sealed| Ok(Zeroizing::new(self.text("users", "password", user.bytes(), &sealed)?))).transpose()
    }

    /// Gives a user another name.
    pub fn rename_user(&self, user: UserId, name: &str) -> Result<u64, AccountError> {
        self.user(user)?.ok_or(AccountError::NoUser)?;
        self.db
            .prepare_cached("UPDATE users SET name = ?3 WHERE workspace_id = ?1 AND user_id = ?2")?
            .execute(params![self.ws(), user.bytes(), self.seal("users", "name", user.bytes(), name.as_bytes())?])?;
        self.record(Action::UserChanged, |entry| entry.target(user).about(user).detail("name", name))?;
        Ok(self.changed()?)
    }

    /// Sets what a user may do in the workspace.
    pub fn set_user_role(&self, user: UserId, role: UserRole) -> Result<u64, AccountError> {
        self.user(user)?.ok_or(AccountError::NoUser)?;
        if role != UserRole::Admin {
            self.spare_an_admin(user)?;
        }
        self.db
            .prepare_cached("UPDATE users SET role = ?3 WHERE workspace_id = ?1 AND user_id = ?2")?
            .execute(params![self.ws(), user.bytes(), role.as_str()])?;
        self.record(Action::UserRoleSet, |entry| entry.target(user).detail("role", role.as_str()))?;
        Ok(self.changed()?)
    }

    /// Suspends a user: they can't sign in, their sign-ins end, and no token of theirs is good. Or restores them.
    pub fn suspend_user(&self, user: UserId, suspend: bool, now: UnixMs) -> Result<u64, AccountError> {
        self.user(user)?.ok_or(AccountError::NoUser)?;
        if self.suspended_at(user)?.is_some() == suspend {
            return Ok(self.changed()?);
        }
        if suspend {
            self.spare_an_admin(user)?;
            self.forget_reset(user)?;
            self.db
                .prepare_cached(
                    "UPDATE sign_ins SET ended = ?3 WHERE workspace_id = ?1 AND user_id = ?2 AND ended IS NULL",
                )?
                .execute(params![self.ws(), user.bytes(), Ended::Suspended.as_str()])?;
        }
        self.db
            .prepare_cached("UPDATE users SET suspended_at = ?3 WHERE workspace_id = ?1 AND user_id = ?2")?
            .execute(params![self.ws(), user.bytes(), suspend.then_some(ms(now))])?;
        let action = if suspend { Action::UserSuspended } else { Action::UserResumed };
        self.record(action, |entry| entry.target(user))?;
        Ok(self.changed()?)
    }

    /// Refuses where nobody else could manage the workspace.
    pub(super) fn spare_an_admin(&self, user: UserId) -> Result<(), AccountError> {
        let mut statement = self.db.prepare_cached(
            "SELECT user_id FROM users WHERE workspace_id = ?1 AND role = ?2 AND suspended_at IS NULL",
        )?;
        let admins: Vec<[u8; 16]> = statement
            .query_map(params![self.ws(), UserRole::Admin.as_str()], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        if admins == [*user.bytes()] { Err(AccountError::LastAdmin) } else { Ok(()) }
    }

    /// Since when a user is suspended.
    pub fn suspended_at(&self, user: UserId) -> Result<Option<UnixMs>, StoreError> {
        Ok(self.suspended()?.get(&user).copied())
    }

    /// Everybody who is suspended, and since when.
    pub fn suspended(&self) -> Result<HashMap<UserId, UnixMs>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT user_id, suspended_at FROM users WHERE workspace_id = ?1 AND suspended_at IS NOT NULL",
        )?;
        let rows = statement.query_map([self.ws()], |row| Ok((UserId::from_bytes(row.get(0)?), time(row, 1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The user with this identifier.
    pub fn user(&self, user: UserId) -> Result<Option<UserRow>, StoreError> {
        self.users_where(" AND user_id = ?2", user.bytes()).map(|mut users| users.pop())
    }

    /// The user with this login.
    pub fn user_by_login(&self, login: &str) -> Result<Option<UserRow>, StoreError> {
        self.users_where(" AND login_hash = ?2", &self.login_hash(login)).map(|mut users| users.pop())
    }

    /// Every user, by name.
    pub fn users(&self) -> Result<Vec<UserRow>, StoreError> {
        let mut users = self.users_where(" AND ?2 IS NOT NULL", self.ws())?;
        users.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        Ok(users)
    }

    fn users_where(&self, condition: &str, value: &[u8]) -> Result<Vec<UserRow>, StoreError> {
        let sql = format!("SELECT user_id, login, name, role FROM users WHERE workspace_id = ?1{condition}");
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement.query_map(params![self.ws(), value], |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, Vec<u8>>(1)?, row.get::<_, Vec<u8>>(2)?, word(row, 3)?))
        })?;
        rows.map(|row| {
            let (id, login, name, role) = row?;
            let login = self.text("users", "login", &id, &login)?;
            let name = self.text("users", "name", &id, &name)?;
            Ok(UserRow { id: UserId::from_bytes(id), login, name, role })
        })
        .collect()
    }
}
