//! The task that runs a room's home.

use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use tokio::sync::{Notify, mpsc};
use tokio::time::sleep_until;

use super::journal::Outcome;
use super::room::Room;
use super::{Command, Committed, lock};

/// Runs until the server drains and everything is written.
pub(super) async fn run(
    mut room: Room,
    mut commands: mpsc::Receiver<Command>,
    committed: Arc<(Mutex<Committed>, Notify)>,
) {
    let mut writing: Option<Pin<Box<dyn Future<Output = Outcome> + Send>>> = None;
    loop {
        room.settle();
        if writing.is_none() && room.may_write() {
            writing = room.write().map(|entry| Box::pin(entry) as Pin<Box<dyn Future<Output = Outcome> + Send>>);
        }
        if room.is_done() {
            return;
        }
        let timeout = room.poll_timeout();
        tokio::select! {
            biased;
            outcome = async {
                match writing.as_mut() {
                    Some(entry) => entry.await,
                    None => pending().await,
                }
            } => {
                writing = None;
                room.written(&outcome);
            }
            () = committed.1.notified() => {
                let batch = std::mem::take(&mut *lock(&committed.0));
                room.committed(batch);
            }
            command = commands.recv() => match command {
                Some(command) => room.command(command),
                None => return,
            },
            () = async {
                match timeout {
                    Some(at) => sleep_until(room.clock().instant(at)).await,
                    None => pending().await,
                }
            } => room.timeout(),
        }
    }
}
