//! Where sound goes: a file that records what was heard, a speaker, or nowhere.

use core::time::Duration;
use std::path::PathBuf;

use holler_core::units::Mono;

use super::wav::WavOut;
use super::{AudioError, samples_us};
use crate::clock;

/// How long before its turn sound must be at hand: a wake-up that is later than this is heard as a gap. More would make
/// everything heard later.
const LEAD: Duration = Duration::from_millis(5);

/// Plays sound in real time.
pub trait Sink {
    /// Plays sound after what was given before, or now if that is over. Waits until more is needed. Gives the time at which
    /// the first sample is heard.
    fn play(&mut self, sound: &[f32]) -> Result<Mono, AudioError>;

    /// No more will come: waits until everything is heard.
    fn finish(self: Box<Self>) -> Result<(), AudioError>;
}

/// Which sink to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SinkKind {
    /// A WAV file of what was heard, from the first sound on, pauses included.
    File(PathBuf),
    /// A speaker; `None`: the system's default.
    Speaker(Option<String>),
    /// Nowhere, in real time.
    Null,
}

impl SinkKind {
    /// Opens it.
    pub fn open(&self) -> Result<Box<dyn Sink>, AudioError> {
        Ok(match self {
            Self::File(path) => Box::new(Clocked::new(Some(WavOut::create(path)?))),
            Self::Speaker(name) => Box::new(super::devices::Speaker::open(name.as_deref())?),
            Self::Null => Box::new(Clocked::new(None)),
        })
    }
}

/// A sink with the machine's clock in place of a sound card's. It is as strict as one: what comes too late leaves a gap.
struct Clocked {
    out: Option<WavOut>,
    /// Samples heard since `origin`.
    origin: Mono,
    samples: usize,
    begun: bool,
}

impl Clocked {
    fn new(out: Option<WavOut>) -> Self {
        Self { out, origin: Mono(0), samples: 0, begun: false }
    }

    fn position(&self) -> Mono {
        Mono(self.origin.0 + samples_us(self.samples))
    }

    fn write(&mut self, sound: &[f32]) -> Result<(), AudioError> {
        self.samples += sound.len();
        self.out.as_mut().map_or(Ok(()), |out| out.write(sound))
    }
}

impl Sink for Clocked {
    fn play(&mut self, sound: &[f32]) -> Result<Mono, AudioError> {
        let now = clock::now();
        if !self.begun {
            (self.begun, self.origin) = (true, now);
        }
        let gap_us = now.since(self.position()).as_micros();
        if gap_us > 0 {
            // Rounded up, so that the sound is not placed before now.
            let gap = usize::try_from(gap_us * 48 / 1_000 + 1).unwrap_or(0);
            self.write(&vec![0.0; gap])?;
        }
        let heard_at = self.position();
        self.write(sound)?;
        std::thread::sleep(clock::until(self.position() - LEAD));
        Ok(heard_at)
    }

    fn finish(self: Box<Self>) -> Result<(), AudioError> {
        std::thread::sleep(clock::until(self.position()));
        self.out.map_or(Ok(()), WavOut::finish)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_is_heard_in_real_time_and_without_overlap() {
        let mut sink = SinkKind::Null.open().unwrap();
        let mut free = Mono(0);
        let begin = clock::now();
        for _ in 0..10 {
            let heard = sink.play(&[0.1; 960]).unwrap();
            assert!(heard >= free, "two sounds at once");
            free = Mono(heard.0 + 20_000);
        }
        sink.finish().unwrap();
        assert!(clock::now() >= begin + Duration::from_millis(200));
    }

    #[test]
    fn the_file_holds_the_pauses_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heard.wav");
        let mut sink = SinkKind::File(path.clone()).open().unwrap();
        let first = sink.play(&[0.5; 960]).unwrap();
        std::thread::sleep(Duration::from_millis(40));
        let second = sink.play(&[0.5; 960]).unwrap();
        sink.finish().unwrap();
        let sound = super::super::wav::read(&path).unwrap();
        let expected = usize::try_from((second.0 - first.0) * 48 / 1_000).unwrap() + 960;
        assert!(sound.len().abs_diff(expected) <= 2, "{} samples, not {expected}", sound.len());
        let silent = sound.iter().filter(|sample| **sample == 0.0).count();
        assert!(silent >= 480, "{silent} samples of pause");
    }
}
