//! Cuts a stream of sound into frames of equal length.

use holler_core::units::{FrameMs, Mono};

use super::{RATE_HZ, samples_us};

/// Cuts sound into frames, each with the time at which its first sample was captured.
#[derive(Debug)]
pub struct Framer {
    samples: usize,
    held: Vec<f32>,
    /// When the first of the held samples was captured.
    captured_at: Mono,
}

impl Framer {
    /// A framer for frames of this length.
    pub fn new(frame: FrameMs) -> Self {
        Self { samples: frame.samples(RATE_HZ), held: Vec::new(), captured_at: Mono(0) }
    }

    /// Takes a block whose first sample was captured at `captured_at`.
    pub fn push(&mut self, captured_at: Mono, sound: &[f32]) {
        // The block's own time counts, not a sum of lengths: a device that lost samples must not make later frames look older.
        let held_us = samples_us(self.held.len());
        self.captured_at = Mono(captured_at.0.saturating_sub(held_us));
        self.held.extend_from_slice(sound);
    }

    /// The next whole frame.
    pub fn frame(&mut self) -> Option<(Mono, Vec<f32>)> {
        if self.held.len() < self.samples {
            return None;
        }
        let rest = self.held.split_off(self.samples);
        let frame = core::mem::replace(&mut self.held, rest);
        let captured_at = self.captured_at;
        self.captured_at = Mono(captured_at.0 + samples_us(self.samples));
        Some((captured_at, frame))
    }

    /// Ends the stream: appends at least `lookahead` samples of silence, so that the codec gives the last sound back, and
    /// fills the last frame up. Take the rest by [`Framer::frame`].
    pub fn finish(&mut self, lookahead: usize) {
        let wanted = self.held.len() + lookahead;
        self.held.resize(wanted.next_multiple_of(self.samples), 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_carry_the_time_of_their_first_sample() {
        let mut framer = Framer::new(FrameMs::Ms20);
        framer.push(Mono(1_000_000), &[0.1; 1_000]);
        assert_eq!(framer.frame(), Some((Mono(1_000_000), vec![0.1; 960])));
        assert_eq!(framer.frame(), None);
        framer.push(Mono(1_020_833), &[0.2; 920]);
        let (at, frame) = framer.frame().unwrap();
        assert!((1_019_999..=1_020_001).contains(&at.0), "{at:?}");
        assert_eq!((frame[39], frame[40]), (0.1, 0.2));
    }

    #[test]
    fn the_end_is_followed_by_the_lookahead() {
        for (sound, frames) in [(960, 2), (1_600, 2), (1_609, 3), (1, 1)] {
            let mut framer = Framer::new(FrameMs::Ms20);
            framer.push(Mono(0), &vec![0.5; sound]);
            framer.finish(312);
            assert_eq!(std::iter::from_fn(|| framer.frame()).count(), frames, "{sound} samples");
        }
    }
}
