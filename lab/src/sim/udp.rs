//! The datagrams' way of each client: addresses that change, a network that loses, doubles and overtakes, and a stranger who copies what passes.
//!
//! Sealing is real at both ends ([`holler_core::wire::sealed`]), and so are the server's sessions (`holler_server::voice`) and the machine that
//! decides (`holler_core::path`). What is written here stands for `client/native/src/path.rs` and for the network.

use core::time::Duration;
use std::collections::{BTreeSet, VecDeque};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use holler_core::engine::{Input, LinkNo};
use holler_core::units::{BurstTag, DeviceId, FrameNo, Mono};
use holler_core::wire::datagram::{Datagram, PathKind, PathOffer};
use holler_core::wire::sealed::{Opener, SealedBy, Sealer, session_of};
use holler_core::wire::voice::VoiceFrame;
use holler_server::clock::Clock;
use holler_server::gateway::Connection;
use holler_server::voice::{LOOK, Socket, Timekeeper, Voice};

use super::Plant;
use super::client::Client;
use super::server::Server;
use super::world::{BEGIN, Event, What, World};
use crate::chance::Chance;
use crate::link::{Datagrams, Profile};

/// What a client with datagrams can use.
pub(super) const KINDS: &[PathKind] = &[PathKind::SealedUdp];
/// Where the server is.
pub(super) const SERVER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::new(10, 1, 0, 1)), 443);
/// Bytes of the headers of IP and UDP.
const HEADERS: usize = 28;
/// How long after the first copy a stranger sends another one.
const LATER: Duration = Duration::from_millis(700);
/// Frames that are remembered as having gone by datagram, for [`Plant::ForgetResend`].
const GONE_MAX: usize = 256;

/// A packet and the client's address, from or to which it goes.
#[derive(Clone)]
pub(super) struct Packet {
    address: SocketAddr,
    bytes: Vec<u8>,
}

struct Open {
    link: LinkNo,
    session: [u8; 8],
    sealer: Sealer,
    opener: Opener,
}

/// One client's way.
pub(super) struct Udp {
    pub(super) up: Datagrams<Packet>,
    pub(super) down: Datagrams<Packet>,
    /// Where the server sees the client.
    at: SocketAddr,
    path: Option<Open>,
    /// A stranger copies what goes up until then.
    pub(super) watched_until: Mono,
    /// Frames that went up by datagram lately.
    gone: VecDeque<(BurstTag, FrameNo)>,
}

impl Udp {
    pub(super) fn new(client: usize, profile: Profile, chance: &mut Chance) -> Self {
        Self {
            up: Datagrams::new(profile, chance.fork()),
            down: Datagrams::new(profile, chance.fork()),
            at: SocketAddr::new(Ipv4Addr::new(10, 0, 0, number(client)).into(), 40_000),
            path: None,
            watched_until: Mono::default(),
            gone: VecDeque::new(),
        }
    }

    /// The client's process is gone.
    pub(super) fn close(&mut self) {
        self.path = None;
        self.gone.clear();
    }

    /// Whether the client has something to send by.
    pub(super) fn is_open(&self) -> bool {
        self.path.is_some()
    }

    pub(super) fn next_at(&self) -> Option<Mono> {
        [self.up.next_at(), self.down.next_at()].into_iter().flatten().min()
    }
}

fn number(client: usize) -> u8 {
    u8::try_from(client + 1).unwrap_or(u8::MAX)
}

fn stranger(client: usize) -> SocketAddr {
    SocketAddr::new(Ipv4Addr::new(10, 9, 9, number(client)).into(), 666)
}

/// The frame that a datagram brings first, if it brings voice.
fn newest(inner: &Bytes) -> Option<VoiceFrame> {
    match Datagram::decode(inner) {
        Ok(Datagram::Voice { newest, .. }) => Some(newest),
        Ok(_) | Err(_) => None,
    }
}

/// What was seen of sessions that have ended, and of what was taken.
#[derive(Default)]
pub(super) struct Sessions {
    pub(super) ended: BTreeSet<[u8; 8]>,
    /// Sessions and counters of what the server took.
    pub(super) taken: BTreeSet<([u8; 8], u32)>,
}

impl World<'_> {
    pub(super) fn open_path(&mut self, client: usize, link: LinkNo, offer: &PathOffer) {
        let current = self.clients[client].conn.is_some_and(|(current, _)| current == link);
        let opened = offer.opened().filter(|_| current).and_then(|(session, secret)| {
            let sealer = Sealer::new(session, &secret, SealedBy::Client).ok()?;
            Some(Open { link, session, sealer, opener: Opener::new(session, &secret, SealedBy::Server).ok()? })
        });
        let input = match opened {
            Some(open) => {
                self.udp[client].path = Some(open);
                Input::PathOpened { link }
            }
            None => Input::PathFailed { link, detail: "the connection has ended".into() },
        };
        self.client_at(Duration::from_micros(300), client, What::Input { input: Box::new(input), era: self.era });
    }

    /// A client sends a datagram.
    pub(super) fn datagram(&mut self, client: usize, link: LinkNo, counter: u32, inner: &Bytes) {
        let now = self.now;
        let udp = &mut self.udp[client];
        let Some(path) = udp.path.as_ref().filter(|path| path.link == link) else { return };
        let mut bytes = Vec::new();
        if path.sealer.seal(counter, inner, &mut bytes).is_err() {
            return;
        }
        if let Some(frame) = newest(inner) {
            self.observer.tally.by_datagram += 1;
            if udp.gone.len() == GONE_MAX {
                udp.gone.pop_front();
            }
            udp.gone.push_back((frame.tag, frame.number));
        }
        if now < udp.watched_until {
            for after in [Duration::ZERO, LATER] {
                let from = stranger(client);
                self.at(after, Event::Copy { from, bytes: bytes.clone() });
            }
        }
        let udp = &mut self.udp[client];
        let packet = Packet { address: udp.at, bytes };
        udp.up.send(now, packet.bytes.len() + HEADERS, packet);
        self.traffic[client].push(now.since(BEGIN));
    }

    /// Whether a frame for the socket is to be forgotten, because it went by datagram before.
    pub(super) fn forgets(&self, client: usize, frame: &VoiceFrame) -> bool {
        self.plant == Some(Plant::ForgetResend) && self.udp[client].gone.contains(&(frame.tag, frame.number))
    }

    /// What the server sent sets out.
    pub(super) fn flush_datagrams(&mut self) {
        while let Some((to, bytes)) = self.server.socket.take_sent() {
            let Some(session) = session_of(&bytes) else { continue };
            if self.sessions.ended.contains(&session) {
                self.observer.violation("session outlives", format!("{session:02x?} has ended, and voice goes out"));
            }
            let client = self.udp.iter().position(|udp| udp.at.ip() == to.ip());
            if let Some(client) = client {
                let (now, udp) = (self.now, &mut self.udp[client]);
                udp.down.send(now, bytes.len() + HEADERS, Packet { address: to, bytes });
            } else {
                self.strangers(&session, &bytes);
            }
        }
    }

    /// A stranger gets a packet: it may be a challenge, and never voice.
    fn strangers(&mut self, session: &[u8; 8], bytes: &[u8]) {
        let path = |(_, udp): &(usize, &Udp)| udp.path.as_ref().is_some_and(|open| open.session == *session);
        let Some((client, udp)) = self.udp.iter().enumerate().find(path) else { return };
        let mut bytes = bytes.to_vec();
        let Some(Ok((counter, inner))) = udp.path.as_ref().map(|open| open.opener.open(&mut bytes)) else { return };
        let inner = Bytes::copy_from_slice(inner);
        if newest(&inner).is_some() {
            self.observer.violation("stranger", format!("voice for client {client} went to a stranger"));
        }
        if self.plant == Some(Plant::TrustAddresses) && matches!(Datagram::decode(&inner), Ok(Datagram::Challenge(_))) {
            // As if none had to be answered: the client does it for the stranger, who is the first to bring what it says.
            let link = self.udp[client].path.as_ref().map(|open| open.link);
            if let Some(link) = link {
                self.input(client, Input::Datagram { link, counter, inner }, self.era);
            }
        }
    }

    /// A packet arrives at the server.
    pub(super) fn server_gets(&mut self, from: SocketAddr, mut bytes: Vec<u8>) {
        if !self.server.up {
            return;
        }
        let (now, copy) = (self.now, bytes.clone());
        let what = self.server.datagram(now, from, &mut bytes);
        let name = session_of(&copy).zip(copy.get(9..13).and_then(|bytes| bytes.try_into().ok()));
        if let Some((session, counter)) = name {
            let counter = u32::from_be_bytes(counter);
            if what == "taken" {
                if self.sessions.ended.contains(&session) {
                    let detail = format!("{session:02x?} has ended, and {counter} was taken");
                    self.observer.violation("session outlives", detail);
                }
                self.took(session, counter);
            } else if what == "replayed" && self.plant == Some(Plant::TakeReplays) {
                self.took(session, counter);
            }
        }
        self.server.pump(now, &mut self.conns);
        self.after_server();
    }

    fn took(&mut self, session: [u8; 8], counter: u32) {
        if !self.sessions.taken.insert((session, counter)) {
            self.observer.violation("replayed", format!("{counter} of {session:02x?} was taken twice"));
        }
    }

    pub(super) fn datagram_arrival(&self) -> Option<(Mono, usize)> {
        self.udp.iter().enumerate().filter_map(|(client, udp)| Some((udp.next_at()?, client))).min()
    }

    /// A packet arrives, at the server or at this client.
    pub(super) fn datagram_arrives(&mut self, client: usize) {
        let now = self.now;
        if let Some(Packet { address, bytes }) = self.udp[client].up.receive(now) {
            return self.server_gets(address, bytes);
        }
        let udp = &mut self.udp[client];
        let Some(Packet { address, mut bytes }) = udp.down.receive(now) else { return };
        if address != udp.at {
            // Nobody is there any more.
            return;
        }
        let Some(path) = &udp.path else { return };
        let Ok((counter, inner)) = path.opener.open(&mut bytes) else { return };
        let (link, inner) = (path.link, Bytes::copy_from_slice(inner));
        self.traffic[client].push(now.since(BEGIN));
        self.mix(&inner);
        if let Some(frame) = newest(&inner) {
            self.observer.tally.by_datagram += 1;
            self.tell(|| format!("client {client} hears frame {} by datagram {counter}", frame.number));
        }
        self.input(client, Input::Datagram { link, counter, inner }, self.era);
    }

    /// The client is somewhere else from now on; what is sent to where it was is lost.
    pub(super) fn moves(&mut self, client: usize, told: bool) {
        let at = &mut self.udp[client].at;
        at.set_port(at.port().wrapping_add(1));
        if told {
            // As after any change that the system tells, it may try at once.
            self.clients[client].attempts.clear();
            self.input(client, Input::NetworkUp, self.era);
        }
    }

    /// What carries the client's path is gone, and the server is not told.
    pub(super) fn path_dies(&mut self, client: usize) {
        if let Some(open) = self.udp[client].path.take() {
            let input = Input::PathFailed { link: open.link, detail: "it is gone".into() };
            self.input(client, input, self.era);
        }
    }
}

/// The datagrams of a server's process.
pub(super) fn voice(clock: Clock, socket: &Arc<Socket>, chance: Chance) -> Voice {
    let chance = Mutex::new(chance);
    let voice = Voice::drawing(clock, move |bytes| {
        let mut chance = chance.lock().unwrap_or_else(PoisonError::into_inner);
        bytes.fill_with(|| chance.byte());
        true
    });
    voice.open(&[Arc::clone(socket)]);
    voice
}

impl Server {
    /// A process begins with no voice paths.
    pub(super) fn open_voice(&mut self) {
        let now = self.clock.now();
        self.voice = voice(self.clock, &self.socket, Chance::new(self.life ^ now.0));
        self.times = Timekeeper::new(now);
        self.times_at = now + LOOK;
    }

    /// A packet came. Gives what it was counted as.
    pub(super) fn datagram(&mut self, now: Mono, from: SocketAddr, packet: &mut [u8]) -> &'static str {
        let timed = self.voice.is_timed();
        let what = self.voice.received(&self.socket, (from, None), packet, &mut self.buffers);
        if !timed && self.voice.is_timed() {
            self.times_at = now;
        }
        what
    }

    /// Whether a device's voice path has carried.
    pub(super) fn knows_address(&self, device: DeviceId) -> bool {
        let socket = self.devices.get(&device).and_then(|(_, socket)| self.sockets.get(socket));
        let path = socket.and_then(|socket| socket.session.as_ref()?.connection.path());
        path.is_some_and(|path| path.is_up())
    }

    /// A connection has ended, and with it its voice path.
    pub(super) fn close_path(&mut self, connection: &Connection) {
        self.ended.extend(connection.path().map(|path| path.id()));
        if self.plant != Some(Plant::SessionOutlives) {
            self.voice.close(connection);
        }
    }
}

/// The ways of these clients.
pub(super) fn ways(clients: &[Client], profiles: &[Option<Profile>], chance: &mut Chance) -> Vec<Udp> {
    let profiles = profiles.iter().map(|profile| profile.unwrap_or(Profile::plain(Duration::ZERO)));
    clients.iter().enumerate().zip(profiles).map(|((client, _), profile)| Udp::new(client, profile, chance)).collect()
}
