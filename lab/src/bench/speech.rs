//! `speech`: how much of speech is left when packets are lost, by how it was protected, at equal bits.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use holler_client::audio::opus::{Decoder, Encoder, EncoderSettings};
use holler_client::audio::wav;
use holler_core::units::{Bitrate, FrameMs};

use super::Setting;
use super::report::{Bench, Goal};
use super::rounds::Spread;
use crate::chance::Chance;
use crate::programs;
use crate::similarity::compare;

const SPEECH: [&str; 2] = ["speech-a.wav", "speech-b.wav"];
const PESQ: &str = "0.0.4";
const NUMPY: &str = "2.2.6";
/// Packets lost, percent, and to the encoder what it expects.
const LOSSES: [u8; 3] = [0, 10, 20];
/// Runs of losses: each file with so many.
const SEEDS: u64 = 2;
/// Frames of 20 ms that a listener waits for a later packet before a lost one must be played: 100 ms.
const REACH: usize = 5;

/// How packets protect each other.
struct Mode {
    name: &'static str,
    fec: bool,
    dred: Duration,
}

const MODES: [Mode; 4] = [
    Mode { name: "none", fec: false, dred: Duration::ZERO },
    Mode { name: "in-band FEC", fec: true, dred: Duration::ZERO },
    Mode { name: "DRED 100 ms", fec: false, dred: Duration::from_millis(100) },
    Mode { name: "in-band FEC and DRED 100 ms", fec: true, dred: Duration::from_millis(100) },
];
const KBITS: [u32; 2] = [24, 32];

/// Runs it.
pub(super) fn run(setting: &Setting) -> Result<Bench> {
    let python = installed(&["numpy", "pesq"])?;
    let scratch = tempfile::tempdir_in(&setting.disk)?;
    let mut jobs = Vec::new();
    for kbit in KBITS {
        for mode in &MODES {
            for loss in LOSSES {
                for file in SPEECH {
                    let original = wav::read(&programs::fixture(file))?;
                    let (packets, late) = encoded(&original, kbit, mode, loss)?;
                    let bits = packets.iter().map(Vec::len).sum::<usize>() as f64 * 8.0;
                    let bits = bits / (packets.len() as f64 * 0.02) / 1e3;
                    for seed in 0..if loss == 0 { 1 } else { SEEDS } {
                        let mut sound = heard(&packets, loss, seed)?;
                        sound.drain(..late.min(sound.len()));
                        sound.truncate(original.len());
                        let name = scratch.path().join(format!("{}", jobs.len()));
                        let stoi = compare(&original, &sound).similarity;
                        store(&name.with_extension("ref"), &third(&original))?;
                        store(&name.with_extension("deg"), &third(&sound))?;
                        jobs.push((kbit, mode.name, loss, stoi, bits, name));
                    }
                }
            }
        }
    }
    let scores = pesq(&python, jobs.iter().map(|(.., name)| name.as_path()))?;
    ensure!(scores.len() == jobs.len(), "PESQ gave {} scores for {} recordings", scores.len(), jobs.len());
    let mut bench = Bench::new(
        "Recorded speech (the two recordings that come with Holler, 13 s) through the client's encoder and decoder, frames of 20 ms; packets are lost at \
         random, the same ones in each mode (two seeds), and the encoder expects that loss. A lost frame comes from the redundancy of a later packet that \
         arrived within 100 ms, or is concealed. Scores: PESQ (ITU-T P.862.2, wideband, 1.0 to 4.6) and STOI (0 to 1) against the original; medians \
         over files and seeds. Equal bits: the target holds for redundancy and speech together.",
    );
    let of = |kbit: u32, mode: &str, loss: u8, what: fn(f64, f64, f64) -> f64| {
        let found = jobs.iter().zip(&scores).filter(|((k, m, l, ..), _)| (*k, *m, *l) == (kbit, mode, loss));
        Spread::of(found.map(|((.., stoi, bits, _), pesq)| what(*pesq, *stoi, *bits)))
    };
    for kbit in KBITS {
        for loss in LOSSES {
            for mode in &MODES {
                let pesq = of(kbit, mode.name, loss, |pesq, _, _| pesq);
                bench.alone(&format!("{kbit} kbit/s, {loss} % lost, {}", mode.name), "PESQ", pesq, None);
            }
        }
        for mode in &MODES {
            let stoi = of(kbit, mode.name, 20, |_, stoi, _| stoi);
            bench.alone(&format!("{kbit} kbit/s, 20 % lost, {}", mode.name), "STOI", stoi, None);
        }
        for mode in &MODES {
            let bits = of(kbit, mode.name, 20, |_, _, bits| bits);
            bench.alone(&format!("{kbit} kbit/s asked for at 20 % loss, {}", mode.name), "kbit/s", bits, None);
        }
    }
    let gain =
        |mode: &str| of(32, mode, 20, |pesq, _, _| pesq).median - of(32, MODES[1].name, 20, |pesq, _, _| pesq).median;
    let best =
        MODES[2..].iter().map(|mode| (mode.name, gain(mode.name))).max_by(|one, other| one.1.total_cmp(&other.1));
    let (name, gain) = best.context("modes")?;
    let goal = Goal { text: "≥ 1.0 above in-band FEC at equal bits".to_owned(), met: gain >= 1.0 };
    bench.alone(&format!("20 % lost, 32 kbit/s, {name} above in-band FEC"), "PESQ", Spread::of([gain]), Some(goal));
    bench
        .note("Where an encoder takes more than it was asked for, the table says so: that score is not at equal bits.");
    bench.note("One run: the same seeds give the same scores. Redundant copies of whole packets (RED, RFC 2198) are not built yet.");
    Ok(bench)
}

/// The packets, and how many samples later than it went in a sound comes out.
fn encoded(original: &[f32], kbit: u32, mode: &Mode, loss: u8) -> Result<(Vec<Vec<u8>>, usize)> {
    let settings = EncoderSettings {
        frame: FrameMs::Ms20,
        bitrate: Bitrate(kbit * 1_000),
        fec: mode.fec,
        // Zero would turn off what is to be compared, at equal bits.
        expected_loss_percent: loss.max(1),
        dred: mode.dred,
        ..EncoderSettings::default()
    };
    let mut encoder = Encoder::new(settings)?;
    let (samples, late) = (encoder.frame_samples(), encoder.lookahead());
    let mut sound = original.to_vec();
    sound.resize((original.len() + late).next_multiple_of(samples), 0.0);
    let packets = sound.chunks(samples).map(|frame| encoder.encode(frame)).collect::<Result<_, _>>()?;
    Ok((packets, late))
}

/// What a listener hears of them.
fn heard(packets: &[Vec<u8>], loss: u8, seed: u64) -> Result<Vec<f32>> {
    let mut chance = Chance::new(seed + 1);
    let lost: Vec<bool> = packets.iter().map(|_| chance.per_million(u32::from(loss) * 10_000)).collect();
    let mut decoder = Decoder::new(FrameMs::Ms20)?;
    let samples = decoder.frame_samples();
    let mut heard = Vec::with_capacity(packets.len() * samples);
    for (at, packet) in packets.iter().enumerate() {
        if !lost[at] {
            heard.extend(decoder.decode(packet)?);
            continue;
        }
        let later = (at + 1..packets.len().min(at + 1 + REACH)).find(|later| !lost[*later]);
        match later {
            Some(later) => heard.extend(decoder.recover(&packets[later], u16::try_from(later - at)?)?.0),
            None => heard.extend(decoder.conceal(samples)?),
        }
    }
    Ok(heard)
}

/// Every third sample of what is below 7.5 kHz: 48 kHz to 16 kHz.
fn third(sound: &[f32]) -> Vec<f32> {
    const HALF: i32 = 48;
    let cut = 7_500.0 / 48_000.0;
    let taps: Vec<f64> = (-HALF..=HALF)
        .map(|at| {
            let x = f64::from(at);
            let sinc = if at == 0 {
                2.0 * cut
            } else {
                (core::f64::consts::TAU * cut * x).sin() / (core::f64::consts::PI * x)
            };
            sinc * (0.5 + 0.5 * (core::f64::consts::PI * x / f64::from(HALF + 1)).cos())
        })
        .collect();
    let half = taps.len() / 2;
    let mut padded = vec![0.0_f32; half];
    padded.extend_from_slice(sound);
    padded.resize(sound.len() + 2 * half, 0.0);
    #[expect(clippy::cast_possible_truncation, reason = "samples between -1 and 1")]
    let filtered =
        |window: &[f32]| window.iter().zip(&taps).map(|(sample, tap)| f64::from(*sample) * tap).sum::<f64>() as f32;
    padded.windows(taps.len()).step_by(3).map(filtered).collect()
}

/// Bare samples, as numpy reads them.
fn store(path: &Path, sound: &[f32]) -> Result<()> {
    let bytes: Vec<u8> = sound.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    std::fs::write(path, bytes).with_context(|| path.display().to_string())
}

const SCRIPT: &str = "
import sys, numpy, pesq
for name in sys.argv[1:]:
    reference, degraded = (numpy.fromfile(name + end, dtype='<f4') for end in ('.ref', '.deg'))
    print(pesq.pesq(16000, reference, degraded, 'wb'))
";

fn pesq<'a>(python: &Path, names: impl Iterator<Item = &'a Path>) -> Result<Vec<f64>> {
    let output = Command::new(python).args(["-c", SCRIPT]).args(names).output().context("running python")?;
    ensure!(output.status.success(), "PESQ: {}", String::from_utf8_lossy(&output.stderr).trim());
    let text = String::from_utf8(output.stdout)?;
    text.lines().map(|line| line.trim().parse().with_context(|| line.to_owned())).collect()
}

/// Python with these packages, installed where they are not yet.
fn installed(packages: &[&str]) -> Result<PathBuf> {
    let versions: Vec<String> =
        packages.iter().zip([NUMPY, PESQ]).map(|(name, version)| format!("{name}=={version}")).collect();
    crate::python::with(&format!("pesq-{PESQ}"), &versions, "bin/python")
}
