//! What the screens show, and how it follows from what the host tells: [`View::apply`]. Nothing here draws.

mod chosen;
mod entry;
mod notice;
mod people;
mod press;
mod room;
mod settings;
mod timeline;

use holler_core::sorted;
use std::collections::VecDeque;

use holler_core::engine::{Heard, Hearing, SpokenFigures};
use holler_core::model::{InvitesBy, PresenceState, Role, RoomKind, UserRole};
use holler_core::units::{BurstId, DeviceId, FrameMs, RoomId, UserId};
use holler_core::wire::rest::Device;

use crate::port::{Ask, Entry, Identity, Microphone, Storage, Telling, Told, Tone, Trial, Waits};
use crate::t;
pub use chosen::{Compose, InviteView, Speed};
pub use entry::{EntryView, is_login, login_of};
pub use people::{Reach, Seen, Taken, ago_since, presence_class, presence_words};
pub use press::{Press, PressState};
pub use room::{RoomView, Talker};
pub use settings::{Look, Settings, VOLUME_MAX};
pub use timeline::{Burst, BurstEnd, CHUNK, ITEMS_MAX, Item, Seen as SeenHere, Text, Timeline};

/// Faults that are shown at once; the oldest give way.
const FAULTS_MAX: usize = 3;
/// How long the emergency button must be held, ms: long enough for no accident, short enough for an emergency.
pub const EMERGENCY_HOLD_MS: f64 = 2_000.0;
/// Difference of the clocks from which on it is told, ms: what people see of times are minutes.
const CLOCK_OFF_MS: f64 = 120_000.0;
/// How often an emergency that nobody acknowledged here is heard, ms.
const ALARM_EVERY_MS: f64 = 3_000.0;

/// A moment of the host's clock in whole ms.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time after 1970")]
pub(crate) fn clock_ms(now: f64) -> u64 {
    now as u64
}

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

/// What is shown of the room that is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Panel {
    /// What was said and written.
    #[default]
    Timeline,
    /// Who is in it.
    People,
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
    pub rooms: sorted::Map<RoomId, RoomView>,
    /// What people are called.
    pub names: sorted::Map<UserId, String>,
    /// The room that is looked at.
    pub open: Option<RoomId>,
    /// The press of the button that goes on, or was the last.
    pub press: Option<Press>,
    /// The microphone.
    pub microphone: Microphone,
    /// Whether this client may sound.
    pub audible: bool,
    /// It may not, since a moment at which nobody looked: the browser stops sound in the background.
    pub silenced: bool,
    /// A burst of the past plays.
    pub replaying: Option<BurstId>,
    /// What went wrong and is not put away yet.
    pub faults: VecDeque<String>,
    /// The round trip to the server, ms.
    pub round_trip_ms: Option<u32>,
    /// The link that led here, while it is not done with.
    pub entry: Option<EntryView>,
    /// What is shown of the room.
    pub panel: Panel,
    /// What is known of people.
    pub presence: sorted::Map<UserId, Seen>,
    /// What the person said of themself.
    pub own: Option<PresenceState>,
    /// The screens can't be seen.
    pub hidden: bool,
    /// A press of the button goes on until the next one.
    pub latch: bool,
    /// Since when the emergency button is held, ms since 1970.
    pub hold: Option<f64>,
    /// Emergencies that were acknowledged here.
    pub acknowledged: sorted::Set<(RoomId, UserId)>,
    /// What the person set on this device.
    pub settings: Settings,
    /// The settings are shown.
    pub settings_open: bool,
    /// The microphones: the host's name and people's name for each.
    pub microphones: Vec<(String, String)>,
    /// Where one is signed in; `None`: not asked yet.
    pub devices: Option<Vec<Device>>,
    /// The person's other device that live voice plays on; `None`: it plays here.
    pub plays_on: Option<DeviceId>,
    /// How fast bursts of the past are played.
    pub speed: Speed,
    /// Where the burst that was stopped last goes on, ms.
    pub stopped: Option<(BurstId, u32)>,
    /// What the line to write in is for, beside a new text.
    pub compose: Option<Compose>,
    /// The person manages the workspace.
    pub admin: bool,
    /// Who may invite, as the policy has it; `None`: not known yet.
    pub invites_by: Option<InvitesBy>,
    /// The invite that is being made or shown.
    pub invite: Option<InviteView>,
    /// The person whose direct room is being opened.
    pub opening: Option<UserId>,
    /// Whether this device is told of what it missed.
    pub telling: Telling,
    /// The room that is to be shown once it is known.
    pub wanted: Option<RoomId>,
    /// Bursts that are to be played one after the other.
    pub queue: VecDeque<(RoomId, BurstId, FrameMs)>,
    /// What was counted of the burst that was spoken last, and of the one that was heard last, and the loss of datagrams both ways.
    pub quality: (Option<SpokenFigures>, Option<Heard>, Option<(u16, u16)>),
    /// The figures are shown.
    pub quality_open: bool,
    /// What is not delivered yet, in its order.
    pub waits: Vec<Waits>,
    /// The queue is shown.
    pub queue_open: bool,
    /// How things are kept over a restart.
    pub storage: Storage,
    /// How the trial of the microphone goes.
    pub trial: Trial,
    /// The server has another version of this client.
    pub outdated: bool,
    /// By how much this device's clock is ahead of the server's, ms, where that is too much.
    pub clock_off: Option<f64>,
    /// When the alarm sounds next, ms since 1970.
    alarm_at: f64,
}

impl View {
    /// Who is signed in.
    pub fn me(&self) -> Option<UserId> {
        match &self.account {
            Account::SignedIn(identity) => Some(identity.user),
            Account::Starting | Account::SignedOut { .. } => None,
        }
    }

    /// As which device.
    pub fn device(&self) -> Option<DeviceId> {
        match &self.account {
            Account::SignedIn(identity) => Some(identity.device),
            Account::Starting | Account::SignedOut { .. } => None,
        }
    }

    /// Plays what was missed in the open room, in order.
    pub fn play_missed(&mut self) -> Option<Ask> {
        let room = self.room()?;
        let id = room.id;
        self.queue = room.timeline.missed().map(|(burst, frame_ms)| (id, burst, frame_ms)).collect();
        self.next()
    }

    /// The next of what is to be played.
    fn next(&self) -> Option<Ask> {
        self.queue.front().map(|(room, burst, frame_ms)| self.replay(*room, *burst, *frame_ms, 0))
    }

    /// What to ask for to hear a burst from there on.
    pub fn replay(&self, room: RoomId, burst: BurstId, frame_ms: FrameMs, from_ms: u32) -> Ask {
        Ask::Replay { room, burst, frame_ms, from_ms, speed: self.speed.percent() }
    }

    /// Whether the person may invite into the room that is looked at.
    pub fn may_invite(&self) -> bool {
        let Some(room) = self.room().filter(|room| room.kind != RoomKind::Direct && !room.gone) else { return false };
        let least = match self.invites_by {
            Some(InvitesBy::RoomAdmins) => Some(Role::Admin),
            Some(InvitesBy::Dispatchers) => Some(Role::Dispatcher),
            Some(InvitesBy::Admins) | None => None,
        };
        self.admin || least.is_some_and(|least| room.role.is_some_and(|role| role >= least))
    }

    /// The person says how they are: what is heard follows from it.
    pub fn say(&mut self, state: PresenceState) -> [Ask; 2] {
        self.own = Some(state);
        self.settings.silence = Some(state).filter(|state| settings::is_silence(*state));
        let hearing = match state {
            PresenceState::Busy => Hearing::Nothing,
            PresenceState::Solo => Hearing::Primary,
            PresenceState::Available | PresenceState::Away | PresenceState::Offline | PresenceState::Unknown => {
                Hearing::All
            }
        };
        [Ask::Presence(state), Ask::Hear(hearing)]
    }

    /// Whether what happens in a room may be heard.
    pub fn is_silent(&self, room: RoomId) -> bool {
        self.settings.muted.contains(&room)
            || match self.own {
                Some(PresenceState::Busy) => true,
                Some(PresenceState::Solo) => self.open != Some(room),
                Some(
                    PresenceState::Available | PresenceState::Away | PresenceState::Offline | PresenceState::Unknown,
                )
                | None => false,
            }
    }

    /// What somebody is called.
    pub fn name(&self, user: UserId) -> String {
        self.names.get(&user).cloned().unwrap_or_else(|| t!("somebody"))
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

    /// Emergencies of others that were not acknowledged here.
    pub fn alarms(&self) -> impl Iterator<Item = (RoomId, UserId)> {
        let me = self.me();
        let all = self.rooms.values().flat_map(|room| room.emergencies.iter().map(|user| (room.id, *user)));
        all.filter(move |one| me != Some(one.1) && !self.acknowledged.contains(one))
    }

    /// What is not delivered for want of a connection or of a word, and not just being spoken or on its way.
    pub fn waiting(&self) -> impl Iterator<Item = &Waits> {
        let away = self.link != Link::Up;
        self.waits.iter().filter(move |waits| away || waits.held)
    }

    /// Whether something on the screen changes with time alone.
    pub fn is_ticking(&self) -> bool {
        self.press.as_ref().is_some_and(|press| press.held)
            || self.room().is_some_and(|room| room.talker.is_some())
            || matches!(self.link, Link::Down { .. })
            || self.hold.is_some()
            || self.panel == Panel::People && self.open.is_some()
            || self.alarms().next().is_some()
    }

    /// Whether [`Self::tick`] has something to do.
    pub fn is_due(&self, now: f64) -> bool {
        self.hold.is_some_and(|since| now >= since + EMERGENCY_HOLD_MS)
            || self.press.as_ref().is_some_and(|press| press.is_over(now))
            || now >= self.alarm_at && self.alarms().next().is_some()
    }

    /// What time alone brings: an emergency that was held long enough, the end of its open microphone, an alarm.
    pub fn tick(&mut self, now: f64) -> Vec<Ask> {
        let mut asks = Vec::new();
        if self.hold.is_some_and(|since| now >= since + EMERGENCY_HOLD_MS) {
            self.hold = None;
            // A press that goes on is ended first: an emergency begins anew, with its own weight.
            if self.end() {
                asks.push(Ask::KeyUp);
            }
            if let Some(room) = self.open.filter(|_| self.press(true, false)) {
                asks.push(Ask::KeyDown { room, emergency: true });
            }
        }
        if self.press.as_ref().is_some_and(|press| press.is_over(now)) && self.end() {
            asks.push(Ask::KeyUp);
        }
        if now >= self.alarm_at && self.alarms().next().is_some() {
            self.alarm_at = now + ALARM_EVERY_MS;
            asks.push(Ask::Tone(Tone::Alarm));
        }
        asks
    }

    /// A room is looked at.
    pub fn look_at(&mut self, room: Option<RoomId>) -> Vec<Ask> {
        let mut asks = Vec::new();
        if let Some(left) = self.open.filter(|open| room != Some(*open)) {
            asks.extend(self.leave());
            asks.push(Ask::Close(left));
            // What is gone was kept only to be told of.
            if self.rooms.get(&left).is_some_and(|room| room.gone) {
                self.rooms.remove(&left);
            }
            (self.compose, self.invite, self.opening) = (None, None, None);
        }
        self.open = room;
        self.panel = Panel::Timeline;
        if room.is_some() {
            // Whoever chooses a room wants to see it.
            (self.settings_open, self.quality_open, self.queue_open) = (false, false, false);
        }
        if let Some(room) = room.and_then(|room| self.rooms.get_mut(&room)) {
            room.unread = 0;
            asks.push(Ask::Open(room.id));
        }
        asks.extend(self.saw());
        asks
    }

    /// The button is out of sight: nobody talks on without seeing it. An emergency goes on.
    pub fn leave(&mut self) -> Option<Ask> {
        let ends = self.press.as_ref().is_some_and(|press| !press.emergency) && self.end();
        ends.then_some(Ask::KeyUp)
    }

    /// What was seen and not told yet: everything of the room that is looked at, while the screens can be seen.
    fn saw(&mut self) -> Option<Ask> {
        if self.hidden {
            return None;
        }
        let room = self.rooms.get_mut(&self.open?)?;
        let cursor = room.last.filter(|last| last.seq.0 > 0 && room.read < Some(last.seq))?;
        room.read = Some(cursor.seq);
        Some(Ask::Read { room: room.id, cursor })
    }

    /// The button went down in the open room. `false`: it can't be pressed.
    /// `latched`: it goes on without a finger.
    pub fn press(&mut self, emergency: bool, latched: bool) -> bool {
        let Some(room) = self.room() else { return false };
        let held = self.press.as_ref().is_some_and(|press| press.held);
        if held || room.gone || room.role.is_none_or(|role| role < Role::Talker) {
            return false;
        }
        let mut press = Press::new(room.id, emergency);
        press.latched = emergency || latched || self.latch;
        self.press = Some(press);
        true
    }

    /// The button came up. `false`: it was not down, or goes on without a finger.
    pub fn release(&mut self) -> bool {
        self.hold = None;
        if self.press.as_ref().is_some_and(|press| press.latched) { false } else { self.end() }
    }

    /// The press ends, whatever holds it. `false`: none went on.
    pub fn end(&mut self) -> bool {
        let Some(press) = self.press.as_mut().filter(|press| press.held) else { return false };
        press.held = false;
        true
    }

    /// Takes in what the host tells at `now` (ms since 1970), and gives what is to be done about it.
    pub fn apply(&mut self, now: f64, told: Told) -> Vec<Ask> {
        match told {
            Told::SignedOut { reason } => {
                let Self {
                    audible, hidden, entry, settings, microphones, outdated, clock_off, telling, storage, ..
                } = core::mem::take(self);
                let account = Account::SignedOut { reason, busy: false };
                *self = Self {
                    account,
                    audible,
                    hidden,
                    entry,
                    settings,
                    microphones,
                    outdated,
                    telling,
                    clock_off,
                    storage,
                    ..Self::default()
                };
            }
            Told::Evicted => {
                self.account = Account::SignedOut { reason: Some(t!("storage-evicted")), busy: false };
            }
            Told::SignedIn(identity) => {
                self.account = Account::SignedIn(identity);
                // Somebody who was signed in before may still be reading the invite.
                let joined = self.entry.take_if(|entry| entry.busy).map(|_| Ask::LeaveLink);
                let muted = self.settings.muted.iter().map(|room| Ask::Mute { room: *room, muted: true });
                let mut asks: Vec<Ask> = joined.into_iter().chain(muted).collect();
                if let Some(silence) = self.settings.silence {
                    asks.extend(self.say(silence));
                }
                return asks;
            }
            Told::Opened(link) => {
                let look = match &link {
                    Entry::Invite { token } => Some(Ask::LookInvite { token: token.clone() }),
                    Entry::Reset { .. } => None,
                };
                self.entry = Some(EntryView::new(link));
                return look.into_iter().collect();
            }
            Told::Show(room) if self.rooms.contains_key(&room) => return self.look_at(Some(room)),
            Told::Show(room) => self.wanted = Some(room),
            Told::Offer(offer) => {
                if let Some(entry) = &mut self.entry {
                    entry.offer = Some(offer);
                }
            }
            Told::EntryFailed(reason) => {
                if let Some(entry) = &mut self.entry {
                    (entry.busy, entry.reason) = (false, Some(reason));
                }
            }
            Told::SignInFailed(reason) => {
                self.account = Account::SignedOut { reason: Some(reason), busy: false };
            }
            Told::Directory { workspace, rooms, people, invites_by } => {
                self.workspace = workspace;
                self.loaded = true;
                self.invites_by = Some(invites_by);
                let me = self.me();
                self.admin = people.iter().any(|person| me == Some(person.id) && person.role == UserRole::Admin);
                // Who is seen no more still has a name where they said something.
                self.names.extend(people.into_iter().map(|person| (person.id, person.name)));
                let open = self.open;
                self.rooms.retain(|id, room| {
                    room.gone = !rooms.iter().any(|listed| listed.id == *id);
                    !room.gone || open == Some(*id)
                });
                for room in rooms {
                    self.rooms.entry(room.id).or_default().describe(&room);
                }
                if self.room().is_some_and(|room| room.gone) {
                    return self.leave().into_iter().collect();
                }
                if let Some(room) = self.wanted.take().filter(|room| self.rooms.contains_key(room)) {
                    return self.look_at(Some(room));
                }
            }
            Told::Members { room, joined, left, live } => {
                let me = self.me();
                let at = live.then_some(clock_ms(now));
                if let Some(room) = self.rooms.get_mut(&room) {
                    let came = joined.into_iter().map(|user| (user, timeline::Seen::Joined));
                    let went = left.into_iter().map(|user| (user, timeline::Seen::Left));
                    for (user, what) in came.chain(went).filter(|(user, _)| me != Some(*user)) {
                        room.timeline.saw(user, at, what);
                    }
                }
            }
            Told::Direct(answer) => {
                let wanted = self.opening.take().is_some();
                match answer {
                    Ok(room) if wanted && self.rooms.contains_key(&room) => return self.look_at(Some(room)),
                    Ok(_) => {}
                    Err(detail) => self.fault(detail),
                }
            }
            Told::Invited(answer) => {
                if let Some(invite) = &mut self.invite {
                    (invite.busy, invite.made) = (false, Some(answer));
                }
            }
            Told::Wave { burst, bars, .. } => {
                self.rooms.values_mut().for_each(|room| room.timeline.wave(burst, bars.clone()));
            }
            Told::History { room, events } => {
                let (me, open) = (self.me(), self.open == Some(room));
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.history(&events, me, open);
                }
                return self.saw().into_iter().collect();
            }
            Told::Notice(notice) => {
                let mut asks = self.notice(now, notice);
                asks.extend(self.saw());
                return asks;
            }
            Told::Visible(visible) => {
                self.hidden = !visible;
                return self.saw().into_iter().collect();
            }
            Told::Microphone(microphone) => self.microphone = microphone,
            Told::Audible(audible) => {
                self.silenced = !audible && (self.silenced || self.audible && self.hidden);
                self.audible = audible;
            }
            Told::Replaying(burst) => {
                self.replaying = burst;
                match burst {
                    Some(burst) => {
                        if self.queue.front().is_some_and(|(_, first, _)| *first == burst) {
                            self.queue.pop_front();
                        } else {
                            // Another one was chosen: that is what is wanted.
                            self.queue.clear();
                        }
                        self.stopped = None;
                        self.rooms.values_mut().for_each(|room| room.timeline.played(burst, false));
                    }
                    None => return self.next().into_iter().collect(),
                }
            }
            Told::Trial(trial) => self.trial = trial,
            Told::Quality { spoken, heard, path } => self.quality = (spoken, heard, path),
            Told::Queue(waits) => self.waits = waits,
            Told::Storage(storage) => self.storage = storage,
            Told::Outdated => self.outdated = true,
            Told::Telling(telling) => self.telling = telling,
            Told::ClockOff(off) => self.clock_off = Some(off).filter(|off| off.abs() >= CLOCK_OFF_MS),
            Told::Heard(burst) => self.rooms.values_mut().for_each(|room| room.timeline.played(burst, true)),
            Told::Settings(settings) => self.settings = settings,
            Told::Microphones(microphones) => self.microphones = microphones,
            Told::Devices(devices) => self.devices = Some(devices),
            Told::Fault(detail) => {
                self.queue.clear();
                self.fault(detail);
            }
            // Not part of the view: they come too often.
            Told::Level(_)
            | Told::Position(_)
            | Told::Words { .. }
            | Told::Key(_)
            | Told::Clicked
            | Told::Media(_)
            | Told::Gone
            | Told::Tick => {}
        }
        Vec::new()
    }

    fn fault(&mut self, detail: String) {
        if !self.faults.contains(&detail) {
            self.faults.push_back(detail);
        }
        while self.faults.len() > FAULTS_MAX {
            self.faults.pop_front();
        }
    }
}

#[cfg(test)]
mod tests;
