//! The group commit.
//!
//! The writer's thread takes every job that is waiting, up to [`GROUP`], and runs them in their order in one transaction. Then it
//! commits, which syncs, and only then answers. It never waits for more to come: a lone write is committed at once, and a group is
//! what came while the last sync ran.
//!
//! One that fails takes nothing with it: a job runs in a savepoint of its own. For that, SQLite copies every page before the job's
//! first change to it, which for sends is a page each. So the sends to a room do without ([`Job::fails_whole`]): whatever can be wrong
//! with them is found before the first of them is written, and after that only the database itself can fail. Should it all the
//! same fail for one room, because a row is in the way that a damaged log left there, then the group is given up, nothing of it is
//! stored and everybody is told so; and from then on every job has its savepoint.
//!
//! A commit that fails is one of two things. Where SQLite says that it did not begin to make the transaction visible (disk full,
//! locked, a constraint), nothing is stored, and everybody is told so. Any other failure, such as one of the sync itself, may
//! leave a commit on the disk that a restart would find: then everybody is told that the outcome is unknown, and sends again.

use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use holler_core::units::RoomId;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{mpsc, oneshot, watch};

use super::checkpoint::Checkpoints;
use super::error::StoreError;
use super::log::{Context, PendingAppend, RoomBatch};
use crate::traces;

/// Most jobs in one transaction: what arrives while a sync runs under heavy load. More would only lengthen the wait.
const GROUP: usize = 512;

/// Tells the caller of a job, once it is known what became of the transaction.
pub(super) type Answer = Box<dyn FnOnce(&Result<(), StoreError>)>;

/// What comes through the queue.
pub(super) enum Queued {
    /// Runs by itself.
    Job(Box<dyn Job>),
    /// Runs together with the other sends to its room that wait beside it.
    Append(PendingAppend),
}

impl Queued {
    fn refuse(self, error: StoreError) {
        match self {
            Self::Job(job) => job.refuse(error),
            Self::Append(append) => append.refuse(error),
        }
    }
}

/// What is kept of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kept {
    /// Everything that it wrote.
    All,
    /// Nothing: what it wrote must be undone.
    Nothing,
    /// It wrote nothing.
    Untouched,
}

/// Something to write.
pub(super) trait Job: Send {
    /// Whether it needs no savepoint: what it does not keep, it has not begun to write, or the database has failed.
    fn fails_whole(&self) -> bool {
        false
    }
    /// Writes, and says what of it is to be kept.
    fn run(self: Box<Self>, db: &Connection) -> (Kept, Answer);
    /// It will not run; nothing is stored.
    fn refuse(self: Box<Self>, error: StoreError);
}

/// A closure from [`super::Store::write`].
pub(super) struct Closure<F, T, E> {
    pub(super) f: F,
    pub(super) answer: oneshot::Sender<Result<T, E>>,
}

impl<F, T, E> Job for Closure<F, T, E>
where
    F: FnOnce(&Connection) -> Result<T, E> + Send,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    fn run(self: Box<Self>, db: &Connection) -> (Kept, Answer) {
        let Self { f, answer } = *self;
        let result = catch_unwind(AssertUnwindSafe(|| f(db))).unwrap_or_else(|_| Err(StoreError::Panicked.into()));
        let kept = if result.is_ok() { Kept::All } else { Kept::Nothing };
        let tell = move |outcome: &Result<(), StoreError>| {
            let told = match (result, outcome) {
                (Ok(_), Err(error)) => Err(error.clone().into()),
                (result, _) => result,
            };
            // Nobody waits any more: it is stored all the same.
            let _ = answer.send(told);
        };
        (kept, Box::new(tell))
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        let _ = self.answer.send(Err(error.into()));
    }
}

pub(super) struct Writer {
    // Dropped before the connection.
    checkpoints: Checkpoints,
    db: Connection,
    context: Arc<Context>,
    /// Whether every job has a savepoint: one without has failed.
    careful: bool,
}

impl Writer {
    pub(super) fn new(db: Connection, checkpoints: Checkpoints, context: Arc<Context>) -> Self {
        Self { checkpoints, db, context, careful: false }
    }

    /// Starts the thread. It ends, and lets go of the sender of the returned watch, when every sender of `jobs` is gone.
    pub(super) fn spawn(
        mut self,
        mut jobs: mpsc::Receiver<(Queued, tracing::Span)>,
    ) -> io::Result<watch::Receiver<()>> {
        let (open, closed) = watch::channel(());
        std::thread::Builder::new().name("holler-writer".to_owned()).spawn(move || {
            let _open = open;
            let mut group = Vec::with_capacity(GROUP);
            while jobs.blocking_recv_many(&mut group, GROUP) > 0 {
                let span = traces::commit(group.len(), group.iter().map(|(_, span)| span));
                let began = Instant::now();
                span.in_scope(|| self.commit_group(group.drain(..).map(|(queued, _)| queued)));
                metrics::histogram!("holler_commit_seconds").record(began.elapsed().as_secs_f64());
            }
            drop(self);
        })?;
        Ok(closed)
    }

    fn commit_group(&mut self, group: impl Iterator<Item = Queued>) {
        // Set once there is no transaction: then nothing of this group is stored.
        let mut lost = self.statement("BEGIN IMMEDIATE").err();
        if let Some(error) = lost {
            self.context.failures.fetch_add(1, Ordering::Relaxed);
            tracing::error!(%error, "a group of writes was not begun");
            group.for_each(|queued| queued.refuse(error.clone()));
            return;
        }
        let mut answers = Vec::new();
        for job in self.gather(group) {
            match &lost {
                None => {
                    let (answer, fate) = self.run(job);
                    answers.push(answer);
                    lost = fate.err();
                }
                Some(error) => job.refuse(error.clone()),
            }
        }
        let outcome = match lost {
            None => self.commit(),
            Some(error) => {
                self.roll_back();
                Err(error)
            }
        };
        if let Err(error) = &outcome {
            if !matches!(error, StoreError::Busy) {
                self.context.failures.fetch_add(1, Ordering::Relaxed);
            }
            tracing::error!(%error, jobs = answers.len(), "a group of writes was not committed");
        }
        for answer in answers {
            // What is called here is told of things that have happened; its faults change nothing about them.
            if catch_unwind(AssertUnwindSafe(|| answer(&outcome))).is_err() {
                tracing::error!("telling the outcome of a write failed unexpectedly");
            }
        }
        self.checkpoints.committed(&self.db);
    }

    /// The jobs in their order; sends that follow each other become one job a room.
    fn gather(&self, group: impl Iterator<Item = Queued>) -> Vec<Box<dyn Job>> {
        let mut jobs: Vec<Box<dyn Job>> = Vec::new();
        let mut rooms: BTreeMap<RoomId, Vec<PendingAppend>> = BTreeMap::new();
        let flush = |rooms: &mut BTreeMap<RoomId, Vec<PendingAppend>>, jobs: &mut Vec<Box<dyn Job>>| {
            for (room, sends) in std::mem::take(rooms) {
                jobs.push(Box::new(RoomBatch { context: Arc::clone(&self.context), room, sends }));
            }
        };
        for queued in group {
            match queued {
                Queued::Append(append) => rooms.entry(append.append.room).or_default().push(append),
                Queued::Job(job) => {
                    flush(&mut rooms, &mut jobs);
                    jobs.push(job);
                }
            }
        }
        flush(&mut rooms, &mut jobs);
        jobs
    }

    /// Runs one job. An error means that the whole transaction is gone, or has to go.
    fn run(&mut self, job: Box<dyn Job>) -> (Answer, Result<(), StoreError>) {
        let guarded = self.careful || !job.fails_whole();
        if guarded && let Err(error) = self.statement("SAVEPOINT job") {
            job.refuse(error.clone());
            return (Box::new(|_| {}), Err(error));
        }
        let (kept, answer) = job.run(&self.db);
        // SQLite gives up the whole transaction when a statement meets a full or failing disk.
        let fate = if self.db.is_autocommit() {
            Err(StoreError::Abandoned)
        } else {
            match (kept, guarded) {
                (Kept::All, true) => self.statement("RELEASE job"),
                (Kept::Nothing, true) => self.statement("ROLLBACK TO job").and_then(|()| self.statement("RELEASE job")),
                (Kept::Untouched, true) => self.statement("RELEASE job"),
                (Kept::All | Kept::Untouched, false) => Ok(()),
                (Kept::Nothing, false) => {
                    tracing::error!(
                        "sends to a room could not be written: from now on each room's are undone by themselves"
                    );
                    self.careful = true;
                    Err(StoreError::Abandoned)
                }
            }
        };
        (answer, fate)
    }

    fn commit(&self) -> Result<(), StoreError> {
        let committed = self.db.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
        let Err(error) = committed else { return Ok(()) };
        let certain = matches!(
            error.sqlite_error_code(),
            Some(
                ErrorCode::DiskFull
                    | ErrorCode::DatabaseBusy
                    | ErrorCode::DatabaseLocked
                    | ErrorCode::ConstraintViolation
            )
        );
        let certain = self.roll_back() && certain;
        Err(if certain { error.into() } else { StoreError::Unknown(error.to_string()) })
    }

    /// Whether there is no transaction any more.
    fn roll_back(&self) -> bool {
        self.db.is_autocommit() || self.db.execute_batch("ROLLBACK").is_ok()
    }

    fn statement(&self, sql: &str) -> Result<(), StoreError> {
        self.db.prepare_cached(sql)?.execute([])?;
        Ok(())
    }
}
