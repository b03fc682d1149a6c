//! Moving what is committed from the write-ahead log into the database, off the way of the commits.
//!
//! SQLite would do it within the commit that makes the log 1,000 pages long, and that commit and all who wait behind it wait for
//! thousands of pages and two more syncs. Here a thread with a connection of its own does it (`SQLITE_CHECKPOINT_PASSIVE`, which waits
//! for nobody and hinders nobody), each time that [`PAGES`] more have come.
//!
//! A writer that never rests would make the log grow for ever: it begins again at its start only when everything in it was moved, and
//! there is always a little more. So from [`PAGES_MAX`] on the thread runs again and again, each time with less to move, until no more than
//! [`REST_MAX`] are left; those the writer itself moves, and its next commit begins the log anew. Only a reader that holds on to an
//! old moment, or a disk on which the thread falls behind, can put that off: at [`PAGES_HARD`] the writer moves whatever is left.
//!
//! A log that begins anew is written over what it had: that costs neither new blocks of the disk nor, at each sync, a new length of the
//! file. So a short log is a quick one, too.

use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::error::OpenStoreError;
use super::schema;

/// New pages (of 4 KiB) in the log after which the thread moves them: 8 MiB. Fewer mean more syncs beside those of the commits, more mean
/// that each run disturbs for longer.
const PAGES: u32 = if cfg!(test) { 64 } else { 2_048 };
/// Pages in the log from which on it is to begin anew: 32 MiB of disk.
const PAGES_MAX: u32 = if cfg!(test) { 512 } else { 8_192 };
/// What the writer moves by itself, while all who write wait: 1 MiB.
const REST_MAX: u32 = if cfg!(test) { 16 } else { 256 };
/// Pages in the log from which on the writer moves whatever is left: 128 MiB of disk.
const PAGES_HARD: u32 = if cfg!(test) { 704 } else { 32_768 };

thread_local! {
    /// Pages in the log after this thread's last commit.
    static LOG: Cell<u32> = const { Cell::new(0) };
}

/// Decides, in the writer's thread, when to move pages.
pub(super) struct Checkpoints {
    wake: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
    /// Pages of the log that were moved when the thread last looked. Of a log that has begun anew meanwhile it says too much; the thread's
    /// next run mends that, long before it matters.
    moved: Arc<AtomicU32>,
    /// Pages in the log when the thread was last woken.
    woken_at: u32,
    /// Pages in the log when the writer last moved some.
    helped_at: u32,
}

/// Who moves pages now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    Nobody,
    Thread,
    Writer,
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
        let moved = Arc::new(AtomicU32::new(0));
        let told = Arc::clone(&moved);
        let thread = std::thread::Builder::new().name("holler-checkpoint".to_owned()).spawn(move || {
            while woken.recv().is_ok() {
                passive(&db).into_iter().for_each(|pages| told.store(pages, Ordering::Relaxed));
            }
        });
        let thread = thread.map_err(|source| OpenStoreError::Io { path: path.to_owned(), source })?;
        Ok(Self { wake: Some(wake), thread: Some(thread), moved, woken_at: 0, helped_at: 0 })
    }

    /// A group was committed.
    pub(super) fn committed(&mut self, writer: &Connection) {
        match self.turn(LOG.get()) {
            Turn::Nobody => {}
            Turn::Thread => {
                metrics::counter!("holler_store_checkpoints_total", "by" => "thread").increment(1);
                // Full means that it is about to look anyway.
                let _ = self.wake.as_ref().map(|wake| wake.try_send(()));
            }
            Turn::Writer => {
                metrics::counter!("holler_store_checkpoints_total", "by" => "writer").increment(1);
                passive(writer).into_iter().for_each(|pages| self.moved.store(pages, Ordering::Relaxed));
            }
        }
    }

    /// Whose turn it is when the log has so many pages.
    fn turn(&mut self, pages: u32) -> Turn {
        if pages < self.woken_at.max(self.helped_at) {
            // It began anew.
            (self.woken_at, self.helped_at) = (0, 0);
        }
        let left = pages.saturating_sub(self.moved.load(Ordering::Relaxed));
        let is_small = pages >= PAGES_MAX && left <= REST_MAX;
        let is_late = pages >= PAGES_HARD;
        let step = if pages >= PAGES_MAX { REST_MAX } else { PAGES };
        if (is_small || is_late) && pages >= self.helped_at.saturating_add(REST_MAX) {
            self.helped_at = pages;
            Turn::Writer
        } else if !is_late && pages >= self.woken_at.saturating_add(step) {
            // Not when it is late: while the thread runs, the writer can't.
            self.woken_at = pages;
            Turn::Thread
        } else {
            Turn::Nobody
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

/// Moves what can be moved; gives how many pages of the log are in the database now, or nothing where somebody else was at it.
fn passive(db: &Connection) -> Option<u32> {
    let moved =
        db.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(2)?)));
    match moved {
        Ok((0, pages)) => u32::try_from(pages).ok(),
        Ok(_) => None,
        Err(error) => {
            // The log still has everything; the next run finds it.
            tracing::warn!(%error, "the write-ahead log could not be moved into the database");
            None
        }
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
        assert!(bytes < u64::from(PAGES_HARD + 2 * PAGES) * 4_096, "the log has {bytes} bytes");
        let by_commits: i64 =
            store.write(move |db| Ok::<_, StoreError>(db.query_row(automatic, [], |row| row.get(0))?)).await.unwrap();
        assert_eq!(by_commits, 0, "no commit moves pages by itself");
    }

    /// Who waits for a commit waits for little more: the thread does the work until next to nothing is left.
    #[test]
    fn the_writer_moves_only_a_small_rest_unless_the_thread_falls_behind() {
        let moved = Arc::new(AtomicU32::new(0));
        let fresh = |moved: &Arc<AtomicU32>| Checkpoints {
            wake: None,
            thread: None,
            moved: Arc::clone(moved),
            woken_at: 0,
            helped_at: 0,
        };
        let mut quick = fresh(&moved);
        let mut turns = Vec::new();
        for pages in 1..PAGES_MAX + 3 * REST_MAX {
            let turn = quick.turn(pages);
            if turn == Turn::Thread {
                // It moves all there is but a few pages that come meanwhile.
                moved.store(pages - 4, Ordering::Relaxed);
            }
            if turn != Turn::Nobody {
                turns.push((pages, turn));
            }
        }
        let (by_writer, by_thread): (Vec<_>, Vec<_>) = turns.iter().partition(|(_, turn)| *turn == Turn::Writer);
        assert!(by_writer.iter().all(|(pages, _)| *pages >= PAGES_MAX), "{turns:?}");
        assert!(
            !by_writer.is_empty() && by_thread.len() >= usize::try_from(PAGES_MAX / PAGES - 1).unwrap(),
            "{turns:?}"
        );
        assert_eq!((quick.turn(1), quick.helped_at), (Turn::Nobody, 0), "the log began anew");

        // The thread never gets anything done.
        moved.store(0, Ordering::Relaxed);
        let mut slow = fresh(&moved);
        let helped: Vec<u32> = (1..=PAGES_HARD + PAGES).filter(|pages| slow.turn(*pages) == Turn::Writer).collect();
        assert!(helped.into_iter().eq((PAGES_HARD..=PAGES_HARD + PAGES).step_by(usize::try_from(REST_MAX).unwrap())));
    }
}
