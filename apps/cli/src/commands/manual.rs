//! `holler completions` and `holler man`: for shells and for readers, from the same definitions that read the command line.

use std::io::Write as _;
use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::{Code, Failure};

/// Prints what makes `shell` complete our commands and flags.
pub(crate) fn completions(shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "holler", &mut script);
    let fault = |error| Failure::new(Code::Fault, format!("standard output: {error}"));
    std::io::stdout().write_all(&script).map_err(fault)
}

/// Writes the manual pages into `folder`.
pub(crate) fn man(folder: &Path) -> Result<(), Failure> {
    let written = std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
    written.map_err(|error| Failure::new(Code::Fault, format!("{}: {error}", folder.display())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed_and_documented() {
        Cli::command().debug_assert();
        let mut script = Vec::new();
        clap_complete::generate(Shell::Bash, &mut Cli::command(), "holler", &mut script);
        assert!(String::from_utf8(script).unwrap().contains("listen"));
        let dir = std::env::temp_dir().join(format!("holler-man-{}", std::process::id()));
        man(&dir).unwrap();
        let page = std::fs::read_to_string(dir.join("holler-listen.1")).unwrap();
        std::fs::remove_dir_all(&dir).unwrap();
        assert!(page.contains("holler") && page.contains("\\-\\-json"), "{page}");
    }
}
