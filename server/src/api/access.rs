//! What each endpoint needs: one table, one place that enforces it.
//!
//! A route that is not in the table is refused, and a test compares the table with the routes, so that none can be forgotten.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use holler_core::model::Scope;
use holler_core::wire::problem::{Problem, ProblemKind};

use super::{ProblemResponse, rates};
use crate::app::App;
use crate::auth::Principal;

/// What a request must bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Nothing.
    Public,
    /// Any valid access token.
    SignedIn,
    /// An access token that came from a sign-in, or one with the scope `admin`: not any script's.
    Session,
    /// An access token with this scope.
    Scope(Scope),
    /// An access token with the scope `admin`, of a user who is an admin.
    Admin,
}

/// Every endpoint: method, path, need. Handlers add what depends on the room, such as the role there.
pub const TABLE: &[(Method, &str, Need)] = &[
    (Method::GET, "/", Need::Public),
    (Method::GET, "/invite", Need::Public),
    (Method::GET, "/reset", Need::Public),
    (Method::GET, "/healthz", Need::Public),
    (Method::GET, "/readyz", Need::Public),
    (Method::GET, "/.well-known/jwks.json", Need::Public),
    (Method::GET, "/api/v1/docs", Need::Public),
    (Method::GET, "/api/v1/openapi.json", Need::Public),
    (Method::GET, "/api/v1/socket.schema.json", Need::Public),
    (Method::POST, "/api/v1/auth/sign-in", Need::Public),
    (Method::POST, "/api/v1/auth/refresh", Need::Public),
    (Method::POST, "/api/v1/auth/sign-out", Need::Session),
    (Method::POST, "/api/v1/auth/reset", Need::Public),
    (Method::POST, "/api/v1/invites/look", Need::Public),
    (Method::POST, "/api/v1/invites/accept", Need::Public),
    (Method::GET, "/api/v1/invites", Need::Session),
    (Method::POST, "/api/v1/invites", Need::Session),
    (Method::GET, "/api/v1/invites/{invite}", Need::Session),
    (Method::DELETE, "/api/v1/invites/{invite}", Need::Session),
    (Method::GET, "/api/v1/me", Need::SignedIn),
    (Method::PUT, "/api/v1/me/password", Need::Session),
    (Method::GET, "/api/v1/me/export", Need::Session),
    (Method::GET, "/api/v1/users", Need::Scope(Scope::Roster)),
    (Method::POST, "/api/v1/users", Need::Admin),
    (Method::GET, "/api/v1/policy", Need::SignedIn),
    (Method::PUT, "/api/v1/policy", Need::Admin),
    (Method::GET, "/api/v1/audit", Need::Admin),
    (Method::GET, "/api/v1/tokens", Need::SignedIn),
    (Method::POST, "/api/v1/tokens", Need::Session),
    (Method::DELETE, "/api/v1/tokens/{token}", Need::Session),
    (Method::GET, "/api/v1/users/{user}", Need::Scope(Scope::Roster)),
    (Method::PATCH, "/api/v1/users/{user}", Need::Session),
    (Method::DELETE, "/api/v1/users/{user}", Need::Admin),
    (Method::GET, "/api/v1/users/{user}/export", Need::Admin),
    (Method::POST, "/api/v1/users/{user}/reset", Need::Admin),
    (Method::GET, "/api/v1/users/{user}/devices", Need::Session),
    (Method::DELETE, "/api/v1/users/{user}/devices", Need::Session),
    (Method::GET, "/api/v1/roster", Need::Scope(Scope::Roster)),
    (Method::GET, "/api/v1/presence", Need::Scope(Scope::Presence)),
    (Method::GET, "/api/v1/push", Need::SignedIn),
    (Method::GET, "/api/v1/push/rules", Need::SignedIn),
    (Method::PUT, "/api/v1/push/rules", Need::Session),
    (Method::GET, "/api/v1/push/subscription", Need::SignedIn),
    (Method::PUT, "/api/v1/push/subscription", Need::Session),
    (Method::DELETE, "/api/v1/push/subscription", Need::Session),
    (Method::GET, "/api/v1/devices", Need::SignedIn),
    (Method::GET, "/api/v1/devices/{device}", Need::SignedIn),
    (Method::PATCH, "/api/v1/devices/{device}", Need::Session),
    (Method::DELETE, "/api/v1/devices/{device}", Need::Session),
    (Method::GET, "/api/v1/rooms", Need::Scope(Scope::Roster)),
    (Method::POST, "/api/v1/rooms", Need::Admin),
    (Method::PUT, "/api/v1/rooms/direct/{user}", Need::Session),
    (Method::GET, "/api/v1/rooms/{room}", Need::Scope(Scope::Roster)),
    (Method::PATCH, "/api/v1/rooms/{room}", Need::Session),
    (Method::DELETE, "/api/v1/rooms/{room}", Need::Admin),
    (Method::GET, "/api/v1/rooms/{room}/retention", Need::Admin),
    (Method::PUT, "/api/v1/rooms/{room}/retention", Need::Admin),
    (Method::GET, "/api/v1/rooms/{room}/members", Need::Scope(Scope::Roster)),
    (Method::GET, "/api/v1/rooms/{room}/members/{user}", Need::Scope(Scope::Roster)),
    (Method::PUT, "/api/v1/rooms/{room}/members/{user}", Need::Session),
    (Method::DELETE, "/api/v1/rooms/{room}/members/{user}", Need::Session),
    (Method::GET, "/api/v1/rooms/{room}/events", Need::Scope(Scope::Messages)),
    (Method::POST, "/api/v1/rooms/{room}/events", Need::Scope(Scope::Messages)),
    (Method::GET, "/api/v1/rooms/{room}/events/{seq}/receipts", Need::Scope(Scope::Messages)),
    (Method::GET, "/api/v1/rooms/{room}/bursts/{burst}/receipts", Need::Scope(Scope::Messages)),
    (Method::GET, "/api/v1/rooms/{room}/bursts/{burst}", Need::Scope(Scope::Media)),
    (Method::GET, "/api/v1/rooms/{room}/bursts/{burst}/frames", Need::Scope(Scope::Media)),
];

/// What an endpoint needs; `None`: it is not in the table.
pub fn need(method: &Method, path: &str) -> Option<Need> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    TABLE.iter().find(|(m, p, _)| m == method && *p == path).map(|(.., need)| *need)
}

/// Lets a request through to its handler, with the [`Principal`] that it comes from, if it brings what the table says.
pub async fn enforce(
    State(app): State<App>,
    path: MatchedPath,
    mut request: Request,
    next: Next,
) -> Result<Response, ProblemResponse> {
    let need = need(request.method(), path.as_str()).ok_or_else(|| {
        tracing::error!(path = path.as_str(), "a route is missing in the table of what endpoints need");
        Problem::new(ProblemKind::Forbidden, "this endpoint is closed")
    })?;
    let verified = match need {
        Need::Public => None,
        Need::SignedIn | Need::Session | Need::Scope(_) | Need::Admin => {
            Some(bearer(request.headers()).and_then(|token| app.auth.verify(token)))
        }
    };
    let (now, rates) = (app.clock.now(), app.config().requests);
    let standing = match &verified {
        Some(Ok(principal)) => app.request_limits.device(now, rates, principal.device),
        Some(Err(_)) | None => app.request_limits.address(now, rates, rates::address(&request)),
    };
    let allowed = standing.check().and_then(|()| {
        if let Some(principal) = verified.transpose()? {
            allow(need, &principal)?;
            request.extensions_mut().insert(principal);
        }
        Ok(())
    });
    let mut response = match allowed {
        Ok(()) => next.run(request).await,
        Err(problem) => ProblemResponse(problem).into_response(),
    };
    standing.tell(&mut response);
    Ok(response)
}

fn allow(need: Need, principal: &Principal) -> Result<(), Problem> {
    match need {
        Need::Public | Need::SignedIn => Ok(()),
        Need::Session if principal.sign_in.is_some() || principal.admin => Ok(()),
        Need::Session => {
            Err(Problem::new(ProblemKind::Forbidden, "this needs a token from a sign-in, or one with the scope admin"))
        }
        Need::Scope(scope) => principal.require(scope),
        Need::Admin if principal.admin => Ok(()),
        Need::Admin => Err(Problem::new(
            ProblemKind::Forbidden,
            "this needs an admin of the workspace, with a token with the scope admin",
        )),
    }
}

/// The token of `Authorization: Bearer` (RFC 6750 section 2.1); no other way is offered.
fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing =
        || Problem::new(ProblemKind::Unauthenticated, "expected the header Authorization: Bearer with an access token");
    let value = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()).ok_or_else(missing)?;
    let (scheme, token) = value.split_once(' ').ok_or_else(missing)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim_start()) } else { Err(missing()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_each_endpoint_once() {
        for (at, (method, path, _)) in TABLE.iter().enumerate() {
            assert!(!TABLE[..at].iter().any(|(m, p, _)| m == method && p == path), "{method} {path}");
        }
    }

    #[test]
    fn only_bearer_is_understood() {
        let header = |value: &str| HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        assert_eq!(bearer(&header("Bearer abc")).unwrap(), "abc");
        assert_eq!(bearer(&header("bearer abc")).unwrap(), "abc");
        for other in ["Basic abc", "abc", "Bearerabc", ""] {
            assert!(bearer(&header(other)).is_err(), "{other}");
        }
        assert!(bearer(&HeaderMap::new()).is_err());
    }
}
