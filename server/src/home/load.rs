//! Bursts that are read from storage: who asked for one and why, and what was found.

use bytes::Bytes;
use holler_core::burst::{Assembly, EndRefused, Frames, Phase, Status};
use holler_core::log::End;
use holler_core::model::{BurstDigest, BurstHeader, Priority};
use holler_core::units::{BurstId, DeviceId, FrameNo, RequestId, UserId};
use holler_core::wire::limits::FRAMES_PER_BURST_MAX;
use holler_core::wire::problem::{Problem, ProblemKind};

use super::bursts::Settled;
use crate::storage::{BurstRecord, StoreError};

/// A burst that was spoken offline, or without the floor.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    /// To be named in a refusal.
    pub request: RequestId,
    /// The burst.
    pub header: BurstHeader,
    /// The weight that it was spoken with.
    pub priority: Priority,
    /// How long ago, ms.
    pub spoken_ago_ms: u64,
    /// How far that may be off, ms.
    pub uncertainty_ms: u64,
    /// Its last frame.
    pub last: FrameNo,
    /// Over all its frames.
    pub digest: BurstDigest,
}

/// A burst that is to be read from storage, with the `burst.end` or `burst.offer` that asked for it. It comes back as
/// [`Command::Loaded`](super::Command::Loaded).
#[derive(Debug)]
pub struct Load {
    /// Which burst.
    pub burst: BurstId,
    pub(super) asked: Asked,
}

/// Why a burst is read from storage.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    /// Its sender stated its end, or brings it.
    End(Stated),
    /// Its sender, this device, goes on with it.
    Resume(DeviceId),
}

impl Asked {
    fn device(&self) -> DeviceId {
        match self {
            Self::End(end) => end.device,
            Self::Resume(device) => *device,
        }
    }
}

/// What storage has of a burst.
pub type Stored = (BurstRecord, Vec<(FrameNo, Bytes)>);

impl Load {
    /// The numbers of the frames to read.
    pub const FRAMES: (FrameNo, FrameNo) = (FrameNo::FIRST, FrameNo(FRAMES_PER_BURST_MAX));

    /// What storage has: the record, and its frames where there is one.
    pub fn found(self, found: Result<Option<Stored>, StoreError>) -> Loaded {
        let Self { burst, asked } = self;
        let found = match found {
            Ok(Some((record, frames))) => assembled(burst, asked.device(), &record, frames).map(Some),
            Ok(None) => Ok(None),
            Err(error) => Err(error.into()),
        };
        Loaded { burst, asked, found }
    }

    /// For an offer of a burst that is not there: the device, as which it may have begun the burst before.
    pub fn offered_by(&self) -> Option<DeviceId> {
        match &self.asked {
            Asked::End(Stated { device, offer: Some(_), .. }) => Some(*device),
            Asked::End(_) | Asked::Resume(_) => None,
        }
    }

    /// The burst was in the log until retention removed it.
    pub fn removed(self) -> Loaded {
        let Self { burst, asked } = self;
        let detail = format!("burst {burst} was in the room's log until retention removed it");
        Loaded { burst, asked, found: Err(Problem::new(ProblemKind::NotFound, detail).field("header.burst")) }
    }
}

/// A burst that was read from storage, with the `burst.end` or `burst.offer` that asked for it.
#[derive(Debug)]
pub struct Loaded {
    pub(super) burst: BurstId,
    pub(super) asked: Asked,
    pub(super) found: Result<Option<(UserId, Assembly)>, Problem>,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Stated {
    pub(super) device: DeviceId,
    pub(super) last: FrameNo,
    pub(super) digest: BurstDigest,
    /// Of a `burst.offer`: who speaks, and what begins where the log has no such burst.
    pub(super) offer: Option<(UserId, Offer)>,
}

impl Stated {
    pub(super) fn settled(&self, burst: BurstId, status: Result<Status, Problem>) -> Settled {
        Settled { device: self.device, burst, request: self.offer.map(|(_, offer)| offer.request), status }
    }
}

/// A burst from storage, as far as the log and the chunks have it.
fn assembled(
    burst: BurstId,
    asker: DeviceId,
    record: &BurstRecord,
    stored: Vec<(FrameNo, Bytes)>,
) -> Result<(UserId, Assembly), Problem> {
    if record.device != asker {
        return Err(EndRefused::NotOwner.into());
    }
    let mut frames = Frames::new();
    for (number, payload) in stored {
        if let Err(error) = frames.insert(number, payload) {
            return Err(StoreError::Damaged(format!("burst {burst}: {error}")).into());
        }
    }
    let phase = match record.end {
        End::Open => Phase::Live,
        End::Interrupted => Phase::Interrupted,
        End::Committed { last, digest } if record.complete => Phase::Complete { last, digest },
        End::Committed { last, digest } => Phase::Ended { last, digest },
    };
    Ok((record.user, Assembly::restore(burst, record.device, frames, phase)))
}
