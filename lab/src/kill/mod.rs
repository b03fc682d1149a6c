//! The kill test: a real `hollerd` and real clients, each a process, under TLS; each killed with SIGKILL at random instants and
//! started again on its own files; and the [`crate::history`] checker over everything that they were told.
//!
//! The parent runs here; what a client process does is in [`client`]. A client sends texts, talks, and follows the room, and
//! says on its standard output what it learns, the moment it learns it. What it could not say before it was killed was never
//! observed, as with a person whose screen went dark.
//!
//! A kill takes the process, not the machine: what the kernel holds is written all the same. What a machine that loses power
//! leaves is for [`crate::crash_points`] and [`crate::sim`].

pub mod client;
pub mod restore;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use holler_client::rest::{Rest, RestError};
use holler_client::store::Store;
use holler_core::units::{BurstId, ClientId, Cursor, FrameNo, RoomId};
use holler_core::wire::limits::PAGE_EVENTS_MAX;
use holler_core::wire::problem::ProblemKind;

use self::client::{Line, Orders};
use crate::chance::Chance;
use crate::history::{self, Entry, Record};
use crate::programs::{PASSWORD, Server};

/// Clients.
const CLIENTS: usize = 4;
/// Kills of clients for each kill of the server.
const CLIENTS_A_SERVER: u64 = 3;
/// The room.
const ROOM: &str = "Everyone";
/// How long nothing may happen after a restart before it counts as a hang.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest time from progress to the next kill.
const RUN_MS_MAX: u64 = 250;

/// What came of it.
#[derive(Debug, Default)]
pub struct Report {
    /// Kills of the server.
    pub server_kills: u64,
    /// Kills of clients.
    pub client_kills: u64,
    /// Sends that were acked to somebody who could still say so.
    pub acked: usize,
    /// Events that readers were given.
    pub seen: usize,
    /// Bursts that were delivered.
    pub bursts: usize,
    /// Texts and bursts that a client had said it keeps, delivered in the end.
    pub kept: usize,
    /// Events in the log at the end.
    pub log: usize,
    /// What must not be.
    pub faults: Vec<String>,
    /// From the first kill to the last.
    pub took: Duration,
}

/// A child that does not outlive its owner.
struct Killable {
    child: Child,
    input: Option<ChildStdin>,
}

impl Drop for Killable {
    fn drop(&mut self) {
        // Already gone after a kill; then these do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Killable {
    fn tell(&mut self, word: &str) {
        // It may be dead already; the end of its output tells.
        if let Some(input) = &mut self.input {
            let _ = input.write_all(format!("{word}\n").as_bytes());
        }
    }
}

/// Which client said what, in which of its lives.
type Said = (usize, u64, Line);

struct Lab {
    programs: PathBuf,
    scratch: PathBuf,
    address: SocketAddr,
    room: RoomId,
    chance: Chance,
    server: Option<Killable>,
    clients: Vec<Option<Killable>>,
    lives: Vec<u64>,
    said: (Sender<Said>, Receiver<Said>),
    devices: Vec<[u8; 16]>,
    records: Vec<Record>,
    heads: BTreeMap<usize, u64>,
    own: BTreeMap<usize, u64>,
    /// The same when the client last began to ask for the log's end.
    asked: BTreeMap<usize, u64>,
    delivered: BTreeSet<BurstId>,
    /// Texts that were on the disk of their client before there was a connection.
    kept_texts: BTreeSet<history::Key>,
    /// Bursts that were spoken, and on the disk of their client.
    kept_bursts: BTreeSet<BurstId>,
    /// What was acked, by whom, in which order.
    acked: Vec<(usize, ClientId)>,
    gaps: Vec<String>,
    report: Report,
}

/// Runs `times` kills with the programs in this folder.
pub fn run(programs: &Path, times: u64, seed: u64) -> Result<Report> {
    let scratch = tempfile::tempdir().context("a scratch folder")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("a runtime")?;
    let (rest, mut lab) = runtime.block_on(prepare(programs, scratch.path(), seed))?;
    lab.start_server()?;
    for client in 0..CLIENTS {
        lab.start_client(client)?;
    }
    lab.progress("the first messages")?;
    let start = Instant::now();
    while lab.report.server_kills + lab.report.client_kills < times {
        lab.pass();
        if lab.chance.one_in(CLIENTS_A_SERVER + 1) {
            lab.report.server_kills += 1;
            lab.server = None;
            lab.start_server()?;
            for client in lab.clients.iter_mut().flatten() {
                client.tell("up");
            }
        } else {
            let client = usize::try_from(lab.chance.below(u64::try_from(CLIENTS).unwrap_or(1))).unwrap_or_default();
            lab.report.client_kills += 1;
            lab.clients[client] = None;
            lab.start_client(client)?;
        }
        lab.progress("a message after a restart")?;
    }
    lab.report.took = start.elapsed();
    let log = runtime.block_on(lab.settle(&rest))?;
    lab.report.faults.append(&mut lab.gaps);
    lab.report.faults.extend(history::check(&lab.records, &log, 1).iter().map(ToString::to_string));
    runtime.block_on(lab.bursts(&rest))?;
    Ok(lab.report)
}

async fn prepare(programs: &Path, scratch: &Path, seed: u64) -> Result<(Rest, Lab)> {
    let server = Server::start(programs, scratch)?;
    let mut devices = Vec::new();
    let mut rest = None;
    for client in 0..CLIENTS {
        let name = format!("person-{client}");
        server.add_user(&name, ROOM)?;
        let store = Store::open(&folder(scratch, client), &crate::programs::unlock(), drop)?;
        // The port changes with the next start: the address is set below.
        let root = Some(server.root().to_owned());
        let profile =
            holler_client::client::sign_in(&store, server.url(), root, &name, PASSWORD.to_owned(), name.clone())
                .await?;
        devices.push(*profile.device.bytes());
        if rest.is_none() {
            rest = Some(holler_client::client::rest_of(&store).await?);
        }
    }
    let rest = rest.context("a client")?;
    let rooms = rest.rooms().await?;
    let room = rooms.iter().find(|room| room.name == ROOM).context("the room")?.id;
    server.stop()?;
    let free = TcpListener::bind("127.0.0.1:0")?;
    let address = free.local_addr()?;
    drop(free);
    for client in 0..CLIENTS {
        let store = Store::open(&folder(scratch, client), &crate::programs::unlock(), drop)?;
        let mut profile = store.profile()?.context("a profile")?;
        profile.server = format!("https://localhost:{}/", address.port());
        store.set_profile(Some(&profile))?;
    }
    let rest =
        holler_client::client::rest_of(&Store::open(&folder(scratch, 0), &crate::programs::unlock(), drop)?).await?;
    let lab = Lab {
        programs: programs.to_owned(),
        scratch: scratch.to_owned(),
        address,
        room,
        chance: Chance::new(seed),
        server: None,
        clients: (0..CLIENTS).map(|_| None).collect(),
        lives: vec![0; CLIENTS],
        said: channel(),
        devices,
        records: Vec::new(),
        heads: BTreeMap::new(),
        own: BTreeMap::new(),
        asked: BTreeMap::new(),
        delivered: BTreeSet::new(),
        kept_texts: BTreeSet::new(),
        kept_bursts: BTreeSet::new(),
        acked: Vec::new(),
        gaps: Vec::new(),
        report: Report::default(),
    };
    Ok((rest, lab))
}

/// Waits until the quota allows the next request; gives how long that was.
async fn quota(refused: &RestError) -> Duration {
    let told = if let RestError::Refused(problem) = refused { problem.retry_after_s } else { None };
    let wait = Duration::from_secs(u64::from(told.unwrap_or(1)).clamp(1, 60));
    tokio::time::sleep(wait).await;
    wait
}

fn folder(scratch: &Path, client: usize) -> PathBuf {
    scratch.join(format!("client-{client}"))
}

impl Lab {
    fn start_server(&mut self) -> Result<()> {
        let log = std::fs::File::options().create(true).append(true).open(self.scratch.join("hollerd.log"))?;
        let mut command = Command::new(self.programs.join("hollerd"));
        command.arg("--data").arg(self.scratch.join("data")).arg("--keys").arg(self.scratch.join("keys"));
        command.args(["serve", "--listen", &self.address.to_string()]);
        command.env("HOLLER_PRIVATE__LISTEN", "off").env("HOLLER_LOG__FILTER", "warn");
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().context("starting hollerd")?;
        self.server = Some(Killable { child, input: None });
        let deadline = Instant::now() + PATIENCE;
        while TcpStream::connect_timeout(&self.address, Duration::from_millis(200)).is_err() {
            let over = self.server.as_mut().and_then(|server| server.child.try_wait().ok().flatten());
            if over.is_some() || Instant::now() > deadline {
                let log = std::fs::read_to_string(self.scratch.join("hollerd.log")).unwrap_or_default();
                bail!("hollerd did not come back ({over:?}): {}", log.lines().last().unwrap_or_default());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    fn start_client(&mut self, client: usize) -> Result<()> {
        self.lives[client] += 1;
        let life = self.lives[client];
        let orders = Orders { folder: folder(&self.scratch, client), room: self.room, seed: self.chance.draw() };
        let orders = serde_json::to_string(&orders)?;
        let mut child = Command::new(self.programs.join("kill-client"))
            .arg(orders)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("starting kill-client; is it built?")?;
        let output = child.stdout.take().context("its standard output")?;
        let tell = self.said.0.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                // A line cut off by death was never said.
                let Ok(line) = serde_json::from_str(&line) else { return };
                if tell.send((client, life, line)).is_err() {
                    return;
                }
            }
        });
        let input = child.stdin.take();
        self.clients[client] = Some(Killable { child, input });
        Ok(())
    }

    /// Lets them run for a random time.
    fn pass(&mut self) {
        let until = Instant::now() + Duration::from_millis(self.chance.below(RUN_MS_MAX));
        while let Ok(said) = self.said.1.recv_timeout(until.saturating_duration_since(Instant::now())) {
            self.note(said);
        }
    }

    /// Waits until somebody's send is acked.
    fn progress(&mut self, what: &str) -> Result<()> {
        let (before, deadline) = (self.report.acked, Instant::now() + PATIENCE);
        while self.report.acked == before {
            match self.said.1.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
                Ok(said) => self.note(said),
                Err(RecvTimeoutError::Timeout) => bail!("hang: {what} did not come within {} s", PATIENCE.as_secs()),
                Err(RecvTimeoutError::Disconnected) => bail!("nobody is left to say anything"),
            }
        }
        Ok(())
    }

    fn note(&mut self, (client, life, line): (usize, u64, Line)) {
        let number = u64::try_from(client).unwrap_or_default();
        let reader = number * 1_000_000 + life;
        match line {
            Line::Begins { after } => self.records.push(Record::Begins { reader, after }),
            Line::Asks => {
                let known = self.own.get(&client).copied().unwrap_or_default();
                self.asked.insert(client, known);
            }
            Line::Room { head } => {
                let known = self.asked.get(&client).copied().unwrap_or_default();
                self.records.push(Record::Read { client: number, known, head });
            }
            Line::Acked { client_id, seq } => {
                self.report.acked += 1;
                self.acked.push((client, client_id));
                let own = self.own.entry(client).or_default();
                *own = (*own).max(seq);
                let key = (self.devices[client], *client_id.bytes());
                self.records.push(Record::Acked { client: number, key, seq });
            }
            Line::Seen { entry } => {
                self.report.seen += 1;
                self.heads.insert(client, entry.seq);
                self.records.push(Record::Seen { reader, entry });
            }
            Line::KeptText { client_id } => {
                self.kept_texts.insert((self.devices[client], *client_id.bytes()));
            }
            Line::KeptBurst { burst } => {
                self.kept_bursts.insert(burst);
            }
            Line::Delivered { burst } => {
                self.delivered.insert(burst);
            }
            Line::Gap { first } => {
                self.gaps.push(format!("client {client}: a gap up to {first}, though nothing was removed"));
            }
            Line::Trouble { detail } => self.report.faults.push(format!("client {client}: {detail}")),
        }
    }

    /// Everybody finishes what they have begun; gives the log.
    async fn settle(&mut self, rest: &Rest) -> Result<Vec<Entry>> {
        for client in self.clients.iter_mut().flatten() {
            client.tell("up");
            client.tell("end");
        }
        let mut deadline = Instant::now() + PATIENCE * 2;
        let mut log: Vec<Entry> = Vec::new();
        let mut quiet_since = Instant::now();
        let mut after = None;
        // Until nothing new comes for two seconds, and everybody has everything.
        loop {
            let before = log.len();
            loop {
                let page = match rest.events(self.room, after, PAGE_EVENTS_MAX).await {
                    Err(error) if error.is(ProblemKind::RateLimited) => {
                        // The quota is the checker's own: nobody is late for it.
                        deadline += quota(&error).await;
                        continue;
                    }
                    page => page?,
                };
                log.extend(page.events.iter().map(Entry::from));
                if page.events.is_empty() {
                    break;
                }
                after = Some(Cursor { incarnation: page.head.incarnation, seq: page.next.seq });
            }
            if log.len() != before {
                quiet_since = Instant::now();
            }
            while let Ok(said) = self.said.1.recv_timeout(Duration::from_millis(200)) {
                self.note(said);
            }
            let head = log.last().map_or(0, |entry| entry.seq);
            let all = (0..CLIENTS).all(|client| self.heads.get(&client) == Some(&head));
            let there: BTreeSet<history::Key> = log.iter().map(|entry| entry.key).collect();
            let all = all && self.kept_texts.is_subset(&there);
            if all && quiet_since.elapsed() > Duration::from_secs(2) {
                break;
            }
            if Instant::now() > deadline {
                self.report.faults.push(format!("hang: the log ends at {head}; clients are at {:?}", self.heads));
                for (_, text) in self.kept_texts.difference(&there) {
                    self.report.faults.push(format!("{} was kept and is not in the log", ClientId::from_bytes(*text)));
                }
                break;
            }
        }
        self.report.log = log.len();
        Ok(log)
    }

    /// What was delivered, or kept to be, is there, every frame of it.
    async fn bursts(&mut self, rest: &Rest) -> Result<()> {
        let mut deadline = Instant::now() + PATIENCE;
        for burst in self.delivered.union(&self.kept_bursts) {
            let told = self.delivered.contains(burst);
            loop {
                let fault = match self.whole(rest, *burst).await {
                    Ok(None) => break,
                    Ok(Some(fault)) => fault,
                    Err(error) if error.is(ProblemKind::NotFound) => "is not there".into(),
                    Err(error) if error.is(ProblemKind::RateLimited) => {
                        deadline += quota(&error).await;
                        continue;
                    }
                    Err(error) => return Err(error.into()),
                };
                // One that a client keeps may still be on its way.
                if told || Instant::now() > deadline {
                    let word = if told { "delivered" } else { "kept" };
                    self.report.faults.push(format!("{burst} was {word} and {fault}"));
                    break;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
        self.report.bursts = self.delivered.len();
        self.report.kept = self.kept_texts.len() + self.kept_bursts.len();
        Ok(())
    }

    /// What a burst lacks.
    async fn whole(&self, rest: &Rest, burst: BurstId) -> Result<Option<String>, RestError> {
        let stored = rest.frames(self.room, burst, FrameNo(1), FrameNo(15_000)).await?;
        let known = rest.burst(self.room, burst).await?;
        let right = stored
            .iter()
            .zip(1..)
            .all(|((number, payload), expected)| number.0 == expected && *payload == client::payload(burst, number.0));
        let fault = || format!("has {} frames, right: {right}, complete: {}", stored.len(), known.complete);
        Ok((!known.complete || !right || stored.is_empty()).then(fault))
    }
}
