//! Errors as RFC 9457 problem documents: over REST as `application/problem+json`, on the socket inside `refused` and `error`.

use core::ops::RangeInclusive;
use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The media type of a problem document.
pub const MEDIA_TYPE: &str = "application/problem+json";

macro_rules! problems {
    ($($(#[$doc:meta])* $variant:ident = $word:tt, $status:literal, $title:literal;)*) => {
        /// What went wrong, as a stable word; the document's `type` is `urn:holler:problem:` and this word.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        pub enum ProblemKind {
            $($(#[$doc])* #[serde(rename = $word)] $variant,)*
        }

        impl ProblemKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable word.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// The HTTP status it is told with.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// A short summary that never varies.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

problems! {
    /// The input can't be read: not JSON, not UTF-8, a field missing or of the wrong type.
    Malformed = "malformed", 400, "The request can't be read";
    /// The input can be read, but a field is outside its bounds.
    OutOfBounds = "out-of-bounds", 422, "A value is outside its bounds";
    /// No credentials, or ones that have expired.
    Unauthenticated = "unauthenticated", 401, "Sign in first";
    /// The name or the password is wrong.
    BadCredentials = "bad-credentials", 401, "The name or the password is wrong";
    /// The device or its sign-in was revoked.
    Revoked = "revoked", 401, "This device was signed out";
    /// Authenticated, but not allowed.
    Forbidden = "forbidden", 403, "Not allowed";
    /// There is no such thing, or it is not visible to you.
    NotFound = "not-found", 404, "Not found";
    /// The path exists, the method does not.
    MethodNotAllowed = "method-not-allowed", 405, "This method is not offered here";
    /// Something else has this name, or the state changed meanwhile.
    Conflict = "conflict", 409, "In conflict with the current state";
    /// The send expected another epoch.
    StaleEpoch = "stale-epoch", 409, "The room's key changed";
    /// The cursor belongs to another incarnation of the log.
    WrongIncarnation = "wrong-incarnation", 410, "The log's history changed";
    /// The sync token is too old, or of another view.
    SyncTokenExpired = "sync-token-expired", 410, "Too much changed since; take a snapshot";
    /// What `If-Match` names is not the current state.
    PreconditionFailed = "precondition-failed", 412, "It was changed meanwhile";
    /// The body is larger than allowed.
    TooLarge = "too-large", 413, "Too large";
    /// The body has another media type than the one expected.
    UnsupportedMediaType = "unsupported-media-type", 415, "Unsupported media type";
    /// The `Idempotency-Key` was used for another request.
    IdempotencyKeyReused = "idempotency-key-reused", 422, "This key was used for something else";
    /// Too many requests.
    RateLimited = "rate-limited", 429, "Too many requests";
    /// A floor token that is no longer, or never was, the room's current one.
    StaleToken = "stale-token", 409, "The floor has moved on";
    /// A message that the session's state does not allow now.
    OutOfOrder = "out-of-order", 409, "Not at this point";
    /// The outcome is not known: it may or may not be stored. Send it again with the same client id.
    Unknown = "outcome-unknown", 503, "The outcome is not known; send it again";
    /// The server can't do it now; later it may.
    Unavailable = "unavailable", 503, "Not possible at the moment";
    /// The server's disk has no room: nothing new is stored until its operator makes some.
    StorageFull = "storage-full", 507, "The server has no room left";
    /// The server's disk can't be written: nothing new is stored until it can.
    ReadOnly = "read-only", 503, "The server can only be read at the moment";
    /// A fault of the server.
    Internal = "internal", 500, "A fault in the server";
}

/// A problem document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:holler:problem:` and the stable word.
    #[serde(rename = "type")]
    pub kind: Cow<'static, str>,
    /// The summary of the kind.
    pub title: Cow<'static, str>,
    /// The HTTP status.
    pub status: u16,
    /// What was expected, what was found, what to do.
    pub detail: String,
    /// The field at fault, as a path with dots.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub field: Option<Cow<'static, str>>,
    /// When to try again, seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u32>,
}

/// What every problem's `type` begins with.
pub const TYPE_PREFIX: &str = "urn:holler:problem:";

impl Problem {
    /// A problem of `kind`, with `detail` saying what was expected, what was found and what to do.
    pub fn new(kind: ProblemKind, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("{TYPE_PREFIX}{}", kind.as_str()).into(),
            title: kind.title().into(),
            status: kind.status(),
            detail: detail.into(),
            field: None,
            retry_after_s: None,
        }
    }

    /// Names the field at fault.
    #[must_use]
    pub fn field(mut self, field: impl Into<Cow<'static, str>>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Says when to try again.
    #[must_use]
    pub fn retry_after_s(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Whether the same may succeed later: the refusal says nothing about the content.
    pub fn is_passing(&self) -> bool {
        [
            ProblemKind::Unknown,
            ProblemKind::Unavailable,
            ProblemKind::RateLimited,
            ProblemKind::StorageFull,
            ProblemKind::ReadOnly,
        ]
        .into_iter()
        .any(|kind| self.is(kind))
    }

    /// Whether the document is of `kind`.
    pub fn is(&self, kind: ProblemKind) -> bool {
        self.kind.strip_prefix(TYPE_PREFIX) == Some(kind.as_str())
    }
}

impl core::fmt::Display for Problem {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{}: {}", self.title, self.detail)?;
        if let Some(field) = &self.field {
            write!(f, " (field {field})")?;
        }
        Ok(())
    }
}

impl core::error::Error for Problem {}
/// Refuses a number that is not within its range; the refusal names the field, the range and what was found.
pub fn within(field: &'static str, unit: &str, found: u32, range: RangeInclusive<u32>) -> Result<(), Problem> {
    if range.contains(&found) {
        return Ok(());
    }
    let detail = format!("expected {} to {} {unit}; found {found}", range.start(), range.end());
    Err(Problem::new(ProblemKind::OutOfBounds, detail).field(field))
}
