//! The bounds of event bodies, and what makes two sends the same.

use serde_json::json;

use super::Refusal;
use crate::model::{EventBody, FrameRange};
use crate::units::{BurstStep, ClientId, FrameNo, UserId};
use crate::wire::limits::{
    BURST_BITRATE, FRAMES_PER_BURST_MAX, MISSING_RANGES_MAX, SPOKEN_AGO_MAX, TEXT_BYTES_MAX, TEXT_CHARS_MAX,
};

fn out_of_bounds(field: &'static str, detail: String) -> Refusal {
    Refusal::OutOfBounds { field, detail }
}

/// What is wrong with a body whatever the log holds.
pub(super) fn check(client_id: ClientId, body: &EventBody) -> Result<(), Refusal> {
    match body {
        EventBody::MessagePosted { text: words, .. } | EventBody::MessageEdited { text: words, .. } => text(words),
        EventBody::BurstStarted { header, spoken_ago_ms, uncertainty_ms, .. } => {
            if !BURST_BITRATE.contains(&header.bitrate.0) {
                let (low, high) = (BURST_BITRATE.start(), BURST_BITRATE.end());
                let detail = format!("expected {low} to {high} bit/s, found {}", header.bitrate);
                return Err(out_of_bounds("body.header.bitrate", detail));
            }
            let longest = SPOKEN_AGO_MAX.as_millis();
            for (field, found) in [("body.spoken_ago_ms", spoken_ago_ms), ("body.uncertainty_ms", uncertainty_ms)] {
                if u128::from(*found) > longest {
                    return Err(out_of_bounds(field, format!("expected at most {longest} ms, found {found}")));
                }
            }
            named(client_id, header.burst.client_id(BurstStep::Started))
        }
        EventBody::BurstCommitted { burst, last, missing, .. } => {
            frame("body.last", *last, 1)?;
            ranges(missing, *last)?;
            named(client_id, burst.client_id(BurstStep::Ended))
        }
        EventBody::BurstInterrupted { burst, last_received } => {
            frame("body.last_received", *last_received, 0)?;
            named(client_id, burst.client_id(BurstStep::Ended))
        }
        EventBody::BurstCompleted { burst, last, .. } => {
            frame("body.last", *last, 1)?;
            named(client_id, burst.client_id(BurstStep::Completed))
        }
        EventBody::MessageDeleted { .. } | EventBody::EmergencyRaised {} | EventBody::EmergencyCleared { .. } => Ok(()),
    }
}

/// Control characters are people's own business (tabs, line breaks, directions); NUL breaks what reads the text elsewhere.
fn text(text: &str) -> Result<(), Refusal> {
    // Bytes first: counting characters of a huge text would be work for the sender's benefit.
    if text.len() > TEXT_BYTES_MAX {
        let detail = format!("expected at most {TEXT_BYTES_MAX} bytes of UTF-8, found {}", text.len());
        return Err(out_of_bounds("body.text", detail));
    }
    let chars = text.chars().count();
    if !(1..=TEXT_CHARS_MAX).contains(&chars) {
        let detail = format!("expected 1 to {TEXT_CHARS_MAX} characters, found {chars}");
        return Err(out_of_bounds("body.text", detail));
    }
    if text.contains('\0') {
        return Err(out_of_bounds("body.text", "the character U+0000 is not allowed".to_owned()));
    }
    Ok(())
}

fn frame(field: &'static str, found: FrameNo, lowest: u16) -> Result<(), Refusal> {
    if (lowest..=FRAMES_PER_BURST_MAX).contains(&found.0) {
        return Ok(());
    }
    Err(out_of_bounds(field, format!("expected {lowest} to {FRAMES_PER_BURST_MAX}, found {found}")))
}

fn ranges(missing: &[FrameRange], last: FrameNo) -> Result<(), Refusal> {
    if missing.len() > MISSING_RANGES_MAX {
        let detail = format!("expected at most {MISSING_RANGES_MAX} ranges, found {}", missing.len());
        return Err(out_of_bounds("body.missing", detail));
    }
    let mut before = FrameNo(0);
    for range in missing {
        if range.from <= before || range.to < range.from || range.to > last {
            let detail = format!(
                "expected rising ranges within 1 to {last} that do not overlap, found {} to {} after {before}",
                range.from, range.to
            );
            return Err(out_of_bounds("body.missing", detail));
        }
        before = range.to;
    }
    Ok(())
}

/// A burst's events have client ids that follow from its own, so that whoever appends one twice stores it once.
fn named(found: ClientId, expected: ClientId) -> Result<(), Refusal> {
    if found == expected {
        return Ok(());
    }
    Err(out_of_bounds("client_id", format!("expected {expected}, which follows from the burst's id, found {found}")))
}

/// The bytes that two sends with one client id must share to be the same send: who, what kind, and what it says.
///
/// Ages and what the server lacked at the moment are left out: they differ when the same thing is sent again.
pub fn identity(user: UserId, body: &EventBody) -> Vec<u8> {
    let kind = body.kind();
    let written = match body {
        // What is sent most is written straight away, without a tree of values.
        EventBody::MessagePosted { text, reply_to } => serde_json::to_vec(&(user, kind, (text, reply_to))),
        EventBody::MessageEdited { target, text } => serde_json::to_vec(&(user, kind, (target, text))),
        EventBody::MessageDeleted { target } => serde_json::to_vec(&(user, kind, [target])),
        EventBody::BurstStarted { header, .. } => serde_json::to_vec(&json!([user, kind, [header]])),
        EventBody::BurstCommitted { burst, last, digest, .. } | EventBody::BurstCompleted { burst, last, digest } => {
            serde_json::to_vec(&(user, kind, (burst, last, digest)))
        }
        EventBody::BurstInterrupted { burst, .. } => serde_json::to_vec(&(user, kind, [burst])),
        EventBody::EmergencyRaised {} => serde_json::to_vec(&(user, kind, [(); 0])),
        EventBody::EmergencyCleared { raised_by } => serde_json::to_vec(&(user, kind, [raised_by])),
    };
    // Strings, numbers and lists of them can always be written.
    written.unwrap_or_default()
}
