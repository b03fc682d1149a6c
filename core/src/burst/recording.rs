//! The sender's side.

use bytes::Bytes;

use super::frames::{Frames, OutOfBounds};
use crate::model::{BurstDigest, FrameRange};
use crate::units::FrameNo;
use crate::wire::limits::{BURST_BYTES_MAX, FRAME_BYTES_MAX, FRAMES_PER_BURST_MAX};

/// A burst that is, or was, recorded here.
#[derive(Clone, Debug, Default)]
pub struct Recording {
    frames: Frames,
    /// How many frames were handed out to be sent live.
    sent: u16,
    end: Option<(FrameNo, BurstDigest)>,
}

/// Why a frame can't be recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushRefused {
    /// Key-up was before.
    #[error("the burst ended with frame {0}; begin another")]
    Ended(FrameNo),
    /// The burst is as long as a burst can be: end it and begin another.
    #[error("a burst has at most {FRAMES_PER_BURST_MAX} frames and {BURST_BYTES_MAX} bytes; end it and begin another")]
    Full,
    /// The encoder gave a frame of another size.
    #[error("a frame has 1 to {FRAME_BYTES_MAX} bytes; found {0}")]
    Length(usize),
}

/// Why stored frames are not a recording.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// A frame is missing: recordings have no holes.
    #[error("expected frame {expected}, found {found}")]
    Hole {
        /// The number that would follow.
        expected: FrameNo,
        /// The number that was stored.
        found: FrameNo,
    },
    /// A frame was refused.
    #[error(transparent)]
    Refused(#[from] PushRefused),
}

impl Recording {
    /// Key-down.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up what the local store has, in order, after a restart. Key-up is [`Self::end`], now if it was not before.
    pub fn restore(frames: impl IntoIterator<Item = (FrameNo, Bytes)>) -> Result<Self, RestoreError> {
        let mut recording = Self::new();
        for (found, payload) in frames {
            let expected = FrameNo(recording.count() + 1);
            if found != expected {
                return Err(RestoreError::Hole { expected, found });
            }
            recording.push(payload)?;
        }
        recording.frames.mark_saved();
        Ok(recording)
    }

    /// Appends a frame, and gives its number.
    pub fn push(&mut self, payload: Bytes) -> Result<FrameNo, PushRefused> {
        if let Some((last, _)) = self.end {
            return Err(PushRefused::Ended(last));
        }
        let number = FrameNo(self.count() + 1);
        match self.frames.insert(number, payload) {
            Ok(_) => Ok(number),
            Err(OutOfBounds::Length(found)) => Err(PushRefused::Length(found)),
            Err(OutOfBounds::Number(_) | OutOfBounds::Full { .. }) => Err(PushRefused::Full),
        }
    }

    /// Key-up: what `burst.end` states. `None` where not one frame was recorded: there is nothing to send then.
    pub fn end(&mut self) -> Option<(FrameNo, BurstDigest)> {
        if self.end.is_none() {
            let last = self.frames.highest()?;
            self.end = Some((last, self.frames.digest(last)?));
        }
        self.end
    }

    /// Whether key-up was.
    pub fn is_ended(&self) -> bool {
        self.end.is_some()
    }

    /// The next frame to be sent live, once.
    pub fn take_unsent(&mut self) -> Option<(FrameNo, Bytes)> {
        let number = FrameNo(self.sent + 1);
        let payload = self.frames.frame(number)?.clone();
        self.sent = number.0;
        Some((number, payload))
    }

    /// Gives up sending live what was recorded so far, since it would come too late: the repair will bring it. Says how many
    /// frames that concerns.
    pub fn skip_unsent(&mut self) -> u16 {
        let skipped = self.count() - self.sent;
        self.sent = self.count();
        skipped
    }

    /// The recorded frames among those that the server named as missing, in order.
    pub fn asked_for(&self, missing: &[FrameRange]) -> impl Iterator<Item = (FrameNo, &Bytes)> {
        missing.iter().flat_map(|range| self.frames.range(*range))
    }

    /// What is recorded.
    pub fn frames(&self) -> &Frames {
        &self.frames
    }

    /// The frames recorded since this was last asked, for the local store.
    pub fn take_unsaved(&mut self) -> Vec<(FrameNo, Bytes)> {
        self.frames.take_unsaved()
    }

    fn count(&self) -> u16 {
        self.frames.highest().map_or(0, |highest| highest.0)
    }
}
