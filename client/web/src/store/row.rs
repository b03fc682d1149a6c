//! What the rows say.

use bytes::Bytes;
use holler_core::engine::Restored;
use holler_core::model::{BurstDigest, BurstHeader, EventBody, Priority};
use holler_core::units::{BurstId, ClientId, Cursor, FrameNo, RoomId, UnixMs};
use serde::{Deserialize, Serialize};

use super::{HeardBursts, spoken};

/// A text of this device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct TextRow {
    pub(super) ord: u64,
    pub(super) room: RoomId,
    /// When it was written, by this device's wall clock.
    pub(super) at: UnixMs,
    pub(super) body: EventBody,
    /// The row's name as something acked, where it is offered again.
    #[serde(skip)]
    pub(super) done: Option<String>,
}

impl TextRow {
    pub(super) fn restored(&self, client_id: ClientId) -> Restored {
        Restored::Send { room: self.room, client_id, body: self.body.clone() }
    }
}

/// A burst of this device.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct BurstRow {
    pub(super) ord: u64,
    pub(super) room: RoomId,
    pub(super) header: BurstHeader,
    pub(super) priority: Priority,
    /// By this device's wall clock.
    pub(super) begun: UnixMs,
    /// By the server's clock, where it was known, and how far that may be off, ms.
    pub(super) server: Option<(UnixMs, u64)>,
    /// The server's log knows it.
    pub(super) placed: bool,
    /// It is not to be delivered unless somebody says so.
    pub(super) held: bool,
    pub(super) end: Option<(FrameNo, BurstDigest)>,
    /// The browser went down while it was spoken.
    pub(super) cut: bool,
    /// Of its frames.
    pub(super) bytes: u64,
    #[serde(skip)]
    pub(super) done: Option<String>,
}

impl BurstRow {
    pub(super) fn new(
        ord: u64,
        room: RoomId,
        header: BurstHeader,
        priority: Priority,
        begun: UnixMs,
        server: Option<(UnixMs, u64)>,
    ) -> Self {
        let (placed, held, cut) = (false, false, false);
        Self { ord, room, header, priority, begun, server, placed, held, end: None, cut, bytes: 0, done: None }
    }

    /// `None`: it is being spoken.
    pub(super) fn restored(&self, now: UnixMs) -> Option<Restored> {
        let (last, digest) = self.end?;
        let Self { room, header, priority, placed, .. } = *self;
        let (spoken, delivered) = (spoken(now, self.begun, self.server), self.done.is_some());
        Some(Restored::Burst { room, header, priority, spoken, placed, delivered, last, digest })
    }

    pub(super) fn queued(&self, now: UnixMs) -> Queued {
        let length_ms = self.end.map(|(last, _)| {
            u32::from(last.0).saturating_mul(u32::try_from(self.header.frame_ms.duration().as_millis()).unwrap_or(0))
        });
        let item = QueuedItem::Burst { burst: self.header.burst, length_ms, cut: self.cut };
        // By a clock that was set back it would lie ahead.
        Queued { room: self.room, held: self.held, since: self.begun.min(now), item }
    }
}

/// What a person saw and heard in a room.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ReceiptsRow {
    pub(super) read: Option<Cursor>,
    pub(super) heard: HeardBursts,
}

/// Something that is not delivered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queued {
    /// The room.
    pub room: RoomId,
    /// Whether it is held back: given up, denied or refused. Otherwise it is delivered by itself.
    pub held: bool,
    /// Since when, by this device's wall clock.
    pub since: UnixMs,
    /// What it is.
    pub item: QueuedItem,
}

/// What waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueuedItem {
    /// A text.
    Text {
        /// Its name.
        client_id: ClientId,
        /// What it says.
        text: String,
    },
    /// A burst.
    Burst {
        /// Its name.
        burst: BurstId,
        /// How long it is; `None`: it is being spoken.
        length_ms: Option<u32>,
        /// Whether it ends where the browser went down.
        cut: bool,
    },
}

/// A frame in a chunk: its length (u16, big-endian), then its bytes.
pub(super) fn write_frame(chunk: &mut Vec<u8>, payload: &[u8]) {
    // A frame has at most 1,307 bytes.
    chunk.extend(u16::try_from(payload.len()).unwrap_or(0).to_be_bytes());
    chunk.extend(payload);
}

/// The frames of a chunk.
pub(super) fn read_frames(mut chunk: &[u8]) -> Vec<Bytes> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = chunk.split_first_chunk::<2>() {
        let Some((frame, rest)) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length))) else { break };
        frames.push(Bytes::copy_from_slice(frame));
        chunk = rest;
    }
    frames
}
