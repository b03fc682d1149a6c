//! Texts and bursts of this device: what waits, what is held back, what was delivered and is kept for a while.
//!
//! What was acked is kept for 7 days, at most 256 MiB of it and 10,000 texts: a server that was restored from a backup may lack
//! it, and is offered it again. What was not delivered is kept until it is, or somebody drops it: at most 1 GiB.

use core::time::Duration;
use std::collections::BTreeSet;

use bytes::Bytes;
use holler_core::burst::Recording;
use holler_core::engine::{Restored, ServerTime, Spoken};
use holler_core::model::{BurstDigest, BurstHeader, EventBody, Priority};
use holler_core::units::{BurstId, ClientId, FrameNo, Incarnation, RoomId, UnixMs};
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Inner, Store, StoreError, wall_ms};
use crate::{clock, receipts};

/// How long delivered texts and bursts are kept, to offer them to a server that was restored from a backup.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
/// Bytes of delivered bursts that are kept; beyond them the oldest go first.
const KEPT_BYTES_MAX: i64 = 256 * 1024 * 1024;
/// Delivered texts that are kept.
const KEPT_TEXTS_MAX: i64 = 10_000;
/// Bytes of bursts that wait or are held: three days of speech at 32 kbit/s. Beyond it recording is not kept over a crash.
pub(super) const WAITING_BYTES_MAX: i64 = 1024 * 1024 * 1024;
/// How far the wall clock is trusted over a restart of the device, where the server's time was not known: an hour, and a tenth of
/// the time that passed.
const WALL_UNCERTAINTY: Duration = Duration::from_secs(3_600);

/// Something that is not delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queued {
    /// Its place in the order of what was written and spoken.
    pub ord: i64,
    /// The room.
    pub room: RoomId,
    /// Whether it is held back: given up, denied or refused. Otherwise it is delivered by itself.
    pub held: bool,
    /// What it is.
    pub item: QueuedItem,
}

/// What waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueuedItem {
    /// A text.
    Text {
        /// Its name.
        client_id: ClientId,
        /// What is to be sent.
        body: EventBody,
    },
    /// A burst.
    Burst {
        /// How it is coded.
        header: BurstHeader,
        /// When it was spoken.
        spoken: Spoken,
        /// Frames that are stored.
        frames: u32,
        /// Whether the server's log knows it: then only some frames may lack there.
        placed: bool,
    },
}

impl Store {
    /// What was not finished when the client last ran, in the order in which it was written and spoken: texts without an answer,
    /// bursts that the server may not have in full. Receipts that it does not know come last.
    pub fn unfinished(&self) -> Result<Vec<Restored>, StoreError> {
        let mut found = self.inner.restored(None)?;
        found.extend(receipts::waiting(&self.inner.database())?);
        Ok(found)
    }

    /// What was acked in another history of the room's log than this one, in its order.
    pub fn acked_elsewhere(&self, room: RoomId, incarnation: Incarnation) -> Result<Vec<Restored>, StoreError> {
        self.inner.restored(Some((room, incarnation)))
    }

    /// What is not delivered, in its order.
    pub fn queue(&self) -> Result<Vec<Queued>, StoreError> {
        self.inner.queue()
    }

    /// What is held back is to be delivered after all; with `burst`, that one only. How many that were.
    pub fn release(&self, burst: Option<BurstId>) -> Result<usize, StoreError> {
        let database = self.inner.database();
        let bytes = burst.map(|burst| *burst.bytes());
        Ok(database.execute(
            "UPDATE bursts SET held = 0 WHERE held = 1 AND delivered = 0 AND (?1 IS NULL OR burst_id = ?1)",
            params![bytes],
        )?)
    }

    /// Forgets a burst that is not delivered. Whether it was there.
    pub fn drop_burst(&self, burst: BurstId) -> Result<bool, StoreError> {
        let database = self.inner.database();
        Ok(database.execute("DELETE FROM bursts WHERE burst_id = ?1 AND delivered = 0", [burst.bytes()])? > 0)
    }

    /// Forgets a text that is not delivered. Whether it was there.
    pub fn drop_text(&self, text: ClientId) -> Result<bool, StoreError> {
        let database = self.inner.database();
        Ok(database.execute("DELETE FROM sends WHERE client_id = ?1 AND acked_in IS NULL", [text.bytes()])? > 0)
    }

    /// The frames of one's own burst, from 1, as far as they were recorded without a hole.
    pub fn own_frames(&self, burst: BurstId) -> Result<Vec<Bytes>, StoreError> {
        let found = self.inner.frames(&self.inner.database(), burst);
        if let Err(error) = &found {
            self.inner.note(error);
        }
        found
    }

    /// How one's own burst is coded, where it is here.
    pub fn own_header(&self, burst: BurstId) -> Result<Option<BurstHeader>, StoreError> {
        let database = self.inner.database();
        let mut select = database.prepare("SELECT header FROM bursts WHERE burst_id = ?1")?;
        let text: Option<String> = select.query_row([burst.bytes()], |row| row.get(0)).optional()?;
        text.map(|text| serde_json::from_str(&text).map_err(|e| StoreError::Content(e.to_string()))).transpose()
    }

    /// The bursts of others in a room that were played to their end here.
    pub fn heard(&self, room: RoomId) -> Result<BTreeSet<BurstId>, StoreError> {
        let database = self.inner.database();
        let mut select = database.prepare("SELECT burst_id FROM heard WHERE room_id = ?1")?;
        let rows = select.query_map([room.bytes()], |row| Ok(BurstId::from_bytes(row.get(0)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

struct StoredBurst {
    ord: i64,
    burst: BurstId,
    room: RoomId,
    header: String,
    priority: String,
    spoken: Spoken,
    placed: bool,
    held: bool,
    end: Option<(FrameNo, BurstDigest)>,
}

impl StoredBurst {
    const COLUMNS: &str = "ord, burst_id, room_id, header, priority, begun_at, boot, begun_us, server_at, \
                           server_uncertainty, granted, held, last_frame, digest";

    fn of(row: &Row<'_>) -> rusqlite::Result<Self> {
        let (begun_at, boot, begun_us): (i64, String, i64) = (row.get(5)?, row.get(6)?, row.get(7)?);
        let server: Option<(i64, i64)> = row.get::<_, Option<i64>>(8)?.zip(row.get(9)?);
        let last: Option<u16> = row.get(12)?;
        Ok(Self {
            ord: row.get(0)?,
            burst: BurstId::from_bytes(row.get(1)?),
            room: RoomId::from_bytes(row.get(2)?),
            header: row.get(3)?,
            priority: row.get(4)?,
            spoken: spoken(begun_at, &boot, begun_us, server),
            placed: row.get(10)?,
            held: row.get(11)?,
            end: last.map(FrameNo).zip(row.get::<_, Option<[u8; 32]>>(13)?.map(BurstDigest)),
        })
    }

    fn header(&self) -> Result<BurstHeader, StoreError> {
        serde_json::from_str(&self.header).map_err(|error| StoreError::Content(error.to_string()))
    }
}

/// When something was begun, by the best of the clocks that were noted.
fn spoken(begun_at: i64, boot: &str, begun_us: i64, server: Option<(i64, i64)>) -> Spoken {
    if boot == clock::boot() {
        return Spoken::Ago(Duration::from_micros(clock::now().0.saturating_sub(begun_us.unsigned_abs())));
    }
    if let Some((at, uncertainty)) = server {
        return Spoken::Server(ServerTime {
            at: UnixMs(at.unsigned_abs()),
            uncertainty_ms: uncertainty.unsigned_abs(),
        });
    }
    let ago = Duration::from_millis(u64::try_from(wall_ms().saturating_sub(begun_at)).unwrap_or(0));
    Spoken::About(ago, WALL_UNCERTAINTY + ago / 10)
}

/// Bytes of the bursts that are not delivered.
pub(super) fn waiting_bytes(database: &Connection) -> Result<i64, StoreError> {
    let mut select = database.prepare_cached(
        "SELECT coalesce(sum(length(sealed)), 0) FROM frames WHERE burst_id IN \
         (SELECT burst_id FROM bursts WHERE delivered = 0)",
    )?;
    Ok(select.query_row([], |row| row.get(0))?)
}

impl Inner {
    pub(super) fn frames(&self, database: &Connection, burst: BurstId) -> Result<Vec<Bytes>, StoreError> {
        let mut frames =
            database.prepare_cached("SELECT number, sealed FROM frames WHERE burst_id = ?1 ORDER BY number")?;
        let rows = frames.query_map([burst.bytes()], |row| Ok((row.get::<_, u16>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        let mut found: Vec<Bytes> = Vec::new();
        for row in rows {
            let (number, sealed) = row?;
            if usize::from(number) != found.len() + 1 {
                // The disk was full for a while: what follows the hole can't be told from what is before it.
                break;
            }
            let place = [burst.bytes().as_slice(), &number.to_be_bytes()];
            found.push(self.key.open(&super::place_of("frames", &place), &sealed)?.into());
        }
        Ok(found)
    }

    /// What is not finished, or, with a room and its history, what was acked in another history of it.
    fn restored(&self, other_than: Option<(RoomId, Incarnation)>) -> Result<Vec<Restored>, StoreError> {
        let (room, incarnation) = other_than.map(|(room, incarnation)| (*room.bytes(), *incarnation.bytes())).unzip();
        let database = self.database();
        let mut found: Vec<(i64, Restored)> = Vec::new();
        let mut sends = database.prepare(
            "SELECT client_id, room_id, body, ord FROM sends WHERE \
             CASE WHEN ?1 IS NULL THEN acked_in IS NULL ELSE room_id = ?1 AND acked_in IS NOT NULL AND acked_in <> ?2 END",
        )?;
        let rows = sends.query_map(params![room, incarnation], |row| {
            let (client_id, room) = (ClientId::from_bytes(row.get(0)?), RoomId::from_bytes(row.get(1)?));
            Ok((client_id, room, row.get::<_, Vec<u8>>(2)?, row.get::<_, i64>(3)?))
        })?;
        for row in rows {
            let (client_id, room, sealed, ord) = row?;
            match self.open("sends", &[client_id.bytes()], &sealed) {
                Ok(body) => found.push((ord, Restored::Send { room, client_id, body })),
                // One that is damaged must not keep the others from going out.
                Err(error) => self.fault(format!("the text {client_id} can't be read, and is not sent: {error}")),
            }
        }
        let sql = format!(
            "SELECT {} FROM bursts WHERE held = 0 AND \
             CASE WHEN ?1 IS NULL THEN delivered = 0 ELSE room_id = ?1 AND delivered = 1 AND delivered_in <> ?2 END",
            StoredBurst::COLUMNS
        );
        let mut bursts = database.prepare(&sql)?;
        let rows = bursts.query_map(params![room, incarnation], StoredBurst::of)?;
        for row in rows {
            let row = row?;
            let header = row.header()?;
            let priority: Priority = row.priority.parse().map_err(StoreError::Content)?;
            let end = match row.end {
                Some(end) => Some(end),
                // The client died while it was spoken: it ends with what was kept.
                None => match self.frames(&database, row.burst) {
                    Ok(frames) => ended(frames),
                    Err(error) => {
                        self.fault(format!("the burst {} can't be read, and is not delivered: {error}", row.burst));
                        None
                    }
                },
            };
            let Some((last, digest)) = end else { continue };
            let (room, spoken) = (row.room, row.spoken);
            let delivered = other_than.is_some();
            let placed = row.placed && !delivered;
            found.push((row.ord, Restored::Burst { room, header, priority, spoken, placed, delivered, last, digest }));
        }
        found.sort_by_key(|(ord, _)| *ord);
        Ok(found.into_iter().map(|(_, restored)| restored).collect())
    }

    fn queue(&self) -> Result<Vec<Queued>, StoreError> {
        let database = self.database();
        let mut found = Vec::new();
        let mut sends = database.prepare("SELECT client_id, room_id, body, ord FROM sends WHERE acked_in IS NULL")?;
        let rows = sends.query_map([], |row| {
            let (client_id, room) = (ClientId::from_bytes(row.get(0)?), RoomId::from_bytes(row.get(1)?));
            Ok((client_id, room, row.get::<_, Vec<u8>>(2)?, row.get::<_, i64>(3)?))
        })?;
        for row in rows {
            let (client_id, room, sealed, ord) = row?;
            let body = self.open("sends", &[client_id.bytes()], &sealed)?;
            found.push(Queued { ord, room, held: false, item: QueuedItem::Text { client_id, body } });
        }
        let sql = format!(
            "SELECT {}, (SELECT count(*) FROM frames WHERE frames.burst_id = bursts.burst_id) FROM bursts \
             WHERE delivered = 0",
            StoredBurst::COLUMNS
        );
        let mut bursts = database.prepare(&sql)?;
        let rows = bursts.query_map([], |row| Ok((StoredBurst::of(row)?, row.get::<_, u32>(14)?)))?;
        for row in rows {
            let (row, frames) = row?;
            let item = QueuedItem::Burst { header: row.header()?, spoken: row.spoken, frames, placed: row.placed };
            found.push(Queued { ord: row.ord, room: row.room, held: row.held, item });
        }
        found.sort_by_key(|queued| queued.ord);
        Ok(found)
    }

    /// Forgets what was delivered and kept long enough, or is more than is kept; and bursts of which not one frame was recorded.
    pub(super) fn prune(&self) -> Result<(), StoreError> {
        let database = self.database();
        let before = wall_ms().saturating_sub(i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX));
        database.execute("DELETE FROM bursts WHERE delivered = 1 AND done_at < ?1", [before])?;
        database.execute("DELETE FROM sends WHERE acked_in IS NOT NULL AND done_at < ?1", [before])?;
        database.execute("DELETE FROM heard WHERE at < ?1", [before.saturating_sub(30 * 24 * 3_600_000)])?;
        database.execute(
            "DELETE FROM sends WHERE acked_in IS NOT NULL AND ord <= \
             (SELECT ord FROM sends WHERE acked_in IS NOT NULL ORDER BY ord DESC LIMIT 1 OFFSET ?1)",
            [KEPT_TEXTS_MAX],
        )?;
        database.execute(
            "DELETE FROM bursts WHERE delivered = 1 AND ord IN (SELECT ord FROM (SELECT bursts.ord AS ord, \
             sum(size) OVER (ORDER BY bursts.ord DESC) AS newer FROM bursts JOIN (SELECT burst_id, sum(length(sealed)) AS size \
             FROM frames GROUP BY burst_id) AS sizes ON sizes.burst_id = bursts.burst_id WHERE delivered = 1) \
             WHERE newer > ?1)",
            [KEPT_BYTES_MAX],
        )?;
        Ok(())
    }
}

/// Where a recording ends that was cut off.
fn ended(frames: Vec<Bytes>) -> Option<(FrameNo, BurstDigest)> {
    let mut recording = Recording::new();
    for frame in frames {
        recording.push(frame).ok()?;
    }
    recording.end()
}
