//! The home of a room: the one place that arbitrates its floor and forwards its voice.
//!
//! A [`Home`] is a handle to a task that owns a [`Room`], which is a machine without I/O and composes the room's others:
//! [`holler_core::floor`] decides who talks, [`holler_core::burst`] keeps the frames of bursts that are not settled, and a queue
//! of [`journal`] entries takes what must become durable to the store, in order, one at a time. Everything reaches the task as a [`Command`] through a bounded queue; a
//! gateway whose command finds the queue full waits, and with it its client.
//!
//! What was committed comes back through the fan-out that [`Homes::new`] gives the store, which never blocks the store's writer: where a home
//! is slower than the log, events are dropped from the fan-out and only the log's new head is passed on, and every follower
//! reads them from the log.
//!
//! A home without followers ends after a minute or two ([`Homes::retire`]), and starts again when somebody follows its room.
//!
//! The term of a home's floor tokens is taken durably when the home starts, so that the tokens of a restarted server are above
//! those that it granted before.

mod bursts;
mod journal;
mod load;
mod room;
mod task;
#[cfg(test)]
mod tests;

pub use journal::{Entry, Outcome};
pub use load::{Load, Loaded, Offer, Stored};
pub use room::{Draw, Opening, Room, interruption};

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use holler_core::floor;
use holler_core::model::{BurstDigest, Event, Role};
use holler_core::units::{BurstId, Cursor, DeviceId, FrameNo, RequestId, RoomId, Seq, UserId};
use holler_core::wire::voice::VoiceFrame;
use tokio::sync::{Notify, mpsc};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::gateway::Connection;
use crate::storage::receipts::Reach;
use crate::storage::{AppendError, Store};

/// Commands that may wait for a home.
const COMMANDS_MAX: usize = 1_024;
/// Events that may wait for a home before only the head is kept.
const EVENTS_MAX: usize = 1_024;

/// How often homes without use are looked for. One ends that was without use at two looks, so after one to two minutes.
const IDLE_LOOK: Duration = Duration::from_secs(60);

/// How long homes may take to write what they hold once the server is going down.
const DRAIN_MAX: Duration = Duration::from_secs(10);

/// What a home is asked to do.
#[derive(Debug)]
pub enum Command {
    /// A socket follows the room.
    Join {
        /// The socket.
        connection: Arc<Connection>,
        /// What its user may do here.
        role: Role,
        /// The request to answer with `subscribed`.
        request: RequestId,
        /// Where to go on.
        cursor: Option<Cursor>,
        /// Whether live voice is wanted.
        voice: bool,
    },
    /// A socket no longer follows the room, or is gone.
    Leave {
        /// Its device.
        device: DeviceId,
        /// Its number: a newer socket of the same device stays.
        connection: u64,
    },
    /// Something for the floor.
    Floor(floor::Input),
    /// A user's role changed; `None`: no member any more.
    Role {
        /// Who.
        user: UserId,
        /// From now on.
        role: Option<Role>,
    },
    /// A voice frame came.
    Voice {
        /// From this device.
        connection: Arc<Connection>,
        /// The frame.
        frame: VoiceFrame,
    },
    /// A device ended its burst.
    BurstEnd {
        /// The socket to answer.
        connection: Arc<Connection>,
        /// The burst.
        burst: BurstId,
        /// Its last frame.
        last: FrameNo,
        /// Over all its frames.
        digest: BurstDigest,
    },
    /// A device brings a burst that was spoken offline, or without the floor.
    BurstOffer {
        /// The socket to answer.
        connection: Arc<Connection>,
        /// The burst.
        offer: Box<Offer>,
    },
    /// How far events of the room got: for their senders and for dispatchers.
    Receipts(Vec<Reach>),
    /// A burst was read from storage.
    Loaded(Box<Loaded>),
    /// Write what is held, then end: the server is going down, or nobody uses the room.
    Drain,
}

/// What was committed and not yet passed on.
#[derive(Debug, Default)]
pub struct Committed {
    /// In order.
    pub events: Vec<Arc<Event>>,
    /// The log's head, where `events` had to be dropped.
    pub overflow: Option<Seq>,
}

/// A handle to the home of a room.
#[derive(Clone, Debug)]
pub struct Home {
    /// The room.
    pub room: RoomId,
    commands: mpsc::Sender<Command>,
    committed: Arc<(Mutex<Committed>, Notify)>,
}

impl Home {
    /// Asks the home to do something; waits while its queue is full. `false`: the home has ended (the server is draining).
    pub(crate) async fn send(&self, command: Command) -> bool {
        self.commands.send(command).await.is_ok()
    }

    fn commit(&self, events: &[Arc<Event>]) {
        let (slot, wake) = &*self.committed;
        let mut slot = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if slot.overflow.is_some() || slot.events.len() + events.len() > EVENTS_MAX {
            slot.events.clear();
            slot.overflow = events.last().map(|event| event.seq).or(slot.overflow);
        } else {
            slot.events.extend_from_slice(events);
        }
        drop(slot);
        wake.notify_one();
    }
}

/// Says how long a talk may be in a room, now.
type TalkLimit = Box<dyn Fn(RoomId) -> Duration + Send + Sync>;

/// The homes that this server runs.
#[derive(Clone)]
pub struct Homes {
    rooms: Arc<Mutex<HashMap<RoomId, Home>>>,
    /// Serialises the starts, so that two first subscribers don't take two terms.
    starting: Arc<tokio::sync::Mutex<bool>>,
    talk_limits: Arc<OnceLock<TalkLimit>>,
    tasks: tokio_util::task::TaskTracker,
    store: Store,
    clock: Clock,
}

impl Homes {
    /// No homes yet; and the store's fan-out goes to those that will start.
    pub fn new(store: &Store, clock: Clock) -> Self {
        let homes = Self {
            rooms: Arc::default(),
            starting: Arc::new(tokio::sync::Mutex::new(true)),
            talk_limits: Arc::default(),
            tasks: tokio_util::task::TaskTracker::new(),
            store: store.clone(),
            clock,
        };
        let rooms = Arc::clone(&homes.rooms);
        store.set_fanout(Arc::new(move |room, events| {
            let home = lock(&rooms).get(&room).cloned();
            if let Some(home) = home {
                home.commit(&events);
            }
        }));
        homes
    }

    /// The home of `room`, started if need be. `Ok(None)`: the server is draining.
    pub async fn home(&self, room: RoomId) -> Result<Option<Home>, AppendError> {
        if let Some(home) = lock(&self.rooms).get(&room) {
            return Ok(Some(home.clone()));
        }
        let open = self.starting.lock().await;
        if !*open {
            return Ok(None);
        }
        if let Some(home) = lock(&self.rooms).get(&room) {
            return Ok(Some(home.clone()));
        }
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let weak = commands.downgrade();
        let home = Home { room, commands, committed: Arc::default() };
        // In the map before the log's head is read: an event committed between the two is seen by one or both, never by none.
        self.enter(&home);
        match task::open(room, &self.store, self.clock).await {
            Ok(state) => {
                self.tasks.spawn(task::run(state, self.store.clone(), weak, inbox, Arc::clone(&home.committed)));
                Ok(Some(home))
            }
            Err(error) => {
                lock(&self.rooms).remove(&room);
                Err(error)
            }
        }
    }

    /// Puts a new home into the map, and its talk limit first into its queue. Both under one lock: a limit that changes meanwhile
    /// finds the home there, and comes after.
    fn enter(&self, home: &Home) {
        let mut rooms = lock(&self.rooms);
        if let Some(limit) = self.talk_limits.get() {
            // The queue is new: there is room in it.
            let _sent = home.commands.try_send(talk_limit(limit, home.room));
        }
        rooms.insert(home.room, home.clone());
    }

    /// Has `limit` asked how long a talk may be; without it, the floor has its default. Only the first call counts.
    pub fn limit_talk(&self, limit: impl Fn(RoomId) -> Duration + Send + Sync + 'static) {
        let _first = self.talk_limits.set(Box::new(limit));
    }

    /// Talk limits have changed: tells the homes that run.
    pub async fn talk_limits_changed(&self) {
        let homes: Vec<_> = lock(&self.rooms).values().cloned().collect();
        for home in homes {
            if let Some(limit) = self.talk_limits.get() {
                home.send(talk_limit(limit, home.room)).await;
            }
        }
    }

    /// The home of `room` if it runs.
    pub fn running(&self, room: RoomId) -> Option<Home> {
        lock(&self.rooms).get(&room).cloned()
    }

    /// Ends the homes that nobody holds now nor held at the last look, when `before` was found. Gives those that nobody holds now.
    ///
    /// Whoever follows a room, or is about to ask its home for something, holds its [`Home`], and gets it from the map: what only
    /// the map and its own task hold can't be asked for anything while the map is locked. No home starts until the ended ones have
    /// written what they had, so that a room never has two.
    pub async fn retire(&self, before: &HashSet<RoomId>) -> HashSet<RoomId> {
        let _alone = self.starting.lock().await;
        let (mut idle, mut ending) = (HashSet::new(), Vec::new());
        lock(&self.rooms).retain(|room, home| {
            let is_idle = Arc::strong_count(&home.committed) == 2;
            if is_idle && before.contains(room) {
                ending.push(home.clone());
                return false;
            }
            if is_idle {
                idle.insert(*room);
            }
            true
        });
        for home in ending {
            home.send(Command::Drain).await;
            if tokio::time::timeout(DRAIN_MAX, home.commands.closed()).await.is_err() {
                tracing::warn!(room = %home.room, "a home without use could not write all it holds within 10 s; it goes on trying");
            }
        }
        idle
    }

    /// Starts no more homes, has the running ones write what they hold, and waits for them.
    pub async fn drain(&self) {
        *self.starting.lock().await = false;
        let homes: Vec<_> = lock(&self.rooms).values().cloned().collect();
        for home in homes {
            home.send(Command::Drain).await;
        }
        self.tasks.close();
        if tokio::time::timeout(DRAIN_MAX, self.tasks.wait()).await.is_err() {
            tracing::error!(
                left = self.tasks.len(),
                "homes could not write all they hold within 10 s: senders will repair it"
            );
        }
    }
}

fn talk_limit(limit: &TalkLimit, room: RoomId) -> Command {
    Command::Floor(floor::Input::TalkLimit { limit: limit(room) })
}

/// Ends homes without use, until `stop`.
pub async fn retire_idle(app: crate::app::App, stop: CancellationToken) {
    let mut idle = HashSet::new();
    while stop.run_until_cancelled(tokio::time::sleep(IDLE_LOOK)).await.is_some() {
        idle = app.homes.retire(&idle).await;
    }
}

/// Tells the homes of `app` when talk limits change, until `stop`.
pub async fn follow_talk_limits(app: crate::app::App, stop: CancellationToken) {
    let mut changes = app.auth.changes();
    let mut told = app.auth.talk_limits();
    while let Some(Ok(())) = stop.run_until_cancelled(changes.changed()).await {
        let limits = app.auth.talk_limits();
        if limits != told {
            told = limits;
            app.homes.talk_limits_changed().await;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
