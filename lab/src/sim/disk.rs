//! The server's disk: what of the store survives which instant.
//!
//! It stands where `holler_server::storage` stands, with the same promises: writes join a group, a group is decided by the real
//! log machine, becomes durable as a whole after its sync, and only then anybody is answered. A crash before that loses it,
//! or finds it there unanswered; a full disk refuses it, or leaves its outcome unknown.

#![expect(clippy::wildcard_enum_match_arm, reason = "of many kinds, those that matter here are picked out")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use holler_core::log::{
    Answer, BurstFacts, End, Facts, Finished, LogHead, Outcome, Prepared, Prior, Proposal, RoomLog, Target, identity,
    wanted,
};
use holler_core::model::{BurstHeader, Event, EventBody, FrameRange, Priority};
use holler_core::units::{BurstId, ClientId, DeviceId, FrameNo, Incarnation, RoomId, Seq, UnixMs, UserId};
use holler_server::storage::presence::Transition;
use holler_server::storage::receipts::{Receipt, ReceiptError};
use holler_server::storage::{Append, BurstRecord, StoreError};

use super::Plant;

/// As in `storage::backup`: above every term that the lost history can have had.
const TERMS_RAISED: u32 = 1_000_000;

/// A burst, as the database has it.
#[derive(Clone, Debug)]
pub(super) struct BurstRow {
    pub(super) header: BurstHeader,
    pub(super) user: UserId,
    pub(super) priority: Priority,
    pub(super) seq: Seq,
    pub(super) received_at: UnixMs,
    pub(super) facts: BurstFacts,
    pub(super) frames: BTreeMap<FrameNo, Bytes>,
}

/// An answer that a send got.
#[derive(Clone, Debug)]
struct Sent {
    seq: Seq,
    received_at: UnixMs,
    digest: [u8; 32],
}

/// A room, as the database has it.
#[derive(Clone, Debug)]
pub(super) struct RoomState {
    pub(super) log: LogHead,
    pub(super) term: u32,
    pub(super) events: Vec<Arc<Event>>,
    sends: BTreeMap<(DeviceId, ClientId), Sent>,
    pub(super) bursts: BTreeMap<BurstId, BurstRow>,
    /// How far people got: the history, delivered, read.
    pub(super) marks: BTreeMap<UserId, (Incarnation, Seq, Seq)>,
    pub(super) heard: BTreeSet<(BurstId, UserId)>,
}

/// What survives.
pub(super) type State = BTreeMap<RoomId, RoomState>;

/// Who is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// A socket's send: the socket, and the place of the answer in its order.
    Socket { socket: u64, ticket: u64 },
    /// The journal of a room's home.
    Journal { room: RoomId },
    /// A home that starts.
    Opening { room: RoomId },
}

/// Something to write.
#[derive(Debug)]
pub(super) enum Job {
    Append {
        append: Append,
        asker: Asker,
    },
    Chunk {
        room: RoomId,
        burst: BurstId,
        frames: Vec<(FrameNo, Bytes)>,
    },
    TakeHome {
        room: RoomId,
    },
    Receipt {
        receipt: Receipt,
        asker: Asker,
    },
    /// Changes of presence; nobody waits for it.
    Presence {
        transitions: Vec<Transition>,
    },
}

/// What an asker is told.
#[derive(Debug)]
pub(super) enum Told {
    Event { event: Arc<Event>, replayed: bool },
    Chunk,
    Term(u32),
    Receipt(Result<(), ReceiptError>),
    Refused(holler_core::log::Refusal),
    Failed(StoreError),
}

/// What came of a group: whom to tell what, and what to fan out.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub(super) told: Vec<(Asker, Told)>,
    pub(super) fanout: Vec<(RoomId, Vec<Arc<Event>>)>,
}

type Chunk = (RoomId, BurstId, Vec<(FrameNo, Bytes)>);

#[derive(Debug)]
struct Group {
    batches: Vec<(RoomId, Prepared, Vec<Asker>)>,
    chunks: Vec<Chunk>,
    homes: Vec<RoomId>,
    receipts: Vec<(Receipt, Asker)>,
    presence: Vec<Transition>,
}

/// How the disk is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Good,
    /// Every commit is refused.
    Full,
    /// Every commit fails in its sync: nobody knows.
    Failing,
}

/// The server's disk.
#[derive(Debug)]
pub(super) struct Disk {
    pub(super) state: State,
    pub(super) health: Health,
    /// The last transition of each device.
    pub(super) presence: BTreeMap<DeviceId, Transition>,
    /// Receipts that were stored.
    pub(super) receipts: u64,
    waiting: VecDeque<Job>,
    syncing: Option<Group>,
    plant: Option<Plant>,
    /// For [`Plant::AckUnsynced`]: what a crash goes back to.
    before: Option<State>,
    /// What a restart finds of a commit whose sync failed: SQLite does not show it, and the next commit writes over it.
    limbo: Option<State>,
}

impl Disk {
    pub(super) fn new(rooms: &[(RoomId, Incarnation)], plant: Option<Plant>) -> Self {
        let room = |(room, incarnation): &(RoomId, Incarnation)| {
            let state = RoomState {
                log: LogHead::new(*incarnation),
                term: 0,
                events: Vec::new(),
                sends: BTreeMap::new(),
                bursts: BTreeMap::new(),
                marks: BTreeMap::new(),
                heard: BTreeSet::new(),
            };
            (*room, state)
        };
        Self {
            state: rooms.iter().map(room).collect(),
            health: Health::Good,
            presence: BTreeMap::new(),
            receipts: 0,
            waiting: VecDeque::new(),
            syncing: None,
            plant,
            before: None,
            limbo: None,
        }
    }

    pub(super) fn push(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// Begins to sync what waits; whether there is anything.
    pub(super) fn begin(&mut self) -> bool {
        if self.syncing.is_some() || self.waiting.is_empty() {
            return false;
        }
        let mut appends: BTreeMap<RoomId, (Vec<Proposal>, Vec<Asker>)> = BTreeMap::new();
        let mut group = Group {
            batches: Vec::new(),
            chunks: Vec::new(),
            homes: Vec::new(),
            receipts: Vec::new(),
            presence: Vec::new(),
        };
        for job in std::mem::take(&mut self.waiting) {
            match job {
                Job::Append { append, asker } => {
                    let proposal = self.propose(append);
                    let batch = appends.entry(proposal.0).or_default();
                    batch.0.push(proposal.1);
                    batch.1.push(asker);
                }
                Job::Chunk { room, burst, frames } => group.chunks.push((room, burst, frames)),
                Job::TakeHome { room } => group.homes.push(room),
                Job::Receipt { receipt, asker } => group.receipts.push((receipt, asker)),
                Job::Presence { transitions } => group.presence.extend(transitions),
            }
        }
        for (room, (batch, askers)) in appends {
            if let Some(state) = self.state.get(&room) {
                group.batches.push((room, RoomLog::new(room, state.log).prepare(batch), askers));
            }
        }
        self.syncing = Some(group);
        true
    }

    fn propose(&self, append: Append) -> (RoomId, Proposal) {
        let Append { room, user, device, role, client_id, epoch, body, received_at, .. } = append;
        let digest = digest_of(&identity(user, &body));
        let (target, burst) = wanted(&body);
        let mut facts = Facts::default();
        if let Some(state) = self.state.get(&room) {
            if self.plant != Some(Plant::ForgetSends) {
                facts.prior = state.sends.get(&(device, client_id)).map(|sent| Prior {
                    seq: sent.seq,
                    received_at: sent.received_at,
                    digest: sent.digest,
                    body: state.event(sent.seq).map(|event| event.body.clone()),
                });
            }
            facts.target = target.and_then(|seq| state.event(seq)).map(|event| Target {
                user: event.user,
                posted: matches!(event.body, EventBody::MessagePosted { .. }),
            });
            facts.burst = burst.and_then(|burst| state.bursts.get(&burst)).map(|row| row.facts);
        }
        (room, Proposal { user, device, role, client_id, epoch, body, digest, received_at, facts })
    }

    /// The sync has ended.
    pub(super) fn synced(&mut self, coin: bool) -> Written {
        let Some(group) = self.syncing.take() else { return Written::default() };
        let (outcome, error) = match self.health {
            Health::Good => (Outcome::Committed, None),
            Health::Full => (Outcome::Failed, Some(StoreError::DiskFull)),
            Health::Failing => (Outcome::Unclear, Some(StoreError::Unknown("the sync failed".into()))),
        };
        let keep = match outcome {
            Outcome::Committed => true,
            Outcome::Failed => false,
            Outcome::Unclear => coin,
        };
        if self.plant == Some(Plant::AckUnsynced) {
            self.before = Some(self.state.clone());
        }
        let shown = (outcome == Outcome::Unclear && coin).then(|| self.state.clone());
        let mut written = Written::default();
        let Group { batches, chunks, homes, receipts, presence } = group;
        for (room, prepared, askers) in batches {
            if keep {
                self.apply(room, &prepared);
            }
            let Finished { answers, fanout, .. } = prepared.finish(outcome);
            for (answer, asker) in answers.into_iter().zip(askers) {
                let told = match answer {
                    Answer::Stored(event) => Told::Event { event, replayed: false },
                    Answer::Replayed(event) => Told::Event { event, replayed: true },
                    Answer::Refused(refusal) => Told::Refused(refusal),
                    Answer::Failed | Answer::Unknown => Told::Failed(error.clone().unwrap_or(StoreError::Abandoned)),
                };
                written.told.push((asker, told));
            }
            written.fanout.push((room, fanout));
        }
        for (room, burst, frames) in chunks {
            if keep && self.plant != Some(Plant::LoseChunks) {
                self.put(room, burst, frames);
            }
            let told = error.clone().map_or(Told::Chunk, Told::Failed);
            written.told.push((Asker::Journal { room }, told));
        }
        for room in homes {
            let term = self.state.get_mut(&room).map_or(0, |state| {
                if keep && self.plant != Some(Plant::ForgetTerms) {
                    state.term += 1;
                }
                state.term.max(1)
            });
            let told = error.clone().map_or(Told::Term(term), Told::Failed);
            written.told.push((Asker::Opening { room }, told));
        }
        for (receipt, asker) in receipts {
            let told = match error.clone() {
                Some(error) => Told::Failed(error),
                None => Told::Receipt(self.receipt(&receipt)),
            };
            written.told.push((asker, told));
        }
        if keep {
            self.presence.extend(presence.into_iter().map(|transition| (transition.device, transition)));
        }
        self.limbo = shown.map(|shown| std::mem::replace(&mut self.state, shown));
        written
    }

    fn put(&mut self, room: RoomId, burst: BurstId, frames: Vec<(FrameNo, Bytes)>) {
        if let Some(row) = self.state.get_mut(&room).and_then(|state| state.bursts.get_mut(&burst)) {
            for (number, payload) in frames {
                row.frames.entry(number).or_insert(payload);
            }
        }
    }

    /// As `storage::receipts::store`.
    fn receipt(&mut self, receipt: &Receipt) -> Result<(), ReceiptError> {
        let Receipt { room, user, incarnation, delivered, read, heard, .. } = receipt;
        let forgets = self.plant == Some(Plant::ForgetReceipts);
        let state = self.state.get_mut(room).ok_or(ReceiptError::NoRoom(*room))?;
        let log = state.log;
        if log.incarnation != *incarnation {
            return Err(ReceiptError::WrongIncarnation { expected: log.incarnation, found: *incarnation });
        }
        if let Some(found) = (*delivered).max(*read).filter(|found| *found > log.head) {
            return Err(ReceiptError::BeyondHead { head: log.head, found });
        }
        self.receipts += 1;
        if forgets {
            return Ok(());
        }
        let mark = state.marks.entry(*user).or_insert((*incarnation, Seq(0), Seq(0)));
        if mark.0 != *incarnation {
            *mark = (*incarnation, Seq(0), Seq(0));
        }
        mark.1 = mark.1.max((*delivered).max(*read).unwrap_or_default());
        mark.2 = mark.2.max(read.unwrap_or_default());
        for burst in heard.iter().filter(|burst| state.bursts.contains_key(burst)) {
            state.heard.insert((*burst, *user));
        }
        Ok(())
    }

    fn apply(&mut self, room: RoomId, prepared: &Prepared) {
        let Some(state) = self.state.get_mut(&room) else { return };
        for write in prepared.writes() {
            let event = &write.event;
            if self.plant == Some(Plant::LoseEvents) && event.seq.0 % 11 == 0 {
                continue;
            }
            let sent = Sent { seq: event.seq, received_at: event.received_at, digest: write.digest };
            state.sends.insert((event.device, event.client_id), sent);
            state.record(event);
            state.events.push(Arc::clone(event));
        }
        state.log = *prepared.head();
    }

    /// The process, or the machine, is gone. `coin`: what was being synced had reached the disk.
    pub(super) fn crash(&mut self, coin: bool) {
        self.waiting.clear();
        if let Some(before) = self.before.take() {
            self.state = before;
        }
        let limbo = self.limbo.take();
        let syncing = self.syncing.take().filter(|_| coin && self.health == Health::Good);
        // What reaches the disk now was written over what an earlier sync had left there.
        if let Some(found) = limbo.filter(|_| syncing.is_none()) {
            self.state = found;
        }
        if let Some(group) = syncing {
            for (room, prepared, _) in &group.batches {
                self.apply(*room, prepared);
            }
            for (room, burst, frames) in group.chunks {
                self.put(room, burst, frames);
            }
            for room in group.homes {
                if let Some(state) = self.state.get_mut(&room) {
                    state.term += 1;
                }
            }
            for (receipt, _) in &group.receipts {
                let _stored = self.receipt(receipt);
            }
            self.presence.extend(group.presence.into_iter().map(|transition| (transition.device, transition)));
        }
    }

    /// What `holler_server` does when a backup is restored: the rows of then, under a new incarnation.
    pub(super) fn restore(&mut self, backup: State, mut incarnation: impl FnMut() -> Incarnation) {
        self.state = backup;
        for state in self.state.values_mut() {
            state.log.incarnation = incarnation();
            state.term += TERMS_RAISED;
        }
    }

    pub(super) fn record(&self, room: RoomId, burst: BurstId) -> Option<BurstRecord> {
        let row = self.state.get(&room)?.bursts.get(&burst)?;
        Some(BurstRecord {
            header: row.header,
            user: row.user,
            device: row.facts.device,
            priority: row.priority,
            seq: row.seq,
            received_at: row.received_at,
            spoken_at: row.received_at,
            end: row.facts.end,
            complete: row.facts.complete,
            present: ranges(&row.frames),
            bytes: row.frames.values().map(|payload| u64::try_from(payload.len()).unwrap_or_default()).sum(),
        })
    }
}

fn ranges(frames: &BTreeMap<FrameNo, Bytes>) -> Vec<FrameRange> {
    let mut ranges: Vec<FrameRange> = Vec::new();
    for number in frames.keys() {
        match ranges.last_mut() {
            Some(range) if range.to.0 + 1 == number.0 => range.to = *number,
            _ => ranges.push(FrameRange { from: *number, to: *number }),
        }
    }
    ranges
}

impl RoomState {
    pub(super) fn event(&self, seq: Seq) -> Option<&Arc<Event>> {
        self.events.binary_search_by_key(&seq, |event| event.seq).ok().map(|at| &self.events[at])
    }

    /// Up to `limit` events after `after`.
    pub(super) fn page(&self, after: Seq, limit: usize) -> Vec<Event> {
        let from = self.events.partition_point(|event| event.seq <= after);
        self.events[from..].iter().take(limit).map(|event| Event::clone(event)).collect()
    }

    /// As `storage::bursts::record`.
    fn record(&mut self, event: &Arc<Event>) {
        let row = |bursts: &mut BTreeMap<BurstId, BurstRow>, burst: &BurstId, change: &dyn Fn(&mut BurstFacts)| {
            if let Some(row) = bursts.get_mut(burst) {
                change(&mut row.facts);
            }
        };
        match &event.body {
            EventBody::BurstStarted { header, priority, .. } => {
                let facts = BurstFacts { device: event.device, end: End::Open, complete: false };
                let new = BurstRow {
                    header: *header,
                    user: event.user,
                    priority: *priority,
                    seq: event.seq,
                    received_at: event.received_at,
                    facts,
                    frames: BTreeMap::new(),
                };
                self.bursts.insert(header.burst, new);
            }
            EventBody::BurstCommitted { burst, last, digest, missing } => {
                row(&mut self.bursts, burst, &|facts| {
                    facts.end = End::Committed { last: *last, digest: *digest };
                    facts.complete = missing.is_empty();
                });
            }
            EventBody::BurstInterrupted { burst, .. } => {
                row(&mut self.bursts, burst, &|facts| facts.end = End::Interrupted);
            }
            EventBody::BurstCompleted { burst, last, digest } => {
                row(&mut self.bursts, burst, &|facts| {
                    facts.end = End::Committed { last: *last, digest: *digest };
                    facts.complete = true;
                });
            }
            _ => {}
        }
    }

    /// Whose emergencies are on.
    pub(super) fn emergencies(&self) -> Vec<UserId> {
        let mut raised: Vec<UserId> = Vec::new();
        for event in &self.events {
            match &event.body {
                EventBody::EmergencyRaised {} => {
                    raised.retain(|user| *user != event.user);
                    raised.push(event.user);
                }
                EventBody::EmergencyCleared { raised_by } => raised.retain(|user| user != raised_by),
                _ => {}
            }
        }
        raised
    }
}

fn digest_of(bytes: &[u8]) -> [u8; 32] {
    let mut digest = [0; 32];
    for (part, salt) in digest.chunks_mut(8).zip(0_u8..) {
        let mut hasher = DefaultHasher::new();
        (salt, bytes).hash(&mut hasher);
        part.copy_from_slice(&hasher.finish().to_be_bytes());
    }
    digest
}
