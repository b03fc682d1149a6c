//! The timeline of one room: what is here of its log, in order, and what was asked for and is not in the log yet.
//!
//! Events never change: an edit, a deletion or the end of a burst is a later event that names the first. Older pages come
//! after newer ones, so what names an event that is not here yet is kept until that one comes.
//!
//! Items are numbered once and for all, the older the lower, so that a screen that draws a part of them in [`CHUNK`]s keeps its place
//! while older ones come in front.

mod item;

use std::collections::VecDeque;

use holler_core::engine::{HeardState, SendState};
use holler_core::model::{Event, EventBody};
use holler_core::units::{BurstId, ClientId, FrameMs, Seq, UserId};

pub use self::item::{Burst, BurstEnd, Item, Seen, Text};
use super::Reach;
use crate::words;

/// Items of a timeline that are kept; the oldest give way to new ones, and no older ones are fetched then.
pub const ITEMS_MAX: usize = 50_000;
/// So many give way at once: moving all that stay costs the same for one.
pub(super) const ITEMS_STEP: usize = 1_000;
/// Items that are drawn, or not, together: few enough to be drawn within one frame, many enough to be worth measuring.
pub const CHUNK: i64 = 24;
/// Changes and ends that wait for what they name, which is on an older page.
const LATE_MAX: usize = ITEMS_MAX;
/// Bursts of a room that were missed and whose event is not here yet: one is on the air at a time, and its event is on its way.
const LATE_MISSED_MAX: usize = 64;
/// Characters of what is answered that are shown with the answer.
const QUOTE_CHARS: usize = 80;

/// How a burst ended: its frames, how, and whether some of it is still on its way.
type End = (Option<u16>, BurstEnd, bool);

/// What came of an event that is not here yet.
#[derive(Clone, Debug, Default, PartialEq)]
struct Late {
    /// New texts; `None`: taken back.
    texts: Vec<(Seq, Option<String>)>,
    ends: Vec<(BurstId, End)>,
    /// Bursts that were missed: what is not played at all is told before its event comes.
    missed: Vec<BurstId>,
}

/// What is here of a room.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    items: VecDeque<Item>,
    /// The number of the first item.
    first: i64,
    /// One's own that are not in the log yet, in the order in which they were written and spoken.
    waiting: Vec<Item>,
    /// Where the bursts are, in the order of their identifiers.
    bursts: Vec<(BurstId, Seq)>,
    /// In order.
    missed: Vec<Seq>,
    last_ended: Option<(Seq, BurstId, FrameMs)>,
    late: Late,
    seen: u64,
}

/// What a screen shows of the timeline.
impl Timeline {
    /// Whether nothing is here.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty() && self.waiting.is_empty()
    }

    /// How many items of the log are here.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether no older ones are taken in.
    pub fn is_full(&self) -> bool {
        self.items.len() >= ITEMS_MAX
    }

    /// Items of the log, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Item> {
        self.items.iter()
    }

    /// One's own that are not in the log yet.
    pub fn waiting(&self) -> &[Item] {
        &self.waiting
    }

    /// The chunks that there are, oldest first; the second number is one past the last.
    pub fn chunks(&self) -> (i64, i64) {
        let len = i64::try_from(self.items.len()).unwrap_or(0);
        if len == 0 {
            return (0, 0);
        }
        (self.first.div_euclid(CHUNK), (self.first + len - 1).div_euclid(CHUNK) + 1)
    }

    /// How many items a chunk has.
    pub fn chunk_len(&self, chunk: i64) -> usize {
        let (from, to) = self.span(chunk);
        to - from
    }

    /// The items of a chunk, oldest first.
    pub fn chunk(&self, chunk: i64) -> Vec<Item> {
        let (from, to) = self.span(chunk);
        self.items.range(from..to).cloned().collect()
    }

    fn span(&self, chunk: i64) -> (usize, usize) {
        let at = |number: i64| usize::try_from(number - self.first).unwrap_or(0).min(self.items.len());
        (at(chunk * CHUNK), at((chunk + 1) * CHUNK))
    }

    /// What was missed, in order.
    pub fn missed(&self) -> impl Iterator<Item = (BurstId, FrameMs)> {
        self.missed.iter().filter_map(|seq| match self.get(*seq)? {
            Item::Burst(burst) if burst.is_past() => Some((burst.burst, burst.frame_ms)),
            Item::Burst(_) | Item::Text(_) | Item::Emergency { .. } | Item::Seen { .. } | Item::Gap { .. } => None,
        })
    }

    /// The last burst that ended.
    pub fn last_burst(&self) -> Option<(BurstId, FrameMs)> {
        self.last_ended.map(|(_, burst, frame_ms)| (burst, frame_ms))
    }

    /// A burst that is here.
    pub fn burst(&self, wanted: BurstId) -> Option<&Burst> {
        match self.get(self.place(wanted)?)? {
            Item::Burst(burst) => Some(burst),
            Item::Text(_) | Item::Emergency { .. } | Item::Seen { .. } | Item::Gap { .. } => None,
        }
    }

    /// The event at this place, where it is here and shown.
    pub fn get(&self, seq: Seq) -> Option<&Item> {
        self.position(seq).map(|at| &self.items[at])
    }

    /// The first words of a text, and whose it is; `None` for what is no text, or not here.
    pub fn quote(&self, seq: Seq) -> Option<(UserId, Option<String>)> {
        match self.get(seq)? {
            Item::Text(text) => {
                let cut = |text: &str| match text.char_indices().nth(QUOTE_CHARS) {
                    Some((at, _)) => format!("{} …", &text[..at]),
                    None => text.to_owned(),
                };
                Some((text.user, text.text.as_deref().map(cut)))
            }
            Item::Burst(_) | Item::Emergency { .. } | Item::Seen { .. } | Item::Gap { .. } => None,
        }
    }

    fn position(&self, seq: Seq) -> Option<usize> {
        let at = self.items.partition_point(|item| item.order() < (seq, 0));
        self.items.get(at).filter(|item| item.order() == (seq, 0)).map(|_| at)
    }

    fn place(&self, burst: BurstId) -> Option<Seq> {
        let at = self.bursts.binary_search_by_key(&burst, |(burst, _)| *burst).ok()?;
        Some(self.bursts[at].1)
    }

    fn burst_mut(&mut self, wanted: BurstId) -> Option<&mut Burst> {
        let at = self.position(self.place(wanted)?)?;
        match &mut self.items[at] {
            Item::Burst(burst) => Some(burst),
            Item::Text(_) | Item::Emergency { .. } | Item::Seen { .. } | Item::Gap { .. } => None,
        }
    }

    fn text_mut(&mut self, seq: Seq) -> Option<&mut Text> {
        let at = self.position(seq)?;
        match &mut self.items[at] {
            Item::Text(text) => Some(text),
            Item::Burst(_) | Item::Emergency { .. } | Item::Seen { .. } | Item::Gap { .. } => None,
        }
    }
}

/// What the log and the engine tell.
impl Timeline {
    /// Events older than everything that is here, in order.
    pub(super) fn older(&mut self, events: &[Event]) {
        let mut page = Self::default();
        for event in events {
            page.enter(event);
        }
        // What names something in the page and was here before it is newer than the page.
        let late = core::mem::take(&mut self.late);
        for (seq, text) in late.texts {
            page.rewrite(seq, text);
        }
        for (burst, (frames, end, lacks)) in late.ends {
            page.ended(burst, frames, end, lacks);
        }
        self.late = page.late;
        self.bursts.append(&mut page.bursts);
        self.bursts.sort_unstable();
        self.last_ended = self.last_ended.or(page.last_ended);
        self.first -= i64::try_from(page.items.len()).unwrap_or(0);
        page.items.append(&mut self.items);
        self.items = page.items;
    }

    /// A new event. `true`: the oldest gave way.
    pub(super) fn event(&mut self, event: &Event) -> bool {
        self.enter(event);
        if self.items.len() < ITEMS_MAX + ITEMS_STEP {
            return false;
        }
        for item in self.items.drain(..ITEMS_STEP) {
            if let Item::Burst(burst) = item {
                self.bursts.retain(|(known, _)| *known != burst.burst);
                self.missed.retain(|seq| burst.seq != Some(*seq));
            }
        }
        self.first += i64::try_from(ITEMS_STEP).unwrap_or(0);
        true
    }

    /// The first event of the log that is shown.
    pub(super) fn first_seq(&self) -> Option<Seq> {
        self.items.front().map(|item| item.order().0)
    }

    /// What was before `seq` is kept no longer; or this is another log altogether, and nothing of the old one stays.
    pub(super) fn gap(&mut self, seq: Seq) {
        if self.items.back().is_some_and(|last| last.order().0 >= seq) {
            self.clear();
        }
        self.items.push_back(Item::Gap { seq });
    }

    /// The log is another one.
    pub(super) fn clear(&mut self) {
        let waiting = core::mem::take(&mut self.waiting);
        *self = Self { waiting, seen: self.seen, ..Self::default() };
    }

    /// This client saw something that is not in the log.
    pub(super) fn saw(&mut self, user: UserId, at: Option<u64>, what: Seen) {
        let after = self.items.back().map_or(Seq(0), |item| item.order().0);
        self.seen += 1;
        self.items.push_back(Item::Seen { after, number: self.seen, user, at, what });
    }

    fn enter(&mut self, event: &Event) {
        let (seq, user, at) = (event.seq, event.user, event.received_at.0);
        match &event.body {
            EventBody::MessagePosted { text, reply_to } => {
                // One's own stands there already, waiting for this.
                let own = |item: &Item| !matches!(item, Item::Text(own) if own.client_id == event.client_id);
                self.waiting.retain(own);
                self.items.push_back(Item::Text(Text {
                    seq: Some(seq),
                    client_id: event.client_id,
                    user,
                    at,
                    text: Some(text.clone()),
                    edited: false,
                    reply_to: *reply_to,
                    changing: None,
                    put_off: None,
                    refused: None,
                    reach: None,
                }));
            }
            EventBody::MessageEdited { target, text } => self.rewrite(*target, Some(text.clone())),
            EventBody::MessageDeleted { target } => self.rewrite(*target, None),
            EventBody::BurstStarted { header, priority, spoken_ago_ms, .. } => {
                let mut wave = Vec::new();
                self.waiting.retain_mut(|item| match item {
                    Item::Burst(own) if own.burst == header.burst => {
                        wave = core::mem::take(&mut own.wave);
                        false
                    }
                    Item::Burst(_) | Item::Text(_) | Item::Emergency { .. } | Item::Seen { .. } | Item::Gap { .. } => {
                        true
                    }
                });
                let place = self.bursts.partition_point(|(burst, _)| *burst < header.burst);
                self.bursts.insert(place, (header.burst, seq));
                self.items.push_back(Item::Burst(Burst {
                    seq: Some(seq),
                    burst: header.burst,
                    user,
                    at: at.saturating_sub(*spoken_ago_ms),
                    frame_ms: header.frame_ms,
                    frames: None,
                    priority: *priority,
                    end: BurstEnd::Live,
                    lacks: false,
                    missed: false,
                    heard: false,
                    reach: None,
                    wave,
                }));
                if self.late.missed.contains(&header.burst) {
                    self.late.missed.retain(|known| *known != header.burst);
                    self.heard(header.burst, HeardState::Missed);
                }
            }
            EventBody::BurstCommitted { burst, last, missing, .. } => {
                self.ended(*burst, Some(last.0), BurstEnd::Ended, !missing.is_empty());
            }
            EventBody::BurstCompleted { burst, last, .. } => {
                self.ended(*burst, Some(last.0), BurstEnd::Ended, false);
            }
            EventBody::BurstInterrupted { burst, last_received } => {
                self.ended(*burst, Some(last_received.0), BurstEnd::Interrupted, true);
            }
            EventBody::EmergencyRaised {} => {
                self.items.push_back(Item::Emergency { seq, user, at, raised: true });
            }
            EventBody::EmergencyCleared { raised_by } => {
                self.items.push_back(Item::Emergency { seq, user: *raised_by, at, raised: false });
            }
        }
    }

    /// A text says something else from now on; `None`: it was taken back.
    fn rewrite(&mut self, target: Seq, text: Option<String>) {
        if let Some(found) = self.text_mut(target) {
            // What was taken back stays so.
            if found.text.is_some() || text.is_none() {
                found.edited = text.is_some();
                found.text = text;
            }
            (found.changing, found.put_off, found.refused) = (None, None, None);
        } else {
            match self.late.texts.iter_mut().find(|(seq, _)| *seq == target) {
                Some((_, known)) if known.is_none() => {}
                Some((_, known)) => *known = text,
                None => self.late.texts.push((target, text)),
            }
            if self.late.texts.len() > LATE_MAX {
                self.late.texts.remove(0);
            }
        }
    }

    fn ended(&mut self, wanted: BurstId, frames: Option<u16>, end: BurstEnd, lacks: bool) {
        let Some(seq) = self.place(wanted) else {
            self.late.ends.retain(|(known, _)| *known != wanted);
            self.late.ends.push((wanted, (frames, end, lacks)));
            if self.late.ends.len() > LATE_MAX {
                self.late.ends.remove(0);
            }
            return;
        };
        if let Some(burst) = self.burst_mut(wanted) {
            (burst.frames, burst.end, burst.lacks) = (frames, end, lacks);
            let frame_ms = burst.frame_ms;
            if self.last_ended.is_none_or(|(last, ..)| last <= seq) {
                self.last_ended = Some((seq, wanted, frame_ms));
            }
        }
    }

    /// How somebody's burst is heard here.
    pub(super) fn heard(&mut self, wanted: BurstId, state: HeardState) {
        let Some(seq) = self.place(wanted) else {
            if state == HeardState::Missed {
                self.late.missed.push(wanted);
            } else if !matches!(state, HeardState::Interrupted | HeardState::Complete | HeardState::Incomplete { .. }) {
                self.late.missed.retain(|known| *known != wanted);
            }
            if self.late.missed.len() > LATE_MISSED_MAX {
                self.late.missed.remove(0);
            }
            return;
        };
        let Some(burst) = self.burst_mut(wanted) else { return };
        match state {
            HeardState::Missed => {
                burst.missed = true;
                if let Err(at) = self.missed.binary_search(&seq) {
                    self.missed.insert(at, seq);
                }
            }
            HeardState::Playing { .. } | HeardState::Began { .. } => self.played(wanted, false),
            HeardState::Played { .. } => self.played(wanted, true),
            // Another device of the person plays it, or it is what they say there.
            HeardState::Elsewhere => self.played(wanted, false),
            HeardState::Interrupted | HeardState::Complete | HeardState::Incomplete { .. } => {}
        }
    }

    /// A burst is played, or was played to its end.
    pub(super) fn played(&mut self, wanted: BurstId, to_its_end: bool) {
        if let Some(burst) = self.burst_mut(wanted) {
            burst.missed = false;
            burst.heard |= to_its_end;
            if let Some(seq) = burst.seq {
                self.missed.retain(|missed| *missed != seq);
            }
        }
    }

    /// How loud a burst is along its length, as far as it was decoded here.
    pub(super) fn wave(&mut self, wanted: BurstId, bars: Vec<u8>) {
        if let Some(burst) = self.burst_mut(wanted) {
            burst.wave = bars;
            return;
        }
        for item in &mut self.waiting {
            if let Item::Burst(burst) = item
                && burst.burst == wanted
            {
                burst.wave = bars;
                return;
            }
        }
    }

    /// How far something got.
    pub(super) fn reached(&mut self, seq: Seq, how: Reach) {
        let Some(at) = self.position(seq) else { return };
        match &mut self.items[at] {
            Item::Text(Text { reach, .. }) | Item::Burst(Burst { reach, .. }) => *reach = Some(how),
            Item::Emergency { .. } | Item::Seen { .. } | Item::Gap { .. } => {}
        }
    }

    /// One's own burst did not go out: it waits, or is kept.
    pub(super) fn own_burst(&mut self, burst: Burst) {
        if self.place(burst.burst).is_some() {
            return;
        }
        for item in &mut self.waiting {
            if let Item::Burst(known) = item
                && known.burst == burst.burst
            {
                known.end = burst.end;
                return;
            }
        }
        self.waiting.push(Item::Burst(burst));
    }

    /// One's own text, before it is in the log.
    pub(super) fn send(&mut self, text: Text) {
        self.waiting.push(Item::Text(text));
    }

    /// A change or deletion of a text is on its way.
    pub(super) fn change(&mut self, target: Seq, client_id: ClientId) {
        if let Some(text) = self.text_mut(target) {
            (text.changing, text.put_off, text.refused) = (Some(client_id), None, None);
        }
    }

    /// What became of a send.
    pub(super) fn sent(&mut self, client_id: ClientId, state: SendState) {
        let waiting = self.waiting.iter_mut().find_map(|item| match item {
            Item::Text(text) if text.client_id == client_id => Some(text),
            Item::Text(_) | Item::Burst(_) | Item::Emergency { .. } | Item::Seen { .. } | Item::Gap { .. } => None,
        });
        let found = match waiting {
            Some(text) => Some(text),
            // A change of something that was said lately; older ones are changed seldom, so this may look for long.
            None => self.items.iter_mut().rev().find_map(|item| match item {
                Item::Text(text) if text.changing == Some(client_id) => Some(text),
                Item::Text(_) | Item::Burst(_) | Item::Emergency { .. } | Item::Seen { .. } | Item::Gap { .. } => None,
            }),
        };
        let Some(text) = found else { return };
        text.put_off = None;
        match state {
            SendState::Acked { seq, .. } if text.changing.is_none() => text.seq = text.seq.or(Some(seq)),
            SendState::Refused { problem } => {
                text.changing = None;
                text.refused = Some(words::problem(&problem.kind, &problem.detail));
            }
            SendState::PutOff { problem } => text.put_off = Some(words::problem(&problem.kind, &problem.detail)),
            SendState::Acked { .. } | SendState::Waiting | SendState::TooMany => {}
        }
    }
}

#[cfg(test)]
mod tests;
