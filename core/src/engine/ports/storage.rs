//! What the local store keeps for the engine, and what it gives back after a restart.

use core::time::Duration;

use bytes::Bytes;

use crate::model::{BurstDigest, BurstHeader, EventBody, Priority};
use crate::units::{BurstId, ClientId, Cursor, FrameNo, Incarnation, RoomId, UnixMs};

/// What the local store is to keep. Each is done in order; the store need not confirm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Store {
    /// A burst began: its row.
    BurstBegun {
        /// The room.
        room: RoomId,
        /// How it is coded.
        header: BurstHeader,
        /// The weight that was asked for.
        priority: Priority,
        /// The server's time now, where it is known: so that the age is known after a restart of the device.
        server_time: Option<ServerTime>,
    },
    /// A frame of one's own burst.
    Frame {
        /// The burst.
        burst: BurstId,
        /// Its number.
        number: FrameNo,
        /// The sealed frame.
        payload: Bytes,
    },
    /// The server's log knows the burst: the floor was granted, or an offer taken.
    BurstPlaced {
        /// The burst.
        burst: BurstId,
    },
    /// The burst ended here.
    BurstEnded {
        /// The burst.
        burst: BurstId,
        /// Its last frame and the digest over all; `None`: nothing was recorded, and the burst can be forgotten.
        end: Option<(FrameNo, BurstDigest)>,
    },
    /// The burst stays on this device, not to be delivered unless somebody says so: given up, denied or refused.
    BurstHeld {
        /// The burst.
        burst: BurstId,
    },
    /// The server has all of the burst. It is kept for days all the same, to offer it to a server restored from a backup.
    BurstDelivered {
        /// The burst.
        burst: BurstId,
        /// The history of the log that has it.
        incarnation: Incarnation,
    },
    /// Somebody else's burst was played to its end here.
    BurstHeard {
        /// The room.
        room: RoomId,
        /// The burst.
        burst: BurstId,
    },
    /// Everything up to here was handed on.
    Cursor {
        /// The room.
        room: RoomId,
        /// The last event.
        cursor: Cursor,
    },
    /// A send that has no answer yet.
    Send {
        /// The room.
        room: RoomId,
        /// The client's name for it.
        client_id: ClientId,
        /// What is sent.
        body: EventBody,
    },
    /// A burst was played to its end, and the server does not know it yet.
    Heard {
        /// The room.
        room: RoomId,
        /// The burst.
        burst: BurstId,
    },
    /// A person saw everything up to here, and the server does not know it yet.
    Read {
        /// The room.
        room: RoomId,
        /// The last event seen.
        cursor: Cursor,
    },
    /// The server knows: nothing of it needs to be kept.
    ReceiptsStored {
        /// The room.
        room: RoomId,
        /// Read up to here.
        read: Option<Cursor>,
        /// These were heard.
        heard: Vec<BurstId>,
    },
    /// A send was acked, or refused for good. One that was acked is kept for days, as bursts are.
    SendDone {
        /// The client's name for it.
        client_id: ClientId,
        /// Its place in the log; `None`: refused.
        place: Option<Cursor>,
    },
}

/// A whole item that the local store kept over a restart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restored {
    /// A text that has no answer yet.
    Send {
        /// The room.
        room: RoomId,
        /// The client's name for it.
        client_id: ClientId,
        /// What to send.
        body: EventBody,
    },
    /// A burst of which no `burst.status` said that it is complete, or that a log which was restored from a backup may lack. Its
    /// frames are asked for with [`Output::LoadBurst`](super::Output::LoadBurst) when they are needed.
    Burst {
        /// The room.
        room: RoomId,
        /// How it is coded.
        header: BurstHeader,
        /// The weight that it was spoken with.
        priority: Priority,
        /// When it was spoken.
        spoken: Spoken,
        /// Whether the server's log has its `burst.started`, as far as is known here; `false` after
        /// [`Output::Reoffer`](super::Output::Reoffer).
        placed: bool,
        /// Whether another history of the log had all of it: most likely this one has it too, and nothing of it need be read.
        delivered: bool,
        /// Its last frame.
        last: FrameNo,
        /// Over all its frames.
        digest: BurstDigest,
    },
    /// What a person saw and heard in a room, of which the server does not know yet.
    Receipts {
        /// The room.
        room: RoomId,
        /// Up to where it was read.
        read: Option<Cursor>,
        /// Which bursts were heard, the oldest first.
        heard: Vec<BurstId>,
    },
}

/// The server's wall clock, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerTime {
    /// The time.
    pub at: UnixMs,
    /// How far it may be off in either direction, ms.
    pub uncertainty_ms: u64,
}

/// When a burst was spoken that the local store kept over a restart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spoken {
    /// So long ago, by a clock that ran through: the device was not started anew since.
    Ago(Duration),
    /// At this time of the server's clock, as it was estimated then.
    Server(ServerTime),
    /// So long ago by this device's wall clock, which may have been wrong or set since: give or take the second span.
    About(Duration, Duration),
}
