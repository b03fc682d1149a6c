//! Shortens or lengthens sound by short spans, so that the playout delay follows its target while somebody speaks.

use core::time::Duration;

/// What [`super::Jitter::advice`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stretch {
    /// Play as it is.
    None,
    /// The delay is this much too long: drop sound.
    Shrink(Duration),
    /// The delay is this much too short: insert sound.
    Grow(Duration),
}

/// The rate of the sound, Hz.
const RATE: usize = 48_000;
/// Samples looked at together: 20 ms.
const CHUNK: usize = RATE / 50;
/// Most samples dropped from or inserted into one quiet chunk: 10 ms.
const QUIET_SPAN: usize = RATE / 100;
/// Samples over which the two sides of a cut are faded into each other: 2.5 ms.
const FADE: usize = RATE / 400;
/// Shortest and longest pitch period dropped from speech: 2.5 to 10 ms, that is 400 to 100 Hz.
const PITCH_LAGS: core::ops::RangeInclusive<usize> = RATE / 400..=RATE / 100;
/// A shorter excess waits for the next silence: dropping a pitch period is nearly inaudible, but only nearly.
const SPEECH_EXCESS: Duration = Duration::from_millis(40);
/// From this excess on, every chunk may lose a period (up to 1.5 times the speed) instead of every second one.
const HURRY_EXCESS: Duration = Duration::from_millis(400);
/// Likeness (normalised correlation) of two neighbouring periods from which one may stand for both.
const PERIODIC: f32 = 0.85;
/// Mean square below which sound is always quiet: −55 dB of full scale.
const QUIET_POWER: f32 = 3.2e-6;
/// How much louder than the background a chunk may be to count as quiet: 6 dB.
const QUIET_MARGIN: f32 = 4.0;
/// How fast the estimated background rises towards louder sound, per chunk: 0.4 dB, so that a word does not become background.
const BACKGROUND_RISE: f32 = 1.1;

/// Follows [`Stretch`] advice on mono sound of 48 kHz: in quiet spans at once; in speech, where the delay is far too long, by
/// dropping whole pitch periods. It keeps no sound back.
#[derive(Clone, Debug)]
pub struct Stretcher {
    background: f32,
    rested: bool,
}

impl Default for Stretcher {
    fn default() -> Self {
        Self { background: QUIET_POWER, rested: true }
    }
}

impl Stretcher {
    /// Changes the length of the sound of one frame (20, 40 or 60 ms; a shorter rest is left as it is) as advised. Gives the
    /// change in samples: negative when it became shorter.
    pub fn apply(&mut self, advice: Stretch, sound: &mut Vec<f32>) -> isize {
        let before = sound.len();
        let mut out = Vec::with_capacity(before + QUIET_SPAN);
        let mut left = advice;
        for chunk in sound.chunks(CHUNK) {
            let start = out.len();
            if chunk.len() == CHUNK {
                self.chunk(left, chunk, &mut out);
            } else {
                out.extend_from_slice(chunk);
            }
            left = less(left, (out.len() - start).abs_diff(chunk.len()));
        }
        *sound = out;
        sound.len().cast_signed() - before.cast_signed()
    }

    fn chunk(&mut self, advice: Stretch, chunk: &[f32], out: &mut Vec<f32>) {
        let power = energy(chunk) / 960.0;
        let quiet = power <= QUIET_POWER || power <= self.background * QUIET_MARGIN;
        self.background = power.clamp(QUIET_POWER / 100.0, self.background * BACKGROUND_RISE);
        match advice {
            Stretch::None => out.extend_from_slice(chunk),
            Stretch::Shrink(excess) if quiet => cut(chunk, samples(excess).min(QUIET_SPAN), out),
            Stretch::Shrink(excess) if excess >= SPEECH_EXCESS && (self.rested || excess >= HURRY_EXCESS) => {
                match period(chunk) {
                    Some(lag) => {
                        self.rested = false;
                        merge_period(chunk, lag, out);
                        return;
                    }
                    None => out.extend_from_slice(chunk),
                }
            }
            Stretch::Shrink(_) => out.extend_from_slice(chunk),
            Stretch::Grow(lack) if quiet => repeat(chunk, samples(lack).min(QUIET_SPAN), out),
            Stretch::Grow(_) => out.extend_from_slice(chunk),
        }
        self.rested = true;
    }
}

fn less(advice: Stretch, done: usize) -> Stretch {
    let done = Duration::from_micros(u64::try_from(done * 1_000 / 48).unwrap_or(u64::MAX));
    let rest = |span: Duration| span.checked_sub(done).filter(|rest| *rest > Duration::from_millis(1));
    match advice {
        Stretch::None => Stretch::None,
        Stretch::Shrink(span) => rest(span).map_or(Stretch::None, Stretch::Shrink),
        Stretch::Grow(span) => rest(span).map_or(Stretch::None, Stretch::Grow),
    }
}

fn samples(span: Duration) -> usize {
    usize::try_from(span.as_micros() * 48 / 1_000).unwrap_or(usize::MAX)
}

fn energy(sound: &[f32]) -> f32 {
    sound.iter().map(|sample| sample * sample).sum()
}

/// Fades from `from` to `to`, which are equally long.
fn fade(from: &[f32], to: &[f32], out: &mut Vec<f32>) {
    let step = 1.0 / (f32::from(u16::try_from(from.len()).unwrap_or(u16::MAX)) + 1.0);
    let mut weight = 0.0;
    for (from, to) in from.iter().zip(to) {
        weight += step;
        out.push(from * (1.0 - weight) + to * weight);
    }
}

/// Drops `span` samples from the middle of a chunk.
fn cut(chunk: &[f32], span: usize, out: &mut Vec<f32>) {
    let at = (CHUNK - span - FADE) / 2;
    out.extend_from_slice(&chunk[..at]);
    fade(&chunk[at..at + FADE], &chunk[at + span..at + span + FADE], out);
    out.extend_from_slice(&chunk[at + span + FADE..]);
}

/// Plays `span` samples in the middle of a chunk twice.
fn repeat(chunk: &[f32], span: usize, out: &mut Vec<f32>) {
    let at = (CHUNK + span - FADE) / 2;
    out.extend_from_slice(&chunk[..at]);
    fade(&chunk[at..at + FADE], &chunk[at - span..at - span + FADE], out);
    out.extend_from_slice(&chunk[at - span + FADE..]);
}

/// The lag at which the beginning of a chunk is most like what follows it, where it is like it.
fn period(chunk: &[f32]) -> Option<usize> {
    let mut best = (PERIODIC, None);
    for lag in PITCH_LAGS.step_by(2) {
        let (first, second) = (&chunk[..lag], &chunk[lag..2 * lag]);
        let product: f32 = first.iter().zip(second).map(|(a, b)| a * b).sum();
        let norm = (energy(first) * energy(second)).sqrt();
        if norm > 0.0 && product / norm > best.0 {
            best = (product / norm, Some(lag));
        }
    }
    best.1
}

/// Plays the first two periods of a chunk as one.
fn merge_period(chunk: &[f32], lag: usize, out: &mut Vec<f32>) {
    fade(&chunk[..lag], &chunk[lag..2 * lag], out);
    out.extend_from_slice(&chunk[2 * lag..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f32, level: f32, samples: u16) -> Vec<f32> {
        (0..samples).map(|at| level * (f32::from(at) * hz * core::f32::consts::TAU / 48_000.0).sin()).collect()
    }

    /// The largest step between two samples, against the largest of the tone itself.
    fn roughness(sound: &[f32], hz: f32, level: f32) -> f32 {
        let steepest = level * hz * core::f32::consts::TAU / 48_000.0;
        sound.windows(2).map(|pair| (pair[1] - pair[0]).abs()).fold(0.0, f32::max) / steepest
    }

    #[test]
    fn quiet_sound_is_cut_and_repeated_as_advised() {
        for (advice, change) in [
            (Stretch::Shrink(Duration::from_millis(4)), -192),
            (Stretch::Shrink(Duration::from_millis(300)), -480),
            (Stretch::Grow(Duration::from_millis(4)), 192),
            (Stretch::Grow(Duration::from_millis(300)), 480),
            (Stretch::None, 0),
        ] {
            let mut sound = tone(300.0, 0.001, 960);
            assert_eq!(Stretcher::default().apply(advice, &mut sound), change);
            assert_eq!(sound.len().cast_signed(), 960 + change);
        }
    }

    #[test]
    fn a_60_ms_frame_is_shrunk_no_more_than_advised() {
        let mut sound = tone(300.0, 0.001, 2_880);
        let change = Stretcher::default().apply(Stretch::Shrink(Duration::from_millis(15)), &mut sound);
        assert_eq!(change, -720);
    }

    #[test]
    fn speech_keeps_its_length_for_a_small_excess_and_loses_whole_periods_for_a_large_one() {
        let mut stretcher = Stretcher::default();
        let mut sound = tone(200.0, 0.3, 960);
        assert_eq!(stretcher.apply(Stretch::Shrink(Duration::from_millis(30)), &mut sound), 0);
        assert_eq!(stretcher.apply(Stretch::Grow(Duration::from_millis(30)), &mut sound), 0);
        let change = stretcher.apply(Stretch::Shrink(Duration::from_millis(100)), &mut sound);
        assert!(change < 0 && change % 240 == 0, "{change} samples are not whole periods of 240");
        assert!(roughness(&sound, 200.0, 0.3) < 1.1, "a click");
    }

    #[test]
    fn noise_loses_no_period() {
        let mut seed = 1_u32;
        let mut sound: Vec<f32> = (0..960)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                f32::from(u16::try_from(seed >> 16).unwrap()) / 65_536.0 - 0.5
            })
            .collect();
        assert_eq!(Stretcher::default().apply(Stretch::Shrink(Duration::from_secs(1)), &mut sound), 0);
    }

    #[test]
    fn steady_background_becomes_quiet_and_a_word_does_not() {
        let mut stretcher = Stretcher::default();
        let shrink = Stretch::Shrink(Duration::from_millis(20));
        let mut changes = Vec::new();
        for _ in 0..100 {
            changes.push(stretcher.apply(shrink, &mut tone(300.0, 0.02, 960)));
        }
        assert_eq!(changes[0], 0);
        assert!(changes[99] < 0, "two seconds of hum are background");
        for _ in 0..25 {
            assert_eq!(stretcher.apply(shrink, &mut tone(300.0, 0.4, 960)), 0, "half a second of word is not");
        }
    }
}
