//! `hollerd serve`

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{say, user_name};
use crate::config::{Config, ConfigError};
use crate::first_start::{ADMIN, ROOMS};
use crate::logs::{self, Logs};
use crate::notify;
use crate::pki::Made;
use crate::running::Running;
use crate::serve::raise_open_files;
use crate::storage::NoHooks;
use crate::traces::Traces;

/// The exit code of a server that a second signal made go down at once.
const CUT_SHORT: u8 = 3;

/// The longest that going down takes: what is under way, then the database.
const STOP_MAX: Duration = Duration::from_secs(20);

/// Serves with `config` until a signal; `load` reads the settings again.
pub(super) fn run(config: Config, load: impl Fn() -> Result<Config, ConfigError>) -> anyhow::Result<ExitCode> {
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let traces =
        config.traces.as_ref().map(|settings| Traces::start(settings, runtime.handle().clone())).transpose()?;
    let logs = logs::start_with(&config, traces.as_ref());
    runtime.block_on(async {
        let served = serve(config, load, &logs).await;
        if let Some(traces) = traces {
            traces.finish().await;
        }
        served
    })
}

async fn serve(
    config: Config,
    load: impl Fn() -> Result<Config, ConfigError>,
    logs: &Logs,
) -> anyhow::Result<ExitCode> {
    // Before anything else, so that a signal during the start ends it by the rules too.
    let mut signals = Signals::new().context("signals")?;
    let running = Running::start(config, Arc::new(NoHooks)).await?;
    let started = &running.started;
    let password = started.password.as_deref().map(String::as_str);
    // systemd keeps what is printed, and others may read it there: a password must be set anew then.
    let kept = std::env::var_os("JOURNAL_STREAM").is_some();
    let password = password.map(|password| if kept { Err(NotShown) } else { Ok(password) });
    let greeting = greeting(&running.app.config(), password, started.root.as_deref(), started.made);
    // A server whose standard output is closed serves all the same.
    if say(greeting).is_err() && matches!(password, Some(Ok(_))) {
        tracing::warn!("the first password could not be printed: set one with `hollerd user passwd {ADMIN}`");
    }
    let status = format!("serving {}", running.app.config().public_url());
    notify::ready(&status);
    let fed = CancellationToken::new();
    let watchdog = tokio::spawn(notify::watchdog(running.store().clone(), fed.clone()));
    while signals.next().await == Told::Reload {
        notify::reloading();
        reload(&running, &load, logs);
        notify::ready(&status);
    }
    notify::stopping(STOP_MAX);
    tracing::info!("going down: answering what is under way; a second signal ends it at once");
    let cut = running.cut();
    let stopping = async {
        // It holds the database too. systemd wants no more signs of life from a service that it stops.
        fed.cancel();
        if watchdog.await.is_err() {
            tracing::error!("the watchdog was no longer fed");
        }
        running.stop().await;
    };
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

/// Reads the settings again and takes what can be taken. Where they are wrong, those that hold stay.
fn reload(running: &Running, load: impl Fn() -> Result<Config, ConfigError>, logs: &Logs) {
    let config = match load() {
        Ok(config) => config,
        Err(ConfigError(faults)) => {
            for fault in faults {
                tracing::error!("{fault}");
            }
            tracing::error!("the settings were not taken: those that held still hold");
            return;
        }
    };
    match running.reload(&config) {
        Ok(reloaded) => {
            logs.filter(&config.log_filter);
            tracing::info!(changed = reloaded.changed.join(", "), "the settings and the certificate were read again");
            for name in reloaded.needs_restart {
                tracing::warn!("{name} was changed, and needs a restart");
            }
        }
        Err(error) => tracing::error!("the settings were not taken: {error}"),
    }
}

/// What a signal asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// HUP: read the settings again.
    Reload,
    /// TERM or INT: go down.
    End,
}

/// The signals that a server listens to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Told {
        tokio::select! {
            _ = self.terminate.recv() => Told::End,
            _ = self.interrupt.recv() => Told::End,
            _ = self.hang_up.recv() => Told::Reload,
        }
    }

    async fn end(&mut self) {
        while self.next().await != Told::End {}
    }
}

/// How somebody else runs `hollerd` as the user that this server runs as: under systemd that is seldom who reads this.
fn as_this_user() -> String {
    let name = std::env::var_os("JOURNAL_STREAM").and_then(|_| user_name(rustix::process::geteuid().as_raw()));
    name.map_or_else(|| "hollerd".to_owned(), |name| format!("runuser -u {name} -- hollerd"))
}

/// A password that must not stay where output goes.
#[derive(Clone, Copy, Debug)]
struct NotShown;

/// Where the server is and how to sign in. The password of a first start is told here and nowhere else.
fn greeting(config: &Config, password: Option<Result<&str, NotShown>>, root: Option<&Path>, made: Made) -> String {
    let url = config.public_url();
    let ca = root.map(|root| format!(" --ca '{}'", root.display())).unwrap_or_default();
    let mut lines = vec![String::new(), format!("Holler is ready at {url}"), String::new()];
    match password {
        Some(password) => {
            let password = password.map_or_else(
                |NotShown| {
                    format!("is not shown where output is kept; set one: {} user passwd {ADMIN}", as_this_user())
                },
                |password| format!("{password}    (shown only now)"),
            );
            let rooms: Vec<_> = ROOMS.iter().map(|(name, _)| *name).collect();
            lines.push(format!("  First start: made the rooms {} and an admin.", rooms.join(" and ")));
            lines.push(String::new());
            lines.push(format!("    login     {ADMIN}"));
            lines.push(format!("    password  {password}"));
        }
        None => lines.push(format!("  A forgotten password is reset with: {} user passwd {ADMIN}", as_this_user())),
    }
    lines.push(String::new());
    lines.push(format!("  Sign in:   holler login {url} --user {ADMIN}{ca}"));
    if made == Made::Authority {
        lines.push("  Browsers:  hollerd trust    (a new local CA was made; this keeps them from warning)".to_owned());
    }
    lines.push(String::new());
    lines.join("\n")
}
