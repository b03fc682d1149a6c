//! Who is in a room, and how each is.

use dioxus::prelude::*;
use holler_core::model::PresenceState;

use super::{Icon, IconName, PersonVolume, RoomVolume};
use crate::state::{Link, presence_class, presence_words};
use crate::{Ui, t};

/// States of a large room that are counted, in order.
const COUNTED: [PresenceState; 6] = [
    PresenceState::Available,
    PresenceState::Solo,
    PresenceState::Busy,
    PresenceState::Away,
    PresenceState::Offline,
    PresenceState::Unknown,
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
                let own = me == Some(user);
                let name = if own { t!("person-you", name = name) } else { name };
                (user, name, seen.class(), seen.words(now), own)
            });
            rows.collect::<Vec<_>>()
        });
        let counts = view.room().and_then(|room| room.counts);
        (people, counts, view.link == Link::Up)
    });
    let (people, counts, up) = known.read().clone();
    rsx! {
        section { class: "people", tabindex: "0", aria_label: t!("people"),
            RoomVolume {}
            if !up {
                p { class: "small wrong pad", role: "status", {t!("people-offline")} }
            }
            if let Some(people) = people {
                ul {
                    for (user, name, class, words, own) in people {
                        li { key: "{user}", class: "person {class}",
                            span { class: "mark {class}", "aria-hidden": "true" }
                            span { class: "person-name", "{name}" }
                            span { class: "person-state soft small", "{words}" }
                            if !own {
                                PersonVolume { user, name }
                            }
                        }
                    }
                }
            } else if let Some(counts) = counts {
                ul {
                    for state in COUNTED {
                        if counts.of(state) > 0 {
                            li { key: "{presence_class(state)}", class: "person {presence_class(state)}",
                                span { class: "mark {presence_class(state)}", "aria-hidden": "true" }
                                span { class: "person-name", "{counts.of(state)}" }
                                span { class: "person-state soft small", {presence_words(state)} }
                            }
                        }
                    }
                }
                p { class: "soft small pad", {t!("people-counted")} }
            } else {
                div { class: "empty-words",
                    Icon { name: IconName::Person }
                    p { class: "soft", {t!("people-asking")} }
                }
            }
        }
    }
}
