//! One end of a voice path: which way each frame goes, with how many copies, and whether the path still carries.
//!
//! The same machine runs at both ends ([`End`]). It trusts nothing but proof: a report from the other end that tells of datagrams
//! sent lately. While the proof is fresh, frames go by datagram alone; when it is late they go both ways, and those that nothing
//! was heard of go over the socket after all; when it stays away the socket carries alone, and the path must prove itself anew after a
//! wait that doubles. So a path that dies in the middle of a burst costs no frame, and one that never carried costs nothing.
//!
//! | who | sends | when |
//! |---|---|---|
//! | the client | a probe | at the start; every second around voice; every 20 s otherwise, which keeps the way through a NAT open; while none is answered, after waits that double; on a device that was put away around voice only |
//! | either | a report | at the first voice after a pause, then every 100 ms (the server, to who talks) or 500 ms (a listener), and when 32 datagrams of it came |
//! | a listener | `voice.path.stalled` over the socket | when datagrams stop while somebody talks |
//!
//! Counters are the shell's to seal or carry; [`Path::received`] takes each once. Frames that came, too, are given out once, whether they
//! came as the newest or as a copy. The shell calls [`Path::next`] until it gives nothing, after each [`Path::received`] and
//! [`Path::timeout`].

mod came;
mod kinds;
mod loss;
mod sent;
mod window;

use core::time::Duration;
use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use came::Came;
use loss::Loss;
use sent::{Sent, aged, distance};
use window::Window;

use crate::units::{BurstTag, Mono};
use crate::wire::datagram::{COPY_HEADER_BYTES, Datagram, DatagramError, Report, VOICE_HEADER_BYTES, put_voice};
use crate::wire::limits::{DATAGRAM_BYTES_MAX, DATAGRAM_COPIES_MAX};
use crate::wire::voice::{HEADER_BYTES, VoiceFrame};

pub use kinds::{End, PathFigures, Route};
pub use window::WINDOW;

/// What carriers put around the inner bytes, at most.
const OVERHEAD_BYTES_MAX: usize = 48;
/// Largest inner bytes.
pub const INNER_BYTES_MAX: usize = DATAGRAM_BYTES_MAX - OVERHEAD_BYTES_MAX;

/// Frames that are remembered until they are reported: 2 s of 20 ms frames.
const RECENT_MAX: usize = 100;
/// How far back copies are looked for among them: bursts of a few rooms may take turns.
const COPIES_REACH: usize = 16;
/// How many frames before the newest each copy is. Neighbours are lost together: at 20 % loss in runs of three packets, copies two and four back
/// give 0.95 PESQ more than those one and two back, and no less at random loss (`./x bench speech`). The farther, the later a frame comes that
/// only its copy brings: 80 ms here.
const DISTANCES: [u8; 2] = [2, 4];

/// How often a client probes around voice.
const PROBE_LIVE: Duration = Duration::from_secs(1);
/// How often a client probes otherwise: below the 30 s after which the shortest-lived NAT tables forget (RFC 4787 demands 120 s,
/// few obey).
const PROBE_QUIET: Duration = Duration::from_secs(20);
/// The wait after the first probe that is not answered; it doubles.
const PROBE_AGAIN: Duration = Duration::from_millis(200);
/// The longest wait between probes that are not answered.
const PROBE_AGAIN_MAX: Duration = Duration::from_secs(60);
/// The same around voice, which would be better off with the path, and on a path that carried lately: where datagrams were let through
/// they mostly are again soon.
const PROBE_AGAIN_LIVE_MAX: Duration = Duration::from_secs(4);
/// For how long after it carried: a radio is woken that often for so long, and no longer.
const LATELY: Duration = Duration::from_mins(5);
/// Probes in a row that are not answered before the client takes a path for lost on which nobody talks: after 3 s.
const PROBES_LOST: u32 = 5;
/// How old its proof is by then, at least.
const PROOF_LOST: Duration = Duration::from_secs(3);
/// A client asks for another path once a counter is above this: 100,000 are left, the most that a client sends in eight minutes.
const COUNTER_WORN: u32 = u32::MAX - 100_000;
/// For how long after voice a path counts as being around it.
const LIVE: Duration = Duration::from_secs(5);

/// How often the server reports to who talks.
const REPORT_SERVER: Duration = Duration::from_millis(100);
/// How often a listener reports.
const REPORT_CLIENT: Duration = Duration::from_millis(500);
/// Either end reports at the latest when so many datagrams of voice came: from rooms that talk at once they come faster than a report can
/// tell of each ([`Report::has`]) or [`RECENT_MAX`] waits for it. Where one report is lost, the next still tells of all.
const REPORT_AFTER: u32 = 32;
/// A pause in what comes after which the next voice is reported at once.
const PAUSE: Duration = Duration::from_secs(1);

/// A talker's proof is late when it is older than this and two round trips: three reports were lost.
const FRESH_CLIENT: Duration = Duration::from_millis(300);
/// A round trip is taken for this long before it was measured.
const RTT_UNKNOWN: Duration = Duration::from_millis(300);
/// A listener's proof is late when it is older than this: two reports were lost. What was sent meanwhile still goes over the socket then.
const FRESH_SERVER: Duration = Duration::from_millis(1_200);
/// How long frames go both ways without proof before the socket carries alone.
const BOTH_MAX: Duration = Duration::from_secs(3);
/// How long a path that failed is left alone at first; it doubles with each failure.
const FAILED: Duration = Duration::from_secs(2);
/// How long it is left alone at most; a path that carried for this long without failing begins again with the first wait.
const FAILED_MAX: Duration = Duration::from_secs(60);

/// A listener misses datagrams when none came for this long while somebody talks: two frames of the longest kind and some jitter.
const STALL: Duration = Duration::from_millis(160);
/// A pause in what the server itself sends within a burst, about which listeners complain though the path is well.
const OWN_PAUSE: Duration = Duration::from_millis(100);
/// How long after it complaints are not heard.
const COMPLAINT_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug)]
struct Probe {
    nonce: u32,
    sent_at: Mono,
}

/// One end of a voice path.
#[derive(Debug)]
pub struct Path {
    end: End,
    /// The last counter that was used.
    counter: u32,
    recent: VecDeque<Sent>,
    resend: Vec<(Mono, Bytes)>,
    /// The last report that was newer than those before.
    reported: Report,
    loss: Loss,
    /// When the other end last proved that datagrams get there; `None`: never, or not since it failed.
    proved_at: Option<Mono>,
    /// Only what was sent after this counter is proof.
    proof_after: u32,
    /// The same, kept when it fails.
    carried_at: Option<Mono>,
    /// The other end is where datagrams go, or showed it: before, nothing that it says is proof.
    placed: bool,
    /// The other end may have gone somewhere else since: what it says of earlier datagrams is no proof.
    doubted: bool,
    both_since: Option<Mono>,
    failed_until: Option<Mono>,
    failed_wait: Duration,
    /// When a frame was last sent by datagram.
    sent_at: Option<Mono>,
    /// When sending last went on after a pause of this end's own.
    resumed_at: Option<Mono>,
    window: Window,
    lost_here: Loss,
    came: Came,
    /// When voice last came by datagram.
    came_at: Option<Mono>,
    /// When voice last went or came, either way.
    live_at: Option<Mono>,
    report_at: Option<Mono>,
    /// Datagrams of voice that came since the last report.
    unreported: u32,
    answer: Option<u32>,
    respond: Option<[u8; 8]>,
    responded: Option<[u8; 8]>,
    probe: Option<Probe>,
    probe_at: Option<Mono>,
    unanswered: u32,
    rtt: Option<Duration>,
    /// The device was put away: its path is left alone while nobody talks.
    resting: bool,
    /// Whether somebody talks whom this client listens to.
    expecting: bool,
    stalled: bool,
}

impl Path {
    /// A path on which nothing was sent yet.
    pub fn new(now: Mono, end: End) -> Self {
        Self {
            end,
            counter: 0,
            recent: VecDeque::new(),
            resend: Vec::new(),
            reported: Report::default(),
            loss: Loss::default(),
            proved_at: None,
            proof_after: 0,
            carried_at: None,
            placed: true,
            doubted: false,
            both_since: None,
            failed_until: None,
            failed_wait: FAILED,
            sent_at: None,
            resumed_at: None,
            window: Window::default(),
            lost_here: Loss::default(),
            came: Came::default(),
            came_at: None,
            live_at: None,
            report_at: None,
            unreported: 0,
            answer: None,
            respond: None,
            responded: None,
            probe: None,
            probe_at: (end == End::Client).then_some(now),
            unanswered: 0,
            rtt: None,
            resting: false,
            expecting: false,
            stalled: false,
        }
    }

    /// A path whose other end must first show that it is where datagrams go ([`Path::placed`]): else it could have voice sent to anybody.
    pub fn unplaced(now: Mono, end: End) -> Self {
        Self { placed: false, ..Self::new(now, end) }
    }

    /// The other end showed that it is where datagrams go: what it told of them counts from now on.
    pub fn placed(&mut self, now: Mono) {
        self.placed = true;
        self.prove(now);
    }

    /// Sends a live voice frame, its age as of now. What is to be sent by datagram is appended to `out`.
    pub fn voice(&mut self, now: Mono, frame: &Bytes, out: &mut Vec<u8>) -> Route {
        self.live(now);
        if VOICE_HEADER_BYTES + frame.len() > INNER_BYTES_MAX || frame.len() <= HEADER_BYTES {
            return Route::Socket;
        }
        let Some(alone) = self.carries(now) else { return Route::Socket };
        let pause = self.sent_at.map_or(Duration::ZERO, |sent_at| now.since(sent_at));
        if pause > OWN_PAUSE && pause <= PAUSE {
            self.resumed_at = Some(now);
        }
        let Some(counter) = self.count() else {
            self.reopen(now);
            return Route::Socket;
        };
        self.sent_at = Some(now);
        let copied = self.copied(frame);
        let copies = copied.iter().flatten().filter_map(|(at, distance)| {
            let sent = self.recent.get(*at)?;
            Some((*distance, aged(&sent.frame, now.since(sent.at)), &sent.frame[HEADER_BYTES..]))
        });
        put_voice(out, frame, copies);
        for (at, _) in copied.into_iter().flatten() {
            self.recent[at].copied_in(counter);
        }
        if self.recent.len() == RECENT_MAX
            && let Some(mut oldest) = self.recent.pop_front()
        {
            // What was recorded before the floor came is sent faster than it was spoken: what can't be remembered any more goes
            // over the socket as well.
            self.resend.extend(oldest.again(now));
        }
        self.recent.push_back(Sent::new(counter, now, frame.clone(), alone));
        if alone { Route::Datagram(counter) } else { Route::Both(counter) }
    }

    /// The counter of one more datagram; `None`: there is none left, as none ever comes again.
    fn count(&mut self) -> Option<u32> {
        self.counter = self.counter.checked_add(1)?;
        Some(self.counter)
    }

    /// Whether the counters of either end come to an end: then another path is to be asked for.
    pub fn is_worn(&self) -> bool {
        self.counter.max(self.window.counts().highest) > COUNTER_WORN
    }

    /// Which earlier frames to repeat with this one: where they are among the recent ones, and how far before it.
    fn copied(&self, frame: &[u8]) -> [Option<(usize, u8)>; DATAGRAM_COPIES_MAX] {
        let mut left = INNER_BYTES_MAX - VOICE_HEADER_BYTES - frame.len();
        let mut wanted = DISTANCES.iter().take(self.loss.copies()).filter_map(|wanted| {
            let mut reach = self.recent.iter().enumerate().rev().take(COPIES_REACH);
            let (at, sent) = reach.find(|(_, sent)| distance(frame, &sent.frame) == Some(*wanted))?;
            left = left.checked_sub(COPY_HEADER_BYTES + sent.frame.len() - HEADER_BYTES)?;
            Some((at, *wanted))
        });
        core::array::from_fn(|_| wanted.next())
    }

    /// Whether datagrams carry voice now, and if so whether alone.
    fn carries(&mut self, now: Mono) -> Option<bool> {
        let proved_at = self.proved_at?;
        let fresh = match self.end {
            End::Client => FRESH_CLIENT + 2 * self.rtt.unwrap_or(RTT_UNKNOWN),
            End::Server => FRESH_SERVER,
        };
        if now.since(proved_at) <= fresh && !self.doubted {
            self.both_since = None;
            return Some(true);
        }
        // After a pause there is no proof of late, which says nothing against the path.
        if self.sent_at.is_none_or(|sent_at| now.since(sent_at) > PAUSE) {
            self.both_since = None;
        }
        let Some(since) = self.both_since else {
            self.both_since = Some(now);
            self.reopen(now);
            self.probe_soon(now);
            return Some(false);
        };
        if now.since(since) <= BOTH_MAX {
            return Some(false);
        }
        self.fail(now);
        None
    }

    /// What nothing was heard of goes over the socket.
    fn reopen(&mut self, now: Mono) {
        let again = self.recent.iter_mut().filter_map(|sent| sent.again(now));
        self.resend.extend(again);
    }

    fn fail(&mut self, now: Mono) {
        let Some(proved_at) = self.proved_at.take() else { return };
        if self.failed_until.is_none_or(|until| proved_at.since(until) > FAILED_MAX) {
            self.failed_wait = FAILED;
        }
        self.failed_until = Some(now + self.failed_wait);
        self.failed_wait = (2 * self.failed_wait).min(FAILED_MAX);
        self.proof_after = self.counter;
        self.both_since = None;
        self.reopen(now);
        if self.end == End::Client {
            self.probe = None;
            self.unanswered = 0;
            self.probe_at = self.failed_until;
        }
    }

    /// Voice of this device or for it went or came over the socket, or soon will.
    pub fn live(&mut self, now: Mono) {
        let was_quiet = self.live_at.is_none_or(|at| now.since(at) > LIVE);
        self.live_at = Some(now);
        if was_quiet && self.unanswered == 0 {
            self.probe_soon(now);
        }
    }

    fn probe_soon(&mut self, now: Mono) {
        if self.end == End::Client && self.failed_until.is_none_or(|until| until <= now) {
            self.probe_at = Some(now);
        }
    }

    /// The talker has ended: what nothing was heard of is to go over the socket before the end does.
    pub fn flush(&mut self, now: Mono) {
        self.reopen(now);
    }

    /// The burst of another has ended, and the other end is about to hear of it: its last words go over the socket before that.
    pub fn ended(&mut self, now: Mono, tag: BurstTag) {
        let last = self.recent.iter_mut().filter(|sent| sent.is_last_word(now, tag));
        self.resend.extend(last.filter_map(|sent| sent.again(now)));
    }

    /// The other end says that nothing comes: the socket carries, until the path has proved itself again. After a pause of this end's own
    /// that is no wonder: then only what nothing was heard of goes over the socket.
    pub fn stalled(&mut self, now: Mono) {
        let sends = self.sent_at.is_some_and(|at| now.since(at) <= OWN_PAUSE);
        if sends && self.resumed_at.is_none_or(|at| now.since(at) > COMPLAINT_MAX) {
            self.fail(now);
        } else {
            self.reopen(now);
        }
    }

    /// The other end has moved, or may have: what was sent to where it was may be lost, and goes over the socket. Until there is proof of
    /// what is sent from now on, frames go both ways.
    pub fn moved(&mut self, now: Mono) {
        self.doubted = true;
        self.proof_after = self.counter;
        self.reopen(now);
    }

    /// The network of this end changed: the path is to prove itself at once.
    pub fn network_changed(&mut self, now: Mono) {
        self.live(now);
        self.probe_soon(now);
    }

    /// The device was put away, or taken up again. While it is away and nobody talks nothing is sent on the path: each probe would have a phone's
    /// radio work for some ten seconds. The first voice after that goes both ways, or over the socket, until there is proof.
    pub fn rest(&mut self, now: Mono, resting: bool) {
        if self.resting && !resting {
            self.probe_soon(now);
        }
        self.resting = resting;
    }

    /// When the next probe is due. A device that was put away probes around voice only.
    fn probes_at(&self) -> Option<Mono> {
        self.probe_at.filter(|at| !self.resting || self.live_at.is_some_and(|live_at| *at <= live_at + LIVE))
    }

    /// Whether somebody talks whom this client listens to, so that datagrams should come.
    pub fn expect(&mut self, now: Mono, expecting: bool) {
        if expecting && !self.expecting {
            // What came before says nothing.
            self.came_at = None;
            self.stalled = false;
            self.live(now);
        }
        self.expecting = expecting;
    }

    /// Whether to tell the server that datagrams have stopped in the middle of a burst; once for each time that they do.
    pub fn take_stalled(&mut self) -> bool {
        core::mem::take(&mut self.stalled)
    }

    /// Frames for the socket, their ages as of now.
    pub fn resend(&mut self, now: Mono) -> Vec<Bytes> {
        self.resend
            .drain(..)
            .map(|(at, frame)| {
                let age = aged(&frame, now.since(at));
                let mut frame = BytesMut::from(&*frame);
                frame[2..4].copy_from_slice(&age.0.to_be_bytes());
                frame.freeze()
            })
            .collect()
    }

    /// Whether the datagram with this counter came before, or is too old to be told from one that did.
    pub fn came_before(&self, counter: u32) -> bool {
        !self.window.is_new(counter)
    }

    /// Takes in a datagram that was found genuine. Frames that are new are appended to `frames`, the oldest first.
    pub fn received(
        &mut self,
        now: Mono,
        counter: u32,
        inner: &Bytes,
        frames: &mut Vec<VoiceFrame>,
    ) -> Result<(), DatagramError> {
        if !self.window.take(counter) {
            return Err(DatagramError::Replayed(counter));
        }
        self.lost_here.reported(now, self.window.counts());
        match Datagram::decode(inner)? {
            Datagram::Probe { nonce, report } => {
                self.answer = Some(nonce);
                self.heard(now, report);
            }
            Datagram::Answer { nonce, report } => {
                if let Some(probe) = self.probe.filter(|probe| probe.nonce == nonce) {
                    self.answered(now, probe);
                }
                self.heard(now, report);
            }
            Datagram::Challenge(bytes) => self.respond = Some(bytes),
            Datagram::Response(bytes) => self.responded = Some(bytes),
            Datagram::Report(report) => self.heard(now, report),
            Datagram::Voice { newest, copies } => {
                let paused = self.came_at.is_none_or(|at| now.since(at) > PAUSE);
                self.came_at = Some(now);
                self.live(now);
                let every = if self.end == End::Server { REPORT_SERVER } else { REPORT_CLIENT };
                self.unreported += 1;
                self.report_at = Some(if paused || self.unreported >= REPORT_AFTER {
                    now
                } else {
                    self.report_at.unwrap_or(now + every)
                });
                for frame in copies.into_iter().rev().chain([newest]) {
                    if self.came.is_new(frame.tag, frame.number) {
                        frames.push(frame);
                    }
                }
            }
        }
        Ok(())
    }

    fn answered(&mut self, now: Mono, probe: Probe) {
        let rtt = now.since(probe.sent_at);
        self.rtt = Some(self.rtt.map_or(rtt, |smooth| (7 * smooth + rtt) / 8));
        self.probe = None;
        let was_lost = self.proved_at.is_none() || self.unanswered > 1;
        self.unanswered = 0;
        if was_lost {
            // The server has its proof with this, without waiting for the next probe; and with those that follow, should it not
            // believe it yet.
            self.report_at = Some(now);
            self.live_at = Some(now);
        }
        self.probe_at = Some(now + if self.is_live(now) { PROBE_LIVE } else { PROBE_QUIET });
    }

    fn is_live(&self, now: Mono) -> bool {
        self.live_at.is_some_and(|at| now.since(at) <= LIVE)
    }

    fn heard(&mut self, now: Mono, report: Report) {
        // Later news may come first; and nobody can have what was not sent.
        if report.highest <= self.reported.highest || report.highest > self.counter {
            return;
        }
        self.reported = report;
        self.loss.reported(now, report);
        for sent in self.recent.iter_mut().filter(|sent| sent.open) {
            sent.open = !sent.came(&report);
        }
        self.prove(now);
    }

    /// What was reported last may be proof.
    fn prove(&mut self, now: Mono) {
        let told = self.placed && self.reported.highest > self.proof_after;
        if told && self.failed_until.is_none_or(|until| until <= now) {
            self.proved_at = Some(now);
            self.carried_at = Some(now);
            self.doubted = false;
            self.both_since = None;
        }
    }

    /// Writes a challenge to `out` and gives its counter: to be sent to an address that is to be proved. `None`: no counter is left.
    pub fn challenge(&mut self, bytes: [u8; 8], out: &mut Vec<u8>) -> Option<u32> {
        let counter = self.count()?;
        Datagram::Challenge(bytes).put(out);
        Some(counter)
    }

    /// The answer to a challenge that came.
    pub fn take_response(&mut self) -> Option<[u8; 8]> {
        self.responded.take()
    }

    /// What to send beside voice, appended to `out`, and its counter.
    pub fn next(&mut self, now: Mono, out: &mut Vec<u8>) -> Option<u32> {
        if self.counter == u32::MAX {
            return None;
        }
        let is_due = self.probes_at().is_some_and(|at| at <= now);
        if is_due
            && self.unanswered >= PROBES_LOST
            && self.proved_at.is_some_and(|proved_at| now.since(proved_at) >= PROOF_LOST)
        {
            self.fail(now);
        }
        if let Some(bytes) = self.respond.take() {
            Datagram::Response(bytes).put(out);
        } else if let Some(nonce) = self.answer.take() {
            Datagram::Answer { nonce, report: self.report() }.put(out);
        } else if self.probes_at().is_some_and(|at| at <= now) {
            // The counter is as good a nonce as any: the datagram is sealed.
            let nonce = self.counter + 1;
            self.probe = Some(Probe { nonce, sent_at: now });
            let often = self.is_live(now) || self.carried_at.is_some_and(|at| now.since(at) <= LATELY);
            let longest = if often { PROBE_AGAIN_LIVE_MAX } else { PROBE_AGAIN_MAX };
            let wait = PROBE_AGAIN.saturating_mul(1 << self.unanswered.min(16)).min(longest);
            self.probe_at = Some(now + wait);
            self.unanswered += 1;
            Datagram::Probe { nonce, report: self.report() }.put(out);
        } else if self.report_at.is_some_and(|at| at <= now) {
            self.report_at = None;
            Datagram::Report(self.report()).put(out);
        } else {
            return None;
        }
        self.count()
    }

    fn report(&mut self) -> Report {
        self.unreported = 0;
        self.window.report()
    }

    /// When to call [`Path::timeout`].
    pub fn poll_timeout(&self) -> Option<Mono> {
        let stall = self.came_at.filter(|_| self.expecting).map(|at| at + STALL);
        let speaks = [self.probes_at(), self.report_at].into_iter().filter(|_| self.counter < u32::MAX);
        speaks.chain([stall]).flatten().min()
    }

    /// The time has come.
    pub fn timeout(&mut self, now: Mono) {
        if self.expecting && self.came_at.is_some_and(|at| at + STALL <= now) {
            self.came_at = None;
            self.stalled = true;
            self.probe_soon(now);
        }
        if !self.is_live(now) && !self.recent.is_empty() {
            // A path that rests takes little memory.
            self.recent = VecDeque::new();
            self.came = Came::default();
        }
    }

    /// The path in figures.
    pub fn figures(&self) -> PathFigures {
        PathFigures {
            up: self.proved_at.is_some(),
            rtt: self.rtt,
            loss_sent: self.loss.per_mille(),
            loss_received: self.lost_here.per_mille(),
            copies: self.loss.copies(),
        }
    }
}

#[cfg(test)]
mod tests;
