//! Cores, what a process used, and which machine this is.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// Which core runs the server under test, and which the generator of its load.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cores {
    server: usize,
    generator: usize,
}

impl Cores {
    /// The first two that this process may use. From now on it runs on the second.
    pub(super) fn take() -> Result<Self> {
        let allowed = sched_getaffinity(None).context("which cores there are")?;
        let mut cores = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core));
        let (server, generator) = (cores.next(), cores.next());
        let (Some(server), Some(generator)) = (server, generator) else {
            anyhow::bail!("two cores are needed, one for the server and one for the generator; found one");
        };
        pin(generator)?;
        Ok(Self { server, generator })
    }

    /// What is started inside runs on the server's core, and so does all that it starts.
    pub(super) fn on_servers<T>(self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        pin(self.server)?;
        let started = start();
        pin(self.generator)?;
        started
    }

    /// What is started inside runs on the generator's core, whoever starts it; then it goes back to the server's.
    pub(super) fn on_generators<T>(self, start: impl FnOnce() -> Result<T>) -> Result<T> {
        pin(self.generator)?;
        let started = start();
        pin(self.server)?;
        started
    }
}

fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).with_context(|| format!("staying on core {core}"))
}

/// What the process `pid` has used, over all its threads, those that ended too.
pub(super) fn cpu_of(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    // Its name, in parentheses, may hold anything.
    let (_, fields) = stat.rsplit_once(") ").with_context(|| format!("{path} has no name in it"))?;
    let ticks: Vec<u64> = fields.split(' ').skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    ensure!(ticks.len() == 2, "{path} does not say what it used");
    let rate = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_micros(ticks.iter().sum::<u64>() * 1_000_000 / rate.max(1)))
}

/// The same to the nanosecond, over the threads that there are: for servers that start none and end none meanwhile.
pub(super) fn cpu_exactly(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/task");
    let mut sum = Duration::ZERO;
    for thread in std::fs::read_dir(&path).with_context(|| path.clone())? {
        let stat = std::fs::read_to_string(thread?.path().join("schedstat")).context("a thread's schedstat")?;
        let ran = stat.split(' ').next().and_then(|first| first.parse().ok()).context("a thread's time")?;
        sum += Duration::from_nanos(ran);
    }
    // Where the kernel does not keep it.
    if sum.is_zero() { cpu_of(pid) } else { Ok(sum) }
}

/// Resident memory of the process `pid`, bytes.
pub(super) fn resident(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    let line =
        text.lines().find_map(|line| line.strip_prefix("Rss:")).with_context(|| format!("{path} names no Rss"))?;
    let kilobytes: u64 = line.trim().trim_end_matches(" kB").trim().parse().with_context(|| path.clone())?;
    Ok(kilobytes * 1_024)
}

/// How much of its core this process uses from now on.
pub(super) struct Usage {
    wall: Instant,
    cpu: Duration,
}

impl Usage {
    pub(super) fn begin() -> Self {
        Self { wall: Instant::now(), cpu: own_cpu() }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.wall.elapsed()
    }

    /// 0 to 1.
    pub(super) fn share(&self) -> f64 {
        (own_cpu() - self.cpu).as_secs_f64() / self.wall.elapsed().as_secs_f64().max(1e-9)
    }
}

fn own_cpu() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// A machine, as a reader of the figures must know it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Machine {
    pub(super) cpu: String,
    pub(super) cores: usize,
    pub(super) memory_gib: u64,
    pub(super) kernel: String,
    /// The device and file system that `--disk` is on.
    pub(super) disk: String,
    pub(super) virtual_machine: bool,
}

pub(super) fn describe(disk: &Path) -> Result<Machine> {
    let info = std::fs::read_to_string("/proc/cpuinfo").context("/proc/cpuinfo")?;
    let field = |name: &str| {
        info.lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim())
    };
    let memory = std::fs::read_to_string("/proc/meminfo").context("/proc/meminfo")?;
    let kilobytes =
        memory.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().split(' ').next()?.parse::<u64>().ok());
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").context("/proc/sys/kernel/osrelease")?;
    // Its flavour and build say which machine's it is, and nothing about speed.
    let release = release.trim().split(['-', '+']).next().unwrap_or_default().to_owned();
    Ok(Machine {
        cpu: field("model name").unwrap_or("unknown").to_owned(),
        cores: std::thread::available_parallelism().map_or(1, usize::from).max(info.matches("processor\t").count()),
        memory_gib: kilobytes.unwrap_or(0).div_ceil(1 << 20),
        kernel: format!("Linux {release}"),
        disk: device(disk)?,
        virtual_machine: field("flags").is_some_and(|flags| flags.split(' ').any(|flag| flag == "hypervisor")),
    })
}

/// The file system under a folder, and what it lies on.
fn device(folder: &Path) -> Result<String> {
    let folder = folder.canonicalize().with_context(|| folder.display().to_string())?;
    let mounts = std::fs::read_to_string("/proc/self/mounts").context("/proc/self/mounts")?;
    let found = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (device, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        folder.starts_with(place).then_some((place.len(), device, kind))
    });
    let found = found.max_by_key(|(length, ..)| *length);
    Ok(found.map_or_else(
        || "unknown".into(),
        |(_, device, kind)| {
            let device = device.rsplit('/').next().unwrap_or(device);
            format!("{kind} on {device}")
        },
    ))
}
