//! Voice as datagrams, beside the socket: what both ends of a voice path say to each other, without what carries it.
//!
//! The socket asks for a path (`voice.path`) and gives it up with itself. On the path each end numbers its datagrams from 1 with
//! a counter that never repeats; what carries the path (sealed UDP or WebTransport, `docs/PROTOCOL.md`) brings the counter and
//! these inner bytes. The first byte is the kind:
//!
//! | kind | what follows |
//! |---|---|
//! | 1 probe | nonce (4 bytes), report (16) |
//! | 2 answer to a probe | nonce (4), report (16) |
//! | 3 challenge of a new address | 8 bytes |
//! | 4 answer to a challenge | the same 8 bytes |
//! | 5 voice | how many copies (1 byte, 0 to 3), copies, the newest frame, laid out as in [`super::voice`] |
//! | 6 report | report (16) |
//!
//! A copy repeats an earlier frame of the same burst, sent under the same token: how many frames before the newest (1 byte, from
//! 1), its age (2 bytes, as in a voice frame), the length of its payload (2 bytes), its payload. Copies stand in the order of their
//! distance, the nearest first. That is the redundancy of RFC 2198 with the header that all of them share said once.
//!
//! A report says what came: the highest counter (4 bytes), how many datagrams came in all (4), and of which of the 64 counters
//! below the highest one came (8; the lowest bit is the counter just below).
//!
//! Numbers are big-endian. A reader ignores kinds that it does not know.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::{Buf, BufMut, Bytes};
use serde::{Deserialize, Serialize};

use super::limits::{DATAGRAM_COPIES_MAX, FRAME_BYTES_MAX};
use super::voice::{FrameAge, HEADER_BYTES, VoiceError, VoiceFrame, VoiceKind};
use crate::units::FrameNo;

/// What carries a voice path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PathKind {
    /// UDP packets sealed with a key that the socket brought.
    SealedUdp,
    /// Datagrams of a WebTransport session (RFC 9221, draft-ietf-webtrans-http3).
    Webtransport,
}

/// How to reach a voice path. Its host is the socket's.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct PathOffer {
    /// What carries it.
    pub kind: PathKind,
    /// The UDP port.
    pub port: u16,
    /// Names the session: 8 bytes as 16 hexadecimal digits.
    pub session: String,
    /// 32 bytes in base64url without padding: keys are derived from it (sealed UDP), or it is shown once (WebTransport).
    pub secret: String,
    /// The SHA-256 of each certificate that the server may show, in base64url without padding. WebTransport only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<String>,
}

impl PathOffer {
    /// The bytes of session and secret; `None`: they are not written as they should be.
    pub fn opened(&self) -> Option<([u8; 8], [u8; 32])> {
        let session = (self.session.len() == 16).then(|| u64::from_str_radix(&self.session, 16).ok())??;
        let secret = URL_SAFE_NO_PAD.decode(&self.secret).ok()?;
        Some((session.to_be_bytes(), secret.try_into().ok()?))
    }
}

impl core::fmt::Debug for PathOffer {
    /// Without the secret.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PathOffer").field("kind", &self.kind).field("port", &self.port).finish_non_exhaustive()
    }
}

/// What came from the other end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The highest counter; 0: nothing came.
    pub highest: u32,
    /// How many datagrams came, each counted once.
    pub came: u32,
    /// Which of the 64 counters below the highest came; the lowest bit is the counter just below.
    pub map: u64,
}

impl Report {
    fn put(self, out: &mut Vec<u8>) {
        out.put_u32(self.highest);
        out.put_u32(self.came);
        out.put_u64(self.map);
    }

    /// Whether the datagram with this counter came; `None`: it is too old to be told.
    pub fn has(&self, counter: u32) -> Option<bool> {
        match self.highest.checked_sub(counter) {
            None => Some(false),
            Some(0) => Some(true),
            Some(below @ 1..=64) => Some(self.map >> (below - 1) & 1 == 1),
            Some(_) => None,
        }
    }
}

/// One datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Datagram {
    /// Answer this, so that both ends know the path carries.
    Probe {
        /// Echoed.
        nonce: u32,
        /// What came.
        report: Report,
    },
    /// The answer to a probe.
    Answer {
        /// From the probe.
        nonce: u32,
        /// What came.
        report: Report,
    },
    /// Say this again from where you are.
    Challenge([u8; 8]),
    /// The answer to a challenge.
    Response([u8; 8]),
    /// Frames: the newest, and copies of earlier ones.
    Voice {
        /// The newest.
        newest: VoiceFrame,
        /// Earlier ones, the nearest first.
        copies: Vec<VoiceFrame>,
    },
    /// What came.
    Report(Report),
}

/// Why bytes are not a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    /// Not as long as its kind demands.
    #[error("a datagram of kind {kind} ends early or late: {found} bytes")]
    Length {
        /// The kind.
        kind: u8,
        /// Bytes found.
        found: usize,
    },
    /// A kind that this version does not know.
    #[error("the kind of a datagram is 1 to 6; found {0}")]
    Kind(u8),
    /// More copies than are allowed, or copies that are not in order or of no frame.
    #[error("a datagram has at most {DATAGRAM_COPIES_MAX} copies of earlier frames, in order")]
    Copies,
    /// Its frame is none.
    #[error(transparent)]
    Frame(#[from] VoiceError),
    /// It repeats a counter, or one so old that this can't be told.
    #[error("counter {0} was used before, or is too old")]
    Replayed(u32),
}

const PROBE: u8 = 1;
const ANSWER: u8 = 2;
const CHALLENGE: u8 = 3;
const RESPONSE: u8 = 4;
const VOICE: u8 = 5;
const REPORT: u8 = 6;

const REPORT_BYTES: usize = 16;
/// Bytes of a copy before its payload.
pub const COPY_HEADER_BYTES: usize = 5;
/// Bytes of a datagram with voice before its first copy.
pub const VOICE_HEADER_BYTES: usize = 2;

/// Appends a datagram with voice. `newest` is a whole voice frame; a copy is its distance, its age and its payload.
pub fn put_voice<'a>(out: &mut Vec<u8>, newest: &[u8], copies: impl Iterator<Item = (u8, FrameAge, &'a [u8])>) {
    let start = out.len();
    out.put_slice(&[VOICE, 0]);
    for (count, (distance, age, payload)) in (1_u8..).zip(copies) {
        out[start + 1] = count;
        out.put_u8(distance);
        out.put_u16(age.0);
        out.put_u16(u16::try_from(payload.len()).unwrap_or(u16::MAX));
        out.put_slice(payload);
    }
    out.put_slice(newest);
}

impl Datagram {
    /// Appends the bytes to send.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::Probe { nonce, report } => {
                out.put_u8(PROBE);
                out.put_u32(*nonce);
                report.put(out);
            }
            Self::Answer { nonce, report } => {
                out.put_u8(ANSWER);
                out.put_u32(*nonce);
                report.put(out);
            }
            Self::Challenge(bytes) => {
                out.put_u8(CHALLENGE);
                out.put_slice(bytes);
            }
            Self::Response(bytes) => {
                out.put_u8(RESPONSE);
                out.put_slice(bytes);
            }
            Self::Voice { newest, copies } => {
                let distance = |copy: &VoiceFrame| u8::try_from(newest.number.0 - copy.number.0).unwrap_or(u8::MAX);
                let copies = copies.iter().map(|copy| (distance(copy), copy.age, &*copy.payload));
                put_voice(out, &newest.encode(), copies);
            }
            Self::Report(report) => {
                out.put_u8(REPORT);
                report.put(out);
            }
        }
    }

    /// Reads the inner bytes of a datagram; payloads share `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Self, DatagramError> {
        let kind = *bytes.first().ok_or(DatagramError::Length { kind: 0, found: 0 })?;
        let found = bytes.len();
        let sized = |expected: usize| {
            if found == 1 + expected { Ok(bytes.slice(1..)) } else { Err(DatagramError::Length { kind, found }) }
        };
        match kind {
            PROBE => {
                let mut rest = sized(4 + REPORT_BYTES)?;
                Ok(Self::Probe { nonce: rest.get_u32(), report: report(rest) })
            }
            ANSWER => {
                let mut rest = sized(4 + REPORT_BYTES)?;
                Ok(Self::Answer { nonce: rest.get_u32(), report: report(rest) })
            }
            CHALLENGE => Ok(Self::Challenge(sized(8)?.get_u64().to_be_bytes())),
            RESPONSE => Ok(Self::Response(sized(8)?.get_u64().to_be_bytes())),
            VOICE => voice(bytes),
            REPORT => Ok(Self::Report(report(sized(REPORT_BYTES)?))),
            other => Err(DatagramError::Kind(other)),
        }
    }
}

/// The caller checked the length.
fn report(mut bytes: Bytes) -> Report {
    Report { highest: bytes.get_u32(), came: bytes.get_u32(), map: bytes.get_u64() }
}

fn voice(bytes: &Bytes) -> Result<Datagram, DatagramError> {
    let cut = DatagramError::Length { kind: VOICE, found: bytes.len() };
    let mut rest = bytes.slice(1..);
    if !rest.has_remaining() {
        return Err(cut);
    }
    let count = usize::from(rest.get_u8());
    if count > DATAGRAM_COPIES_MAX {
        return Err(DatagramError::Copies);
    }
    let mut told: Vec<(u8, FrameAge, Bytes)> = Vec::with_capacity(count);
    for _ in 0..count {
        if rest.remaining() < COPY_HEADER_BYTES {
            return Err(cut);
        }
        let (distance, age, length) = (rest.get_u8(), FrameAge(rest.get_u16()), usize::from(rest.get_u16()));
        let after = told.last().map_or(0, |(before, ..)| *before);
        if distance <= after || !(1..=FRAME_BYTES_MAX).contains(&length) {
            return Err(DatagramError::Copies);
        }
        if rest.remaining() <= length + HEADER_BYTES {
            return Err(cut);
        }
        told.push((distance, age, rest.split_to(length)));
    }
    let newest = VoiceFrame::decode(&rest)?;
    let copies = told.into_iter().map(|(distance, age, payload)| {
        let number = newest.number.0.checked_sub(u16::from(distance)).filter(|number| *number > 0);
        let number = FrameNo(number.ok_or(DatagramError::Copies)?);
        Ok(VoiceFrame { age, number, payload, ..newest })
    });
    let copies = copies.collect::<Result<Vec<_>, DatagramError>>()?;
    if newest.kind == VoiceKind::Repair && !copies.is_empty() {
        return Err(DatagramError::Copies);
    }
    Ok(Datagram::Voice { newest, copies })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::units::{BurstTag, FloorToken};

    fn payload() -> impl Strategy<Value = Bytes> {
        prop::collection::vec(any::<u8>(), 1..200).prop_map(Bytes::from)
    }

    prop_compose! {
        fn reports()(highest: u32, came: u32, map: u64) -> Report {
            Report { highest, came, map }
        }
    }

    prop_compose! {
        fn voices()(
            number in 600..=15_000_u16, age: u16, tag: [u8; 8], term: u32, counter: u32, payload in payload(),
            copies in prop::collection::vec((1..80_u8, any::<u16>(), payload()), 0..=DATAGRAM_COPIES_MAX),
        ) -> Datagram {
            let newest = VoiceFrame {
                kind: VoiceKind::Live, age: FrameAge(age), number: FrameNo(number), tag: BurstTag(tag),
                token: FloorToken { term, counter }, payload,
            };
            let mut before = number;
            let copies = copies.into_iter().map(|(step, age, payload)| {
                before -= u16::from(step);
                VoiceFrame { age: FrameAge(age), number: FrameNo(before), payload, ..newest }
            });
            Datagram::Voice { copies: copies.collect(), newest: newest.clone() }
        }
    }

    fn datagrams() -> impl Strategy<Value = Datagram> {
        prop_oneof![
            (any::<u32>(), reports()).prop_map(|(nonce, report)| Datagram::Probe { nonce, report }),
            (any::<u32>(), reports()).prop_map(|(nonce, report)| Datagram::Answer { nonce, report }),
            any::<[u8; 8]>().prop_map(Datagram::Challenge),
            any::<[u8; 8]>().prop_map(Datagram::Response),
            reports().prop_map(Datagram::Report),
            voices(),
        ]
    }

    proptest! {
        #[test]
        fn datagrams_survive_the_wire(datagram in datagrams()) {
            let mut bytes = Vec::new();
            datagram.put(&mut bytes);
            prop_assert_eq!(Datagram::decode(&bytes.into()), Ok(datagram));
        }

        #[test]
        fn any_bytes_are_a_datagram_or_an_error(kind in 0..8_u8, rest in prop::collection::vec(any::<u8>(), 0..300)) {
            let bytes: Bytes = [vec![kind], rest].concat().into();
            if let Ok(datagram) = Datagram::decode(&bytes) {
                let mut again = Vec::new();
                datagram.put(&mut again);
                prop_assert_eq!(Bytes::from(again), bytes);
            }
        }
    }

    #[test]
    fn the_layout_is_pinned() {
        let newest = VoiceFrame {
            kind: VoiceKind::Live,
            age: FrameAge(0x0203),
            number: FrameNo(0x0405),
            tag: BurstTag([6; 8]),
            token: FloorToken { term: 7, counter: 8 },
            payload: Bytes::from_static(&[9, 10]),
        };
        let copy =
            VoiceFrame { age: FrameAge(0x0c0d), number: FrameNo(0x0404), payload: Bytes::from_static(&[14]), ..newest };
        let (mut bytes, frame) = (Vec::new(), newest.encode());
        Datagram::Voice { copies: vec![copy], newest }.put(&mut bytes);
        assert_eq!(bytes[..8], [5, 1, 1, 0x0c, 0x0d, 0, 1, 14]);
        assert_eq!(bytes[8..], frame);
        bytes.clear();
        Datagram::Probe { nonce: 0x0102_0304, report: Report { highest: 5, came: 6, map: 7 } }.put(&mut bytes);
        assert_eq!(bytes, [1, 1, 2, 3, 4, 0, 0, 0, 5, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 7]);
    }

    #[test]
    fn an_offer_is_opened_as_it_is_written_and_not_otherwise() {
        let offer = |session: &str, secret: &str| PathOffer {
            kind: PathKind::SealedUdp,
            port: 1,
            session: session.into(),
            secret: secret.into(),
            certificates: vec![],
        };
        let (session, secret) = ("5d0c1b7a90e2f346", "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJA");
        let (id, key) = offer(session, secret).opened().expect("as in the protocol's example");
        assert_eq!((id, key[0]), ([0x5d, 0x0c, 0x1b, 0x7a, 0x90, 0xe2, 0xf3, 0x46], 0xab));
        for (session, secret) in
            [("5d0c1b7a90e2f34", secret), ("5d0c1b7a90e2f34g", secret), (session, &secret[1..]), (session, "+")]
        {
            assert_eq!(offer(session, secret).opened(), None, "{session} {secret}");
        }
    }

    #[test]
    fn a_report_tells_what_came() {
        let report = Report { highest: 100, came: 3, map: 0b101 };
        let told: Vec<_> = [101, 100, 99, 98, 97, 36, 35].iter().map(|counter| report.has(*counter)).collect();
        let expected = [Some(false), Some(true), Some(true), Some(false), Some(true), Some(false), None];
        assert_eq!(told, expected);
    }
}
