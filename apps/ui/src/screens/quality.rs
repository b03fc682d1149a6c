//! How it goes: the connection, and what was spoken and heard last, stage by stage, as it was measured.

use core::time::Duration;

use crate::act::act;
use crate::memo::use_memo;
use dioxus::prelude::*;
use holler_core::engine::{Heard, SpokenFigures};

use crate::parts::{Faults, Icon, IconName};
use crate::port::{Ask, Host};
use crate::state::Link;
use crate::{Ui, t};

/// Samples a millisecond.
const SAMPLES_MS: u64 = 48;

/// The figures.
#[component]
pub fn Quality() -> Element {
    let mut ui = use_context::<Ui>();
    let host = use_context::<Host>();
    let watched = host.clone();
    use_effect(move || watched.ask(Ask::Watch(true)));
    use_drop(move || host.ask(Ask::Watch(false)));
    let known = use_memo(move || {
        let view = ui.view.read();
        (view.quality, view.link == Link::Up, view.round_trip_ms)
    });
    let ((spoken, heard, path), up, round_trip) = *known.read();
    let ms = |ms: u64| t!("figure-ms", ms = ms);
    let route = if path.is_some() { t!("quality-route-datagrams") } else { t!("quality-route-socket") };
    let mut link = vec![
        (t!("quality-link"), if up { t!("link-up") } else { t!("link-ended") }),
        (t!("quality-route"), route),
        (t!("quality-round-trip"), round_trip.map_or_else(|| t!("quality-none"), |trip| ms(trip.into()))),
        (t!("quality-codec"), "Opus 24 kbit/s, 20 ms".to_owned()),
    ];
    if let Some((there, here)) = path {
        link.push((t!("quality-loss-there"), share(there.into(), 1_000)));
        link.push((t!("quality-loss-here"), share(here.into(), 1_000)));
    }
    rsx! {
        main { class: "room settings", aria_label: t!("quality"),
            header { class: "room-head",
                button {
                    class: "icon-button", r#type: "button", aria_label: t!("back"),
                    onclick: act(move |_| ui.view.write().quality_open = false),
                    Icon { name: IconName::Back }
                }
                h1 { {t!("quality")} }
            }
            Faults {}
            div { class: "settings-body",
                Figures { id: "quality-link", title: t!("quality-connection"), rows: link }
                Figures { id: "quality-heard", title: t!("quality-heard"), rows: heard.map(heard_rows).unwrap_or_default() }
                Figures { id: "quality-spoken", title: t!("quality-spoken"), rows: spoken.map(spoken_rows).unwrap_or_default() }
            }
        }
    }
}

#[component]
fn Figures(id: String, title: String, rows: Vec<(String, String)>) -> Element {
    rsx! {
        section { class: "card stack", aria_labelledby: "{id}",
            h2 { id: "{id}", "{title}" }
            if rows.is_empty() {
                p { class: "soft", {t!("quality-nothing")} }
            }
            dl { class: "figures",
                for (name, value) in rows {
                    div { dt { "{name}" } dd { "{value}" } }
                }
            }
        }
    }
}

fn whole_ms(span: Duration) -> String {
    t!("figure-ms", ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// Frames of a hundred, with a decimal.
fn share(part: u32, all: u32) -> String {
    let share = if all == 0 { 0.0 } else { f64::from(part) * 100.0 / f64::from(all) };
    t!("figure-share", share = format!("{share:.1}"))
}

fn heard_rows(heard: Heard) -> Vec<(String, String)> {
    let tally = heard.tally;
    let lost = tally.recovered + tally.concealed + tally.skipped;
    vec![
        (t!("quality-mouth-to-ear"), whole_ms(heard.mouth_to_ear)),
        (t!("quality-stage-sender"), whole_ms(heard.age)),
        (t!("quality-stage-network"), whole_ms(heard.network)),
        (t!("quality-stage-buffer"), whole_ms(heard.buffered)),
        (t!("quality-stage-play"), whole_ms(heard.playing)),
        (t!("quality-jitter"), whole_ms(heard.target)),
        (t!("quality-loss"), share(lost, tally.played + lost)),
        (t!("quality-frames-came"), t!("figure-count", count = heard.came)),
        (t!("quality-frames-played"), t!("figure-count", count = tally.played)),
        (t!("quality-frames-concealed"), t!("figure-count", count = lost)),
        (t!("quality-bridges"), t!("figure-count", count = tally.bridges)),
    ]
}

fn spoken_rows(spoken: SpokenFigures) -> Vec<(String, String)> {
    vec![
        (t!("quality-stage-capture"), whole_ms(spoken.capture)),
        (t!("quality-stage-encode"), whole_ms(spoken.encode)),
        (t!("quality-stage-send"), whole_ms(spoken.queue)),
        (t!("quality-first-sent"), spoken.first_sent.map_or_else(|| t!("quality-none"), whole_ms)),
        (t!("quality-captured"), t!("figure-ms", ms = spoken.samples / SAMPLES_MS)),
        (t!("quality-skipped"), t!("figure-ms", ms = spoken.skipped / SAMPLES_MS)),
        (t!("quality-silent"), t!("figure-ms", ms = spoken.silent / SAMPLES_MS)),
        (t!("quality-frames-in"), t!("figure-count", count = spoken.frames)),
        (t!("quality-frames-out"), t!("figure-count", count = spoken.packets)),
        (t!("quality-frames-sent"), t!("figure-count", count = spoken.sent)),
        (t!("quality-frames-stale"), t!("figure-count", count = spoken.stale)),
    ]
}
