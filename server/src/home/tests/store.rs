//! Homes whose store takes nothing, and homes that end.

use std::collections::HashSet;

use super::*;

const MIB: u64 = 1024 * 1024;

impl Client {
    async fn answer(&self) -> Result<FloorToken, DenyReason> {
        self.until(|message| match message {
            ServerMessage::FloorGranted { token, .. } => Some(Ok(token)),
            ServerMessage::FloorDenied { reason, .. } => Some(Err(reason)),
            _ => None,
        })
        .await
    }
}

fn numbered(burst: u16) -> BurstHeader {
    let mut id = [7; 16];
    id[..2].copy_from_slice(&burst.to_be_bytes());
    BurstHeader { burst: BurstId::from_bytes(id), ..header(0) }
}

#[tokio::test]
async fn while_the_disk_is_full_people_talk_on_and_it_is_stored_when_there_is_room() {
    let top = tempfile::tempdir().unwrap();
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    let listener = Client::join(&homes, clock, 2, Role::Listener, None).await;
    store.look(10 * MIB, 100 * MIB).await;
    let header = header(1);
    talker.ask(1, Priority::Normal, false, header).await;
    let token = talker.granted().await;
    let mut recording = recording(5);
    while let Some((number, payload)) = recording.take_unsent() {
        talker.say(VoiceKind::Live, header.burst, token, number, &payload).await;
        assert_eq!(listener.voice().await.payload, payload, "heard although it can't be stored");
    }
    talker.end(header.burst, &mut recording).await;
    let full = || Err(Problem::new(ProblemKind::StorageFull, "").kind.into_owned());
    assert_eq!(talker.status().await, full(), "who waits for an answer is told why it takes longer");
    // What comes behind it in the home's queue is answered, so the end was taken in, and nothing of the burst is stored.
    listener.ask(1, Priority::Normal, false, numbered(1)).await;
    listener.granted().await;
    assert_eq!(store.log_head(ROOM).await.unwrap().unwrap().head, Seq(0));
    store.look(u64::MAX, 100 * MIB).await;
    assert_eq!(talker.status().await, Ok((true, vec![])), "told as complete only now");
    let (last, digest) = recording.end().unwrap();
    let committed = EventBody::BurstCommitted { burst: header.burst, last, digest, missing: vec![] };
    assert_eq!(listener.event("burst.committed").await, committed);
    assert_eq!(store.frames(ROOM, header.burst, FrameNo(1), FrameNo(5)).await.unwrap().len(), 5);
}

#[tokio::test]
async fn a_home_whose_store_takes_nothing_denies_by_name_when_it_holds_all_it_may_and_heals() {
    let top = tempfile::tempdir().unwrap();
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    store.look(10 * MIB, 100 * MIB).await;
    let mut granted = 0;
    let denied = loop {
        let header = numbered(granted);
        talker.ask(u32::from(granted), Priority::Normal, false, header).await;
        match talker.answer().await {
            Ok(token) => talker.say(VoiceKind::Live, header.burst, token, FrameNo(1), &Bytes::from(vec![1; 40])).await,
            Err(reason) => break reason,
        }
        talker.end(header.burst, &mut recording(1)).await;
        granted += 1;
        assert!(granted < 1_000, "it holds them without a bound");
    };
    assert_eq!(denied, DenyReason::HomeUnavailable);
    store.look(u64::MAX, 100 * MIB).await;
    // Every burst that was granted gets its events, in order; then the floor is given again.
    let last = numbered(granted - 1).burst;
    let is_last = |event: &Event| matches!(event.body, EventBody::BurstCommitted { burst, .. } if burst == last);
    talker
        .until(|message| match message {
            ServerMessage::Events { events, .. } => events.iter().any(is_last).then_some(()),
            _ => None,
        })
        .await;
    let kinds: Vec<_> = store.events(ROOM, Seq(0), 500).await.unwrap().iter().map(|event| event.body.kind()).collect();
    assert_eq!(kinds, ["burst.started", "burst.committed"].repeat(usize::from(granted)));
    talker.ask(5_000, Priority::Normal, false, numbered(5_000)).await;
    assert!(talker.answer().await.is_ok());
}

#[tokio::test]
async fn a_home_without_use_ends_and_comes_back_with_a_higher_term() {
    let top = tempfile::tempdir().unwrap();
    let (homes, store, clock) = open(top.path()).await;
    let talker = Client::join(&homes, clock, 1, Role::Talker, None).await;
    talker.ask(1, Priority::Normal, false, header(1)).await;
    let token = talker.granted().await;
    let idle = homes.retire(&HashSet::from([ROOM])).await;
    assert!(idle.is_empty() && homes.running(ROOM).is_some(), "somebody follows the room");
    talker.end(header(1).burst, &mut recording(1)).await;
    assert_eq!(talker.status().await, Ok((false, vec![1])));
    talker.leave().await;
    drop(talker);
    let idle = homes.retire(&HashSet::new()).await;
    assert!(idle.contains(&ROOM) && homes.running(ROOM).is_some(), "at the second look only");
    assert!(homes.retire(&idle).await.is_empty());
    assert!(homes.running(ROOM).is_none());
    let head = store.log_head(ROOM).await.unwrap().unwrap().head;
    assert_eq!(head, Seq(2), "what it held is written");

    let again = Client::join(&homes, clock, 2, Role::Talker, None).await;
    again.ask(1, Priority::Normal, false, header(2)).await;
    assert!(again.granted().await > token);
    // The log's events go to the new home.
    again.event("burst.started").await;
}
