//! `floor`: how soon the floor is granted.

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use anyhow::Result;
use holler_core::burst::Recording;
use holler_core::units::{BurstId, RequestId, RoomId};
use holler_core::wire::socket::{ClientMessage, Follow, ServerMessage};

use super::Setting;
use super::durable::{Numbers, sockets, together};
use super::fleet::{Client, Thread};
use super::machine::Usage;
use super::report::{Bench, Goal};
use super::rounds::{Contender, Rounds, Sample, percentile};
use super::voice::{answer, end, floor, say_frame};
use super::wire::Wire;
use super::world::{Plan, World, spread};

/// Presses of a run, and how long from one to the next: what one socket may send in a minute bounds it.
const PRESSES: usize = 40;
const EVERY: Duration = Duration::from_millis(35);
/// Writers that load the server meanwhile.
const WRITERS: usize = 64;

/// Runs it.
pub(super) fn run(setting: &Setting) -> Result<Bench> {
    let thread = Thread::new()?;
    let people = WRITERS as u64 + 1;
    let world = World::start(setting, &Plan { people, rooms: vec![(0, people)], events: 0 })?;
    let writers = RefCell::new(sockets(&world, &thread, WRITERS)?);
    let (address, tls, room) = (world.address()?, world.tls()?, world.rooms[0]);
    let talker = RefCell::new(thread.run(async {
        let mut client = Client::connect(Wire::Holler, address, &tls).await?;
        let follow = Follow { request: RequestId(1), room, cursor: None, voice: true, presence: false };
        client.sign_in(&world.people[WRITERS].token, vec![follow]).await?;
        Ok(client)
    })?);
    let (numbers, bursts) = (Numbers::default(), Cell::new(0));
    let press = |load: usize| {
        let (mut talker, mut writers) = (talker.borrow_mut(), writers.borrow_mut());
        let usage = Usage::begin();
        let until = Instant::now() + EVERY * u32::try_from(PRESSES)?;
        let found = thread.run(async {
            let presses = presses(&mut talker, room, &bursts);
            let each = writers.iter_mut().take(load).map(|socket| vec![socket]);
            let load = together(each, &world.rooms, (1, usize::MAX), &numbers, until);
            Ok(tokio::try_join!(presses, load)?.0)
        })?;
        let (mut trips, mut grants) = found;
        let (trip, grant) = (percentile(&mut trips, 500), percentile(&mut grants, 950));
        let above: f64 = grant - trip;
        Ok(Sample::new(
            usage.share(),
            [
                ("trip", trip),
                ("p50", percentile(&mut grants, 500)),
                ("p95", grant),
                ("p99", percentile(&mut grants, 990)),
                ("above", above),
            ],
        ))
    };
    let rounds = Rounds::run(
        setting.pairs,
        &mut [Contender::new("quiet", || press(0)), Contender::new("loaded", || press(WRITERS))],
    )?;
    let mut bench = Bench::new(&format!(
        "From `floor.request` to `floor.granted` on one socket, {PRESSES} presses a round, each ended after one frame; beside it the round trip of a \
         `ping` on the same socket. Loaded: {WRITERS} writers send messages into the same room meanwhile, as fast as they are answered."
    ));
    bench.discarded = rounds.discarded;
    let trip = [("round trip, median", "quiet", "trip")];
    bench.compare(&rounds, ("grant, p50", "ms"), ("quiet", "p50"), &trip, None);
    bench.compare(&rounds, ("grant, p95", "ms"), ("quiet", "p95"), &trip, None);
    let above = rounds.spread("quiet", "above");
    let goal = Goal { text: "p95 ≤ round trip + 3 ms".to_owned(), met: above.median <= 3.0 };
    bench.alone("grant, p95, above the round trip", "ms", above, Some(goal));
    bench.compare(
        &rounds,
        ("grant under load, p99", "ms"),
        ("loaded", "p99"),
        &[("round trip, median", "loaded", "trip")],
        Some(("≤ 150 ms", |ours, _| ours.median <= 150.0)),
    );
    Ok(bench)
}

async fn presses(talker: &mut Client, room: RoomId, bursts: &Cell<u64>) -> Result<(Vec<f64>, Vec<f64>)> {
    let (mut trips, mut grants) = (Vec::new(), Vec::new());
    let mut due = Instant::now();
    for nonce in 0..u32::try_from(PRESSES)? {
        tokio::time::sleep_until(due.into()).await;
        due += EVERY;
        let at = Instant::now();
        talker.say(&ClientMessage::Ping { nonce, rtt_us: None, next_ms: None }).await?;
        answer(talker, |message| matches!(message, ServerMessage::Pong { .. }).then_some(())).await?;
        trips.push(at.elapsed().as_secs_f64() * 1e3);
        bursts.set(bursts.get() + 1);
        let at = Instant::now();
        let burst = BurstId::from_bytes(spread(bursts.get()));
        let token = floor(talker, room, burst).await?;
        grants.push(at.elapsed().as_secs_f64() * 1e3);
        // The shortest burst: one frame, then its end, which gives up the floor.
        let mut recording = Recording::new();
        say_frame(talker, burst, token, &mut recording).await?;
        end(talker, room, burst, &mut recording).await?;
    }
    Ok((trips, grants))
}
