//! Who are you?

use dioxus::prelude::*;

use crate::parts::{Banner, BannerKind, Logo};
use crate::port::{Ask, Host};
use crate::state::Account;
use crate::{Ui, t};

/// Asks for name and password.
#[component]
pub fn SignIn(reason: Option<String>, busy: bool) -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let mut login = use_signal(String::new);
    let mut password = use_signal(String::new);
    let submit = move |event: FormEvent| {
        event.prevent_default();
        let (login, password) = (login.peek().trim().to_lowercase(), password.peek().clone());
        if busy {
            return;
        }
        if login.is_empty() || password.is_empty() {
            let reason = Some(t!("sign-in-empty"));
            ui.view.write().account = Account::SignedOut { reason, busy: false };
            return;
        }
        ui.view.write().account = Account::SignedOut { reason: None, busy: true };
        host.ask(Ask::SignIn { login, password });
    };
    rsx! {
        main { class: "sign-in",
            header { class: "sign-in-head",
                Logo {}
                h1 { "Holler" }
                p { class: "soft", {t!("slogan")} }
            }
            form { class: "card stack", onsubmit: submit,
                if let Some(reason) = reason {
                    Banner { kind: BannerKind::Fault, text: reason }
                }
                label { class: "field",
                    span { {t!("sign-in-name")} }
                    input {
                        r#type: "text", name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false",
                        maxlength: "64", required: true, value: "{login}", oninput: move |event| login.set(event.value()),
                    }
                }
                label { class: "field",
                    span { {t!("password")} }
                    input {
                        r#type: "password", name: "password", autocomplete: "current-password", maxlength: "256", required: true,
                        value: "{password}", oninput: move |event| password.set(event.value()),
                    }
                }
                button { class: "button primary", r#type: "submit", disabled: busy,
                    if busy { {t!("sign-in-busy")} } else { {t!("sign-in")} }
                }
                p { class: "soft small",
                    {t!("sign-in-help")}
                }
            }
        }
    }
}
