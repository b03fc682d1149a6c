use std::sync::Mutex;

use holler_core::log::{LogHead, Refusal};
use holler_core::model::{EventBody, Role};
use holler_core::units::{ClientId, DeviceId, Epoch, Seq, UnixMs, UserId};

use super::*;
use crate::storage::log;

pub(super) const ROOM: RoomId = RoomId::from_bytes([2; 16]);

pub(super) async fn room(store: &Store, room: RoomId) -> LogHead {
    let vault = store.vault().clone();
    store.write(move |db| log::create(db, &vault, room)).await.unwrap()
}

fn text(text: &str) -> EventBody {
    EventBody::MessagePosted { text: text.to_owned(), reply_to: None }
}

fn cid(number: u64) -> ClientId {
    ClientId::from_bytes((u128::from(number) << 64).to_be_bytes())
}

pub(super) fn append(device: u8, client_id: ClientId, body: EventBody) -> Append {
    Append {
        room: ROOM,
        user: UserId::from_bytes([device; 16]),
        device: DeviceId::from_bytes([device; 16]),
        role: Role::Talker,
        client_id,
        epoch: None,
        body,
        received_at: UnixMs(1_000),
    }
}

#[tokio::test]
async fn sends_get_numbers_without_holes_and_are_read_back() {
    let folders = Folders::new();
    let store = folders.open();
    room(&store, ROOM).await;
    let sends: Vec<_> = (0..600_u64)
        .map(|number| {
            let store = store.clone();
            tokio::spawn(
                async move { store.append(append(1, cid(number), text(&format!("text {number}")))).await.unwrap() },
            )
        })
        .collect();
    let mut events = Vec::new();
    for send in sends {
        let appended = send.await.unwrap();
        assert!(!appended.replayed);
        events.push((*appended.event).clone());
    }
    events.sort_by_key(|event| event.seq);
    assert!(events.iter().map(|event| event.seq.0).eq(1..=600));
    let mut read = store.events(ROOM, Seq(0), 1_000).await.unwrap();
    assert_eq!(read.len(), 500, "a page is bounded");
    read.extend(store.events(ROOM, Seq(500), 500).await.unwrap());
    assert_eq!(read, events);
    assert_eq!(store.log_head(ROOM).await.unwrap().unwrap().head, Seq(600));
}

#[tokio::test]
async fn a_retry_gets_the_first_answer_also_after_a_restart_and_after_retention() {
    let folders = Folders::new();
    let store = folders.open();
    let before = room(&store, ROOM).await;
    let first = store.append(append(1, cid(1), text("once"))).await.unwrap();
    let second = store.append(append(1, cid(2), text("twice"))).await.unwrap();
    store.close().await;

    let store = folders.open();
    let mut late = append(1, cid(1), text("once"));
    late.received_at = UnixMs(99_000);
    late.epoch = Some(Epoch(7));
    let again = store.append(late.clone()).await.unwrap();
    assert_eq!(again, Appended { incarnation: first.incarnation, event: first.event.clone(), replayed: true });
    let other = store.append(append(1, cid(1), text("other"))).await.unwrap_err();
    assert!(matches!(other, AppendError::Refused(Refusal::ClientIdReused(Seq(1)))), "{other}");
    let mut stranger = append(1, cid(1), text("once"));
    stranger.user = UserId::from_bytes([9; 16]);
    assert!(matches!(store.append(stranger).await, Err(AppendError::Refused(Refusal::ClientIdReused(_)))));

    let head = store.write(|db| log::retain(db, ROOM, Seq(2))).await.unwrap().unwrap();
    assert_eq!(head, LogHead { first_seq: Seq(2), head: Seq(2), ..before });
    assert_eq!(store.events(ROOM, Seq(0), 10).await.unwrap(), [(*second.event).clone()]);
    let again = store.append(late.clone()).await.unwrap();
    assert_eq!(again, Appended { incarnation: first.incarnation, event: first.event, replayed: true });
    assert_eq!(store.write(|db| log::forget_sends(db, ROOM, UnixMs(1_001))).await.unwrap(), 2);
    late.epoch = None;
    assert_eq!(store.append(late).await.unwrap().event.seq, Seq(3));
}

#[tokio::test]
async fn edits_and_deletions_obey_the_log() {
    let folders = Folders::new();
    let store = folders.open();
    room(&store, ROOM).await;
    store.append(append(1, cid(1), text("mine"))).await.unwrap();
    let edit = |target| EventBody::MessageEdited { target: Seq(target), text: "better".to_owned() };
    let refused = |result: Result<Appended, AppendError>| match result {
        Err(AppendError::Refused(refusal)) => refusal,
        other => panic!("{other:?}"),
    };
    assert_eq!(refused(store.append(append(2, cid(2), edit(1))).await), Refusal::NotYours(Seq(1)));
    assert!(matches!(refused(store.append(append(1, cid(3), edit(2))).await), Refusal::NoTarget { .. }));
    store.append(append(1, cid(4), edit(1))).await.unwrap();
    assert_eq!(refused(store.append(append(1, cid(5), edit(2))).await), Refusal::NotAMessage(Seq(2)));
    let mut admin = append(2, cid(6), EventBody::MessageDeleted { target: Seq(1) });
    assert_eq!(refused(store.append(admin.clone()).await), Refusal::NotYours(Seq(1)));
    admin.role = Role::Admin;
    assert_eq!(store.append(admin).await.unwrap().event.seq, Seq(3));
    let mut stale = append(1, cid(7), text("x"));
    stale.epoch = Some(Epoch(1));
    assert!(matches!(refused(store.append(stale).await), Refusal::StaleEpoch { .. }));
}

#[tokio::test]
async fn events_are_fanned_out_in_order_after_their_commit_and_only_once() {
    let folders = Folders::new();
    let store = folders.open();
    room(&store, ROOM).await;
    let path = folders.data().join(DATABASE_FILE);
    let told: Arc<Mutex<Vec<u64>>> = Arc::default();
    let onlooker = Mutex::new(Connection::open(path).unwrap());
    let heard = Arc::clone(&told);
    store.set_fanout(Arc::new(move |room, events| {
        // Another connection sees only what is committed.
        let committed: i64 = onlooker
            .lock()
            .unwrap()
            .query_row("SELECT head FROM room_heads WHERE room_id = ?1", [room.bytes()], |row| row.get(0))
            .unwrap();
        for event in events.iter() {
            assert!(event.seq.0 <= u64::try_from(committed).unwrap());
            heard.lock().unwrap().push(event.seq.0);
        }
    }));
    let mut sends = tokio::task::JoinSet::new();
    for number in 0..200_u64 {
        let store = store.clone();
        // Every send twice, at once.
        sends.spawn(async move { store.append(append(1, cid(number / 2), text("x"))).await.unwrap() });
    }
    let answers = sends.join_all().await;
    assert_eq!(answers.iter().filter(|answer| !answer.replayed).count(), 100);
    store.close().await;
    assert!(told.lock().unwrap().iter().copied().eq(1..=100), "{told:?}");
}

#[tokio::test]
async fn unknown_rooms_and_shredded_rooms_are_told() {
    let folders = Folders::new();
    let store = folders.open();
    assert!(matches!(store.append(append(1, cid(1), text("x"))).await, Err(AppendError::NoSuchRoom(ROOM))));
    assert_eq!(store.log_head(ROOM).await.unwrap(), None);
    assert!(matches!(store.take_home(ROOM).await, Err(AppendError::NoSuchRoom(ROOM))));
    room(&store, ROOM).await;
    store.append(append(1, cid(1), text("x"))).await.unwrap();
    store.write(|db| log::shred(db, ROOM)).await.unwrap();
    assert!(matches!(store.append(append(1, cid(1), text("x"))).await, Err(AppendError::NoSuchRoom(ROOM))));
    for table in ["room_keys", "room_heads", "events", "sends", "bursts", "chunks"] {
        assert_eq!(count(&store, table).await, 0, "{table}");
    }
}

#[tokio::test]
async fn a_room_without_its_key_fails_alone() {
    let folders = Folders::new();
    let store = folders.open();
    room(&store, ROOM).await;
    let other = RoomId::from_bytes([3; 16]);
    room(&store, other).await;
    store
        .write(move |db| -> Result<_, StoreError> {
            Ok(db.execute("DELETE FROM room_keys WHERE room_id = ?1", [other.bytes()])?)
        })
        .await
        .unwrap();
    let mut sends = tokio::task::JoinSet::new();
    for number in 0..40_u64 {
        let store = store.clone();
        sends.spawn(async move {
            let mut send = append(1, cid(number), text("x"));
            if number % 2 == 0 {
                send.room = other;
            }
            (number % 2 == 0, store.append(send).await)
        });
    }
    for (keyless, answer) in sends.join_all().await {
        assert_eq!(matches!(answer, Err(AppendError::Store(StoreError::NoKey(_)))), keyless, "{answer:?}");
        assert_eq!(answer.is_ok(), !keyless);
    }
}

#[tokio::test]
async fn terms_rise_also_over_a_restart() {
    let folders = Folders::new();
    let store = folders.open();
    room(&store, ROOM).await;
    assert_eq!(store.take_home(ROOM).await.unwrap(), 1);
    assert_eq!(store.take_home(ROOM).await.unwrap(), 2);
    store.close().await;
    assert_eq!(folders.open().take_home(ROOM).await.unwrap(), 3);
}

#[tokio::test]
async fn a_full_disk_refuses_clearly_and_heals() {
    let folders = Folders::new();
    let store = folders.open();
    room(&store, ROOM).await;
    let pages = |limit: i64| {
        let store = store.clone();
        async move {
            store
                .write(move |db| -> Result<i64, StoreError> {
                    Ok(db.query_row(&format!("PRAGMA max_page_count = {limit}"), [], |row| row.get(0))?)
                })
                .await
                .unwrap()
        }
    };
    pages(1).await;
    let long = "x".repeat(3_000);
    let mut acked = 0_u64;
    let refused = loop {
        match store.append(append(1, cid(acked), text(&long))).await {
            Ok(appended) => {
                acked += 1;
                assert_eq!(appended.event.seq, Seq(acked));
            }
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, AppendError::Store(StoreError::DiskFull)), "{refused}");
    assert_eq!(store.events(ROOM, Seq(0), 500).await.unwrap().len() as u64, acked, "reading goes on");
    pages(1_000_000).await;
    let healed = store.append(append(1, cid(acked), text(&long))).await.unwrap();
    assert_eq!((healed.event.seq, healed.replayed), (Seq(acked + 1), false));
}

#[tokio::test]
async fn nothing_readable_lies_on_the_disk() {
    const CANARY: &str = "canary-of-the-mine";
    let folders = Folders::new();
    let store = folders.open();
    room(&store, ROOM).await;
    store.append(append(1, cid(1), text(CANARY))).await.unwrap();
    for (path, bytes) in folders.bytes() {
        assert!(!bytes.windows(CANARY.len()).any(|window| window == CANARY.as_bytes()), "{}", path.display());
    }
}

#[tokio::test]
async fn a_row_changed_behind_our_back_is_noticed() {
    let folders = Folders::new();
    let store = folders.open();
    room(&store, ROOM).await;
    store.append(append(1, cid(1), text("one"))).await.unwrap();
    store.append(append(2, cid(2), text("two"))).await.unwrap();
    for change in [
        "UPDATE events SET user_id = zeroblob(16) WHERE seq = 1",
        "UPDATE events SET body = (SELECT body FROM events WHERE seq = 2) WHERE seq = 1",
        "UPDATE events SET received_at = received_at + 1 WHERE seq = 1",
    ] {
        let copy = store
            .write(move |db| -> Result<_, StoreError> {
                db.execute_batch("CREATE TABLE IF NOT EXISTS kept AS SELECT * FROM events WHERE seq = 1")?;
                Ok(db.execute(change, [])?)
            })
            .await
            .unwrap();
        assert_eq!(copy, 1);
        assert!(matches!(store.events(ROOM, Seq(0), 10).await, Err(StoreError::Sealed(_))), "{change}");
        store
            .write(|db| -> Result<_, StoreError> {
                Ok(db.execute("INSERT OR REPLACE INTO events SELECT * FROM kept", [])?)
            })
            .await
            .unwrap();
        assert_eq!(store.events(ROOM, Seq(0), 10).await.unwrap().len(), 2);
    }
}

/// A row lies where the next event of one room is to go, as only a damaged log has it.
#[tokio::test]
async fn a_room_that_can_not_be_written_hinders_the_others_once_and_is_never_acked() {
    const OTHER: RoomId = RoomId::from_bytes([3; 16]);
    let folders = Folders::new();
    let store = folders.open();
    room(&store, ROOM).await;
    room(&store, OTHER).await;
    let blocked = "INSERT INTO events (room_id, seq, received_at, user_id, device_id, client_id, kind, body) \
                   SELECT room_id, 1, 0, x'', x'', x'', 'message.posted', x'' FROM room_heads WHERE room_id = ?1";
    store.write(move |db| Ok::<_, StoreError>(db.execute(blocked, [ROOM.bytes()])?)).await.unwrap();
    // While another write has the writer, both sends come to wait, and are one group.
    let both = async |number: u64| {
        let (begun, begin) = oneshot::channel();
        let (held, hold) = std::sync::mpsc::channel::<()>();
        let gate = {
            let store = store.clone();
            tokio::spawn(async move {
                let wait = move |_: &Connection| {
                    begun.send(()).unwrap();
                    let _ = hold.recv();
                    Ok::<_, StoreError>(())
                };
                store.write(wait).await.unwrap();
            })
        };
        begin.await.unwrap();
        let mut good = append(1, cid(number), text("good"));
        good.room = OTHER;
        // Polled in this order: both have come when the writer is let go.
        let sends =
            tokio::join!(store.append(good), store.append(append(1, cid(number), text("bad"))), async { drop(held) });
        gate.await.unwrap();
        (sends.0, sends.1)
    };
    let (good, bad) = both(1).await;
    assert!(matches!(bad, Err(AppendError::Store(StoreError::Sqlite(_)))), "{bad:?}");
    assert!(matches!(good, Err(AppendError::Store(StoreError::Abandoned))), "{good:?}");
    assert_eq!(store.log_head(OTHER).await.unwrap().unwrap().head, Seq(0), "nothing of the group is stored");
    let (good, bad) = both(1).await;
    assert!(matches!(bad, Err(AppendError::Store(StoreError::Sqlite(_)))), "{bad:?}");
    assert_eq!(good.unwrap().event.seq, Seq(1));
    assert_eq!(store.log_head(ROOM).await.unwrap().unwrap().head, Seq(0));
    assert_eq!(count(&store, "sends").await, 1);
}
