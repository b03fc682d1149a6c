//! What can be told of the burst that plays: where the time from mouth to ear goes, and what became of its frames.

use core::time::Duration;

use super::super::jitter::Tally;
use super::Listen;
use super::incoming::{Incoming, Play};
use crate::units::{BurstId, FrameNo, Mono};
use crate::wire::voice::VoiceFrame;

/// A burst that plays, or played last, in figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Heard {
    /// Which.
    pub burst: BurstId,
    /// Frames that came live.
    pub came: u32,
    /// How old the last one was when it left the server, as it states: captured, encoded, sent and forwarded.
    pub age: Duration,
    /// From the server to here: half of the link's round trip.
    pub network: Duration,
    /// How long the jitter buffer held the last one that was played.
    pub buffered: Duration,
    /// The delay that the jitter buffer aims at: the 97th percentile of how late frames come.
    pub target: Duration,
    /// From the jitter buffer to the ear: decoding, the sound thread, the device.
    pub playing: Duration,
    /// From the mouth to the ear: the sum of all that.
    pub mouth_to_ear: Duration,
    /// What became of its frames.
    pub tally: Tally,
    /// When the last one that was taken out was captured, and taken out.
    #[serde(skip)]
    handed: Option<(FrameNo, Mono, Mono)>,
}

impl Heard {
    fn of(burst: BurstId) -> Self {
        let none = Duration::ZERO;
        Self {
            burst,
            came: 0,
            age: none,
            network: none,
            buffered: none,
            target: none,
            playing: none,
            mouth_to_ear: none,
            tally: Tally::default(),
            handed: None,
        }
    }
}

impl Listen {
    /// The burst that plays, or played last; `None`: none yet.
    pub(in super::super) fn heard(&self) -> Option<Heard> {
        self.heard
    }

    /// It begins to play.
    pub(super) fn note_begin(&mut self, burst: BurstId) {
        self.heard = Some(Heard::of(burst));
    }

    fn noted(&mut self, burst: BurstId) -> Option<&mut Heard> {
        self.heard.as_mut().filter(|heard| heard.burst == burst)
    }

    /// A frame of it came.
    pub(super) fn note_came(&mut self, burst: BurstId, half_rtt: Duration, frame: &VoiceFrame) {
        if let Some(heard) = self.noted(burst) {
            heard.came = heard.came.saturating_add(1);
            (heard.age, heard.network) = (frame.age.duration(), half_rtt);
        }
    }

    /// A frame of it was taken out of the jitter buffer.
    pub(super) fn note_handed(&mut self, now: Mono, at: usize, number: FrameNo) {
        let burst: &Incoming = &self.bursts[at];
        let Play::Playing { jitter, .. } = &burst.play else { return };
        let (id, target, tally, captured) = (burst.id(), jitter.target(), jitter.tally(), jitter.captured());
        if let Some(heard) = self.noted(id) {
            (heard.target, heard.tally) = (target, tally);
            if let Some(captured) = captured {
                heard.handed = Some((number, captured, now));
                heard.buffered = now.since(captured).saturating_sub(heard.age + heard.network);
            }
        }
    }

    /// A frame of it is heard.
    pub(super) fn note_played(&mut self, burst: BurstId, number: FrameNo, heard_at: Mono) {
        if let Some(heard) = self.noted(burst)
            && let Some((handed, captured, at)) = heard.handed
            && handed == number
        {
            heard.playing = heard_at.since(at);
            heard.mouth_to_ear = heard_at.since(captured);
        }
    }
}
