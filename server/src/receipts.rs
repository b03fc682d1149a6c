//! Receipts on their way: stored as they come, told to senders and dispatchers at most once a second.
//!
//! A room of a thousand hears a burst, and a thousand receipts come within seconds. Each is written with the others that wait at
//! that moment; what is told is a count, worked out once a second for the few events that it changed for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use holler_core::units::{RoomId, Seq};
use holler_core::wire::problem::Problem;
use tokio::sync::Notify;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::home::Command;
use crate::storage::StoreError;
use crate::storage::receipts::{self, Moved, Reach, Receipt};

/// How long changes are gathered.
const GATHER: Duration = Duration::from_secs(1);
/// Events of one room that are told of in one round; of more, the newest.
const ITEMS_MAX: usize = 64;

/// What is to be told.
#[derive(Debug, Default)]
pub struct Receipts {
    changed: Mutex<BTreeMap<RoomId, BTreeSet<Seq>>>,
    wake: Notify,
}

impl Receipts {
    /// Stores a receipt of a member.
    pub async fn store(&self, app: &App, receipt: Receipt) -> Result<(), Problem> {
        let room = receipt.room;
        let moved = app.store.write(move |db| receipts::store(db, &receipt)).await?;
        self.moved(room, moved);
        Ok(())
    }

    fn moved(&self, room: RoomId, moved: Moved) {
        if moved.items.is_empty() {
            return;
        }
        let mut changed = self.changed.lock().unwrap_or_else(PoisonError::into_inner);
        let items = changed.entry(room).or_default();
        items.extend(moved.items);
        while items.len() > ITEMS_MAX {
            items.pop_first();
        }
        drop(changed);
        self.wake.notify_one();
    }
}

/// Tells what changed, until `stop`.
pub async fn run(app: App, stop: CancellationToken) {
    let workspace = app.auth.workspace();
    while stop.run_until_cancelled(app.receipts.wake.notified()).await.is_some() {
        if stop.run_until_cancelled(sleep(GATHER)).await.is_none() {
            return;
        }
        let changed = std::mem::take(&mut *app.receipts.changed.lock().unwrap_or_else(PoisonError::into_inner));
        for (room, items) in changed {
            // Nobody follows the room: nobody is told. REST says it whenever it is asked.
            let Some(home) = app.homes.running(room) else { continue };
            let read = move |db: &rusqlite::Connection| -> Result<Vec<Reach>, StoreError> {
                items.into_iter().filter_map(|seq| receipts::reach(db, workspace, room, seq).transpose()).collect()
            };
            match app.store.read(read).await {
                Ok(reach) => {
                    home.send(Command::Receipts(reach)).await;
                }
                Err(error) => tracing::warn!(%room, %error, "receipts can't be read"),
            }
        }
    }
}
