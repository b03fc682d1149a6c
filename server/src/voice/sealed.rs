//! Sealed UDP: the keys of a session, where its client is, and how often it may send.
//!
//! A client is where its newest genuine packet came from, once it has proved it: the first address is taken as it is, another one is
//! challenged, and gets voice only when the answer came from there. Whoever copies packets to another address so gains nothing but the challenge,
//! which is shorter than the packet that brought it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holler_core::units::Mono;
use holler_core::wire::limits::{DATAGRAMS_AT_ONCE_MAX, DATAGRAMS_PER_S_MAX};
use holler_core::wire::sealed::{CipherError, OpenError, Opener, SealedBy, Sealer};
use subtle::ConstantTimeEq as _;

use super::session::SessionId;
use super::{Draw, Socket};

/// How often a new address is challenged at most.
const CHALLENGE_EVERY: Duration = Duration::from_millis(333);

/// The sealed side of a session.
pub(super) struct Sealed {
    sealer: Sealer,
    opener: Opener,
    place: Mutex<Place>,
}

/// Where the client is.
#[derive(Default)]
struct Place {
    at: Option<Address>,
    /// The highest counter that was taken: what is older says nothing of where the client is.
    highest: u32,
    /// Where it may have gone.
    candidate: Option<Candidate>,
    challenged_at: Option<Mono>,
    /// When the allowance is full again.
    full_at: Mono,
}

#[derive(Clone)]
struct Address {
    remote: SocketAddr,
    socket: Arc<Socket>,
}

struct Candidate {
    address: Address,
    challenge: [u8; 8],
}

impl Sealed {
    pub(super) fn new(session: SessionId, secret: &[u8; 32]) -> Result<Self, CipherError> {
        Ok(Self {
            sealer: Sealer::new(session, secret, SealedBy::Server)?,
            opener: Opener::new(session, secret, SealedBy::Client)?,
            place: Mutex::default(),
        })
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seals a datagram and sends it to where the client is; `packet` is used again. Gives whether the kernel took it.
    pub(super) fn send(&self, counter: u32, inner: &[u8], packet: &mut Vec<u8>) -> bool {
        packet.clear();
        if self.sealer.seal(counter, inner, packet).is_err() {
            return false;
        }
        let place = self.place();
        let Some(Address { remote, socket }) = &place.at else { return false };
        socket.send(*remote, packet)
    }

    /// The counter and the inner bytes of a packet.
    pub(super) fn open<'a>(&self, packet: &'a mut [u8]) -> Result<(u32, &'a [u8]), OpenError> {
        self.opener.open(packet)
    }

    /// Whether the client may send one more: so many a second for long, so many at once. Asked of genuine packets only, so that
    /// nobody else can use its allowance up.
    pub(super) fn allows(&self, now: Mono) -> bool {
        let mut place = self.place();
        let each = Duration::from_micros(1_000_000 / u64::from(DATAGRAMS_PER_S_MAX));
        let full_at = place.full_at.max(now) + each;
        if full_at.since(now) > each * DATAGRAMS_AT_ONCE_MAX {
            return false;
        }
        place.full_at = full_at;
        true
    }

    /// A genuine packet with a counter that was not used before came from there. `true`: the address is new, and is to be challenged.
    pub(super) fn came(&self, now: Mono, counter: u32, from: SocketAddr, socket: &Arc<Socket>, draw: &Draw) -> bool {
        let mut place = self.place();
        if counter <= place.highest {
            return false;
        }
        place.highest = counter;
        let address = Address { remote: from, socket: Arc::clone(socket) };
        let Some(at) = &place.at else {
            place.at = Some(address);
            return false;
        };
        if at.is(from, socket) {
            place.candidate = None;
            return false;
        }
        if place.challenged_at.is_some_and(|at| now.since(at) < CHALLENGE_EVERY) {
            return false;
        }
        if place.candidate.as_ref().is_none_or(|candidate| !candidate.address.is(from, socket)) {
            let mut challenge = [0; 8];
            // Without random bytes the client stays where it was.
            if !draw.fill(&mut challenge) {
                return false;
            }
            place.candidate = Some(Candidate { address, challenge });
        }
        place.challenged_at = Some(now);
        true
    }

    /// What the new address is to say again.
    pub(super) fn challenge(&self) -> Option<[u8; 8]> {
        Some(self.place().candidate.as_ref()?.challenge)
    }

    /// Seals a challenge and sends it to the new address.
    pub(super) fn send_challenge(&self, counter: u32, inner: &[u8], packet: &mut Vec<u8>) {
        packet.clear();
        if self.sealer.seal(counter, inner, packet).is_err() {
            return;
        }
        if let Some(Candidate { address: Address { remote, socket }, .. }) = &self.place().candidate {
            socket.send(*remote, packet);
        }
    }

    /// The answer to a challenge came from there. `true`: from now on the client is there.
    pub(super) fn answered(&self, response: [u8; 8], from: SocketAddr, socket: &Arc<Socket>) -> bool {
        let mut place = self.place();
        let proved = place
            .candidate
            .take_if(|candidate| candidate.address.is(from, socket) && candidate.challenge.ct_eq(&response).into());
        let Some(Candidate { address, .. }) = proved else { return false };
        place.at = Some(address);
        true
    }
}

impl Address {
    fn is(&self, remote: SocketAddr, socket: &Arc<Socket>) -> bool {
        self.remote == remote && Arc::ptr_eq(&self.socket, socket)
    }
}
