//! The emergencies of a room.

use crate::units::UserId;
use crate::wire::limits::EMERGENCIES_MAX;

/// Whose emergencies are on, in the order in which they were raised; each user at most once.
#[derive(Clone, Debug, Default)]
pub(super) struct Emergencies(Vec<UserId>);

impl Emergencies {
    /// Takes up what the room's log says, the oldest first.
    pub(super) fn restore(users: impl IntoIterator<Item = UserId>) -> Self {
        let mut emergencies = Self::default();
        for user in users {
            emergencies.raise(user);
        }
        emergencies
    }

    /// Whether this is news. One more than [`EMERGENCIES_MAX`] is not listed.
    pub(super) fn raise(&mut self, user: UserId) -> bool {
        let news = self.0.len() < EMERGENCIES_MAX && !self.0.contains(&user);
        if news {
            self.0.push(user);
        }
        news
    }

    /// Whether it was on.
    pub(super) fn clear(&mut self, user: UserId) -> bool {
        let before = self.0.len();
        self.0.retain(|on| *on != user);
        self.0.len() < before
    }

    pub(super) fn list(&self) -> &[UserId] {
        &self.0
    }
}
