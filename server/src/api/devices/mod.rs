//! The installations that users sign in with.

pub mod list;
pub mod revoke;
