//! What is told of people: who is here, and who got how far. Used by the socket and by REST.

use serde::{Deserialize, Serialize};

use crate::model::PresenceState;
use crate::units::{BurstId, RoomId, Seq, UnixMs, UserId};

/// How a person is, as far as the server knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PersonPresence {
    /// Who.
    pub user: UserId,
    /// How they are.
    pub state: PresenceState,
    /// How long ago a sign of life last confirmed it, ms; of who is gone, how long ago they went or were last heard. Absent: nothing
    /// was ever heard.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub age_ms: Option<u64>,
    /// For how long it counts without further news, ms: then show `unknown`, with the age. Zero for `unknown`.
    pub lease_ms: u32,
}

/// How many people of a room are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PresenceCounts {
    /// Not known.
    pub unknown: u32,
    /// No device connected.
    pub offline: u32,
    /// Connected, but not looking.
    pub away: u32,
    /// Ready to be talked to.
    pub available: u32,
    /// Hears one room only.
    pub solo: u32,
    /// Not to be disturbed.
    pub busy: u32,
}

impl PresenceCounts {
    /// Counts one more person.
    pub fn add(&mut self, state: PresenceState) {
        let count = match state {
            PresenceState::Unknown => &mut self.unknown,
            PresenceState::Offline => &mut self.offline,
            PresenceState::Away => &mut self.away,
            PresenceState::Available => &mut self.available,
            PresenceState::Solo => &mut self.solo,
            PresenceState::Busy => &mut self.busy,
        };
        *count += 1;
    }

    /// How many are in this state.
    pub fn of(&self, state: PresenceState) -> u32 {
        match state {
            PresenceState::Unknown => self.unknown,
            PresenceState::Offline => self.offline,
            PresenceState::Away => self.away,
            PresenceState::Available => self.available,
            PresenceState::Solo => self.solo,
            PresenceState::Busy => self.busy,
        }
    }
}

/// `GET /presence`: who is here, of one room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct RoomPresence {
    /// The room.
    pub room: RoomId,
    /// Every member; absent in a room of more than 100 members.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<Vec<PersonPresence>>,
    /// How many are in which state.
    pub counts: PresenceCounts,
    /// For how long the counts hold without further news, ms.
    pub lease_ms: u32,
}

/// Who heard a burst.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct HeardBy {
    /// Who.
    pub user: UserId,
    /// When the server learned of it.
    pub heard_at: UnixMs,
}

/// `GET /rooms/{room}/bursts/{burst}/receipts`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct BurstReceipts {
    /// The burst.
    pub burst: BurstId,
    /// Its `burst.started`.
    pub seq: Seq,
    /// Who spoke.
    pub user: UserId,
    /// How many members there are beside the one who spoke.
    pub of: u32,
    /// How many of them have it on a device.
    pub delivered: u32,
    /// How many of them heard it to its end.
    pub heard: u32,
    /// Who has it on a device: at most 1,000.
    pub delivered_to: Vec<UserId>,
    /// Who heard it, in order: at most 1,000.
    pub heard_by: Vec<HeardBy>,
}

/// `GET /rooms/{room}/events/{seq}/receipts`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct MessageReceipts {
    /// The message.
    pub seq: Seq,
    /// Who wrote it.
    pub user: UserId,
    /// How many members there are beside the one who wrote it.
    pub of: u32,
    /// How many of them have it on a device.
    pub delivered: u32,
    /// How many of them read it.
    pub read: u32,
    /// Who has it on a device: at most 1,000.
    pub delivered_to: Vec<UserId>,
    /// Who read it: at most 1,000.
    pub read_by: Vec<UserId>,
}
