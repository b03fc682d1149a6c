//! `hollerd`: Holler's server and the commands that look after it.

use std::process::ExitCode;

fn main() -> ExitCode {
    holler_server::cli::main()
}
