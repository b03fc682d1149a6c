//! The talk button: what state it is in, in colour, icon and words.

use dioxus::html::Code;
use dioxus::prelude::*;
use holler_core::model::{Priority, Role};

use super::{Icon, IconName};
use crate::port::{Host, Microphone};
use crate::state::{EMERGENCY_HOLD_MS, Link, PressState, View};
use crate::{Ui, press};

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
    let face = |class, icon, words: &str, hint: &str| Face {
        class,
        icon,
        words: words.to_owned(),
        hint: hint.to_owned(),
        enabled: true,
        until: None,
    };
    let Some(room) = view.room() else { return face("idle", IconName::Microphone, "", "") };
    if let Some(press) = view.press.as_ref().filter(|press| press.room == room.id) {
        let asking = matches!(view.microphone, Microphone::Asking);
        match &press.state {
            _ if press.held && !press.recording && asking => {
                return face("asking", IconName::Dots, "Wait …", "Allow the microphone, so that others can hear you.");
            }
            PressState::Starting | PressState::Asking | PressState::Granted { .. }
                if press.held && !press.recording =>
            {
                return face("asking", IconName::Dots, "Wait …", "Starting the microphone");
            }
            PressState::Granted { .. } | PressState::Asking | PressState::Queued { .. } | PressState::Offline
                if press.held && press.emergency =>
            {
                let hint =
                    "Your microphone is open, and everyone in the room sees the emergency. Tap the button to end it.";
                let face = face("alarm", IconName::Alarm, "Emergency: speak", hint);
                return Face { until: press.open_until, ..face };
            }
            PressState::Asking if press.held => return face("asking", IconName::Dots, "Wait …", "Asking to talk"),
            PressState::Queued { position, waiting } if press.held => {
                let hint = "Keep holding: it is your turn when this turns red.";
                return face("queued", IconName::Queue, &format!("In line: {position} of {waiting}"), hint);
            }
            PressState::Granted { until } if press.held => {
                let hint = if press.latched {
                    "Everyone in the room hears you. Tap again when done."
                } else {
                    "Everyone in the room hears you. Let go when done."
                };
                let face = face("granted", IconName::Waves, "Speak now", hint);
                return Face { until: *until, ..face };
            }
            PressState::Offline if press.held => {
                return face(
                    "offline",
                    IconName::Offline,
                    "Offline",
                    "It is recorded, and delivered by itself when the connection is back.",
                );
            }
            PressState::Denied { words } | PressState::Revoked { words } if press.held => {
                return face("denied", IconName::No, "Not now", words);
            }
            PressState::Failed { words } => return face("denied", IconName::No, "That did not work", words),
            PressState::Waiting => {
                return face(
                    "offline",
                    IconName::Offline,
                    "Recorded",
                    "It is delivered by itself when the connection is back. Leave this page open until then.",
                );
            }
            PressState::Kept => {
                return face(
                    "denied",
                    IconName::No,
                    "Not delivered",
                    "It stays on this device until this page is closed.",
                );
            }
            PressState::Denied { words } | PressState::Revoked { words } => {
                return face(
                    "idle",
                    IconName::Microphone,
                    if view.latch { "Tap to talk" } else { "Hold to talk" },
                    words,
                );
            }
            PressState::Ending => return face("asking", IconName::Dots, "Sending …", "The last of it is on its way."),
            PressState::Starting
            | PressState::Asking
            | PressState::Queued { .. }
            | PressState::Granted { .. }
            | PressState::Offline
            | PressState::Delivered => {}
        }
    }
    if room.role.is_none_or(|role| role < Role::Talker) {
        let hint = "You may listen in this room. An admin of the room can let you talk.";
        return Face { enabled: false, ..face("idle", IconName::Speaker, "Listening only", hint) };
    }
    if let Some(talker) = room.talker.as_ref().filter(|talker| !talker.own) {
        let hint = "Hold to get in line.";
        if talker.priority == Priority::Emergency {
            let words = format!("Emergency: {} is talking", view.name(talker.user));
            return face(
                "alarm",
                IconName::Alarm,
                &words,
                "Listen. A dispatcher can talk at once, others get in line.",
            );
        }
        return face("receiving", IconName::Speaker, &format!("{} is talking", view.name(talker.user)), hint);
    }
    if view.link != Link::Up {
        return face(
            "offline",
            IconName::Offline,
            "Offline",
            "What you say is recorded, and delivered when the connection is back.",
        );
    }
    if let Microphone::Failed(words) = &view.microphone {
        return face("denied", IconName::No, "No microphone", words);
    }
    let press = view.press.as_ref().filter(|press| press.room == room.id && press.state == PressState::Delivered);
    let ready = if view.latch { "Tap to talk" } else { "Hold to talk" };
    if let Some(press) = press {
        let hint = match press.burst.and_then(|burst| room.reach_of(burst)) {
            Some(reach) => format!("{}.", reach.words("Heard")),
            None => "Delivered: the server has every word.".to_owned(),
        };
        return face("idle", IconName::Microphone, ready, &hint);
    }
    let hint =
        if view.latch { "Tap again to end.".to_owned() } else { format!("Or hold {}.", view.settings.key_words()) };
    face("idle", IconName::Microphone, ready, &hint)
}

/// The button with all that belongs to it.
#[component]
pub fn TalkPanel() -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let face = use_memo(move || face(&ui.view.read()));
    let Face { class, icon, words, hint, enabled, until } = face.read().clone();
    rsx! {
        section { class: "talk {class}", aria_label: "Talk",
            div { class: "talk-dial",
                Meter {}
                if let Some(until) = until {
                    Countdown { until }
                }
                button {
                    class: "talk-button", r#type: "button", disabled: !enabled, "data-talk": "true",
                    aria_label: "{words}", aria_describedby: "talk-hint",
                    onpointerdown: move |event: PointerEvent| {
                        if event.is_primary() && event.trigger_button().is_none_or(|button| button == dioxus::html::input_data::MouseButton::Primary) {
                            press(ui, &host);
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
            onclick: move |_| ui.view.write().latch = !on,
            Icon { name: if on { IconName::Locked } else { IconName::Unlocked } }
            span { "Hands-free" }
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
    let left = hold.map(|since| ((since + EMERGENCY_HOLD_MS - *ui.now.read()) / 1_000.0).ceil().max(0.0));
    let mut begin = move || {
        let now = host.now_ms();
        ui.now.set(now);
        ui.view.write().hold = Some(now);
    };
    let mut begin_by_key = begin.clone();
    rsx! {
        button {
            class: if hold.is_some() { "button emergency-button held" } else { "button emergency-button" }, r#type: "button",
            aria_label: "Emergency: hold for two seconds",
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
                if let Some(left) = left { "Keep holding: {left}" } else { "Emergency" }
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
    let (share, left) = (left / COUNTDOWN_S * 100.0, left.ceil());
    rsx! {
        svg { class: "countdown", view_box: "-100 -100 200 200", "aria-hidden": "true", "focusable": "false",
            circle { class: "countdown-ring", r: "78", "pathLength": "100", stroke_dasharray: "{share} 100", transform: "rotate(-90)" }
        }
        span { class: "countdown-words", "{left} s" }
    }
}
