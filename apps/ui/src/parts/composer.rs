//! A line to write in: a new text, an answer, or what one's own text is to say instead.

use crate::act::act;
use crate::memo::use_memo;
use dioxus::prelude::*;
use holler_core::model::Role;
use holler_core::units::ClientId;
use holler_core::wire::limits::TEXT_CHARS_MAX;

use super::item::quote;
use super::{Icon, IconName};
use crate::port::{Ask, Host};
use crate::state::{Compose, clock_ms};
use crate::{Ui, t};

/// A line to write in.
#[component]
pub fn Composer() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let mut draft = ui.draft;
    let known = use_memo(move || {
        let view = ui.view.read();
        let Some(room) = view.room() else { return (false, None) };
        let may = !room.gone && room.role.is_some_and(|role| role >= Role::Talker);
        let about = match view.compose {
            Some(Compose::Reply(target)) => Some(t!("compose-reply", quote = quote(&view, room, target))),
            Some(Compose::Edit(_)) => Some(t!("compose-edit")),
            None => None,
        };
        (may, about)
    });
    let mut leave = move || {
        if matches!(ui.view.peek().compose, Some(Compose::Edit(_))) {
            draft.set(String::new());
        }
        ui.view.write().compose = None;
    };
    let submit = move |event: FormEvent| {
        event.prevent_default();
        let text = draft.peek().trim().to_owned();
        let (open, me) = (ui.view.peek().open, ui.view.peek().me());
        let (Some(room), Some(me)) = (open, me) else { return };
        if text.is_empty() || text.chars().count() > TEXT_CHARS_MAX {
            return;
        }
        let client_id = ClientId::from_bytes(host.random());
        let at = clock_ms(host.now_ms());
        let compose = ui.view.write().compose.take();
        let reply_to = match compose {
            Some(Compose::Edit(target)) => {
                if let Some(room) = ui.view.write().rooms.get_mut(&room) {
                    room.change(target, client_id);
                }
                host.ask(Ask::Change { room, client_id, target, text: Some(text) });
                return draft.set(String::new());
            }
            Some(Compose::Reply(target)) => Some(target),
            None => None,
        };
        if let Some(room) = ui.view.write().rooms.get_mut(&room) {
            room.send(client_id, me, at, text.clone(), reply_to);
        }
        host.ask(Ask::Send { room, client_id, text, reply_to });
        draft.set(String::new());
    };
    let (may, about) = known.read().clone();
    if !may {
        return rsx! {};
    }
    rsx! {
        form { class: "composer", onsubmit: submit,
            if let Some(about) = about {
                div { class: "composer-about",
                    p { class: "small soft", dir: "auto", "{about}" }
                    button {
                        class: "icon-button", r#type: "button", aria_label: t!("compose-leave"), onclick: act(move |_| leave()),
                        Icon { name: IconName::Close }
                    }
                }
            }
            div { class: "composer-line",
                label { class: "unseen", r#for: "composer", {t!("message")} }
                input {
                    id: "composer", r#type: "text", autocomplete: "off", placeholder: t!("message-hint"), maxlength: "{TEXT_CHARS_MAX}",
                    value: "{draft}", oninput: move |event| draft.set(event.value()),
                    onkeydown: move |event| {
                        if event.key() == Key::Escape {
                            leave();
                        }
                    },
                }
                button { class: "icon-button", r#type: "submit", aria_label: t!("message-send"), Icon { name: IconName::Send } }
            }
        }
    }
}
