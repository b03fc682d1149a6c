//! What is sent next, and what is given up when the client takes less than there is to send.

use std::collections::VecDeque;

use crate::sorted;
use crate::units::{Cursor, Incarnation, Mono, RoomId, Seq, UserId};
use crate::wire::limits::{QUEUE_CONTROL_BYTES_MAX, QUEUE_VOICE_BYTES_MAX, VOICE_STALE};
use crate::wire::socket::CloseCode;

/// Places that an empty queue keeps: one message after the other needs no new ones.
const KEPT: usize = 4;

/// States of which only the latest matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Coalesce {
    /// Who has the floor of a room.
    Floor(RoomId),
    /// The emergencies of a room.
    Emergency(RoomId),
    /// The client's place in the queue for a room's floor.
    Queue(RoomId),
    /// How a person is.
    Presence(UserId),
    /// Who of a room is here, as a whole.
    PresenceRoom(RoomId),
    /// That changes of presence are not told.
    PresenceFeed,
    /// How far an event of a room got.
    Receipts(RoomId, Seq),
    /// That people, rooms or members changed.
    Roster,
    /// Which of the person's devices plays.
    Playing,
}

/// What the shell does next.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// Send this.
    Item(T),
    /// Read the events of `room` after `after` from the log, send them, and call [`Outbox::fetched`].
    Fetch {
        /// The room.
        room: RoomId,
        /// The last event that the client was sent.
        after: Cursor,
    },
    /// Send a close frame, and end.
    Close(CloseCode),
    /// Nothing to do until something is put in.
    Idle,
}

/// How much was given up, for the metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// Voice frames that found no room.
    pub voice_surplus: u64,
    /// Voice frames that waited too long.
    pub voice_stale: u64,
    /// States that a later one replaced.
    pub coalesced: u64,
    /// Times that events were left in the log.
    pub fell_behind: u64,
}

#[derive(Debug)]
struct Entry<T> {
    item: T,
    bytes: usize,
    queued_at: Mono,
    voice: bool,
    coalesce: Option<Coalesce>,
}

/// How far a client was told of a room's log.
#[derive(Debug)]
struct Follow {
    incarnation: Incarnation,
    /// The last event that was sent or queued.
    sent: Seq,
    /// The last event that is known to exist.
    head: Seq,
    /// Whether the client's cursor is of another history than the log's: only the log's reader can say where to go on.
    foreign: bool,
    /// Whether a page is being read for this very subscription.
    reading: bool,
}

impl Follow {
    fn is_behind(&self) -> bool {
        self.foreign || self.sent < self.head
    }
}

/// The outbound half of a session. `T` is a message that is ready to send; those that go to many are shared.
#[derive(Debug)]
pub struct Outbox<T> {
    /// Live voice and what must stay in step with it: the floor's signalling.
    live: VecDeque<Entry<T>>,
    voice_bytes: usize,
    /// Answers, events, states.
    control: VecDeque<Entry<T>>,
    /// Bytes in `control`, and in `live` other than voice.
    control_bytes: usize,
    follows: sorted::Map<RoomId, Follow>,
    /// The room whose page was fetched last, so that rooms take turns.
    fetched_last: Option<RoomId>,
    closing: Option<CloseCode>,
    dropped: Dropped,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self {
            live: VecDeque::new(),
            voice_bytes: 0,
            control: VecDeque::new(),
            control_bytes: 0,
            follows: sorted::Map::default(),
            fetched_last: None,
            closing: None,
            dropped: Dropped::default(),
        }
    }
}

impl<T> Outbox<T> {
    /// A live voice frame. The oldest queued frames give way when there are too many.
    pub fn voice(&mut self, now: Mono, item: T, bytes: usize) {
        if self.closing.is_some() {
            return;
        }
        self.voice_bytes += bytes;
        self.live.push_back(Entry { item, bytes, queued_at: now, voice: true, coalesce: None });
        while self.voice_bytes > QUEUE_VOICE_BYTES_MAX {
            let Some(oldest) = self.live.iter().position(|entry| entry.voice) else { return };
            if let Some(entry) = self.live.remove(oldest) {
                self.voice_bytes -= entry.bytes;
                self.dropped.voice_surplus += 1;
            }
        }
    }

    /// A message about the floor: in step with the voice. With `coalesce`, it replaces a queued one of the same kind.
    pub fn floor(&mut self, now: Mono, item: T, bytes: usize, coalesce: Option<Coalesce>) {
        self.put(now, item, bytes, coalesce, true);
    }

    /// An answer or a state. With `coalesce`, it replaces a queued one of the same kind.
    pub fn control(&mut self, now: Mono, item: T, bytes: usize, coalesce: Option<Coalesce>) {
        self.put(now, item, bytes, coalesce, false);
    }

    fn put(&mut self, now: Mono, item: T, bytes: usize, coalesce: Option<Coalesce>, live: bool) {
        if self.closing.is_some() {
            return;
        }
        let queue = if live { &mut self.live } else { &mut self.control };
        if coalesce.is_some()
            && let Some(older) = queue.iter().position(|entry| entry.coalesce == coalesce)
            && let Some(entry) = queue.remove(older)
        {
            self.control_bytes -= entry.bytes;
            self.dropped.coalesced += 1;
        }
        self.control_bytes += bytes;
        queue.push_back(Entry { item, bytes, queued_at: now, voice: false, coalesce });
    }

    /// Follow a room from `cursor`, whose log ends at `head` now.
    pub fn follow(&mut self, room: RoomId, cursor: Cursor, head: Cursor) {
        let foreign = cursor.incarnation != head.incarnation || cursor.seq > head.seq;
        let follow =
            Follow { incarnation: cursor.incarnation, sent: cursor.seq, head: head.seq, foreign, reading: false };
        self.follows.insert(room, follow);
    }

    /// Stop following a room.
    pub fn unfollow(&mut self, room: RoomId) {
        self.follows.remove(&room);
    }

    /// Whether a room is followed.
    pub fn follows(&self, room: RoomId) -> bool {
        self.follows.contains_key(&room)
    }

    /// Events `first` to `last` of a room were committed; `item` tells them. Queued if they follow on what was sent and there
    /// is room; else they are read from the log later. `None` for `item`: they are known to exist, but not at hand.
    pub fn events(&mut self, now: Mono, room: RoomId, first: Seq, last: Seq, item: Option<T>, bytes: usize) {
        let Some(follow) = self.follows.get_mut(&room) else { return };
        let was_behind = follow.is_behind();
        follow.head = follow.head.max(last);
        if was_behind || last <= follow.sent {
            return;
        }
        match item {
            Some(item) if first == follow.sent.next() && self.control_bytes + bytes <= QUEUE_CONTROL_BYTES_MAX => {
                follow.sent = last;
                self.put(now, item, bytes, None, false);
            }
            Some(_) | None => self.dropped.fell_behind += 1,
        }
    }

    /// The page after `after` that [`Next::Fetch`] asked for is being sent: the client then has every event up to `sent`. `head`
    /// is the last event that the page's reader saw. Changes nothing where the client has subscribed anew meanwhile, be it from the same
    /// cursor: it ignores what it is sent before that subscription is confirmed.
    pub fn fetched(&mut self, room: RoomId, after: Cursor, incarnation: Incarnation, sent: Seq, head: Seq) {
        if let Some(follow) = self.follows.get_mut(&room)
            && follow.reading
            && (Cursor { incarnation: follow.incarnation, seq: follow.sent }) == after
        {
            // `head` always counts in the log's own history, also where the client's cursor did not.
            *follow = Follow { incarnation, sent, head: follow.head.max(head), foreign: false, reading: false };
        }
    }

    /// The log of a room could not be read: its follower waits for the next event.
    pub fn fetch_failed(&mut self, room: RoomId) {
        if let Some(follow) = self.follows.get_mut(&room) {
            follow.head = follow.sent;
            follow.foreign = false;
        }
    }

    /// End the session: with a resumable code once what is queued for the live and control lanes was sent, with a final one at
    /// once. Nothing more is taken in.
    pub fn close(&mut self, code: CloseCode) {
        if self.closing.is_some() {
            return;
        }
        self.closing = Some(code);
        self.follows.clear();
        if !code.resumable() {
            self.live.clear();
            self.control.clear();
            (self.voice_bytes, self.control_bytes) = (0, 0);
        }
    }

    /// What to do next: live voice, then control, then pages of the log.
    pub fn next(&mut self, now: Mono) -> Next<T> {
        while let Some(entry) = self.live.pop_front() {
            if entry.voice {
                self.voice_bytes -= entry.bytes;
                if now.since(entry.queued_at) > VOICE_STALE {
                    self.dropped.voice_stale += 1;
                    continue;
                }
            } else {
                self.control_bytes -= entry.bytes;
            }
            return Next::Item(entry.item);
        }
        if let Some(entry) = self.control.pop_front() {
            self.control_bytes -= entry.bytes;
            return Next::Item(entry.item);
        }
        if let Some(code) = self.closing {
            return Next::Close(code);
        }
        let behind = |(room, follow): (&RoomId, &Follow)| {
            follow.is_behind().then_some((*room, Cursor { incarnation: follow.incarnation, seq: follow.sent }))
        };
        let after_last = self.fetched_last.and_then(|last| {
            self.follows.range((core::ops::Bound::Excluded(last), core::ops::Bound::Unbounded)).find_map(behind)
        });
        match after_last.or_else(|| self.follows.iter().find_map(behind)) {
            Some((room, after)) => {
                self.fetched_last = Some(room);
                if let Some(follow) = self.follows.get_mut(&room) {
                    follow.reading = true;
                }
                Next::Fetch { room, after }
            }
            None => {
                let_go(&mut self.live);
                let_go(&mut self.control);
                Next::Idle
            }
        }
    }

    /// Whether so much is queued that the shell should stop reading what the client sends.
    pub fn is_full(&self) -> bool {
        self.control_bytes > QUEUE_CONTROL_BYTES_MAX
    }

    /// What was given up since the last call.
    pub fn take_dropped(&mut self) -> Dropped {
        core::mem::take(&mut self.dropped)
    }
}

/// Gives the memory of an empty queue back that was once long: most sockets are idle most of the time, and there are thousands.
fn let_go<T>(queue: &mut VecDeque<T>) {
    if queue.is_empty() && queue.capacity() > KEPT {
        *queue = VecDeque::new();
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use proptest::prelude::*;

    const NOW: Mono = Mono(5_000_000);
    const HISTORY: Incarnation = Incarnation::from_bytes([1; 16]);

    fn room(n: u8) -> RoomId {
        RoomId::from_bytes([n; 16])
    }

    fn cursor(seq: u64) -> Cursor {
        Cursor { incarnation: HISTORY, seq: Seq(seq) }
    }

    fn drain<T>(outbox: &mut Outbox<T>) -> Vec<T> {
        let mut items = Vec::new();
        while let Next::Item(item) = outbox.next(NOW) {
            items.push(item);
        }
        items
    }

    #[test]
    fn voice_overtakes_control_but_not_the_floor() {
        let mut outbox = Outbox::default();
        outbox.control(NOW, "ack", 10, None);
        outbox.floor(NOW, "taken", 10, Some(Coalesce::Floor(room(1))));
        outbox.voice(NOW, "frame", 10);
        assert_eq!(drain(&mut outbox), ["taken", "frame", "ack"]);
    }

    #[test]
    fn surplus_voice_drops_the_oldest_and_nothing_else() {
        let mut outbox = Outbox::default();
        outbox.floor(NOW, 0, 10, None);
        let frames = QUEUE_VOICE_BYTES_MAX / 100 + 5;
        for frame in 1..=frames {
            outbox.voice(NOW, frame, 100);
        }
        let items = drain(&mut outbox);
        assert_eq!(items.first(), Some(&0));
        assert_eq!(items.get(1), Some(&6));
        assert_eq!(items.last(), Some(&frames));
        assert_eq!(outbox.take_dropped().voice_surplus, 5);
    }

    #[test]
    fn stale_voice_is_dropped() {
        let mut outbox = Outbox::default();
        outbox.voice(NOW, 1, 10);
        outbox.voice(NOW + VOICE_STALE, 2, 10);
        assert_eq!(outbox.next(NOW + VOICE_STALE + Duration::from_micros(1)), Next::Item(2));
        assert_eq!(outbox.take_dropped().voice_stale, 1);
    }

    #[test]
    fn a_newer_state_replaces_the_queued_one_of_the_same_room() {
        let mut outbox = Outbox::default();
        outbox.floor(NOW, "1 idle", 10, Some(Coalesce::Floor(room(1))));
        outbox.floor(NOW, "2 idle", 10, Some(Coalesce::Floor(room(2))));
        outbox.floor(NOW, "1 taken", 10, Some(Coalesce::Floor(room(1))));
        assert_eq!(drain(&mut outbox), ["2 idle", "1 taken"]);
    }

    #[test]
    fn events_that_follow_are_queued_and_others_are_fetched() {
        let mut outbox = Outbox::default();
        outbox.follow(room(1), cursor(3), cursor(3));
        assert_eq!(outbox.next(NOW), Next::Idle);
        outbox.events(NOW, room(1), Seq(4), Seq(5), Some("4-5"), 10);
        outbox.events(NOW, room(1), Seq(5), Seq(5), Some("5 again"), 10);
        assert_eq!(drain(&mut outbox), ["4-5"]);
        outbox.events(NOW, room(1), Seq(7), Seq(7), Some("7"), 10);
        assert_eq!(outbox.next(NOW), Next::Fetch { room: room(1), after: cursor(5) });
        // Event 8 comes while the page is read: it must not be forgotten.
        outbox.events(NOW, room(1), Seq(8), Seq(8), Some("8"), 10);
        outbox.fetched(room(1), cursor(5), HISTORY, Seq(7), Seq(7));
        assert_eq!(outbox.next(NOW), Next::Fetch { room: room(1), after: cursor(7) });
        outbox.fetched(room(1), cursor(7), HISTORY, Seq(8), Seq(8));
        assert_eq!(outbox.next(NOW), Next::Idle);
    }

    #[test]
    fn a_subscriber_from_an_old_cursor_fetches() {
        let mut outbox: Outbox<&str> = Outbox::default();
        outbox.follow(room(1), cursor(0), cursor(2));
        assert_eq!(outbox.next(NOW), Next::Fetch { room: room(1), after: cursor(0) });
    }

    /// A client that subscribes anew ignores what comes before the confirmation: a page that is late is for the earlier subscription.
    #[test]
    fn a_page_of_an_earlier_subscription_counts_for_nothing() {
        let mut outbox: Outbox<&str> = Outbox::default();
        outbox.follow(room(1), cursor(0), cursor(2));
        let page = Next::Fetch { room: room(1), after: cursor(0) };
        assert_eq!(outbox.next(NOW), page);
        outbox.follow(room(1), cursor(0), cursor(2));
        outbox.fetched(room(1), cursor(0), HISTORY, Seq(2), Seq(2));
        assert_eq!(outbox.next(NOW), page);
        outbox.fetched(room(1), cursor(0), HISTORY, Seq(2), Seq(2));
        assert_eq!(outbox.next(NOW), Next::Idle);
    }

    #[test]
    fn a_cursor_of_another_history_is_for_the_log_to_judge() {
        for foreign in [Cursor { incarnation: Incarnation::from_bytes([2; 16]), seq: Seq(2) }, cursor(7)] {
            let mut outbox: Outbox<&str> = Outbox::default();
            outbox.follow(room(1), foreign, cursor(2));
            assert_eq!(outbox.next(NOW), Next::Fetch { room: room(1), after: foreign });
            // A page that an earlier subscription asked for comes too late.
            outbox.fetched(room(1), cursor(1), HISTORY, Seq(2), Seq(2));
            assert_eq!(outbox.next(NOW), Next::Fetch { room: room(1), after: foreign });
            // Event 3 comes while the page is read: it must not be forgotten.
            outbox.events(NOW, room(1), Seq(3), Seq(3), Some("3"), 10);
            outbox.fetched(room(1), foreign, HISTORY, Seq(2), Seq(2));
            assert_eq!(outbox.next(NOW), Next::Fetch { room: room(1), after: cursor(2) });
            outbox.fetched(room(1), cursor(2), HISTORY, Seq(3), Seq(3));
            assert_eq!(outbox.next(NOW), Next::Idle);
        }
    }

    #[test]
    fn rooms_take_turns_at_fetching() {
        let mut outbox: Outbox<()> = Outbox::default();
        for n in 1..=3 {
            outbox.follow(room(n), cursor(0), cursor(9));
        }
        let mut order = Vec::new();
        for _ in 0..6 {
            if let Next::Fetch { room, .. } = outbox.next(NOW) {
                order.push(room);
            }
        }
        assert_eq!(order, [room(1), room(2), room(3), room(1), room(2), room(3)]);
    }

    #[test]
    fn a_final_close_overtakes_everything_and_nothing_is_taken_in_after_it() {
        let mut outbox = Outbox::default();
        outbox.control(NOW, "ack", 10, None);
        outbox.voice(NOW, "frame", 10);
        outbox.close(CloseCode::Revoked);
        outbox.voice(NOW, "frame", 10);
        outbox.floor(NOW, "taken", 10, None);
        assert_eq!(outbox.next(NOW), Next::Close(CloseCode::Revoked));
        assert!(!outbox.is_full());
    }

    #[test]
    fn closing_waits_for_what_is_queued_but_not_for_the_log() {
        let mut outbox = Outbox::default();
        outbox.follow(room(1), cursor(0), cursor(9));
        outbox.control(NOW, "draining", 10, None);
        outbox.close(CloseCode::Draining);
        outbox.close(CloseCode::Internal);
        assert_eq!(outbox.next(NOW), Next::Item("draining"));
        assert_eq!(outbox.next(NOW), Next::Close(CloseCode::Draining));
    }

    /// What a storm of changes needed is not held for as long as the socket is idle.
    #[test]
    fn an_idle_queue_holds_little() {
        let mut outbox = Outbox::default();
        for number in 0..100_u64 {
            outbox.control(NOW, number, 10, None);
            outbox.floor(NOW, number, 10, None);
        }
        let mut sent = 0;
        while matches!(outbox.next(NOW), Next::Item(_)) {
            sent += 1;
        }
        assert_eq!(sent, 200);
        assert!(outbox.live.capacity() <= KEPT && outbox.control.capacity() <= KEPT);
    }

    proptest! {
        /// Whatever the reader's pace, the client sees every event once and in order, and the queue stays bounded.
        #[test]
        fn no_event_is_lost_to_a_slow_reader(steps in prop::collection::vec((any::<bool>(), 1_usize..40_000), 1..300)) {
            let mut outbox = Outbox::default();
            outbox.follow(room(1), cursor(0), cursor(0));
            let mut written = 0;
            let mut seen = Vec::new();
            let mut read = |outbox: &mut Outbox<u64>, written: u64| match outbox.next(NOW) {
                Next::Item(seq) => {
                    seen.push(seq);
                    true
                }
                Next::Fetch { after, .. } => {
                    let last = written.min(after.seq.0 + 7);
                    seen.extend(after.seq.0 + 1..=last);
                    outbox.fetched(room(1), after, HISTORY, Seq(last), Seq(written));
                    true
                }
                Next::Idle | Next::Close(_) => false,
            };
            for (write, bytes) in steps {
                if write {
                    written += 1;
                    outbox.events(NOW, room(1), Seq(written), Seq(written), Some(written), bytes);
                } else {
                    read(&mut outbox, written);
                }
                prop_assert!(outbox.control_bytes <= QUEUE_CONTROL_BYTES_MAX);
            }
            while read(&mut outbox, written) {}
            prop_assert_eq!(seen, (1..=written).collect::<Vec<_>>());
        }
    }
}
