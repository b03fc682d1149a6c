//! The installations that users sign in with.

pub mod change;
pub mod get;
pub mod list;
pub mod revoke;

use axum::response::Response;
use holler_core::units::{DeviceId, UserId};
use holler_core::wire::problem::Problem;
use holler_core::wire::rest::Device;
use serde::Serialize;

use super::conditional;
use super::pages::{Page, PageQuery, newest};
use crate::app::App;
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
fn told(row: DeviceRow) -> Device {
    let DeviceRow { id, user: _, name, created_at, last_used_at, revoked } = row;
    Device { id, name, created_at, last_used_at, revoked }
}

/// A device with its entity tag.
fn answer(row: DeviceRow) -> Response {
    conditional::tagged_in_parts(&changeable(&row), told(row))
}

/// What people can change of a device, which its tag has a part for.
fn changeable(row: &DeviceRow) -> impl Serialize + use<> {
    (row.name.clone(), row.revoked)
}

/// A page of a user's devices, newest first.
pub(super) async fn page(app: &App, user: UserId, query: PageQuery) -> Result<Page<Device>, Problem> {
    let limit = query.limit()?;
    let page = app.auth.read(move |accounts| {
        query.cut(accounts, "devices", limit, accounts.devices(user)?, |row| newest(row.created_at, row.id.bytes()))
    });
    Ok(page.await?.map(told))
}

/// The device, if it is the caller's, or the caller is an admin. Somebody else's looks like none at all.
fn visible(accounts: &Accounts<'_>, caller: &Principal, device: DeviceId) -> Result<DeviceRow, AccountError> {
    let visible = |row: &DeviceRow| caller.admin || row.user == caller.user;
    accounts.device(device)?.filter(visible).ok_or(AccountError::NoDevice)
}
