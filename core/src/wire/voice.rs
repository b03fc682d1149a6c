//! The binary voice frame: the same on every path (socket, datagram, node link).
//!
//! | offset | bytes | field |
//! |---|---|---|
//! | 0 | 1 | kind: 1 live, 2 repair |
//! | 1 | 1 | flags: zero; a receiver refuses others |
//! | 2 | 2 | age: time since the frame's first sample was captured, in units of 100 µs, saturating at 6.5535 s |
//! | 4 | 2 | frame number, from 1 |
//! | 6 | 8 | burst tag: the first 8 bytes of the burst's identifier |
//! | 14 | 4 | floor token: term (zero in a repair) |
//! | 18 | 4 | floor token: counter (zero in a repair) |
//! | 22 | 1 to 1,307 | the sealed Opus frame |
//!
//! Numbers are big-endian. On the socket one binary message holds one frame. The sender states the age when it hands the
//! frame to its network; the home adds half of the sender's round trip, and the time for which it held the frame.

use core::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::limits::{FRAME_BYTES_MAX, FRAMES_PER_BURST_MAX};
use crate::units::{BurstTag, FloorToken, FrameNo};

/// Bytes before the payload.
pub const HEADER_BYTES: usize = 22;

/// How a frame travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoiceKind {
    /// Sent while the sender has the floor, to be heard at once.
    Live,
    /// Sent afterwards by the burst's owner, to fill what was lost.
    Repair,
}

/// The age of a frame: time since its first sample was captured, in units of 100 µs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct FrameAge(pub u16);

impl FrameAge {
    /// The age as a duration.
    pub fn duration(self) -> Duration {
        Duration::from_micros(u64::from(self.0) * 100)
    }
}

impl From<Duration> for FrameAge {
    /// Rounds down; saturates at 6.5535 s.
    fn from(age: Duration) -> Self {
        Self(u16::try_from(age.as_micros() / 100).unwrap_or(u16::MAX))
    }
}

/// One voice frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoiceFrame {
    /// Live or repair.
    pub kind: VoiceKind,
    /// Time since the first sample was captured.
    pub age: FrameAge,
    /// Its number in the burst.
    pub number: FrameNo,
    /// Which burst.
    pub tag: BurstTag,
    /// The floor token under which it is sent; zero in a repair.
    pub token: FloorToken,
    /// The sealed Opus frame.
    pub payload: Bytes,
}

/// Why bytes are not a voice frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VoiceError {
    /// Shorter than the header and one byte.
    #[error("a voice frame has at least {} bytes; found {found}", HEADER_BYTES + 1)]
    Short {
        /// Bytes found.
        found: usize,
    },
    /// Longer than the largest frame.
    #[error("a voice frame has at most {} bytes; found {found}", HEADER_BYTES + FRAME_BYTES_MAX)]
    Long {
        /// Bytes found.
        found: usize,
    },
    /// Neither live nor repair.
    #[error("the kind of a voice frame is 1 or 2; found {0}")]
    Kind(u8),
    /// Flags that this version does not know.
    #[error("the flags of a voice frame are zero; found {0:#04x}")]
    Flags(u8),
    /// A number outside 1 to 15,000.
    #[error("a frame's number is 1 to {FRAMES_PER_BURST_MAX}; found {0}")]
    Number(u16),
    /// A repair that carries a token.
    #[error("a repair frame carries no floor token; found {}.{}", .0.term, .0.counter)]
    TokenInRepair(FloorToken),
}

impl VoiceFrame {
    /// The bytes to send.
    pub fn encode(&self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES + self.payload.len());
        out.put_u8(match self.kind {
            VoiceKind::Live => 1,
            VoiceKind::Repair => 2,
        });
        out.put_u8(0);
        out.put_u16(self.age.0);
        out.put_u16(self.number.0);
        out.put_slice(&self.tag.0);
        out.put_u32(self.token.term);
        out.put_u32(self.token.counter);
        out.put_slice(&self.payload);
        out.freeze()
    }

    /// Reads a frame; its payload shares `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Self, VoiceError> {
        let found = bytes.len();
        if found <= HEADER_BYTES {
            return Err(VoiceError::Short { found });
        }
        if found > HEADER_BYTES + FRAME_BYTES_MAX {
            return Err(VoiceError::Long { found });
        }
        let kind = match bytes[0] {
            1 => VoiceKind::Live,
            2 => VoiceKind::Repair,
            other => return Err(VoiceError::Kind(other)),
        };
        if bytes[1] != 0 {
            return Err(VoiceError::Flags(bytes[1]));
        }
        let number = u16::from_be_bytes([bytes[4], bytes[5]]);
        if !(1..=FRAMES_PER_BURST_MAX).contains(&number) {
            return Err(VoiceError::Number(number));
        }
        let mut tag = [0; 8];
        tag.copy_from_slice(&bytes[6..14]);
        let token = FloorToken {
            term: u32::from_be_bytes([bytes[14], bytes[15], bytes[16], bytes[17]]),
            counter: u32::from_be_bytes([bytes[18], bytes[19], bytes[20], bytes[21]]),
        };
        if kind == VoiceKind::Repair && token != FloorToken::default() {
            return Err(VoiceError::TokenInRepair(token));
        }
        Ok(Self {
            kind,
            age: FrameAge(u16::from_be_bytes([bytes[2], bytes[3]])),
            number: FrameNo(number),
            tag: BurstTag(tag),
            token,
            payload: bytes.slice(HEADER_BYTES..),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    prop_compose! {
        fn frames()(
            live: bool, age: u16, number in 1..=FRAMES_PER_BURST_MAX, tag: [u8; 8], term: u32, counter: u32,
            payload in prop::collection::vec(any::<u8>(), 1..=FRAME_BYTES_MAX),
        ) -> VoiceFrame {
            VoiceFrame {
                kind: if live { VoiceKind::Live } else { VoiceKind::Repair },
                age: FrameAge(age),
                number: FrameNo(number),
                tag: BurstTag(tag),
                token: if live { FloorToken { term, counter } } else { FloorToken::default() },
                payload: payload.into(),
            }
        }
    }

    proptest! {
        #[test]
        fn frames_survive_the_wire(frame in frames()) {
            prop_assert_eq!(VoiceFrame::decode(&frame.encode()), Ok(frame));
        }

        #[test]
        fn any_bytes_are_a_frame_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..1_400)) {
            let bytes = Bytes::from(bytes);
            if let Ok(frame) = VoiceFrame::decode(&bytes) {
                prop_assert_eq!(frame.encode(), bytes);
            }
        }
    }

    #[test]
    fn the_layout_is_pinned() {
        let frame = VoiceFrame {
            kind: VoiceKind::Live,
            age: FrameAge(0x0203),
            number: FrameNo(0x0405),
            tag: BurstTag([6, 7, 8, 9, 10, 11, 12, 13]),
            token: FloorToken { term: 0x0e0f_1011, counter: 0x1213_1415 },
            payload: Bytes::from_static(&[0x16, 0x17]),
        };
        let expected: Vec<u8> = [1, 0].into_iter().chain(2..=0x17).collect();
        assert_eq!(frame.encode(), expected);
    }
}
