//! `hollerd device`

use std::process::ExitCode;

use holler_core::units::DeviceId;

use super::{beside, say};
use crate::api::bounds;
use crate::config::Config;
use crate::storage::accounts::AccountError;
use crate::storage::audit::Actor;

#[derive(Debug, clap::Subcommand)]
pub(super) enum DeviceCommand {
    /// List a user's devices and tokens for scripts, newest first
    List {
        /// Whose
        login: String,
    },
    /// Give a device another name
    Name {
        /// The device, as listed
        device: DeviceId,
        /// 1 to 80 characters
        name: String,
    },
    /// Sign a device out for good, or all of a user's
    Revoke {
        /// The device, as listed
        #[arg(required_unless_present = "all_of")]
        device: Option<DeviceId>,
        /// Every device of this user
        #[arg(long, value_name = "LOGIN", conflicts_with = "device")]
        all_of: Option<String>,
    },
}

pub(super) fn run(config: &Config, command: DeviceCommand) -> anyhow::Result<ExitCode> {
    match command {
        DeviceCommand::List { login } => beside(config, async |desk| {
            let user = desk.user(&login).await?.id;
            for device in desk.auth.read(move |accounts| Ok(accounts.devices(user)?)).await? {
                let state = if device.revoked { "revoked" } else { "good" };
                say(format_args!("{}\t{state}\t{}\t{}", device.id, device.last_used_at, device.name))?;
            }
            Ok(())
        })?,
        DeviceCommand::Name { device, name } => {
            bounds::name("name", &name)?;
            beside(config, async |desk| {
                desk.auth.write(Actor::Cli, move |accounts, _| accounts.name_device(device, &name)).await?;
                say(format_args!("named {device}"))
            })?;
        }
        DeviceCommand::Revoke { device, all_of } => beside(config, async |desk| {
            if let Some(login) = all_of {
                let user = desk.user(&login).await?.id;
                desk.change(move |accounts, now| Ok(accounts.revoke_devices(user, now)?)).await?;
                return say(format_args!("revoked every device of {login}"));
            }
            let device = device.ok_or(AccountError::NoDevice)?;
            desk.change(move |accounts, now| accounts.revoke_device(device, now)).await?;
            say(format_args!("revoked {device}"))
        })?,
    }
    Ok(ExitCode::SUCCESS)
}
