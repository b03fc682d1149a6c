//! `./x bench`: what `docs/PERFORMANCE.md` says, measured on this machine.

use anyhow::{Result, bail};

use crate::setup::{self, Purpose};
use crate::{lab, sh};

/// The report; the page lies beside it.
const REPORT: &str = "docs/performance.json";

/// Builds the programs, optimised, and measures. Other servers that it measures beside ours are used where they are here; `--peers`
/// installs those that are not.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let (peers, passed): (Vec<_>, Vec<_>) = arguments.iter().partition(|argument| *argument == "--peers");
    if peers.is_empty() {
        setup::say_missing(
            &[Purpose::Peers],
            "`./x bench --peers` installs them; until then nothing stands beside ours",
        );
    } else {
        setup::ensure(&[Purpose::Peers])?;
    }
    let mut command = lab::program()?;
    // On the disk where the builds are, since /tmp may be memory.
    command.arg("bench").arg("--report").arg(REPORT).arg("--disk").arg(sh::target_dir()).args(&passed);
    if passed.iter().any(|argument| *argument == "--json") {
        // Nothing but the report goes to standard output.
        let status = command.status()?;
        return if status.success() { Ok(()) } else { bail!("the benches failed ({status})") };
    }
    sh::run(&mut command)
}
