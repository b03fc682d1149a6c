//! The devices of any user, for admins and for oneself.

pub mod list;
pub mod revoke;
