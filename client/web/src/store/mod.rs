//! What this browser keeps for the engine, as a book of rows: which row says what, and what follows from the rows at the next
//! start. No browser is needed to run it: `worker::store` seals the rows and lays them into IndexedDB.
//!
//! Two tables. **Queue** holds what is nowhere else: texts and bursts of this device, with their frames; receipts that the
//! server does not know. **Known** holds what the server has too: events of the last days, where one is in each room, the rooms
//! and people. Where room runs out, Known gives way.
//!
//! | table | row | what |
//! |---|---|---|
//! | Queue | `t/USER/TEXT` | a text without an answer |
//! | Queue | `b/USER/BURST` | a burst that is not delivered; `c/BURST/FIRST`: its frames, a chunk every half second |
//! | Queue | `r/USER/ROOM` | what was read and heard and is not told yet |
//! | Queue | `d/USER/ROOM/INCARNATION/…` | what was acked, kept for days to be offered to a server restored from a backup |
//! | Known | `e/USER/ROOM/FIRST/AT` | events in the order of the log |
//! | Known | `p/USER/ROOM` | the cursor · `y/USER`: rooms and people |
//!
//! Bounds: [`WAITING_BYTES_MAX`], [`KEPT`], [`KEPT_BYTES_MAX`], [`KEPT_ITEMS_MAX`], [`EVENT_PAGES_MAX`].

mod done;
mod known;
mod row;
#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;
use holler_core::burst::Recording;
use holler_core::engine::{Restored, ServerTime, Spoken, Store as Change};
use holler_core::model::{Event, EventBody};
use holler_core::sorted::Map;
use holler_core::units::{BurstId, ClientId, FrameNo, Incarnation, RoomId, UnixMs, UserId};
use holler_core::wire::json;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use done::outdated;
use known::News;
pub use known::{EVENT_PAGES_MAX, event_pages, old_pages, unbroken};
use row::{BurstRow, ReceiptsRow, TextRow};
pub use row::{Queued, QueuedItem};

/// How long what was acked is kept, and events.
pub const KEPT: Duration = Duration::from_secs(7 * 24 * 3_600);
/// Bytes of delivered bursts that are kept; beyond them the oldest go first.
pub const KEPT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Texts and bursts that are kept after they were acked.
pub const KEPT_ITEMS_MAX: usize = 2_000;
/// Bytes of bursts that wait or are held: a day and night of speech at 24 kbit/s. What is spoken beyond it is not kept over a
/// crash of the browser.
pub const WAITING_BYTES_MAX: u64 = 256 * 1024 * 1024;
/// Bursts heard in a room that the server does not know of; the oldest give way.
const HEARD_MAX: usize = 1_000;
/// How far this device's wall clock is trusted over a restart of the browser, where the server's time was not known: an hour, and
/// a tenth of the time that passed.
const WALL_UNCERTAINTY: Duration = Duration::from_secs(3_600);

/// Which table a row is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Table {
    /// What is nowhere else.
    Queue,
    /// What the server has too.
    Known,
}

/// Where a row is.
pub type Place = (Table, String);

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// It says this from now on.
    Put(Vec<u8>),
    /// It is gone.
    Delete,
    /// Every row whose name begins so is gone.
    Clear,
}

/// Frames that are in no row yet.
#[derive(Debug)]
struct Open {
    first: FrameNo,
    bytes: Vec<u8>,
    count: u16,
}

/// The rows of one person in this browser.
#[derive(Debug)]
pub struct Book {
    user: UserId,
    next_ord: u64,
    texts: Map<ClientId, TextRow>,
    bursts: Map<BurstId, BurstRow>,
    receipts: Map<RoomId, ReceiptsRow>,
    open: Map<BurstId, Open>,
    news: News,
    writes: Map<Place, Write>,
    /// Rooms and people, as they are kept.
    directory: Vec<u8>,
    /// Perhaps they are not kept any more: there was no room.
    spared: bool,
    /// The queue is another one than when this was asked last.
    changed: bool,
}

impl Book {
    /// An empty book.
    pub fn new(user: UserId) -> Self {
        Self {
            user,
            next_ord: 1,
            texts: Map::new(),
            bursts: Map::new(),
            receipts: Map::new(),
            open: Map::new(),
            news: News::default(),
            writes: Map::new(),
            directory: Vec::new(),
            spared: false,
            changed: true,
        }
    }

    /// Whose it is.
    pub fn user(&self) -> UserId {
        self.user
    }

    /// The beginnings of the names of the rows to hand to [`Self::load`].
    pub fn to_load(&self) -> [String; 3] {
        ["t", "b", "r"].map(|kind| format!("{kind}/{}/", self.user))
    }

    /// Takes up a row of the table Queue. An error says why it can't be used.
    pub fn load(&mut self, name: &str, value: &[u8]) -> Result<(), String> {
        let mut parts = name.split('/').skip(2);
        let id = parts.next().ok_or("a row without a name")?;
        match name.split('/').next() {
            Some("t") => {
                let row: TextRow = parse(value)?;
                self.next_ord = self.next_ord.max(row.ord + 1);
                self.texts.insert(id.parse().map_err(|_| "no text's name")?, row);
            }
            Some("b") => {
                let row: BurstRow = parse(value)?;
                self.next_ord = self.next_ord.max(row.ord + 1);
                self.bursts.insert(id.parse().map_err(|_| "no burst's name")?, row);
            }
            Some("r") => {
                self.receipts.insert(id.parse().map_err(|_| "no room's name")?, parse(value)?);
            }
            _ => return Err("a row of no known kind".to_owned()),
        }
        Ok(())
    }

    /// The bursts that were cut off: their frames are wanted by [`Self::cut_off`].
    pub fn unended(&self) -> Vec<BurstId> {
        self.bursts.iter().filter(|(_, row)| row.end.is_none()).map(|(burst, _)| *burst).collect()
    }

    /// The browser went down while it was spoken: it ends with what was kept.
    pub fn cut_off(&mut self, burst: BurstId, frames: Vec<Bytes>) {
        let mut recording = Recording::new();
        // A frame of an impossible length ends what can be used.
        let bytes: usize = frames
            .into_iter()
            .map_while(|frame| {
                let length = frame.len();
                recording.push(frame).ok().map(|_| length)
            })
            .sum();
        match (recording.end(), self.bursts.get_mut(&burst)) {
            (Some((last, digest)), Some(row)) => {
                (row.end, row.cut, row.bytes) = (Some((last, digest)), true, bytes as u64);
                self.keep_burst(burst);
            }
            (None, _) => self.forget_burst(burst),
            (Some(_), None) => {}
        }
    }

    /// What is not finished, in the order in which it was written and spoken; receipts come last.
    pub fn unfinished(&self, now: UnixMs) -> Vec<Restored> {
        let texts = self.texts.iter().filter(|(_, row)| row.done.is_none());
        let mut found: Vec<(u64, Restored)> = texts.map(|(id, row)| (row.ord, row.restored(*id))).collect();
        let bursts = self.bursts.values().filter(|row| row.done.is_none() && !row.held);
        found.extend(bursts.filter_map(|row| Some((row.ord, row.restored(now)?))));
        found.sort_by_key(|(ord, _)| *ord);
        let receipts = self.receipts.iter().map(|(room, row)| Restored::Receipts {
            room: *room,
            read: row.read,
            heard: row.heard.iter().copied().collect(),
        });
        found.into_iter().map(|(_, restored)| restored).chain(receipts).collect()
    }

    /// The engine wants something kept, at this time of the device's clock. `false`: too much waits already.
    #[must_use]
    pub fn apply(&mut self, now: UnixMs, change: Change) -> bool {
        match change {
            Change::BurstBegun { room, header, priority, server_time } => {
                let ord = self.ord();
                let server = server_time.map(|time| (time.at, time.uncertainty_ms));
                let row = BurstRow::new(ord, room, header, priority, now, server);
                self.bursts.insert(header.burst, row);
                self.keep_burst(header.burst);
            }
            Change::Frame { burst, number, payload } => return self.frame(burst, number, &payload),
            Change::BurstPlaced { burst } => self.change_burst(burst, |row| row.placed = true),
            Change::BurstEnded { burst, end: None } => self.forget_burst(burst),
            Change::BurstEnded { burst, end: Some(end) } => {
                self.close(burst);
                self.change_burst(burst, |row| row.end = Some(end));
            }
            Change::BurstHeld { burst } => self.change_burst(burst, |row| row.held = true),
            Change::BurstDelivered { burst, incarnation } => self.delivered(now, burst, incarnation),
            // The log's events and the receipts tell as much.
            Change::BurstHeard { .. } => {}
            Change::Cursor { room, cursor } => self.news.cursor(room, cursor),
            Change::Send { room, client_id, body } => {
                let row = TextRow { ord: self.ord(), room, at: now, body, done: None };
                self.put((Table::Queue, self.text_name(client_id)), &row);
                self.texts.insert(client_id, row);
                self.changed = true;
            }
            Change::SendDone { client_id, place } => {
                let Some(row) = self.texts.remove(&client_id) else { return true };
                self.changed = true;
                self.writes.insert((Table::Queue, self.text_name(client_id)), Write::Delete);
                self.undo(row.done.as_deref());
                if let Some(place) = place {
                    let name =
                        done::name(self.user, row.room, place.incarnation, now, row.ord, &format!("t{client_id}"), 0);
                    self.put((Table::Queue, name), &row);
                }
            }
            Change::Heard { room, burst } => self.change_receipts(room, |row| {
                if !row.heard.contains(&burst) {
                    row.heard.push_back(burst);
                }
                while row.heard.len() > HEARD_MAX {
                    row.heard.pop_front();
                }
            }),
            Change::Read { room, cursor } => self.change_receipts(room, |row| row.read = Some(cursor)),
            Change::ReceiptsStored { room, read, heard } => self.change_receipts(room, |row| {
                row.heard.retain(|burst| !heard.contains(burst));
                row.read = row
                    .read
                    .filter(|kept| read.is_none_or(|read| read.incarnation != kept.incarnation || kept.seq > read.seq));
            }),
        }
        true
    }

    fn ord(&mut self) -> u64 {
        let ord = self.next_ord;
        self.next_ord += 1;
        ord
    }

    fn frame(&mut self, burst: BurstId, number: FrameNo, payload: &[u8]) -> bool {
        if !self.bursts.contains_key(&burst) {
            return true;
        }
        // Looked at once a second of speech.
        if number.0 % 50 == 1 && self.bursts.values().map(|row| row.bytes).sum::<u64>() > WAITING_BYTES_MAX {
            return false;
        }
        let Some(row) = self.bursts.get_mut(&burst) else { return true };
        row.bytes += payload.len() as u64;
        let open = self.open.entry(burst).or_insert_with(|| Open { first: number, bytes: Vec::new(), count: 0 });
        if number.0 != open.first.0 + open.count {
            // What is not kept in order is of no use after a crash.
            return true;
        }
        open.count += 1;
        row::write_frame(&mut open.bytes, payload);
        true
    }

    /// Lays the frames of a burst into a row.
    fn close(&mut self, burst: BurstId) {
        if let Some(open) = self.open.remove(&burst) {
            let name = format!("{}{:05}", chunks_of(burst), open.first.0);
            self.writes.insert((Table::Queue, name), Write::Put(open.bytes));
        }
    }

    fn change_burst(&mut self, burst: BurstId, change: impl FnOnce(&mut BurstRow)) {
        if let Some(row) = self.bursts.get_mut(&burst) {
            change(row);
            self.keep_burst(burst);
        }
    }

    fn keep_burst(&mut self, burst: BurstId) {
        self.changed = true;
        if let Some(text) =
            self.bursts.get(&burst).filter(|row| row.done.is_none()).and_then(|row| serde_json::to_vec(row).ok())
        {
            self.writes.insert((Table::Queue, self.burst_name(burst)), Write::Put(text));
        }
    }

    fn forget_burst(&mut self, burst: BurstId) {
        self.changed = true;
        self.open.remove(&burst);
        let row = self.bursts.remove(&burst);
        self.undo(row.and_then(|row| row.done).as_deref());
        let chunks = chunks_of(burst);
        self.writes.retain(|(_, name), _| !name.starts_with(&chunks));
        self.writes.insert((Table::Queue, self.burst_name(burst)), Write::Delete);
        self.writes.insert((Table::Queue, chunks), Write::Clear);
    }

    fn delivered(&mut self, now: UnixMs, burst: BurstId, incarnation: Incarnation) {
        self.close(burst);
        let Some(row) = self.bursts.remove(&burst) else { return };
        self.changed = true;
        self.writes.insert((Table::Queue, self.burst_name(burst)), Write::Delete);
        self.undo(row.done.as_deref());
        let name = done::name(self.user, row.room, incarnation, now, row.ord, &format!("b{burst}"), row.bytes);
        self.put((Table::Queue, name), &BurstRow { placed: true, ..row });
    }

    /// A row of what was acked in another history gives way.
    fn undo(&mut self, done: Option<&str>) {
        if let Some(name) = done {
            self.writes.insert((Table::Queue, name.to_owned()), Write::Delete);
        }
    }

    fn change_receipts(&mut self, room: RoomId, change: impl FnOnce(&mut ReceiptsRow)) {
        let row = self.receipts.entry(room).or_default();
        change(row);
        let place = (Table::Queue, format!("r/{}/{room}", self.user));
        if row.read.is_none() && row.heard.is_empty() {
            self.receipts.remove(&room);
            self.writes.insert(place, Write::Delete);
        } else if let Ok(value) = serde_json::to_vec(row) {
            self.writes.insert(place, Write::Put(value));
        }
    }

    /// Writes a row: `value` as JSON.
    pub fn put(&mut self, place: Place, value: &impl Serialize) {
        if let Ok(value) = serde_json::to_vec(value) {
            self.writes.insert(place, Write::Put(value));
        }
    }

    /// Has something done with a row.
    pub fn lay(&mut self, place: Place, write: Write) {
        self.writes.insert(place, write);
    }

    fn text_name(&self, text: ClientId) -> String {
        format!("t/{}/{text}", self.user)
    }

    fn burst_name(&self, burst: BurstId) -> String {
        format!("b/{}/{burst}", self.user)
    }

    /// Events of the log, to be shown at the next start.
    pub fn events(&mut self, events: &[Event]) {
        self.news.events(events);
    }

    /// A room's log is another one: what was kept of it says nothing any more.
    pub fn forget_events(&mut self, room: RoomId) {
        self.news.forget(room);
        self.lay((Table::Known, format!("e/{}/{room}/", self.user)), Write::Clear);
    }

    /// Whether frames or events wait for their half second.
    pub fn has_open(&self) -> bool {
        !self.open.is_empty() || !self.news.is_empty()
    }

    /// Whether anything is to be written now, beside what waits for its half second.
    pub fn has_writes(&self) -> bool {
        !self.writes.is_empty()
    }

    /// The half second is over: what was recorded and told is to be written.
    pub fn close_all(&mut self) {
        self.writes.extend(self.news.take(self.user));
        for burst in self.open.keys().copied().collect::<Vec<_>>() {
            self.close(burst);
        }
    }

    /// What is to be written, all at once or not at all.
    pub fn take_writes(&mut self) -> Map<Place, Write> {
        core::mem::take(&mut self.writes)
    }

    /// It could not be written: it is tried again with what came since. Gives the bytes that wait so.
    pub fn put_back(&mut self, writes: Map<Place, Write>) -> usize {
        for (place, write) in writes {
            let cleared = self.writes.iter().any(|((table, name), later)| {
                *later == Write::Clear && *table == place.0 && place.1.starts_with(name.as_str())
            });
            if !cleared {
                self.writes.entry(place).or_insert(write);
            }
        }
        let size = |write: &Write| if let Write::Put(value) = write { value.len() } else { 0 };
        self.writes.values().map(size).sum()
    }

    /// What the server has too is not to be written: there is no room for it.
    pub fn spare_known(&mut self) {
        self.writes.retain(|(table, _), _| *table == Table::Queue);
        self.spared = true;
    }

    /// Rooms and people, as they were found on the disk.
    pub fn knows(&mut self, directory: &impl Serialize) {
        self.directory = serde_json::to_vec(directory).unwrap_or_default();
    }

    /// Writes rooms and people, to be shown at the next start.
    pub fn keep_directory(&mut self, directory: &impl Serialize) {
        self.knows(directory);
        self.write_directory();
    }

    /// There is room: without rooms and people a start without the server would have nobody to talk to.
    pub fn has_room(&mut self) {
        if core::mem::take(&mut self.spared) {
            self.write_directory();
        }
    }

    fn write_directory(&mut self) {
        if !self.directory.is_empty() {
            let place = (Table::Known, format!("y/{}", self.user));
            self.writes.insert(place, Write::Put(self.directory.clone()));
        }
    }

    /// Whether the queue is another one than when this was asked last.
    pub fn take_changed(&mut self) -> bool {
        core::mem::take(&mut self.changed)
    }

    /// What is not delivered, in its order.
    pub fn queue(&self, now: UnixMs) -> Vec<Queued> {
        let texts = self.texts.iter().filter(|(_, row)| row.done.is_none()).filter_map(|(id, row)| {
            let (EventBody::MessagePosted { text, .. } | EventBody::MessageEdited { text, .. }) = &row.body else {
                return None;
            };
            let item = QueuedItem::Text { client_id: *id, text: text.clone() };
            Some((row.ord, Queued { room: row.room, held: false, since: row.at.min(now), item }))
        });
        let bursts = self.bursts.values().filter(|row| row.done.is_none()).map(|row| (row.ord, row.queued(now)));
        let mut found: Vec<(u64, Queued)> = texts.chain(bursts).collect();
        found.sort_by_key(|(ord, _)| *ord);
        found.into_iter().map(|(_, queued)| queued).collect()
    }

    /// A burst that is held back is to be delivered after all.
    pub fn release(&mut self, now: UnixMs, burst: BurstId) -> Option<Restored> {
        self.change_burst(burst, |row| row.held = false);
        self.bursts.get(&burst).filter(|row| row.done.is_none())?.restored(now)
    }

    /// Forgets a burst that is not delivered.
    pub fn drop_burst(&mut self, burst: BurstId) {
        if self.bursts.get(&burst).is_some_and(|row| row.done.is_none()) {
            self.forget_burst(burst);
        }
    }

    /// The length of a burst's frames.
    pub fn frame_ms(&self, burst: BurstId) -> Option<holler_core::units::FrameMs> {
        self.bursts.get(&burst).map(|row| row.header.frame_ms)
    }

    /// The beginning of the names of the rows with what was acked in a room.
    pub fn done_in(&self, room: RoomId) -> String {
        format!("d/{}/{room}/", self.user)
    }

    /// Takes up something that was acked in another history than this one, to be offered again.
    pub fn take_up(&mut self, name: &str, value: &[u8], now: UnixMs) -> Result<Option<(u64, Restored)>, String> {
        match done::kind(name) {
            Some(done::Kind::Text(id)) => {
                let row = TextRow { done: Some(name.to_owned()), ..parse(value)? };
                let restored = row.restored(id);
                let ord = row.ord;
                self.texts.insert(id, row);
                Ok(Some((ord, restored)))
            }
            Some(done::Kind::Burst(id)) => {
                let row = BurstRow { done: Some(name.to_owned()), placed: false, ..parse(value)? };
                let restored = row.restored(now).map(|restored| (row.ord, restored));
                self.bursts.insert(id, row);
                Ok(restored)
            }
            None => Err("a row of no known kind".to_owned()),
        }
    }

    /// Notes the places of what was acked: whatever is new stands behind it.
    pub fn behind(&mut self, names: &[String]) {
        let last = names.iter().filter_map(|name| done::ord(name)).max().unwrap_or(0);
        self.next_ord = self.next_ord.max(last + 1);
    }
}

/// The beginning of the names of the rows with a burst's frames.
pub fn chunks_of(burst: BurstId) -> String {
    format!("c/{burst}/")
}

/// Of the names of what was acked in a room, those of other histories than this one.
pub fn of_other_histories(names: &[String], incarnation: Incarnation) -> Vec<String> {
    let this = incarnation.to_string();
    names.iter().filter(|name| name.split('/').nth(3) != Some(&this)).cloned().collect()
}

/// The frames of a burst, from 1, as far as they were kept without a hole: from its rows, in the order of their names.
pub fn frames(rows: &[(String, Vec<u8>)]) -> Vec<Bytes> {
    let mut found = Vec::new();
    for (name, value) in rows {
        let first = name.rsplit('/').next().and_then(|first| first.parse::<usize>().ok());
        if first != Some(found.len() + 1) {
            break;
        }
        found.extend(row::read_frames(value));
    }
    found
}

/// What a row says.
pub fn parse<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    let text = core::str::from_utf8(value).map_err(|error| error.to_string())?;
    json::read(text).map_err(|error| error.to_string())
}

/// When something was begun, by the best of the clocks that were noted.
fn spoken(now: UnixMs, begun: UnixMs, server: Option<(UnixMs, u64)>) -> Spoken {
    if let Some((at, uncertainty_ms)) = server {
        return Spoken::Server(ServerTime { at, uncertainty_ms });
    }
    let ago = Duration::from_millis(now.0.saturating_sub(begun.0));
    Spoken::About(ago, WALL_UNCERTAINTY + ago / 10)
}

/// The heard bursts of a room, the oldest first.
type HeardBursts = VecDeque<BurstId>;
