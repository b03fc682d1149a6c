//! Rooms and their members.

use holler_core::model::{Role, RoomKind};
use holler_core::units::{RoomId, UnixMs, UserId};
use holler_core::wire::limits::{ROOM_MEMBERS_MAX, ROOMS_MAX};
use rusqlite::params;

use super::{AccountError, Accounts, DIRECT_MEMBERS_MAX, MemberRow, RoomRow, ms, word};
use crate::storage::audit::Action;
use crate::storage::{StoreError, log};

impl Accounts<'_> {
    /// Adds a room with its log.
    pub fn add_room(&self, room: RoomId, kind: RoomKind, name: &str, now: UnixMs) -> Result<u64, AccountError> {
        let count = "SELECT count(*) FROM rooms WHERE workspace_id = ?1 AND ?2 IS NOT NULL";
        self.spare_room(count, room.bytes(), "rooms", ROOMS_MAX, "delete those that nobody uses")?;
        self.db
            .prepare_cached(
                "INSERT INTO rooms (workspace_id, room_id, kind, name, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                self.ws(),
                room.bytes(),
                kind.as_str(),
                self.seal("rooms", "name", room.bytes(), name.as_bytes())?,
                ms(now)
            ])?;
        log::create(self.db, &self.vault, room)?;
        self.record(Action::RoomAdded, |entry| entry.target(room).detail("kind", kind.as_str()))?;
        Ok(self.changed()?)
    }

    /// Changes a room to what `room` says, apart from its members.
    pub fn change_room(&self, room: &RoomRow) -> Result<u64, AccountError> {
        let before = self.room(room.id)?.ok_or(AccountError::NoRoom)?;
        if before.kind != room.kind && [before.kind, room.kind].contains(&RoomKind::Direct) {
            return Err(AccountError::KindFixed);
        }
        let id = room.id.bytes();
        if before.name != room.name || before.kind != room.kind {
            self.db
                .prepare_cached("UPDATE rooms SET name = ?3, kind = ?4 WHERE workspace_id = ?1 AND room_id = ?2")?
                .execute(params![
                self.ws(),
                id,
                self.seal("rooms", "name", id, room.name.as_bytes())?,
                room.kind.as_str()
            ])?;
        }
        self.db
            .prepare_cached("UPDATE rooms SET talk_limit_s = ?3 WHERE workspace_id = ?1 AND room_id = ?2")?
            .execute(params![self.ws(), id, room.talk_limit_s])?;
        self.record(Action::RoomChanged, |entry| {
            let entry = entry.target(room.id).detail("renamed", before.name != room.name);
            entry.detail("kind", room.kind.as_str()).detail("talk_limit_s", room.talk_limit_s)
        })?;
        Ok(self.changed()?)
    }

    /// Every room, by name.
    pub fn rooms(&self) -> Result<Vec<RoomRow>, StoreError> {
        let mut rooms = self.rooms_where("?2 IS NOT NULL", self.ws())?;
        rooms.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        Ok(rooms)
    }

    /// The rooms that a user is a member of, by name.
    pub fn rooms_of(&self, user: UserId) -> Result<Vec<RoomRow>, StoreError> {
        let mut rooms = self.rooms_where(
            "room_id IN (SELECT room_id FROM members WHERE workspace_id = ?1 AND user_id = ?2)",
            user.bytes(),
        )?;
        rooms.sort_by(|a, b| (&a.name, a.id).cmp(&(&b.name, b.id)));
        Ok(rooms)
    }

    /// The room with this identifier.
    pub fn room(&self, room: RoomId) -> Result<Option<RoomRow>, StoreError> {
        self.rooms_where("room_id = ?2", room.bytes()).map(|mut rooms| rooms.pop())
    }

    fn rooms_where(&self, condition: &str, value: &[u8; 16]) -> Result<Vec<RoomRow>, StoreError> {
        let sql = format!(
            "SELECT room_id, kind, name, (SELECT count(*) FROM members m WHERE m.workspace_id = rooms.workspace_id \
             AND m.room_id = rooms.room_id), talk_limit_s FROM rooms WHERE workspace_id = ?1 AND {condition}"
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement.query_map(params![self.ws(), value], |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, word(row, 1)?, row.get::<_, Vec<u8>>(2)?, row.get(3)?, row.get(4)?))
        })?;
        rows.map(|row| {
            let (id, kind, name, members, talk_limit_s) = row?;
            let name = self.text("rooms", "name", &id, &name)?;
            Ok(RoomRow { id: RoomId::from_bytes(id), name, kind, members, talk_limit_s })
        })
        .collect()
    }

    /// A member of a room.
    pub fn member(&self, room: RoomId, user: UserId) -> Result<Option<MemberRow>, StoreError> {
        let Some(role) = self.role_in(room, user)? else { return Ok(None) };
        Ok(self.user(user)?.map(|found| MemberRow { user, name: found.name, role }))
    }

    /// The members of a room, by name.
    pub fn members(&self, room: RoomId) -> Result<Vec<MemberRow>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT m.user_id, u.name, m.role FROM members m JOIN users u USING (workspace_id, user_id) \
             WHERE m.workspace_id = ?1 AND m.room_id = ?2",
        )?;
        let rows = statement.query_map(params![self.ws(), room.bytes()], |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, Vec<u8>>(1)?, word(row, 2)?))
        })?;
        let mut members = rows
            .map(|row| {
                let (id, name, role) = row?;
                let name = self.text("users", "name", &id, &name)?;
                Ok(MemberRow { user: UserId::from_bytes(id), name, role })
            })
            .collect::<Result<Vec<_>, StoreError>>()?;
        members.sort_by(|a, b| (&a.name, a.user).cmp(&(&b.name, b.user)));
        Ok(members)
    }

    /// Adds a member, or changes what they may do.
    pub fn set_member(&self, room: RoomId, user: UserId, role: Role, now: UnixMs) -> Result<u64, AccountError> {
        let found = self.room(room)?.ok_or(AccountError::NoRoom)?;
        self.user(user)?.ok_or(AccountError::NoUser)?;
        let present: bool = self
            .db
            .prepare_cached("SELECT count(*) FROM members WHERE workspace_id = ?1 AND room_id = ?2 AND user_id = ?3")?
            .query_row(params![self.ws(), room.bytes(), user.bytes()], |row| row.get(0))?;
        if !present && found.kind == RoomKind::Direct && found.members as usize >= DIRECT_MEMBERS_MAX {
            return Err(AccountError::DirectFull);
        }
        if !present && found.members >= ROOM_MEMBERS_MAX {
            let remedy = "take out those who left, or make another room";
            return Err(AccountError::Full { what: "members in this room", most: ROOM_MEMBERS_MAX, remedy });
        }
        if !present && self.direct_pair(room)?.is_some_and(|pair| !pair.contains(&user)) {
            return Err(AccountError::DirectTaken);
        }
        self.db
            .prepare_cached(
                "INSERT INTO members (workspace_id, room_id, user_id, role, added_at) VALUES (?1, ?2, ?3, ?4, ?5) \
                 ON CONFLICT (workspace_id, room_id, user_id) DO UPDATE SET role = excluded.role",
            )?
            .execute(params![self.ws(), room.bytes(), user.bytes(), role.as_str(), ms(now)])?;
        self.record(Action::MemberSet, |entry| entry.target(room).target(user).detail("role", role.as_str()))?;
        Ok(self.changed()?)
    }

    /// Removes a member.
    pub fn remove_member(&self, room: RoomId, user: UserId) -> Result<u64, AccountError> {
        let removed = self
            .db
            .prepare_cached("DELETE FROM members WHERE workspace_id = ?1 AND room_id = ?2 AND user_id = ?3")?
            .execute(params![self.ws(), room.bytes(), user.bytes()])?;
        if removed == 0 {
            return Err(AccountError::NoMember);
        }
        self.record(Action::MemberRemoved, |entry| entry.target(room).target(user))?;
        Ok(self.changed()?)
    }
}
