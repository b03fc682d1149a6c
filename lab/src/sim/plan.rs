//! What happens in a run: who there is, what they do, and what goes wrong. All of it comes from the seed, before the run begins, so
//! that a fault can be left out without changing anything else.

use core::time::Duration;

use holler_core::model::{PresenceState, Priority};
use holler_core::units::FrameMs;

use crate::chance::Chance;
use crate::link::{Loss, Profile};

/// A thing that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A client's network is away. `told`: its system says so at once.
    Cut {
        /// Whose.
        client: usize,
        /// For how long, in ms.
        ms: u64,
        /// Whether sockets die and the return is announced.
        told: bool,
    },
    /// A client's connection passes nothing any more, and neither end is told.
    HalfOpen {
        /// Whose.
        client: usize,
    },
    /// A client's way is bad.
    Bad {
        /// Whose.
        client: usize,
        /// For how long, in ms.
        ms: u64,
        /// Loss, in parts of a million.
        loss: u32,
        /// Whether it comes in bursts.
        bursty: bool,
        /// Bytes a second downwards; 0: as many as come.
        rate: u64,
    },
    /// A client's process takes nothing from its socket.
    Lazy {
        /// Whose.
        client: usize,
        /// For how long, in ms.
        ms: u64,
    },
    /// The server's process is killed, or its machine loses power.
    KillServer {
        /// How long until it is back, in ms.
        ms: u64,
        /// Whether the machine goes, so that nobody's socket is closed.
        power: bool,
    },
    /// The server is asked to go down, and comes back.
    Drain {
        /// How long until it is back, in ms.
        ms: u64,
    },
    /// A client's process is killed, or its machine loses power.
    KillClient {
        /// Whose.
        client: usize,
        /// How long until it is back, in ms.
        ms: u64,
        /// Whether the machine goes.
        power: bool,
    },
    /// The server's disk is full, or its syncs fail.
    Disk {
        /// For how long, in ms.
        ms: u64,
        /// Whether nobody knows what was stored.
        unclear: bool,
    },
    /// A client's disk is full.
    ClientDisk {
        /// Whose.
        client: usize,
        /// For how long, in ms.
        ms: u64,
    },
    /// The server's wall clock jumps.
    ServerClock {
        /// By so many seconds.
        s: i64,
    },
    /// A client's wall clock jumps.
    ClientClock {
        /// Whose.
        client: usize,
        /// By so many seconds.
        s: i64,
    },
    /// A backup is taken.
    Backup,
    /// The server is killed and comes back from the last backup.
    Restore {
        /// How long until it is back, in ms.
        ms: u64,
    },
    /// A client's datagrams are lost, though its socket lives.
    UdpDead {
        /// Whose.
        client: usize,
        /// For how long, in ms.
        ms: u64,
        /// Those to the server.
        up: bool,
        /// Those from it.
        down: bool,
    },
    /// A client's datagrams are lost, doubled and overtaken.
    UdpBad {
        /// Whose.
        client: usize,
        /// For how long, in ms.
        ms: u64,
        /// Loss, in parts of a million.
        loss: u32,
    },
    /// A client's datagrams come from another address from now on.
    Moves {
        /// Whose.
        client: usize,
        /// Whether its system says so.
        told: bool,
    },
    /// What carries a client's voice path is gone.
    PathDies {
        /// Whose.
        client: usize,
    },
    /// A stranger sends copies of what a client sends, sooner and later.
    Watched {
        /// Whose.
        client: usize,
        /// For how long, in ms.
        ms: u64,
    },
    /// Another process of the same device connects, and goes.
    Twin {
        /// Whose.
        client: usize,
        /// How long it stays, in ms.
        ms: u64,
    },
}

/// What a person does.
#[derive(Clone, Debug)]
pub(super) enum Act {
    Write {
        room: usize,
    },
    Talk {
        room: usize,
        hold: Duration,
        priority: Priority,
        queue: bool,
        when_free: bool,
        frame_ms: FrameMs,
    },
    Cancel,
    Clear {
        room: usize,
    },
    /// Say how they are.
    Be {
        state: PresenceState,
    },
    /// See everything that is there.
    Read {
        room: usize,
    },
}

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where it comes from.
    pub seed: u64,
    pub(super) clients: Vec<Profile>,
    /// Each client's way for datagrams; `None`: it can't use any.
    pub(super) udp: Vec<Option<Profile>>,
    /// Nothing goes wrong but with datagrams, which are lost all or none: then a burst spoken live has no gaps to repair.
    pub(super) dry: bool,
    pub(super) rooms: usize,
    pub(super) acts: Vec<(Duration, usize, Act)>,
    /// What goes wrong and when, after the beginning.
    pub faults: Vec<(Duration, Fault)>,
    /// When the last of it is over.
    pub(super) calm_at: Duration,
    pub(super) token_s: u64,
    pub(super) with_sound: bool,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Plan {
    /// The run of a seed.
    pub fn of(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let mut people = chance.fork();
        let mut wrong = chance.fork();
        let count = usize::try_from(people.between(2, 5)).unwrap_or(2);
        let rooms = if people.one_in(3) { 2 } else { 1 };
        let mut clients: Vec<Profile> = (0..count).map(|_| profile(&mut people)).collect();
        let span = people.between(8_000, 40_000);
        let mut acts = Vec::new();
        for client in 0..count {
            for _ in 0..people.between(1, 8) {
                let at = ms(people.between(0, span));
                let room = usize::try_from(people.below(u64::try_from(rooms).unwrap_or(1))).unwrap_or_default();
                acts.push((at, client, act(&mut people, room)));
            }
        }
        let mut faults: Vec<(Duration, Fault)> = Vec::new();
        for _ in 0..wrong.between(0, 6) {
            let at = ms(wrong.between(0, span));
            let client = usize::try_from(wrong.below(u64::try_from(count).unwrap_or(1))).unwrap_or_default();
            faults.push((at, fault(&mut wrong, client)));
        }
        if wrong.one_in(6) {
            // Somebody is gone for longer than anybody may still be shown as here.
            let client = usize::try_from(wrong.below(u64::try_from(count).unwrap_or(1))).unwrap_or_default();
            let (long, coin) = (wrong.between(110_000, 170_000), wrong.one_in(2));
            let gone = match wrong.below(3) {
                0 => Fault::Cut { client, ms: long, told: coin },
                _ => Fault::KillClient { client, ms: long, power: coin },
            };
            faults.push((ms(wrong.between(0, span)), gone));
        }
        if wrong.one_in(8) {
            let at = wrong.between(0, span);
            faults.push((ms(at), Fault::Backup));
            faults.push((ms(at + wrong.between(100, 15_000)), Fault::Restore { ms: wrong.between(500, 8_000) }));
        }
        // What goes wrong with datagrams alone; the rest of a run is what it was without.
        let mut wet = Chance::new(seed ^ 0x0da7_a6a3);
        let dry = wet.one_in(3);
        if dry {
            faults.clear();
            for client in &mut clients {
                (client.loss, client.rate) = (Loss::NONE, None);
            }
            for (_, _, act) in &mut acts {
                if let Act::Talk { hold, priority, .. } = act {
                    // Nobody is interrupted.
                    *priority = Priority::Normal;
                    *hold += ms(if wet.one_in(2) { wet.below(6_000) } else { 0 });
                }
            }
        }
        for _ in 0..wet.between(0, 4) {
            let at = ms(wet.between(0, span));
            let client = usize::try_from(wet.below(u64::try_from(count).unwrap_or(1))).unwrap_or_default();
            faults.push((at, datagram_fault(&mut wet, client, dry)));
        }
        let udp = clients.iter().map(|client| (!wet.one_in(6)).then(|| datagrams(&mut wet, *client, dry))).collect();
        faults.sort_by_key(|(at, _)| *at);
        let over = faults.iter().map(|(at, fault)| *at + fault.lasts()).max().unwrap_or_default();
        let last = acts.iter().map(|(at, _, _)| *at).max().unwrap_or_default() + ms(if dry { 14_000 } else { 8_000 });
        let token_s = if wrong.one_in(4) { wrong.between(20, 90) } else { 600 };
        let (calm_at, with_sound) = (over.max(last), people.one_in(4));
        Self { seed, clients, udp, dry, rooms, acts, faults, calm_at, token_s, with_sound }
    }

    /// A client's way for datagrams when nothing is wrong with it.
    pub(super) fn udp_of(&self, client: usize) -> Profile {
        self.udp.get(client).copied().flatten().unwrap_or(Profile::plain(Duration::ZERO))
    }
}

/// A way as of a phone on LTE: 40 ms each way, up to 20 ms of jitter, one segment in 200 lost.
fn phone() -> Profile {
    Profile { jitter: ms(20), loss: Loss::Random { per_million: 5_000 }, ..Profile::plain(ms(40)) }
}

impl Plan {
    fn quiet(seed: u64, clients: usize) -> Self {
        let clients = vec![phone(); clients];
        let (acts, faults, udp) = (Vec::new(), Vec::new(), clients.iter().map(|way| Some(*way)).collect());
        Self {
            seed,
            clients,
            udp,
            dry: false,
            rooms: 1,
            acts,
            faults,
            calm_at: Duration::ZERO,
            token_s: 600,
            with_sound: false,
        }
    }

    /// Nobody says anything for `span`.
    pub fn idle(seed: u64, span: Duration) -> Self {
        Self { calm_at: span, ..Self::quiet(seed, 3) }
    }

    /// The first of four speaks for 30 s from the beginning on; `after` that their way is cut for 10 s, and 3 s later another
    /// takes the floor for 4 s. `told`: the first one's system says when the network is back.
    pub fn cut_burst(seed: u64, after: Duration, told: bool) -> Self {
        let talk = |hold| Act::Talk {
            room: 0,
            hold,
            priority: Priority::Normal,
            queue: true,
            when_free: false,
            frame_ms: FrameMs::Ms20,
        };
        let mut plan = Self::quiet(seed, 4);
        plan.acts = vec![(ms(2_000), 0, talk(ms(30_000))), (ms(2_000) + after + ms(3_000), 1, talk(ms(4_000)))];
        plan.faults = vec![(ms(2_000) + after, Fault::Cut { client: 0, ms: 10_000, told })];
        plan.calm_at = ms(60_000);
        plan
    }
}

fn profile(chance: &mut Chance) -> Profile {
    let delay = ms(*chance.pick(&[2, 10, 25, 60, 120, 300]).unwrap_or(&20));
    let jitter = ms(chance.below(40));
    let loss = if chance.one_in(3) { Loss::Random { per_million: 10_000 } } else { Loss::NONE };
    let rate = *chance.pick(&[None, None, None, Some(16_000), Some(6_000)]).unwrap_or(&None);
    Profile { jitter, loss, rate, ..Profile::plain(delay) }
}

/// A way for datagrams beside a client's socket.
fn datagrams(chance: &mut Chance, socket: Profile, dry: bool) -> Profile {
    let loss = if !dry && chance.one_in(3) { Loss::Random { per_million: 20_000 } } else { Loss::NONE };
    let reorder_by = ms(chance.between(5, 80));
    Profile { loss, reorder: 10_000, reorder_by, duplicate: 5_000, ..socket }
}

fn datagram_fault(chance: &mut Chance, client: usize, dry: bool) -> Fault {
    match chance.below(if dry { 8 } else { 10 }) {
        0..=2 => {
            let (up, down) = *chance.pick(&[(true, true), (true, false), (false, true)]).unwrap_or(&(true, true));
            // Long enough to be noticed, where no gap is allowed: what is shorter is loss, which is repaired later.
            let ms = if dry { chance.between(6_000, 30_000) } else { chance.between(50, 20_000) };
            Fault::UdpDead { client, ms, up, down }
        }
        3 | 4 => Fault::Moves { client, told: chance.one_in(2) },
        5 => Fault::PathDies { client },
        6 | 7 => Fault::Watched { client, ms: chance.between(1_000, 20_000) },
        _ => {
            let loss = u32::try_from(chance.between(10_000, 400_000)).unwrap_or_default();
            Fault::UdpBad { client, ms: chance.between(1_000, 20_000), loss }
        }
    }
}

/// What people say of themselves.
const STATES: &[PresenceState] =
    &[PresenceState::Available, PresenceState::Busy, PresenceState::Solo, PresenceState::Away];

fn act(chance: &mut Chance, room: usize) -> Act {
    match chance.below(13) {
        0..=4 => Act::Write { room },
        10 | 11 => Act::Read { room },
        12 => Act::Be { state: *chance.pick(STATES).unwrap_or(&PresenceState::Available) },
        5..=8 => Act::Talk {
            room,
            hold: ms(if chance.one_in(8) { chance.below(60) } else { chance.between(100, 3_500) }),
            priority: match chance.below(10) {
                0 => Priority::Emergency,
                1 | 2 => Priority::Elevated,
                _ => Priority::Normal,
            },
            queue: !chance.one_in(3),
            when_free: chance.one_in(2),
            frame_ms: if chance.one_in(4) { FrameMs::Ms20 } else { FrameMs::Ms60 },
        },
        _ => {
            if chance.one_in(2) {
                Act::Cancel
            } else {
                Act::Clear { room }
            }
        }
    }
}

fn fault(chance: &mut Chance, client: usize) -> Fault {
    let span = |chance: &mut Chance| {
        if chance.one_in(4) { chance.between(5_000, 45_000) } else { chance.between(50, 6_000) }
    };
    match chance.below(20) {
        0..=4 => Fault::Cut { client, ms: span(chance), told: chance.one_in(2) },
        5 | 6 => Fault::HalfOpen { client },
        7 | 8 => Fault::Bad {
            client,
            ms: span(chance),
            loss: u32::try_from(chance.between(10_000, 300_000)).unwrap_or_default(),
            bursty: chance.one_in(2),
            rate: if chance.one_in(2) { chance.between(500, 4_000) } else { 0 },
        },
        9 => Fault::Lazy { client, ms: span(chance) },
        10..=12 => Fault::KillServer { ms: span(chance), power: chance.one_in(2) },
        13 => Fault::Drain { ms: chance.between(200, 5_000) },
        14 | 15 => Fault::KillClient { client, ms: span(chance), power: chance.one_in(2) },
        16 => Fault::Disk { ms: span(chance), unclear: chance.one_in(2) },
        17 => Fault::ClientDisk { client, ms: span(chance) },
        18 => {
            let s = if chance.one_in(2) { 3_600 } else { -3_600 };
            if chance.one_in(2) { Fault::ServerClock { s } } else { Fault::ClientClock { client, s } }
        }
        _ => Fault::Twin { client, ms: chance.between(100, 3_000) },
    }
}

impl Fault {
    /// How long it lasts.
    pub(super) fn lasts(&self) -> Duration {
        match self {
            Self::Cut { ms: long, .. }
            | Self::Bad { ms: long, .. }
            | Self::Lazy { ms: long, .. }
            | Self::KillServer { ms: long, .. }
            | Self::Drain { ms: long }
            | Self::KillClient { ms: long, .. }
            | Self::Disk { ms: long, .. }
            | Self::ClientDisk { ms: long, .. }
            | Self::Restore { ms: long }
            | Self::UdpDead { ms: long, .. }
            | Self::UdpBad { ms: long, .. }
            | Self::Watched { ms: long, .. }
            | Self::Twin { ms: long, .. } => ms(*long),
            Self::Moves { .. }
            | Self::PathDies { .. }
            | Self::HalfOpen { .. }
            | Self::ServerClock { .. }
            | Self::ClientClock { .. }
            | Self::Backup => Duration::ZERO,
        }
    }
}
