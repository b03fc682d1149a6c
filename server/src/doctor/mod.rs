//! `hollerd doctor`: looks at everything that a server needs, and says for each thing that is wrong what it is, why it matters and
//! what to do.
//!
//! It changes nothing, needs no server and disturbs none: beside a running one the database is only read. Each module looks at one
//! subject and gives [`Finding`]s; a subject that can't be looked at because of another finding says nothing.

mod certificate;
mod database;
mod folders;
mod machine;
mod notifications;
mod reach;

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use crate::config::{ConfigError, Loaded};
use crate::storage;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Good,
    /// Good to know.
    Note,
    /// It works, and will not for long or not for everybody.
    Warning,
    /// It does not work, or people's data is at risk.
    Bad,
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Warning => "WARNING",
            Self::Bad => "BAD",
        })
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The subject, such as `certificate`.
    pub subject: &'static str,
    /// How bad it is.
    pub level: Level,
    /// What was found.
    pub what: String,
    /// Why it matters; empty where nothing is wrong.
    pub why: String,
    /// What to do; empty where nothing is wrong.
    pub remedy: String,
}

/// What was found so far.
#[derive(Default)]
struct Findings(Vec<Finding>);

impl Findings {
    fn on(&mut self, subject: &'static str) -> Notes<'_> {
        Notes { subject, findings: &mut self.0 }
    }
}

/// Collects what is found about one subject.
struct Notes<'a> {
    subject: &'static str,
    findings: &'a mut Vec<Finding>,
}

impl Notes<'_> {
    fn add(&mut self, level: Level, what: String, why: &str, remedy: String) {
        self.findings.push(Finding { subject: self.subject, level, what, why: why.to_owned(), remedy });
    }

    fn good(&mut self, what: impl Into<String>) {
        self.add(Level::Good, what.into(), "", String::new());
    }

    fn note(&mut self, what: impl Into<String>) {
        self.add(Level::Note, what.into(), "", String::new());
    }

    fn warning(&mut self, what: impl Into<String>, why: &str, remedy: impl Into<String>) {
        self.add(Level::Warning, what.into(), why, remedy.into());
    }

    fn bad(&mut self, what: impl Into<String>, why: &str, remedy: impl Into<String>) {
        self.add(Level::Bad, what.into(), why, remedy.into());
    }
}

/// What to look at, and when it is.
#[derive(Clone, Copy, Debug)]
pub struct Order {
    /// Read every page and index of the database instead of the quick check: minutes for a large one.
    pub thorough: bool,
    /// The time since 1970.
    pub now: Duration,
}

/// Looks at everything.
pub fn examine(settings: Result<Loaded, ConfigError>, order: Order) -> Vec<Finding> {
    let mut findings = Findings::default();
    let loaded = match settings {
        Ok(loaded) => loaded,
        Err(ConfigError(faults)) => {
            let why = "A server does not start with wrong settings, and a running one does not take them on HUP.";
            for fault in faults {
                findings.on("settings").bad(format!("{}: {}", fault.place, fault.what), why, fault.remedy);
            }
            return findings.0;
        }
    };
    let config = &loaded.config;
    findings.on("settings").good(loaded.file.as_ref().map_or_else(
        || "no file was read: environment, flags and defaults".to_owned(),
        |file| format!("{} is good", file.display()),
    ));
    let server = storage::server_of(&config.data);
    findings.on("server").note(match server {
        Some(pid) => format!("process {pid} serves {}", config.data.display()),
        None => format!("no server runs on {}", config.data.display()),
    });
    folders::look(&mut findings.on("folders"), config);
    folders::ring(&mut findings.on("key ring"), config);
    machine::disk(&mut findings.on("disk"), config);
    let newest = database::look(&mut findings.on("database"), config, order.thorough);
    machine::clock(&mut findings.on("clock"), order.now, newest);
    machine::files(&mut findings.on("open files"), config, server);
    let certificate = certificate::look(&mut findings.on("certificate"), config, order.now);
    notifications::look(&mut findings.on("notifications"), config);
    if server.is_some() {
        reach::look(&mut findings.on("reach"), config, certificate.as_deref());
    } else {
        machine::ports(&mut findings.on("ports"), config);
    }
    findings.0
}

/// The findings as text for people: those that are not good in full.
pub fn render(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        text.push_str(&format!("{:<8} {:<12} {}\n", finding.level.to_string(), finding.subject, finding.what));
        for (label, line) in [("why:", &finding.why), ("do:", &finding.remedy)] {
            if !line.is_empty() {
                text.push_str(&format!("{:21} {label:<5} {line}\n", ""));
            }
        }
    }
    let count = |level| findings.iter().filter(|finding| finding.level == level).count();
    text.push_str(&format!("\n{} bad, {} warnings\n", count(Level::Bad), count(Level::Warning)));
    text
}
