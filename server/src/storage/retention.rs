//! Letting go of what is old: retention per room, legal hold, and what is left of shredded rooms.
//!
//! [`run`] goes round once a minute, by the server's clock. It works in small steps through the writer, so that nobody's send waits
//! behind it: up to [`STEP`] events with their bursts, then a pause. Retention only raises a log's `first_seq`; a client whose cursor
//! lies before that is told of the gap. A room under legal hold loses nothing, whatever its days say. A room with an emergency that is
//! on waits until it is cleared, because that emergency is one of the events.

use std::time::Duration;

use holler_core::units::{RoomId, Seq, UnixMs, WorkspaceId};
use rusqlite::{Connection, OptionalExtension as _, params};
use tokio_util::sync::CancellationToken;

use super::accounts::{AccountError, Accounts};
use super::audit::Action;
use super::columns::{int, uint};
use super::{Store, StoreError, log};
use crate::app::App;

/// How often rooms are looked at.
const ROUND: Duration = Duration::from_secs(60);
/// Rows that one step removes at most.
const STEP: u32 = 200;
/// Between two steps others write.
const PAUSE: Duration = Duration::from_millis(20);
/// Steps for one room and round; what is left waits for the next round.
const STEPS_MAX: usize = 500;
/// How long the answers to sends are kept: a client offers again what it has kept for 30 days, and may have been offline for as long.
const ANSWERS_KEPT_MS: u64 = 90 * DAY_MS;
const DAY_MS: u64 = 86_400_000;

/// What a room keeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retention {
    /// Days; 0: for ever; `None`: what the workspace's policy says.
    pub days: Option<u32>,
    /// Since when nothing may be removed.
    pub held_at: Option<UnixMs>,
}

impl Retention {
    /// Up to when everything may go, at `now`; `None`: nothing may.
    pub fn cutoff(&self, policy_days: Option<u32>, now: UnixMs) -> Option<UnixMs> {
        let days = self.days.or(policy_days).filter(|days| *days > 0 && self.held_at.is_none())?;
        Some(UnixMs(now.0.saturating_sub(u64::from(days) * DAY_MS)))
    }
}

impl Accounts<'_> {
    /// What a room keeps.
    pub fn retention(&self, room: RoomId) -> Result<Retention, AccountError> {
        self.room(room)?.ok_or(AccountError::NoRoom)?;
        Ok(find(self.db(), self.workspace(), room)?)
    }

    /// Sets what a room keeps: `days` as in [`Retention`], and whether it is under legal hold.
    pub fn set_retention(&self, room: RoomId, days: Option<u32>, held: bool, now: UnixMs) -> Result<u64, AccountError> {
        let before = self.retention(room)?;
        let held_at = held.then(|| before.held_at.unwrap_or(now));
        self.db()
            .prepare_cached(
                "INSERT INTO room_retention (workspace_id, room_id, days, held_at) VALUES (?1, ?2, ?3, ?4) \
                 ON CONFLICT (workspace_id, room_id) DO UPDATE SET days = excluded.days, held_at = excluded.held_at",
            )
            .map_err(StoreError::from)?
            .execute(params![self.workspace().bytes(), room.bytes(), days, held_at.map(|at| int(at.0))])
            .map_err(StoreError::from)?;
        if before.days != days {
            self.record(Action::RetentionSet, |entry| entry.target(room).detail("days", days))?;
        }
        match (before.held_at, held_at) {
            (None, Some(_)) => self.record(Action::RoomHeld, |entry| entry.target(room))?,
            (Some(_), None) => self.record(Action::RoomReleased, |entry| entry.target(room))?,
            (None, None) | (Some(_), Some(_)) => {}
        }
        Ok(self.changed()?)
    }
}

/// What a room keeps; nothing of its own where nothing was set.
pub(super) fn find(db: &Connection, workspace: WorkspaceId, room: RoomId) -> Result<Retention, StoreError> {
    let row = db
        .prepare_cached("SELECT days, held_at FROM room_retention WHERE workspace_id = ?1 AND room_id = ?2")?
        .query_row(params![workspace.bytes(), room.bytes()], |row| Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?)))
        .optional()?;
    let Some((days, held_at)) = row else { return Ok(Retention::default()) };
    let held_at = held_at.map(|at| uint(at, "the time of a hold").map(UnixMs)).transpose()?;
    Ok(Retention { days, held_at })
}

/// Removes what is old until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let mut rounds = tokio::time::interval(ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(rounds.tick()).await.is_some() {
        let (days, now) = (app.auth.policy().retention_days, app.clock.unix());
        let working = round(&app.store, app.auth.workspace(), days, now);
        if let Some(Err(error)) = stop.run_until_cancelled(working).await {
            tracing::warn!(%error, "what is old could not be removed; trying again in a minute");
        }
    }
}

/// Looks at every room once. Gives how many events were removed.
pub(crate) async fn round(
    store: &Store,
    workspace: WorkspaceId,
    policy_days: Option<u32>,
    now: UnixMs,
) -> Result<u64, StoreError> {
    let rooms: Vec<RoomId> = store
        .read(move |db| -> Result<_, StoreError> {
            let mut select = db.prepare_cached("SELECT room_id FROM rooms WHERE workspace_id = ?1")?;
            let rows = select.query_map([workspace.bytes()], |row| Ok(RoomId::from_bytes(row.get(0)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await?;
    let mut removed = 0;
    for room in rooms {
        removed += events(store, workspace, room, policy_days, now).await?;
        answers(store, workspace, room, now).await?;
    }
    shredded(store).await?;
    if removed > 0 {
        metrics::counter!("holler_retention_events_total").increment(removed);
        tracing::info!(events = removed, "retention removed what was old");
    }
    Ok(removed)
}

async fn events(
    store: &Store,
    workspace: WorkspaceId,
    room: RoomId,
    policy_days: Option<u32>,
    now: UnixMs,
) -> Result<u64, StoreError> {
    // Most rooms have nothing to remove: that is seen by a reader.
    let due = store
        .read(move |db| -> Result<_, StoreError> {
            let Some(cutoff) = find(db, workspace, room)?.cutoff(policy_days, now) else { return Ok(false) };
            Ok(end_of_old(db, room, cutoff)?.is_some())
        })
        .await?;
    if !due || !store.emergencies(room).await?.is_empty() {
        return Ok(0);
    }
    let mut removed = 0;
    for _ in 0..STEPS_MAX {
        // Looked at again in the transaction: a hold that was set meanwhile counts.
        let step = store
            .write(move |db| -> Result<_, StoreError> {
                let Some(cutoff) = find(db, workspace, room)?.cutoff(policy_days, now) else { return Ok(0) };
                let Some((first, count)) = end_of_old(db, room, cutoff)? else { return Ok(0) };
                log::retain(db, room, first)?;
                Ok(count)
            })
            .await?;
        removed += step;
        if step == 0 {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    Ok(removed)
}

/// The first event that is not old among the first [`STEP`], and how many before it are; `None`: none is.
fn end_of_old(db: &Connection, room: RoomId, cutoff: UnixMs) -> Result<Option<(Seq, u64)>, StoreError> {
    let mut select =
        db.prepare_cached("SELECT seq, received_at FROM events WHERE room_id = ?1 ORDER BY seq LIMIT ?2")?;
    let mut rows = select.query(params![room.bytes(), STEP])?;
    let mut end = None;
    while let Some(row) = rows.next()? {
        let (seq, received_at): (i64, i64) = (row.get(0)?, row.get(1)?);
        if received_at >= int(cutoff.0) {
            break;
        }
        let count = end.map_or(0, |(_, count)| count);
        end = Some((Seq(uint(seq, "a sequence number")? + 1), count + 1));
    }
    Ok(end)
}

/// A send's device and client id.
type Sent = ([u8; 16], [u8; 16]);

/// Forgets the answers to old sends.
async fn answers(store: &Store, workspace: WorkspaceId, room: RoomId, now: UnixMs) -> Result<(), StoreError> {
    let before = int(now.0.saturating_sub(ANSWERS_KEPT_MS));
    loop {
        // Found by a reader: there is no index by time, which every send would pay for.
        let old = store
            .read(move |db| -> Result<Vec<Sent>, StoreError> {
                if find(db, workspace, room)?.held_at.is_some() {
                    return Ok(Vec::new());
                }
                let mut select = db.prepare_cached(
                    "SELECT device_id, client_id FROM sends WHERE room_id = ?1 AND received_at < ?2 LIMIT ?3",
                )?;
                let rows =
                    select.query_map(params![room.bytes(), before, STEP], |row| Ok((row.get(0)?, row.get(1)?)))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await?;
        if old.is_empty() {
            return Ok(());
        }
        store
            .write(move |db| -> Result<_, StoreError> {
                let mut delete =
                    db.prepare_cached("DELETE FROM sends WHERE room_id = ?1 AND device_id = ?2 AND client_id = ?3")?;
                for (device, client) in &old {
                    delete.execute(params![room.bytes(), device, client])?;
                }
                Ok(())
            })
            .await?;
        tokio::time::sleep(PAUSE).await;
    }
}

/// Removes the rows of shredded rooms, which nobody can read.
async fn shredded(store: &Store) -> Result<(), StoreError> {
    loop {
        let more = store
            .write(|db| -> Result<bool, StoreError> {
                let room: Option<[u8; 16]> = db
                    .prepare_cached("SELECT room_id FROM shredded_rooms WHERE cleared = 0 LIMIT 1")?
                    .query_row([], |row| row.get(0))
                    .optional()?;
                let Some(room) = room else { return Ok(false) };
                for (table, key) in [
                    ("chunks", "rowid"),
                    ("events", "seq"),
                    ("bursts", "burst_id"),
                    ("sends", "device_id, client_id"),
                ] {
                    let sql = format!(
                        "DELETE FROM {table} WHERE room_id = ?1 AND ({key}) IN (SELECT {key} FROM {table} WHERE room_id = ?1 LIMIT ?2)"
                    );
                    if db.prepare_cached(&sql)?.execute(params![room, STEP])? > 0 {
                        return Ok(true);
                    }
                }
                db.prepare_cached("UPDATE shredded_rooms SET cleared = 1 WHERE room_id = ?1")?.execute([room])?;
                Ok(true)
            })
            .await?;
        if !more {
            return Ok(());
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests;
