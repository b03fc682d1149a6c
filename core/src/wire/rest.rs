//! The bodies of the REST interface under `/api/v1`.

use serde::{Deserialize, Serialize};

use crate::model::{BurstDigest, BurstHeader, Event, EventBody, FrameRange, Role, RoomKind, Scope, UserRole};
use crate::units::{ClientId, Cursor, DeviceId, Epoch, FrameNo, RoomId, Seq, UnixMs, UserId, WorkspaceId};

/// What the server calls the direct room that a person has with oneself.
pub const ECHO: &str = "Echo";

macro_rules! bodies {
    ($($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* $field:ident: $ty:ty,)* })*) => {$(
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        $(#[$meta])*
        pub struct $name { $($(#[$fmeta])* pub $field: $ty,)* }
    )*};
}

/// A field that is there, whether null or not.
fn given<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}
mod accounts;
mod push;

pub use accounts::*;
pub use push::*;

bodies! {
    /// `POST /auth/sign-in`
    #[serde(deny_unknown_fields)]
    pub struct SignIn {
        /// The sign-in name: 1 to 64 of `a-z 0-9 . _ -`.
        #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 64, pattern = r"^[a-z0-9][a-z0-9._-]*$"))]
        login: String,
        /// The password.
        #[cfg_attr(feature = "schema", schema(max_length = 256))]
        password: String,
        /// What to call this device: 1 to 80 characters.
        #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 80, pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"))]
        device_name: String,
        /// Sign in again as this device; absent: a new device.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        device: Option<DeviceId>,
        /// A refresh token that `device` once got, also one that is used up: then others' failed attempts don't count for it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        earlier: Option<String>,
    }

    /// `POST /auth/refresh`
    #[serde(deny_unknown_fields)]
    pub struct Refresh {
        /// The latest refresh token. It is used up; the answer has the next one. An older one, sent again, ends the sign-in.
        refresh_token: String,
    }

    /// The answer to a sign-in or a refresh.
    pub struct Tokens {
        /// A JWT (EdDSA) for `Authorization: Bearer` and the socket's `auth`.
        access_token: String,
        /// How long it is valid, s.
        expires_in_s: u32,
        /// For the next `POST /auth/refresh`.
        refresh_token: String,
        /// What the access token allows.
        scopes: Vec<Scope>,
        /// Who signed in.
        user: UserId,
        /// The device that the tokens are bound to.
        device: DeviceId,
        /// The tenant.
        workspace: WorkspaceId,
    }

    /// `GET /me`
    pub struct Me {
        /// The tenant's name.
        workspace_name: String,
        /// Who this is.
        user: User,
        /// The device in use.
        device: DeviceId,
        /// What the access token allows.
        scopes: Vec<Scope>,
    }

    /// A person.
    pub struct User {
        /// Names the person.
        id: UserId,
        /// The sign-in name; only for admins and oneself.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        login: Option<String>,
        /// The name that others see.
        name: String,
        /// What they may do in the workspace.
        role: UserRole,
        /// Since when they can't sign in and none of their tokens is good; only for admins.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        suspended_at: Option<UnixMs>,
    }

    /// `POST /users`
    #[serde(deny_unknown_fields)]
    pub struct NewUser {
        /// The sign-in name.
        #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 64, pattern = r"^[a-z0-9][a-z0-9._-]*$"))]
        login: String,
        /// The name that others see: 1 to 80 characters.
        #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 80, pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"))]
        name: String,
        /// At least 10 characters.
        #[cfg_attr(feature = "schema", schema(min_length = 10, max_length = 256))]
        password: String,
        /// What they may do in the workspace.
        role: UserRole,
    }

    /// A room as its member sees it.
    pub struct Room {
        /// Names the room.
        id: RoomId,
        /// The name that people see.
        name: String,
        /// Direct, group or channel.
        kind: RoomKind,
        /// What you may do in it; absent for an admin of the workspace who is no member.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<Role>,
        /// How many people are in it.
        members: u32,
        /// Longest continuous talk here, s; absent: the workspace's policy says it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        talk_limit_s: Option<u32>,
        /// The last event of its log.
        head: Cursor,
    }

    /// `POST /rooms`
    #[serde(deny_unknown_fields)]
    pub struct NewRoom {
        /// 1 to 80 characters.
        #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 80, pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"))]
        name: String,
        /// Direct, group or channel.
        kind: RoomKind,
    }

    /// `PATCH /rooms/{room}`: what is to change (RFC 7396); what is left out stays.
    #[derive(Default)]
    #[serde(deny_unknown_fields)]
    pub struct ChangeRoom {
        /// 1 to 80 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "schema", schema(nullable = false, min_length = 1, max_length = 80, pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"))]
        name: Option<String>,
        /// A group becomes a channel, or a channel a group; a direct room stays one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "schema", schema(nullable = false))]
        kind: Option<RoomKind>,
        /// Longest continuous talk here, s; null: what the workspace's policy says. It holds from the next grant of the floor on.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "given")]
        #[cfg_attr(feature = "schema", schema(value_type = Option<u32>, minimum = 10, maximum = 600))]
        talk_limit_s: Option<Option<u32>>,
    }

    /// `PUT /rooms/{room}/retention`
    #[serde(deny_unknown_fields)]
    pub struct SetRetention {
        /// Days that events are kept; 0: for ever; null: as the workspace's policy says.
        #[cfg_attr(feature = "schema", schema(minimum = 0, maximum = 3_650))]
        days: Option<u32>,
        /// Legal hold: nothing of the room is removed while it lasts.
        held: bool,
    }

    /// What a room keeps.
    pub struct Retention {
        /// Days that were set for this room; 0: for ever; null: none, the workspace's policy counts.
        days: Option<u32>,
        /// Days in effect, legal hold aside; null: for ever.
        effective_days: Option<u32>,
        /// Since when the room is under legal hold; null: it is not.
        held_at: Option<UnixMs>,
        /// The first event that is kept.
        first_seq: Seq,
    }

    /// What was deleted with a room: for whoever must show it.
    pub struct ShredReceipt {
        /// The room.
        room: RoomId,
        /// When its key was deleted.
        shredded_at: UnixMs,
        /// SHA-256 of the wrapped key, in hexadecimal: a backup that holds the key shows the same.
        key_sha256: String,
        /// Events that can't be read any more.
        events: u64,
        /// Bursts that can't be heard any more.
        bursts: u64,
        /// Bytes of their frames.
        burst_bytes: u64,
        /// The number of the audit log's entry.
        audit_entry: u64,
    }

    /// A member of a room.
    pub struct Member {
        /// Who.
        user: UserId,
        /// The name that people see.
        name: String,
        /// What they may do here.
        role: Role,
        /// Sockets open now on this server.
        connections: u32,
        /// Time since something last came from one of those sockets, ms; absent when there is none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_heard_ms: Option<u64>,
    }

    /// `POST /tokens`
    #[serde(deny_unknown_fields)]
    pub struct NewToken {
        /// What it is for: 1 to 80 characters.
        #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 80, pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"))]
        name: String,
        /// What it allows: at most what your own token allows.
        #[cfg_attr(feature = "schema", schema(max_items = 16))]
        scopes: Vec<Scope>,
        /// How long it is valid, days.
        #[cfg_attr(feature = "schema", schema(minimum = 1, maximum = 366))]
        days: u32,
    }

    /// A token for a script.
    pub struct Token {
        /// The device that it is.
        id: DeviceId,
        /// What it is for.
        name: String,
        /// What it allows.
        scopes: Vec<Scope>,
        /// When it was made.
        created_at: UnixMs,
        /// When it ends.
        expires_at: UnixMs,
        /// Whether it was ended before.
        revoked: bool,
    }

    /// The answer to `POST /tokens`.
    pub struct MadeToken {
        /// For `Authorization: Bearer` and the socket's `auth`. It is shown this once.
        token: String,
        /// What it is.
        about: Token,
    }

    /// `GET /audit`: something that was done.
    pub struct AuditEntry {
        /// From 1 on, without holes.
        number: u64,
        /// When.
        at: UnixMs,
        /// `server`, `cli`, or the identifiers of a user and a device with a slash between.
        actor: String,
        /// What was done, such as `member.set`.
        action: String,
        /// To what: identifiers.
        targets: Vec<String>,
        /// Whose the details are.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        about: Option<UserId>,
        /// More about it; absent where the person whom it is about was erased.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "schema", schema(value_type = Option<Object>))]
        details: Option<serde_json::Map<String, serde_json::Value>>,
        /// Over this entry and the hash of the one before: 64 hexadecimal digits.
        hash: String,
    }

    /// `GET /roster`: the people and rooms that the caller sees, or what changed of them.
    ///
    /// Apply the answers in their order. After a delta a client has exactly what a snapshot would have given it.
    #[derive(Default)]
    pub struct Roster {
        /// For the next `GET /roster?since=`. Keep it with the data that it belongs to.
        sync_token: String,
        /// Whether this is everything: forget what was known before. Else only what changed is in it.
        snapshot: bool,
        /// People who are new or changed, in the order of their identifiers.
        users: Vec<Person>,
        /// People who are no longer seen: they share no room with the caller any more, or are gone.
        removed_users: Vec<UserId>,
        /// Rooms that are new or changed, in the order of their identifiers.
        rooms: Vec<RosterRoom>,
        /// Rooms that are no longer seen.
        removed_rooms: Vec<RoomId>,
    }

    /// A person in the roster.
    pub struct Person {
        /// Names the person.
        id: UserId,
        /// The name that others see.
        name: String,
        /// What they may do in the workspace.
        role: UserRole,
    }

    /// A room in the roster.
    pub struct RosterRoom {
        /// Names the room.
        id: RoomId,
        /// The name that people see.
        name: String,
        /// Direct, group or channel.
        kind: RoomKind,
        /// What you may do in it; absent for an admin of the workspace who is no member.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<Role>,
        /// Its members. In a delta, of a room that is known already: only those who are new or whose role changed.
        members: Vec<RosterMember>,
        /// In a delta: who left.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        removed_members: Vec<UserId>,
    }

    /// A member of a room in the roster.
    pub struct RosterMember {
        /// Who.
        user: UserId,
        /// What they may do here.
        role: Role,
    }

    /// `PUT /rooms/{room}/members/{user}`
    #[serde(deny_unknown_fields)]
    pub struct SetMember {
        /// What they may do here.
        role: Role,
    }

    /// A page of a room's log.
    pub struct EventPage {
        /// In order.
        events: Vec<Event>,
        /// Where to go on.
        next: Cursor,
        /// The last event of the log.
        head: Cursor,
        /// The first event that retention kept.
        first_seq: Seq,
    }

    /// `POST /rooms/{room}/events`
    #[serde(deny_unknown_fields)]
    pub struct NewEvent {
        /// The client's name for this send: sent twice, it is stored once.
        client_id: ClientId,
        /// Refuse unless the room's key is at this epoch.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        epoch: Option<Epoch>,
        /// A `message.*` body.
        body: EventBody,
    }

    /// The answer to a send.
    pub struct Sent {
        /// Its place in the log.
        seq: Seq,
        /// When the server first received it.
        received_at: UnixMs,
    }

    /// `GET /rooms/{room}/bursts/{burst}`
    pub struct Burst {
        /// How to play it.
        header: BurstHeader,
        /// Who spoke.
        user: UserId,
        /// From which device.
        device: DeviceId,
        /// Its `burst.started`.
        seq: Seq,
        /// The last frame, where the sender ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last: Option<FrameNo>,
        /// Over all frames, where the sender ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<BurstDigest>,
        /// Whether every frame is there.
        complete: bool,
        /// What the server has.
        present: Vec<FrameRange>,
    }

    /// A device of the signed-in user.
    pub struct Device {
        /// Names the device.
        id: DeviceId,
        /// What it was called at sign-in.
        name: String,
        /// When it first signed in.
        created_at: UnixMs,
        /// When it last fetched a token.
        last_used_at: UnixMs,
        /// Whether it is signed out for good.
        revoked: bool,
    }
}
