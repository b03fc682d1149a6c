//! One voice path: the machine that decides, what carries its datagrams, and the frames that came and wait for the socket's reader.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use holler_core::path::{End, Path, Route};
use holler_core::units::{BurstTag, Mono};
use holler_core::wire::datagram::{DatagramError, PathKind};
use holler_core::wire::voice::VoiceFrame;
use tokio::sync::Notify;

use super::sealed::Sealed;
use crate::gateway::Outgoing;

/// Frames that wait for the socket's reader; beyond, the oldest is dropped, and repaired later. A reader that is so far behind is
/// braked, or its home is.
const UPLINK_FRAMES_MAX: usize = 64;

/// The name of a session, as datagrams carry it.
pub type SessionId = [u8; 8];

/// What carries a session's datagrams, other than sealed UDP.
pub trait Carry: Send + Sync + fmt::Debug {
    /// Sends a datagram with this counter and these inner bytes at once, or not at all. Gives whether it was taken.
    fn send(&self, counter: u32, inner: &[u8]) -> bool;
}

/// What carries a session's datagrams.
#[expect(clippy::large_enum_variant, reason = "it lies in its session, of which there is one a client")]
pub(super) enum Carrier {
    /// Sealed UDP.
    Sealed(Sealed),
    /// Something that the client must open first.
    Opened(arc_swap::ArcSwapOption<Box<dyn Carry>>),
}

/// Buffers that are used again for each datagram.
#[derive(Debug, Default)]
pub struct Buffers {
    inner: Vec<u8>,
    packet: Vec<u8>,
}

/// A voice path to one client.
pub struct Session {
    id: SessionId,
    secret: zeroize::Zeroizing<[u8; 32]>,
    carrier: Carrier,
    machine: Mutex<Path>,
    /// The socket that it stands beside.
    out: Arc<Outgoing>,
    uplink: Mutex<VecDeque<VoiceFrame>>,
    came: Notify,
    /// Whether it is among those that the sweep looks at.
    pub(super) timed: AtomicBool,
    ended: AtomicBool,
}

impl fmt::Debug for Session {
    /// Without names, addresses and keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("kind", &self.kind()).finish_non_exhaustive()
    }
}

impl Session {
    pub(super) fn new(id: SessionId, secret: [u8; 32], carrier: Carrier, out: Arc<Outgoing>, now: Mono) -> Self {
        let machine = match carrier {
            Carrier::Sealed(_) => Path::unplaced(now, End::Server),
            // A connection has an address of its own, which is proved.
            Carrier::Opened(_) => Path::new(now, End::Server),
        };
        Self {
            id,
            secret: secret.into(),
            carrier,
            machine: Mutex::new(machine),
            out,
            uplink: Mutex::default(),
            came: Notify::new(),
            timed: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        }
    }

    fn machine(&self) -> MutexGuard<'_, Path> {
        self.machine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// What carries it.
    pub fn kind(&self) -> PathKind {
        match self.carrier {
            Carrier::Sealed(_) => PathKind::SealedUdp,
            Carrier::Opened(_) => PathKind::Webtransport,
        }
    }

    /// Whether this is its secret; looked at in constant time.
    pub fn has_secret(&self, secret: &[u8]) -> bool {
        use subtle::ConstantTimeEq as _;
        self.secret.ct_eq(secret).into()
    }

    /// The client has opened what carries the session; does nothing where that is sealed UDP.
    pub fn carry(&self, by: Box<dyn Carry>) {
        if let Carrier::Opened(slot) = &self.carrier {
            slot.store(Some(Arc::new(by)));
        }
    }

    /// Its socket has ended: nothing goes out or is taken from now on.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        if let Carrier::Opened(slot) = &self.carrier {
            slot.store(None);
        }
    }

    /// Whether it carries voice to the client.
    pub fn is_up(&self) -> bool {
        self.machine().figures().up
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    pub(super) fn sealed(&self) -> Option<&Sealed> {
        match &self.carrier {
            Carrier::Sealed(sealed) => Some(sealed),
            Carrier::Opened(_) => None,
        }
    }

    fn send(&self, counter: u32, buffers: &mut Buffers) -> bool {
        match &self.carrier {
            Carrier::Sealed(sealed) => sealed.send(counter, &buffers.inner, &mut buffers.packet),
            Carrier::Opened(slot) => slot.load().as_ref().is_some_and(|carry| carry.send(counter, &buffers.inner)),
        }
    }

    /// Sends a live frame, its age as of now, the way that the path finds right. Gives which way it went.
    pub fn voice(&self, now: Mono, frame: &Bytes, buffers: &mut Buffers) -> Route {
        if self.has_ended() {
            return Route::Socket;
        }
        buffers.inner.clear();
        let mut machine = self.machine();
        let route = machine.voice(now, frame, &mut buffers.inner);
        // What the path may have lost: it was sent before this frame.
        let resend = machine.resend(now);
        drop(machine);
        let sent = match route {
            Route::Datagram(counter) | Route::Both(counter) => self.send(counter, buffers),
            Route::Socket => false,
        };
        resend.into_iter().for_each(|frame| self.out.voice(frame));
        // What could not leave, as on a connection that has ended, need not wait until the machine learns of it.
        if !sent || matches!(route, Route::Both(_)) {
            self.out.voice(frame.clone());
        }
        route
    }

    /// The client says that nothing comes by datagram.
    pub fn stalled(&self, now: Mono) {
        self.resends(now, |machine| machine.stalled(now));
    }

    /// The burst with this tag has ended: its last words go over the socket before the client hears of that.
    pub fn ended_burst(&self, now: Mono, tag: BurstTag) {
        self.resends(now, |machine| machine.ended(now, tag));
    }

    /// Does this, and puts what the machine then has for the socket into its queue.
    fn resends(&self, now: Mono, change: impl FnOnce(&mut Path)) {
        let mut machine = self.machine();
        change(&mut machine);
        let resend = machine.resend(now);
        drop(machine);
        resend.into_iter().for_each(|frame| self.out.voice(frame));
    }

    /// Whether the datagram with this counter came before, or is too old to be told from one that did.
    pub(super) fn came_before(&self, counter: u32) -> bool {
        self.machine().came_before(counter)
    }

    /// A genuine datagram came: its frames wait for the reader from now on. Gives the answer to a challenge, if it was one.
    /// [`Session::reply`] is to be called after.
    pub(super) fn take(&self, now: Mono, counter: u32, inner: &Bytes) -> Result<Option<[u8; 8]>, DatagramError> {
        let mut frames = Vec::new();
        let mut machine = self.machine();
        machine.received(now, counter, inner, &mut frames)?;
        let response = machine.take_response();
        drop(machine);
        if !frames.is_empty() {
            let mut uplink = self.uplink.lock().unwrap_or_else(PoisonError::into_inner);
            for frame in frames {
                if uplink.len() == UPLINK_FRAMES_MAX {
                    uplink.pop_front();
                    metrics::counter!("holler_voice_datagrams_total", "what" => "reader-behind").increment(1);
                }
                uplink.push_back(frame);
            }
            drop(uplink);
            self.came.notify_one();
        }
        Ok(response)
    }

    /// Sends what the machine has to say now. Gives whether it will have more to say later.
    pub(super) fn reply(&self, now: Mono, buffers: &mut Buffers) -> bool {
        let mut machine = self.machine();
        buffers.inner.clear();
        while let Some(counter) = machine.next(now, &mut buffers.inner) {
            self.send(counter, buffers);
            buffers.inner.clear();
        }
        machine.poll_timeout().is_some()
    }

    /// Challenges an address, by sealed UDP.
    pub(super) fn challenge(&self, bytes: [u8; 8], buffers: &mut Buffers) -> Option<u32> {
        buffers.inner.clear();
        self.machine().challenge(bytes, &mut buffers.inner)
    }

    /// The client showed that it is where datagrams go.
    pub(super) fn placed(&self, now: Mono) {
        self.machine().placed(now);
    }

    /// The client has moved, or may have: what was sent to where it was goes over the socket.
    pub(super) fn moved(&self, now: Mono) {
        self.resends(now, |machine| machine.moved(now));
    }

    /// Lets what is due happen. Gives whether there will be more.
    pub(super) fn timeout(&self, now: Mono, buffers: &mut Buffers) -> bool {
        if self.has_ended() {
            return false;
        }
        self.machine().timeout(now);
        self.reply(now, buffers)
    }

    /// The next frame that came, if one did.
    pub fn try_frame(&self) -> Option<VoiceFrame> {
        self.uplink.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    /// The next frame that came; waits for it.
    pub(crate) async fn next_frame(&self) -> VoiceFrame {
        loop {
            if let Some(frame) = self.try_frame() {
                return frame;
            }
            self.came.notified().await;
        }
    }
}

impl Buffers {
    pub(super) fn parts(&mut self) -> (&[u8], &mut Vec<u8>) {
        (&self.inner, &mut self.packet)
    }
}
