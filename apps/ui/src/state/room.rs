//! One room: who talks, and its timeline.

use holler_core::model::{Event, EventBody, Priority, Role, RoomKind};
use holler_core::units::{BurstId, ClientId, Cursor, RoomId, Seq, UserId};
use holler_core::wire::presence::PresenceCounts;
use holler_core::wire::rest::{ECHO, Room};

use super::{Reach, Text, Timeline};
use crate::t;

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
    /// What is here of it.
    pub timeline: Timeline,
    /// It is no longer there for this person: removed, or they were removed from it.
    pub gone: bool,
    /// Texts and bursts that came while another room was looked at.
    pub unread: u32,
    /// Why it can't be followed, where that is so.
    pub refused: Option<String>,
    /// The last event of its log that is here.
    pub last: Option<Cursor>,
    /// Up to where its log was told: a tab that leads anew tells again what came since it was last kept.
    pub taken: Seq,
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
            timeline: Timeline::default(),
            gone: false,
            unread: 0,
            refused: None,
            last: None,
            taken: Seq(0),
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
        (self.refused, self.gone) = (None, false);
        self.is_at(room.head);
    }

    /// Whether it is the direct room with oneself.
    pub fn is_echo(&self) -> bool {
        self.kind == RoomKind::Direct && self.members == 1 && self.name == ECHO
    }

    /// What it is called.
    pub fn title(&self) -> String {
        if self.is_echo() { t!("echo") } else { self.name.clone() }
    }

    /// How its log stands on the server: after a restore it is another log.
    pub(super) fn is_at(&mut self, head: Cursor) {
        if self.last.is_none_or(|last| last.incarnation != head.incarnation) {
            if self.last.is_some() {
                self.timeline.clear();
            }
            (self.last, self.read, self.taken) = (Some(head), None, Seq(0));
            (self.first, self.earliest) = (None, None);
        }
    }

    /// What to ask for to see what came before, where there is more and there is room for it.
    pub fn earlier(&self) -> Option<Cursor> {
        let (last, earliest) = (self.last?, self.earliest?);
        (earliest > self.first? && !self.timeline.is_full() && !self.gone).then_some(Cursor { seq: earliest, ..last })
    }

    /// How far a burst got, where that was told.
    pub fn reach_of(&self, wanted: BurstId) -> Option<Reach> {
        self.timeline.burst(wanted)?.reach
    }

    /// Whether the person may take back what others wrote.
    pub fn may_delete_others(&self) -> bool {
        self.role.is_some_and(|role| role >= Role::Dispatcher)
    }

    /// The latest events, or events older than everything that is here.
    pub(super) fn history(&mut self, events: &[Event], me: Option<UserId>, open: bool) {
        let known = self.earliest;
        let upto = events.partition_point(|event| known.is_none_or(|known| event.seq < known));
        let (older, newer) = events.split_at(upto);
        self.taken = older.last().map_or(self.taken, |last| self.taken.max(last.seq));
        self.earliest = known.into_iter().chain(older.first().map(|event| event.seq)).min();
        self.timeline.older(older);
        // What came while no tab led is told as the past by the next one.
        newer.iter().for_each(|event| self.event(event, me, open));
    }

    /// A new event.
    pub(super) fn event(&mut self, event: &Event, me: Option<UserId>, open: bool) {
        if event.seq <= self.taken {
            return;
        }
        self.taken = event.seq;
        let counts = matches!(event.body, EventBody::MessagePosted { .. } | EventBody::BurstStarted { .. });
        if counts && !open && me != Some(event.user) {
            self.unread += 1;
        }
        self.earliest = self.earliest.or(Some(event.seq));
        if self.timeline.event(event) {
            self.earliest = self.timeline.first_seq();
        }
        if let Some(last) = &mut self.last {
            last.seq = last.seq.max(event.seq);
        }
    }

    /// One's own text, before it is in the log.
    pub fn send(&mut self, client_id: ClientId, user: UserId, at: u64, text: String, reply_to: Option<Seq>) {
        self.timeline.send(Text {
            seq: None,
            client_id,
            user,
            at,
            text: Some(text),
            edited: false,
            reply_to,
            changing: None,
            put_off: None,
            refused: None,
            reach: None,
        });
    }

    /// One's own text is to say something else, or nothing any more.
    pub fn change(&mut self, target: Seq, client_id: ClientId) {
        self.timeline.change(target, client_id);
    }
}
