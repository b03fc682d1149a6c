//! Plays sound that is there in full.

use holler_client::audio::sink::SinkKind;

use crate::exit::{Code, Failure};

/// Samples handed over at once: 20 ms at 48 kHz.
const CHUNK: usize = 960;

/// Plays on a speaker, to its end; `None`: the system's default.
pub(crate) async fn speak(speaker: Option<String>, sound: Vec<f32>) -> Result<(), Failure> {
    let play = move || {
        let mut sink = SinkKind::Speaker(speaker).open()?;
        for chunk in sound.chunks(CHUNK) {
            sink.play(chunk)?;
        }
        sink.finish()
    };
    let played = tokio::task::spawn_blocking(play).await;
    played.map_err(|error| Failure::from((Code::Fault, error)))?.map_err(|error| (Code::Fault, error).into())
}
