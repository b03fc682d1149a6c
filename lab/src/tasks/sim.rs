//! `./x lab sim`: many seeded runs of [`crate::sim`], or one with its trace.

use std::collections::BTreeMap;
use std::num::NonZero;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use anyhow::Result;

use super::say;
use crate::sim::{self, Outcome, Plan, Tally, Violation};

/// Failing seeds that are shown; the rest is counted.
const SHOWN_MAX: usize = 5;

/// Failing seeds that are named.
const LISTED_MAX: usize = 100;

/// What `sim` takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// How many seeds to run
    #[arg(long, default_value_t = 10_000)]
    pub seeds: u64,
    /// The first of them
    #[arg(long, default_value_t = 0)]
    pub from: u64,
    /// Run this seed only
    #[arg(long)]
    pub seed: Option<u64>,
    /// Print everything that happens in it
    #[arg(long, requires = "seed")]
    pub trace: bool,
    /// Leave out what the failure does not need, before anything is shown
    #[arg(long, requires = "seed")]
    pub shrink: bool,
    /// Threads [default: one a core]
    #[arg(long)]
    pub threads: Option<NonZero<usize>>,
}

/// Runs what was asked for. `false`: something was violated.
pub(super) fn run(options: &Options) -> Result<bool> {
    match options.seed {
        Some(seed) => Ok(one(seed, options)),
        None => Ok(many(options)),
    }
}

fn one(seed: u64, options: &Options) -> bool {
    let mut plan = Plan::of(seed);
    let plain = sim::Options::default();
    if options.shrink {
        let found = guarded(&plan, plain);
        if let Some(violation) = found.violations.first() {
            plan = sim::shrink(&plan, plain, violation.kind);
        }
    }
    let outcome = guarded(&plan, sim::Options { trace: options.trace, ..plain });
    for line in &outcome.trace {
        say(line);
    }
    for (at, fault) in &plan.faults {
        say(&format!("at {:.3} s: {fault:?}", at.as_secs_f64() + 1.0));
    }
    say(&format!("seed {seed}: hash {:016x}, {} steps, {:?}", outcome.hash, outcome.steps, outcome.tally));
    for violation in &outcome.violations {
        say(&format!("VIOLATION {violation}"));
    }
    outcome.violations.is_empty()
}

/// A machine that panics is a violation like any other.
fn guarded(plan: &Plan, options: sim::Options) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| sim::run(plan, options))).unwrap_or_else(|_| Outcome {
        hash: 0,
        violations: vec![Violation { kind: "panic", detail: "something panicked; see above".into() }],
        trace: Vec::new(),
        steps: 0,
        tally: Tally::default(),
        heard: Vec::new(),
        traffic: Vec::new(),
    })
}

fn many(options: &Options) -> bool {
    let threads = options.threads.or_else(|| std::thread::available_parallelism().ok()).map_or(1, NonZero::get);
    let end = options.from.saturating_add(options.seeds);
    let next = AtomicU64::new(options.from);
    let (steps, sum) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let failed: Mutex<BTreeMap<u64, Vec<Violation>>> = Mutex::default();
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = guarded(&Plan::of(seed), sim::Options::default());
                    steps.fetch_add(outcome.steps, Ordering::Relaxed);
                    sum.lock().unwrap_or_else(PoisonError::into_inner).add(&outcome.tally);
                    if !outcome.violations.is_empty() {
                        failed.lock().unwrap_or_else(PoisonError::into_inner).insert(seed, outcome.violations);
                    }
                }
            });
        }
    });
    let took = start.elapsed().as_secs_f64();
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut kinds: BTreeMap<&str, (u64, u64)> = BTreeMap::new();
    for (seed, violations) in &failed {
        let mut seen = std::collections::BTreeSet::new();
        for violation in violations.iter().filter(|violation| seen.insert(violation.kind)) {
            kinds.entry(violation.kind).or_insert((0, *seed)).0 += 1;
        }
    }
    for (seed, violations) in failed.iter().take(SHOWN_MAX) {
        say(&format!("seed {seed} at commit {}:", commit()));
        for violation in violations.iter().take(SHOWN_MAX) {
            say(&format!("  {violation}"));
        }
        say(&format!("  repeat it with: ./x lab sim --seed {seed} --trace"));
    }
    for (kind, (count, seed)) in &kinds {
        say(&format!("{kind}: {count} seeds, first {seed}"));
    }
    if failed.len() > SHOWN_MAX {
        let seeds: Vec<String> = failed.keys().take(LISTED_MAX).map(ToString::to_string).collect();
        say(&format!("the first {} of {} seeds: {}", seeds.len(), failed.len(), seeds.join(" ")));
    }
    let runs = options.seeds;
    let rate = f64::from(u32::try_from(runs).unwrap_or(u32::MAX)) / took;
    let Tally { acked, delivered, heard, connects, resumed, receipts, here, by_datagram } =
        sum.into_inner().unwrap_or_else(PoisonError::into_inner);
    say(&format!(
        "{runs} runs in {took:.1} s ({rate:.0} runs/s on {threads} threads): {} steps, {connects} connections, {resumed} of them \
         resumed, {acked} sends acked, {delivered} bursts delivered and heard whole {heard} times, {receipts} receipts, {here} looks at \
         somebody who is here, {by_datagram} frames by datagram; {} runs with a violation",
        steps.into_inner(),
        failed.len()
    ));
    failed.is_empty()
}

/// Which code this is, as far as git can tell.
fn commit() -> String {
    let git = Command::new("git").args(["rev-parse", "--short", "HEAD"]).output();
    git.map_or_else(|_| "unknown".into(), |output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}
