//! One's own bursts, from the moment the button goes down until the server has every frame.
//!
//! A burst is first of all a local log: recording and keeping begin at key-down and depend on nothing else. The floor gates
//! only what is sent live. What did not get through live is repaired after key-up: `burst.end` names the last frame and the
//! digest, `burst.status` names what is missing, and that is sent until nothing is (DESIGN section 7).
//!
//! ```text
//! capture   Starting ──first frame──▶ Running ──key-up──▶ Stopping ──▶ Ended
//! floor     Apart ──▶ Asked ──▶ (Queued) ──▶ Granted ──▶ Over
//! delivery  Speaking ───────────────────────────▶ Ending ⇄ Repairing ──▶ done
//! ```
//!
//! A burst that the server never granted, so that its log does not know it, stays on this device ([`TalkState::Kept`]).
//! Uploading those is the offline queue's work, which is yet to come: it begins where `settle` says `Kept`.

mod burst;

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;

use super::Cx;
use super::notice::{Notice, TalkState};
use super::ports::{Lane, Output, Store};
use super::rooms::Rooms;
pub(super) use burst::KeyDown;
use burst::{ANSWER_WAIT, Burst, CAPTURE_END_WAIT, Capture, Delivery, Floor, Times};

use crate::burst::{PushRefused, Recording};
use crate::model::{BurstHeader, FrameRange, Priority};
use crate::units::{BurstId, FloorToken, FrameNo, Mono, RequestId, RoomId};
use crate::wire::problem::{Problem, ProblemKind};
use crate::wire::socket::{ClientMessage, DenyReason, RevokeReason};

/// Frames that may leave at once after a grant. Speaking begins about a round trip before it: this much is sent without a
/// pause, so that the listeners' buffers fill at once.
const CATCH_UP_FRAMES: usize = 10;
/// How long after its end a burst that the server turned out not to know asks for the floor once more.
const ASK_AGAIN_WITHIN: Duration = Duration::from_secs(10);
/// Rounds of repair that bring nothing before it is given up.
const REPAIR_ROUNDS_MAX: u32 = 8;
/// Own bursts that are not settled; beyond them the oldest stays on the device.
const BURSTS_MAX: usize = 16;

#[derive(Debug, Default)]
pub(super) struct Talk {
    /// In the order in which they were spoken, which is the order in which they go out.
    bursts: VecDeque<Burst>,
}

impl Talk {
    /// Whether the server must hear from this client often: it has, or waits for, the floor.
    pub(super) fn is_talking(&self) -> bool {
        self.bursts.iter().any(|burst| burst.floor.request().is_some())
    }

    fn recording(&self) -> Option<usize> {
        self.bursts.iter().position(|burst| matches!(burst.capture, Capture::Starting | Capture::Running))
    }

    fn position(&self, id: BurstId) -> Option<usize> {
        self.bursts.iter().position(|burst| burst.id() == id)
    }

    pub(super) fn key_down(&mut self, cx: &mut Cx<'_>, rooms: &Rooms, asked: KeyDown) {
        let (room, burst) = (asked.room, asked.header.burst);
        if self.recording().is_some() || self.position(burst).is_some() {
            let detail = "the button is down already".to_owned();
            cx.notice(Notice::Talk { room, burst, state: TalkState::Failed { detail } });
            return;
        }
        if rooms.role(room).is_some_and(|role| !role.may_talk_at(asked.priority)) {
            cx.notice(Notice::Talk { room, burst, state: TalkState::Denied { reason: DenyReason::NotAllowed } });
            return;
        }
        if self.bursts.len() >= BURSTS_MAX
            && let Some(oldest) = self.bursts.pop_front()
        {
            oldest.tell(cx, TalkState::Kept);
        }
        cx.push(Output::Store(Store::BurstBegun { room, header: asked.header, priority: asked.priority }));
        cx.push(Output::StartCapture { burst, header: asked.header });
        cx.notice(Notice::Talk { room, burst, state: TalkState::Starting });
        self.bursts.push_back(Burst::new(cx.now, asked));
        if !rooms.is_live(room) {
            cx.notice(Notice::Talk { room, burst, state: TalkState::Offline });
        }
        self.ask(cx, rooms);
    }

    pub(super) fn key_up(&mut self, cx: &mut Cx<'_>) {
        if let Some(at) = self.recording() {
            self.bursts[at].stop_capture(cx);
        }
    }

    /// Gives up the burst that is being spoken, or the last that waits for the floor: it stays on this device.
    pub(super) fn cancel(&mut self, cx: &mut Cx<'_>, rooms: &Rooms) {
        let waits = |burst: &Burst| !burst.granted && matches!(burst.floor, Floor::Asked { .. } | Floor::Queued { .. });
        let Some(at) = self.recording().or_else(|| self.bursts.iter().rposition(waits)) else { return };
        let burst = &mut self.bursts[at];
        burst.release(cx);
        burst.floor = Floor::Over;
        burst.stop_capture(cx);
        self.advance(cx, rooms);
    }

    pub(super) fn restore(
        &mut self,
        cx: &mut Cx<'_>,
        rooms: &Rooms,
        room: RoomId,
        header: BurstHeader,
        frames: Vec<Bytes>,
    ) {
        let numbered = (1..).map(FrameNo).zip(frames);
        let recording = match Recording::restore(numbered) {
            Ok(recording) if self.position(header.burst).is_none() && self.bursts.len() < BURSTS_MAX => recording,
            Ok(_) => return,
            Err(error) => return cx.notice(Notice::Fault { detail: format!("a stored burst can't be used: {error}") }),
        };
        let times = Times { captured_at: Mono::default(), sent_at: None };
        let asked = KeyDown { room, priority: Priority::Normal, queue: false, header };
        let mut burst = Burst::new(cx.now, asked);
        burst.ever_asked = true;
        burst.granted = true;
        burst.floor = Floor::Over;
        burst.times = vec![times; recording.frames().len()];
        burst.recording = recording;
        let Some((last, digest)) = burst.recording.end() else { return };
        burst.capture = Capture::Ended { at: Mono::default(), last, digest };
        self.bursts.push_back(burst);
        self.advance(cx, rooms);
    }

    pub(super) fn captured(&mut self, cx: &mut Cx<'_>, rooms: &Rooms, id: BurstId, captured_at: Mono, payload: Bytes) {
        let Some(at) = self.position(id) else { return };
        let burst = &mut self.bursts[at];
        match burst.capture {
            Capture::Starting => {
                burst.capture = Capture::Running;
                burst.tell(cx, TalkState::SpeakNow);
            }
            Capture::Running | Capture::Stopping { .. } => {}
            Capture::Ended { .. } => return,
        }
        match burst.recording.push(payload.clone()) {
            Ok(number) => {
                burst.times.push(Times { captured_at, sent_at: None });
                cx.push(Output::Store(Store::Frame { burst: id, number, payload }));
                self.advance(cx, rooms);
            }
            Err(PushRefused::Full | PushRefused::Ended(_)) => burst.stop_capture(cx),
            Err(error @ PushRefused::Length(_)) => {
                cx.notice(Notice::Fault { detail: format!("the sound port: {error}") });
            }
        }
    }

    pub(super) fn capture_ended(&mut self, cx: &mut Cx<'_>, rooms: &Rooms, id: BurstId, fault: Option<String>) {
        let Some(at) = self.position(id) else { return };
        if let Some(detail) = fault {
            cx.notice(Notice::Fault { detail: format!("recording: {detail}") });
        }
        self.end_capture(cx, at);
        self.advance(cx, rooms);
    }

    fn end_capture(&mut self, cx: &mut Cx<'_>, at: usize) {
        let burst = &mut self.bursts[at];
        if matches!(burst.capture, Capture::Ended { .. }) {
            return;
        }
        let id = burst.id();
        if let Some((last, digest)) = burst.recording.end() {
            burst.capture = Capture::Ended { at: cx.now, last, digest };
            cx.push(Output::Store(Store::BurstEnded { burst: id, end: Some((last, digest)) }));
            burst.tell(cx, TalkState::Ending);
        } else {
            cx.push(Output::Store(Store::BurstEnded { burst: id, end: None }));
            burst.release(cx);
            burst.tell(cx, TalkState::Failed { detail: "nothing was recorded".into() });
            self.bursts.remove(at);
        }
    }

    pub(super) fn link_down(&mut self, cx: &mut Cx<'_>, heard_at: Mono, rtt: Duration) {
        for burst in &mut self.bursts {
            burst.floor = match burst.floor {
                Floor::Over => Floor::Over,
                Floor::Apart | Floor::Asked { .. } | Floor::Queued { .. } | Floor::Granted { .. } => Floor::Apart,
            };
            if !matches!(burst.delivery, Delivery::Speaking) {
                burst.delivery = Delivery::Ending { at: Mono::default() };
            }
            // What left after the last sign of life may be lost: it goes again, and is harmless where it was not.
            let doubtful = heard_at - rtt;
            let lost = burst.times.iter().position(|times| times.sent_at.is_some_and(|sent| sent >= doubtful));
            burst.next = lost.map_or(burst.next, |lost| lost.min(burst.next));
            if matches!(burst.capture, Capture::Starting | Capture::Running) {
                burst.tell(cx, TalkState::Offline);
            }
        }
    }

    /// A subscription stands: the room can be talked in.
    pub(super) fn room_live(&mut self, cx: &mut Cx<'_>, rooms: &Rooms) {
        self.advance(cx, rooms);
    }

    pub(super) fn granted(
        &mut self,
        cx: &mut Cx<'_>,
        rooms: &Rooms,
        request: RequestId,
        token: FloorToken,
        until: Duration,
    ) {
        let Some(burst) = self.bursts.iter_mut().find(|burst| burst.floor.request() == Some(request)) else { return };
        let first = !burst.granted;
        burst.floor = Floor::Granted { request, token };
        burst.granted = true;
        burst.clump = CATCH_UP_FRAMES;
        burst.pace_at = cx.now;
        let access = cx.now.since(burst.begun);
        let (room, id) = (burst.asked.room, burst.id());
        burst.tell(cx, TalkState::Granted { access, until });
        if first {
            cx.push(Output::Store(Store::BurstGranted { burst: id }));
            let access_us = Some(u32::try_from(access.as_micros()).unwrap_or(u32::MAX));
            let report =
                ClientMessage::Report { room, burst: id, access_us, mouth_to_ear_us: None, late_entry_us: None };
            cx.send(Lane::Control, &report);
        }
        self.advance(cx, rooms);
    }

    pub(super) fn queued(&mut self, cx: &mut Cx<'_>, request: RequestId, position: u32, waiting: u32) {
        if let Some(burst) = self.bursts.iter_mut().find(|burst| burst.floor.request() == Some(request)) {
            burst.floor = Floor::Queued { request };
            burst.tell(cx, TalkState::Queued { position, waiting });
        }
    }

    pub(super) fn denied(&mut self, cx: &mut Cx<'_>, rooms: &Rooms, request: RequestId, reason: DenyReason) {
        self.floor_over(cx, rooms, request, TalkState::Denied { reason });
    }

    pub(super) fn revoked(&mut self, cx: &mut Cx<'_>, rooms: &Rooms, request: RequestId, reason: RevokeReason) {
        let holder = self.bursts.iter().position(|burst| burst.floor.request() == Some(request));
        self.floor_over(cx, rooms, request, TalkState::Revoked { reason });
        // Nobody else wanted the floor, the way to it was bad: who still speaks asks again.
        let again = [RevokeReason::LinkLost, RevokeReason::HomeUnavailable].contains(&reason);
        if again && holder.is_some() && holder == self.recording() {
            if let Some(burst) = holder.and_then(|at| self.bursts.get_mut(at)) {
                burst.floor = Floor::Apart;
            }
            self.ask(cx, rooms);
        }
    }

    fn floor_over(&mut self, cx: &mut Cx<'_>, rooms: &Rooms, request: RequestId, state: TalkState) -> bool {
        let Some(burst) = self.bursts.iter_mut().find(|burst| burst.floor.request() == Some(request)) else {
            return false;
        };
        burst.floor = Floor::Over;
        burst.tell(cx, state);
        self.advance(cx, rooms);
        true
    }

    pub(super) fn warned(&mut self, cx: &mut Cx<'_>, request: RequestId, remaining: Duration) {
        if let Some(burst) = self.bursts.iter().find(|burst| burst.floor.request() == Some(request)) {
            burst.tell(cx, TalkState::Warning { remaining });
        }
    }

    /// A request, or a `burst.end`, was refused. Whether it was one of this machine's.
    pub(super) fn refused(
        &mut self,
        cx: &mut Cx<'_>,
        rooms: &Rooms,
        request: Option<RequestId>,
        id: Option<BurstId>,
        problem: &Problem,
    ) -> bool {
        if let Some(request) = request {
            return self.floor_over(cx, rooms, request, TalkState::Refused { problem: problem.clone() });
        }
        let Some(at) = id.and_then(|id| self.position(id)) else { return false };
        let burst = &mut self.bursts[at];
        let Capture::Ended { at: ended, .. } = burst.capture else { return true };
        if problem.is_passing() {
            burst.delivery = Delivery::Ending { at: cx.now };
        } else if !burst.granted && problem.is(ProblemKind::NotFound) && cx.now.since(ended) < ASK_AGAIN_WITHIN {
            // The request was lost with the connection: ask once more for what was just spoken.
            burst.delivery = Delivery::Speaking;
            burst.floor = Floor::Apart;
            burst.ever_asked = false;
            self.advance(cx, rooms);
        } else {
            burst.tell(cx, TalkState::Refused { problem: problem.clone() });
            self.keep(cx, at);
            self.advance(cx, rooms);
        }
        true
    }

    pub(super) fn status(
        &mut self,
        cx: &mut Cx<'_>,
        rooms: &Rooms,
        id: BurstId,
        complete: bool,
        missing: &[FrameRange],
    ) {
        let Some(at) = self.position(id) else { return };
        let burst = &mut self.bursts[at];
        if !matches!(burst.capture, Capture::Ended { .. }) {
            return;
        }
        if complete {
            cx.push(Output::Store(Store::BurstDelivered { burst: id }));
            burst.tell(cx, TalkState::Delivered);
            self.bursts.remove(at);
            return self.advance(cx, rooms);
        }
        let frames = missing.iter().map(|range| u32::from(range.to.0.saturating_sub(range.from.0)) + 1).sum();
        burst.rounds = if frames < burst.missing || burst.missing == 0 { 0 } else { burst.rounds + 1 };
        burst.missing = frames;
        if frames == 0 || burst.rounds >= REPAIR_ROUNDS_MAX {
            let detail =
                if frames == 0 { "the server has other frames" } else { "the server does not take the repair" };
            burst.tell(cx, TalkState::Failed { detail: detail.into() });
            self.bursts.remove(at);
            return self.advance(cx, rooms);
        }
        burst.tell(cx, TalkState::Repairing { frames });
        burst.delivery = Delivery::Repairing { todo: missing.iter().copied().collect(), in_flight: 0 };
        burst.repair(cx);
    }

    /// The shell handed repair bytes to the network.
    pub(super) fn repair_sent(&mut self, cx: &mut Cx<'_>, mut bytes: usize) {
        for burst in &mut self.bursts {
            if let Delivery::Repairing { in_flight, .. } = &mut burst.delivery {
                let taken = bytes.min(*in_flight);
                *in_flight -= taken;
                bytes -= taken;
                burst.repair(cx);
            }
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.bursts.iter().filter_map(Burst::next_timeout).min()
    }

    pub(super) fn on_timeout(&mut self, cx: &mut Cx<'_>, rooms: &Rooms) {
        let overdue = |burst: &Burst, now| matches!(burst.capture, Capture::Stopping { since } if now >= since + CAPTURE_END_WAIT);
        while let Some(at) = self.bursts.iter().position(|burst| overdue(burst, cx.now)) {
            self.end_capture(cx, at);
        }
        for burst in &mut self.bursts {
            match burst.floor {
                Floor::Asked { at, .. } if cx.now >= at + ANSWER_WAIT => burst.request_floor(cx),
                Floor::Asked { .. } | Floor::Apart | Floor::Queued { .. } | Floor::Granted { .. } | Floor::Over => {}
            }
        }
        self.advance(cx, rooms);
    }

    /// Does everything that can be done now.
    fn advance(&mut self, cx: &mut Cx<'_>, rooms: &Rooms) {
        self.ask(cx, rooms);
        for burst in &mut self.bursts {
            burst.send_live(cx);
        }
        let mut at = 0;
        while at < self.bursts.len() {
            if self.settle(cx, rooms, at) {
                at += 1;
            }
        }
        // What just ended may have stood before another of its room.
        self.ask(cx, rooms);
    }

    /// Asks for the floor for the first of each room that needs it: a device has one request in a room at a time.
    fn ask(&mut self, cx: &mut Cx<'_>, rooms: &Rooms) {
        // Also one that was spoken later may have asked already: another request would take its place without a word.
        let asked = |burst: &&Burst| matches!(burst.delivery, Delivery::Speaking) && burst.floor.request().is_some();
        let mut busy: Vec<RoomId> = self.bursts.iter().filter(asked).map(|burst| burst.asked.room).collect();
        for burst in &mut self.bursts {
            let room = burst.asked.room;
            let wants = matches!(burst.delivery, Delivery::Speaking)
                && match burst.floor {
                    Floor::Asked { .. } | Floor::Queued { .. } | Floor::Granted { .. } => true,
                    Floor::Apart => burst.may_ask(),
                    Floor::Over => false,
                };
            if !wants || busy.contains(&room) {
                continue;
            }
            busy.push(room);
            if matches!(burst.floor, Floor::Apart) && rooms.is_live(room) {
                burst.request_floor(cx);
                burst.tell(cx, TalkState::Asking);
            }
        }
    }

    /// Brings a burst that was spoken to its end. Whether it is still there.
    fn settle(&mut self, cx: &mut Cx<'_>, rooms: &Rooms, at: usize) -> bool {
        let burst = &mut self.bursts[at];
        let Capture::Ended { .. } = burst.capture else { return true };
        match burst.delivery {
            Delivery::Speaking => match burst.floor {
                // Not asked for yet, as another of the room stands before it, or the answer is awaited.
                Floor::Apart if burst.may_ask() && rooms.is_live(burst.asked.room) => true,
                Floor::Asked { .. } | Floor::Queued { .. } => true,
                Floor::Granted { .. } if burst.next < burst.times.len() => true,
                Floor::Granted { .. } => {
                    burst.send_end(cx, Lane::Control);
                    true
                }
                Floor::Apart | Floor::Over
                    if !burst.ever_asked || matches!(burst.floor, Floor::Over) && !burst.granted =>
                {
                    self.keep(cx, at);
                    false
                }
                Floor::Apart | Floor::Over => {
                    burst.delivery = Delivery::Ending { at: Mono::default() };
                    if rooms.is_live(burst.asked.room) {
                        burst.send_end(cx, Lane::Control);
                    }
                    true
                }
            },
            Delivery::Ending { at } if cx.session.is_some() && rooms.is_live(burst.asked.room) => {
                if at == Mono::default() || cx.now >= at + ANSWER_WAIT {
                    burst.send_end(cx, Lane::Control);
                }
                true
            }
            // Not to be asked about before the room is followed again.
            Delivery::Ending { .. } => {
                burst.delivery = Delivery::Ending { at: Mono::default() };
                true
            }
            Delivery::Repairing { .. } => true,
        }
    }

    /// It stays on this device, in the local log.
    fn keep(&mut self, cx: &mut Cx<'_>, at: usize) {
        if let Some(burst) = self.bursts.remove(at) {
            burst.tell(cx, TalkState::Kept);
        }
    }
}
