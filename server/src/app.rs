//! What every request handler shares.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use holler_core::model::Role;
use holler_core::units::{RoomId, UserId, WorkspaceId};
use holler_core::wire::problem::Problem;

use tokio_util::task::TaskTracker;

use crate::api::idempotency::Running;
use crate::api::rates::RequestLimits;
use crate::auth::Auth;
use crate::clock::Clock;
use crate::config::Config;
use crate::gateway::Connections;
use crate::home::Homes;
use crate::playing::Players;
use crate::presence::{Board, Limits};
use crate::push::Push;
use crate::receipts::Receipts;
use crate::storage::Store;
use crate::voice::Voice;

/// The server's parts. A cheap clone.
pub type App = Arc<AppState>;

/// The server's parts.
pub struct AppState {
    config: ArcSwap<Config>,
    /// The clocks.
    pub clock: Clock,
    /// The database.
    pub store: Store,
    /// Who may do what.
    pub auth: Auth,
    /// The homes of the rooms that are in use.
    pub homes: Homes,
    /// The sockets that are signed in.
    pub connections: Connections,
    /// Who is here.
    pub presence: Board,
    /// Which of each person's devices plays.
    pub players: Players,
    /// Who got how far.
    pub receipts: Receipts,
    /// Every socket that is open, signed in or not.
    pub sockets: TaskTracker,
    /// How many requests came from whom.
    pub request_limits: RequestLimits,
    /// Requests with an `Idempotency-Key` that run now.
    pub requests_running: Running,
    /// Voice as datagrams.
    pub voice: Arc<Voice>,
    push: OnceLock<Arc<Push>>,
    draining: AtomicBool,
}

impl AppState {
    /// Puts the parts together.
    pub fn new(config: Config, clock: Clock, store: Store, auth: Auth) -> App {
        let homes = Homes::new(&store, clock);
        let rules = auth.clone();
        homes.limit_talk(move |room| rules.talk_limits().of(room));
        Arc::new(Self {
            homes,
            config: ArcSwap::from_pointee(config),
            clock,
            store,
            auth,
            connections: Connections::default(),
            presence: Board::new(clock, Limits::default()),
            players: Players::new(clock),
            receipts: Receipts::default(),
            sockets: TaskTracker::new(),
            request_limits: RequestLimits::default(),
            requests_running: Running::default(),
            voice: Arc::new(Voice::new(clock)),
            push: OnceLock::new(),
            draining: AtomicBool::new(false),
        })
    }

    /// The settings as they are now: a reload may change them.
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// From now on these settings hold.
    pub(crate) fn set_config(&self, config: Config) {
        self.config.store(Arc::new(config));
    }

    /// What sends notifications; absent in a server that sends none, as tests have.
    pub fn push(&self) -> Option<&Push> {
        self.push.get().map(|push| &**push)
    }

    /// Notifications are sent with this. Only the first call counts.
    pub fn set_push(&self, push: Arc<Push>) {
        let _first = self.push.set(push);
    }

    /// The server is going down: `/readyz` says so from now on.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether the server is going down.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// What a user may do in a room; `None`: they are no member, or there is no such room.
    pub async fn role_in(&self, workspace: WorkspaceId, room: RoomId, user: UserId) -> Result<Option<Role>, Problem> {
        Ok(if workspace == self.auth.workspace() { self.auth.role_in(room, user) } else { None })
    }

    /// Whether pages of this origin may open sockets: those of the configured names.
    pub fn is_allowed_origin(&self, origin: &str) -> bool {
        let Some(host) = origin.strip_prefix("https://") else { return false };
        let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
        self.config.load().public_names.iter().any(|public| public.eq_ignore_ascii_case(name))
    }
}
