//! Where a link leads: an invite becomes an account, a one-time link a new password.

use crate::act::act;
use crate::memo::use_memo;
use dioxus::prelude::*;
use holler_core::wire::limits::{NAME_CHARS_MAX, PASSWORD_BYTES_MAX};

use crate::parts::{Banner, BannerKind, Icon, IconName, Logo};
use crate::port::{Ask, Entry, Host};
use crate::state::{Account, EntryView, is_login, login_of};
use crate::{Ui, t};

/// The screen of a link.
#[component]
pub fn Entered(entry: EntryView) -> Element {
    let ui = use_context::<Ui>();
    let here = use_memo(move || match &ui.view.read().account {
        Account::SignedIn(identity) => Some(identity.login.clone()),
        Account::Starting | Account::SignedOut { .. } => None,
    });
    let invited = matches!(entry.link, Entry::Invite { .. });
    let title = match (&entry.offer, invited) {
        (Some(Ok(offer)), _) => t!("invite-join", workspace = offer.workspace_name.as_str()),
        (_, true) => t!("invite-title"),
        (_, false) => t!("reset-title"),
    };
    let refused = match &entry.offer {
        Some(Err(refused)) => Some(refused.clone()),
        Some(Ok(_)) | None => None,
    };
    rsx! {
        main { class: "sign-in",
            header { class: "sign-in-head",
                Logo {}
                h1 { "{title}" }
                p { class: "soft", {t!("slogan")} }
            }
            if let Some(refused) = refused {
                div { class: "card stack",
                    Banner { kind: BannerKind::Fault, text: t!("invite-refused", reason = refused) }
                    p { {t!("invite-refused-hint")} }
                    Instead { here: here.read().clone() }
                }
            } else if invited {
                Join { entry, here: here.read().clone() }
            } else {
                Reset { entry, here: here.read().clone() }
            }
        }
    }
}

#[component]
fn Join(entry: EntryView, here: Option<String>) -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let mut name = use_signal(String::new);
    // Made of the name until somebody writes one.
    let mut login = use_signal(|| None::<String>);
    let mut password = use_signal(String::new);
    let mut shown = use_signal(|| false);
    let shown_login = use_memo(move || login.read().clone().unwrap_or_else(|| login_of(&name.read())));
    let EntryView { link, offer, busy, reason } = entry;
    let rooms = match &offer {
        Some(Ok(offer)) => offer.rooms.iter().map(|room| room.name.clone()).collect::<Vec<_>>().join(", "),
        Some(Err(_)) | None => String::new(),
    };
    let submit = move |event: FormEvent| {
        event.prevent_default();
        let Entry::Invite { token } = link.clone() else { return };
        if busy {
            return;
        }
        let (name, login, password) =
            (name.peek().trim().to_owned(), shown_login.peek().clone(), password.peek().clone());
        let wrong = if name.is_empty() {
            Some(t!("invite-name-empty"))
        } else if !is_login(&login) {
            Some(t!("invite-login-wrong"))
        } else if password.is_empty() {
            Some(t!("invite-password-empty"))
        } else {
            None
        };
        let good = wrong.is_none();
        if let Some(entry) = &mut ui.view.write().entry {
            (entry.busy, entry.reason) = (good, wrong);
        }
        if good {
            host.ask(Ask::Join { token, login, name, password });
        }
    };
    rsx! {
        form { class: "card stack", onsubmit: submit,
            if let Some(reason) = reason {
                Banner { kind: BannerKind::Fault, text: reason }
            }
            if offer.is_none() {
                p { class: "soft", role: "status", {t!("invite-looking")} }
            } else if !rooms.is_empty() {
                p { class: "offer", Icon { name: IconName::Room } span { {t!("invite-rooms")} " " strong { "{rooms}" } } }
            }
            label { class: "field",
                span { {t!("invite-name")} }
                input {
                    r#type: "text", name: "name", autocomplete: "name", maxlength: "{NAME_CHARS_MAX}", required: true,
                    value: "{name}", oninput: move |event| name.set(event.value()),
                }
            }
            label { class: "field",
                span { {t!("sign-in-name")} }
                input {
                    r#type: "text", name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false",
                    maxlength: "64", required: true, value: "{shown_login}",
                    oninput: move |event| login.set(Some(event.value().trim().to_lowercase())),
                }
                small { class: "soft small", {t!("invite-login-hint")} }
            }
            Password { value: password(), shown: shown(), oninput: move |value| password.set(value), onshow: move |value| shown.set(value) }
            if let Some(here) = &here {
                p { class: "small", {t!("invite-replaces", login = here.as_str())} }
            }
            button { class: "button primary", r#type: "submit", disabled: busy || offer.is_none(),
                if busy { {t!("invite-busy")} } else { {t!("invite-submit")} }
            }
            Instead { here }
        }
    }
}

#[component]
fn Reset(entry: EntryView, here: Option<String>) -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let mut password = use_signal(String::new);
    let mut shown = use_signal(|| false);
    let EntryView { link, busy, reason, .. } = entry;
    let submit = move |event: FormEvent| {
        event.prevent_default();
        let Entry::Reset { token } = link.clone() else { return };
        let password = password.peek().clone();
        if busy || password.is_empty() {
            return;
        }
        if let Some(entry) = &mut ui.view.write().entry {
            (entry.busy, entry.reason) = (true, None);
        }
        host.ask(Ask::Reset { token, password });
    };
    rsx! {
        form { class: "card stack", onsubmit: submit,
            if let Some(reason) = reason {
                Banner { kind: BannerKind::Fault, text: reason }
            }
            p { {t!("reset-hint")} }
            Password { value: password(), shown: shown(), oninput: move |value| password.set(value), onshow: move |value| shown.set(value) }
            button { class: "button primary", r#type: "submit", disabled: busy,
                if busy { {t!("reset-busy")} } else { {t!("reset-submit")} }
            }
            Instead { here }
        }
    }
}

/// A new password. It can be shown: on a phone that is better than typing it twice.
#[component]
fn Password(value: String, shown: bool, oninput: EventHandler<String>, onshow: EventHandler<bool>) -> Element {
    rsx! {
        label { class: "field",
            span { {t!("password-new")} }
            input {
                r#type: if shown { "text" } else { "password" }, name: "new-password", autocomplete: "new-password",
                autocapitalize: "none", spellcheck: "false", maxlength: "{PASSWORD_BYTES_MAX}", required: true,
                value, oninput: move |event: FormEvent| oninput.call(event.value()),
            }
            small { class: "soft small", {t!("password-hint")} }
        }
        label { class: "check",
            input { r#type: "checkbox", checked: shown, onchange: move |event: FormEvent| onshow.call(event.checked()) }
            span { {t!("password-show")} }
        }
    }
}

/// The way past the link.
#[component]
fn Instead(here: Option<String>) -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    rsx! {
        button {
            class: "button quiet", r#type: "button",
            onclick: act(move |_| {
                ui.view.write().entry = None;
                host.ask(Ask::LeaveLink);
            }),
            if let Some(here) = here { {t!("entry-go-on", login = here)} } else { {t!("entry-sign-in")} }
        }
    }
}
