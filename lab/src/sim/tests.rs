use std::collections::BTreeSet;

use super::*;

fn plain(seed: u64) -> Outcome {
    run(&Plan::of(seed), Options::default())
}

/// The same seed gives the same run: here, again, in another thread, and beside a trace.
#[test]
fn a_run_replays_bit_for_bit() {
    for seed in [3, 7, 19] {
        let first = plain(seed);
        assert_eq!(plain(seed).hash, first.hash);
        let elsewhere = std::thread::spawn(move || plain(seed)).join().unwrap();
        assert_eq!((elsewhere.hash, elsewhere.steps), (first.hash, first.steps));
        let traced = run(&Plan::of(seed), Options { trace: true, ..Options::default() });
        assert_eq!(traced.hash, first.hash);
        assert!(traced.trace.len() > 50);
    }
    assert_ne!(plain(3).hash, plain(7).hash);
}

/// A share of the seeds; `./x lab sim` runs as many as wanted.
#[test]
fn seeds_without_a_violation() {
    const SEEDS: u64 = 800;
    const THREADS: u64 = 2;
    let part = |part: u64| {
        let mut tally = Tally::default();
        for seed in (part..SEEDS).step_by(usize::try_from(THREADS).unwrap()) {
            let outcome = plain(seed);
            assert_eq!(outcome.violations, [], "seed {seed}: ./x lab sim --seed {seed} --shrink --trace");
            tally.add(&outcome.tally);
        }
        tally
    };
    std::thread::scope(|scope| {
        let parts: Vec<_> = (0..THREADS).map(|at| scope.spawn(move || part(at))).collect();
        for tally in parts {
            let tally = tally.join().unwrap();
            assert!(
                tally.acked > SEEDS && tally.heard > SEEDS && tally.resumed > SEEDS / 8,
                "runs in which nothing happens prove nothing: {tally:?}"
            );
            assert!(tally.by_datagram > SEEDS * 50, "hardly anything goes by datagram: {tally:?}");
            assert!(tally.receipts > SEEDS && tally.here > SEEDS * 10, "nobody looks, nobody tells: {tally:?}");
        }
    });
}

/// Each fault that is built into the server is found, and by what it does.
#[test]
fn every_planted_fault_is_found() {
    for (plant, kinds) in [
        (Plant::AckUnsynced, ["lost", "disagreement"]),
        (Plant::ForgetSends, ["duplicate", "duplicate"]),
        (Plant::LoseEvents, ["gap", "lost"]),
        (Plant::Disagree, ["disagreement", "disagreement"]),
        (Plant::ForgetTerms, ["token", "token"]),
        (Plant::LoseChunks, ["burst incomplete", "not heard"]),
        (Plant::OldHead, ["stale read", "stale read"]),
        (Plant::LieAlive, ["presence lies", "presence"]),
        (Plant::ForgetReceipts, ["receipt lost", "receipt lost"]),
        (Plant::ForgetResend, ["gap", "gap"]),
        (Plant::TakeReplays, ["replayed", "replayed"]),
        (Plant::SessionOutlives, ["session outlives", "session outlives"]),
        (Plant::TrustAddresses, ["stranger", "stranger"]),
    ] {
        let mut found = BTreeSet::new();
        for seed in 0..400 {
            let outcome = run(&Plan::of(seed), Options { plant: Some(plant), ..Options::default() });
            found.extend(outcome.violations.iter().map(|violation| violation.kind));
            if kinds.iter().any(|kind| found.contains(kind)) {
                break;
            }
        }
        assert!(kinds.iter().any(|kind| found.contains(kind)), "{plant:?} was not found; found: {found:?}");
    }
    assert_eq!(Plant::ALL.len(), 13);
}
