//! What was said and written in a room: of up to 50,000 items only those near what is looked at are drawn.
//!
//! The list is anchored at its bottom (`column-reverse`): how far it is scrolled counts from there, so that older items in front move
//! nothing. Items are drawn in chunks; a chunk that is not drawn is stood for by a space as high as it was when it was, or as an
//! average one. Space bar and arrow keys scroll as in any page, and whatever comes near is fetched by itself.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use dioxus::prelude::*;
use holler_core::units::{Cursor, RoomId};

use super::item::Line;
use super::{Icon, IconName};
use crate::port::{Ask, Host};
use crate::state::{CHUNK, Item, RoomView, View};
use crate::{Ui, t};

/// How far beyond what is looked at is drawn, in pixels: a second of fast scrolling.
const BEYOND: f64 = 900.0;
/// How high an item is taken to be before it was drawn, in pixels.
const ITEM_HEIGHT: f64 = 58.0;
/// How high what is looked at is taken to be before it was scrolled, in pixels.
const VIEW_HEIGHT: f64 = 1_000.0;
/// Most items that a search shows.
const FOUND_MAX: usize = 150;

/// Where one looks: how far from the bottom, and how much is seen, in pixels.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    up: f64,
    seen: f64,
}

/// How high each chunk was when it was drawn last.
type Heights = Rc<RefCell<BTreeMap<i64, f64>>>;

/// Which chunks are drawn, and what stands for the others.
#[derive(Clone, Debug, Default, PartialEq)]
struct Window {
    room: Option<RoomId>,
    chunks: Vec<i64>,
    above: f64,
    below: f64,
    /// The oldest that is here is near.
    at_top: bool,
}

impl Window {
    fn of(room: &RoomView, place: Place, heights: &BTreeMap<i64, f64>) -> Self {
        let (first, end) = room.timeline.chunks();
        let mut window = Self { room: Some(room.id), at_top: true, ..Self::default() };
        let mut bottom = 0.0;
        for chunk in (first..end).rev() {
            let items = u32::try_from(room.timeline.chunk_len(chunk)).unwrap_or(0);
            // The first and the last chunk grow: what they were high before does not hold.
            let whole = i64::from(items) == CHUNK;
            let known = heights.get(&chunk).copied().filter(|_| whole);
            let top = bottom + known.unwrap_or(f64::from(items) * ITEM_HEIGHT);
            if top < place.up - BEYOND {
                window.below = top;
            } else if bottom > place.up + place.seen + BEYOND {
                window.above += top - bottom;
                window.at_top = false;
            } else {
                window.chunks.push(chunk);
            }
            bottom = top;
        }
        window.chunks.reverse();
        window
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Tools {
    room: Option<RoomId>,
    last: Option<Ask>,
    missed: usize,
    any: bool,
    earlier: Option<Cursor>,
    full: bool,
}

/// The room's timeline, the newest at the bottom.
#[component]
pub fn Timeline() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let mut search = use_signal(String::new);
    let tools = use_memo(move || {
        let view = ui.view.read();
        let Some(room) = view.room() else { return Tools::default() };
        let replay = |(burst, frame_ms)| view.replay(room.id, burst, frame_ms, 0);
        Tools {
            room: Some(room.id),
            last: room.timeline.last_burst().map(replay),
            missed: room.timeline.missed().count(),
            any: !room.timeline.is_empty(),
            earlier: room.earlier(),
            full: room.timeline.is_full(),
        }
    });
    let Tools { room, last, missed, any, earlier, full } = tools.read().clone();
    let searching = !search.read().trim().is_empty();
    let (again, missed_host) = (host.clone(), host);
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
        if !any {
            section { class: "timeline", tabindex: "0", aria_label: t!("timeline"),
                div { class: "empty-words",
                    Icon { name: IconName::Microphone }
                    p { {t!("timeline-empty")} }
                }
            }
        } else if searching {
            Found { wanted: search.read().trim().to_lowercase(), earlier: earlier.zip(room) }
        } else if let Some(room) = room {
            Scrolled { key: "{room}", room, earlier, full }
        }
    }
}

/// Asks for what came before, once.
fn ask_earlier(host: &Host, mut asked: Signal<Option<Cursor>>, room: RoomId, before: Cursor) {
    asked.set(Some(before));
    host.ask(Ask::Earlier { room, before });
}

#[component]
fn Scrolled(room: RoomId, earlier: Option<Cursor>, full: bool) -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let heights = use_hook(Heights::default);
    let mut measured = use_signal(|| 0_u32);
    let mut place = use_signal(|| Place { up: 0.0, seen: VIEW_HEIGHT });
    let asked = use_signal(|| None::<Cursor>);
    let known = Rc::clone(&heights);
    let window = use_memo(move || {
        measured.read();
        let view = ui.view.read();
        let Some(room) = view.rooms.get(&room) else { return Window::default() };
        Window::of(room, *place.read(), &known.borrow())
    });
    let waiting = use_memo(move || {
        let view = ui.view.read();
        view.rooms.get(&room).map(|room| room.timeline.waiting().to_vec()).unwrap_or_default()
    });
    let fetch = host.clone();
    use_effect(use_reactive((&earlier,), move |(earlier,)| {
        let near = window.read().at_top;
        if let Some(before) = earlier.filter(|before| near && *asked.peek() != Some(*before)) {
            ask_earlier(&fetch, asked, room, before);
        }
    }));
    let Window { chunks, above, below, at_top, .. } = window.read().clone();
    let fetching = earlier.is_some() && *asked.read() == earlier;
    rsx! {
        section {
            class: "timeline", tabindex: "0", aria_label: t!("timeline"), "data-keys": "scroll",
            onscroll: move |event| {
                // Upwards is negative in a list that is anchored at its bottom.
                let now = Place { up: (-event.scroll_top()).max(0.0), seen: f64::from(event.client_height()) };
                let before = *place.peek();
                // What is drawn reaches far enough for less.
                if (now.up - before.up).abs() > BEYOND / 4.0 || now.up == 0.0 || (now.seen - before.seen).abs() > 1.0 {
                    place.set(now);
                }
            },
            div { class: "items",
                if at_top && let Some(before) = earlier {
                    p { class: "item earlier",
                        button {
                            class: "button quiet", r#type: "button",
                            onclick: move |_| ask_earlier(&host, asked, room, before),
                            if fetching { {t!("timeline-fetching")} } else { {t!("timeline-earlier")} }
                        }
                    }
                }
                if at_top && full {
                    p { class: "item note", {t!("timeline-full")} }
                }
                if above > 0.0 {
                    div { class: "space", height: "{above}px" }
                }
                for chunk in chunks {
                    ol {
                        key: "{chunk}", class: "chunk",
                        onresize: {
                            let heights = Rc::clone(&heights);
                            move |event: ResizeEvent| {
                                let Ok(size) = event.get_border_box_size() else { return };
                                let before = heights.borrow_mut().insert(chunk, size.height);
                                if before.is_none_or(|before| (before - size.height).abs() >= 1.0) {
                                    measured += 1;
                                }
                            }
                        },
                        Chunk { room, chunk }
                    }
                }
                if below > 0.0 {
                    div { class: "space", height: "{below}px" }
                }
                if !waiting.read().is_empty() {
                    ol { class: "chunk",
                        for item in waiting.read().iter().cloned() {
                            Line { key: "{item.key()}", room, item }
                        }
                    }
                }
            }
        }
    }
}

#[component]
fn Chunk(room: RoomId, chunk: i64) -> Element {
    let ui = use_context::<Ui>();
    let items = use_memo(use_reactive((&chunk,), move |(chunk,)| {
        let view = ui.view.read();
        view.rooms.get(&room).map(|room| room.timeline.chunk(chunk)).unwrap_or_default()
    }));
    rsx! {
        for item in items.read().iter().cloned() {
            Line { key: "{item.key()}", room, item }
        }
    }
}

/// What is here of what is searched, the newest at the bottom.
#[component]
fn Found(wanted: String, earlier: Option<(Cursor, RoomId)>) -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let found = use_memo(use_reactive((&wanted,), move |(wanted,)| {
        let view = ui.view.read();
        let Some(room) = view.room() else { return (Vec::new(), false) };
        let matching = |item: &&Item| is_found(&view, item, &wanted);
        let mut items: Vec<Item> = room.timeline.iter().rev().filter(matching).take(FOUND_MAX + 1).cloned().collect();
        let more = items.len() > FOUND_MAX;
        items.truncate(FOUND_MAX);
        items.reverse();
        (items, more)
    }));
    let Some(room) = ui.view.peek().open else { return rsx! {} };
    let (items, more) = found.read().clone();
    rsx! {
        section { class: "timeline", tabindex: "0", aria_label: t!("timeline"),
            div { class: "items",
                if more {
                    p { class: "item note", {t!("search-more", count = FOUND_MAX)} }
                } else if let Some((before, room)) = earlier {
                    p { class: "item earlier",
                        button {
                            class: "button quiet", r#type: "button",
                            onclick: move |_| host.ask(Ask::Earlier { room, before }),
                            {t!("search-earlier")}
                        }
                    }
                }
                if items.is_empty() {
                    p { class: "item note", role: "status", {t!("timeline-no-match")} }
                }
                ol { class: "chunk",
                    for item in items {
                        Line { key: "{item.key()}", room, item }
                    }
                }
            }
        }
    }
}

/// Whether `wanted`, in lower case, is in what was written or in who it is of.
fn is_found(view: &View, item: &Item, wanted: &str) -> bool {
    let has = |text: &str| text.to_lowercase().contains(wanted);
    match item {
        Item::Text(text) => text.text.as_deref().is_some_and(has) || has(&view.name(text.user)),
        Item::Burst(burst) => has(&view.name(burst.user)),
        Item::Emergency { user, .. } | Item::Seen { user, .. } => has(&view.name(*user)),
        Item::Gap { .. } => false,
    }
}
