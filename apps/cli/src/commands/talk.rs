//! `holler talk`

use core::time::Duration;

use holler_client::audio::sink::SinkKind;
use holler_client::audio::source::SourceKind;
use holler_client::client::{Options, Talk as How, Told};
use holler_client::clock;
use holler_client::sound::Audio;
use holler_client::store::Store;
use holler_core::engine::{LinkState, Notice, TalkState};
use holler_core::units::{Bitrate, BurstId, FrameMs, RoomId};
use holler_core::wire::problem::Problem;
use serde_json::json;

use crate::args::{Common, Talk};
use crate::exit::{Code, Failure};
use crate::output::{self, Out};
use crate::profile::{self, Session};
use crate::trace::{Trace, Traced};

/// How long to wait for the room before recording begins without a connection: a person holds the button already.
const CONNECT_PATIENCE: Duration = Duration::from_secs(2);

pub(crate) async fn run(common: &Common, args: Talk, out: Out) -> Result<(), Failure> {
    let source = match (&args.file, &args.mic) {
        (Some(path), _) if path.as_os_str() == "-" => SourceKind::Stdin,
        (Some(path), _) => {
            // Before anybody is given the floor.
            SourceKind::File(path.clone()).open().map_err(|error| Failure::from((Code::Usage, error)))?;
            SourceKind::File(path.clone())
        }
        (None, name) => SourceKind::Microphone(name.clone().flatten()),
    };
    let by_hand = matches!(source, SourceKind::Microphone(_));
    let store = profile::store(common)?;
    let room = profile::known_room(&store, &args.room).await?;
    let (sound, mut traces) = Traced::new(Audio::new(source, |_| SinkKind::Null));
    let options = Options { play_all: false, aloud: false, socket_only: common.no_udp };
    let mut session = Session::start(&store, sound, options)?;
    session.client.follow(room.id, None, false);
    let online = session.ready(room.id, CONNECT_PATIENCE).await?;
    let how = How {
        priority: args.priority.into(),
        queue: args.queue,
        when_free: args.when_free,
        frame_ms: args.frame.parse::<u8>().ok().and_then(|ms| FrameMs::try_from(ms).ok()).unwrap_or(FrameMs::Ms20),
        bitrate: Bitrate(args.bitrate * 1_000),
    };
    let frame_s = how.frame_ms.duration().as_secs_f64();
    let at = clock::now();
    let burst = session.client.key_down(room.id, how).map_err(profile::failure)?;
    let mut talking = Talking {
        out,
        room: room.id,
        burst,
        stage: Stage::Waiting,
        frames: 0,
        ending_at: None,
        up: online,
        was_up: online,
        waits: false,
        queued: false,
        put_off: None,
        when_free: args.when_free,
    };
    out.note("burst", json!({ "room": room.id, "burst": burst, "at_us": at.0 }), || {
        if online {
            format!("asking for the floor in {}", room.name)
        } else {
            format!("no connection: what you say in {} is recorded, and delivered later", room.name)
        }
    });
    let stop = stopped(by_hand);
    tokio::pin!(stop);
    let mut stopping = false;
    let patience = Duration::from_secs(args.timeout);
    let done = loop {
        let late = async {
            match talking.ending_at {
                Some(since) => tokio::time::sleep_until(since + patience).await,
                None => core::future::pending().await,
            }
        };
        tokio::select! {
            told = session.next() => match talking.told(told?) {
                Ok(false) => {}
                Ok(true) => break Ok(()),
                Err(failure) => break Err(failure),
            },
            Some(trace) = traces.recv() => {
                talking.traced(&trace, args.frames);
                talking.progress(frame_s);
            }
            () = &mut stop, if !stopping => {
                stopping = true;
                session.client.key_up();
            }
            () = late => break Err(talking.late()),
        }
    };
    out.trace("route", json!({ "burst": burst, "path": session.route() }));
    if done.as_ref().is_err_and(|failure| failure.code != Code::Incomplete) {
        session.client.cancel();
    }
    if done.is_ok() && args.receipts > 0 {
        receipts(&store, &mut session, room.id, burst, Duration::from_secs(args.receipts), out).await;
    }
    session.client.stop().await;
    // What was captured last may still wait to be told.
    while let Ok(trace) = traces.try_recv() {
        talking.traced(&trace, args.frames);
    }
    if talking.queued {
        // Only now: what is handed to the store is on disk when the client has stopped.
        let value = json!({ "room": room.id, "burst": burst, "frames": talking.frames });
        out.note("queued-offline", value, || format!("{burst} waits on this device"));
    }
    done
}

/// Says who heard it, once everybody did, or patience or Ctrl-C ends the wait. Nobody waits for an answer that does not come.
async fn receipts(store: &Store, session: &mut Session, room: RoomId, burst: BurstId, patience: Duration, out: Out) {
    let mut known = None;
    let waiting = async {
        let Ok(rest) = profile::rest(store).await else { return };
        if let Ok(found) = rest.burst_receipts(room, burst).await {
            known = Some((found.heard, found.of, found.delivered));
        }
        while known.is_none_or(|(heard, of, _)| heard < of) {
            match session.next().await {
                Ok(Told::Notice(Notice::Receipts { burst: Some(about), of, delivered, taken, .. }))
                    if about == burst =>
                {
                    known = Some((taken, of, delivered));
                }
                Ok(Told::Notice(_) | Told::Received(_)) => {}
                Err(_) => return,
            }
        }
    };
    tokio::select! {
        () = waiting => {}
        () = tokio::time::sleep(patience) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    if let Some((heard, of, delivered)) = known {
        let value = json!({ "room": room, "burst": burst, "of": of, "delivered": delivered, "heard": heard });
        out.say("receipts", value, || match of {
            0 => "nobody else is in this room".to_owned(),
            _ => format!("heard by {heard} of {of} so far, delivered to {delivered}; later: holler heard {burst}"),
        });
    }
}

/// Enter (at the microphone) or Ctrl-C: the button comes up.
async fn stopped(by_hand: bool) {
    let enter = async {
        let line = || std::io::stdin().lines().next().is_some_and(|line| line.is_ok());
        if !by_hand || !tokio::task::spawn_blocking(line).await.unwrap_or(false) {
            core::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = enter => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Waiting,
    Live,
    Recording,
    Ending,
}

struct Talking {
    out: Out,
    room: RoomId,
    burst: BurstId,
    stage: Stage,
    frames: u16,
    ending_at: Option<tokio::time::Instant>,
    up: bool,
    /// There was a connection in this run: it is worth waiting for it to come back.
    was_up: bool,
    /// The burst waits in the queue.
    waits: bool,
    /// Why the server can't take it for now, where it said so last.
    put_off: Option<Problem>,
    /// It is left there, for there is no connection.
    queued: bool,
    when_free: bool,
}

impl Talking {
    /// A frame more was captured; `tell`: each is printed.
    fn traced(&mut self, trace: &Trace, tell: bool) {
        let Trace::Captured { number, captured_at } = trace else { return };
        self.frames = number.0;
        if tell {
            let value = json!({ "burst": self.burst, "number": number, "captured_us": captured_at.0 });
            self.out.trace("captured", value);
        }
    }

    fn progress(&self, frame_s: f64) {
        let seconds = f64::from(self.frames) * frame_s;
        self.out.progress(|| match self.stage {
            Stage::Waiting => format!("recording {seconds:.1} s, waiting for the floor"),
            Stage::Live => format!("live {seconds:.1} s"),
            Stage::Recording => format!("recording {seconds:.1} s, to be sent afterwards"),
            Stage::Ending => format!("{seconds:.1} s spoken, delivering"),
        });
    }

    /// It stays here for now.
    fn queued(&mut self) -> Failure {
        self.queued = true;
        Failure::new(Code::Incomplete, "not delivered yet: it goes out with the next command that connects")
    }

    /// The server did not get all of it in time.
    fn late(&self) -> Failure {
        let why = self.put_off.as_ref().map(|problem| format!(" ({problem})")).unwrap_or_default();
        let message =
            format!("the server did not get all of it in time{why}; what is missing goes out with the next command");
        Failure::new(Code::Incomplete, message)
    }

    /// `true`: delivered.
    fn told(&mut self, told: Told) -> Result<bool, Failure> {
        match told {
            Told::Notice(Notice::Talk { burst, state, .. }) if burst == self.burst => self.talk(state),
            Told::Notice(Notice::Link(state)) => {
                profile::link(&state, true)?;
                self.up = matches!(state, LinkState::Up { .. });
                self.was_up |= self.up;
                if let LinkState::Waiting { reason, .. } = state {
                    self.out.note("offline", json!({ "reason": reason.to_string() }), || {
                        format!("offline: {reason}; recording goes on")
                    });
                }
                if self.waits && !self.was_up { Err(self.queued()) } else { Ok(false) }
            }
            Told::Notice(Notice::VoicePath { up }) => {
                self.out.trace("voice-path", json!({ "up": up }));
                Ok(false)
            }
            // What is heard live is heard all the same.
            Told::Notice(Notice::StoreFailed { detail }) => {
                self.out.note("not-kept", json!({ "burst": self.burst, "detail": detail }), || detail.clone());
                Ok(false)
            }
            Told::Notice(_) | Told::Received(_) => Ok(false),
        }
    }

    fn talk(&mut self, state: TalkState) -> Result<bool, Failure> {
        let (out, burst) = (self.out, self.burst);
        match state {
            TalkState::Starting | TalkState::Asking => {}
            TalkState::SpeakNow => {
                out.note("speak-now", json!({ "burst": burst, "at_us": clock::now().0 }), || "speak now".to_owned());
            }
            TalkState::Queued { position, waiting } => {
                let value = json!({ "burst": burst, "position": position, "waiting": waiting });
                out.note("queued", value, || format!("somebody talks; you are number {position} of {waiting}"));
            }
            TalkState::Granted { access, until } => {
                self.stage = Stage::Live;
                let value = json!({
                    "room": self.room, "burst": burst, "access_us": output::micros(access), "until_ms": output::millis(until),
                });
                out.note("granted", value, || {
                    format!("you have the floor after {:.0} ms", access.as_secs_f64() * 1_000.0)
                });
            }
            TalkState::Warning { remaining } => {
                let seconds = remaining.as_secs();
                let value = json!({ "burst": burst, "remaining_ms": output::millis(remaining) });
                out.note("warning", value, || format!("{seconds} s left to talk"));
            }
            TalkState::Revoked { reason } => {
                self.stage = Stage::Recording;
                let value = json!({ "burst": burst, "reason": reason });
                out.note("revoked", value, || {
                    format!("the floor was taken away ({reason:?}); the rest is sent afterwards")
                });
            }
            TalkState::Offline => {
                self.stage = Stage::Recording;
                out.note("recording", json!({ "burst": burst }), || "no connection; recording goes on".to_owned());
            }
            TalkState::Ending => {
                self.stage = Stage::Ending;
                self.ending_at = Some(tokio::time::Instant::now());
                out.trace("ending", json!({ "burst": burst, "at_us": clock::now().0 }));
            }
            TalkState::Repairing { frames } => {
                out.note("repairing", json!({ "burst": burst, "frames": frames }), || {
                    format!("{frames} frames did not get through; sending them again")
                });
            }
            TalkState::Delivered => {
                let value = json!({ "room": self.room, "burst": burst, "frames": self.frames });
                out.say("delivered", value, || format!("delivered, all of it ({burst})"));
                return Ok(true);
            }
            TalkState::Denied { reason } => {
                let wish = match reason {
                    holler_core::wire::socket::DenyReason::Busy => "somebody talks; --queue waits for the floor",
                    holler_core::wire::socket::DenyReason::QueueFull => "too many wait for the floor",
                    holler_core::wire::socket::DenyReason::QueueExpired => "the wait for the floor was too long",
                    holler_core::wire::socket::DenyReason::NotAllowed => {
                        "you may not talk here, or not with this priority"
                    }
                    holler_core::wire::socket::DenyReason::HomeUnavailable => {
                        "the room can't give the floor now; try again"
                    }
                };
                if self.when_free {
                    self.stage = Stage::Recording;
                    let value = json!({ "burst": burst, "reason": reason });
                    out.note("denied", value, || format!("{wish}; it is delivered without the floor"));
                    return Ok(false);
                }
                return Err(Failure::new(Code::Denied, wish));
            }
            TalkState::Refused { problem } => return Err(profile::problem(&problem)),
            TalkState::Waiting => {
                self.waits = true;
                if !self.was_up {
                    return Err(self.queued());
                }
            }
            TalkState::PutOff { problem } => {
                super::queue::put_off(out, json!({ "burst": burst }), &problem);
                self.put_off = Some(problem);
            }
            TalkState::Kept => {
                return Err(Failure::new(Code::Incomplete, "no floor was granted; the recording stays on this device"));
            }
            TalkState::Failed { detail } => return Err(Failure::new(Code::Fault, detail)),
        }
        Ok(false)
    }
}
