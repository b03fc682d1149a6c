//! `./x lab fuzz`: every target of [`crate::fuzz`] with random inputs, on any toolchain; libFuzzer, which is cleverer, needs a nightly one.

use std::panic::catch_unwind;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::say;
use crate::chance::Chance;
use crate::fuzz::TARGETS;

/// The longest input in bytes.
const INPUT_MAX: u64 = 1_500;

/// What `fuzz` takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Seconds for each target
    #[arg(long, default_value_t = 10)]
    pub seconds: u64,
    /// Where the random inputs begin: the same number gives the same inputs
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Only this target
    #[arg(long, value_name = "NAME")]
    pub target: Option<String>,
}

/// Runs the targets one after another.
pub(super) fn run(options: &Options) -> Result<bool> {
    let wanted = |name: &str| options.target.as_deref().is_none_or(|target| target == name);
    let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
    ensure!(names.iter().any(|name| wanted(name)), "there is no such target; there are {}", names.join(", "));
    let mut held = true;
    for (name, target) in TARGETS.iter().filter(|(name, _)| wanted(name)) {
        let start = Instant::now();
        let (mut inputs, mut far) = (0_u64, 0_u64);
        while start.elapsed() < Duration::from_secs(options.seconds) {
            let seed = options.seed.wrapping_add(inputs);
            let mut chance = Chance::new(seed);
            let length = chance.below(INPUT_MAX);
            let data: Vec<u8> = (0..length).map(|_| chance.byte()).collect();
            inputs += 1;
            match catch_unwind(|| target(&data)) {
                Ok(depth) => far += u64::from(depth > 0),
                Err(_) => {
                    say(&format!("{name}: FAILED; repeat with --target {name} --seed {seed}"));
                    held = false;
                    break;
                }
            }
        }
        say(&format!("{name}: {inputs} inputs, {far} of which got inside"));
    }
    Ok(held)
}
