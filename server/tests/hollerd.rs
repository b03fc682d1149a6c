//! `hollerd` as an operator runs it: a process with its command line, and commands beside it.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

mod common;

use std::time::{Duration, Instant};

use common::{Hollerd, client, hollerd, run, sign_in};
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::rest::{Room, Tokens};
use serde_json::{Value, json};

#[tokio::test]
async fn the_commands_work_beside_a_running_server() {
    let dir = tempfile::tempdir().unwrap();
    let (done, _, error) = run(dir.path(), &["user", "list"], "");
    assert!(!done && error.contains("start the server once"), "{error}");

    let server = Hollerd::serve(dir.path());
    let client = client(dir.path());
    let password = server.password().unwrap();
    assert_eq!(sign_in(&client, &server.url, "admin", &password, "desk").await.status(), 200);
    let second = hollerd(dir.path()).args(["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert!(!second.status.success());
    assert!(String::from_utf8_lossy(&second.stderr).contains("in use by another hollerd"), "a second server refuses");

    let arguments = ["user", "add", "sam", "--name", "Sam", "--room", "Everyone", "--password-stdin"];
    let (done, output, error) = run(dir.path(), &arguments, "a long password\n");
    assert!(done && output.starts_with("added sam (usr_"), "{output} {error}");
    let (done, _, error) = run(dir.path(), &arguments, "a long password\n");
    assert!(!done && error.contains("taken"), "{error}");
    let (done, _, error) = run(dir.path(), &["user", "passwd", "sam", "--password-stdin"], "short\n");
    assert!(!done && error.contains("at least 10"), "{error}");
    let sam: Tokens = sign_in(&client, &server.url, "sam", "a long password", "phone").await.json().await.unwrap();
    let get = async |path: &str, token: &str| {
        client.get(format!("{}{path}", server.url)).bearer_auth(token).send().await.unwrap()
    };

    let (_, token, error) = run(dir.path(), &["token", "make", "sam", "--scope", "roster", "--name", "backup"], "");
    let token = token.trim();
    assert!(token.split('.').count() == 3, "{token} {error}");
    // The server learns of what another process changed by looking four times a second.
    let until = async |path: &str, token: &str, wanted: u16| {
        let began = Instant::now();
        loop {
            let answer = get(path, token).await;
            if answer.status() == wanted {
                return (answer, began.elapsed());
            }
            assert!(
                began.elapsed() < Duration::from_secs(10),
                "still {}: {}",
                answer.status(),
                answer.text().await.unwrap()
            );
        }
    };
    let (answer, _) = until("/api/v1/rooms", token, 200).await;
    let rooms: Vec<Room> = answer.json().await.unwrap();
    assert_eq!(rooms.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(), ["Everyone"]);
    assert_eq!(get("/api/v1/rooms/none/events", token).await.status(), 403);

    let (_, devices, _) = run(dir.path(), &["token", "list", "sam"], "");
    let device = devices.lines().find(|line| line.ends_with("\tbackup")).unwrap().split('\t').next().unwrap();
    assert!(run(dir.path(), &["token", "revoke", device], "").0);
    let (answer, took) = until("/api/v1/rooms", token, 401).await;
    assert!(answer.json::<Problem>().await.unwrap().is(ProblemKind::Revoked));
    eprintln!("a revocation by another process acted {took:?} after that process ended");

    assert!(run(dir.path(), &["room", "add", "Stage", "--kind", "channel"], "").0);
    assert!(run(dir.path(), &["room", "member", "Stage", "sam", "--role", "dispatcher"], "").0);
    let (_, rooms, _) = run(dir.path(), &["room", "list"], "");
    assert!(rooms.lines().any(|line| line.contains("\tchannel\t1\tStage")), "{rooms}");
    // Nobody is refused what another process has just allowed them: the first request after it is answered.
    let stage = rooms.lines().find(|line| line.ends_with("Stage")).unwrap().split('\t').next().unwrap();
    for _ in 0..4 {
        assert!(run(dir.path(), &["room", "member", "Stage", "sam", "--remove"], "").0);
        until(&format!("/api/v1/rooms/{stage}"), &sam.access_token, 404).await;
        assert!(run(dir.path(), &["room", "member", "Stage", "sam"], "").0);
        assert_eq!(get(&format!("/api/v1/rooms/{stage}"), &sam.access_token).await.status(), 200);
    }
    let (done, _, error) = run(dir.path(), &["room", "member", "Nowhere", "sam"], "");
    assert!(!done && error.contains("there is no room"), "{error}");

    assert!(run(dir.path(), &["user", "passwd", "sam", "--password-stdin"], "another password\n").0);
    until("/api/v1/me", &sam.access_token, 401).await;
    assert_eq!(sign_in(&client, &server.url, "sam", "a long password", "phone").await.status(), 401);
    assert_eq!(sign_in(&client, &server.url, "sam", "another password", "phone").await.status(), 200);

    server.end();
    let again = Hollerd::serve(dir.path());
    assert!(again.password().is_none() && again.greeting.contains("hollerd user passwd"), "{}", again.greeting);
    assert_eq!(sign_in(&client, &again.url, "admin", &password, "desk").await.status(), 200);
    again.end();

    std::fs::rename(dir.path().join("keys/ring.toml"), dir.path().join("keys/away")).unwrap();
    let lost = hollerd(dir.path()).args(["serve", "--listen", "127.0.0.1:0"]).output().unwrap();
    assert!(!lost.status.success() && String::from_utf8_lossy(&lost.stderr).contains("ring.toml is missing"));
}

#[tokio::test]
async fn nothing_secret_or_personal_is_logged() {
    let dir = tempfile::tempdir().unwrap();
    let server = Hollerd::serve(dir.path());
    let (client, url) = (client(dir.path()), server.url.clone());
    let password = server.password().unwrap();
    let mut canaries = vec![password.clone(), "127.0.0.1".to_owned(), "canary".to_owned()];

    let admin: Tokens = sign_in(&client, &url, "admin", &password, "canary-device").await.json().await.unwrap();
    assert_eq!(sign_in(&client, &url, "admin", "canary-wrong-password", "canary-device").await.status(), 401);
    assert_eq!(sign_in(&client, &url, "canary-login", "canary-wrong-password", "x").await.status(), 401);
    let post = async |path: &str, token: &str, body: Value| {
        client.post(format!("{url}{path}")).bearer_auth(token).json(&body).send().await.unwrap()
    };
    let user = json!({"login": "canary-user", "name": "canary-name", "password": "canary-password", "role": "member"});
    assert_eq!(post("/api/v1/users", &admin.access_token, user).await.status(), 201);
    let room = json!({"name": "canary-room", "kind": "group"});
    let room: Room = post("/api/v1/rooms", &admin.access_token, room).await.json().await.unwrap();
    let text = json!({"client_id": "cid_00000000000000000000000000", "body": {"kind": "message.posted", "text": "canary-text"}});
    assert_eq!(post(&format!("/api/v1/rooms/{}/events", room.id), &admin.access_token, text).await.status(), 201);
    assert_eq!(post("/api/v1/rooms", "canary-token", json!({})).await.status(), 401);
    assert_eq!(post("/api/v1/users", &admin.access_token, json!({"login": ["canary-json"]})).await.status(), 400);
    assert_eq!(post("/canary-path?canary=query", &admin.access_token, json!({})).await.status(), 404);
    let refresh = |token: &str| json!({"refresh_token": token});
    let next: Tokens = post("/api/v1/auth/refresh", "", refresh(&admin.refresh_token)).await.json().await.unwrap();
    let last: Tokens = post("/api/v1/auth/refresh", "", refresh(&next.refresh_token)).await.json().await.unwrap();
    assert_eq!(post("/api/v1/auth/refresh", "", refresh(&admin.refresh_token)).await.status(), 401, "reused");
    assert_eq!(post("/api/v1/auth/refresh", "", refresh("canary-refresh")).await.status(), 401);
    for tokens in [&admin, &next, &last] {
        canaries.push(tokens.refresh_token.clone());
        // Every token of this server has the same beginning; its end is its signature.
        canaries.push(tokens.access_token.rsplit('.').next().unwrap().to_owned());
    }
    for key in ["ca.key", "server.key", "ring.toml"] {
        let secret = std::fs::read_to_string(dir.path().join("keys").join(key)).unwrap();
        canaries.push(secret.lines().map(str::trim).max_by_key(|line| line.len()).unwrap().to_owned());
    }

    let log = server.end();
    assert!(log.contains("DEBUG") && log.contains("signed in") && log.contains("/api/v1/rooms/{room}/events"), "{log}");
    assert!(log.contains("an old refresh token came back"), "{log}");
    for canary in canaries {
        let found = log.lines().find(|line| line.contains(&canary));
        assert!(found.is_none(), "{canary:?} in the log: {found:?}");
    }
}

#[tokio::test]
async fn people_are_let_in_and_out_from_the_command_line() {
    let dir = tempfile::tempdir().unwrap();
    let server = Hollerd::serve(dir.path());
    let client = client(dir.path());
    let command = |arguments: &[&str]| {
        let (done, output, error) = run(dir.path(), arguments, "");
        assert!(done, "{arguments:?}: {error}");
        output
    };
    let token_of = |link: &str| link.lines().next().unwrap().split_once('#').unwrap().1.to_owned();
    let post = async |path: &str, body: Value| {
        client.post(format!("{}/api/v1/{path}", server.url)).json(&body).send().await.unwrap()
    };

    let made = command(&[
        "invite",
        "make",
        "--room",
        "Everyone",
        "--note",
        "Sam",
        "--url",
        "https://radio.example.org",
        "--qr",
    ]);
    assert!(made.starts_with("https://radio.example.org/invite#hi1.") && made.contains('\u{2588}'), "{made}");
    let listed = command(&["invite", "list"]);
    assert!(listed.contains("\tgood\t0/1\t") && listed.contains("\tSam") && !listed.contains("hi1."), "{listed}");
    let body = json!({"token": token_of(&made), "login": "sam", "name": "Sam", "password": "a long password", "device_name": "phone"});
    assert_eq!(post("invites/accept", body.clone()).await.status(), 201);
    assert_eq!(post("invites/accept", body).await.status(), 404, "it was for one");
    let other = command(&["invite", "make", "--room", "Everyone"]);
    let id = command(&["invite", "list"]).lines().find(|line| line.contains("\tgood\t")).unwrap()[..30].to_owned();
    command(&["invite", "revoke", &id]);
    assert_eq!(post("invites/look", json!({"token": token_of(&other)})).await.status(), 404);

    let link = command(&["user", "reset", "sam"]);
    let body = json!({"token": token_of(&link), "password": "another long password", "device_name": "phone"});
    assert_eq!(post("auth/reset", body).await.status(), 200);
    assert_eq!(sign_in(&client, &server.url, "sam", "a long password", "phone").await.status(), 401);
    command(&["user", "suspend", "sam"]);
    assert_eq!(sign_in(&client, &server.url, "sam", "another long password", "phone").await.status(), 403);
    command(&["user", "restore", "sam"]);
    assert_eq!(sign_in(&client, &server.url, "sam", "another long password", "phone").await.status(), 200);
    assert!(command(&["device", "list", "sam"]).lines().count() >= 2);
    command(&["device", "revoke", "--all-of", "sam"]);
    assert!(!command(&["device", "list", "sam"]).contains("\tgood\t"));
    command(&["user", "set", "sam", "--name", "Samira", "--role", "admin"]);
    assert!(command(&["user", "list"]).contains("\tsam\tadmin\tSamira"));

    let export = command(&["user", "export", "sam"]);
    let last: Value = serde_json::from_str(export.lines().last().unwrap()).unwrap();
    assert_eq!(last["type"], "end");
    let file = dir.path().join("sam.jsonl");
    command(&["user", "export", "sam", "--out", file.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), export.lines().count());
    let (done, _, error) = run(dir.path(), &["user", "erase", "sam"], "");
    assert!(!done && error.contains("--yes"), "{error}");
    command(&["user", "erase", "sam", "--yes"]);
    assert!(!command(&["user", "list"]).contains("Samira"));
    let (done, _, error) = run(dir.path(), &["user", "erase", "admin", "--yes"], "");
    assert!(!done && error.contains("last admin"), "{error}");
    let (done, output, _) = run(dir.path(), &["user", "add", "alex", "--password-stdin"], "a long password\n");
    assert!(done && output.contains("is in no room yet"), "{output}");
}
