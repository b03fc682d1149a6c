//! `holler` and `hollerd` as they are: exit codes, JSON lines, and speech from one process to others.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a helper that fails is a test that fails")]

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use holler_lab::programs::{self, Ended, PASSWORD, Server};

const PATIENCE: Duration = Duration::from_secs(60);
const ROOM: &str = "Everyone";

/// The programs, built once: what runs is what the sources say.
fn programs() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| programs::build().unwrap())
}

fn fixture(name: &str) -> String {
    programs::fixture(name).to_str().unwrap().to_owned()
}

struct World {
    server: Server,
    scratch: tempfile::TempDir,
}

impl World {
    fn new(users: &[&str]) -> Self {
        Self::with(users, &[])
    }

    fn with(users: &[&str], settings: &[(&str, &str)]) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let server = Server::start_with(programs(), scratch.path(), settings).unwrap();
        for user in users {
            server.add_user(user, ROOM).unwrap();
        }
        Self { server, scratch }
    }

    fn holler(&self, who: &str, arguments: &[&str]) -> Ended {
        self.server.client(who, arguments).unwrap().end(PATIENCE).unwrap()
    }

    /// A command that must end with this code; the JSON error must say the same, and so must standard error.
    fn refused(&self, who: &str, arguments: &[&str], code: i32) -> String {
        let ended = self.holler(who, arguments);
        assert_eq!(ended.code, Some(code), "{arguments:?}: {ended:?}");
        let error = ended.line("error").unwrap_or_else(|| panic!("{arguments:?}: {ended:?}"));
        assert_eq!(error["code"], code);
        let message = error["message"].as_str().unwrap().to_owned();
        assert!(ended.errors.contains(&message), "{ended:?}");
        message
    }

    fn path(&self, name: &str) -> String {
        self.scratch.path().join(name).to_str().unwrap().to_owned()
    }
}

#[test]
fn every_failure_has_its_exit_code_and_says_what_to_do() {
    let world = World::new(&["alice"]);
    let (url, root) = (world.server.url().to_owned(), world.server.root().to_str().unwrap().to_owned());
    assert!(world.refused("nobody", &["rooms"], 3).contains("holler login"));
    assert!(world.refused("nobody", &["status"], 3).contains("holler login"));
    assert_eq!(world.holler("alice", &["dance"]).code, Some(2));
    world.refused("nobody", &["login", "not an address", "--user", "alice", "--ca", &root], 2);

    // Wrong password, unknown root, nobody there.
    let login = |who: &str, arguments: &[&str], password: &str| {
        let mut all = vec!["login"];
        all.extend(arguments);
        all.extend(["--user", "alice", "--password-stdin"]);
        world.server.client_with(who, &all, password.as_bytes()).unwrap().end(PATIENCE).unwrap()
    };
    let wrong = login("mallory", &[&url, "--ca", &root], "wrong password\n");
    assert_eq!(wrong.code, Some(3), "{wrong:?}");
    let untrusted = login("mallory", &[&url], &format!("{PASSWORD}\n"));
    assert_eq!(untrusted.code, Some(4), "{untrusted:?}");
    assert!(untrusted.errors.contains("--ca"), "{untrusted:?}");
    let absent = login("mallory", &["https://127.0.0.1:9", "--ca", &root], &format!("{PASSWORD}\n"));
    assert_eq!(absent.code, Some(4), "{absent:?}");

    assert!(world.refused("alice", &["send", "Nowhere", "hello"], 5).contains(ROOM));
    world.refused("alice", &["send", ROOM, ""], 2);
    world.refused("alice", &["send", ROOM, &"x".repeat(4_001)], 2);
    assert!(world.refused("alice", &["talk", ROOM, "/nonexistent.wav"], 2).contains("/nonexistent.wav"));
    world.refused("alice", &["listen", ROOM, "--bursts", "1", "--timeout", "1"], 6);

    assert_eq!(world.holler("alice", &["logout"]).code, Some(0));
    world.refused("alice", &["rooms"], 3);
}

#[test]
fn texts_go_in_and_come_out_in_order() {
    let world = World::new(&["alice", "ben"]);
    let rooms = world.holler("alice", &["rooms"]);
    assert_eq!(rooms.lines.len(), 1, "{rooms:?}");
    let id = rooms.lines[0]["room"].as_str().unwrap().to_owned();
    assert_eq!((&rooms.lines[0]["name"], &rooms.lines[0]["role"]), (&ROOM.into(), &"talker".into()));

    let mut follow = world.server.client("ben", &["tail", ROOM, "-n", "0", "--follow"]).unwrap();
    let first = world.holler("alice", &["send", ROOM, "first"]);
    assert_eq!(first.code, Some(0), "{first:?}");
    let seq = first.line("sent").unwrap()["seq"].as_u64().unwrap();
    // By id, from standard input, with what a shell would mangle.
    let second = world.server.client_with("alice", &["send", &id, "-"], "second\n\"quoted\" — ü\n".as_bytes()).unwrap();
    assert_eq!(second.end(PATIENCE).unwrap().line("sent").unwrap()["seq"].as_u64(), Some(seq + 1));

    let tail = world.holler("ben", &["tail", ROOM, "-n", "2"]);
    let texts: Vec<_> = tail.lines.iter().map(|line| line["body"]["text"].as_str().unwrap()).collect();
    assert_eq!(texts, ["first", "second\n\"quoted\" — ü"]);
    follow.wait_for(PATIENCE, |line| line["type"] == "event" && line["seq"].as_u64() == Some(seq + 1)).unwrap();

    let who = world.holler("alice", &["who", ROOM]);
    let ben = who.lines.iter().find(|line| line["name"] == "ben").unwrap();
    assert!(ben["connections"].as_u64() >= Some(1) && ben["last_heard_ms"].is_u64(), "ben follows: {ben}");
    assert!(ben["state"] == "available" && ben["age_ms"].is_u64(), "ben follows: {ben}");
    assert_eq!(world.holler("alice", &["presence", "--set", "unknown"]).code, Some(2));
    assert_eq!(world.holler("alice", &["presence", "--set", "solo"]).code, Some(0));
    let mut watch = world.server.client("alice", &["presence", ROOM, "--watch", "--timeout", "60"]).unwrap();
    watch.wait_for(PATIENCE, |line| line["name"] == "alice" && line["state"] == "solo").unwrap();
    let seen = world.holler("ben", &["presence", ROOM]);
    let alice = seen.lines.iter().find(|line| line["name"] == "alice").unwrap();
    assert!(alice["state"] == "solo" && alice["lease_ms"].as_u64() > Some(10_000), "{alice}");
    assert_eq!(world.holler("ben", &["who"]).line("me").unwrap()["login"], "ben");
    let status = world.holler("alice", &["status"]);
    let line = status.line("status").unwrap();
    assert_eq!((&line["reachable"], &line["waiting_texts"]), (&true.into(), &0.into()), "{status:?}");
}

#[test]
fn texts_are_answered_changed_and_taken_back() {
    let world = World::new(&["alice", "ben"]);
    let number = |ended: &Ended| ended.line("sent").unwrap()["seq"].as_u64().unwrap();
    let first = number(&world.holler("alice", &["send", ROOM, "first"])).to_string();
    let answer = number(&world.holler("ben", &["send", ROOM, "answer", "--reply", &first])).to_string();
    world.holler("ben", &["send", ROOM, "changed", "--edit", &answer]);
    world.refused("ben", &["send", ROOM, "not mine", "--edit", &first], 5);
    world.refused("ben", &["send", ROOM, "--delete", &first], 5);
    world.holler("alice", &["send", ROOM, "--delete", &first]);
    assert_eq!(world.holler("alice", &["send", ROOM, "text", "--delete", &first]).code, Some(2));
    let tail = world.holler("ben", &["tail", ROOM, "-n", "3"]);
    let bodies: Vec<_> = tail.lines.iter().map(|line| line["body"].to_string()).collect();
    let said = |at: usize, parts: &[&str]| parts.iter().all(|part| bodies[at].contains(part));
    assert!(said(0, &["message.posted", "answer", &format!("\"reply_to\":{first}")]), "{bodies:?}");
    assert!(said(1, &["message.edited", "changed", &format!("\"target\":{answer}")]), "{bodies:?}");
    assert!(said(2, &["message.deleted", &format!("\"target\":{first}")]), "{bodies:?}");
}

#[test]
fn a_server_without_room_is_named_and_what_was_said_waits_here() {
    let world = World::with(&["alice"], &[("HOLLER_STORAGE__FREE_MIN_MIB", "100000000")]);
    let text = world.refused("alice", &["send", ROOM, "kept", "--timeout", "5"], 7);
    assert!(text.contains("no room left"), "{text}");
    let voice = fixture("speech-b.wav");
    let burst = world.refused("alice", &["talk", ROOM, &voice, "--timeout", "5"], 7);
    assert!(burst.contains("no room left"), "{burst}");
    let waits = world.holler("alice", &["queue"]);
    assert_eq!(waits.lines.len(), 2, "{waits:?}");
    let sent = world.refused("alice", &["queue", "send", "--timeout", "5"], 7);
    assert!(sent.contains("no room left"), "{sent}");
}

#[test]
fn speech_is_heard_whole_from_a_pipe_too() {
    let world = World::new(&["alice", "ben"]);
    let out = world.path("ben");
    let mut listen = world
        .server
        .client("ben", &["listen", ROOM, "--out", &out, "--bursts", "1", "--timeout", "60", "--frames"])
        .unwrap();
    listen.wait_for(PATIENCE, |line| line["type"] == "listening").unwrap();
    let wav = std::fs::read(fixture("speech-b.wav")).unwrap();
    let talk =
        world.server.client_with("alice", &["talk", ROOM, "-", "--frames"], &wav).unwrap().end(PATIENCE).unwrap();
    assert_eq!(talk.code, Some(0), "{}", talk.errors);
    let heard = listen.end(PATIENCE).unwrap();
    assert_eq!(heard.code, Some(0), "{}", heard.errors);
    let numbers = |ended: &Ended, kind: &str| -> Vec<u64> {
        ended.lines.iter().filter(|line| line["type"] == kind).map(|line| line["number"].as_u64().unwrap()).collect()
    };
    let said = numbers(&talk, "captured");
    assert!(said.len() >= 300, "{} frames", said.len());
    assert_eq!(numbers(&heard, "heard"), said, "every frame once, in order");
    let complete = heard.line("complete").unwrap();
    assert_eq!((complete["missing"].as_u64(), complete["frames"].as_u64()), (Some(0), Some(said.len() as u64)));
    for line in [complete, heard.line("played").unwrap()] {
        let file = line["file"].as_str().unwrap();
        let sound = holler_client::audio::wav::read(Path::new(file)).unwrap();
        let original = holler_client::audio::wav::read(Path::new(&fixture("speech-b.wav"))).unwrap();
        let found = holler_lab::similarity::compare(&original, &sound);
        assert!(found.similarity > 0.85 && found.clipped_start_ms <= 30.0, "{file}: {found:?}");
    }
    // Who spoke learns that it was heard: the listener said so with its goodbye.
    let burst = complete["burst"].as_str().unwrap();
    let receipts = std::iter::repeat_with(|| world.holler("alice", &["heard", burst]));
    let receipts = receipts.take(50).find(|ended| ended.line("burst.receipts").is_some_and(|line| line["heard"] == 1));
    let receipts = receipts.expect("the receipt is stored at once, not with the listener's next connection");
    let line = receipts.line("burst.receipts").unwrap();
    assert_eq!((line["of"].as_u64(), line["delivered"].as_u64()), (Some(2), Some(1)));
    assert_eq!(receipts.line("heard-by").unwrap()["name"], "ben");
    assert!(world.refused("ben", &["heard", burst], 5).contains("dispatchers"));
    assert!(Path::new(&out).read_dir().unwrap().all(|file| file.unwrap().path().extension().unwrap() == "wav"));
}

#[test]
fn one_talks_at_a_time_and_the_queue_waits() {
    let world = World::new(&["alice", "ben", "cleo"]);
    world.server.set_role("cleo", ROOM, "listener").unwrap();
    let mut alice = world.server.client("alice", &["talk", ROOM, &fixture("speech-b.wav")]).unwrap();
    alice.wait_for(PATIENCE, |line| line["type"] == "granted").unwrap();
    assert!(world.refused("ben", &["talk", ROOM, &fixture("speech-b.wav")], 6).contains("--queue"));
    assert!(world.refused("cleo", &["talk", ROOM, &fixture("speech-b.wav")], 6).contains("may not"));
    let ben = world.holler("ben", &["talk", ROOM, &fixture("speech-b.wav"), "--queue"]);
    assert_eq!(ben.code, Some(0), "{ben:?}");
    assert!(ben.line("queued").is_some() && ben.line("delivered").is_some(), "{ben:?}");
    assert_eq!(alice.end(PATIENCE).unwrap().code, Some(0));
}
