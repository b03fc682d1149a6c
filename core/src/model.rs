//! People, rooms and what happens in them.

use core::fmt;

use serde::{Deserialize, Serialize};

use crate::units::{
    Bitrate, BurstId, ClientId, DeviceId, Epoch, FloorToken, FrameMs, FrameNo, RoomId, Seq, UnixMs, UserId,
};
use crate::wire::json::tagged;

macro_rules! words {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $word:tt,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        pub enum $name { $($(#[$vdoc])* #[serde(rename = $word)] $variant,)* }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The word used in the API, the log and the interface.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl core::str::FromStr for $name {
            type Err = String;
            fn from_str(text: &str) -> Result<Self, String> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    other => Err(format!(concat!("expected one of", $(" ", $word,)* "; found {:?}"), other)),
                }
            }
        }
    )*};
}

words! {
    /// What a member may do in a room; each role includes those before it.
    Role {
        /// Hears and reads.
        Listener = "listener",
        /// Also talks and writes, with normal or elevated priority, and can raise an emergency.
        Talker = "talker",
        /// Also pre-empts talkers and clears emergencies.
        Dispatcher = "dispatcher",
        /// Also manages the room and its members.
        Admin = "admin",
    }

    /// What a user may do in the workspace.
    UserRole {
        /// Uses the rooms they are a member of.
        Member = "member",
        /// Also manages users and rooms.
        Admin = "admin",
    }

    /// The weight of a floor request; a higher one pre-empts a lower one (3GPP TS 24.380 clause 4.1.1.4).
    Priority {
        /// Ordinary talk.
        Normal = "normal",
        /// A talker with something pressing.
        Elevated = "elevated",
        /// A dispatcher.
        Dispatcher = "dispatcher",
        /// Life or limb: always wins.
        Emergency = "emergency",
    }

    /// How a room came to be and how large it may grow.
    RoomKind {
        /// Two people.
        Direct = "direct",
        /// A handful of people who know each other.
        Group = "group",
        /// A talkgroup, large.
        Channel = "channel",
    }

    /// What an access token allows.
    Scope {
        /// Ask for the floor and send voice.
        Floor = "floor",
        /// Read and write the rooms' logs.
        Messages = "messages",
        /// Signal calls.
        Calls = "calls",
        /// Fetch and send media and the frames of bursts.
        Media = "media",
        /// Read people, rooms and members.
        Roster = "roster",
        /// Read and set presence.
        Presence = "presence",
        /// Manage the workspace; only effective for a user who is an admin.
        Admin = "admin",
    }

    /// Whether a person can be reached, from the weakest to the strongest: of several devices the strongest counts.
    PresenceState {
        /// Nobody can say: the lease ran out, or the server that knew was restarted.
        Unknown = "unknown",
        /// No device is connected.
        Offline = "offline",
        /// Connected, but not looking.
        Away = "away",
        /// Ready to be talked to.
        Available = "available",
        /// Hears one room only.
        Solo = "solo",
        /// Connected, but not to be disturbed.
        Busy = "busy",
    }

    /// Who may invite people into a workspace.
    InvitesBy {
        /// Admins of the workspace.
        Admins = "admins",
        /// Also the admins of a room, into that room.
        RoomAdmins = "room-admins",
        /// Also the dispatchers of a room, into that room.
        Dispatchers = "dispatchers",
    }

    /// How a burst's frames are coded.
    Codec {
        /// Opus (RFC 6716), one channel, 48 kHz.
        Opus = "opus",
    }
}

impl Role {
    /// Whether this role may ask for the floor at `priority`.
    pub fn may_talk_at(self, priority: Priority) -> bool {
        match priority {
            Priority::Normal | Priority::Elevated | Priority::Emergency => self >= Self::Talker,
            Priority::Dispatcher => self >= Self::Dispatcher,
        }
    }
}

/// What every receiver must know to play a burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct BurstHeader {
    /// Names the burst; drawn at random by the talking device.
    pub burst: BurstId,
    /// How the frames are coded.
    pub codec: Codec,
    /// The length of every frame, ms.
    pub frame_ms: FrameMs,
    /// The encoder's target, bit/s (6,000 to 128,000).
    pub bitrate: Bitrate,
    /// The group key that the frames' key is wrapped for; 0 in rooms without end-to-end encryption.
    pub key_epoch: Epoch,
}

/// Frames `from` to `to`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FrameRange {
    /// The first frame of the range.
    pub from: FrameNo,
    /// The last frame of the range.
    pub to: FrameNo,
}

/// SHA-256 over a burst's frames, as the 64 lower-case hexadecimal digits of the wire form.
///
/// Each frame enters as its number (u16), its length (u16), both big-endian, and its bytes, in the order of the numbers.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct BurstDigest(pub [u8; 32]);

impl fmt::Display for BurstDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for BurstDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl core::str::FromStr for BurstDigest {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const EXPECTED: &str = "expected 64 lower-case hexadecimal digits";
        if text.len() != 64 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(EXPECTED);
        }
        let mut digest = [0; 32];
        for (at, byte) in digest.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| EXPECTED)?;
        }
        Ok(Self(digest))
    }
}

impl Serialize for BurstDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BurstDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(feature = "schema")]
impl utoipa::PartialSchema for BurstDigest {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::schema::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::String)
            .pattern(Some("^[0-9a-f]{64}$"))
            .build()
            .into()
    }
}

#[cfg(feature = "schema")]
impl utoipa::ToSchema for BurstDigest {}

/// An entry in a room's log. Once written it never changes: an edit or a late completion is a later event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Event {
    /// The room.
    pub room: RoomId,
    /// Its number: no holes from the log's `first_seq` on.
    pub seq: Seq,
    /// When the server received it.
    pub received_at: UnixMs,
    /// Who sent it.
    pub user: UserId,
    /// From which device.
    pub device: DeviceId,
    /// The sender's name for it.
    pub client_id: ClientId,
    /// What happened.
    pub body: EventBody,
}

tagged! {
    tag = "kind", remote = "EventBody", { deny_unknown_fields }
    /// What happened.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
    pub enum EventBody {
        /// Somebody wrote a text.
        #[serde(rename = "message.posted")]
        MessagePosted {
            /// 1 to 4,000 characters, at most 16,000 bytes of UTF-8.
            text: String,
            /// The event that this answers.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            reply_to: Option<Seq>,
        },
        /// The author of a text replaced it.
        #[serde(rename = "message.edited")]
        MessageEdited {
            /// The `message.posted` event.
            target: Seq,
            /// The new text, bounded as the first.
            text: String,
        },
        /// The author of a text, or a dispatcher or admin of the room, took it back.
        #[serde(rename = "message.deleted")]
        MessageDeleted {
            /// The `message.posted` event.
            target: Seq,
        },
        /// A burst took its place in the log: at the grant, or at upload if it was spoken offline.
        #[serde(rename = "burst.started")]
        BurstStarted {
            /// How to play it.
            header: BurstHeader,
            /// The grant under which it was sent live; absent for one that was uploaded.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            token: Option<FloorToken>,
            /// The priority it was spoken with.
            priority: Priority,
            /// How long before `received_at` it was spoken, ms.
            spoken_ago_ms: u64,
            /// How far `spoken_ago_ms` may be off in either direction, ms; absent: the speaker's clock ran through, 0.
            #[serde(default, skip_serializing_if = "is_zero")]
            uncertainty_ms: u64,
        },
        /// The sender ended a burst.
        #[serde(rename = "burst.committed")]
        BurstCommitted {
            /// The burst.
            burst: BurstId,
            /// Its last frame.
            last: FrameNo,
            /// Over all its frames.
            digest: BurstDigest,
            /// What the server lacked at that moment; empty when nothing. At most 64 ranges.
            missing: Vec<FrameRange>,
        },
        /// A burst's sender was lost; the rest may come later.
        #[serde(rename = "burst.interrupted")]
        BurstInterrupted {
            /// The burst.
            burst: BurstId,
            /// The highest frame that arrived; 0 when none did.
            last_received: FrameNo,
        },
        /// A repair filled a burst: every frame is there.
        #[serde(rename = "burst.completed")]
        BurstCompleted {
            /// The burst.
            burst: BurstId,
            /// Its last frame.
            last: FrameNo,
            /// Over all its frames.
            digest: BurstDigest,
        },
        /// Somebody raised an emergency.
        #[serde(rename = "emergency.raised")]
        EmergencyRaised {},
        /// The one who raised it, or a dispatcher, cleared it.
        #[serde(rename = "emergency.cleared")]
        EmergencyCleared {
            /// Whose emergency.
            raised_by: UserId,
        },
    }
}

#[cfg_attr(target_pointer_width = "64", expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so"))]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl EventBody {
    /// The word in the `kind` field.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::MessagePosted { .. } => "message.posted",
            Self::MessageEdited { .. } => "message.edited",
            Self::MessageDeleted { .. } => "message.deleted",
            Self::BurstStarted { .. } => "burst.started",
            Self::BurstCommitted { .. } => "burst.committed",
            Self::BurstInterrupted { .. } => "burst.interrupted",
            Self::BurstCompleted { .. } => "burst.completed",
            Self::EmergencyRaised {} => "emergency.raised",
            Self::EmergencyCleared { .. } => "emergency.cleared",
        }
    }
}
