//! Direct rooms that were opened from a person: one for each two people, found or made in one transaction.
//!
//! Such a room stays the two's for good: who left it may come back, nobody else may take their place, because what was said there
//! was said to one person. To each of the two it bears the other's name. With oneself one has an echo room.

use holler_core::model::{Role, RoomKind};
use holler_core::units::{RoomId, UnixMs, UserId};
use holler_core::wire::rest::ECHO;
use rusqlite::{OptionalExtension as _, params};

use super::{AccountError, Accounts, RoomRow};
use crate::storage::StoreError;

/// What a direct room is called to those who are not in it, and once the other is gone.
const NAME: &str = "Direct room";

impl Accounts<'_> {
    /// The room of these two, made as `new` where there is none, with the generation from which on both are its members.
    pub fn direct_room(
        &self,
        caller: UserId,
        other: UserId,
        new: RoomId,
        now: UnixMs,
    ) -> Result<(RoomId, u64), AccountError> {
        let (low, high) = (caller.min(other), caller.max(other));
        self.user(other)?.ok_or(AccountError::NoUser)?;
        let found = self.direct_between(low, high)?;
        let room = if let Some(room) = found {
            room
        } else {
            self.add_room(new, RoomKind::Direct, if low == high { ECHO } else { NAME }, now)?;
            self.db
                .prepare_cached(
                    "INSERT INTO direct_rooms (workspace_id, low_user, high_user, room_id) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![self.ws(), low.bytes(), high.bytes(), new.bytes()])?;
            new
        };
        let members = self.members(room)?;
        let mut generation = None;
        let pair = [low, high];
        for user in if low == high { &pair[..1] } else { &pair } {
            let user = *user;
            if !members.iter().any(|member| member.user == user) {
                generation = Some(self.set_member(room, user, Role::Talker, now)?);
            }
        }
        let generation = match generation {
            Some(generation) => generation,
            None => super::generation(self.db, self.workspace)?,
        };
        Ok((room, generation))
    }

    fn direct_between(&self, low: UserId, high: UserId) -> Result<Option<RoomId>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT room_id FROM direct_rooms WHERE workspace_id = ?1 AND low_user = ?2 AND high_user = ?3",
        )?;
        let found = statement.query_row(params![self.ws(), low.bytes(), high.bytes()], |row| row.get(0)).optional()?;
        Ok(found.map(RoomId::from_bytes))
    }

    /// The two whose room it is for good; `None`: nobody's.
    pub(super) fn direct_pair(&self, room: RoomId) -> Result<Option<[UserId; 2]>, StoreError> {
        let mut statement = self
            .db
            .prepare_cached("SELECT low_user, high_user FROM direct_rooms WHERE workspace_id = ?1 AND room_id = ?2")?;
        let pair =
            statement.query_row(params![self.ws(), room.bytes()], |row| Ok([row.get(0)?, row.get(1)?])).optional()?;
        Ok(pair.map(|pair| pair.map(UserId::from_bytes)))
    }

    /// The other of the two, to one of them.
    pub(super) fn direct_other(&self, room: RoomId, viewer: UserId) -> Result<Option<UserId>, StoreError> {
        let pair = self.direct_pair(room)?.filter(|pair| pair.contains(&viewer));
        Ok(pair.and_then(|pair| pair.into_iter().find(|user| *user != viewer)))
    }

    /// The room under the name that `viewer` knows it by.
    pub fn named_for(&self, viewer: UserId, row: RoomRow) -> Result<RoomRow, StoreError> {
        if row.kind != RoomKind::Direct {
            return Ok(row);
        }
        let Some(other) = self.direct_other(row.id, viewer)? else { return Ok(row) };
        Ok(match self.user(other)? {
            Some(other) => RoomRow { name: other.name, ..row },
            None => row,
        })
    }
}
