//! What was said and written in a room, and the line to write the next.

use dioxus::prelude::*;
use holler_core::model::Priority;
use holler_core::units::{ClientId, Cursor, FrameMs, RoomId};
use holler_core::wire::limits::TEXT_CHARS_MAX;

use super::{Icon, IconName};
use crate::port::{Ask, Host};
use crate::state::{BurstEnd, Item, Taken, Text, View};
use crate::{Ui, t};

/// Items that are drawn at first, and more each time somebody wants earlier ones: a room of 50,000 costs what is looked at.
const DRAWN: usize = 150;

/// The room's timeline, the newest at the bottom.
#[component]
pub fn Timeline() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let mut drawn = use_signal(|| DRAWN);
    let mut search = use_signal(String::new);
    let known = use_memo(move || {
        let view = ui.view.read();
        let Some(room) = view.room() else { return Known::default() };
        let wanted = search.read().trim().to_lowercase();
        let is_wanted = |item: &&Item| wanted.is_empty() || found(&view, item, &wanted);
        let mut items: Vec<Item> = room.items.iter().rev().filter(is_wanted).take(*drawn.read() + 1).cloned().collect();
        let more = items.len() > *drawn.read();
        items.truncate(*drawn.read());
        items.reverse();
        let earlier = room.earlier().map(|before| (room.id, before));
        let last = room.last_burst().map(|(burst, frame_ms)| Ask::Replay { room: room.id, burst, frame_ms });
        Known { items, more, earlier, last, missed: room.missed().count(), any: !room.items.is_empty() }
    });
    let Known { items, more, earlier, last, missed, any } = known.read().clone();
    let (again, missed_host) = (host.clone(), host.clone());
    rsx! {
        if any {
            div { class: "tools",
                label { class: "unseen", r#for: "search", {t!("search-label")} }
                input {
                    id: "search", r#type: "search", placeholder: t!("search"), value: "{search}",
                    oninput: move |event| search.set(event.value()),
                }
                if missed > 0 {
                    button {
                        class: "button missed", r#type: "button",
                        onclick: move |_| {
                            let next = ui.view.write().play_missed();
                            if let Some(next) = next {
                                missed_host.ask(next);
                            }
                        },
                        Icon { name: IconName::Play }
                        {t!("play-missed", count = missed)}
                    }
                }
                if let Some(last) = last {
                    button {
                        class: "button", r#type: "button", onclick: move |_| again.ask(last.clone()),
                        Icon { name: IconName::Again }
                        {t!("play-last")}
                    }
                }
            }
        }
        // Scrolls from the bottom, so that what is new is seen without moving anything.
        section { class: "timeline", tabindex: "0", aria_label: t!("timeline"),
            if !any {
                div { class: "empty-words",
                    Icon { name: IconName::Microphone }
                    p { {t!("timeline-empty")} }
                }
            } else {
                ol { class: "items",
                    if more || earlier.is_some() {
                        li { class: "item earlier",
                            button {
                                class: "button quiet", r#type: "button",
                                onclick: move |_| {
                                    drawn += DRAWN;
                                    // What is here is shown first; what is not is fetched.
                                    if let Some((room, before)) = earlier.filter(|_| !more) {
                                        host.ask(Ask::Earlier { room, before });
                                    }
                                },
                                {t!("timeline-earlier")}
                            }
                        }
                    }
                    if items.is_empty() {
                        li { class: "item note", role: "status", {t!("timeline-no-match")} }
                    }
                    for item in items {
                        Line { key: "{key(&item)}", item }
                    }
                }
            }
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    items: Vec<Item>,
    more: bool,
    earlier: Option<(RoomId, Cursor)>,
    last: Option<Ask>,
    missed: usize,
    any: bool,
}

/// Whether `wanted`, in lower case, is in what was written or in who it is of.
fn found(view: &View, item: &Item, wanted: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(wanted);
    match item {
        Item::Text(text) => text.text.as_deref().is_some_and(has) || has(&view.name(text.user)),
        Item::Burst { user, .. } | Item::Emergency { user, .. } => has(&view.name(*user)),
        Item::Gap => false,
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
        if view.me() == Some(user) { t!("you") } else { view.name(user) }
    };
    match item {
        Item::Text(Text { seq, user, at, text, edited, refused, reach, .. }) => {
            let (name, time) = (name(user), host.clock(at));
            let state = match (&refused, seq) {
                (Some(refused), _) => t!("text-refused", reason = refused.as_str()),
                (None, None) => t!("text-waiting"),
                (None, Some(_)) if edited => t!("text-edited"),
                (None, Some(_)) => reach.map(|reach| reach.words(Taken::Read)).unwrap_or_default(),
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
                        p { class: "item-text soft", {t!("text-deleted")} }
                    }
                }
            }
        }
        Item::Burst { burst, user, at, frame_ms, frames, priority, end, missed, reach, .. } => {
            let Some(room) = ui.view.peek().open else { return rsx! {} };
            let own = ui.view.peek().me() == Some(user);
            let (name, time) = (name(user), host.clock(at));
            let state = match (end, missed) {
                (BurstEnd::Live, _) => t!("burst-live"),
                (BurstEnd::Interrupted, _) => t!("burst-interrupted", length = length(frame_ms, frames)),
                (BurstEnd::Ended, true) => t!("burst-missed", length = length(frame_ms, frames)),
                (BurstEnd::Ended, false) => length(frame_ms, frames),
            };
            let state = match reach.filter(|_| end != BurstEnd::Live) {
                Some(reach) => t!("burst-reached", state = state, reach = reach.words(Taken::Heard)),
                None => state,
            };
            let state = if priority == Priority::Emergency { t!("burst-emergency", state = state) } else { state };
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
                            "{state}"
                        }
                    }
                }
            }
        }
        Item::Emergency { user, at, raised, .. } => {
            let (own, name, time) = (ui.view.peek().me() == Some(user), name(user), host.clock(at));
            let words = match (raised, own) {
                (true, true) => t!("event-emergency-own"),
                (true, false) => t!("event-emergency", name = name),
                (false, true) => t!("event-cleared-own"),
                (false, false) => t!("event-cleared", name = name),
            };
            rsx! {
                li { class: "item note",
                    Icon { name: IconName::Alarm }
                    {t!("event-at", time = time, what = words)}
                }
            }
        }
        Item::Gap => rsx! {
            li { class: "item note", {t!("timeline-gap")} }
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
            aria_label: t!("play-burst", name = name, time = time),
            onclick: move |_| host.ask(ask.clone()),
            Icon { name: if *playing.read() { IconName::Waves } else { IconName::Play } }
        }
    }
}

fn length(frame: FrameMs, frames: Option<u16>) -> String {
    let Some(frames) = frames else { return t!("length-unknown") };
    let seconds = f64::from(frames) * f64::from(frame.ms()) / 1_000.0;
    let seconds = if seconds < 10.0 { format!("{seconds:.1}") } else { format!("{:.0}", seconds.round()) };
    t!("length", seconds = seconds)
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
            label { class: "unseen", r#for: "composer", {t!("message")} }
            input {
                id: "composer", r#type: "text", autocomplete: "off", placeholder: t!("message-hint"), maxlength: "{TEXT_CHARS_MAX}",
                value: "{draft}", oninput: move |event| draft.set(event.value()),
            }
            button { class: "icon-button", r#type: "submit", aria_label: t!("message-send"), Icon { name: IconName::Send } }
        }
    }
}
