//! Invites.

use holler_core::model::{InvitesBy, Role, RoomKind, UserRole};
use holler_core::units::{InviteId, RoomId, UnixMs, UserId};
use holler_core::wire::limits::INVITES_MAX;
use rusqlite::{OptionalExtension as _, Row, params};

use super::{AccountError, Accounts, DIRECT_MEMBERS_MAX, RoomRow, ms, time, word};
use crate::storage::StoreError;
use crate::storage::audit::{Action, Target};

/// How long an invite is listed after its end, ms: 30 days.
const LISTED_MS: u64 = 30 * 86_400_000;

/// What somebody who is no admin of the workspace must be in a room to invite into it; `None`: only admins invite.
pub fn invites_from(rule: InvitesBy) -> Option<Role> {
    match rule {
        InvitesBy::Admins => None,
        InvitesBy::RoomAdmins => Some(Role::Admin),
        InvitesBy::Dispatchers => Some(Role::Dispatcher),
    }
}

/// An invite as stored; never its link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InviteRow {
    /// Names the invite.
    pub id: InviteId,
    /// What those who join may do in the workspace.
    pub role: UserRole,
    /// The rooms that they become members of.
    pub rooms: Vec<(RoomId, Role)>,
    /// Whom or what it is for.
    pub note: Option<String>,
    /// Who made it; `None`: somebody at the command line.
    pub made_by: Option<UserId>,
    /// When it was made.
    pub made_at: UnixMs,
    /// It is good until then.
    pub expires_at: UnixMs,
    /// How many people may join by it.
    pub uses_max: u32,
    /// How many have.
    pub uses: u32,
    /// Whether it was taken back.
    pub revoked: bool,
}

/// What an invite is worth at this moment.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The invite.
    pub invite: InviteRow,
    /// The rooms that it leads into, as its maker may still invite there.
    pub rooms: Vec<(RoomRow, Role)>,
}

impl Accounts<'_> {
    /// Adds an invite that `secret` leads to. Beyond [`INVITES_MAX`] good ones it is refused.
    pub fn add_invite(&self, invite: &InviteRow, secret: &[u8]) -> Result<(), AccountError> {
        let now = invite.made_at;
        self.db
            .prepare_cached(
                "DELETE FROM invites WHERE workspace_id = ?1 AND (expires_at < ?2 OR revoked_at < ?2 \
                 OR uses >= uses_max AND expires_at < ?3)",
            )?
            .execute(params![self.ws(), ms(UnixMs(now.0.saturating_sub(LISTED_MS))), ms(now)])?;
        let good: u32 = self
            .db
            .prepare_cached(
                "SELECT count(*) FROM invites WHERE workspace_id = ?1 AND revoked_at IS NULL AND expires_at > ?2 AND uses < uses_max",
            )?
            .query_row(params![self.ws(), ms(now)], |row| row.get(0))?;
        if good >= INVITES_MAX {
            let remedy = "take back those that nobody needs";
            return Err(AccountError::Full { what: "invites that are good", most: INVITES_MAX, remedy });
        }
        // Those that are over are listed as long as there is room for them.
        self.db
            .prepare_cached(
                "DELETE FROM invites WHERE workspace_id = ?1 AND (revoked_at IS NOT NULL OR expires_at <= ?2 OR uses >= uses_max) \
                 AND invite_id NOT IN (SELECT invite_id FROM invites WHERE workspace_id = ?1 ORDER BY made_at DESC LIMIT ?3)",
            )?
            .execute(params![self.ws(), ms(now), 2 * INVITES_MAX])?;
        let id = invite.id.bytes();
        let note = invite.note.as_ref().map(|note| self.seal("invites", "note", id, note.as_bytes())).transpose()?;
        self.db
            .prepare_cached(
                "INSERT INTO invites (workspace_id, invite_id, token_hash, role, note, made_by, made_at, expires_at, uses_max) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                self.ws(),
                id,
                self.invite_hash(secret),
                invite.role.as_str(),
                note,
                invite.made_by.as_ref().map(UserId::bytes),
                ms(now),
                ms(invite.expires_at),
                invite.uses_max,
            ])?;
        for (room, role) in &invite.rooms {
            self.room(*room)?.ok_or(AccountError::NoRoom)?;
            self.db
                .prepare_cached(
                    "INSERT INTO invite_rooms (workspace_id, invite_id, room_id, role) VALUES (?1, ?2, ?3, ?4)",
                )?
                .execute(params![self.ws(), id, room.bytes(), role.as_str()])?;
        }
        self.record(Action::InviteMade, |entry| {
            let entry = entry.target(Target::named("invite", invite.id));
            let entry = invite.rooms.iter().fold(entry, |entry, (room, _)| entry.target(*room));
            entry.detail("role", invite.role.as_str()).detail("uses_max", invite.uses_max)
        })?;
        Ok(())
    }

    fn invite_hash(&self, secret: &[u8]) -> [u8; 32] {
        self.sealer.lookup("invites.token", secret)
    }

    /// Every invite that is listed, newest first; only those of `made_by` where that is given.
    pub fn invites(&self, made_by: Option<UserId>) -> Result<Vec<InviteRow>, StoreError> {
        match made_by {
            Some(user) => self.invites_where("made_by = ?2", user.bytes()),
            None => self.invites_where("?2 IS NOT NULL", self.ws()),
        }
    }

    /// The invite with this identifier.
    pub fn invite(&self, invite: InviteId) -> Result<Option<InviteRow>, StoreError> {
        self.invites_where("invite_id = ?2", invite.bytes()).map(|mut invites| invites.pop())
    }

    fn invites_where(&self, condition: &str, value: &[u8]) -> Result<Vec<InviteRow>, StoreError> {
        let sql = format!(
            "SELECT invite_id, role, note, made_by, made_at, expires_at, uses_max, uses, revoked_at IS NOT NULL FROM invites \
             WHERE workspace_id = ?1 AND {condition} ORDER BY made_at DESC, invite_id"
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement.query_map(params![self.ws(), value], read)?;
        rows.map(|row| {
            let (mut invite, note) = row?;
            let id = invite.id.bytes();
            invite.note = note.map(|note| self.text("invites", "note", id, &note)).transpose()?;
            invite.rooms = self.invite_rooms(invite.id)?;
            Ok(invite)
        })
        .collect()
    }

    fn invite_rooms(&self, invite: InviteId) -> Result<Vec<(RoomId, Role)>, StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT room_id, role FROM invite_rooms WHERE workspace_id = ?1 AND invite_id = ?2 ORDER BY room_id",
        )?;
        let rows = statement.query_map(params![self.ws(), invite.bytes()], |row| {
            Ok((RoomId::from_bytes(row.get(0)?), word(row, 1)?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// What the invite that `secret` leads to is worth now; `None`: there is none, or it is over, or its maker may no longer
    /// give any of what it promises.
    pub fn offer(&self, secret: &[u8], now: UnixMs) -> Result<Option<Offer>, StoreError> {
        let Some(invite) = self.invites_where("token_hash = ?2", &self.invite_hash(secret))?.pop() else {
            return Ok(None);
        };
        if invite.revoked || now >= invite.expires_at || invite.uses >= invite.uses_max {
            return Ok(None);
        }
        let of_admin = match invite.made_by {
            None => true,
            Some(maker) => match self.user(maker)? {
                Some(_) if self.suspended_at(maker)?.is_some() => return Ok(None),
                Some(maker) => maker.role == UserRole::Admin,
                None => return Ok(None),
            },
        };
        if invite.role == UserRole::Admin && !of_admin {
            return Ok(None);
        }
        let least = invites_from(self.policy()?.invites_by);
        let mut rooms = Vec::with_capacity(invite.rooms.len());
        for (id, role) in &invite.rooms {
            let Some(room) = self.room(*id)? else { continue };
            let maker = invite.made_by.filter(|_| !of_admin);
            let allowed = match maker {
                None => true,
                Some(maker) => match (least, self.role_in(*id, maker)?) {
                    // Nobody gives more than they have.
                    (Some(least), Some(held)) => held >= least && *role <= held,
                    (None, _) | (_, None) => false,
                },
            };
            let full = room.kind == RoomKind::Direct && room.members as usize >= DIRECT_MEMBERS_MAX;
            if allowed && !full {
                rooms.push((room, *role));
            }
        }
        if rooms.is_empty() && (!invite.rooms.is_empty() || !of_admin) {
            return Ok(None);
        }
        rooms.sort_by(|(a, _), (b, _)| (&a.name, a.id).cmp(&(&b.name, b.id)));
        Ok(Some(Offer { invite, rooms }))
    }

    /// What a user may do in a room; `None`: they are no member.
    pub fn role_in(&self, room: RoomId, user: UserId) -> Result<Option<Role>, StoreError> {
        Ok(self
            .db
            .prepare_cached("SELECT role FROM members WHERE workspace_id = ?1 AND room_id = ?2 AND user_id = ?3")?
            .query_row(params![self.ws(), room.bytes(), user.bytes()], |row| word(row, 0))
            .optional()?)
    }

    /// Somebody joined by an offer: makes `user` a member of its rooms, and counts the use.
    pub fn use_offer(&self, offer: &Offer, user: UserId, now: UnixMs) -> Result<u64, AccountError> {
        for (room, role) in &offer.rooms {
            self.set_member(room.id, user, *role, now)?;
        }
        self.db
            .prepare_cached("UPDATE invites SET uses = uses + 1 WHERE workspace_id = ?1 AND invite_id = ?2")?
            .execute(params![self.ws(), offer.invite.id.bytes()])?;
        self.record(Action::InviteUsed, |entry| entry.target(Target::named("invite", offer.invite.id)).target(user))?;
        Ok(self.changed()?)
    }

    /// Takes an invite back: nobody joins by it any more.
    pub fn revoke_invite(&self, invite: InviteId, now: UnixMs) -> Result<(), AccountError> {
        let changed = self
            .db
            .prepare_cached(
                "UPDATE invites SET revoked_at = ?3 WHERE workspace_id = ?1 AND invite_id = ?2 AND revoked_at IS NULL",
            )?
            .execute(params![self.ws(), invite.bytes(), ms(now)])?;
        if changed == 0 {
            return Err(AccountError::NoInvite);
        }
        Ok(self.record(Action::InviteRevoked, |entry| entry.target(Target::named("invite", invite)))?)
    }
}

fn read(row: &Row<'_>) -> rusqlite::Result<(InviteRow, Option<Vec<u8>>)> {
    let invite = InviteRow {
        id: InviteId::from_bytes(row.get(0)?),
        role: word(row, 1)?,
        rooms: Vec::new(),
        note: None,
        made_by: row.get::<_, Option<[u8; 16]>>(3)?.map(UserId::from_bytes),
        made_at: time(row, 4)?,
        expires_at: time(row, 5)?,
        uses_max: row.get(6)?,
        uses: row.get(7)?,
        revoked: row.get(8)?,
    };
    Ok((invite, row.get(2)?))
}
