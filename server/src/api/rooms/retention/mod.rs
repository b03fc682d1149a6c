//! What a room keeps: days, and legal hold.

pub mod get;
pub mod set;

use holler_core::units::{RoomId, Seq};
use holler_core::wire::problem::Problem;
use holler_core::wire::rest::Retention;

use super::no_room;
use crate::api::problem;
use crate::app::App;

async fn of(app: &App, room: RoomId) -> Result<Retention, Problem> {
    let found = app.auth.read(move |accounts| accounts.retention(room)).await?;
    let head = app.store.log_head(room).await.map_err(problem::store)?.ok_or_else(|| no_room(room))?;
    let effective_days = found.days.or(app.auth.policy().retention_days).filter(|days| *days > 0);
    Ok(Retention { days: found.days, effective_days, held_at: found.held_at, first_seq: Seq(head.first_seq.0) })
}
