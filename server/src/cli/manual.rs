//! `hollerd completions` and `hollerd man`: for shells and for readers, from the same definitions that read the command line.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Hollerd;

#[derive(Debug, clap::Args)]
pub(super) struct CompletionFlags {
    /// For which shell
    shell: Shell,
}

#[derive(Debug, clap::Args)]
pub(super) struct ManFlags {
    /// Where to put them
    folder: PathBuf,
}

pub(super) fn completions(flags: &CompletionFlags) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(flags.shell, &mut Hollerd::command(), "hollerd", &mut script);
    std::io::stdout().write_all(&script).context("standard output")?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn man(flags: &ManFlags) -> anyhow::Result<ExitCode> {
    write_pages(&flags.folder).with_context(|| format!("can't write to {}", flags.folder.display()))?;
    Ok(ExitCode::SUCCESS)
}

fn write_pages(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(Hollerd::command(), folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_has_completions_that_know_the_commands() {
        for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Hollerd::command(), "hollerd", &mut script);
            let script = String::from_utf8(script).unwrap();
            assert!(script.contains("doctor") && script.contains("public-name"), "{shell}: {script}");
        }
    }

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let dir = tempfile::tempdir().unwrap();
        write_pages(dir.path()).unwrap();
        let page = |name: &str| std::fs::read_to_string(dir.path().join(format!("{name}.1"))).unwrap();
        assert!(page("hollerd").contains("hollerd\\-doctor(1)"), "{}", page("hollerd"));
        assert!(page("hollerd-serve").contains("\\-\\-public\\-name"));
        assert!(page("hollerd-config-dump").contains("defaults"));
    }

    #[test]
    fn the_command_line_is_well_formed() {
        Hollerd::command().debug_assert();
    }
}
