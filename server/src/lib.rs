//! Holler's server.

pub mod config;
pub mod pki;
