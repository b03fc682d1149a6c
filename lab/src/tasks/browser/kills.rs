//! What a browser keeps: a real Chromium is killed in the middle of a press, loses a tab, its disk, its network or its clock, and
//! afterwards the server's log says what came of it: every burst once, in order, marked with when it was spoken.
//!
//! The cases are in [`cases`]; `./x test browser` runs those. `./x lab browser-kills N` kills at random instants, N times.

mod cases;
mod figures;
mod random;
mod tabs;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use holler_client::audio::wav;
use holler_client::rest::{Rest, address};
use holler_client::trust;
use holler_core::model::EventBody;
use holler_core::units::{BurstId, ClientId, RoomId};
use holler_core::wire::limits::PAGE_EVENTS_MAX;
use holler_core::wire::rest::{NewEvent, SignIn};
use serde_json::{Value, json};

use super::page::{self, Page};
use super::pulse::Pulse;
use super::{ROOM, trust as trusted};
use crate::programs::{self, PASSWORD, Server};
use crate::proxy::Proxy;
use crate::tasks::say;

/// At the browser.
const WEB: &str = "wilma";
/// Reads the log.
const READER: &str = "ben";
/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long an access token is used for.
const TOKEN_KEPT: Duration = Duration::from_secs(240);
/// What may be missing at the end of a burst when its browser is killed, ms: a chunk, its way to the disk, and the encoder's share.
const LOST_MS_MAX: u64 = 900;

/// Where everything is.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Kills at random instants; 0: the cases only
    #[arg(default_value_t = 300)]
    times: u64,
    /// Only the cases whose name has this in it
    #[arg(long)]
    only: Option<String>,
    /// Only the cases of `./x test browser`
    #[arg(long)]
    short: bool,
    /// Measure: 1,000 records, 500 missed events, the takeover
    #[arg(long)]
    figures: bool,
    /// The folder of npm packages with playwright-core
    #[arg(long, value_name = "DIR")]
    modules: PathBuf,
    /// The browser
    #[arg(long, value_name = "FILE", default_value = "/usr/bin/chromium")]
    chromium: PathBuf,
    /// Firefox, for the main cases, in place of Chromium
    #[arg(long, value_name = "FILE")]
    firefox: Option<PathBuf>,
    /// Where hollerd and holler are [default: beside this program]
    #[arg(long, value_name = "DIR")]
    programs: Option<PathBuf>,
    /// Where a run of random kills begins
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs it. `false`: something was not as it must be.
pub(in crate::tasks) fn run(options: &Options) -> Result<bool> {
    let mut faults = Vec::new();
    if options.figures {
        figures::run(options)?;
    } else if options.times == 0 || options.only.is_some() || options.firefox.is_some() {
        for Case { name, short, firefox, run } in cases::ALL {
            let wanted = options.only.as_ref().is_none_or(|only| name.contains(only.as_str()));
            if wanted && (*short || !options.short) && (*firefox || options.firefox.is_none()) {
                let began = Instant::now();
                if let Err(fault) = run(options) {
                    faults.push(format!("{name}: {fault:#}"));
                }
                say(&format!("{name} ({:.1} s)", began.elapsed().as_secs_f64()));
            }
        }
    } else {
        faults = random::run(options)?;
    }
    for fault in &faults {
        say(&format!("FAULT: {fault}"));
    }
    Ok(faults.is_empty())
}

/// Something that happens, and what must come of it.
struct Case {
    name: &'static str,
    /// `./x test browser` runs it.
    short: bool,
    /// It is one of those that are shown in Firefox as well.
    firefox: bool,
    run: fn(&Options) -> Result<()>,
}

/// One entry of the log, as far as it is compared.
#[derive(Clone, Debug, PartialEq)]
enum Said {
    Text(String),
    Burst(Spoken),
}

/// A burst as the server has it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Spoken {
    burst: BurstId,
    /// As long as its sender said it is.
    length_ms: u64,
    complete: bool,
    ago_ms: u64,
    uncertainty_ms: u64,
}

/// A server, a link to it that can be cut, and a browser whose person is signed in.
struct Place {
    page: Page,
    proxy: Proxy,
    server: Server,
    rest: Rest,
    room: RoomId,
    runtime: tokio::runtime::Runtime,
    signed_in: Instant,
    _sound: Option<Pulse>,
    _scratch: tempfile::TempDir,
}

impl Place {
    fn new(options: &Options) -> Result<Self> {
        let programs = programs::folder(options.programs.as_deref())?;
        let scratch = tempfile::tempdir().context("a scratch folder")?;
        // The proof asks for every chunk of every burst, which is more than a person's client does.
        let rates = [("HOLLER_LIMITS__DEVICE_REQUESTS", "1000000")];
        let server = Server::start_with(&programs, scratch.path(), &rates)?;
        server.add_user(READER, ROOM)?;
        server.add_user(WEB, ROOM)?;
        let (_, port) = server.url().trim_end_matches('/').rsplit_once(':').context("the server's port")?;
        let port: u16 = port.parse().context("the server's port")?;
        let proxy = Proxy::start((std::net::Ipv4Addr::LOCALHOST, port).into()).context("a link")?;
        let url = format!("https://localhost:{}/", proxy.port());
        let home = scratch.path().join("browser");
        let sound = options.firefox.as_ref().map(|_| Pulse::start(&scratch.path().join("sound"))).transpose()?;
        let sound_at = sound.as_ref().map(Pulse::address);
        let certificates = if sound.is_some() { "profile" } else { ".pki/nssdb" };
        trusted(&home.join(certificates), server.root())?;
        let speech = scratch.path().join("microphone.wav");
        wav::write(&speech, &wav::read(&programs::fixture("speech-a.wav"))?)?;
        let page = Page::start(&page::Start {
            driver: if sound.is_some() { "firefox-tabs.mjs" } else { "tabs.mjs" },
            root: server.root(),
            modules: &options.modules,
            program: options.firefox.as_ref().unwrap_or(&options.chromium),
            home: &home,
            url: &url,
            microphone: Some(speech.as_path()),
            sound: sound_at.as_deref(),
        })?;
        // A thread of its own notices when the server closes a connection that was not used for a while.
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().context("a runtime")?;
        let rest = Rest::new(address(server.url())?, &*trust::client_config(Some(server.root()))?)?;
        runtime.block_on(sign_in(&rest))?;
        let rooms = runtime.block_on(rest.rooms())?;
        let room = rooms.iter().find(|room| room.name == ROOM).context("the room")?.id;
        let signed_in = Instant::now();
        let mut place = Self { page, proxy, server, rest, room, runtime, signed_in, _sound: sound, _scratch: scratch };
        place.ask(&json!({"do": "open"})).context("was the web client built? `./x web` does it")?;
        place.sign_in(0)?;
        place.enter(0)?;
        place.connected(0)?;
        Ok(place)
    }

    fn ask(&mut self, deed: &Value) -> Result<Value> {
        self.page.ask(deed)
    }

    fn sign_in(&mut self, tab: usize) -> Result<()> {
        self.ask(&json!({"do": "sign-in", "tab": tab, "login": WEB, "password": PASSWORD}))?;
        Ok(())
    }

    fn enter(&mut self, tab: usize) -> Result<()> {
        self.ask(&json!({"do": "room", "tab": tab, "name": ROOM}))?;
        Ok(())
    }

    fn connected(&mut self, tab: usize) -> Result<()> {
        self.wait(tab, ".link", "Connected")
    }

    fn wait(&mut self, tab: usize, selector: &str, words: &str) -> Result<()> {
        self.ask(&json!({"do": "wait-for", "tab": tab, "selector": selector, "words": words}))?;
        Ok(())
    }

    fn cut(&mut self, tab: usize) -> Result<()> {
        self.proxy.cut();
        self.wait(tab, ".link", "Offline")
    }

    fn press(&mut self, tab: usize) -> Result<Instant> {
        self.ask(&json!({"do": "press", "tab": tab}))?;
        self.ask(&json!({"do": "wait-for", "tab": tab, "selector": ".talk-state, .talk-hint", "pattern": "Speak now|It is recorded"}))?;
        Ok(Instant::now())
    }

    /// Speaks for so long, from the moment at which the screen says that it is recorded.
    fn speak(&mut self, tab: usize, ms: u64) -> Result<()> {
        self.press(tab)?;
        self.ask(&json!({"do": "hold", "ms": ms}))?;
        self.ask(&json!({"do": "release", "tab": tab}))?;
        Ok(())
    }

    fn write(&mut self, tab: usize, texts: &[&str]) -> Result<()> {
        self.ask(&json!({"do": "write", "tab": tab, "texts": texts}))?;
        Ok(())
    }

    /// The browser is killed and started again; the person is still signed in.
    fn kill(&mut self) -> Result<()> {
        self.ask(&json!({"do": "kill"}))?;
        self.ask(&json!({"do": "open", "until": ".room-row"})).context("still signed in")?;
        Ok(())
    }

    fn log(&self) -> Result<Vec<Said>> {
        self.runtime.block_on(async {
            if self.signed_in.elapsed() > TOKEN_KEPT {
                sign_in(&self.rest).await?;
            }
            let (mut said, mut after) = (Vec::new(), None);
            loop {
                let page = self.rest.events(self.room, after, PAGE_EVENTS_MAX).await?;
                for event in &page.events {
                    if let EventBody::MessagePosted { text, .. } = &event.body {
                        said.push(Said::Text(text.clone()));
                    }
                    if let EventBody::BurstStarted { header, spoken_ago_ms, uncertainty_ms, .. } = &event.body {
                        let burst = self.rest.burst(self.room, header.burst).await?;
                        let frames = u64::from(burst.last.map_or(0, |last| last.0));
                        let length_ms = frames * u64::from(header.frame_ms.ms());
                        let (complete, ago_ms, uncertainty_ms) = (burst.complete, *spoken_ago_ms, *uncertainty_ms);
                        said.push(Said::Burst(Spoken {
                            burst: header.burst,
                            length_ms,
                            complete,
                            ago_ms,
                            uncertainty_ms,
                        }));
                    }
                }
                if page.events.is_empty() || page.next.seq >= page.head.seq {
                    return Ok(said);
                }
                after = Some(page.next);
            }
        })
    }

    /// Waits until the log has so many entries and every burst of it is complete.
    fn delivered(&self, entries: usize) -> Result<Vec<Said>> {
        self.delivered_but(entries, &BTreeSet::new())
    }

    /// The same, but for bursts that went with their browser before a first chunk of them was on the disk.
    fn delivered_but(&self, entries: usize, gone: &BTreeSet<BurstId>) -> Result<Vec<Said>> {
        let began = Instant::now();
        loop {
            let log = self.log()?;
            let lacks =
                |said: &Said| matches!(said, Said::Burst(spoken) if !spoken.complete && !gone.contains(&spoken.burst));
            if log.len() >= entries && !log.iter().any(lacks) {
                return Ok(log);
            }
            ensure!(began.elapsed() < PATIENCE, "not delivered within {PATIENCE:?}: {log:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Somebody else writes.
    fn append(&self, text: &str, client_id: ClientId) -> Result<()> {
        let body = EventBody::MessagePosted { text: text.to_owned(), reply_to: None };
        self.runtime.block_on(self.rest.append(self.room, &NewEvent { client_id, epoch: None, body }))?;
        Ok(())
    }

    fn end(self) -> Result<()> {
        self.page.end()
    }
}

/// Signs the reader in as a device of its own.
async fn sign_in(rest: &Rest) -> Result<()> {
    let (login, password) = (READER.to_owned(), PASSWORD.to_owned());
    let request = SignIn { login, password, device_name: "reader".to_owned(), device: None, earlier: None };
    rest.set_token(rest.sign_in(&request).await?.access_token);
    Ok(())
}
