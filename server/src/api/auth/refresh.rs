//! `POST /api/v1/auth/refresh`

use axum::extract::State;
use holler_core::wire::rest::{Refresh, Tokens};

use crate::api::ProblemResponse;
use crate::api::extract::Json;
use crate::app::App;

/// Get the next tokens of a sign-in.
///
/// A refresh token is used once. A client whose answer was lost sends the same token again: within 30 s, and for up to a day as
/// long as nothing that came with the lost answer was shown, it gets the same successor. An older token that comes back means
/// that two parties have it: the sign-in ends for both.
#[utoipa::path(
    post, path = "/api/v1/auth/refresh", tag = "auth", operation_id = "refresh",
    request_body = Refresh,
    responses(
        (status = 200, description = "The next tokens", body = Tokens),
        (status = 401, description = "unauthenticated: not a token of this server, or too old; revoked: the sign-in was ended"),
    ),
)]
pub async fn handler(State(app): State<App>, Json(request): Json<Refresh>) -> Result<Json<Tokens>, ProblemResponse> {
    Ok(Json(app.auth.refresh(&request.refresh_token).await?))
}
