//! The control messages of the socket `/api/v1/socket`, subprotocol `holler.v1`.
//!
//! Each is one text message holding a JSON object with a `type`. Unknown fields in what a client sends are refused, so that a
//! misspelt field is not silently ignored; a client ignores fields and message types that it does not know, so that a server
//! can be newer than its clients. `docs/PROTOCOL.md` shows the conversations.

use serde::{Deserialize, Serialize};

use super::problem::Problem;
use crate::model::{BurstDigest, BurstHeader, Event, EventBody, FrameRange, Priority, Role};
use crate::units::{
    BurstId, ClientId, Cursor, DeviceId, Epoch, FloorToken, FrameNo, Incarnation, RequestId, RoomId, Seq, UnixMs,
    UserId,
};

/// The subprotocol's name.
pub const SUBPROTOCOL: &str = "holler.v1";

/// What a client sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "type", deny_unknown_fields)]
pub enum ClientMessage {
    /// The first message, within 5 s. Answered by `welcome`, or by a close.
    #[serde(rename = "auth")]
    Auth {
        /// An access token. Sent again before the old one expires, it extends the session.
        token: String,
        /// The client's name and version, for the operator: at most 80 characters.
        client: String,
    },
    /// Follow a room. Answered by `subscribed` or `refused`; then come the events after the cursor, then live ones.
    #[serde(rename = "subscribe")]
    Subscribe {
        /// Echoed in the answer.
        request: RequestId,
        /// The room.
        room: RoomId,
        /// Where to go on; absent: only what comes from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cursor: Option<Cursor>,
        /// Whether live voice is wanted.
        voice: bool,
    },
    /// Stop following a room. Not answered.
    #[serde(rename = "unsubscribe")]
    Unsubscribe {
        /// The room.
        room: RoomId,
    },
    /// Append to a room's log. Answered by `ack` or `refused` with the same client id.
    #[serde(rename = "send")]
    Send {
        /// The room.
        room: RoomId,
        /// The client's name for this send: sent twice, it is stored once.
        client_id: ClientId,
        /// Refuse unless the room's key is at this epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<Epoch>,
        /// A `message.*` body; the others are the server's to append.
        body: EventBody,
    },
    /// Ask for the floor (3GPP TS 24.380: Floor Request). Answered by `floor.granted`, `floor.queued`, `floor.denied` or
    /// `refused`.
    #[serde(rename = "floor.request")]
    FloorRequest {
        /// Echoed in every answer about this request.
        request: RequestId,
        /// The room; a subscription is needed.
        room: RoomId,
        /// With which weight.
        priority: Priority,
        /// Whether to wait in the queue when the floor is taken.
        queue: bool,
        /// The burst that is already being recorded.
        header: BurstHeader,
        /// How long it has been recording, ms.
        spoken_ago_ms: u64,
    },
    /// Give up the floor, or a place in its queue, without ending a burst (3GPP: Floor Release). Answered by `floor.idle` or
    /// `floor.taken` to the room.
    #[serde(rename = "floor.release")]
    FloorRelease {
        /// The request given up.
        request: RequestId,
        /// The room.
        room: RoomId,
    },
    /// End a burst, and give up its floor where it still has it. Answered by `burst.status` or `refused`. May be sent again.
    #[serde(rename = "burst.end")]
    BurstEnd {
        /// The room.
        room: RoomId,
        /// The burst.
        burst: BurstId,
        /// Its last frame.
        last: FrameNo,
        /// Over all its frames.
        digest: BurstDigest,
    },
    /// Bring a burst that was spoken offline, or without the floor. Needs no floor. Answered by `burst.status`, once its
    /// `burst.started` is committed, or by `refused`. May be sent again; one that the log has is not begun anew.
    #[serde(rename = "burst.offer")]
    BurstOffer {
        /// Echoed in a refusal.
        request: RequestId,
        /// The room; a subscription is needed.
        room: RoomId,
        /// The burst.
        header: BurstHeader,
        /// The weight that it was spoken with. It raises no emergency.
        priority: Priority,
        /// How long ago it was spoken, ms: at most 30 days.
        spoken_ago_ms: u64,
        /// How far that may be off in either direction, ms; absent: not at all.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        uncertainty_ms: Option<u64>,
        /// Its last frame.
        last: FrameNo,
        /// Over all its frames.
        digest: BurstDigest,
    },
    /// Clear an emergency: one's own, or any as a dispatcher. Answered by `emergency` to the room, or `refused`.
    #[serde(rename = "emergency.clear")]
    EmergencyClear {
        /// Echoed in a refusal.
        request: RequestId,
        /// The room.
        room: RoomId,
        /// Whose emergency.
        raised_by: UserId,
    },
    /// A sign of life. Answered by `pong`.
    #[serde(rename = "ping")]
    Ping {
        /// Echoed.
        nonce: u32,
        /// The round trip measured with the last `pong`, µs; the server takes half of it as the way here.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rtt_us: Option<u32>,
    },
    /// What the client measured of one burst, for the server's histograms. Not answered.
    #[serde(rename = "report")]
    Report {
        /// The room.
        room: RoomId,
        /// The burst.
        burst: BurstId,
        /// Key-down to grant, µs (as the talker).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        access_us: Option<u32>,
        /// Mouth to ear of the burst's first frame heard, µs, estimated (as a listener).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mouth_to_ear_us: Option<u32>,
        /// Subscription sent to first sample played, µs (as a listener who came late).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        late_entry_us: Option<u32>,
    },
}

/// What the server sends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "type")]
pub enum ServerMessage {
    /// Authentication succeeded.
    #[serde(rename = "welcome")]
    Welcome {
        /// Who is signed in.
        user: UserId,
        /// From which device.
        device: DeviceId,
        /// The server's wall clock.
        server_time: UnixMs,
        /// Send `ping` when nothing else was sent for this long, ms.
        heartbeat_ms: u32,
        /// The session ends unless a newer token comes within this time, s.
        expires_in_s: u32,
    },
    /// A subscription began.
    #[serde(rename = "subscribed")]
    Subscribed {
        /// From the `subscribe`.
        request: RequestId,
        /// The room.
        room: RoomId,
        /// What the user may do here.
        role: Role,
        /// The last event of the log.
        head: Cursor,
        /// The first event that retention kept; `head.seq` + 1 when the log is empty.
        first_seq: Seq,
        /// The room's key epoch; 0 without end-to-end encryption.
        epoch: Epoch,
        /// Who has the floor.
        floor: FloorState,
        /// Who has an emergency.
        emergencies: Vec<UserId>,
    },
    /// Events of a room, in order, following the last that was sent.
    #[serde(rename = "events")]
    Events {
        /// The room.
        room: RoomId,
        /// The history they belong to.
        incarnation: Incarnation,
        /// 1 to 500 events.
        events: Vec<Event>,
    },
    /// The events after the cursor are no longer there: retention or a restored backup. What follows begins at `first_seq`.
    #[serde(rename = "history.gap")]
    HistoryGap {
        /// The room.
        room: RoomId,
        /// The history from now on.
        incarnation: Incarnation,
        /// The first event that there is.
        first_seq: Seq,
    },
    /// A send is committed and synced.
    #[serde(rename = "ack")]
    Ack {
        /// The room.
        room: RoomId,
        /// From the `send`.
        client_id: ClientId,
        /// Its place in the log.
        seq: Seq,
        /// The history that the place counts in.
        incarnation: Incarnation,
        /// When the server first received it.
        received_at: UnixMs,
    },
    /// A send was refused; nothing was stored, unless the problem says that the outcome is unknown.
    #[serde(rename = "refused")]
    Refused {
        /// The room.
        room: RoomId,
        /// From a `send`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        client_id: Option<ClientId>,
        /// From a request.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<RequestId>,
        /// From a `burst.end` or a `burst.offer`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        burst: Option<BurstId>,
        /// Why.
        problem: Problem,
    },
    /// The floor is yours (3GPP: Floor Granted).
    #[serde(rename = "floor.granted")]
    FloorGranted {
        /// From the request.
        request: RequestId,
        /// The room.
        room: RoomId,
        /// To be carried by every live frame.
        token: FloorToken,
        /// The talk limit, ms from now; 4,294,967,295: none.
        until_ms: u32,
    },
    /// You wait in the queue (3GPP: Floor Queue Position Info). Sent again when the position changes.
    #[serde(rename = "floor.queued")]
    FloorQueued {
        /// From the request.
        request: RequestId,
        /// The room.
        room: RoomId,
        /// From 1.
        position: u32,
        /// How many wait.
        waiting: u32,
    },
    /// The floor is not yours (3GPP: Floor Deny).
    #[serde(rename = "floor.denied")]
    FloorDenied {
        /// From the request.
        request: RequestId,
        /// The room.
        room: RoomId,
        /// Why.
        reason: DenyReason,
    },
    /// Your floor was taken away (3GPP: Floor Revoke). Live frames are refused from now on; go on recording for repair.
    #[serde(rename = "floor.revoked")]
    FloorRevoked {
        /// From the request.
        request: RequestId,
        /// The room.
        room: RoomId,
        /// The token that ended.
        token: FloorToken,
        /// Why.
        reason: RevokeReason,
    },
    /// The talk limit is near.
    #[serde(rename = "floor.warning")]
    FloorWarning {
        /// From the request.
        request: RequestId,
        /// The room.
        room: RoomId,
        /// Time left, ms.
        remaining_ms: u32,
    },
    /// Who has the floor has changed (3GPP: Floor Taken, Floor Idle).
    #[serde(rename = "floor")]
    Floor {
        /// The room.
        room: RoomId,
        /// The new state.
        floor: FloorState,
    },
    /// What the server has of a burst whose end it knows.
    #[serde(rename = "burst.status")]
    BurstStatus {
        /// The room.
        room: RoomId,
        /// The burst.
        burst: BurstId,
        /// The history that it is in.
        incarnation: Incarnation,
        /// Whether every frame is there and the digest agrees.
        complete: bool,
        /// What is missing, at most 64 ranges: send those as repair frames, then `burst.end` again.
        missing: Vec<FrameRange>,
    },
    /// An emergency was raised or cleared.
    #[serde(rename = "emergency")]
    Emergency {
        /// The room.
        room: RoomId,
        /// Everyone whose emergency is on.
        raised_by: Vec<UserId>,
    },
    /// Your role in a room changed; `None`: you are no longer a member, and the subscription ended.
    #[serde(rename = "role")]
    Role {
        /// The room.
        room: RoomId,
        /// The role from now on.
        role: Option<Role>,
    },
    /// The answer to `ping`.
    #[serde(rename = "pong")]
    Pong {
        /// From the `ping`.
        nonce: u32,
        /// The server's wall clock.
        server_time: UnixMs,
    },
    /// Something that the client sent could not be used; the session goes on.
    #[serde(rename = "error")]
    Error {
        /// From a request that has one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        request: Option<RequestId>,
        /// What and why.
        problem: Problem,
    },
    /// The server will close this socket soon: reconnect elsewhere or later.
    #[serde(rename = "draining")]
    Draining {
        /// Come back after this long, ms, already spread at random.
        reconnect_after_ms: u32,
    },
}

/// Who has the floor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "state", rename_all = "lowercase")]
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

/// Why the server closes a socket. Codes 4000 to 4099 are resumable: reconnect with the same token and the same cursors. Codes
/// 4100 to 4199 are final: a new sign-in, or another client, is needed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CloseCode {
    /// 4000: the server is draining.
    Draining,
    /// 4001: nothing was heard for 40 s.
    Silent,
    /// 4002: the client took nothing that was sent for 30 s.
    StalledReader,
    /// 4003: the server can't go on, a fault of its own.
    Internal,
    /// 4004: too many connections or messages at the moment.
    Overloaded,
    /// 4005: the access token expired; refresh it and come back.
    TokenExpired,
    /// 4100: no `auth` within 5 s, or something else before it.
    AuthExpected,
    /// 4101: the token is not valid.
    BadToken,
    /// 4102: the device was revoked.
    Revoked,
    /// 4103: a message that can't be read, such as one that is too large or not UTF-8.
    Malformed,
    /// 4104: the same device connected again; the newer socket goes on.
    Replaced,
}

impl CloseCode {
    /// Every code.
    pub const ALL: &'static [Self] = &[
        Self::Draining,
        Self::Silent,
        Self::StalledReader,
        Self::Internal,
        Self::Overloaded,
        Self::TokenExpired,
        Self::AuthExpected,
        Self::BadToken,
        Self::Revoked,
        Self::Malformed,
        Self::Replaced,
    ];

    /// The number in the close frame.
    pub const fn number(self) -> u16 {
        match self {
            Self::Draining => 4000,
            Self::Silent => 4001,
            Self::StalledReader => 4002,
            Self::Internal => 4003,
            Self::Overloaded => 4004,
            Self::TokenExpired => 4005,
            Self::AuthExpected => 4100,
            Self::BadToken => 4101,
            Self::Revoked => 4102,
            Self::Malformed => 4103,
            Self::Replaced => 4104,
        }
    }

    /// The text in the close frame.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Draining => "the server is draining; reconnect",
            Self::Silent => "nothing was heard for 40 s; reconnect",
            Self::StalledReader => "nothing was read for 30 s; reconnect",
            Self::Internal => "a fault in the server; reconnect",
            Self::Overloaded => "too much at the moment; reconnect later",
            Self::TokenExpired => "the access token expired; refresh it and reconnect",
            Self::AuthExpected => "the first message must be auth, within 5 s",
            Self::BadToken => "the token is not valid; sign in",
            Self::Revoked => "this device was signed out; sign in again",
            Self::Malformed => "a message could not be read",
            Self::Replaced => "this device connected again elsewhere",
        }
    }

    /// Whether the client may reconnect by itself.
    pub const fn resumable(self) -> bool {
        self.number() < 4100
    }

    /// The code of a close frame's number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }
}
