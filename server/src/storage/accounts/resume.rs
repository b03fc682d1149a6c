//! The keys of resume tokens.

use holler_core::seal::Place;
use holler_core::units::UnixMs;
use rusqlite::params;
use zeroize::Zeroizing;

use super::{Accounts, ms, replaced_before};
use crate::storage::StoreError;
use crate::storage::audit::chain::hex;
use crate::storage::audit::{Action, Target};

/// A key as stored: its name, and 32 bytes.
pub type ResumeKeyRow = ([u8; 8], Zeroizing<Vec<u8>>);

impl Accounts<'_> {
    /// The keys, newest first.
    pub fn resume_keys(&self) -> Result<Vec<ResumeKeyRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT key_id, key FROM resume_keys WHERE workspace_id = ?1 ORDER BY created_at DESC, key_id",
        )?;
        let rows =
            statement.query_map([self.ws()], |row| Ok((row.get::<_, [u8; 8]>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (id, sealed) = row?;
            let place = Place { table: "resume_keys", column: "key", row: &[self.ws(), &id] };
            Ok((id, Zeroizing::new(self.sealer.open(&place, &sealed)?)))
        })
        .collect()
    }

    /// Removes the keys that were replaced before `before`; sessions whose tokens they made are continued with access tokens.
    pub fn prune_resume_keys(&self, before: UnixMs) -> Result<usize, StoreError> {
        let mut delete = self.db.prepare_cached(&replaced_before("resume_keys"))?;
        let pruned: Vec<[u8; 8]> =
            delete.query_map(params![self.ws(), ms(before)], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for id in &pruned {
            self.record(Action::ResumeKeyPruned, |entry| entry.target(Target::named("resume_key", hex(id))))?;
        }
        Ok(pruned.len())
    }

    /// Adds a key.
    pub fn add_resume_key(&self, id: [u8; 8], key: &[u8], now: UnixMs) -> Result<(), StoreError> {
        let place = Place { table: "resume_keys", column: "key", row: &[self.ws(), &id] };
        let sealed = self.sealer.seal(&place, key)?;
        self.db
            .prepare_cached("INSERT INTO resume_keys (workspace_id, key_id, key, created_at) VALUES (?1, ?2, ?3, ?4)")?
            .execute(params![self.ws(), id, sealed, ms(now)])?;
        self.record(Action::ResumeKeyRotated, |entry| entry.target(Target::named("resume_key", hex(&id))))
    }
}
