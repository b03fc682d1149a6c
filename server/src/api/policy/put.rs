//! `PUT /api/v1/policy`

use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use holler_core::wire::policy::Policy;

use crate::api::ProblemResponse;
use crate::api::conditional::{IfMatch, tag};
use crate::api::extract::Json;
use crate::app::App;
use crate::auth::Principal;

/// Replace the rules of the workspace.
///
/// A field that is left out gets its default. Every server goes by the new rules within a second; a new talk limit holds from the
/// next grant of the floor on, in rooms in use too. Send the `ETag` of the rules that you read as `If-Match`, so that nobody
/// else's change is lost.
#[utoipa::path(
    put, path = "/api/v1/policy", tag = "workspace", operation_id = "set_policy",
    request_body = Policy,
    responses(
        (status = 200, description = "The rules from now on", body = Policy),
        (status = 412, description = "precondition-failed: the rules were changed meanwhile"),
        (status = 422, description = "out-of-bounds: a field is outside its bounds"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    if_match: IfMatch,
    Json(policy): Json<Policy>,
) -> Result<Response, ProblemResponse> {
    policy.check()?;
    let set = policy.clone();
    app.auth
        .change(&principal, move |accounts, now| {
            if_match.check(&tag(&accounts.policy()?))?;
            Ok(accounts.set_policy(&set, now)?)
        })
        .await?;
    tracing::info!("the policy was changed");
    Ok(([(header::ETAG, tag(&policy))], Json(policy)).into_response())
}
