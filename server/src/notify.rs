//! What systemd is told (`sd_notify(3)`): that the server is ready, reloads, goes down, and that it lives.
//!
//! Without `NOTIFY_SOCKET` nothing is told. A message that can't be sent is no reason to stop: systemd then does what it does with a
//! service that says nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio_util::sync::CancellationToken;

use crate::health;
use crate::storage::Store;

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd could not be told");
    }
}

/// The server takes requests.
pub fn ready(status: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The settings are read again; [`ready`] follows.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now, NotifyState::Status("reading the settings again")]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// The server goes down, for at most this long.
pub fn stopping(at_most: Duration) {
    let longest = u32::try_from(at_most.as_micros()).unwrap_or(u32::MAX);
    let status = NotifyState::Status("going down: answering what is under way");
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(longest), status]);
}

/// Feeds the watchdog until `stop`, where systemd asks for one: three times in its time, and only while the store's writer
/// answers. A server that can't store is restarted; one whose disk is full says so and is not.
pub async fn watchdog(store: Store, stop: CancellationToken) {
    let Some(limit) = sd_notify::watchdog_enabled() else { return };
    let every = limit / 3;
    loop {
        if health::writer_answers(&store, every).await {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!("the database's writer does not answer: the watchdog is not fed");
        }
        if stop.run_until_cancelled(tokio::time::sleep(every)).await.is_none() {
            return;
        }
    }
}
