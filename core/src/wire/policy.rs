//! The rules of a workspace, set by its admins: `GET` and `PUT /api/v1/policy`.

use core::time::Duration;

use serde::{Deserialize, Serialize};

use super::limits::{
    INVITE_DAYS, PASSWORD_CHARS_MIN, PASSWORD_CHARS_MIN_RANGE, RETENTION_DAYS, TALK_LIMIT, TALK_LIMIT_S,
};
use super::problem::{Problem, within};
use crate::model::InvitesBy;

/// The rules of a workspace. A field that a request leaves out gets its default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Policy {
    /// Longest continuous talk in rooms that have no limit of their own, s; 60 by default. It holds from the next grant of the floor
    /// on. An emergency has no talk limit.
    #[cfg_attr(feature = "schema", schema(minimum = 10, maximum = 600))]
    pub talk_limit_s: u32,
    /// Shortest password that may be set, in characters; 10 by default. Passwords that were set before stay good.
    #[cfg_attr(feature = "schema", schema(minimum = 8, maximum = 64))]
    pub password_chars_min: u32,
    /// Who may invite people into the workspace; admins by default.
    pub invites_by: InvitesBy,
    /// Longest time that an invite may be good, days; 30 by default.
    #[cfg_attr(feature = "schema", schema(minimum = 1, maximum = 90))]
    pub invite_days_max: u32,
    /// How long rooms that have no retention of their own keep their events, days; absent: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schema(minimum = 1, maximum = 3_650))]
    pub retention_days: Option<u32>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            talk_limit_s: u32::try_from(TALK_LIMIT.as_secs()).unwrap_or(u32::MAX),
            password_chars_min: u32::try_from(PASSWORD_CHARS_MIN).unwrap_or(u32::MAX),
            invites_by: InvitesBy::Admins,
            invite_days_max: 30,
            retention_days: None,
        }
    }
}

impl Policy {
    /// Checks what the types leave open.
    pub fn check(&self) -> Result<(), Problem> {
        within("talk_limit_s", "s", self.talk_limit_s, TALK_LIMIT_S)?;
        within("password_chars_min", "characters", self.password_chars_min, PASSWORD_CHARS_MIN_RANGE)?;
        within("invite_days_max", "days", self.invite_days_max, INVITE_DAYS)?;
        self.retention_days.map_or(Ok(()), |days| within("retention_days", "days", days, RETENTION_DAYS))
    }

    /// Longest continuous talk in a room that has this limit of its own, or none.
    pub fn talk_limit(&self, own_s: Option<u32>) -> Duration {
        Duration::from_secs(own_s.unwrap_or(self.talk_limit_s).into())
    }
}

#[cfg(test)]
mod tests {
    use super::super::problem::ProblemKind;
    use super::*;

    #[test]
    fn the_defaults_are_within_the_bounds_and_each_bound_names_its_field() {
        let policy = Policy::default();
        policy.check().unwrap();
        for (field, wrong) in [
            ("talk_limit_s", Policy { talk_limit_s: 9, ..policy.clone() }),
            ("talk_limit_s", Policy { talk_limit_s: 601, ..policy.clone() }),
            ("password_chars_min", Policy { password_chars_min: 7, ..policy.clone() }),
            ("password_chars_min", Policy { password_chars_min: 65, ..policy.clone() }),
            ("invite_days_max", Policy { invite_days_max: 0, ..policy.clone() }),
            ("invite_days_max", Policy { invite_days_max: 91, ..policy.clone() }),
            ("retention_days", Policy { retention_days: Some(0), ..policy.clone() }),
            ("retention_days", Policy { retention_days: Some(3_651), ..policy }),
        ] {
            let refused = wrong.check().unwrap_err();
            assert!(refused.is(ProblemKind::OutOfBounds) && refused.field.as_deref() == Some(field), "{refused}");
        }
    }

    #[test]
    fn what_is_left_out_is_the_default_and_what_is_unknown_is_refused() {
        let policy: Policy = serde_json::from_str(r#"{"talk_limit_s": 90}"#).unwrap();
        assert_eq!(policy, Policy { talk_limit_s: 90, ..Policy::default() });
        assert!(serde_json::from_str::<Policy>(r#"{"talk_limit": 90}"#).is_err());
    }
}
