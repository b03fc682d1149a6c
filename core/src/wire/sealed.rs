//! Voice datagrams of native clients: UDP packets, sealed under a key that came over the socket.
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | 0x08: ours. QUIC's packets begin with 0x40 to 0x7f or 0xc0 to 0xff (RFC 9443), so both can use one port |
//! | 1 | 8 | the session, as in the offer |
//! | 9 | 4 | counter, from 1, big-endian; never repeated in a direction of a session |
//! | 13 | n + 16 | the inner bytes, sealed with AES-128-GCM (RFC 5116); the 13 bytes before are authenticated too |
//!
//! Both keys follow from the secret of the offer: HKDF with SHA-256 (RFC 5869), the session as salt, and `holler voice path 1 client` or
//! `holler voice path 1 server` as info, by the end that sends, give 16 bytes of key and 12 of initialisation vector. The nonce is that
//! vector with the counter combined into its last four bytes by exclusive or, as in QUIC (RFC 9001 section 5.3). Nothing is ever sealed twice
//! under one nonce: a session whose counters have run out says nothing more, and before that the client asks for another.
//!
//! What is in the inner bytes, and which counters are taken, is no concern of this module.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};

/// The first byte of every packet.
pub const FIRST_BYTE: u8 = 0x08;
/// Bytes before the sealed ones.
pub const HEADER_BYTES: usize = 13;
/// Bytes by which the seal is longer than what is in it.
pub const TAG_BYTES: usize = 16;
/// The shortest packet: one inner byte.
pub const PACKET_BYTES_MIN: usize = HEADER_BYTES + 1 + TAG_BYTES;

const KEY_BYTES: usize = 16;

/// Which end seals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SealedBy {
    /// The client.
    Client,
    /// The server.
    Server,
}

/// The cipher failed, which it does not for what this module hands it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("AES-128-GCM could not be used")]
pub struct CipherError;

/// Why a packet was not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is no packet of ours, or too short for one.
    #[error("a packet begins with {FIRST_BYTE:#04x} and has at least {PACKET_BYTES_MIN} bytes")]
    NotOurs,
    /// Nobody who knows the key has made it, or it was changed on the way.
    #[error("the seal does not fit")]
    Forged,
}

/// The session that a packet claims to belong to; `None`: it is no packet of ours.
pub fn session_of(packet: &[u8]) -> Option<[u8; 8]> {
    if packet.len() < PACKET_BYTES_MIN || packet.first() != Some(&FIRST_BYTE) {
        return None;
    }
    packet.get(1..9)?.try_into().ok()
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The key and the vector of one direction.
struct Direction {
    key: LessSafeKey,
    vector: [u8; NONCE_LEN],
}

impl Direction {
    fn new(session: [u8; 8], secret: &[u8; 32], sealed_by: SealedBy) -> Result<Self, CipherError> {
        let info: &[u8] = match sealed_by {
            SealedBy::Client => b"holler voice path 1 client",
            SealedBy::Server => b"holler voice path 1 server",
        };
        let mut bytes = zeroize::Zeroizing::new([0; KEY_BYTES + NONCE_LEN]);
        let prk = Salt::new(HKDF_SHA256, &session).extract(secret);
        prk.expand(&[info], Length(bytes.len())).and_then(|okm| okm.fill(&mut bytes[..])).map_err(|_| CipherError)?;
        let (key, iv) = bytes.split_at(KEY_BYTES);
        let key = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, key).map_err(|_| CipherError)?);
        let mut vector = [0; NONCE_LEN];
        vector.copy_from_slice(iv);
        Ok(Self { key, vector })
    }

    fn nonce(&self, counter: u32) -> Nonce {
        let mut nonce = self.vector;
        for (byte, of) in nonce.iter_mut().rev().zip(counter.to_be_bytes().iter().rev()) {
            *byte ^= of;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Seals what one end of a session sends.
pub struct Sealer {
    direction: Direction,
    session: [u8; 8],
}

impl Sealer {
    /// For the end `sealed_by`.
    pub fn new(session: [u8; 8], secret: &[u8; 32], sealed_by: SealedBy) -> Result<Self, CipherError> {
        Ok(Self { direction: Direction::new(session, secret, sealed_by)?, session })
    }

    /// Puts the packet with this counter and these inner bytes behind what is in `out`. On an error `out` is as it was.
    ///
    /// The caller must never give a counter twice.
    pub fn seal(&self, counter: u32, inner: &[u8], out: &mut Vec<u8>) -> Result<(), CipherError> {
        let begin = out.len();
        out.push(FIRST_BYTE);
        out.extend_from_slice(&self.session);
        out.extend_from_slice(&counter.to_be_bytes());
        out.extend_from_slice(inner);
        let (header, body) = out[begin..].split_at_mut(HEADER_BYTES);
        let tag =
            self.direction.key.seal_in_place_separate_tag(self.direction.nonce(counter), Aad::from(&*header), body);
        match tag {
            Ok(tag) => {
                out.extend_from_slice(tag.as_ref());
                Ok(())
            }
            Err(_) => {
                out.truncate(begin);
                Err(CipherError)
            }
        }
    }
}

/// Opens what the other end of a session sent.
pub struct Opener(Direction);

impl Opener {
    /// For what the end `sealed_by` sends.
    pub fn new(session: [u8; 8], secret: &[u8; 32], sealed_by: SealedBy) -> Result<Self, CipherError> {
        Direction::new(session, secret, sealed_by).map(Self)
    }

    /// The counter and the inner bytes of a packet, which is opened where it lies. Whether the counter came before is the caller's to look at.
    pub fn open<'a>(&self, packet: &'a mut [u8]) -> Result<(u32, &'a [u8]), OpenError> {
        if session_of(packet).is_none() {
            return Err(OpenError::NotOurs);
        }
        let (header, body) = packet.split_at_mut(HEADER_BYTES);
        let mut counter = [0; 4];
        counter.copy_from_slice(&header[9..]);
        let counter = u32::from_be_bytes(counter);
        match self.0.key.open_in_place(self.0.nonce(counter), Aad::from(&*header), body) {
            Ok(inner) => Ok((counter, inner)),
            Err(_) => Err(OpenError::Forged),
        }
    }
}

impl core::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Sealer")
    }
}

impl core::fmt::Debug for Opener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Opener")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SESSION: [u8; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
    const SECRET: [u8; 32] = [9; 32];

    fn ends(sealed_by: SealedBy) -> (Sealer, Opener) {
        (Sealer::new(SESSION, &SECRET, sealed_by).unwrap(), Opener::new(SESSION, &SECRET, sealed_by).unwrap())
    }

    fn sealed(counter: u32, inner: &[u8]) -> Vec<u8> {
        let mut packet = Vec::new();
        ends(SealedBy::Client).0.seal(counter, inner, &mut packet).unwrap();
        packet
    }

    /// Other implementations of the protocol can check themselves against it.
    #[test]
    fn the_bytes_are_pinned() {
        let hex: String = sealed(1, &[1, 0, 0, 0, 7]).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "080102030405060708000000017f6b271c1f18e8d2971233a415b2e2b635cac80e88");
        assert!(include_str!("../../../docs/PROTOCOL.md").contains(&hex), "the protocol's example");
    }

    #[test]
    fn a_direction_does_not_open_the_other_and_a_session_not_another() {
        let packet = sealed(7, b"inner");
        assert_eq!(ends(SealedBy::Client).1.open(&mut packet.clone()), Ok((7, &b"inner"[..])));
        assert_eq!(ends(SealedBy::Server).1.open(&mut packet.clone()), Err(OpenError::Forged));
        for (session, secret) in [([0; 8], SECRET), (SESSION, [8; 32])] {
            let other = Opener::new(session, &secret, SealedBy::Client).unwrap();
            assert_eq!(other.open(&mut packet.clone()), Err(OpenError::Forged));
        }
    }

    #[test]
    fn every_bit_and_every_byte_of_a_packet_counts() {
        let (_, opener) = ends(SealedBy::Client);
        let packet = sealed(0x0102_0304, b"inner");
        for bit in 0..packet.len() * 8 {
            let mut changed = packet.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(opener.open(&mut changed).is_err(), "bit {bit}");
        }
        for length in 0..packet.len() {
            assert!(opener.open(&mut packet[..length].to_vec()).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn what_is_behind_others_in_a_buffer_is_sealed_alone() {
        let (sealer, opener) = ends(SealedBy::Server);
        let mut buffer = b"before".to_vec();
        sealer.seal(3, b"inner", &mut buffer).unwrap();
        assert_eq!(&buffer[..6], b"before");
        assert_eq!(opener.open(&mut buffer[6..]), Ok((3, &b"inner"[..])));
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens(counter in 1_u32.., inner in prop::collection::vec(any::<u8>(), 1..1_171)) {
            let mut packet = sealed(counter, &inner);
            prop_assert_eq!(session_of(&packet), Some(SESSION));
            prop_assert_eq!(ends(SealedBy::Client).1.open(&mut packet), Ok((counter, &inner[..])));
        }

        #[test]
        fn any_bytes_are_judged_without_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _judged = ends(SealedBy::Client).1.open(&mut bytes);
        }
    }
}
