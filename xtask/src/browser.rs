//! The web client in a real browser: `./x test browser`, `./x screenshots`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::setup::{self, Purpose};
use crate::sh::{self, Outcome};
use crate::{npm, web};

const NAMES: &[&str] = &["chromium", "chromium-browser", "google-chrome"];

/// The browser, where one is.
pub(crate) fn chromium() -> Option<PathBuf> {
    found(NAMES)
}

fn found(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().find_map(|name| folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file()))
}

/// Firefox, where it is.
pub(crate) fn firefox() -> Option<PathBuf> {
    found(&["firefox-esr", "firefox"])
}

/// A page and native clients talk with each other; what arrives is compared with what was said.
pub(crate) fn check() -> Result<Outcome> {
    drive(None, false)?;
    Ok(Outcome::Passed)
}

/// The same, and a part of it in Firefox. It is no step of `./x test`: Firefox does not open its microphone every time there.
pub(crate) fn with_firefox(_arguments: &[String]) -> Result<()> {
    setup::ensure(&[Purpose::Build, Purpose::Trust, Purpose::Web, Purpose::Firefox])?;
    web::build()?;
    drive(None, true)
}

/// Every main screen, light and dark, for desk and phone, into `target/screenshots`.
pub(crate) fn screenshots(_arguments: &[String]) -> Result<()> {
    setup::ensure(&[Purpose::Build, Purpose::Trust, Purpose::Web])?;
    web::build()?;
    let folder = sh::target_dir().join("screenshots");
    drive(Some(&folder), false)?;
    println!("the screens are in {}", folder.display());
    Ok(())
}

fn drive(screenshots: Option<&Path>, in_firefox: bool) -> Result<()> {
    setup::ensure(&[Purpose::Browser, Purpose::Trust])?;
    sh::run(sh::cargo().args(["build", "--workspace", "--bins", "--locked", "--quiet"]))?;
    let mut lab = sh::program(sh::target_dir().join("debug").join("holler-lab"));
    lab.arg("browser").arg("--modules").arg(npm::modules()?).arg("--chromium").arg(chromium().context("no Chromium")?);
    if in_firefox {
        lab.arg("--firefox").arg(firefox().context("no Firefox")?);
    }
    if let Some(folder) = screenshots {
        lab.arg("--screenshots").arg(folder);
        return sh::run(&mut lab);
    }
    sh::run(&mut lab)?;
    // What a browser keeps, with real kills: each case once.
    let mut kills = sh::program(sh::target_dir().join("debug").join("holler-lab"));
    kills.args(["browser-kills", "0", "--short", "--modules"]).arg(npm::modules()?);
    sh::run(kills.arg("--chromium").arg(chromium().context("no Chromium")?))
}
