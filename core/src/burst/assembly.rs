//! The server's side.

use std::collections::VecDeque;

use bytes::Bytes;

use super::frames::{Frames, Inserted, OutOfBounds};
use crate::model::{BurstDigest, EventBody, FrameRange};
use crate::units::{BurstId, DeviceId, FrameNo};
use crate::wire::limits::{FRAMES_PER_BURST_MAX, MISSING_RANGES_MAX};
use crate::wire::problem::{Problem, ProblemKind};

/// How far a burst has come; what the room's log says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// `burst.started` only.
    Live,
    /// `burst.interrupted`: the sender's link died.
    Interrupted,
    /// `burst.committed` with frames missing, or an end that came after an interruption.
    Ended {
        /// The last frame.
        last: FrameNo,
        /// Over all frames, as the sender stated it.
        digest: BurstDigest,
    },
    /// Every frame is there and the digest agrees.
    Complete {
        /// The last frame.
        last: FrameNo,
        /// Over all frames.
        digest: BurstDigest,
    },
}

/// What `burst.status` tells the sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// Whether every frame is there and the digest agrees.
    pub complete: bool,
    /// What is missing: the first 64 ranges.
    pub missing: Vec<FrameRange>,
}

/// Why a frame is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameRefused {
    /// It came from another device than the one that spoke.
    #[error("a burst is filled by the device that spoke it; this is another")]
    NotOwner,
    /// Its number is above the last one stated.
    #[error("the burst ended with frame {last}; found frame {found}")]
    BeyondEnd {
        /// The last frame, as the sender stated it.
        last: FrameNo,
        /// The frame's number.
        found: FrameNo,
    },
    /// It breaks a bound.
    #[error(transparent)]
    OutOfBounds(#[from] OutOfBounds),
}

/// Why a `burst.end` is not taken. Nothing changes then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndRefused {
    /// It came from another device than the one that spoke.
    #[error("a burst is ended by the device that spoke it; this is another")]
    NotOwner,
    /// A last frame outside 1 to 15,000.
    #[error("the last frame's number is 1 to {FRAMES_PER_BURST_MAX}; found {0}")]
    Last(FrameNo),
    /// An earlier `burst.end` stated something else.
    #[error("the burst was ended before with last frame {last} and digest {digest}; repeat exactly that")]
    Contradicts {
        /// As it was stated first.
        last: FrameNo,
        /// As it was stated first.
        digest: BurstDigest,
    },
    /// Every frame is there, but they are not those that the digest was computed over.
    #[error("all {last} frames were received, and their digest is {received}; the one stated is {stated}")]
    DigestDiffers {
        /// The last frame.
        last: FrameNo,
        /// Over what was received.
        received: BurstDigest,
        /// From the `burst.end`.
        stated: BurstDigest,
    },
}

impl From<FrameRefused> for Problem {
    fn from(refused: FrameRefused) -> Self {
        let kind = match refused {
            FrameRefused::NotOwner => ProblemKind::Forbidden,
            FrameRefused::BeyondEnd { .. } => ProblemKind::Conflict,
            FrameRefused::OutOfBounds(_) => ProblemKind::OutOfBounds,
        };
        Self::new(kind, refused.to_string())
    }
}

impl From<EndRefused> for Problem {
    fn from(refused: EndRefused) -> Self {
        let (kind, field) = match refused {
            EndRefused::NotOwner => (ProblemKind::Forbidden, "burst"),
            EndRefused::Last(_) => (ProblemKind::OutOfBounds, "last"),
            EndRefused::Contradicts { .. } => (ProblemKind::Conflict, "burst"),
            EndRefused::DigestDiffers { .. } => (ProblemKind::Conflict, "digest"),
        };
        Self::new(kind, refused.to_string()).field(field)
    }
}

/// One burst on its way into the room's log.
#[derive(Clone, Debug)]
pub struct Assembly {
    burst: BurstId,
    owner: DeviceId,
    frames: Frames,
    phase: Phase,
    appends: VecDeque<EventBody>,
}

impl Assembly {
    /// A burst whose `burst.started` is appended.
    pub fn new(burst: BurstId, owner: DeviceId) -> Self {
        Self::restore(burst, owner, Frames::new(), Phase::Live)
    }

    /// Takes up a burst from storage: its frames, and how far the log says it has come.
    ///
    /// Where storage had every frame but the log did not say so yet, `burst.completed` is to be appended now.
    pub fn restore(burst: BurstId, owner: DeviceId, mut frames: Frames, phase: Phase) -> Self {
        frames.mark_saved();
        // What the log says is complete must be there to be called so.
        let phase = match phase {
            Phase::Complete { last, digest } if frames.digest(last) != Some(digest) => Phase::Ended { last, digest },
            phase @ (Phase::Live | Phase::Interrupted | Phase::Ended { .. } | Phase::Complete { .. }) => phase,
        };
        let mut assembly = Self { burst, owner, frames, phase, appends: VecDeque::new() };
        assembly.complete_if_full();
        assembly
    }

    /// Which burst.
    pub fn burst(&self) -> BurstId {
        self.burst
    }

    /// The device that spoke it.
    pub fn owner(&self) -> DeviceId {
        self.owner
    }

    /// How far it has come.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// What is there.
    pub fn frames(&self) -> &Frames {
        &self.frames
    }

    /// The frames that came since this was last asked, to be stored as one chunk.
    pub fn take_unsaved(&mut self) -> Vec<(FrameNo, Bytes)> {
        self.frames.take_unsaved()
    }

    /// Storing these failed: the next [`Self::take_unsaved`] gives them again.
    pub fn not_saved(&mut self, numbers: impl IntoIterator<Item = FrameNo>) {
        self.frames.not_saved(numbers);
    }

    /// The next event to be appended, until `None`. Each is given once. Append it after the frames it tells of are stored.
    pub fn poll_append(&mut self) -> Option<EventBody> {
        self.appends.pop_front()
    }

    /// Takes in a frame of `device`, live or repair. Whether a live one may be passed on is for the floor to say.
    pub fn insert(&mut self, device: DeviceId, number: FrameNo, payload: Bytes) -> Result<Inserted, FrameRefused> {
        if device != self.owner {
            return Err(FrameRefused::NotOwner);
        }
        match self.phase {
            Phase::Ended { last, .. } | Phase::Complete { last, .. } if number > last => {
                return Err(FrameRefused::BeyondEnd { last, found: number });
            }
            Phase::Live | Phase::Interrupted | Phase::Ended { .. } | Phase::Complete { .. } => {}
        }
        let inserted = self.frames.insert(number, payload)?;
        if inserted == Inserted::New {
            self.complete_if_full();
        }
        Ok(inserted)
    }

    /// The sender ended the burst, perhaps not for the first time.
    ///
    /// A device that died while it spoke may remember less than it had sent: what it states must agree with what was received, and
    /// what came beyond that belongs to the burst too, up to the first frame that is missing.
    pub fn end(&mut self, device: DeviceId, last: FrameNo, digest: BurstDigest) -> Result<Status, EndRefused> {
        self.state(device, last, digest, false)
    }

    /// The sender offers the burst, perhaps not for the first time: what is missing of it? As long as it is [`Phase::Live`]
    /// and not full, that does not end it; otherwise the same as [`Self::end`].
    pub fn offer(&mut self, device: DeviceId, last: FrameNo, digest: BurstDigest) -> Result<Status, EndRefused> {
        self.state(device, last, digest, true)
    }

    fn state(
        &mut self,
        device: DeviceId,
        last: FrameNo,
        digest: BurstDigest,
        asking: bool,
    ) -> Result<Status, EndRefused> {
        if device != self.owner {
            return Err(EndRefused::NotOwner);
        }
        if !(1..=FRAMES_PER_BURST_MAX).contains(&last.0) {
            return Err(EndRefused::Last(last));
        }
        match self.phase {
            Phase::Complete { last: earlier, .. } if last < earlier && self.frames.digest(last) == Some(digest) => {
                return Ok(Status { complete: true, missing: Vec::new() });
            }
            Phase::Ended { last: earlier, digest: stated } | Phase::Complete { last: earlier, digest: stated }
                if (earlier, stated) != (last, digest) =>
            {
                return Err(EndRefused::Contradicts { last: earlier, digest: stated });
            }
            Phase::Live | Phase::Interrupted | Phase::Ended { .. } | Phase::Complete { .. } => {}
        }
        let received = self.frames.digest(last);
        if let Some(received) = received.filter(|received| *received != digest) {
            return Err(EndRefused::DigestDiffers { last, received, stated: digest });
        }
        let missing = self.frames.missing(last, MISSING_RANGES_MAX);
        if received.is_none() && asking && self.phase == Phase::Live {
            return Ok(Status { complete: false, missing });
        }
        let (last, digest) = match self.phase {
            Phase::Live | Phase::Interrupted if received.is_some() => self.as_received(last, digest),
            Phase::Live | Phase::Interrupted | Phase::Ended { .. } | Phase::Complete { .. } => (last, digest),
        };
        self.phase = match (self.phase, received) {
            (Phase::Live, _) => {
                let missing = missing.clone();
                self.appends.push_back(EventBody::BurstCommitted { burst: self.burst, last, digest, missing });
                if received.is_some() { Phase::Complete { last, digest } } else { Phase::Ended { last, digest } }
            }
            (Phase::Interrupted | Phase::Ended { .. }, Some(_)) => self.completed(last, digest),
            (Phase::Interrupted | Phase::Ended { .. }, None) => Phase::Ended { last, digest },
            (Phase::Complete { .. }, _) => self.phase,
        };
        Ok(Status { complete: received.is_some(), missing })
    }

    /// The end of a burst of which everything up to `last` is there: that of what was received without a gap.
    fn as_received(&self, last: FrameNo, digest: BurstDigest) -> (FrameNo, BurstDigest) {
        let mut end = last;
        while self.frames.frame(FrameNo(end.0 + 1)).is_some() {
            end.0 += 1;
        }
        if end == last { (last, digest) } else { (end, self.frames.digest(end).unwrap_or(digest)) }
    }

    /// The sender's link died before its `burst.end` came. Changes nothing where the burst has ended.
    pub fn interrupt(&mut self) {
        self.phase = match self.phase {
            Phase::Live => {
                let last_received = self.frames.highest().unwrap_or_default();
                self.appends.push_back(EventBody::BurstInterrupted { burst: self.burst, last_received });
                Phase::Interrupted
            }
            ended @ (Phase::Interrupted | Phase::Ended { .. } | Phase::Complete { .. }) => ended,
        };
    }

    /// What the sender is to be told, once it has ended the burst.
    pub fn status(&self) -> Option<Status> {
        match self.phase {
            Phase::Live | Phase::Interrupted => None,
            Phase::Ended { last, .. } => {
                Some(Status { complete: false, missing: self.frames.missing(last, MISSING_RANGES_MAX) })
            }
            Phase::Complete { .. } => Some(Status { complete: true, missing: Vec::new() }),
        }
    }

    fn complete_if_full(&mut self) {
        self.phase = match self.phase {
            Phase::Ended { last, digest } if self.frames.digest(last) == Some(digest) => self.completed(last, digest),
            phase @ (Phase::Live | Phase::Interrupted | Phase::Ended { .. } | Phase::Complete { .. }) => phase,
        };
    }

    fn completed(&mut self, last: FrameNo, digest: BurstDigest) -> Phase {
        self.appends.push_back(EventBody::BurstCompleted { burst: self.burst, last, digest });
        Phase::Complete { last, digest }
    }
}
