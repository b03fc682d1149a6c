//! Microphones and speakers, through cpal.
//!
//! On Linux cpal speaks PulseAudio's own protocol (which PipeWire speaks too) where that server runs, otherwise ALSA. ALSA's
//! plugin for PulseAudio is no way around it: with a PulseAudio 16 null sink its `snd_pcm_avail_delay` failed with an I/O error,
//! while the native protocol played and captured.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use cpal::traits::{DeviceTrait, HostTrait, StreamTrait};
use cpal::{BufferSize, ErrorKind, SampleFormat, StreamConfig, SupportedBufferSize, SupportedStreamConfig};
use holler_core::units::Mono;

use super::resample::Resampler;
use super::sink::Sink;
use super::source::{Captured, Heard, Source};
use super::{AudioError, RATE_HZ, samples_us};
use crate::clock;

/// Blocks that may wait for the capture's thread: seconds, so that a stalled thread loses nothing that was said.
const BLOCKS_AHEAD: usize = 512;
/// Sound that is kept ahead of a speaker's callback, beside what the callback itself takes at once.
const LEAD: Duration = Duration::from_millis(5);
/// Sound that a device gives or takes at once, in samples: 10 ms. Sound servers' own choice can be seconds.
const PERIOD: u32 = RATE_HZ / 100;
/// How long a device may take nothing before it counts as gone.
const STALLED: Duration = Duration::from_secs(3);
const MICROPHONE: &str = "microphone";
const SPEAKER: &str = "speaker";

/// A sound device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceName {
    /// What to name it by.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whether the system uses it when none is named.
    pub default: bool,
}

/// Microphones.
pub fn microphones() -> Result<Vec<DeviceName>, AudioError> {
    let host = cpal::default_host();
    let default = host.default_input_device().and_then(|device| device.id().ok());
    let devices = host.input_devices().map_err(|error| failed(MICROPHONE, &error))?;
    Ok(devices.filter_map(|device| named(&device, default.as_ref())).collect())
}

/// Speakers.
pub fn speakers() -> Result<Vec<DeviceName>, AudioError> {
    let host = cpal::default_host();
    let default = host.default_output_device().and_then(|device| device.id().ok());
    let devices = host.output_devices().map_err(|error| failed(SPEAKER, &error))?;
    Ok(devices.filter_map(|device| named(&device, default.as_ref())).collect())
}

fn named(device: &cpal::Device, default: Option<&cpal::DeviceId>) -> Option<DeviceName> {
    let id = device.id().ok()?;
    Some(DeviceName { name: device.to_string(), default: default == Some(&id), id: id.to_string() })
}

fn failed(what: &'static str, error: &cpal::Error) -> AudioError {
    AudioError::Device { what, detail: error.to_string() }
}

fn none(what: &'static str, name: Option<&str>) -> AudioError {
    let detail = match name {
        Some(name) => format!("there is no device {name:?}; `holler status --devices` lists them"),
        None => "the system has none, or its sound server does not run".to_owned(),
    };
    AudioError::Device { what, detail }
}

/// A device's own rate and channels, as 32 bit float; 48 kHz where it offers that.
fn config(
    what: &'static str,
    offered: impl Iterator<Item = cpal::SupportedStreamConfigRange>,
    default: SupportedStreamConfig,
) -> Result<StreamConfig, AudioError> {
    let mut best = None;
    for range in offered.filter(|range| range.sample_format() == SampleFormat::F32) {
        let rate = if (range.min_sample_rate()..=range.max_sample_rate()).contains(&RATE_HZ) {
            RATE_HZ
        } else {
            default.sample_rate().clamp(range.min_sample_rate(), range.max_sample_rate())
        };
        // One channel is what is wanted; of many, most would only be copied.
        let rank = (rate != RATE_HZ, range.channels());
        if best.as_ref().is_none_or(|(before, _)| rank < *before) {
            let period = match range.buffer_size() {
                SupportedBufferSize::Range { min, max } => BufferSize::Fixed(PERIOD.clamp(*min, *max)),
                SupportedBufferSize::Unknown => BufferSize::Default,
            };
            best = Some((rank, StreamConfig { buffer_size: period, ..range.with_sample_rate(rate).config() }));
        }
    }
    best.map(|(_, config)| config).ok_or_else(|| AudioError::Device {
        what,
        detail: "it offers no 32 bit float samples; use one that the sound server converts".to_owned(),
    })
}

/// A microphone.
pub(super) struct Microphone {
    captured: Captured,
    /// Runs as long as it lives.
    _stream: cpal::Stream,
}

impl Microphone {
    pub(super) fn open(name: Option<&str>) -> Result<Self, AudioError> {
        let host = cpal::default_host();
        let device = match name {
            None => host.default_input_device(),
            Some(name) => name.parse().ok().and_then(|id| host.device_by_id(&id)),
        }
        .ok_or_else(|| none(MICROPHONE, name))?;
        let offered = device.supported_input_configs().map_err(|error| failed(MICROPHONE, &error))?;
        let default = device.default_input_config().map_err(|error| failed(MICROPHONE, &error))?;
        let config = config(MICROPHONE, offered, default)?;
        let (send, blocks) = sync_channel(BLOCKS_AHEAD);
        let faults = send.clone();
        let channels = usize::from(config.channels).max(1);
        let mut resampler = Resampler::new(config.sample_rate);
        let stream = device
            .build_input_stream(
                config,
                move |data: &[f32], info: &cpal::InputCallbackInfo| {
                    let stamp = info.timestamp();
                    let captured_at = clock::now() - stamp.callback.saturating_duration_since(stamp.capture);
                    let mono: Vec<f32> = data.chunks_exact(channels).map(mix).collect();
                    let sound = resampler.as_mut().map_or_else(|| mono.clone(), |resampler| resampler.push(&mono));
                    // Full only when the capture's thread stands still for seconds; a callback must not wait for it.
                    let _ = send.try_send(Ok((captured_at, sound)));
                },
                move |error| {
                    if fatal(&error) {
                        let _ = faults.try_send(Err(failed(MICROPHONE, &error)));
                    }
                },
                None,
            )
            .map_err(|error| failed(MICROPHONE, &error))?;
        stream.play().map_err(|error| failed(MICROPHONE, &error))?;
        Ok(Self { captured: Captured::new(blocks), _stream: stream })
    }
}

impl Source for Microphone {
    fn read(&mut self) -> Result<Heard, AudioError> {
        self.captured.read()
    }
}

fn mix(instant: &[f32]) -> f32 {
    instant.iter().sum::<f32>() / f32::from(u16::try_from(instant.len()).unwrap_or(1))
}

fn fatal(error: &cpal::Error) -> bool {
    !matches!(error.kind(), ErrorKind::DeviceChanged | ErrorKind::Xrun | ErrorKind::RealtimeDenied)
}

/// What the player's thread and the speaker's callback share.
struct Ring {
    sound: VecDeque<f32>,
    /// Samples that the callback takes at once.
    period: usize,
    /// From a callback until what it takes is heard.
    latency: Duration,
    fault: Option<AudioError>,
}

/// A speaker.
pub(super) struct Speaker {
    shared: Arc<(Mutex<Ring>, Condvar)>,
    rate: u32,
    _stream: cpal::Stream,
}

impl Speaker {
    pub(super) fn open(name: Option<&str>) -> Result<Self, AudioError> {
        let host = cpal::default_host();
        let device = match name {
            None => host.default_output_device(),
            Some(name) => name.parse().ok().and_then(|id| host.device_by_id(&id)),
        }
        .ok_or_else(|| none(SPEAKER, name))?;
        let offered = device.supported_output_configs().map_err(|error| failed(SPEAKER, &error))?;
        let default = device.default_output_config().map_err(|error| failed(SPEAKER, &error))?;
        let config = config(SPEAKER, offered, default)?;
        let rate = config.sample_rate;
        if rate != RATE_HZ {
            let detail = format!("it plays at {rate} Hz only; use one that the sound server converts to 48,000 Hz");
            return Err(AudioError::Device { what: SPEAKER, detail });
        }
        let ring = Ring { sound: VecDeque::new(), period: 480, latency: Duration::ZERO, fault: None };
        let shared = Arc::new((Mutex::new(ring), Condvar::new()));
        let (taken, faults) = (Arc::clone(&shared), Arc::clone(&shared));
        let channels = usize::from(config.channels).max(1);
        let stream = device
            .build_output_stream(
                config,
                move |data: &mut [f32], info: &cpal::OutputCallbackInfo| {
                    let stamp = info.timestamp();
                    let (ring, room) = &*taken;
                    let mut ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
                    ring.period = data.len() / channels;
                    ring.latency = stamp.playback.saturating_duration_since(stamp.callback);
                    for instant in data.chunks_exact_mut(channels) {
                        instant.fill(ring.sound.pop_front().unwrap_or(0.0));
                    }
                    room.notify_one();
                },
                move |error| {
                    if fatal(&error) {
                        let (ring, room) = &*faults;
                        ring.lock().unwrap_or_else(PoisonError::into_inner).fault = Some(failed(SPEAKER, &error));
                        room.notify_one();
                    }
                },
                None,
            )
            .map_err(|error| failed(SPEAKER, &error))?;
        stream.play().map_err(|error| failed(SPEAKER, &error))?;
        Ok(Self { shared, rate, _stream: stream })
    }

    /// Waits until at most this many samples are left; the callback's period is allowed on top.
    fn wait(&self, left: usize, with_period: bool) -> Result<(), AudioError> {
        let (ring, room) = &*self.shared;
        let ring = ring.lock().unwrap_or_else(PoisonError::into_inner);
        let full = |ring: &mut Ring| {
            ring.fault.is_none() && ring.sound.len() > left + if with_period { ring.period } else { 0 }
        };
        let (mut ring, waited) = room.wait_timeout_while(ring, STALLED, full).unwrap_or_else(PoisonError::into_inner);
        if let Some(fault) = ring.fault.take() {
            return Err(fault);
        }
        if waited.timed_out() {
            let detail = format!("it took no sound for {} s", STALLED.as_secs());
            return Err(AudioError::Device { what: SPEAKER, detail });
        }
        Ok(())
    }
}

impl Sink for Speaker {
    fn play(&mut self, sound: &[f32]) -> Result<Mono, AudioError> {
        let heard_at = {
            let mut ring = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner);
            let ahead = Duration::from_micros(samples_us(ring.sound.len()));
            ring.sound.extend(sound);
            clock::now() + ahead + ring.latency
        };
        let lead = usize::try_from(LEAD.as_micros() * u128::from(self.rate) / 1_000_000).unwrap_or(0);
        self.wait(lead, true)?;
        Ok(heard_at)
    }

    fn finish(self: Box<Self>) -> Result<(), AudioError> {
        self.wait(0, false)?;
        let latency = self.shared.0.lock().unwrap_or_else(PoisonError::into_inner).latency;
        // What the last callback took is still on its way to the ear.
        std::thread::sleep(latency.min(Duration::from_secs(1)));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Needs a sound server whose default source hears its default sink, such as a null sink and its monitor:
    ///
    /// ```text
    /// export XDG_RUNTIME_DIR=$(mktemp -d)
    /// pulseaudio -n -L module-native-protocol-unix -L 'module-null-sink sink_name=null' --exit-idle-time=-1 &
    /// pactl set-default-source null.monitor
    /// cargo test -p holler-client devices -- --ignored --nocapture
    /// ```
    #[test]
    #[ignore = "needs a sound server"]
    #[expect(clippy::print_stdout, reason = "it is there to be read")]
    fn what_the_speaker_plays_the_microphone_hears() {
        println!("speakers {:#?}\nmicrophones {:#?}", speakers().unwrap(), microphones().unwrap());
        let mut microphone = Microphone::open(None).unwrap();
        let mut speaker = Speaker::open(None).unwrap();
        let tone: Vec<f32> = (0..960_u16).map(|at| 0.5 * (f32::from(at) * 0.05).sin()).collect();
        let quiet = vec![0.0; 960];
        let playing = std::thread::spawn(move || {
            // The device warms up, then half a second of tone.
            let mut first = None;
            for frame in 0..75 {
                let heard_at = speaker.play(if frame < 50 { &quiet } else { &tone }).unwrap();
                first = first.or((frame == 50).then_some(heard_at));
            }
            (first.unwrap(), Box::new(speaker).finish())
        });
        let mut onset = None;
        let until = clock::now() + Duration::from_secs(3);
        while onset.is_none() && clock::now() < until {
            if let Heard::Sound { captured_at, sound } = microphone.read().unwrap()
                && let Some(at) = sound.iter().position(|sample| sample.abs() > 0.2)
            {
                onset = Some((captured_at + Duration::from_micros(samples_us(at)), clock::now()));
            }
        }
        let (played_at, finished) = playing.join().unwrap();
        finished.unwrap();
        let (captured_at, handed_at) = onset.expect("the tone was not heard");
        let signed = i64::try_from(captured_at.0).unwrap() - i64::try_from(played_at.0).unwrap();
        println!(
            "captured {signed} µs after it was said to be heard; handed over {} µs later",
            handed_at.since(captured_at).as_micros()
        );
        assert!(signed.abs() < 200_000, "timestamps are off by {signed} µs");
    }
}
