//! `./x lab figures`: what [`crate::sim`] measures in virtual time. It prints and judges nothing but violations.

use core::time::Duration;

use anyhow::Result;

use super::say;
use crate::sim::{self, Plan};

/// How long a radio stays awake after the last packet, before the network lets it sleep: LTE's usual inactivity timer.
const TAIL: Duration = Duration::from_secs(10);

/// What `figures` takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Runs of each kind, with seeds from 1
    #[arg(long, default_value_t = 50)]
    pub runs: u64,
    /// Print everything that happens in the first kind's run with this seed, and nothing else
    #[arg(long, value_name = "SEED")]
    pub show: Option<u64>,
}

/// Runs and prints.
pub(super) fn run(options: &Options) -> Result<bool> {
    if let Some(seed) = options.show {
        let plan = Plan::cut_burst(seed, Duration::from_secs(22), true);
        sim::run(&plan, sim::Options { trace: true, plant: None }).trace.iter().for_each(|line| say(line));
        return Ok(true);
    }
    let mut held = true;
    say(
        "A burst of 30 s whose sender is cut off for 10 s while another takes the floor; LTE (40 ms, jitter 20 ms, 0.5 % loss):",
    );
    for (what, after, told) in [
        ("cut over key-up, the return announced", 22, true),
        ("cut over key-up, nobody tells", 22, false),
        ("cut in the middle, the return announced", 8, true),
        ("cut in the middle, nobody tells", 8, false),
    ] {
        held &= cut(what, Duration::from_secs(after), told, options.runs);
    }
    held &= idle(options.runs);
    Ok(held)
}

fn cut(what: &str, after: Duration, told: bool, runs: u64) -> bool {
    let mut waits = Vec::new();
    let (mut held, mut in_order) = (true, true);
    for seed in 1..=runs {
        let outcome = sim::run(&Plan::cut_burst(seed, after, told), sim::Options::default());
        for violation in &outcome.violations {
            say(&format!("  seed {seed}: VIOLATION {violation}"));
            held = false;
        }
        // Whole from when both the way is there again and the last word was said: 1 s to connect, 2 s until it begins.
        let due = Duration::from_secs(3) + (after + Duration::from_secs(10)).max(Duration::from_secs(30));
        let Some(long) = outcome.long_burst() else { continue };
        let whole: Vec<Duration> =
            outcome.heard.iter().filter(|(_, burst, _)| *burst == long).map(|(_, _, at)| *at).collect();
        in_order &= outcome.violations.is_empty() && whole.len() == 3;
        waits.extend(whole.into_iter().map(|at| at.saturating_sub(due)));
    }
    waits.sort();
    let at = |part: usize| waits.get((waits.len().max(1) - 1) * part / 100).copied().unwrap_or_default().as_secs_f64();
    say(&format!(
        "  {what}: whole at every listener: {in_order}; after the return (or key-up): p50 {:.2} s, p95 {:.2} s, most {:.2} s",
        at(50),
        at(95),
        at(100)
    ));
    held
}

fn idle(runs: u64) -> bool {
    let hour = Duration::from_secs(3_600);
    let (mut active, mut messages, mut count) = (Duration::ZERO, 0, 0_u32);
    let mut held = true;
    for seed in 1..=runs.div_ceil(10) {
        let outcome = sim::run(&Plan::idle(seed, hour), sim::Options::default());
        held &= outcome.violations.is_empty();
        for traffic in &outcome.traffic {
            let mut until = Duration::ZERO;
            let begin = Duration::from_secs(60);
            for at in traffic.iter().filter(|at| **at >= begin && **at < begin + hour) {
                active += (*at + TAIL).saturating_sub(until.max(*at));
                until = *at + TAIL;
                messages += 1;
            }
            count += 1;
        }
    }
    let seconds = active.as_secs_f64() / f64::from(count.max(1));
    say(&format!(
        "An idle hour, followed in one room: {seconds:.0} radio-active seconds, {} messages; model: the radio is awake from each \
         message until {} s after the last",
        messages / count.max(1),
        TAIL.as_secs()
    ));
    held
}
