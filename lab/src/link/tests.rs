use super::*;

const START: Mono = Mono(1_000_000);

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn run(profile: Profile, count: u64, gap: Duration) -> (Vec<(u64, Duration)>, Vec<Sent>) {
    let mut link = Datagrams::new(profile, Chance::new(7));
    let mut now = START;
    let sent = (0..count)
        .map(|number| {
            let sent = link.send(now, 100, number);
            now = now + gap;
            sent
        })
        .collect();
    let mut arrived = Vec::new();
    while let Some(at) = link.next_at() {
        assert!(link.receive(Mono(at.0 - 1)).is_none(), "before its time");
        arrived.push((link.receive(at).unwrap(), at.since(START)));
    }
    (arrived, sent)
}

#[test]
fn the_delay_is_kept_and_jitter_stays_within_its_span_without_overtaking() {
    let (arrived, _) = run(Profile::plain(ms(30)), 10, ms(20));
    assert!(arrived.iter().all(|(number, at)| *at == ms(30 + number * 20)));
    let profile = Profile { jitter: ms(50), ..Profile::plain(ms(30)) };
    let (arrived, _) = run(profile, 500, ms(20));
    let late = |(number, at): &(u64, Duration)| *at - ms(30 + number * 20);
    assert!(arrived.iter().all(|item| late(item) <= ms(50)));
    assert!(arrived.iter().any(|item| late(item) > ms(40)) && arrived.iter().any(|item| late(item) < ms(10)));
    assert!(arrived.iter().map(|(number, _)| *number).eq(0..500));
}

#[test]
fn random_loss_is_as_often_as_stated_and_comes_singly() {
    let profile = Profile { loss: Loss::Random { per_million: 100_000 }, ..Profile::plain(ms(1)) };
    let (_, sent) = run(profile, 20_000, ms(20));
    let lost = sent.iter().filter(|sent| **sent == Sent::Lost).count();
    assert!((1_800..2_200).contains(&lost), "{lost}");
    let pairs = sent.windows(2).filter(|pair| pair == &[Sent::Lost, Sent::Lost]).count();
    assert!(pairs < 300, "{pairs} of 2,000 follow another: independent losses would make 200");
}

#[test]
fn bursty_loss_comes_in_bursts() {
    let loss = Loss::Bursty { worsens: 10_000, heals: 100_000, good: 0, bad: 900_000 };
    let (_, sent) = run(Profile { loss, ..Profile::plain(ms(1)) }, 50_000, ms(20));
    let lost = sent.iter().filter(|sent| **sent == Sent::Lost).count();
    // One part in eleven of the time is bad, and nine in ten are lost then.
    assert!((3_500..4_700).contains(&lost), "{lost}");
    let pairs = sent.windows(2).filter(|pair| pair == &[Sent::Lost, Sent::Lost]).count();
    assert!(pairs * 10 > lost * 7, "{pairs} of {lost} follow another");
}

#[test]
fn a_rate_spreads_what_comes_at_once_and_its_queue_is_bounded() {
    let profile = Profile { rate: Some(10_000), queue_bytes: 1_000, ..Profile::plain(ms(5)) };
    let (arrived, sent) = run(profile, 30, Duration::ZERO);
    assert_eq!(sent.iter().filter(|sent| **sent == Sent::Carried).count(), 10);
    assert_eq!(sent.iter().filter(|sent| **sent == Sent::Dropped).count(), 20);
    assert!(arrived.iter().zip(1..).all(|((_, at), number)| *at == ms(5 + 10 * number)));
}

#[test]
fn reordering_lets_others_overtake_and_doubling_brings_some_twice() {
    let profile = Profile { reorder: 100_000, reorder_by: ms(70), duplicate: 50_000, ..Profile::plain(ms(5)) };
    let (arrived, sent) = run(profile, 2_000, ms(20));
    let twice = sent.iter().filter(|sent| **sent == Sent::Twice).count();
    assert!((60..140).contains(&twice) && arrived.len() == 2_000 + twice);
    let overtaken = arrived.windows(2).filter(|pair| pair[0].0 > pair[1].0).count();
    assert!((120..300).contains(&overtaken), "{overtaken}");
}

#[test]
fn a_cut_loses_datagrams_also_those_on_their_way() {
    let mut link = Datagrams::new(Profile::plain(ms(50)), Chance::new(1));
    assert_eq!(link.send(START, 10, 1), Sent::Carried);
    link.cut();
    assert_eq!(link.send(START, 10, 2), Sent::Cut);
    link.heal();
    assert_eq!(link.send(START, 10, 3), Sent::Carried);
    assert_eq!(link.receive(START + ms(50)), Some(3));
    assert_eq!(link.next_at(), None);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let profile = Profile {
        jitter: ms(40),
        loss: Loss::Random { per_million: 50_000 },
        reorder: 10_000,
        reorder_by: ms(30),
        duplicate: 10_000,
        ..Profile::plain(ms(20))
    };
    assert_eq!(run(profile, 1_000, ms(3)), run(profile, 1_000, ms(3)));
}

fn drain(pipe: &mut Pipe<u64>) -> Vec<(u64, Duration)> {
    let mut arrived = Vec::new();
    while let Some(at) = pipe.next_at() {
        arrived.push((pipe.receive(at).unwrap(), at.since(START)));
    }
    arrived
}

#[test]
fn in_a_pipe_loss_is_delay_and_everything_behind_it_waits() {
    let profile = Profile { loss: Loss::Random { per_million: 10_000 }, ..Profile::plain(ms(20)) };
    let mut pipe = Pipe::new(profile, Chance::new(3));
    for number in 0..5_000 {
        pipe.send(START + ms(10 * number), 100, number);
    }
    let arrived = drain(&mut pipe);
    assert!(arrived.iter().map(|(number, _)| *number).eq(0..5_000), "all, once, in order");
    let late = |(number, at): &(u64, Duration)| *at - ms(20 + 10 * number);
    assert!(arrived.iter().any(|item| late(item) >= ms(200)));
    // About 50 are lost, and each holds the 19 that are sent within the next 200 ms.
    let held = arrived.iter().filter(|item| late(item) > ms(0)).count();
    assert!((600..1_500).contains(&held), "{held}");
}

#[test]
fn a_cut_stalls_a_pipe_and_it_goes_on_with_the_next_retransmission() {
    let mut pipe = Pipe::new(Profile::plain(ms(20)), Chance::new(3));
    pipe.send(START, 100, 1);
    pipe.send(START + ms(30), 100, 2);
    pipe.cut(START + ms(25));
    assert_eq!(pipe.receive(START + ms(25)), Some(1));
    pipe.send(START + ms(40), 100, 3);
    assert_eq!(pipe.next_at(), None, "silence");
    pipe.heal(START + ms(2_000));
    // Tries at 225, 625, 1,425 and 3,025 ms.
    assert_eq!(drain(&mut pipe), [(2, ms(3_045)), (3, ms(3_045))]);
}

#[test]
fn a_receiver_that_takes_nothing_fills_the_senders_buffer() {
    let profile = Profile { queue_bytes: 1_000, ..Profile::plain(ms(20)) };
    let mut pipe = Pipe::new(profile, Chance::new(3));
    let mut number = 0;
    while pipe.has_room() {
        pipe.send(START, 100, number);
        number += 1;
    }
    assert_eq!((number, pipe.waiting()), (10, 10));
    assert_eq!(pipe.receive(START + ms(20)), Some(0));
    assert!(pipe.has_room());
}

#[test]
fn a_rate_slows_a_pipe() {
    let profile = Profile { rate: Some(1_000), ..Profile::plain(ms(20)) };
    let mut pipe = Pipe::new(profile, Chance::new(3));
    for number in 0..10 {
        pipe.send(START, 100, number);
    }
    assert!(drain(&mut pipe).iter().zip(1..).all(|((_, at), number)| *at == ms(20 + 100 * number)));
}
