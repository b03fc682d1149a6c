//! A room, its server and its people in virtual time: engines on one side, the server's own machines (`floor`, `burst`) and a
//! plain log on the other, between them links that delay, drop voice, and are cut.

use std::collections::{BTreeMap, BTreeSet};

use super::disk::Disk;
use super::*;
use crate::burst::Assembly;
use crate::floor::{self, Audience, Floor};
use crate::model::Priority;
use crate::path::{End, Path, Route};
use crate::units::{Bitrate, BurstStep, FrameMs};
use crate::wire::datagram::PathOffer;
use crate::wire::rest::EventPage;
use crate::wire::socket::{FloorState, Follow};
use crate::wire::voice::VoiceKind;

pub(super) const ROOM: u8 = 3;

/// What happens at an instant.
enum Happening {
    ToServer {
        peer: usize,
        link: LinkNo,
        item: Item,
    },
    ToClient {
        peer: usize,
        link: LinkNo,
        item: Item,
    },
    Input {
        peer: usize,
        input: Input,
    },
    Capture {
        peer: usize,
        burst: BurstId,
        number: u16,
    },
    Pull {
        peer: usize,
        burst: BurstId,
    },
    DatagramToServer {
        peer: usize,
        link: LinkNo,
        counter: u32,
        inner: Bytes,
    },
    /// The server's end of a path does what is due.
    Sweep {
        peer: usize,
        link: LinkNo,
    },
    /// The server notices that a connection is gone.
    Gone {
        peer: usize,
        link: LinkNo,
    },
}

#[derive(Clone)]
enum Item {
    Text(String),
    Binary(Bytes),
}

pub(super) struct Peer {
    pub(super) engine: Engine,
    pub(super) notices: Vec<(Mono, Notice)>,
    pub(super) received: BTreeMap<BurstId, Received>,
    pub(super) played: BTreeMap<BurstId, Vec<u16>>,
    pub(super) kept: BTreeMap<BurstId, Vec<Bytes>>,
    disk: Disk,
    capturing: Option<BurstId>,
    link: Option<LinkNo>,
    /// The network is away: sockets die, none can be opened.
    pub(super) offline: bool,
}

#[derive(Default)]
struct Seat {
    link: LinkNo,
    authenticated: bool,
    follows: bool,
    path: Option<Path>,
}

struct Server {
    floor: Floor,
    bursts: BTreeMap<BurstId, Assembly>,
    log: Vec<Event>,
    seats: BTreeMap<usize, Seat>,
    stored: BTreeMap<(DeviceId, ClientId), Seq>,
    receipts: BTreeMap<usize, (BTreeSet<BurstId>, Option<Seq>)>,
    incarnation: Incarnation,
}

pub(super) struct World {
    pub(super) now: Mono,
    queue: BTreeMap<(Mono, u64), Happening>,
    count: u64,
    chance: Chance,
    pub(super) peers: Vec<Peer>,
    server: Server,
    pub(super) one_way: Duration,
    /// Of 1,000 voice frames, so many get lost on each way.
    pub(super) drop_per_mille: u64,
    /// Of 1,000 datagrams, so many get lost to the server, and from it.
    pub(super) datagrams_lost: [u64; 2],
    /// Frames that came to the server by datagram, and to clients.
    pub(super) by_datagram: [usize; 2],
    pub(super) by_socket: usize,
}

pub(super) fn device(peer: usize) -> DeviceId {
    DeviceId::from_bytes([u8::try_from(peer).expect("few peers") + 100; 16])
}

pub(super) fn user(peer: usize) -> UserId {
    UserId::from_bytes([u8::try_from(peer).expect("few peers") + 50; 16])
}

pub(super) fn payload(burst: BurstId, number: u16) -> Bytes {
    let mut bytes = burst.bytes().to_vec();
    bytes.extend(number.to_be_bytes());
    bytes.resize(60, 7);
    bytes.into()
}

impl World {
    pub(super) fn new(seed: u64, peers: usize) -> Self {
        Self::with_paths(seed, peers, &[])
    }

    pub(super) fn with_paths(seed: u64, peers: usize, paths: &'static [PathKind]) -> Self {
        let peer = |at: usize| Peer {
            engine: Engine::new(Config {
                seed: seed.wrapping_add(u64::try_from(at).expect("few")),
                recovery_reach: 1,
                paths,
                ..Config::default()
            }),
            notices: vec![],
            received: BTreeMap::new(),
            played: BTreeMap::new(),
            kept: BTreeMap::new(),
            disk: Disk::default(),
            capturing: None,
            link: None,
            offline: false,
        };
        let mut world = Self {
            now: Mono(1_000_000),
            queue: BTreeMap::new(),
            count: 0,
            chance: Chance::new(seed),
            peers: (0..peers).map(peer).collect(),
            server: Server {
                floor: Floor::new(floor::Config::default(), 1, Mono(u64::MAX), []),
                bursts: BTreeMap::new(),
                log: vec![],
                seats: BTreeMap::new(),
                stored: BTreeMap::new(),
                receipts: BTreeMap::new(),
                incarnation: id(9),
            },
            one_way: ms(20),
            drop_per_mille: 0,
            datagrams_lost: [0; 2],
            by_datagram: [0; 2],
            by_socket: 0,
        };
        for peer in 0..peers {
            world.input(peer, Input::Token { access: peer.to_string(), expires_in: Duration::from_secs(100_000) });
            world.input(peer, Input::Start);
        }
        world
    }

    pub(super) fn draw(&mut self, below: u64) -> u64 {
        (u64::from(self.chance.nonce()) * below) >> 32
    }

    fn at(&mut self, after: Duration, happening: Happening) {
        self.count += 1;
        self.queue.insert((self.now + after, self.count), happening);
    }

    pub(super) fn input(&mut self, peer: usize, input: Input) {
        self.peers[peer].engine.handle(self.now, input);
        self.drain(peer);
    }

    pub(super) fn command(&mut self, peer: usize, command: Command) {
        self.input(peer, Input::Command(command));
    }

    pub(super) fn follow(&mut self, peer: usize) {
        self.command(peer, Command::Follow { room: id(ROOM), cursor: None, voice: true });
    }

    pub(super) fn key_down(&mut self, peer: usize, burst: BurstId, queue: bool) {
        self.key_down_as(peer, burst, queue, false);
    }

    pub(super) fn key_down_as(&mut self, peer: usize, burst: BurstId, queue: bool, when_free: bool) {
        let (priority, frame_ms, bitrate) = (Priority::Normal, FrameMs::Ms20, Bitrate(24_000));
        self.command(peer, Command::KeyDown { room: id(ROOM), burst, priority, queue, when_free, frame_ms, bitrate });
    }

    /// The client dies, and is started again with what its disk has.
    pub(super) fn restart(&mut self, peer: usize) {
        let config = Config { seed: 77, recovery_reach: 1, ..Config::default() };
        self.peers[peer].engine = Engine::new(config);
        self.peers[peer].capturing = None;
        if let Some(link) = self.peers[peer].link.take() {
            self.at(self.one_way, Happening::Gone { peer, link });
        }
        self.input(peer, Input::Token { access: peer.to_string(), expires_in: Duration::from_secs(100_000) });
        for item in self.peers[peer].disk.restored(self.now, None) {
            self.input(peer, Input::Restore(item));
        }
        self.input(peer, Input::Start);
        self.follow(peer);
    }

    /// The server goes down, and comes back from a backup that has the first `events` of its log.
    pub(super) fn restore_backup(&mut self, events: usize) {
        let server = &mut self.server;
        server.log.truncate(events);
        server.incarnation = id(10);
        let head = server.head();
        server.stored.retain(|_, seq| *seq <= head);
        let begun = |log: &[Event], burst: BurstId| {
            log.iter().any(|e| matches!(&e.body, EventBody::BurstStarted { header, .. } if header.burst == burst))
        };
        let log = &server.log;
        server.bursts.retain(|burst, _| begun(log, *burst));
        server.floor = Floor::new(floor::Config::default(), 2, Mono(u64::MAX), []);
        server.seats.clear();
        for peer in 0..self.peers.len() {
            if let Some(link) = self.peers[peer].link.take() {
                let closed = Input::Closed { link, code: None, detail: "the server went down".into() };
                self.at(ms(10), Happening::Input { peer, input: closed });
            }
        }
    }

    /// Lets time pass.
    pub(super) fn pass(&mut self, span: Duration) {
        let end = self.now + span;
        let mut turns = 0;
        loop {
            turns += 1;
            assert!(turns < 1_000_000, "something goes round without time passing");
            let queued = self.queue.keys().next().map(|(at, _)| *at);
            let timers = self.peers.iter().enumerate().filter_map(|(at, peer)| Some((peer.engine.poll_timeout()?, at)));
            let timer = timers.min();
            let floor = self.server.floor.poll_timeout();
            let next = [queued, timer.map(|(at, _)| at), floor].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = self.now.max(next);
            if floor.is_some_and(|at| at <= self.now) {
                self.server.floor.handle(self.now, floor::Input::Timeout);
                self.settle();
            } else if let Some((_, peer)) = timer.filter(|(at, _)| *at <= self.now) {
                self.input(peer, Input::Timeout);
            } else if let Some((_, happening)) = self.queue.pop_first() {
                self.happen(happening);
            }
        }
        self.now = end;
    }

    /// The peer's network goes away without a word, or comes back.
    pub(super) fn set_offline(&mut self, peer: usize, offline: bool) {
        self.peers[peer].offline = offline;
        if offline {
            if let Some(link) = self.peers[peer].link.take() {
                let noticed = ms(self.draw(400));
                self.at(
                    noticed,
                    Happening::Input { peer, input: Input::Closed { link, code: None, detail: "cut".into() } },
                );
                let noticed = ms(self.draw(4_000));
                self.at(noticed, Happening::Gone { peer, link });
            }
        } else {
            self.input(peer, Input::NetworkUp);
        }
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::ToServer { peer, link, item } => {
                if self.peers[peer].link == Some(link) && !self.peers[peer].offline {
                    self.server_got(peer, link, item);
                }
            }
            Happening::ToClient { peer, link, item } => {
                if self.peers[peer].link == Some(link) && !self.peers[peer].offline {
                    self.by_socket += usize::from(matches!(item, Item::Binary(_)));
                    let input = match item {
                        Item::Text(text) => Input::Text { link, text },
                        Item::Binary(bytes) => Input::Binary { link, bytes },
                    };
                    self.input(peer, input);
                }
            }
            Happening::Input { peer, input } => self.input(peer, input),
            Happening::DatagramToServer { peer, link, counter, inner } => {
                let (now, mut frames) = (self.now, vec![]);
                let seat = self.server.seats.get_mut(&peer).filter(|seat| seat.link == link);
                let Some(path) = seat.and_then(|seat| seat.path.as_mut()) else { return };
                path.received(now, counter, &inner, &mut frames).expect("each counter is used once");
                self.by_datagram[0] += frames.len();
                self.server.floor.handle(now, floor::Input::Heard { device: device(peer) });
                for frame in frames {
                    self.server_frame(peer, frame);
                }
                self.settle();
                self.sweep(peer, link);
            }
            Happening::Sweep { peer, link } => {
                if self.sweep(peer, link) {
                    self.at(ms(50), Happening::Sweep { peer, link });
                }
            }
            Happening::Gone { peer, link } => {
                if self.server.seats.get(&peer).is_some_and(|seat| seat.link == link) {
                    self.server.seats.remove(&peer);
                    self.server.floor.handle(self.now, floor::Input::Gone { device: device(peer) });
                    self.settle();
                }
            }
            Happening::Capture { peer, burst, number } => {
                if self.peers[peer].capturing == Some(burst) {
                    let frame = payload(burst, number);
                    self.peers[peer].kept.entry(burst).or_default().push(frame.clone());
                    let captured_at = self.now - ms(20);
                    self.at(ms(20), Happening::Capture { peer, burst, number: number + 1 });
                    self.input(peer, Input::Captured { burst, captured_at, payload: frame });
                }
            }
            Happening::Pull { peer, burst } => {
                let pull = self.peers[peer].engine.pull(self.now, burst);
                self.drain(peer);
                let next = match pull {
                    Pull::Frame { number, payload: bytes, .. } => {
                        assert_eq!(bytes, payload(burst, number.0), "another frame's bytes");
                        self.peers[peer].played.entry(burst).or_default().push(number.0);
                        let heard_at = self.now;
                        self.input(peer, Input::Played { burst, number, heard_at });
                        20
                    }
                    Pull::Recover { .. } | Pull::Conceal { .. } => 20,
                    Pull::Bridge => 10,
                    Pull::Wait { .. } => 5,
                    Pull::End => return,
                };
                self.at(ms(next), Happening::Pull { peer, burst });
            }
        }
    }

    fn drain(&mut self, peer: usize) {
        while let Some(output) = self.peers[peer].engine.poll_output() {
            match output {
                Output::Connect { link } => {
                    let rtt = self.one_way * 2;
                    if self.peers[peer].offline {
                        let (failure, detail) = (ConnectFailure::Unreachable, String::new());
                        self.at(
                            rtt,
                            Happening::Input {
                                peer,
                                input: Input::ConnectFailed { link, failure, detail, retry_after: None },
                            },
                        );
                    } else {
                        self.peers[peer].link = Some(link);
                        self.at(rtt, Happening::Input { peer, input: Input::Connected { link } });
                    }
                }
                Output::Disconnect { link } => {
                    if self.peers[peer].link == Some(link) {
                        self.peers[peer].link = None;
                        self.at(self.one_way, Happening::Gone { peer, link });
                    }
                }
                Output::Send { link, text, .. } => {
                    self.at(self.one_way, Happening::ToServer { peer, link, item: Item::Text(text) });
                }
                Output::Voice { link, lane, frame, .. } => {
                    if matches!(lane, Lane::Repair | Lane::Bulk) {
                        let repair_bytes = frame.payload.len();
                        self.at(ms(1), Happening::Input { peer, input: Input::Sent { link, repair_bytes } });
                    } else if self.draw(1_000) < self.drop_per_mille {
                        continue;
                    }
                    self.at(self.one_way, Happening::ToServer { peer, link, item: Item::Binary(frame.encode()) });
                }
                Output::OpenPath { link, .. } => {
                    self.at(ms(1), Happening::Input { peer, input: Input::PathOpened { link } });
                }
                Output::Datagram { link, counter, inner, .. } => {
                    if self.draw(1_000) >= self.datagrams_lost[0] {
                        self.at(self.one_way, Happening::DatagramToServer { peer, link, counter, inner });
                    }
                }
                Output::RefreshToken => panic!("tokens last for ever here"),
                Output::FetchEvents { room, after } => {
                    let events: Vec<Event> =
                        self.server.log.iter().filter(|e| e.seq > after.seq).take(100).cloned().collect();
                    let incarnation = self.server.incarnation;
                    let next = Cursor { incarnation, seq: events.last().map_or(after.seq, |e| e.seq) };
                    let head = Cursor { incarnation, seq: self.server.head() };
                    let page = Ok(EventPage { events, next, head, first_seq: Seq(1) });
                    let input = Input::EventsFetched { room, page: self.unless_offline(peer, page) };
                    self.at(self.one_way * 2, Happening::Input { peer, input });
                }
                Output::FetchFrames { room: _, burst, from, to } => {
                    let range = crate::model::FrameRange { from, to };
                    let assembly = &self.server.bursts[&burst];
                    let frames = assembly.frames().range(range).map(|(n, p)| (n, p.clone())).collect();
                    let input = Input::FramesFetched { burst, frames: self.unless_offline(peer, Ok(frames)) };
                    self.at(self.one_way * 2, Happening::Input { peer, input });
                }
                Output::Store(change) => {
                    let now = self.now;
                    self.peers[peer].disk.store(now, change);
                }
                Output::LoadBurst { burst } => {
                    let frames = self.peers[peer].disk.frames(burst);
                    self.at(ms(3), Happening::Input { peer, input: Input::BurstLoaded { burst, frames } });
                }
                Output::Reoffer { room, incarnation } => {
                    for item in self.peers[peer].disk.restored(self.now, Some((room, incarnation))) {
                        self.at(ms(3), Happening::Input { peer, input: Input::Restore(item) });
                    }
                }
                Output::FetchPresence { .. } | Output::FetchRoster => {}
                Output::StartCapture { burst, .. } => {
                    self.peers[peer].capturing = Some(burst);
                    self.at(ms(20), Happening::Capture { peer, burst, number: 1 });
                }
                Output::StopCapture { burst } => {
                    self.peers[peer].capturing = None;
                    // What was captured of the frame that the button's release cut off.
                    let kept = self.peers[peer].kept.entry(burst).or_default();
                    let number = u16::try_from(kept.len() + 1).expect("short");
                    let frame = payload(burst, number);
                    kept.push(frame.clone());
                    let captured_at = self.now - ms(10);
                    self.at(
                        ms(2),
                        Happening::Input { peer, input: Input::Captured { burst, captured_at, payload: frame } },
                    );
                    self.at(ms(5), Happening::Input { peer, input: Input::CaptureEnded { burst, fault: None } });
                }
                Output::StartPlayback { burst, .. } => self.at(ms(0), Happening::Pull { peer, burst }),
                Output::StopPlayback { .. } | Output::FramesCame => {}
                Output::Received(received) => {
                    self.peers[peer].received.insert(received.header.burst, received);
                }
                Output::Notice(notice) => self.peers[peer].notices.push((self.now, notice)),
            }
        }
    }

    fn unless_offline<T>(&self, peer: usize, answer: Result<T, FetchError>) -> Result<T, FetchError> {
        if self.peers[peer].offline { Err(FetchError::Later("cut".into())) } else { answer }
    }

    fn tell(&mut self, peer: usize, message: &ServerMessage) {
        let text = serde_json::to_string(message).expect("messages can be written");
        let Some(link) = self.server.seats.get(&peer).map(|seat| seat.link) else { return };
        self.at(self.one_way, Happening::ToClient { peer, link, item: Item::Text(text) });
    }

    fn tell_room(&mut self, message: &ServerMessage) {
        let peers: Vec<usize> = self.server.seats.iter().filter(|(_, s)| s.follows).map(|(peer, _)| *peer).collect();
        for peer in peers {
            self.tell(peer, message);
        }
    }

    fn server_got(&mut self, peer: usize, link: LinkNo, item: Item) {
        let (now, dev) = (self.now, device(peer));
        if self.server.seats.get(&peer).is_none_or(|seat| seat.link != link)
            && self.server.seats.insert(peer, Seat { link, ..Seat::default() }).is_some()
        {
            self.server.floor.handle(now, floor::Input::Gone { device: dev });
        }
        self.server.floor.handle(now, floor::Input::Heard { device: dev });
        match item {
            Item::Text(text) => {
                let message: ClientMessage = serde_json::from_str(&text).expect("clients write what servers read");
                message.check().expect("clients keep the bounds");
                self.server_message(peer, message);
            }
            Item::Binary(bytes) => {
                self.by_socket += 1;
                let frame = VoiceFrame::decode(&bytes).expect("clients write voice frames");
                self.server_frame(peer, frame);
            }
        }
        self.settle();
    }

    fn server_frame(&mut self, peer: usize, mut frame: VoiceFrame) {
        let (now, dev) = (self.now, device(peer));
        let live = frame.kind == VoiceKind::Live;
        if live && !self.server.floor.accepts(now, dev, frame.token) {
            return;
        }
        let Some(assembly) = self.server.bursts.values_mut().find(|b| b.burst().tag() == frame.tag) else {
            return;
        };
        let inserted = assembly.insert(dev, frame.number, frame.payload.clone()).expect("an owner's frame");
        if live && inserted == crate::burst::Inserted::New {
            frame.age = (frame.age.duration() + self.one_way).into();
            let listeners: Vec<usize> =
                self.server.seats.iter().filter(|(at, s)| s.follows && **at != peer).map(|(at, _)| *at).collect();
            for listener in listeners {
                self.forward(listener, &frame.encode());
            }
        }
    }

    fn forward(&mut self, listener: usize, frame: &Bytes) {
        let (now, mut inner) = (self.now, vec![]);
        let seat = self.server.seats.get_mut(&listener).expect("it listens");
        let link = seat.link;
        let route = seat.path.as_mut().map_or(Route::Socket, |path| path.voice(now, frame, &mut inner));
        if let Route::Datagram(counter) | Route::Both(counter) = route {
            self.datagram_to_client(listener, link, counter, inner);
        }
        if matches!(route, Route::Socket | Route::Both(_)) && self.draw(1_000) >= self.drop_per_mille {
            let item = Item::Binary(frame.clone());
            self.at(self.one_way, Happening::ToClient { peer: listener, link, item });
        }
        self.sweep(listener, link);
    }

    fn datagram_to_client(&mut self, peer: usize, link: LinkNo, counter: u32, inner: Vec<u8>) {
        if self.draw(1_000) >= self.datagrams_lost[1] {
            self.by_datagram[1] += usize::from(inner[0] == 5);
            let input = Input::Datagram { link, counter, inner: inner.into() };
            self.at(self.one_way, Happening::Input { peer, input });
        }
    }

    /// Whether there is still such a path.
    fn sweep(&mut self, peer: usize, link: LinkNo) -> bool {
        let now = self.now;
        let seat = self.server.seats.get_mut(&peer).filter(|seat| seat.link == link);
        let Some(path) = seat.and_then(|seat| seat.path.as_mut()) else { return false };
        path.timeout(now);
        let (mut out, mut sent) = (vec![], vec![]);
        while let Some(counter) = path.next(now, &mut out) {
            sent.push((counter, core::mem::take(&mut out)));
        }
        let late = path.resend(now);
        for (counter, inner) in sent {
            self.datagram_to_client(peer, link, counter, inner);
        }
        for frame in late {
            self.at(self.one_way, Happening::ToClient { peer, link, item: Item::Binary(frame) });
        }
        true
    }

    fn server_message(&mut self, peer: usize, message: ClientMessage) {
        let (now, dev) = (self.now, device(peer));
        match message {
            ClientMessage::Auth { rooms, .. } => {
                self.server.seats.entry(peer).and_modify(|seat| seat.authenticated = true);
                let (user, device) = (user(peer), dev);
                let welcome = ServerMessage::Welcome {
                    user,
                    device,
                    server_time: UnixMs(0),
                    heartbeat_ms: 15_000,
                    expires_in_s: 100_000,
                    resume: None,
                };
                self.tell(peer, &welcome);
                for Follow { request, room, cursor, voice, presence } in rooms {
                    self.server_message(peer, ClientMessage::Subscribe { request, room, cursor, voice, presence });
                }
            }
            ClientMessage::Subscribe { request, room, cursor, .. } => {
                let head = Cursor { incarnation: self.server.incarnation, seq: self.server.head() };
                let subscribed = ServerMessage::Subscribed {
                    request,
                    room,
                    role: Role::Talker,
                    head,
                    first_seq: Seq(1),
                    epoch: Epoch(0),
                    floor: self.server.floor.state(now),
                    emergencies: vec![],
                };
                self.tell(peer, &subscribed);
                self.server.seats.entry(peer).and_modify(|seat| seat.follows = true);
                let after = cursor.map_or(head.seq, |cursor| cursor.seq);
                let events: Vec<Event> = self.server.log.iter().filter(|e| e.seq > after).cloned().collect();
                if !events.is_empty() {
                    self.tell(peer, &ServerMessage::Events { room, incarnation: self.server.incarnation, events });
                }
            }
            ClientMessage::Send { room, client_id, body, .. } => {
                let seq = self.append(peer, client_id, body);
                self.tell(
                    peer,
                    &ServerMessage::Ack {
                        room,
                        client_id,
                        seq,
                        incarnation: self.server.incarnation,
                        received_at: UnixMs(seq.0),
                    },
                );
            }
            ClientMessage::FloorRequest { request, priority, queue, header, spoken_ago_ms, .. } => {
                let asked = floor::Request {
                    device: dev,
                    user: user(peer),
                    role: Role::Talker,
                    request,
                    priority,
                    queue,
                    header,
                    spoken_ago: ms(spoken_ago_ms),
                };
                self.server.floor.handle(now, floor::Input::Request(asked));
            }
            ClientMessage::FloorRelease { request, .. } => {
                self.server.floor.handle(now, floor::Input::Release { device: dev, request });
            }
            ClientMessage::BurstEnd { room, burst, last, digest } => {
                self.server.floor.handle(now, floor::Input::Ended { device: dev, burst });
                self.settle();
                let Some(assembly) = self.server.bursts.get_mut(&burst) else {
                    let problem = Problem::new(crate::wire::problem::ProblemKind::NotFound, "no such burst");
                    let (client_id, request, burst) = (None, None, Some(burst));
                    return self.tell(peer, &ServerMessage::Refused { room, client_id, request, burst, problem });
                };
                let status = assembly.end(dev, last, digest).expect("clients end what they recorded");
                let (complete, missing) = (status.complete, status.missing);
                self.tell(
                    peer,
                    &ServerMessage::BurstStatus {
                        room,
                        burst,
                        incarnation: self.server.incarnation,
                        complete,
                        missing,
                    },
                );
            }
            ClientMessage::BurstOffer {
                room, header, priority, spoken_ago_ms, uncertainty_ms, last, digest, ..
            } => {
                let burst = header.burst;
                self.server.floor.handle(now, floor::Input::Ended { device: dev, burst });
                self.settle();
                let known = self.server.bursts.len();
                self.server.bursts.entry(burst).or_insert_with(|| Assembly::new(burst, dev));
                if self.server.bursts.len() > known {
                    let uncertainty_ms = uncertainty_ms.unwrap_or(0);
                    let body = EventBody::BurstStarted { header, token: None, priority, spoken_ago_ms, uncertainty_ms };
                    self.append(peer, burst.client_id(BurstStep::Started), body);
                }
                let assembly = self.server.bursts.get_mut(&burst).expect("it was just put there");
                let status = assembly.offer(dev, last, digest).expect("clients offer what they recorded");
                let (complete, missing) = (status.complete, status.missing);
                self.tell(
                    peer,
                    &ServerMessage::BurstStatus {
                        room,
                        burst,
                        incarnation: self.server.incarnation,
                        complete,
                        missing,
                    },
                );
            }
            ClientMessage::Ping { nonce, .. } => {
                self.tell(peer, &ServerMessage::Pong { nonce, server_time: UnixMs(0), presence_ms: None });
            }
            ClientMessage::Receipt { request, room, heard, delivered, .. } => {
                let marks = self.server.receipts.entry(peer).or_default();
                marks.0.extend(heard);
                marks.1 = marks.1.max(delivered);
                self.tell(peer, &ServerMessage::ReceiptStored { request, room });
            }
            ClientMessage::Report { .. }
            | ClientMessage::Unsubscribe { .. }
            | ClientMessage::EmergencyClear { .. }
            | ClientMessage::PresenceSet { .. }
            | ClientMessage::PresenceWatch { .. }
            | ClientMessage::PresenceUnwatch { .. }
            | ClientMessage::PlayingHere { .. }
            | ClientMessage::PlayingStopped {} => {}
            ClientMessage::VoicePath { request, kinds } => {
                let seat = self.server.seats.entry(peer).or_default();
                seat.path = Some(Path::new(now, End::Server));
                let link = seat.link;
                let (session, secret, certificates) = (String::new(), String::new(), vec![]);
                let offer = Some(PathOffer { kind: kinds[0], port: 1, session, secret, certificates });
                self.tell(peer, &ServerMessage::VoicePath { request, offer });
                self.at(ms(50), Happening::Sweep { peer, link });
            }
            ClientMessage::VoicePathStalled {} => {
                let seat = self.server.seats.entry(peer).or_default();
                if let Some(path) = &mut seat.path {
                    path.stalled(now);
                }
            }
        }
    }

    /// Runs what the server's machines ask for.
    fn settle(&mut self) {
        while let Some(output) = self.server.floor.poll_output() {
            if let floor::Output::Granted { device, token, priority, header, spoken_ago, again: false, .. } = &output {
                let peer = usize::from(device.bytes()[0]) - 100;
                let burst = header.burst;
                self.server.bursts.entry(burst).or_insert_with(|| Assembly::new(burst, *device));
                let spoken_ago_ms = u64::try_from(spoken_ago.as_millis()).expect("short");
                let (header, token, priority) = (*header, Some(*token), *priority);
                let body = EventBody::BurstStarted { header, token, priority, spoken_ago_ms, uncertainty_ms: 0 };
                self.append(peer, burst.client_id(BurstStep::Started), body);
            }
            if let floor::Output::Revoked { burst, reason: crate::wire::socket::RevokeReason::LinkLost, .. } = &output {
                self.server.bursts.get_mut(burst).expect("it was granted").interrupt();
            }
            if let floor::Output::Changed(FloorState::Idle { .. }) = &output {
                self.last_words();
            }
            match output.message(id(ROOM)) {
                Some((Audience::Device(device), message)) => self.tell(usize::from(device.bytes()[0]) - 100, &message),
                Some((Audience::Room, message)) => self.tell_room(&message),
                None => {}
            }
        }
        let mut appends = vec![];
        for assembly in self.server.bursts.values_mut() {
            while let Some(body) = assembly.poll_append() {
                let step = if matches!(body, EventBody::BurstCompleted { .. }) {
                    BurstStep::Completed
                } else {
                    BurstStep::Ended
                };
                appends.push((usize::from(assembly.owner().bytes()[0]) - 100, assembly.burst().client_id(step), body));
            }
        }
        for (peer, client_id, body) in appends {
            self.append(peer, client_id, body);
        }
    }

    /// What was said goes over the socket before those who listen hear of its end, as a home does it.
    fn last_words(&mut self) {
        let (now, tags) = (self.now, self.server.bursts.keys().map(|burst| burst.tag()).collect::<Vec<_>>());
        let mut paths = vec![];
        for (peer, seat) in &mut self.server.seats {
            if let Some(path) = &mut seat.path {
                tags.iter().for_each(|tag| path.ended(now, *tag));
                paths.push((*peer, seat.link));
            }
        }
        for (peer, link) in paths {
            self.sweep(peer, link);
        }
    }

    fn append(&mut self, peer: usize, client_id: ClientId, body: EventBody) -> Seq {
        let device = device(peer);
        if let Some(seq) = self.server.stored.get(&(device, client_id)) {
            return *seq;
        }
        let seq = self.server.head().next();
        self.server.stored.insert((device, client_id), seq);
        let event =
            Event { room: id(ROOM), seq, received_at: UnixMs(seq.0), user: user(peer), device, client_id, body };
        self.server.log.push(event.clone());
        self.tell_room(&ServerMessage::Events {
            room: id(ROOM),
            incarnation: self.server.incarnation,
            events: vec![event],
        });
        seq
    }

    /// The bursts that a peer said it heard, and up to where it has the log.
    pub(super) fn receipts(&self, peer: usize) -> (BTreeSet<BurstId>, Option<Seq>) {
        self.server.receipts.get(&peer).cloned().unwrap_or_default()
    }

    /// What the log holds.
    pub(super) fn log(&self) -> &[Event] {
        &self.server.log
    }

    /// The bursts that the server knows, and whether it has all of each.
    pub(super) fn known_bursts(&self) -> BTreeMap<BurstId, bool> {
        self.server.bursts.values().map(|b| (b.burst(), b.status().is_some_and(|s| s.complete))).collect()
    }

    pub(super) fn talk_states(&self, peer: usize, burst: BurstId) -> Vec<TalkState> {
        let states = self.peers[peer].notices.iter().filter_map(|(_, notice)| {
            if let Notice::Talk { burst: of, state, .. } = notice
                && *of == burst
            {
                Some(state.clone())
            } else {
                None
            }
        });
        states.collect()
    }

    pub(super) fn heard_states(&self, peer: usize, burst: BurstId) -> Vec<HeardState> {
        let states = self.peers[peer].notices.iter().filter_map(|(_, notice)| {
            if let Notice::Heard { burst: of, state, .. } = notice
                && *of == burst
            {
                Some(*state)
            } else {
                None
            }
        });
        states.collect()
    }

    pub(super) fn events_seen(&self, peer: usize) -> Vec<u64> {
        let seen = self.peers[peer].notices.iter();
        seen.filter_map(|(_, n)| if let Notice::Event(e) = n { Some(e.seq.0) } else { None }).collect()
    }

    /// Whether this peer ended with the whole burst, byte for byte.
    pub(super) fn has_whole(&self, listener: usize, talker: usize, burst: BurstId) -> bool {
        let spoken = &self.peers[talker].kept[&burst];
        self.peers[listener].received.get(&burst).is_some_and(|received| {
            received.complete
                && received.frames.len() == spoken.len()
                && received
                    .frames
                    .iter()
                    .zip(spoken)
                    .zip(1..)
                    .all(|(((number, got), said), n)| number.0 == n && got == said)
        })
    }
}

impl Server {
    fn head(&self) -> Seq {
        self.log.last().map_or(Seq(0), |event| event.seq)
    }
}

/// Each once.
pub(super) fn distinct(numbers: &[u16]) -> bool {
    numbers.iter().collect::<BTreeSet<_>>().len() == numbers.len()
}
