//! The bounded store of a burst's frames.

use crate::sorted;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::model::{BurstDigest, FrameRange};
use crate::units::FrameNo;
use crate::wire::limits::{BURST_BYTES_MAX, FRAME_BYTES_MAX, FRAMES_PER_BURST_MAX};

/// What became of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It was not there before.
    New,
    /// The same bytes were there.
    Duplicate,
    /// Other bytes were there, and stay.
    Conflict,
}

/// Why a frame can't be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutOfBounds {
    /// A number outside 1 to 15,000.
    #[error("a frame's number is 1 to {FRAMES_PER_BURST_MAX}; found {0}")]
    Number(FrameNo),
    /// A length outside 1 to 1,307 bytes.
    #[error("a frame has 1 to {FRAME_BYTES_MAX} bytes; found {0}")]
    Length(usize),
    /// The burst would have more than 5 MiB.
    #[error("a burst has at most {BURST_BYTES_MAX} bytes; it has {has}, and the frame {found}")]
    Full {
        /// Bytes of the frames so far.
        has: usize,
        /// Bytes of the frame.
        found: usize,
    },
}

/// Frames of one burst, by number, at most [`FRAMES_PER_BURST_MAX`] and [`BURST_BYTES_MAX`] bytes.
///
/// Payloads are kept as they are handed in: hand in [`Bytes`] that don't keep a larger buffer alive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Frames {
    frames: sorted::Map<FrameNo, Bytes>,
    /// Those that storage does not have yet.
    unsaved: sorted::Set<FrameNo>,
    bytes: usize,
}

impl Frames {
    /// No frames.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in a frame; the first bytes under a number stay.
    pub fn insert(&mut self, number: FrameNo, payload: Bytes) -> Result<Inserted, OutOfBounds> {
        if !(1..=FRAMES_PER_BURST_MAX).contains(&number.0) {
            return Err(OutOfBounds::Number(number));
        }
        let found = payload.len();
        if !(1..=FRAME_BYTES_MAX).contains(&found) {
            return Err(OutOfBounds::Length(found));
        }
        if let Some(present) = self.frames.get(&number) {
            return Ok(if *present == payload { Inserted::Duplicate } else { Inserted::Conflict });
        }
        if self.bytes + found > BURST_BYTES_MAX {
            return Err(OutOfBounds::Full { has: self.bytes, found });
        }
        self.bytes += found;
        self.frames.insert(number, payload);
        self.unsaved.insert(number);
        Ok(Inserted::New)
    }

    /// One frame.
    pub fn frame(&self, number: FrameNo) -> Option<&Bytes> {
        self.frames.get(&number)
    }

    /// The frames `from` to `to`, as far as they are there, in order.
    pub fn range(&self, range: FrameRange) -> impl DoubleEndedIterator<Item = (FrameNo, &Bytes)> {
        // An upside-down range is empty; sorted::Map would panic on it.
        let to = range.to.0.checked_add(1).map_or(FrameNo(u16::MAX), FrameNo).max(range.from);
        self.frames.range(range.from..to).map(|(number, payload)| (*number, payload))
    }

    /// Every frame, in order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (FrameNo, &Bytes)> {
        self.frames.iter().map(|(number, payload)| (*number, payload))
    }

    /// How many frames are there.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether no frame is there.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Bytes of all frames that are there.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The highest number that is there.
    pub fn highest(&self) -> Option<FrameNo> {
        self.frames.last_key_value().map(|(number, _)| *number)
    }

    /// What is there.
    pub fn present(&self) -> Vec<FrameRange> {
        let mut ranges: Vec<FrameRange> = Vec::new();
        for number in self.frames.keys() {
            match ranges.last_mut() {
                Some(range) if range.to.0 + 1 == number.0 => range.to = *number,
                Some(_) | None => ranges.push(FrameRange { from: *number, to: *number }),
            }
        }
        ranges
    }

    /// What is missing of the frames 1 to `last`: the first `ranges_max` ranges.
    pub fn missing(&self, last: FrameNo, ranges_max: usize) -> Vec<FrameRange> {
        let mut ranges = Vec::new();
        let mut expected = FrameNo::FIRST;
        let last = last.min(FrameNo(FRAMES_PER_BURST_MAX));
        let beyond = FrameNo(last.0 + 1);
        let whole = FrameRange { from: FrameNo::FIRST, to: last };
        for number in self.range(whole).map(|(number, _)| number).chain([beyond]) {
            if ranges.len() == ranges_max {
                break;
            }
            if expected < number {
                ranges.push(FrameRange { from: expected, to: FrameNo(number.0 - 1) });
            }
            expected = FrameNo(number.0 + 1);
        }
        ranges
    }

    /// Whether the frames 1 to `last` are all there.
    pub fn is_complete(&self, last: FrameNo) -> bool {
        let expected = usize::from(last.0);
        match self.highest() {
            // Asked at every frame of a repair, so not by counting.
            Some(highest) if highest <= last => self.frames.len() == expected,
            _ => self.range(FrameRange { from: FrameNo::FIRST, to: last }).count() == expected,
        }
    }

    /// The digest over the frames 1 to `last`, see [`BurstDigest`]; `None` while one is missing.
    pub fn digest(&self, last: FrameNo) -> Option<BurstDigest> {
        if !self.is_complete(last) {
            return None;
        }
        let mut hash = Sha256::new();
        for (number, payload) in self.range(FrameRange { from: FrameNo::FIRST, to: last }) {
            // FRAME_BYTES_MAX fits in 16 bits.
            let length = u16::try_from(payload.len()).unwrap_or(u16::MAX);
            hash.update(number.0.to_be_bytes());
            hash.update(length.to_be_bytes());
            hash.update(payload);
        }
        Some(BurstDigest(hash.finalize().into()))
    }

    /// The newest frames up to the live edge, in order: at most `frames_max`, none missing between them.
    pub fn late_entry(&self, frames_max: usize) -> Vec<(FrameNo, Bytes)> {
        let mut newest: Vec<(FrameNo, Bytes)> = Vec::new();
        for (number, payload) in self.frames.iter().rev().take(frames_max) {
            if newest.last().is_some_and(|(above, _)| number.0 + 1 != above.0) {
                break;
            }
            newest.push((*number, payload.clone()));
        }
        newest.reverse();
        newest
    }

    /// The frames that came since this was last asked, in order, to be stored as one chunk.
    pub fn take_unsaved(&mut self) -> Vec<(FrameNo, Bytes)> {
        let unsaved = core::mem::take(&mut self.unsaved);
        unsaved.into_iter().filter_map(|number| Some((number, self.frames.get(&number)?.clone()))).collect()
    }

    /// Storing these failed: the next [`Self::take_unsaved`] gives them again.
    pub fn not_saved(&mut self, numbers: impl IntoIterator<Item = FrameNo>) {
        self.unsaved.extend(numbers);
    }

    /// Every frame that is there came from storage.
    pub fn mark_saved(&mut self) {
        self.unsaved.clear();
    }
}
