//! Invites, one-time links for a new password, and what is changed about users and devices.

use serde::{Deserialize, Serialize};

use crate::model::{Role, RoomKind, UserRole};
use crate::units::{InviteId, RoomId, UnixMs, UserId};
use crate::wire::limits::{INVITE_LIFE_S_DEFAULT, RESET_LIFE_S_DEFAULT};

fn member() -> UserRole {
    UserRole::Member
}

fn invite_life() -> u32 {
    INVITE_LIFE_S_DEFAULT
}

fn once() -> u32 {
    1
}

fn reset_life() -> u32 {
    RESET_LIFE_S_DEFAULT
}

bodies! {
    /// A room that an invite leads into.
    #[serde(deny_unknown_fields)]
    pub struct InviteRoom {
        /// The room.
        room: RoomId,
        /// What those who join may do there.
        role: Role,
    }

    /// `POST /invites`
    #[serde(deny_unknown_fields)]
    pub struct NewInvite {
        /// The rooms that those who join become members of: at most 64, each once; none is allowed for an admin.
        #[serde(default)]
        #[cfg_attr(feature = "schema", schema(max_items = 64))]
        rooms: Vec<InviteRoom>,
        /// What those who join may do in the workspace; `admin` needs an admin.
        #[serde(default = "member")]
        #[cfg_attr(feature = "schema", schema(default = "member"))]
        role: UserRole,
        /// How long it is good, s: from 60 to as long as the policy allows, at most 7,776,000 (90 days).
        #[serde(default = "invite_life")]
        #[cfg_attr(feature = "schema", schema(minimum = 60, maximum = 7_776_000, default = 604_800))]
        expires_in_s: u32,
        /// How many people may join by it: 1 to 1,000.
        #[serde(default = "once")]
        #[cfg_attr(feature = "schema", schema(minimum = 1, maximum = 1_000, default = 1))]
        uses_max: u32,
        /// Whom or what it is for, for the list of invites: 1 to 80 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 80))]
        note: Option<String>,
    }

    /// An invite, without its link.
    pub struct Invite {
        /// Names the invite; it lets nobody in.
        id: InviteId,
        /// What those who join may do in the workspace.
        role: UserRole,
        /// The rooms that they become members of.
        rooms: Vec<InviteRoom>,
        /// Whom or what it is for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        note: Option<String>,
        /// Who made it; absent: somebody at the server's command line.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        made_by: Option<UserId>,
        /// When it was made.
        made_at: UnixMs,
        /// It is good until then.
        expires_at: UnixMs,
        /// How many people may join by it.
        uses_max: u32,
        /// How many have.
        uses: u32,
        /// Whether it was taken back.
        revoked: bool,
    }

    /// The answer to `POST /invites`. The link is shown only now: the server keeps a keyed hash of it.
    pub struct MadeInvite {
        /// The invite.
        invite: Invite,
        /// Whoever has it can join. What is secret in it stands behind `#`, which browsers don't send.
        link: String,
        /// The link as a QR code, an SVG image.
        qr_svg: String,
    }

    /// `POST /invites/look`
    #[serde(deny_unknown_fields)]
    pub struct LookInvite {
        /// What stands behind `#` in the link.
        #[cfg_attr(feature = "schema", schema(max_length = 64))]
        token: String,
    }

    /// What an invite offers.
    pub struct InviteOffer {
        /// The tenant's name.
        workspace_name: String,
        /// What whoever joins may do in the workspace.
        role: UserRole,
        /// The rooms that they become a member of.
        rooms: Vec<OfferedRoom>,
        /// It is good until then.
        expires_at: UnixMs,
    }

    /// A room that is offered.
    pub struct OfferedRoom {
        /// The name that people see.
        name: String,
        /// Direct, group or channel.
        kind: RoomKind,
        /// What whoever joins may do there.
        role: Role,
    }

    /// `POST /invites/accept`
    #[serde(deny_unknown_fields)]
    pub struct AcceptInvite {
        /// What stands behind `#` in the link.
        #[cfg_attr(feature = "schema", schema(max_length = 64))]
        token: String,
        /// The sign-in name to have.
        #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 64, pattern = r"^[a-z0-9][a-z0-9._-]*$"))]
        login: String,
        /// The name that others see: 1 to 80 characters.
        #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 80, pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"))]
        name: String,
        /// At least as many characters as the policy asks for, 10 by default.
        #[cfg_attr(feature = "schema", schema(min_length = 8, max_length = 256))]
        password: String,
        /// What to call this device: 1 to 80 characters.
        #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 80, pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"))]
        device_name: String,
    }

    /// `POST /users/{user}/reset`
    #[serde(deny_unknown_fields)]
    pub struct NewReset {
        /// How long the link is good, s: 60 to 604,800 (a week).
        #[serde(default = "reset_life")]
        #[cfg_attr(feature = "schema", schema(minimum = 60, maximum = 604_800, default = 3_600))]
        expires_in_s: u32,
    }

    /// A one-time link for a new password. It is shown only now: the server keeps a keyed hash of it.
    pub struct ResetLink {
        /// Whoever has it sets the user's password. What is secret in it stands behind `#`, which browsers don't send.
        link: String,
        /// The link as a QR code, an SVG image.
        qr_svg: String,
        /// It is good until then, once.
        expires_at: UnixMs,
    }

    /// `POST /auth/reset`
    #[serde(deny_unknown_fields)]
    pub struct UseReset {
        /// What stands behind `#` in the link.
        #[cfg_attr(feature = "schema", schema(max_length = 64))]
        token: String,
        /// At least as many characters as the policy asks for, 10 by default.
        #[cfg_attr(feature = "schema", schema(min_length = 8, max_length = 256))]
        password: String,
        /// What to call this device: 1 to 80 characters.
        #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 80, pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"))]
        device_name: String,
    }

    /// `PUT /me/password`
    #[serde(deny_unknown_fields)]
    pub struct ChangePassword {
        /// The password until now.
        #[cfg_attr(feature = "schema", schema(max_length = 256))]
        old_password: String,
        /// At least as many characters as the policy asks for, 10 by default.
        #[cfg_attr(feature = "schema", schema(min_length = 8, max_length = 256))]
        new_password: String,
    }

    /// `PATCH /users/{user}`: what is absent stays.
    #[derive(Default)]
    #[serde(deny_unknown_fields)]
    pub struct ChangeUser {
        /// The name that others see: 1 to 80 characters. One may change one's own.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 80))]
        name: Option<String>,
        /// What they may do in the workspace; needs an admin.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        role: Option<UserRole>,
        /// `true`: they can't sign in and none of their tokens is good, until `false`; needs an admin.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        suspended: Option<bool>,
    }

    /// `PATCH /devices/{device}`
    #[serde(deny_unknown_fields)]
    pub struct ChangeDevice {
        /// What to call it: 1 to 80 characters. Later sign-ins keep this name.
        #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 80, pattern = r"^[^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f][^\x00-\x1f\x7f-\x9f]*$"))]
        name: String,
    }
}
