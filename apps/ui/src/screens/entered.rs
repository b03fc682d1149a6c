//! Where a link leads: an invite becomes an account, a one-time link a new password.

use dioxus::prelude::*;
use holler_core::wire::limits::{NAME_CHARS_MAX, PASSWORD_BYTES_MAX};

use crate::Ui;
use crate::parts::{Banner, BannerKind, Icon, IconName, Logo};
use crate::port::{Ask, Entry, Host};
use crate::state::{Account, EntryView, is_login, login_of};

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
        (Some(Ok(offer)), _) => format!("Join {}", offer.workspace_name),
        (_, true) => "You are invited".to_owned(),
        (_, false) => "Set a new password".to_owned(),
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
                p { class: "soft", "Hold a button, speak, and everyone in the room hears it." }
            }
            if let Some(refused) = refused {
                div { class: "card stack",
                    Banner { kind: BannerKind::Fault, text: "This invite can\u{2019}t be used: {refused}" }
                    p { "An invite ends after a while, after so many people, or when it is taken back. Ask whoever sent it for a new one." }
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
            Some("Enter your name, as others are to see it.")
        } else if !is_login(&login) {
            Some("A sign-in name is made of a-z, 0-9, dot, dash and underscore, and begins with a letter or a digit.")
        } else if password.is_empty() {
            Some("Choose a password.")
        } else {
            None
        };
        if let Some(entry) = &mut ui.view.write().entry {
            (entry.busy, entry.reason) = (wrong.is_none(), wrong.map(str::to_owned));
        }
        if wrong.is_none() {
            host.ask(Ask::Join { token, login, name, password });
        }
    };
    rsx! {
        form { class: "card stack", onsubmit: submit,
            if let Some(reason) = reason {
                Banner { kind: BannerKind::Fault, text: reason }
            }
            if offer.is_none() {
                p { class: "soft", role: "status", "Looking at the invite \u{2026}" }
            } else if !rooms.is_empty() {
                p { class: "offer", Icon { name: IconName::Room } span { "You will be in: " strong { "{rooms}" } } }
            }
            label { class: "field",
                span { "Your name" }
                input {
                    r#type: "text", name: "name", autocomplete: "name", maxlength: "{NAME_CHARS_MAX}", required: true,
                    value: "{name}", oninput: move |event| name.set(event.value()),
                }
            }
            label { class: "field",
                span { "Sign-in name" }
                input {
                    r#type: "text", name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false",
                    maxlength: "64", required: true, value: "{shown_login}",
                    oninput: move |event| login.set(Some(event.value().trim().to_lowercase())),
                }
                small { class: "soft small", "You sign in with it on other devices." }
            }
            Password { value: password(), shown: shown(), oninput: move |value| password.set(value), onshow: move |value| shown.set(value) }
            if let Some(here) = &here {
                p { class: "small", "You are signed in here as " strong { "{here}" } ". Joining makes a new account and signs that one out of this browser." }
            }
            button { class: "button primary", r#type: "submit", disabled: busy || offer.is_none(),
                if busy { "Joining \u{2026}" } else { "Join" }
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
            p { "This link works once. It signs you out everywhere else, and in here." }
            Password { value: password(), shown: shown(), oninput: move |value| password.set(value), onshow: move |value| shown.set(value) }
            button { class: "button primary", r#type: "submit", disabled: busy,
                if busy { "Setting it \u{2026}" } else { "Set the password" }
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
            span { "New password" }
            input {
                r#type: if shown { "text" } else { "password" }, name: "new-password", autocomplete: "new-password",
                autocapitalize: "none", spellcheck: "false", maxlength: "{PASSWORD_BYTES_MAX}", required: true,
                value, oninput: move |event: FormEvent| oninput.call(event.value()),
            }
            small { class: "soft small", "At least 10 characters, unless this server asks for more. A few words are good." }
        }
        label { class: "check",
            input { r#type: "checkbox", checked: shown, onchange: move |event: FormEvent| onshow.call(event.checked()) }
            span { "Show it" }
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
            onclick: move |_| {
                ui.view.write().entry = None;
                host.ask(Ask::LeaveLink);
            },
            if let Some(here) = here { "Go on as {here}" } else { "I have an account: sign in" }
        }
    }
}
