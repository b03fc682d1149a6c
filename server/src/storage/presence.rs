//! The last transition of each device, for the server that is started next.

use holler_core::model::PresenceState;
use holler_core::units::{DeviceId, UnixMs, UserId, WorkspaceId};
use rusqlite::{Connection, params};

use super::columns::{int, time, word};
use super::error::StoreError;

/// A device's last transition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transition {
    /// The device.
    pub device: DeviceId,
    /// Whose.
    pub user: UserId,
    /// Its state since then.
    pub state: PresenceState,
    /// When, or, as read back, when it was last known: of a device with a socket that is when the server last ran.
    pub at: UnixMs,
}

/// Writes transitions down, and that the server runs.
pub fn record(
    db: &Connection,
    workspace: WorkspaceId,
    transitions: &[Transition],
    alive_at: UnixMs,
) -> Result<(), StoreError> {
    let mut insert = db.prepare_cached(
        "INSERT OR REPLACE INTO presence (workspace_id, device_id, user_id, state, at) VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    for Transition { device, user, state, at } in transitions {
        insert.execute(params![workspace.bytes(), device.bytes(), user.bytes(), state.as_str(), int(at.0)])?;
    }
    db.prepare_cached("INSERT OR REPLACE INTO presence_alive (workspace_id, at) VALUES (?1, ?2)")?
        .execute(params![workspace.bytes(), int(alive_at.0)])?;
    Ok(())
}

/// What was written down last.
pub fn load(db: &Connection, workspace: WorkspaceId) -> Result<Vec<Transition>, StoreError> {
    let mut statement = db.prepare_cached(
        "SELECT p.device_id, p.user_id, p.state, \
         CASE WHEN p.state IN ('offline', 'unknown') THEN p.at ELSE max(p.at, coalesce(a.at, 0)) END \
         FROM presence p LEFT JOIN presence_alive a USING (workspace_id) WHERE p.workspace_id = ?1",
    )?;
    let rows = statement.query_map([workspace.bytes()], |row| {
        let device = DeviceId::from_bytes(row.get(0)?);
        Ok((device, UserId::from_bytes(row.get(1)?), row.get::<_, String>(2)?, row.get::<_, i64>(3)?))
    })?;
    rows.map(|row| {
        let (device, user, state, at) = row?;
        Ok(Transition { device, user, state: word(&state, "a presence")?, at: time(at)? })
    })
    .collect()
}
