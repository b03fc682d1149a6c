#![expect(clippy::wildcard_enum_match_arm, reason = "tests look for one case among all")]

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;
use serde_json::json;

use super::check::check;
use super::*;
use crate::model::{BurstDigest, BurstHeader, Codec, Event, FrameRange, Priority, Role};
use crate::units::{Bitrate, BurstStep, ClientId, DeviceId, FrameMs, FrameNo, RoomId, UnixMs, UserId};

const ROOM: RoomId = RoomId::from_bytes([1; 16]);

fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

fn device(n: u8) -> DeviceId {
    DeviceId::from_bytes([n; 16])
}

fn cid(n: u8) -> ClientId {
    ClientId::from_bytes([n; 16])
}

fn burst(n: u8) -> BurstId {
    BurstId::from_bytes([0xb0 + n; 16])
}

fn header(n: u8) -> BurstHeader {
    BurstHeader {
        burst: burst(n),
        codec: Codec::Opus,
        frame_ms: FrameMs::Ms20,
        bitrate: Bitrate(24_000),
        key_epoch: Epoch(0),
    }
}

fn started(n: u8, spoken_ago_ms: u64) -> EventBody {
    EventBody::BurstStarted {
        header: header(n),
        token: None,
        priority: Priority::Normal,
        spoken_ago_ms,
        uncertainty_ms: 0,
    }
}

fn committed(n: u8, last: u16, digest: u8, missing: Vec<FrameRange>) -> EventBody {
    EventBody::BurstCommitted { burst: burst(n), last: FrameNo(last), digest: BurstDigest([digest; 32]), missing }
}

fn interrupted(n: u8, last: u16) -> EventBody {
    EventBody::BurstInterrupted { burst: burst(n), last_received: FrameNo(last) }
}

fn completed(n: u8, last: u16, digest: u8) -> EventBody {
    EventBody::BurstCompleted { burst: burst(n), last: FrameNo(last), digest: BurstDigest([digest; 32]) }
}

fn text(text: &str) -> EventBody {
    EventBody::MessagePosted { text: text.to_owned(), reply_to: None }
}

fn range(from: u16, to: u16) -> FrameRange {
    FrameRange { from: FrameNo(from), to: FrameNo(to) }
}

/// Not a hash: the machine only compares it, and so the tests see at once what it was made of.
fn digest(user: UserId, body: &EventBody) -> [u8; 32] {
    use sha2::Digest;
    sha2::Sha256::digest(identity(user, body)).into()
}

// ---- random histories against a reference ------------------------------------------------------------------------

#[derive(Clone, Debug)]
struct Send {
    device: u8,
    client_id: ClientId,
    role: Role,
    epoch: Option<Epoch>,
    body: EventBody,
}

/// What happens to a batch, and when the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Commits,
    Fails,
    UnclearStored,
    UnclearLost,
    CrashPrepared,
    CrashWritten,
    CrashCommitted,
    CrashAcked,
}

#[derive(Clone, Debug)]
enum Op {
    Batch(Vec<Send>, Fate),
    Retain(u64),
    Epoch(u64),
}

fn bodies() -> impl Strategy<Value = (EventBody, Option<ClientId>)> {
    let seq = || (0..14_u64).prop_map(Seq);
    let words = || prop::sample::select(vec!["a", "b", "", "nul\0"]).prop_map(str::to_owned);
    let named = |body: EventBody, n: u8, step| (body, Some(burst(n).client_id(step)));
    prop_oneof![
        5 => (words(), prop::option::weighted(0.2, seq()))
            .prop_map(|(text, reply_to)| (EventBody::MessagePosted { text, reply_to }, None)),
        2 => (seq(), words()).prop_map(|(target, text)| (EventBody::MessageEdited { target, text }, None)),
        2 => seq().prop_map(|target| (EventBody::MessageDeleted { target }, None)),
        3 => (0..3_u8, 0..3_u64).prop_map(move |(n, ago)| named(started(n, ago), n, BurstStep::Started)),
        2 => (0..3_u8, 0..2_u8, any::<bool>()).prop_map(move |(n, digest, whole)| {
            let missing = if whole { vec![] } else { vec![range(1, 2)] };
            named(committed(n, 5, digest, missing), n, BurstStep::Ended)
        }),
        1 => (0..3_u8, 0..2_u16).prop_map(move |(n, last)| named(interrupted(n, last), n, BurstStep::Ended)),
        2 => (0..3_u8, 0..2_u8).prop_map(move |(n, digest)| named(completed(n, 5, digest), n, BurstStep::Completed)),
        1 => Just((EventBody::EmergencyRaised {}, None)),
    ]
}

fn sends() -> impl Strategy<Value = Send> {
    let role = prop::sample::select(vec![Role::Talker, Role::Talker, Role::Dispatcher, Role::Admin]);
    (1..3_u8, 0..10_u8, role, prop::option::weighted(0.2, (0..2_u64).prop_map(Epoch)), bodies()).prop_map(
        |(device, n, role, epoch, (body, derived))| Send {
            device,
            client_id: derived.unwrap_or(cid(n)),
            role,
            epoch,
            body,
        },
    )
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let fate = prop_oneof![
        5 => Just(Fate::Commits),
        1 => Just(Fate::Fails),
        1 => Just(Fate::UnclearStored),
        1 => Just(Fate::UnclearLost),
        1 => Just(Fate::CrashPrepared),
        1 => Just(Fate::CrashWritten),
        1 => Just(Fate::CrashCommitted),
        1 => Just(Fate::CrashAcked),
    ];
    let op = prop_oneof![
        20 => (prop::collection::vec(sends(), 0..6), fate).prop_map(|(sends, fate)| Op::Batch(sends, fate)),
        1 => (0..14_u64).prop_map(Op::Retain),
        1 => (0..2_u64).prop_map(Op::Epoch),
    ];
    prop::collection::vec(op, 1..25)
}

/// What is committed. Everything is looked up by walking over it.
#[derive(Clone, Debug)]
struct Disk {
    head: LogHead,
    /// Every event ever, also those that retention removed: `head.first_seq` says what is left.
    history: Vec<Arc<Event>>,
    digests: Vec<[u8; 32]>,
}

impl Disk {
    fn kept(&self) -> impl Iterator<Item = &Arc<Event>> {
        self.history.iter().filter(|event| event.seq >= self.head.first_seq)
    }

    fn burst(&self, burst: BurstId) -> Option<BurstFacts> {
        let mut facts = None;
        for event in &self.history {
            if burst_of(&event.body) != Some(burst) {
                continue;
            }
            let device = event.device;
            facts = match (&event.body, facts) {
                (EventBody::BurstStarted { .. }, _) => Some(BurstFacts { device, end: End::Open, complete: false }),
                (EventBody::BurstCommitted { last, digest, missing, .. }, Some(_)) => Some(BurstFacts {
                    device,
                    end: End::Committed { last: *last, digest: *digest },
                    complete: missing.is_empty(),
                }),
                (EventBody::BurstInterrupted { .. }, Some(facts)) => {
                    Some(BurstFacts { end: End::Interrupted, ..facts })
                }
                (EventBody::BurstCompleted { .. }, Some(facts)) => Some(BurstFacts { complete: true, ..facts }),
                (body, facts) => panic!("{body:?} after {facts:?} in the log"),
            };
        }
        facts
    }

    fn propose(&self, send: &Send, received_at: u64) -> Proposal {
        let (target, burst) = wanted(&send.body);
        let sender = user(send.device);
        let prior = self
            .history
            .iter()
            .zip(&self.digests)
            .find(|(event, _)| event.device == device(send.device) && event.client_id == send.client_id)
            .map(|(event, digest)| Prior {
                seq: event.seq,
                received_at: event.received_at,
                digest: *digest,
                body: (event.seq >= self.head.first_seq).then(|| event.body.clone()),
            });
        let facts = Facts {
            prior,
            target: target.and_then(|seq| self.kept().find(|event| event.seq == seq)).map(|event| Target {
                user: event.user,
                posted: matches!(event.body, EventBody::MessagePosted { .. }),
            }),
            burst: burst.and_then(|burst| self.burst(burst)),
        };
        Proposal {
            user: sender,
            device: device(send.device),
            role: send.role,
            client_id: send.client_id,
            epoch: send.epoch,
            body: send.body.clone(),
            digest: digest(sender, &send.body),
            received_at: UnixMs(received_at),
            facts,
        }
    }
}

/// What a send must be answered, by walking over the whole history, one send at a time.
#[derive(Debug, PartialEq, Eq)]
enum Expected {
    Stored,
    Replayed(Seq),
    Refused,
}

fn expected(disk: &Disk, send: &Send) -> Expected {
    let (me, from) = (user(send.device), device(send.device));
    if let Some(earlier) = disk.history.iter().find(|e| e.device == from && e.client_id == send.client_id) {
        let same = identity(earlier.user, &earlier.body) == identity(me, &send.body);
        return if same { Expected::Replayed(earlier.seq) } else { Expected::Refused };
    }
    let kept = |seq: Seq| disk.kept().find(|event| event.seq == seq);
    let posted = |seq: Seq| kept(seq).filter(|event| matches!(event.body, EventBody::MessagePosted { .. }));
    let about =
        |n: BurstId, kind: &str| disk.history.iter().any(|e| burst_of(&e.body) == Some(n) && e.body.kind() == kind);
    let mine = |n: BurstId| disk.history.iter().all(|e| burst_of(&e.body) != Some(n) || e.device == from);
    let ended = |n| about(n, "burst.committed") || about(n, "burst.interrupted");
    let whole = |n| {
        about(n, "burst.completed")
            || disk.history.iter().any(
                |e| matches!(&e.body, EventBody::BurstCommitted { burst, missing, .. } if *burst == n && missing.is_empty()),
            )
    };
    let good_text = |text: &str| !text.is_empty() && !text.contains('\0');
    let fits = match &send.body {
        EventBody::MessagePosted { text, reply_to } => {
            good_text(text) && reply_to.is_none_or(|target| kept(target).is_some())
        }
        EventBody::MessageEdited { target, text } => {
            good_text(text) && posted(*target).is_some_and(|event| event.user == me)
        }
        EventBody::MessageDeleted { target } => {
            posted(*target).is_some_and(|event| event.user == me || send.role >= Role::Dispatcher)
        }
        EventBody::BurstStarted { header, .. } => !about(header.burst, "burst.started"),
        EventBody::BurstCommitted { burst, .. } | EventBody::BurstInterrupted { burst, .. } => {
            about(*burst, "burst.started") && !ended(*burst) && mine(*burst)
        }
        EventBody::BurstCompleted { burst, last, digest } => {
            let agrees = disk.history.iter().all(|e| match &e.body {
                EventBody::BurstCommitted { burst: n, last: l, digest: d, .. } if n == burst => {
                    (l, d) == (last, digest)
                }
                _ => true,
            });
            ended(*burst) && !whole(*burst) && mine(*burst) && agrees
        }
        EventBody::EmergencyRaised {} | EventBody::EmergencyCleared { .. } => true,
    };
    let epoch = send.epoch.is_none_or(|epoch| epoch == disk.head.epoch);
    if fits && epoch { Expected::Stored } else { Expected::Refused }
}

/// One who follows the room: by fan-out while connected, from the log after a reconnection.
#[derive(Default)]
struct Follower {
    heard: Vec<Arc<Event>>,
}

impl Follower {
    fn hear(&mut self, events: impl IntoIterator<Item = Arc<Event>>) {
        for event in events {
            assert_eq!(event.seq.0, self.heard.len() as u64 + 1, "a gap or a repetition");
            self.heard.push(event);
        }
    }

    fn reconnect(&mut self, disk: &Disk) {
        let at = self.heard.len();
        self.hear(disk.history[at..].iter().cloned());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acked_is_lost_and_nothing_is_stored_twice_wherever_the_process_dies(ops in ops()) {
        let mut disk = Disk { head: LogHead::new(Incarnation::from_bytes([9; 16])), history: vec![], digests: vec![] };
        let mut log = RoomLog::new(ROOM, disk.head);
        let mut told: BTreeMap<(u8, ClientId), Arc<Event>> = BTreeMap::new();
        let mut follower = Follower::default();
        for (now, op) in (1_000..).zip(ops) {
            let (sends, fate) = match op {
                Op::Batch(sends, fate) => (sends, fate),
                Op::Retain(first) => {
                    let before = disk.head;
                    disk.head = disk.head.retain_from(Seq(first));
                    prop_assert!(disk.head.first_seq >= before.first_seq && disk.head.first_seq.0 <= before.head.0 + 1);
                    log = RoomLog::new(ROOM, disk.head);
                    continue;
                }
                Op::Epoch(epoch) => {
                    disk.head.epoch = Epoch(epoch);
                    log = RoomLog::new(ROOM, disk.head);
                    continue;
                }
            };
            // The reference takes the sends one at a time, as if each had been alone.
            let mut reference = disk.clone();
            let mut expectations = Vec::new();
            for send in &sends {
                let expectation = expected(&reference, send);
                let sender = user(send.device);
                if expectation == Expected::Stored {
                    let seq = reference.head.head.next();
                    reference.head.head = seq;
                    reference.digests.push(digest(sender, &send.body));
                    reference.history.push(Arc::new(Event {
                        room: ROOM,
                        seq,
                        received_at: UnixMs(now),
                        user: sender,
                        device: device(send.device),
                        client_id: send.client_id,
                        body: send.body.clone(),
                    }));
                }
                expectations.push((expectation, reference.head.head));
            }

            let proposals = sends.iter().map(|send| disk.propose(send, now)).collect();
            let prepared = log.prepare(proposals);
            let crashed = |disk: &Disk| RoomLog::new(ROOM, disk.head);
            if matches!(fate, Fate::CrashPrepared | Fate::CrashWritten) {
                log = crashed(&disk);
                follower.reconnect(&disk);
                continue;
            }
            let outcome = match fate {
                Fate::Fails => Outcome::Failed,
                Fate::UnclearStored | Fate::UnclearLost => Outcome::Unclear,
                _ => Outcome::Committed,
            };
            if !matches!(fate, Fate::Fails | Fate::UnclearLost) {
                for write in prepared.writes() {
                    disk.history.push(Arc::clone(&write.event));
                    disk.digests.push(write.digest);
                }
                disk.head = *prepared.head();
                prop_assert_eq!(&disk.history, &reference.history);
                prop_assert_eq!(disk.head, reference.head);
            }
            if fate == Fate::CrashCommitted {
                log = crashed(&disk);
                follower.reconnect(&disk);
                continue;
            }
            let Finished { log: next, answers, fanout } = prepared.finish(outcome);
            prop_assert_eq!(answers.len(), sends.len());
            for ((send, answer), (expectation, place)) in sends.iter().zip(answers).zip(expectations) {
                match (outcome, &answer) {
                    (Outcome::Committed, Answer::Stored(event)) => {
                        prop_assert_eq!((&expectation, event.seq), (&Expected::Stored, place));
                    }
                    (Outcome::Committed, Answer::Replayed(event)) => {
                        prop_assert_eq!(expectation, Expected::Replayed(event.seq));
                    }
                    (_, Answer::Refused(_)) => prop_assert_eq!(expectation, Expected::Refused),
                    (Outcome::Failed, Answer::Failed) | (Outcome::Unclear, Answer::Unknown) => {}
                    (outcome, answer) => prop_assert!(false, "{:?} after {:?}", answer, outcome),
                }
                if let Answer::Stored(event) | Answer::Replayed(event) = answer {
                    // Acked: it is on the disk, and every later answer to the same send is the same.
                    let stored = &disk.history[usize::try_from(event.seq.0).unwrap() - 1];
                    prop_assert_eq!((stored.seq, stored.received_at), (event.seq, event.received_at));
                    if event.seq >= disk.head.first_seq {
                        prop_assert_eq!(stored, &event);
                    }
                    let first = told.entry((send.device, send.client_id)).or_insert_with(|| Arc::clone(&event));
                    prop_assert_eq!(first.seq, event.seq);
                }
            }
            if outcome != Outcome::Committed {
                prop_assert!(fanout.is_empty());
            } else if fate != Fate::CrashAcked {
                follower.hear(fanout);
            }
            log = match next {
                Some(log) if fate != Fate::CrashAcked => log,
                _ => {
                    follower.reconnect(&disk);
                    crashed(&disk)
                }
            };
            prop_assert_eq!(*log.head(), disk.head);
        }
        prop_assert!(disk.history.iter().map(|event| event.seq.0).eq(1..=disk.head.head.0));
        prop_assert_eq!(&follower.heard, &disk.history);
    }

    #[test]
    fn texts_are_checked_by_their_length_and_nothing_else(words in "\\PC{0,40}", control in "[\u{1}-\u{1f}\u{202e}]{0,3}") {
        let words = words + &control;
        prop_assert_eq!(check(cid(1), &text(&words)).is_ok(), !words.is_empty());
    }

    #[test]
    fn a_cursor_goes_on_only_where_nothing_is_missing(first in 1..20_u64, more in 0..20_u64, seq in 0..60_u64, same: bool) {
        let incarnation = Incarnation::from_bytes([9; 16]);
        let head = LogHead { incarnation, first_seq: Seq(first), head: Seq(first - 1 + more), epoch: Epoch(0) };
        let cursor = Cursor { incarnation: Incarnation::from_bytes([if same { 9 } else { 8 }; 16]), seq: Seq(seq) };
        let all_there = (seq + 1..=head.head.0).all(|next| next >= first);
        let expected = if same && seq <= head.head.0 && all_there && seq + 1 >= first { Resume::After(Seq(seq)) } else { Resume::Gap };
        prop_assert_eq!(head.resume(cursor), expected);
    }
}

// ---- bounds ------------------------------------------------------------------------------------------------------

fn field_of(client_id: ClientId, body: &EventBody) -> &'static str {
    match check(client_id, body) {
        Ok(()) => "",
        Err(Refusal::OutOfBounds { field, .. }) => field,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn texts_have_1_to_4000_characters_without_nul() {
    for (words, field) in [
        (String::new(), "body.text"),
        ("x".repeat(4_000), ""),
        ("x".repeat(4_001), "body.text"),
        ("\u{1f5e3}".repeat(4_000), ""),
        ("\u{1f5e3}".repeat(4_001), "body.text"),
        ("a\tb\r\nc\u{1b}[1m".to_owned(), ""),
        ("a\0b".to_owned(), "body.text"),
    ] {
        assert_eq!(field_of(cid(1), &text(&words)), field, "{} characters", words.chars().count());
        let edit = EventBody::MessageEdited { target: Seq(1), text: words };
        assert_eq!(field_of(cid(1), &edit), field);
    }
}

#[test]
fn burst_events_have_the_shape_of_their_burst() {
    let start = BurstStep::Started;
    let bitrate = |bitrate| EventBody::BurstStarted {
        header: BurstHeader { bitrate: Bitrate(bitrate), ..header(1) },
        token: None,
        priority: Priority::Normal,
        spoken_ago_ms: 0,
        uncertainty_ms: 0,
    };
    for (step, body, field) in [
        (start, started(1, 0), ""),
        (start, started(1, 30 * 24 * 3_600_000), ""),
        (start, started(1, 30 * 24 * 3_600_000 + 1), "body.spoken_ago_ms"),
        (start, bitrate(5_999), "body.header.bitrate"),
        (start, bitrate(128_001), "body.header.bitrate"),
        (BurstStep::Ended, started(1, 0), "client_id"),
        (BurstStep::Ended, committed(1, 1, 0, vec![]), ""),
        (BurstStep::Ended, committed(1, 0, 0, vec![]), "body.last"),
        (BurstStep::Ended, committed(1, 15_001, 0, vec![]), "body.last"),
        (BurstStep::Ended, committed(1, 9, 0, vec![range(1, 3), range(4, 4), range(9, 9)]), ""),
        (BurstStep::Ended, committed(1, 9, 0, vec![range(0, 3)]), "body.missing"),
        (BurstStep::Ended, committed(1, 9, 0, vec![range(4, 3)]), "body.missing"),
        (BurstStep::Ended, committed(1, 9, 0, vec![range(1, 3), range(3, 4)]), "body.missing"),
        (BurstStep::Ended, committed(1, 9, 0, vec![range(9, 10)]), "body.missing"),
        (BurstStep::Ended, committed(1, 200, 0, (1..=64).map(|n| range(2 * n, 2 * n)).collect()), ""),
        (BurstStep::Ended, committed(1, 200, 0, (1..=65).map(|n| range(2 * n, 2 * n)).collect()), "body.missing"),
        (start, committed(1, 1, 0, vec![]), "client_id"),
        (BurstStep::Ended, interrupted(1, 0), ""),
        (BurstStep::Ended, interrupted(1, 15_001), "body.last_received"),
        (BurstStep::Completed, completed(1, 15_000, 0), ""),
        (BurstStep::Completed, completed(1, 0, 0), "body.last"),
        (BurstStep::Ended, completed(1, 1, 0), "client_id"),
    ] {
        assert_eq!(field_of(burst(1).client_id(step), &body), field, "{body:?}");
    }
}

#[test]
fn what_differs_when_a_thing_is_sent_again_is_no_part_of_its_identity() {
    assert_eq!(identity(user(1), &started(1, 0)), identity(user(1), &started(1, 500)));
    assert_eq!(
        identity(user(1), &committed(1, 9, 0, vec![])),
        identity(user(1), &committed(1, 9, 0, vec![range(1, 3)]))
    );
    let all = [
        text("a"),
        text("b"),
        EventBody::MessageEdited { target: Seq(1), text: "a".to_owned() },
        EventBody::MessageDeleted { target: Seq(1) },
        started(1, 0),
        started(2, 0),
        committed(1, 9, 0, vec![]),
        committed(1, 8, 0, vec![]),
        committed(1, 9, 1, vec![]),
        interrupted(1, 0),
        completed(1, 9, 0),
        EventBody::EmergencyRaised {},
        EventBody::EmergencyCleared { raised_by: user(1) },
    ];
    let mut identities: Vec<_> =
        all.iter().flat_map(|body| [identity(user(1), body), identity(user(2), body)]).collect();
    identities.sort();
    identities.dedup();
    assert_eq!(identities.len(), 2 * all.len());
}

#[test]
fn refusals_become_problems_that_name_the_field() {
    use crate::wire::problem::ProblemKind;
    let problem = Problem::from(check(cid(1), &text("")).unwrap_err());
    assert!(problem.is(ProblemKind::OutOfBounds) && problem.field.as_deref() == Some("body.text"), "{problem}");
    let problem = Problem::from(Refusal::StaleEpoch { expected: Epoch(1), current: Epoch(2) });
    assert!(problem.is(ProblemKind::StaleEpoch), "{problem}");
    let problem = Problem::from(Refusal::NotYours(Seq(4)));
    assert!(problem.is(ProblemKind::Forbidden) && problem.detail.contains("event 4"), "{problem}");
}

/// Digests over it lie in databases: it must stay as it was first written, from one tree of values.
#[test]
fn an_identity_is_the_same_bytes_as_ever() {
    let words = "Gate \"four\" \\ \u{1F600} \u{7}\n";
    let says = [
        (EventBody::MessagePosted { text: words.into(), reply_to: None }, json!([words, null])),
        (EventBody::MessagePosted { text: words.into(), reply_to: Some(Seq(7)) }, json!([words, 7])),
        (EventBody::MessageEdited { target: Seq(7), text: words.into() }, json!([7, words])),
        (EventBody::MessageDeleted { target: Seq(7) }, json!([7])),
        (EventBody::EmergencyRaised {}, json!([])),
        (EventBody::EmergencyCleared { raised_by: user(2) }, json!([user(2)])),
        (started(1, 5), json!([header(1)])),
        (committed(1, 9, 3, vec![range(1, 2)]), json!([burst(1), 9, BurstDigest([3; 32])])),
        (completed(1, 9, 3), json!([burst(1), 9, BurstDigest([3; 32])])),
        (interrupted(1, 9), json!([burst(1)])),
    ];
    for (body, says) in says {
        assert_eq!(identity(user(1), &body), json!([user(1), body.kind(), says]).to_string().into_bytes(), "{body:?}");
    }
}
