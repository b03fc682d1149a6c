//! The npm packages that xtask uses, installed by a lock file under `~/.cache/holler`.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::sh;

const LOCK: [&str; 2] = ["xtask/npm/package.json", "xtask/npm/package-lock.json"];

/// The folder of the packages; they are installed when they are first needed.
pub(crate) fn modules() -> Result<PathBuf> {
    let mut hasher = DefaultHasher::new();
    for file in LOCK {
        std::fs::read(file)?.hash(&mut hasher);
    }
    let home = std::env::var_os("HOME").map(PathBuf::from).context("HOME is not set")?;
    let folder = home.join(".cache/holler/npm").join(format!("{:016x}", hasher.finish()));
    let done = folder.join("done");
    if !done.exists() {
        std::fs::create_dir_all(&folder)?;
        for file in LOCK {
            let name = Path::new(file).file_name().context("a file without a name")?;
            std::fs::copy(file, folder.join(name))?;
        }
        // No script of a package runs here: none of them needs one.
        let install = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel", "error"];
        sh::run(sh::program("npm").args(install).current_dir(&folder))?;
        std::fs::write(done, "")?;
    }
    Ok(folder.join("node_modules"))
}
