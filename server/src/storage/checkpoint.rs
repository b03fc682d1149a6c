//! Moving what is committed from the write-ahead log into the database, off the way of the commits.
//!
//! SQLite would do it within the commit that makes the log 1,000 pages long, and that commit and all who wait behind it wait for
//! thousands of pages and two more syncs. Here a thread with a connection of its own does it (`SQLITE_CHECKPOINT_PASSIVE`, which waits
//! for nobody and hinders nobody), each time that [`PAGES`] more have come.
//!
//! A writer that never rests would make the log grow for ever: it begins again at its start only when everything in it was moved, and
//! there is always a little more. So at [`PAGES_MAX`] the writer itself moves what the thread has left, which is little, and its
//! next commit begins the log anew. Only a reader that holds on to an old moment can put that off; reads are short.

use std::cell::Cell;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::error::OpenStoreError;
use super::schema;

/// New pages (of 4 KiB) in the log after which the thread moves them: 16 MiB. Fewer mean more syncs beside those of the commits, more mean
/// that each run disturbs for longer.
const PAGES: u32 = if cfg!(test) { 64 } else { 4_096 };
/// Pages in the log from which on the writer moves the rest: 128 MiB of disk.
const PAGES_MAX: u32 = if cfg!(test) { 512 } else { 32_768 };

thread_local! {
    /// Pages in the log after this thread's last commit.
    static LOG: Cell<u32> = const { Cell::new(0) };
}

/// Decides, in the writer's thread, when to move pages.
pub(super) struct Checkpoints {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Pages in the log when the thread was last woken.
    woken_at: u32,
}

impl Checkpoints {
    /// Takes over from SQLite for this connection.
    pub(super) fn take_over(writer: &Connection, path: &Path) -> Result<Self, OpenStoreError> {
        // Replaces SQLite's own, which is a hook too.
        writer.wal_hook(Some(|_, pages| {
            LOG.set(u32::try_from(pages).unwrap_or(0));
            Ok(())
        }));
        let db = schema::connect(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let (wake, woken) = sync_channel::<()>(1);
        let thread = std::thread::Builder::new().name("holler-checkpoint".to_owned()).spawn(move || {
            while woken.recv().is_ok() {
                passive(&db);
            }
        });
        let thread = thread.map_err(|source| OpenStoreError::Io { path: path.to_owned(), source })?;
        Ok(Self { wake: Some(wake), thread: Some(thread), woken_at: 0 })
    }

    /// A group was committed.
    pub(super) fn committed(&mut self, writer: &Connection) {
        let pages = LOG.get();
        if pages < self.woken_at {
            // It began anew.
            self.woken_at = 0;
        }
        if pages >= PAGES_MAX && pages >= self.woken_at.saturating_add(PAGES) {
            metrics::counter!("holler_store_checkpoints_total", "by" => "writer").increment(1);
            passive(writer);
            self.woken_at = pages;
        } else if pages >= self.woken_at.saturating_add(PAGES) {
            metrics::counter!("holler_store_checkpoints_total", "by" => "thread").increment(1);
            // Full means that it is about to look anyway.
            let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
            self.woken_at = pages;
        }
    }
}

impl Drop for Checkpoints {
    fn drop(&mut self) {
        drop(self.wake.take());
        // Its connection closes before the writer's, whose closing then moves the rest.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn passive(db: &Connection) {
    let moved = db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| row.get::<_, i64>(2));
    if let Err(error) = moved {
        // The log still has everything; the next run finds it.
        tracing::warn!(%error, "the write-ahead log could not be moved into the database");
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::keys::KeyRing;
    use crate::storage::{DATABASE_FILE, NoHooks, Store, StoreError};

    #[tokio::test]
    async fn the_log_stays_bounded_under_writes_that_never_rest() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), KeyRing::ephemeral().unwrap(), Arc::new(NoHooks)).unwrap();
        let automatic = "PRAGMA wal_autocheckpoint";
        let make = "CREATE TABLE scratch (n INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT";
        store.write(move |db| Ok::<_, StoreError>(db.execute_batch(make)?)).await.unwrap();
        for n in 0..400_u32 {
            let insert = "INSERT INTO scratch (n, body) VALUES (?1, randomblob(32768))";
            store.write(move |db| Ok::<_, StoreError>(db.execute(insert, [n])?)).await.unwrap();
        }
        let wal = dir.path().join(DATABASE_FILE).with_extension("db-wal");
        let bytes = std::fs::metadata(wal).unwrap().len();
        // 13 MiB were written; the log may pass its bound where the thread was at it just then.
        assert!(bytes < 3 * u64::from(PAGES_MAX) * 4_096 / 2, "the log has {bytes} bytes");
        let by_commits: i64 =
            store.write(move |db| Ok::<_, StoreError>(db.query_row(automatic, [], |row| row.get(0))?)).await.unwrap();
        assert_eq!(by_commits, 0, "no commit moves pages by itself");
    }
}
