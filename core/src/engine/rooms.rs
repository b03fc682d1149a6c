//! The rooms that are followed: each from a cursor on, in order and without holes, over any number of connections; with
//! their roles, their floor and their emergencies.

use crate::sorted;
use core::time::Duration;

use super::Cx;
use super::backoff::backoff;
use super::notice::Notice;
use super::ports::{FetchError, Lane, Output, Store};
use crate::model::{Event, Role};
use crate::units::{Cursor, Incarnation, Mono, RequestId, RoomId, Seq, UserId};
use crate::wire::limits::{PAGE_EVENTS_MAX, SUBSCRIPTIONS_MAX};
use crate::wire::problem::{Problem, ProblemKind};
use crate::wire::rest::EventPage;
use crate::wire::socket::{ClientMessage, FloorState, Follow};

/// Most events of a room that are held while earlier ones are fetched; beyond it the newest are left, to be fetched too.
const HELD_EVENTS_MAX: usize = 2 * PAGE_EVENTS_MAX as usize;
/// How long to wait before a fetch that failed, or a subscription that the server could not take, is tried again.
const RETRY_WAIT: Duration = Duration::from_secs(2);

#[derive(Debug)]
enum State {
    /// No connection, or not asked for yet.
    Apart,
    /// Asked for, no answer yet.
    Asked { request: RequestId },
    /// Events come as they happen.
    Live,
    /// Events are missing before those in `held`.
    Behind { held: Vec<Event>, retry_at: Option<Mono> },
    /// The server could not take it now.
    Later { at: Mono },
    /// Refused for good, on this connection.
    Refused,
}

#[derive(Debug)]
struct Room {
    voice: bool,
    /// Followed for a burst's sake; nobody said yet from where on.
    implied: bool,
    cursor: Option<Cursor>,
    state: State,
    asked_at: Mono,
    /// Fetches in a row that failed.
    failures: u32,
    role: Option<Role>,
    floor: Option<FloorState>,
    emergencies: Vec<UserId>,
}

/// An answer to `subscribe`.
#[derive(Debug)]
pub(super) struct Subscribed {
    pub(super) request: RequestId,
    pub(super) room: RoomId,
    pub(super) role: Role,
    pub(super) head: Cursor,
    pub(super) first_seq: Seq,
    pub(super) floor: FloorState,
    pub(super) emergencies: Vec<UserId>,
}

#[derive(Debug, Default)]
pub(super) struct Rooms {
    rooms: sorted::Map<RoomId, Room>,
}

impl Rooms {
    pub(super) fn follow(&mut self, cx: &mut Cx<'_>, room: RoomId, cursor: Option<Cursor>, voice: bool) {
        if let Some(known) = self.rooms.get_mut(&room) {
            let resumes = core::mem::take(&mut known.implied) && cursor.is_some();
            if resumes {
                known.cursor = cursor;
            }
            if known.voice != voice || resumes {
                known.voice = voice;
                // Where `auth` asked for it already, and is not answered yet: once more, then.
                known.state = State::Apart;
                known.subscribe(cx, room);
            }
            return;
        }
        if self.rooms.len() >= SUBSCRIPTIONS_MAX {
            let detail = format!("expected at most {SUBSCRIPTIONS_MAX} rooms; leave one first");
            cx.notice(Notice::RoomRefused { room, problem: Problem::new(ProblemKind::OutOfBounds, detail) });
            return;
        }
        let mut new = Room {
            voice,
            implied: false,
            cursor,
            state: State::Apart,
            asked_at: cx.now,
            failures: 0,
            role: None,
            floor: None,
            emergencies: Vec::new(),
        };
        new.subscribe(cx, room);
        self.rooms.insert(room, new);
    }

    /// Follows a room that is to be talked in, where it is not followed yet.
    pub(super) fn follow_to_talk(&mut self, cx: &mut Cx<'_>, room: RoomId) {
        if !self.rooms.contains_key(&room) {
            self.follow(cx, room, None, false);
            if let Some(new) = self.rooms.get_mut(&room) {
                new.implied = true;
            }
        }
    }

    pub(super) fn unfollow(&mut self, cx: &mut Cx<'_>, room: RoomId) {
        if self.rooms.remove(&room).is_some() {
            cx.send(Lane::Control, &ClientMessage::Unsubscribe { room });
        }
    }

    /// Whether the room is followed with voice.
    pub(super) fn hears(&self, room: RoomId) -> bool {
        self.rooms.get(&room).is_some_and(|room| room.voice)
    }

    /// Whether the floor can be asked for: the server took the subscription.
    pub(super) fn is_live(&self, room: RoomId) -> bool {
        self.rooms.get(&room).is_some_and(|room| matches!(room.state, State::Live | State::Behind { .. }))
    }

    /// Whether the server refused the room for good, on this connection.
    pub(super) fn is_refused(&self, room: RoomId) -> bool {
        self.rooms.get(&room).is_some_and(|room| matches!(room.state, State::Refused))
    }

    /// What the user may do in the room, as far as is known.
    pub(super) fn role(&self, room: RoomId) -> Option<Role> {
        self.rooms.get(&room)?.role
    }

    /// The history that the room's cursor counts in.
    pub(super) fn incarnation(&self, room: RoomId) -> Option<Incarnation> {
        Some(self.rooms.get(&room)?.cursor?.incarnation)
    }

    /// When the subscription in force was asked for.
    pub(super) fn asked_at(&self, room: RoomId) -> Option<Mono> {
        Some(self.rooms.get(&room)?.asked_at)
    }

    /// Every room, to be asked for with `auth`; `presence` says of which its people are wanted too.
    pub(super) fn follows(&mut self, cx: &mut Cx<'_>, presence: impl Fn(RoomId) -> bool) -> Vec<Follow> {
        let rooms = self.rooms.iter_mut().map(|(id, room)| {
            let request = room.asked(cx);
            Follow { request, room: *id, cursor: room.cursor, voice: room.voice, presence: presence(*id) }
        });
        rooms.collect()
    }

    /// Asks for the rooms that `auth` did not ask for.
    pub(super) fn link_up(&mut self, cx: &mut Cx<'_>) {
        for (id, room) in &mut self.rooms {
            if !matches!(room.state, State::Asked { .. }) {
                room.subscribe(cx, *id);
            }
        }
    }

    pub(super) fn link_down(&mut self) {
        for room in self.rooms.values_mut() {
            room.state = State::Apart;
        }
    }

    /// Whether the answer was awaited.
    pub(super) fn subscribed(&mut self, cx: &mut Cx<'_>, answer: &Subscribed) -> bool {
        let room = answer.room;
        let Some(known) = self.rooms.get_mut(&room) else { return false };
        if !matches!(known.state, State::Asked { request } if request == answer.request) {
            return false;
        }
        known.state = State::Live;
        known.role = Some(answer.role);
        if known.cursor.is_none() {
            known.advance(cx, room, answer.head);
        }
        cx.notice(Notice::Room { room, role: Some(answer.role), head: answer.head, first_seq: answer.first_seq });
        known.set_floor(cx, room, &answer.floor);
        if known.emergencies != answer.emergencies {
            known.emergencies.clone_from(&answer.emergencies);
            cx.notice(Notice::Emergencies { room, raised_by: answer.emergencies.clone() });
        }
        true
    }

    /// A request about a room was refused. Whether it was the subscription.
    pub(super) fn refused(&mut self, cx: &mut Cx<'_>, room: RoomId, request: RequestId, problem: &Problem) -> bool {
        let Some(known) = self.rooms.get_mut(&room) else { return false };
        if !matches!(known.state, State::Asked { request: asked } if asked == request) {
            return false;
        }
        if problem.is_passing() {
            let wait = problem.retry_after_s.map_or(RETRY_WAIT, |s| Duration::from_secs(u64::from(s)));
            known.state = State::Later { at: cx.now + wait + cx.chance.spread(RETRY_WAIT / 2) };
        } else if problem.is(ProblemKind::WrongIncarnation) && known.cursor.take().is_some() {
            // A restored backup: begin with its head, and say that something is gone.
            cx.notice(Notice::HistoryGap { room, first_seq: Seq(0) });
            known.subscribe(cx, room);
        } else {
            known.state = State::Refused;
            known.role = None;
            cx.notice(Notice::RoomRefused { room, problem: problem.clone() });
        }
        true
    }

    /// Takes events in; those that are next in order go to `handed`.
    pub(super) fn events(
        &mut self,
        cx: &mut Cx<'_>,
        room: RoomId,
        incarnation: Incarnation,
        events: Vec<Event>,
        handed: &mut Vec<Event>,
    ) {
        let Some(known) = self.rooms.get_mut(&room) else { return };
        match &mut known.state {
            State::Live => {}
            State::Behind { held, .. } => {
                let space = HELD_EVENTS_MAX.saturating_sub(held.len());
                held.extend(events.into_iter().take(space));
                return;
            }
            State::Apart | State::Asked { .. } | State::Later { .. } | State::Refused => return,
        }
        let missing = known.take_in(cx, room, incarnation, events, handed);
        if !missing.is_empty() {
            known.fall_behind(cx, room, missing, None);
        }
    }

    /// A page that was fetched.
    pub(super) fn fetched(
        &mut self,
        cx: &mut Cx<'_>,
        room: RoomId,
        page: Result<EventPage, FetchError>,
        handed: &mut Vec<Event>,
    ) {
        let Some(known) = self.rooms.get_mut(&room) else { return };
        let State::Behind { held, retry_at } = &mut known.state else { return };
        match page {
            Ok(page) => {
                known.failures = 0;
                let held = core::mem::take(held);
                known.state = State::Live;
                let incarnation = page.head.incarnation;
                if known
                    .cursor
                    .is_none_or(|cursor| cursor.incarnation != incarnation || cursor.seq.next() < page.first_seq)
                {
                    known.gap(cx, room, incarnation, page.first_seq);
                }
                let before = known.cursor;
                let mut missing = known.take_in(cx, room, incarnation, page.events, handed);
                if missing.is_empty() {
                    missing = known.take_in(cx, room, incarnation, held, handed);
                } else {
                    missing.extend(held);
                }
                if !missing.is_empty() || known.cursor.is_some_and(|cursor| cursor.seq < page.head.seq) {
                    // A page without progress is asked for again later, not at once and for ever.
                    let wait = (known.cursor == before).then(|| cx.chance.spread(RETRY_WAIT));
                    known.fall_behind(cx, room, missing, wait);
                }
            }
            Err(FetchError::Later(_)) => {
                *retry_at = Some(cx.now + cx.chance.spread(backoff(RETRY_WAIT, known.failures)));
                known.failures = known.failures.saturating_add(1);
            }
            Err(FetchError::After(wait, _)) => *retry_at = Some(cx.now + wait + cx.chance.spread(RETRY_WAIT)),
            Err(FetchError::Never(detail)) => {
                cx.notice(Notice::Fault { detail: format!("missing events of {room} can't be fetched: {detail}") });
                // A new subscription makes the server decide where to go on.
                known.subscribe(cx, room);
            }
        }
    }

    pub(super) fn history_gap(&mut self, cx: &mut Cx<'_>, room: RoomId, incarnation: Incarnation, first_seq: Seq) {
        if let Some(known) = self.rooms.get_mut(&room) {
            known.gap(cx, room, incarnation, first_seq);
        }
    }

    pub(super) fn floor_is(&mut self, cx: &mut Cx<'_>, room: RoomId, floor: &FloorState) -> bool {
        let Some(known) = self.rooms.get_mut(&room) else { return false };
        known.set_floor(cx, room, floor);
        true
    }

    pub(super) fn emergencies_are(&mut self, cx: &mut Cx<'_>, room: RoomId, raised_by: Vec<UserId>) {
        if let Some(known) = self.rooms.get_mut(&room) {
            known.emergencies.clone_from(&raised_by);
            cx.notice(Notice::Emergencies { room, raised_by });
        }
    }

    pub(super) fn role_is(&mut self, cx: &mut Cx<'_>, room: RoomId, role: Option<Role>) {
        if let Some(known) = self.rooms.get_mut(&room) {
            known.role = role;
            cx.notice(Notice::Role { room, role });
            if role.is_none() {
                known.state = State::Refused;
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.rooms
            .values()
            .filter_map(|room| match &room.state {
                State::Behind { retry_at, .. } => *retry_at,
                State::Later { at } => Some(*at),
                State::Apart | State::Asked { .. } | State::Live | State::Refused => None,
            })
            .min()
    }

    pub(super) fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        for (id, room) in &mut self.rooms {
            match &mut room.state {
                State::Behind { retry_at, .. } if retry_at.is_some_and(|at| cx.now >= at) => {
                    *retry_at = None;
                    if let Some(after) = room.cursor {
                        cx.push(Output::FetchEvents { room: *id, after });
                    }
                }
                State::Later { at } if cx.now >= *at => room.subscribe(cx, *id),
                State::Behind { .. }
                | State::Later { .. }
                | State::Apart
                | State::Asked { .. }
                | State::Live
                | State::Refused => {}
            }
        }
    }
}

impl Room {
    fn subscribe(&mut self, cx: &mut Cx<'_>, room: RoomId) {
        if cx.session.is_none() {
            return;
        }
        let request = self.asked(cx);
        let (cursor, voice) = (self.cursor, self.voice);
        cx.send(Lane::Control, &ClientMessage::Subscribe { request, room, cursor, voice, presence: false });
    }

    fn asked(&mut self, cx: &mut Cx<'_>) -> RequestId {
        let request = cx.request();
        self.state = State::Asked { request };
        self.asked_at = cx.now;
        request
    }

    fn advance(&mut self, cx: &mut Cx<'_>, room: RoomId, cursor: Cursor) {
        self.cursor = Some(cursor);
        cx.push(Output::Store(Store::Cursor { room, cursor }));
    }

    fn gap(&mut self, cx: &mut Cx<'_>, room: RoomId, incarnation: Incarnation, first_seq: Seq) {
        cx.notice(Notice::HistoryGap { room, first_seq });
        self.advance(cx, room, Cursor { incarnation, seq: Seq(first_seq.0.saturating_sub(1)) });
    }

    fn set_floor(&mut self, cx: &mut Cx<'_>, room: RoomId, floor: &FloorState) {
        if self.floor.as_ref() != Some(floor) {
            self.floor = Some(floor.clone());
            cx.notice(Notice::Floor { room, floor: floor.clone() });
        }
    }

    /// Hands on what is next in order; gives back what can't be, as events before it are missing.
    fn take_in(
        &mut self,
        cx: &mut Cx<'_>,
        room: RoomId,
        incarnation: Incarnation,
        events: Vec<Event>,
        handed: &mut Vec<Event>,
    ) -> Vec<Event> {
        let Some(start) = self.cursor else { return Vec::new() };
        let mut cursor = start;
        let mut rest = events.into_iter();
        let mut missing = Vec::new();
        while let Some(event) = rest.next() {
            if cursor.incarnation != incarnation || event.seq > cursor.seq.next() {
                cx.notice(Notice::EventsMissing { room, after: cursor.seq, found: event.seq });
                missing = core::iter::once(event).chain(rest).take(HELD_EVENTS_MAX).collect();
                break;
            }
            if event.seq == cursor.seq.next() {
                cursor.seq = event.seq;
                handed.push(event.clone());
                cx.notice(Notice::Event(Box::new(event)));
            }
        }
        if cursor != start {
            self.advance(cx, room, cursor);
        }
        missing
    }

    /// Fetches what comes after the cursor, at once or after a wait; `held` is what follows it.
    fn fall_behind(&mut self, cx: &mut Cx<'_>, room: RoomId, held: Vec<Event>, wait: Option<Duration>) {
        if let (None, Some(after)) = (wait, self.cursor) {
            cx.push(Output::FetchEvents { room, after });
        }
        self.state = State::Behind { held, retry_at: wait.map(|wait| cx.now + wait) };
    }
}
