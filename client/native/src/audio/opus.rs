//! Opus (RFC 6716) by libopus 1.6: a safe encoder and decoder for one channel of 48 kHz speech.
//!
//! All calls into C are in this file. A lost frame can come back in three ways, best first: in-band FEC (a coarse copy of the
//! frame before, in the next packet; RFC 6716 section 2.1.7), DRED (up to a second of the past as neural features, in any
//! later packet) and concealment.

#![expect(unsafe_code, reason = "libopus is C; every call is in this file, each with the reason why it is sound")]

use core::ffi::c_int;
use core::ptr::NonNull;
use core::time::Duration;

use holler_core::units::{Bitrate, FrameMs};
use holler_core::wire::limits::BURST_BITRATE;
use opusic_sys as sys;

use super::RATE_HZ;

/// Largest packet that the encoder makes, in bytes (RFC 6716 section 3.2.1).
pub const PACKET_BYTES_MAX: usize = 1_275;
/// Longest DRED history, 1 s: what libopus can decode of it.
pub const DRED_MAX: Duration = Duration::from_secs(1);
/// Longest frame that the decoder gives, in samples: 60 ms.
const FRAME_SAMPLES_MAX: usize = 2_880;
/// Decoder complexity from which libopus conceals with its neural model; DRED needs it.
const DECODER_COMPLEXITY: c_int = 5;
const RATE: sys::opus_int32 = 48_000;
const _: () = assert!(RATE.unsigned_abs() == RATE_HZ);

/// Why libopus did not do something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpusError {
    /// libopus refused; the packet is damaged, or this is a mistake of ours.
    #[error("libopus: {} ({code}) while {doing}", text(*code))]
    Library {
        /// What was asked of it.
        doing: &'static str,
        /// Its error code, below zero.
        code: i32,
    },
    /// Sound of another length than a frame.
    #[error("expected a frame of {expected} samples; found {found}")]
    Length {
        /// Samples of one frame.
        expected: usize,
        /// Samples found.
        found: usize,
    },
    /// A setting outside its range.
    #[error("{what}: expected {expected}; found {found}")]
    Setting {
        /// Which setting.
        what: &'static str,
        /// Its range and unit.
        expected: &'static str,
        /// What was asked for.
        found: u32,
    },
    /// A packet of zero bytes, or of more than 1,275.
    #[error("an Opus packet has 1 to {PACKET_BYTES_MAX} bytes; found {0}")]
    Packet(usize),
}

fn text(code: i32) -> &'static str {
    match code {
        sys::OPUS_BAD_ARG => "invalid argument",
        sys::OPUS_BUFFER_TOO_SMALL => "buffer too small",
        sys::OPUS_INTERNAL_ERROR => "internal error",
        sys::OPUS_INVALID_PACKET => "the packet is damaged",
        sys::OPUS_UNIMPLEMENTED => "not implemented",
        sys::OPUS_INVALID_STATE => "invalid state",
        sys::OPUS_ALLOC_FAIL => "out of memory",
        _ => "unknown error",
    }
}

fn check(doing: &'static str, code: c_int) -> Result<usize, OpusError> {
    usize::try_from(code).map_err(|_| OpusError::Library { doing, code })
}

fn created<T>(doing: &'static str, state: *mut T, code: c_int) -> Result<NonNull<T>, OpusError> {
    NonNull::new(state).ok_or(OpusError::Library { doing, code: code.min(-1) })
}

/// A length that fits libopus's integers: all are bounded by [`FRAME_SAMPLES_MAX`] or [`PACKET_BYTES_MAX`] before.
fn int(length: usize) -> c_int {
    c_int::try_from(length).unwrap_or(0)
}

/// How to encode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncoderSettings {
    /// Length of a frame.
    pub frame: FrameMs,
    /// Target, bit/s: 6,000 to 128,000, redundancy included.
    pub bitrate: Bitrate,
    /// Whether packets carry a coarse copy of the frame before, when the expected loss is worth it.
    pub fec: bool,
    /// Expected loss, percent (0 to 100): how much of the bit rate goes into redundancy. Zero turns FEC and DRED off.
    pub expected_loss_percent: u8,
    /// How far back DRED reaches, in steps of 10 ms up to [`DRED_MAX`]; zero turns it off.
    pub dred: Duration,
    /// CPU against quality, 0 to 10.
    pub complexity: u8,
}

impl Default for EncoderSettings {
    /// 20 ms at 24 kbit/s with FEC and 100 ms of DRED against 10 % of loss.
    fn default() -> Self {
        Self {
            frame: FrameMs::Ms20,
            bitrate: Bitrate(24_000),
            fec: true,
            expected_loss_percent: 10,
            dred: Duration::from_millis(100),
            complexity: 9,
        }
    }
}

/// An Opus encoder for one channel of 48 kHz speech.
#[derive(Debug)]
pub struct Encoder {
    state: NonNull<sys::OpusEncoder>,
    frame: FrameMs,
    lookahead: usize,
}

// SAFETY: the state is owned by this value alone, and libopus keeps nothing bound to a thread.
unsafe impl Send for Encoder {}

impl Encoder {
    /// Makes an encoder.
    pub fn new(settings: EncoderSettings) -> Result<Self, OpusError> {
        if settings.complexity > 10 {
            let found = u32::from(settings.complexity);
            return Err(OpusError::Setting { what: "complexity", expected: "0 to 10", found });
        }
        let mut code = 0;
        // SAFETY: plain values, and a pointer to a local that libopus writes before it returns.
        let state = unsafe { sys::opus_encoder_create(RATE, 1, sys::OPUS_APPLICATION_VOIP, &raw mut code) };
        let state = created("creating an encoder", state, code)?;
        let mut encoder = Self { state, frame: settings.frame, lookahead: 0 };
        encoder.set("signal", sys::OPUS_SET_SIGNAL_REQUEST, sys::OPUS_SIGNAL_VOICE)?;
        encoder.set("complexity", sys::OPUS_SET_COMPLEXITY_REQUEST, c_int::from(settings.complexity))?;
        encoder.adapt(settings.bitrate, settings.fec, settings.expected_loss_percent, settings.dred)?;
        let mut lookahead: sys::opus_int32 = 0;
        // SAFETY: the state is alive; this request takes a pointer to an opus_int32, which outlives the call.
        let code = unsafe {
            sys::opus_encoder_ctl(encoder.state.as_ptr(), sys::OPUS_GET_LOOKAHEAD_REQUEST, &raw mut lookahead)
        };
        check("asking for the lookahead", code)?;
        encoder.lookahead = usize::try_from(lookahead).unwrap_or(0);
        Ok(encoder)
    }

    /// Follows the link between two frames: bit rate, FEC, expected loss in percent, DRED history. Ranges as in
    /// [`EncoderSettings`].
    pub fn adapt(&mut self, bitrate: Bitrate, fec: bool, loss_percent: u8, dred: Duration) -> Result<(), OpusError> {
        if !BURST_BITRATE.contains(&bitrate.0) {
            return Err(OpusError::Setting { what: "bit rate", expected: "6,000 to 128,000 bit/s", found: bitrate.0 });
        }
        if loss_percent > 100 {
            let found = u32::from(loss_percent);
            return Err(OpusError::Setting { what: "expected loss", expected: "0 to 100 percent", found });
        }
        if dred > DRED_MAX {
            let found = u32::try_from(dred.as_millis()).unwrap_or(u32::MAX);
            return Err(OpusError::Setting { what: "DRED history", expected: "0 to 1,000 ms", found });
        }
        let dred_steps = c_int::try_from(dred.as_millis() / 10).unwrap_or(0);
        self.set("bit rate", sys::OPUS_SET_BITRATE_REQUEST, c_int::try_from(bitrate.0).unwrap_or(c_int::MAX))?;
        self.set("FEC", sys::OPUS_SET_INBAND_FEC_REQUEST, c_int::from(fec))?;
        self.set("expected loss", sys::OPUS_SET_PACKET_LOSS_PERC_REQUEST, c_int::from(loss_percent))?;
        self.set("DRED history", sys::OPUS_SET_DRED_DURATION_REQUEST, dred_steps)
    }

    fn set(&mut self, what: &'static str, request: c_int, value: c_int) -> Result<(), OpusError> {
        // SAFETY: the state is alive and borrowed mutably; every request passed here takes one opus_int32.
        check(what, unsafe { sys::opus_encoder_ctl(self.state.as_ptr(), request, value) }).map(drop)
    }

    /// Samples of one frame.
    pub fn frame_samples(&self) -> usize {
        self.frame.samples(RATE_HZ)
    }

    /// How many samples later than it went in a sound comes out of the decoder (6.5 ms). A burst must be followed by this
    /// much silence, or its last syllable is cut by as much: the framer does it.
    pub fn lookahead(&self) -> usize {
        self.lookahead
    }

    /// Encodes one frame of samples between −1 and 1. Gives 1 to [`PACKET_BYTES_MAX`] bytes.
    pub fn encode(&mut self, sound: &[f32]) -> Result<Vec<u8>, OpusError> {
        let expected = self.frame_samples();
        if sound.len() != expected {
            return Err(OpusError::Length { expected, found: sound.len() });
        }
        let mut packet = vec![0; PACKET_BYTES_MAX];
        // SAFETY: the state is alive and borrowed mutably; `sound` holds exactly the stated number of samples for the one
        // channel, `packet` the stated number of bytes.
        let code = unsafe {
            sys::opus_encode_float(
                self.state.as_ptr(),
                sound.as_ptr(),
                int(sound.len()),
                packet.as_mut_ptr(),
                int(packet.len()),
            )
        };
        packet.truncate(check("encoding", code)?);
        Ok(packet)
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: made by opus_encoder_create, destroyed once.
        unsafe { sys::opus_encoder_destroy(self.state.as_ptr()) }
    }
}

/// How a lost frame came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recovery {
    /// From the coarse copy in the next packet.
    Fec,
    /// From the neural features in a later packet.
    Dred,
    /// The later packet holds nothing of it: concealed.
    Concealed,
}

/// An Opus decoder that gives one channel of 48 kHz.
#[derive(Debug)]
pub struct Decoder {
    state: NonNull<sys::OpusDecoder>,
    dred_decoder: NonNull<sys::OpusDREDDecoder>,
    dred: NonNull<sys::OpusDRED>,
    /// The packet whose redundancy `dred` holds, and how many samples before the packet it reaches.
    parsed: (Vec<u8>, usize),
    frame: FrameMs,
}

// SAFETY: the three states are owned by this value alone, and libopus keeps nothing bound to a thread.
unsafe impl Send for Decoder {}

impl Decoder {
    /// Makes a decoder for a burst of frames of this length.
    pub fn new(frame: FrameMs) -> Result<Self, OpusError> {
        let mut code = 0;
        // SAFETY: plain values, and a pointer to a local that libopus writes before it returns.
        let state = unsafe { sys::opus_decoder_create(RATE, 1, &raw mut code) };
        let state = created("creating a decoder", state, code)?;
        // SAFETY: as above.
        let dred_decoder = unsafe { sys::opus_dred_decoder_create(&raw mut code) };
        let dred_decoder = match created("creating a DRED decoder", dred_decoder, code) {
            Ok(dred_decoder) => dred_decoder,
            Err(error) => {
                // SAFETY: made above, destroyed once, not used again.
                unsafe { sys::opus_decoder_destroy(state.as_ptr()) };
                return Err(error);
            }
        };
        // SAFETY: as above.
        let dred = unsafe { sys::opus_dred_alloc(&raw mut code) };
        let dred = match created("allocating DRED", dred, code) {
            Ok(dred) => dred,
            Err(error) => {
                // SAFETY: both made above, destroyed once, not used again.
                unsafe {
                    sys::opus_dred_decoder_destroy(dred_decoder.as_ptr());
                    sys::opus_decoder_destroy(state.as_ptr());
                }
                return Err(error);
            }
        };
        let decoder = Self { state, dred_decoder, dred, parsed: (Vec::new(), 0), frame };
        // SAFETY: the state is alive; this request takes one opus_int32.
        let code = unsafe {
            sys::opus_decoder_ctl(decoder.state.as_ptr(), sys::OPUS_SET_COMPLEXITY_REQUEST, DECODER_COMPLEXITY)
        };
        check("setting the decoder's complexity", code)?;
        Ok(decoder)
    }

    /// Samples of one frame.
    pub fn frame_samples(&self) -> usize {
        self.frame.samples(RATE_HZ)
    }

    /// Decodes a packet. Normally gives one frame; a packet that states another length (up to 60 ms) gives that.
    pub fn decode(&mut self, packet: &[u8]) -> Result<Vec<f32>, OpusError> {
        checked(packet)?;
        self.run("decoding", Some(packet), FRAME_SAMPLES_MAX, false)
    }

    /// Gives `samples` of concealment (a multiple of 120, that is of 2.5 ms; at most 60 ms) in place of sound that is not
    /// there.
    pub fn conceal(&mut self, samples: usize) -> Result<Vec<f32>, OpusError> {
        if samples == 0 || !samples.is_multiple_of(120) || samples > FRAME_SAMPLES_MAX {
            let found = u32::try_from(samples).unwrap_or(u32::MAX);
            return Err(OpusError::Setting { what: "concealment", expected: "120 to 2,880 in steps of 120", found });
        }
        self.run("concealing", None, samples, false)
    }

    /// Gives the frame that is `before` (from 1) frames before `later`, from what `later` holds of it. Lost frames are to be
    /// asked for in their order, before `later` itself is decoded.
    pub fn recover(&mut self, later: &[u8], before: u16) -> Result<(Vec<f32>, Recovery), OpusError> {
        checked(later)?;
        let samples = self.frame_samples();
        // SAFETY: the packet has at least one byte and its length is stated.
        let has_fec = unsafe { sys::opus_packet_has_lbrr(later.as_ptr(), int(later.len())) } == 1;
        if before == 1 && has_fec {
            return Ok((self.run("decoding FEC", Some(later), samples, true)?, Recovery::Fec));
        }
        let offset = usize::from(before) * samples;
        if self.dred_reach(later)? + samples <= offset {
            return Ok((self.conceal(samples)?, Recovery::Concealed));
        }
        let mut sound = vec![0.0; samples];
        // SAFETY: both states are alive and borrowed mutably; `dred` holds what opus_dred_parse made of `later`; `sound` holds
        // the stated number of samples for the one channel.
        let code = unsafe {
            sys::opus_decoder_dred_decode_float(
                self.state.as_ptr(),
                self.dred.as_ptr(),
                int(offset),
                sound.as_mut_ptr(),
                int(samples),
            )
        };
        sound.truncate(check("decoding DRED", code)?);
        Ok((sound, Recovery::Dred))
    }

    /// How many samples before a packet its DRED reaches; 0 without any.
    fn dred_reach(&mut self, packet: &[u8]) -> Result<usize, OpusError> {
        if self.parsed.0 == packet {
            return Ok(self.parsed.1);
        }
        self.parsed.0.clear();
        let mut silence = 0;
        // SAFETY: both states are alive and borrowed mutably; the packet's length is stated; `silence` is a local that libopus
        // writes before it returns; with `defer_processing` 0 nothing of the packet is kept.
        let code = unsafe {
            sys::opus_dred_parse(
                self.dred_decoder.as_ptr(),
                self.dred.as_ptr(),
                packet.as_ptr(),
                int(packet.len()),
                RATE,
                RATE,
                &raw mut silence,
                0,
            )
        };
        self.parsed.1 = check("reading DRED", code)?;
        self.parsed.0.extend_from_slice(packet);
        Ok(self.parsed.1)
    }

    fn run(
        &mut self,
        doing: &'static str,
        packet: Option<&[u8]>,
        samples: usize,
        fec: bool,
    ) -> Result<Vec<f32>, OpusError> {
        let mut sound = vec![0.0; samples];
        let (data, length) = packet.map_or((core::ptr::null(), 0), |packet| (packet.as_ptr(), packet.len()));
        // SAFETY: the state is alive and borrowed mutably; `data` is null with length 0, which asks for concealment, or holds
        // the stated number of bytes; `sound` holds the stated number of samples for the one channel.
        let code = unsafe {
            sys::opus_decode_float(
                self.state.as_ptr(),
                data,
                int(length),
                sound.as_mut_ptr(),
                int(samples),
                c_int::from(fec),
            )
        };
        sound.truncate(check(doing, code)?);
        Ok(sound)
    }
}

fn checked(packet: &[u8]) -> Result<(), OpusError> {
    if packet.is_empty() || packet.len() > PACKET_BYTES_MAX { Err(OpusError::Packet(packet.len())) } else { Ok(()) }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: each was made by its create function and is destroyed once.
        unsafe {
            sys::opus_dred_free(self.dred.as_ptr());
            sys::opus_dred_decoder_destroy(self.dred_decoder.as_ptr());
            sys::opus_decoder_destroy(self.state.as_ptr());
        }
    }
}

#[cfg(test)]
#[path = "opus_tests.rs"]
mod tests;
