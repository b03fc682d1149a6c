//! Keeping a server over the years, as an operator does: the audit log, backups, the database.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

mod common;

use std::fs;
use std::path::Path;

use common::{Hollerd, client, run, sign_in};

/// Runs a command that must succeed; gives what it printed.
fn done(dir: &Path, arguments: &[&str], input: &str) -> String {
    let (done, output, error) = run(dir, arguments, input);
    assert!(done, "{arguments:?}: {output}{error}");
    output
}

/// Runs a command that must be refused; gives what it complained about.
fn refused(dir: &Path, arguments: &[&str]) -> String {
    let (done, output, error) = run(dir, arguments, "");
    assert!(!done, "{arguments:?}: {output}");
    error
}

#[tokio::test]
async fn a_backup_made_beside_a_server_becomes_a_server_again() {
    let (dir, new) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let server = Hollerd::serve(dir.path());
    let password = server.password().unwrap();
    done(dir.path(), &["user", "add", "sam", "--room", "Everyone", "--password-stdin"], "a long password\n");
    let archive = dir.path().join("holler.tar");
    let file = archive.to_str().unwrap();
    done(dir.path(), &["backup", file, "--with-keys", "--passphrase-stdin"], "correct horse battery\n");
    assert!(refused(dir.path(), &["backup", file]).contains("never written over"));
    assert!(done(dir.path(), &["backup", "verify", file], "").contains("good"));
    // The server never noticed.
    assert_eq!(sign_in(&client(dir.path()), &server.url, "admin", &password, "desk").await.status(), 200);
    server.end();

    assert!(refused(dir.path(), &["restore", file]).contains("not empty"));
    let restored = done(new.path(), &["restore", file, "--with-keys", "--passphrase-stdin"], "correct horse battery\n");
    assert!(restored.contains("the key ring fits"), "{restored}");
    let again = Hollerd::serve(new.path());
    assert_eq!(again.password(), None, "it is no first start");
    assert_eq!(sign_in(&client(new.path()), &again.url, "sam", "a long password", "phone").await.status(), 200);
    let told = done(new.path(), &["audit", "list", "--limit", "3"], "");
    assert!(told.contains("sign_in.begun") && told.contains("backup.restored"), "{told}");
    again.end();
}

#[tokio::test]
async fn the_audit_log_is_shown_kept_and_checked_offline() {
    let dir = tempfile::tempdir().unwrap();
    Hollerd::serve(dir.path()).end();
    done(dir.path(), &["room", "add", "Stage"], "");
    done(dir.path(), &["user", "add", "sam", "--password-stdin"], "a long password\n");
    let head = done(dir.path(), &["audit", "head"], "").trim().to_owned();
    done(dir.path(), &["room", "member", "Stage", "sam"], "");
    let listed = done(dir.path(), &["audit", "list"], "");
    let wanted = ["member.set", "user.added", "room.added"];
    let found: Vec<_> = listed.lines().map(|line| line.split('\t').nth(3).unwrap()).take(3).collect();
    assert_eq!(found, wanted);
    assert!(listed.lines().nth(1).unwrap().contains("\tcli\t") && listed.contains("\"login\":\"sam\""));
    let only = done(dir.path(), &["audit", "list", "--action", "user.added", "--limit", "1"], "");
    assert_eq!(only.lines().count(), 1);
    assert!(refused(dir.path(), &["audit", "list", "--action", "user.made"]).contains("user.added"));

    let export = dir.path().join("audit.jsonl");
    let file = export.to_str().unwrap();
    done(dir.path(), &["audit", "export", file], "");
    let text = fs::read_to_string(&export).unwrap();
    assert!(!text.contains("sam"), "the details stay sealed");
    // Without data, without keys: on any machine.
    let elsewhere = tempfile::tempdir().unwrap();
    fs::copy(&export, elsewhere.path().join("log")).unwrap();
    let copy = elsewhere.path().join("log");
    let copy = copy.to_str().unwrap();
    for arguments in
        [vec!["audit", "verify", "--export", copy], vec!["audit", "verify", "--export", copy, "--head", &head]]
    {
        assert!(done(elsewhere.path(), &arguments, "").contains("good"));
    }
    done(dir.path(), &["audit", "verify", "--head", &head], "");
    let lines: Vec<&str> = text.lines().collect();
    let cut = lines[..lines.len() - 1].join("\n");
    let changed = text.replace("room.added", "room.hidden");
    let swapped = [&lines[..3], &[lines[4], lines[3]], &lines[5..]].concat().join("\n");
    let removed = [&lines[..3], &lines[4..]].concat().join("\n");
    for (text, fault) in
        [(cut, "cut off"), (changed, "was changed"), (swapped, "removed, added or moved"), (removed, "removed")]
    {
        fs::write(copy, text).unwrap();
        let told = refused(elsewhere.path(), &["audit", "verify", "--export", copy]);
        assert!(told.contains(fault), "{told}");
    }
    assert!(refused(dir.path(), &["audit", "verify", "--head", &format!("2:{}", "0".repeat(64))]).contains("anew"));
}

#[test]
fn the_database_is_described_upgraded_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../lab/fixtures/schema-1");
    for file in ["data/holler.db", "data/KEYS", "keys/ring.toml"] {
        let to = dir.path().join(file);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(fixture.join(file), &to).unwrap();
        let chmod = |path: &Path, mode| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode));
        chmod(&to, 0o600).unwrap();
        chmod(to.parent().unwrap(), 0o700).unwrap();
    }
    assert!(done(dir.path(), &["db", "status"], "").contains("schema version 1"));
    for arguments in [&["user", "list"][..], &["db", "check"], &["audit", "head"]] {
        assert!(refused(dir.path(), arguments).contains("hollerd db migrate"));
    }
    let told = done(dir.path(), &["db", "migrate"], "");
    assert!(told.contains("from schema version 1") && told.contains("holler.schema-1.db"), "{told}");
    assert!(done(dir.path(), &["db", "migrate"], "").contains("nothing to do"));
    assert!(done(dir.path(), &["db", "check"], "").contains("good"));
    assert_eq!(done(dir.path(), &["user", "list"], "").lines().count(), 3);
    let server = Hollerd::serve(dir.path());
    assert!(refused(dir.path(), &["db", "migrate"]).contains("in use"));
    server.end();
}

#[tokio::test]
async fn without_room_it_is_read_only_says_why_and_heals_by_itself() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hollerd.toml");
    // More than any disk of a test machine has free.
    fs::write(&file, "[storage]\nfree_min_mib = 100000000\n").unwrap();
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--private", "off", "--config"];
    let server = Hollerd::start(common::hollerd(dir.path()).args(arguments).arg(&file));
    let client = client(dir.path());
    let tokens: holler_core::wire::rest::Tokens =
        sign_in(&client, &server.url, "admin", &server.password().unwrap(), "desk").await.json().await.unwrap();
    let request = |method: reqwest::Method, path: &str| {
        client.request(method, format!("{}{path}", server.url)).bearer_auth(&tokens.access_token)
    };
    let rooms: Vec<holler_core::wire::rest::Room> =
        request(reqwest::Method::GET, "/api/v1/rooms").send().await.unwrap().json().await.unwrap();
    let path = format!("/api/v1/rooms/{}/events", rooms[0].id);
    let send = async || {
        let body = serde_json::json!({
            "client_id": "cid_mbfyqwd1tkh0znwgg7myzrv3v0", "body": {"kind": "message.posted", "text": "hello"}
        });
        request(reqwest::Method::POST, &path).json(&body).send().await.unwrap()
    };
    let until = async |wanted: u16| {
        let began = std::time::Instant::now();
        loop {
            let answer = send().await;
            if answer.status() == wanted {
                return answer;
            }
            assert!(began.elapsed().as_secs() < 20, "still {}: {}", answer.status(), answer.text().await.unwrap());
        }
    };
    let refused = until(507).await;
    assert!(refused.headers().contains_key("retry-after"));
    let problem: holler_core::wire::problem::Problem = refused.json().await.unwrap();
    assert!(problem.is(holler_core::wire::problem::ProblemKind::StorageFull), "{problem:?}");
    assert!(problem.detail.contains("MiB must be"), "{problem:?}");
    let ready = request(reqwest::Method::GET, "/readyz").send().await.unwrap();
    assert_eq!(ready.status(), 507);
    // What is small and needed goes on: reading, signing in, managing.
    assert_eq!(request(reqwest::Method::GET, &path).send().await.unwrap().status(), 200);
    done(dir.path(), &["user", "add", "sam", "--password-stdin"], "a long password\n");
    assert_eq!(sign_in(&client, &server.url, "sam", "a long password", "phone").await.status(), 200);

    fs::write(&file, "[storage]\nfree_min_mib = 0\n").unwrap();
    server.signal(rustix::process::Signal::HUP);
    until(201).await;
    assert_eq!(request(reqwest::Method::GET, "/readyz").send().await.unwrap().status(), 200);
    let log = server.end();
    assert!(log.contains("read-only") && log.contains("writable again"), "{log}");
}

#[tokio::test]
async fn keys_are_rotated_pruned_and_shredded_beside_a_server() {
    let dir = tempfile::tempdir().unwrap();
    let server = Hollerd::serve(dir.path());
    let client = client(dir.path());
    let password = server.password().unwrap();
    let tokens: holler_core::wire::rest::Tokens =
        sign_in(&client, &server.url, "admin", &password, "desk").await.json().await.unwrap();
    let get = async |path: &str, token: &str| {
        client.get(format!("{}{path}", server.url)).bearer_auth(token).send().await.unwrap()
    };
    let before: serde_json::Value = get("/.well-known/jwks.json", "").await.json().await.unwrap();

    let told = done(dir.path(), &["keys", "rotate"], "");
    assert!(told.contains("a new key, 2") && told.contains("data keys were wrapped anew"), "{told}");
    let status = done(dir.path(), &["keys", "status"], "");
    assert!(status.contains("ring key 1: 0 data keys") && status.contains("wraps new ones"), "{status}");
    // The server goes on at once: it reads what was wrapped with a key that it did not have when it started.
    assert_eq!(sign_in(&client, &server.url, "admin", &password, "desk 2").await.status(), 200);
    assert_eq!(get("/api/v1/rooms", &tokens.access_token).await.status(), 200);
    assert!(refused(dir.path(), &["keys", "prune"]).contains("try again in 10 s"));
    let ring = dir.path().join("keys/ring.toml");
    let earlier = std::time::SystemTime::now() - std::time::Duration::from_secs(60);
    fs::File::open(&ring).unwrap().set_modified(earlier).unwrap();
    assert!(done(dir.path(), &["keys", "prune"], "").contains("ring key 1 was removed"));
    assert!(!fs::read_to_string(&ring).unwrap().contains("id = 1\n"));
    assert!(!fs::read_to_string(dir.path().join("data/KEYS")).unwrap().contains("id = 1\n"));

    done(dir.path(), &["keys", "rotate", "--signing"], "");
    let began = std::time::Instant::now();
    loop {
        let now: serde_json::Value = get("/.well-known/jwks.json", "").await.json().await.unwrap();
        let keys = now["keys"].as_array().unwrap();
        if keys.len() == 2 {
            assert!(keys.contains(&before["keys"][0]), "tokens of the earlier key can still be verified");
            break;
        }
        assert!(began.elapsed().as_secs() < 20, "{now}");
    }
    assert_eq!(get("/api/v1/rooms", &tokens.access_token).await.status(), 200, "the earlier token is good");

    assert!(refused(dir.path(), &["room", "shred", "Operations"]).contains("--yes"));
    assert!(done(dir.path(), &["room", "hold", "Operations"], "").contains("legal hold"));
    assert!(refused(dir.path(), &["room", "shred", "Operations", "--yes"]).contains("legal hold"));
    assert!(
        done(dir.path(), &["room", "retention", "Operations", "--days", "30"], "")
            .contains("30 days; under legal hold")
    );
    done(dir.path(), &["room", "hold", "Operations", "--release"], "");
    let receipt: serde_json::Value =
        serde_json::from_str(&done(dir.path(), &["room", "shred", "Operations", "--yes"], "")).unwrap();
    let entry = done(dir.path(), &["audit", "list", "--action", "room.shredded", "--limit", "1"], "");
    assert!(entry.starts_with(&format!("{}\t", receipt["audit_entry"])), "{entry}");
    assert!(entry.contains(receipt["key_sha256"].as_str().unwrap()), "{entry}");
    server.end();

    // All of it opens again, with the one key that is left.
    let again = Hollerd::serve(dir.path());
    assert_eq!(sign_in(&client, &again.url, "admin", &password, "desk").await.status(), 200);
    assert_eq!(done(dir.path(), &["room", "list"], "").lines().count(), 1);
    assert!(done(dir.path(), &["db", "check"], "").contains("good"));
    again.end();
}
