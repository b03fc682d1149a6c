//! Where devices are told of what they missed, and of what.

pub mod offer;
pub mod rules;
pub mod subscription;

use holler_core::wire::problem::{Problem, ProblemKind};

use crate::app::App;
use crate::push::Push;

fn sender(app: &App) -> Result<&Push, Problem> {
    app.push().ok_or_else(|| {
        Problem::new(ProblemKind::Unavailable, "this server is not ready to send notifications").retry_after_s(1)
    })
}
