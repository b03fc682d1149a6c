//! `holler queue`

use core::time::Duration;

use holler_client::audio::{render, wav};
use holler_client::client::Told;
use holler_client::store::{Queued, QueuedItem, Store};
use holler_core::engine::{LinkState, Notice, SendState, Spoken, TalkState};
use holler_core::model::EventBody;
use holler_core::units::{BurstId, ClientId, FrameNo};
use holler_core::wire::problem::Problem;
use serde_json::{Value, json};

use crate::args::{Common, Queue, QueueAction};
use crate::exit::{Code, Failure};
use crate::output::{Out, millis};
use crate::profile::{self, Session};
use crate::sound;

pub(crate) async fn run(common: &Common, args: Queue, out: Out) -> Result<(), Failure> {
    let store = profile::store(common)?;
    match args.action.unwrap_or(QueueAction::List) {
        QueueAction::List => list(&store, out),
        QueueAction::Send { id, timeout } => send(&store, id.as_deref(), Duration::from_secs(timeout), out).await,
        QueueAction::Drop { id } => drop_item(&store, &id, out),
        QueueAction::Play { id, out: file } => play(&store, &id, file, out).await,
    }
}

fn fault(error: impl core::fmt::Display) -> Failure {
    (Code::Fault, error).into()
}

fn list(store: &Store, out: Out) -> Result<(), Failure> {
    let rooms = store.rooms().map_err(fault)?;
    let queue = store.queue().map_err(fault)?;
    if queue.is_empty() && !out.is_json() {
        out.note("queue", Value::Null, || "nothing waits".to_owned());
    }
    for Queued { room, held, item, .. } in queue {
        let name =
            rooms.iter().find(|known| known.id == room).map_or_else(|| room.to_string(), |known| known.name.clone());
        let state = if held { "held" } else { "waiting" };
        match item {
            QueuedItem::Text { client_id, body } => {
                let text = if let EventBody::MessagePosted { text, .. } = body { text } else { body.kind().to_owned() };
                let value = json!({ "kind": "text", "id": client_id, "room": room, "held": held, "text": text });
                out.say("queued", value, || format!("{client_id}  {name}  {state}  {text:?}"));
            }
            QueuedItem::Burst { header, spoken, frames, placed } => {
                let (ago, uncertainty) = age(spoken);
                let span = header.frame_ms.duration() * frames;
                let value = json!({
                    "kind": "burst", "id": header.burst, "room": room, "held": held, "frames": frames, "begun": placed,
                    "spoken_ago_ms": millis(ago), "uncertainty_ms": millis(uncertainty),
                });
                out.say("queued", value, || {
                    let (seconds, minutes) = (span.as_secs_f64(), ago.as_secs() / 60);
                    format!("{}  {name}  {state}  {seconds:.1} s, spoken {minutes} min ago", header.burst)
                });
            }
        }
    }
    Ok(())
}

/// How long ago, and how far that may be off. The server's time is not known here: the wall clock stands for it.
fn age(spoken: Spoken) -> (Duration, Duration) {
    match spoken {
        Spoken::Ago(ago) => (ago, Duration::ZERO),
        Spoken::About(ago, uncertainty) => (ago, uncertainty),
        Spoken::Server(time) => {
            let ago = Duration::from_millis(holler_client::clock::wall().0.saturating_sub(time.at.0));
            (ago, Duration::from_millis(time.uncertainty_ms))
        }
    }
}

/// Delivers what waits, and what is held back too where it is named, or nothing is.
async fn send(store: &Store, id: Option<&str>, patience: Duration, out: Out) -> Result<(), Failure> {
    let one = id.map(|id| id.parse::<BurstId>()).transpose();
    let one = one.map_err(|_| Failure::new(Code::Usage, "expected the id of a burst, as holler queue shows it"))?;
    store.release(one).map_err(fault)?;
    let mut left = store.unfinished().map_err(fault)?.len();
    let mut session = Session::silent(store)?;
    let mut refused = 0_u32;
    let mut why = None;
    let delivering = async {
        while left > 0 {
            match session.next().await? {
                Told::Notice(Notice::Talk { burst, room, state }) => match state {
                    TalkState::Delivered => {
                        left -= 1;
                        out.say("delivered", json!({ "room": room, "burst": burst }), || format!("{burst} delivered"));
                    }
                    TalkState::Kept | TalkState::Failed { .. } => {
                        left -= 1;
                        refused += 1;
                        out.note("kept", json!({ "room": room, "burst": burst }), || {
                            format!("{burst} stays on this device")
                        });
                    }
                    TalkState::Refused { problem } => {
                        out.note("refused", json!({ "burst": burst, "problem": problem }), || problem.to_string());
                    }
                    TalkState::PutOff { problem } => {
                        put_off(out, json!({ "burst": burst }), &problem);
                        why = Some(problem);
                    }
                    TalkState::Starting
                    | TalkState::SpeakNow
                    | TalkState::Asking
                    | TalkState::Queued { .. }
                    | TalkState::Granted { .. }
                    | TalkState::Warning { .. }
                    | TalkState::Denied { .. }
                    | TalkState::Revoked { .. }
                    | TalkState::Offline
                    | TalkState::Ending
                    | TalkState::Repairing { .. }
                    | TalkState::Waiting => {}
                },
                Told::Notice(Notice::Send { client_id, room, state }) => match state {
                    SendState::Acked { seq, .. } => {
                        left -= 1;
                        let value = json!({ "room": room, "client_id": client_id, "seq": seq });
                        out.say("sent", value, || format!("{client_id} sent as number {seq}"));
                    }
                    SendState::Refused { problem } => {
                        left -= 1;
                        refused += 1;
                        out.note("refused", json!({ "client_id": client_id, "problem": problem }), || {
                            problem.to_string()
                        });
                    }
                    SendState::PutOff { problem } => {
                        put_off(out, json!({ "client_id": client_id }), &problem);
                        why = Some(problem);
                    }
                    SendState::Waiting | SendState::TooMany => {}
                },
                Told::Notice(Notice::Link(state)) => {
                    profile::link(&state, true)?;
                    if let LinkState::Waiting { reason, .. } = state {
                        out.note("offline", json!({ "reason": reason.to_string() }), || format!("offline: {reason}"));
                    }
                }
                Told::Notice(_) | Told::Received(_) => {}
            }
        }
        Ok::<(), Failure>(())
    };
    let done = tokio::time::timeout(patience, delivering).await;
    session.client.stop().await;
    match done {
        Ok(ended) => ended?,
        Err(_) => {
            let why = why.map(|problem| format!(" ({problem})")).unwrap_or_default();
            let message = format!("{left} wait on{why}; they go out with the next command that connects");
            return Err(Failure::new(Code::Incomplete, message));
        }
    }
    if refused > 0 {
        return Err(Failure::new(Code::Refused, format!("{refused} were not taken by the server")));
    }
    Ok(())
}

/// The server can't take something for now. What it is tried again with goes out by itself.
pub(crate) fn put_off(out: Out, mut what: Value, problem: &Problem) {
    what["problem"] = json!(problem);
    out.note("put-off", what, || format!("tried again by itself: {problem}"));
}

fn drop_item(store: &Store, id: &str, out: Out) -> Result<(), Failure> {
    let there = match (id.parse::<BurstId>(), id.parse::<ClientId>()) {
        (Ok(burst), _) => store.drop_burst(burst).map_err(fault)?,
        (_, Ok(text)) => store.drop_text(text).map_err(fault)?,
        (Err(_), Err(_)) => {
            return Err(Failure::new(Code::Usage, "expected an id as holler queue shows it: bst_… or cid_…"));
        }
    };
    if !there {
        return Err(Failure::new(Code::Refused, format!("{id} does not wait here")));
    }
    out.say("dropped", json!({ "id": id }), || format!("{id} is gone"));
    Ok(())
}

async fn play(store: &Store, id: &str, file: Option<std::path::PathBuf>, out: Out) -> Result<(), Failure> {
    let not_here = || Failure::new(Code::Refused, format!("there is no burst {id} of your own on this device"));
    let burst: BurstId = id.parse().map_err(|_| not_here())?;
    let header = store.own_header(burst).map_err(fault)?.ok_or_else(not_here)?;
    let frames: Vec<_> = (1..).map(FrameNo).zip(store.own_frames(burst).map_err(fault)?).collect();
    let last = frames.last().map(|(number, _)| *number);
    let rendered = render::render(header.frame_ms, &frames, last).map_err(fault)?;
    match &file {
        Some(file) => wav::write(file, &rendered.sound).map_err(fault)?,
        None => sound::speak(None, rendered.sound).await?,
    }
    out.say("played", json!({ "burst": burst, "frames": frames.len(), "file": file }), || format!("{burst} played"));
    Ok(())
}
