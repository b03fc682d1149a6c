//! The REST interface: one file per endpoint, with its errors and its description.
//!
//! [`router`] puts the endpoints behind the layers that hold for all of them: who may call is decided by [`access`], bodies and
//! parameters are read by [`extract`], and everything that goes wrong leaves as a problem document ([`problem`]). The
//! descriptions are generated from the same handlers ([`openapi`]).

pub mod access;
pub mod audit;
pub mod auth;
pub mod bounds;
pub mod conditional;
pub mod devices;
pub mod docs;
pub mod documents;
pub mod extract;
pub mod health;
pub mod idempotency;
pub mod invites;
mod layers;
mod leftover;
pub mod me;
pub mod openapi;
pub mod page;
pub mod pages;
pub mod policy;
pub mod presence;
pub mod problem;
pub mod push;
pub mod rates;
pub mod rooms;
pub mod roster;
pub mod tokens;
pub mod users;
mod web;

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::get;
use holler_core::wire::limits::REST_BODY_BYTES_MAX;
use holler_core::wire::problem::Problem;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::storage::{AppendError, StoreError};

pub use problem::{ProblemResponse, no_such_method};
pub use rooms::events::append::check_body;

/// Every endpoint, with its description.
fn endpoints() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(page::handler))
        .routes(routes!(page::invite))
        .routes(routes!(page::reset))
        .routes(routes!(health::healthz))
        .routes(routes!(health::readyz))
        .routes(routes!(documents::jwks))
        .routes(routes!(docs::handler))
        .routes(routes!(documents::rest))
        .routes(routes!(documents::socket))
        .routes(routes!(auth::sign_in::handler))
        .routes(routes!(auth::refresh::handler))
        .routes(routes!(auth::sign_out::handler))
        .routes(routes!(auth::reset::handler))
        .routes(routes!(me::handler))
        .routes(routes!(me::password::handler))
        .routes(routes!(me::export::handler))
        .routes(routes!(invites::list::handler, invites::create::handler))
        .routes(routes!(invites::look::handler))
        .routes(routes!(invites::accept::handler))
        .routes(routes!(invites::get::handler, invites::revoke::handler))
        .routes(routes!(users::list::handler, users::create::handler))
        .routes(routes!(users::get::handler, users::change::handler, users::erase::handler))
        .routes(routes!(users::export::handler))
        .routes(routes!(users::reset::handler))
        .routes(routes!(users::devices::list::handler, users::devices::revoke::handler))
        .routes(routes!(roster::handler))
        .routes(routes!(policy::get::handler, policy::put::handler))
        .routes(routes!(audit::handler))
        .routes(routes!(tokens::list::handler, tokens::create::handler))
        .routes(routes!(tokens::revoke::handler))
        .routes(routes!(presence::handler))
        .routes(routes!(push::offer::handler))
        .routes(routes!(push::rules::get::handler, push::rules::put::handler))
        .routes(routes!(
            push::subscription::get::handler,
            push::subscription::put::handler,
            push::subscription::delete::handler
        ))
        .routes(routes!(devices::list::handler))
        .routes(routes!(devices::get::handler, devices::change::handler, devices::revoke::handler))
        .routes(routes!(rooms::list::handler, rooms::create::handler))
        .routes(routes!(rooms::direct::handler))
        .routes(routes!(rooms::get::handler, rooms::change::handler, rooms::delete::handler))
        .routes(routes!(rooms::retention::get::handler, rooms::retention::set::handler))
        .routes(routes!(rooms::members::list::handler))
        .routes(routes!(rooms::members::get::handler, rooms::members::set::handler, rooms::members::remove::handler))
        .routes(routes!(rooms::events::list::handler, rooms::events::append::handler))
        .routes(routes!(rooms::events::receipts::handler))
        .routes(routes!(rooms::bursts::get::handler))
        .routes(routes!(rooms::bursts::receipts::handler))
        .routes(routes!(rooms::bursts::frames::handler))
}

/// The REST interface and the page at `/`. The requests must carry [`axum::extract::ConnectInfo`] with the peer's address.
pub fn router(app: App) -> Router {
    layered(app, endpoints().split_for_parts().0, layers::TIME_MAX)
}

fn layered(app: App, endpoints: Router<App>, longest: Duration) -> Router {
    // The layer that is added last is the first to see a request.
    endpoints
        .route_layer(from_fn(conditional::tags))
        .route_layer(from_fn_with_state(app.clone(), idempotency::once))
        .route_layer(from_fn_with_state(app.clone(), access::enforce))
        // After the layers that look into the table: the web client's files are for everybody.
        .route("/service-worker.js", get(web::service).fallback(no_such_method))
        .route("/app/{version}/{*file}", get(web::file).fallback(no_such_method))
        .fallback(problem::no_such_path)
        .method_not_allowed_fallback(no_such_method)
        .layer(DefaultBodyLimit::max(REST_BODY_BYTES_MAX))
        .layer(CatchPanicLayer::custom(problem::panicked))
        .layer(from_fn(layers::limit_body))
        .layer(from_fn_with_state(longest, layers::limit_time))
        .layer(from_fn(layers::measure))
        .layer(from_fn_with_state(app.clone(), layers::secure))
        .layer(from_fn_with_state(leftover::TIME_MAX, leftover::take))
        .with_state(app)
}

/// What a client is told when an append is refused, over REST and on the socket.
pub fn append_problem(error: &AppendError) -> Problem {
    if let AppendError::Store(error) = error {
        return problem::store(error.clone());
    }
    error.clone().into()
}

fn random() -> Result<[u8; 16], Problem> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| problem::store(StoreError::from(error)))?;
    Ok(bytes)
}

#[cfg(test)]
pub(crate) mod tests;
