//! What was said and written in a room: of up to 50,000 items only those near what is looked at are drawn.
//!
//! The list is anchored at its bottom (`column-reverse`): how far it is scrolled counts from there, so that older items in front move
//! nothing. Items are drawn in chunks; a chunk that is not drawn is stood for by a space as high as it was when it was, or as an
//! average one. Space bar and arrow keys scroll as in any page, and whatever comes near is fetched by itself.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::act::act;
use crate::memo::use_memo;
use dioxus::prelude::*;
use holler_core::units::{Cursor, RoomId};

use super::item::{Line, Row};
use super::{Icon, IconName};
use crate::port::{Ask, Host};
use crate::state::{CHUNK, Item, RoomView, View};
use crate::{Ui, t};

/// How far beyond what is looked at is drawn, in pixels: a second of fast scrolling.
const BEYOND: f64 = 900.0;
/// What is looked at of a list.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Place {
    /// How far one has scrolled from the bottom, in pixels.
    up: f64,
    /// How much one sees, in pixels.
    seen: f64,
    /// The list was flung past everything that was drawn. Until it is slower, nothing is drawn beyond what is seen: at the next
    /// step it would be gone again.
    flung: bool,
}

impl Place {
    fn beyond(self) -> f64 {
        if self.flung { 0.0 } else { BEYOND }
    }

    /// The place after a step; `None`: what is drawn reaches far enough.
    fn step(self, up: f64, seen: f64) -> Option<Self> {
        let far = (up - self.up).abs();
        let moved = far > self.beyond() / 4.0 || up == 0.0 || (seen - self.seen).abs() > 1.0;
        moved.then_some(Self { up, seen, flung: far > seen + BEYOND })
    }
}

/// How high an item is taken to be before it was drawn, in pixels.
const ITEM_HEIGHT: f64 = 58.0;
/// How high what is looked at is taken to be before it was scrolled, in pixels.
const VIEW_HEIGHT: f64 = 1_000.0;
/// Most items that a search shows.
const FOUND_MAX: usize = 150;

/// How high each chunk was when it was drawn last; 0: it never was.
#[derive(Default)]
struct Heights {
    room: Option<RoomId>,
    px: Vec<f64>,
}

impl Heights {
    /// Chunks are numbered to both sides of the first one that was here.
    fn at(chunk: i64) -> usize {
        usize::try_from(if chunk < 0 { -2 * chunk - 1 } else { 2 * chunk }).unwrap_or(0)
    }

    fn of(&self, chunk: i64) -> Option<f64> {
        self.px.get(Self::at(chunk)).copied().filter(|px| *px > 0.0)
    }

    /// `true`: it was of another height before.
    fn set(&mut self, chunk: i64, px: f64) -> bool {
        let at = Self::at(chunk);
        if self.px.len() <= at {
            self.px.resize(at + 1, 0.0);
        }
        (core::mem::replace(&mut self.px[at], px) - px).abs() >= 1.0
    }
}

/// What is drawn.
#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    room: Option<RoomId>,
    last: Option<Ask>,
    missed: usize,
    any: bool,
    earlier: Option<Cursor>,
    full: bool,
    searching: bool,
    /// More was found than is shown.
    more: bool,
    chunks: Vec<(i64, Vec<Row>)>,
    /// The height of what is not drawn.
    above: f64,
    below: f64,
    /// The oldest that is here is near.
    at_top: bool,
    waiting: Vec<Row>,
}

impl Known {
    fn of(view: &View, wanted: &str, place: Place, heights: &Heights) -> Self {
        let Some(room) = view.room() else { return Self::default() };
        let replay = |(burst, frame_ms)| view.replay(room.id, burst, frame_ms, 0);
        let mut known = Self {
            room: Some(room.id),
            last: room.timeline.last_burst().map(replay),
            missed: room.timeline.missed().count(),
            any: !room.timeline.is_empty(),
            earlier: room.earlier(),
            full: room.timeline.is_full(),
            searching: !wanted.is_empty(),
            at_top: true,
            ..Self::default()
        };
        if known.searching {
            let matching = |item: &&Item| is_found(view, item, wanted);
            let mut found: Vec<Row> = room
                .timeline
                .iter()
                .rev()
                .filter(matching)
                .take(FOUND_MAX + 1)
                .map(|item| Row::of(view, room, item.clone()))
                .collect();
            known.more = found.len() > FOUND_MAX;
            found.truncate(FOUND_MAX);
            found.reverse();
            known.chunks.push((0, found));
        } else {
            known.near(view, room, place, heights);
            let waiting = room.timeline.waiting().iter();
            known.waiting = waiting.map(|item| Row::of(view, room, item.clone())).collect();
        }
        known
    }

    fn near(&mut self, view: &View, room: &RoomView, place: Place, heights: &Heights) {
        let (low, high) = (place.up - place.beyond(), place.up + place.seen + place.beyond());
        let (first, end) = room.timeline.chunks();
        let mut bottom = 0.0;
        for chunk in (first..end).rev() {
            let items = u32::try_from(room.timeline.chunk_len(chunk)).unwrap_or(0);
            // The first and the last chunk grow: what they were high before does not hold.
            let whole = i64::from(items) == CHUNK;
            let px = heights.of(chunk).filter(|_| whole);
            let top = bottom + px.unwrap_or(f64::from(items) * ITEM_HEIGHT);
            if top < low {
                self.below = top;
            } else if bottom > high {
                self.above += top - bottom;
                self.at_top = false;
            } else {
                let rows = room.timeline.chunk(chunk).into_iter().map(|item| Row::of(view, room, item));
                self.chunks.push((chunk, rows.collect()));
            }
            bottom = top;
        }
        self.chunks.reverse();
    }
}

/// The room's timeline, the newest at the bottom.
#[component]
pub fn Timeline() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let mut search = use_signal(String::new);
    let mut measured = use_signal(|| 0_u32);
    let mut place = use_signal(|| Place { up: 0.0, seen: VIEW_HEIGHT, flung: false });
    let kept = use_hook(|| Rc::new((RefCell::new(Heights::default()), Cell::new(None::<Cursor>))));
    let heights = Rc::clone(&kept);
    let known = use_memo(move || {
        measured.read();
        let view = ui.view.read();
        let mut heights = heights.0.borrow_mut();
        if heights.room != view.open {
            *heights = Heights { room: view.open, px: Vec::new() };
        }
        Known::of(&view, &search.read().trim().to_lowercase(), *place.read(), &heights)
    });
    let Known { room, last, missed, any, earlier, full, searching, more, chunks, above, below, at_top, waiting } =
        known.read().clone();
    let Some(room) = room else { return rsx! {} };
    // What comes near is fetched by itself, once; after a failure the button does it again.
    if let Some(before) = earlier.filter(|before| at_top && !searching && kept.1.get() != Some(*before)) {
        kept.1.set(Some(before));
        host.ask(Ask::Earlier { room, before });
    }
    let fetching = earlier.is_some() && kept.1.get() == earlier && !searching;
    let echo = ui.view.peek().room().is_some_and(|room| room.is_echo());
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
                        onclick: act(move |_| {
                            let next = ui.view.write().play_missed();
                            if let Some(next) = next {
                                missed_host.ask(next);
                            }
                        }),
                        Icon { name: IconName::Play }
                        {t!("play-missed", count = missed)}
                    }
                }
                if let Some(last) = last {
                    button {
                        class: "button", r#type: "button", onclick: act(move |_| again.ask(last.clone())),
                        Icon { name: IconName::Again }
                        {t!("play-last")}
                    }
                }
            }
        }
        section {
            class: "timeline", tabindex: "0", aria_label: t!("timeline"),
            onscroll: move |event| {
                // Upwards is negative in a list that is anchored at its bottom.
                let step = place.peek().step((-event.scroll_top()).max(0.0), f64::from(event.client_height()));
                if let Some(now) = step {
                    place.set(now);
                }
            },
            if !any {
                div { class: "empty-words",
                    Icon { name: IconName::Microphone }
                    p { if echo { {t!("echo-hint")} } else { {t!("timeline-empty")} } }
                }
            } else {
                div { class: "items",
                    if more {
                        p { class: "item note", {t!("search-more", count = FOUND_MAX)} }
                    } else if at_top && let Some(before) = earlier {
                        p { class: "item earlier",
                            button {
                                class: "button quiet", r#type: "button",
                                onclick: act(move |_| host.ask(Ask::Earlier { room, before })),
                                if searching {
                                    {t!("search-earlier")}
                                } else if fetching {
                                    {t!("timeline-fetching")}
                                } else {
                                    {t!("timeline-earlier")}
                                }
                            }
                        }
                    }
                    if at_top && full {
                        p { class: "item note", {t!("timeline-full")} }
                    }
                    if searching && chunks.iter().all(|(_, rows)| rows.is_empty()) {
                        p { class: "item note", role: "status", {t!("timeline-no-match")} }
                    }
                    if above > 0.0 {
                        div { class: "space", height: "{above}px" }
                    }
                    for (chunk, rows) in chunks {
                        ol {
                            key: "{chunk}", class: "chunk",
                            onresize: {
                                let kept = Rc::clone(&kept);
                                move |event: ResizeEvent| {
                                    if let Ok(size) = event.get_border_box_size()
                                        && !searching
                                        && kept.0.borrow_mut().set(chunk, size.height)
                                    {
                                        measured += 1;
                                    }
                                }
                            },
                            for row in rows {
                                Line { key: "{row.item.key()}", row }
                            }
                        }
                    }
                    if below > 0.0 {
                        div { class: "space", height: "{below}px" }
                    }
                    if !waiting.is_empty() {
                        ol { class: "chunk",
                            for row in waiting {
                                Line { key: "{row.item.key()}", row }
                            }
                        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_is_flung_draws_what_is_seen_and_more_once_it_is_slower() {
        let still = Place { up: 0.0, seen: 600.0, flung: false };
        assert_eq!(still.step(100.0, 600.0), None, "what is drawn reaches far enough");
        let slow = still.step(300.0, 600.0).unwrap();
        assert_eq!((slow.flung, slow.beyond()), (false, BEYOND));
        let flung = slow.step(20_000.0, 600.0).unwrap();
        assert_eq!((flung.flung, flung.beyond()), (true, 0.0));
        let slower = flung.step(20_001.0, 600.0).unwrap();
        assert_eq!((slower.flung, slower.beyond()), (false, BEYOND), "a step of a pixel draws the rest");
    }
}
