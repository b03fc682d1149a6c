//! `PUT /api/v1/push/subscription`

use axum::extract::State;
use holler_core::wire::problem::{Problem, ProblemKind};
use holler_core::wire::rest::{PushSubscription, PushTarget};

use crate::api::ProblemResponse;
use crate::api::extract::Json;
use crate::api::push::sender;
use crate::app::App;
use crate::auth::Principal;

/// Have the device in use told of what it missed.
///
/// One place a device; sent again, it replaces the one before, so send it at each start. It ends with the device's sign-in, and when the push
/// service says that it no longer knows the device.
#[utoipa::path(
    put, path = "/api/v1/push/subscription", tag = "notifications", operation_id = "set_push_subscription",
    request_body = PushTarget,
    responses(
        (status = 200, description = "The subscription", body = PushSubscription),
        (status = 403, description = "forbidden: a token for scripts has no device that could be told"),
        (status = 422, description = "out-of-bounds: a field is outside its bounds, the endpoint is at no public address, or \
            this server is not set up for the service"),
    ),
)]
pub async fn handler(
    State(app): State<App>,
    principal: Principal,
    Json(target): Json<PushTarget>,
) -> Result<Json<PushSubscription>, ProblemResponse> {
    target.check()?;
    if principal.sign_in.is_none() {
        let detail = "a token for scripts has no device that could be told: sign in";
        return Err(Problem::new(ProblemKind::Forbidden, detail).into());
    }
    sender(&app)?.check(&target)?;
    let (device, user) = (principal.device, principal.user);
    let set =
        app.auth.write(&principal, move |accounts, now| accounts.set_push_subscription(device, user, &target, now));
    Ok(Json(set.await?))
}
