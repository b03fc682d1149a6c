//! The voice path of a connection: a UDP socket of its own, and the seal of what travels on it.
//!
//! The engine decides what is sent and what a datagram is worth ([`holler_core::path`]). Here datagrams are sealed and sent at once or not at
//! all, and what comes is opened. A change of the network gives the path a new socket under the same session: the server asks the new
//! address to prove itself, which the engine does.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use holler_core::engine::{Input, LinkNo};
use holler_core::wire::datagram::{PathKind, PathOffer};
use holler_core::wire::limits::DATAGRAM_BYTES_MAX;
use holler_core::wire::sealed::{Opener, SealedBy, Sealer};
use rustix::net::SendFlags;
use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

use crate::net::Events;

/// What this client can use.
pub(crate) const KINDS: &[PathKind] = &[PathKind::SealedUdp];

/// How long nothing is read after the socket failed: where no network is, every look fails at once.
const FAULT_PAUSE: Duration = Duration::from_millis(100);

/// An open path.
pub(crate) struct VoicePath {
    link: LinkNo,
    server: SocketAddr,
    sealer: Sealer,
    opener: Arc<Opener>,
    socket: Arc<UdpSocket>,
    packet: Vec<u8>,
    _reading: AbortOnDropHandle<()>,
}

impl VoicePath {
    /// Opens the path that was offered. `server` is where the socket leads.
    pub(crate) fn open<E>(events: &E, link: LinkNo, server: IpAddr, offer: &PathOffer) -> Result<Self, String>
    where
        E: Events + Clone,
    {
        if offer.kind != PathKind::SealedUdp {
            return Err("the server offered a path that this client did not ask for".to_owned());
        }
        let (session, secret) = offer.opened().ok_or("the server's offer of a path can't be read")?;
        let server = SocketAddr::new(server, offer.port);
        let cipher = |error: holler_core::wire::sealed::CipherError| error.to_string();
        let sealer = Sealer::new(session, &secret, SealedBy::Client).map_err(cipher)?;
        let opener = Arc::new(Opener::new(session, &secret, SealedBy::Server).map_err(cipher)?);
        let socket = Arc::new(connected(server).map_err(|error| error.to_string())?);
        let reading = reading(events.clone(), link, Arc::clone(&socket), Arc::clone(&opener));
        Ok(Self { link, server, sealer, opener, socket, packet: Vec::new(), _reading: reading })
    }

    /// The connection that it stands beside.
    pub(crate) fn link(&self) -> LinkNo {
        self.link
    }

    /// Sends a datagram unless the kernel has no room for it.
    pub(crate) fn send(&mut self, counter: u32, inner: &[u8]) {
        self.packet.clear();
        if self.sealer.seal(counter, inner, &mut self.packet).is_ok() {
            // What is lost here is lost like in the network: the path notices.
            let _ = rustix::net::send(&self.socket, &self.packet, SendFlags::empty());
        }
    }

    /// The network changed: the old socket may be bound to an address that is gone.
    pub(crate) fn rebind<E>(&mut self, events: &E)
    where
        E: Events + Clone,
    {
        // Without a new socket the path fails by itself, and the voice goes over the socket.
        if let Ok(socket) = connected(self.server) {
            self.socket = Arc::new(socket);
            self._reading = reading(events.clone(), self.link, Arc::clone(&self.socket), Arc::clone(&self.opener));
        }
    }
}

fn connected(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0))?;
    // Only what the server sends is given to us then.
    socket.connect(server)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

fn reading<E: Events>(events: E, link: LinkNo, socket: Arc<UdpSocket>, opener: Arc<Opener>) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        // One more, so that what is longer does not look as if it were not.
        let mut buffer = vec![0; DATAGRAM_BYTES_MAX + 1];
        loop {
            match socket.recv(&mut buffer).await {
                Ok(length) if length <= DATAGRAM_BYTES_MAX => {
                    // What does not open is nothing from the server.
                    if let Ok((counter, inner)) = opener.open(&mut buffer[..length]) {
                        let inner = Bytes::copy_from_slice(inner);
                        events.input(Input::Datagram { link, counter, inner }).await;
                    }
                }
                Ok(_) => {}
                // Nobody has the port, or there is no way there: so far.
                Err(_) => tokio::time::sleep(FAULT_PAUSE).await,
            }
        }
    }))
}
