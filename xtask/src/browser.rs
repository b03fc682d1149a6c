//! The web client in a real browser: `./x test browser`, `./x screenshots`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

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
    drive(None)?;
    Ok(Outcome::Passed)
}

/// The part in Firefox alone, as often as is wished. It is no step of `./x test`: on a busy machine what Firefox plays has gaps.
pub(crate) fn in_firefox(arguments: &[String]) -> Result<()> {
    let times = match arguments {
        [] => "1",
        [times] if times.parse::<u32>().is_ok_and(|times| times > 0) => times,
        _ => bail!("firefox takes how often, from 1 on"),
    };
    setup::ensure(&[Purpose::Build, Purpose::Trust, Purpose::Web, Purpose::Firefox])?;
    web::build()?;
    let mut lab = lab("browser")?;
    lab.arg("--firefox").arg(firefox().context("no Firefox")?).args(["--firefox-alone", times]);
    sh::run(&mut lab)
}

/// Every main screen, light and dark, for desk and phone, into `target/screenshots`.
pub(crate) fn screenshots(_arguments: &[String]) -> Result<()> {
    setup::ensure(&[Purpose::Build, Purpose::Trust, Purpose::Web])?;
    web::build()?;
    let folder = sh::target_dir().join("screenshots");
    drive(Some(&folder))?;
    println!("the screens are in {}", folder.display());
    Ok(())
}

fn drive(screenshots: Option<&Path>) -> Result<()> {
    let mut drive = lab("browser")?;
    if let Some(folder) = screenshots {
        drive.arg("--screenshots").arg(folder);
        return sh::run(&mut drive);
    }
    sh::run(&mut drive)?;
    // What a browser keeps, with real kills: each case once.
    sh::run(lab("browser-kills")?.args(["0", "--short"]))
}

/// A task of the lab that drives browsers.
fn lab(task: &str) -> Result<Command> {
    setup::ensure(&[Purpose::Browser, Purpose::Trust])?;
    sh::run(sh::cargo().args(["build", "--workspace", "--bins", "--locked", "--quiet"]))?;
    let mut lab = sh::program(sh::target_dir().join("debug").join("holler-lab"));
    lab.arg(task).arg("--modules").arg(npm::modules()?).arg("--chromium").arg(chromium().context("no Chromium")?);
    Ok(lab)
}
