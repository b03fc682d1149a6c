//! Two ends in virtual time, a link between them that loses, delays and dies, and a socket that never does.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::units::{FloorToken, FrameNo};
use crate::wire::voice::{FrameAge, VoiceKind};

const MS: Duration = Duration::from_millis(1);
const FRAME: Duration = Duration::from_millis(20);

fn frame(burst: u8, number: u16, age: Duration) -> Bytes {
    let frame = VoiceFrame {
        kind: VoiceKind::Live,
        age: FrameAge::from(age),
        number: FrameNo(number),
        tag: BurstTag([burst; 8]),
        token: FloorToken { term: 1, counter: u32::from(burst) },
        payload: Bytes::from(vec![burst; 60]),
    };
    frame.encode()
}

/// What a link does to datagrams.
#[derive(Clone, Copy, Debug)]
struct Weather {
    lost_per_mille: u32,
    delay: Duration,
    dead: bool,
}

struct World {
    now: Mono,
    ends: [Path; 2],
    weather: [Weather; 2],
    chance: u32,
    on_the_way: Vec<(Mono, usize, u32, Bytes)>,
    sent: [usize; 2],
    /// When each frame came to the other end, from its end of sending: by datagram or over the socket.
    came: BTreeMap<(usize, u8, u16), Duration>,
    by_socket: usize,
    complaints: usize,
}

impl World {
    fn new() -> Self {
        let now = Mono(1_000_000);
        let weather = Weather { lost_per_mille: 0, delay: 20 * MS, dead: false };
        Self {
            now,
            ends: [Path::new(now, End::Client), Path::new(now, End::Server)],
            weather: [weather; 2],
            chance: 7,
            on_the_way: Vec::new(),
            sent: [0; 2],
            came: BTreeMap::new(),
            by_socket: 0,
            complaints: 0,
        }
    }

    fn post(&mut self, from: usize, counter: u32, inner: Vec<u8>) {
        assert!(inner.len() <= INNER_BYTES_MAX);
        self.sent[from] += 1;
        self.chance = self.chance.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let weather = self.weather[from];
        if !weather.dead && self.chance / 65_536 % 1_000 >= weather.lost_per_mille {
            self.on_the_way.push((self.now + weather.delay, 1 - from, counter, inner.into()));
        }
    }

    fn note(&mut self, from: usize, frame: &VoiceFrame) {
        self.came.entry((from, frame.tag.0[0], frame.number.0)).or_insert(frame.age.duration() + 20 * MS);
    }

    fn late(&mut self, from: usize) {
        for frame in self.ends[from].resend(self.now) {
            self.by_socket += 1;
            self.note(from, &VoiceFrame::decode(&frame).unwrap());
        }
    }

    /// Everything that happens within the next 5 ms.
    fn step(&mut self) {
        self.now = self.now + 5 * MS;
        let due: Vec<_> = self.on_the_way.extract_if(.., |(at, ..)| *at <= self.now).collect();
        for (_, to, counter, inner) in due {
            let mut frames = Vec::new();
            self.ends[to].received(self.now, counter, &inner, &mut frames).unwrap();
            for frame in &frames {
                self.note(1 - to, frame);
            }
        }
        for end in 0..2 {
            if self.ends[end].poll_timeout().is_some_and(|at| at <= self.now) {
                self.ends[end].timeout(self.now);
            }
            let mut inner = Vec::new();
            while let Some(counter) = self.ends[end].next(self.now, &mut inner) {
                self.post(end, counter, std::mem::take(&mut inner));
            }
        }
        if self.ends[0].take_stalled() {
            self.complaints += 1;
            self.ends[1].stalled(self.now);
        }
        self.late(0);
        self.late(1);
    }

    fn run(&mut self, span: Duration) {
        let until = self.now + span;
        while self.now < until {
            self.step();
        }
    }

    fn talk(&mut self, from: usize, burst: u8, number: u16) -> Route {
        let route = self.utter(from, burst, number);
        self.run(FRAME);
        route
    }

    /// Sends a frame; no time passes.
    fn utter(&mut self, from: usize, burst: u8, number: u16) -> Route {
        let (mut inner, frame) = (Vec::new(), frame(burst, number, FRAME));
        let route = self.ends[from].voice(self.now, &frame, &mut inner);
        if let Route::Datagram(counter) | Route::Both(counter) = route {
            self.post(from, counter, inner);
        }
        if matches!(route, Route::Socket | Route::Both(_)) {
            self.by_socket += 1;
            self.note(from, &VoiceFrame::decode(&frame).unwrap());
            self.ends[1 - from].live(self.now);
        }
        self.late(from);
        route
    }

    /// Says frames from `first` on, and gives the way that each went: `d`, `b` or `s`.
    fn say(&mut self, from: usize, burst: u8, first: u16, count: u16) -> String {
        (first..first + count)
            .map(|number| match self.talk(from, burst, number) {
                Route::Datagram(_) => 'd',
                Route::Both(_) => 'b',
                Route::Socket => 's',
            })
            .collect()
    }

    fn missing(&self, from: usize, burst: u8, count: u16) -> Vec<u16> {
        (1..=count).filter(|number| !self.came.contains_key(&(from, burst, *number))).collect()
    }

    fn latest(&self) -> Duration {
        self.came.values().copied().max().unwrap()
    }
}

#[test]
fn a_path_that_carries_takes_over_within_a_round_trip() {
    let mut world = World::new();
    assert_eq!(world.say(0, 1, 1, 3), "sss", "nothing is proved yet");
    assert_eq!(world.say(0, 1, 4, 47), "d".repeat(47));
    world.run(Duration::from_secs(30));
    let after_a_pause = world.say(0, 2, 1, 50);
    let both = after_a_pause.find('d').unwrap();
    assert_eq!(after_a_pause, "b".repeat(both) + &"d".repeat(50 - both), "both ways until the first report");
    assert!((1..=3).contains(&both), "{after_a_pause}");
    assert!(world.missing(0, 1, 50).is_empty() && world.missing(0, 2, 50).is_empty());
    assert_eq!(world.ends[0].figures().rtt, Some(40 * MS));
}

#[test]
fn a_path_that_dies_while_one_talks_costs_no_frame() {
    for from in 0..2 {
        let mut world = World::new();
        world.run(Duration::from_secs(1));
        world.say(from, 1, 1, 100);
        let healthy = world.by_socket;
        world.weather[from].dead = true;
        let ways = world.say(from, 1, 101, 300);
        assert!(world.missing(from, 1, 400).is_empty(), "{ways}");
        assert!(healthy <= 5, "{healthy} over the socket while all was well");
        let both = ways.find('b').unwrap();
        // How long proof is fresh, and how long before the cut the last one came.
        let (fresh, wait) = if from == 0 { (380 + 100, 600 * MS) } else { (1_200 + 500, 1_500 * MS) };
        assert!(both * 20 <= fresh + 40, "{ways}");
        assert!(world.latest() <= wait, "{:?}", world.latest());
        assert_eq!(ways.len() - ways.find('s').unwrap(), ways.matches('s').count(), "then the socket alone: {ways}");
        assert!(!world.ends[from].figures().up);
        // It is taken up again once it has proved itself, and not at once.
        world.weather[from].dead = false;
        let ways = world.say(from, 1, 401, 400);
        assert!(ways.starts_with("sss") && ways.ends_with("ddd"), "{ways}");
        assert!(world.missing(from, 1, 800).is_empty());
    }
}

#[test]
fn a_way_back_that_dies_is_no_proof() {
    let mut world = World::new();
    world.run(Duration::from_secs(1));
    world.say(0, 1, 1, 50);
    // What the talker sends arrives; what the server says of it does not.
    world.weather[1].dead = true;
    let ways = world.say(0, 1, 51, 250);
    assert!(ways.starts_with("ddd") && ways.contains("bbb") && ways.ends_with("sss"), "{ways}");
}

#[test]
fn a_listener_says_at_once_that_datagrams_stopped() {
    let mut world = World::new();
    world.run(Duration::from_secs(1));
    world.ends[0].expect(world.now, true);
    world.say(1, 1, 1, 60);
    assert_eq!(world.complaints, 0);
    world.weather[1].dead = true;
    let ways = world.say(1, 1, 61, 100);
    assert_eq!(world.complaints, 1);
    assert!(world.missing(1, 1, 160).is_empty(), "{ways}");
    assert!(ways.find('s').unwrap() <= 10, "{ways}");
    assert!(world.latest() <= 260 * MS, "{:?}", world.latest());
}

#[test]
fn a_talker_who_falls_silent_is_not_taken_for_a_dead_path() {
    let mut world = World::new();
    world.run(Duration::from_secs(1));
    world.ends[0].expect(world.now, true);
    world.say(1, 1, 1, 60);
    world.run(300 * MS);
    assert_eq!(world.complaints, 1, "the listener can't know");
    let ways = world.say(1, 1, 61, 50);
    assert!(!ways.contains('s'), "the server does: {ways}");
}

#[test]
fn loss_is_answered_with_copies() {
    let mut world = World::new();
    world.weather = [Weather { lost_per_mille: 200, ..world.weather[0] }; 2];
    world.run(Duration::from_secs(2));
    world.say(0, 1, 1, 100);
    assert_eq!(world.ends[0].figures().copies, 2);
    assert!((100..350).contains(&world.ends[0].figures().loss_sent), "{:?}", world.ends[0].figures());
    let before = world.by_socket;
    world.say(0, 1, 101, 1_000);
    let lost = world.missing(0, 1, 1_100).into_iter().filter(|number| *number > 100).count();
    assert!(lost <= 30, "{lost} of 1,000: a fifth three times over is 8");
    assert!(world.by_socket - before <= 150, "the path goes on carrying alone: {}", world.by_socket - before);
}

#[test]
fn a_path_that_never_carried_costs_nothing() {
    let mut world = World::new();
    world.weather[0].dead = true;
    assert_eq!(world.say(0, 1, 1, 100), "s".repeat(100));
    world.run(Duration::from_secs(600));
    assert!((10..25).contains(&world.sent[0]), "{} datagrams in ten minutes", world.sent[0]);
    assert_eq!(world.sent[1], 0);
}

#[test]
fn a_quiet_path_is_kept_open_and_takes_little() {
    let mut world = World::new();
    world.run(Duration::from_secs(1));
    world.say(0, 1, 1, 100);
    world.run(Duration::from_secs(10));
    let before = world.sent[0];
    world.run(Duration::from_secs(100));
    assert!((4..=6).contains(&(world.sent[0] - before)), "{} probes in 100 s", world.sent[0] - before);
    assert_eq!(world.ends[0].recent.capacity(), 0);
}

/// UDP is dead for a while in which nobody talks, and comes back: both ends know of both within seconds.
#[test]
fn a_quiet_path_that_was_dead_proves_itself_again_by_itself() {
    for dead in [[true, true], [true, false], [false, true]] {
        // Not when a wait that doubled for so long would end by chance.
        for span in [20, 80] {
            let mut world = World::new();
            world.run(Duration::from_secs(1));
            world.say(0, 1, 1, 50);
            world.say(1, 2, 1, 50);
            world.run(Duration::from_secs(10));
            (world.weather[0].dead, world.weather[1].dead) = (dead[0], dead[1]);
            let gone = world.now;
            while world.ends[0].figures().up {
                world.step();
                assert!(
                    world.now.since(gone) <= Duration::from_secs(25),
                    "{dead:?}: it is said to carry, and does not"
                );
            }
            world.run(Duration::from_secs(span));
            assert!(!world.ends[0].figures().up, "{dead:?}");
            for weather in &mut world.weather {
                weather.dead = false;
            }
            world.run(Duration::from_secs(5));
            assert!(world.ends[0].figures().up && world.ends[1].figures().up, "{dead:?} for {span} s");
            // With it the first word goes by datagram again, at least beside the socket.
            assert!(!world.say(0, 3, 1, 50).contains('s') && !world.say(1, 4, 1, 50).contains('s'), "{dead:?}");
        }
    }
}

/// The server gave the path up in the middle of a burst. It takes it up again when nobody talks.
#[test]
fn a_server_that_gave_a_path_up_knows_within_seconds_that_it_is_back() {
    for dead in [[true, true], [true, false], [false, true]] {
        let mut world = World::new();
        world.run(Duration::from_secs(1));
        world.say(1, 1, 1, 50);
        (world.weather[0].dead, world.weather[1].dead) = (dead[0], dead[1]);
        world.say(1, 1, 51, 300);
        assert!(!world.ends[1].figures().up);
        world.run(Duration::from_secs(40));
        for weather in &mut world.weather {
            weather.dead = false;
        }
        world.run(Duration::from_secs(6));
        assert!(world.ends[0].figures().up && world.ends[1].figures().up, "{dead:?}");
    }
}

#[test]
fn a_frame_is_given_out_once_as_the_newest_or_as_a_copy() {
    let now = Mono(1);
    let mut path = Path::new(now, End::Server);
    let mut received = |counter, newest, copy| {
        let decode = |number| VoiceFrame::decode(&frame(1, number, FRAME)).unwrap();
        let (mut inner, mut frames) = (Vec::new(), Vec::new());
        Datagram::Voice { newest: decode(newest), copies: vec![decode(copy)] }.put(&mut inner);
        path.received(now, counter, &inner.into(), &mut frames).unwrap();
        frames.into_iter().map(|frame| frame.number.0).collect::<Vec<_>>()
    };
    assert_eq!(received(1, 5, 3), [3, 5]);
    assert_eq!(received(2, 5, 3), [] as [u16; 0], "the same again");
    assert_eq!(received(3, 3, 1), [1], "overtaken");
    assert_eq!(received(4, 6, 4), [4, 6]);
}

#[test]
fn a_path_that_stays_dead_wakes_the_radio_ever_less() {
    let mut world = World::new();
    world.run(Duration::from_secs(1));
    world.say(0, 1, 1, 50);
    world.weather[0].dead = true;
    world.run(Duration::from_mins(6));
    let first = world.sent[0];
    world.run(Duration::from_mins(10));
    assert!((8..=20).contains(&(world.sent[0] - first)), "{} in ten minutes", world.sent[0] - first);
}

/// What was sent to where the other end no longer is goes over the socket, and what follows goes both ways until there is proof of it.
#[test]
fn who_moves_in_the_middle_of_a_burst_misses_nothing() {
    let mut world = World::new();
    world.run(Duration::from_secs(1));
    world.say(1, 1, 1, 50);
    world.weather[1].dead = true;
    assert_eq!(world.say(1, 1, 51, 5), "ddddd", "nobody knows yet");
    world.ends[1].moved(world.now);
    let ways = world.say(1, 1, 56, 5);
    assert_eq!(ways, "bbbbb");
    world.weather[1].dead = false;
    world.ends[1].moved(world.now);
    let ways = world.say(1, 1, 61, 60);
    assert!(ways.starts_with("bb") && ways.ends_with("ddd") && !ways.contains('s'), "{ways}");
    assert!(world.missing(1, 1, 120).is_empty());
    assert!(world.latest() <= 200 * MS, "{:?}", world.latest());
}

/// What was recorded while others talked is sent at once when the floor comes: more than a path remembers.
#[test]
fn what_is_sent_faster_than_it_was_spoken_is_not_forgotten() {
    let mut world = World::new();
    world.run(Duration::from_secs(1));
    world.say(1, 1, 1, 50);
    world.weather[1].dead = true;
    for number in 51..=250 {
        let (mut inner, frame) = (Vec::new(), frame(1, number, FRAME));
        assert!(matches!(world.ends[1].voice(world.now, &frame, &mut inner), Route::Datagram(_)), "nobody knows yet");
        world.late(1);
    }
    world.say(1, 1, 251, 100);
    assert!(world.missing(1, 1, 350).is_empty(), "{:?}", world.missing(1, 1, 350));
    assert!(world.ends[1].recent.len() <= RECENT_MAX);
}

/// Faster than a listener who reports now and then could tell of each datagram.
#[test]
fn four_who_talk_at_once_go_by_datagram_and_not_over_the_socket_a_second_time() {
    for from in 0..2 {
        let mut world = World::new();
        world.run(Duration::from_secs(1));
        for number in 1..=250 {
            for burst in 1..=4 {
                world.utter(from, burst, number);
            }
            world.run(FRAME);
        }
        assert!((1..=4).all(|burst| world.missing(from, burst, 250).is_empty()));
        assert!(
            world.by_socket <= 12,
            "end {from}: {} over the socket, of which the start needs three of each",
            world.by_socket
        );
        let told = world.sent[1 - from];
        assert!(told <= 70, "{told} datagrams to say what came of a thousand");
    }
}

#[test]
fn where_the_other_end_is_must_be_shown_before_anything_it_says_is_proof() {
    let now = Mono(1);
    let mut path = Path::unplaced(now, End::Server);
    assert_eq!(path.challenge([7; 8], &mut Vec::new()), Some(1));
    let mut inner = Vec::new();
    Datagram::Report(Report { highest: 1, came: 1, map: 0 }).put(&mut inner);
    path.received(now, 1, &inner.into(), &mut Vec::new()).unwrap();
    assert!(!path.figures().up, "the counter is easily guessed");
    assert_eq!(path.voice(now, &frame(1, 1, FRAME), &mut Vec::new()), Route::Socket);
    path.placed(now);
    assert!(path.figures().up, "what it told before counts");
    assert!(matches!(path.voice(now, &frame(1, 2, FRAME), &mut Vec::new()), Route::Datagram(2)));
}

/// One that came again would seal two datagrams under one nonce.
#[test]
fn a_path_whose_counters_ran_out_says_nothing_more() {
    let mut world = World::new();
    world.run(Duration::from_secs(1));
    let (now, path) = (world.now, &mut world.ends[0]);
    path.proved_at = Some(now);
    assert!(!path.is_worn());
    path.counter = u32::MAX - 1;
    path.reported.highest = path.counter;
    assert!(path.is_worn());
    let mut out = Vec::new();
    assert_eq!(path.voice(now, &frame(1, 1, FRAME), &mut out), Route::Datagram(u32::MAX));
    assert_eq!(path.voice(now, &frame(1, 2, FRAME), &mut Vec::new()), Route::Socket);
    assert_eq!(path.resend(now).len(), 1, "nobody will say that the one before came");
    path.network_changed(now);
    path.answer = Some(1);
    path.report_at = Some(now);
    assert_eq!((path.next(now, &mut Vec::new()), path.challenge([1; 8], &mut Vec::new())), (None, None));
    assert_eq!(path.poll_timeout(), None, "nobody is woken for what can't be said");
    assert_eq!(path.counter, u32::MAX);
}

/// A complaint that comes when the burst is over changes nothing but this: its last words go over the socket.
#[test]
fn the_last_words_get_to_a_listener_who_says_that_they_did_not() {
    let mut world = World::new();
    world.run(Duration::from_secs(1));
    world.ends[0].expect(world.now, true);
    world.say(1, 1, 1, 60);
    world.weather[1].dead = true;
    world.say(1, 1, 61, 2);
    world.run(500 * MS);
    assert_eq!(world.complaints, 1);
    assert!(world.missing(1, 1, 62).is_empty(), "{:?}", world.missing(1, 1, 62));
    assert!(world.latest() <= 300 * MS, "{:?}", world.latest());
    assert!(world.ends[1].figures().up, "for all that is known");
}

#[test]
fn a_change_of_the_network_is_asked_about_at_once() {
    let mut world = World::new();
    world.run(Duration::from_secs(20));
    let before = world.sent[0];
    world.ends[0].network_changed(world.now);
    world.step();
    assert_eq!(world.sent[0] - before, 1);
}

#[test]
fn a_datagram_counts_once_and_nobody_is_believed_who_has_what_was_not_sent() {
    let now = Mono(1);
    let mut path = Path::new(now, End::Server);
    let mut inner = Vec::new();
    Datagram::Report(Report { highest: 9, came: 9, map: 0 }).put(&mut inner);
    let (inner, mut frames) = (Bytes::from(inner), Vec::new());
    assert_eq!(path.received(now, 1, &inner, &mut frames), Ok(()));
    assert_eq!(path.received(now, 1, &inner, &mut frames), Err(DatagramError::Replayed(1)));
    assert!(!path.figures().up, "nine datagrams are reported of none that were sent");
    assert_eq!(path.voice(now, &frame(1, 1, FRAME), &mut Vec::new()), Route::Socket);
}

#[test]
fn copies_are_of_the_same_burst_and_fit() {
    let mut world = World::new();
    world.weather = [Weather { lost_per_mille: 200, ..world.weather[0] }; 2];
    world.run(Duration::from_secs(2));
    world.say(0, 1, 1, 150);
    let decode = |path: &mut Path, now, frame: &Bytes| {
        let mut inner = Vec::new();
        path.voice(now, frame, &mut inner);
        let Ok(Datagram::Voice { newest, copies }) = Datagram::decode(&inner.into()) else { panic!("no voice") };
        assert_eq!(newest.encode(), frame);
        copies
    };
    let (now, path) = (world.now, &mut world.ends[0]);
    path.proved_at = Some(now);
    let copies = decode(path, now, &frame(1, 151, FRAME));
    let told: Vec<_> = copies.iter().map(|copy| (copy.number.0, copy.age.duration())).collect();
    assert_eq!(told, [(149, 60 * MS), (147, 100 * MS)], "their ages as of now");
    assert!(decode(path, now, &frame(2, 1, FRAME)).is_empty(), "another burst");
    let mut long = BytesMut::from(&*frame(1, 152, FRAME));
    long.resize(INNER_BYTES_MAX - VOICE_HEADER_BYTES - 70, 1);
    assert_eq!(decode(path, now, &long.freeze()).len(), 1, "as many as there is room for");
}

proptest! {
    /// A second of speech over any link, and back to the socket at its end: every frame is there.
    #[test]
    fn nothing_said_is_lost(
        lost in prop::array::uniform2(0..1_000_u32), delays in prop::array::uniform2(1..150_u32), seed: u32,
        from in 0..2_usize, cut in prop::option::of((0..60_u16, 0..2_usize)), before in 0..3_000_u32,
    ) {
        let mut world = World::new();
        world.chance = seed;
        for end in 0..2 {
            world.weather[end] = Weather { lost_per_mille: lost[end], delay: delays[end] * MS, dead: false };
        }
        world.run(before * MS);
        world.ends[0].expect(world.now, from == 1);
        for number in 1..=60 {
            if let Some((_, end)) = cut.filter(|(at, _)| *at == number) {
                world.weather[end].dead = true;
            }
            world.talk(from, 1, number);
        }
        world.ends[from].flush(world.now);
        world.step();
        prop_assert!(world.missing(from, 1, 60).is_empty(), "{:?}", world.missing(from, 1, 60));
    }
}
