//! Running commands, and steps that say what they do, how long it took and how to repeat one alone.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// The root of the checkout. Read when run: one target folder may serve several checkouts.
pub(crate) fn root() -> PathBuf {
    let manifest = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    manifest.as_deref().and_then(Path::parent).map_or_else(|| PathBuf::from("."), Path::to_path_buf)
}

/// Where cargo builds.
pub(crate) fn target_dir() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Are we in CI, where nobody answers questions?
pub(crate) fn in_ci() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty())
}

/// The cargo that runs us, without what it told us about xtask itself.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    clean_env(&mut command);
    if in_ci() {
        // A clone that is built once gains nothing from incremental state, and pays for it in disk and time.
        command.env("CARGO_INCREMENTAL", "0");
    }
    // Once the web client is built, every build of the server embeds it: one that goes without would be built anew each time.
    let site = crate::web::site();
    if site.join("manifest").exists() {
        command.env("HOLLER_WEB_DIR", std::path::absolute(&site).unwrap_or(site));
    }
    command
}

/// A program, without the variables that `cargo run` set for xtask.
pub(crate) fn program(name: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(name);
    clean_env(&mut command);
    command
}

fn clean_env(command: &mut Command) {
    command.env_remove("LD_LIBRARY_PATH").env_remove("CARGO_MANIFEST_DIR").env_remove("CARGO_MANIFEST_PATH");
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_")) {
            command.env_remove(name);
        }
    }
}

/// How a person would type it.
pub(crate) fn shown(command: &Command) -> String {
    let name = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let mut text = name.to_string_lossy().into_owned();
    for argument in command.get_args() {
        let argument = argument.to_string_lossy();
        text.push(' ');
        if argument.is_empty() || argument.contains(|c: char| c.is_whitespace() || "'\"$&|;<>()*?`".contains(c)) {
            text.push_str(&format!("'{}'", argument.replace('\'', r"'\''")));
        } else {
            text.push_str(&argument);
        }
    }
    text
}

/// Runs it, shown, with its output where ours goes.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    println!("$ {}", shown(command));
    let status = command.status().with_context(|| format!("`{}` did not start", shown(command)))?;
    if !status.success() {
        bail!("`{}` failed ({status})", shown(command));
    }
    Ok(())
}

/// Runs it silently for what it prints.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("`{}` did not start", shown(command)))?;
    if !output.status.success() {
        bail!("`{}` failed ({}): {}", shown(command), output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    String::from_utf8(output.stdout)
        .with_context(|| format!("`{}` printed something that is not UTF-8", shown(command)))
}

/// Did it run and succeed? Prints nothing.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}

/// Is there a program of that name on the path?
pub(crate) fn on_path(name: &str) -> bool {
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(name).is_file()))
}

/// What came of a step that did not fail.
pub(crate) enum Outcome {
    /// It ran and found nothing wrong.
    Passed,
    /// It could not run here; the reason, and what to do.
    Skipped(String),
}

impl From<()> for Outcome {
    fn from((): ()) -> Self {
        Self::Passed
    }
}

/// Steps run one after another; one that fails does not stop the rest.
#[derive(Default)]
pub(crate) struct Steps {
    lines: Vec<String>,
    failed: Vec<String>,
}

impl Steps {
    /// Runs one step. `alone` is the command that repeats just this one.
    pub(crate) fn step<T: Into<Outcome>>(&mut self, name: &str, alone: &str, run: impl FnOnce() -> Result<T>) {
        println!("\n── {name}");
        let start = Instant::now();
        let result = run().map(Into::into);
        let took = format!("{:>6.1} s", start.elapsed().as_secs_f64());
        let line = match result {
            Ok(Outcome::Passed) => format!("{took}  ok       {name}"),
            Ok(Outcome::Skipped(reason)) => format!("{took}  skipped  {name}: {reason}"),
            Err(error) => {
                println!("{error:#}");
                self.failed.push(format!("{name}: repeat it alone with `{alone}`"));
                format!("{took}  FAILED   {name}")
            }
        };
        println!("{line}");
        self.lines.push(line);
    }

    /// The list of steps with their times; an error when one failed.
    pub(crate) fn finish(self) -> Result<()> {
        println!("\n── summary");
        for line in &self.lines {
            println!("{line}");
        }
        if self.failed.is_empty() { Ok(()) } else { bail!("failed:\n   {}", self.failed.join("\n   ")) }
    }
}
