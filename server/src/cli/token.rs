//! `hollerd token`

use std::process::ExitCode;

use holler_core::model::{Scope, UserRole};
use holler_core::units::DeviceId;

use super::{beside, say};
use crate::api::bounds;
use crate::auth::sign_in::SCRIPT_DAYS_MAX;
use crate::config::Config;
use crate::storage::audit::Actor;

#[derive(Debug, clap::Subcommand)]
pub(super) enum TokenCommand {
    /// Make an access token for a script and print it; it acts as this user and can't be refreshed
    Make {
        /// As whom the script acts
        login: String,
        /// What it may do: floor, messages, calls, media, roster, presence, admin; may be given several times
        #[arg(long, required = true)]
        scope: Vec<Scope>,
        /// What it is for, as shown in the list of devices
        #[arg(long, default_value = "script")]
        name: String,
        /// How long it is valid, in days
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=i64::from(SCRIPT_DAYS_MAX)))]
        days: u32,
    },
    /// List a user's devices and tokens for scripts
    List {
        /// Whose
        login: String,
    },
    /// Revoke a device or a token for a script, for good
    Revoke {
        /// The device, as listed
        device: DeviceId,
    },
}

pub(super) fn run(config: &Config, command: TokenCommand) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Make { login, mut scope, name, days } => {
            bounds::name("name", &name)?;
            scope.sort_unstable();
            scope.dedup();
            beside(config, async |desk| {
                let user = desk.user(&login).await?;
                anyhow::ensure!(
                    user.role == UserRole::Admin || !scope.contains(&Scope::Admin),
                    "{login} is no admin: the scope admin would have no effect"
                );
                let (_, token) = desk.auth.script_token(Actor::Cli, user.id, name, scope, days).await?;
                say(token)
            })?;
        }
        TokenCommand::List { login } => beside(config, async |desk| {
            let user = desk.user(&login).await?.id;
            for device in desk.auth.read(move |accounts| Ok(accounts.devices(user)?)).await? {
                let state = if device.revoked { "revoked" } else { "good" };
                say(format_args!("{}\t{state}\t{}\t{}", device.id, device.last_used_at, device.name))?;
            }
            Ok(())
        })?,
        TokenCommand::Revoke { device } => beside(config, async |desk| {
            desk.change(move |accounts, now| accounts.revoke_device(device, now)).await?;
            say(format_args!("revoked {device}"))
        })?,
    }
    Ok(ExitCode::SUCCESS)
}
