//! Which messages of a server this client knows: a newer server may send others, which are left alone.

use crate::wire::json;

/// The types of the messages that this client knows.
pub(super) const KNOWN_MESSAGES: &[&str] = &[
    "ack",
    "burst.status",
    "draining",
    "emergency",
    "error",
    "events",
    "floor",
    "floor.denied",
    "floor.granted",
    "floor.queued",
    "floor.revoked",
    "floor.warning",
    "history.gap",
    "playing",
    "pong",
    "presence",
    "presence.counts",
    "presence.degraded",
    "presence.room",
    "receipt.stored",
    "receipts",
    "refused",
    "role",
    "roster.changed",
    "subscribed",
    "voice.path",
    "welcome",
];

/// Whether a message that can't be read names a type that this client knows, or none.
pub(super) fn is_known_type(text: &str) -> bool {
    #[derive(serde::Deserialize)]
    struct Typed {
        #[serde(rename = "type")]
        kind: String,
    }
    json::read::<Typed>(text).map_or(true, |typed| KNOWN_MESSAGES.contains(&typed.kind.as_str()))
}
