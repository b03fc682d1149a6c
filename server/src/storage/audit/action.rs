//! What the audit log can tell of: a closed list with names that never change.

use std::fmt;
use std::str::FromStr;

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Something that was done. The names are part of the log and of its exports: they never change their meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action {
            $($(#[$doc])* $name,)*
        }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

actions! {
    /// The first start made the workspace.
    WorkspaceMade = "workspace.made",
    /// Its rules were changed.
    PolicyChanged = "policy.changed",
    /// A user was added.
    UserAdded = "user.added",
    /// A user's name or login was changed.
    UserChanged = "user.changed",
    /// What a user may do in the workspace was changed.
    UserRoleSet = "user.role_set",
    /// A user may not sign in any more, for now.
    UserSuspended = "user.suspended",
    /// A user may sign in again.
    UserResumed = "user.resumed",
    /// A password was set; every sign-in of the user ended.
    PasswordSet = "user.password_set",
    /// A user's data was handed out.
    UserExported = "user.exported",
    /// A user was removed; what entries said about them can't be read any more.
    UserErased = "user.erased",
    /// An invite was made.
    InviteMade = "invite.made",
    /// Somebody joined by an invite.
    InviteUsed = "invite.used",
    /// An invite was called back.
    InviteRevoked = "invite.revoked",
    /// A one-time link for a new password was made.
    ResetMade = "reset.made",
    /// A one-time link for a new password was used.
    ResetUsed = "reset.used",
    /// A device was added, by a sign-in or for a script.
    DeviceAdded = "device.added",
    /// A device was given another name.
    DeviceNamed = "device.named",
    /// A device was signed out for good.
    DeviceRevoked = "device.revoked",
    /// A token for a script was made.
    TokenMade = "token.made",
    /// A device signed in.
    SignInBegun = "sign_in.begun",
    /// A sign-in ended: the user signed out.
    SignedOut = "sign_in.ended",
    /// A refresh token came a second time; the sign-in was ended.
    SignInReused = "sign_in.reused",
    /// Sign-in failed so often that further attempts are braked.
    SignInBraked = "sign_in.braked",
    /// The key that Web Push services know this server by was made.
    PushKeyMade = "push_key.made",
    /// A device is told of what it missed from now on.
    PushSubscribed = "push.subscribed",
    /// It is not any more.
    PushUnsubscribed = "push.unsubscribed",
    /// A room was added.
    RoomAdded = "room.added",
    /// A room's name was changed.
    RoomChanged = "room.changed",
    /// A room's key was deleted, and with it everything that was said there.
    RoomShredded = "room.shredded",
    /// How long a room keeps its events was changed.
    RetentionSet = "room.retention_set",
    /// Nothing of a room is removed from now on.
    RoomHeld = "room.held",
    /// The legal hold of a room ended.
    RoomReleased = "room.released",
    /// A member was added, or what they may do in the room was changed.
    MemberSet = "member.set",
    /// A member was removed.
    MemberRemoved = "member.removed",
    /// A new key of the ring wraps the data keys.
    RingKeyRotated = "ring_key.rotated",
    /// A key of the ring that nothing needs any more was removed.
    RingKeyPruned = "ring_key.pruned",
    /// A new key signs access tokens.
    SigningKeyRotated = "signing_key.rotated",
    /// A key that no token needs any more was removed.
    SigningKeyPruned = "signing_key.pruned",
    /// Resume tokens are made with a new key.
    ResumeKeyRotated = "resume_key.rotated",
    /// A key of resume tokens was removed.
    ResumeKeyPruned = "resume_key.pruned",
    /// A backup was made.
    BackupMade = "backup.made",
    /// This data was restored from a backup; every log has a new incarnation.
    BackupRestored = "backup.restored",
    /// The tables were brought up to a newer version.
    SchemaMigrated = "schema.migrated",
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Action {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().copied().find(|action| action.as_str() == text);
        found.ok_or_else(|| {
            let names: Vec<_> = Self::ALL.iter().map(|action| action.as_str()).collect();
            format!("expected one of {}; found {text:?}", names.join(", "))
        })
    }
}
