//! WAV files: any rate, channels and format in, 16 bit mono at 48 kHz out.

use std::fs::File;
use std::io::{BufWriter, Read};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use super::resample::Resampler;
use super::{AudioError, RATE_HZ};

/// Reads WAV sound as a stream of mono samples at 48 kHz.
pub struct WavIn<R: Read> {
    path: PathBuf,
    reader: WavReader<R>,
    resampler: Option<Resampler>,
    ended: bool,
}

impl<R: Read> WavIn<R> {
    /// Reads the header. `path` is only for messages.
    pub fn new(path: &Path, input: R) -> Result<Self, AudioError> {
        let reader = WavReader::new(input).map_err(|error| bad(path, &error))?;
        let spec = reader.spec();
        let known = match spec.sample_format {
            SampleFormat::Float => spec.bits_per_sample == 32,
            SampleFormat::Int => matches!(spec.bits_per_sample, 8 | 16 | 24 | 32),
        };
        if !known || spec.channels == 0 || !(1..=768_000).contains(&spec.sample_rate) {
            let (bits, channels, rate) = (spec.bits_per_sample, spec.channels, spec.sample_rate);
            let detail = format!("{channels} channels of {bits} bit samples at {rate} Hz can't be used");
            return Err(AudioError::Wav { path: path.to_owned(), detail });
        }
        let resampler = Resampler::new(spec.sample_rate);
        Ok(Self { path: path.to_owned(), reader, resampler, ended: false })
    }

    /// The next sound, about 10 ms of it; `None` at the end.
    pub fn read(&mut self) -> Result<Option<Vec<f32>>, AudioError> {
        let wanted = usize::try_from(self.reader.spec().sample_rate / 100).unwrap_or(1).max(1);
        while !self.ended {
            let mono = self.mono(wanted)?;
            self.ended = mono.len() < wanted;
            let out = match self.resampler.as_mut() {
                None => mono,
                Some(resampler) => {
                    let mut out = resampler.push(&mono);
                    if self.ended {
                        out.extend(resampler.finish());
                    }
                    out
                }
            };
            if !out.is_empty() {
                return Ok(Some(out));
            }
        }
        Ok(None)
    }

    /// Up to `wanted` sample instants, their channels averaged.
    fn mono(&mut self, wanted: usize) -> Result<Vec<f32>, AudioError> {
        let spec = self.reader.spec();
        let channels = usize::from(spec.channels);
        let path = self.path.clone();
        let samples: Vec<f32> = match spec.sample_format {
            SampleFormat::Float => self.reader.samples::<f32>().take(wanted * channels).collect::<Result<_, _>>(),
            SampleFormat::Int => {
                let scale = 1.0 / (1_u32 << (spec.bits_per_sample - 1).min(31)) as f32;
                let samples = self.reader.samples::<i32>().take(wanted * channels);
                samples.map(|sample| sample.map(|sample| sample as f32 * scale)).collect::<Result<_, _>>()
            }
        }
        .map_err(|error| bad(&path, &error))?;
        let share = 1.0 / f32::from(spec.channels);
        Ok(samples.chunks_exact(channels).map(|instant| instant.iter().sum::<f32>() * share).collect())
    }
}

fn bad(path: &Path, error: &hound::Error) -> AudioError {
    AudioError::Wav { path: path.to_owned(), detail: error.to_string() }
}

/// Reads a whole file as mono sound at 48 kHz.
pub fn read(path: &Path) -> Result<Vec<f32>, AudioError> {
    let file = File::open(path).map_err(|error| AudioError::File { path: path.to_owned(), error })?;
    let mut wav = WavIn::new(path, std::io::BufReader::new(file))?;
    let mut sound = Vec::new();
    while let Some(block) = wav.read()? {
        sound.extend(block);
    }
    Ok(sound)
}

/// Writes a WAV file: mono, 48 kHz, 16 bit. The file appears under its name only when it is whole.
pub struct WavOut {
    path: PathBuf,
    part: PathBuf,
    writer: WavWriter<BufWriter<File>>,
}

impl WavOut {
    /// Begins a file; it is written beside its place, with `.part` appended.
    pub fn create(path: &Path) -> Result<Self, AudioError> {
        let mut part = path.to_owned().into_os_string();
        part.push(".part");
        let part = PathBuf::from(part);
        let spec = WavSpec { channels: 1, sample_rate: RATE_HZ, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let writer = WavWriter::create(&part, spec).map_err(|error| bad(path, &error))?;
        Ok(Self { path: path.to_owned(), part, writer })
    }

    /// Appends samples between −1 and 1; what lies outside is limited.
    pub fn write(&mut self, sound: &[f32]) -> Result<(), AudioError> {
        for sample in sound {
            #[expect(clippy::cast_possible_truncation, reason = "limited to the range of 16 bits")]
            let sample = (sample.clamp(-1.0, 1.0) * 32_767.0).round() as i16;
            self.writer.write_sample(sample).map_err(|error| bad(&self.path, &error))?;
        }
        Ok(())
    }

    /// Completes the file.
    pub fn finish(self) -> Result<(), AudioError> {
        self.writer.finalize().map_err(|error| bad(&self.path, &error))?;
        std::fs::rename(&self.part, &self.path).map_err(|error| AudioError::File { path: self.path, error })
    }
}

/// Writes a whole file.
pub fn write(path: &Path, sound: &[f32]) -> Result<(), AudioError> {
    let mut out = WavOut::create(path)?;
    out.write(sound)?;
    out.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(spec: WavSpec, samples: u32, value: impl Fn(u32, u16) -> f32) -> Vec<u8> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut bytes, spec).unwrap();
        for at in 0..samples {
            for channel in 0..spec.channels {
                let value = value(at, channel);
                match spec.sample_format {
                    SampleFormat::Float => writer.write_sample(value).unwrap(),
                    SampleFormat::Int => {
                        let full = f64::from(1_u32 << (spec.bits_per_sample - 1)) - 1.0;
                        #[expect(clippy::cast_possible_truncation, reason = "scaled to the range")]
                        writer.write_sample((f64::from(value) * full) as i32).unwrap();
                    }
                }
            }
        }
        writer.finalize().unwrap();
        bytes.into_inner()
    }

    fn all(bytes: &[u8]) -> Result<Vec<f32>, AudioError> {
        let mut wav = WavIn::new(Path::new("test.wav"), bytes)?;
        let mut sound = Vec::new();
        while let Some(block) = wav.read()? {
            sound.extend(block);
        }
        Ok(sound)
    }

    #[test]
    fn every_format_becomes_the_same_mono_sound() {
        for (sample_format, bits_per_sample) in [
            (SampleFormat::Int, 8),
            (SampleFormat::Int, 16),
            (SampleFormat::Int, 24),
            (SampleFormat::Int, 32),
            (SampleFormat::Float, 32),
        ] {
            for (channels, sample_rate) in [(1, 48_000), (2, 44_100), (6, 16_000)] {
                let spec = WavSpec { channels, sample_rate, bits_per_sample, sample_format };
                // Channels that differ by a constant around 0.25.
                let bytes = written(spec, sample_rate, |_, channel| {
                    0.25 + 0.1 * (f32::from(channel) - f32::from(channels - 1) / 2.0)
                });
                let sound = all(&bytes).unwrap();
                assert!(sound.len().abs_diff(48_000) <= 2, "{spec:?}: {} samples", sound.len());
                assert!(sound[2_400..45_600].iter().all(|s| (s - 0.25).abs() < 0.01), "{spec:?}: {}", sound[24_000]);
            }
        }
    }

    #[test]
    fn what_is_no_wav_is_refused_with_a_reason() {
        for bytes in [&b""[..], b"RIFF", b"this is a text, not a sound, however long it may be"] {
            let error = all(bytes).unwrap_err().to_string();
            assert!(error.contains("test.wav"), "{error}");
        }
        let spec = WavSpec { channels: 1, sample_rate: 16_000, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let mut cut = written(spec, 16_000, |_, _| 0.0);
        cut.truncate(10_001);
        assert!(all(&cut).is_err());
    }

    #[test]
    fn a_file_is_there_only_when_it_is_whole_and_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.wav");
        let mut out = WavOut::create(&path).unwrap();
        out.write(&[0.0, 0.5, -0.5, 2.0, -2.0]).unwrap();
        assert!(!path.exists());
        out.finish().unwrap();
        let sound = read(&path).unwrap();
        for (found, expected) in sound.iter().zip([0.0, 0.5, -0.5, 1.0, -1.0]) {
            assert!((found - expected).abs() < 1e-3, "{sound:?}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert!(read(&folder.path().join("absent.wav")).is_err());
    }
}
