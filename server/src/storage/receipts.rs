//! Who got how far: written as clients say it, only ever growing; read for senders and dispatchers.

use holler_core::units::{BurstId, Incarnation, RoomId, Seq, UnixMs, UserId, WorkspaceId};
use holler_core::wire::limits::RECEIPT_PEOPLE_MAX;
use holler_core::wire::presence::{BurstReceipts, HeardBy, MessageReceipts};
use holler_core::wire::problem::{Problem, ProblemKind};
use rusqlite::{Connection, OptionalExtension as _, params};

use super::columns::{int, seq, time};
use super::error::StoreError;
use super::log;

/// Most items that one receipt changes what is told of: the newest. A client that was away for a week does not make its
/// colleagues' screens run through it.
const ITEMS_MAX: u32 = 32;

/// What a client says.
#[derive(Clone, Debug)]
pub struct Receipt {
    /// The room.
    pub room: RoomId,
    /// Who says it.
    pub user: UserId,
    /// The history that the numbers count in.
    pub incarnation: Incarnation,
    /// Up to here on a device.
    pub delivered: Option<Seq>,
    /// Up to here shown.
    pub read: Option<Seq>,
    /// Played to their end.
    pub heard: Vec<BurstId>,
    /// When it came.
    pub at: UnixMs,
}

/// Why a receipt is not stored.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReceiptError {
    /// There is no such room.
    #[error("there is no room {0}")]
    NoRoom(RoomId),
    /// It counts in another history.
    #[error("the log's history is {expected}, the receipt is about {found}: drop it")]
    WrongIncarnation {
        /// The log's.
        expected: Incarnation,
        /// The receipt's.
        found: Incarnation,
    },
    /// It names events that there are not.
    #[error("expected a number up to the log's head {head}, found {found}")]
    BeyondHead {
        /// The log's.
        head: Seq,
        /// The receipt's.
        found: Seq,
    },
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<rusqlite::Error> for ReceiptError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Store(error.into())
    }
}

impl From<ReceiptError> for Problem {
    fn from(error: ReceiptError) -> Self {
        let detail = error.to_string();
        match error {
            ReceiptError::NoRoom(_) => Self::new(ProblemKind::NotFound, detail).field("room"),
            ReceiptError::WrongIncarnation { .. } => {
                Self::new(ProblemKind::WrongIncarnation, detail).field("incarnation")
            }
            ReceiptError::BeyondHead { .. } => Self::new(ProblemKind::OutOfBounds, detail).field("delivered"),
            ReceiptError::Store(error) => error.into(),
        }
    }
}

/// The events of which more is known than before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Moved {
    /// Messages and bursts, by their number, at most 32.
    pub items: Vec<Seq>,
}

/// Stores a receipt. What is there already stays: numbers only rise, and a burst is heard once.
pub fn store(db: &Connection, receipt: &Receipt) -> Result<Moved, ReceiptError> {
    let Receipt { room, user, incarnation, delivered, read, heard, at } = receipt;
    let head = log::head(db, *room)?.ok_or(ReceiptError::NoRoom(*room))?;
    if head.incarnation != *incarnation {
        return Err(ReceiptError::WrongIncarnation { expected: head.incarnation, found: *incarnation });
    }
    if let Some(found) = delivered.max(read).filter(|found| *found > head.head) {
        return Err(ReceiptError::BeyondHead { head: head.head, found });
    }
    let before = marks(db, *room, *user, *incarnation)?;
    // What was shown is on the device, whatever it says.
    let new = (before.0.max(delivered.max(read).unwrap_or_default()), before.1.max(read.unwrap_or_default()));
    let mut moved = Moved::default();
    if new != before {
        db.prepare_cached(
            "INSERT OR REPLACE INTO read_marks (room_id, user_id, incarnation, delivered, read) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![room.bytes(), user.bytes(), incarnation.bytes(), int(new.0.0), int(new.1.0)])?;
        let mut items = db.prepare_cached(
            "SELECT seq FROM events WHERE room_id = ?1 AND user_id <> ?2 AND kind IN ('message.posted', 'burst.started') \
             AND (seq > ?3 AND seq <= ?4 OR seq > ?5 AND seq <= ?6) ORDER BY seq DESC LIMIT ?7",
        )?;
        let span = params![
            room.bytes(),
            user.bytes(),
            int(before.0.0),
            int(new.0.0),
            int(before.1.0),
            int(new.1.0),
            ITEMS_MAX
        ];
        for row in items.query_map(span, |row| row.get(0))? {
            moved.items.push(seq(row?)?);
        }
    }
    for burst in heard {
        // Not of what was never said, or retention has removed; and nobody is a listener of themselves.
        let started: Option<i64> = db
            .prepare_cached("SELECT seq FROM bursts WHERE room_id = ?1 AND burst_id = ?2 AND user_id <> ?3")?
            .query_row(params![room.bytes(), burst.bytes(), user.bytes()], |row| row.get(0))
            .optional()?;
        let Some(started) = started else { continue };
        let is_new = db
            .prepare_cached(
                "INSERT OR IGNORE INTO heard (room_id, burst_id, user_id, heard_at) VALUES (?1, ?2, ?3, ?4)",
            )?
            .execute(params![room.bytes(), burst.bytes(), user.bytes(), int(at.0)])?;
        if is_new == 1 {
            moved.items.push(seq(started)?);
        }
    }
    Ok(moved)
}

fn marks(db: &Connection, room: RoomId, user: UserId, incarnation: Incarnation) -> Result<(Seq, Seq), StoreError> {
    let row: Option<(i64, i64)> = db
        .prepare_cached(
            "SELECT delivered, read FROM read_marks WHERE room_id = ?1 AND user_id = ?2 AND incarnation = ?3",
        )?
        .query_row(params![room.bytes(), user.bytes(), incarnation.bytes()], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    row.map_or(Ok((Seq(0), Seq(0))), |(delivered, read)| Ok((seq(delivered)?, seq(read)?)))
}

/// How far an event got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The event.
    pub seq: Seq,
    /// Who sent it.
    pub user: UserId,
    /// The burst, where it is one.
    pub burst: Option<BurstId>,
    /// Members beside the sender.
    pub of: u32,
    /// Of them, with it on a device.
    pub delivered: u32,
    /// Of them, who heard or read it.
    pub taken: u32,
}

/// How far a message or a burst got; `None`: it is neither, or not there.
pub fn reach(db: &Connection, workspace: WorkspaceId, room: RoomId, at: Seq) -> Result<Option<Reach>, StoreError> {
    let row: Option<([u8; 16], String, Option<[u8; 16]>)> = db
        .prepare_cached(
            "SELECT e.user_id, e.kind, b.burst_id FROM events e \
             LEFT JOIN bursts b ON b.room_id = e.room_id AND b.seq = e.seq WHERE e.room_id = ?1 AND e.seq = ?2",
        )?
        .query_row(params![room.bytes(), int(at.0)], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((user, kind, burst)) = row else { return Ok(None) };
    let burst = match (kind.as_str(), burst) {
        ("burst.started", Some(burst)) => Some(BurstId::from_bytes(burst)),
        ("message.posted", _) => None,
        _ => return Ok(None),
    };
    let of = "SELECT count(*) FROM members WHERE workspace_id = ?1 AND room_id = ?2 AND user_id <> ?3";
    let of = db.prepare_cached(of)?.query_row(params![workspace.bytes(), room.bytes(), user], |row| row.get(0))?;
    let who = Who { db, workspace, room, sender: UserId::from_bytes(user) };
    let taken = match burst {
        Some(burst) => who.heard(burst)?.0,
        None => who.marked("read", at)?.0,
    };
    Ok(Some(Reach { seq: at, user: who.sender, burst, of, delivered: who.marked("delivered", at)?.0, taken }))
}

/// Who has and heard a burst; `None`: there is none.
pub fn of_burst(
    db: &Connection,
    workspace: WorkspaceId,
    room: RoomId,
    burst: BurstId,
) -> Result<Option<BurstReceipts>, StoreError> {
    let started: Option<i64> = db
        .prepare_cached("SELECT seq FROM bursts WHERE room_id = ?1 AND burst_id = ?2")?
        .query_row(params![room.bytes(), burst.bytes()], |row| row.get(0))
        .optional()?;
    let Some(started) = started.map(seq).transpose()? else { return Ok(None) };
    let Some(reach) = reach(db, workspace, room, started)? else { return Ok(None) };
    let who = Who { db, workspace, room, sender: reach.user };
    Ok(Some(BurstReceipts {
        burst,
        seq: started,
        user: reach.user,
        of: reach.of,
        delivered: reach.delivered,
        heard: reach.taken,
        delivered_to: who.marked("delivered", started)?.1,
        heard_by: who.heard(burst)?.1,
    }))
}

/// Who has and read a message; `None`: there is none.
pub fn of_message(
    db: &Connection,
    workspace: WorkspaceId,
    room: RoomId,
    at: Seq,
) -> Result<Option<MessageReceipts>, StoreError> {
    let Some(reach) = reach(db, workspace, room, at)?.filter(|reach| reach.burst.is_none()) else { return Ok(None) };
    let who = Who { db, workspace, room, sender: reach.user };
    Ok(Some(MessageReceipts {
        seq: at,
        user: reach.user,
        of: reach.of,
        delivered: reach.delivered,
        read: reach.taken,
        delivered_to: who.marked("delivered", at)?.1,
        read_by: who.marked("read", at)?.1,
    }))
}

/// The present members of a room beside the one who sent something: who left does not count, and was not to know.
struct Who<'a> {
    db: &'a Connection,
    workspace: WorkspaceId,
    room: RoomId,
    sender: UserId,
}

impl Who<'_> {
    /// Those whose mark is at `at` or beyond: how many, and the first of them.
    fn marked(&self, mark: &str, at: Seq) -> Result<(u32, Vec<UserId>), StoreError> {
        let sql = format!(
            "SELECT k.user_id FROM members k JOIN read_marks m ON m.room_id = k.room_id AND m.user_id = k.user_id \
             JOIN room_heads h ON h.room_id = k.room_id AND h.incarnation = m.incarnation \
             WHERE k.workspace_id = ?1 AND k.room_id = ?2 AND k.user_id <> ?3 AND m.{mark} >= ?4 ORDER BY k.user_id"
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement
            .query_map(params![self.workspace.bytes(), self.room.bytes(), self.sender.bytes(), int(at.0)], |row| {
                Ok(UserId::from_bytes(row.get(0)?))
            })?;
        let (mut count, mut people) = (0, Vec::new());
        for row in rows {
            let user = row?;
            count += 1;
            if people.len() < RECEIPT_PEOPLE_MAX {
                people.push(user);
            }
        }
        Ok((count, people))
    }

    fn heard(&self, burst: BurstId) -> Result<(u32, Vec<HeardBy>), StoreError> {
        let mut statement = self.db.prepare_cached(
            "SELECT h.user_id, h.heard_at FROM heard h JOIN members k ON k.room_id = h.room_id AND k.user_id = h.user_id \
             WHERE k.workspace_id = ?1 AND h.room_id = ?2 AND h.burst_id = ?3 ORDER BY h.heard_at, h.user_id",
        )?;
        let rows = statement.query_map(params![self.workspace.bytes(), self.room.bytes(), burst.bytes()], |row| {
            Ok((UserId::from_bytes(row.get(0)?), row.get::<_, i64>(1)?))
        })?;
        let (mut count, mut people) = (0, Vec::new());
        for row in rows {
            let (user, at) = row?;
            count += 1;
            if people.len() < RECEIPT_PEOPLE_MAX {
                people.push(HeardBy { user, heard_at: time(at)? });
            }
        }
        Ok((count, people))
    }
}
