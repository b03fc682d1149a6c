//! `hollerd user`

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use holler_core::model::{Role, UserRole};
use holler_core::units::UserId;

use super::access::random;
use super::invite::ShowLink;
use super::{beside, new_password, say};
use crate::api::bounds;
use crate::config::Config;
use crate::export;
use crate::storage::accounts::UserRow;
use crate::storage::audit::Actor;

#[derive(Debug, clap::Subcommand)]
pub(super) enum UserCommand {
    /// Add a user; the password is asked for
    Add {
        /// 1 to 64 of a-z 0-9 . _ -
        login: String,
        /// The name that others see [default: the login]
        #[arg(long)]
        name: Option<String>,
        /// They also manage users and rooms
        #[arg(long)]
        admin: bool,
        /// Put them into this room as a talker; may be given several times
        #[arg(long, value_name = "ROOM")]
        room: Vec<String>,
        /// Read the password from standard input, one line
        #[arg(long)]
        password_stdin: bool,
    },
    /// Set a user's password; their devices must sign in again
    Passwd {
        /// Who
        login: String,
        /// Read the password from standard input, one line
        #[arg(long)]
        password_stdin: bool,
    },
    /// Print a one-time link with which a user sets a new password; all their devices must sign in again then
    Reset {
        /// Who
        login: String,
        /// How long it is good, in hours
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=168))]
        hours: u32,
        #[command(flatten)]
        shown: ShowLink,
    },
    /// Change a user's name or role
    Set {
        /// Who
        login: String,
        /// The name that others see
        #[arg(long, required_unless_present = "role")]
        name: Option<String>,
        /// admin or member
        #[arg(long)]
        role: Option<UserRole>,
    },
    /// Keep a user out for now: their sign-ins end, and no token of theirs is good
    Suspend {
        /// Who
        login: String,
    },
    /// Let a suspended user in again
    Restore {
        /// Who
        login: String,
    },
    /// Write everything that is kept of a user as lines of JSON
    Export {
        /// Who
        login: String,
        /// Where to [default: standard output]
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// Erase a user for good: who they were can't be told any more. What they wrote stays, under an identifier that names nobody
    Erase {
        /// Who
        login: String,
        /// Without it nothing is done
        #[arg(long)]
        yes: bool,
    },
    /// List the users
    List,
}

pub(super) fn run(config: &Config, command: UserCommand) -> anyhow::Result<ExitCode> {
    match command {
        UserCommand::Add { login, name, admin, room, password_stdin } => {
            let name = name.unwrap_or_else(|| login.clone());
            bounds::login(&login)?;
            bounds::name("name", &name)?;
            let password = new_password(password_stdin)?;
            beside(config, async |desk| {
                let mut rooms = Vec::new();
                for room in &room {
                    rooms.push(desk.room(room).await?.id);
                }
                bounds::new_password(&password, &desk.auth.policy())?;
                let hash = desk.auth.hash_password(password).await?;
                let role = if admin { UserRole::Admin } else { UserRole::Member };
                let user = UserRow { id: UserId::from_bytes(random()?), login, name, role };
                let (id, login) = (user.id, user.login.clone());
                let alone = rooms.is_empty();
                desk.change(move |accounts, now| {
                    let mut generation = accounts.add_user(&user, &hash, now)?;
                    for room in rooms {
                        generation = accounts.set_member(room, user.id, Role::Talker, now)?;
                    }
                    Ok(generation)
                })
                .await?;
                say(format_args!("added {login} ({id})"))?;
                if alone {
                    say(format_args!(
                        "{login} is in no room yet: put them into one with `hollerd room member ROOM {login}`"
                    ))?;
                }
                Ok(())
            })?;
        }
        UserCommand::Passwd { login, password_stdin } => {
            let password = new_password(password_stdin)?;
            beside(config, async |desk| {
                let user = desk.user(&login).await?.id;
                bounds::new_password(&password, &desk.auth.policy())?;
                let hash = desk.auth.hash_password(password).await?;
                desk.change(move |accounts, _| accounts.set_password(user, &hash)).await?;
                say(format_args!("{login} has a new password; all their devices must sign in again"))
            })?;
        }
        UserCommand::Reset { login, hours, shown } => beside(config, async |desk| {
            let user = desk.user(&login).await?.id;
            let lives = Duration::from_secs(u64::from(hours) * 3_600);
            shown.print(config, &desk.auth.make_reset(Actor::Cli, user, lives).await?)
        })?,
        UserCommand::Set { login, name, role } => {
            name.as_deref().map_or(Ok(()), |name| bounds::name("name", name))?;
            beside(config, async |desk| {
                let user = desk.user(&login).await?.id;
                desk.change(move |accounts, _| {
                    name.map_or(Ok(0), |name| accounts.rename_user(user, &name))?;
                    role.map_or(Ok(0), |role| accounts.set_user_role(user, role))?;
                    Ok(accounts.changed()?)
                })
                .await?;
                say(format_args!("changed {login}"))
            })?;
        }
        UserCommand::Suspend { login } => beside(config, async |desk| {
            let user = desk.user(&login).await?.id;
            desk.change(move |accounts, now| accounts.suspend_user(user, true, now)).await?;
            say(format_args!("{login} is suspended; let them in again with `hollerd user restore {login}`"))
        })?,
        UserCommand::Restore { login } => beside(config, async |desk| {
            let user = desk.user(&login).await?.id;
            desk.change(move |accounts, now| accounts.suspend_user(user, false, now)).await?;
            say(format_args!("{login} may sign in again"))
        })?,
        UserCommand::Export { login, out } => beside(config, async |desk| {
            let user = desk.user(&login).await?.id;
            let mut lines = export::begin(&desk.auth, &desk.store, Actor::Cli, user).await?;
            let mut to: Box<dyn Write> = match &out {
                // Made readable for its owner only, and never in place of something else.
                Some(path) => Box::new(
                    OpenOptions::new()
                        .write(true)
                        .create_new(true)
                        .mode(0o600)
                        .open(path)
                        .with_context(|| path.display().to_string())?,
                ),
                None => Box::new(std::io::stdout().lock()),
            };
            let mut last = Bytes::new();
            while let Some(line) = lines.recv().await {
                last = line?;
                to.write_all(&last).context("the export could not be written")?;
            }
            to.flush().context("the export could not be written")?;
            let end: serde_json::Value = serde_json::from_slice(&last).unwrap_or_default();
            anyhow::ensure!(end["type"] == "end", "the export broke off: what was written is not whole");
            Ok(())
        })?,
        UserCommand::Erase { login, yes } => beside(config, async |desk| {
            let user = desk.user(&login).await?;
            anyhow::ensure!(
                yes,
                "this erases {login} ({}) for good: their data may be wanted first (`hollerd user export {login}`); \
                 then say --yes",
                user.id
            );
            let id = user.id;
            desk.change(move |accounts, now| accounts.erase_user(id, now)).await?;
            say(format_args!("erased {login} ({id}); the login is free again"))
        })?,
        UserCommand::List => beside(config, async |desk| {
            let (users, suspended) = desk.auth.read(|accounts| Ok((accounts.users()?, accounts.suspended()?))).await?;
            for user in users {
                let state = if suspended.contains_key(&user.id) { "\tsuspended" } else { "" };
                say(format_args!("{}\t{}\t{}\t{}{state}", user.id, user.login, user.role, user.name))?;
            }
            Ok(())
        })?,
    }
    Ok(ExitCode::SUCCESS)
}
