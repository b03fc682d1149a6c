//! Where the device in use is told.

pub mod delete;
pub mod get;
pub mod put;
