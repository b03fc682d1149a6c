use holler_core::model::{BurstHeader, Codec, EventBody, PresenceState, Priority};
use holler_core::units::{
    Bitrate, BurstId, BurstStep, ClientId, DeviceId, Epoch, FrameMs, Incarnation, Seq, UnixMs, UserId,
};

use super::log::{ROOM, append, room};
use super::*;
use crate::storage::presence::{self, Transition};
use crate::storage::receipts::{self, Moved, Reach, Receipt, ReceiptError};

const BURST: BurstId = BurstId::from_bytes([7; 16]);

fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

/// A room with the members 1 to 4, whose log has a text of 1, a text of 2 and a burst of 1.
async fn talked(store: &Store) -> Incarnation {
    let head = room(store, ROOM).await;
    store
        .write(|db| -> Result<(), StoreError> {
            let (workspace, room) = (WS.bytes(), ROOM.bytes());
            let none: &[u8] = &[];
            db.execute("INSERT INTO workspaces VALUES (?1, ?2, 0, 1)", rusqlite::params![workspace, none])?;
            let rooms = "INSERT INTO rooms (workspace_id, room_id, kind, name, created_at) VALUES (?1, ?2, 'group', ?3, 0)";
            db.execute(rooms, rusqlite::params![workspace, room, none])?;
            for n in 1..=4_u8 {
                let of = user(n);
                let users = "INSERT INTO users (workspace_id, user_id, login_hash, login, name, password, role, created_at) \
                             VALUES (?1, ?2, ?2, ?3, ?3, ?3, 'member', 0)";
                db.execute(users, rusqlite::params![workspace, of.bytes(), none])?;
                let members = "INSERT INTO members (workspace_id, room_id, user_id, role, added_at) \
                               VALUES (?1, ?2, ?3, 'talker', 0)";
                db.execute(members, rusqlite::params![workspace, room, of.bytes()])?;
            }
            Ok(())
        })
        .await
        .unwrap();
    let text = |text: &str| EventBody::MessagePosted { text: text.to_owned(), reply_to: None };
    let header = BurstHeader {
        burst: BURST,
        codec: Codec::Opus,
        frame_ms: FrameMs::Ms20,
        bitrate: Bitrate(24_000),
        key_epoch: Epoch(0),
    };
    let started = EventBody::BurstStarted {
        header,
        token: None,
        priority: Priority::Normal,
        spoken_ago_ms: 0,
        uncertainty_ms: 0,
    };
    let begun = BURST.client_id(BurstStep::Started);
    let [first, second] = [1, 2].map(|n| ClientId::from_bytes([n; 16]));
    for (device, id, body) in [(1, first, text("a")), (2, second, text("b")), (1, begun, started)] {
        store.append(append(device, id, body)).await.unwrap();
    }
    head.incarnation
}

async fn give(store: &Store, of: u8, receipt: Receipt) -> Result<Moved, ReceiptError> {
    let receipt = Receipt { user: user(of), ..receipt };
    store.write(move |db| receipts::store(db, &receipt)).await
}

fn receipt(incarnation: Incarnation, delivered: u64, read: u64, heard: &[BurstId]) -> Receipt {
    let some = |n: u64| (n > 0).then_some(Seq(n));
    let (delivered, read, heard) = (some(delivered), some(read), heard.to_vec());
    Receipt { room: ROOM, user: user(0), incarnation, delivered, read, heard, at: UnixMs(5_000) }
}

async fn reach(store: &Store, seq: u64) -> Option<(u32, u32, u32)> {
    let found = store.read(move |db| receipts::reach(db, WS, ROOM, Seq(seq))).await.unwrap();
    found.map(|Reach { of, delivered, taken, .. }| (of, delivered, taken))
}

#[tokio::test]
async fn receipts_only_grow_and_can_be_given_twice() {
    let folders = Folders::new();
    let store = folders.open();
    let incarnation = talked(&store).await;
    let moved = |items: &[u64]| Moved { items: items.iter().map(|n| Seq(*n)).collect() };
    // 2 got all of it, read 1's text, heard 1's burst; their own text is none of theirs to receive.
    assert_eq!(give(&store, 2, receipt(incarnation, 3, 1, &[])).await.unwrap(), moved(&[3, 1]));
    assert_eq!(give(&store, 2, receipt(incarnation, 0, 0, &[BURST, BURST])).await.unwrap(), moved(&[3]));
    assert_eq!(give(&store, 2, receipt(incarnation, 3, 1, &[BURST])).await.unwrap(), moved(&[]));
    assert_eq!(give(&store, 2, receipt(incarnation, 1, 0, &[])).await.unwrap(), moved(&[]));
    assert_eq!(give(&store, 3, receipt(incarnation, 0, 1, &[])).await.unwrap(), moved(&[1]), "read is delivered too");
    assert_eq!(reach(&store, 1).await, Some((3, 2, 2)));
    assert_eq!(reach(&store, 3).await, Some((3, 1, 1)));
    // Nobody hears themselves, and what was never said is heard by nobody.
    let nobody = BurstId::from_bytes([8; 16]);
    assert_eq!(give(&store, 1, receipt(incarnation, 0, 0, &[BURST, nobody])).await.unwrap(), moved(&[]));
    let found = store.read(|db| receipts::of_burst(db, WS, ROOM, BURST)).await.unwrap().unwrap();
    assert_eq!((found.user, found.of, found.delivered, found.heard), (user(1), 3, 1, 1));
    assert_eq!((found.delivered_to, found.heard_by[0].user), (vec![user(2)], user(2)));
    let found = store.read(|db| receipts::of_message(db, WS, ROOM, Seq(1))).await.unwrap().unwrap();
    assert_eq!((found.delivered_to, found.read_by), (vec![user(2), user(3)], vec![user(2), user(3)]));
    assert!(store.read(|db| receipts::of_message(db, WS, ROOM, Seq(3))).await.unwrap().is_none());
}

#[tokio::test]
async fn what_a_receipt_can_not_be_about_is_refused() {
    let folders = Folders::new();
    let store = folders.open();
    let incarnation = talked(&store).await;
    let other = Incarnation::from_bytes([9; 16]);
    assert!(matches!(
        give(&store, 2, receipt(other, 1, 0, &[])).await,
        Err(ReceiptError::WrongIncarnation { found, .. }) if found == other
    ));
    assert!(matches!(give(&store, 2, receipt(incarnation, 0, 4, &[])).await, Err(ReceiptError::BeyondHead { .. })));
    let nowhere = Receipt { room: RoomId::from_bytes([0; 16]), ..receipt(incarnation, 1, 0, &[]) };
    assert!(matches!(give(&store, 2, nowhere).await, Err(ReceiptError::NoRoom(_))));
}

#[tokio::test]
async fn who_left_does_not_count_and_receipts_go_with_what_they_are_about() {
    let folders = Folders::new();
    let store = folders.open();
    let incarnation = talked(&store).await;
    for of in [2, 3] {
        give(&store, of, receipt(incarnation, 3, 3, &[BURST])).await.unwrap();
    }
    let leave = "DELETE FROM members WHERE user_id = ?1";
    store.write(move |db| -> Result<_, StoreError> { Ok(db.execute(leave, [user(3).bytes()])?) }).await.unwrap();
    assert_eq!(reach(&store, 3).await, Some((2, 1, 1)));
    assert_eq!((count(&store, "heard").await, count(&store, "read_marks").await), (2, 2));
    store.write(|db| crate::storage::log::retain(db, ROOM, Seq(4))).await.unwrap();
    assert_eq!((count(&store, "heard").await, count(&store, "read_marks").await), (0, 2));
    store.write(|db| crate::storage::log::shred(db, ROOM)).await.unwrap();
    assert_eq!(count(&store, "read_marks").await, 0);
}

#[tokio::test]
async fn the_last_transition_of_each_device_is_read_back_with_the_time_it_was_known() {
    let folders = Folders::new();
    let store = folders.open();
    let transition = |n: u8, state, at: u64| Transition {
        device: DeviceId::from_bytes([n; 16]),
        user: user(n),
        state,
        at: UnixMs(at),
    };
    let (here, gone) = (PresenceState::Busy, PresenceState::Offline);
    for (rows, alive) in
        [(vec![transition(1, here, 10), transition(2, here, 20)], 30), (vec![transition(2, gone, 40)], 50)]
    {
        store.write(move |db| presence::record(db, WS, &rows, UnixMs(alive))).await.unwrap();
    }
    let loaded = store.read(|db| presence::load(db, WS)).await.unwrap();
    // The first was there when the server last said that it ran; the other was seen to leave.
    assert_eq!(loaded, [transition(1, here, 50), transition(2, gone, 40)]);
}
