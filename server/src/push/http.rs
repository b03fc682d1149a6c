//! Requests to push services: over TLS, without redirects and proxies, with bounded time and answers.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{HeaderMap, RETRY_AFTER};
use reqwest::{RequestBuilder, StatusCode};
use rustls::{ClientConfig, RootCertStore};
use url::Url;

use super::address::Policy;
use super::{PushError, Sent};
use crate::pki;

/// Longest time of a request, from the name to the answer's end.
const TIME_MAX: Duration = Duration::from_secs(10);
/// Longest time for a connection.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 16 * 1_024;
/// Longest wait that a service may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// What push services are trusted by: the machine's roots, and those of the settings.
pub fn tls(roots: Option<&Path>) -> Result<ClientConfig, PushError> {
    let mut trusted = RootCertStore::empty();
    trusted.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if let Some(path) = roots {
        trusted.add_parsable_certificates(pki::read_chain(path)?);
    }
    let mut tls = pki::client_of(trusted)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(tls)
}

/// Calls whom its policy allows.
#[derive(Clone)]
pub struct Client {
    client: reqwest::Client,
    policy: Policy,
}

/// An answer's status and what of its body was read.
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// How long the service asks to be left alone.
    pub retry_after: Option<Duration>,
    /// At most 16 KiB.
    pub body: Vec<u8>,
}

impl Client {
    /// A client.
    pub fn new(tls: ClientConfig, policy: Policy) -> Result<Self, PushError> {
        let client = reqwest::Client::builder()
            .no_proxy()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIME_MAX)
            .connect_timeout(CONNECT_MAX)
            .pool_max_idle_per_host(4)
            .dns_resolver(Arc::new(policy.clone()))
            .tls_backend_preconfigured(tls)
            .build()?;
        Ok(Self { client, policy })
    }

    /// Whether it would call this.
    pub fn allows(&self, url: &Url) -> bool {
        self.policy.allows(url)
    }

    /// A `POST`, to be sent with [`Client::send`].
    pub fn post(&self, url: &Url) -> Option<RequestBuilder> {
        self.allows(url).then(|| self.client.post(url.clone()))
    }

    /// Sends it.
    pub async fn send(request: RequestBuilder) -> Result<Answer, Sent> {
        let mut answer = request.send().await.map_err(|error| network(&error))?;
        let (status, retry_after) = (answer.status(), retry_after(answer.headers()));
        let mut body = Vec::new();
        while body.len() < ANSWER_BYTES_MAX
            && let Ok(Some(chunk)) = answer.chunk().await
        {
            body.extend_from_slice(&chunk[..chunk.len().min(ANSWER_BYTES_MAX - body.len())]);
        }
        Ok(Answer { status, retry_after, body })
    }
}

fn network(error: &reqwest::Error) -> Sent {
    let mut cause = std::error::Error::source(error);
    while let Some(deeper) = cause {
        if deeper.is::<super::address::NotPublic>() {
            return Sent::Refused("not-public");
        }
        cause = deeper.source();
    }
    Sent::Later(if error.is_timeout() { "timeout" } else { "network" }, None)
}

/// `Retry-After` in seconds (RFC 9110 section 10.2.3); a date is left to our own backoff.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_MAX))
}

impl Answer {
    /// What the status says where the service has no words of its own.
    pub fn usual(&self) -> Sent {
        match self.status.as_u16() {
            200..300 => Sent::Taken,
            404 | 410 => Sent::Gone,
            413 => Sent::Refused("too-large"),
            429 => Sent::Later("rate-limited", self.retry_after),
            408 | 500.. => Sent::Later("service", self.retry_after),
            401 | 403 => Sent::Refused("unauthorized"),
            _ => Sent::Refused("refused"),
        }
    }
}
