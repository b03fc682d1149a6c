//! Each rule with a violation planted, and with the neighbour that must pass.

use super::*;

fn member(dir: &str, uses: &[&str], tests_use: &[&str]) -> Member {
    let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    Member { name: dir.replace('/', "-"), dir: dir.to_owned(), uses: own(uses), tests_use: own(tests_use) }
}

fn found_in_crates(members: Vec<Member>) -> Vec<String> {
    violations(&Repo { members, ..Repo::default() })
}

fn found_in(path: &str, text: &str) -> Vec<String> {
    let sources = vec![Source { path: path.to_owned(), text: text.to_owned() }];
    violations(&Repo { sources, ..Repo::default() })
}

fn one(found: &[String], words: &str) {
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains(words), "{found:?}");
}

#[test]
fn a_sound_workspace_passes() {
    let found = found_in_crates(vec![
        member("core", &[], &[]),
        member("e2ee", &["core"], &[]),
        member("relay", &["core"], &[]),
        member("server", &["core", "relay"], &["client-native", "lab"]),
        member("client/native", &["core", "e2ee"], &["server"]),
        member("apps/cli", &["client-native", "core"], &["lab"]),
        member("lab", &["core", "server", "client-native", "apps-cli"], &[]),
        member("xtask", &[], &[]),
    ]);
    assert_eq!(found, [""; 0]);
}

#[test]
fn edges_against_the_layers_are_found() {
    let targets = ["core", "server", "client/native", "apps/cli", "lab", "xtask"];
    for (from, to, words) in [
        ("core", "server", "from core"),
        ("server", "apps-cli", "shells to apps"),
        ("client/native", "apps-cli", "shells to apps"),
        ("server", "client-native", "meet on the network"),
        ("apps/cli", "lab", "only tests"),
        ("xtask", "core", "stays free"),
        ("lab", "xtask", "no library"),
    ] {
        let members =
            targets.iter().map(|dir| member(dir, if *dir == from { std::slice::from_ref(&to) } else { &[] }, &[]));
        one(&found_in_crates(members.collect()), words);
    }
}

#[test]
fn screens_that_know_a_host_are_found() {
    one(
        &found_in_crates(vec![member("client/web", &[], &[]), member("apps/ui", &["client-web"], &[])]),
        "screens know",
    );
    let screens_bring = ["dioxus", "web-sys"].map(str::to_owned).into();
    one(&violations(&Repo { screens_bring, ..Repo::default() }), "brings web-sys");
    one(&found_in("apps/ui/src/x.rs", "#[cfg(target_arch = \"wasm32\")]\nfn f() {}"), "names a target");
    assert_eq!(found_in_crates(vec![member("core", &[], &[]), member("apps/ui", &["core"], &[])]), [""; 0]);
}

#[test]
fn a_folder_without_a_layer_is_found() {
    one(&found_in_crates(vec![member("extras", &[], &[])]), "no layer");
}

#[test]
fn secrets_are_not_reached_directly_by_detour_or_in_tests() {
    let found = found_in_crates(vec![member("e2ee", &[], &[]), member("server", &[], &["e2ee"])]);
    one(&found, "not even in tests");
    let found = found_in_crates(vec![
        member("e2ee", &[], &[]),
        member("relay", &["e2ee"], &[]),
        member("server", &["relay"], &[]),
    ]);
    assert!(found.iter().any(|line| line.contains("server → relay → e2ee")), "{found:?}");
}

#[test]
fn an_impure_crate_in_core_is_found() {
    let core_brings = ["serde", "getrandom"].map(str::to_owned).into();
    one(&violations(&Repo { core_brings, ..Repo::default() }), "brings getrandom");
}

#[test]
fn impure_paths_in_core_are_found() {
    for line in [
        "use std::{collections::BTreeMap, net::TcpStream};",
        "fn f() { std::fs::read(p); }",
        "use std::time::{Duration, Instant};",
        "fn f() { let now = Instant::now(); }",
        "fn f() { rand::rng(); }",
        "async fn f() {}",
    ] {
        one(&found_in("core/src/units.rs", line), "core/src/units.rs:1");
        assert_eq!(found_in("core/src/units.rs", &format!("#[cfg(test)]\nmod tests {{ {line} }}")), [""; 0]);
        assert_eq!(found_in("server/src/lib.rs", line), [""; 0]);
    }
    assert_eq!(found_in("core/src/units.rs", "use std::time::Duration; // not std::time::Instant"), [""; 0]);
}

#[test]
fn a_machine_that_imports_another_is_found() {
    for (path, line) in [
        ("core/src/floor.rs", "use crate::{units::Seq, log::Log};"),
        ("core/src/floor/mod.rs", "use super::log::Log;"),
        ("core/src/floor/queue.rs", "use super::super::burst;"),
        ("core/src/session.rs", "fn f(x: crate::floor::Token) {}"),
        ("core/src/burst.rs", "use crate::engine::Port;"),
        ("core/src/wire/voice.rs", "use crate::floor::Floor;"),
    ] {
        one(&found_in(path, line), "only engine and the shells compose machines");
    }
    for (path, line) in [
        (
            "core/src/floor/queue.rs",
            "use super::Floor; use crate::{floor::x, units, model, wire}; use super::super::units;",
        ),
        ("core/src/engine/room.rs", "use crate::{floor, log};"),
        ("core/src/floor_tests.rs", "use crate::log;"),
        ("server/src/home/mod.rs", "use holler_core::{floor, log};"),
    ] {
        assert_eq!(found_in(path, line), [""; 0], "{path}");
    }
}

#[test]
fn a_long_file_is_found_without_counting_its_tests() {
    let code = "fn f() {}\n".repeat(LINES_MAX);
    let tests = format!("#[cfg(test)]\nmod tests {{\n{code}}}\n");
    assert_eq!(found_in("server/src/a.rs", &format!("{code}{tests}")), [""; 0]);
    assert_eq!(found_in("server/src/a_tests.rs", &format!("{code}{code}")), [""; 0]);
    one(&found_in("server/src/a.rs", &format!("{code}fn g() {{}}\n{tests}")), "601 lines");
}

#[test]
fn a_folder_of_one_machine_is_found() {
    for name in [concat!("ro", "ot"), concat!("ho", "me"), concat!("Us", "ers")] {
        one(&found_in("docs/A.md", &format!("see /{name}/alice/x")), "docs/A.md:1");
        one(&found_in("docs/A.md", &format!("at \"/{name}/x\"")), "of one machine");
        assert_eq!(found_in("docs/A.md", &format!("server/src/{name}/mod.rs, /{name}/someone/x")), [""; 0]);
    }
}

#[test]
fn a_registry_of_ones_own_is_found() {
    let public = "source = \"registry+https://github.com/rust-lang/crates.io-index\"";
    assert_eq!(found_in("Cargo.lock", public), [""; 0]);
    one(&found_in("Cargo.lock", "source = \"registry+https://crates.example/index\""), "crates.example");
    one(&found_in("Cargo.lock", "source = \"git+https://example.org/x#abc\""), "example.org");
    one(&found_in("apps/web/package-lock.json", "  \"resolved\": \"https://npm.example/a.tgz\","), "npm.example");
    one(&found_in(".cargo/config.toml", "registry = \"sparse+https://crates.example/\""), "crates.example");
}
