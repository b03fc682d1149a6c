//! A server from its settings to its end: the steps of `hollerd serve`, for whoever runs a server in a process of their own.
//!
//! [`Running::start`] goes in the order in which a mistake does least: nothing is made before the key ring fits the data,
//! nothing is served before every address is bound. [`Running::stop`] goes the other way: it answers what is under way, has
//! the homes write what they hold, and closes the database last.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::app::{App, AppState};
use crate::auth::AuthError;
use crate::clock::Clock;
use crate::config::Config;
use crate::first_start::{self, FirstStartError};
use crate::keys::{KeyRing, RingError};
use crate::pki::{Identity, Made, PkiError};
use crate::serve::ListenError;
use crate::storage::{Hooks, OpenStoreError, ServeLock, Store};
use crate::{api, gateway, metrics, serve};

/// Why a server did not start. Each says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The data folder or the database.
    #[error(transparent)]
    Store(#[from] OpenStoreError),
    /// The key ring.
    #[error(transparent)]
    Ring(#[from] RingError),
    /// The certificate.
    #[error(transparent)]
    Identity(#[from] PkiError),
    /// An address.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// What an address became.
    #[error("the system does not say which address it gave: {0}")]
    Address(io::Error),
    /// The first workspace.
    #[error(transparent)]
    FirstStart(#[from] FirstStartError),
    /// Sign-in.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The measures.
    #[error("nothing can be measured: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

/// What a start found or made, for the person who started it.
#[derive(Debug)]
pub struct Started {
    /// The password of the user `admin`, made just now and kept nowhere; `None`: the workspace was there already.
    pub password: Option<Zeroizing<String>>,
    /// The root certificate that clients must trust; absent with an own certificate.
    pub root: Option<PathBuf>,
    /// Which certificates were made.
    pub made: Made,
}

/// A server that takes requests.
pub struct Running {
    /// Its parts.
    pub app: App,
    /// Where it is reached, as it really is: without addresses that this machine lacks, with the port that the system chose for
    /// port 0. The settings in [`AppState::config`] say the same.
    pub addresses: Vec<SocketAddr>,
    /// Where it is looked after: `/metrics`.
    pub private: Option<SocketAddr>,
    /// What the start found or made.
    pub started: Started,
    store: Store,
    stop: CancellationToken,
    cut: CancellationToken,
    tasks: Vec<JoinHandle<()>>,
    serving: JoinHandle<()>,
    _lock: ServeLock,
}

impl Running {
    /// Starts a server in the current tokio runtime, which must have several threads or be left alone by long work. `hooks` are
    /// for tests; a server has [`crate::storage::NoHooks`].
    pub async fn start(mut config: Config, hooks: Arc<dyn Hooks>) -> Result<Self, StartError> {
        let mut lock = ServeLock::acquire(&config.data)?;
        let ring = KeyRing::load_or_create(&config.keys, &config.data)?;
        lock.sign(&ring)?;
        let store = Store::open(&config.data, ring, hooks)?;
        let clock = Clock::default();
        let identity = Identity::load(&config, Duration::from_millis(clock.unix().0))?;
        let (root, made) = (identity.root.clone(), identity.made);
        let tls = identity.server_config()?;
        let listeners = serve::listen(&config.listen)?;
        config.listen = addresses(&listeners)?;
        let private = config.metrics.map(serve::listen_private).transpose()?;
        config.metrics = private.as_ref().map(TcpListener::local_addr).transpose().map_err(StartError::Address)?;
        let measures = metrics::install()?;

        let workspace = first_start::workspace(&store, clock).await?;
        let auth = first_start::auth(&store, workspace.id, clock, &config).await?;
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let mut tasks = vec![tokio::spawn(auth.clone().watch(stop.clone()))];
        let app = AppState::new(config, clock, store.clone(), auth);
        tasks.extend(private.map(|listener| tokio::spawn(metrics::serve(listener, measures, stop.clone()))));
        let router = api::router(Arc::clone(&app)).merge(gateway::router(Arc::clone(&app)));
        let connections_max = app.config.connections_max;
        let serving = serve::serve(listeners, tls, router, connections_max, stop.clone(), cut.clone());
        tracing::info!(version = env!("CARGO_PKG_VERSION"), workspace = %workspace.id, "serving");
        Ok(Self {
            addresses: app.config.listen.clone(),
            private: app.config.metrics,
            started: Started { password: workspace.fresh_password, root, made },
            app,
            store,
            stop,
            cut,
            tasks,
            serving: tokio::spawn(serving),
            _lock: lock,
        })
    }

    /// Cancelled, it cuts short what [`Running::stop`] still waits for: connections end at once, and bursts under way are
    /// interrupted. What was acked is stored all the same.
    pub fn cut(&self) -> CancellationToken {
        self.cut.clone()
    }

    /// Goes down: takes no more requests, answers what is under way within 10 s, sends clients elsewhere within 5 s, and closes
    /// the database.
    pub async fn stop(self) {
        self.app.drain();
        self.stop.cancel();
        let sockets = self.cut.run_until_cancelled(gateway::drain(&self.app));
        let (_, served) = tokio::join!(sockets, self.serving);
        for ended in std::iter::once(served).chain(join_all(self.tasks).await) {
            if let Err(error) = ended {
                tracing::error!(%error, "a part of the server had ended before");
            }
        }
        drop(self.app);
        self.store.close().await;
        tracing::info!("down");
    }
}

async fn join_all(tasks: Vec<JoinHandle<()>>) -> Vec<Result<(), tokio::task::JoinError>> {
    let mut ended = Vec::with_capacity(tasks.len());
    for task in tasks {
        ended.push(task.await);
    }
    ended
}

fn addresses(listeners: &[TcpListener]) -> Result<Vec<SocketAddr>, StartError> {
    listeners.iter().map(TcpListener::local_addr).collect::<Result<_, _>>().map_err(StartError::Address)
}
