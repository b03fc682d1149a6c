//! Sealed UDP: the keys of a session, where its client is, and how often it may send.
//!
//! A client is where its newest genuine packet came from, once it has proved it: each address is challenged, the first one too, and gets voice only
//! when the answer came from there. What a client says before it has proved an address is answered to where it came from, and is no proof that
//! datagrams get there ([`holler_core::path::Path::placed`]): else somebody with an account could have voice sent to whomever they like. No
//! answer is longer than the packet that brought it, and a challenge, which comes beside it at most three times a second, is not either: below the
//! three times as much that RFC 9000 section 8.1 allows.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use holler_core::units::Mono;
use holler_core::wire::limits::{DATAGRAMS_AT_ONCE_MAX, DATAGRAMS_PER_S_MAX};
use holler_core::wire::sealed::{CipherError, HEADER_BYTES, OpenError, Opener, SealedBy, Sealer, TAG_BYTES};
use subtle::ConstantTimeEq as _;

use super::session::SessionId;
use super::{Draw, Socket};

/// How often a new address is challenged at most.
const CHALLENGE_EVERY: Duration = Duration::from_millis(333);
/// Bytes of a packet that challenges; a shorter one is not answered with it. Whatever a client says is at least as long.
const CHALLENGE_BYTES: usize = HEADER_BYTES + 1 + 8 + TAG_BYTES;

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
    /// Whether it has proved that.
    proved: bool,
    /// The highest counter that was taken: what is older says nothing of where the client is.
    highest: u32,
    /// Where it may have gone.
    candidate: Option<Candidate>,
    challenged_at: Option<Mono>,
    /// When the allowance is full again.
    full_at: Mono,
}

/// A client's address, and the socket of ours by which it is reached.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) remote: SocketAddr,
    /// Which of our addresses its packets come to, where that is known.
    pub(super) local: Option<IpAddr>,
    pub(super) socket: Arc<Socket>,
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
        place.at.as_ref().is_some_and(|at| at.send(packet))
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

    /// A genuine packet of so many bytes, with a counter that was not used before, came from there. `true`: the address is not proved, and is to
    /// be challenged.
    pub(super) fn came(&self, now: Mono, (counter, length): (u32, usize), from: &Address, draw: &Draw) -> bool {
        let mut place = self.place();
        if counter <= place.highest {
            return false;
        }
        place.highest = counter;
        if !place.proved {
            place.at = Some(from.clone());
        } else if place.at.as_ref() == Some(from) {
            place.candidate = None;
            return false;
        }
        if length < CHALLENGE_BYTES || place.challenged_at.is_some_and(|at| now.since(at) < CHALLENGE_EVERY) {
            return false;
        }
        if place.candidate.as_ref().is_none_or(|candidate| candidate.address != *from) {
            let mut challenge = [0; 8];
            // Without random bytes the client stays where it was.
            if !draw.fill(&mut challenge) {
                return false;
            }
            place.candidate = Some(Candidate { address: from.clone(), challenge });
        }
        place.challenged_at = Some(now);
        true
    }

    /// What the new address is to say again, and whether the client has proved to be elsewhere.
    pub(super) fn challenge(&self) -> Option<([u8; 8], bool)> {
        let place = self.place();
        Some((place.candidate.as_ref()?.challenge, place.proved))
    }

    /// Seals a challenge and sends it to the new address.
    pub(super) fn send_challenge(&self, counter: u32, inner: &[u8], packet: &mut Vec<u8>) {
        packet.clear();
        if self.sealer.seal(counter, inner, packet).is_err() {
            return;
        }
        if let Some(Candidate { address, .. }) = &self.place().candidate {
            address.send(packet);
        }
    }

    /// The answer to a challenge came from there. `Some`: from now on the client is there; whether it had proved to be elsewhere.
    pub(super) fn answered(&self, response: [u8; 8], from: &Address) -> Option<bool> {
        let mut place = self.place();
        let proved = place
            .candidate
            .take_if(|candidate| candidate.address == *from && candidate.challenge.ct_eq(&response).into());
        place.at = Some(proved?.address);
        let has_moved = std::mem::replace(&mut place.proved, true);
        if !has_moved {
            // What the first address was challenged for says nothing of another.
            place.challenged_at = None;
        }
        Some(has_moved)
    }
}

impl Address {
    fn send(&self, packet: &[u8]) -> bool {
        self.socket.send(self.remote, self.local, packet)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        (self.remote, self.local) == (other.remote, other.local) && Arc::ptr_eq(&self.socket, &other.socket)
    }
}
