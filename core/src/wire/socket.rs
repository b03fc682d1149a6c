//! The control messages of the socket `/api/v1/socket`, subprotocol `holler.v1`.
//!
//! Each is one text message holding a JSON object with a `type`. Unknown fields in what a client sends are refused, so that a
//! misspelt field is not silently ignored; a client ignores fields and message types that it does not know, so that a server
//! can be newer than its clients. `docs/PROTOCOL.md` shows the conversations.

use serde::{Deserialize, Serialize};

pub use super::close::CloseCode;
pub use super::datagram::{PathKind, PathOffer};
pub use super::floor::{DenyReason, FloorState, RevokeReason};
use super::json::tagged;
use super::presence::{PersonPresence, PresenceCounts};
use super::problem::Problem;
use crate::model::{BurstDigest, BurstHeader, Event, EventBody, FrameRange, PresenceState, Priority, Role};
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
        /// An access token, or the resume token of an earlier `welcome`. An access token sent again before the old one expires
        /// extends the session.
        token: String,
        /// The client's name and version, for the operator: at most 80 characters.
        client: String,
        /// How the person is; absent: as this device said last if it is back at once, else available.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        presence: Option<PresenceState>,
        /// Rooms to follow, as if each had been asked for with `subscribe`: at most 256.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        rooms: Vec<Follow>,
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
        /// Whether to be told who is here, as with `presence.watch`.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        presence: bool,
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
        /// The promise that the next sign of life comes within this time, ms: at most 120,000; absent: 15,000. The server waits 25 s
        /// longer before it takes the client for lost.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next_ms: Option<u32>,
    },
    /// How the person at this device is. Not answered; `unknown` can't be said.
    #[serde(rename = "presence.set")]
    PresenceSet {
        /// The state.
        state: PresenceState,
    },
    /// Be told who of a room is here. Answered by `presence.room`, `presence.counts`, `presence.degraded` or `refused`; then come
    /// changes.
    #[serde(rename = "presence.watch")]
    PresenceWatch {
        /// Echoed in a refusal.
        request: RequestId,
        /// The room; a subscription is not needed.
        room: RoomId,
    },
    /// Stop being told. Not answered.
    #[serde(rename = "presence.unwatch")]
    PresenceUnwatch {
        /// The room.
        room: RoomId,
    },
    /// This device plays live voice aloud: of a person's devices that say so, the one that was used last plays. Answered by `playing`
    /// where that changes something. Sent again when somebody used the device.
    #[serde(rename = "playing.here")]
    PlayingHere {
        /// How long ago somebody used it, ms: at most 30 days.
        used_ago_ms: u64,
    },
    /// This device plays no longer aloud. Not answered.
    #[serde(rename = "playing.stopped")]
    PlayingStopped {},
    /// What this device got, showed and played. Answered by `receipt.stored` or `refused`; may be sent again.
    #[serde(rename = "receipt")]
    Receipt {
        /// Echoed in the answer.
        request: RequestId,
        /// The room.
        room: RoomId,
        /// The history that the numbers count in.
        incarnation: Incarnation,
        /// Every event up to here is on this device, with the frames of its bursts as far as they are wanted.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        delivered: Option<Seq>,
        /// Every message up to here was shown to the person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        read: Option<Seq>,
        /// Bursts that were played to their end: at most 64.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        heard: Vec<BurstId>,
    },
    /// Ask for a path on which voice travels as datagrams beside this socket. Answered by `voice.path`. Asked again, it replaces
    /// the path before.
    #[serde(rename = "voice.path")]
    VoicePath {
        /// Echoed in the answer.
        request: RequestId,
        /// What this client can use, the best first: at most 4.
        kinds: Vec<PathKind>,
    },
    /// Somebody talks and nothing comes on the path: send voice over this socket until the path has proved itself again. Not
    /// answered.
    #[serde(rename = "voice.path.stalled")]
    VoicePathStalled {},
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

/// A room to follow, as in `subscribe`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Follow {
    /// Echoed in the answer, `subscribed` or `refused`.
    pub request: RequestId,
    /// The room.
    pub room: RoomId,
    /// Where to go on; absent: only what comes from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// Whether live voice is wanted.
    pub voice: bool,
    /// Whether to be told who is here, as with `presence.watch`.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub presence: bool,
}

tagged! {
    tag = "type", remote = "ServerMessage", {}
    /// What the server sends.
    #[derive(Clone, Debug, PartialEq, Eq)]
    #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
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
            /// To be shown in the next `auth` instead of an access token, on any server, for as long as this session may last.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            resume: Option<String>,
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
            /// Whatever was told of people who are watched holds for this long from now, ms, unless a change is told. Absent: no
            /// such promise; what was told runs out with its lease.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            presence_ms: Option<u32>,
        },
        /// A watched person's state changed.
        #[serde(rename = "presence")]
        Presence {
            /// Who.
            user: UserId,
            /// How they are.
            state: PresenceState,
            /// How long ago a sign of life last confirmed it, ms; of who is gone, how long ago they went or were last heard. Absent:
            /// nothing was ever heard.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            age_ms: Option<u64>,
            /// For how long it counts without further news, ms. Zero for `unknown`.
            lease_ms: u32,
        },
        /// Everybody of a watched room of at most 100 members; in place of what was told of it before.
        #[serde(rename = "presence.room")]
        PresenceRoom {
            /// The room.
            room: RoomId,
            /// Every member.
            people: Vec<PersonPresence>,
        },
        /// How many people of a watched room of more than 100 members are in which state.
        #[serde(rename = "presence.counts")]
        PresenceCounts {
            /// The room.
            room: RoomId,
            /// How many.
            counts: PresenceCounts,
            /// For how long they hold without further news, ms.
            lease_ms: u32,
        },
        /// The server can't tell changes of presence now: ask `GET /presence`, until `presence.room` or `presence.counts` comes.
        #[serde(rename = "presence.degraded")]
        PresenceDegraded {
            /// How often to ask, ms: wait half of it to the whole, drawn anew each time.
            poll_ms: u32,
        },
        /// Which of the person's devices plays live voice: told to those that said that they would.
        #[serde(rename = "playing")]
        Playing {
            /// The device that plays. Another one that is told so shows what is said, and plays emergencies only.
            device: DeviceId,
            /// How many of the person's devices would play, this one among them. Above 1 the others rely on the one that plays, which
            /// is to give a sign of life every 15 s.
            among: u32,
            /// To the device that plays: how long ago the last sign of life was of the one that played before it, while that did, ms.
            /// What was on air since, perhaps nobody heard. Absent where none is known, and to the others.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            last_sign_ms: Option<u64>,
        },
        /// What a `receipt` said is stored.
        #[serde(rename = "receipt.stored")]
        ReceiptStored {
            /// From the `receipt`.
            request: RequestId,
            /// The room.
            room: RoomId,
        },
        /// How far something got: told to who sent it and to the room's dispatchers, at most once a second.
        #[serde(rename = "receipts")]
        Receipts {
            /// The room.
            room: RoomId,
            /// The message's event, or the burst's `burst.started`.
            seq: Seq,
            /// The burst, where it is one.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            burst: Option<BurstId>,
            /// How many members there are beside the sender.
            of: u32,
            /// How many of them have it on a device.
            delivered: u32,
            /// How many of them heard the burst to its end, or read the message.
            taken: u32,
        },
        /// The answer to `voice.path`.
        #[serde(rename = "voice.path")]
        VoicePath {
            /// From the request.
            request: RequestId,
            /// How to reach the path. Absent: this server has none of these kinds; voice stays on this socket.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            offer: Option<PathOffer>,
        },
        /// People, rooms or members changed: fetch what is new with `GET /roster?since=…`.
        #[serde(rename = "roster.changed")]
        RosterChanged {},
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
}
