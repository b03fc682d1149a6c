//! `sync`: a client that knows nothing gets all of a long log.

use std::time::Instant;

use anyhow::Result;
use holler_core::units::{Cursor, RequestId, Seq};
use holler_core::wire::socket::{ClientMessage, ServerMessage};

use super::Setting;
use super::fleet::{Client, Thread};
use super::machine::{Usage, cpu_of};
use super::report::Bench;
use super::rounds::{Contender, Rounds, Sample};
use super::wire::Wire;
use super::world::{Plan, World};

const EVENTS: u64 = 100_000;
const PEOPLE: u64 = 50;

/// Runs it.
pub(super) fn run(setting: &Setting) -> Result<Bench> {
    let thread = Thread::new()?;
    let world = World::start(setting, &Plan { people: PEOPLE, rooms: vec![(0, PEOPLE)], events: EVENTS })?;
    let pid = world.pid()?;
    let database = world.database();
    let rounds = Rounds::run(
        setting.pairs,
        &mut [
            Contender::new("ours", || thread.run(fetch(&world, pid))),
            Contender::new("rows", || setting.cores.on_servers(|| rows(&database))),
        ],
    )?;
    let mut bench = Bench::new(
        "A client subscribes from the first event of a room with 100,000 messages of 42 characters, and reads until it has the last one. \
         Beside it the same rows, sealed as they lie in the database, read by SQLite alone.",
    );
    bench.discarded = rounds.discarded;
    bench.compare(&rounds, ("100,000 events", "s"), ("ours", "s"), &[("SELECT of the rows", "rows", "s")], None);
    bench.compare(&rounds, ("events", "events/s"), ("ours", "rate"), &[], None);
    bench.compare(&rounds, ("on the way", "MB"), ("ours", "mb"), &[], None);
    bench.compare(&rounds, ("CPU of the server an event", "µs"), ("ours", "cpu"), &[], None);
    Ok(bench)
}

async fn fetch(world: &World, pid: u32) -> Result<Sample> {
    let room = world.rooms[0];
    let mut client = Client::connect(Wire::Holler, world.address()?, &world.tls()?).await?;
    client.sign_in(&world.people[0].token, Vec::new()).await?;
    let subscribe =
        |cursor| ClientMessage::Subscribe { request: RequestId(2), room, cursor, voice: false, presence: false };
    client.say(&subscribe(None)).await?;
    let head = loop {
        if let Some(ServerMessage::Subscribed { head, .. }) = client.next().await?.ours()? {
            break head;
        }
    };
    client.say(&ClientMessage::Unsubscribe { room }).await?;
    let (usage, cpu) = (Usage::begin(), cpu_of(pid)?);
    let begin = Cursor { incarnation: head.incarnation, seq: Seq(0) };
    client.say(&subscribe(Some(begin))).await?;
    let (mut events, mut bytes) = (0, 0);
    while events < EVENTS {
        let message = client.next().await?;
        bytes += message.content.len();
        events += Wire::Holler.messages(message.kind, &message.content);
    }
    let (seconds, cpu) = (usage.elapsed().as_secs_f64(), (cpu_of(pid)? - cpu).as_secs_f64());
    let (events, mb) = (EVENTS as f64, bytes as f64 / 1e6);
    Ok(Sample::new(
        usage.share(),
        [("s", seconds), ("rate", events / seconds), ("mb", mb), ("cpu", cpu * 1e6 / events)],
    ))
}

fn rows(database: &std::path::Path) -> Result<Sample> {
    let db = rusqlite::Connection::open_with_flags(database, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let began = Instant::now();
    let mut select = db.prepare("SELECT * FROM events ORDER BY room_id, seq")?;
    let columns = select.column_count();
    let mut rows = select.query([])?;
    let mut count = 0_u64;
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            std::hint::black_box(row.get_ref(column)?);
        }
        count += 1;
    }
    anyhow::ensure!(count == EVENTS, "{count} rows of {EVENTS}");
    Ok(Sample::new(0.0, [("s", began.elapsed().as_secs_f64())]))
}
