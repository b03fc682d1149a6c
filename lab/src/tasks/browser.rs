//! The web client in a real browser: a page talks, another page and a native client hear it, and the page plays what a native
//! client says.
//!
//! Debian's Chromium is driven by `lab/browser/drive.mjs`. Its microphone is a recording; what it plays is taken where it goes to
//! the loudspeaker; both are compared with the original. The browser trusts the server's root in a home folder of its own, so
//! that the connection is checked as anywhere. Every screen that is passed is looked over by axe-core.

mod app;
mod controls;
mod devices;
mod firefox;
mod flows;
pub(super) mod kills;
mod page;
mod paths;
mod pulse;
mod sound;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holler_client::audio::wav;
use serde_json::{Value, json};

use self::page::Page;
use self::sound::{heard_at, microphone_gave, samples, spoken_part};
use super::say;
use crate::programs::{self, PASSWORD, Server, text};
use crate::similarity::compare;

const ROOM: &str = "Everyone";
/// At the page.
const WEB: &str = "wilma";
/// At the command line.
const NATIVE: &str = "ben";
/// At a page in another browser, joined by an invite; and her sign-in name, which the page makes of her name.
const OTHER_WEB: &str = "Petra Nováková";
const OTHER_LOGIN: &str = "petra.novakova";
/// What the one at the page sets in place of her password.
const NEW_PASSWORD: &str = "another long password";
/// How long any step may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the microphone hears before the speech, ms: by then it has been opened.
const LEAD_MS: usize = 2_000;
/// And after it, ms.
const TAIL_MS: usize = 3_000;
/// Samples a second.
const RATE_HZ: usize = 48_000;
/// Lowest likeness of what was heard with what was said. Opus leaves 0.97; every fifth frame lost would give 0.85.
const LIKENESS_MIN: f64 = 0.85;
/// Speech that the comparison may find missing though every frame was heard: its own resolution, and what noise suppression takes
/// from the quietest sounds, ms.
const MISSING_MS_MAX: f64 = 120.0;

/// Where everything is.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The folder of npm packages with playwright-core and axe-core
    #[arg(long, value_name = "DIR")]
    modules: PathBuf,
    /// The browser
    #[arg(long, value_name = "FILE", default_value = "/usr/bin/chromium")]
    chromium: PathBuf,
    /// Firefox, to do a part of it as well
    #[arg(long, value_name = "FILE")]
    firefox: Option<PathBuf>,
    /// Do only the part in Firefox, this often
    #[arg(long, value_name = "TIMES", requires = "firefox")]
    firefox_alone: Option<u32>,
    /// Do only the part about voice beside the socket, in Chromium
    #[arg(long)]
    paths_alone: bool,
    /// Do only the part with two devices of one person
    #[arg(long)]
    devices_alone: bool,
    /// Do only the part about what single controls do
    #[arg(long)]
    controls_alone: bool,
    /// Where hollerd and holler are [default: beside this program]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Write every main screen into this folder, light and dark, for desk and phone
    #[arg(long, value_name = "DIR")]
    screenshots: Option<PathBuf>,
}

/// Runs it. `false`: something was not as it must be.
pub(super) fn run(options: &Options) -> Result<bool> {
    let programs = programs::folder(options.programs.as_deref())?;
    if let (Some(firefox), Some(times)) = (&options.firefox, options.firefox_alone) {
        return firefox::often(options, &programs, firefox, times);
    }
    let scratch = tempfile::tempdir().context("a scratch folder")?;
    let said = wav::read(&programs::fixture("speech-a.wav"))?;
    let microphone = scratch.path().join("microphone.wav");
    let silence = |ms: usize| vec![0.0; RATE_HZ / 1_000 * ms];
    wav::write(&microphone, &[silence(LEAD_MS), said.clone(), silence(TAIL_MS)].concat())?;
    if options.paths_alone {
        return Ok(told(&paths::run(options, &programs, &microphone)?));
    }
    if options.devices_alone {
        return Ok(told(&devices::run(options, &programs, &microphone)?));
    }
    if options.controls_alone {
        return Ok(told(&controls::run(options, &programs, &microphone)?));
    }
    let server = Server::start(&programs, scratch.path())?;
    server.add_user(NATIVE, ROOM)?;
    server.add_user(WEB, ROOM)?;
    // Before the page signs in: what a token allows is fixed when it is made.
    server.command(&["user", "set", WEB, "--role", "admin"])?;

    let browser = |name: &str| {
        let home = scratch.path().join(name);
        trust(&home.join(".pki/nssdb"), server.root())?;
        Page::start(&page::Start {
            driver: "drive.mjs",
            root: server.root(),
            modules: &options.modules,
            program: &options.chromium,
            home: &home,
            url: server.url(),
            microphone: Some(&microphone),
            sound: None,
        })
    };
    let (page, mut other) = (browser("browser")?, browser("other-browser")?);
    let shots = options.screenshots.as_deref();
    let mut round = Round { page, server, scratch: scratch.path(), shots, faults: Vec::new() };
    round.sign_in()?;
    let invite = round.server.invite(ROOM)?;
    round.join(&mut other, &invite)?;
    round.page_talks(&said, &mut other)?;
    round.people()?;
    round.emergency(&mut other)?;
    round.invite_made(&mut other)?;
    round.room_gone(&mut other)?;
    round.revoked(&mut other)?;
    other.end()?;
    round.warm()?;
    round.direct_room()?;
    round.page_listens()?;
    round.day()?;
    round.text_is_text()?;
    round.space_bar_and_blur()?;
    round.hands_free()?;
    round.look_over("hands-free")?;
    round.thumb()?;
    round.without_webcodecs()?;
    round.silence()?;
    round.the_past()?;
    round.headset()?;
    round.microphones()?;
    round.crowd()?;
    round.settings()?;
    round.keyboard_alone()?;
    round.new_password()?;
    app::upgrades(&mut round.page, &round.server, NEW_PASSWORD, &mut round.faults)?;
    let Round { mut page, server, shots, mut faults, .. } = round;
    app::kept(&mut page)?;
    app::notifies(&mut page)?;
    server.stop()?;
    page.ask(&json!({"do": "wait-for", "words": "Offline"})).context("the page when the server is gone")?;
    shoot(&mut page, shots, "offline")?;
    app::opens_alone(&mut page)?;
    app::queues(&mut page, shots, &mut faults)?;
    let complaints = page.ask(&json!({"do": "complaints"}))?["complaints"].to_string();
    // A socket that can't be opened is complained of by the browser itself.
    ensure_none(&mut faults, "the browser complained", &complaints.replace("[]", ""), |text| {
        text.contains("TypeError") || text.contains("Content Security")
    });
    page.end()?;
    faults.extend(devices::run(options, &programs, &microphone).context("one person at two devices")?);
    faults.extend(controls::run(options, &programs, &microphone).context("what single controls do")?);
    faults.extend(paths::run(options, &programs, &microphone).context("voice beside the socket")?);
    if let Some(firefox) = &options.firefox {
        faults.extend(firefox::smoke(options, &programs, firefox).context("in Firefox")?);
    }
    Ok(told(&faults))
}

/// Tells what was not as it must be. Whether there was nothing.
fn told(faults: &[String]) -> bool {
    for fault in faults {
        say(&format!("FAULT: {fault}"));
    }
    faults.is_empty()
}

fn ensure_none(faults: &mut Vec<String>, what: &str, text: &str, counts: impl Fn(&str) -> bool) {
    if counts(text) {
        faults.push(format!("{what}: {text}"));
    }
}

/// One browser, from sign-in to end.
struct Round<'a> {
    page: Page,
    server: Server,
    scratch: &'a Path,
    shots: Option<&'a Path>,
    faults: Vec<String>,
}

impl Round<'_> {
    fn ask(&mut self, deed: &Value) -> Result<Value> {
        self.page.ask(deed)
    }

    fn shoot(&mut self, name: &str) -> Result<()> {
        shoot(&mut self.page, self.shots, name)
    }

    /// Looks a screen over for what keeps people with disabilities out.
    fn look_over(&mut self, screen: &str) -> Result<()> {
        look_over(&mut self.page, &mut self.faults, screen)
    }

    fn sign_in(&mut self) -> Result<()> {
        let opened = self.ask(&json!({"do": "open"})).context("was the web client built? `./x web` does it")?;
        say(&format!(
            "first screen usable {} ms after navigation (this build, this machine); of that, ms: {}",
            opened["usable_ms"],
            opened["stages"].as_str().unwrap_or_default()
        ));
        self.look_over("sign-in")?;
        self.shoot("sign-in")?;
        let wrong = json!({"do": "sign-in", "login": WEB, "password": "not the password", "wait": ".banner"});
        self.ask(&wrong).context("a wrong password is said to be wrong")?;
        self.look_over("sign-in refused")?;
        self.shoot("sign-in-refused")?;
        self.ask(&json!({"do": "sign-in", "login": WEB, "password": PASSWORD}))?;
        self.look_over("rooms")?;
        self.shoot("rooms")?;
        self.ask(&json!({"do": "room", "name": ROOM}))?;
        self.look_over("empty room")?;
        self.shoot("room-empty")
    }

    /// From an invite link to the room, in a browser that never was here.
    fn join(&mut self, page: &mut Page, invite: &str) -> Result<()> {
        page.ask(&json!({"do": "open", "link": format!("{invite}x")}))?;
        page.ask(&json!({"do": "wait-for", "words": "Ask whoever sent it"})).context("an invite that is not good")?;
        shoot(page, self.shots, "invite-refused")?;
        page.ask(&json!({"do": "open", "link": invite}))?;
        page.ask(&json!({"do": "wait-for", "words": "You will be in"})).context("what the invite offers")?;
        shoot(page, self.shots, "invite")?;
        look_over(page, &mut self.faults, "invite")?;
        page.ask(&json!({"do": "fill", "label": "Your name", "text": OTHER_WEB}))?;
        let login = page.ask(&json!({"do": "value", "selector": "[name=username]"}))?;
        if login["value"] != OTHER_LOGIN {
            self.faults.push(format!("the sign-in name made of {OTHER_WEB} is {}", login["value"]));
        }
        page.ask(&json!({"do": "fill", "label": "New password", "text": "short"}))?;
        page.ask(&json!({"do": "button", "name": "Join"}))?;
        page.ask(&json!({"do": "wait-for", "words": "at least"})).context("a password that is too short")?;
        page.ask(&json!({"do": "fill", "label": "New password", "text": PASSWORD}))?;
        page.ask(&json!({"do": "button", "name": "Join"}))?;
        page.ask(&json!({"do": "wait-for", "words": "Choose a room"})).context("joined")?;
        let address = page.ask(&json!({"do": "address"}))?;
        if address["address"].as_str().is_none_or(|address| address.contains('#') || address.contains("invite")) {
            self.faults.push("the link of a used invite stays in the address".to_owned());
        }
        shoot(page, self.shots, "first-steps")?;
        look_over(page, &mut self.faults, "first steps")?;
        page.ask(&json!({"do": "button", "name": "Allow the microphone now"}))?;
        page.ask(&json!({"do": "wait-for", "words": "The microphone is ready"}))?;
        // One hears oneself as others would, before anybody else does.
        page.ask(&json!({"do": "listen"}))?;
        page.ask(&json!({"do": "button", "name": "Hear yourself"}))?;
        let (heard, _) = heard_at(page, &self.scratch.join("trial.f32")).context("the trial of the microphone")?;
        let loudest = heard.iter().fold(0.0_f32, |loudest, sample| loudest.max(sample.abs()));
        if loudest < 0.05 {
            self.faults.push(format!("a trial of the microphone sounded as loud as {loudest}"));
        }
        page.ask(&json!({"do": "room", "name": ROOM}))?;
        page.ask(&json!({"do": "listen"}))?;
        Ok(())
    }

    /// Who is here, and that they heard it.
    fn people(&mut self) -> Result<()> {
        // What the server could not take at once is said again after 20 s at most, as is what it did not answer.
        self.ask(&json!({"do": "wait-for", "words": "Heard by 2 of 3", "ms": 60_000}))
            .context("the receipts of both who heard it")?;
        self.shoot("heard-by")?;
        self.ask(&json!({"do": "click", "selector": ".people-button"}))?;
        for words in [format!("{OTHER_WEB}Available"), "not known".to_owned()] {
            self.ask(&json!({"do": "wait-for", "words": words})).context("who is here, and who is not known to be")?;
        }
        self.shoot("people")?;
        self.look_over("people")?;
        self.ask(&json!({"do": "click", "selector": ".people-button"}))?;
        Ok(())
    }

    /// Held for two seconds it is raised; it must be acknowledged; its sender clears it.
    fn emergency(&mut self, other: &mut Page) -> Result<()> {
        other.ask(&json!({"do": "hold", "selector": ".emergency-button"}))?;
        other.ask(&json!({"do": "wait-for", "words": "Emergency: speak"})).context("an emergency is raised")?;
        shoot(other, self.shots, "emergency-own")?;
        other.ask(&json!({"do": "release"}))?;
        self.ask(&json!({"do": "wait-for", "words": format!("Emergency: {OTHER_WEB}")})).context("others see it")?;
        self.shoot("emergency")?;
        self.look_over("emergency")?;
        self.ask(&json!({"do": "button", "name": "I see it"}))?;
        self.ask(&json!({"do": "wait-for", "words": format!("Emergency of {OTHER_WEB}")}))?;
        other.ask(&json!({"do": "button", "name": "Clear it"}))?;
        self.ask(&json!({"do": "gone", "selector": ".banner.emergency"})).context("its sender clears it")?;
        // The microphone is open for ten seconds, also without a finger.
        self.ask(&json!({"do": "wait-for", "words": "Hold to talk"}))?;
        Ok(())
    }

    fn hands_free(&mut self) -> Result<()> {
        self.ask(&json!({"do": "click", "selector": ".latch"}))?;
        self.ask(&json!({"do": "click", "selector": ".talk-button"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Tap again when done"})).context("a tap talks on")?;
        self.shoot("hands-free")?;
        self.ask(&json!({"do": "click", "selector": ".talk-button"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Tap to talk"})).context("another tap ends it")?;
        self.ask(&json!({"do": "click", "selector": ".latch"}))?;
        Ok(())
    }

    /// What was said is found and played again.
    fn the_past(&mut self) -> Result<()> {
        self.ask(&json!({"do": "fill", "label": "Search this room", "text": "ON MY"}))?;
        self.ask(&json!({"do": "gone", "selector": ".item.burst"})).context("what does not match is not shown")?;
        self.ask(&json!({"do": "wait-for", "words": "on my way"}))?;
        self.shoot("search")?;
        self.ask(&json!({"do": "fill", "label": "Search this room", "text": ""}))?;
        self.ask(&json!({"do": "listen"}))?;
        self.ask(&json!({"do": "click", "selector": ".item.burst:has-text('6.1 s') .play"}))?;
        let (heard, _) = heard_at(&mut self.page, &self.scratch.join("replayed.f32"))?;
        let file = programs::fixture("speech-b.wav");
        let whole = wav::read(&file)?;
        self.compare("played again", LIKENESS_MIN, &whole, &heard, "from the room's past");
        self.seek_and_speed(&whole)
    }

    /// Settings hold at once and over a reload; another device is signed out; one's data is saved.
    fn settings(&mut self) -> Result<()> {
        self.ask(&json!({"do": "button", "name": "Settings"}))?;
        self.ask(&json!({"do": "wait-for", "words": "This one"})).context("the list of devices")?;
        self.shoot("settings")?;
        self.look_over("settings")?;
        let saved = self.ask(&json!({"do": "saved", "name": "Save a copy"}))?;
        let lines = saved["text"].as_str().unwrap_or_default();
        if !lines.contains(WEB) || lines.contains(OTHER_LOGIN) {
            self.faults.push(format!("the saved data is not one's own: {}", saved["name"]));
        }
        let others = self.ask(&json!({"do": "count", "selector": ".device .button"}))?["count"].clone();
        self.ask(&json!({"do": "click", "selector": ".device .button"}))?;
        self.ask(&json!({"do": "gone", "selector": ".device .button"}))
            .with_context(|| format!("one of {others} other devices is signed out"))?;
        self.ask(&json!({"do": "choose", "label": "Colours", "value": "dark"}))?;
        self.ask(&json!({"do": "click", "selector": "[data-keys]"}))?;
        self.ask(&json!({"do": "key", "key": "t"}))?;
        self.ask(&json!({"do": "wait-for", "words": "It is T"})).context("another key talks")?;
        self.ask(&json!({"do": "reload"}))?;
        let look = self.ask(&json!({"do": "attribute", "selector": "html", "name": "data-look"}))?;
        if look["value"] != "dark" {
            self.faults.push(format!("after a reload the look is {}", look["value"]));
        }
        self.ask(&json!({"do": "room", "name": ROOM}))?;
        self.ask(&json!({"do": "press", "key": "t"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Speak now"}))
            .context("the chosen key talks, also after a reload")?;
        self.ask(&json!({"do": "release", "key": "t"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Hold to talk"}))?;
        self.ask(&json!({"do": "button", "name": "Settings"}))?;
        self.ask(&json!({"do": "click", "selector": "[data-keys]"}))?;
        self.ask(&json!({"do": "key", "key": "Space"}))?;
        self.ask(&json!({"do": "wait-for", "words": "the space bar"}))?;
        self.ask(&json!({"do": "choose", "label": "Colours", "value": "system"}))?;
        self.high_contrast()?;
        self.another_language()?;
        self.ask(&json!({"do": "button", "name": "Sign out here"}))?;
        self.ask(&json!({"do": "sign-in", "login": WEB, "password": PASSWORD}))?;
        Ok(())
    }

    /// A thumb on glass: what is held is heard, and nothing is too small for it.
    fn thumb(&mut self) -> Result<()> {
        self.ask(&json!({"do": "phone", "on": true}))?;
        self.ask(&json!({"do": "touch", "selector": ".talk-button"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Speak now"})).context("a finger on the button talks")?;
        self.ask(&json!({"do": "lift"}))?;
        self.ask(&json!({"do": "wait-for", "pattern": "Delivered|Heard"})).context("a lifted finger ends it")?;
        let targets = self.ask(&json!({"do": "targets"}))?;
        for small in targets["small"].as_array().context("the small ones")? {
            self.faults.push(format!("too small for a thumb: {small}"));
        }
        if targets["wider"] == true {
            self.faults.push("the room is wider than a phone's screen".to_owned());
        }
        self.ask(&json!({"do": "phone", "on": false}))?;
        Ok(())
    }

    /// Every stage of what was spoken has as much as the one before: the microphone, the sound thread, the encoder, the network.
    /// Printed, so that what is lost shows where.
    fn stages(&mut self) -> Result<()> {
        let figures =
            self.ask(&json!({"do": "quality"})).context("the figures of connection and sound")?["figures"].clone();
        self.look_over("quality")?;
        self.shoot("quality")?;
        self.ask(&json!({"do": "button", "name": "Back"}))?;
        let figure = |name: &str| {
            let words = figures[name].as_str().unwrap_or_default();
            words
                .split(' ')
                .next()
                .and_then(|number| number.parse::<u64>().ok())
                .with_context(|| format!("{name}: {words:?}"))
        };
        let (captured, skipped) = (figure("Sound captured")?, figure("Not captured in time")?);
        let silent = figure("Nothing from the microphone in between")?;
        let (given, encoded) = (figure("Frames to encode")?, figure("Frames encoded")?);
        let (sent, stale) = (figure("Frames sent live")?, figure("Frames too old to send live")?);
        let first = figures["Button to first frame sent"].as_str().unwrap_or_default();
        say(&format!(
            "stages of the page's burst: {captured} ms from the microphone ({skipped} ms not in time, {silent} ms of nothing in \
             between), {given} frames to encode, {encoded} encoded, {sent} sent live, {stale} too old; button to first frame sent {first}"
        ));
        if captured.div_ceil(20).abs_diff(given) > 1
            || encoded != given
            || sent + stale > encoded
            || sent < encoded * 9 / 10
        {
            self.faults.push(
                "frames were lost on the way from the microphone to the network: see the stages above".to_owned(),
            );
        }
        Ok(())
    }

    fn page_talks(&mut self, said: &[f32], other: &mut Page) -> Result<()> {
        let out = self.scratch.join("native");
        std::fs::create_dir_all(&out).context("a folder for what is heard")?;
        let arguments = ["listen", ROOM, "--out", text(&out)?, "--bursts", "1", "--timeout", "60", "--frames"];
        let mut listener = self.server.client(NATIVE, &arguments)?;
        listener.wait_for(PATIENCE, |line| line["type"] == "listening").context("the native listener")?;
        self.ask(&json!({"do": "listen"}))?;
        self.ask(&json!({"do": "press"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Speak now"})).context("the page got the floor")?;
        let frames = u64::try_from((LEAD_MS + said.len() * 1_000 / RATE_HZ) / 20).unwrap_or(u64::MAX);
        let spoken = |line: &Value| line["type"] == "heard" && line["number"].as_u64() >= Some(frames);
        listener.wait_for(PATIENCE, spoken).context("the native listener hears all that the page says")?;
        self.ask(&json!({"do": "release"}))?;
        self.ask(&json!({"do": "wait-for", "pattern": "Delivered|Heard"}))
            .context("the server has what the page said")?;
        let lines = listener.finish(PATIENCE).context("the native listener")?;
        let complete = lines.iter().find(|line| line["type"] == "complete").context("the burst came complete")?;
        let began = lines.iter().find(|line| line["type"] == "began").context("the burst was played")?;
        let heard = wav::read(Path::new(complete["file"].as_str().context("its file")?))?;
        let mouth_to_ear = began["mouth_to_ear_us"].as_u64().unwrap_or(0) / 1_000;
        let file = self.scratch.join("captured.f32");
        self.ask(&json!({"do": "captured", "out": text(&file)?}))?;
        let captured = spoken_part(&samples(&file)?);
        say(&format!("the browser's microphone: {}", microphone_gave(said, &captured)?));
        let more = format!("mouth to ear about {mouth_to_ear} ms");
        self.compare("page to native", LIKENESS_MIN, &captured, &heard, &more);
        let (heard, tasks) = heard_at(other, &self.scratch.join("other.f32"))?;
        self.compare("page to page", LIKENESS_MIN, &captured, &heard, &tasks);
        self.stages()
    }

    fn page_listens(&mut self) -> Result<()> {
        let file = programs::fixture("speech-b.wav");
        self.ask(&json!({"do": "listen"}))?;
        let talker = self.server.client(NATIVE, &["talk", ROOM, text(&file)?])?;
        self.ask(&json!({"do": "wait-for", "words": format!("{NATIVE} is talking")}))
            .context("the page shows who talks")?;
        self.shoot("receiving")?;
        self.look_over("receiving")?;
        talker.finish(PATIENCE).context("the native talker")?;
        self.ask(&json!({"do": "wait-for", "words": "Hold to talk"}))?;
        let (heard, tasks) = heard_at(&mut self.page, &self.scratch.join("page.f32"))?;
        self.compare("native to page", LIKENESS_MIN, &wav::read(&file)?, &heard, &tasks);
        self.look_over("room")?;
        self.shoot("room")
    }

    fn compare(&mut self, way: &str, least: f64, said: &[f32], heard: &[f32], more: &str) {
        let found = compare(said, heard);
        let lost = found.clipped_start_ms + found.clipped_end_ms + found.missing_total_ms();
        say(&format!("{way}: likeness {:.2}, {lost:.0} ms of speech missing, {more}", found.similarity));
        if found.similarity < least {
            self.faults.push(format!("{way}: likeness {:.2}, at least {least} is wanted", found.similarity));
        }
        if lost > MISSING_MS_MAX {
            self.faults.push(format!("{way}: {lost:.0} ms of speech are missing: {found:?}"));
        }
    }

    fn text_is_text(&mut self) -> Result<()> {
        let markup = "<img src=x onerror=alert(1)> & <b>on my way</b>";
        self.ask(&json!({"do": "send", "text": markup})).context("a text is sent and acked")?;
        let shown =
            self.ask(&json!({"do": "text", "selector": ".items > .chunk:last-of-type > :last-child .item-text"}))?;
        if shown["text"] != markup {
            self.faults.push(format!("a text was shown as {}", shown["text"]));
        }
        self.answered_changed_and_taken_back()
    }

    /// A text is answered, the answer changed, and taken back once that was asked twice.
    fn answered_changed_and_taken_back(&mut self) -> Result<()> {
        let last = ".items > .chunk:last-of-type > :last-child";
        let more = json!({"do": "click", "selector": format!("{last} .more")});
        let action = |n: usize| json!({"do": "click", "selector": format!(".actions .button:nth-child({n})")});
        self.ask(&more)?;
        self.ask(&action(1))?;
        self.ask(&json!({"do": "send", "text": "understood"})).context("an answer is sent and acked")?;
        self.ask(&json!({"do": "wait-for", "words": "You: <img"}))
            .context("what is answered stands with the answer")?;
        self.ask(&more)?;
        self.shoot("messages")?;
        self.look_over("what can be done about a text")?;
        self.ask(&action(2))?;
        self.ask(&json!({"do": "send", "text": "understood, over"})).context("a change is sent")?;
        self.ask(&json!({"do": "wait-for", "words": "Changed"})).context("a change is shown as one")?;
        self.ask(&more)?;
        self.ask(&action(3))?;
        self.ask(&action(3))?;
        self.ask(&json!({"do": "wait-for", "words": "Taken back"})).context("a text is taken back")?;
        Ok(())
    }

    fn space_bar_and_blur(&mut self) -> Result<()> {
        self.ask(&json!({"do": "click", "selector": ".room-head h1"}))?;
        self.ask(&json!({"do": "press", "key": "Space"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Speak now"})).context("the space bar talks")?;
        self.look_over("talking")?;
        self.shoot("talking")?;
        // A window that loses the focus hears of no key that comes up.
        self.ask(&json!({"do": "blur"}))?;
        self.ask(&json!({"do": "wait-for", "pattern": "Delivered|Heard"})).context("a lost key-up ends the burst")?;
        self.ask(&json!({"do": "release", "key": "Space"}))?;
        Ok(())
    }
}

fn look_over(page: &mut Page, faults: &mut Vec<String>, screen: &str) -> Result<()> {
    let found = page.ask(&json!({"do": "axe"}))?;
    for violation in found["violations"].as_array().context("axe's answer")? {
        faults.push(format!("{screen}: {}", violation.as_str().unwrap_or_default()));
    }
    Ok(())
}

/// Writes a screen as it is at the moment: light and dark, desk and phone.
fn shoot(page: &mut Page, folder: Option<&Path>, name: &str) -> Result<()> {
    let Some(folder) = folder else { return Ok(()) };
    std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    for scheme in ["dark", "light"] {
        for (kind, width, height) in [("phone", 360, 740), ("desk", 1_280, 800)] {
            let out = folder.join(format!("{name}-{kind}-{scheme}.png"));
            page.ask(&json!({"do": "look", "out": text(&out)?, "width": width, "height": height, "scheme": scheme}))?;
        }
    }
    Ok(())
}

/// Makes the browser whose certificates lie in this folder trust the server's root, as `hollerd trust` does for a person's.
fn trust(folder: &Path, root: &Path) -> Result<()> {
    std::fs::create_dir_all(folder).context("the browser's certificate folder")?;
    let database = format!("sql:{}", text(folder)?);
    for arguments in [vec!["-N", "--empty-password"], vec!["-A", "-t", "C,,", "-n", "holler", "-i", text(root)?]] {
        let ended = Command::new("certutil").arg("-d").arg(&database).args(arguments).status();
        ensure!(ended.context("certutil (Debian: libnss3-tools)")?.success(), "certutil refused");
    }
    Ok(())
}
