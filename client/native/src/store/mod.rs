//! The local store: what a client must not lose when it, or the machine, goes down.
//!
//! SQLite in WAL mode with full sync, in a folder of its own. Values (tokens, texts, frames, names) are sealed with
//! [`holler_core::seal`]; ids, numbers and times are not. The [`key`] lies in the system's key store, or in a file that a
//! passphrase opens.
//!
//! | module | what |
//! |---|---|
//! | [`key`] | where the key is |
//! | `damage` | a database that can't be read is set aside, and what can be saved of it is |
//! | `write` | the writing thread |
//! | [`queue`] | texts and bursts: waiting, held, delivered and kept |
//!
//! Writes of the engine go to a thread that gathers what waits into one transaction, so that 50 frames a second cost few syncs
//! and the engine waits for none; a frame is on disk as soon as the disk takes it. A second process may use the same folder; the
//! refresh of the tokens and the delivery of what waits need a lock.
//!
//! Who is signed in lies in a file of its own (`profile`), so that a damaged database does not sign anybody out.

mod damage;
pub mod key;
pub mod queue;
mod write;

use core::time::Duration;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use holler_core::engine::Store as Change;
use holler_core::model::PresenceState;
use holler_core::seal::{NONCE_BYTES, OpenError, Place, SealingKey};
use holler_core::units::{BurstId, Cursor, DeviceId, Incarnation, RoomId, Seq, UserId};
use holler_core::wire::rest::Room;
use rusqlite::{Connection, OptionalExtension, params};
use serde::{Deserialize, Serialize};

use crate::roster::Kept;
use crate::{clock, receipts, roster};
pub use key::{KeyError, Unlock};
pub use queue::{Queued, QueuedItem};

/// Version of the tables.
const SCHEMA: i64 = 2;
/// Changes that may wait for the writing thread: a minute of frames.
const WAITING_MAX: usize = 4_096;
/// How long another process may hold the database.
const BUSY: Duration = Duration::from_secs(5);

/// Why the local store can't be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// A file or the folder.
    #[error("{}: {error}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// The key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The database.
    #[error("the local store: {0}")]
    Database(#[from] rusqlite::Error),
    /// A value does not open: the key is another's, or the value is damaged.
    #[error("a value of the local store does not open: {0}")]
    Sealed(#[from] OpenError),
    /// A value is not what was stored.
    #[error("the local store holds something unexpected: {0}")]
    Content(String),
    /// Made by a newer client.
    #[error("the local store was made by a newer client (schema {found}, this one knows {SCHEMA}); update this client")]
    Newer {
        /// Its version.
        found: i64,
    },
    /// The disk is full.
    #[error("the disk is full: what is recorded from now on is not kept over a crash; make room")]
    DiskFull,
    /// What waits fills the bound.
    #[error("what waits to be delivered fills {} MiB, the most that is kept: deliver or drop some", queue::WAITING_BYTES_MAX / 1024 / 1024)]
    QueueFull,
    /// The system gives no random bytes, or no thread.
    #[error("the system gives no {0}")]
    System(String),
}

/// Who is signed in where.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The server's address.
    pub server: String,
    /// A further CA to trust.
    pub ca: Option<PathBuf>,
    /// The sign-in name.
    pub login: String,
    /// Who.
    pub user: UserId,
    /// This installation.
    pub device: DeviceId,
    /// The latest access token.
    pub access_token: String,
    /// Until when it is valid, ms since 1970 by this machine's clock.
    pub access_until_ms: u64,
    /// The latest refresh token.
    pub refresh_token: String,
}

impl core::fmt::Debug for Profile {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Profile").field("server", &self.server).field("device", &self.device).finish_non_exhaustive()
    }
}

/// The local store. A cheap clone is the same store.
#[derive(Clone)]
pub struct Store {
    inner: Arc<Inner>,
    changes: SyncSender<Work>,
}

type Listener = Box<dyn Fn(String) + Send>;

struct Inner {
    folder: PathBuf,
    database: Mutex<Connection>,
    key: SealingKey,
    /// Who hears of writes that failed.
    faults: Mutex<Listener>,
}

enum Work {
    Change(Box<Change>),
    Flush(SyncSender<()>),
}

fn at(path: &Path) -> impl FnOnce(std::io::Error) -> StoreError {
    let path = path.to_owned();
    move |error| StoreError::File { path, error }
}

impl Store {
    /// Opens the store in `folder`, making it where it is not there. `fault` hears what a person should know: a database that
    /// was set aside as damaged, and later writes that failed.
    pub fn open(folder: &Path, unlock: &Unlock, fault: impl Fn(String) + Send + 'static) -> Result<Self, StoreError> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
        let key = key::open(folder, unlock)?;
        let (database, damaged) = damage::open(&folder.join("client.db"))?;
        let inner = Inner {
            folder: folder.to_owned(),
            database: Mutex::new(database),
            key,
            faults: Mutex::new(Box::new(fault)),
        };
        if let Some(damaged) = damaged {
            inner.fault(damaged);
        }
        receipts::prepare(&inner.database())?;
        roster::prepare(&inner.database())?;
        inner.move_profile()?;
        inner.prune()?;
        let inner = Arc::new(inner);
        let (changes, waiting) = sync_channel(WAITING_MAX);
        let writer = Arc::clone(&inner);
        std::thread::Builder::new()
            .name("holler-store".into())
            .spawn(move || write::run(&writer, &waiting))
            .map_err(|error| StoreError::System(format!("thread: {error}")))?;
        Ok(Self { inner, changes })
    }

    /// From now on `fault` hears of writes that failed.
    pub fn set_fault(&self, fault: impl Fn(String) + Send + 'static) {
        *self.inner.faults.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(fault);
    }

    /// Hands a change to the writing thread. Waits only where a minute of frames waits already.
    pub fn change(&self, change: Change) {
        match self.changes.try_send(Work::Change(Box::new(change))) {
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            // The disk does not keep up: what was spoken must not be dropped, so this waits.
            Err(TrySendError::Full(work)) => drop(self.changes.send(work)),
        }
    }

    /// Waits until everything handed in so far is on disk.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if self.changes.send(Work::Flush(done)).is_ok() {
            // An error means that the thread ended, with nothing left to do.
            let _ = wait.recv();
        }
    }

    /// Who is signed in, if anybody.
    pub fn profile(&self) -> Result<Option<Profile>, StoreError> {
        let path = self.inner.folder.join("profile");
        let sealed = match std::fs::read(&path) {
            Ok(sealed) => sealed,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(at(&path)(error)),
        };
        self.inner.open("profile", &[], &sealed).map(Some)
    }

    /// Keeps who is signed in; `None` forgets it.
    pub fn set_profile(&self, profile: Option<&Profile>) -> Result<(), StoreError> {
        self.inner.set_profile(profile)
    }

    /// Holds the lock under which tokens are refreshed, until it is dropped: a refresh token may be used once only, and a
    /// second process would end the sign-in. Blocks while another process holds it.
    pub fn lock_tokens(&self) -> Result<File, StoreError> {
        let path = self.inner.folder.join("tokens.lock");
        let file = lock_file(&path)?;
        file.lock().map_err(at(&path))?;
        Ok(file)
    }

    /// Holds the lock under which what waits is delivered, until it is dropped: two processes must not deliver the same, nor
    /// one the burst that another is recording. `None`: another process holds it.
    pub fn lock_queue(&self) -> Result<Option<File>, StoreError> {
        let path = self.inner.folder.join("queue.lock");
        let file = lock_file(&path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(at(&path)(error)),
        }
    }

    /// The copy of the roster, if there is one.
    pub fn roster(&self) -> Result<Option<Kept>, StoreError> {
        let sealed: Option<Vec<u8>> =
            self.inner.database().query_row("SELECT sealed FROM roster", [], |row| row.get(0)).optional()?;
        sealed.map(|sealed| self.inner.open("roster", &[], &sealed)).transpose()
    }

    /// Keeps a copy of the roster.
    pub fn set_roster(&self, kept: &Kept) -> Result<(), StoreError> {
        let sealed = self.inner.seal("roster", &[], kept)?;
        self.inner.database().execute("INSERT OR REPLACE INTO roster VALUES (1, ?1)", [sealed])?;
        Ok(())
    }

    /// What the person said last of how they are.
    pub fn own_presence(&self) -> Result<Option<PresenceState>, StoreError> {
        receipts::own_presence(&self.inner.database())
    }

    /// Keeps how the person is, for every later connection of this device.
    pub fn set_own_presence(&self, state: PresenceState) -> Result<(), StoreError> {
        receipts::set_own_presence(&self.inner.database(), state)
    }

    /// The room of one's own burst.
    pub fn room_of(&self, burst: BurstId) -> Result<Option<RoomId>, StoreError> {
        let row =
            self.inner
                .database()
                .query_row("SELECT room_id FROM bursts WHERE burst_id = ?1", [burst.bytes()], |row| row.get(0));
        Ok(row.optional()?.map(RoomId::from_bytes))
    }

    /// Where to go on in a room.
    pub fn cursor(&self, room: RoomId) -> Result<Option<Cursor>, StoreError> {
        let found = self
            .inner
            .database()
            .query_row("SELECT incarnation, seq FROM cursors WHERE room_id = ?1", [room.bytes()], |row| {
                Ok(Cursor {
                    incarnation: Incarnation::from_bytes(row.get(0)?),
                    seq: Seq(row.get::<_, i64>(1)?.unsigned_abs()),
                })
            })
            .optional()?;
        Ok(found)
    }

    /// Keeps the rooms that the server listed, to name them while it can't be asked.
    pub fn set_rooms(&self, rooms: &[Room]) -> Result<(), StoreError> {
        let mut database = self.inner.database();
        let change = database.transaction()?;
        change.execute("DELETE FROM rooms", [])?;
        for room in rooms {
            let sealed = self.inner.seal("rooms", &[room.id.bytes()], room)?;
            change.execute("INSERT OR REPLACE INTO rooms VALUES (?1, ?2)", params![room.id.bytes(), sealed])?;
        }
        Ok(change.commit()?)
    }

    /// The rooms as the server last listed them.
    pub fn rooms(&self) -> Result<Vec<Room>, StoreError> {
        let database = self.inner.database();
        let mut select = database.prepare("SELECT room_id, sealed FROM rooms")?;
        let rows = select.query_map([], |row| Ok((RoomId::from_bytes(row.get(0)?), row.get::<_, Vec<u8>>(1)?)))?;
        let mut rooms = Vec::new();
        for row in rows {
            let (room, sealed) = row?;
            rooms.push(self.inner.open("rooms", &[room.bytes()], &sealed)?);
        }
        Ok(rooms)
    }
}

fn lock_file(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(path).map_err(at(path))
}

impl Inner {
    fn database(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a person, and makes the next start look closely where the database may be damaged.
    fn fault(&self, what: String) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)(what);
    }

    fn note(&self, error: &StoreError) {
        if damage::is_damage(error) {
            damage::suspect(&self.folder.join("client.db"));
        }
        self.fault(error.to_string());
    }

    fn set_profile(&self, profile: Option<&Profile>) -> Result<(), StoreError> {
        let path = self.folder.join("profile");
        let Some(profile) = profile else {
            // What people and rooms are called goes with the sign-in.
            self.database().execute_batch("DELETE FROM roster; DELETE FROM rooms;")?;
            return match std::fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(&path)(error)),
                Ok(()) | Err(_) => Ok(()),
            };
        };
        let sealed = self.seal("profile", &[], profile)?;
        // The new one whole, or the old one: a crash between the two must not lose a refresh token that was just used.
        let new = path.with_extension(format!("new-{}", std::process::id()));
        let write = || {
            let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&new)?;
            file.write_all(&sealed)?;
            file.sync_all()?;
            std::fs::rename(&new, &path)?;
            File::open(&self.folder)?.sync_all()
        };
        write().map_err(at(&path))
    }

    /// An earlier version kept who is signed in inside the database.
    fn move_profile(&self) -> Result<(), StoreError> {
        let sealed: Option<Vec<u8>> =
            self.database().query_row("SELECT sealed FROM profile", [], |row| row.get(0)).optional()?;
        if let Some(sealed) = sealed {
            let profile: Profile = self.open("profile", &[], &sealed)?;
            self.set_profile(Some(&profile))?;
            self.database().execute("DELETE FROM profile", [])?;
        }
        Ok(())
    }

    fn seal_bytes(&self, table: &str, row: &[&[u8]], value: &[u8]) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| StoreError::System(format!("random bytes: {error}")))?;
        Ok(self.key.seal(&nonce, &place_of(table, row), value))
    }

    fn seal(&self, table: &str, row: &[&[u8]], value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
        let value = serde_json::to_vec(value).map_err(|error| StoreError::Content(error.to_string()))?;
        self.seal_bytes(table, row, &value)
    }

    fn open<T: for<'de> Deserialize<'de>>(&self, table: &str, row: &[&[u8]], sealed: &[u8]) -> Result<T, StoreError> {
        let value = self.key.open(&place_of(table, row), sealed)?;
        serde_json::from_slice(&value).map_err(|error| StoreError::Content(error.to_string()))
    }
}

fn place_of<'a>(table: &'a str, row: &'a [&'a [u8]]) -> Place<'a> {
    Place { table, column: "sealed", row }
}

fn wall_ms() -> i64 {
    i64::try_from(clock::wall().0).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
