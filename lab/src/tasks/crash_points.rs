//! `./x lab crash-points`: see [`crate::crash_points`].

use anyhow::Result;

use super::say;
use crate::crash_points;

/// What `crash-points` takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Rounds of each scenario
    #[arg(long, default_value_t = 12)]
    pub rounds: u8,
}

/// Runs both and prints what was found.
pub(super) fn run(options: &Options) -> Result<bool> {
    let mut held = true;
    let server = crash_points::server(u64::from(options.rounds), false)?;
    let client = crash_points::client(options.rounds, false)?;
    for (name, report) in [("the server's store", server), ("the client's store", client)] {
        for fault in &report.faults {
            say(&format!("VIOLATION {name}, {fault}"));
        }
        held &= report.faults.is_empty();
        say(&format!(
            "{name}: {} syncs, {} states of the disk opened, {} faults",
            report.syncs,
            report.states,
            report.faults.len()
        ));
    }
    Ok(held)
}
