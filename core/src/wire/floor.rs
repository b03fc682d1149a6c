//! What the socket tells of the floor (3GPP TS 24.380).

use serde::{Deserialize, Serialize};

use super::json::tagged;
use crate::model::{BurstHeader, Priority};
use crate::units::{DeviceId, FloorToken, UserId};

tagged! {
    tag = "state", remote = "FloorState", { rename_all = "lowercase" }
    /// Who has the floor.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
    pub enum FloorState {
        /// Nobody.
        Idle {
            /// The last token that was granted; a later one is higher.
            token: FloorToken,
        },
        /// Somebody.
        Taken {
            /// The token of the grant.
            token: FloorToken,
            /// Who talks.
            user: UserId,
            /// From which device.
            device: DeviceId,
            /// With which weight.
            priority: Priority,
            /// What is being spoken.
            header: BurstHeader,
            /// How long ago the floor was granted, ms.
            since_ms: u64,
        },
    }
}

/// Why the floor was not granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum DenyReason {
    /// Somebody talks with at least this weight, and the request was not to wait.
    Busy,
    /// The queue is full.
    QueueFull,
    /// The wait in the queue was too long.
    QueueExpired,
    /// The role does not allow talking, or not with this weight.
    NotAllowed,
    /// The home can't grant now: it is starting, draining, or about to lose its lease.
    HomeUnavailable,
}

/// Why the floor was taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum RevokeReason {
    /// Somebody with more weight talks now.
    Preempted,
    /// The talk limit was reached.
    TalkLimit,
    /// Nothing was heard from you for 2 s.
    LinkLost,
    /// You may no longer talk here.
    NotAllowed,
    /// The home can't keep the floor: it is draining or lost its lease.
    HomeUnavailable,
}
