//! What the server and the engine say in English, in the words of the language that is spoken: by what never changes of it.

use holler_core::engine::{ConnectFailure, LinkReason};
use holler_core::wire::problem::TYPE_PREFIX;
use holler_core::wire::socket::CloseCode;

use crate::t;

/// What a problem says. `kind` is its `type`, with or without what all of them begin with, or `unreachable` and `foreign` for a
/// server that does not answer and one that is not Holler's; one that is not known here says what the server says.
pub fn problem(kind: &str, detail: &str) -> String {
    match kind.strip_prefix(TYPE_PREFIX).unwrap_or(kind) {
        "bad-credentials" => t!("problem-bad-credentials"),
        "unauthenticated" => t!("problem-unauthenticated"),
        "revoked" => t!("problem-revoked"),
        "forbidden" => t!("problem-forbidden", detail = detail),
        "not-found" => t!("problem-not-found", detail = detail),
        "conflict" => t!("problem-conflict", detail = detail),
        "out-of-bounds" => t!("problem-out-of-bounds", detail = detail),
        "rate-limited" => t!("problem-rate-limited"),
        "outcome-unknown" => t!("problem-outcome-unknown"),
        "unavailable" => t!("problem-unavailable", detail = detail),
        "storage-full" => t!("problem-storage-full"),
        "read-only" => t!("problem-read-only"),
        "internal" => t!("problem-internal"),
        "unreachable" => t!("problem-unreachable"),
        "foreign" => t!("problem-foreign", detail = detail),
        "elsewhere" | "unkept" | "outdated" => recording(kind),
        _ => detail.to_owned(),
    }
}

/// What did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Missing {
    /// The list of rooms.
    Rooms,
    /// The past of a room.
    Past,
    /// The list of devices.
    Devices,
    /// What the server keeps of the person.
    Data,
    /// A burst of the past.
    Burst,
}

/// That something did not come, and why.
pub fn missing(what: Missing, why: String) -> String {
    match what {
        Missing::Rooms => t!("missing-rooms", why = why),
        Missing::Past => t!("missing-past", why = why),
        Missing::Devices => t!("missing-devices", why = why),
        Missing::Data => t!("missing-data", why = why),
        Missing::Burst => t!("missing-burst", why = why),
    }
}

/// Why nothing, or no more, is recorded, and what to do: by the name that a host gives the reason, or by what the browser says.
pub fn recording(why: &str) -> String {
    match why {
        "NotAllowedError" => t!("no-microphone-refused"),
        "NotFoundError" => t!("no-microphone-there"),
        "NotReadableError" => t!("no-microphone-starts"),
        "lost" => t!("no-microphone-lost"),
        "late" => t!("no-microphone-late"),
        "early" => t!("no-microphone-early"),
        "elsewhere" => t!("no-microphone-elsewhere"),
        "unkept" => t!("tab-unkept"),
        "outdated" => t!("tab-outdated"),
        detail => t!("no-microphone", detail = detail),
    }
}

/// That so many records of what was said and written here are damaged.
pub fn damaged(count: usize) -> String {
    t!("fault-damaged", count = count)
}

/// Why nobody is signed in, where something still waits for who was.
pub fn waits_here(reason: Option<String>, count: usize) -> String {
    let waits = t!("signed-out-waits", count = count);
    reason.map_or_else(|| waits.clone(), |reason| format!("{reason} · {waits}"))
}

/// Why there is no connection.
pub fn link(reason: &LinkReason) -> String {
    match reason {
        LinkReason::New => t!("why-new"),
        LinkReason::Connect { failure, .. } => match failure {
            ConnectFailure::Name => t!("why-name"),
            ConnectFailure::Unreachable => t!("why-unreachable"),
            ConnectFailure::Certificate => t!("why-certificate"),
            ConnectFailure::Handshake => t!("why-handshake"),
        },
        LinkReason::Lost { .. } => t!("why-lost"),
        LinkReason::Silent | LinkReason::Closed(CloseCode::Silent | CloseCode::StalledReader) => t!("why-silent"),
        LinkReason::Closed(CloseCode::Revoked | CloseCode::BadToken) => t!("why-revoked"),
        LinkReason::Closed(CloseCode::Draining) | LinkReason::Draining => t!("why-draining"),
        LinkReason::Closed(CloseCode::Overloaded) => t!("why-overloaded"),
        LinkReason::Closed(CloseCode::Internal) => t!("problem-internal"),
        LinkReason::Closed(CloseCode::Replaced) => t!("why-replaced"),
        LinkReason::Closed(
            code
            @ (CloseCode::TokenExpired | CloseCode::ResumeRefused | CloseCode::AuthExpected | CloseCode::Malformed),
        ) => code.reason().to_owned(),
        LinkReason::Token { .. } => t!("why-token"),
        LinkReason::TooOften => t!("why-too-often"),
        LinkReason::Stopped => t!("why-stopped"),
    }
}
