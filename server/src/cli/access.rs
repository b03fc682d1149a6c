//! What the commands share: looking up people and rooms, and changing accounts.

use anyhow::Context as _;
use holler_core::units::{RoomId, UnixMs};
use holler_core::wire::problem::Problem;

use super::only_workspace;
use crate::auth::Auth;
use crate::clock::Clock;
use crate::config::Config;
use crate::first_start;
use crate::storage::Store;
use crate::storage::accounts::{AccountError, Accounts, RoomRow, UserRow};
use crate::storage::audit::{Actor, Entry};

/// The accounts of the workspace.
pub(super) struct Desk {
    pub(super) auth: Auth,
    pub(super) store: Store,
}

impl Desk {
    pub(super) async fn open(store: Store, config: &Config, clock: Clock) -> anyhow::Result<Self> {
        let workspace = only_workspace(first_start::find(&store).await?)?;
        Ok(Self { auth: first_start::auth(&store, workspace, clock, config).await?, store })
    }

    /// Runs a change of accounts, told in the audit log as made at the command line.
    pub(super) async fn change(
        &self,
        change: impl FnOnce(&Accounts<'_>, UnixMs) -> Result<u64, AccountError> + Send + 'static,
    ) -> Result<(), Problem> {
        self.auth.change(Actor::Cli, change).await
    }

    /// Tells the audit log of something that changes nothing in the database itself.
    pub(super) async fn record(&self, entry: Entry) -> Result<(), Problem> {
        self.auth.record(entry).await
    }

    /// The user with this login.
    pub(super) async fn user(&self, login: &str) -> anyhow::Result<UserRow> {
        let wanted = login.to_owned();
        let found = self.auth.read(move |accounts| Ok(accounts.user_by_login(&wanted)?)).await?;
        found.with_context(|| format!("there is no user with the login {login:?}; `hollerd user list` shows them"))
    }

    /// The room with this identifier, or with this name if no other has it.
    pub(super) async fn room(&self, room: &str) -> anyhow::Result<RoomRow> {
        let rooms = self.auth.read(|accounts| Ok(accounts.rooms()?)).await?;
        let id = room.parse::<RoomId>().ok();
        let mut found = rooms.into_iter().filter(|row| id == Some(row.id) || id.is_none() && row.name == room);
        let first =
            found.next().with_context(|| format!("there is no room {room:?}; `hollerd room list` shows them"))?;
        anyhow::ensure!(found.next().is_none(), "several rooms are called {room:?}: name one by its identifier");
        Ok(first)
    }
}

/// Draws the bytes of an identifier.
pub(super) fn random() -> anyhow::Result<[u8; 16]> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).context("the system gave no random bytes")?;
    Ok(bytes)
}
