//! `holler listen`

use core::time::Duration;
use std::collections::BTreeMap;
use std::path::PathBuf;

use holler_client::audio::sink::SinkKind;
use holler_client::audio::{render, wav};
use holler_client::client::{Options, Told};
use holler_client::sound::Audio;
use holler_core::engine::{HeardState, LinkState, Notice, Received};
use holler_core::units::{BurstId, RoomId, UserId};
use serde_json::json;
use tokio::time::Instant;

use crate::args::{Common, Listen};
use crate::exit::{Code, Failure};
use crate::output::{self, Out};
use crate::profile::{self, Session};
use crate::time;
use crate::trace::{Trace, Traced};

/// How long a sink may take to close after its burst was played: what it holds is still heard.
const CLOSING: Duration = Duration::from_secs(5);

pub(crate) async fn run(common: &Common, args: Listen, out: Out) -> Result<(), Failure> {
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::new(Code::Fault, format!("{}: {error}", folder.display())))?;
    }
    let store = profile::store(common)?;
    let rest = profile::rest(&store).await?;
    let (mut rooms, mut names) = (BTreeMap::new(), BTreeMap::new());
    for wanted in &args.room {
        let room = profile::room(&rest, wanted).await?;
        for member in rest.members(room.id).await.map_err(|error| profile::rest_failure(&error))? {
            names.insert(member.user, member.name);
        }
        rooms.insert(room.id, room.name);
    }
    let (folder, speaker) = (args.out.clone(), args.speaker.clone());
    let sink = move |burst: &holler_client::sound::ToPlay| match (&folder, &speaker) {
        (Some(folder), _) => SinkKind::File(folder.join(format!("{}.heard.wav", burst.burst))),
        (None, Some(name)) => SinkKind::Speaker(name.clone()),
        (None, None) => SinkKind::Null,
    };
    // There is no microphone here: this client never presses a button.
    let source = holler_client::audio::source::SourceKind::Stdin;
    let (sound, mut traces) = Traced::new(Audio::new(source, sink));
    let options =
        Options { play_all: args.speaker.is_none(), aloud: args.speaker.is_some(), socket_only: common.no_udp };
    let mut session = Session::start(&store, sound, options)?;
    let deadline = args.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let ids: Vec<RoomId> = rooms.keys().copied().collect();
    for room in &ids {
        session.client.follow(*room, None, true);
    }
    if let [only] = ids.as_slice() {
        session.client.set_primary(Some(*only));
    }
    let mut listening =
        Listening { out, folder: args.out, names, rooms, bursts: BTreeMap::new(), done: 0, lacking: 0, was_up: true };
    let mut early = Vec::new();
    session.followed(&ids, |told| early.push(told)).await?;
    let value = json!({ "rooms": listening.rooms.keys().collect::<Vec<_>>() });
    out.note("listening", value, || {
        format!("listening to {}", listening.rooms.values().cloned().collect::<Vec<_>>().join(", "))
    });
    for told in early {
        listening.told(told)?;
    }
    let mut late = false;
    while args.bursts.is_none_or(|wanted| listening.done < wanted) {
        let timeout = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => core::future::pending().await,
            }
        };
        tokio::select! {
            told = session.next() => listening.told(told?)?,
            Some(trace) = traces.recv() => listening.trace(trace, args.frames).await?,
            () = timeout => {
                late = true;
                break;
            }
            _ = tokio::signal::ctrl_c() => break,
        }
    }
    out.trace("route", json!({ "path": session.route() }));
    session.client.stop().await;
    let wanted = args.bursts.filter(|wanted| late && listening.done < *wanted);
    if let Some(wanted) = wanted {
        let message = format!("{} of {wanted} bursts came before the time was over", listening.done);
        return Err(Failure::new(Code::Denied, message));
    }
    if listening.lacking > 0 {
        let message = format!("{} bursts are incomplete: the server lacks the rest too", listening.lacking);
        return Err(Failure::new(Code::Incomplete, message));
    }
    Ok(())
}

#[derive(Default)]
struct Burst {
    /// It was, or will not be, played.
    over: bool,
    /// Everything that there will be was written.
    settled: Option<bool>,
    /// Counted.
    counted: bool,
}

struct Listening {
    out: Out,
    folder: Option<PathBuf>,
    names: BTreeMap<UserId, String>,
    rooms: BTreeMap<RoomId, String>,
    bursts: BTreeMap<BurstId, Burst>,
    done: u64,
    lacking: u64,
    was_up: bool,
}

impl Listening {
    fn told(&mut self, told: Told) -> Result<(), Failure> {
        match told {
            Told::Notice(Notice::Heard { room, burst, user, state }) => self.heard(room, burst, user, state),
            Told::Received(received) => self.received(&received)?,
            Told::Notice(Notice::Link(state)) => {
                profile::link(&state, self.was_up)?;
                if let LinkState::Waiting { reason, retry_in } = state {
                    self.out.note("offline", json!({ "reason": reason.to_string() }), || {
                        format!("offline: {reason}; again in {:.0} s", retry_in.as_secs_f64())
                    });
                }
            }
            Told::Notice(Notice::RoomRefused { problem, .. }) => return Err(profile::problem(&problem)),
            Told::Notice(Notice::Role { room, role: None }) => {
                let name = self.rooms.get(&room).cloned().unwrap_or_default();
                return Err(Failure::new(Code::Refused, format!("you are no longer a member of {name:?}")));
            }
            Told::Notice(Notice::Fault { detail }) => {
                self.out.note("fault", json!({ "detail": detail }), || detail.clone());
            }
            Told::Notice(Notice::VoicePath { up }) => self.out.trace("voice-path", json!({ "up": up })),
            Told::Notice(_) => {}
        }
        Ok(())
    }

    fn heard(&mut self, room: RoomId, burst: BurstId, user: UserId, state: HeardState) {
        let name = self.names.get(&user).cloned().unwrap_or_else(|| user.to_string());
        let known = self.bursts.entry(burst).or_default();
        match state {
            HeardState::Playing { late } => {
                let value = json!({ "room": room, "burst": burst, "user": user, "name": name, "late": late });
                let place = self.rooms.get(&room).cloned().unwrap_or_default();
                self.out.note("hearing", value, || {
                    format!("{name} talks in {place}{}", if late { " (since before)" } else { "" })
                });
            }
            HeardState::Began { mouth_to_ear, late_entry } => {
                let value = json!({
                    "burst": burst, "mouth_to_ear_us": output::micros(mouth_to_ear),
                    "late_entry_us": late_entry.map(output::micros),
                });
                self.out.trace("began", value);
            }
            HeardState::Missed => {
                known.over = true;
                self.out.note("missed", json!({ "burst": burst, "user": user }), || {
                    format!("{name} is not played: another room has precedence")
                });
            }
            HeardState::Elsewhere => {
                known.over = true;
                self.out.note("elsewhere", json!({ "burst": burst, "user": user }), || {
                    format!("{name} is not played here: another device of yours plays, or it is your own")
                });
            }
            HeardState::Interrupted => {
                self.out.note("interrupted", json!({ "burst": burst }), || format!("{name}'s connection broke"));
            }
            HeardState::Incomplete { missing } => {
                known.settled = Some(false);
                self.out.note("incomplete", json!({ "burst": burst, "missing": missing }), || {
                    format!("{missing} frames of {name}'s burst are missing at the server too")
                });
            }
            HeardState::Played { .. } | HeardState::Complete => {}
        }
        self.count(burst);
    }

    /// Writes the complete burst.
    fn received(&mut self, received: &Received) -> Result<(), Failure> {
        let burst = received.header.burst;
        let rendered = render::render(received.header.frame_ms, &received.frames, received.last)
            .map_err(|error| Failure::from((Code::Fault, error)))?;
        let file = self.folder.as_ref().map(|folder| folder.join(format!("{burst}.wav")));
        if let Some(file) = &file {
            wav::write(file, &rendered.sound).map_err(|error| Failure::from((Code::Fault, error)))?;
        }
        let kind = if received.complete { "complete" } else { "received" };
        let value = json!({
            "room": received.room, "burst": burst, "user": received.user, "frames": received.frames.len(),
            "missing": rendered.missing, "file": file, "brought": received.brought,
            "spoken_at": received.spoken.map(|spoken| spoken.at),
            "uncertainty_ms": received.spoken.map(|spoken| spoken.uncertainty_ms),
        });
        self.out.say(kind, value, || {
            let name = self.names.get(&received.user).cloned().unwrap_or_else(|| received.user.to_string());
            let seconds = rendered.sound.len() as f64 / 48_000.0;
            let state =
                if received.complete { "complete".to_owned() } else { format!("{} frames lack", rendered.missing) };
            let place = file.as_ref().map(|file| format!("  {}", file.display())).unwrap_or_default();
            let when = match received.spoken {
                Some(spoken) if received.brought => format!(", spoken {}", time::utc(spoken.at)),
                Some(_) | None => String::new(),
            };
            format!("{name}: {seconds:.1} s, {state}{when}{place}")
        });
        if received.complete {
            self.bursts.entry(burst).or_default().settled = Some(true);
        }
        self.count(burst);
        Ok(())
    }

    async fn trace(&mut self, trace: Trace, frames: bool) -> Result<(), Failure> {
        match trace {
            Trace::Captured { .. } => {}
            Trace::Heard { burst, number, heard_at, how } => {
                if frames {
                    let value = json!({ "burst": burst, "number": number, "heard_us": heard_at.0, "how": how });
                    self.out.trace("heard", value);
                }
            }
            Trace::Over { burst } => {
                if self.bursts.get(&burst).is_some_and(|known| known.over) {
                    return Ok(());
                }
                let file = self.folder.as_ref().map(|folder| folder.join(format!("{burst}.heard.wav")));
                if let Some(file) = &file {
                    closed(file).await;
                }
                self.out.trace("played", json!({ "burst": burst, "file": file }));
                self.bursts.entry(burst).or_default().over = true;
                self.count(burst);
            }
        }
        Ok(())
    }

    fn count(&mut self, burst: BurstId) {
        if let Some(known) = self.bursts.get_mut(&burst)
            && let (true, Some(complete), false) = (known.over, known.settled, known.counted)
        {
            known.counted = true;
            self.done += 1;
            self.lacking += u64::from(!complete);
        }
    }
}

/// Waits until the sink has closed its file, which then appears under its name.
async fn closed(file: &std::path::Path) {
    let until = Instant::now() + CLOSING;
    while !file.exists() && Instant::now() < until {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
