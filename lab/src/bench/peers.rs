//! The other servers, each a process on the server's core, with our certificate where it takes one.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use super::Setting;
use super::wire::Wire;

/// How long one may take to start.
const PATIENCE: Duration = Duration::from_secs(20);

/// Its program, and Debian's package for it.
fn program(wire: Wire) -> (&'static str, &'static str) {
    match wire {
        Wire::Holler => ("hollerd", "holler"),
        Wire::Nats => ("nats-server", "nats-server"),
        Wire::Redis => ("redis-server", "redis-server"),
        Wire::Mqtt => ("mosquitto", "mosquitto"),
        Wire::Mumble => ("murmurd", "mumble-server"),
    }
}

/// Where a peer's program is; `None`: not on this machine.
fn find(wire: Wire) -> Option<PathBuf> {
    let (name, _) = program(wire);
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Debian puts servers where only root looks.
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|program| program.is_file())
}

/// What to say where a peer is not there.
pub(super) fn absent(wire: Wire) -> Option<String> {
    let (name, package) = program(wire);
    find(wire)
        .is_none()
        .then(|| format!("{name} is not on this machine, so nothing stands beside ours (Debian: {package})."))
}

/// A peer that runs; dropped, it is killed.
pub(super) struct Peer {
    child: Child,
    pub(super) address: SocketAddr,
    _scratch: TempDir,
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    /// Starts one with this certificate and key; `None`: it is not on this machine.
    pub(super) fn start(setting: &Setting, wire: Wire, certificate: &(PathBuf, PathBuf)) -> Result<Option<Self>> {
        let Some(program) = find(wire) else { return Ok(None) };
        let scratch = tempfile::tempdir()?;
        // Free a moment ago; on the loopback of a machine that measures, nobody else takes it.
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
        let mut command = Command::new(&program);
        command.args(arguments(wire, port, certificate, scratch.path())?);
        let log = fs::File::create(scratch.path().join("log"))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let name = program.display().to_string();
        let child = setting.cores.on_servers(|| command.spawn().with_context(|| format!("starting {name}")))?;
        let address = (Ipv4Addr::LOCALHOST, port).into();
        let mut peer = Self { child, address, _scratch: scratch };
        let begin = Instant::now();
        while TcpStream::connect(address).is_err() {
            if peer.child.try_wait()?.is_some() || begin.elapsed() > PATIENCE {
                let said = fs::read_to_string(peer._scratch.path().join("log")).unwrap_or_default();
                bail!("{name} does not serve: {}", said.lines().rev().take(5).collect::<Vec<_>>().join("; "));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(Some(peer))
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }
}

fn arguments(wire: Wire, port: u16, (chain, key): &(PathBuf, PathBuf), scratch: &Path) -> Result<Vec<String>> {
    let file = scratch.join("settings");
    let (chain, key, place) = (chain.display(), key.display(), scratch.display());
    let (text, arguments): (String, Vec<&str>) = match wire {
        Wire::Nats => (
            format!(
                "listen: \"127.0.0.1:{port}\"\nping_interval: \"1h\"\nmax_connections: 20000\n\
                 tls {{\n cert_file: \"{chain}\"\n key_file: \"{key}\"\n timeout: 30\n}}\n"
            ),
            vec!["-c"],
        ),
        Wire::Redis => (
            format!(
                "port 0\ntls-port {port}\nbind 127.0.0.1\ntls-cert-file {chain}\ntls-key-file {key}\ntls-auth-clients no\n\
                 tls-ca-cert-file {chain}\nsave \"\"\nappendonly no\nmaxclients 15000\ndir {place}\n"
            ),
            vec![],
        ),
        Wire::Mqtt => (
            format!(
                "listener {port} 127.0.0.1\ncertfile {chain}\nkeyfile {key}\nallow_anonymous true\nmax_connections -1\n\
                 persistence false\nuser root\nset_tcp_nodelay true\n"
            ),
            vec!["-c"],
        ),
        Wire::Mumble => (
            format!(
                "database={place}/murmur.sqlite\nport={port}\nhost=127.0.0.1\nsslCert={chain}\nsslKey={key}\nusers=2000\n\
                 bandwidth=130000\nautobanAttempts=0\nuname=root\nbonjour=false\nallowping=false\nlogfile=\npidfile=\n\
                 messageburst=1000\nmessagelimit=1000\ntimeout=3600\n"
            ),
            vec!["-fg", "-ini"],
        ),
        Wire::Holler => bail!("ours is started with its own data"),
    };
    fs::write(&file, text)?;
    let file = file.display().to_string();
    Ok(arguments.into_iter().map(str::to_owned).chain([file]).collect())
}
