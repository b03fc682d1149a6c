//! Plays a burst: decoder, stretcher and sink on a thread of their own, which asks the jitter buffer for each frame.

use core::time::Duration;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use holler_core::engine::jitter::{BRIDGE, Stretch, Stretcher};
use holler_core::units::{FrameMs, FrameNo, Mono};

use super::opus::{Decoder, Recovery};
use super::sink::{Sink, SinkKind};
use super::{AudioError, RATE_HZ};
use crate::clock;

/// Longest wait before the jitter buffer is asked again, should nobody wake the thread.
const ASK_AGAIN: Duration = Duration::from_millis(5);

/// What to play next: the jitter buffer's answer with the packets that the decoder needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pull {
    /// Nothing yet: ask again when woken, or at this time.
    Wait {
        /// From `Jitter::wake`.
        until: Option<Mono>,
    },
    /// A frame.
    Frame {
        /// Its number.
        number: FrameNo,
        /// Its packet.
        packet: Bytes,
        /// From `Jitter::advice`.
        advice: Stretch,
    },
    /// A frame that never came.
    Recover {
        /// Its number.
        lost: FrameNo,
        /// How many frames later `later` is; from 1.
        before: u16,
        /// The packet that may hold it.
        later: Bytes,
    },
    /// A frame that never came, and nothing that holds it.
    Conceal(FrameNo),
    /// Nothing at hand for the moment: bridge it.
    Bridge,
    /// Everything was played.
    End,
}

/// How a frame was played.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As it came.
    Whole,
    /// From in-band FEC.
    Fec,
    /// From DRED.
    Dred,
    /// Concealed, or its packet was damaged.
    Concealed,
}

/// What a playback tells.
#[derive(Debug)]
pub enum Played {
    /// A frame has been handed to the sink.
    Frame {
        /// Its number.
        number: FrameNo,
        /// When its first sample is heard. The codec's lookahead of 6.5 ms comes on top: that much later the sound itself is.
        heard_at: Mono,
        /// How.
        how: How,
    },
    /// It is over.
    Ended {
        /// Why, where it did not end by itself or as asked.
        fault: Option<AudioError>,
    },
}

/// A running playback. Dropped, it stops.
#[derive(Debug)]
pub struct Playback {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Playback {
    /// Opens a sink and plays what `pull` gives. Both `pull` and `report` are called on the playback's thread.
    pub fn start(
        sink: SinkKind,
        frame: FrameMs,
        mut pull: impl FnMut(Mono) -> Pull + Send + 'static,
        mut report: impl FnMut(Played) + Send + 'static,
    ) -> Result<Self, AudioError> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let run = move || {
            let fault = sink.open().and_then(|sink| play(sink, frame, &stopped, &mut pull, &mut report)).err();
            report(Played::Ended { fault });
        };
        let thread =
            std::thread::Builder::new().name("holler-playback".into()).spawn(run).map_err(AudioError::Thread)?;
        Ok(Self { stop, thread })
    }

    /// A frame arrived, or the burst ended: asks the jitter buffer at once if nothing is playing.
    pub fn wake(&self) {
        self.thread.thread().unpark();
    }

    /// Stops at once; what is in the sink is still heard.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.wake();
    }
}

impl Drop for Playback {
    fn drop(&mut self) {
        self.stop();
    }
}

fn play(
    mut sink: Box<dyn Sink>,
    frame: FrameMs,
    stopped: &AtomicBool,
    pull: &mut impl FnMut(Mono) -> Pull,
    report: &mut impl FnMut(Played),
) -> Result<(), AudioError> {
    let mut decoder = Decoder::new(frame)?;
    let mut stretcher = Stretcher::default();
    let frame_samples = frame.samples(RATE_HZ);
    while !stopped.load(Ordering::Acquire) {
        let (number, how, mut sound, advice) = match pull(clock::now()) {
            Pull::Wait { until } => {
                std::thread::park_timeout(until.map_or(ASK_AGAIN, |until| clock::until(until).min(ASK_AGAIN)));
                continue;
            }
            Pull::Frame { number, packet, advice } => match decoder.decode(&packet) {
                Ok(sound) => (Some(number), How::Whole, sound, advice),
                Err(_) => (Some(number), How::Concealed, decoder.conceal(frame_samples)?, advice),
            },
            Pull::Recover { lost, before, later } => match decoder.recover(&later, before) {
                Ok((sound, recovery)) => (Some(lost), how(recovery), sound, Stretch::None),
                Err(_) => (Some(lost), How::Concealed, decoder.conceal(frame_samples)?, Stretch::None),
            },
            Pull::Conceal(number) => (Some(number), How::Concealed, decoder.conceal(frame_samples)?, Stretch::None),
            Pull::Bridge => {
                let samples = usize::try_from(BRIDGE.as_millis()).unwrap_or(10) * 48;
                (None, How::Concealed, decoder.conceal(samples)?, Stretch::None)
            }
            Pull::End => break,
        };
        stretcher.apply(advice, &mut sound);
        let heard_at = sink.play(&sound)?;
        if let Some(number) = number {
            report(Played::Frame { number, heard_at, how });
        }
    }
    sink.finish()
}

fn how(recovery: Recovery) -> How {
    match recovery {
        Recovery::Fec => How::Fec,
        Recovery::Dred => How::Dred,
        Recovery::Concealed => How::Concealed,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Mutex;
    use std::sync::mpsc::channel;

    use holler_core::engine::jitter::{Entry, History, Jitter, Playout};

    use super::super::capture::{Capture, Captured};
    use super::super::opus::EncoderSettings;
    use super::super::source::SourceKind;
    use super::super::{render, wav};
    use super::*;

    fn fixture() -> std::path::PathBuf {
        concat!(env!("CARGO_MANIFEST_DIR"), "/../../lab/fixtures/speech-b.wav").into()
    }

    fn pull(jitter: &mut Jitter, packets: &BTreeMap<FrameNo, Bytes>, now: Mono) -> Pull {
        match jitter.tick(now) {
            Playout::Wait => Pull::Wait { until: jitter.wake() },
            Playout::Frame(number) => Pull::Frame { number, packet: packets[&number].clone(), advice: jitter.advice() },
            Playout::Recover { lost, from } => {
                Pull::Recover { lost, before: from.0 - lost.0, later: packets[&from].clone() }
            }
            Playout::Conceal(number) => Pull::Conceal(number),
            Playout::Bridge => Pull::Bridge,
            Playout::End => Pull::End,
        }
    }

    /// A file is spoken in real time and heard through the jitter buffer in the same process, without a network.
    #[test]
    fn what_is_spoken_is_heard_whole_within_the_delay_of_its_parts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("heard.wav");
        let shared = Arc::new(Mutex::new((
            Jitter::new(FrameMs::Ms20, Entry::Beginning, History::default(), 5),
            BTreeMap::new(),
        )));
        let (report, reports) = channel();
        let pulled = Arc::clone(&shared);
        let playback = Playback::start(
            SinkKind::File(path.clone()),
            FrameMs::Ms20,
            move |now| {
                let (jitter, packets) = &mut *pulled.lock().unwrap();
                pull(jitter, packets, now)
            },
            move |played| report.send(played).unwrap(),
        )
        .unwrap();
        let (emit, captures) = channel();
        let capture = Capture::start(SourceKind::File(fixture()), EncoderSettings::default(), move |captured| {
            emit.send(captured).unwrap();
        })
        .unwrap();
        let mut captured = BTreeMap::new();
        for event in &captures {
            let number = FrameNo(u16::try_from(captured.len() + 1).unwrap());
            let now = clock::now();
            let (jitter, packets) = &mut *shared.lock().unwrap();
            match event {
                Captured::Frame { captured_at, packet } => {
                    // The last frame is filled up with silence, which nobody need wait for.
                    let spoken = now >= captured_at + Duration::from_millis(20);
                    assert!(spoken || captured.len() >= 100, "a frame before it was spoken");
                    packets.insert(number, packet);
                    jitter.insert(now, number, now.since(captured_at));
                    captured.insert(number, captured_at);
                    if captured.len() == 100 {
                        capture.stop();
                    }
                }
                Captured::Ended { fault } => {
                    assert!(fault.is_none(), "{fault:?}");
                    jitter.finish(now, Some(FrameNo(number.0 - 1)));
                }
            }
            playback.wake();
        }
        let (mut heard, mut delays) = (Vec::new(), Vec::new());
        for played in &reports {
            match played {
                Played::Frame { number, heard_at, how } => {
                    assert_eq!(how, How::Whole);
                    heard.push(number);
                    delays.push(heard_at.since(captured[&number]));
                }
                Played::Ended { fault } => assert!(fault.is_none(), "{fault:?}"),
            }
        }
        assert!((100..=103).contains(&captured.len()), "stopped after {} frames", captured.len());
        assert_eq!(heard, captured.keys().copied().collect::<Vec<_>>(), "every frame once and in order");
        delays.sort_unstable();
        // Not a figure: only that nothing waits where it should not, on a machine that may be busy.
        assert!(delays[0] < Duration::from_millis(150), "{:?}", delays[0]);
        let sound = wav::read(&path).unwrap();
        assert!(sound.len() >= 95 * 960, "{} samples", sound.len());
    }

    #[test]
    fn a_burst_rendered_afterwards_has_every_frame() {
        let (emit, captures) = channel();
        let _capture = Capture::start(SourceKind::File(fixture()), EncoderSettings::default(), move |captured| {
            let _ = emit.send(captured);
        })
        .unwrap();
        let packets: Vec<Bytes> = captures
            .iter()
            .take(50)
            .filter_map(|event| match event {
                Captured::Frame { packet, .. } => Some(packet),
                Captured::Ended { .. } => None,
            })
            .collect();
        let numbered = |skip: &[usize]| -> Vec<(FrameNo, Bytes)> {
            (1..=50)
                .filter(|number| !skip.contains(number))
                .map(|number| (FrameNo(u16::try_from(number).unwrap()), packets[number - 1].clone()))
                .collect()
        };
        let whole = render::render(FrameMs::Ms20, &numbered(&[]), None).unwrap();
        assert_eq!((whole.sound.len(), whole.missing), (50 * 960, 0));
        let holes = render::render(FrameMs::Ms20, &numbered(&[1, 20, 21, 50]), Some(FrameNo(50))).unwrap();
        assert_eq!((holes.sound.len(), holes.missing), (50 * 960, 4));
    }

    #[test]
    fn a_source_that_is_not_there_ends_with_its_reason() {
        let (emit, captures) = channel();
        let source = SourceKind::File("/nonexistent/speech.wav".into());
        let _capture =
            Capture::start(source, EncoderSettings::default(), move |captured| emit.send(captured).unwrap()).unwrap();
        let Captured::Ended { fault: Some(fault) } = captures.recv().unwrap() else { panic!("no fault") };
        assert!(fault.to_string().contains("/nonexistent/speech.wav"), "{fault}");
    }
}
