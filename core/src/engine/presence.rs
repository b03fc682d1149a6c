//! Who is here, as this client may say it.
//!
//! What the server tells counts for a while only: the **lease** that comes with it, by this client's own monotonic clock. While the
//! server answers pings it may promise, with each `pong`, that whatever it told of watched people still holds; so a quiet room
//! costs nothing, and a link that died without a word turns everybody to `unknown`, with the age of the last confirmation, within the
//! promise. The promise is for what was told on this very connection: what an earlier one told runs out, until the room is
//! told anew.
//!
//! Where the server says that it can't tell changes (`presence.degraded`), the rooms concerned are asked for over REST, at
//! times that are drawn, until the server tells them again.

use crate::sorted;
use core::time::Duration;

use super::Cx;
use super::notice::{Notice, PresenceFeed};
use super::ports::{FetchError, Lane, Output};
use crate::model::PresenceState;
use crate::units::{Mono, RequestId, RoomId, UserId};
use crate::wire::limits::{HEARTBEAT, PRESENCE_POLL, SILENCE_MAX, SUBSCRIPTIONS_MAX};
use crate::wire::presence::{PersonPresence, PresenceCounts, RoomPresence};
use crate::wire::problem::{Problem, ProblemKind};
use crate::wire::socket::{ClientMessage, Follow};

/// The most often that this client asks, whatever the server says.
const POLL_MIN: Duration = Duration::from_secs(5);
/// The longest that the server can make this client believe it, ms: beyond the longest heartbeat and its slack.
const LEASE_MS_MAX: u32 = 300_000;

/// How long until a request that the server could not take for the moment is made again, where it does not say.
const RETRY_WAIT: Duration = Duration::from_secs(2);

/// For how long what was told still counts once the connection is known to be gone.
const CUT_OFF: Duration = HEARTBEAT;

/// What is known of a person, at an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct PersonSeen {
    /// How they are.
    pub state: PresenceState,
    /// How long ago that was last confirmed, or for who is gone, how long ago they went or were last heard. `None`: never heard of.
    pub age: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Person {
    state: PresenceState,
    /// When `age` was true.
    at: Mono,
    age: Option<Duration>,
    until: Mono,
    /// That it ran out was told.
    lapsed: bool,
}

impl Person {
    fn seen(&self, now: Mono) -> PersonSeen {
        let state = if now < self.until { self.state } else { PresenceState::Unknown };
        PersonSeen { state, age: self.age.map(|age| age + now.since(self.at)) }
    }
}

#[derive(Clone, Debug, Default)]
enum Feed {
    /// No connection, or no answer yet.
    #[default]
    None,
    /// The server tells changes.
    Told,
    /// It does not: ask at `at`; `None`: asked, no answer yet.
    Polled { every: Duration, at: Option<Mono> },
    /// Refused for good, on this connection.
    Refused,
}

#[derive(Clone, Debug, Default)]
struct Watched {
    feed: Feed,
    request: Option<RequestId>,
    /// When to ask again, where the server could not for the moment.
    again_at: Option<Mono>,
    /// Who is in it, where it is small enough to be told.
    people: sorted::Set<UserId>,
    counts: Option<(PresenceCounts, Mono)>,
    counts_lapsed: bool,
}

/// The part of the engine that knows who is here.
#[derive(Debug, Default)]
pub(super) struct Presence {
    rooms: sorted::Map<RoomId, Watched>,
    people: sorted::Map<UserId, Person>,
    /// Until when everything told on this connection holds.
    promised: Mono,
    /// What this device says; told again on every connection.
    own: Option<PresenceState>,
    /// What `auth` said of it on this connection.
    said_with_auth: Option<PresenceState>,
    feed_told: Option<PresenceFeed>,
}

impl Presence {
    /// What this device says of its person.
    pub(super) fn own(&self) -> Option<PresenceState> {
        self.own
    }

    pub(super) fn set(&mut self, cx: &mut Cx<'_>, state: PresenceState) {
        if state != PresenceState::Unknown && self.own != Some(state) {
            self.own = Some(state);
            cx.send(Lane::Control, &ClientMessage::PresenceSet { state });
        }
    }

    pub(super) fn is_watched(&self, room: RoomId) -> bool {
        self.rooms.contains_key(&room)
    }

    pub(super) fn watch(&mut self, cx: &mut Cx<'_>, room: RoomId) {
        if self.rooms.contains_key(&room) {
            return;
        }
        if self.rooms.len() >= SUBSCRIPTIONS_MAX {
            let detail = format!("expected at most {SUBSCRIPTIONS_MAX} rooms; stop watching one first");
            return cx.notice(Notice::RoomRefused { room, problem: Problem::new(ProblemKind::OutOfBounds, detail) });
        }
        let watched = self.rooms.entry(room).or_default();
        watched.ask(cx, room);
    }

    pub(super) fn unwatch(&mut self, cx: &mut Cx<'_>, room: RoomId) {
        if self.rooms.remove(&room).is_some() {
            cx.send(Lane::Control, &ClientMessage::PresenceUnwatch { room });
            self.forget_strangers();
        }
    }

    /// What is known of a person.
    pub(super) fn seen(&self, now: Mono, user: UserId) -> PersonSeen {
        let unheard = PersonSeen { state: PresenceState::Unknown, age: None };
        self.people.get(&user).map_or(unheard, |person| person.seen(now))
    }

    /// `auth` asks for these.
    pub(super) fn asked_with_auth(&mut self, follows: &[Follow]) {
        self.said_with_auth = self.own;
        for (room, watched) in &mut self.rooms {
            let follow = follows.iter().find(|follow| follow.presence && follow.room == *room);
            watched.request = follow.map(|follow| follow.request);
        }
    }

    /// Asks for every watched room that `auth` did not ask for.
    pub(super) fn link_up(&mut self, cx: &mut Cx<'_>) {
        if let Some(state) = self.own.filter(|own| self.said_with_auth != Some(*own)) {
            // It was said while `auth` was on its way.
            cx.send(Lane::Control, &ClientMessage::PresenceSet { state });
        }
        for (room, watched) in self.rooms.iter_mut().filter(|(_, watched)| watched.request.is_none()) {
            watched.ask(cx, *room);
        }
    }

    /// No change can be told any more: what is known counts for a little longer, so that a quick reconnect does not flicker.
    pub(super) fn link_down(&mut self, cx: &mut Cx<'_>) {
        self.promised = Mono::default();
        self.cap(cx.now + CUT_OFF);
        for watched in self.rooms.values_mut() {
            (watched.feed, watched.request, watched.again_at) = (Feed::None, None, None);
        }
        self.tell_feed(cx);
    }

    /// The server answered a ping: what it told on this connection holds.
    pub(super) fn confirmed(&mut self, cx: &mut Cx<'_>, lease_ms: Option<u32>) {
        let Some(lease) = lease_ms.map(lease) else { return };
        self.promised = cx.now + lease;
        for (room, watched) in self.rooms.iter_mut().filter(|(_, watched)| matches!(watched.feed, Feed::Told)) {
            if let Some((counts, until)) = &mut watched.counts {
                *until = (*until).max(self.promised);
                if core::mem::take(&mut watched.counts_lapsed) {
                    cx.notice(Notice::PresenceCounts { room: *room, counts: Some(*counts) });
                }
            }
            for user in &watched.people {
                if let Some(person) = self.people.get_mut(user)
                    && person.state != PresenceState::Unknown
                {
                    person.until = person.until.max(self.promised);
                    if !matches!(person.state, PresenceState::Offline) {
                        (person.at, person.age) = (cx.now, Some(Duration::ZERO));
                    }
                    if core::mem::take(&mut person.lapsed) {
                        cx.notice(Notice::Presence { user: *user, seen: person.seen(cx.now) });
                    }
                }
            }
        }
    }

    pub(super) fn told(&mut self, cx: &mut Cx<'_>, person: &PersonPresence) {
        self.take_in(cx, person, true);
    }

    pub(super) fn room_told(&mut self, cx: &mut Cx<'_>, room: RoomId, people: &[PersonPresence]) {
        let Some(watched) = self.rooms.get_mut(&room) else { return };
        watched.feed = Feed::Told;
        watched.set_people(people);
        for person in people {
            self.take_in(cx, person, true);
        }
        self.forget_strangers();
        cx.notice(Notice::PresenceRoom { room, people: people.iter().map(|person| person.user).collect() });
        self.tell_feed(cx);
    }

    pub(super) fn counts_told(&mut self, cx: &mut Cx<'_>, room: RoomId, counts: PresenceCounts, lease_ms: u32) {
        let promised = self.promised;
        let Some(watched) = self.rooms.get_mut(&room) else { return };
        watched.feed = Feed::Told;
        watched.set_counts(cx, room, counts, (cx.now + lease(lease_ms)).max(promised));
        self.forget_strangers();
        self.tell_feed(cx);
    }

    /// The server can't tell changes: ask, for every room that it has not refused.
    pub(super) fn degraded(&mut self, cx: &mut Cx<'_>, poll_ms: u32) {
        let every = Duration::from_millis(u64::from(poll_ms)).clamp(POLL_MIN, PRESENCE_POLL * 4);
        self.promised = Mono::default();
        self.cap(cx.now + SILENCE_MAX);
        for watched in self.rooms.values_mut() {
            if !matches!(watched.feed, Feed::Refused) {
                // The first one soon, but not all clients at once.
                watched.feed = Feed::Polled { every, at: Some(cx.now + cx.chance.spread(every / 4)) };
            }
        }
        self.tell_feed(cx);
    }

    /// The answer to [`Output::FetchPresence`].
    pub(super) fn fetched(&mut self, cx: &mut Cx<'_>, room: RoomId, answer: Result<RoomPresence, FetchError>) {
        let Some(watched) = self.rooms.get_mut(&room) else { return };
        let Feed::Polled { every, at } = &mut watched.feed else { return };
        *at = Some(cx.now + cx.chance.spread(*every));
        match answer {
            Ok(RoomPresence { people: Some(people), .. }) => {
                watched.set_people(&people);
                for person in &people {
                    self.take_in(cx, person, false);
                }
                self.forget_strangers();
                cx.notice(Notice::PresenceRoom { room, people: people.iter().map(|person| person.user).collect() });
            }
            Ok(RoomPresence { people: None, counts, lease_ms, .. }) => {
                watched.set_counts(cx, room, counts, cx.now + lease(lease_ms));
                self.forget_strangers();
            }
            Err(FetchError::Later(_)) => {}
            Err(FetchError::After(wait, _)) => *at = Some(cx.now + wait + cx.chance.spread(*every)),
            Err(FetchError::Never(detail)) => {
                watched.feed = Feed::Refused;
                cx.notice(Notice::RoomRefused { room, problem: Problem::new(ProblemKind::Forbidden, detail) });
            }
        }
    }

    /// A request was refused. Whether it was one of these. `told`: the person was told already, as the same request asked for the
    /// room's events too.
    pub(super) fn refused(
        &mut self,
        cx: &mut Cx<'_>,
        room: RoomId,
        request: RequestId,
        problem: &Problem,
        told: bool,
    ) -> bool {
        let Some(watched) = self.rooms.get_mut(&room).filter(|watched| watched.request == Some(request)) else {
            return false;
        };
        if problem.is_passing() {
            let wait = problem.retry_after_s.map_or(RETRY_WAIT, |s| Duration::from_secs(u64::from(s)));
            watched.request = None;
            watched.again_at = Some(cx.now + wait + cx.chance.spread(RETRY_WAIT));
            return true;
        }
        watched.feed = Feed::Refused;
        watched.set_people(&[]);
        watched.counts = None;
        self.forget_strangers();
        if !told {
            cx.notice(Notice::RoomRefused { room, problem: problem.clone() });
        }
        true
    }

    /// The user is no longer a member: nothing of the room is known from now on.
    pub(super) fn left(&mut self, cx: &mut Cx<'_>, room: RoomId) {
        if self.rooms.remove(&room).is_some() {
            self.forget_strangers();
            self.tell_feed(cx);
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        let lapses = self.people.values().filter(|person| !person.lapsed).map(|person| person.until);
        let rooms = self.rooms.values().flat_map(|watched| {
            let counts = watched.counts.as_ref().filter(|_| !watched.counts_lapsed).map(|(_, until)| *until);
            let poll = if let Feed::Polled { at, .. } = watched.feed { at } else { None };
            [counts, poll, watched.again_at].into_iter().flatten()
        });
        lapses.chain(rooms).min()
    }

    pub(super) fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        for (user, person) in &mut self.people {
            if !person.lapsed && cx.now >= person.until {
                person.lapsed = true;
                if person.state != PresenceState::Unknown {
                    cx.notice(Notice::Presence { user: *user, seen: person.seen(cx.now) });
                }
            }
        }
        for (room, watched) in &mut self.rooms {
            if !watched.counts_lapsed && watched.counts.as_ref().is_some_and(|(_, until)| cx.now >= *until) {
                watched.counts_lapsed = true;
                cx.notice(Notice::PresenceCounts { room: *room, counts: None });
            }
            if watched.again_at.take_if(|at| cx.now >= *at).is_some() {
                watched.ask(cx, *room);
            }
            if let Feed::Polled { at, .. } = &mut watched.feed
                && at.is_some_and(|at| cx.now >= at)
            {
                *at = None;
                cx.push(Output::FetchPresence { room: *room });
            }
        }
    }

    /// `promised`: whether the connection's promise covers it.
    fn take_in(&mut self, cx: &mut Cx<'_>, told: &PersonPresence, promised: bool) {
        let until = cx.now + lease(told.lease_ms);
        let until = if promised { until.max(self.promised) } else { until };
        let new =
            Person { state: told.state, at: cx.now, age: told.age_ms.map(Duration::from_millis), until, lapsed: false };
        let before = self.people.insert(told.user, new).map(|before| before.seen(cx.now).state);
        if before != Some(new.seen(cx.now).state) {
            cx.notice(Notice::Presence { user: told.user, seen: new.seen(cx.now) });
        }
    }

    /// Nothing that is known counts beyond `until`.
    fn cap(&mut self, until: Mono) {
        for person in self.people.values_mut() {
            person.until = person.until.min(until);
        }
        for (_, counted) in self.rooms.values_mut().filter_map(|watched| watched.counts.as_mut()) {
            *counted = (*counted).min(until);
        }
    }

    /// Drops who shares no watched room any more.
    fn forget_strangers(&mut self) {
        let rooms = &self.rooms;
        self.people.retain(|user, _| rooms.values().any(|watched| watched.people.contains(user)));
    }

    fn tell_feed(&mut self, cx: &mut Cx<'_>) {
        let feeds = || self.rooms.values().map(|watched| &watched.feed);
        let feed = if feeds().any(|feed| matches!(feed, Feed::Polled { .. })) {
            PresenceFeed::Polled
        } else if feeds().any(|feed| matches!(feed, Feed::Told)) {
            PresenceFeed::Live
        } else {
            PresenceFeed::None
        };
        if self.feed_told != Some(feed) {
            self.feed_told = Some(feed);
            cx.notice(Notice::PresenceFeed(feed));
        }
    }
}

impl Watched {
    fn ask(&mut self, cx: &mut Cx<'_>, room: RoomId) {
        if cx.session.is_some() {
            let request = cx.request();
            self.request = Some(request);
            cx.send(Lane::Control, &ClientMessage::PresenceWatch { request, room });
        }
    }

    fn set_people(&mut self, people: &[PersonPresence]) {
        self.people = people.iter().map(|person| person.user).collect();
        self.counts = None;
    }

    fn set_counts(&mut self, cx: &mut Cx<'_>, room: RoomId, counts: PresenceCounts, until: Mono) {
        self.people.clear();
        let before = self.counts.replace((counts, until)).map(|(counts, _)| counts);
        if core::mem::take(&mut self.counts_lapsed) || before != Some(counts) {
            cx.notice(Notice::PresenceCounts { room, counts: Some(counts) });
        }
    }
}

fn lease(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms.min(LEASE_MS_MAX)))
}
