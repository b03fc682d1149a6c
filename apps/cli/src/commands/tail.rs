//! `holler tail`

use std::collections::BTreeMap;

use holler_client::client::Told;
use holler_core::engine::{LinkState, Notice};
use holler_core::model::{Event, EventBody};
use holler_core::units::{Cursor, Seq, UserId};
use serde_json::{Value, json};

use crate::args::{Common, Tail};
use crate::exit::{Code, Failure};
use crate::output::Out;
use crate::profile::{self, Session};
use crate::time;

pub(crate) async fn run(common: &Common, args: &Tail, out: Out) -> Result<(), Failure> {
    let store = profile::store(common)?;
    let rest = profile::rest(&store).await?;
    let room = profile::room(&rest, &args.room).await?;
    let members = rest.members(room.id).await.map_err(|error| profile::rest_failure(&error))?;
    let names: BTreeMap<UserId, String> = members.into_iter().map(|member| (member.user, member.name)).collect();
    let mut at = Cursor { seq: Seq(room.head.seq.0.saturating_sub(u64::from(args.lines))), ..room.head };
    if args.lines > 0 {
        let page = rest.events(room.id, Some(at), args.lines).await.map_err(|error| profile::rest_failure(&error))?;
        for event in &page.events {
            show(out, event, &names);
        }
        at = page.next;
    }
    if !args.follow {
        return Ok(());
    }
    let mut session = Session::silent(&store)?;
    session.client.follow(room.id, Some(at), false);
    // What was shown above was seen; what comes is shown as it comes.
    session.client.read(room.id, at);
    let mut was_up = false;
    loop {
        let told = tokio::select! {
            told = session.next() => told?,
            _ = tokio::signal::ctrl_c() => break,
        };
        match told {
            Told::Notice(Notice::Event(event)) => {
                show(out, &event, &names);
                at.seq = event.seq;
                session.client.read(room.id, at);
            }
            Told::Notice(Notice::Receipts { seq, burst, of, delivered, taken, .. }) => {
                let value = json!({ "seq": seq, "burst": burst, "of": of, "delivered": delivered, "taken": taken });
                let how = if burst.is_some() { "heard" } else { "read" };
                out.note("receipts", value, || format!("{seq:>6}  {how} by {taken} of {of}"));
            }
            Told::Notice(Notice::HistoryGap { first_seq, .. }) => {
                out.note("gap", json!({ "first_seq": first_seq }), || {
                    format!("what came before number {first_seq} is no longer there")
                });
            }
            Told::Notice(Notice::Link(state)) => {
                profile::link(&state, was_up)?;
                was_up |= matches!(state, LinkState::Up { .. });
                if let LinkState::Waiting { reason, retry_in } = state {
                    out.note("offline", json!({ "reason": reason.to_string() }), || {
                        format!("offline: {reason}; again in {:.0} s", retry_in.as_secs_f64())
                    });
                }
            }
            Told::Notice(Notice::RoomRefused { problem, .. }) => return Err(profile::problem(&problem)),
            Told::Notice(Notice::Role { role: None, .. }) => {
                return Err(Failure::new(Code::Refused, "you are no longer a member of this room"));
            }
            Told::Notice(_) | Told::Received(_) => {}
        }
    }
    session.client.stop().await;
    Ok(())
}

fn show(out: Out, event: &Event, names: &BTreeMap<UserId, String>) {
    let value = serde_json::to_value(event).unwrap_or(Value::Null);
    out.say("event", value, || {
        let name = names.get(&event.user).cloned().unwrap_or_else(|| event.user.to_string());
        format!("{:>6}  {}  {name}: {}", event.seq, time::utc(event.received_at), words(&event.body))
    });
}

/// An event in words; what others wrote can't move the cursor or change colours.
fn words(body: &EventBody) -> String {
    match body {
        EventBody::MessagePosted { text, reply_to: None } => plain(text),
        EventBody::MessagePosted { text, reply_to: Some(seq) } => format!("(to {seq}) {}", plain(text)),
        EventBody::MessageEdited { target, text } => format!("(instead of {target}) {}", plain(text)),
        EventBody::MessageDeleted { target } => format!("took {target} back"),
        EventBody::BurstStarted { header, priority, .. } => format!("talks ({priority}, {})", header.burst),
        EventBody::BurstCommitted { last, missing, .. } if missing.is_empty() => format!("has spoken, {last} frames"),
        EventBody::BurstCommitted { last, missing, .. } => {
            let lacking: u32 = missing.iter().map(|gap| u32::from(gap.to.0 - gap.from.0) + 1).sum();
            format!("has spoken, {last} frames, {lacking} still to come")
        }
        EventBody::BurstInterrupted { last_received, .. } => format!("was interrupted after frame {last_received}"),
        EventBody::BurstCompleted { last, .. } => format!("the burst is complete, {last} frames"),
        EventBody::EmergencyRaised {} => "EMERGENCY".to_owned(),
        EventBody::EmergencyCleared { .. } => "the emergency is over".to_owned(),
    }
}

fn plain(text: &str) -> String {
    text.chars().map(|letter| if letter.is_control() && letter != '\t' { '\u{fffd}' } else { letter }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_texts_cannot_drive_the_terminal() {
        let body = EventBody::MessagePosted { text: "\u{1b}[2Jhi\nroot: ok".to_owned(), reply_to: None };
        assert_eq!(words(&body), "\u{fffd}[2Jhi\u{fffd}root: ok");
    }
}
