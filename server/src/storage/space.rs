//! Read-only while there is no room, or while the disk fails; writable again by itself.
//!
//! A disk that is full to the last byte stops more than a database. So from [`crate::config::Config::free_min_mib`] on downwards events
//! and frames are refused, with the reason and when to try again; what is small and needed stays possible: signing in, managing
//! people and rooms, retention, shredding. Above it, with a quarter in addition so that the state does not flutter, everything is
//! taken again. The same holds after a commit failed because of the disk, until a write succeeds.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::{Store, StoreError};
use crate::health::free_bytes;

/// How often the free space and a failing disk are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a trial write may take before the disk counts as failing.
const TRIAL_MAX: Duration = Duration::from_secs(5);
const MIB: u64 = 1024 * 1024;

impl Store {
    /// Why events and frames are refused at the moment; `None`: they are taken.
    pub fn closed_for(&self) -> Option<StoreError> {
        self.context().closed.load().as_deref().cloned()
    }

    /// Looks once: `free` bytes are left on the disk, and at least `least` must be.
    pub(crate) async fn look(&self, free: u64, least: u64) {
        let closed = self.closed_for();
        let failures = self.context().failures.swap(0, std::sync::atomic::Ordering::Relaxed);
        let was_full = matches!(closed, Some(StoreError::StorageFull { .. }));
        let needed = if was_full { least.saturating_add(least / 4) } else { least };
        let now = if free < needed {
            Some(StoreError::StorageFull { free_mib: free / MIB, needed_mib: needed.div_ceil(MIB) })
        } else if failures > 0 || closed.is_some() {
            match tokio::time::timeout(TRIAL_MAX, self.trial()).await {
                Ok(Ok(())) => None,
                Ok(Err(error)) => Some(StoreError::ReadOnly(error.to_string())),
                Err(_) => Some(StoreError::ReadOnly("a write was not answered within 5 s".to_owned())),
            }
        } else {
            None
        };
        match (&closed, &now) {
            (None, Some(reason)) => tracing::error!(%reason, "read-only: events and frames are refused"),
            (Some(_), None) => tracing::info!("writable again"),
            (None, None) | (Some(_), Some(_)) => {}
        }
        metrics::gauge!("holler_store_read_only").set(if now.is_some() { 1.0 } else { 0.0 });
        self.context().closed.store(now.map(Arc::new));
    }

    /// A real write that changes nothing: the header gets the number that it has.
    async fn trial(&self) -> Result<(), StoreError> {
        self.write(|db| {
            let version: i64 = db.pragma_query_value(None, "user_version", |row| row.get(0))?;
            Ok(db.pragma_update(None, "user_version", version)?)
        })
        .await
    }
}

/// Watches the disk of `data`, and the key ring, until `stop`. `least` says how many MiB must be free, as of now.
pub async fn watch(store: Store, data: Arc<Path>, least: impl Fn() -> u32, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(ticks.tick()).await.is_some() {
        // Where the system does not tell, nothing is refused for it.
        let free = free_bytes(&data).unwrap_or(u64::MAX);
        store.look(free, u64::from(least()) * MIB).await;
        match store.vault().follow_ring() {
            Ok(true) => tracing::info!("the key ring was changed: new data keys are wrapped with its active key"),
            Ok(false) => {}
            Err(error) => tracing::warn!(%error, "the key ring can't be read again; the one that was read goes on"),
        }
    }
}

#[cfg(test)]
mod tests {
    use holler_core::units::{BurstId, RoomId};

    use super::*;
    use crate::keys::KeyRing;
    use crate::storage::NoHooks;

    #[tokio::test]
    async fn it_closes_below_the_limit_and_opens_with_a_margin() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), KeyRing::ephemeral().unwrap(), Arc::new(NoHooks)).unwrap();
        let closed = |store: &Store| store.closed_for().is_some();
        for (free, wanted) in [(100, false), (99, true), (100, true), (124, true), (125, false), (100, false)] {
            store.look(free * MIB, 100 * MIB).await;
            assert_eq!(closed(&store), wanted, "{free}");
        }
        store.look(50 * MIB, 100 * MIB).await;
        let (room, burst) = (RoomId::from_bytes([1; 16]), BurstId::from_bytes([1; 16]));
        let refused = store.put_frames(room, burst, Vec::new()).await;
        assert!(matches!(refused, Err(StoreError::StorageFull { .. })), "before the room is looked for");
        let told = store.closed_for().unwrap().to_string();
        assert!(told.contains("50 MiB") && told.contains("100 MiB"), "{told}");
    }

    #[tokio::test]
    async fn a_failing_disk_closes_it_until_a_write_succeeds() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path(), KeyRing::ephemeral().unwrap(), Arc::new(NoHooks)).unwrap();
        let impatient = "PRAGMA busy_timeout = 20";
        store.write(move |db| Ok::<_, StoreError>(db.execute_batch(impatient)?)).await.unwrap();
        // Nothing can be written while another connection holds the lock.
        let other = rusqlite::Connection::open(dir.path().join(crate::storage::DATABASE_FILE)).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        store.look(u64::MAX, 0).await;
        assert!(store.closed_for().is_none(), "nothing has failed yet");
        store.context().failures.store(1, std::sync::atomic::Ordering::Relaxed);
        for _ in 0..2 {
            store.look(u64::MAX, 0).await;
            assert!(matches!(store.closed_for(), Some(StoreError::ReadOnly(_))), "until a write succeeds");
        }
        other.execute_batch("ROLLBACK").unwrap();
        store.look(u64::MAX, 0).await;
        assert!(store.closed_for().is_none());
    }
}
