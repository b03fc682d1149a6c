//! Devices and their sign-ins.

use holler_core::seal::Place;
use holler_core::units::{DeviceId, FamilyId, UnixMs, UserId};
use rusqlite::{OptionalExtension as _, params};
use zeroize::Zeroizing;

use super::{AccountError, Accounts, DEVICE_KEPT_MS, DEVICES_MAX, DeviceRow, Ended, SignInRow, ms, time, word};
use crate::storage::StoreError;
use crate::storage::audit::Action;

impl Accounts<'_> {
    /// Adds a device. Beyond [`DEVICES_MAX`] the one that was unused for longest is revoked; then a generation is given.
    pub fn add_device(
        &self,
        device: DeviceId,
        user: UserId,
        name: &str,
        now: UnixMs,
    ) -> Result<Option<u64>, StoreError> {
        let mut live: Vec<DeviceRow> = self.devices(user)?.into_iter().filter(|device| !device.revoked).collect();
        live.sort_by_key(|device| (device.last_used_at, device.id));
        let mut generation = None;
        self.forget_devices(user, UnixMs(now.0.saturating_sub(DEVICE_KEPT_MS)))?;
        for device in live.iter().take((live.len() + 1).saturating_sub(DEVICES_MAX)) {
            generation = Some(self.end_device(device.id, now)?);
        }
        self.db
            .prepare_cached(
                "INSERT INTO devices (workspace_id, device_id, user_id, name, created_at, last_used_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5)",
            )?
            .execute(params![
                self.ws(),
                device.bytes(),
                user.bytes(),
                self.seal("devices", "name", device.bytes(), name.as_bytes())?,
                ms(now)
            ])?;
        self.record(Action::DeviceAdded, |entry| entry.target(device).target(user).about(user).detail("name", name))?;
        Ok(generation)
    }

    /// Forgets what was revoked before `before`, so that devices which come and go leave nothing for ever.
    fn forget_devices(&self, user: UserId, before: UnixMs) -> Result<(), StoreError> {
        const OLD: &str = "workspace_id = ?1 AND user_id = ?2 AND revoked_at < ?3";
        let sign_ins = format!(
            "DELETE FROM sign_ins WHERE workspace_id = ?1 AND device_id IN (SELECT device_id FROM devices WHERE {OLD})"
        );
        for sql in [sign_ins, format!("DELETE FROM devices WHERE {OLD}")] {
            self.db.prepare_cached(&sql)?.execute(params![self.ws(), user.bytes(), ms(before)])?;
        }
        Ok(())
    }

    /// The device signed in again, under this name unless somebody gave it another. `false`: it is not this user's, or revoked.
    pub fn reuse_device(&self, device: DeviceId, user: UserId, name: &str, now: UnixMs) -> Result<bool, StoreError> {
        let changed = self
            .db
            .prepare_cached(
                "UPDATE devices SET name = iif(named, name, ?4), last_used_at = ?5 \
                 WHERE workspace_id = ?1 AND device_id = ?2 AND user_id = ?3 AND revoked_at IS NULL",
            )?
            .execute(params![
                self.ws(),
                device.bytes(),
                user.bytes(),
                self.seal("devices", "name", device.bytes(), name.as_bytes())?,
                ms(now)
            ])?;
        Ok(changed == 1)
    }

    /// Gives a device a name that later sign-ins keep.
    pub fn name_device(&self, device: DeviceId, name: &str) -> Result<(), AccountError> {
        let found = self.device(device)?.filter(|device| !device.revoked).ok_or(AccountError::NoDevice)?;
        self.db
            .prepare_cached("UPDATE devices SET name = ?3, named = 1 WHERE workspace_id = ?1 AND device_id = ?2")?
            .execute(params![
                self.ws(),
                device.bytes(),
                self.seal("devices", "name", device.bytes(), name.as_bytes())?
            ])?;
        Ok(self.record(Action::DeviceNamed, |entry| {
            entry.target(device).target(found.user).about(found.user).detail("name", name)
        })?)
    }

    /// A user's devices, newest first.
    pub fn devices(&self, user: UserId) -> Result<Vec<DeviceRow>, StoreError> {
        self.devices_where("user_id = ?2 ORDER BY created_at DESC, device_id", user.bytes())
    }

    /// The device with this identifier.
    pub fn device(&self, device: DeviceId) -> Result<Option<DeviceRow>, StoreError> {
        self.devices_where("device_id = ?2", device.bytes()).map(|mut devices| devices.pop())
    }

    fn devices_where(&self, condition: &str, value: &[u8; 16]) -> Result<Vec<DeviceRow>, StoreError> {
        let sql = format!(
            "SELECT device_id, user_id, name, created_at, last_used_at, revoked_at IS NOT NULL FROM devices \
             WHERE workspace_id = ?1 AND {condition}"
        );
        let mut statement = self.db.prepare_cached(&sql)?;
        let rows = statement.query_map(params![self.ws(), value], |row| {
            let id: [u8; 16] = row.get(0)?;
            let device = DeviceRow {
                id: DeviceId::from_bytes(id),
                user: UserId::from_bytes(row.get(1)?),
                name: String::new(),
                created_at: time(row, 3)?,
                last_used_at: time(row, 4)?,
                revoked: row.get(5)?,
            };
            Ok((device, id, row.get::<_, Vec<u8>>(2)?))
        })?;
        rows.map(|row| {
            let (mut device, id, name) = row?;
            device.name = self.text("devices", "name", &id, &name)?;
            Ok(device)
        })
        .collect()
    }

    /// Signs a device out for good.
    pub fn revoke_device(&self, device: DeviceId, now: UnixMs) -> Result<u64, AccountError> {
        match self.device(device)? {
            Some(found) if !found.revoked => Ok(self.end_device(device, now)?),
            Some(_) | None => Err(AccountError::NoDevice),
        }
    }

    /// Signs every device of a user out for good.
    pub fn revoke_devices(&self, user: UserId, now: UnixMs) -> Result<u64, StoreError> {
        for device in self.devices(user)?.iter().filter(|device| !device.revoked) {
            self.end_device(device.id, now)?;
        }
        self.changed()
    }

    fn end_device(&self, device: DeviceId, now: UnixMs) -> Result<u64, StoreError> {
        self.db
            .prepare_cached("UPDATE devices SET revoked_at = ?3 WHERE workspace_id = ?1 AND device_id = ?2")?
            .execute(params![self.ws(), device.bytes(), ms(now)])?;
        self.end_sign_ins(device, Ended::Revoked)?;
        self.record(Action::DeviceRevoked, |entry| entry.target(device))?;
        self.changed()
    }

    /// Ends whatever sign-in the device has.
    pub fn end_sign_ins(&self, device: DeviceId, why: Ended) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE sign_ins SET ended = ?3 WHERE workspace_id = ?1 AND device_id = ?2 AND ended IS NULL",
            )?
            .execute(params![self.ws(), device.bytes(), why.as_str()])?;
        match why {
            Ended::SignedOut => self.record(Action::SignedOut, |entry| entry.target(device)),
            Ended::Reused => self.record(Action::SignInReused, |entry| entry.target(device)),
            // Told as what brought it about.
            Ended::Revoked | Ended::Password | Ended::Suspended => Ok(()),
        }
    }

    /// Begins a sign-in in place of the one that the device may have: `secret` is the key of its tokens' MAC, the first token
    /// has number 1.
    pub fn begin_sign_in(
        &self,
        family: FamilyId,
        device: DeviceId,
        user: UserId,
        secret: &[u8],
        now: UnixMs,
        expires_at: UnixMs,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached("DELETE FROM sign_ins WHERE workspace_id = ?1 AND device_id = ?2")?
            .execute(params![self.ws(), device.bytes()])?;
        self.db
            .prepare_cached(
                "INSERT INTO sign_ins (workspace_id, family_id, device_id, user_id, secret, rotation, rotated_at, created_at, \
                 expires_at) VALUES (?1, ?2, ?3, ?4, ?5, 1, ?6, ?6, ?7)",
            )?
            .execute(params![
                self.ws(),
                family.bytes(),
                device.bytes(),
                user.bytes(),
                self.seal("sign_ins", "secret", family.bytes(), secret)?,
                ms(now),
                ms(expires_at)
            ])?;
        self.record(Action::SignInBegun, |entry| entry.target(device).target(user).target(family))
    }

    /// A sign-in, good or ended.
    pub fn sign_in(&self, family: FamilyId) -> Result<Option<SignInRow>, StoreError> {
        let row = self
            .db
            .prepare_cached(
                "SELECT s.device_id, s.user_id, s.secret, s.rotation, s.rotated_at, s.expires_at, \
                 s.ended IS NOT NULL OR d.revoked_at IS NOT NULL OR u.suspended_at IS NOT NULL, u.role \
                 FROM sign_ins s JOIN devices d USING (workspace_id, device_id) \
                 JOIN users u ON u.workspace_id = s.workspace_id AND u.user_id = s.user_id \
                 WHERE s.workspace_id = ?1 AND s.family_id = ?2",
            )?
            .query_row(params![self.ws(), family.bytes()], |row| {
                Ok(SignInRow {
                    device: DeviceId::from_bytes(row.get(0)?),
                    user: UserId::from_bytes(row.get(1)?),
                    role: word(row, 7)?,
                    secret: Zeroizing::new(row.get(2)?),
                    rotation: row.get(3)?,
                    rotated_at: time(row, 4)?,
                    expires_at: time(row, 5)?,
                    ended: row.get(6)?,
                })
            })
            .optional()?;
        row.map(|mut row| {
            let place = Place { table: "sign_ins", column: "secret", row: &[self.ws(), family.bytes()] };
            row.secret = Zeroizing::new(self.sealer.open(&place, &row.secret)?);
            Ok(row)
        })
        .transpose()
    }

    /// The token before `rotation` was used.
    pub fn rotate(
        &self,
        family: FamilyId,
        device: DeviceId,
        rotation: u32,
        now: UnixMs,
        expires_at: UnixMs,
    ) -> Result<(), StoreError> {
        self.db
            .prepare_cached(
                "UPDATE sign_ins SET rotation = ?3, rotated_at = ?4, expires_at = ?5 WHERE workspace_id = ?1 AND family_id = ?2",
            )?
            .execute(params![self.ws(), family.bytes(), rotation, ms(now), ms(expires_at)])?;
        self.db
            .prepare_cached("UPDATE devices SET last_used_at = ?3 WHERE workspace_id = ?1 AND device_id = ?2")?
            .execute(params![self.ws(), device.bytes(), ms(now)])?;
        Ok(())
    }
}
