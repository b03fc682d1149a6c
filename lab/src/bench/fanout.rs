//! `fanout`: one message to a thousand subscribers.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use holler_core::units::RequestId;
use holler_core::wire::socket::Follow;

use super::Setting;
use super::durable::{Numbers, said};
use super::fleet::{Client, Deliveries, Tally, Thread, crowd, subscribe};
use super::machine::{Usage, cpu_of};
use super::peers::{self, Peer};
use super::report::{Bench, Wanted};
use super::rounds::{Contender, Rounds, Sample, percentile};
use super::wire::Wire;
use super::world::{Plan, TEXT, World};

const SUBSCRIBERS: usize = 1_000;
const SPAN: Duration = Duration::from_millis(2_000);
/// One at a time: so many a second.
const EVERY: Duration = Duration::from_millis(50);
/// Pipelined: so many one after the other, again and again.
const BATCH: u64 = 16;
const BATCH_EVERY: Duration = Duration::from_millis(400);

/// A server with its subscribers and somebody who publishes.
struct Field<'a> {
    pid: u32,
    publisher: Client,
    tally: Rc<Tally>,
    /// A message to everybody.
    message: Box<dyn Fn() -> Vec<u8> + 'a>,
}

/// Runs it.
pub(super) fn run(setting: &Setting) -> Result<Bench> {
    let thread = Thread::new()?;
    let numbers = Numbers::default();
    let people = SUBSCRIBERS as u64 + 1;
    let world = World::start(setting, &Plan { people, rooms: vec![(0, people)], events: 0 })?;
    let ours = RefCell::new(ours(&world, &thread, &numbers)?);
    let nats = Peer::start(setting, Wire::Nats, &world.certificate())?;
    let redis = Peer::start(setting, Wire::Redis, &world.certificate())?;
    let nats_field =
        nats.as_ref().map(|peer| theirs(&world, &thread, peer, Wire::Nats).map(RefCell::new)).transpose()?;
    let redis_field =
        redis.as_ref().map(|peer| theirs(&world, &thread, peer, Wire::Redis).map(RefCell::new)).transpose()?;
    let mut contenders = Vec::new();
    for (one, many, field) in [
        ("ours", "ours piped", Some(&ours)),
        ("nats", "nats piped", nats_field.as_ref()),
        ("redis", "redis piped", redis_field.as_ref()),
    ] {
        let Some(field) = field else { continue };
        contenders.push(Contender::new(one, || publish(&thread, &mut field.borrow_mut(), 1, EVERY)));
        contenders.push(Contender::new(many, || publish(&thread, &mut field.borrow_mut(), BATCH, BATCH_EVERY)));
    }
    let rounds = Rounds::run(setting.pairs, &mut contenders)?;
    drop(contenders);
    let mut bench = Bench::new(&format!(
        "One message of {} characters to {SUBSCRIBERS} subscribers over TLS: one every {} ms, and {BATCH} in one go every {} ms, the same \
         load for each server. Ours stores and syncs each message before it is delivered, and delivers an event of about 350 bytes with its \
         author, number and time; NATS and Redis store nothing and deliver the text.",
        TEXT.len(),
        EVERY.as_millis(),
        BATCH_EVERY.as_millis()
    ));
    bench.discarded = rounds.discarded;
    let others =
        |contender: [&'static str; 2], value: &'static str| -> Vec<(&'static str, &'static str, &'static str)> {
            let mut list = Vec::new();
            for (name, contender, wire) in
                [("NATS over TLS", contender[0], Wire::Nats), ("Redis over TLS", contender[1], Wire::Redis)]
            {
                if peers::absent(wire).is_none() {
                    list.push((name, contender, value));
                }
            }
            list
        };
    let goal: Wanted<'_> =
        ("≤ 0.6 × NATS over TLS", |_, ratios| ratios.first().is_some_and(|nats| nats.median <= 0.6));
    bench.compare(
        &rounds,
        ("CPU a delivery, one at a time", "µs"),
        ("ours", "cpu"),
        &others(["nats", "redis"], "cpu"),
        Some(goal),
    );
    let piped = others(["nats piped", "redis piped"], "cpu");
    bench.compare(&rounds, ("CPU a delivery, pipelined", "µs"), ("ours piped", "cpu"), &piped, Some(goal));
    let last = others(["nats", "redis"], "p50");
    bench.compare(&rounds, ("until the last of 1,000 has it, p50", "ms"), ("ours", "p50"), &last, None);
    let last = others(["nats piped", "redis piped"], "p50");
    bench.compare(&rounds, ("until the last has 16 of them, p50", "ms"), ("ours piped", "p50"), &last, None);
    bench.note(
        "Profile of one at a time (perf, of all CPU of a delivery): the kernel's write into the connection 46 of 100, the queue of the socket 12, \
         timers 10 (none is made any more where the socket takes the message at once), TLS 10, WebSocket 7. The kernel's part is one write a \
         subscriber, which each of the others makes, too: 0.6 × NATS would leave nothing for the rest.",
    );
    for wire in [Wire::Nats, Wire::Redis] {
        peers::absent(wire).into_iter().for_each(|note| bench.note(note));
    }
    Ok(bench)
}

fn ours<'a>(world: &World, thread: &Thread, numbers: &'a Numbers) -> Result<Field<'a>> {
    let (address, tls, room) = (world.address()?, world.tls()?, world.rooms[0]);
    let mut clients = thread.run(crowd(SUBSCRIBERS + 1, 32, |at| {
        let (tls, token) = (Arc::clone(&tls), world.people[at].token.clone());
        async move {
            let mut client = Client::connect(Wire::Holler, address, &tls).await?;
            let follow = Follow { request: RequestId(1), room, cursor: None, voice: false, presence: false };
            // The publisher, the last one, only writes.
            client.sign_in(&token, if at < SUBSCRIBERS { vec![follow] } else { vec![] }).await?;
            Ok(client)
        }
    }))?;
    let publisher = clients.remove(SUBSCRIBERS);
    let message = Box::new(move || said(room, numbers));
    field(thread, world.pid()?, publisher, clients, message)
}

fn theirs<'a>(world: &World, thread: &Thread, peer: &Peer, wire: Wire) -> Result<Field<'a>> {
    let (address, tls) = (peer.address, world.tls()?);
    let mut clients = thread.run(crowd(SUBSCRIBERS + 1, 32, |at| {
        let tls = Arc::clone(&tls);
        async move {
            let mut client = Client::connect(wire, address, &tls).await?;
            let subscribe = at < SUBSCRIBERS;
            if wire == Wire::Nats {
                let verb = if subscribe { "SUB bench 1\r\n" } else { "" };
                client.hello(format!("CONNECT {{\"verbose\":false}}\r\n{verb}PING\r\n").as_bytes()).await?;
            } else if subscribe {
                client.hello(b"SUBSCRIBE bench\r\n").await?;
            }
            Ok(client)
        }
    }))?;
    let publisher = clients.remove(SUBSCRIBERS);
    let bytes = if wire == Wire::Nats {
        format!("PUB bench {}\r\n{TEXT}\r\n", TEXT.len())
    } else {
        format!("*3\r\n$7\r\nPUBLISH\r\n$5\r\nbench\r\n${}\r\n{TEXT}\r\n", TEXT.len())
    };
    field(thread, peer.pid(), publisher, clients, Box::new(move || bytes.clone().into_bytes()))
}

fn field<'a>(
    thread: &Thread,
    pid: u32,
    publisher: Client,
    subscribers: Vec<Client>,
    message: Box<dyn Fn() -> Vec<u8> + 'a>,
) -> Result<Field<'a>> {
    let tally = Rc::new(Tally::default());
    thread.run(async {
        for client in subscribers {
            Thread::spawn(subscribe(client, Rc::clone(&tally), Deliveries::Messages));
        }
        Ok(())
    })?;
    Ok(Field { pid, publisher, tally, message })
}

/// `batch` messages every `every`, each time until all have them.
fn publish(thread: &Thread, field: &mut Field<'_>, batch: u64, every: Duration) -> Result<Sample> {
    thread.run(async {
        let (usage, cpu, before) = (Usage::begin(), cpu_of(field.pid)?, field.tally.delivered());
        let began = Instant::now();
        let (mut waits, mut due) = (Vec::new(), began);
        while began.elapsed() < SPAN {
            tokio::time::sleep_until(due.into()).await;
            due += every;
            let at = Instant::now();
            let bytes: Vec<u8> = (0..batch).flat_map(|_| (field.message)()).collect();
            let wanted = field.tally.delivered() + batch * SUBSCRIBERS as u64;
            field.publisher.send(&bytes).await?;
            field.tally.reach(wanted).await?;
            waits.push(at.elapsed().as_secs_f64() * 1e3);
        }
        // Acks, and what other servers answer their publishers, are read outside of what is timed.
        let deliveries = (field.tally.delivered() - before) as f64;
        let cpu = (cpu_of(field.pid)? - cpu).as_secs_f64() * 1e6 / deliveries;
        Ok(Sample::new(
            usage.share(),
            [("cpu", cpu), ("p50", percentile(&mut waits, 500)), ("p99", percentile(&mut waits, 990))],
        ))
    })
}
