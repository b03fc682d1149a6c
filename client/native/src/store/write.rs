//! The writing thread: what waits goes into one transaction.

use std::sync::mpsc::Receiver;

use holler_core::engine::{ServerTime, Store as Change};
use rusqlite::{Transaction, params};

use super::{Inner, StoreError, WAITING_MAX, Work, queue, wall_ms};
use crate::{clock, receipts};

/// Runs until the store is dropped.
pub(super) fn run(inner: &Inner, waiting: &Receiver<Work>) {
    let mut failing = None;
    while let Ok(first) = waiting.recv() {
        let (mut changes, mut flushes) = (Vec::new(), Vec::new());
        for work in core::iter::once(first).chain(waiting.try_iter().take(WAITING_MAX)) {
            match work {
                Work::Change(change) => changes.push(*change),
                Work::Flush(done) => flushes.push(done),
            }
        }
        if let Err(error) = inner.commit(&changes) {
            let mut worst = error;
            // One that can't be kept must not take the others with it.
            let mut failed = false;
            for change in &changes {
                if let Err(error) = inner.commit(core::slice::from_ref(change)) {
                    worst = error;
                    failed = true;
                }
            }
            // Said once for as long as it lasts, not fifty times a second.
            if failed && failing.as_ref() != Some(&worst.to_string()) {
                inner.note(&worst);
                failing = Some(worst.to_string());
            }
        } else if !changes.is_empty() {
            failing = None;
        }
        for done in flushes {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
    }
}

fn full(error: StoreError) -> StoreError {
    let is_full = matches!(&error, StoreError::Database(rusqlite::Error::SqliteFailure(failure, _))
        if failure.code == rusqlite::ErrorCode::DiskFull);
    if is_full { StoreError::DiskFull } else { error }
}

impl Inner {
    fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut database = self.database();
        let write = |transaction: Transaction<'_>| {
            for change in changes {
                self.apply(&transaction, change)?;
            }
            Ok(transaction.commit()?)
        };
        database.transaction().map_err(StoreError::from).and_then(write).map_err(full)
    }

    fn apply(&self, database: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::BurstBegun { room, header, priority, server_time } => {
                let text = serde_json::to_string(header).map_err(|error| StoreError::Content(error.to_string()))?;
                let begun_us = i64::try_from(clock::now().0).unwrap_or(i64::MAX);
                let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
                let server_at = server_time.map(|ServerTime { at, .. }| number(at.0));
                let uncertainty = server_time.map(|time| number(time.uncertainty_ms));
                let ord = next_ord(database)?;
                database.prepare_cached(
                    "INSERT OR IGNORE INTO bursts (burst_id, ord, begun_at, boot, begun_us, server_at, server_uncertainty, \
                     room_id, header, priority) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
                )?
                .execute(params![
                    header.burst.bytes(),
                    ord,
                    wall_ms(),
                    clock::boot(),
                    begun_us,
                    server_at,
                    uncertainty,
                    room.bytes(),
                    text,
                    priority.as_str()
                ])?;
            }
            Change::Frame { burst, number, payload } => {
                // Looked at once a second of speech: a sum over all frames is work.
                if number.0 % 50 == 1 && queue::waiting_bytes(database)? > queue::WAITING_BYTES_MAX {
                    return Err(StoreError::QueueFull);
                }
                let sealed = self.seal_bytes("frames", &[burst.bytes(), &number.0.to_be_bytes()], payload)?;
                database.prepare_cached("INSERT OR IGNORE INTO frames VALUES (?1, ?2, ?3)")?.execute(params![
                    burst.bytes(),
                    number.0,
                    sealed
                ])?;
            }
            Change::BurstPlaced { burst } => {
                database.execute("UPDATE bursts SET granted = 1 WHERE burst_id = ?1", [burst.bytes()])?;
            }
            Change::BurstHeld { burst } => {
                database.execute("UPDATE bursts SET held = 1 WHERE burst_id = ?1", [burst.bytes()])?;
            }
            Change::BurstEnded { burst, end: None } => {
                database.execute("DELETE FROM bursts WHERE burst_id = ?1", [burst.bytes()])?;
            }
            Change::BurstEnded { burst, end: Some((last, digest)) } => {
                database.execute(
                    "UPDATE bursts SET ended = 1, last_frame = ?2, digest = ?3 WHERE burst_id = ?1",
                    params![burst.bytes(), last.0, digest.0],
                )?;
            }
            Change::BurstDelivered { burst, incarnation } => {
                database.execute(
                    "UPDATE bursts SET delivered = 1, delivered_in = ?2, done_at = ?3 WHERE burst_id = ?1",
                    params![burst.bytes(), incarnation.bytes(), wall_ms()],
                )?;
            }
            Change::BurstHeard { room, burst } => {
                database.prepare_cached("INSERT OR IGNORE INTO heard VALUES (?1, ?2, ?3)")?.execute(params![
                    burst.bytes(),
                    room.bytes(),
                    wall_ms()
                ])?;
            }
            Change::Cursor { room, cursor } => {
                let seq = i64::try_from(cursor.seq.0).unwrap_or(i64::MAX);
                database.prepare_cached("INSERT OR REPLACE INTO cursors VALUES (?1, ?2, ?3)")?.execute(params![
                    room.bytes(),
                    cursor.incarnation.bytes(),
                    seq
                ])?;
            }
            Change::Heard { room, burst } => receipts::heard(database, *room, *burst)?,
            Change::Read { room, cursor } => receipts::read(database, *room, *cursor)?,
            Change::ReceiptsStored { room, read, heard } => receipts::stored(database, *room, *read, heard)?,
            Change::Send { room, client_id, body } => {
                let sealed = self.seal("sends", &[client_id.bytes()], body)?;
                let ord = next_ord(database)?;
                database.execute(
                    "INSERT OR IGNORE INTO sends (client_id, ord, room_id, body) VALUES (?1, ?2, ?3, ?4)",
                    params![client_id.bytes(), ord, room.bytes(), sealed],
                )?;
            }
            Change::SendDone { client_id, place: Some(place) } => {
                database.execute(
                    "UPDATE sends SET acked_in = ?2, done_at = ?3 WHERE client_id = ?1",
                    params![client_id.bytes(), place.incarnation.bytes(), wall_ms()],
                )?;
            }
            Change::SendDone { client_id, place: None } => {
                database.execute("DELETE FROM sends WHERE client_id = ?1", [client_id.bytes()])?;
            }
        }
        Ok(())
    }
}

/// The next place in the order of what was written and spoken here.
fn next_ord(database: &Transaction<'_>) -> Result<i64, StoreError> {
    let mut next = database.prepare_cached("UPDATE counter SET next_ord = next_ord + 1 RETURNING next_ord - 1")?;
    Ok(next.query_row([], |row| row.get(0))?)
}
