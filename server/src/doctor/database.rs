//! The database: whether it is whole, and whether this program knows its schema.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension as _};

use super::Notes;
use crate::config::Config;
use crate::storage::{self, DATABASE_FILE, SCHEMA_VERSION};

const WHY: &str = "Everything that was said and everybody's account is in this file.";
const REMEDY: &str = "Stop the server, keep a copy of the data folder as it is, and restore the newest backup.";
const OPEN: &str =
    "See above whose the folders and files are. Nothing is lost: do not restore anything because of this.";
const DISK: &str = "Make room where the disk is full (see above); otherwise look at what the kernel says of it (`dmesg`). Restore a \
    backup only where the disk is lost.";
/// Faults that are shown; a broken page has many.
const FAULTS_SHOWN: usize = 5;

/// Gives when the newest event was received.
pub(super) fn look(notes: &mut Notes<'_>, config: &Config, thorough: bool) -> Option<Duration> {
    let path = config.data.join(DATABASE_FILE);
    if !path.exists() {
        notes.note(format!("{} is not there yet: the first start makes it", path.display()));
        return None;
    }
    // Nobody else has it: then it is read without any locks and logs, which even a reader would leave behind.
    let alone = storage::server_of(&config.data).is_none() && !path.with_extension("db-wal").exists();
    match open(&path, alone).and_then(|db| examine(notes, &db, &path, thorough)) {
        Ok(newest) => newest,
        Err(error) => {
            let (how, remedy) = match error.sqlite_error_code() {
                Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => ("is damaged", REMEDY),
                Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied | ErrorCode::ReadOnly) => {
                    ("can't be opened", OPEN)
                }
                Some(ErrorCode::DiskFull | ErrorCode::SystemIoFailure) => ("can't be read", DISK),
                _ => ("can't be read", REMEDY),
            };
            notes.bad(format!("{} {how}: {error}", path.display()), WHY, remedy);
            None
        }
    }
}

fn open(path: &Path, alone: bool) -> rusqlite::Result<Connection> {
    let mut flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let mut name = path.as_os_str().to_owned();
    if alone {
        flags |= OpenFlags::SQLITE_OPEN_URI;
        let escaped = path.to_string_lossy().replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        name = format!("file:{escaped}?immutable=1").into();
    }
    let db = Connection::open_with_flags(name, flags)?;
    db.busy_timeout(Duration::from_secs(5))?;
    Ok(db)
}

fn examine(notes: &mut Notes<'_>, db: &Connection, path: &Path, thorough: bool) -> rusqlite::Result<Option<Duration>> {
    let found: usize = db.pragma_query_value(None, "user_version", |row| row.get::<_, u32>(0))? as usize;
    if found > SCHEMA_VERSION {
        let what = format!("the database has schema version {found}, and this program knows {SCHEMA_VERSION}");
        let why = "A program that is older than its data refuses it: it would misread what it does not know.";
        notes.bad(what, why, "Install the version that last served this data, or a later one.");
        return Ok(None);
    }
    let (pragma, reads) =
        if thorough { ("integrity_check", "every page and index") } else { ("quick_check", "every page") };
    let faults: Vec<String> = db
        .prepare(&format!("PRAGMA {pragma}({FAULTS_SHOWN})"))?
        .query_map([], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    if faults == ["ok"] {
        notes.good(format!("{} is whole ({reads} read), schema version {found}", path.display()));
        if found < SCHEMA_VERSION {
            notes.note(format!("the next start brings the schema to version {SCHEMA_VERSION}: back up before"));
        }
    } else {
        notes.bad(format!("{} is damaged: {}", path.display(), faults.join("; ")), WHY, REMEDY);
    }
    let newest: Option<i64> = db
        .query_row("SELECT max(received_at) FROM room_heads JOIN events USING (room_id) WHERE seq = head", [], |row| {
            row.get(0)
        })
        .optional()?
        .flatten();
    Ok(newest.and_then(|ms| u64::try_from(ms).ok()).map(Duration::from_millis))
}
