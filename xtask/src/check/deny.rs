//! `./x check deny`: licences, sources and duplicate versions of what we build on, by cargo-deny and `deny.toml`.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::sh::{self, Outcome};

const VERSION: &str = "0.20.2";

/// The checks that need nothing but the lock file. `cargo deny check advisories` needs the network: run it by hand.
pub(crate) fn check() -> Result<Outcome> {
    let program = if sh::on_path("cargo-deny") {
        PathBuf::from("cargo-deny")
    } else if sh::in_ci() {
        installed()?
    } else {
        let hint = format!("cargo-deny is not installed; `cargo install --locked cargo-deny@{VERSION}` brings it");
        return Ok(Outcome::Skipped(hint));
    };
    let mut command = sh::program(program);
    sh::run(command.args(["--offline", "--all-features", "check", "licenses", "bans", "sources"]))?;
    Ok(Outcome::Passed)
}

/// CI builds it once into a folder that outlives the clone.
fn installed() -> Result<PathBuf> {
    let home = std::env::var_os("HOME").context("HOME is not set: no place to install cargo-deny")?;
    let folder = PathBuf::from(home).join(".cache/holler/tools");
    let program = folder.join("bin/cargo-deny");
    if !program.exists() {
        let mut command = sh::cargo();
        command.args(["install", "--quiet", "--locked", "--root"]).arg(&folder).arg(format!("cargo-deny@{VERSION}"));
        // What it builds has no business in our target folder.
        sh::run(command.env_remove("CARGO_TARGET_DIR"))?;
    }
    Ok(program)
}
