//! `./x demo`: speech in at one client, out at three others, through a real server over TLS, measured.

use anyhow::Result;

use crate::{passed_on, setup, sh};

/// Builds the demo optimised (its figures would mean little otherwise) and runs it with the arguments given.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    setup::ensure(&[setup::Purpose::Build])?;
    // The demo runs the real programs, which lie beside it.
    let mut programs = sh::cargo();
    sh::run(programs.args([
        "build",
        "--release",
        "--locked",
        "-p",
        "holler-server",
        "-p",
        "holler-cli",
        "-p",
        "holler-lab",
        "--bins",
    ]))?;
    let mut command = sh::cargo();
    command.args(["run", "--release", "--locked", "--quiet", "-p", "holler-lab", "--bin", "holler-demo", "--"]);
    sh::run(command.args(passed_on(arguments)))
}
