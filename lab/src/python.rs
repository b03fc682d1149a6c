//! Programs in Python, installed at a stated version into a folder of their own under the user's caches.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::tasks::say;

/// Where `program` (a path in the folder) is, once these packages are installed from PyPI into the folder of this name.
pub(crate) fn with(name: &str, packages: &[String], program: &str) -> Result<PathBuf> {
    let caches = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let caches = caches.or_else(|| std::env::home_dir().map(|home| home.join(".cache")));
    let folder = caches.context("this user has no home folder")?.join("holler").join(name);
    // Written last: an installation that broke off is made anew.
    let done = folder.join("installed");
    if !done.exists() {
        say(&format!("installing {} into {}", packages.join(" and "), folder.display()));
        let hint = "python3 with its venv is needed (Debian: python3-venv)";
        run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder), hint)?;
        let mut pip = Command::new(folder.join("bin").join("pip"));
        run(
            pip.args(["install", "--quiet", "--disable-pip-version-check"]).args(packages),
            "pip installs it from PyPI",
        )?;
        std::fs::write(&done, packages.join("\n")).with_context(|| done.display().to_string())?;
    }
    Ok(folder.join(program))
}

fn run(command: &mut Command, hint: &str) -> Result<()> {
    let name = command.get_program().display().to_string();
    let status = command.status().with_context(|| format!("starting {name}: {hint}"))?;
    if !status.success() {
        bail!("{name} ended with {status}: {hint}");
    }
    Ok(())
}
