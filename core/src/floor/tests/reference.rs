//! The machine beside a reference model, which looks at every millisecond instead of keeping timers, and an observer who sees
//! only what goes in and comes out. Both are driven by random operations; proptest shrinks a failure and prints it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const DEVICES: u8 = 6;

fn owner(device: u8) -> UserId {
    user(device % 4)
}

fn small() -> Config {
    Config {
        talk_limit: Duration::from_millis(600),
        emergency_talk_limit: None,
        talk_warning: Duration::from_millis(100),
        holder_silence_max: Duration::from_millis(200),
        queue_wait_max: Duration::from_millis(500),
        queue_max: 3,
    }
}

#[derive(Clone, Debug)]
enum Op {
    /// Let time pass, with the timers on time.
    Pass(u64),
    /// Let time pass without the timers being run; the next input finds them overdue.
    Stall(u64),
    /// Ask for a new burst, or for the current one.
    Ask {
        device: u8,
        priority: Priority,
        queue: bool,
        new_burst: bool,
    },
    /// Send the last request again, word for word or under a new number.
    Repeat {
        device: u8,
        new_number: bool,
    },
    Release(u8),
    End(u8),
    Heard(u8),
    Gone(u8),
    Role {
        device: u8,
        role: Option<Role>,
    },
    Clear {
        by: u8,
        whose: u8,
    },
    Lease(u64),
    TalkLimit(u64),
    Drain,
}

fn ops(stalls: bool) -> impl Strategy<Value = Vec<Op>> {
    let device = 0..DEVICES;
    let priority = prop_oneof![
        6 => Just(Priority::Normal), 3 => Just(Priority::Elevated), 2 => Just(Priority::Dispatcher), 1 => Just(Priority::Emergency)
    ];
    let role = prop_oneof![
        1 => Just(None), 1 => Just(Some(Role::Listener)), 2 => Just(Some(Role::Talker)), 4 => Just(Some(Role::Dispatcher))
    ];
    let op = prop_oneof![
        24 => (0..300_u64).prop_map(Op::Pass),
        6 => (0..900_u64).prop_map(move |span| if stalls { Op::Stall(span) } else { Op::Pass(span) }),
        36 => (device.clone(), priority, any::<bool>(), any::<bool>())
            .prop_map(|(device, priority, queue, new_burst)| Op::Ask { device, priority, queue, new_burst }),
        9 => (device.clone(), any::<bool>()).prop_map(|(device, new_number)| Op::Repeat { device, new_number }),
        9 => device.clone().prop_map(Op::Release),
        9 => device.clone().prop_map(Op::End),
        24 => device.clone().prop_map(Op::Heard),
        6 => device.clone().prop_map(Op::Gone),
        6 => (device.clone(), role).prop_map(|(device, role)| Op::Role { device, role }),
        6 => (device.clone(), device).prop_map(|(by, whose)| Op::Clear { by, whose }),
        2 => (0..2_000_u64).prop_map(Op::Lease),
        2 => (1..900_u64).prop_map(Op::TalkLimit),
        1 => Just(Op::Drain),
    ];
    prop::collection::vec(op, 1..80)
}

/// Turns operations into inputs: numbers requests and bursts, knows the roles and each device's last request.
#[derive(Default)]
struct Clients {
    numbers: u32,
    last: BTreeMap<u8, Request>,
    roles: BTreeMap<UserId, Option<Role>>,
}

impl Clients {
    fn role(&self, device: u8) -> Option<Role> {
        self.roles.get(&owner(device)).copied().unwrap_or(Some(Role::Dispatcher))
    }

    fn input(&mut self, now: Mono, op: &Op) -> Option<Input> {
        self.numbers += 1;
        let number = RequestId(self.numbers);
        Some(match *op {
            Op::Pass(_) | Op::Stall(_) => return None,
            Op::Ask { device: n, priority, queue, new_burst } => {
                let role = self.role(n)?;
                let known = self.last.get(&n).filter(|_| !new_burst);
                let fresh = BurstHeader {
                    burst: BurstId::from_bytes([number.0.to_be_bytes(); 4].concat().try_into().unwrap()),
                    ..header(n)
                };
                let header = known.map_or(fresh, |last| last.header);
                let asked = Request { user: owner(n), role, request: number, queue, header, ..ask(n, priority) };
                self.last.insert(n, asked);
                Input::Request(asked)
            }
            Op::Repeat { device, new_number } => {
                let role = self.role(device)?;
                let last = self.last.get_mut(&device)?;
                last.role = role;
                if new_number {
                    last.request = number;
                }
                Input::Request(*last)
            }
            Op::Release(n) => Input::Release { device: device(n), request: self.last.get(&n)?.request },
            Op::End(n) => Input::Ended { device: device(n), burst: self.last.get(&n)?.header.burst },
            Op::Heard(n) => Input::Heard { device: device(n) },
            Op::Gone(n) => Input::Gone { device: device(n) },
            Op::Role { device, role } => {
                self.roles.insert(owner(device), role);
                Input::RoleChanged { user: owner(device), role }
            }
            Op::Clear { by, whose } => Input::ClearEmergency {
                device: device(by),
                request: number,
                by: owner(by),
                role: self.role(by)?,
                raised_by: owner(whose),
            },
            Op::Lease(ms) => Input::Lease { until: now + Duration::from_millis(ms) },
            Op::TalkLimit(ms) => Input::TalkLimit { limit: Duration::from_millis(ms) },
            Op::Drain => Input::Drain,
        })
    }
}

/// What is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Said {
    Granted { device: DeviceId, request: RequestId, again: bool, limit_ms: Option<u64> },
    Denied(DeviceId, RequestId, DenyReason),
    Revoked(DeviceId, RequestId, RevokeReason),
    Warned(DeviceId, RequestId),
    Counted(DeviceId, RequestId, Outcome, u64),
    Emergencies(Option<DeviceId>, Vec<UserId>),
    Refused(DeviceId),
}

fn ms(span: Duration) -> u64 {
    span.as_millis().try_into().unwrap()
}

fn said(output: &Output) -> Option<Said> {
    Some(match output {
        Output::Granted { device, request, again, until, .. } => {
            Said::Granted { device: *device, request: *request, again: *again, limit_ms: until.map(ms) }
        }
        Output::Denied { device, request, reason } => Said::Denied(*device, *request, *reason),
        Output::Revoked { device, request, reason, .. } => Said::Revoked(*device, *request, *reason),
        Output::Warning { device, request, .. } => Said::Warned(*device, *request),
        Output::Outcome { device, request, outcome, wait, .. } => Said::Counted(*device, *request, *outcome, ms(*wait)),
        Output::Emergencies { to, raised_by } => Said::Emergencies(*to, raised_by.clone()),
        Output::ClearRefused { device, .. } => Said::Refused(*device),
        Output::Queued { .. }
        | Output::Changed(_)
        | Output::EmergencyRaised { .. }
        | Output::EmergencyCleared { .. } => return None,
    })
}

#[derive(Clone, Debug)]
struct Live {
    asked: Request,
    weight: Priority,
    since: u64,
    arrival: usize,
}

#[derive(Clone, Debug)]
struct Talking {
    live: Live,
    heard: u64,
    until: Option<u64>,
}

/// The rules again, in the plainest form. Times are milliseconds.
struct Model {
    config: Config,
    now: u64,
    talking: Option<Talking>,
    waiting: Vec<Live>,
    arrivals: usize,
    past: BTreeMap<DeviceId, (RequestId, BurstId, Said)>,
    emergencies: Vec<UserId>,
    lease: u64,
    drained: bool,
    said: Vec<Said>,
}

impl Model {
    fn new() -> Self {
        Self {
            config: small(),
            now: 0,
            talking: None,
            waiting: vec![],
            arrivals: 0,
            past: BTreeMap::new(),
            emergencies: vec![],
            lease: u64::MAX,
            drained: false,
            said: vec![],
        }
    }

    fn limit(&self, weight: Priority) -> Option<u64> {
        (weight != Priority::Emergency).then(|| ms(self.config.talk_limit))
    }

    fn queue(&self) -> Vec<&Live> {
        let mut queue: Vec<_> = self.waiting.iter().collect();
        queue.sort_by(|a, b| b.weight.cmp(&a.weight).then(a.arrival.cmp(&b.arrival)));
        queue
    }

    fn remove(&mut self, which: impl Fn(&Live) -> bool) -> Vec<Live> {
        let out: Vec<_> = self.queue().into_iter().filter(|live| which(live)).cloned().collect();
        self.waiting.retain(|live| !which(live));
        out
    }

    fn count(&mut self, live: &Live, outcome: Outcome) {
        let wait = self.now - live.since;
        self.said.push(Said::Counted(live.asked.device, live.asked.request, outcome, wait));
    }

    fn finish(&mut self, live: &Live, answer: Said) {
        let Request { device, request, header, .. } = live.asked;
        self.past.insert(device, (request, header.burst, answer.clone()));
        self.said.push(answer);
    }

    fn deny(&mut self, live: &Live, outcome: Outcome, reason: DenyReason) {
        self.count(live, outcome);
        self.finish(live, Said::Denied(live.asked.device, live.asked.request, reason));
    }

    fn revoke(&mut self, reason: RevokeReason) {
        if let Some(Talking { live, .. }) = self.talking.take() {
            self.finish(&live, Said::Revoked(live.asked.device, live.asked.request, reason));
        }
    }

    fn tell(&mut self, again: bool) {
        let Some(Talking { live, until, .. }) = &self.talking else { return };
        let Request { device, request, .. } = live.asked;
        let limit_ms = until.map(|until| until - self.now);
        self.said.push(Said::Granted { device, request, again, limit_ms });
    }

    fn grant(&mut self, live: Live, outcome: Outcome) {
        self.count(&live, outcome);
        let until = self.limit(live.weight).map(|limit| self.now + limit);
        self.talking = Some(Talking { live, heard: self.now, until });
        self.tell(false);
    }

    fn next(&mut self) {
        if let Some(arrival) = self.queue().first().map(|live| live.arrival) {
            let live = self.remove(|live| live.arrival == arrival).remove(0);
            self.grant(live, Outcome::Queued);
        }
    }

    fn closed(&self) -> bool {
        self.drained || self.now >= self.lease
    }

    fn close_if_due(&mut self) {
        if self.closed() {
            self.revoke(RevokeReason::HomeUnavailable);
            for live in self.remove(|_| true) {
                self.deny(&live, Outcome::Failed, DenyReason::HomeUnavailable);
            }
        }
    }

    /// What time alone brings about at this millisecond.
    fn look(&mut self) {
        self.close_if_due();
        let (now, wait) = (self.now, ms(self.config.queue_wait_max));
        for live in self.remove(|live| live.since + wait <= now) {
            self.deny(&live, Outcome::Denied, DenyReason::QueueExpired);
        }
        let Some(Talking { live, heard, until }) = self.talking.clone() else { return };
        if heard + ms(self.config.holder_silence_max) <= now {
            self.revoke(RevokeReason::LinkLost);
            self.next();
        } else if until.is_some_and(|until| until <= now) {
            self.revoke(RevokeReason::TalkLimit);
            self.next();
        } else if until.is_some_and(|until| until == now + ms(self.config.talk_warning)) {
            self.said.push(Said::Warned(live.asked.device, live.asked.request));
        }
    }

    fn pass(&mut self, span: u64) {
        for _ in 0..span {
            self.now += 1;
            self.look();
        }
    }

    fn talks(&self, which: impl Fn(&Request) -> bool) -> bool {
        self.talking.as_ref().is_some_and(|talking| which(&talking.live.asked))
    }

    fn ask(&mut self, asked: Request) {
        let same = |other: &Request| {
            (other.device, other.header.burst, other.priority) == (asked.device, asked.header.burst, asked.priority)
        };
        if let Some((_, _, answer)) =
            self.past.get(&asked.device).filter(|past| (past.0, past.1) == (asked.request, asked.header.burst))
        {
            return self.said.push(answer.clone());
        }
        if let Some(talking) = self.talking.as_mut().filter(|talking| same(&talking.live.asked)) {
            talking.live.asked.request = asked.request;
            talking.heard = self.now;
            return self.tell(true);
        }
        if let Some(live) = self.waiting.iter_mut().find(|live| same(&live.asked)) {
            live.asked.request = asked.request;
            return;
        }
        self.arrivals += 1;
        let live = Live { asked, weight: asked.priority, since: self.now, arrival: self.arrivals };
        if !asked.role.may_talk_at(asked.priority) {
            return self.deny(&live, Outcome::Denied, DenyReason::NotAllowed);
        }
        let emergency = asked.priority == Priority::Emergency;
        if emergency && (self.drained || !self.closed()) && !self.emergencies.contains(&asked.user) {
            self.emergencies.push(asked.user);
            self.said.push(Said::Emergencies(None, self.emergencies.clone()));
        }
        for old in self.remove(|live| live.asked.device == asked.device) {
            self.count(&old, Outcome::Abandoned);
        }
        if self.talks(|talking| talking.device == asked.device) {
            self.talking = None;
            if self.waiting.iter().any(|live| live.weight >= asked.priority) {
                self.next();
            }
        }
        let full = self.waiting.len() >= self.config.queue_max;
        match self.talking.as_ref().map(|talking| talking.live.weight) {
            _ if self.closed() => self.deny(&live, Outcome::Failed, DenyReason::HomeUnavailable),
            None => self.grant(live, Outcome::Immediate),
            Some(weight) if weight < asked.priority => {
                self.revoke(RevokeReason::Preempted);
                self.grant(live, Outcome::Immediate);
            }
            Some(_) if !asked.queue && !emergency => self.deny(&live, Outcome::Denied, DenyReason::Busy),
            Some(_) if full => match self.queue().last().map(|last| (last.arrival, last.weight)) {
                Some((arrival, weight)) if weight < asked.priority => {
                    let last = self.remove(|live| live.arrival == arrival).remove(0);
                    self.deny(&last, Outcome::Denied, DenyReason::QueueFull);
                    self.waiting.push(live);
                }
                _ => self.deny(&live, Outcome::Denied, DenyReason::QueueFull),
            },
            Some(_) => self.waiting.push(live),
        }
    }

    fn give_up(&mut self, which: impl Fn(&Request) -> bool) {
        if self.talks(&which) {
            self.talking = None;
            return self.next();
        }
        for live in self.remove(|live| which(&live.asked)) {
            self.count(&live, Outcome::Abandoned);
        }
    }

    fn clear(&mut self, device: DeviceId, by: UserId, role: Role, raised_by: UserId) {
        if by != raised_by && role < Role::Dispatcher {
            return self.said.push(Said::Refused(device));
        }
        let on = self.emergencies.contains(&raised_by);
        self.emergencies.retain(|user| *user != raised_by);
        self.said.push(Said::Emergencies((!on).then_some(device), self.emergencies.clone()));
        let (now, limit) = (self.now, self.limit(Priority::Normal));
        let theirs = |live: &Live| live.asked.user == raised_by && live.weight == Priority::Emergency;
        for live in self.waiting.iter_mut().filter(|live| theirs(live)) {
            live.weight = Priority::Normal;
        }
        if let Some(talking) = self.talking.as_mut().filter(|talking| theirs(&talking.live)) {
            talking.live.weight = Priority::Normal;
            talking.until = limit.map(|limit| now + limit);
            if self.waiting.iter().any(|live| live.weight > Priority::Normal) {
                self.revoke(RevokeReason::Preempted);
                self.next();
            } else {
                self.tell(true);
            }
        }
    }

    fn handle(&mut self, input: Input) {
        match input {
            Input::Request(asked) => self.ask(asked),
            Input::Release { device, request } => {
                self.give_up(|asked| (asked.device, asked.request) == (device, request));
            }
            Input::Ended { device, burst } => {
                self.give_up(|asked| (asked.device, asked.header.burst) == (device, burst));
            }
            Input::Heard { device } => {
                if let Some(talking) = self.talking.as_mut().filter(|talking| talking.live.asked.device == device) {
                    talking.heard = self.now;
                }
            }
            Input::Gone { device } => {
                self.past.remove(&device);
                for live in self.remove(|live| live.asked.device == device) {
                    self.count(&live, Outcome::Failed);
                }
            }
            Input::RoleChanged { user, role } => {
                let out =
                    |live: &Live| live.asked.user == user && !role.is_some_and(|role| role.may_talk_at(live.weight));
                for live in self.remove(out) {
                    self.deny(&live, Outcome::Denied, DenyReason::NotAllowed);
                }
                if self.talking.as_ref().is_some_and(|talking| out(&talking.live)) {
                    self.revoke(RevokeReason::NotAllowed);
                    self.next();
                }
            }
            Input::ClearEmergency { device, request: _, by, role, raised_by } => {
                self.clear(device, by, role, raised_by);
            }
            Input::Lease { until } => {
                self.lease = ms(until.since(START));
                self.close_if_due();
            }
            Input::TalkLimit { limit } => self.config.talk_limit = limit,
            Input::Drain => {
                self.drained = true;
                self.close_if_due();
            }
            Input::Timeout => {}
        }
    }
}

/// Sees only inputs and outputs.
#[derive(Default)]
struct Observer {
    /// Who believes to have the floor.
    holder: Option<(DeviceId, BurstId, FloorToken)>,
    /// The number of its request.
    number: Option<RequestId>,
    highest: FloorToken,
    /// The place in the queue that each request was told.
    places: BTreeMap<(DeviceId, RequestId), u32>,
    counted: usize,
}

impl Observer {
    fn sees(&mut self, input: Option<&Input>, outputs: &[Output]) -> Result<(), TestCaseError> {
        let leaving = self.holder.filter(|(holder, burst, _)| match input {
            Some(Input::Release { device, request }) => holder == device && Some(*request) == self.number,
            Some(Input::Ended { device, burst: ended }) => (holder, burst) == (device, ended),
            _ => false,
        });
        let asking = if let Some(Input::Request(asked)) = input { Some(asked.device) } else { None };
        for output in outputs {
            match output {
                Output::Granted { device, request, token, header, again: true, .. } => {
                    self.number = Some(*request);
                    prop_assert_eq!(self.holder, Some((*device, header.burst, *token)), "again, yet not the holder");
                }
                Output::Granted { device, request, token, header, again: false, .. } => {
                    self.number = Some(*request);
                    prop_assert!(*token > self.highest, "tokens strictly increase");
                    // A holder that asks for something else has given up what it had.
                    let gave_up = |holder: (DeviceId, _, _)| Some(holder.0) == asking || Some(holder) == leaving;
                    prop_assert!(self.holder.is_none_or(gave_up), "two talkers");
                    self.highest = *token;
                    self.holder = Some((*device, header.burst, *token));
                }
                Output::Revoked { device, token, .. } => {
                    let current = self.holder.is_some_and(|holder| (holder.0, holder.2) == (*device, *token));
                    prop_assert!(
                        current || asking == Some(*device),
                        "only a repeated request is told an old revocation"
                    );
                    self.holder = self.holder.filter(|_| !current);
                }
                Output::Outcome { outcome, wait, .. } => {
                    self.counted += 1;
                    prop_assert!(*outcome != Outcome::Queued || *wait < small().queue_wait_max, "starved: {wait:?}");
                }
                Output::Queued { device, request, position, waiting } => {
                    prop_assert!((1..=*waiting).contains(position));
                    self.places.insert((*device, *request), *position);
                }
                Output::Denied { .. }
                | Output::Warning { .. }
                | Output::Changed(_)
                | Output::EmergencyRaised { .. }
                | Output::EmergencyCleared { .. }
                | Output::Emergencies { .. }
                | Output::ClearRefused { .. } => {}
            }
        }
        if self.holder == leaving {
            self.holder = None;
        }
        Ok(())
    }

    /// That the machine's own view is what it told.
    fn agrees(&self, floor: &Floor, now: Mono) -> Result<(), TestCaseError> {
        prop_assert_eq!(self.holder.is_some(), floor.holder().is_some());
        let places: Vec<_> =
            floor.waiting().map(|asked| self.places.get(&(asked.device, asked.request)).copied()).collect();
        let expected: Vec<_> = (1..).take(places.len()).map(Some).collect();
        prop_assert_eq!(places, expected, "everybody who waits knows the place");
        prop_assert!(floor.waiting().count() <= small().queue_max);
        for n in 0..DEVICES {
            for counter in self.highest.counter.saturating_sub(1)..=self.highest.counter + 1 {
                let token = FloorToken { counter, ..self.highest };
                let holds = self.holder.is_some_and(|holder| (holder.0, holder.2) == (device(n), token));
                prop_assert_eq!(floor.accepts(now, device(n), token), holds);
            }
        }
        prop_assert!(floor.poll_timeout().is_none_or(|due| due > now), "the next timeout lies ahead");
        Ok(())
    }
}

struct Run {
    floor: Floor,
    model: Option<Model>,
    observer: Observer,
    outputs: Vec<Output>,
}

impl Run {
    fn input(&mut self, now: Mono, input: Option<Input>) -> Result<(), TestCaseError> {
        self.floor.handle(now, input.unwrap_or(Input::Timeout));
        let outputs: Vec<_> = core::iter::from_fn(|| self.floor.poll_output()).collect();
        self.observer.sees(input.as_ref(), &outputs)?;
        self.outputs.extend(outputs);
        Ok(())
    }
}

fn drive(ops: &[Op], with_model: bool) -> Result<Vec<Output>, TestCaseError> {
    let mut clients = Clients::default();
    let mut run = Run {
        floor: Floor::new(small(), 1, Mono(u64::MAX), []),
        model: with_model.then(Model::new),
        observer: Observer { highest: FloorToken { term: 1, counter: 0 }, ..Observer::default() },
        outputs: vec![],
    };
    let mut now = START;
    let mut compared = 0;
    // Whatever is still open ends with the drain.
    for op in ops.iter().chain([&Op::Drain]) {
        let input = clients.input(now, op);
        match (op, input) {
            (Op::Pass(span), _) => {
                let end = now + Duration::from_millis(*span);
                while let Some(due) = run.floor.poll_timeout().filter(|due| *due <= end) {
                    run.input(due, None)?;
                    run.observer.agrees(&run.floor, due)?;
                }
                now = end;
                run.model.iter_mut().for_each(|model| model.pass(*span));
            }
            (Op::Stall(span), _) => now = now + Duration::from_millis(*span),
            (_, Some(input)) => {
                // The machine runs what is overdue by itself; done in two steps, the observer can tell what led to what.
                let mut direct = run.floor.clone();
                direct.handle(now, input);
                let direct: Vec<_> = core::iter::from_fn(|| direct.poll_output()).filter_map(|o| said(&o)).collect();
                let before = run.outputs.len();
                run.input(now, None)?;
                run.input(now, Some(input))?;
                let steps: Vec<_> = run.outputs[before..].iter().filter_map(said).collect();
                prop_assert_eq!(steps, direct, "a timeout that was not told changes nothing");
                run.observer.agrees(&run.floor, now)?;
                run.model.iter_mut().for_each(|model| model.handle(input));
            }
            (_, None) => {}
        }
        if let Some(model) = &mut run.model {
            let real: Vec<_> = run.outputs[compared..].iter().filter_map(said).collect();
            compared = run.outputs.len();
            prop_assert_eq!(&real, &core::mem::take(&mut model.said), "after {:?}", op);
            let talking = model.talking.as_ref().map(|talking| talking.live.asked.device);
            prop_assert_eq!(run.floor.holder().map(|holder| holder.0), talking, "after {:?}", op);
            let waiting: Vec<_> = model.queue().into_iter().map(|live| live.asked.device).collect();
            let real: Vec<_> = run.floor.waiting().map(|asked| asked.device).collect();
            prop_assert_eq!(real, waiting, "after {:?}", op);
            prop_assert_eq!(run.floor.emergencies(), &model.emergencies[..]);
        }
    }
    if let Some(model) = &run.model {
        prop_assert_eq!(run.observer.counted, model.arrivals, "every request ends exactly once");
    }
    Ok(run.outputs)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_machine_does_what_the_model_does(ops in ops(false)) {
        drive(&ops, true)?;
    }

    #[test]
    fn a_stalled_shell_breaks_no_promise(ops in ops(true)) {
        drive(&ops, false)?;
    }

    #[test]
    fn a_run_replays(ops in ops(true)) {
        prop_assert_eq!(drive(&ops, false)?, drive(&ops, false)?);
    }
}
