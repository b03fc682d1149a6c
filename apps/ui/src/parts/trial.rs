//! A trial of the microphone: one hears oneself, as others would.

use crate::act::act;
use crate::memo::use_memo;
use dioxus::prelude::*;

use super::{Icon, IconName};
use crate::port::{Ask, Host, Trial};
use crate::{Ui, t};

/// Records a few seconds and plays them.
#[component]
pub fn TryMicrophone() -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let trial = use_memo(move || ui.view.read().trial);
    let level = use_memo(move || {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 to 100")]
        let percent = (ui.level.read().clamp(0.0, 1.0) * 100.0).round() as u8;
        percent
    });
    let (now, level) = (*trial.read(), *level.read());
    rsx! {
        div { class: "stack trial",
            button {
                class: "button", r#type: "button", disabled: now != Trial::Over,
                onclick: act(move |_| host.ask(Ask::TryMicrophone)),
                Icon { name: IconName::Microphone }
                {match now {
                    Trial::Over => t!("trial"),
                    Trial::Recording => t!("trial-recording"),
                    Trial::Playing => t!("trial-playing"),
                }}
            }
            meter { class: "level", "aria-hidden": "true", min: "0", max: "100", value: "{level}" }
            p { class: "soft small", role: "status", {if now == Trial::Over { t!("trial-hint") } else { t!("trial-speak") }} }
        }
    }
}
