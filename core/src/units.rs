//! Types that carry their unit or role: an identifier can't be mistaken for another, a bit rate for a duration.

use core::fmt;
use core::str::FromStr;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Crockford's base 32 alphabet in lower case: no `i`, `l`, `o`, `u`.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// Length of the text form of 16 bytes in base 32 (128 bits in groups of 5, the last group padded with zero bits).
const TEXT_LEN: usize = 26;

/// Why a text is not an identifier.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected an identifier like {prefix}_ followed by 26 characters of 0-9 a-z (without i, l, o, u)")]
pub struct IdError {
    /// The prefix that this kind of identifier begins with.
    pub prefix: &'static str,
}

fn encode(bytes: &[u8; 16], out: &mut String) {
    let value = u128::from_be_bytes(*bytes);
    for group in 0..TEXT_LEN {
        // The first 25 groups take 125 bits from the top; the last takes the remaining 3, padded with two zero bits.
        let bits = if group + 1 < TEXT_LEN { (value >> (123 - 5 * group)) & 31 } else { (value << 2) & 31 };
        out.push(char::from(ALPHABET[usize::try_from(bits).unwrap_or(0)]));
    }
}

fn decode(text: &str) -> Option<[u8; 16]> {
    if text.len() != TEXT_LEN {
        return None;
    }
    let mut value: u128 = 0;
    for (group, byte) in text.bytes().enumerate() {
        let digit = u128::try_from(ALPHABET.iter().position(|letter| *letter == byte)?).ok()?;
        if group + 1 < TEXT_LEN {
            value = (value << 5) | digit;
        } else if digit & 3 == 0 {
            value = (value << 3) | (digit >> 2);
        } else {
            return None;
        }
    }
    Some(value.to_be_bytes())
}

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)*) => {$(
        $(#[$doc])*
        ///
        /// 16 bytes; as text, a prefix, an underscore and 26 characters of Crockford's base 32 in lower case.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name([u8; 16]);

        impl $name {
            /// What the text form begins with, before the underscore.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an identifier of 16 bytes, which the caller drew at random or read from storage.
            pub const fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(bytes)
            }

            /// The 16 bytes.
            pub const fn bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut text = String::with_capacity(Self::PREFIX.len() + 1 + TEXT_LEN);
                text.push_str(Self::PREFIX);
                text.push('_');
                encode(&self.0, &mut text);
                f.write_str(&text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                text.strip_prefix(Self::PREFIX)
                    .and_then(|rest| rest.strip_prefix('_'))
                    .and_then(decode)
                    .map(Self)
                    .ok_or(IdError { prefix: Self::PREFIX })
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Text;
                impl serde::de::Visitor<'_> for Text {
                    type Value = $name;
                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "an identifier like {}_…", $prefix)
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_str(Text)
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                utoipa::openapi::schema::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::schema::Type::String)
                    // The last character has two bits of padding, which are zero.
                    .pattern(Some(concat!("^", $prefix, "_[0-9a-hjkmnp-tv-z]{25}[048cgmrw]$")))
                    .build()
                    .into()
            }
        }

        #[cfg(feature = "schema")]
        impl utoipa::ToSchema for $name {}
    )*};
}

identifiers! {
    /// A workspace: the tenant.
    WorkspaceId = "ws";
    /// A person.
    UserId = "usr";
    /// One installation of a client.
    DeviceId = "dev";
    /// A room.
    RoomId = "room";
    /// One press of the talk button.
    BurstId = "bst";
    /// The client's own name for a send: with the device it makes the send idempotent.
    ClientId = "cid";
    /// The identity of a log's history; a restored backup gets a new one.
    Incarnation = "inc";
    /// A chain of refresh tokens that began with one sign-in.
    FamilyId = "fam";
    /// An invite into the workspace.
    InviteId = "inv";
}

/// Which event of a burst a derived [`ClientId`] names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum BurstStep {
    /// The burst took its place in the log.
    Started = 1,
    /// The sender ended it, or its link died.
    Ended = 2,
    /// A repair filled it.
    Completed = 3,
}

impl BurstId {
    /// The first 8 bytes, which voice frames carry instead of the whole identifier.
    pub fn tag(&self) -> BurstTag {
        let mut tag = [0; 8];
        tag.copy_from_slice(&self.0[..8]);
        BurstTag(tag)
    }

    /// The client id under which the home appends the event for `step`, so that appending it twice stores it once.
    pub fn client_id(&self, step: BurstStep) -> ClientId {
        let mut bytes = self.0;
        bytes[15] ^= step as u8;
        ClientId(bytes)
    }
}

/// The first 8 bytes of a [`BurstId`]: names a burst among those that are live in the rooms of one connection.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BurstTag(pub [u8; 8]);

impl fmt::Debug for BurstTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0 {
            write!(f, "{byte:02x}")?;
        }
        Ok(())
    }
}

macro_rules! numbers {
    ($($(#[$doc:meta])* $name:ident($int:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }
    )*};
}

numbers! {
    /// The number of an event in its room's log. The first event is 1; 0 means "before the first".
    Seq(u64);
    /// The number of a frame in its burst. The first frame is 1.
    FrameNo(u16);
    /// The version of a room's group key.
    Epoch(u64);
    /// Milliseconds since 1970-01-01 UTC, as the server's wall clock saw them.
    UnixMs(u64);
    /// A client's number for a request on one socket, echoed in its answer.
    RequestId(u32);
    /// Bits per second.
    Bitrate(u32);
}

impl Seq {
    /// The number after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

impl FrameNo {
    /// The first frame of a burst.
    pub const FIRST: Self = Self(1);
}

/// An instant of a monotonic clock of this process, in microseconds since an origin that means nothing elsewhere.
///
/// Machines take it as an argument. It is never serialised: the wire carries ages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mono(pub u64);

impl Mono {
    /// The time from `earlier` until this instant; zero where `earlier` is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

impl core::ops::Add<Duration> for Mono {
    type Output = Self;
    fn add(self, span: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

impl core::ops::Sub<Duration> for Mono {
    type Output = Self;
    fn sub(self, span: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(span.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// A place in a room's log: every event up to and including `seq` of this incarnation has been seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct Cursor {
    /// The history that `seq` counts in.
    pub incarnation: Incarnation,
    /// The last event seen; 0 before the first.
    pub seq: Seq,
}

/// Proof of having the floor. The tokens that a receiver accepts in a room never decrease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct FloorToken {
    /// The term of the home's lease.
    pub term: u32,
    /// Counts the grants within the term.
    pub counter: u32,
}

/// The length of one Opus frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub enum FrameMs {
    /// 20 ms.
    Ms20,
    /// 40 ms.
    Ms40,
    /// 60 ms.
    Ms60,
}

impl FrameMs {
    /// Milliseconds.
    pub const fn ms(self) -> u8 {
        match self {
            Self::Ms20 => 20,
            Self::Ms40 => 40,
            Self::Ms60 => 60,
        }
    }

    /// The length as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.ms() as u64)
    }

    /// Samples per channel at `rate_hz` (48,000 Hz: 960, 1,920 or 2,880).
    pub const fn samples(self, rate_hz: u32) -> usize {
        (rate_hz as usize * self.ms() as usize) / 1000
    }
}

#[cfg(feature = "schema")]
impl utoipa::PartialSchema for FrameMs {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
        utoipa::openapi::schema::ObjectBuilder::new()
            .schema_type(utoipa::openapi::schema::Type::Integer)
            .enum_values(Some([20, 40, 60]))
            .build()
            .into()
    }
}

#[cfg(feature = "schema")]
impl utoipa::ToSchema for FrameMs {}

impl From<FrameMs> for u8 {
    fn from(length: FrameMs) -> Self {
        length.ms()
    }
}

impl TryFrom<u8> for FrameMs {
    type Error = String;
    fn try_from(ms: u8) -> Result<Self, String> {
        match ms {
            20 => Ok(Self::Ms20),
            40 => Ok(Self::Ms40),
            60 => Ok(Self::Ms60),
            other => Err(format!("frame length: expected 20, 40 or 60 ms, found {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn identifiers_survive_their_text_form(bytes: [u8; 16]) {
            let id = RoomId::from_bytes(bytes);
            prop_assert_eq!(id.to_string().parse::<RoomId>(), Ok(id));
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<RoomId>(&json).unwrap(), id);
        }

        #[test]
        fn text_order_is_byte_order(a: [u8; 16], b: [u8; 16]) {
            let (a, b) = (UserId::from_bytes(a), UserId::from_bytes(b));
            prop_assert_eq!(a.cmp(&b), a.to_string().cmp(&b.to_string()));
        }

        #[test]
        fn any_text_is_an_identifier_or_an_error(text in ".{0,40}") {
            if let Ok(id) = text.parse::<BurstId>() {
                prop_assert_eq!(id.to_string(), text);
            }
        }
    }

    #[test]
    fn an_identifier_of_another_kind_is_refused() {
        let user = UserId::from_bytes([7; 16]).to_string();
        assert_eq!(user.parse::<RoomId>(), Err(IdError { prefix: "room" }));
    }

    #[test]
    fn padding_bits_must_be_zero() {
        let mut text = RoomId::from_bytes([0xff; 16]).to_string();
        assert!(text.parse::<RoomId>().is_ok());
        text.pop();
        text.push('z');
        assert!(text.parse::<RoomId>().is_err());
    }

    #[test]
    fn burst_steps_get_distinct_client_ids() {
        let burst = BurstId::from_bytes([9; 16]);
        let ids = [BurstStep::Started, BurstStep::Ended, BurstStep::Completed].map(|step| burst.client_id(step));
        assert!(ids[0] != ids[1] && ids[1] != ids[2] && ids[0] != ids[2]);
    }
}
