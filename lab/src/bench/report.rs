//! What was found: the JSON that `docs/PERFORMANCE.md` is made from.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use super::machine::Machine;
use super::rounds::{Rounds, Spread};

/// Everything that was measured on one machine.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Report {
    pub(super) machine: Machine,
    pub(super) benches: Vec<Bench>,
}

/// One bench.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Bench {
    pub(super) name: String,
    pub(super) title: String,
    /// When, UTC.
    pub(super) date: String,
    /// Which code.
    pub(super) commit: String,
    pub(super) pairs: u32,
    pub(super) took_s: u64,
    /// Rounds in which the generator was the bottleneck.
    pub(super) discarded: u32,
    /// What was done, for a reader who was not there.
    pub(super) how: String,
    pub(super) figures: Vec<Figure>,
    /// What the figures do not say by themselves.
    pub(super) notes: Vec<String>,
}

/// One line of a table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Figure {
    pub(super) what: String,
    pub(super) unit: String,
    pub(super) ours: Spread,
    pub(super) beside: Vec<Beside>,
    pub(super) goal: Option<Goal>,
}

/// What stands beside ours.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Beside {
    pub(super) name: String,
    pub(super) value: Spread,
    /// Ours to theirs.
    pub(super) ratio: Spread,
}

/// What was to be reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Goal {
    pub(super) text: String,
    pub(super) met: bool,
}

/// A goal in words, and whether our spread, with its ratios to what stands beside it, reaches it.
pub(super) type Wanted<'a> = (&'a str, fn(&Spread, &[Spread]) -> bool);

impl Report {
    /// An earlier report, where there is one.
    pub(super) fn read(path: &Path) -> Result<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => serde_json::from_str(&text)
                .with_context(|| format!("{} is no report of this build: remove it", path.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(error).with_context(|| path.display().to_string()),
        }
    }

    /// Figures of another machine are no company for ours.
    pub(super) fn is_of(&mut self, machine: Machine) {
        if self.machine != machine {
            *self = Self { machine, benches: Vec::new() };
        }
    }

    /// Puts a bench in the place of its older one.
    pub(super) fn put(&mut self, bench: Bench, order: &[&str]) {
        self.benches.retain(|old| old.name != bench.name);
        self.benches.push(bench);
        self.benches.sort_by_key(|bench| order.iter().position(|name| *name == bench.name));
    }

    pub(super) fn json(&self) -> Result<String> {
        Ok(serde_json::to_string_pretty(self)?)
    }
}

impl Bench {
    pub(super) fn new(how: &str) -> Self {
        Self { how: how.split_whitespace().collect::<Vec<_>>().join(" "), ..Self::default() }
    }

    /// Says which bench it is, of what and when.
    pub(super) fn sign(&mut self, name: &str, title: &str, pairs: u32, took: Duration) -> Result<()> {
        (self.name, self.title, self.pairs) = (name.to_owned(), title.to_owned(), pairs);
        self.date = date(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs() / 86_400);
        self.commit = commit();
        self.took_s = took.as_secs();
        Ok(())
    }

    /// A figure with nothing beside it.
    pub(super) fn alone(&mut self, what: &str, unit: &str, ours: Spread, goal: Option<Goal>) {
        let figure = Figure { what: what.to_owned(), unit: unit.to_owned(), ours, beside: Vec::new(), goal };
        self.figures.push(figure);
    }

    /// A figure of rounds: ours, and others beside it. `judge` is given ours and the ratios, in the order of `others`.
    pub(super) fn compare(
        &mut self,
        rounds: &Rounds,
        what: (&str, &str),
        ours: (&str, &str),
        others: &[(&str, &str, &str)],
        goal: Option<Wanted<'_>>,
    ) {
        let own = rounds.spread(ours.0, ours.1);
        let beside: Vec<Beside> = others
            .iter()
            .map(|(name, contender, value)| Beside {
                name: (*name).to_owned(),
                value: rounds.spread(contender, value),
                ratio: rounds.ratio(ours, (contender, value)),
            })
            .collect();
        let ratios: Vec<Spread> = beside.iter().map(|beside| beside.ratio).collect();
        let goal = goal.map(|(text, judge)| Goal { text: text.to_owned(), met: judge(&own, &ratios) });
        let (what, unit) = (what.0.to_owned(), what.1.to_owned());
        self.figures.push(Figure { what, unit, ours: own, beside, goal });
    }

    pub(super) fn note(&mut self, text: impl AsRef<str>) {
        self.notes.push(text.as_ref().split_whitespace().collect::<Vec<_>>().join(" "));
    }
}

/// The day of the common calendar that begins `days` after 1970-01-01.
fn date(days: u64) -> String {
    // Counted from 0000-03-01, years have their leap day at the end, and 400 of them have 146,097 days.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * month + 2) / 5 + 1, if month < 10 { month + 3 } else { month - 9 });
    format!("{}-{month:02}-{day:02}", era * 400 + year + u64::from(month <= 2))
}

/// Which code this is, as far as git can tell.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let changed = git(&["status", "--porcelain", "--untracked-files=no", "--", "*.rs", "*.toml"])
        .is_some_and(|list| !list.is_empty());
    if changed { format!("{commit}, changed") } else { commit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_dates() {
        for (days, text) in [(0, "1970-01-01"), (59, "1970-03-01"), (11_016, "2000-02-29"), (20_779, "2026-11-22")] {
            assert_eq!(date(days), text);
        }
    }

    #[test]
    fn another_machine_begins_another_report() {
        let machine = |cores| Machine { cores, ..Machine::default() };
        let mut report = Report { machine: machine(2), benches: vec![] };
        for name in ["b", "a", "b"] {
            report.put(Bench { name: name.into(), ..Bench::default() }, &["a", "b"]);
        }
        report.is_of(machine(2));
        assert_eq!(report.benches.iter().map(|bench| bench.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        report.is_of(machine(4));
        assert!(report.benches.is_empty());
    }
}
