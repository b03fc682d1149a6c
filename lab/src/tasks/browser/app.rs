//! The app in the browser's hands: its files are kept, it opens without the server, a new version waits and takes over, and a
//! push message becomes a notification.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use super::page::Page;
use super::{ROOM, Server, WEB, look_over, say, shoot};

/// Starts without a server that are measured; the median is told.
const STARTS: usize = 5;

/// The files of one build are there, all of them and no others.
pub(super) fn kept(page: &mut Page) -> Result<()> {
    let kept = page.ask(&json!({"do": "kept"})).context("the service worker has its files")?;
    let names = kept["names"].as_array().map_or(0, Vec::len);
    ensure!(names == 1, "expected the files of one build, found {}", kept["names"]);
    let files: Vec<&str> = kept["files"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    for wanted in
        ["/", "holler_bg.wasm", "holler.js", "sound.js", "style.css", "holler.webmanifest", "icon-maskable-512.png"]
    {
        ensure!(files.iter().any(|file| file.ends_with(wanted)), "{wanted} is not kept: {files:?}");
    }
    Ok(())
}

/// What the service worker shows, in words of its own.
pub(super) fn notifies(page: &mut Page) -> Result<()> {
    let room = "room_00000000000000000000000000";
    let cases = [
        (
            json!({"kind": "burst", "room": room, "seq": 7, "events": 1, "at": 0, "room_name": "Harbour", "from": "Sam"}),
            ("news", "Sam", "spoke in Harbour"),
        ),
        (
            json!({"kind": "message", "room": room, "seq": 9, "events": 3, "at": 0, "from": "Sam", "text": "on my <b>way"}),
            ("news", "Sam", "on my <b>way (3 new)"),
        ),
        // Of an encrypted room nothing is named.
        (
            json!({"kind": "message", "room": room, "seq": 9, "events": 1, "at": 0}),
            ("news", "Holler", "wrote a message"),
        ),
        (
            json!({"kind": "emergency", "room": room, "seq": 8, "events": 1, "at": 0, "room_name": "Harbour", "from": "Sam"}),
            ("emergency", "EMERGENCY · Sam", "Harbour"),
        ),
    ];
    for (mut data, (subject, title, body)) in cases {
        data["tag"] = format!("{room}/{subject}").into();
        let shown = page.ask(&json!({"do": "pushed", "data": data}))?["shown"].clone();
        ensure!(shown.as_array().is_some_and(|shown| shown.len() == 1), "one replaces the other: {shown}");
        ensure!(shown[0]["title"] == title && shown[0]["body"] == body, "expected {title}: {body}, found {shown}");
        ensure!(shown[0]["data"]["room"] == room, "it leads nowhere: {shown}");
    }
    Ok(())
}

/// A new version waits, takes over when the person says so and nobody speaks, and loses nothing.
pub(super) fn upgrades(page: &mut Page, server: &Server, password: &str, faults: &mut Vec<String>) -> Result<()> {
    let keys = server.root().parent().context("the keys folder")?;
    let through = json!({"do": "through", "certificate": keys.join("server.pem"), "key": keys.join("server.key")});
    page.ask(&through).context("the client under another address")?;
    page.ask(&json!({"do": "sign-in", "login": WEB, "password": password}))?;
    page.ask(&json!({"do": "room", "name": ROOM}))?;
    kept(page)?;
    // The first page came before its service worker; from now on each comes from it.
    page.ask(&json!({"do": "reload"}))?;
    ensure!(page.ask(&json!({"do": "kept"}))?["controlled"] == true, "the service worker does not look after the page");
    page.ask(&json!({"do": "room", "name": ROOM}))?;
    let before = page.ask(&json!({"do": "build"}))?;
    ensure!(before["waits"] == false, "nothing new has come: {before}");
    page.ask(&json!({"do": "another-build"})).context("a new version is told")?;
    look_over(page, faults, "a new version waits")?;
    let waiting = page.ask(&json!({"do": "build"}))?;
    ensure!(waiting["waits"] == true && waiting["script"] == before["script"], "it took over unasked: {waiting}");
    page.ask(&json!({"do": "press"}))?;
    page.ask(&json!({"do": "wait-for", "words": "Speak now"})).context("talking while a new version waits")?;
    page.ask(&json!({"do": "poke", "name": "Reload"}))?;
    page.ask(&json!({"do": "wait-for", "words": "Speak now"}))
        .context("the new version waits for the end of the burst")?;
    let pressed = page.ask(&json!({"do": "build"}))?;
    ensure!(pressed["script"] == before["script"], "it took over while somebody spoke: {pressed}");
    let spoken = page.ask(&json!({"do": "count", "selector": ".item.burst"}))?["count"].as_u64();
    page.ask(&json!({"do": "release"}))?;
    page.ask(&json!({"do": "taken-over"})).context("the new version takes over once nobody speaks")?;
    page.ask(&json!({"do": "room", "name": ROOM}))?;
    let after = page.ask(&json!({"do": "count", "selector": ".item.burst"}))?["count"].as_u64();
    ensure!(after >= spoken && after > Some(0), "bursts before: {spoken:?}, after: {after:?}");
    let kept = page.ask(&json!({"do": "kept"}))?;
    ensure!(kept["names"].as_array().map_or(0, Vec::len) == 1, "the old files stay: {}", kept["names"]);
    page.ask(&json!({"do": "open"}))?;
    Ok(())
}

/// The server is gone, and the app opens all the same.
pub(super) fn opens_alone(page: &mut Page) -> Result<()> {
    let mut times = Vec::new();
    for _ in 0..STARTS {
        let opened = page.ask(&json!({"do": "open"})).context("the app opens without its server")?;
        times.push(opened["usable_ms"].as_u64().unwrap_or(u64::MAX));
    }
    times.sort_unstable();
    say(&format!(
        "without the server the first screen is usable {} ms after navigation (median of {STARTS}: {times:?}; goal 700)",
        times[STARTS / 2]
    ));
    Ok(())
}

/// Without the server: what is said and written waits, is shown, heard and dropped; the keyboard alone is enough for it.
pub(super) fn queues(page: &mut Page, shots: Option<&Path>, faults: &mut Vec<String>) -> Result<()> {
    page.ask(&json!({"do": "click", "selector": format!(".room-row:has-text('{ROOM}')")}))?;
    page.ask(&json!({"do": "wait-for", "words": "Offline", "at": ".talk-state"}))?;
    page.ask(&json!({"do": "write", "text": "the gate is open"}))?;
    page.ask(&json!({"do": "press"}))?;
    page.ask(&json!({"do": "wait-for", "words": "It is recorded"})).context("recorded without a connection")?;
    shoot(page, shots, "talking-offline")?;
    look_over(page, faults, "talking offline")?;
    page.ask(&json!({"do": "release"}))?;
    page.ask(&json!({"do": "wait-for", "words": "2 wait to be delivered"})).context("both wait")?;
    shoot(page, shots, "queue-banner")?;
    look_over(page, faults, "room with what waits")?;
    // From the top of the page, as somebody who has no pointer comes to it.
    page.ask(&json!({"do": "click", "selector": ".room-head h1"}))?;
    page.ask(&json!({"do": "tab", "name": "Show it", "presses": 40}))?;
    page.ask(&json!({"do": "key", "key": "Enter"}))?;
    page.ask(&json!({"do": "wait-for", "words": "the gate is open", "at": ".waits"}))
        .context("the text in the queue")?;
    page.ask(&json!({"do": "wait-for", "words": "Speech", "at": ".waits"})).context("the burst in the queue")?;
    shoot(page, shots, "queue")?;
    look_over(page, faults, "queue")?;
    page.ask(&json!({"do": "phone", "on": true}))?;
    let targets = page.ask(&json!({"do": "targets"}))?;
    page.ask(&json!({"do": "phone", "on": false}))?;
    if targets["small"].as_array().is_none_or(|small| !small.is_empty()) || targets["wider"] == true {
        faults.push(format!("queue on a phone: {targets}"));
    }
    for _ in 0..2 {
        page.ask(&json!({"do": "tab", "name": "Drop", "presses": 40}))?;
        page.ask(&json!({"do": "key", "key": "Enter"}))?;
        page.ask(&json!({"do": "wait-for", "words": "Drop it for good?", "at": ".waits button"}))
            .context("dropping is asked twice")?;
        page.ask(&json!({"do": "key", "key": "Enter"}))?;
        page.ask(&json!({"do": "gone", "selector": ".waits button:has-text('for good')"}))?;
    }
    page.ask(&json!({"do": "wait-for", "words": "Nothing waits", "at": ".settings-body"}))
        .context("both are dropped")?;
    shoot(page, shots, "queue-empty")?;
    Ok(())
}
