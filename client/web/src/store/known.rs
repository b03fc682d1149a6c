//! Pages of events: a row for each time that some came, in the order of the log.

use holler_core::model::Event;
use holler_core::sorted::Map;
use holler_core::units::{UnixMs, UserId};

use super::{KEPT, Place, Table, Write};

/// Pages of a room that are kept. A page is what came at once: one event, or some hundred.
pub const EVENT_PAGES_MAX: usize = 500;

/// The rows for some events, each room's in the order of its log.
pub fn event_pages(user: UserId, events: &[Event]) -> Vec<(Place, Write)> {
    let mut rooms: Map<_, Vec<&Event>> = Map::new();
    for event in events {
        rooms.entry(event.room).or_default().push(event);
    }
    let page = |(room, events): (_, Vec<&Event>)| {
        let (first, last) = (events.first()?, events.last()?);
        let name = format!("e/{user}/{room}/{:016}/{:011}", first.seq.0, last.received_at.0 / 1_000);
        Some(((Table::Known, name), Write::Put(serde_json::to_vec(&events).ok()?)))
    };
    rooms.into_iter().filter_map(page).collect()
}

/// Of the names of pages, those that are older than a week, or more of their room than are kept. In the order of their names.
pub fn old_pages(names: &[String], now: UnixMs) -> Vec<String> {
    let oldest = (now.0 / 1_000).saturating_sub(KEPT.as_secs());
    let room = |name: &str| name.split('/').nth(2).map(str::to_owned);
    let mut count: Map<Option<String>, usize> = Map::new();
    let mut old = Vec::new();
    for name in names.iter().rev() {
        let at: u64 = name.rsplit('/').next().and_then(|at| at.parse().ok()).unwrap_or(0);
        let newer = count.entry(room(name)).or_default();
        *newer += 1;
        if at < oldest || *newer > EVENT_PAGES_MAX {
            old.push(name.clone());
        }
    }
    old
}
