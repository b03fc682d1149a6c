//! The log of a room.

pub mod append;
pub mod list;
pub mod receipts;
