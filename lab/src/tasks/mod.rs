//! What `./x lab NAME` runs: proofs and measurements that take longer than a test may, one module each.
//!
//! A task prints what it found. It ends with exit code 0 when everything held, 1 when something did not, and 2 when it could
//! not be run.

mod api;
mod browser;
mod crash_points;
mod figures;
mod fuzz;
mod kill;
mod restore;
mod sim;
pub mod upgrade;

use std::io::Write;

use anyhow::Result;

use crate::bench;

/// The command line of `holler-lab`.
#[derive(Debug, clap::Parser)]
#[command(name = "./x lab", bin_name = "./x lab", about = "The long proofs and measurements", version)]
pub struct Lab {
    /// Without one, the tasks are listed.
    #[command(subcommand)]
    pub task: Option<Task>,
}

/// One task.
#[derive(Debug, clap::Subcommand)]
pub enum Task {
    /// The web client in a real browser, talking with native clients (`./x test browser` runs it with all it needs)
    Browser(browser::Options),
    /// How fast, how small and how soon, beside peers and the physical floor (`./x bench` runs it with all it needs)
    Bench(bench::Options),
    /// What a browser keeps: it and its tabs are killed at random instants of a press, and nothing is lost
    BrowserKills(browser::kills::Options),
    /// The REST interface against its own description, by schemathesis
    Api(api::Options),
    /// SQLite stopped at every sync, and the real stores opened on what is left
    CrashPoints(crash_points::Options),
    /// A burst across a cut link, and what an idle hour costs a radio, in virtual time
    Figures(figures::Options),
    /// Random inputs to every fuzz target, for as long as wanted
    Fuzz(fuzz::Options),
    /// What servers of earlier schema versions left, opened by this build and used
    Upgrade(upgrade::Options),
    /// A real server and real clients, killed at random instants, and nothing lost
    Kill(kill::Options),
    /// A backup restored under live clients, which fill it again
    Restore(restore::Options),
    /// Seeded runs of engine and server in virtual time, with everything going wrong
    Sim(sim::Options),
}

impl Task {
    /// Runs it. `false`: something that must hold does not.
    pub fn run(&self) -> Result<bool> {
        match self {
            Self::Browser(options) => browser::run(options),
            Self::Bench(options) => bench::run(options),
            Self::BrowserKills(options) => browser::kills::run(options),
            Self::Api(options) => api::run(options),
            Self::CrashPoints(options) => crash_points::run(options),
            Self::Figures(options) => figures::run(options),
            Self::Fuzz(options) => fuzz::run(options),
            Self::Upgrade(options) => upgrade::run(options),
            Self::Kill(options) => kill::run(options),
            Self::Restore(options) => restore::run(options),
            Self::Sim(options) => sim::run(options),
        }
    }
}

/// Prints a line of a task's report.
pub(crate) fn say(line: &str) {
    // Nobody is left to be told when standard output is gone.
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Says why a task could not be run.
pub fn complain(error: &anyhow::Error) {
    let _ = writeln!(std::io::stderr(), "lab: {error:#}");
}
