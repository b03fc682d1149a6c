//! Fourier transforms, correlation and the change of rate.

use rustfft::num_complex::Complex;
use rustfft::{FftPlanner, num_traits::Zero};

/// Zero crossings of the low-pass on each side.
const CROSSINGS: f64 = 20.0;

/// Brings sound from 48 to 10 kHz: a windowed sinc (Hann) that passes up to 4.6 kHz.
pub(super) fn to_10_khz(sound: &[f32]) -> Vec<f64> {
    const RATIO: f64 = 4.8;
    let reach = CROSSINGS * RATIO / 0.92;
    let half = index(reach);
    // Output number `at` lies at 4.8 × `at`, so that only five different fractions occur.
    let kernels: Vec<Vec<f64>> = (0..5_usize)
        .map(|phase| {
            let fraction = (phase * 24 % 5) as f64 / 5.0;
            (0..=2 * half)
                .map(|tap| {
                    let distance = tap as f64 - half as f64 - fraction;
                    let x = core::f64::consts::PI * distance * 0.92 / RATIO;
                    let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
                    let window = 0.5 + 0.5 * (core::f64::consts::PI * (distance / reach).clamp(-1.0, 1.0)).cos();
                    sinc * window * 0.92 / RATIO
                })
                .collect()
        })
        .collect();
    (0..sound.len() * 5 / 24)
        .map(|at| {
            let centre = at * 24 / 5;
            let taps = kernels[at % 5].iter().skip(half.saturating_sub(centre));
            let samples = &sound[centre.saturating_sub(half)..sound.len().min(centre + half + 1)];
            samples.iter().zip(taps).map(|(sample, tap)| f64::from(*sample) * tap).sum()
        })
        .collect()
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a sound, at or above zero")]
fn index(at: f64) -> usize {
    at as usize
}

/// The correlation of `part` with `whole` at every place: element `k` is `Σ part[i] · whole[i + k − (part.len() − 1)]`, so that
/// element `part.len() − 1` is that of their beginnings.
pub(super) fn correlate(part: &[f64], whole: &[f64]) -> Vec<f64> {
    let length = part.len() + whole.len();
    let size = length.next_power_of_two();
    let mut planner = FftPlanner::new();
    let forward = planner.plan_fft_forward(size);
    let inverse = planner.plan_fft_inverse(size);
    let padded = |sound: &mut dyn Iterator<Item = f64>| {
        let mut out: Vec<Complex<f64>> = sound.map(Complex::from).collect();
        out.resize(size, Complex::zero());
        forward.process(&mut out);
        out
    };
    let reversed = padded(&mut part.iter().rev().copied());
    let mut product = padded(&mut whole.iter().copied());
    for (value, other) in product.iter_mut().zip(&reversed) {
        *value *= other;
    }
    inverse.process(&mut product);
    product.truncate(length.saturating_sub(1));
    product.into_iter().map(|value| value.re / size as f64).collect()
}

/// Power spectra of 512 points of frames of 256 samples under a Hann window, every 128 samples, as STOI wants them.
pub(super) fn power_spectra(sound: &[f64], window: &[f64]) -> Vec<Vec<f64>> {
    let forward = FftPlanner::new().plan_fft_forward(512);
    frames(sound, window.len())
        .map(|frame| {
            let mut values: Vec<Complex<f64>> = frame.iter().zip(window).map(|(s, w)| Complex::from(s * w)).collect();
            values.resize(512, Complex::zero());
            forward.process(&mut values);
            values[..257].iter().map(Complex::norm_sqr).collect()
        })
        .collect()
}

/// Frames that overlap by half.
pub(super) fn frames(sound: &[f64], length: usize) -> impl Iterator<Item = &[f64]> {
    sound.windows(length).step_by(length / 2)
}
