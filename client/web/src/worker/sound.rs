//! The sound port of the engine: codec here, samples over the ports to the sound thread (`js/sound.js`).

use core::cell::{Cell, RefCell};
use core::time::Duration;
use holler_core::sorted;
use std::collections::VecDeque;
use std::rc::{Rc, Weak};

use holler_core::engine::jitter::{BRIDGE, Stretch, Stretcher};
use holler_core::engine::replay::Wave;
use holler_core::engine::{Input, Pull};
use holler_core::model::BurstHeader;
use holler_core::units::{BurstId, FrameMs, FrameNo, RoomId, UserId};
use js_sys::{Array, Float32Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use web_sys::{MessageEvent, MessagePort};

use super::Shell;
use super::capture::Capturing;
use super::clock::{self, Timer};
use super::codec::{Decoder, RATE_HZ, words};
use super::gauge::Gauge;
use super::replay::Replay;
use crate::message::{ToPage, Trial};
use crate::volumes::Volumes;

/// Opus looks ahead by 6.5 ms at 48 kHz: a packet's sound is heard that much after its first sample.
const OPUS_LOOKAHEAD: Duration = Duration::from_micros(6_500);
/// Frames between two levels that are told: 15 a second.
const LEVEL_EVERY: u32 = 3;

/// How often it is told where in a burst of the past one is, ms of the burst.
const POSITION_EVERY_MS: u32 = 200;
/// The ports to the sound thread, and what goes on at them.
pub(super) struct Sound {
    pub(super) shell: Weak<Shell>,
    pub(super) ports: RefCell<Option<Ports>>,
    pub(super) input_latency: Cell<Duration>,
    output_latency: Cell<Duration>,
    pub(super) capture: RefCell<Option<Capturing>>,
    /// Bursts whose last frames the encoder has.
    pub(super) encoding: Cell<u8>,
    /// Ends a trial of the microphone.
    pub(super) trial: Timer,
    pub(super) gauge: Gauge,
    /// The next look of a page that watches.
    pub(super) look: Timer,
    volumes: RefCell<Volumes>,
    /// Runs while the first block is awaited.
    pub(super) too_late: Timer,
    /// The burst that begins once the sound thread gave the rest of the one before: what it gives does not say whose it is.
    pub(super) next: RefCell<Option<BurstHeader>>,
    /// Runs while one waits.
    pub(super) rest: Timer,
    pub(super) playback: RefCell<Option<Playing>>,
    /// Asked for by the sound thread and not given yet, with what it still had when it asked.
    wanted: Cell<Option<Duration>>,
    again: Timer,
    levels: Cell<u32>,
    pub(super) waves: RefCell<VecDeque<(BurstId, Wave)>>,
}

pub(super) struct Ports {
    capture: MessagePort,
    playback: MessagePort,
    _listeners: [Closure<dyn FnMut(MessageEvent)>; 2],
}

/// What is played that is not live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Past {
    /// A burst of a room.
    Room(RoomId),
    /// One that waits here.
    Own,
    /// A trial of the microphone.
    Trial,
}

/// Where a playback's frames come from.
pub(super) enum Source {
    /// The engine; in this room, from this person.
    Live {
        /// Where.
        room: RoomId,
        /// Who.
        user: UserId,
    },
    /// What was said before.
    Past(Replay),
}

pub(super) struct Playing {
    pub(super) burst: BurstId,
    pub(super) source: Source,
    decoder: Decoder,
    stretcher: Stretcher,
    /// The share of its loudness with which it is heard.
    gain: f32,
    /// What the decoder has: the frame, the advice, and how many of its samples count.
    decoding: VecDeque<(Option<FrameNo>, Stretch, Option<usize>)>,
}

impl Playing {
    pub(super) fn is_trial(&self) -> bool {
        matches!(&self.source, Source::Past(Replay { of: Past::Trial, .. }))
    }
}

impl Sound {
    pub(super) fn new(shell: &Weak<Shell>) -> Self {
        let timer = |run: fn(&Self)| {
            let shell = shell.clone();
            Timer::new(move || {
                if let Some(shell) = shell.upgrade() {
                    run(&shell.sound);
                }
            })
        };
        Self {
            shell: shell.clone(),
            ports: RefCell::default(),
            input_latency: Cell::default(),
            output_latency: Cell::default(),
            capture: RefCell::default(),
            encoding: Cell::default(),
            trial: timer(Self::trial_recorded),
            gauge: Gauge::default(),
            look: timer(Self::tell_quality),
            volumes: RefCell::default(),
            too_late: timer(|sound| sound.no_microphone("late")),
            next: RefCell::default(),
            rest: timer(Self::rest_is_late),
            playback: RefCell::default(),
            wanted: Cell::new(None),
            again: timer(Self::feed),
            levels: Cell::new(0),
            waves: RefCell::default(),
        }
    }

    /// The page made the sound context: capture and playback go over these ports from now on.
    pub(super) fn connect(&self, capture: MessagePort, playback: MessagePort) {
        let listener = |run: fn(&Self, JsValue)| {
            let shell = self.shell.clone();
            Closure::new(move |event: MessageEvent| {
                if let Some(shell) = shell.upgrade() {
                    run(&shell.sound, event.data());
                }
            })
        };
        let listeners = [listener(Self::captured), listener(|sound, data| sound.asked(&data))];
        capture.set_onmessage(Some(listeners[0].as_ref().unchecked_ref()));
        playback.set_onmessage(Some(listeners[1].as_ref().unchecked_ref()));
        *self.ports.borrow_mut() = Some(Ports { capture, playback, _listeners: listeners });
        // A press or a burst that came before.
        let samples = self.capture.borrow().as_ref().map(|capturing| capturing.encoder.samples());
        if let Some(samples) = samples {
            self.record(samples);
        }
        if self.playback.borrow().is_some() {
            self.tell(false, &"begin".into());
        }
    }

    /// How long a sample takes from the air to the sound thread.
    pub(super) fn set_input_latency(&self, latency: Duration) {
        self.input_latency.set(latency);
    }

    /// How long a sample takes from the sound thread to the air.
    pub(super) fn set_output_latency(&self, latency: Duration) {
        self.output_latency.set(latency);
    }

    /// How loud rooms and people are from now on, percent.
    pub(super) fn set_volumes(&self, rooms: sorted::Map<RoomId, u8>, people: sorted::Map<UserId, u8>) {
        let volumes = Volumes::new(rooms, people);
        if let Some(playing) = self.playback.borrow_mut().as_mut()
            && let Source::Live { room, user } = playing.source
        {
            playing.gain = volumes.gain(room, user);
        }
        *self.volumes.borrow_mut() = volumes;
    }

    pub(super) fn tell(&self, to_capture: bool, message: &JsValue) {
        if let Some(ports) = self.ports.borrow().as_ref() {
            let port = if to_capture { &ports.capture } else { &ports.playback };
            // A port that takes nothing is one whose page is gone.
            let _ = port.post_message(message);
        }
    }

    pub(super) fn input(&self, input: Input) {
        if let Some(shell) = self.shell.upgrade() {
            shell.input(input);
        }
    }

    pub(super) fn level(&self, sound: &[f32]) {
        let count = self.levels.get().wrapping_add(1);
        self.levels.set(count);
        if count.is_multiple_of(LEVEL_EVERY)
            && let Some(shell) = self.shell.upgrade()
        {
            shell.tell(&ToPage::Level(level(sound)));
        }
    }
}

/// Playback.
impl Sound {
    /// Begins to play a live burst; a replay gives way.
    pub(super) fn start_playback(&self, burst: BurstId, frame: FrameMs, room: RoomId, user: UserId) {
        let gain = self.volumes.borrow().gain(room, user);
        self.play(burst, frame, gain, Source::Live { room, user });
    }

    pub(super) fn play(&self, burst: BurstId, frame: FrameMs, gain: f32, source: Source) {
        let of_room = matches!(&source, Source::Past(Replay { of: Past::Room(_) | Past::Own, .. }));
        let before = self.playback.borrow().as_ref().is_some_and(Playing::is_trial);
        if matches!(&source, Source::Past(Replay { of: Past::Trial, .. })) {
            self.tried(Trial::Playing);
        } else if before {
            self.tried(Trial::Over);
        }
        self.replayed(of_room.then_some(burst));
        let shell = self.shell.clone();
        let sound: Rc<dyn Fn(Vec<f32>)> = Rc::new(move |sound| {
            if let Some(shell) = shell.upgrade() {
                shell.sound.decoded(burst, sound);
            }
        });
        let shell = self.shell.clone();
        let fault = move |detail: String| {
            if let Some(shell) = shell.upgrade() {
                shell.sound.playback_failed(burst, format!("the browser can't decode: {detail}"));
            }
        };
        match Decoder::new(frame, sound, fault) {
            Ok(decoder) => {
                let stretcher = Stretcher::default();
                let playing = Playing { burst, source, decoder, stretcher, gain, decoding: VecDeque::new() };
                *self.playback.borrow_mut() = Some(playing);
                self.wanted.set(None);
                self.tell(false, &"begin".into());
            }
            Err(error) => {
                let detail = format!("this browser has no Opus decoder (WebCodecs): {}", words(&error));
                self.input(Input::PlaybackFailed { burst, detail });
            }
        }
    }

    /// Stops playing a burst at once.
    pub(super) fn stop_playback(&self, burst: BurstId) {
        if self.playback.borrow_mut().take_if(|playing| playing.burst == burst).is_some() {
            self.wanted.set(None);
            self.tell(false, &"stop".into());
            self.tell_wave(burst);
        }
    }

    fn playback_failed(&self, burst: BurstId, detail: String) {
        self.stop_playback(burst);
        self.input(Input::PlaybackFailed { burst, detail });
    }

    /// Tells whether a burst of the past plays.
    pub(super) fn replayed(&self, burst: Option<BurstId>) {
        let is_past =
            |playing: &Playing| matches!(&playing.source, Source::Past(Replay { of: Past::Room(_) | Past::Own, .. }));
        let before = self.playback.borrow().as_ref().is_some_and(is_past);
        if (before || burst.is_some())
            && let Some(shell) = self.shell.upgrade()
        {
            shell.tell(&ToPage::Replaying(burst));
        }
    }

    /// The sound thread wants the next frame, having so many samples left; −1: it has played everything.
    fn asked(&self, data: &JsValue) {
        let queued = data.as_f64().unwrap_or(-1.0);
        if queued < 0.0 {
            return;
        }
        self.wanted.set(Some(Duration::from_secs_f64(queued / f64::from(RATE_HZ))));
        self.feed();
    }

    /// Gives the sound thread what it waits for, if there is something.
    pub(super) fn feed(&self) {
        self.again.set(None);
        if self.wanted.get().is_none() {
            return;
        }
        let (burst, live) = {
            let playing = self.playback.borrow();
            // What the decoder has not given back yet is what was asked for.
            let Some(playing) = playing.as_ref().filter(|playing| playing.decoding.is_empty()) else { return };
            (playing.burst, matches!(playing.source, Source::Live { .. }))
        };
        let pull = if live {
            let Some(shell) = self.shell.upgrade() else { return };
            shell.pull(burst)
        } else if let Some(rest) = self.rest_of_past() {
            return self.post(None, burst, &rest);
        } else {
            self.pull_past()
        };
        if pull == Pull::End {
            self.playback.borrow_mut().take_if(|playing| playing.burst == burst);
            self.wanted.set(None);
            self.tell_wave(burst);
            self.tell(false, &"end".into());
            return self.tell_quality();
        }
        let mut playing = self.playback.borrow_mut();
        // Pulling may have ended it.
        let Some(playing) = playing.as_mut().filter(|playing| playing.burst == burst) else { return };
        let bridge = usize::try_from(BRIDGE.as_millis()).unwrap_or(10) * 48;
        let fed = match pull {
            Pull::Wait { until } => {
                let now = clock::now();
                self.again.set(until.map(|until| until.since(now)));
                return self.tell(false, &"wait".into());
            }
            Pull::End => return,
            Pull::Frame { number, payload, stretch } => {
                playing.decoding.push_back((Some(number), stretch, None));
                playing.decoder.decode(&payload).map(|()| true)
            }
            // WebCodecs gives no access to the redundancy in later frames.
            Pull::Recover { lost, .. } | Pull::Conceal { lost } => {
                playing.decoding.push_back((Some(lost), Stretch::None, None));
                playing.decoder.conceal()
            }
            Pull::Bridge => {
                playing.decoding.push_back((None, Stretch::None, Some(bridge)));
                playing.decoder.conceal()
            }
        };
        match fed {
            Ok(true) => {}
            Ok(false) => {
                // Nothing came before what is to be concealed: silence.
                let (number, ..) = playing.decoding.pop_front().unwrap_or((None, Stretch::None, None));
                let length = if number.is_some() { usize::from(20_u8) * 48 } else { bridge };
                self.post(number, burst, &vec![0.0; length]);
            }
            Err(error) => {
                let detail = format!("the browser can't decode: {}", words(&error));
                // Once no borrow is held.
                let shell = self.shell.clone();
                wasm_bindgen_futures::spawn_local(async move {
                    if let Some(shell) = shell.upgrade() {
                        shell.sound.playback_failed(burst, detail);
                    }
                });
            }
        }
    }

    fn decoded(&self, burst: BurstId, mut sound: Vec<f32>) {
        let (number, position) = {
            let mut playing = self.playback.borrow_mut();
            let Some(playing) = playing.as_mut().filter(|playing| playing.burst == burst) else { return };
            let Some((number, advice, most)) = playing.decoding.pop_front() else { return };
            match &mut playing.source {
                Source::Live { .. } => {
                    if let Some(number) = number {
                        self.note_wave(burst, number.0, &sound);
                    }
                    if let Some(most) = most {
                        sound.truncate(most);
                    }
                    playing.stretcher.apply(advice, &mut sound);
                    if playing.gain != 1.0 {
                        sound.iter_mut().for_each(|sample| *sample = (*sample * playing.gain).clamp(-1.0, 1.0));
                    }
                    (number, None)
                }
                Source::Past(past) => {
                    // One frame at a time is with the decoder: it is the last that went there.
                    self.note_wave(burst, u16::try_from(past.next).unwrap_or(0), &sound);
                    sound = past.decoded(&sound);
                    let at = past.at_ms();
                    let told = past.of != Past::Trial && at.is_multiple_of(POSITION_EVERY_MS);
                    (number, told.then_some(at))
                }
            }
        };
        if let (Some(at), Some(shell)) = (position, self.shell.upgrade()) {
            shell.tell(&ToPage::Position(at));
            self.tell_wave(burst);
        }
        if sound.is_empty() {
            // Held back, or before where one wants to hear it from: what was asked for is still to be given.
            return self.feed();
        }
        self.post(number, burst, &sound);
    }

    fn post(&self, number: Option<FrameNo>, burst: BurstId, sound: &[f32]) {
        let queued = self.wanted.take().unwrap_or_default();
        let samples = Float32Array::from(sound);
        if let Some(ports) = self.ports.borrow().as_ref() {
            // A port that takes nothing is one whose page is gone.
            let _ = ports.playback.post_message_with_transferable(&samples, &Array::of1(&samples.buffer()));
        }
        self.level(sound);
        if let Some(number) = number.filter(|number| number.0 > 0) {
            let heard_at = clock::now() + queued + self.output_latency.get() + OPUS_LOOKAHEAD;
            self.input(Input::Played { burst, number, heard_at });
        }
    }
}

/// How loud it sounds, 0 to 1: the root mean square in decibels, from −60 dB to −6 dB of full scale.
fn level(sound: &[f32]) -> f32 {
    let power = sound.iter().map(|sample| sample * sample).sum::<f32>() / sound.len().max(1) as f32;
    ((10.0 * power.max(1e-9).log10() + 60.0) / 54.0).clamp(0.0, 1.0)
}
