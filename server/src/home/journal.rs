//! What a home must make durable, in order.
//!
//! A room's home writes one entry at a time: a chunk of frames before the event that says they are there, `burst.started`
//! before the chunks of its burst. An entry whose outcome is not known, or that the store can't take now, is tried again: both
//! kinds of entry are idempotent.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use holler_core::model::{EventBody, Role};
use holler_core::units::{BurstId, ClientId, DeviceId, FrameNo, Mono, RoomId, UserId};

use crate::clock::Clock;
use crate::storage::{Append, AppendError, Store, StoreError};

/// How long to wait before an entry is tried again.
const RETRY: Duration = Duration::from_millis(250);

/// Entries that may wait before floor requests are denied.
const ENTRIES_MAX: usize = 256;

/// One thing to write.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// Frames of a burst.
    Chunk { burst: BurstId, frames: Vec<(FrameNo, Bytes)> },
    /// An event.
    Event { burst: Option<BurstId>, user: UserId, device: DeviceId, client_id: ClientId, body: EventBody },
}

impl Entry {
    /// The burst that it is about.
    pub(super) fn burst(&self) -> Option<BurstId> {
        match self {
            Self::Chunk { burst, .. } => Some(*burst),
            Self::Event { burst, .. } => *burst,
        }
    }
}

/// How writing an entry ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is committed and synced.
    Written,
    /// Not now, or not known: try again.
    Retry(String),
    /// Never: it would be refused again.
    Refused(String),
}

/// Whether what the store did not do may succeed later.
fn not_stored(error: &StoreError) -> Outcome {
    let passing = matches!(
        error,
        StoreError::DiskFull
            | StoreError::Busy
            | StoreError::Unknown(_)
            | StoreError::Abandoned
            | StoreError::Panicked
            | StoreError::Random(_)
            | StoreError::Sqlite(_)
    );
    if passing { Outcome::Retry(error.to_string()) } else { Outcome::Refused(error.to_string()) }
}

/// The queue of entries, and the one that is being written.
pub(super) struct Journal {
    room: RoomId,
    store: Store,
    clock: Clock,
    waiting: VecDeque<Entry>,
    retry_at: Option<Mono>,
    writing: bool,
}

impl Journal {
    pub(super) fn new(room: RoomId, store: Store, clock: Clock) -> Self {
        Self { room, store, clock, waiting: VecDeque::new(), retry_at: None, writing: false }
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

    /// Writes the first entry; [`Journal::settled`] must be called with what the future gives.
    pub(super) fn write(&mut self) -> Option<impl Future<Output = Outcome> + Send + 'static> {
        let entry = self.waiting.front()?.clone();
        self.writing = true;
        let (room, store, clock) = (self.room, self.store.clone(), self.clock);
        Some(async move {
            match entry {
                Entry::Chunk { burst, frames } => match store.put_frames(room, burst, frames).await {
                    Ok(_new) => Outcome::Written,
                    Err(error) => not_stored(&error),
                },
                Entry::Event { burst: _, user, device, client_id, body } => {
                    let received_at = clock.unix();
                    // The role matters for deleting what others wrote, which a home never does.
                    let role = Role::Talker;
                    let append = Append { room, user, device, role, client_id, epoch: None, body, received_at };
                    match store.append(append).await {
                        Ok(_appended) => Outcome::Written,
                        Err(AppendError::Store(error)) => not_stored(&error),
                        Err(error) => Outcome::Refused(error.to_string()),
                    }
                }
            }
        })
    }

    /// The entry that was being written has an outcome. Gives the entry when it is done with.
    pub(super) fn settled(&mut self, outcome: &Outcome) -> Option<Entry> {
        self.writing = false;
        match outcome {
            Outcome::Written => {
                self.retry_at = None;
                self.waiting.pop_front()
            }
            Outcome::Retry(why) => {
                tracing::warn!(room = %self.room, why, "an entry of the journal could not be written; trying again");
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
