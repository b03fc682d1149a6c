//! Bursts that did not go live, and those of earlier runs of the client: waiting, offered, filled.

use core::time::Duration;
use std::collections::VecDeque;

use bytes::Bytes;

use super::super::Cx;
use super::super::notice::{Notice, TalkState};
use super::super::ports::{Lane, Output, Spoken, Store};
use super::super::rooms::Rooms;
use super::Talk;
use super::burst::{Burst, Capture, Delivery, Floor, KeyDown, Times};
use crate::burst::Recording;
use crate::model::{BurstDigest, BurstHeader, Priority};
use crate::units::{BurstId, FrameNo, Mono, RoomId};
use crate::wire::limits::SPOKEN_AGO_MAX;
use crate::wire::socket::DenyReason;

/// How long after its end a burst that found no connection still asks for the floor: heard late, but by itself.
const FRESH: Duration = Duration::from_secs(10);
/// The same for an emergency: help that is called for is still wanted.
const FRESH_EMERGENCY: Duration = Duration::from_secs(10 * 60);
/// Bursts that are offered and not settled: half of what the server takes, so that one which is slow to settle there does not
/// make it put the next one off.
const OPEN_MAX: usize = crate::wire::limits::OFFERS_OPEN_MAX / 2;
/// How long to wait with an offer that the server put off without saying for how long.
pub(super) const PUT_OFF_WAIT: Duration = Duration::from_secs(2);
/// Bytes of waiting bursts that are held in memory; the store has the rest.
const MEMORY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// A burst of an earlier run.
#[derive(Clone, Copy, Debug)]
pub(in crate::engine) struct Earlier {
    pub(in crate::engine) room: RoomId,
    pub(in crate::engine) header: BurstHeader,
    pub(in crate::engine) priority: Priority,
    pub(in crate::engine) spoken: Spoken,
    pub(in crate::engine) placed: bool,
    pub(in crate::engine) delivered: bool,
    pub(in crate::engine) last: FrameNo,
    pub(in crate::engine) digest: BurstDigest,
}

impl Talk {
    /// A burst that was spoken in an earlier run, or that a restored log may lack.
    pub(in crate::engine) fn restore(&mut self, cx: &mut Cx<'_>, rooms: &Rooms, earlier: &Earlier) {
        let Earlier { room, header, priority, spoken, placed, delivered, last, digest } = *earlier;
        if self.position(header.burst).is_some() || self.bursts.len() >= super::BURSTS_MAX {
            return;
        }
        let asked = KeyDown { room, priority, queue: false, when_free: true, header };
        let mut burst = Burst::new(cx.now, asked);
        burst.spoken = Some(spoken);
        burst.placed = placed;
        burst.ever_asked = true;
        burst.floor = Floor::Over;
        burst.loaded = false;
        burst.offered_unread = delivered;
        burst.lane = Lane::Bulk;
        burst.capture = Capture::Ended { at: Mono::default(), last, digest };
        if placed {
            burst.delivery = Delivery::Ending { at: Mono::default() };
        }
        self.bursts.push_back(burst);
        if !placed {
            self.wait(cx, self.bursts.len() - 1);
        }
        self.advance(cx, rooms);
    }

    /// It is to be offered, when its turn comes.
    pub(super) fn wait(&mut self, cx: &mut Cx<'_>, at: usize) {
        let burst = &mut self.bursts[at];
        cx.outbox.hold(burst.asked.room, burst.item());
        burst.brings = true;
        burst.lane = Lane::Bulk;
        burst.floor = Floor::Over;
        burst.delivery = Delivery::Waiting { not_before: None };
        burst.tell(cx, TalkState::Waiting);
        self.spare_memory();
    }

    /// Leaves the frames of waiting bursts to the store, the oldest first, where they fill too much memory.
    fn spare_memory(&mut self) {
        if self.store_failed {
            return;
        }
        let mut held: usize = self.bursts.iter().map(|burst| burst.recording.frames().bytes()).sum();
        for burst in &mut self.bursts {
            if held <= MEMORY_BYTES_MAX {
                return;
            }
            if burst.loaded && matches!(burst.delivery, Delivery::Waiting { .. }) {
                held -= burst.recording.frames().bytes();
                burst.recording = Recording::new();
                burst.times = Vec::new();
                burst.loaded = false;
            }
        }
    }

    /// A person does not want it delivered any more.
    pub(in crate::engine) fn forget(&mut self, cx: &mut Cx<'_>, rooms: &Rooms, id: BurstId) {
        let Some(at) = self.position(id) else { return };
        if !matches!(self.bursts[at].capture, Capture::Ended { .. }) {
            return;
        }
        if let Some(mut burst) = self.bursts.remove(at) {
            burst.release(cx);
            cx.outbox.done(burst.asked.room, burst.item());
            cx.push(Output::Store(Store::BurstEnded { burst: id, end: None }));
        }
        self.advance(cx, rooms);
    }

    /// The local store does not keep what it is given.
    pub(in crate::engine) fn store_failed(&mut self) {
        self.store_failed = true;
    }

    /// Offers those whose turn it is.
    pub(super) fn offer(&mut self, cx: &mut Cx<'_>, rooms: &Rooms) {
        if cx.session.is_none() {
            return;
        }
        let opened = |burst: &Burst| {
            burst.lane == Lane::Bulk && !matches!(burst.delivery, Delivery::Waiting { .. } | Delivery::Speaking)
        };
        let mut open = self.bursts.iter().filter(|burst| opened(burst)).count();
        let mut at = 0;
        while at < self.bursts.len() {
            let burst = &self.bursts[at];
            let (room, item) = (burst.asked.room, burst.item());
            let Delivery::Waiting { not_before } = burst.delivery else {
                at += 1;
                continue;
            };
            if rooms.is_refused(room) || rooms.role(room).is_some_and(|role| !role.may_talk_at(burst.asked.priority)) {
                burst.tell(cx, TalkState::Denied { reason: DenyReason::NotAllowed });
                self.keep(cx, at);
                continue;
            }
            if burst.age(cx).0 > SPOKEN_AGO_MAX {
                let detail = "it was spoken more than 30 days ago; the server takes no older ones".to_owned();
                burst.tell(cx, TalkState::Failed { detail });
                self.keep(cx, at);
                continue;
            }
            let due = not_before.is_none_or(|time| cx.now >= time);
            if due && open < OPEN_MAX && rooms.is_live(room) && cx.outbox.is_turn(room, item) {
                if self.may_go_live(cx.now, at) {
                    let burst = &mut self.bursts[at];
                    burst.delivery = Delivery::Speaking;
                    burst.floor = Floor::Apart;
                    burst.lane = Lane::Repair;
                    burst.ever_asked = false;
                } else {
                    open += 1;
                    let burst = &mut self.bursts[at];
                    if burst.loaded || burst.offered_unread {
                        burst.send_offer(cx);
                    } else {
                        burst.delivery = Delivery::Loading { todo: VecDeque::new() };
                        cx.push(Output::LoadBurst { burst: burst.id() });
                    }
                }
            }
            at += 1;
        }
    }

    /// Whether a burst that waits is so fresh that it should be heard live, though late: nobody asked for the floor yet, and
    /// nothing else is being spoken in its room from here.
    fn may_go_live(&self, now: Mono, at: usize) -> bool {
        let burst = &self.bursts[at];
        let Capture::Ended { at: ended, .. } = burst.capture else { return false };
        let fresh = if burst.asked.priority == Priority::Emergency { FRESH_EMERGENCY } else { FRESH };
        let speaking =
            |other: &Burst| other.asked.room == burst.asked.room && matches!(other.delivery, Delivery::Speaking);
        !burst.denied && burst.spoken.is_none() && now.since(ended) < fresh && !self.bursts.iter().any(speaking)
    }

    /// The frames of a burst were read, or could not be.
    pub(in crate::engine) fn burst_loaded(
        &mut self,
        cx: &mut Cx<'_>,
        rooms: &Rooms,
        id: BurstId,
        frames: Result<Vec<Bytes>, String>,
    ) {
        let Some(at) = self.position(id) else { return };
        let burst = &mut self.bursts[at];
        let Capture::Ended { last, digest, .. } = burst.capture else { return };
        let recording = frames.and_then(|frames| {
            let numbered = (1..).map(FrameNo).zip(frames);
            let mut recording = Recording::restore(numbered).map_err(|error| error.to_string())?;
            let found = recording.end();
            if found == Some((last, digest)) { Ok(recording) } else { Err("frames are missing or damaged".to_owned()) }
        });
        match recording {
            Ok(recording) => {
                burst.times = vec![Times { captured_at: Mono::default(), sent_at: None }; recording.frames().len()];
                burst.recording = recording;
                burst.loaded = true;
                if let Delivery::Loading { todo } = &mut burst.delivery {
                    let todo = core::mem::take(todo);
                    burst.delivery = if todo.is_empty() {
                        Delivery::Waiting { not_before: None }
                    } else {
                        Delivery::Repairing { todo, in_flight: 0 }
                    };
                }
            }
            Err(detail) => {
                cx.notice(Notice::Fault { detail: format!("{id} can't be read from the local store: {detail}") });
                burst.tell(cx, TalkState::Failed { detail });
                cx.outbox.done(burst.asked.room, burst.item());
                cx.push(Output::Store(Store::BurstHeld { burst: id }));
                self.bursts.remove(at);
            }
        }
        self.advance(cx, rooms);
    }

    /// Answers that did not come are asked for again.
    pub(super) fn offers_overdue(&mut self, cx: &mut Cx<'_>) {
        for burst in &mut self.bursts {
            match burst.delivery {
                Delivery::Offered { at } if cx.now >= at + super::ANSWER_WAIT => burst.send_offer(cx),
                Delivery::Waiting { not_before: Some(time) } if cx.now >= time => {
                    burst.delivery = Delivery::Waiting { not_before: None };
                }
                Delivery::Offered { .. }
                | Delivery::Waiting { .. }
                | Delivery::Speaking
                | Delivery::Loading { .. }
                | Delivery::Ending { .. }
                | Delivery::Repairing { .. } => {}
            }
        }
    }
}
