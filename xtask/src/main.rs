//! Every developer task; `./x` is its front door. One module a task, no task that nothing stands behind.
#![expect(clippy::print_stdout, reason = "a task talks to the person who called it")]

mod bench;
mod browser;
mod build;
mod check;
mod clean;
mod demo;
mod fmt;
mod generate;
mod lab;
mod npm;
mod package;
mod run;
mod setup;
mod sh;
mod test;
mod trust;
mod web;

use std::process::ExitCode;

use anyhow::{Result, bail};

/// One entry of `./x help`: the name, what it takes, what it does, and the function that does it.
struct Task {
    name: &'static str,
    arguments: &'static str,
    about: &'static str,
    run: fn(&[String]) -> Result<()>,
}

const TASKS: &[Task] = &[
    Task {
        name: "run",
        arguments: "[-- HOLLERD-ARGS]",
        about: "build and start the server on https://localhost:8443",
        run: run::run,
    },
    Task {
        name: "test", arguments: "[STEP…]", about: "every check and test, or just the named steps", run: test::run
    },
    Task {
        name: "demo",
        arguments: "[-- DEMO-ARGS]",
        about: "speech through a real server to three listeners, measured",
        run: demo::run,
    },
    Task {
        name: "lab",
        arguments: "[NAME [ARGUMENTS]]",
        about: "the long proofs and measurements; without a name: lists them",
        run: lab::run,
    },
    Task {
        name: "bench",
        arguments: "[NAME…] [--json] [--pairs N] [--peers]",
        about: "how fast, how small and how soon, beside other servers; writes docs/PERFORMANCE.md",
        run: bench::run,
    },
    Task {
        name: "setup",
        arguments: "[--check]",
        about: "install what is missing here, saying what and why",
        run: setup::run,
    },
    Task {
        name: "trust",
        arguments: "[-- TRUST-ARGS]",
        about: "make this machine and its browsers trust the local root",
        run: trust::run,
    },
    Task { name: "build", arguments: "", about: "release builds of hollerd and holler", run: build::run },
    Task {
        name: "package",
        arguments: "[--as-built]",
        about: "a Debian package of the release builds",
        run: package::run,
    },
    Task { name: "web", arguments: "", about: "build the web client that the server embeds", run: web::run },
    Task {
        name: "screenshots",
        arguments: "",
        about: "every main screen of the web client, into target/screenshots",
        run: browser::screenshots,
    },
    Task {
        name: "firefox",
        arguments: "[TIMES]",
        about: "the part of the browser test that is in Firefox, as often as is said",
        run: browser::in_firefox,
    },
    Task { name: "check", arguments: "[NAME…]", about: "single checks: layout, docs, deny, pure", run: check::run },
    Task {
        name: "generate",
        arguments: "",
        about: "write docs/openapi.json and docs/socket.schema.json",
        run: generate::run,
    },
    Task { name: "fmt", arguments: "", about: "format every crate", run: fmt::run },
    Task { name: "clean", arguments: "", about: "remove what builds left behind (never ./data)", run: clean::run },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match dispatch(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("x: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        help();
        return Ok(());
    };
    if matches!(name.as_str(), "help" | "--help" | "-h") {
        help();
        return Ok(());
    }
    let Some(task) = TASKS.iter().find(|task| task.name == name) else {
        bail!("there is no task `{name}`; `./x help` lists them");
    };
    std::env::set_current_dir(sh::root())?;
    (task.run)(rest)
}

fn help() {
    println!("usage: ./x TASK [ARGUMENTS]\n");
    for task in TASKS {
        println!("  {:<27} {}", format!("{} {}", task.name, task.arguments).trim_end(), task.about);
    }
    println!("\nBuilds go to ./target, or to the folder that HOLLER_TARGET_DIR or CARGO_TARGET_DIR names.");
}

/// What follows a task's own arguments: everything after `--`, or everything when there is no `--`.
fn passed_on(arguments: &[String]) -> &[String] {
    match arguments.iter().position(|argument| argument == "--") {
        Some(at) => &arguments[at + 1..],
        None => arguments,
    }
}

/// Is `name` a task? The documentation check asks, so that no page names one that is not there.
fn is_task(name: &str) -> bool {
    name == "help" || TASKS.iter().any(|task| task.name == name)
}
