use super::*;

/// A small generator of repeatable noise (xorshift64*).
struct Random(u64);

impl Random {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// Below `limit`; zero where that is zero.
    fn below(&mut self, limit: u64) -> u64 {
        if limit == 0 { 0 } else { (self.next() >> 11) % limit }
    }

    fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// A burst over a link, in virtual time, µs.
#[derive(Clone, Copy)]
struct Link {
    seed: u64,
    frames: u16,
    delay: u64,
    /// Extra delay, evenly drawn up to this.
    jitter: u64,
    /// Whether frames may overtake each other, as datagrams do.
    reorder: bool,
    loss_percent: u64,
    duplicate_percent: u64,
    /// The floor was granted this long after key-down; frames spoken before leave together.
    granted: u64,
    /// Nothing passes for this long after two seconds.
    stall: u64,
    /// The listener's clock runs this much faster, parts per million.
    drift_ppm: i64,
    entry: Entry,
    /// The listener subscribes at this time and gets what arrives from then on.
    joined: u64,
}

const CLEAN: Link = Link {
    seed: 1,
    frames: 500,
    delay: 1_000,
    jitter: 0,
    reorder: false,
    loss_percent: 0,
    duplicate_percent: 0,
    granted: 3_000,
    stall: 0,
    drift_ppm: 0,
    entry: Entry::Beginning,
    joined: 0,
};

/// Key-down, at a virtual time that is far from zero.
const START: u64 = 1_000_000_000;
/// Length of a frame, and how long the encoder takes and looks ahead.
const FRAME: u64 = 20_000;
const ENCODER: u64 = 7_000;

#[derive(Debug, Default)]
struct Heard {
    /// Frame, and time from the capture of its first sample until that sample played.
    frames: Vec<(u16, u64)>,
    recovered: Vec<u16>,
    concealed: Vec<u16>,
    silence_us: u64,
    tally: Tally,
    target: Duration,
}

impl Heard {
    fn percentile(&self, percent: usize, from: usize) -> f64 {
        let mut ages: Vec<u64> = self.frames[from..].iter().map(|(_, age)| *age).collect();
        ages.sort_unstable();
        let at = (ages.len() - 1) * percent / 100;
        f64::from(u32::try_from(ages[at]).unwrap()) / 1_000.0
    }

    fn numbers(&self) -> Vec<u16> {
        self.frames.iter().map(|(number, _)| *number).collect()
    }
}

/// When which frame arrives, with its age.
fn arrivals(link: &Link) -> Vec<(u64, u16, Duration)> {
    let mut random = Random::new(link.seed);
    let mut out = Vec::new();
    let mut last_arrival = 0;
    for number in 1..=link.frames {
        let captured = START + u64::from(number - 1) * FRAME;
        let sent = (captured + FRAME + ENCODER).max(START + link.granted);
        let mut arrives = sent + link.delay + random.below(link.jitter + 1);
        let stall_from = START + 2_000_000;
        if arrives >= stall_from && arrives < stall_from + link.stall {
            arrives = stall_from + link.stall;
        }
        if !link.reorder {
            arrives = arrives.max(last_arrival);
            last_arrival = arrives;
        }
        let (lost, twice) = (random.percent(link.loss_percent), random.percent(link.duplicate_percent));
        if lost || arrives < START + link.joined {
            continue;
        }
        let age = Duration::from_micros(sent - captured + link.delay);
        let arrives = drifted(arrives, link.drift_ppm);
        out.push((arrives, number, age));
        if twice {
            out.push((arrives + random.below(100_000), number, age));
        }
    }
    out.sort_unstable();
    out
}

fn drifted(at: u64, ppm: i64) -> u64 {
    let elapsed = i64::try_from(at - START).unwrap();
    START + u64::try_from(elapsed + elapsed * ppm / 1_000_000).unwrap()
}

/// Plays a burst as a shell does: ticks when the sound card needs sound, follows advice in every fifth frame (a silence).
fn play(link: &Link, history: History, reach: u16) -> (Heard, History) {
    let mut jitter = Jitter::new(FrameMs::Ms20, link.entry, history, reach);
    let arrivals = arrivals(link);
    let ends = drifted(START + u64::from(link.frames) * FRAME + ENCODER + 2 * link.delay, link.drift_ppm)
        .max(drifted(START + link.granted + link.delay, link.drift_ppm));
    let mut heard = Heard::default();
    let (mut at, mut now, mut finished) = (0, START, false);
    loop {
        while at < arrivals.len() && arrivals[at].0 <= now {
            let (arrived, number, age) = arrivals[at];
            jitter.insert(Mono(arrived), FrameNo(number), age);
            at += 1;
        }
        if !finished && now >= ends {
            jitter.finish(Mono(ends), Some(FrameNo(link.frames)));
            finished = true;
        }
        let step = match jitter.tick(Mono(now)) {
            Playout::End => break,
            Playout::Wait => {
                heard.silence_us += 1_000;
                1_000
            }
            Playout::Bridge => 10_000,
            Playout::Frame(number) => {
                let captured = drifted(START + u64::from(number.0 - 1) * FRAME, link.drift_ppm);
                heard.frames.push((number.0, now - captured));
                stretched(&jitter, number.0)
            }
            Playout::Recover { lost, from } => {
                assert!(from > lost && from.0 - lost.0 <= reach);
                heard.recovered.push(lost.0);
                FRAME
            }
            Playout::Conceal(lost) => {
                heard.concealed.push(lost.0);
                FRAME
            }
        };
        now += step;
        assert!(now < START + 60_000_000, "the burst never ends (seed {})", link.seed);
    }
    heard.tally = jitter.tally();
    heard.target = jitter.target();
    (heard, jitter.into_history())
}

fn stretched(jitter: &Jitter, number: u16) -> u64 {
    let span = |span: Duration| u64::try_from(span.as_micros()).unwrap().min(10_000);
    match jitter.advice() {
        Stretch::Shrink(excess) if number.is_multiple_of(5) => FRAME - span(excess),
        Stretch::Grow(lack) if number.is_multiple_of(5) => FRAME + span(lack),
        Stretch::Shrink(_) | Stretch::Grow(_) | Stretch::None => FRAME,
    }
}

fn all(frames: u16) -> Vec<u16> {
    (1..=frames).collect()
}

#[test]
fn a_clean_link_is_heard_whole_and_within_a_frame_of_buffering() {
    let (heard, history) = play(&CLEAN, History::default(), 5);
    assert_eq!(heard.numbers(), all(500));
    assert_eq!(heard.tally.bridges, 0);
    // 20 ms frame, 7 ms encoder, 1 ms link, 20 ms buffering.
    assert!(heard.frames[0].1 <= 49_000, "first frame: {} µs", heard.frames[0].1);
    assert!(heard.percentile(100, 0) <= 49.0);
    let (next, _) = play(&CLEAN, history, 5);
    assert!(next.frames[0].1 <= 39_000, "the second burst knows the link: {} µs", next.frames[0].1);
}

#[test]
fn jitter_grows_the_delay_and_no_frame_is_lost_to_it() {
    let mut bridges = (0, 0);
    for seed in 1..=50 {
        let link = Link { seed, jitter: 60_000, reorder: seed % 2 == 0, ..CLEAN };
        let (heard, history) = play(&link, History::default(), 5);
        let (again, _) = play(&Link { seed: seed + 1_000, ..link }, history, 5);
        for heard in [&heard, &again] {
            let lost = heard.recovered.len() + heard.concealed.len();
            assert_eq!(heard.frames.len() + lost, 500, "seed {seed}");
            if !link.reorder {
                assert_eq!(heard.numbers(), all(500), "seed {seed}");
            }
            assert!(heard.percentile(97, 50) <= 110.0, "seed {seed}: {} ms", heard.percentile(97, 50));
        }
        assert!(
            lost_share(&heard) <= 5.0 && lost_share(&again) <= 5.0,
            "seed {seed}: {:?} {:?}",
            heard.tally,
            again.tally
        );
        bridges.0 += heard.tally.bridges;
        bridges.1 += again.tally.bridges;
    }
    assert!(bridges.1 * 2 < bridges.0, "second bursts know the link: {bridges:?}");
}

fn lost_share(heard: &Heard) -> f64 {
    let lost = u32::try_from(heard.recovered.len() + heard.concealed.len()).unwrap();
    f64::from(lost) / 5.0
}

#[test]
fn lost_frames_are_recovered_from_later_ones_and_nothing_else_is_lost() {
    for seed in 1..=50 {
        let link = Link { seed, jitter: 10_000, loss_percent: 5 + 15 * (seed % 2), ..CLEAN };
        let (heard, _) = play(&link, History::default(), 5);
        let arrived: Vec<u16> = arrivals(&link).into_iter().map(|(_, number, _)| number).collect();
        assert_eq!(heard.numbers(), arrived, "seed {seed}: what arrived in order is played");
        for lost in all(500).into_iter().filter(|number| !arrived.contains(number)) {
            let later = arrived.iter().find(|number| **number > lost);
            let recoverable = later.is_some_and(|later| later - lost <= 5);
            assert_eq!(heard.recovered.contains(&lost), recoverable, "seed {seed}, frame {lost}");
        }
    }
}

#[test]
fn without_redundancy_single_losses_are_concealed() {
    let link = Link { loss_percent: 5, ..CLEAN };
    let (heard, _) = play(&link, History::default(), 0);
    assert!(heard.recovered.is_empty() && heard.concealed.len() >= 10, "{:?}", heard.tally);
}

#[test]
fn duplicates_change_nothing_but_the_count() {
    let mut jitter = Jitter::new(FrameMs::Ms20, Entry::Beginning, History::default(), 5);
    let age = Duration::from_millis(30);
    assert_eq!(jitter.insert(Mono(START), FrameNo(1), age), Inserted::Queued);
    assert_eq!(jitter.insert(Mono(START + 5), FrameNo(1), age), Inserted::Duplicate);
    assert_eq!(jitter.insert(Mono(START + 5), FrameNo(0), age), Inserted::Late);
    assert_eq!(jitter.tick(Mono(START + 20_000)), Playout::Frame(FrameNo(1)));
    assert_eq!(jitter.captured(), Some(Mono(START) - age));
    assert_eq!(jitter.insert(Mono(START + 21_000), FrameNo(1), age), Inserted::Late);
    for seed in 1..=20 {
        let link = Link { seed, duplicate_percent: 30, jitter: 5_000, ..CLEAN };
        assert_eq!(play(&link, History::default(), 5).0.numbers(), all(500), "seed {seed}");
    }
}

#[test]
fn a_late_beginning_is_heard_from_frame_1_and_the_delay_shrinks_again() {
    for granted in [100_000, 300_000, 1_000_000, 5_000_000] {
        let link = Link { granted, ..CLEAN };
        let (heard, history) = play(&link, History::default(), 5);
        assert_eq!(heard.numbers(), all(500));
        assert!(heard.frames[0].1 <= granted + 25_000, "played as soon as it is there: {} µs", heard.frames[0].1);
        if granted <= 1_000_000 {
            assert!(heard.frames[499].1 <= 60_000, "{granted}: ends with {} µs", heard.frames[499].1);
        }
        assert!(history.target_us() <= 20_000, "a late grant is not jitter: {history:?}");
    }
}

#[test]
fn the_tail_plays_to_the_last_frame_though_the_end_is_known_before_it_arrives() {
    for seed in 1..=50 {
        let link = Link { seed, frames: 60, delay: 100_000, jitter: 150_000, reorder: true, ..CLEAN };
        let (heard, _) = play(&link, History::default(), 5);
        assert_eq!(heard.frames.last().map(|(number, _)| *number), Some(60), "seed {seed}");
    }
}

#[test]
fn a_tail_that_never_comes_ends_the_burst_after_its_wait() {
    let mut jitter = Jitter::new(FrameMs::Ms20, Entry::Beginning, History::default(), 5);
    jitter.insert(Mono(START), FrameNo(1), Duration::ZERO);
    assert_eq!(jitter.tick(Mono(START + 20_000)), Playout::Frame(FrameNo(1)));
    jitter.finish(Mono(START + 20_000), Some(FrameNo(4)));
    assert_eq!(jitter.wake(), Some(Mono(START + 20_000) + TAIL_WAIT));
    assert_eq!(jitter.tick(Mono(START + 40_000)), Playout::Bridge);
    assert_eq!(jitter.tick(Mono(START + 300_000)), Playout::Wait);
    assert_eq!(jitter.tick(Mono(START + 20_000) + TAIL_WAIT), Playout::End);
    assert_eq!(jitter.tally(), Tally { played: 1, skipped: 3, bridges: 1, ..Tally::default() });
    assert_eq!((jitter.wake(), jitter.tick(Mono(START + 900_000))), (None, Playout::End));
}

#[test]
fn a_burst_of_which_nothing_came_ends() {
    let mut jitter = Jitter::new(FrameMs::Ms20, Entry::Beginning, History::default(), 5);
    assert_eq!((jitter.tick(Mono(START)), jitter.wake()), (Playout::Wait, None));
    jitter.finish(Mono(START), None);
    assert_eq!(jitter.tick(Mono(START)), Playout::End);
}

#[test]
fn a_stall_pauses_playing_loses_nothing_and_its_delay_is_shrunk() {
    for stall in [100_000, 400_000, 1_200_000] {
        let (heard, _) = play(&Link { stall, ..CLEAN }, History::default(), 5);
        assert_eq!(heard.numbers(), all(500), "stall of {stall} µs");
        let worst = heard.frames.iter().map(|(_, age)| *age).max().unwrap();
        assert!(worst <= stall + 60_000, "{worst} µs after a stall of {stall} µs");
        assert!(heard.frames[499].1 < worst / 2 + 50_000, "ends with {} of {worst} µs", heard.frames[499].1);
    }
}

#[test]
fn one_who_joins_mid_burst_hears_the_live_edge_at_once() {
    for joined in [1_000_000, 1_005_000, 1_013_000] {
        let link = Link { entry: Entry::LiveEdge, joined, ..CLEAN };
        let (heard, _) = play(&link, History::default(), 5);
        assert!(heard.frames[0].1 <= 49_000, "{:?}", heard.frames[0]);
        let first = heard.frames[0].0;
        assert_eq!(heard.numbers(), (first..=500).collect::<Vec<_>>());
    }
}

#[test]
fn late_entry_leaves_out_the_ring_that_the_home_sent_along() {
    let mut jitter = Jitter::new(FrameMs::Ms20, Entry::LiveEdge, History::default(), 5);
    for number in 81..=130 {
        jitter.insert(Mono(START), FrameNo(number), Duration::from_millis(20 * (131 - u64::from(number))));
    }
    assert_eq!(jitter.tick(Mono(START)), Playout::Frame(FrameNo(129)));
    assert_eq!(jitter.insert(Mono(START), FrameNo(80), Duration::ZERO), Inserted::Late);
}

#[test]
fn the_drift_of_a_clock_is_followed() {
    for drift_ppm in [-300, 300] {
        let link = Link { frames: 2_500, drift_ppm, ..CLEAN };
        let (heard, _) = play(&link, History::default(), 5);
        assert_eq!(heard.numbers(), all(2_500));
        assert!(heard.percentile(100, 0) <= 65.0, "{drift_ppm} ppm: {} ms", heard.percentile(100, 0));
    }
}

#[test]
fn any_trace_ends_and_plays_each_frame_at_most_once_and_in_order() {
    for seed in 1..=300 {
        let mut random = Random::new(seed);
        let link = Link {
            seed,
            frames: 1 + u16::try_from(random.below(200)).unwrap(),
            delay: random.below(300_000),
            jitter: random.below(300_000),
            reorder: random.percent(50),
            loss_percent: random.below(90),
            duplicate_percent: random.below(50),
            granted: random.below(2_000_000),
            stall: random.below(1_000_000),
            drift_ppm: 0,
            entry: if random.percent(50) { Entry::Beginning } else { Entry::LiveEdge },
            joined: 0,
        };
        let (heard, _) = play(&link, History::default(), u16::try_from(random.below(6)).unwrap());
        assert!(heard.numbers().is_sorted_by(|a, b| a < b), "seed {seed}");
        let tally = heard.tally;
        let sum = tally.played + tally.recovered + tally.concealed + tally.skipped;
        if link.entry == Entry::Beginning {
            assert_eq!(sum, u32::from(link.frames), "seed {seed}: every frame is accounted for");
        }
    }
}

/// Prints what a listener would measure; decides nothing.
#[test]
#[expect(clippy::print_stdout, reason = "it is there to be read, with --nocapture")]
fn print_the_delays() {
    println!(
        "mouth to ear in ms (20 ms frame, 7 ms encoder, 1 ms link; without the sound card), after the first second"
    );
    println!(
        "{:<34} {:>6} {:>6} {:>6} {:>8} {:>8} {:>8}",
        "link", "p50", "p97", "max", "target", "recov. %", "bridges"
    );
    for (name, link) in [
        ("no jitter, first burst", CLEAN),
        ("jitter 0 to 30 ms", Link { jitter: 30_000, ..CLEAN }),
        ("jitter 0 to 60 ms (mean 30)", Link { jitter: 60_000, ..CLEAN }),
        ("jitter 0 to 60 ms, overtaking", Link { jitter: 60_000, reorder: true, ..CLEAN }),
        ("5 % loss", Link { loss_percent: 5, ..CLEAN }),
        ("20 % loss", Link { loss_percent: 20, ..CLEAN }),
        ("20 % loss, jitter 0 to 30 ms", Link { loss_percent: 20, jitter: 30_000, ..CLEAN }),
        ("grant after 300 ms", Link { granted: 300_000, ..CLEAN }),
        ("stall of 400 ms", Link { stall: 400_000, ..CLEAN }),
    ] {
        let (heard, _) = play(&link, History::default(), 5);
        println!(
            "{name:<34} {:>6.1} {:>6.1} {:>6.1} {:>8.1} {:>8.1} {:>8}",
            heard.percentile(50, 50),
            heard.percentile(97, 50),
            heard.percentile(100, 50),
            heard.target.as_secs_f64() * 1_000.0,
            lost_share(&heard),
            heard.tally.bridges
        );
    }
}
