//! `./x web`: builds the web client into the folder that the server embeds.
//!
//! cargo for WebAssembly, then `pack` (wasm-bindgen as a library) writes the JavaScript around it, compresses everything and names
//! it by its contents. What has not changed is not done again. There is no wasm-opt: with `-Oz` the module got 13 % smaller and,
//! compressed, 6 % larger; with `-O1` 0.5 % smaller, for 11 s.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::check::pure;
use crate::setup::{self, Purpose};
use crate::sh::{self, Outcome};

/// Beside the code that wasm-bindgen writes.
const STATIC: &[&str] = &[
    "apps/web/static/index.html",
    "apps/web/static/page.js",
    "apps/web/static/shell.js",
    "apps/web/static/worker.js",
    "apps/web/static/service.js",
    "apps/web/static/holler.webmanifest",
    "apps/web/static/icon.svg",
    "apps/web/static/icon-192.png",
    "apps/web/static/icon-512.png",
    "apps/web/static/icon-maskable-512.png",
    "client/web/js/opus.js",
    "client/web/js/path.js",
    "client/web/js/sound.js",
    "apps/ui/words/ar.ftl",
];
/// One file of the client, in the order of the cascade.
const STYLE: &[&str] = &[
    "apps/ui/style/tokens.css",
    "apps/ui/style/base.css",
    "apps/ui/style/parts.css",
    "apps/ui/style/timeline.css",
    "apps/ui/style/listen.css",
    "apps/ui/style/talk.css",
    "apps/ui/style/layout.css",
];
/// What makes the client smaller, and no slower.
const SMALL: &str = "-Zlocation-detail=none";

/// Builds it, and says where it is and how large.
pub(crate) fn run(_arguments: &[String]) -> Result<()> {
    setup::ensure(&[Purpose::Build, Purpose::Web])?;
    build()
}

/// As a step of `./x test`.
pub(crate) fn check() -> Result<Outcome> {
    build()?;
    Ok(Outcome::Passed)
}

/// The folder that the server embeds.
pub(crate) fn site() -> PathBuf {
    sh::target_dir().join("web").join("site")
}

/// Builds what has changed.
pub(crate) fn build() -> Result<()> {
    let target = sh::target_dir().join("web");
    let of_target = |mut command: Command| {
        command.args(["--profile", "web", "--lib"]).env("CARGO_TARGET_DIR", &target).env_remove("HOLLER_WEB_DIR");
        // Where in its source a panic came from is told by none of it: lines and columns do not compress. The flag is not stable.
        command
            .env("RUSTC_BOOTSTRAP", "1")
            .arg("--config")
            .arg(format!("target.{}.rustflags=[\"{SMALL}\"]", pure::TARGET));
        command
    };
    sh::run(of_target(pure::cargo()?).args(["-p", "holler-web"]))?;
    // What browsers without WebCodecs load besides.
    sh::run(of_target(pure::cargo()?).args(["-p", "holler-opus"]))?;
    let built = target.join(pure::TARGET).join("web");
    let modules = [(built.join("holler_web.wasm"), "holler"), (built.join("holler_opus.wasm"), "opus_module")];
    let stamp = stamp(&modules)?;
    let stamp_file = target.join("stamp");
    if site().join("manifest").exists() && std::fs::read_to_string(&stamp_file).is_ok_and(|before| before == stamp) {
        println!("the web client in {} is up to date", site().display());
        return Ok(());
    }
    let mut pack = sh::cargo();
    pack.args(["build", "--locked", "--quiet", "--profile", "tool", "-p", "pack"]).env_remove("HOLLER_WEB_DIR");
    sh::run(&mut pack)?;
    let pack = sh::target_dir().join("tool").join("pack");
    let out = target.join("bindgen");
    if out.exists() {
        std::fs::remove_dir_all(&out)?;
    }
    for (module, name) in &modules {
        sh::run(sh::program(&pack).arg("bindgen").arg(module).arg(&out).arg(name))?;
    }
    let style = target.join("style.css");
    let sheets: Result<Vec<String>, _> = STYLE.iter().map(std::fs::read_to_string).collect();
    std::fs::write(&style, sheets.context("the style sheets")?.concat())?;
    let mut finish = sh::program(&pack);
    finish.arg("finish").arg(&out).arg(site()).args(STATIC).arg(&style);
    sh::run(&mut finish)?;
    std::fs::write(stamp_file, stamp)?;
    Ok(())
}

/// Changes with everything that the site is made of.
fn stamp(modules: &[(PathBuf, &str)]) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    let files = STATIC.iter().chain(STYLE).map(PathBuf::from);
    let tool = ["xtask/pack/src/main.rs", "Cargo.lock"].map(PathBuf::from);
    for file in files.chain(tool).chain(modules.iter().map(|(module, _)| module.clone())) {
        std::fs::read(&file).with_context(|| format!("{}", file.display()))?.hash(&mut hasher);
    }
    Ok(format!("{:016x}", hasher.finish()))
}
