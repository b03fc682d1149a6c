//! The machine beside a reference model that keeps every fact for ever and works out each answer anew, without timers. Both are
//! driven by random operations; proptest shrinks a failure and prints it.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const USERS: u8 = 3;
const DEVICES: u8 = 6;

fn owner(dev: u8) -> u8 {
    dev % USERS
}

#[derive(Clone, Debug)]
enum Op {
    /// Let time pass, with the timers on time.
    Pass(u64),
    /// Let time pass without the timers being run; the next input finds them overdue.
    Stall(u64),
    Open {
        dev: u8,
        state: Option<PresenceState>,
        lease_ms: u64,
    },
    Set {
        dev: u8,
        state: PresenceState,
    },
    Hear {
        dev: u8,
        lease_ms: u64,
    },
    Close {
        dev: u8,
        ending: Ending,
    },
    /// The end of a socket that is not the device's newest.
    CloseOld {
        dev: u8,
    },
    Restore {
        of: u8,
        offline: bool,
        age_ms: u64,
    },
}

fn state() -> impl Strategy<Value = PresenceState> {
    prop::sample::select(PresenceState::ALL)
}

fn op() -> impl Strategy<Value = Op> {
    let lease = 100_u64..4_000;
    let ending = prop::sample::select(&[Ending::Closed, Ending::Silent, Ending::SignedOut][..]);
    prop_oneof![
        4 => (1_u64..6_000).prop_map(Op::Pass),
        2 => (1_u64..6_000).prop_map(Op::Stall),
        4 => (0..DEVICES, prop::option::of(state()), lease.clone())
            .prop_map(|(dev, state, lease_ms)| Op::Open { dev, state, lease_ms }),
        2 => (0..DEVICES, state()).prop_map(|(dev, state)| Op::Set { dev, state }),
        3 => (0..DEVICES, lease).prop_map(|(dev, lease_ms)| Op::Hear { dev, lease_ms }),
        3 => (0..DEVICES, ending).prop_map(|(dev, ending)| Op::Close { dev, ending }),
        1 => (0..DEVICES).prop_map(|dev| Op::CloseOld { dev }),
        1 => (0..USERS, any::<bool>(), 0_u64..100_000)
            .prop_map(|(of, offline, age_ms)| Op::Restore { of, offline, age_ms }),
    ]
}

/// Times in ms; before the start they are negative.
type Ms = i64;

#[derive(Clone, Debug)]
struct Session {
    dev: u8,
    said: PresenceState,
    heard: Ms,
    lease: Ms,
    closed: Option<(Ms, Ending)>,
    /// A newer socket of the device took over before it ran out.
    superseded: bool,
}

impl Session {
    fn ends(&self) -> Ms {
        let lease = self.heard + self.lease;
        match self.closed {
            Some((at, Ending::SignedOut)) => at,
            Some((at, _)) => lease.min(at + 5_000),
            None => lease,
        }
    }
}

#[derive(Default)]
struct Model {
    /// What had run out by then was noticed.
    looked: Ms,
    sessions: Vec<Session>,
    restored: Vec<(u8, bool, Ms)>,
}

impl Model {
    fn live(&mut self, now: Ms, dev: u8) -> Option<&mut Session> {
        self.sessions.iter_mut().rfind(|s| s.dev == dev).filter(|s| now < s.ends())
    }

    /// The device's socket, as far as nobody has noticed that it ran out.
    fn unnoticed(&mut self, dev: u8) -> Option<&mut Session> {
        let looked = self.looked;
        self.sessions.iter_mut().rfind(|s| s.dev == dev).filter(|s| looked < s.ends())
    }

    fn open(&mut self, now: Ms, dev: u8, state: Option<PresenceState>, lease: Ms) {
        let before = self.live(now, dev);
        let kept = before.as_ref().map(|before| before.said);
        if let Some(before) = before {
            before.superseded = true;
        }
        let said = state.filter(|state| *state != PresenceState::Unknown).or(kept).unwrap_or(PresenceState::Available);
        self.sessions.push(Session { dev, said, heard: now, lease, closed: None, superseded: false });
    }

    fn seen(&self, now: Ms, of: u8) -> (PresenceState, Option<Ms>, Ms) {
        let own = || self.sessions.iter().filter(|s| owner(s.dev) == of && !s.superseded);
        let live = || own().filter(|s| now < s.ends());
        if let Some(best) = live().map(|s| s.said).max() {
            let heard = live().filter(|s| s.said == best).map(|s| s.heard).max();
            let ends = live().filter(|s| s.said == best).map(Session::ends).max();
            return (best, heard.map(|heard| now - heard), ends.unwrap_or(now) - now);
        }
        let ended = own().map(|s| match s.closed {
            Some((at, Ending::Closed | Ending::SignedOut)) => (at, true),
            Some((_, Ending::Silent)) | None => (s.heard, false),
        });
        let restored = self.restored.iter().filter(|(whose, ..)| *whose == of).map(|(_, offline, at)| (*at, *offline));
        let facts: Vec<(Ms, bool)> = ended.chain(restored).collect();
        let Some(latest) = facts.iter().map(|(at, _)| *at).max() else { return (PresenceState::Unknown, None, 0) };
        let offline = facts.iter().filter(|(at, _)| *at == latest).all(|(_, offline)| *offline);
        (if offline { PresenceState::Offline } else { PresenceState::Unknown }, Some(now - latest), 0)
    }
}

fn mono(at: Ms) -> Mono {
    START + Duration::from_millis(u64::try_from(at).unwrap())
}

fn ms(span: Duration) -> Ms {
    i64::try_from(span.as_millis()).unwrap()
}

proptest! {
    /// Whatever happens, in whatever order, with timers on time or late: what the machine says is what the facts say, and who
    /// only listens to its changes knows the same.
    #[test]
    fn the_machine_says_what_the_facts_say(ops in prop::collection::vec(op(), 1..80)) {
        let (mut machine, mut model) = (Presence::default(), Model::default());
        let mut mirror: BTreeMap<UserId, PresenceState> = BTreeMap::new();
        let mut connections = [0_u64; DEVICES as usize];
        let mut now: Ms = 0;
        for op in ops {
            if !matches!(op, Op::Stall(_) | Op::Hear { .. }) {
                model.looked = now;
            }
            let at = |dev: u8, connections: &[u64]| (device(dev), connections[usize::from(dev)]);
            match op {
                Op::Pass(span) => {
                    let end = now + i64::try_from(span).unwrap();
                    while let Some(timer) = machine.poll_timeout().filter(|timer| *timer <= mono(end)) {
                        machine.handle(timer.max(mono(now)), Input::Timeout);
                    }
                    now = end;
                    model.looked = now;
                    machine.handle(mono(now), Input::Timeout);
                }
                Op::Stall(span) => now += i64::try_from(span).unwrap(),
                Op::Open { dev, state, lease_ms } => {
                    connections[usize::from(dev)] += 1;
                    let (device, connection) = at(dev, &connections);
                    let lease = Duration::from_millis(lease_ms);
                    machine.handle(mono(now), Input::Opened { user: user(owner(dev)), device, connection, state, lease });
                    model.open(now, dev, state, ms(lease));
                }
                Op::Set { dev, state } => {
                    let (device, connection) = at(dev, &connections);
                    machine.handle(mono(now), Input::Set { device, connection, state });
                    if state != PresenceState::Unknown && let Some(session) = model.live(now, dev) {
                        session.said = state;
                    }
                }
                Op::Hear { dev, lease_ms } => {
                    let (device, connection) = at(dev, &connections);
                    let lease = Duration::from_millis(lease_ms);
                    machine.handle(mono(now), Input::Heard { device, connection, at: mono(now), lease });
                    if let Some(session) = model.unnoticed(dev).filter(|session| session.closed.is_none()) {
                        (session.heard, session.lease) = (now, ms(lease));
                    }
                }
                Op::Close { dev, ending } => {
                    let (device, connection) = at(dev, &connections);
                    machine.handle(mono(now), Input::Closed { device, connection, ending });
                    if let Some(session) = model.live(now, dev)
                        && (session.closed.is_none() || ending == Ending::SignedOut)
                    {
                        session.closed = Some((now, ending));
                    }
                }
                Op::CloseOld { dev } => {
                    let (device, connection) = at(dev, &connections);
                    let connection = connection.saturating_sub(1);
                    machine.handle(mono(now), Input::Closed { device, connection, ending: Ending::SignedOut });
                }
                Op::Restore { of, offline, age_ms } => {
                    let age = Duration::from_millis(age_ms);
                    machine.handle(mono(now), Input::Restored { user: user(of), offline, age });
                    model.restored.push((of, offline, now - ms(age)));
                }
            }
            let is_stall = matches!(op, Op::Stall(_) | Op::Hear { .. });
            while let Some(output) = machine.poll_output() {
                if let Output::Changed { user } = output {
                    mirror.insert(user, machine.seen(mono(now), user).state);
                }
            }
            for of in 0..USERS {
                let seen = machine.seen(mono(now), user(of));
                let (state, age, lease) = model.seen(now, of);
                prop_assert_eq!((seen.state, seen.age.map(ms), ms(seen.lease)), (state, age, lease), "user {} at {}", of, now);
                if !is_stall {
                    prop_assert_eq!(mirror.get(&user(of)).copied().unwrap_or(PresenceState::Unknown), state);
                }
            }
            prop_assert!(machine.timers_are_those_of_the_devices());
        }
    }
}
