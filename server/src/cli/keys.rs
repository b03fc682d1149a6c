//! `hollerd keys`

use std::process::ExitCode;

use anyhow::ensure;
use holler_core::units::UnixMs;

use super::{beside, say};
use crate::auth::{resume, tokens};
use crate::config::Config;
use crate::keys::KeyRing;
use crate::storage::audit::{Action, Actor, Entry, Target};
use crate::storage::{folder, vault};

/// Data keys that one step wraps anew: others write between two.
const STEP: usize = 100;
/// How long a key that was replaced is kept at least: the longest life of a token for a script.
const SIGNING_KEPT_DAYS: u64 = 366;

#[derive(Debug, clap::Subcommand)]
pub(super) enum KeysCommand {
    /// Show which keys of the ring the data needs, and which keys sign access tokens
    Status,
    /// Add a key to the ring and wrap every data key with it, also while the server runs; or a new key for access tokens
    Rotate {
        /// The keys of access tokens and of resume tokens instead; tokens of the earlier keys stay good
        #[arg(long)]
        signing: bool,
    },
    /// Remove keys that nothing needs any more; backups that were made before still need them
    Prune {
        /// Also the replaced keys of access tokens and resume tokens: tokens for scripts that they signed end
        #[arg(long)]
        signing: bool,
    },
}

pub(super) fn run(config: &Config, command: &KeysCommand) -> anyhow::Result<ExitCode> {
    match command {
        KeysCommand::Status => status(config)?,
        KeysCommand::Rotate { signing: true } => {
            let ((id, private), (resume_id, resume)) = (tokens::generate()?, resume::generate()?);
            beside(config, async |desk| {
                let name = id.clone();
                desk.change(move |accounts, now| {
                    accounts.add_signing_key(&id, &private, now)?;
                    accounts.add_resume_key(resume_id, &resume, now)?;
                    Ok(accounts.changed()?)
                })
                .await?;
                say(format_args!(
                    "access tokens are signed with {name} from now on, and resume tokens with a new key too; those of the earlier keys stay good"
                ))
            })?;
        }
        KeysCommand::Rotate { signing: false } => {
            // A rotation that was interrupted left a new key that wraps little: it is finished before another begins.
            let ring = KeyRing::rotate(&config.keys)?;
            say(format_args!(
                "the ring has a new key, {}: keep a new copy of ring.toml apart from the data",
                ring.active()
            ))?;
            rewrap(config)?;
        }
        KeysCommand::Prune { signing } => prune(config, *signing)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn status(config: &Config) -> anyhow::Result<()> {
    let ring = KeyRing::load(&config.keys)?;
    beside(config, async |desk| {
        let uses = desk.store.read(vault::uses).await?;
        for (id, _) in ring.checks() {
            let active = if id == ring.active() { ", wraps new ones" } else { "" };
            say(format_args!("ring key {id}: {} data keys{active}", uses.get(&id).copied().unwrap_or(0)))?;
        }
        for (at, (id, _)) in desk.auth.read(|accounts| Ok(accounts.signing_keys()?)).await?.iter().enumerate() {
            say(format_args!("signing key {id}{}", if at == 0 { ": signs access tokens" } else { ": replaced" }))?;
        }
        let resume = desk.auth.read(|accounts| Ok(accounts.resume_keys()?)).await?;
        say(format_args!("keys of resume tokens: {}, the newest makes new ones", resume.len()))?;
        Ok(())
    })
}

/// Wraps every data key with the active key of the ring.
fn rewrap(config: &Config) -> anyhow::Result<()> {
    beside(config, async |desk| {
        let (mut wrapped, active) = (0_usize, KeyRing::load(&config.keys)?.active());
        loop {
            let vault = desk.store.vault().clone();
            match desk.store.write(move |db| vault.rewrap(db, STEP)).await? {
                0 => break,
                some => wrapped += some,
            }
        }
        let entry = Entry::new(Actor::Cli, Action::RingKeyRotated).target(Target::named("ring_key", active));
        desk.record(entry.detail("data_keys", wrapped)).await?;
        say(format_args!("{wrapped} data keys were wrapped anew; `hollerd keys prune` removes the earlier key"))
    })
}

fn prune(config: &Config, signing: bool) -> anyhow::Result<()> {
    let ring = KeyRing::load(&config.keys)?;
    let spare: Vec<_> = ring.checks().map(|(id, _)| id).filter(|id| *id != ring.active()).collect();
    if !spare.is_empty() {
        // A server reads a changed ring within a second; until then it may wrap with the earlier key.
        let path = config.keys.join(crate::keys::RING_FILE);
        let age = std::fs::metadata(path)?.modified()?.elapsed().unwrap_or_default();
        ensure!(
            age.as_secs() >= 10,
            "the ring was changed just now: try again in 10 s, when a running server has read it"
        );
        // What was wrapped in between.
        rewrap(config)?;
    }
    beside(config, async |desk| {
        let mut pruned = 0;
        for id in &spare {
            let uses = desk.store.read(vault::uses).await?;
            ensure!(!uses.contains_key(id), "ring key {id} still wraps data keys: run `hollerd keys prune` again");
            folder::forget_ring_key(&config.data, *id)?;
            KeyRing::prune(&config.keys, *id)?;
            let entry = Entry::new(Actor::Cli, Action::RingKeyPruned).target(Target::named("ring_key", id));
            desk.record(entry).await?;
            say(format_args!(
                "ring key {id} was removed: backups that were made before it was replaced can't be opened without it"
            ))?;
            pruned += 1;
        }
        let now = crate::clock::Clock::default().unix();
        let kept = if signing { 0 } else { SIGNING_KEPT_DAYS * 86_400_000 };
        let before = UnixMs((now.0 + 1).saturating_sub(kept));
        let (told, count) = std::sync::mpsc::channel();
        desk.change(move |accounts, _| {
            let _ = told.send((accounts.prune_signing_keys(before)?, accounts.prune_resume_keys(before)?));
            Ok(accounts.changed()?)
        })
        .await?;
        let (signing, resume) = count.recv()?;
        say(format_args!("{pruned} ring keys, {signing} signing keys and {resume} keys of resume tokens were removed"))
    })
}
