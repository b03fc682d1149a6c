//! What people write: kept on this device from the moment it was asked for, sent in order, and sent again after every
//! reconnect until the server answered. The server knows each by (device, client id), so that sending again is harmless
//! (DESIGN, invariant 3).

use core::time::Duration;
use std::collections::VecDeque;

use super::Cx;
use super::notice::{Notice, SendState};
use super::outbox::{Item as Outgoing, Outbox};
use super::ports::{Lane, Output, Store};
use crate::model::EventBody;
use crate::units::{ClientId, Cursor, Mono, RoomId, UnixMs};
use crate::wire::limits::SENDS_IN_FLIGHT_MAX;
use crate::wire::problem::{Problem, ProblemKind};
use crate::wire::socket::ClientMessage;

/// Most sends that wait on this device, a page of text each: 1,000 is days of writing and at most 16 MB.
pub const SENDS_WAITING_MAX: usize = 1_000;
/// An answer that takes longer than this is not coming: send again. The server's own limit for a commit is well below it.
const ANSWER_WAIT: Duration = Duration::from_secs(15);
/// How long to wait after "not now" without a time in it.
const RETRY_WAIT: Duration = Duration::from_secs(2);

#[derive(Debug)]
enum State {
    Waiting { not_before: Mono },
    Sent { at: Mono },
}

#[derive(Debug)]
struct Item {
    room: RoomId,
    client_id: ClientId,
    body: EventBody,
    state: State,
}

#[derive(Debug, Default)]
pub(super) struct Sends {
    items: VecDeque<Item>,
}

impl Sends {
    pub(super) fn send(&mut self, cx: &mut Cx<'_>, room: RoomId, client_id: ClientId, body: EventBody, restored: bool) {
        if self.items.iter().any(|item| item.client_id == client_id) {
            return;
        }
        if self.items.len() >= SENDS_WAITING_MAX {
            cx.notice(Notice::Send { room, client_id, state: SendState::TooMany });
            return;
        }
        if !restored {
            cx.push(Output::Store(Store::Send { room, client_id, body: body.clone() }));
        }
        cx.outbox.add(room, Outgoing::Text(client_id));
        self.items.push_back(Item { room, client_id, body, state: State::Waiting { not_before: cx.now } });
        if cx.session.is_none() {
            cx.notice(Notice::Send { room, client_id, state: SendState::Waiting });
        }
        self.flush(cx);
    }

    /// A new connection: what was sent on the old one may or may not have arrived.
    pub(super) fn link_up(&mut self, cx: &mut Cx<'_>) {
        for item in &mut self.items {
            item.state = State::Waiting { not_before: cx.now };
        }
        self.flush(cx);
    }

    pub(super) fn acked(&mut self, cx: &mut Cx<'_>, client_id: ClientId, place: Cursor, received_at: UnixMs) {
        if let Some(item) = self.take(client_id) {
            cx.outbox.done(item.room, Outgoing::Text(client_id));
            cx.push(Output::Store(Store::SendDone { client_id, place: Some(place) }));
            let seq = place.seq;
            cx.notice(Notice::Send { room: item.room, client_id, state: SendState::Acked { seq, received_at } });
        }
        self.flush(cx);
    }

    pub(super) fn refused(&mut self, cx: &mut Cx<'_>, client_id: ClientId, problem: Problem) {
        let later = problem.is_passing() || problem.is(ProblemKind::Internal);
        if later {
            let wait = problem.retry_after_s.map_or(RETRY_WAIT, |s| Duration::from_secs(u64::from(s)));
            let not_before = cx.now + wait + cx.chance.spread(RETRY_WAIT / 2);
            if let Some(item) = self.items.iter_mut().find(|item| item.client_id == client_id) {
                item.state = State::Waiting { not_before };
                cx.notice(Notice::Send { room: item.room, client_id, state: SendState::PutOff { problem } });
            }
        } else if let Some(item) = self.take(client_id) {
            cx.outbox.done(item.room, Outgoing::Text(client_id));
            cx.push(Output::Store(Store::SendDone { client_id, place: None }));
            cx.notice(Notice::Send { room: item.room, client_id, state: SendState::Refused { problem } });
        }
        self.flush(cx);
    }

    /// A person does not want it sent any more.
    pub(super) fn forget(&mut self, cx: &mut Cx<'_>, client_id: ClientId) {
        if let Some(item) = self.take(client_id) {
            cx.outbox.done(item.room, Outgoing::Text(client_id));
            cx.push(Output::Store(Store::SendDone { client_id, place: None }));
        }
        self.flush(cx);
    }

    pub(super) fn poll_timeout(&self, up: bool, outbox: &Outbox) -> Option<Mono> {
        if !up {
            return None;
        }
        // Of the sends of a room that wait, only the first counts: those after it wait for it.
        let mut held = Vec::new();
        let mut next: Option<Mono> = None;
        for item in self.items.iter().take(SENDS_IN_FLIGHT_MAX) {
            let at = match item.state {
                State::Sent { at } => at + ANSWER_WAIT,
                State::Waiting { .. } if held.contains(&item.room) => continue,
                // It is looked at when what it waits for is done.
                State::Waiting { .. } if !outbox.is_turn(item.room, Outgoing::Text(item.client_id)) => {
                    held.push(item.room);
                    continue;
                }
                State::Waiting { not_before } => {
                    held.push(item.room);
                    not_before
                }
            };
            next = Some(next.map_or(at, |next| next.min(at)));
        }
        next
    }

    pub(super) fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        for item in &mut self.items {
            if matches!(item.state, State::Sent { at } if now >= at + ANSWER_WAIT) {
                item.state = State::Waiting { not_before: now };
            }
        }
        self.flush(cx);
    }

    fn take(&mut self, client_id: ClientId) -> Option<Item> {
        let at = self.items.iter().position(|item| item.client_id == client_id)?;
        self.items.remove(at)
    }

    /// Sends what may go. Only the first of the queue are in flight, and a room's later send does not overtake an earlier
    /// one that was told to wait: what a person wrote first stands first.
    pub(super) fn flush(&mut self, cx: &mut Cx<'_>) {
        if cx.session.is_none() {
            return;
        }
        let mut held = Vec::new();
        for item in self.items.iter_mut().take(SENDS_IN_FLIGHT_MAX) {
            match item.state {
                State::Sent { .. } => {}
                State::Waiting { not_before }
                    if not_before > cx.now
                        || held.contains(&item.room)
                        || !cx.outbox.is_turn(item.room, Outgoing::Text(item.client_id)) =>
                {
                    held.push(item.room);
                }
                State::Waiting { .. } => {
                    item.state = State::Sent { at: cx.now };
                    let (room, client_id, body) = (item.room, item.client_id, item.body.clone());
                    cx.send(Lane::Control, &ClientMessage::Send { room, client_id, epoch: None, body });
                }
            }
        }
    }
}
