//! Rooms, and the room that is looked at: side by side where there is room, one after the other on a phone.

use crate::act::act;
use crate::memo::use_memo;
use dioxus::prelude::*;

use holler_core::model::PresenceState;

use crate::parts::hearing::set;
use crate::parts::{
    Composer, Faults, Icon, IconName, Invite, LinkLine, LiveRegion, MuteRoom, People, RoomRow, TalkPanel, Timeline,
    TryMicrophone,
};
use crate::port::{Ask, Host, Microphone};
use crate::state::{Account, Panel, presence_words};
use crate::{Ui, look_at, release, t};

/// Everything after the sign-in.
#[component]
pub fn Home() -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let up = host.clone();
    let open = use_memo(move || ui.view.read().open);
    let panel = use_memo(move || ui.view.read().panel);
    let settings = use_memo(move || ui.view.read().settings_open);
    let quality = use_memo(move || ui.view.read().quality_open);
    let queue = use_memo(move || ui.view.read().queue_open);
    let gone = use_memo(move || ui.view.read().room().is_some_and(|room| room.gone));
    let invite = use_memo(move || ui.view.read().invite.is_some());
    let shown = *open.read();
    // A wide screen shows a room at once; on a phone the list comes first.
    let beside = *settings.read() || *quality.read() || *queue.read();
    let place = if open.read().is_some() || beside { "home in-room" } else { "home in-list" };
    rsx! {
        div {
            class: place,
            onpointerup: move |_| release(ui, &up),
            onpointercancel: move |_| release(ui, &host),
            Rooms {}
            if *queue.read() {
                super::Queue {}
            } else if *quality.read() {
                super::Quality {}
            } else if *settings.read() {
                super::Settings {}
            } else if open.read().is_some() {
                main { class: "room",
                    RoomHead {}
                    Faults {}
                    if *gone.read() {
                        Gone {}
                    }
                    if *panel.read() == Panel::People && !*gone.read() {
                        if *invite.read() {
                            Invite {}
                        } else {
                            People {}
                        }
                    } else {
                        Timeline { key: "{shown:?}" }
                        Composer {}
                    }
                }
                if !*gone.read() {
                    TalkPanel {}
                }
            } else {
                main { class: "room empty",
                    Faults {}
                    FirstSteps {}
                }
            }
            LiveRegion {}
        }
    }
}

/// The room that is looked at is there no more: why, and what to do.
#[component]
fn Gone() -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    rsx! {
        div { class: "banner note", role: "alert",
            Icon { name: IconName::No }
            p { {t!("room-gone")} }
            button {
                class: "button", r#type: "button", onclick: act(move |_| look_at(ui, &host, None)),
                {t!("rooms-back")}
            }
        }
    }
}

/// What to do before anything was done.
#[component]
fn FirstSteps() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let known = use_memo(move || {
        let view = ui.view.read();
        (view.loaded, view.rooms.is_empty(), view.microphone.clone())
    });
    let (loaded, no_rooms, microphone) = known.read().clone();
    if !loaded {
        return rsx! {};
    }
    let asks = host.clone();
    rsx! {
        div { class: "empty-words",
            Icon { name: IconName::Room }
            if !no_rooms {
                p { {t!("rooms-choose")} }
                p { class: "soft small", {t!("rooms-hear-all")} }
            }
            match microphone {
                Microphone::On => rsx! {
                    p { class: "done", Icon { name: IconName::Check } {t!("microphone-ready")} }
                    TryMicrophone {}
                },
                Microphone::Failed(words) => rsx! {
                    p { class: "wrong", "{words}" }
                },
                Microphone::Off | Microphone::Asking => rsx! {
                    p { class: "soft small", {t!("microphone-why")} }
                    button {
                        class: "button", r#type: "button", disabled: microphone == Microphone::Asking,
                        onclick: act(move |_| asks.ask(Ask::Microphone)),
                        Icon { name: IconName::Microphone }
                        if microphone == Microphone::Asking { {t!("microphone-asking")} } else { {t!("microphone-allow")} }
                    }
                },
            }
            button {
                class: "button", r#type: "button",
                onclick: act(move |_| {
                    let (me, known) = {
                        let view = ui.view.peek();
                        (view.me(), view.rooms.values().find(|room| room.is_echo()).map(|room| room.id))
                    };
                    if known.is_some() {
                        look_at(ui, &host, known);
                    } else if let Some(me) = me {
                        ui.view.write().opening = Some(me);
                        host.ask(Ask::Direct(me));
                    }
                }),
                Icon { name: IconName::Waves }
                {t!("echo-open")}
            }
            p { class: "soft small", {t!("echo-hint")} }
        }
    }
}

/// How the person is, as they say it.
#[component]
fn Own() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let own = use_memo(move || ui.view.read().own.unwrap_or(PresenceState::Available));
    const CHOICES: [(PresenceState, &str); 4] = [
        (PresenceState::Available, "available"),
        (PresenceState::Busy, "busy"),
        (PresenceState::Solo, "solo"),
        (PresenceState::Away, "away"),
    ];
    rsx! {
        select {
            class: "own", aria_label: t!("presence-own"),
            onchange: move |event| {
                let chosen = CHOICES.into_iter().find(|(_, word)| *word == event.value());
                if let Some((state, _)) = chosen {
                    let asks = ui.view.write().say(state);
                    asks.into_iter().for_each(|ask| host.ask(ask));
                    // Silence that was asked for is kept over a reload.
                    set(ui, &host, |_| {});
                }
            },
            for (state, word) in CHOICES {
                option { value: word, selected: state == *own.read(),
                    {match state {
                        PresenceState::Busy => t!("own-busy"),
                        PresenceState::Solo => t!("own-solo"),
                        PresenceState::Available
                        | PresenceState::Away
                        | PresenceState::Offline
                        | PresenceState::Unknown => presence_words(state),
                    }}
                }
            }
        }
    }
}

#[component]
fn Rooms() -> Element {
    let mut ui = use_context::<Ui>();
    let settings = use_context::<Host>();
    let head = use_memo(move || {
        let view = ui.view.read();
        let ids: Vec<_> = view.by_name().into_iter().map(|room| room.id).collect();
        let login = match &view.account {
            Account::SignedIn(identity) => identity.login.clone(),
            Account::Starting | Account::SignedOut { .. } => String::new(),
        };
        (view.workspace.clone(), ids, view.loaded, view.me().map(|me| view.name(me)).unwrap_or_default(), login)
    });
    let (workspace, ids, loaded, me, login) = head.read().clone();
    rsx! {
        nav { class: "rooms", aria_label: t!("rooms"),
            header { class: "rooms-head",
                h1 { class: "workspace", if workspace.is_empty() { "Holler" } else { "{workspace}" } }
                LinkLine {}
            }
            if ids.is_empty() {
                p { class: "soft pad",
                    if loaded {
                        {t!("rooms-none", login = login)}
                    } else {
                        {t!("rooms-fetching")}
                    }
                }
            }
            ul { class: "room-list",
                for id in ids {
                    RoomRow { key: "{id}", id }
                }
            }
            footer { class: "rooms-foot",
                span { class: "who", Icon { name: IconName::Person } span { "{me}" } }
                Own {}
                button {
                    class: "icon-button", r#type: "button", aria_label: t!("settings"),
                    onclick: act(move |_| {
                        let leaves = ui.view.write().leave();
                        ui.view.write().settings_open = true;
                        for ask in leaves.into_iter().chain([Ask::Devices]) {
                            settings.ask(ask);
                        }
                    }),
                    Icon { name: IconName::Settings }
                }
            }
        }
    }
}

#[component]
fn RoomHead() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let clock = host.clone();
    let head = use_memo(move || {
        let view = ui.view.read();
        view.room().map(|room| {
            let here = view
                .people()
                .map(|people| people.iter().filter(|(_, _, seen)| seen.is_here()).count())
                .or_else(|| room.counts.map(|counts| (counts.available + counts.busy + counts.solo) as usize));
            let people = match here {
                Some(here) => {
                    let all = room.people.as_ref().map_or(room.members as usize, Vec::len);
                    t!("room-here", here = here, all = all)
                }
                None => t!("room-people", count = room.members),
            };
            (room.title(), people, room.refused.clone(), view.panel == Panel::People)
        })
    });
    let Some((name, people, refused, shows_people)) = head.read().clone() else { return rsx! {} };
    rsx! {
        header { class: "room-head",
            button {
                class: "icon-button back", r#type: "button", aria_label: t!("rooms-back"),
                onclick: act(move |_| look_at(ui, &host, None)),
                Icon { name: IconName::Back }
            }
            div { class: "room-head-words",
                h1 { "{name}" }
                if let Some(refused) = refused {
                    p { class: "wrong small", {t!("room-refused", reason = refused)} }
                }
            }
            MuteRoom {}
            button {
                class: "button people-button", r#type: "button", aria_pressed: "{shows_people}",
                onclick: act(move |_| {
                    let panel = if shows_people { Panel::Timeline } else { Panel::People };
                    ui.view.write().panel = panel;
                    ui.now.set(clock.now_ms());
                }),
                Icon { name: IconName::Person }
                span { "{people}" }
            }
        }
    }
}
