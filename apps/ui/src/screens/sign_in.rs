//! Who are you?

use dioxus::prelude::*;

use crate::Ui;
use crate::parts::{Banner, BannerKind, Logo};
use crate::port::{Ask, Host};
use crate::state::Account;

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
            let reason = Some("Enter your sign-in name and your password.".to_owned());
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
                p { class: "soft", "Hold a button, speak, and everyone in the room hears it." }
            }
            form { class: "card stack", onsubmit: submit,
                if let Some(reason) = reason {
                    Banner { kind: BannerKind::Fault, text: reason }
                }
                label { class: "field",
                    span { "Sign-in name" }
                    input {
                        r#type: "text", name: "username", autocomplete: "username", autocapitalize: "none", spellcheck: "false",
                        maxlength: "64", required: true, value: "{login}", oninput: move |event| login.set(event.value()),
                    }
                }
                label { class: "field",
                    span { "Password" }
                    input {
                        r#type: "password", name: "password", autocomplete: "current-password", maxlength: "256", required: true,
                        value: "{password}", oninput: move |event| password.set(event.value()),
                    }
                }
                button { class: "button primary", r#type: "submit", disabled: busy,
                    if busy { "Signing in …" } else { "Sign in" }
                }
                p { class: "soft small",
                    "No account? Ask whoever runs this server for an invite: its link leads to a form like this. Forgot the password? They can send you a link for a new one. You stay signed in on this browser until you sign out."
                }
            }
        }
    }
}
