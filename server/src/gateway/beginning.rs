//! How a session begins, and what its end says.

use std::sync::Arc;
use std::time::Duration;

use holler_core::model::{PresenceState, Scope};
use holler_core::presence::Ending;
use holler_core::session::Inbound;
use holler_core::wire::limits::HEARTBEAT;
use holler_core::wire::problem::ProblemKind;
use holler_core::wire::socket::{CloseCode, ServerMessage};

use super::reader::{Session, Stop};
use super::{Outgoing, encode};
use crate::app::App;
use crate::auth::Principal;
use crate::auth::resume::is_resume_token;

/// What the end of a socket says about its device.
pub(super) fn ending_of(code: CloseCode) -> Ending {
    if code == CloseCode::Silent {
        Ending::Silent
    } else if code == CloseCode::Revoked {
        Ending::SignedOut
    } else {
        Ending::Closed
    }
}

/// Whose token it is.
fn show(app: &App, token: &str) -> Result<Principal, CloseCode> {
    if is_resume_token(token) {
        return app.auth.resume(token);
    }
    app.auth.verify(token).map_err(|problem| {
        if problem.is(ProblemKind::Revoked) {
            CloseCode::Revoked
        } else if app.auth.was_good(token) {
            // After one of the clocks has jumped, say.
            CloseCode::TokenExpired
        } else {
            CloseCode::BadToken
        }
    })
}

/// `auth`: the first, or one that extends the session.
pub(super) async fn authenticate(
    app: &App,
    inbound: &mut Inbound,
    session: &mut Option<Session>,
    out: &Arc<Outgoing>,
    token: &str,
    presence: Option<PresenceState>,
) -> Result<(), Stop> {
    let mut principal = show(app, token);
    if matches!(principal, Err(CloseCode::Revoked)) && app.auth.look().await.is_ok() {
        // Another process, or another server, may have let the device in a moment ago.
        principal = show(app, token);
    }
    let principal = principal.map_err(Stop::Close)?;
    // A token without the scope says nothing of its person, only that somebody is there.
    let presence = presence.filter(|_| principal.scopes.contains(&Scope::Presence));
    let left = Duration::from_millis(principal.expires_at.0.saturating_sub(app.clock.unix().0));
    let now = app.clock.now();
    match session {
        Some(session) => {
            if session.principal.device != principal.device || session.principal.user != principal.user {
                return Err(Stop::Close(CloseCode::BadToken));
            }
            session.principal = principal.clone();
            if let Some(state) = presence {
                app.presence.set(&session.connection, state);
            }
        }
        None => *session = Some(Session::new(app.clone(), principal.clone(), Arc::clone(out), presence)),
    }
    inbound.authenticated(now + left);
    // In step with `subscribed`, which must not overtake it.
    let welcome = ServerMessage::Welcome {
        user: principal.user,
        device: principal.device,
        server_time: app.clock.unix(),
        heartbeat_ms: u32::try_from(HEARTBEAT.as_millis()).unwrap_or(u32::MAX),
        expires_in_s: u32::try_from(left.as_secs()).unwrap_or(u32::MAX),
        resume: app.auth.resume_token(&principal),
    };
    out.floor(encode(&welcome), None);
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use holler_core::session::Next;
    use holler_core::units::{Cursor, Epoch, FloorToken, Incarnation, RequestId, RoomId, Seq};
    use holler_core::wire::rest::SignIn;
    use holler_core::wire::socket::FloorState;

    use super::*;
    use crate::gateway::Frame;

    /// A client counts what is subscribed from the welcome on: the home of a room that came with `auth` may answer before the
    /// writer has sent anything.
    #[tokio::test]
    async fn what_was_subscribed_never_overtakes_the_welcome() {
        let dir = tempfile::tempdir().unwrap();
        let (app, password) = crate::api::tests::app(dir.path()).await;
        let request = SignIn {
            login: "admin".into(),
            password: password.to_string(),
            device_name: "desk".into(),
            device: None,
            earlier: None,
        };
        let tokens = app.auth.sign_in(request, IpAddr::V4(Ipv4Addr::LOCALHOST)).await.unwrap();
        let out = Arc::new(Outgoing::new(app.clock));
        let (mut inbound, mut session) = (Inbound::new(app.clock.now()), None);
        let begun = authenticate(&app, &mut inbound, &mut session, &out, &tokens.access_token, None).await;
        assert!(begun.is_ok());
        let (room, head) =
            (RoomId::from_bytes([1; 16]), Cursor { incarnation: Incarnation::from_bytes([2; 16]), seq: Seq(0) });
        let subscribed = ServerMessage::Subscribed {
            request: RequestId(1),
            room,
            role: holler_core::model::Role::Talker,
            head,
            first_seq: Seq(1),
            epoch: Epoch(0),
            floor: FloorState::Idle { token: FloorToken { term: 1, counter: 0 } },
            emergencies: vec![],
        };
        out.follow(&subscribed, room, head, head);
        let mut order = Vec::new();
        while let Next::Item(Frame::Text(text)) = out.try_next().0 {
            let message: serde_json::Value = serde_json::from_str(&text).unwrap();
            order.push(message["type"].as_str().unwrap().to_owned());
        }
        assert_eq!(order, ["welcome", "subscribed"]);
    }
}
