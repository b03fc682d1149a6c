//! Room logs in SQLite: the shell around [`holler_core::log`].

mod batch;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;

use holler_core::log::{Facts, LogHead, Prior, Proposal, Refusal, Resume, Target, identity, wanted};
use holler_core::model::{Event, EventBody, Role};
use holler_core::seal::Place;
use holler_core::units::{ClientId, Cursor, DeviceId, Epoch, Incarnation, RoomId, Seq, UnixMs, UserId};
use holler_core::wire::limits::PAGE_EVENTS_MAX;
use holler_core::wire::problem::{Problem, ProblemKind};
use rusqlite::{Connection, OptionalExtension, Statement, params};
use tokio::sync::oneshot;
use tracing::Instrument as _;

use super::columns::{epoch, int, seq, time};
use super::error::StoreError;
use super::hooks::{Hooks, Point};
use super::vault::{Sealer, Vault};
use super::{Store, bursts};
use crate::traces;

pub(super) use batch::RoomBatch;

/// Most bytes of sealed bodies in one page, so that long texts make a short page instead of a huge one.
const PAGE_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Hears of events after their commit, in order for each room. It must not block: the writer waits for it.
pub type Fanout = Arc<dyn Fn(RoomId, Arc<[Arc<Event>]>) + Send + Sync>;

/// A send.
#[derive(Clone, Debug)]
pub struct Append {
    /// The room.
    pub room: RoomId,
    /// Who sends. That they may is the caller's to check.
    pub user: UserId,
    /// From which device.
    pub device: DeviceId,
    /// What the sender may do in the room: an admin deletes also what others wrote.
    pub role: Role,
    /// The sender's name for it.
    pub client_id: ClientId,
    /// Refuse unless the room's key is at this epoch.
    pub epoch: Option<Epoch>,
    /// What happened.
    pub body: EventBody,
    /// When the server received it.
    pub received_at: UnixMs,
}

/// A send that is committed and synced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// The event in its place.
    pub event: Arc<Event>,
    /// The history that the place counts in.
    pub incarnation: Incarnation,
    /// Whether it had that place before this send.
    pub replayed: bool,
}

/// Why a send got no place. Unless it is [`StoreError::Unknown`], it is certain that this send stored nothing.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The log does not take it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// There is no such room, or it was deleted.
    #[error("there is no room {0}")]
    NoSuchRoom(RoomId),
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<AppendError> for Problem {
    fn from(error: AppendError) -> Self {
        match error {
            AppendError::Refused(refusal) => refusal.into(),
            AppendError::NoSuchRoom(_) => Self::new(ProblemKind::NotFound, error.to_string()).field("room"),
            AppendError::Store(error) => error.into(),
        }
    }
}

impl Store {
    /// Appends to a room's log. Answered once the event is committed and synced; sent again, also after a restart, it gets the
    /// first answer.
    pub async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let span = traces::send();
        let appended = self.append_in(append).instrument(span.clone()).await;
        span.record("stored", appended.is_ok());
        appended
    }

    async fn append_in(&self, append: Append) -> Result<Appended, AppendError> {
        self.hooks().at(Point::Received);
        if let Some(closed) = self.closed_for() {
            return Err(closed.into());
        }
        let (answer, answered) = oneshot::channel();
        self.enqueue_append(PendingAppend { append, answer }).await?;
        answered.await.unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Sets who hears of events. Those of before are in the log.
    pub fn set_fanout(&self, fanout: Fanout) {
        self.context().fanout.store(Some(Arc::new(fanout)));
    }

    /// Ticks after events were committed.
    pub fn stored(&self) -> Arc<tokio::sync::Notify> {
        Arc::clone(&self.context().stored)
    }

    /// Up to `limit` events (at most 500) after `after`, in order. Fewer do not mean the end of the log: long texts make short
    /// pages. Empty means that there is nothing after `after`.
    pub async fn events(&self, room: RoomId, after: Seq, limit: u32) -> Result<Vec<Event>, StoreError> {
        let vault = self.vault().clone();
        self.read(move |db| events(db, &vault, room, after, limit)).await
    }

    /// Where the log of a room stands; `None` when there is no such room.
    pub async fn log_head(&self, room: RoomId) -> Result<Option<LogHead>, StoreError> {
        self.read(move |db| head(db, room)).await
    }

    /// Where a reader who left off at `after` goes on, and the up to `limit` events that follow, all of one moment: nothing is removed in
    /// between. `None`: there is no such room.
    pub async fn resume(
        &self,
        room: RoomId,
        after: Cursor,
        limit: u32,
    ) -> Result<Option<(LogHead, Resume, Vec<Event>)>, StoreError> {
        let vault = self.vault().clone();
        self.read(move |db| {
            let Some(head) = head(db, room)? else { return Ok(None) };
            let resume = head.resume(after);
            let from = match resume {
                Resume::After(seq) => seq,
                Resume::Gap => Seq(head.first_seq.0.saturating_sub(1)),
            };
            Ok(Some((head, resume, events(db, &vault, room, from, limit)?)))
        })
        .await
    }

    /// Whose emergencies are on in a room, in the order in which they were raised.
    pub async fn emergencies(&self, room: RoomId) -> Result<Vec<UserId>, StoreError> {
        let vault = self.vault().clone();
        self.read(move |db| emergencies(db, &vault, room)).await
    }

    /// Makes the caller the room's home: gives a term above every earlier one, durably.
    pub async fn take_home(&self, room: RoomId) -> Result<u32, AppendError> {
        self.write(move |db| {
            let term: Option<u32> = db
                .prepare_cached("UPDATE room_heads SET term = term + 1 WHERE room_id = ?1 RETURNING term")
                .and_then(|mut update| update.query_row([room.bytes()], |row| row.get(0)).optional())
                .map_err(StoreError::from)?;
            term.ok_or(AppendError::NoSuchRoom(room))
        })
        .await
    }
}

/// Makes the log and the data key of a new room.
pub fn create(db: &Connection, vault: &Vault, room: RoomId) -> Result<LogHead, StoreError> {
    let mut incarnation = [0; 16];
    getrandom::fill(&mut incarnation)?;
    let head = LogHead::new(Incarnation::from_bytes(incarnation));
    vault.create_room(db, room)?;
    db.prepare_cached(
        "INSERT INTO room_heads (room_id, incarnation, first_seq, head, epoch, term) VALUES (?1, ?2, ?3, ?4, ?5, 0)",
    )?
    .execute(params![room.bytes(), incarnation, int(head.first_seq.0), int(head.head.0), int(head.epoch.0)])?;
    Ok(head)
}

/// Shreds a room: its key, without which no copy of its events and frames can be read, and then those themselves.
pub fn shred(db: &Connection, room: RoomId) -> Result<(), StoreError> {
    for sql in [
        "DELETE FROM room_keys WHERE room_id = ?1",
        "DELETE FROM room_heads WHERE room_id = ?1",
        "DELETE FROM chunks WHERE room_id = ?1",
        "DELETE FROM bursts WHERE room_id = ?1",
        "DELETE FROM sends WHERE room_id = ?1",
        "DELETE FROM events WHERE room_id = ?1",
    ] {
        db.prepare_cached(sql)?.execute([room.bytes()])?;
    }
    Ok(())
}

/// Removes the events before `first`, and the bursts that began before it. Answers to retries stay: see [`forget_sends`].
pub fn retain(db: &Connection, room: RoomId, first: Seq) -> Result<Option<LogHead>, StoreError> {
    let Some(before) = head(db, room)? else { return Ok(None) };
    let after = before.retain_from(first);
    let bound = int(after.first_seq.0);
    for sql in [
        "DELETE FROM chunks WHERE room_id = ?1 AND burst_id IN \
         (SELECT burst_id FROM bursts WHERE room_id = ?1 AND seq < ?2)",
        "DELETE FROM bursts WHERE room_id = ?1 AND seq < ?2",
        "DELETE FROM events WHERE room_id = ?1 AND seq < ?2",
        "UPDATE room_heads SET first_seq = ?2 WHERE room_id = ?1",
    ] {
        db.prepare_cached(sql)?.execute(params![room.bytes(), bound])?;
    }
    Ok(Some(after))
}

/// Forgets the answers to sends that were received before `before`. A retry later than that is stored as a new event, so this
/// must lie further back than the longest time that a client keeps a send: 30 days and the time it was offline.
pub fn forget_sends(db: &Connection, room: RoomId, before: UnixMs) -> Result<usize, StoreError> {
    Ok(db
        .prepare_cached("DELETE FROM sends WHERE room_id = ?1 AND received_at < ?2")?
        .execute(params![room.bytes(), int(before.0)])?)
}

/// Where a room's log stands.
pub fn head(db: &Connection, room: RoomId) -> Result<Option<LogHead>, StoreError> {
    let row: Option<([u8; 16], i64, i64, i64)> = db
        .prepare_cached("SELECT incarnation, first_seq, head, epoch FROM room_heads WHERE room_id = ?1")?
        .query_row([room.bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
        .optional()?;
    row.map(|(incarnation, first, last, key_epoch)| {
        Ok(LogHead {
            incarnation: Incarnation::from_bytes(incarnation),
            first_seq: seq(first)?,
            head: seq(last)?,
            epoch: epoch(key_epoch)?,
        })
    })
    .transpose()
}

/// See [`Store::events`].
pub fn events(db: &Connection, vault: &Vault, room: RoomId, after: Seq, limit: u32) -> Result<Vec<Event>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT seq, received_at, user_id, device_id, client_id, body FROM events \
         WHERE room_id = ?1 AND seq > ?2 ORDER BY seq LIMIT ?3",
    )?;
    let mut rows = select.query(params![room.bytes(), int(after.0), limit.min(PAGE_EVENTS_MAX)])?;
    let mut found = Vec::new();
    let mut sealer = None;
    let mut bytes = 0;
    while let Some(row) = rows.next()? {
        let sealer = match &sealer {
            Some(sealer) => sealer,
            None => sealer.insert(vault.room(db, room)?),
        };
        let stored = Stored::of(row)?;
        bytes += stored.body.len();
        found.push(stored.open(room, sealer)?);
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
    }
    Ok(found)
}

/// The same of what one user sent.
pub fn events_by(
    db: &Connection,
    vault: &Vault,
    room: RoomId,
    user: UserId,
    after: Seq,
    limit: u32,
) -> Result<Vec<Event>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT seq, received_at, user_id, device_id, client_id, body FROM events \
         WHERE room_id = ?1 AND seq > ?2 AND user_id = ?4 ORDER BY seq LIMIT ?3",
    )?;
    let mut rows = select.query(params![room.bytes(), int(after.0), limit.min(PAGE_EVENTS_MAX), user.bytes()])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(Stored::of(row)?.open(room, &vault.room(db, room)?)?);
    }
    Ok(found)
}

/// See [`Store::emergencies`].
fn emergencies(db: &Connection, vault: &Vault, room: RoomId) -> Result<Vec<UserId>, StoreError> {
    let mut select = db.prepare_cached(
        "SELECT seq, received_at, user_id, device_id, client_id, body FROM events \
         WHERE room_id = ?1 AND kind IN ('emergency.raised', 'emergency.cleared') ORDER BY seq",
    )?;
    let mut rows = select.query([room.bytes()])?;
    let mut raised = Vec::new();
    while let Some(row) = rows.next()? {
        let event = Stored::of(row)?.open(room, &vault.room(db, room)?)?;
        let user = if let EventBody::EmergencyCleared { raised_by } = event.body { raised_by } else { event.user };
        raised.retain(|other| *other != user);
        if let EventBody::EmergencyRaised {} = event.body {
            raised.push(user);
        }
    }
    Ok(raised)
}

/// A row of `events`.
struct Stored {
    seq: Seq,
    received_at: UnixMs,
    user: UserId,
    device: DeviceId,
    client_id: ClientId,
    body: Vec<u8>,
}

impl Stored {
    fn of(row: &rusqlite::Row<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            seq: seq(row.get(0)?)?,
            received_at: time(row.get(1)?)?,
            user: UserId::from_bytes(row.get(2)?),
            device: DeviceId::from_bytes(row.get(3)?),
            client_id: ClientId::from_bytes(row.get(4)?),
            body: row.get(5)?,
        })
    }

    fn open(self, room: RoomId, sealer: &Sealer) -> Result<Event, StoreError> {
        let Self { seq, received_at, user, device, client_id, body } = self;
        let json = at_its_place(room, seq, received_at, user, device, client_id, |place| sealer.open(place, &body))?;
        let body = serde_json::from_slice(&json)
            .map_err(|error| StoreError::Damaged(format!("event {seq} of {room} can't be read: {error}")))?;
        Ok(Event { room, seq, received_at, user, device, client_id, body })
    }
}

/// The body is bound to the whole row, so that nobody but a holder of the key can say who wrote it, or when.
fn at_its_place<T>(
    room: RoomId,
    seq: Seq,
    received_at: UnixMs,
    user: UserId,
    device: DeviceId,
    client_id: ClientId,
    f: impl FnOnce(&Place<'_>) -> T,
) -> T {
    let (seq, received_at) = (seq.0.to_be_bytes(), received_at.0.to_be_bytes());
    let row: [&[u8]; 6] = [room.bytes(), &seq, &received_at, user.bytes(), device.bytes(), client_id.bytes()];
    f(&Place { table: "events", column: "body", row: &row })
}

/// What the writer needs for appends.
pub(super) struct Context {
    pub(super) vault: Vault,
    pub(super) hooks: Arc<dyn Hooks>,
    pub(super) fanout: arc_swap::ArcSwapOption<Fanout>,
    /// Why events and frames are refused at the moment: see [`super::space`].
    pub(super) closed: arc_swap::ArcSwapOption<StoreError>,
    /// Ticks after events were committed: for whoever looks at what they want told.
    pub(super) stored: Arc<tokio::sync::Notify>,
    /// Commits that the disk failed since somebody looked.
    pub(super) failures: AtomicU32,
}

impl Context {
    pub(super) fn new(vault: Vault, hooks: Arc<dyn Hooks>) -> Self {
        Self {
            vault,
            hooks,
            fanout: arc_swap::ArcSwapOption::empty(),
            closed: arc_swap::ArcSwapOption::empty(),
            stored: Arc::default(),
            failures: AtomicU32::new(0),
        }
    }
}

/// A send on its way to the writer.
pub(super) struct PendingAppend {
    pub(super) append: Append,
    answer: oneshot::Sender<Result<Appended, AppendError>>,
}

impl PendingAppend {
    pub(super) fn refuse(self, error: StoreError) {
        let _ = self.answer.send(Err(error.into()));
    }
}

fn propose(
    db: &Connection,
    priors: &mut Statement<'_>,
    sealer: &Sealer,
    head: &LogHead,
    append: Append,
) -> Result<Proposal, StoreError> {
    let Append { room, user, device, role, client_id, epoch, body, received_at } = append;
    let digest = sealer.lookup("sends.digest", &identity(user, &body));
    let (target, burst) = wanted(&body);
    let facts = Facts {
        prior: prior(db, priors, sealer, head, room, device, client_id)?,
        target: match target {
            Some(seq) => find_target(db, room, seq)?,
            None => None,
        },
        burst: match burst {
            Some(burst) => bursts::facts(db, room, burst)?,
            None => None,
        },
    };
    Ok(Proposal { user, device, role, client_id, epoch, body, digest, received_at, facts })
}

/// What a send of this name was answered before.
const PRIOR: &str =
    "SELECT seq, received_at, digest FROM sends WHERE room_id = ?1 AND device_id = ?2 AND client_id = ?3";

fn prior(
    db: &Connection,
    priors: &mut Statement<'_>,
    sealer: &Sealer,
    head: &LogHead,
    room: RoomId,
    device: DeviceId,
    client_id: ClientId,
) -> Result<Option<Prior>, StoreError> {
    let row: Option<(i64, i64, [u8; 32])> = priors
        .query_row(params![room.bytes(), device.bytes(), client_id.bytes()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let Some((number, received_at, digest)) = row else { return Ok(None) };
    let number = seq(number)?;
    let body = if number < head.first_seq {
        None
    } else {
        let stored = db
            .prepare_cached(
                "SELECT seq, received_at, user_id, device_id, client_id, body FROM events WHERE room_id = ?1 AND seq = ?2",
            )?
            .query_row(params![room.bytes(), int(number.0)], |row| Ok(Stored::of(row)))
            .optional()?
            .ok_or_else(|| StoreError::Damaged(format!("event {number} of {room} is missing")))??;
        Some(stored.open(room, sealer)?.body)
    };
    Ok(Some(Prior { seq: number, received_at: time(received_at)?, digest, body }))
}

/// Who made an event, if it is there.
pub(super) fn author(db: &Connection, room: RoomId, seq: Seq) -> Result<Option<UserId>, StoreError> {
    Ok(db
        .prepare_cached("SELECT user_id FROM events WHERE room_id = ?1 AND seq = ?2")?
        .query_row(params![room.bytes(), int(seq.0)], |row| Ok(UserId::from_bytes(row.get(0)?)))
        .optional()?)
}

fn find_target(db: &Connection, room: RoomId, seq: Seq) -> Result<Option<Target>, StoreError> {
    Ok(db
        .prepare_cached("SELECT user_id, kind = 'message.posted' FROM events WHERE room_id = ?1 AND seq = ?2")?
        .query_row(params![room.bytes(), int(seq.0)], |row| {
            Ok(Target { user: UserId::from_bytes(row.get(0)?), posted: row.get(1)? })
        })
        .optional()?)
}
