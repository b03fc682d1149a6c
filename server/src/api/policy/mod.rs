//! The rules of the workspace.

pub mod get;
pub mod put;
