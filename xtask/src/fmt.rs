//! `./x fmt`: formats every crate.

use anyhow::Result;

use crate::sh;

/// Formats in place.
pub(crate) fn run(_arguments: &[String]) -> Result<()> {
    sh::run(sh::cargo().args(["fmt", "--all"]))
}
