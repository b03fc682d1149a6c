//! Opus for browsers that have no WebCodecs: one packet in, one frame of sound out, and back, at 48 kHz and one channel.
//!
//! It is a WebAssembly module of its own, which `js/opus.js` loads where a browser lacks WebCodecs, and gives the form of WebCodecs: the
//! worker's codec (`client/web/src/worker/codec.rs`) does not know which of the two it speaks with.
#![cfg(target_arch = "wasm32")]

use ropus::{Application, Bitrate, Channels, DecodeMode, InbandFec, Signal};
use wasm_bindgen::prelude::{JsError, wasm_bindgen};

/// Samples a second.
const RATE_HZ: u32 = 48_000;
/// Samples of the longest packet, 120 ms (RFC 6716 section 2.1.4).
const FRAME_MAX: usize = 5_760;
/// Bytes of the longest packet of one frame (RFC 6716 section 3.4, requirement 2).
const PACKET_MAX: usize = 1_275;

/// Encodes one burst.
#[wasm_bindgen]
pub struct Encoder {
    inner: ropus::Encoder,
    packet: Vec<u8>,
}

#[wasm_bindgen]
impl Encoder {
    /// For speech, at so many bit/s; `complexity` 0 to 10; `loss` is what in-band FEC prepares for, percent.
    #[wasm_bindgen(constructor)]
    pub fn new(bitrate: u32, complexity: u8, loss: u8) -> Result<Encoder, JsError> {
        let inner = ropus::Encoder::builder(RATE_HZ, Channels::Mono, Application::Voip)
            .bitrate(Bitrate::try_bits(bitrate)?)
            .complexity(complexity)
            .signal(Signal::Voice)
            .packet_loss_perc(loss)
            .inband_fec(InbandFec::Enabled)
            .build()?;
        Ok(Self { inner, packet: vec![0; PACKET_MAX] })
    }

    /// The packet of one frame: 2.5, 5, 10, 20, 40 or 60 ms of sound, −1 to 1.
    pub fn encode(&mut self, sound: &[f32]) -> Result<Vec<u8>, JsError> {
        let length = self.inner.encode_float(sound, &mut self.packet)?;
        Ok(self.packet.get(..length).unwrap_or_default().to_vec())
    }
}

/// Decodes one burst.
#[wasm_bindgen]
pub struct Decoder {
    inner: ropus::Decoder,
    sound: Vec<f32>,
}

#[wasm_bindgen]
impl Decoder {
    /// A decoder that has heard nothing yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Result<Decoder, JsError> {
        Ok(Self { inner: ropus::Decoder::new(RATE_HZ, Channels::Mono)?, sound: vec![0.0; FRAME_MAX] })
    }

    /// The sound of a packet. One that is nothing but its first byte stands for a frame that is missing: it is concealed.
    pub fn decode(&mut self, packet: &[u8]) -> Result<Vec<f32>, JsError> {
        let length = self.inner.decode_float(packet, &mut self.sound, DecodeMode::Normal)?;
        Ok(self.sound.get(..length).unwrap_or_default().to_vec())
    }
}
