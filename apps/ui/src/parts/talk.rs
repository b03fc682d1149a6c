//! The talk button: what state it is in, in colour, icon and words.

use crate::act::act;
use crate::memo::use_memo;
use dioxus::html::Code;
use dioxus::prelude::*;
use holler_core::model::{Priority, Role};

use super::{Icon, IconName};
use crate::port::{Ask, Host, Microphone};
use crate::state::{EMERGENCY_HOLD_MS, Link, PressState, Taken, View};
use crate::{Ui, press, seconds, t};

/// Ticks of the level meter around the button.
const TICKS: u8 = 48;
/// The talk limit is shown from this many seconds before it on.
const COUNTDOWN_S: f64 = 15.0;

/// What the button shows.
#[derive(Clone, Debug, PartialEq)]
struct Face {
    /// The state's class; each has one colour everywhere.
    class: &'static str,
    icon: IconName,
    /// What is so.
    words: String,
    /// What to do, or why.
    hint: String,
    /// Whether it can be pressed.
    enabled: bool,
    /// When the talk limit comes, ms since 1970.
    until: Option<f64>,
}

fn face(view: &View) -> Face {
    let face = |class, icon, words: String, hint: String| Face { class, icon, words, hint, enabled: true, until: None };
    let Some(room) = view.room() else { return face("idle", IconName::Microphone, String::new(), String::new()) };
    if let Some(press) = view.press.as_ref().filter(|press| press.room == room.id) {
        let asking = matches!(view.microphone, Microphone::Asking);
        match &press.state {
            _ if press.held && !press.recording && asking => {
                return face("asking", IconName::Dots, t!("talk-wait"), t!("talk-allow"));
            }
            PressState::Starting | PressState::Asking | PressState::Granted { .. }
                if press.held && !press.recording =>
            {
                return face("asking", IconName::Dots, t!("talk-wait"), t!("talk-starting"));
            }
            PressState::Granted { .. } | PressState::Asking | PressState::Queued { .. } | PressState::Offline
                if press.held && press.emergency =>
            {
                let face = face("alarm", IconName::Alarm, t!("talk-emergency"), t!("talk-emergency-hint"));
                return Face { until: press.open_until, ..face };
            }
            PressState::Asking if press.held => {
                return face("asking", IconName::Dots, t!("talk-wait"), t!("talk-asking"));
            }
            PressState::Queued { position, waiting } if press.held => {
                let words = t!("talk-queued", position = *position, waiting = *waiting);
                return face("queued", IconName::Queue, words, t!("talk-queued-hint"));
            }
            PressState::Granted { until } if press.held => {
                let hint = if press.latched { t!("talk-now-latched") } else { t!("talk-now-held") };
                let face = face("granted", IconName::Waves, t!("talk-now"), hint);
                return Face { until: *until, ..face };
            }
            PressState::Offline if press.held => {
                return face("offline", IconName::Offline, t!("talk-offline"), t!("talk-offline-held"));
            }
            PressState::Denied { words } | PressState::Revoked { words } if press.held => {
                return face("denied", IconName::No, t!("talk-denied"), words.clone());
            }
            PressState::Failed { words } => return face("denied", IconName::No, t!("talk-failed"), words.clone()),
            PressState::Waiting => {
                return face("offline", IconName::Offline, t!("talk-recorded"), t!("talk-recorded-hint"));
            }
            PressState::PutOff { words } => {
                let hint = t!("talk-put-off", reason = words.as_str());
                return face("offline", IconName::Offline, t!("talk-recorded"), hint);
            }
            PressState::Kept => {
                return face("denied", IconName::No, t!("talk-kept"), t!("talk-kept-hint"));
            }
            PressState::Denied { words } | PressState::Revoked { words } => {
                return face("idle", IconName::Microphone, ready(view), words.clone());
            }
            PressState::Ending => return face("asking", IconName::Dots, t!("talk-ending"), t!("talk-ending-hint")),
            PressState::Starting
            | PressState::Asking
            | PressState::Queued { .. }
            | PressState::Granted { .. }
            | PressState::Offline
            | PressState::Delivered => {}
        }
    }
    if room.role.is_none_or(|role| role < Role::Talker) {
        let face = face("idle", IconName::Speaker, t!("talk-listen"), t!("talk-listen-hint"));
        return Face { enabled: false, ..face };
    }
    if let Some(talker) = room.talker.as_ref().filter(|talker| !talker.own) {
        if talker.priority == Priority::Emergency {
            let words = t!("talk-other-emergency", name = view.name(talker.user));
            return face("alarm", IconName::Alarm, words, t!("talk-other-emergency-hint"));
        }
        return face("receiving", IconName::Speaker, view.talks(talker), t!("talk-other-hint"));
    }
    if view.link != Link::Up {
        return face("offline", IconName::Offline, t!("talk-offline"), t!("talk-offline-hint"));
    }
    if let Microphone::Failed(words) = &view.microphone {
        return face("denied", IconName::No, t!("talk-no-microphone"), words.clone());
    }
    let press = view.press.as_ref().filter(|press| press.room == room.id && press.state == PressState::Delivered);
    if let Some(press) = press {
        let hint = match press.burst.filter(|_| !room.is_echo()).and_then(|burst| room.reach_of(burst)) {
            Some(reach) => t!("talk-reached", reach = reach.words(Taken::Heard)),
            None if room.is_echo() && view.replaying == press.burst => t!("echo-back"),
            None => t!("talk-delivered"),
        };
        return face("idle", IconName::Microphone, ready(view), hint);
    }
    if view.latch {
        return face("idle", IconName::Microphone, ready(view), t!("talk-tap-hint"));
    }
    // Where there is no key to press it is not shown.
    face("idle by-key", IconName::Microphone, ready(view), t!("talk-key-hint", key = view.settings.key_words()))
}

fn ready(view: &View) -> String {
    if view.latch { t!("talk-tap") } else { t!("talk-hold") }
}

/// The button with all that belongs to it.
#[component]
pub fn TalkPanel() -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let (near, focused) = (host.clone(), host.clone());
    let face = use_memo(move || face(&ui.view.read()));
    let Face { class, icon, words, hint, enabled, until } = face.read().clone();
    rsx! {
        section { class: "talk {class}", aria_label: t!("talk"),
            div { class: "talk-dial",
                Meter {}
                if let Some(until) = until {
                    Countdown { until }
                }
                button {
                    class: "talk-button", r#type: "button", disabled: !enabled, "data-talk": "true",
                    aria_label: "{words}", aria_describedby: "talk-hint",
                    onpointerenter: move |_| near.ask(Ask::Ready),
                    onfocus: move |_| focused.ask(Ask::Ready),
                    onpointerdown: move |event: PointerEvent| {
                        if event.is_primary() && event.trigger_button().is_none_or(|button| button == dioxus::html::input_data::MouseButton::Primary) {
                            press(ui, &host, false);
                        }
                    },
                    oncontextmenu: |event: MouseEvent| event.prevent_default(),
                    Icon { name: icon }
                }
            }
            div { class: "talk-words",
                p { class: "talk-state", "{words}" }
                p { class: "talk-hint soft", id: "talk-hint", "{hint}" }
            }
            Latch {}
            Emergency {}
        }
    }
}

/// Whether a tap is enough.
#[component]
fn Latch() -> Element {
    let mut ui = use_context::<Ui>();
    let latch = use_memo(move || ui.view.read().latch);
    let on = *latch.read();
    rsx! {
        button {
            class: "button quiet latch", r#type: "button", aria_pressed: "{on}",
            onclick: act(move |_| ui.view.write().latch = !on),
            Icon { name: if on { IconName::Locked } else { IconName::Unlocked } }
            span { {t!("talk-latch")} }
        }
    }
}

/// Held for two seconds, it raises an emergency: no pocket does that, and no thumb by mistake.
#[component]
fn Emergency() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let known = use_memo(move || {
        let view = ui.view.read();
        let may = view.room().and_then(|room| room.role).is_some_and(|role| role >= Role::Talker);
        (may, view.hold, view.press.as_ref().is_some_and(|press| press.held && press.emergency))
    });
    let (may, hold, on) = *known.read();
    if !may || on {
        return rsx! {};
    }
    let left = hold.map(|since| seconds(since + EMERGENCY_HOLD_MS - *ui.now.read()));
    let mut begin = move || {
        let now = host.now_ms();
        ui.now.set(now);
        ui.view.write().hold = Some(now);
    };
    let mut begin_by_key = begin.clone();
    rsx! {
        button {
            class: if hold.is_some() { "button emergency-button held" } else { "button emergency-button" }, r#type: "button",
            aria_label: t!("emergency-label"),
            onpointerdown: move |event: PointerEvent| {
                if event.is_primary() {
                    begin();
                }
            },
            onkeydown: move |event: KeyboardEvent| {
                if matches!(event.code(), Code::Space | Code::Enter) && !event.is_auto_repeating() {
                    begin_by_key();
                }
            },
            onkeyup: move |_| ui.view.write().hold = None,
            oncontextmenu: |event: MouseEvent| event.prevent_default(),
            Icon { name: IconName::Alarm }
            span {
                if let Some(left) = left { {t!("emergency-holding", seconds = left)} } else { {t!("emergency")} }
            }
        }
    }
}

/// How loud it is: lit ticks around the button, from the bottom up on both sides.
#[component]
fn Meter() -> Element {
    let ui = use_context::<Ui>();
    let lit = use_memo(move || {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 1")]
        let lit = (ui.level.read().clamp(0.0, 1.0) * f32::from(TICKS / 2)).round() as u8;
        lit
    });
    rsx! {
        svg { class: "meter", view_box: "-100 -100 200 200", "aria-hidden": "true", "focusable": "false",
            for tick in 0..TICKS {
                Tick { key: "{tick}", tick, lit: tick.min(TICKS - 1 - tick) < *lit.read() }
            }
        }
    }
}

#[component]
fn Tick(tick: u8, lit: bool) -> Element {
    let angle = 360.0 / f64::from(TICKS) * (f64::from(tick) + 0.5);
    rsx! {
        line {
            class: if lit { "tick lit" } else { "tick" },
            x1: "0", y1: "86", x2: "0", y2: "96", transform: "rotate({angle})",
        }
    }
}

/// The time left until the talk limit, shown once it is near.
#[component]
fn Countdown(until: f64) -> Element {
    let ui = use_context::<Ui>();
    let left = ((until - *ui.now.read()) / 1_000.0).max(0.0);
    if left > COUNTDOWN_S {
        return rsx! {};
    }
    let (share, left) = (left / COUNTDOWN_S * 100.0, seconds(left * 1_000.0));
    rsx! {
        svg { class: "countdown", view_box: "-100 -100 200 200", "aria-hidden": "true", "focusable": "false",
            circle { class: "countdown-ring", r: "78", "pathLength": "100", stroke_dasharray: "{share} 100", transform: "rotate(-90)" }
        }
        span { class: "countdown-words", {t!("talk-seconds", seconds = left)} }
    }
}
