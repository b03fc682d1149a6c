//! The voice path beside the socket: asked for with each connection, and used as far as it proves itself.

use core::time::Duration;

use bytes::Bytes;

use super::Cx;
use super::link::Session;
use super::notice::Notice;
use super::ports::{Lane, LinkNo, Output};
use crate::path::{End, Path, PathFigures, Route};
use crate::units::{Mono, RequestId};
use crate::wire::datagram::{DatagramError, PathKind, PathOffer};
use crate::wire::socket::ClientMessage;
use crate::wire::voice::VoiceFrame;

/// How long after a path could not be opened, or ended, another one is asked for at first; it doubles each time.
const AGAIN: Duration = Duration::from_secs(2);
/// How long at most, where a path of this connection carried lately.
const AGAIN_LATELY_MAX: Duration = Duration::from_secs(4);
/// How long at most.
const AGAIN_MAX: Duration = Duration::from_secs(60);
/// For how long one that carried did so lately.
const LATELY: Duration = Duration::from_mins(5);

/// The path of the present connection.
#[derive(Debug, Default)]
pub(super) struct VoicePath {
    kinds: &'static [PathKind],
    asked: Option<RequestId>,
    path: Option<(LinkNo, Box<Path>)>,
    again_at: Option<Mono>,
    /// Paths in a row that did not carry.
    failures: u32,
    /// When a path of this connection last carried.
    carried_at: Option<Mono>,
    told: Option<bool>,
    /// What is being written; kept, so that it is not made anew for each frame.
    out: Vec<u8>,
}

impl VoicePath {
    pub(super) fn new(kinds: &'static [PathKind]) -> Self {
        Self { kinds, ..Self::default() }
    }

    pub(super) fn figures(&self) -> Option<PathFigures> {
        self.path.as_ref().map(|(_, path)| path.figures())
    }

    /// The time for which a frame that came by datagram was on its way.
    pub(super) fn half_rtt(&self) -> Option<Duration> {
        self.figures()?.rtt.map(|rtt| rtt / 2)
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        let path = self.path.as_ref().and_then(|(_, path)| path.poll_timeout());
        [path, self.again_at].into_iter().flatten().min()
    }

    /// Sends a live frame by datagram where the path carries. `Some`: it is to go over the socket, too, or only.
    pub(super) fn voice(
        &mut self,
        now: Mono,
        session: Session,
        frame: VoiceFrame,
        captured_at: Mono,
        out: &mut impl FnMut(Output),
    ) -> Option<VoiceFrame> {
        let Some((link, path)) = self.path.as_mut().filter(|(link, _)| *link == session.link) else {
            return Some(frame);
        };
        self.out.clear();
        let route = path.voice(now, &frame.encode(), &mut self.out);
        if let Route::Datagram(counter) | Route::Both(counter) = route {
            let inner = Bytes::copy_from_slice(&self.out);
            out(Output::Datagram { link: *link, counter, inner, captured_at: Some(captured_at) });
        }
        match route {
            Route::Datagram(_) => None,
            Route::Both(_) | Route::Socket => Some(frame),
        }
    }
}

impl Cx<'_> {
    /// Sends a live frame, by datagram or over the socket.
    pub(super) fn send_voice(&mut self, session: Session, frame: VoiceFrame, captured_at: Mono) {
        let (now, out) = (self.now, &mut *self.out);
        let left = self.path.voice(now, session, frame, captured_at, &mut |output| out.push_back(output));
        self.path_resends();
        if let Some(frame) = left {
            *self.sent_at = now;
            self.push(Output::Voice { link: session.link, lane: Lane::Voice, frame, captured_at });
        }
    }

    /// The talker has ended: what nothing was heard of goes over the socket, before the end does.
    pub(super) fn flush_voice(&mut self) {
        if let Some((_, path)) = &mut self.path.path {
            path.flush(self.now);
        }
        self.path_resends();
    }

    /// What the path gave back for the socket.
    fn path_resends(&mut self) {
        let Some((link, path)) = &mut self.path.path else { return };
        for bytes in path.resend(self.now) {
            // They were encoded here.
            let Ok(frame) = VoiceFrame::decode(&bytes) else { continue };
            let captured_at = self.now - frame.age.duration();
            self.out.push_back(Output::Voice { link: *link, lane: Lane::Voice, frame, captured_at });
        }
    }

    pub(super) fn path_asks(&mut self) {
        let kinds = self.path.kinds;
        if kinds.is_empty() || self.session.is_none() {
            return;
        }
        let request = self.request();
        self.path.asked = Some(request);
        self.path.again_at = None;
        self.send(Lane::Control, &ClientMessage::VoicePath { request, kinds: kinds.to_vec() });
    }

    pub(super) fn path_offered(&mut self, request: RequestId, offer: Option<PathOffer>) {
        let Some(session) = self.session.filter(|_| self.path.asked == Some(request)) else { return };
        self.path.asked = None;
        self.path.path = None;
        match offer {
            Some(offer) => self.push(Output::OpenPath { link: session.link, offer }),
            None => self.path_tells(false),
        }
    }

    pub(super) fn path_opened(&mut self, link: LinkNo) {
        if self.session.is_some_and(|session| session.link == link) {
            self.path.path = Some((link, Box::new(Path::new(self.now, End::Client))));
        }
    }

    pub(super) fn path_failed(&mut self, link: LinkNo) {
        if self.session.is_some_and(|session| session.link == link) {
            if let Some((_, path)) = &mut self.path.path {
                path.flush(self.now);
            }
            self.path_resends();
            self.path.path = None;
            let lately = self.path.carried_at.is_some_and(|at| self.now.since(at) <= LATELY);
            let longest = if lately { AGAIN_LATELY_MAX } else { AGAIN_MAX };
            let wait = AGAIN.saturating_mul(1 << self.path.failures.min(16)).min(longest);
            self.path.failures += 1;
            self.path.again_at = Some(self.now + wait);
            // The server may not have noticed.
            self.send(Lane::Control, &ClientMessage::VoicePathStalled {});
            self.path_tells(false);
        }
    }

    /// The connection ended, and its path with it.
    pub(super) fn path_down(&mut self) {
        self.path.path = None;
        self.path.asked = None;
        self.path.again_at = None;
        self.path.failures = 0;
        self.path.carried_at = None;
        self.path.told = None;
    }

    /// The network changed: where datagrams did not get through, they may now.
    pub(super) fn path_network(&mut self) {
        if let Some((_, path)) = &mut self.path.path {
            path.network_changed(self.now);
        } else if self.path.again_at.is_some() {
            self.path.failures = 0;
            self.path.again_at = Some(self.now);
        }
    }

    pub(super) fn path_received(
        &mut self,
        link: LinkNo,
        counter: u32,
        inner: &Bytes,
    ) -> Result<Vec<VoiceFrame>, DatagramError> {
        let mut frames = Vec::new();
        let Some((_, path)) = self.path.path.as_mut().filter(|(of, _)| *of == link) else { return Ok(frames) };
        path.received(self.now, counter, inner, &mut frames)?;
        Ok(frames)
    }

    /// Voice came over the socket: the path is worth a probe.
    pub(super) fn path_live(&mut self) {
        if let Some((_, path)) = &mut self.path.path {
            path.live(self.now);
        }
    }

    /// Does what is due. `expecting`: somebody talks whom this client hears. `away`: the device was put away.
    pub(super) fn path_drives(&mut self, expecting: bool, away: bool) {
        if self.path.again_at.is_some_and(|at| at <= self.now) {
            self.path_asks();
        }
        let Some((link, path)) = &mut self.path.path else { return };
        path.expect(self.now, expecting);
        path.rest(self.now, away);
        if path.poll_timeout().is_some_and(|at| at <= self.now) {
            path.timeout(self.now);
        }
        self.path.out.clear();
        while let Some(counter) = path.next(self.now, &mut self.path.out) {
            let inner = Bytes::copy_from_slice(&self.path.out);
            self.path.out.clear();
            self.out.push_back(Output::Datagram { link: *link, counter, inner, captured_at: None });
        }
        if path.is_worn() {
            let link = *link;
            return self.path_failed(link);
        }
        let (stalled, up) = (path.take_stalled(), path.figures().up);
        self.path_resends();
        if up {
            self.path.failures = 0;
            self.path.carried_at = Some(self.now);
        }
        if stalled {
            self.send(Lane::Control, &ClientMessage::VoicePathStalled {});
        }
        self.path_tells(up);
    }

    fn path_tells(&mut self, up: bool) {
        if self.path.told != Some(up) {
            self.path.told = Some(up);
            self.notice(Notice::VoicePath { up });
        }
    }
}
