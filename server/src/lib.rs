//! Holler's server.

pub mod config;
pub mod keys;
pub mod pki;
pub mod storage;
