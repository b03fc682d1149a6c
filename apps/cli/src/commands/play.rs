//! `holler play`

use std::collections::{BTreeMap, BTreeSet};

use holler_client::audio::{render, wav};
use holler_client::rest::Rest;
use holler_client::store::Store;
use holler_core::engine::Store as Change;
use holler_core::model::{BurstHeader, Event, EventBody};
use holler_core::units::{BurstId, Cursor, FrameNo, RoomId, Seq, UnixMs, UserId};
use holler_core::wire::limits::PAGE_EVENTS_MAX;
use holler_core::wire::rest::Room;
use serde_json::json;

use crate::args::{Common, Play};
use crate::exit::{Code, Failure};
use crate::output::Out;
use crate::{profile, sound, time};

/// A burst of the log.
struct Spoken {
    header: BurstHeader,
    user: UserId,
    at: UnixMs,
    uncertainty_ms: u64,
    brought: bool,
    last: Option<FrameNo>,
    complete: bool,
}

pub(crate) async fn run(common: &Common, args: Play, out: Out) -> Result<(), Failure> {
    if let Some(folder) = &args.out {
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::new(Code::Fault, format!("{}: {error}", folder.display())))?;
    }
    let store = profile::store(common)?;
    let rest = profile::rest(&store).await?;
    let room = profile::room(&rest, &args.room).await?;
    let wanted = args.burst.as_deref().map(str::parse::<BurstId>).transpose();
    let wanted = wanted.map_err(|_| Failure::new(Code::Usage, "expected the id of a burst: bst_…"))?;
    let fault = |error: holler_client::store::StoreError| Failure::from((Code::Fault, error));
    let heard = store.heard(room.id).map_err(fault)?;
    let own = store.profile().map_err(fault)?.map(|profile| profile.device);
    let mut found = spoken(&rest, &room, |event| Some(event.device) != own || wanted.is_some()).await?;
    found.retain(|burst| wanted.map_or(!heard.contains(&burst.header.burst), |wanted| wanted == burst.header.burst));
    if found.is_empty() {
        if let Some(wanted) = wanted {
            return Err(Failure::new(Code::Refused, format!("the log of {:?} has no burst {wanted}", room.name)));
        }
        out.note("none", json!({ "room": room.id }), || "nothing was missed".to_owned());
        return Ok(());
    }
    let members = rest.members(room.id).await.map_err(|error| profile::rest_failure(&error))?;
    let names: BTreeMap<UserId, String> = members.into_iter().map(|member| (member.user, member.name)).collect();
    let mut lacking = 0_u32;
    for burst in found {
        lacking += u32::from(!one(&store, &rest, room.id, &burst, &names, &args, out).await?);
    }
    if lacking > 0 {
        let message = format!("{lacking} bursts are not complete yet: their speakers still owe the rest");
        return Err(Failure::new(Code::Incomplete, message));
    }
    Ok(())
}

/// Plays one. Whether it was complete.
async fn one(
    store: &Store,
    rest: &Rest,
    room: RoomId,
    burst: &Spoken,
    names: &BTreeMap<UserId, String>,
    args: &Play,
    out: Out,
) -> Result<bool, Failure> {
    let id = burst.header.burst;
    let fault = |error: &dyn core::fmt::Display| Failure::new(Code::Fault, error.to_string());
    let to = FrameNo(holler_core::wire::limits::FRAMES_PER_BURST_MAX);
    let frames = rest.frames(room, id, FrameNo::FIRST, burst.last.unwrap_or(to)).await;
    let frames = frames.map_err(|error| profile::rest_failure(&error))?;
    let rendered = render::render(burst.header.frame_ms, &frames, burst.last).map_err(|error| fault(&error))?;
    let complete = burst.complete && rendered.missing == 0;
    let name = names.get(&burst.user).cloned().unwrap_or_else(|| burst.user.to_string());
    let file = args.out.as_ref().map(|folder| folder.join(format!("{id}.wav")));
    let value = json!({
        "room": room, "burst": id, "user": burst.user, "name": name, "spoken_at": burst.at,
        "uncertainty_ms": burst.uncertainty_ms, "brought": burst.brought, "frames": frames.len(),
        "missing": rendered.missing, "complete": complete, "file": file,
    });
    let seconds = rendered.sound.len() as f64 / 48_000.0;
    out.say("playing", value, || format!("{}  {name}: {seconds:.1} s", time::utc(burst.at)));
    match &file {
        Some(file) => wav::write(file, &rendered.sound).map_err(|error| fault(&error))?,
        None => sound::speak(args.speaker.clone(), rendered.sound).await?,
    }
    if complete {
        store.change(Change::BurstHeard { room, burst: id });
        store.flush();
    }
    Ok(complete)
}

/// The bursts of a room's log, in its order.
async fn spoken(rest: &Rest, room: &Room, of: impl Fn(&Event) -> bool) -> Result<Vec<Spoken>, Failure> {
    let mut after = Cursor { seq: Seq(0), ..room.head };
    let (mut found, mut mine): (Vec<Spoken>, BTreeSet<BurstId>) = (Vec::new(), BTreeSet::new());
    while after.seq < room.head.seq {
        let page = rest.events(room.id, Some(after), PAGE_EVENTS_MAX).await;
        let page = page.map_err(|error| profile::rest_failure(&error))?;
        for event in page.events.iter().filter(|event| of(event)) {
            note(&mut found, &mut mine, event);
        }
        if page.next.seq <= after.seq {
            break;
        }
        after = page.next;
    }
    Ok(found)
}

fn note(found: &mut Vec<Spoken>, known: &mut BTreeSet<BurstId>, event: &Event) {
    let mut ended = |burst: &BurstId, last: FrameNo, complete: bool| {
        if let Some(spoken) = found.iter_mut().rev().find(|spoken| spoken.header.burst == *burst) {
            spoken.last = Some(last);
            spoken.complete = complete;
        }
    };
    match &event.body {
        EventBody::BurstStarted { header, token, spoken_ago_ms, uncertainty_ms, .. } => {
            if known.insert(header.burst) {
                found.push(Spoken {
                    header: *header,
                    user: event.user,
                    at: UnixMs(event.received_at.0.saturating_sub(*spoken_ago_ms)),
                    uncertainty_ms: *uncertainty_ms,
                    brought: token.is_none(),
                    last: None,
                    complete: false,
                });
            }
        }
        EventBody::BurstCommitted { burst, last, missing, .. } => ended(burst, *last, missing.is_empty()),
        EventBody::BurstCompleted { burst, last, .. } => ended(burst, *last, true),
        EventBody::BurstInterrupted { .. }
        | EventBody::MessagePosted { .. }
        | EventBody::MessageEdited { .. }
        | EventBody::MessageDeleted { .. }
        | EventBody::EmergencyRaised {}
        | EventBody::EmergencyCleared { .. } => {}
    }
}
