//! The native client against the real server, over TLS on loopback: sign-in, texts, speech as real Opus to two others of whom one
//! joins mid-burst, and a server that goes away and comes back.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends at the first surprise")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holler_client::audio::sink::SinkKind;
use holler_client::audio::source::SourceKind;
use holler_client::client::{self, Client, ClientError, Talk, Told};
use holler_client::rest::RestError;
use holler_client::sound::{Audio, Silent, ToPlay};
use holler_client::store::{Store, Unlock};
use holler_core::engine::{HeardState, LinkState, Notice, Received, SendState, TalkState};
use holler_core::model::{EventBody, Role, UserRole};
use holler_core::units::{BurstId, ClientId, RoomId};
use holler_core::wire::rest::NewUser;
use holler_server::config::{CommonFlags, Config, ServeFlags};
use holler_server::running::Running;
use holler_server::storage::NoHooks;
use tokio::sync::mpsc::Receiver;

/// Nothing here takes nearly this long; beyond it something hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct horse battery";

/// `hollerd serve` in this process.
struct Server {
    address: SocketAddr,
    password: Option<String>,
    running: Running,
}

impl Server {
    async fn start(top: &Path, address: SocketAddr) -> Self {
        let common =
            CommonFlags { data: Some(top.join("data")), keys: Some(top.join("keys")), ..CommonFlags::default() };
        let serve =
            ServeFlags { listen: vec![address.to_string()], private: Some("off".to_owned()), ..ServeFlags::default() };
        let config = Config::load(&common, &serve, []).unwrap();
        let running = Running::start(config, Arc::new(NoHooks)).await.unwrap();
        let password = running.started.password.as_deref().cloned();
        Self { address: running.addresses[0], password, running }
    }

    fn url(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// As `hollerd serve` goes down on a signal.
    async fn end(self) {
        tokio::time::timeout(PATIENCE, self.running.stop()).await.expect("the server goes down");
    }
}

struct Person {
    client: Client,
    told: Receiver<Told>,
    store: Store,
    all: Vec<Told>,
}

impl Person {
    /// Waits until something was told that `is` knows.
    async fn until<T>(&mut self, what: &str, is: impl Fn(&Told) -> Option<T>) -> T {
        if let Some(found) = self.all.iter().find_map(&is) {
            return found;
        }
        let wait = async {
            while let Some(told) = self.told.recv().await {
                let found = is(&told);
                self.all.push(told);
                if let Some(found) = found {
                    return Some(found);
                }
            }
            None
        };
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(Some(found)) => found,
            Ok(None) => panic!("the client ended before: {what}: {:?}", self.all),
            Err(_) => panic!("not told: {what}: {:?}", self.all),
        }
    }

    async fn up(&mut self) {
        self.until("up", |told| matches!(told, Told::Notice(Notice::Link(LinkState::Up { .. }))).then_some(())).await;
    }

    async fn in_room(&mut self) {
        self.until("in the room", |told| matches!(told, Told::Notice(Notice::Room { .. })).then_some(())).await;
    }

    async fn heard(&mut self, what: &str, is: impl Fn(&HeardState) -> bool) -> HeardState {
        self.until(what, |told| match told {
            Told::Notice(Notice::Heard { state, .. }) if is(state) => Some(*state),
            Told::Notice(_) | Told::Received(_) => None,
        })
        .await
    }

    async fn whole(&mut self, burst: BurstId) -> Received {
        self.until("the whole burst", |told| match told {
            Told::Received(received) if received.header.burst == burst && received.complete => Some(received.clone()),
            Told::Notice(_) | Told::Received(_) => None,
        })
        .await
    }

    async fn text(&mut self, text: &str) {
        self.until(text, |told| match told {
            Told::Notice(Notice::Event(event)) => {
                matches!(&event.body, EventBody::MessagePosted { text: found, .. } if found == text).then_some(())
            }
            Told::Notice(_) | Told::Received(_) => None,
        })
        .await;
    }

    async fn acked(&mut self, id: ClientId) {
        self.until("acked", |told| match told {
            Told::Notice(Notice::Send { client_id, state: SendState::Acked { .. }, .. }) if *client_id == id => {
                Some(())
            }
            Told::Notice(_) | Told::Received(_) => None,
        })
        .await;
    }

    fn times_seen(&self, text: &str) -> usize {
        let seen = self.all.iter().filter(|told| match told {
            Told::Notice(Notice::Event(event)) => {
                matches!(&event.body, EventBody::MessagePosted { text: found, .. } if found == text)
            }
            Told::Notice(_) | Told::Received(_) => false,
        });
        seen.count()
    }
}

/// A folder, a server in it, and a room with three people: the admin, `ben` and `cat`.
struct Place {
    folder: tempfile::TempDir,
    server: Server,
    room: RoomId,
}

const PEOPLE: [&str; 3] = ["admin", "ben", "cat"];

impl Place {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let server = Server::start(folder.path(), "127.0.0.1:0".parse().unwrap()).await;
        let mut place = Self { folder, server, room: RoomId::from_bytes([0; 16]) };
        let password = place.server.password.clone().expect("a first start tells the password");
        let store = place.sign_in("admin", password).await;
        let rest = client::rest_of(&store).await.unwrap();
        place.room = rest.rooms().await.unwrap()[0].id;
        for login in ["ben", "cat"] {
            let (login, name, password) = (login.to_owned(), login.to_owned(), PASSWORD.to_owned());
            let new = NewUser { login, name, password, role: UserRole::Member };
            let user = rest.create_user(&new).await.unwrap();
            rest.set_member(place.room, user.id, Role::Talker).await.unwrap();
            place.sign_in(&new.login, new.password).await;
        }
        place
    }

    fn ca(&self) -> PathBuf {
        self.folder.path().join("keys/ca.pem")
    }

    fn store(&self, login: &str) -> Store {
        let unlock = Unlock::passphrase("only in tests".into());
        Store::open(&self.folder.path().join(login), &unlock, |fault| panic!("{fault}")).unwrap()
    }

    async fn sign_in(&self, login: &str, password: String) -> Store {
        let store = self.store(login);
        let name = format!("{login}'s test");
        client::sign_in(&store, &self.server.url(), Some(self.ca()), login, password, name).await.unwrap();
        store
    }

    fn person(&self, login: &str, source: Option<PathBuf>) -> Person {
        let store = self.store(login);
        let started = match source {
            Some(source) => Client::start(&store, Audio::new(SourceKind::File(source), null_sink), false),
            None => Client::start(&store, Audio::new(SourceKind::File("/nonexistent".into()), null_sink), false),
        };
        let (client, told) = started.unwrap();
        Person { client, told, store, all: vec![] }
    }
}

fn null_sink(_: &ToPlay) -> SinkKind {
    SinkKind::Null
}

fn speech() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/speech-b.wav").into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn speech_goes_in_at_one_and_comes_out_whole_at_two_others_of_whom_one_joins_late() {
    let place = Place::new().await;
    let (mut talker, mut listener, mut late) =
        (place.person(PEOPLE[0], Some(speech())), place.person(PEOPLE[1], None), place.person(PEOPLE[2], None));
    for person in [&mut talker, &mut listener] {
        person.client.follow(place.room, None, true);
        person.in_room().await;
    }
    late.up().await;

    let said = EventBody::MessagePosted { text: "over here".into(), reply_to: None };
    let id = talker.client.send(place.room, said).unwrap();
    talker.acked(id).await;
    listener.text("over here").await;

    let burst = talker.client.key_down(place.room, Talk::default()).unwrap();
    let began = listener.heard("the beginning", |state| matches!(state, HeardState::Began { .. })).await;
    late.client.follow(place.room, None, true);
    let joined = late.heard("the live edge", |state| matches!(state, HeardState::Began { .. })).await;
    assert!(matches!(began, HeardState::Began { late_entry: None, .. }), "{began:?}");
    assert!(matches!(joined, HeardState::Began { late_entry: Some(_), .. }), "{joined:?}");

    // The file ends, and with it the burst.
    let delivered = |told: &Told| match told {
        Told::Notice(Notice::Talk { state: TalkState::Delivered, .. }) => Some(()),
        Told::Notice(_) | Told::Received(_) => None,
    };
    talker.until("delivered", delivered).await;
    talker.store.flush();
    let spoken = talker.store.own_frames(burst).unwrap();
    assert!(spoken.len() > 50, "{} frames", spoken.len());
    for person in [&mut listener, &mut late] {
        let whole = person.whole(burst).await;
        assert_eq!(
            whole.frames.iter().map(|(_, payload)| payload).collect::<Vec<_>>(),
            spoken.iter().collect::<Vec<_>>()
        );
    }
    let played = listener.heard("the end", |state| matches!(state, HeardState::Played { .. })).await;
    let HeardState::Played { tally } = played else { panic!("{played:?}") };
    assert_eq!(tally.skipped, 0, "{tally:?}");
    // For whoever reads the output; how fast it is depends on the machine, and is no matter of pass or fail.
    eprintln!("{began:?}, {joined:?}, {tally:?}, {} frames", spoken.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_goes_away_and_comes_back_is_found_again_and_nothing_is_lost_or_doubled() {
    let mut place = Place::new().await;
    let (mut writer, mut reader) = (place.person(PEOPLE[0], None), place.person(PEOPLE[1], None));
    for person in [&mut writer, &mut reader] {
        person.client.follow(place.room, None, true);
        person.in_room().await;
    }
    let say = |text: &str| EventBody::MessagePosted { text: text.into(), reply_to: None };
    let first = writer.client.send(place.room, say("before")).unwrap();
    writer.acked(first).await;
    let address = place.server.address;
    place.server.end().await;
    let second = writer.client.send(place.room, say("meanwhile")).unwrap();
    place.server = Server::start(place.folder.path(), address).await;
    writer.acked(second).await;
    let third = writer.client.send(place.room, say("after")).unwrap();
    writer.acked(third).await;
    reader.text("after").await;
    for text in ["before", "meanwhile", "after"] {
        assert_eq!(reader.times_seen(text), 1, "{text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_text_that_was_not_acked_is_sent_after_a_restart_of_the_client() {
    let mut place = Place::new().await;
    let (address, store) = (place.server.address, place.store(PEOPLE[0]));
    place.server.end().await;
    let (client, _told) = Client::start(&store, Silent, false).unwrap();
    client.send(place.room, EventBody::MessagePosted { text: "kept".into(), reply_to: None }).unwrap();
    client.stop().await;
    place.server = Server::start(place.folder.path(), address).await;
    let mut reader = place.person(PEOPLE[1], None);
    reader.client.follow(place.room, None, false);
    reader.in_room().await;
    let _writer = place.person(PEOPLE[0], None);
    reader.text("kept").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_untrusted_certificate_says_what_to_do() {
    let place = Place::new().await;
    let store = place.store("stranger");
    let refused =
        client::sign_in(&store, &place.server.url(), None, "admin", PASSWORD.into(), "test".into()).await.unwrap_err();
    assert!(matches!(refused, ClientError::Rest(RestError::Certificate(_))), "{refused:?}");
    assert!(refused.to_string().contains("hollerd trust") && refused.to_string().contains("--ca"), "{refused}");
}
