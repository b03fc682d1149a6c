//! A server from its settings to its end: the steps of `hollerd serve`, for whoever runs a server in a process of their own.
//!
//! [`Running::start`] goes in the order in which a mistake does least: nothing is made before the key ring fits the data,
//! nothing is served before every address is bound. [`Running::stop`] goes the other way: it answers what is under way, has
//! the homes write what they hold, and closes the database last.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
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
use crate::storage::{retention, space};
use crate::{api, gateway, home, metrics, playing, presence, private, push, receipts, serve, voice};

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
    #[error("{}. {}", .0, .0.remedy())]
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
    /// Notifications.
    #[error(transparent)]
    Push(#[from] push::PushError),
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

/// What became of new settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reloaded {
    /// Those that hold from now on.
    pub changed: Vec<String>,
    /// Those that are as they were until a restart.
    pub needs_restart: Vec<String>,
}

/// A server that takes requests.
pub struct Running {
    /// Its parts.
    pub app: App,
    /// Where it is reached, as it really is: without addresses that this machine lacks, with the port that the system chose for
    /// port 0. The settings in [`AppState::config`](crate::app::AppState::config) say the same.
    pub addresses: Vec<SocketAddr>,
    /// Where it is watched: `/healthz`, `/readyz` and `/metrics`.
    pub private: Option<SocketAddr>,
    /// What the start found or made.
    pub started: Started,
    requested: Mutex<Config>,
    tls: serve::Tls,
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
        let requested = Mutex::new(config.clone());
        let mut lock = ServeLock::acquire(&config.data)?;
        let ring = KeyRing::load_or_create(&config.keys, &config.data)?;
        lock.sign(&ring)?;
        let store = Store::open(&config.data, ring, hooks)?;
        let clock = Clock::default();
        let identity = Identity::load(&config, Duration::from_millis(clock.unix().0))?;
        let (root, made) = (identity.root.clone(), identity.made);
        warn_of(&identity, clock);
        let tls = Arc::new(ArcSwap::from_pointee(identity.server_config()?));
        let listeners = serve::listen(&config.listen)?;
        let listening = addresses(&listeners)?;
        let udp = voice::bind(&config, &listening)?;
        config.listen = listening;
        let private = config.private.map(serve::listen_private).transpose()?;
        config.private = private.as_ref().map(TcpListener::local_addr).transpose().map_err(StartError::Address)?;
        let measures = metrics::install()?;

        let workspace = first_start::workspace(&store, clock).await?;
        let auth = first_start::auth(&store, workspace.id, clock, &config).await?;
        let push = Arc::new(push::Push::open(&store, workspace.id, clock, &config).await?);
        let (stop, cut) = (CancellationToken::new(), CancellationToken::new());
        let mut tasks = vec![tokio::spawn(auth.clone().watch(stop.clone()))];
        let app = AppState::new(config, clock, store.clone(), auth);
        let looked = Arc::clone(&app);
        let least = move || looked.config().free_min_mib;
        let data = Arc::from(app.config().data.as_path());
        tasks.push(tokio::spawn(space::watch(store.clone(), data, least, stop.clone())));
        tasks.push(tokio::spawn(retention::run(Arc::clone(&app), stop.clone())));
        tasks.push(tokio::spawn(home::follow_talk_limits(Arc::clone(&app), stop.clone())));
        tasks.push(tokio::spawn(home::retire_idle(Arc::clone(&app), stop.clone())));
        tasks.extend(private.map(|listener| {
            let serving = private::serve(listener, Arc::clone(&app), measures, stop.clone());
            tokio::spawn(serving)
        }));
        presence::task::restore(&app).await;
        tasks.push(tokio::spawn(playing::run(Arc::clone(&app), stop.clone())));
        tasks.push(tokio::spawn(presence::task::run(Arc::clone(&app), stop.clone())));
        app.set_push(Arc::clone(&push));
        tasks.push(tokio::spawn(push::run(Arc::clone(&app), push, stop.clone())));
        tasks.push(tokio::spawn(receipts::run(Arc::clone(&app), stop.clone())));
        tasks.push(tokio::spawn(gateway::tell_roster_changes(Arc::clone(&app), stop.clone())));
        tasks.extend(voice::start(&app, udp, &stop));
        let router = api::router(Arc::clone(&app)).merge(gateway::router(Arc::clone(&app)));
        let running = app.config();
        let serving =
            serve::serve(listeners, Arc::clone(&tls), router, running.connections_max, stop.clone(), cut.clone());
        tracing::info!(version = env!("CARGO_PKG_VERSION"), workspace = %workspace.id, "serving");
        Ok(Self {
            addresses: running.listen.clone(),
            private: running.private,
            started: Started { password: workspace.fresh_password, root, made },
            app,
            requested,
            tls,
            store,
            stop,
            cut,
            tasks,
            serving: tokio::spawn(serving),
            _lock: lock,
        })
    }

    /// Takes what of `config` a running server can take, for new connections and requests; all or nothing. The certificate is read
    /// again in any case.
    pub fn reload(&self, config: &Config) -> Result<Reloaded, PkiError> {
        let mut requested = self.requested.lock().unwrap_or_else(PoisonError::into_inner);
        let (changed, needs_restart) = requested.differences(config);
        let mut running = Config::clone(&self.app.config());
        let identity = Identity::load(
            &Config { keys: running.keys.clone(), ..config.clone() },
            Duration::from_millis(self.app.clock.unix().0),
        )?;
        warn_of(&identity, self.app.clock);
        self.tls.store(Arc::new(identity.server_config()?));
        self.app.auth.set_sign_in_rates(config.limits);
        for settings in [&mut running, &mut *requested] {
            settings.public_names.clone_from(&config.public_names);
            settings.tls.clone_from(&config.tls);
            settings.log_filter.clone_from(&config.log_filter);
            settings.limits = config.limits;
            settings.requests = config.requests;
            settings.free_min_mib = config.free_min_mib;
        }
        self.app.set_config(running);
        Ok(Reloaded { changed, needs_restart })
    }

    /// The database, for whoever looks after the server.
    pub fn store(&self) -> &Store {
        &self.store
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

/// A certificate that is out of date is served all the same: a clock may be wrong, and people who are signed in hear of it so.
fn warn_of(identity: &Identity, clock: Clock) {
    if let Some(why) = identity.out_of_date(Duration::from_millis(clock.unix().0)) {
        tracing::error!(why, "clients refuse the server's certificate: renew it, then reload (HUP)");
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
