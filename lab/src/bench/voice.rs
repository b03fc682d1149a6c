//! `voice`: what one who talks costs the server when many listen, by datagram and over the socket.

use std::cell::RefCell;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, Algorithm, LessSafeKey, Nonce, UnboundKey};
use bytes::Bytes;
use holler_core::burst::Recording;
use holler_core::model::{BurstHeader, Codec, Priority};
use holler_core::units::{Bitrate, BurstId, Epoch, FloorToken, FrameMs, RequestId, RoomId};
use holler_core::wire::datagram::VOICE_HEADER_BYTES;
use holler_core::wire::sealed;
use holler_core::wire::socket::{ClientMessage, Follow, ServerMessage};
use holler_core::wire::voice::{FrameAge, HEADER_BYTES, VoiceFrame, VoiceKind};
use rustix::time::{ClockId, clock_gettime};

use super::Setting;
use super::fleet::{Client, Deliveries, Tally, Thread, crowd, subscribe};
use super::machine::{Usage, cpu_exactly};
use super::peers::{self, Peer};
use super::report::{Bench, Wanted};
use super::rounds::{Contender, Rounds, Sample, percentile};
use super::udp;
use super::wire::{self, CRYPT_SETUP, Wire, mumble_hello, mumble_voice};
use super::world::{Plan, World, spread};

const LISTENERS: usize = 200;
const ROOMS: usize = 4;
const SPAN: Duration = Duration::from_millis(1_500);
const FRAME: Duration = Duration::from_millis(20);
/// 20 ms of Opus at 32 kbit/s.
const PAYLOAD: usize = 80;
/// A packet that has not come by then is counted as lost.
const LOST_AFTER: Duration = Duration::from_millis(100);
/// Frames before anything is measured.
const WARM: usize = 10;
/// Bytes before a frame in a datagram of ours.
const DATAGRAM_HEAD: usize = sealed::HEADER_BYTES + VOICE_HEADER_BYTES;
/// Packets of a bare loop.
const BARE: usize = 20_000;

/// Runs it.
pub(super) fn run(setting: &Setting) -> Result<Bench> {
    let thread = Thread::new()?;
    let each = LISTENERS as u64 + 1;
    // Each crowd has rooms of its own: the first ones hear over the socket, the others by datagram.
    let rooms = (0..2 * ROOMS as u64).map(|room| (room * each, (room + 1) * each)).collect();
    let world = World::start(setting, &Plan { people: 2 * each * ROOMS as u64, rooms, events: 0 })?;
    let pid = world.pid()?;
    let socket = RefCell::new(rooms_of_ours(&world, &thread, false)?);
    let datagrams = RefCell::new(rooms_of_ours(&world, &thread, true)?);
    let peer = Peer::start(setting, Wire::Mumble, &world.certificate())?;
    let tunnel = peer.as_ref().map(|peer| mumble(&world, &thread, peer, false).map(RefCell::new)).transpose()?;
    // A server of its own for each crowd: whoever is in Mumble's channel hears it.
    let second = Peer::start(setting, Wire::Mumble, &world.certificate())?;
    let udp = second.as_ref().map(|peer| mumble(&world, &thread, peer, true).map(RefCell::new)).transpose()?;
    let mut contenders = vec![
        Contender::new("sendto", || setting.cores.on_servers(sendto)),
        Contender::new("write", || setting.cores.on_servers(|| write(setting))),
        Contender::new("one", || talk(&thread, &mut socket.borrow_mut(), pid, 1)),
        Contender::new("four", || talk(&thread, &mut socket.borrow_mut(), pid, ROOMS)),
        Contender::new("datagrams, one", || talk(&thread, &mut datagrams.borrow_mut(), pid, 1)),
        Contender::new("datagrams, four", || talk(&thread, &mut datagrams.borrow_mut(), pid, ROOMS)),
    ];
    for (name, field, peer) in [("mumble", &tunnel, &peer), ("mumble udp", &udp, &second)] {
        if let (Some(field), Some(peer)) = (field, peer) {
            contenders.push(Contender::new(name, || speak(&thread, &mut field.borrow_mut(), peer.pid())));
        }
    }
    let rounds = Rounds::run(setting.pairs, &mut contenders)?;
    drop(contenders);
    let mut bench = Bench::new(&format!(
        "Somebody talks, 50 frames of {PAYLOAD} bytes a second, and {LISTENERS} others hear it; in one room, and in {ROOMS} rooms at the same \
         time. By datagram: sealed UDP of ours, Mumble's own UDP encryption there. Over the socket: each over a TLS connection of their own, as Mumble's \
         server carries its voice where UDP does not get through. Floors are loops without any server, over {LISTENERS} sockets: seal (AES-128-GCM) \
         and `sendto` a datagram, seal (AES-256-GCM) and `write` into a TCP connection."
    ));
    bench.discarded = rounds.discarded;
    let near: Option<Wanted<'_>> = Some(("≤ 1.3 × bare sendto + AEAD", |_, ratios| ratios[0].median <= 1.3));
    let mut others = vec![("bare sendto + AEAD", "sendto", "cpu")];
    others.extend(udp.iter().map(|_| ("Mumble server over UDP", "mumble udp", "cpu")));
    bench.compare(&rounds, ("CPU a packet by datagram, 1 room", "µs"), ("datagrams, one", "cpu"), &others, near);
    bench.compare(&rounds, ("CPU a packet by datagram, 4 rooms", "µs"), ("datagrams, four", "cpu"), &others, near);
    let mut others = vec![("bare write + AEAD", "write", "cpu")];
    others.extend(tunnel.iter().map(|_| ("Mumble server over TLS", "mumble", "cpu")));
    bench.compare(&rounds, ("CPU a packet over the socket, 1 room", "µs"), ("one", "cpu"), &others, None);
    bench.compare(&rounds, ("CPU a packet over the socket, 4 rooms", "µs"), ("four", "cpu"), &others, None);
    for (what, ours, theirs, name) in [
        ("by datagram", "datagrams, one", "mumble udp", "Mumble server over UDP"),
        ("over the socket", "one", "mumble", "Mumble server over TLS"),
    ] {
        for value in ["p50", "p99"] {
            let last: Vec<_> = peer.iter().map(|_| (name, theirs, value)).collect();
            let line = format!("until the last of {LISTENERS} has a frame {what}, {value}");
            bench.compare(&rounds, (&line, "ms"), (ours, value), &last, None);
        }
    }
    let line = format!("until the last of {} has a frame", LISTENERS * ROOMS);
    bench.compare(&rounds, (&format!("{line} by datagram, p99"), "ms"), ("datagrams, four", "p99"), &[], None);
    bench.compare(&rounds, (&format!("{line} over the socket, p99"), "ms"), ("four", "p99"), &[], None);
    let theirs: Vec<_> = udp.iter().map(|_| ("Mumble server over UDP", "mumble udp", "lost")).collect();
    bench.compare(&rounds, ("lost on loopback, 1 room", "%"), ("datagrams, one", "lost"), &theirs, None);
    bench.compare(&rounds, (&format!("lost on loopback, {ROOMS} rooms"), "%"), ("datagrams, four", "lost"), &[], None);
    bench.note(
        "A packet that has not come after 100 ms is lost. The kernel holds 1,000 packets of loopback for a core (`net.core.netdev_max_backlog`) \
         and drops what is more: `/proc/net/softnet_stat` counts it.",
    );
    bench.note("The talker's own frames come over its socket in all of these; they are one in 200.");
    peers::absent(Wire::Mumble).into_iter().for_each(|note| bench.note(note));
    Ok(bench)
}

/// Who talks in each room, and who listens in all of them.
struct Talk {
    talkers: Vec<(Client, RoomId)>,
    /// One a room.
    tallies: Vec<Rc<Tally>>,
    /// What came over the socket where datagrams were wanted.
    astray: Rc<Tally>,
    bursts: u64,
}

fn rooms_of_ours(world: &World, thread: &Thread, datagrams: bool) -> Result<Talk> {
    let (address, tls, each) = (world.address()?, world.tls()?, LISTENERS + 1);
    let first = if datagrams { ROOMS } else { 0 };
    let (people, rooms) = (&world.people[first * each..], &world.rooms[first..]);
    let clients = thread.run(crowd(each * ROOMS, 32, |at| {
        let (tls, token, room) = (Arc::clone(&tls), people[at].token.clone(), rooms[at / each]);
        async move {
            let mut client = Client::connect(Wire::Holler, address, &tls).await?;
            // The last one of each room talks.
            let voice = at % each < LISTENERS;
            client
                .sign_in(&token, vec![Follow { request: RequestId(1), room, cursor: None, voice, presence: false }])
                .await?;
            Ok(client)
        }
    }))?;
    let tallies: Vec<Rc<Tally>> = (0..ROOMS).map(|_| Rc::new(Tally::default())).collect();
    let (mut talkers, astray) = (Vec::new(), Rc::new(Tally::default()));
    thread.run(async {
        for (at, mut client) in clients.into_iter().enumerate() {
            let tally = Rc::clone(&tallies[at / each]);
            if at % each == LISTENERS {
                talkers.push((client, rooms[at / each]));
            } else if datagrams {
                let path = udp::Ours::open(&mut client, address).await?;
                Thread::spawn(path.listen(tally));
                // What still comes over the socket is counted apart, and so is no delivery.
                Thread::spawn(subscribe(client, Rc::clone(&astray), Deliveries::Voice));
            } else {
                Thread::spawn(subscribe(client, tally, Deliveries::Voice));
            }
        }
        Ok(())
    })?;
    Ok(Talk { talkers, tallies, astray, bursts: if datagrams { 1 << 32 } else { 0 } })
}

/// A burst in each of the first `rooms` rooms.
fn talk(thread: &Thread, field: &mut Talk, pid: u32, rooms: usize) -> Result<Sample> {
    thread.run(async {
        let mut spoken = Vec::new();
        for (client, room) in field.talkers.iter_mut().take(rooms) {
            field.bursts += 1;
            let burst = BurstId::from_bytes(spread(field.bursts));
            let token = floor(client, *room, burst).await?;
            spoken.push((client, *room, burst, token, Recording::new()));
        }
        let delivered = || field.tallies.iter().map(|tally| tally.delivered()).sum::<u64>();
        // After a rest paths prove themselves anew, with the first frames.
        let mut due = Instant::now();
        for _ in 0..WARM {
            due += FRAME;
            a_frame(&mut spoken, &field.tallies[..rooms]).await?;
            tokio::time::sleep_until(due.into()).await;
        }
        let (usage, cpu, before) = (Usage::begin(), cpu_exactly(pid)?, delivered());
        let (mut waits, mut lost, astray) = (Vec::new(), 0, field.astray.delivered());
        while usage.elapsed() < SPAN {
            tokio::time::sleep_until(due.into()).await;
            let at = Instant::now();
            match a_frame(&mut spoken, &field.tallies[..rooms]).await? {
                0 => waits.push(at.elapsed().as_secs_f64() * 1e3),
                missing => lost += missing,
            }
            due = Instant::now().max(due + FRAME);
        }
        ensure!(field.astray.delivered() == astray, "frames came over the socket where datagrams were wanted");
        let packets = (delivered() - before) as f64;
        let sample = Sample::new(
            usage.share(),
            [
                ("cpu", (cpu_exactly(pid)? - cpu).as_secs_f64() * 1e6 / packets),
                ("p50", percentile(&mut waits, 500)),
                ("p99", percentile(&mut waits, 990)),
                ("lost", 100.0 * lost as f64 / (packets + lost as f64)),
            ],
        );
        for (client, room, burst, _, mut recording) in spoken {
            end(client, room, burst, &mut recording).await?;
        }
        Ok(sample)
    })
}

type Spoken<'a> = (&'a mut Client, RoomId, BurstId, FloorToken, Recording);

/// Each of them says a frame; waits until all who listen have it. Says how many do not get it.
async fn a_frame(spoken: &mut [Spoken<'_>], tallies: &[Rc<Tally>]) -> Result<u64> {
    let wanted: Vec<u64> = tallies.iter().map(|tally| tally.delivered() + LISTENERS as u64).collect();
    for (client, _, burst, token, recording) in spoken {
        say_frame(client, *burst, *token, recording).await?;
    }
    let mut missing = 0;
    for (tally, wanted) in tallies.iter().zip(wanted) {
        missing += tally.reach_within(wanted, LOST_AFTER).await?;
    }
    Ok(missing)
}

/// Records a frame and sends it live.
pub(super) async fn say_frame(
    client: &mut Client,
    burst: BurstId,
    token: FloorToken,
    recording: &mut Recording,
) -> Result<()> {
    recording.push(Bytes::from_static(&[0x5a; PAYLOAD]))?;
    let (number, payload) = recording.take_unsent().context("a frame was recorded")?;
    let frame = VoiceFrame { kind: VoiceKind::Live, age: FrameAge(200), number, tag: burst.tag(), token, payload };
    client.send(&wire::spoken(&frame.encode())).await
}

/// Ends a burst, and waits until the server has all of it.
pub(super) async fn end(client: &mut Client, room: RoomId, burst: BurstId, recording: &mut Recording) -> Result<()> {
    let (last, digest) = recording.end().context("frames were recorded")?;
    client.say(&ClientMessage::BurstEnd { room, burst, last, digest }).await?;
    answer(client, |message| matches!(message, ServerMessage::BurstStatus { complete: true, .. }).then_some(())).await
}

/// Reads until the answer comes.
pub(super) async fn answer<T>(client: &mut Client, wanted: impl Fn(&ServerMessage) -> Option<T>) -> Result<T> {
    loop {
        let Some(message) = client.next().await?.ours()? else { continue };
        if let Some(found) = wanted(&message) {
            return Ok(found);
        }
        if matches!(
            message,
            ServerMessage::Refused { .. } | ServerMessage::FloorDenied { .. } | ServerMessage::Error { .. }
        ) {
            bail!("{message:?}");
        }
    }
}

/// Asks for the floor.
pub(super) async fn floor(client: &mut Client, room: RoomId, burst: BurstId) -> Result<FloorToken> {
    let header = BurstHeader {
        burst,
        codec: Codec::Opus,
        frame_ms: FrameMs::Ms20,
        bitrate: Bitrate(32_000),
        key_epoch: Epoch(0),
    };
    let request = ClientMessage::FloorRequest {
        request: RequestId(2),
        room,
        priority: Priority::Normal,
        queue: false,
        header,
        spoken_ago_ms: 0,
    };
    client.say(&request).await?;
    answer(client, |message| if let ServerMessage::FloorGranted { token, .. } = message { Some(*token) } else { None })
        .await
}

/// Mumble's one who talks, and those who listen.
struct Mumbled {
    talker: Client,
    tally: Rc<Tally>,
    number: u16,
}

fn mumble(world: &World, thread: &Thread, peer: &Peer, udp: bool) -> Result<Mumbled> {
    let (address, tls) = (peer.address, world.tls()?);
    let (talker, tally) = (RefCell::new(None), Rc::new(Tally::default()));
    thread.run(async {
        for at in 0..=LISTENERS {
            let mut client = Client::connect(Wire::Mumble, address, &tls).await?;
            let crypt = client.hello_and(&mumble_hello(&format!("p{at}")), CRYPT_SETUP).await?;
            if at == LISTENERS {
                talker.replace(Some(client));
                continue;
            }
            if udp {
                let crypt = crypt.context("Mumble sent no key for UDP")?;
                Thread::spawn(udp::Mumbles::open(&crypt, address).await?.listen(Rc::clone(&tally)));
                // It must be read, and has no voice in it.
                Thread::spawn(subscribe(client, Rc::default(), Deliveries::Voice));
            } else {
                Thread::spawn(subscribe(client, Rc::clone(&tally), Deliveries::Voice));
            }
        }
        Ok(())
    })?;
    let talker = talker.into_inner().context("somebody talks")?;
    Ok(Mumbled { talker, tally, number: 0 })
}

fn speak(thread: &Thread, field: &mut Mumbled, pid: u32) -> Result<Sample> {
    thread.run(async {
        let (usage, cpu, before) = (Usage::begin(), cpu_exactly(pid)?, field.tally.delivered());
        let (mut waits, mut due, mut lost) = (Vec::new(), Instant::now(), 0);
        while usage.elapsed() < SPAN {
            tokio::time::sleep_until(due.into()).await;
            field.number = field.number.wrapping_add(2);
            let (at, wanted) = (Instant::now(), field.tally.delivered() + LISTENERS as u64);
            field.talker.send(&mumble_voice(field.number, &[0x5a; PAYLOAD])).await?;
            match field.tally.reach_within(wanted, LOST_AFTER).await? {
                0 => waits.push(at.elapsed().as_secs_f64() * 1e3),
                missing => lost += missing,
            }
            due = Instant::now().max(due + FRAME);
        }
        let packets = (field.tally.delivered() - before) as f64;
        let cpu = (cpu_exactly(pid)? - cpu).as_secs_f64() * 1e6 / packets;
        Ok(Sample::new(
            usage.share(),
            [
                ("cpu", cpu),
                ("p50", percentile(&mut waits, 500)),
                ("p99", percentile(&mut waits, 990)),
                ("lost", 100.0 * lost as f64 / (packets + lost as f64)),
            ],
        ))
    })
}

fn own_cpu_us() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 * 1e6 + time.tv_nsec as f64 / 1e3
}

/// Seals what a listener gets: the frame with its header.
struct Seal {
    key: LessSafeKey,
    number: u64,
    buffer: Vec<u8>,
    /// Bytes before the frame that are authenticated.
    head: usize,
}

impl Seal {
    fn new(algorithm: &'static Algorithm, head: usize) -> Result<Self> {
        let key = vec![7; algorithm.key_len()];
        let key = UnboundKey::new(algorithm, &key).map_err(|_| anyhow::anyhow!("a key"))?;
        Ok(Self { key: LessSafeKey::new(key), number: 0, buffer: Vec::with_capacity(256), head })
    }

    fn next(&mut self) -> Result<&[u8]> {
        self.number += 1;
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&self.number.to_be_bytes());
        self.buffer.clear();
        self.buffer.resize(self.head + HEADER_BYTES + PAYLOAD, 0x5a);
        let (head, body) = self.buffer.split_at_mut(self.head);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.key.seal_in_place_separate_tag(nonce, Aad::from(&*head), body);
        self.buffer.extend_from_slice(tag.map_err(|_| anyhow::anyhow!("sealing"))?.as_ref());
        Ok(&self.buffer)
    }
}

fn sendto() -> Result<Sample> {
    let listeners: Vec<UdpSocket> = (0..LISTENERS).map(|_| UdpSocket::bind("127.0.0.1:0")).collect::<Result<_, _>>()?;
    let addresses = listeners.iter().map(UdpSocket::local_addr).collect::<Result<Vec<_>, _>>()?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let mut seal = Seal::new(&AES_128_GCM, DATAGRAM_HEAD)?;
    let began = own_cpu_us();
    for at in 0..BARE {
        // Nobody reads; what does not fit any more is dropped after all the work.
        socket.send_to(seal.next()?, addresses[at % LISTENERS])?;
    }
    Ok(Sample::new(0.0, [("cpu", (own_cpu_us() - began) / BARE as f64)]))
}

fn write(setting: &Setting) -> Result<Sample> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..LISTENERS {
        let stream = TcpStream::connect(listener.local_addr()?)?;
        stream.set_nodelay(true)?;
        ours.push(stream);
        let (stream, _) = listener.accept()?;
        stream.set_nonblocking(true)?;
        theirs.push(stream);
    }
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let reading = setting.cores.on_generators(|| {
        Ok(std::thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while !stopped.load(Ordering::Relaxed) {
                for stream in &mut theirs {
                    while matches!(stream.read(&mut buffer), Ok(1..)) {}
                }
                std::thread::sleep(Duration::from_millis(1));
            }
        }))
    })?;
    let mut seal = Seal::new(&AES_256_GCM, 0)?;
    let began = own_cpu_us();
    for at in 0..BARE {
        ours[at % LISTENERS].write_all(seal.next()?)?;
    }
    let cpu = (own_cpu_us() - began) / BARE as f64;
    stop.store(true, Ordering::Relaxed);
    reading.join().map_err(|_| anyhow::anyhow!("reading"))?;
    Ok(Sample::new(0.0, [("cpu", cpu)]))
}
