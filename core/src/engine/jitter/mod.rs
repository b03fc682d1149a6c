//! The adaptive jitter buffer: in which order, and when, the frames of a burst are played.
//!
//! Frames leave the talker evenly and arrive unevenly. The buffer holds each one back just long enough that nearly all
//! arrive in time. It orders frame *numbers*; payloads and sound stay with the caller, so that it runs in any shell and in
//! virtual time.
//!
//! How the delay is chosen. A frame's *relative delay* is its arrival minus its place in the burst, above the smallest such
//! difference of the last 10 to 20 s. A histogram of them, which forgets within seconds, gives the *target*: its 97th
//! percentile. The *playout delay* is the same quantity at the moment a frame is played. It is measured, not set: where it
//! differs from the target, [`Jitter::advice`] tells the caller to drop or insert short spans of sound, which also absorbs
//! the drift between two sound cards' clocks.
//!
//! What is never done. Push-to-talk is one way at a time, so a frame at hand is never thrown away for being late: it is
//! played late, and the delay is shrunk afterwards. Hence nothing is clipped: not the beginning, which arrives in a clump when
//! the floor was granted late, and not the tail, for which the buffer waits ([`TAIL_WAIT`]). The target is bounded
//! ([`TARGET_MAX`]); the playout delay is bounded by what the server still forwards (`wire::limits::VOICE_STALE`) and by the
//! length of the late beginning.
//!
//! When nothing is at hand, playing pauses (first with concealment, then in silence) and no frame is passed over. When a
//! frame is missing but a later one is at hand, it counts as lost once it is overdue, and is recovered from the later one
//! (in-band FEC of RFC 6716 section 2.1.7, or DRED) or concealed.
//!
//! ```text
//! network ──insert──▶ ┌────────┐ ◀──tick── sound card needs sound
//!                     │ Jitter │ ──Playout──▶ decoder ──▶ stretch ──▶ sound card
//! end of burst ─finish▶└────────┘ ──advice───────────────────▲
//! ```

mod histogram;
mod stretch;

#[cfg(test)]
mod tests;

use crate::sorted;
use core::time::Duration;

pub use self::histogram::History;
pub use self::stretch::{Stretch, Stretcher};
use crate::units::{FrameMs, FrameNo, Mono};

/// Target while little is known of the link: more would make a clean link slow to speak, less would stutter on the first
/// jittery one.
pub const TARGET_START: Duration = Duration::from_millis(20);
/// Lowest target: covers the unevenness of two schedulers.
pub const TARGET_MIN: Duration = Duration::from_millis(10);
/// Highest target.
pub const TARGET_MAX: Duration = Duration::from_millis(1_000);
/// Sound to play for one [`Playout::Bridge`]: short, so that a frame that is a little late is played a little late.
pub const BRIDGE: Duration = Duration::from_millis(10);
/// Concealment sounds like speech for about this long; after that, a starved buffer is silent.
const BRIDGE_MAX: Duration = Duration::from_millis(60);
/// How long the end of a burst is awaited once it is known and nothing is at hand. Waiting costs nothing: no sound follows.
pub const TAIL_WAIT: Duration = Duration::from_millis(500);
/// Playout delay above or below the target that is left alone, µs.
const TOLERANCE_US: i64 = 10_000;
/// The smallest delay is sought in the current and the previous window of this length, so that clock drift (100 ppm is 1 ms in
/// 10 s) and a changed route are followed.
const BASE_WINDOW: Duration = Duration::from_secs(10);

/// Where playing begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// At frame 1: the room was followed when the burst began, so its beginning must be heard.
    Beginning,
    /// At the newest frame: one who joins mid-burst hears what is being said now.
    LiveEdge,
}

/// What became of a frame that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It will be played: keep its payload until [`Playout`] names a later frame.
    Queued,
    /// It is already at hand.
    Duplicate,
    /// It was already played, recovered, concealed or left out; it only serves the complete burst.
    Late,
}

/// What to play next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Playout {
    /// Silence. Call [`Jitter::tick`] again after the next insert, or at [`Jitter::wake`].
    Wait,
    /// Decode and play this frame.
    Frame(FrameNo),
    /// `lost` never came: play one frame length from the redundancy (FEC or DRED) in `from`, which is at hand and will be
    /// played itself later. Where it holds nothing, conceal.
    Recover {
        /// The frame to stand in for.
        lost: FrameNo,
        /// The frame whose redundancy to use, 1 to `reach` frames later.
        from: FrameNo,
    },
    /// This frame is lost: play one frame length of concealment.
    Conceal(FrameNo),
    /// Nothing is at hand: play [`BRIDGE`] of concealment. No frame is passed over.
    Bridge,
    /// Everything was played.
    End,
}

/// What was done with the frames so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tally {
    /// Played as they were.
    pub played: u32,
    /// Given to be recovered from a later frame.
    pub recovered: u32,
    /// Concealed.
    pub concealed: u32,
    /// Passed over in silence: lost, and overdue by more than concealment could fill; or a tail that never came.
    pub skipped: u32,
    /// Bridges: each is [`BRIDGE`] of concealment because nothing was at hand.
    pub bridges: u32,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    arrived: Mono,
    captured: Mono,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was played yet.
    Starting,
    Playing,
    /// Nothing is at hand, since then.
    Starved(Mono),
    Ended,
}

/// The jitter buffer of one burst.
#[derive(Clone, Debug)]
pub struct Jitter {
    frame_us: i64,
    entry: Entry,
    reach: u16,
    history: History,
    base: Base,
    frames: sorted::Map<u16, Slot>,
    /// Recovered, concealed or skipped, and may still come late.
    given_up: sorted::Set<u16>,
    next: u16,
    highest: u16,
    last: Option<u16>,
    tail_until: Option<Mono>,
    phase: Phase,
    playout_us: i64,
    captured: Option<Mono>,
    tally: Tally,
}

impl Jitter {
    /// A buffer for a burst of frames of this length.
    ///
    /// `history` is what an earlier burst over the same link learnt ([`Jitter::into_history`]), or `History::default()`.
    /// `reach` is how many frames before a frame its redundancy may cover: 1 for in-band FEC, more for DRED, 0 for none.
    pub fn new(frame: FrameMs, entry: Entry, history: History, reach: u16) -> Self {
        Self {
            frame_us: i64::from(frame.ms()) * 1_000,
            entry,
            reach,
            history,
            base: Base::default(),
            frames: sorted::Map::new(),
            given_up: sorted::Set::new(),
            next: 1,
            highest: 0,
            last: None,
            tail_until: None,
            phase: Phase::Starting,
            playout_us: 0,
            captured: None,
            tally: Tally::default(),
        }
    }

    /// A live frame arrived. `age` is the time since its first sample was captured, as the voice frame states it plus what the
    /// receiver knows of the way here.
    pub fn insert(&mut self, now: Mono, number: FrameNo, age: Duration) -> Inserted {
        let number = number.0;
        let passed = self.phase != Phase::Starting && number < self.next;
        if number == 0 || self.phase == Phase::Ended || passed {
            if self.given_up.remove(&number) {
                // It was late, not lost. Without this the histogram would never see what exceeds its target.
                self.history.note(self.delay_us(now, number) - self.base.us());
            }
            return Inserted::Late;
        }
        if self.frames.contains_key(&number) {
            return Inserted::Duplicate;
        }
        let delay_us = self.delay_us(now, number);
        self.base.note(now, delay_us);
        // In a late beginning each frame is fresher than the one before, so that it is itself the base: it counts as punctual,
        // and that the floor was granted late does not look like jitter.
        self.history.note(delay_us - self.base.us());
        self.highest = self.highest.max(number);
        self.frames.insert(number, Slot { arrived: now, captured: now - age });
        if let Some(until) = self.tail_until.as_mut() {
            *until = (*until).max(now + TAIL_WAIT);
        }
        Inserted::Queued
    }

    /// The burst ended. `last` is its last frame; `None`: unknown (the talker's link died), so that the highest that came is
    /// the last.
    pub fn finish(&mut self, now: Mono, last: Option<FrameNo>) {
        let last = last.map_or(self.highest, |number| number.0);
        self.last = Some(self.last.map_or(last, |before| before.max(last)));
        self.tail_until = Some(now + TAIL_WAIT);
    }

    /// The sound card needs more sound now. Call it again when what it returned has been played.
    pub fn tick(&mut self, now: Mono) -> Playout {
        match self.phase {
            Phase::Ended => return Playout::End,
            Phase::Starting => {
                if self.entry == Entry::LiveEdge {
                    self.move_to_live_edge(now);
                }
                if self.frames.is_empty() {
                    return if self.past_tail(now) { self.end() } else { Playout::Wait };
                }
                if now < self.due(self.next) {
                    return Playout::Wait;
                }
                self.phase = Phase::Playing;
            }
            Phase::Playing | Phase::Starved(_) => {}
        }
        loop {
            let number = self.next;
            if self.last.is_some_and(|last| number > last) && self.frames.is_empty() {
                return self.end();
            }
            let lateness_us = self.delay_us(now, number) - self.base.us();
            if let Some(slot) = self.frames.remove(&number) {
                self.phase = Phase::Playing;
                self.playout_us = lateness_us;
                self.captured = Some(slot.captured);
                self.tally.played += 1;
                self.next = number.saturating_add(1);
                return Playout::Frame(FrameNo(number));
            }
            let Some((later, slot)) = self.frames.first_key_value().map(|(later, slot)| (*later, *slot)) else {
                return if self.past_tail(now) { self.end() } else { self.starve(now) };
            };
            if now < self.due(number) {
                return self.starve(now);
            }
            self.next = number.saturating_add(1);
            self.captured = None;
            self.given_up.insert(number);
            if later - number <= self.reach {
                // A lost frame is there once the frame that can recover it is: the target must cover that.
                self.history.note(self.delay_us(slot.arrived, number) - self.base.us());
                self.phase = Phase::Playing;
                self.playout_us = lateness_us;
                self.tally.recovered += 1;
                return Playout::Recover { lost: FrameNo(number), from: FrameNo(later) };
            }
            if lateness_us - self.target_us() > self.frame_us {
                self.tally.skipped += 1;
                continue;
            }
            self.phase = Phase::Playing;
            self.playout_us = lateness_us;
            self.tally.concealed += 1;
            return Playout::Conceal(FrameNo(number));
        }
    }

    /// When to call [`Jitter::tick`] after it returned [`Playout::Wait`], if no frame arrives before.
    pub fn wake(&self) -> Option<Mono> {
        match self.phase {
            Phase::Ended => None,
            Phase::Starting | Phase::Playing | Phase::Starved(_) => {
                if self.frames.is_empty() {
                    self.tail_until
                } else {
                    Some(self.due(self.next))
                }
            }
        }
    }

    /// Whether to shorten or lengthen the sound that is being played, and by how much in all. To be asked after a tick that
    /// gave sound; [`Stretcher`] follows it.
    pub fn advice(&self) -> Stretch {
        if self.phase != Phase::Playing {
            return Stretch::None;
        }
        let excess_us = self.playout_us - self.target_us();
        let span = Duration::from_micros(excess_us.unsigned_abs());
        if excess_us >= TOLERANCE_US {
            Stretch::Shrink(span)
        } else if excess_us <= -TOLERANCE_US {
            Stretch::Grow(span)
        } else {
            Stretch::None
        }
    }

    /// The delay aimed at.
    pub fn target(&self) -> Duration {
        Duration::from_micros(self.target_us().unsigned_abs())
    }

    /// The relative delay with which the last frame was played.
    pub fn playout_delay(&self) -> Duration {
        Duration::from_micros(self.playout_us.max(0).unsigned_abs())
    }

    /// When the first sample of the frame that the last tick gave was captured, in this clock, as far as ages tell; `None`
    /// where it was no received frame.
    pub fn captured(&self) -> Option<Mono> {
        self.captured
    }

    /// Frames at hand.
    pub fn buffered(&self) -> usize {
        self.frames.len()
    }

    /// What was done with the frames so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// What was learnt of the link, for the next burst.
    pub fn into_history(self) -> History {
        self.history
    }

    /// Arrival (or playing) of a frame against its place in the burst, µs of an arbitrary origin.
    fn delay_us(&self, now: Mono, number: u16) -> i64 {
        i64::try_from(now.0).unwrap_or(i64::MAX) - i64::from(number) * self.frame_us
    }

    fn target_us(&self) -> i64 {
        self.history.target_us()
    }

    /// When a frame is to be played at the target delay.
    fn due(&self, number: u16) -> Mono {
        let due_us = self.base.us() + i64::from(number) * self.frame_us + self.target_us();
        Mono(due_us.max(0).unsigned_abs())
    }

    /// Leaves out what is overdue by more than a frame, so that playing begins with what is being said now; always keeps one.
    fn move_to_live_edge(&mut self, now: Mono) {
        let allowed = Duration::from_micros(self.frame_us.unsigned_abs());
        while self.frames.len() > 1 {
            let Some(first) = self.frames.keys().next().copied() else { break };
            if self.due(first) + allowed >= now {
                break;
            }
            self.frames.remove(&first);
        }
        if let Some(first) = self.frames.keys().next() {
            self.next = *first;
        }
    }

    fn past_tail(&self, now: Mono) -> bool {
        self.last.is_some_and(|last| self.next > last) || self.tail_until.is_some_and(|until| now >= until)
    }

    fn starve(&mut self, now: Mono) -> Playout {
        let since = match self.phase {
            Phase::Starved(since) => since,
            Phase::Starting | Phase::Playing | Phase::Ended => now,
        };
        self.phase = Phase::Starved(since);
        self.captured = None;
        if now.since(since) < BRIDGE_MAX && self.tally.played > 0 {
            self.tally.bridges += 1;
            Playout::Bridge
        } else {
            Playout::Wait
        }
    }

    fn end(&mut self) -> Playout {
        if let Some(last) = self.last {
            self.tally.skipped += u32::from(last.saturating_add(1).saturating_sub(self.next));
        }
        self.phase = Phase::Ended;
        self.captured = None;
        Playout::End
    }
}

/// The smallest delay of the current and the previous window.
#[derive(Clone, Debug, Default)]
struct Base {
    since: Mono,
    current: Option<i64>,
    previous: Option<i64>,
}

impl Base {
    fn note(&mut self, now: Mono, delay_us: i64) {
        if self.current.is_none() {
            self.since = now;
        } else if now.since(self.since) >= BASE_WINDOW {
            self.since = now;
            self.previous = self.current.take();
        }
        self.current = Some(self.current.map_or(delay_us, |smallest| smallest.min(delay_us)));
    }

    fn us(&self) -> i64 {
        match (self.current, self.previous) {
            (Some(current), Some(previous)) => current.min(previous),
            (Some(only), None) | (None, Some(only)) => only,
            (None, None) => 0,
        }
    }
}
