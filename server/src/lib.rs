//! Holler's server.

pub mod app;
pub mod auth;
pub mod clock;
pub mod config;
pub mod keys;
pub mod pki;
pub mod storage;
