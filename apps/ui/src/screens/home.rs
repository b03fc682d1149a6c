//! Rooms, and the room that is looked at: side by side where there is room, one after the other on a phone.

use dioxus::prelude::*;

use crate::parts::{Composer, Faults, Icon, IconName, LinkLine, LiveRegion, RoomRow, TalkPanel, Timeline};
use crate::port::{Ask, Host};
use crate::{Ui, release};

/// Everything after the sign-in.
#[component]
pub fn Home() -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let up = host.clone();
    let open = use_memo(move || ui.view.read().open);
    // A wide screen shows a room at once; on a phone the list comes first.
    let place = if open.read().is_some() { "home in-room" } else { "home in-list" };
    rsx! {
        div {
            class: place,
            onpointerup: move |_| release(ui, &up),
            onpointercancel: move |_| release(ui, &host),
            Rooms {}
            if open.read().is_some() {
                main { class: "room",
                    RoomHead {}
                    Faults {}
                    Timeline {}
                    Composer {}
                }
                TalkPanel {}
            } else {
                main { class: "room empty",
                    Faults {}
                    div { class: "empty-words",
                        Icon { name: IconName::Room }
                        p { "Choose a room to hear it first and to talk in it." }
                        p { class: "soft small", "You hear all your rooms; where two talk at once, the one you look at plays." }
                    }
                }
            }
            LiveRegion {}
        }
    }
}

#[component]
fn Rooms() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let head = use_memo(move || {
        let view = ui.view.read();
        let ids: Vec<_> = view.by_name().into_iter().map(|room| room.id).collect();
        (view.workspace.clone(), ids, view.loaded, view.me().map(|me| view.name(me)).unwrap_or_default())
    });
    let (workspace, ids, loaded, me) = head.read().clone();
    rsx! {
        nav { class: "rooms", aria_label: "Rooms",
            header { class: "rooms-head",
                h1 { class: "workspace", if workspace.is_empty() { "Holler" } else { "{workspace}" } }
                LinkLine {}
            }
            if ids.is_empty() {
                p { class: "soft pad",
                    if loaded { "You are in no room yet. An admin can add you to one." } else { "Fetching your rooms …" }
                }
            }
            ul { class: "room-list",
                for id in ids {
                    RoomRow { key: "{id}", id }
                }
            }
            footer { class: "rooms-foot",
                span { class: "who", Icon { name: IconName::Person } span { "{me}" } }
                button {
                    class: "button quiet", r#type: "button",
                    onclick: move |_| {
                        ui.view.write().look_at(None);
                        host.ask(Ask::SignOut);
                    },
                    "Sign out"
                }
            }
        }
    }
}

#[component]
fn RoomHead() -> Element {
    let mut ui = use_context::<Ui>();
    let head = use_memo(move || {
        let view = ui.view.read();
        view.room().map(|room| {
            let people = if room.members == 1 { "1 person".to_owned() } else { format!("{} people", room.members) };
            (room.name.clone(), people, room.refused.clone())
        })
    });
    let Some((name, people, refused)) = head.read().clone() else { return rsx! {} };
    rsx! {
        header { class: "room-head",
            button {
                class: "icon-button back", r#type: "button", aria_label: "Back to the rooms",
                onclick: move |_| ui.view.write().look_at(None),
                Icon { name: IconName::Back }
            }
            div {
                h1 { "{name}" }
                p { class: "soft small",
                    if let Some(refused) = refused { "This room can't be followed: {refused}" } else { "{people}" }
                }
            }
        }
    }
}
