//! `GET /api/v1/me`

pub mod export;
pub mod password;

use axum::extract::State;
use holler_core::wire::rest::{Me, User};

use super::ProblemResponse;
use super::extract::Json;
use crate::app::App;
use crate::auth::Principal;
use crate::storage::accounts::AccountError;

/// Who is signed in.
#[utoipa::path(
    get, path = "/api/v1/me", tag = "people", operation_id = "me",
    responses((status = 200, description = "The signed-in user", body = Me)),
)]
pub async fn handler(State(app): State<App>, principal: Principal) -> Result<Json<Me>, ProblemResponse> {
    let id = principal.user;
    let (workspace_name, user) = app
        .auth
        .read(move |accounts| Ok((accounts.workspace_name()?, accounts.user(id)?.ok_or(AccountError::NoUser)?)))
        .await?;
    Ok(Json(Me {
        workspace_name,
        user: User { id, login: Some(user.login), name: user.name, role: user.role, suspended_at: None },
        device: principal.device,
        scopes: principal.scopes,
    }))
}
