//! `holler who`

use holler_client::store::Store;
use holler_core::model::PresenceState;
use serde_json::json;

use super::presence::in_words;
use crate::args::{Common, Who};
use crate::exit::{Code, Failure};
use crate::output::Out;
use crate::profile;

pub(crate) async fn run(common: &Common, args: &Who, out: Out) -> Result<(), Failure> {
    let store = profile::store(common)?;
    let rest = match (profile::rest(&store).await, &args.room) {
        (Err(failure), Some(wanted)) if failure.code == Code::Network => return kept(&store, wanted, failure, out),
        (rest, _) => rest?,
    };
    let Some(wanted) = &args.room else {
        let me = rest.me().await.map_err(|error| profile::rest_failure(&error))?;
        let login = me.user.login.unwrap_or_default();
        let value = json!({
            "workspace": me.workspace_name, "user": me.user.id, "name": me.user.name, "login": login, "device": me.device,
            "role": me.user.role.as_str(),
        });
        out.say("me", value, || format!("{} ({login}), {} in {}", me.user.name, me.user.role, me.workspace_name));
        return Ok(());
    };
    let room = match profile::room(&rest, wanted).await {
        Err(failure) if failure.code == Code::Network => return kept(&store, wanted, failure, out),
        other => other?,
    };
    let members = rest.members(room.id).await.map_err(|error| profile::rest_failure(&error))?;
    // Without the scope, or in a large room, what is known is who is connected.
    let people = rest.presence(room.id).await.ok().and_then(|page| page.people).unwrap_or_default();
    profile::names(&store, &rest).await;
    for member in members {
        let presence = people.iter().find(|person| person.user == member.user);
        let (state, age_ms) = presence.map_or((PresenceState::Unknown, None), |p| (p.state, p.age_ms));
        let value = json!({
            "room": room.id, "user": member.user, "name": member.name, "role": member.role.as_str(),
            "connections": member.connections, "last_heard_ms": member.last_heard_ms,
            "state": state, "age_ms": age_ms,
        });
        out.say("member", value, || format!("{:<28} {:<10} {}", member.name, member.role, in_words(state, age_ms)));
    }
    Ok(())
}

/// Without a connection: who is in the room by the copy of the roster, and nothing about how they are.
fn kept(store: &Store, wanted: &str, failure: Failure, out: Out) -> Result<(), Failure> {
    let Ok(Some(kept)) = store.roster() else { return Err(failure) };
    let room = kept.rooms.iter().find(|room| room.name.eq_ignore_ascii_case(wanted) || room.id.to_string() == wanted);
    let Some(room) = room else { return Err(failure) };
    let names = kept.names();
    for member in &room.members {
        let name = names.get(&member.user).cloned().unwrap_or_else(|| member.user.to_string());
        let value = json!({
            "room": room.id, "user": member.user, "name": name, "role": member.role.as_str(),
            "connections": 0, "last_heard_ms": null, "state": PresenceState::Unknown, "age_ms": null,
        });
        out.say("member", value, || format!("{name:<28} {:<10} unknown: there is no connection", member.role));
    }
    out.note("kept", json!({ "fetched_at": kept.fetched_at }), || {
        format!("{}; this is the copy of {}", failure.message, crate::time::utc(kept.fetched_at))
    });
    Ok(())
}
