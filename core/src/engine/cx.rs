//! What the engine's machines share.

use std::collections::VecDeque;

use super::link::Session;
use super::notice::Notice;
use super::outbox::Outbox;
use super::ports::{Lane, LinkNo, Output};
use super::rng::Chance;
use super::server_clock::ServerClock;
use super::voice_path::VoicePath;
use crate::units::{Mono, RequestId};
use crate::wire::socket::ClientMessage;

/// What every machine gets with a call: the time, the way out, and what holds of the connection.
pub(super) struct Cx<'a> {
    pub(super) now: Mono,
    pub(super) out: &'a mut VecDeque<Output>,
    pub(super) chance: &'a mut Chance,
    pub(super) session: Option<Session>,
    pub(super) server: ServerClock,
    pub(super) outbox: &'a mut Outbox,
    pub(super) next_request: &'a mut u32,
    /// When something was last sent: no heartbeat is needed for a while after it.
    pub(super) sent_at: &'a mut Mono,
    pub(super) path: &'a mut VoicePath,
}

impl Cx<'_> {
    pub(super) fn push(&mut self, output: Output) {
        self.out.push_back(output);
    }

    pub(super) fn notice(&mut self, notice: Notice) {
        self.out.push_back(Output::Notice(notice));
    }

    pub(super) fn request(&mut self) -> RequestId {
        let request = RequestId(*self.next_request);
        *self.next_request = self.next_request.wrapping_add(1);
        request
    }

    /// Sends where the connection is up, otherwise not at all.
    pub(super) fn send(&mut self, lane: Lane, message: &ClientMessage) {
        if let Some(session) = self.session {
            self.send_on(session.link, lane, message);
        }
    }

    pub(super) fn send_on(&mut self, link: LinkNo, lane: Lane, message: &ClientMessage) {
        match serde_json::to_string(message) {
            Ok(text) => {
                *self.sent_at = self.now;
                self.out.push_back(Output::Send { link, lane, text });
            }
            Err(error) => self.notice(Notice::Fault { detail: format!("a message can't be written: {error}") }),
        }
    }
}
