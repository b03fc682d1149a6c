//! The store over restarts, damage, and versions.

use bytes::Bytes;
use holler_core::burst::Recording;
use holler_core::engine::{Restored, ServerTime, Spoken};
use holler_core::model::{BurstDigest, BurstHeader, Codec, EventBody, Priority};
use holler_core::units::{Bitrate, BurstId, ClientId, Epoch, FrameMs, FrameNo, UnixMs};

use super::*;

fn header(n: u8) -> BurstHeader {
    BurstHeader {
        burst: BurstId::from_bytes([n; 16]),
        codec: Codec::Opus,
        frame_ms: FrameMs::Ms20,
        bitrate: Bitrate(24_000),
        key_epoch: Epoch(0),
    }
}

pub(super) fn unlock() -> Unlock {
    Unlock::passphrase("only in tests".into())
}

fn open(folder: &Path) -> Store {
    Store::open(folder, &unlock(), |fault| panic!("{fault}")).unwrap()
}

/// Waits until the writing thread, too, has let go of the database: with its last connection its log is gone.
fn close(store: Store) {
    let log = store.inner.folder.join("client.db-wal");
    drop(store);
    while log.exists() {
        std::thread::yield_now();
    }
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

const ROOM: RoomId = RoomId::from_bytes([3; 16]);

fn text(n: u8) -> (ClientId, EventBody) {
    (ClientId::from_bytes([n; 16]), EventBody::MessagePosted { text: format!("text-canary {n}"), reply_to: None })
}

fn place(n: u8) -> Cursor {
    Cursor { incarnation: Incarnation::from_bytes([n; 16]), seq: Seq(7) }
}

/// A burst of two frames, recorded to its end.
fn speak(store: &Store, n: u8) -> (FrameNo, BurstDigest) {
    let burst = header(n).burst;
    store.change(Change::BurstBegun { room: ROOM, header: header(n), priority: Priority::Elevated, server_time: None });
    let mut recording = Recording::new();
    for number in 1..=2 {
        let payload = Bytes::from(format!("frame-canary {n} {number}"));
        let number = recording.push(payload.clone()).unwrap();
        store.change(Change::Frame { burst, number, payload });
    }
    let end = recording.end().unwrap();
    store.change(Change::BurstEnded { burst, end: Some(end) });
    end
}

fn write(store: &Store, n: u8) {
    let (client_id, body) = text(n);
    store.change(Change::Send { room: ROOM, client_id, body });
}

/// What is found again, by the numbers of the items: bursts as they are, texts plus 100.
fn numbers(found: &[Restored]) -> Vec<u8> {
    let number = |item: &Restored| match item {
        Restored::Send { client_id, .. } => 100 + client_id.bytes()[0],
        Restored::Burst { header, .. } => header.burst.bytes()[0],
        Restored::Receipts { room, .. } => panic!("nothing was heard or read in {room}"),
    };
    found.iter().map(number).collect()
}

#[test]
fn what_was_not_finished_is_there_after_a_restart_in_its_order() {
    let folder = tempfile::tempdir().unwrap();
    let end = {
        let store = open(folder.path());
        store.set_profile(Some(&profile())).unwrap();
        write(&store, 9);
        speak(&store, 8);
        let end = speak(&store, 2);
        write(&store, 1);
        speak(&store, 7);
        speak(&store, 6);
        write(&store, 5);
        // 8 was delivered, 2 has its place, 7 was given up; the text 1 was acked, 5 refused.
        for n in [8, 2] {
            store.change(Change::BurstPlaced { burst: header(n).burst });
        }
        let incarnation = place(4).incarnation;
        store.change(Change::BurstDelivered { burst: header(8).burst, incarnation });
        store.change(Change::BurstHeld { burst: header(7).burst });
        store.change(Change::SendDone { client_id: text(1).0, place: Some(place(4)) });
        store.change(Change::SendDone { client_id: text(5).0, place: None });
        store.change(Change::Cursor { room: ROOM, cursor: place(4) });
        store.flush();
        end
    };
    let store = open(folder.path());
    let found = store.unfinished().unwrap();
    assert_eq!(numbers(&found), [109, 2, 6]);
    let Restored::Burst { room: ROOM, priority: Priority::Elevated, spoken, placed: true, last, digest, .. } = found[1]
    else {
        panic!("{:?}", found[1]);
    };
    assert_eq!((last, digest), end);
    assert!(matches!(spoken, Spoken::Ago(ago) if ago < Duration::from_secs(600)), "{spoken:?}");
    assert_eq!(store.own_frames(header(2).burst).unwrap().len(), 2);
    // What was acked is offered to another history, and to that one only.
    assert_eq!(store.acked_elsewhere(ROOM, place(4).incarnation).unwrap(), []);
    let other = store.acked_elsewhere(ROOM, place(5).incarnation).unwrap();
    assert_eq!(numbers(&other), [8, 101]);
    assert!(matches!(other[0], Restored::Burst { placed: false, .. }), "that log may lack it");
    assert_eq!(store.acked_elsewhere(RoomId::from_bytes([4; 16]), place(5).incarnation).unwrap(), []);
    // What was held waits until somebody says so.
    let held: Vec<_> = store.queue().unwrap().into_iter().filter(|queued| queued.held).collect();
    assert!(matches!(held[..], [Queued { item: QueuedItem::Burst { frames: 2, .. }, .. }]), "{held:?}");
    assert_eq!(store.release(None).unwrap(), 1);
    assert_eq!(numbers(&store.unfinished().unwrap()), [109, 2, 7, 6]);
    assert!(store.drop_burst(header(6).burst).unwrap() && !store.drop_burst(header(8).burst).unwrap());
    assert!(store.drop_text(text(9).0).unwrap() && !store.drop_text(text(1).0).unwrap());
    assert_eq!(numbers(&store.unfinished().unwrap()), [2, 7]);
    assert_eq!(store.cursor(ROOM).unwrap(), Some(place(4)));
    assert_eq!(store.profile().unwrap(), Some(profile()));
}

#[test]
fn a_burst_that_was_cut_off_ends_with_what_was_kept() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let burst = header(1).burst;
    store.change(Change::BurstBegun { room: ROOM, header: header(1), priority: Priority::Normal, server_time: None });
    let mut recording = Recording::new();
    for number in [1, 2, 3, 5] {
        let payload = Bytes::from(vec![number; 40]);
        if number < 5 {
            recording.push(payload.clone()).unwrap();
        }
        // Frame 4 found no room on the disk.
        store.change(Change::Frame { burst, number: FrameNo(number.into()), payload });
    }
    store.flush();
    let found = store.unfinished().unwrap();
    let Restored::Burst { last, digest, .. } = found[0] else { panic!("{found:?}") };
    assert_eq!(Some((last, digest)), recording.end());
    // One that died before its first frame is nothing.
    store.change(Change::BurstBegun { room: ROOM, header: header(2), priority: Priority::Normal, server_time: None });
    store.flush();
    assert_eq!(numbers(&store.unfinished().unwrap()), [1]);
}

#[test]
fn when_something_was_spoken_is_known_over_a_restart_of_the_device() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let server_time = Some(ServerTime { at: UnixMs(5_000), uncertainty_ms: 30 });
    store.change(Change::BurstBegun { room: ROOM, header: header(1), priority: Priority::Normal, server_time });
    speak(&store, 2);
    store.flush();
    let spoken = |n| {
        let queue = store.queue().unwrap();
        queue.into_iter().find_map(|queued| match queued.item {
            QueuedItem::Burst { header: found, spoken, .. } if found == header(n) => Some(spoken),
            QueuedItem::Burst { .. } | QueuedItem::Text { .. } => None,
        })
    };
    assert!(matches!(spoken(1), Some(Spoken::Ago(_))) && matches!(spoken(2), Some(Spoken::Ago(_))));
    // Another start of the device; and the wall clock went back by two hours meanwhile.
    let database = store.inner.database();
    database.execute("UPDATE bursts SET boot = 'another', begun_at = begun_at + 7200000", []).unwrap();
    drop(database);
    assert_eq!(spoken(1), server_time.map(Spoken::Server), "by the server's clock, where it was known");
    assert_eq!(spoken(2), Some(Spoken::About(Duration::ZERO, Duration::from_secs(3_600))));
    // The order is that of speaking all the same.
    let order: Vec<i64> = store.queue().unwrap().iter().map(|queued| queued.ord).collect();
    assert!(order.is_sorted() && order.len() == 2);
}

#[test]
fn nothing_secret_lies_open() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    store.set_profile(Some(&profile())).unwrap();
    write(&store, 4);
    speak(&store, 5);
    store.flush();
    let mut files = 0;
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        assert!(!bytes.windows(6).any(|part| part == b"canary"), "{}", path.display());
        files += 1;
    }
    assert!(files >= 3);
}

#[test]
fn another_key_and_a_newer_store_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).set_profile(Some(&profile())).unwrap();
    let wrong = Unlock::passphrase("another".into());
    assert!(matches!(Store::open(folder.path(), &wrong, drop), Err(StoreError::Key(KeyError::WrongPassphrase(_)))));
    let database = Connection::open(folder.path().join("client.db")).unwrap();
    database.pragma_update(None, "user_version", SCHEMA + 1).unwrap();
    assert!(matches!(Store::open(folder.path(), &unlock(), drop), Err(StoreError::Newer { .. })));
}

#[test]
fn a_store_of_the_first_version_is_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let plain = [7; 32];
    std::fs::write(folder.path().join("key"), plain).unwrap();
    let key = SealingKey::new(holler_core::seal::KeyId(1), &holler_core::seal::Key::take(&mut plain.clone()));
    let seal = |table, row: &[&[u8]], value: &[u8]| key.seal(&[1; NONCE_BYTES], &place_of(table, row), value);
    {
        let database = Connection::open(folder.path().join("client.db")).unwrap();
        database.execute_batch(include_str!("schema-1.sql")).unwrap();
        database.pragma_update(None, "user_version", 1).unwrap();
        let sealed = seal("profile", &[], &serde_json::to_vec(&profile()).unwrap());
        database.execute("INSERT INTO profile VALUES (1, ?1)", [sealed]).unwrap();
        let (client_id, body) = text(4);
        let sealed = seal("sends", &[client_id.bytes()], &serde_json::to_vec(&body).unwrap());
        let values = params![client_id.bytes(), 1, ROOM.bytes(), sealed];
        database.execute("INSERT INTO sends VALUES (?1, ?2, ?3, ?4)", values).unwrap();
        // 1 was delivered, 2 was granted, 3 never was.
        for (n, granted, delivered) in [(1_u8, 1, 1), (2, 1, 0), (3, 0, 0)] {
            let head = serde_json::to_string(&header(n)).unwrap();
            database
                .execute(
                    "INSERT INTO bursts VALUES (?1, ?2, ?3, ?4, 'normal', ?5, 1, ?6)",
                    params![[n; 16], 1_000 - i64::from(n), ROOM.bytes(), head, granted, delivered],
                )
                .unwrap();
            let row: [&[u8]; 2] = [&[n; 16], &1_u16.to_be_bytes()];
            let values = params![[n; 16], 1, seal("frames", &row, b"frame")];
            database.execute("INSERT INTO frames VALUES (?1, ?2, ?3)", values).unwrap();
        }
    }
    let store = open(folder.path());
    assert_eq!(store.profile().unwrap(), Some(profile()));
    assert_eq!(numbers(&store.unfinished().unwrap()), [2, 104]);
    let queue = store.queue().unwrap();
    assert_eq!(queue.iter().map(|queued| queued.held).collect::<Vec<_>>(), [true, false, false]);
    assert!(!folder.path().join("key").exists(), "the key is not in plain any more");
    speak(&store, 5);
    store.flush();
    assert_eq!(numbers(&store.unfinished().unwrap()), [2, 104, 5]);
}

#[test]
fn a_damaged_database_is_set_aside_and_what_can_be_read_is_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("client.db");
    {
        let store = open(folder.path());
        store.set_profile(Some(&profile())).unwrap();
        write(&store, 4);
        for n in 1..=40 {
            speak(&store, n);
        }
        store.flush();
        // The last connection moves the log into the database.
        close(store);
    }
    // The last pages, as a dying flash card would leave them.
    let length = std::fs::metadata(&path).unwrap().len();
    let mut bytes = std::fs::read(&path).unwrap();
    let from = usize::try_from(length / 4096 * 4096 - 2 * 4096).unwrap();
    bytes[from..].fill(0xaa);
    std::fs::write(&path, &bytes).unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&said);
    let store = Store::open(folder.path(), &unlock(), move |fault| hears.lock().unwrap().push(fault)).unwrap();
    let said = said.lock().unwrap().clone();
    assert!(matches!(&said[..], [one] if one.contains("set aside as") && one.contains("1 texts")), "{said:?}");
    assert_eq!(store.profile().unwrap(), Some(profile()), "nobody is signed out");
    let found = numbers(&store.unfinished().unwrap());
    assert!(found.contains(&104) && found.len() > 10, "{found:?}");
    let aside =
        std::fs::read_dir(folder.path()).unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    assert_eq!(
        aside.filter(|name| name.contains(".damaged-") && !name.ends_with("shm")).count(),
        1,
        "nothing is deleted"
    );
    // And it goes on.
    speak(&store, 50);
    store.flush();
    assert_eq!(numbers(&store.unfinished().unwrap()).last(), Some(&50));
    close(store);
    // What is no database at all.
    std::fs::write(
        &path,
        b"not a database, whatever it was before, and longer than a header of one hundred bytes is by a good piece",
    )
    .unwrap();
    let store = Store::open(folder.path(), &unlock(), |_| ()).unwrap();
    assert_eq!(store.unfinished().unwrap(), []);
}

#[test]
fn a_value_that_is_damaged_does_not_take_others_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&said);
    let store = Store::open(folder.path(), &unlock(), move |fault| hears.lock().unwrap().push(fault)).unwrap();
    for n in 1..=3 {
        write(&store, n);
    }
    store.flush();
    let database = store.inner.database();
    database.execute("UPDATE sends SET body = zeroblob(60) WHERE client_id = ?1", [text(2).0.bytes()]).unwrap();
    drop(database);
    assert_eq!(numbers(&store.unfinished().unwrap()), [101, 103]);
    assert_eq!(said.lock().unwrap().len(), 1);
}

#[test]
fn a_full_disk_is_said_once_and_what_comes_after_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let said = Arc::new(Mutex::new(Vec::new()));
    let hears = Arc::clone(&said);
    let store = Store::open(folder.path(), &unlock(), move |fault| hears.lock().unwrap().push(fault)).unwrap();
    speak(&store, 1);
    store.flush();
    let limit = |pages: i64| {
        let database = store.inner.database();
        let found: i64 = database.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| row.get(0)).unwrap();
        found
    };
    limit(1);
    let burst = header(2).burst;
    store.change(Change::BurstBegun { room: ROOM, header: header(2), priority: Priority::Normal, server_time: None });
    for number in 1..=200 {
        store.change(Change::Frame { burst, number: FrameNo(number), payload: Bytes::from(vec![1; 1_000]) });
    }
    store.flush();
    let words = said.lock().unwrap().clone();
    assert!(words.first().is_some_and(|words| words.contains("disk is full")) && words.len() <= 2, "{words:?}");
    limit(1_000_000);
    speak(&store, 3);
    store.flush();
    let found = numbers(&store.unfinished().unwrap());
    assert!(found.contains(&1) && found.contains(&3), "{found:?}");
}

#[test]
fn rooms_are_known_by_name_while_the_server_is_away() {
    let folder = tempfile::tempdir().unwrap();
    let room = Room {
        id: ROOM,
        name: "name-canary".into(),
        kind: holler_core::model::RoomKind::Group,
        role: None,
        members: 3,
        talk_limit_s: None,
        head: place(1),
    };
    open(folder.path()).set_rooms(std::slice::from_ref(&room)).unwrap();
    assert_eq!(open(folder.path()).rooms().unwrap(), [room]);
}

#[test]
fn one_process_delivers_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let (first, second) = (open(folder.path()), open(folder.path()));
    let held = first.lock_queue().unwrap();
    assert!(held.is_some() && second.lock_queue().unwrap().is_none());
    drop(held);
    assert!(second.lock_queue().unwrap().is_some());
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
