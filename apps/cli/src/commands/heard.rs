//! `holler heard`

use holler_client::rest::Rest;
use holler_client::store::Store;
use holler_core::units::BurstId;
use holler_core::wire::presence::BurstReceipts;
use holler_core::wire::problem::ProblemKind;
use serde_json::json;

use crate::args::{Common, Heard};
use crate::exit::{Code, Failure};
use crate::output::Out;
use crate::profile;

pub(crate) async fn run(common: &Common, args: &Heard, out: Out) -> Result<(), Failure> {
    let store = profile::store(common)?;
    let rest = profile::rest(&store).await?;
    let receipts = find(&store, &rest, args).await?;
    let names = profile::names(&store, &rest).await;
    let BurstReceipts { burst, seq, user, of, delivered, heard, delivered_to, heard_by } = receipts;
    let value = json!({
        "burst": burst, "seq": seq, "user": user, "of": of, "delivered": delivered, "heard": heard,
    });
    out.say("burst.receipts", value, || format!("heard by {heard} of {of}, delivered to {delivered}"));
    let name = |user| names.get(user).cloned().unwrap_or_else(|| format!("{user}"));
    for by in &heard_by {
        let value = json!({ "user": by.user, "name": name(&by.user), "heard_at": by.heard_at });
        out.say("heard-by", value, || format!("{:<28} heard it, {}", name(&by.user), crate::time::utc(by.heard_at)));
    }
    for user in delivered_to.iter().filter(|user| !heard_by.iter().any(|by| by.user == **user)) {
        let value = json!({ "user": user, "name": name(user) });
        out.say("delivered-to", value, || format!("{:<28} has it", name(user)));
    }
    Ok(())
}

/// In the room that is named, else in the one where this device spoke it, else in each of one's rooms.
async fn find(store: &Store, rest: &Rest, args: &Heard) -> Result<BurstReceipts, Failure> {
    let burst: BurstId = args.burst;
    let own = store.room_of(burst).map_err(|error| Failure::from((Code::Fault, error)))?;
    let rooms = match (&args.room, own) {
        (Some(wanted), _) => vec![profile::room(rest, wanted).await?.id],
        (None, Some(own)) => vec![own],
        (None, None) => {
            let rooms = rest.rooms().await.map_err(|error| profile::rest_failure(&error))?;
            rooms.into_iter().map(|room| room.id).collect()
        }
    };
    for room in rooms {
        match rest.burst_receipts(room, burst).await {
            Ok(receipts) => return Ok(receipts),
            Err(error) if error.is(ProblemKind::NotFound) => {}
            Err(error) => return Err(profile::rest_failure(&error)),
        }
    }
    Err(Failure::new(Code::Refused, format!("none of your rooms has a burst {burst}, or not any more")))
}
