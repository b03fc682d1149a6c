//! Where sound comes from: a file or standard input in real time, or a microphone.

use core::time::Duration;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};

use holler_core::units::Mono;

use super::wav::WavIn;
use super::{AudioError, samples_us};
use crate::clock;

/// How long [`Source::read`] waits for sound before it says that there is none yet, so that a stop is noticed.
const PATIENCE: Duration = Duration::from_millis(20);
/// Blocks that a reader of standard input may be ahead: 10 ms each.
const BLOCKS_AHEAD: usize = 16;

/// What a source gives.
#[derive(Clone, Debug, PartialEq)]
pub enum Heard {
    /// Sound, and when its first sample was captured.
    Sound {
        /// When the first sample was captured.
        captured_at: Mono,
        /// Mono, 48 kHz.
        sound: Vec<f32>,
    },
    /// Nothing yet.
    Nothing,
    /// No more will come.
    End,
}

/// Gives sound in real time: a block is handed out when its last sample has been captured, not before.
pub trait Source {
    /// The next sound, about 10 ms; waits for it up to 20 ms.
    fn read(&mut self) -> Result<Heard, AudioError>;
}

/// Which source to open.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceKind {
    /// A WAV file, played in real time.
    File(PathBuf),
    /// WAV on standard input, in real time or as fast as real time.
    Stdin,
    /// A microphone; `None`: the system's default.
    Microphone(Option<String>),
}

impl SourceKind {
    /// Opens it; capture runs from now on.
    pub fn open(&self) -> Result<Box<dyn Source>, AudioError> {
        match self {
            Self::File(path) => {
                let file = File::open(path).map_err(|error| AudioError::File { path: path.clone(), error })?;
                Ok(Box::new(Paced::new(WavBlocks(WavIn::new(path, BufReader::new(file))?))))
            }
            Self::Stdin => Ok(Box::new(Paced::new(Piped::start(std::io::stdin())?))),
            Self::Microphone(name) => Ok(Box::new(super::devices::Microphone::open(name.as_deref())?)),
        }
    }
}

/// Sound without a clock.
enum Block {
    Sound(Vec<f32>),
    Nothing,
    End,
}

trait Blocks {
    fn next(&mut self) -> Result<Block, AudioError>;
}

struct WavBlocks<R: Read>(WavIn<R>);

impl<R: Read> Blocks for WavBlocks<R> {
    fn next(&mut self) -> Result<Block, AudioError> {
        Ok(self.0.read()?.map_or(Block::End, Block::Sound))
    }
}

/// WAV from a pipe, read by a thread of its own: a read from a pipe can't be interrupted.
struct Piped {
    blocks: Receiver<Result<Option<Vec<f32>>, AudioError>>,
}

impl Piped {
    fn start(input: impl Read + Send + 'static) -> Result<Self, AudioError> {
        let (send, blocks) = sync_channel(BLOCKS_AHEAD);
        let read = move || {
            let mut wav = match WavIn::new(Path::new("standard input"), input) {
                Ok(wav) => wav,
                Err(error) => {
                    let _ = send.send(Err(error));
                    return;
                }
            };
            loop {
                let block = wav.read();
                let last = !matches!(block, Ok(Some(_)));
                if send.send(block).is_err() || last {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("holler-stdin".into()).spawn(read).map_err(AudioError::Thread)?;
        Ok(Self { blocks })
    }
}

impl Blocks for Piped {
    fn next(&mut self) -> Result<Block, AudioError> {
        match self.blocks.recv_timeout(PATIENCE) {
            Ok(block) => Ok(block?.map_or(Block::End, Block::Sound)),
            Err(RecvTimeoutError::Timeout) => Ok(Block::Nothing),
            Err(RecvTimeoutError::Disconnected) => Ok(Block::End),
        }
    }
}

/// Hands sound out as if it were being spoken now: by deadlines, so that a late wake-up does not add up.
struct Paced<B> {
    blocks: B,
    /// When the first sample of the next block is captured; `None` before the first.
    next: Option<Mono>,
    /// Samples since `origin`, from which deadlines are counted without rounding up.
    origin: Mono,
    samples: usize,
}

impl<B: Blocks> Paced<B> {
    fn new(blocks: B) -> Self {
        Self { blocks, next: None, origin: Mono(0), samples: 0 }
    }
}

impl<B: Blocks> Source for Paced<B> {
    fn read(&mut self) -> Result<Heard, AudioError> {
        let sound = match self.blocks.next()? {
            Block::Sound(sound) => sound,
            Block::Nothing => return Ok(Heard::Nothing),
            Block::End => return Ok(Heard::End),
        };
        let now = clock::now();
        // A pipe that paused goes on now; what a file gives is never late by more than a wake-up.
        let paused = self.next.is_none_or(|next| now.since(next) > 2 * PATIENCE);
        if paused {
            (self.origin, self.samples) = (now, 0);
        }
        let captured_at = Mono(self.origin.0 + samples_us(self.samples));
        self.samples += sound.len();
        let ends = Mono(self.origin.0 + samples_us(self.samples));
        self.next = Some(ends);
        std::thread::sleep(clock::until(ends));
        Ok(Heard::Sound { captured_at, sound })
    }
}

/// Blocks that a device's callback left, in order.
pub(super) struct Captured {
    blocks: Receiver<Result<(Mono, Vec<f32>), AudioError>>,
    ready: VecDeque<(Mono, Vec<f32>)>,
}

impl Captured {
    pub(super) fn new(blocks: Receiver<Result<(Mono, Vec<f32>), AudioError>>) -> Self {
        Self { blocks, ready: VecDeque::new() }
    }

    pub(super) fn read(&mut self) -> Result<Heard, AudioError> {
        if self.ready.is_empty() {
            match self.blocks.recv_timeout(PATIENCE) {
                Ok(block) => self.ready.push_back(block?),
                Err(RecvTimeoutError::Timeout) => return Ok(Heard::Nothing),
                Err(RecvTimeoutError::Disconnected) => return Ok(Heard::End),
            }
        }
        Ok(self.ready.pop_front().map_or(Heard::Nothing, |(captured_at, sound)| Heard::Sound { captured_at, sound }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixture() -> PathBuf {
        PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../lab/fixtures/speech-b.wav"))
    }

    struct Bursty(Vec<Block>);

    impl Blocks for Bursty {
        fn next(&mut self) -> Result<Block, AudioError> {
            Ok(self.0.pop().unwrap_or(Block::End))
        }
    }

    #[test]
    fn a_file_is_handed_out_in_real_time_and_never_early() {
        let mut source = SourceKind::File(fixture()).open().unwrap();
        let mut expected: Option<Mono> = None;
        for _ in 0..30 {
            let Heard::Sound { captured_at, sound } = source.read().unwrap() else { panic!("it has 6 s") };
            let now = clock::now();
            assert!(now >= captured_at + Duration::from_micros(samples_us(sound.len())), "handed out early");
            if let Some(expected) = expected.filter(|expected| captured_at <= *expected) {
                assert!(expected.0 - captured_at.0 <= 1, "{captured_at:?} after {expected:?}");
            }
            expected = Some(captured_at + Duration::from_micros(samples_us(sound.len())));
        }
    }

    #[test]
    fn a_pause_moves_the_clock_and_an_end_ends() {
        let block = || Block::Sound(vec![0.0; 480]);
        let mut source = Paced::new(Bursty(vec![Block::End, block(), Block::Nothing, block()]));
        assert!(matches!(source.read().unwrap(), Heard::Sound { .. }));
        assert_eq!(source.read().unwrap(), Heard::Nothing);
        source.next = source.next.map(|next| next - Duration::from_secs(5));
        let before = clock::now();
        let Heard::Sound { captured_at, .. } = source.read().unwrap() else { panic!("there is one more") };
        assert!(captured_at >= before);
        assert_eq!(source.read().unwrap(), Heard::End);
    }

    #[test]
    fn a_pipe_gives_the_same_sound_as_the_file() {
        let file = File::open(fixture()).unwrap();
        let mut piped = Piped::start(file).unwrap();
        let mut sound = Vec::new();
        loop {
            match piped.next().unwrap() {
                Block::Sound(block) => sound.extend(block),
                Block::Nothing => {}
                Block::End => break,
            }
        }
        assert_eq!(sound, super::super::wav::read(&fixture()).unwrap());
        let mut broken = Piped::start(std::io::Cursor::new(b"no sound".to_vec())).unwrap();
        assert!(broken.next().is_err());
    }
}
