//! The names of rows with what was acked. They say all that must be known to let go of the old ones, so that nothing is opened
//! for it: `d/USER/ROOM/INCARNATION/DONE_AT_S/ORD/KIND ID/BYTES`.

use holler_core::units::{BurstId, ClientId, Incarnation, RoomId, UnixMs, UserId};

use super::{KEPT, KEPT_BYTES_MAX, KEPT_ITEMS_MAX, Place, Table, Write, chunks_of};

pub(super) fn name(
    user: UserId,
    room: RoomId,
    incarnation: Incarnation,
    at: UnixMs,
    ord: u64,
    item: &str,
    bytes: u64,
) -> String {
    format!("d/{user}/{room}/{incarnation}/{:011}/{ord:016}/{item}/{bytes}", at.0 / 1_000)
}

pub(super) enum Kind {
    Text(ClientId),
    Burst(BurstId),
}

fn part(name: &str, at: usize) -> Option<&str> {
    name.split('/').nth(at)
}

pub(super) fn kind(name: &str) -> Option<Kind> {
    let item = part(name, 6)?;
    match item.split_at_checked(1)? {
        ("t", id) => id.parse().ok().map(Kind::Text),
        ("b", id) => id.parse().ok().map(Kind::Burst),
        _ => None,
    }
}

pub(super) fn ord(name: &str) -> Option<u64> {
    part(name, 5)?.parse().ok()
}

/// What is to be let go of what was acked: what is older than a week, or more than is kept.
pub fn outdated(names: &[String], now: UnixMs) -> Vec<(Place, Write)> {
    let mut found: Vec<(u64, u64, &String)> = Vec::new();
    for name in names {
        let at = part(name, 4).and_then(|at| at.parse().ok()).unwrap_or(0);
        let bytes = part(name, 7).and_then(|bytes| bytes.parse().ok()).unwrap_or(0);
        found.push((at, bytes, name));
    }
    found.sort_by(|a, b| b.cmp(a));
    let oldest = (now.0 / 1_000).saturating_sub(KEPT.as_secs());
    let (mut count, mut sum) = (0, 0);
    let mut gone = Vec::new();
    for (at, bytes, name) in found {
        count += 1;
        sum += bytes;
        if at >= oldest && count <= KEPT_ITEMS_MAX && sum <= KEPT_BYTES_MAX {
            continue;
        }
        gone.push(((Table::Queue, name.clone()), Write::Delete));
        if let Some(Kind::Burst(burst)) = kind(name) {
            gone.push(((Table::Queue, chunks_of(burst)), Write::Clear));
        }
    }
    gone
}
