//! Who sees whom: the whole of it, or what changed since a sync token.
//!
//! A member sees their rooms, with all members, and the people who share one with them; an admin sees everything. What they saw at an
//! earlier point is worked out from what they see now and the log of changes since (`schema/2/roster.sql`), read backwards: each subject
//! was then what its first later change says it was before. So the answer is the exact difference of the two views, and it names
//! nobody whom the caller did not see at one of the two points.
//!
//! A token says which point its holder has seen. It is sealed, bound to the user, and good for [`SYNC_TOKEN_DAYS`] days or
//! 10,000 changes.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use holler_core::model::Role;
use holler_core::seal::Place;
use holler_core::units::{RoomId, UnixMs, UserId, WorkspaceId};
use holler_core::wire::limits::{SYNC_TOKEN_CHARS_MAX, SYNC_TOKEN_DAYS};
use holler_core::wire::rest::{Person, Roster, RosterMember, RosterRoom};
use rusqlite::{Row, params};

use super::{AccountError, Accounts, UserRow, whole, word};
use crate::storage::StoreError;

/// Changes that are kept; the trigger `roster_trimmed` removes older ones.
#[cfg(test)]
const CHANGES_MAX: u64 = 10_000;

/// Whose view it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct View {
    /// The caller.
    pub user: UserId,
    /// They see everything.
    pub all: bool,
}

/// The number of the last change of people, rooms or memberships.
pub fn last_roster_change(db: &rusqlite::Connection, workspace: WorkspaceId) -> Result<u64, StoreError> {
    let mut statement = db.prepare_cached("SELECT change FROM roster_state WHERE workspace_id = ?1")?;
    Ok(statement.query_row([workspace.bytes()], |row| whole(row, 0))?)
}

/// Memberships by room.
type Rooms = BTreeMap<RoomId, BTreeMap<UserId, Role>>;

/// What somebody sees, by identifier.
#[derive(Debug, Default)]
struct Seen {
    users: BTreeSet<UserId>,
    rooms: Rooms,
}

/// A point in the log of changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Point {
    incarnation: [u8; 16],
    change: u64,
}

/// What changed since a point: for each subject, what it was then.
#[derive(Debug, Default)]
struct Before {
    users: BTreeMap<UserId, bool>,
    rooms: BTreeMap<RoomId, bool>,
    members: BTreeMap<RoomId, BTreeMap<UserId, Option<Role>>>,
}

impl Accounts<'_> {
    /// What `view` sees: everything, or with a token what changed since.
    pub fn roster(&self, view: View, since: Option<&str>, now: UnixMs) -> Result<Roster, AccountError> {
        let point = self.point()?;
        let sync_token = self.sync_token(view, point, now)?;
        let Some(since) = since else {
            let Seen { users, rooms } = self.seen(view)?;
            let rooms = rooms.into_iter().map(|(id, members)| self.roster_room(view, id, members, BTreeSet::new()));
            return Ok(Roster {
                sync_token,
                snapshot: true,
                users: self.people(view, &users)?,
                removed_users: Vec::new(),
                rooms: rooms.collect::<Result<_, _>>()?,
                removed_rooms: Vec::new(),
            });
        };
        let from = self.open_sync_token(view, since, now)?;
        if from.incarnation != point.incarnation
            || from.change > point.change
            || !self.has_changes_after(from, point)?
        {
            return Err(AccountError::SyncTokenExpired);
        }
        if from == point {
            return Ok(Roster { sync_token, ..Roster::default() });
        }
        let before = self.before(from)?;
        let seen = self.seen(view)?;
        let then = self.seen_before(view, &seen, &before)?;
        let is_new = |user: &UserId| !then.users.contains(user) || before.users.contains_key(user);
        let changed = seen.users.iter().filter(|user| is_new(user)).copied().collect();
        let removed_rooms = then.rooms.keys().filter(|room| !seen.rooms.contains_key(room)).copied().collect();
        let mut rooms = Vec::new();
        for (id, members) in seen.rooms {
            let Some(known) = then.rooms.get(&id) else {
                rooms.push(self.roster_room(view, id, members, BTreeSet::new())?);
                continue;
            };
            let removed: BTreeSet<_> = known.keys().filter(|user| !members.contains_key(user)).copied().collect();
            let own = members.get(&view.user).copied();
            let set: BTreeMap<_, _> =
                members.into_iter().filter(|(user, role)| known.get(user) != Some(role)).collect();
            // A direct room bears the other's name.
            let renamed = self.direct_other(id, view.user)?.is_some_and(|other| before.users.contains_key(&other));
            if !set.is_empty() || !removed.is_empty() || renamed || before.rooms.contains_key(&id) {
                rooms.push(RosterRoom { role: own, ..self.roster_room(view, id, set, removed)? });
            }
        }
        Ok(Roster {
            sync_token,
            snapshot: false,
            users: self.people(view, &changed)?,
            removed_users: then.users.difference(&seen.users).copied().collect(),
            rooms,
            removed_rooms,
        })
    }

    /// The people whom `view` sees.
    pub fn visible_people(&self, view: View) -> Result<BTreeSet<UserId>, StoreError> {
        Ok(self.seen(view)?.users)
    }

    /// Whether `view` sees this person.
    pub fn sees(&self, view: View, user: UserId) -> Result<bool, StoreError> {
        if view.all || view.user == user {
            return Ok(true);
        }
        Ok(self
            .db
            .prepare_cached(
                "SELECT EXISTS (SELECT 1 FROM members a JOIN members b USING (workspace_id, room_id) \
                 WHERE a.workspace_id = ?1 AND a.user_id = ?2 AND b.user_id = ?3)",
            )?
            .query_row(params![self.ws(), view.user.bytes(), user.bytes()], |row| row.get(0))?)
    }

    fn point(&self) -> Result<Point, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT incarnation, change FROM roster_state WHERE workspace_id = ?1")?
            .query_row([self.ws()], |row| Ok(Point { incarnation: row.get(0)?, change: whole(row, 1)? }))?)
    }

    /// Whether the log still has every change from the one after `from` up to `to`.
    fn has_changes_after(&self, from: Point, to: Point) -> Result<bool, StoreError> {
        let oldest: Option<u64> = self
            .db
            .prepare_cached("SELECT min(change) FROM roster_changes WHERE workspace_id = ?1")?
            .query_row([self.ws()], |row| {
                Ok(row.get::<_, Option<i64>>(0)?.and_then(|change| u64::try_from(change).ok()))
            })?;
        Ok(from.change == to.change || oldest.is_some_and(|oldest| oldest <= from.change + 1))
    }

    fn before(&self, from: Point) -> Result<Before, StoreError> {
        let mut before = Before::default();
        let mut statement = self.db.prepare_cached(
            "SELECT user_id, room_id, before FROM roster_changes WHERE workspace_id = ?1 AND change > ?2 ORDER BY change",
        )?;
        let mut rows = statement.query(params![self.ws(), i64::try_from(from.change).unwrap_or(i64::MAX)])?;
        while let Some(row) = rows.next()? {
            let user = row.get::<_, Option<[u8; 16]>>(0)?.map(UserId::from_bytes);
            let room = row.get::<_, Option<[u8; 16]>>(1)?.map(RoomId::from_bytes);
            let was = !matches!(row.get_ref(2)?, rusqlite::types::ValueRef::Null);
            match (user, room) {
                (Some(user), Some(room)) => {
                    let role = if was { Some(word(row, 2)?) } else { None };
                    before.members.entry(room).or_default().entry(user).or_insert(role);
                }
                (Some(user), None) => {
                    before.users.entry(user).or_insert(was);
                }
                (None, Some(room)) => {
                    before.rooms.entry(room).or_insert(was);
                }
                (None, None) => {}
            }
        }
        Ok(before)
    }

    fn seen(&self, view: View) -> Result<Seen, StoreError> {
        let ids: Vec<[u8; 16]> = if view.all {
            self.list("SELECT room_id FROM rooms WHERE workspace_id = ?1 AND ?2 IS NOT NULL", self.ws(), |row| {
                row.get(0)
            })?
        } else {
            let mine = "SELECT room_id FROM members WHERE workspace_id = ?1 AND user_id = ?2";
            self.list(mine, view.user.bytes(), |row| row.get(0))?
        };
        let mut rooms = Rooms::new();
        for id in ids {
            rooms.insert(RoomId::from_bytes(id), self.members_now(RoomId::from_bytes(id))?);
        }
        let users = if view.all { self.everybody()? } else { company(view, &rooms) };
        Ok(Seen { users, rooms })
    }

    /// What `view` saw before the changes in `before`.
    fn seen_before(&self, view: View, now: &Seen, before: &Before) -> Result<Seen, StoreError> {
        let mut ids: BTreeSet<RoomId> = now.rooms.keys().copied().collect();
        let mut differ = |room: RoomId, was: bool| if was { ids.insert(room) } else { ids.remove(&room) };
        if view.all {
            for (room, was) in &before.rooms {
                differ(*room, *was);
            }
        } else {
            for (room, members) in &before.members {
                if let Some(own) = members.get(&view.user) {
                    differ(*room, own.is_some());
                }
            }
        }
        let mut rooms = Rooms::new();
        for id in ids {
            let mut members = self.members_now(id)?;
            for (user, role) in before.members.get(&id).into_iter().flatten() {
                match role {
                    Some(role) => members.insert(*user, *role),
                    None => members.remove(user),
                };
            }
            rooms.insert(id, members);
        }
        let users = if view.all {
            let mut users = now.users.clone();
            for (user, was) in &before.users {
                if *was {
                    users.insert(*user);
                } else {
                    users.remove(user);
                }
            }
            users
        } else {
            company(view, &rooms)
        };
        Ok(Seen { users, rooms })
    }

    fn everybody(&self) -> Result<BTreeSet<UserId>, StoreError> {
        let sql = "SELECT user_id FROM users WHERE workspace_id = ?1 AND ?2 IS NOT NULL";
        Ok(self.list(sql, self.ws(), |row| row.get(0).map(UserId::from_bytes))?.into_iter().collect())
    }

    fn members_now(&self, room: RoomId) -> Result<BTreeMap<UserId, Role>, StoreError> {
        let sql = "SELECT user_id, role FROM members WHERE workspace_id = ?1 AND room_id = ?2";
        let members = self.list(sql, room.bytes(), |row| Ok((UserId::from_bytes(row.get(0)?), word(row, 1)?)))?;
        Ok(members.into_iter().collect())
    }

    fn list<T>(
        &self,
        sql: &str,
        value: &[u8; 16],
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        Ok(self.db.prepare_cached(sql)?.query_map(params![self.ws(), value], read)?.collect::<Result<_, _>>()?)
    }

    fn people(&self, view: View, users: &BTreeSet<UserId>) -> Result<Vec<Person>, StoreError> {
        let person = |UserRow { id, name, role, .. }| Person { id, name, role };
        if view.all && users.len() > 64 {
            let mut rows = self.users()?;
            rows.sort_by_key(|row| row.id);
            return Ok(rows.into_iter().filter(|row| users.contains(&row.id)).map(person).collect());
        }
        let rows = users.iter().map(|user| self.user(*user)).filter_map(Result::transpose);
        rows.map(|row| row.map(person)).collect()
    }

    fn roster_room(
        &self,
        view: View,
        id: RoomId,
        members: BTreeMap<UserId, Role>,
        removed: BTreeSet<UserId>,
    ) -> Result<RosterRoom, StoreError> {
        let row = self.room(id)?.ok_or_else(|| StoreError::Damaged(format!("{id} has members and no row")))?;
        let row = self.named_for(view.user, row)?;
        Ok(RosterRoom {
            id,
            name: row.name,
            kind: row.kind,
            role: members.get(&view.user).copied(),
            members: members.into_iter().map(|(user, role)| RosterMember { user, role }).collect(),
            removed_members: removed.into_iter().collect(),
        })
    }

    fn sync_token(&self, view: View, point: Point, now: UnixMs) -> Result<String, StoreError> {
        let mut text = Vec::with_capacity(33);
        text.extend(point.incarnation);
        text.extend(point.change.to_be_bytes());
        text.extend(now.0.to_be_bytes());
        text.push(view.all.into());
        Ok(BASE64.encode(self.seal("roster", "token", view.user.bytes(), &text)?))
    }

    fn open_sync_token(&self, view: View, token: &str, now: UnixMs) -> Result<Point, AccountError> {
        if token.len() > SYNC_TOKEN_CHARS_MAX {
            return Err(AccountError::SyncTokenMalformed);
        }
        let sealed = BASE64.decode(token).map_err(|_| AccountError::SyncTokenMalformed)?;
        let place = Place { table: "roster", column: "token", row: &[self.ws(), view.user.bytes()] };
        // One that does not open is of somebody else, or of other data: all that helps is a snapshot.
        let Ok(text) = self.sealer.open(&place, &sealed) else { return Err(AccountError::SyncTokenExpired) };
        let number =
            |from: usize| text.get(from..from + 8).and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes);
        let incarnation = text.get(..16).and_then(|bytes| bytes.try_into().ok());
        let (Some(incarnation), Some(change), Some(made), Some(all)) =
            (incarnation, number(16), number(24), text.get(32))
        else {
            return Err(AccountError::SyncTokenExpired);
        };
        let old = now.0.saturating_sub(made) > u64::from(SYNC_TOKEN_DAYS) * 86_400_000;
        // Who became an admin, or is none any more, sees something else altogether.
        if old || (*all == 1) != view.all {
            return Err(AccountError::SyncTokenExpired);
        }
        Ok(Point { incarnation, change })
    }
}

/// The people in these rooms, and the caller.
fn company(view: View, rooms: &Rooms) -> BTreeSet<UserId> {
    rooms.values().flat_map(BTreeMap::keys).copied().chain([view.user]).collect()
}

#[cfg(test)]
#[path = "roster_tests.rs"]
mod tests;
