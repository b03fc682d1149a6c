//! What is known of each burst, and its frames in chunks of about a second.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};
use holler_core::log::{BurstFacts, End};
use holler_core::model::{BurstDigest, BurstHeader, Event, EventBody, FrameRange, Priority};
use holler_core::seal::Place;
use holler_core::units::{Bitrate, BurstId, BurstStep, DeviceId, FrameMs, FrameNo, RoomId, Seq, UnixMs, UserId};
use holler_core::wire::frames;
use holler_core::wire::limits::{BURST_BYTES_MAX, FRAME_BYTES_MAX, FRAMES_PER_BURST_MAX};
use rusqlite::{Connection, OptionalExtension, params};

use super::Store;
use super::columns::{epoch, int, seq, time, word};
use super::error::StoreError;
use super::vault::Vault;

/// What the log says about a burst, and which of its frames are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BurstRecord {
    /// How to play it.
    pub header: BurstHeader,
    /// Who spoke.
    pub user: UserId,
    /// From which device: only it may add frames.
    pub device: DeviceId,
    /// The priority it was spoken with.
    pub priority: Priority,
    /// Its `burst.started`.
    pub seq: Seq,
    /// When the server received that.
    pub received_at: UnixMs,
    /// When it was spoken, by the server's clock.
    pub spoken_at: UnixMs,
    /// How it ended.
    pub end: End,
    /// Whether the log says that every frame is there.
    pub complete: bool,
    /// The frames that are stored.
    pub present: Vec<FrameRange>,
    /// Their bytes in all.
    pub bytes: u64,
}

impl Store {
    /// What is known of a burst.
    pub async fn burst(&self, room: RoomId, burst: BurstId) -> Result<Option<BurstRecord>, StoreError> {
        self.read(move |db| find(db, room, burst)).await
    }

    /// Whether a burst of this device was once begun in the room, as far as the answers to sends are kept: retention may have
    /// removed it since.
    pub async fn was_begun(&self, room: RoomId, device: DeviceId, burst: BurstId) -> Result<bool, StoreError> {
        self.read(move |db| {
            let client_id = burst.client_id(BurstStep::Started);
            let mut select =
                db.prepare_cached("SELECT 1 FROM sends WHERE room_id = ?1 AND device_id = ?2 AND client_id = ?3")?;
            Ok(select.exists(params![room.bytes(), device.bytes(), client_id.bytes()])?)
        })
        .await
    }

    /// Stores frames of a burst that has started, as one chunk. Frames that are there already stay as they are. Gives how many
    /// were new.
    ///
    /// Whether the sender may is the caller's to check. Refused as a whole where a number or length is outside its bounds or
    /// the burst would grow beyond 5 MiB.
    pub async fn put_frames(
        &self,
        room: RoomId,
        burst: BurstId,
        new: Vec<(FrameNo, Bytes)>,
    ) -> Result<usize, StoreError> {
        if let Some(closed) = self.closed_for() {
            return Err(closed);
        }
        let vault = self.vault().clone();
        self.write(move |db| put(db, &vault, room, burst, &new)).await
    }

    /// The stored frames with numbers `from` to `to`, both included, in order.
    pub async fn frames(
        &self,
        room: RoomId,
        burst: BurstId,
        from: FrameNo,
        to: FrameNo,
    ) -> Result<Vec<(FrameNo, Bytes)>, StoreError> {
        let vault = self.vault().clone();
        self.read(move |db| frames_between(db, &vault, room, burst, from, to)).await
    }

    /// The bursts of a room that began and neither ended nor were interrupted: what a home that starts again has to end.
    pub async fn open_bursts(&self, room: RoomId) -> Result<Vec<BurstId>, StoreError> {
        self.read(move |db| {
            let mut select =
                db.prepare_cached("SELECT burst_id FROM bursts WHERE room_id = ?1 AND end_seq IS NULL ORDER BY seq")?;
            let rows = select.query_map([room.bytes()], |row| Ok(BurstId::from_bytes(row.get(0)?)))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

/// What the log machine wants to know of a burst.
pub(super) fn facts(db: &Connection, room: RoomId, burst: BurstId) -> Result<Option<BurstFacts>, StoreError> {
    let row = db
        .prepare_cached(
            "SELECT device_id, end_seq IS NULL, last_frame, digest, complete_seq IS NOT NULL FROM bursts \
             WHERE room_id = ?1 AND burst_id = ?2",
        )?
        .query_row(params![room.bytes(), burst.bytes()], |row| {
            Ok(BurstFacts {
                device: DeviceId::from_bytes(row.get(0)?),
                end: end(row.get(1)?, row.get(2)?, row.get(3)?),
                complete: row.get(4)?,
            })
        })
        .optional()?;
    Ok(row)
}

fn end(open: bool, last: Option<u16>, digest: Option<[u8; 32]>) -> End {
    match (open, last, digest) {
        (true, _, _) => End::Open,
        (false, Some(last), Some(digest)) => End::Committed { last: FrameNo(last), digest: BurstDigest(digest) },
        (false, _, _) => End::Interrupted,
    }
}

/// Notes what an event says about its burst.
pub(super) fn record(db: &Connection, event: &Event) -> Result<(), StoreError> {
    let (room, number) = (event.room, int(event.seq.0));
    let end =
        |burst: &BurstId, last: FrameNo, digest: Option<&BurstDigest>, complete: bool| -> Result<(), StoreError> {
            db.prepare_cached(
                "UPDATE bursts SET end_seq = ?3, last_frame = ?4, digest = ?5, complete_seq = ?6 \
             WHERE room_id = ?1 AND burst_id = ?2",
            )?
            .execute(params![
                room.bytes(),
                burst.bytes(),
                number,
                last.0,
                digest.map(|digest| digest.0),
                complete.then_some(number)
            ])?;
            Ok(())
        };
    match &event.body {
        EventBody::BurstStarted { header, priority, spoken_ago_ms, .. } => {
            db.prepare_cached(
                "INSERT INTO bursts (room_id, burst_id, user_id, device_id, seq, received_at, spoken_at, codec, frame_ms, \
                 bitrate, key_epoch, priority) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)",
            )?
            .execute(params![
                room.bytes(),
                header.burst.bytes(),
                event.user.bytes(),
                event.device.bytes(),
                number,
                int(event.received_at.0),
                int(event.received_at.0.saturating_sub(*spoken_ago_ms)),
                header.codec.as_str(),
                header.frame_ms.ms(),
                header.bitrate.0,
                int(header.key_epoch.0),
                priority.as_str(),
            ])?;
            Ok(())
        }
        EventBody::BurstCommitted { burst, last, digest, missing } => {
            end(burst, *last, Some(digest), missing.is_empty())
        }
        EventBody::BurstInterrupted { burst, last_received } => end(burst, *last_received, None, false),
        EventBody::BurstCompleted { burst, last, digest } => {
            db.prepare_cached(
                "UPDATE bursts SET last_frame = ?3, digest = ?4, complete_seq = ?5 WHERE room_id = ?1 AND burst_id = ?2",
            )?
            .execute(params![room.bytes(), burst.bytes(), last.0, digest.0, number])?;
            Ok(())
        }
        EventBody::MessagePosted { .. }
        | EventBody::MessageEdited { .. }
        | EventBody::MessageDeleted { .. }
        | EventBody::EmergencyRaised {}
        | EventBody::EmergencyCleared { .. } => Ok(()),
    }
}

/// See [`Store::burst`].
pub fn find(db: &Connection, room: RoomId, burst: BurstId) -> Result<Option<BurstRecord>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT user_id, device_id, seq, received_at, spoken_at, codec, frame_ms, bitrate, key_epoch, priority, \
         end_seq IS NULL, last_frame, digest, complete_seq IS NOT NULL, bytes FROM bursts \
         WHERE room_id = ?1 AND burst_id = ?2",
    )?;
    let mut rows = select.query(params![room.bytes(), burst.bytes()])?;
    let Some(row) = rows.next()? else { return Ok(None) };
    let frame_ms = FrameMs::try_from(row.get::<_, u8>(6)?).map_err(StoreError::Damaged)?;
    Ok(Some(BurstRecord {
        header: BurstHeader {
            burst,
            codec: word(&row.get::<_, String>(5)?, "a burst's codec")?,
            frame_ms,
            bitrate: Bitrate(row.get(7)?),
            key_epoch: epoch(row.get(8)?)?,
        },
        user: UserId::from_bytes(row.get(0)?),
        device: DeviceId::from_bytes(row.get(1)?),
        priority: word(&row.get::<_, String>(9)?, "a burst's priority")?,
        seq: seq(row.get(2)?)?,
        received_at: time(row.get(3)?)?,
        spoken_at: time(row.get(4)?)?,
        end: end(row.get(10)?, row.get(11)?, row.get(12)?),
        complete: row.get(13)?,
        present: present(db, room, burst)?.ranges(),
        bytes: super::columns::uint(row.get(14)?, "a burst's size")?,
    }))
}

/// Which frames there are, and in which chunk.
#[derive(Default)]
struct Present(BTreeMap<u16, i64>);

impl Present {
    fn ranges(&self) -> Vec<FrameRange> {
        let mut ranges: Vec<FrameRange> = Vec::new();
        for number in self.0.keys().copied() {
            match ranges.last_mut() {
                Some(range) if range.to.0.checked_add(1) == Some(number) => range.to = FrameNo(number),
                _ => ranges.push(FrameRange { from: FrameNo(number), to: FrameNo(number) }),
            }
        }
        ranges
    }
}

fn present(db: &Connection, room: RoomId, burst: BurstId) -> Result<Present, StoreError> {
    let mut select =
        db.prepare_cached("SELECT chunk, ranges FROM chunks WHERE room_id = ?1 AND burst_id = ?2 ORDER BY chunk")?;
    let mut rows = select.query(params![room.bytes(), burst.bytes()])?;
    let mut present = Present::default();
    while let Some(row) = rows.next()? {
        let chunk = row.get(0)?;
        for (from, to) in read_ranges(&row.get::<_, Vec<u8>>(1)?)? {
            present.0.extend((from..=to).map(|number| (number, chunk)));
        }
    }
    Ok(present)
}

fn read_ranges(bytes: &[u8]) -> Result<Vec<(u16, u16)>, StoreError> {
    if !bytes.len().is_multiple_of(4) {
        return Err(StoreError::Damaged("the ranges of a chunk".to_owned()));
    }
    let ranges = bytes.chunks_exact(4).map(|pair| {
        let (from, to) = (u16::from_be_bytes([pair[0], pair[1]]), u16::from_be_bytes([pair[2], pair[3]]));
        if from == 0 || from > to || to > FRAMES_PER_BURST_MAX {
            return Err(StoreError::Damaged("the ranges of a chunk".to_owned()));
        }
        Ok((from, to))
    });
    ranges.collect()
}

/// See [`Store::put_frames`].
pub fn put(
    db: &Connection,
    vault: &Vault,
    room: RoomId,
    burst: BurstId,
    new: &[(FrameNo, Bytes)],
) -> Result<usize, StoreError> {
    let counters: Option<(i64, i64)> = db
        .prepare_cached("SELECT bytes, next_chunk FROM bursts WHERE room_id = ?1 AND burst_id = ?2")?
        .query_row(params![room.bytes(), burst.bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    let Some((stored, chunk)) = counters else {
        return Err(StoreError::OutOfBounds(format!("there is no burst {burst} in this room")));
    };
    let there = present(db, room, burst)?;
    let mut frames: BTreeMap<u16, &Bytes> = BTreeMap::new();
    for (number, payload) in new {
        if !(1..=FRAMES_PER_BURST_MAX).contains(&number.0) {
            let detail = format!("frame numbers go from 1 to {FRAMES_PER_BURST_MAX}; found {number}");
            return Err(StoreError::OutOfBounds(detail));
        }
        if !(1..=FRAME_BYTES_MAX).contains(&payload.len()) {
            let detail = format!("frame {number} has 1 to {FRAME_BYTES_MAX} bytes; found {}", payload.len());
            return Err(StoreError::OutOfBounds(detail));
        }
        if !there.0.contains_key(&number.0) {
            frames.entry(number.0).or_insert(payload);
        }
    }
    if frames.is_empty() {
        return Ok(0);
    }
    let added: usize = frames.values().map(|payload| payload.len()).sum();
    let total = stored.saturating_add(i64::try_from(added).unwrap_or(i64::MAX));
    if total > i64::try_from(BURST_BYTES_MAX).unwrap_or(i64::MAX) {
        return Err(StoreError::OutOfBounds(format!("a burst has at most {BURST_BYTES_MAX} bytes; found {total}")));
    }
    let mut body = BytesMut::with_capacity(added + 4 * frames.len());
    for (number, payload) in &frames {
        frames::put(&mut body, FrameNo(*number), payload);
    }
    let numbers = Present(frames.keys().map(|number| (*number, chunk)).collect());
    let ranges: Vec<u8> = numbers
        .ranges()
        .iter()
        .flat_map(|range| [range.from.0.to_be_bytes(), range.to.0.to_be_bytes()])
        .flatten()
        .collect();
    let sealed = in_its_place(room, burst, chunk, &ranges, |place| {
        vault.room(db, room).and_then(|sealer| sealer.seal(place, &body))
    })?;
    db.prepare_cached("INSERT INTO chunks (room_id, burst_id, chunk, ranges, frames) VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![room.bytes(), burst.bytes(), chunk, ranges, sealed])?;
    db.prepare_cached("UPDATE bursts SET bytes = ?3, next_chunk = ?4 WHERE room_id = ?1 AND burst_id = ?2")?
        .execute(params![room.bytes(), burst.bytes(), total, chunk + 1])?;
    Ok(frames.len())
}

/// See [`Store::frames`].
pub fn frames_between(
    db: &Connection,
    vault: &Vault,
    room: RoomId,
    burst: BurstId,
    from: FrameNo,
    to: FrameNo,
) -> Result<Vec<(FrameNo, Bytes)>, StoreError> {
    if from > to {
        return Ok(Vec::new());
    }
    let there = present(db, room, burst)?;
    let mut chunks: Vec<i64> = there.0.range(from.0..=to.0).map(|(_, chunk)| *chunk).collect();
    chunks.sort_unstable();
    chunks.dedup();
    if chunks.is_empty() {
        return Ok(Vec::new());
    }
    let sealer = vault.room(db, room)?;
    let mut select =
        db.prepare_cached("SELECT ranges, frames FROM chunks WHERE room_id = ?1 AND burst_id = ?2 AND chunk = ?3")?;
    let mut found = BTreeMap::new();
    for chunk in chunks {
        let (ranges, sealed): (Vec<u8>, Vec<u8>) =
            select.query_row(params![room.bytes(), burst.bytes(), chunk], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let body = in_its_place(room, burst, chunk, &ranges, |place| sealer.open(place, &sealed))?;
        let frames = frames::decode(Bytes::from(body))
            .map_err(|error| StoreError::Damaged(format!("chunk {chunk} of {burst}: {error}")))?;
        found.extend(frames.into_iter().filter(|(number, _)| (from..=to).contains(number)));
    }
    Ok(found.into_iter().collect())
}

/// The frames are bound to their chunk and to the ranges told about it.
fn in_its_place<T>(room: RoomId, burst: BurstId, chunk: i64, ranges: &[u8], f: impl FnOnce(&Place<'_>) -> T) -> T {
    let chunk = chunk.to_be_bytes();
    let row: [&[u8]; 4] = [room.bytes(), burst.bytes(), &chunk, ranges];
    f(&Place { table: "chunks", column: "frames", row: &row })
}
