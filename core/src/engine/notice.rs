//! Everything that a person, or a program around the client, can be told: what a screen or a command line shows.
//!
//! It is serialised only between the parts of one client, where screen and engine live in different threads (a page and its
//! worker): both are of one build, so that its form promises nothing.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::jitter::Tally;
use super::ports::ConnectFailure;
use super::presence::PersonSeen;
use crate::model::{Event, Role};
use crate::units::{BurstId, ClientId, Cursor, DeviceId, RoomId, Seq, UnixMs, UserId};
use crate::wire::presence::PresenceCounts;
use crate::wire::problem::Problem;
use crate::wire::socket::{CloseCode, DenyReason, FloorState, RevokeReason};

/// Why there is no connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkReason {
    /// None was made yet.
    New,
    /// It could not be made.
    Connect {
        /// What failed.
        failure: ConnectFailure,
        /// Why, for people.
        detail: String,
    },
    /// It broke.
    Lost {
        /// Why, for people.
        detail: String,
    },
    /// Nothing came for too long.
    Silent,
    /// The server closed it, saying why.
    Closed(CloseCode),
    /// The access token expired, or none is there yet.
    Token {
        /// Why, for people.
        detail: String,
    },
    /// The server is draining.
    Draining,
    /// New connections were made too often: the budget is used up for a while.
    TooOften,
    /// Asked for.
    Stopped,
}

impl core::fmt::Display for LinkReason {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::New => f.write_str("not connected yet"),
            Self::Connect { failure, detail } => {
                f.write_str(match failure {
                    ConnectFailure::Name => "the server's name has no address",
                    ConnectFailure::Unreachable => "the server does not answer",
                    ConnectFailure::Certificate => "the server's certificate is not trusted",
                    ConnectFailure::Handshake => "what answers is not a Holler server that takes this client",
                })?;
                if detail.is_empty() { Ok(()) } else { write!(f, ": {detail}") }
            }
            Self::Lost { detail } => write!(f, "the connection broke: {detail}"),
            Self::Silent => f.write_str("nothing came from the server for too long"),
            Self::Closed(code) => f.write_str(code.reason()),
            Self::Token { detail } => write!(f, "no valid access token: {detail}"),
            Self::Draining => f.write_str("the server is draining"),
            Self::TooOften => f.write_str("the connection broke too often in a short time"),
            Self::Stopped => f.write_str("disconnected"),
        }
    }
}

/// How the connection is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LinkState {
    /// A new access token is being fetched.
    Refreshing,
    /// The socket is being opened.
    Connecting {
        /// From 1; how many tries in a row.
        attempt: u32,
    },
    /// The socket is open; the server looks at the token.
    Authenticating,
    /// Everything works.
    Up {
        /// Who is signed in.
        user: UserId,
        /// From which device.
        device: DeviceId,
    },
    /// No connection; the next try comes by itself.
    Waiting {
        /// Why.
        reason: LinkReason,
        /// When.
        retry_in: Duration,
    },
    /// No connection, and none will be tried: a person must act, or wanted it so.
    Ended {
        /// Why.
        reason: LinkReason,
    },
}

/// How one's own burst is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum TalkState {
    /// The button is down, capture is being started.
    Starting,
    /// Capture really runs: speak now.
    SpeakNow,
    /// The floor was asked for.
    Asking,
    /// Others talk first.
    Queued {
        /// From 1.
        position: u32,
        /// How many wait.
        waiting: u32,
    },
    /// The floor is yours: what is spoken goes out live, from the first frame on.
    Granted {
        /// Key-down to grant.
        access: Duration,
        /// When the talk limit comes.
        until: Duration,
    },
    /// The talk limit is near.
    Warning {
        /// Time left.
        remaining: Duration,
    },
    /// The floor was not granted. Recording goes on; the burst stays on this device.
    Denied {
        /// Why.
        reason: DenyReason,
    },
    /// The request could not be used at all.
    Refused {
        /// Why.
        problem: Problem,
    },
    /// The floor was taken away. Recording goes on, and what listeners lack is sent afterwards.
    Revoked {
        /// Why.
        reason: RevokeReason,
    },
    /// There is no connection: recording goes on.
    Offline,
    /// The button is up; the rest is on its way.
    Ending,
    /// The server lacks some frames; they are being sent.
    Repairing {
        /// How many.
        frames: u32,
    },
    /// The server has every frame, and its digest agrees.
    Delivered,
    /// It waits on this device: it is delivered in its turn, by itself, as soon as there is a connection.
    Waiting,
    /// The server can't take it, or its end, for now: it waits on this device and is tried again by itself.
    PutOff {
        /// Why.
        problem: Problem,
    },
    /// It stays on this device, not delivered: it was given up, or no floor was granted, or the server does not take it.
    Kept,
    /// Nothing was recorded, or the burst can't be delivered.
    Failed {
        /// Why, for people.
        detail: String,
    },
}

/// What became of somebody else's burst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HeardState {
    /// It is being played.
    Playing {
        /// Whether it had begun before this client came.
        late: bool,
    },
    /// It is not played: another room has precedence. It can be heard afterwards.
    Missed,
    /// It is not played here: it is the person's own, from another device, or another device of theirs plays. It counts as heard.
    Elsewhere,
    /// Its first sound was played.
    Began {
        /// Mouth to ear, estimated.
        mouth_to_ear: Duration,
        /// Subscription to first sample, where it had begun before.
        late_entry: Option<Duration>,
    },
    /// It was played to its end.
    Played {
        /// How its frames were played.
        tally: Tally,
    },
    /// Its sender was lost; more may come later.
    Interrupted,
    /// Every frame is here, and the sender's digest agrees.
    Complete,
    /// Frames are missing that the server does not have either, or can't give.
    Incomplete {
        /// How many, where the last one is known.
        missing: u32,
    },
}

/// What became of a send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SendState {
    /// It waits on this device, to be sent when there is a connection.
    Waiting,
    /// The server can't take it for now: it waits on this device and is tried again by itself.
    PutOff {
        /// Why.
        problem: Problem,
    },
    /// Committed and synced.
    Acked {
        /// Its place in the log.
        seq: Seq,
        /// When the server first received it.
        received_at: UnixMs,
    },
    /// Refused for good; nothing was stored.
    Refused {
        /// Why.
        problem: Problem,
    },
    /// Not taken: too many wait already.
    TooMany,
}

/// How this client learns who is here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PresenceFeed {
    /// Not at all: what was known runs out.
    None,
    /// The server tells changes.
    Live,
    /// The server can't tell changes: it is asked now and then.
    Polled,
}

/// Something worth telling.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Notice {
    /// The connection changed.
    Link(LinkState),
    /// A new measurement of the round trip.
    RoundTrip(Duration),
    /// Whether live voice travels as datagrams, beside the socket.
    VoicePath {
        /// Whether the path carries.
        up: bool,
    },
    /// A room is being followed, and this is how it stands.
    Room {
        /// The room.
        room: RoomId,
        /// What the user may do here; `None`: no longer a member.
        role: Option<Role>,
        /// The last event of its log.
        head: Cursor,
        /// The first event that retention kept.
        first_seq: Seq,
    },
    /// A room can't be followed, or a request about it failed.
    RoomRefused {
        /// The room.
        room: RoomId,
        /// Why.
        problem: Problem,
    },
    /// The role in a room changed; `None`: no longer a member.
    Role {
        /// The room.
        room: RoomId,
        /// From now on.
        role: Option<Role>,
    },
    /// An event of a room's log: each once, in order.
    Event(Box<Event>),
    /// Events are gone: retention, or a backup was restored. What follows begins at `first_seq`.
    HistoryGap {
        /// The room.
        room: RoomId,
        /// The first event that there is.
        first_seq: Seq,
    },
    /// The server skipped events, against its promise; they are being fetched.
    EventsMissing {
        /// The room.
        room: RoomId,
        /// The last event known.
        after: Seq,
        /// The event that came.
        found: Seq,
    },
    /// Who has the floor.
    Floor {
        /// The room.
        room: RoomId,
        /// Now.
        floor: FloorState,
    },
    /// Whose emergency is on.
    Emergencies {
        /// The room.
        room: RoomId,
        /// Everyone.
        raised_by: Vec<UserId>,
    },
    /// What is known of a person changed, or ran out.
    Presence {
        /// Who.
        user: UserId,
        /// Now.
        seen: PersonSeen,
    },
    /// Who is in a watched room.
    PresenceRoom {
        /// The room.
        room: RoomId,
        /// Every member; [`super::Engine::presence`] says how each is.
        people: Vec<UserId>,
    },
    /// How many people of a large watched room are in which state; `None`: not known any more.
    PresenceCounts {
        /// The room.
        room: RoomId,
        /// Now.
        counts: Option<PresenceCounts>,
    },
    /// How this client learns who is here changed.
    PresenceFeed(PresenceFeed),
    /// How far something got that this person sent, or a dispatcher looks after.
    Receipts {
        /// The room.
        room: RoomId,
        /// The message's event, or the burst's `burst.started`.
        seq: Seq,
        /// The burst, where it is one.
        burst: Option<BurstId>,
        /// How many members there are beside the sender.
        of: u32,
        /// How many of them have it on a device.
        delivered: u32,
        /// How many of them heard the burst to its end, or read the message.
        taken: u32,
    },
    /// The copy of the roster is fresh.
    Roster,
    /// One's own burst.
    Talk {
        /// The room.
        room: RoomId,
        /// The burst.
        burst: BurstId,
        /// Now.
        state: TalkState,
    },
    /// Somebody else's burst.
    Heard {
        /// The room.
        room: RoomId,
        /// The burst.
        burst: BurstId,
        /// Who speaks.
        user: UserId,
        /// Now.
        state: HeardState,
    },
    /// Where live voice plays changed.
    Playing {
        /// The person's other device that plays; `None`: it plays here.
        elsewhere: Option<DeviceId>,
    },
    /// A send.
    Send {
        /// The room.
        room: RoomId,
        /// The client's name for it.
        client_id: ClientId,
        /// Now.
        state: SendState,
    },
    /// Something this client sent could not be used, or something it got could not be read.
    Fault {
        /// What and why.
        detail: String,
    },
    /// The local store could not keep something: what is spoken now may not survive a crash of this client.
    StoreFailed {
        /// Why.
        detail: String,
    },
}
