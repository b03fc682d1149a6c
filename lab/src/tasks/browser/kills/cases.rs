//! The cases, one by one: what happens, and what must be in the log afterwards.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{Case, LOST_MS_MAX, Options, Place, Said, Spoken, WEB, tabs};
use crate::tasks::say;

const HOUR_MS: u64 = 3_600_000;

/// Every case.
pub(super) const ALL: &[Case] = &[
    in_chromium("killed in the middle of a press", false, killed_in_a_press),
    in_both("killed offline, in the middle of a press", true, killed_offline),
    in_chromium("no room in the middle of a press", false, no_room),
    in_both("the schema is upgraded with a queued burst", true, upgraded),
    in_chromium("two days offline, and the clock moved", false, two_days),
    in_chromium("signed out elsewhere while offline", true, signed_out_elsewhere),
    in_both("started without a network", false, started_offline),
    in_chromium("a damaged record", false, damaged),
    in_both("the leading tab is killed in the middle of a press", true, leader_killed),
    in_chromium("a press in another tab", true, pressed_elsewhere),
    in_chromium("nothing is kept, and what was kept is gone", false, not_kept),
    in_chromium("a room is left in one of two tabs", false, tabs::left_in_one),
    in_chromium("the third tab is pressed", false, tabs::third_pressed),
    in_chromium("no room, and a press in another tab", false, tabs::full_and_pressed),
    in_chromium("a private window, and a press in another tab", false, tabs::private_and_pressed),
    in_chromium("short presses in the tab that follows", true, tabs::short_presses),
    in_chromium("a text while no tab leads", true, tabs::nobody_leads),
    in_chromium("a text while the leading tab dies", false, tabs::written_at_a_crash),
    in_chromium("a tab of an earlier version", false, tabs::of_an_earlier_version),
    in_chromium("what came shortly before the leading tab died", false, tabs::told_once),
    in_chromium("what was missed is played in the tab that follows", false, tabs::heard_in_a_follower),
    in_chromium("the leading tab may not sound", false, tabs::sounds_where_touched),
    in_chromium("a new version, two tabs, and a press in one", true, tabs::new_version),
    in_chromium("what the service worker is told", false, tabs::service_told),
    in_chromium("a file that is not what was built", false, tabs::spoilt),
];

const fn in_both(name: &'static str, short: bool, run: fn(&Options) -> Result<()>) -> Case {
    Case { name, short, firefox: true, run }
}

const fn in_chromium(name: &'static str, short: bool, run: fn(&Options) -> Result<()>) -> Case {
    Case { name, short, firefox: false, run }
}

pub(super) fn bursts(log: &[Said]) -> Vec<Spoken> {
    log.iter().filter_map(|said| if let Said::Burst(spoken) = said { Some(*spoken) } else { None }).collect()
}

pub(super) fn texts(log: &[Said]) -> Vec<&str> {
    log.iter().filter_map(|said| if let Said::Text(text) = said { Some(text.as_str()) } else { None }).collect()
}

/// At least as long as it was spoken, but for what a kill may take; and not told as spoken at another time.
pub(super) fn is_like(spoken: Spoken, held_ms: u64, lost_ms: u64, ago_ms: core::ops::Range<u64>) -> Result<()> {
    ensure!(
        spoken.length_ms + lost_ms >= held_ms && spoken.length_ms < held_ms + 8_000,
        "it was held for {held_ms} ms: {spoken:?}"
    );
    ensure!(ago_ms.contains(&spoken.ago_ms), "spoken {ago_ms:?} ms ago: {spoken:?}");
    Ok(())
}

/// One burst, and which it is.
pub(super) fn only(log: &[Said]) -> Result<Spoken> {
    match bursts(log)[..] {
        [spoken] => Ok(spoken),
        _ => anyhow::bail!("one burst is expected: {log:?}"),
    }
}

fn killed_in_a_press(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    place.press(0)?;
    place.ask(&json!({"do": "hold", "ms": 2_000}))?;
    place.kill()?;
    let log = place.delivered(1)?;
    is_like(only(&log)?, 2_000, LOST_MS_MAX, 0..2_000)?;
    place.end()
}

fn killed_offline(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    place.cut(0)?;
    place.write(0, &["before"])?;
    place.wait(0, ".queued", "1 waits")?;
    place.speak(0, 1_500)?;
    place.wait(0, ".queued", "2 wait")?;
    place.press(0)?;
    place.ask(&json!({"do": "hold", "ms": 2_500}))?;
    place.kill()?;
    place.wait(0, ".queued", "3 wait")?;
    place.enter(0)?;
    place.write(0, &["after"])?;
    place.wait(0, ".queued", "4 wait")?;
    place.proxy.mend();
    let log = place.delivered(4)?;
    ensure!(log.len() == 4 && texts(&log) == ["before", "after"], "once and in order: {log:?}");
    ensure!(log[0] == Said::Text("before".into()) && log[3] == Said::Text("after".into()), "in order: {log:?}");
    let [whole, cut] = bursts(&log)[..] else { anyhow::bail!("two bursts: {log:?}") };
    is_like(whole, 1_500, 100, 3_000..60_000)?;
    is_like(cut, 2_500, LOST_MS_MAX, 1_000..60_000)?;
    ensure!(whole.ago_ms > cut.ago_ms, "the first was spoken first: {log:?}");
    place.ask(&json!({"do": "gone", "selector": ".queued"}))?;
    place.end()
}

fn no_room(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    place.cut(0)?;
    place.press(0)?;
    place.ask(&json!({"do": "hold", "ms": 700}))?;
    place.ask(&json!({"do": "quota", "none": true}))?;
    // Chromium believes for half a minute what it was last told of the room that there is.
    place.ask(&json!({"do": "hold", "ms": 16_000}))?;
    let full = place.ask(&json!({"do": "wait-for", "selector": ".banner", "words": "no room left"}))?;
    place.ask(&json!({"do": "hold", "ms": 1_000}))?;
    let held_ms = 17_700 + full["ms"].as_u64().context("how long it took")?;
    place.ask(&json!({"do": "release"}))?;
    place.wait(0, ".queued", "1 waits")?;
    // With room again, all of it is kept by itself, and outlives the browser.
    place.ask(&json!({"do": "quota"}))?;
    place.ask(&json!({"do": "gone", "selector": ".banner", "words": "no room left"}))?;
    place.kill()?;
    place.proxy.mend();
    let log = place.delivered(1)?;
    is_like(only(&log)?, held_ms, 100, 1_000..60_000)?;
    place.end()
}

fn upgraded(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    place.cut(0)?;
    place.write(0, &["of the earlier version"])?;
    place.speak(0, 1_000)?;
    place.wait(0, ".queued", "2 wait")?;
    place.ask(&json!({"do": "kill"}))?;
    let left = place.ask(&json!({"do": "downgrade", "version": 2, "without": ["known"]}))?;
    ensure!(left["left"].to_string().contains("queue"), "the earlier version had a queue: {left}");
    place.proxy.mend();
    place.ask(&json!({"do": "open", "until": ".room-row"})).context("still signed in")?;
    let log = place.delivered(2)?;
    ensure!(log.len() == 2 && log[0] == Said::Text("of the earlier version".into()), "once, in order: {log:?}");
    is_like(only(&log)?, 1_000, 100, 1_000..60_000)?;
    place.end()
}

fn two_days(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    place.cut(0)?;
    // The server's clock is known: what becomes of this device's does not matter.
    place.speak(0, 800)?;
    place.wait(0, ".queued", "1 waits")?;
    place.kill()?;
    place.enter(0)?;
    // It is not known in this run: the device's own clock is what there is, and how far it may be off is told.
    place.speak(0, 800)?;
    place.wait(0, ".queued", "2 wait")?;
    place.ask(&json!({"do": "clock", "ms": 48 * HOUR_MS}))?;
    place.kill()?;
    place.proxy.mend();
    let log = place.delivered(2)?;
    let [known, unknown] = bursts(&log)[..] else { anyhow::bail!("two bursts: {log:?}") };
    is_like(known, 800, 100, 1_000..60_000)?;
    ensure!(known.uncertainty_ms < 10_000, "the server's clock was known: {known:?}");
    is_like(unknown, 800, 100, 47 * HOUR_MS..49 * HOUR_MS)?;
    ensure!(unknown.uncertainty_ms > HOUR_MS, "how far it may be off is told: {unknown:?}");
    ensure!(log.len() == 2, "once: {log:?}");
    // Set back to before it was spoken.
    place.connected(0)?;
    place.cut(0)?;
    place.enter(0)?;
    place.speak(0, 800)?;
    place.wait(0, ".queued", "1 waits")?;
    place.ask(&json!({"do": "clock", "ms": -(i64::try_from(HOUR_MS)?)}))?;
    place.kill()?;
    place.proxy.mend();
    let log = place.delivered(3)?;
    let third = bursts(&log).get(2).copied().context("three bursts")?;
    is_like(third, 800, 100, 1_000..60_000)?;
    place.end()
}

fn signed_out_elsewhere(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    place.cut(0)?;
    place.write(0, &["still here"])?;
    place.speak(0, 1_000)?;
    place.wait(0, ".queued", "2 wait")?;
    place.server.revoke_all(WEB)?;
    // What another process revokes, a server knows within a second.
    place.ask(&json!({"do": "hold", "ms": 1_500}))?;
    place.proxy.mend();
    place.wait(0, ".sign-in, .banner", "when you sign in again in this browser")?;
    ensure!(place.log()?.is_empty(), "whoever was signed out delivers nothing");
    place.sign_in(0)?;
    let log = place.delivered(2)?;
    ensure!(log.len() == 2 && log[0] == Said::Text("still here".into()), "once, in order: {log:?}");
    is_like(only(&log)?, 1_000, 100, 1_000..60_000)?;
    place.end()
}

fn started_offline(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    place.write(0, &["seen before"])?;
    place.delivered(1)?;
    // What the server has too is written with the next half second.
    place.ask(&json!({"do": "hold", "ms": 1_200}))?;
    place.proxy.cut();
    place.kill()?;
    place.enter(0)?;
    place.wait(0, ".item", "seen before")?;
    place.write(0, &["written offline"])?;
    place.wait(0, ".queued", "1 waits")?;
    place.proxy.mend();
    let log = place.delivered(2)?;
    ensure!(texts(&log) == ["seen before", "written offline"], "{log:?}");
    place.wait(0, ".item", "written offline")?;
    let shown = place.ask(&json!({"do": "count", "selector": ".item", "words": "seen before"}))?;
    ensure!(shown["count"] == 1, "what was kept and what the server tells is shown once: {shown}");
    place.end()
}

fn damaged(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    place.cut(0)?;
    place.write(0, &["damaged"])?;
    place.speak(0, 800)?;
    place.wait(0, ".queued", "2 wait")?;
    place.ask(&json!({"do": "close"}))?;
    place.proxy.mend();
    let damaged = place.ask(&json!({"do": "damage", "prefix": "t/"}))?;
    ensure!(damaged["count"] == 1, "one text was kept: {damaged}");
    place.ask(&json!({"do": "open", "until": ".room-row"}))?;
    place.wait(0, ".banner", "Damaged records of what was said or written here: 1")?;
    let log = place.delivered(1)?;
    is_like(only(&log)?, 800, 100, 1_000..60_000)?;
    ensure!(log.len() == 1, "{log:?}");
    place.end()
}

fn not_kept(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    place.ask(&json!({"do": "close"}))?;
    place.ask(&json!({"do": "open"}))?;
    place.ask(&json!({"do": "evict"}))?;
    place.ask(&json!({"do": "close"}))?;
    place.ask(&json!({"do": "open", "until": "form"}))?;
    place.wait(0, ".sign-in, .banner", "threw away what it kept")?;
    place.ask(&json!({"do": "close"}))?;
    place.ask(&json!({"do": "private"}))?;
    place.ask(&json!({"do": "open", "until": "form"}))?;
    place.sign_in(0)?;
    place.enter(0)?;
    place.wait(0, ".banner", "keeps nothing for this page")?;
    // It talks all the same.
    place.connected(0)?;
    place.speak(0, 800)?;
    is_like(only(&place.delivered(1)?)?, 800, 100, 0..2_000)?;
    place.end()
}

fn leader_killed(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    place.ask(&json!({"do": "open", "tab": 1}))?;
    place.enter(1)?;
    place.connected(1)?;
    place.write(1, &["from the tab that follows"])?;
    place.wait(0, ".item", "from the tab that follows")?;
    place.cut(0)?;
    place.wait(1, ".link", "Offline")?;
    place.press(0)?;
    place.ask(&json!({"do": "hold", "ms": 1_500}))?;
    let began = Instant::now();
    place.ask(&json!({"do": "crash", "tab": 0}))?;
    // The one that takes over has what was spoken.
    place.wait(1, ".queued", "1 waits")?;
    say(&format!(
        "from the kill of the leading tab until the next shows what it spoke: {} ms",
        began.elapsed().as_millis()
    ));
    place.proxy.mend();
    let log = place.delivered(2)?;
    is_like(only(&log)?, 1_500, LOST_MS_MAX, 500..60_000)?;
    place.wait(1, ".link", "Connected")?;
    place.end()
}

/// Leadership goes to where the button is; what waited in the other tab is not lost, and one talks at a time.
fn pressed_elsewhere(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    place.ask(&json!({"do": "open", "tab": 1}))?;
    place.enter(1)?;
    place.connected(1)?;
    place.speak(1, 1_000)?;
    let log = place.delivered(1)?;
    is_like(only(&log)?, 1_000, 100, 0..2_000)?;
    place.connected(0)?;
    place.cut(0)?;
    place.wait(1, ".link", "Offline")?;
    place.speak(0, 1_000)?;
    place.wait(1, ".queued", "1 waits")?;
    place.press(0)?;
    place.ask(&json!({"do": "press", "tab": 1}))?;
    place.wait(1, ".talk-state, .talk-hint, .banner", "another tab")?;
    place.ask(&json!({"do": "release", "tab": 1}))?;
    place.ask(&json!({"do": "release", "tab": 0}))?;
    place.wait(1, ".queued", "2 wait")?;
    place.proxy.mend();
    let log = place.delivered(3)?;
    ensure!(bursts(&log).len() == 3, "each once: {log:?}");
    place.end()
}
