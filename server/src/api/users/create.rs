//! `POST /api/v1/users`

use axum::extract::State;
use axum::http::StatusCode;
use holler_core::units::UserId;
use holler_core::wire::rest::{NewUser, User};
use zeroize::Zeroizing;

use crate::api::extract::Json;
use crate::api::{ProblemResponse, bounds, random};
use crate::app::App;
use crate::auth::Principal;
use crate::storage::accounts::UserRow;

/// Add a user.
#[utoipa::path(
    post, path = "/api/v1/users", tag = "people", operation_id = "create_user",
    request_body = NewUser,
    responses(
        (status = 201, description = "The new user", body = User),
        (status = 409, description = "conflict: the login is taken, or there are 10,000 users"),
        (status = 422, description = "out-of-bounds: a field is outside its bounds"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Json(request): Json<NewUser>,
) -> Result<(StatusCode, Json<User>), ProblemResponse> {
    let NewUser { login, name, password, role } = request;
    let password = Zeroizing::new(password);
    bounds::login(&login)?;
    bounds::name("name", &name)?;
    bounds::new_password(&password, &app.auth.policy())?;
    let hash = app.auth.hash_password(password).await?;
    let user = UserRow { id: UserId::from_bytes(random()?), login, name, role };
    let row = user.clone();
    app.auth.change(&principal, move |accounts, now| accounts.add_user(&row, &hash, now)).await?;
    tracing::info!(user = %user.id, "user added");
    let UserRow { id, login, name, role } = user;
    Ok((StatusCode::CREATED, Json(User { id, login: Some(login), name, role, suspended_at: None })))
}
