//! The task that runs a room's home, and what it does with the store.

use std::future::pending;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use holler_core::model::Role;
use holler_core::units::RoomId;
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, WeakSender};
use tokio::time::sleep_until;

use super::journal::{Entry, Outcome};
use super::load::Load;
use super::room::{Opening, Room, interruption};
use super::{Command, Committed, lock};
use crate::clock::Clock;
use crate::storage::{Append, AppendError, Point, Store, StoreError};

/// Takes the room's next term, and ends what an earlier home left unfinished.
pub(super) async fn open(room: RoomId, store: &Store, clock: Clock) -> Result<Room, AppendError> {
    let term = store.take_home(room).await?;
    let emergencies = store.emergencies(room).await?;
    for burst in store.open_bursts(room).await? {
        if let Some(record) = store.burst(room, burst).await? {
            store.append(interruption(room, burst, &record, clock.unix())).await?;
        }
    }
    let log = store.log_head(room).await?.ok_or(AppendError::NoSuchRoom(room))?;
    let draw = Box::new(|| {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).map(|()| bytes)
    });
    Ok(Room::new(Opening { room, term, emergencies, log, draw }, clock))
}

/// Runs until the server drains and everything is written.
pub(super) async fn run(
    mut room: Room,
    store: Store,
    home: WeakSender<Command>,
    mut commands: mpsc::Receiver<Command>,
    committed: Arc<(Mutex<Committed>, Notify)>,
) {
    let (id, clock) = (room.id(), room.clock());
    let mut writing: Option<Pin<Box<dyn Future<Output = Outcome> + Send>>> = None;
    loop {
        room.settle();
        while let Some(load) = room.poll_load() {
            tokio::spawn(answer(store.clone(), id, load, home.clone()));
        }
        if writing.is_none() {
            writing = room.write().map(|entry| Box::pin(write(store.clone(), id, clock, entry)) as Pin<Box<_>>);
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
                let any = !batch.events.is_empty();
                room.committed(batch);
                if any {
                    store.hooks().at(Point::FannedOut);
                }
            }
            command = commands.recv() => match command {
                Some(command) => room.command(command),
                None => return,
            },
            () = async {
                match timeout {
                    Some(at) => sleep_until(clock.instant(at)).await,
                    None => pending().await,
                }
            } => room.timeout(),
        }
    }
}

/// Writes an entry of the journal.
async fn write(store: Store, room: RoomId, clock: Clock, entry: Entry) -> Outcome {
    match entry {
        Entry::Chunk { burst, frames } => match store.put_frames(room, burst, frames).await {
            Ok(_new) => Outcome::Written,
            Err(error) => Outcome::from(&error),
        },
        Entry::Event { burst: _, user, device, client_id, body } => {
            let received_at = clock.unix();
            // The role matters for deleting what others wrote, which a home never does.
            let role = Role::Talker;
            let append = Append { room, user, device, role, client_id, epoch: None, body, received_at };
            match store.append(append).await {
                Ok(appended) if appended.replayed => Outcome::Before,
                Ok(_appended) => Outcome::Written,
                Err(error) => Outcome::from(&error),
            }
        }
    }
}

/// Reads a burst, and comes back with [`Command::Loaded`].
async fn answer(store: Store, room: RoomId, load: Load, home: WeakSender<Command>) {
    let found = async {
        let Some(record) = store.burst(room, load.burst).await? else { return Ok::<_, StoreError>(None) };
        let (from, to) = Load::FRAMES;
        Ok(Some((record, store.frames(room, load.burst, from, to).await?)))
    };
    let mut found = found.await;
    let mut removed = false;
    if let (Ok(None), Some(device)) = (&found, load.offered_by()) {
        match store.was_begun(room, device, load.burst).await {
            Ok(begun) => removed = begun,
            Err(error) => found = Err(error),
        }
    }
    if let Some(home) = home.upgrade() {
        let loaded = if removed { load.removed() } else { load.found(found) };
        // The home may have ended meanwhile, as the server drains: the client asks again after its reconnect.
        let _ended = home.send(Command::Loaded(Box::new(loaded))).await;
    }
}
