//! One person's tabs: one of them leads. Its worker runs the engine, writes the store, records and plays; the others show the
//! same and hand it what their people want.
//!
//! Who leads holds a Web Lock. A browser gives it to the next tab the moment the leader's worker is gone, and that one begins as
//! after any start, from the store: what was being spoken is there up to its last chunk. Tabs talk over a `BroadcastChannel`.
//!
//! Speech is recorded where the button is: a tab that is pressed asks the leader to give way and leads from then on, so that
//! samples never travel between tabs. The leader gives way when all it has is on the disk, and not in the middle of a burst: one
//! speaks. What it can't write (no room, a private window) is in its memory only: it stays the leader until that is delivered. The
//! tab that asked takes the lock away then, past others that wait for it; so it does where nobody answers within [`STEAL`], or
//! one that said `wait` does not within [`STEAL_LATE`]. Of two tabs the one leads that can be heard.
//!
//! A text that a tab asked for is asked for again, of each that leads, until something is told of it; what else is done once
//! ([`stays`]), until the leader says `did`. A tab that begins to lead does nothing of that before what is kept is there.
//!
//! A page that comes is the newest: of another version it leads, and the tabs that were there before only say that they are to be
//! loaded anew.
//!
//! What a tab wants for as long as it is there (who is in the room that it shows) ends for the leader when no tab wants it any
//! more. A tab that is gone wants nothing: each holds a lock of its own, which the leader gets when that tab has ended.
//!
//! | message | from | what |
//! |---|---|---|
//! | `hello` | another tab | wants to know how things are; and whether it just came |
//! | `told` | the leader | something for every page, or for the one that came |
//! | `token` | the leader | there is a new access token in the vault |
//! | `ask` | another tab | something that its page wants |
//! | `did` | the leader | did it |
//! | `wish` | the leader | something that its page wants for all tabs, should another lead |
//! | `leads` | the leader | leads from now on: what holds for as long as a tab is there is asked anew |
//! | `way` | another tab | wants to lead |
//! | `sounds` | another tab | can be heard, and leads where the leader can't be |
//! | `wait` | the leader | looks whether it can give way |
//! | `yours` | who led | gave way: all it had is on the disk |
//! | `busy` | the leader | does not give way, and why: a name that the screens have words for |

mod lead;
mod want;

use core::cell::{Cell, RefCell};
use core::time::Duration;
use std::collections::VecDeque;
use std::rc::Weak;

use holler_core::engine::{Command, Notice, TalkState};
use holler_core::sorted::Map;
use holler_core::units::{BurstId, RoomId};
use holler_core::wire::json;
use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{BroadcastChannel, MessageEvent};

use super::clock::{self, Timer};
use super::{Shell, global};
use crate::message::{ToPage, ToWorker};
use want::{lasts, stays};

/// The lock of who leads.
const LEADER: &str = "holler-leader";
/// The lock that a tab holds for as long as it is there: this, and its name.
const TAB: &str = "holler-tab-";
/// How long a tab waits for the leader to give way before it takes the lead, and one that gave way for the other to take it.
const STEAL: Duration = Duration::from_millis(600);
/// The same where the leader said that it looks whether it can give way: what waits for the disk may take that long.
const STEAL_LATE: Duration = Duration::from_secs(5);
/// How often a tab that came asks how things are, until it is told.
const HELLO_EVERY: Duration = Duration::from_secs(1);
/// What a tab that came is told at once; receipts beyond it are left out.
const MEMO_MAX: usize = 2_000;
/// What a page may want before this tab leads; the oldest are dropped, and texts are asked for.
const WANTED_MAX: usize = 64;
/// What is asked for again until the leader has it: as much as waits in an engine. What is asked for beyond it is asked for once.
const ASKED_MAX: usize = 1_000;

/// Why a leader does not give way: somebody speaks there; what it has is in its memory only; it is of a newer version.
const SPEAKS: &str = "elsewhere";
const UNKEPT: &str = "unkept";
const OUTDATED: &str = "outdated";

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = ["navigator", "locks"], js_name = request, catch)]
    fn request_lock(name: &str, options: &Object, run: &Function) -> Result<Promise, JsValue>;
}

/// What this tab is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// It waits for the lock.
    Follows,
    /// It has the lock, and takes up what is kept: what pages want meanwhile is done afterwards, in its order.
    Begins,
    /// It runs the engine.
    Leads,
    /// A newer version of this page leads: this one must be loaded anew.
    Outdated,
}

/// This tab among the others.
pub(super) struct Tabs {
    shell: Weak<Shell>,
    id: String,
    /// The folder that this page came from: another one is another build.
    version: String,
    channel: Option<BroadcastChannel>,
    role: Cell<Role>,
    /// There are, or were, other tabs.
    others: Cell<bool>,
    /// It came and was told nothing yet: of two versions it is the newer one.
    fresh: Cell<bool>,
    /// Requests for the lock so far: one that is granted late counts no more.
    asked: Cell<u32>,
    /// Ends the hold of the lock.
    release: RefCell<Option<Function>>,
    /// For when this tab leads.
    wanted: RefCell<VecDeque<ToWorker>>,
    /// What no leader is known to have: the text's name, where it is one, and what was asked.
    asked_for: RefCell<VecDeque<(String, String)>>,
    /// The tab that wants to lead, and what this one is then: it is answered once it is known whether all is on the disk.
    asker: RefCell<Option<(Role, String)>>,
    /// What this page wants for as long as it is there.
    wishes: RefCell<Map<String, String>>,
    /// Which tabs watch who is in a room, as far as this one leads.
    watched: RefCell<Map<RoomId, Vec<String>>>,
    /// Tabs whose end this one is told of.
    known: RefCell<Vec<String>>,
    /// How things are, for a tab that comes.
    memo: RefCell<Map<String, String>>,
    steal: Timer,
    /// Gives the lock to whoever waits for it, where the one that asked is gone.
    give: Timer,
    hello: Timer,
}

impl Tabs {
    pub(super) fn new(shell: &Weak<Shell>) -> Self {
        let timer = |run: fn(&Self)| {
            let shell = shell.clone();
            Timer::new(move || {
                if let Some(shell) = shell.upgrade() {
                    run(&shell.tabs);
                }
            })
        };
        Self {
            shell: shell.clone(),
            id: BurstId::from_bytes(clock::random()).to_string(),
            version: global().location().pathname(),
            // Without channels there is no telling other tabs apart: each waits for the lock.
            channel: BroadcastChannel::new("holler").ok(),
            role: Cell::new(Role::Follows),
            others: Cell::default(),
            fresh: Cell::new(true),
            asked: Cell::default(),
            release: RefCell::default(),
            wanted: RefCell::default(),
            asked_for: RefCell::default(),
            asker: RefCell::default(),
            wishes: RefCell::default(),
            watched: RefCell::default(),
            known: RefCell::default(),
            memo: RefCell::default(),
            steal: timer(|tabs| {
                tabs.steal.set(None);
                tabs.lock(true);
            }),
            give: timer(Self::give),
            hello: timer(Self::say_hello),
        }
    }

    /// Waits for the lead, and asks how things are meanwhile.
    pub(super) fn begin(&self) {
        if let Some(channel) = &self.channel {
            let shell = self.shell.clone();
            let heard = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
                if let (Some(shell), Ok(message)) = (shell.upgrade(), event.data().dyn_into::<Array>()) {
                    let part = |at| message.get(at).as_string().unwrap_or_default();
                    shell.tabs.heard(&part(0), &part(1), &part(2), &part(3));
                }
            });
            channel.set_onmessage(Some(heard.as_ref().unchecked_ref()));
            // It lives as long as the worker.
            heard.forget();
        }
        // Held until this worker ends.
        let held = Closure::once_into_js(|| Promise::new(&mut |_, _| {}));
        // Without it this tab counts as there for as long as another leads that knows it.
        let _ = request_lock(&format!("{TAB}{}", self.id), &Object::new(), held.unchecked_ref());
        self.lock(false);
    }

    /// Gives the lock away.
    fn give(&self) {
        if let Some(release) = self.release.take() {
            // A promise takes any value.
            let _ = release.call0(&JsValue::UNDEFINED);
        }
    }

    /// Whether the leader is to do this, which this page or another tab wants: what several want is over when none does.
    pub(super) fn is_for_all(&self, tab: Option<&str>, message: &ToWorker) -> bool {
        let tab = tab.unwrap_or(&self.id);
        let mut watched = self.watched.borrow_mut();
        if let ToWorker::Command(Command::WatchPresence { room }) = message {
            let tabs = watched.entry(*room).or_default();
            if !tabs.iter().any(|known| known == tab) {
                tabs.push(tab.to_owned());
            }
            drop(watched);
            self.note_end(tab);
        } else if let ToWorker::Command(Command::UnwatchPresence { room }) = message
            && let Some(tabs) = watched.get_mut(room)
        {
            tabs.retain(|known| known != tab);
            if !tabs.is_empty() {
                return false;
            }
            watched.remove(room);
        }
        true
    }

    /// Has this one told when another tab is gone: then it wants nothing more.
    fn note_end(&self, tab: &str) {
        if tab == self.id || self.known.borrow().iter().any(|known| known == tab) {
            return;
        }
        self.known.borrow_mut().push(tab.to_owned());
        let (shell, gone) = (self.shell.clone(), tab.to_owned());
        let ended = Closure::once_into_js(move || {
            let Some(shell) = shell.upgrade() else { return };
            shell.tabs.known.borrow_mut().retain(|known| *known != gone);
            let rooms: Vec<RoomId> = shell.tabs.watched.borrow().iter().map(|(room, _)| *room).collect();
            for room in rooms {
                shell.perform_for_tab(Some(&gone), ToWorker::Command(Command::UnwatchPresence { room }), None);
            }
        });
        // Where there are no locks, it watches until another tab leads.
        let _ = request_lock(&format!("{TAB}{tab}"), &Object::new(), ended.unchecked_ref());
    }

    fn say_hello(&self) {
        if self.role.get() == Role::Follows {
            self.post("hello", &self.id, if self.fresh.get() { "new" } else { "" });
            self.hello.set(Some(HELLO_EVERY));
        }
    }

    fn post(&self, kind: &str, to: &str, text: &str) {
        if let Some(channel) = &self.channel {
            let message = Array::of4(&kind.into(), &self.version.as_str().into(), &to.into(), &text.into());
            // It fails only for values that can't be copied.
            let _ = channel.post_message(&message);
        }
    }

    pub(super) fn leads(&self) -> bool {
        matches!(self.role.get(), Role::Begins | Role::Leads)
    }

    /// Since when this tab leads: what took long is of no use where it is another time, or none.
    pub(super) fn turn(&self) -> Option<u32> {
        self.leads().then(|| self.asked.get())
    }

    /// Asks for the lock, or takes it away from who has it.
    fn lock(&self, steal: bool) {
        let shell = self.shell.clone();
        let number = self.asked.get().wrapping_add(1);
        self.asked.set(number);
        let run = Closure::once_into_js(move || {
            Promise::new(&mut |resolve, _| {
                let current = shell.upgrade().filter(|shell| shell.tabs.asked.get() == number);
                if current.is_none() {
                    // A promise takes any value.
                    let _ = resolve.call0(&JsValue::UNDEFINED);
                }
                if let Some(shell) = current {
                    *shell.tabs.release.borrow_mut() = Some(resolve);
                    spawn_local(async move { shell.lead().await });
                }
            })
        });
        let options = Object::new();
        // A plain object takes any field.
        let _ = Reflect::set(&options, &"steal".into(), &steal.into());
        let shell = self.shell.clone();
        let asked = request_lock(LEADER, &options, run.unchecked_ref());
        spawn_local(async move {
            let ended = match asked {
                Ok(asked) => JsFuture::from(asked).await,
                Err(error) => Err(error),
            };
            let Some(shell) = shell.upgrade() else { return };
            if ended.is_err() && shell.tabs.leads() {
                // It was taken away: this tab did not answer for too long.
                shell.follow(Role::Follows, None).await;
            }
        });
        if !steal {
            self.say_hello();
        }
    }

    /// Something of another tab.
    fn heard(&self, kind: &str, version: &str, to: &str, text: &str) {
        let Some(shell) = self.shell.upgrade() else { return };
        self.others.set(true);
        let same = version == self.version;
        match kind {
            // It comes again until it is answered.
            "hello" if self.role.get() != Role::Leads => {}
            "hello" if same => self.tell_all(to),
            "hello" | "way" if self.leads() && !same && text.is_empty() => self.post("leads", "", ""),
            "sounds" if !same || shell.aloud.get() => {}
            "hello" | "way" | "sounds" if self.leads() => {
                self.post("wait", to, "");
                // Whoever comes second asks the next leader.
                if self.asker.borrow().is_none() {
                    let role = if same { Role::Follows } else { Role::Outdated };
                    *self.asker.borrow_mut() = Some((role, to.to_owned()));
                    if self.role.get() == Role::Leads {
                        spawn_local(async move { shell.give_way().await });
                    }
                }
            }
            "ask" | "wish" if same => {
                if let Ok(message) = json::read(text) {
                    if lasts(&message) {
                        self.note_wish(&message);
                    }
                    // One that begins asks for all of it when it has begun.
                    if kind == "ask" && self.role.get() == Role::Leads {
                        if stays(&message) && !matches!(message, ToWorker::Command(Command::Send { .. })) {
                            self.post("did", to, text);
                        }
                        shell.perform_for_tab(Some(to), message, None);
                    }
                }
            }
            "did" if to == self.id => self.asked_for.borrow_mut().retain(|(_, asked)| asked != text),
            "leads" if self.leads() => {}
            "leads" if same => self.ask_again(),
            "leads" if !self.fresh.get() => self.is_outdated(),
            "wait" if to == self.id && self.steal.is_set() => self.steal.set(Some(STEAL_LATE)),
            "yours" if to == self.id && self.role.get() == Role::Follows => {
                self.steal.set(None);
                self.lock(true);
            }
            "told" if same && !self.leads() && (to.is_empty() || to == self.id) => {
                if !to.is_empty() {
                    self.fresh.set(false);
                    self.hello.set(None);
                }
                self.note_told(text);
                // It fails only for values that can't be copied, and a text can.
                let _ = global().post_message(&text.into());
            }
            "token" if same && !self.leads() => spawn_local(async move { shell.take_token().await }),
            "busy" if to == self.id => {
                self.steal.set(None);
                self.turned_down(text);
            }
            _ => {}
        }
    }

    /// Notes what this tab's page is told. Whether the other tabs are to be told as well.
    pub(super) fn note(&self, message: &ToPage, text: &str) -> bool {
        if !self.leads() {
            return false;
        }
        let shared = matches!(
            message,
            ToPage::SignedIn { .. }
                | ToPage::SignedOut { .. }
                | ToPage::Directory { .. }
                | ToPage::Members { .. }
                | ToPage::Direct(_)
                | ToPage::Heard(_)
                | ToPage::History { .. }
                | ToPage::Notice(_)
                | ToPage::Queue(_)
                | ToPage::Storage(_)
        );
        if !shared {
            return false;
        }
        if matches!(message, ToPage::SignedIn { .. } | ToPage::SignedOut { .. }) {
            self.memo.borrow_mut().clear();
        }
        if let Some(key) = key(message) {
            let mut memo = self.memo.borrow_mut();
            let over = matches!(
                message,
                ToPage::Notice(Notice::Talk { state: TalkState::Delivered | TalkState::Failed { .. }, .. })
            );
            if over {
                memo.remove(&key);
            } else if memo.len() < MEMO_MAX || !key.starts_with(RECEIPTS) || memo.contains_key(&key) {
                memo.insert(key, text.to_owned());
            }
        }
        self.others.get()
    }

    /// Tells the other tabs.
    pub(super) fn spread(&self, text: &str) {
        self.post("told", "", text);
    }

    pub(super) fn spread_token(&self) {
        if self.others.get() && self.leads() {
            self.post("token", "", "");
        }
    }

    /// Tells a tab that came how things are.
    fn tell_all(&self, to: &str) {
        let Some(shell) = self.shell.upgrade() else { return };
        let to = to.to_owned();
        spawn_local(async move {
            shell.tabs.post("token", &to, "");
            for text in shell.tabs.memo.borrow().values() {
                shell.tabs.post("told", &to, text);
            }
            let mut more = shell.store.pasts().await;
            more.extend(shell.seen().into_iter().map(ToPage::Notice));
            for message in more {
                if let Ok(text) = serde_json::to_string(&message) {
                    shell.tabs.post("told", &to, &text);
                }
            }
        });
    }
}

/// With which the keys of receipts begin.
const RECEIPTS: char = 'c';

/// What replaces what: messages with one key tell how one thing is. In the order in which a page must hear them.
fn key(message: &ToPage) -> Option<String> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "all others tell what happened once, or are told anew")]
    let (kind, id, seq) = match message {
        ToPage::SignedIn { .. } | ToPage::SignedOut { .. } => ('0', None, 0),
        ToPage::Directory { .. } => ('1', None, 0),
        ToPage::Storage(_) => ('2', None, 0),
        ToPage::Queue(_) => ('3', None, 0),
        ToPage::Notice(notice) => match notice {
            Notice::Link(_) => ('4', None, 0),
            Notice::Playing { .. } => ('5', None, 0),
            Notice::Room { room, .. } => ('6', Some(room.bytes()), 0),
            Notice::Role { room, .. } => ('7', Some(room.bytes()), 0),
            Notice::Floor { room, .. } => ('8', Some(room.bytes()), 0),
            Notice::Emergencies { room, .. } => ('9', Some(room.bytes()), 0),
            Notice::PresenceRoom { room, .. } => ('a', Some(room.bytes()), 0),
            Notice::Talk { burst, .. } => ('b', Some(burst.bytes()), 0),
            Notice::Receipts { room, seq, .. } => (RECEIPTS, Some(room.bytes()), seq.0),
            _ => return None,
        },
        _ => return None,
    };
    Some(name(kind, id, seq))
}

/// A name for what is of this kind, of such a room or burst, at this place.
fn name(kind: char, id: Option<&[u8; 16]>, seq: u64) -> String {
    let id = id.map_or(0, |id| u128::from_be_bytes(*id));
    format!("{kind}{id:x} {seq}")
}
