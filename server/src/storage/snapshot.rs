//! Copies of the whole database, also while a server writes to it.
//!
//! A copy is made by `VACUUM INTO`: it shows one moment, holds no lock that a writer would wait for, and leaves out whatever was deleted.
//! It is written under another name, synced, and only then given its own.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::error::OpenStoreError;
use super::schema::fault;
use crate::health::free_bytes;

/// What must be free beyond the size of the database, bytes.
const MARGIN: u64 = 16 * 1024 * 1024;

/// The name of the copy that is made before an upgrade from `version`.
pub fn name_before_upgrade(version: i64) -> String {
    format!("holler.schema-{version}.db")
}

/// Copies the database beside it before an upgrade from version `found`. One such copy is kept: those of still earlier versions
/// are removed.
pub(super) fn before_upgrade(db: &Connection, path: &Path, found: i64) -> Result<PathBuf, OpenStoreError> {
    let size = fs::metadata(path).map_err(io_at(path))?.len();
    let log = fs::metadata(path.with_extension("db-wal")).map_or(0, |wal| wal.len());
    let (needed, free) =
        (size + log + MARGIN, free_bytes(path.parent().unwrap_or(Path::new("."))).map_err(io_at(path))?);
    if free < needed {
        return Err(OpenStoreError::NoRoom { path: path.to_owned(), needed, free });
    }
    let to = path.with_file_name(name_before_upgrade(found));
    copy(db, &to)?;
    for earlier in 1..found {
        let _ = fs::remove_file(path.with_file_name(name_before_upgrade(earlier)));
    }
    Ok(to)
}

/// Copies the database to `to`, whole and synced, or not at all. What was at `to` is replaced.
pub(super) fn copy(db: &Connection, to: &Path) -> Result<(), OpenStoreError> {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let draft = to.with_file_name(name);
    let made = (|| {
        let _ = fs::remove_file(&draft);
        // SQLite writes into an empty file that is there, and so its mode is ours.
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).map_err(io_at(&draft))?;
        let name = draft.to_str().ok_or_else(|| io_at(&draft)(io::Error::other("the path is not UTF-8")))?;
        db.execute("VACUUM INTO ?1", [name]).map_err(|error| fault(&draft, error))?;
        File::open(&draft).and_then(|file| file.sync_all()).map_err(io_at(&draft))?;
        fs::rename(&draft, to).map_err(io_at(to))?;
        crate::keys::sync_parent(to).map_err(io_at(to))
    })();
    if made.is_err() {
        let _ = fs::remove_file(&draft);
    }
    made
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> OpenStoreError {
    let path = path.to_owned();
    move |source| OpenStoreError::Io { path, source }
}
