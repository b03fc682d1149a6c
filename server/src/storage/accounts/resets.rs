//! One-time links for a new password.

use holler_core::units::{UnixMs, UserId};
use rusqlite::{OptionalExtension as _, params};

use super::{AccountError, Accounts, ms};
use crate::storage::StoreError;
use crate::storage::audit::Action;

impl Accounts<'_> {
    fn reset_hash(&self, secret: &[u8]) -> [u8; 32] {
        self.sealer.lookup("resets.token", secret)
    }

    /// Makes the link that `secret` leads to, in place of an earlier one of this user.
    pub fn add_reset(&self, user: UserId, secret: &[u8], now: UnixMs, expires_at: UnixMs) -> Result<(), AccountError> {
        self.user(user)?.ok_or(AccountError::NoUser)?;
        self.forget_reset(user)?;
        self.db
            .prepare_cached("DELETE FROM resets WHERE workspace_id = ?1 AND expires_at <= ?2")?
            .execute(params![self.ws(), ms(now)])?;
        self.db
            .prepare_cached(
                "INSERT INTO resets (workspace_id, user_id, token_hash, made_at, expires_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![self.ws(), user.bytes(), self.reset_hash(secret), ms(now), ms(expires_at)])?;
        Ok(self.record(Action::ResetMade, |entry| entry.target(user))?)
    }

    /// Whose link `secret` leads to; `None`: there is none, or it is over, or the user is suspended.
    pub fn reset(&self, secret: &[u8], now: UnixMs) -> Result<Option<UserId>, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "SELECT user_id FROM resets JOIN users USING (workspace_id, user_id) \
                 WHERE workspace_id = ?1 AND token_hash = ?2 AND expires_at > ?3 AND suspended_at IS NULL",
            )?
            .query_row(params![self.ws(), self.reset_hash(secret), ms(now)], |row| row.get(0).map(UserId::from_bytes))
            .optional()?)
    }

    /// Uses a link up: the user gets this password (a PHC string), and all their sign-ins end.
    pub fn use_reset(&self, secret: &[u8], password: &str, now: UnixMs) -> Result<(UserId, u64), AccountError> {
        let user = self.reset(secret, now)?.ok_or(AccountError::LinkOver)?;
        self.record(Action::ResetUsed, |entry| entry.target(user))?;
        Ok((user, self.set_password(user, password)?))
    }

    /// Removes a user's link, if there is one.
    pub(super) fn forget_reset(&self, user: UserId) -> Result<(), StoreError> {
        self.db
            .prepare_cached("DELETE FROM resets WHERE workspace_id = ?1 AND user_id = ?2")?
            .execute(params![self.ws(), user.bytes()])?;
        Ok(())
    }
}
