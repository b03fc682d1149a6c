//! What a person wants to hear, and what is played when it changes.
//!
//! Of what may be heard one burst plays: an emergency before the primary room, that before others, and otherwise who began
//! first. An emergency may always be heard. What does not play is held: it becomes complete as any other, and is told as missed; where
//! another device of the same person plays, or it is the person's own, as heard.

use core::time::Duration;
use std::collections::VecDeque;

use crate::sorted;

use super::super::Cx;
use super::super::aloud::Shown;
use super::super::notice::{HeardState, Notice};
use super::super::ports::Output;
use super::incoming::{End, Play};
use super::{Incoming, Listen};
use crate::model::Priority;
use crate::units::{BurstId, Mono, RoomId, UserId};
use crate::wire::limits::SUBSCRIPTIONS_MAX;

/// The rank of an emergency, above any other: nothing keeps it from playing, another emergency neither.
const EMERGENCY: u8 = 2;

/// Bursts kept that another device was relied on to play: as many as are followed at once.
const RELIED_MAX: usize = 64;

/// A burst that another device of the person's was relied on to play.
#[derive(Debug)]
struct Relied {
    room: RoomId,
    burst: BurstId,
    user: UserId,
    /// When it went off air.
    over: Mono,
}

/// Which of the rooms that are followed may be heard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Hearing {
    /// All of them.
    #[default]
    All,
    /// Only the primary one ("solo").
    Primary,
    /// None ("do not disturb").
    Nothing,
}

#[derive(Debug, Default)]
pub(super) struct Choice {
    pub(super) primary: Option<RoomId>,
    hearing: Hearing,
    /// At most as many as can be followed.
    muted: sorted::Set<RoomId>,
    /// A person hears what plays here.
    aloud: bool,
    /// Another device of the person plays.
    elsewhere: bool,
    /// The last that went by so, oldest first.
    relied: VecDeque<Relied>,
}

impl Choice {
    /// Whether nobody misses it, though it does not play here.
    fn is_elsewhere(&self, burst: &Incoming) -> bool {
        burst.own || self.elsewhere && burst.priority != Priority::Emergency
    }

    /// A burst goes off air.
    pub(super) fn note_over(&mut self, now: Mono, burst: &Incoming) {
        if burst.relied && matches!((&burst.end, &burst.play), (End::Open, Play::Held)) {
            if self.relied.len() == RELIED_MAX {
                self.relied.pop_front();
            }
            self.relied.push_back(Relied { room: burst.room, burst: burst.id(), user: burst.user, over: now });
        }
    }

    /// A burst is on air again: its sender came back.
    pub(super) fn note_again(&mut self, burst: &Incoming) {
        self.relied.retain(|relied| relied.burst != burst.id());
    }

    fn allows(&self, burst: &Incoming) -> bool {
        if self.aloud && self.is_elsewhere(burst) {
            return false;
        }
        let heard = match self.hearing {
            Hearing::All => true,
            Hearing::Primary => self.primary == Some(burst.room),
            Hearing::Nothing => false,
        };
        burst.priority == Priority::Emergency || heard && !self.muted.contains(&burst.room)
    }

    /// What plays before what.
    pub(super) fn rank(&self, burst: &Incoming) -> u8 {
        match (burst.priority, self.primary == Some(burst.room)) {
            (Priority::Emergency, _) => EMERGENCY,
            (_, true) => 1,
            (_, false) => 0,
        }
    }
}

impl Listen {
    /// Which room plays when two talk at once.
    pub(in super::super) fn set_primary(&mut self, cx: &mut Cx<'_>, room: Option<RoomId>) {
        self.choice.primary = room;
        self.reconsider(cx);
    }

    /// Which rooms may be heard.
    pub(in super::super) fn set_hearing(&mut self, cx: &mut Cx<'_>, hearing: Hearing) {
        self.choice.hearing = hearing;
        self.reconsider(cx);
    }

    /// Whether a room is silent.
    pub(in super::super) fn mute(&mut self, cx: &mut Cx<'_>, room: RoomId, muted: bool) {
        if !muted {
            self.choice.muted.remove(&room);
        } else if self.choice.muted.len() < SUBSCRIPTIONS_MAX {
            self.choice.muted.insert(room);
        }
        self.reconsider(cx);
    }

    /// Whether a person hears what plays here, and whether another device of theirs plays.
    pub(in super::super) fn set_here(&mut self, cx: &mut Cx<'_>, shown: &Shown) {
        if (self.choice.aloud, self.choice.elsewhere) != (shown.on, shown.elsewhere) {
            (self.choice.aloud, self.choice.elsewhere) = (shown.on, shown.elsewhere);
            self.reconsider(cx);
        }
        if let Some(last_sign) = shown.takes_over {
            self.take_over(cx, last_sign);
        }
    }

    /// This device plays, and the last sign of life of the one before it was so long ago: what that one was relied on for since,
    /// perhaps nobody heard.
    fn take_over(&mut self, cx: &mut Cx<'_>, last_sign: Duration) {
        let now = cx.now;
        let relied = core::mem::take(&mut self.choice.relied);
        for Relied { room, burst, user, .. } in relied.into_iter().filter(|relied| now.since(relied.over) <= last_sign)
        {
            cx.notice(Notice::Heard { room, burst, user, state: HeardState::Missed });
        }
        let on_air =
            |burst: &&mut Incoming| burst.relied && matches!((&burst.play, &burst.end), (Play::Held, End::Open));
        for burst in self.bursts.iter_mut().filter(on_air) {
            burst.tell_held(cx, &self.choice);
        }
    }

    /// Whether this burst may play now. Those that it takes precedence of are stopped.
    pub(super) fn may_play(&mut self, cx: &mut Cx<'_>, at: usize) -> bool {
        let (room, rank) = (self.bursts[at].room, self.choice.rank(&self.bursts[at]));
        if !self.choice.allows(&self.bursts[at]) {
            return false;
        }
        if self.play_all {
            return true;
        }
        let choice = &self.choice;
        // In one room one talks after the other: the end of the last may still be playing.
        let now = cx.now;
        let is_other = |other: &Incoming| other.is_audible(now) && other.room != room;
        if rank < EMERGENCY && self.bursts.iter().any(|other| is_other(other) && choice.rank(other) >= rank) {
            return false;
        }
        for other in self.bursts.iter_mut().filter(|other| is_other(other) && choice.rank(other) < rank) {
            other.hold(cx, choice);
        }
        true
    }

    /// What a person wants to hear has changed: what may not be heard stops, and what is being spoken and may be heard now is
    /// heard from here on.
    fn reconsider(&mut self, cx: &mut Cx<'_>) {
        let choice = &self.choice;
        for burst in self.bursts.iter_mut().filter(|burst| matches!(burst.play, Play::Playing { .. })) {
            if !choice.allows(burst) {
                burst.hold(cx, choice);
            }
        }
        let waits = |burst: &Incoming| matches!((&burst.play, &burst.end), (Play::Held, End::Open)) && !burst.settled;
        let mut held: Vec<usize> = (0..self.bursts.len()).filter(|at| waits(&self.bursts[*at])).collect();
        held.retain(|at| self.choice.allows(&self.bursts[*at]));
        // Whoever began first comes first among equals: the sort keeps their order.
        held.sort_by_key(|at| core::cmp::Reverse(self.choice.rank(&self.bursts[*at])));
        for at in held {
            let burst = &self.bursts[at];
            let plays = |other: &Incoming| other.is_audible(cx.now);
            let same_room = self.bursts.iter().any(|other| plays(other) && other.room == burst.room);
            let rank = self.choice.rank(burst);
            let before = self.bursts.iter().any(|other| plays(other) && self.choice.rank(other) >= rank);
            if same_room || before && !self.play_all {
                continue;
            }
            self.bursts[at].late = Some(cx.now);
            self.begin(cx, at);
        }
    }
}

impl Incoming {
    /// It plays no longer: something else has precedence, or it may not be heard.
    fn hold(&mut self, cx: &mut Cx<'_>, choice: &Choice) {
        cx.push(Output::StopPlayback { burst: self.id() });
        self.play = Play::Held;
        self.tell_held(cx, choice);
    }

    /// How it stands with one that does not play here.
    pub(super) fn tell_held(&mut self, cx: &mut Cx<'_>, choice: &Choice) {
        let elsewhere = choice.is_elsewhere(self);
        self.relied = elsewhere && !self.own;
        self.tell(cx, if elsewhere { HeardState::Elsewhere } else { HeardState::Missed });
    }
}
