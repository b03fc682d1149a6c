//! Changes the sampling rate by windowed-sinc interpolation, as a stream.

use super::RATE_HZ;

/// Zero crossings of the sinc on each side: 24 keep the pass band flat to about 90 % of the lower rate's half and the
/// aliases below −80 dB.
const CROSSINGS: usize = 24;
/// Share of the lower rate's half that passes.
const CUTOFF: f64 = 0.92;
/// Shape of the Kaiser window: −80 dB side lobes.
const BETA: f64 = 8.0;
/// Most phases kept; a rate that would need more gets the nearest phase, an error below −60 dB.
const PHASES_MAX: usize = 2_048;

/// A resampler from one rate to [`RATE_HZ`].
#[derive(Debug)]
pub struct Resampler {
    from: u64,
    half: usize,
    phases: Vec<Vec<f32>>,
    /// Input that is still needed; its first sample is number `start`.
    held: Vec<f32>,
    start: u64,
    given: u64,
}

impl Resampler {
    /// A resampler from `from_hz` (1 to 768,000) to 48 kHz; `None` where nothing is to be done.
    pub fn new(from_hz: u32) -> Option<Self> {
        if from_hz == RATE_HZ || from_hz == 0 {
            return None;
        }
        let (from, to) = (f64::from(from_hz), f64::from(RATE_HZ));
        let scale = (to / from).min(1.0) * CUTOFF;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at most 24 × 16 / 0.92, above zero"
        )]
        let half = (f64::from(u32::try_from(CROSSINGS).unwrap_or(24)) / scale).ceil() as usize;
        let steps = usize::try_from(RATE_HZ / gcd(from_hz, RATE_HZ)).unwrap_or(PHASES_MAX).min(PHASES_MAX);
        let phases = (0..steps).map(|phase| kernel(as_f64(phase) / as_f64(steps), half, scale)).collect();
        // Silence before the first sample, so that it stands in the middle of the kernel.
        Some(Self { from: u64::from(from_hz), half, phases, held: vec![0.0; half], start: 0, given: 0 })
    }

    /// Takes sound at the old rate, gives what can be given of it at the new one.
    pub fn push(&mut self, sound: &[f32]) -> Vec<f32> {
        self.held.extend_from_slice(sound);
        let mut out = Vec::new();
        let to = u64::from(RATE_HZ);
        loop {
            let position = self.given * self.from;
            let (whole, fraction) = (position / to, position % to);
            // `held` begins `half` samples before input number `start`.
            let at = usize::try_from(whole - self.start).unwrap_or(usize::MAX);
            let taps = 2 * self.half + 1;
            let Some(window) = self.held.get(at..at.saturating_add(taps)) else { break };
            let steps = u64::try_from(self.phases.len()).unwrap_or(1);
            let phase = usize::try_from(fraction * steps / to).unwrap_or(0);
            out.push(window.iter().zip(&self.phases[phase]).map(|(sample, tap)| sample * tap).sum());
            self.given += 1;
        }
        let next = self.given * self.from / to;
        let passed = usize::try_from(next - self.start).unwrap_or(0).min(self.held.len());
        self.held.drain(..passed);
        self.start += u64::try_from(passed).unwrap_or(0);
        out
    }

    /// Gives the rest, after the last sound was pushed.
    pub fn finish(&mut self) -> Vec<f32> {
        let silence = vec![0.0; self.half];
        self.push(&silence)
    }
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

fn as_f64(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}

/// The taps for a sample that lies `fraction` after an input sample, normalised to leave a constant as it is.
fn kernel(fraction: f64, half: usize, scale: f64) -> Vec<f32> {
    let taps: Vec<f64> = (0..=2 * half)
        .map(|tap| {
            let distance = as_f64(tap) - as_f64(half) - fraction;
            let x = core::f64::consts::PI * distance * scale;
            let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
            let edge = distance / (as_f64(half) + 1.0);
            sinc * bessel_i0(BETA * (1.0 - edge * edge).max(0.0).sqrt())
        })
        .collect();
    let sum: f64 = taps.iter().sum();
    #[expect(clippy::cast_possible_truncation, reason = "a filter tap has no need for 64 bits")]
    taps.iter().map(|tap| (tap / sum) as f32).collect()
}

/// The modified Bessel function of the first kind and order zero, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let (mut sum, mut term, mut k) = (1.0, 1.0, 1.0);
    while term > sum * 1e-12 {
        term *= (x / (2.0 * k)) * (x / (2.0 * k));
        sum += term;
        k += 1.0;
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(rate: u32, hz: f64, seconds: f64) -> Vec<f32> {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a test's length")]
        let count = (f64::from(rate) * seconds) as u32;
        #[expect(clippy::cast_possible_truncation, reason = "samples are 32 bit")]
        (0..count)
            .map(|at| (f64::from(at) * hz * core::f64::consts::TAU / f64::from(rate)).sin() as f32 * 0.5)
            .collect()
    }

    fn resampled(rate: u32, sound: &[f32], block: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(rate).unwrap();
        let mut out: Vec<f32> = sound.chunks(block).flat_map(|chunk| resampler.push(chunk)).collect();
        out.extend(resampler.finish());
        out
    }

    /// Largest difference in the middle of two sounds, in dB against full scale.
    fn error_db(a: &[f32], b: &[f32]) -> f32 {
        let worst = a.iter().zip(b).skip(4_800).take(24_000).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        20.0 * worst.max(1e-9).log10()
    }

    #[test]
    fn a_tone_of_any_rate_is_the_same_tone_at_48_khz() {
        for rate in [8_000, 11_025, 16_000, 22_050, 44_100, 96_000, 192_000] {
            for hz in [300.0, 3_000.0] {
                let error = error_db(&resampled(rate, &tone(rate, hz, 1.0), 480), &tone(48_000, hz, 1.0));
                assert!(error < -60.0, "{hz} Hz at {rate} Hz: {error} dB");
            }
        }
    }

    #[test]
    fn what_48_khz_cannot_carry_is_filtered_out() {
        let out = resampled(96_000, &tone(96_000, 30_000.0, 1.0), 960);
        assert!(error_db(&out, &vec![0.0; out.len()]) < -60.0);
    }

    #[test]
    fn the_length_is_kept_and_blocks_do_not_show() {
        for rate in [16_000, 44_100, 47_999] {
            let sound = tone(rate, 440.0, 1.0);
            let out = resampled(rate, &sound, 441);
            assert!(out.len().abs_diff(48_000) <= 2, "{} samples from {rate} Hz", out.len());
            assert_eq!(out, resampled(rate, &sound, 7));
        }
    }

    #[test]
    fn the_same_rate_needs_no_resampler() {
        assert!(Resampler::new(48_000).is_none());
    }
}
