//! Opus by WebCodecs: what goes in and what comes out, one frame at a time.
//!
//! WebCodecs does not conceal a frame that is missing and has no access to redundancy in later ones. But a packet of nothing but
//! its first byte says "no frame came" to Opus (RFC 6716 section 3.2.1, code 0 with no data), and the decoder conceals.

use std::rc::Rc;

use bytes::Bytes;
use holler_core::model::BurstHeader;
use holler_core::units::FrameMs;
use js_sys::{Float32Array, Object, Promise, Reflect, Uint8Array};
use wasm_bindgen::closure::Closure;
use wasm_bindgen::prelude::wasm_bindgen;
use wasm_bindgen::{JsCast as _, JsValue};
use wasm_bindgen_futures::JsFuture;

/// Samples a second: Opus and the sound context both run at it.
pub(super) const RATE_HZ: u32 = 48_000;
/// How hard the encoder thinks, 0 to 10: what libopus calls complexity. 9 costs a phone under 1 % of a core.
const COMPLEXITY: u32 = 9;
/// The loss that the encoder prepares for by in-band FEC, percent: what native listeners recover from.
const LOSS_PERCENT: u32 = 10;

#[wasm_bindgen]
extern "C" {
    type AudioEncoder;
    #[wasm_bindgen(constructor, catch)]
    fn new(init: &Object) -> Result<AudioEncoder, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn configure(this: &AudioEncoder, config: &Object) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn encode(this: &AudioEncoder, data: &AudioData) -> Result<(), JsValue>;
    #[wasm_bindgen(method)]
    fn flush(this: &AudioEncoder) -> Promise;
    #[wasm_bindgen(method, catch)]
    fn close(this: &AudioEncoder) -> Result<(), JsValue>;

    type AudioDecoder;
    #[wasm_bindgen(constructor, catch)]
    fn new(init: &Object) -> Result<AudioDecoder, JsValue>;
    #[wasm_bindgen(method, catch)]
    fn configure(this: &AudioDecoder, config: &Object) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn decode(this: &AudioDecoder, chunk: &EncodedAudioChunk) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    fn close(this: &AudioDecoder) -> Result<(), JsValue>;

    type EncodedAudioChunk;
    #[wasm_bindgen(constructor, catch)]
    fn new(init: &Object) -> Result<EncodedAudioChunk, JsValue>;
    #[wasm_bindgen(method, getter, js_name = byteLength)]
    fn byte_length(this: &EncodedAudioChunk) -> u32;
    #[wasm_bindgen(method, catch, js_name = copyTo)]
    fn copy_to(this: &EncodedAudioChunk, target: &Uint8Array) -> Result<(), JsValue>;

    type AudioData;
    #[wasm_bindgen(constructor, catch)]
    fn new(init: &Object) -> Result<AudioData, JsValue>;
    #[wasm_bindgen(method, getter, js_name = numberOfFrames)]
    fn number_of_frames(this: &AudioData) -> u32;
    #[wasm_bindgen(method, catch, js_name = copyTo)]
    fn copy_to(this: &AudioData, target: &Float32Array, options: &Object) -> Result<(), JsValue>;
    #[wasm_bindgen(method)]
    fn close(this: &AudioData);
}

/// An object of these fields.
fn object(fields: &[(&str, JsValue)]) -> Result<Object, JsValue> {
    let object = Object::new();
    for (name, value) in fields {
        Reflect::set(&object, &(*name).into(), value)?;
    }
    Ok(object)
}

/// What a browser's error says, for people.
pub(super) fn words(error: &JsValue) -> String {
    let message = Reflect::get(error, &"message".into()).ok().and_then(|message| message.as_string());
    message.or_else(|| error.as_string()).unwrap_or_else(|| "the browser gives no reason".to_owned())
}

type Callback = Closure<dyn FnMut(JsValue)>;

/// Encodes one burst.
pub(super) struct Encoder {
    inner: AudioEncoder,
    samples: usize,
    encoded: u32,
    _callbacks: [Callback; 2],
}

impl Encoder {
    /// An encoder as the burst's header says. `packet` gets every packet in order, `fault` what went wrong.
    pub(super) fn new(
        header: &BurstHeader,
        mut packet: impl FnMut(Bytes) + 'static,
        mut fault: impl FnMut(String) + 'static,
    ) -> Result<Self, JsValue> {
        let output: Callback = Closure::new(move |chunk: JsValue| {
            let chunk: EncodedAudioChunk = chunk.unchecked_into();
            let bytes = Uint8Array::new_with_length(chunk.byte_length());
            if chunk.copy_to(&bytes).is_ok() {
                packet(Bytes::from(bytes.to_vec()));
            }
        });
        let error: Callback = Closure::new(move |error: JsValue| fault(words(&error)));
        let inner =
            AudioEncoder::new(&object(&[("output", output.as_ref().clone()), ("error", error.as_ref().clone())])?)?;
        let opus = object(&[
            ("application", "voip".into()),
            ("signal", "voice".into()),
            ("frameDuration", (u32::from(header.frame_ms.ms()) * 1_000).into()),
            ("complexity", COMPLEXITY.into()),
            ("packetlossperc", LOSS_PERCENT.into()),
            ("useinbandfec", true.into()),
        ])?;
        inner.configure(&object(&[
            ("codec", "opus".into()),
            ("sampleRate", RATE_HZ.into()),
            ("numberOfChannels", 1.into()),
            ("bitrate", header.bitrate.0.into()),
            ("opus", opus.into()),
        ])?)?;
        let samples = header.frame_ms.samples(RATE_HZ);
        Ok(Self { inner, samples, encoded: 0, _callbacks: [output, error] })
    }

    /// Samples of a frame.
    pub(super) fn samples(&self) -> usize {
        self.samples
    }

    /// Encodes one frame of sound.
    pub(super) fn encode(&mut self, sound: &[f32]) -> Result<(), JsValue> {
        // Only its order counts: timestamps skip and drift, frames are numbered by the engine.
        let at = f64::from(self.encoded) * 1e6 * sound.len() as f64 / f64::from(RATE_HZ);
        self.encoded += 1;
        let data = AudioData::new(&object(&[
            ("format", "f32-planar".into()),
            ("sampleRate", RATE_HZ.into()),
            ("numberOfChannels", 1.into()),
            ("numberOfFrames", sound.len().into()),
            ("timestamp", at.into()),
            ("data", Float32Array::from(sound).into()),
        ])?)?;
        let encoded = self.inner.encode(&data);
        data.close();
        encoded
    }

    /// Waits until every packet came.
    pub(super) fn flush(&self) -> JsFuture {
        JsFuture::from(self.inner.flush())
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // After a fault it is closed already.
        let _ = self.inner.close();
    }
}

/// Decodes one burst.
pub(super) struct Decoder {
    inner: AudioDecoder,
    frame: FrameMs,
    decoded: u32,
    /// The last packet's first byte: the mode to conceal in.
    toc: Option<u8>,
    _callbacks: [Callback; 2],
}

impl Decoder {
    /// A decoder; `sound` gets the samples of each packet in order, `fault` what went wrong.
    pub(super) fn new(
        frame: FrameMs,
        sound: Rc<dyn Fn(Vec<f32>)>,
        fault: impl Fn(String) + 'static,
    ) -> Result<Self, JsValue> {
        let output: Callback = Closure::new(move |data: JsValue| {
            let data: AudioData = data.unchecked_into();
            let samples = Float32Array::new_with_length(data.number_of_frames());
            let how = object(&[("planeIndex", 0.into()), ("format", "f32-planar".into())]);
            let copied = how.and_then(|how| data.copy_to(&samples, &how));
            data.close();
            if copied.is_ok() {
                sound(samples.to_vec());
            }
        });
        let error: Callback = Closure::new(move |error: JsValue| fault(words(&error)));
        let inner =
            AudioDecoder::new(&object(&[("output", output.as_ref().clone()), ("error", error.as_ref().clone())])?)?;
        inner.configure(&object(&[
            ("codec", "opus".into()),
            ("sampleRate", RATE_HZ.into()),
            ("numberOfChannels", 1.into()),
        ])?)?;
        Ok(Self { inner, frame, decoded: 0, toc: None, _callbacks: [output, error] })
    }

    /// Decodes a packet.
    pub(super) fn decode(&mut self, packet: &[u8]) -> Result<(), JsValue> {
        self.toc = packet.first().copied().or(self.toc);
        // An empty chunk would end the decoder for good.
        if packet.is_empty() { self.conceal().map(drop) } else { self.chunk(packet) }
    }

    /// Conceals one frame. `false`: nothing came yet that could be gone on from.
    pub(super) fn conceal(&mut self) -> Result<bool, JsValue> {
        let Some(toc) = self.toc else { return Ok(false) };
        self.chunk(&[toc & 0xFC]).map(|()| true)
    }

    fn chunk(&mut self, bytes: &[u8]) -> Result<(), JsValue> {
        let at = f64::from(self.decoded) * f64::from(self.frame.ms()) * 1_000.0;
        self.decoded += 1;
        self.inner.decode(&EncodedAudioChunk::new(&object(&[
            ("type", "key".into()),
            ("timestamp", at.into()),
            ("data", Uint8Array::from(bytes).into()),
        ])?)?)
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // After a fault it is closed already.
        let _ = self.inner.close();
    }
}
