//! The rules of a workspace.

use holler_core::units::UnixMs;
use holler_core::wire::policy::Policy;
use rusqlite::{OptionalExtension as _, params};

use super::{Accounts, ms};
use crate::storage::StoreError;
use crate::storage::audit::Action;

impl Accounts<'_> {
    /// The rules.
    pub fn policy(&self) -> Result<Policy, StoreError> {
        let text: Option<String> = self
            .db
            .prepare_cached("SELECT policy FROM policies WHERE workspace_id = ?1")?
            .query_row([self.ws()], |row| row.get(0))
            .optional()?;
        let damaged = |error| StoreError::Damaged(format!("the policy: {error}"));
        text.map_or_else(|| Ok(Policy::default()), |text| serde_json::from_str(&text).map_err(damaged))
    }

    /// Replaces the rules; the audit log is told which of them changed.
    pub fn set_policy(&self, policy: &Policy, now: UnixMs) -> Result<u64, StoreError> {
        let json = |policy: &Policy| {
            serde_json::to_value(policy).map_err(|error| StoreError::OutOfBounds(format!("the policy: {error}")))
        };
        let (before, after) = (json(&self.policy()?)?, json(policy)?);
        self.db
            .prepare_cached(
                "INSERT INTO policies (workspace_id, policy, changed_at) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (workspace_id) DO UPDATE SET policy = excluded.policy, changed_at = excluded.changed_at",
            )?
            .execute(params![self.ws(), after.to_string(), ms(now)])?;
        let rules = before.as_object().into_iter().chain(after.as_object()).flatten().map(|(rule, _)| rule);
        let changed: std::collections::BTreeSet<_> =
            rules.filter(|rule| before.get(rule) != after.get(rule)).cloned().collect();
        self.record(Action::PolicyChanged, |entry| {
            changed.iter().fold(entry.target(self.workspace), |entry, rule| {
                entry.detail(rule, after.get(rule).cloned().unwrap_or_default())
            })
        })?;
        self.changed()
    }
}
