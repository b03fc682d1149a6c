//! `holler presence`

use core::time::Duration;
use std::collections::BTreeMap;

use holler_client::client::Told;
use holler_core::engine::{LinkState, Notice, PresenceFeed};
use holler_core::model::PresenceState;
use holler_core::units::{RoomId, UserId};
use holler_core::wire::presence::{PersonPresence, PresenceCounts};
use serde_json::json;
use tokio::time::Instant;

use crate::args::{Common, Presence};
use crate::exit::{Code, Failure};
use crate::output::{Out, millis};
use crate::profile::{self, Session};

pub(crate) async fn run(common: &Common, args: &Presence, out: Out) -> Result<(), Failure> {
    let store = profile::store(common)?;
    if let Some(state) = args.set {
        if state == PresenceState::Unknown {
            let words =
                "expected available, busy, solo, away or offline; unknown is what others see of who says nothing";
            return Err(Failure::new(Code::Usage, words));
        }
        store.set_own_presence(state).map_err(|error| Failure::from((Code::Fault, error)))?;
        out.say("presence.set", json!({ "state": state }), || format!("from now on this device says {state}"));
        if args.room.is_none() && !args.watch {
            return Ok(());
        }
    }
    let rest = profile::rest(&store).await?;
    let rooms = match &args.room {
        Some(wanted) => vec![profile::room(&rest, wanted).await?],
        None => rest.rooms().await.map_err(|error| profile::rest_failure(&error))?,
    };
    let names = profile::names(&store, &rest).await;
    let mut show = Show { out, names, rooms: rooms.iter().map(|room| (room.id, room.name.clone())).collect() };
    if args.watch {
        return watch(&store, args, &mut show).await;
    }
    for room in rooms {
        let page = rest.presence(room.id).await.map_err(|error| profile::rest_failure(&error))?;
        match page.people {
            Some(people) => people.iter().for_each(|person| show.person(Some(room.id), person)),
            None => show.counts(room.id, Some(page.counts)),
        }
    }
    Ok(())
}

async fn watch(store: &holler_client::store::Store, args: &Presence, show: &mut Show) -> Result<(), Failure> {
    let mut session = Session::silent(store)?;
    session.client.keep_roster();
    for room in show.rooms.keys() {
        session.client.watch_presence(*room);
    }
    let deadline = args.timeout.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let mut was_up = false;
    loop {
        let timeout = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => core::future::pending().await,
            }
        };
        let told = tokio::select! {
            told = session.next() => told?,
            () = timeout => break,
            _ = tokio::signal::ctrl_c() => break,
        };
        let Told::Notice(notice) = told else { continue };
        #[expect(clippy::wildcard_enum_match_arm, reason = "this command shows people, and why it can't")]
        match notice {
            Notice::Presence { user, seen } => {
                let age_ms = seen.age.map(millis);
                show.person(None, &PersonPresence { user, state: seen.state, age_ms, lease_ms: 0 });
            }
            Notice::PresenceCounts { room, counts } => show.counts(room, counts),
            Notice::PresenceFeed(feed) => show.feed(feed),
            Notice::Roster => {
                if let Ok(Some(kept)) = store.roster() {
                    show.names.extend(kept.names());
                }
            }
            Notice::RoomRefused { problem, .. } => return Err(profile::problem(&problem)),
            Notice::Role { role: None, .. } => {
                return Err(Failure::new(Code::Refused, "you are no longer a member of this room"));
            }
            Notice::Link(state) => {
                profile::link(&state, was_up)?;
                was_up |= matches!(state, LinkState::Up { .. });
                if let LinkState::Waiting { reason, retry_in } = state {
                    show.out.note("offline", json!({ "reason": reason.to_string() }), || {
                        format!("offline: {reason}; again in {:.0} s", retry_in.as_secs_f64())
                    });
                }
            }
            _ => {}
        }
    }
    session.client.stop().await;
    Ok(())
}

struct Show {
    out: Out,
    names: BTreeMap<UserId, String>,
    rooms: BTreeMap<RoomId, String>,
}

impl Show {
    fn person(&self, room: Option<RoomId>, person: &PersonPresence) {
        let PersonPresence { user, state, age_ms, lease_ms } = person;
        let name = self.names.get(user).cloned().unwrap_or_else(|| user.to_string());
        let mut value = json!({ "user": user, "name": name, "state": state, "age_ms": age_ms });
        if let Some(room) = room {
            value["room"] = json!(room);
            value["lease_ms"] = json!(lease_ms);
        }
        self.out.say("presence", value, || format!("{name:<28} {}", in_words(*state, *age_ms)));
    }

    fn counts(&self, room: RoomId, counts: Option<PresenceCounts>) {
        let name = self.rooms.get(&room).cloned().unwrap_or_else(|| room.to_string());
        let value = json!({ "room": room, "counts": counts });
        self.out.say("presence.counts", value, || match counts {
            Some(counts) => {
                let states = PresenceState::ALL.iter().rev().filter(|state| counts.of(**state) > 0);
                let states = states.map(|state| format!("{} {state}", counts.of(*state)));
                format!("{name}: {}", states.collect::<Vec<_>>().join(", "))
            }
            None => format!("{name}: unknown"),
        });
    }

    fn feed(&self, feed: PresenceFeed) {
        let (word, words) = match feed {
            PresenceFeed::Live => ("live", "changes are told as they happen"),
            PresenceFeed::Polled => ("polled", "the server tells no changes now: it is asked now and then"),
            PresenceFeed::None => ("none", "no news of people: what is known runs out"),
        };
        self.out.note("presence.feed", json!({ "feed": word }), || words.to_owned());
    }
}

/// A state with its age.
pub(crate) fn in_words(state: PresenceState, age_ms: Option<u64>) -> String {
    let ago = |ms: u64| match ms / 1_000 {
        s @ 0..=119 => format!("{s} s"),
        s @ 120..=7_199 => format!("{} min", s / 60),
        s @ 7_200..=172_799 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    };
    match (state, age_ms) {
        (PresenceState::Unknown, None) => "unknown, never heard of".to_owned(),
        (PresenceState::Unknown, Some(ms)) => format!("unknown, last heard {} ago", ago(ms)),
        (PresenceState::Offline, Some(ms)) => format!("offline for {}", ago(ms)),
        (state, Some(ms)) => format!("{state}, confirmed {} ago", ago(ms)),
        (state, None) => state.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_comes_with_its_age() {
        for (state, age_ms, expected) in [
            (PresenceState::Available, Some(3_400), "available, confirmed 3 s ago"),
            (PresenceState::Offline, Some(600_000), "offline for 10 min"),
            (PresenceState::Unknown, Some(10_800_000), "unknown, last heard 3 h ago"),
            (PresenceState::Unknown, Some(432_000_000), "unknown, last heard 5 days ago"),
            (PresenceState::Unknown, None, "unknown, never heard of"),
        ] {
            assert_eq!(in_words(state, age_ms), expected);
        }
    }
}
