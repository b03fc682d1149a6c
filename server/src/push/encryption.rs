//! Message encryption for Web Push (RFC 8291) in the coding `aes128gcm` (RFC 8188), one record a message.
//!
//! Only the browser can read what it is sent: the push service in between sees a length, which padding makes the same for
//! nearly all notifications.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{ECDH_P256, PrivateKey, UnparsedPublicKey, agree};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};

/// The record size that is stated (RFC 8188 section 2.1): the smallest that push services must take (RFC 8030 section 7.2).
const RECORD_BYTES: u32 = 4_096;
/// Plain texts are filled up to this length (RFC 8291 section 4, RFC 8188 section 4.8): notifications are shorter.
const PADDED_BYTES: usize = 1_024;
/// Longest plain text: with header, delimiter and tag it fits into one record of a body of 4,096 bytes.
pub const PLAIN_BYTES_MAX: usize = 3_993;

/// The receiver's part of a subscription.
#[derive(Clone)]
pub struct Receiver {
    /// The public key, an uncompressed point of P-256.
    pub public: [u8; 65],
    /// The authentication secret.
    pub auth: [u8; 16],
}

/// It could not be encrypted: the receiver's key is no point of the curve, or the text is too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the subscription's key is no point of P-256, or the text is longer than {PLAIN_BYTES_MAX} bytes")]
pub struct Unencryptable;

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// The body of a push message.
pub fn encrypt(receiver: &Receiver, text: &[u8], salt: [u8; 16]) -> Result<Vec<u8>, Unencryptable> {
    let sender = PrivateKey::generate(&ECDH_P256).map_err(|_| Unencryptable)?;
    encrypt_with(&sender, receiver, text, salt, PADDED_BYTES)
}

/// The same from a given key of the sender, which must be fresh, and filled up to `padded` bytes.
fn encrypt_with(
    sender: &PrivateKey,
    receiver: &Receiver,
    text: &[u8],
    salt: [u8; 16],
    padded: usize,
) -> Result<Vec<u8>, Unencryptable> {
    if text.len() > PLAIN_BYTES_MAX {
        return Err(Unencryptable);
    }
    let public = sender.compute_public_key().map_err(|_| Unencryptable)?;
    let public: &[u8] = public.as_ref();
    let (key, nonce) = keys(sender, &receiver.public, receiver, public, &receiver.public, &salt)?;
    // RFC 8188 section 2: the last record ends with 0x02, and then zeros.
    let mut record = Vec::with_capacity(text.len().max(padded) + 1 + 16);
    record.extend_from_slice(text);
    record.push(2);
    record.resize(record.len().max(padded), 0);
    key.seal_in_place_append_tag(nonce, Aad::empty(), &mut record).map_err(|_| Unencryptable)?;
    // RFC 8188 section 2.1: salt, record size, and as the key's identifier the sender's public key (RFC 8291 section 4).
    let mut body = Vec::with_capacity(21 + public.len() + record.len());
    body.extend_from_slice(&salt);
    body.extend_from_slice(&RECORD_BYTES.to_be_bytes());
    body.push(65);
    body.extend_from_slice(public);
    body.append(&mut record);
    Ok(body)
}

/// Key and nonce of the only record (RFC 8291 section 3.4, RFC 8188 sections 2.2 and 2.3).
fn keys(
    private: &PrivateKey,
    peer: &[u8],
    receiver: &Receiver,
    sender_public: &[u8],
    receiver_public: &[u8],
    salt: &[u8; 16],
) -> Result<(LessSafeKey, Nonce), Unencryptable> {
    let peer = UnparsedPublicKey::new(&ECDH_P256, peer);
    let prk_key =
        agree(private, peer, Unencryptable, |secret| Ok(Salt::new(HKDF_SHA256, &receiver.auth).extract(secret)))?;
    let ikm = expand::<32>(&prk_key, &[b"WebPush: info\0", receiver_public, sender_public])?;
    let prk = Salt::new(HKDF_SHA256, salt).extract(&ikm);
    let key = expand::<16>(&prk, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce = expand::<12>(&prk, &[b"Content-Encoding: nonce\0"])?;
    let key = UnboundKey::new(&AES_128_GCM, &key).map_err(|_| Unencryptable)?;
    Ok((LessSafeKey::new(key), Nonce::assume_unique_for_key(nonce)))
}

fn expand<const N: usize>(prk: &Prk, info: &[&[u8]]) -> Result<[u8; N], Unencryptable> {
    let mut bytes = [0; N];
    prk.expand(info, Length(N)).and_then(|okm| okm.fill(&mut bytes)).map_err(|_| Unencryptable)?;
    Ok(bytes)
}

/// What a browser does: for tests.
#[cfg(test)]
pub(super) fn decrypt(private: &PrivateKey, auth: [u8; 16], body: &[u8]) -> Option<Vec<u8>> {
    let (salt, rest) = body.split_first_chunk::<16>()?;
    let (size, rest) = rest.split_first_chunk::<4>()?;
    let (length, rest) = rest.split_first()?;
    let (sender, record) = rest.split_at_checked(usize::from(*length))?;
    if record.len() > u32::from_be_bytes(*size) as usize {
        return None;
    }
    let public = private.compute_public_key().ok()?;
    let receiver = Receiver { public: public.as_ref().try_into().ok()?, auth };
    let (key, nonce) = keys(private, sender, &receiver, sender, &receiver.public, salt).ok()?;
    let mut record = record.to_vec();
    let text = key.open_in_place(nonce, Aad::empty(), &mut record).ok()?;
    let end = text.iter().rposition(|byte| *byte != 0)?;
    (text[end] == 2).then(|| text[..end].to_vec())
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

    use super::*;

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        BASE64.decode(text).unwrap().try_into().unwrap()
    }

    /// RFC 8291 section 5 and appendix A.
    #[test]
    fn the_example_of_the_standard_comes_out() {
        let sender = bytes::<32>("yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw");
        let sender = PrivateKey::from_private_key(&ECDH_P256, &sender).unwrap();
        let receiver = Receiver {
            public: bytes("BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4"),
            auth: bytes("BTBZMqHH6r4Tts7J_aSIgg"),
        };
        let text = b"When I grow up, I want to be a watermelon";
        let body = encrypt_with(&sender, &receiver, text, bytes("DGv6ra1nlYgDCS1FRnbzlw"), 0).unwrap();
        let expected = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6Tlz\
                        AC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN";
        assert_eq!(BASE64.encode(&body), expected);
    }

    #[test]
    fn the_receiver_reads_it_and_its_length_says_nothing() {
        let private = PrivateKey::generate(&ECDH_P256).unwrap();
        let public = private.compute_public_key().unwrap();
        let receiver = Receiver { public: public.as_ref().try_into().unwrap(), auth: [7; 16] };
        let (short, long) = (b"a".as_slice(), &[b'b'; 900][..]);
        let bodies = [short, long].map(|text| encrypt(&receiver, text, [1; 16]).unwrap());
        assert_eq!(bodies[0].len(), bodies[1].len());
        assert_eq!(decrypt(&private, [7; 16], &bodies[0]).unwrap(), short);
        assert_eq!(decrypt(&private, [7; 16], &bodies[1]).unwrap(), long);
        assert_eq!(decrypt(&private, [8; 16], &bodies[0]), None);
        let most = encrypt(&receiver, &[b'c'; PLAIN_BYTES_MAX], [1; 16]).unwrap();
        assert_eq!(most.len(), 4_096);
        assert_eq!(encrypt(&receiver, &[b'c'; PLAIN_BYTES_MAX + 1], [1; 16]), Err(Unencryptable));
        let nonsense = Receiver { public: [4; 65], auth: [7; 16] };
        assert_eq!(encrypt(&nonsense, short, [1; 16]), Err(Unencryptable));
    }
}
