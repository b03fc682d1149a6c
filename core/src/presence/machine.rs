//! The machine: devices under leases, merged into people.

use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{Ending, Input, Output, Seen};
use crate::model::PresenceState;
use crate::units::{DeviceId, Mono, UserId};
use crate::wire::limits::PRESENCE_GRACE;
use crate::wire::presence::PresenceCounts;

/// A device that has, or just had, a socket.
#[derive(Clone, Debug)]
struct Device {
    connection: u64,
    state: PresenceState,
    heard: Mono,
    lease: Duration,
    /// Its socket ended then, in this way; it is given the grace.
    closed: Option<(Mono, Ending)>,
}

impl Device {
    /// Until when its state counts.
    fn until(&self) -> Mono {
        let lease = self.heard + self.lease;
        self.closed.map_or(lease, |(at, _)| lease.min(at + PRESENCE_GRACE))
    }

    /// What it counts as from then on.
    fn gone(&self) -> Gone {
        match self.closed {
            Some((at, Ending::Closed | Ending::SignedOut)) => Gone { offline: true, at, before: Duration::ZERO },
            Some((_, Ending::Silent)) | None => Gone { offline: false, at: self.heard, before: Duration::ZERO },
        }
    }
}

/// How the device that went last did so.
#[derive(Clone, Copy, Debug)]
struct Gone {
    offline: bool,
    at: Mono,
    /// How long before `at`: for what happened before this process's clock began.
    before: Duration,
}

impl Gone {
    fn age(&self, now: Mono) -> Duration {
        now.since(self.at) + self.before
    }

    /// The later of two; of two at the same time the one that claims less.
    fn later(self, other: Self, now: Mono) -> Self {
        match self.age(now).cmp(&other.age(now)) {
            core::cmp::Ordering::Less => self,
            core::cmp::Ordering::Greater => other,
            core::cmp::Ordering::Equal => Self { offline: self.offline && other.offline, ..self },
        }
    }
}

#[derive(Clone, Debug, Default)]
struct Person {
    devices: BTreeMap<DeviceId, Device>,
    gone: Option<Gone>,
    /// What was last given out as changed; `None`: nothing yet.
    told: Option<PresenceState>,
}

impl Person {
    fn seen(&self, now: Mono) -> Seen {
        let live = self.devices.values().filter(|device| device.until() > now);
        if let Some(state) = live.clone().map(|device| device.state).max() {
            let same = live.filter(|device| device.state == state);
            let heard = same.clone().map(|device| device.heard).max();
            let until = same.map(Device::until).max();
            return Seen {
                state,
                age: heard.map(|heard| now.since(heard)),
                lease: until.map(|until| until.since(now)).unwrap_or_default(),
            };
        }
        // Also those whose timers have not run yet.
        let gone = self.devices.values().map(Device::gone).chain(self.gone).reduce(|a, b| a.later(b, now));
        let state = if gone.is_some_and(|gone| gone.offline) { PresenceState::Offline } else { PresenceState::Unknown };
        Seen { state, age: gone.map(|gone| gone.age(now)), lease: Duration::ZERO }
    }
}

/// Who is here. See the [module](super) for how it decides.
///
/// It holds one entry a device with a socket and one a person who ever had one; who is no longer in the workspace is taken out with
/// [`Input::Removed`].
#[derive(Clone, Debug, Default)]
pub struct Presence {
    people: BTreeMap<UserId, Person>,
    owners: BTreeMap<DeviceId, UserId>,
    /// When each device's state stops counting.
    timers: BTreeSet<(Mono, DeviceId)>,
    out: VecDeque<Output>,
}

impl Presence {
    /// Takes in what happened. `now` never decreases.
    pub fn handle(&mut self, now: Mono, input: Input) {
        // What has run out has run out, whatever comes now; only a sign of life from before then may still be on its way.
        if !matches!(input, Input::Heard { .. }) {
            self.expire(now);
        }
        match input {
            Input::Opened { user, device, connection, state, lease } => {
                self.opened(now, user, device, connection, state, lease);
            }
            Input::Set { device, connection, state } => {
                if state == PresenceState::Unknown {
                    return;
                }
                self.change(now, device, connection, |device| device.state = state);
            }
            Input::Heard { device, connection, at, lease } => {
                self.change(now, device, connection, |device| {
                    // Also where its lease ran out a moment ago and nobody has noticed: then the sign came first.
                    if device.closed.is_none() && at >= device.heard {
                        (device.heard, device.lease) = (at.min(now), lease);
                    }
                });
            }
            Input::Closed { device, connection, ending } => {
                self.change(now, device, connection, |device| {
                    device.closed.get_or_insert((now, ending));
                    if ending == Ending::SignedOut {
                        // No grace: it does not come back.
                        (device.heard, device.lease) = (now, Duration::ZERO);
                        device.closed = Some((now, ending));
                    }
                });
                self.expire(now);
            }
            Input::Restored { user, offline, age } => {
                let person = self.people.entry(user).or_default();
                let restored = Gone { offline, at: now, before: age };
                person.gone = Some(person.gone.map_or(restored, |gone| gone.later(restored, now)));
                self.tell(now, user);
            }
            Input::Removed { user } => {
                for (id, device) in self.people.remove(&user).unwrap_or_default().devices {
                    self.owners.remove(&id);
                    self.timers.remove(&(device.until(), id));
                }
            }
            Input::Timeout => {}
        }
    }

    /// What must be done; `None` when everything was.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to hand in [`Input::Timeout`].
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.timers.first().map(|(at, _)| *at)
    }

    /// The devices whose states stop counting by `now` unless a sign of life came from them, and their sockets.
    pub fn due(&self, now: Mono) -> impl Iterator<Item = (DeviceId, u64)> {
        let due = self.timers.iter().take_while(move |(at, _)| *at <= now);
        due.filter_map(|(_, id)| Some((*id, self.device(*id)?.connection)))
    }

    /// A person's devices with a socket.
    pub fn devices(&self, user: UserId) -> impl Iterator<Item = (DeviceId, u64)> {
        let devices = self.people.get(&user).into_iter().flat_map(|person| &person.devices);
        devices.map(|(id, device)| (*id, device.connection))
    }

    /// Everybody of whom something is known.
    pub fn people(&self) -> impl Iterator<Item = UserId> {
        self.people.keys().copied()
    }

    /// What can be said of a person at `now`.
    pub fn seen(&self, now: Mono, user: UserId) -> Seen {
        let unheard = Seen { state: PresenceState::Unknown, age: None, lease: Duration::ZERO };
        self.people.get(&user).map_or(unheard, |person| person.seen(now))
    }

    /// How many of `people` are in which state.
    pub fn counts(&self, now: Mono, people: impl IntoIterator<Item = UserId>) -> PresenceCounts {
        let mut counts = PresenceCounts::default();
        for user in people {
            counts.add(self.seen(now, user).state);
        }
        counts
    }

    /// One timer a device, at the end of its state.
    #[cfg(test)]
    pub(super) fn timers_are_those_of_the_devices(&self) -> bool {
        let devices = self.people.values().flat_map(|person| &person.devices);
        let expected: BTreeSet<_> = devices.map(|(id, device)| (device.until(), *id)).collect();
        expected == self.timers && self.owners.len() == expected.len()
    }

    fn device(&self, device: DeviceId) -> Option<&Device> {
        self.people.get(self.owners.get(&device)?)?.devices.get(&device)
    }

    fn opened(
        &mut self,
        now: Mono,
        user: UserId,
        id: DeviceId,
        connection: u64,
        state: Option<PresenceState>,
        lease: Duration,
    ) {
        if let Some(owner) = self.owners.get(&id).copied().filter(|owner| *owner != user) {
            // A device has one person for good; should that ever be otherwise, the newer word counts.
            self.drop_device(owner, id);
            self.tell(now, owner);
        }
        let person = self.people.entry(user).or_default();
        let before = person.devices.get(&id);
        if before.is_some_and(|before| before.connection > connection) {
            return;
        }
        let said = state.filter(|state| *state != PresenceState::Unknown);
        let state = said.or(before.map(|before| before.state)).unwrap_or(PresenceState::Available);
        if let Some(before) = before {
            self.timers.remove(&(before.until(), id));
        }
        let is_news = before.is_none_or(|before| before.state != state);
        let device = Device { connection, state, heard: now, lease, closed: None };
        self.timers.insert((device.until(), id));
        person.devices.insert(id, device);
        self.owners.insert(id, user);
        if is_news {
            self.out.push_back(Output::Record { user, device: id, state, at: now });
        }
        self.expire(now);
        self.tell(now, user);
    }

    fn change(&mut self, now: Mono, id: DeviceId, connection: u64, change: impl FnOnce(&mut Device)) {
        let Some(user) = self.owners.get(&id).copied() else { return };
        let Some(device) = self.people.get_mut(&user).and_then(|person| person.devices.get_mut(&id)) else { return };
        if device.connection != connection {
            return;
        }
        let (until, state) = (device.until(), device.state);
        change(device);
        if device.until() != until {
            self.timers.remove(&(until, id));
            self.timers.insert((device.until(), id));
        }
        if device.state != state {
            self.out.push_back(Output::Record { user, device: id, state: device.state, at: now });
        }
        self.tell(now, user);
    }

    /// Takes out the devices whose state no longer counts.
    fn expire(&mut self, now: Mono) {
        while let Some((_, id)) = self.timers.first().copied().filter(|(at, _)| *at <= now) {
            self.timers.pop_first();
            let Some(user) = self.owners.get(&id).copied() else { continue };
            if let Some(device) = self.drop_device(user, id) {
                let gone = device.gone();
                if let Some(person) = self.people.get_mut(&user) {
                    person.gone = Some(person.gone.map_or(gone, |before| gone.later(before, now)));
                }
                let state = if gone.offline { PresenceState::Offline } else { PresenceState::Unknown };
                self.out.push_back(Output::Record { user, device: id, state, at: gone.at });
            }
            self.tell(now, user);
        }
    }

    fn drop_device(&mut self, user: UserId, id: DeviceId) -> Option<Device> {
        self.owners.remove(&id);
        let device = self.people.get_mut(&user)?.devices.remove(&id)?;
        self.timers.remove(&(device.until(), id));
        Some(device)
    }

    /// Gives out a person's state if it is another than the one given out last.
    fn tell(&mut self, now: Mono, user: UserId) {
        let Some(person) = self.people.get_mut(&user) else { return };
        let state = person.seen(now).state;
        if person.told != Some(state) {
            person.told = Some(state);
            self.out.push_back(Output::Changed { user });
        }
    }
}
