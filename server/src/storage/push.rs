//! What waits to be told to devices that are not connected: a durable queue, and which rooms have events that are not in it yet.
//!
//! Storing an event costs at most one small row a room, in the same transaction ([`cause`]); the room's log itself is the rest of
//! the memory. Whom to tell is found later ([`wanted`]), written in small pieces ([`enqueue`]), and the room's mark moves on with
//! the last piece ([`looked`]): a crash in between does it again, and the entries are the same. An entry is a notification: one a
//! device, room and subject, which a later event replaces. What is given up stays for a while as a dead letter.

use std::collections::{BTreeMap, BTreeSet};

use holler_core::model::{Event, EventBody, RoomKind};
use holler_core::units::{DeviceId, RoomId, Seq, UnixMs, UserId, WorkspaceId};
use holler_core::wire::limits::{PAGE_EVENTS_MAX, PUSH_WAITING_MAX};
use holler_core::wire::rest::PushRules;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::accounts::Accounts;
use super::columns::{int, seq, time, word};
use super::error::StoreError;
use super::log;

/// How long after an event news of it waits: whoever reads it meanwhile on another device is not disturbed.
pub const NEWS_GRACE_MS: u64 = 3_000;
/// How long news is worth telling: a day.
const NEWS_LIFE_MS: u64 = 86_400_000;
/// How long an emergency is worth telling: an hour.
const EMERGENCY_LIFE_MS: u64 = 3_600_000;
/// How long a call rings.
const CALL_LIFE_MS: u64 = 45_000;
/// How long a dead letter is kept: a week.
const DEAD_KEPT_MS: u64 = 7 * 86_400_000;
/// Dead letters that are kept, the newest.
const DEAD_MAX: u32 = 1_000;

/// What a notification is about. Each replaces only its like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subject {
    /// Somebody raised an emergency.
    Emergency,
    /// Somebody calls.
    Call,
    /// Texts and bursts.
    News,
}

impl Subject {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Emergency => "emergency",
            Self::Call => "call",
            Self::News => "news",
        }
    }

    /// When it is first due, and until when it is worth telling.
    fn times(self, event_at: UnixMs) -> (UnixMs, UnixMs) {
        let (grace, life) = match self {
            Self::Emergency => (0, EMERGENCY_LIFE_MS),
            Self::Call => (0, CALL_LIFE_MS),
            Self::News => (NEWS_GRACE_MS, NEWS_LIFE_MS),
        };
        (UnixMs(event_at.0.saturating_add(grace)), UnixMs(event_at.0.saturating_add(life)))
    }
}

impl std::str::FromStr for Subject {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        [Self::Emergency, Self::Call, Self::News].into_iter().find(|subject| subject.as_str() == text).ok_or(())
    }
}

/// Something to be told, found in a room's log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// To whom.
    pub device: DeviceId,
    /// What about.
    pub subject: Subject,
    /// The last event.
    pub seq: Seq,
    /// When that came.
    pub at: UnixMs,
    /// How many events.
    pub events: u32,
}

/// What was found in a room's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// What is to be told.
    pub wanted: Vec<Wanted>,
    /// Up to here.
    pub up_to: Seq,
    /// Whether that is the log's end.
    pub whole: bool,
    /// Whether every emergency that was looked at is over.
    pub calm: bool,
}

/// An entry that is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// To whom.
    pub device: DeviceId,
    /// In which room.
    pub room: RoomId,
    /// What about.
    pub subject: Subject,
    /// The last event.
    pub seq: Seq,
    /// How many events.
    pub events: u32,
    /// It is not worth telling after that.
    pub expires_at: UnixMs,
    /// How often it was tried.
    pub attempts: u32,
    /// Tells it from its successor.
    pub version: u32,
}

/// What becomes of an entry that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was told, or need not be.
    Done,
    /// It is tried again then; whether the try counts.
    Again {
        /// When.
        at: UnixMs,
        /// Waiting for somebody to come back is no try.
        counts: bool,
    },
    /// It is given up.
    Dead(&'static str),
}

/// How the queue stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Entries that wait.
    pub waiting: u64,
    /// Dead letters.
    pub dead: u64,
    /// When the oldest that waits was put in.
    pub oldest: Option<UnixMs>,
}

/// Whether somebody may have to be told of such an event.
fn tells(body: &EventBody) -> bool {
    match body {
        EventBody::MessagePosted { .. }
        | EventBody::BurstStarted { .. }
        | EventBody::EmergencyRaised {}
        | EventBody::EmergencyCleared { .. } => true,
        EventBody::MessageEdited { .. }
        | EventBody::MessageDeleted { .. }
        | EventBody::BurstCommitted { .. }
        | EventBody::BurstInterrupted { .. }
        | EventBody::BurstCompleted { .. } => false,
    }
}

/// Marks the room where an event that is being stored may have to be told to somebody.
pub(super) fn cause<'a>(
    db: &Connection,
    room: RoomId,
    events: impl Iterator<Item = &'a Event>,
) -> Result<(), StoreError> {
    let mut events = events;
    let Some(first) = events.find(|event| tells(&event.body)) else { return Ok(()) };
    // Where nobody subscribes this is all that it costs.
    db.prepare_cached(
        "INSERT INTO push_rooms (room_id, seq) SELECT ?1, ?2 WHERE EXISTS (SELECT 1 FROM push_subscriptions) \
         ON CONFLICT (room_id) DO NOTHING",
    )?
    .execute(params![room.bytes(), int(first.seq.0)])?;
    Ok(())
}

/// Rooms with events that nobody has looked at, and from where.
pub fn rooms(db: &Connection) -> Result<Vec<(RoomId, Seq)>, StoreError> {
    let mut statement = db.prepare_cached("SELECT room_id, seq FROM push_rooms")?;
    let rows = statement.query_map([], |row| Ok((RoomId::from_bytes(row.get(0)?), row.get(1)?)))?;
    rows.map(|row| row.map_err(StoreError::from).and_then(|(room, from)| Ok((room, seq(from)?)))).collect()
}

/// A member with a device that is told.
struct Reader {
    user: UserId,
    device: DeviceId,
    rules: PushRules,
}

/// Looks at a room's events from `from` on, one page. `present`: devices that have the room open, which learn of news by
/// themselves; of an emergency each is told unless it is known to have heard of it.
pub fn wanted(
    accounts: &Accounts<'_>,
    room: RoomId,
    from: Seq,
    present: &BTreeSet<DeviceId>,
) -> Result<Look, StoreError> {
    let db = accounts.connection();
    let events = log::events(db, accounts.vault(), room, Seq(from.0.saturating_sub(1)), PAGE_EVENTS_MAX)?;
    let head = log::head(db, room)?;
    let up_to = events.last().map_or(from, |event| event.seq);
    let whole = head.is_none_or(|head| up_to >= head.head) || events.is_empty();
    let kind = accounts.room(room)?.map(|row| row.kind);
    let encrypted = head.is_some_and(|head| head.epoch.0 != 0);
    let mut found: BTreeMap<(DeviceId, Subject), Wanted> = BTreeMap::new();
    let readers = match kind {
        Some(_) => readers(accounts, room)?,
        // The room is gone: nobody is told.
        None => Vec::new(),
    };
    let mut emergency = None;
    for event in &events {
        if let EventBody::EmergencyRaised {} = event.body {
            emergency = Some(event.user);
        } else if let EventBody::EmergencyCleared { raised_by } = event.body
            && emergency == Some(raised_by)
        {
            emergency = None;
        }
    }
    let mut named = Names::default();
    for event in events.iter().filter(|event| tells(&event.body)) {
        let answered = if let EventBody::MessagePosted { reply_to: Some(target), .. } = event.body {
            log::author(db, room, target)?
        } else {
            None
        };
        for reader in readers.iter().filter(|reader| reader.user != event.user) {
            let rules = reader.rules;
            let wants = if let EventBody::EmergencyRaised {} = event.body {
                rules.emergencies && emergency.is_some()
            } else if let EventBody::BurstStarted { .. } = event.body {
                of_news(kind, rules.direct, rules.bursts)
            } else if let EventBody::MessagePosted { text, .. } = &event.body {
                of_news(kind, rules.direct, rules.messages)
                    || rules.mentions
                        && (answered == Some(reader.user)
                            || !encrypted && text.contains('@') && named.mentions(accounts, reader.user, text)?)
            } else {
                false
            };
            if !wants {
                continue;
            }
            let emergency = matches!(event.body, EventBody::EmergencyRaised {});
            let subject = if emergency { Subject::Emergency } else { Subject::News };
            if subject == Subject::News && present.contains(&reader.device) {
                continue;
            }
            let entry = found.entry((reader.device, subject)).or_insert(Wanted {
                device: reader.device,
                subject,
                seq: event.seq,
                at: event.received_at,
                events: 0,
            });
            (entry.seq, entry.at, entry.events) = (event.seq, event.received_at, entry.events + 1);
        }
    }
    let ended = events.iter().any(|event| matches!(event.body, EventBody::EmergencyCleared { .. }));
    Ok(Look { wanted: found.into_values().collect(), up_to, whole, calm: ended && emergency.is_none() })
}

const fn of_news(kind: Option<RoomKind>, direct: bool, other: bool) -> bool {
    match kind {
        Some(RoomKind::Direct) => direct,
        Some(RoomKind::Group | RoomKind::Channel) => other,
        None => false,
    }
}

/// Names and logins in lower case, opened once each.
#[derive(Default)]
struct Names(BTreeMap<UserId, Option<[String; 2]>>);

impl Names {
    /// Whether the text has `@` and the user's name or login.
    fn mentions(&mut self, accounts: &Accounts<'_>, user: UserId, text: &str) -> Result<bool, StoreError> {
        let names = match self.0.entry(user) {
            std::collections::btree_map::Entry::Occupied(known) => known.into_mut(),
            std::collections::btree_map::Entry::Vacant(unknown) => {
                unknown.insert(accounts.user(user)?.map(|row| [row.name.to_lowercase(), row.login]))
            }
        };
        let text = text.to_lowercase();
        Ok(names.iter().flatten().any(|name| {
            text.match_indices('@').any(|(at, _)| {
                text[at + 1..].strip_prefix(name.as_str()).is_some_and(|rest| {
                    // "@sam" is not in "@samuel", and a login may be followed by the end of a sentence.
                    !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_')
                })
            })
        }))
    }
}

fn readers(accounts: &Accounts<'_>, room: RoomId) -> Result<Vec<Reader>, StoreError> {
    let mut statement = accounts.connection().prepare_cached(
        "SELECT s.user_id, s.device_id, r.rules FROM members m \
         JOIN push_subscriptions s ON s.workspace_id = m.workspace_id AND s.user_id = m.user_id \
         LEFT JOIN push_rules r ON r.workspace_id = m.workspace_id AND r.user_id = m.user_id \
         WHERE m.workspace_id = ?1 AND m.room_id = ?2",
    )?;
    let rows = statement.query_map(params![accounts.workspace_id().bytes(), room.bytes()], |row| {
        Ok((UserId::from_bytes(row.get(0)?), DeviceId::from_bytes(row.get(1)?), row.get::<_, Option<String>>(2)?))
    })?;
    rows.map(|row| {
        let (user, device, rules) = row?;
        Ok(Reader { user, device, rules: super::accounts::push_rules(rules.as_deref())? })
    })
    .collect()
}

/// Puts in what is to be told, in place of what an earlier event of the same room wanted told. A device that has
/// [`PUSH_WAITING_MAX`] waiting loses its oldest news. Gives how many were new.
pub fn enqueue(
    db: &Connection,
    workspace: WorkspaceId,
    room: RoomId,
    wanted: &[Wanted],
    now: UnixMs,
) -> Result<usize, StoreError> {
    let mut added = 0;
    for Wanted { device, subject, seq, at, events } in wanted {
        let (due, expires) = subject.times(*at);
        if expires <= now {
            continue;
        }
        // Its sign-in may have ended since somebody looked; then the row would wait for nobody.
        added += db
            .prepare_cached(
                "INSERT INTO push_queue (workspace_id, device_id, room_id, subject, seq, events, queued_at, due_at, expires_at, \
                 attempts, version) \
                 SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, 0, 1 \
                 WHERE EXISTS (SELECT 1 FROM push_subscriptions WHERE workspace_id = ?1 AND device_id = ?2) \
                 ON CONFLICT (workspace_id, device_id, room_id, subject) DO UPDATE SET \
                 seq = excluded.seq, events = iif(dead_at IS NULL, events, 0) + excluded.events, \
                 queued_at = iif(dead_at IS NULL, queued_at, excluded.queued_at), \
                 due_at = iif(attempts > 0 AND dead_at IS NULL, due_at, excluded.due_at), \
                 attempts = iif(dead_at IS NULL, attempts, 0), \
                 expires_at = excluded.expires_at, version = version + 1, dead_at = NULL, cause = NULL \
                 WHERE excluded.seq > seq",
            )?
            .execute(params![
                workspace.bytes(),
                device.bytes(),
                room.bytes(),
                subject.as_str(),
                int(seq.0),
                events,
                int(now.0),
                int(due.0),
                int(expires.0)
            ])?;
        make_room(db, workspace, *device)?;
    }
    Ok(added)
}

fn make_room(db: &Connection, workspace: WorkspaceId, device: DeviceId) -> Result<(), StoreError> {
    let removed = db
        .prepare_cached(
            "DELETE FROM push_queue WHERE workspace_id = ?1 AND device_id = ?2 AND (room_id, subject) IN \
             (SELECT room_id, subject FROM push_queue WHERE workspace_id = ?1 AND device_id = ?2 AND dead_at IS NULL \
             ORDER BY subject = 'emergency' DESC, queued_at DESC, room_id LIMIT -1 OFFSET ?3)",
        )?
        .execute(params![workspace.bytes(), device.bytes(), PUSH_WAITING_MAX])?;
    metrics::counter!("holler_push_dropped_total", "cause" => "full").increment(removed as u64);
    Ok(())
}

/// A room's events were looked at, and what they want told is in the queue.
pub fn looked(db: &Connection, workspace: WorkspaceId, room: RoomId, look: &Look) -> Result<(), StoreError> {
    if look.calm {
        db.prepare_cached(
            "DELETE FROM push_queue WHERE workspace_id = ?1 AND room_id = ?2 AND subject = 'emergency' AND seq <= ?3",
        )?
        .execute(params![workspace.bytes(), room.bytes(), int(look.up_to.0)])?;
    }
    // What was stored meanwhile stays to be looked at.
    let head = log::head(db, room)?.map_or(0, |head| head.head.0);
    if look.whole && head <= look.up_to.0 {
        db.prepare_cached("DELETE FROM push_rooms WHERE room_id = ?1")?.execute([room.bytes()])?;
    } else {
        db.prepare_cached("UPDATE push_rooms SET seq = ?2 WHERE room_id = ?1")?
            .execute(params![room.bytes(), int(look.up_to.0 + 1)])?;
    }
    Ok(())
}

/// The entries that are due, the most urgent and then the oldest first, at most `limit`, none of the devices in `busy`.
pub fn due(
    db: &Connection,
    workspace: WorkspaceId,
    now: UnixMs,
    limit: usize,
    busy: &BTreeSet<DeviceId>,
) -> Result<Vec<Entry>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT device_id, room_id, subject, seq, events, expires_at, attempts, version FROM push_queue \
         WHERE workspace_id = ?1 AND dead_at IS NULL AND due_at <= ?2 ORDER BY subject = 'news', due_at",
    )?;
    let mut rows = statement.query(params![workspace.bytes(), int(now.0)])?;
    let (mut found, mut devices) = (Vec::new(), busy.clone());
    while found.len() < limit
        && let Some(row) = rows.next()?
    {
        let device = DeviceId::from_bytes(row.get(0)?);
        // One at a time a device: they arrive in their order.
        if !devices.insert(device) {
            continue;
        }
        let subject: String = row.get(2)?;
        found.push(Entry {
            device,
            room: RoomId::from_bytes(row.get(1)?),
            subject: word(&subject, "the subject of a notification")?,
            seq: seq(row.get(3)?)?,
            events: row.get(4)?,
            expires_at: time(row.get(5)?)?,
            attempts: row.get(6)?,
            version: row.get(7)?,
        });
    }
    Ok(found)
}

/// When the next entry is due, if one waits of a device that is not in `busy`.
pub fn next_due(
    db: &Connection,
    workspace: WorkspaceId,
    busy: &BTreeSet<DeviceId>,
) -> Result<Option<UnixMs>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT due_at, device_id FROM push_queue WHERE workspace_id = ?1 AND dead_at IS NULL ORDER BY due_at LIMIT ?2",
    )?;
    let mut rows =
        statement.query(params![workspace.bytes(), int(1 + busy.len() as u64 * u64::from(PUSH_WAITING_MAX))])?;
    while let Some(row) = rows.next()? {
        if !busy.contains(&DeviceId::from_bytes(row.get(1)?)) {
            return Ok(Some(time(row.get(0)?)?));
        }
    }
    Ok(None)
}

/// Writes down what became of an entry, unless another has taken its place meanwhile.
pub fn settle(
    db: &Connection,
    workspace: WorkspaceId,
    entry: &Entry,
    settled: &Settled,
    now: UnixMs,
) -> Result<(), StoreError> {
    const WHICH: &str = "workspace_id = ?1 AND device_id = ?2 AND room_id = ?3 AND subject = ?4";
    let (device, room, subject) = (entry.device.bytes(), entry.room.bytes(), entry.subject.as_str());
    match settled {
        Settled::Done => {
            let sql = format!("DELETE FROM push_queue WHERE {WHICH} AND version = ?5");
            let removed =
                db.prepare_cached(&sql)?.execute(params![workspace.bytes(), device, room, subject, entry.version])?;
            if removed == 0 {
                // Its successor is another notification, with tries of its own.
                let sql = format!("UPDATE push_queue SET attempts = 0, events = max(1, events - ?5) WHERE {WHICH}");
                db.prepare_cached(&sql)?.execute(params![workspace.bytes(), device, room, subject, entry.events])?;
            }
        }
        Settled::Again { at, counts } => {
            // A successor waits as long: it goes to the same service.
            let sql = format!("UPDATE push_queue SET due_at = ?5, attempts = attempts + ?6 WHERE {WHICH}");
            db.prepare_cached(&sql)?.execute(params![
                workspace.bytes(),
                device,
                room,
                subject,
                int(at.0),
                u32::from(*counts)
            ])?;
        }
        Settled::Dead(cause) => {
            let sql = format!("UPDATE push_queue SET dead_at = ?5, cause = ?6 WHERE {WHICH} AND version = ?7");
            db.prepare_cached(&sql)?.execute(params![
                workspace.bytes(),
                device,
                room,
                subject,
                int(now.0),
                cause,
                entry.version
            ])?;
        }
    }
    Ok(())
}

/// Forgets dead letters that are a week old, and beyond a thousand the oldest.
pub fn sweep(db: &Connection, workspace: WorkspaceId, now: UnixMs) -> Result<(), StoreError> {
    db.prepare_cached("DELETE FROM push_queue WHERE workspace_id = ?1 AND dead_at IS NOT NULL AND dead_at <= ?2")?
        .execute(params![workspace.bytes(), int(now.0.saturating_sub(DEAD_KEPT_MS))])?;
    db.prepare_cached(
        "DELETE FROM push_queue WHERE workspace_id = ?1 AND dead_at IS NOT NULL AND (device_id, room_id, subject) IN \
         (SELECT device_id, room_id, subject FROM push_queue WHERE workspace_id = ?1 AND dead_at IS NOT NULL \
         ORDER BY dead_at DESC LIMIT -1 OFFSET ?2)",
    )?
    .execute(params![workspace.bytes(), DEAD_MAX])?;
    Ok(())
}

/// How the queue stands.
pub fn figures(db: &Connection, workspace: WorkspaceId) -> Result<Figures, StoreError> {
    let (waiting, dead, oldest): (i64, i64, Option<i64>) = db
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE dead_at IS NULL), count(*) FILTER (WHERE dead_at IS NOT NULL), \
             min(queued_at) FILTER (WHERE dead_at IS NULL) FROM push_queue WHERE workspace_id = ?1",
        )?
        .query_row([workspace.bytes()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    let count = |number| u64::try_from(number).unwrap_or_default();
    Ok(Figures { waiting: count(waiting), dead: count(dead), oldest: oldest.map(time).transpose()? })
}

/// Whether a user has read up to an event.
pub(super) fn has_read(db: &Connection, room: RoomId, user: UserId, upto: Seq) -> Result<bool, StoreError> {
    let read: Option<i64> = db
        .prepare_cached(
            "SELECT m.read FROM read_marks m JOIN room_heads h ON h.room_id = m.room_id AND h.incarnation = m.incarnation \
             WHERE m.room_id = ?1 AND m.user_id = ?2",
        )?
        .query_row(params![room.bytes(), user.bytes()], |row| row.get(0))
        .optional()?;
    Ok(read.is_some_and(|read| read >= int(upto.0)))
}
