//! The demo: recorded speech goes in at one client, through a real server over TLS, and comes out at three others, measured.
//!
//! Everything is real and runs as its own process: `hollerd` with a fresh data folder on a port that the system chose, and
//! `holler` for the talkers and each listener. One listener joins while the first burst is being spoken. The last burst is said
//! by somebody whose link dies in the middle of it and comes back after its end, and at the end somebody who was offline all the
//! time plays what they missed. What each heard is written into a folder; the figures come from the JSON lines of the clients, whose clock (`CLOCK_BOOTTIME`) all processes of
//! a machine share, and from the comparison of what was heard with what was said.

mod verdict;

use std::io::{Write, stderr, stdout};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use self::verdict::{Burst, Hearing, Recovery};
use crate::programs::{self, Running, Server, text};
use crate::proxy::Proxy;

/// What is said.
const SPEECH: [&str; 2] = ["speech-a.wav", "speech-b.wav"];
/// The talker and those who listen; the last joins late.
const TALKER: &str = "alice";
const LISTENERS: [&str; 3] = ["ben", "cleo", "dora"];
/// Whose link dies mid-sentence, and who is offline until everything was said.
const CUT_TALKER: &str = "emil";
const ABSENT: &str = "finn";
const ROOM: &str = "Everyone";
/// After this frame of the first burst the last listener joins.
const JOIN_AFTER: u64 = 100;
/// How long any step may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// How to run the demo.
#[derive(Clone, Debug, clap::Parser)]
#[command(name = "holler-demo", about = "Recorded speech in at one client, out at three others, measured", version)]
pub struct Options {
    /// Where to write what each listener heard
    #[arg(long, value_name = "DIR", default_value = "target/demo")]
    pub out: PathBuf,
    /// Where hollerd and holler are [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub programs: Option<PathBuf>,
    /// Talk with this recording instead of the two that come with Holler
    #[arg(long, value_name = "FILE.wav")]
    pub speech: Vec<PathBuf>,
}

/// Runs the demo and prints its table. `true` when every listener heard everything.
pub fn run(options: &Options) -> Result<bool> {
    let programs = programs::folder(options.programs.as_deref())?;
    let speech =
        if options.speech.is_empty() { SPEECH.map(programs::fixture).to_vec() } else { options.speech.clone() };
    let scratch = tempfile::tempdir().context("a scratch folder")?;
    tell("starting a server and signing six people in");
    let server = Server::start(&programs, scratch.path())?;
    for name in [TALKER, ABSENT].iter().chain(&LISTENERS) {
        server.add_user(name, ROOM)?;
    }
    let link = server.add_user_behind(CUT_TALKER, ROOM)?;
    let count = speech.len() + 1;
    let mut listeners = Vec::new();
    for name in &LISTENERS[..LISTENERS.len() - 1] {
        listeners.push(listen(&server, options, name, count)?);
    }
    let mut bursts = Vec::new();
    for (at, file) in speech.iter().enumerate() {
        tell(&format!("{TALKER} says {}", file.display()));
        let mut talk = server.client(TALKER, &["talk", ROOM, text(file)?, "--frames"])?;
        if at == 0 {
            talk.wait_for(PATIENCE, |line| line["type"] == "captured" && line["number"].as_u64() >= Some(JOIN_AFTER))
                .context("the talker's first two seconds")?;
            let late = LISTENERS[LISTENERS.len() - 1];
            tell(&format!("{late} joins while {TALKER} talks"));
            listeners.push(listen(&server, options, late, count)?);
        }
        let lines = talk.finish(PATIENCE).context("the talker")?;
        bursts.push(Burst::said(file, &lines)?);
    }
    let last = speech.last().context("nothing to say")?;
    let recovery = cut_off(&server, &link, last, &mut bursts, &mut listeners)?;
    let mut hearings = Vec::new();
    for (name, running) in LISTENERS.iter().zip(listeners) {
        let lines = running.finish(PATIENCE).with_context(|| format!("the listener {name}"))?;
        for burst in &bursts {
            hearings.push(Hearing::of(name, burst, &lines).with_context(|| format!("what {name} heard"))?);
        }
    }
    tell(&format!("{ABSENT} comes back and plays what was missed"));
    let folder = empty(options, ABSENT)?;
    let lines = server.client(ABSENT, &["play", ROOM, "--missed", "--out", text(&folder)?])?.finish(PATIENCE)?;
    let missed = verdict::missed(ABSENT, &bursts, &lines)?;
    server.stop()?;
    ensure!(!hearings.is_empty(), "nobody heard anything");
    let mut page = verdict::table(&bursts, &hearings);
    page.push_str(&format!("\n{recovery}\n{missed}\n"));
    let good = hearings.iter().all(|hearing| hearing.faults.is_empty()) && missed.faults.is_empty();
    page.push_str(&format!("\nWhat each heard is in {}\n", options.out.display()));
    stdout().write_all(page.as_bytes()).context("standard output")?;
    Ok(good)
}

/// Somebody's link dies in the middle of a sentence and comes back when it was said: every listener gets all of it.
fn cut_off(
    server: &Server,
    link: &Proxy,
    file: &Path,
    bursts: &mut Vec<Burst>,
    listeners: &mut [Running],
) -> Result<Recovery> {
    let half = verdict::frames(file)? / 2;
    tell(&format!("{CUT_TALKER} says {}; the link dies in the middle", file.display()));
    let mut talk = server.client(CUT_TALKER, &["talk", ROOM, text(file)?, "--frames"])?;
    talk.wait_for(PATIENCE, |line| line["type"] == "captured" && line["number"].as_u64() >= Some(half))
        .context("the first half of the sentence")?;
    link.cut();
    let cut = Instant::now();
    talk.wait_for(PATIENCE, |line| line["type"] == "ending").context("the end of the sentence")?;
    link.mend();
    let mended = Instant::now();
    let delivered = talk.wait_for(PATIENCE, |line| line["type"] == "delivered").context("the delivery")?;
    let whole = |line: &Value| line["type"] == "complete" && line["burst"] == delivered["burst"];
    for listener in listeners {
        listener.wait_for(PATIENCE, whole).context("the whole of a sentence that was cut")?;
    }
    let recovery = Recovery { who: CUT_TALKER, away: mended - cut, complete: mended.elapsed() };
    let lines = talk.finish(PATIENCE).context("the talker whose link died")?;
    let mut burst = Burst::said(file, &lines)?;
    burst.cut = true;
    bursts.push(burst);
    Ok(recovery)
}

/// A folder of this name for what somebody heard, with nothing in it.
fn empty(options: &Options, name: &str) -> Result<PathBuf> {
    let folder = options.out.join(name);
    if folder.exists() {
        std::fs::remove_dir_all(&folder).with_context(|| format!("emptying {}", folder.display()))?;
    }
    std::fs::create_dir_all(&folder).with_context(|| format!("making {}", folder.display()))?;
    Ok(folder)
}

/// Starts a listener and waits until the server has let it into the room.
fn listen(server: &Server, options: &Options, name: &str, bursts: usize) -> Result<Running> {
    let folder = empty(options, name)?;
    let count = bursts.to_string();
    let seconds = PATIENCE.as_secs().to_string();
    let arguments = ["listen", ROOM, "--out", text(&folder)?, "--bursts", &count, "--timeout", &seconds, "--frames"];
    let mut running = server.client(name, &arguments)?;
    running
        .wait_for(PATIENCE, |line| line["type"] == "listening")
        .with_context(|| format!("{name} was not let into the room"))?;
    Ok(running)
}

fn tell(what: &str) {
    let _ = writeln!(stderr(), "demo: {what}");
}

/// Says why the demo could not be run.
pub fn complain(error: &anyhow::Error) {
    let _ = writeln!(stderr(), "demo: {error:#}");
}
