//! The sending side of a socket, shared by the home of every room that it follows.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use axum::extract::ws::Utf8Bytes;
use bytes::Bytes;
use holler_core::path::Route;
use holler_core::session::{Coalesce, Dropped, Next, Outbox};
use holler_core::units::{BurstTag, Cursor, DeviceId, Incarnation, Mono, RoomId, Seq, UserId};
use holler_core::wire::limits::SILENCE_MAX;
use holler_core::wire::socket::{CloseCode, ServerMessage};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::voice::{Buffers, Session};

/// What travels to one socket. Both are shared: a message to many is serialised once.
#[derive(Clone, Debug)]
pub enum Frame {
    /// A control message.
    Text(Utf8Bytes),
    /// A voice frame.
    Binary(Bytes),
}

/// Serialises a control message.
///
/// Our messages have string keys only and no fallible serialisers, so this can't fail; should it ever, the client gets an
/// empty object, which it ignores as a type it does not know.
pub fn encode(message: &ServerMessage) -> Utf8Bytes {
    match serde_json::to_string(message) {
        Ok(text) => text.into(),
        Err(error) => {
            tracing::error!(%error, "a control message could not be serialised");
            Utf8Bytes::from_static("{}")
        }
    }
}

/// Where homes and the gateway put what a socket is to send.
#[derive(Debug)]
pub struct Outgoing {
    outbox: Mutex<Outbox<Frame>>,
    wake: Notify,
    drained: Notify,
    /// Whether somebody may wait for `drained`: nearly always nobody does, and then nobody is looked for.
    blocked: AtomicBool,
    /// Whether nothing is sent any more.
    ended: AtomicBool,
    clock: Clock,
}

impl Outgoing {
    /// An empty queue.
    pub fn new(clock: Clock) -> Self {
        Self {
            outbox: Mutex::default(),
            wake: Notify::new(),
            drained: Notify::new(),
            blocked: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            clock,
        }
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox<Frame>> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A live voice frame.
    pub fn voice(&self, bytes: Bytes) {
        let length = bytes.len();
        self.outbox().voice(self.clock.now(), Frame::Binary(bytes), length);
        self.wake.notify_one();
    }

    /// A message about the floor, in step with the voice.
    pub fn floor(&self, text: Utf8Bytes, coalesce: Option<Coalesce>) {
        let length = text.len();
        self.outbox().floor(self.clock.now(), Frame::Text(text), length, coalesce);
        self.wake.notify_one();
    }

    /// An answer or a state.
    pub fn control(&self, text: Utf8Bytes, coalesce: Option<Coalesce>) {
        let length = text.len();
        self.outbox().control(self.clock.now(), Frame::Text(text), length, coalesce);
        self.wake.notify_one();
    }

    /// An answer.
    pub fn answer(&self, message: &ServerMessage) {
        self.control(encode(message), None);
    }

    /// Events that were committed; `None`: known to exist, but not at hand.
    pub fn events(&self, room: RoomId, first: Seq, last: Seq, text: Option<Utf8Bytes>) {
        let length = text.as_ref().map_or(0, |text| text.len());
        self.outbox().events(self.clock.now(), room, first, last, text.map(Frame::Text), length);
        self.wake.notify_one();
    }

    /// Follow a room from `cursor`; `subscribed` is sent first.
    pub fn follow(&self, subscribed: &ServerMessage, room: RoomId, cursor: Cursor, head: Cursor) {
        let text = encode(subscribed);
        let length = text.len();
        let mut outbox = self.outbox();
        outbox.floor(self.clock.now(), Frame::Text(text), length, None);
        outbox.follow(room, cursor, head);
        drop(outbox);
        self.wake.notify_one();
    }

    /// Stop following a room.
    pub fn unfollow(&self, room: RoomId) {
        self.outbox().unfollow(room);
    }

    /// Whether a room is followed.
    pub fn follows(&self, room: RoomId) -> bool {
        self.outbox().follows(room)
    }

    /// The page of the log after `after` is being sent.
    pub fn fetched(&self, room: RoomId, after: Cursor, incarnation: Incarnation, sent: Seq, head: Seq) {
        self.outbox().fetched(room, after, incarnation, sent, head);
    }

    /// The log could not be read.
    pub fn fetch_failed(&self, room: RoomId) {
        self.outbox().fetch_failed(room);
    }

    /// End the session after what is queued.
    pub fn close(&self, code: CloseCode) {
        self.outbox().close(code);
        self.wake.notify_one();
    }

    /// What to send next, without waiting.
    pub fn try_next(&self) -> (Next<Frame>, Dropped) {
        let mut outbox = self.outbox();
        let next = outbox.next(self.clock.now());
        let dropped = outbox.take_dropped();
        let full = outbox.is_full();
        drop(outbox);
        // The lock that `is_full` takes after `blocked` was set orders the two: who found the queue full is seen here.
        if !full && self.blocked.load(Ordering::Acquire) && self.blocked.swap(false, Ordering::AcqRel) {
            self.drained.notify_waiters();
        }
        (next, dropped)
    }

    /// Waits until something was put in.
    pub async fn woken(&self) {
        self.wake.notified().await;
    }

    /// Whether so much is queued that nothing more should be read from the client.
    pub fn is_full(&self) -> bool {
        !self.ended.load(Ordering::Acquire) && self.outbox().is_full()
    }

    /// The socket's writing half has ended.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.drained.notify_waiters();
    }

    /// Waits until the queue is short enough to read more from the client, or nothing is sent any more.
    pub async fn room(&self) {
        loop {
            let drained = self.drained.notified();
            tokio::pin!(drained);
            // Registered before the check, so that a wake between the two is not missed.
            drained.as_mut().enable();
            self.blocked.store(true, Ordering::Release);
            if !self.is_full() {
                return;
            }
            drained.await;
        }
    }
}

/// A signed-in socket.
#[derive(Debug)]
pub struct Connection {
    /// Numbers the sockets of this process.
    pub id: u64,
    /// Who is signed in.
    pub user: UserId,
    /// From which device.
    pub device: DeviceId,
    /// Its queue.
    pub out: Arc<Outgoing>,
    rtt_us: AtomicU32,
    heard: AtomicU64,
    lease_us: AtomicU64,
    /// Its voice path.
    path: ArcSwapOption<Session>,
    closing: AtomicBool,
}

impl Connection {
    /// A socket that signed in.
    pub fn new(id: u64, user: UserId, device: DeviceId, out: Arc<Outgoing>, now: Mono) -> Self {
        let lease_us = AtomicU64::new(micros(SILENCE_MAX));
        let (rtt_us, heard) = (AtomicU32::new(0), AtomicU64::new(now.0));
        let (path, closing) = (ArcSwapOption::empty(), AtomicBool::new(false));
        Self { id, user, device, out, rtt_us, heard, lease_us, path, closing }
    }

    /// A live voice frame, its age as of now: by datagram where there is a path that carries, else into the queue.
    pub fn voice(&self, now: Mono, frame: &Bytes, buffers: &mut Buffers) -> Route {
        if let Some(path) = &*self.path.load() {
            return path.voice(now, frame, buffers);
        }
        self.out.voice(frame.clone());
        Route::Socket
    }

    /// The burst with this tag has ended, and what says so is about to be queued.
    pub fn ended_burst(&self, now: Mono, tag: BurstTag) {
        if let Some(path) = &*self.path.load() {
            path.ended_burst(now, tag);
        }
    }

    /// Its voice path, if it has one.
    pub fn path(&self) -> Option<Arc<Session>> {
        self.path.load_full()
    }

    /// From now on this is its voice path; gives the one before.
    pub(crate) fn set_path(&self, path: Option<Arc<Session>>) -> Option<Arc<Session>> {
        self.path.swap(path)
    }

    /// From now on it gets no new voice path.
    pub(crate) fn set_closing(&self) {
        self.closing.store(true, Ordering::SeqCst);
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::SeqCst)
    }

    /// Half of the round trip that the client measured: the estimated way from there to here.
    pub fn one_way(&self) -> Duration {
        Duration::from_micros(u64::from(self.rtt_us.load(Ordering::Relaxed) / 2))
    }

    /// The client measured its round trip.
    pub fn set_rtt_us(&self, rtt_us: u32) {
        self.rtt_us.store(rtt_us, Ordering::Relaxed);
    }

    /// Something came from the client.
    pub fn set_heard(&self, now: Mono) {
        self.heard.store(now.0, Ordering::Relaxed);
    }

    /// How long nothing may come from the client from now on, by its own promise.
    pub fn set_lease(&self, lease: Duration) {
        self.lease_us.store(micros(lease), Ordering::Relaxed);
    }

    /// For how long what came last counts as a sign of life.
    pub fn lease(&self) -> Duration {
        Duration::from_micros(self.lease_us.load(Ordering::Relaxed))
    }

    fn is_here(&self, now: Mono) -> bool {
        now.since(self.heard()) <= self.lease()
    }

    /// When something last came from the client.
    pub fn heard(&self) -> Mono {
        Mono(self.heard.load(Ordering::Relaxed))
    }
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}

/// Every signed-in socket of this process. A device has one: a newer one replaces it.
#[derive(Debug, Default)]
pub struct Connections {
    devices: Mutex<HashMap<DeviceId, Arc<Connection>>>,
}

impl Connections {
    fn devices(&self) -> MutexGuard<'_, HashMap<DeviceId, Arc<Connection>>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A socket signed in. An older one of the same device is closed, and given back.
    pub fn insert(&self, connection: Arc<Connection>) -> Option<Arc<Connection>> {
        let older = self.devices().insert(connection.device, connection)?;
        older.out.close(CloseCode::Replaced);
        Some(older)
    }

    /// A socket ended; does nothing when a newer one has taken its place.
    pub fn remove(&self, connection: &Connection) {
        let mut devices = self.devices();
        if devices.get(&connection.device).is_some_and(|current| current.id == connection.id) {
            devices.remove(&connection.device);
        }
    }

    /// The devices that follow a room and whose last sign of life still counts.
    pub fn following(&self, room: RoomId, now: Mono) -> BTreeSet<DeviceId> {
        let all: Vec<_> = self.devices().values().cloned().collect();
        all.iter().filter(|each| each.is_here(now) && each.out.follows(room)).map(|each| each.device).collect()
    }

    /// For how long nothing came from a device that follows a room; `None`: it does not, or its last sign of life no longer counts.
    pub fn silence(&self, device: DeviceId, room: RoomId, now: Mono) -> Option<Duration> {
        let connection = self.devices().get(&device).cloned()?;
        (connection.is_here(now) && connection.out.follows(room)).then(|| now.since(connection.heard()))
    }

    /// How many sockets are signed in.
    pub fn count(&self) -> usize {
        self.devices().len()
    }

    /// The sockets of each user in `users`, and when something last came from any of them.
    pub fn of_users(&self) -> HashMap<UserId, (u32, Mono)> {
        let mut users: HashMap<UserId, (u32, Mono)> = HashMap::new();
        for connection in self.devices().values() {
            let entry = users.entry(connection.user).or_default();
            entry.0 += 1;
            entry.1 = entry.1.max(connection.heard());
        }
        users
    }

    /// Tells every socket.
    pub fn for_each(&self, mut tell: impl FnMut(&Connection)) {
        let all: Vec<_> = self.devices().values().cloned().collect();
        for connection in all {
            tell(&connection);
        }
    }
}

#[cfg(test)]
mod tests {
    use holler_core::wire::limits::QUEUE_CONTROL_BYTES_MAX;

    use super::*;

    /// A client that floods us with requests and reads no answers is no longer read; when its socket ends, its reader does too.
    #[tokio::test]
    async fn a_full_queue_stops_the_reader_until_it_drains_or_ends() {
        let out = Arc::new(Outgoing::new(Clock::default()));
        out.room().await;
        let long = Utf8Bytes::from("x".repeat(QUEUE_CONTROL_BYTES_MAX / 2 + 1));
        out.control(long.clone(), None);
        out.control(long.clone(), None);
        let waiting = || {
            let out = Arc::clone(&out);
            tokio::spawn(async move { out.room().await })
        };
        let reader = waiting();
        tokio::task::yield_now().await;
        assert!(!reader.is_finished());
        assert!(matches!(out.try_next().0, Next::Item(_)));
        reader.await.unwrap();
        out.control(long, None);
        let reader = waiting();
        tokio::task::yield_now().await;
        assert!(!reader.is_finished());
        out.end();
        reader.await.unwrap();
    }
}
