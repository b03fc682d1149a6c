//! A running server, as a client meets it: TCP, TLS, the certificate that is really served, and `/readyz`.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::ServerName;

use super::Notes;
use crate::config::Config;
use crate::pki;

/// How long each step of a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 8 * 1024;
const WHY: &str = "Clients come this way: what fails here fails for them.";

/// `certificate` is the one on disk.
pub(super) fn look(notes: &mut Notes<'_>, config: &Config, certificate: Option<&[u8]>) {
    let name = config.public_names.first().map_or("localhost", String::as_str);
    for listen in &config.listen {
        if listen.port() == 0 {
            notes.note("server.listen leaves the port to the system: this program can't know which it is");
            return;
        }
        let address = SocketAddr::new(reachable(listen.ip()), listen.port());
        match visit(config, name, &[address]) {
            Ok(visit) => tell(notes, &format!("{address}"), &visit, certificate),
            // The server left it out too where the machine has no IPv6.
            Err(Fault::Connect(error))
                if address.ip() == IpAddr::V6(Ipv6Addr::LOCALHOST) && config.listen.len() > 1 =>
            {
                notes.note(format!("{address} does not answer: {error}"));
            }
            Err(fault) => told(notes, &format!("{address}"), fault),
        }
    }
    datagrams(notes, config);
    let port = config.listen.first().map_or(8443, SocketAddr::port);
    for name in &config.public_names {
        let what = format!("{name}:{port}");
        let addresses: Vec<SocketAddr> = match (name.as_str(), port).to_socket_addrs() {
            Ok(addresses) => addresses.collect(),
            Err(error) => {
                let remedy = format!("Enter {name} in the DNS, or correct server.public_names.");
                notes.warning(format!("{name} is not found by this machine: {error}"), WHY, remedy);
                continue;
            }
        };
        match visit(config, name, &addresses) {
            Ok(visit) => tell(notes, &what, &visit, certificate),
            Err(Fault::Connect(error)) => {
                let remedy = format!(
                    "Let firewall and router pass TCP port {port} to this machine. Behind a router that does not lead back \
                     inside this is normal: try from outside."
                );
                notes.warning(format!("{what} does not answer here: {error}"), WHY, remedy);
            }
            Err(fault) => told(notes, &what, fault),
        }
    }
}

/// Whether somebody, who should be the server, has the UDP port. What firewalls do with it only a client can tell.
fn datagrams(notes: &mut Notes<'_>, config: &Config) {
    if !config.udp {
        return notes.note("voice.udp is false: all voice goes over the socket");
    }
    let Some(first) = config.listen.first() else { return };
    let address = SocketAddr::new(first.ip(), config.udp_port.unwrap_or(first.port()));
    match UdpSocket::bind(address) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            notes.good(format!("UDP {address} is in use, as it is by a server that takes voice there"));
        }
        Ok(_) => {
            let why = "Voice then goes over the socket only, which waits where packets are lost.";
            let remedy = "Look whether [voice] was changed after the start: then restart the server.";
            notes.warning(format!("nobody has UDP {address}"), why, remedy);
        }
        Err(error) => notes.note(format!("who has UDP {address} can't be told: {error}")),
    }
}

/// An address that takes everything is reached over loopback.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => ip,
    }
}

struct Visit {
    certificate: Vec<u8>,
    status: String,
}

enum Fault {
    Connect(std::io::Error),
    Tls(String),
    Http(String),
}

fn visit(config: &Config, name: &str, addresses: &[SocketAddr]) -> Result<Visit, Fault> {
    let tls = |error: &dyn std::fmt::Display| Fault::Tls(error.to_string());
    let client = pki::client(config).map_err(|error| tls(&error))?;
    let server = ServerName::try_from(name.to_owned()).map_err(|error| tls(&error))?;
    let mut last = std::io::Error::other("the name has no address");
    let mut stream = None;
    for address in addresses {
        match TcpStream::connect_timeout(address, PATIENCE) {
            Ok(connected) => stream = Some(connected),
            Err(error) => last = error,
        }
        if stream.is_some() {
            break;
        }
    }
    let Some(mut stream) = stream else { return Err(Fault::Connect(last)) };
    stream
        .set_read_timeout(Some(PATIENCE))
        .and_then(|()| stream.set_write_timeout(Some(PATIENCE)))
        .map_err(Fault::Connect)?;
    let mut session = rustls::ClientConnection::new(Arc::new(client), server).map_err(|error| tls(&error))?;
    while session.is_handshaking() {
        session.complete_io(&mut stream).map_err(|error| tls(&error))?;
    }
    let certificate =
        session.peer_certificates().and_then(|chain| chain.first()).map(|first| first.to_vec()).unwrap_or_default();
    let mut stream = rustls::StreamOwned::new(session, stream);
    let mut answer = Vec::new();
    let asked = write!(stream, "GET /readyz HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n")
        .and_then(|()| (&mut stream).take(ANSWER_BYTES_MAX).read_to_end(&mut answer));
    if answer.is_empty() {
        return Err(Fault::Http(asked.err().map_or_else(|| "nothing".to_owned(), |error| error.to_string())));
    }
    let status = String::from_utf8_lossy(&answer).lines().next().unwrap_or_default().to_owned();
    Ok(Visit { certificate, status })
}

fn tell(notes: &mut Notes<'_>, what: &str, visit: &Visit, on_disk: Option<&[u8]>) {
    if on_disk.is_some_and(|certificate| certificate != visit.certificate) {
        let why = "Once the old one expires, clients refuse the server although a new one is there.";
        let remedy = "Have the server read it: `systemctl reload hollerd`, or HUP.";
        notes.warning(format!("{what} serves another certificate than the one on disk"), why, remedy);
    }
    match visit.status.split(' ').nth(1) {
        Some("200") => notes.good(format!("{what} answers over TLS and is ready")),
        _ => {
            let remedy =
                "The private listener says which part is not: `curl http://127.0.0.1:9464/readyz`; so does the log.";
            notes.bad(format!("{what} answers over TLS and is not ready: {}", visit.status), WHY, remedy);
        }
    }
}

fn told(notes: &mut Notes<'_>, what: &str, fault: Fault) {
    match fault {
        Fault::Connect(error) => {
            let remedy = "Look whether server.listen was changed after the start (then restart), and at the firewall.";
            notes.bad(format!("{what} does not answer: {error}"), WHY, remedy);
        }
        Fault::Tls(error) => {
            let remedy =
                "Read what is said of the certificate above. For one of a company's own CA, clients need its root.";
            // What rustls adds in seconds is told in days by the certificate's own finding.
            let error = error.split(": verification time").next().unwrap_or_default();
            notes.bad(format!("{what} is not trusted: {error}"), WHY, remedy);
        }
        Fault::Http(error) => {
            notes.bad(
                format!("{what} gives no answer over TLS: {error}"),
                WHY,
                "Read the server's log; restart it if it hangs.",
            );
        }
    }
}
