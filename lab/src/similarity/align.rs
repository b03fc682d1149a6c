//! Finds each stretch of the original in the recording.

use super::spectrum::correlate;
use super::{GRAIN, RATE_HZ};

/// A stretch that is looked for: 240 ms of sound, every 40 ms. Shorter ones are found in wrong places, longer ones span pauses that
/// were shortened.
const STRETCH: usize = RATE_HZ * 240 / 1_000;
const STEP: usize = RATE_HZ * 40 / 1_000;
/// How far from its neighbour's place a stretch is looked for first: 45 ms.
const NEAR: usize = RATE_HZ * 45 / 1_000;
/// A likeness (normalised correlation) from which a place is right beyond doubt; below it, it is looked for farther away.
const SURE: f64 = 0.6;
/// How far it is looked for if it is not there: 1.6 s, more than a server forwards late.
const FAR: usize = RATE_HZ * 1_600 / 1_000;
/// How much more alike a far place must be than a near one.
const FAR_MARGIN: f64 = 0.25;
/// Stretches below this level of the loudest, as a ratio of power (−40 dB), are silent: they lie where their neighbours lie.
const SILENT: f64 = 1e-4;

/// The recording, laid under the original.
pub(super) struct Laid {
    /// As long as the original; silent where nothing was found.
    pub(super) sound: Vec<f64>,
    /// Where the first stretch that was found with certainty lies, against its place in the original.
    pub(super) delay_ms: f64,
}

pub(super) fn lay_back(original: &[f64], heard: &[f64]) -> Laid {
    let mut sound = vec![0.0; original.len()];
    if original.len() < STRETCH || heard.is_empty() {
        return Laid { sound, delay_ms: 0.0 };
    }
    let starts: Vec<usize> = (0..=original.len() - STRETCH).step_by(STEP).collect();
    let powers: Vec<f64> = starts.iter().map(|start| energy(&original[*start..start + STRETCH])).collect();
    let loudest = powers.iter().copied().fold(1e-12, f64::max);
    // Begin where the original is loudest, for that is found most surely, and go from there to both ends.
    let overall = best(&correlate(original, heard)) - signed(original.len() - 1);
    let seed = (0..starts.len()).max_by(|a, b| powers[*a].total_cmp(&powers[*b])).unwrap_or(0);
    let mut found: Vec<Option<(f64, isize)>> = vec![None; starts.len()];
    let mut find = |order: &mut dyn Iterator<Item = usize>, mut delay: isize| {
        for at in order {
            if powers[at] > loudest * SILENT {
                let stretch = &original[starts[at]..starts[at] + STRETCH];
                if let Some((likeness, place)) = place(stretch, heard, signed(starts[at]) + delay) {
                    delay = place - signed(starts[at]);
                    found[at] = Some((likeness, delay));
                }
            }
        }
        delay
    };
    let delay = find(&mut std::iter::once(seed), overall);
    find(&mut (seed + 1..starts.len()), delay);
    find(&mut (0..seed).rev(), delay);
    let first = found.iter().flatten().find(|(likeness, _)| *likeness >= SURE).map_or(overall, |(_, delay)| *delay);
    // Each grain lies where the nearest stretch that was found lies.
    let known: Vec<(usize, isize)> =
        found.iter().zip(&starts).filter_map(|(delay, start)| Some((start + STRETCH / 2, (*delay)?.1))).collect();
    for (grain, out) in sound.chunks_mut(GRAIN).enumerate() {
        let centre = grain * GRAIN + GRAIN / 2;
        let delay = known.iter().min_by_key(|(at, _)| at.abs_diff(centre)).map_or(overall, |(_, delay)| *delay);
        for (at, sample) in out.iter_mut().enumerate() {
            let place = signed(grain * GRAIN + at) + delay;
            *sample = usize::try_from(place).ok().and_then(|place| heard.get(place)).copied().unwrap_or(0.0);
        }
    }
    Laid { sound, delay_ms: first as f64 * 1_000.0 / RATE_HZ as f64 }
}

/// Where a stretch lies in the recording: near `expected` if it is alike there, else where it is most alike; `None` where it
/// is nowhere.
fn place(stretch: &[f64], heard: &[f64], expected: isize) -> Option<(f64, isize)> {
    let near = likeliest(stretch, heard, expected - signed(NEAR), expected + signed(NEAR));
    if near.is_some_and(|(likeness, _)| likeness >= SURE) {
        return near;
    }
    let far = likeliest(stretch, heard, expected - signed(FAR), expected + signed(FAR));
    match (near, far) {
        (near, Some((far, place))) if far >= SURE && far > near.map_or(0.0, |(near, _)| near) + FAR_MARGIN => {
            Some((far, place))
        }
        (Some((likeness, place)), _) if likeness >= SURE / 2.0 => Some((likeness, place)),
        (Some(_) | None, Some(_) | None) => None,
    }
}

/// The likeness and place of the best match that begins between `from` and `to`.
fn likeliest(stretch: &[f64], heard: &[f64], from: isize, to: isize) -> Option<(f64, isize)> {
    let low = usize::try_from(from.max(0)).unwrap_or(0).min(heard.len());
    let high = usize::try_from(to.max(0)).unwrap_or(0).saturating_add(stretch.len()).min(heard.len());
    let part = &heard[low..high.max(low)];
    if part.is_empty() {
        return None;
    }
    let products = correlate(stretch, part);
    let mut sums = vec![0.0; part.len() + 1];
    for (at, sample) in part.iter().enumerate() {
        sums[at + 1] = sums[at] + sample * sample;
    }
    let own = energy(stretch);
    products
        .iter()
        .enumerate()
        .filter_map(|(at, product)| {
            let place = signed(at) - signed(stretch.len() - 1);
            let begin = usize::try_from(place.max(0)).ok()?;
            let end = usize::try_from(place + signed(stretch.len())).ok()?.min(part.len());
            let other = sums[end] - sums[begin.min(end)];
            let place = place + signed(low);
            // Where the recording is nearly silent, chance would be scaled up to likeness.
            let norm = (own * other.max(own * 1e-3)).sqrt();
            ((from..=to).contains(&place) && norm > 0.0).then(|| (product / norm, place))
        })
        .max_by(|a, b| a.0.total_cmp(&b.0))
}

fn best(values: &[f64]) -> isize {
    signed((0..values.len()).max_by(|a, b| values[*a].total_cmp(&values[*b])).unwrap_or(0))
}

fn energy(sound: &[f64]) -> f64 {
    sound.iter().map(|s| s * s).sum()
}

fn signed(at: usize) -> isize {
    isize::try_from(at).unwrap_or(isize::MAX)
}
