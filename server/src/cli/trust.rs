//! `hollerd trust`

use std::process::ExitCode;

use super::say;
use crate::config::Config;
use crate::pki::CA_CERTIFICATE;
use crate::trust::{self, Machine};

#[derive(Debug, clap::Args)]
pub(super) struct TrustFlags {
    /// Take the local CA out again
    #[arg(long)]
    remove: bool,
}

pub(super) fn run(config: &Config, flags: &TrustFlags) -> anyhow::Result<ExitCode> {
    let machine = Machine::this();
    let steps = trust::run(&config.keys.join(CA_CERTIFICATE), flags.remove, &machine)?;
    for step in &steps {
        say(step)?;
    }
    if steps.iter().any(|step| step.store.starts_with("Firefox") || step.store.starts_with("Chromium")) {
        say("Browsers that are running must be started again.")?;
    }
    if machine.is_root && std::env::var_os("SUDO_USER").is_some() {
        say(format_args!(
            "The browsers of the person who called sudo were left alone: run `hollerd trust --keys {}` as them too.",
            config.keys.display()
        ))?;
    }
    Ok(if steps.iter().all(|step| step.outcome.is_done()) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
