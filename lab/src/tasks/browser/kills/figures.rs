//! How fast: what is measured and printed.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use holler_core::units::ClientId;
use serde_json::{Value, json};

use super::{Options, Place};
use crate::tasks::say;

/// Texts that are kept at once: as many as may wait.
const RECORDS: u16 = 1_000;
/// Events that are missed.
const MISSED: u16 = 500;
/// How long the server is away without anybody telling the browser when it is back, s.
const AWAY_S: [u64; 3] = [2, 6, 25];
/// How long the network is away that the browser sees come back, s: the waits between tries are long by then.
const OUT_S: u64 = 20;

/// Measures and prints.
pub(super) fn run(options: &Options) -> Result<()> {
    let mut place = Place::new(options)?;
    records(&mut place)?;
    place.enter(0)?;
    place.connected(0)?;
    let mut round = 0;
    back(&mut place, &mut round, Duration::from_secs(OUT_S), true)?;
    for away in AWAY_S {
        back(&mut place, &mut round, Duration::from_secs(away), false)?;
    }
    place.end()
}

fn records(place: &mut Place) -> Result<()> {
    place.cut(0)?;
    let ids: Vec<String> = (0..RECORDS).map(|n| ClientId::from_bytes(id(n)).to_string()).collect();
    let room = place.room.to_string();
    let told = place.ask(&json!({"do": "texts", "room": room, "ids": ids}))?;
    let took = told["ms"].as_f64().unwrap_or(f64::NAN);
    say(&format!("{RECORDS} queued texts on the disk, and each told to be: {took:.0} ms (goal 1,000)"));
    let began = Instant::now();
    place.kill()?;
    let usable = began.elapsed().as_millis();
    place.wait(0, ".queued", "1000 wait")?;
    say(&format!("killed and started again offline with them, the browser's own start included: {usable} ms"));
    place.proxy.mend();
    place.delivered(usize::from(RECORDS))?;
    Ok(())
}

/// The connection is lost, events are missed, and it comes back: from then until the last of them is on the screen.
///
/// `seen`: the browser sees the network go and come back, as a phone's does; otherwise it is the server that was away, and nobody
/// says when it is back.
fn back(place: &mut Place, round: &mut u16, away: Duration, seen: bool) -> Result<()> {
    // A loss of a connection that had held, as most are.
    for _ in 0..2 {
        place.ask(&json!({"do": "hold", "ms": 5_500}))?;
        // Servers close a connection that nobody uses, and so does this one that of whoever reads the log.
        place.log()?;
    }
    let lost = Instant::now();
    if seen {
        place.ask(&json!({"do": "network", "on": false}))?;
    }
    place.cut(0)?;
    for n in 0..MISSED {
        let client_id = ClientId::from_bytes(id(RECORDS + *round * MISSED + n));
        place.append(&format!("missed {} of {round}", n + 1), client_id)?;
    }
    place.ask(&json!({"do": "watch-for", "words": format!("missed {MISSED} of {round}")}))?;
    std::thread::sleep(away.saturating_sub(lost.elapsed()));
    let away = lost.elapsed();
    let back = SystemTime::now();
    place.proxy.mend();
    if seen {
        place.ask(&json!({"do": "network", "on": true}))?;
    }
    let told = place.ask(&json!({"do": "notes", "until": "shown"}))?;
    let at = |what: &str| last(&told["notes"], what).with_context(|| format!("{what} is not in {told}"));
    let begun = u64::try_from(back.duration_since(UNIX_EPOCH).context("the clock")?.as_millis())?;
    // With the event, its moment is the network's return.
    let begun = if seen { at("online")? } else { begun };
    let (tried, opened, up, shown) = (at("Connecting")?, at("Authenticating")?, at("Up")?, at("shown")?);
    say(&format!(
        "{}: the last of {MISSED} missed events on the screen after {} ms: {} until the try, {} TCP, TLS and the \
         socket, {} until the welcome, {} until caught up",
        if seen {
            format!("the network was away for {:.0} s, and the browser says that it is back", away.as_secs_f64())
        } else {
            format!("the server was away for {:.0} s, and nobody says that it is back", away.as_secs_f64())
        },
        shown.saturating_sub(begun),
        tried.saturating_sub(begun),
        opened.saturating_sub(tried),
        up.saturating_sub(opened),
        shown.saturating_sub(up),
    ));
    *round += 1;
    Ok(())
}

/// When this was noted last, ms.
fn last(notes: &Value, what: &str) -> Option<u64> {
    notes.as_array()?.iter().rev().find(|note| note[0] == what)?[1].as_u64()
}

fn id(n: u16) -> [u8; 16] {
    let mut id = [7; 16];
    id[..2].copy_from_slice(&n.to_be_bytes());
    id
}
