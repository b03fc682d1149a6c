use std::sync::Arc;

use super::*;
use crate::keys::KeyRing;
use crate::storage::{NoHooks, Store};

const WORKSPACE: WorkspaceId = WorkspaceId::from_bytes([1; 16]);
const NOW: UnixMs = UnixMs(1_790_000_000_000);

async fn store(dir: &tempfile::TempDir) -> Store {
    let store = Store::open(dir.path(), KeyRing::ephemeral().unwrap(), Arc::new(NoHooks)).unwrap();
    let vault = store.vault().clone();
    store.write(move |db| Accounts::create(db, &vault, WORKSPACE, "Harbour", NOW).map(|_| ())).await.unwrap();
    store
}

async fn run<T: Send + 'static>(
    store: &Store,
    work: impl FnOnce(&Accounts<'_>) -> Result<T, AccountError> + Send + 'static,
) -> Result<T, AccountError> {
    let vault = store.vault().clone();
    store.write(move |db| work(&Accounts::open(db, &vault, WORKSPACE)?.acting(Actor::Cli, NOW))).await
}

fn user(byte: u8, login: &str) -> UserRow {
    UserRow {
        id: UserId::from_bytes([byte; 16]),
        login: login.into(),
        name: format!("Name of {login}"),
        role: UserRole::Member,
    }
}

fn device(n: u32) -> DeviceId {
    let mut bytes = [0; 16];
    bytes[..4].copy_from_slice(&n.to_be_bytes());
    DeviceId::from_bytes(bytes)
}

#[tokio::test]
async fn a_login_is_found_and_taken_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    run(&store, |accounts| accounts.add_user(&user(1, "sam"), "$phc", NOW)).await.unwrap();
    let again = run(&store, |accounts| accounts.add_user(&user(2, "sam"), "$phc", NOW)).await;
    assert!(matches!(again, Err(AccountError::LoginTaken)));
    run(&store, |accounts| {
        let found = accounts.credentials("sam")?.unwrap();
        assert_eq!((found.user, found.password.as_str()), (user(1, "").id, "$phc"));
        assert!(accounts.credentials("alex")?.is_none());
        assert_eq!(accounts.users()?.len(), 1);
        assert_eq!(accounts.workspace_name()?, "Harbour");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn names_and_logins_do_not_lie_open_in_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    run(&store, |accounts| {
        accounts.add_user(&user(1, "canary-login"), "canary-phc", NOW)?;
        accounts.add_device(device(1), user(1, "").id, "canary-device", NOW)?;
        accounts.add_signing_key("key", b"canary-signing-key", NOW)?;
        accounts.begin_sign_in(FamilyId::from_bytes([3; 16]), device(1), user(1, "").id, b"canary-secret", NOW, NOW)?;
        accounts.add_room(RoomId::from_bytes([1; 16]), RoomKind::Group, "canary-room", NOW)
    })
    .await
    .unwrap();
    store.close().await;
    let mut searched = 0;
    for entry in std::fs::read_dir(dir.path()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        searched += bytes.len();
        for canary in ["canary", "Harbour", "Name of"] {
            assert!(!bytes.windows(canary.len()).any(|window| window == canary.as_bytes()), "{canary}");
        }
    }
    assert!(searched > 4_096);
}

#[tokio::test]
async fn the_device_unused_for_longest_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    run(&store, |accounts| {
        let owner = user(1, "sam").id;
        accounts.add_user(&user(1, "sam"), "$phc", NOW)?;
        let most = u32::try_from(DEVICES_MAX).unwrap();
        for n in 0..most {
            assert_eq!(accounts.add_device(device(n), owner, "phone", UnixMs(NOW.0 + u64::from(n)))?, None);
        }
        assert!(accounts.reuse_device(device(0), owner, "used again", UnixMs(NOW.0 + 10_000))?);
        assert!(accounts.add_device(device(most), owner, "one more", UnixMs(NOW.0 + 10_001))?.is_some());
        assert!(accounts.device(device(1))?.unwrap().revoked, "the one unused for longest");
        assert!(!accounts.device(device(0))?.unwrap().revoked);
        assert!(!accounts.reuse_device(device(1), owner, "revoked", NOW)?);
        assert!(!accounts.reuse_device(device(2), user(2, "").id, "somebody else's", NOW)?);
        accounts.add_device(device(999), owner, "much later", UnixMs(NOW.0 + DEVICE_KEPT_MS + 20_000))?;
        assert!(accounts.device(device(1))?.is_none(), "forgotten in the end");
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_direct_room_is_for_two() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    run(&store, |accounts| {
        let room = RoomId::from_bytes([9; 16]);
        accounts.add_room(room, RoomKind::Direct, "two", NOW)?;
        for n in 1..=3 {
            accounts.add_user(&user(n, &format!("user{n}")), "$phc", NOW)?;
        }
        accounts.set_member(room, user(1, "").id, Role::Talker, NOW)?;
        accounts.set_member(room, user(2, "").id, Role::Talker, NOW)?;
        let third = accounts.set_member(room, user(3, "").id, Role::Talker, NOW);
        assert!(matches!(third, Err(AccountError::DirectFull)));
        accounts.set_member(room, user(2, "").id, Role::Listener, NOW)?;
        assert_eq!(accounts.rooms_of(user(2, "").id)?[0].members, 2);
        accounts.remove_member(room, user(2, "").id)?;
        assert!(matches!(accounts.remove_member(room, user(2, "").id), Err(AccountError::NoMember)));
        accounts.set_member(room, user(3, "").id, Role::Talker, NOW)?;
        assert_eq!(
            accounts.members(room)?.iter().map(|member| member.user).collect::<Vec<_>>(),
            [1, 3].map(|n| user(n, "").id)
        );
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn every_change_that_servers_must_notice_raises_the_generation() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    run(&store, |accounts| {
        let (owner, room) = (user(1, "sam").id, RoomId::from_bytes([9; 16]));
        let mut last = generation(accounts.db, WORKSPACE)?;
        let mut rises = |what: &str, generation: u64| {
            assert!(generation > last, "{what}");
            last = generation;
        };
        rises("user", accounts.add_user(&user(1, "sam"), "$phc", NOW)?);
        rises("room", accounts.add_room(room, RoomKind::Group, "room", NOW)?);
        rises("member", accounts.set_member(room, owner, Role::Talker, NOW)?);
        rises("role", accounts.set_member(room, owner, Role::Admin, NOW)?);
        rises("removal", accounts.remove_member(room, owner)?);
        accounts.add_device(device(1), owner, "phone", NOW)?;
        accounts.begin_sign_in(FamilyId::from_bytes([3; 16]), device(1), owner, b"secret", NOW, NOW)?;
        rises("password", accounts.set_password(owner, "$new")?);
        assert!(accounts.sign_in(FamilyId::from_bytes([3; 16]))?.unwrap().ended);
        rises("device", accounts.revoke_device(device(1), NOW)?);
        assert!(matches!(accounts.revoke_device(device(1), NOW), Err(AccountError::NoDevice)));
        Ok(())
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn every_change_is_in_the_audit_log_and_none_is_made_by_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let (sam, room, phone) = (user(1, "sam"), RoomId::from_bytes([5; 16]), device(1));
    let id = sam.id;
    let nobody = {
        let (vault, row) = (store.vault().clone(), sam.clone());
        store.write(move |db| Accounts::open(db, &vault, WORKSPACE)?.add_user(&row, "$phc", NOW)).await
    };
    assert!(matches!(nobody, Err(AccountError::Store(StoreError::NoActor))));
    run(&store, move |accounts| {
        accounts.add_user(&sam, "$phc", NOW)?;
        accounts.add_room(room, RoomKind::Group, "Harbour watch", NOW)?;
        accounts.set_member(room, id, Role::Talker, NOW)?;
        accounts.add_device(phone, id, "Sam's phone", NOW)?;
        accounts.begin_sign_in(FamilyId::from_bytes([7; 16]), phone, id, &[0; 32], NOW, NOW)?;
        accounts.end_sign_ins(phone, Ended::Reused)?;
        accounts.end_sign_ins(phone, Ended::SignedOut)?;
        accounts.set_password(id, "$other")?;
        accounts.revoke_device(phone, NOW)?;
        accounts.remove_member(room, id)?;
        accounts.add_signing_key("key", b"secret", NOW)?;
        Ok(())
    })
    .await
    .unwrap();
    let vault = store.vault().clone();
    let query = audit::Query { limit: 100, ..audit::Query::default() };
    let page = store.read(move |db| audit::page(db, &vault, WORKSPACE, &query)).await.unwrap();
    let told: Vec<_> = page.entries.iter().rev().map(|entry| entry.action.as_str()).collect();
    assert_eq!(
        told,
        [
            "workspace.made",
            "user.added",
            "room.added",
            "member.set",
            "device.added",
            "sign_in.begun",
            "sign_in.reused",
            "sign_in.ended",
            "user.password_set",
            "device.revoked",
            "member.removed",
            "signing_key.rotated"
        ]
    );
    let added = &page.entries[page.entries.len() - 2];
    assert_eq!(added.details.as_ref().unwrap()["login"], "sam");
    assert!(store.read(|db| audit::verify(db, WORKSPACE, Vec::new())).await.unwrap().is_ok());
}

#[tokio::test]
async fn every_table_with_a_person_in_it_says_what_becomes_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let tables = |db: &Connection| {
        let sql = "SELECT DISTINCT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c \
                   WHERE m.type = 'table' AND c.name IN ('user_id', 'device_id') ORDER BY m.name";
        let names: Vec<String> = db.prepare(sql)?.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
        Ok::<_, StoreError>(names)
    };
    let found = store.read(tables).await.unwrap();
    assert!(found.len() >= 10, "{found:?}");
    for table in found {
        let named = erase::OF_PEOPLE.iter().any(|(name, _)| *name == table);
        assert!(named, "erase::OF_PEOPLE does not say what becomes of the rows of {table} when somebody is erased");
    }
}
