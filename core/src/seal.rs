//! Sealing values at rest: what lies in a database, in a chunk or in a backup says nothing without the key ring.
//!
//! A *ring key* lives outside the data folder and wraps *data keys*, which lie beside the data: one for each workspace and
//! one for each room. A data key seals values. So rotating the ring re-wraps a few keys and touches no data, and deleting
//! the wrapped key of a room shreds everything that was sealed with it, in every copy.
//!
//! The cipher is XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03): its 24-byte nonces may be drawn at random without counting.
//! The caller draws them. Subkeys come from HKDF-SHA256 (RFC 5869), look-up hashes from HMAC-SHA256 (RFC 2104).
//!
//! A sealed value is an envelope:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version, 1 |
//! | 4 | id of the key, big-endian |
//! | 24 | nonce |
//! | n | ciphertext, as long as the value |
//! | 16 | tag |
//!
//! Version and key id are authenticated, and so is the [`Place`] where the value lies: moved to another row or column, or
//! swapped with another, it does not open.

use core::fmt;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::Sha256;
use zeroize::{Zeroize, Zeroizing};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 24;
/// How much longer an envelope is than the value in it, in bytes.
pub const OVERHEAD_BYTES: usize = HEADER_BYTES + TAG_BYTES;

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 1 + 4 + NONCE_BYTES;
const TAG_BYTES: usize = 16;

/// 24 bytes that are never used twice with one key; drawn at random they need no counting.
pub type Nonce = [u8; NONCE_BYTES];

/// Which key an envelope was sealed with, among those of one ring, workspace or room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(pub u32);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A secret of 32 bytes. Wiped from memory when dropped; never printed.
#[derive(Clone)]
pub struct Key(Zeroizing<[u8; KEY_BYTES]>);

impl Key {
    /// Takes 32 bytes that were drawn at random or unwrapped, and wipes the caller's copy.
    pub fn take(bytes: &mut [u8; KEY_BYTES]) -> Self {
        let key = Self(Zeroizing::new(*bytes));
        bytes.zeroize();
        key
    }

    /// The secret bytes, for writing them into a key ring.
    pub fn expose(&self) -> &[u8; KEY_BYTES] {
        &self.0
    }

    /// A key for one purpose (HKDF-SHA256 without salt, `purpose` as info): knowing it says nothing about this key or about
    /// the keys for other purposes.
    #[must_use]
    pub fn subkey(&self, purpose: &str) -> Self {
        let mut out = Zeroizing::new([0; KEY_BYTES]);
        // Fails only for more than 255 hashes of output; this is one.
        let expanded = Hkdf::<Sha256>::new(None, self.expose()).expand(purpose.as_bytes(), &mut *out);
        debug_assert!(expanded.is_ok(), "32 bytes are one block of HKDF-SHA256");
        Self(out)
    }

    /// A hash that only a holder of this key can compute: for finding a sealed value by its content, or telling whether two
    /// are equal. `what` keeps hashes of different columns apart.
    pub fn lookup(&self, what: &str, value: &[u8]) -> [u8; 32] {
        // RFC 2104 fills a short key up to the hash's block with zeros; a whole block leaves nothing that could fail.
        let mut block = Zeroizing::new([0; 64]);
        block[..KEY_BYTES].copy_from_slice(self.expose());
        let mut mac = <Hmac<Sha256> as KeyInit>::new(&(*block).into());
        mac.update(&length(what.len()));
        mac.update(what.as_bytes());
        mac.update(value);
        mac.finalize().into_bytes().into()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(secret)")
    }
}

/// Where a sealed value lies. Values of other places do not open here.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The table, or the kind of object.
    pub table: &'a str,
    /// The column.
    pub column: &'a str,
    /// The parts of the row's primary key, in order.
    pub row: &'a [&'a [u8]],
}

impl Place<'_> {
    /// The associated data: version, key id, then each part behind its length, so that no two places have the same bytes.
    fn bytes(&self, key: KeyId) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        out.push(VERSION);
        out.extend(key.0.to_be_bytes());
        for part in [self.table.as_bytes(), self.column.as_bytes()].iter().chain(self.row) {
            out.extend(length(part.len()));
            out.extend(*part);
        }
        out
    }
}

fn length(bytes: usize) -> [u8; 8] {
    u64::try_from(bytes).unwrap_or(u64::MAX).to_be_bytes()
}

/// Why an envelope does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// Too short to be an envelope.
    #[error("a sealed value has at least {OVERHEAD_BYTES} bytes; found {0}")]
    Cut(usize),
    /// Made by another version of this code.
    #[error("expected a sealed value of version {VERSION}, found version {0}")]
    Version(u8),
    /// Sealed with a key of another id.
    #[error("expected a value sealed with key {expected}, found key {found}")]
    OtherKey {
        /// The key at hand.
        expected: KeyId,
        /// The key named in the envelope.
        found: KeyId,
    },
    /// The tag does not agree: wrong key, damaged, or moved from another place.
    #[error("a sealed value does not open: it is damaged, lies in the wrong place or was sealed with another key")]
    Forged,
}

/// A key with its id: seals and opens values.
#[derive(Clone)]
pub struct SealingKey {
    id: KeyId,
    cipher: XChaCha20Poly1305,
}

impl SealingKey {
    /// A sealing key of `key`, which must be used for nothing else: see [`Key::subkey`].
    pub fn new(id: KeyId, key: &Key) -> Self {
        Self { id, cipher: XChaCha20Poly1305::new(&(*key.0).into()) }
    }

    /// The id that its envelopes carry.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// Seals `value` for `place`. `nonce` must never have been used with this key.
    pub fn seal(&self, nonce: &Nonce, place: &Place<'_>, value: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(value.len() + OVERHEAD_BYTES);
        out.push(VERSION);
        out.extend(self.id.0.to_be_bytes());
        out.extend(nonce);
        let sealed = self
            .cipher
            .encrypt(&XNonce::from(*nonce), Payload { msg: value, aad: &place.bytes(self.id) })
            .unwrap_or_default();
        // Fails only beyond 256 GiB. An empty rest is too short to open, so even then nothing is sealed wrongly.
        debug_assert!(sealed.len() >= TAG_BYTES, "values are far below the cipher's limit");
        out.extend(sealed);
        out
    }

    /// Opens what [`SealingKey::seal`] made for the same place.
    pub fn open(&self, place: &Place<'_>, envelope: &[u8]) -> Result<Vec<u8>, OpenError> {
        let found = key_id(envelope)?;
        if found != self.id {
            return Err(OpenError::OtherKey { expected: self.id, found });
        }
        let (header, sealed) = envelope.split_at(HEADER_BYTES);
        let mut nonce = [0; NONCE_BYTES];
        nonce.copy_from_slice(&header[5..]);
        self.cipher
            .decrypt(&XNonce::from(nonce), Payload { msg: sealed, aad: &place.bytes(self.id) })
            .map_err(|_| OpenError::Forged)
    }

    /// Seals a data key.
    pub fn wrap(&self, nonce: &Nonce, place: &Place<'_>, key: &Key) -> Vec<u8> {
        self.seal(nonce, place, key.expose())
    }

    /// Opens a data key.
    pub fn unwrap(&self, place: &Place<'_>, envelope: &[u8]) -> Result<Key, OpenError> {
        let bytes = Zeroizing::new(self.open(place, envelope)?);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        if bytes.len() != KEY_BYTES {
            return Err(OpenError::Forged);
        }
        key.copy_from_slice(&bytes);
        Ok(Key(key))
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({}, secret)", self.id)
    }
}

/// The id of the key that an envelope was sealed with.
pub fn key_id(envelope: &[u8]) -> Result<KeyId, OpenError> {
    if envelope.len() < OVERHEAD_BYTES {
        return Err(OpenError::Cut(envelope.len()));
    }
    if envelope[0] != VERSION {
        return Err(OpenError::Version(envelope[0]));
    }
    Ok(KeyId(u32::from_be_bytes([envelope[1], envelope[2], envelope[3], envelope[4]])))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key(byte: u8) -> Key {
        Key::take(&mut [byte; KEY_BYTES])
    }

    fn place<'a>(row: &'a [&'a [u8]]) -> Place<'a> {
        Place { table: "events", column: "body", row }
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    proptest! {
        #[test]
        fn values_survive(secret: [u8; 32], id: u32, nonce: [u8; 24], row: Vec<u8>, value: Vec<u8>) {
            let mut secret = secret;
            let key = SealingKey::new(KeyId(id), &Key::take(&mut secret));
            let envelope = key.seal(&nonce, &place(&[&row]), &value);
            prop_assert_eq!(envelope.len(), value.len() + OVERHEAD_BYTES);
            prop_assert_eq!(key_id(&envelope), Ok(KeyId(id)));
            prop_assert_eq!(key.open(&place(&[&row]), &envelope), Ok(value));
        }

        #[test]
        fn a_changed_bit_is_noticed(value in prop::collection::vec(any::<u8>(), 0..60), at: prop::sample::Index, bit in 0..8_u8) {
            let key = SealingKey::new(KeyId(3), &key(9));
            let mut envelope = key.seal(&[1; 24], &place(&[b"row"]), &value);
            let at = at.index(envelope.len());
            envelope[at] ^= 1 << bit;
            prop_assert!(key.open(&place(&[b"row"]), &envelope).is_err());
        }

        #[test]
        fn a_cut_or_longer_envelope_is_noticed(value in prop::collection::vec(any::<u8>(), 0..60), cut: prop::sample::Index) {
            let key = SealingKey::new(KeyId(3), &key(9));
            let mut envelope = key.seal(&[1; 24], &place(&[b"row"]), &value);
            prop_assert!(key.open(&place(&[b"row"]), &envelope[..cut.index(envelope.len())]).is_err());
            envelope.push(0);
            prop_assert!(key.open(&place(&[b"row"]), &envelope).is_err());
        }

        #[test]
        fn any_bytes_open_or_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(SealingKey::new(KeyId(3), &key(9)).open(&place(&[]), &bytes).is_err());
        }

        #[test]
        fn places_have_distinct_bytes(a in places(), b in places()) {
            let bytes = |(table, column, row): &(String, String, Vec<Vec<u8>>)| {
                let row: Vec<&[u8]> = row.iter().map(Vec::as_slice).collect();
                Place { table, column, row: &row }.bytes(KeyId(1))
            };
            prop_assert_eq!(a == b, bytes(&a) == bytes(&b));
        }
    }

    /// Few letters and short parts, so that different splits of the same bytes are likely.
    fn places() -> impl Strategy<Value = (String, String, Vec<Vec<u8>>)> {
        ("[ab]{0,3}", "[ab]{0,3}", prop::collection::vec(prop::collection::vec(97..99_u8, 0..3), 0..3))
    }

    #[test]
    fn another_place_or_key_does_not_open() {
        let seal = SealingKey::new(KeyId(1), &key(1));
        let envelope = seal.seal(&[7; 24], &place(&[b"room", b"1"]), b"hello");
        assert_eq!(seal.open(&place(&[b"room", b"2"]), &envelope), Err(OpenError::Forged));
        assert_eq!(
            seal.open(&Place { table: "events", column: "name", row: &[b"room", b"1"] }, &envelope),
            Err(OpenError::Forged)
        );
        assert_eq!(
            SealingKey::new(KeyId(1), &key(2)).open(&place(&[b"room", b"1"]), &envelope),
            Err(OpenError::Forged)
        );
        assert_eq!(
            SealingKey::new(KeyId(2), &key(1)).open(&place(&[b"room", b"1"]), &envelope),
            Err(OpenError::OtherKey { expected: KeyId(2), found: KeyId(1) })
        );
        let mut newer = envelope;
        newer[0] = 2;
        assert_eq!(seal.open(&place(&[b"room", b"1"]), &newer), Err(OpenError::Version(2)));
    }

    #[test]
    fn data_keys_survive_wrapping() {
        let ring = SealingKey::new(KeyId(1), &key(1));
        let wrapped = ring.wrap(&[3; 24], &place(&[b"room"]), &key(5));
        assert_eq!(ring.unwrap(&place(&[b"room"]), &wrapped).unwrap().expose(), key(5).expose());
        assert!(ring.unwrap(&place(&[b"moor"]), &wrapped).is_err());
        let short = ring.seal(&[3; 24], &place(&[b"room"]), b"not 32 bytes");
        assert_eq!(ring.unwrap(&place(&[b"room"]), &short).unwrap_err(), OpenError::Forged);
    }

    #[test]
    fn subkeys_and_lookups_keep_purposes_apart() {
        let key = key(1);
        assert_ne!(key.subkey("a").expose(), key.subkey("b").expose());
        assert_ne!(key.subkey("a").expose(), key.expose());
        assert_ne!(key.lookup("login", b"x"), key.lookup("name", b"x"));
        assert_ne!(key.lookup("a", b"bc"), key.lookup("ab", b"c"));
        assert_ne!(key.lookup("a", b"b"), key.subkey("x").lookup("a", b"b"));
    }

    #[test]
    fn secrets_are_not_printed() {
        assert_eq!(
            format!("{:?} {:?}", key(0xab), SealingKey::new(KeyId(4), &key(0xab))),
            "Key(secret) SealingKey(4, secret)"
        );
    }

    #[test]
    fn taking_a_key_wipes_the_callers_copy() {
        let mut bytes = [7; KEY_BYTES];
        let _ = Key::take(&mut bytes);
        assert_eq!(bytes, [0; KEY_BYTES]);
    }

    /// Existing data must stay readable: these bytes never change. They were computed with another implementation too.
    #[test]
    fn the_format_is_pinned() {
        let root = key(0x42);
        let seal = SealingKey::new(KeyId(7), &root.subkey("holler/seal/1"));
        insta::assert_snapshot!(hex(&seal.seal(&[0x24; 24], &place(&[b"room", b"seq"]), b"over and out")), @"010000000724242424242424242424242424242424242424242424242471c0025f2f24df32ea6f26723b6c856896b4a2519e7d6941ba287627");
        insta::assert_snapshot!(hex(root.subkey("holler/seal/1").expose()), @"f79ee05a003c8592681ae45fc12b09e8bdcb35dc0947b3ff97b0d5c9e1ad5dd7");
        insta::assert_snapshot!(hex(&root.lookup("login", b"ada")), @"90f9228b6a961c6b56be4458e4a1c24e048349716893ce234ec6752477132412");
    }
}
