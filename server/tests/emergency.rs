//! An emergency at a real `hollerd`, over real TLS: raised, seen by all, wins over who talks, and is cleared by the one who raised
//! it or by a dispatcher, and by nobody else.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::{Hollerd, client, run, sign_in, tls};
use futures_util::{SinkExt as _, StreamExt as _};
use holler_core::wire::rest::{Room, Tokens};
use holler_core::wire::socket::SUBPROTOCOL;
use rustls_pki_types::ServerName;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

/// Longer than anything here may take.
const PATIENCE: Duration = Duration::from_secs(20);
const PASSWORD: &str = "a long password";

struct Person {
    socket: WebSocketStream<TlsStream<TcpStream>>,
    user: String,
    room: String,
    requests: u32,
    /// What came before what was waited for.
    unread: Vec<Value>,
}

impl Person {
    /// A member who follows the room.
    async fn join(dir: &Path, server: &Hollerd, login: &str) -> Self {
        let http = client(dir);
        let tokens: Tokens = sign_in(&http, &server.url, login, PASSWORD, "test").await.json().await.unwrap();
        let rooms = http.get(format!("{}/api/v1/rooms", server.url)).bearer_auth(&tokens.access_token);
        let room = rooms.send().await.unwrap().json::<Vec<Room>>().await.unwrap().remove(0).id.to_string();
        let url = format!("{}/api/v1/socket", server.url.replace("https://", "wss://"));
        let mut request = url.into_client_request().unwrap();
        request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
        let tcp = TcpStream::connect(("127.0.0.1", request.uri().port_u16().unwrap())).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let tls = tokio_rustls::TlsConnector::from(std::sync::Arc::new(tls(dir))).connect(name, tcp).await.unwrap();
        let (socket, _) = tokio_tungstenite::client_async(request, tls).await.unwrap();
        let mut person = Self { socket, user: tokens.user.to_string(), room, requests: 1, unread: Vec::new() };
        person.say(json!({"type": "auth", "token": tokens.access_token, "client": "test"})).await;
        person.until(|message| message["type"] == "welcome").await;
        let room = person.room.clone();
        person.say(json!({"type": "subscribe", "request": 1, "room": room, "voice": true})).await;
        person.until(|message| message["type"] == "subscribed").await;
        person
    }

    async fn say(&mut self, message: Value) {
        self.socket.send(Message::text(message.to_string())).await.unwrap();
    }

    /// The first control message that is wanted and was not read yet: floor, emergencies and log may come in any order.
    async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Value {
        if let Some(at) = self.unread.iter().position(&wanted) {
            return self.unread.remove(at);
        }
        loop {
            let message = tokio::time::timeout(PATIENCE, self.socket.next()).await.unwrap().unwrap().unwrap();
            match message {
                Message::Text(text) => {
                    let message = serde_json::from_str(&text).unwrap();
                    if wanted(&message) {
                        return message;
                    }
                    self.unread.push(message);
                }
                Message::Close(frame) => panic!("closed with {frame:?}"),
                Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
            }
        }
    }

    async fn ask(&mut self, priority: &str, burst: char) {
        self.requests += 1;
        let header = json!({
            "burst": format!("bst_{}{burst}0", "0".repeat(24)), "codec": "opus", "frame_ms": 20, "bitrate": 24000,
            "key_epoch": 0,
        });
        let request = json!({
            "type": "floor.request", "request": self.requests, "room": self.room, "priority": priority, "queue": false,
            "header": header, "spoken_ago_ms": 0,
        });
        self.say(request).await;
    }

    async fn clear(&mut self, raised_by: &str) {
        self.requests += 1;
        let clear =
            json!({"type": "emergency.clear", "request": self.requests, "room": self.room, "raised_by": raised_by});
        self.say(clear).await;
    }

    /// The next state of the room's emergencies: who raised them.
    async fn emergencies(&mut self) -> Vec<String> {
        let message = self.until(|message| message["type"] == "emergency").await;
        message["raised_by"].as_array().unwrap().iter().map(|user| user.as_str().unwrap().to_owned()).collect()
    }

    async fn event(&mut self, kind: &str) -> Value {
        let of_kind = |message: &Value| {
            let events = message["events"].as_array()?;
            events.iter().find(|event| event["body"]["kind"] == kind).cloned()
        };
        let message = self.until(|message| of_kind(message).is_some()).await;
        of_kind(&message).unwrap()
    }
}

#[tokio::test]
async fn an_emergency_wins_is_seen_and_is_cleared_by_its_sender_or_a_dispatcher_only() {
    let dir = tempfile::tempdir().unwrap();
    let server = Hollerd::serve(dir.path());
    for login in ["ann", "bob", "cleo", "dan"] {
        let add = ["user", "add", login, "--name", login, "--room", "Everyone", "--password-stdin"];
        let (done, _, error) = run(dir.path(), &add, &format!("{PASSWORD}\n"));
        assert!(done, "{error}");
    }
    let (done, _, error) = run(dir.path(), &["room", "member", "Everyone", "dan", "--role", "dispatcher"], "");
    assert!(done, "{error}");
    let (mut ann, mut bob) =
        (Person::join(dir.path(), &server, "ann").await, Person::join(dir.path(), &server, "bob").await);
    let (mut cleo, mut dan) =
        (Person::join(dir.path(), &server, "cleo").await, Person::join(dir.path(), &server, "dan").await);

    // Ann talks; bob's emergency takes the floor from her, and everybody sees whose it is.
    ann.ask("normal", '1').await;
    let ordinary = ann.until(|message| message["type"] == "floor.granted").await;
    bob.ask("emergency", '2').await;
    let urgent = bob.until(|message| message["type"] == "floor.granted").await;
    assert!(urgent["token"]["counter"].as_u64() > ordinary["token"]["counter"].as_u64());
    let revoked = ann.until(|message| message["type"] == "floor.revoked").await;
    assert_eq!(revoked["reason"], "preempted");
    for person in [&mut ann, &mut cleo, &mut dan] {
        assert_eq!(person.emergencies().await, [bob.user.clone()]);
    }
    let raised = cleo.event("emergency.raised").await;
    assert_eq!(raised["user"], bob.user.as_str());
    // Not even a dispatcher takes the floor from it.
    dan.ask("dispatcher", '3').await;
    assert_eq!(dan.until(|message| message["type"] == "floor.denied").await["reason"], "busy");

    // One who has nothing to do with it can't clear it.
    cleo.clear(&bob.user).await;
    let refused = cleo.until(|message| message["type"] == "refused").await;
    assert_eq!(refused["problem"]["type"], "urn:holler:problem:forbidden");
    // The sender can: all see it, the log tells it, and who still talks goes on with ordinary weight.
    let by_bob = bob.user.clone();
    bob.clear(&by_bob).await;
    assert_eq!(cleo.emergencies().await, Vec::<String>::new());
    let cleared = cleo.event("emergency.cleared").await;
    assert_eq!((&cleared["user"], &cleared["body"]["raised_by"]), (&json!(bob.user), &json!(bob.user)));
    dan.ask("dispatcher", '4').await;
    dan.until(|message| message["type"] == "floor.granted").await;
    assert_eq!(bob.until(|message| message["type"] == "floor.revoked").await["reason"], "preempted");

    // A second one, which the dispatcher clears.
    cleo.ask("emergency", '5').await;
    cleo.until(|message| message["type"] == "floor.granted").await;
    assert_eq!(
        ann.until(|message| message["type"] == "emergency" && message["raised_by"] != json!([])).await["raised_by"],
        json!([cleo.user])
    );
    dan.clear(&cleo.user).await;
    assert_eq!(
        ann.until(|message| message["type"] == "emergency" && message["raised_by"] == json!([])).await["raised_by"],
        json!([])
    );
    let cleared =
        ann.until(|message| message["events"].to_string().contains(&format!("\"raised_by\":\"{}\"", cleo.user))).await;
    assert!(cleared.to_string().contains(&dan.user), "{cleared}");
    server.end();
}
