//! Every endpoint and every message of the socket, against every scope, every role and every state of a token.
//!
//! What is expected stands in two tables here, [`ENDPOINTS`] and [`MESSAGES`], written apart from the code that enforces it. The
//! endpoints come from the table of needs and the OpenAPI document, the messages from the socket's schema: one that has no row here
//! fails the test, and so does a row of one that is gone. Each request that is allowed is one that changes nothing: it is refused for
//! another reason, behind everything that decides who may.

use std::collections::BTreeSet;
use std::net::SocketAddr;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http;
use futures_util::{SinkExt as _, StreamExt as _};
use holler_core::model::UserRole;
use holler_core::wire::rest::SignIn;
use holler_core::wire::socket::CloseCode;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::api::openapi;
use crate::gateway;
use crate::storage::accounts::UserRow;

/// What a token must bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bring {
    /// Nothing, not even a token.
    Nothing,
    /// Any good token.
    Token,
    /// One from a sign-in, or with the scope `admin` of an admin.
    SignIn,
    /// This scope.
    Scope(Scope),
    /// The scope `admin`, of an admin.
    Admin,
}
use Bring::{Admin, Nothing, SignIn as SignedIn, Token};

/// What the caller must be, once the token is good enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Be {
    /// Anybody.
    Anyone,
    /// A member of the room, of any role. An admin is told that only members see its content.
    Member,
    /// A member of the room who may write: a talker or more.
    Talker,
    /// A dispatcher of the room, or more.
    Dispatcher,
    /// A member of the room, or an admin.
    Visitor,
    /// An admin of the room, or an admin.
    Manager,
    /// An admin, whatever the token's path to here; others are refused.
    Chief,
    /// Who may invite into the room, as the policy is at first: an admin.
    Inviter,
}
use Be::{Anyone, Chief, Dispatcher, Inviter, Manager, Member as MemberOf, Talker, Visitor};

/// An endpoint, what it expects, and a body that is refused behind all that; of a `GET`, its query.
type Row = (&'static str, &'static str, Bring, Be, &'static str);

const SCOPE_ROSTER: Bring = Bring::Scope(Scope::Roster);
const SCOPE_MESSAGES: Bring = Bring::Scope(Scope::Messages);
const SCOPE_PRESENCE: Bring = Bring::Scope(Scope::Presence);
const SCOPE_MEDIA: Bring = Bring::Scope(Scope::Media);
const NO_ID: &str = "14h24h24h24h24h24h24h24h24";

#[rustfmt::skip] // One line an endpoint.
const ENDPOINTS: &[Row] = &[
    ("GET", "/", Nothing, Anyone, ""),
    ("GET", "/invite", Nothing, Anyone, ""),
    ("GET", "/reset", Nothing, Anyone, ""),
    ("GET", "/healthz", Nothing, Anyone, ""),
    ("GET", "/readyz", Nothing, Anyone, ""),
    ("GET", "/.well-known/jwks.json", Nothing, Anyone, ""),
    ("GET", "/api/v1/docs", Nothing, Anyone, ""),
    ("GET", "/api/v1/openapi.json", Nothing, Anyone, ""),
    ("GET", "/api/v1/socket.schema.json", Nothing, Anyone, ""),
    ("POST", "/api/v1/auth/sign-in", Nothing, Anyone, r#"{"login": "?", "password": "", "device_name": "x"}"#),
    ("POST", "/api/v1/auth/refresh", Nothing, Anyone, r#"{"refresh_token": 1}"#),
    ("POST", "/api/v1/auth/sign-out", SignedIn, Anyone, "{}"),
    ("POST", "/api/v1/auth/reset", Nothing, Anyone, r#"{"token": 1}"#),
    ("POST", "/api/v1/invites/look", Nothing, Anyone, r#"{"token": 1}"#),
    ("POST", "/api/v1/invites/accept", Nothing, Anyone, r#"{"token": 1}"#),
    ("GET", "/api/v1/invites", SignedIn, Anyone, ""),
    ("POST", "/api/v1/invites", SignedIn, Inviter, r#"{"role": "member", "rooms": [{"room": "ROOM", "role": "listener"}]}"#),
    ("GET", "/api/v1/invites/{invite}", SignedIn, Anyone, ""),
    ("DELETE", "/api/v1/invites/{invite}", SignedIn, Anyone, ""),
    ("GET", "/api/v1/me", Token, Anyone, ""),
    ("GET", "/api/v1/me/export", SignedIn, Anyone, ""),
    ("PUT", "/api/v1/me/password", SignedIn, Anyone, r#"{"old_password": "x", "new_password": "x"}"#),
    ("GET", "/api/v1/users", SCOPE_ROSTER, Anyone, ""),
    ("POST", "/api/v1/users", Admin, Anyone, r#"{"login": "?", "name": "x", "password": "x", "role": "member"}"#),
    ("GET", "/api/v1/users/{user}", SCOPE_ROSTER, Anyone, ""),
    ("PATCH", "/api/v1/users/{user}", SignedIn, Chief, r#"{"role": "member"}"#),
    ("DELETE", "/api/v1/users/{user}", Admin, Anyone, ""),
    ("GET", "/api/v1/users/{user}/export", Admin, Anyone, ""),
    ("POST", "/api/v1/users/{user}/reset", Admin, Anyone, r#"{"expires_in_s": 0}"#),
    ("GET", "/api/v1/users/{user}/devices", SignedIn, Anyone, ""),
    ("DELETE", "/api/v1/users/{user}/devices", SignedIn, Anyone, ""),
    ("GET", "/api/v1/policy", Token, Anyone, ""),
    ("PUT", "/api/v1/policy", Admin, Anyone, "{}"),
    ("GET", "/api/v1/audit", Admin, Anyone, ""),
    ("GET", "/api/v1/roster", SCOPE_ROSTER, Anyone, ""),
    ("GET", "/api/v1/presence", SCOPE_PRESENCE, MemberOf, "room=ROOM"),
    ("GET", "/api/v1/tokens", Token, Anyone, ""),
    ("POST", "/api/v1/tokens", SignedIn, Anyone, r#"{"name": "x", "scopes": [], "days": 0}"#),
    ("DELETE", "/api/v1/tokens/{token}", SignedIn, Anyone, ""),
    ("GET", "/api/v1/push", Token, Anyone, ""),
    ("GET", "/api/v1/push/rules", Token, Anyone, ""),
    ("PUT", "/api/v1/push/rules", SignedIn, Anyone, r#"{"emergencies": 1}"#),
    ("GET", "/api/v1/push/subscription", Token, Anyone, ""),
    ("PUT", "/api/v1/push/subscription", SignedIn, Anyone, r#"{"kind": "fcm", "token": ""}"#),
    ("DELETE", "/api/v1/push/subscription", SignedIn, Anyone, ""),
    ("GET", "/api/v1/devices", Token, Anyone, ""),
    ("GET", "/api/v1/devices/{device}", Token, Anyone, ""),
    ("PATCH", "/api/v1/devices/{device}", SignedIn, Anyone, r#"{"name": "x"}"#),
    ("DELETE", "/api/v1/devices/{device}", SignedIn, Anyone, ""),
    ("GET", "/api/v1/rooms", SCOPE_ROSTER, Anyone, ""),
    ("POST", "/api/v1/rooms", Admin, Anyone, r#"{"name": "", "kind": "group"}"#),
    ("PUT", "/api/v1/rooms/direct/{user}", SignedIn, Anyone, ""),
    ("GET", "/api/v1/rooms/{room}", SCOPE_ROSTER, Visitor, ""),
    ("PATCH", "/api/v1/rooms/{room}", SignedIn, Manager, r#"{"name": "x"}"#),
    ("DELETE", "/api/v1/rooms/{room}", Admin, Anyone, ""),
    ("GET", "/api/v1/rooms/{room}/retention", Admin, Anyone, ""),
    ("PUT", "/api/v1/rooms/{room}/retention", Admin, Anyone, r#"{"days": 4000, "held": false}"#),
    ("GET", "/api/v1/rooms/{room}/members", SCOPE_ROSTER, Visitor, ""),
    ("GET", "/api/v1/rooms/{room}/members/{user}", SCOPE_ROSTER, Visitor, ""),
    ("PUT", "/api/v1/rooms/{room}/members/{user}", SignedIn, Manager, r#"{"role": "admin"}"#),
    ("DELETE", "/api/v1/rooms/{room}/members/{user}", SignedIn, Manager, ""),
    ("GET", "/api/v1/rooms/{room}/events", SCOPE_MESSAGES, MemberOf, ""),
    ("POST", "/api/v1/rooms/{room}/events", SCOPE_MESSAGES, Talker, r#"{"client_id": "cid_ID", "body": {"kind": "message.posted", "text": ""}}"#),
    ("GET", "/api/v1/rooms/{room}/events/{seq}/receipts", SCOPE_MESSAGES, MemberOf, ""),
    ("GET", "/api/v1/rooms/{room}/bursts/{burst}/receipts", SCOPE_MESSAGES, MemberOf, ""),
    ("GET", "/api/v1/rooms/{room}/bursts/{burst}", SCOPE_MEDIA, MemberOf, ""),
    ("GET", "/api/v1/rooms/{room}/bursts/{burst}/frames", SCOPE_MEDIA, MemberOf, ""),
];

/// A message of a client, and what it needs: a scope, a subscription, a role. The answer is awaited behind it.
type Said = (&'static str, Option<Scope>, Follow, Be, &'static str);

/// Whether a room must be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Follow {
    /// It need not.
    No,
    /// First subscribe.
    First,
}

#[rustfmt::skip] // One line a message.
const MESSAGES: &[Said] = &[
    ("auth", None, Follow::No, Anyone, r#"{"type": "auth", "token": "TOKEN", "client": "matrix"}"#),
    ("subscribe", Some(Scope::Messages), Follow::No, MemberOf, r#"{"type": "subscribe", "request": 1, "room": "ROOM", "voice": false}"#),
    ("unsubscribe", None, Follow::No, Anyone, r#"{"type": "unsubscribe", "room": "room_ID"}"#),
    ("send", Some(Scope::Messages), Follow::No, Talker, r#"{"type": "send", "room": "ROOM", "client_id": "cid_ID", "body": {"kind": "message.posted", "text": ""}}"#),
    ("floor.request", Some(Scope::Floor), Follow::First, Anyone, r#"{"type": "floor.request", "request": 2, "room": "ROOM", "priority": "normal", "queue": false, "header": HEADER, "spoken_ago_ms": 0}"#),
    ("floor.release", None, Follow::First, Anyone, r#"{"type": "floor.release", "request": 3, "room": "ROOM"}"#),
    ("burst.end", Some(Scope::Floor), Follow::First, Anyone, r#"{"type": "burst.end", "room": "ROOM", "burst": "bst_ID", "last": 1, "digest": "DIGEST"}"#),
    ("burst.offer", Some(Scope::Floor), Follow::First, Talker, r#"{"type": "burst.offer", "request": 4, "room": "ROOM", "header": HEADER, "priority": "normal", "spoken_ago_ms": 0, "last": 1, "digest": "DIGEST"}"#),
    ("emergency.clear", Some(Scope::Floor), Follow::First, Dispatcher, r#"{"type": "emergency.clear", "request": 5, "room": "ROOM", "raised_by": "USER"}"#),
    ("presence.set", Some(Scope::Presence), Follow::No, Anyone, r#"{"type": "presence.set", "state": "available"}"#),
    ("presence.watch", Some(Scope::Presence), Follow::No, MemberOf, r#"{"type": "presence.watch", "request": 6, "room": "ROOM"}"#),
    ("presence.unwatch", None, Follow::No, Anyone, r#"{"type": "presence.unwatch", "room": "ROOM"}"#),
    ("playing.here", Some(Scope::Media), Follow::No, Anyone, r#"{"type": "playing.here", "used_ago_ms": 0}"#),
    ("playing.stopped", None, Follow::No, Anyone, r#"{"type": "playing.stopped"}"#),
    ("receipt", Some(Scope::Messages), Follow::No, MemberOf, r#"{"type": "receipt", "request": 7, "room": "ROOM", "incarnation": "inc_ID"}"#),
    ("ping", None, Follow::No, Anyone, r#"{"type": "ping", "nonce": 1}"#),
    ("voice.path", None, Follow::No, Anyone, r#"{"type": "voice.path", "request": 8, "kinds": ["sealed-udp"]}"#),
    ("voice.path.stalled", None, Follow::No, Anyone, r#"{"type": "voice.path.stalled"}"#),
    ("report", None, Follow::No, Anyone, r#"{"type": "report", "room": "ROOM", "burst": "bst_ID"}"#),
];

/// What is wrong with a token, if anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Absent,
    Garbage,
    Expired,
    Revoked,
    Foreign,
}

/// Somebody with a token.
#[derive(Clone, Debug)]
struct Caller {
    who: String,
    token: Option<String>,
    fault: Option<Fault>,
    scopes: Vec<Scope>,
    signed_in: bool,
    /// An admin of the workspace, whose token says so.
    admin: bool,
    role: Option<Role>,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Verdict {
    /// It came through everything that decides who may.
    Reached,
    /// It did not, and was told so.
    Refused(ProblemKind),
}
use Verdict::{Reached, Refused};

impl Caller {
    /// What the tables say.
    fn expected(&self, bring: Bring, be: Be) -> Verdict {
        let enough = match bring {
            Nothing => return Reached,
            Token => true,
            Bring::SignIn => self.signed_in || self.admin,
            Bring::Scope(scope) => self.scopes.contains(&scope),
            Admin => self.admin,
        };
        match self.fault {
            Some(Fault::Revoked) => return Refused(ProblemKind::Revoked),
            Some(Fault::Absent | Fault::Garbage | Fault::Expired | Fault::Foreign) => {
                return Refused(ProblemKind::Unauthenticated);
            }
            None if !enough => return Refused(ProblemKind::Forbidden),
            None => {}
        }
        let or = |allowed: bool, otherwise: ProblemKind| if allowed { Reached } else { Refused(otherwise) };
        match (be, self.role) {
            (Anyone, _) => Reached,
            (Chief, _) => or(self.admin, ProblemKind::Forbidden),
            (Visitor | Manager | Inviter, _) if self.admin => Reached,
            (Be::Member | Talker | Dispatcher, None) if self.admin => Refused(ProblemKind::Forbidden),
            (_, None) => Refused(ProblemKind::NotFound),
            (Be::Member | Visitor, Some(_)) => Reached,
            (Talker, Some(role)) => or(role >= Role::Talker, ProblemKind::Forbidden),
            (Dispatcher, Some(role)) => or(role >= Role::Dispatcher, ProblemKind::Forbidden),
            (Manager, Some(role)) => or(role == Role::Admin, ProblemKind::Forbidden),
            (Inviter, Some(_)) => Refused(ProblemKind::Forbidden),
        }
    }

    /// What the tables say of a message.
    fn expected_said(&self, scope: Option<Scope>, follow: Follow, be: Be) -> Verdict {
        if scope.is_some_and(|scope| !self.scopes.contains(&scope)) {
            return Refused(ProblemKind::Forbidden);
        }
        if follow == Follow::First && !self.follows() {
            return Refused(ProblemKind::OutOfOrder);
        }
        // On the socket an admin of the workspace is nobody in particular.
        Self { admin: false, ..self.clone() }.expected(Token, be)
    }

    fn follows(&self) -> bool {
        self.role.is_some() && self.scopes.contains(&Scope::Messages)
    }
}

/// A server that is spoken to without a network.
struct Bench {
    app: App,
    router: axum::Router,
    room: RoomId,
    _dir: tempfile::TempDir,
}

const PASSWORD: &str = "a long password";

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (app, _) = app(dir.path()).await;
        let mut config = Config::clone(&app.config());
        config.requests = crate::api::rates::RequestRates { device: 1_000_000, address: 1_000_000 };
        app.set_config(config);
        let router = crate::api::router(Arc::clone(&app)).merge(gateway::router(Arc::clone(&app)));
        let room = RoomId::from_bytes([3; 16]);
        app.auth
            .change(Actor::Server, move |accounts, now| {
                accounts.add_room(room, holler_core::model::RoomKind::Group, "Matrix", now)
            })
            .await
            .unwrap();
        Self { app, router, room, _dir: dir }
    }

    /// A user with this place in the workspace and in the room.
    async fn user(&self, hash: &str, of: UserRole, role: Option<Role>) -> (UserId, String) {
        let login = format!("{of}-{}", role.map_or("none", Role::as_str));
        let mut id = [0; 16];
        getrandom::fill(&mut id).unwrap();
        let (id, room, hash) = (UserId::from_bytes(id), self.room, hash.to_owned());
        let row = UserRow { id, login: login.clone(), name: login.clone(), role: of };
        let add = move |accounts: &crate::storage::accounts::Accounts<'_>, now| {
            let generation = accounts.add_user(&row, &hash, now)?;
            role.map_or(Ok(generation), |role| accounts.set_member(room, id, role, now))
        };
        self.app.auth.change(Actor::Server, add).await.unwrap();
        (id, login)
    }

    async fn token(&self, user: UserId, scopes: &[Scope]) -> (DeviceId, String) {
        self.app.auth.script_token(Actor::Server, user, "matrix".into(), scopes.to_vec(), 1).await.unwrap()
    }

    /// Everybody: each place in the workspace and the room with each kind of token, then those whose token is not good.
    async fn callers(&self) -> Vec<Caller> {
        let hash = self.app.auth.hash_password(zeroize::Zeroizing::new(PASSWORD.to_owned())).await.unwrap();
        let mut callers = Vec::new();
        let roles = || std::iter::once(None).chain(Role::ALL.iter().copied().map(Some));
        let mut kinds: Vec<Vec<Scope>> = Scope::ALL.iter().map(|scope| vec![*scope]).collect();
        kinds.extend([vec![], Scope::ALL.to_vec(), vec![Scope::Messages, Scope::Floor]]);
        for (of, role) in UserRole::ALL.iter().flat_map(|of| roles().map(move |role| (*of, role))) {
            let (user, login) = self.user(&hash, of, role).await;
            for scopes in &kinds {
                let token = self.token(user, scopes).await.1;
                let admin = of == UserRole::Admin && scopes.contains(&Scope::Admin);
                let who = format!("{login} with a script's token for {scopes:?}");
                callers.push(Caller {
                    who,
                    token: Some(token),
                    fault: None,
                    scopes: scopes.clone(),
                    signed_in: false,
                    admin,
                    role,
                });
            }
            let request = SignIn {
                login: login.clone(),
                password: PASSWORD.to_owned(),
                device_name: "matrix".to_owned(),
                device: None,
                earlier: None,
            };
            let tokens = self.app.auth.sign_in(request, [127, 0, 0, 1].into()).await.unwrap();
            let admin = of == UserRole::Admin;
            let who = format!("{login} who signed in");
            callers.push(Caller {
                who,
                token: Some(tokens.access_token),
                fault: None,
                scopes: tokens.scopes,
                signed_in: true,
                admin,
                role,
            });
        }
        // As powerful as can be, if only the token were good.
        let (user, _) = self.user_named(&hash, "mighty").await;
        let (revoked, revoked_token) = self.token(user, Scope::ALL).await;
        let elsewhere = Box::pin(Self::new()).await;
        let (their_user, _) = elsewhere.user_named(&hash, "mighty").await;
        let foreign = elsewhere.token(their_user, Scope::ALL).await.1;
        let (device, _) = self.token(user, Scope::ALL).await;
        let expired = self.app.auth.expired_token(user, device, Scope::ALL.to_vec()).unwrap();
        self.app.auth.change(Actor::Server, move |accounts, now| accounts.revoke_device(revoked, now)).await.unwrap();
        for (fault, token) in [
            (Fault::Absent, None),
            (Fault::Garbage, Some("eyJhbGciOiJub25lIn0.e30.".to_owned())),
            (Fault::Expired, Some(expired)),
            (Fault::Revoked, Some(revoked_token)),
            (Fault::Foreign, Some(foreign)),
        ] {
            let (scopes, role, fault, who) =
                (Scope::ALL.to_vec(), Some(Role::Admin), Some(fault), format!("{fault:?} token"));
            callers.push(Caller { who, token, fault, scopes, signed_in: true, admin: true, role });
        }
        callers
    }

    async fn user_named(&self, hash: &str, login: &str) -> (UserId, String) {
        let mut id = [0; 16];
        getrandom::fill(&mut id).unwrap();
        let (id, room, hash) = (UserId::from_bytes(id), self.room, hash.to_owned());
        let row = UserRow { id, login: login.to_owned(), name: login.to_owned(), role: UserRole::Admin };
        let add = move |accounts: &crate::storage::accounts::Accounts<'_>, now| {
            accounts.add_user(&row, &hash, now)?;
            accounts.set_member(room, id, Role::Admin, now)
        };
        self.app.auth.change(Actor::Server, add).await.unwrap();
        (id, login.to_owned())
    }

    fn filled(&self, text: &str) -> String {
        text.replace("ROOM", &self.room.to_string())
            .replace(
                "HEADER",
                r#"{"burst": "bst_ID", "codec": "opus", "frame_ms": 20, "bitrate": 24000, "key_epoch": 0}"#,
            )
            .replace("DIGEST", &"0".repeat(64))
            .replace("USER", &format!("usr_{NO_ID}"))
            .replace("_ID", &format!("_{NO_ID}"))
    }

    fn path(&self, path: &str) -> String {
        let mut path = path.replace("{room}", &self.room.to_string()).replace("{seq}", "1");
        for (name, prefix) in
            [("user", "usr"), ("device", "dev"), ("token", "dev"), ("burst", "bst"), ("invite", "inv")]
        {
            path = path.replace(&format!("{{{name}}}"), &format!("{prefix}_{NO_ID}"));
        }
        assert!(!path.contains('{'), "{path}: say what stands for this parameter");
        path
    }

    async fn verdict(&self, method: &str, path: &str, body: &str, token: Option<&str>) -> (Verdict, String) {
        let mut at = self.path(path);
        if method == "GET" && !body.is_empty() {
            at = format!("{at}?{}", self.filled(body));
        }
        let mut request = http::Request::builder().method(method).uri(at);
        request = request.extension(ConnectInfo(SocketAddr::from(([127, 0, 0, 1], 1))));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let compares = crate::api::conditional::CONDITIONAL.iter().any(|(m, p)| m.as_str() == method && *p == path);
        if compares {
            request = request.header("if-match", "\"never\"");
        }
        let body = if body.is_empty() || method == "GET" { Body::empty() } else { Body::from(self.filled(body)) };
        let request = request.header("content-type", "application/json").body(body).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let status = answer.status();
        let text = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        let told = format!("{status} {}", String::from_utf8_lossy(&text).chars().take(300).collect::<String>());
        assert!(status.as_u16() < 500, "{method} {path}: {told}");
        let problem = serde_json::from_slice::<Problem>(&text).ok();
        let refusal = problem.filter(|problem| match problem.status {
            401 => !problem.is(ProblemKind::BadCredentials),
            403 => true,
            404 => problem.field.as_deref() == Some("room"),
            _ => false,
        });
        (refusal.map_or(Reached, |problem| refused(&problem)), told)
    }

    /// A socket to this server, through a pipe in memory.
    async fn socket(&self) -> Socket {
        let (near, far) = tokio::io::duplex(1 << 16);
        let service = hyper_util::service::TowerToHyperService::new(self.router.clone());
        tokio::spawn(async move {
            let io = hyper_util::rt::TokioIo::new(far);
            let _ended = hyper::server::conn::http1::Builder::new().serve_connection(io, service).with_upgrades().await;
        });
        let mut request = tokio_tungstenite::tungstenite::client::IntoClientRequest::into_client_request(
            "ws://localhost/api/v1/socket",
        )
        .unwrap();
        request.headers_mut().insert("sec-websocket-protocol", "holler.v1".parse().unwrap());
        tokio_tungstenite::client_async(request, near).await.unwrap().0
    }
}

fn refused(problem: &Problem) -> Verdict {
    let kind = ProblemKind::ALL.iter().copied().find(|kind| problem.is(*kind)).unwrap();
    Refused(kind)
}

type Socket = WebSocketStream<tokio::io::DuplexStream>;

async fn say(socket: &mut Socket, text: String) {
    socket.send(Message::text(text)).await.unwrap();
}

/// The code that the server closes with before it says anything.
async fn closed(socket: &mut Socket) -> Option<CloseCode> {
    let message = socket.next().await.unwrap().unwrap();
    let Message::Close(frame) = message else { panic!("{message} instead of a close") };
    CloseCode::from_number(frame.unwrap().code.into())
}

#[test]
fn every_endpoint_and_every_message_has_a_row() {
    let document: Value = serde_json::from_str(&openapi::rest()).unwrap();
    let mut described = BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            described.insert((method.to_uppercase(), path.clone()));
            let row = ENDPOINTS.iter().find(|row| row.0 == method.to_uppercase() && row.1 == path);
            let row = row.unwrap_or_else(|| panic!("{method} {path} has no row in ENDPOINTS: say who may call it"));
            assert_eq!(
                operation.get("security").is_some(),
                row.2 != Nothing,
                "{method} {path}: the description and the row"
            );
            assert!(
                operation.get("requestBody").is_none() || !row.4.is_empty(),
                "{method} {path}: the row has no body"
            );
        }
    }
    let rows: BTreeSet<_> = ENDPOINTS.iter().map(|row| (row.0.to_owned(), row.1.to_owned())).collect();
    let table: BTreeSet<_> = TABLE.iter().map(|(method, path, _)| (method.to_string(), (*path).to_owned())).collect();
    assert_eq!((&rows, rows.len()), (&described, ENDPOINTS.len()));
    assert_eq!(rows, table);

    let schema: Value = serde_json::from_str(&openapi::socket()).unwrap();
    let messages = schema["$defs"]["ClientMessage"]["oneOf"].as_array().unwrap();
    let types: BTreeSet<_> =
        messages.iter().map(|message| message["properties"]["type"]["enum"][0].as_str().unwrap()).collect();
    let rows: BTreeSet<_> = MESSAGES.iter().map(|row| row.0).collect();
    assert_eq!((rows, MESSAGES.len()), (types.clone(), types.len()), "say in MESSAGES who may send it");
}

#[tokio::test]
async fn every_endpoint_lets_in_whom_it_should() {
    let bench = Bench::new().await;
    let callers = bench.callers().await;
    let (mut reached, mut refused, mut wrong) = (0, 0, Vec::new());
    // Signing out ends the token that the others need.
    let (last, first): (Vec<&Row>, Vec<&Row>) = ENDPOINTS.iter().partition(|row| row.1.ends_with("sign-out"));
    for (method, path, bring, be, body) in first.into_iter().chain(last) {
        let in_room = path.contains("{room}") || body.contains("ROOM");
        for caller in callers.iter().filter(|caller| in_room || matches!(caller.role, None | Some(Role::Admin))) {
            let (found, told) = bench.verdict(method, path, body, caller.token.as_deref()).await;
            let expected = caller.expected(*bring, *be);
            if found != expected {
                wrong.push(format!("{method} {path}, {}: expected {expected:?}, found {told}", caller.who));
            }
            if found == Reached { reached += 1 } else { refused += 1 }
        }
    }
    assert!(wrong.is_empty(), "{} of {} are wrong:\n{}", wrong.len(), reached + refused, wrong.join("\n"));
    assert!(reached > 500 && refused > 1_000, "{reached} reached, {refused} refused");
}

#[tokio::test]
async fn every_message_is_taken_from_whom_it_should() {
    let bench = Bench::new().await;
    let (mut tried, mut wrong) = (0, Vec::new());
    for caller in bench.callers().await.iter().filter(|caller| caller.token.is_some()) {
        let token = caller.token.as_deref().unwrap();
        let mut socket = bench.socket().await;
        say(&mut socket, json!({"type": "auth", "token": token, "client": "matrix"}).to_string()).await;
        let expected = match caller.fault {
            None => None,
            Some(Fault::Revoked) => Some(CloseCode::Revoked),
            Some(Fault::Expired) => Some(CloseCode::TokenExpired),
            Some(Fault::Absent | Fault::Garbage | Fault::Foreign) => Some(CloseCode::BadToken),
        };
        if expected.is_some() {
            assert_eq!(closed(&mut socket).await, expected, "{}", caller.who);
            continue;
        }
        // A burst of one's own: that of another device is refused for another reason.
        let mut burst = [0; 16];
        getrandom::fill(&mut burst).unwrap();
        let burst = BurstId::from_bytes(burst).to_string();
        let subscribe = |request: u32| {
            bench
                .filled(r#"{"type": "subscribe", "request": N, "room": "ROOM", "voice": false}"#)
                .replace('N', &request.to_string())
        };
        for (kind, scope, follow, be, text) in MESSAGES {
            let text = bench.filled(text).replace("TOKEN", token).replace(&format!("bst_{NO_ID}"), &burst);
            if *follow == Follow::First && caller.follows() {
                say(&mut socket, subscribe(90)).await;
            }
            say(&mut socket, text).await;
            // What comes after these came after the answer: the home takes one thing after the other, and so does the socket.
            if caller.follows() {
                say(&mut socket, subscribe(91)).await;
            }
            say(&mut socket, json!({"type": "ping", "nonce": 92}).to_string()).await;
            let (mut found, mut told) = (Reached, String::new());
            let (mut subscribed, mut ponged) = (!caller.follows(), false);
            while !(subscribed && ponged) {
                let text = match socket.next().await.unwrap().unwrap() {
                    Message::Text(text) => text,
                    Message::Close(frame) => panic!("{kind}, {}: closed with {frame:?}", caller.who),
                    Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => continue,
                };
                let answer: Value = serde_json::from_str(&text).unwrap();
                subscribed |= answer["type"] == "subscribed" && answer["request"] == 91;
                ponged |= answer["type"] == "pong" && answer["nonce"] == 92;
                if matches!(answer["type"].as_str(), Some("refused" | "error")) {
                    let problem: Problem = serde_json::from_value(answer["problem"].clone()).unwrap();
                    let who = [ProblemKind::Forbidden, ProblemKind::OutOfOrder].iter().any(|kind| problem.is(*kind))
                        || problem.is(ProblemKind::NotFound) && problem.field.as_deref() == Some("room");
                    told = text.to_string();
                    found = if who { refused(&problem) } else { found };
                }
            }
            let expected = caller.expected_said(*scope, *follow, *be);
            if found != expected {
                wrong.push(format!("{kind}, {}: expected {expected:?}, found {found:?} {told}", caller.who));
            }
            tried += 1;
        }
    }
    assert!(wrong.is_empty(), "{} of {tried} are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(tried > 1_000, "{tried}");
}
