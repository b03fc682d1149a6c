//! Bursts and their frames.

pub mod frames;
pub mod get;
pub mod receipts;

use holler_core::units::{BurstId, RoomId};
use holler_core::wire::problem::{Problem, ProblemKind};

/// Which burst of which room.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub struct BurstPath {
    /// The room.
    room: RoomId,
    /// The burst.
    burst: BurstId,
}

fn no_burst(burst: BurstId) -> Problem {
    Problem::new(ProblemKind::NotFound, format!("there is no burst {burst} in this room")).field("burst")
}
