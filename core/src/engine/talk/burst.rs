//! One own burst: how far its recording, its floor and its delivery have come, and what it sends.

use core::time::Duration;
use std::collections::VecDeque;

use super::super::Cx;
use super::super::notice::{Notice, TalkState};
use super::super::outbox::Item;
use super::super::ports::{Lane, Output, Spoken};
use crate::burst::Recording;
use crate::model::{BurstDigest, BurstHeader, FrameRange, Priority};
use crate::units::{BurstId, FloorToken, FrameNo, Mono, RequestId, RoomId};
use crate::wire::limits::SPOKEN_AGO_MAX;
use crate::wire::socket::ClientMessage;
use crate::wire::voice::{FrameAge, VoiceFrame, VoiceKind};

/// After those, what was recorded before the grant is sent this many times as fast as it was spoken: soon heard, without
/// filling a slow link's buffers with what can no longer be overtaken.
const CATCH_UP_SPEED: u32 = 4;
/// Repair bytes that may wait in the shell: enough to fill a fast link, little enough that live voice is not behind it.
const REPAIR_WINDOW_BYTES: usize = 32 * 1024;
/// The same for bursts that were spoken some time ago: a tenth of a second of a slow mobile link.
const BULK_WINDOW_BYTES: usize = 8 * 1024;
/// A floor request or a `burst.end` without an answer is sent again after this long; on a link that is up it never is.
pub(super) const ANSWER_WAIT: Duration = Duration::from_secs(5);
/// How long the sound port may take to give the last frames after key-up, before the burst ends with those it gave.
pub(super) const CAPTURE_END_WAIT: Duration = Duration::from_secs(1);

/// When a frame was captured, and when it last left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) captured_at: Mono,
    pub(super) sent_at: Option<Mono>,
}

#[derive(Debug)]
pub(super) enum Capture {
    Starting,
    Running,
    Stopping { since: Mono },
    Ended { at: Mono, last: FrameNo, digest: BurstDigest },
}

#[derive(Debug)]
pub(super) enum Floor {
    /// Not asked for on this connection.
    Apart,
    Asked {
        request: RequestId,
        at: Mono,
    },
    Queued {
        request: RequestId,
    },
    Granted {
        request: RequestId,
        token: FloorToken,
    },
    /// Denied or taken away.
    Over,
}

impl Floor {
    pub(super) fn request(&self) -> Option<RequestId> {
        match self {
            Self::Asked { request, .. } | Self::Queued { request } | Self::Granted { request, .. } => Some(*request),
            Self::Apart | Self::Over => None,
        }
    }
}

#[derive(Debug)]
pub(super) enum Delivery {
    /// Being spoken, or its end is being sent live.
    Speaking,
    /// Waits for its turn to be offered; where a time is named, not before then.
    Waiting { not_before: Option<Mono> },
    /// Its frames are being read from the local store: to be offered, or to send those that the server lacks.
    Loading { todo: VecDeque<FrameRange> },
    /// `burst.offer` was sent.
    Offered { at: Mono },
    /// `burst.end` was sent.
    Ending { at: Mono },
    /// What the server lacks is being sent.
    Repairing { todo: VecDeque<FrameRange>, in_flight: usize },
}

/// What a burst asks for.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct KeyDown {
    pub(in crate::engine) room: RoomId,
    pub(in crate::engine) priority: Priority,
    pub(in crate::engine) queue: bool,
    pub(in crate::engine) when_free: bool,
    pub(in crate::engine) header: BurstHeader,
}

#[derive(Debug)]
pub(super) struct Burst {
    pub(super) asked: KeyDown,
    pub(super) begun: Mono,
    /// What is known of its age, where it was spoken before this run of the client.
    pub(super) spoken: Option<Spoken>,
    pub(super) recording: Recording,
    pub(super) times: Vec<Times>,
    pub(super) capture: Capture,
    pub(super) floor: Floor,
    pub(super) delivery: Delivery,
    /// A request was sent at some time: the server's log may know the burst.
    pub(super) ever_asked: bool,
    /// A grant came, or an offer was taken: the server's log knows it.
    pub(super) placed: bool,
    /// It has not gone live, and is delivered all the same: there was no connection, or it was to be sent when free.
    pub(super) brings: bool,
    /// The floor was denied: it is not asked for again.
    pub(super) denied: bool,
    /// Given up: it is not to be delivered.
    pub(super) given_up: bool,
    /// Whether its frames are here; otherwise the local store has them.
    pub(super) loaded: bool,
    /// It may be offered before its frames are read.
    pub(super) offered_unread: bool,
    /// In which lane its repair goes.
    pub(super) lane: Lane,
    /// The frame to send live next, counted from 0.
    pub(super) next: usize,
    /// Not before this the next one of the catching up.
    pub(super) pace_at: Mono,
    /// How many may leave without a pause.
    pub(super) clump: usize,
    pub(super) rounds: u32,
    pub(super) missing: u32,
}

impl Burst {
    pub(super) fn new(now: Mono, asked: KeyDown) -> Self {
        Self {
            asked,
            begun: now,
            spoken: None,
            recording: Recording::new(),
            times: Vec::new(),
            capture: Capture::Starting,
            floor: Floor::Apart,
            delivery: Delivery::Speaking,
            ever_asked: false,
            placed: false,
            brings: false,
            denied: false,
            given_up: false,
            loaded: true,
            offered_unread: false,
            lane: Lane::Repair,
            next: 0,
            pace_at: now,
            clump: 0,
            rounds: 0,
            missing: 0,
        }
    }

    pub(super) fn id(&self) -> BurstId {
        self.asked.header.burst
    }

    pub(super) fn tell(&self, cx: &mut Cx<'_>, state: TalkState) {
        cx.notice(Notice::Talk { room: self.asked.room, burst: self.id(), state });
    }

    pub(super) fn item(&self) -> Item {
        Item::Burst(self.id())
    }

    /// How long ago it was spoken, and how far that may be off.
    pub(super) fn age(&self, cx: &Cx<'_>) -> (Duration, Duration) {
        let here = cx.now.since(self.begun);
        match self.spoken {
            None => (here, Duration::ZERO),
            Some(Spoken::Ago(before)) => (before + here, Duration::ZERO),
            Some(Spoken::About(before, uncertainty)) => (before + here, uncertainty),
            Some(Spoken::Server(then)) => {
                let now = cx.server.at(cx.now).unwrap_or(then);
                let ms = Duration::from_millis;
                (ms(now.at.0.saturating_sub(then.at.0)), ms(now.uncertainty_ms.saturating_add(then.uncertainty_ms)))
            }
        }
    }

    /// Whether the floor makes sense: it is being spoken, or was and was never asked for.
    pub(super) fn may_ask(&self) -> bool {
        match self.capture {
            Capture::Starting | Capture::Running | Capture::Stopping { .. } => true,
            Capture::Ended { .. } => !self.ever_asked,
        }
    }

    pub(super) fn stop_capture(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.capture, Capture::Starting | Capture::Running) {
            self.capture = Capture::Stopping { since: cx.now };
            cx.push(Output::StopCapture { burst: self.id() });
        }
    }

    pub(super) fn request_floor(&mut self, cx: &mut Cx<'_>) {
        let request = cx.request();
        self.floor = Floor::Asked { request, at: cx.now };
        self.ever_asked = true;
        let spoken_ago_ms = u64::try_from(self.age(cx).0.as_millis()).unwrap_or(u64::MAX);
        let KeyDown { room, priority, queue, header, when_free: _ } = self.asked;
        cx.send(Lane::Control, &ClientMessage::FloorRequest { request, room, priority, queue, header, spoken_ago_ms });
    }

    pub(super) fn release(&mut self, cx: &mut Cx<'_>) {
        if let Some(request) = self.floor.request() {
            cx.send(Lane::Control, &ClientMessage::FloorRelease { request, room: self.asked.room });
        }
    }

    /// Sends what may go live now: what is at hand where it keeps up, otherwise a few at once and the rest paced.
    pub(super) fn send_live(&mut self, cx: &mut Cx<'_>) {
        let (Floor::Granted { token, .. }, Some(session)) = (&self.floor, cx.session) else { return };
        let pace = self.asked.header.frame_ms.duration() / CATCH_UP_SPEED;
        while self.next < self.times.len() {
            let newest = self.next + 1 == self.times.len();
            if self.clump > 0 {
                self.clump -= 1;
            } else if cx.now < self.pace_at && !newest {
                break;
            }
            self.pace_at = cx.now + pace;
            let times = &mut self.times[self.next];
            times.sent_at = Some(cx.now);
            let captured_at = times.captured_at;
            self.next += 1;
            let number = frame_no(self.next);
            let Some(payload) = self.recording.frames().frame(number).cloned() else { continue };
            let age = FrameAge::from(cx.now.since(captured_at));
            let tag = self.asked.header.burst.tag();
            let frame = VoiceFrame { kind: VoiceKind::Live, age, number, tag, token: *token, payload };
            cx.send_voice(session, frame, captured_at);
        }
    }

    pub(super) fn send_end(&mut self, cx: &mut Cx<'_>, lane: Lane) {
        let Capture::Ended { last, digest, .. } = self.capture else { return };
        // The end gives the floor up.
        self.floor = Floor::Over;
        self.delivery = Delivery::Ending { at: cx.now };
        cx.flush_voice();
        cx.send(lane, &ClientMessage::BurstEnd { room: self.asked.room, burst: self.id(), last, digest });
    }

    pub(super) fn send_offer(&mut self, cx: &mut Cx<'_>) {
        let Capture::Ended { last, digest, .. } = self.capture else { return };
        let ms = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
        let (ago, uncertainty) = self.age(cx);
        let longest = ms(SPOKEN_AGO_MAX);
        let uncertainty_ms = (uncertainty > Duration::ZERO).then(|| ms(uncertainty).clamp(1, longest));
        let KeyDown { room, priority, header, .. } = self.asked;
        let (request, spoken_ago_ms) = (cx.request(), ms(ago).min(longest));
        self.delivery = Delivery::Offered { at: cx.now };
        let offer =
            ClientMessage::BurstOffer { request, room, header, priority, spoken_ago_ms, uncertainty_ms, last, digest };
        cx.send(self.lane, &offer);
    }

    /// Sends what the server lacks. `live`: one's own voice is on the air; then bursts of before wait.
    pub(super) fn repair(&mut self, cx: &mut Cx<'_>, live: bool) {
        let window = match self.lane {
            Lane::Bulk if live => 0,
            Lane::Bulk => BULK_WINDOW_BYTES,
            Lane::Voice | Lane::Control | Lane::Repair => REPAIR_WINDOW_BYTES,
        };
        let (Delivery::Repairing { todo, in_flight }, Some(session)) = (&mut self.delivery, cx.session) else { return };
        while *in_flight < window
            && let Some(range) = todo.front_mut()
        {
            let number = range.from;
            if number >= range.to {
                todo.pop_front();
            } else {
                range.from = FrameNo(number.0 + 1);
            }
            // A range beyond the end is the server's mistake; its frames are not there to be sent.
            let Some(payload) = self.recording.frames().frame(number).cloned() else { continue };
            *in_flight += payload.len();
            let captured_at = self.times.get(usize::from(number.0 - 1)).map_or(cx.now, |times| times.captured_at);
            let (age, tag) = (FrameAge::from(cx.now.since(captured_at)), self.asked.header.burst.tag());
            let frame = VoiceFrame { kind: VoiceKind::Repair, age, number, tag, token: FloorToken::default(), payload };
            *cx.sent_at = cx.now;
            cx.push(Output::Voice { link: session.link, lane: self.lane, frame, captured_at });
        }
        if todo.is_empty() {
            // In the same lane, so that it does not overtake what it asks about.
            self.send_end(cx, self.lane);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Mono> {
        let capture = match self.capture {
            Capture::Stopping { since } => Some(since + CAPTURE_END_WAIT),
            Capture::Starting | Capture::Running | Capture::Ended { .. } => None,
        };
        let floor = match self.floor {
            Floor::Asked { at, .. } => Some(at + ANSWER_WAIT),
            Floor::Granted { .. } if self.next < self.times.len() => Some(self.pace_at),
            Floor::Granted { .. } | Floor::Apart | Floor::Queued { .. } | Floor::Over => None,
        };
        let delivery = match self.delivery {
            Delivery::Ending { at } if at > Mono::default() => Some(at + ANSWER_WAIT),
            Delivery::Offered { at } => Some(at + ANSWER_WAIT),
            Delivery::Waiting { not_before } => not_before,
            Delivery::Ending { .. } | Delivery::Speaking | Delivery::Loading { .. } | Delivery::Repairing { .. } => {
                None
            }
        };
        [capture, floor, delivery].into_iter().flatten().min()
    }
}

/// The number of the frame at a place counted from 1; 0 for none.
fn frame_no(place: usize) -> FrameNo {
    FrameNo(u16::try_from(place).unwrap_or(u16::MAX))
}
