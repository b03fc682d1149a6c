//! A database that can't be read is set aside under another name, never deleted, and a new one takes its place with what could be
//! saved: own texts and bursts are nowhere else. What the server has is fetched from it again.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::{BUSY, SCHEMA, StoreError, at, wall_ms};

/// Databases up to this size are looked through at every start; larger ones where there is a reason to.
const CHECKED_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Whether an error means that the file is damaged.
pub(super) fn is_damage(error: &StoreError) -> bool {
    matches!(error, StoreError::Database(rusqlite::Error::SqliteFailure(failure, _))
        if matches!(failure.code, ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase))
}

fn mark(database: &Path) -> PathBuf {
    database.with_extension("db.suspect")
}

/// The next start looks through the whole file.
pub(super) fn suspect(database: &Path) {
    // Where even that can't be written, the damage is met again.
    let _ = std::fs::write(mark(database), b"");
}

/// Opens the database; where it is damaged, sets it aside and begins a new one, with words for the person.
pub(super) fn open(path: &Path) -> Result<(Connection, Option<String>), StoreError> {
    let why = match usable(path) {
        Ok(database) => return Ok((database, None)),
        Err(error) if is_damage(&error) => error.to_string(),
        Err(StoreError::Content(why)) => why,
        Err(error) => return Err(error),
    };
    let aside = set_aside(path)?;
    let mut database = usable(path)?;
    let (texts, bursts, frames) = salvage(&aside, &mut database)?;
    let said = format!(
        "the local store was damaged ({why}) and is set aside as {}; {texts} texts and {bursts} bursts ({frames} frames) could be \
         saved from it, everything else comes from the server again",
        aside.display()
    );
    Ok((database, Some(said)))
}

fn usable(path: &Path) -> Result<Connection, StoreError> {
    let mut database = Connection::open(path)?;
    database.busy_timeout(BUSY)?;
    database.pragma_update(None, "journal_mode", "wal")?;
    database.pragma_update(None, "synchronous", "full")?;
    database.pragma_update(None, "foreign_keys", true)?;
    let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
    if bytes <= CHECKED_BYTES_MAX || mark(path).exists() {
        let found: String = database.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
        if found != "ok" {
            return Err(StoreError::Content(found));
        }
        // Nothing there to be removed is as well.
        let _ = std::fs::remove_file(mark(path));
    }
    migrate(&mut database)?;
    Ok(database)
}

fn migrate(database: &mut Connection) -> Result<(), StoreError> {
    let change = database.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
    let found: i64 = change.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    if found > SCHEMA {
        return Err(StoreError::Newer { found });
    }
    for (version, script) in [(1, include_str!("schema-1.sql")), (2, include_str!("schema-2.sql"))] {
        if found < version {
            change.execute_batch(script)?;
        }
    }
    change.pragma_update(None, "user_version", SCHEMA)?;
    change.commit()?;
    Ok(())
}

/// Gives the damaged files another name.
fn set_aside(path: &Path) -> Result<PathBuf, StoreError> {
    let aside = path.with_extension(format!("db.damaged-{}", wall_ms()));
    for suffix in ["", "-wal", "-shm"] {
        let named = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(suffix);
            PathBuf::from(name)
        };
        match std::fs::rename(named(path), named(&aside)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(at(path)(error)),
            Ok(()) | Err(_) => {}
        }
    }
    let _ = std::fs::remove_file(mark(path));
    Ok(aside)
}

/// Copies what can still be read of own texts and bursts, row by row, up to the first that can't. How many texts, bursts and
/// frames that were.
fn salvage(from: &Path, to: &mut Connection) -> Result<(usize, usize, usize), StoreError> {
    let Ok(source) = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_WRITE) else { return Ok((0, 0, 0)) };
    let columns = "burst_id, ord, begun_at, boot, begun_us, server_at, server_uncertainty, room_id, header, priority, \
                   granted, ended, delivered, held, last_frame, digest, delivered_in, done_at";
    let change = to.transaction()?;
    let sends = copy(&source, &change, "sends", "client_id, ord, room_id, body, acked_in, done_at", 6);
    let bursts = copy(&source, &change, "bursts", columns, 18);
    let frames = copy(&source, &change, "frames", "burst_id, number, sealed", 3);
    copy(&source, &change, "cursors", "room_id, incarnation, seq", 3);
    copy(&source, &change, "heard", "burst_id, room_id, at", 3);
    change.execute(
        "UPDATE counter SET next_ord = 1 + max(coalesce((SELECT max(ord) FROM sends), 0), \
         coalesce((SELECT max(ord) FROM bursts), 0))",
        [],
    )?;
    change.commit()?;
    Ok((sends, bursts, frames))
}

fn copy(source: &Connection, to: &Connection, table: &str, columns: &str, count: usize) -> usize {
    let marks = (1..=count).map(|n| format!("?{n}")).collect::<Vec<_>>().join(", ");
    let insert = format!("INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})");
    let Ok(mut select) = source.prepare(&format!("SELECT {columns} FROM {table}")) else { return 0 };
    let Ok(mut insert) = to.prepare(&insert) else { return 0 };
    let Ok(mut rows) = select.query([]) else { return 0 };
    let mut copied = 0;
    while let Ok(Some(row)) = rows.next() {
        let values: Result<Vec<rusqlite::types::Value>, _> = (0..count).map(|at| row.get(at)).collect();
        // A frame without its burst, or a row of the wrong shape, is left where it is.
        if let Ok(values) = values
            && insert.execute(rusqlite::params_from_iter(values)).is_ok()
        {
            copied += 1;
        }
    }
    copied
}
