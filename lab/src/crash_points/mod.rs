//! Stops SQLite at every sync of a scenario, as a machine that loses power does, and opens what is left.
//!
//! The real stores (the server's and the native client's) run a scenario on real files, under a layer that writes down every
//! write and every sync ([`vfs`]). Then, for each sync and for each instant just before one, the files are made as a disk may have
//! them: what was synced is there; of what was written since, nothing, everything, or any sectors. The real store opens each, and
//! what it has must hold everything that was acked until then, whole and in order.
//!
//! A disk that does not keep what it said it had synced is beyond this, as it is beyond SQLite.

mod vfs;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use holler_client::store::Store as LocalStore;
use holler_core::engine::{Restored, Store as Change};
use holler_core::model::{BurstHeader, Codec, EventBody, Priority, Role};
use holler_core::units::{
    Bitrate, BurstId, BurstStep, ClientId, DeviceId, Epoch, FloorToken, FrameMs, FrameNo, RoomId, Seq, UnixMs, UserId,
};
use holler_server::keys::KeyRing;
use holler_server::storage::{Append, NoHooks, Store, log};

use self::vfs::Op;
use crate::chance::Chance;

/// What a disk writes at once.
const SECTOR: usize = 512;
const ROOM: RoomId = RoomId::from_bytes([5; 16]);
/// Writes of each of the server's scenario's rounds, which join one group.
const ROUND: u64 = 7;

/// What came of a scenario.
#[derive(Debug, Default)]
pub struct Report {
    /// Syncs in it.
    pub syncs: usize,
    /// States of the disk that were opened.
    pub states: usize,
    /// What must not be.
    pub faults: Vec<String>,
}

/// What a disk has of a file.
#[derive(Clone, Debug, Default)]
struct Disk {
    /// What was synced.
    kept: Vec<u8>,
    there: bool,
    /// What was done since, in order.
    since: Vec<Op>,
}

impl Disk {
    fn apply(bytes: &mut Vec<u8>, op: &Op, keep: &mut dyn FnMut() -> bool) {
        match op {
            Op::Write { at, bytes: new, .. } => {
                let at = usize::try_from(*at).unwrap_or(usize::MAX);
                if bytes.len() < at + new.len() {
                    bytes.resize(at + new.len(), 0);
                }
                for (sector, part) in new.chunks(SECTOR).enumerate() {
                    if keep() {
                        bytes[at + sector * SECTOR..][..part.len()].copy_from_slice(part);
                    }
                }
            }
            Op::Truncate { size, .. } => {
                if keep() {
                    bytes.resize(usize::try_from(*size).unwrap_or(usize::MAX), 0);
                }
            }
            Op::Sync { .. } | Op::Delete { .. } | Op::Mark(_) => {}
        }
    }

    fn settle(&mut self) {
        for op in std::mem::take(&mut self.since) {
            Self::apply(&mut self.kept, &op, &mut || true);
        }
        self.there = true;
    }
}

/// Which of what was not synced is there.
#[derive(Clone, Copy, Debug)]
enum Left {
    Nothing,
    Everything,
    Sectors(u64),
}

const LEFT: [Left; 4] = [Left::Nothing, Left::Everything, Left::Sectors(1), Left::Sectors(2)];

/// Makes the files of a state in `folder`, which stands for `original`.
fn materialise(files: &BTreeMap<String, Disk>, left: Left, original: &Path, folder: &Path) -> Result<()> {
    for (file, disk) in files {
        let Ok(relative) = Path::new(file).strip_prefix(original) else { continue };
        let mut bytes = disk.kept.clone();
        let mut there = disk.there;
        let mut chance = Chance::new(if let Left::Sectors(seed) = left { seed } else { 0 });
        for op in &disk.since {
            there |= !matches!(left, Left::Nothing);
            match left {
                Left::Nothing => {}
                Left::Everything => Disk::apply(&mut bytes, op, &mut || true),
                Left::Sectors(_) => Disk::apply(&mut bytes, op, &mut || chance.one_in(2)),
            }
        }
        if there {
            std::fs::write(folder.join(relative), bytes).with_context(|| format!("writing {}", relative.display()))?;
        }
    }
    Ok(())
}

/// Every state that a crash in these operations may leave, each with the mark before it. `lies`: the disk keeps nothing that it says
/// it synced, which must be found out.
fn every_state(
    ops: &[Op],
    lies: bool,
    mut visit: impl FnMut(&BTreeMap<String, Disk>, Left, u64, &str) -> Result<()>,
) -> Result<usize> {
    let mut files: BTreeMap<String, Disk> = BTreeMap::new();
    let (mut known, mut syncs) = (0, 0);
    for op in ops {
        match op {
            Op::Write { file, .. } | Op::Truncate { file, .. } => {
                files.entry(file.clone()).or_default().since.push(op.clone());
            }
            Op::Delete { file } => {
                files.remove(file);
            }
            Op::Mark(number) => known = *number,
            Op::Sync { file } => {
                syncs += 1;
                for left in LEFT {
                    visit(&files, left, known, &format!("before sync {syncs}, {left:?}"))?;
                }
                if !lies {
                    files.entry(file.clone()).or_default().settle();
                }
                visit(&files, Left::Nothing, known, &format!("after sync {syncs}"))?;
            }
        }
    }
    for left in LEFT {
        visit(&files, left, known, &format!("at the end, {left:?}"))?;
    }
    Ok(syncs)
}

fn append(number: u64, body: EventBody, client_id: ClientId) -> Append {
    let byte = u8::try_from(number % 5).unwrap_or_default();
    Append {
        room: ROOM,
        user: UserId::from_bytes([byte; 16]),
        device: DeviceId::from_bytes([byte; 16]),
        role: Role::Talker,
        client_id,
        epoch: None,
        body,
        received_at: UnixMs(1_790_000_000_000 + number),
    }
}

fn named(number: u64) -> ClientId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&number.to_be_bytes());
    ClientId::from_bytes(bytes)
}

fn header() -> BurstHeader {
    BurstHeader {
        burst: BurstId::from_bytes([7; 16]),
        codec: Codec::Opus,
        frame_ms: FrameMs::Ms20,
        bitrate: Bitrate(24_000),
        key_epoch: Epoch(0),
    }
}

fn copied(from: &Path, to: &Path, database: &[&str]) -> Result<()> {
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let name = entry.file_name();
        let is_database = name.to_str().is_some_and(|name| database.iter().any(|start| name.starts_with(start)));
        if entry.file_type()?.is_file() && !is_database {
            std::fs::copy(entry.path(), to.join(&name))?;
        }
    }
    Ok(())
}

/// The server's store: groups of sends, the frames of a burst, and a restart in the middle. With a disk that `lies`, faults must
/// be found.
pub fn server(rounds: u64, lies: bool) -> Result<Report> {
    vfs::install()?;
    let top = tempfile::tempdir()?;
    let top = top.path().canonicalize()?;
    let (data, keys) = (top.join("data"), top.join("keys"));
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    vfs::begin();
    runtime.block_on(async {
        let open =
            || -> Result<Store> { Ok(Store::open(&data, KeyRing::load_or_create(&keys, &data)?, Arc::new(NoHooks))?) };
        let mut store = open()?;
        let vault = store.vault().clone();
        store.write(move |db| log::create(db, &vault, ROOM)).await?;
        let body = EventBody::BurstStarted {
            header: header(),
            token: Some(FloorToken { term: 1, counter: 1 }),
            priority: Priority::Normal,
            spoken_ago_ms: 0,
            uncertainty_ms: 0,
        };
        store.append(append(1, body, header().burst.client_id(BurstStep::Started))).await?;
        vfs::mark(1);
        for round in 0..rounds {
            if round == rounds / 2 {
                store.close().await;
                store = open()?;
            }
            let mut sends = tokio::task::JoinSet::new();
            for number in 0..ROUND {
                let number = 2 + round * ROUND + number;
                let text = format!("message {number} {}", "long ".repeat(usize::try_from(number % 90).unwrap_or(1)));
                let body = EventBody::MessagePosted { text, reply_to: None };
                let store = store.clone();
                sends.spawn(async move { store.append(append(number, body, named(number))).await });
            }
            let chunk = (1..=20).map(|n| (frame(round, n), Bytes::from(vec![n; 60]))).collect();
            store.put_frames(ROOM, header().burst, chunk).await?;
            while let Some(sent) = sends.join_next().await {
                sent??;
            }
            vfs::mark(2 + round);
        }
        store.close().await;
        anyhow::Ok(())
    })?;
    let ops = vfs::end();
    let mut report = Report::default();
    report.syncs = every_state(&ops, lies, |files, left, known, place| {
        report.states += 1;
        let fresh = tempfile::tempdir()?;
        let again = fresh.path().join("data");
        std::fs::create_dir(&again)?;
        copied(&data, &again, &["holler.db", "data.db"])?;
        remove_databases(&again)?;
        materialise(files, left, &data, &again)?;
        if let Err(error) = runtime.block_on(look(&again, &keys, known)) {
            report.faults.push(format!("{place}: {error:#}"));
        }
        Ok(())
    })?;
    Ok(report)
}

fn frame(round: u64, number: u8) -> FrameNo {
    FrameNo(u16::try_from(round * 20).unwrap_or_default() + u16::from(number))
}

/// Only what the disk kept is there: no database that was copied with the rest.
fn remove_databases(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.to_str().is_some_and(|path| path.contains(".db")) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Opens what is left: everything up to the mark must be there, in order, and nothing half.
async fn look(data: &Path, keys: &Path, known: u64) -> Result<()> {
    let store = Store::open(data, KeyRing::load_or_create(keys, data)?, Arc::new(NoHooks))?;
    let found = async {
        let Some(head) = store.log_head(ROOM).await? else {
            ensure!(known == 0, "the room is gone");
            return Ok(());
        };
        let mut events = Vec::new();
        while let Some(last) = store.events(ROOM, Seq(events.len() as u64), 500).await?.into_iter().reduce(|a, b| {
            events.push(a);
            b
        }) {
            events.push(last);
        }
        ensure!(events.iter().map(|event| event.seq.0).eq(1..=head.head.0), "a gap, or a head without its event");
        for number in 2..2 + known.saturating_sub(1) * ROUND {
            let there = events.iter().filter(|event| event.client_id == named(number)).count();
            ensure!(there == 1, "acked send {number} is there {there} times");
        }
        let frames = store.frames(ROOM, header().burst, FrameNo(1), FrameNo(15_000)).await?;
        let acked = usize::try_from(known.saturating_sub(1) * 20).unwrap_or(usize::MAX);
        ensure!(frames.len() >= acked, "{} frames, {acked} were stored", frames.len());
        ensure!(frames.len() % 20 == 0, "half a chunk: {} frames", frames.len());
        anyhow::Ok(())
    };
    let found = found.await;
    store.close().await;
    found
}

/// The native client's store: texts, a burst, and what was done with them; `lies` as for [`server`].
pub fn client(rounds: u8, lies: bool) -> Result<Report> {
    vfs::install()?;
    let top = tempfile::tempdir()?;
    let folder = top.path().canonicalize()?.join("client");
    vfs::begin();
    {
        let store = LocalStore::open(&folder, &crate::programs::unlock(), drop)?;
        let header = header();
        store.change(Change::BurstBegun { room: ROOM, header, priority: Priority::Normal, server_time: None });
        store.change(Change::BurstPlaced { burst: header.burst });
        for round in 0..rounds {
            for number in 1..=10 {
                let number = FrameNo(u16::from(round) * 10 + number);
                store.change(Change::Frame { burst: header.burst, number, payload: Bytes::from(vec![round; 60]) });
            }
            let body = EventBody::MessagePosted { text: format!("text {round}"), reply_to: None };
            store.change(Change::Send { room: ROOM, client_id: named(u64::from(round)), body });
            store.flush();
            vfs::mark(u64::from(round) + 1);
        }
    }
    let ops = vfs::end();
    let mut report = Report::default();
    report.syncs = every_state(&ops, lies, |files, left, known, place| {
        report.states += 1;
        let fresh = tempfile::tempdir()?;
        let again: PathBuf = fresh.path().join("client");
        std::fs::create_dir(&again)?;
        copied(&folder, &again, &["client.db"])?;
        materialise(files, left, &folder, &again)?;
        if let Err(error) = look_at_client(&again, known) {
            report.faults.push(format!("{place}: {error:#}"));
        }
        Ok(())
    })?;
    Ok(report)
}

fn look_at_client(folder: &Path, known: u64) -> Result<()> {
    let store = LocalStore::open(folder, &crate::programs::unlock(), drop)?;
    let unfinished = store.unfinished()?;
    for number in 0..known {
        let there = unfinished.iter().filter(|item| is_send(item, named(number))).count();
        ensure!(there == 1, "send {number} was kept and is there {there} times");
    }
    let frames = store.own_frames(header().burst)?;
    ensure!(frames.len() as u64 >= known * 10, "{} frames, {} were kept", frames.len(), known * 10);
    for (at, payload) in frames.iter().enumerate() {
        ensure!(payload.first().map(|byte| usize::from(*byte)) == Some(at / 10), "frame {at} is another's");
    }
    Ok(())
}

fn is_send(item: &Restored, name: ClientId) -> bool {
    matches!(item, Restored::Send { client_id, .. } if *client_id == name)
}
