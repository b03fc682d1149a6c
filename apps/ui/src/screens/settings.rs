//! What a person sets on this device, where they are signed in, and what is kept of them.

use crate::act::act;
use crate::memo::use_memo;
use dioxus::prelude::*;

use crate::parts::hearing::set;
use crate::parts::{Faults, Icon, IconName, TryMicrophone};
use crate::port::{Ask, Host, Telling};
use crate::state::{Look, Settings as Set, ago_since};
use crate::words::Language;
use crate::{Ui, look_at, t};

/// The settings.
#[component]
pub fn Settings() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    rsx! {
        main { class: "room settings", aria_label: t!("settings"),
            header { class: "room-head",
                button {
                    class: "icon-button", r#type: "button", aria_label: t!("back"),
                    onclick: act(move |_| ui.view.write().settings_open = false),
                    Icon { name: IconName::Back }
                }
                h1 { {t!("settings")} }
            }
            Faults {}
            div { class: "settings-body",
                Sound {}
                Key {}
                Appearance {}
                Devices {}
                section { class: "card stack", aria_labelledby: "set-data",
                    h2 { id: "set-data", {t!("set-data")} }
                    p { class: "soft small", {t!("set-data-hint")} }
                    button { class: "button", r#type: "button", onclick: act(move |_| host.ask(Ask::Export)), {t!("set-data-save")} }
                }
            }
        }
    }
}

#[component]
fn Switch(label: String, hint: Option<String>, on: bool, onchange: EventHandler<bool>) -> Element {
    rsx! {
        label { class: "check",
            input { r#type: "checkbox", role: "switch", checked: on, onchange: move |event: FormEvent| onchange.call(event.checked()) }
            span {
                "{label}"
                if let Some(hint) = hint {
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
        (view.settings.clone(), view.microphones.clone(), view.telling)
    });
    let (settings, microphones, telling) = known.read().clone();
    let (pick, echo, noise, tones, ready) = (host.clone(), host.clone(), host.clone(), host.clone(), host.clone());
    let (awake, tell) = (host.clone(), host);
    let chosen = settings.microphone.clone().unwrap_or_default();
    rsx! {
        section { class: "card stack", aria_labelledby: "set-sound",
            h2 { id: "set-sound", {t!("set-sound")} }
            label { class: "field",
                span { {t!("set-microphone")} }
                select {
                    onchange: move |event| {
                        let id = event.value();
                        set(ui, &pick, |settings| settings.microphone = Some(id).filter(|id| !id.is_empty()));
                    },
                    option { value: "", selected: chosen.is_empty(), {t!("set-microphone-system")} }
                    for (id, name) in microphones {
                        option { key: "{id}", value: "{id}", selected: id == chosen, "{name}" }
                    }
                }
                small { class: "soft small", {t!("set-microphone-hint")} }
            }
            TryMicrophone {}
            Switch {
                label: t!("set-echo"), hint: t!("set-echo-hint"), on: settings.echo,
                onchange: move |on| set(ui, &echo, |settings| settings.echo = on),
            }
            Switch {
                label: t!("set-noise"), hint: t!("set-noise-hint"), on: settings.noise,
                onchange: move |on| set(ui, &noise, |settings| settings.noise = on),
            }
            Switch {
                label: t!("set-tones"), hint: t!("set-tones-hint"), on: settings.tones,
                onchange: move |on| set(ui, &tones, |settings| settings.tones = on),
            }
            if telling != Telling::Never {
                Switch {
                    label: t!("set-telling"),
                    hint: if telling == Telling::Refused { t!("set-telling-refused") } else { t!("set-telling-hint") },
                    on: telling == Telling::On,
                    onchange: move |on| tell.ask(Ask::Telling(on)),
                }
            }
            Switch {
                label: t!("set-ready"), hint: t!("set-ready-hint"), on: settings.ready,
                onchange: move |on| set(ui, &ready, |settings| settings.ready = on),
            }
            Switch {
                label: t!("set-awake"), hint: t!("set-awake-hint"), on: settings.awake,
                onchange: move |on| set(ui, &awake, |settings| settings.awake = on),
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
            h2 { id: "set-key", {t!("set-key")} }
            button {
                class: "button", r#type: "button", "data-keys": "true",
                onclick: act(move |_| asks.set(true)),
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
                if asks() { {t!("set-key-press")} } else { {t!("set-key-is", key = words.read().clone())} }
            }
        }
    }
}

#[component]
fn Appearance() -> Element {
    let ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let settings = use_memo(move || ui.view.read().settings.clone());
    let Set { look, contrast, still, language, .. } = settings.read().clone();
    let (speak, look_host, contrast_host, still_host) = (host.clone(), host.clone(), host.clone(), host);
    rsx! {
        section { class: "card stack", aria_labelledby: "set-look",
            h2 { id: "set-look", {t!("set-look")} }
            label { class: "field",
                span { {t!("set-language")} }
                select {
                    onchange: move |event| {
                        let language = Language::of(&event.value());
                        set(ui, &speak, |settings| settings.language = language);
                    },
                    option { value: "", selected: language.is_none(), {t!("set-language-browser")} }
                    for each in Language::ALL {
                        option { value: each.tag(), lang: each.tag(), selected: language == Some(each), {each.name()} }
                    }
                }
            }
            label { class: "field",
                span { {t!("set-colours")} }
                select {
                    onchange: move |event| {
                        let look = Look::ALL.into_iter().find(|(_, word)| *word == event.value());
                        if let Some((look, _)) = look {
                            set(ui, &look_host, |settings| settings.look = look);
                        }
                    },
                    for (each, word) in Look::ALL {
                        option { value: word, selected: each == look,
                            {match each {
                                Look::System => t!("set-look-system"),
                                Look::Light => t!("set-look-light"),
                                Look::Dark => t!("set-look-dark"),
                            }}
                        }
                    }
                }
            }
            Switch {
                label: t!("set-contrast"), on: contrast,
                onchange: move |on| set(ui, &contrast_host, |settings| settings.contrast = on),
            }
            Switch {
                label: t!("set-still"), on: still,
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
            h2 { id: "set-devices", {t!("set-devices")} }
            if let Some(devices) = devices {
                ul {
                    for device in devices.into_iter().filter(|device| !device.revoked) {
                        li { key: "{device.id}", class: "device",
                            span { class: "device-words",
                                strong { "{device.name}" }
                                small { class: "soft small",
                                    " "
                                    if own == Some(device.id) {
                                        {t!("set-device-this")}
                                    } else {
                                        {t!("set-device-used", ago = ago_since(now, device.last_used_at.0))}
                                    }
                                }
                            }
                            if own != Some(device.id) {
                                button {
                                    class: "button", r#type: "button", aria_label: t!("set-device-out", name = device.name.as_str()),
                                    onclick: act({
                                        let (host, id) = (host.clone(), device.id);
                                        move |_| host.ask(Ask::Revoke(id))
                                    }),
                                    {t!("set-sign-out")}
                                }
                            }
                        }
                    }
                }
            } else {
                p { class: "soft", role: "status", {t!("set-devices-fetching")} }
            }
            button {
                class: "button", r#type: "button",
                onclick: act(move |_| {
                    look_at(ui, &out, None);
                    out.ask(Ask::SignOut);
                }),
                {t!("set-sign-out-here")}
            }
        }
    }
}
