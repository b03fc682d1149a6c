//! `./x test`: every check and test, the quick ones first. CI runs exactly this.

use anyhow::{Result, bail};

use crate::check::{CHECKS, Check, pure};
use crate::setup::{self, Purpose};
use crate::sh::{self, Outcome, Steps};
use crate::{browser, web};

const BEFORE: &[Check] = &[Check { name: "fmt", about: "rustfmt would change nothing", run: formatted }];

const AFTER: &[Check] = &[
    Check { name: "web", about: "the web client builds; the server of the steps below embeds it", run: web::check },
    Check { name: "clippy", about: "no warning in any crate or test, nor in what browsers run", run: clippy },
    Check { name: "rustdoc", about: "the code's documentation builds without a warning", run: rustdoc },
    Check { name: "cargo-test", about: "every test of every crate", run: cargo_test },
    Check { name: "demo", about: "speech through a real server arrives whole at every listener", run: demo },
    Check { name: "browser", about: "pages in real browsers and native clients hear each other", run: browser::check },
];

/// Runs all steps, or the named ones. A step that fails does not stop the others; the summary names it.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let all = || BEFORE.iter().chain(CHECKS).chain(AFTER);
    if let Some(unknown) = arguments.iter().find(|name| !all().any(|step| step.name == **name)) {
        let known: Vec<String> = all().map(|step| format!("  {:<10} {}", step.name, step.about)).collect();
        bail!("there is no step `{unknown}`; there are\n{}", known.join("\n"));
    }
    setup::ensure(&[Purpose::Build, Purpose::Trust, Purpose::Web, Purpose::Browser])?;
    let mut steps = Steps::default();
    for step in all() {
        if arguments.is_empty() || arguments.iter().any(|name| name == step.name) {
            steps.step(step.name, &format!("./x test {}", step.name), step.run);
        }
    }
    steps.finish()
}

fn formatted() -> Result<Outcome> {
    if let Some(skipped) = without("fmt") {
        return Ok(skipped);
    }
    sh::run(sh::cargo().args(["fmt", "--all", "--check"]))?;
    Ok(Outcome::Passed)
}

fn clippy() -> Result<Outcome> {
    if let Some(skipped) = without("clippy") {
        return Ok(skipped);
    }
    sh::run(sh::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--keep-going",
        "--",
        "-D",
        "warnings",
    ]))?;
    // What only browsers run is empty on any other target. Its dependencies are checked once, into the web build's own folder.
    let mut web = pure::cargo_does("clippy")?;
    web.args([
        "-p",
        "holler-core",
        "-p",
        "holler-ui",
        "-p",
        "holler-client-web",
        "-p",
        "holler-opus",
        "-p",
        "holler-web",
        "--lib",
    ]);
    web.args(["--", "-D", "warnings"]).env("CARGO_TARGET_DIR", sh::target_dir().join("web"));
    sh::run(web.env_remove("HOLLER_WEB_DIR"))?;
    Ok(Outcome::Passed)
}

/// Debian's Rust for the web comes without rustfmt and clippy. CI has them; elsewhere their absence is said, not hidden.
fn without(tool: &str) -> Option<Outcome> {
    let there = sh::succeeds(sh::cargo().args([tool, "--version"]));
    (!there).then(|| Outcome::Skipped(format!("this toolchain has no {tool}; `rustup component add {tool}` brings it")))
}

fn rustdoc() -> Result<Outcome> {
    let mut command = sh::cargo();
    command.args(["doc", "--workspace", "--no-deps", "--locked", "--document-private-items", "--quiet"]);
    sh::run(command.env("RUSTDOCFLAGS", "-D warnings -A rustdoc::private_intra_doc_links"))?;
    Ok(Outcome::Passed)
}

fn cargo_test() -> Result<Outcome> {
    sh::run(sh::cargo().args(["test", "--workspace", "--locked", "--no-fail-fast"]))?;
    Ok(Outcome::Passed)
}

/// The demo as it is, on the build that the tests have just made: what it asserts does not depend on speed.
fn demo() -> Result<Outcome> {
    sh::run(sh::cargo().args(["build", "--workspace", "--bins", "--locked", "--quiet"]))?;
    sh::run(sh::cargo().args(["run", "--locked", "--quiet", "-p", "holler-lab", "--bin", "holler-demo"]))?;
    Ok(Outcome::Passed)
}
