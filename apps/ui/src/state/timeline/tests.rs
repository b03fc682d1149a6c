//! A log in pages, its chunks, and what is not of the log.

use holler_core::model::{BurstDigest, BurstHeader, Codec, Priority};
use holler_core::units::{Bitrate, DeviceId, Epoch, FrameNo, RoomId, UnixMs};
use holler_core::wire::problem::{Problem, ProblemKind};

use super::*;

const USER: UserId = UserId::from_bytes([1; 16]);
const BURST: BurstId = BurstId::from_bytes([4; 16]);

fn event(seq: u64, body: EventBody) -> Event {
    let mut name = [0; 16];
    name[..8].copy_from_slice(&seq.to_be_bytes());
    Event {
        room: RoomId::from_bytes([1; 16]),
        seq: Seq(seq),
        received_at: UnixMs(seq),
        user: USER,
        device: DeviceId::from_bytes([7; 16]),
        client_id: ClientId::from_bytes(name),
        body,
    }
}

fn posted(seq: u64) -> Event {
    event(seq, EventBody::MessagePosted { text: format!("text {seq}"), reply_to: None })
}

fn edited(seq: u64, target: u64, text: &str) -> Event {
    event(seq, EventBody::MessageEdited { target: Seq(target), text: text.into() })
}

fn started(seq: u64) -> Event {
    let header = BurstHeader {
        burst: BURST,
        codec: Codec::Opus,
        frame_ms: FrameMs::Ms20,
        bitrate: Bitrate(24_000),
        key_epoch: Epoch(0),
    };
    let body = EventBody::BurstStarted {
        header,
        token: None,
        priority: Priority::Normal,
        spoken_ago_ms: 0,
        uncertainty_ms: 0,
    };
    event(seq, body)
}

fn text(timeline: &Timeline, seq: u64) -> Option<(Option<&str>, bool)> {
    match timeline.get(Seq(seq))? {
        Item::Text(text) => Some((text.text.as_deref(), text.edited)),
        other @ (Item::Burst(_) | Item::Emergency { .. } | Item::Seen { .. } | Item::Gap { .. }) => panic!("{other:?}"),
    }
}

/// However a log is cut into pages that come newest first, it looks as if it had come in order.
#[test]
fn pages_that_come_newest_first_show_what_the_whole_log_shows() {
    let end = BurstDigest([0; 32]);
    let committed = EventBody::BurstCommitted { burst: BURST, last: FrameNo(50), digest: end, missing: vec![] };
    let log = [
        posted(1),
        posted(2),
        started(3),
        posted(4),
        edited(5, 1, "first"),
        event(6, EventBody::MessageDeleted { target: Seq(2) }),
        event(7, committed),
        edited(8, 1, "second"),
        edited(9, 4, "four"),
    ];
    let mut whole = Timeline::default();
    log.iter().for_each(|event| _ = whole.event(event));
    assert_eq!(text(&whole, 1), Some((Some("second"), true)));
    assert_eq!(text(&whole, 2), Some((None, false)));
    for first in 1..log.len() {
        for second in first..=log.len() {
            let mut pages = Timeline::default();
            log[second..].iter().for_each(|event| _ = pages.event(event));
            pages.older(&log[first..second]);
            pages.older(&log[..first]);
            assert_eq!(pages.items, whole.items, "{first} {second}");
            assert_eq!(pages.last_burst(), whole.last_burst(), "{first} {second}");
        }
    }
}

#[test]
fn chunks_keep_their_place_while_older_ones_come_and_the_oldest_give_way() {
    let mut timeline = Timeline::default();
    let log: Vec<_> = (1..=300).map(posted).collect();
    log[200..].iter().for_each(|event| _ = timeline.event(event));
    let (first, end) = timeline.chunks();
    let newest = timeline.chunk(end - 1);
    timeline.older(&log[100..200]);
    timeline.older(&log[..100]);
    assert_eq!((timeline.chunks().1, timeline.chunk(end - 1)), (end, newest));
    assert!(timeline.chunks().0 < first);
    let (first, end) = timeline.chunks();
    let all: Vec<_> = (first..end).flat_map(|chunk| timeline.chunk(chunk)).collect();
    assert_eq!(all, timeline.iter().cloned().collect::<Vec<_>>());
    assert_eq!((first..end).map(|chunk| timeline.chunk_len(chunk)).sum::<usize>(), 300);
}

#[test]
fn what_this_client_saw_stands_where_it_was_seen() {
    let mut timeline = Timeline::default();
    timeline.event(&posted(1));
    timeline.saw(USER, Some(5), Seen::Joined);
    timeline.event(&posted(2));
    assert!(matches!(timeline.iter().nth(1), Some(Item::Seen { what: Seen::Joined, .. })));
    assert!(text(&timeline, 1).is_some() && text(&timeline, 2).is_some());
    timeline.gap(Seq(9));
    timeline.event(&posted(9));
    assert!(text(&timeline, 9).is_some() && timeline.len() == 5);
    timeline.gap(Seq(3));
    assert_eq!(timeline.len(), 1, "numbers that come again are another log's");
}

/// What is not played at all, as nobody is to be disturbed or another room goes first, is told before the log has it.
#[test]
fn a_burst_is_missed_also_where_that_is_told_before_its_event() {
    let ended = |seq| {
        let digest = BurstDigest([0; 32]);
        event(seq, EventBody::BurstCompleted { burst: BURST, last: FrameNo(5), digest })
    };
    for (told, missed) in [(&[HeardState::Missed][..], 1), (&[HeardState::Missed, HeardState::Elsewhere], 0)] {
        let mut timeline = Timeline::default();
        told.iter().for_each(|state| timeline.heard(BURST, *state));
        timeline.event(&started(1));
        timeline.heard(BURST, HeardState::Complete);
        timeline.event(&ended(2));
        assert_eq!(timeline.missed().count(), missed, "{told:?}");
    }
}

#[test]
fn a_change_on_its_way_is_shown_until_it_is_there_or_refused() {
    let mut timeline = Timeline::default();
    timeline.event(&posted(1));
    let id = ClientId::from_bytes([9; 16]);
    timeline.change(Seq(1), id);
    let problem = Problem::new(ProblemKind::StorageFull, "no room left");
    // In the words of the language that is spoken, not in the server's.
    let (full, refused) = (words::say("problem-storage-full", &[]), words::say("problem-rate-limited", &[]));
    let put_off = |timeline: &Timeline| matches!(timeline.get(Seq(1)), Some(Item::Text(text)) if text.put_off.as_ref() == Some(&full));
    timeline.sent(id, SendState::PutOff { problem });
    assert!(put_off(&timeline));
    timeline.sent(id, SendState::Acked { seq: Seq(2), received_at: UnixMs(0) });
    let changing =
        |timeline: &Timeline| matches!(timeline.get(Seq(1)), Some(Item::Text(text)) if text.changing.is_some());
    assert!(changing(&timeline) && !put_off(&timeline));
    timeline.event(&edited(2, 1, "one"));
    assert!(!changing(&timeline));
    assert_eq!(text(&timeline, 1), Some((Some("one"), true)));
    timeline.change(Seq(1), id);
    timeline.sent(id, SendState::Refused { problem: Problem::new(ProblemKind::RateLimited, "slow down") });
    assert!(matches!(timeline.get(Seq(1)), Some(Item::Text(text)) if text.refused.as_ref() == Some(&refused)));
}
