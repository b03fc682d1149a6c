//! `hollerd doctor`

use std::process::ExitCode;
use std::time::Duration;

use super::{print, say};
use crate::clock::Clock;
use crate::config::{ConfigError, Loaded};
use crate::doctor::{self, Level, Order};

#[derive(Debug, clap::Args)]
pub(super) struct DoctorFlags {
    /// One JSON array instead of text: subject, level, what, why, remedy
    #[arg(long)]
    json: bool,
    /// Read every page and index of the database: minutes for a large one
    #[arg(long)]
    thorough: bool,
}

pub(super) fn run(flags: &DoctorFlags, settings: Result<Loaded, ConfigError>) -> anyhow::Result<ExitCode> {
    let now = Duration::from_millis(Clock::default().unix().0);
    let findings = doctor::examine(settings, Order { thorough: flags.thorough, now });
    if flags.json {
        say(serde_json::to_string_pretty(&findings)?)?;
    } else {
        print(&doctor::render(&findings))?;
    }
    let is_bad = findings.iter().any(|finding| finding.level == Level::Bad);
    Ok(if is_bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
