//! `cold`: how long a server takes from its start until it serves.

use std::cell::RefCell;
use std::time::Instant;

use anyhow::{Context as _, Result};

use super::Setting;
use super::peers::{self, Peer};
use super::report::Bench;
use super::rounds::{Contender, Rounds, Sample};
use super::wire::Wire;
use super::world::{Plan, World};

const PEOPLE: u64 = 1_000;
const PEERS: [(Wire, &str, &str); 3] =
    [(Wire::Nats, "NATS", "nats"), (Wire::Redis, "Redis", "redis"), (Wire::Mqtt, "mosquitto", "mosquitto")];

/// Runs it.
pub(super) fn run(setting: &Setting) -> Result<Bench> {
    let plan = Plan { people: PEOPLE, rooms: vec![(0, PEOPLE)], events: 1_000 };
    let world = RefCell::new(World::start(setting, &plan)?);
    let certificate = world.borrow().certificate();
    let mut contenders = vec![Contender::new("ours", || {
        let mut world = world.borrow_mut();
        world.stop()?;
        let began = Instant::now();
        world.serve(setting)?;
        Ok(Sample::new(0.0, [("ms", began.elapsed().as_secs_f64() * 1e3)]))
    })];
    for (wire, _, name) in PEERS {
        if peers::absent(wire).is_none() {
            let certificate = &certificate;
            contenders.push(Contender::new(name, move || {
                let began = Instant::now();
                let _peer = Peer::start(setting, wire, certificate)?.context("it was there a moment ago")?;
                Ok(Sample::new(0.0, [("ms", began.elapsed().as_secs_f64() * 1e3)]))
            }));
        }
    }
    let rounds = Rounds::run(setting.pairs, &mut contenders)?;
    drop(contenders);
    let mut bench = Bench::new(
        "From the start of the process on its one core until it says that it serves (ours: over a data folder of 1,000 people and 1,000 \
         messages) or takes a connection (the others: with nothing stored). The disk's cache is warm.",
    );
    bench.discarded = rounds.discarded;
    let others: Vec<_> = PEERS
        .iter()
        .filter(|(wire, ..)| peers::absent(*wire).is_none())
        .map(|(_, title, name)| (*title, *name, "ms"))
        .collect();
    bench.compare(&rounds, ("until it serves", "ms"), ("ours", "ms"), &others, None);
    for (wire, ..) in PEERS {
        peers::absent(wire).into_iter().for_each(|note| bench.note(note));
    }
    Ok(bench)
}
