//! `hollerd doctor`: each thing is broken as it breaks in practice, and the diagnosis names it with its remedy.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

mod common;

use std::fs::{self, File, Permissions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use common::{Hollerd, hollerd};
use serde_json::Value;

/// A free port, so that a server and its doctor agree on where it is.
fn port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// A folder that was served, its settings, and the doctor for it.
struct Patient {
    dir: tempfile::TempDir,
    listen: String,
}

impl Patient {
    fn new() -> Self {
        let patient = Self { dir: tempfile::tempdir().unwrap(), listen: port() };
        patient.set("");
        patient.serve().end();
        patient
    }

    /// Writes the settings, with `more` in them.
    fn set(&self, more: &str) {
        let text = format!("[private]\nlisten = \"off\"\n[server]\nlisten = [\"{}\"]\n{more}", self.listen);
        fs::write(self.settings(), text).unwrap();
    }

    fn settings(&self) -> PathBuf {
        self.dir.path().join("hollerd.toml")
    }

    fn serve(&self) -> Hollerd {
        Hollerd::start(hollerd(self.dir.path()).arg("--config").arg(self.settings()).arg("serve"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Asks the doctor; gives whether the exit code is good, and the findings.
    fn examine(&self) -> (bool, Vec<Value>) {
        let output =
            hollerd(self.dir.path()).arg("--config").arg(self.settings()).args(["doctor", "--json"]).output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let findings = serde_json::from_str(&text)
            .unwrap_or_else(|error| panic!("{error}: {text} {}", String::from_utf8_lossy(&output.stderr)));
        (output.status.success(), findings)
    }

    /// There is a finding about `subject` of this level that says `what` and advises `remedy`; bad ones fail the command.
    fn is_told(&self, subject: &str, level: &str, what: &str, remedy: &str) {
        let (good, findings) = self.examine();
        let says = |finding: &Value, key: &str, text: &str| finding[key].as_str().unwrap().contains(text);
        let found = findings.iter().find(|finding| {
            finding["subject"] == subject
                && finding["level"] == level
                && says(finding, "what", what)
                && says(finding, "remedy", remedy)
                && !finding["why"].as_str().unwrap().is_empty()
        });
        assert!(found.is_some(), "{subject}: {what:?}, {remedy:?}: {findings:#?}");
        assert_eq!(good, level != "bad", "{findings:#?}");
    }

    fn is_well(&self) {
        let (good, findings) = self.examine();
        let ill: Vec<_> = findings.iter().filter(|finding| finding["level"] == "bad").collect();
        assert!(good && ill.is_empty(), "{findings:#?}");
    }
}

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

#[test]
fn a_fresh_place_and_a_running_server_are_well() {
    let fresh = Patient { dir: tempfile::tempdir().unwrap(), listen: port() };
    fresh.set("");
    fresh.is_well();
    assert!(!fresh.path("data").exists() && !fresh.path("keys").exists(), "it makes nothing");

    let patient = Patient::new();
    let before = files(patient.dir.path());
    patient.is_well();
    assert!(files(patient.dir.path()) == before, "it changes nothing");
    let server = patient.serve();
    patient.is_well();
    let (_, findings) = patient.examine();
    let whats: Vec<&str> = findings.iter().map(|finding| finding["what"].as_str().unwrap()).collect();
    assert!(whats.iter().any(|what| what.contains("answers over TLS and is ready")), "{whats:#?}");
    assert!(whats.iter().any(|what| what.starts_with("process ") && what.contains(" serves ")), "{whats:#?}");
    let text = hollerd(patient.dir.path()).arg("--config").arg(patient.settings()).arg("doctor").output().unwrap();
    assert!(String::from_utf8(text.stdout).unwrap().contains("0 bad, "));
    server.end();
}

/// Every file with its content, sorted.
fn files(top: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for path in fs::read_dir(top).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() { found.extend(files(&path)) } else { found.push((path.clone(), fs::read(&path).unwrap())) }
    }
    found.sort();
    found
}

#[test]
fn wrong_settings_are_told_each() {
    let patient = Patient { dir: tempfile::tempdir().unwrap(), listen: port() };
    patient.set("public_nmaes = []\n[tokens]\naccess_s = 1\n");
    patient.is_told("settings", "bad", "there is no setting server.public_nmaes", "Did you mean server.public_names?");
    patient.is_told("settings", "bad", "tokens.access_s", "An example");
}

#[test]
fn keys_and_data_that_others_may_read_are_told() {
    let patient = Patient::new();
    for (name, broken, right, level) in [
        ("keys/ring.toml", 0o644, 0o600, "bad"),
        ("keys", 0o755, 0o700, "bad"),
        ("data", 0o750, 0o700, "bad"),
        ("data/holler.db", 0o640, 0o600, "warning"),
    ] {
        chmod(&patient.path(name), broken);
        patient.is_told("folders", level, &format!("mode {broken:o}"), &format!("chmod {right:o}"));
        chmod(&patient.path(name), right);
    }
    patient.is_well();
}

#[test]
fn a_ring_that_is_gone_broken_or_another_is_told() {
    let patient = Patient::new();
    let ring = patient.path("keys/ring.toml");
    let text = fs::read_to_string(&ring).unwrap();
    fs::remove_file(&ring).unwrap();
    patient.is_told("key ring", "bad", "is missing, and there is data", "back from its backup");
    fs::write(&ring, "nonsense").unwrap();
    chmod(&ring, 0o600);
    patient.is_told("key ring", "bad", "line 1 is different", "A new ring does not help");
    let other = Patient::new();
    fs::copy(other.path("keys/ring.toml"), &ring).unwrap();
    patient.is_told("key ring", "bad", "another key", "Bring back the ring.toml");
    fs::write(&ring, text).unwrap();
    patient.is_well();
}

#[test]
fn a_damaged_a_foreign_and_a_newer_database_are_told() {
    let patient = Patient::new();
    let database = patient.path("data/holler.db");
    let whole = fs::read(&database).unwrap();
    // A page of the tables, not the first: as a disk that loses a sector.
    let mut file = File::options().write(true).open(&database).unwrap();
    file.seek(SeekFrom::Start(4096 * 3)).unwrap();
    file.write_all(&[0xee; 4096 * 4]).unwrap();
    patient.is_told("database", "bad", "is damaged", "restore the newest backup");
    // A file that can be read and contradicts itself: its header counts free pages that are not there (file format section 1.3.7).
    fs::write(&database, &whole).unwrap();
    let mut file = File::options().write(true).open(&database).unwrap();
    file.seek(SeekFrom::Start(36)).unwrap();
    file.write_all(&5_u32.to_be_bytes()).unwrap();
    patient.is_told("database", "bad", "is damaged: ", "restore the newest backup");
    fs::write(&database, b"my thesis ".repeat(500)).unwrap();
    patient.is_told("database", "bad", "is damaged: file is not a database", "restore the newest backup");
    fs::write(&database, &whole).unwrap();
    rusqlite::Connection::open(&database).unwrap().pragma_update(None, "user_version", 99).unwrap();
    patient.is_told("database", "bad", "schema version 99", "Install the version that last served this data");
}

#[test]
fn certificates_that_expire_do_not_match_or_are_not_served_are_told() {
    let patient = Patient::new();
    let make = |name: &str, from: i64, until: i64| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() as i64;
        let at = |days: i64| {
            rcgen::date_time_ymd(1970, 1, 1) + Duration::from_secs(u64::try_from(now + days * 86_400).unwrap())
        };
        (params.not_before, params.not_after) = (at(from), at(until));
        let certificate = params.self_signed(&key).unwrap();
        fs::write(patient.path("own.pem"), certificate.pem()).unwrap();
        fs::write(patient.path("own.key"), key.serialize_pem()).unwrap();
    };
    let own = format!(
        "public_names = [\"localhost\"]\n[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n",
        patient.path("own.pem").display(),
        patient.path("own.key").display()
    );
    patient.set(&own);
    patient.is_told("certificate", "bad", "own.pem", "tls.certificate");
    make("localhost", -30, -1);
    patient.is_told("certificate", "bad", "expired on", "Renew it");
    make("localhost", 1, 30);
    patient.is_told("certificate", "bad", "valid only from", "Look at the clock");
    make("localhost", -30, 7);
    patient.is_told("certificate", "warning", "expires in 6 days", "systemctl reload");
    make("other.test", -30, 300);
    patient.is_told("certificate", "bad", "is not for localhost, but for other.test", "server.public_names");
    make("localhost", -30, 300);
    patient.is_well();
    let key = fs::read(patient.path("own.key")).unwrap();
    make("localhost", -30, 300);
    fs::write(patient.path("own.key"), key).unwrap();
    patient.is_told("certificate", "bad", "the key is not that of the certificate", "tls.key");

    // The local CA's again, renewed behind the running server's back.
    patient.set("");
    let server = patient.serve();
    patient.is_well();
    let other = Patient::new();
    for name in ["server.pem", "server.key"] {
        fs::copy(other.path("keys").join(name), patient.path("keys").join(name)).unwrap();
    }
    patient.is_told("reach", "warning", "serves another certificate than the one on disk", "systemctl reload");
    server.end();
}

#[test]
fn a_port_that_is_taken_and_a_server_elsewhere_are_told() {
    let patient = Patient::new();
    let taken = TcpListener::bind(&patient.listen).unwrap();
    patient.is_told("ports", "bad", "Address already in use", "Another program has it");
    drop(taken);
    let server = patient.serve();
    let elsewhere = Patient { dir: tempfile::tempdir().unwrap(), listen: port() };
    let text = fs::read_to_string(patient.settings()).unwrap().replace(&patient.listen, &elsewhere.listen);
    fs::write(patient.settings(), text).unwrap();
    patient.is_told("reach", "bad", "does not answer", "changed after the start");
    server.end();
    patient.set("public_names = [\"nowhere.invalid\"]\n");
    let server = patient.serve();
    patient.is_told("reach", "warning", "nowhere.invalid is not found", "Enter nowhere.invalid in the DNS");
    server.end();
}

#[test]
fn a_server_that_takes_nothing_and_files_of_another_user_are_told() {
    let patient = Patient::new();
    // More than any disk of a test machine has free.
    patient.set("[storage]\nfree_min_mib = 100000000\n");
    let server = patient.serve();
    let began = std::time::Instant::now();
    // It looks at its disk once a second.
    while patient.examine().0 {
        assert!(began.elapsed() < Duration::from_secs(20), "it is not read-only");
    }
    patient.is_told("reach", "bad", "is not ready", "The private listener says which part is not");
    server.end();
    patient.set("");
    patient.is_well();
    // Only root may give a file away.
    if std::os::unix::fs::chown(patient.path("data/KEYS"), Some(65_534), None).is_ok() {
        patient.is_told("folders", "bad", "KEYS belongs to user 65534", "chown");
    }
}

#[test]
fn a_clock_that_lies_behind_the_data_and_too_few_files_are_told() {
    let patient = Patient::new();
    let database = rusqlite::Connection::open(patient.path("data/holler.db")).unwrap();
    let ahead = SystemTime::now() + Duration::from_secs(86_400);
    let ahead = i64::try_from(ahead.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let rooms =
        "INSERT INTO events SELECT room_id, 1, ?1, x'', x'', x'', 'message.posted', x'' FROM room_heads LIMIT 1";
    let room = "INSERT OR IGNORE INTO room_heads VALUES (x'01', x'01', 1, 1, 1, 1)";
    database.execute(room, []).unwrap();
    database.execute("UPDATE room_heads SET head = 1", []).unwrap();
    database.execute(rooms, [ahead]).unwrap();
    drop(database);
    patient.is_told("clock", "bad", "in the future", "NTP");
    let patient = Patient::new();
    patient.set("connections_max = 1000000\n");
    patient.is_told("open files", "warning", "server.connections_max is 1000000", "LimitNOFILE=1000064");
}
