//! What the screens show, and how it follows from what the host tells: [`View::apply`]. Nothing here draws.

mod press;
mod room;

use std::collections::{BTreeMap, VecDeque};

use holler_core::engine::{LinkReason, LinkState, Notice, SendState, TalkState};
use holler_core::model::Role;
use holler_core::units::{BurstId, RoomId, UserId};
use holler_core::wire::socket::{CloseCode, FloorState};

use crate::port::{Ask, Identity, Microphone, Told, Tone};
pub use press::{Press, PressState};
pub use room::{BurstEnd, Item, RoomView, Talker, Text};

/// Faults that are shown at once; the oldest give way.
const FAULTS_MAX: usize = 3;

/// Who is signed in.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Account {
    /// Not known yet.
    #[default]
    Starting,
    /// Nobody.
    SignedOut {
        /// Why, or why the last try failed.
        reason: Option<String>,
        /// A sign-in is on its way.
        busy: bool,
    },
    /// Somebody.
    SignedIn(Identity),
}

/// How the connection is.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Link {
    /// It is being made for the first time.
    #[default]
    New,
    /// It works.
    Up,
    /// It is being made again.
    Trying,
    /// The next try comes by itself.
    Down {
        /// Why.
        reason: String,
        /// When, ms since 1970.
        retry_at: f64,
    },
    /// It will not be made again by itself.
    Ended {
        /// Why.
        reason: String,
        /// Another page of this browser has it.
        elsewhere: bool,
    },
}

/// Everything that is shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct View {
    /// Who is signed in.
    pub account: Account,
    /// The name of the workspace.
    pub workspace: String,
    /// The connection.
    pub link: Link,
    /// Whether rooms are known.
    pub loaded: bool,
    /// The rooms, in the order of their identifiers.
    pub rooms: BTreeMap<RoomId, RoomView>,
    /// What people are called.
    pub names: BTreeMap<UserId, String>,
    /// The room that is looked at.
    pub open: Option<RoomId>,
    /// The press of the button that goes on, or was the last.
    pub press: Option<Press>,
    /// The microphone.
    pub microphone: Microphone,
    /// Whether this client may sound.
    pub audible: bool,
    /// A burst of the past plays.
    pub replaying: Option<BurstId>,
    /// What went wrong and is not put away yet.
    pub faults: VecDeque<String>,
    /// The round trip to the server, ms.
    pub round_trip_ms: Option<u32>,
}

impl View {
    /// Who is signed in.
    pub fn me(&self) -> Option<UserId> {
        match &self.account {
            Account::SignedIn(identity) => Some(identity.user),
            Account::Starting | Account::SignedOut { .. } => None,
        }
    }

    /// What somebody is called.
    pub fn name(&self, user: UserId) -> String {
        self.names.get(&user).cloned().unwrap_or_else(|| "Somebody".to_owned())
    }

    /// The room that is looked at.
    pub fn room(&self) -> Option<&RoomView> {
        self.open.and_then(|open| self.rooms.get(&open))
    }

    /// The rooms by name.
    pub fn by_name(&self) -> Vec<&RoomView> {
        let mut rooms: Vec<&RoomView> = self.rooms.values().collect();
        rooms.sort_by(|a, b| a.name.to_lowercase().cmp(&b.name.to_lowercase()).then(a.id.cmp(&b.id)));
        rooms
    }

    /// Whether something on the screen changes with time alone.
    pub fn is_ticking(&self) -> bool {
        self.press.as_ref().is_some_and(|press| press.held)
            || self.room().is_some_and(|room| room.talker.is_some())
            || matches!(self.link, Link::Down { .. })
    }

    /// A room is looked at.
    pub fn look_at(&mut self, room: Option<RoomId>) {
        self.open = room;
        if let Some(room) = room.and_then(|room| self.rooms.get_mut(&room)) {
            room.unread = 0;
        }
    }

    /// The button went down in the open room. `false`: it can't be pressed.
    pub fn press(&mut self, emergency: bool) -> bool {
        let Some(room) = self.room() else { return false };
        let held = self.press.as_ref().is_some_and(|press| press.held);
        if held || room.role.is_none_or(|role| role < Role::Talker) {
            return false;
        }
        self.press = Some(Press::new(room.id, emergency));
        true
    }

    /// The button came up. `false`: it was not down.
    pub fn release(&mut self) -> bool {
        let Some(press) = self.press.as_mut().filter(|press| press.held) else { return false };
        press.held = false;
        true
    }

    /// Takes in what the host tells at `now` (ms since 1970), and gives what is to be done about it.
    pub fn apply(&mut self, now: f64, told: Told) -> Vec<Ask> {
        match told {
            Told::SignedOut { reason } => {
                let audible = self.audible;
                *self = Self { account: Account::SignedOut { reason, busy: false }, audible, ..Self::default() };
            }
            Told::SignedIn(identity) => self.account = Account::SignedIn(identity),
            Told::SignInFailed(reason) => {
                self.account = Account::SignedOut { reason: Some(reason), busy: false };
            }
            Told::Directory { workspace, rooms, people } => {
                self.workspace = workspace;
                self.loaded = true;
                self.names = people.into_iter().map(|person| (person.id, person.name)).collect();
                self.rooms.retain(|id, _| rooms.iter().any(|room| room.id == *id));
                for room in rooms {
                    self.rooms.entry(room.id).or_default().describe(&room);
                }
                if self.open.is_some_and(|open| !self.rooms.contains_key(&open)) {
                    self.open = None;
                }
            }
            Told::History { room, events } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.history(&events);
                }
            }
            Told::Notice(notice) => return self.notice(now, notice),
            Told::Microphone(microphone) => self.microphone = microphone,
            Told::Audible(audible) => self.audible = audible,
            Told::Replaying(burst) => self.replaying = burst,
            Told::Fault(detail) => self.fault(detail),
            // Not part of the view: they come too often.
            Told::Level(_) | Told::Key(_) | Told::Tick => {}
        }
        Vec::new()
    }

    /// What went wrong with a recording is said where the button is.
    fn failed(&mut self, detail: &str) {
        match (detail.strip_prefix("recording: "), self.press.as_mut()) {
            (Some(why), Some(press)) => press.fault = Some(why.to_owned()),
            _ => self.fault(format!("Something went wrong: {detail}")),
        }
    }

    fn fault(&mut self, detail: String) {
        if !self.faults.contains(&detail) {
            self.faults.push_back(detail);
        }
        while self.faults.len() > FAULTS_MAX {
            self.faults.pop_front();
        }
    }

    fn notice(&mut self, now: f64, notice: Notice) -> Vec<Ask> {
        match notice {
            Notice::Link(state) => self.link_is(now, state),
            Notice::RoundTrip(round_trip) => self.round_trip_ms = u32::try_from(round_trip.as_millis()).ok(),
            Notice::Room { room, role, .. } | Notice::Role { room, role } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.role = role;
                }
            }
            Notice::RoomRefused { room, problem } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.refused = Some(problem.detail);
                }
            }
            Notice::Event(event) => {
                let (me, open) = (self.me(), self.open);
                if let Some(room) = self.rooms.get_mut(&event.room) {
                    room.event(&event, me, open == Some(event.room));
                }
            }
            Notice::Floor { room, floor } => return self.floor(now, room, &floor),
            Notice::Emergencies { room, raised_by } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.emergencies = raised_by;
                }
            }
            Notice::Talk { room, burst, state } => return self.talk(now, room, burst, state),
            Notice::Heard { room, burst, state, .. } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.heard(burst, state);
                }
            }
            Notice::Send { room, client_id, state } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    if let SendState::TooMany = state {
                        self.fault(
                            "Too many messages wait to be sent: this one was not taken. Send it later.".to_owned(),
                        );
                    } else {
                        room.sent(client_id, state);
                    }
                }
            }
            Notice::Fault { detail } => self.failed(&detail),
            Notice::StoreFailed { detail } => self.fault(format!("This device could not keep something: {detail}")),
            Notice::HistoryGap { room, .. } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.items.push(Item::Gap);
                }
            }
            // It is being fetched: nothing a person could do.
            Notice::EventsMissing { .. } => {}
            // No screen shows people yet.
            Notice::Presence { .. }
            | Notice::PresenceRoom { .. }
            | Notice::PresenceCounts { .. }
            | Notice::PresenceFeed(_)
            | Notice::Receipts { .. }
            | Notice::Roster => {}
        }
        Vec::new()
    }

    fn link_is(&mut self, now: f64, state: LinkState) {
        self.link = match state {
            LinkState::Up { .. } => Link::Up,
            LinkState::Refreshing | LinkState::Connecting { .. } | LinkState::Authenticating => {
                if matches!(self.link, Link::New) { Link::New } else { Link::Trying }
            }
            LinkState::Waiting { reason, retry_in } => {
                Link::Down { reason: reason.to_string(), retry_at: now + retry_in.as_secs_f64() * 1_000.0 }
            }
            LinkState::Ended { reason } => {
                let elsewhere = reason == LinkReason::Closed(CloseCode::Replaced);
                Link::Ended { reason: reason.to_string(), elsewhere }
            }
        };
        if self.link != Link::Up {
            // Nobody knows who talks while nothing comes.
            for room in self.rooms.values_mut() {
                room.talker = None;
            }
        }
    }

    fn floor(&mut self, now: f64, id: RoomId, floor: &FloorState) -> Vec<Ask> {
        let mine = match &self.account {
            Account::SignedIn(identity) => Some(identity.device),
            Account::Starting | Account::SignedOut { .. } => None,
        };
        let Some(room) = self.rooms.get_mut(&id) else { return Vec::new() };
        let was_talking = room.talker.as_ref().is_some_and(|talker| !talker.own);
        room.talker = match floor {
            FloorState::Idle { .. } => None,
            FloorState::Taken { user, device, priority, header, since_ms, .. } => Some(Talker {
                user: *user,
                burst: header.burst,
                own: mine == Some(*device),
                priority: *priority,
                since: now - f64::from(u32::try_from(*since_ms).unwrap_or(u32::MAX)),
            }),
        };
        let released = was_talking && room.talker.is_none() && self.open == Some(id);
        if released { vec![Ask::Tone(Tone::Release)] } else { Vec::new() }
    }

    fn talk(&mut self, now: f64, room: RoomId, burst: BurstId, state: TalkState) -> Vec<Ask> {
        match self.press.as_mut().filter(|press| press.room == room && press.burst.is_none_or(|own| own == burst)) {
            Some(press) => press.talk(now, burst, state),
            None => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
