//! What the engine tells, and what of it is shown.

use holler_core::engine::{HeardState, LinkReason, LinkState, Notice, SendState, TalkState};
use holler_core::model::Priority;
use holler_core::units::{BurstId, FrameMs, RoomId, Seq, UserId};
use holler_core::wire::socket::{CloseCode, FloorState};

use super::{Account, Burst, BurstEnd, Link, Reach, Seen, SeenHere, Talker, View, clock_ms};
use crate::port::{Ask, Tone};
use crate::{t, words};

impl View {
    pub(super) fn notice(&mut self, now: f64, notice: Notice) -> Vec<Ask> {
        match notice {
            Notice::Link(state) => self.link_is(now, state),
            Notice::RoundTrip(round_trip) => self.round_trip_ms = u32::try_from(round_trip.as_millis()).ok(),
            Notice::Room { room, role, head, first_seq } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.role = role;
                    room.is_at(head);
                    room.first = Some(first_seq);
                }
            }
            Notice::Role { room, role } => {
                let (me, at) = (self.me(), Some(clock_ms(now)));
                if let Some(room) = self.rooms.get_mut(&room) {
                    // The directory says it too, a little later: that they are no member any more.
                    room.gone = role.is_none();
                    if let (Some(me), Some(role)) = (me, role.filter(|role| room.role != Some(*role))) {
                        room.timeline.saw(me, at, SeenHere::Role(role));
                    }
                    room.role = role;
                }
                if role.is_none() && self.open == Some(room) {
                    return self.leave().into_iter().collect();
                }
            }
            Notice::RoomRefused { room, problem } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.refused = Some(words::problem(&problem.kind, &problem.detail));
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
                // One that is raised again must be acknowledged again.
                self.acknowledged.retain(|(place, user)| *place != room || raised_by.contains(user));
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.emergencies = raised_by;
                }
            }
            Notice::Talk { room, burst, state } => return self.talk(now, room, burst, state),
            Notice::Heard { room, burst, state, .. } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.timeline.heard(burst, state);
                }
                // Where silence is wanted, no tone says what is missed.
                if state == HeardState::Missed && !self.is_silent(room) {
                    return vec![Ask::Tone(Tone::Missed)];
                }
            }
            Notice::Playing { elsewhere } => {
                self.plays_on = elsewhere;
                // Its name is the server's to tell.
                return elsewhere
                    .filter(|device| self.device_name(*device).is_none())
                    .map(|_| Ask::Devices)
                    .into_iter()
                    .collect();
            }
            Notice::Send { room, client_id, state } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    if let SendState::TooMany = state {
                        self.fault(t!("fault-too-many"));
                    } else {
                        room.timeline.sent(client_id, state);
                    }
                }
            }
            Notice::Fault { detail } => self.failed(&detail),
            Notice::StoreFailed { detail } => self.fault(t!("fault-keep", detail = detail)),
            Notice::HistoryGap { room, first_seq } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.timeline.gap(first_seq);
                    room.taken = Seq(first_seq.0.saturating_sub(1));
                    (room.first, room.earliest) = (Some(first_seq), Some(first_seq));
                }
            }
            // It is being fetched: nothing a person could do.
            Notice::EventsMissing { .. } => {}
            Notice::Presence { user, seen } => {
                self.presence.insert(user, Seen::new(now, seen));
            }
            Notice::PresenceRoom { room, people } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.people = Some(people);
                }
                // Whoever shares no room that is watched is told no more: what was known of them would grow old unseen.
                let rooms = &self.rooms;
                let is_told = |user: &UserId| {
                    rooms.values().any(|room| room.people.as_ref().is_some_and(|people| people.contains(user)))
                };
                self.presence.retain(|user, _| is_told(user));
            }
            Notice::PresenceCounts { room, counts } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.counts = counts;
                }
            }
            Notice::Receipts { room, seq, of, delivered, taken, .. } => {
                if let Some(room) = self.rooms.get_mut(&room) {
                    room.timeline.reached(seq, Reach { of, delivered, taken });
                }
            }
            // What is known runs out by itself, and says so; the roster comes as a directory.
            Notice::PresenceFeed(_) | Notice::Roster | Notice::VoicePath { .. } => {}
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
                Link::Down { reason: words::link(&reason), retry_at: now + retry_in.as_secs_f64() * 1_000.0 }
            }
            LinkState::Ended { reason } => {
                let elsewhere = reason == LinkReason::Closed(CloseCode::Replaced);
                Link::Ended { reason: words::link(&reason), elsewhere }
            }
        };
        if self.link != Link::Up {
            self.plays_on = None;
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
        // Where another device of the person plays, that one sounds.
        let released = was_talking && room.talker.is_none() && self.open == Some(id) && self.plays_on.is_none();
        if released { vec![Ask::Tone(Tone::Release)] } else { Vec::new() }
    }

    fn talk(&mut self, now: f64, room: RoomId, burst: BurstId, state: TalkState) -> Vec<Ask> {
        let came = state == TalkState::Delivered;
        let end = match &state {
            TalkState::Waiting | TalkState::PutOff { .. } => Some(BurstEnd::Waiting),
            TalkState::Kept => Some(BurstEnd::Kept),
            TalkState::Starting
            | TalkState::SpeakNow
            | TalkState::Asking
            | TalkState::Queued { .. }
            | TalkState::Granted { .. }
            | TalkState::Warning { .. }
            | TalkState::Denied { .. }
            | TalkState::Refused { .. }
            | TalkState::Revoked { .. }
            | TalkState::Offline
            | TalkState::Ending
            | TalkState::Repairing { .. }
            | TalkState::Delivered
            | TalkState::Failed { .. } => None,
        };
        if let (Some(user), Some(end), Some(view)) = (self.me(), end, self.rooms.get_mut(&room)) {
            view.timeline.own_burst(Burst {
                seq: None,
                burst,
                user,
                at: clock_ms(now),
                frame_ms: FrameMs::Ms20,
                frames: None,
                priority: Priority::Normal,
                end,
                lacks: false,
                missed: false,
                heard: false,
                reach: None,
                wave: Vec::new(),
            });
        }
        // One that is not named yet begins; what ended or waits is of an earlier one, or of another tab.
        let begins = end.is_none() && !came && !matches!(state, TalkState::Ending | TalkState::Repairing { .. });
        match self.press.as_mut().filter(|press| press.room == room && press.burst.map_or(begins, |own| own == burst)) {
            Some(press) => {
                let mut asks = press.talk(now, burst, state);
                // Who talks to oneself hears what others would hear: what the server has.
                if came && self.room().is_some_and(|open| open.id == room && open.is_echo()) {
                    asks.push(Ask::Replay { room, burst, frame_ms: FrameMs::Ms20, from_ms: 0, speed: 100 });
                }
                asks
            }
            None => Vec::new(),
        }
    }

    /// What went wrong with a recording is said where the button is.
    fn failed(&mut self, detail: &str) {
        match (detail.strip_prefix("recording: "), self.press.as_mut()) {
            // What was said until then goes its way.
            (Some(why), Some(press)) if press.recording => self.fault(t!("fault-cut", why = words::recording(why))),
            (Some(why), Some(press)) => press.fault = Some(words::recording(why)),
            _ => self.fault(t!("fault", detail = detail)),
        }
    }
}
