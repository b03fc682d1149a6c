//! `holler-lab`: see [`holler_lab::tasks`].

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use holler_lab::tasks::{self, Lab};

fn main() -> ExitCode {
    let Some(task) = Lab::parse().task else {
        return match Lab::command().print_help() {
            Ok(()) => ExitCode::SUCCESS,
            Err(_) => ExitCode::from(2),
        };
    };
    match task.run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            tasks::complain(&error);
            ExitCode::from(2)
        }
    }
}
