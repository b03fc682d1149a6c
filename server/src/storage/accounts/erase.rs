//! Erasing a person.
//!
//! Everything that says who they were goes: login, name, password, devices, sign-ins, memberships, receipts, and what the audit log says
//! about them (its key is deleted, so the chain still holds). What they said stays in the rooms' logs, under an identifier that
//! names nobody any more: events never change. [`OF_PEOPLE`] decides for every table that has a person or a device in it; a test
//! fails when one is missing.

use holler_core::units::{UnixMs, UserId};
use rusqlite::params;

use super::{AccountError, Accounts, ms};
use crate::storage::StoreError;
use crate::storage::audit::{self, Action};

/// What becomes of a table's rows when somebody is erased.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Those of the person go.
    OfUser,
    /// Those of their devices go.
    OfDevices,
    /// They stay, for this reason.
    Kept(&'static str),
}

/// Every table with a user or a device in it, those first that point at others. One that this version does not have is passed over.
pub const OF_PEOPLE: &[(&str, Fate)] = &[
    ("tokens", Fate::OfDevices),
    ("idempotency", Fate::OfDevices),
    ("push_queue", Fate::OfDevices),
    ("push_subscriptions", Fate::OfUser),
    ("push_rules", Fate::OfUser),
    ("presence", Fate::OfUser),
    ("read_marks", Fate::OfUser),
    ("heard", Fate::OfUser),
    ("resets", Fate::OfUser),
    ("sign_ins", Fate::OfUser),
    ("members", Fate::OfUser),
    ("devices", Fate::OfUser),
    ("users", Fate::OfUser),
    ("events", Fate::Kept("what was said stays in the room; the identifier names nobody any more")),
    ("bursts", Fate::Kept("the same, of what was spoken")),
    ("sends", Fate::Kept("the answers to retries; identifiers and hashes only")),
    ("roster_changes", Fate::Kept("tells the others that somebody is gone; identifiers only")),
    ("audit_keys", Fate::Kept("the key itself is gone; its row keeps a new one from being made")),
];

impl Accounts<'_> {
    /// Erases a user. Their login is free again.
    pub fn erase_user(&self, user: UserId, now: UnixMs) -> Result<u64, AccountError> {
        self.user(user)?.ok_or(AccountError::NoUser)?;
        self.spare_an_admin(user)?;
        self.record(Action::UserErased, |entry| entry.target(user))?;
        audit::forget(self.db, self.workspace, user)?;
        // What is freed in the file is overwritten.
        self.db.pragma_update(None, "secure_delete", true).map_err(StoreError::from)?;
        let erased = self.erase_rows(user, now);
        self.db.pragma_update(None, "secure_delete", false).map_err(StoreError::from)?;
        erased?;
        Ok(self.changed()?)
    }

    fn erase_rows(&self, user: UserId, now: UnixMs) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE invites SET note = NULL, revoked_at = coalesce(revoked_at, ?3) WHERE workspace_id = ?1 AND made_by = ?2",
            )?
            .execute(params![self.ws(), user.bytes(), ms(now)])?;
        for (table, fate) in OF_PEOPLE {
            let condition = match fate {
                Fate::OfUser => "user_id = ?2",
                Fate::OfDevices => {
                    "device_id IN (SELECT device_id FROM devices WHERE workspace_id = ?1 AND user_id = ?2)"
                }
                Fate::Kept(_) => continue,
            };
            if self.has_table(table)? {
                // Identifiers are never given twice, so a table by room needs no workspace; ?1 is named for the numbering's sake.
                let sql = format!("DELETE FROM {table} WHERE ?1 IS NOT NULL AND {condition}");
                self.db.prepare_cached(&sql)?.execute(params![self.ws(), user.bytes()])?;
            }
        }
        Ok(())
    }

    pub(super) fn has_table(&self, table: &str) -> Result<bool, StoreError> {
        let sql = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?1";
        Ok(self.db.prepare_cached(sql)?.query_row([table], |row| row.get(0))?)
    }
}
