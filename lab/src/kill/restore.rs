//! A restore, rehearsed under live clients: a backup is made beside the server, everybody goes on, the server and its disk are lost, the
//! backup is restored, and the clients, which never stopped, fill it again with what it lacks.
//!
//! What must hold: every text and every burst that was ever acked, before the backup or after it, is in the restored log, once; what one
//! client said is there in the order in which it was said, apart from the place where the backup ended; and everybody has everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::{CLIENTS, Lab, prepare};

/// How long everybody writes and talks before the backup, and again after it.
const SPAN: Duration = Duration::from_secs(6);

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Acked before the backup began.
    pub before: usize,
    /// Acked after it was made, so that the restored log lacked it.
    pub lacked: usize,
    /// Acked by the restored server: again, or for the first time.
    pub after: usize,
    /// Bursts that were delivered.
    pub bursts: usize,
    /// Events in the log at the end.
    pub log: usize,
    /// How long the server was away.
    pub away: Duration,
    /// From its return until the log had everything and everybody had the log.
    pub refilled: Duration,
    /// What must not be.
    pub faults: Vec<String>,
}

/// Runs it with the programs in this folder.
pub fn run(programs: &Path, seed: u64) -> Result<Report> {
    let scratch = tempfile::tempdir().context("a scratch folder")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    let (rest, mut lab) = runtime.block_on(prepare(programs, scratch.path(), seed))?;
    lab.start_server()?;
    for client in 0..CLIENTS {
        lab.start_client(client)?;
    }
    lab.progress("the first messages")?;
    lab.pass_for(SPAN);
    let mut report = Report { before: lab.acked.len(), ..Report::default() };
    let archive = scratch.path().join("holler.tar");
    lab.hollerd("backup", &archive)?;
    let backed_up = lab.acked.len();
    lab.pass_for(SPAN);

    // The machine is lost, and its disk with it; the keys lie elsewhere.
    lab.server = None;
    let lost = Instant::now();
    lab.pass_for(Duration::from_millis(500));
    report.lacked = lab.acked.len() - backed_up;
    fs::rename(scratch.path().join("data"), scratch.path().join("lost")).context("losing the data")?;
    lab.hollerd("restore", &archive)?;
    lab.start_server()?;
    report.away = lost.elapsed();
    let back = Instant::now();
    for client in lab.clients.iter_mut().flatten() {
        client.tell("up");
    }
    lab.heads.clear();
    let so_far = lab.acked.len();
    lab.progress("a message after the restore")?;
    lab.pass_for(SPAN / 2);
    let log = runtime.block_on(lab.settle(&rest))?;
    report.refilled = back.elapsed();
    report.after = lab.acked.len() - so_far;
    report.log = log.len();

    let mut places: BTreeMap<([u8; 16], [u8; 16]), Vec<u64>> = BTreeMap::new();
    for (entry, expected) in log.iter().zip(1..) {
        places.entry(entry.key).or_default().push(entry.seq);
        if entry.seq != expected {
            report.faults.push(format!("gap: {} stands where {expected} should", entry.seq));
        }
    }
    let mut last: BTreeMap<(usize, bool), u64> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for (number, (client, id)) in lab.acked.iter().enumerate() {
        // What is offered again is acked again, also where the backup had it: its place is that of the first time.
        if !seen.insert(id) {
            continue;
        }
        let found = places.get(&(lab.devices[*client], *id.bytes())).map(Vec::as_slice).unwrap_or_default();
        let [seq] = found else {
            let what = if found.is_empty() { "lost" } else { "duplicate" };
            report.faults.push(format!("{what}: {id} of client {client}, acked, is in the log at {found:?}"));
            continue;
        };
        // What the restored log lacked comes behind what it had; within each, a client's own order holds.
        let refilled = (backed_up..so_far).contains(&number);
        let before = last.insert((*client, refilled), *seq);
        if before.is_some_and(|before| before > *seq) {
            report.faults.push(format!("order: {id} of client {client} is at {seq}, after one at {before:?}"));
        }
    }
    runtime.block_on(lab.bursts(&rest))?;
    report.bursts = lab.report.bursts;
    report.faults.append(&mut lab.report.faults);
    ensure!(report.lacked > 0, "nothing was acked after the backup: nothing was rehearsed");
    Ok(report)
}

impl Lab {
    /// Lets everybody go on for so long.
    fn pass_for(&mut self, span: Duration) {
        let until = Instant::now() + span;
        while let Ok(said) = self.said.1.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.note(said);
        }
    }

    /// `hollerd backup` or `restore`, on this data.
    fn hollerd(&self, what: &str, archive: &Path) -> Result<()> {
        let mut command = Command::new(self.programs.join("hollerd"));
        command.arg("--data").arg(self.scratch.join("data")).arg("--keys").arg(self.scratch.join("keys"));
        command.arg(what).arg(archive).env("HOLLER_PRIVATE__LISTEN", "off");
        let done = command.stdin(Stdio::null()).output().with_context(|| format!("hollerd {what}"))?;
        ensure!(done.status.success(), "hollerd {what}: {}", String::from_utf8_lossy(&done.stderr));
        Ok(())
    }
}
