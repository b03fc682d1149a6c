//! `instructions`: how many instructions the hot paths take, one by one, as valgrind's callgrind counts them.
//!
//! Unlike times, counts hardly vary: a count that has grown since the last report says that the code does more, on whatever machine and
//! however busy. It is told, and never fails anything.
//!
//! This program runs itself under valgrind ([`work`]), which does each of [`cases::CASES`] a thousand times; of each the inclusive cost
//! of its function is read from `callgrind_annotate`.

mod cases;

use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::Setting;
use super::report::{Bench, Beside};
use super::rounds::Spread;

/// How often each case is done.
const TIMES: u32 = 1_000;

/// Does every case; for valgrind to watch.
pub(super) fn work() -> Result<()> {
    for case in cases::CASES {
        (case.run)(TIMES)?;
    }
    Ok(())
}

/// Runs it.
pub(super) fn run(setting: &Setting) -> Result<Bench> {
    let mut bench = Bench::new(&format!(
        "Instructions of one operation, counted by valgrind's callgrind over {TIMES} of them in the optimised build; what prepares them is not \
         counted. Beside each what the last report said: the code, the compiler and its settings change it, the machine next to nothing."
    ));
    if !is_here() {
        bench.note("Skipped: no valgrind here (Debian: `valgrind`).");
        return Ok(bench);
    }
    let counted = count()?;
    for case in cases::CASES {
        let cost = cost(&counted, case.name).with_context(|| format!("callgrind says nothing of {}", case.name))?;
        let each = Spread::of([cost / f64::from(TIMES)]);
        let before = setting.landed.iter().flat_map(|landed| &landed.figures).find(|figure| figure.what == case.what);
        bench.alone(case.what, "instructions", each, None);
        if let (Some(before), Some(figure)) = (before, bench.figures.last_mut()) {
            let ratio = Spread::of([each.median / before.ours.median.max(1.0)]);
            figure.beside.push(Beside { name: "last report".to_owned(), value: before.ours, ratio });
        }
    }
    Ok(bench)
}

fn is_here() -> bool {
    let version = Command::new("valgrind").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    version.is_ok_and(|status| status.success())
}

/// What `callgrind_annotate` says of a run.
fn count() -> Result<String> {
    let scratch = tempfile::tempdir()?;
    let out = scratch.path().join("callgrind.out");
    let own = std::env::current_exe().context("where this program is")?;
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(own)
        .args(["bench", "--count"])
        .stdout(Stdio::null())
        .output()
        .context("valgrind")?;
    ensure!(ran.status.success(), "valgrind: {}", String::from_utf8_lossy(&ran.stderr));
    let told = Command::new("callgrind_annotate")
        .args(["--inclusive=yes", "--threshold=100"])
        .arg(&out)
        .output()
        .context("callgrind_annotate, which comes with valgrind")?;
    ensure!(told.status.success(), "callgrind_annotate: {}", String::from_utf8_lossy(&told.stderr));
    Ok(String::from_utf8_lossy(&told.stdout).into_owned())
}

/// The inclusive cost of a case's function: of lines such as ` 1,234,567 (12.3%)  file.rs:path::cases::name [program]` the largest.
fn cost(told: &str, name: &str) -> Option<f64> {
    let wanted = format!("cases::{name}");
    let lines = told.lines().filter(|line| {
        line.split_once(&wanted).is_some_and(|(_, rest)| !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_'))
    });
    let costs = lines.filter_map(|line| line.split_whitespace().next()?.replace(',', "").parse::<f64>().ok());
    costs.reduce(f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_found_by_its_whole_name() {
        let told = "\
            99,000 (99.0%)  ???:holler_lab::main [/x/holler-lab]\n\
            12,500 (12.5%)  lab/src/bench/instructions/cases.rs:holler_lab::bench::instructions::cases::frames'2 [/x/holler-lab]\n\
            12,000 (12.0%)  lab/src/bench/instructions/cases.rs:holler_lab::bench::instructions::cases::frames [/x/holler-lab]\n\
            88,000 (88.0%)  lab/src/bench/instructions/cases.rs:holler_lab::bench::instructions::cases::frames_of [/x/holler-lab]\n";
        assert_eq!(cost(told, "frames"), Some(12_500.0));
        assert_eq!(cost(told, "frames_of"), Some(88_000.0));
        assert_eq!(cost(told, "none"), None);
    }

    /// What is counted is done: a case that fails would count its refusal.
    #[test]
    fn every_case_does_its_work() {
        work().unwrap();
        let mut names: Vec<_> = cases::CASES.iter().flat_map(|case| [case.name, case.what]).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), 2 * cases::CASES.len());
    }
}
