//! What is known of a link's jitter.

use super::{TARGET_MAX, TARGET_MIN, TARGET_START};

/// Width of a bucket, µs: finer than a scheduler's unevenness would only add buckets.
const BUCKET_US: i64 = 2_000;
/// Buckets: up to [`TARGET_MAX`]; what lies above counts in the last.
const BUCKETS: usize = 500;
/// Weight of one frame.
const WEIGHT: u32 = 1 << 16;
/// Each frame takes 1/256 of every older weight: of a second ago (50 frames) 82 % counts, of 10 s ago 14 %.
const FORGET_SHIFT: u32 = 8;
/// Share of frames that may come later than the target, in percent. Each of them costs a short pause, each percent less costs
/// delay for all the others.
const LATE_PERCENT: u64 = 3;
/// Frames after which the histogram alone decides.
const FRAMES_TO_TRUST: u32 = 25;

/// A histogram of relative delays that forgets, kept from burst to burst over the same link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    weights: Vec<u32>,
    total: u64,
    frames: u32,
    target_us: i64,
}

impl Default for History {
    fn default() -> Self {
        Self { weights: vec![0; BUCKETS], total: 0, frames: 0, target_us: as_us(TARGET_START) }
    }
}

impl History {
    /// A frame arrived this much later than the quickest one, µs.
    pub(super) fn note(&mut self, relative_us: i64) {
        let bucket = usize::try_from(relative_us.max(0) / BUCKET_US).unwrap_or(BUCKETS).min(BUCKETS - 1);
        self.total = 0;
        for weight in &mut self.weights {
            *weight -= *weight >> FORGET_SHIFT;
            self.total += u64::from(*weight);
        }
        self.weights[bucket] += WEIGHT;
        self.total += u64::from(WEIGHT);
        self.frames = self.frames.saturating_add(1);
        let least = if self.frames < FRAMES_TO_TRUST { TARGET_START } else { TARGET_MIN };
        self.target_us = self.percentile_us().clamp(as_us(least), as_us(TARGET_MAX));
    }

    /// The delay that nearly all frames keep, µs.
    pub(super) fn target_us(&self) -> i64 {
        self.target_us
    }

    /// The upper edge of the lowest bucket above which at most [`LATE_PERCENT`] of the weight lies.
    fn percentile_us(&self) -> i64 {
        let mut above = 0;
        for (bucket, weight) in self.weights.iter().enumerate().rev() {
            above += u64::from(*weight);
            if above * 100 > self.total * LATE_PERCENT {
                return i64::try_from(bucket + 1).unwrap_or(0) * BUCKET_US;
            }
        }
        0
    }
}

fn as_us(span: core::time::Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX)
}
