//! What waits to be delivered, piece by piece: to be heard, to be sent now, or to be dropped.

use crate::act::act;
use crate::memo::use_memo;
use dioxus::prelude::*;

use crate::parts::{Faults, Icon, IconName};
use crate::port::{Ask, Host, Waiting, Waits, WaitsWhat};
use crate::{Ui, t};

/// The queue.
#[component]
pub fn Queue() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let waits = use_memo(move || {
        let view = ui.view.read();
        let named = |waits: &Waits| {
            let room = view.rooms.get(&waits.room).map(|room| room.title()).unwrap_or_default();
            (waits.clone(), room)
        };
        view.waits.iter().map(named).collect::<Vec<_>>()
    });
    let list = waits.read().clone();
    rsx! {
        main { class: "room settings", aria_label: t!("queue"),
            header { class: "room-head",
                button {
                    class: "icon-button", r#type: "button", aria_label: t!("back"),
                    onclick: act(move |_| ui.view.write().queue_open = false),
                    Icon { name: IconName::Back }
                }
                h1 { {t!("queue")} }
            }
            Faults {}
            div { class: "settings-body",
                section { class: "card stack",
                    if list.is_empty() {
                        p { class: "soft", {t!("queue-empty")} }
                    } else {
                        p { class: "soft small", {t!("queue-about")} }
                        button {
                            class: "button", r#type: "button", onclick: act(move |_| host.ask(Ask::Connect)),
                            {t!("queue-try")}
                        }
                    }
                }
                ul { class: "settings-body queue",
                    for (waits, room) in list {
                        Piece { key: "{waits.what:?}", waits, room }
                    }
                }
            }
        }
    }
}

/// One of them. What is dropped is gone for good: it is asked twice.
#[component]
fn Piece(waits: Waits, room: String) -> Element {
    let host = use_context::<Host>();
    let mut sure = use_signal(|| false);
    let since = host.clock(waits.since);
    let (words, burst, drop) = match &waits.what {
        WaitsWhat::Text { client_id, text } => (text.clone(), None, Some(Waiting::DropText(*client_id))),
        WaitsWhat::Burst { burst, length_ms, cut } => {
            let words = match length_ms {
                None => t!("queue-speaking"),
                Some(ms) => {
                    let length = format!("{}.{}", ms / 1_000, ms % 1_000 / 100);
                    if *cut { t!("queue-burst-cut", seconds = length) } else { t!("queue-burst", seconds = length) }
                }
            };
            let ended = length_ms.is_some();
            (words, ended.then_some(*burst), ended.then_some(Waiting::DropBurst(*burst)))
        }
    };
    let (play, send, drops) = (host.clone(), host.clone(), host);
    rsx! {
        li { class: "card stack waits",
            p { class: "waits-words", "{words}" }
            p { class: "soft small",
                if waits.held {
                    {t!("queue-piece-held", room = room, since = since)}
                } else {
                    {t!("queue-piece", room = room, since = since)}
                }
            }
            div { class: "actions",
                if let Some(burst) = burst {
                    button {
                        class: "button", r#type: "button", onclick: act(move |_| play.ask(Ask::Waiting(Waiting::Play(burst)))),
                        {t!("queue-play")}
                    }
                    button {
                        class: "button", r#type: "button", onclick: act(move |_| send.ask(Ask::Waiting(Waiting::Send(burst)))),
                        {t!("queue-send")}
                    }
                }
                if let Some(drop) = drop {
                    button {
                        class: "button", r#type: "button",
                        onclick: act(move |_| if *sure.peek() { drops.ask(Ask::Waiting(drop)) } else { sure.set(true) }),
                        if *sure.read() { {t!("queue-drop-sure")} } else { {t!("queue-drop")} }
                    }
                }
            }
        }
    }
}
