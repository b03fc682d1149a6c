//! Invites: links by which people join.

pub mod accept;
pub mod create;
pub mod get;
pub mod list;
pub mod look;
pub mod revoke;

use holler_core::units::InviteId;
use holler_core::wire::policy::Policy;
use holler_core::wire::problem::{Problem, ProblemKind, within};
use holler_core::wire::rest::{Invite, InviteRoom, NewInvite};

use crate::app::App;
use crate::auth::Principal;
use crate::storage::accounts::{AccountError, InviteRow};

/// Which invite.
#[derive(Debug, serde::Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Path)]
pub struct InvitePath {
    /// The invite.
    invite: InviteId,
}

/// The invite, if the caller may see it: an admin every one, others their own. Somebody else's looks like none at all.
async fn visible(app: &App, principal: &Principal, invite: InviteId) -> Result<InviteRow, Problem> {
    let found = app.auth.read(move |accounts| Ok(accounts.invite(invite)?)).await?;
    let mine = |row: &InviteRow| principal.admin || row.made_by == Some(principal.user);
    found.filter(mine).ok_or_else(|| AccountError::NoInvite.into())
}

fn told(row: InviteRow) -> Invite {
    let InviteRow { id, role, rooms, note, made_by, made_at, expires_at, uses_max, uses, revoked } = row;
    let rooms = rooms.into_iter().map(|(room, role)| InviteRoom { room, role }).collect();
    Invite { id, role, rooms, note, made_by, made_at, expires_at, uses_max, uses, revoked }
}

/// Checks the bounds of an invite that is to be made.
pub fn check(new: &NewInvite, policy: &Policy) -> Result<(), Problem> {
    use holler_core::wire::limits::{INVITE_LIFE_S, INVITE_ROOMS_MAX, INVITE_USES_MAX};
    let outside = |field: &'static str, detail: String| Problem::new(ProblemKind::OutOfBounds, detail).field(field);
    if new.rooms.len() > INVITE_ROOMS_MAX {
        let detail = format!("an invite leads into at most {INVITE_ROOMS_MAX} rooms; found {}", new.rooms.len());
        return Err(outside("rooms", detail));
    }
    if let Some(at) =
        (1..new.rooms.len()).find(|at| new.rooms[..*at].iter().any(|room| room.room == new.rooms[*at].room))
    {
        return Err(outside("rooms", format!("{} is named twice", new.rooms[at].room)));
    }
    let (least, most) =
        (*INVITE_LIFE_S.start(), policy.invite_days_max.saturating_mul(86_400).min(*INVITE_LIFE_S.end()));
    within("expires_in_s", "s, as the policy has it", new.expires_in_s, least..=most)?;
    within("uses_max", "uses", new.uses_max, 1..=INVITE_USES_MAX)?;
    new.note.as_ref().map_or(Ok(()), |note| super::bounds::name("note", note))
}
