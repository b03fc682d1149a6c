//! Durable sends on this disk: how many a second, and how long each waits for its ack. Prints figures and judges nothing.
//!
//! `cargo run --release -p holler-lab --example durable [FOLDER] [SECONDS]`: FOLDER (default: the current one) should lie on the
//! disk that is to be measured.

#![expect(clippy::print_stdout, reason = "its purpose is to print figures")]

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use holler_core::model::{EventBody, Role};
use holler_core::units::{ClientId, DeviceId, RoomId, UnixMs, UserId};
use holler_server::keys::KeyRing;
use holler_server::storage::{Append, NoHooks, Store, log};

const ROOMS: u8 = 8;
const TEXT: &str = "We are at gate four, all quiet here. Over.";

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().unwrap_or_else(|| ".".to_owned()));
    let seconds = args.next().map_or(Ok(5), |text| text.parse()).context("SECONDS")?;
    let span = Duration::from_secs(seconds);
    let top = tempfile::tempdir_in(&folder)?;

    let mut syncs = sync_times(top.path(), span)?;
    print("4 KiB appended and synced, bare file", span, &mut syncs);
    for (writers, in_flight) in [(1, 1), (64, 1), (64, 4), (64, 16)] {
        let mut waits = sends(top.path(), writers, in_flight, span).await?;
        print(&format!("{writers} writers, {in_flight} in flight each"), span, &mut waits);
    }
    Ok(())
}

fn print(name: &str, span: Duration, waits: &mut [Duration]) {
    waits.sort_unstable();
    let at = |permille: usize| {
        let index = (waits.len() * permille / 1_000).min(waits.len().saturating_sub(1));
        waits.get(index).copied().unwrap_or_default().as_secs_f64() * 1e3
    };
    let rate = waits.len() as f64 / span.as_secs_f64();
    println!("{name:37} {rate:>8.0}/s  p50 {:>7.2} ms  p99 {:>7.2} ms  max {:>7.2} ms", at(500), at(990), at(1_000));
}

fn sync_times(folder: &Path, span: Duration) -> anyhow::Result<Vec<Duration>> {
    let mut file = OpenOptions::new().create_new(true).append(true).open(folder.join("bare"))?;
    let mut times = Vec::new();
    let begin = Instant::now();
    while begin.elapsed() < span {
        let at = Instant::now();
        file.write_all(&[0x5a; 4_096])?;
        file.sync_data()?;
        times.push(at.elapsed());
    }
    Ok(times)
}

async fn sends(top: &Path, writers: u8, in_flight: u8, span: Duration) -> anyhow::Result<Vec<Duration>> {
    let folder = tempfile::tempdir_in(top)?;
    let store = Store::open(folder.path(), KeyRing::ephemeral()?, Arc::new(NoHooks))?;
    for room in 0..ROOMS {
        let vault = store.vault().clone();
        store.write(move |db| log::create(db, &vault, RoomId::from_bytes([room; 16]))).await?;
    }
    let number = Arc::new(AtomicU64::new(0));
    let begin = Instant::now();
    let mut tasks = tokio::task::JoinSet::new();
    for writer in (0..writers).flat_map(|writer| std::iter::repeat_n(writer, usize::from(in_flight))) {
        let (store, number) = (store.clone(), Arc::clone(&number));
        tasks.spawn(async move {
            let mut waits = Vec::new();
            while begin.elapsed() < span {
                let send = append(writer, number.fetch_add(1, Ordering::Relaxed));
                let at = Instant::now();
                store.append(send).await?;
                waits.push(at.elapsed());
            }
            anyhow::Ok(waits)
        });
    }
    let mut waits = Vec::new();
    while let Some(task) = tasks.join_next().await {
        waits.extend(task??);
    }
    store.close().await;
    Ok(waits)
}

fn append(writer: u8, number: u64) -> Append {
    // Spread over the table, as the random ids of real clients are.
    let spread = u128::from(number).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    Append {
        room: RoomId::from_bytes([writer % ROOMS; 16]),
        user: UserId::from_bytes([writer; 16]),
        device: DeviceId::from_bytes([writer; 16]),
        role: Role::Talker,
        client_id: ClientId::from_bytes(spread.to_be_bytes()),
        epoch: None,
        body: EventBody::MessagePosted { text: TEXT.to_owned(), reply_to: None },
        received_at: UnixMs(1_790_000_000_000),
    }
}
