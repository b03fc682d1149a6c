//! Crypto-shredding: a room's key is deleted, and with it everything that was said there, in this database and in every copy of it
//! whose key ring does not hold the key in another way.

use holler_core::units::{RoomId, UnixMs};
use holler_core::wire::rest::ShredReceipt;
use rusqlite::{OptionalExtension as _, params};
use sha2::{Digest as _, Sha256};

use super::{AccountError, Accounts, whole};
use crate::storage::StoreError;
use crate::storage::audit::chain::hex;
use crate::storage::audit::{Action, Target};
use crate::storage::retention;

impl Accounts<'_> {
    /// Shreds a room: its key, its log's head, its members and itself go in this transaction. The rows of its events and frames, which
    /// nobody can read from then on, are removed bit by bit afterwards. Refused under legal hold. Gives the new generation too.
    ///
    /// The deleted key is overwritten in the database. Until the write-ahead log was moved (`hollerd room shred` does that at once, a
    /// server within minutes) its wrapped form is still in there; backups hold it for as long as they are kept.
    pub fn shred_room(&self, room: RoomId, now: UnixMs) -> Result<(u64, ShredReceipt), AccountError> {
        self.room(room)?.ok_or(AccountError::NoRoom)?;
        if retention::find(self.db, self.workspace, room)?.held_at.is_some() {
            return Err(AccountError::Held);
        }
        let wrapped: Option<Vec<u8>> = self
            .db
            .prepare_cached("SELECT wrapped FROM room_keys WHERE room_id = ?1")?
            .query_row([room.bytes()], |row| row.get(0))
            .optional()?;
        let key_sha256 = hex(&Sha256::digest(wrapped.unwrap_or_default()));
        let (events, bursts, burst_bytes) = self
            .db
            .prepare_cached(
                "SELECT (SELECT count(*) FROM events WHERE room_id = ?1), count(*), coalesce(sum(bytes), 0) FROM bursts \
                 WHERE room_id = ?1",
            )?
            .query_row([room.bytes()], |row| Ok((whole(row, 0)?, whole(row, 1)?, whole(row, 2)?)))?;
        // What is deleted while this is on is overwritten with zeros.
        self.db.pragma_update(None, "secure_delete", "ON")?;
        let deleted = self.delete_room(room);
        self.db.pragma_update(None, "secure_delete", "OFF")?;
        deleted?;
        self.record(Action::RoomShredded, |entry| {
            let entry = entry.target(room).target(Target::named("key", &key_sha256));
            entry.detail("events", events).detail("bursts", bursts).detail("burst_bytes", burst_bytes)
        })?;
        let audit_entry = crate::storage::audit::head(self.db, self.workspace)?.number;
        let receipt = ShredReceipt { room, shredded_at: now, key_sha256, events, bursts, burst_bytes, audit_entry };
        let text = serde_json::to_string(&receipt).map_err(|error| StoreError::Damaged(error.to_string()))?;
        self.db
            .prepare_cached("INSERT INTO shredded_rooms (workspace_id, room_id, receipt) VALUES (?1, ?2, ?3)")?
            .execute(params![self.ws(), room.bytes(), text])?;
        Ok((self.changed()?, receipt))
    }

    /// The receipt of a room that was shredded; `None`: it was not.
    pub fn shredded(&self, room: RoomId) -> Result<Option<ShredReceipt>, StoreError> {
        let text: Option<String> = self
            .db
            .prepare_cached("SELECT receipt FROM shredded_rooms WHERE workspace_id = ?1 AND room_id = ?2")?
            .query_row(params![self.ws(), room.bytes()], |row| row.get(0))
            .optional()?;
        let read = |text: String| serde_json::from_str(&text);
        text.map(read).transpose().map_err(|error| StoreError::Damaged(format!("the receipt of {room}: {error}")))
    }

    fn delete_room(&self, room: RoomId) -> Result<(), StoreError> {
        for sql in ["DELETE FROM room_keys WHERE room_id = ?1", "DELETE FROM room_heads WHERE room_id = ?1"] {
            self.db.prepare_cached(sql)?.execute([room.bytes()])?;
        }
        for table in ["room_retention", "members", "invite_rooms", "rooms"] {
            let sql = format!("DELETE FROM {table} WHERE workspace_id = ?1 AND room_id = ?2");
            self.db.prepare_cached(&sql)?.execute(params![self.ws(), room.bytes()])?;
        }
        Ok(())
    }
}
