use std::net::UdpSocket;

use holler_core::burst::Recording;
use holler_core::floor;
use holler_core::log::LogHead;
use holler_core::model::{BurstHeader, Codec, Priority, Role};
use holler_core::path::{End, Path, Route};
use holler_core::session::Next;
use holler_core::units::{
    Bitrate, BurstId, BurstTag, DeviceId, Epoch, FloorToken, FrameMs, FrameNo, Incarnation, RequestId, RoomId, Seq,
    UserId,
};
use holler_core::wire::limits::DATAGRAMS_AT_ONCE_MAX;
use holler_core::wire::sealed::{Opener, SealedBy, Sealer};
use holler_core::wire::voice::{FrameAge, VoiceFrame, VoiceKind};

use super::*;
use crate::config::{CommonFlags, Config, ServeFlags};
use crate::gateway::{Frame, Outgoing};
use crate::home::{Command, Opening, Room};
use crate::storage::audit::chain::unhex;

/// A server's side with a real socket.
struct Bench {
    voice: Voice,
    socket: Arc<Socket>,
    clock: Clock,
    buffers: Buffers,
}

impl Bench {
    fn new() -> Self {
        let clock = Clock::default();
        let mut config = config();
        config.listen = vec!["127.0.0.1:0".parse().unwrap()];
        let sockets = bind(&config, &config.listen.clone()).unwrap();
        let voice = Voice::new(clock);
        voice.open(&sockets);
        Self { voice, socket: Arc::clone(&sockets[0]), clock, buffers: Buffers::default() }
    }

    fn connection(&self) -> Arc<Connection> {
        let out = Arc::new(Outgoing::new(self.clock));
        let (user, device) = (UserId::from_bytes([1; 16]), DeviceId::from_bytes([2; 16]));
        Arc::new(Connection::new(1, user, device, out, self.clock.now()))
    }

    fn client(&self, connection: &Connection) -> Client {
        client(&self.voice, self.socket.local(), connection, self.clock)
    }

    /// What becomes of a packet from the client's address.
    fn judge(&mut self, client: &Client, packet: &[u8]) -> &'static str {
        let from = client.io.local_addr().unwrap();
        self.voice.judge(&self.socket, (from, None), &mut packet.to_vec(), &mut self.buffers)
    }

    /// Lets client and server say what they have to say until neither has more.
    fn settle(&mut self, client: &mut Client) {
        while let Some(packet) = client.says(self.clock.now()) {
            assert_eq!(self.judge(client, &packet), "taken");
            while let Some((counter, inner)) = client.hears() {
                client.path.received(self.clock.now(), counter, &inner, &mut Vec::new()).unwrap();
            }
        }
    }
}

fn config() -> Config {
    let folder = std::env::temp_dir();
    let common =
        CommonFlags { data: Some(folder.join("data")), keys: Some(folder.join("keys")), ..CommonFlags::default() };
    Config::load(&common, &ServeFlags::default(), []).unwrap()
}

fn client(voice: &Voice, server: SocketAddr, connection: &Connection, clock: Clock) -> Client {
    let offer = voice.offer(connection, &[PathKind::Webtransport, PathKind::SealedUdp]).unwrap();
    assert_eq!((offer.kind, Some(offer.port)), (PathKind::SealedUdp, voice.port()));
    let session: SessionId = unhex(&offer.session).unwrap().try_into().unwrap();
    let secret: [u8; 32] = URL_SAFE_NO_PAD.decode(&offer.secret).unwrap().try_into().unwrap();
    Client {
        session,
        secret,
        sealer: Sealer::new(session, &secret, SealedBy::Client).unwrap(),
        opener: Opener::new(session, &secret, SealedBy::Server).unwrap(),
        path: Path::new(clock.now(), End::Client),
        io: socket(),
        server,
    }
}

fn socket() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    socket
}

struct Client {
    session: SessionId,
    secret: [u8; 32],
    sealer: Sealer,
    opener: Opener,
    path: Path,
    io: UdpSocket,
    server: SocketAddr,
}

impl Client {
    fn seal(&self, counter: u32, inner: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        self.sealer.seal(counter, inner, &mut packet).unwrap();
        packet
    }

    /// The next packet that its machine wants to be sent.
    fn says(&mut self, now: Mono) -> Option<Vec<u8>> {
        let mut inner = Vec::new();
        let counter = self.path.next(now, &mut inner)?;
        Some(self.seal(counter, &inner))
    }

    /// What came, opened. On loopback a packet is there when its sender has sent it.
    fn hears(&self) -> Option<(u32, Bytes)> {
        let mut buffer = [0; PACKET_BYTES_MAX];
        let (length, from) = self.io.recv_from(&mut buffer).ok()?;
        assert_eq!(from, self.server);
        let (counter, inner) = self.opener.open(&mut buffer[..length]).unwrap();
        Some((counter, Bytes::copy_from_slice(inner)))
    }
}

fn frame(number: u16) -> VoiceFrame {
    VoiceFrame {
        kind: VoiceKind::Live,
        age: FrameAge(0),
        number: FrameNo(number),
        tag: BurstTag([3; 8]),
        token: FloorToken { term: 1, counter: 1 },
        payload: Bytes::from_static(&[5; 60]),
    }
}

#[tokio::test]
async fn a_path_that_proved_itself_carries_both_ways_and_only_once() {
    let mut bench = Bench::new();
    let connection = bench.connection();
    let mut client = bench.client(&connection);
    let now = bench.clock.now();
    let (mut buffers, bytes) = (Buffers::default(), frame(1).encode());
    assert_eq!(connection.voice(now, &bytes, &mut buffers), Route::Socket, "nothing is proved yet");
    bench.settle(&mut client);
    assert!(client.path.figures().up);
    assert!(matches!(connection.voice(now, &bytes, &mut buffers), Route::Datagram(_)));
    let (counter, inner) = client.hears().unwrap();
    let mut frames = Vec::new();
    client.path.received(now, counter, &inner, &mut frames).unwrap();
    assert_eq!(frames, [frame(1)]);
    // And up; a copy of the packet is not taken again.
    let mut inner = Vec::new();
    let Route::Datagram(counter) = client.path.voice(now, &frame(2).encode(), &mut inner) else { panic!("not up") };
    let packet = client.seal(counter, &inner);
    assert_eq!([bench.judge(&client, &packet), bench.judge(&client, &packet)], ["taken", "replayed"]);
    assert_eq!(connection.path().unwrap().next_frame().await, frame(2));
}

#[tokio::test]
async fn what_is_forged_truncated_or_of_no_session_is_dropped() {
    let mut bench = Bench::new();
    let connection = bench.connection();
    let mut client = bench.client(&connection);
    let good = client.says(bench.clock.now()).unwrap();
    let mut forged = good.clone();
    *forged.last_mut().unwrap() ^= 1;
    let mut other = good.clone();
    other[1] ^= 1;
    assert_eq!(bench.judge(&client, &forged), "forged");
    assert_eq!(bench.judge(&client, &good[..good.len() - 1]), "forged");
    assert_eq!(bench.judge(&client, &good[..20]), "not-ours");
    assert_eq!(bench.judge(&client, &other), "unknown-session");
    assert_eq!(bench.judge(&client, &[0x40; 100]), "not-ours");
    assert_eq!(bench.judge(&client, &client.seal(9, &[77])), "malformed");
    assert!(client.hears().is_none(), "nobody who has no key gets an answer");
    assert_eq!(bench.judge(&client, &good), "taken");
    assert!(client.hears().is_some());
}

#[tokio::test]
async fn who_moves_gets_voice_where_they_are_once_they_proved_it() {
    let mut bench = Bench::new();
    let connection = bench.connection();
    let mut client = bench.client(&connection);
    bench.settle(&mut client);
    let (now, mut buffers) = (bench.clock.now(), Buffers::default());
    let old_packet = client.seal(1_000, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let old = std::mem::replace(&mut client.io, socket());
    // From the new address: it is challenged, and voice still goes to the old one.
    assert_eq!(bench.judge(&client, &old_packet), "taken");
    let (_, challenge) = client.hears().expect("a challenge");
    assert_eq!(challenge[0], 3);
    connection.voice(now, &frame(1).encode(), &mut buffers);
    assert!(client.hears().is_none());
    assert!(old.recv(&mut [0; 1_500]).is_ok());
    // A wrong answer, and the right one from elsewhere, move nothing.
    assert_eq!(bench.judge(&client, &client.seal(1_001, &[4, 0, 0, 0, 0, 0, 0, 0, 0])), "taken");
    let mut response = challenge.to_vec();
    response[0] = 4;
    let stranger = std::mem::replace(&mut client.io, socket());
    assert_eq!(bench.judge(&client, &client.seal(1_002, &response)), "taken");
    connection.voice(now, &frame(2).encode(), &mut buffers);
    assert!(stranger.recv(&mut [0; 1_500]).is_err() && client.hears().is_none());
    client.io = stranger;
    assert_eq!(bench.judge(&client, &client.seal(1_003, &response)), "taken");
    connection.voice(now, &frame(3).encode(), &mut buffers);
    assert!(client.hears().is_some(), "it has moved");
    // What is older says nothing of where the client is.
    let stays = std::mem::replace(&mut client.io, old);
    while client.hears().is_some() {}
    assert_eq!(bench.judge(&client, &client.seal(999, &response)), "taken");
    assert!(client.hears().is_none());
    client.io = stays;
    connection.voice(now, &frame(4).encode(), &mut buffers);
    assert!(client.hears().is_some());
}

/// Somebody with an account sends one packet in another's name, and then says from where they are that all that followed came there.
#[tokio::test]
async fn nobody_has_voice_sent_to_an_address_that_did_not_answer() {
    let mut bench = Bench::new();
    let connection = bench.connection();
    let mut client = bench.client(&connection);
    let (now, mut buffers) = (bench.clock.now(), Buffers::default());
    let first = client.says(now).unwrap();
    assert_eq!(bench.judge(&client, &first), "taken");
    let other = std::mem::replace(&mut client.io, socket());
    let came: Vec<_> = std::iter::from_fn(|| other.recv(&mut [0; 1_500]).ok()).collect();
    assert!(came.len() == 2 && came.iter().all(|length| *length <= first.len()), "an answer and a challenge: {came:?}");
    for guessed in 1..=20 {
        let mut report = vec![6];
        report.extend([u32::to_be_bytes(guessed), u32::to_be_bytes(guessed)].concat());
        report.extend([0xff; 8]);
        assert_eq!(bench.judge(&client, &client.seal(100 + guessed, &report)), "taken");
        assert_eq!(connection.voice(now, &frame(1).encode(), &mut buffers), Route::Socket, "{guessed}");
    }
    let told: Vec<_> = std::iter::from_fn(|| client.hears()).map(|(_, inner)| inner[0]).collect();
    assert!(told.iter().all(|kind| *kind == 3), "{told:?}");
    assert!(other.recv(&mut [0; 1_500]).is_err());
}

#[tokio::test]
async fn a_client_sends_so_much_and_no_more_and_nobody_else_uses_its_allowance_up() {
    let mut bench = Bench::new();
    let connection = bench.connection();
    let client = bench.client(&connection);
    for _ in 0..2 * DATAGRAMS_AT_ONCE_MAX {
        let mut forged = client.seal(1, &[6; 17]);
        forged[20] ^= 1;
        assert_eq!(bench.judge(&client, &forged), "forged");
    }
    // Nor who repeats what the client said, however often.
    let first = client.seal(1, &[6; 17]);
    assert_eq!(bench.judge(&client, &first), "taken");
    for _ in 0..2 * DATAGRAMS_AT_ONCE_MAX {
        assert_eq!(bench.judge(&client, &first), "replayed");
    }
    let judged: Vec<_> =
        (2..=2 * DATAGRAMS_AT_ONCE_MAX).map(|counter| bench.judge(&client, &client.seal(counter, &[6; 17]))).collect();
    let taken = judged.iter().filter(|what| **what == "taken").count();
    let most = DATAGRAMS_AT_ONCE_MAX as usize - 1;
    // Some more are allowed while the test runs.
    assert!(taken >= most && taken < judged.len(), "{taken}");
    assert!(judged[..most].iter().all(|what| *what == "taken"));
    assert!(judged.contains(&"surplus"));
}

#[tokio::test]
async fn a_path_ends_at_once_with_its_socket_or_when_it_is_replaced() {
    let mut bench = Bench::new();
    let connection = bench.connection();
    let mut first = bench.client(&connection);
    bench.settle(&mut first);
    let mut second = bench.client(&connection);
    assert_eq!(bench.judge(&first, &first.seal(500, &[6; 17])), "unknown-session");
    bench.settle(&mut second);
    let path = connection.path().unwrap();
    assert_eq!(path.id(), second.session);
    bench.voice.close(&connection);
    assert_eq!(bench.judge(&second, &second.seal(500, &[6; 17])), "unknown-session");
    let mut buffers = Buffers::default();
    assert_eq!(path.voice(bench.clock.now(), &frame(1).encode(), &mut buffers), Route::Socket);
    assert!(second.hears().is_none() && bench.voice.sessions.read().unwrap().is_empty());
    assert!(bench.voice.offer(&connection, &[PathKind::SealedUdp]).is_none(), "it is too late for another");
    assert!(bench.voice.sessions.read().unwrap().is_empty());
}

#[tokio::test]
async fn frames_wait_for_the_reader_in_order_and_not_without_bound() {
    let mut bench = Bench::new();
    let connection = bench.connection();
    let mut client = bench.client(&connection);
    bench.settle(&mut client);
    for number in 1..=100 {
        let mut inner = Vec::new();
        let (Route::Datagram(counter) | Route::Both(counter)) =
            client.path.voice(bench.clock.now(), &frame(number).encode(), &mut inner)
        else {
            panic!("not up")
        };
        assert_eq!(bench.judge(&client, &client.seal(counter, &inner)), "taken");
    }
    let path = connection.path().unwrap();
    for number in 37..=100 {
        assert_eq!(path.next_frame().await.number, FrameNo(number));
    }
}

#[tokio::test]
async fn a_talker_is_told_what_came_by_the_sweep() {
    let mut bench = Bench::new();
    let connection = bench.connection();
    let mut client = bench.client(&connection);
    bench.settle(&mut client);
    let now = bench.clock.now();
    for number in 1..=3 {
        let mut inner = Vec::new();
        let Route::Datagram(counter) = client.path.voice(now, &frame(number).encode(), &mut inner) else {
            panic!("not up")
        };
        bench.judge(&client, &client.seal(counter, &inner));
    }
    // At once for the first, and later for the rest.
    let told = |client: &Client| client.hears().map(|(_, inner)| inner[0]);
    assert_eq!((told(&client), told(&client)), (Some(6), None));
    assert!(bench.voice.sweep(now, &mut bench.buffers), "not yet");
    assert_eq!(told(&client), None);
    assert!(!bench.voice.sweep(now + Duration::from_millis(200), &mut bench.buffers), "all is said");
    assert_eq!((told(&client), told(&client)), (Some(6), None));
}

/// The frames that wait for the socket.
fn over_the_socket(connection: &Connection) -> Vec<u16> {
    let mut frames = Vec::new();
    while let Next::Item(Frame::Binary(bytes)) = connection.out.try_next().0 {
        frames.push(VoiceFrame::decode(&bytes).unwrap().number.0);
    }
    frames
}

#[tokio::test]
async fn what_went_to_where_a_client_no_longer_is_goes_over_the_socket() {
    let mut bench = Bench::new();
    let connection = bench.connection();
    let mut client = bench.client(&connection);
    bench.settle(&mut client);
    let (now, mut buffers) = (bench.clock.now(), Buffers::default());
    for number in 1..=3 {
        assert!(matches!(connection.voice(now, &frame(number).encode(), &mut buffers), Route::Datagram(_)));
    }
    assert!(over_the_socket(&connection).is_empty());
    client.io = socket();
    let packet = client.seal(1_000, &[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(bench.judge(&client, &packet), "taken");
    assert_eq!(over_the_socket(&connection), [1, 2, 3], "nothing was heard of them");
    // Where it was may still be right: both ways until what is sent from now on is reported.
    assert!(matches!(connection.voice(now, &frame(4).encode(), &mut buffers), Route::Both(_)));
    assert_eq!(over_the_socket(&connection), [4]);
}

#[tokio::test]
async fn a_client_that_says_that_nothing_comes_gets_it_over_the_socket_at_once() {
    let mut bench = Bench::new();
    let connection = bench.connection();
    let mut client = bench.client(&connection);
    bench.settle(&mut client);
    let (now, mut buffers) = (bench.clock.now(), Buffers::default());
    for number in 1..=3 {
        connection.voice(now, &frame(number).encode(), &mut buffers);
    }
    connection.path().unwrap().stalled(now);
    assert_eq!(over_the_socket(&connection), [1, 2, 3]);
    assert_eq!(connection.voice(now, &frame(4).encode(), &mut buffers), Route::Socket);
    assert_eq!(over_the_socket(&connection), [4]);
}

#[tokio::test]
async fn what_nothing_was_heard_of_goes_over_the_socket_with_the_frame_that_finds_the_proof_late() {
    let mut bench = Bench::new();
    let connection = bench.connection();
    let mut client = bench.client(&connection);
    bench.settle(&mut client);
    let (now, mut buffers) = (bench.clock.now(), Buffers::default());
    for number in 1..=70 {
        let at = now + Duration::from_millis(20) * u32::from(number);
        connection.voice(at, &frame(number).encode(), &mut buffers);
    }
    // The first ones are too old by then to be of use, and the rest is there, each once and in order.
    let found = over_the_socket(&connection);
    let first = found[0];
    assert!(first <= 2, "{found:?}");
    assert_eq!(found, (first..=70).collect::<Vec<_>>());
}

/// No later datagram repeats a burst's last frames, and who hears of its end no longer misses them: they go over the socket before that.
#[tokio::test]
async fn the_last_words_of_a_burst_go_over_the_socket_before_its_end_is_told() {
    let mut bench = Bench::new();
    let (log, id) = (
        LogHead { incarnation: Incarnation::from_bytes([1; 16]), first_seq: Seq(1), head: Seq(0), epoch: Epoch(0) },
        [7; 16],
    );
    let room = RoomId::from_bytes([9; 16]);
    let opening = Opening { room, term: 1, emergencies: vec![], log, draw: Box::new(move || Ok(id)) };
    let mut home = Room::new(opening, bench.clock);
    let listener = bench.connection();
    let out = Arc::new(Outgoing::new(bench.clock));
    let (user, device) = (UserId::from_bytes([3; 16]), DeviceId::from_bytes([4; 16]));
    let talker = Arc::new(Connection::new(2, user, device, out, bench.clock.now()));
    for connection in [&listener, &talker] {
        let (connection, request) = (Arc::clone(connection), RequestId(1));
        home.command(Command::Join { connection, role: Role::Talker, request, cursor: None, voice: true });
    }
    let mut client = bench.client(&listener);
    bench.settle(&mut client);
    let burst = BurstId::from_bytes([5; 16]);
    let header = BurstHeader {
        burst,
        codec: Codec::Opus,
        frame_ms: FrameMs::Ms20,
        bitrate: Bitrate(24_000),
        key_epoch: Epoch(0),
    };
    let (request, priority, queue, spoken_ago) = (RequestId(2), Priority::Normal, false, Duration::ZERO);
    let request = floor::Request { device, user, role: Role::Talker, request, priority, queue, header, spoken_ago };
    home.command(Command::Floor(floor::Input::Request(request)));
    home.settle();
    let mut recording = Recording::new();
    for number in 1..=3 {
        let frame = VoiceFrame { number: FrameNo(number), tag: burst.tag(), ..frame(number) };
        recording.push(frame.payload.clone()).unwrap();
        home.command(Command::Voice { connection: Arc::clone(&talker), frame });
        home.settle();
    }
    while !matches!(listener.out.try_next().0, Next::Idle) {}
    let (last, digest) = recording.end().unwrap();
    home.command(Command::BurstEnd { connection: Arc::clone(&talker), burst, last, digest });
    home.settle();
    let mut said = Vec::new();
    while let Next::Item(item) = listener.out.try_next().0 {
        said.push(match item {
            Frame::Binary(bytes) => VoiceFrame::decode(&bytes).unwrap().number.to_string(),
            Frame::Text(text) if text.contains("idle") => "over".to_owned(),
            Frame::Text(text) => text.to_string(),
        });
    }
    assert_eq!(said, ["1", "2", "3", "over"]);
    assert!(std::iter::from_fn(|| client.hears()).filter(|(_, inner)| inner[0] == 5).count() == 3, "and by datagram");
}

/// Whoever has a session has one, and nobody else's: neither with the key of their own, nor with its secret.
#[tokio::test]
async fn the_session_of_another_is_not_to_be_had() {
    let mut bench = Bench::new();
    let connections = [bench.connection(), bench.connection()];
    let [mut ada, ben] = [0, 1].map(|at| bench.client(&connections[at]));
    // Ben's packets under Ada's session.
    let stolen = Client { sealer: Sealer::new(ada.session, &ben.secret, SealedBy::Client).unwrap(), ..ben };
    assert_eq!(bench.judge(&stolen, &stolen.seal(1, &[6; 17])), "forged");
    bench.settle(&mut ada);
    assert!(bench.voice.entitled(ada.session, &ada.secret).is_none(), "sealed UDP is not opened by a browser");

    let none: [Arc<dyn wtransport::quinn::AsyncUdpSocket>; 0] = [];
    let now = || Duration::from_secs(1_790_000_000);
    let _first = bench.voice.web.set(Arc::new(webtransport::Listener::new(none, now).unwrap()));
    let [ada, ben] = [0, 1].map(|at| {
        let offer = bench.voice.offer(&connections[at], &[PathKind::Webtransport]).unwrap();
        assert_eq!((offer.kind, offer.certificates.len()), (PathKind::Webtransport, 2));
        offer.opened().unwrap()
    });
    let entitled = |(session, _): ([u8; 8], [u8; 32]), (_, secret): ([u8; 8], [u8; 32])| {
        bench.voice.entitled(session, &secret).map(|session| session.id())
    };
    assert_eq!([entitled(ada, ada), entitled(ben, ben)], [Some(ada.0), Some(ben.0)]);
    assert_eq!([entitled(ada, ben), entitled(ben, ada)], [None, None]);
    bench.voice.close(&connections[0]);
    assert_eq!([entitled(ada, ada), entitled(ben, ben)], [None, Some(ben.0)]);
}

/// A machine with several addresses would answer from the one that it likes best, and a client that has connected its socket hears nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_asks_one_of_several_addresses_is_answered_from_it() {
    let clock = Clock::default();
    let mut config = config();
    config.listen = vec!["0.0.0.0:0".parse().unwrap()];
    let sockets = bind(&config, &config.listen.clone()).unwrap();
    let voice = Arc::new(Voice::new(clock));
    voice.open(&sockets);
    let _web = webtransport::listen(&voice, &sockets).unwrap();
    let bench = Bench { socket: Arc::clone(&sockets[0]), voice: Voice::new(clock), clock, buffers: Buffers::default() };
    let connection = bench.connection();
    let mut client = client(&voice, bench.socket.local(), &connection, clock);
    let io = tokio::net::UdpSocket::bind("0.0.0.0:0").await.unwrap();
    io.connect(("127.0.0.2", bench.socket.local().port())).await.unwrap();
    let mut buffer = [0; PACKET_BYTES_MAX];
    while !client.path.figures().up {
        while let Some(packet) = client.says(clock.now()) {
            io.send(&packet).await.unwrap();
        }
        let came = tokio::time::timeout(Duration::from_secs(20), io.recv(&mut buffer)).await;
        let length = came.expect("an answer, from where it was asked").unwrap();
        let (counter, inner) = client.opener.open(&mut buffer[..length]).unwrap();
        let inner = Bytes::copy_from_slice(inner);
        client.path.received(clock.now(), counter, &inner, &mut Vec::new()).unwrap();
    }
}

/// A packet that was long on its way says nothing of where the client is now.
#[tokio::test]
async fn what_comes_late_from_elsewhere_is_taken_and_not_answered_there() {
    let mut bench = Bench::new();
    let connection = bench.connection();
    let mut client = bench.client(&connection);
    bench.settle(&mut client);
    assert_eq!(bench.judge(&client, &client.seal(1_000, &[6; 17])), "taken");
    client.io = socket();
    assert_eq!(bench.judge(&client, &client.seal(900, &[6; 17])), "taken");
    assert!(client.hears().is_none(), "no challenge");
    assert_eq!(bench.judge(&client, &client.seal(1_001, &[6; 17])), "taken");
    assert!(client.hears().is_some());
}
