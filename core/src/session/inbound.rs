//! What a client may send, and when.

use core::time::Duration;

use bytes::Bytes;

use crate::model::PresenceState;
use crate::units::{Mono, RequestId};
use crate::wire::limits::{AUTH_WAIT, HEARTBEAT, HEARTBEAT_SLACK, SILENCE_MAX};
use crate::wire::problem::{Problem, ProblemKind};
use crate::wire::socket::{ClientMessage, CloseCode, Follow};
use crate::wire::voice::VoiceFrame;

/// Control messages a second that a client may send for long, and how many at once.
const CONTROL_RATE: Rate = Rate { per_s: 100, burst: 400 };
/// Voice frames a second that a client may send for long, and how many at once: live voice is 50/s, and a burst that waited
/// for its grant or is being repaired comes faster.
const VOICE_RATE: Rate = Rate { per_s: 500, burst: 1_000 };

/// Bytes of one message that count as one.
const LONG_BYTES: usize = 2 * 1024;
/// An unreadable message up to this length is looked at again, to name its type and its request in the answer.
const EXPLAINED_BYTES_MAX: usize = 4 * 1024;
/// Characters of an explanation at most: it may quote what was sent.
const DETAIL_CHARS_MAX: usize = 300;

/// What the shell does with what came.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Check this token and tell [`Inbound::authenticated`] the outcome, or close.
    Authenticate {
        /// The access token, or a resume token.
        token: String,
        /// How the person is.
        presence: Option<PresenceState>,
        /// What to follow once the token was found good.
        rooms: Vec<Follow>,
    },
    /// A message that is readable and within its bounds.
    Message(ClientMessage),
    /// A voice frame.
    Voice(VoiceFrame),
    /// Tell the client; the session goes on.
    Refuse {
        /// The request it was about, as far as one can tell.
        request: Option<RequestId>,
        /// Why.
        problem: Problem,
    },
    /// Close the socket.
    Close(CloseCode),
}

#[derive(Debug)]
enum State {
    /// Waiting for `auth`.
    Opening {
        /// By when.
        deadline: Mono,
    },
    /// `auth` came; the shell checks the token.
    Authenticating,
    /// Signed in.
    Open {
        /// Until when the token is valid.
        expires: Mono,
    },
}

/// The inbound half of a session.
#[derive(Debug)]
pub struct Inbound {
    state: State,
    heard: Mono,
    /// How long nothing may come.
    silence_max: Duration,
    control: Bucket,
    voice: Bucket,
}

impl Inbound {
    /// A socket was opened.
    pub fn new(now: Mono) -> Self {
        Self {
            state: State::Opening { deadline: now + AUTH_WAIT },
            heard: now,
            silence_max: SILENCE_MAX,
            control: Bucket::full(CONTROL_RATE, now),
            voice: Bucket::full(VOICE_RATE, now),
        }
    }

    /// A text message came.
    pub fn text(&mut self, now: Mono, text: &str) -> Received {
        self.heard = now;
        let message = match serde_json::from_str::<ClientMessage>(text) {
            Ok(message) => message,
            Err(_) if !self.is_open() => return Received::Close(CloseCode::AuthExpected),
            Err(error) => {
                let (request, detail) = explain(text, &error);
                return Received::Refuse { request, problem: Problem::new(ProblemKind::Malformed, detail) };
            }
        };
        match (&self.state, message) {
            (State::Opening { .. }, message @ ClientMessage::Auth { .. }) if message.check().is_err() => {
                Received::Close(CloseCode::AuthExpected)
            }
            (State::Opening { .. }, ClientMessage::Auth { token, client: _, presence, rooms }) => {
                self.state = State::Authenticating;
                Received::Authenticate { token, presence, rooms }
            }
            (State::Opening { .. } | State::Authenticating, _) => Received::Close(CloseCode::AuthExpected),
            (State::Open { .. }, message) => match (message.check(), message) {
                (Err(problem), message) => Received::Refuse { request: message.request(), problem },
                (Ok(()), ClientMessage::Auth { token, client: _, presence, rooms }) => {
                    Received::Authenticate { token, presence, rooms }
                }
                (Ok(()), message) => {
                    if let ClientMessage::Ping { next_ms, .. } = &message {
                        let promised = next_ms.map_or(HEARTBEAT, |ms| Duration::from_millis(u64::from(ms)));
                        self.silence_max = promised.max(HEARTBEAT) + HEARTBEAT_SLACK;
                    }
                    Received::Message(message)
                }
            },
        }
    }

    /// A binary message came.
    pub fn binary(&mut self, now: Mono, bytes: &Bytes) -> Received {
        self.heard = now;
        if !self.is_open() {
            return Received::Close(CloseCode::AuthExpected);
        }
        match VoiceFrame::decode(bytes) {
            Ok(frame) => self.voice(now, frame),
            Err(error) => {
                Received::Refuse { request: None, problem: Problem::new(ProblemKind::Malformed, error.to_string()) }
            }
        }
    }

    /// A voice frame came, by datagram beside the socket.
    pub fn voice(&mut self, now: Mono, frame: VoiceFrame) -> Received {
        self.heard = now;
        if self.is_open() { Received::Voice(frame) } else { Received::Close(CloseCode::AuthExpected) }
    }

    /// Something else came, such as a WebSocket ping: a sign of life.
    pub fn heard(&mut self, now: Mono) {
        self.heard = now;
    }

    /// The token is valid until `expires`.
    pub fn authenticated(&mut self, expires: Mono) {
        self.state = State::Open { expires };
    }

    /// Whether the client is signed in.
    pub fn is_open(&self) -> bool {
        matches!(self.state, State::Open { .. })
    }

    /// How long nothing may come before the socket counts as lost: what the client last promised, and some slack.
    pub fn silence_max(&self) -> Duration {
        self.silence_max
    }

    /// How long to leave the next message unread, so that a client can't send faster than its rate; zero for most.
    ///
    /// Not reading is the right brake: nothing is lost, and TCP slows the sender down.
    ///
    /// A long message counts as several: reading it takes as long.
    pub fn brake(&mut self, now: Mono, voice: bool, bytes: usize) -> Duration {
        let messages = u32::try_from(1 + bytes / LONG_BYTES).unwrap_or(u32::MAX);
        if voice { self.voice.take(now, messages) } else { self.control.take(now, messages) }
    }

    /// When to call [`Inbound::timeout`].
    pub fn poll_timeout(&self) -> Mono {
        match self.state {
            State::Opening { deadline } => deadline,
            State::Authenticating => self.heard + self.silence_max,
            State::Open { expires } => expires.min(self.heard + self.silence_max),
        }
    }

    /// The time has come: whether to close.
    pub fn timeout(&self, now: Mono) -> Option<CloseCode> {
        match self.state {
            State::Opening { deadline } if now >= deadline => Some(CloseCode::AuthExpected),
            State::Open { expires } if now >= expires => Some(CloseCode::TokenExpired),
            State::Opening { .. } => None,
            State::Authenticating | State::Open { .. } => {
                (now >= self.heard + self.silence_max).then_some(CloseCode::Silent)
            }
        }
    }
}

/// What is wrong with a message that could not be read, with its type, and its request number so that the answer finds its
/// request, as far as they can be told.
fn explain(text: &str, error: &serde_json::Error) -> (Option<RequestId>, String) {
    let value =
        if text.len() <= EXPLAINED_BYTES_MAX { serde_json::from_str::<serde_json::Value>(text).ok() } else { None };
    let request = value.as_ref().and_then(|value| value.get("request")?.as_u64());
    let kind = value.as_ref().and_then(|value| value.get("type")?.as_str());
    let detail = match (&value, kind) {
        (None, _) => format!("expected a JSON object with a type; {error}"),
        (Some(_), None) => "expected a JSON object with a type, such as {\"type\": \"ping\", …}; found none".to_owned(),
        (Some(_), Some(kind)) => format!("in a message of type {kind:.40?}: {error}"),
    };
    let number = request.and_then(|number| u32::try_from(number).ok());
    (number.map(RequestId), detail.chars().take(DETAIL_CHARS_MAX).collect())
}

/// So many a second in the long run, so many at once.
#[derive(Clone, Copy, Debug)]
struct Rate {
    per_s: u64,
    burst: u64,
}

/// A token bucket that never refuses, but says how long to wait.
#[derive(Debug)]
struct Bucket {
    rate: Rate,
    /// When the bucket would be empty of debt: before `now` by at most a full bucket.
    free_at: Mono,
}

impl Bucket {
    fn full(rate: Rate, now: Mono) -> Self {
        Self { rate, free_at: now }
    }

    fn take(&mut self, now: Mono, messages: u32) -> Duration {
        let cost = Duration::from_micros(1_000_000 / self.rate.per_s) * messages;
        self.free_at = self.free_at.max(now) + cost;
        let credit = Duration::from_micros(1_000_000 * self.rate.burst / self.rate.per_s);
        self.free_at.since(now).saturating_sub(credit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const START: Mono = Mono(1_000_000);

    fn open() -> Inbound {
        let mut session = Inbound::new(START);
        let auth = session.text(START, r#"{"type":"auth","token":"t","client":"test 1"}"#);
        assert_eq!(auth, Received::Authenticate { token: "t".into(), presence: None, rooms: vec![] });
        session.authenticated(START + Duration::from_secs(600));
        session
    }

    #[test]
    fn anything_before_auth_closes() {
        for text in [r#"{"type":"ping","nonce":1}"#, "nonsense", r#"{"type":"auth"}"#] {
            assert_eq!(Inbound::new(START).text(START, text), Received::Close(CloseCode::AuthExpected), "{text}");
        }
        let voice = Inbound::new(START).binary(START, &Bytes::from_static(&[1; 40]));
        assert_eq!(voice, Received::Close(CloseCode::AuthExpected));
    }

    #[test]
    fn a_second_auth_before_the_first_is_answered_closes() {
        let mut session = Inbound::new(START);
        let auth = r#"{"type":"auth","token":"t","client":"c"}"#;
        assert!(matches!(session.text(START, auth), Received::Authenticate { .. }));
        assert_eq!(session.text(START, auth), Received::Close(CloseCode::AuthExpected));
    }

    #[test]
    fn auth_has_five_seconds() {
        let session = Inbound::new(START);
        assert_eq!(session.poll_timeout(), START + AUTH_WAIT);
        assert_eq!(session.timeout(START + AUTH_WAIT - Duration::from_micros(1)), None);
        assert_eq!(session.timeout(START + AUTH_WAIT), Some(CloseCode::AuthExpected));
    }

    #[test]
    fn silence_and_expiry_close() {
        let mut session = open();
        assert_eq!(session.timeout(START + SILENCE_MAX), Some(CloseCode::Silent));
        let later = START + Duration::from_secs(30);
        session.heard(later);
        assert_eq!(session.timeout(START + SILENCE_MAX), None);
        session.authenticated(later + Duration::from_secs(1));
        assert_eq!(session.poll_timeout(), later + Duration::from_secs(1));
        assert_eq!(session.timeout(later + Duration::from_secs(1)), Some(CloseCode::TokenExpired));
    }

    #[test]
    fn who_promised_to_be_silent_for_longer_is_waited_for_and_no_longer() {
        let mut session = open();
        let ping = |session: &mut Inbound, now, next: u32| {
            session.text(now, &format!(r#"{{"type":"ping","nonce":1,"next_ms":{next}}}"#))
        };
        assert!(matches!(ping(&mut session, START, 120_000), Received::Message(_)));
        assert_eq!(session.silence_max(), Duration::from_secs(145));
        assert_eq!(session.timeout(START + Duration::from_secs(144)), None);
        assert_eq!(session.timeout(START + Duration::from_secs(145)), Some(CloseCode::Silent));
        // More than that can't be promised, and the next ping without a promise takes it back.
        assert!(matches!(ping(&mut session, START, 120_001), Received::Refuse { .. }));
        session.text(START, r#"{"type":"ping","nonce":2}"#);
        assert_eq!(session.timeout(START + SILENCE_MAX), Some(CloseCode::Silent));
        // Less than the usual heartbeat needs no promise.
        ping(&mut session, START, 500);
        assert_eq!(session.silence_max(), SILENCE_MAX);
    }

    #[test]
    fn refusals_say_what_is_wrong_and_which_request() {
        let mut session = open();
        let cases = [
            (r#"{"type":"subscribe","request":7,"room":"room_x","voice":true}"#, Some(7), "room_"),
            (r#"{"type":"subscribe","request":7,"voice":true}"#, Some(7), "missing field `room`"),
            (r#"{"type":"ping","nonce":1,"nonse":2}"#, None, "unknown field `nonse`"),
            (r#"{"type":"warble"}"#, None, "unknown variant `warble`"),
            ("{", None, "JSON"),
            ("[1]", None, "found none"),
        ];
        for (text, expected_request, expected_words) in cases {
            let Received::Refuse { request, problem } = session.text(START, text) else { panic!("{text}: accepted") };
            assert_eq!(request, expected_request.map(RequestId), "{text}");
            assert!(problem.detail.contains(expected_words), "{text}: {}", problem.detail);
        }
    }

    #[test]
    fn a_refusal_of_something_long_is_short_and_counts_as_much() {
        let mut session = open();
        let text = format!(r#"{{"type":"{}"}}"#, "x".repeat(60_000));
        let Received::Refuse { problem, .. } = session.text(START, &text) else { panic!("accepted") };
        assert!(problem.detail.chars().count() <= DETAIL_CHARS_MAX);
        let mut long = 0;
        while session.brake(START, false, text.len()) == Duration::ZERO {
            long += 1;
        }
        assert!(long < 20, "{long} messages of 60 KB at once");
    }

    #[test]
    fn a_flood_is_braked_to_its_rate() {
        let mut session = open();
        let mut now = START;
        let mut sent = 0_u64;
        while now < START + Duration::from_secs(20) {
            let wait = session.brake(now, false, 60);
            now = now + wait;
            sent += 1;
            if sent > 100_000 {
                panic!("the brake never closes");
            }
        }
        let allowed = CONTROL_RATE.burst + 20 * CONTROL_RATE.per_s;
        assert!((allowed..=allowed + 2).contains(&sent), "{sent} of {allowed}");
    }

    #[test]
    fn live_voice_is_never_braked() {
        let mut session = open();
        for frame in 0..6_000_u64 {
            let now = START + Duration::from_millis(20 * frame);
            assert_eq!(session.brake(now, true, 90), Duration::ZERO);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_judged_without_panic(text in ".{0,200}", signed_in: bool) {
            let mut session = if signed_in { open() } else { Inbound::new(START) };
            let _judged = session.text(START, &text);
        }

        #[test]
        fn any_bytes_are_judged_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
            let _judged = open().binary(START, &Bytes::from(bytes));
        }
    }
}
