//! `hollerd config`

use std::process::ExitCode;

use super::say;
use crate::config::{ConfigError, Loaded, dump};

#[derive(Debug, clap::Subcommand)]
pub(super) enum ConfigCommand {
    /// Say what is wrong with the settings: every fault with file, line and remedy
    Check,
    /// Show the settings in effect and where each was set, without secrets
    Dump {
        /// Show an example file with every setting instead, each with its default
        #[arg(long)]
        defaults: bool,
    },
}

pub(super) fn run(command: &ConfigCommand, load: impl Fn() -> Result<Loaded, ConfigError>) -> anyhow::Result<ExitCode> {
    match command {
        ConfigCommand::Check => match load() {
            Ok(loaded) => {
                let from = loaded.file.map_or_else(
                    || "no file was read: environment, flags and defaults".to_owned(),
                    |file| format!("{}, environment, flags and defaults", file.display()),
                );
                say(format_args!("the settings are good ({from})"))?;
                Ok(ExitCode::SUCCESS)
            }
            Err(ConfigError(faults)) => {
                for fault in faults {
                    say(fault)?;
                }
                Ok(ExitCode::FAILURE)
            }
        },
        ConfigCommand::Dump { defaults: true } => super::print(&dump::example()),
        ConfigCommand::Dump { defaults: false } => super::print(&dump::effective(&load()?)),
    }
}
