//! `./x check`: the rules that the compiler does not know.

pub(crate) mod deny;
pub(crate) mod docs;
pub(crate) mod layout;
pub(crate) mod pure;
mod rust;

use anyhow::{Result, bail};

use crate::sh::{self, Outcome, Steps};

/// A single check: its name, what it looks at, and the function.
pub(crate) struct Check {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) run: fn() -> Result<Outcome>,
}

/// All checks, the quick ones first.
pub(crate) const CHECKS: &[Check] = &[
    Check {
        name: "layout",
        about: "which crate and module may use which; file sizes; nothing of one machine",
        run: layout::check,
    },
    Check {
        name: "docs",
        about: "links, paths, tests and tasks that the documentation names are there",
        run: docs::check,
    },
    Check { name: "deny", about: "licences, sources and duplicates of dependencies", run: deny::check },
    Check { name: "pure", about: "the core builds for wasm32-unknown-unknown", run: pure::check },
];

/// Runs the named checks, or all.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    if let Some(unknown) = arguments.iter().find(|name| !CHECKS.iter().any(|check| check.name == **name)) {
        let known: Vec<String> = CHECKS.iter().map(|check| format!("  {:<10} {}", check.name, check.about)).collect();
        bail!("there is no check `{unknown}`; there are\n{}", known.join("\n"));
    }
    let mut steps = Steps::default();
    for check in CHECKS {
        if arguments.is_empty() || arguments.iter().any(|name| name == check.name) {
            steps.step(check.name, &format!("./x check {}", check.name), check.run);
        }
    }
    steps.finish()
}

/// A tracked text file.
pub(crate) struct Source {
    /// From the root of the checkout, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
}

/// Every tracked file that is text.
pub(crate) fn tracked() -> Result<Vec<Source>> {
    let list = sh::output(sh::program("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]))?;
    let mut sources = Vec::new();
    for path in list.split('\0').filter(|path| !path.is_empty()) {
        // A file that was removed and not yet committed is still listed; binary files are not for reading.
        let Ok(bytes) = std::fs::read(path) else { continue };
        if let Ok(text) = String::from_utf8(bytes) {
            sources.push(Source { path: path.to_owned(), text });
        }
    }
    Ok(sources)
}

/// What a check found. Empty is good.
pub(crate) fn verdict(mut violations: Vec<String>) -> Result<Outcome> {
    violations.sort();
    violations.dedup();
    if violations.is_empty() { Ok(Outcome::Passed) } else { bail!("{}", violations.join("\n")) }
}
