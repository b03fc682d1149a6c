//! `./x lab restore`: see [`crate::kill::restore`].

use std::path::PathBuf;

use anyhow::Result;

use super::say;
use crate::programs;

/// What `restore` takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// How often
    #[arg(long, default_value_t = 3)]
    pub times: u64,
    /// Where hollerd and kill-client are [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub programs: Option<PathBuf>,
}

/// Runs it and prints its report.
pub(super) fn run(options: &Options) -> Result<bool> {
    let programs = programs::folder(options.programs.as_deref())?;
    let mut held = true;
    for seed in 1..=options.times {
        let report = crate::kill::restore::run(&programs, seed)?;
        for fault in &report.faults {
            say(&format!("VIOLATION {fault}"));
        }
        say(&format!(
            "restored under live clients: {} acked before the backup, {} after it and not in it, {} by the restored server; \
             {} bursts, {} events in the log; the server was away for {:.1} s, refilled and quiet {:.1} s later; {} faults",
            report.before,
            report.lacked,
            report.after,
            report.bursts,
            report.log,
            report.away.as_secs_f64(),
            report.refilled.as_secs_f64(),
            report.faults.len()
        ));
        held &= report.faults.is_empty();
    }
    Ok(held)
}
