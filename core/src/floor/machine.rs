//! The machine itself.

use core::time::Duration;
use std::collections::VecDeque;

use super::emergency::Emergencies;
use super::queue::{Queue, Waiting};
use super::state::{Answer, Cause, Holder, Limit, Past, State};
use super::{Config, Input, Outcome, Output, Request};
use crate::model::{Priority, Role};
use crate::units::{BurstId, DeviceId, FloorToken, Mono, UserId};
use crate::wire::limits::FLOOR_QUEUE_MAX;
use crate::wire::socket::{DenyReason, FloorState, RevokeReason};

/// What the machine waits for. At one instant they run in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// When to stop granting, because another home may begin.
    LeaseEnd,
    /// When to deny a request that waited too long.
    QueueExpiry,
    /// When to take the floor from a holder from whom nothing came.
    Silence,
    /// When to take the floor from a holder who talked long enough.
    TalkLimit,
    /// When to tell the holder that the talk limit is near.
    Warning,
}

impl Timer {
    /// Every timer.
    pub const ALL: &'static [Self] =
        &[Self::LeaseEnd, Self::QueueExpiry, Self::Silence, Self::TalkLimit, Self::Warning];
}

/// The arbiter of one room's floor.
#[derive(Clone, Debug)]
pub struct Floor {
    config: Config,
    state: State,
    /// The last token granted.
    token: FloorToken,
    /// From this instant on nothing is granted.
    lease: Mono,
    emergencies: Emergencies,
    /// The last answers to requests that ended by denial or revocation; at most one per device, the oldest first.
    past: VecDeque<Past>,
    /// What everybody was last told.
    announced: (FloorToken, Option<Priority>),
    outputs: VecDeque<Output>,
    now: Mono,
}

impl Floor {
    /// The arbiter of a room for one term of its home: idle, granting until `lease` ([`Mono`]'s end where the home needs no
    /// lease). `emergencies` are those that the room's log says are on, the oldest first.
    pub fn new(config: Config, term: u32, lease: Mono, emergencies: impl IntoIterator<Item = UserId>) -> Self {
        let config = Config {
            talk_limit: some(config.talk_limit),
            emergency_talk_limit: config.emergency_talk_limit.map(some),
            holder_silence_max: some(config.holder_silence_max),
            queue_wait_max: some(config.queue_wait_max),
            ..config
        };
        let token = FloorToken { term, counter: 0 };
        Self {
            config,
            state: State::Idle,
            token,
            lease,
            emergencies: Emergencies::restore(emergencies),
            past: VecDeque::new(),
            announced: (token, None),
            outputs: VecDeque::new(),
            now: Mono::default(),
        }
    }

    /// Takes an input. Time that runs backwards is taken to stand still.
    pub fn handle(&mut self, now: Mono, input: Input) {
        self.now = self.now.max(now);
        while let Some(timer) = self.due_timer() {
            self.step(|floor, state| floor.on_timer(timer, state));
        }
        match input {
            Input::Request(asked) => self.step(|floor, state| floor.on_request(asked, state)),
            Input::Release { device, request } => self.step(|floor, state| {
                floor.on_given_up(|asked| asked.device == device && asked.request == request, state)
            }),
            Input::Ended { device, burst } => self.step(|floor, state| {
                floor.on_given_up(|asked| asked.device == device && asked.header.burst == burst, state)
            }),
            Input::Heard { device } => self.on_heard(device),
            Input::Gone { device } => self.on_gone(device),
            Input::RoleChanged { user, role } => self.step(|floor, state| floor.on_role_changed(user, role, state)),
            Input::ClearEmergency { device, request, by, role, raised_by } => {
                if by == raised_by || role >= Role::Dispatcher {
                    self.step(|floor, state| floor.on_emergency_cleared(device, by, raised_by, state));
                } else {
                    self.emit(Output::ClearRefused { device, request });
                }
            }
            Input::Lease { until } => self.step(|floor, state| floor.on_lease(until, state)),
            Input::TalkLimit { limit } => self.config.talk_limit = some(limit),
            Input::Drain => self.step(|floor, state| floor.close(Cause::Draining, state)),
            Input::Timeout => {}
        }
        self.announce();
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to come back with [`Input::Timeout`]; always later than the last [`Self::handle`].
    pub fn poll_timeout(&self) -> Option<Mono> {
        Timer::ALL.iter().filter_map(|timer| self.due(*timer)).min()
    }

    /// When `timer` is due, if it runs.
    pub fn due(&self, timer: Timer) -> Option<Mono> {
        match (&self.state, timer) {
            (State::Idle | State::Taken { .. }, Timer::LeaseEnd) => (self.lease < Mono(u64::MAX)).then_some(self.lease),
            (State::Taken { queue, .. }, Timer::QueueExpiry) => queue.next_expiry(),
            (State::Taken { holder, .. }, Timer::Silence) => Some(holder.heard + self.config.holder_silence_max),
            (State::Taken { holder, .. }, Timer::TalkLimit) => holder.limit.until(),
            (State::Taken { holder, .. }, Timer::Warning) => match holder.limit {
                Limit::Ahead { warn_at, .. } => Some(warn_at),
                Limit::None | Limit::Near { .. } => None,
            },
            (State::Idle, Timer::QueueExpiry | Timer::Silence | Timer::TalkLimit | Timer::Warning)
            | (State::Closed(_), _) => None,
        }
    }

    /// Whether a live frame of `device` under `token` may be passed on.
    pub fn accepts(&self, now: Mono, device: DeviceId, token: FloorToken) -> bool {
        match &self.state {
            State::Taken { holder, .. } => holder.asked.device == device && holder.token == token && now < self.lease,
            State::Idle | State::Closed(_) => false,
        }
    }

    /// Who has the floor, for one who subscribes.
    pub fn state(&self, now: Mono) -> FloorState {
        match &self.state {
            State::Taken { holder, .. } => FloorState::Taken {
                token: holder.token,
                user: holder.asked.user,
                device: holder.asked.device,
                priority: holder.priority,
                header: holder.asked.header,
                since_ms: u64::try_from(now.since(holder.since).as_millis()).unwrap_or(u64::MAX),
            },
            State::Idle | State::Closed(_) => FloorState::Idle { token: self.token },
        }
    }

    /// Whose emergencies are on, in the order in which they were raised.
    pub fn emergencies(&self) -> &[UserId] {
        self.emergencies.list()
    }

    /// Who has the floor and since when it is speaking which burst.
    pub fn holder(&self) -> Option<(DeviceId, BurstId, FloorToken)> {
        match &self.state {
            State::Taken { holder, .. } => Some((holder.asked.device, holder.asked.header.burst, holder.token)),
            State::Idle | State::Closed(_) => None,
        }
    }

    /// Those who wait, the next first.
    pub fn waiting(&self) -> impl Iterator<Item = &Request> {
        let queue = match &self.state {
            State::Taken { queue, .. } => Some(queue),
            State::Idle | State::Closed(_) => None,
        };
        queue.into_iter().flat_map(|queue| queue.iter().map(|entry| &entry.asked))
    }

    fn step(&mut self, transition: impl FnOnce(&mut Self, State) -> State) {
        let state = core::mem::replace(&mut self.state, State::Idle);
        self.state = transition(self, state);
    }

    fn due_timer(&self) -> Option<Timer> {
        let due = Timer::ALL.iter().filter_map(|timer| Some((self.due(*timer)?, *timer)));
        due.filter(|(at, _)| *at <= self.now).min().map(|(_, timer)| timer)
    }

    fn on_timer(&mut self, timer: Timer, state: State) -> State {
        match (state, timer) {
            (state, Timer::LeaseEnd) => self.close(Cause::LeaseEnded, state),
            (State::Taken { holder, mut queue }, Timer::QueueExpiry) => {
                self.expire(&mut queue);
                State::Taken { holder, queue }
            }
            (State::Taken { holder, queue }, Timer::Silence) => {
                self.revoke(&holder, RevokeReason::LinkLost);
                self.vacate(queue)
            }
            (State::Taken { holder, queue }, Timer::TalkLimit) => {
                self.revoke(&holder, RevokeReason::TalkLimit);
                self.vacate(queue)
            }
            (State::Taken { mut holder, queue }, Timer::Warning) => {
                if let Limit::Ahead { until, .. } = holder.limit {
                    holder.limit = Limit::Near { until };
                    let Request { device, request, .. } = holder.asked;
                    if until > self.now {
                        self.emit(Output::Warning { device, request, remaining: until.since(self.now) });
                    }
                }
                State::Taken { holder, queue }
            }
            (
                state @ (State::Idle | State::Closed(_)),
                Timer::QueueExpiry | Timer::Silence | Timer::TalkLimit | Timer::Warning,
            ) => state,
        }
    }

    fn on_request(&mut self, asked: Request, mut state: State) -> State {
        if self.repeat_past(&asked) || self.repeat_live(&asked, &mut state) {
            return state;
        }
        if !asked.role.may_talk_at(asked.priority) {
            self.deny(&asked, self.now, Outcome::Denied, DenyReason::NotAllowed);
            return state;
        }
        let another_home_may_rule = matches!(state, State::Closed(Cause::LeaseEnded));
        if asked.priority == Priority::Emergency && !another_home_may_rule && self.emergencies.raise(asked.user) {
            self.emit(Output::EmergencyRaised { user: asked.user, device: asked.device });
            self.emit(Output::Emergencies { to: None, raised_by: self.emergencies.list().to_vec() });
        }
        match state {
            // The holder asks for something else: what it had is over, and those who wait with as much weight come first.
            State::Taken { holder, queue } if holder.asked.device == asked.device => {
                if queue.heaviest() < Some(asked.priority) {
                    self.grant(asked, self.now, asked.priority, Outcome::Immediate, queue)
                } else {
                    let state = self.vacate(queue);
                    self.arrive(asked, state)
                }
            }
            State::Taken { holder, mut queue } => {
                for replaced in queue.take(|entry| entry.asked.device == asked.device) {
                    self.count(&replaced.asked, replaced.since, Outcome::Abandoned);
                }
                self.arrive(asked, State::Taken { holder, queue })
            }
            state @ (State::Idle | State::Closed(_)) => self.arrive(asked, state),
        }
    }

    /// Answers again a request that has ended.
    fn repeat_past(&mut self, asked: &Request) -> bool {
        let Request { device, request, .. } = *asked;
        let burst = asked.header.burst;
        let past =
            self.past.iter().find(|past| past.device == device && past.request == request && past.burst == burst);
        match past.map(|past| past.answer) {
            Some(Answer::Denied(reason)) => self.emit(Output::Denied { device, request, reason }),
            Some(Answer::Revoked(token, reason)) => {
                self.emit(Output::Revoked { device, request, token, burst, reason });
            }
            None => return false,
        }
        true
    }

    /// Answers again a request that holds the floor or waits, under its newest number.
    fn repeat_live(&mut self, asked: &Request, state: &mut State) -> bool {
        let State::Taken { holder, queue } = state else { return false };
        if asked.repeats(&holder.asked) {
            holder.asked.request = asked.request;
            holder.heard = self.now;
            self.tell_granted(holder, true);
            return true;
        }
        match queue.of_device(asked.device) {
            Some(entry) if asked.repeats(&entry.asked) => {
                entry.asked.request = asked.request;
                queue.tell_again(asked.device);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Decides on a request of a device that has no other.
    fn arrive(&mut self, asked: Request, state: State) -> State {
        match state {
            State::Idle => self.grant(asked, self.now, asked.priority, Outcome::Immediate, Queue::default()),
            State::Taken { holder, queue } if asked.priority > holder.priority => {
                self.revoke(&holder, RevokeReason::Preempted);
                self.grant(asked, self.now, asked.priority, Outcome::Immediate, queue)
            }
            State::Taken { holder, mut queue } => {
                if !asked.queue && asked.priority < Priority::Emergency {
                    self.deny(&asked, self.now, Outcome::Denied, DenyReason::Busy);
                } else if queue.len() < self.config.queue_max {
                    queue.add(asked, self.now, self.now + self.config.queue_wait_max);
                } else if let Some(last) = queue.pop_lighter(asked.priority) {
                    self.deny(&last.asked, last.since, Outcome::Denied, DenyReason::QueueFull);
                    queue.add(asked, self.now, self.now + self.config.queue_wait_max);
                } else {
                    self.deny(&asked, self.now, Outcome::Denied, DenyReason::QueueFull);
                }
                State::Taken { holder, queue }
            }
            State::Closed(cause) => {
                self.deny(&asked, self.now, Outcome::Failed, DenyReason::HomeUnavailable);
                State::Closed(cause)
            }
        }
    }

    fn on_given_up(&mut self, which: impl Fn(&Request) -> bool, state: State) -> State {
        match state {
            State::Taken { holder, queue } if which(&holder.asked) => self.vacate(queue),
            State::Taken { holder, mut queue } => {
                for left in queue.take(|entry| which(&entry.asked)) {
                    self.count(&left.asked, left.since, Outcome::Abandoned);
                }
                State::Taken { holder, queue }
            }
            state @ (State::Idle | State::Closed(_)) => state,
        }
    }

    fn on_heard(&mut self, device: DeviceId) {
        match &mut self.state {
            State::Taken { holder, .. } if holder.asked.device == device => holder.heard = self.now,
            State::Taken { .. } | State::Idle | State::Closed(_) => {}
        }
    }

    fn on_gone(&mut self, device: DeviceId) {
        self.past.retain(|past| past.device != device);
        let left = match &mut self.state {
            State::Taken { queue, .. } => queue.take(|entry| entry.asked.device == device),
            State::Idle | State::Closed(_) => Vec::new(),
        };
        for entry in left {
            self.count(&entry.asked, entry.since, Outcome::Failed);
        }
    }

    fn on_role_changed(&mut self, user: UserId, role: Option<Role>, state: State) -> State {
        let forbidden = |priority| !role.is_some_and(|role| role.may_talk_at(priority));
        match state {
            State::Taken { holder, mut queue } => {
                for entry in queue.take(|entry| entry.asked.user == user && forbidden(entry.priority)) {
                    self.deny(&entry.asked, entry.since, Outcome::Denied, DenyReason::NotAllowed);
                }
                if holder.asked.user == user && forbidden(holder.priority) {
                    self.revoke(&holder, RevokeReason::NotAllowed);
                    return self.vacate(queue);
                }
                State::Taken { holder, queue }
            }
            state @ (State::Idle | State::Closed(_)) => state,
        }
    }

    fn on_emergency_cleared(&mut self, device: DeviceId, by: UserId, raised_by: UserId, state: State) -> State {
        if self.emergencies.clear(raised_by) {
            self.emit(Output::EmergencyCleared { by, device, raised_by });
            self.emit(Output::Emergencies { to: None, raised_by: self.emergencies.list().to_vec() });
        } else {
            self.emit(Output::Emergencies { to: Some(device), raised_by: self.emergencies.list().to_vec() });
        }
        match state {
            State::Taken { mut holder, mut queue } => {
                let emergency = |asked: &Request, priority| asked.user == raised_by && priority == Priority::Emergency;
                queue.reweigh(|entry| emergency(&entry.asked, entry.priority), Priority::Normal);
                if !emergency(&holder.asked, holder.priority) {
                    return State::Taken { holder, queue };
                }
                if queue.heaviest() > Some(Priority::Normal) {
                    self.revoke(&holder, RevokeReason::Preempted);
                    return self.vacate(queue);
                }
                holder.priority = Priority::Normal;
                holder.limit = self.limit(Priority::Normal);
                self.tell_granted(&holder, true);
                State::Taken { holder, queue }
            }
            state @ (State::Idle | State::Closed(_)) => state,
        }
    }

    fn on_lease(&mut self, until: Mono, state: State) -> State {
        self.lease = until;
        match state {
            State::Closed(Cause::LeaseEnded) if self.now < until => State::Idle,
            state @ State::Closed(_) => state,
            state @ (State::Idle | State::Taken { .. }) if until <= self.now => self.close(Cause::LeaseEnded, state),
            state @ (State::Idle | State::Taken { .. }) => state,
        }
    }

    /// Gives the floor to the next who waits.
    fn vacate(&mut self, mut queue: Queue) -> State {
        self.expire(&mut queue);
        match queue.pop() {
            Some(Waiting { asked, priority, since, .. }) => self.grant(asked, since, priority, Outcome::Queued, queue),
            None => State::Idle,
        }
    }

    fn grant(&mut self, asked: Request, asked_at: Mono, priority: Priority, outcome: Outcome, queue: Queue) -> State {
        let Some(counter) = self.token.counter.checked_add(1) else {
            self.deny(&asked, asked_at, Outcome::Failed, DenyReason::HomeUnavailable);
            self.fail(queue);
            return State::Closed(Cause::TermUsedUp);
        };
        self.token.counter = counter;
        let (token, now) = (self.token, self.now);
        let limit = self.limit(priority);
        let holder = Holder { asked, priority, token, asked_at, since: now, heard: now, limit };
        self.count(&asked, asked_at, outcome);
        self.tell_granted(&holder, false);
        State::Taken { holder, queue }
    }

    /// Stops granting.
    fn close(&mut self, cause: Cause, state: State) -> State {
        match state {
            State::Taken { holder, queue } => {
                self.revoke(&holder, RevokeReason::HomeUnavailable);
                self.fail(queue);
            }
            // A lease that ends, or is renewed, changes nothing for a server that goes down anyway.
            State::Closed(Cause::Draining | Cause::TermUsedUp) if cause == Cause::LeaseEnded => return state,
            State::Idle | State::Closed(_) => {}
        }
        State::Closed(cause)
    }

    fn fail(&mut self, mut queue: Queue) {
        while let Some(entry) = queue.pop() {
            self.deny(&entry.asked, entry.since, Outcome::Failed, DenyReason::HomeUnavailable);
        }
    }

    fn expire(&mut self, queue: &mut Queue) {
        let now = self.now;
        for entry in queue.take(|entry| entry.expires <= now) {
            self.deny(&entry.asked, entry.since, Outcome::Denied, DenyReason::QueueExpired);
        }
    }

    fn revoke(&mut self, holder: &Holder, reason: RevokeReason) {
        let Request { device, request, .. } = holder.asked;
        let burst = holder.asked.header.burst;
        self.remember(&holder.asked, Answer::Revoked(holder.token, reason));
        self.emit(Output::Revoked { device, request, token: holder.token, burst, reason });
    }

    fn deny(&mut self, asked: &Request, since: Mono, outcome: Outcome, reason: DenyReason) {
        self.remember(asked, Answer::Denied(reason));
        self.count(asked, since, outcome);
        self.emit(Output::Denied { device: asked.device, request: asked.request, reason });
    }

    fn remember(&mut self, asked: &Request, answer: Answer) {
        let Request { device, request, .. } = *asked;
        self.past.retain(|past| past.device != device);
        if self.past.len() >= FLOOR_QUEUE_MAX {
            self.past.pop_front();
        }
        self.past.push_back(Past { device, request, burst: asked.header.burst, answer });
    }

    fn count(&mut self, asked: &Request, since: Mono, outcome: Outcome) {
        let Request { device, request, priority, .. } = *asked;
        self.emit(Output::Outcome { device, request, priority, outcome, wait: self.now.since(since) });
    }

    fn tell_granted(&mut self, holder: &Holder, again: bool) {
        let Request { device, user, request, header, spoken_ago, .. } = holder.asked;
        self.emit(Output::Granted {
            device,
            user,
            request,
            token: holder.token,
            priority: holder.priority,
            header,
            spoken_ago: spoken_ago.saturating_add(self.now.since(holder.asked_at)),
            until: holder.limit.until().map(|until| until.since(self.now)),
            again,
        });
    }

    /// The talk limit of one who begins to talk now.
    fn limit(&self, priority: Priority) -> Limit {
        let limit = match priority {
            Priority::Emergency => self.config.emergency_talk_limit,
            Priority::Normal | Priority::Elevated | Priority::Dispatcher => Some(self.config.talk_limit),
        };
        let Some(span) = limit else { return Limit::None };
        let until = self.now + span;
        if self.config.talk_warning < span {
            Limit::Ahead { warn_at: until - self.config.talk_warning, until }
        } else {
            Limit::Near { until }
        }
    }

    /// Tells everyone what has changed for them.
    fn announce(&mut self) {
        if let State::Taken { queue, .. } = &mut self.state {
            let waiting = u32::try_from(queue.len()).unwrap_or(u32::MAX);
            for (Request { device, request, .. }, position) in queue.moved() {
                self.outputs.push_back(Output::Queued { device, request, position, waiting });
            }
        }
        let current = match &self.state {
            State::Taken { holder, .. } => (holder.token, Some(holder.priority)),
            State::Idle | State::Closed(_) => (self.token, None),
        };
        if self.announced != current {
            self.announced = current;
            let changed = Output::Changed(self.state(self.now));
            self.emit(changed);
        }
    }

    #[cfg(test)]
    pub(super) fn set_counter(&mut self, counter: u32) {
        self.token.counter = counter;
    }

    fn emit(&mut self, output: Output) {
        self.outputs.push_back(output);
    }
}

/// A wait of nothing would name a timer that is already due.
fn some(span: Duration) -> Duration {
    span.max(Duration::from_millis(1))
}
