//! What a request, a send and a commit took, as OpenTelemetry spans over OTLP (HTTP with protobuf), where `traces.endpoint` says.
//!
//! | span | begins and ends | what it carries |
//! |---|---|---|
//! | `GET /api/v1/rooms/{room}` and so on | a request's head, its response | method, route, status |
//! | `send` | a send arrives, it is answered | whether it was stored |
//! | `commit` | a group of writes is taken, it is synced | how many; links to what it commits |
//!
//! Spans carry routes and numbers: no identifier, name, address or text. They are made under a target of their own ([`TARGET`]), so
//! that nothing that is logged becomes part of a trace, and no span part of a log line. Spans wait in a queue of 2,048 and are
//! dropped beyond it; a collector that does not answer costs nothing but the spans.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use opentelemetry::KeyValue;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider};
use tokio::runtime::Handle;
use tracing::Span;
use tracing_subscriber::Layer;
use tracing_subscriber::registry::LookupSpan;
use zeroize::Zeroizing;

use crate::pki;

/// The target of every span.
pub const TARGET: &str = "holler_trace";
/// Spans that wait to be sent.
const QUEUE: usize = 2_048;
/// Spans in one message.
const BATCH: usize = 512;
/// How long spans are gathered.
const GATHER: Duration = Duration::from_secs(2);
/// How long the collector may take for a message, and a server that goes down for its last ones.
const SEND_MAX: Duration = Duration::from_secs(5);
/// Bytes of the collector's answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1024;
/// Writes that a commit links to; a group has at most 512.
const LINKS_MAX: usize = 32;

/// Where traces go.
#[derive(Clone, PartialEq, Eq)]
pub struct TraceSettings {
    /// The collector's URL, such as `http://127.0.0.1:4318/v1/traces`.
    pub endpoint: String,
    /// Headers for the collector, a secret.
    pub headers: Vec<(String, Zeroizing<String>)>,
    /// How many of a hundred requests and sends are traced, 1 to 100.
    pub percent: u32,
}

impl fmt::Debug for TraceSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceSettings").field("endpoint", &self.endpoint).field("percent", &self.percent).finish()
    }
}

/// Why nothing is traced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The HTTP client.
    #[error("traces can't be sent: {0}")]
    Client(#[from] reqwest::Error),
    /// TLS.
    #[error("traces can't be sent: {0}")]
    Tls(#[from] pki::PkiError),
    /// The exporter.
    #[error("traces can't be sent to traces.endpoint: {0}")]
    Exporter(#[from] opentelemetry_otlp::ExporterBuildError),
}

/// Traces that are being sent.
pub struct Traces(SdkTracerProvider);

impl Traces {
    /// Starts sending, with `runtime` for the network.
    pub fn start(settings: &TraceSettings, runtime: Handle) -> Result<Self, TraceError> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .timeout(SEND_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .tls_backend_preconfigured(pki::system_client()?)
            .build()?;
        let headers: HashMap<String, String> =
            settings.headers.iter().map(|(name, value)| (name.clone(), value.as_str().to_owned())).collect();
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Sender { client, runtime, failing: Arc::default() })
            .with_endpoint(&settings.endpoint)
            .with_timeout(SEND_MAX)
            .with_headers(headers)
            .build()?;
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(QUEUE)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(GATHER)
            .build();
        let resource = Resource::builder_empty().with_attributes([
            KeyValue::new("service.name", "hollerd"),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        ]);
        let provider = SdkTracerProvider::builder()
            .with_resource(resource.build())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                f64::from(settings.percent) / 100.0,
            ))))
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            .build();
        Ok(Self(provider))
    }

    /// What turns spans of [`TARGET`] into traces.
    pub fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: tracing::Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
    {
        tracing_opentelemetry::layer()
            .with_tracer(self.0.tracer("hollerd"))
            .with_location(false)
            .with_threads(false)
            .with_filter(tracing_subscriber::filter::Targets::new().with_target(TARGET, tracing::Level::INFO))
    }

    /// Sends what still waits, within 5 s.
    pub async fn finish(self) {
        // It blocks, and the network needs the runtime.
        let finished = tokio::task::spawn_blocking(move || self.0.shutdown_with_timeout(SEND_MAX)).await;
        if !matches!(finished, Ok(Ok(()))) {
            tracing::warn!("the last traces were not sent");
        }
    }
}

/// The span of a request.
pub fn request(method: &'static str, route: &str) -> Span {
    tracing::info_span!(
        target: TARGET,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
    )
}

/// The span of a send, whose outcome is recorded as `stored`.
pub fn send() -> Span {
    tracing::info_span!(target: TARGET, "send", stored = tracing::field::Empty)
}

/// The span of a commit of so many writes, of which the spans are given.
pub fn commit<'a>(writes: usize, spans: impl Iterator<Item = &'a Span>) -> Span {
    let commit = tracing::info_span!(target: TARGET, parent: None, "commit", writes);
    if !commit.is_disabled() {
        for span in spans.filter(|span| !span.is_none()).take(LINKS_MAX) {
            commit.follows_from(span);
        }
    }
    commit
}

/// Sends over our runtime: the exporter's thread has none.
#[derive(Debug)]
struct Sender {
    client: reqwest::Client,
    runtime: Handle,
    failing: Arc<AtomicBool>,
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (client, failing) = (self.client.clone(), Arc::clone(&self.failing));
        let sent = self.runtime.spawn(async move {
            let sent = post(&client, request).await;
            let fault = match &sent {
                Ok(answer) if answer.status().is_success() => None,
                Ok(answer) => Some(format!("it answers {}", answer.status())),
                Err(error) => Some(error.to_string()),
            };
            let outcome = if fault.is_none() { "sent" } else { "failed" };
            metrics::counter!("holler_trace_messages_total", "outcome" => outcome).increment(1);
            // Told when it begins and when it is over, not every time.
            match (fault, failing.load(Ordering::Relaxed)) {
                (Some(fault), false) => tracing::warn!(fault, "traces do not reach the collector: they are dropped"),
                (None, true) => tracing::info!("traces reach the collector again"),
                (Some(_), true) | (None, false) => {}
            }
            failing.store(outcome == "failed", Ordering::Relaxed);
            sent
        });
        sent.await?
    }
}

async fn post(client: &reqwest::Client, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
    let mut answer = client.execute(request.try_into()?).await.map_err(reqwest::Error::without_url)?;
    let mut bytes = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        bytes.extend_from_slice(&chunk);
        if bytes.len() > ANSWER_BYTES_MAX {
            return Err(format!("the collector's answer is longer than {ANSWER_BYTES_MAX} bytes").into());
        }
    }
    Ok(Response::builder().status(answer.status()).body(bytes.into())?)
}
