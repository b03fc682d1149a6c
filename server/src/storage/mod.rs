//! The embedded store: one SQLite file, one writer that commits in groups, a few readers.
//!
//! Many small writes a second and one sync each do not go together: a disk takes milliseconds for a sync. So every write goes
//! to one thread, which takes what is waiting, runs it in one transaction and syncs once; the more is waiting, the larger the
//! group. A write is answered only after that sync. See [`writer`] for what happens when a commit fails.
//!
//! | module | what it holds |
//! |---|---|
//! | [`folder`] | the data folder: `LOCK`, `KEYS`, the database's header |
//! | [`schema`] | connections, pragmas, migrations |
//! | [`snapshot`] | copies of the whole database while it is in use |
//! | [`backup`] | one archive with everything, and the way back |
//! | [`vault`] | data keys, wrapped by the key ring |
//! | [`writer`] | the group commit |
//! | [`checkpoint`] | what is committed, moved into the database beside the commits |
//! | [`log`] | the room logs |
//! | [`bursts`] | what is known of each burst, and its frames |
//! | [`retention`] | what is old goes, unless it is held |
//! | [`space`] | read-only while there is no room |
//! | [`hooks`] | where tests stop the process |
//! | [`presence`] | the last transition of each device |
//! | [`receipts`] | who got how far |
//! | [`push`] | what waits to be told to devices that are not connected |
//! | [`accounts`] | people, devices, sign-ins, rooms, members |
//! | [`audit`] | who changed what, as a chain |

pub mod accounts;
pub mod audit;
pub mod backup;
pub mod bursts;
mod checkpoint;
mod columns;
pub mod error;
pub mod folder;
pub mod hooks;
pub mod log;
pub mod presence;
pub mod push;
pub mod receipts;
pub mod retention;
pub mod schema;
pub mod snapshot;
pub mod space;
pub mod vault;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::{Semaphore, mpsc, oneshot};

pub use bursts::BurstRecord;
pub use error::{OpenStoreError, StoreError};
pub use folder::{DATABASE_FILE, ServeLock, check, has_data, server_of};
pub use hooks::{Hooks, NoHooks, Point};
pub use log::{Append, AppendError, Appended, Fanout};
pub use schema::SCHEMA_VERSION;
pub use vault::{Sealer, Vault};

use crate::keys::KeyRing;
use checkpoint::Checkpoints;
use log::{Context, PendingAppend};
use schema::Upgrade;
use writer::{Closure, Queued, Writer};

/// Reads that run at once. SQLite readers hinder neither each other nor the writer; each costs a connection and its cache.
const READERS: usize = 4;

/// Writes that wait for the writer; more wait at their callers, without a place in the queue.
const QUEUE: usize = 4_096;

/// A handle on the database. Cheap to clone; the last one closes it.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    queue: mpsc::Sender<(Queued, tracing::Span)>,
    readers: Mutex<Vec<Connection>>,
    free_readers: Arc<Semaphore>,
    context: Arc<Context>,
    closed: tokio::sync::watch::Receiver<()>,
}

impl Store {
    /// Opens the database in `data`, making or upgrading it as needed. Refused, with nothing touched, where `ring` is not the
    /// one that the data is sealed with.
    ///
    /// A database of an earlier version is brought up to this build's, after a copy of it was made beside it. A server takes the
    /// [`ServeLock`] first; other commands may work on the same folder meanwhile, see [`Store::open_beside`].
    pub fn open(data: &Path, ring: KeyRing, hooks: Arc<dyn Hooks>) -> Result<Self, OpenStoreError> {
        Self::open_as(data, ring, hooks, Upgrade::Allowed)
    }

    /// The same beside a server that may run: refused where the database is of another version than this build's.
    pub fn open_beside(data: &Path, ring: KeyRing) -> Result<Self, OpenStoreError> {
        Self::open_as(data, ring, Arc::new(NoHooks), Upgrade::Refused)
    }

    fn open_as(data: &Path, ring: KeyRing, hooks: Arc<dyn Hooks>, upgrade: Upgrade) -> Result<Self, OpenStoreError> {
        let path = folder::prepare(data, &ring)?;
        let connection = schema::writer(&path, upgrade)?;
        let readers = (0..READERS).map(|_| schema::reader(&path)).collect::<Result<Vec<_>, _>>()?;
        let context = Arc::new(Context::new(Vault::new(ring), hooks));
        let (queue, jobs) = mpsc::channel(QUEUE);
        let checkpoints = Checkpoints::take_over(&connection, &path)?;
        let closed = Writer::new(connection, checkpoints, Arc::clone(&context))
            .spawn(jobs)
            .map_err(|source| OpenStoreError::Io { path, source })?;
        Ok(Self(Arc::new(Inner {
            queue,
            readers: Mutex::new(readers),
            free_readers: Arc::new(Semaphore::new(READERS)),
            context,
            closed,
        })))
    }

    /// Runs `f` in a transaction and returns its value once that is committed and synced. When `f` fails, what it wrote is
    /// undone. It shares its transaction with others, so it must neither begin nor end one, and must not take long.
    ///
    /// Unless the error is [`StoreError::Unknown`], nothing was stored. Once queued, the write runs even if the future is
    /// dropped.
    pub async fn write<T, E>(&self, f: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        self.enqueue(Queued::Job(Box::new(Closure { f, answer }))).await?;
        answered.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Runs `f` on a reader, on one consistent state that includes every write answered before the call.
    pub async fn read<T, E>(&self, f: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let permit = Arc::clone(&self.0.free_readers).acquire_owned().await.map_err(|_| StoreError::Closed)?;
        let inner = Arc::clone(&self.0);
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            // There are as many connections as permits.
            let mut reader = Reader { connection: inner.readers().pop(), inner: &inner };
            let connection = reader.connection.as_mut().ok_or(StoreError::Closed)?;
            // Dropped, it rolls back, which for a reader means that it lets go of its snapshot.
            let snapshot = connection.transaction().map_err(StoreError::from)?;
            f(&snapshot)
        });
        reading.await.unwrap_or_else(|_| Err(StoreError::Panicked.into()))
    }

    /// The data keys, for use inside [`Store::write`] and [`Store::read`].
    pub fn vault(&self) -> &Vault {
        &self.0.context.vault
    }

    /// What happens at the points of a send.
    pub fn hooks(&self) -> &dyn Hooks {
        &*self.0.context.hooks
    }

    /// Lets go of this handle and, when it was the last, waits until everything queued is written and the database closed.
    pub async fn close(self) {
        let mut closed = self.0.closed.clone();
        let last = Arc::strong_count(&self.0) == 1;
        drop(self);
        if last {
            // An error says that the writer has let go of its end: it is closed.
            while closed.changed().await.is_ok() {}
        }
    }

    fn context(&self) -> &Context {
        &self.0.context
    }

    async fn enqueue_append(&self, append: PendingAppend) -> Result<(), StoreError> {
        self.enqueue(Queued::Append(append)).await
    }

    async fn enqueue(&self, job: Queued) -> Result<(), StoreError> {
        self.0.queue.send((job, tracing::Span::current())).await.map_err(|_| StoreError::Closed)
    }
}

impl Inner {
    fn readers(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives its connection back, also when the closure panicked.
struct Reader<'a> {
    connection: Option<Connection>,
    inner: &'a Inner,
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        self.inner.readers().extend(self.connection.take());
    }
}

#[cfg(test)]
mod tests;
