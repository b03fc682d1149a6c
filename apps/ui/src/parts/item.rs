//! One line of the timeline: a text, or what else happened. Bursts are in `burst`.

use dioxus::prelude::*;
use holler_core::model::Role;
use holler_core::units::{ClientId, RoomId, Seq};

use super::burst::BurstLine;
use super::{Icon, IconName};
use crate::port::{Ask, Host};
use crate::state::{Compose, Item, SeenHere, Taken, Text};
use crate::{Ui, t};

/// What somebody is called here.
pub(super) fn called(ui: Ui, user: holler_core::units::UserId) -> String {
    let view = ui.view.peek();
    if view.me() == Some(user) { t!("you") } else { view.name(user) }
}

#[component]
pub(super) fn Line(room: RoomId, item: Item) -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    match item {
        Item::Text(text) => rsx! { TextLine { room, text } },
        Item::Burst(burst) => rsx! { BurstLine { room, burst } },
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

/// What an answer answers.
#[component]
fn Quote(room: RoomId, target: Seq) -> Element {
    let ui = use_context::<Ui>();
    let quote = use_memo(move || {
        let view = ui.view.read();
        let quoted = view.rooms.get(&room).and_then(|room| room.timeline.quote(target));
        quoted.map(|(user, text)| (if view.me() == Some(user) { t!("you") } else { view.name(user) }, text))
    });
    let words = match quote.read().clone() {
        Some((name, Some(text))) => t!("quote", name = name, text = text),
        Some((name, None)) => t!("quote", name = name, text = t!("text-deleted")),
        None => t!("quote-earlier"),
    };
    rsx! {
        p { class: "quote small soft", dir: "auto", "{words}" }
    }
}

#[component]
fn TextLine(room: RoomId, text: Text) -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let mut open = use_signal(|| false);
    let mut sure = use_signal(|| false);
    let Text { seq, user, at, text, edited, reply_to, changing, refused, reach, .. } = text;
    let (name, time) = (called(ui, user), host.clock(at));
    let state = match (&refused, seq) {
        (Some(refused), None) => t!("text-refused", reason = refused.as_str()),
        (Some(refused), Some(_)) => t!("text-change-refused", reason = refused.as_str()),
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
        (may_write, mine, mine || room.is_some_and(crate::state::RoomView::may_delete_others))
    };
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
                if let Some(target) = reply_to {
                    Quote { room, target }
                }
                // Text is text: it is set as such, and nothing in it is ever taken for markup.
                if let Some(text) = text {
                    p { class: "item-text", dir: "auto", "{text}" }
                } else {
                    p { class: "item-text soft", {t!("text-deleted")} }
                }
                if *open.read() && let Some(target) = target {
                    div { class: "actions",
                        button {
                            class: "button", r#type: "button",
                            onclick: move |_| {
                                open.set(false);
                                ui.view.write().compose = Some(Compose::Reply(target));
                            },
                            Icon { name: IconName::Reply }
                            {t!("text-reply")}
                        }
                        if mine {
                            button {
                                class: "button", r#type: "button",
                                onclick: move |_| {
                                    open.set(false);
                                    ui.view.write().compose = Some(Compose::Edit(target));
                                },
                                Icon { name: IconName::Edit }
                                {t!("text-edit")}
                            }
                        }
                        if may_delete {
                            button {
                                class: "button", r#type: "button",
                                onclick: move |_| {
                                    // It can't be undone: one tap is not enough.
                                    if !sure() {
                                        return sure.set(true);
                                    }
                                    open.set(false);
                                    sure.set(false);
                                    let client_id = ClientId::from_bytes(host.random());
                                    if let Some(room) = ui.view.write().rooms.get_mut(&room) {
                                        room.change(target, client_id);
                                    }
                                    host.ask(Ask::Change { room, client_id, target, text: None });
                                },
                                Icon { name: IconName::Close }
                                if *sure.read() { {t!("text-delete-sure")} } else { {t!("text-delete")} }
                            }
                        }
                    }
                }
            }
            if target.is_some() {
                button {
                    class: "icon-button more", r#type: "button", aria_expanded: "{open}",
                    aria_label: t!("text-actions", name = name, time = time),
                    onclick: move |_| {
                        sure.set(false);
                        open.toggle();
                    },
                    Icon { name: IconName::Dots }
                }
            }
        }
    }
}
