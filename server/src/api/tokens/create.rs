//! `POST /api/v1/tokens`

use axum::extract::State;
use axum::http::StatusCode;
use holler_core::units::UnixMs;
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::rest::{MadeToken, NewToken, Token};

use crate::api::extract::Json;
use crate::api::{ProblemResponse, bounds};
use crate::app::App;
use crate::auth::Principal;

/// Make an access token for a script.
///
/// It acts as you, allows at most what your own token allows, can't be refreshed, and is shown this once. It is a device of its own:
/// listed, and revoked within a second. A token makes none that outlives it.
#[utoipa::path(
    post, path = "/api/v1/tokens", tag = "devices", operation_id = "create_token",
    request_body = NewToken,
    responses(
        (status = 201, description = "The token, which is kept nowhere", body = MadeToken),
        (status = 409, description = "conflict: you have 32 tokens that are good already"),
        (status = 422, description = "out-of-bounds: a field is outside its bounds"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Json(NewToken { name, mut scopes, days }): Json<NewToken>,
) -> Result<(StatusCode, Json<MadeToken>), ProblemResponse> {
    bounds::name("name", &name)?;
    scopes.sort_unstable();
    scopes.dedup();
    for scope in &scopes {
        if !principal.scopes.contains(scope) {
            let detail = format!("your own token does not have the scope {scope}");
            return Err(Problem::new(ProblemKind::Forbidden, detail).field("scopes").into());
        }
    }
    let now = app.clock.unix();
    let expires_at = UnixMs(now.0.saturating_add(u64::from(days) * 86_400_000));
    if principal.sign_in.is_none() && expires_at > principal.expires_at {
        let detail = "a token makes none that outlives it: name fewer days, or sign in";
        return Err(Problem::new(ProblemKind::Forbidden, detail).field("days").into());
    }
    let user = principal.user;
    let (device, token) = app.auth.script_token(&principal, user, name.clone(), scopes.clone(), days).await?;
    tracing::info!(%user, %device, "token made");
    let made = Token { id: device, name, scopes, created_at: now, expires_at, revoked: false };
    Ok((StatusCode::CREATED, Json(MadeToken { token, about: made })))
}
