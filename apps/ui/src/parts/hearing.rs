//! What is heard, and how loud: a room, a person.

use crate::act::act;
use crate::memo::use_memo;
use dioxus::prelude::*;
use holler_core::units::{RoomId, UserId};

use super::{Icon, IconName};
use crate::port::{Ask, Host};
use crate::state::{Settings, VOLUME_MAX};
use crate::{Ui, t};

/// Changes a setting here and at the host.
pub(crate) fn set(mut ui: Ui, host: &Host, change: impl FnOnce(&mut Settings)) {
    change(&mut ui.view.write().settings);
    let settings = ui.view.peek().settings.clone();
    host.ask(Ask::Set(settings));
}

/// Silences the room that is looked at, or lets it be heard again.
#[component]
pub fn MuteRoom() -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let known = use_memo(move || {
        let view = ui.view.read();
        view.room().map(|room| (room.id, room.title(), view.settings.muted.contains(&room.id)))
    });
    let Some((room, name, muted)) = known.read().clone() else { return rsx! {} };
    rsx! {
        button {
            class: "icon-button mute", r#type: "button", aria_pressed: "{muted}", aria_label: t!("room-mute", room = name),
            title: if muted { t!("room-muted") } else { t!("room-heard") },
            onclick: act(move |_| {
                host.ask(Ask::Mute { room, muted: !muted });
                set(ui, &host, |settings| {
                    if muted {
                        settings.muted.remove(&room);
                    } else {
                        settings.muted.insert(room);
                    }
                });
            }),
            Icon { name: if muted { IconName::Muted } else { IconName::Speaker } }
        }
    }
}

/// How loud the room that is looked at is.
#[component]
pub fn RoomVolume() -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let known = use_memo(move || {
        let view = ui.view.read();
        let percent = |room: RoomId| view.settings.room_volumes.get(&room).copied().unwrap_or(100);
        view.room().map(|room| (room.id, percent(room.id)))
    });
    let Some((room, percent)) = *known.read() else { return rsx! {} };
    rsx! {
        label { class: "volume room-volume",
            span { {t!("room-volume")} }
            Slider { label: t!("room-volume"), percent, onchange: move |percent| set(ui, &host, |settings| settings.set_room_volume(room, percent)) }
        }
    }
}

/// How loud somebody is.
#[component]
pub fn PersonVolume(user: UserId, name: String) -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let percent = use_memo(move || ui.view.read().settings.people_volumes.get(&user).copied().unwrap_or(100));
    rsx! {
        span { class: "volume",
            Slider {
                label: t!("person-volume", name = name), percent: *percent.read(),
                onchange: move |percent| set(ui, &host, |settings| settings.set_volume_of(user, percent)),
            }
        }
    }
}

#[component]
fn Slider(label: String, percent: u8, onchange: EventHandler<u8>) -> Element {
    rsx! {
        input {
            r#type: "range", min: "0", max: "{VOLUME_MAX}", step: "10", value: "{percent}", aria_label: label,
            aria_valuetext: t!("percent", percent = u32::from(percent)),
            onchange: move |event: FormEvent| {
                if let Ok(percent) = event.value().parse() {
                    onchange.call(percent);
                }
            },
        }
    }
}
