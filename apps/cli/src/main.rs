//! `holler`: push-to-talk from the command line, for people and for scripts. See docs/CLI.md.

mod args;
mod commands;
mod exit;
mod output;
mod profile;
mod sound;
mod time;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::exit::{Code, Failure};
use crate::output::Out;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let out = Out::new(cli.common.json);
    log(cli.common.verbose);
    match run(cli, out) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            out.fail(&failure);
            ExitCode::from(failure.code as u8)
        }
    }
}

fn run(cli: Cli, out: Out) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::Fault, format!("the system gives no threads: {error}")))?;
    let common = cli.common;
    let done = runtime.block_on(async move {
        match cli.command {
            Command::Login(args) => commands::login::run(&common, args, out).await,
            Command::Join(args) => commands::join::run(&common, args, out).await,
            Command::Reset(args) => commands::join::reset(&common, args, out).await,
            Command::Logout => commands::logout::run(&common, out).await,
            Command::Rooms => commands::rooms::run(&common, out).await,
            Command::Talk(args) => commands::talk::run(&common, args, out).await,
            Command::Listen(args) => commands::listen::run(&common, args, out).await,
            Command::Queue(args) => commands::queue::run(&common, args, out).await,
            Command::Play(args) => commands::play::run(&common, args, out).await,
            Command::Send(args) => commands::send::run(&common, args, out).await,
            Command::Tail(args) => commands::tail::run(&common, &args, out).await,
            Command::Presence(args) => commands::presence::run(&common, &args, out).await,
            Command::Heard(args) => commands::heard::run(&common, &args, out).await,
            Command::Who(args) => commands::who::run(&common, &args, out).await,
            Command::Status(args) => commands::status::run(&common, &args, out).await,
            Command::Completions { shell } => commands::manual::completions(shell),
            Command::Man { folder } => commands::manual::man(&folder),
        }
    });
    // A read of standard input can't be ended; nobody waits for it.
    runtime.shutdown_background();
    done
}

/// What goes on inside goes to standard error, and only when asked for.
fn log(verbose: u8) {
    let level = match verbose {
        0 => return,
        1 => "holler_client=info,holler_core=info",
        _ => "holler_client=debug,holler_core=debug",
    };
    let filter = tracing_subscriber::EnvFilter::new(level);
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
