//! The audit log: who changed users, devices, rooms, members, tokens, rules and keys, and when.
//!
//! [`record`] is called inside the [`Store::write`](super::Store::write) closure of the change that it tells of, so that neither
//! is there without the other. Entries are never changed or removed. They name people by identifiers only; what else they say about
//! a person (a login, a name) is sealed with a key of that person, which [`forget`] deletes. The chain is over the sealed bytes, so
//! erasure does not break it: see [`chain`].

pub mod action;
pub mod chain;

use std::fmt;
use std::str::FromStr;

use holler_core::seal::Place;
use holler_core::units::{DeviceId, FamilyId, RoomId, UnixMs, UserId, WorkspaceId};
use rusqlite::{Connection, OptionalExtension as _, Row, params};
use serde_json::{Map, Value};

use super::columns::{int, uint};
use super::{StoreError, Vault};

pub use action::Action;
pub use chain::{Fault, Head, Sealed, Verifier};

/// Targets of one entry; more are left out, and the entry says how many.
pub const TARGETS_MAX: usize = 32;
/// Bytes of an entry's details as JSON; longer ones are refused.
pub const DETAILS_BYTES_MAX: usize = 4_096;
/// Entries of one page.
pub const PAGE_ENTRIES_MAX: u32 = 500;
/// Entries that one page looks at when it is filtered: then it may be short, or empty, and still have a next one.
const SCAN_MAX: u64 = 20_000;

/// Who did it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actor {
    /// Somebody with a token.
    User(UserId, DeviceId),
    /// Somebody at the server's command line.
    Cli,
    /// The server by itself.
    Server,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user, device) => write!(f, "{user}/{device}"),
            Self::Cli => f.write_str("cli"),
            Self::Server => f.write_str("server"),
        }
    }
}

impl FromStr for Actor {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let fault = || format!("expected cli, server or USER/DEVICE; found {text:?}");
        match text {
            "cli" => Ok(Self::Cli),
            "server" => Ok(Self::Server),
            _ => {
                let (user, device) = text.split_once('/').ok_or_else(fault)?;
                Ok(Self::User(user.parse().map_err(|_| fault())?, device.parse().map_err(|_| fault())?))
            }
        }
    }
}

/// What it was done to: an identifier as text, such as `usr_…`, or a name like `ring_key:2`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target(String);

impl Target {
    /// Something that has no identifier type. `kind` and `id` become `kind:id`; what is neither a letter of ASCII, a digit nor
    /// one of `_.-` becomes `-`.
    pub fn named(kind: &str, id: impl fmt::Display) -> Self {
        let clean = |text: String| -> String {
            let keep = |c: char| if c.is_ascii_alphanumeric() || "_.-".contains(c) { c } else { '-' };
            text.chars().take(80).map(keep).collect()
        };
        Self(format!("{}:{}", clean(kind.to_owned()), clean(id.to_string())))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! targets {
    ($($id:ty),*) => {$(
        impl From<$id> for Target {
            fn from(id: $id) -> Self {
                Self(id.to_string())
            }
        }
    )*};
}

targets!(UserId, DeviceId, FamilyId, RoomId, WorkspaceId);

/// Something to record.
#[derive(Clone, Debug)]
pub struct Entry {
    actor: Actor,
    action: Action,
    targets: Vec<Target>,
    about: Option<UserId>,
    details: Map<String, Value>,
}

impl Entry {
    /// `actor` did `action`.
    pub fn new(actor: Actor, action: Action) -> Self {
        Self { actor, action, targets: Vec::new(), about: None, details: Map::new() }
    }

    /// To this. The first target is the main one.
    #[must_use]
    pub fn target(mut self, target: impl Into<Target>) -> Self {
        self.targets.push(target.into());
        self
    }

    /// The details are personal: about this user, who can be erased. Without it they must say nothing about a person.
    #[must_use]
    pub fn about(mut self, user: UserId) -> Self {
        self.about = Some(user);
        self
    }

    /// Something more to say. Never a secret.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.insert(name.to_owned(), value.into());
        self
    }
}

/// Adds an entry to the workspace's log. Called in the transaction of the change; gives the entry's number.
pub fn record(
    db: &Connection,
    vault: &Vault,
    workspace: WorkspaceId,
    at: UnixMs,
    entry: Entry,
) -> Result<u64, StoreError> {
    let Entry { actor, action, mut targets, about, mut details } = entry;
    if targets.len() > TARGETS_MAX {
        details.insert("further_targets".to_owned(), Value::from(targets.len() - TARGETS_MAX));
        targets.truncate(TARGETS_MAX);
    }
    let number = head(db, workspace)?.number + 1;
    let details = if details.is_empty() {
        Vec::new()
    } else {
        let json = Value::Object(details).to_string();
        if json.len() > DETAILS_BYTES_MAX {
            return Err(StoreError::OutOfBounds(format!(
                "the details of an audit entry have at most {DETAILS_BYTES_MAX} bytes; found {}",
                json.len()
            )));
        }
        let sealer = match about {
            Some(user) => vault.person(db, workspace, user)?,
            None => Some(vault.workspace(db, workspace)?),
        };
        // Of somebody who was erased nothing is kept.
        sealer
            .map(|sealer| in_its_place(workspace, number, |place| sealer.seal(place, json.as_bytes())))
            .transpose()?
            .unwrap_or_default()
    };
    append(db, workspace, at, Entry { actor, action, targets, about, details: Map::new() }, details)
}

/// The same without any key, for what is known before there is one: of `entry`'s details nothing is kept.
pub(super) fn record_plain(
    db: &Connection,
    workspace: WorkspaceId,
    at: UnixMs,
    entry: Entry,
) -> Result<u64, StoreError> {
    append(db, workspace, at, entry, Vec::new())
}

fn append(
    db: &Connection,
    workspace: WorkspaceId,
    at: UnixMs,
    entry: Entry,
    details: Vec<u8>,
) -> Result<u64, StoreError> {
    let Entry { actor, action, targets, about, .. } = entry;
    let before = head(db, workspace)?;
    let number = before.number + 1;
    let targets: Vec<&str> = targets.iter().map(Target::as_str).collect();
    let mut sealed = Sealed {
        number,
        at,
        actor: actor.to_string(),
        action: action.as_str().to_owned(),
        targets: targets.join(" "),
        about,
        details,
        previous: before.hash,
        hash: [0; chain::HASH_BYTES],
    };
    sealed.hash = sealed.computed(workspace);
    db.prepare_cached(
        "INSERT INTO audit (workspace_id, number, at, actor, action, targets, about, details, previous, hash) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
    )?
    .execute(params![
        workspace.bytes(),
        int(number),
        int(at.0),
        sealed.actor,
        sealed.action,
        sealed.targets,
        about.as_ref().map(UserId::bytes),
        sealed.details,
        sealed.previous,
        sealed.hash,
    ])?;
    db.prepare_cached(
        "INSERT INTO audit_heads (workspace_id, number, hash) VALUES (?1, ?2, ?3) \
         ON CONFLICT (workspace_id) DO UPDATE SET number = excluded.number, hash = excluded.hash",
    )?
    .execute(params![workspace.bytes(), int(number), sealed.hash])?;
    Ok(number)
}

/// Where the workspace's log stands.
pub fn head(db: &Connection, workspace: WorkspaceId) -> Result<Head, StoreError> {
    let row = db
        .prepare_cached("SELECT number, hash FROM audit_heads WHERE workspace_id = ?1")?
        .query_row([workspace.bytes()], |row| Ok((row.get::<_, i64>(0)?, row.get(1)?)))
        .optional()?;
    let Some((number, hash)) = row else { return Ok(Head::default()) };
    Ok(Head { number: uint(number, "the number of the audit log's head")?, hash })
}

/// Makes unreadable whatever the log says about a person, now and from now on. The chain still holds.
pub fn forget(db: &Connection, workspace: WorkspaceId, user: UserId) -> Result<(), StoreError> {
    db.prepare_cached(
        "INSERT INTO audit_keys (workspace_id, user_id, wrapped) VALUES (?1, ?2, NULL) \
         ON CONFLICT (workspace_id, user_id) DO UPDATE SET wrapped = NULL",
    )?
    .execute(params![workspace.bytes(), user.bytes()])?;
    Ok(())
}

/// Hands every entry from number `from` on to `each`, in order, as it is stored.
pub fn each<E: From<StoreError>>(
    db: &Connection,
    workspace: WorkspaceId,
    from: u64,
    mut each: impl FnMut(Sealed) -> Result<(), E>,
) -> Result<(), E> {
    let read = |error: rusqlite::Error| StoreError::from(error);
    let mut select = db
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM audit WHERE workspace_id = ?1 AND number >= ?2 ORDER BY number"
        ))
        .map_err(read)?;
    let mut rows = select.query(params![workspace.bytes(), int(from)]).map_err(read)?;
    while let Some(row) = rows.next().map_err(read)? {
        each(sealed(row)?)?;
    }
    Ok(())
}

/// Checks the whole log: that it is one chain, that it ends where the database says, and that it contains the heads that were
/// kept elsewhere.
pub fn verify(db: &Connection, workspace: WorkspaceId, mut kept: Vec<Head>) -> Result<Result<Head, Fault>, StoreError> {
    enum Stop {
        Store(StoreError),
        Fault(Fault),
    }
    impl From<StoreError> for Stop {
        fn from(error: StoreError) -> Self {
            Self::Store(error)
        }
    }
    kept.push(head(db, workspace)?);
    let mut verifier = Verifier::new(workspace, kept);
    match each(db, workspace, 0, |entry| verifier.push(&entry).map_err(Stop::Fault)) {
        Ok(()) => Ok(verifier.finish()),
        Err(Stop::Fault(fault)) => Ok(Err(fault)),
        Err(Stop::Store(error)) => Err(error),
    }
}

/// What of the log to read.
#[derive(Clone, Debug, Default)]
pub struct Query {
    /// Only entries below this number; `None`: from the newest on.
    pub before: Option<u64>,
    /// Only this action.
    pub action: Option<Action>,
    /// Only entries with this target.
    pub target: Option<String>,
    /// Up to so many; at most [`PAGE_ENTRIES_MAX`].
    pub limit: u32,
}

/// An entry with its details opened.
#[derive(Clone, Debug)]
pub struct Opened {
    /// From 1 on, without holes.
    pub number: u64,
    /// When it happened.
    pub at: UnixMs,
    /// `server`, `cli`, or USER/DEVICE: see [`Actor`].
    pub actor: String,
    /// The name of an [`Action`].
    pub action: String,
    /// To what.
    pub targets: Vec<String>,
    /// Whose details these are.
    pub about: Option<UserId>,
    /// `None`: the person whom they are about was erased.
    pub details: Option<Map<String, Value>>,
    /// The entry's hash.
    pub hash: [u8; chain::HASH_BYTES],
}

/// Some entries, newest first.
#[derive(Clone, Debug)]
pub struct Page {
    /// The entries.
    pub entries: Vec<Opened>,
    /// [`Query::before`] of the next page; `None`: there is none.
    pub next: Option<u64>,
}

/// Reads a page of the log, newest first.
pub fn page(db: &Connection, vault: &Vault, workspace: WorkspaceId, query: &Query) -> Result<Page, StoreError> {
    let limit = query.limit.clamp(1, PAGE_ENTRIES_MAX);
    let before = query.before.unwrap_or(u64::MAX).min(head(db, workspace)?.number + 1);
    let lowest = before.saturating_sub(SCAN_MAX).max(1);
    let mut select = db.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM audit WHERE workspace_id = ?1 AND number < ?2 AND number >= ?3 \
         AND (?4 IS NULL OR action = ?4) AND (?5 IS NULL OR instr(' ' || targets || ' ', ' ' || ?5 || ' ') > 0) \
         ORDER BY number DESC LIMIT ?6"
    ))?;
    let mut rows = select.query(params![
        workspace.bytes(),
        int(before),
        int(lowest),
        query.action.map(Action::as_str),
        query.target,
        limit
    ])?;
    let mut entries = Vec::new();
    while let Some(row) = rows.next()? {
        entries.push(open(db, vault, workspace, sealed(row)?)?);
    }
    let full = entries.len() >= usize::try_from(limit).unwrap_or(usize::MAX);
    let reached = if full { entries.last().map_or(lowest, |last| last.number) } else { lowest };
    Ok(Page { next: (reached > 1).then_some(reached), entries })
}

/// Opens an entry.
pub fn open(db: &Connection, vault: &Vault, workspace: WorkspaceId, entry: Sealed) -> Result<Opened, StoreError> {
    let Sealed { number, at, actor, action, targets, about, details, hash, .. } = entry;
    let sealer = match about {
        _ if details.is_empty() => None,
        Some(user) => vault.person_if_kept(db, workspace, user)?,
        None => Some(vault.workspace(db, workspace)?),
    };
    let details = match sealer {
        None if details.is_empty() => Some(Map::new()),
        None => None,
        Some(sealer) => {
            let json = in_its_place(workspace, number, |place| sealer.open(place, &details))?;
            let damaged = || StoreError::Damaged(format!("the details of audit entry {number}"));
            Some(serde_json::from_slice(&json).map_err(|_| damaged())?)
        }
    };
    let targets = targets.split_whitespace().map(str::to_owned).collect();
    Ok(Opened { number, at, actor, action, targets, about, details, hash })
}

const COLUMNS: &str = "number, at, actor, action, targets, about, details, previous, hash";

fn sealed(row: &Row<'_>) -> Result<Sealed, StoreError> {
    Ok(Sealed {
        number: uint(row.get(0)?, "the number of an audit entry")?,
        at: UnixMs(uint(row.get(1)?, "the time of an audit entry")?),
        actor: row.get(2)?,
        action: row.get(3)?,
        targets: row.get(4)?,
        about: row.get::<_, Option<[u8; 16]>>(5)?.map(UserId::from_bytes),
        details: row.get(6)?,
        previous: row.get(7)?,
        hash: row.get(8)?,
    })
}

fn in_its_place<T>(workspace: WorkspaceId, number: u64, f: impl FnOnce(&Place<'_>) -> T) -> T {
    let number = number.to_be_bytes();
    f(&Place { table: "audit", column: "details", row: &[workspace.bytes(), &number] })
}

#[cfg(test)]
mod tests;
