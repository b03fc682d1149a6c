//! `hollerd`, Holler's server: one process with everything embedded.

pub mod api;
pub mod app;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod config;
pub mod doctor;
pub mod export;
pub mod first_start;
pub mod gateway;
pub mod health;
pub mod home;
pub mod keys;
pub mod logs;
pub mod metrics;
pub mod notify;
pub mod pki;
pub mod presence;
pub mod private;
pub mod push;
pub mod receipts;
pub mod running;
pub mod serve;
pub mod storage;
pub mod traces;
pub mod trust;
