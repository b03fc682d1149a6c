//! Voice as datagrams with real parts: the real server, native clients, and a bad way for UDP between them.

#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test ends at the first surprise")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use holler_client::audio::sink::SinkKind;
use holler_client::audio::source::SourceKind;
use holler_client::client::{self, Client, Options, Talk, Told};
use holler_client::sound::{Audio, ToPlay};
use holler_client::store::{Store, Unlock};
use holler_core::engine::{HeardState, LinkState, Notice, Received, TalkState};
use holler_core::model::{Role, UserRole};
use holler_core::units::{BurstId, RoomId};
use holler_core::wire::rest::NewUser;
use holler_lab::link::{Loss, Profile};
use holler_lab::proxy::Proxy;
use holler_lab::relay::Relay;
use holler_server::config::{CommonFlags, Config, ServeFlags};
use holler_server::metrics;
use holler_server::running::Running;
use holler_server::storage::NoHooks;
use tokio::sync::mpsc::Receiver;

/// Nothing here takes nearly this long; beyond it something hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const PASSWORD: &str = "correct horse battery";
/// Where the clients find the server: over a link of their own.
const TALKER: &str = "127.0.0.2";
const LISTENER: &str = "127.0.0.3";

/// The figures of all servers of this process are counted together: tests that look at them go one after the other.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

struct Place {
    folder: tempfile::TempDir,
    running: Running,
    room: RoomId,
    /// Of the talker, of the listener.
    links: [Proxy; 2],
    before: Vec<(String, f64)>,
    _alone: tokio::sync::MutexGuard<'static, ()>,
}

/// Every figure that the server counts, by its name with labels.
fn figures() -> Vec<(String, f64)> {
    let text = metrics::install().unwrap().render();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' ').map(|(name, value)| (name.to_owned(), value.parse().unwrap())))
        .collect()
}

impl Place {
    async fn new(profile: Option<Profile>) -> Self {
        let alone = ALONE.lock().await;
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path();
        let common =
            CommonFlags { data: Some(top.join("data")), keys: Some(top.join("keys")), ..CommonFlags::default() };
        let serve = ServeFlags {
            listen: vec!["127.0.0.1:0".to_owned()],
            public_name: vec!["localhost".to_owned(), TALKER.to_owned(), LISTENER.to_owned()],
            private: Some("off".to_owned()),
            ..ServeFlags::default()
        };
        let config = Config::load(&common, &serve, []).unwrap();
        let running = Running::start(config, Arc::new(NoHooks)).await.unwrap();
        let address = running.addresses[0];
        let udp_port = running.app.voice.port().expect("datagrams are on by default");
        let link = |ip: &str, seed| Proxy::start_over(ip.parse().unwrap(), address, udp_port, profile, seed).unwrap();
        let links = [link(TALKER, 1), link(LISTENER, 2)];
        let password = running.started.password.as_deref().cloned().unwrap();
        let room = RoomId::from_bytes([0; 16]);
        let mut place = Self { folder, running, room, links, before: figures(), _alone: alone };
        let admin = place.sign_in("admin", password, 0).await;
        let rest = client::rest_of(&admin).await.unwrap();
        place.room = rest.rooms().await.unwrap().into_iter().find(|room| room.name == "Everyone").unwrap().id;
        for (at, login) in ["ada", "ben"].into_iter().enumerate() {
            let new = NewUser {
                login: login.to_owned(),
                name: login.to_owned(),
                password: PASSWORD.to_owned(),
                role: UserRole::Member,
            };
            let user = rest.create_user(&new).await.unwrap();
            rest.set_member(place.room, user.id, Role::Talker).await.unwrap();
            place.sign_in(login, PASSWORD.to_owned(), at).await;
        }
        place
    }
}

/// Somebody at their client.
struct Person {
    client: Client,
    told: Receiver<Told>,
    store: Store,
    all: Vec<Told>,
}

impl Place {
    fn store(&self, login: &str) -> Store {
        let unlock = Unlock::passphrase("only in tests".into());
        Store::open(&self.folder.path().join(login), &unlock, |fault| panic!("{fault}")).unwrap()
    }

    async fn sign_in(&self, login: &str, password: String, at: usize) -> Store {
        let store = self.store(login);
        let (url, ca) = (format!("https://{}", self.links[at].address()), self.folder.path().join("keys/ca.pem"));
        client::sign_in(&store, &url, Some(ca), login, password, format!("{login}'s test")).await.unwrap();
        store
    }

    /// The first `seconds` of recorded speech.
    fn speech(&self, seconds: usize) -> PathBuf {
        let file = self.folder.path().join(format!("speech-{seconds}.wav"));
        let all = holler_client::audio::wav::read(&holler_lab::programs::fixture("speech-b.wav")).unwrap();
        holler_client::audio::wav::write(&file, &all[..seconds * 48_000]).unwrap();
        file
    }

    /// `ada`, who will say `source`, and `ben`, who hears it; both in the room.
    async fn people(&self, source: &Path, options: Options) -> (Person, Person) {
        let null = |_: &ToPlay| SinkKind::Null;
        let person = |login: &str| {
            let store = self.store(login);
            let sound = Audio::new(SourceKind::File(source.to_owned()), null);
            let (client, told) = Client::start_with(&store, sound, options).unwrap();
            client.follow(self.room, None, true);
            Person { client, told, store, all: vec![] }
        };
        let (mut ada, mut ben) = (person("ada"), person("ben"));
        ada.in_room().await;
        ben.in_room().await;
        (ada, ben)
    }

    fn relay(&self, at: usize) -> &Relay {
        self.links[at].relay().unwrap()
    }

    /// How much the figure with this name and label has grown since the server started.
    fn grown(&self, name: &str, label: &str) -> f64 {
        let sum = |all: &[(String, f64)]| -> f64 {
            all.iter().filter(|(found, _)| found.starts_with(name) && found.contains(label)).map(|(_, n)| n).sum()
        };
        sum(&figures()) - sum(&self.before)
    }

    fn sent(&self, route: &str) -> f64 {
        self.grown("holler_voice_frames_sent_total", &format!("route=\"{route}\""))
    }

    fn judged(&self, what: &str) -> f64 {
        self.grown("holler_voice_datagrams_total", &format!("what=\"{what}\""))
    }

    async fn end(self) {
        tokio::time::timeout(PATIENCE, self.running.stop()).await.expect("the server goes down");
    }
}

impl Person {
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

    async fn in_room(&mut self) {
        self.until("in the room", |told| matches!(told, Told::Notice(Notice::Room { .. })).then_some(())).await;
    }

    /// The path carries.
    async fn up(&mut self) {
        self.until("up", |told| matches!(told, Told::Notice(Notice::VoicePath { up: true })).then_some(())).await;
    }

    /// It does not any more.
    async fn down(&mut self) {
        self.until("down", |told| matches!(told, Told::Notice(Notice::VoicePath { up: false })).then_some(())).await;
    }

    async fn began(&mut self) {
        let began = |told: &Told| match told {
            Told::Notice(Notice::Heard { state: HeardState::Began { .. }, .. }) => Some(()),
            Told::Notice(_) | Told::Received(_) => None,
        };
        self.until("hears something", began).await;
    }

    async fn delivered(&mut self) {
        let delivered = |told: &Told| match told {
            Told::Notice(Notice::Talk { state: TalkState::Delivered, .. }) => Some(()),
            Told::Notice(_) | Told::Received(_) => None,
        };
        self.until("delivered", delivered).await;
    }

    /// Frames that the server had not got when the burst ended.
    fn repaired(&self) -> u32 {
        let lacked = self.all.iter().filter_map(|told| match told {
            Told::Notice(Notice::Talk { state: TalkState::Repairing { frames }, .. }) => Some(*frames),
            Told::Notice(_) | Told::Received(_) => None,
        });
        lacked.sum()
    }

    async fn whole(&mut self, burst: BurstId) -> Received {
        self.until("the whole burst", |told| match told {
            Told::Received(received) if received.header.burst == burst && received.complete => Some(received.clone()),
            Told::Notice(_) | Told::Received(_) => None,
        })
        .await
    }

    /// What is said from here on is looked at alone.
    fn forget(&mut self) {
        self.all.clear();
    }
}

/// The talker's burst reached its end at the listener, every frame of it. Gives how many there were.
async fn comes_out_whole(ada: &mut Person, ben: &mut Person, burst: BurstId) -> usize {
    ada.delivered().await;
    let whole = ben.whole(burst).await;
    ada.store.flush();
    let spoken = ada.store.own_frames(burst).unwrap();
    assert_eq!(whole.frames.iter().map(|(_, payload)| payload).collect::<Vec<_>>(), spoken.iter().collect::<Vec<_>>());
    spoken.len()
}

/// The server has all of the talker's burst.
async fn comes_out_whole_at_the_server(ada: &mut Person, burst: BurstId) {
    ada.delivered().await;
    ada.store.flush();
    assert!(ada.store.own_frames(burst).unwrap().len() > 100);
}

fn lossy(percent: u32) -> Profile {
    Profile { loss: Loss::Random { per_million: percent * 10_000 }, ..Profile::plain(Duration::from_millis(10)) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn voice_goes_by_datagram_and_comes_out_whole() {
    let place = Place::new(None).await;
    let (mut ada, mut ben) = place.people(&place.speech(2), Options::default()).await;
    ada.up().await;
    ben.up().await;
    let burst = ada.client.key_down(place.room, Talk::default()).unwrap();
    let frames = comes_out_whole(&mut ada, &mut ben, burst).await;
    // Which way each went depends on how busy the machine is; by datagram must be the rule.
    let (by_datagram, both, by_socket) = (place.sent("datagram"), place.sent("both"), place.sent("socket"));
    eprintln!("{frames} frames: {by_datagram} by datagram, {both} both ways, {by_socket} by socket");
    assert!(by_datagram + both >= frames as f64 * 0.9, "{by_datagram} + {both} of {frames}");
    assert!(place.judged("taken") >= frames as f64 * 0.9);
    assert!(ada.client.voice_path().unwrap().up && ben.client.voice_path().unwrap().up);
    place.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_lost_on_the_way_comes_with_later_datagrams() {
    let place = Place::new(None).await;
    let (mut ada, mut ben) = place.people(&place.speech(4), Options::default()).await;
    ada.up().await;
    ben.up().await;
    for link in [0, 1] {
        place.relay(link).set_profile(lossy(15));
    }
    let burst = ada.client.key_down(place.room, Talk::default()).unwrap();
    let frames = comes_out_whole(&mut ada, &mut ben, burst).await;
    let path = ada.client.voice_path().unwrap();
    let (taken, by_datagram) = (place.judged("taken"), place.sent("datagram") + place.sent("both"));
    eprintln!("{frames} frames, {by_datagram} by datagram, {taken} datagrams taken, {path:?}");
    assert!(path.copies > 0, "{path:?}");
    assert!(by_datagram >= frames as f64 * 0.5, "{by_datagram} of {frames}");
    place.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_is_cut_in_mid_burst_costs_no_frame() {
    for cut in [0, 1] {
        let place = Place::new(None).await;
        let (mut ada, mut ben) = place.people(&place.speech(3), Options::default()).await;
        ada.up().await;
        ben.up().await;
        let burst = ada.client.key_down(place.room, Talk::default()).unwrap();
        ben.began().await;
        place.relay(cut).cut();
        let frames = comes_out_whole(&mut ada, &mut ben, burst).await;
        assert_eq!(ada.repaired(), 0, "the server had all of it when the burst ended");
        let fetched = place.grown("holler_requests_total", "/frames");
        assert_eq!(fetched, 0.0, "the listener asked for none afterwards");
        eprintln!(
            "link {cut} cut, {frames} frames: {} by datagram, {} both ways, {} by socket",
            place.sent("datagram"),
            place.sent("both"),
            place.sent("socket")
        );
        place.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_udp_is_blocked_the_socket_carries() {
    let place = Place::new(None).await;
    for link in [0, 1] {
        place.relay(link).cut();
    }
    let (mut ada, mut ben) = place.people(&place.speech(2), Options::default()).await;
    let burst = ada.client.key_down(place.room, Talk::default()).unwrap();
    let frames = comes_out_whole(&mut ada, &mut ben, burst).await;
    assert_eq!((place.sent("datagram"), place.sent("both"), place.sent("socket")), (0.0, 0.0, frames as f64));
    assert_eq!((place.judged("taken"), ada.repaired()), (0.0, 0));
    assert!(!ada.client.voice_path().unwrap().up);
    place.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_wants_the_socket_only_asks_for_no_path() {
    let place = Place::new(None).await;
    let options = Options { socket_only: true, ..Options::default() };
    let (mut ada, mut ben) = place.people(&place.speech(1), options).await;
    let burst = ada.client.key_down(place.room, Talk::default()).unwrap();
    let frames = comes_out_whole(&mut ada, &mut ben, burst).await;
    assert_eq!((place.sent("socket"), ada.client.voice_path()), (frames as f64, None));
    assert_eq!(place.relay(0).carried(), [0, 0]);
    place.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_moves_in_mid_burst_goes_on_by_datagram() {
    let place = Place::new(None).await;
    let (mut ada, mut ben) = place.people(&place.speech(3), Options::default()).await;
    ada.up().await;
    ben.up().await;
    let burst = ada.client.key_down(place.room, Talk::default()).unwrap();
    ben.began().await;
    // The talker's NAT forgets; the listener's network changes.
    place.relay(0).move_clients().unwrap();
    ben.client.network_up();
    let frames = comes_out_whole(&mut ada, &mut ben, burst).await;
    assert_eq!(place.grown("holler_voice_path_moves_total", ""), 2.0);
    assert!(ada.client.voice_path().unwrap().up && ben.client.voice_path().unwrap().up);
    eprintln!(
        "{frames} frames: {} by datagram, {} both ways, {} by socket",
        place.sent("datagram"),
        place.sent("both"),
        place.sent("socket")
    );
    place.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_way_that_was_cut_while_nobody_talks_is_taken_up_again_by_itself() {
    let place = Place::new(None).await;
    let (mut ada, mut ben) = place.people(&place.speech(2), Options::default()).await;
    ada.up().await;
    ben.up().await;
    for link in [0, 1] {
        place.relay(link).cut();
    }
    for person in [&mut ada, &mut ben] {
        person.forget();
        // Else it would be found out with the next probe, which is some seconds away.
        person.client.network_up();
        person.down().await;
        person.forget();
    }
    for link in [0, 1] {
        place.relay(link).mend();
    }
    ada.up().await;
    ben.up().await;
    let burst = ada.client.key_down(place.room, Talk::default()).unwrap();
    let frames = comes_out_whole(&mut ada, &mut ben, burst).await;
    let (by_datagram, both, by_socket) = (place.sent("datagram"), place.sent("both"), place.sent("socket"));
    eprintln!("{frames} frames: {by_datagram} by datagram, {both} both ways, {by_socket} by socket");
    assert!(by_datagram + both >= frames as f64 * 0.9, "{by_datagram} + {both} of {frames}");
    place.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_forged_repeated_or_cut_short_changes_nothing_and_is_counted() {
    let place = Place::new(None).await;
    let (mut ada, mut ben) = place.people(&place.speech(2), Options::default()).await;
    ada.up().await;
    ben.up().await;
    let burst = ada.client.key_down(place.room, Talk::default()).unwrap();
    ben.began().await;
    let relay = place.relay(0);
    let repeated = relay.repeat(|_| {}).unwrap();
    let forged = relay.repeat(|packet| *packet.last_mut().unwrap() ^= 1).unwrap();
    let short = relay.repeat(|packet| packet.truncate(packet.len() - 1)).unwrap();
    let other = relay.repeat(|packet| packet[1] ^= 1).unwrap();
    let stubs = relay.repeat(|packet| packet.truncate(12)).unwrap();
    comes_out_whole(&mut ada, &mut ben, burst).await;
    let expected = [repeated, forged + short, other, stubs].map(|count| count as f64);
    let found = ["replayed", "forged", "unknown-session", "not-ours"].map(|what| place.judged(what));
    assert_eq!(found, expected);
    place.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_listener_hears_nothing_more_within_a_second() {
    let place = Place::new(None).await;
    let (mut ada, mut ben) = place.people(&place.speech(4), Options::default()).await;
    ada.up().await;
    ben.up().await;
    let burst = ada.client.key_down(place.room, Talk::default()).unwrap();
    ben.began().await;
    ben.forget();
    let revoked = tokio::time::Instant::now();
    ben.client.rest().sign_out().await.unwrap();
    let out = |told: &Told| match told {
        Told::Notice(Notice::Link(state)) => (!matches!(state, LinkState::Up { .. })).then_some(()),
        Told::Notice(_) | Told::Received(_) => None,
    };
    ben.until("the end of the connection", out).await;
    assert!(revoked.elapsed() < Duration::from_secs(1), "{:?}", revoked.elapsed());
    let (carried, unknown) = (place.relay(1).carried()[1], place.judged("unknown-session"));
    // The talker goes on for a while, and nothing of it comes there. What the listener would still send is of no session.
    let copies = place.relay(1).repeat(|_| {}).unwrap();
    comes_out_whole_at_the_server(&mut ada, burst).await;
    assert_eq!(place.relay(1).carried()[1], carried, "datagrams after the end");
    assert!(place.judged("unknown-session") - unknown >= copies as f64);
    place.end().await;
}
