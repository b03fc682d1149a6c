//! The local store: what a client must not lose when it, or the machine, goes down.
//!
//! SQLite in WAL mode with full sync, in a folder of its own. Values (tokens, texts, frames) are sealed with
//! [`holler_core::seal`]; ids, numbers and times are not. The key lies in `key` beside the database, readable by its owner only.
//! That keeps a copied or backed-up database closed, but not the folder as a whole: keeping the key in the system's key store
//! comes with the offline queue.
//!
//! Writes of the engine go to a thread that gathers what waits into one transaction, so that 50 frames a second cost few syncs
//! and the engine waits for none. A second process may use the same folder; only the refresh of the tokens needs a lock.

use core::time::Duration;
use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use holler_core::engine::{Restored, Store as Change};
use holler_core::model::{BurstHeader, PresenceState};
use holler_core::seal::{Key, KeyId, NONCE_BYTES, OpenError, Place, SealingKey};
use holler_core::units::{BurstId, ClientId, Cursor, DeviceId, Incarnation, RoomId, Seq, UserId};
use rusqlite::{Connection, OptionalExtension, Transaction, params};
use serde::{Deserialize, Serialize};

use crate::roster::Kept;
use crate::{clock, receipts, roster};

/// Version of the tables.
const SCHEMA: i64 = 1;
/// Changes that may wait for the writing thread: a minute of frames.
const WAITING_MAX: usize = 4_096;
/// How long delivered bursts are kept, to offer them to a server that was restored from a backup.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);
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
    /// The database.
    #[error("the local store: {0}")]
    Database(#[from] rusqlite::Error),
    /// A value does not open: the key beside the database is another's.
    #[error("the local store's key does not open it: {0}; restore `key`, or remove the folder and sign in again")]
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

struct Inner {
    folder: PathBuf,
    database: Mutex<Connection>,
    key: SealingKey,
}

enum Work {
    Change(Change),
    Flush(SyncSender<()>),
}

impl Store {
    /// Opens the store in `folder`, making it where it is not there. `fault` hears of writes that failed later.
    pub fn open(folder: &Path, fault: impl Fn(String) + Send + 'static) -> Result<Self, StoreError> {
        let at = |path: &Path| {
            let path = path.to_owned();
            move |error| StoreError::File { path, error }
        };
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(at(folder))?;
        let key = key(&folder.join("key")).map_err(at(&folder.join("key")))?;
        let mut database = Connection::open(folder.join("client.db"))?;
        database.busy_timeout(BUSY)?;
        database.pragma_update(None, "journal_mode", "wal")?;
        database.pragma_update(None, "synchronous", "full")?;
        database.pragma_update(None, "foreign_keys", true)?;
        migrate(&mut database)?;
        receipts::prepare(&database)?;
        roster::prepare(&database)?;
        prune(&database)?;
        let inner = Inner { folder: folder.to_owned(), database: Mutex::new(database), key };
        let inner = Arc::new(inner);
        let (changes, waiting) = sync_channel(WAITING_MAX);
        let writer = Arc::clone(&inner);
        std::thread::Builder::new()
            .name("holler-store".into())
            .spawn(move || write(&writer, &waiting, &fault))
            .map_err(|error| StoreError::System(format!("thread: {error}")))?;
        Ok(Self { inner, changes })
    }

    /// Hands a change to the writing thread. Waits only where a minute of frames waits already.
    pub fn change(&self, change: Change) {
        match self.changes.try_send(Work::Change(change)) {
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
        let sealed: Option<Vec<u8>> =
            self.inner.database().query_row("SELECT sealed FROM profile", [], |row| row.get(0)).optional()?;
        sealed.map(|sealed| self.inner.open("profile", &[], &sealed)).transpose()
    }

    /// Keeps who is signed in; `None` forgets it.
    pub fn set_profile(&self, profile: Option<&Profile>) -> Result<(), StoreError> {
        let Some(profile) = profile else {
            // What people are called goes with the sign-in.
            self.inner.database().execute_batch("DELETE FROM profile; DELETE FROM roster;")?;
            return Ok(());
        };
        let sealed = self.inner.seal("profile", &[], profile)?;
        self.inner.database().execute("INSERT OR REPLACE INTO profile VALUES (1, ?1)", [sealed])?;
        Ok(())
    }

    /// Holds the lock under which tokens are refreshed, until it is dropped: a refresh token may be used once only, and a
    /// second process would end the sign-in. Blocks while another process holds it.
    pub fn lock_tokens(&self) -> Result<File, StoreError> {
        let path = self.inner.folder.join("tokens.lock");
        let lock = || {
            let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path)?;
            file.lock()?;
            Ok(file)
        };
        lock().map_err(|error| StoreError::File { path: path.clone(), error })
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

    /// What was not finished when the client last ran: texts without an answer, bursts that the server knows but may lack
    /// frames of.
    pub fn unfinished(&self) -> Result<Vec<Restored>, StoreError> {
        let database = self.inner.database();
        let mut found = Vec::new();
        let mut sends = database.prepare("SELECT client_id, room_id, body FROM sends ORDER BY ord")?;
        let rows = sends.query_map([], |row| {
            Ok((ClientId::from_bytes(row.get(0)?), RoomId::from_bytes(row.get(1)?), row.get::<_, Vec<u8>>(2)?))
        })?;
        for row in rows {
            let (client_id, room, sealed) = row?;
            let body = self.inner.open("sends", &[client_id.bytes()], &sealed)?;
            found.push(Restored::Send { room, client_id, body });
        }
        let mut bursts = database.prepare(
            "SELECT burst_id, room_id, header FROM bursts WHERE granted = 1 AND delivered = 0 ORDER BY begun_at",
        )?;
        let rows = bursts.query_map([], |row| {
            Ok((BurstId::from_bytes(row.get(0)?), RoomId::from_bytes(row.get(1)?), row.get::<_, String>(2)?))
        })?;
        for row in rows {
            let (burst, room, header) = row?;
            let header: BurstHeader = serde_json::from_str(&header).map_err(|e| StoreError::Content(e.to_string()))?;
            let frames = self.inner.frames(&database, burst)?;
            found.push(Restored::Burst { room, header, frames });
        }
        found.extend(receipts::waiting(&database)?);
        Ok(found)
    }

    /// The frames of one's own burst, from 1, as far as they were recorded.
    pub fn own_frames(&self, burst: BurstId) -> Result<Vec<Bytes>, StoreError> {
        self.inner.frames(&self.inner.database(), burst)
    }
}

impl Inner {
    fn database(&self) -> std::sync::MutexGuard<'_, Connection> {
        self.database.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn frames(&self, database: &Connection, burst: BurstId) -> Result<Vec<Bytes>, StoreError> {
        let mut frames =
            database.prepare_cached("SELECT number, sealed FROM frames WHERE burst_id = ?1 ORDER BY number")?;
        let rows = frames.query_map([burst.bytes()], |row| Ok((row.get::<_, u16>(0)?, row.get::<_, Vec<u8>>(1)?)))?;
        let mut found = Vec::new();
        for row in rows {
            let (number, sealed) = row?;
            let place = [burst.bytes().as_slice(), &number.to_be_bytes()];
            found.push(self.key.open(&place_of("frames", &place), &sealed)?.into());
        }
        Ok(found)
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

    fn commit(&self, changes: &[Change]) -> Result<(), StoreError> {
        let mut database = self.database();
        let transaction = database.transaction()?;
        for change in changes {
            self.apply(&transaction, change)?;
        }
        Ok(transaction.commit()?)
    }

    fn apply(&self, database: &Transaction<'_>, change: &Change) -> Result<(), StoreError> {
        match change {
            Change::BurstBegun { room, header, priority } => {
                let text = serde_json::to_string(header).map_err(|error| StoreError::Content(error.to_string()))?;
                database.prepare_cached(
                    "INSERT OR IGNORE INTO bursts (burst_id, begun_at, room_id, header, priority) VALUES (?1, ?2, ?3, ?4, ?5)",
                )?
                .execute(params![header.burst.bytes(), wall_ms(), room.bytes(), text, priority.as_str()])?;
            }
            Change::Frame { burst, number, payload } => {
                let sealed = self.seal_bytes("frames", &[burst.bytes(), &number.0.to_be_bytes()], payload)?;
                database.prepare_cached("INSERT OR IGNORE INTO frames VALUES (?1, ?2, ?3)")?.execute(params![
                    burst.bytes(),
                    number.0,
                    sealed
                ])?;
            }
            Change::BurstGranted { burst } => {
                database.execute("UPDATE bursts SET granted = 1 WHERE burst_id = ?1", [burst.bytes()])?;
            }
            Change::BurstEnded { burst, end: None } => {
                database.execute("DELETE FROM bursts WHERE burst_id = ?1", [burst.bytes()])?;
            }
            Change::BurstEnded { burst, end: Some(_) } => {
                database.execute("UPDATE bursts SET ended = 1 WHERE burst_id = ?1", [burst.bytes()])?;
            }
            Change::BurstDelivered { burst } => {
                database.execute("UPDATE bursts SET delivered = 1 WHERE burst_id = ?1", [burst.bytes()])?;
            }
            Change::Cursor { room, cursor } => {
                let seq = i64::try_from(cursor.seq.0).unwrap_or(i64::MAX);
                database.prepare_cached("INSERT OR REPLACE INTO cursors VALUES (?1, ?2, ?3)")?.execute(params![
                    room.bytes(),
                    cursor.incarnation.bytes(),
                    seq
                ])?;
            }
            Change::Heard { room, burst } => receipts::heard(database, *room, *burst)?,
            Change::Read { room, cursor } => receipts::read(database, *room, *cursor)?,
            Change::ReceiptsStored { room, read, heard } => receipts::stored(database, *room, *read, heard)?,
            Change::Send { room, client_id, body } => {
                let sealed = self.seal("sends", &[client_id.bytes()], body)?;
                database.execute(
                    "INSERT OR IGNORE INTO sends SELECT ?1, coalesce(max(ord), 0) + 1, ?2, ?3 FROM sends",
                    params![client_id.bytes(), room.bytes(), sealed],
                )?;
            }
            Change::SendDone { client_id, seq: _ } => {
                database.execute("DELETE FROM sends WHERE client_id = ?1", [client_id.bytes()])?;
            }
        }
        Ok(())
    }
}

fn place_of<'a>(table: &'a str, row: &'a [&'a [u8]]) -> Place<'a> {
    Place { table, column: "sealed", row }
}

fn wall_ms() -> i64 {
    i64::try_from(clock::wall().0).unwrap_or(i64::MAX)
}

/// Reads the key, or makes one.
fn key(path: &Path) -> std::io::Result<SealingKey> {
    let mut bytes = [0; 32];
    match File::open(path) {
        Ok(mut file) => file.read_exact(&mut bytes)?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            getrandom::fill(&mut bytes).map_err(std::io::Error::other)?;
            // Two processes may be first at the same time: the one that makes the file wins, the other reads it.
            match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
                Ok(mut file) => {
                    file.write_all(&bytes)?;
                    file.sync_all()?;
                }
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    File::open(path)?.read_exact(&mut bytes)?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(error) => return Err(error),
    }
    Ok(SealingKey::new(KeyId(1), &Key::take(&mut bytes)))
}

fn migrate(database: &mut Connection) -> Result<(), StoreError> {
    let change = database.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i64 = change.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > SCHEMA {
        return Err(StoreError::Newer { found });
    }
    if found == 0 {
        change.execute_batch(include_str!("schema.sql"))?;
        change.pragma_update(None, "user_version", SCHEMA)?;
    }
    change.commit()?;
    Ok(())
}

/// Forgets delivered bursts that were kept long enough.
fn prune(database: &Connection) -> Result<(), StoreError> {
    let before = wall_ms().saturating_sub(i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX));
    database.execute("DELETE FROM bursts WHERE delivered = 1 AND begun_at < ?1", [before])?;
    Ok(())
}

/// The writing thread: what waits goes into one transaction.
fn write(inner: &Inner, waiting: &Receiver<Work>, fault: &impl Fn(String)) {
    while let Ok(first) = waiting.recv() {
        let (mut changes, mut flushes) = (Vec::new(), Vec::new());
        for work in core::iter::once(first).chain(waiting.try_iter().take(WAITING_MAX)) {
            match work {
                Work::Change(change) => changes.push(change),
                Work::Flush(done) => flushes.push(done),
            }
        }
        if inner.commit(&changes).is_err() {
            // One that can't be kept must not take the others with it.
            for change in &changes {
                if let Err(error) = inner.commit(core::slice::from_ref(change)) {
                    fault(error.to_string());
                }
            }
        }
        for done in flushes {
            // Whoever asked may have gone.
            let _ = done.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use holler_core::model::{BurstDigest, Codec, EventBody, Priority};
    use holler_core::units::{Bitrate, Epoch, FrameMs, FrameNo};

    fn header(n: u8) -> BurstHeader {
        BurstHeader {
            burst: BurstId::from_bytes([n; 16]),
            codec: Codec::Opus,
            frame_ms: FrameMs::Ms20,
            bitrate: Bitrate(24_000),
            key_epoch: Epoch(0),
        }
    }

    fn open(folder: &Path) -> Store {
        Store::open(folder, |fault| panic!("{fault}")).unwrap()
    }

    fn profile() -> Profile {
        Profile {
            server: "https://localhost:8443/".into(),
            ca: None,
            login: "ada".into(),
            user: UserId::from_bytes([1; 16]),
            device: DeviceId::from_bytes([2; 16]),
            access_token: "access-canary".into(),
            access_until_ms: 5,
            refresh_token: "refresh-canary".into(),
        }
    }

    #[test]
    fn what_was_not_finished_is_there_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let room = RoomId::from_bytes([3; 16]);
        let body = EventBody::MessagePosted { text: "text-canary".into(), reply_to: None };
        let cursor = Cursor { incarnation: Incarnation::from_bytes([9; 16]), seq: Seq(7) };
        {
            let store = open(folder.path());
            store.set_profile(Some(&profile())).unwrap();
            for n in 1..=3 {
                let burst = header(n).burst;
                store.change(Change::BurstBegun { room, header: header(n), priority: Priority::Normal });
                for number in 1..=2 {
                    let payload = Bytes::from(vec![n, number]);
                    store.change(Change::Frame { burst, number: FrameNo(number.into()), payload });
                }
                let end = Some((FrameNo(2), BurstDigest([0; 32])));
                store.change(Change::BurstEnded { burst, end });
            }
            // 1 was delivered, 2 was granted, 3 never was.
            for n in [1, 2] {
                store.change(Change::BurstGranted { burst: header(n).burst });
            }
            store.change(Change::BurstDelivered { burst: header(1).burst });
            for n in [5, 4] {
                let client_id = ClientId::from_bytes([n; 16]);
                store.change(Change::Send { room, client_id, body: body.clone() });
            }
            store.change(Change::SendDone { client_id: ClientId::from_bytes([5; 16]), seq: Some(Seq(1)) });
            store.change(Change::Cursor { room, cursor });
            store.flush();
        }
        let store = open(folder.path());
        let frames = vec![Bytes::from(vec![2, 1]), Bytes::from(vec![2, 2])];
        let send = Restored::Send { room, client_id: ClientId::from_bytes([4; 16]), body };
        assert_eq!(store.unfinished().unwrap(), [send, Restored::Burst { room, header: header(2), frames }]);
        assert_eq!(store.own_frames(header(3).burst).unwrap().len(), 2, "kept, though it was never granted");
        assert_eq!(store.cursor(room).unwrap(), Some(cursor));
        assert_eq!(store.profile().unwrap(), Some(profile()));
    }

    #[test]
    fn nothing_secret_lies_open_and_the_key_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let store = open(folder.path());
        store.set_profile(Some(&profile())).unwrap();
        let body = EventBody::MessagePosted { text: "text-canary".into(), reply_to: None };
        let room = RoomId::from_bytes([3; 16]);
        store.change(Change::Send { room, client_id: ClientId::from_bytes([4; 16]), body });
        store.flush();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = std::fs::read(&path).unwrap();
            assert!(!bytes.windows(6).any(|part| part == b"canary"), "{}", path.display());
        }
        let mode = std::fs::metadata(folder.path().join("key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn another_key_and_a_newer_store_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).set_profile(Some(&profile())).unwrap();
        std::fs::write(folder.path().join("key"), [8; 32]).unwrap();
        assert!(matches!(open(folder.path()).profile(), Err(StoreError::Sealed(_))));
        let database = Connection::open(folder.path().join("client.db")).unwrap();
        database.pragma_update(None, "user_version", SCHEMA + 1).unwrap();
        assert!(matches!(Store::open(folder.path(), drop), Err(StoreError::Newer { .. })));
    }

    #[test]
    fn the_lock_for_tokens_is_held_by_one() {
        let folder = tempfile::tempdir().unwrap();
        let (first, second) = (open(folder.path()), open(folder.path()));
        let held = first.lock_tokens().unwrap();
        let path = folder.path().join("tokens.lock");
        assert!(File::open(path).unwrap().try_lock().is_err());
        drop(held);
        drop(second.lock_tokens().unwrap());
    }
}
