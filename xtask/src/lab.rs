//! `./x lab NAME`: the long proofs and measurements of the lab, each a task of `holler-lab`.

use std::process::Command;

use anyhow::Result;

use crate::{setup, sh};

/// Runs the task with its arguments; without a name, lists the tasks.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    sh::run(program()?.args(arguments))
}

/// The lab, once it and the programs that it starts are built, optimised.
pub(crate) fn program() -> Result<Command> {
    setup::ensure(&[setup::Purpose::Build])?;
    // Tasks start the real programs, which lie beside the lab's.
    let mut programs = sh::cargo();
    let packages = ["-p", "holler-server", "-p", "holler-cli", "-p", "holler-lab"];
    sh::run(programs.args(["build", "--release", "--locked", "--quiet"]).args(packages).arg("--bins"))?;
    Ok(sh::program(sh::target_dir().join("release").join("holler-lab")))
}
