//! The data keys: made and unwrapped inside a transaction, so that a key and what it sealed appear or vanish together.

mod ring_keys;

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use holler_core::seal::{Key, KeyId, Nonce, OpenError, Place, SealingKey};
use holler_core::units::{RoomId, UserId, WorkspaceId};
use rusqlite::{Connection, OptionalExtension, params};

use super::error::StoreError;
use crate::keys::{KeyRing, RingError, random_key, random_nonce};

pub use ring_keys::{check, uses};

/// Makes, unwraps and shreds data keys. A cheap clone.
#[derive(Clone, Debug)]
pub struct Vault {
    ring: Arc<ArcSwap<KeyRing>>,
}

/// Seals, opens and hashes with one data key.
#[derive(Clone)]
pub struct Sealer {
    sealing: SealingKey,
    lookups: Key,
}

/// Data keys are not rotated yet: each workspace and room has one.
const DATA_KEY: KeyId = KeyId(1);

impl Sealer {
    fn new(key: &Key) -> Self {
        Self {
            sealing: SealingKey::new(DATA_KEY, &key.subkey("holler/data/seal/1")),
            lookups: key.subkey("holler/data/lookup/1"),
        }
    }

    /// Seals `value` to lie at `place`.
    pub fn seal(&self, place: &Place<'_>, value: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok(self.sealing.seal(&random_nonce()?, place, value))
    }

    /// The same with a nonce from [`crate::keys::random_nonces`], of which each is for one value.
    pub(super) fn seal_with(&self, nonce: &Nonce, place: &Place<'_>, value: &[u8]) -> Vec<u8> {
        self.sealing.seal(nonce, place, value)
    }

    /// Opens what lies at `place`.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Vec<u8>, StoreError> {
        Ok(self.sealing.open(place, sealed)?)
    }

    /// Opens a text that lies at `place`.
    pub fn open_text(&self, place: &Place<'_>, sealed: &[u8]) -> Result<String, StoreError> {
        String::from_utf8(self.open(place, sealed)?)
            .map_err(|_| StoreError::Damaged(format!("{}.{} is no text", place.table, place.column)))
    }

    /// The keyed hash under which a sealed value is found. `what` names the column, so that hashes of different columns differ.
    pub fn lookup(&self, what: &str, value: &[u8]) -> [u8; 32] {
        self.lookups.lookup(what, value)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sealer(secret)")
    }
}

impl Vault {
    pub(super) fn new(ring: KeyRing) -> Self {
        Self { ring: Arc::new(ArcSwap::from_pointee(ring)) }
    }

    /// Reads the key ring again: another process may have rotated it. Gives whether it changed.
    pub fn follow_ring(&self) -> Result<bool, RingError> {
        let again = self.ring.load().read_again()?;
        let changed = again.is_some();
        if let Some(ring) = again {
            self.ring.store(Arc::new(ring));
        }
        Ok(changed)
    }

    /// Opens a data key; where another process has just wrapped it with a key that this one has not read yet, it reads the ring again.
    fn unwrap(&self, place: &Place<'_>, wrapped: &[u8]) -> Result<Key, StoreError> {
        match self.ring.load().unwrap(place, wrapped) {
            Err(OpenError::OtherKey { .. }) if self.follow_ring().is_ok_and(|changed| changed) => {
                Ok(self.ring.load().unwrap(place, wrapped)?)
            }
            other => Ok(other?),
        }
    }

    /// Makes the data key of a new workspace.
    pub fn create_workspace(&self, db: &Connection, workspace: WorkspaceId) -> Result<Sealer, StoreError> {
        let row: [&[u8]; 1] = [workspace.bytes()];
        let (sealer, wrapped) = self.create(&Place { table: "workspace_keys", column: "wrapped", row: &row })?;
        db.prepare_cached("INSERT INTO workspace_keys (workspace_id, wrapped) VALUES (?1, ?2)")?
            .execute(params![workspace.bytes(), wrapped])?;
        Ok(sealer)
    }

    /// The workspace's sealer.
    pub fn workspace(&self, db: &Connection, workspace: WorkspaceId) -> Result<Sealer, StoreError> {
        let wrapped: Option<Vec<u8>> = db
            .prepare_cached("SELECT wrapped FROM workspace_keys WHERE workspace_id = ?1")?
            .query_row([workspace.bytes()], |row| row.get(0))
            .optional()?;
        let row: [&[u8]; 1] = [workspace.bytes()];
        self.open(&Place { table: "workspace_keys", column: "wrapped", row: &row }, wrapped, &workspace)
    }

    /// Makes the data key of a new room.
    pub(super) fn create_room(&self, db: &Connection, room: RoomId) -> Result<Sealer, StoreError> {
        let row: [&[u8]; 1] = [room.bytes()];
        let (sealer, wrapped) = self.create(&Place { table: "room_keys", column: "wrapped", row: &row })?;
        db.prepare_cached("INSERT INTO room_keys (room_id, wrapped) VALUES (?1, ?2)")?
            .execute(params![room.bytes(), wrapped])?;
        Ok(sealer)
    }

    /// The room's sealer.
    pub fn room(&self, db: &Connection, room: RoomId) -> Result<Sealer, StoreError> {
        let wrapped: Option<Vec<u8>> = db
            .prepare_cached("SELECT wrapped FROM room_keys WHERE room_id = ?1")?
            .query_row([room.bytes()], |row| row.get(0))
            .optional()?;
        let row: [&[u8]; 1] = [room.bytes()];
        self.open(&Place { table: "room_keys", column: "wrapped", row: &row }, wrapped, &room)
    }

    /// The sealer of what the audit log says about a person, made where there is none yet. `None`: they were erased.
    pub(super) fn person(
        &self,
        db: &Connection,
        workspace: WorkspaceId,
        user: UserId,
    ) -> Result<Option<Sealer>, StoreError> {
        if let Some(kept) = self.person_row(db, workspace, user)? {
            return kept
                .map(|wrapped| self.open(&person_place(&[workspace.bytes(), user.bytes()]), Some(wrapped), &user))
                .transpose();
        }
        let (sealer, wrapped) = self.create(&person_place(&[workspace.bytes(), user.bytes()]))?;
        db.prepare_cached("INSERT INTO audit_keys (workspace_id, user_id, wrapped) VALUES (?1, ?2, ?3)")?
            .execute(params![workspace.bytes(), user.bytes(), wrapped])?;
        Ok(Some(sealer))
    }

    /// The sealer of what the audit log says about a person. `None`: they were erased.
    pub(super) fn person_if_kept(
        &self,
        db: &Connection,
        workspace: WorkspaceId,
        user: UserId,
    ) -> Result<Option<Sealer>, StoreError> {
        let kept = self.person_row(db, workspace, user)?.flatten();
        kept.map(|wrapped| self.open(&person_place(&[workspace.bytes(), user.bytes()]), Some(wrapped), &user))
            .transpose()
    }

    /// The row of a person's key; in it `None` once they were erased.
    fn person_row(
        &self,
        db: &Connection,
        workspace: WorkspaceId,
        user: UserId,
    ) -> Result<Option<Option<Vec<u8>>>, StoreError> {
        Ok(db
            .prepare_cached("SELECT wrapped FROM audit_keys WHERE workspace_id = ?1 AND user_id = ?2")?
            .query_row(params![workspace.bytes(), user.bytes()], |row| row.get(0))
            .optional()?)
    }

    fn create(&self, place: &Place<'_>) -> Result<(Sealer, Vec<u8>), StoreError> {
        let key = random_key()?;
        Ok((Sealer::new(&key), self.ring.load().wrap(place, &key)?))
    }

    fn open(
        &self,
        place: &Place<'_>,
        wrapped: Option<Vec<u8>>,
        whose: &dyn fmt::Display,
    ) -> Result<Sealer, StoreError> {
        let wrapped = wrapped.ok_or_else(|| StoreError::NoKey(whose.to_string()))?;
        Ok(Sealer::new(&self.unwrap(place, &wrapped)?))
    }
}

fn person_place<'a>(row: &'a [&'a [u8]; 2]) -> Place<'a> {
    Place { table: "audit_keys", column: "wrapped", row }
}
