//! The private listener: `/healthz`, `/readyz` and `/metrics` over plain HTTP, for whoever watches the server.
//!
//! It tells more than the public listener does, and asks nobody who they are: it is bound to loopback unless the operator says
//! otherwise.

use std::future::IntoFuture as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::health::Health;

/// How often old values are let go of.
const UPKEEP: Duration = Duration::from_secs(5);
/// Requests at once; more are refused with 503. Watchers are few.
const REQUESTS_MAX: usize = 16;

#[derive(Clone)]
struct Private {
    health: Arc<Health>,
    figures: PrometheusHandle,
    free: Arc<tokio::sync::Semaphore>,
}

/// Serves on `listener` until `stop`.
pub async fn serve(listener: TcpListener, app: App, figures: PrometheusHandle, stop: CancellationToken) {
    let upkeep = figures.clone();
    let free = Arc::new(tokio::sync::Semaphore::new(REQUESTS_MAX));
    let private = Private { health: Arc::new(Health::new(app)), figures, free };
    let router = Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state(private);
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop.clone().cancelled_owned()).into_future();
    let upkeep = async {
        while stop.run_until_cancelled(tokio::time::sleep(UPKEEP)).await.is_some() {
            upkeep.run_upkeep();
        }
    };
    if let (Err(error), ()) = tokio::join!(serving, upkeep) {
        tracing::warn!(%error, "the private listener is gone");
    }
}

/// 200 or 503, with what was found of each part.
async fn readyz(State(private): State<Private>) -> impl IntoResponse {
    let Ok(_permit) = private.free.try_acquire() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    let report = private.health.report().await;
    let status = if report.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(&*report)).into_response()
}

async fn metrics(State(private): State<Private>) -> impl IntoResponse {
    let Ok(_permit) = private.free.try_acquire() else { return StatusCode::SERVICE_UNAVAILABLE.into_response() };
    // It also sets the gauges that nobody else would.
    private.health.report().await;
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], private.figures.render()).into_response()
}
