//! `./x bench`: how fast, how small and how soon, beside peers and the physical floor, on this machine and in one run.
//!
//! Programs under test are the real ones, each a process of its own on a core of its own; the generator of the load, which is this
//! process, has another core. Clients are real in what travels: TLS, tokens that the server's key signed, the socket's protocol.
//! Everything is on the loopback.
//!
//! What is compared is measured in rounds: each contender once, one after the other, then the next round, so that what changes on
//! the machine meanwhile changes it for all. The ratio is taken within a round; of all rounds the median is given, with the least and the
//! most. A round in which the generator's core was full says more about the generator than about the server: it is thrown away, and
//! the report says how many were.
//!
//! | module | what it holds |
//! |---|---|
//! | [`rounds`] | rounds, spreads and percentiles |
//! | [`machine`] | cores, what a process used, and which machine this is |
//! | [`world`] | a data folder with people and rooms in it, and the server on it |
//! | [`wire`] | how the messages of each protocol are told apart |
//! | [`fleet`] | thousands of connections |
//! | [`peers`] | the other servers |
//! | [`report`], [`page`] | what was found, as JSON and as `docs/PERFORMANCE.md` |
//!
//! The rest is one module a bench.

mod cold;
mod durable;
mod fanout;
mod fleet;
mod floor;
mod idle;
mod instructions;
mod live;
mod machine;
mod page;
mod peers;
mod report;
mod rounds;
mod speech;
mod sync;
mod udp;
mod voice;
mod wire;
mod world;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};

use holler_server::serve::raise_open_files;

use self::machine::Cores;
use self::report::{Bench, Report};
use crate::programs;
use crate::tasks::say;

/// What `bench` takes.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// These only; without a name all of them
    #[arg(value_parser = BENCHES.map(|(name, ..)| name))]
    pub name: Vec<String>,
    /// Print the report as JSON, too
    #[arg(long)]
    pub json: bool,
    /// Rounds of each comparison; fewer than 7 are good for a look only
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=99))]
    pub pairs: u32,
    /// Idle connections; the goals are for as many as there are by default
    #[arg(long, value_name = "COUNT", default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(100..=9_000))]
    pub clients: u32,
    /// Where hollerd and holler are [default: beside this program]
    #[arg(long, value_name = "FOLDER")]
    pub programs: Option<PathBuf>,
    /// On the disk that is to be measured: what the servers store goes here [default: the current folder]
    #[arg(long, value_name = "FOLDER")]
    pub disk: Option<PathBuf>,
    /// Put the results into this report, and write the page beside it (its name in capitals, with .md)
    #[arg(long, value_name = "FILE.json")]
    pub report: Option<PathBuf>,
    /// Do what `instructions` counts, once, and nothing else: it is run so under valgrind
    #[arg(long, hide = true)]
    pub count: bool,
}

/// What every bench is given.
struct Setting {
    pairs: u32,
    clients: usize,
    cores: Cores,
    programs: PathBuf,
    disk: PathBuf,
    /// What the report that is there says of the instructions.
    landed: Option<Bench>,
}

type Run = fn(&Setting) -> Result<Bench>;

/// Name, what it is about, and the function. In the order of the page.
const BENCHES: [(&str, &str, Run); 10] = [
    ("durable", "Durable sends", durable::run),
    ("idle", "Idle connections, and all of them coming back at once", idle::run),
    ("floor", "The floor", floor::run),
    ("fanout", "One message to a thousand", fanout::run),
    ("voice", "Voice to many", voice::run),
    ("sync", "A room's whole log", sync::run),
    ("cold", "Cold start", cold::run),
    ("live", "Live bursts: mouth to ear, and late entry", live::run),
    ("speech", "Speech quality against loss", speech::run),
    ("instructions", "Instructions of the hot paths", instructions::run),
];

/// Runs what was asked for. `false`: one of them could not be run.
pub(crate) fn run(options: &Options) -> Result<bool> {
    if options.count {
        return instructions::work().map(|()| true);
    }
    let programs = programs::folder(options.programs.as_deref())?;
    let disk = options.disk.clone().unwrap_or_else(|| PathBuf::from("."));
    let cores = Cores::take()?;
    // Thousands of connections; and what is started has the same.
    raise_open_files();
    let clients = usize::try_from(options.clients)?;
    let mut report = match &options.report {
        Some(path) => Report::read(path)?,
        None => Report::default(),
    };
    let landed = report.benches.iter().find(|bench| bench.name == "instructions").cloned();
    let setting = Setting { pairs: options.pairs, clients, cores, programs, disk, landed };
    report.is_of(machine::describe(&setting.disk)?);
    let mut failed = Vec::new();
    for (name, title, bench) in BENCHES {
        if !options.name.is_empty() && !options.name.iter().any(|wanted| wanted == name) {
            continue;
        }
        tell(&format!("{name}: {title}"));
        let begin = Instant::now();
        match bench(&setting) {
            Ok(mut found) => {
                found.sign(name, title, options.pairs, begin.elapsed())?;
                if !options.json {
                    say(&page::section(&found));
                }
                tell(&format!("{name}: took {:.0} s", begin.elapsed().as_secs_f64()));
                report.put(found, &BENCHES.map(|(name, ..)| name));
                if let Some(path) = &options.report {
                    write(path, &report)?;
                }
            }
            Err(error) => {
                tell(&format!("{name} could not be run: {error:#}"));
                failed.push(name);
            }
        }
    }
    if options.json {
        say(&report.json()?);
    }
    if failed.is_empty() {
        return Ok(true);
    }
    tell(&format!("could not be run: {}", failed.join(", ")));
    Ok(false)
}

fn write(path: &Path, report: &Report) -> Result<()> {
    if path.extension().is_none_or(|extension| extension != "json") {
        bail!("--report: expected a name that ends in .json; found {}", path.display());
    }
    // Pages are written large.
    let name = path.file_stem().unwrap_or_default().to_string_lossy().to_uppercase();
    let page = path.with_file_name(format!("{name}.md"));
    for (path, text) in [(path.to_owned(), report.json()? + "\n"), (page, page::page(report))] {
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

/// Says what is going on, beside the report.
fn tell(what: &str) {
    let _ = writeln!(std::io::stderr(), "bench: {what}");
}
