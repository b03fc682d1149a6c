use std::fs;
use std::sync::Arc;

use holler_core::model::{EventBody, Role};
use holler_core::units::{ClientId, DeviceId, Seq, UserId};

use super::*;
use crate::keys::KeyRing;
use crate::storage::accounts::Accounts;
use crate::storage::{Append, NoHooks, Store};

const WORKSPACE: WorkspaceId = WorkspaceId::from_bytes([1; 16]);
const ROOM: RoomId = RoomId::from_bytes([2; 16]);
const NOW: UnixMs = UnixMs(1_790_000_000_000);
const PASSPHRASE: &str = "a long passphrase";

struct Bench {
    top: tempfile::TempDir,
    store: Store,
}

impl Bench {
    async fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        let (data, keys) = (top.path().join("data"), top.path().join("keys"));
        let store = Store::open(&data, KeyRing::load_or_create(&keys, &data).unwrap(), Arc::new(NoHooks)).unwrap();
        let vault = store.vault().clone();
        let made = store.write(move |db| {
            let accounts = Accounts::create(db, &vault, WORKSPACE, "Harbour", NOW)?;
            accounts.add_room(ROOM, holler_core::model::RoomKind::Group, "Watch", NOW)
        });
        made.await.unwrap();
        let bench = Self { top, store };
        bench.say(1).await;
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }

    async fn say(&self, n: u8) {
        let append = Append {
            room: ROOM,
            user: UserId::from_bytes([3; 16]),
            device: DeviceId::from_bytes([4; 16]),
            role: Role::Talker,
            client_id: ClientId::from_bytes([n; 16]),
            epoch: None,
            body: EventBody::MessagePosted { text: format!("message {n}"), reply_to: None },
            received_at: NOW,
        };
        self.store.append(append).await.unwrap();
    }

    fn backup(&self, name: &str, with_keys: bool) -> Result<Manifest, BackupError> {
        let folder = self.path("keys");
        let keys = with_keys.then(|| WithKeys { folder: &folder, passphrase: Zeroizing::new(PASSPHRASE.to_owned()) });
        make(&self.path("data"), &self.path(name), keys, NOW)
    }
}

/// What lies in the folder, for seeing that nothing was left.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .map(|entries| entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect())
        .unwrap_or_default();
    names.sort();
    names
}

#[tokio::test]
async fn a_backup_of_a_store_in_use_is_restored_with_a_new_incarnation() {
    let bench = Bench::new().await;
    let manifest = bench.backup("one.tar", false).unwrap();
    assert_eq!((manifest.rooms[0].head, manifest.keys.is_none()), (1, true));
    // What comes later is not in it.
    bench.say(2).await;
    let before = bench.store.log_head(ROOM).await.unwrap().unwrap();
    let term = bench.store.take_home(ROOM).await.unwrap();
    assert!(matches!(bench.backup("one.tar", false), Err(BackupError::Exists(_))));
    assert_eq!(verify(&bench.path("one.tar")).unwrap().parts, manifest.parts);
    assert_eq!(names(bench.top.path()), ["data", "keys", "one.tar"], "no draft is left");

    let (new, later) = (bench.path("new"), UnixMs(NOW.0 + 5));
    restore(&bench.path("one.tar"), &new, &bench.path("keys"), None, false, later).unwrap();
    assert_eq!(names(&new), ["KEYS", "holler.db"]);
    let store = Store::open(&new, KeyRing::load(&bench.path("keys")).unwrap(), Arc::new(NoHooks)).unwrap();
    let after = store.log_head(ROOM).await.unwrap().unwrap();
    assert_eq!(after.head, Seq(1));
    assert_ne!(after.incarnation, before.incarnation);
    assert_eq!(store.events(ROOM, Seq(0), 10).await.unwrap().len(), 1);
    assert!(store.take_home(ROOM).await.unwrap() > term + 100_000, "terms of the lost history are below");
    let told = store.read(|db| audit::verify(db, WORKSPACE, Vec::new())).await.unwrap().unwrap();
    let kept: Head = manifest.workspaces[0].audit_head.parse().unwrap();
    assert_eq!(told.number, kept.number + 1, "the restore is in the audit log");
    assert!(matches!(
        restore(&bench.path("one.tar"), &new, &bench.path("keys"), None, false, later),
        Err(BackupError::NotEmpty(_))
    ));
}

#[tokio::test]
async fn keys_come_along_only_under_their_passphrase() {
    let bench = Bench::new().await;
    let short = WithKeys { folder: &bench.path("keys"), passphrase: Zeroizing::new("short".to_owned()) };
    assert!(matches!(make(&bench.path("data"), &bench.path("no.tar"), Some(short), NOW), Err(BackupError::Keys(_))));
    bench.backup("with.tar", true).unwrap();
    let ring = fs::read_to_string(bench.path("keys/ring.toml")).unwrap();
    let secret = ring.split('"').nth(1).unwrap().as_bytes().to_vec();
    let archive = fs::read(bench.path("with.tar")).unwrap();
    assert!(!archive.windows(secret.len()).any(|window| window == secret), "no key lies open in the archive");

    let (file, new, keys) = (bench.path("with.tar"), bench.path("new"), bench.path("new-keys"));
    let wrong = Zeroizing::new("a wrong passphrase".to_owned());
    assert!(matches!(restore(&file, &new, &keys, Some(&wrong), false, NOW), Err(BackupError::Passphrase(_))));
    assert_eq!((names(&new), keys.exists()), (vec![], false), "a refusal leaves nothing");
    let right = Zeroizing::new(PASSPHRASE.to_owned());
    assert!(restore(&file, &new, &keys, Some(&right), false, NOW).unwrap().keys);
    assert_eq!(fs::read_to_string(keys.join("ring.toml")).unwrap(), ring);
    Store::open(&new, KeyRing::load(&keys).unwrap(), Arc::new(NoHooks)).unwrap();
    // Keys that are there are never written over.
    let refused = restore(&file, &bench.path("newer"), &keys, Some(&right), false, NOW);
    assert!(matches!(refused, Err(BackupError::Keys(_))));
}

#[tokio::test]
async fn a_changed_archive_is_refused_and_nothing_is_left() {
    let bench = Bench::new().await;
    let manifest = bench.backup("one.tar", true).unwrap();
    let bytes = fs::read(bench.path("one.tar")).unwrap();
    let (broken, new) = (bench.path("broken.tar"), bench.path("new"));
    let refuse = |bytes: &[u8], what: &str| {
        fs::write(&broken, bytes).unwrap();
        let refused = restore(&broken, &new, &bench.path("other-keys"), None, false, NOW).unwrap_err();
        assert!(matches!(refused, BackupError::Damaged { .. } | BackupError::Newer { .. }), "{what}: {refused}");
        assert!(verify(&broken).is_err(), "{what}");
        assert_eq!(names(&new), Vec::<String>::new(), "{what}");
    };
    // A bit of each part, found by its bytes.
    let find = |wanted: &[u8]| bytes.windows(wanted.len()).position(|window| window == wanted).unwrap();
    let at_keys = find(b"# The keys of ring.toml");
    let at_database = find(b"SQLite format 3");
    for (what, at) in
        [("KEYS", at_keys + 5), ("holler.db", at_database + 5_000), ("the last part", bytes.len() - 1_600)]
    {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        refuse(&changed, what);
    }
    refuse(&bytes[..bytes.len() / 2], "cut in the database");
    refuse(&bytes[..at_keys - 512], "cut before KEYS");
    refuse(b"no archive at all", "no archive");
    let newer = String::from_utf8_lossy(&bytes[..bytes.len().min(1024)]).contains("\"format\": 1");
    assert!(newer);
    let mut changed = bytes.clone();
    let at = find(b"\"format\": 1");
    changed[at + 10] = b'7';
    refuse(&changed, "a newer layout");
    // A manifest that fits its parts but not the database: the head of the audit log that it keeps is another.
    let head = manifest.workspaces[0].audit_head.as_bytes();
    let at = find(head) + head.len() - 1;
    let mut changed = bytes.clone();
    changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
    refuse(&changed, "another audit head");
}
