//! `hollerd db`

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::ensure;

use super::say;
use crate::config::Config;
use crate::keys::KeyRing;
use crate::logs;
use crate::storage::{NoHooks, ServeLock, Store, accounts, audit, folder, has_data, schema, snapshot};

#[derive(Debug, clap::Subcommand)]
pub(super) enum DbCommand {
    /// Bring the database up to this hollerd's schema version, forward only, after a copy was made beside it; `serve` does the same
    Migrate,
    /// Show the schema version and the sizes of the database
    Status,
    /// Check the database: its pages, its references, its audit log, and that the key ring opens every data key
    Check,
}

pub(super) fn run(config: &Config, command: &DbCommand) -> anyhow::Result<ExitCode> {
    logs::start(config);
    let path = config.data.join(folder::DATABASE_FILE);
    ensure!(has_data(&config.data), "there is no data in {} yet: nothing to do", config.data.display());
    match command {
        DbCommand::Migrate => {
            let _lock = ServeLock::acquire(&config.data)?;
            let found = schema::found(&path)?;
            let ring = KeyRing::load(&config.keys)?;
            drop(Store::open(&config.data, ring, Arc::new(NoHooks))?);
            if found < schema::VERSION {
                let copy = config.data.join(snapshot::name_before_upgrade(found));
                say(format_args!("brought from schema version {found} to {}", schema::VERSION))?;
                say(format_args!("as it was before: {}", copy.display()))?;
            } else {
                say(format_args!("has schema version {found}: nothing to do"))?;
            }
        }
        DbCommand::Status => {
            let found = schema::found(&path)?;
            let size = |path: &std::path::Path| std::fs::metadata(path).map_or(0, |file| file.len());
            say(format_args!("schema version {found}, this hollerd uses {}", schema::VERSION))?;
            say(format_args!("{}: {} bytes", path.display(), size(&path)))?;
            say(format_args!("write-ahead log: {} bytes", size(&path.with_extension("db-wal"))))?;
            say(format_args!("free on its disk: {} bytes", crate::health::free_bytes(&config.data)?))?;
            if found < schema::VERSION {
                say("`hollerd db migrate`, or the next start of the server, brings it up to date")?;
            }
        }
        DbCommand::Check => {
            let ring = KeyRing::load(&config.keys)?;
            let db = schema::reader_of_this_version(&path)?;
            // One moment, also while a server writes.
            let db = db.unchecked_transaction()?;
            let faults = schema::faults(&db)?;
            for fault in &faults {
                say(fault)?;
            }
            ensure!(faults.is_empty(), "{} is damaged: restore a backup", path.display());
            for workspace in accounts::workspaces(&db)? {
                say(format_args!("audit log: good, {}", audit::verify(&db, workspace, Vec::new())??))?;
            }
            let uses = crate::storage::vault::uses(&db)?;
            let opened = crate::storage::vault::check(&db, &ring)?;
            say(format_args!("{opened} data keys open, wrapped by {} ring key(s)", uses.len()))?;
            say(format_args!("{}: good", path.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
