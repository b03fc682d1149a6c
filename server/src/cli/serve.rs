//! `hollerd serve`

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{say, start_log};
use crate::app::AppState;
use crate::clock::Clock;
use crate::config::Config;
use crate::first_start::{self, ADMIN, ROOMS};
use crate::keys::KeyRing;
use crate::pki::{Identity, Made};
use crate::storage::{NoHooks, ServeLock, Store};
use crate::{api, gateway, metrics, serve};

pub(super) fn run(config: Config) -> anyhow::Result<ExitCode> {
    start_log(&config);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(start(config))?;
    Ok(ExitCode::SUCCESS)
}

async fn start(mut config: Config) -> anyhow::Result<()> {
    // In the order in which a mistake does least: nothing is made before the ring fits the data.
    let _lock = ServeLock::acquire(&config.data)?;
    let ring = KeyRing::load_or_create(&config.keys, &config.data)?;
    let store = Store::open(&config.data, ring, Arc::new(NoHooks))?;
    let clock = Clock::default();
    let now = Duration::from_millis(clock.unix().0);
    let identity = Identity::load(&config, now)?;
    let (root, made) = (identity.root.clone(), identity.made);
    let tls = identity.server_config()?;
    let listeners = serve::listen(&config.listen)?;
    // As they really are: without those that this machine lacks, and with the port that the system chose for port 0.
    config.listen = listeners.iter().map(tokio::net::TcpListener::local_addr).collect::<Result<_, _>>()?;

    let workspace = first_start::workspace(&store, clock).await?;
    let auth = first_start::auth(&store, workspace.id, clock, &config).await?;
    let stop = CancellationToken::new();
    let measures = metrics::install().context("metrics")?;
    let watching = tokio::spawn(auth.clone().watch(stop.clone()));
    let app = AppState::new(config, clock, store.clone(), auth);
    let measuring = app.config.metrics.map(|address| tokio::spawn(metrics::serve(address, measures, stop.clone())));
    let password = workspace.fresh_password.as_deref().map(String::as_str);
    // A server whose standard output is closed serves all the same.
    if say(greeting(&app.config, password, root.as_deref(), made)).is_err() && password.is_some() {
        tracing::warn!("the first password could not be printed: set one with `hollerd user passwd {ADMIN}`");
    }

    let ended = stop.clone();
    let drained = Arc::clone(&app);
    let mut terminate = signal(SignalKind::terminate()).context("signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals")?;
    let draining = tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {} _ = interrupt.recv() => {} }
        tracing::info!("going down: answering what is under way");
        drained.drain();
        ended.cancel();
        gateway::drain(&drained).await;
    });
    tracing::info!(version = env!("CARGO_PKG_VERSION"), workspace = %workspace.id, "serving");
    let connections_max = app.config.connections_max;
    let router = api::router(Arc::clone(&app)).merge(gateway::router(Arc::clone(&app)));
    serve::serve(listeners, tls, router, connections_max, stop).await;
    draining.await?;
    watching.await?;
    if let Some(measuring) = measuring {
        measuring.await?;
    }
    drop(app);
    store.close().await;
    tracing::info!("down");
    Ok(())
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
