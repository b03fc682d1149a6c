//! The data folder: who holds it, which ring keys it needs, and whether the database in it is ours.
//!
//! `KEYS` lies beside the database and not in it, because even reading a database that was not closed cleanly changes files.
//! So a wrong key ring is noticed while nothing has been touched.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use holler_core::seal::KeyId;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::error::OpenStoreError;
use super::schema::APPLICATION_ID;
use crate::keys::{self, KeyRing};

/// The database's file name.
pub const DATABASE_FILE: &str = "holler.db";
/// Which ring keys the data needs.
pub(super) const KEYS_FILE: &str = "KEYS";
const LOCK_FILE: &str = "LOCK";

/// Whether `data` holds anything that needs a key ring.
pub fn has_data(data: &Path) -> bool {
    [DATABASE_FILE, KEYS_FILE].iter().any(|name| data.join(name).exists())
}

/// The right to serve a data folder. It ends with the value or with the process, however that ends.
#[derive(Debug)]
pub struct ServeLock {
    data: PathBuf,
    file: File,
}

impl ServeLock {
    /// Takes the right to serve `data`, creating the folder where it is missing; refused while another process has it.
    pub fn acquire(data: &Path) -> Result<Self, OpenStoreError> {
        create_folder(data)?;
        let path = data.join(LOCK_FILE);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io_at(&path))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                let _ = (&file).take(32).read_to_string(&mut text);
                let pid = if text.trim().is_empty() { "unknown" } else { text.trim() };
                return Err(OpenStoreError::InUse { folder: data.to_owned(), pid: pid.to_owned() });
            }
            Err(error) => return Err(io_at(&path)(error.into())),
        }
        Ok(Self { data: data.to_owned(), file })
    }

    /// Leaves this process's number for a second server to name, once it is sure that `ring` fits the data: until then nothing
    /// is written.
    pub fn sign(&mut self, ring: &KeyRing) -> Result<(), OpenStoreError> {
        check(&self.data, ring)?;
        let written = (|| {
            self.file.set_len(0)?;
            self.file.rewind()?;
            self.file.write_all(format!("{}\n", std::process::id()).as_bytes())
        })();
        written.map_err(io_at(&self.data.join(LOCK_FILE)))
    }
}

/// The process that serves `data`; `None`: nobody does. Makes nothing; a server that starts at this very moment may be refused.
pub fn server_of(data: &Path) -> Option<u32> {
    let mut file = File::open(data.join(LOCK_FILE)).ok()?;
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut text = String::new();
            (&mut file).take(32).read_to_string(&mut text).ok()?;
            // It has not signed yet: somebody all the same.
            Some(text.trim().parse().unwrap_or(0))
        }
        _ => None,
    }
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    #[serde(default)]
    ring_key: Vec<RememberedKey>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RememberedKey {
    id: u32,
    check: String,
}

/// Whether `data`, where it is there, is ours and sealed with keys that `ring` has. Touches nothing.
pub fn check(data: &Path, ring: &KeyRing) -> Result<(), OpenStoreError> {
    remembered(data, ring).map(drop)
}

/// The keys that `data` remembers, after everything that refuses.
fn remembered(data: &Path, ring: &KeyRing) -> Result<KeysFile, OpenStoreError> {
    let database = data.join(DATABASE_FILE);
    let keys_path = data.join(KEYS_FILE);
    let remembered = match fs::read_to_string(&keys_path) {
        Ok(text) => parse(&text).map_err(|fault| OpenStoreError::KeysFile { path: keys_path.clone(), fault })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if database.exists() {
                return Err(match is_ours(&database) {
                    Err(not_ours @ OpenStoreError::NotOurs { .. }) => not_ours,
                    _ => OpenStoreError::KeysFile { path: keys_path, fault: "missing beside a database".to_owned() },
                });
            }
            KeysFile::default()
        }
        Err(source) => return Err(OpenStoreError::Io { path: keys_path, source }),
    };
    for key in &remembered.ring_key {
        let id = KeyId(key.id);
        match ring.check(id) {
            None => return Err(OpenStoreError::RingKeyMissing { folder: data.to_owned(), id }),
            Some(check) if hex(&check) != key.check => {
                return Err(OpenStoreError::RingKeyOther { folder: data.to_owned(), id });
            }
            Some(_) => {}
        }
    }
    is_ours(&database)?;
    Ok(remembered)
}

/// Makes sure that `data` is there, is ours, and is sealed with keys that `ring` has. Gives the database's path.
pub(super) fn prepare(data: &Path, ring: &KeyRing) -> Result<PathBuf, OpenStoreError> {
    let mut remembered = remembered(data, ring)?;
    let (database, keys_path) = (data.join(DATABASE_FILE), data.join(KEYS_FILE));
    create_folder(data)?;
    if !remembered.ring_key.iter().any(|key| key.id == ring.active().0) {
        let first = remembered.ring_key.is_empty();
        remembered.ring_key.extend(
            ring.checks()
                .filter(|(id, _)| *id == ring.active())
                .map(|(id, check)| RememberedKey { id: id.0, check: hex(&check) }),
        );
        let text = render(&remembered);
        if first {
            keys::write_new(&keys_path, text.as_bytes()).map_err(io_at(&keys_path))?;
            // Another process may have been first, with another ring.
            return prepare(data, ring);
        }
        keys::replace(&keys_path, text.as_bytes()).map_err(io_at(&keys_path))?;
    }
    make_private(&database).map_err(io_at(&database))?;
    Ok(database)
}

/// Takes a ring key that the data no longer needs out of `KEYS`.
pub fn forget_ring_key(data: &Path, id: KeyId) -> Result<(), OpenStoreError> {
    let path = data.join(KEYS_FILE);
    let text = fs::read_to_string(&path).map_err(io_at(&path))?;
    let mut remembered = parse(&text).map_err(|fault| OpenStoreError::KeysFile { path: path.clone(), fault })?;
    remembered.ring_key.retain(|key| key.id != id.0);
    keys::replace(&path, render(&remembered).as_bytes()).map_err(io_at(&path))
}

fn parse(text: &str) -> Result<KeysFile, String> {
    let file: KeysFile = toml::from_str(text)
        .map_err(|error| format!("expected [[ring_key]] tables with `id` and `check`: {}", error.message()))?;
    if file.ring_key.is_empty() { Err("expected at least one [[ring_key]]".to_owned()) } else { Ok(file) }
}

fn render(file: &KeysFile) -> String {
    let mut text = String::from("# The keys of ring.toml that this data needs. The check values are no secrets.\n");
    for key in &file.ring_key {
        text.push_str(&format!("\n[[ring_key]]\nid = {}\ncheck = \"{}\"\n", key.id, key.check));
    }
    text
}

/// Reads the first 100 bytes (SQLite file format, section 1.3) without SQLite, so that a foreign file stays as it is.
fn is_ours(database: &Path) -> Result<(), OpenStoreError> {
    const MAGIC: &[u8; 16] = b"SQLite format 3\0";
    let not_ours = |found: String| OpenStoreError::NotOurs { path: database.to_owned(), found };
    let mut header = [0; 100];
    let mut file = match File::open(database) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(source) => return Err(io_at(database)(source)),
    };
    let length = file.metadata().map_err(io_at(database))?.len();
    // Creating it was interrupted; SQLite finishes or rolls back what the journal says.
    if length == 0 || database.with_extension("db-journal").exists() {
        return Ok(());
    }
    if length < 100 {
        return Err(not_ours(format!("a file of {length} bytes")));
    }
    file.read_exact(&mut header).map_err(io_at(database))?;
    if &header[..16] != MAGIC {
        return Err(not_ours("no SQLite header".to_owned()));
    }
    let application = u32::from_be_bytes([header[68], header[69], header[70], header[71]]);
    if application != APPLICATION_ID {
        return Err(not_ours(format!("application id {application:#010x} instead of {APPLICATION_ID:#010x}")));
    }
    Ok(())
}

/// Makes the database's file where it is missing, for its owner only: SQLite gives its logs the same mode, and copies keep it.
fn make_private(database: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(database)?;
    if file.metadata()?.permissions().mode() & 0o077 != 0 {
        file.set_permissions(fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

fn create_folder(data: &Path) -> Result<(), OpenStoreError> {
    DirBuilder::new().recursive(true).mode(0o700).create(data).map_err(io_at(data))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn io_at(path: &Path) -> impl FnOnce(io::Error) -> OpenStoreError {
    let path = path.to_owned();
    move |source| OpenStoreError::Io { path, source }
}
