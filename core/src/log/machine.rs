//! The order of events, and what each sender is told.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::check::check;
use super::{LogHead, Refusal, burst_of};
use crate::model::{BurstDigest, Event, EventBody, Role};
use crate::units::{BurstId, ClientId, DeviceId, Epoch, FrameNo, RoomId, Seq, UnixMs, UserId};

/// A send, with what storage knows about it.
#[derive(Clone, Debug)]
pub struct Proposal {
    /// Who sends.
    pub user: UserId,
    /// From which device.
    pub device: DeviceId,
    /// What the sender may do in the room. A dispatcher may delete what others wrote; whether a sender may write at all is the
    /// shell's to check.
    pub role: Role,
    /// The sender's name for it.
    pub client_id: ClientId,
    /// Refuse unless the room's key is at this epoch.
    pub epoch: Option<Epoch>,
    /// What happened.
    pub body: EventBody,
    /// A hash over [`super::identity`], keyed so that what is stored says nothing about the body.
    pub digest: [u8; 32],
    /// When the server received it.
    pub received_at: UnixMs,
    /// What storage holds, as of the transaction that the batch is written in.
    pub facts: Facts,
}

/// What storage looked up for one send.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// What its (device, client id) was answered before.
    pub prior: Option<Prior>,
    /// The event that [`wanted`] names.
    pub target: Option<Target>,
    /// The burst that [`wanted`] names.
    pub burst: Option<BurstFacts>,
}

/// An earlier answer.
#[derive(Clone, Debug)]
pub struct Prior {
    /// The place it got.
    pub seq: Seq,
    /// When it was received.
    pub received_at: UnixMs,
    /// The digest of what was sent.
    pub digest: [u8; 32],
    /// What was stored; absent when retention removed it meanwhile.
    pub body: Option<EventBody>,
}

/// An event that another names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target {
    /// Who sent it.
    pub user: UserId,
    /// Whether it is a `message.posted`.
    pub posted: bool,
}

/// A burst that an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BurstFacts {
    /// Where it was spoken.
    pub device: DeviceId,
    /// How it ended.
    pub end: End,
    /// Whether every frame is there.
    pub complete: bool,
}

/// How a burst ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Not yet.
    Open,
    /// By its sender.
    Committed {
        /// Its last frame.
        last: FrameNo,
        /// Over all its frames.
        digest: BurstDigest,
    },
    /// Its sender was lost.
    Interrupted,
}

/// What storage is to look up for a body: an event and a burst.
pub fn wanted(body: &EventBody) -> (Option<Seq>, Option<BurstId>) {
    let target = match body {
        EventBody::MessageEdited { target, .. } | EventBody::MessageDeleted { target } => Some(*target),
        EventBody::MessagePosted { .. }
        | EventBody::BurstStarted { .. }
        | EventBody::BurstCommitted { .. }
        | EventBody::BurstInterrupted { .. }
        | EventBody::BurstCompleted { .. }
        | EventBody::EmergencyRaised {}
        | EventBody::EmergencyCleared { .. } => None,
    };
    (target, burst_of(body))
}

/// A room's log, between batches.
#[derive(Clone, Debug)]
pub struct RoomLog {
    room: RoomId,
    head: LogHead,
}

/// An event to be written, with the digest that its retries are compared by.
#[derive(Clone, Debug)]
pub struct Write {
    /// The event.
    pub event: Arc<Event>,
    /// From its proposal.
    pub digest: [u8; 32],
}

/// A batch that is decided but not committed.
#[derive(Debug)]
pub struct Prepared {
    log: RoomLog,
    head: LogHead,
    writes: Vec<Write>,
    verdicts: Vec<Verdict>,
}

#[derive(Debug)]
enum Verdict {
    /// Written by this batch, as the n-th of its writes.
    Written(usize),
    /// Written before, or by this batch for an earlier send of the same.
    Replayed(Arc<Event>),
    /// Refused, whatever becomes of the batch.
    Refused(Refusal),
    /// Refused because of what the log held, uncommitted writes included.
    RefusedByLog(Refusal),
}

/// What became of the transaction that held the writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is committed and synced.
    Committed,
    /// It is certain that nothing is stored.
    Failed,
    /// It may or may not be stored.
    Unclear,
}

/// What a sender is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It has its place.
    Stored(Arc<Event>),
    /// It has had its place since it was first sent.
    Replayed(Arc<Event>),
    /// It is not stored, and why.
    Refused(Refusal),
    /// It is not stored; sent again, it may be.
    Failed,
    /// It may or may not be stored: it should be sent again.
    Unknown,
}

/// What to tell after the outcome.
#[derive(Debug)]
pub struct Finished {
    /// The log as it is now; `None` when storage must be asked.
    pub log: Option<RoomLog>,
    /// One answer for each proposal, in their order.
    pub answers: Vec<Answer>,
    /// For those who follow the room, in order.
    pub fanout: Vec<Arc<Event>>,
}

impl RoomLog {
    /// A log that stands at `head`, as storage has committed it.
    pub const fn new(room: RoomId, head: LogHead) -> Self {
        Self { room, head }
    }

    /// Where it stands.
    pub const fn head(&self) -> &LogHead {
        &self.head
    }

    /// Decides a batch. The sends take their places in its order.
    pub fn prepare(self, batch: Vec<Proposal>) -> Prepared {
        let mut deciding = Deciding { log: &self, head: self.head, writes: Vec::new(), recent: Recent::default() };
        let verdicts = batch.into_iter().map(|proposal| deciding.decide(proposal)).collect();
        let Deciding { head, writes, .. } = deciding;
        Prepared { log: self, head, writes, verdicts }
    }
}

impl Prepared {
    /// What is to be written, in this order.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    /// Where the log stands once that is committed.
    pub const fn head(&self) -> &LogHead {
        &self.head
    }

    /// Says what everybody is told, now that the transaction has ended.
    pub fn finish(self, outcome: Outcome) -> Finished {
        let Self { log, head, writes, verdicts } = self;
        let events: Vec<Arc<Event>> = writes.into_iter().map(|write| write.event).collect();
        let answer = |verdict| match (outcome, verdict) {
            (_, Verdict::Refused(refusal)) => Answer::Refused(refusal),
            (Outcome::Committed, Verdict::RefusedByLog(refusal)) => Answer::Refused(refusal),
            (Outcome::Committed, Verdict::Written(at)) => Answer::Stored(Arc::clone(&events[at])),
            (Outcome::Committed, Verdict::Replayed(event)) => Answer::Replayed(event),
            // Also what was found in the log may have been written by this very transaction.
            (Outcome::Failed, _) => Answer::Failed,
            (Outcome::Unclear, _) => Answer::Unknown,
        };
        let answers = verdicts.into_iter().map(answer).collect();
        match outcome {
            Outcome::Committed => Finished { log: Some(RoomLog { head, ..log }), answers, fanout: events },
            Outcome::Failed => Finished { log: Some(log), answers, fanout: Vec::new() },
            Outcome::Unclear => Finished { log: None, answers, fanout: Vec::new() },
        }
    }
}

struct Deciding<'a> {
    log: &'a RoomLog,
    head: LogHead,
    writes: Vec<Write>,
    recent: Recent,
}

/// What this batch has changed since storage was asked.
#[derive(Default)]
struct Recent {
    sends: BTreeMap<(DeviceId, ClientId), usize>,
    targets: BTreeMap<Seq, Target>,
    bursts: BTreeMap<BurstId, BurstFacts>,
}

impl Deciding<'_> {
    fn decide(&mut self, proposal: Proposal) -> Verdict {
        // An earlier answer stands even if the same would be refused today.
        if let Some(prior) = self.prior(&proposal) {
            return prior;
        }
        if let Err(refusal) = check(proposal.client_id, &proposal.body) {
            return Verdict::Refused(refusal);
        }
        match self.admit(&proposal) {
            Ok(()) => self.write(proposal),
            Err(refusal) => Verdict::RefusedByLog(refusal),
        }
    }

    fn prior(&self, proposal: &Proposal) -> Option<Verdict> {
        let (digest, event) = match self.recent.sends.get(&(proposal.device, proposal.client_id)) {
            Some(at) => (self.writes[*at].digest, Arc::clone(&self.writes[*at].event)),
            None => {
                let prior = proposal.facts.prior.as_ref()?;
                let Proposal { user, device, client_id, .. } = *proposal;
                let Prior { seq, received_at, .. } = *prior;
                let body = prior.body.as_ref().unwrap_or(&proposal.body).clone();
                (prior.digest, Arc::new(Event { room: self.log.room, seq, received_at, user, device, client_id, body }))
            }
        };
        Some(if digest == proposal.digest {
            Verdict::Replayed(event)
        } else {
            Verdict::RefusedByLog(Refusal::ClientIdReused(event.seq))
        })
    }

    /// Whether the log, as it stands, takes the event.
    fn admit(&self, proposal: &Proposal) -> Result<(), Refusal> {
        if let Some(expected) = proposal.epoch
            && expected != self.head.epoch
        {
            return Err(Refusal::StaleEpoch { expected, current: self.head.epoch });
        }
        match &proposal.body {
            EventBody::MessagePosted { reply_to: Some(target), .. } => self.there("body.reply_to", *target),
            EventBody::MessageEdited { target, .. } => self.target(proposal, *target, false),
            EventBody::MessageDeleted { target } => self.target(proposal, *target, proposal.role >= Role::Dispatcher),
            EventBody::BurstStarted { .. }
            | EventBody::BurstCommitted { .. }
            | EventBody::BurstInterrupted { .. }
            | EventBody::BurstCompleted { .. } => self.burst(proposal).map(|_| ()),
            EventBody::MessagePosted { reply_to: None, .. }
            | EventBody::EmergencyRaised {}
            | EventBody::EmergencyCleared { .. } => Ok(()),
        }
    }

    fn there(&self, field: &'static str, found: Seq) -> Result<(), Refusal> {
        let LogHead { first_seq: first, head, .. } = self.head;
        if (first..=head).contains(&found) { Ok(()) } else { Err(Refusal::NoTarget { field, found, first, head }) }
    }

    fn target(&self, proposal: &Proposal, seq: Seq, also_others: bool) -> Result<(), Refusal> {
        self.there("body.target", seq)?;
        let LogHead { first_seq: first, head, .. } = self.head;
        let target = self.recent.targets.get(&seq).or(proposal.facts.target.as_ref()).ok_or(Refusal::NoTarget {
            field: "body.target",
            found: seq,
            first,
            head,
        })?;
        if !target.posted {
            return Err(Refusal::NotAMessage(seq));
        }
        if target.user != proposal.user && !also_others {
            return Err(Refusal::NotYours(seq));
        }
        Ok(())
    }

    /// The burst as it is after the event, or why the event can't come now.
    fn burst(&self, proposal: &Proposal) -> Result<Option<(BurstId, BurstFacts)>, Refusal> {
        let Some(burst) = burst_of(&proposal.body) else { return Ok(None) };
        let event = proposal.body.kind();
        let before = self.recent.bursts.get(&burst).or(proposal.facts.burst.as_ref()).copied();
        if let Some(before) = before
            && before.device != proposal.device
        {
            return Err(Refusal::BurstTaken(burst));
        }
        let order = |after| Err(Refusal::BurstOrder { burst, event, after });
        let started = |facts: Option<BurstFacts>| facts.ok_or(Refusal::NoBurst(burst));
        let after = match &proposal.body {
            EventBody::BurstStarted { .. } => match before {
                None => BurstFacts { device: proposal.device, end: End::Open, complete: false },
                Some(_) => return order("burst.started"),
            },
            EventBody::BurstCommitted { last, digest, missing, .. } => match started(before)? {
                facts @ BurstFacts { end: End::Open, .. } => BurstFacts {
                    end: End::Committed { last: *last, digest: *digest },
                    complete: missing.is_empty(),
                    ..facts
                },
                BurstFacts { end: End::Committed { .. }, .. } => return order("burst.committed"),
                BurstFacts { end: End::Interrupted, .. } => return order("burst.interrupted"),
            },
            EventBody::BurstInterrupted { .. } => match started(before)? {
                facts @ BurstFacts { end: End::Open, .. } => BurstFacts { end: End::Interrupted, ..facts },
                BurstFacts { end: End::Committed { .. }, .. } => return order("burst.committed"),
                BurstFacts { end: End::Interrupted, .. } => return order("burst.interrupted"),
            },
            EventBody::BurstCompleted { last, digest, .. } => match started(before)? {
                BurstFacts { complete: true, .. } => return order("burst.completed"),
                BurstFacts { end: End::Open, .. } => return order("burst.started"),
                BurstFacts { end: End::Committed { last: ended, digest: over }, .. }
                    if (ended, over) != (*last, *digest) =>
                {
                    return Err(Refusal::BurstDiffers(burst));
                }
                facts @ BurstFacts { end: End::Committed { .. } | End::Interrupted, .. } => {
                    BurstFacts { complete: true, ..facts }
                }
            },
            EventBody::MessagePosted { .. }
            | EventBody::MessageEdited { .. }
            | EventBody::MessageDeleted { .. }
            | EventBody::EmergencyRaised {}
            | EventBody::EmergencyCleared { .. } => return Ok(None),
        };
        Ok(Some((burst, after)))
    }

    fn write(&mut self, proposal: Proposal) -> Verdict {
        let seq = self.head.head.next();
        let at = self.writes.len();
        self.head.head = seq;
        self.recent.sends.insert((proposal.device, proposal.client_id), at);
        let posted = matches!(proposal.body, EventBody::MessagePosted { .. });
        self.recent.targets.insert(seq, Target { user: proposal.user, posted });
        if let Ok(Some((burst, facts))) = self.burst(&proposal) {
            self.recent.bursts.insert(burst, facts);
        }
        let Proposal { user, device, client_id, received_at, digest, body, .. } = proposal;
        let event = Arc::new(Event { room: self.log.room, seq, received_at, user, device, client_id, body });
        self.writes.push(Write { event, digest });
        Verdict::Written(at)
    }
}
