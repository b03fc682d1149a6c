//! The socket of a real `hollerd`, over real TLS: what it takes, what it refuses, and how it ends.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

mod common;
#[path = "socket/people.rs"]
mod people;
#[path = "socket/playing.rs"]
mod playing;

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Hollerd, client, run, sign_in, tls};
use futures_util::{SinkExt as _, StreamExt as _};
use holler_core::wire::rest::{Room, Tokens};
use holler_core::wire::socket::{CloseCode, SUBPROTOCOL};
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::http::Request;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Longer than anything here may take; a test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Socket(WebSocketStream<TlsStream<TcpStream>>);

fn request(server: &Hollerd) -> Request<()> {
    let url = format!("{}/api/v1/socket", server.url.replace("https://", "wss://"));
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
    request
}

async fn open(dir: &Path, request: Request<()>) -> Result<Socket, Error> {
    let port = request.uri().port_u16().unwrap();
    let tcp = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let tls = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls(dir))).connect(name, tcp).await.unwrap();
    let (socket, _) = tokio_tungstenite::client_async(request, tls).await?;
    Ok(Socket(socket))
}

impl Socket {
    async fn signed_in(dir: &Path, server: &Hollerd, token: &str) -> Self {
        let mut socket = open(dir, request(server)).await.unwrap();
        socket.say(json!({"type": "auth", "token": token, "client": "test"})).await;
        socket.until("welcome").await;
        socket
    }

    async fn say(&mut self, message: Value) {
        self.0.send(Message::text(message.to_string())).await.unwrap();
    }

    async fn next(&mut self) -> Message {
        tokio::time::timeout(PATIENCE, self.0.next()).await.unwrap().unwrap().unwrap()
    }

    /// The next control message of this type; others are skipped.
    async fn until(&mut self, kind: &str) -> Value {
        loop {
            match self.next().await {
                Message::Text(text) => {
                    let message: Value = serde_json::from_str(&text).unwrap();
                    if message["type"] == kind {
                        return message;
                    }
                }
                Message::Close(frame) => panic!("closed with {frame:?} instead of {kind}"),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    /// The code that the server closes with.
    async fn closed(&mut self) -> Option<CloseCode> {
        loop {
            if let Message::Close(frame) = self.next().await {
                return CloseCode::from_number(frame.unwrap().code.into());
            }
        }
    }
}

/// A server with an admin and two users in one room.
struct Site {
    dir: tempfile::TempDir,
    server: Hollerd,
    client: reqwest::Client,
    room: Room,
}

impl Site {
    async fn new(metrics: &str) -> (Self, [Tokens; 3]) {
        let dir = tempfile::tempdir().unwrap();
        let server = Hollerd::serve_with_private(dir.path(), metrics);
        let client = client(dir.path());
        let password = server.password().unwrap();
        let mut tokens = Vec::new();
        for (login, password) in [("admin", password.as_str()), ("ann", "a long password"), ("bob", "a long password")]
        {
            if login != "admin" {
                let add = ["user", "add", login, "--name", login, "--room", "Everyone", "--password-stdin"];
                let (done, _, error) = run(dir.path(), &add, &format!("{password}\n"));
                assert!(done, "{error}");
            }
            let answer = sign_in(&client, &server.url, login, password, "test").await;
            tokens.push(answer.json::<Tokens>().await.unwrap());
        }
        let rooms = client.get(format!("{}/api/v1/rooms", server.url)).bearer_auth(&tokens[1].access_token);
        let room = rooms.send().await.unwrap().json::<Vec<Room>>().await.unwrap().remove(0);
        (Self { dir, server, client, room }, tokens.try_into().unwrap())
    }

    async fn socket(&self, tokens: &Tokens) -> Socket {
        Socket::signed_in(self.dir.path(), &self.server, &tokens.access_token).await
    }

    /// A socket that follows the room from its beginning.
    async fn follower(&self, tokens: &Tokens) -> (Socket, Value) {
        let mut socket = self.socket(tokens).await;
        let cursor = json!({"incarnation": self.room.head.incarnation, "seq": 0});
        socket
            .say(json!({"type": "subscribe", "request": 1, "room": self.room.id, "cursor": cursor, "voice": true}))
            .await;
        let subscribed = socket.until("subscribed").await;
        (socket, subscribed)
    }
}

fn cid(last: char) -> String {
    format!("cid_{}{last}0", "0".repeat(24))
}

#[tokio::test]
async fn the_upgrade_names_what_it_expects() {
    let dir = tempfile::tempdir().unwrap();
    let server = Hollerd::serve(dir.path());
    let plain = client(dir.path()).get(format!("{}/api/v1/socket", server.url)).send().await.unwrap();
    assert_eq!(plain.status(), 400);
    assert!(plain.text().await.unwrap().contains("RFC 6455"));
    let posted = client(dir.path()).post(format!("{}/api/v1/socket", server.url)).send().await.unwrap();
    assert_eq!(posted.status(), 405);

    let refusal = async |name: &'static str, value: &str| {
        let mut request = request(&server);
        request.headers_mut().insert(name, value.parse().unwrap());
        match open(dir.path(), request).await {
            Err(Error::Http(response)) => {
                (response.status().as_u16(), String::from_utf8(response.body().clone().unwrap_or_default()).unwrap())
            }
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("{name}: {value} was accepted"),
        }
    };
    let (status, body) = refusal("Sec-WebSocket-Protocol", "soap").await;
    assert!(status == 400 && body.contains(SUBPROTOCOL), "{status} {body}");
    let (status, body) = refusal("Origin", "https://elsewhere.example").await;
    assert!(status == 403 && body.contains("Origin"), "{status} {body}");
    let mut own = request(&server);
    own.headers_mut().insert("Origin", server.url.parse().unwrap());
    assert!(open(dir.path(), own).await.is_ok(), "our own page may");
}

#[tokio::test]
async fn a_session_begins_with_auth_or_ends() {
    let (site, [_, ann, _]) = Site::new("off").await;
    let dir = site.dir.path();
    let cases = [
        (Message::text(r#"{"type":"ping","nonce":1}"#), CloseCode::AuthExpected),
        (Message::text("hello?"), CloseCode::AuthExpected),
        (Message::binary(Bytes::from_static(&[1; 60])), CloseCode::AuthExpected),
        (Message::text(r#"{"type":"auth","token":"forged","client":"t"}"#), CloseCode::BadToken),
        (Message::text("x".repeat(70_000)), CloseCode::Malformed),
    ];
    for (message, expected) in cases {
        let mut socket = open(dir, request(&site.server)).await.unwrap();
        let what = format!("{message:.60}");
        socket.0.send(message).await.unwrap();
        assert_eq!(socket.closed().await, Some(expected), "{what}");
    }
    // One that says nothing is closed after 5 s, and one that answers in time is not.
    let mut silent = open(dir, request(&site.server)).await.unwrap();
    let mut speaking = site.socket(&ann).await;
    assert_eq!(silent.closed().await, Some(CloseCode::AuthExpected));
    speaking.say(json!({"type": "ping", "nonce": 7})).await;
    assert_eq!(speaking.until("pong").await["nonce"], 7);
}

#[tokio::test]
async fn who_sends_what_can_not_be_read_has_no_voice_path_when_they_are_told() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (site, [_, ann, _]) = Site::new(&free.to_string()).await;
    let paths = async || {
        let page = site.client.get(format!("http://{free}/metrics")).send().await.unwrap().text().await.unwrap();
        page.lines().find_map(|line| line.strip_prefix("holler_voice_paths_open ").map(str::to_owned))
    };
    let mut socket = site.socket(&ann).await;
    socket.say(json!({"type": "voice.path", "request": 6, "kinds": ["sealed-udp"]})).await;
    assert_eq!(socket.until("voice.path").await["offer"]["kind"], "sealed-udp");
    assert_eq!(paths().await.as_deref(), Some("1"));
    socket.0.send(Message::text("x".repeat(70_000))).await.unwrap();
    assert_eq!(socket.closed().await, Some(CloseCode::Malformed));
    assert_eq!(paths().await.as_deref(), Some("0"), "it ends before the socket does");
}

#[tokio::test]
async fn bad_messages_get_a_precise_error_and_the_session_goes_on() {
    let (site, [_, ann, _]) = Site::new("off").await;
    let mut socket = site.socket(&ann).await;
    let room = &site.room.id;
    let header = |bitrate: u32| json!({"burst": "bst_00000000000000000000000000", "codec": "opus", "frame_ms": 20, "bitrate": bitrate, "key_epoch": 0});
    let foreign = "room_00000000000000000000000000";
    let cases = [
        (json!({"type": "warble"}), "error", "unknown variant `warble`"),
        (json!({"type": "ping", "nonce": 1, "nonse": 2}), "error", "unknown field `nonse`"),
        (json!({"type": "subscribe", "request": 3, "room": "room_x", "voice": true}), "error", "room_"),
        (json!({"type": "subscribe", "request": 3, "room": foreign, "voice": true}), "refused", "no room"),
        (json!({"type": "floor.release", "request": 3, "room": room}), "refused", "subscribe first"),
        (
            json!({"type": "floor.request", "request": 3, "room": room, "priority": "normal", "queue": false,
                   "header": header(1), "spoken_ago_ms": 0}),
            "error",
            "6000 to 128000",
        ),
        (
            json!({"type": "send", "room": room, "client_id": cid('1'), "body": {"kind": "emergency.raised"}}),
            "refused",
            "appended by the server",
        ),
        (
            json!({"type": "send", "room": room, "client_id": cid('1'), "body": {"kind": "message.posted", "text": ""}}),
            "refused",
            "1 to 4000 characters",
        ),
    ];
    for (message, kind, words) in cases {
        socket.say(message.clone()).await;
        let answer = socket.until(kind).await;
        assert!(answer["problem"]["detail"].as_str().unwrap().contains(words), "{message}: {answer}");
    }
    for bytes in [&[9_u8; 40][..], &[1; 10], &[2; 1_400]] {
        socket.0.send(Message::binary(Bytes::copy_from_slice(bytes))).await.unwrap();
        assert_eq!(socket.until("error").await["problem"]["status"], 400);
    }
    let mut stray = vec![0; 60];
    (stray[0], stray[5]) = (1, 1);
    socket.0.send(Message::binary(Bytes::from(stray))).await.unwrap();
    assert_eq!(socket.until("error").await["problem"]["type"], "urn:holler:problem:out-of-order");
    socket.say(json!({"type": "ping", "nonce": 9})).await;
    assert_eq!(socket.until("pong").await["nonce"], 9);
}

#[tokio::test]
async fn a_changed_talk_limit_reaches_rooms_in_use() {
    let (site, [admin, ann, _]) = Site::new("off").await;
    let (mut talker, _) = site.follower(&ann).await;
    let change = async |method: reqwest::Method, path: String, body: Value| {
        let request = site.client.request(method, format!("{}/api/v1{path}", site.server.url)).json(&body);
        assert_eq!(request.bearer_auth(&admin.access_token).send().await.unwrap().status(), 200);
    };
    let mut number = 10;
    let mut granted = async || {
        number += 1;
        let header = json!({"burst": format!("bst_{number}{}", "0".repeat(24)), "codec": "opus", "frame_ms": 20, "bitrate": 24_000, "key_epoch": 0});
        talker
            .say(json!({"type": "floor.request", "request": number, "room": site.room.id, "priority": "normal",
                "queue": false, "header": header, "spoken_ago_ms": 0}))
            .await;
        let until = talker.until("floor.granted").await["until_ms"].clone();
        talker.say(json!({"type": "floor.release", "request": number, "room": site.room.id})).await;
        until
    };
    assert_eq!(granted().await, 60_000);
    change(reqwest::Method::PUT, "/policy".into(), json!({"talk_limit_s": 25})).await;
    // The home hears of it after the answer: ask until it has.
    while granted().await != 25_000 {}
    let room = format!("/rooms/{}", site.room.id);
    change(reqwest::Method::PATCH, room, json!({"talk_limit_s": 40})).await;
    while granted().await != 40_000 {}
    // A home that starts later begins with it.
    let (_, created, _) = run(site.dir.path(), &["room", "add", "Later"], "");
    let later = created.trim().strip_prefix("added ").unwrap().to_owned();
    run(site.dir.path(), &["room", "member", "Later", "ann"], "");
    talker.say(json!({"type": "subscribe", "request": 90, "room": later, "voice": true})).await;
    talker.until("subscribed").await;
    let header = json!({"burst": format!("bst_99{}", "0".repeat(24)), "codec": "opus", "frame_ms": 20, "bitrate": 24_000, "key_epoch": 0});
    talker
        .say(json!({"type": "floor.request", "request": 91, "room": later, "priority": "normal", "queue": false,
            "header": header, "spoken_ago_ms": 0}))
        .await;
    assert_eq!(talker.until("floor.granted").await["until_ms"], 25_000);
}

#[tokio::test]
async fn sends_are_stored_once_and_reach_everyone_in_order() {
    let (site, [_, ann, bob]) = Site::new("off").await;
    let (mut reader, _) = site.follower(&bob).await;
    let mut writer = site.socket(&ann).await;
    let text = |client_id: String, text: &str| json!({"type": "send", "room": site.room.id, "client_id": client_id, "body": {"kind": "message.posted", "text": text}});
    for digit in '1'..='5' {
        writer.say(text(cid(digit), "canary-socket-text")).await;
    }
    for seq in 1..=5 {
        assert_eq!(writer.until("ack").await["seq"], seq);
    }
    writer.say(text(cid('2'), "canary-socket-text")).await;
    assert_eq!(writer.until("ack").await["seq"], 2, "a retry gets the first answer");
    writer.say(text(cid('2'), "something else")).await;
    assert_eq!(writer.until("refused").await["problem"]["type"], "urn:holler:problem:conflict");
    let mut seen = Vec::new();
    while seen.len() < 5 {
        let page = reader.until("events").await;
        seen.extend(page["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()));
    }
    assert_eq!(seen, [1, 2, 3, 4, 5]);
    // One who comes later reads the same from the log, and one with a cursor of another history is told.
    let (mut later, subscribed) = site.follower(&ann).await;
    assert_eq!(subscribed["head"]["seq"], 5);
    assert_eq!(later.until("events").await["events"].as_array().unwrap().len(), 5);
    let cursor = json!({"incarnation": "inc_00000000000000000000000000", "seq": 900});
    later.say(json!({"type": "subscribe", "request": 2, "room": site.room.id, "cursor": cursor, "voice": false})).await;
    assert_eq!(later.until("history.gap").await["first_seq"], 1);
    assert_eq!(later.until("events").await["events"][0]["seq"], 1);
    let log = site.server.end();
    assert!(!log.contains("canary-socket-text"), "no text is logged");
}

#[tokio::test]
async fn a_revoked_device_and_a_lost_membership_end_at_once() {
    let (site, [_, ann, bob]) = Site::new("off").await;
    let (mut phone, _) = site.follower(&ann).await;
    let (mut other, _) = site.follower(&bob).await;
    let set = |role: &str| {
        run(site.dir.path(), &["room", "member", "Everyone", "bob", "--role", role], "");
    };
    set("listener");
    assert_eq!(other.until("role").await["role"], "listener");
    let text = json!({"type": "send", "room": site.room.id, "client_id": cid('1'), "body": {"kind": "message.posted", "text": "x"}});
    other.say(text).await;
    assert_eq!(other.until("refused").await["problem"]["status"], 403);

    let (done, _, error) = run(site.dir.path(), &["token", "revoke", &ann.device.to_string()], "");
    assert!(done, "{error}");
    let began = Instant::now();
    assert_eq!(phone.closed().await, Some(CloseCode::Revoked));
    eprintln!("a revocation by another process closed the socket {:?} after that process ended", began.elapsed());
    let mut again = open(site.dir.path(), request(&site.server)).await.unwrap();
    again.say(json!({"type": "auth", "token": ann.access_token, "client": "test"})).await;
    assert_eq!(again.closed().await, Some(CloseCode::Revoked));
}

#[tokio::test]
async fn a_deleted_room_ends_its_subscriptions_by_name() {
    let (site, [admin, ann, _]) = Site::new("off").await;
    let (mut phone, _) = site.follower(&ann).await;
    let room = site.room.id;
    let url = format!("{}/api/v1/rooms/{room}", site.server.url);
    let deleted = site.client.delete(url).bearer_auth(&admin.access_token).send().await.unwrap();
    assert_eq!(deleted.status(), 200);
    let refused = phone.until("refused").await;
    assert_eq!((&refused["room"], &refused["problem"]["status"]), (&json!(room), &json!(404)));
    assert!(refused["problem"]["detail"].as_str().unwrap().contains("deleted"), "{refused}");
    assert!(phone.until("role").await["role"].is_null());
    let text =
        json!({"type": "send", "room": room, "client_id": cid('1'), "body": {"kind": "message.posted", "text": "x"}});
    phone.say(text).await;
    assert_eq!(phone.until("refused").await["problem"]["status"], 404);
    phone.say(json!({"type": "subscribe", "request": 9, "room": room, "voice": false})).await;
    let refused = phone.until("refused").await;
    assert_eq!((&refused["request"], &refused["problem"]["status"]), (&json!(9), &json!(404)));
}

#[tokio::test]
async fn a_newer_socket_of_the_same_device_replaces_the_older() {
    let (site, [_, ann, _]) = Site::new("off").await;
    let mut first = site.socket(&ann).await;
    let mut second = site.socket(&ann).await;
    assert_eq!(first.closed().await, Some(CloseCode::Replaced));
    second.say(json!({"type": "ping", "nonce": 1})).await;
    second.until("pong").await;
}

#[tokio::test]
async fn a_server_that_goes_down_says_when_to_come_back() {
    let (site, [_, ann, _]) = Site::new("off").await;
    let (mut socket, _) = site.follower(&ann).await;
    site.server.terminate();
    assert!(socket.until("draining").await["reconnect_after_ms"].as_u64().unwrap() < 3_000);
    assert_eq!(socket.closed().await, Some(CloseCode::Draining));
    // A second signal would cut it short.
    let (code, log) = site.server.wait();
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test]
async fn what_clients_report_and_how_requests_end_is_on_metrics() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (site, [_, ann, _]) = Site::new(&free.to_string()).await;
    let (mut socket, _) = site.follower(&ann).await;
    let burst = "bst_00000000000000000000000000";
    let header = json!({"burst": burst, "codec": "opus", "frame_ms": 20, "bitrate": 24_000, "key_epoch": 0});
    let request = json!({"type": "floor.request", "request": 5, "room": site.room.id, "priority": "normal", "queue": false,
                         "header": header, "spoken_ago_ms": 3});
    socket.say(request).await;
    assert_eq!(socket.until("floor.granted").await["request"], 5);
    socket
        .say(json!({"type": "report", "room": site.room.id, "burst": burst, "access_us": 1_500, "mouth_to_ear_us": 61_000,
                    "late_entry_us": 90_000}))
        .await;
    // The answer to what comes after it shows that the report was taken in.
    socket.say(json!({"type": "ping", "nonce": 1})).await;
    socket.until("pong").await;
    let page = site.client.get(format!("http://{free}/metrics")).send().await.unwrap().text().await.unwrap();
    for line in [
        r#"holler_floor_outcomes_total{outcome="immediate",priority="normal"} 1"#,
        r#"holler_floor_access_seconds_bucket{le="0.002"} 1"#,
        r#"holler_mouth_to_ear_seconds_bucket{le="0.07"} 1"#,
        r#"holler_late_entry_seconds_bucket{le="0.1"} 1"#,
        "holler_sockets_open 1",
    ] {
        assert!(page.contains(line), "{line} is not in\n{page}");
    }
}
