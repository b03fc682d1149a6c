//! People, devices, sign-ins, rooms and members: every statement on the tables of `schema/1/accounts.sql`.
//!
//! [`Accounts`] works on one workspace inside a closure of [`Store::write`](super::Store::write) or
//! [`Store::read`](super::Store::read). Names and logins are sealed; a login is found by its keyed hash. A change that running
//! servers must notice (a device revoked, a member removed) raises the workspace's generation in the same transaction, and
//! [`crate::auth`] watches that.

mod cursors;
mod devices;
mod direct;
pub mod erase;
mod export;
mod idempotency;
mod invites;
mod policy;
mod push;
mod resets;
mod resume;
mod rooms;
mod roster;
mod shred;
mod tokens;
mod users;

use holler_core::model::{Role, RoomKind, UserRole};
use holler_core::seal::Place;
use holler_core::units::{DeviceId, FamilyId, RoomId, UnixMs, UserId, WorkspaceId};
use holler_core::wire::policy::Policy;
use rusqlite::{Connection, Row, params};
use zeroize::Zeroizing;

use super::audit::{self, Action, Actor, Entry, Target};
use super::{Sealer, StoreError, Vault};

pub use idempotency::{Begun, RequestHash};
pub use invites::{InviteRow, Offer, invites_from};
pub use push::{Notice, Told, Words, push_rules};
pub use resume::ResumeKeyRow;
pub use roster::{View, last_roster_change};
pub use tokens::TokenRow;

/// Devices of one user that are not revoked; a further one replaces the one that was unused for longest.
pub const DEVICES_MAX: usize = 64;
/// How long a revoked device is still listed, ms: 90 days.
const DEVICE_KEPT_MS: u64 = 90 * 86_400_000;
/// Members of a direct room.
const DIRECT_MEMBERS_MAX: usize = 2;

/// Why a change of accounts was refused.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// Another user has this login.
    #[error("the login is taken: choose another")]
    LoginTaken,
    /// No such user in this workspace.
    #[error("there is no such user")]
    NoUser,
    /// No such room in this workspace.
    #[error("there is no such room")]
    NoRoom,
    /// The user is no member of the room.
    #[error("this user is no member of the room")]
    NoMember,
    /// Nothing of the room may be removed.
    #[error("the room is under legal hold: nothing of it may be removed until that is released")]
    Held,
    /// A direct room is for two.
    #[error("a direct room has {DIRECT_MEMBERS_MAX} members: make a group instead")]
    DirectFull,
    /// A direct room is for those two for whom it was opened.
    #[error("this direct room stays the two people's for whom it was opened: open another one")]
    DirectTaken,
    /// What the request expected is not there any more.
    #[error("it was changed meanwhile: read it again, and send the ETag that comes with it")]
    Stale,
    /// Only groups and channels turn into each other.
    #[error("a direct room stays one, and no other becomes one: make a new room instead")]
    KindFixed,
    /// No such device, or it is revoked already.
    #[error("there is no such device")]
    NoDevice,
    /// The client was away for too long, or what it sees is another view now.
    #[error("this sync token is too old, or not of this view: take a snapshot by leaving out since")]
    SyncTokenExpired,
    /// No such token for scripts, or it is somebody else's.
    #[error("there is no such token of yours")]
    NoToken,
    /// No cursor of this list.
    #[error("expected the cursor from the field Link of the page before")]
    CursorMalformed,
    /// No sync token at all.
    #[error("expected the sync_token of an earlier answer")]
    SyncTokenMalformed,
    /// This device is told nowhere.
    #[error("this device has no push subscription")]
    NoSubscription,
    /// No such invite, or it was taken back already.
    #[error("there is no such invite")]
    NoInvite,
    /// There are as many as there may be.
    #[error("there are {most} {what}, which is the most: {remedy}")]
    Full {
        /// Of what.
        what: &'static str,
        /// How many there may be.
        most: u32,
        /// What to do.
        remedy: &'static str,
    },
    /// The link of an invite leads nowhere.
    #[error("this invite is not good")]
    InviteOver,
    /// The link for a new password leads nowhere.
    #[error("this link is not good")]
    LinkOver,
    /// Without this user nobody could manage the workspace.
    #[error("this is the last admin who can sign in: make somebody else an admin first")]
    LastAdmin,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for AccountError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

/// A user as stored; never the password.
#[derive(Clone, Debug)]
pub struct UserRow {
    /// Names the user.
    pub id: UserId,
    /// The sign-in name.
    pub login: String,
    /// The name that others see.
    pub name: String,
    /// What they may do in the workspace.
    pub role: UserRole,
}

/// What sign-in needs to know of a user.
pub struct Credentials {
    /// Names the user.
    pub user: UserId,
    /// What they may do in the workspace.
    pub role: UserRole,
    /// The Argon2id PHC string.
    pub password: Zeroizing<String>,
    /// Whether they can't sign in for now.
    pub suspended: bool,
}

/// A device as stored.
#[derive(Clone, Debug)]
pub struct DeviceRow {
    /// Names the device.
    pub id: DeviceId,
    /// Whose it is.
    pub user: UserId,
    /// What it was called at sign-in.
    pub name: String,
    /// When it first signed in.
    pub created_at: UnixMs,
    /// When it last fetched a token.
    pub last_used_at: UnixMs,
    /// Whether it is signed out for good.
    pub revoked: bool,
}

/// A room as stored.
#[derive(Clone, Debug)]
pub struct RoomRow {
    /// Names the room.
    pub id: RoomId,
    /// The name that people see.
    pub name: String,
    /// Direct, group or channel.
    pub kind: RoomKind,
    /// How many people are in it.
    pub members: u32,
    /// A talk limit of its own, s.
    pub talk_limit_s: Option<u32>,
}

/// A member of a room as stored.
#[derive(Clone, Debug)]
pub struct MemberRow {
    /// Who.
    pub user: UserId,
    /// The name that people see.
    pub name: String,
    /// What they may do here.
    pub role: Role,
}

/// A sign-in as stored.
pub struct SignInRow {
    /// The device that it belongs to.
    pub device: DeviceId,
    /// Whose device.
    pub user: UserId,
    /// What they may do in the workspace, now.
    pub role: UserRole,
    /// The key of its tokens' MAC.
    pub secret: Zeroizing<Vec<u8>>,
    /// The number of the token that comes next.
    pub rotation: u32,
    /// When the one before it was used.
    pub rotated_at: UnixMs,
    /// It ends then unless it is refreshed.
    pub expires_at: UnixMs,
    /// Whether it, or its device, was ended.
    pub ended: bool,
}

/// A signing key as stored: its id and its PKCS #8.
pub type SigningKeyRow = (String, Zeroizing<Vec<u8>>);

/// Why a sign-in ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The user signed out.
    SignedOut,
    /// An old refresh token came back.
    Reused,
    /// The device was revoked.
    Revoked,
    /// The password was changed.
    Password,
    /// The user was suspended.
    Suspended,
}

impl Ended {
    const fn as_str(self) -> &'static str {
        match self {
            Self::SignedOut => "signed-out",
            Self::Reused => "reused",
            Self::Revoked => "revoked",
            Self::Password => "password",
            Self::Suspended => "suspended",
        }
    }
}

/// Everything that decides whether a request is allowed.
#[derive(Debug, Default)]
pub struct Rights {
    /// The generation that this shows.
    pub generation: u64,
    /// Every user who is not suspended.
    pub users: Vec<(UserId, UserRole)>,
    /// Devices that are not revoked, of users who are not suspended, with the sign-in that is good, if any.
    pub devices: Vec<(DeviceId, UserId, Option<FamilyId>)>,
    /// Every room.
    pub rooms: Vec<RoomId>,
    /// Every membership.
    pub members: Vec<(RoomId, UserId, Role)>,
    /// The rules.
    pub policy: Policy,
    /// Rooms with a talk limit of their own, s.
    pub talk_limits: Vec<(RoomId, u32)>,
}

/// The workspaces of this database.
pub fn workspaces(db: &Connection) -> Result<Vec<WorkspaceId>, StoreError> {
    let mut statement = db.prepare_cached("SELECT workspace_id FROM workspaces ORDER BY created_at, workspace_id")?;
    let rows = statement.query_map([], |row| Ok(WorkspaceId::from_bytes(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The generation of a workspace: it rises with every change that running servers must notice.
pub fn generation(db: &Connection, workspace: WorkspaceId) -> Result<u64, StoreError> {
    let mut statement = db.prepare_cached("SELECT generation FROM workspaces WHERE workspace_id = ?1")?;
    Ok(statement.query_row([workspace.bytes()], |row| whole(row, 0))?)
}

/// The accounts of one workspace, within one transaction.
pub struct Accounts<'a> {
    db: &'a Connection,
    sealer: Sealer,
    vault: Vault,
    workspace: WorkspaceId,
    acting: Option<(Actor, UnixMs)>,
}

impl<'a> Accounts<'a> {
    /// Makes a workspace with its data key, for `actor`.
    pub fn create(
        db: &'a Connection,
        vault: &Vault,
        workspace: WorkspaceId,
        name: &str,
        now: UnixMs,
    ) -> Result<Self, StoreError> {
        let (sealer, acting) = (vault.create_workspace(db, workspace)?, Some((Actor::Server, now)));
        let accounts = Self { db, sealer, vault: vault.clone(), workspace, acting };
        let name = accounts.seal("workspaces", "name", workspace.bytes(), name.as_bytes())?;
        db.prepare_cached(
            "INSERT INTO workspaces (workspace_id, name, created_at, generation) VALUES (?1, ?2, ?3, 1)",
        )?
        .execute(params![workspace.bytes(), name, ms(now)])?;
        accounts.record(Action::WorkspaceMade, |entry| entry.target(workspace))?;
        Ok(accounts)
    }

    /// Opens a workspace, for reading; for changing it, say who does that with [`Accounts::acting`].
    pub fn open(db: &'a Connection, vault: &Vault, workspace: WorkspaceId) -> Result<Self, StoreError> {
        Ok(Self { db, sealer: vault.workspace(db, workspace)?, vault: vault.clone(), workspace, acting: None })
    }

    /// Whose changes, and when, the audit log is told from now on.
    #[must_use]
    pub fn acting(self, actor: Actor, now: UnixMs) -> Self {
        Self { acting: Some((actor, now)), ..self }
    }

    /// Tells the audit log, in the transaction of the change. `fill` adds the targets and what else is to be said.
    pub fn record(&self, action: Action, fill: impl FnOnce(Entry) -> Entry) -> Result<(), StoreError> {
        let (actor, now) = self.acting.ok_or(StoreError::NoActor)?;
        audit::record(self.db, &self.vault, self.workspace, now, fill(Entry::new(actor, action)))?;
        Ok(())
    }

    fn seal(&self, table: &str, column: &str, row: &[u8; 16], value: &[u8]) -> Result<Vec<u8>, StoreError> {
        self.sealer.seal(&Place { table, column, row: &[self.workspace.bytes(), row] }, value)
    }

    fn text(&self, table: &str, column: &str, row: &[u8; 16], sealed: &[u8]) -> Result<String, StoreError> {
        self.sealer.open_text(&Place { table, column, row: &[self.workspace.bytes(), row] }, sealed)
    }

    /// The database, for other modules of the storage.
    pub(super) fn db(&self) -> &Connection {
        self.db
    }

    /// The workspace.
    pub(super) fn workspace(&self) -> WorkspaceId {
        self.workspace
    }

    /// Refuses where `count`, a statement on the workspace ?1 and `of` ?2, finds as many as there may be.
    fn spare_room(
        &self,
        count: &str,
        of: &[u8; 16],
        what: &'static str,
        most: u32,
        remedy: &'static str,
    ) -> Result<(), AccountError> {
        let found: u32 = self.db.prepare_cached(count)?.query_row(params![self.ws(), of], |row| row.get(0))?;
        if found >= most { Err(AccountError::Full { what, most, remedy }) } else { Ok(()) }
    }

    /// The transaction.
    pub(super) fn connection(&self) -> &Connection {
        self.db
    }

    /// The data keys.
    pub(super) fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The workspace.
    pub(super) fn workspace_id(&self) -> WorkspaceId {
        self.workspace
    }

    fn ws(&self) -> &[u8; 16] {
        self.workspace.bytes()
    }

    /// Tells running servers that users, devices, rooms or members changed; gives the new generation.
    pub fn changed(&self) -> Result<u64, StoreError> {
        Ok(self
            .db
            .prepare_cached(
                "UPDATE workspaces SET generation = generation + 1 WHERE workspace_id = ?1 RETURNING generation",
            )?
            .query_row([self.ws()], |row| whole(row, 0))?)
    }

    /// The workspace's name.
    pub fn workspace_name(&self) -> Result<String, StoreError> {
        let sealed: Vec<u8> = self
            .db
            .prepare_cached("SELECT name FROM workspaces WHERE workspace_id = ?1")?
            .query_row([self.ws()], |row| row.get(0))?;
        self.text("workspaces", "name", self.ws(), &sealed)
    }

    /// A page of the audit log.
    pub fn audit(&self, query: &audit::Query) -> Result<audit::Page, StoreError> {
        audit::page(self.db, &self.vault, self.workspace, query)
    }

    /// Everything that decides whether a request is allowed.
    pub fn rights(&self) -> Result<Rights, StoreError> {
        fn list<T>(
            db: &Connection,
            workspace: &[u8; 16],
            sql: &str,
            read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
        ) -> Result<Vec<T>, StoreError> {
            Ok(db.prepare_cached(sql)?.query_map([workspace], read)?.collect::<Result<_, _>>()?)
        }
        Ok(Rights {
            generation: generation(self.db, self.workspace)?,
            users: list(
                self.db,
                self.ws(),
                "SELECT user_id, role FROM users WHERE workspace_id = ?1 AND suspended_at IS NULL",
                |row| Ok((UserId::from_bytes(row.get(0)?), word(row, 1)?)),
            )?,
            devices: list(
                self.db,
                self.ws(),
                "SELECT d.device_id, d.user_id, s.family_id FROM devices d LEFT JOIN sign_ins s ON s.workspace_id = d.workspace_id \
                 AND s.device_id = d.device_id AND s.ended IS NULL WHERE d.workspace_id = ?1 AND d.revoked_at IS NULL \
                 AND d.user_id NOT IN (SELECT user_id FROM users WHERE workspace_id = ?1 AND suspended_at IS NOT NULL)",
                |row| {
                    let family = row.get::<_, Option<[u8; 16]>>(2)?.map(FamilyId::from_bytes);
                    Ok((DeviceId::from_bytes(row.get(0)?), UserId::from_bytes(row.get(1)?), family))
                },
            )?,
            rooms: list(self.db, self.ws(), "SELECT room_id FROM rooms WHERE workspace_id = ?1", |row| {
                Ok(RoomId::from_bytes(row.get(0)?))
            })?,
            members: list(
                self.db,
                self.ws(),
                "SELECT room_id, user_id, role FROM members WHERE workspace_id = ?1",
                |row| Ok((RoomId::from_bytes(row.get(0)?), UserId::from_bytes(row.get(1)?), word(row, 2)?)),
            )?,
            policy: self.policy()?,
            talk_limits: list(
                self.db,
                self.ws(),
                "SELECT room_id, talk_limit_s FROM rooms WHERE workspace_id = ?1 AND talk_limit_s IS NOT NULL",
                |row| Ok((RoomId::from_bytes(row.get(0)?), row.get(1)?)),
            )?,
        })
    }

    /// A page of the audit log.
    pub fn audit_page(&self, query: &audit::Query) -> Result<audit::Page, StoreError> {
        audit::page(self.db, &self.vault, self.workspace, query)
    }

    /// The signing keys, newest first: id and PKCS #8.
    pub fn signing_keys(&self) -> Result<Vec<SigningKeyRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT key_id, private FROM signing_keys WHERE workspace_id = ?1 ORDER BY created_at DESC, key_id",
        )?;
        let rows = statement.query_map([self.ws()], |row| Ok((row.get::<_, String>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        rows.map(|row| {
            let (id, sealed) = row?;
            let place = Place { table: "signing_keys", column: "private", row: &[self.ws(), id.as_bytes()] };
            let private = self.sealer.open(&place, &sealed)?;
            Ok((id, Zeroizing::new(private)))
        })
        .collect()
    }

    /// Removes the signing keys that were replaced before `before`; tokens that they signed are refused from then on. Gives how many.
    pub fn prune_signing_keys(&self, before: UnixMs) -> Result<usize, StoreError> {
        let mut delete = self.db.prepare_cached(&replaced_before("signing_keys"))?;
        let pruned: Vec<String> =
            delete.query_map(params![self.ws(), ms(before)], |row| row.get(0))?.collect::<Result<_, _>>()?;
        for id in &pruned {
            self.record(Action::SigningKeyPruned, |entry| entry.target(Target::named("signing_key", id)))?;
        }
        Ok(pruned.len())
    }

    /// Adds a signing key.
    pub fn add_signing_key(&self, id: &str, private: &[u8], now: UnixMs) -> Result<(), StoreError> {
        let place = Place { table: "signing_keys", column: "private", row: &[self.ws(), id.as_bytes()] };
        let sealed = self.sealer.seal(&place, private)?;
        self.db
            .prepare_cached(
                "INSERT INTO signing_keys (workspace_id, key_id, private, created_at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![self.ws(), id, sealed, ms(now)])?;
        self.record(Action::SigningKeyRotated, |entry| entry.target(Target::named("signing_key", id)))
    }
}

/// Deletes the keys of a workspace ?1 in this table that were replaced before ?2, which is when the next newer one was made.
fn replaced_before(table: &str) -> String {
    format!(
        "DELETE FROM {table} WHERE workspace_id = ?1 AND key_id IN (SELECT key_id FROM (SELECT key_id, lag(created_at) OVER \
         (ORDER BY created_at DESC, key_id) AS replaced_at FROM {table} WHERE workspace_id = ?1) WHERE replaced_at < ?2) \
         RETURNING key_id"
    )
}

/// SQLite's integers are signed; our times stay far below 2^63.
fn ms(time: UnixMs) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

fn whole(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

fn time(row: &Row<'_>, column: usize) -> rusqlite::Result<UnixMs> {
    whole(row, column).map(UnixMs)
}

/// A word of the model in a column.
fn word<T: std::str::FromStr<Err = String>>(row: &Row<'_>, column: usize) -> rusqlite::Result<T> {
    row.get_ref(column)?.as_str()?.parse().map_err(|error: String| {
        rusqlite::Error::FromSqlConversionFailure(column, rusqlite::types::Type::Text, error.into())
    })
}

#[cfg(test)]
#[path = "accounts_tests.rs"]
mod tests;
