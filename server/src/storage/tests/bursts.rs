use bytes::Bytes;
use holler_core::log::End;
use holler_core::model::{BurstDigest, BurstHeader, Codec, EventBody, FrameRange, Priority};
use holler_core::units::{Bitrate, BurstId, BurstStep, Epoch, FrameMs, FrameNo, UnixMs};

use super::log::{ROOM, append, room};
use super::*;

const BURST: BurstId = BurstId::from_bytes([5; 16]);

fn started(spoken_ago_ms: u64) -> EventBody {
    let header = BurstHeader {
        burst: BURST,
        codec: Codec::Opus,
        frame_ms: FrameMs::Ms20,
        bitrate: Bitrate(24_000),
        key_epoch: Epoch(0),
    };
    EventBody::BurstStarted { header, token: None, priority: Priority::Elevated, spoken_ago_ms, uncertainty_ms: 0 }
}

fn frames(numbers: impl IntoIterator<Item = u16>) -> Vec<(FrameNo, Bytes)> {
    numbers.into_iter().map(|number| (FrameNo(number), Bytes::from(vec![number.to_be_bytes()[1]; 60]))).collect()
}

fn range(from: u16, to: u16) -> FrameRange {
    FrameRange { from: FrameNo(from), to: FrameNo(to) }
}

#[tokio::test]
async fn a_burst_is_recorded_from_its_events_and_filled_by_chunks() {
    let folders = Folders::new();
    let store = folders.open();
    room(&store, ROOM).await;
    let refused = store.put_frames(ROOM, BURST, frames(1..=5)).await.unwrap_err();
    assert!(matches!(refused, StoreError::OutOfBounds(_)), "{refused}");

    store.append(append(1, BURST.client_id(BurstStep::Started), started(400))).await.unwrap();
    assert_eq!(store.open_bursts(ROOM).await.unwrap(), [BURST]);
    assert_eq!(store.put_frames(ROOM, BURST, frames(1..=50)).await.unwrap(), 50);
    assert_eq!(store.put_frames(ROOM, BURST, frames((61..=80).chain(40..=52))).await.unwrap(), 22);
    let record = store.burst(ROOM, BURST).await.unwrap().unwrap();
    assert_eq!(record.present, [range(1, 52), range(61, 80)]);
    assert_eq!((record.spoken_at, record.priority, record.end), (UnixMs(600), Priority::Elevated, End::Open));
    assert_eq!(record.bytes, 72 * 60);

    let digest = BurstDigest([7; 32]);
    let committed = EventBody::BurstCommitted { burst: BURST, last: FrameNo(80), digest, missing: vec![range(53, 60)] };
    store.append(append(1, BURST.client_id(BurstStep::Ended), committed)).await.unwrap();
    let record = store.burst(ROOM, BURST).await.unwrap().unwrap();
    assert_eq!((record.end, record.complete), (End::Committed { last: FrameNo(80), digest }, false));
    assert!(store.open_bursts(ROOM).await.unwrap().is_empty());

    store.close().await;
    let store = folders.open();
    assert_eq!(store.put_frames(ROOM, BURST, frames(53..=60)).await.unwrap(), 8);
    let completed = EventBody::BurstCompleted { burst: BURST, last: FrameNo(80), digest };
    store.append(append(1, BURST.client_id(BurstStep::Completed), completed)).await.unwrap();
    let record = store.burst(ROOM, BURST).await.unwrap().unwrap();
    assert_eq!((record.complete, record.present), (true, vec![range(1, 80)]));
    assert_eq!(store.frames(ROOM, BURST, FrameNo(1), FrameNo(u16::MAX)).await.unwrap(), frames(1..=80));
    assert_eq!(store.frames(ROOM, BURST, FrameNo(50), FrameNo(62)).await.unwrap(), frames(50..=62));
    assert!(store.frames(ROOM, BURST, FrameNo(9), FrameNo(8)).await.unwrap().is_empty());
}

#[tokio::test]
async fn frames_that_are_there_stay_and_bad_ones_store_nothing() {
    let folders = Folders::new();
    let store = folders.open();
    room(&store, ROOM).await;
    store.append(append(1, BURST.client_id(BurstStep::Started), started(0))).await.unwrap();
    store.put_frames(ROOM, BURST, frames([1])).await.unwrap();
    let forged = vec![(FrameNo(1), Bytes::from_static(b"forged"))];
    assert_eq!(store.put_frames(ROOM, BURST, forged).await.unwrap(), 0);
    for bad in [
        vec![(FrameNo(0), Bytes::from_static(b"x"))],
        vec![(FrameNo(15_001), Bytes::from_static(b"x"))],
        vec![(FrameNo(3), Bytes::new())],
        vec![(FrameNo(3), Bytes::from(vec![0; 1_308]))],
    ] {
        let mut all = frames([2]);
        all.extend(bad);
        assert!(matches!(store.put_frames(ROOM, BURST, all).await, Err(StoreError::OutOfBounds(_))));
    }
    let large = |from: u16| (from..from + 3_000).map(|n| (FrameNo(n), Bytes::from(vec![1; 1_300]))).collect::<Vec<_>>();
    store.put_frames(ROOM, BURST, large(10)).await.unwrap();
    assert!(matches!(store.put_frames(ROOM, BURST, large(5_000)).await, Err(StoreError::OutOfBounds(_))));
    assert_eq!(store.frames(ROOM, BURST, FrameNo(1), FrameNo(9)).await.unwrap(), frames([1]));
}

#[tokio::test]
async fn a_chunk_that_was_swapped_or_relabelled_does_not_open() {
    let folders = Folders::new();
    let store = folders.open();
    room(&store, ROOM).await;
    store.append(append(1, BURST.client_id(BurstStep::Started), started(0))).await.unwrap();
    store.put_frames(ROOM, BURST, frames(1..=5)).await.unwrap();
    store.put_frames(ROOM, BURST, frames(6..=10)).await.unwrap();
    store
        .write(|db| -> Result<_, StoreError> {
            Ok(db.execute(
                "UPDATE chunks SET frames = (SELECT frames FROM chunks WHERE chunk = 1) WHERE chunk = 0",
                [],
            )?)
        })
        .await
        .unwrap();
    assert!(matches!(store.frames(ROOM, BURST, FrameNo(1), FrameNo(5)).await, Err(StoreError::Sealed(_))));
    assert_eq!(store.frames(ROOM, BURST, FrameNo(6), FrameNo(10)).await.unwrap(), frames(6..=10));
}

#[tokio::test]
async fn retention_takes_the_frames_of_old_bursts_along() {
    let folders = Folders::new();
    let store = folders.open();
    room(&store, ROOM).await;
    let started = store.append(append(1, BURST.client_id(BurstStep::Started), started(0))).await.unwrap();
    let first = started.event.seq;
    store.put_frames(ROOM, BURST, frames(1..=5)).await.unwrap();
    store.write(move |db| crate::storage::log::retain(db, ROOM, first)).await.unwrap();
    assert_eq!(count(&store, "chunks").await, 1);
    store.write(move |db| crate::storage::log::retain(db, ROOM, first.next())).await.unwrap();
    assert_eq!(count(&store, "chunks").await, 0);
    assert_eq!(store.burst(ROOM, BURST).await.unwrap(), None);
}
