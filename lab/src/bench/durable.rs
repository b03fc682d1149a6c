//! `durable`: how many sends a second are stored and synced, and how long each waits for its ack.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use holler_core::model::EventBody;
use holler_core::units::{ClientId, RoomId};
use holler_core::wire::socket::ClientMessage;
use holler_server::keys::KeyRing;
use holler_server::storage::{NoHooks, Store, log};

use super::Setting;
use super::fleet::{Client, Thread, crowd};
use super::machine::{Usage, cpu_of};
use super::report::{Bench, Wanted};
use super::rounds::{Contender, Rounds, Sample, percentile};
use super::wire::{self, Wire};
use super::world::{Person, Plan, TEXT, World, message, spread};

const SPAN: Duration = Duration::from_millis(1_200);
const WRITERS: usize = 64;
const ROOMS: usize = 8;
/// Every socket may send 400 messages at once and 100 a second from then on: a writer goes on to its next socket in time, and those of one
/// run rest during the next three.
const SHIFTS: usize = 4;
const SENDS_A_SOCKET: usize = 360;
/// Sockets of one run.
const SHIFT: usize = 2 * WRITERS;
/// Sends of each writer that wait for their ack when sends are pipelined.
const DEPTH: usize = 4;

/// Runs it.
pub(super) fn run(setting: &Setting) -> Result<Bench> {
    let members = (SHIFT * SHIFTS) as u64;
    let plan = Plan { people: members, rooms: vec![(0, members); ROOMS], events: 0 };
    let world = World::start(setting, &plan)?;
    let thread = Thread::new()?;
    let sockets = sockets(&world, &thread, SHIFT * SHIFTS)?;
    let top = tempfile::tempdir_in(&setting.disk)?;
    let pid = world.pid()?;
    let numbers = Numbers::default();
    let shift = std::cell::Cell::new(0);
    let sockets = std::cell::RefCell::new(sockets);
    let ours = |writers: usize, depth: usize| {
        let at = shift.get();
        shift.set((at + 1) % SHIFTS);
        let mut sockets = sockets.borrow_mut();
        let mut shift = sockets.iter_mut().skip(at * SHIFT).take(SHIFT);
        let writers: Vec<Vec<&mut Client>> =
            (0..writers).map(|_| shift.by_ref().take(SHIFT / writers).collect()).collect();
        let usage = Usage::begin();
        let cpu = cpu_of(pid)?;
        let waits =
            thread.run(together(writers, &world.rooms, (depth, SENDS_A_SOCKET), &numbers, Instant::now() + SPAN))?;
        Ok(sample(&usage, waits, (cpu_of(pid)? - cpu).as_secs_f64()))
    };
    let people = world.people.clone();
    let rounds = Rounds::run(
        setting.pairs,
        &mut [
            Contender::new("sync", || setting.cores.on_servers(|| syncs(top.path()))),
            Contender::new("sqlite", || setting.cores.on_servers(|| commits(top.path()))),
            Contender::new("one", || ours(1, 1)),
            Contender::new("many", || ours(WRITERS, 1)),
            Contender::new("piped", || ours(WRITERS, DEPTH)),
            Contender::new("store", || setting.cores.on_servers(|| store(top.path(), &people))),
        ],
    )?;
    let mut bench = Bench::new(
        "Messages of 42 characters over TLS and the socket to the server, which answers each once it is committed and synced. \
         Beside it one SQLite (WAL, `synchronous=FULL`) with a commit a message, which a server without group commit would do, and the \
         disk: 4 KiB appended to a file and synced, again and again. Writers do not follow the room.",
    );
    bench.discarded = rounds.discarded;
    let commit = ("a SQLite commit a message", "sqlite", "rate");
    bench.compare(&rounds, ("1 writer, one send at a time", "sends/s"), ("one", "rate"), &[commit], None);
    bench.compare(&rounds, ("64 writers, one send at a time", "sends/s"), ("many", "rate"), &[commit], None);
    bench.compare(
        &rounds,
        ("64 writers, 4 sends in flight", "sends/s"),
        ("piped", "rate"),
        &[commit],
        Some(("≥ 20 × one synced commit a message", |_, ratios| ratios[0].median >= 20.0)),
    );
    bench.compare(
        &rounds,
        ("the same into the store, without a socket", "sends/s"),
        ("store", "rate"),
        &[commit],
        None,
    );
    let sync = ("sync of the disk", "sync", "p99");
    let twice: Option<Wanted<'_>> = Some(("≤ 2 × the disk's sync, p99", |_, ratios| ratios[0].median <= 2.0));
    bench.compare(&rounds, ("ack p99, 1 writer", "ms"), ("one", "p99"), &[sync], twice);
    bench.compare(&rounds, ("ack p99, 64 writers", "ms"), ("many", "p99"), &[sync], twice);
    bench.compare(&rounds, ("ack p99, 64 writers, 4 in flight", "ms"), ("piped", "p99"), &[sync], twice);
    let half = ("sync of the disk", "sync", "p50");
    bench.compare(&rounds, ("ack p50, 64 writers, 4 in flight", "ms"), ("piped", "p50"), &[half], None);
    bench.compare(&rounds, ("CPU a send, 64 writers, 4 in flight", "µs"), ("piped", "cpu"), &[], None);
    bench.note(
        "How many times a commit a message this is depends on the disk first: where a sync takes a third of a millisecond, 20 × would be more than \
         one core can take over TLS at the CPU a send that the last line says.",
    );
    bench.note(
        "No server waits to gather a group: a lone send is committed at once, and a group is what came while the last sync ran. So with 256 sends \
         under way an ack waits for the CPU of 256 sends first, and only then for the disk.",
    );
    bench.note(
        "Profile (perf, 54 µs a send, before sends did without savepoints): the writer's thread has 57 of 100, the sockets' tasks have 43. Of the \
         writer's, the commit takes 42 of 100 (pages into the log 20, of which 8 for pages that the file did not have; the sync 17), \
         statements 36, sealing and hashing 8, telling the senders 5. Of the sockets' tasks, writing to the network takes 14 of 100, reading 7, \
         JSON 8. A send writes about one page of 4 KiB by itself: the row that answers its retry, which lies where its random name puts it.",
    );
    Ok(bench)
}

/// Names for sends, each once.
#[derive(Default)]
pub(super) struct Numbers(AtomicU64);

impl Numbers {
    pub(super) fn next(&self) -> ClientId {
        ClientId::from_bytes(spread(self.0.fetch_add(1, Ordering::Relaxed)))
    }
}

/// Signed-in sockets that follow nothing.
pub(super) fn sockets(world: &World, thread: &Thread, count: usize) -> Result<Vec<Client>> {
    let (address, tls) = (world.address()?, world.tls()?);
    thread.run(crowd(count, 16, |at| {
        let (tls, token) = (Arc::clone(&tls), world.people[at].token.clone());
        async move {
            let mut client = Client::connect(Wire::Holler, address, &tls).await?;
            client.sign_in(&token, Vec::new()).await?;
            Ok(client)
        }
    }))
}

/// All of them write until `until`, each over its sockets in turn, at most so many sends over each; how long each send waited, ms.
pub(super) async fn together<'a>(
    writers: impl IntoIterator<Item = Vec<&'a mut Client>>,
    rooms: &[RoomId],
    (depth, most): (usize, usize),
    numbers: &Numbers,
    until: Instant,
) -> Result<Vec<f64>> {
    let writers = writers.into_iter().enumerate().map(|(at, sockets)| async move {
        let mut waits = Vec::new();
        for client in sockets {
            waits.extend(write(client, rooms[at % rooms.len()], (depth, most), numbers, until).await?);
            if Instant::now() >= until {
                return anyhow::Ok(waits);
            }
        }
        bail!("a writer has sent all that its sockets may")
    });
    let waits = futures_util::future::try_join_all(writers).await?;
    Ok(waits.into_iter().flatten().collect())
}

/// Over one socket.
async fn write(
    client: &mut Client,
    room: RoomId,
    (depth, most): (usize, usize),
    numbers: &Numbers,
    until: Instant,
) -> Result<Vec<f64>> {
    let mut waits = Vec::new();
    let mut waiting: VecDeque<Instant> = VecDeque::new();
    loop {
        while waiting.len() < depth && waits.len() + waiting.len() < most && Instant::now() < until {
            client.send(&said(room, numbers)).await?;
            waiting.push_back(Instant::now());
        }
        if waiting.is_empty() {
            return Ok(waits);
        }
        let answer = client.next().await?;
        // Acks come in the order of the sends.
        if answer.content.starts_with(br#"{"type":"ack""#) {
            waits.extend(waiting.pop_front().map(|at| at.elapsed().as_secs_f64() * 1e3));
        } else if answer.content.starts_with(br#"{"type":"refused""#) {
            bail!("a send was refused: {}", String::from_utf8_lossy(&answer.content));
        } else {
            answer.ours()?;
        }
    }
}

/// A send of [`TEXT`].
pub(super) fn said(room: RoomId, numbers: &Numbers) -> Vec<u8> {
    let body = EventBody::MessagePosted { text: TEXT.to_owned(), reply_to: None };
    wire::said(&ClientMessage::Send { room, client_id: numbers.next(), epoch: None, body })
}

fn sample(usage: &Usage, mut waits: Vec<f64>, cpu_s: f64) -> Sample {
    let count = waits.len() as f64;
    let rate = count / usage.elapsed().as_secs_f64();
    let (p50, p99) = (percentile(&mut waits, 500), percentile(&mut waits, 990));
    Sample::new(usage.share(), [("rate", rate), ("p50", p50), ("p99", p99), ("cpu", cpu_s * 1e6 / count.max(1.0))])
}

/// Of work on the server's core there is no generator.
fn bare(began: Instant, mut waits: Vec<f64>) -> Sample {
    let rate = waits.len() as f64 / began.elapsed().as_secs_f64();
    Sample::new(0.0, [("rate", rate), ("p50", percentile(&mut waits, 500)), ("p99", percentile(&mut waits, 990))])
}

fn syncs(folder: &Path) -> Result<Sample> {
    let mut file = OpenOptions::new().create(true).append(true).open(folder.join("bare"))?;
    let (began, mut waits) = (Instant::now(), Vec::new());
    while began.elapsed() < SPAN {
        let at = Instant::now();
        file.write_all(&[0x5a; 4_096])?;
        file.sync_data()?;
        waits.push(at.elapsed().as_secs_f64() * 1e3);
    }
    Ok(bare(began, waits))
}

fn commits(folder: &Path) -> Result<Sample> {
    let db = rusqlite::Connection::open(folder.join("commits.db"))?;
    db.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; \
         CREATE TABLE IF NOT EXISTS messages (room BLOB, seq INTEGER, client_id BLOB UNIQUE, body BLOB, PRIMARY KEY (room, seq)) WITHOUT ROWID",
    )?;
    let mut seq: i64 = db.query_row("SELECT coalesce(max(seq), 0) FROM messages", [], |row| row.get(0))?;
    let mut insert = db.prepare("INSERT INTO messages VALUES (?1, ?2, ?3, ?4)")?;
    let (began, mut waits) = (Instant::now(), Vec::new());
    while began.elapsed() < SPAN {
        let at = Instant::now();
        seq += 1;
        insert.execute(rusqlite::params![[1_u8; 16], seq, spread(u64::try_from(seq)?), [7_u8; 120]])?;
        waits.push(at.elapsed().as_secs_f64() * 1e3);
    }
    Ok(bare(began, waits))
}

/// The server's store, in this process.
fn store(top: &Path, people: &[Person]) -> Result<Sample> {
    let folder = tempfile::tempdir_in(top)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let store = Store::open(folder.path(), KeyRing::ephemeral()?, Arc::new(NoHooks))?;
        let room = |at: usize| RoomId::from_bytes([u8::try_from(at % ROOMS).unwrap_or(0); 16]);
        for at in 0..ROOMS {
            let vault = store.vault().clone();
            store.write(move |db| log::create(db, &vault, room(at))).await?;
        }
        let (number, began) = (Arc::new(AtomicU64::new(0)), Instant::now());
        let mut tasks = tokio::task::JoinSet::new();
        for at in (0..WRITERS).flat_map(|at| std::iter::repeat_n(at, DEPTH)) {
            let (store, number) = (store.clone(), Arc::clone(&number));
            let person = people.get(at).context("fewer people than writers")?.clone();
            tasks.spawn(async move {
                let mut waits = Vec::new();
                while began.elapsed() < SPAN {
                    let append = message(room(at), &person, number.fetch_add(1, Ordering::Relaxed));
                    let sent = Instant::now();
                    store.append(append).await?;
                    waits.push(sent.elapsed().as_secs_f64() * 1e3);
                }
                anyhow::Ok(waits)
            });
        }
        let mut waits = Vec::new();
        while let Some(task) = tasks.join_next().await {
            waits.extend(task??);
        }
        let sample = bare(began, waits);
        store.close().await;
        Ok(sample)
    })
}
