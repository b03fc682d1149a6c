//! Turns a burst's frames into sound at once, for the file of the complete burst.

use bytes::Bytes;
use holler_core::units::{FrameMs, FrameNo};

use super::opus::{Decoder, OpusError};

/// The sound of a burst.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendered {
    /// Mono, 48 kHz; every frame in its place.
    pub sound: Vec<f32>,
    /// Frames that were not there, or damaged: recovered from later ones or concealed.
    pub missing: u32,
}

/// Decodes `frames`, which are in order, from frame 1 to `last` (or to the highest that is there).
pub fn render(frame: FrameMs, frames: &[(FrameNo, Bytes)], last: Option<FrameNo>) -> Result<Rendered, OpusError> {
    let mut decoder = Decoder::new(frame)?;
    let samples = decoder.frame_samples();
    let mut out = Rendered { sound: Vec::new(), missing: 0 };
    let mut next = 1;
    for (number, packet) in frames {
        while next < number.0 {
            out.missing += 1;
            let found = decoder.recover(packet, number.0 - next).map(|(sound, _)| sound);
            out.sound.extend(found.or_else(|_| decoder.conceal(samples))?);
            next += 1;
        }
        if number.0 < next {
            continue;
        }
        match decoder.decode(packet) {
            Ok(sound) => out.sound.extend(sound),
            Err(_) => {
                out.missing += 1;
                out.sound.extend(decoder.conceal(samples)?);
            }
        }
        next = number.0.saturating_add(1);
    }
    while last.is_some_and(|last| next <= last.0) {
        out.missing += 1;
        out.sound.extend(decoder.conceal(samples)?);
        next += 1;
    }
    Ok(out)
}
