//! What a notification says: small, and as much as whoever carries it may know.

use holler_core::units::{RoomId, Seq, UnixMs};
use serde::Serialize;

use crate::storage::accounts::Notice;

/// What the service worker of a browser gets, encrypted for it (`apps/web/static/worker.js` reads it).
#[derive(Debug, Serialize)]
pub struct WebNotice<'a> {
    /// `message`, `burst` or `emergency`.
    pub kind: &'static str,
    /// Where it happened.
    pub room: RoomId,
    /// The last event.
    pub seq: Seq,
    /// How many there are.
    pub events: u32,
    /// When the last came.
    pub at: UnixMs,
    /// The room's name; absent in direct rooms and where the room is encrypted end to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub room_name: Option<&'a str>,
    /// Who wrote or spoke; absent where the room is encrypted end to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<&'a str>,
    /// How a text begins; absent where the room is encrypted end to end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<&'a str>,
}

impl<'a> WebNotice<'a> {
    /// Of a notice.
    pub fn of(notice: &'a Notice) -> Self {
        let words = notice.words.as_ref();
        Self {
            kind: notice.kind,
            room: notice.entry.room,
            seq: notice.entry.seq,
            events: notice.entry.events,
            at: notice.at,
            room_name: words.and_then(|words| words.room.as_deref()),
            from: words.and_then(|words| words.from.as_deref()),
            text: words.and_then(|words| words.text.as_deref()),
        }
    }
}
