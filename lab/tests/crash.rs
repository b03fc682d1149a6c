//! A real `kill -9` between each of receive, write, sync, ack and fan-out, and at random instants: nothing acked is lost, there is
//! no gap and no duplicate, and a retry gets its first answer.
//!
//! This shows what a dying process leaves. What a dying machine leaves depends on the disk keeping what it said it had synced.

#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Lines, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;

use holler_core::model::EventBody;
use holler_core::units::{ClientId, Seq};
use holler_lab::crash::{Fault, Orders, ROOMS, Said, Send};
use holler_server::keys::KeyRing;
use holler_server::storage::{NoHooks, Point, Store};

/// New sends in each of the victim's lives; all the earlier ones are sent again too.
const SENDS_A_LIFE: u32 = 64;
/// Sends that wait for their answer, so that groups hold several.
const WINDOW: usize = 16;
const SIGKILL: i32 = 9;

struct Victim {
    child: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Victim {
    fn start(top: &Path, fault: Fault) -> Self {
        let orders = serde_json::to_string(&Orders { top: top.to_owned(), fault }).unwrap();
        // A file that may not grow must fail the write, as a full disk does, and not end the process.
        let mut child = Command::new("sh")
            .args(["-c", "trap '' XFSZ; exec \"$0\" \"$1\"", env!("CARGO_BIN_EXE_crash-victim"), &orders])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, input, output }
    }

    fn send(&mut self, number: u32) {
        let mut line = serde_json::to_vec(&Send { number }).unwrap();
        line.push(b'\n');
        // It may be dead already; the end of its output will tell.
        if let Some(input) = &mut self.input {
            let _ = input.write_all(&line);
        }
    }

    fn hear(&mut self) -> Option<Said> {
        // A line cut off by death was never said.
        self.output.next().and_then(|line| serde_json::from_str(&line.ok()?).ok())
    }
}

/// What the client and the followers know, over all the victim's lives.
#[derive(Default)]
struct Known {
    acked: BTreeMap<u32, u64>,
    heard: BTreeMap<(usize, u64), u32>,
    nacks: Vec<(u32, bool, String)>,
}

impl Known {
    /// Whether it answered a send.
    fn note(&mut self, said: Said) -> bool {
        match said {
            Said::Event { room, seq, client_id } => {
                let room = ROOMS.iter().position(|other| *other == room).unwrap();
                let before = self.heard.insert((room, seq), number_of(client_id));
                assert_eq!(before, None, "event {seq} was fanned out twice");
                return false;
            }
            Said::Ack { number, seq, replayed } => {
                if let Some(before) = self.acked.insert(number, seq) {
                    assert_eq!((seq, replayed), (before, true), "the first answer to send {number} changed");
                }
            }
            Said::Nack { number, unknown, why } => self.nacks.push((number, unknown, why)),
        }
        true
    }
}

fn number_of(client_id: ClientId) -> u32 {
    (0..10 * SENDS_A_LIFE).find(|number| Send { number: *number }.client_id() == client_id).unwrap()
}

/// Sends everything that is `wanted`, in order, until all are answered or the victim is dead. Gives its exit status.
fn drive(
    top: &Path,
    fault: Fault,
    known: &mut Known,
    wanted: &[u32],
    kill_after: Option<usize>,
) -> std::process::ExitStatus {
    let mut victim = Victim::start(top, fault);
    let mut waiting = wanted.iter().copied();
    for number in waiting.by_ref().take(WINDOW) {
        victim.send(number);
    }
    let mut answers = 0;
    while let Some(said) = victim.hear() {
        if !known.note(said) {
            continue;
        }
        answers += 1;
        if kill_after == Some(answers) {
            victim.child.kill().unwrap();
        }
        if let Some(number) = waiting.next() {
            victim.send(number);
        }
        if answers == wanted.len() {
            // The end of its input is its order to finish; then its output ends too.
            victim.input = None;
        }
    }
    victim.child.wait().unwrap()
}

/// Reads the log as the next server would, and compares it with what everybody knows.
fn verify(top: &Path, known: &Known, all: Option<usize>) {
    let data = Orders::data(top);
    let ring = KeyRing::load_or_create(&Orders::keys(top), &data).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut stored = BTreeMap::new();
    runtime.block_on(async {
        let store = Store::open(&data, ring, Arc::new(NoHooks)).unwrap();
        for (index, room) in ROOMS.into_iter().enumerate() {
            let Some(head) = store.log_head(room).await.unwrap() else { continue };
            let events = store.events(room, Seq(0), 500).await.unwrap();
            assert!(events.iter().map(|event| event.seq.0).eq(1..=head.head.0), "a gap, or a head without its event");
            for event in events {
                let number = number_of(event.client_id);
                let text = Send { number }.text();
                assert_eq!(event.body, EventBody::MessagePosted { text, reply_to: None });
                assert_eq!(stored.insert(number, (index, event.seq.0)), None, "send {number} is stored twice");
            }
        }
        store.close().await;
    });
    for (number, seq) in &known.acked {
        assert_eq!(stored.get(number).map(|(_, seq)| seq), Some(seq), "acked send {number} is lost");
    }
    for ((room, seq), number) in &known.heard {
        assert_eq!(stored.get(number), Some(&(*room, *seq)), "event {seq} was told to others and is not stored");
    }
    if let Some(all) = all {
        assert_eq!((stored.len(), known.acked.len()), (all, all));
    }
}

/// Everything that was sent in the victim's first lives, and what is new in this one.
fn sends(life: usize) -> Vec<u32> {
    (0..).take(SENDS_A_LIFE as usize * (life + 1)).collect()
}

fn finish(top: &Path, known: &mut Known, life: usize) {
    let wanted = sends(life);
    let status = drive(top, Fault::None, known, &wanted, None);
    assert!(status.success(), "{status}");
    verify(top, known, Some(wanted.len()));
}

#[test]
fn killed_at_every_point() {
    const PASSES: [u32; 5] = [1, 2, 7, 19, 40];
    for point in Point::ALL {
        let top = tempfile::tempdir().unwrap();
        let mut known = Known::default();
        // One life after another on the same data.
        for (life, pass) in PASSES.into_iter().enumerate() {
            let status = drive(top.path(), Fault::kill(*point, pass), &mut known, &sends(life), None);
            assert_eq!(status.signal(), Some(SIGKILL), "{point:?} was not passed {pass} times: {status}");
            verify(top.path(), &known, None);
        }
        finish(top.path(), &mut known, PASSES.len());
    }
}

#[test]
fn killed_at_any_instant() {
    for seed in 0..12 {
        let top = tempfile::tempdir().unwrap();
        let mut known = Known::default();
        for life in 0..4 {
            let wanted = sends(life);
            // The rest of a window is on its way when the signal comes.
            let after = (seed * 31 + life * 17) % (wanted.len() - WINDOW) + 1;
            let status = drive(top.path(), Fault::None, &mut known, &wanted, Some(after));
            assert_eq!(status.signal(), Some(SIGKILL), "{status}");
            verify(top.path(), &known, None);
        }
        finish(top.path(), &mut known, 4);
    }
}

/// The disk fails under a commit: then nobody knows, nobody is told otherwise, and sending again settles it.
#[test]
fn a_commit_that_fails_halfway_is_unknown_and_heals() {
    for pass in [1, 9, 30] {
        let top = tempfile::tempdir().unwrap();
        let mut known = Known::default();
        let wanted = sends(0);
        let status = drive(top.path(), Fault::FullFiles { pass }, &mut known, &wanted, None);
        assert!(status.success(), "{status}");
        assert!(known.nacks.len() >= 3 && known.acked.len() + known.nacks.len() == wanted.len());
        assert!(known.nacks.iter().any(|(_, unknown, _)| *unknown), "{:?}", known.nacks);
        verify(top.path(), &known, None);
        finish(top.path(), &mut known, 0);
    }
}
