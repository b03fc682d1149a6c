//! The worker: the engine, and everything around it that a browser can do without a page.

mod account;
mod capture;
mod clock;
mod codec;
mod gauge;
mod net;
mod path;
mod replay;
mod rest;
mod sound;
mod store;
mod tabs;
mod trial;
mod vault;

use core::cell::{Cell, RefCell};
use core::time::Duration;
use holler_core::sorted;
use std::rc::{Rc, Weak};

use bytes::Bytes;
use holler_core::engine::{
    Command, Config, Engine, FetchError, Heard, Input, LinkReason, LinkState, Notice, Output, Pull,
};
use holler_core::units::{BurstId, Cursor, FrameMs, FrameNo, RoomId, UserId};
use holler_core::wire::json;
use holler_core::wire::limits::{FRAMES_PER_BURST_MAX, PAGE_EVENTS_MAX};
use holler_core::wire::rest::{AcceptInvite, UseReset};
use holler_core::wire::socket::CloseCode;
use wasm_bindgen::JsCast as _;
use wasm_bindgen::closure::Closure;
use wasm_bindgen_futures::spawn_local;
use web_sys::{DedicatedWorkerGlobalScope, MessageEvent};

use crate::message::{Missing, ToPage, ToWorker, Waiting};
use clock::Timer;
use net::Socket;
use path::Path;
pub use path::Paths;
use replay::Replay;
use rest::Rest;
use sound::{Past, Sound};
use store::Store;
use tabs::Tabs;
use vault::Vault;

/// People whose state a tab that comes is told at once; of more it hears as they change.
const SEEN_MAX: usize = 500;

fn global() -> DedicatedWorkerGlobalScope {
    js_sys::global().unchecked_into()
}

/// Runs the engine in this worker from now on, for the page that made it.
pub fn run(paths: Paths) {
    let shell = Shell::new(paths);
    let told = Rc::clone(&shell);
    let listener = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| told.told(&event));
    global().set_onmessage(Some(listener.as_ref().unchecked_ref()));
    // Both live as long as the worker.
    listener.forget();
    shell.tabs.begin();
    core::mem::forget(shell);
}

/// The engine, and what does its outputs.
struct Shell {
    this: Weak<Self>,
    engine: RefCell<Engine>,
    /// Outputs are being done: whoever has more news leaves the rest to that loop.
    busy: Cell<bool>,
    /// What is to be told together, a text each: to this tab's page, and to the others'.
    told: RefCell<[Vec<String>; 2]>,
    timer: Timer,
    socket: RefCell<Option<Rc<Socket>>>,
    paths: Paths,
    path: RefCell<Option<Path>>,
    rest: Rest,
    vault: Vault,
    store: Store,
    tabs: Tabs,
    sound: Sound,
    /// The rooms that are followed; from where on, where that was kept and the server was not asked yet.
    follows: RefCell<sorted::Map<RoomId, Option<Cursor>>>,
    /// Who was in which room when that was last fetched.
    members: RefCell<Vec<(RoomId, Vec<UserId>)>>,
    /// The connection has held since then.
    stayed: Cell<bool>,
    /// This tab's page can be heard.
    aloud: Cell<bool>,
}

impl Shell {
    fn new(paths: Paths) -> Rc<Self> {
        Rc::new_cyclic(|this: &Weak<Self>| {
            let shell = this.clone();
            let timer = Timer::new(move || {
                if let Some(shell) = shell.upgrade() {
                    shell.input(Input::Timeout);
                }
            });
            let store = Store::new(this);
            Self {
                this: this.clone(),
                engine: RefCell::new(engine()),
                busy: Cell::new(false),
                told: RefCell::default(),
                timer,
                socket: RefCell::default(),
                paths,
                path: RefCell::default(),
                rest: Rest::new(this),
                vault: Vault::new(&store.database),
                store,
                tabs: Tabs::new(this),
                sound: Sound::new(this),
                follows: RefCell::default(),
                members: RefCell::default(),
                stayed: Cell::default(),
                aloud: Cell::default(),
            }
        })
    }

    /// Another person may come: nothing of the last one stays.
    fn reset(&self) {
        *self.engine.borrow_mut() = engine();
        self.follows.borrow_mut().clear();
        self.members.take();
        self.stayed.set(false);
        self.play_aloud();
    }

    fn tell(&self, message: &ToPage) {
        let Ok(text) = serde_json::to_string(message) else { return };
        let spread = self.tabs.note(message, &text);
        let mut told = self.told.borrow_mut();
        told[0].push(text.clone());
        if spread {
            told[1].push(text);
        }
        drop(told);
        if !self.busy.get() {
            self.tell_all();
        }
    }

    /// Tells what came together as one: hundreds of events that were missed are drawn once.
    fn tell_all(&self) {
        let [own, others] = self.told.take();
        if !own.is_empty() {
            // It fails only for values that can't be copied, and a text can.
            let _ = global().post_message(&own.join("\n").into());
        }
        if !others.is_empty() {
            self.tabs.spread(&others.join("\n"));
        }
    }

    fn spawn<F: Future<Output = ()> + 'static>(&self, work: impl FnOnce(Rc<Self>) -> F) {
        if let Some(this) = self.this.upgrade() {
            spawn_local(work(this));
        }
    }

    /// A message of the page.
    fn told(&self, event: &MessageEvent) {
        let Some(Ok(message)) = event.data().as_string().map(|text| json::read(&text)) else { return };
        self.want(message, Some(event));
    }

    /// Something is wanted in this tab: it is done by the one whose it is to do.
    fn want(&self, message: ToWorker, event: Option<&MessageEvent>) {
        if let Some(message) = self.tabs.pass_on(message) {
            self.perform_for_tab(None, message, event);
        }
    }

    /// The same for another tab, where `tab` names one. What several tabs want ends when none wants it any more.
    fn perform_for_tab(&self, tab: Option<&str>, message: ToWorker, event: Option<&MessageEvent>) {
        if self.tabs.is_for_all(tab, &message) {
            self.perform_for_page(message, event);
        }
    }

    /// Does what a page wants. `event`: the message it came with, where it is this tab's page.
    fn perform_for_page(&self, message: ToWorker, event: Option<&MessageEvent>) {
        match message {
            ToWorker::SignIn { login, password, device_name } => {
                self.spawn(|shell| shell.sign_in(login, password, device_name));
            }
            ToWorker::SignOut => self.spawn(Self::sign_out),
            ToWorker::LookInvite { token } => self.spawn(|shell| shell.look(token)),
            ToWorker::Join { token, login, name, password, device_name } => {
                let accept = AcceptInvite { token, login, name, password, device_name };
                self.spawn(|shell| shell.join(accept));
            }
            ToWorker::Reset { token, password, device_name } => {
                self.spawn(|shell| shell.reset_password(UseReset { token, password, device_name }));
            }
            ToWorker::Command(command) => {
                if matches!(command, Command::KeyDown { .. }) {
                    self.sound.key_down();
                } else if let Command::Heard { burst, .. } = command {
                    self.tell(&ToPage::Heard(burst));
                }
                self.input(Input::Command(command));
            }
            ToWorker::Waiting(what) => self.waiting(what),
            ToWorker::Connect => {
                // Where the connection has ended for good, a new start; else a look at the network.
                self.input(Input::Start);
                self.input(Input::NetworkUp);
            }
            ToWorker::Look => self.input(Input::NetworkSign),
            ToWorker::Replay { room, burst, frame_ms, from_ms, speed } => {
                if !self.sound.go_to(burst, from_ms, speed) {
                    self.spawn(|shell| shell.replay(room, burst, frame_ms, from_ms, speed));
                }
            }
            ToWorker::StopReplay => self.sound.stop_replay(),
            ToWorker::Direct(user) => self.spawn(|shell| shell.direct(user)),
            ToWorker::Invite(invite) => self.spawn(|shell| shell.invite(invite)),
            ToWorker::Earlier { room, before } => self.spawn(|shell| shell.earlier(room, before)),
            ToWorker::Devices => self.spawn(|shell| shell.devices(None)),
            ToWorker::Revoke(device) => self.spawn(|shell| shell.devices(Some(device))),
            ToWorker::Export => self.spawn(Self::export),
            ToWorker::Push { number, method, path, body } => {
                self.spawn(move |shell| shell.push(number, method, path, body));
            }
            ToWorker::NoMicrophone { why } => self.sound.no_microphone(&why),
            ToWorker::Microphone { latency_us } => self.sound.set_input_latency(micros(latency_us)),
            ToWorker::Volumes { rooms, people } => {
                self.sound.set_volumes(rooms.into_iter().collect(), people.into_iter().collect());
            }
            ToWorker::TryMicrophone => self.sound.try_microphone(),
            ToWorker::Watch(on) => self.sound.watch(on),
            ToWorker::Aloud(on) => {
                self.aloud.set(on);
                self.play_aloud();
                self.tabs.sounds(on);
            }
            ToWorker::OutputLatency(us) => self.sound.set_output_latency(micros(us)),
            ToWorker::Sound => {
                if let Some(ports) = event.map(MessageEvent::ports) {
                    self.sound.connect(ports.get(0).unchecked_into(), ports.get(1).unchecked_into());
                }
            }
        }
    }

    /// Tells the engine whether what it plays can be heard: of the tabs the one that leads sounds.
    fn play_aloud(&self) {
        if self.tabs.leads() {
            self.input(Input::Command(Command::Aloud { on: self.aloud.get() }));
        }
    }

    /// Hands something to the engine, and does what it then asks for.
    fn input(&self, input: Input) {
        self.engine.borrow_mut().handle(clock::now(), input);
        self.work();
    }

    /// What is known of the people of one's rooms, as of now.
    fn seen(&self) -> Vec<Notice> {
        let members = self.members.borrow();
        let users: sorted::Set<UserId> = members.iter().flat_map(|(_, users)| users.iter().copied()).collect();
        let (now, engine) = (clock::now(), self.engine.borrow());
        let seen = |user: &UserId| Notice::Presence { user: *user, seen: engine.presence(now, *user) };
        users.iter().take(SEEN_MAX).map(seen).collect()
    }

    fn heard(&self) -> Option<Heard> {
        self.engine.borrow().heard()
    }

    /// What is lost of the datagrams, there and here, where they carry voice.
    fn path_loss(&self) -> Option<(u16, u16)> {
        let figures = self.engine.borrow().voice_path().filter(|figures| figures.up);
        figures.map(|figures| (figures.loss_sent, figures.loss_received))
    }

    fn pull(&self, burst: BurstId) -> Pull {
        let pull = self.engine.borrow_mut().pull(clock::now(), burst);
        self.work();
        pull
    }

    fn work(&self) {
        if self.busy.replace(true) {
            return;
        }
        loop {
            let output = self.engine.borrow_mut().poll_output();
            let Some(output) = output else { break };
            self.perform(output);
        }
        self.busy.set(false);
        self.tell_all();
        let timeout = self.engine.borrow_mut().poll_timeout();
        self.timer.set(timeout.map(|at| at.since(clock::now())));
    }

    fn perform(&self, output: Output) {
        let socket = |link| self.socket.borrow().as_ref().filter(|socket| socket.is(link)).map(Rc::clone);
        match output {
            Output::Connect { link } => {
                if let Some(old) = self.socket.take() {
                    old.close();
                }
                self.path.take();
                let opened = self.this.upgrade().and_then(|this| Socket::open(&this, link).ok());
                *self.socket.borrow_mut() = opened;
            }
            Output::Disconnect { link } => {
                if let Some(socket) = self.socket.borrow_mut().take_if(|socket| socket.is(link)) {
                    socket.close();
                    self.path.take();
                }
            }
            Output::Send { link, lane, text } => {
                if let Some(socket) = socket(link) {
                    socket.text(lane, text);
                }
            }
            Output::Voice { link, lane, frame, captured_at } => {
                if let Some(socket) = socket(link) {
                    socket.voice(lane, frame, captured_at);
                }
            }
            Output::OpenPath { link, offer } => {
                // The one before ends before the next one begins.
                self.path.take();
                let path = Path::open(self, link, &offer);
                *self.path.borrow_mut() = Some(path);
            }
            Output::Datagram { link, counter, inner, captured_at } => {
                if let Some(path) = self.path.borrow().as_ref().filter(|path| path.is(link)) {
                    path.send(counter, &inner);
                    if captured_at.is_some() {
                        self.sound.sent(Duration::ZERO);
                    }
                }
            }
            Output::RefreshToken => self.spawn(Self::refresh),
            Output::FetchEvents { room, after } => self.spawn(|shell| async move {
                let page = shell.rest.events(room, after, PAGE_EVENTS_MAX).await.map_err(FetchError::from);
                shell.input(Input::EventsFetched { room, page });
            }),
            Output::FetchFrames { room, burst, from, to } => self.spawn(|shell| async move {
                let frames = shell.rest.frames(room, burst, from, to).await.map_err(FetchError::from);
                shell.input(Input::FramesFetched { burst, frames });
            }),
            Output::FetchPresence { room } => self.spawn(|shell| async move {
                let answer = shell.rest.presence(room).await.map_err(FetchError::from);
                shell.input(Input::PresenceFetched { room, answer });
            }),
            Output::FetchRoster => self.spawn(|shell| async move {
                let answer = Rc::clone(&shell).load().await.map_err(FetchError::from);
                shell.input(Input::RosterFetched { answer });
            }),
            Output::Store(change) => self.store.change(change),
            Output::LoadBurst { burst } => self.spawn(|shell| async move {
                let frames = shell.store.frames(burst).await;
                shell.input(Input::BurstLoaded { burst, frames });
            }),
            Output::Reoffer { room, incarnation } => self.spawn(|shell| async move {
                for item in shell.store.acked_elsewhere(room, incarnation).await {
                    shell.input(Input::Restore(item));
                }
            }),
            Output::Received(_) => {}
            Output::StartCapture { burst: _, header } => self.sound.start_capture(&header),
            Output::StopCapture { burst } => self.sound.stop_capture(burst),
            Output::StartPlayback { burst, header, room, user } => {
                self.sound.start_playback(burst, header.frame_ms, room, user);
            }
            Output::FramesCame => self.sound.feed(),
            Output::StopPlayback { burst } => self.sound.stop_playback(burst),
            Output::Notice(notice) => self.notice(notice),
        }
    }

    fn notice(&self, notice: Notice) {
        if !self.tabs.leads() {
            // Of an engine that stops, for another tab leads: its engine tells how things are.
            return;
        }
        // At once for the first time; from then on the engine says when there may be news.
        if matches!(notice, Notice::Link(LinkState::Up { .. })) && self.follows.borrow().is_empty() {
            self.spawn(|shell| async move {
                // It was said on the page what failed; the next connection tries again.
                let _ = shell.load().await;
            });
        }
        if let Notice::Link(state) = &notice
            && !matches!(state, LinkState::Up { .. })
        {
            self.stayed.set(false);
        }
        if let Notice::Link(LinkState::Ended { reason }) = &notice
            && matches!(reason, LinkReason::Closed(CloseCode::BadToken | CloseCode::Revoked) | LinkReason::Token { .. })
        {
            let reason = Some(reason.clone());
            self.spawn(|shell| async move { shell.forget(reason).await });
        }
        if let Notice::Event(event) = &notice {
            self.store.events(std::slice::from_ref(event));
        }
        if let Notice::HistoryGap { room, .. } = &notice {
            self.store.forget_events(*room);
        }
        // How the store is, is told with its remedy.
        if !matches!(notice, Notice::StoreFailed { .. }) {
            self.store.tell_when_kept(notice);
        }
    }

    /// A person says what is to become of something that waits.
    fn waiting(&self, what: Waiting) {
        match what {
            Waiting::Send(burst) => {
                if let Some(item) = self.store.release(burst) {
                    self.input(Input::Restore(item));
                }
                self.input(Input::NetworkUp);
            }
            Waiting::DropBurst(burst) => {
                // One that is held back is in the store only.
                self.store.forget(burst);
                self.input(Input::Command(Command::ForgetBurst { burst }));
            }
            Waiting::DropText(text) => {
                self.input(Input::Command(Command::ForgetText { client_id: text }));
            }
            Waiting::Play(burst) => self.spawn(|shell| async move {
                match (shell.store.frames(burst).await, shell.store.frame_ms(burst)) {
                    (Ok(frames), Some(frame)) => {
                        shell.sound.replay(Replay::new(Past::Own, frame, frames, 0, 100), burst);
                    }
                    (Err(detail), _) => shell.tell(&ToPage::Fault { detail }),
                    (Ok(_), None) => {}
                }
            }),
        }
    }

    /// Fetches a burst of the past and plays it.
    async fn replay(self: Rc<Self>, room: RoomId, burst: BurstId, frame: FrameMs, from_ms: u32, speed: u16) {
        match self.rest.frames(room, burst, FrameNo::FIRST, FrameNo(FRAMES_PER_BURST_MAX)).await {
            Ok(frames) => {
                // What is missing is concealed: an empty payload stands for it.
                let last = frames.last().map_or(0, |(number, _)| number.0);
                let mut all = vec![Bytes::new(); usize::from(last)];
                for (number, payload) in frames {
                    all[usize::from(number.0) - 1] = payload;
                }
                self.sound.replay(Replay::new(Past::Room(room), frame, all, from_ms, speed), burst);
            }
            Err(error) => self.tell(&ToPage::Missing(Missing::Burst, error.into())),
        }
    }
}

fn micros(us: u32) -> Duration {
    Duration::from_micros(u64::from(us))
}

fn engine() -> Engine {
    let mut seed = [0; 8];
    seed.copy_from_slice(&clock::random()[..8]);
    // No redundancy can be used: WebCodecs gives no access to it.
    Engine::new(Config {
        seed: u64::from_le_bytes(seed),
        play_all: false,
        recovery_reach: 0,
        no_store: false,
        paths: path::kinds(),
    })
}
