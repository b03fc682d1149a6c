//! Runs the engine: what it asks for is done, what happens is handed to it.
//!
//! The engine lies behind a lock that is held for microseconds. Whoever has news for it (the socket, REST, the sound threads, the
//! program around it) hands them in directly, and wakes the one task that does its outputs, in their order. What people should
//! know comes out of a bounded channel; a program that does not read it stops its client, and with it the socket, instead of
//! filling the memory.

use core::time::Duration;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use holler_core::engine::{
    Command, Config, Engine, FetchError, Input, LinkNo, Notice, Output, PersonSeen, Pull, Received,
};
use holler_core::model::{EventBody, PresenceState};
use holler_core::path::PathFigures;
use holler_core::units::{BurstId, ClientId, Cursor, FrameNo, Mono, RoomId, UserId};
use holler_core::wire::datagram::PathOffer;
use holler_core::wire::limits::PAGE_EVENTS_MAX;
use tokio::sync::{Notify, mpsc};
use tokio_util::task::{AbortOnDropHandle, TaskTracker};
use url::Url;

pub use crate::account::{ClientError, rest_of, sign_in};
use crate::account::{TOKEN_LEFT_MIN, fresh, left};
pub use crate::choice::{Options, Talk};
use crate::clock;
use crate::net::{self, Lanes};
use crate::path::{self, VoicePath};
use crate::rest::{self, Rest};
use crate::roster;
use crate::sound::{Plays, Recorded, Sound, ToPlay};
use crate::store::{Profile, Store};
use crate::trust;
use crate::watch;

/// Things to tell that may wait for the program around the client.
const TOLD_MAX: usize = 1_024;
/// Outputs that may wait to be done before the socket is no longer read.
const OUTPUTS_MAX: usize = 4_096;
/// How long a client that stops waits until its socket took what was said last.
const STOP_WAIT: Duration = Duration::from_secs(2);
/// How far back DRED may reach: 100 ms in frames of 20 ms, as the encoder is set.
const RECOVERY_REACH: u16 = 5;

/// What a client tells the program around it.
#[derive(Clone, Debug, PartialEq)]
pub enum Told {
    /// Something to show.
    Notice(Notice),
    /// A burst, as far as it is here; it may come again when more of it came.
    Received(Received),
}

/// A client that is running. Dropped, it disconnects.
pub struct Client {
    shared: Arc<Shared>,
    rest: Rest,
    store: Store,
    profile: Profile,
    driver: AbortOnDropHandle<()>,
    _watch: AbortOnDropHandle<()>,
}

impl Client {
    /// Starts a client for who is signed in here, with what it did not finish last time. It connects, and stays connected.
    ///
    /// `play_all`: bursts of several rooms play at the same time.
    pub fn start(
        store: &Store,
        sound: impl Sound,
        play_all: bool,
    ) -> Result<(Self, mpsc::Receiver<Told>), ClientError> {
        Self::start_with(store, sound, Options { play_all, ..Options::default() })
    }

    /// The same with all that can be chosen.
    pub fn start_with(
        store: &Store,
        sound: impl Sound,
        options: Options,
    ) -> Result<(Self, mpsc::Receiver<Told>), ClientError> {
        let Options { play_all, aloud, socket_only } = options;
        let profile = store.profile()?.ok_or(ClientError::SignedOut)?;
        let base = rest::address(&profile.server)?;
        let tls = trust::client_config(profile.ca.as_deref())?;
        let rest = Rest::new(base.clone(), &tls)?;
        rest.set_token(profile.access_token.clone());
        let seed = getrandom::u64()?;
        let paths = if socket_only { &[] } else { path::KINDS };
        let engine = Engine::new(Config { seed, play_all, recovery_reach: RECOVERY_REACH, no_store: false, paths });
        let shared = Arc::new(Shared {
            engine: Mutex::new(engine),
            wake: Notify::new(),
            drained: Notify::new(),
            sockets: TaskTracker::new(),
            network_changed: AtomicBool::new(false),
        });
        if left(&profile) >= TOKEN_LEFT_MIN {
            let (access, expires_in) = (profile.access_token.clone(), left(&profile));
            shared.input(Input::Token { access, expires_in });
        }
        let faults = Arc::downgrade(&shared);
        store.set_fault(move |detail| {
            if let Some(shared) = faults.upgrade() {
                shared.input(Input::StoreFailed { detail });
            }
        });
        // Where another process delivers what waits, this one delivers only what it adds.
        let queue = store.lock_queue()?;
        if queue.is_some() {
            for item in store.unfinished()? {
                shared.input(Input::Restore(item));
            }
        }
        if let Some(state) = store.own_presence()? {
            shared.input(Input::Command(Command::SetPresence { state }));
        }
        shared.input(Input::Command(Command::Aloud { on: aloud }));
        shared.input(Input::Start);
        let (tell, told) = mpsc::channel(TOLD_MAX);
        let driver = Driver {
            shared: Arc::clone(&shared),
            sound: Box::new(sound),
            store: store.clone(),
            rest: rest.clone(),
            base,
            tls,
            tell,
            connection: None,
            path: None,
            user: profile.user,
            queue,
        };
        let driver = AbortOnDropHandle::new(tokio::spawn(driver.run()));
        let watched = Arc::clone(&shared);
        let watch = tokio::spawn(watch::network(move || watched.network_up()));
        let watch = AbortOnDropHandle::new(watch);
        Ok((Self { shared, rest, store: store.clone(), profile, driver, _watch: watch }, told))
    }

    /// Who is signed in.
    pub fn profile(&self) -> &Profile {
        &self.profile
    }

    /// The REST interface with the current token.
    pub fn rest(&self) -> &Rest {
        &self.rest
    }

    /// Follows a room: from `cursor` on, or only what comes from now on; with `voice`, its bursts too.
    pub fn follow(&self, room: RoomId, cursor: Option<Cursor>, voice: bool) {
        self.command(Command::Follow { room, cursor, voice });
    }

    /// Follows a room from where this client last was in it.
    pub fn resume(&self, room: RoomId, voice: bool) -> Result<(), ClientError> {
        self.follow(room, self.store.cursor(room)?, voice);
        Ok(())
    }

    /// Stops following a room.
    pub fn unfollow(&self, room: RoomId) {
        self.command(Command::Unfollow { room });
    }

    /// Which room plays when two talk at once.
    pub fn set_primary(&self, room: Option<RoomId>) {
        self.command(Command::SetPrimary { room });
    }

    /// The talk button goes down: recording begins.
    pub fn key_down(&self, room: RoomId, talk: Talk) -> Result<BurstId, ClientError> {
        let burst = BurstId::from_bytes(random()?);
        let Talk { priority, queue, when_free, frame_ms, bitrate } = talk;
        self.command(Command::KeyDown { room, burst, priority, queue, when_free, frame_ms, bitrate });
        Ok(burst)
    }

    /// The talk button comes up.
    pub fn key_up(&self) {
        self.command(Command::KeyUp);
    }

    /// Gives up what is being spoken, or waits for the floor.
    pub fn cancel(&self) {
        self.command(Command::Cancel);
    }

    /// Sends a text, now or when there is a connection again.
    pub fn send(&self, room: RoomId, body: EventBody) -> Result<ClientId, ClientError> {
        let client_id = ClientId::from_bytes(random()?);
        self.command(Command::Send { room, client_id, body });
        Ok(client_id)
    }

    /// Clears an emergency.
    pub fn clear_emergency(&self, room: RoomId, raised_by: UserId) {
        self.command(Command::ClearEmergency { room, raised_by });
    }

    /// Wants the copy of the roster to be kept fresh.
    pub fn keep_roster(&self) {
        self.command(Command::KeepRoster);
    }

    /// Says how the person is.
    pub fn set_presence(&self, state: PresenceState) {
        self.command(Command::SetPresence { state });
    }

    /// Wants to be told who of a room is here.
    pub fn watch_presence(&self, room: RoomId) {
        self.command(Command::WatchPresence { room });
    }

    /// Wants to be told no more.
    pub fn unwatch_presence(&self, room: RoomId) {
        self.command(Command::UnwatchPresence { room });
    }

    /// What is known of a person now.
    pub fn presence(&self, user: UserId) -> PersonSeen {
        self.shared.engine().presence(clock::now(), user)
    }

    /// The person saw everything of a room up to here.
    pub fn read(&self, room: RoomId, cursor: Cursor) {
        self.command(Command::Read { room, cursor });
    }

    /// The person heard a burst to its end, played by other means.
    pub fn heard(&self, room: RoomId, burst: BurstId) {
        self.command(Command::Heard { room, burst });
    }

    /// The device was put away, or taken up again.
    pub fn put_away(&self, idle: bool) {
        self.command(Command::PutAway { idle });
    }

    /// The network changed or came back: try now.
    pub fn network_up(&self) {
        self.shared.network_up();
    }

    /// The round trip to the server.
    pub fn round_trip(&self) -> Option<Duration> {
        self.shared.engine().round_trip()
    }

    /// The voice path beside the socket, in figures; `None`: there is none.
    pub fn voice_path(&self) -> Option<PathFigures> {
        self.shared.engine().voice_path()
    }

    /// Disconnects; what is handed to the local store is on disk when this returns.
    pub async fn stop(self) {
        self.shared.input(Input::Stop);
        // What was said last, and the socket's close, go out while the driver still runs.
        self.shared.sockets.close();
        let _ = tokio::time::timeout(STOP_WAIT, self.shared.sockets.wait()).await;
        // It may have been busy, or waited for somebody to take what it told: what it did not come to is kept here.
        self.driver.abort();
        let Self { shared, store, driver, .. } = self;
        let _ = driver.await;
        let rest = core::iter::from_fn(|| shared.engine().poll_output());
        rest.for_each(|output| {
            if let Output::Store(change) = output {
                store.change(change);
            }
        });
        // An error means that the thread is gone, and with it what it could have written.
        let _ = tokio::task::spawn_blocking(move || store.flush()).await;
    }

    fn command(&self, command: Command) {
        self.shared.input(Input::Command(command));
    }
}

fn random() -> Result<[u8; 16], getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    Ok(bytes)
}

/// The engine, and who waits for it.
struct Shared {
    engine: Mutex<Engine>,
    /// Something happened.
    wake: Notify,
    /// Outputs were taken.
    drained: Notify,
    /// The connections, also those that are being closed.
    sockets: TaskTracker,
    /// The voice path is to have a new socket.
    network_changed: AtomicBool,
}

impl Shared {
    fn engine(&self) -> MutexGuard<'_, Engine> {
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn network_up(&self) {
        self.network_changed.store(true, Ordering::Relaxed);
        self.input(Input::NetworkUp);
    }

    fn input(&self, input: Input) {
        // The time is read under the lock: the engine's never runs backwards.
        let mut engine = self.engine();
        engine.handle(clock::now(), input);
        drop(engine);
        self.wake.notify_one();
    }
}

/// News of a connection; waits where the outputs of earlier ones are not done.
impl net::Events for Arc<Shared> {
    async fn input(&self, input: Input) {
        loop {
            // Made before the look, so that a notification between the two is not missed.
            let drained = self.drained.notified();
            if self.engine().outputs() <= OUTPUTS_MAX {
                break;
            }
            drained.await;
        }
        Shared::input(self, input);
    }
}

/// A burst that is recorded or played.
struct OfBurst {
    shared: Arc<Shared>,
    burst: BurstId,
}

impl Recorded for OfBurst {
    fn frame(&self, captured_at: Mono, payload: Bytes) {
        self.shared.input(Input::Captured { burst: self.burst, captured_at, payload });
    }

    fn ended(&self, fault: Option<String>) {
        self.shared.input(Input::CaptureEnded { burst: self.burst, fault });
    }
}

impl Plays for OfBurst {
    fn pull(&self) -> Pull {
        let mut engine = self.shared.engine();
        let pull = engine.pull(clock::now(), self.burst);
        let news = engine.outputs() > 0;
        drop(engine);
        if news {
            self.shared.wake.notify_one();
        }
        pull
    }

    fn played(&self, number: FrameNo, heard_at: Mono) {
        self.shared.input(Input::Played { burst: self.burst, number, heard_at });
    }

    fn failed(&self, detail: String) {
        self.shared.input(Input::PlaybackFailed { burst: self.burst, detail });
    }
}

struct Connection {
    link: LinkNo,
    lanes: Lanes,
}

/// Does what the engine asks for.
struct Driver {
    shared: Arc<Shared>,
    sound: Box<dyn Sound>,
    store: Store,
    rest: Rest,
    base: Url,
    tls: Arc<rustls::ClientConfig>,
    tell: mpsc::Sender<Told>,
    connection: Option<Connection>,
    /// Beside it.
    path: Option<VoicePath>,
    user: UserId,
    /// Held for as long as this process delivers what waits.
    queue: Option<std::fs::File>,
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(connection) = &self.connection {
            connection.lanes.close();
        }
    }
}

impl Driver {
    async fn run(mut self) {
        loop {
            // Before what the engine sends because of it.
            if self.shared.network_changed.swap(false, Ordering::Relaxed)
                && let Some(path) = &mut self.path
            {
                path.rebind(&self.shared);
            }
            let timeout = loop {
                let (output, timeout) = {
                    let mut engine = self.shared.engine();
                    (engine.poll_output(), engine.poll_timeout())
                };
                let Some(output) = output else { break timeout };
                if !self.perform(output).await {
                    return;
                }
            };
            self.shared.drained.notify_waiters();
            // The system's timers stand still while it sleeps; after it, any news lets overdue timers run.
            let wait = timeout.map_or(Duration::from_secs(3_600), clock::until);
            tokio::select! {
                () = self.shared.wake.notified() => {}
                () = tokio::time::sleep(wait) => {}
            }
            if timeout.is_some_and(|at| clock::now() >= at) {
                self.shared.engine().handle(clock::now(), Input::Timeout);
            }
        }
    }

    /// `false`: nobody listens any more.
    async fn perform(&mut self, output: Output) -> bool {
        match output {
            Output::Connect { link } => {
                let lanes = Lanes::default();
                self.path = None;
                if let Some(old) = self.connection.replace(Connection { link, lanes: lanes.clone() }) {
                    old.lanes.close();
                }
                let (shared, base, tls) = (Arc::clone(&self.shared), self.base.clone(), Arc::clone(&self.tls));
                let sockets = shared.sockets.clone();
                sockets.spawn(async move { net::run(&shared, link, &base, tls, lanes).await });
            }
            Output::Disconnect { link } => {
                self.path.take_if(|path| path.link() == link);
                if let Some(connection) = self.connection.take_if(|connection| connection.link == link) {
                    connection.lanes.close();
                }
            }
            Output::Send { link, lane, text } => {
                if let Some(connection) = self.connection.as_ref().filter(|connection| connection.link == link) {
                    connection.lanes.text(lane, text);
                }
            }
            Output::Voice { link, lane, frame, captured_at } => {
                if let Some(connection) = self.connection.as_ref().filter(|connection| connection.link == link) {
                    connection.lanes.voice(lane, frame, captured_at);
                }
            }
            Output::OpenPath { link, offer } => self.open_path(link, &offer),
            Output::Datagram { link, counter, inner, .. } => {
                if let Some(path) = self.path.as_mut().filter(|path| path.link() == link) {
                    path.send(counter, &inner);
                }
            }
            Output::RefreshToken => self.refresh(),
            Output::FetchEvents { room, after } => {
                let (rest, shared) = (self.rest.clone(), Arc::clone(&self.shared));
                tokio::spawn(async move {
                    let page = rest.events(room, Some(after), PAGE_EVENTS_MAX).await.map_err(FetchError::from);
                    shared.input(Input::EventsFetched { room, page });
                });
            }
            Output::FetchFrames { room, burst, from, to } => {
                let (rest, shared) = (self.rest.clone(), Arc::clone(&self.shared));
                tokio::spawn(async move {
                    let frames = rest.frames(room, burst, from, to).await.map_err(FetchError::from);
                    shared.input(Input::FramesFetched { burst, frames });
                });
            }
            Output::FetchPresence { room } => {
                let (rest, shared) = (self.rest.clone(), Arc::clone(&self.shared));
                tokio::spawn(async move {
                    let answer = rest.presence(room).await.map_err(FetchError::from);
                    shared.input(Input::PresenceFetched { room, answer });
                });
            }
            Output::FetchRoster => {
                let (rest, store, shared) = (self.rest.clone(), self.store.clone(), Arc::clone(&self.shared));
                let user = self.user;
                tokio::spawn(async move {
                    let answer = roster::fetch(&store, &rest, user).await.map(drop).map_err(FetchError::from);
                    shared.input(Input::RosterFetched { answer });
                });
            }
            Output::Store(change) => self.store.change(change),
            Output::LoadBurst { burst } => {
                let (store, shared) = (self.store.clone(), Arc::clone(&self.shared));
                tokio::task::spawn_blocking(move || {
                    // What was recorded last may still be on its way to the disk.
                    store.flush();
                    let frames = store.own_frames(burst).map_err(|error| error.to_string());
                    shared.input(Input::BurstLoaded { burst, frames });
                });
            }
            Output::Reoffer { room, incarnation } if self.queue.is_some() => {
                let (store, shared) = (self.store.clone(), Arc::clone(&self.shared));
                tokio::task::spawn_blocking(move || match store.acked_elsewhere(room, incarnation) {
                    Ok(items) => items.into_iter().for_each(|item| shared.input(Input::Restore(item))),
                    Err(error) => shared.input(Input::StoreFailed { detail: error.to_string() }),
                });
            }
            Output::Reoffer { .. } => {}
            Output::StartCapture { burst, header } => {
                let to = OfBurst { shared: Arc::clone(&self.shared), burst };
                self.sound.start_capture(&header, Arc::new(to));
            }
            Output::StopCapture { burst } => self.sound.stop_capture(burst),
            Output::StartPlayback { burst, room, header, user } => {
                let from = OfBurst { shared: Arc::clone(&self.shared), burst };
                self.sound.start_playback(&ToPlay { burst, room, header, user }, Arc::new(from));
            }
            Output::FramesCame => self.sound.wake(),
            Output::StopPlayback { burst } => self.sound.stop_playback(burst),
            Output::Received(received) => return self.tell.send(Told::Received(received)).await.is_ok(),
            Output::Notice(notice) => return self.tell.send(Told::Notice(notice)).await.is_ok(),
        }
        true
    }

    fn open_path(&mut self, link: LinkNo, offer: &PathOffer) {
        let connection = self.connection.as_ref().filter(|connection| connection.link == link);
        let opened = match connection.and_then(|connection| connection.lanes.peer()) {
            Some(server) => VoicePath::open(&self.shared, link, server, offer),
            None => Err("the connection has ended".to_owned()),
        };
        self.shared.input(match opened {
            Ok(path) => {
                self.path = Some(path);
                Input::PathOpened { link }
            }
            Err(detail) => {
                self.path = None;
                Input::PathFailed { link, detail }
            }
        });
    }

    fn refresh(&self) {
        let (rest, store, shared) = (self.rest.clone(), self.store.clone(), Arc::clone(&self.shared));
        tokio::spawn(async move {
            shared.input(match fresh(&store, &rest, true).await {
                Ok(profile) => {
                    rest.set_token(profile.access_token.clone());
                    let expires_in = left(&profile);
                    Input::Token { access: profile.access_token, expires_in }
                }
                Err(error) => {
                    let (sign_in, retry_after) = (error.wants_sign_in(), error.retry_after());
                    Input::TokenFailed { sign_in, detail: error.to_string(), retry_after }
                }
            });
        });
    }
}

#[cfg(test)]
mod tests {
    use holler_core::model::BurstHeader;
    use holler_core::units::DeviceId;

    use super::*;
    use crate::store::Unlock;

    struct Silent;

    impl Sound for Silent {
        fn start_capture(&mut self, _: &BurstHeader, _: Arc<dyn Recorded>) {}
        fn stop_capture(&mut self, _: BurstId) {}
        fn start_playback(&mut self, _: &ToPlay, _: Arc<dyn Plays>) {}
        fn wake(&mut self) {}
        fn stop_playback(&mut self, _: BurstId) {}
    }

    /// On one thread, with more to do than the driver does at a stretch: it is in the middle of it when the client stops.
    #[tokio::test]
    async fn what_was_written_is_on_disk_when_the_client_has_stopped_however_busy_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), &Unlock::passphrase("only in tests".into()), |_| {}).unwrap();
        let profile = Profile {
            // Nobody is there.
            server: "https://localhost:1/".into(),
            ca: None,
            login: "ada".into(),
            user: UserId::from_bytes([1; 16]),
            device: DeviceId::from_bytes([2; 16]),
            access_token: String::new(),
            access_until_ms: 0,
            refresh_token: String::new(),
        };
        store.set_profile(Some(&profile)).unwrap();
        let (client, _told) = Client::start(&store, Silent, false).unwrap();
        let room = RoomId::from_bytes([3; 16]);
        for n in 0..holler_core::engine::SENDS_WAITING_MAX {
            client.send(room, EventBody::MessagePosted { text: format!("text {n}"), reply_to: None }).unwrap();
        }
        client.stop().await;
        assert_eq!(store.unfinished().unwrap().len(), holler_core::engine::SENDS_WAITING_MAX);
        assert!(store.lock_queue().unwrap().is_some(), "another client may deliver it now");
    }
}
