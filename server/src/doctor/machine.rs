//! What the machine gives: disk, clock, open files, ports.

use std::fmt::Display;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use super::{Level, Notes};
use crate::config::Config;
use crate::health::{DISK_LOW_BYTES, free_bytes};
use crate::{serve, voice};

/// A clock that says less is wrong: this version was written later (2026-01-01).
const EARLIEST: Duration = Duration::from_secs(1_767_225_600);
/// How far the newest event may lie in the future: two clocks are never quite the same.
const AHEAD_MAX: Duration = Duration::from_secs(120);
/// Below this share of a disk, room runs out sooner than people look.
const FREE_PERCENT_MIN: u64 = 5;
/// How long a listener on this machine may take to answer.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// Files that a server holds open beside its connections.
const OWN_FILES: u64 = 64;

pub(super) fn disk(notes: &mut Notes<'_>, config: &Config) {
    let why = "When the disk is full nothing can be stored: sends are refused until there is room.";
    for folder in [&config.data, &config.keys] {
        // Where it is not there yet: the disk that it will be on.
        let Some(there) =
            folder.ancestors().find(|path| path.exists()).or_else(|| folder.is_relative().then_some(".".as_ref()))
        else {
            continue;
        };
        let shown = folder.display();
        let remedy = format!("Make room on the disk of {shown}, or move it to a larger one.");
        let (free, all) = match (free_bytes(there), rustix::fs::statvfs(there)) {
            (Ok(free), Ok(all)) => (free, all),
            (Err(error), _) => return unknown(notes, &folder.display(), &error),
            (_, Err(error)) => return unknown(notes, &folder.display(), &error),
        };
        let percent = (all.f_bavail * 100).checked_div(all.f_blocks).unwrap_or(100);
        let what = format!("{shown}: {} MiB are free ({percent} %)", free / (1024 * 1024));
        if all.f_files > 0 && all.f_favail == 0 {
            notes.bad(format!("{shown}: no more files can be made (no free inodes)"), why, remedy);
        } else {
            match room(free, percent) {
                Level::Good => notes.good(what),
                level @ (Level::Note | Level::Warning | Level::Bad) => notes.add(level, what, why, remedy),
            }
        }
    }
}

/// What so much free space is worth: bytes, and percent of the disk.
fn room(free: u64, percent: u64) -> Level {
    if free < DISK_LOW_BYTES {
        Level::Bad
    } else if percent < FREE_PERCENT_MIN {
        Level::Warning
    } else {
        Level::Good
    }
}

fn unknown(notes: &mut Notes<'_>, folder: &dyn Display, error: &dyn Display) {
    let why = "A full disk could not be told.";
    notes.bad(format!("{folder}: the free space can't be told: {error}"), why, "Mend the disk or its mount.");
}

/// `newest` is when the database's newest event was received.
pub(super) fn clock(notes: &mut Notes<'_>, now: Duration, newest: Option<Duration>) {
    let why = "Certificates and tokens are judged by this clock, and events carry its time.";
    let remedy = "Set the clock and keep it right: `timedatectl set-ntp true`, or another NTP client.";
    if now < EARLIEST {
        notes.bad(
            format!("the clock says {} s since 1970, which is before this version was made", now.as_secs()),
            why,
            remedy,
        );
    } else if let Some(ahead) = newest.and_then(|newest| newest.checked_sub(now)).filter(|ahead| *ahead > AHEAD_MAX) {
        notes.bad(format!("the newest event in the database lies {} s in the future", ahead.as_secs()), why, remedy);
    } else {
        notes.good("the clock is after everything in the database");
    }
}

/// Whether as many files may be opened as connections are configured: by the server where one runs, by this process otherwise. A
/// server raises its limit as far as it may.
pub(super) fn files(notes: &mut Notes<'_>, config: &Config, server: Option<u32>) {
    let path = server.map_or_else(|| "/proc/self/limits".to_owned(), |pid| format!("/proc/{pid}/limits"));
    let Ok(text) = fs::read_to_string(&path) else { return };
    let limit = text
        .lines()
        .find_map(|line| line.strip_prefix("Max open files")?.split_whitespace().nth(1)?.parse::<u64>().ok());
    let Some(limit) = limit else { return };
    let wanted = config.connections_max as u64 + OWN_FILES;
    if limit < wanted {
        let what = format!("{limit} files may be open, and server.connections_max is {}", config.connections_max);
        let why =
            "Each connection takes a file: beyond the limit further clients are refused, and the log fills with it.";
        let remedy = format!(
            "Raise the limit (systemd: LimitNOFILE={wanted}; a shell: `ulimit -n {wanted}`), or lower the setting."
        );
        notes.warning(what, why, remedy);
    } else {
        notes.good(format!("{limit} may be open"));
    }
}

/// Whether somebody listens there.
fn is_taken(address: SocketAddr) -> bool {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip @ (IpAddr::V4(_) | IpAddr::V6(_)) => ip,
    };
    TcpStream::connect_timeout(&SocketAddr::new(ip, address.port()), ANSWER_MAX).is_ok()
}

/// Whether a server could listen, where none does.
pub(super) fn ports(notes: &mut Notes<'_>, config: &Config) {
    let why = "A server that can't have its addresses does not start.";
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
    // A listener belongs to a runtime; nothing is awaited.
    let _inside = runtime.enter();
    match serve::listen(&config.listen) {
        Ok(listeners) => {
            notes.good(format!("{} of {} addresses can be had", listeners.len(), config.listen.len()));
            let listening: Vec<_> = listeners.iter().filter_map(|listener| listener.local_addr().ok()).collect();
            match voice::bind(config, &listening) {
                Ok(sockets) if sockets.is_empty() => notes.note("voice.udp is false: all voice goes over the socket"),
                Ok(sockets) => notes.good(format!("UDP {} can be had for voice", sockets[0].local())),
                Err(error) => notes.bad(error.to_string(), why, error.remedy()),
            }
        }
        Err(error) if error.is_for_the_server() => {
            let taken: Vec<_> = config.listen.iter().filter(|address| is_taken(**address)).collect();
            for address in &taken {
                let remedy =
                    "Another program has it: `ss -ltnp` shows which. Stop that, or name another with server.listen.";
                notes.bad(format!("{address} is taken"), why, remedy);
            }
            if taken.is_empty() {
                notes.note(format!(
                    "{error}: nobody listens there, and whether the server may, only it can try. Ports below 1024 need the \
                     capability CAP_NET_BIND_SERVICE, which the package's unit gives"
                ));
            }
        }
        Err(error) => notes.bad(error.to_string(), why, error.remedy()),
    }
    if let Some(private) = config.private {
        match serve::listen_private(private) {
            Ok(_) => notes.good(format!("the private address {private} can be had")),
            Err(error) => notes.bad(error.to_string(), why, error.remedy()),
        }
        if !private.ip().is_loopback() {
            let what = format!("the private listener is on {private}");
            let why = "It asks nobody who they are, and tells how much is said and how the server is.";
            notes.warning(what, why, "Let a firewall keep others away, or set private.listen to a loopback address.");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_is_told_before_and_when_writes_are_refused() {
        assert_eq!(room(DISK_LOW_BYTES - 1, 50), Level::Bad);
        assert_eq!(room(DISK_LOW_BYTES, FREE_PERCENT_MIN - 1), Level::Warning);
        assert_eq!(room(DISK_LOW_BYTES, FREE_PERCENT_MIN), Level::Good);
    }

    #[test]
    fn a_listener_is_found_on_its_address_and_on_every() {
        for every in ["127.0.0.1:0", "0.0.0.0:0"] {
            let listener = std::net::TcpListener::bind(every).unwrap();
            let address = listener.local_addr().unwrap();
            assert!(is_taken(address), "{address}");
            drop(listener);
            assert!(!is_taken(address), "{address}");
        }
    }
}
