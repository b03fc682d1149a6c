//! What the board does by itself: telling, noticing changes of members, writing transitions down.

use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::GATHER;
use crate::app::App;
use crate::storage::{StoreError, presence};

/// How often transitions are written.
const WRITE_EVERY: Duration = Duration::from_secs(1);
/// How often it is written down that the server runs, while a socket is open: how much too old an age may be after a crash.
const ALIVE_EVERY: Duration = Duration::from_secs(30);

/// Reads what an earlier server wrote down. Without it everybody is unknown, which is true.
pub async fn restore(app: &App) {
    let workspace = app.auth.workspace();
    let loaded = app.store.read(move |db| presence::load(db, workspace)).await;
    match loaded {
        Ok(transitions) => app.presence.restore(&transitions, app.clock.unix()),
        Err(error) => tracing::warn!(%error, "what was known of people's presence can't be read: it begins anew"),
    }
}

/// Runs until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    tokio::join!(tell(&app, &stop), write(&app, &stop));
}

async fn tell(app: &App, stop: &CancellationToken) {
    let mut changes = app.auth.changes();
    let mut due = None;
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => return,
            changed = changes.changed() => {
                if changed.is_err() {
                    return;
                }
                // At once: who was removed is told no more.
                let members = app.auth.members();
                let of = |room| members.get(&room).cloned().unwrap_or_default();
                app.presence.refresh(of, |user| app.auth.is_user(user));
            }
            () = app.presence.woken() => sleep(GATHER).await,
            () = async {
                match due {
                    Some(at) => sleep_until(app.clock.instant(at)).await,
                    None => std::future::pending().await,
                }
            } => {}
        }
        due = app.presence.flush();
    }
}

async fn write(app: &App, stop: &CancellationToken) {
    let mut alive_at: Option<Instant> = None;
    let mut failing = false;
    loop {
        let stopped = stop.run_until_cancelled(sleep(WRITE_EVERY)).await.is_none();
        let transitions = app.presence.take_records();
        let is_due = alive_at.is_none_or(|at| at.elapsed() >= ALIVE_EVERY) && !app.presence.is_empty();
        if !transitions.is_empty() || is_due || stopped && alive_at.is_some() {
            let (workspace, now) = (app.auth.workspace(), app.clock.unix());
            let written = app.store.write(move |db| presence::record(db, workspace, &transitions, now)).await;
            alive_at = Some(Instant::now());
            say(&written, &mut failing);
        }
        if stopped {
            return;
        }
    }
}

/// A transition that is lost makes an age less exact after a restart, and nothing worse.
fn say(written: &Result<(), StoreError>, failing: &mut bool) {
    if let Err(error) = written
        && !*failing
    {
        tracing::warn!(%error, "changes of presence can't be written down; after a restart ages are less exact");
    }
    *failing = written.is_err();
}
