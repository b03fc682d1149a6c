//! Whether the server can do its work: what `/readyz` on the private listener tells, and what feeds systemd's watchdog.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use holler_core::units::Mono;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::app::App;
use crate::storage::{Store, StoreError};

/// How long the store's writer may take to answer before it counts as stuck: far beyond any sync of a disk that works.
const ANSWER_MAX: Duration = Duration::from_secs(5);
/// A report that is younger is given again: whoever asks more often must not make the disk work for it.
const REPORT_AGE_MAX: Duration = Duration::from_secs(2);
/// Less than this is told as low: about an hour of ten talkers, and room to look after it.
pub const DISK_LOW_BYTES: u64 = 256 * 1024 * 1024;

/// One part's state, in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Whether it is as it should be.
    pub ok: bool,
    /// What was found; where it is not ok, also what to do.
    pub detail: String,
}

impl Check {
    fn good(detail: impl Into<String>) -> Self {
        Self { ok: true, detail: detail.into() }
    }

    fn bad(detail: impl Into<String>) -> Self {
        Self { ok: false, detail: detail.into() }
    }
}

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Whether it takes requests: it is not going down, and the database can be written.
    pub ready: bool,
    /// Whether it is going down.
    pub draining: Check,
    /// Whether a write is committed and synced.
    pub database: Check,
    /// The schema's version.
    pub migrations: Check,
    /// Free space on the data folder's disk. Low is told, and is not unready: reading still works.
    pub disk: Check,
}

/// Looks at the server's parts.
pub struct Health {
    app: App,
    last: Mutex<Option<(Mono, Arc<Report>)>>,
}

impl Health {
    /// Of this server.
    pub fn new(app: App) -> Self {
        Self { app, last: Mutex::new(None) }
    }

    /// How the server is, as of now or of at most 2 s ago.
    pub async fn report(&self) -> Arc<Report> {
        let mut last = self.last.lock().await;
        let now = self.app.clock.now();
        if let Some((at, report)) = &*last
            && now.since(*at) < REPORT_AGE_MAX
            && report.draining.ok != self.app.is_draining()
        {
            return Arc::clone(report);
        }
        let report = Arc::new(self.look().await);
        *last = Some((self.app.clock.now(), Arc::clone(&report)));
        report
    }

    async fn look(&self) -> Report {
        let draining = if self.app.is_draining() { Check::bad("the server is going down") } else { Check::good("no") };
        let database = match tokio::time::timeout(ANSWER_MAX, write(&self.app.store)).await {
            Ok(Ok(())) => match self.app.store.closed_for() {
                None => Check::good("a write was committed and synced"),
                Some(closed) => Check::bad(format!("read-only: {closed}")),
            },
            Ok(Err(error)) => Check::bad(format!("it can't be written: {error}. `hollerd doctor` says more")),
            Err(_) => Check::bad("a write was not answered within 5 s: the disk hangs or is overloaded"),
        };
        let migrations = match self.app.store.read(version).await {
            Ok((found, known)) if found == known => Check::good(format!("schema version {found}")),
            Ok((found, known)) => {
                Check::bad(format!("schema version {found}, but this program needs {known}: restart it"))
            }
            Err(error) => Check::bad(format!("the schema's version can't be read: {error}")),
        };
        let disk = disk(&self.app.config().data);
        Report { ready: draining.ok && database.ok && migrations.ok, draining, database, migrations, disk }
    }
}

/// Whether the store's writer answers, within `patience`. Nothing is written.
pub async fn writer_answers(store: &Store, patience: Duration) -> bool {
    let asked = store.write(|_| Ok::<_, StoreError>(()));
    // A full disk is no reason to be restarted: any answer shows that the writer lives.
    tokio::time::timeout(patience, asked).await.is_ok()
}

/// A real write that changes nothing: the first page gets the number that it has.
async fn write(store: &Store) -> Result<(), StoreError> {
    store
        .write(|db| {
            let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
            Ok(db.pragma_update(None, "user_version", version)?)
        })
        .await
}

fn version(db: &rusqlite::Connection) -> Result<(usize, usize), StoreError> {
    let found: u32 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
    Ok((found as usize, crate::storage::SCHEMA_VERSION))
}

/// Free bytes for this process on the disk that `folder` is on.
pub fn free_bytes(folder: &Path) -> std::io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

fn disk(data: &Path) -> Check {
    match free_bytes(data) {
        Ok(free) => {
            metrics::gauge!("holler_disk_free_bytes").set(free as f64);
            let mib = free / (1024 * 1024);
            if free < DISK_LOW_BYTES {
                Check::bad(format!("{mib} MiB are free: make room, or writes will be refused"))
            } else {
                Check::good(format!("{mib} MiB are free"))
            }
        }
        Err(error) => Check::bad(format!("the free space can't be told: {error}")),
    }
}
