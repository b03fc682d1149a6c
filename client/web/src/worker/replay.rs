//! A burst of the past that is played again: where in it one is, and how fast it goes; and how loud bursts were.

use bytes::Bytes;
use holler_core::engine::jitter::Stretch;
use holler_core::engine::replay::{Tempo, Wave};
use holler_core::engine::{Command, Pull};
use holler_core::units::{BurstId, FrameMs, FrameNo};

use super::sound::{Past, Playing, Sound, Source};
use crate::message::{ToPage, ToWorker, Trial};

/// Bursts whose waveforms are kept, so that one that is played again begins with what is known of it: 15 kB at most each.
const WAVES_MAX: usize = 64;

/// Opus decodes right again so long after a jump (RFC 7845 section 4.6), ms.
const PREROLL_MS: u8 = 80;

/// A burst of the past, and where in it one is.
pub(super) struct Replay {
    pub(super) of: Past,
    /// From the first to the last; an empty one is missing.
    pub(super) frames: Vec<Bytes>,
    pub(super) frame: FrameMs,
    /// How many went to the decoder, or were passed over.
    pub(super) next: usize,
    /// Those before are decoded to prepare the decoder and are not heard.
    pub(super) from: usize,
    pub(super) tempo: Tempo,
}

impl Replay {
    pub(super) fn new(of: Past, frame: FrameMs, frames: Vec<Bytes>, from_ms: u32, speed: u16) -> Self {
        let mut past = Self { of, frames, frame, next: 0, from: 0, tempo: Tempo::new(speed) };
        past.go_to(from_ms, speed);
        past
    }

    /// The last frame; `None`: there is none.
    pub(super) fn last(&self) -> Option<u16> {
        u16::try_from(self.frames.len()).ok().filter(|last| *last > 0)
    }

    /// The next packet; an empty one is missing.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        let payload = self.frames.get(self.next)?.clone();
        self.next += 1;
        Some(payload)
    }

    /// What can be played once the last packet that was taken is decoded.
    pub(super) fn decoded(&mut self, sound: &[f32]) -> Vec<f32> {
        if self.next <= self.from { Vec::new() } else { self.tempo.push(sound) }
    }

    /// What is held back, once everything is decoded.
    pub(super) fn rest(&mut self) -> Option<Vec<f32>> {
        let ended = self.next >= self.frames.len();
        ended.then(|| self.tempo.finish()).filter(|rest| !rest.is_empty())
    }

    /// From here on, and so fast.
    pub(super) fn go_to(&mut self, from_ms: u32, speed: u16) {
        let from = usize::try_from(from_ms / u32::from(self.frame.ms())).unwrap_or(0).min(self.frames.len());
        let before = usize::from(PREROLL_MS / self.frame.ms());
        (self.from, self.next, self.tempo) = (from, from.saturating_sub(before), Tempo::new(speed));
    }

    /// Where one is, ms from the beginning.
    pub(super) fn at_ms(&self) -> u32 {
        u32::try_from(self.next).unwrap_or(u32::MAX).saturating_mul(u32::from(self.frame.ms()))
    }
}

/// The sound port's share.
impl Sound {
    /// A frame of a burst was recorded or decoded.
    pub(super) fn note_wave(&self, burst: BurstId, number: u16, sound: &[f32]) {
        let mut waves = self.waves.borrow_mut();
        let known = waves.iter().position(|(known, _)| *known == burst);
        let at = known.unwrap_or_else(|| {
            if waves.len() >= WAVES_MAX {
                waves.pop_front();
            }
            waves.push_back((burst, Wave::default()));
            waves.len() - 1
        });
        waves[at].1.note(number, sound);
    }

    pub(super) fn tell_wave(&self, burst: BurstId) {
        let waves = self.waves.borrow();
        let wave = waves.iter().find(|(known, _)| *known == burst).map(|(_, wave)| wave);
        if let (Some(wave), Some(shell)) = (wave, self.shell.upgrade()) {
            shell.tell(&ToPage::Wave { burst, bars: wave.bars(), frames: wave.frames() });
        }
    }

    /// Plays a burst of the past, unless a live one plays.
    pub(super) fn replay(&self, replay: Replay, burst: BurstId) {
        let live = matches!(self.playback.borrow().as_ref(), Some(Playing { source: Source::Live { .. }, .. }));
        if live {
            if replay.of == Past::Trial {
                self.tried(Trial::Over);
            }
            return;
        }
        if let Some(last) = replay.last() {
            // So that the waveform has its whole length from the beginning.
            let known = self.waves.borrow().iter().any(|(known, wave)| *known == burst && wave.frames() >= last);
            if !known {
                self.note_wave(burst, last, &[]);
            }
        }
        // What was chosen to be played is heard as it was said.
        self.play(burst, replay.frame, 1.0, Source::Past(replay));
    }

    /// Goes to another place of the burst of the past that plays. `false`: it does not.
    pub(super) fn go_to(&self, burst: BurstId, from_ms: u32, speed: u16) -> bool {
        match self.playback.borrow_mut().as_mut() {
            Some(Playing { burst: playing, source: Source::Past(past), .. }) if *playing == burst => {
                past.go_to(from_ms, speed);
                true
            }
            Some(_) | None => false,
        }
    }

    /// Stops playing a burst of the past.
    pub(super) fn stop_replay(&self) {
        let burst = match self.playback.borrow().as_ref() {
            Some(Playing { burst, source: Source::Past(Replay { of: Past::Room(_) | Past::Own, .. }), .. }) => {
                Some(*burst)
            }
            Some(_) | None => None,
        };
        if let Some(burst) = burst {
            self.replayed(None);
            self.stop_playback(burst);
        }
    }

    /// What is held back of a burst of the past, once all of it is decoded.
    pub(super) fn rest_of_past(&self) -> Option<Vec<f32>> {
        match self.playback.borrow_mut().as_mut() {
            Some(Playing { source: Source::Past(past), .. }) => past.rest(),
            Some(_) | None => None,
        }
    }

    pub(super) fn pull_past(&self) -> Pull {
        let mut playing = self.playback.borrow_mut();
        let next = playing.as_mut().and_then(|playing| match &mut playing.source {
            Source::Past(past) => past.take(),
            Source::Live { .. } => None,
        });
        if let Some(payload) = next {
            return if payload.is_empty() {
                Pull::Conceal { lost: FrameNo(0) }
            } else {
                Pull::Frame { number: FrameNo(0), payload, stretch: Stretch::None }
            };
        }
        let heard = playing.as_ref().and_then(|playing| match &playing.source {
            Source::Past(Replay { of: Past::Room(room), .. }) => Some((*room, playing.burst)),
            Source::Past(Replay { of: Past::Own | Past::Trial, .. }) | Source::Live { .. } => None,
        });
        let trial = playing.as_ref().is_some_and(Playing::is_trial);
        drop(playing);
        self.replayed(None);
        if trial {
            self.tried(Trial::Over);
        }
        // Played to its end: whoever spoke it learns that it was heard, from the tab that leads.
        if let (Some((room, burst)), Some(shell)) = (heard, self.shell.upgrade()) {
            shell.want(ToWorker::Command(Command::Heard { room, burst }), None);
        }
        Pull::End
    }
}
