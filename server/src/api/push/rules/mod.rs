//! Of what a user is told.

pub mod get;
pub mod put;
