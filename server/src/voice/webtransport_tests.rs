use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::mpsc;
use wtransport::endpoint::ConnectOptions;
use wtransport::tls::Sha256Digest;
use wtransport::{ClientConfig, Endpoint};

use super::*;

const SESSION: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
const SECRET: [u8; SECRET_BYTES] = [7; SECRET_BYTES];

/// One session, whose datagrams come back with their counter one higher; and a record of what happened.
struct World {
    happened: mpsc::UnboundedSender<Happened>,
}

#[derive(Debug, PartialEq, Eq)]
enum Happened {
    Proved,
    Received(u32, Bytes),
    Lost,
}

struct One {
    carrier: Arc<Carrier>,
    happened: mpsc::UnboundedSender<Happened>,
}

impl Sessions for World {
    fn allows(&self, origin: Option<&str>, authority: &str) -> bool {
        origin.is_none_or(|origin| origin.strip_prefix("https://") == Some(authority))
    }

    fn prove(&self, session: [u8; 8], secret: &[u8; SECRET_BYTES], carrier: &Arc<Carrier>) -> Option<Box<dyn Carried>> {
        if session != SESSION || *secret != SECRET {
            return None;
        }
        self.happened.send(Happened::Proved).unwrap();
        Some(Box::new(One { carrier: Arc::clone(carrier), happened: self.happened.clone() }))
    }
}

impl Carried for One {
    fn received(&mut self, counter: u32, inner: Bytes) {
        assert!(self.carrier.send(counter + 1, &inner));
        let last = &*inner == b"last";
        let _ = self.happened.send(Happened::Received(counter, inner));
        if last {
            self.carrier.close();
        }
    }
}

impl Drop for One {
    fn drop(&mut self) {
        let _ = self.happened.send(Happened::Lost);
    }
}

struct Server {
    listener: Arc<Listener>,
    address: SocketAddr,
    happened: mpsc::UnboundedReceiver<Happened>,
    others: mpsc::UnboundedReceiver<(SocketAddr, Vec<u8>)>,
    time: Arc<AtomicU64>,
    stop: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

fn server() -> Server {
    server_at(Ipv6Addr::LOCALHOST.into())
}

fn server_at(ip: IpAddr) -> Server {
    let socket = UdpSocket::bind((ip, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let (sender, others) = mpsc::unbounded_channel();
    let ours = move |(from, _): (SocketAddr, Option<IpAddr>), packet: &mut [u8]| {
        packet[0] = 0;
        let _ = sender.send((from, packet.to_vec()));
    };
    let socket = Shared::open(socket, ours).unwrap();
    let today = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let time = Arc::new(AtomicU64::new(today.as_secs()));
    let now = Arc::clone(&time);
    let now = move || Duration::from_secs(now.load(Ordering::Relaxed));
    let listener = Arc::new(Listener::new([socket], now).unwrap());
    let (sender, happened) = mpsc::unbounded_channel();
    let stop = CancellationToken::new();
    let running = tokio::spawn(Arc::clone(&listener).run(Arc::new(World { happened: sender }), stop.clone()));
    Server { listener, address, happened, others, time, stop, running }
}

impl Server {
    fn url(&self, path: &str) -> String {
        format!("https://{}{path}", self.address)
    }

    /// What a browser's is: it takes no other certificate than those that the offer names.
    fn client(hashes: &[String]) -> Endpoint<wtransport::endpoint::endpoint_side::Client> {
        Self::client_at(Ipv6Addr::LOCALHOST.into(), hashes)
    }

    fn client_at(ip: IpAddr, hashes: &[String]) -> Endpoint<wtransport::endpoint::endpoint_side::Client> {
        let hashes = hashes.iter().map(|hash| {
            let hash: [u8; 32] = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, hash)
                .unwrap()
                .try_into()
                .unwrap();
            Sha256Digest::new(hash)
        });
        let config =
            ClientConfig::builder().with_bind_address((ip, 0).into()).with_server_certificate_hashes(hashes).build();
        Endpoint::client(config).unwrap()
    }

    async fn connect(&self) -> wtransport::Connection {
        Self::client(&self.listener.hashes()).connect(self.url(ADDRESS)).await.unwrap()
    }

    async fn happened(&mut self) -> Happened {
        tokio::time::timeout(Duration::from_secs(30), self.happened.recv()).await.unwrap().unwrap()
    }
}

async fn show(connection: &wtransport::Connection, session: [u8; 8], secret: &[u8]) -> Option<u8> {
    let (mut send, mut receive) = connection.open_bi().await.ok()?.await.ok()?;
    send.write_all(&session).await.ok()?;
    send.write_all(secret).await.ok()?;
    let mut answer = [0];
    receive.read_exact(&mut answer).await.ok().map(|()| answer[0])
}

#[tokio::test]
async fn a_session_that_shows_its_secret_sends_and_gets_datagrams_until_it_ends() {
    let mut server = server();
    let connection = server.connect().await;
    assert_eq!(show(&connection, SESSION, &SECRET).await, Some(1));
    assert_eq!(server.happened().await, Happened::Proved);
    for (counter, inner) in [(1_u32, &b"voice"[..]), (7, &[3; 1_100]), (8, b"last")] {
        connection.send_datagram([&counter.to_be_bytes(), inner].concat()).unwrap();
        assert_eq!(server.happened().await, Happened::Received(counter, inner.to_vec().into()));
        if inner != b"last" {
            let back = connection.receive_datagram().await.unwrap();
            assert_eq!(*back, *[&(counter + 1).to_be_bytes(), inner].concat());
        }
    }
    connection.closed().await;
    assert_eq!(server.happened().await, Happened::Lost);
}

#[tokio::test]
async fn packets_that_are_not_of_quic_share_its_port() {
    let mut server = server();
    let connection = server.connect().await;
    let other = UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).unwrap();
    for number in 1..=100_u8 {
        other.send_to(&[8, number, 3], server.address).unwrap();
    }
    other.send_to(&[9, 1], server.address).unwrap();
    for number in 1..=100 {
        let packet = tokio::time::timeout(Duration::from_secs(30), server.others.recv()).await.unwrap().unwrap();
        assert_eq!(packet, (other.local_addr().unwrap(), vec![0, number, 3]));
    }
    assert_eq!(show(&connection, SESSION, &SECRET).await, Some(1));
    assert!(server.others.is_empty(), "a packet of nobody's was handed on");
}

#[tokio::test]
async fn without_the_secret_of_a_session_nothing_is_carried() {
    let mut server = server();
    for (session, secret) in [(SESSION, [8; SECRET_BYTES]), ([9; 8], SECRET)] {
        let connection = server.connect().await;
        let _ = connection.send_datagram([0, 0, 0, 1, 1]);
        assert_eq!(show(&connection, session, &secret).await, None);
        connection.closed().await;
    }
    let connection = server.connect().await;
    assert_eq!(show(&connection, SESSION, &SECRET).await, Some(1));
    assert_eq!(server.happened().await, Happened::Proved, "and nothing came before it");
}

#[tokio::test]
async fn other_addresses_and_pages_of_other_origins_are_turned_away() {
    let server = server();
    let client = Server::client(&server.listener.hashes());
    assert!(client.connect(server.url("/api/v1/socket")).await.is_err());
    for (origin, allowed) in [("https://evil.example", false), (server.url("").as_str(), true)] {
        let options = ConnectOptions::builder(server.url(ADDRESS)).add_header("origin", origin).build();
        assert_eq!(client.connect(options).await.is_ok(), allowed, "{origin}");
    }
}

#[tokio::test]
async fn who_shows_nothing_within_5_s_is_cut() {
    let server = server();
    let begin = Instant::now();
    let connection = server.connect().await;
    tokio::time::timeout(PROOF_MAX * 4, connection.closed()).await.unwrap();
    assert!(begin.elapsed() >= PROOF_MAX);
    assert_eq!(server.listener.unproven.available_permits(), UNPROVEN_MAX);
}

#[tokio::test]
async fn one_address_keeps_no_other_out() {
    let mut server = server_at(Ipv4Addr::LOCALHOST.into());
    let [one, other] =
        [1, 2].map(|last| Server::client_at(Ipv4Addr::new(127, 0, 0, last).into(), &server.listener.hashes()));
    let connect = |_| one.connect(server.url(ADDRESS));
    let held: Vec<_> = futures_util::future::join_all((0..UNPROVEN_MAX).map(connect)).await;
    assert!(held.iter().filter(|connected| connected.is_ok()).count() >= UNPROVEN_PER_ADDRESS_MAX, "its share it has");
    assert!(server.listener.unproven.available_permits() >= UNPROVEN_MAX - UNPROVEN_PER_ADDRESS_MAX);
    let connection = other.connect(server.url(ADDRESS)).await.unwrap();
    assert_eq!(show(&connection, SESSION, &SECRET).await, Some(1));
    assert_eq!(server.happened().await, Happened::Proved);
}

#[test]
fn the_addresses_of_a_network_of_ipv6_share() {
    let shares = Arc::default();
    let take = |ip: &str| Shares::take(&shares, ip.parse().unwrap());
    let held: Vec<_> = (0..=UNPROVEN_PER_ADDRESS_MAX).map_while(|host| take(&format!("2001:db8::{host}"))).collect();
    assert_eq!(held.len(), UNPROVEN_PER_ADDRESS_MAX);
    assert!(take("2001:db8:0:1::1").is_some() && take("192.0.2.1").is_some());
    drop(held);
    assert!(take("2001:db8::1").is_some_and(|(_, before)| before == 0));
}

#[tokio::test]
async fn a_turn_of_certificates_keeps_connections_and_earlier_offers() {
    let server = server();
    let offered = server.listener.hashes();
    let before = server.connect().await;
    assert_eq!(show(&before, SESSION, &SECRET).await, Some(1));
    server.time.fetch_add(certificates::TURN.as_secs(), Ordering::Relaxed);
    server.listener.turn_if_due();
    assert_ne!(server.listener.hashes(), offered);
    let after = Server::client(&offered).connect(server.url(ADDRESS)).await.unwrap();
    assert_eq!(show(&after, SESSION, &SECRET).await, Some(1));
    before.send_datagram([0, 0, 0, 1, 1]).unwrap();
    assert_eq!(*before.receive_datagram().await.unwrap(), [0, 0, 0, 2, 1]);
    assert!(Server::client(&["A".repeat(43)]).connect(server.url(ADDRESS)).await.is_err(), "a hash of no certificate");
    server.stop.cancel();
    server.running.await.unwrap();
}

#[test]
fn a_session_sends_200_packets_a_second_and_400_at_once() {
    let begin = Instant::now();
    let mut allowance = Allowance::new(begin);
    let at_once = (0..1_000).filter(|_| allowance.takes(begin)).count();
    assert_eq!(at_once, 400);
    let in_ten_seconds = (1..=10_000).filter(|ms| allowance.takes(begin + Duration::from_millis(*ms))).count();
    assert_eq!(in_ten_seconds, 2_000);
    let after_an_hour = begin + Duration::from_secs(3_600);
    assert_eq!((0..1_000).filter(|_| allowance.takes(after_an_hour)).count(), 400);
}
