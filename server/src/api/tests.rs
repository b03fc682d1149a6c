//! The interface over TLS, as a client meets it.

mod accounts;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use holler_core::model::{BurstDigest, BurstHeader, Codec, EventBody, FrameRange, Priority, Role, Scope};
use holler_core::units::{
    Bitrate, BurstId, BurstStep, ClientId, DeviceId, Epoch, FrameMs, FrameNo, Incarnation, RoomId, UserId,
};
use holler_core::wire::limits::REST_BODY_BYTES_MAX;
use holler_core::wire::problem::{self as wire_problem, Problem, ProblemKind};
use holler_core::wire::rest::{Burst, Device, EventPage, Me, Member, Room, Sent, Tokens, User};
use holler_core::wire::{frames, problem::TYPE_PREFIX};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::access::TABLE;
use crate::app::{App, AppState};
use crate::clock::Clock;
use crate::config::{CommonFlags, Config, ServeFlags};
use crate::keys::KeyRing;
use crate::pki::{self, Identity};
use crate::storage::audit::Actor;
use crate::storage::{Append, NoHooks, Store};
use crate::{first_start, serve};

mod deleting;
mod lists;
mod matrix;
mod push;
mod rules;

/// A real server on a loopback port of its own.
struct Server {
    app: App,
    client: reqwest::Client,
    url: String,
    admin: Tokens,
    scripts: std::sync::Mutex<std::collections::BTreeMap<Vec<Scope>, String>>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
    _dir: tempfile::TempDir,
}

fn config(dir: &Path) -> Config {
    let common = CommonFlags { data: Some(dir.join("data")), keys: Some(dir.join("keys")), ..CommonFlags::default() };
    let flags = ServeFlags {
        listen: vec!["127.0.0.1:0".into()],
        public_name: vec!["radio.example.org".into()],
        private: Some("off".into()),
        ..ServeFlags::default()
    };
    Config::load(&common, &flags, []).unwrap()
}

/// What a server works with, in a folder, and the admin's password.
pub(crate) async fn app(dir: &Path) -> (App, zeroize::Zeroizing<String>) {
    let config = config(dir);
    let ring = KeyRing::load_or_create(&config.keys, &config.data).unwrap();
    let store = Store::open(&config.data, ring, Arc::new(NoHooks)).unwrap();
    let clock = Clock::default();
    let workspace = first_start::workspace(&store, clock).await.unwrap();
    let auth = first_start::auth(&store, workspace.id, clock, &config).await.unwrap();
    let push = crate::push::Push::open(&store, workspace.id, clock, &config).await.unwrap();
    let app = AppState::new(config, clock, store, auth);
    app.set_push(Arc::new(push));
    (app, workspace.fresh_password.unwrap())
}

async fn start() -> Server {
    let dir = tempfile::tempdir().unwrap();
    let (app, password) = app(dir.path()).await;
    let tls =
        Identity::load(&app.config(), Duration::from_millis(app.clock.unix().0)).unwrap().server_config().unwrap();
    let tls = Arc::new(arc_swap::ArcSwap::from_pointee(tls));
    let listeners = serve::listen(&app.config().listen).unwrap();
    let address = listeners[0].local_addr().unwrap();
    let stop = CancellationToken::new();
    let running =
        tokio::spawn(serve::serve(listeners, tls, super::router(Arc::clone(&app)), 100, stop.clone(), stop.clone()));
    let client = client(&app.config().keys);
    let url = format!("https://localhost:{}", address.port());
    let request = json!({"login": "admin", "password": *password, "device_name": "desk"});
    let answer = client.post(format!("{url}/api/v1/auth/sign-in")).json(&request).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    let admin = answer.json().await.unwrap();
    Server { app, client, url, admin, scripts: std::sync::Mutex::default(), stop, running, _dir: dir }
}

/// TLS that trusts the local CA and nothing else.
fn tls(keys: &Path) -> rustls::ClientConfig {
    use rustls_pki_types::{CertificateDer, pem::PemObject as _};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(keys.join(pki::CA_CERTIFICATE)).unwrap()).unwrap();
    rustls::ClientConfig::builder_with_provider(pki::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn client(keys: &Path) -> reqwest::Client {
    reqwest::Client::builder()
        .no_proxy()
        .tls_backend_preconfigured(tls(keys))
        .resolve("localhost", "127.0.0.1:0".parse().unwrap())
        .build()
        .unwrap()
}

impl Server {
    async fn send(&self, method: Method, path: &str, token: Option<&str>, body: Option<&Value>) -> Response {
        let mut request = self.client.request(method, format!("{}{path}", self.url));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        request.send().await.unwrap()
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, path: &str, token: &str) -> T {
        let answer = self.send(Method::GET, path, Some(token), None).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> Response {
        self.send(Method::POST, path, Some(token), Some(&body)).await
    }

    /// A member who is in no room.
    async fn add_user(&self, login: &str) -> Tokens {
        let new = json!({"login": login, "name": login, "password": "a long password", "role": "member"});
        let answer = self.post("/api/v1/users", &self.admin.access_token, new).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        let user: User = answer.json().await.unwrap();
        let request = json!({"login": login, "password": "a long password", "device_name": "phone"});
        let answer = self.client.post(format!("{}/api/v1/auth/sign-in", self.url)).json(&request).send().await.unwrap();
        let tokens: Tokens = answer.json().await.unwrap();
        assert_eq!(tokens.user, user.id);
        tokens
    }

    async fn room(&self, name: &str) -> RoomId {
        let rooms: Vec<Room> = self.get("/api/v1/rooms", &self.admin.access_token).await;
        rooms.iter().find(|room| room.name == name).unwrap().id
    }

    /// The admin's token for a script with these scopes: made once, because a user has only so many devices.
    async fn script(&self, scopes: &[Scope]) -> String {
        if let Some(token) = self.scripts.lock().unwrap().get(scopes) {
            return token.clone();
        }
        let token = self
            .app
            .auth
            .script_token(Actor::Cli, self.admin.user, "script".into(), scopes.to_vec(), 1)
            .await
            .unwrap()
            .1;
        self.scripts.lock().unwrap().insert(scopes.to_vec(), token.clone());
        token
    }

    async fn end(self) {
        self.stop.cancel();
        drop(self.client);
        self.running.await.unwrap();
    }
}

/// The problem in an answer, which must be told as RFC 9457 says.
async fn problem(answer: Response) -> Problem {
    let status = answer.status();
    let media_type = answer.headers().get("content-type").cloned();
    let text = answer.text().await.unwrap();
    assert_eq!(
        media_type.as_ref().map(|value| value.as_bytes()),
        Some(wire_problem::MEDIA_TYPE.as_bytes()),
        "{status} {text}"
    );
    let problem: Problem = serde_json::from_str(&text).unwrap();
    assert_eq!(problem.status, status.as_u16());
    assert!(problem.kind.starts_with(TYPE_PREFIX));
    problem
}

#[tokio::test]
async fn signing_in_and_out() {
    let server = start().await;
    let me: Me = server.get("/api/v1/me", &server.admin.access_token).await;
    assert_eq!(
        (me.user.id, me.device, me.user.login.as_deref()),
        (server.admin.user, server.admin.device, Some("admin"))
    );

    let wrong = json!({"login": "admin", "password": "wrong", "device_name": "desk"});
    let answer = server.send(Method::POST, "/api/v1/auth/sign-in", None, Some(&wrong)).await;
    assert!(answer.headers().contains_key("www-authenticate"));
    assert!(problem(answer).await.is(ProblemKind::BadCredentials));

    let next = json!({"refresh_token": server.admin.refresh_token});
    let answer = server.send(Method::POST, "/api/v1/auth/refresh", None, Some(&next)).await;
    let tokens: Tokens = answer.json().await.unwrap();
    assert_ne!(tokens.refresh_token, server.admin.refresh_token);

    let answer = server.send(Method::POST, "/api/v1/auth/sign-out", Some(&tokens.access_token), None).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let answer = server.send(Method::GET, "/api/v1/me", Some(&tokens.access_token), None).await;
    assert!(problem(answer).await.is(ProblemKind::Revoked));
    let last = json!({"refresh_token": tokens.refresh_token});
    let answer = server.send(Method::POST, "/api/v1/auth/refresh", None, Some(&last)).await;
    assert!(problem(answer).await.is(ProblemKind::Revoked));
    server.end().await;
}

#[tokio::test]
async fn sign_in_is_limited() {
    let server = start().await;
    let wrong = json!({"login": "nobody", "password": "wrong", "device_name": "desk"});
    for _ in 0..10 {
        let answer = server.send(Method::POST, "/api/v1/auth/sign-in", None, Some(&wrong)).await;
        assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    }
    let answer = server.send(Method::POST, "/api/v1/auth/sign-in", None, Some(&wrong)).await;
    let wait: u32 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    let refused = problem(answer).await;
    assert!(refused.is(ProblemKind::RateLimited) && refused.retry_after_s == Some(wait) && wait > 0);
    server.end().await;
}

#[tokio::test]
async fn rooms_show_themselves_to_members_only() {
    let server = start().await;
    let (sam, room) = (server.add_user("sam").await, server.room("Everyone").await);
    let burst = BurstId::from_bytes([9; 16]);
    for path in ["", "/members", "/events", &format!("/bursts/{burst}"), &format!("/bursts/{burst}/frames")] {
        let answer =
            server.send(Method::GET, &format!("/api/v1/rooms/{room}{path}"), Some(&sam.access_token), None).await;
        let refused = problem(answer).await;
        assert!(refused.is(ProblemKind::NotFound) && refused.field.as_deref() == Some("room"), "{path}: {refused}");
    }
    assert!(server.get::<Vec<Room>>("/api/v1/rooms", &sam.access_token).await.is_empty());
    let path = format!("/api/v1/rooms/{room}/members/{}", sam.user);
    let put = async |token: &str, role: &str| {
        server.send(Method::PUT, &path, Some(token), Some(&json!({ "role": role }))).await.status()
    };
    assert_eq!(put(&sam.access_token, "admin").await, StatusCode::NOT_FOUND, "nobody lets themselves in");
    assert_eq!(put(&server.admin.access_token, "listener").await, StatusCode::NO_CONTENT);
    assert_eq!(put(&sam.access_token, "admin").await, StatusCode::FORBIDDEN, "nobody raises themselves");
    let rooms: Vec<Room> = server.get("/api/v1/rooms", &sam.access_token).await;
    assert_eq!(
        rooms.iter().map(|room| (room.id, room.role, room.members)).collect::<Vec<_>>(),
        [(room, Some(Role::Listener), 2)]
    );
    let members: Vec<Member> = server.get(&format!("/api/v1/rooms/{room}/members"), &sam.access_token).await;
    assert_eq!(members.len(), 2);
    assert!(members.iter().all(|member| member.connections == 0 && member.last_heard_ms.is_none()));

    let text = json!({"client_id": ClientId::from_bytes([1; 16]), "body": {"kind": "message.posted", "text": "hello"}});
    let events = format!("/api/v1/rooms/{room}/events");
    assert!(
        problem(server.post(&events, &sam.access_token, text).await).await.is(ProblemKind::Forbidden),
        "listeners don't write"
    );

    let users: Vec<User> = server.get("/api/v1/users", &sam.access_token).await;
    let logins: Vec<_> = users.iter().map(|user| user.login.as_deref()).collect();
    assert_eq!(logins, [None, Some("sam")], "others' logins are not shown");
    let admin = format!("/api/v1/users/{}", server.admin.user);
    assert_eq!(server.get::<User>(&admin, &sam.access_token).await.id, server.admin.user);

    let answer = server.send(Method::DELETE, &path, Some(&sam.access_token), None).await;
    assert_eq!(answer.status(), StatusCode::NO_CONTENT, "leaving is free");
    assert!(server.get::<Vec<Room>>("/api/v1/rooms", &sam.access_token).await.is_empty());

    let users: Vec<User> = server.get("/api/v1/users", &sam.access_token).await;
    assert_eq!(users.iter().map(|user| user.id).collect::<Vec<_>>(), [sam.user], "they share no room any more");
    let refused = problem(server.send(Method::GET, &admin, Some(&sam.access_token), None).await).await;
    assert!(refused.is(ProblemKind::NotFound) && refused.field.as_deref() == Some("user"));
    server.end().await;
}

#[tokio::test]
async fn an_admin_manages_rooms_without_reading_them() {
    let server = start().await;
    let sam = server.add_user("sam").await;
    let answer =
        server.post("/api/v1/rooms", &server.admin.access_token, json!({"name": "Stage", "kind": "direct"})).await;
    let room: Room = answer.json().await.unwrap();
    assert_eq!((room.role, room.members, room.head.seq.0), (Some(Role::Admin), 1, 0));
    let member = |user: UserId| format!("/api/v1/rooms/{}/members/{user}", room.id);
    let admin = server.admin.access_token.as_str();
    let set = json!({"role": "talker"});
    assert_eq!(
        server.send(Method::PUT, &member(sam.user), Some(admin), Some(&set)).await.status(),
        StatusCode::NO_CONTENT
    );
    let third = server.add_user("alex").await;
    let full = server.send(Method::PUT, &member(third.user), Some(admin), Some(&set)).await;
    assert!(problem(full).await.is(ProblemKind::Conflict), "a direct room is for two");
    let nobody = server.send(Method::PUT, &member(UserId::from_bytes([9; 16])), Some(admin), Some(&set)).await;
    assert_eq!(problem(nobody).await.field.as_deref(), Some("user"));
    assert_eq!(
        server.send(Method::DELETE, &member(server.admin.user), Some(admin), None).await.status(),
        StatusCode::NO_CONTENT
    );
    let seen: Room = server.get(&format!("/api/v1/rooms/{}", room.id), admin).await;
    assert_eq!(seen.role, None);
    let events = server.send(Method::GET, &format!("/api/v1/rooms/{}/events", room.id), Some(admin), None).await;
    assert!(problem(events).await.is(ProblemKind::Forbidden));
    let taken = json!({"login": "sam", "name": "Other", "password": "a long password", "role": "member"});
    let taken = problem(server.post("/api/v1/users", admin, taken).await).await;
    assert!(taken.is(ProblemKind::Conflict) && taken.field.as_deref() == Some("login"));
    server.end().await;
}

#[tokio::test]
async fn a_log_is_read_page_by_page_and_written_once() {
    let server = start().await;
    let path = format!("/api/v1/rooms/{}/events", server.room("Everyone").await);
    let admin = server.admin.access_token.as_str();
    let text = |n: u8| json!({"client_id": ClientId::from_bytes([n; 16]), "body": {"kind": "message.posted", "text": format!("text {n}")}});
    let mut sent = Vec::new();
    for n in 1..=5 {
        let answer = server.post(&path, admin, text(n)).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
        sent.push(answer.json::<Sent>().await.unwrap());
    }
    let again = server.post(&path, admin, text(2)).await;
    assert_eq!(again.status(), StatusCode::OK, "sent twice, stored once");
    assert_eq!(again.json::<Sent>().await.unwrap(), sent[1]);

    let first: EventPage = server.get(&format!("{path}?limit=3"), admin).await;
    assert_eq!(first.events.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [1, 2, 3]);
    assert_eq!((first.next.seq.0, first.head.seq.0, first.first_seq.0), (3, 5, 1));
    let after = |incarnation: Incarnation, seq: u64| format!("{path}?after_incarnation={incarnation}&after_seq={seq}");
    let second: EventPage = server.get(&after(first.next.incarnation, 3), admin).await;
    assert_eq!(second.events.iter().map(|event| event.seq.0).collect::<Vec<_>>(), [4, 5]);
    let end: EventPage = server.get(&after(first.next.incarnation, 5), admin).await;
    assert!(end.events.is_empty() && end.next == end.head);

    for (path, kind, field) in [
        (after(Incarnation::from_bytes([7; 16]), 3), ProblemKind::WrongIncarnation, "after_incarnation"),
        (after(first.next.incarnation, 6), ProblemKind::OutOfBounds, "after_seq"),
        (format!("{path}?after_seq=3"), ProblemKind::Malformed, "after_incarnation"),
        (format!("{path}?limit=0"), ProblemKind::OutOfBounds, "limit"),
        (format!("{path}?limit=501"), ProblemKind::OutOfBounds, "limit"),
        (format!("{path}?limit=many"), ProblemKind::Malformed, "limit"),
        (format!("{path}?limt=3"), ProblemKind::Malformed, "limt"),
    ] {
        let refused = problem(server.send(Method::GET, &path, Some(admin), None).await).await;
        assert!(refused.is(kind) && refused.field.as_deref() == Some(field), "{path}: {refused}");
    }
    server.end().await;
}

#[tokio::test]
async fn a_bursts_frames_come_by_range() {
    let server = start().await;
    let (room, burst) = (server.room("Everyone").await, BurstId::from_bytes([5; 16]));
    let admin = server.admin.access_token.as_str();
    let header = BurstHeader {
        burst,
        codec: Codec::Opus,
        frame_ms: FrameMs::Ms20,
        bitrate: Bitrate(24_000),
        key_epoch: Epoch(0),
    };
    let body = EventBody::BurstStarted {
        header,
        token: None,
        priority: Priority::Normal,
        spoken_ago_ms: 0,
        uncertainty_ms: 0,
    };
    let append = Append {
        room,
        user: server.admin.user,
        device: server.admin.device,
        role: Role::Admin,
        client_id: burst.client_id(BurstStep::Started),
        epoch: None,
        body,
        received_at: server.app.clock.unix(),
    };
    server.app.store.append(append).await.unwrap();
    let payload = |n: u16| bytes::Bytes::from(vec![u8::try_from(n).unwrap(); usize::from(n)]);
    let stored: Vec<_> = [1, 2, 3, 5].map(|n| (FrameNo(n), payload(n))).into();
    server.app.store.put_frames(room, burst, stored.clone()).await.unwrap();

    let path = format!("/api/v1/rooms/{room}/bursts/{burst}");
    let known: Burst = server.get(&path, admin).await;
    let range = |from, to| FrameRange { from: FrameNo(from), to: FrameNo(to) };
    assert_eq!((known.present, known.complete, known.last), (vec![range(1, 3), range(5, 5)], false, None));
    let fetch = async |query: &str| server.send(Method::GET, &format!("{path}/frames{query}"), Some(admin), None).await;
    let all = fetch("").await;
    assert_eq!(all.headers()["content-type"], frames::MEDIA_TYPE);
    assert_eq!(frames::decode(all.bytes().await.unwrap()).unwrap(), stored);
    assert_eq!(frames::decode(fetch("?from=2&to=4").await.bytes().await.unwrap()).unwrap(), stored[1..3]);
    // More than is read at once, with a hole where one read ends.
    let bytes = |n: u16| bytes::Bytes::copy_from_slice(&n.to_be_bytes());
    let more: Vec<_> = (240..=251).chain(501..=1_003).map(|n| (FrameNo(n), bytes(n))).collect();
    server.app.store.put_frames(room, burst, more.clone()).await.unwrap();
    let all = [stored.clone(), more.clone()].concat();
    assert_eq!(frames::decode(fetch("").await.bytes().await.unwrap()).unwrap(), all);
    assert_eq!(frames::decode(fetch("?from=251&to=1002").await.bytes().await.unwrap()).unwrap(), more[11..514]);
    assert!(fetch("?from=1004").await.bytes().await.unwrap().is_empty());
    for (query, field) in [("?from=0", "from"), ("?from=3&to=2", "to"), ("?to=15001", "to")] {
        let refused = problem(fetch(query).await).await;
        assert!(refused.is(ProblemKind::OutOfBounds) && refused.field.as_deref() == Some(field), "{query}");
    }
    let other = format!("/api/v1/rooms/{room}/bursts/{}", BurstId::from_bytes([6; 16]));
    assert_eq!(
        problem(server.send(Method::GET, &other, Some(admin), None).await).await.field.as_deref(),
        Some("burst")
    );
    // What only the server appends.
    let forged = json!({"client_id": burst.client_id(BurstStep::Completed), "body":
        {"kind": "burst.completed", "burst": burst, "last": 5, "digest": BurstDigest([0; 32])}});
    let refused = problem(server.post(&format!("/api/v1/rooms/{room}/events"), admin, forged).await).await;
    assert!(refused.is(ProblemKind::Forbidden) && refused.field.as_deref() == Some("body.kind"));
    server.end().await;
}

#[tokio::test]
async fn what_can_not_be_read_is_told_with_its_field() {
    let server = start().await;
    let room = server.room("Everyone").await;
    let admin = server.admin.access_token.as_str();
    let events = format!("/api/v1/rooms/{room}/events");
    let id = ClientId::from_bytes([1; 16]);
    for (path, body, kind, field) in [
        ("/api/v1/auth/sign-in", json!({"login": "a", "password": "b"}), ProblemKind::Malformed, Some("device_name")),
        (
            "/api/v1/auth/sign-in",
            json!({"login": 5, "password": "b", "device_name": "c"}),
            ProblemKind::Malformed,
            Some("login"),
        ),
        (
            "/api/v1/auth/sign-in",
            json!({"login": "a", "pasword": "b", "device_name": "c"}),
            ProblemKind::Malformed,
            Some("pasword"),
        ),
        (
            "/api/v1/auth/sign-in",
            json!({"login": "a b", "password": "b", "device_name": "c"}),
            ProblemKind::OutOfBounds,
            Some("login"),
        ),
        ("/api/v1/auth/sign-in", json!([]), ProblemKind::Malformed, None),
        (
            "/api/v1/users",
            json!({"login": "a", "name": "", "password": "a long password", "role": "member"}),
            ProblemKind::OutOfBounds,
            Some("name"),
        ),
        (
            "/api/v1/users",
            json!({"login": "a", "name": "A", "password": "short", "role": "member"}),
            ProblemKind::OutOfBounds,
            Some("password"),
        ),
        (
            "/api/v1/users",
            json!({"login": "a", "name": "A", "password": "a long password", "role": "king"}),
            ProblemKind::Malformed,
            Some("role"),
        ),
        (
            events.as_str(),
            json!({"client_id": "cid_x", "body": {"kind": "message.posted", "text": "t"}}),
            ProblemKind::Malformed,
            Some("client_id"),
        ),
        (
            events.as_str(),
            json!({"client_id": id, "body": {"kind": "message.posted"}}),
            ProblemKind::Malformed,
            Some("body.text"),
        ),
        (
            events.as_str(),
            json!({"client_id": id, "body": {"kind": "message.sung", "text": "t"}}),
            ProblemKind::Malformed,
            Some("body.kind"),
        ),
        (
            events.as_str(),
            json!({"client_id": id, "body": {"kind": "message.posted", "text": "é".repeat(4_001)}}),
            ProblemKind::OutOfBounds,
            Some("body.text"),
        ),
        (
            events.as_str(),
            json!({"client_id": id, "body": {"kind": "message.deleted", "target": 99}}),
            ProblemKind::NotFound,
            Some("body.target"),
        ),
        (
            events.as_str(),
            json!({"client_id": id, "epoch": 3, "body": {"kind": "message.posted", "text": "t"}}),
            ProblemKind::StaleEpoch,
            Some("epoch"),
        ),
    ] {
        let refused = problem(server.post(path, admin, body.clone()).await).await;
        assert!(refused.is(kind), "{path} {body}: {refused}");
        assert_eq!(refused.field.as_deref(), field, "{path} {body}: {refused}");
    }

    let raw = async |content_type: Option<&str>, body: &'static [u8]| {
        let mut request = server.client.post(format!("{}/api/v1/auth/refresh", server.url)).body(body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        problem(request.send().await.unwrap()).await
    };
    assert!(raw(Some("application/json"), b"{\"refresh_token\":").await.is(ProblemKind::Malformed));
    assert!(raw(Some("application/json"), b"{\"refresh_token\":\"a\"} x").await.is(ProblemKind::Malformed));
    assert!(raw(Some("application/json"), b"\xff\xfe").await.is(ProblemKind::Malformed));
    assert!(raw(Some("application/json"), b"").await.is(ProblemKind::Malformed));
    // A list of the values is no object, though serde would take it.
    assert!(raw(Some("application/json"), b" [\"a\"]").await.is(ProblemKind::Malformed));
    assert!(raw(Some("text/plain"), b"{}").await.is(ProblemKind::UnsupportedMediaType));
    assert!(raw(None, b"{}").await.is(ProblemKind::UnsupportedMediaType));
    assert!(
        raw(Some("application/json; charset=utf-8"), b"{\"refresh_token\":\"a\"}")
            .await
            .is(ProblemKind::Unauthenticated)
    );

    let path = problem(server.send(Method::GET, "/api/v1/rooms/usr_1", Some(admin), None).await).await;
    assert!(path.is(ProblemKind::Malformed) && path.field.as_deref() == Some("room"), "{path}");
    let path = problem(server.send(Method::GET, "/api/v1/rooms/%ff", Some(admin), None).await).await;
    assert!(path.is(ProblemKind::Malformed) && path.field.as_deref() == Some("room"), "{path}");
    assert!(problem(server.send(Method::GET, "/api/v1/nothing", None, None).await).await.is(ProblemKind::NotFound));
    let answer = server.send(Method::PATCH, "/api/v1/rooms", None, None).await;
    assert_eq!(
        answer.headers()["allow"].to_str().unwrap().split(',').filter(|m| *m != "HEAD").collect::<Vec<_>>(),
        ["GET", "POST"]
    );
    assert!(problem(answer).await.is(ProblemKind::MethodNotAllowed));
    server.end().await;
}

#[tokio::test]
async fn a_body_has_a_largest_size() {
    let server = start().await;
    let url = format!("{}/api/v1/auth/refresh", server.url);
    let largest = |bytes: usize| {
        let mut body = br#"{"refresh_token":""#.to_vec();
        body.resize(bytes - 2, b'a');
        body.extend_from_slice(b"\"}");
        body
    };
    let send = async |body: reqwest::Body| {
        problem(server.client.post(&url).header("content-type", "application/json").body(body).send().await.unwrap())
            .await
    };
    assert!(send(largest(REST_BODY_BYTES_MAX).into()).await.is(ProblemKind::Unauthenticated), "the largest is read");
    assert!(send(largest(REST_BODY_BYTES_MAX + 1).into()).await.is(ProblemKind::TooLarge));

    // Without a length ahead: stopped while it is read, so by the router and not by the client.
    let chunks = largest(REST_BODY_BYTES_MAX + 1)
        .chunks(10_000)
        .map(|chunk| Ok::<_, std::io::Error>(bytes::Bytes::copy_from_slice(chunk)))
        .collect::<Vec<_>>();
    let request = axum::http::Request::post("/api/v1/auth/refresh")
        .header("content-type", "application/json")
        .body(axum::body::Body::from_stream(futures_util::stream::iter(chunks)))
        .unwrap();
    let answer = super::router(Arc::clone(&server.app)).oneshot(request).await.unwrap();
    assert_eq!(answer.status().as_u16(), ProblemKind::TooLarge.status());
    server.end().await;
}

/// Over real TLS: who is refused at the head while the body is on its way reads why, on a connection that goes on.
#[tokio::test]
async fn who_is_refused_before_the_body_came_reads_the_answer() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    let server = start().await;
    let address = server.url.strip_prefix("https://localhost:").unwrap().parse::<u16>().unwrap();
    let tcp = tokio::net::TcpStream::connect(("127.0.0.1", address)).await.unwrap();
    let name = rustls_pki_types::ServerName::try_from("localhost").unwrap();
    let tls = tokio_rustls::TlsConnector::from(Arc::new(tls(&server.app.config().keys)));
    let mut stream = tls.connect(name, tcp).await.unwrap();
    let body = vec![b' '; REST_BODY_BYTES_MAX];
    for path in ["/api/v1/rooms", "/api/v1/nowhere"] {
        let head = format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        // A client that first sends all, slower than the server decides.
        for part in body.chunks(16 * 1024) {
            tokio::task::yield_now().await;
            stream.write_all(part).await.unwrap();
            stream.flush().await.unwrap();
        }
        let (mut answer, mut part) = (Vec::new(), [0; 4096]);
        while !answer.ends_with(b"}") {
            let read = stream.read(&mut part).await.unwrap();
            assert!(read > 0, "the connection ended after {:?}", String::from_utf8_lossy(&answer));
            answer.extend_from_slice(&part[..read]);
        }
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 4") && answer.contains(TYPE_PREFIX), "{answer}");
    }
    drop(stream);
    server.end().await;
}

#[tokio::test]
async fn a_revoked_device_is_out_at_once() {
    let server = start().await;
    let (sam, alex) = (server.add_user("sam").await, server.add_user("alex").await);
    let devices: Vec<Device> = server.get("/api/v1/devices", &sam.access_token).await;
    assert_eq!(
        devices.iter().map(|device| (device.id, device.name.as_str(), device.revoked)).collect::<Vec<_>>(),
        [(sam.device, "phone", false)]
    );
    let path = format!("/api/v1/devices/{}", sam.device);
    let by_other = server.send(Method::DELETE, &path, Some(&alex.access_token), None).await;
    assert!(problem(by_other).await.is(ProblemKind::NotFound), "only one's own");
    let by_admin = server.send(Method::DELETE, &path, Some(&server.admin.access_token), None).await;
    assert_eq!(by_admin.status(), StatusCode::NO_CONTENT);
    let after = server.send(Method::GET, "/api/v1/me", Some(&sam.access_token), None).await;
    assert!(problem(after).await.is(ProblemKind::Revoked));
    let refresh = json!({"refresh_token": sam.refresh_token});
    let answer = server.send(Method::POST, "/api/v1/auth/refresh", None, Some(&refresh)).await;
    assert!(problem(answer).await.is(ProblemKind::Revoked));
    let own = format!("/api/v1/devices/{}", alex.device);
    assert_eq!(
        server.send(Method::DELETE, &own, Some(&alex.access_token), None).await.status(),
        StatusCode::NO_CONTENT
    );
    server.end().await;
}

#[tokio::test]
async fn everybody_may_see_that_it_runs() {
    let server = start().await;
    let page = server.send(Method::GET, "/", None, None).await;
    assert_eq!(page.status(), StatusCode::OK);
    assert!(page.headers()["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
    for (path, ready) in [("/healthz", "ok\n"), ("/readyz", "ready\n")] {
        let answer = server.send(Method::GET, path, None, None).await;
        for header in ["x-content-type-options", "content-security-policy", "referrer-policy", "cache-control"] {
            assert!(answer.headers().contains_key(header), "{header}");
        }
        assert!(!answer.headers().contains_key("strict-transport-security"), "not for localhost");
        assert_eq!(answer.text().await.unwrap(), ready);
    }
    let public =
        server.client.get(format!("{}/healthz", server.url)).header("host", "radio.example.org").send().await.unwrap();
    assert!(public.headers().contains_key("strict-transport-security"));
    let keys: Value = server.send(Method::GET, "/.well-known/jwks.json", None, None).await.json().await.unwrap();
    assert_eq!(keys["keys"][0]["alg"], "EdDSA");
    let described: Value = server.send(Method::GET, "/api/v1/openapi.json", None, None).await.json().await.unwrap();
    assert_eq!(described["info"]["title"], "Holler");
    let schema: Value = server.send(Method::GET, "/api/v1/socket.schema.json", None, None).await.json().await.unwrap();
    assert!(schema["$defs"]["ClientMessage"].is_object());

    server.app.drain();
    assert_eq!(server.send(Method::GET, "/healthz", None, None).await.status(), StatusCode::OK);
    assert!(problem(server.send(Method::GET, "/readyz", None, None).await).await.is(ProblemKind::Unavailable));
    server.end().await;
}

#[tokio::test]
async fn a_panic_is_a_problem_and_the_server_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let (app, _) = app(dir.path()).await;
    let broken = axum::Router::new().route(
        "/healthz",
        get(|| async {
            if true {
                panic!("on purpose")
            }
        }),
    );
    let router = super::layered(app, broken, Duration::from_secs(30));
    for _ in 0..2 {
        let answer =
            router.clone().oneshot(axum::http::Request::get("/healthz").body(axum::body::Body::empty()).unwrap());
        let answer = answer.await.unwrap();
        assert_eq!(answer.status().as_u16(), 500);
        assert_eq!(answer.headers()["content-type"], wire_problem::MEDIA_TYPE);
        assert!(answer.headers().contains_key("x-content-type-options"));
    }
}

#[tokio::test]
async fn a_handler_that_hangs_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let (app, _) = app(dir.path()).await;
    let hanging = axum::Router::new().route("/healthz", get(std::future::pending::<()>));
    let router = super::layered(app, hanging, Duration::from_millis(1));
    let answer =
        router.oneshot(axum::http::Request::get("/healthz").body(axum::body::Body::empty()).unwrap()).await.unwrap();
    assert_eq!(answer.status().as_u16(), ProblemKind::Unavailable.status());
}

#[tokio::test]
async fn a_second_start_keeps_everything() {
    let dir = tempfile::tempdir().unwrap();
    let (first, _) = app(dir.path()).await;
    let workspace = first.auth.workspace();
    let ring = KeyRing::load(&first.config().keys).unwrap();
    let store = Store::open(&first.config().data, ring, Arc::new(NoHooks)).unwrap();
    let again = first_start::workspace(&store, Clock::default()).await.unwrap();
    assert!(again.fresh_password.is_none());
    assert_eq!(again.id, workspace);
    let rooms = first.auth.read(|accounts| Ok(accounts.rooms()?)).await.unwrap();
    assert_eq!(rooms.iter().map(|room| room.name.as_str()).collect::<Vec<_>>(), ["Everyone", "Operations"]);
}
