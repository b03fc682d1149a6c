//! A bad link for UDP: a relay in front of a real server, for real programs.
//!
//! It stands on an address of its own, with the server's UDP port, so that a client which reaches the server through a
//! [`crate::proxy::Proxy`] on that address finds the datagrams' way there too. What it does to them is the model of
//! [`crate::link::Datagrams`], in real time. It can be cut, which loses everything, and can send from another port, as a NAT does that has
//! forgotten. Of what went up it can send copies, changed or not, as somebody on the way could.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use holler_core::units::Mono;

use crate::chance::Chance;
use crate::link::{Datagrams, Profile};

/// Bytes of the largest datagram.
const DATAGRAM: usize = 64 * 1024;
/// How long a thread waits for something to pass on before it looks whether the relay has ended.
const LOOK: Duration = Duration::from_millis(200);
/// Datagrams from the clients that are remembered for copies.
const REMEMBERED: usize = 16;

/// A running relay; dropped, it ends.
pub struct Relay {
    shared: Arc<Shared>,
    address: SocketAddr,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    outside: UdpSocket,
    to: SocketAddr,
    origin: Instant,
}

struct State {
    /// To the server, by number of the flow, and back.
    up: Datagrams<(usize, Vec<u8>)>,
    down: Datagrams<(usize, Vec<u8>)>,
    flows: Vec<Flow>,
    last: Vec<(usize, Vec<u8>)>,
    carried: [u64; 2],
    ended: bool,
}

/// A client, and the socket that stands for it at the server.
struct Flow {
    client: SocketAddr,
    inside: Arc<UdpSocket>,
}

impl Relay {
    /// A relay on `address` to the server at `to`, which behaves so in both directions; its chances follow from `seed`.
    pub fn start(address: SocketAddr, to: SocketAddr, profile: Profile, seed: u64) -> io::Result<Self> {
        let outside = UdpSocket::bind(address)?;
        outside.set_read_timeout(Some(LOOK))?;
        let address = outside.local_addr()?;
        let mut chance = Chance::new(seed);
        let state = State {
            up: Datagrams::new(profile, chance.fork()),
            down: Datagrams::new(profile, chance.fork()),
            flows: Vec::new(),
            last: Vec::new(),
            carried: [0; 2],
            ended: false,
        };
        let shared =
            Arc::new(Shared { state: Mutex::new(state), changed: Condvar::new(), outside, to, origin: Instant::now() });
        for run in [Shared::take, Shared::give] {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || run(&shared));
        }
        Ok(Self { shared, address })
    }

    /// Where it is.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Loses everything from now on, in both directions.
    pub fn cut(&self) {
        let mut state = self.shared.state();
        state.up.cut();
        state.down.cut();
    }

    /// The link holds again.
    pub fn mend(&self) {
        let mut state = self.shared.state();
        state.up.heal();
        state.down.heal();
    }

    /// From now on the link behaves so.
    pub fn set_profile(&self, profile: Profile) {
        let mut state = self.shared.state();
        state.up.set_profile(profile);
        state.down.set_profile(profile);
    }

    /// Every client is at another port from now on, as the server sees it; what is still sent to the old one is lost.
    pub fn move_clients(&self) -> io::Result<()> {
        let mut state = self.shared.state();
        for at in 0..state.flows.len() {
            state.flows[at].inside = self.shared.inside(at)?;
        }
        Ok(())
    }

    /// Sends copies of what came last from the clients, as `change` leaves them. Gives how many.
    pub fn repeat(&self, change: impl Fn(&mut Vec<u8>)) -> io::Result<usize> {
        let state = self.shared.state();
        for (flow, bytes) in &state.last {
            let mut copy = bytes.clone();
            change(&mut copy);
            state.flows[*flow].inside.send(&copy)?;
        }
        Ok(state.last.len())
    }

    /// Datagrams that arrived: at the server, at the clients.
    pub fn carried(&self) -> [u64; 2] {
        self.shared.state().carried
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.shared.state().ended = true;
        self.shared.changed.notify_all();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Mono {
        Mono(u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// Takes what the clients send.
    fn take(self: &Arc<Self>) {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let came = self.outside.recv_from(&mut buffer);
            let mut state = self.state();
            if state.ended {
                return;
            }
            let Ok((length, client)) = came else { continue };
            let known = state.flows.iter().position(|flow| flow.client == client);
            let flow = match known {
                Some(flow) => flow,
                None => {
                    let flow = state.flows.len();
                    let Ok(inside) = self.inside(flow) else { continue };
                    state.flows.push(Flow { client, inside });
                    flow
                }
            };
            let bytes = buffer[..length].to_vec();
            if state.last.len() == REMEMBERED {
                state.last.remove(0);
            }
            state.last.push((flow, bytes.clone()));
            state.up.send(self.now(), length, (flow, bytes));
            drop(state);
            self.changed.notify_all();
        }
    }

    /// A new socket for a flow, and the thread that takes what the server sends to it.
    fn inside(self: &Arc<Self>, flow: usize) -> io::Result<Arc<UdpSocket>> {
        let socket = Arc::new(UdpSocket::bind((self.to.ip(), 0))?);
        socket.connect(self.to)?;
        socket.set_read_timeout(Some(LOOK))?;
        let (shared, ours) = (Arc::clone(self), Arc::clone(&socket));
        std::thread::spawn(move || shared.answers(flow, &ours));
        Ok(socket)
    }

    fn answers(&self, flow: usize, socket: &Arc<UdpSocket>) {
        let mut buffer = vec![0; DATAGRAM];
        loop {
            let came = socket.recv(&mut buffer);
            let mut state = self.state();
            let current = state.flows.get(flow).is_none_or(|known| Arc::ptr_eq(&known.inside, socket));
            if state.ended || !current {
                return;
            }
            let Ok(length) = came else { continue };
            state.down.send(self.now(), length, (flow, buffer[..length].to_vec()));
            drop(state);
            self.changed.notify_all();
        }
    }

    /// Gives what has arrived.
    fn give(self: &Arc<Self>) {
        let mut state = self.state();
        while !state.ended {
            let now = self.now();
            if let Some((flow, bytes)) = state.up.receive(now) {
                state.carried[0] += 1;
                // Nobody may be there.
                let _ = state.flows[flow].inside.send(&bytes);
            } else if let Some((flow, bytes)) = state.down.receive(now) {
                state.carried[1] += 1;
                let client = state.flows[flow].client;
                let _ = self.outside.send_to(&bytes, client);
            } else {
                let next = [state.up.next_at(), state.down.next_at()].into_iter().flatten().min();
                let wait = next.map_or(LOOK, |at| at.since(now));
                state = self.changed.wait_timeout(state, wait).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(profile: Profile) -> (Relay, UdpSocket, UdpSocket) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let relay = Relay::start("127.0.0.1:0".parse().unwrap(), server.local_addr().unwrap(), profile, 1).unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(relay.address()).unwrap();
        for socket in [&server, &client] {
            socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        }
        (relay, client, server)
    }

    #[test]
    fn datagrams_go_both_ways_and_clients_move_when_they_are_told_to() {
        let (relay, client, server) = ends(Profile::plain(Duration::from_millis(1)));
        let mut buffer = [0; 100];
        client.send(b"up").unwrap();
        let (length, first) = server.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"up");
        server.send_to(b"down", first).unwrap();
        let length = client.recv(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], relay.carried()), (&b"down"[..], [1, 1]));
        assert_eq!(relay.repeat(|bytes| bytes.push(b'!')).unwrap(), 1);
        let (length, from) = server.recv_from(&mut buffer).unwrap();
        assert_eq!((&buffer[..length], from), (&b"up!"[..], first));
        relay.move_clients().unwrap();
        client.send(b"moved").unwrap();
        let (_, second) = server.recv_from(&mut buffer).unwrap();
        assert_ne!(first, second);
    }

    #[test]
    fn what_is_cut_carries_nothing_until_it_is_mended() {
        let (relay, client, server) = ends(Profile::plain(Duration::ZERO));
        relay.cut();
        client.send(b"lost").unwrap();
        // The relay has taken it when the next one comes through.
        while relay.shared.state().last.is_empty() {
            std::thread::yield_now();
        }
        relay.mend();
        client.send(b"found").unwrap();
        let mut buffer = [0; 100];
        let length = server.recv(&mut buffer).unwrap();
        assert_eq!(&buffer[..length], b"found");
    }
}
