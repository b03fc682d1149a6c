//! The UDP sockets: one for each address of HTTPS, with one port for all of them.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::net::SendFlags;
use socket2::{Domain, Protocol, Type};
use tokio::net::UdpSocket;
use tokio_util::sync::CancellationToken;
use wtransport::quinn::udp::{Transmit, UdpSockRef, UdpSocketState};

use super::{Buffers, Voice};
use crate::config::Config;
use crate::serve::ListenError;

/// Bytes that the kernel should hold in each direction, where `net.core.rmem_max` and `wmem_max` allow it: all that 200 talkers
/// send in a second, and a fan-out to thousands.
const KERNEL_BYTES: usize = 4 * 1024 * 1024;
/// Packets that are taken in a row before other tasks of this thread get their turn.
const BATCH: usize = 64;
/// Bytes of the largest packet that is looked at; more than any of ours or QUIC's has.
pub const PACKET_BYTES_MAX: usize = 1_536;

/// One UDP socket of the server.
#[derive(Debug)]
pub struct Socket {
    way: Way,
    local: SocketAddr,
    /// How a packet leaves from one of several addresses.
    sources: OnceLock<UdpSocketState>,
}

#[derive(Debug)]
enum Way {
    System(UdpSocket),
    /// What was sent, and where to, until a simulation takes it.
    Virtual(Mutex<VecDeque<(SocketAddr, Vec<u8>)>>),
}

impl Socket {
    fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = socket2::Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
        if address.is_ipv6() {
            // As for HTTPS: 0.0.0.0 and [::] can be given together.
            socket.set_only_v6(true)?;
        }
        // What the kernel does not give is lost packets under load, no reason not to start.
        let _ = socket.set_recv_buffer_size(KERNEL_BYTES);
        let _ = socket.set_send_buffer_size(KERNEL_BYTES);
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        let io = UdpSocket::from_std(socket.into())?;
        let local = io.local_addr()?;
        Ok(Self { way: Way::System(io), local, sources: OnceLock::new() })
    }

    /// A socket of a simulation, which takes what is sent with [`Socket::take_sent`].
    pub fn simulated(local: SocketAddr) -> Self {
        Self { way: Way::Virtual(Mutex::default()), local, sources: OnceLock::new() }
    }

    /// What was sent on a simulated socket first, and where to.
    pub fn take_sent(&self) -> Option<(SocketAddr, Vec<u8>)> {
        match &self.way {
            Way::System(_) => None,
            Way::Virtual(sent) => sent.lock().unwrap_or_else(PoisonError::into_inner).pop_front(),
        }
    }

    /// Where it is bound.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// The socket itself, for whoever reads it; a simulated one has none.
    pub fn io(&self) -> Option<&UdpSocket> {
        match &self.way {
            Way::System(io) => Some(io),
            Way::Virtual(_) => None,
        }
    }

    /// From now on packets leave from the address that they answer for ([`Socket::send`]), where this socket has all that the machine has. Whoever
    /// reads it learns of each packet where it went to.
    pub fn knows_destinations(&self) -> io::Result<()> {
        if let Way::System(io) = &self.way
            && self.local.ip().is_unspecified()
        {
            let _first = self.sources.set(UdpSocketState::new(UdpSockRef::from(io))?);
        }
        Ok(())
    }

    /// Sends a packet unless the kernel has no room for it: voice must not wait. `from`: where the client's packets come to; a machine with several
    /// addresses would choose another, from which the client or its NAT takes nothing. Gives whether it was taken.
    pub fn send(&self, to: SocketAddr, from: Option<IpAddr>, packet: &[u8]) -> bool {
        match &self.way {
            // Past the runtime: whether there is room only the kernel knows.
            Way::System(io) => match self.sources.get().zip(from) {
                Some((sources, from)) => {
                    let (destination, src_ip) = (to, Some(from));
                    let packet = Transmit { destination, ecn: None, contents: packet, segment_size: None, src_ip };
                    sources.try_send(UdpSockRef::from(io), &packet).is_ok()
                }
                None => rustix::net::sendto(io, packet, SendFlags::empty(), &to).is_ok(),
            },
            Way::Virtual(sent) => {
                sent.lock().unwrap_or_else(PoisonError::into_inner).push_back((to, packet.to_vec()));
                true
            }
        }
    }
}

/// Binds the sockets that the settings ask for; none where datagrams are switched off. `listening` is where HTTPS really listens: of
/// the addresses in `config` the machine may lack one, and port 0 has become another.
pub fn bind(config: &Config, listening: &[SocketAddr]) -> Result<Vec<Arc<Socket>>, ListenError> {
    let Some(first) = listening.first().filter(|_| config.udp) else { return Ok(Vec::new()) };
    let addresses: BTreeSet<IpAddr> = listening.iter().map(SocketAddr::ip).collect();
    let port = config.udp_port.unwrap_or(first.port());
    // The system gave the TCP port; that the same number is free for UDP too was nobody's promise.
    let any = config.udp_port.is_none() && config.listen.first().is_some_and(|address| address.port() == 0);
    match bind_all(&addresses, port) {
        Err((_, error)) if any && error.kind() == io::ErrorKind::AddrInUse => bind_all(&addresses, 0),
        bound => bound,
    }
    .map_err(|(address, source)| ListenError::udp(address, source))
}

fn bind_all(addresses: &BTreeSet<IpAddr>, port: u16) -> Result<Vec<Arc<Socket>>, (SocketAddr, io::Error)> {
    let (mut sockets, mut port) = (Vec::new(), port);
    for ip in addresses {
        let address = SocketAddr::new(*ip, port);
        let socket = Socket::bind(address).map_err(|error| (address, error))?;
        port = socket.local.port();
        sockets.push(Arc::new(socket));
    }
    Ok(sockets)
}

/// Hands what comes on `socket` to `voice`, until `stop`.
pub async fn receive(voice: Arc<Voice>, socket: Arc<Socket>, stop: CancellationToken) {
    let (mut buffer, mut buffers) = (vec![0; PACKET_BYTES_MAX], Buffers::default());
    let Some(io) = socket.io() else { return };
    while let Some(readable) = stop.run_until_cancelled(io.readable()).await {
        if let Err(error) = readable {
            tracing::error!(%error, "the UDP socket can't be read any more: voice goes over the sockets");
            return;
        }
        for _ in 0..BATCH {
            match io.try_recv_from(&mut buffer) {
                Ok((length, from)) => {
                    voice.received(&socket, (from, None), &mut buffer[..length], &mut buffers);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Of an earlier packet to somebody who is gone (ICMP): it says nothing of this one.
                Err(_) => {}
            }
        }
        tokio::task::yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(udp: bool, udp_port: Option<u16>) -> Config {
        let dir = std::env::temp_dir();
        let common = crate::config::CommonFlags {
            config: None,
            data: Some(dir.join("data")),
            keys: Some(dir.join("keys")),
            ..Default::default()
        };
        let mut config = Config::load(&common, &crate::config::ServeFlags::default(), []).unwrap();
        config.listen = vec!["127.0.0.1:0".parse().unwrap()];
        (config.udp, config.udp_port) = (udp, udp_port);
        config
    }

    #[tokio::test]
    async fn datagrams_have_the_port_of_https_on_every_address_once() {
        let free = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let listening = [free, "127.0.0.2:1".parse().unwrap(), "127.0.0.1:2".parse().unwrap()];
        let sockets = bind(&config(true, None), &listening).unwrap();
        let bound: Vec<String> = sockets.iter().map(|socket| socket.local().to_string()).collect();
        assert_eq!(bound, [format!("127.0.0.1:{}", free.port()), format!("127.0.0.2:{}", free.port())]);
        assert!(bind(&config(false, None), &listening).unwrap().is_empty(), "switched off");
    }

    #[tokio::test]
    async fn a_port_that_is_taken_fails_with_a_remedy_unless_the_system_chose_it() {
        let taken = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap();
        let sockets = bind(&config(true, None), &[address]).unwrap();
        assert_ne!(sockets[0].local().port(), address.port());
        for configured in [config(true, Some(address.port())), Config { listen: vec![address], ..config(true, None) }] {
            let error = bind(&configured, &[address]).unwrap_err();
            let told = format!("{error}. {}", error.remedy());
            assert!(told.contains("UDP") && told.contains("ss -lunp") && told.contains("[voice] udp_port"), "{told}");
        }
    }
}
