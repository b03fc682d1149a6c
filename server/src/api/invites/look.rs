//! `POST /api/v1/invites/look`

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, State};
use holler_core::wire::rest::{InviteOffer, LookInvite, OfferedRoom};

use crate::api::ProblemResponse;
use crate::api::extract::Json;
use crate::app::App;

/// See what an invite offers, before joining.
///
/// The token is in the body, so that it gets into no log. Whatever is wrong with it, the answer is the same. Tokens that are not
/// good are limited: 30 per address, then one in 2 s.
#[utoipa::path(
    post, path = "/api/v1/invites/look", tag = "invites", operation_id = "look_invite",
    request_body = LookInvite,
    responses(
        (status = 200, description = "What it offers", body = InviteOffer),
        (status = 404, description = "not-found: the invite is not good, whatever the reason"),
        (status = 429, description = "rate-limited: too many that are not good; Retry-After says when to come again"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    ConnectInfo(from): ConnectInfo<SocketAddr>,
    Json(request): Json<LookInvite>,
) -> Result<Json<InviteOffer>, ProblemResponse> {
    let (workspace_name, offer) = app.auth.look_invite(&request.token, from.ip()).await?;
    let rooms = offer.rooms.into_iter().map(|(room, role)| OfferedRoom { name: room.name, kind: room.kind, role });
    Ok(Json(InviteOffer {
        workspace_name,
        role: offer.invite.role,
        rooms: rooms.collect(),
        expires_at: offer.invite.expires_at,
    }))
}
