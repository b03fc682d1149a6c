//! `idle`: what an idle connection costs, and what happens when all of them come back at once.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use holler_core::units::{Cursor, RequestId, RoomId};
use holler_core::wire::socket::{ClientMessage, Follow, ServerMessage};
use rustls::ClientConfig;

use super::Setting;
use super::fleet::{Client, Thread, crowd, own};
use super::machine::{Usage, cpu_of, resident};
use super::peers::{self, Peer};
use super::report::{Bench, Goal};
use super::rounds::{Contender, Rounds, Sample, percentile};
use super::wire::{Wire, is_connack, mqtt_hello};
use super::world::{Person, Plan, World};

/// People in each of their rooms.
const ROOM: usize = 20;
/// Those who talk with the server all the time.
const TALKING: usize = 20;
/// How often each of them asks something.
const ASKS_EVERY: Duration = Duration::from_millis(20);
/// How long they are watched before the storm.
const BEFORE: Duration = Duration::from_millis(1_500);
/// Connections that are made at once before that, where nobody is in a hurry.
const AT_ONCE: usize = 64;
/// For a server to get rid of what it needed for handshakes only.
const SETTLE: Duration = Duration::from_millis(500);

/// Runs it.
pub(super) fn run(setting: &Setting) -> Result<Bench> {
    let idle = setting.clients;
    let people = (idle + TALKING) as u64;
    let rooms = (0..idle as u64).step_by(ROOM).map(|first| (first, (first + ROOM as u64).min(people))).collect();
    let world = RefCell::new(World::make(setting, &Plan { people, rooms, events: 0 })?);
    // The server makes its certificate when it starts.
    world.borrow_mut().serve(setting)?;
    let certificate = world.borrow().certificate();
    let mut contenders = vec![Contender::new("ours", || ours(setting, &mut world.borrow_mut()))];
    if peers::absent(Wire::Mqtt).is_none() {
        let tls = world.borrow().tls()?;
        contenders.push(Contender::new("mosquitto", move || {
            let peer = Peer::start(setting, Wire::Mqtt, &certificate)?.context("mosquitto was there a moment ago")?;
            mosquitto(idle, &peer, &tls)
        }));
    }
    let rounds = Rounds::cold(setting.pairs, &mut contenders)?;
    drop(contenders);
    let mut bench = Bench::new(&format!(
        "{idle} people sign in over TLS, each follows a room of {ROOM} with voice and presence, and does nothing: resident memory of the \
         server, less what it had before, for each. mosquitto over TLS has a subscription for each. Then all of ours are cut off and come \
         back at once, with their TLS session, their resume token and their cursor, while {TALKING} others ask the server something \
         every {} ms. The server has one core, the {idle} clients the other.",
        ASKS_EVERY.as_millis()
    ));
    bench.discarded = rounds.discarded;
    let mosquitto: &[_] =
        if peers::absent(Wire::Mqtt).is_none() { &[("mosquitto over TLS", "mosquitto", "memory")] } else { &[] };
    bench.compare(
        &rounds,
        ("memory of an idle connection", "KB"),
        ("ours", "memory"),
        mosquitto,
        Some(("≤ 12 KB (≤ 6 KB in the end)", |ours, _| ours.median <= 12.0)),
    );
    let connect: &[_] = if mosquitto.is_empty() { &[] } else { &[("mosquitto over TLS", "mosquitto", "cpu")] };
    bench.compare(&rounds, ("CPU of a first connection", "µs"), ("ours", "cpu"), connect, None);
    bench.compare(
        &rounds,
        (&format!("{idle} back after a cut"), "s"),
        ("ours", "storm"),
        &[],
        Some(("≤ 5 s", |ours, _| ours.median <= 5.0)),
    );
    bench.compare(&rounds, ("CPU of a return", "µs"), ("ours", "cpu back"), &[], None);
    bench.compare(&rounds, ("the generator's core meanwhile", "%"), ("ours", "generator"), &[], None);
    bench.compare(&rounds, ("of them with their TLS session", "%"), ("ours", "resumed"), &[], None);
    bench.compare(
        &rounds,
        ("others' round trip meanwhile, p50", "ms"),
        ("ours", "p50 storm"),
        &[("before the storm", "ours", "p50")],
        None,
    );
    let met = rounds.ratio(("ours", "p99 storm"), ("ours", "p99")).median <= 2.0;
    bench.compare(
        &rounds,
        ("others' round trip meanwhile, p99", "ms"),
        ("ours", "p99 storm"),
        &[("before the storm", "ours", "p99")],
        None,
    );
    if let Some(figure) = bench.figures.last_mut() {
        figure.goal = Some(Goal { text: "≤ 2 × before the storm".to_owned(), met });
    }
    bench.note(
        "The others' clients share their core with the 5,000 that come back, so their round trips hold its waits, too.",
    );
    bench.note(
        "Where the memory is (a walk over the heap, KB a connection): the buffer that TLS reads into 4.2, which its library keeps as long as the \
         connection; the reading task 2.6; the state of TLS 1.2 and, beside it, its two ciphers 1.2; the writing task 0.8; ten \
         kinds of smaller objects 5; the rest lies between them. Another allocator does not make it less (tried at 1,500 connections: glibc 21.6, \
         jemalloc 21.5, mimalloc 23.5; glibc with one arena 19.9, which would let threads wait for each other).",
    );
    peers::absent(Wire::Mqtt).into_iter().for_each(|note| bench.note(note));
    Ok(bench)
}

fn follow(room: RoomId, cursor: Option<Cursor>) -> Vec<Follow> {
    vec![Follow { request: RequestId(1), room, cursor, voice: true, presence: true }]
}

fn ours(setting: &Setting, world: &mut World) -> Result<Sample> {
    let idle = setting.clients;
    world.stop()?;
    world.serve(setting)?;
    let (address, tls, pid) = (world.address()?, world.tls()?, world.pid()?);
    let thread = Thread::new()?;
    // What the first connection brings with it is not the price of the others.
    let talking = world.people[idle..].to_vec();
    let first = thread.run(Client::connect(Wire::Holler, address, &tls))?;
    std::thread::sleep(SETTLE);
    let (before, cpu) = (resident(pid)?, cpu_of(pid)?);
    let own: Vec<Arc<ClientConfig>> = (0..idle).map(|_| own(&tls)).collect();
    let welcomes: RefCell<Vec<Option<String>>> = RefCell::new(vec![None; idle]);
    let clients = {
        let (own, people, rooms) = (own.clone(), world.people.clone(), world.rooms.clone());
        let resumes = std::rc::Rc::new(welcomes);
        let kept = std::rc::Rc::clone(&resumes);
        let clients = thread.run(crowd(idle, AT_ONCE, move |at| {
            let (tls, token, room) = (Arc::clone(&own[at]), people[at].token.clone(), rooms[at / ROOM]);
            let resumes = std::rc::Rc::clone(&kept);
            async move {
                let mut client = Client::connect(Wire::Holler, address, &tls).await?;
                if let ServerMessage::Welcome { resume, .. } = client.sign_in(&token, follow(room, None)).await? {
                    resumes.borrow_mut()[at] = resume;
                }
                Ok(client)
            }
        }))?;
        (clients, resumes.borrow().clone())
    };
    let (clients, resumes) = clients;
    std::thread::sleep(SETTLE);
    let memory = (resident(pid)?.saturating_sub(before)) as f64 / idle as f64 / 1_024.0;
    let first_cpu = (cpu_of(pid)? - cpu).as_secs_f64() * 1e6 / idle as f64;

    let stop = Arc::new(AtomicBool::new(false));
    let others = {
        let (stop, tls) = (Arc::clone(&stop), Arc::clone(&tls));
        std::thread::spawn(move || ask(&talking, address, &tls, &stop))
    };
    std::thread::sleep(BEFORE);
    for client in clients {
        client.cut();
    }
    // The server learns of it before they come back.
    let began = Instant::now();
    let (usage, cpu) = (Usage::begin(), cpu_of(pid)?);
    let (rooms, resumes) = (world.rooms.clone(), resumes);
    let back = thread.run(crowd(idle, idle, move |at| {
        let (tls, token, room) = (Arc::clone(&own[at]), resumes[at].clone().unwrap_or_default(), rooms[at / ROOM]);
        async move {
            let mut client = Client::connect(Wire::Holler, address, &tls).await?;
            client.sign_in(&token, follow(room, None)).await?;
            Ok(client)
        }
    }))?;
    let storm = began.elapsed().as_secs_f64();
    let back_cpu = (cpu_of(pid)? - cpu).as_secs_f64() * 1e6 / idle as f64;
    let share = usage.share();
    stop.store(true, Ordering::Relaxed);
    let trips = others.join().map_err(|_| anyhow::anyhow!("those who talk meanwhile failed"))??;
    let resumed = back.iter().filter(|client| client.is_resumed()).count() as f64 * 100.0 / idle as f64;
    let span = |from: Instant, to: Instant| -> Vec<f64> {
        trips.iter().filter(|(at, _)| *at >= from && *at < to).map(|(_, trip)| trip.as_secs_f64() * 1e3).collect()
    };
    let (mut quiet, mut busy) = (span(began - BEFORE, began), span(began, began + Duration::from_secs_f64(storm)));
    for client in back {
        client.cut();
    }
    first.cut();
    // With 5,000 handshakes on its side the generator is busy all the time, too: its share is told, and no round thrown away for it.
    Ok(Sample::new(
        0.0,
        [
            ("generator", share * 100.0),
            ("memory", memory),
            ("cpu", first_cpu),
            ("storm", storm),
            ("cpu back", back_cpu),
            ("resumed", resumed),
            ("p50", percentile(&mut quiet, 500)),
            ("p99", percentile(&mut quiet, 990)),
            ("p50 storm", percentile(&mut busy, 500)),
            ("p99 storm", percentile(&mut busy, 990)),
        ],
    ))
}

/// They ask and are answered until `stop`: when each asked, and how long it took.
fn ask(
    people: &[Person],
    address: std::net::SocketAddr,
    tls: &Arc<ClientConfig>,
    stop: &AtomicBool,
) -> Result<Vec<(Instant, Duration)>> {
    let thread = Thread::new()?;
    thread.run(async {
        let asking = people.iter().enumerate().map(|(at, person)| async move {
            let mut client = Client::connect(Wire::Holler, address, tls).await?;
            client.sign_in(&person.token, Vec::new()).await?;
            let mut trips = Vec::new();
            // Spread over the interval, so that they do not wait for each other.
            let spread = ASKS_EVERY * u32::try_from(at)? / u32::try_from(people.len())?;
            let mut due = Instant::now() + spread;
            let mut nonce = 10;
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep_until(due.into()).await;
                nonce += 1;
                // From when it was due: one that could not be sent in time was late, too.
                client.say(&ClientMessage::Ping { nonce, rtt_us: None, next_ms: None }).await?;
                while !matches!(client.next().await?.ours()?, Some(ServerMessage::Pong { nonce: found, .. }) if found == nonce) {}
                trips.push((due, due.elapsed()));
                due = (due + ASKS_EVERY).max(Instant::now());
            }
            anyhow::Ok(trips)
        });
        Ok(futures_util::future::try_join_all(asking).await?.into_iter().flatten().collect())
    })
}

fn mosquitto(idle: usize, peer: &Peer, tls: &Arc<ClientConfig>) -> Result<Sample> {
    let (address, pid) = (peer.address, peer.pid());
    let thread = Thread::new()?;
    let make = |at: usize| {
        let tls = own(tls);
        async move {
            let mut client = Client::connect(Wire::Mqtt, address, &tls).await?;
            let (connect, subscribe) = mqtt_hello(&format!("c{at}"), &format!("room/{}", at / ROOM));
            client.send(&connect).await?;
            let yes = client.next().await?;
            anyhow::ensure!(is_connack(yes.kind, &yes.content), "mosquitto refused a client");
            client.hello(&subscribe).await?;
            Ok(client)
        }
    };
    let first = thread.run(make(idle))?;
    std::thread::sleep(SETTLE);
    let (before, cpu) = (resident(pid)?, cpu_of(pid)?);
    let clients = thread.run(crowd(idle, AT_ONCE, make))?;
    std::thread::sleep(SETTLE);
    let memory = (resident(pid)?.saturating_sub(before)) as f64 / idle as f64 / 1_024.0;
    let cpu = (cpu_of(pid)? - cpu).as_secs_f64() * 1e6 / idle as f64;
    for client in clients {
        client.cut();
    }
    first.cut();
    Ok(Sample::new(0.0, [("memory", memory), ("cpu", cpu)]))
}
