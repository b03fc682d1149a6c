//! `holler who`

use serde_json::json;

use crate::args::{Common, Who};
use crate::exit::Failure;
use crate::output::Out;
use crate::profile;

pub(crate) async fn run(common: &Common, args: &Who, out: Out) -> Result<(), Failure> {
    let store = profile::store(common)?;
    let rest = profile::rest(&store).await?;
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
    let room = profile::room(&rest, wanted).await?;
    let members = rest.members(room.id).await.map_err(|error| profile::rest_failure(&error))?;
    for member in members {
        let value = json!({
            "room": room.id, "user": member.user, "name": member.name, "role": member.role.as_str(),
            "connections": member.connections, "last_heard_ms": member.last_heard_ms,
        });
        out.say("member", value, || {
            // Never "available" by guess: how long ago something came is all that is known.
            let state = match member.last_heard_ms {
                Some(ms) => format!("connected, heard {:.1} s ago", ms as f64 / 1_000.0),
                None => "not connected".to_owned(),
            };
            format!("{:<28} {:<10} {state}", member.name, member.role)
        });
    }
    Ok(())
}
