//! `./x check pure`: the core builds for browsers, which have no sockets, files, clock or threads to offer it.
//!
//! Two routes lead there. A toolchain that has the target builds as usual. Where rustup cannot add it, Debian's
//! `rust-web-src` brings the sources of the standard library, and cargo builds that along (`-Zbuild-std`).

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::setup::{self, Purpose};
use crate::sh::{self, Outcome};

/// What browsers run.
pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// How this machine can build for the web.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Route {
    /// The toolchain has the target.
    Target,
    /// Debian's toolchain with the sources of the standard library.
    BuildStd,
}

/// The route that is open now, if one is.
pub(crate) fn route() -> Option<Route> {
    let sysroot = sh::output(sh::program("rustc").args(["--print", "sysroot"])).unwrap_or_default();
    let has = |sysroot: &str, part: &str| Path::new(sysroot).join("lib/rustlib").join(part).exists();
    if !sysroot.is_empty() && has(sysroot.trim(), &format!("{TARGET}/lib")) {
        return Some(Route::Target);
    }
    let debian = has("/usr", "src/rust/library/Cargo.lock") && Path::new("/usr/bin/cargo").exists();
    debian.then_some(Route::BuildStd)
}

/// Lets rustup add the target where it can. A refusal is no failure: the other route is tried next.
pub(crate) fn add_target() {
    if route().is_none() && sh::on_path("rustup") {
        println!("adding {TARGET} with rustup: the core must build for browsers");
        if !sh::succeeds(sh::program("rustup").args(["target", "add", TARGET])) {
            println!("rustup could not add it here");
        }
    }
}

/// cargo as it builds for the web here: `build`, with the target and whatever that takes.
pub(crate) fn cargo() -> Result<Command> {
    cargo_does("build")
}

/// cargo as it does something for the web here, with the target and whatever that takes.
pub(crate) fn cargo_does(what: &str) -> Result<Command> {
    let route = route();
    let mut command = match route {
        Some(Route::Target) => sh::cargo(),
        Some(Route::BuildStd) => {
            // Debian's own cargo with its own rustc: the sources belong to exactly that version.
            let mut command = sh::program("/usr/bin/cargo");
            command.env("RUSTC", "/usr/bin/rustc").env("RUSTC_BOOTSTRAP", "1").env_remove("RUSTUP_TOOLCHAIN");
            if !sh::on_path("rust-lld") && sh::on_path("wasm-ld-19") {
                command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", "wasm-ld-19");
                command.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS", "-Clinker-flavor=wasm-ld");
            }
            command
        }
        None => bail!("neither rustup nor Debian's rust-web-src brought {TARGET}"),
    };
    command.args([what, "--locked", "--target", TARGET]);
    if route == Some(Route::BuildStd) {
        command.arg("-Zbuild-std=std,panic_abort");
    }
    Ok(command)
}

/// Builds the core for the web, in a target folder of its own so that native builds stay warm.
pub(crate) fn check() -> Result<Outcome> {
    setup::ensure(&[Purpose::Web])?;
    let mut command = cargo()?;
    command.args(["-p", "holler-core", "--lib"]);
    sh::run(command.env("CARGO_TARGET_DIR", sh::target_dir().join("web")))?;
    Ok(Outcome::Passed)
}
