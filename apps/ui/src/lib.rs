//! Holler's screens, for every host: nothing here knows a browser or a system.
//!
//! A host hands in a [`Host`] and a channel of [`Told`], and gets a [`VirtualDom`] to draw. What is shown follows from
//! [`state::View`] alone; what a person does leaves as an [`Ask`].
//!
//! | module | what it holds |
//! |---|---|
//! | [`port`] | what a person asks for, what the host tells |
//! | [`state`] | what the screens show, and how it follows from what the host tells |
//! | [`parts`] | the components: icons, banners, the talk button, the timeline |
//! | [`screens`] | sign-in, what a link leads to, rooms, a room |
//! | [`words`] | every word that is shown, in each language |
//!
//! Colours, spaces, type and motion are stated once, in `style/tokens.css`; the other sheets use nothing else.

#![expect(unused_qualifications, reason = "rsx! writes full paths")]

mod act;
mod memo;
pub mod parts;
pub mod port;
pub mod screens;
pub mod state;
pub mod words;

use std::cell::RefCell;
use std::rc::Rc;

use dioxus::prelude::*;
use futures_channel::mpsc::UnboundedReceiver;
use futures_util::StreamExt as _;

use memo::use_memo;
use port::{Ask, Host, Media, Told};
use state::{Account, View};
use words::Language;

/// What every component gets: what is shown, and the values that change too often to be part of it.
#[derive(Clone, Copy)]
pub struct Ui {
    /// What is shown.
    pub view: Signal<View>,
    /// How loud it is, 0 to 1.
    pub level: Signal<f32>,
    /// What is being written.
    pub draft: Signal<String>,
    /// How far the burst of the past that plays has come, ms.
    pub position: Signal<u32>,
    /// Now, ms since 1970, while something on the screen changes with time alone.
    pub now: Signal<f64>,
    /// The language that is spoken.
    pub language: Signal<Language>,
}

#[derive(Clone)]
struct Inbox(Rc<RefCell<Option<UnboundedReceiver<Told>>>>);

/// The screens, ready to be drawn.
pub fn dom(host: Host, inbox: UnboundedReceiver<Told>) -> VirtualDom {
    dom_of(host, inbox, View::default())
}

/// The screens as they show `view`.
pub fn dom_of(host: Host, inbox: UnboundedReceiver<Told>, view: View) -> VirtualDom {
    let inbox = Inbox(Rc::new(RefCell::new(Some(inbox))));
    VirtualDom::new(App).with_root_context(host).with_root_context(inbox).with_root_context(view)
}

#[component]
fn App() -> Element {
    let host = use_context::<Host>();
    let now = host.now_ms();
    let ui = use_context_provider(|| Ui {
        view: Signal::new(consume_context::<View>()),
        level: Signal::new(0.0),
        draft: Signal::new(String::new()),
        position: Signal::new(0),
        now: Signal::new(now),
        language: Signal::new(Language::English),
    });
    let inbox = use_context::<Inbox>();
    use_future(move || {
        let (host, inbox) = (host.clone(), inbox.0.take());
        async move {
            let Some(mut inbox) = inbox else { return };
            while let Some(told) = inbox.next().await {
                take(ui, &host, told);
            }
        }
    });
    rsx! {
        // Drawn anew as a whole in another language.
        for language in [*ui.language.read()] {
            Screen { key: "{language.tag()}" }
        }
    }
}

#[component]
fn Screen() -> Element {
    let ui = use_context::<Ui>();
    let account = use_memo(move || ui.view.read().account.clone());
    let entry = use_memo(move || ui.view.read().entry.clone());
    if let Some(entry) = entry.read().clone() {
        return rsx! { screens::Entered { entry } };
    }
    match &*account.read() {
        Account::Starting => rsx! { p { class: "loading", role: "status", {t!("starting")} } },
        Account::SignedOut { reason, busy } => rsx! { screens::SignIn { reason: reason.clone(), busy: *busy } },
        Account::SignedIn(_) => rsx! { screens::Home {} },
    }
}

fn take(mut ui: Ui, host: &Host, told: Told) {
    match told {
        Told::Level(level) => ui.level.set(level),
        Told::Position(ms) => ui.position.set(ms),
        Told::Tick => {
            if ui.view.peek().is_ticking() {
                let now = host.now_ms();
                ui.now.set(now);
                if ui.view.peek().is_due(now) {
                    let asks = ui.view.write().tick(now);
                    ask_all(ui, host, asks);
                }
            } else if *ui.level.peek() != 0.0 {
                ui.level.set(0.0);
            }
        }
        Told::Words { language, file } => {
            words::speak(language, &file);
            ui.language.set(language);
        }
        Told::Key(true) => press(ui, host, false),
        Told::Clicked => press(ui, host, true),
        Told::Key(false) => release(ui, host),
        Told::Gone | Told::Media(Media::HangUp) => end(ui, host),
        Told::Media(Media::Play) => {
            let ask = ui.view.write().play_missed();
            ask.into_iter().for_each(|ask| host.ask(ask));
        }
        Told::Media(Media::Stop) => {
            if ui.view.peek().replaying.is_some() {
                ui.view.write().queue.clear();
                host.ask(Ask::StopReplay);
            }
        }
        told @ (Told::SignedOut { .. }
        | Told::Opened(_)
        | Told::Show(_)
        | Told::Offer(_)
        | Told::EntryFailed(_)
        | Told::Visible(_)
        | Told::Settings(_)
        | Told::Microphones(_)
        | Told::Devices(_)
        | Told::Trial(_)
        | Told::Quality { .. }
        | Told::Evicted
        | Told::Queue(_)
        | Told::Storage(_)
        | Told::Outdated
        | Told::Telling(_)
        | Told::ClockOff(_)
        | Told::SignedIn(_)
        | Told::SignInFailed(_)
        | Told::Directory { .. }
        | Told::Members { .. }
        | Told::Direct(_)
        | Told::Heard(_)
        | Told::Invited(_)
        | Told::Wave { .. }
        | Told::History { .. }
        | Told::Notice(_)
        | Told::Replaying(_)
        | Told::Microphone(_)
        | Told::Audible(_)
        | Told::Fault(_)) => {
            let asks = ui.view.write().apply(host.now_ms(), told);
            ask_all(ui, host, asks);
        }
    }
}

fn ask_all(ui: Ui, host: &Host, asks: Vec<Ask>) {
    let tones = ui.view.peek().settings.tones;
    for ask in asks {
        // An alarm is heard whatever was set.
        if tones || !matches!(ask, Ask::Tone(tone) if tone != port::Tone::Alarm) {
            host.ask(ask);
        }
    }
}

/// The talk button goes down; where a press goes on without a finger, this ends it. `clicked`: nothing will say that it came up, so it
/// goes on until the next time.
fn press(mut ui: Ui, host: &Host, clicked: bool) {
    let Some(room) = ui.view.peek().open else { return };
    if ui.view.peek().press.as_ref().is_some_and(|press| press.held && (press.latched || clicked)) {
        return end(ui, host);
    }
    if ui.view.write().press(false, clicked) {
        ui.now.set(host.now_ms());
        host.ask(Ask::KeyDown { room, emergency: false });
    }
}

/// The talk button comes up, wherever that was seen.
fn release(mut ui: Ui, host: &Host) {
    let goes_on = {
        let view = ui.view.peek();
        view.hold.is_some() || view.press.as_ref().is_some_and(|press| press.held && !press.latched)
    };
    if goes_on && ui.view.write().release() {
        host.ask(Ask::KeyUp);
    }
}

/// Whatever goes on ends.
fn end(mut ui: Ui, host: &Host) {
    let held = ui.view.peek().press.as_ref().is_some_and(|press| press.held);
    if held && ui.view.write().end() {
        host.ask(Ask::KeyUp);
    }
}

/// Whole seconds that are left of some milliseconds.
fn seconds(ms: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least zero, and saturating")]
    let seconds = (ms / 1_000.0).ceil().max(0.0) as u64;
    seconds
}

/// A room is looked at, or none.
fn look_at(mut ui: Ui, host: &Host, room: Option<holler_core::units::RoomId>) {
    let asks = ui.view.write().look_at(room);
    ask_all(ui, host, asks);
}
