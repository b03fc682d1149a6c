//! `hollerd backup` and `hollerd restore`

use std::io::BufRead as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use zeroize::Zeroizing;

use super::{beside, say};
use crate::clock::Clock;
use crate::config::Config;
use crate::keys::KeyRing;
use crate::logs;
use crate::storage::backup::{self, Manifest, WithKeys};
use crate::storage::{ServeLock, Store};

#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(super) struct BackupFlags {
    #[command(subcommand)]
    command: Option<BackupCommand>,
    /// The archive to write; it must not be there yet
    #[arg(required = true)]
    file: Option<PathBuf>,
    /// Put the keys in too, sealed with a passphrase, which is asked for
    #[arg(long)]
    with_keys: bool,
    /// Read the passphrase from standard input, one line
    #[arg(long, requires = "with_keys")]
    passphrase_stdin: bool,
}

#[derive(Debug, clap::Subcommand)]
enum BackupCommand {
    /// Check an archive: its checksums, the database in it, and the audit log
    Verify {
        /// The archive
        file: PathBuf,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct RestoreFlags {
    /// The archive
    file: PathBuf,
    /// Bring back the keys that are in it too; the passphrase is asked for
    #[arg(long)]
    with_keys: bool,
    /// Read the passphrase from standard input, one line
    #[arg(long, requires = "with_keys")]
    passphrase_stdin: bool,
    /// Everybody must sign in again: for when devices were revoked or passwords changed since the backup
    #[arg(long)]
    end_sign_ins: bool,
}

pub(super) fn run(config: &Config, flags: BackupFlags) -> anyhow::Result<ExitCode> {
    logs::start(config);
    if let Some(BackupCommand::Verify { file }) = flags.command {
        let manifest = backup::verify(&file)?;
        say(format_args!("{}: good", file.display()))?;
        return describe(&manifest);
    }
    let file = flags.file.context("name the archive to write")?;
    let passphrase = flags.with_keys.then(|| passphrase(flags.passphrase_stdin, true)).transpose()?;
    let folder = config.keys.clone();
    let with_keys = passphrase.map(|passphrase| WithKeys { folder: &folder, passphrase });
    let manifest = backup::make(&config.data, &file, with_keys, Clock::default().unix())?;
    let told = manifest.clone();
    beside(config, async |desk| Ok(desk.record(backup::entry(&told)).await?))?;
    say(format_args!("{}: written", file.display()))?;
    describe(&manifest)
}

pub(super) fn restore(config: &Config, flags: &RestoreFlags) -> anyhow::Result<ExitCode> {
    logs::start(config);
    let passphrase = flags.with_keys.then(|| passphrase(flags.passphrase_stdin, false)).transpose()?;
    let now = Clock::default().unix();
    let restored =
        backup::restore(&flags.file, &config.data, &config.keys, passphrase.as_ref(), flags.end_sign_ins, now)?;
    say(format_args!("{}: restored from {}", config.data.display(), flags.file.display()))?;
    if flags.end_sign_ins {
        say(format_args!("{} sign-ins were ended: everybody must sign in again", restored.ended))?;
    }
    // Whether it can be served shows now and not when people wait for it.
    let opened = KeyRing::load(&config.keys).map_err(anyhow::Error::from).and_then(|ring| {
        let _lock = ServeLock::acquire(&config.data)?;
        Store::open_beside(&config.data, ring)?;
        Ok(())
    });
    match opened {
        Ok(()) => say("the key ring fits: start the server with `hollerd serve`")?,
        Err(error) => say(format_args!("it can't be served yet: {error:#}"))?,
    }
    describe(&restored.manifest)
}

fn describe(manifest: &Manifest) -> anyhow::Result<ExitCode> {
    let bytes: u64 = manifest.parts.iter().map(|part| part.bytes).sum();
    say(format_args!("made at {} by {}, schema {}", manifest.made_at, manifest.made_by, manifest.schema))?;
    say(format_args!(
        "{bytes} bytes, {} rooms, {}",
        manifest.rooms.len(),
        if manifest.keys.is_some() { "with the keys, sealed" } else { "without the keys" }
    ))?;
    for workspace in &manifest.workspaces {
        say(format_args!("{} audit head {}", workspace.workspace, workspace.audit_head))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Never from the arguments, which every process can see.
fn passphrase(from_stdin: bool, twice: bool) -> anyhow::Result<Zeroizing<String>> {
    if from_stdin {
        let mut line = Zeroizing::new(String::new());
        std::io::stdin().lock().read_line(&mut line).context("standard input")?;
        return Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()));
    }
    let ask = |prompt| {
        rpassword::prompt_password(prompt).map(Zeroizing::new).context("no terminal to ask on; use --passphrase-stdin")
    };
    let first = ask("Passphrase for the keys: ")?;
    anyhow::ensure!(!twice || *first == *ask("Again: ")?, "the two passphrases differ");
    Ok(first)
}
