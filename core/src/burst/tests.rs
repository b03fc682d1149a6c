//! Properties first, then single clauses.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::model::{BurstDigest, EventBody, FrameRange};
use crate::units::{BurstId, DeviceId, FrameNo};
use crate::wire::limits::{BURST_BYTES_MAX, FRAME_BYTES_MAX, FRAMES_PER_BURST_MAX, MISSING_RANGES_MAX};
use crate::wire::problem::{Problem, ProblemKind};

const BURST: BurstId = BurstId::from_bytes([1; 16]);
const OWNER: DeviceId = DeviceId::from_bytes([2; 16]);
const OTHER: DeviceId = DeviceId::from_bytes([3; 16]);

fn range(from: u16, to: u16) -> FrameRange {
    FrameRange { from: FrameNo(from), to: FrameNo(to) }
}

/// Frame `n` as these tests speak it.
fn payload(n: u16) -> Bytes {
    Bytes::from(n.to_le_bytes().repeat(usize::from(n % 7) + 1))
}

fn recording(frames: u16) -> Recording {
    let mut recording = Recording::new();
    for n in 1..=frames {
        assert_eq!(recording.push(payload(n)), Ok(FrameNo(n)));
    }
    recording
}

fn appends(assembly: &mut Assembly) -> Vec<EventBody> {
    core::iter::from_fn(|| assembly.poll_append()).collect()
}

/// Hands over what the link lets through: `fate` gives each frame 0 to 2 copies, at a place of its own.
fn carry(assembly: &mut Assembly, frames: Vec<(FrameNo, Bytes)>, fate: &[(u8, u16)]) {
    let mut arriving: Vec<_> = frames
        .into_iter()
        .zip(fate.iter().cycle())
        .flat_map(|(frame, (copies, place))| {
            (0..copies % 3).map(move |copy| (place.rotate_left(copy.into()), frame.clone()))
        })
        .collect();
    arriving.sort_by_key(|(place, _)| *place);
    for (_, (number, bytes)) in arriving {
        assert!(assembly.insert(OWNER, number, bytes).is_ok());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    /// Whatever is lost, repeated or reordered, live and in the repair, and whether or not the link dies in between: the rounds
    /// of repair end with the same bytes and the same digest, and the log gets its events once.
    #[test]
    fn repair_ends_complete(
        frames in 1..400_u16,
        live in prop::collection::vec(any::<(u8, u16)>(), 1..200),
        rounds in prop::collection::vec(prop::collection::vec(any::<(u8, u16)>(), 1..50), 1..4),
        interrupted: bool,
        restarts: bool,
        end_every_round: bool,
    ) {
        let mut sender = recording(frames);
        let mut server = Assembly::new(BURST, OWNER);
        let sent: Vec<_> = core::iter::from_fn(|| sender.take_unsent()).collect();
        prop_assert_eq!(sent.len(), usize::from(frames));
        carry(&mut server, sent, &live);
        let got: BTreeSet<_> = server.frames().iter().map(|(number, _)| number).collect();
        if interrupted {
            server.interrupt();
            server.interrupt();
        }
        let (last, digest) = sender.end().unwrap();
        prop_assert_eq!(last, FrameNo(frames));
        let mut status = server.end(OWNER, last, digest).unwrap();
        let mut log = appends(&mut server);
        let mut saved = server.take_unsaved();

        // Each unlucky link is followed by one that lets everything through.
        for fate in rounds.iter().chain([&vec![(1, 0)]].into_iter().cycle()).take(rounds.len() + 20) {
            if status.complete {
                break;
            }
            prop_assert!(!status.missing.is_empty());
            let asked: Vec<_> =
                sender.asked_for(&status.missing).map(|(number, bytes)| (number, bytes.clone())).collect();
            prop_assert!(!asked.is_empty());
            carry(&mut server, asked, fate);
            if restarts {
                saved.extend(server.take_unsaved());
                log.extend(appends(&mut server));
                let mut stored = Frames::new();
                for (number, bytes) in &saved {
                    stored.insert(*number, bytes.clone()).unwrap();
                }
                server = Assembly::restore(BURST, OWNER, stored, server.phase());
            }
            status = if end_every_round || server.status().is_none() {
                server.end(OWNER, last, digest).unwrap()
            } else {
                server.status().unwrap()
            };
        }
        prop_assert!(status.complete);
        prop_assert_eq!(server.phase(), Phase::Complete { last, digest });
        let heard: Vec<_> = server.frames().iter().collect();
        let spoken: Vec<_> = sender.frames().iter().collect();
        prop_assert_eq!(heard, spoken);
        prop_assert_eq!(server.frames().digest(last), Some(digest));

        saved.extend(server.take_unsaved());
        let numbers: BTreeSet<_> = saved.iter().map(|(number, _)| *number).collect();
        prop_assert_eq!((numbers.len(), saved.len()), (usize::from(frames), usize::from(frames)), "each is stored once");

        log.extend(appends(&mut server));
        prop_assert_eq!(server.end(OWNER, last, digest).unwrap(), status);
        server.interrupt();
        log.extend(appends(&mut server));
        let lacked = (1..=frames).any(|n| !got.contains(&FrameNo(n)));
        let last_received = got.last().copied().unwrap_or_default();
        let missing = missing_by_hand(&got, frames, MISSING_RANGES_MAX);
        let completed = EventBody::BurstCompleted { burst: BURST, last, digest };
        let expected = if interrupted {
            vec![EventBody::BurstInterrupted { burst: BURST, last_received }, completed]
        } else if lacked {
            vec![EventBody::BurstCommitted { burst: BURST, last, digest, missing }, completed]
        } else {
            vec![EventBody::BurstCommitted { burst: BURST, last, digest, missing: vec![] }]
        };
        prop_assert_eq!(log, expected);
    }

    #[test]
    fn frames_are_a_map_with_bounds(
        operations in prop::collection::vec((0..80_u16, 0..3_u8), 0..200), last in 0..90_u16, ranges_max in 0..12_usize,
        from in 0..90_u16, newest in 0..20_usize,
    ) {
        let mut frames = Frames::new();
        let mut map: BTreeMap<u16, Bytes> = BTreeMap::new();
        let mut stored = vec![];
        for (number, content) in operations {
            let bytes = Bytes::from(vec![content; usize::from(content) + 1]);
            let expected = match map.get(&number) {
                _ if number == 0 => Err(OutOfBounds::Number(FrameNo(0))),
                None => Ok(Inserted::New),
                Some(present) if *present == bytes => Ok(Inserted::Duplicate),
                Some(_) => Ok(Inserted::Conflict),
            };
            if number > 0 {
                map.entry(number).or_insert(bytes.clone());
            }
            prop_assert_eq!(frames.insert(FrameNo(number), bytes), expected);
            if content == 2 {
                stored.extend(frames.take_unsaved());
            }
        }
        stored.extend(frames.take_unsaved());
        prop_assert_eq!(stored.len(), map.len());
        let stored: BTreeMap<_, _> = stored.into_iter().map(|(number, bytes)| (number.0, bytes)).collect();
        prop_assert_eq!(&stored, &map);
        prop_assert_eq!(frames.len(), map.len());
        prop_assert_eq!(frames.bytes(), map.values().map(Bytes::len).sum::<usize>());
        prop_assert_eq!(frames.highest().map(|highest| highest.0), map.keys().next_back().copied());

        let there: BTreeSet<_> = map.keys().map(|number| FrameNo(*number)).collect();
        let present: Vec<_> = frames.present().into_iter().flat_map(|range| range.from.0..=range.to.0).collect();
        prop_assert_eq!(present, map.keys().copied().collect::<Vec<_>>());
        prop_assert!(frames.present().windows(2).all(|pair| pair[0].to.0 + 1 < pair[1].from.0), "ranges are as wide as can be");
        prop_assert_eq!(frames.missing(FrameNo(last), ranges_max), missing_by_hand(&there, last, ranges_max));
        let complete = (1..=last).all(|number| map.contains_key(&number));
        prop_assert_eq!(frames.is_complete(FrameNo(last)), complete);
        prop_assert_eq!(frames.digest(FrameNo(last)).is_some(), complete);
        let within: Vec<_> = frames.range(range(from, last)).map(|(number, _)| number.0).collect();
        prop_assert_eq!(within, map.keys().copied().filter(|n| (from..=last).contains(n)).collect::<Vec<_>>());

        let edge: Vec<_> = frames.late_entry(newest).into_iter().map(|(number, _)| number.0).collect();
        let top = map.keys().next_back().copied().unwrap_or(0);
        let mut expected: Vec<_> = (1..=top).rev().take_while(|n| map.contains_key(n)).take(newest).collect();
        expected.reverse();
        prop_assert_eq!(edge, expected);
    }
}

fn missing_by_hand(there: &BTreeSet<FrameNo>, last: u16, ranges_max: usize) -> Vec<FrameRange> {
    let mut ranges: Vec<FrameRange> = vec![];
    for n in (1..=last).filter(|n| !there.contains(&FrameNo(*n))) {
        match ranges.last_mut() {
            Some(range) if range.to.0 + 1 == n => range.to = FrameNo(n),
            _ => ranges.push(range(n, n)),
        }
    }
    ranges.truncate(ranges_max);
    ranges
}

#[test]
fn the_digest_is_pinned() {
    // printf '\x00\x01\x00\x02ab\x00\x02\x00\x01c' | sha256sum
    let mut frames = Frames::new();
    frames.insert(FrameNo(2), Bytes::from_static(b"c")).unwrap();
    assert_eq!(frames.digest(FrameNo(2)), None, "frame 1 is missing");
    frames.insert(FrameNo(1), Bytes::from_static(b"ab")).unwrap();
    assert_eq!(
        frames.digest(FrameNo(2)).unwrap().to_string(),
        "c7de64259e995082e9138838d9bdb41c2fd4cfd796dfa0fdf4224235fc3f2e36"
    );
    assert_ne!(frames.digest(FrameNo(1)), frames.digest(FrameNo(2)));
}

#[test]
fn frames_have_bounds() {
    let mut frames = Frames::new();
    let frame = |length| Bytes::from(vec![7; length]);
    let above = FrameNo(FRAMES_PER_BURST_MAX + 1);
    assert_eq!(frames.insert(above, frame(1)), Err(OutOfBounds::Number(above)));
    assert_eq!(frames.insert(FrameNo(1), frame(0)), Err(OutOfBounds::Length(0)));
    assert_eq!(frames.insert(FrameNo(1), frame(FRAME_BYTES_MAX + 1)), Err(OutOfBounds::Length(FRAME_BYTES_MAX + 1)));
    assert!(frames.is_empty());
    assert_eq!(frames.insert(FrameNo(FRAMES_PER_BURST_MAX), frame(FRAME_BYTES_MAX)), Ok(Inserted::New));

    let mut number = 0;
    let refused = loop {
        number += 1;
        match frames.insert(FrameNo(number), frame(FRAME_BYTES_MAX)) {
            Ok(inserted) => assert_eq!(inserted, Inserted::New),
            Err(refused) => break refused,
        }
    };
    assert_eq!(refused, OutOfBounds::Full { has: frames.bytes(), found: FRAME_BYTES_MAX });
    assert!(frames.bytes() <= BURST_BYTES_MAX && frames.bytes() + FRAME_BYTES_MAX > BURST_BYTES_MAX);
    let left = BURST_BYTES_MAX - frames.bytes();
    assert_eq!(frames.insert(FrameNo(number), frame(left)), Ok(Inserted::New), "the bound itself is allowed");
    assert_eq!(frames.missing(FrameNo(u16::MAX), 9), [range(number + 1, FRAMES_PER_BURST_MAX - 1)]);
}

#[test]
fn the_first_bytes_stay() {
    let mut frames = Frames::new();
    assert_eq!(frames.insert(FrameNo(1), payload(1)), Ok(Inserted::New));
    assert_eq!(frames.insert(FrameNo(1), payload(2)), Ok(Inserted::Conflict));
    assert_eq!(frames.insert(FrameNo(1), payload(1)), Ok(Inserted::Duplicate));
    assert_eq!((frames.frame(FrameNo(1)), frames.bytes()), (Some(&payload(1)), payload(1).len()));
}

#[test]
fn what_could_not_be_stored_is_offered_again() {
    let mut frames = Frames::new();
    for n in 1..=3 {
        frames.insert(FrameNo(n), payload(n)).unwrap();
    }
    assert_eq!(frames.take_unsaved().len(), 3);
    assert_eq!(frames.take_unsaved(), []);
    frames.not_saved([FrameNo(2), FrameNo(9)]);
    frames.insert(FrameNo(4), payload(4)).unwrap();
    assert_eq!(frames.take_unsaved(), [(FrameNo(2), payload(2)), (FrameNo(4), payload(4))]);
}

#[test]
fn a_recording_sends_each_frame_once_and_can_skip() {
    let mut sender = recording(3);
    assert_eq!(sender.take_unsent(), Some((FrameNo(1), payload(1))));
    assert_eq!(sender.skip_unsent(), 2);
    assert_eq!(sender.take_unsent(), None);
    sender.push(payload(4)).unwrap();
    assert_eq!(sender.take_unsent(), Some((FrameNo(4), payload(4))));
    let asked: Vec<_> = sender.asked_for(&[range(2, 3), range(4, 900), range(9, 1)]).map(|(n, _)| n.0).collect();
    assert_eq!(asked, [2, 3, 4]);
}

#[test]
fn a_recording_ends_once() {
    let mut sender = Recording::new();
    assert_eq!(sender.end(), None, "nothing was recorded");
    assert!(!sender.is_ended());
    sender.push(payload(1)).unwrap();
    let end = sender.end();
    assert_eq!(end, Some((FrameNo(1), sender.frames().digest(FrameNo(1)).unwrap())));
    assert_eq!(sender.push(payload(2)), Err(PushRefused::Ended(FrameNo(1))));
    assert_eq!(sender.end(), end);
}

#[test]
fn a_recording_has_bounds() {
    let mut sender = Recording::new();
    assert_eq!(sender.push(Bytes::new()), Err(PushRefused::Length(0)));
    for n in 1..=FRAMES_PER_BURST_MAX {
        assert_eq!(sender.push(Bytes::from_static(b"x")), Ok(FrameNo(n)));
    }
    assert_eq!(sender.push(Bytes::from_static(b"x")), Err(PushRefused::Full));
    assert_eq!(sender.end().map(|(last, _)| last), Some(FrameNo(FRAMES_PER_BURST_MAX)));

    let mut sender = Recording::new();
    while sender.push(Bytes::from(vec![1; FRAME_BYTES_MAX])).is_ok() {}
    assert_eq!(sender.push(Bytes::from(vec![1; FRAME_BYTES_MAX])), Err(PushRefused::Full));
    assert!(sender.frames().bytes() + FRAME_BYTES_MAX > BURST_BYTES_MAX);
}

#[test]
fn a_recording_comes_back_from_the_store() {
    let mut before = recording(5);
    let stored = before.take_unsaved();
    let mut after = Recording::restore(stored.clone()).unwrap();
    assert_eq!(after.take_unsaved(), []);
    assert_eq!(after.end(), before.end());
    let holed = stored.into_iter().filter(|(number, _)| number.0 != 3);
    let hole = RestoreError::Hole { expected: FrameNo(3), found: FrameNo(4) };
    assert_eq!(Recording::restore(holed).unwrap_err(), hole);
}

fn ended(frames: u16) -> (FrameNo, BurstDigest) {
    recording(frames).end().unwrap()
}

#[test]
fn only_the_owner_fills_and_ends_a_burst() {
    let mut server = Assembly::new(BURST, OWNER);
    assert_eq!(server.insert(OTHER, FrameNo(1), payload(1)), Err(FrameRefused::NotOwner));
    let (last, digest) = ended(1);
    assert_eq!(server.end(OTHER, last, digest), Err(EndRefused::NotOwner));
    assert!(server.frames().is_empty());
    assert_eq!((server.phase(), appends(&mut server)), (Phase::Live, vec![]));
}

#[test]
fn an_end_that_contradicts_is_refused_and_changes_nothing() {
    let mut server = Assembly::new(BURST, OWNER);
    for n in [1, 2, 4] {
        server.insert(OWNER, FrameNo(n), payload(n)).unwrap();
    }
    let (_, other) = ended(3);
    let (last, digest) = ended(5);
    assert_eq!(server.end(OWNER, FrameNo(0), digest), Err(EndRefused::Last(FrameNo(0))));
    let above = FrameNo(FRAMES_PER_BURST_MAX + 1);
    assert_eq!(server.end(OWNER, above, digest), Err(EndRefused::Last(above)));
    assert_eq!((server.phase(), server.status()), (Phase::Live, None));

    let status = Status { complete: false, missing: vec![range(3, 3), range(5, 5)] };
    assert_eq!(server.end(OWNER, last, digest), Ok(status.clone()));
    assert_eq!(server.end(OWNER, last, digest), Ok(status.clone()));
    let contradicts = Err(EndRefused::Contradicts { last, digest });
    assert_eq!(server.end(OWNER, last, other), contradicts);
    assert_eq!(server.end(OWNER, FrameNo(6), digest), contradicts);
    assert_eq!(server.end(OWNER, FrameNo(3), digest), contradicts);
    assert_eq!((server.phase(), server.status()), (Phase::Ended { last, digest }, Some(status)));
    let beyond = FrameRefused::BeyondEnd { last, found: FrameNo(6) };
    assert_eq!(server.insert(OWNER, FrameNo(6), payload(6)), Err(beyond));
    assert_eq!(appends(&mut server).len(), 1);
}

/// What was sent last may not have reached the disk of a device that died.
#[test]
fn a_device_that_forgot_what_it_sent_last_ends_the_burst_with_what_was_received() {
    let (last, digest) = ended(3);
    for interrupted in [false, true] {
        let mut server = Assembly::new(BURST, OWNER);
        for n in [1, 2, 3, 4, 5, 7] {
            server.insert(OWNER, FrameNo(n), payload(n)).unwrap();
        }
        if interrupted {
            server.interrupt();
        }
        let complete = Ok(Status { complete: true, missing: vec![] });
        assert_eq!(server.end(OWNER, last, digest), complete);
        let (whole, over) = ended(5);
        assert_eq!(server.phase(), Phase::Complete { last: whole, digest: over });
        let told = appends(&mut server);
        let expected = if interrupted {
            EventBody::BurstCompleted { burst: BURST, last: whole, digest: over }
        } else {
            EventBody::BurstCommitted { burst: BURST, last: whole, digest: over, missing: vec![] }
        };
        assert_eq!(told.last(), Some(&expected));
        // Its answer may be lost, and storage asked instead of memory.
        let mut again = Assembly::restore(BURST, OWNER, server.frames().clone(), server.phase());
        assert_eq!(again.end(OWNER, last, digest), complete);
        let (_, other) = ended(2);
        assert_eq!(again.end(OWNER, last, other), Err(EndRefused::Contradicts { last: whole, digest: over }));
        assert!(appends(&mut again).is_empty());
    }
}

#[test]
fn a_digest_over_other_frames_is_refused() {
    let (last, digest) = ended(2);
    let mut server = Assembly::new(BURST, OWNER);
    server.insert(OWNER, FrameNo(1), payload(9)).unwrap();
    server.insert(OWNER, FrameNo(2), payload(2)).unwrap();
    let received = server.frames().digest(last).unwrap();
    let differs = EndRefused::DigestDiffers { last, received, stated: digest };
    assert_eq!(server.end(OWNER, last, digest), Err(differs));
    assert_eq!((server.phase(), appends(&mut server)), (Phase::Live, vec![]));
    let problem = Problem::from(differs);
    assert!(problem.is(ProblemKind::Conflict) && problem.field.as_deref() == Some("digest"));

    // The same, where it shows only once the repair came.
    let mut server = Assembly::new(BURST, OWNER);
    server.insert(OWNER, FrameNo(1), payload(9)).unwrap();
    server.end(OWNER, last, digest).unwrap();
    assert_eq!(server.insert(OWNER, FrameNo(2), payload(2)), Ok(Inserted::New));
    assert_eq!(server.end(OWNER, last, digest), Err(differs));
    assert_eq!(server.status(), Some(Status { complete: false, missing: vec![] }));
    assert_eq!(appends(&mut server).len(), 1, "committed, never completed");
}

#[test]
fn a_burst_without_a_frame_is_interrupted_at_zero() {
    let mut server = Assembly::new(BURST, OWNER);
    server.interrupt();
    let expected = EventBody::BurstInterrupted { burst: BURST, last_received: FrameNo(0) };
    assert_eq!(appends(&mut server), [expected]);
}

#[test]
fn missing_ranges_are_told_in_portions() {
    let mut server = Assembly::new(BURST, OWNER);
    let sender = recording(300);
    for n in (2..=300).step_by(2) {
        server.insert(OWNER, FrameNo(n), payload(n)).unwrap();
    }
    let (last, digest) = ended(300);
    let status = server.end(OWNER, last, digest).unwrap();
    assert_eq!(status.missing.len(), MISSING_RANGES_MAX);
    for (number, bytes) in sender.asked_for(&status.missing) {
        server.insert(OWNER, number, bytes.clone()).unwrap();
    }
    let status = server.end(OWNER, last, digest).unwrap();
    assert_eq!(status.missing[0].from, FrameNo(129));
}

#[test]
fn a_restart_between_the_last_frame_and_its_event_completes() {
    let (last, digest) = ended(2);
    let mut frames = Frames::new();
    for n in 1..=2 {
        frames.insert(FrameNo(n), payload(n)).unwrap();
    }
    let mut server = Assembly::restore(BURST, OWNER, frames, Phase::Ended { last, digest });
    assert_eq!(appends(&mut server), [EventBody::BurstCompleted { burst: BURST, last, digest }]);
    assert_eq!(server.take_unsaved(), [], "storage has them");
    assert_eq!((server.burst(), server.owner()), (BURST, OWNER));
}
