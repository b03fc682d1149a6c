//! The codes that the server closes a socket with.

/// Why the server closes a socket. Codes 4000 to 4099 are resumable: reconnect with the same token and the same cursors. Codes
/// 4100 to 4199 are final: a new sign-in, or another client, is needed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum CloseCode {
    /// 4000: the server is draining.
    Draining,
    /// 4001: nothing was heard for 40 s, or for 25 s longer than the client had promised.
    Silent,
    /// 4002: the client took nothing that was sent for 30 s.
    StalledReader,
    /// 4003: the server can't go on, a fault of its own.
    Internal,
    /// 4004: too many connections or messages at the moment.
    Overloaded,
    /// 4005: the access token expired; refresh it and come back.
    TokenExpired,
    /// 4006: the resume token is not valid, or no longer; come back with an access token.
    ResumeRefused,
    /// 4100: no `auth` within 5 s, or something else before it.
    AuthExpected,
    /// 4101: the token is not valid.
    BadToken,
    /// 4102: the device was revoked.
    Revoked,
    /// 4103: a message that can't be read, such as one that is too large or not UTF-8.
    Malformed,
    /// 4104: the same device connected again; the newer socket goes on.
    Replaced,
}

impl CloseCode {
    /// Every code.
    pub const ALL: &'static [Self] = &[
        Self::Draining,
        Self::Silent,
        Self::StalledReader,
        Self::Internal,
        Self::Overloaded,
        Self::TokenExpired,
        Self::ResumeRefused,
        Self::AuthExpected,
        Self::BadToken,
        Self::Revoked,
        Self::Malformed,
        Self::Replaced,
    ];

    /// The number in the close frame.
    pub const fn number(self) -> u16 {
        match self {
            Self::Draining => 4000,
            Self::Silent => 4001,
            Self::StalledReader => 4002,
            Self::Internal => 4003,
            Self::Overloaded => 4004,
            Self::TokenExpired => 4005,
            Self::ResumeRefused => 4006,
            Self::AuthExpected => 4100,
            Self::BadToken => 4101,
            Self::Revoked => 4102,
            Self::Malformed => 4103,
            Self::Replaced => 4104,
        }
    }

    /// The text in the close frame.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Draining => "the server is draining; reconnect",
            Self::Silent => "nothing was heard for too long; reconnect",
            Self::StalledReader => "nothing was read for 30 s; reconnect",
            Self::Internal => "a fault in the server; reconnect",
            Self::Overloaded => "too much at the moment; reconnect later",
            Self::TokenExpired => "the access token expired; refresh it and reconnect",
            Self::ResumeRefused => "the resume token is not valid; reconnect with an access token",
            Self::AuthExpected => "the first message must be auth, within 5 s",
            Self::BadToken => "the token is not valid; sign in",
            Self::Revoked => "this device was signed out; sign in again",
            Self::Malformed => "a message could not be read",
            Self::Replaced => "this device connected again elsewhere",
        }
    }

    /// Whether the client may reconnect by itself.
    pub const fn resumable(self) -> bool {
        self.number() < 4100
    }

    /// The code of a close frame's number.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| code.number() == number)
    }
}
