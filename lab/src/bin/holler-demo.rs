//! `holler-demo`: see [`holler_lab::demo`].

use std::process::ExitCode;

use clap::Parser;
use holler_lab::demo;

fn main() -> ExitCode {
    match demo::run(&demo::Options::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            demo::complain(&error);
            ExitCode::from(2)
        }
    }
}
