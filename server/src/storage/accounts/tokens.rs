//! Tokens for scripts: what each allows, beside the device that it is.

use std::collections::BTreeMap;

use holler_core::model::Scope;
use holler_core::units::{DeviceId, UnixMs, UserId};
use holler_core::wire::limits::TOKENS_MAX;
use rusqlite::params;

use super::{AccountError, Accounts, DeviceRow, ms, time};
use crate::storage::StoreError;

/// A token for a script as stored; never the token itself.
#[derive(Clone, Debug)]
pub struct TokenRow {
    /// The device that it is.
    pub device: DeviceRow,
    /// What it allows.
    pub scopes: Vec<Scope>,
    /// Until when.
    pub expires_at: UnixMs,
}

impl Accounts<'_> {
    /// Refuses where the user has as many good tokens as they may.
    pub fn spare_a_token(&self, user: UserId, now: UnixMs) -> Result<(), AccountError> {
        let good = self.tokens(user)?.iter().filter(|token| !token.device.revoked && token.expires_at > now).count();
        if good >= TOKENS_MAX as usize {
            let remedy = "revoke those that no script uses";
            return Err(AccountError::Full { what: "tokens of this user that are good", most: TOKENS_MAX, remedy });
        }
        Ok(())
    }

    /// Notes what the token allows that belongs to a device.
    pub fn add_token(&self, device: DeviceId, scopes: &[Scope], expires_at: UnixMs) -> Result<(), StoreError> {
        let words: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
        self.db
            .prepare_cached("INSERT INTO tokens (workspace_id, device_id, scopes, expires_at) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![self.ws(), device.bytes(), words.join(" "), ms(expires_at)])?;
        Ok(())
    }

    /// A user's tokens for scripts, in the order of their devices' identifiers.
    pub fn tokens(&self, user: UserId) -> Result<Vec<TokenRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT t.device_id, t.scopes, t.expires_at FROM tokens t JOIN devices d USING (workspace_id, device_id) \
             WHERE t.workspace_id = ?1 AND d.user_id = ?2",
        )?;
        let rows = statement.query_map(params![self.ws(), user.bytes()], |row| {
            Ok((DeviceId::from_bytes(row.get(0)?), (row.get::<_, String>(1)?, time(row, 2)?)))
        })?;
        let mut known: BTreeMap<_, _> = rows.collect::<Result<_, _>>()?;
        let mut tokens = Vec::with_capacity(known.len());
        for device in self.devices(user)? {
            let Some((words, expires_at)) = known.remove(&device.id) else { continue };
            let scopes: Result<_, String> = words.split_whitespace().map(str::parse).collect();
            let scopes = scopes.map_err(|fault| StoreError::Damaged(format!("a token's scopes: {fault}")))?;
            tokens.push(TokenRow { device, scopes, expires_at });
        }
        tokens.sort_by_key(|token| token.device.id);
        Ok(tokens)
    }
}
