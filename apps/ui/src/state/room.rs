//! One room: who talks, and its timeline.

use holler_core::engine::{HeardState, SendState};
use holler_core::model::{Event, EventBody, Priority, Role, RoomKind};
use holler_core::units::{BurstId, ClientId, Cursor, FrameMs, RoomId, Seq, UserId};
use holler_core::wire::presence::PresenceCounts;
use holler_core::wire::rest::Room;

use super::Reach;

/// Items of a timeline that are kept; the oldest give way.
pub(super) const ITEMS_MAX: usize = 50_000;
/// So many give way at once: moving all that stay costs the same for one.
pub(super) const ITEMS_STEP: usize = 1_000;

/// Who talks.
#[derive(Clone, Debug, PartialEq)]
pub struct Talker {
    /// Who.
    pub user: UserId,
    /// What is being spoken.
    pub burst: BurstId,
    /// Whether it is this device.
    pub own: bool,
    /// With which weight.
    pub priority: Priority,
    /// Since when, ms since 1970.
    pub since: f64,
}

/// A text.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// Its place in the log; `None`: not there yet.
    pub seq: Option<Seq>,
    /// The sender's name for it.
    pub client_id: ClientId,
    /// Who.
    pub user: UserId,
    /// When, ms since 1970.
    pub at: u64,
    /// What; `None`: taken back.
    pub text: Option<String>,
    /// Whether it was changed.
    pub edited: bool,
    /// Why it was refused, where it was.
    pub refused: Option<String>,
    /// How far it got, where that was told.
    pub reach: Option<Reach>,
}

/// How a burst ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BurstEnd {
    /// It goes on.
    Live,
    /// All of it is there, or nearly.
    Ended,
    /// Its sender was lost; the rest may come.
    Interrupted,
}

/// What the timeline shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A text.
    Text(Text),
    /// A burst.
    Burst {
        /// Its place in the log.
        seq: Seq,
        /// Which.
        burst: BurstId,
        /// Who.
        user: UserId,
        /// When, ms since 1970.
        at: u64,
        /// The length of its frames.
        frame_ms: FrameMs,
        /// How many frames, once it ended.
        frames: Option<u16>,
        /// With which weight.
        priority: Priority,
        /// How it ended.
        end: BurstEnd,
        /// It came while another room played, and was not heard.
        missed: bool,
        /// How far it got, where that was told.
        reach: Option<Reach>,
    },
    /// Somebody raised (`true`) or cleared an emergency.
    Emergency {
        /// Its place in the log.
        seq: Seq,
        /// Whose.
        user: UserId,
        /// When, ms since 1970.
        at: u64,
        /// Raised or cleared.
        raised: bool,
    },
    /// Here something is gone: it was kept long enough, or a backup was restored.
    Gap,
}

/// One room.
#[derive(Clone, Debug, PartialEq)]
pub struct RoomView {
    /// Which.
    pub id: RoomId,
    /// Its name.
    pub name: String,
    /// Direct, group or channel.
    pub kind: RoomKind,
    /// What one may do here.
    pub role: Option<Role>,
    /// How many people are in it.
    pub members: u32,
    /// Who talks.
    pub talker: Option<Talker>,
    /// Whose emergencies are on.
    pub emergencies: Vec<UserId>,
    /// The timeline, in order.
    pub items: Vec<Item>,
    /// Texts and bursts that came while another room was looked at.
    pub unread: u32,
    /// Why it can't be followed, where that is so.
    pub refused: Option<String>,
    /// The last event of its log that is here.
    pub last: Option<Cursor>,
    /// The first event that the server keeps, while that is known.
    pub first: Option<Seq>,
    /// The earliest event that is here.
    pub earliest: Option<Seq>,
    /// Up to where the person saw it, as far as that was told.
    pub read: Option<Seq>,
    /// Who is in it, while it is watched and small enough to be told.
    pub people: Option<Vec<UserId>>,
    /// How many of a large room are in which state, while that is known.
    pub counts: Option<PresenceCounts>,
}

impl Default for RoomView {
    fn default() -> Self {
        Self {
            id: RoomId::from_bytes([0; 16]),
            name: String::new(),
            kind: RoomKind::Group,
            role: None,
            members: 0,
            talker: None,
            emergencies: Vec::new(),
            items: Vec::new(),
            unread: 0,
            refused: None,
            last: None,
            first: None,
            earliest: None,
            read: None,
            people: None,
            counts: None,
        }
    }
}

impl RoomView {
    pub(super) fn describe(&mut self, room: &Room) {
        self.id = room.id;
        self.name.clone_from(&room.name);
        self.kind = room.kind;
        self.role = room.role;
        self.members = room.members;
        self.refused = None;
        self.is_at(room.head);
    }

    /// How its log stands on the server: after a restore it is another log.
    pub(super) fn is_at(&mut self, head: Cursor) {
        if self.last.is_none_or(|last| last.incarnation != head.incarnation) {
            (self.last, self.read) = (Some(head), None);
            (self.first, self.earliest) = (None, None);
        }
    }

    /// What to ask for to see what came before, where there is more.
    pub fn earlier(&self) -> Option<Cursor> {
        let (last, earliest) = (self.last?, self.earliest?);
        (earliest > self.first?).then_some(Cursor { seq: earliest, ..last })
    }

    /// What was missed, in order.
    pub fn missed(&self) -> impl Iterator<Item = (BurstId, FrameMs)> {
        self.items.iter().filter_map(|item| match item {
            Item::Burst { burst, frame_ms, missed: true, end, .. } if *end != BurstEnd::Live => {
                Some((*burst, *frame_ms))
            }
            Item::Burst { .. } | Item::Text(_) | Item::Emergency { .. } | Item::Gap => None,
        })
    }

    /// The last burst that ended.
    pub fn last_burst(&self) -> Option<(BurstId, FrameMs)> {
        self.items.iter().rev().find_map(|item| match item {
            Item::Burst { burst, frame_ms, end, .. } if *end != BurstEnd::Live => Some((*burst, *frame_ms)),
            Item::Burst { .. } | Item::Text(_) | Item::Emergency { .. } | Item::Gap => None,
        })
    }

    /// A burst of the past is played.
    pub(super) fn played(&mut self, wanted: BurstId) {
        for item in self.items.iter_mut().rev() {
            if let Item::Burst { burst, missed, .. } = item
                && *burst == wanted
            {
                *missed = false;
                return;
            }
        }
    }

    /// How far something got.
    pub(super) fn reached(&mut self, wanted: Seq, how: Reach) {
        for item in self.items.iter_mut().rev() {
            match item {
                Item::Burst { seq, reach, .. } if *seq == wanted => *reach = Some(how),
                Item::Text(text) if text.seq == Some(wanted) => text.reach = Some(how),
                Item::Burst { .. } | Item::Text(_) | Item::Emergency { .. } | Item::Gap => continue,
            }
            return;
        }
    }

    /// How far a burst got, where that was told.
    pub fn reach_of(&self, wanted: BurstId) -> Option<Reach> {
        self.items.iter().rev().find_map(|item| match item {
            Item::Burst { burst, reach, .. } if *burst == wanted => *reach,
            Item::Burst { .. } | Item::Text(_) | Item::Emergency { .. } | Item::Gap => None,
        })
    }

    /// Events older than everything that is here.
    pub(super) fn history(&mut self, events: &[Event]) {
        let newer = core::mem::take(&mut self.items);
        let first = events.iter().map(|event| event.seq).min();
        self.earliest = self.earliest.into_iter().chain(first).min();
        for event in events {
            self.enter(event);
        }
        self.items.extend(newer);
    }

    /// A new event.
    pub(super) fn event(&mut self, event: &Event, me: Option<UserId>, open: bool) {
        let counts = matches!(event.body, EventBody::MessagePosted { .. } | EventBody::BurstStarted { .. });
        if counts && !open && me != Some(event.user) {
            self.unread += 1;
        }
        self.enter(event);
        if let Some(last) = &mut self.last {
            last.seq = last.seq.max(event.seq);
        }
        self.earliest = self.earliest.or(Some(event.seq));
        if self.items.len() >= ITEMS_MAX + ITEMS_STEP {
            self.items.drain(..ITEMS_STEP);
        }
    }

    fn enter(&mut self, event: &Event) {
        let (seq, user, at) = (event.seq, event.user, event.received_at.0);
        match &event.body {
            EventBody::MessagePosted { text, .. } => {
                let text = Text {
                    seq: Some(seq),
                    client_id: event.client_id,
                    user,
                    at,
                    text: Some(text.clone()),
                    edited: false,
                    refused: None,
                    reach: None,
                };
                // One's own stands there already, waiting for this.
                let own = |item: &Item| matches!(item, Item::Text(own) if own.client_id == event.client_id);
                if let Some(at) = self.items.iter().rposition(own) {
                    self.items.remove(at);
                }
                self.items.push(Item::Text(text));
            }
            EventBody::MessageEdited { target, text } => {
                if let Some(found) = self.text(*target) {
                    found.text = Some(text.clone());
                    found.edited = true;
                }
            }
            EventBody::MessageDeleted { target } => {
                if let Some(found) = self.text(*target) {
                    found.text = None;
                }
            }
            EventBody::BurstStarted { header, priority, spoken_ago_ms, .. } => self.items.push(Item::Burst {
                seq,
                burst: header.burst,
                user,
                at: at.saturating_sub(*spoken_ago_ms),
                frame_ms: header.frame_ms,
                frames: None,
                priority: *priority,
                end: BurstEnd::Live,
                missed: false,
                reach: None,
            }),
            EventBody::BurstCommitted { burst, last, .. } | EventBody::BurstCompleted { burst, last, .. } => {
                self.ended(*burst, last.0, BurstEnd::Ended);
            }
            EventBody::BurstInterrupted { burst, last_received } => {
                self.ended(*burst, last_received.0, BurstEnd::Interrupted);
            }
            EventBody::EmergencyRaised {} => self.items.push(Item::Emergency { seq, user, at, raised: true }),
            EventBody::EmergencyCleared { raised_by } => {
                self.items.push(Item::Emergency { seq, user: *raised_by, at, raised: false });
            }
        }
    }

    fn text(&mut self, target: Seq) -> Option<&mut Text> {
        self.items.iter_mut().rev().find_map(|item| match item {
            Item::Text(text) if text.seq == Some(target) => Some(text),
            Item::Text(_) | Item::Burst { .. } | Item::Emergency { .. } | Item::Gap => None,
        })
    }

    fn ended(&mut self, wanted: BurstId, last: u16, how: BurstEnd) {
        for item in self.items.iter_mut().rev() {
            if let Item::Burst { burst, frames, end, .. } = item
                && *burst == wanted
            {
                *frames = Some(last);
                *end = how;
                return;
            }
        }
    }

    pub(super) fn heard(&mut self, wanted: BurstId, state: HeardState) {
        for item in self.items.iter_mut().rev() {
            if let Item::Burst { burst, missed, .. } = item
                && *burst == wanted
            {
                match state {
                    HeardState::Missed => *missed = true,
                    HeardState::Playing { .. } | HeardState::Began { .. } => *missed = false,
                    HeardState::Played { .. }
                    | HeardState::Interrupted
                    | HeardState::Complete
                    | HeardState::Incomplete { .. } => {}
                }
                return;
            }
        }
    }

    /// One's own text, before it is in the log.
    pub fn send(&mut self, client_id: ClientId, user: UserId, at: u64, text: String) {
        let text = Text { seq: None, client_id, user, at, text: Some(text), edited: false, refused: None, reach: None };
        self.items.push(Item::Text(text));
    }

    pub(super) fn sent(&mut self, client_id: ClientId, state: SendState) {
        for item in self.items.iter_mut().rev() {
            if let Item::Text(text) = item
                && text.client_id == client_id
            {
                match state {
                    SendState::Acked { seq, .. } => text.seq = Some(seq),
                    SendState::Refused { problem } => text.refused = Some(problem.detail),
                    SendState::Waiting | SendState::TooMany => {}
                }
                return;
            }
        }
    }
}
