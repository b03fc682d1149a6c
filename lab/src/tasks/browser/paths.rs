//! Voice beside the socket: by WebTransport where UDP gets through, over the socket where it does not, and in the middle of a burst from
//! the one to the other. The page reaches the server over a link whose UDP can be cut, and counted.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use holler_client::audio::wav;
use serde_json::{Value, json};

use super::page::{Page, Start};
use super::{
    LIKENESS_MIN, MISSING_MS_MAX, NATIVE, Options, PATIENCE, ROOM, WEB, heard_at, samples, spoken_part, trust,
};
use crate::link::Profile;
use crate::programs::{self, PASSWORD, Server, text};
use crate::proxy::Proxy;
use crate::relay::Relay;
use crate::similarity::compare;
use crate::tasks::say;

/// What the page calls the two ways.
const DATAGRAMS: &str = "Datagrams (WebTransport)";
const SOCKET: &str = "WebSocket over TLS";
/// Frames of a burst after which UDP is cut.
const CUT_AFTER: u64 = 100;
/// Datagrams of the page's that must have been carried by then: nearly one a frame.
const CARRIED_MIN: u64 = 80;

/// For how long UDP stays dead: the idle time of the page's session, and some tries.
const DEAD: Duration = Duration::from_secs(35);

/// What was not as it must be.
pub(super) fn run(options: &Options, programs: &Path, microphone: &Path) -> Result<Vec<String>> {
    let scratch = tempfile::tempdir().context("a scratch folder")?;
    let scratch = scratch.path();
    let server = Server::start(programs, scratch)?;
    server.add_user(NATIVE, ROOM)?;
    let link = server.add_user_over(WEB, ROOM, Profile::plain(Duration::ZERO), 1)?;
    let home = scratch.join("browser");
    trust(&home.join(".pki/nssdb"), server.root())?;
    let page = Page::start(&Start {
        driver: "drive.mjs",
        root: server.root(),
        modules: &options.modules,
        program: &options.chromium,
        home: &home,
        url: &format!("https://{}", link.address()),
        microphone: Some(microphone),
        sound: None,
    })?;
    let mut paths = Paths { page, server: &server, link: &link, scratch, faults: Vec::new() };
    paths.relay()?.cut();
    paths.page.ask(&json!({"do": "open"}))?;
    paths.page.ask(&json!({"do": "sign-in", "login": WEB, "password": PASSWORD}))?;
    paths.page.ask(&json!({"do": "room", "name": ROOM}))?;
    paths.names(SOCKET).context("UDP does not get through")?;
    paths.listens("where UDP never got through")?;
    paths.relay()?.mend();
    paths.page.ask(&json!({"do": "reload"}))?;
    paths.page.ask(&json!({"do": "room", "name": ROOM}))?;
    paths.names(DATAGRAMS).context("UDP gets through")?;
    let before = paths.relay()?.carried()[1];
    paths.listens("by datagram")?;
    let carried = paths.relay()?.carried()[1] - before;
    say(&format!("datagrams to the page while it heard 6 s: {carried}"));
    if carried < CARRIED_MIN {
        paths.faults.push(format!("what the page heard did not come by datagram: only {carried} came"));
    }
    paths.talks_while_udp_goes()?;
    paths.names(SOCKET).context("UDP is blocked")?;
    paths.listens("over the socket")?;
    // Longer than QUIC bears: the page's session is gone by then, and it needs another one.
    std::thread::sleep(DEAD);
    paths.relay()?.mend();
    paths.names(DATAGRAMS).context("UDP gets through again, and nobody talks")?;
    let before = paths.relay()?.carried()[1];
    paths.listens("by datagram again")?;
    let carried = paths.relay()?.carried()[1] - before;
    say(&format!("datagrams to the page while it heard 6 s: {carried}"));
    if carried < CARRIED_MIN {
        paths.faults.push(format!("what the page heard did not come by datagram again: only {carried} came"));
    }
    let Paths { page, faults, .. } = paths;
    page.end()?;
    server.stop()?;
    Ok(faults)
}

struct Paths<'a> {
    page: Page,
    server: &'a Server,
    link: &'a Proxy,
    scratch: &'a Path,
    faults: Vec<String>,
}

impl Paths<'_> {
    fn relay(&self) -> Result<&Relay> {
        self.link.relay().context("the link has a way for datagrams")
    }

    /// The figures of the connection come to name this way, and with it what is lost.
    fn names(&mut self, route: &str) -> Result<()> {
        self.page.ask(&json!({"do": "click", "selector": "button.link"}))?;
        let named = json!({"do": "wait-for", "words": format!("Route{route}"), "at": ".figures div"});
        self.page.ask(&named).with_context(|| format!("the page names its route: {route}"))?;
        if route == DATAGRAMS {
            self.page.ask(
                &json!({"do": "wait-for", "pattern": "Datagrams lost on the way here.*%", "at": ".figures div"}),
            )?;
        }
        self.page.ask(&json!({"do": "button", "name": "Back"}))?;
        Ok(())
    }

    /// The page hears a native client.
    fn listens(&mut self, how: &str) -> Result<()> {
        let file = programs::fixture("speech-b.wav");
        self.page.ask(&json!({"do": "listen"}))?;
        let talker = self.server.client(NATIVE, &["talk", ROOM, text(&file)?])?;
        self.page.ask(&json!({"do": "wait-for", "words": format!("{NATIVE} is talking")}))?;
        talker.finish(PATIENCE).context("the native talker")?;
        let (heard, _) = heard_at(&mut self.page, &self.scratch.join("heard.f32"))?;
        self.compare(&format!("native to page, {how}"), &wav::read(&file)?, &heard);
        Ok(())
    }

    /// The page talks, and in the middle of it UDP goes: whoever listens misses nothing.
    fn talks_while_udp_goes(&mut self) -> Result<()> {
        let out = self.scratch.join("native");
        std::fs::create_dir_all(&out).context("a folder for what is heard")?;
        let arguments = ["listen", ROOM, "--out", text(&out)?, "--bursts", "1", "--timeout", "60", "--frames"];
        let mut listener = self.server.client(NATIVE, &arguments)?;
        listener.wait_for(PATIENCE, |line| line["type"] == "listening").context("the native listener")?;
        let before = self.relay()?.carried()[0];
        self.page.ask(&json!({"do": "listen"}))?;
        self.page.ask(&json!({"do": "press"}))?;
        self.page.ask(&json!({"do": "wait-for", "words": "Speak now"})).context("the page got the floor")?;
        let heard = |frames| move |line: &Value| line["type"] == "heard" && line["number"].as_u64() >= Some(frames);
        listener.wait_for(PATIENCE, heard(CUT_AFTER)).context("the native client hears the page")?;
        let carried = self.relay()?.carried()[0] - before;
        self.relay()?.cut();
        listener
            .wait_for(PATIENCE, heard(3 * CUT_AFTER))
            .context("the native client hears the page over the socket")?;
        self.page.ask(&json!({"do": "release"}))?;
        self.page.ask(&json!({"do": "wait-for", "pattern": "Delivered|Heard"})).context("the server has it all")?;
        let lines = listener.finish(PATIENCE).context("the native listener")?;
        let complete = lines.iter().find(|line| line["type"] == "complete").context("the burst came complete")?;
        let heard = wav::read(Path::new(complete["file"].as_str().context("its file")?))?;
        let file = self.scratch.join("captured.f32");
        self.page.ask(&json!({"do": "captured", "out": text(&file)?}))?;
        self.compare("page to native, UDP cut in between", &spoken_part(&samples(&file)?), &heard);
        say(&format!("datagrams from the page in the first {CUT_AFTER} frames: {carried}"));
        if carried < CARRIED_MIN {
            self.faults.push(format!("the page did not talk by datagram: only {carried} came"));
        }
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
