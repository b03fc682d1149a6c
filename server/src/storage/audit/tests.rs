use std::sync::Arc;

use super::*;
use crate::keys::KeyRing;
use crate::storage::{NoHooks, Store};

const WORKSPACE: WorkspaceId = WorkspaceId::from_bytes([1; 16]);
const SAM: UserId = UserId::from_bytes([2; 16]);
const PHONE: DeviceId = DeviceId::from_bytes([3; 16]);

async fn store(dir: &tempfile::TempDir) -> Store {
    let store = Store::open(dir.path(), KeyRing::ephemeral().unwrap(), Arc::new(NoHooks)).unwrap();
    let vault = store.vault().clone();
    store
        .write(move |db| -> Result<(), StoreError> {
            vault.create_workspace(db, WORKSPACE)?;
            for n in 0..10_u64 {
                let entry =
                    Entry::new(Actor::User(SAM, PHONE), if n == 4 { Action::RoomAdded } else { Action::UserAdded });
                let entry = entry.target(SAM).target(Target::named("ring_key", n)).about(SAM).detail("login", "sam.o");
                assert_eq!(record(db, &vault, WORKSPACE, UnixMs(1_000 + n), entry)?, n + 1);
            }
            Ok(())
        })
        .await
        .unwrap();
    store
}

async fn verified(store: &Store, kept: Vec<Head>) -> Result<Head, Fault> {
    store.read(move |db| verify(db, WORKSPACE, kept)).await.unwrap()
}

async fn all(store: &Store) -> Vec<Sealed> {
    let collect = |db: &Connection| {
        let mut found = Vec::new();
        each(db, WORKSPACE, 0, |entry| -> Result<(), StoreError> {
            found.push(entry);
            Ok(())
        })?;
        Ok::<_, StoreError>(found)
    };
    store.read(collect).await.unwrap()
}

fn check(entries: &[Sealed], kept: Vec<Head>) -> Result<Head, Fault> {
    let mut verifier = Verifier::new(WORKSPACE, kept);
    entries.iter().try_for_each(|entry| verifier.push(entry))?;
    verifier.finish()
}

#[tokio::test]
async fn entries_are_one_chain_and_are_read_in_pages() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let head = verified(&store, Vec::new()).await.unwrap();
    assert_eq!(head.number, 10);
    assert_eq!(head.to_string().parse(), Ok(head));
    let vault = store.vault().clone();
    store
        .read(move |db| -> Result<(), StoreError> {
            let mut numbers = Vec::new();
            let mut query = Query { limit: 4, ..Query::default() };
            loop {
                let page = page(db, &vault, WORKSPACE, &query)?;
                assert!(page.entries.iter().all(|entry| entry.details.as_ref().unwrap()["login"] == "sam.o"));
                numbers.extend(page.entries.iter().map(|entry| entry.number));
                query.before = page.next;
                if page.next.is_none() {
                    break;
                }
            }
            assert_eq!(numbers, (1..=10).rev().collect::<Vec<_>>());
            let only = |query| Ok::<_, StoreError>(page(db, &vault, WORKSPACE, &query)?.entries);
            let rooms = only(Query { action: Some(Action::RoomAdded), limit: 50, ..Query::default() })?;
            assert_eq!(rooms.iter().map(|entry| entry.number).collect::<Vec<_>>(), [5]);
            let target = Some("ring_key:7".to_owned());
            let about = only(Query { target, limit: 50, ..Query::default() })?;
            assert_eq!(about.iter().map(|entry| entry.number).collect::<Vec<_>>(), [8]);
            assert_eq!(about[0].actor.parse(), Ok(Actor::User(SAM, PHONE)));
            Ok(())
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn any_change_of_the_log_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let entries = all(&store).await;
    let head = check(&entries, Vec::new()).unwrap();
    let changes: [fn(&mut Sealed); 8] = [
        |entry| entry.at.0 += 1,
        |entry| entry.actor = "server".to_owned(),
        |entry| entry.action = "user.removed".to_owned(),
        |entry| entry.targets.push('x'),
        |entry| entry.about = None,
        |entry| entry.details[30] ^= 1,
        |entry| entry.previous[0] ^= 1,
        |entry| entry.hash[0] ^= 1,
    ];
    for change in changes {
        let mut changed = entries.clone();
        change(&mut changed[3]);
        assert!(matches!(check(&changed, Vec::new()), Err(Fault::Changed(4) | Fault::Torn(4))));
        // With a hash that fits again, the next entry shows it.
        changed[3].hash = changed[3].computed(WORKSPACE);
        if changed[3] != entries[3] {
            assert!(matches!(check(&changed, Vec::new()), Err(Fault::Torn(4 | 5))));
        }
    }
    for at in 0..9 {
        let mut removed = entries.clone();
        removed.remove(at);
        assert!(matches!(check(&removed, Vec::new()), Err(Fault::Order { .. })));
        let mut moved = entries.clone();
        moved.swap(at, at + 1);
        assert!(matches!(check(&moved, Vec::new()), Err(Fault::Order { .. })));
    }
    // Only the head tells that the end is missing, or that all of it was written anew.
    assert_eq!(check(&entries[..9], Vec::new()).unwrap().number, 9);
    assert_eq!(check(&entries[..9], vec![head]), Err(Fault::Truncated { expected: 10, found: 9 }));
    let mut forged = entries;
    let mut previous = [0; 32];
    for entry in &mut forged {
        entry.actor = "cli".to_owned();
        entry.previous = previous;
        entry.hash = entry.computed(WORKSPACE);
        previous = entry.hash;
    }
    check(&forged, Vec::new()).unwrap();
    assert_eq!(check(&forged, vec![head]), Err(Fault::Rewritten(10)));
}

#[tokio::test]
async fn the_table_takes_no_change_and_a_cut_table_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    for sql in ["UPDATE audit SET actor = 'cli' WHERE number = 3", "DELETE FROM audit WHERE number = 10"] {
        let refused = store.write(move |db| -> Result<_, StoreError> { Ok(db.execute(sql, [])?) }).await.unwrap_err();
        assert!(refused.to_string().contains("append-only"), "{refused}");
    }
    let cut = "DROP TRIGGER audit_is_not_removed; DELETE FROM audit WHERE number > 7;";
    store.write(move |db| -> Result<_, StoreError> { Ok(db.execute_batch(cut)?) }).await.unwrap();
    assert_eq!(verified(&store, Vec::new()).await, Err(Fault::Truncated { expected: 10, found: 7 }));
}

#[tokio::test]
async fn erasure_leaves_the_chain_and_takes_what_was_said_about_the_person() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let before = all(&store).await;
    let vault = store.vault().clone();
    store
        .write(move |db| -> Result<(), StoreError> {
            forget(db, WORKSPACE, SAM)?;
            record(db, &vault, WORKSPACE, UnixMs(5), Entry::new(Actor::Cli, Action::UserErased).target(SAM))?;
            // What still comes afterwards says nothing about them either.
            let late =
                Entry::new(Actor::Server, Action::DeviceRevoked).target(PHONE).about(SAM).detail("name", "phone");
            record(db, &vault, WORKSPACE, UnixMs(6), late)?;
            Ok(())
        })
        .await
        .unwrap();
    assert_eq!(verified(&store, Vec::new()).await.unwrap().number, 12);
    let after = all(&store).await;
    assert_eq!(after[..10], before);
    assert!(after[11].details.is_empty());
    let vault = store.vault().clone();
    let page =
        store.read(move |db| page(db, &vault, WORKSPACE, &Query { limit: 50, ..Query::default() })).await.unwrap();
    assert!(page.entries.iter().filter(|entry| entry.number <= 10).all(|entry| entry.details.is_none()));
}

#[test]
fn names_of_actions_are_unique_and_read_back() {
    for action in Action::ALL {
        assert_eq!(action.as_str().parse(), Ok(*action));
    }
    let names: std::collections::BTreeSet<_> = Action::ALL.iter().map(|action| action.as_str()).collect();
    assert_eq!(names.len(), Action::ALL.len());
}

/// Logs that were written must verify for ever: this hash never changes.
#[test]
fn the_hash_is_pinned() {
    let entry = Sealed {
        number: 7,
        at: UnixMs(1_790_000_000_000),
        actor: "cli".to_owned(),
        action: "user.added".to_owned(),
        targets: "usr_00".to_owned(),
        about: Some(SAM),
        details: vec![1, 2, 3],
        previous: [9; 32],
        hash: [0; 32],
    };
    insta::assert_snapshot!(chain::hex(&entry.computed(WORKSPACE)), @"d2de7494253b472d095a064d07e1f2fceb21980e9c6ce507f828210fac11c0b7");
}
