//! The command line of `hollerd`.
//!
//! `serve` runs the server; the other commands work on the same data folder, also while a server runs: it notices what they
//! change within a second. Exit codes: 0 done, 1 it did not work (the reason is on standard error), 2 wrong usage, 3 the server
//! went down at once because it was told to a second time.

mod access;
mod audit;
mod backup;
mod config;
mod db;
mod device;
mod doctor;
mod invite;
mod keys;
mod manual;
mod room;
mod serve;
mod token;
mod trust;
mod user;

use std::io::{BufRead as _, Write as _};
use std::os::unix::fs::MetadataExt as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use holler_core::units::WorkspaceId;
use zeroize::Zeroizing;

use crate::api::openapi;
use crate::clock::Clock;
use crate::config::{CommonFlags, Config, ConfigError, DEFAULT_FILE, Loaded, ServeFlags};
use crate::keys::KeyRing;
use crate::logs;
use crate::storage::{Store, has_data};

/// Holler's server: push-to-talk for teams, in one binary.
#[derive(Debug, clap::Parser)]
#[command(name = "hollerd", version, max_term_width = 100)]
struct Hollerd {
    #[command(flatten)]
    common: CommonFlags,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Run the server; the first start makes a workspace and prints how to sign in
    Serve(ServeFlags),
    /// Add and change users, set passwords
    #[command(subcommand)]
    User(user::UserCommand),
    /// Add rooms and set who is in them
    #[command(subcommand)]
    Room(room::RoomCommand),
    /// Make, list and take back invites: links by which people join
    #[command(subcommand)]
    Invite(invite::InviteCommand),
    /// List, name and revoke users' devices
    #[command(subcommand)]
    Device(device::DeviceCommand),
    /// Make, list and revoke tokens for scripts, and revoke devices
    #[command(subcommand)]
    Token(token::TokenCommand),
    /// Show, export and check the log of who changed what
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Write everything into one archive, also while the server runs
    Backup(backup::BackupFlags),
    /// Make a new data folder of an archive; every room's log gets a new incarnation
    Restore(backup::RestoreFlags),
    /// Show, rotate and prune the keys that data is sealed and tokens are signed with
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    /// Upgrade, describe and check the database
    #[command(subcommand)]
    Db(db::DbCommand),
    /// Make the local CA known to this machine and its browsers
    Trust(trust::TrustFlags),
    /// Check and show the settings
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Look at everything that a server needs, and say what is wrong, why it matters and what to do
    Doctor(doctor::DoctorFlags),
    /// Print what makes a shell complete hollerd's commands and flags
    Completions(manual::CompletionFlags),
    /// Write the manual pages into a folder
    #[command(hide = true)]
    Man(manual::ManFlags),
    /// Print the OpenAPI document
    #[command(hide = true)]
    Openapi,
    /// Print the JSON Schema of the socket's messages
    #[command(hide = true)]
    SocketSchema,
}

/// Runs the command line.
pub fn main() -> ExitCode {
    let hollerd = Hollerd::parse();
    let serves = matches!(hollerd.command, Command::Serve(_));
    match run(hollerd) {
        Ok(code) => code,
        Err(error) => {
            let hint = if serves { ". `hollerd doctor` looks for the cause, and says what to do" } else { "" };
            let _ = writeln!(std::io::stderr(), "hollerd: {}{hint}", told(&error).trim_end_matches('.'));
            // As wrong usage: no further try mends it.
            if error.is::<ConfigError>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run(Hollerd { mut common, command }: Hollerd) -> anyhow::Result<ExitCode> {
    common.default_file = Some(DEFAULT_FILE.into());
    let flags = if let Command::Serve(flags) = &command { flags.clone() } else { ServeFlags::default() };
    let read = || Loaded::read(&common, &flags, environment());
    let load = || read().map(|loaded| loaded.config);
    let mine = || as_owner(load()?);
    match command {
        Command::Serve(_) => serve::run(mine()?, load),
        Command::User(command) => user::run(&mine()?, command),
        Command::Room(command) => room::run(&mine()?, command),
        Command::Invite(command) => invite::run(&mine()?, command),
        Command::Device(command) => device::run(&mine()?, command),
        Command::Token(command) => token::run(&mine()?, command),
        Command::Config(command) => config::run(&command, read),
        Command::Audit(command) => audit::run(&mine()?, command),
        Command::Backup(flags) => backup::run(&mine()?, flags),
        Command::Restore(flags) => backup::restore(&mine()?, &flags),
        Command::Db(command) => db::run(&mine()?, &command),
        Command::Keys(command) => keys::run(&mine()?, &command),
        Command::Doctor(flags) => doctor::run(&flags, read()),
        Command::Trust(flags) => trust::run(&load()?, &flags),
        Command::Completions(flags) => manual::completions(&flags),
        Command::Man(flags) => manual::man(&flags),
        Command::Openapi => print(&openapi::rest()),
        Command::SocketSchema => print(&openapi::socket()),
    }
}

/// An error with its causes in one line; those that it quotes itself are not said twice.
fn told(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |said, cause| {
        let cause = cause.to_string();
        match said.as_str() {
            "" => cause,
            before if before.contains(&cause) => said,
            before => format!("{before}: {cause}"),
        }
    })
}

/// What this system calls a user.
fn user_name(id: u32) -> Option<String> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    let entry = text.lines().find(|line| line.split(':').nth(2) == Some(id.to_string().as_str()))?;
    Some(entry.split(':').next()?.to_owned())
}

/// Refuses to work on the data of another user, also as root: what this process makes there would be its own, and the server could
/// not write it.
fn as_owner(config: Config) -> anyhow::Result<Config> {
    let Ok(data) = std::fs::metadata(&config.data) else { return Ok(config) };
    let owner = data.uid();
    if rustix::process::geteuid().as_raw() == owner {
        return Ok(config);
    }
    let name = user_name(owner);
    anyhow::bail!(
        "{} belongs to the user {}: run this as them, such as `runuser -u {} -- hollerd …`. Nothing was done.",
        config.data.display(),
        name.as_ref().map_or_else(|| owner.to_string(), Clone::clone),
        name.unwrap_or_else(|| format!("'#{owner}'")),
    );
}

/// What is not UTF-8 can be no setting of ours.
fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
}

fn print(text: &str) -> anyhow::Result<ExitCode> {
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// A line on standard output.
fn say(text: impl std::fmt::Display) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{text}").context("standard output")
}

/// Runs a command beside a server, or without one.
fn beside<T>(config: &Config, work: impl AsyncFnOnce(access::Desk) -> anyhow::Result<T>) -> anyhow::Result<T> {
    logs::start(config);
    anyhow::ensure!(
        has_data(&config.data),
        "there is no data in {} yet: start the server once with `hollerd serve`, or name another folder with --data",
        config.data.display()
    );
    let ring = KeyRing::load(&config.keys)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open_beside(&config.data, ring)?;
        let desk = access::Desk::open(store.clone(), config, Clock::default()).await?;
        let done = work(desk).await;
        store.close().await;
        done
    })
}

/// A new password, not yet compared with the policy: from standard input, or asked for twice. Never from the arguments, which every process can see.
fn new_password(from_stdin: bool) -> anyhow::Result<Zeroizing<String>> {
    let password = if from_stdin {
        let mut line = Zeroizing::new(String::new());
        std::io::stdin().lock().read_line(&mut line).context("standard input")?;
        Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned())
    } else {
        let ask = |prompt| {
            rpassword::prompt_password(prompt)
                .map(Zeroizing::new)
                .context("no terminal to ask on; use --password-stdin")
        };
        let first = ask("New password: ")?;
        anyhow::ensure!(*first == *ask("Again: ")?, "the two passwords differ");
        first
    };
    Ok(password)
}

/// The workspace that the commands work on.
fn only_workspace(found: Option<WorkspaceId>) -> anyhow::Result<WorkspaceId> {
    found.context("the database has no workspace yet: start the server once with `hollerd serve`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_that_was_quoted_is_not_said_twice() {
        let denied = || std::io::Error::other("denied");
        let quoting = anyhow::Error::from(denied()).context("key.pem: denied");
        assert_eq!(told(&quoting), "key.pem: denied");
        assert_eq!(
            told(&anyhow::Error::from(denied()).context("the key can't be read")),
            "the key can't be read: denied"
        );
    }
}
