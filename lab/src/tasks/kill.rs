//! `./x lab kill`: see [`crate::kill`].

use std::path::PathBuf;

use anyhow::Result;

use super::say;
use crate::programs;

/// What `kill` takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// How many kills
    #[arg(long, default_value_t = 200)]
    pub times: u64,
    /// Chooses whom and when; the instants are real time's, so a run does not repeat
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Where hollerd and kill-client are [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub programs: Option<PathBuf>,
}

/// Runs it and prints its report.
pub(super) fn run(options: &Options) -> Result<bool> {
    let programs = programs::folder(options.programs.as_deref())?;
    let report = crate::kill::run(&programs, options.times, options.seed)?;
    for fault in &report.faults {
        say(&format!("VIOLATION {fault}"));
    }
    let kills = report.server_kills + report.client_kills;
    let rate = f64::from(u32::try_from(kills).unwrap_or(u32::MAX)) / report.took.as_secs_f64();
    say(&format!(
        "{kills} kills ({} of the server, {} of clients) in {:.0} s, {rate:.1} a second: {} acks, {} events shown, {} events \
         in the log, {} bursts delivered, {} texts and bursts kept over kills; {} faults",
        report.server_kills,
        report.client_kills,
        report.took.as_secs_f64(),
        report.acked,
        report.seen,
        report.log,
        report.bursts,
        report.kept,
        report.faults.len()
    ));
    Ok(report.faults.is_empty())
}
