//! (being written)

pub mod jitter;
