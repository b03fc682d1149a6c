//! One archive with everything, made beside a running server, and the way back.
//!
//! The archive is a tar file (POSIX.1-2001 ustar headers):
//!
//! | entry | what |
//! |---|---|
//! | `manifest.json` | first: when, by what, which schema, where each log and audit log stood, and the SHA-256 of every other entry |
//! | `holler.db` | the database at one moment; what people wrote and said is sealed in it |
//! | `KEYS` | which ring keys the database needs; no secrets |
//! | `keys.sealed` | only when asked for: the folder of keys, sealed with a passphrase |
//!
//! Without the keys the archive is worth nothing to whoever finds it, and without the keys nobody can use it: they are kept apart, or
//! in it under a passphrase.
//!
//! [`restore()`] makes a new data folder. What happened after the backup is lost to the server, and clients have numbers that mean
//! something else now. So every log gets a new incarnation, which makes clients read it anew and offer again what it lacks; and
//! a term far above every one that the lost history can have had.

mod archive;
mod keys;
mod restore;

use std::io;
use std::path::{Path, PathBuf};

use holler_core::seal::OpenError;
use holler_core::units::{Incarnation, RoomId, UnixMs, WorkspaceId};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::audit::{self, Action, Actor, Entry, Head};
use super::error::{OpenStoreError, StoreError};
use super::folder::{DATABASE_FILE, KEYS_FILE};
use super::{accounts, columns, schema, snapshot};

pub use restore::{Restored, TERMS, restore, verify};

/// The version of the archive's layout.
const FORMAT: u32 = 1;
const MANIFEST: &str = "manifest.json";
const SEALED_KEYS: &str = "keys.sealed";
/// Bytes of a manifest; 100,000 rooms have 20 MB.
const MANIFEST_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Bytes of `KEYS` and of the sealed keys.
const SMALL_BYTES_MAX: u64 = 1024 * 1024;

/// What an archive says about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The version of the layout.
    pub format: u32,
    /// The program that made it.
    pub made_by: String,
    /// When.
    pub made_at: UnixMs,
    /// The version of the tables.
    pub schema: i64,
    /// The workspaces.
    pub workspaces: Vec<WorkspaceAt>,
    /// The room logs.
    pub rooms: Vec<RoomAt>,
    /// The other entries.
    pub parts: Vec<Part>,
    /// How the key of `keys.sealed` comes from the passphrase; absent without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<keys::Derivation>,
}

/// Where a workspace stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkspaceAt {
    /// The workspace.
    pub workspace: WorkspaceId,
    /// Its audit log's head, as NUMBER:HASH.
    pub audit_head: String,
}

/// Where a room's log stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoomAt {
    /// The room.
    pub room: RoomId,
    /// The history that its numbers belong to.
    pub incarnation: Incarnation,
    /// The first event that is kept.
    pub first_seq: u64,
    /// The last one.
    pub head: u64,
}

/// An entry of the archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal.
    pub sha256: String,
}

/// Why there is no backup, or why it can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BackupError {
    /// The database.
    #[error(transparent)]
    Open(#[from] OpenStoreError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file to write is there.
    #[error("{0} is there already, and a backup is never written over: name another file, or remove it")]
    Exists(PathBuf),
    /// The archive is not what was written.
    #[error("{path} can't be used: {fault}. Use another backup; nothing was changed.")]
    Damaged {
        /// The archive.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
    /// A newer hollerd wrote it.
    #[error("{path} was made by {by} in layout {format}, this hollerd knows layout {FORMAT}: use a newer hollerd")]
    Newer {
        /// The archive.
        path: PathBuf,
        /// What made it.
        by: String,
        /// Its layout.
        format: u32,
    },
    /// There is something where the data shall go.
    #[error("{0} is not empty: a backup is restored into a new folder. Name one with --data; nothing was changed.")]
    NotEmpty(PathBuf),
    /// There is no key to seal or open the keys with.
    #[error("{0}")]
    Keys(String),
    /// The passphrase is wrong.
    #[error("the keys in the archive do not open: the passphrase is wrong, or they were changed. Nothing was changed.")]
    Passphrase(#[from] OpenError),
}

/// Keys to take along, and what to seal them with.
pub struct WithKeys<'a> {
    /// The folder of keys.
    pub folder: &'a Path,
    /// At least 12 characters.
    pub passphrase: Zeroizing<String>,
}

/// Makes an archive of the data folder at `to`, whole and synced, or not at all; a server may be running. Needs room for two copies of
/// the database beside `to` while it works. The audit log is told by the caller.
pub fn make(data: &Path, to: &Path, keys: Option<WithKeys<'_>>, now: UnixMs) -> Result<Manifest, BackupError> {
    if to.exists() {
        return Err(BackupError::Exists(to.to_owned()));
    }
    let database = data.join(DATABASE_FILE);
    let copy = beside(to, "db");
    let _copy = archive::Draft::new(copy.clone());
    {
        let db = schema::connect(&database, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        snapshot::copy(&db, &copy)?;
    }
    // Read after the copy: a key that the copy needs was named in it before the copy was made.
    let keys_file = data.join(KEYS_FILE);
    let names = std::fs::read(&keys_file).map_err(io_at(&keys_file))?;
    let db = schema::connect(&copy, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let (schema, workspaces, rooms) = described(&db)?;
    drop(db);
    let mut parts = vec![archive::measure(DATABASE_FILE, &copy)?, archive::part(KEYS_FILE, &names)];
    let mut small = vec![(KEYS_FILE, names)];
    let mut derivation = None;
    if let Some(WithKeys { folder, passphrase }) = keys {
        let (sealed, how) = keys::seal(folder, &passphrase, parts.first().map_or("", |part| &part.sha256))?;
        parts.push(archive::part(SEALED_KEYS, &sealed));
        small.push((SEALED_KEYS, sealed));
        derivation = Some(how);
    }
    let manifest = Manifest {
        format: FORMAT,
        made_by: concat!("hollerd ", env!("CARGO_PKG_VERSION")).to_owned(),
        made_at: now,
        schema,
        workspaces,
        rooms,
        parts,
        keys: derivation,
    };
    archive::write(to, &manifest, &copy, &small)?;
    Ok(manifest)
}

/// What the audit log is told of a backup.
pub fn entry(manifest: &Manifest) -> Entry {
    let bytes: u64 = manifest.parts.iter().map(|part| part.bytes).sum();
    let entry = Entry::new(Actor::Cli, Action::BackupMade).target(name(manifest)).detail("bytes", bytes);
    entry.detail("with_keys", manifest.keys.is_some())
}

/// How the audit log names an archive.
fn name(manifest: &Manifest) -> audit::Target {
    let hash = manifest.parts.iter().find(|part| part.name == DATABASE_FILE).map_or("", |part| &part.sha256);
    audit::Target::named("backup", hash.get(..16).unwrap_or_default())
}

type Described = (i64, Vec<WorkspaceAt>, Vec<RoomAt>);

fn described(db: &Connection) -> Result<Described, StoreError> {
    let schema = schema::version(db)?;
    let mut workspaces = Vec::new();
    for workspace in accounts::workspaces(db)? {
        // Before version 2 there was no audit log.
        let head = if schema >= 2 { audit::head(db, workspace)? } else { Head::default() };
        workspaces.push(WorkspaceAt { workspace, audit_head: head.to_string() });
    }
    let mut select =
        db.prepare_cached("SELECT room_id, incarnation, first_seq, head FROM room_heads ORDER BY room_id")?;
    let mut rows = select.query([])?;
    let mut rooms = Vec::new();
    while let Some(row) = rows.next()? {
        rooms.push(RoomAt {
            room: RoomId::from_bytes(row.get(0)?),
            incarnation: Incarnation::from_bytes(row.get(1)?),
            first_seq: columns::seq(row.get(2)?)?.0,
            head: columns::seq(row.get(3)?)?.0,
        });
    }
    Ok((schema, workspaces, rooms))
}

/// A name for something unfinished beside `path`, told from those of other processes.
fn beside(path: &Path, what: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.{what}", std::process::id()));
    path.with_file_name(name)
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    let path = path.to_owned();
    move |source| BackupError::Io { path, source }
}

#[cfg(test)]
mod tests;
