//! The bounds of control messages that their types can't express.

use super::limits::{
    BURST_BITRATE, FRAMES_PER_BURST_MAX, HEARTBEAT_IDLE_MAX, NAME_CHARS_MAX, PATH_KINDS_MAX, RECEIPT_BURSTS_MAX,
    SPOKEN_AGO_MAX, SUBSCRIPTIONS_MAX,
};
use super::problem::{Problem, ProblemKind};
use super::socket::ClientMessage;
use crate::model::{BurstHeader, PresenceState};
use crate::units::{FrameNo, RequestId};

/// The longest round trip that a client may report, µs: 60 s.
const RTT_US_MAX: u32 = 60_000_000;

fn out_of_bounds(field: &'static str, detail: String) -> Problem {
    Problem::new(ProblemKind::OutOfBounds, detail).field(field)
}

fn check_header(header: &BurstHeader) -> Result<(), Problem> {
    if !BURST_BITRATE.contains(&header.bitrate.0) {
        let (low, high) = (BURST_BITRATE.start(), BURST_BITRATE.end());
        return Err(out_of_bounds(
            "header.bitrate",
            format!("expected {low} to {high} bit/s, found {}", header.bitrate),
        ));
    }
    Ok(())
}

fn check_span(field: &'static str, found: u64) -> Result<(), Problem> {
    let longest = SPOKEN_AGO_MAX.as_millis();
    if u128::from(found) > longest {
        return Err(out_of_bounds(field, format!("expected at most {longest} ms, found {found}")));
    }
    Ok(())
}

fn check_last(last: FrameNo) -> Result<(), Problem> {
    if !(1..=FRAMES_PER_BURST_MAX).contains(&last.0) {
        return Err(out_of_bounds(
            "last",
            format!("expected the number of the last frame, 1 to {FRAMES_PER_BURST_MAX}, found {last}"),
        ));
    }
    Ok(())
}

/// A state that a person can be in, by their own word.
fn check_state(field: &'static str, state: Option<PresenceState>) -> Result<(), Problem> {
    if state == Some(PresenceState::Unknown) {
        let detail =
            "expected available, busy, solo, away or offline; unknown is what the server says when it is not told";
        return Err(out_of_bounds(field, detail.to_owned()));
    }
    Ok(())
}

impl ClientMessage {
    /// Checks what the types leave open. The text of a `send` is the room log's to check.
    pub fn check(&self) -> Result<(), Problem> {
        match self {
            Self::Auth { client, presence, rooms, .. } => {
                if rooms.len() > SUBSCRIPTIONS_MAX {
                    let found = rooms.len();
                    return Err(out_of_bounds("rooms", format!("expected at most {SUBSCRIPTIONS_MAX}, found {found}")));
                }
                check_state("presence", *presence)?;
                let found = client.chars().count();
                if found > NAME_CHARS_MAX {
                    return Err(out_of_bounds(
                        "client",
                        format!("expected at most {NAME_CHARS_MAX} characters, found {found}"),
                    ));
                }
                Ok(())
            }
            Self::FloorRequest { header, spoken_ago_ms, .. } => {
                check_span("spoken_ago_ms", *spoken_ago_ms)?;
                check_header(header)
            }
            Self::BurstEnd { last, .. } => check_last(*last),
            Self::BurstOffer { header, spoken_ago_ms, uncertainty_ms, last, .. } => {
                check_span("spoken_ago_ms", *spoken_ago_ms)?;
                check_span("uncertainty_ms", uncertainty_ms.unwrap_or(0))?;
                check_header(header)?;
                check_last(*last)
            }
            Self::Ping { rtt_us: Some(rtt), .. } if *rtt > RTT_US_MAX => {
                Err(out_of_bounds("rtt_us", format!("expected at most {RTT_US_MAX} µs, found {rtt}")))
            }
            Self::Ping { next_ms: Some(next), .. } if u128::from(*next) > HEARTBEAT_IDLE_MAX.as_millis() => {
                let longest = HEARTBEAT_IDLE_MAX.as_millis();
                Err(out_of_bounds("next_ms", format!("expected at most {longest} ms, found {next}")))
            }
            Self::PlayingHere { used_ago_ms } => check_span("used_ago_ms", *used_ago_ms),
            Self::PresenceSet { state } => check_state("state", Some(*state)),
            Self::Receipt { heard, .. } if heard.len() > RECEIPT_BURSTS_MAX => Err(out_of_bounds(
                "heard",
                format!("expected at most {RECEIPT_BURSTS_MAX} bursts, found {}: send several", heard.len()),
            )),
            Self::VoicePath { kinds, .. } if kinds.len() > PATH_KINDS_MAX => Err(out_of_bounds(
                "kinds",
                format!("expected at most {PATH_KINDS_MAX} kinds of path, found {}", kinds.len()),
            )),
            Self::Subscribe { .. }
            | Self::VoicePath { .. }
            | Self::VoicePathStalled {}
            | Self::Unsubscribe { .. }
            | Self::PresenceWatch { .. }
            | Self::PresenceUnwatch { .. }
            | Self::PlayingStopped {}
            | Self::Receipt { .. }
            | Self::Send { .. }
            | Self::FloorRelease { .. }
            | Self::EmergencyClear { .. }
            | Self::Ping { .. }
            | Self::Report { .. } => Ok(()),
        }
    }

    /// The request that an answer names.
    pub fn request(&self) -> Option<RequestId> {
        match self {
            Self::Subscribe { request, .. }
            | Self::FloorRequest { request, .. }
            | Self::FloorRelease { request, .. }
            | Self::BurstOffer { request, .. }
            | Self::PresenceWatch { request, .. }
            | Self::Receipt { request, .. }
            | Self::VoicePath { request, .. }
            | Self::EmergencyClear { request, .. } => Some(*request),
            Self::Auth { .. }
            | Self::Unsubscribe { .. }
            | Self::Send { .. }
            | Self::BurstEnd { .. }
            | Self::Ping { .. }
            | Self::PresenceSet { .. }
            | Self::PresenceUnwatch { .. }
            | Self::PlayingHere { .. }
            | Self::PlayingStopped {}
            | Self::VoicePathStalled {}
            | Self::Report { .. } => None,
        }
    }
}
