//! Others' bursts: which of them plays, when each frame is played, and how each ends up complete.
//!
//! A burst becomes known by the floor message of its grant, or by its `burst.started` in the log, whichever comes first. Its
//! live frames go two ways: into [`Jitter`], which says what to play when, and into [`Frames`](crate::burst::Frames), from which the complete
//! burst is made. What did not come live is fetched over REST once the sender ended the burst, so that in the end a listener
//! has every frame, whatever the link did meanwhile.

mod choice;
mod figures;
mod incoming;

use crate::sorted;
use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;

use super::Cx;
use super::backoff::backoff;
use super::jitter::{Entry, History, Jitter, Playout, Stretch};
use super::notice::HeardState;
use super::ports::{FetchError, Output, ServerTime, Store};
use choice::Choice;
pub use choice::Hearing;
pub use figures::Heard;
use incoming::{Begun, End, Fetch, Incoming, Play};

use crate::model::{BurstDigest, Event, EventBody, FrameRange};
use crate::units::{BurstId, FloorToken, FrameNo, Mono, RoomId, UnixMs};
use crate::wire::limits::REPAIR_WAIT;
use crate::wire::socket::FloorState;
use crate::wire::voice::{VoiceFrame, VoiceKind};

/// Bursts held at once; beyond them the oldest that does not play is given up. A busy room has one every few seconds.
const BURSTS_MAX: usize = 64;
/// Bytes of frames held at once: three of the largest bursts, or an hour of ordinary speech.
const BYTES_MAX: usize = 16 * 1024 * 1024;
/// Frames that came before their burst was known: about a second of three talkers.
const EARLY_FRAMES_MAX: usize = 150;
/// How long such a frame is kept.
const EARLY_MAX: Duration = Duration::from_secs(5);
/// How long after the floor passed on the burst's end in the log is awaited, before what came is taken for all of it.
const END_WAIT: Duration = Duration::from_secs(1);
/// Bursts whose frames are fetched at the same time.
const FETCHES_MAX: usize = 2;
/// How long to wait before a fetch that failed is tried again.
const RETRY_WAIT: Duration = Duration::from_secs(2);
/// Fetches of one burst that bring nothing, before it is left until the log says that it was completed.
const FRUITLESS_MAX: u32 = 3;

/// What a sound device is to play next. The codec is the sound port's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pull {
    /// Silence; ask again when a frame came, or at this time.
    Wait {
        /// From [`Jitter::wake`].
        until: Option<Mono>,
    },
    /// Decode and play this frame, stretched as told.
    Frame {
        /// Its number.
        number: FrameNo,
        /// The sealed frame.
        payload: Bytes,
        /// Whether to drop or insert a little sound.
        stretch: Stretch,
    },
    /// A frame was lost: play one frame length from the redundancy in a later one, or conceal.
    Recover {
        /// The lost frame.
        lost: FrameNo,
        /// How many frames later `later` is, from 1.
        back: u16,
        /// The later frame.
        later: Bytes,
    },
    /// A frame was lost: play one frame length of concealment.
    Conceal {
        /// The lost frame.
        lost: FrameNo,
    },
    /// Play [`super::jitter::BRIDGE`] of concealment.
    Bridge,
    /// The burst is over, or is not to be played: close the sink.
    End,
}

/// What became of a burst, for its receipt.
#[derive(Debug)]
pub(super) enum BurstEnd {
    /// It was played to its end.
    Heard { room: RoomId, burst: BurstId },
    /// Nothing more is to come of it.
    Settled { room: RoomId, burst: BurstId },
}

#[derive(Debug)]
pub(super) struct Listen {
    ends: VecDeque<BurstEnd>,
    /// In the order in which they became known.
    bursts: VecDeque<Incoming>,
    /// The highest token accepted in each room.
    accepted: sorted::Map<RoomId, FloorToken>,
    early: VecDeque<(Mono, VoiceFrame)>,
    choice: Choice,
    heard: Option<Heard>,
    play_all: bool,
    reach: u16,
    history: History,
}

impl Listen {
    pub(super) fn new(play_all: bool, reach: u16) -> Self {
        Self {
            ends: VecDeque::new(),
            bursts: VecDeque::new(),
            accepted: sorted::Map::new(),
            early: VecDeque::new(),
            choice: Choice::default(),
            heard: None,
            play_all,
            reach,
            history: History::default(),
        }
    }

    /// What became of bursts; `None` when all was told.
    pub(super) fn poll_end(&mut self) -> Option<BurstEnd> {
        self.ends.pop_front()
    }

    #[cfg(test)]
    pub(super) fn early_len(&self) -> usize {
        self.early.len()
    }

    /// Whether somebody talks whom this client plays now.
    pub(super) fn is_live(&self) -> bool {
        let live = |burst: &Incoming| matches!((&burst.end, &burst.play), (End::Open, Play::Playing { .. }));
        self.bursts.iter().any(|burst| live(burst) && !burst.settled)
    }

    fn position(&self, id: BurstId) -> Option<usize> {
        self.bursts.iter().position(|burst| burst.id() == id)
    }

    /// Who has the floor in a room that is heard. `asked_at`: this is the answer to a subscription of then, so that what is
    /// being spoken began before.
    pub(super) fn floor(
        &mut self,
        cx: &mut Cx<'_>,
        half_rtt: Duration,
        room: RoomId,
        floor: &FloorState,
        asked_at: Option<Mono>,
    ) {
        let (FloorState::Idle { token } | FloorState::Taken { token, .. }) = floor;
        let accepted = self.accepted.entry(room).or_default();
        if *token < *accepted {
            return;
        }
        *accepted = *token;
        let talking = match floor {
            FloorState::Idle { .. } => None,
            FloorState::Taken { header, .. } => Some(header.burst),
        };
        for burst in self.bursts.iter_mut().filter(|burst| burst.room == room && Some(burst.id()) != talking) {
            if matches!(burst.end, End::Open) {
                self.choice.note_over(cx.now, burst);
                burst.end = End::Passed { since: cx.now };
            }
        }
        let FloorState::Taken { token, user, device, priority, header, since_ms: _ } = floor else { return };
        if cx.session.is_some_and(|session| session.device == *device) {
            return;
        }
        let at = if let Some(at) = self.position(header.burst) {
            at
        } else {
            self.make_room(cx);
            self.bursts.push_back(Incoming::new(cx, room, *header, *user, *device));
            self.bursts.len() - 1
        };
        let burst = &mut self.bursts[at];
        burst.token = *token;
        burst.priority = *priority;
        if matches!(burst.end, End::Passed { .. } | End::Awaited { .. } | End::Left) {
            // Its sender came back and goes on.
            self.choice.note_again(burst);
            burst.end = End::Open;
        }
        if matches!(burst.play, Play::Unseen) && !burst.settled {
            burst.late = asked_at;
            self.begin(cx, at);
        }
        self.take_early(cx, half_rtt, header.burst);
    }

    /// Begins to play it, unless something else has precedence.
    fn begin(&mut self, cx: &mut Cx<'_>, at: usize) {
        let plays = self.may_play(cx, at);
        let (now, reach, history) = (cx.now, self.reach, self.history.clone());
        let burst = &mut self.bursts[at];
        let room = burst.room;
        if !plays {
            burst.play = Play::Held;
            return burst.tell_held(cx, &self.choice);
        }
        let entry = if burst.late.is_some() { Entry::LiveEdge } else { Entry::Beginning };
        let jitter = Box::new(Jitter::new(burst.header.frame_ms, entry, history, reach));
        burst.play = Play::Playing { jitter, pulled_at: now };
        cx.push(Output::StartPlayback { burst: burst.id(), room, header: burst.header, user: burst.user });
        burst.tell(cx, HeardState::Playing { late: burst.late.is_some() });
        let id = burst.id();
        self.note_begin(id);
    }

    /// A frame came.
    pub(super) fn voice(&mut self, cx: &mut Cx<'_>, half_rtt: Duration, frame: VoiceFrame) {
        let known = self.bursts.iter_mut().find(|burst| burst.id().tag() == frame.tag && !burst.settled);
        let Some(burst) = known else {
            // Perhaps its floor message is on its way.
            while self.early.len() >= EARLY_FRAMES_MAX {
                self.early.pop_front();
            }
            self.early.push_back((cx.now, frame));
            return;
        };
        if frame.kind == VoiceKind::Live {
            let accepted = self.accepted.entry(burst.room).or_default();
            if frame.token < *accepted {
                return;
            }
            *accepted = frame.token;
            let id = burst.id();
            self.note_came(id, half_rtt, &frame);
        }
        let Some(burst) = self.bursts.iter_mut().find(|burst| burst.id().tag() == frame.tag && !burst.settled) else {
            return;
        };
        burst.insert(cx.now, half_rtt, frame);
        if matches!(burst.play, Play::Playing { .. }) && !matches!(cx.out.back(), Some(Output::FramesCame)) {
            cx.push(Output::FramesCame);
        }
        self.check(cx);
    }

    fn take_early(&mut self, cx: &mut Cx<'_>, half_rtt: Duration, id: BurstId) {
        let now = cx.now;
        self.early.retain(|(came, _)| now.since(*came) < EARLY_MAX);
        let Some(at) = self.position(id) else { return };
        let burst = &mut self.bursts[at];
        let tag = id.tag();
        let (mine, others) = core::mem::take(&mut self.early).into_iter().partition(|(_, frame)| frame.tag == tag);
        self.early = others;
        let mine: VecDeque<(Mono, VoiceFrame)> = mine;
        for (came, frame) in mine {
            if frame.token >= burst.token {
                burst.insert(came, half_rtt, frame);
            }
        }
    }

    /// What the log says of bursts.
    pub(super) fn event(&mut self, cx: &mut Cx<'_>, event: &Event) {
        let own = cx.session.is_some_and(|session| session.device == event.device);
        match &event.body {
            EventBody::BurstStarted { header, token, priority, spoken_ago_ms, uncertainty_ms } => {
                let spoken = ServerTime {
                    at: UnixMs(event.received_at.0.saturating_sub(*spoken_ago_ms)),
                    uncertainty_ms: *uncertainty_ms,
                };
                if let Some(at) = self.position(header.burst) {
                    self.bursts[at].spoken = Some(spoken);
                    return;
                }
                if own {
                    return;
                }
                self.make_room(cx);
                let mut burst = Incoming::new(cx, event.room, *header, event.user, event.device);
                burst.token = token.unwrap_or_default();
                burst.priority = *priority;
                burst.spoken = Some(spoken);
                burst.brought = token.is_none();
                self.bursts.push_back(burst);
            }
            EventBody::BurstCommitted { burst, last, digest, missing } => {
                self.ended(cx, *burst, *last, *digest, missing.is_empty());
            }
            EventBody::BurstCompleted { burst, last, digest } => self.ended(cx, *burst, *last, *digest, true),
            EventBody::BurstInterrupted { burst, last_received } => {
                let Some(at) = self.position(*burst) else { return };
                let burst = &mut self.bursts[at];
                if burst.settled {
                    // Whole here, though a restored log has only its beginning.
                    return;
                }
                self.choice.note_over(cx.now, burst);
                burst.end = End::Awaited { until: cx.now + REPAIR_WAIT };
                burst.finish(cx.now, (last_received.0 > 0).then_some(*last_received));
                burst.tell(cx, HeardState::Interrupted);
                if !burst.frames.is_empty() {
                    burst.hand_over(cx, false);
                }
            }
            EventBody::MessagePosted { .. }
            | EventBody::MessageEdited { .. }
            | EventBody::MessageDeleted { .. }
            | EventBody::EmergencyRaised {}
            | EventBody::EmergencyCleared { .. } => {}
        }
    }

    fn ended(&mut self, cx: &mut Cx<'_>, id: BurstId, last: FrameNo, digest: BurstDigest, complete: bool) {
        let Some(at) = self.position(id) else { return };
        let burst = &mut self.bursts[at];
        if burst.settled {
            return;
        }
        self.choice.note_over(cx.now, burst);
        burst.last = Some((last, digest));
        burst.finish(cx.now, Some(last));
        if matches!(burst.play, Play::Done) && burst.is_heard(last) {
            // It was played until its sender was lost, and that was all of it.
            self.ends.push_back(BurstEnd::Heard { room: burst.room, burst: id });
        }
        if matches!(burst.play, Play::Unseen) {
            burst.play = Play::Held;
            // Nothing of it was live: where others play, they did not play this.
            burst.tell(cx, if burst.own { HeardState::Elsewhere } else { HeardState::Missed });
        }
        burst.end = if complete { End::Known } else { End::Awaited { until: cx.now + REPAIR_WAIT } };
        self.check(cx);
    }

    /// The next sound of a burst.
    pub(super) fn pull(&mut self, cx: &mut Cx<'_>, id: BurstId) -> Pull {
        let Some(at) = self.position(id) else { return Pull::End };
        let burst = &mut self.bursts[at];
        let Play::Playing { jitter, pulled_at } = &mut burst.play else { return Pull::End };
        *pulled_at = cx.now;
        match jitter.tick(cx.now) {
            Playout::Wait => Pull::Wait { until: jitter.wake() },
            Playout::Frame(number) => {
                let stretch = jitter.advice();
                if matches!(burst.begun, Begun::No)
                    && let Some(captured) = jitter.captured()
                {
                    burst.begun = Begun::Handed { number, captured };
                }
                let payload = burst.frames.frame(number).cloned();
                self.note_handed(cx.now, at, number);
                match payload {
                    Some(payload) => Pull::Frame { number, payload, stretch },
                    None => Pull::Conceal { lost: number },
                }
            }
            Playout::Recover { lost, from } => match burst.frames.frame(from).cloned() {
                Some(later) => Pull::Recover { lost, back: from.0.saturating_sub(lost.0), later },
                None => Pull::Conceal { lost },
            },
            Playout::Conceal(lost) => Pull::Conceal { lost },
            Playout::Bridge => Pull::Bridge,
            Playout::End => {
                let tally = jitter.tally();
                if let Play::Playing { jitter, .. } = core::mem::replace(&mut burst.play, Play::Done) {
                    self.history = jitter.into_history();
                }
                burst.tell(cx, HeardState::Played { tally });
                if burst.last.is_some_and(|(last, _)| burst.is_heard(last)) {
                    self.ends.push_back(BurstEnd::Heard { room: burst.room, burst: id });
                }
                cx.push(Output::Store(Store::BurstHeard { room: burst.room, burst: id }));
                self.check(cx);
                Pull::End
            }
        }
    }

    /// The sound device says when a frame's first sample is heard.
    pub(super) fn played(&mut self, cx: &mut Cx<'_>, id: BurstId, number: FrameNo, heard_at: Mono) {
        let Some(at) = self.position(id) else { return };
        let burst = &mut self.bursts[at];
        burst.played_to = burst.played_to.max(Some(number));
        self.note_played(id, number, heard_at);
        let burst = &mut self.bursts[at];
        if let Begun::Handed { number: first, captured } = burst.begun
            && first == number
        {
            burst.first_heard(cx, heard_at.since(captured), heard_at);
        }
    }

    pub(super) fn fetched(&mut self, cx: &mut Cx<'_>, id: BurstId, frames: Result<Vec<(FrameNo, Bytes)>, FetchError>) {
        let Some(at) = self.position(id) else { return };
        let burst = &mut self.bursts[at];
        if !matches!(burst.fetch, Fetch::InFlight) {
            return;
        }
        burst.fetch = Fetch::None;
        match frames {
            Ok(frames) => {
                burst.failures = 0;
                let before = burst.frames.len();
                for (number, payload) in frames {
                    // What is out of bounds, or differs from what came live, shows in the digest.
                    let _ = burst.frames.insert(number, payload);
                }
                if burst.frames.len() == before {
                    burst.fruitless += 1;
                    burst.fetch = Fetch::Wanted { at: cx.now + cx.chance.spread(RETRY_WAIT) };
                }
            }
            Err(FetchError::Later(_)) => {
                let wait = backoff(RETRY_WAIT, burst.failures);
                burst.failures = burst.failures.saturating_add(1);
                burst.fetch = Fetch::Wanted { at: cx.now + cx.chance.spread(wait) };
            }
            Err(FetchError::After(wait, _)) => {
                burst.fetch = Fetch::Wanted { at: cx.now + wait + cx.chance.spread(RETRY_WAIT) };
            }
            Err(FetchError::Never(_)) => burst.fruitless = FRUITLESS_MAX,
        }
        self.check(cx);
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        let in_flight = self.fetching();
        let times =
            self.bursts.iter().filter(|burst| !burst.settled).filter_map(|burst| match (&burst.end, &burst.fetch) {
                (End::Passed { since }, _) => Some(*since + END_WAIT),
                (End::Awaited { until }, _) => Some(*until),
                (End::Known, Fetch::Wanted { at }) if in_flight < FETCHES_MAX => Some(*at),
                (End::Open | End::Known | End::Left, _) => None,
            });
        times.min()
    }

    pub(super) fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        for burst in &mut self.bursts {
            match burst.end {
                End::Passed { since } if now >= since + END_WAIT => {
                    burst.finish(now, None);
                    burst.end = End::Awaited { until: now + REPAIR_WAIT };
                }
                End::Awaited { until } if now >= until => burst.end = End::Known,
                End::Open | End::Passed { .. } | End::Awaited { .. } | End::Known | End::Left => {}
            }
        }
        self.check(cx);
    }

    fn fetching(&self) -> usize {
        self.bursts.iter().filter(|burst| matches!(burst.fetch, Fetch::InFlight)).count()
    }

    /// Settles what is complete, or can't become so; fetches what is missing; forgets what is settled and not playing.
    fn check(&mut self, cx: &mut Cx<'_>) {
        let mut in_flight = self.fetching();
        for burst in self.bursts.iter_mut().filter(|burst| !burst.settled) {
            let Some((last, digest)) = burst.last else {
                if matches!(burst.end, End::Known) {
                    // Its sender has not come back, and what the server has is not known to end.
                    burst.leave(cx);
                }
                continue;
            };
            if burst.frames.is_complete(last) {
                let agrees = burst.frames.digest(last) == Some(digest);
                burst.settle(cx, agrees);
            } else if burst.fruitless >= FRUITLESS_MAX {
                burst.leave(cx);
            } else if matches!(burst.end, End::Known) && in_flight < FETCHES_MAX {
                let due = match burst.fetch {
                    Fetch::None => true,
                    Fetch::Wanted { at } => cx.now >= at,
                    Fetch::InFlight => false,
                };
                if due && let Some(FrameRange { from, to }) = burst.span_missing(last) {
                    in_flight += 1;
                    burst.fetch = Fetch::InFlight;
                    cx.push(Output::FetchFrames { room: burst.room, burst: burst.id(), from, to });
                }
            }
        }
        for burst in self.bursts.iter_mut().filter(|burst| burst.settled && !burst.settled_told) {
            burst.settled_told = true;
            self.ends.push_back(BurstEnd::Settled { room: burst.room, burst: burst.id() });
        }
        self.bursts
            .retain(|burst| !burst.settled || matches!(burst.play, Play::Playing { .. }) && burst.is_audible(cx.now));
    }

    /// Gives up the oldest bursts where there are too many.
    fn make_room(&mut self, cx: &mut Cx<'_>) {
        let bytes = |bursts: &VecDeque<Incoming>| bursts.iter().map(|burst| burst.frames.bytes()).sum::<usize>();
        while self.bursts.len() >= BURSTS_MAX || bytes(&self.bursts) >= BYTES_MAX {
            let idle = self.bursts.iter().position(|burst| !burst.is_audible(cx.now)).unwrap_or(0);
            let Some(mut burst) = self.bursts.remove(idle) else { return };
            if matches!(burst.play, Play::Playing { .. }) {
                cx.push(Output::StopPlayback { burst: burst.id() });
            }
            if !burst.settled {
                burst.settle(cx, false);
                self.ends.push_back(BurstEnd::Settled { room: burst.room, burst: burst.id() });
            }
        }
    }
}
