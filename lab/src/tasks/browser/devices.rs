//! One person at two devices: what others say plays on the one that was used last, what the person says on the one is played on the
//! other by nobody, and both show all of it. Two browsers, as two devices have.

use std::path::Path;

use anyhow::{Context, Result};
use holler_client::audio::wav;
use serde_json::{Value, json};

use super::page::{Page, Start};
use super::sound::heard_at;
use super::{LIKENESS_MIN, MISSING_MS_MAX, NATIVE, Options, PATIENCE, ROOM, WEB, look_over, shoot, trust};
use crate::programs::{self, PASSWORD, Server, text};
use crate::similarity::compare;
use crate::tasks::say;

/// That another device plays, and the way to have it here.
const ELSEWHERE: &str = ".plays-on";

/// Waits until a page says that another device plays.
fn elsewhere() -> Value {
    json!({"do": "wait-for", "words": "Play here", "at": ELSEWHERE})
}

/// What was not as it must be.
pub(super) fn run(options: &Options, programs: &Path, microphone: &Path) -> Result<Vec<String>> {
    let scratch = tempfile::tempdir().context("a scratch folder")?;
    let server = Server::start(programs, scratch.path())?;
    server.add_user(NATIVE, ROOM)?;
    server.add_user(WEB, ROOM)?;
    let page = |name: &str| -> Result<Page> {
        let home = scratch.path().join(name);
        trust(&home.join(".pki/nssdb"), server.root())?;
        let mut page = Page::start(&Start {
            driver: "drive.mjs",
            root: server.root(),
            modules: &options.modules,
            program: &options.chromium,
            home: &home,
            url: server.url(),
            microphone: Some(microphone),
            sound: None,
        })?;
        page.ask(&json!({"do": "open"}))?;
        page.ask(&json!({"do": "sign-in", "login": WEB, "password": PASSWORD}))?;
        page.ask(&json!({"do": "room", "name": ROOM}))?;
        Ok(page)
    };
    let (mut desk, mut hand, mut faults) = (page("desk")?, page("hand")?, Vec::new());
    desk.ask(&elsewhere()).context("the desk says that the other device plays")?;
    shoot(&mut desk, options.screenshots.as_deref(), "plays-elsewhere")?;
    look_over(&mut desk, &mut faults, "plays elsewhere")?;

    let mut two = Two { server: &server, scratch: scratch.path(), faults };
    two.one_plays("the one that was used last", &mut hand, &mut desk)?;
    // By the keyboard, as who uses no mouse does.
    desk.ask(&json!({"do": "tab", "name": "Play here", "presses": 60}))?;
    desk.ask(&json!({"do": "press", "key": "Enter"}))?;
    desk.ask(&json!({"do": "release", "key": "Enter"}))?;
    hand.ask(&elsewhere()).context("it plays on the desk now")?;
    desk.ask(&json!({"do": "gone", "selector": ELSEWHERE}))?;
    two.one_plays("the one that was chosen", &mut desk, &mut hand)?;

    two.own_speech(&mut desk, &mut hand)?;
    desk.end()?;
    hand.ask(&json!({"do": "gone", "selector": ELSEWHERE})).context("the desk is gone: it plays in the hand")?;
    two.plays_alone(&mut hand)?;
    let faults = two.faults;
    hand.end()?;
    server.stop()?;
    Ok(faults)
}

struct Two<'a> {
    server: &'a Server,
    scratch: &'a Path,
    faults: Vec<String>,
}

impl Two<'_> {
    /// The native client talks, and this page plays it.
    fn plays(&mut self, how: &str, page: &mut Page, others: &mut [&mut Page]) -> Result<()> {
        let file = programs::fixture("speech-b.wav");
        page.ask(&json!({"do": "listen"}))?;
        for other in others.iter_mut() {
            other.ask(&json!({"do": "listen"}))?;
        }
        let talker = self.server.client(NATIVE, &["talk", ROOM, text(&file)?])?;
        let talks = json!({"do": "wait-for", "words": format!("{NATIVE} is talking")});
        page.ask(&talks).context("the one that plays shows who talks")?;
        for other in others {
            other.ask(&talks).context("the other one shows who talks")?;
        }
        talker.finish(PATIENCE).context("the native talker")?;
        let (heard, _) = heard_at(page, &self.scratch.join("heard.f32"))?;
        let found = compare(&wav::read(&file)?, &heard);
        let lost = found.clipped_start_ms + found.clipped_end_ms + found.missing_total_ms();
        say(&format!("two devices, {how}: likeness {:.2}, {lost:.0} ms of speech missing", found.similarity));
        if found.similarity < LIKENESS_MIN || lost > MISSING_MS_MAX {
            self.faults.push(format!("two devices, {how}: {found:?}"));
        }
        Ok(())
    }

    fn one_plays(&mut self, how: &str, plays: &mut Page, silent: &mut Page) -> Result<()> {
        self.plays(how, plays, &mut [silent])?;
        self.heard_nothing(how, silent)
    }

    fn plays_alone(&mut self, page: &mut Page) -> Result<()> {
        self.plays("the one that is left", page, &mut [])
    }

    /// What the person says at the one device is shown on the other, which was just used, and not played.
    fn own_speech(&mut self, talks: &mut Page, shows: &mut Page) -> Result<()> {
        talks.ask(&json!({"do": "listen"}))?;
        talks.ask(&json!({"do": "press"}))?;
        talks.ask(&json!({"do": "wait-for", "words": "Speak now"})).context("the page got the floor")?;
        shows.ask(&json!({"do": "wait-for", "words": "You are talking, on another device"})).context("it is shown")?;
        shows.ask(&json!({"do": "listen"}))?;
        // From now on the other device is the one that plays.
        shows.ask(&json!({"do": "button", "name": "Play here"}))?;
        shows.ask(&json!({"do": "gone", "selector": ELSEWHERE}))?;
        talks.ask(&json!({"do": "captured-for", "ms": 4_000}))?;
        talks.ask(&json!({"do": "release"}))?;
        talks.ask(&json!({"do": "wait-for", "pattern": "Delivered|Heard"})).context("the server has it all")?;
        self.heard_nothing("one's own speech", shows)?;
        // The hand that let the button go used that device last.
        shows.ask(&elsewhere())?;
        Ok(())
    }

    /// A page sounded nothing since it listened, and counts nothing as missed.
    fn heard_nothing(&mut self, how: &str, page: &mut Page) -> Result<()> {
        page.ask(&json!({"do": "wait-for", "words": "Hold to talk"}))?;
        let found: Value = page.ask(&json!({"do": "unheard"}))?;
        if found["blocks"] != 0 || found["missed"] != false {
            self.faults.push(format!("two devices, {how}: the other one was to be silent, and miss nothing: {found}"));
        }
        Ok(())
    }
}
