//! Why the store did not do something.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use holler_core::seal::{KeyId, OpenError};
use holler_core::wire::problem::{Problem, ProblemKind};
use rusqlite::ErrorCode;

/// Why a read or a write gave nothing. Unless it is [`StoreError::Unknown`], nothing was stored.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The disk, or the space allotted to the database, is full.
    #[error("the disk is full: nothing was stored. Make room; the server goes on by itself")]
    DiskFull,
    /// Less than the configured space is free.
    #[error(
        "only {free_mib} MiB are free on the server's disk and {needed_mib} MiB must be: nothing was stored. Its operator makes room; the \
         server goes on by itself"
    )]
    StorageFull {
        /// MiB that are free.
        free_mib: u64,
        /// MiB that must be.
        needed_mib: u64,
    },
    /// The disk fails.
    #[error("the server's disk can't be written ({0}): nothing was stored. The server goes on by itself once it can")]
    ReadOnly(String),
    /// Another process kept the database locked for 5 s.
    #[error("the database was locked by another process for 5 s: nothing was stored")]
    Busy,
    /// The commit failed in a way that leaves open whether it will be there after a restart.
    #[error("the outcome is not known: {0}")]
    Unknown(String),
    /// SQLite gave up the transaction because of another write in it.
    #[error("the disk is full or failing: nothing was stored")]
    Abandoned,
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
    /// There is no data key for this: it never existed, or it was shredded.
    #[error("no data key for {0}")]
    NoKey(String),
    /// A sealed value does not open.
    #[error(transparent)]
    Sealed(#[from] OpenError),
    /// What is stored can't be what was written.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// The argument of a call is outside its bounds.
    #[error("{0}")]
    OutOfBounds(String),
    /// The closure panicked; its transaction was rolled back.
    #[error("an operation on the database failed unexpectedly: nothing was stored")]
    Panicked,
    /// A change of accounts without anybody who makes it.
    #[error("a change needs an actor: open the accounts with `acting`")]
    NoActor,
    /// The system gave no random bytes.
    #[error("the system gave no random bytes: {0}")]
    Random(#[from] getrandom::Error),
    /// Anything else that SQLite reports.
    #[error("database: {0}")]
    Sqlite(Arc<rusqlite::Error>),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => Self::Damaged(error.to_string()),
            _ => Self::Sqlite(Arc::new(error)),
        }
    }
}

impl From<StoreError> for Problem {
    /// What a person is told: never what the database said.
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::DiskFull | StoreError::StorageFull { .. } => {
                Self::new(ProblemKind::StorageFull, error.to_string()).retry_after_s(5)
            }
            StoreError::ReadOnly(_) => Self::new(
                ProblemKind::ReadOnly,
                "the server's disk can't be written: nothing was stored. The server goes on by itself once it can",
            )
            .retry_after_s(5),
            StoreError::Busy | StoreError::Abandoned | StoreError::Closed => {
                Self::new(ProblemKind::Unavailable, error.to_string()).retry_after_s(5)
            }
            StoreError::Unknown(_) => Self::new(
                ProblemKind::Unknown,
                "the disk failed while this was being stored: send it again with the same client id",
            )
            .retry_after_s(1),
            StoreError::OutOfBounds(detail) => Self::new(ProblemKind::OutOfBounds, detail),
            StoreError::NoKey(_)
            | StoreError::Sealed(_)
            | StoreError::Damaged(_)
            | StoreError::Panicked
            | StoreError::NoActor
            | StoreError::Random(_)
            | StoreError::Sqlite(_) => {
                Self::new(ProblemKind::Internal, "the database reported a fault; see the server's log")
            }
        }
    }
}

/// Why a data folder was not opened. Nothing in it was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenStoreError {
    /// Another server holds the folder.
    #[error("{folder} is in use by another hollerd (process {pid}): stop it first, or name another folder with --data")]
    InUse {
        /// The data folder.
        folder: PathBuf,
        /// The other server's process id, or `unknown`.
        pid: String,
    },
    /// The ring lacks a key that the data was sealed with.
    #[error(
        "the data in {folder} is sealed with key {id}, which the key ring lacks. Bring back the right ring.toml, or name its \
         directory with --keys. Nothing was changed."
    )]
    RingKeyMissing {
        /// The data folder.
        folder: PathBuf,
        /// The key.
        id: KeyId,
    },
    /// The ring has a key of the right number with another secret.
    #[error(
        "the data in {folder} is sealed with another key {id} than the one in this key ring. Bring back the right ring.toml, \
         or name its directory with --keys. Nothing was changed."
    )]
    RingKeyOther {
        /// The data folder.
        folder: PathBuf,
        /// The key.
        id: KeyId,
    },
    /// `KEYS` is missing or can't be understood, although there is a database.
    #[error("{path}: {fault}. Bring the file back from a backup. Nothing was changed.")]
    KeysFile {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        fault: String,
    },
    /// The file is no database, or another program's.
    #[error(
        "{path} is not a database of hollerd ({found}): restore it from a backup if it was one, or name another folder with --data"
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What was found instead.
        found: String,
    },
    /// The file was ours, but can't be read.
    #[error("{path} is damaged ({fault}): restore it from a backup")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        fault: String,
    },
    /// A newer hollerd wrote it.
    #[error("{path} has schema version {found}, this hollerd knows up to {known}: use a newer hollerd")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The newest that this build knows.
        known: i64,
    },
    /// An older hollerd wrote it.
    #[error(
        "{path} has schema version {found}, this hollerd uses {known}: start the server with this hollerd, or run `hollerd db \
         migrate`; either makes a copy first"
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The version of this build.
        known: i64,
    },
    /// The upgrade failed.
    #[error("{path} could not be brought to this hollerd's schema version ({source}): it is as it was before")]
    Upgrade {
        /// The database.
        path: PathBuf,
        /// Why.
        source: StoreError,
    },
    /// There is no room for the copy that is made before an upgrade.
    #[error(
        "an upgrade of {path} first makes a copy, which needs {needed} bytes; the disk has {free}: make room. Nothing was \
         changed."
    )]
    NoRoom {
        /// The database.
        path: PathBuf,
        /// Bytes that a copy needs.
        needed: u64,
        /// Bytes that are free.
        free: u64,
    },
    /// The system refused.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk takes nothing.
    #[error(
        "{path} can't be used, because its disk is full or fails ({fault}): make room, or look at what the kernel says (`dmesg`)"
    )]
    Disk {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        fault: String,
    },
    /// SQLite refused.
    #[error("{path}: {source}")]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rusqlite::Error,
    },
}
