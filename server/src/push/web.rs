//! Web Push (RFC 8030): a message to the push service of a browser.

use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use holler_core::wire::problem::{Problem, ProblemKind};
use reqwest::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use url::Url;

use super::Sent;
use super::content::WebNotice;
use super::encryption::{Receiver, encrypt};
use super::http::Client;
use super::vapid::VapidKey;
use crate::storage::accounts::Notice;
use crate::storage::push::Subject;

/// Sends Web Push messages.
pub struct WebPush {
    client: Client,
    key: VapidKey,
    contact: String,
}

impl WebPush {
    /// With this key, which subscriptions are bound to.
    pub fn new(client: Client, key: VapidKey, contact: String) -> Self {
        Self { client, key, contact }
    }

    /// Refuses a subscription that could never be told.
    pub fn check(&self, endpoint: &str, p256dh: &str, auth: &str) -> Result<(), Problem> {
        let refuse =
            |field: &'static str, detail: &str| Err(Problem::new(ProblemKind::OutOfBounds, detail).field(field));
        match Url::parse(endpoint) {
            Ok(url) if self.client.allows(&url) => {}
            Ok(_) | Err(_) => {
                return refuse(
                    "endpoint",
                    "expected an https URL at a public address; see push.private_hosts for own services",
                );
            }
        }
        let Some(receiver) = receiver(p256dh, auth) else {
            return refuse("p256dh", "expected base64url of 65 bytes, and of 16 bytes in auth");
        };
        match encrypt(&receiver, b"", [0; 16]) {
            Ok(_) => Ok(()),
            Err(_) => refuse("p256dh", "expected a point of the curve P-256"),
        }
    }

    /// Tries once.
    pub async fn send(&self, endpoint: &str, p256dh: &str, auth: &str, notice: &Notice, now: Duration) -> Sent {
        let (Ok(url), Some(receiver)) = (Url::parse(endpoint), receiver(p256dh, auth)) else {
            return Sent::Refused("malformed");
        };
        let mut salt = [0; 16];
        let Ok(text) = serde_json::to_vec(&WebNotice::of(notice)) else { return Sent::Refused("malformed") };
        if getrandom::fill(&mut salt).is_err() {
            return Sent::Later("random", None);
        }
        let Ok(body) = encrypt(&receiver, &text, salt) else { return Sent::Refused("malformed") };
        // RFC 8292 section 2: the audience is the origin of the endpoint.
        let authorization = self.key.authorization(&url.origin().ascii_serialization(), &self.contact, now);
        let (Some(authorization), Some(request)) = (authorization, self.client.post(&url)) else {
            return Sent::Refused("not-public");
        };
        // RFC 8030: sections 5.2 (TTL), 5.3 (urgency), 5.4 (topic: at most 32 characters of base64url).
        let life = Duration::from_millis(notice.entry.expires_at.0).saturating_sub(now).as_secs();
        let request = request
            .header(AUTHORIZATION, authorization)
            .header(CONTENT_ENCODING, "aes128gcm")
            .header(CONTENT_TYPE, "application/octet-stream")
            .header("TTL", life.to_string())
            .header("Urgency", urgency(notice.entry.subject))
            .header("Topic", BASE64.encode(notice.topic))
            .body(body);
        match Client::send(request).await {
            Ok(answer) => answer.usual(),
            Err(sent) => sent,
        }
    }
}

const fn urgency(subject: Subject) -> &'static str {
    match subject {
        Subject::Emergency | Subject::Call => "high",
        Subject::News => "normal",
    }
}

fn receiver(p256dh: &str, auth: &str) -> Option<Receiver> {
    let public = BASE64.decode(p256dh).ok()?.try_into().ok()?;
    Some(Receiver { public, auth: BASE64.decode(auth).ok()?.try_into().ok()? })
}
