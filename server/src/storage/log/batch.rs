//! Sends to one room that are written together: what is wrong with them is found first, then all that is right is written.

use std::sync::Arc;

use holler_core::log::{Answer as Told, Outcome, Prepared, RoomLog, Write};
use holler_core::model::Event;
use holler_core::seal::Nonce;
use holler_core::units::RoomId;
use rusqlite::{CachedStatement, Connection, params};
use tokio::sync::oneshot;

use super::{Append, AppendError, Appended, Context, PRIOR, PendingAppend, at_its_place, head, propose};
use crate::keys::random_nonces;
use crate::storage::columns::int;
use crate::storage::error::StoreError;
use crate::storage::hooks::Point;
use crate::storage::vault::Sealer;
use crate::storage::writer::{Answer, Job, Kept};
use crate::storage::{bursts, push};

/// Sends to one room that are written together.
pub(in crate::storage) struct RoomBatch {
    pub(in crate::storage) context: Arc<Context>,
    pub(in crate::storage) room: RoomId,
    pub(in crate::storage) sends: Vec<PendingAppend>,
}

type Senders = Vec<oneshot::Sender<Result<Appended, AppendError>>>;

impl Job for RoomBatch {
    fn fails_whole(&self) -> bool {
        true
    }

    fn run(self: Box<Self>, db: &Connection) -> (Kept, Answer) {
        let Self { context, room, sends } = *self;
        let (batch, senders): (Vec<Append>, Senders) = sends.into_iter().map(|send| (send.append, send.answer)).unzip();
        let (error, kept) = match decide(db, &context, room, batch) {
            Ok((prepared, bodies)) => match write_batch(db, &context, room, &prepared, &bodies) {
                Ok(()) => {
                    let tell = move |outcome: &Result<(), StoreError>| tell(&context, room, prepared, senders, outcome);
                    return (Kept::All, Box::new(tell));
                }
                Err(error) => (error.into(), Kept::Nothing),
            },
            Err(error) => (error, Kept::Untouched),
        };
        // Nothing was kept, whatever becomes of the others' transaction.
        let tell = move |_: &Result<(), StoreError>| {
            for sender in senders {
                let _ = sender.send(Err(error.clone()));
            }
        };
        (kept, Box::new(tell))
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        for send in self.sends {
            send.refuse(error.clone());
        }
    }
}

/// Everything about a batch that can be wrong with it: nothing is written here.
fn decide(
    db: &Connection,
    context: &Context,
    room: RoomId,
    batch: Vec<Append>,
) -> Result<(Prepared, Vec<Vec<u8>>), AppendError> {
    let head = head(db, room)?.ok_or(AppendError::NoSuchRoom(room))?;
    let sealer = context.vault.room(db, room)?;
    let mut priors = db.prepare_cached(PRIOR).map_err(StoreError::from)?;
    let proposals = batch
        .into_iter()
        .map(|append| propose(db, &mut priors, &sealer, &head, append))
        .collect::<Result<Vec<_>, StoreError>>()?;
    let prepared = RoomLog::new(room, head).prepare(proposals);
    let nonces = random_nonces(prepared.writes().len()).map_err(StoreError::from)?;
    let bodies = prepared.writes().iter().zip(&nonces).map(|(write, nonce)| sealed_body(&sealer, nonce, write));
    let bodies = bodies.collect::<Result<_, _>>()?;
    Ok((prepared, bodies))
}

fn write_batch(
    db: &Connection,
    context: &Context,
    room: RoomId,
    prepared: &Prepared,
    bodies: &[Vec<u8>],
) -> Result<(), StoreError> {
    if prepared.writes().is_empty() {
        return Ok(());
    }
    let mut insert = Insert::new(db)?;
    for (write, body) in prepared.writes().iter().zip(bodies) {
        insert.write(db, write, body)?;
        context.hooks.at(Point::Written);
    }
    push::cause(db, room, prepared.writes().iter().map(|write| &*write.event))?;
    db.prepare_cached("UPDATE room_heads SET head = ?2 WHERE room_id = ?1")?
        .execute(params![room.bytes(), int(prepared.head().head.0)])?;
    Ok(())
}

fn tell(context: &Context, room: RoomId, prepared: Prepared, senders: Senders, outcome: &Result<(), StoreError>) {
    let became = match outcome {
        Ok(()) => Outcome::Committed,
        Err(StoreError::Unknown(_)) => Outcome::Unclear,
        Err(_) => Outcome::Failed,
    };
    let failure = || outcome.clone().err().unwrap_or(StoreError::Abandoned);
    let incarnation = prepared.head().incarnation;
    let finished = prepared.finish(became);
    for (answer, sender) in finished.answers.into_iter().zip(senders) {
        if became == Outcome::Committed {
            context.hooks.at(Point::Synced);
        }
        // A sender that no longer waits finds its answer when it sends again.
        let _ = sender.send(match answer {
            Told::Stored(event) => Ok(Appended { event, incarnation, replayed: false }),
            Told::Replayed(event) => Ok(Appended { event, incarnation, replayed: true }),
            Told::Refused(refusal) => Err(refusal.into()),
            Told::Failed | Told::Unknown => Err(failure().into()),
        });
    }
    if !finished.fanout.is_empty() {
        context.stored.notify_one();
    }
    if let Some(fanout) = context.fanout.load().as_deref()
        && !finished.fanout.is_empty()
    {
        fanout(room, finished.fanout.into());
    }
}

/// The body of an event as it lies in its row.
fn sealed_body(sealer: &Sealer, nonce: &Nonce, write: &Write) -> Result<Vec<u8>, StoreError> {
    let Event { room, seq, received_at, user, device, client_id, body } = &*write.event;
    let json =
        serde_json::to_vec(body).map_err(|error| StoreError::Damaged(format!("an event has no JSON: {error}")))?;
    Ok(at_its_place(*room, *seq, *received_at, *user, *device, *client_id, |place| {
        sealer.seal_with(nonce, place, &json)
    }))
}

/// Writes events, with statements that are looked up once a batch.
struct Insert<'a> {
    events: CachedStatement<'a>,
    sends: CachedStatement<'a>,
}

impl<'a> Insert<'a> {
    fn new(db: &'a Connection) -> Result<Self, StoreError> {
        let events = db.prepare_cached(
            "INSERT INTO events (room_id, seq, received_at, user_id, device_id, client_id, kind, body) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        let sends = db.prepare_cached(
            "INSERT INTO sends (room_id, device_id, client_id, seq, received_at, digest) VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        Ok(Self { events, sends })
    }

    fn write(&mut self, db: &Connection, write: &Write, sealed: &[u8]) -> Result<(), StoreError> {
        let Event { room, seq, received_at, user, device, client_id, body } = &*write.event;
        let (number, at) = (int(seq.0), int(received_at.0));
        self.events.execute(params![
            room.bytes(),
            number,
            at,
            user.bytes(),
            device.bytes(),
            client_id.bytes(),
            body.kind(),
            sealed
        ])?;
        self.sends.execute(params![room.bytes(), device.bytes(), client_id.bytes(), number, at, write.digest])?;
        bursts::record(db, &write.event)
    }
}
