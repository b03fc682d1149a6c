use std::sync::Arc;

use holler_core::log::Resume;
use holler_core::model::{EventBody, Role, RoomKind};
use holler_core::units::{ClientId, Cursor, DeviceId, UserId};

use super::*;
use crate::keys::KeyRing;
use crate::storage::audit::{self, Actor};
use crate::storage::{Append, NoHooks};

const WORKSPACE: WorkspaceId = WorkspaceId::from_bytes([1; 16]);
const ROOM: RoomId = RoomId::from_bytes([2; 16]);
const NOW: UnixMs = UnixMs(1_790_000_000_000);

struct Bench {
    store: Store,
    dir: tempfile::TempDir,
}

impl Bench {
    /// A room with 500 events: one an hour, the last one now.
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), KeyRing::ephemeral().unwrap(), Arc::new(NoHooks)).unwrap();
        let vault = store.vault().clone();
        let made = store.write(move |db| {
            Accounts::create(db, &vault, WORKSPACE, "Harbour", NOW)?.add_room(ROOM, RoomKind::Group, "Watch", NOW)
        });
        made.await.unwrap();
        let bench = Self { store, dir };
        for n in 0..500_u64 {
            bench.say(n, EventBody::MessagePosted { text: "all quiet".into(), reply_to: None }).await;
        }
        bench
    }

    async fn say(&self, n: u64, body: EventBody) {
        let mut client_id = [0; 16];
        client_id[..8].copy_from_slice(&n.to_be_bytes());
        let append = Append {
            room: ROOM,
            user: UserId::from_bytes([3; 16]),
            device: DeviceId::from_bytes([4; 16]),
            role: Role::Talker,
            client_id: ClientId::from_bytes(client_id),
            epoch: None,
            body,
            received_at: UnixMs(NOW.0 - (499 - n.min(499)) * 3_600_000),
        };
        self.store.append(append).await.unwrap();
    }

    async fn change(&self, f: impl FnOnce(&Accounts<'_>) -> Result<u64, AccountError> + Send + 'static) {
        let vault = self.store.vault().clone();
        let change = self.store.write(move |db| f(&Accounts::open(db, &vault, WORKSPACE)?.acting(Actor::Cli, NOW)));
        change.await.unwrap();
    }

    async fn round(&self, days: Option<u32>, now: UnixMs) -> (u64, Seq) {
        let removed = round(&self.store, WORKSPACE, days, now).await.unwrap();
        (removed, self.store.log_head(ROOM).await.unwrap().unwrap().first_seq)
    }
}

#[tokio::test]
async fn what_is_older_than_the_rooms_days_goes_and_the_gap_is_told() {
    let bench = Bench::new().await;
    let old = Cursor { incarnation: bench.store.log_head(ROOM).await.unwrap().unwrap().incarnation, seq: Seq(7) };
    assert_eq!(bench.round(None, NOW).await, (0, Seq(1)), "without a rule everything stays");
    // Ten days of one event an hour.
    assert_eq!(bench.round(Some(10), NOW).await, (259, Seq(260)));
    assert_eq!(bench.round(Some(10), NOW).await, (0, Seq(260)), "nothing more is due");
    bench.change(|accounts| accounts.set_retention(ROOM, Some(0), false, NOW)).await;
    assert_eq!(bench.round(Some(1), NOW).await, (0, Seq(260)), "the room keeps everything for ever");
    bench.change(|accounts| accounts.set_retention(ROOM, Some(1), false, NOW)).await;
    assert_eq!(bench.round(None, NOW).await, (216, Seq(476)));
    // One read tells the gap and what follows it, so that nothing can be removed in between.
    let (head, resume, events) = bench.store.resume(ROOM, old, 500).await.unwrap().unwrap();
    assert_eq!((resume, head.first_seq), (Resume::Gap, Seq(476)));
    assert_eq!((events[0].seq, events.len()), (Seq(476), 25));
}

#[tokio::test]
async fn a_legal_hold_and_an_emergency_keep_everything() {
    let bench = Bench::new().await;
    bench.change(|accounts| accounts.set_retention(ROOM, Some(1), true, NOW)).await;
    assert_eq!(bench.round(Some(1), NOW).await, (0, Seq(1)));
    let later = UnixMs(NOW.0 + 400 * DAY_MS);
    assert_eq!(bench.round(Some(1), later).await.0, 0);
    let sends = "SELECT count(*) FROM sends";
    let count = |store: &Store| {
        let store = store.clone();
        async move { store.read(move |db| Ok::<i64, StoreError>(db.query_row(sends, [], |row| row.get(0))?)).await.unwrap() }
    };
    assert_eq!(count(&bench.store).await, 500, "answers are kept too");
    bench.say(500, EventBody::EmergencyRaised {}).await;
    bench.change(|accounts| accounts.set_retention(ROOM, Some(1), false, NOW)).await;
    assert_eq!(bench.round(None, NOW).await.0, 0, "an emergency is on");
    bench.say(501, EventBody::EmergencyCleared { raised_by: UserId::from_bytes([3; 16]) }).await;
    assert_eq!(bench.round(None, NOW).await, (475, Seq(476)));
    assert_eq!(bench.round(None, later).await.0, 27);
    assert_eq!(count(&bench.store).await, 0, "after 90 days nobody sends it again");
    let told = bench.store.read(|db| audit::verify(db, WORKSPACE, Vec::new())).await.unwrap();
    told.unwrap();
    let vault = bench.store.vault().clone();
    let query = audit::Query { limit: 3, ..audit::Query::default() };
    let page = bench.store.read(move |db| audit::page(db, &vault, WORKSPACE, &query)).await.unwrap();
    let told: Vec<_> = page.entries.iter().rev().map(|entry| entry.action.as_str()).collect();
    assert_eq!(told, ["room.retention_set", "room.held", "room.released"]);
}

#[tokio::test]
async fn a_shredded_room_can_not_be_read_and_its_rows_go_bit_by_bit() {
    let bench = Bench::new().await;
    bench.change(|accounts| accounts.set_retention(ROOM, None, true, NOW)).await;
    let vault = bench.store.vault().clone();
    let held = bench
        .store
        .write(move |db| Accounts::open(db, &vault, WORKSPACE)?.acting(Actor::Cli, NOW).shred_room(ROOM, NOW).map(drop))
        .await;
    assert!(matches!(held, Err(AccountError::Held)));
    bench.change(|accounts| accounts.set_retention(ROOM, None, false, NOW)).await;
    let wrapped: Vec<u8> = bench
        .store
        .read(|db| Ok::<_, StoreError>(db.query_row("SELECT wrapped FROM room_keys", [], |row| row.get(0))?))
        .await
        .unwrap();
    let database = bench.dir.path().join("holler.db");
    let holds_key = || {
        assert!(crate::storage::schema::empty_log(&database).unwrap());
        std::fs::read(&database).unwrap().windows(wrapped.len()).any(|part| part == wrapped)
    };
    assert!(holds_key());
    let vault = bench.store.vault().clone();
    let (_, receipt) = bench
        .store
        .write(move |db| Accounts::open(db, &vault, WORKSPACE)?.acting(Actor::Cli, NOW).shred_room(ROOM, NOW))
        .await
        .unwrap();
    assert_eq!((receipt.events, receipt.room), (500, ROOM));
    assert!(!holds_key(), "the deleted key is overwritten");
    assert!(bench.store.log_head(ROOM).await.unwrap().is_none());
    assert!(matches!(bench.store.events(ROOM, Seq(0), 1).await, Err(StoreError::NoKey(_))));
    round(&bench.store, WORKSPACE, None, NOW).await.unwrap();
    let left: i64 = bench
        .store
        .read(|db| {
            let sql = "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM sends) + (SELECT count(*) FROM shredded_rooms WHERE cleared = 0)";
            Ok::<_, StoreError>(db.query_row(sql, [], |row| row.get(0))?)
        })
        .await
        .unwrap();
    assert_eq!(left, 0);
}
