//! What was said against what was heard.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display, Formatter, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holler_client::audio::wav;
use serde_json::Value;

use crate::similarity::{Comparison, compare};

/// Samples of a 20 ms frame at 48 kHz.
const FRAME: usize = 960;
/// Lowest likeness of what was heard live: codec, and pauses cut to keep up. Every fifth frame lost would give 0.85.
const LIVE_LIKENESS_MIN: f64 = 0.85;
/// Lowest likeness of the complete burst: only the codec.
const COMPLETE_LIKENESS_MIN: f64 = 0.9;
/// Speech that the comparison may find clipped or missing though every frame was heard: its own resolution, ms.
const RESOLUTION_MS: f64 = 30.0;

/// A burst as the talker says it was.
pub(super) struct Burst {
    id: String,
    name: String,
    sound: Vec<f32>,
    access_ms: f64,
    /// When each frame's first sample was captured, µs.
    captured: BTreeMap<u64, u64>,
    /// The link died in the middle of it: what was heard live ends there.
    pub(super) cut: bool,
}

/// Frames of a recording.
pub(super) fn frames(file: &Path) -> Result<u64> {
    Ok(u64::try_from(wav::read(file)?.len() / FRAME)?)
}

impl Burst {
    /// Reads the talker's lines.
    pub(super) fn said(file: &Path, lines: &[Value]) -> Result<Self> {
        let sound = wav::read(file)?;
        let of = |kind: &str| lines.iter().find(|line| line["type"] == kind).cloned();
        let granted = of("granted").context("the talker never had the floor")?;
        let delivered = of("delivered").context("the talker's burst was not delivered")?;
        let captured: BTreeMap<u64, u64> = lines
            .iter()
            .filter(|line| line["type"] == "captured")
            .filter_map(|line| Some((line["number"].as_u64()?, line["captured_us"].as_u64()?)))
            .collect();
        let wanted = sound.len() / FRAME;
        ensure!(captured.len() >= wanted, "{} frames of {wanted} were recorded", captured.len());
        Ok(Self {
            id: delivered["burst"].as_str().context("the burst's id")?.to_owned(),
            name: file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            sound,
            access_ms: millis(granted["access_us"].as_u64().context("the access time")?),
            captured,
            cut: false,
        })
    }
}

/// A sentence whose talker lost the link.
pub(super) struct Recovery {
    pub(super) who: &'static str,
    /// How long the link was away.
    pub(super) away: Duration,
    /// From the link's return until every listener had all of it.
    pub(super) complete: Duration,
}

impl Display for Recovery {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { who, away, complete } = self;
        write!(
            f,
            "{who}'s link was away for {:.1} s in mid-sentence: complete at every listener {} ms after its return.",
            away.as_secs_f64(),
            complete.as_millis()
        )
    }
}

/// What one who was offline played afterwards.
pub(super) struct Missed {
    who: &'static str,
    likeness: Vec<f64>,
    /// What was not as it should be, in words.
    pub(super) faults: Vec<String>,
}

/// Reads the lines and files of `play --missed`: every burst, in the order in which they were said.
pub(super) fn missed(who: &'static str, bursts: &[Burst], lines: &[Value]) -> Result<Missed> {
    let played: Vec<&Value> = lines.iter().filter(|line| line["type"] == "playing").collect();
    let order: Vec<&str> = played.iter().filter_map(|line| line["burst"].as_str()).collect();
    let mut faults = Vec::new();
    if order != bursts.iter().map(|burst| burst.id.as_str()).collect::<Vec<_>>() {
        faults.push(format!("{} bursts were said; played were {order:?}", bursts.len()));
    }
    let mut likeness = Vec::new();
    for (burst, line) in bursts.iter().zip(played) {
        let found = compare(&burst.sound, &wav::read(&file(line)?)?);
        judge(&mut faults, &burst.name, &found, COMPLETE_LIKENESS_MIN);
        likeness.push(found.similarity);
    }
    Ok(Missed { who, likeness, faults })
}

impl Display for Missed {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let likeness: Vec<String> = self.likeness.iter().map(|likeness| format!("{likeness:.3}")).collect();
        let (who, count) = (self.who, self.likeness.len());
        write!(
            f,
            "{who}, offline until then, played the {count} missed bursts in order: likeness {}.",
            likeness.join(", ")
        )?;
        self.faults.iter().try_for_each(|fault| write!(f, "\n{who}: {fault}"))
    }
}

/// One burst as one listener heard it.
pub(super) struct Hearing {
    who: String,
    burst: String,
    late: bool,
    /// Mouth to ear: median, 95th percentile, highest, ms.
    mouth_to_ear: [f64; 3],
    late_entry_ms: Option<f64>,
    frames_heard: usize,
    frames_expected: usize,
    /// `None` where the link died: what could be heard live ends there.
    live: Option<Comparison>,
    complete: Comparison,
    /// What was missed or lost, in words; empty when nothing was.
    pub(super) faults: Vec<String>,
}

impl Hearing {
    /// Reads the listener's lines and files.
    pub(super) fn of(who: &str, burst: &Burst, lines: &[Value]) -> Result<Self> {
        let mine: Vec<&Value> = lines.iter().filter(|line| line["burst"] == burst.id.as_str()).collect();
        let of = |kind: &str| mine.iter().find(|line| line["type"] == kind).copied();
        let hearing = of("hearing").context("it was not heard at all")?;
        let late = hearing["late"].as_bool().unwrap_or(false);
        let heard: BTreeMap<u64, (u64, String)> = mine
            .iter()
            .filter(|line| line["type"] == "heard")
            .filter_map(|line| {
                Some((line["number"].as_u64()?, (line["heard_us"].as_u64()?, line["how"].as_str()?.to_owned())))
            })
            .collect();
        let first = heard.keys().next().copied().context("no frame was heard")?;
        let mut faults = Vec::new();
        if !late && first != 1 {
            faults.push(format!("the beginning was clipped: the first frame heard is {first}"));
        }
        let expected: BTreeSet<u64> = burst.captured.keys().copied().filter(|number| *number >= first).collect();
        let whole: BTreeSet<u64> =
            heard.iter().filter(|(_, (_, how))| how == "whole").map(|(number, _)| *number).collect();
        let lost = expected.difference(&whole).count();
        if lost > 0 && !burst.cut {
            faults.push(format!("{lost} frames were not heard as they were said"));
        }
        let mut delays: Vec<f64> = heard
            .iter()
            .filter_map(|(number, (heard_us, _))| {
                let captured_us = burst.captured.get(number)?;
                Some(millis(heard_us.saturating_sub(*captured_us)))
            })
            .collect();
        delays.sort_by(f64::total_cmp);
        let at = |percent: usize| delays.get(delays.len().saturating_sub(1) * percent / 100).copied().unwrap_or(0.0);
        let played = of("played").context("it was not played to its end")?;
        let complete_line = of("complete").context("it was never complete")?;
        if complete_line["missing"].as_u64() != Some(0) {
            faults.push("the complete burst lacks frames".to_owned());
        }
        let begins = usize::try_from(first - 1).unwrap_or(0) * FRAME;
        let said = burst.sound.get(begins..).unwrap_or_default();
        let live = if burst.cut { None } else { Some(compare(said, &wav::read(&file(played)?)?)) };
        let complete = compare(&burst.sound, &wav::read(&file(complete_line)?)?);
        if let Some(live) = &live {
            judge(&mut faults, "live", live, LIVE_LIKENESS_MIN);
        }
        judge(&mut faults, "complete", &complete, COMPLETE_LIKENESS_MIN);
        Ok(Self {
            who: who.to_owned(),
            burst: if burst.cut { "cut".to_owned() } else { burst.name.clone() },
            late,
            mouth_to_ear: [at(50), at(95), at(100)],
            late_entry_ms: of("began").and_then(|line| line["late_entry_us"].as_u64()).map(millis),
            frames_heard: whole.intersection(&expected).count(),
            frames_expected: expected.len(),
            live,
            complete,
            faults,
        })
    }
}

fn file(line: &Value) -> Result<PathBuf> {
    Ok(PathBuf::from(line["file"].as_str().context("no file was written")?))
}

fn judge(faults: &mut Vec<String>, what: &str, found: &Comparison, likeness_min: f64) {
    for (where_, lost_ms) in [
        ("at the beginning", found.clipped_start_ms),
        ("at the end", found.clipped_end_ms),
        ("in between", found.missing_total_ms()),
    ] {
        if lost_ms > RESOLUTION_MS {
            faults.push(format!("{what}: {lost_ms:.0} ms of speech are missing {where_}"));
        }
    }
    if found.similarity < likeness_min {
        faults.push(format!("{what}: likeness {:.2} is below {likeness_min}", found.similarity));
    }
}

fn millis(us: u64) -> f64 {
    f64::from(u32::try_from(us).unwrap_or(u32::MAX)) / 1_000.0
}

/// The table, and what went wrong.
pub(super) fn table(bursts: &[Burst], hearings: &[Hearing]) -> String {
    let mut page = String::new();
    for burst in bursts {
        let seconds = burst.sound.len() as f64 / 48_000.0;
        let cut = if burst.cut { " (cut)" } else { "" };
        let _ = writeln!(
            page,
            "{}{cut}: {seconds:.1} s, floor granted {:.1} ms after key-down",
            burst.name, burst.access_ms
        );
    }
    let _ = writeln!(
        page,
        "\n{:<10} {:<8} {:>24} {:>10} {:>11} {:>10} {:>11} {:>9} {:>11}",
        "burst", "listener", "mouth to ear ms", "late entry", "frames", "clipped", "missing", "likeness", "complete"
    );
    let _ = writeln!(
        page,
        "{:<10} {:<8} {:>8}{:>8}{:>8} {:>10} {:>11} {:>10} {:>11} {:>9} {:>11}",
        "", "", "median", "p95", "most", "ms", "heard", "ms", "ms", "(STOI)", "(STOI)"
    );
    for hearing in hearings {
        let [median, p95, most] = hearing.mouth_to_ear;
        let live = |digits: usize, of: fn(&Comparison) -> f64| {
            hearing.live.as_ref().map_or_else(|| "—".to_owned(), |live| format!("{:.digits$}", of(live)))
        };
        let _ = writeln!(
            page,
            "{:<10} {:<8} {median:>8.1}{p95:>8.1}{most:>8.1} {:>10} {:>11} {:>10} {:>11} {:>9} {:>11.3}",
            hearing.burst,
            hearing.who,
            hearing.late_entry_ms.map_or("—".to_owned(), |ms| format!("{ms:.1}")),
            format!("{}/{}", hearing.frames_heard, hearing.frames_expected),
            live(0, |live| live.clipped_start_ms + live.clipped_end_ms),
            live(0, Comparison::missing_total_ms),
            live(3, |live| live.similarity),
            hearing.complete.similarity,
        );
    }
    for hearing in hearings {
        for fault in &hearing.faults {
            let _ = writeln!(page, "\n{} ({}): {fault}", hearing.who, hearing.burst);
        }
    }
    let late = hearings.iter().filter(|hearing| hearing.late).map(|hearing| hearing.who.as_str());
    let late: BTreeSet<&str> = late.collect();
    if !late.is_empty() {
        let names: Vec<&str> = late.into_iter().collect();
        let _ = writeln!(page, "\n{} joined mid-burst: what counts for them begins there.", names.join(", "));
    }
    page
}
