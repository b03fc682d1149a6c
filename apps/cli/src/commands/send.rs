//! `holler send`

use core::time::Duration;
use std::io::Read;

use holler_client::client::Told;
use holler_core::engine::{LinkState, Notice, SendState};
use holler_core::model::EventBody;
use holler_core::units::Seq;
use holler_core::wire::limits::{TEXT_BYTES_MAX, TEXT_CHARS_MAX};
use serde_json::json;

use super::queue;
use crate::args::{Common, Send};
use crate::exit::{Code, Failure};
use crate::output::Out;
use crate::profile::{self, Session};

pub(crate) async fn run(common: &Common, args: Send, out: Out) -> Result<(), Failure> {
    let body = body(&args)?;
    let store = profile::store(common)?;
    let room = profile::known_room(&store, &args.room).await?.id;
    let mut session = Session::silent(&store)?;
    let client_id = session.client.send(room, body).map_err(profile::failure)?;
    let mut queued = false;
    let mut put_off = None;
    let sent = tokio::time::timeout(Duration::from_secs(args.timeout), async {
        loop {
            match session.next().await? {
                Told::Notice(Notice::Send { client_id: told, state, .. }) if told == client_id => match state {
                    SendState::Acked { seq, received_at } => return Ok((seq, received_at)),
                    SendState::Refused { problem } => return Err(profile::problem(&problem)),
                    SendState::TooMany => {
                        return Err(Failure::new(
                            Code::Refused,
                            "too many texts wait already; connect and let them go out",
                        ));
                    }
                    SendState::PutOff { problem } => {
                        queue::put_off(out, json!({ "client_id": client_id }), &problem);
                        put_off = Some(problem);
                    }
                    SendState::Waiting => {}
                },
                Told::Notice(Notice::Link(LinkState::Waiting { reason, .. })) => {
                    queued = true;
                    return Err(kept(&reason.to_string()));
                }
                Told::Notice(Notice::Link(state)) => profile::link(&state, true)?,
                Told::Notice(_) | Told::Received(_) => {}
            }
        }
    })
    .await;
    session.client.stop().await;
    if queued {
        // Only now: what is handed to the store is on disk when the client has stopped.
        let value = json!({ "room": room, "client_id": client_id });
        out.note("queued-offline", value, || format!("{client_id} waits on this device"));
    }
    let (seq, received_at) = match sent {
        Ok(sent) => sent?,
        Err(_) => {
            let why = put_off.map_or_else(|| "the server gave no answer in time".to_owned(), |why| why.to_string());
            return Err(kept(&why));
        }
    };
    let value = json!({ "room": room, "client_id": client_id, "seq": seq, "received_at": received_at });
    out.say("sent", value, || format!("sent as number {seq}"));
    Ok(())
}

/// What is appended to the log: an edit and a deletion are events of their own that name the first.
fn body(args: &Send) -> Result<EventBody, Failure> {
    Ok(match (args.delete, args.edit) {
        (Some(target), _) => EventBody::MessageDeleted { target: Seq(target) },
        (None, Some(target)) => EventBody::MessageEdited { target: Seq(target), text: text(args.text.as_deref())? },
        (None, None) => EventBody::MessagePosted { text: text(args.text.as_deref())?, reply_to: args.reply.map(Seq) },
    })
}

fn kept(why: &str) -> Failure {
    Failure::new(Code::Incomplete, format!("not sent yet ({why}): it goes out with the next command that connects"))
}

fn text(given: Option<&str>) -> Result<String, Failure> {
    let given = given.unwrap_or_default();
    let text = if given == "-" {
        let mut text = String::new();
        let limit = u64::try_from(TEXT_BYTES_MAX).unwrap_or(u64::MAX) + 1;
        std::io::stdin()
            .lock()
            .take(limit)
            .read_to_string(&mut text)
            .map_err(|error| Failure::new(Code::Fault, format!("standard input: {error}")))?;
        text.trim_end_matches(['\r', '\n']).to_owned()
    } else {
        given.to_owned()
    };
    let chars = text.chars().count();
    if chars == 0 || chars > TEXT_CHARS_MAX || text.len() > TEXT_BYTES_MAX {
        let limit = format!("a text has 1 to {TEXT_CHARS_MAX} characters and at most {TEXT_BYTES_MAX} bytes");
        return Err(Failure::new(
            Code::Usage,
            format!("{limit}; this one has {chars} characters, {} bytes", text.len()),
        ));
    }
    Ok(text)
}
