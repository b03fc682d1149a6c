//! What a timeline shows, one thing each.

use holler_core::model::{Priority, Role};
use holler_core::units::{BurstId, ClientId, FrameMs, Seq, UserId};

use crate::state::Reach;

/// A text.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// Its place in the log; `None`: not there yet.
    pub seq: Option<Seq>,
    /// The sender's name for it.
    pub client_id: ClientId,
    /// Who.
    pub user: UserId,
    /// When, ms since 1970.
    pub at: u64,
    /// What; `None`: taken back.
    pub text: Option<String>,
    /// Whether it was changed.
    pub edited: bool,
    /// What it answers.
    pub reply_to: Option<Seq>,
    /// A change or deletion of it is on its way.
    pub changing: Option<ClientId>,
    /// Why the server can't take it, or the change of it, for now, where it said so.
    pub put_off: Option<String>,
    /// Why it, or the change of it, was refused, where it was.
    pub refused: Option<String>,
    /// How far it got, where that was told.
    pub reach: Option<Reach>,
}

/// How a burst ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BurstEnd {
    /// It goes on.
    Live,
    /// Its sender ended it.
    Ended,
    /// Its sender was lost; the rest may come.
    Interrupted,
    /// One's own: it waits on this device for a connection, or for its turn.
    Waiting,
    /// One's own: it was not delivered, and won't be by itself.
    Kept,
}

/// A burst.
#[derive(Clone, Debug, PartialEq)]
pub struct Burst {
    /// Its place in the log; `None`: not there yet.
    pub seq: Option<Seq>,
    /// Which.
    pub burst: BurstId,
    /// Who.
    pub user: UserId,
    /// When it was spoken, ms since 1970.
    pub at: u64,
    /// The length of its frames.
    pub frame_ms: FrameMs,
    /// How many frames, once that is known.
    pub frames: Option<u16>,
    /// With which weight.
    pub priority: Priority,
    /// How it ended.
    pub end: BurstEnd,
    /// Some of it is still on its way to the server.
    pub lacks: bool,
    /// It came while another room played, and was not heard.
    pub missed: bool,
    /// It was played here to its end.
    pub heard: bool,
    /// How far it got, where that was told.
    pub reach: Option<Reach>,
    /// How loud it is along its length, 0 to 255; empty while nothing of it was decoded here.
    pub wave: Vec<u8>,
}

impl Burst {
    /// How long it is, ms; `None`: not known yet.
    pub fn length_ms(&self) -> Option<u32> {
        self.frames.map(|frames| u32::from(frames) * u32::from(self.frame_ms.ms()))
    }

    /// Whether it can be played.
    pub fn is_past(&self) -> bool {
        matches!(self.end, BurstEnd::Ended | BurstEnd::Interrupted)
    }
}

/// What this client saw happen in a room, beside its log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Somebody became a member.
    Joined,
    /// Somebody is a member no more.
    Left,
    /// One's own role became this.
    Role(Role),
}

/// What the timeline shows.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A text.
    Text(Text),
    /// A burst.
    Burst(Burst),
    /// An emergency was raised or cleared.
    Emergency {
        /// Its place in the log.
        seq: Seq,
        /// Whose.
        user: UserId,
        /// When, ms since 1970.
        at: u64,
        /// Raised, or cleared.
        raised: bool,
    },
    /// Something that this client saw: not of the log.
    Seen {
        /// The event after which it was seen.
        after: Seq,
        /// Counts what was seen.
        number: u64,
        /// Of whom.
        user: UserId,
        /// When it was seen, ms since 1970; `None`: this client was away when it happened.
        at: Option<u64>,
        /// What.
        what: Seen,
    },
    /// Events before this one are no longer kept.
    Gap {
        /// The first that is.
        seq: Seq,
    },
}

impl Item {
    /// Where it stands among the others.
    pub(super) fn order(&self) -> (Seq, i8) {
        match self {
            Self::Gap { seq } => (*seq, -1),
            Self::Text(Text { seq, .. }) | Self::Burst(Burst { seq, .. }) => (seq.unwrap_or(Seq(u64::MAX)), 0),
            Self::Emergency { seq, .. } => (*seq, 0),
            Self::Seen { after, .. } => (*after, 1),
        }
    }

    /// A name that no other item of the room has.
    pub fn key(&self) -> String {
        match self {
            Self::Text(text) => text.client_id.to_string(),
            Self::Burst(burst) => burst.burst.to_string(),
            Self::Emergency { seq, .. } => format!("emergency {seq}"),
            Self::Seen { number, .. } => format!("seen {number}"),
            Self::Gap { seq } => format!("gap {seq}"),
        }
    }
}
