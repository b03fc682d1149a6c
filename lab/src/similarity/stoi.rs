//! STOI after Taal et al. 2011.

use super::spectrum::{frames, power_spectra};

/// Samples of an analysis frame at 10 kHz; frames overlap by half.
const FRAME: usize = 256;
/// Frames of one segment: 384 ms.
const SEGMENT: usize = 30;
/// One-third octave bands, and the centre of the lowest, Hz.
const BANDS: usize = 15;
const LOWEST_HZ: f64 = 150.0;
/// Frames this far below the loudest are left out, dB.
const RANGE_DB: f64 = 40.0;
/// Lower bound of the signal-to-distortion ratio, dB.
const BETA_DB: f64 = -15.0;
const EPSILON: f64 = f64::EPSILON;

/// The short-time objective intelligibility of `degraded` against `clean`, both at 10 kHz and aligned: 1 is identical. Zero where
/// there is less than one segment of speech.
pub fn stoi(clean: &[f64], degraded: &[f64]) -> f64 {
    let length = clean.len().min(degraded.len());
    let (clean, degraded) = without_silence(&clean[..length], &degraded[..length]);
    let window = window();
    let clean = bands(&power_spectra(&clean, &window));
    let degraded = bands(&power_spectra(&degraded, &window));
    if clean.len() < SEGMENT {
        return 0.0;
    }
    let clip = 1.0 + 10.0_f64.powf(-BETA_DB / 20.0);
    let mut sum = 0.0;
    let segments = clean.len() - SEGMENT + 1;
    for start in 0..segments {
        for band in 0..BANDS {
            let x: Vec<f64> = (start..start + SEGMENT).map(|frame| clean[frame][band]).collect();
            let y: Vec<f64> = (start..start + SEGMENT).map(|frame| degraded[frame][band]).collect();
            let scale = norm(&x) / (norm(&y) + EPSILON);
            let limited: Vec<f64> = x.iter().zip(&y).map(|(x, y)| (y * scale).min(x * clip)).collect();
            sum += correlation(&x, &limited);
        }
    }
    sum / (segments * BANDS) as f64
}

/// A Hann window without its zeros.
fn window() -> Vec<f64> {
    (1..=FRAME).map(|at| 0.5 - 0.5 * (core::f64::consts::TAU * at as f64 / (FRAME + 1) as f64).cos()).collect()
}

/// Both sounds without the frames in which the clean one is silent, put together again by overlap and addition.
fn without_silence(clean: &[f64], degraded: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let window = window();
    let windowed = |sound: &[f64]| -> Vec<Vec<f64>> {
        frames(sound, FRAME).map(|frame| frame.iter().zip(&window).map(|(s, w)| s * w).collect()).collect()
    };
    let (clean, degraded) = (windowed(clean), windowed(degraded));
    let levels: Vec<f64> = clean.iter().map(|frame| 20.0 * (norm(frame) + EPSILON).log10()).collect();
    let loudest = levels.iter().copied().fold(f64::MIN, f64::max);
    let kept: Vec<usize> = (0..levels.len()).filter(|at| levels[*at] > loudest - RANGE_DB).collect();
    let joined = |all: &[Vec<f64>]| {
        let mut out = vec![0.0; if kept.is_empty() { 0 } else { (kept.len() + 1) * FRAME / 2 }];
        for (place, frame) in kept.iter().enumerate() {
            for (sample, value) in out[place * FRAME / 2..].iter_mut().zip(&all[*frame]) {
                *sample += value;
            }
        }
        out
    };
    (joined(&clean), joined(&degraded))
}

/// The magnitude in each one-third octave band.
fn bands(spectra: &[Vec<f64>]) -> Vec<Vec<f64>> {
    let bin_hz = 10_000.0 / 512.0;
    let nearest = |hz: f64| (0..257).min_by(|a, b| off(*a, bin_hz, hz).total_cmp(&off(*b, bin_hz, hz))).unwrap_or(0);
    let edges: Vec<(usize, usize)> = (0..BANDS)
        .map(|band| {
            let k = band as f64;
            let low = LOWEST_HZ * 2.0_f64.powf((2.0 * k - 1.0) / 6.0);
            let high = LOWEST_HZ * 2.0_f64.powf((2.0 * k + 1.0) / 6.0);
            (nearest(low), nearest(high))
        })
        .collect();
    spectra
        .iter()
        .map(|spectrum| edges.iter().map(|(low, high)| spectrum[*low..*high].iter().sum::<f64>().sqrt()).collect())
        .collect()
}

fn off(bin: usize, bin_hz: f64, hz: f64) -> f64 {
    (bin as f64 * bin_hz - hz).abs()
}

fn norm(values: &[f64]) -> f64 {
    values.iter().map(|value| value * value).sum::<f64>().sqrt()
}

fn correlation(x: &[f64], y: &[f64]) -> f64 {
    let centred = |values: &[f64]| -> Vec<f64> {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        values.iter().map(|value| value - mean).collect()
    };
    let (x, y) = (centred(x), centred(y));
    let product: f64 = x.iter().zip(&y).map(|(x, y)| x * y).sum();
    product / ((norm(&x) + EPSILON) * (norm(&y) + EPSILON))
}
