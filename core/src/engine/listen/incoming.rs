//! One burst of somebody else: its frames, whether and how it plays, and how it ended.

use core::time::Duration;

use super::super::Cx;
use super::super::jitter::Jitter;
use super::super::notice::{HeardState, Notice};
use super::super::ports::{Lane, Output, Received, ServerTime};
use crate::burst::Frames;
use crate::model::{BurstDigest, BurstHeader, FrameRange, Priority};
use crate::units::{BurstId, DeviceId, FloorToken, FrameNo, Mono, RoomId, UserId};
use crate::wire::limits::MISSING_RANGES_MAX;
use crate::wire::socket::ClientMessage;
use crate::wire::voice::{VoiceFrame, VoiceKind};

/// A burst that no sound device asked about for this long does not keep others from playing.
const UNPULLED_MAX: Duration = Duration::from_secs(2);
/// Frames at a burst's end that may have been lost for it to count as heard: 100 to 300 ms.
const TAIL_FRAMES: u16 = 5;
/// More ranges than this are fetched as one span: each request costs a round trip, the frames between cost little.
const RANGES_ONE_BY_ONE: usize = 4;

#[derive(Debug)]
pub(super) enum Play {
    /// Its floor was not seen.
    Unseen,
    Playing {
        jitter: Box<Jitter>,
        pulled_at: Mono,
    },
    /// Another room has precedence.
    Held,
    Done,
}

/// Whether its first sound was heard.
#[derive(Debug)]
pub(super) enum Begun {
    No,
    /// The sound device has the first frame.
    Handed {
        number: FrameNo,
        captured: Mono,
    },
    Yes,
}

#[derive(Debug)]
pub(super) enum End {
    /// Being spoken.
    Open,
    /// The floor passed on; the log has not said how it ended.
    Passed { since: Mono },
    /// The sender was lost, or still owes frames; they may come until then.
    Awaited { until: Mono },
    /// The server has every frame.
    Known,
    /// Told as incomplete: nothing is waited for. Its sender may still come back, days later, and then `burst.completed` does.
    Left,
}

#[derive(Debug)]
pub(super) enum Fetch {
    None,
    Wanted { at: Mono },
    InFlight,
}

#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) room: RoomId,
    pub(super) header: BurstHeader,
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    /// The person's own, from another device.
    pub(super) own: bool,
    /// Another device of the person's is relied on to play it.
    pub(super) relied: bool,
    pub(super) token: FloorToken,
    pub(super) priority: Priority,
    /// Began before this client came: subscribed at.
    pub(super) late: Option<Mono>,
    pub(super) frames: Frames,
    pub(super) play: Play,
    pub(super) begun: Begun,
    pub(super) end: End,
    pub(super) last: Option<(FrameNo, BurstDigest)>,
    pub(super) fetch: Fetch,
    pub(super) fruitless: u32,
    /// Fetches in a row that failed.
    pub(super) failures: u32,
    /// When it was spoken, as the log tells it.
    pub(super) spoken: Option<ServerTime>,
    /// Spoken offline, or without the floor, and brought afterwards.
    pub(super) brought: bool,
    /// Nothing more is to come of it.
    pub(super) settled: bool,
    pub(super) settled_told: bool,
    /// The highest frame that a sound device played.
    pub(super) played_to: Option<FrameNo>,
}

impl Incoming {
    pub(super) fn new(cx: &Cx<'_>, room: RoomId, header: BurstHeader, user: UserId, device: DeviceId) -> Self {
        let own = cx.session.is_some_and(|session| session.user == user);
        Self {
            room,
            header,
            user,
            device,
            own,
            relied: false,
            token: FloorToken::default(),
            priority: Priority::Normal,
            late: None,
            frames: Frames::new(),
            play: Play::Unseen,
            begun: Begun::No,
            end: End::Open,
            last: None,
            fetch: Fetch::None,
            fruitless: 0,
            failures: 0,
            spoken: None,
            brought: false,
            settled: false,
            settled_told: false,
            played_to: None,
        }
    }

    pub(super) fn id(&self) -> BurstId {
        self.header.burst
    }

    pub(super) fn tell(&self, cx: &mut Cx<'_>, state: HeardState) {
        cx.notice(Notice::Heard { room: self.room, burst: self.id(), user: self.user, state });
    }

    pub(super) fn is_audible(&self, now: Mono) -> bool {
        matches!(self.play, Play::Playing { pulled_at, .. } if now.since(pulled_at) < UNPULLED_MAX)
    }

    pub(super) fn insert(&mut self, now: Mono, half_rtt: Duration, frame: VoiceFrame) {
        if self.frames.insert(frame.number, frame.payload).is_ok()
            && frame.kind == VoiceKind::Live
            && let Play::Playing { jitter, .. } = &mut self.play
        {
            jitter.insert(now, frame.number, frame.age.duration() + half_rtt);
        }
    }

    /// Whether it was played to its end. The last frames may have been lost and recovered or concealed; half a burst may not.
    pub(super) fn is_heard(&self, last: FrameNo) -> bool {
        self.played_to.is_some_and(|played| played.0.saturating_add(TAIL_FRAMES) >= last.0)
    }

    pub(super) fn finish(&mut self, now: Mono, last: Option<FrameNo>) {
        if let Play::Playing { jitter, .. } = &mut self.play {
            jitter.finish(now, last);
        }
    }

    pub(super) fn first_heard(&mut self, cx: &mut Cx<'_>, mouth_to_ear: Duration, heard_at: Mono) {
        self.begun = Begun::Yes;
        let late_entry = self.late.map(|asked_at| heard_at.since(asked_at));
        self.tell(cx, HeardState::Began { mouth_to_ear, late_entry });
        let us = |span: Duration| u32::try_from(span.as_micros()).unwrap_or(u32::MAX);
        cx.send(
            Lane::Control,
            &ClientMessage::Report {
                room: self.room,
                burst: self.id(),
                access_us: None,
                mouth_to_ear_us: Some(us(mouth_to_ear)),
                late_entry_us: late_entry.map(us),
            },
        );
    }

    /// What to fetch next: the first missing range, or all from the first to the last where there are many.
    pub(super) fn span_missing(&self, last: FrameNo) -> Option<FrameRange> {
        let ranges = self.frames.missing(last, MISSING_RANGES_MAX);
        let (first, end) = (ranges.first()?, ranges.last()?);
        let to = if ranges.len() > RANGES_ONE_BY_ONE { end.to } else { first.to };
        Some(FrameRange { from: first.from, to })
    }

    pub(super) fn settle(&mut self, cx: &mut Cx<'_>, complete: bool) {
        self.settled = true;
        if complete {
            self.tell(cx, HeardState::Complete);
        } else {
            self.tell_incomplete(cx);
        }
        self.hand_over(cx, complete);
    }

    /// For now there will be no more.
    pub(super) fn leave(&mut self, cx: &mut Cx<'_>) {
        self.end = End::Left;
        self.fruitless = 0;
        self.tell_incomplete(cx);
        self.hand_over(cx, false);
    }

    fn tell_incomplete(&self, cx: &mut Cx<'_>) {
        let missing = self.last.map_or(0, |(last, _)| {
            u32::from(last.0).saturating_sub(u32::try_from(self.frames.len()).unwrap_or(u32::MAX))
        });
        self.tell(cx, HeardState::Incomplete { missing });
    }

    pub(super) fn hand_over(&self, cx: &mut Cx<'_>, complete: bool) {
        cx.push(Output::Received(Received {
            room: self.room,
            header: self.header,
            user: self.user,
            device: self.device,
            spoken: self.spoken,
            brought: self.brought,
            frames: self.frames.iter().map(|(number, payload)| (number, payload.clone())).collect(),
            last: self.last.map(|(last, _)| last),
            complete,
        }));
    }
}
