//! Pages of events: a row for each time that some came, in the order of the log. And where one is in each room.

use holler_core::model::Event;
use holler_core::sorted::Map;
use holler_core::units::{Cursor, RoomId, UnixMs, UserId};

use super::{KEPT, Place, Table, Write};

/// Pages of a room that are kept. A page is what came at once: one event, or some hundred.
pub const EVENT_PAGES_MAX: usize = 500;

/// What was told of rooms and is in no row yet. All of it is written at once: a cursor that was kept without the events before it would
/// leave a hole, which nobody asks the server for any more.
#[derive(Debug, Default)]
pub(super) struct News {
    events: Vec<Event>,
    cursors: Map<RoomId, Cursor>,
}

impl News {
    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty() && self.cursors.is_empty()
    }

    pub(super) fn events(&mut self, events: &[Event]) {
        self.events.extend_from_slice(events);
    }

    pub(super) fn cursor(&mut self, room: RoomId, cursor: Cursor) {
        self.cursors.insert(room, cursor);
    }

    pub(super) fn forget(&mut self, room: RoomId) {
        self.events.retain(|event| event.room != room);
    }

    /// The rows for all of it.
    pub(super) fn take(&mut self, user: UserId) -> Vec<(Place, Write)> {
        let Self { events, cursors } = core::mem::take(self);
        let mut rows = event_pages(user, &events);
        rows.extend(cursors.into_iter().filter_map(|(room, cursor)| {
            let value = serde_json::to_vec(&cursor).ok()?;
            Some(((Table::Known, format!("p/{user}/{room}")), Write::Put(value)))
        }));
        rows
    }
}

/// Of what was kept of a room, the latest `most` events of which none is missing in between: a page may be damaged, or gone.
pub fn unbroken(events: Map<u64, Event>, most: usize) -> Vec<Event> {
    let mut events: Vec<Event> = events.into_values().collect();
    let broken = events.windows(2).rposition(|pair| pair[0].seq.0 + 1 != pair[1].seq.0);
    let from = broken.map_or(0, |at| at + 1).max(events.len().saturating_sub(most));
    events.drain(..from);
    events
}

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
