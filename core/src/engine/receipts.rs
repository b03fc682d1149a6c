//! What this device got, showed and played, told to the server.
//!
//! **Delivered** follows the log by itself: every event up to a number is here, and of every burst before it that is listened to, all
//! the frames that there will be. **Heard** comes from the playout: a burst that was played to its end. **Read** comes from the
//! program around the client, which alone knows what a person saw. They are gathered for a second, sent as one message a room, and
//! kept until the server says that it stored them: over a lost connection, and with the local store over a restart. All of it can
//! be said twice; what is said only ever grows.

use crate::sorted;
use core::time::Duration;

use super::Cx;
use super::ports::{Lane, Output, Store};
use crate::model::{Event, EventBody};
use crate::units::{BurstId, Cursor, Incarnation, Mono, RequestId, RoomId, Seq};
use crate::wire::limits::RECEIPT_BURSTS_MAX;
use crate::wire::problem::{Problem, ProblemKind};
use crate::wire::socket::ClientMessage;

/// How long receipts are gathered: a receipt that comes a second later is as good, and a second's worth costs one message.
const GATHER: Duration = Duration::from_secs(1);
/// How long until what the server could not take, or did not answer, is said again.
const AGAIN: Duration = Duration::from_secs(20);
/// Bursts of a room that were heard and not yet told; beyond it the oldest are given up.
const HEARD_WAITING_MAX: usize = 512;
/// Bursts of a room that `delivered` waits for; beyond it the oldest no longer hold it back.
const UNSETTLED_MAX: usize = 64;

#[derive(Debug)]
struct Told {
    request: RequestId,
    incarnation: Incarnation,
    delivered: Option<Seq>,
    read: Option<Seq>,
    heard: Vec<BurstId>,
    at: Mono,
}

/// A history, and of it delivered, read and heard.
type News = (Incarnation, Option<Seq>, Option<Seq>, Vec<BurstId>);

#[derive(Debug, Default)]
struct Room {
    /// The last event that was handed on.
    last: Option<Cursor>,
    /// Bursts whose frames are still coming, by their `burst.started`.
    unsettled: sorted::Map<Seq, BurstId>,
    read: Option<Cursor>,
    heard: sorted::Set<BurstId>,
    /// In the order in which they were heard, for giving up the oldest.
    order: Vec<BurstId>,
    /// What the server has stored.
    stored_delivered: Option<Cursor>,
    stored_read: Option<Cursor>,
    told: Option<Told>,
    not_before: Mono,
}

impl Room {
    fn delivered(&self) -> Option<Cursor> {
        let last = self.last?;
        let seq = self.unsettled.keys().next().map_or(last.seq, |first| Seq(first.0.saturating_sub(1)).min(last.seq));
        Some(Cursor { seq, ..last })
    }

    /// What the server does not have yet.
    fn news(&self) -> Option<News> {
        let newer = |now: Option<Cursor>, stored: Option<Cursor>| {
            now.filter(|now| stored.is_none_or(|stored| stored.incarnation != now.incarnation || stored.seq < now.seq))
        };
        let delivered = newer(self.delivered(), self.stored_delivered).filter(|delivered| delivered.seq.0 > 0);
        let read = newer(self.read, self.stored_read);
        let incarnation = self.last.or(read).map(|cursor| cursor.incarnation)?;
        let same = |cursor: Option<Cursor>| cursor.filter(|c| c.incarnation == incarnation).map(|c| c.seq);
        let (delivered, read) = (same(delivered), same(read));
        let heard: Vec<BurstId> = self.order.iter().take(RECEIPT_BURSTS_MAX).copied().collect();
        (delivered.is_some() || read.is_some() || !heard.is_empty()).then_some((incarnation, delivered, read, heard))
    }
}

/// The part of the engine that tells the server how far this device got.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    rooms: sorted::Map<RoomId, Room>,
}

impl Receipts {
    /// An event was handed on. `hears`: the frames of the room's bursts are wanted here.
    pub(super) fn event(&mut self, cx: &mut Cx<'_>, incarnation: Incarnation, event: &Event, hears: bool) {
        let room = self.rooms.entry(event.room).or_default();
        if room.last.is_some_and(|last| last.incarnation != incarnation) {
            room.unsettled.clear();
        }
        room.last = Some(Cursor { incarnation, seq: event.seq });
        let own = cx.session.is_some_and(|session| session.device == event.device);
        if let EventBody::BurstStarted { header, .. } = &event.body
            && hears
            && !own
        {
            room.unsettled.insert(event.seq, header.burst);
            if room.unsettled.len() > UNSETTLED_MAX {
                room.unsettled.pop_first();
            }
        }
        room.gather(cx.now);
    }

    /// Nothing more is to come of a burst.
    pub(super) fn settled(&mut self, cx: &mut Cx<'_>, room: RoomId, burst: BurstId) {
        if let Some(room) = self.rooms.get_mut(&room) {
            room.unsettled.retain(|_, unsettled| *unsettled != burst);
            room.gather(cx.now);
        }
    }

    /// A burst was played to its end.
    pub(super) fn heard(&mut self, cx: &mut Cx<'_>, id: RoomId, burst: BurstId) {
        let room = self.rooms.entry(id).or_default();
        if room.take_heard(burst) {
            cx.push(Output::Store(Store::Heard { room: id, burst }));
            room.gather(cx.now);
        }
    }

    /// A person saw everything up to `seq`.
    pub(super) fn read(&mut self, cx: &mut Cx<'_>, id: RoomId, cursor: Cursor) {
        let room = self.rooms.entry(id).or_default();
        if room.read.is_none_or(|read| read.incarnation != cursor.incarnation || read.seq < cursor.seq) {
            room.read = Some(cursor);
            cx.push(Output::Store(Store::Read { room: id, cursor }));
            room.gather(cx.now);
        }
    }

    /// What was not told when the client last ran.
    pub(super) fn restore(&mut self, cx: &mut Cx<'_>, id: RoomId, read: Option<Cursor>, heard: Vec<BurstId>) {
        let room = self.rooms.entry(id).or_default();
        room.read = room.read.or(read);
        for burst in heard {
            room.take_heard(burst);
        }
        room.gather(cx.now);
    }

    /// The history that a room's log has now: bursts heard in a client that follows nothing else are told with it.
    pub(super) fn history(&mut self, id: RoomId, head: Cursor) {
        if let Some(room) = self.rooms.get_mut(&id)
            && room.last.is_none_or(|last| last.incarnation != head.incarnation)
        {
            room.last = Some(Cursor { seq: Seq(0), ..head });
        }
    }

    pub(super) fn stored(&mut self, cx: &mut Cx<'_>, id: RoomId, request: RequestId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        let Some(told) = room.told.take_if(|told| told.request == request) else { return };
        room.done(cx, id, &told);
        room.gather(cx.now);
    }

    /// A request was refused. Whether it was one of these.
    pub(super) fn refused(&mut self, cx: &mut Cx<'_>, id: RoomId, request: RequestId, problem: &Problem) -> bool {
        let Some(room) = self.rooms.get_mut(&id) else { return false };
        let Some(told) = room.told.take_if(|told| told.request == request) else { return false };
        if problem.is_passing() || problem.is(ProblemKind::Internal) {
            room.not_before = cx.now + cx.chance.spread(AGAIN);
        } else {
            // What it was about is gone: another history, or no longer a member. It must not be said for ever.
            room.done(cx, id, &told);
        }
        true
    }

    pub(super) fn link_down(&mut self) {
        for room in self.rooms.values_mut() {
            room.told = None;
        }
    }

    pub(super) fn left(&mut self, room: RoomId) {
        self.rooms.remove(&room);
    }

    pub(super) fn poll_timeout(&self, up: bool) -> Option<Mono> {
        if !up {
            return None;
        }
        let times = self.rooms.values().filter_map(|room| match &room.told {
            Some(told) => Some(told.at + AGAIN),
            None => room.news().map(|_| room.not_before),
        });
        times.min()
    }

    /// Only while there is a connection.
    pub(super) fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        self.tell_due(cx, false);
    }

    /// Says everything now. Only while there is a connection.
    pub(super) fn tell(&mut self, cx: &mut Cx<'_>) {
        self.tell_due(cx, true);
    }

    fn tell_due(&mut self, cx: &mut Cx<'_>, all: bool) {
        for (id, room) in &mut self.rooms {
            if room.told.as_ref().is_some_and(|told| cx.now >= told.at + AGAIN) {
                room.told = None;
            }
            if room.told.is_some() || cx.now < room.not_before && !all {
                continue;
            }
            let Some((incarnation, delivered, read, heard)) = room.news() else { continue };
            let request = cx.request();
            let receipt =
                ClientMessage::Receipt { request, room: *id, incarnation, delivered, read, heard: heard.clone() };
            cx.send(Lane::Control, &receipt);
            room.told = Some(Told { request, incarnation, delivered, read, heard, at: cx.now });
        }
    }
}

impl Room {
    /// Says it soon, with what comes until then.
    fn gather(&mut self, now: Mono) {
        if self.not_before <= now {
            self.not_before = now + GATHER;
        }
    }

    fn take_heard(&mut self, burst: BurstId) -> bool {
        let is_new = self.heard.insert(burst);
        if is_new {
            self.order.push(burst);
            if self.order.len() > HEARD_WAITING_MAX {
                let oldest = self.order.remove(0);
                self.heard.remove(&oldest);
            }
        }
        is_new
    }

    fn done(&mut self, cx: &mut Cx<'_>, id: RoomId, told: &Told) {
        let cursor = |seq: Option<Seq>| seq.map(|seq| Cursor { incarnation: told.incarnation, seq });
        self.stored_delivered = cursor(told.delivered).or(self.stored_delivered);
        self.stored_read = cursor(told.read).or(self.stored_read);
        self.order.retain(|burst| !told.heard.contains(burst));
        for burst in &told.heard {
            self.heard.remove(burst);
        }
        if told.read.is_some() || !told.heard.is_empty() {
            let (read, heard) = (cursor(told.read), told.heard.clone());
            cx.push(Output::Store(Store::ReceiptsStored { room: id, read, heard }));
        }
    }
}
