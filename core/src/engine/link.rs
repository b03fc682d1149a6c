//! The connection: token, socket, `auth`, heartbeats, and coming back after it broke.
//!
//! ```text
//!  Off ──start──▶ Token ──▶ Connecting ──▶ Authenticating ──welcome──▶ Up
//!   ▲               ▲            │                │                    │
//!   └─final close───┴──expired───┴──▶ Waiting ◀───┴────────────────────┘
//! ```

mod rhythm;
mod welcome;

use core::time::Duration;

use rhythm::{Ping, Rhythm};
pub(super) use welcome::Welcome;

use super::Cx;
use super::backoff::{BACKOFF_FIRST, Budget, Waits};
use super::notice::{LinkReason, LinkState, Notice};
use super::ports::{ConnectFailure, Lane, LinkNo, Output};
use super::server_clock::ServerClock;
use crate::model::PresenceState;
use crate::units::{DeviceId, Mono, UnixMs, UserId};
use crate::wire::limits::{AUTH_WAIT, HEARTBEAT, HEARTBEAT_IDLE_MAX, HEARTBEAT_SLACK, HEARTBEAT_TALKING, SILENCE_MAX};
use crate::wire::socket::{ClientMessage, CloseCode, Follow};

/// The longest time that a server may ask this client to stay away.
const STAY_AWAY_MAX: Duration = Duration::from_secs(600);
/// A connection that held this long was a good one: the next failure begins with the first wait again.
const GOOD_AFTER: Duration = Duration::from_secs(10);
/// How long opening a socket may take. Bad mobile links need several seconds for TCP and TLS.
const CONNECT_WAIT: Duration = Duration::from_secs(20);
/// How long a refresh of the token may take before it is asked for again.
const TOKEN_WAIT: Duration = Duration::from_secs(30);
/// A `ping` for which nothing at all came back in this time means that the connection is dead. While idle it is long, as a
/// sleeping radio takes seconds to wake.
const PONG_WAIT: Duration = Duration::from_secs(10);
/// The same while talking: a new connection within the floor's 2 s of grace is not possible after it, but each second less
/// is a second that the listeners hear live.
const PONG_WAIT_TALKING: Duration = Duration::from_secs(3);
/// A connection on which something was sent, and nothing came for this long, is asked whether it is still there. Most of what is
/// sent is answered at once; what is not costs one `ping`, while the radio is awake.
const UNANSWERED_WAIT: Duration = Duration::from_secs(5);
/// How often to measure the round trip while voice flows, which is itself the sign of life.
const MEASURE_TALKING: Duration = Duration::from_secs(2);
/// A token is refreshed this long before it expires, or after three quarters of a shorter life.
const REFRESH_AHEAD: Duration = Duration::from_secs(60);
/// What this client is called, for the operator.
const CLIENT: &str = concat!("holler/", env!("CARGO_PKG_VERSION"));

#[derive(Debug)]
enum State {
    Off,
    /// Waits for a token, since then.
    Token {
        since: Mono,
    },
    Connecting {
        link: LinkNo,
        since: Mono,
    },
    Authenticating {
        link: LinkNo,
        since: Mono,
    },
    Up(Session),
    Waiting {
        until: Mono,
    },
}

/// What holds while the connection is up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Session {
    pub(super) link: LinkNo,
    pub(super) user: UserId,
    pub(super) device: DeviceId,
    since: Mono,
}

#[derive(Debug)]
struct Token {
    access: String,
    refresh_at: Mono,
    expires_at: Mono,
}

/// What the next `auth` may show instead of the access token.
#[derive(Debug)]
struct Resume {
    token: String,
    until: Mono,
}

/// What the rest of the engine must know at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Up,
    Down,
}

#[derive(Debug)]
pub(super) struct Link {
    state: State,
    next_link: u32,
    waits: Waits,
    budget: Budget,
    /// The server asked to be left alone until then.
    stay_away: Mono,
    server_clock: ServerClock,
    token: Option<Token>,
    resume: Option<Resume>,
    rhythm: Rhythm,
    /// The next sign of life was promised within this time.
    promised: Duration,
    /// When something happened that people care about.
    active_at: Mono,
    pinged_at: Mono,
    refreshing: Option<Mono>,
    /// Earliest next try of a refresh that failed.
    refresh_not_before: Mono,
    heard_at: Mono,
    ping: Option<Ping>,
    rtt: Option<Duration>,
    rtt_told: bool,
    talking: bool,
}

impl Link {
    pub(super) fn new() -> Self {
        Self {
            state: State::Off,
            next_link: 1,
            waits: Waits::default(),
            budget: Budget::default(),
            stay_away: Mono::default(),
            server_clock: ServerClock::default(),
            token: None,
            resume: None,
            rhythm: Rhythm {
                idle: false,
                relied_on: false,
                usual: HEARTBEAT,
                now: HEARTBEAT,
                longest: HEARTBEAT_IDLE_MAX,
            },
            promised: HEARTBEAT,
            active_at: Mono::default(),
            pinged_at: Mono::default(),
            refreshing: None,
            refresh_not_before: Mono::default(),
            heard_at: Mono::default(),
            ping: None,
            rtt: None,
            rtt_told: false,
            talking: false,
        }
    }

    pub(super) fn session(&self) -> Option<Session> {
        if let State::Up(session) = self.state { Some(session) } else { None }
    }

    /// The round trip, smoothed; `None` before the first `pong`.
    pub(super) fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// What the server's clock says.
    pub(super) fn server_clock(&self) -> ServerClock {
        self.server_clock
    }

    /// When something last came from the server.
    pub(super) fn heard_at(&self) -> Mono {
        self.heard_at
    }

    fn current(&self) -> Option<LinkNo> {
        match &self.state {
            State::Connecting { link, .. } | State::Authenticating { link, .. } => Some(*link),
            State::Up(session) => Some(session.link),
            State::Off | State::Token { .. } | State::Waiting { .. } => None,
        }
    }

    /// Whether news of `link` are about the present connection.
    pub(super) fn is_current(&self, link: LinkNo) -> bool {
        self.current() == Some(link)
    }

    pub(super) fn start(&mut self, cx: &mut Cx<'_>) {
        if matches!(self.state, State::Off) {
            self.waits.failures = 0;
            self.connect(cx);
        }
    }

    pub(super) fn stop(&mut self, cx: &mut Cx<'_>) {
        self.end(cx, LinkReason::Stopped);
    }

    pub(super) fn network_up(&mut self, cx: &mut Cx<'_>) {
        self.rhythm.longest = HEARTBEAT_IDLE_MAX;
        match &self.state {
            State::Waiting { .. } if cx.now >= self.stay_away => {
                self.waits.failures = 0;
                self.connect(cx);
            }
            // The old path may be gone without a word: ask, and the wait for the answer decides.
            State::Up(_) => self.send_ping(cx),
            // What was begun over the old path may never be answered.
            State::Connecting { link, .. } | State::Authenticating { link, .. } => {
                let link = *link;
                self.waits.failures = 0;
                cx.push(Output::Disconnect { link });
                self.connect(cx);
            }
            State::Off | State::Token { .. } | State::Waiting { .. } => {}
        }
    }

    /// The server might be reached: a wait for the next try ends, and a connection that was silent for long is asked.
    pub(super) fn sign_of_network(&mut self, cx: &mut Cx<'_>) {
        match &self.state {
            State::Waiting { .. } if cx.now >= self.stay_away && self.waits.heed_sign(cx.now) => self.connect(cx),
            State::Up(_) if self.ping.is_none() && cx.now.since(self.heard_at) >= UNANSWERED_WAIT => self.send_ping(cx),
            State::Off | State::Token { .. } | State::Waiting { .. } => {}
            State::Connecting { .. } | State::Authenticating { .. } | State::Up(_) => {}
        }
    }

    /// Whether this client has, or waits for, the floor: then the server must hear from it often.
    pub(super) fn set_talking(&mut self, cx: &mut Cx<'_>, talking: bool) {
        if talking && !self.talking && matches!(self.state, State::Up(_)) && self.ping.is_none() {
            self.send_ping(cx);
        }
        self.talking = talking;
    }

    /// Somebody talked, wrote or pressed a button.
    pub(super) fn note_active(&mut self, now: Mono) {
        self.active_at = now;
        self.rhythm.begin();
    }

    /// Whether what a person says waits for the connection: then the waits are short.
    pub(super) fn set_urgent(&mut self, cx: &mut Cx<'_>, urgent: bool) {
        if urgent
            && !self.waits.urgent
            && let State::Waiting { until } = self.state
        {
            let soon = (cx.now + cx.chance.spread(BACKOFF_FIRST)).max(self.stay_away);
            self.state = State::Waiting { until: until.min(soon) };
        }
        self.waits.urgent = urgent;
    }

    /// Something was heard.
    pub(super) fn note_heard(&mut self, now: Mono) {
        self.heard_at = now;
    }

    pub(super) fn token(&mut self, cx: &mut Cx<'_>, access: String, expires_in: Duration) {
        self.refreshing = None;
        let ahead = REFRESH_AHEAD.min(expires_in / 4);
        self.token = Some(Token {
            access,
            refresh_at: cx.now + expires_in.saturating_sub(ahead),
            expires_at: cx.now + expires_in,
        });
        match &self.state {
            State::Token { .. } => self.connect(cx),
            State::Up(session) => {
                let link = session.link;
                self.send_auth(cx, link, None, vec![]);
            }
            State::Off | State::Connecting { .. } | State::Authenticating { .. } | State::Waiting { .. } => {}
        }
    }

    pub(super) fn token_failed(
        &mut self,
        cx: &mut Cx<'_>,
        sign_in: bool,
        detail: String,
        retry_after: Option<Duration>,
    ) {
        self.refreshing = None;
        let reason = LinkReason::Token { detail };
        if sign_in {
            self.token = None;
            return self.end(cx, reason);
        }
        if matches!(self.state, State::Token { .. }) {
            return self.fail_for(cx, reason, retry_after);
        }
        let stay_away = retry_after.unwrap_or_default().min(STAY_AWAY_MAX);
        self.refresh_not_before = cx.now + stay_away + cx.chance.spread(2 * BACKOFF_FIRST);
    }

    /// Whether this connection is the one that is awaited.
    pub(super) fn awaits(&self, link: LinkNo) -> bool {
        matches!(self.state, State::Connecting { link: current, .. } if current == link)
    }

    /// The socket is open: everything that is wanted of it goes out in one message.
    pub(super) fn connected(
        &mut self,
        cx: &mut Cx<'_>,
        link: LinkNo,
        presence: Option<PresenceState>,
        rooms: Vec<Follow>,
    ) {
        if self.awaits(link) {
            self.state = State::Authenticating { link, since: cx.now };
            self.heard_at = cx.now;
            cx.notice(Notice::Link(LinkState::Authenticating));
            self.send_auth(cx, link, presence, rooms);
        }
    }

    pub(super) fn connect_failed(
        &mut self,
        cx: &mut Cx<'_>,
        link: LinkNo,
        failure: ConnectFailure,
        detail: String,
        retry_after: Option<Duration>,
    ) {
        if !self.is_current(link) {
            return;
        }
        self.fail_for(cx, LinkReason::Connect { failure, detail }, retry_after);
    }

    pub(super) fn closed(&mut self, cx: &mut Cx<'_>, link: LinkNo, code: Option<u16>, detail: String) {
        if !self.is_current(link) {
            return;
        }
        match code.and_then(CloseCode::from_number) {
            Some(CloseCode::TokenExpired) => {
                (self.token, self.resume) = (None, None);
                // At once where a session ran out; one that was refused from the start may be so again.
                let wait = self.session().map(|_| Duration::ZERO);
                self.fail(cx, LinkReason::Closed(CloseCode::TokenExpired), wait);
            }
            // `auth` was sent as the first thing; on a way that stalled it came too late.
            Some(code @ CloseCode::AuthExpected) if matches!(self.state, State::Authenticating { .. }) => {
                self.fail(cx, LinkReason::Closed(code), None);
            }
            Some(CloseCode::ResumeRefused) => {
                // At once, but only once: the next attempt shows the access token.
                let wait = self.resume.take().map(|_| Duration::ZERO);
                self.fail(cx, LinkReason::Closed(CloseCode::ResumeRefused), wait);
            }
            Some(code) if code.resumable() => self.fail(cx, LinkReason::Closed(code), None),
            Some(code) => self.end(cx, LinkReason::Closed(code)),
            None => self.fail(cx, LinkReason::Lost { detail }, None),
        }
    }

    pub(super) fn welcome(&mut self, cx: &mut Cx<'_>, welcome: Welcome) {
        let Welcome { user, device, server_time, heartbeat_ms, expires_in_s, resume } = welcome;
        let until = cx.now + Duration::from_secs(u64::from(expires_in_s));
        self.resume = resume.map(|token| Resume { token, until });
        if let Some(token) = &mut self.token {
            // The server's word counts: it may be stricter than what the shell was told.
            let ahead = REFRESH_AHEAD.min(Duration::from_secs(u64::from(expires_in_s)) / 4);
            token.expires_at = cx.now + Duration::from_secs(u64::from(expires_in_s));
            token.refresh_at = token.expires_at - ahead;
        }
        if let State::Authenticating { link, since } = self.state {
            self.server_clock.sample(cx.now, server_time, cx.now.since(since));
            self.rhythm.usual = Duration::from_millis(u64::from(heartbeat_ms)).clamp(HEARTBEAT_TALKING, HEARTBEAT * 4);
            self.rhythm.begin();
            self.state = State::Up(Session { link, user, device, since: cx.now });
            self.ping = None;
            self.rtt = None;
            self.rtt_told = false;
            cx.notice(Notice::Link(LinkState::Up { user, device }));
            self.send_ping(cx);
        }
    }

    pub(super) fn pong(&mut self, cx: &mut Cx<'_>, nonce: u32, server_time: UnixMs) {
        let Some(ping) = self.ping.take_if(|ping| ping.nonce == nonce) else { return };
        let sample = cx.now.since(ping.sent);
        self.server_clock.sample(cx.now, server_time, sample);
        // RFC 6298 section 2: an eighth of each new sample.
        let smoothed = self.rtt.map_or(sample, |old| (old * 7 + sample) / 8);
        self.rtt = Some(smoothed);
        cx.notice(Notice::RoundTrip(smoothed));
        if ping.quiet && self.active_at <= ping.sent {
            self.rhythm.answered();
        }
        if !self.rtt_told {
            // The server can only tell how old a frame is once it knows the way here.
            self.send_ping(cx);
        }
    }

    pub(super) fn draining(&mut self, cx: &mut Cx<'_>, after: Duration) {
        self.stay_away = cx.now + after;
        self.fail(cx, LinkReason::Draining, Some(after));
    }

    pub(super) fn poll_timeout(&self, sent_at: Mono) -> Option<Mono> {
        match &self.state {
            State::Off => None,
            State::Token { since } => Some(*since + TOKEN_WAIT),
            State::Connecting { since, .. } => Some(*since + CONNECT_WAIT),
            State::Authenticating { since, .. } => Some(*since + AUTH_WAIT + PONG_WAIT),
            State::Waiting { until } => Some(*until),
            State::Up(_) => [
                Some(self.heard_at + self.silence_max()),
                self.next_ping(sent_at),
                self.pong_due(),
                self.refresh_due(),
                self.token.as_ref().map(|token| token.expires_at),
            ]
            .into_iter()
            .flatten()
            .min(),
        }
    }

    pub(super) fn on_timeout(&mut self, cx: &mut Cx<'_>) {
        let now = cx.now;
        match &self.state {
            State::Off => {}
            State::Token { since } => {
                if now >= *since + TOKEN_WAIT {
                    self.refreshing = None;
                    let detail = "the refresh took too long".to_owned();
                    self.fail(cx, LinkReason::Token { detail }, None);
                }
            }
            State::Connecting { since, .. } => {
                if now >= *since + CONNECT_WAIT {
                    let failure = ConnectFailure::Unreachable;
                    let detail = format!("no connection within {} s", CONNECT_WAIT.as_secs());
                    self.fail(cx, LinkReason::Connect { failure, detail }, None);
                }
            }
            State::Authenticating { since, .. } => {
                if now >= *since + AUTH_WAIT + PONG_WAIT {
                    self.fail(cx, LinkReason::Silent, None);
                }
            }
            State::Waiting { until } => {
                if now >= *until {
                    self.connect(cx);
                }
            }
            State::Up(_) => {
                if now >= self.heard_at + self.silence_max() || self.pong_due().is_some_and(|due| now >= due) {
                    self.rhythm.died();
                    return self.fail(cx, LinkReason::Silent, None);
                }
                if self.token.as_ref().is_some_and(|token| now >= token.expires_at) {
                    self.token = None;
                    let detail = "it expired".to_owned();
                    return self.fail(cx, LinkReason::Token { detail }, Some(Duration::ZERO));
                }
                if self.refresh_due().is_some_and(|due| now >= due) {
                    self.refreshing = Some(now);
                    cx.push(Output::RefreshToken);
                }
                if self.next_ping(*cx.sent_at).is_some_and(|due| now >= due) {
                    self.send_ping(cx);
                }
            }
        }
    }

    /// How long nothing may come: the answer to the next ping, which was promised, comes before.
    fn silence_max(&self) -> Duration {
        SILENCE_MAX.max(self.promised + HEARTBEAT_SLACK)
    }

    fn next_ping(&self, sent_at: Mono) -> Option<Mono> {
        if self.ping.is_some() {
            return None;
        }
        Some(if self.talking {
            // While voice flows only the round trip is of interest, and whether anybody still answers.
            (sent_at + HEARTBEAT_TALKING).min(self.heard_at + MEASURE_TALKING)
        } else {
            let quiet = if sent_at > self.heard_at {
                // Nothing came since something was sent: what is sent again and again is no sign that anybody hears it.
                (sent_at + UNANSWERED_WAIT).min(self.heard_at + self.rhythm.now)
            } else {
                sent_at + self.rhythm.now
            };
            // What is known of presence holds for as long as the last answer promised, however much else is sent.
            quiet.min(self.pinged_at + self.rhythm.now + HEARTBEAT_SLACK / 2)
        })
    }

    /// When the connection counts as dead, as nothing came since the last `ping`.
    fn pong_due(&self) -> Option<Mono> {
        let wait = if self.talking { PONG_WAIT_TALKING } else { PONG_WAIT };
        let ping = self.ping.as_ref()?;
        Some(ping.sent.max(self.heard_at) + wait)
    }

    fn refresh_due(&self) -> Option<Mono> {
        match self.refreshing {
            Some(since) => Some(since + TOKEN_WAIT),
            None => Some(self.token.as_ref()?.refresh_at.max(self.refresh_not_before)),
        }
    }

    fn connect(&mut self, cx: &mut Cx<'_>) {
        if self.token.as_ref().is_none_or(|token| cx.now >= token.expires_at) {
            self.state = State::Token { since: cx.now };
            cx.notice(Notice::Link(LinkState::Refreshing));
            if self.refreshing.is_none() {
                self.refreshing = Some(cx.now);
                cx.push(Output::RefreshToken);
            }
            return;
        }
        if let Err(at) = self.budget.take(cx.now) {
            // A network that comes and goes, or a server that takes connections only to close them.
            let until = at + cx.chance.spread(BACKOFF_FIRST);
            self.state = State::Waiting { until };
            let retry_in = until.since(cx.now);
            return cx.notice(Notice::Link(LinkState::Waiting { reason: LinkReason::TooOften, retry_in }));
        }
        let link = LinkNo(self.next_link);
        self.next_link = self.next_link.wrapping_add(1);
        self.state = State::Connecting { link, since: cx.now };
        self.waits.tried(cx.now);
        cx.notice(Notice::Link(LinkState::Connecting { attempt: self.waits.failures + 1 }));
        cx.push(Output::Connect { link });
    }

    fn send_auth(&mut self, cx: &mut Cx<'_>, link: LinkNo, presence: Option<PresenceState>, rooms: Vec<Follow>) {
        let Some(token) = &self.token else { return };
        let resumes = matches!(self.state, State::Authenticating { .. });
        let resume = self.resume.as_ref().filter(|resume| resumes && cx.now < resume.until);
        let token = resume.map_or(&token.access, |resume| &resume.token).clone();
        cx.send_on(link, Lane::Control, &ClientMessage::Auth { token, client: CLIENT.into(), presence, rooms });
    }

    fn send_ping(&mut self, cx: &mut Cx<'_>) {
        let State::Up(session) = &self.state else { return };
        let nonce = cx.chance.nonce();
        let quiet = *cx.sent_at <= self.pinged_at && self.active_at <= self.pinged_at && !self.talking;
        self.ping = Some(Ping { nonce, sent: cx.now, quiet });
        self.pinged_at = cx.now;
        let rtt_us = self.rtt.map(|rtt| u32::try_from(rtt.as_micros()).unwrap_or(u32::MAX));
        self.rtt_told = rtt_us.is_some();
        // The wait that follows where this one is answered.
        let next = if quiet && self.rhythm.is_idle() {
            (self.rhythm.now * 2).min(self.rhythm.longest)
        } else {
            self.rhythm.now
        };
        self.promised = next.max(HEARTBEAT);
        let next_ms = (next > HEARTBEAT).then(|| u32::try_from(next.as_millis()).unwrap_or(u32::MAX));
        cx.send_on(session.link, Lane::Control, &ClientMessage::Ping { nonce, rtt_us, next_ms });
    }

    /// The same, where the server may have said how long to stay away.
    fn fail_for(&mut self, cx: &mut Cx<'_>, reason: LinkReason, stay_away: Option<Duration>) {
        let spread = cx.chance.spread(self.waits.span(cx.now));
        let stay_away = stay_away.unwrap_or_default().min(STAY_AWAY_MAX);
        self.stay_away = cx.now + stay_away;
        self.fail(cx, reason, Some(stay_away + spread));
    }

    /// The connection, or the attempt, is over: wait, then try again.
    fn fail(&mut self, cx: &mut Cx<'_>, reason: LinkReason, wait: Option<Duration>) {
        let was_up = self.session();
        if let Some(link) = self.current() {
            cx.push(Output::Disconnect { link });
        }
        if was_up.is_some_and(|session| cx.now.since(session.since) >= GOOD_AFTER) {
            self.waits.lost(cx.now);
        }
        let wait = wait.unwrap_or_else(|| cx.chance.spread(self.waits.span(cx.now)));
        self.waits.failures = self.waits.failures.saturating_add(1);
        self.ping = None;
        self.state = State::Waiting { until: cx.now + wait };
        cx.notice(Notice::Link(LinkState::Waiting { reason, retry_in: wait }));
    }

    /// The connection is over for good.
    fn end(&mut self, cx: &mut Cx<'_>, reason: LinkReason) {
        if let Some(link) = self.current() {
            cx.push(Output::Disconnect { link });
        }
        self.ping = None;
        self.state = State::Off;
        cx.notice(Notice::Link(LinkState::Ended { reason }));
    }
}
