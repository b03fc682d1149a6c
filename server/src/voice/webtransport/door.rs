//! From connections to sessions: which page may come in, and whose datagrams those of a connection are.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use socket2::SockRef;

use super::{Carried, Carrier, Listener, ListenerError, SECRET_BYTES, Sessions, Shared};
use crate::app::App;
use crate::voice::{Buffers, Carry, Session, Socket, Voice};

/// Has QUIC read the sockets; what is not its own goes to `voice`.
pub(in crate::voice) fn listen(voice: &Arc<Voice>, sockets: &[Arc<Socket>]) -> Result<Arc<Listener>, ListenerError> {
    let shared = sockets.iter().map(|socket| {
        let io = socket.io().ok_or(std::io::ErrorKind::Unsupported)?;
        let quic = SockRef::from(io).try_clone()?;
        socket.knows_destinations()?;
        // Weakly: what is served here belongs to it.
        let (voice, socket) = (Arc::downgrade(voice), Arc::clone(socket));
        let buffers = Mutex::new(Buffers::default());
        Shared::open(quic.into(), move |way, packet| {
            if let Some(voice) = voice.upgrade() {
                let mut buffers = buffers.lock().unwrap_or_else(PoisonError::into_inner);
                voice.received(&socket, way, packet, &mut buffers);
            }
        })
    });
    let shared = shared.collect::<Result<Vec<_>, std::io::Error>>()?;
    let clock = voice.clock;
    Ok(Arc::new(Listener::new(shared, move || Duration::from_millis(clock.unix().0))?))
}

/// The sessions of a server.
pub(in crate::voice) struct Door(pub(in crate::voice) App);

impl Sessions for Door {
    /// As for sockets ([`crate::gateway`]): our own pages only. They come from the port of HTTPS, which need not be that of UDP.
    fn allows(&self, origin: Option<&str>, authority: &str) -> bool {
        let Some(origin) = origin else { return true };
        let ports = self.0.config().listen.iter().map(|address| address.port()).collect::<Vec<_>>();
        is_of_host(origin, authority, &ports) || self.0.is_allowed_origin(origin)
    }

    fn prove(&self, session: [u8; 8], secret: &[u8; SECRET_BYTES], carrier: &Arc<Carrier>) -> Option<Box<dyn Carried>> {
        let session = self.0.voice.entitled(session, secret)?;
        session.carry(Box::new(Open(Arc::clone(carrier))));
        if session.has_ended() {
            // Between the look and now: it must not keep what it was given.
            session.end();
            return None;
        }
        Some(Box::new(Held { session, voice: Arc::clone(&self.0.voice), buffers: Buffers::default() }))
    }
}

/// Whether a page of `origin` came from the host that `authority` names, by one of `ports` or the one that `authority` names.
fn is_of_host(origin: &str, authority: &str, ports: &[u16]) -> bool {
    let Some(page) = origin.strip_prefix("https://") else { return false };
    let (page_host, page_port) = split(page);
    let (host, port) = split(authority);
    !host.is_empty() && page_host.eq_ignore_ascii_case(host) && (page_port == port || ports.contains(&page_port))
}

/// Host and port; without a port that of HTTPS.
fn split(authority: &str) -> (&str, u16) {
    let port = authority.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    port.unwrap_or((authority, 443))
}

/// What a session sends by, as long as it does: the connection ends when it no longer needs it.
#[derive(Debug)]
struct Open(Arc<Carrier>);

impl Carry for Open {
    fn send(&self, counter: u32, inner: &[u8]) -> bool {
        self.0.send(counter, inner)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What a connection's datagrams go to.
struct Held {
    session: Arc<Session>,
    voice: Arc<Voice>,
    buffers: Buffers,
}

impl Carried for Held {
    fn received(&mut self, counter: u32, inner: Bytes) {
        self.voice.carried(&self.session, counter, &inner, &mut self.buffers);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_host_may_come_in_and_no_others() {
        let (port, https) = ("radio.example:8443", [443, 8443]);
        for origin in ["https://radio.example:8443", "https://radio.example", "https://RADIO.example:443"] {
            assert!(is_of_host(origin, port, &https), "{origin}");
        }
        assert!(is_of_host("https://[::1]:9000", "[::1]:9000", &[]));
        for origin in [
            "http://radio.example:8443",
            "https://radio.example:8444",
            "https://example:8443",
            "https://evil.example:8443",
            "null",
            "https://radio.example.evil.example:8443",
            "https://",
            "",
        ] {
            assert!(!is_of_host(origin, port, &https), "{origin}");
        }
        assert!(!is_of_host("https://", "", &https));
    }
}
