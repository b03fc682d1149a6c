//! The commands, one a file.

pub(crate) mod heard;
pub(crate) mod join;
pub(crate) mod listen;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod manual;
pub(crate) mod play;
pub(crate) mod presence;
pub(crate) mod queue;
pub(crate) mod rooms;
pub(crate) mod send;
pub(crate) mod status;
pub(crate) mod tail;
pub(crate) mod talk;
pub(crate) mod who;
