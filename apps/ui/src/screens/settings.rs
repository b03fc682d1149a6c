//! What a person sets on this device, where they are signed in, and what is kept of them.

use dioxus::prelude::*;

use crate::parts::{Faults, Icon, IconName};
use crate::port::{Ask, Host};
use crate::state::{Look, Settings as Set};
use crate::{Ui, look_at};

/// The settings.
#[component]
pub fn Settings() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    rsx! {
        main { class: "room settings", aria_label: "Settings",
            header { class: "room-head",
                button {
                    class: "icon-button", r#type: "button", aria_label: "Back",
                    onclick: move |_| ui.view.write().settings_open = false,
                    Icon { name: IconName::Back }
                }
                h1 { "Settings" }
            }
            Faults {}
            div { class: "settings-body",
                Sound {}
                Key {}
                Appearance {}
                Devices {}
                section { class: "card stack", aria_labelledby: "set-data",
                    h2 { id: "set-data", "Your data" }
                    p { class: "soft small", "Everything that this server keeps of you, as lines of JSON." }
                    button { class: "button", r#type: "button", onclick: move |_| host.ask(Ask::Export), "Save a copy" }
                }
            }
        }
    }
}

/// Changes a setting here and at the host.
fn set(mut ui: Ui, host: &Host, change: impl FnOnce(&mut Set)) {
    change(&mut ui.view.write().settings);
    let settings = ui.view.peek().settings.clone();
    host.ask(Ask::Set(settings));
}

#[component]
fn Switch(label: &'static str, hint: &'static str, on: bool, onchange: EventHandler<bool>) -> Element {
    rsx! {
        label { class: "check",
            input { r#type: "checkbox", role: "switch", checked: on, onchange: move |event: FormEvent| onchange.call(event.checked()) }
            span {
                "{label}"
                if !hint.is_empty() {
                    small { class: "soft small", " {hint}" }
                }
            }
        }
    }
}

#[component]
fn Sound() -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let known = use_memo(move || {
        let view = ui.view.read();
        (view.settings.clone(), view.microphones.clone())
    });
    let (settings, microphones) = known.read().clone();
    let (pick, echo, noise, tones) = (host.clone(), host.clone(), host.clone(), host);
    let chosen = settings.microphone.clone().unwrap_or_default();
    rsx! {
        section { class: "card stack", aria_labelledby: "set-sound",
            h2 { id: "set-sound", "Sound" }
            label { class: "field",
                span { "Microphone" }
                select {
                    onchange: move |event| {
                        let id = event.value();
                        set(ui, &pick, |settings| settings.microphone = Some(id).filter(|id| !id.is_empty()));
                    },
                    option { value: "", selected: chosen.is_empty(), "The system's choice" }
                    for (id, name) in microphones {
                        option { key: "{id}", value: "{id}", selected: id == chosen, "{name}" }
                    }
                }
                small { class: "soft small", "Names show once the microphone was allowed." }
            }
            Switch {
                label: "Take out echo", hint: "Off where you wear headphones and want it plain.", on: settings.echo,
                onchange: move |on| set(ui, &echo, |settings| settings.echo = on),
            }
            Switch {
                label: "Take out noise", hint: "Wind, engines, fans.", on: settings.noise,
                onchange: move |on| set(ui, &noise, |settings| settings.noise = on),
            }
            Switch {
                label: "Tones", hint: "An alarm sounds in any case.", on: settings.tones,
                onchange: move |on| set(ui, &tones, |settings| settings.tones = on),
            }
        }
    }
}

#[component]
fn Key() -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let mut asks = use_signal(|| false);
    let words = use_memo(move || ui.view.read().settings.key_words());
    rsx! {
        section { class: "card stack", aria_labelledby: "set-key",
            h2 { id: "set-key", "Key that talks" }
            button {
                class: "button", r#type: "button", "data-keys": "true",
                onclick: move |_| asks.set(true),
                onblur: move |_| asks.set(false),
                onkeydown: move |event: KeyboardEvent| {
                    let code = event.code().to_string();
                    // Tab leads on, as everywhere.
                    if asks() && code != "Tab" {
                        event.prevent_default();
                        asks.set(false);
                        if code != "Escape" {
                            set(ui, &host, |settings| settings.key = code);
                        }
                    }
                },
                if asks() { "Press the key …" } else { "It is {words}: change it" }
            }
        }
    }
}

#[component]
fn Appearance() -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let settings = use_memo(move || ui.view.read().settings.clone());
    let Set { look, contrast, still, .. } = settings.read().clone();
    let (look_host, contrast_host, still_host) = (host.clone(), host.clone(), host);
    rsx! {
        section { class: "card stack", aria_labelledby: "set-look",
            h2 { id: "set-look", "Appearance" }
            label { class: "field",
                span { "Colours" }
                select {
                    onchange: move |event| {
                        let look = Look::ALL.into_iter().find(|(_, word)| *word == event.value());
                        if let Some((look, _)) = look {
                            set(ui, &look_host, |settings| settings.look = look);
                        }
                    },
                    for (each, word) in Look::ALL {
                        option { value: word, selected: each == look,
                            match each {
                                Look::System => "As the system",
                                Look::Light => "Light",
                                Look::Dark => "Dark",
                            }
                        }
                    }
                }
            }
            Switch {
                label: "High contrast", hint: "", on: contrast,
                onchange: move |on| set(ui, &contrast_host, |settings| settings.contrast = on),
            }
            Switch {
                label: "Nothing moves", hint: "", on: still,
                onchange: move |on| set(ui, &still_host, |settings| settings.still = on),
            }
        }
    }
}

#[component]
fn Devices() -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let known = use_memo(move || {
        let view = ui.view.read();
        (view.devices.clone(), view.device())
    });
    let (devices, own) = known.read().clone();
    let (now, out) = (host.now_ms(), host.clone());
    rsx! {
        section { class: "card stack", aria_labelledby: "set-devices",
            h2 { id: "set-devices", "Where you are signed in" }
            if let Some(devices) = devices {
                ul {
                    for device in devices.into_iter().filter(|device| !device.revoked) {
                        li { key: "{device.id}", class: "device",
                            span { class: "device-words",
                                strong { "{device.name}" }
                                small { class: "soft small",
                                    if own == Some(device.id) { " This one" } else { " Used {crate::state::ago_since(now, device.last_used_at.0)}" }
                                }
                            }
                            if own != Some(device.id) {
                                button {
                                    class: "button", r#type: "button", aria_label: "Sign out {device.name}",
                                    onclick: {
                                        let (host, id) = (host.clone(), device.id);
                                        move |_| host.ask(Ask::Revoke(id))
                                    },
                                    "Sign out"
                                }
                            }
                        }
                    }
                }
            } else {
                p { class: "soft", role: "status", "Fetching the list …" }
            }
            button {
                class: "button", r#type: "button",
                onclick: move |_| {
                    look_at(ui, &out, None);
                    out.ask(Ask::SignOut);
                },
                "Sign out here"
            }
        }
    }
}
