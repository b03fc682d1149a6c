//! The real programs as processes: a server with data of its own, and clients. Each is killed when it is dropped.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use holler_client::store::Unlock;
use holler_core::model::Scope;
use serde_json::Value;

use crate::link::Profile;
use crate::proxy::Proxy;

/// How long a server may take to start, or a command to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// Every user's password; the server is gone with its scratch folder.
pub const PASSWORD: &str = "only for this server";

/// Where links to a server stand, each on an address of its own: a client takes the socket's host for its datagrams.
const LINKS: [Ipv4Addr; 8] = [
    Ipv4Addr::new(127, 0, 0, 2),
    Ipv4Addr::new(127, 0, 0, 3),
    Ipv4Addr::new(127, 0, 0, 4),
    Ipv4Addr::new(127, 0, 0, 5),
    Ipv4Addr::new(127, 0, 0, 6),
    Ipv4Addr::new(127, 0, 0, 7),
    Ipv4Addr::new(127, 0, 0, 8),
    Ipv4Addr::new(127, 0, 0, 9),
];

/// What opens the clients' local stores: these machines have no key store.
pub fn unlock() -> Unlock {
    Unlock::passphrase(PASSWORD.to_owned())
}

/// Where the programs are: in this folder, or beside the program that runs.
pub fn folder(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(folder) = named {
        return Ok(folder.to_owned());
    }
    let own = std::env::current_exe().context("where this program is")?;
    own.parent().map(Path::to_owned).context("this program lies in no folder")
}

/// Builds `hollerd` and `holler` into the folder of the test that calls it, and gives that folder.
///
/// The tests of a crate are built after that crate's own programs, not after those of other crates.
pub fn build() -> Result<PathBuf> {
    let own = std::env::current_exe().context("where this test is")?;
    // target/debug/deps/cli-…
    let folder = own.ancestors().nth(2).context("a test lies in a target folder")?;
    let mut build = Command::new(env!("CARGO"));
    build.args(["build", "--quiet", "--locked", "-p", "holler-server", "-p", "holler-cli", "--target-dir"]);
    build.arg(folder.parent().context("a target folder")?).current_dir(env!("CARGO_MANIFEST_DIR"));
    if folder.ends_with("release") {
        build.arg("--release");
    }
    ensure!(build.status().context("cargo")?.success(), "hollerd and holler could not be built");
    Ok(folder.to_owned())
}

/// A recording that comes with Holler.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

/// A path as an argument.
pub fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is no UTF-8", path.display()))
}

/// A child process that does not outlive its owner, with its standard output line by line and the end of its standard error.
struct Process {
    child: Child,
    lines: Receiver<String>,
    errors: Option<std::thread::JoinHandle<String>>,
    name: String,
}

impl Process {
    fn start(name: &str, command: &mut Command, input: &[u8]) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {name} ({}); is it built?", command.get_program().display()))?;
        let (send, lines) = channel();
        let output = child.stdout.take().context("its standard output")?;
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        let mut errors = child.stderr.take().context("its standard error")?;
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            let _ = errors.read_to_string(&mut text);
            text
        });
        let mut stdin = child.stdin.take().context("its standard input")?;
        let input = input.to_vec();
        // By a thread, for a pipe holds little; and a command that asks for nothing may be gone already.
        std::thread::spawn(move || stdin.write_all(&input));
        Ok(Self { child, lines, errors: Some(errors), name: name.to_owned() })
    }

    /// The next line, until `deadline`; `None` when there will be no more.
    fn line(&self, deadline: Instant) -> Result<Option<String>> {
        match self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => Ok(Some(line)),
            Err(RecvTimeoutError::Disconnected) => Ok(None),
            Err(RecvTimeoutError::Timeout) => bail!("{} took too long", self.name),
        }
    }

    /// Waits for its end and gives its exit code and what it complained about. Its output must have ended.
    fn end(mut self) -> Result<(Option<i32>, String)> {
        let status = self.child.wait().with_context(|| format!("waiting for {}", self.name))?;
        Ok((status.code(), self.errors.take().and_then(|errors| errors.join().ok()).unwrap_or_default()))
    }

    /// The same, where it must be a good end.
    fn end_well(self) -> Result<()> {
        let name = self.name.clone();
        let (code, errors) = self.end()?;
        ensure!(code == Some(0), "{name} ended with exit code {code:?}: {}", tail(&errors));
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Already gone after `end`; then these do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of what a process complained about.
fn tail(errors: &str) -> String {
    let lines: Vec<&str> = errors.lines().rev().take(5).collect();
    lines.into_iter().rev().collect::<Vec<_>>().join("\n")
}

/// How a client ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; `None`: a signal.
    pub code: Option<i32>,
    /// What it printed.
    pub lines: Vec<Value>,
    /// What it complained about.
    pub errors: String,
}

impl Ended {
    /// The first line of this type.
    pub fn line(&self, kind: &str) -> Option<&Value> {
        self.lines.iter().find(|line| line["type"] == kind)
    }
}

/// A client that prints JSON lines.
pub struct Running {
    process: Process,
    seen: Vec<Value>,
}

impl Running {
    fn read(&mut self, deadline: Instant) -> Result<Option<usize>> {
        let Some(line) = self.process.line(deadline)? else { return Ok(None) };
        let value = serde_json::from_str(&line).with_context(|| format!("{} said {line:?}", self.process.name))?;
        self.seen.push(value);
        Ok(Some(self.seen.len() - 1))
    }

    /// Waits for a line and gives it; those before it are kept too.
    pub fn wait_for(&mut self, patience: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        let deadline = Instant::now() + patience;
        while let Some(at) = self.read(deadline)? {
            if wanted(&self.seen[at]) {
                return Ok(self.seen[at].clone());
            }
        }
        let _ = self.process.child.wait();
        let errors = self.process.errors.take().and_then(|errors| errors.join().ok()).unwrap_or_default();
        bail!("{} ended before: {}", self.process.name, tail(&errors))
    }

    /// Waits for its end, good or bad.
    pub fn end(mut self, patience: Duration) -> Result<Ended> {
        let deadline = Instant::now() + patience;
        while self.read(deadline)?.is_some() {}
        let (code, errors) = self.process.end()?;
        Ok(Ended { code, lines: self.seen, errors })
    }

    /// Waits for its good end and gives every line.
    pub fn finish(mut self, patience: Duration) -> Result<Vec<Value>> {
        let deadline = Instant::now() + patience;
        while self.read(deadline)?.is_some() {}
        self.process.end_well()?;
        Ok(self.seen)
    }
}

/// A server with data of its own.
pub struct Server {
    process: Process,
    programs: PathBuf,
    scratch: PathBuf,
    url: String,
    root: PathBuf,
    /// How many of [`LINKS`] are taken.
    links: AtomicUsize,
}

impl Server {
    /// Starts a server on a port that the system chooses.
    pub fn start(programs: &Path, scratch: &Path) -> Result<Self> {
        Self::start_with(programs, scratch, &[])
    }

    /// The same with settings, as variables of its environment.
    pub fn start_with(programs: &Path, scratch: &Path, settings: &[(&str, &str)]) -> Result<Self> {
        let mut command = hollerd(programs, scratch);
        let names: Vec<String> = LINKS.iter().map(ToString::to_string).collect();
        // The first name is the one that the server calls itself.
        command.env("HOLLER_SERVER__PUBLIC_NAMES", format!("localhost,{}", names.join(",")));
        command.envs(settings.iter().copied());
        command.args(["serve", "--listen", "127.0.0.1:0"]);
        let process = Process::start("hollerd", &mut command, b"")?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let Some(line) = process.line(deadline)? else {
                process.end_well()?;
                bail!("hollerd ended without saying how to sign in");
            };
            // Sign in:   holler login https://localhost:43210 --user admin --ca '/…/ca.pem'
            let Some((_, rest)) = line.split_once("holler login ") else { continue };
            let url = rest.split(' ').next().unwrap_or_default().to_owned();
            let root = rest.split("--ca '").nth(1).and_then(|rest| rest.strip_suffix('\''));
            let root = root.context("hollerd named no root certificate")?.into();
            let (programs, scratch) = (programs.to_owned(), scratch.to_owned());
            return Ok(Self { process, programs, scratch, url, root, links: AtomicUsize::new(0) });
        }
    }

    /// Adds a user to a room and signs them in at a client of their own.
    pub fn add_user(&self, name: &str, room: &str) -> Result<()> {
        let mut add = hollerd(&self.programs, &self.scratch);
        add.args(["user", "add", name, "--room", room, "--password-stdin"]);
        self.done("hollerd user add", &mut add)?;
        self.sign_in(name)
    }

    /// Signs a user in.
    pub fn sign_in(&self, name: &str) -> Result<()> {
        self.sign_in_at(name, &self.url)
    }

    fn sign_in_at(&self, name: &str, url: &str) -> Result<()> {
        let mut login = self.holler(name);
        login.args(["login", url, "--user", name, "--password-stdin", "--ca"]).arg(&self.root);
        self.done("holler login", &mut login)?;
        Ok(())
    }

    /// Adds a user whose clients reach the server through a link that can be cut.
    pub fn add_user_behind(&self, name: &str, room: &str) -> Result<Proxy> {
        self.add_user_linked(name, room, None, 0)
    }

    /// Adds a user whose clients reach the server through a link that behaves so.
    pub fn add_user_over(&self, name: &str, room: &str, profile: Profile, seed: u64) -> Result<Proxy> {
        self.add_user_linked(name, room, Some(profile), seed)
    }

    fn add_user_linked(&self, name: &str, room: &str, profile: Option<Profile>, seed: u64) -> Result<Proxy> {
        let mut add = hollerd(&self.programs, &self.scratch);
        add.args(["user", "add", name, "--room", room, "--password-stdin"]);
        self.done("hollerd user add", &mut add)?;
        let to = self.address()?;
        let taken = self.links.fetch_add(1, Ordering::Relaxed);
        let ip = LINKS.get(taken).with_context(|| format!("a server has {} links at most", LINKS.len()))?;
        let proxy = Proxy::start_over((*ip).into(), to, to.port(), profile, seed).context("a link")?;
        self.sign_in_at(name, &format!("https://{}", proxy.address()))?;
        Ok(proxy)
    }

    /// Adds a room.
    pub fn add_room(&self, name: &str) -> Result<()> {
        let mut add = hollerd(&self.programs, &self.scratch);
        add.args(["room", "add", name]);
        self.done("hollerd room add", &mut add)?;
        Ok(())
    }

    /// Where it listens.
    pub fn address(&self) -> Result<SocketAddr> {
        let (_, port) = self.url.rsplit_once(':').context("the server's address has a port")?;
        let port: u16 = port.trim_end_matches('/').parse().context("the server's port")?;
        Ok((Ipv4Addr::LOCALHOST, port).into())
    }

    /// Makes a token for a script of this user.
    pub fn token(&self, name: &str, scopes: &[Scope]) -> Result<String> {
        let mut make = hollerd(&self.programs, &self.scratch);
        make.args(["token", "make", name]);
        for scope in scopes {
            make.args(["--scope", &scope.to_string()]);
        }
        self.done("hollerd token make", &mut make)?.pop().context("hollerd printed no token")
    }

    /// Runs a command, which asks for a password at most, to its good end and gives what it printed.
    fn done(&self, name: &str, command: &mut Command) -> Result<Vec<String>> {
        let process = Process::start(name, command, format!("{PASSWORD}\n").as_bytes())?;
        let deadline = Instant::now() + PATIENCE;
        let mut lines = Vec::new();
        while let Some(line) = process.line(deadline)? {
            lines.push(line);
        }
        process.end_well()?;
        Ok(lines)
    }

    /// Runs a command of hollerd beside the server to its good end, and gives what it printed.
    pub fn command(&self, arguments: &[&str]) -> Result<Vec<String>> {
        let mut command = hollerd(&self.programs, &self.scratch);
        command.args(arguments);
        self.done(&format!("hollerd {}", arguments.join(" ")), &mut command)
    }

    /// Sets the role of a user in a room.
    pub fn set_role(&self, name: &str, room: &str, role: &str) -> Result<()> {
        self.command(&["room", "member", room, name, "--role", role]).map(drop)
    }

    /// Signs a user out everywhere, for good.
    pub fn revoke_all(&self, name: &str) -> Result<()> {
        let mut revoke = hollerd(&self.programs, &self.scratch);
        revoke.args(["device", "revoke", "--all-of", name]);
        self.done("hollerd device revoke", &mut revoke)?;
        Ok(())
    }

    /// Makes an invite for one person into a room, and gives its link.
    pub fn invite(&self, room: &str) -> Result<String> {
        let mut make = hollerd(&self.programs, &self.scratch);
        make.args(["invite", "make", "--room", room, "--url", &self.url]);
        self.link("hollerd invite make", &mut make)
    }

    /// Makes a one-time link for a new password.
    pub fn reset(&self, name: &str) -> Result<String> {
        let mut make = hollerd(&self.programs, &self.scratch);
        make.args(["user", "reset", name, "--url", &self.url]);
        self.link("hollerd user reset", &mut make)
    }

    fn link(&self, name: &str, command: &mut Command) -> Result<String> {
        let process = Process::start(name, command, b"")?;
        let deadline = Instant::now() + PATIENCE;
        let link = process.line(deadline)?.with_context(|| format!("{name} printed no link"))?;
        while process.line(deadline)?.is_some() {}
        process.end_well()?;
        Ok(link)
    }

    /// Starts a client command with `--json`, as this user's profile.
    pub fn client(&self, name: &str, arguments: &[&str]) -> Result<Running> {
        self.client_with(name, arguments, &[])
    }

    /// The same with standard input.
    pub fn client_with(&self, name: &str, arguments: &[&str], input: &[u8]) -> Result<Running> {
        let mut command = self.holler(name);
        command.arg("--json").args(arguments);
        let process = Process::start(&format!("holler {} ({name})", arguments.join(" ")), &mut command, input)?;
        Ok(Running { process, seen: Vec::new() })
    }

    /// Where it is.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Its root certificate.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn holler(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join("holler"));
        command.env("HOLLER_HOME", self.scratch.join("home")).env("HOLLER_PROFILE", name);
        command.env("HOLLER_PASSPHRASE", PASSWORD);
        command
    }

    /// Asks the server to go down and waits until it has.
    pub fn stop(self) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.process.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).context("stopping hollerd")?;
        let deadline = Instant::now() + PATIENCE;
        while self.process.line(deadline)?.is_some() {}
        self.process.end_well()
    }
}

fn hollerd(programs: &Path, scratch: &Path) -> Command {
    let mut command = Command::new(programs.join("hollerd"));
    command.arg("--data").arg(scratch.join("data")).arg("--keys").arg(scratch.join("keys"));
    command.env("HOLLER_PRIVATE__LISTEN", "off").env("HOLLER_LOG__FILTER", "warn");
    command
}
