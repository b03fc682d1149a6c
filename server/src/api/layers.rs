//! What wraps every handler: the time limit, the early refusal of large bodies, security headers, metrics.

use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use holler_core::wire::limits::REST_BODY_BYTES_MAX;
use holler_core::wire::problem::{Problem, ProblemKind};

use super::problem::Told;
use super::{ProblemResponse, extract};
use crate::app::App;
use crate::traces;
use tracing::Instrument as _;

/// A request that is not answered by then is given up. Password checks that queue are the slowest.
pub(super) const TIME_MAX: Duration = Duration::from_secs(30);

/// What no browser should do with our answers. The page at `/` brings a policy of its own.
const HEADERS: &[(&str, &str)] = &[
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// Answers with a problem when the handler takes too long.
pub(super) async fn limit_time(State(longest): State<Duration>, request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    match tokio::time::timeout(longest, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let (kind, what) = if reads {
                (ProblemKind::Unavailable, "no answer in time: try again")
            } else {
                (ProblemKind::Unknown, "no answer in time: it may or may not have happened")
            };
            ProblemResponse(Problem::new(kind, what).retry_after_s(1)).into_response()
        }
    }
}

/// Refuses a body that says it is too large before it is read; one that does not say is stopped while it is read.
pub(super) async fn limit_body(request: Request, next: Next) -> Response {
    let length =
        request.headers().get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if length.is_some_and(|length| length > REST_BODY_BYTES_MAX) {
        return ProblemResponse(extract::too_large()).into_response();
    }
    next.run(request).await
}

/// Adds the security headers that the answer does not set itself.
pub(super) async fn secure(State(app): State<App>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned();
    let mut response = next.run(request).await;
    for (name, value) in HEADERS {
        response.headers_mut().entry(HeaderName::from_static(name)).or_insert(HeaderValue::from_static(value));
    }
    let policy = response.headers().get(header::CONTENT_SECURITY_POLICY).and_then(|policy| policy.to_str().ok());
    if let Some(policy) = policy.zip(app.voice.port()).and_then(|(policy, port)| allow_voice(policy, &host, port)) {
        response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    // Not for localhost: browsers would then refuse every other plain server on this machine.
    let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
    if app.config().public_names.iter().any(|public| public.eq_ignore_ascii_case(name) && public != "localhost") {
        response.headers_mut().insert(header::STRICT_TRANSPORT_SECURITY, HeaderValue::from_static("max-age=31536000"));
    }
    response
}

/// The policy of a page that talks to the server it came from, where the voice path has another port than the page: `'self'` does
/// not cover that.
fn allow_voice(policy: &str, host: &str, port: u16) -> Option<HeaderValue> {
    const SELF: &str = "connect-src 'self'";
    let (name, own) =
        host.rsplit_once(':').and_then(|(name, own)| Some((name, own.parse().ok()?))).unwrap_or((host, 443));
    // What the client says of the host goes into the policy: letters, digits and what addresses are written with, no more.
    let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-[]:".contains(&byte));
    if own == port || !plain || !policy.contains(SELF) {
        return None;
    }
    policy.replace(SELF, &format!("{SELF} https://{name}:{port}")).parse().ok()
}

/// Counts and times requests by route; never by path, which holds identifiers.
pub(super) async fn measure(request: Request, next: Next) -> Response {
    let route =
        request.extensions().get::<MatchedPath>().map_or_else(|| "none".to_owned(), |path| path.as_str().to_owned());
    let method = match *request.method() {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        _ => "other",
    };
    let began = Instant::now();
    let span = traces::request(method, &route);
    let response = next.run(request).instrument(span.clone()).await;
    let took = began.elapsed();
    let status = response.status().as_u16();
    span.record("http.response.status_code", status);
    let problem = response.extensions().get::<Told>().map(|told| told.0.clone());
    tracing::debug!(method, route, status, problem, took_ms = took.as_millis(), "request");
    metrics::counter!("holler_requests_total", "method" => method, "route" => route.clone(), "status" => status.to_string())
        .increment(1);
    metrics::histogram!("holler_request_seconds", "method" => method, "route" => route).record(took.as_secs_f64());
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_may_reach_its_voice_path_and_nothing_else() {
        let policy = "default-src 'none'; connect-src 'self'; base-uri 'none'";
        let allowed =
            |host: &str, port| allow_voice(policy, host, port).map(|policy| policy.to_str().unwrap().to_owned());
        for (host, port, more) in [
            ("radio.example", 8443, "https://radio.example:8443"),
            ("radio.example:443", 8443, "https://radio.example:8443"),
            ("[::1]:8443", 8444, "https://[::1]:8444"),
        ] {
            let expected = format!("default-src 'none'; connect-src 'self' {more}; base-uri 'none'");
            assert_eq!(allowed(host, port), Some(expected), "{host}");
        }
        assert_eq!(allowed("radio.example", 443), None, "covered by 'self'");
        assert_eq!(allowed("radio.example:8443", 8443), None, "covered by 'self'");
        for host in ["", "evil.example; script-src *", "a b", "a*"] {
            assert_eq!(allowed(host, 8443), None, "{host:?}");
        }
        assert_eq!(allow_voice("default-src 'none'", "radio.example", 8443), None, "a page that connects to nothing");
    }
}
