//! A snapshot and the deltas after it against a fresh snapshot, over random changes and for every kind of viewer.

use std::sync::Arc;

use holler_core::model::UserRole;
use holler_core::units::WorkspaceId;
use proptest::collection::vec;
use proptest::prelude::*;
use rusqlite::Connection;

use super::*;
use crate::keys::KeyRing;
use crate::storage::{NoHooks, Store, Vault};

const WORKSPACE: WorkspaceId = WorkspaceId::from_bytes([1; 16]);
const NOW: UnixMs = UnixMs(1_790_000_000_000);
const USERS: u8 = 6;
const ROOMS: u8 = 4;

fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

fn room(n: u8) -> RoomId {
    RoomId::from_bytes([n; 16])
}

#[derive(Clone, Debug)]
enum Change {
    AddUser(u8),
    RemoveUser(u8),
    RenameUser(u8),
    Promote(u8),
    AddRoom(u8),
    RemoveRoom(u8),
    RenameRoom(u8),
    SetMember(u8, u8, Role),
    RemoveMember(u8, u8),
    /// This viewer asks.
    Poll(u8),
}

fn change() -> impl Strategy<Value = Change> {
    let (users, rooms) = (0..USERS, 0..ROOMS);
    let role = proptest::sample::select(Role::ALL);
    prop_oneof![
        2 => users.clone().prop_map(Change::AddUser),
        1 => users.clone().prop_map(Change::RemoveUser),
        1 => users.clone().prop_map(Change::RenameUser),
        1 => users.clone().prop_map(Change::Promote),
        2 => rooms.clone().prop_map(Change::AddRoom),
        1 => rooms.clone().prop_map(Change::RemoveRoom),
        1 => rooms.clone().prop_map(Change::RenameRoom),
        6 => (rooms.clone(), users.clone(), role).prop_map(|(room, user, role)| Change::SetMember(room, user, role)),
        4 => (rooms, users.clone()).prop_map(|(room, user)| Change::RemoveMember(room, user)),
        3 => users.prop_map(Change::Poll),
    ]
}

/// What a client keeps.
#[derive(Clone, Debug, Default)]
struct Client {
    token: Option<String>,
    users: BTreeMap<UserId, Person>,
    rooms: BTreeMap<RoomId, (RosterRoom, BTreeMap<UserId, Role>)>,
}

impl Client {
    fn apply(&mut self, answer: Roster) {
        if answer.snapshot {
            *self = Self::default();
        }
        self.token = Some(answer.sync_token);
        for gone in answer.removed_users {
            assert!(self.users.remove(&gone).is_some(), "somebody is removed who was not there: {gone}");
        }
        for gone in answer.removed_rooms {
            assert!(self.rooms.remove(&gone).is_some(), "a room is removed that was not there: {gone}");
        }
        self.users.extend(answer.users.into_iter().map(|user| (user.id, user)));
        for mut room in answer.rooms {
            let mut members = self.rooms.remove(&room.id).map(|(_, members)| members).unwrap_or_default();
            for gone in std::mem::take(&mut room.removed_members) {
                assert!(members.remove(&gone).is_some(), "a member is removed who was not there: {gone}");
            }
            members.extend(std::mem::take(&mut room.members).into_iter().map(|member| (member.user, member.role)));
            self.rooms.insert(room.id, (room, members));
        }
    }
}

fn view(accounts: &Accounts<'_>, viewer: u8) -> View {
    let all = accounts.user(user(viewer)).unwrap().is_some_and(|user| user.role == UserRole::Admin);
    View { user: user(viewer), all }
}

fn poll(accounts: &Accounts<'_>, viewer: u8, client: &mut Client) {
    if accounts.user(user(viewer)).unwrap().is_none() {
        return;
    }
    let view = view(accounts, viewer);
    let answer = match accounts.roster(view, client.token.as_deref(), NOW) {
        Err(AccountError::SyncTokenExpired) => accounts.roster(view, None, NOW),
        answer => answer,
    };
    client.apply(answer.unwrap());
    let mut fresh = Client::default();
    fresh.apply(accounts.roster(view, None, NOW).unwrap());
    assert_eq!(client.users, fresh.users);
    assert_eq!(client.rooms, fresh.rooms);
}

fn apply(accounts: &Accounts<'_>, step: usize, change: &Change) {
    let db = accounts.db;
    let execute = |sql: &str, values: &[&dyn rusqlite::ToSql]| {
        db.execute(sql, values).unwrap();
    };
    match *change {
        Change::AddUser(n) => {
            let row = UserRow { id: user(n), login: format!("u{n}"), name: format!("u{n}"), role: UserRole::Member };
            if accounts.user(user(n)).unwrap().is_none() {
                accounts.add_user(&row, "$phc", NOW).unwrap();
            }
        }
        Change::RemoveUser(n) => {
            execute("DELETE FROM members WHERE user_id = ?1", &[user(n).bytes()]);
            execute("DELETE FROM users WHERE user_id = ?1", &[user(n).bytes()]);
        }
        Change::RenameUser(n) => {
            let name = accounts.seal("users", "name", user(n).bytes(), format!("{step}").as_bytes()).unwrap();
            execute("UPDATE users SET name = ?2 WHERE user_id = ?1", &[user(n).bytes(), &name]);
        }
        Change::Promote(n) => {
            let sql =
                "UPDATE users SET role = CASE role WHEN 'admin' THEN 'member' ELSE 'admin' END WHERE user_id = ?1";
            execute(sql, &[user(n).bytes()]);
        }
        Change::AddRoom(n) => {
            if accounts.room(room(n)).unwrap().is_none() {
                let name = accounts.seal("rooms", "name", room(n).bytes(), b"room").unwrap();
                let sql =
                    "INSERT INTO rooms (workspace_id, room_id, kind, name, created_at) VALUES (?1, ?2, 'group', ?3, 0)";
                execute(sql, &[WORKSPACE.bytes(), room(n).bytes(), &name]);
            }
        }
        Change::RemoveRoom(n) => {
            execute("DELETE FROM members WHERE room_id = ?1", &[room(n).bytes()]);
            execute("DELETE FROM rooms WHERE room_id = ?1", &[room(n).bytes()]);
        }
        Change::RenameRoom(n) => {
            let name = accounts.seal("rooms", "name", room(n).bytes(), format!("{step}").as_bytes()).unwrap();
            execute("UPDATE rooms SET name = ?2 WHERE room_id = ?1", &[room(n).bytes(), &name]);
        }
        Change::SetMember(in_room, n, role) => {
            // Refused where one of the two is not there.
            let _ = accounts.set_member(room(in_room), user(n), role, NOW);
        }
        Change::RemoveMember(in_room, n) => {
            let _ = accounts.remove_member(room(in_room), user(n));
        }
        Change::Poll(_) => {}
    }
}

fn store(dir: &tempfile::TempDir) -> Store {
    Store::open(dir.path(), KeyRing::ephemeral().unwrap(), Arc::new(NoHooks)).unwrap()
}

/// Runs `work` in a transaction that is undone.
fn scratch(store: &Store, work: impl FnOnce(&Connection, &Vault) + Send + 'static) {
    let vault = store.vault().clone();
    let done = store.write(move |db| {
        work(db, &vault);
        Err::<(), _>(StoreError::Closed)
    });
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(matches!(runtime.block_on(done), Err(StoreError::Closed)));
}

fn run(changes: Vec<Change>, store: &Store) {
    scratch(store, move |db, vault| {
        let accounts = Accounts::create(db, vault, WORKSPACE, "Harbour", NOW).unwrap();
        let mut clients: Vec<_> = (0..USERS).map(|_| Client::default()).collect();
        for (step, change) in changes.iter().enumerate() {
            apply(&accounts, step, change);
            if let Change::Poll(viewer) = *change {
                poll(&accounts, viewer, &mut clients[usize::from(viewer)]);
            }
        }
        for viewer in 0..USERS {
            poll(&accounts, viewer, &mut clients[usize::from(viewer)]);
        }
    });
}

#[test]
fn a_snapshot_and_its_deltas_are_a_fresh_snapshot() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir);
    let config = ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(changes in vec(change(), 1..80))| run(changes, &store));
}

#[test]
fn nobody_learns_of_people_and_rooms_that_they_share_nothing_with() {
    let dir = tempfile::tempdir().unwrap();
    scratch(&store(&dir), |db, vault| {
        let accounts = Accounts::create(db, vault, WORKSPACE, "Harbour", NOW).unwrap();
        for change in [
            Change::AddUser(0),
            Change::AddUser(1),
            Change::AddUser(2),
            Change::AddRoom(0),
            Change::AddRoom(1),
            Change::SetMember(0, 0, Role::Talker),
        ] {
            apply(&accounts, 0, &change);
        }
        let me = View { user: user(0), all: false };
        let before = accounts.roster(me, None, NOW).unwrap();
        assert_eq!(before.users.iter().map(|user| user.id).collect::<Vec<_>>(), [user(0)]);
        assert_eq!(before.rooms.iter().map(|room| room.id).collect::<Vec<_>>(), [room(0)]);
        for change in [
            Change::SetMember(1, 1, Role::Talker),
            Change::RenameUser(1),
            Change::RenameRoom(1),
            Change::RemoveMember(1, 1),
            Change::RemoveUser(2),
            Change::RemoveRoom(1),
        ] {
            apply(&accounts, 1, &change);
        }
        let delta = accounts.roster(me, Some(&before.sync_token), NOW).unwrap();
        assert_eq!(Roster { sync_token: String::new(), ..delta }, Roster::default());
    });
}

#[test]
fn a_token_is_good_for_its_holder_its_view_its_history_and_thirty_days() {
    let dir = tempfile::tempdir().unwrap();
    scratch(&store(&dir), |db, vault| {
        let accounts = Accounts::create(db, vault, WORKSPACE, "Harbour", NOW).unwrap();
        for change in [Change::AddUser(0), Change::AddUser(1), Change::AddRoom(0)] {
            apply(&accounts, 0, &change);
        }
        let me = View { user: user(0), all: false };
        let token = accounts.roster(me, None, NOW).unwrap().sync_token;
        assert!(token.len() <= SYNC_TOKEN_CHARS_MAX);
        let at = |view: View, token: &str, now: u64| accounts.roster(view, Some(token), UnixMs(now));
        let (days, month) = (|days: u64| days * 86_400_000, u64::from(SYNC_TOKEN_DAYS));
        assert!(at(me, &token, NOW.0 + days(month)).is_ok());
        let expired = |answer| matches!(answer, Err(AccountError::SyncTokenExpired));
        assert!(expired(at(me, &token, NOW.0 + days(month) + 1)));
        assert!(expired(at(View { user: user(1), ..me }, &token, NOW.0)));
        assert!(expired(at(View { all: true, ..me }, &token, NOW.0)));
        let other = BASE64.encode([7; 78]);
        assert!(expired(at(me, &other, NOW.0)));
        for malformed in ["", "?", "a b", &"A".repeat(SYNC_TOKEN_CHARS_MAX + 1)] {
            let answer = at(me, malformed, NOW.0);
            assert!(malformed.is_empty() || matches!(answer, Err(AccountError::SyncTokenMalformed)), "{malformed}");
        }

        // A restored backup gives the logs a new incarnation.
        crate::storage::log::create(db, vault, room(0)).unwrap();
        db.execute("UPDATE room_heads SET incarnation = randomblob(16)", []).unwrap();
        assert!(expired(at(me, &token, NOW.0)));
    });
}

#[test]
fn the_log_of_changes_is_bounded_and_beyond_it_a_token_expires() {
    let dir = tempfile::tempdir().unwrap();
    scratch(&store(&dir), |db, vault| {
        let accounts = Accounts::create(db, vault, WORKSPACE, "Harbour", NOW).unwrap();
        apply(&accounts, 0, &Change::AddUser(0));
        let me = View { user: user(0), all: false };
        let token = accounts.roster(me, None, NOW).unwrap().sync_token;
        for step in 0..CHANGES_MAX {
            apply(&accounts, usize::try_from(step).unwrap(), &Change::Promote(1));
            db.execute("UPDATE users SET role = role WHERE user_id = ?1", [user(0).bytes()]).unwrap();
        }
        let kept: i64 = db.query_row("SELECT count(*) FROM roster_changes", [], |row| row.get(0)).unwrap();
        assert_eq!(kept, 10_000);
        assert!(accounts.roster(me, Some(&token), NOW).is_ok());
        apply(&accounts, 0, &Change::RenameUser(0));
        assert!(matches!(accounts.roster(me, Some(&token), NOW), Err(AccountError::SyncTokenExpired)));
    });
}
