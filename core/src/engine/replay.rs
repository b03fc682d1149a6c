//! What a shell needs to play a burst of the past: faster with the voice's own pitch ([`Tempo`]), and as a picture ([`Wave`]).
//!
//! Both take samples as a decoder gives them, mono at 48 kHz, and know nothing of codecs or devices.

use std::collections::VecDeque;

/// The rate of the sound, Hz.
const RATE: usize = 48_000;
/// Samples that are faded into the next span: 10 ms. Shorter clicks, longer echoes.
const OVERLAP: usize = RATE / 100;
/// Samples that are taken at once: the overlap and as much again.
const SPAN: usize = 2 * OVERLAP;
/// How far from its place a span may be taken, to either side: 7.5 ms, more than half a period of the deepest voices (70 Hz).
const SEARCH: usize = RATE * 3 / 400;
/// Of the samples that are compared, and of the places that are tried first, every so many: speech has little above 6 kHz.
const COARSE: usize = 4;

/// Plays sound faster without raising its pitch: spans of it are laid over each other where they are most alike (WSOLA, Verhelst and
/// Roelands 1993).
#[derive(Clone, Debug)]
pub struct Tempo {
    percent: u16,
    held: VecDeque<f32>,
    /// The end of the last span, faded out with the beginning of the next one.
    tail: Vec<f32>,
    /// Samples that were skipped too far, to be made up for.
    debt: isize,
}

impl Tempo {
    /// Plays at `percent` of the speed, 100 to 200; 100 leaves the sound as it is.
    pub fn new(percent: u16) -> Self {
        Self { percent: percent.clamp(100, 200), held: VecDeque::new(), tail: Vec::new(), debt: 0 }
    }

    /// Takes sound in and gives what can be played of it. Less than 40 ms are held back.
    pub fn push(&mut self, sound: &[f32]) -> Vec<f32> {
        if self.percent == 100 {
            return sound.to_vec();
        }
        self.held.extend(sound);
        let mut out = Vec::new();
        while self.held.len() >= SPAN + 2 * SEARCH {
            let at = self.best();
            let span: Vec<f32> = self.held.range(at..at + SPAN).copied().collect();
            self.lay(&span, &mut out);
            let step = OVERLAP * usize::from(self.percent) / 100;
            // A span that was taken from further on has brought that much more: over time both are even.
            self.debt += step.cast_signed();
            let gone = usize::try_from(self.debt).unwrap_or(0).min(self.held.len());
            self.debt -= gone.cast_signed();
            self.held.drain(..gone);
        }
        out
    }

    /// What is still held back, at the end.
    pub fn finish(&mut self) -> Vec<f32> {
        let rest: Vec<f32> = self.held.drain(..).collect();
        let mut out = Vec::new();
        if rest.len() >= OVERLAP {
            self.lay(&rest, &mut out);
        }
        out.append(&mut self.tail);
        self.debt = 0;
        out
    }

    /// Lays a span over the end of what came before; its own end waits for the next.
    fn lay(&mut self, span: &[f32], out: &mut Vec<f32>) {
        let keep = span.len() - OVERLAP;
        #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
        let weight = |at: usize| at as f32 / OVERLAP as f32;
        if self.tail.len() == OVERLAP {
            let faded = self.tail.iter().zip(span).enumerate();
            out.extend(faded.map(|(at, (before, after))| before * (1.0 - weight(at)) + after * weight(at)));
            out.extend_from_slice(&span[OVERLAP..keep.max(OVERLAP)]);
        } else {
            out.extend_from_slice(&span[..keep]);
        }
        self.tail = span[keep..].to_vec();
    }

    /// Where in what is held a span fits the end of the last one best.
    fn best(&self) -> usize {
        if self.tail.len() < OVERLAP {
            return 0;
        }
        let likeness = |at: usize, every: usize| {
            let (mut product, mut energy) = (0.0_f32, 1e-9_f32);
            for n in (0..OVERLAP).step_by(every) {
                let sample = self.held[at + n];
                product += sample * self.tail[n];
                energy += sample * sample;
            }
            product / energy.sqrt()
        };
        let best = |places: &mut dyn Iterator<Item = usize>, every: usize| {
            let mut found = (0, f32::MIN);
            for at in places {
                let alike = likeness(at, every);
                if alike > found.1 {
                    found = (at, alike);
                }
            }
            found.0
        };
        let near = best(&mut (0..2 * SEARCH).step_by(COARSE), COARSE);
        best(&mut (near.saturating_sub(COARSE)..(near + COARSE).min(2 * SEARCH)), 1)
    }
}

/// Bars that a waveform is told in, at most.
pub const BARS_MAX: usize = 64;

/// How loud a burst is, frame by frame, as far as it was decoded or recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wave {
    levels: Vec<u8>,
}

impl Wave {
    /// Takes in the sound of frame `number`, from 1; frame 0 and those beyond the longest burst are none.
    pub fn note(&mut self, number: u16, sound: &[f32]) {
        let Some(at) = usize::from(number).checked_sub(1) else { return };
        if at >= usize::from(crate::wire::limits::FRAMES_PER_BURST_MAX) {
            return;
        }
        if self.levels.len() <= at {
            self.levels.resize(at + 1, 0);
        }
        self.levels[at] = level(sound);
    }

    /// Frames that it reaches over.
    pub fn frames(&self) -> u16 {
        u16::try_from(self.levels.len()).unwrap_or(u16::MAX)
    }

    /// At most [`BARS_MAX`] bars of equal length, each as loud as the loudest frame in it.
    pub fn bars(&self) -> Vec<u8> {
        let bars = self.levels.len().min(BARS_MAX);
        (0..bars)
            .map(|bar| {
                let (from, to) = (bar * self.levels.len() / bars, (bar + 1) * self.levels.len() / bars);
                self.levels[from..to].iter().copied().max().unwrap_or(0)
            })
            .collect()
    }
}

/// The root mean square in decibels, from −50 dB (0) to −8 dB (255) of full scale.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within 0 to 255")]
fn level(sound: &[f32]) -> u8 {
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    let power = sound.iter().map(|sample| sample * sample).sum::<f32>() / sound.len().max(1) as f32;
    ((10.0 * power.max(1e-9).log10() + 50.0) / 42.0 * 255.0).clamp(0.0, 255.0) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tone with an overtone, as voices have them.
    #[expect(clippy::cast_precision_loss, reason = "exact far beyond a second")]
    fn tone(hz: f32, samples: usize) -> Vec<f32> {
        let wave = |at: usize, hz: f32| (at as f32 * hz / RATE as f32 * core::f32::consts::TAU).sin();
        (0..samples).map(|at| 0.3 * wave(at, hz) + 0.1 * wave(at, 2.0 * hz)).collect()
    }

    fn played(percent: u16, sound: &[f32]) -> Vec<f32> {
        let mut tempo = Tempo::new(percent);
        let mut out: Vec<f32> = sound.chunks(960).flat_map(|frame| tempo.push(frame)).collect();
        out.extend(tempo.finish());
        out
    }

    /// Rising zero crossings a second.
    #[expect(clippy::cast_precision_loss, reason = "a few thousand")]
    fn pitch(sound: &[f32]) -> f32 {
        let rises = sound.windows(2).filter(|pair| pair[0] < 0.0 && pair[1] >= 0.0).count();
        rises as f32 * RATE as f32 / sound.len() as f32
    }

    #[test]
    fn faster_is_shorter_and_keeps_pitch_and_loudness() {
        for hz in [90.0, 180.0, 310.0] {
            let sound = tone(hz, 2 * RATE);
            assert_eq!(played(100, &sound), sound);
            for percent in [150_u16, 200] {
                let out = played(percent, &sound);
                let expected = sound.len() * 100 / usize::from(percent);
                assert!(out.len().abs_diff(expected) < RATE / 20, "{percent}: {} for {expected}", out.len());
                let (before, after) = (pitch(&sound), pitch(&out));
                assert!((after / before - 1.0).abs() < 0.03, "{percent}: {after} Hz for {before} Hz");
                assert!(level(&out).abs_diff(level(&sound)) < 8, "{percent}: {} {}", level(&out), level(&sound));
                let steepest =
                    |sound: &[f32]| sound.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max);
                assert!(steepest(&out) < 2.0 * steepest(&sound), "{percent}: it clicks");
            }
        }
    }

    #[test]
    fn little_is_held_back_and_nothing_of_a_short_sound_is_lost_altogether() {
        let mut tempo = Tempo::new(150);
        let mut taken = 0;
        for frame in tone(200.0, RATE).chunks(960) {
            taken += tempo.push(frame).len();
            assert!(tempo.held.len() < SPAN + 2 * SEARCH + 960);
        }
        assert!(taken > RATE / 2);
        assert!(played(200, &tone(200.0, 960)).len() >= 480);
        assert!(played(200, &[]).is_empty());
    }

    #[test]
    fn a_waveform_has_a_bar_for_each_part_and_none_for_what_is_not_here() {
        let mut wave = Wave::default();
        assert!(wave.bars().is_empty());
        let (loud, quiet) = (vec![0.5; 960], vec![0.001; 960]);
        wave.note(0, &loud);
        wave.note(u16::MAX, &loud);
        assert_eq!(wave.frames(), 0);
        wave.note(3, &loud);
        wave.note(2, &quiet);
        assert_eq!((wave.frames(), wave.bars().len()), (3, 3));
        assert_eq!((wave.bars()[0], wave.bars()[1]), (0, 0));
        assert!(wave.bars()[2] > 200);
        for number in 1..=1_000 {
            wave.note(number, &loud);
        }
        assert_eq!(wave.bars().len(), BARS_MAX);
        assert!(wave.bars().iter().all(|bar| *bar > 200));
    }
}
