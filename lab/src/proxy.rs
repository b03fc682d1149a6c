//! A link that can be cut: a TCP proxy in front of a real server, for real programs, and with [`Relay`] the same for datagrams.
//!
//! Cut, it resets every connection through it and refuses new ones, as a network that is gone does once the system has noticed.
//! It can also be slow, uneven and lossy, in real time, by the same model of a TCP connection as in virtual time
//! ([`crate::link::Pipe`]): what a network loses comes later, and everything behind it waits.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use holler_core::units::Mono;

use crate::chance::Chance;
use crate::link::{Pipe, Profile};
use crate::relay::Relay;

/// Bytes passed on at once.
const CHUNK: usize = 16 * 1024;
/// The same on a link with a profile: about a segment.
const SEGMENT: usize = 1_400;
/// How long a thread waits for something to pass on before it looks whether its connection has ended.
const LOOK: Duration = Duration::from_millis(200);

#[derive(Default)]
struct State {
    cut: bool,
    ended: bool,
    open: Vec<TcpStream>,
}

/// A running proxy; dropped, it ends.
pub struct Proxy {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    relay: Option<Relay>,
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Proxy {
    /// A proxy to the server at `to`, on a port of the loopback that the system chooses.
    pub fn start(to: SocketAddr) -> io::Result<Self> {
        Self::start_as(Ipv4Addr::LOCALHOST.into(), to, None)
    }

    /// A link for TCP and UDP on an address of its own, over which both behave so in both directions; its chances follow from
    /// `seed`. UDP has the server's port, for that is the one that a client is told: `udp_port`.
    pub fn start_over(
        ip: IpAddr,
        to: SocketAddr,
        udp_port: u16,
        profile: Option<Profile>,
        seed: u64,
    ) -> io::Result<Self> {
        let mut chance = Chance::new(seed);
        let way = profile.unwrap_or(Profile::plain(Duration::ZERO));
        let relay = Relay::start((ip, udp_port).into(), (to.ip(), udp_port).into(), way, chance.draw())?;
        let link = profile.map(|profile| (profile, chance));
        let mut proxy = Self::start_as(ip, to, link)?;
        proxy.relay = Some(relay);
        Ok(proxy)
    }

    fn start_as(ip: IpAddr, to: SocketAddr, mut link: Option<(Profile, Chance)>) -> io::Result<Self> {
        let listener = TcpListener::bind((ip, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if lock(&shared).ended {
                    return;
                }
                // What fails here fails for the client as a broken connection does.
                let pipes = link
                    .as_mut()
                    .map(|(profile, chance)| [chance.fork(), chance.fork()].map(|of| Pipe::new(*profile, of)));
                let _ = pass(client, to, &shared, pipes);
            }
        });
        Ok(Self { address, state, relay: None })
    }

    /// Its port for TCP.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Where it listens for TCP.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What carries the datagrams.
    pub fn relay(&self) -> Option<&Relay> {
        self.relay.as_ref()
    }

    /// Cuts every connection; new ones end at once.
    pub fn cut(&self) {
        self.relay.iter().for_each(Relay::cut);
        let mut state = lock(&self.state);
        state.cut = true;
        for stream in state.open.drain(..) {
            // It may be closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// The link holds again.
    pub fn mend(&self) {
        self.relay.iter().for_each(Relay::mend);
        lock(&self.state).cut = false;
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        lock(&self.state).ended = true;
        self.cut();
        // Wakes the thread that accepts.
        let _ = TcpStream::connect(self.address);
    }
}

/// What waits on an emulated link, in one direction.
type Waiting = Pipe<Vec<u8>>;

fn pass(client: TcpStream, to: SocketAddr, state: &Mutex<State>, pipes: Option<[Waiting; 2]>) -> io::Result<()> {
    let mut shared = lock(state);
    if shared.cut {
        return client.shutdown(Shutdown::Both);
    }
    let server = TcpStream::connect(to)?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        shared.open.push(stream.try_clone()?);
    }
    drop(shared);
    let ways = [(client.try_clone()?, server.try_clone()?), (server, client)];
    let Some(pipes) = pipes else {
        for (from, into) in ways {
            std::thread::spawn(move || copy(from, into));
        }
        return Ok(());
    };
    for ((from, into), pipe) in ways.into_iter().zip(pipes) {
        let link = Arc::new(Link { pipe: Mutex::new((pipe, false)), changed: Condvar::new(), origin: Instant::now() });
        let theirs = Arc::clone(&link);
        std::thread::spawn(move || link.take(from));
        std::thread::spawn(move || theirs.give(into));
    }
    Ok(())
}

/// One direction of an emulated link: what is on the way, and whether nothing more comes.
struct Link {
    pipe: Mutex<(Waiting, bool)>,
    changed: Condvar,
    origin: Instant,
}

impl Link {
    fn now(&self) -> Mono {
        Mono(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Takes what the sender sends, as long as there is room for it.
    fn take(&self, mut from: TcpStream) {
        let mut buffer = vec![0; SEGMENT];
        loop {
            let length = from.read(&mut buffer).unwrap_or(0);
            let mut state = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
            if length == 0 || state.1 {
                state.1 = true;
                drop(state);
                self.changed.notify_all();
                return;
            }
            while !state.0.has_room() && !state.1 {
                state = self.changed.wait_timeout(state, LOOK).unwrap_or_else(PoisonError::into_inner).0;
            }
            state.0.send(self.now(), length, buffer[..length].to_vec());
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Gives what has arrived.
    fn give(&self, mut into: TcpStream) {
        let mut state = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(bytes) = state.0.receive(self.now()) {
                drop(state);
                self.changed.notify_all();
                let sent = into.write_all(&bytes);
                state = self.pipe.lock().unwrap_or_else(PoisonError::into_inner);
                state.1 |= sent.is_err();
                continue;
            }
            let next = state.0.next_at();
            if state.1 && next.is_none() {
                break;
            }
            let wait = next.map_or(LOOK, |at| at.since(self.now()));
            state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
        drop(state);
        let _ = into.shutdown(Shutdown::Both);
    }
}

/// Passes on until one side ends, then ends the other.
fn copy(mut from: TcpStream, mut into: TcpStream) {
    let mut buffer = vec![0; CHUNK];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        if into.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = into.shutdown(Shutdown::Both);
}
