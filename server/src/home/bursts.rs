//! The bursts that are not settled: being spoken, under repair, or not yet written.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use bytes::Bytes;
use holler_core::burst::{Assembly, Inserted, Phase, Status};
use holler_core::model::{BurstDigest, EventBody};
use holler_core::units::{BurstId, BurstStep, BurstTag, DeviceId, FrameNo, Mono, RequestId, UserId};
use holler_core::wire::limits::{HOLDER_SILENCE_MAX, OFFERS_OPEN_MAX, REPAIR_WAIT};
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::voice::{VoiceFrame, VoiceKind};

use super::journal::{Entry, Journal, Outcome};
use super::load::{Asked, Load, Loaded, Offer, Stated};
use crate::storage::StoreError;

/// Live frames that one who joins mid-burst is sent at once: enough to prime a decoder, too few to be late by.
const RING_FRAMES: usize = 3;
/// Bursts that a home keeps in memory. Beyond it the one that was quiet for longest is left to storage.
const KEPT_MAX: usize = 64;
/// Bursts that are read from storage at once: each may have 5 MiB.
const LOADING_MAX: usize = 4;
/// Offers that wait for an earlier one of their device; of all devices together.
const OFFERS_WAITING_MAX: usize = 64;
/// How often to look for bursts that were left.
const LOOK: Duration = Duration::from_secs(1);

/// What the sender of a burst is to be told.
#[derive(Debug)]
pub(super) struct Settled {
    pub(super) device: DeviceId,
    pub(super) burst: BurstId,
    /// Of the `burst.offer` that is refused.
    pub(super) request: Option<RequestId>,
    pub(super) status: Result<Status, Problem>,
}

struct Kept {
    assembly: Assembly,
    user: UserId,
    /// Whether frames came that are in no chunk yet.
    dirty: bool,
    /// Entries of the journal that are about this burst and not written yet.
    unwritten: usize,
    /// Whether its sender waits for `burst.status`.
    telling: bool,
    /// Whether its sender was told that the answer takes longer, and why.
    told_to_wait: bool,
    /// An offer that is answered once `burst.started` is committed.
    offered: Option<Stated>,
    /// Whether it was begun by an offer.
    by_offer: bool,
    /// Begun at a grant, so that the log may turn out to know it from an earlier home.
    begun: bool,
    /// The log does: what that home had is being read. An end that comes meanwhile waits.
    resuming: Option<Option<Stated>>,
    /// When something last came for it.
    active: Mono,
    /// The newest live frames and when they came.
    ring: VecDeque<(VoiceFrame, Mono)>,
}

/// The bursts of one room.
pub(super) struct Bursts {
    kept: BTreeMap<BurstId, Kept>,
    /// Those that are being read from storage, and for which device.
    loading: BTreeMap<BurstId, DeviceId>,
    /// Those of them that nobody reads yet.
    loads: VecDeque<Load>,
    /// Offers that wait for an earlier one of the same device to be looked up: they begin in the order in which they came.
    offers: VecDeque<Stated>,
    settled: VecDeque<Settled>,
    /// The last bursts that were settled: frames that still come for them came before.
    done: VecDeque<BurstTag>,
    look_at: Option<Mono>,
}

impl Bursts {
    pub(super) fn new() -> Self {
        Self {
            kept: BTreeMap::new(),
            loading: BTreeMap::new(),
            loads: VecDeque::new(),
            offers: VecDeque::new(),
            settled: VecDeque::new(),
            done: VecDeque::new(),
            look_at: None,
        }
    }

    /// The floor was granted for a burst.
    pub(super) fn start(&mut self, now: Mono, device: DeviceId, user: UserId, burst: BurstId, journal: &mut Journal) {
        self.make_room(journal);
        if !self.kept.contains_key(&burst) {
            self.keep(now, user, Assembly::new(burst, device)).begun = true;
        }
        // Its `burst.started`, which the home pushes.
        self.count_unwritten(burst);
    }

    fn keep(&mut self, now: Mono, user: UserId, assembly: Assembly) -> &mut Kept {
        self.look_at.get_or_insert(now + LOOK);
        self.kept.entry(assembly.burst()).or_insert_with(|| Kept {
            assembly,
            user,
            dirty: false,
            unwritten: 0,
            telling: false,
            told_to_wait: false,
            offered: None,
            by_offer: false,
            begun: false,
            resuming: None,
            active: now,
            ring: VecDeque::with_capacity(RING_FRAMES),
        })
    }

    fn make_room(&mut self, journal: &mut Journal) {
        while self.kept.len() >= KEPT_MAX {
            // One that is still spoken stays, whatever comes.
            let may_go =
                |kept: &Kept| kept.unwritten == 0 && kept.resuming.is_none() && kept.assembly.phase() != Phase::Live;
            let quiet = self.kept.iter().filter(|(_, kept)| may_go(kept)).min_by_key(|(_, kept)| kept.active);
            let Some((burst, _)) = quiet else { return };
            let burst = *burst;
            self.save_one(burst, journal);
            if self.kept.get(&burst).is_some_and(|kept| kept.unwritten == 0) {
                self.kept.remove(&burst);
            } else {
                return;
            }
        }
    }

    fn count_unwritten(&mut self, burst: BurstId) {
        if let Some(kept) = self.kept.get_mut(&burst) {
            kept.unwritten += 1;
        }
    }

    /// A frame came. `Ok(true)`: it is new.
    pub(super) fn frame(
        &mut self,
        now: Mono,
        device: DeviceId,
        frame: &VoiceFrame,
        journal: &mut Journal,
    ) -> Result<bool, Problem> {
        // Among bursts with the same tag, which somebody may have chosen on purpose, the sender's own is meant.
        let tagged = |(burst, _): &(&BurstId, &mut Kept)| burst.tag() == frame.tag;
        let own = self.kept.iter_mut().filter(tagged).max_by_key(|(_, kept)| kept.assembly.owner() == device);
        let Some((burst, kept)) = own else {
            if self.done.contains(&frame.tag) {
                return Ok(false);
            }
            return Err(Problem::new(
                ProblemKind::OutOfOrder,
                "the burst that this frame belongs to is not open: send burst.end, then repair what burst.status names",
            ));
        };
        let burst = *burst;
        // A copy of its own: the frame shares the socket's read buffer, which is larger.
        let payload = Bytes::copy_from_slice(&frame.payload);
        let inserted = kept.assembly.insert(device, frame.number, payload)?;
        if inserted != Inserted::New {
            return Ok(false);
        }
        kept.dirty = true;
        kept.active = now;
        if frame.kind == VoiceKind::Live {
            if kept.ring.len() == RING_FRAMES {
                kept.ring.pop_front();
            }
            kept.ring.push_back((frame.clone(), now));
        }
        self.append(burst, journal);
        Ok(true)
    }

    /// The newest live frames of a burst, with their ages as of now.
    pub(super) fn late_entry(&self, now: Mono, burst: BurstId) -> Vec<VoiceFrame> {
        let Some(kept) = self.kept.get(&burst) else { return Vec::new() };
        let aged = |(frame, came): &(VoiceFrame, Mono)| {
            let age = frame.age.duration() + now.since(*came);
            VoiceFrame { age: age.into(), ..frame.clone() }
        };
        kept.ring.iter().map(aged).collect()
    }

    /// A device ended its burst.
    pub(super) fn end(
        &mut self,
        now: Mono,
        device: DeviceId,
        burst: BurstId,
        last: FrameNo,
        digest: BurstDigest,
        journal: &mut Journal,
    ) {
        let end = Stated { device, last, digest, offer: None };
        if self.kept.contains_key(&burst) {
            self.end_kept(now, burst, end, journal);
        } else {
            self.load(burst, end);
        }
    }

    /// A device brings a burst. Those of one device take their places in the log in the order in which they were offered.
    pub(super) fn offer(&mut self, now: Mono, device: DeviceId, user: UserId, offer: Offer, journal: &mut Journal) {
        let (burst, Offer { last, digest, .. }) = (offer.header.burst, offer);
        let stated = Stated { device, last, digest, offer: Some((user, offer)) };
        if self.kept.contains_key(&burst) {
            self.end_kept(now, burst, stated, journal);
        } else if !self.loading.values().any(|loading| *loading == device) {
            self.load(burst, stated);
        } else if self.offers.len() < OFFERS_WAITING_MAX {
            self.offers.push_back(stated);
        } else {
            self.settled.push_back(stated.settled(burst, Err(put_off())));
        }
    }

    /// Begins a burst that the log does not have, for an offer.
    fn begin_offered(&mut self, now: Mono, stated: Stated, user: UserId, offer: Offer, journal: &mut Journal) {
        let Stated { device, .. } = stated;
        self.make_room(journal);
        let open = self.kept.values().filter(|kept| kept.by_offer && kept.assembly.owner() == device).count();
        if open >= OFFERS_OPEN_MAX || self.is_full() || journal.is_stuck() {
            self.settled.push_back(stated.settled(offer.header.burst, Err(put_off())));
            return;
        }
        let burst = offer.header.burst;
        let kept = self.keep(now, user, Assembly::new(burst, device));
        kept.by_offer = true;
        kept.offered = Some(stated);
        kept.unwritten += 1;
        journal.push(Entry::Event {
            burst: Some(burst),
            user,
            device,
            client_id: burst.client_id(BurstStep::Started),
            body: EventBody::BurstStarted {
                header: offer.header,
                token: None,
                priority: offer.priority,
                spoken_ago_ms: offer.spoken_ago_ms,
                uncertainty_ms: offer.uncertainty_ms,
            },
        });
    }

    fn end_kept(&mut self, now: Mono, burst: BurstId, end: Stated, journal: &mut Journal) {
        let Some(kept) = self.kept.get_mut(&burst) else { return };
        (kept.active, kept.told_to_wait) = (now, false);
        if let Some(waits) = kept.resuming.as_mut() {
            *waits = Some(end);
            return;
        }
        if end.offer.is_some() && kept.offered.is_some() && kept.assembly.owner() == end.device {
            // The answer to the first one is on its way to the log.
            kept.offered = Some(end);
            return;
        }
        let status = match end.offer {
            Some(_) => kept.assembly.offer(end.device, end.last, end.digest),
            None => kept.assembly.end(end.device, end.last, end.digest),
        };
        match status {
            Err(refused) => self.settled.push_back(end.settled(burst, Err(refused.into()))),
            Ok(status) if status.complete => {
                kept.telling = true;
                self.append(burst, journal);
                self.settle(burst);
            }
            Ok(status) => {
                self.settled.push_back(end.settled(burst, Ok(status)));
                // An offer does not end a burst that is still open: its completion comes with its `burst.end`.
                kept.telling |= kept.assembly.phase() != Phase::Live;
                self.append(burst, journal);
            }
        }
    }

    /// Has a burst read that is not in memory.
    fn load(&mut self, burst: BurstId, end: Stated) {
        if self.loading.contains_key(&burst) || self.loading.len() >= LOADING_MAX || self.kept.len() >= KEPT_MAX {
            self.settled.push_back(end.settled(burst, Err(put_off())));
            return;
        }
        self.loading.insert(burst, end.device);
        self.loads.push_back(Load { burst, asked: Asked::End(end) });
    }

    /// What is to be read from storage.
    pub(super) fn poll_load(&mut self) -> Option<Load> {
        self.loads.pop_front()
    }

    pub(super) fn loaded(&mut self, now: Mono, loaded: Loaded, journal: &mut Journal) {
        let Loaded { burst, asked, found } = loaded;
        let end = match asked {
            Asked::End(end) => end,
            Asked::Resume(_) => return self.resumed(now, burst, found, journal),
        };
        self.loading.remove(&burst);
        match (found, end.offer) {
            (Ok(Some((user, assembly))), _) => {
                self.make_room(journal);
                self.keep(now, user, assembly);
                self.end_kept(now, burst, end, journal);
            }
            (Ok(None), Some((user, offer))) => self.begin_offered(now, end, user, offer, journal),
            (Ok(None), None) => {
                let detail = format!("the room's log has no burst {burst}");
                let problem = Problem::new(ProblemKind::NotFound, detail).field("burst");
                self.settled.push_back(end.settled(burst, Err(problem)));
            }
            (Err(problem), _) => self.settled.push_back(end.settled(burst, Err(problem))),
        }
        // The next of those that waited.
        if let Some(at) = self.offers.iter().position(|offer| offer.device == end.device)
            && let Some(stated) = self.offers.remove(at)
            && let Some((user, offer)) = stated.offer
        {
            self.offer(now, stated.device, user, offer, journal);
        }
    }

    /// What an earlier home had of a burst that its sender goes on with: both parts are put together.
    fn resumed(
        &mut self,
        now: Mono,
        burst: BurstId,
        found: Result<Option<(UserId, Assembly)>, Problem>,
        journal: &mut Journal,
    ) {
        let Some(kept) = self.kept.get_mut(&burst) else { return };
        let Some(waits) = kept.resuming.take() else { return };
        let Ok(Some((_, stored))) = found else {
            // The sender keeps its burst, and brings it again.
            tracing::error!(%burst, "a burst that goes on could not be read");
            self.kept.remove(&burst);
            return;
        };
        let fresh = std::mem::replace(&mut kept.assembly, stored);
        let device = kept.assembly.owner();
        for (number, payload) in fresh.frames().iter() {
            // What came under a number first stays.
            let _ = kept.assembly.insert(device, number, payload.clone());
        }
        kept.dirty = true;
        let stated = match fresh.phase() {
            Phase::Ended { last, digest } | Phase::Complete { last, digest } => {
                Some(Stated { device, last, digest, offer: None })
            }
            Phase::Live | Phase::Interrupted => None,
        };
        self.append(burst, journal);
        if let Some(end) = waits.or(stated) {
            self.end_kept(now, burst, end, journal);
        }
    }

    /// The sender's link died.
    pub(super) fn interrupt(&mut self, burst: BurstId, journal: &mut Journal) {
        if let Some(kept) = self.kept.get_mut(&burst) {
            kept.assembly.interrupt();
            self.append(burst, journal);
        }
    }

    /// Puts the events that a burst has reached into the journal, behind the frames that they tell of.
    fn append(&mut self, burst: BurstId, journal: &mut Journal) {
        if self.kept.get(&burst).is_some_and(|kept| kept.resuming.is_some()) {
            return;
        }
        while let Some(body) = self.kept.get_mut(&burst).and_then(|kept| kept.assembly.poll_append()) {
            self.save_one(burst, journal);
            let Some(kept) = self.kept.get_mut(&burst) else { return };
            let step =
                if matches!(body, EventBody::BurstCompleted { .. }) { BurstStep::Completed } else { BurstStep::Ended };
            kept.unwritten += 1;
            journal.push(Entry::Event {
                burst: Some(burst),
                user: kept.user,
                device: kept.assembly.owner(),
                client_id: burst.client_id(step),
                body,
            });
        }
    }

    /// Takes the frames that came since the last chunk into the journal, while that is short.
    pub(super) fn save(&mut self, journal: &mut Journal) {
        let dirty: Vec<BurstId> = self.kept.iter().filter(|(_, kept)| kept.dirty).map(|(burst, _)| *burst).collect();
        for burst in dirty {
            if journal.is_short() {
                self.save_one(burst, journal);
            }
        }
    }

    fn save_one(&mut self, burst: BurstId, journal: &mut Journal) {
        let Some(kept) = self.kept.get_mut(&burst).filter(|kept| kept.dirty && kept.resuming.is_none()) else { return };
        kept.dirty = false;
        let frames = kept.assembly.take_unsaved();
        if !frames.is_empty() {
            kept.unwritten += 1;
            journal.push(Entry::Chunk { burst, frames });
        }
    }

    /// Whether no further burst may begin.
    pub(super) fn is_full(&self) -> bool {
        self.kept.len() >= KEPT_MAX
    }

    /// The device that spoke a burst that is kept.
    pub(super) fn owner(&self, burst: BurstId) -> Option<DeviceId> {
        self.kept.get(&burst).map(|kept| kept.assembly.owner())
    }

    /// Whether every frame is in the journal or in storage.
    pub(super) fn nothing_unsaved(&self) -> bool {
        self.kept.values().all(|kept| !kept.dirty)
    }

    /// An entry of the journal is done with.
    pub(super) fn written(&mut self, entry: &Entry, outcome: &Outcome, journal: &mut Journal) {
        let Some(burst) = entry.burst() else { return };
        let Some(kept) = self.kept.get_mut(&burst) else { return };
        kept.unwritten = kept.unwritten.saturating_sub(1);
        if let Outcome::Refused(_) = outcome {
            // The journal has logged why. The sender keeps its burst, and may end it again.
            let problem = Problem::new(
                ProblemKind::Internal,
                "the server could not store this burst: send burst.end again later",
            );
            let device = kept.assembly.owner();
            let request = kept.offered.take().and_then(|stated| stated.offer).map(|(_, offer)| offer.request);
            if std::mem::take(&mut kept.telling) || request.is_some() {
                self.settled.push_back(Settled { device, burst, request, status: Err(problem) });
            }
            self.kept.remove(&burst);
            journal.forget(burst);
            return;
        }
        if let (Entry::Event { body: EventBody::BurstStarted { .. }, .. }, Outcome::Before) = (entry, outcome)
            && std::mem::take(&mut kept.begun)
        {
            // An earlier home began it. What follows in the journal was made without what that home had.
            let device = kept.assembly.owner();
            (kept.resuming, kept.unwritten) = (Some(None), 0);
            journal.forget(burst);
            self.loads.push_back(Load { burst, asked: Asked::Resume(device) });
            return;
        }
        if let Entry::Event { body: EventBody::BurstStarted { .. }, .. } = entry
            && let Some(stated) = kept.offered.take()
        {
            let status = kept.assembly.offer(stated.device, stated.last, stated.digest).map_err(Problem::from);
            self.settled.push_back(stated.settled(burst, status));
        }
        self.settle(burst);
    }

    /// Nothing can be stored for now: whoever waits for an answer is told why, once for each time of asking.
    pub(super) fn tell_stuck(&mut self, why: &StoreError) {
        let waits = |kept: &&mut Kept| (kept.telling || kept.offered.is_some()) && !kept.told_to_wait;
        for kept in self.kept.values_mut().filter(waits) {
            kept.told_to_wait = true;
            let request = kept.offered.and_then(|stated| stated.offer).map(|(_, offer)| offer.request);
            let (device, burst) = (kept.assembly.owner(), kept.assembly.burst());
            let status = Err(Problem::from(why.clone()));
            self.settled.push_back(Settled { device, burst, request, status });
        }
    }

    /// A burst that is complete and written: its sender is told, and storage has it from now on.
    fn settle(&mut self, burst: BurstId) {
        let Some(kept) = self.kept.get_mut(&burst) else { return };
        if kept.unwritten > 0
            || kept.dirty
            || kept.resuming.is_some()
            || !matches!(kept.assembly.phase(), Phase::Complete { .. })
        {
            return;
        }
        if std::mem::take(&mut kept.telling)
            && let Some(status) = kept.assembly.status()
        {
            let device = kept.assembly.owner();
            self.settled.push_back(Settled { device, burst, request: None, status: Ok(status) });
        }
        self.kept.remove(&burst);
        if self.done.len() >= KEPT_MAX {
            self.done.pop_front();
        }
        self.done.push_back(burst.tag());
    }

    /// Who is to be told what.
    pub(super) fn poll_settled(&mut self) -> Option<Settled> {
        self.settled.pop_front()
    }

    /// When to call [`Bursts::timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.look_at
    }

    /// Interrupts bursts that were left, and leaves those that nobody repairs to storage.
    pub(super) fn timeout(
        &mut self,
        now: Mono,
        holder: Option<BurstId>,
        is_here: impl Fn(DeviceId) -> bool,
        journal: &mut Journal,
    ) {
        if self.look_at.is_none_or(|at| at > now) {
            return;
        }
        let left = |burst: &BurstId, kept: &Kept| {
            let patience = if is_here(kept.assembly.owner()) { REPAIR_WAIT } else { HOLDER_SILENCE_MAX };
            holder != Some(*burst) && now.since(kept.active) >= patience
        };
        let left: Vec<BurstId> =
            self.kept.iter().filter(|(burst, kept)| left(burst, kept)).map(|(burst, _)| *burst).collect();
        for burst in left {
            self.interrupt(burst, journal);
            self.save_one(burst, journal);
            if self.kept.get(&burst).is_some_and(|kept| kept.unwritten == 0 && now.since(kept.active) >= REPAIR_WAIT) {
                self.kept.remove(&burst);
            }
        }
        self.look_at = (!self.kept.is_empty()).then(|| now + LOOK);
    }
}

fn put_off() -> Problem {
    Problem::new(ProblemKind::Unavailable, "too many bursts are being settled: send the same again later")
        .retry_after_s(1)
}
