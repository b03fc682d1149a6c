//! `./x build`: release builds of the server and the command line client.

use std::path::PathBuf;

use anyhow::Result;

use crate::{setup, sh};

/// Builds and says where the binaries are.
pub(crate) fn run(_arguments: &[String]) -> Result<()> {
    setup::ensure(&[setup::Purpose::Build])?;
    release()?;
    println!("built {} and {}", binary("hollerd").display(), binary("holler").display());
    Ok(())
}

/// Builds both binaries, optimised.
pub(crate) fn release() -> Result<()> {
    sh::run(sh::cargo().args(["build", "--release", "--locked", "-p", "holler-server", "-p", "holler-cli"]))
}

/// Where a release binary is.
pub(crate) fn binary(name: &str) -> PathBuf {
    sh::target_dir().join("release").join(name)
}
