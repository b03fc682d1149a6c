//! Who is in a room, how each is, and the way to talk with one of them alone.

use crate::act::act;
use crate::memo::use_memo;
use dioxus::prelude::*;
use holler_core::model::PresenceState;
use holler_core::units::UserId;

use super::{Icon, IconName, PersonVolume, RoomVolume};
use crate::port::{Ask, Host};
use crate::state::{InviteView, Link, presence_class, presence_words};
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
/// Most people that are listed of those whose name was looked for.
const FOUND_MAX: usize = 50;

/// Somebody, as they are listed.
type Row = (UserId, String, &'static str, String);

#[derive(Clone, Debug, Default, PartialEq)]
struct Known {
    people: Option<Vec<Row>>,
    /// Everybody whom one sees and whose name has what was looked for.
    found: Option<Vec<Row>>,
    counts: Option<holler_core::wire::presence::PresenceCounts>,
    up: bool,
    me: Option<UserId>,
    invites: bool,
    opening: Option<UserId>,
}

/// The people of the room that is looked at.
#[component]
pub fn People() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let mut search = use_signal(String::new);
    let known = use_memo(move || {
        let view = ui.view.read();
        let now = *ui.now.read();
        let me = view.me();
        let row = |user: UserId, name: String| {
            let seen = view.seen(user);
            let name = if me == Some(user) { t!("person-you", name = name) } else { name };
            (user, name, seen.class(), seen.words(now))
        };
        let wanted = search.read().trim().to_lowercase();
        let found = (!wanted.is_empty()).then(|| {
            let mut named: Vec<_> =
                view.names.iter().filter(|(_, name)| name.to_lowercase().contains(&wanted)).collect();
            named.sort_by_cached_key(|(user, name)| (name.to_lowercase(), **user));
            named.into_iter().take(FOUND_MAX).map(|(user, name)| row(*user, name.clone())).collect::<Vec<_>>()
        });
        let people = view.people().map(|people| people.into_iter().map(|(user, name, _)| row(user, name)).collect());
        Known {
            people,
            found,
            counts: view.room().and_then(|room| room.counts),
            up: view.link == Link::Up,
            me,
            invites: view.may_invite() && view.invite.is_none(),
            opening: view.opening,
        }
    });
    let Known { people, found, counts, up, me, invites, opening } = known.read().clone();
    let alone = people.as_ref().is_some_and(|people| people.len() == 1);
    rsx! {
        section { class: "people", tabindex: "0", aria_label: t!("people"),
            RoomVolume {}
            if !up {
                p { class: "small wrong pad", role: "status", {t!("people-offline")} }
            }
            div { class: "tools",
                label { class: "unseen", r#for: "search-people", {t!("people-search")} }
                input {
                    id: "search-people", r#type: "search", placeholder: t!("people-search"), value: "{search}",
                    oninput: move |event| search.set(event.value()),
                }
                if invites {
                    button {
                        class: "button", r#type: "button",
                        onclick: act(move |_| {
                            let mut view = ui.view.write();
                            view.invite = view.open.map(|room| InviteView { room, busy: false, made: None });
                        }),
                        Icon { name: IconName::Invite }
                        {t!("invite-people")}
                    }
                }
            }
            if let Some(people) = found.or(people) {
                if people.is_empty() {
                    p { class: "soft small pad", role: "status", {t!("people-none-found")} }
                }
                ul {
                    for row in people {
                        {
                            let (own, opens) = (me == Some(row.0), opening == Some(row.0));
                            person_row(ui, host.clone(), row, own, opens)
                        }
                    }
                }
                if alone {
                    p { class: "soft small pad", if invites { {t!("people-alone-invite")} } else { {t!("people-alone")} } }
                }
            } else if let Some(counts) = counts {
                ul {
                    for (state, class) in COUNTED.map(|state| (state, presence_class(state))) {
                        if counts.of(state) > 0 {
                            li { key: "{class}", class: "person {class}",
                                span { class: "mark {class}", "aria-hidden": "true" }
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

fn person_row(mut ui: Ui, host: Host, (user, name, class, words): Row, own: bool, opening: bool) -> Element {
    rsx! {
        li { key: "{user}", class: "person {class}",
            span { class: "mark {class}", "aria-hidden": "true" }
            span { class: "person-name", "{name}" }
            span { class: "person-state soft small", "{words}" }
            if !own {
                PersonVolume { user, name: name.clone() }
                button {
                    class: "icon-button", r#type: "button", aria_label: t!("person-direct", name = name), disabled: opening,
                    onclick: act(move |_| {
                        ui.view.write().opening = Some(user);
                        host.ask(Ask::Direct(user));
                    }),
                    Icon { name: if opening { IconName::Dots } else { IconName::Room } }
                }
            }
        }
    }
}
