//! Several tabs of one person, and the service worker that all of them come from.

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::cases::{bursts, is_like, only, texts};
use super::{Options, Place, READER, ROOM};
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
