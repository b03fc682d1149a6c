//! The log of a room: ordered, durable, idempotent.
//!
//! A shell brings batches of sends with what storage knows about each ([`Facts`]); the machine decides in which order which
//! events are written and what everybody is told, in two phases:
//!
//! ```text
//! RoomLog ── prepare(batch) ──► Prepared ── shell writes `writes()` and commits ──► finish(outcome) ──► answers, fan-out
//!                                                                                        Committed: Stored, Replayed
//!                                                                                        Failed:    nothing is stored
//!                                                                                        Unclear:   Unknown; reload the log
//! ```
//!
//! Nothing is answered positively, and nobody else hears of an event, before its commit. A send that came before, in this
//! batch or years ago, gets its first answer. Since the machine keeps nothing but [`LogHead`], a shell that crashed at any
//! instant goes on from what was committed.
//!
//! `check` holds the bounds of event bodies, `machine` the order and the answers.

mod check;
mod machine;

pub use check::identity;
pub use machine::{
    Answer, BurstFacts, End, Facts, Finished, Outcome, Prepared, Prior, Proposal, RoomLog, Target, Write, wanted,
};

use crate::model::EventBody;
use crate::units::{BurstId, Cursor, Epoch, Incarnation, Seq};
use crate::wire::problem::{Problem, ProblemKind};

/// Where a room's log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogHead {
    /// The history that the numbers count in.
    pub incarnation: Incarnation,
    /// The first event that retention kept; `head` + 1 when there is none.
    pub first_seq: Seq,
    /// The last event; 0 before the first.
    pub head: Seq,
    /// The room's key epoch; 0 without end-to-end encryption.
    pub epoch: Epoch,
}

/// Where one who left off at a cursor goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// With the events after this one: nothing was missed.
    After(Seq),
    /// With `first_seq`: what the cursor counts is no longer there, or never was in this history.
    Gap,
}

impl LogHead {
    /// A log without events.
    pub const fn new(incarnation: Incarnation) -> Self {
        Self { incarnation, first_seq: Seq(1), head: Seq(0), epoch: Epoch(0) }
    }

    /// The place of the last event.
    pub const fn cursor(&self) -> Cursor {
        Cursor { incarnation: self.incarnation, seq: self.head }
    }

    /// Where one who has seen everything up to `cursor` goes on.
    pub fn resume(&self, cursor: Cursor) -> Resume {
        let known = cursor.incarnation == self.incarnation && cursor.seq <= self.head;
        if known && cursor.seq.next() >= self.first_seq { Resume::After(cursor.seq) } else { Resume::Gap }
    }

    /// The head once retention has removed the events before `first`. It never brings back an event and never takes a number
    /// that is still to be given.
    #[must_use]
    pub fn retain_from(self, first: Seq) -> Self {
        Self { first_seq: first.clamp(self.first_seq, self.head.next()), ..self }
    }
}

/// Why a send was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A field of the body is outside its bounds.
    #[error("{detail}")]
    OutOfBounds {
        /// The field, as a path with dots.
        field: &'static str,
        /// What was expected and what was found.
        detail: String,
    },
    /// The room's key is at another epoch.
    #[error("expected the room's key at epoch {expected}, found {current}: seal it for that epoch and send it again")]
    StaleEpoch {
        /// What the sender expected.
        expected: Epoch,
        /// What it is.
        current: Epoch,
    },
    /// This device used the client id for something else.
    #[error("this client id was used for event {0}, which says something else: draw a new one for a new event")]
    ClientIdReused(Seq),
    /// There is no such event, or retention removed it.
    #[error("there is no event {found} in this room: expected {first} to {head}")]
    NoTarget {
        /// The field.
        field: &'static str,
        /// What was found in it.
        found: Seq,
        /// The first event there is.
        first: Seq,
        /// The last event there is.
        head: Seq,
    },
    /// The event is of another kind.
    #[error("event {0} is no message.posted: only those are edited and deleted")]
    NotAMessage(Seq),
    /// The event is somebody else's.
    #[error("event {0} was written by somebody else")]
    NotYours(Seq),
    /// No burst of this name began in the room.
    #[error("there is no burst {0} in this room")]
    NoBurst(BurstId),
    /// The burst was spoken from another device.
    #[error("burst {0} belongs to another device")]
    BurstTaken(BurstId),
    /// The burst's events come in the order started, committed or interrupted, completed.
    #[error("burst {burst}: {event} can't follow {after}")]
    BurstOrder {
        /// The burst.
        burst: BurstId,
        /// The kind that was sent.
        event: &'static str,
        /// The kind that came before.
        after: &'static str,
    },
    /// The burst ended with another last frame or digest.
    #[error("burst {0} ended with another last frame or digest")]
    BurstDiffers(BurstId),
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let (kind, field) = match refusal {
            Refusal::OutOfBounds { field, .. } => (ProblemKind::OutOfBounds, Some(field)),
            Refusal::StaleEpoch { .. } => (ProblemKind::StaleEpoch, Some("epoch")),
            Refusal::ClientIdReused(_) => (ProblemKind::Conflict, Some("client_id")),
            Refusal::NoTarget { field, .. } => (ProblemKind::NotFound, Some(field)),
            Refusal::NotAMessage(_) => (ProblemKind::Conflict, Some("body.target")),
            Refusal::NotYours(_) => (ProblemKind::Forbidden, Some("body.target")),
            Refusal::NoBurst(_) => (ProblemKind::NotFound, Some("body.burst")),
            Refusal::BurstTaken(_) => (ProblemKind::Forbidden, Some("body.burst")),
            Refusal::BurstOrder { .. } | Refusal::BurstDiffers(_) => (ProblemKind::Conflict, Some("body.burst")),
        };
        let problem = Self::new(kind, detail);
        match field {
            Some(field) => problem.field(field),
            None => problem,
        }
    }
}

/// The burst that an event is about.
fn burst_of(body: &EventBody) -> Option<BurstId> {
    match body {
        EventBody::BurstStarted { header, .. } => Some(header.burst),
        EventBody::BurstCommitted { burst, .. }
        | EventBody::BurstInterrupted { burst, .. }
        | EventBody::BurstCompleted { burst, .. } => Some(*burst),
        EventBody::MessagePosted { .. }
        | EventBody::MessageEdited { .. }
        | EventBody::MessageDeleted { .. }
        | EventBody::EmergencyRaised {}
        | EventBody::EmergencyCleared { .. } => None,
    }
}

#[cfg(test)]
mod tests;
