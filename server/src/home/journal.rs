//! What a home must make durable, in order.
//!
//! A room's home writes one entry at a time: a chunk of frames before the event that says they are there, `burst.started`
//! before the chunks of its burst. An entry whose outcome is not known, or that the store can't take now, is tried again: both
//! kinds of entry are idempotent.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use holler_core::model::EventBody;
use holler_core::units::{BurstId, ClientId, DeviceId, FrameNo, Mono, RoomId, UserId};

use crate::clock::Clock;
use crate::storage::{AppendError, StoreError};

/// How long to wait before an entry is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// Entries that may wait before floor requests are denied.
const ENTRIES_MAX: usize = 256;

/// One thing to write.
#[derive(Clone, Debug)]
pub enum Entry {
    /// Frames of a burst.
    Chunk {
        /// The burst.
        burst: BurstId,
        /// Its frames.
        frames: Vec<(FrameNo, Bytes)>,
    },
    /// An event.
    Event {
        /// The burst that it is about, if any.
        burst: Option<BurstId>,
        /// Who made it.
        user: UserId,
        /// From which device.
        device: DeviceId,
        /// Its name, so that writing it twice stores it once.
        client_id: ClientId,
        /// What happened.
        body: EventBody,
    },
}

impl Entry {
    /// The burst that it is about.
    pub fn burst(&self) -> Option<BurstId> {
        match self {
            Self::Chunk { burst, .. } => Some(*burst),
            Self::Event { burst, .. } => *burst,
        }
    }
}

/// How writing an entry ended.
#[derive(Debug)]
pub enum Outcome {
    /// It is committed and synced.
    Written,
    /// It was so before: by an earlier try, or by an earlier home.
    Before,
    /// Not now, or not known: try again.
    Retry(StoreError),
    /// Never: it would be refused again.
    Refused(String),
}

impl From<&AppendError> for Outcome {
    fn from(error: &AppendError) -> Self {
        match error {
            AppendError::Store(error) => not_stored(error),
            AppendError::Refused(_) | AppendError::NoSuchRoom(_) => Self::Refused(error.to_string()),
        }
    }
}

impl From<&StoreError> for Outcome {
    fn from(error: &StoreError) -> Self {
        not_stored(error)
    }
}

/// Whether what the store did not do may succeed later.
fn not_stored(error: &StoreError) -> Outcome {
    let passing = matches!(
        error,
        StoreError::DiskFull
            | StoreError::StorageFull { .. }
            | StoreError::ReadOnly(_)
            | StoreError::Busy
            | StoreError::Unknown(_)
            | StoreError::Abandoned
            | StoreError::Panicked
            | StoreError::Random(_)
            | StoreError::Sqlite(_)
    );
    if passing { Outcome::Retry(error.clone()) } else { Outcome::Refused(error.to_string()) }
}

/// The queue of entries, and the one that is being written.
pub(super) struct Journal {
    room: RoomId,
    clock: Clock,
    waiting: VecDeque<Entry>,
    retry_at: Option<Mono>,
    writing: bool,
}

impl Journal {
    pub(super) fn new(room: RoomId, clock: Clock) -> Self {
        Self { room, clock, waiting: VecDeque::new(), retry_at: None, writing: false }
    }

    /// Adds an entry. Their number is bounded by the bursts a home keeps: three events each, and chunks only while
    /// [`Journal::is_short`].
    pub(super) fn push(&mut self, entry: Entry) {
        self.waiting.push_back(entry);
    }

    /// Whether few entries wait, so that frames may be taken from memory into chunks.
    pub(super) fn is_short(&self) -> bool {
        self.waiting.len() < 16
    }

    /// Whether so much waits that nothing more should be begun: the store takes nothing at the moment.
    pub(super) fn is_stuck(&self) -> bool {
        self.waiting.len() >= ENTRIES_MAX
    }

    /// Forgets what waits for a burst, because something before it was refused: an event must not tell of frames that are not
    /// stored. To be called while nothing is being written.
    pub(super) fn forget(&mut self, burst: BurstId) {
        self.waiting.retain(|entry| entry.burst() != Some(burst));
    }

    /// Whether nothing is left to write.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// When the next entry may be written, if one waits and none is being written.
    pub(super) fn due(&self) -> Option<Mono> {
        (!self.writing && !self.waiting.is_empty()).then(|| self.retry_at.unwrap_or_default())
    }

    /// The first entry, to be written; [`Journal::settled`] must be called with what came of it.
    pub(super) fn write(&mut self) -> Option<Entry> {
        let entry = self.waiting.front()?.clone();
        self.writing = true;
        Some(entry)
    }

    /// The entry that was being written has an outcome. Gives the entry when it is done with.
    pub(super) fn settled(&mut self, outcome: &Outcome) -> Option<Entry> {
        self.writing = false;
        match outcome {
            Outcome::Written | Outcome::Before => {
                self.retry_at = None;
                self.waiting.pop_front()
            }
            Outcome::Retry(why) => {
                tracing::warn!(room = %self.room, %why, "an entry of the journal could not be written; trying again");
                self.retry_at = Some(self.clock.now() + RETRY);
                None
            }
            Outcome::Refused(why) => {
                tracing::error!(room = %self.room, why, "an entry of the journal was refused");
                self.retry_at = None;
                self.waiting.pop_front()
            }
        }
    }
}
