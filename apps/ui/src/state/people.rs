//! Who is here, in words. A state is never shown without what it is worth: past its lease it is `unknown`, with its age.

use holler_core::engine::PersonSeen;
use holler_core::model::PresenceState;
use holler_core::units::{DeviceId, UserId};

use super::{Talker, View};
use crate::t;

/// How far something got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// How many members there are beside the sender.
    pub of: u32,
    /// How many of them have it on a device.
    pub delivered: u32,
    /// How many of them heard it to its end, or read it.
    pub taken: u32,
}

impl Reach {
    /// In words; `how` is what people did with it.
    pub fn words(self, how: Taken) -> String {
        let Self { of, delivered, taken: count } = self;
        match (of, count, how) {
            (0, ..) => t!("reach-nobody"),
            (1, 1.., Taken::Heard) => t!("heard"),
            (1, 1.., Taken::Read) => t!("read"),
            (of, count, Taken::Heard) if count >= of => t!("heard-all", of = of),
            (of, count, Taken::Read) if count >= of => t!("read-all", of = of),
            (of, 0, _) => t!("reach-delivered", count = delivered, of = of),
            (of, count, Taken::Heard) => t!("heard-some", count = count, of = of),
            (of, count, Taken::Read) => t!("read-some", count = count, of = of),
        }
    }
}

/// What people do with something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// A burst, to its end.
    Heard,
    /// A text.
    Read,
}

/// A state in words, without its age.
pub fn presence_words(state: PresenceState) -> String {
    match state {
        PresenceState::Available => t!("presence-available"),
        PresenceState::Busy => t!("presence-busy"),
        PresenceState::Solo => t!("presence-solo"),
        PresenceState::Away => t!("presence-away"),
        PresenceState::Offline => t!("presence-offline"),
        PresenceState::Unknown => t!("presence-unknown"),
    }
}

/// The class of a state's mark: each state has one shape everywhere.
pub fn presence_class(state: PresenceState) -> &'static str {
    match state {
        PresenceState::Available => "available",
        PresenceState::Busy => "busy",
        PresenceState::Solo => "solo",
        PresenceState::Away => "away",
        PresenceState::Offline => "offline",
        PresenceState::Unknown => "unknown",
    }
}

/// What is known of a person.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// How they are.
    pub state: PresenceState,
    /// When that was last confirmed, or when they went, ms since 1970; `None`: never heard of.
    pub at: Option<f64>,
}

impl Seen {
    pub(super) fn new(now: f64, seen: PersonSeen) -> Self {
        Self { state: seen.state, at: seen.age.map(|age| now - age.as_secs_f64() * 1_000.0) }
    }

    /// In words: what is confirmed while it shows needs no age, everything else has one.
    pub fn words(self, now: f64) -> String {
        let ago = self.at.map(|at| ago(now - at));
        match (self.state, ago) {
            (PresenceState::Offline, Some(ago)) => t!("presence-offline-since", ago = ago),
            (PresenceState::Unknown, Some(ago)) => t!("presence-unknown-since", ago = ago),
            (PresenceState::Unknown, None) => t!("presence-unknown-ever"),
            (
                PresenceState::Available
                | PresenceState::Busy
                | PresenceState::Solo
                | PresenceState::Away
                | PresenceState::Offline,
                _,
            ) => presence_words(self.state),
        }
    }

    /// The class of its mark: each state has one shape everywhere.
    pub fn class(self) -> &'static str {
        presence_class(self.state)
    }

    /// Whether the person can be expected to hear what is said now.
    pub fn is_here(self) -> bool {
        match self.state {
            PresenceState::Available | PresenceState::Busy | PresenceState::Solo => true,
            PresenceState::Away | PresenceState::Offline | PresenceState::Unknown => false,
        }
    }

    fn rank(self) -> u8 {
        match self.state {
            PresenceState::Available => 0,
            PresenceState::Solo => 1,
            PresenceState::Busy => 2,
            PresenceState::Away => 3,
            PresenceState::Offline => 4,
            PresenceState::Unknown => 5,
        }
    }
}

/// How long before `now` (ms since 1970) something was, for people.
pub fn ago_since(now: f64, then_ms: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "exact until the year 287396")]
    ago(now - then_ms as f64)
}

/// How long ago, for people.
fn ago(ms: f64) -> String {
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "at least zero, and saturating")]
    let seconds = (ms / 1_000.0).max(0.0) as u64;
    match seconds {
        0..60 => t!("ago-now"),
        60..7_200 => t!("ago-minutes", count = seconds / 60),
        7_200..172_800 => t!("ago-hours", count = seconds / 3_600),
        _ => t!("ago-days", count = seconds / 86_400),
    }
}

impl View {
    /// What one of the person's devices is called, as far as that was told.
    pub fn device_name(&self, device: DeviceId) -> Option<String> {
        let mut devices = self.devices.iter().flatten();
        devices.find(|known| known.id == device).map(|known| known.name.clone())
    }

    /// Who talks, in words.
    pub fn talks(&self, talker: &Talker) -> String {
        if self.me() == Some(talker.user) {
            t!("talk-own-elsewhere")
        } else {
            t!("talk-other", name = self.name(talker.user))
        }
    }

    /// What is known of somebody.
    pub fn seen(&self, user: UserId) -> Seen {
        self.presence.get(&user).copied().unwrap_or(Seen { state: PresenceState::Unknown, at: None })
    }

    /// Who is in the room that is looked at, whoever is here first; `None`: too many, or not told yet.
    pub fn people(&self) -> Option<Vec<(UserId, String, Seen)>> {
        let people = self.room()?.people.as_ref()?;
        let mut people: Vec<_> = people.iter().map(|user| (*user, self.name(*user), self.seen(*user))).collect();
        people.sort_by_cached_key(|(user, name, seen)| (seen.rank(), name.to_lowercase(), *user));
        Some(people)
    }
}
