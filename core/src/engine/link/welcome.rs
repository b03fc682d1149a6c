//! What the server says once it let this client in.

use crate::units::{DeviceId, UnixMs, UserId};

/// The server's answer to `auth`.
#[derive(Debug)]
pub(in crate::engine) struct Welcome {
    pub(in crate::engine) user: UserId,
    pub(in crate::engine) device: DeviceId,
    pub(in crate::engine) server_time: UnixMs,
    pub(in crate::engine) heartbeat_ms: u32,
    pub(in crate::engine) expires_in_s: u32,
    pub(in crate::engine) resume: Option<String>,
}
