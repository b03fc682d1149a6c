//! `hollerd` as its operator meets it: how it starts, goes down and says what is wrong.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking, also in its helpers")]

mod common;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use common::{Hollerd, client, hollerd, run, sign_in, tls};
use holler_core::wire::rest::Tokens;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use rustix::process::Signal;
use serde_json::Value;

/// A port of loopback that nobody had a moment ago.
fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string()
}

/// The answer of a plain HTTP server: its status and body.
fn get(address: &str, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

#[test]
fn an_address_that_is_taken_fails_the_start_with_a_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let held = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = held.local_addr().unwrap().to_string();
    for (arguments, flag) in [
        (["serve", "--listen", "127.0.0.1:0", "--private", &taken], "--private"),
        (["serve", "--listen", &taken, "--private", "off"], "--listen"),
    ] {
        let refused = hollerd(dir.path()).args(arguments).output().unwrap();
        let error = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(1), "{error}");
        assert!(error.contains(&taken) && error.contains(flag) && error.contains("Another program"), "{error}");
        assert!(!String::from_utf8(refused.stdout).unwrap().contains("ready"));
    }
}

#[test]
fn a_second_signal_cuts_the_drain_short() {
    let dir = tempfile::tempdir().unwrap();
    let server = Hollerd::serve(dir.path());
    let address = server.url.trim_start_matches("https://").replace("localhost", "127.0.0.1");
    // A request whose body never ends: without a second signal the server waits for it for 10 s and then ends with 0.
    let tls = rustls::ClientConnection::new(Arc::new(tls(dir.path())), "localhost".try_into().unwrap()).unwrap();
    let mut stream = rustls::StreamOwned::new(tls, TcpStream::connect(&address).unwrap());
    let head = "POST /api/v1/auth/sign-in HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                Content-Length: 99\r\nExpect: 100-continue\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut asked = [0; 12];
    stream.read_exact(&mut asked).unwrap();
    assert_eq!(&asked, b"HTTP/1.1 100", "it waits for the body");
    server.terminate();
    // It is going down once it takes no more connections.
    while TcpStream::connect(&address).is_ok() {}
    server.terminate();
    let (code, log) = server.wait();
    assert_eq!(code, Some(3), "{log}");
    assert!(log.contains("told a second time"), "{log}");
}

#[tokio::test]
async fn the_private_listener_tells_what_the_public_one_does_not() {
    let (dir, private) = (tempfile::tempdir().unwrap(), free_port());
    let server = Hollerd::serve_with_private(dir.path(), &private);
    assert_eq!(get(&private, "/healthz"), (200, "ok\n".to_owned()));
    let (status, body) = get(&private, "/readyz");
    let report: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &report["ready"]), (200, &Value::Bool(true)), "{report}");
    for part in ["draining", "database", "migrations", "disk"] {
        assert_eq!(report[part]["ok"], true, "{part}: {report}");
    }
    let (status, figures) = get(&private, "/metrics");
    assert!(status == 200 && figures.contains("holler_disk_free_bytes"), "{figures}");
    let client = client(dir.path());
    let public = client.get(format!("{}/readyz", server.url)).send().await.unwrap();
    assert_eq!((public.status().as_u16(), public.text().await.unwrap().as_str()), (200, "ready\n"));
    assert_eq!(client.get(format!("{}/metrics", server.url)).send().await.unwrap().status(), 404);

    // A writer that can't write: another process holds the database for longer than the server waits.
    let database = rusqlite::Connection::open(dir.path().join("data/holler.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    let (status, body) = loop {
        let answer = get(&private, "/readyz");
        if answer.0 != 200 {
            break answer;
        }
    };
    let report: Value = serde_json::from_str(&body).unwrap();
    assert!(status == 503 && report["database"]["ok"] == false && report["ready"] == false, "{report}");
    database.execute_batch("ROLLBACK").unwrap();
    while get(&private, "/readyz").0 != 200 {}
    server.end();
}

/// The certificate that a server shows, as DER.
fn shown(dir: &Path, url: &str) -> Vec<u8> {
    let address = url.trim_start_matches("https://").replace("localhost", "127.0.0.1");
    let mut tls = rustls::ClientConnection::new(Arc::new(tls(dir)), "localhost".try_into().unwrap()).unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    while tls.is_handshaking() {
        tls.complete_io(&mut stream).unwrap();
    }
    tls.peer_certificates().unwrap()[0].to_vec()
}

/// A socket that stands for systemd.
struct Manager {
    socket: UnixDatagram,
    seen: Vec<String>,
}

impl Manager {
    fn new(path: &Path) -> Self {
        let socket = UnixDatagram::bind(path).unwrap();
        // Far beyond what any message takes: then the test fails instead of hanging.
        socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { socket, seen: Vec::new() }
    }

    /// Takes messages up to and with one that has this line.
    fn until(&mut self, line: &str) -> &str {
        loop {
            let mut buffer = [0; 4096];
            let length =
                self.socket.recv(&mut buffer).unwrap_or_else(|error| panic!("{line}: {error}: {:?}", self.seen));
            self.seen.push(String::from_utf8(buffer[..length].to_vec()).unwrap());
            if self.seen.last().is_some_and(|message| message.lines().any(|found| found == line)) {
                return self.seen.last().unwrap();
            }
        }
    }
}

#[test]
fn hang_up_reads_the_settings_again_and_systemd_is_told_of_every_step() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hollerd.toml");
    std::fs::write(&file, "[server]\npublic_names = [\"one.example.org\"]\n").unwrap();
    let mut manager = Manager::new(&dir.path().join("notify"));
    let server = Hollerd::start(
        hollerd(dir.path())
            .args(["serve", "--listen", "127.0.0.1:0", "--private", "off", "--config"])
            .arg(&file)
            .env("NOTIFY_SOCKET", dir.path().join("notify"))
            .env("WATCHDOG_USEC", "1500000"),
    );
    let status = manager.until("READY=1");
    assert!(status.contains("STATUS=serving https://one.example.org"), "{status}");
    manager.until("WATCHDOG=1");
    manager.until("WATCHDOG=1");
    let before = shown(dir.path(), &server.url.replace("one.example.org", "localhost"));

    // Its names are wrong: told, and nothing is taken.
    std::fs::write(&file, "[server]\npublic_names = [\"no name\"]\n[log]\nfilter = \"warn\"").unwrap();
    server.signal(Signal::HUP);
    assert!(manager.until("RELOADING=1").contains("MONOTONIC_USEC="));
    manager.until("READY=1");
    let local = server.url.replace("one.example.org", "localhost");
    assert_eq!(shown(dir.path(), &local), before);

    std::fs::write(&file, "[server]\npublic_names = [\"two.test\"]\nconnections_max = 9\n[limits]\nlogin_attempts = 3")
        .unwrap();
    server.signal(Signal::HUP);
    manager.until("RELOADING=1");
    manager.until("READY=1");
    let after = shown(dir.path(), &local);
    assert_ne!(after, before);
    assert!(String::from_utf8_lossy(&after).contains("two.test"), "the new name is in the certificate");

    server.terminate();
    manager.until("STOPPING=1");
    let (code, log) = server.wait();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("public_names: expected DNS names") && log.contains("those that held still hold"), "{log}");
    assert!(log.contains("server.public_names, limits.login_attempts"), "{log}");
    assert!(log.contains("server.connections_max was changed, and needs a restart"), "{log}");
}

#[test]
fn the_watchdog_is_not_fed_while_the_writer_does_not_answer() {
    let dir = tempfile::tempdir().unwrap();
    let mut manager = Manager::new(&dir.path().join("notify"));
    let server = Hollerd::start(
        hollerd(dir.path())
            .args(["serve", "--listen", "127.0.0.1:0", "--private", "off"])
            .env("NOTIFY_SOCKET", dir.path().join("notify"))
            .env("WATCHDOG_USEC", "900000"),
    );
    manager.until("WATCHDOG=1");
    // The writer waits up to 5 s for this lock; it is asked three times in each 0.9 s.
    let database = rusqlite::Connection::open(dir.path().join("data/holler.db")).unwrap();
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    // One message may be on its way from before; then there is silence for far longer than between two of them.
    manager.socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let mut buffer = [0; 4096];
    let fed = (0..3).take_while(|_| manager.socket.recv(&mut buffer).is_ok()).count();
    assert!(fed < 3, "it was fed all the same");
    database.execute_batch("ROLLBACK").unwrap();
    manager.socket.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    manager.until("WATCHDOG=1");
    let log = server.end();
    assert!(log.contains("the watchdog is not fed"), "{log}");
}

#[test]
fn config_check_tells_every_fault_and_dump_shows_what_is_in_effect() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("hollerd.toml");
    std::fs::write(&file, "[server]\nlisten = 8443\npublic_nmaes = []\n").unwrap();
    let path = file.to_str().unwrap();
    let (done, output, _) = run(dir.path(), &["config", "check", "--config", path], "");
    assert!(!done && output.contains(&format!("{path}:2: server.listen: expected a list")), "{output}");
    assert!(
        output
            .contains(&format!("{path}:3: there is no setting server.public_nmaes. Did you mean server.public_names?"))
    );
    assert_eq!(output.lines().count(), 2);
    let (done, _, error) = run(dir.path(), &["user", "list", "--config", path], "");
    assert!(!done && error.contains("2 faults"), "{error}");
    let refused = hollerd(dir.path()).args(["serve", "--config", path]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2), "systemd must not try again: {refused:?}");

    std::fs::write(&file, "[tokens]\naccess_s = 900\n").unwrap();
    let (done, output, error) = run(dir.path(), &["config", "check", "--config", path], "");
    assert!(done && output.contains(&format!("the settings are good ({path}")), "{output} {error}");
    let (done, output, _) = run(dir.path(), &["config", "dump", "--config", path], "");
    assert!(done && output.contains(&format!("access_s = 900  # from {path}:2")), "{output}");
    assert!(output.contains("filter = \"debug\"  # from the flag --log"), "{output}");
    let (done, output, _) = run(dir.path(), &["config", "dump", "--defaults"], "");
    assert!(done && output.contains("\n#access_s = 600\n"), "{output}");
}

#[test]
fn the_first_password_is_not_printed_where_output_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let server = Hollerd::start(
        hollerd(dir.path()).args(["serve", "--listen", "127.0.0.1:0", "--private", "off"]).env("JOURNAL_STREAM", "8:1"),
    );
    assert!(server.greeting.contains("is not shown where output is kept"), "{}", server.greeting);
    assert!(!server.greeting.contains("shown only now"), "{}", server.greeting);
    server.end();
}

#[test]
fn data_of_another_user_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    std::fs::create_dir(&data).unwrap();
    // Only root may give a folder away; others own everything that they can make.
    if std::os::unix::fs::chown(&data, Some(65_534), None).is_err() {
        return;
    }
    for arguments in [&["serve", "--listen", "127.0.0.1:0"][..], &["user", "list"], &["db", "migrate"]] {
        let (done, _, error) = run(dir.path(), arguments, "");
        assert!(!done && error.contains("belongs to the user nobody: run this as them"), "{error}");
    }
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0);
}

#[test]
fn log_lines_are_json_where_nobody_looks() {
    let dir = tempfile::tempdir().unwrap();
    let log = Hollerd::serve(dir.path()).end();
    for line in log.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(line["level"].is_string() && line["message"].is_string() && line["timestamp"].is_string(), "{line}");
    }
    assert!(log.contains(r#""message":"serving""#), "{log}");
}

/// An OTLP collector: takes messages over HTTP and decodes them.
struct Collector {
    listener: TcpListener,
}

impl Collector {
    /// The spans of the next message, and the headers that came with it.
    fn next(&self) -> (String, Vec<opentelemetry_proto::tonic::trace::v1::Span>) {
        let (mut stream, _) = self.listener.accept().unwrap();
        let mut message = Vec::new();
        let mut chunk = [0; 4096];
        let (head, length) = loop {
            let count = stream.read(&mut chunk).unwrap();
            assert!(count > 0, "the message ended early");
            message.extend_from_slice(&chunk[..count]);
            let Some(end) = message.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
            let head = String::from_utf8(message[..end].to_vec()).unwrap().to_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            break (head, end + 4 + length.unwrap());
        };
        while message.len() < length {
            let count = stream.read(&mut chunk).unwrap();
            message.extend_from_slice(&chunk[..count]);
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        let body = &message[head.len() + 4..length];
        let request: ExportTraceServiceRequest = prost::Message::decode(body).unwrap();
        let spans = request.resource_spans.into_iter().flat_map(|resource| {
            let name = resource.resource.unwrap().attributes.into_iter().find(|pair| pair.key == "service.name");
            assert!(format!("{name:?}").contains("hollerd"));
            resource.scope_spans.into_iter().flat_map(|scope| scope.spans)
        });
        (head, spans.collect())
    }
}

#[tokio::test]
async fn requests_sends_and_commits_are_traced_and_nothing_personal_is() {
    let dir = tempfile::tempdir().unwrap();
    let collector = Collector { listener: TcpListener::bind("127.0.0.1:0").unwrap() };
    let endpoint = format!("http://{}/v1/traces", collector.listener.local_addr().unwrap());
    std::fs::write(dir.path().join("headers"), "authorization=Bearer for-the-collector\n").unwrap();
    let server = Hollerd::start(
        hollerd(dir.path())
            .args(["serve", "--listen", "127.0.0.1:0", "--private", "off"])
            .env("HOLLER_TRACES__ENDPOINT", endpoint)
            .env("HOLLER_TRACES__HEADERS_FILE", dir.path().join("headers")),
    );
    let client = client(dir.path());
    let password = server.password().unwrap();
    let admin: Tokens = sign_in(&client, &server.url, "admin", &password, "desk").await.json().await.unwrap();
    let get = client.get(format!("{}/api/v1/rooms", server.url)).bearer_auth(&admin.access_token);
    let rooms: Value = get.send().await.unwrap().json().await.unwrap();
    let room = rooms.pointer("/0/id").or_else(|| rooms.pointer("/items/0/id")).unwrap().as_str().unwrap().to_owned();
    let text = serde_json::json!({
        "client_id": "cid_00000000000000000000000000",
        "body": {"kind": "message.posted", "text": "canary-text"}
    });
    let post = client.post(format!("{}/api/v1/rooms/{room}/events", server.url)).bearer_auth(&admin.access_token);
    assert_eq!(post.json(&text).send().await.unwrap().status(), 201);

    let mut spans = Vec::new();
    let found = |spans: &[opentelemetry_proto::tonic::trace::v1::Span]| {
        let send = spans.iter().find(|span| span.name == "send")?.clone();
        let request = spans.iter().find(|span| span.span_id == send.parent_span_id)?.clone();
        let commit = spans.iter().find(|span| span.links.iter().any(|link| link.span_id == send.span_id))?.clone();
        Some((request, send, commit))
    };
    let (request, send, commit) = loop {
        let (head, more) = collector.next();
        assert!(head.contains("authorization: bearer for-the-collector"), "{head}");
        spans.extend(more);
        if let Some(found) = found(&spans) {
            break found;
        }
    };
    assert_eq!(request.name, "POST /api/v1/rooms/{room}/events");
    assert!(format!("{:?}", request.attributes).contains("201") && request.trace_id == send.trace_id);
    assert!(format!("{:?}", send.attributes).contains("BoolValue(true)"), "{send:?}");
    assert!(commit.name == "commit" && commit.trace_id != send.trace_id, "{commit:?}");
    assert!(send.start_time_unix_nano >= request.start_time_unix_nano);
    assert!(
        send.end_time_unix_nano <= request.end_time_unix_nano
            && commit.end_time_unix_nano > commit.start_time_unix_nano
    );
    let all = format!("{spans:?}");
    for canary in ["canary-text", &room, "127.0.0.1", "admin"] {
        assert!(!all.contains(canary), "{canary} in {all}");
    }
    // It goes down although nobody takes its last spans.
    drop(collector);
    server.end();
}
