//! The copy of the roster: who one sees and the rooms one is in, also without a connection.

use std::collections::BTreeMap;

use holler_core::engine::FetchError;
use holler_core::units::{RoomId, UnixMs, UserId};
use holler_core::wire::problem::ProblemKind;
use holler_core::wire::rest::{Person, Roster, RosterRoom};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};

use crate::client::ClientError;
use crate::clock;
use crate::rest::Rest;
use crate::store::{Store, StoreError};

impl From<ClientError> for FetchError {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Rest(error) => error.into(),
            ClientError::SignedOut | ClientError::Store(_) | ClientError::Trust(_) | ClientError::Random(_) => {
                Self::Later(error.to_string())
            }
        }
    }
}

/// The roster as it was last fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Whose view it is.
    pub user: Option<UserId>,
    /// When it was fetched, by this machine's clock.
    pub fetched_at: UnixMs,
    /// Everybody one sees.
    pub people: Vec<Person>,
    /// Every room one sees.
    pub rooms: Vec<RosterRoom>,
    sync_token: Option<String>,
}

impl Kept {
    /// The names of people.
    pub fn names(&self) -> BTreeMap<UserId, String> {
        self.people.iter().map(|person| (person.id, person.name.clone())).collect()
    }

    /// A room.
    pub fn room(&self, room: RoomId) -> Option<&RosterRoom> {
        self.rooms.iter().find(|known| known.id == room)
    }

    /// Takes an answer in: all there is, or what changed.
    fn apply(&mut self, answer: Roster) {
        if answer.snapshot {
            (self.people, self.rooms) = (answer.users, answer.rooms);
        } else {
            self.people.retain(|person| {
                !answer.removed_users.contains(&person.id) && !answer.users.iter().any(|new| new.id == person.id)
            });
            self.people.extend(answer.users);
            self.people.sort_by_key(|person| person.id);
            self.rooms.retain(|room| !answer.removed_rooms.contains(&room.id));
            for mut new in answer.rooms {
                match self.rooms.iter_mut().find(|room| room.id == new.id) {
                    Some(room) => {
                        let changed = |user: &UserId| {
                            new.removed_members.contains(user) || new.members.iter().any(|member| member.user == *user)
                        };
                        let mut members: Vec<_> =
                            room.members.iter().filter(|member| !changed(&member.user)).cloned().collect();
                        members.append(&mut new.members);
                        members.sort_by_key(|member| member.user);
                        *room = RosterRoom { members, removed_members: Vec::new(), ..new };
                    }
                    None => self.rooms.push(RosterRoom { removed_members: Vec::new(), ..new }),
                }
            }
            self.rooms.sort_by_key(|room| room.id);
        }
        self.sync_token = Some(answer.sync_token);
    }
}

/// Makes the table where it is not there.
pub(crate) fn prepare(database: &Connection) -> Result<(), StoreError> {
    Ok(database.execute_batch(
        "CREATE TABLE IF NOT EXISTS roster (id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1), sealed BLOB NOT NULL) STRICT;",
    )?)
}

/// Fetches what changed since the copy was made, or everything, and keeps it.
pub async fn fetch(store: &Store, rest: &Rest, user: UserId) -> Result<Kept, ClientError> {
    let mut kept = store.roster()?.filter(|kept| kept.user == Some(user)).unwrap_or_default();
    let answer = match rest.roster(kept.sync_token.as_deref()).await {
        Err(error) if kept.sync_token.is_some() && error.is(ProblemKind::SyncTokenExpired) => rest.roster(None).await?,
        other => other?,
    };
    kept.apply(answer);
    (kept.user, kept.fetched_at) = (Some(user), clock::wall());
    store.set_roster(&kept)?;
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use holler_core::model::{Role, RoomKind, UserRole};
    use holler_core::wire::rest::RosterMember;

    use super::*;

    fn person(n: u8, name: &str) -> Person {
        Person { id: UserId::from_bytes([n; 16]), name: name.to_owned(), role: UserRole::Member }
    }

    fn room(n: u8, name: &str, members: &[(u8, Role)]) -> RosterRoom {
        let members = members.iter().map(|(n, role)| RosterMember { user: UserId::from_bytes([*n; 16]), role: *role });
        RosterRoom {
            id: RoomId::from_bytes([n; 16]),
            name: name.to_owned(),
            kind: RoomKind::Group,
            role: Some(Role::Talker),
            members: members.collect(),
            removed_members: vec![],
        }
    }

    #[test]
    fn after_a_delta_the_copy_is_what_a_snapshot_would_have_given() {
        let mut kept = Kept::default();
        let (talker, listener) = (Role::Talker, Role::Listener);
        kept.apply(Roster {
            sync_token: "1".into(),
            snapshot: true,
            users: vec![person(1, "Ann"), person(2, "Bob"), person(3, "Cat")],
            rooms: vec![room(1, "Gate", &[(1, talker), (2, talker), (3, talker)]), room(2, "Old", &[(1, talker)])],
            ..Roster::default()
        });
        kept.apply(Roster {
            sync_token: "2".into(),
            users: vec![person(2, "Robert"), person(4, "Dan")],
            removed_users: vec![UserId::from_bytes([3; 16])],
            rooms: vec![
                RosterRoom {
                    removed_members: vec![UserId::from_bytes([3; 16])],
                    ..room(1, "Main gate", &[(2, listener), (4, talker)])
                },
                room(3, "New", &[(1, talker)]),
            ],
            removed_rooms: vec![RoomId::from_bytes([2; 16])],
            ..Roster::default()
        });
        assert_eq!(kept.people, [person(1, "Ann"), person(2, "Robert"), person(4, "Dan")]);
        assert_eq!(
            kept.rooms,
            [room(1, "Main gate", &[(1, talker), (2, listener), (4, talker)]), room(3, "New", &[(1, talker)])]
        );
        assert_eq!(kept.sync_token.as_deref(), Some("2"));
    }
}
