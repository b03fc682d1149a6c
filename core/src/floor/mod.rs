//! Floor control: who may talk in a room (3GPP TS 24.380, the floor control server's side).
//!
//! One [`Floor`] is the arbiter of one room, at the room's home. It is keyed by device: a device has at most one request
//! outstanding in a room, and one that reconnects before its silence runs out finds its floor again. It knows nothing of
//! sockets, reads no clock and draws nothing at random.
//!
//! ```text
//!                    request                            request of strictly more weight:
//!            ┌──────────────────────┐                   the holder is revoked, the asker granted
//!            │                      ▼                      ┌─────┐
//!         ┌──────┐   ┌──────────────────────────────┐ ◄────┘     │
//! ───────►│ Idle │   │ Taken { holder, queue }      │ ───────────┘
//!         └──────┘   └──────────────────────────────┘ ◄──── release, end of the burst, talk limit, silence,
//!            ▲  │       │           │                 ────► role taken away: the first of the queue is granted
//!            │  │       └───────────┤
//!            │  │  the same, and    │ drain; end of the lease; last token of the term used:
//!            └──┼─ nobody waits     │ the holder is revoked, the queue denied
//!               │                   ▼
//!               │            ┌────────────────┐   every request is denied with `home-unavailable`
//!               └───────────►│ Closed { why } │
//!                            └────────────────┘   a renewed lease leads back to Idle; a drain never ends
//! ```
//!
//! **Weight.** A request of strictly higher [`Priority`] pre-empts the holder; an equal one waits. An
//! emergency pre-empts everything but an emergency, and then it waits, whether it asked to or not. Nobody who waits ever
//! outweighs the holder. The queue is ordered by priority, then by arrival. It holds
//! [`FLOOR_QUEUE_MAX`](crate::wire::limits::FLOOR_QUEUE_MAX) requests; when it is full, a request that outweighs the last one
//! takes its place, others are denied.
//!
//! **Requests.** A request is known by its device, its burst and the priority asked for. While it is live (it waits, or holds
//! the floor), asking again gives the same answer again, under the newer request number: a client that reconnected keeps its
//! token, or its place. Anything else from the same device replaces it. After its end by denial or revocation, the same device,
//! number and burst get the same answer again, until another request of the device ends so, or its socket goes (numbers are
//! those of one socket). Every request ends exactly once, with an [`Outcome`].
//!
//! **Tokens** are (term, counter); the counter rises with every grant, so that tokens strictly increase. A new home has a higher
//! term. The home stops granting at [`Input::Lease`]'s `until`, by its own clock.
//!
//! **Emergencies** are a state of the room, independent of the floor: an emergency request by somebody who may talk raises one,
//! whether the floor is granted or not. It lasts until its sender or a dispatcher clears it. A talker whose emergency is cleared
//! goes on with normal weight and the usual talk limit, so that a false alarm can be talked over.
//!
//! The timers are named in [`Timer`]. After every [`Floor::handle`], call [`Floor::poll_output`] until it gives `None`, then ask
//! [`Floor::poll_timeout`] when to come back with [`Input::Timeout`]. Timers that are due are run before any input, so a late
//! shell changes no decision but its moment.

mod emergency;
mod machine;
mod queue;
mod state;
#[cfg(test)]
mod tests;

use core::time::Duration;

use crate::model::{BurstHeader, Priority, Role};
use crate::units::{BurstId, DeviceId, FloorToken, Mono, RequestId, RoomId, UserId};
use crate::wire::limits;
use crate::wire::problem::{Problem, ProblemKind};
use crate::wire::socket::{DenyReason, FloorState, RevokeReason, ServerMessage};

pub use machine::{Floor, Timer};

/// What an operator can set. [`Config::default`] is what `wire::limits` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Longest continuous talk.
    pub talk_limit: Duration,
    /// Longest continuous talk in an emergency; `None`: no limit.
    pub emergency_talk_limit: Option<Duration>,
    /// How long before the talk limit the warning comes; where it is not shorter than the limit, none comes.
    pub talk_warning: Duration,
    /// A holder from whom nothing came for this long loses the floor.
    pub holder_silence_max: Duration,
    /// A request that waited this long is denied.
    pub queue_wait_max: Duration,
    /// Most requests that wait.
    pub queue_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            talk_limit: limits::TALK_LIMIT,
            emergency_talk_limit: None,
            talk_warning: limits::TALK_WARNING,
            holder_silence_max: limits::HOLDER_SILENCE_MAX,
            queue_wait_max: limits::QUEUE_WAIT_MAX,
            queue_max: limits::FLOOR_QUEUE_MAX,
        }
    }
}

/// A device asks for the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// The asking device.
    pub device: DeviceId,
    /// Its user.
    pub user: UserId,
    /// What the user may do in the room, now.
    pub role: Role,
    /// The number that answers carry.
    pub request: RequestId,
    /// With which weight.
    pub priority: Priority,
    /// Whether to wait when the floor is taken. An emergency always waits.
    pub queue: bool,
    /// The burst to be spoken.
    pub header: BurstHeader,
    /// How long it has been recording.
    pub spoken_ago: Duration,
}

/// What happens to the floor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A device asks for the floor.
    Request(Request),
    /// A device gives up its floor, or its place in the queue. Does nothing where `request` is not the live one.
    Release {
        /// The device.
        device: DeviceId,
        /// The request given up.
        request: RequestId,
    },
    /// A device ended its burst, and so gives up the floor, or the place in the queue, that it had for it.
    Ended {
        /// The device.
        device: DeviceId,
        /// The burst.
        burst: BurstId,
    },
    /// Something came from a device: a frame, a message, a ping.
    Heard {
        /// The device.
        device: DeviceId,
    },
    /// A device's socket closed. Must be told before anything that comes from the same device's next socket.
    Gone {
        /// The device.
        device: DeviceId,
    },
    /// A user's role in the room changed.
    RoleChanged {
        /// The user.
        user: UserId,
        /// The role from now on; `None`: no member any more.
        role: Option<Role>,
    },
    /// A member clears an emergency.
    ClearEmergency {
        /// The device that asks, to be answered.
        device: DeviceId,
        /// The number that a refusal carries.
        request: RequestId,
        /// Its user.
        by: UserId,
        /// What that user may do in the room, now.
        role: Role,
        /// Whose emergency.
        raised_by: UserId,
    },
    /// The home's lease on the room was renewed, or cut short.
    Lease {
        /// From this instant on nothing is granted or accepted.
        until: Mono,
    },
    /// The room's talk limit was changed. It holds from the next grant on: who talks was told how long.
    TalkLimit {
        /// Longest continuous talk.
        limit: Duration,
    },
    /// The server is going down: nothing is granted any more.
    Drain,
    /// The instant of [`Floor::poll_timeout`] has come.
    Timeout,
}

/// How a request ended. Counted by the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Granted at once.
    Immediate,
    /// Granted after a wait in the queue.
    Queued,
    /// Refused by a rule: not allowed, busy, the queue full, the wait too long.
    Denied,
    /// Not served through a fault: the home could not grant, or the asker's link was lost while it waited.
    Failed,
    /// Given up by its asker while it waited.
    Abandoned,
}

impl Outcome {
    /// Every outcome.
    pub const ALL: &'static [Self] = &[Self::Immediate, Self::Queued, Self::Denied, Self::Failed, Self::Abandoned];

    /// The word in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::Queued => "queued",
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Abandoned => "abandoned",
        }
    }
}

/// What the home must do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Tell a device that it has the floor; unless `again`, append `burst.started` first.
    Granted {
        /// To whom.
        device: DeviceId,
        /// Its user.
        user: UserId,
        /// The request that is answered.
        request: RequestId,
        /// The token for its live frames.
        token: FloorToken,
        /// With which weight.
        priority: Priority,
        /// The burst to be spoken.
        header: BurstHeader,
        /// How long it has been recording by now.
        spoken_ago: Duration,
        /// The talk limit, from now; `None`: none.
        until: Option<Duration>,
        /// Whether this repeats an earlier grant of the same token, for a repeated request or with a new talk limit.
        again: bool,
    },
    /// Tell a device its place in the queue.
    Queued {
        /// To whom.
        device: DeviceId,
        /// The request that is answered.
        request: RequestId,
        /// From 1.
        position: u32,
        /// How many wait.
        waiting: u32,
    },
    /// Tell a device that it does not get the floor.
    Denied {
        /// To whom.
        device: DeviceId,
        /// The request that is answered.
        request: RequestId,
        /// Why.
        reason: DenyReason,
    },
    /// Tell a device that it has lost the floor. With [`RevokeReason::LinkLost`] its burst is interrupted.
    Revoked {
        /// To whom.
        device: DeviceId,
        /// The request that was granted.
        request: RequestId,
        /// The token that ended.
        token: FloorToken,
        /// What was being spoken.
        burst: BurstId,
        /// Why.
        reason: RevokeReason,
    },
    /// Tell the holder that the talk limit is near.
    Warning {
        /// To whom.
        device: DeviceId,
        /// The request that was granted.
        request: RequestId,
        /// Time left.
        remaining: Duration,
    },
    /// Tell everybody who has the floor now.
    Changed(FloorState),
    /// Append `emergency.raised`. Followed by [`Output::Emergencies`].
    EmergencyRaised {
        /// Who raised it.
        user: UserId,
        /// From which device.
        device: DeviceId,
    },
    /// Append `emergency.cleared`. Followed by [`Output::Emergencies`].
    EmergencyCleared {
        /// Who cleared it.
        by: UserId,
        /// From which device.
        device: DeviceId,
        /// Whose it was.
        raised_by: UserId,
    },
    /// Tell everybody, or one device, whose emergencies are on, in the order in which they were raised.
    Emergencies {
        /// `None`: everybody.
        to: Option<DeviceId>,
        /// Whose.
        raised_by: Vec<UserId>,
    },
    /// Refuse to clear an emergency: it is another's, and the asker is no dispatcher.
    ClearRefused {
        /// Who asked.
        device: DeviceId,
        /// The request that is answered.
        request: RequestId,
    },
    /// Count a request: this happens exactly once to each.
    Outcome {
        /// Who asked.
        device: DeviceId,
        /// The request's latest number.
        request: RequestId,
        /// The weight asked for.
        priority: Priority,
        /// How it ended.
        outcome: Outcome,
        /// How long it had waited by then.
        wait: Duration,
    },
}

/// Who is to get a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Audience {
    /// One device.
    Device(DeviceId),
    /// Every subscriber of the room.
    Room,
}

/// What `until_ms` says of a grant without a talk limit.
pub const UNLIMITED_MS: u32 = u32::MAX;

fn whole_ms(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(UNLIMITED_MS)
}

impl Output {
    /// The socket message that this output asks for, and for whom; `None` for what only the home acts upon.
    pub fn message(&self, room: RoomId) -> Option<(Audience, ServerMessage)> {
        Some(match self {
            Self::Granted { device, request, token, until, .. } => (
                Audience::Device(*device),
                ServerMessage::FloorGranted {
                    request: *request,
                    room,
                    token: *token,
                    until_ms: until.map_or(UNLIMITED_MS, whole_ms),
                },
            ),
            Self::Queued { device, request, position, waiting } => (
                Audience::Device(*device),
                ServerMessage::FloorQueued { request: *request, room, position: *position, waiting: *waiting },
            ),
            Self::Denied { device, request, reason } => {
                (Audience::Device(*device), ServerMessage::FloorDenied { request: *request, room, reason: *reason })
            }
            Self::Revoked { device, request, token, reason, burst: _ } => (
                Audience::Device(*device),
                ServerMessage::FloorRevoked { request: *request, room, token: *token, reason: *reason },
            ),
            Self::Warning { device, request, remaining } => (
                Audience::Device(*device),
                ServerMessage::FloorWarning { request: *request, room, remaining_ms: whole_ms(*remaining) },
            ),
            Self::Changed(floor) => (Audience::Room, ServerMessage::Floor { room, floor: floor.clone() }),
            Self::Emergencies { to, raised_by } => (
                to.map_or(Audience::Room, Audience::Device),
                ServerMessage::Emergency { room, raised_by: raised_by.clone() },
            ),
            Self::ClearRefused { device, request } => (
                Audience::Device(*device),
                ServerMessage::Refused {
                    room,
                    client_id: None,
                    request: Some(*request),
                    burst: None,
                    problem: Problem::new(
                        ProblemKind::Forbidden,
                        "an emergency is cleared by the one who raised it, or by a dispatcher",
                    )
                    .field("raised_by"),
                },
            ),
            Self::EmergencyRaised { .. } | Self::EmergencyCleared { .. } | Self::Outcome { .. } => return None,
        })
    }
}
