//! Bursts that were spoken offline, or without the floor, and are brought afterwards.

use holler_core::units::BurstStep;
use holler_core::wire::limits::OFFERS_OPEN_MAX;

use super::*;

impl Client {
    async fn offer(&self, header: BurstHeader, spoken_ago_ms: u64, recording: &mut Recording) {
        let (last, digest) = recording.end().unwrap();
        let (request, priority, uncertainty_ms) = (RequestId(70), Priority::Normal, 40);
        let offer = Offer { request, header, priority, spoken_ago_ms, uncertainty_ms, last, digest };
        let connection = Arc::clone(&self.connection);
        assert!(self.home.send(Command::BurstOffer { connection, offer: Box::new(offer) }).await);
    }

    async fn repair(&self, burst: BurstId, recording: &Recording, numbers: impl IntoIterator<Item = u16>) {
        for number in numbers.into_iter().map(FrameNo) {
            let payload = recording.frames().frame(number).unwrap().clone();
            self.say(VoiceKind::Repair, burst, FloorToken::default(), number, &payload).await;
        }
    }
}

async fn kinds(store: &Store) -> Vec<&'static str> {
    store.events(ROOM, Seq(0), 100).await.unwrap().iter().map(|event| event.body.kind()).collect()
}

#[tokio::test]
async fn a_burst_spoken_offline_is_begun_filled_and_ended_without_the_floor_and_once_only() {
    let top = tempfile::tempdir().unwrap();
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    let holder = Client::join(&homes, clock, 2, Role::Talker, None).await;
    holder.ask(1, Priority::Normal, false, header(9)).await;
    holder.granted().await;
    let (header, mut recording) = (header(1), recording(5));
    talker.offer(header, 7_200_000, &mut recording).await;
    let started = holder
        .until(|message| match message {
            ServerMessage::Events { events, .. } => events.into_iter().map(|event| event.body).find(
                |body| matches!(body, EventBody::BurstStarted { header: begun, .. } if begun.burst == header.burst),
            ),
            _ => None,
        })
        .await;
    let (token, priority, spoken_ago_ms, uncertainty_ms) = (None, Priority::Normal, 7_200_000, 40);
    assert_eq!(started, EventBody::BurstStarted { header, token, priority, spoken_ago_ms, uncertainty_ms });
    assert_eq!(talker.status().await, Ok((false, vec![1, 2, 3, 4, 5])));
    talker.repair(header.burst, &recording, 1..=5).await;
    talker.end(header.burst, &mut recording).await;
    assert_eq!(talker.status().await, Ok((true, vec![])));
    let committed = holder.event("burst.committed").await;
    let (last, digest) = recording.end().unwrap();
    assert_eq!(committed, EventBody::BurstCommitted { burst: header.burst, last, digest, missing: vec![] });
    assert_eq!(store.frames(ROOM, header.burst, FrameNo(1), FrameNo(5)).await.unwrap().len(), 5);
    // Offered again, also to a restarted server: nothing is begun twice.
    talker.offer(header, 7_300_000, &mut recording).await;
    assert_eq!(talker.status().await, Ok((true, vec![])));
    homes.drain().await;
    drop((homes, talker, holder));
    store.close().await;
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    talker.offer(header, 7_400_000, &mut recording).await;
    assert_eq!(talker.status().await, Ok((true, vec![])));
    assert_eq!(kinds(&store).await, ["burst.started", "burst.started", "burst.committed", "burst.interrupted"]);
}

#[tokio::test]
async fn bursts_of_one_device_begin_in_the_order_in_which_they_were_offered() {
    let top = tempfile::tempdir().unwrap();
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    for burst in [5, 3, 8, 1, 7] {
        talker.offer(header(burst), 1_000, &mut recording(2)).await;
    }
    for _ in 0..5 {
        assert_eq!(talker.status().await, Ok((false, vec![1, 2])));
    }
    let begun: Vec<u8> =
        store.events(ROOM, Seq(0), 100).await.unwrap().iter().map(|e| e.client_id.bytes()[0]).collect();
    let expected: Vec<u8> =
        [5, 3, 8, 1, 7].map(|burst| header(burst).burst.client_id(BurstStep::Started).bytes()[0]).to_vec();
    assert_eq!(begun, expected);
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on_where_it_stopped_after_a_restart() {
    let top = tempfile::tempdir().unwrap();
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    let (header, mut recording) = (header(1), recording(6));
    talker.offer(header, 60_000, &mut recording).await;
    assert_eq!(talker.status().await.unwrap().1.len(), 6);
    talker.repair(header.burst, &recording, [1, 2, 5]).await;
    homes.drain().await;
    drop((homes, talker));
    store.close().await;
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    talker.offer(header, 90_000, &mut recording).await;
    assert_eq!(talker.status().await, Ok((false, vec![3, 4, 6])));
    talker.repair(header.burst, &recording, [3, 4, 6]).await;
    assert_eq!(talker.status().await, Ok((true, vec![])));
    assert_eq!(kinds(&store).await, ["burst.started", "burst.interrupted", "burst.completed"]);
}

#[tokio::test]
async fn offers_are_bounded_and_a_burst_stays_its_devices_own() {
    let top = tempfile::tempdir().unwrap();
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    let other = Client::join(&homes, clock, 2, Role::Talker, None).await;
    let most = u8::try_from(OFFERS_OPEN_MAX).unwrap();
    for burst in 1..=most {
        talker.offer(header(burst), 1_000, &mut recording(2)).await;
        talker.status().await.unwrap();
    }
    talker.offer(header(most + 1), 1_000, &mut recording(2)).await;
    let (request, burst, problem) = talker
        .until(|message| match message {
            ServerMessage::Refused { request, burst, problem, .. } => Some((request, burst, problem)),
            _ => None,
        })
        .await;
    assert_eq!((request, burst), (Some(RequestId(70)), Some(header(most + 1).burst)));
    assert!(problem.is(ProblemKind::Unavailable) && problem.retry_after_s.is_some(), "{problem}");
    // Others are not held up, and nobody takes another's burst.
    other.offer(header(most + 2), 1_000, &mut recording(2)).await;
    other.status().await.unwrap();
    other.offer(header(1), 1_000, &mut recording(2)).await;
    assert_eq!(other.status().await, Err("urn:holler:problem:forbidden".to_owned()));
    // One that is settled makes room.
    talker.repair(header(1).burst, &recording(2), 1..=2).await;
    talker.end(header(1).burst, &mut recording(2)).await;
    assert_eq!(talker.status().await, Ok((true, vec![])));
    talker.offer(header(most + 1), 1_000, &mut recording(2)).await;
    talker.status().await.unwrap();
    assert_eq!(store.open_bursts(ROOM).await.unwrap().len(), usize::from(most) + 1);
}

#[tokio::test]
async fn a_burst_that_retention_removed_is_not_begun_again() {
    let top = tempfile::tempdir().unwrap();
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    talker.offer(header(1), 1_000, &mut recording(2)).await;
    talker.status().await.unwrap();
    talker.repair(header(1).burst, &recording(2), 1..=2).await;
    talker.end(header(1).burst, &mut recording(2)).await;
    talker.status().await.unwrap();
    store.write(move |db| log::retain(db, ROOM, Seq(3))).await.unwrap();
    talker.offer(header(1), 1_000, &mut recording(2)).await;
    assert_eq!(talker.status().await, Err("urn:holler:problem:not-found".to_owned()));
    assert_eq!(store.log_head(ROOM).await.unwrap().unwrap().head, Seq(2));
}

#[tokio::test]
async fn while_the_disk_is_full_who_brings_a_burst_is_told_so_at_each_time_of_asking() {
    let top = tempfile::tempdir().unwrap();
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    store.look(10, 100).await;
    for _ in 0..2 {
        talker.offer(header(1), 1_000, &mut recording(3)).await;
        assert_eq!(talker.status().await, Err(Problem::new(ProblemKind::StorageFull, "").kind.into_owned()));
    }
    store.look(u64::MAX, 100).await;
    assert_eq!(talker.status().await, Ok((false, vec![1, 2, 3])), "begun, and nothing of it is there yet");
}
