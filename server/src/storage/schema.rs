//! Opening a connection, and bringing the tables up to this build's version.

use std::cmp::Ordering;
use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::audit::{self, Action, Actor, Entry, Target};
use super::error::{OpenStoreError, StoreError};
use super::{accounts, snapshot};
use crate::clock::Clock;

/// "Hllr", in the header of the database file.
pub(super) const APPLICATION_ID: u32 = 0x486c_6c72;

/// How long a statement waits for another process's lock.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// How long to wait before another try, where SQLite does not wait by itself.
const BUSY_PAUSE: Duration = Duration::from_millis(20);

/// What each version adds to the one before it; `PRAGMA user_version` counts those that are in.
#[rustfmt::skip] // One line a script.
const VERSIONS: &[&[&str]] = &[
    &[
        include_str!("schema/1/log.sql"),
        include_str!("schema/1/accounts.sql"),
    ],
    &[
        include_str!("schema/2/roster.sql"),
        include_str!("schema/2/policy.sql"),
        include_str!("schema/2/tokens.sql"),
        include_str!("schema/2/idempotency.sql"),
        include_str!("schema/2/audit.sql"),
        include_str!("schema/2/retention.sql"),
        include_str!("schema/2/accounts.sql"),
        include_str!("schema/2/presence.sql"),
        include_str!("schema/2/receipts.sql"),
        include_str!("schema/2/resume.sql"),
        include_str!("schema/2/direct.sql"),
        include_str!("schema/2/push.sql"),
    ],
];

/// The version that this build brings a database to.
pub const SCHEMA_VERSION: usize = VERSIONS.len();

/// The same as SQLite counts it.
pub const VERSION: i64 = 2;

const _: () = assert!(SCHEMA_VERSION == 2, "VERSION counts VERSIONS");

/// Whether a connection may bring an older database up to this build's version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Upgrade {
    /// After a copy of it was made.
    Allowed,
    /// It must be of this version: a server of another build may be running.
    Refused,
}

/// A connection that may write.
pub(super) fn writer(path: &Path, upgrade: Upgrade) -> Result<Connection, OpenStoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    prepare(&connection).map_err(|error| fault(path, error))?;
    migrate(connection, path, VERSIONS, upgrade)
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, OpenStoreError> {
    // Readers of a write-ahead log need write access to its index; query_only keeps them from the data.
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch("PRAGMA query_only = ON").map_err(|error| fault(path, error))?;
    Ok(connection)
}

/// A connection to a database as it is, for whatever the caller does with it.
pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, OpenStoreError> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.set_prepared_statement_cache_capacity(128);
        connection.execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -16384;",
        )?;
        Ok(connection)
    };
    open().map_err(|error| fault(path, error))
}

/// Marks a new file as ours while it still has a rollback journal, so that the mark is in the file itself before any log is.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    let application: i64 = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if application == 0 {
        connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    }
    connection.pragma_update(None, "journal_mode", "WAL")?;
    // Truncates after a checkpoint what a burst of writes left behind.
    connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
    Ok(())
}

/// The version that a database has.
pub(super) fn version(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "user_version", |row| row.get(0))
}

fn migrate(
    mut connection: Connection,
    path: &Path,
    versions: &[&[&str]],
    upgrade: Upgrade,
) -> Result<Connection, OpenStoreError> {
    let known = i64::try_from(versions.len()).unwrap_or(i64::MAX);
    let found = version(&connection).map_err(|error| fault(path, error))?;
    if found > known {
        return Err(OpenStoreError::Newer { path: path.to_owned(), found, known });
    }
    if found < known {
        if found > 0 {
            if upgrade == Upgrade::Refused {
                return Err(OpenStoreError::Older { path: path.to_owned(), found, known });
            }
            snapshot::before_upgrade(&connection, path, found)?;
        }
        run(&mut connection, versions, known)
            .map_err(|source| OpenStoreError::Upgrade { path: path.to_owned(), source })?;
        if found > 0 {
            tracing::info!(
                from = found,
                to = known,
                "the database was upgraded; a copy of it as it was lies beside it"
            );
        }
    }
    Ok(connection)
}

fn run(connection: &mut Connection, versions: &[&[&str]], known: i64) -> Result<(), StoreError> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // Another process may have been faster.
    let found = version(&transaction)?;
    for script in versions.iter().skip(usize::try_from(found).unwrap_or(0)).copied().flatten() {
        transaction.execute_batch(script)?;
    }
    transaction.pragma_update(None, "user_version", known)?;
    if found < known {
        let now = Clock::default().unix();
        for workspace in accounts::workspaces(&transaction)? {
            let entry = Entry::new(Actor::Server, Action::SchemaMigrated);
            let entry = entry.target(Target::named("schema", known)).target(Target::named("earlier", found));
            // No data key is open yet; there is nothing personal to say either.
            audit::record_plain(&transaction, workspace, now, entry)?;
        }
    }
    Ok(transaction.commit()?)
}

/// The version of the database in a file.
pub fn found(path: &Path) -> Result<i64, OpenStoreError> {
    version(&reader(path)?).map_err(|error| fault(path, error))
}

/// A connection that only reads, for commands that need no key; refused where the database is of another version.
pub fn reader_of_this_version(path: &Path) -> Result<Connection, OpenStoreError> {
    let connection = reader(path)?;
    let (found, known) = (version(&connection).map_err(|error| fault(path, error))?, VERSION);
    match found.cmp(&known) {
        Ordering::Equal => Ok(connection),
        Ordering::Less => Err(OpenStoreError::Older { path: path.to_owned(), found, known }),
        Ordering::Greater => Err(OpenStoreError::Newer { path: path.to_owned(), found, known }),
    }
}

/// Moves everything from the write-ahead log into the database and empties the log, so that nothing deleted is left in it. `false`: a
/// reader hinders that.
///
/// SQLite waits for readers, up to [`BUSY_WAIT`], but not for somebody else who is moving pages just then, as the server does now and then: for
/// those it is tried again for as long.
pub fn empty_log(path: &Path) -> Result<bool, OpenStoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let until = Instant::now() + BUSY_WAIT;
    loop {
        let busy = connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, i64>(0));
        let emptied = busy.map_err(|error| fault(path, error))? == 0;
        if emptied || Instant::now() >= until {
            return Ok(emptied);
        }
        std::thread::sleep(BUSY_PAUSE);
    }
}

/// What is wrong with pages and references of a database; up to 100 of each.
pub fn faults(db: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut faults: Vec<String> = Vec::new();
    let mut check = db.prepare("PRAGMA integrity_check(100)")?;
    for row in check.query_map([], |row| row.get::<_, String>(0))? {
        faults.push(row?);
    }
    faults.retain(|fault| fault != "ok");
    let mut check = db.prepare("PRAGMA foreign_key_check")?;
    let rows = check.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(2)?)))?;
    for row in rows.take(100) {
        let (table, parent) = row?;
        faults.push(format!("a row of {table} names one of {parent} that is not there"));
    }
    Ok(faults)
}

pub(super) fn fault(path: &Path, error: rusqlite::Error) -> OpenStoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenStoreError::Damaged { path: path.to_owned(), fault: error.to_string() }
        }
        Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => {
            OpenStoreError::Disk { path: path.to_owned(), fault: error.to_string() }
        }
        _ => OpenStoreError::Sqlite { path: path.to_owned(), source: error },
    }
}
