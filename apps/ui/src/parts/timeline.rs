//! What was said and written in a room, and the line to write the next.

use dioxus::prelude::*;
use holler_core::model::Priority;
use holler_core::units::{ClientId, FrameMs};
use holler_core::wire::limits::TEXT_CHARS_MAX;

use super::{Icon, IconName};
use crate::Ui;
use crate::port::{Ask, Host};
use crate::state::{BurstEnd, Item, Text};

/// The room's timeline, the newest at the bottom.
#[component]
pub fn Timeline() -> Element {
    let ui = use_context::<Ui>();
    let items = use_memo(move || ui.view.read().room().map(|room| room.items.clone()).unwrap_or_default());
    rsx! {
        // Scrolls from the bottom, so that what is new is seen without moving anything.
        section { class: "timeline", tabindex: "0", aria_label: "What was said and written",
            if items.read().is_empty() {
                div { class: "empty-words",
                    Icon { name: IconName::Microphone }
                    p { "Nothing was said here yet. Hold the button and say hello: you see here who heard it." }
                }
            } else {
                ol { class: "items",
                    for item in items.read().iter().cloned() {
                        Line { key: "{key(&item)}", item }
                    }
                }
            }
        }
    }
}

fn key(item: &Item) -> String {
    match item {
        Item::Text(text) => text.client_id.to_string(),
        Item::Burst { burst, .. } => burst.to_string(),
        Item::Emergency { seq, .. } => format!("emergency {seq}"),
        Item::Gap => "gap".to_owned(),
    }
}

#[component]
fn Line(item: Item) -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let name = |user| {
        let view = ui.view.peek();
        if view.me() == Some(user) { "You".to_owned() } else { view.name(user) }
    };
    match item {
        Item::Text(Text { seq, user, at, text, edited, refused, reach, .. }) => {
            let (name, time) = (name(user), host.clock(at));
            let state = match (&refused, seq) {
                (Some(refused), _) => format!("Not sent: {refused}"),
                (None, None) => "Waiting to be sent".to_owned(),
                (None, Some(_)) if edited => "Changed".to_owned(),
                (None, Some(_)) => reach.map(|reach| reach.words("Read")).unwrap_or_default(),
            };
            rsx! {
                li { class: if seq.is_none() { "item waiting" } else { "item" },
                    p { class: "item-head",
                        span { class: "item-name", "{name}" }
                        time { class: "soft small", "{time}" }
                        if !state.is_empty() {
                            span { class: if refused.is_some() { "small wrong" } else { "small soft" }, "{state}" }
                        }
                    }
                    // Text is text: it is set as such, and nothing in it is ever taken for markup.
                    if let Some(text) = text {
                        p { class: "item-text", dir: "auto", "{text}" }
                    } else {
                        p { class: "item-text soft", "Taken back" }
                    }
                }
            }
        }
        Item::Burst { burst, user, at, frame_ms, frames, priority, end, missed, reach, .. } => {
            let Some(room) = ui.view.peek().open else { return rsx! {} };
            let own = ui.view.peek().me() == Some(user);
            let (name, time) = (name(user), host.clock(at));
            let state = match (end, missed) {
                (BurstEnd::Live, _) => "Talking now".to_owned(),
                (BurstEnd::Interrupted, _) => format!("{} so far; the link broke", length(frame_ms, frames)),
                (BurstEnd::Ended, true) => format!("{}, missed", length(frame_ms, frames)),
                (BurstEnd::Ended, false) => length(frame_ms, frames),
            };
            let state = match reach.filter(|_| end != BurstEnd::Live) {
                Some(reach) => format!("{state} · {}", reach.words("Heard")),
                None => state,
            };
            rsx! {
                li { class: match (end, own) { (BurstEnd::Live, true) => "item burst live own", (BurstEnd::Live, false) => "item burst live", _ => "item burst" },
                    if end == BurstEnd::Live {
                        span { class: "burst-mark", Icon { name: IconName::Waves } }
                    } else {
                        PlayButton { name: name.clone(), time: time.clone(), ask: Ask::Replay { room, burst, frame_ms } }
                    }
                    div {
                        p { class: "item-head",
                            span { class: "item-name", "{name}" }
                            time { class: "soft small", "{time}" }
                        }
                        p { class: "small soft",
                            if priority == Priority::Emergency { "Emergency · " }
                            "{state}"
                        }
                    }
                }
            }
        }
        Item::Emergency { user, at, raised, .. } => {
            let (name, time) = (name(user), host.clock(at));
            rsx! {
                li { class: "item note",
                    Icon { name: IconName::Alarm }
                    if raised { "{time}: emergency by {name}" } else { "{time}: the emergency of {name} was cleared" }
                }
            }
        }
        Item::Gap => rsx! {
            li { class: "item note", "What was before this is no longer kept." }
        },
    }
}

#[component]
fn PlayButton(name: String, time: String, ask: Ask) -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let Ask::Replay { burst, .. } = ask else { return rsx! {} };
    let playing = use_memo(move || ui.view.read().replaying == Some(burst));
    rsx! {
        button {
            class: if *playing.read() { "icon-button play playing" } else { "icon-button play" }, r#type: "button",
            aria_label: "Play what {name} said at {time}",
            onclick: move |_| host.ask(ask.clone()),
            Icon { name: if *playing.read() { IconName::Waves } else { IconName::Play } }
        }
    }
}

fn length(frame: FrameMs, frames: Option<u16>) -> String {
    let Some(frames) = frames else { return "Length unknown".to_owned() };
    let seconds = f64::from(frames) * f64::from(frame.ms()) / 1_000.0;
    if seconds < 10.0 { format!("{seconds:.1} s") } else { format!("{:.0} s", seconds.round()) }
}

/// A line to write in.
#[component]
pub fn Composer() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let mut draft = use_signal(String::new);
    let may = use_memo(move || {
        let view = ui.view.read();
        view.room().and_then(|room| room.role).is_some_and(|role| role >= holler_core::model::Role::Talker)
    });
    let submit = move |event: FormEvent| {
        event.prevent_default();
        let text = draft.peek().trim().to_owned();
        let (open, me) = (ui.view.peek().open, ui.view.peek().me());
        let (Some(room), Some(me)) = (open, me) else { return };
        if text.is_empty() || text.chars().count() > TEXT_CHARS_MAX {
            return;
        }
        let client_id = ClientId::from_bytes(host.random());
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time after 1970")]
        let at = host.now_ms() as u64;
        if let Some(room) = ui.view.write().rooms.get_mut(&room) {
            room.send(client_id, me, at, text.clone());
        }
        host.ask(Ask::Send { room, client_id, text });
        draft.set(String::new());
    };
    if !*may.read() {
        return rsx! {};
    }
    rsx! {
        form { class: "composer", onsubmit: submit,
            label { class: "unseen", r#for: "composer", "Message" }
            input {
                id: "composer", r#type: "text", autocomplete: "off", placeholder: "Write a message", maxlength: "{TEXT_CHARS_MAX}",
                value: "{draft}", oninput: move |event| draft.set(event.value()),
            }
            button { class: "icon-button", r#type: "submit", aria_label: "Send", Icon { name: IconName::Send } }
        }
    }
}
