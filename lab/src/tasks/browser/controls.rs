//! What the controls of a page do, each where it was once found to do nothing, or too much: an emergency over a press that goes on, the
//! talk button without a pointer, the echo room, the screen that stays on, a microphone that is plugged in, and what was missed, played in order.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use holler_client::audio::wav;
use serde_json::{Value, json};

use super::page::{Page, Start};
use super::sound::{heard_at, samples, spoken_part};
use super::{LIKENESS_MIN, MISSING_MS_MAX, NATIVE, Options, PATIENCE, ROOM, WEB, look_over, trust};
use crate::programs::{self, PASSWORD, Server, text};
use crate::similarity::compare;
use crate::tasks::say;

/// What the talk button says while a press goes on without a finger.
const LATCHED: &str = "Tap again when done";

/// What was not as it must be.
pub(super) fn run(options: &Options, programs: &Path, microphone: &Path) -> Result<Vec<String>> {
    let scratch = tempfile::tempdir().context("a scratch folder")?;
    let server = Server::start(programs, scratch.path())?;
    server.add_user(NATIVE, ROOM)?;
    server.add_user(WEB, ROOM)?;
    let browser = |name: &str| {
        let home = scratch.path().join(name);
        trust(&home.join(".pki/nssdb"), server.root())?;
        Page::start(&Start {
            driver: "drive.mjs",
            root: server.root(),
            modules: &options.modules,
            program: &options.chromium,
            home: &home,
            url: server.url(),
            microphone: Some(microphone),
            sound: None,
        })
    };
    let page = browser("browser")?;
    let mut controls = Controls { page, server: &server, scratch: scratch.path(), faults: Vec::new() };
    controls.echo(browser("first-run")?)?;
    controls.ask(&json!({"do": "open"}))?;
    controls.locks("nobody is signed in", 0, 0)?;
    controls.ask(&json!({"do": "sign-in", "login": WEB, "password": PASSWORD}))?;
    controls.stays_on()?;
    controls.plugged_in()?;
    controls.banners()?;
    controls.ask(&json!({"do": "room", "name": ROOM}))?;
    controls.emergency_over_a_press()?;
    controls.without_a_pointer()?;
    controls.missed_in_order()?;
    controls.ask(&json!({"do": "button", "name": "Settings"}))?;
    controls.ask(&json!({"do": "button", "name": "Sign out here"}))?;
    controls.ask(&json!({"do": "wait-for", "words": "Sign in", "at": "button[type=submit]"}))?;
    controls.locks("signed out", 0, 2)?;
    let Controls { page, faults, .. } = controls;
    page.end()?;
    server.stop()?;
    Ok(faults)
}

struct Controls<'a> {
    page: Page,
    server: &'a Server,
    scratch: &'a Path,
    faults: Vec<String>,
}

impl Controls<'_> {
    fn ask(&mut self, deed: &Value) -> Result<Value> {
        self.page.ask(deed)
    }

    /// So many wake locks are held, and were asked for until now.
    fn locks(&mut self, when: &str, held: u64, asked: u64) -> Result<()> {
        let found = self.ask(&json!({"do": "wake-locks", "held": held}))?;
        if found["asked"] != asked {
            self.faults.push(format!("{when}: {} wake locks were asked for, not {asked}", found["asked"]));
        }
        Ok(())
    }

    /// From an invite's link to one's own voice, by way of the server, before anybody else is there.
    fn echo(&mut self, mut page: Page) -> Result<()> {
        page.ask(&json!({"do": "open", "link": self.server.invite(ROOM)?}))?;
        page.ask(&json!({"do": "fill", "label": "Your name", "text": "Quinn"}))?;
        page.ask(&json!({"do": "fill", "label": "New password", "text": PASSWORD}))?;
        page.ask(&json!({"do": "button", "name": "Join"}))?;
        page.ask(&json!({"do": "button", "name": "Talk in the echo room"})).context("the next step")?;
        page.ask(&json!({"do": "wait-for", "words": "Echo", "at": ".room-head h1"})).context("the echo room opens")?;
        look_over(&mut page, &mut self.faults, "echo room")?;
        page.ask(&json!({"do": "listen"}))?;
        page.ask(&json!({"do": "press"}))?;
        page.ask(&json!({"do": "wait-for", "words": "Speak now"})).context("the floor of the echo room")?;
        page.ask(&json!({"do": "captured-for", "ms": 10_000}))?;
        page.ask(&json!({"do": "release"}))?;
        page.ask(&json!({"do": "wait-for", "words": "came back from the server"})).context("what happens is said")?;
        let file = self.scratch.join("echo-captured.f32");
        page.ask(&json!({"do": "captured", "out": text(&file)?}))?;
        let (heard, _) = heard_at(&mut page, &self.scratch.join("echo.f32")).context("the echo")?;
        let found = compare(&spoken_part(&samples(&file)?), &heard);
        let lost = found.clipped_start_ms + found.clipped_end_ms + found.missing_total_ms();
        say(&format!("the echo: likeness {:.2}, {lost:.0} ms of speech missing", found.similarity));
        if found.similarity < LIKENESS_MIN || lost > MISSING_MS_MAX {
            self.faults.push(format!("the echo is not what was said: {found:?}"));
        }
        page.end()
    }

    /// The screen is kept on by one lock, however often the page looks at what is set, and by none once that is switched off.
    fn stays_on(&mut self) -> Result<()> {
        self.locks("signed in", 1, 1)?;
        self.ask(&json!({"do": "button", "name": "Settings"}))?;
        for _ in 0..2 {
            self.ask(&json!({"do": "click", "selector": "label:has-text('Tones') input"}))?;
            self.ask(&json!({"do": "shown-again"}))?;
        }
        self.locks("settings were changed", 1, 1)?;
        let awake = json!({"do": "click", "selector": "label:has-text('Keep the screen on') input"});
        self.ask(&awake)?;
        self.locks("switched off", 0, 1)?;
        self.ask(&awake)?;
        self.locks("switched on", 1, 2)
    }

    /// A microphone that is plugged in is offered at once.
    fn plugged_in(&mut self) -> Result<()> {
        self.ask(&json!({"do": "wait-for", "words": "This one"})).context("the settings are open")?;
        self.ask(&json!({"do": "plug-in", "name": "Headset of the lab"}))?;
        self.ask(&json!({"do": "offered", "name": "Headset of the lab"}))
            .context("a microphone that was plugged in")?;
        Ok(())
    }

    /// News that the worker tells only of a broken disk is legible to all.
    fn banners(&mut self) -> Result<()> {
        for (storage, words) in [
            (json!("Full"), "no room"),
            (json!({"Missing": {"detail": "SecurityError"}}), "keeps nothing"),
            (json!("Newer"), "newer"),
        ] {
            self.ask(&json!({"do": "worker-says", "message": {"Storage": storage}}))?;
            self.ask(&json!({"do": "wait-for", "pattern": words, "at": ".banner"})).context("what is kept, and how")?;
            look_over(&mut self.page, &mut self.faults, words)?;
        }
        self.ask(&json!({"do": "worker-says", "message": {"Storage": "Kept"}}))?;
        Ok(())
    }

    /// An emergency over a press that goes on: the last frames of the one and the first of the other are where they belong.
    fn emergency_over_a_press(&mut self) -> Result<()> {
        let out = self.scratch.join("native");
        std::fs::create_dir_all(&out).context("a folder for what is heard")?;
        let arguments = ["listen", ROOM, "--out", text(&out)?, "--bursts", "2", "--timeout", "60"];
        let mut listener = self.server.client(NATIVE, &arguments)?;
        listener.wait_for(PATIENCE, |line| line["type"] == "listening").context("the native listener")?;
        self.ask(&json!({"do": "note-blocks"}))?;
        self.ask(&json!({"do": "listen"}))?;
        self.ask(&json!({"do": "click", "selector": ".latch"}))?;
        self.ask(&json!({"do": "click", "selector": ".talk-button"}))?;
        self.ask(&json!({"do": "wait-for", "words": LATCHED})).context("a tap talks on")?;
        self.ask(&json!({"do": "captured-for", "ms": 1_000}))?;
        self.ask(&json!({"do": "hold", "selector": ".emergency-button"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Emergency: speak"})).context("an emergency over a press")?;
        self.ask(&json!({"do": "release"}))?;
        self.ask(&json!({"do": "listen"}))?;
        self.ask(&json!({"do": "captured-for", "ms": 1_000}))?;
        self.ask(&json!({"do": "click", "selector": ".talk-button"}))?;
        self.ask(&json!({"do": "wait-for", "pattern": "Delivered|Heard"})).context("the emergency's burst")?;
        let lines = listener.finish(PATIENCE).context("the native listener")?;
        let whole: Vec<&Value> =
            lines.iter().filter(|line| line["type"] == "complete").map(|line| &line["frames"]).collect();
        let noted = self.ask(&json!({"do": "noted"}))?["bursts"].clone();
        say(&format!("an emergency over a press: {noted} blocks of each were recorded, {whole:?} frames came"));
        if noted.as_array().is_none_or(|noted| noted.len() != 2 || noted.iter().ne(whole)) {
            self.faults
                .push(format!("of two bursts {noted} blocks were recorded, and the server has {:?} frames", lines));
        }
        self.ask(&json!({"do": "button", "name": "Clear it"}))?;
        self.ask(&json!({"do": "gone", "selector": ".banner.emergency"}))?;
        self.ask(&json!({"do": "click", "selector": ".latch"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Hold to talk"}))?;
        Ok(())
    }

    /// Where another key talks, Enter and Space activate the button as they do any other: one begins, the next one ends.
    fn without_a_pointer(&mut self) -> Result<()> {
        self.ask(&json!({"do": "button", "name": "Settings"}))?;
        self.ask(&json!({"do": "click", "selector": "[data-keys]"}))?;
        self.ask(&json!({"do": "key", "key": "t"}))?;
        self.ask(&json!({"do": "wait-for", "words": "It is T"})).context("another key talks")?;
        self.ask(&json!({"do": "room", "name": ROOM}))?;
        self.ask(&json!({"do": "click", "selector": ".room-head h1"}))?;
        self.ask(&json!({"do": "tab", "name": "to talk", "presses": 40}))?;
        self.ask(&json!({"do": "note-blocks"}))?;
        for key in ["Enter", "Space"] {
            // Twice: a key that is held says so again and again, and clicks once.
            self.ask(&json!({"do": "press", "key": key}))?;
            self.ask(&json!({"do": "press", "key": key}))?;
            self.ask(&json!({"do": "release", "key": key}))?;
            self.ask(&json!({"do": "wait-for", "words": LATCHED})).with_context(|| format!("{key} begins"))?;
            self.ask(&json!({"do": "key", "key": key}))?;
            self.ask(&json!({"do": "wait-for", "pattern": "Delivered|Heard"}))
                .with_context(|| format!("{key} ends"))?;
        }
        // As a screen reader does it.
        self.ask(&json!({"do": "poke", "name": "Hold to talk"}))?;
        self.ask(&json!({"do": "wait-for", "words": LATCHED})).context("an activation begins")?;
        self.ask(&json!({"do": "poke", "name": "Speak now"}))?;
        self.ask(&json!({"do": "wait-for", "pattern": "Delivered|Heard"})).context("the next activation ends")?;
        let noted = self.ask(&json!({"do": "noted"}))?["bursts"].clone();
        ensure!(noted.as_array().map(Vec::len) == Some(3), "three bursts were meant, {noted} recorded");
        // The key that talks is held, wherever the focus is, and clicks nothing.
        self.ask(&json!({"do": "press", "key": "t"}))?;
        self.ask(&json!({"do": "wait-for", "words": "Let go when done"}))?;
        self.ask(&json!({"do": "release", "key": "t"}))?;
        self.ask(&json!({"do": "wait-for", "pattern": "Delivered|Heard"}))?;
        Ok(())
    }

    /// What was missed is played in the order in which it was said.
    fn missed_in_order(&mut self) -> Result<()> {
        self.ask(&json!({"do": "choose", "label": "What others see of you", "value": "busy"}))?;
        let said = ["speech-b.wav", "speech-a.wav"].map(programs::fixture);
        for (count, file) in said.iter().enumerate() {
            self.server.client(NATIVE, &["talk", ROOM, text(file)?])?.finish(PATIENCE).context("the native talker")?;
            self.ask(&json!({"do": "wait-for", "words": format!("Play missed ({})", count + 1), "at": "button"}))?;
        }
        self.ask(&json!({"do": "choose", "label": "What others see of you", "value": "available"}))?;
        self.ask(&json!({"do": "listen"}))?;
        self.ask(&json!({"do": "button", "name": "Play missed"}))?;
        // The first one plays to its end before what was heard can fall silent for good.
        self.ask(
            &json!({"do": "wait-for", "words": "", "at": ".chunk:last-of-type > .item.burst:last-child .playing"}),
        )
        .context("the second one plays after the first")?;
        let (heard, _) = heard_at(&mut self.page, &self.scratch.join("missed.f32"))?;
        let mut after = f64::MIN;
        for file in said {
            let found = compare(&wav::read(&file)?, &heard);
            say(&format!("played in order: likeness {:.2}, from {:.0} ms on", found.similarity, found.delay_ms));
            if found.similarity < LIKENESS_MIN || found.delay_ms < after {
                self.faults.push(format!("what was missed is not played in order: {} {found:?}", file.display()));
            }
            after = found.delay_ms + 5_000.0;
        }
        Ok(())
    }
}
