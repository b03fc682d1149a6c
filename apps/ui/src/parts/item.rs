//! One line of the timeline: a text, or what else happened. Bursts are in `burst`.

use crate::act::act;
use dioxus::prelude::*;
use holler_core::model::Role;
use holler_core::units::{ClientId, RoomId, Seq};

use super::burst::burst_line;
use super::{Icon, IconName};
use crate::port::{Ask, Host};
use crate::state::{Compose, Item, RoomView, SeenHere, Taken, Text, View};
use crate::{Ui, t};

/// What somebody is called here.
pub(super) fn called(ui: Ui, user: holler_core::units::UserId) -> String {
    let view = ui.view.peek();
    if view.me() == Some(user) { t!("you") } else { view.name(user) }
}

/// An item with what of the rest of the view it shows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    pub(super) room: RoomId,
    pub(super) item: Item,
    /// What it answers, in words.
    quote: Option<String>,
    /// It is being played.
    playing: bool,
}

impl Row {
    pub(super) fn of(view: &View, room: &RoomView, item: Item) -> Self {
        let (quote, playing) = match &item {
            Item::Text(text) => (text.reply_to.map(|target| quote(view, room, target)), false),
            Item::Burst(burst) => (None, view.replaying == Some(burst.burst)),
            Item::Emergency { .. } | Item::Seen { .. } | Item::Gap { .. } => (None, false),
        };
        Self { room: room.id, item, quote, playing }
    }
}

/// What an answer answers.
pub(super) fn quote(view: &View, room: &RoomView, target: Seq) -> String {
    let Some((user, text)) = room.timeline.quote(target) else { return t!("quote-earlier") };
    let name = if view.me() == Some(user) { t!("you") } else { view.name(user) };
    t!("quote", name = name, text = text.unwrap_or_else(|| t!("text-deleted")))
}

#[component]
pub(super) fn Line(row: Row) -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    // Of a text: what can be done about it is shown, and whether it is to be taken back was asked.
    let open = use_signal(|| 0_u32);
    let Row { room, item, quote, playing } = row;
    match item {
        Item::Text(text) => text_line(ui, host, open, room, text, quote),
        Item::Burst(burst) => burst_line(ui, &host, room, &burst, playing),
        Item::Emergency { user, at, raised, .. } => {
            let (own, name, time) = (ui.view.peek().me() == Some(user), called(ui, user), host.clock(at));
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
        Item::Seen { user, at, what, .. } => {
            let name = called(ui, user);
            let words = match what {
                SeenHere::Joined => t!("event-joined", name = name),
                SeenHere::Left => t!("event-left", name = name),
                SeenHere::Role(Role::Listener) => t!("event-role-listener"),
                SeenHere::Role(Role::Talker) => t!("event-role-talker"),
                SeenHere::Role(Role::Dispatcher) => t!("event-role-dispatcher"),
                SeenHere::Role(Role::Admin) => t!("event-role-admin"),
            };
            let words = match at {
                Some(at) => t!("event-at", time = host.clock(at), what = words),
                None => t!("event-away", what = words),
            };
            rsx! {
                li { class: "item note",
                    Icon { name: IconName::Person }
                    "{words}"
                }
            }
        }
        Item::Gap { .. } => rsx! {
            li { class: "item note", {t!("timeline-gap")} }
        },
    }
}

fn text_line(
    mut ui: Ui,
    host: Host,
    mut open: Signal<u32>,
    room: RoomId,
    text: Text,
    quote: Option<String>,
) -> Element {
    let Text { seq, user, at, text, edited, changing, put_off, refused, reach, .. } = text;
    let (name, time) = (called(ui, user), host.clock(at));
    let state = match (&refused, seq) {
        (Some(refused), None) => t!("text-refused", reason = refused.as_str()),
        (Some(refused), Some(_)) => t!("text-change-refused", reason = refused.as_str()),
        (None, _) if let Some(reason) = &put_off => t!("text-put-off", reason = reason.as_str()),
        (None, None) => t!("text-waiting"),
        (None, Some(_)) if changing.is_some() => t!("text-changing"),
        (None, Some(_)) => {
            let reach = reach.map(|reach| reach.words(Taken::Read)).unwrap_or_default();
            match (edited, reach.is_empty()) {
                (true, true) => t!("text-edited"),
                (true, false) => format!("{} · {reach}", t!("text-edited")),
                (false, _) => reach,
            }
        }
    };
    let (may_write, mine, may_delete) = {
        let view = ui.view.peek();
        let mine = view.me() == Some(user);
        let room = view.rooms.get(&room);
        let may_write = room.is_some_and(|room| !room.gone && room.role.is_some_and(|role| role >= Role::Talker));
        (may_write, mine, mine || room.is_some_and(RoomView::may_delete_others))
    };
    let words = text.clone().unwrap_or_default();
    let target = seq.filter(|_| may_write && text.is_some() && changing.is_none());
    rsx! {
        li { class: if seq.is_none() { "item text waiting" } else { "item text" },
            div { class: "item-words",
                p { class: "item-head",
                    span { class: "item-name", "{name}" }
                    time { class: "soft small", "{time}" }
                    if !state.is_empty() {
                        span { class: if refused.is_some() { "small wrong" } else { "small soft" }, "{state}" }
                    }
                }
                if let Some(quote) = quote {
                    p { class: "quote small soft", dir: "auto", "{quote}" }
                }
                // Text is text: it is set as such, and nothing in it is ever taken for markup.
                if let Some(text) = text {
                    p { class: "item-text", dir: "auto", "{text}" }
                } else {
                    p { class: "item-text soft", {t!("text-deleted")} }
                }
                if *open.read() > 0 && let Some(target) = target {
                    div { class: "actions",
                        button {
                            class: "button", r#type: "button",
                            onclick: act(move |_| {
                                open.set(0);
                                ui.view.write().compose = Some(Compose::Reply(target));
                            }),
                            Icon { name: IconName::Reply }
                            {t!("text-reply")}
                        }
                        if mine {
                            button {
                                class: "button", r#type: "button",
                                onclick: act(move |_| {
                                    open.set(0);
                                    ui.draft.set(words.clone());
                                    ui.view.write().compose = Some(Compose::Edit(target));
                                }),
                                Icon { name: IconName::Edit }
                                {t!("text-edit")}
                            }
                        }
                        if may_delete {
                            button {
                                class: "button", r#type: "button",
                                onclick: act(move |_| {
                                    // It can't be undone: one tap is not enough.
                                    if *open.peek() < 2 {
                                        return open.set(2);
                                    }
                                    open.set(0);
                                    let client_id = ClientId::from_bytes(host.random());
                                    if let Some(room) = ui.view.write().rooms.get_mut(&room) {
                                        room.change(target, client_id);
                                    }
                                    host.ask(Ask::Change { room, client_id, target, text: None });
                                }),
                                Icon { name: IconName::Close }
                                if *open.read() == 2 { {t!("text-delete-sure")} } else { {t!("text-delete")} }
                            }
                        }
                    }
                }
            }
            if target.is_some() {
                button {
                    class: "icon-button more", r#type: "button", aria_expanded: if *open.read() > 0 { "true" } else { "false" },
                    aria_label: t!("text-actions", name = name, time = time),
                    onclick: act(move |_| {
                        let next = u32::from(*open.peek() == 0);
                        open.set(next);
                    }),
                    Icon { name: IconName::Dots }
                }
            }
        }
    }
}
