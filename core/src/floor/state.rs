//! What the machine is at any moment, and what it remembers.

use super::Request;
use super::queue::Queue;
use crate::model::Priority;
use crate::units::{BurstId, DeviceId, FloorToken, Mono, RequestId};
use crate::wire::socket::{DenyReason, RevokeReason};

#[derive(Clone, Debug)]
pub(super) enum State {
    Idle,
    Taken { holder: Holder, queue: Queue },
    Closed(Cause),
}

/// Why nothing is granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cause {
    Draining,
    LeaseEnded,
    TermUsedUp,
}

#[derive(Clone, Debug)]
pub(super) struct Holder {
    /// What was asked, with the latest request number.
    pub(super) asked: Request,
    /// Its weight now: that asked for, unless its emergency was cleared.
    pub(super) priority: Priority,
    pub(super) token: FloorToken,
    pub(super) asked_at: Mono,
    pub(super) since: Mono,
    pub(super) heard: Mono,
    pub(super) limit: Limit,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Limit {
    None,
    /// The warning is still to come.
    Ahead {
        warn_at: Mono,
        until: Mono,
    },
    /// The warning came, or there is none.
    Near {
        until: Mono,
    },
}

impl Limit {
    pub(super) fn until(self) -> Option<Mono> {
        match self {
            Self::None => None,
            Self::Ahead { until, .. } | Self::Near { until } => Some(until),
        }
    }
}

/// A request that ended, and how.
#[derive(Clone, Copy, Debug)]
pub(super) struct Past {
    pub(super) device: DeviceId,
    pub(super) request: RequestId,
    pub(super) burst: BurstId,
    pub(super) answer: Answer,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Answer {
    Denied(DenyReason),
    Revoked(FloorToken, RevokeReason),
}

impl Request {
    /// Whether `self` is `live` asked for again.
    pub(super) fn repeats(&self, live: &Self) -> bool {
        self.device == live.device && self.header.burst == live.header.burst && self.priority == live.priority
    }
}
