//! Lines of words: banners, the connection, a room in the list, and what a screen reader is told.

use crate::act::act;
use crate::memo::use_memo;
use dioxus::prelude::*;
use holler_core::units::RoomId;

use super::{Icon, IconName, Kept, Queued};
use crate::port::{Ask, Host, Telling};
use crate::state::{Link, PressState};
use crate::{Ui, look_at, seconds, t};

/// What kind of news a banner brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BannerKind {
    /// Something failed.
    Fault,
    /// Something to know or to do.
    Note,
    /// An emergency.
    Emergency,
    /// An emergency that was acknowledged here.
    EmergencyKnown,
}

/// News that stays until it is dealt with.
#[component]
pub fn Banner(kind: BannerKind, text: String, children: Element) -> Element {
    let (class, role, icon) = match kind {
        BannerKind::Fault => ("banner fault", "alert", IconName::No),
        BannerKind::Note => ("banner note", "status", IconName::Speaker),
        BannerKind::Emergency => ("banner emergency", "alert", IconName::Alarm),
        BannerKind::EmergencyKnown => ("banner emergency known", "status", IconName::Alarm),
    };
    rsx! {
        div { class, role,
            Icon { name: icon }
            p { "{text}" }
            {children}
        }
    }
}

/// Everything that must be known before anything else: emergencies, a silent page, faults.
#[component]
pub fn Faults() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let news = use_memo(move || {
        let view = ui.view.read();
        let emergencies: Vec<_> = view
            .rooms
            .values()
            .flat_map(|room| room.emergencies.iter().map(|user| (room.id, *user, view.name(*user), room.title())))
            .collect();
        let may_clear = |room: RoomId, user| {
            view.me() == Some(user)
                || view
                    .rooms
                    .get(&room)
                    .and_then(|room| room.role)
                    .is_some_and(|role| role >= holler_core::model::Role::Dispatcher)
        };
        let emergencies: Vec<_> = emergencies
            .into_iter()
            .map(|(room, user, name, at)| {
                let mine = view.me() == Some(user);
                let known = mine || view.acknowledged.contains(&(room, user));
                let words = match (mine, known) {
                    (true, _) => t!("emergency-own", room = at),
                    (false, false) => t!("emergency-other", name = name, room = at),
                    (false, true) => t!("emergency-known", name = name, room = at),
                };
                (room, user, words, known, may_clear(room, user))
            })
            .collect();
        let minutes = |off: f64| seconds(off.abs()) / 60;
        let (outdated, clock_off) = (view.outdated, view.clock_off.map(minutes));
        // Asked when it would have helped: not at the first sight of the page.
        let missed = || view.rooms.values().any(|room| room.timeline.missed().next().is_some());
        let telling = view.telling == Telling::Unasked && missed();
        (
            emergencies,
            (view.audible, view.silenced),
            view.faults.clone(),
            view.link.clone(),
            outdated,
            clock_off,
            telling,
        )
    });
    let (emergencies, (audible, silenced), faults, link, outdated, clock_off, telling) = news.read().clone();
    let (look, clear, connect, reload, wake) = (host.clone(), host.clone(), host.clone(), host.clone(), host.clone());
    let (tell, silent) = (host.clone(), host);
    rsx! {
        for (room, user, words, known, may) in emergencies {
            Banner { kind: if known { BannerKind::EmergencyKnown } else { BannerKind::Emergency }, text: words,
                if !known {
                    button {
                        class: "button", r#type: "button",
                        onclick: act({
                            let look = look.clone();
                            move |_| {
                                ui.view.write().acknowledged.insert((room, user));
                                look_at(ui, &look, Some(room));
                            }
                        }),
                        {t!("emergency-see")}
                    }
                }
                if may && known {
                    // It is sent at once or not at all.
                    if link != Link::Up {
                        span { class: "soft", {t!("emergency-clear-later")} }
                    }
                    button {
                        class: "button", r#type: "button", disabled: link != Link::Up,
                        onclick: act({
                            let clear = clear.clone();
                            move |_| clear.ask(Ask::ClearEmergency { room, raised_by: user })
                        }),
                        {t!("emergency-clear")}
                    }
                }
            }
        }
        if let Link::Ended { reason, elsewhere } = link {
            Banner {
                kind: BannerKind::Fault,
                text: if elsewhere {
                    t!("link-elsewhere")
                } else {
                    t!("link-ended-why", reason = reason)
                },
                button {
                    class: "button", r#type: "button",
                    onclick: act(move |_| connect.ask(Ask::Connect)),
                    if elsewhere { {t!("link-use-here")} } else { {t!("link-connect")} }
                }
            }
        }
        if outdated {
            Banner { kind: BannerKind::Note, text: t!("outdated"),
                button { class: "button", r#type: "button", onclick: act(move |_| reload.ask(Ask::Reload)), {t!("reload")} }
            }
        }
        if telling {
            Banner { kind: BannerKind::Note, text: t!("telling-ask"),
                button {
                    class: "button", r#type: "button", onclick: act(move |_| tell.ask(Ask::Telling(true))),
                    {t!("telling-yes")}
                }
                button {
                    class: "button", r#type: "button", onclick: act(move |_| silent.ask(Ask::Telling(false))),
                    {t!("telling-no")}
                }
            }
        }
        PlaysOn {}
        Kept {}
        Queued {}
        if let Some(minutes) = clock_off {
            Banner { kind: BannerKind::Note, text: t!("clock-off", count = minutes) }
        }
        if !audible {
            Banner { kind: BannerKind::Note, text: if silenced { t!("sound-stopped") } else { t!("sound-off") },
                button {
                    class: "button", r#type: "button",
                    onclick: act(move |_| wake.ask(Ask::Tone(crate::port::Tone::Release))),
                    {t!("sound-on")}
                }
            }
        }
        for (at, fault) in faults.into_iter().enumerate() {
            Banner { kind: BannerKind::Fault, text: fault,
                button {
                    class: "icon-button", r#type: "button", aria_label: t!("close"),
                    onclick: act(move |_| {
                        ui.view.write().faults.remove(at);
                    }),
                    Icon { name: IconName::Close }
                }
            }
        }
    }
}

/// That live voice plays on another device of the person, and the way to have it here.
#[component]
fn PlaysOn() -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let words = use_memo(move || {
        let view = ui.view.read();
        view.plays_on.map(|device| match view.device_name(device) {
            Some(name) => t!("plays-on", name = name),
            None => t!("plays-elsewhere"),
        })
    });
    let Some(words) = words.read().clone() else { return rsx! {} };
    rsx! {
        div { class: "plays-on", role: "status",
            Icon { name: IconName::Speaker }
            p { "{words}" }
            button { class: "button quiet", r#type: "button", onclick: act(move |_| host.ask(Ask::Used)), {t!("plays-here")} }
        }
    }
}

/// How the connection is, in one line.
#[component]
pub fn LinkLine() -> Element {
    let ui = use_context::<Ui>();
    let link = use_memo(move || {
        let view = ui.view.read();
        (view.link.clone(), view.round_trip_ms)
    });
    let (link, round_trip) = link.read().clone();
    let (class, words) = match &link {
        Link::New => ("link trying", t!("link-new")),
        Link::Up => match round_trip {
            Some(ms) => ("link up", t!("link-up-in", ms = ms)),
            None => ("link up", t!("link-up")),
        },
        Link::Trying => ("link trying", t!("link-trying")),
        Link::Down { reason, retry_at } => {
            let left = seconds(retry_at - *ui.now.read());
            ("link down", t!("link-down", reason = reason.as_str(), seconds = left))
        }
        Link::Ended { .. } => ("link down", t!("link-ended")),
    };
    let mut ui = ui;
    rsx! {
        button {
            class, r#type: "button", title: t!("quality"),
            onclick: act(move |_| ui.view.write().quality_open = true),
            "{words}"
        }
    }
}

/// A room in the list.
#[component]
pub fn RoomRow(id: RoomId) -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let row = use_memo(move || {
        let view = ui.view.read();
        view.rooms.get(&id).map(|room| {
            let talker =
                room.talker.as_ref().map(|talker| if talker.own { t!("talk-own") } else { view.talks(talker) });
            let own = room.talker.as_ref().is_some_and(|talker| talker.own);
            (room.title(), talker, own, room.unread, !room.emergencies.is_empty(), view.open == Some(id))
        })
    });
    let Some((name, talker, own, unread, emergency, open)) = row.read().clone() else { return rsx! {} };
    let (class, icon) = match (emergency, &talker, own) {
        (true, ..) => ("room-row emergency", IconName::Alarm),
        (false, Some(_), true) => ("room-row granted", IconName::Waves),
        (false, Some(_), false) => ("room-row receiving", IconName::Speaker),
        (false, None, _) => ("room-row", IconName::Room),
    };
    rsx! {
        li {
            button {
                class, r#type: "button", aria_current: if open { "true" } else { "false" },
                onclick: act(move |_| look_at(ui, &host, Some(id))),
                Icon { name: icon }
                span { class: "room-row-words",
                    span { class: "room-row-name", "{name}" }
                    if let Some(talker) = talker {
                        span { class: "room-row-talker", "{talker}" }
                    }
                }
                if unread > 0 {
                    span { class: "count", aria_label: t!("room-new", count = unread), "{unread}" }
                }
            }
        }
    }
}

/// What a screen reader says by itself: who talks, and how one's own press stands.
#[component]
pub fn LiveRegion() -> Element {
    let ui = use_context::<Ui>();
    let words = use_memo(move || {
        let view = ui.view.read();
        let talker = view.room().and_then(|room| room.talker.as_ref()).filter(|talker| !talker.own);
        if let Some(press) =
            view.press.as_ref().filter(|press| press.held || !matches!(press.state, PressState::Ending))
        {
            return match &press.state {
                PressState::Starting | PressState::Asking => String::new(),
                // It is not said before capture really runs.
                PressState::Granted { .. } if press.held && !press.recording => String::new(),
                PressState::Queued { position, waiting } => {
                    t!("talk-queued", position = *position, waiting = *waiting)
                }
                PressState::Granted { .. } => t!("talk-now"),
                PressState::Denied { words } | PressState::Revoked { words } | PressState::Failed { words } => {
                    words.clone()
                }
                PressState::Offline => t!("talk-offline-said"),
                PressState::Ending => String::new(),
                PressState::Delivered => match talker {
                    Some(talker) => view.talks(talker),
                    None => t!("talk-delivered-said"),
                },
                PressState::Waiting => t!("talk-recorded-said"),
                PressState::PutOff { words } => t!("talk-put-off", reason = words.as_str()),
                PressState::Kept => t!("talk-kept"),
            };
        }
        talker.map(|talker| view.talks(talker)).unwrap_or_default()
    });
    rsx! {
        p { class: "unseen", role: "status", aria_live: "polite", "{words}" }
    }
}
