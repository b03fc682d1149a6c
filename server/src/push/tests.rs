//! Against stand-ins of the push services, which check the formats that the real ones ask for.

mod apps;
mod service;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use holler_core::model::{BurstHeader, Codec, EventBody, Priority, Role, RoomKind, UserRole};
use holler_core::units::{
    Bitrate, BurstId, BurstStep, ClientId, DeviceId, Epoch, FamilyId, FrameMs, Mono, RoomId, Seq, UnixMs, UserId,
};
use holler_core::wire::limits::{PUSH_ATTEMPTS_MAX, PUSH_WAITING_MAX};
use holler_core::wire::problem::ProblemKind;
use holler_core::wire::rest::{PushRules, PushTarget};
use serde_json::{Value, json};

use super::worker::Worker;
use super::{Push, PushSettings, encryption};
use crate::app::{App, AppState};
use crate::clock::{Clock, VirtualTime};
use crate::config::{CommonFlags, Config, ServeFlags};
use crate::first_start;
use crate::gateway::{Connection, Outgoing};
use crate::keys::KeyRing;
use crate::storage::accounts::{AccountError, Accounts, Ended, UserRow};
use crate::storage::audit::Actor;
use crate::storage::push::{self as queue, Figures};
use crate::storage::receipts::{self, Receipt};
use crate::storage::{Append, NoHooks, Store};
use service::Service;

const BEGIN_MS: u64 = 1_800_000_000_000;
const SAM: u8 = 1;
const KIM: u8 = 2;
const ROOM: RoomId = RoomId::from_bytes([9; 16]);

/// A server in virtual time, without a network of its own.
struct Bench {
    app: App,
    worker: Worker,
    time: &'static VirtualTime,
    now_ms: u64,
    sent: u8,
}

fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

fn device(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 16])
}

impl Bench {
    /// With Sam and Kim in a group; the settings name the service's root, and its host as an own one.
    async fn new(dir: &Path, service: &Service) -> Self {
        let mut bench = Self::open(dir, service, BEGIN_MS).await;
        bench
            .change(|accounts, now| {
                accounts.add_room(ROOM, RoomKind::Group, "Harbour watch", now)?;
                for (n, login) in [(SAM, "sam"), (KIM, "kim")] {
                    let row = UserRow {
                        id: user(n),
                        login: login.into(),
                        name: login.to_uppercase(),
                        role: UserRole::Member,
                    };
                    accounts.add_user(&row, "$phc", now)?;
                    accounts.set_member(ROOM, user(n), Role::Admin, now)?;
                    accounts.add_device(device(n), user(n), "phone", now)?;
                    let until = UnixMs(now.0 + 30 * 86_400_000);
                    accounts.begin_sign_in(FamilyId::from_bytes([n; 16]), device(n), user(n), &[0; 32], now, until)?;
                }
                Ok(())
            })
            .await;
        bench.turn().await;
        bench
    }

    /// The server of a folder that may have been served before.
    async fn open(dir: &Path, service: &Service, now_ms: u64) -> Self {
        let common =
            CommonFlags { data: Some(dir.join("data")), keys: Some(dir.join("keys")), ..CommonFlags::default() };
        let mut config = Config::load(&common, &ServeFlags::default(), []).unwrap();
        config.push = PushSettings {
            contact: Some("mailto:radio@example.org".into()),
            private_hosts: vec!["localhost".into()],
            roots: Some(service.roots.clone()),
            ..PushSettings::default()
        };
        let time: &'static VirtualTime = Box::leak(Box::default());
        time.set(Mono(3_600_000_000), UnixMs(now_ms));
        let clock = Clock::of(time);
        let ring = KeyRing::load_or_create(&config.keys, &config.data).unwrap();
        let store = Store::open(&config.data, ring, Arc::new(NoHooks)).unwrap();
        let workspace = first_start::workspace(&store, clock).await.unwrap();
        let auth = first_start::auth(&store, workspace.id, clock, &config).await.unwrap();
        let push = Arc::new(Push::open(&store, workspace.id, clock, &config).await.unwrap());
        let app = AppState::new(config, clock, store, auth);
        app.set_push(Arc::clone(&push));
        Self { worker: Worker::new(Arc::clone(&app), push), app, time, now_ms, sent: 0 }
    }

    fn pass(&mut self, time: Duration) {
        self.now_ms += u64::try_from(time.as_millis()).unwrap();
        self.time.set(Mono(3_600_000_000 + (self.now_ms - BEGIN_MS) * 1_000), UnixMs(self.now_ms));
    }

    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Accounts<'_>, UnixMs) -> Result<T, AccountError> + Send + 'static,
    ) -> T {
        self.app.auth.write(Actor::Server, change).await.unwrap()
    }

    async fn subscribe(&self, n: u8, target: PushTarget) {
        self.change(move |accounts, now| accounts.set_push_subscription(device(n), user(n), &target, now)).await;
    }

    async fn send(&mut self, n: u8, body: EventBody) -> Seq {
        self.send_to(ROOM, n, body).await
    }

    async fn send_to(&mut self, room: RoomId, n: u8, body: EventBody) -> Seq {
        self.sent += 1;
        let append = Append {
            room,
            user: user(n),
            device: device(n),
            role: Role::Admin,
            client_id: if let EventBody::BurstStarted { header, .. } = &body {
                header.burst.client_id(BurstStep::Started)
            } else {
                ClientId::from_bytes([self.sent; 16])
            },
            epoch: None,
            body,
            received_at: UnixMs(self.now_ms),
        };
        self.app.store.append(append).await.unwrap().event.seq
    }

    /// Does what there is to do now, to its end; gives how long there is nothing more.
    async fn turn(&mut self) -> Duration {
        self.worker.turn().await.unwrap();
        self.worker.arrived().await;
        self.worker.turn().await.unwrap()
    }

    async fn figures(&self) -> Figures {
        let workspace = self.app.auth.workspace();
        self.app.store.read(move |db| queue::figures(db, workspace)).await.unwrap()
    }

    /// Why entries were given up.
    async fn causes(&self) -> Vec<String> {
        let read = |db: &rusqlite::Connection| {
            let mut statement = db.prepare("SELECT cause FROM push_queue WHERE dead_at IS NOT NULL")?;
            let causes = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok::<_, crate::storage::StoreError>(causes)
        };
        self.app.store.read(read).await.unwrap()
    }

    async fn is_subscribed(&self, n: u8) -> bool {
        self.app.auth.read(move |accounts| Ok(accounts.push_subscription(device(n))?.is_some())).await.unwrap()
    }
}

/// A browser that subscribed.
struct Browser {
    private: PrivateKey,
    auth: [u8; 16],
    target: PushTarget,
}

impl Browser {
    fn at(url: &str) -> Self {
        let (private, auth) = (PrivateKey::generate(&ECDH_P256).unwrap(), [5; 16]);
        let p256dh = BASE64.encode(private.compute_public_key().unwrap().as_ref());
        let target = PushTarget::Web { endpoint: url.to_owned(), p256dh, auth: BASE64.encode(auth) };
        Self { private, auth, target }
    }

    fn read(&self, body: &[u8]) -> Value {
        serde_json::from_slice(&encryption::decrypt(&self.private, self.auth, body).unwrap()).unwrap()
    }
}

fn text(text: &str) -> EventBody {
    EventBody::MessagePosted { text: text.into(), reply_to: None }
}

fn burst(n: u8) -> EventBody {
    let header = BurstHeader {
        burst: BurstId::from_bytes([n; 16]),
        codec: Codec::Opus,
        frame_ms: FrameMs::Ms20,
        bitrate: Bitrate(24_000),
        key_epoch: Epoch(0),
    };
    EventBody::BurstStarted { header, token: None, priority: Priority::Normal, spoken_ago_ms: 0, uncertainty_ms: 0 }
}

/// Everybody wants to be told of everything.
fn all() -> PushRules {
    PushRules { messages: true, ..PushRules::default() }
}

#[tokio::test]
async fn an_emergency_reaches_the_browser_that_alone_can_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path()).await;
    let mut bench = Bench::new(dir.path(), &service).await;
    let browser = Browser::at(&format!("{}/push/abc", service.url));
    bench.subscribe(KIM, browser.target.clone()).await;
    let seq = bench.send(SAM, EventBody::EmergencyRaised {}).await;
    bench.turn().await;

    let got = service.got();
    assert_eq!(got.len(), 1);
    assert_eq!((got[0].method.as_str(), got[0].path.as_str()), ("POST", "/push/abc"));
    // RFC 8030 sections 5.2 to 5.4.
    assert_eq!(got[0].header("ttl"), "3600");
    assert_eq!(got[0].header("urgency"), "high");
    assert_eq!(got[0].header("content-encoding"), "aes128gcm");
    let topic = got[0].header("topic");
    assert!(topic.len() == 32 && BASE64.decode(topic).is_ok(), "{topic}");
    let said = browser.read(&got[0].body);
    assert_eq!(
        said,
        json!({
            "kind": "emergency", "room": ROOM.to_string(), "seq": seq.0, "events": 1, "at": BEGIN_MS,
            "room_name": "Harbour watch", "from": "SAM",
        })
    );
    assert!(Browser::at("x").private.compute_public_key().is_ok());
    assert_eq!(encryption::decrypt(&Browser::at("x").private, browser.auth, &got[0].body), None);

    // RFC 8292: the token is for this origin, for less than a day, and signed with the key that the browser subscribed with.
    let value = got[0].header("authorization").strip_prefix("vapid t=").unwrap();
    let (token, key) = value.split_once(", k=").unwrap();
    assert_eq!(key, bench.app.push().unwrap().offer().vapid_public_key);
    let (signed, signature) = token.rsplit_once('.').unwrap();
    UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, BASE64.decode(key).unwrap())
        .verify(signed.as_bytes(), &BASE64.decode(signature).unwrap())
        .unwrap();
    let part = |at: usize| -> Value {
        serde_json::from_slice(&BASE64.decode(signed.split('.').nth(at).unwrap()).unwrap()).unwrap()
    };
    assert_eq!(part(0), json!({"typ": "JWT", "alg": "ES256"}));
    assert_eq!((&part(1)["aud"], &part(1)["sub"]), (&json!(service.url), &json!("mailto:radio@example.org")));
    let life_s = part(1)["exp"].as_u64().unwrap() - BEGIN_MS / 1_000;
    assert!((60..=86_400).contains(&life_s), "{life_s}");
    assert_eq!(bench.figures().await, Figures::default());
}

/// The loop as a server runs it: what is stored wakes it, and so does what becomes due.
#[tokio::test]
async fn what_is_stored_is_told_by_a_running_server() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path()).await;
    let mut bench = Bench::new(dir.path(), &service).await;
    bench.subscribe(KIM, Browser::at(&service.url).target).await;
    let push = Push::open(&bench.app.store, bench.app.auth.workspace(), bench.app.clock, &bench.app.config()).await;
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(super::run(Arc::clone(&bench.app), Arc::new(push.unwrap()), stop.clone()));
    for _ in 0..2 {
        bench.send(SAM, EventBody::EmergencyRaised {}).await;
        service.came().await;
    }
    stop.cancel();
    running.await.unwrap();
    assert_eq!(service.got().len(), 2);
}

#[tokio::test]
async fn a_room_has_one_notification_which_the_last_event_replaces() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path()).await;
    let mut bench = Bench::new(dir.path(), &service).await;
    let browser = Browser::at(&format!("{}/a", service.url));
    bench.subscribe(KIM, browser.target.clone()).await;
    bench.change(|accounts, _| Ok(accounts.set_push_rules(user(KIM), &all())?)).await;
    bench.send(SAM, burst(1)).await;
    // Whoever reads it within three seconds elsewhere is not disturbed.
    assert_eq!(bench.turn().await, Duration::from_secs(3));
    assert!(service.got().is_empty());
    bench.pass(Duration::from_secs(1));
    bench.send(KIM, text("I hear you")).await;
    let seq = bench.send(SAM, text(&"long ".repeat(40))).await;
    bench.turn().await;
    assert_eq!(bench.figures().await.waiting, 1);
    bench.pass(Duration::from_secs(3));
    bench.turn().await;
    let got = service.got();
    assert_eq!(got.len(), 1);
    let said = browser.read(&got[0].body);
    assert_eq!((&said["kind"], &said["seq"], &said["events"]), (&json!("message"), &json!(seq.0), &json!(2)));
    let excerpt = said["text"].as_str().unwrap();
    assert!(excerpt.ends_with("long…") && excerpt.chars().count() <= 121, "{excerpt}");
    assert_eq!((got[0].header("urgency"), got[0].header("ttl")), ("normal", "86397"));

    // The next one has the same topic, so that a service that still holds the first replaces it; an emergency has another.
    bench.send(SAM, burst(2)).await;
    bench.send(SAM, EventBody::EmergencyRaised {}).await;
    bench.turn().await;
    bench.pass(Duration::from_secs(3));
    bench.turn().await;
    let later = service.got();
    assert_eq!(later.len(), 2);
    assert_ne!(later[0].header("topic"), got[0].header("topic"));
    assert_eq!(later[1].header("topic"), got[0].header("topic"));
    let said = browser.read(&later[1].body);
    assert_eq!((&said["kind"], &said["events"]), (&json!("burst"), &json!(1)));
}

#[tokio::test]
async fn who_reads_or_is_there_is_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path()).await;
    let mut bench = Bench::new(dir.path(), &service).await;
    bench.subscribe(KIM, Browser::at(&service.url).target).await;
    // Read on another device while it waits.
    let seq = bench.send(SAM, burst(1)).await;
    bench.turn().await;
    let head = bench.app.store.log_head(ROOM).await.unwrap().unwrap();
    let receipt = Receipt {
        room: ROOM,
        user: user(KIM),
        incarnation: head.incarnation,
        delivered: Some(seq),
        read: Some(seq),
        heard: Vec::new(),
        at: UnixMs(bench.now_ms),
    };
    bench.app.store.write(move |db| receipts::store(db, &receipt)).await.unwrap();
    bench.pass(Duration::from_secs(3));
    bench.turn().await;
    assert!(service.got().is_empty());
    assert_eq!(bench.figures().await, Figures::default());

    // Connected, with the room open: news need no notification, and an emergency none once something came back.
    let out = Arc::new(Outgoing::new(bench.app.clock));
    let cursor = holler_core::units::Cursor { incarnation: head.incarnation, seq };
    out.follow(&holler_core::wire::socket::ServerMessage::Draining { reconnect_after_ms: 0 }, ROOM, cursor, cursor);
    let connection = Arc::new(Connection::new(1, user(KIM), device(KIM), out, bench.app.clock.now()));
    bench.app.connections.insert(Arc::clone(&connection));
    bench.send(SAM, burst(2)).await;
    bench.turn().await;
    assert_eq!(bench.figures().await.waiting, 0);
    bench.pass(Duration::from_millis(100));
    bench.send(SAM, EventBody::EmergencyRaised {}).await;
    bench.turn().await;
    assert_eq!(bench.figures().await.waiting, 1);
    bench.pass(Duration::from_millis(900));
    connection.set_heard(bench.app.clock.now());
    bench.pass(Duration::from_millis(100));
    bench.turn().await;
    assert_eq!(bench.figures().await, Figures::default());
    // A connection that says nothing may be dead: of an emergency its device is told within seconds.
    bench.send(SAM, EventBody::EmergencyRaised {}).await;
    for _ in 0..5 {
        bench.turn().await;
        assert!(service.got().is_empty());
        bench.pass(Duration::from_secs(1));
    }
    bench.turn().await;
    assert_eq!(service.got().len(), 1);
    // One whose promise is over is not there.
    bench.pass(Duration::from_secs(600));
    bench.send(SAM, burst(3)).await;
    bench.turn().await;
    bench.pass(Duration::from_secs(3));
    bench.turn().await;
    assert_eq!(service.got().len(), 1);
}

#[tokio::test]
async fn a_service_is_left_alone_for_as_long_as_it_asks_and_given_up_at_last() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path()).await;
    let mut bench = Bench::new(dir.path(), &service).await;
    bench.subscribe(KIM, Browser::at(&service.url).target).await;
    bench.send(SAM, burst(1)).await;
    bench.turn().await;
    bench.pass(Duration::from_secs(3));
    service.answer(429, &[("retry-after", "120")], "");
    bench.turn().await;
    assert_eq!(service.got().len(), 1);
    bench.pass(Duration::from_secs(119));
    bench.turn().await;
    // What comes meanwhile waits as long: it goes the same way.
    bench.send(SAM, burst(2)).await;
    bench.turn().await;
    assert!(service.got().is_empty());
    bench.pass(Duration::from_secs(1));
    service.answer(503, &[], "");
    bench.turn().await;
    assert_eq!(service.got().len(), 1);
    let mut tries = 2;
    while bench.figures().await.dead == 0 {
        service.answer(500, &[], "");
        bench.pass(Duration::from_secs(15 * 60));
        bench.turn().await;
        tries += service.got().len();
        assert!(tries <= PUSH_ATTEMPTS_MAX as usize, "{tries}");
    }
    assert_eq!(tries, PUSH_ATTEMPTS_MAX as usize);
    assert_eq!(bench.causes().await, ["service"]);
    assert!(bench.is_subscribed(KIM).await);
    // News of today is worth trying anew.
    bench.pass(Duration::from_secs(60));
    bench.send(SAM, burst(3)).await;
    bench.turn().await;
    bench.pass(Duration::from_secs(3));
    bench.turn().await;
    assert_eq!(service.got().len(), 1);
    assert_eq!(bench.figures().await, Figures::default());
}

#[tokio::test]
async fn a_refused_one_is_a_dead_letter_for_a_week() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path()).await;
    let mut bench = Bench::new(dir.path(), &service).await;
    bench.subscribe(KIM, Browser::at(&service.url).target).await;
    service.answer(400, &[], "no");
    bench.send(SAM, EventBody::EmergencyRaised {}).await;
    bench.turn().await;
    assert_eq!((bench.causes().await, service.got().len()), (vec!["refused".to_owned()], 1));
    bench.pass(Duration::from_secs(7 * 86_400 - 1));
    bench.turn().await;
    assert_eq!(bench.figures().await.dead, 1);
    bench.pass(Duration::from_secs(1));
    bench.turn().await;
    assert_eq!(bench.figures().await.dead, 0);
    assert!(service.got().is_empty());
}

#[tokio::test]
async fn a_device_that_its_service_no_longer_knows_is_forgotten_with_its_queue() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path()).await;
    let mut bench = Bench::new(dir.path(), &service).await;
    for status in [404, 410] {
        bench.subscribe(KIM, Browser::at(&service.url).target).await;
        bench.send(SAM, burst(u8::try_from(status % 256).unwrap())).await;
        bench.send(SAM, EventBody::EmergencyRaised {}).await;
        service.answer(status, &[], "");
        bench.turn().await;
        assert!(!bench.is_subscribed(KIM).await, "{status}");
        assert_eq!((service.got().len(), bench.figures().await), (1, Figures::default()), "{status}");
    }
}

#[tokio::test]
async fn what_waited_is_sent_after_a_restart_unless_it_is_too_late() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path()).await;
    let browser = Browser::at(&service.url);
    let key = {
        let mut bench = Bench::new(dir.path(), &service).await;
        bench.subscribe(KIM, browser.target.clone()).await;
        // One is in the queue, of the other only its room is marked, when the server goes down.
        bench.send(SAM, burst(1)).await;
        bench.turn().await;
        bench.send(SAM, EventBody::EmergencyRaised {}).await;
        let (key, store) = (bench.app.push().unwrap().offer().vapid_public_key, bench.app.store.clone());
        drop(bench);
        store.close().await;
        key
    };
    {
        let mut bench = Bench::open(dir.path(), &service, BEGIN_MS + 60_000).await;
        assert_eq!(bench.app.push().unwrap().offer().vapid_public_key, key);
        bench.turn().await;
        bench.turn().await;
        let kinds: Vec<_> = service.got().iter().map(|got| browser.read(&got.body)["kind"].clone()).collect();
        assert_eq!(kinds, ["emergency", "burst"]);
        assert_eq!(bench.figures().await, Figures::default());
        bench.send(SAM, burst(2)).await;
        bench.turn().await;
        let store = bench.app.store.clone();
        drop(bench);
        store.close().await;
    }
    let mut bench = Bench::open(dir.path(), &service, BEGIN_MS + 60_000 + 86_400_000).await;
    bench.turn().await;
    assert!(service.got().is_empty());
    assert_eq!(bench.causes().await, ["expired"]);
}

#[tokio::test]
async fn whoever_signs_out_leaves_or_is_erased_is_told_nothing() {
    type Ending = fn(&Accounts<'_>, UnixMs) -> Result<(), AccountError>;
    let endings: [(&str, bool, Ending); 6] = [
        ("signed out", false, |accounts, _| Ok(accounts.end_sign_ins(device(KIM), Ended::SignedOut)?)),
        ("revoked", false, |accounts, now| accounts.revoke_device(device(KIM), now).map(drop)),
        ("password", false, |accounts, _| accounts.set_password(user(KIM), "$new").map(drop)),
        ("suspended", false, |accounts, now| accounts.suspend_user(user(KIM), true, now).map(drop)),
        ("removed", true, |accounts, _| accounts.remove_member(ROOM, user(KIM)).map(drop)),
        ("erased", false, |accounts, now| accounts.erase_user(user(KIM), now).map(drop)),
    ];
    for (what, stays, ending) in endings {
        let dir = tempfile::tempdir().unwrap();
        let service = Service::start(dir.path()).await;
        let mut bench = Bench::new(dir.path(), &service).await;
        bench.subscribe(KIM, Browser::at(&service.url).target).await;
        bench.send(SAM, burst(1)).await;
        bench.turn().await;
        assert_eq!(bench.figures().await.waiting, 1, "{what}");
        bench.change(ending).await;
        assert_eq!(bench.figures().await, Figures::default(), "{what}");
        assert_eq!(bench.is_subscribed(KIM).await, stays, "{what}");
        bench.send(SAM, EventBody::EmergencyRaised {}).await;
        bench.pass(Duration::from_secs(3));
        bench.turn().await;
        assert!(service.got().is_empty(), "{what}");
    }
    // A sign-in that nobody renewed is over too.
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path()).await;
    let mut bench = Bench::new(dir.path(), &service).await;
    bench.subscribe(KIM, Browser::at(&service.url).target).await;
    bench.pass(Duration::from_secs(30 * 86_400));
    bench.send(SAM, EventBody::EmergencyRaised {}).await;
    bench.turn().await;
    assert!(service.got().is_empty());
}

#[tokio::test]
async fn a_place_is_of_the_device_that_named_it_last() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path()).await;
    let mut bench = Bench::new(dir.path(), &service).await;
    let browser = Browser::at(&service.url);
    bench.subscribe(SAM, browser.target.clone()).await;
    // Kim signs in with Sam's browser, which has one subscription.
    bench.subscribe(KIM, browser.target.clone()).await;
    assert!(!bench.is_subscribed(SAM).await && bench.is_subscribed(KIM).await);
    bench.subscribe(KIM, browser.target.clone()).await;
    bench.send(SAM, EventBody::EmergencyRaised {}).await;
    bench.turn().await;
    assert_eq!(service.got().len(), 1);
}

#[tokio::test]
async fn one_is_told_of_what_ones_rules_say() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path()).await;
    let mut bench = Bench::new(dir.path(), &service).await;
    bench.subscribe(KIM, Browser::at(&service.url).target).await;
    let direct = bench
        .change(|accounts, now| {
            let room = RoomId::from_bytes([8; 16]);
            accounts.add_room(room, RoomKind::Direct, "two", now)?;
            accounts.set_member(room, user(SAM), Role::Admin, now)?;
            accounts.set_member(room, user(KIM), Role::Admin, now)?;
            Ok(room)
        })
        .await;
    let own = bench.send(KIM, text("mine")).await;
    let reply = EventBody::MessagePosted { text: "yes".into(), reply_to: Some(own) };
    let none = PushRules { emergencies: false, direct: false, mentions: false, bursts: false, messages: false };
    let cases = [
        ("emergency", ROOM, EventBody::EmergencyRaised {}, PushRules { emergencies: true, ..none }),
        ("direct text", direct, text("hello"), PushRules { direct: true, ..none }),
        ("direct burst", direct, burst(1), PushRules { direct: true, ..none }),
        ("mention by login", ROOM, text("hello @kim."), PushRules { mentions: true, ..none }),
        ("mention by name", ROOM, text("@KIM, hello"), PushRules { mentions: true, ..none }),
        ("answer", ROOM, reply, PushRules { mentions: true, ..none }),
        ("burst", ROOM, burst(2), PushRules { bursts: true, ..none }),
        ("text", ROOM, text("hello @kimberley"), PushRules { messages: true, ..none }),
    ];
    let mut said = 10;
    for (what, room, body, enough) in cases {
        let others = PushRules {
            emergencies: !enough.emergencies,
            direct: !enough.direct,
            mentions: !enough.mentions,
            bursts: !enough.bursts,
            messages: false,
        };
        for (rules, told) in [(none, 0), (enough, 1), (others, 0)] {
            bench.change(move |accounts, _| Ok(accounts.set_push_rules(user(KIM), &rules)?)).await;
            said += 1;
            let body = if let EventBody::BurstStarted { .. } = body { burst(said) } else { body.clone() };
            bench.send_to(room, SAM, body).await;
            bench.turn().await;
            bench.pass(Duration::from_secs(3));
            bench.turn().await;
            assert_eq!((service.got().len(), bench.figures().await), (told, Figures::default()), "{what}: {rules:?}");
        }
    }
}

#[tokio::test]
async fn what_waits_for_one_device_is_bounded_and_emergencies_stay() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path()).await;
    let bench = Bench::new(dir.path(), &service).await;
    bench.subscribe(KIM, Browser::at(&service.url).target).await;
    let workspace = bench.app.auth.workspace();
    let most = PUSH_WAITING_MAX + 10;
    let rooms = bench
        .app
        .store
        .write(move |db| {
            for n in 0..most {
                let mut room = [7; 16];
                room[..4].copy_from_slice(&n.to_be_bytes());
                let subject = if n < 2 { queue::Subject::Emergency } else { queue::Subject::News };
                let at = UnixMs(BEGIN_MS + u64::from(n));
                let wanted = queue::Wanted { device: device(KIM), subject, seq: Seq(1), at, events: 1 };
                queue::enqueue(db, workspace, RoomId::from_bytes(room), &[wanted], at)?;
            }
            let mut statement = db.prepare("SELECT room_id FROM push_queue ORDER BY room_id")?;
            let rooms: Vec<[u8; 16]> = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
            Ok::<_, crate::storage::StoreError>(rooms)
        })
        .await
        .unwrap();
    assert_eq!(rooms.len(), PUSH_WAITING_MAX as usize);
    let numbers: Vec<u32> = rooms.iter().map(|room| u32::from_be_bytes(room[..4].try_into().unwrap())).collect();
    assert_eq!((&numbers[..2], numbers[2]), (&[0, 1][..], 12));
}

#[tokio::test]
async fn an_endpoint_inside_is_never_called() {
    let dir = tempfile::tempdir().unwrap();
    let service = Service::start(dir.path()).await;
    let mut bench = Bench::new(dir.path(), &service).await;
    let push = bench.app.push().unwrap();
    for inside in ["https://127.0.0.1/x", "https://[::1]/x", "https://169.254.169.254/latest", "https://10.0.0.1:8443/"]
    {
        let problem = push.check(&Browser::at(inside).target).unwrap_err();
        assert!(problem.is(ProblemKind::OutOfBounds) && problem.field.as_deref() == Some("endpoint"), "{inside}");
    }
    let PushTarget::Web { endpoint, auth, .. } = Browser::at(&service.url).target else { unreachable!() };
    let nowhere = PushTarget::Web { endpoint, p256dh: BASE64.encode([4; 65]), auth };
    assert_eq!(push.check(&nowhere).unwrap_err().field.as_deref(), Some("p256dh"));
    assert_eq!(push.check(&PushTarget::Fcm { token: "a".into() }).unwrap_err().field.as_deref(), Some("kind"));
    let apns = PushTarget::Apns { token: "0".repeat(64), topic: "org.example".into() };
    assert_eq!(push.check(&apns).unwrap_err().field.as_deref(), Some("kind"));

    // A name that leads inside shows when it is resolved; with the host as an own one it is called.
    let mut config = Config::clone(&bench.app.config());
    config.push.private_hosts.clear();
    let guarded = Push::open(&bench.app.store, bench.app.auth.workspace(), bench.app.clock, &config).await.unwrap();
    bench.worker = Worker::new(Arc::clone(&bench.app), Arc::new(guarded));
    bench.subscribe(KIM, Browser::at(&service.url).target).await;
    bench.send(SAM, EventBody::EmergencyRaised {}).await;
    bench.turn().await;
    assert_eq!((service.got().len(), bench.causes().await), (0, vec!["not-public".to_owned()]));

    // Nobody is sent elsewhere by an answer.
    let mut bench = Bench::open(dir.path(), &service, BEGIN_MS + 1_000).await;
    service.answer(307, &[("location", &format!("{}/elsewhere", service.url))], "");
    bench.sent = 100;
    bench.send(SAM, EventBody::EmergencyRaised {}).await;
    bench.turn().await;
    assert_eq!((service.got().len(), bench.causes().await), (1, vec!["refused".to_owned()]));
}
