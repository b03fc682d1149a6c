//! `hollerd serve`

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::{say, start_log};
use crate::config::Config;
use crate::first_start::{ADMIN, ROOMS};
use crate::pki::Made;
use crate::running::Running;
use crate::storage::NoHooks;

/// The exit code of a server that a second signal made go down at once.
const CUT_SHORT: u8 = 3;

pub(super) fn run(config: Config) -> anyhow::Result<ExitCode> {
    start_log(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(serve(config))
}

async fn serve(config: Config) -> anyhow::Result<ExitCode> {
    // Before anything else, so that a signal during the start ends it by the rules too.
    let mut signals = Signals::new().context("signals")?;
    let running = Running::start(config, Arc::new(NoHooks)).await?;
    let started = &running.started;
    let password = started.password.as_deref().map(String::as_str);
    let greeting = greeting(&running.app.config, password, started.root.as_deref(), started.made);
    // A server whose standard output is closed serves all the same.
    if say(greeting).is_err() && password.is_some() {
        tracing::warn!("the first password could not be printed: set one with `hollerd user passwd {ADMIN}`");
    }
    signals.end().await;
    tracing::info!("going down: answering what is under way; a second signal ends it at once");
    let cut = running.cut();
    let stopping = running.stop();
    tokio::pin!(stopping);
    tokio::select! {
        () = &mut stopping => Ok(ExitCode::SUCCESS),
        () = signals.end() => {
            tracing::warn!("told a second time: cutting what is under way");
            cut.cancel();
            stopping.await;
            Ok(ExitCode::from(CUT_SHORT))
        }
    }
}

/// The signals that end a server.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// TERM or INT.
    async fn end(&mut self) {
        tokio::select! { _ = self.terminate.recv() => {} _ = self.interrupt.recv() => {} }
    }
}

/// Where the server is and how to sign in. The password of a first start is told here and nowhere else.
fn greeting(config: &Config, password: Option<&str>, root: Option<&Path>, made: Made) -> String {
    let url = config.public_url();
    let ca = root.map(|root| format!(" --ca '{}'", root.display())).unwrap_or_default();
    let mut lines = vec![String::new(), format!("Holler is ready at {url}"), String::new()];
    match password {
        Some(password) => {
            let rooms: Vec<_> = ROOMS.iter().map(|(name, _)| *name).collect();
            lines.push(format!("  First start: made the rooms {} and an admin.", rooms.join(" and ")));
            lines.push(String::new());
            lines.push(format!("    login     {ADMIN}"));
            lines.push(format!("    password  {password}    (shown only now)"));
        }
        None => lines.push(format!("  A forgotten password is reset with: hollerd user passwd {ADMIN}")),
    }
    lines.push(String::new());
    lines.push(format!("  Sign in:   holler login {url} --user {ADMIN}{ca}"));
    if made == Made::Authority {
        lines.push("  Browsers:  hollerd trust    (a new local CA was made; this keeps them from warning)".to_owned());
    }
    lines.push(String::new());
    lines.join("\n")
}
