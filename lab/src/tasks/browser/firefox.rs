//! The same in Firefox, briefly: a page signs in, talks and listens.

use std::path::Path;

use anyhow::{Context, Result};
use holler_client::audio::wav;
use serde_json::json;

use super::page::{Page, Start};
use super::pulse::Pulse;
use super::sound::{microphone_gave, samples, spoken_part};
use super::{LIKENESS_MIN, MISSING_MS_MAX, NATIVE, Options, PATIENCE, ROOM, WEB, trust};
use crate::programs::{self, PASSWORD, Server, text};
use crate::similarity::compare;
use crate::tasks::say;

/// So often, each time from the beginning. `false`: once it was not as it must be.
pub(super) fn often(options: &Options, programs: &Path, firefox: &Path, times: u32) -> Result<bool> {
    let mut good = 0;
    for time in 1..=times {
        match smoke(options, programs, firefox) {
            Ok(faults) if faults.is_empty() => good += 1,
            Ok(faults) => say(&format!("FAULT the {time}. time: {faults:?}")),
            Err(error) => say(&format!("FAULT the {time}. time: {error:#}")),
        }
    }
    say(&format!("Firefox: {good} of {times} times as it must be"));
    Ok(good == times)
}

/// What was not as it must be.
pub(super) fn smoke(options: &Options, programs: &Path, firefox: &Path) -> Result<Vec<String>> {
    let scratch = tempfile::tempdir().context("a scratch folder")?;
    let scratch = scratch.path();
    let server = Server::start(programs, scratch)?;
    server.add_user(NATIVE, ROOM)?;
    server.add_user(WEB, ROOM)?;
    let pulse = Pulse::start(&scratch.join("sound"))?;
    let home = scratch.join("browser");
    trust(&home.join("profile"), server.root())?;
    let sound = pulse.address();
    let mut page = Page::start(&Start {
        driver: "firefox.mjs",
        root: server.root(),
        modules: &options.modules,
        program: firefox,
        home: &home,
        url: server.url(),
        microphone: None,
        sound: Some(&sound),
    })?;
    let mut round = Firefox { page: &mut page, server: &server, pulse: &pulse, scratch, faults: Vec::new() };
    round.sign_in()?;
    round.talks()?;
    round.listens()?;
    let Firefox { faults, .. } = round;
    page.end()?;
    server.stop()?;
    Ok(faults)
}

struct Firefox<'a> {
    page: &'a mut Page,
    server: &'a Server,
    pulse: &'a Pulse,
    scratch: &'a Path,
    faults: Vec<String>,
}

impl Firefox<'_> {
    fn sign_in(&mut self) -> Result<()> {
        let opened = self.page.ask(&json!({"do": "open"}))?;
        say(&format!("Firefox: first screen usable {} ms after navigation", opened["usable_ms"]));
        self.page.ask(&json!({"do": "sign-in", "login": WEB, "password": PASSWORD}))?;
        self.page.ask(&json!({"do": "click", "selector": ".room-row"}))?;
        self.page.ask(&json!({"do": "wait-for", "words": "Hold to talk"}))?;
        Ok(())
    }

    fn talks(&mut self) -> Result<()> {
        let out = self.scratch.join("native");
        std::fs::create_dir_all(&out).context("a folder for what is heard")?;
        let arguments = ["listen", ROOM, "--out", text(&out)?, "--bursts", "1", "--timeout", "60"];
        let mut listener = self.server.client(NATIVE, &arguments)?;
        listener.wait_for(PATIENCE, |line| line["type"] == "listening").context("the native listener")?;
        self.page.ask(&json!({"do": "listen"}))?;
        self.page.ask(&json!({"do": "press"}))?;
        self.page.ask(&json!({"do": "wait-for", "words": "Speak now"})).context("Firefox got the floor")?;
        self.pulse.say(&programs::fixture("speech-a.wav"))?;
        self.page.ask(&json!({"do": "release"}))?;
        self.page.ask(&json!({"do": "wait-for", "words": "Delivered"})).context("the server has its burst")?;
        let lines = listener.finish(PATIENCE).context("the native listener")?;
        let complete = lines.iter().find(|line| line["type"] == "complete").context("the burst came complete")?;
        let heard = wav::read(Path::new(complete["file"].as_str().context("its file")?))?;
        let file = self.scratch.join("captured.f32");
        self.page.ask(&json!({"do": "captured", "out": text(&file)?}))?;
        let captured = spoken_part(&samples(&file)?);
        let given = microphone_gave(&wav::read(&programs::fixture("speech-a.wav"))?, &captured)?;
        say(&format!("Firefox's microphone: {given}"));
        self.compare("Firefox to native", &captured, &heard);
        Ok(())
    }

    fn listens(&mut self) -> Result<()> {
        let file = programs::fixture("speech-b.wav");
        self.page.ask(&json!({"do": "listen"}))?;
        let talker = self.server.client(NATIVE, &["talk", ROOM, text(&file)?])?;
        self.page.ask(&json!({"do": "wait-for", "words": format!("{NATIVE} is talking")}))?;
        talker.finish(PATIENCE).context("the native talker")?;
        let out = self.scratch.join("heard.f32");
        self.page.ask(&json!({"do": "heard", "out": text(&out)?}))?;
        self.compare("native to Firefox", &wav::read(&file)?, &samples(&out)?);
        Ok(())
    }

    fn compare(&mut self, way: &str, said: &[f32], heard: &[f32]) {
        let found = compare(said, heard);
        let lost = found.clipped_start_ms + found.clipped_end_ms + found.missing_total_ms();
        say(&format!("{way}: likeness {:.2}, {lost:.0} ms of speech missing", found.similarity));
        if found.similarity < LIKENESS_MIN || lost > MISSING_MS_MAX {
            self.faults.push(format!("{way}: {found:?}"));
        }
    }
}
