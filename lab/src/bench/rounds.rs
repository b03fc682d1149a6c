//! Rounds of measurements, and what they come to.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde::{Deserialize, Serialize};

use super::tell;

/// From this share of its core on, the generator counts as the bottleneck.
const GENERATOR_FULL: f64 = 0.95;

/// The middle of several values, the least and the most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Spread {
    /// Of no values: zero.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(min), Some(max)) = (values.first(), values.last()) else { return Self::default() };
        let half = values.len() / 2;
        let median = if values.len() % 2 == 1 { values[half] } else { (values[half - 1] + values[half]) / 2.0 };
        Self { median, min: *min, max: *max }
    }
}

/// The value below which `permille` of them are.
pub(super) fn percentile(values: &mut [f64], permille: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = (values.len() * permille / 1_000).min(values.len().saturating_sub(1));
    values.get(at).copied().unwrap_or_default()
}

/// What one run of one contender found, by name, and how much of its core the generator used (0 to 1).
#[derive(Clone, Debug, Default)]
pub(super) struct Sample {
    pub(super) values: BTreeMap<&'static str, f64>,
    pub(super) generator: f64,
}

impl Sample {
    pub(super) fn new(generator: f64, values: impl IntoIterator<Item = (&'static str, f64)>) -> Self {
        Self { values: values.into_iter().collect(), generator }
    }
}

/// One that is measured.
pub(super) struct Contender<'a> {
    pub(super) name: &'static str,
    pub(super) run: Box<dyn FnMut() -> Result<Sample> + 'a>,
}

impl<'a> Contender<'a> {
    pub(super) fn new(name: &'static str, run: impl FnMut() -> Result<Sample> + 'a) -> Self {
        Self { name, run: Box::new(run) }
    }
}

/// All rounds that count.
#[derive(Debug, Default)]
pub(super) struct Rounds {
    rounds: Vec<BTreeMap<&'static str, Sample>>,
    /// Rounds that were thrown away.
    pub(super) discarded: u32,
}

impl Rounds {
    /// One round to warm up, then `pairs` that count. Of those thrown away as many as count are tried again.
    pub(super) fn run(pairs: u32, contenders: &mut [Contender<'_>]) -> Result<Self> {
        for contender in contenders.iter_mut() {
            (contender.run)()?;
        }
        Self::cold(pairs, contenders)
    }

    /// The same for contenders that begin anew each time: there is nothing to warm up.
    pub(super) fn cold(pairs: u32, contenders: &mut [Contender<'_>]) -> Result<Self> {
        let mut all = Self::default();
        let wanted = usize::try_from(pairs)?;
        while all.rounds.len() < wanted {
            let mut round = BTreeMap::new();
            let mut full = None;
            for contender in contenders.iter_mut() {
                let sample = (contender.run)()?;
                if sample.generator > GENERATOR_FULL {
                    full = Some(contender.name);
                }
                round.insert(contender.name, sample);
            }
            match full {
                None => all.rounds.push(round),
                Some(name) => {
                    all.discarded += 1;
                    tell(&format!("a round was thrown away: with {name}, the generator was the bottleneck"));
                    ensure!(all.discarded <= pairs, "the generator was the bottleneck in {} rounds", all.discarded);
                }
            }
        }
        Ok(all)
    }

    fn values(&self, contender: &str, value: &str) -> impl Iterator<Item = Option<f64>> {
        self.rounds.iter().map(move |round| round.get(contender)?.values.get(value).copied())
    }

    /// Of one contender.
    pub(super) fn spread(&self, contender: &str, value: &str) -> Spread {
        Spread::of(self.values(contender, value).flatten())
    }

    /// Of one contender's value to another's, round by round.
    pub(super) fn ratio(&self, ours: (&str, &str), theirs: (&str, &str)) -> Spread {
        let pairs = self.values(ours.0, ours.1).zip(self.values(theirs.0, theirs.1));
        Spread::of(
            pairs
                .filter_map(|(one, other)| Some((one?, other?)))
                .filter(|(_, other)| *other > 0.0)
                .map(|(one, other)| one / other),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Spread { median: 2.0, min: 1.0, max: 3.0 });
        assert_eq!(Spread::of([4.0, 1.0, 2.0, 3.0]), Spread { median: 2.5, min: 1.0, max: 4.0 });
        assert_eq!(Spread::of([]), Spread::default());
        assert_eq!(percentile(&mut [5.0, 1.0, 4.0, 2.0, 3.0], 500), 3.0);
        assert_eq!(percentile(&mut [5.0, 1.0], 990), 5.0);
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_a_full_generator_does_not_count() {
        let mut round = 0;
        let ours = Contender::new("ours", || {
            round += 1;
            // The first is to warm up; in the third the generator was full.
            let generator = if round == 3 { 0.99 } else { 0.5 };
            Ok(Sample::new(generator, [("us", f64::from(round))]))
        });
        let mut at = 0;
        let theirs = Contender::new("theirs", || {
            at += 1;
            Ok(Sample::new(0.5, [("us", f64::from(at) * 2.0)]))
        });
        let rounds = Rounds::run(3, &mut [ours, theirs]).unwrap();
        assert_eq!((rounds.rounds.len(), rounds.discarded), (3, 1));
        assert_eq!(rounds.spread("ours", "us"), Spread { median: 4.0, min: 2.0, max: 5.0 });
        assert_eq!(rounds.ratio(("ours", "us"), ("theirs", "us")), Spread { median: 0.5, min: 0.5, max: 0.5 });
    }

    #[test]
    fn a_generator_that_is_always_full_measures_nothing() {
        let full = Contender::new("ours", || Ok(Sample::new(1.0, [("us", 1.0)])));
        assert!(Rounds::run(2, &mut [full]).is_err());
    }
}
