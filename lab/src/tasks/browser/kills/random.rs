//! Kills at random instants, one after the other, on one browser's data.

use std::collections::BTreeSet;

use anyhow::Result;
use serde_json::json;

use super::{LOST_MS_MAX, Options, Place, Said};
use crate::chance::Chance;
use crate::tasks::say;

/// The longest press before a kill, ms.
const HELD_MS_MAX: u64 = 2_500;

/// Kills the browser so often. What was not as it must be.
pub(super) fn run(options: &Options) -> Result<Vec<String>> {
    let (mut place, mut chance, mut faults) = (Place::new(options)?, Chance::new(options.seed), Vec::new());
    let (mut texts, mut least, mut gone) = (Vec::new(), 0, BTreeSet::new());
    for kill in 0..options.times {
        let offline = chance.one_in(2);
        if offline {
            place.cut(0)?;
        }
        if chance.one_in(2) {
            let text = format!("text {kill}");
            place.write(0, &[&text])?;
            // One that the screen shows as waiting is on the disk; one that is shown as sent is on the server's.
            place.ask(&json!({"do": "wait-for", "selector": ".item", "words": text}))?;
            if offline {
                place.wait(0, ".queued", "wait")?;
            } else {
                place.ask(&json!({"do": "gone", "selector": ".item.waiting"}))?;
            }
            texts.push(text);
            least += 1;
        }
        let held = chance.below(HELD_MS_MAX);
        place.press(0)?;
        place.ask(&json!({"do": "hold", "ms": held}))?;
        if chance.one_in(4) {
            place.ask(&json!({"do": "release"}))?;
        }
        place.kill()?;
        place.proxy.mend();
        place.enter(0)?;
        place.connected(0)?;
        // A burst of less than a chunk may be gone with the browser.
        if held > LOST_MS_MAX {
            least += 1;
        } else {
            // The floor was granted and the log says that it began, but nothing of it was on the disk: it stays cut off.
            place.ask(&json!({"do": "gone", "selector": ".queued"}))?;
            gone.extend(place.log()?.last().and_then(|said| match said {
                Said::Burst(last) if !last.complete && last.length_ms == 0 => Some(last.burst),
                Said::Burst(_) | Said::Text(_) => None,
            }));
        }
        let log = match place.delivered_but(least, &gone) {
            Ok(log) => log,
            Err(fault) => {
                faults.push(format!("kill {kill}: held {held} ms: {fault:#}"));
                break;
            }
        };
        let found: Vec<_> =
            log.iter().filter_map(|said| if let Said::Burst(one) = said { Some(*one) } else { None }).collect();
        let last = found.last().copied();
        if held > LOST_MS_MAX && last.is_none_or(|last| last.length_ms + LOST_MS_MAX < held) {
            faults.push(format!("kill {kill}: held {held} ms, {last:?} arrived"));
        }
        let ids: BTreeSet<_> = found.iter().map(|one| one.burst).collect();
        if ids.len() != found.len() {
            faults.push(format!("kill {kill}: a burst is there twice: {log:?}"));
        }
        let said: Vec<_> =
            log.iter().filter_map(|said| if let Said::Text(text) = said { Some(text.clone()) } else { None }).collect();
        if said != texts {
            faults.push(format!("kill {kill}: {texts:?} were written, {said:?} are there"));
        }
        // What arrived beyond what had to counts from now on.
        least = log.len();
        if (kill + 1).is_multiple_of(10) || !faults.is_empty() {
            say(&format!(
                "{} kills, {} bursts and {} texts delivered, {} bursts of less than {LOST_MS_MAX} ms cut off, {} faults",
                kill + 1,
                found.len() - gone.len(),
                said.len(),
                gone.len(),
                faults.len()
            ));
        }
        if !faults.is_empty() {
            break;
        }
    }
    place.end()?;
    Ok(faults)
}
