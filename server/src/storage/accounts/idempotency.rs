//! What requests with an `Idempotency-Key` were answered.

use holler_core::seal::Place;
use holler_core::units::{DeviceId, UnixMs};
use holler_core::wire::limits::{IDEMPOTENCY_KEPT, IDEMPOTENCY_KEYS_MAX};
use rusqlite::{OptionalExtension as _, params};

use super::{Accounts, ms};
use crate::storage::StoreError;

/// Names a request: a keyed hash of its user, method, path and key.
pub type RequestHash = [u8; 32];

/// What is known of a request when it comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Nothing: it is to be done now.
    New,
    /// It was done, and answered so.
    Answered(Vec<u8>),
    /// It came before, and there is no answer.
    Unanswered,
    /// The key came before with something else.
    Different,
}

impl Accounts<'_> {
    /// The hash that names a request or its content; `what` keeps them apart.
    pub fn request_hash(&self, what: &'static str, parts: &[&[u8]]) -> RequestHash {
        let mut text = Vec::new();
        for part in parts {
            text.extend(u64::try_from(part.len()).unwrap_or(u64::MAX).to_be_bytes());
            text.extend(*part);
        }
        self.sealer.lookup(what, &text)
    }

    /// A request comes with a key. What is older than a day is forgotten first, then the oldest beyond the bound.
    pub fn begin_request(
        &self,
        device: DeviceId,
        request: &RequestHash,
        digest: &RequestHash,
        now: UnixMs,
    ) -> Result<Begun, StoreError> {
        let kept = u64::try_from(IDEMPOTENCY_KEPT.as_millis()).unwrap_or(u64::MAX);
        self.db
            .prepare_cached("DELETE FROM idempotency WHERE workspace_id = ?1 AND begun_at < ?2")?
            .execute(params![self.ws(), ms(UnixMs(now.0.saturating_sub(kept)))])?;
        let known: Option<(Vec<u8>, Option<Vec<u8>>)> = self
            .db
            .prepare_cached(
                "SELECT digest, answer FROM idempotency WHERE workspace_id = ?1 AND device_id = ?2 AND request = ?3",
            )?
            .query_row(params![self.ws(), device.bytes(), request], |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        match known {
            Some((known, _)) if known != digest => return Ok(Begun::Different),
            Some((_, None)) => return Ok(Begun::Unanswered),
            Some((_, Some(sealed))) => {
                let place =
                    Place { table: "idempotency", column: "answer", row: &[self.ws(), device.bytes(), request] };
                return Ok(Begun::Answered(self.sealer.open(&place, &sealed)?));
            }
            None => {}
        }
        self.db
            .prepare_cached(
                "DELETE FROM idempotency WHERE workspace_id = ?1 AND device_id = ?2 AND request IN (SELECT request FROM idempotency \
                 WHERE workspace_id = ?1 AND device_id = ?2 ORDER BY begun_at DESC LIMIT -1 OFFSET ?3)",
            )?
            .execute(params![self.ws(), device.bytes(), IDEMPOTENCY_KEYS_MAX - 1])?;
        self.db
            .prepare_cached(
                "INSERT INTO idempotency (workspace_id, device_id, request, digest, begun_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![self.ws(), device.bytes(), request, digest, ms(now)])?;
        Ok(Begun::New)
    }

    /// The request was done and answered so.
    pub fn answer_request(&self, device: DeviceId, request: &RequestHash, answer: &[u8]) -> Result<(), StoreError> {
        let place = Place { table: "idempotency", column: "answer", row: &[self.ws(), device.bytes(), request] };
        let sealed = self.sealer.seal(&place, answer)?;
        self.db
            .prepare_cached(
                "UPDATE idempotency SET answer = ?4 WHERE workspace_id = ?1 AND device_id = ?2 AND request = ?3",
            )?
            .execute(params![self.ws(), device.bytes(), request, sealed])?;
        Ok(())
    }

    /// The request was refused: nothing happened, and its key is free again.
    pub fn forget_request(&self, device: DeviceId, request: &RequestHash) -> Result<(), StoreError> {
        self.db
            .prepare_cached("DELETE FROM idempotency WHERE workspace_id = ?1 AND device_id = ?2 AND request = ?3")?
            .execute(params![self.ws(), device.bytes(), request])?;
        Ok(())
    }
}
