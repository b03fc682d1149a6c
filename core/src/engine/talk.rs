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
//!              └── no grant ──▶ Waiting ──▶ Offered ───────────┘
//! ```
//!
//! A burst that the server never granted waits for its turn ([`super::outbox`]), is offered, and then filled like any other; see
//! `queue`. One that was given up, or denied without the wish to send it when free, stays on this device
//! ([`TalkState::Kept`]).

mod burst;
mod queue;

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;

use super::Cx;
use super::notice::{Notice, TalkState};
use super::outbox::Item;
use super::ports::{Lane, Output, Store};
use super::rooms::Rooms;
pub(super) use burst::KeyDown;
use burst::{ANSWER_WAIT, Burst, CAPTURE_END_WAIT, Capture, Delivery, Floor, Times};
pub(super) use queue::Earlier;
use queue::PUT_OFF_WAIT;

use crate::burst::PushRefused;
use crate::model::FrameRange;
use crate::units::{BurstId, FloorToken, Incarnation, Mono, RequestId, RoomId};
use crate::wire::problem::{Problem, ProblemKind};
use crate::wire::socket::{ClientMessage, DenyReason, RevokeReason};

/// Frames that may leave at once after a grant. Speaking begins about a round trip before it: this much is sent without a
/// pause, so that the listeners' buffers fill at once.
const CATCH_UP_FRAMES: usize = 10;
/// How long after its end a burst makes the client try often to connect.
const URGENT: Duration = Duration::from_secs(60);
/// Rounds of repair that bring nothing before it is given up.
const REPAIR_ROUNDS_MAX: u32 = 8;
/// Own bursts that are not settled; beyond them the oldest stays on the device until the next start. Their frames are in the
/// local store: in memory each is a few hundred bytes.
const BURSTS_MAX: usize = 1_000;

#[derive(Debug)]
pub(super) struct Talk {
    /// In the order in which they were spoken, which is the order in which they go out.
    bursts: VecDeque<Burst>,
    /// Whether the local store takes what it is given. Where it does not, memory is all there is.
    store_failed: bool,
}

impl Talk {
    pub(super) fn new(no_store: bool) -> Self {
        Self { bursts: VecDeque::new(), store_failed: no_store }
    }

    /// Whether the server must hear from this client often: it has, or waits for, the floor.
    pub(super) fn is_talking(&self) -> bool {
        self.bursts.iter().any(|burst| burst.floor.request().is_some())
    }

    /// Whether somebody speaks, or just spoke, and the server does not have it yet.
    pub(super) fn is_urgent(&self, now: Mono) -> bool {
        self.bursts.iter().any(|burst| {
            burst.spoken.is_none()
                && match burst.capture {
                    Capture::Starting | Capture::Running | Capture::Stopping { .. } => true,
                    Capture::Ended { at, .. } => now.since(at) < URGENT,
                }
        })
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
            cx.outbox.done(oldest.asked.room, oldest.item());
            oldest.tell(cx, TalkState::Kept);
        }
        let server_time = cx.server.at(cx.now);
        let (header, priority) = (asked.header, asked.priority);
        cx.push(Output::Store(Store::BurstBegun { room, header, priority, server_time }));
        cx.outbox.add(room, Item::Burst(burst));
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
        let waits = |burst: &Burst| !burst.placed && matches!(burst.floor, Floor::Asked { .. } | Floor::Queued { .. });
        let Some(at) = self.recording().or_else(|| self.bursts.iter().rposition(waits)) else { return };
        let burst = &mut self.bursts[at];
        burst.release(cx);
        burst.floor = Floor::Over;
        burst.given_up = true;
        burst.stop_capture(cx);
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
            cx.outbox.done(burst.asked.room, burst.item());
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
            burst.delivery = match core::mem::replace(&mut burst.delivery, Delivery::Speaking) {
                Delivery::Speaking => Delivery::Speaking,
                _ if burst.placed => Delivery::Ending { at: Mono::default() },
                Delivery::Waiting { not_before } => Delivery::Waiting { not_before },
                Delivery::Loading { .. }
                | Delivery::Offered { .. }
                | Delivery::Ending { .. }
                | Delivery::Repairing { .. } => Delivery::Waiting { not_before: None },
            };
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
        let first = !burst.placed;
        burst.floor = Floor::Granted { request, token };
        burst.placed = true;
        cx.outbox.done(burst.asked.room, burst.item());
        burst.clump = CATCH_UP_FRAMES;
        burst.pace_at = cx.now;
        let access = cx.now.since(burst.begun);
        let (room, id) = (burst.asked.room, burst.id());
        burst.tell(cx, TalkState::Granted { access, until });
        if first {
            cx.push(Output::Store(Store::BurstPlaced { burst: id }));
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
        if let Some(burst) = self.bursts.iter_mut().find(|burst| burst.floor.request() == Some(request)) {
            burst.denied = true;
            burst.brings |= match reason {
                DenyReason::Busy | DenyReason::QueueFull | DenyReason::QueueExpired => burst.asked.when_free,
                DenyReason::HomeUnavailable => true,
                DenyReason::NotAllowed => false,
            };
        }
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

    /// A request for the floor, a `burst.offer` or a `burst.end` was refused. Whether it was one of this machine's.
    pub(super) fn refused(
        &mut self,
        cx: &mut Cx<'_>,
        rooms: &Rooms,
        request: Option<RequestId>,
        id: Option<BurstId>,
        problem: &Problem,
    ) -> bool {
        if let Some(request) = request
            && self.floor_over(cx, rooms, request, TalkState::Refused { problem: problem.clone() })
        {
            return true;
        }
        let Some(at) = id.and_then(|id| self.position(id)) else { return false };
        let burst = &mut self.bursts[at];
        let offered = matches!(burst.delivery, Delivery::Offered { .. });
        let waits = matches!(burst.delivery, Delivery::Waiting { .. } | Delivery::Loading { .. });
        if request.is_some() && !offered || request.is_none() && (offered || waits) {
            // Of a request that has become pointless: an offer bears a number, and a `burst.end` before it does not.
            return true;
        }
        if !matches!(burst.capture, Capture::Ended { .. }) {
            return true;
        }
        let later = problem.is_passing() || problem.is(ProblemKind::Internal);
        if later {
            burst.tell(cx, TalkState::PutOff { problem: problem.clone() });
        }
        if later && offered {
            let wait = problem.retry_after_s.map_or(PUT_OFF_WAIT, |s| Duration::from_secs(u64::from(s)));
            burst.delivery = Delivery::Waiting { not_before: Some(cx.now + wait + cx.chance.spread(PUT_OFF_WAIT)) };
        } else if later {
            burst.delivery = Delivery::Ending { at: cx.now };
        } else if problem.is(ProblemKind::NotFound) && !offered {
            // The request was lost with the connection, or the log is one that was restored: bring it.
            burst.placed = false;
            self.wait(cx, at);
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
        incarnation: Incarnation,
        complete: bool,
        missing: &[FrameRange],
    ) {
        let Some(at) = self.position(id) else { return };
        let burst = &mut self.bursts[at];
        if !matches!(burst.capture, Capture::Ended { .. }) {
            return;
        }
        if !burst.placed {
            burst.placed = true;
            cx.push(Output::Store(Store::BurstPlaced { burst: id }));
        }
        cx.outbox.done(burst.asked.room, burst.item());
        if complete {
            cx.push(Output::Store(Store::BurstDelivered { burst: id, incarnation }));
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
            cx.push(Output::Store(Store::BurstHeld { burst: id }));
            self.bursts.remove(at);
            return self.advance(cx, rooms);
        }
        burst.tell(cx, TalkState::Repairing { frames });
        let todo = missing.iter().copied().collect();
        if burst.loaded {
            burst.delivery = Delivery::Repairing { todo, in_flight: 0 };
        } else {
            burst.delivery = Delivery::Loading { todo };
            cx.push(Output::LoadBurst { burst: id });
        }
        self.advance(cx, rooms);
    }

    /// Whether one's own voice is on the air.
    fn is_live(&self) -> bool {
        self.bursts.iter().any(|burst| matches!(burst.floor, Floor::Granted { .. }))
    }

    /// The shell handed repair bytes to the network.
    pub(super) fn repair_sent(&mut self, cx: &mut Cx<'_>, mut bytes: usize) {
        let live = self.is_live();
        for burst in &mut self.bursts {
            if let Delivery::Repairing { in_flight, .. } = &mut burst.delivery {
                let taken = bytes.min(*in_flight);
                *in_flight -= taken;
                bytes -= taken;
                burst.repair(cx, live);
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
        self.offers_overdue(cx);
        self.advance(cx, rooms);
    }

    /// Does everything that can be done now.
    pub(super) fn advance(&mut self, cx: &mut Cx<'_>, rooms: &Rooms) {
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
        self.offer(cx, rooms);
        // What just ended may have stood before another of its room.
        self.ask(cx, rooms);
        let live = self.is_live();
        for burst in &mut self.bursts {
            burst.repair(cx, live);
        }
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
                Floor::Apart | Floor::Over if burst.given_up && !burst.placed => {
                    self.keep(cx, at);
                    false
                }
                Floor::Over if !burst.placed && !burst.brings => {
                    self.keep(cx, at);
                    false
                }
                Floor::Apart | Floor::Over if !burst.placed => {
                    self.wait(cx, at);
                    true
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
            Delivery::Waiting { .. }
            | Delivery::Loading { .. }
            | Delivery::Offered { .. }
            | Delivery::Repairing { .. } => true,
        }
    }

    /// It stays on this device, in the local log.
    fn keep(&mut self, cx: &mut Cx<'_>, at: usize) {
        if let Some(burst) = self.bursts.remove(at) {
            cx.outbox.done(burst.asked.room, burst.item());
            cx.push(Output::Store(Store::BurstHeld { burst: burst.id() }));
            burst.tell(cx, TalkState::Kept);
        }
    }
}
