//! The people of the workspace.

pub mod create;
pub mod list;
