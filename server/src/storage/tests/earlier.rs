//! Data folders that servers of earlier schema versions left: `lab/fixtures/schema-N`, stored by `./x lab upgrade --store`.

use std::time::Duration;

use holler_core::model::{EventBody, Role};
use holler_core::units::{BurstId, ClientId, FrameNo, Seq, UnixMs};
use holler_core::wire::rest::SignIn;
use serde_json::Value;

use super::*;
use crate::auth::{Auth, Lifetimes};
use crate::clock::Clock;
use crate::first_start;
use crate::storage::audit;
use crate::storage::schema::VERSION;

/// Every stored version.
fn stored() -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/fixtures");
    let folders = fs::read_dir(fixtures).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<_> = folders.filter(|path| path.join("told.json").exists()).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

/// A copy in a folder of its own, with the permissions that git does not keep.
fn copied(stored: &Path) -> Folders {
    let folders = Folders::new();
    for file in ["data/holler.db", "data/KEYS", "keys/ring.toml"] {
        let to = folders.top.path().join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::set_permissions(to.parent().unwrap(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::copy(stored.join(file), &to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o600)).unwrap();
    }
    folders
}

fn version(folders: &Folders) -> i64 {
    let db = Connection::open(folders.data().join(DATABASE_FILE)).unwrap();
    db.pragma_query_value(None, "user_version", |row| row.get(0)).unwrap()
}

/// Every row of every table.
fn dump(db: &Connection) -> Vec<String> {
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name";
    let tables: Vec<String> =
        db.prepare(names).unwrap().query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    let mut rows = Vec::new();
    for table in tables {
        let mut select = db.prepare(&format!("SELECT * FROM {table}")).unwrap();
        let columns = select.column_count();
        let mut found = select.query([]).unwrap();
        let mut of_table = Vec::new();
        while let Some(row) = found.next().unwrap() {
            let values: Vec<_> = (0..columns).map(|at| format!("{:?}", row.get_ref(at).unwrap())).collect();
            of_table.push(format!("{table}: {}", values.join(" ")));
        }
        of_table.sort();
        rows.extend(of_table);
    }
    rows
}

#[tokio::test]
async fn data_of_every_earlier_version_opens_is_read_whole_and_goes_on() {
    for earlier in 1..VERSION {
        let name = format!("schema-{earlier}");
        assert!(stored().iter().any(|path| path.ends_with(&name)), "no data of version {earlier} is stored");
    }
    for path in stored() {
        let folders = copied(&path);
        let told: Value = serde_json::from_slice(&fs::read(path.join("told.json")).unwrap()).unwrap();
        let found = version(&folders);
        let before = Connection::open(folders.data().join(DATABASE_FILE)).unwrap();
        let held = dump(&before);
        before.close().unwrap();
        if found < VERSION {
            // A command beside a server changes nothing: that server may be of the earlier build.
            let refused = Store::open_beside(&folders.data(), folders.ring()).err().unwrap();
            assert!(refused.to_string().contains("hollerd db migrate"), "{refused}");
            assert_eq!(version(&folders), found);
        }
        let store = folders.open();
        assert_eq!(version(&folders), VERSION);
        if found < VERSION {
            let copy = folders.data().join(snapshot::name_before_upgrade(found));
            assert_eq!(fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(dump(&Connection::open(copy).unwrap()), held, "the copy is what was there before");
        }
        let workspace = first_start::find(&store).await.unwrap().unwrap();
        if found < VERSION {
            let query = audit::Query { action: Some(audit::Action::SchemaMigrated), limit: 10, ..Default::default() };
            let vault = store.vault().clone();
            let told = store.read(move |db| audit::page(db, &vault, workspace, &query)).await.unwrap();
            let targets: Vec<_> = told.entries.iter().map(|entry| entry.targets.clone()).collect();
            let wanted = vec![format!("schema:{VERSION}"), format!("earlier:{found}")];
            assert_eq!(targets, [wanted], "the audit log tells of the upgrade, once");
        }
        let lifetimes = Lifetimes { access: Duration::from_secs(600), refresh: Duration::from_secs(86_400) };
        let auth = Auth::open(store.clone(), workspace, Clock::default(), lifetimes).await.unwrap();
        for login in told["people"].as_array().unwrap() {
            let request = SignIn {
                login: login.as_str().unwrap().into(),
                password: told["password"].as_str().unwrap().into(),
                device_name: "new phone".into(),
                device: None,
                earlier: None,
            };
            let tokens = auth.sign_in(request, [127, 0, 0, 1].into()).await.unwrap();
            auth.verify(&tokens.access_token).unwrap();
        }
        let rooms = auth.read(|accounts| Ok(accounts.rooms()?)).await.unwrap();
        let room = rooms.iter().find(|room| told["room"] == room.name).unwrap().id;

        let wanted = told["events"].as_array().unwrap();
        let events = store.events(room, Seq(0), 500).await.unwrap();
        assert_eq!(events.len(), wanted.len());
        let (mut bursts, mut interrupted) = (Vec::<BurstId>::new(), 0);
        for (event, wanted) in events.iter().zip(wanted) {
            let mut wanted = wanted.clone();
            // The command line adds what kind of line it is.
            wanted.as_object_mut().unwrap().remove("type");
            assert_eq!(serde_json::to_value(event).unwrap(), wanted);
            if let EventBody::BurstStarted { header, .. } = &event.body {
                bursts.push(header.burst);
            }
        }
        assert_eq!(bursts.len(), 2);
        for burst in bursts {
            let record = store.burst(room, burst).await.unwrap().unwrap();
            assert_eq!(record.present.first().unwrap().from, FrameNo(1));
            let frames = store.frames(room, burst, FrameNo(1), FrameNo(u16::MAX)).await.unwrap();
            let bytes: usize = frames.iter().map(|(_, payload)| payload.len()).sum();
            assert_eq!(bytes as u64, record.bytes);
            match record.end {
                holler_core::log::End::Committed { .. } => assert!(record.complete && frames.len() == 61),
                holler_core::log::End::Interrupted => interrupted += 1,
                holler_core::log::End::Open => panic!("the burst {burst} is still open"),
            }
        }
        assert_eq!(interrupted, 1);

        // A send of then, sent again now, gets the answer of then; a new one comes next.
        let first = &events[0];
        let again = Append {
            room,
            user: first.user,
            device: first.device,
            role: Role::Talker,
            client_id: first.client_id,
            epoch: None,
            body: first.body.clone(),
            received_at: UnixMs(first.received_at.0 + 1_000),
        };
        let appended = store.append(again.clone()).await.unwrap();
        assert!(appended.replayed && *appended.event == *first);
        let new = Append { client_id: ClientId::from_bytes([9; 16]), ..again };
        assert_eq!(store.append(new).await.unwrap().event.seq.0, events.len() as u64 + 1);
    }
}

#[tokio::test]
async fn data_of_a_newer_version_is_refused_with_the_way_out_and_stays_as_it_is() {
    for path in stored() {
        let folders = copied(&path);
        let db = Connection::open(folders.data().join(DATABASE_FILE)).unwrap();
        db.pragma_update(None, "user_version", VERSION + 1).unwrap();
        db.close().unwrap();
        let before = fs::read(folders.data().join(DATABASE_FILE)).unwrap();
        let refused = refusal(&folders.data(), folders.ring()).to_string();
        let wanted = format!("schema version {}, this hollerd knows up to {VERSION}: use a newer hollerd", VERSION + 1);
        assert!(refused.contains(&wanted), "{refused}");
        assert_eq!(fs::read(folders.data().join(DATABASE_FILE)).unwrap(), before);
    }
}
