//! Which of one person's devices plays live voice aloud: the one that was used last.
//!
//! Two loudspeakers in one room, a moment apart, are an echo. So a client that plays aloud says so, and how long ago somebody used it; of a
//! person's devices the one that was used last plays, and all are told which that is. What nobody may ever get is two silent devices.
//! Hence:
//!
//! - Only a device that said that it plays aloud can be the one, and only those are told. All others are as before.
//! - A device whose sign of life is late by [`PLAYING_SLACK`] is passed over at once, though its socket may be found dead only much
//!   later; when something comes from it again, it counts again.
//! - A client that was told nothing on its present connection plays.
//! - Until it is passed over, a device that nobody can reach is relied on all the same. So with the change is told for how long it had
//!   been silent: what was said meanwhile, perhaps nobody heard.
//!
//! The machine's form is that of all. Signs of life need not be handed in as they come: the shell keeps the time of the last one, and
//! hands in those that [`Playing::asks`] names, before what it has to say.

#[cfg(test)]
mod tests;

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::units::{DeviceId, Mono, UserId};
use crate::wire::limits::{HEARTBEAT_SLACK, PLAYING_SLACK};

/// How often it is looked whether something came again from a device that is late.
const LATE_EVERY: Duration = Duration::from_secs(1);

/// What happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A device says that it plays aloud.
    Here {
        /// Whose.
        user: UserId,
        /// The device.
        device: DeviceId,
        /// Its socket: a newer one of the same device, of a higher number, replaces it.
        connection: u64,
        /// How long ago somebody used it.
        used_ago: Duration,
        /// For how long this counts as a sign of life: what its socket may be silent for.
        lease: Duration,
    },
    /// Something came from a device at `at`, which may be a while ago.
    Heard {
        /// Whose.
        user: UserId,
        /// Its socket.
        connection: u64,
        /// When.
        at: Mono,
        /// How long the socket may be silent, from `at`.
        lease: Duration,
    },
    /// A device plays no longer aloud, or its socket ended.
    Gone {
        /// Whose.
        user: UserId,
        /// Its socket.
        connection: u64,
    },
    /// The time of [`Playing::poll_timeout`] has come.
    Timeout,
}

/// Tell this socket which of its person's devices plays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tell {
    /// The socket.
    pub connection: u64,
    /// The device that plays.
    pub device: DeviceId,
    /// How many of the person's devices would.
    pub among: u32,
    /// To the device that plays: how long ago the last sign of life was of the one that played before it, while that did. It is told
    /// with each message: one may be lost with its socket, or give way to the next.
    pub last_sign: Option<Duration>,
}

#[derive(Clone, Copy, Debug)]
struct Claim {
    device: DeviceId,
    connection: u64,
    /// When it was used, µs by the machine's clock; before its beginning: below zero.
    used_at: i64,
    heard: Mono,
    lease: Duration,
    told: Option<(DeviceId, u32)>,
}

impl Claim {
    /// From when on nobody relies on it. Its socket is given [`HEARTBEAT_SLACK`]; ears wait less.
    fn late_at(&self) -> Mono {
        self.heard + (self.lease + PLAYING_SLACK).saturating_sub(HEARTBEAT_SLACK)
    }
}

#[derive(Debug, Default)]
struct Person {
    claims: Vec<Claim>,
    /// The device that plays, and its last sign of life.
    plays: Option<(DeviceId, Mono)>,
    /// The last sign of life of the one that played before it.
    before: Option<Mono>,
    timer: Option<Mono>,
}

impl Person {
    /// Keeps the last sign of life of the one that plays: it may go.
    fn note_heard(&mut self) {
        if let Some((plays, heard)) = &mut self.plays {
            let claims = self.claims.iter().filter(|claim| claim.device == *plays);
            *heard = claims.map(|claim| claim.heard).fold(*heard, Mono::max);
        }
    }
}

/// Which device of each person plays. It holds an entry for each socket that said it plays aloud.
#[derive(Debug, Default)]
pub struct Playing {
    people: BTreeMap<UserId, Person>,
    timers: BTreeSet<(Mono, UserId)>,
    out: VecDeque<Tell>,
}

impl Playing {
    /// The sockets of which the last sign of life is needed now: all of this person's, or of those whose time has come.
    pub fn asks(&self, now: Mono, user: Option<UserId>) -> Vec<(UserId, u64)> {
        let due = self.timers.iter().take_while(|(at, _)| *at <= now).map(|(_, user)| *user);
        let users: BTreeSet<UserId> = due.chain(user).collect();
        let claims = |user: UserId| self.people.get(&user).into_iter().flat_map(|person| &person.claims);
        users.into_iter().flat_map(|user| claims(user).map(move |claim| (user, claim.connection))).collect()
    }

    /// Takes in what happened. `now` never decreases.
    pub fn handle(&mut self, now: Mono, input: Input) {
        match input {
            Input::Here { user, device, connection, used_ago, lease } => {
                let micros = |at: u64| i64::try_from(at).unwrap_or(i64::MAX);
                let ago = u64::try_from(used_ago.as_micros()).unwrap_or(u64::MAX);
                let used_at = micros(now.0).saturating_sub(micros(ago));
                let claims = &mut self.people.entry(user).or_default().claims;
                if claims.iter().any(|claim| claim.device == device && claim.connection > connection) {
                    // What was still on its way on the socket that the newer one replaced.
                    return;
                }
                let told = claims.iter().find(|claim| claim.connection == connection).and_then(|claim| claim.told);
                claims.retain(|claim| claim.device != device);
                claims.push(Claim { device, connection, used_at, heard: now, lease, told });
                self.settle(now, user);
            }
            Input::Heard { user, connection, at, lease } => {
                let claims = self.people.get_mut(&user).into_iter().flat_map(|person| &mut person.claims);
                for claim in claims.filter(|claim| claim.connection == connection) {
                    (claim.heard, claim.lease) = (claim.heard.max(at), lease);
                }
            }
            Input::Gone { user, connection } => {
                if let Some(person) = self.people.get_mut(&user) {
                    person.note_heard();
                    person.claims.retain(|claim| claim.connection != connection);
                    self.settle(now, user);
                }
            }
            Input::Timeout => {
                let due = self.timers.iter().take_while(|(at, _)| *at <= now).map(|(_, user)| *user);
                for user in due.collect::<Vec<_>>() {
                    self.settle(now, user);
                }
            }
        }
    }

    /// What must be told; `None` when everything was.
    pub fn poll_output(&mut self) -> Option<Tell> {
        self.out.pop_front()
    }

    /// When to hand in [`Input::Timeout`], and before it what [`Playing::asks`] names.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// Says which device plays, and when that must be looked at again.
    fn settle(&mut self, now: Mono, user: UserId) {
        let Some(person) = self.people.get_mut(&user) else { return };
        if let Some(at) = person.timer.take() {
            self.timers.remove(&(at, user));
        }
        // Of those that are all late it does not matter: nobody hears of it before one of them is back.
        let last = |claim: &&Claim| (claim.late_at() > now, claim.used_at, claim.connection);
        let Some(plays) = person.claims.iter().max_by_key(last).map(|claim| claim.device) else {
            self.people.remove(&user);
            return;
        };
        person.note_heard();
        if person.plays.is_none_or(|(device, _)| device != plays) {
            person.before = person.plays.map(|(_, heard)| heard);
            person.plays = Some((plays, Mono::default()));
            person.note_heard();
        }
        let among = u32::try_from(person.claims.len()).unwrap_or(u32::MAX);
        for claim in &mut person.claims {
            if claim.told != Some((plays, among)) {
                claim.told = Some((plays, among));
                let last_sign = person.before.filter(|_| claim.device == plays).map(|at| now.since(at));
                self.out.push_back(Tell { connection: claim.connection, device: plays, among, last_sign });
            }
        }
        // Alone it is relied on by nobody.
        if among > 1 {
            let next = |claim: &Claim| if claim.late_at() > now { claim.late_at() } else { now + LATE_EVERY };
            person.timer = person.claims.iter().map(next).min();
            self.timers.extend(person.timer.map(|at| (at, user)));
        }
    }
}
