//! `holler rooms`

use serde_json::json;

use crate::args::Common;
use crate::exit::{Code, Failure};
use crate::output::Out;
use crate::profile;

pub(crate) async fn run(common: &Common, out: Out) -> Result<(), Failure> {
    let store = profile::store(common)?;
    let rest = profile::rest(&store).await?;
    let rooms = rest.rooms().await.map_err(|error| profile::rest_failure(&error))?;
    store.set_rooms(&rooms).map_err(|error| Failure::from((Code::Fault, error)))?;
    if rooms.is_empty() && !out.is_json() {
        out.note("rooms", json!({}), || "you are in no room yet; an admin can put you into one".to_owned());
    }
    for room in rooms {
        let role = room.role.map(|role| role.as_str());
        let value = json!({
            "room": room.id, "name": room.name, "kind": room.kind.as_str(), "role": role, "members": room.members,
            "seq": room.head.seq,
        });
        out.say("room", value, || {
            let role = role.unwrap_or("not a member");
            let members = if room.members == 1 { "member" } else { "members" };
            format!("{}  {:<24} {:<8} {:<10} {:>4} {members}", room.id, room.name, room.kind, role, room.members)
        });
    }
    Ok(())
}
