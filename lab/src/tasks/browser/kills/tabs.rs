//! Several tabs of one person, and the service worker that all of them come from.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use holler_core::units::ClientId;
use serde_json::{Value, json};

use super::cases::{bursts, is_like, only, texts};
use super::{Options, PATIENCE, Place, READER, ROOM};
use crate::programs::{self, text};
use crate::tasks::say;

/// Another room.
const OTHER: &str = "Harbour";

fn open(place: &mut Place, tab: usize) -> Result<()> {
    place.ask(&json!({"do": "open", "tab": tab}))?;
    place.enter(tab)
}

/// Who is in the room goes on being shown in the tab that stays in it.
pub(super) fn left_in_one(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    place.server.add_room(OTHER)?;
    place.server.set_role(super::WEB, OTHER, "talker")?;
    open(&mut place, 1)?;
    place.ask(&json!({"do": "click", "tab": 0, "selector": ".people-button"}))?;
    place.wait(0, ".person", "not known").or_else(|_| place.wait(0, ".person", READER))?;
    place.ask(&json!({"do": "room", "tab": 1, "name": OTHER}))?;
    let listener = place.server.client(READER, &["listen", ROOM, "--bursts", "1", "--timeout", "20"])?;
    place.wait(0, ".person.available", READER).context("the tab that stayed in the room sees who comes")?;
    // A tab that is gone wants nothing more; the other one still does.
    place.ask(&json!({"do": "room", "tab": 1, "name": ROOM}))?;
    place.ask(&json!({"do": "crash", "tab": 1}))?;
    drop(listener);
    place.wait(0, ".person:not(.available)", READER).context("and who goes")?;
    place.end()
}

/// The tab that is pressed leads at once: none of those that waited before it is in between.
pub(super) fn third_pressed(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    open(&mut place, 1)?;
    open(&mut place, 2)?;
    place.connected(2)?;
    place.speak(2, 1_000)?;
    is_like(only(&place.delivered(1)?)?, 1_000, 100, 0..2_000)?;
    let between = place.ask(&json!({"do": "notes", "tab": 1}))?;
    ensure!(last(&between["notes"], "leads").is_none(), "the second tab led in between: {between}");
    let led = place.ask(&json!({"do": "notes", "tab": 2, "until": "leads"}))?;
    let gave = place.ask(&json!({"do": "notes", "tab": 0, "until": "follows"}))?;
    if let (Some(gave), Some(led)) = (last(&gave["notes"], "follows"), last(&led["notes"], "leads")) {
        say(&format!("from the first tab's giving way to the third's lead: {} ms", led.saturating_sub(gave)));
    }
    place.end()
}

fn last(notes: &Value, what: &str) -> Option<u64> {
    notes.as_array()?.iter().rev().find(|note| note[0] == what)?[1].as_u64()
}

/// The service worker keeps all files of its build as they were built, or none.
pub(super) fn spoilt(options: &Options) -> Result<()> {
    let mut place = with_service_worker(options)?;
    place.ask(&json!({"do": "spoil", "file": "ar.ftl"}))?;
    place.ask(&json!({"do": "open"}))?;
    let installed = place.ask(&json!({"do": "installed"}))?;
    ensure!(installed["state"] == "redundant" && installed["kept"] == json!([]), "it is kept: {installed}");
    place.ask(&json!({"do": "spoil", "file": null}))?;
    let installed = place.ask(&json!({"do": "installed"}))?;
    ensure!(installed["state"] == "activated", "it is not kept: {installed}");
    place.end()
}

/// A browser whose pages come with their service worker.
fn with_service_worker(options: &Options) -> Result<Place> {
    let mut place = Place::new(options)?;
    let keys = place.server.root().parent().context("the keys folder")?.to_owned();
    let through =
        json!({"do": "with-service-worker", "certificate": keys.join("server.pem"), "key": keys.join("server.key")});
    place.ask(&through)?;
    Ok(place)
}

/// Two tabs with their service worker, signed in and in the room.
fn served(options: &Options) -> Result<Place> {
    let mut place = with_service_worker(options)?;
    place.ask(&json!({"do": "open"}))?;
    place.sign_in(0)?;
    let served = place.ask(&json!({"do": "served"}))?;
    ensure!(served["served"] == true, "the page does not come from its service worker");
    place.enter(0)?;
    open(&mut place, 1)?;
    place.connected(1)?;
    Ok(place)
}

/// One tab goes on with the new version while the other records: that one goes on when all it recorded is on the disk, to its
/// last frame, and nothing that waited is lost.
pub(super) fn new_version(options: &Options) -> Result<()> {
    let mut place = served(options)?;
    place.ask(&json!({"do": "api", "on": false}))?;
    for tab in 0..2 {
        place.wait(tab, ".link", "Offline")?;
    }
    place.write(1, &["queued before"])?;
    place.wait(0, ".queued", "1 waits")?;
    place.ask(&json!({"do": "another-build"})).context("both tabs say that a new version waits")?;
    place.press(0)?;
    place.ask(&json!({"do": "hold", "ms": 1_000}))?;
    place.ask(&json!({"do": "button", "tab": 1, "name": "Reload"}))?;
    place
        .ask(&json!({"do": "taken-over", "tab": 1}))
        .context("the tab that speaks not goes on with the new version")?;
    let version = place.ask(&json!({"do": "version", "tab": 0}))?;
    ensure!(version["newer"] == false, "the new version took over while somebody spoke");
    place.wait(0, ".talk-state, .talk-hint", "ecord")?;
    place.ask(&json!({"do": "hold", "ms": 1_000}))?;
    place.ask(&json!({"do": "release", "tab": 0}))?;
    place.ask(&json!({"do": "taken-over", "tab": 0})).context("the tab that spoke goes on afterwards")?;
    place.wait(1, ".queued", "2 wait")?;
    place.ask(&json!({"do": "api", "on": true}))?;
    let log = place.delivered(2)?;
    ensure!(log.len() == 2 && texts(&log) == ["queued before"], "once, in order: {log:?}");
    ensure!(bursts(&log).len() == 1, "one burst: {log:?}");
    is_like(only(&log)?, 2_000, 100, 0..60_000)?;
    place.end()
}

/// A notification that is clicked shows its room in a page that is open, or opens one there.
pub(super) fn service_told(options: &Options) -> Result<()> {
    let mut place = served(options)?;
    place.server.add_room(OTHER)?;
    place.server.set_role(super::WEB, OTHER, "talker")?;
    place.wait(0, ".room-row", OTHER)?;
    let rooms = place.runtime.block_on(place.rest.rooms())?;
    let room = rooms.iter().find(|room| room.name == ROOM).context("the room")?.id.to_string();
    for tab in 0..2 {
        place.ask(&json!({"do": "room", "tab": tab, "name": OTHER}))?;
    }
    let clicked = json!({"notification": {"data": {"room": room}}});
    let event = json!({"do": "service-event", "type": "notificationclick", "details": clicked});
    let told = place.ask(&event)?;
    ensure!(told["tried"] == json!(["closed"]), "a page is open, and none is to be opened: {told}");
    place.wait(0, "h1", ROOM).or_else(|_| place.wait(1, "h1", ROOM)).context("an open page shows the room")?;
    for tab in 0..2 {
        place.ask(&json!({"do": "close", "tab": tab}))?;
    }
    let told = place.ask(&event)?;
    ensure!(told["tried"] == json!(["closed", format!("/?room={room}")]), "a page is opened: {told}");
    place
        .ask(&json!({"do": "open", "path": format!("?room={room}"), "until": ".talk-button"}))
        .context("the address that it opens leads to the room")?;
    place.wait(0, "h1", ROOM)?;
    place.end()
}

/// Two tabs that are in the room and connected.
fn two(options: &Options) -> Result<Place> {
    let mut place = Place::new(options)?;
    open(&mut place, 1)?;
    place.connected(1)?;
    Ok(place)
}

/// A press in `tab` is turned down in these words.
fn turned_down(place: &mut Place, tab: usize, words: &str) -> Result<()> {
    place.ask(&json!({"do": "press", "tab": tab}))?;
    place.wait(tab, ".talk-state, .talk-hint", words)?;
    place.ask(&json!({"do": "release", "tab": tab}))?;
    Ok(())
}

/// What a tab was told of who leads since it was opened.
fn notes(place: &mut Place, tab: usize) -> Result<Value> {
    Ok(place.ask(&json!({"do": "notes", "tab": tab}))?["notes"].take())
}

/// A leader whose disk takes nothing keeps the lead: what it has is nowhere else.
pub(super) fn full_and_pressed(options: &Options) -> Result<()> {
    let mut place = two(options)?;
    place.cut(0)?;
    place.wait(1, ".link", "Offline")?;
    place.press(0)?;
    place.ask(&json!({"do": "hold", "ms": 700}))?;
    place.ask(&json!({"do": "quota", "none": true}))?;
    // Chromium believes for half a minute what it was last told of the room that there is.
    place.ask(&json!({"do": "hold", "ms": 16_000}))?;
    let full = place.ask(&json!({"do": "wait-for", "selector": ".banner", "words": "no room left"}))?;
    let held_ms = 16_700 + full["ms"].as_u64().context("how long it took")?;
    place.ask(&json!({"do": "release"}))?;
    place.wait(0, ".queued", "1 waits")?;
    turned_down(&mut place, 1, "not on the disk")?;
    place.ask(&json!({"do": "quota"}))?;
    place.ask(&json!({"do": "gone", "selector": ".banner", "words": "no room left"}))?;
    place.speak(1, 1_000)?;
    place.wait(1, ".queued", "2 wait")?;
    place.proxy.mend();
    let log = place.delivered(2)?;
    let [first, second] = bursts(&log)[..] else { anyhow::bail!("both, once each: {log:?}") };
    // When the microphone came is not told: what counts is that all of it is there, once.
    is_like(first, held_ms, 4_000, 1_000..90_000)?;
    is_like(second, 1_000, 100, 0..60_000)?;
    place.end()
}

/// Where nothing is kept, who is signed in is known to one tab only: it goes on leading.
pub(super) fn private_and_pressed(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    place.ask(&json!({"do": "close"}))?;
    place.ask(&json!({"do": "private"}))?;
    place.ask(&json!({"do": "open", "until": "form"}))?;
    place.sign_in(0)?;
    place.enter(0)?;
    place.connected(0)?;
    open(&mut place, 1)?;
    place.connected(1)?;
    turned_down(&mut place, 1, "not on the disk")?;
    for tab in 0..2 {
        let forms = place.ask(&json!({"do": "count", "tab": tab, "selector": ".sign-in"}))?;
        ensure!(forms["count"] == 0, "tab {tab} is signed out: {forms}");
    }
    place.speak(0, 800)?;
    is_like(only(&place.delivered(1)?)?, 800, 100, 0..2_000)?;
    place.wait(1, ".link", "Connected")?;
    place.end()
}

/// However shortly after the lead came the button is let go: nothing is recorded from then on. The more is kept, the longer the
/// new leader takes to begin.
pub(super) fn short_presses(options: &Options) -> Result<()> {
    const KEPT: u16 = 300;
    const SHORT_MS: u64 = 2_000;
    let mut place = two(options)?;
    place.cut(0)?;
    place.wait(1, ".link", "Offline")?;
    let ids: Vec<String> = (1..=KEPT).map(|n| ClientId::from_bytes(u128::from(n).to_be_bytes()).to_string()).collect();
    let room = place.room.to_string();
    place.ask(&json!({"do": "texts", "room": room, "ids": ids}))?;
    for (tab, ms) in [1, 0].into_iter().cycle().zip([0, 20, 50, 100, 200, 300, 400, 600]) {
        place.ask(&json!({"do": "press-shortly", "tab": tab, "ms": ms}))?;
        let over = json!({"do": "wait-for", "tab": tab, "selector": ".talk-state", "pattern": "^(Recorded|That did not work)$"});
        place.ask(&over).with_context(|| format!("let go {ms} ms after the lead came"))?;
    }
    place.ask(&json!({"do": "hold", "ms": SHORT_MS}))?;
    place.proxy.mend();
    let log = place.delivered(usize::from(KEPT))?;
    place.ask(&json!({"do": "gone", "selector": ".queued"}))?;
    let log = place.delivered(log.len())?;
    ensure!(texts(&log).len() == usize::from(KEPT), "each text once: {} are there", texts(&log).len());
    let long: Vec<_> = bursts(&log).into_iter().filter(|burst| burst.length_ms >= SHORT_MS).collect();
    ensure!(long.is_empty(), "recorded after the button was up: {long:?}");
    say(&format!("of 8 short presses {} recorded something", bursts(&log).len()));
    place.end()
}

/// What is written while no tab leads goes out when one does.
pub(super) fn nobody_leads(options: &Options) -> Result<()> {
    let mut place = two(options)?;
    place.ask(&json!({"do": "halt", "on": true}))?;
    place.write(0, &["by who led"])?;
    place.write(1, &["by who followed"])?;
    place.ask(&json!({"do": "halt", "on": false}))?;
    let log = place.delivered(2)?;
    let mut said = texts(&log);
    said.sort_unstable();
    ensure!(said == ["by who followed", "by who led"], "each once: {log:?}");
    for tab in 0..2 {
        place.ask(&json!({"do": "gone", "tab": tab, "selector": ".item.waiting"}))?;
    }
    place.end()
}

/// What is written while the leading tab dies goes out once.
pub(super) fn written_at_a_crash(options: &Options) -> Result<()> {
    let mut place = two(options)?;
    place.ask(&json!({"do": "crash-and-send", "tab": 0, "writes": 1, "text": "at the crash"}))?;
    let log = place.delivered(1)?;
    ensure!(texts(&log) == ["at the crash"], "{log:?}");
    place.ask(&json!({"do": "gone", "tab": 1, "selector": ".item.waiting"}))?;
    place.end()
}

/// Where a newer version leads, a tab of an earlier one says that it is to be loaded anew, and takes nothing away; where that one
/// is gone, it does what is wanted.
pub(super) fn of_an_earlier_version(options: &Options) -> Result<()> {
    const RELOAD: &str = "reload this tab";
    let mut place = two(options)?;
    place.ask(&json!({"do": "another-version"}))?;
    open(&mut place, 2)?;
    place.connected(2)?;
    for tab in 0..2 {
        place.wait(tab, ".banner", RELOAD)?;
        place.write(tab, &["too late"])?;
        place.wait(tab, ".item", RELOAD)?;
        turned_down(&mut place, tab, RELOAD)?;
    }
    let led = notes(&mut place, 2)?;
    ensure!(last(&led, "follows").is_none(), "the newer version gave way: {led}");
    place.write(2, &["by the newer"])?;
    place.delivered(1)?;
    place.ask(&json!({"do": "close", "tab": 2}))?;
    place.write(1, &["in time"])?;
    let log = place.delivered(2)?;
    ensure!(log.len() == 2 && texts(&log) == ["by the newer", "in time"], "{log:?}");
    place.end()
}

/// What the tabs that stay know already, and the next leader is told again, stands there once.
pub(super) fn told_once(options: &Options) -> Result<()> {
    const TEXTS: u16 = 20;
    let mut place = two(options)?;
    let id = |n: u16| ClientId::from_bytes(u128::from(n).to_be_bytes());
    for n in 1..=TEXTS {
        place.append("from elsewhere", id(n))?;
    }
    place.wait(1, ".item", "from elsewhere")?;
    place.ask(&json!({"do": "crash", "tab": 0}))?;
    place.ask(&json!({"do": "notes", "tab": 1, "until": "leads"}))?;
    place.connected(1)?;
    place.append("the last", id(TEXTS + 1))?;
    place.wait(1, ".item", "the last")?;
    let shown = place.ask(&json!({"do": "count", "tab": 1, "selector": ".item", "words": "from elsewhere"}))?;
    ensure!(shown["count"] == TEXTS, "each once: {shown}");
    place.end()
}

/// A burst that is played to its end in a tab that follows counts as heard, and every tab shows it so.
pub(super) fn heard_in_a_follower(options: &Options) -> Result<()> {
    let mut place = two(options)?;
    place.cut(0)?;
    let file = programs::fixture("speech-b.wav");
    place.server.client(READER, &["talk", ROOM, text(&file)?])?.finish(PATIENCE)?;
    place.proxy.mend();
    place.connected(0)?;
    let spoken = only(&place.delivered(1)?)?.burst;
    let heard = |place: &Place| place.runtime.block_on(place.rest.burst_receipts(place.room, spoken));
    ensure!(heard(&place)?.heard == 0, "nobody heard it yet");
    place.ask(&json!({"do": "click", "tab": 1, "selector": ".item.burst .play"}))?;
    let began = Instant::now();
    while heard(&place)?.heard == 0 {
        ensure!(began.elapsed() < 2 * PATIENCE, "played to its end in the second tab, and not heard");
        std::thread::sleep(Duration::from_millis(100));
    }
    let led = notes(&mut place, 1)?;
    ensure!(last(&led, "leads").is_none(), "the second tab led: {led}");
    place.end()
}

/// Of two tabs the one sounds that somebody touched.
pub(super) fn sounds_where_touched(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    place.ask(&json!({"do": "silent-until-touched"}))?;
    let room = format!("?room={}", place.room);
    for tab in 0..2 {
        place.ask(&json!({"do": "open", "tab": tab, "path": room, "until": ".talk-button"}))?;
        place.connected(tab)?;
    }
    let led = notes(&mut place, 0)?;
    ensure!(last(&led, "leads").is_some(), "the first tab leads: {led}");
    place.ask(&json!({"do": "click", "tab": 1, "selector": ".people-button"}))?;
    place.ask(&json!({"do": "notes", "tab": 1, "until": "leads"})).context("the tab that was touched leads")?;
    place.connected(1)?;
    let file = programs::fixture("speech-b.wav");
    let talker = place.server.client(READER, &["talk", ROOM, text(&file)?])?;
    place.ask(&json!({"do": "notes", "tab": 1, "until": "sounds"})).context("the tab that was touched sounds")?;
    talker.finish(PATIENCE)?;
    let silent = notes(&mut place, 0)?;
    ensure!(last(&silent, "sounds").is_none(), "both tabs sound: {silent}");
    place.end()
}
