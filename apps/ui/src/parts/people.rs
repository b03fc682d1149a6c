//! Who is in a room, and how each is.

use dioxus::prelude::*;
use holler_core::model::PresenceState;

use super::{Icon, IconName};
use crate::Ui;
use crate::state::Link;

/// States of a large room that are counted, in order.
const COUNTED: [(PresenceState, &str, &str); 6] = [
    (PresenceState::Available, "available", "Available"),
    (PresenceState::Solo, "solo", "Listen to one room"),
    (PresenceState::Busy, "busy", "Busy"),
    (PresenceState::Away, "away", "Away"),
    (PresenceState::Offline, "offline", "Offline"),
    (PresenceState::Unknown, "unknown", "Not known"),
];

/// The people of the room that is looked at.
#[component]
pub fn People() -> Element {
    let ui = use_context::<Ui>();
    let known = use_memo(move || {
        let view = ui.view.read();
        let now = *ui.now.read();
        let me = view.me();
        let people = view.people().map(|people| {
            let rows = people.into_iter().map(|(user, name, seen)| {
                let name = if me == Some(user) { format!("{name} (you)") } else { name };
                (user, name, seen.class(), seen.words(now))
            });
            rows.collect::<Vec<_>>()
        });
        let counts = view.room().and_then(|room| room.counts);
        (people, counts, view.link == Link::Up)
    });
    let (people, counts, up) = known.read().clone();
    rsx! {
        section { class: "people", tabindex: "0", aria_label: "People in this room",
            if !up {
                p { class: "small wrong pad", role: "status", "No connection: what is known of people runs out." }
            }
            if let Some(people) = people {
                ul {
                    for (user, name, class, words) in people {
                        li { key: "{user}", class: "person {class}",
                            span { class: "mark {class}", "aria-hidden": "true" }
                            span { class: "person-name", "{name}" }
                            span { class: "person-state soft small", "{words}" }
                        }
                    }
                }
            } else if let Some(counts) = counts {
                ul {
                    for (state, class, words) in COUNTED {
                        if counts.of(state) > 0 {
                            li { key: "{class}", class: "person {class}",
                                span { class: "mark {class}", "aria-hidden": "true" }
                                span { class: "person-name", "{counts.of(state)}" }
                                span { class: "person-state soft small", "{words}" }
                            }
                        }
                    }
                }
                p { class: "soft small pad", "So many people are counted, not listed." }
            } else {
                div { class: "empty-words",
                    Icon { name: IconName::Person }
                    p { class: "soft", "Asking who is here …" }
                }
            }
        }
    }
}
