//! The body of `GET /api/v1/rooms/{room}/bursts/{burst}/frames`: frames one after the other, each as its number (u16), its
//! length in bytes (u16), both big-endian, and its bytes. Media type `application/vnd.holler.frames`.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::limits::{FRAME_BYTES_MAX, FRAMES_PER_BURST_MAX};
use crate::units::FrameNo;

/// The media type of a body of frames.
pub const MEDIA_TYPE: &str = "application/vnd.holler.frames";

/// Why bytes are not a body of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FramesError {
    /// The body ends within a frame.
    #[error("the body ends within frame {0}")]
    Cut(u16),
    /// A number outside 1 to 15,000, or not above the one before it.
    #[error("frame numbers rise from 1 to {FRAMES_PER_BURST_MAX}; found {found} after {before}")]
    Number {
        /// The number before it; 0 at the beginning.
        before: u16,
        /// The number found.
        found: u16,
    },
    /// A length outside 1 to 1,307.
    #[error("frame {number} has 1 to {FRAME_BYTES_MAX} bytes; found {found}")]
    Length {
        /// The frame.
        number: u16,
        /// The length found.
        found: usize,
    },
}

/// Appends one frame to a body. The payload must have 1 to [`FRAME_BYTES_MAX`] bytes, as [`decode`] demands.
pub fn put(out: &mut BytesMut, number: FrameNo, payload: &[u8]) {
    out.put_u16(number.0);
    out.put_u16(u16::try_from(payload.len()).unwrap_or(u16::MAX));
    out.put_slice(payload);
}

/// Reads a body; payloads share `bytes`.
pub fn decode(mut bytes: Bytes) -> Result<Vec<(FrameNo, Bytes)>, FramesError> {
    let mut frames = Vec::new();
    let mut before = 0;
    while !bytes.is_empty() {
        if bytes.len() < 4 {
            return Err(FramesError::Cut(before + 1));
        }
        let number = bytes.get_u16();
        if number <= before || number > FRAMES_PER_BURST_MAX {
            return Err(FramesError::Number { before, found: number });
        }
        let length = usize::from(bytes.get_u16());
        if !(1..=FRAME_BYTES_MAX).contains(&length) {
            return Err(FramesError::Length { number, found: length });
        }
        if bytes.len() < length {
            return Err(FramesError::Cut(number));
        }
        frames.push((FrameNo(number), bytes.split_to(length)));
        before = number;
    }
    Ok(frames)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bodies_survive(
            frames in prop::collection::btree_map(1..=FRAMES_PER_BURST_MAX, prop::collection::vec(any::<u8>(), 1..200), 0..20)
        ) {
            let mut body = BytesMut::new();
            for (number, payload) in &frames {
                put(&mut body, FrameNo(*number), payload);
            }
            let expected: Vec<_> = frames.into_iter().map(|(n, p)| (FrameNo(n), Bytes::from(p))).collect();
            prop_assert_eq!(decode(body.freeze()), Ok(expected));
        }

        #[test]
        fn any_bytes_are_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(frames) = decode(Bytes::from(bytes.clone())) {
                let mut body = BytesMut::new();
                for (number, payload) in &frames {
                    put(&mut body, *number, payload);
                }
                prop_assert_eq!(body.to_vec(), bytes);
            }
        }
    }
}
