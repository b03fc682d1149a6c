//! What a browser heard and played, taken out of it.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::page::Page;
use crate::programs::text;
use crate::similarity::compare;

/// How much of the speech in the file that stands for the microphone the browser must have given at least. It plays the file in
/// real time, with gaps of its own on a busy machine, and takes out echo and noise: up to a sixth was seen missing, and likenesses
/// of 0.22 to 0.98, at every listener alike. So what is heard is compared with what the browser gave; this only says whether that
/// was the speech at all.
const GIVEN_MIN: f64 = 0.5;

/// What a page played since it listened, once its loudspeaker is silent: what the jitter buffer holds is heard too. And, in
/// words, how its main thread did meanwhile.
pub(super) fn heard_at(page: &mut Page, out: &Path) -> Result<(Vec<f32>, String)> {
    let heard = page.ask(&json!({"do": "heard", "out": text(out)?}))?;
    let sound = samples(out)?;
    let tasks = heard["long_tasks_ms"].as_array().map_or(0, Vec::len);
    Ok((sound, format!("{tasks} tasks over 50 ms on the main thread")))
}

pub(super) fn samples(file: &Path) -> Result<Vec<f32>> {
    let bytes = std::fs::read(file).context("what a page wrote down")?;
    Ok(bytes.chunks_exact(4).filter_map(|sample| sample.try_into().ok().map(f32::from_le_bytes)).collect())
}

/// From the first sound to the last: what was captured before and after the speech is no part of it.
pub(super) fn spoken_part(sound: &[f32]) -> Vec<f32> {
    let loud = |sample: &f32| sample.abs() > 0.02;
    let (Some(first), Some(last)) = (sound.iter().position(loud), sound.iter().rposition(loud)) else {
        return Vec::new();
    };
    sound[first..=last].to_vec()
}

/// What the browser gave of the speech that stands for its microphone, in words; an error where it gave none.
pub(super) fn microphone_gave(said: &[f32], captured: &[f32]) -> Result<String> {
    let given = compare(said, captured);
    let missing = given.clipped_start_ms + given.clipped_end_ms + given.missing_total_ms();
    let length = said.len() as f64 * 1_000.0 / super::RATE_HZ as f64;
    ensure!(missing <= length * (1.0 - GIVEN_MIN), "the browser's microphone gave no speech: {given:?}");
    Ok(format!("likeness {:.2} with its file, {missing:.0} ms of speech missing", given.similarity))
}
