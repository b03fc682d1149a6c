//! From the queue to the services.
//!
//! One loop: find whom to tell of new events, take what is due, send with bounded concurrency, write down what became of it, sleep until
//! something is stored or due. A try that fails is repeated later and later, at random within each wait so that a service that
//! comes back is not met by everybody at once (equal jitter); a service that says when to come again is heeded. After
//! [`PUSH_ATTEMPTS_MAX`] tries, or when it is no longer worth telling, an entry is given up.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use holler_core::units::{DeviceId, RoomId, Seq, UnixMs};
use holler_core::wire::limits::PUSH_ATTEMPTS_MAX;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Push, Sent};
use crate::app::App;
use crate::storage::accounts::{AccountError, Accounts, Told};
use crate::storage::audit::Actor;
use crate::storage::push::{self, Entry, Look, Settled, Subject};

/// Notifications that are on their way at once.
const SENDS_MAX: usize = 32;
/// Entries that one write puts in: the writer is held by no long list.
const ENTRIES_A_WRITE: usize = 200;
/// The least time between two looks at the logs: what comes together is told together.
const LOOK_PAUSE: Duration = Duration::from_millis(200);
/// The longest time between two: metrics are told, dead letters swept.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// After a fault of the database.
const FAULT_PAUSE: Duration = Duration::from_secs(5);
/// The first wait after a try that failed; each doubles the one before.
const BACKOFF_FIRST: Duration = Duration::from_secs(5);
/// The longest.
const BACKOFF_MAX: Duration = Duration::from_secs(15 * 60);
/// How long somebody who seems to be there may take to show that they heard of an emergency.
const HEARD_WITHIN_MS: u64 = 5_000;

/// Works until `stop`.
pub async fn run(app: App, push: Arc<Push>, stop: CancellationToken) {
    let mut worker = Worker::new(app, push);
    let stored = worker.app.store.stored();
    loop {
        let pause = match worker.turn().await {
            Ok(pause) => pause,
            Err(error) => {
                tracing::error!(%error, "notifications can't be looked after; trying again");
                FAULT_PAUSE
            }
        };
        let woken = async {
            tokio::select! {
                () = stored.notified() => tokio::time::sleep(LOOK_PAUSE).await,
                () = tokio::time::sleep(pause) => {}
                Some(ended) = worker.sends.join_next(), if !worker.sends.is_empty() => worker.ended(ended),
            }
        };
        if stop.run_until_cancelled(woken).await.is_none() {
            break;
        }
    }
    // What is on its way is sent again after the next start, under the same topic.
    worker.sends.shutdown().await;
}

/// The loop's state.
pub(super) struct Worker {
    app: App,
    push: Arc<Push>,
    sends: JoinSet<DeviceId>,
    /// Devices that something is on its way to.
    busy: BTreeSet<DeviceId>,
}

impl Worker {
    pub(super) fn new(app: App, push: Arc<Push>) -> Self {
        Self { app, push, sends: JoinSet::new(), busy: BTreeSet::new() }
    }

    /// Waits for what is on its way: for tests.
    #[cfg(test)]
    pub(super) async fn arrived(&mut self) {
        while let Some(ended) = self.sends.join_next().await {
            self.ended(ended);
        }
    }

    fn ended(&mut self, ended: Result<DeviceId, tokio::task::JoinError>) {
        match ended {
            Ok(device) => {
                self.busy.remove(&device);
            }
            Err(error) => {
                // Nobody knows which it was: the database still has the entry.
                tracing::error!(%error, "a notification failed unexpectedly");
                self.busy.clear();
            }
        }
    }

    /// Does what there is to do now; gives how long there is nothing more.
    pub(super) async fn turn(&mut self) -> Result<Duration, AccountError> {
        while let Some(ended) = self.sends.try_join_next() {
            self.ended(ended);
        }
        let store = self.app.store.clone();
        for (room, from) in store.read(push::rooms).await? {
            self.look(room, from).await?;
        }
        let (workspace, now) = (self.app.auth.workspace(), self.app.clock.unix());
        let (busy, free) = (self.busy.clone(), SENDS_MAX.saturating_sub(self.busy.len()));
        let due = store.read(move |db| push::due(db, workspace, now, free, &busy)).await?;
        for entry in due {
            self.busy.insert(entry.device);
            self.sends.spawn(tell(Arc::clone(&self.app), Arc::clone(&self.push), entry));
        }
        let busy = self.busy.clone();
        let (next, figures) = store
            .read(move |db| {
                Ok::<_, AccountError>((push::next_due(db, workspace, &busy)?, push::figures(db, workspace)?))
            })
            .await?;
        metrics::gauge!("holler_push_waiting").set(count(figures.waiting));
        metrics::gauge!("holler_push_dead").set(count(figures.dead));
        let oldest = figures.oldest.map_or(0, |at| now.0.saturating_sub(at.0));
        metrics::gauge!("holler_push_oldest_seconds").set(count(oldest) / 1_000.0);
        if figures.dead > 0 {
            store.write(move |db| push::sweep(db, workspace, now)).await?;
        }
        if self.busy.len() >= SENDS_MAX {
            return Ok(LOOK_EVERY);
        }
        let until = next.map_or(LOOK_EVERY, |at| Duration::from_millis(at.0.saturating_sub(now.0)));
        Ok(until.clamp(Duration::from_millis(1), LOOK_EVERY))
    }

    /// Puts what a room's new events want told into the queue.
    async fn look(&self, room: RoomId, mut from: Seq) -> Result<(), AccountError> {
        let (store, workspace) = (&self.app.store, self.app.auth.workspace());
        loop {
            let (vault, present) = (store.vault().clone(), self.app.connections.following(room, self.app.clock.now()));
            let look: Look = store
                .read(move |db| push::wanted(&Accounts::open(db, &vault, workspace)?, room, from, &present))
                .await?;
            let now = self.app.clock.unix();
            let mut queued = 0;
            for part in look.wanted.chunks(ENTRIES_A_WRITE) {
                let part = part.to_vec();
                queued += store.write(move |db| push::enqueue(db, workspace, room, &part, now)).await?;
            }
            metrics::counter!("holler_push_queued_total").increment(queued as u64);
            let (whole, up_to) = (look.whole, look.up_to);
            store.write(move |db| push::looked(db, workspace, room, &look)).await?;
            if whole {
                return Ok(());
            }
            from = Seq(up_to.0 + 1);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a gauge; numbers this large are not exact to anybody")]
fn count(number: u64) -> f64 {
    number as f64
}

/// Tells one device, and writes down what became of it.
async fn tell(app: App, push: Arc<Push>, entry: Entry) -> DeviceId {
    let (device, workspace) = (entry.device, app.auth.workspace());
    let settled = match settle(&app, &push, &entry).await {
        Ok(settled) => settled,
        Err(error) => {
            tracing::error!(%error, "a notification can't be made; trying again");
            Settled::Again { at: later(app.clock.unix(), FAULT_PAUSE), counts: true }
        }
    };
    let now = app.clock.unix();
    let written = app.store.write(move |db| push::settle(db, workspace, &entry, &settled, now)).await;
    if let Err(error) = written {
        tracing::error!(%error, "what became of a notification can't be written down: it is sent again");
        tokio::time::sleep(FAULT_PAUSE).await;
    }
    device
}

async fn settle(app: &App, push: &Push, entry: &Entry) -> Result<Settled, AccountError> {
    let (vault, workspace, now) = (app.store.vault().clone(), app.auth.workspace(), app.clock.unix());
    let of = entry.clone();
    let told = app.store.read(move |db| Accounts::open(db, &vault, workspace)?.notice(&of, now)).await?;
    let dropped = |cause: &'static str| {
        metrics::counter!("holler_push_dropped_total", "cause" => cause).increment(1);
        Settled::Done
    };
    let notice = match told {
        Told::Drop("expired") => {
            metrics::counter!("holler_push_failed_total", "kind" => "any", "cause" => "expired").increment(1);
            return Ok(Settled::Dead("expired"));
        }
        Told::Drop(cause) => return Ok(dropped(cause)),
        Told::Tell(notice) => notice,
    };
    if let Some(silent) = app.connections.silence(entry.device, entry.room, app.clock.now()) {
        let age = now.0.saturating_sub(notice.at.0);
        match entry.subject {
            Subject::News => return Ok(dropped("present")),
            // Something came from it after the event went there on the same connection.
            Subject::Emergency | Subject::Call if u128::from(age) > silent.as_millis() => {
                return Ok(dropped("present"));
            }
            Subject::Emergency | Subject::Call if age < HEARD_WITHIN_MS => {
                return Ok(Settled::Again { at: UnixMs(now.0 + 1_000), counts: false });
            }
            Subject::Emergency | Subject::Call => {}
        }
    }
    let kind = notice.target.kind().as_str();
    let sent = push.send(&notice, Duration::from_millis(now.0)).await;
    let failed = |cause: &'static str| {
        metrics::counter!("holler_push_failed_total", "kind" => kind, "cause" => cause).increment(1);
    };
    Ok(match sent {
        Sent::Taken => {
            metrics::counter!("holler_push_sent_total", "kind" => kind).increment(1);
            Settled::Done
        }
        Sent::Gone => {
            failed("gone");
            let device = entry.device;
            let removed = app
                .auth
                .write(Actor::Server, move |accounts, _| match accounts.remove_push_subscription(device, true) {
                    Err(AccountError::NoSubscription) => Ok(()),
                    other => other,
                })
                .await;
            if let Err(problem) = removed {
                tracing::error!(problem = problem.detail, "a push subscription that is gone can't be removed");
                return Ok(Settled::Again { at: later(now, FAULT_PAUSE), counts: true });
            }
            tracing::info!(%device, kind, "its push service no longer knows the device: the subscription is removed");
            Settled::Done
        }
        Sent::Later(cause, asked) => {
            failed(cause);
            let at = later(now, asked.unwrap_or_default().max(backoff(entry.attempts, random()?)));
            if entry.attempts + 1 >= PUSH_ATTEMPTS_MAX {
                given_up(entry, kind, cause);
                Settled::Dead(cause)
            } else if at >= entry.expires_at {
                given_up(entry, kind, "expired");
                Settled::Dead("expired")
            } else {
                Settled::Again { at, counts: true }
            }
        }
        Sent::Refused(cause) => {
            failed(cause);
            given_up(entry, kind, cause);
            Settled::Dead(cause)
        }
    })
}

fn given_up(entry: &Entry, kind: &str, cause: &str) {
    tracing::warn!(device = %entry.device, kind, cause, attempts = entry.attempts + 1, "a notification was given up");
}

fn later(now: UnixMs, wait: Duration) -> UnixMs {
    UnixMs(now.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
}

/// How long to wait after a try that failed when `attempts` had failed before: between half of a span that doubles, and the whole.
fn backoff(attempts: u32, random: u32) -> Duration {
    let span = BACKOFF_FIRST.saturating_mul(1_u32.checked_shl(attempts).unwrap_or(u32::MAX)).min(BACKOFF_MAX);
    span / 2 + span.mul_f64(f64::from(random) / f64::from(u32::MAX) / 2.0)
}

fn random() -> Result<u32, AccountError> {
    let mut bytes = [0; 4];
    getrandom::fill(&mut bytes).map_err(crate::storage::StoreError::from)?;
    Ok(u32::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_quarter_of_an_hour_and_are_spread() {
        assert_eq!(backoff(0, 0), Duration::from_millis(2_500));
        assert_eq!(backoff(0, u32::MAX), BACKOFF_FIRST);
        assert_eq!(backoff(3, u32::MAX), Duration::from_secs(40));
        assert_eq!(backoff(31, u32::MAX), BACKOFF_MAX);
        assert_eq!(backoff(99, 0), BACKOFF_MAX / 2);
    }
}
