//! Links that are cut and servers that are away, with the real programs: what is said arrives all the same.

#![expect(clippy::unwrap_used, reason = "a helper that fails is a test that fails")]

use std::io::{Write as _, stderr};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use holler_client::audio::wav;
use holler_lab::programs::{self, Ended, Running, Server};

const PATIENCE: Duration = Duration::from_secs(90);
const ROOM: &str = "Everyone";

/// The programs, built once.
fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| programs::build().unwrap())
}

fn fixture(name: &str) -> String {
    programs::fixture(name).to_str().unwrap().to_owned()
}

/// Speech of this many seconds, made of the fixture over and over.
fn speech(path: &Path, seconds: usize) -> String {
    let once = wav::read(Path::new(&fixture("speech-a.wav"))).unwrap();
    let sound: Vec<f32> = once.iter().copied().cycle().take(seconds * 48_000).collect();
    wav::write(path, &sound).unwrap();
    path.to_str().unwrap().to_owned()
}

fn end(running: Running, code: i32) -> Ended {
    let ended = running.end(PATIENCE).unwrap();
    assert_eq!(ended.code, Some(code), "{ended:?}");
    ended
}

/// A burst of 30 s loses its link for 10 s, in which somebody else has the floor: every listener ends with every frame, in the log's
/// order, soon after the link is back. How soon is printed.
#[test]
fn a_long_burst_over_a_cut_link_arrives_whole_and_in_order_though_another_talked_meanwhile() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Server::start(programs(), scratch.path()).unwrap();
    let link = server.add_user_behind("alice", ROOM).unwrap();
    for name in ["ben", "cleo", "dora"] {
        server.add_user(name, ROOM).unwrap();
    }
    let mut listeners = Vec::new();
    for name in ["cleo", "dora"] {
        let out = scratch.path().join(name);
        let arguments = ["listen", ROOM, "--out", out.to_str().unwrap(), "--bursts", "2", "--timeout", "120"];
        let mut listener = server.client(name, &arguments).unwrap();
        listener.wait_for(PATIENCE, |line| line["type"] == "listening").unwrap();
        listeners.push(listener);
    }
    let long = speech(&scratch.path().join("long.wav"), 30);
    let mut alice = server.client("alice", &["talk", ROOM, &long, "--frames"]).unwrap();
    let spoken = |seconds: u64| move |line: &serde_json::Value| line["number"].as_u64() >= Some(seconds * 50);
    alice.wait_for(PATIENCE, spoken(21)).unwrap();
    link.cut();
    let cut = Instant::now();
    // The floor is free after 2 s of silence from alice.
    let ben = server.client("ben", &["talk", ROOM, &fixture("speech-b.wav"), "--queue"]).unwrap();
    let ben = end(ben, 0);
    alice.wait_for(PATIENCE, |line| line["type"] == "ending").unwrap();
    std::thread::sleep(Duration::from_secs(10).saturating_sub(cut.elapsed()));
    link.mend();
    let mended = Instant::now();
    let said = |delivered: &serde_json::Value| delivered["burst"].as_str().unwrap().to_owned();
    let delivered = alice.wait_for(PATIENCE, |line| line["type"] == "delivered").unwrap();
    let (first, second) = (said(&delivered), said(ben.line("delivered").unwrap()));
    let frames = delivered["frames"].as_u64().unwrap();
    let whole = |line: &serde_json::Value| {
        line["type"] == "complete" && line["burst"] == first.as_str() && line["frames"] == frames
    };
    for listener in &mut listeners {
        listener.wait_for(PATIENCE, whole).unwrap();
    }
    let slowest = mended.elapsed();
    // The talker stays for a while to learn who heard it.
    end(alice, 0);
    for listener in listeners {
        let heard = end(listener, 0);
        let whole = |burst: &str| heard.lines.iter().find(|line| line["type"] == "complete" && line["burst"] == burst);
        let complete = whole(&first).unwrap();
        assert_eq!((complete["frames"].as_u64(), complete["missing"].as_u64()), (Some(frames), Some(0)));
        assert!(whole(&second).is_some(), "{heard:?}");
    }
    let _ = writeln!(
        stderr(),
        "complete at every listener {:.0} ms after the link was back",
        slowest.as_secs_f64() * 1_000.0
    );
    let log = server.client("ben", &["tail", ROOM]).unwrap();
    let log = end(log, 0);
    let bursts: Vec<(String, String)> = log
        .lines
        .iter()
        .filter(|line| line["type"] == "event")
        .map(|line| {
            let body = &line["body"];
            let burst = body["burst"].as_str().or(body["header"]["burst"].as_str()).unwrap_or_default();
            (body["kind"].as_str().unwrap().to_owned(), burst.to_owned())
        })
        .filter(|(kind, _)| kind.starts_with("burst."))
        .collect();
    let expected = [
        ("burst.started", &first),
        ("burst.interrupted", &first),
        ("burst.started", &second),
        ("burst.committed", &second),
        ("burst.completed", &first),
    ];
    assert_eq!(bursts, expected.map(|(kind, burst)| (kind.to_owned(), burst.clone())));
}

/// Without any network `talk` records and `send` takes the text; both wait, in their order, and go out later.
#[test]
fn what_is_said_without_a_network_waits_and_goes_out_in_order() {
    let scratch = tempfile::tempdir().unwrap();
    let server = Server::start(programs(), scratch.path()).unwrap();
    let link = server.add_user_behind("alice", ROOM).unwrap();
    server.add_user("ben", ROOM).unwrap();
    link.cut();
    let run = |who: &str, arguments: &[&str], code: i32| end(server.client(who, arguments).unwrap(), code);
    let sent = run("alice", &["send", ROOM, "before"], 7);
    assert!(sent.line("queued-offline").is_some() && sent.line("error").unwrap()["error"] == "incomplete", "{sent:?}");
    let short = speech(&scratch.path().join("short.wav"), 2);
    let talked = run("alice", &["talk", ROOM, &short], 7);
    assert_eq!(talked.line("error").unwrap()["code"], 7, "{talked:?}");
    let burst = talked.line("queued-offline").unwrap()["burst"].as_str().unwrap().to_owned();
    let frames = talked.line("queued-offline").unwrap()["frames"].as_u64().unwrap();
    run("alice", &["send", ROOM, "after"], 7);
    let status = run("alice", &["status"], 4);
    let line = status.line("status").unwrap();
    assert_eq!((line["waiting_texts"].as_u64(), line["waiting_bursts"].as_u64()), (Some(2), Some(1)));
    let queue = run("alice", &["queue"], 0);
    let kinds: Vec<_> = queue.lines.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["text", "burst", "text"]);
    assert_eq!(queue.lines[1]["frames"].as_u64(), Some(frames));
    // One that is dropped is not sent.
    let dropped = run("alice", &["send", ROOM, "never"], 7);
    let id = dropped.line("queued-offline").unwrap()["client_id"].as_str().unwrap().to_owned();
    run("alice", &["queue", "drop", &id], 0);
    run("alice", &["queue", "drop", &id], 5);
    assert_eq!(run("alice", &["queue", "send", "--timeout", "1"], 7).line("error").unwrap()["code"], 7);
    let own = scratch.path().join("own.wav");
    run("alice", &["queue", "play", &burst, "--out", own.to_str().unwrap()], 0);
    assert!(wav::read(&own).unwrap().len() >= 2 * 48_000);

    link.mend();
    let delivered = run("alice", &["queue", "send"], 0);
    let kinds: Vec<_> = delivered.lines.iter().map(|line| line["type"].as_str().unwrap()).collect();
    assert!(kinds.iter().filter(|kind| **kind == "sent").count() == 2 && kinds.contains(&"delivered"), "{delivered:?}");
    let log = run("ben", &["tail", ROOM], 0);
    let order: Vec<String> = log
        .lines
        .iter()
        .filter(|line| line["type"] == "event")
        .filter_map(|line| match line["body"]["kind"].as_str()? {
            "message.posted" => Some(line["body"]["text"].as_str()?.to_owned()),
            "burst.started" => {
                assert!(line["body"]["token"].is_null() && line["body"]["spoken_ago_ms"].as_u64() > Some(1_000));
                Some("burst".to_owned())
            }
            _ => None,
        })
        .collect();
    assert_eq!(order, ["before", "burst", "after"]);

    // Ben was away: he plays what he missed, once.
    let out = scratch.path().join("missed");
    let missed = run("ben", &["play", ROOM, "--missed", "--out", out.to_str().unwrap()], 0);
    let line = missed.line("playing").unwrap();
    assert_eq!(
        (&line["burst"], &line["brought"], line["missing"].as_u64()),
        (&burst.as_str().into(), &true.into(), Some(0))
    );
    assert_eq!(line["frames"].as_u64(), Some(frames));
    assert!(run("ben", &["play", ROOM, "--missed", "--out", out.to_str().unwrap()], 0).line("playing").is_none());
    run("ben", &["play", ROOM, &burst, "--out", out.to_str().unwrap()], 0);
    assert!(run("alice", &["queue"], 0).line("queued").is_none(), "something still waits");
}
