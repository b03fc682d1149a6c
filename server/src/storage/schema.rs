//! Opening a connection, and bringing the tables up to this build's version.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::error::OpenStoreError;

/// "Hllr", in the header of the database file.
pub(super) const APPLICATION_ID: u32 = 0x486c_6c72;

/// How long a statement waits for another process's lock.
const BUSY_WAIT: Duration = Duration::from_secs(5);

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
        include_str!("schema/2/audit.sql"),
    ],
];

/// The version that this build brings a database to.
pub const SCHEMA_VERSION: usize = VERSIONS.len();

/// A connection that may write.
pub(super) fn writer(path: &Path) -> Result<Connection, OpenStoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
    prepare(&connection).map_err(|error| fault(path, error))?;
    migrate(connection, path, VERSIONS)
}

/// A connection that only reads.
pub(super) fn reader(path: &Path) -> Result<Connection, OpenStoreError> {
    // Readers of a write-ahead log need write access to its index; query_only keeps them from the data.
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch("PRAGMA query_only = ON").map_err(|error| fault(path, error))?;
    Ok(connection)
}

fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, OpenStoreError> {
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

fn migrate(mut connection: Connection, path: &Path, versions: &[&[&str]]) -> Result<Connection, OpenStoreError> {
    let known = i64::try_from(versions.len()).unwrap_or(i64::MAX);
    let version =
        |connection: &Connection| connection.pragma_query_value(None, "user_version", |row| row.get::<_, i64>(0));
    let found = version(&connection).map_err(|error| fault(path, error))?;
    if found > known {
        return Err(OpenStoreError::Newer { path: path.to_owned(), found, known });
    }
    if found < known {
        let upgrade = |connection: &mut Connection| -> rusqlite::Result<()> {
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            // Another process may have been faster.
            let found = usize::try_from(version(&transaction)?).unwrap_or(0);
            for script in versions.iter().skip(found).copied().flatten() {
                transaction.execute_batch(script)?;
            }
            transaction.pragma_update(None, "user_version", known)?;
            transaction.commit()
        };
        upgrade(&mut connection).map_err(|error| fault(path, error))?;
    }
    Ok(connection)
}

fn fault(path: &Path, error: rusqlite::Error) -> OpenStoreError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            OpenStoreError::Damaged { path: path.to_owned(), fault: error.to_string() }
        }
        _ => OpenStoreError::Sqlite { path: path.to_owned(), source: error },
    }
}
