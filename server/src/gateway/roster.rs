//! Tells sockets that people, rooms or members changed. Each client then asks for what it may see of it, at a time that it draws.

use holler_core::session::Coalesce;
use holler_core::wire::socket::ServerMessage;
use tokio_util::sync::CancellationToken;

use super::encode;
use crate::app::App;
use crate::storage::accounts::last_roster_change;

/// Runs until `stop`.
pub async fn tell_changes(app: App, stop: CancellationToken) {
    let mut changes = app.auth.changes();
    let mut known = look(&app).await;
    while let Some(Ok(())) = stop.run_until_cancelled(changes.changed()).await {
        let found = look(&app).await;
        // Devices and sign-ins tick too, and are nobody else's business.
        if found.is_none() || found == known {
            continue;
        }
        known = found;
        let text = encode(&ServerMessage::RosterChanged {});
        app.connections.for_each(|connection| connection.out.control(text.clone(), Some(Coalesce::Roster)));
    }
}

async fn look(app: &App) -> Option<u64> {
    let workspace = app.auth.workspace();
    match app.store.read(move |db| last_roster_change(db, workspace)).await {
        Ok(change) => Some(change),
        Err(error) => {
            tracing::warn!(%error, "the log of the roster can't be read; clients learn of the change with the next one");
            None
        }
    }
}
