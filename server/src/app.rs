//! What every request handler shares.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use holler_core::model::Role;
use holler_core::units::{DeviceId, Mono, RoomId, UserId, WorkspaceId};
use holler_core::wire::problem::Problem;

use crate::auth::Auth;
use crate::clock::Clock;
use crate::config::Config;
use crate::storage::Store;

/// The server's parts. A cheap clone.
pub type App = Arc<AppState>;

/// The server's parts.
pub struct AppState {
    /// The settings.
    pub config: Config,
    /// The clocks.
    pub clock: Clock,
    /// The database.
    pub store: Store,
    /// Who may do what.
    pub auth: Auth,
    /// Who is connected.
    pub connections: Connections,
    draining: AtomicBool,
}

impl AppState {
    /// Puts the parts together.
    pub fn new(config: Config, clock: Clock, store: Store, auth: Auth) -> App {
        Arc::new(Self {
            config,
            clock,
            store,
            auth,
            connections: Connections::default(),
            draining: AtomicBool::new(false),
        })
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
        self.config.public_names.iter().any(|public| public.eq_ignore_ascii_case(name))
    }
}

/// The sockets that are signed in.
#[derive(Debug, Default)]
pub struct Connections(Mutex<HashMap<DeviceId, (UserId, Mono)>>);

impl Connections {
    /// The sockets of each user, and when something last came from any of them.
    pub fn of_users(&self) -> HashMap<UserId, (u32, Mono)> {
        let mut users: HashMap<UserId, (u32, Mono)> = HashMap::new();
        for (user, heard) in self.0.lock().unwrap_or_else(PoisonError::into_inner).values() {
            let entry = users.entry(*user).or_default();
            entry.0 += 1;
            entry.1 = entry.1.max(*heard);
        }
        users
    }
}
