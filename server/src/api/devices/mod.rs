//! The installations that users sign in with.

pub mod change;
pub mod list;
pub mod revoke;

use holler_core::units::DeviceId;
use holler_core::wire::rest::Device;

use crate::auth::Principal;
use crate::storage::accounts::{AccountError, Accounts, DeviceRow};

/// Which device.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub struct DevicePath {
    /// The device.
    device: DeviceId,
}

/// A device as it is told.
pub(super) fn told(row: DeviceRow) -> Device {
    let DeviceRow { id, user: _, name, created_at, last_used_at, revoked } = row;
    Device { id, name, created_at, last_used_at, revoked }
}

/// Refuses unless the device is the caller's, or the caller is an admin. Somebody else's looks like none at all.
fn visible(accounts: &Accounts<'_>, caller: &Principal, device: DeviceId) -> Result<(), AccountError> {
    let visible = |row: &DeviceRow| caller.admin || row.user == caller.user;
    accounts.device(device)?.filter(visible).map(drop).ok_or(AccountError::NoDevice)
}
