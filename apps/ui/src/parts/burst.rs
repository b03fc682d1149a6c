//! A burst in the timeline: its waveform, its length, how it ended; while it plays, where it is, how fast, and a way to another place.

use crate::act::act;
use dioxus::prelude::*;
use holler_core::model::Priority;
use holler_core::units::RoomId;

use super::item::called;
use super::{Icon, IconName};
use crate::port::{Ask, Host};
use crate::state::{Burst, BurstEnd, Taken};
use crate::{Ui, t};

/// How high a waveform is drawn, in its own units; a bar is three of them wide, with one between.
const WAVE_HEIGHT: u32 = 24;

/// A length in words: to a tenth of a second below ten.
fn length(ms: u32) -> String {
    let seconds = f64::from(ms) / 1_000.0;
    t!("length", seconds = if seconds < 10.0 { format!("{seconds:.1}") } else { format!("{:.0}", seconds.round()) })
}

/// The path of a waveform: one bar a value, each as high as it is loud.
fn wave_path(bars: &[u8]) -> String {
    use core::fmt::Write as _;
    let mut path = String::with_capacity(bars.len() * 14);
    for (at, bar) in bars.iter().enumerate() {
        let half = (u32::from(*bar) * WAVE_HEIGHT / 2 / 255).max(1);
        // It fails only for want of memory.
        let _ = write!(path, "M{} {}v{}", at * 4 + 2, WAVE_HEIGHT / 2 - half, half * 2);
    }
    path
}

fn wave(bars: &[u8]) -> Element {
    let width = bars.len() * 4;
    let path = wave_path(bars);
    rsx! {
        svg {
            class: "wave", view_box: "0 0 {width} {WAVE_HEIGHT}", preserve_aspect_ratio: "none", "aria-hidden": "true",
            "focusable": "false",
            path { d: path }
        }
    }
}

pub(super) fn burst_line(ui: Ui, host: &Host, room: RoomId, burst: &Burst, is_playing: bool) -> Element {
    let own = ui.view.peek().me() == Some(burst.user);
    let (name, time) = (called(ui, burst.user), host.clock(burst.at));
    let length_words = burst.length_ms().map_or_else(|| t!("length-unknown"), length);
    let state = match (burst.end, burst.missed, burst.lacks) {
        (BurstEnd::Live, ..) => t!("burst-live"),
        (BurstEnd::Waiting, ..) => t!("burst-waiting"),
        (BurstEnd::Kept, ..) => t!("burst-kept"),
        (BurstEnd::Interrupted, ..) => t!("burst-interrupted", length = length_words),
        (BurstEnd::Ended, true, _) => t!("burst-missed", length = length_words),
        (BurstEnd::Ended, false, true) => t!("burst-arriving", length = length_words),
        (BurstEnd::Ended, false, false) if burst.heard && !own => t!("burst-heard", length = length_words),
        (BurstEnd::Ended, false, false) => length_words,
    };
    let state = match burst.reach.filter(|_| burst.is_past()) {
        Some(reach) => t!("burst-reached", state = state, reach = reach.words(Taken::Heard)),
        None => state,
    };
    let state = if burst.priority == Priority::Emergency { t!("burst-emergency", state = state) } else { state };
    let class = match (burst.end, own) {
        (BurstEnd::Live, true) => "item burst live own",
        (BurstEnd::Live, false) => "item burst live",
        (BurstEnd::Waiting | BurstEnd::Kept, _) => "item burst waiting",
        (BurstEnd::Ended | BurstEnd::Interrupted, _) if burst.missed => "item burst unheard",
        (BurstEnd::Ended | BurstEnd::Interrupted, _) => "item burst",
    };
    rsx! {
        li { class,
            if burst.is_past() {
                {play_button(ui, host.clone(), room, burst, &name, &time, is_playing)}
            } else {
                span { class: "burst-mark",
                    Icon {
                        name: match burst.end {
                            BurstEnd::Waiting => IconName::Queue,
                            BurstEnd::Kept => IconName::Offline,
                            BurstEnd::Live | BurstEnd::Ended | BurstEnd::Interrupted => IconName::Waves,
                        },
                    }
                }
            }
            div { class: "item-words",
                p { class: "item-head",
                    span { class: "item-name", "{name}" }
                    time { class: "soft small", "{time}" }
                    span { class: "small soft burst-state", "{state}" }
                }
                if is_playing {
                    {player(ui, host.clone(), room, burst)}
                } else if !burst.wave.is_empty() {
                    {wave(&burst.wave)}
                }
            }
        }
    }
}

fn play_button(mut ui: Ui, host: Host, room: RoomId, burst: &Burst, name: &str, time: &str, playing: bool) -> Element {
    let (id, frame_ms) = (burst.burst, burst.frame_ms);
    rsx! {
        button {
            class: if playing { "icon-button play playing" } else { "icon-button play" }, r#type: "button",
            aria_label: if playing { t!("play-stop") } else { t!("play-burst", name = name, time = time) },
            onclick: act(move |_| {
                if playing {
                    let at = *ui.position.peek();
                    let mut view = ui.view.write();
                    view.stopped = Some((id, at));
                    view.queue.clear();
                    drop(view);
                    return host.ask(Ask::StopReplay);
                }
                let view = ui.view.peek();
                let from = view.stopped.filter(|(stopped, _)| *stopped == id).map_or(0, |(_, at)| at);
                let ask = view.replay(room, id, frame_ms, from);
                drop(view);
                ui.position.set(from);
                host.ask(ask);
            }),
            Icon { name: if playing { IconName::Stop } else { IconName::Play } }
        }
    }
}

/// Where it is, and how fast: a slider over the waveform, so that arrow keys go through it as well.
fn player(mut ui: Ui, host: Host, room: RoomId, burst: &Burst) -> Element {
    let seek = host.clone();
    let (id, frame_ms) = (burst.burst, burst.frame_ms);
    let whole = burst.length_ms().unwrap_or(0).max(1);
    let at = (*ui.position.read()).min(whole);
    let speed = ui.view.peek().speed.words();
    rsx! {
        div { class: "player",
            div { class: "wave-seek",
                if !burst.wave.is_empty() {
                    {wave(&burst.wave)}
                }
                input {
                    r#type: "range", min: "0", max: "{whole}", step: "100", value: "{at}", aria_label: t!("play-position"),
                    aria_valuetext: t!("play-position-of", at = length(at), whole = length(whole)),
                    oninput: move |event| {
                        let Ok(to) = event.value().parse::<f64>() else { return };
                        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the slider's ends")]
                        let to = to.clamp(0.0, f64::from(whole)) as u32;
                        ui.position.set(to);
                        let ask = ui.view.peek().replay(room, id, frame_ms, to);
                        seek.ask(ask);
                    },
                }
            }
            span { class: "small soft player-at", {t!("play-position-of", at = length(at), whole = length(whole))} }
            button {
                class: "button speed", r#type: "button", aria_label: t!("play-speed", speed = speed),
                onclick: act(move |_| {
                    let next = ui.view.peek().speed.next();
                    ui.view.write().speed = next;
                    let at = *ui.position.peek();
                    // Drawn anew at once, not with the next position.
                    ui.position.set(at);
                    let ask = ui.view.peek().replay(room, id, frame_ms, at);
                    host.ask(ask);
                }),
                "{speed}"
            }
        }
    }
}
