//! `hollerd audit`

use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use holler_core::units::{UnixMs, UserId, WorkspaceId};
use serde::{Deserialize, Serialize};

use super::{beside, say};
use crate::config::Config;
use crate::storage::audit::chain::{hex, unhex};
use crate::storage::audit::{self, Action, Head, Query, Sealed, Verifier};
use crate::storage::{backup, folder, schema};

#[derive(Debug, clap::Subcommand)]
pub(super) enum AuditCommand {
    /// Show what was changed and by whom, newest first
    List {
        /// How many entries
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Only those below this number
        #[arg(long)]
        before: Option<u64>,
        /// Only this action, such as user.added
        #[arg(long)]
        action: Option<Action>,
        /// Only those with this target, such as usr_…
        #[arg(long)]
        target: Option<String>,
    },
    /// Print the number and hash of the last entry: kept elsewhere, it shows whether the log was cut or written anew
    Head,
    /// Write the whole log to a file, details sealed as they are; `audit verify --export` checks it on any machine
    Export {
        /// The file; it must not be there yet
        file: PathBuf,
    },
    /// Check that nothing in the log was changed, removed, moved or cut off; needs no keys and no server
    Verify {
        /// An export instead of the data folder
        #[arg(long, value_name = "FILE", conflicts_with = "backup")]
        export: Option<PathBuf>,
        /// A backup instead of the data folder
        #[arg(long, value_name = "FILE")]
        backup: Option<PathBuf>,
        /// A head that was kept, as NUMBER:HASH; may be given several times
        #[arg(long, value_name = "NUMBER:HASH")]
        head: Vec<Head>,
    },
}

/// The first line of an export.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Heading {
    holler_audit: u32,
    workspace: WorkspaceId,
    head: String,
}

/// Each further line.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    number: u64,
    at: UnixMs,
    actor: String,
    action: String,
    targets: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    about: Option<UserId>,
    details: String,
    previous: String,
    hash: String,
}

pub(super) fn run(config: &Config, command: AuditCommand) -> anyhow::Result<ExitCode> {
    match command {
        AuditCommand::List { limit, before, action, target } => beside(config, async |desk| {
            let (mut left, mut query) = (limit, Query { before, action, target, limit: 0 });
            while left > 0 {
                query.limit = left.min(audit::PAGE_ENTRIES_MAX);
                let wanted = query.clone();
                let page = desk.auth.read(move |accounts| Ok(accounts.audit(&wanted)?)).await?;
                for entry in &page.entries {
                    let details = match &entry.details {
                        Some(details) if details.is_empty() => String::new(),
                        Some(details) => serde_json::to_string(details)?,
                        None => "(erased)".to_owned(),
                    };
                    let targets = entry.targets.join(" ");
                    say(format_args!(
                        "{}\t{}\t{}\t{}\t{targets}\t{details}",
                        entry.number, entry.at, entry.actor, entry.action
                    ))?;
                }
                left = left.saturating_sub(u32::try_from(page.entries.len()).unwrap_or(u32::MAX));
                let Some(next) = page.next else { break };
                query.before = Some(next);
            }
            Ok(())
        })?,
        AuditCommand::Head => {
            let db = reader(config)?;
            for workspace in crate::storage::accounts::workspaces(&db)? {
                say(audit::head(&db, workspace)?)?;
            }
        }
        AuditCommand::Export { file } => export(config, &file)?,
        AuditCommand::Verify { export: Some(file), head, .. } => verified(&file, verify_export(&file, head)?)?,
        AuditCommand::Verify { backup: Some(file), head, .. } => {
            let manifest = backup::verify(&file)?;
            let at: Vec<_> = manifest.workspaces.iter().map(|at| at.audit_head.as_str()).collect();
            // The archive's own head is in its manifest; those that are given lie at or before it.
            for head in head {
                let reached = at.iter().filter_map(|at| at.parse::<Head>().ok()).any(|at| at.number >= head.number);
                ensure!(reached, "{}: the log ends before entry {}, which was kept", file.display(), head.number);
                ensure!(
                    !at.iter()
                        .filter_map(|at| at.parse::<Head>().ok())
                        .any(|at| at.number == head.number && at != head),
                    "{}: entry {} is not the one whose hash was kept: the log was written anew",
                    file.display(),
                    head.number
                );
            }
            say(format_args!("{}: good, {}", file.display(), at.join(", ")))?;
        }
        AuditCommand::Verify { head, .. } => {
            let db = reader(config)?;
            for workspace in crate::storage::accounts::workspaces(&db)? {
                let found = audit::verify(&db, workspace, head.clone())?;
                verified(&config.data, found.map_err(anyhow::Error::from)?)?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn verified(what: &Path, head: Head) -> anyhow::Result<()> {
    say(format_args!("{}: good, {head}", what.display()))
}

/// The database as it is, without any key.
fn reader(config: &Config) -> anyhow::Result<rusqlite::Connection> {
    Ok(schema::reader_of_this_version(&config.data.join(folder::DATABASE_FILE))?)
}

fn export(config: &Config, path: &Path) -> anyhow::Result<()> {
    let db = reader(config)?;
    // One moment, also while a server writes.
    let db = db.unchecked_transaction()?;
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = BufWriter::new(file.with_context(|| format!("{}", path.display()))?);
    for workspace in crate::storage::accounts::workspaces(&db)? {
        let head = audit::head(&db, workspace)?;
        let heading = Heading { holler_audit: 1, workspace, head: head.to_string() };
        writeln!(file, "{}", serde_json::to_string(&heading)?)?;
        audit::each(&db, workspace, 0, |entry| -> Result<(), anyhow::Error> {
            Ok(writeln!(file, "{}", serde_json::to_string(&Line::from(entry))?)?)
        })?;
        say(format_args!("{}: {head}", path.display()))?;
    }
    file.into_inner().map_err(|error| anyhow::Error::from(error.into_error()))?.sync_all()?;
    Ok(())
}

fn verify_export(path: &Path, mut kept: Vec<Head>) -> anyhow::Result<Head> {
    let file = std::fs::File::open(path).with_context(|| format!("{}", path.display()))?;
    let mut lines = BufReader::new(file).lines();
    let at = |number: usize| format!("{}, line {number}", path.display());
    let first = lines.next().context("the file is empty")??;
    let heading: Heading = serde_json::from_str(&first).with_context(|| at(1))?;
    if heading.holler_audit != 1 {
        bail!("{}: layout {} is of a newer hollerd: use that one", path.display(), heading.holler_audit);
    }
    kept.push(heading.head.parse().map_err(anyhow::Error::msg)?);
    let mut verifier = Verifier::new(heading.workspace, kept);
    for (number, line) in lines.enumerate() {
        let line: Line = serde_json::from_str(&line?).with_context(|| at(number + 2))?;
        verifier.push(&Sealed::try_from(line).map_err(anyhow::Error::msg).with_context(|| at(number + 2))?)?;
    }
    Ok(verifier.finish()?)
}

impl From<Sealed> for Line {
    fn from(entry: Sealed) -> Self {
        let Sealed { number, at, actor, action, targets, about, details, previous, hash } = entry;
        let (details, previous, hash) = (BASE64.encode(details), hex(&previous), hex(&hash));
        Self { number, at, actor, action, targets, about, details, previous, hash }
    }
}

impl TryFrom<Line> for Sealed {
    type Error = &'static str;
    fn try_from(line: Line) -> Result<Self, &'static str> {
        let Line { number, at, actor, action, targets, about, details, previous, hash } = line;
        let hash_of = |text: &str| unhex(text)?.try_into().ok();
        Ok(Self {
            number,
            at,
            actor,
            action,
            targets,
            about,
            details: BASE64.decode(details).map_err(|_| "`details` is no base 64")?,
            previous: hash_of(&previous).ok_or("`previous` is no hash")?,
            hash: hash_of(&hash).ok_or("`hash` is no hash")?,
        })
    }
}
