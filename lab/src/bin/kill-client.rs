//! A client process of the kill test: see [`holler_lab::kill::client`].

use std::process::ExitCode;

fn main() -> ExitCode {
    let orders = std::env::args().nth(1).unwrap_or_default();
    match holler_lab::kill::client::run(&orders) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
