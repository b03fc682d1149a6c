//! What a person chose and is not done with: a speed, a text to answer or change, an invite to make.

use holler_core::units::{RoomId, Seq};

/// How fast bursts of the past are played.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Speed {
    /// As they were spoken.
    #[default]
    Plain,
    /// One and a half times as fast.
    Faster,
    /// Twice as fast.
    Double,
}

impl Speed {
    /// In percent of how it was spoken.
    pub const fn percent(self) -> u16 {
        match self {
            Self::Plain => 100,
            Self::Faster => 150,
            Self::Double => 200,
        }
    }

    /// The next one, and after the last the first.
    #[must_use]
    pub const fn next(self) -> Self {
        match self {
            Self::Plain => Self::Faster,
            Self::Faster => Self::Double,
            Self::Double => Self::Plain,
        }
    }

    /// As it is shown.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Plain => "1\u{d7}",
            Self::Faster => "1.5\u{d7}",
            Self::Double => "2\u{d7}",
        }
    }
}

/// What the line to write in is for, beside a new text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compose {
    /// An answer to this one.
    Reply(Seq),
    /// What this one of one's own is to say.
    Edit(Seq),
}

/// An invite that is being made or shown.
#[derive(Clone, Debug, PartialEq)]
pub struct InviteView {
    /// Into which room.
    pub room: RoomId,
    /// It is on its way.
    pub busy: bool,
    /// Its link and the drawing of its code, or why there is none.
    pub made: Option<Result<(String, String), String>>,
}
