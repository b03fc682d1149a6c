//! `./x lab NAME`: the long proofs and measurements of the lab, each a task of `holler-lab`.

use anyhow::Result;

use crate::{setup, sh};

/// Builds the lab and the programs that it starts, optimised, and runs the task with its arguments; without a name, lists the
/// tasks.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::ensure(&[setup::Purpose::Build])?;
    // Tasks start the real programs, which lie beside the lab's.
    let mut programs = sh::cargo();
    let packages = ["-p", "holler-server", "-p", "holler-cli", "-p", "holler-lab"];
    sh::run(programs.args(["build", "--release", "--locked", "--quiet"]).args(packages).arg("--bins"))?;
    let mut command = sh::program(sh::target_dir().join("release").join("holler-lab"));
    sh::run(command.args(arguments))
}
