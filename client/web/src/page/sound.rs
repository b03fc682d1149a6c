//! The sound context with its two ends in the sound thread, the microphone, and tones.

use core::cell::{Cell, RefCell};
use std::rc::Rc;

use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::{JsFuture, spawn_local};
use web_sys::{
    AudioContext, AudioContextOptions, AudioContextState, AudioWorkletNode, AudioWorkletNodeOptions, MediaStream,
    MediaStreamAudioSourceNode, MediaStreamConstraints, MediaStreamTrack, MessageChannel,
};

use super::Engine;
use crate::message::ToWorker;

/// Samples a second.
const RATE_HZ: f32 = 48_000.0;
/// How long an open microphone outlives the last press: long enough that a conversation need not wait for it again, short enough
/// that nobody wonders why the browser still shows it.
const MICROPHONE_KEPT_MS: i32 = 120_000;
/// The same where the person wants it ready while a room is open: counted from the last press, or from when the room, or the
/// talk button in it, was last gone to.
const MICROPHONE_READY_MS: i32 = 600_000;
/// How loud tones are, of full scale.
const TONE_GAIN: f32 = 0.12;

/// Whether there is a microphone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Microphone {
    /// Not opened: the first press does it.
    Off,
    /// The browser is asking the person, or starting it.
    Asking,
    /// Open.
    On,
    /// Not to be had: why, by a name that the screens have words for.
    Failed(String),
}

/// What a press of the button led to, for the ear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// Speak now.
    Grant,
    /// The floor is free again.
    Release,
    /// Somebody else talks, or it was refused.
    Denied,
    /// The talk limit is near.
    Warning,
    /// Somebody else talks: one's turn comes.
    Busy,
    /// Something was said that was not played.
    Missed,
    /// Somebody's emergency is on.
    Alarm,
}

impl Tone {
    /// Frequency in Hz, beginning and length in s.
    const fn notes(self) -> &'static [(f32, f64, f64)] {
        match self {
            Self::Grant => &[(660.0, 0.0, 0.06), (990.0, 0.07, 0.08)],
            Self::Release => &[(520.0, 0.0, 0.07)],
            Self::Denied => &[(220.0, 0.0, 0.12), (220.0, 0.18, 0.12)],
            Self::Warning => &[(880.0, 0.0, 0.05), (880.0, 0.1, 0.05)],
            Self::Busy => &[(330.0, 0.0, 0.08), (330.0, 0.12, 0.08), (330.0, 0.24, 0.08)],
            Self::Missed => &[(520.0, 0.0, 0.06), (390.0, 0.08, 0.1)],
            Self::Alarm => &[
                (880.0, 0.0, 0.14),
                (1_320.0, 0.16, 0.14),
                (880.0, 0.32, 0.14),
                (1_320.0, 0.48, 0.14),
                (880.0, 0.64, 0.14),
                (1_320.0, 0.8, 0.14),
            ],
        }
    }
}

/// What a person chose for the microphone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Which, by the browser's name for it; `None`: the system's.
    pub microphone: Option<String>,
    /// The loudspeaker's sound is taken out of it.
    pub echo: bool,
    /// Steady noise is taken out of it.
    pub noise: bool,
    /// It is opened ahead of a press while a room is open.
    pub ready: bool,
}

/// The page's sound.
pub struct Sound {
    engine: Rc<Engine>,
    base: String,
    context: RefCell<Option<AudioContext>>,
    capture: RefCell<Option<AudioWorkletNode>>,
    stream: RefCell<Option<MediaStream>>,
    /// What leads from the microphone to the sound thread.
    source: RefCell<Option<MediaStreamAudioSourceNode>>,
    choice: RefCell<Choice>,
    asking: Cell<bool>,
    held: Cell<bool>,
    let_go: Cell<Option<i32>>,
    told: Box<dyn Fn(Microphone)>,
    /// Whether sound can be heard.
    audible: Box<dyn Fn(bool)>,
    listeners: RefCell<Vec<Closure<dyn FnMut()>>>,
}

impl Sound {
    /// A page without sound yet. `told` hears of the microphone, `audible` whether the browser lets the page sound.
    pub fn new(
        engine: Rc<Engine>,
        base: &str,
        told: impl Fn(Microphone) + 'static,
        audible: impl Fn(bool) + 'static,
    ) -> Rc<Self> {
        Rc::new(Self {
            engine,
            base: base.to_owned(),
            context: RefCell::default(),
            capture: RefCell::default(),
            stream: RefCell::default(),
            source: RefCell::default(),
            choice: RefCell::new(Choice { microphone: None, echo: true, noise: true, ready: false }),
            asking: Cell::new(false),
            held: Cell::new(false),
            let_go: Cell::default(),
            told: Box::new(told),
            audible: Box::new(audible),
            listeners: RefCell::default(),
        })
    }

    /// Runs this whenever a microphone or loudspeaker is plugged in or out, as long as the page lives.
    pub fn on_devices(run: impl FnMut() + 'static) {
        // A page that may not use devices hears of none.
        if let Some(Ok(devices)) = web_sys::window().map(|window| window.navigator().media_devices()) {
            let run = Closure::<dyn FnMut()>::new(run);
            // Anything that tells of events takes any listener.
            let _ = devices.add_event_listener_with_callback("devicechange", run.as_ref().unchecked_ref());
            run.forget();
        }
    }

    /// Makes the sound context where there is none, and wakes it: browsers keep it silent until a person touched the page.
    pub fn wake(self: &Rc<Self>) {
        if let Some(context) = self.context.borrow().as_ref() {
            if context.state() != AudioContextState::Running {
                // Refused without a gesture; the next one tries again.
                let _ = context.resume();
            }
            return;
        }
        let this = Rc::clone(self);
        spawn_local(async move {
            if this.make().await.is_err() {
                // The next touch tries again.
                this.context.take();
                (this.audible)(false);
            }
        });
    }

    async fn make(self: &Rc<Self>) -> Result<(), JsValue> {
        let options = AudioContextOptions::new();
        options.set_latency_hint_f64(0.0);
        options.set_sample_rate(RATE_HZ);
        let context = AudioContext::new_with_context_options(&options)?;
        *self.context.borrow_mut() = Some(context.clone());
        let this = Rc::downgrade(self);
        let changed = Closure::<dyn FnMut()>::new(move || {
            if let Some(this) = this.upgrade() {
                this.changed();
            }
        });
        context.set_onstatechange(Some(changed.as_ref().unchecked_ref()));
        self.listeners.borrow_mut().push(changed);
        JsFuture::from(context.audio_worklet()?.add_module(&format!("{}sound.js", self.base))?).await?;
        let node = |name: &str, inputs: u32, outputs: u32| {
            let options = AudioWorkletNodeOptions::new();
            options.set_number_of_inputs(inputs);
            options.set_number_of_outputs(outputs);
            if outputs > 0 {
                options.set_output_channel_count(&Array::of1(&1.into()));
            } else {
                options.set_channel_count(1);
                options.set_channel_count_mode(web_sys::ChannelCountMode::Explicit);
            }
            let node = AudioWorkletNode::new_with_options(&context, name, &options)?;
            let channel = MessageChannel::new()?;
            let port = channel.port1();
            node.port()?.post_message_with_transferable(&port, &Array::of1(&port))?;
            Ok::<_, JsValue>((node, channel.port2()))
        };
        let (capture, from_capture) = node("holler-capture", 1, 0)?;
        let (playback, to_playback) = node("holler-playback", 0, 1)?;
        playback.connect_with_audio_node(&context.destination())?;
        *self.capture.borrow_mut() = Some(capture);
        self.engine.tell_with(&ToWorker::Sound, &Array::of2(&from_capture, &to_playback));
        self.attach()?;
        self.changed();
        Ok(())
    }

    fn changed(&self) {
        let context = self.context.borrow();
        let Some(context) = context.as_ref() else { return };
        let running = context.state() == AudioContextState::Running;
        (self.audible)(running);
        if running {
            let field =
                |name: &str| Reflect::get(context, &name.into()).ok().and_then(|value| value.as_f64()).unwrap_or(0.0);
            self.engine.tell(&ToWorker::OutputLatency(micros(field("baseLatency") + field("outputLatency"))));
        }
    }

    /// The talk button goes down: the microphone is opened where it is not, and stays open.
    pub fn press(self: &Rc<Self>) {
        self.wake();
        self.held.set(true);
        self.keep();
        if self.stream.borrow().is_none() {
            self.begin_to_open(false);
        }
    }

    /// A room is open: the microphone is opened ahead of the first press, where the person wants it so and has allowed it before.
    /// Nobody is asked anything, and nothing is recorded: the sound thread drops what comes until a burst begins.
    pub fn get_ready(self: &Rc<Self>) {
        if !self.choice.borrow().ready {
            return;
        }
        if self.stream.borrow().is_some() {
            return self.keep();
        }
        let this = Rc::clone(self);
        spawn_local(async move {
            if is_allowed().await && this.stream.borrow().is_none() {
                this.begin_to_open(false);
            }
        });
    }

    /// Opens it where nothing else does; `lost`: in place of one that went while the button was held.
    fn begin_to_open(self: &Rc<Self>, lost: bool) {
        if self.asking.replace(true) {
            return;
        }
        (self.told)(Microphone::Asking);
        let this = Rc::clone(self);
        spawn_local(async move {
            let opened = this.open().await;
            this.asking.set(false);
            match opened {
                Ok(()) => (this.told)(Microphone::On),
                Err(_) if lost => this.failed("lost"),
                Err(error) => this.failed(&why(&error)),
            }
        });
    }

    async fn open(self: &Rc<Self>) -> Result<(), JsValue> {
        let window = web_sys::window().ok_or("no window")?;
        let (wanted, choice) = (Object::new(), self.choice.borrow().clone());
        for (name, value) in [
            ("channelCount", JsValue::from(1)),
            ("echoCancellation", choice.echo.into()),
            ("noiseSuppression", choice.noise.into()),
            ("autoGainControl", true.into()),
            ("latency", 0.into()),
        ] {
            Reflect::set(&wanted, &name.into(), &value)?;
        }
        if let Some(microphone) = choice.microphone {
            // One that is gone gives way to the system's choice.
            Reflect::set(&wanted, &"deviceId".into(), &microphone.into())?;
        }
        let constraints = MediaStreamConstraints::new();
        constraints.set_audio(&wanted);
        let asked = window.navigator().media_devices()?.get_user_media_with_constraints(&constraints)?;
        let stream: MediaStream = JsFuture::from(asked).await?.dyn_into()?;
        let track: MediaStreamTrack = stream.get_audio_tracks().get(0).dyn_into()?;
        let this = Rc::downgrade(self);
        let ended = Closure::once_into_js(move || {
            if let Some(this) = this.upgrade() {
                this.lost();
            }
        });
        track.set_onended(Some(ended.unchecked_ref()));
        let latency = Reflect::get(&track.get_settings(), &"latency".into())?.as_f64().unwrap_or(0.0);
        self.engine.tell(&ToWorker::Microphone { latency_us: micros(latency) });
        *self.stream.borrow_mut() = Some(stream);
        self.attach()?;
        self.keep();
        Ok(())
    }

    /// Connects the microphone with the sound thread, once both are there.
    fn attach(&self) -> Result<(), JsValue> {
        let (context, capture, stream) = (self.context.borrow(), self.capture.borrow(), self.stream.borrow());
        if let (Some(context), Some(capture), Some(stream)) = (context.as_ref(), capture.as_ref(), stream.as_ref()) {
            let source = context.create_media_stream_source(stream)?;
            if let Some(before) = self.source.replace(Some(source.clone())) {
                // One that leads nowhere any more is what is wanted.
                let _ = before.disconnect();
            }
            source.connect_with_audio_node(capture)?;
        }
        Ok(())
    }

    /// The microphone was unplugged or taken away. While the button is held another one is taken, where there is one: what is
    /// being said goes on after a gap.
    fn lost(self: &Rc<Self>) {
        self.stream.take();
        if !self.held.get() {
            return (self.told)(Microphone::Off);
        }
        self.begin_to_open(true);
    }

    fn failed(&self, why: &str) {
        self.engine.tell(&ToWorker::NoMicrophone { why: why.to_owned() });
        (self.told)(Microphone::Failed(why.to_owned()));
    }

    /// The talk button comes up: the microphone stays open for a while.
    pub fn release(self: &Rc<Self>) {
        self.held.set(false);
        self.keep();
    }

    /// Sets when the microphone is let go: a while from now, and not at all while the button is held.
    fn keep(self: &Rc<Self>) {
        let Some(window) = web_sys::window() else { return };
        if let Some(before) = self.let_go.take() {
            window.clear_timeout_with_handle(before);
        }
        if self.held.get() {
            return;
        }
        let this = Rc::downgrade(self);
        let close = Closure::once_into_js(move || {
            if let Some(this) = this.upgrade() {
                this.close();
            }
        });
        let kept = if self.choice.borrow().ready { MICROPHONE_READY_MS } else { MICROPHONE_KEPT_MS };
        let set = window.set_timeout_with_callback_and_timeout_and_arguments_0(close.unchecked_ref(), kept);
        self.let_go.set(set.ok());
    }

    /// Goes by another choice from the next press on.
    pub fn choose(&self, choice: &Choice) {
        if self.choice.replace(choice.clone()) != *choice && !self.held.get() {
            // Where it is to be ready, it is opened anew when the room, or the talk button, is gone to.
            self.close();
        }
    }

    /// The microphones: the browser's name and people's name for each. Without names before the person allowed one.
    pub async fn microphones() -> Result<Vec<(String, String)>, JsValue> {
        let devices = web_sys::window().ok_or("no window")?.navigator().media_devices()?.enumerate_devices()?;
        let devices: Array = JsFuture::from(devices).await?.unchecked_into();
        let text = |device: &JsValue, name: &str| {
            Reflect::get(device, &name.into()).ok().and_then(|value| value.as_string()).unwrap_or_default()
        };
        let microphones = devices.iter().filter(|device| text(device, "kind") == "audioinput");
        let named = microphones.map(|device| (text(&device, "deviceId"), text(&device, "label")));
        Ok(named.filter(|(id, label)| !id.is_empty() && !label.is_empty()).collect())
    }

    /// Lets the microphone go.
    pub fn close(&self) {
        if let Some(stream) = self.stream.take() {
            for track in stream.get_audio_tracks() {
                track.unchecked_into::<MediaStreamTrack>().stop();
            }
            (self.told)(Microphone::Off);
        }
    }

    /// Sounds a tone.
    pub fn tone(&self, tone: Tone) {
        if let Some(context) = self.context.borrow().as_ref() {
            // Without a tone the words and the colour still tell.
            let _ = sound(context, tone);
        }
    }
}

/// Whether the person allowed the microphone before (Permissions, section 6). A browser that does not tell is asked by a press.
async fn is_allowed() -> bool {
    let asked = || -> Result<Promise, JsValue> {
        let permissions = Reflect::get(&web_sys::window().ok_or("no window")?.navigator(), &"permissions".into())?;
        let query: Function = Reflect::get(&permissions, &"query".into())?.dyn_into()?;
        let wanted = Object::new();
        Reflect::set(&wanted, &"name".into(), &"microphone".into())?;
        query.call1(&permissions, &wanted)?.dyn_into()
    };
    let Ok(asked) = asked() else { return false };
    let Ok(status) = JsFuture::from(asked).await else { return false };
    Reflect::get(&status, &"state".into()).is_ok_and(|state| state == "granted")
}

fn sound(context: &AudioContext, tone: Tone) -> Result<(), JsValue> {
    for (hz, begins, length) in tone.notes() {
        let (oscillator, gain) = (context.create_oscillator()?, context.create_gain()?);
        oscillator.frequency().set_value(*hz);
        let (from, to) = (context.current_time() + begins, context.current_time() + begins + length);
        let level = gain.gain();
        // Flanks of 5 ms: without them it clicks.
        level.set_value_at_time(0.0, from)?;
        level.linear_ramp_to_value_at_time(TONE_GAIN, from + 0.005)?;
        level.set_value_at_time(TONE_GAIN, to - 0.005)?;
        level.linear_ramp_to_value_at_time(0.0, to)?;
        oscillator.connect_with_audio_node(&gain)?;
        gain.connect_with_audio_node(&context.destination())?;
        oscillator.start_with_when(from)?;
        oscillator.stop_with_when(to)?;
    }
    Ok(())
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a float saturates")]
fn micros(seconds: f64) -> u32 {
    (seconds * 1e6) as u32
}

/// Why there is no microphone: the error's name (Media Capture and Streams, section 10.2), which the screens have words for.
fn why(error: &JsValue) -> String {
    Reflect::get(error, &"name".into()).ok().and_then(|name| name.as_string()).unwrap_or_default()
}
