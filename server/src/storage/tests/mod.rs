mod bursts;
mod earlier;
mod log;
mod receipts;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use holler_core::seal::Place;
use holler_core::units::{RoomId, WorkspaceId};

use super::*;

const WS: WorkspaceId = WorkspaceId::from_bytes([1; 16]);

struct Folders {
    top: tempfile::TempDir,
}

impl Folders {
    fn new() -> Self {
        Self { top: tempfile::tempdir().unwrap() }
    }

    fn data(&self) -> PathBuf {
        self.top.path().join("data")
    }

    fn ring(&self) -> KeyRing {
        KeyRing::load_or_create(&self.top.path().join("keys"), &self.data()).unwrap()
    }

    fn open(&self) -> Store {
        Store::open(&self.data(), self.ring(), Arc::new(NoHooks)).unwrap()
    }

    /// Every file of the data folder with its bytes.
    fn bytes(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files: Vec<_> = fs::read_dir(self.data()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files.into_iter().map(|path| (path.clone(), fs::read(path).unwrap())).collect()
    }
}

fn refusal(data: &Path, ring: KeyRing) -> OpenStoreError {
    match Store::open(data, ring, Arc::new(NoHooks)) {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

async fn count(store: &Store, table: &'static str) -> i64 {
    store
        .read(move |db| -> Result<i64, StoreError> {
            Ok(db.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))?)
        })
        .await
        .unwrap()
}

#[tokio::test]
async fn what_was_written_is_read_also_after_reopening() {
    let folders = Folders::new();
    let store = folders.open();
    let vault = store.vault().clone();
    let place = Place { table: "t", column: "c", row: &[b"row"] };
    let sealed: Vec<u8> = store
        .write(move |db| -> Result<_, StoreError> { vault.create_workspace(db, WS)?.seal(&place, b"secret") })
        .await
        .unwrap();
    store.close().await;
    let store = folders.open();
    let vault = store.vault().clone();
    let opened = store
        .read(move |db| -> Result<_, StoreError> { vault.workspace(db, WS)?.open_text(&place, &sealed) })
        .await
        .unwrap();
    assert_eq!(opened, "secret");
}

#[tokio::test]
async fn a_failing_or_panicking_write_is_undone_and_hinders_no_other() {
    let folders = Folders::new();
    let store = folders.open();
    let mut writes = Vec::new();
    for byte in 0..30_u8 {
        let (store, vault) = (store.clone(), store.vault().clone());
        writes.push(tokio::spawn(async move {
            store
                .write(move |db| -> Result<(), StoreError> {
                    vault.create_workspace(db, WorkspaceId::from_bytes([byte; 16]))?;
                    match byte % 3 {
                        0 => Err(StoreError::OutOfBounds("wanted".to_owned())),
                        1 => panic!("wanted"),
                        _ => Ok(()),
                    }
                })
                .await
        }));
    }
    for (byte, write) in writes.into_iter().enumerate() {
        match (byte % 3, write.await.unwrap()) {
            (0, Err(StoreError::OutOfBounds(_))) | (1, Err(StoreError::Panicked)) | (2, Ok(())) => {}
            (_, other) => panic!("{byte}: {other:?}"),
        }
    }
    assert_eq!(count(&store, "workspace_keys").await, 10);
}

#[tokio::test]
async fn commits_are_synced() {
    let folders = Folders::new();
    let store = folders.open();
    let (journal, synchronous): (String, i64) = store
        .write(|db| -> Result<_, StoreError> {
            let journal = db.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
            Ok((journal, db.pragma_query_value(None, "synchronous", |row| row.get(0))?))
        })
        .await
        .unwrap();
    // FULL: with a write-ahead log every commit is synced (https://sqlite.org/pragma.html#pragma_synchronous).
    assert_eq!((journal.as_str(), synchronous), ("wal", 2));
}

#[tokio::test]
async fn a_reader_can_not_write() {
    let folders = Folders::new();
    let store = folders.open();
    let result = store.read(|db| -> Result<_, StoreError> { Ok(db.execute("DELETE FROM events", [])?) }).await;
    assert!(result.is_err());
}

#[tokio::test]
async fn a_wrong_or_missing_ring_is_refused_and_nothing_is_touched() {
    let folders = Folders::new();
    let store = folders.open();
    let vault = store.vault().clone();
    store.write(move |db| vault.create_workspace(db, WS).map(drop)).await.unwrap();
    // As a crash leaves it: with a write-ahead log that the next start would replay.
    let copied = Folders::new();
    fs::create_dir(copied.data()).unwrap();
    for (path, bytes) in folders.bytes() {
        fs::write(copied.data().join(path.file_name().unwrap()), bytes).unwrap();
    }
    fs::write(copied.data().join("LOCK"), "1\n").unwrap();
    let before = copied.bytes();
    assert!(before.iter().any(|(path, bytes)| path.ends_with("holler.db-wal") && !bytes.is_empty()));

    let refused = refusal(&copied.data(), KeyRing::ephemeral().unwrap());
    assert!(matches!(refused, OpenStoreError::RingKeyOther { .. }), "{refused}");
    let missing = KeyRing::load_or_create(&copied.top.path().join("keys"), &copied.data()).unwrap_err();
    assert!(matches!(missing, crate::keys::RingError::Missing { .. }), "{missing}");
    assert!(!copied.top.path().join("keys").exists(), "no ring was made");
    let two = folders.top.path().join("keys2");
    fs::create_dir(&two).unwrap();
    fs::set_permissions(&two, fs::Permissions::from_mode(0o700)).unwrap();
    let text = fs::read_to_string(folders.top.path().join("keys/ring.toml")).unwrap();
    fs::write(two.join("ring.toml"), text.replace("id = 1", "id = 2").replace("active = 1", "active = 2")).unwrap();
    fs::set_permissions(two.join("ring.toml"), fs::Permissions::from_mode(0o600)).unwrap();
    let refused = refusal(&copied.data(), KeyRing::load(&two).unwrap());
    assert!(matches!(refused, OpenStoreError::RingKeyMissing { .. }), "{refused}");
    let mut lock = ServeLock::acquire(&copied.data()).unwrap();
    assert!(matches!(lock.sign(&KeyRing::ephemeral().unwrap()), Err(OpenStoreError::RingKeyOther { .. })));
    assert_eq!(copied.bytes(), before);

    // With the right ring, the same bytes open and hold what was acked.
    let store = Store::open(&copied.data(), folders.ring(), Arc::new(NoHooks)).unwrap();
    assert_eq!(count(&store, "workspace_keys").await, 1);
}

#[tokio::test]
async fn a_missing_keys_file_is_refused() {
    let folders = Folders::new();
    folders.open().close().await;
    fs::remove_file(folders.data().join("KEYS")).unwrap();
    let before = folders.bytes();
    let refused = refusal(&folders.data(), folders.ring());
    assert!(matches!(refused, OpenStoreError::KeysFile { .. }), "{refused}");
    fs::write(folders.data().join("KEYS"), "nonsense").unwrap();
    assert!(matches!(refusal(&folders.data(), folders.ring()), OpenStoreError::KeysFile { .. }));
    fs::remove_file(folders.data().join("KEYS")).unwrap();
    assert_eq!(folders.bytes(), before);
}

#[tokio::test]
async fn foreign_damaged_and_newer_files_are_refused_and_told_apart() {
    let folders = Folders::new();
    fs::create_dir(folders.data()).unwrap();
    let path = folders.data().join(DATABASE_FILE);
    let ring = KeyRing::ephemeral().unwrap();

    fs::write(&path, b"my thesis ".repeat(50)).unwrap();
    assert!(matches!(refusal(&folders.data(), ring.clone()), OpenStoreError::NotOurs { .. }));
    fs::remove_file(&path).unwrap();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = folders.bytes();
    let refused = refusal(&folders.data(), ring);
    assert!(matches!(refused, OpenStoreError::NotOurs { .. }), "{refused}");
    assert_eq!(folders.bytes(), before);
    fs::remove_file(&path).unwrap();

    folders.open().close().await;
    Connection::open(&path).unwrap().pragma_update(None, "user_version", 99).unwrap();
    let refused = refusal(&folders.data(), folders.ring());
    assert!(matches!(refused, OpenStoreError::Newer { found: 99, .. }), "{refused}");

    let mut bytes = fs::read(&path).unwrap();
    bytes[100..].fill(0xee);
    fs::write(&path, bytes).unwrap();
    let refused = refusal(&folders.data(), folders.ring());
    assert!(matches!(refused, OpenStoreError::Damaged { .. }), "{refused}");
}

#[test]
fn a_second_server_is_refused_and_told_who_is_first() {
    let folders = Folders::new();
    let mut first = ServeLock::acquire(&folders.data()).unwrap();
    first.sign(&folders.ring()).unwrap();
    let refused = ServeLock::acquire(&folders.data()).unwrap_err();
    assert!(refused.to_string().contains(&format!("process {}", std::process::id())), "{refused}");
    drop(first);
    ServeLock::acquire(&folders.data()).unwrap();
}

#[tokio::test]
async fn a_shredded_key_says_so() {
    let folders = Folders::new();
    let store = folders.open();
    let vault = store.vault().clone();
    let error = store.read(move |db| vault.room(db, RoomId::from_bytes([2; 16]))).await.unwrap_err();
    assert!(matches!(error, StoreError::NoKey(_)));
}
