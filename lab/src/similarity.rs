//! How much of what was said was heard, and how well: compares a recording with the original.
//!
//! A listener's recording is the original through a codec, later, with pauses shortened or lengthened by the jitter buffer. So
//! first each stretch of the original is found in the recording (by cross-correlation); then what was found is laid back under
//! the original. What is not there is clipped or missing. How alike the rest is, is told by STOI: Taal, Hendriks, Heusdens,
//! Jensen, "An Algorithm for Intelligibility Prediction of Time–Frequency Weighted Noisy Speech", IEEE Transactions on Audio,
//! Speech and Language Processing 19(7), 2011.
//!
//! For orientation: identical sound gives 1.00, every fifth 20 ms frame silenced 0.85, noise instead of speech 0.34, another
//! sentence by the same reader 0.10.

mod align;
mod spectrum;
mod stoi;

#[cfg(test)]
mod tests;

pub use stoi::stoi;

/// Samples per second in here: STOI's rate, and enough to align speech.
pub const RATE_HZ: usize = 10_000;
/// A grain, the unit of presence: 10 ms.
const GRAIN: usize = RATE_HZ / 100;
/// Speech is what is at most this far below the loudest grain, in dB: quieter grains of the original can't be missed.
const SPEECH_DB: f64 = 26.0;
/// A grain whose recording is quieter by more than this, in dB, is not there.
const ABSENT_DB: f64 = 20.0;
/// Isolated grains below that length, in grains, are a codec's weakness and no gap: 20 ms.
const GAP_GRAINS: usize = 2;

/// What became of the original.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Where the original's beginning lies in the recording, ms; below zero where the recording begins later.
    pub delay_ms: f64,
    /// Speech at the beginning that is not in the recording, ms.
    pub clipped_start_ms: f64,
    /// Speech at the end that is not in the recording, ms.
    pub clipped_end_ms: f64,
    /// Speech in between that is not in the recording: beginning and length in the original, ms.
    pub missing_ms: Vec<(f64, f64)>,
    /// STOI of the recording, laid back under the original: 1 is identical, unrelated speech is near 0.
    pub similarity: f64,
}

impl Comparison {
    /// All speech that is missing between beginning and end, ms.
    pub fn missing_total_ms(&self) -> f64 {
        // An empty sum is −0, which would print so.
        self.missing_ms.iter().map(|(_, length)| length).sum::<f64>() + 0.0
    }
}

/// Compares a recording with the original, both mono at 48 kHz.
pub fn compare(original: &[f32], heard: &[f32]) -> Comparison {
    let original = spectrum::to_10_khz(original);
    let heard = spectrum::to_10_khz(heard);
    let laid = align::lay_back(&original, &heard);
    let presence = presence(&original, &laid.sound);
    let speech: Vec<usize> = (0..presence.len()).filter(|grain| presence[*grain].is_some()).collect();
    let there: Vec<usize> = speech.iter().copied().filter(|grain| presence[*grain] == Some(true)).collect();
    let grain_ms = |grains: usize| grains as f64 * 10.0;
    let (Some(first), Some(last)) = (there.first(), there.last()) else {
        return Comparison {
            delay_ms: laid.delay_ms,
            clipped_start_ms: grain_ms(speech.len()),
            clipped_end_ms: 0.0,
            missing_ms: Vec::new(),
            similarity: 0.0,
        };
    };
    let mut missing: Vec<(f64, f64)> = Vec::new();
    let mut grain = *first;
    while grain < *last {
        let absent = (grain..*last).take_while(|at| presence[*at] == Some(false)).count();
        if absent > GAP_GRAINS {
            missing.push((grain_ms(grain), grain_ms(absent)));
        }
        grain += absent.max(1);
    }
    Comparison {
        delay_ms: laid.delay_ms,
        clipped_start_ms: grain_ms(speech.iter().filter(|grain| *grain < first).count()),
        clipped_end_ms: grain_ms(speech.iter().filter(|grain| *grain > last).count()),
        missing_ms: missing,
        similarity: stoi(&original, &laid.sound).max(0.0),
    }
}

/// For each grain of the original: `None` without speech, otherwise whether the recording has it.
fn presence(original: &[f64], laid: &[f64]) -> Vec<Option<bool>> {
    let power = |sound: &[f64]| sound.iter().map(|s| s * s).sum::<f64>() / sound.len().max(1) as f64;
    let powers: Vec<f64> = original.chunks_exact(GRAIN).map(power).collect();
    let loudest = powers.iter().copied().fold(1e-12, f64::max);
    let threshold = loudest * ratio(SPEECH_DB);
    let spoken = |grain: usize| {
        // A click of the microphone is no word: neighbours must be speech too.
        let around = &powers[grain.saturating_sub(1)..(grain + 2).min(powers.len())];
        around.iter().all(|power| *power > threshold)
    };
    (0..powers.len())
        .map(|grain| {
            // A grain is looked for with half a grain around it: alignment is no better than that.
            let from = (grain * GRAIN).saturating_sub(GRAIN / 2);
            let to = ((grain + 1) * GRAIN + GRAIN / 2).min(laid.len());
            spoken(grain).then(|| power(&laid[from.min(to)..to]) > powers[grain] * ratio(ABSENT_DB))
        })
        .collect()
}

/// A power ratio of this many dB below 1.
fn ratio(db: f64) -> f64 {
    10.0_f64.powf(-db / 10.0)
}
