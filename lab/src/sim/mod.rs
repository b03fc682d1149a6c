//! A seeded simulation: the real engine at several clients and the real machines of one server, in virtual time, over links that
//! misbehave, with processes that die and disks that keep only what was synced.
//!
//! A run is determined by its seed, bit for bit: the same seed gives the same trace on every machine and at any time.
//!
//! | part | real | stands for |
//! |---|---|---|
//! | `client` | `core::engine` | the native shell and its local store |
//! | `server` | `core::session`, `holler_server::home::Room` (with `core::floor` and `core::burst`), the gateway's outbox, `holler_server::presence::Board` (with `core::presence`), `holler_server::voice` (with `core::path`), resume tokens | the gateway's, the home's and the board's tasks |
//! | `disk` | `core::log` | SQLite with its writer |
//! | `conn` | | TCP and TLS: [`crate::link::Pipe`] |
//! | `udp` | `core::wire::sealed` | the native shell's UDP socket, and the network: [`crate::link::Datagrams`] |
//! | `plan` | | people and what goes wrong |
//! | `check` | [`crate::history`] | what must hold (DESIGN, invariants 1 to 6), during the run and once everything is quiet |

mod check;
mod client;
mod conn;
mod disk;
mod faults;
mod gateway;
mod plan;
mod server;
mod shell;
#[cfg(test)]
mod tests;
mod udp;
mod world;

use core::fmt;
use core::time::Duration;

use holler_core::units::BurstId;
pub use plan::{Fault, Plan};

/// A fault that is built into the server, to see that the checks find it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// A crash takes the last commit with it, though it was acked.
    AckUnsynced,
    /// The names of sends are forgotten.
    ForgetSends,
    /// Some events never reach the disk, though the head counts them.
    LoseEvents,
    /// Some readers of the log are given other texts.
    Disagree,
    /// A home that starts takes the term of the one before.
    ForgetTerms,
    /// Frames never reach the disk, though the events say so.
    LoseChunks,
    /// A subscriber is told an end of the log that is older than what was acked.
    OldHead,
    /// Whoever has no socket any more goes on being told as here.
    LieAlive,
    /// Receipts are answered and not stored.
    ForgetReceipts,
    /// What went by datagram never goes over the socket, whether it came or not.
    ForgetResend,
    /// A datagram counts however often it comes.
    TakeReplays,
    /// A voice path goes on when its socket has ended.
    SessionOutlives,
    /// Whoever copies a client's packets is believed to be where the client is.
    TrustAddresses,
}

impl Plant {
    /// Every one.
    pub const ALL: &'static [Self] = &[
        Self::AckUnsynced,
        Self::ForgetSends,
        Self::LoseEvents,
        Self::Disagree,
        Self::ForgetTerms,
        Self::LoseChunks,
        Self::OldHead,
        Self::LieAlive,
        Self::ForgetReceipts,
        Self::ForgetResend,
        Self::TakeReplays,
        Self::SessionOutlives,
        Self::TrustAddresses,
    ];
}

/// Something that must not be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// A stable word for its kind.
    pub kind: &'static str,
    /// What was found.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

/// How to run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// A fault in the server.
    pub plant: Option<Plant>,
    /// Whether to keep a readable trace.
    pub trace: bool,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// A hash over everything that happened.
    pub hash: u64,
    /// What must not be.
    pub violations: Vec<Violation>,
    /// Line by line, where it was asked for.
    pub trace: Vec<String>,
    /// Things that happened.
    pub steps: u64,
    /// What was done in it, to see that runs are not empty.
    pub tally: Tally,
    /// Which client had which burst whole, how long after the beginning.
    pub heard: Vec<(usize, BurstId, Duration)>,
    /// For each client, when its radio sent or received something, after the beginning.
    pub traffic: Vec<Vec<Duration>>,
}

impl Outcome {
    /// The burst that was heard last of those that somebody heard whole; of two, the longer.
    pub fn long_burst(&self) -> Option<BurstId> {
        self.heard.iter().max_by_key(|(_, _, at)| *at).map(|(_, burst, _)| *burst)
    }
}

/// What was done in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Sends that were acked.
    pub acked: u64,
    /// Bursts that were delivered.
    pub delivered: u64,
    /// Bursts that a listener had complete.
    pub heard: u64,
    /// Times that a client connected.
    pub connects: u64,
    /// Sockets that began with a resume token.
    pub resumed: u64,
    /// Receipts that the server stored.
    pub receipts: u64,
    /// Times that somebody was seen as here.
    pub here: u64,
    /// Frames that a client sent or got by datagram.
    pub by_datagram: u64,
}

impl Tally {
    /// Adds what was done in another run.
    pub fn add(&mut self, other: &Self) {
        self.acked += other.acked;
        self.delivered += other.delivered;
        self.heard += other.heard;
        self.connects += other.connects;
        self.resumed += other.resumed;
        self.receipts += other.receipts;
        self.here += other.here;
        self.by_datagram += other.by_datagram;
    }
}

/// Runs a plan.
pub fn run(plan: &Plan, options: Options) -> Outcome {
    world::World::new(plan, options).run()
}

/// Leaves out faults and people's acts as long as the run still ends in a violation of this kind; gives the smallest plan found.
pub fn shrink(plan: &Plan, options: Options, kind: &str) -> Plan {
    let fails = |plan: &Plan| run(plan, options).violations.iter().any(|violation| violation.kind == kind);
    let mut smallest = plan.clone();
    let mut progress = true;
    while progress {
        progress = false;
        for at in (0..smallest.faults.len()).rev() {
            let mut less = smallest.clone();
            less.faults.remove(at);
            if fails(&less) {
                smallest = less;
                progress = true;
            }
        }
        for at in (0..smallest.acts.len()).rev() {
            let mut less = smallest.clone();
            less.acts.remove(at);
            if fails(&less) {
                smallest = less;
                progress = true;
            }
        }
    }
    smallest
}
