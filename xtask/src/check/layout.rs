//! `./x check layout`: the walls between crates and modules, and what no tracked file may hold.
//!
//! The rules are functions over a [`Repo`], so that the tests can plant a violation of each and see it found.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::rust::{self, UsedPath};
use super::{Source, tracked, verdict};
use crate::sh::{self, Outcome};

/// Lines a file may have before its tests. Past that there is an idea in it to split along.
const LINES_MAX: usize = 600;

/// Files of code that may be longer, each with the reason. Only for what cannot sensibly be split.
const LONGER: &[(&str, &str)] = &[];

/// The machines of the core: none imports another, only `engine` and the shells compose them.
const MACHINES: &[&str] = &["floor", "burst", "log", "session", "presence", "playing", "path", "adapt", "call"];

/// What the machines stand on: none of it knows a machine.
const FOUNDATIONS: &[&str] = &["units", "model", "wire", "seal"];

/// Crates that would bring I/O, an executor, a clock or randomness into the core.
const IMPURE_CRATES: &[&str] = &[
    "async-std",
    "axum",
    "chrono",
    "getrandom",
    "hyper",
    "instant",
    "js-sys",
    "mio",
    "rand",
    "reqwest",
    "rusqlite",
    "smol",
    "socket2",
    "sqlx",
    "time",
    "tokio",
    "wasm-bindgen",
    "web-sys",
    "web-time",
];

/// Paths that would do the same from the standard library. Matched anywhere in a path.
const IMPURE_PATHS: &[&[&str]] = &[
    &["std", "env"],
    &["std", "fs"],
    &["std", "net"],
    &["std", "process"],
    &["std", "thread"],
    &["time", "Instant"],
    &["time", "SystemTime"],
    &["Instant", "now"],
    &["SystemTime", "now"],
    &["rand"],
    &["thread_rng"],
    &["tokio"],
];

/// The crate of the screens.
const SCREENS: &str = "apps/ui";

/// Crates that only one kind of host has.
const OF_A_HOST: &[&str] = &["dioxus-desktop", "dioxus-web", "js-sys", "tokio", "wasm-bindgen", "web-sys"];

/// Where a crate stands, by its folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    Core,
    Secrets,
    Relay,
    Server,
    Client,
    Apps,
    Lab,
    Tools,
}

impl Layer {
    fn of(dir: &str) -> Option<Self> {
        Some(match dir.split('/').next()? {
            "core" => Self::Core,
            "e2ee" => Self::Secrets,
            "relay" => Self::Relay,
            "server" => Self::Server,
            "client" => Self::Client,
            "apps" => Self::Apps,
            "lab" => Self::Lab,
            "xtask" => Self::Tools,
            _ => return None,
        })
    }
}

/// A crate of the workspace, with the crates of the workspace that it uses.
pub(super) struct Member {
    pub(super) name: String,
    pub(super) dir: String,
    /// Used by the crate itself or its build script.
    pub(super) uses: Vec<String>,
    /// Used by its tests only.
    pub(super) tests_use: Vec<String>,
}

/// What the rules look at.
#[derive(Default)]
pub(super) struct Repo {
    pub(super) members: Vec<Member>,
    /// Every crate that `holler-core` brings along, itself excluded, on any platform and with all features.
    pub(super) core_brings: BTreeSet<String>,
    /// The crates that the screens name themselves.
    pub(super) screens_bring: BTreeSet<String>,
    pub(super) sources: Vec<Source>,
}

/// Reads the checkout and applies every rule.
pub(crate) fn check() -> Result<Outcome> {
    verdict(violations(&read()?))
}

/// Everything that breaks a rule, each with where, what and what to do.
pub(super) fn violations(repo: &Repo) -> Vec<String> {
    let mut found = Vec::new();
    found.extend(between_crates(repo));
    found.extend(secrets_reached(repo));
    found.extend(core_is_pure(repo));
    found.extend(screens_are_for_every_host(repo));
    found.extend(modules_of_core(repo));
    found.extend(too_long(repo));
    found.extend(of_one_machine(repo));
    found
}

fn read() -> Result<Repo> {
    let metadata = sh::output(sh::cargo().args(["metadata", "--no-deps", "--locked", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata is no JSON")?;
    // What only builds C code beside it (aws-lc) is not in it.
    let mut args = vec!["tree", "--locked", "-p", "holler-core", "-e", "normal", "--all-features"];
    args.extend(["--target", "all", "--prefix", "none", "--format", "{lib}"]);
    let tree = sh::output(sh::cargo().args(args))?;
    // {lib} is the name as code writes it: with underscores.
    let core_brings = tree.lines().map(|line| line.trim().replace('_', "-")).filter(|name| name != "holler-core");
    let screens = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice).iter();
    let screens = screens.filter(|package| package["name"] == "holler-ui");
    let screens_bring = screens
        .filter_map(|package| package["dependencies"].as_array())
        .flatten()
        .filter_map(|dependency| dependency["name"].as_str().map(str::to_owned))
        .collect();
    let core_brings = core_brings.collect();
    Ok(Repo { members: members(&metadata)?, core_brings, screens_bring, sources: tracked()? })
}

fn members(metadata: &Value) -> Result<Vec<Member>> {
    let root = metadata["workspace_root"].as_str().context("cargo metadata names no root")?;
    let packages = metadata["packages"].as_array().context("cargo metadata lists no packages")?;
    let names: BTreeSet<&str> = packages.iter().filter_map(|package| package["name"].as_str()).collect();
    let mut members = Vec::new();
    for package in packages {
        let name = package["name"].as_str().context("a package has no name")?;
        let manifest = package["manifest_path"].as_str().context("a package has no manifest")?;
        let dir = manifest.strip_prefix(root).and_then(|path| path.strip_suffix("Cargo.toml"));
        let dir = dir.with_context(|| format!("{manifest} is outside the workspace"))?.trim_matches('/').to_owned();
        let (mut uses, mut tests_use) = (Vec::new(), Vec::new());
        for dependency in package["dependencies"].as_array().map_or(&[][..], Vec::as_slice) {
            let Some(other) = dependency["name"].as_str().filter(|other| names.contains(other)) else { continue };
            let list = if dependency["kind"] == "dev" { &mut tests_use } else { &mut uses };
            list.push(other.to_owned());
        }
        members.push(Member { name: name.to_owned(), dir, uses, tests_use });
    }
    if members.is_empty() {
        bail!("cargo metadata lists no crate: nothing was checked");
    }
    Ok(members)
}

/// Which layer may use which.
fn between_crates(repo: &Repo) -> Vec<String> {
    let mut found = Vec::new();
    let dirs: BTreeMap<&str, &str> = repo.members.iter().map(|m| (m.name.as_str(), m.dir.as_str())).collect();
    for member in &repo.members {
        let Some(layer) = Layer::of(&member.dir) else {
            found
                .push(format!("{}: no layer is known for this folder; say where it stands in `Layer::of`", member.dir));
            continue;
        };
        for (other, in_tests) in with_kind(member) {
            let Some(other_layer) = dirs.get(other).and_then(|dir| Layer::of(dir)) else { continue };
            if let Some(why) = refused(layer, other_layer, in_tests) {
                found.push(format!("{}/Cargo.toml: {} uses {other}: {why}", member.dir, member.name));
            }
        }
    }
    found
}

fn with_kind(member: &Member) -> impl Iterator<Item = (&str, bool)> {
    let uses = member.uses.iter().map(|other| (other.as_str(), false));
    uses.chain(member.tests_use.iter().map(|other| (other.as_str(), true)))
}

fn refused(from: Layer, to: Layer, in_tests: bool) -> Option<&'static str> {
    use Layer::{Apps, Client, Core, Lab, Relay, Secrets, Server, Tools};
    match (from, to) {
        (Tools, _) => Some("xtask stays free of the product, so that ./x starts quickly"),
        (_, Tools) => Some("xtask is no library"),
        (Server | Relay, Secrets) => Some("server and relay never reach end-to-end secrets, not even in tests"),
        (Lab, _) => None,
        (_, Lab) if !in_tests => Some("only tests may depend on lab"),
        (_, Lab) => None,
        (Core, _) => Some("nothing points from core to the crates around it"),
        (Secrets | Relay | Server | Client, Apps) => Some("nothing points from shells to apps"),
        (Server | Relay, Client) | (Client, Server | Relay) if !in_tests => {
            Some("server and clients meet on the network only; what both need belongs in core")
        }
        _ => None,
    }
}

/// Server and relay must not reach the secrets by a detour either.
fn secrets_reached(repo: &Repo) -> Vec<String> {
    let uses: BTreeMap<&str, &Member> = repo.members.iter().map(|member| (member.name.as_str(), member)).collect();
    let mut found = Vec::new();
    for start in &repo.members {
        if !matches!(Layer::of(&start.dir), Some(Layer::Server | Layer::Relay)) {
            continue;
        }
        let (mut queue, mut seen) = (vec![vec![start.name.as_str()]], BTreeSet::new());
        while let Some(way) = queue.pop() {
            let Some(member) = way.last().and_then(|name| uses.get(name)) else { continue };
            if Layer::of(&member.dir) == Some(Layer::Secrets) {
                found.push(format!("{}: reaches end-to-end secrets: {}", start.dir, way.join(" → ")));
            }
            if seen.insert(member.name.as_str()) {
                queue.extend(member.uses.iter().map(|next| [way.as_slice(), &[next.as_str()]].concat()));
            }
        }
    }
    found
}

/// The core brings no crate, names no path and uses no word that does I/O, reads a clock or draws random numbers.
fn core_is_pure(repo: &Repo) -> Vec<String> {
    let mut found = Vec::new();
    for name in IMPURE_CRATES.iter().filter(|name| repo.core_brings.contains(**name)) {
        found.push(format!("core/Cargo.toml: brings {name}: core does no I/O (`cargo tree -p holler-core -i {name}`)"));
    }
    for source in core_sources(repo) {
        let (tokens, _) = rust::without_tests(&rust::tokens(&source.text));
        for token in tokens.iter().filter(|token| matches!(token.text.as_str(), "async" | "await")) {
            found.push(format!(
                "{}:{}: `{}`: machines are polled, the shells wait",
                source.path, token.line, token.text
            ));
        }
        for path in rust::paths(&tokens) {
            let impure = |part: &&&[&str]| path.segments.windows(part.len()).any(|window| window == **part);
            if let Some(part) = IMPURE_PATHS.iter().find(impure) {
                let (place, name) = (place(source, &path), part.join("::"));
                found.push(format!("{place}: names {name}: time, randomness and I/O are arguments in core"));
            }
        }
    }
    found
}

/// The screens use the core alone, so that every host can show them: no shell, and nothing of a browser.
fn screens_are_for_every_host(repo: &Repo) -> Vec<String> {
    let mut found = Vec::new();
    for member in repo.members.iter().filter(|member| member.dir == SCREENS) {
        for (other, _) in with_kind(member).filter(|(other, _)| *other != "holler-core" && *other != "core") {
            found.push(format!(
                "{SCREENS}/Cargo.toml: uses {other}: screens know the core and their port, hosts do the rest"
            ));
        }
    }
    for name in OF_A_HOST.iter().filter(|name| repo.screens_bring.contains(**name)) {
        found.push(format!("{SCREENS}/Cargo.toml: brings {name}: what only one host has stays in that host"));
    }
    for source in repo.sources.iter().filter(|source| source.path.starts_with("apps/ui/src/") && is_rust(source)) {
        let (tokens, _) = rust::without_tests(&rust::tokens(&source.text));
        for token in tokens.iter().filter(|token| token.text == "target_arch" || token.text == "target_os") {
            found.push(format!(
                "{}:{}: names a target: what only one host has stays in that host",
                source.path, token.line
            ));
        }
    }
    found
}

/// Machines do not import each other, and what they stand on imports no machine.
fn modules_of_core(repo: &Repo) -> Vec<String> {
    let mut found = Vec::new();
    for source in core_sources(repo) {
        let module = module_of(&source.path);
        let Some(own) = module.first().filter(|own| MACHINES.contains(own) || FOUNDATIONS.contains(own)) else {
            continue;
        };
        let (tokens, _) = rust::without_tests(&rust::tokens(&source.text));
        for path in rust::paths(&tokens) {
            let Some(target) = resolved(&path.segments, &module) else { continue };
            if target != *own && (MACHINES.contains(&target) || target == "engine") {
                let place = place(source, &path);
                found.push(format!("{place}: {own} imports {target}: only engine and the shells compose machines"));
            }
        }
    }
    found
}

fn core_sources(repo: &Repo) -> impl Iterator<Item = &Source> {
    repo.sources
        .iter()
        .filter(|source| source.path.starts_with("core/src/") && is_rust(source) && !is_test(&source.path))
}

fn is_rust(source: &Source) -> bool {
    source.path.ends_with(".rs")
}

fn place(source: &Source, path: &UsedPath) -> String {
    format!("{}:{}", source.path, path.line)
}

/// `core/src/floor/queue.rs` is the module `[floor, queue]`.
fn module_of(path: &str) -> Vec<&str> {
    let inner = path.strip_prefix("core/src/").and_then(|path| path.strip_suffix(".rs")).unwrap_or_default();
    let mut module: Vec<&str> = inner.split('/').collect();
    if module.last().is_some_and(|last| matches!(*last, "mod" | "lib")) {
        module.pop();
    }
    module
}

/// The top-level module that a path leads to, if it is one of this crate.
fn resolved<'a>(segments: &'a [String], module: &[&'a str]) -> Option<&'a str> {
    let ups = segments.iter().take_while(|segment| *segment == "super").count();
    if ups > 0 {
        let left = module.len().checked_sub(ups)?;
        return module[..left].first().copied().or_else(|| segments.get(ups).map(String::as_str));
    }
    match segments.first()?.as_str() {
        "crate" | "holler_core" => segments.get(1).map(String::as_str),
        _ => None,
    }
}

/// Tests live beside what they test, in files and folders that say so.
fn is_test(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let folder = path.split('/').rev().skip(1).any(|part| matches!(part, "tests" | "benches" | "fuzz"));
    folder || name == "tests.rs" || name.ends_with("_tests.rs") || name.ends_with("_test.rs")
}

/// A file of code is at most [`LINES_MAX`] lines before its tests. Pages of prose and data may be long.
fn too_long(repo: &Repo) -> Vec<String> {
    const KINDS: &[&str] = &[".rs", ".js", ".ts", ".css", ".html", ".sh", ".py", ".sql", ".kt", ".swift"];
    let mut found = Vec::new();
    for (path, reason) in LONGER {
        if reason.is_empty() {
            found.push(format!("{path}: may be longer than {LINES_MAX} lines, but LONGER gives no reason"));
        }
    }
    for source in &repo.sources {
        let path = source.path.as_str();
        let looked_at = KINDS.iter().any(|kind| path.ends_with(kind)) || !path.contains('.');
        let exempt = LONGER.iter().any(|(longer, _)| *longer == path) || path.starts_with("LICENSE");
        if !looked_at || exempt || is_test(path) {
            continue;
        }
        let tests = if is_rust(source) { rust::without_tests(&rust::tokens(&source.text)).1 } else { 0 };
        let lines = source.text.lines().count().saturating_sub(tests);
        if lines > LINES_MAX {
            found.push(format!("{path}: {lines} lines before its tests, at most {LINES_MAX}: split it along an idea"));
        }
    }
    found
}

/// No tracked file names a folder of somebody's machine or a package registry other than the public one.
fn of_one_machine(repo: &Repo) -> Vec<String> {
    // Written in parts, so that this file does not break its own rule.
    let folders = [concat!("/ro", "ot/"), concat!("/ho", "me/"), concat!("/Us", "ers/")];
    let crates_io = "registry+https://github.com/rust-lang/crates.io-index";
    let npm = "https://registry.npmjs.org/";
    let mut found = Vec::new();
    for source in &repo.sources {
        let name = source.path.rsplit('/').next().unwrap_or(&source.path);
        for (at, line) in source.text.lines().enumerate() {
            let place = format!("{}:{}", source.path, at + 1);
            for folder in folders.iter().filter(|folder| names_folder(line, folder)) {
                found.push(format!("{place}: names a folder of one machine: say ~, or {folder}someone in an example"));
            }
            let host = match name {
                "Cargo.lock" => line.strip_prefix("source = \"").filter(|rest| *rest != format!("{crates_io}\"")),
                "package-lock.json" | "npm-shrinkwrap.json" => {
                    line.split("\"resolved\": \"").nth(1).filter(|rest| !rest.starts_with(npm))
                }
                ".npmrc" | "pip.conf" => Some(line).filter(|line| line.contains("://")),
                "config.toml" if source.path.contains(".cargo/") => Some(line).filter(|line| line.contains("://")),
                _ => None,
            };
            if let Some(host) = host {
                let host = host.trim_end_matches(['"', ',']);
                found.push(format!("{place}: names a registry or source of its own ({host}): use the public ones"));
            }
        }
    }
    found
}

/// Does the line name this folder as an absolute path (not as the middle of a longer one or of an address), and not just
/// for somebody who stands for anybody?
fn names_folder(line: &str, folder: &str) -> bool {
    line.match_indices(folder).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let absolute = before.is_none_or(|c| !(c.is_alphanumeric() || "_./-}*".contains(c)));
        absolute && !line[at + folder.len()..].starts_with("someone")
    })
}

#[cfg(test)]
#[path = "layout_tests.rs"]
mod tests;
