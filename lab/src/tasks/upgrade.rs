//! `./x lab upgrade`: data that earlier versions wrote, opened by this build.
//!
//! `lab/fixtures/schema-N` holds what a real server of schema version N left when it was stopped: its database, its `KEYS` and its
//! key ring, and in `told.json` what its log said. Each is copied, served by this build's `hollerd`, and used by real clients:
//! sign in, read everything, send, talk, and read again after another restart.
//!
//! `./x lab upgrade --store FOLDER` makes such a folder with this build (`--programs` names another build's). That is done once,
//! when a schema version is released; after that its folder never changes.

use std::fs;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holler_client::audio::{RATE_HZ, wav};
use serde_json::{Value, json};

use super::say;
use crate::programs::{self, Server};

/// Those who are in the data, each with [`programs::PASSWORD`].
pub const PEOPLE: [&str; 2] = ["ada", "ben"];
/// Where they talk.
pub const ROOM: &str = "Everyone";
/// What was sent.
pub const TEXTS: [&str; 3] = ["Gate four is open.", "Understood, gate four. Grüße!", "Radio check, over."];
/// Frames after which the second burst's sender died.
const KILLED_AFTER: u64 = 25;
/// How long any step may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// The files of a fixture, below its folder and below a server's.
const FILES: [&str; 3] = ["data/holler.db", "data/KEYS", "keys/ring.toml"];

/// What `upgrade` takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Instead of checking, store what a server of this build leaves
    #[arg(long, value_name = "FOLDER")]
    pub store: Option<PathBuf>,
    /// Where hollerd and holler are [default: beside this program]
    #[arg(long, value_name = "FOLDER")]
    pub programs: Option<PathBuf>,
}

/// Runs it.
pub(super) fn run(options: &Options) -> Result<bool> {
    let programs = programs::folder(options.programs.as_deref())?;
    if let Some(folder) = &options.store {
        return store(&programs, folder).map(|()| true);
    }
    let mut versions = 0;
    for entry in fs::read_dir(fixtures()).context("the fixtures")? {
        let folder = entry?.path();
        if folder.join("told.json").exists() {
            versions += 1;
            check(&programs, &folder).with_context(|| format!("{}", folder.display()))?;
        }
    }
    ensure!(versions > 0, "there is no fixture in {}", fixtures().display());
    say(&format!("{versions} earlier version(s) open, are read whole and go on"));
    Ok(true)
}

/// Where the fixtures are.
pub fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

fn store(programs: &Path, folder: &Path) -> Result<()> {
    ensure!(!folder.exists(), "{} is there already; a stored version is never changed", folder.display());
    let scratch = tempfile::tempdir()?;
    let server = Server::start(programs, scratch.path())?;
    for name in PEOPLE {
        server.add_user(name, ROOM)?;
    }
    for (at, text) in TEXTS.iter().enumerate() {
        server.client(PEOPLE[at % PEOPLE.len()], &["send", ROOM, text])?.finish(PATIENCE)?;
    }
    let speech = scratch.path().join("speech.wav");
    recording(&speech, Duration::from_millis(1_200))?;
    talk(&server, &speech)?;
    let long = scratch.path().join("long.wav");
    recording(&long, Duration::from_secs(10))?;
    let mut dying = server.client(PEOPLE[0], &["talk", ROOM, programs::text(&long)?, "--frames"])?;
    dying.wait_for(PATIENCE, |line| line["type"] == "captured" && line["number"].as_u64() >= Some(KILLED_AFTER))?;
    // Killed: its link dies, and the server says so in the log.
    drop(dying);
    let mut tail = server.client(PEOPLE[1], &["tail", ROOM, "--follow"])?;
    tail.wait_for(PATIENCE, |line| line["body"]["kind"] == "burst.interrupted")?;
    drop(tail);
    let told = json!({ "room": ROOM, "people": PEOPLE, "password": programs::PASSWORD, "events": events(&server)? });
    server.stop()?;
    for file in FILES {
        let to = folder.join(file);
        fs::create_dir_all(to.parent().context("a folder")?)?;
        fs::copy(scratch.path().join(file), &to).with_context(|| format!("{file}; was the server stopped cleanly?"))?;
    }
    fs::write(folder.join("told.json"), format!("{told:#}\n"))?;
    say(&format!("stored {}", folder.display()));
    Ok(())
}

/// Copies a fixture to where a server can open it: git keeps no permissions.
pub fn copy(folder: &Path, to: &Path) -> Result<()> {
    for file in FILES {
        let path = to.join(file);
        let parent = path.parent().context("a folder")?;
        fs::DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
        fs::copy(folder.join(file), &path).with_context(|| format!("{}", folder.join(file).display()))?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    }
    Ok(())
}

fn check(programs: &Path, folder: &Path) -> Result<()> {
    let scratch = tempfile::tempdir()?;
    copy(folder, scratch.path())?;
    let told: Value = serde_json::from_slice(&fs::read(folder.join("told.json"))?)?;
    let server = Server::start(programs, scratch.path())?;
    for name in PEOPLE {
        server.sign_in(name)?;
    }
    let before = events(&server)?;
    ensure!(before == told["events"], "the log says something else:\n{before:#}\ninstead of\n{:#}", told["events"]);
    server.client(PEOPLE[1], &["send", ROOM, "and on"])?.finish(PATIENCE)?;
    let speech = scratch.path().join("speech.wav");
    recording(&speech, Duration::from_millis(1_200))?;
    talk(&server, &speech)?;
    let after = events(&server)?;
    server.stop()?;
    let server = Server::start(programs, scratch.path())?;
    // At another port.
    server.sign_in(PEOPLE[1])?;
    ensure!(events(&server)? == after, "a restart changed the log");
    server.stop()?;
    let (before, after) = (before.as_array().context("a list")?.len(), after.as_array().context("a list")?);
    ensure!(after.len() == before + 3, "expected 3 events more than {before}: {after:?}");
    say(&format!("{}: {before} events read, a message and a burst added", folder.display()));
    Ok(())
}

fn talk(server: &Server, speech: &Path) -> Result<()> {
    let mut listening = server.client(PEOPLE[1], &["listen", ROOM, "--bursts", "1", "--timeout", "60"])?;
    listening.wait_for(PATIENCE, |line| line["type"] == "listening")?;
    server.client(PEOPLE[0], &["talk", ROOM, programs::text(speech)?])?.finish(PATIENCE)?;
    listening.finish(PATIENCE)?;
    Ok(())
}

/// Everything in the room's log.
fn events(server: &Server) -> Result<Value> {
    let lines = server.client(PEOPLE[1], &["tail", ROOM, "--lines", "500"])?.finish(PATIENCE)?;
    Ok(Value::Array(lines.into_iter().filter(|line| line["type"] == "event").collect()))
}

/// A tone, so that its frames are not silence: a triangle wave of 200 Hz.
pub(super) fn recording(path: &Path, length: Duration) -> Result<()> {
    const PERIOD: u16 = 240;
    let samples = length.as_millis() * u128::from(RATE_HZ) / 1_000;
    let phases = (0..PERIOD).cycle().map(|at| f32::from(at) / f32::from(PERIOD));
    let tone: Vec<f32> = phases.take(samples.try_into()?).map(|phase| (phase - 0.5).abs() * 0.5 - 0.125).collect();
    Ok(wav::write(path, &tone)?)
}
