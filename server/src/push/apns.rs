//! The Apple Push Notification service: HTTP/2 with a provider token.
//!
//! The service reads what it carries: it gets identifiers, numbers and the name of a sentence that the app has in its language.

use std::path::PathBuf;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;
use zeroize::Zeroizing;

use super::http::{Answer, Client};
use super::{PushError, Sent};
use crate::storage::accounts::Notice;
use crate::storage::push::Subject;

const PRODUCTION: &str = "https://api.push.apple.com";
const DEVELOPMENT: &str = "https://api.sandbox.push.apple.com";
/// How long a provider token is used: the service wants a new one after 20 to 60 minutes.
const TOKEN_LIFE: Duration = Duration::from_secs(40 * 60);

/// How the server is known to the service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApnsSettings {
    /// The signing key (.p8).
    pub key: PathBuf,
    /// Its identifier.
    pub key_id: String,
    /// The team's identifier.
    pub team: String,
    /// The apps' bundle identifiers.
    pub topics: Vec<String>,
    /// Apps under development use another service.
    pub development: bool,
}

/// Sends with the Apple Push Notification service.
pub struct Apns {
    client: Client,
    settings: ApnsSettings,
    key: EncodingKey,
    service: Url,
    /// The provider token, and until when it is used, since 1970.
    token: Mutex<Option<(Zeroizing<String>, Duration)>>,
}

impl Apns {
    /// Reads the key.
    pub fn open(settings: &ApnsSettings, client: Client) -> Result<Self, PushError> {
        Self::at(if settings.development { DEVELOPMENT } else { PRODUCTION }, settings, client)
    }

    /// The same with a service elsewhere.
    pub(super) fn at(service: &str, settings: &ApnsSettings, client: Client) -> Result<Self, PushError> {
        let fault = |reason: String| PushError::File { setting: "push.apns_key", path: settings.key.clone(), reason };
        let pem = Zeroizing::new(std::fs::read(&settings.key).map_err(|error| fault(error.to_string()))?);
        let key = EncodingKey::from_ec_pem(&pem)
            .map_err(|error| fault(format!("expected the .p8 file of an authentication key: {error}")))?;
        let service = Url::parse(service).map_err(|error| fault(error.to_string()))?;
        Ok(Self { client, settings: settings.clone(), key, service, token: Mutex::new(None) })
    }

    /// Whether it is set up for this app.
    pub fn serves(&self, topic: &str) -> bool {
        self.settings.topics.iter().any(|known| known == topic)
    }

    /// Tries once.
    pub async fn send(&self, device: &str, topic: &str, notice: &Notice, now: Duration) -> Sent {
        let Some(token) = self.provider_token(now).await else { return Sent::Refused("provider-token") };
        let url = self.service.join(&format!("/3/device/{device}"));
        let Some(request) = url.ok().and_then(|url| self.client.post(&url)) else { return Sent::Refused("malformed") };
        let urgent = match notice.entry.subject {
            Subject::Emergency | Subject::Call => true,
            Subject::News => false,
        };
        let request = request
            .version(reqwest::Version::HTTP_2)
            .header(AUTHORIZATION, format!("bearer {}", token.as_str()))
            .header(CONTENT_TYPE, "application/json")
            .header("apns-topic", topic)
            .header("apns-push-type", "alert")
            .header("apns-priority", if urgent { "10" } else { "5" })
            .header("apns-expiration", (notice.entry.expires_at.0 / 1_000).to_string())
            .header("apns-collapse-id", BASE64.encode(notice.topic))
            .body(payload(notice, urgent).to_string());
        let answer = match Client::send(request).await {
            Ok(answer) => answer,
            Err(sent) => return sent,
        };
        let sent = judge(&answer);
        if sent == Sent::Later("provider-token", None) {
            self.token.lock().await.take();
        }
        sent
    }

    async fn provider_token(&self, now: Duration) -> Option<Zeroizing<String>> {
        let mut kept = self.token.lock().await;
        if let Some((token, until)) = &*kept
            && now < *until
        {
            return Some(token.clone());
        }
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.settings.key_id.clone());
        let claims = json!({"iss": self.settings.team, "iat": now.as_secs()});
        let token = Zeroizing::new(jsonwebtoken::encode(&header, &claims, &self.key).ok()?);
        let (token, _) = kept.insert((token, now + TOKEN_LIFE));
        Some(token.clone())
    }
}

fn payload(notice: &Notice, urgent: bool) -> Value {
    json!({
        "aps": {
            // The app has the sentence; its extension may put in names, which it knows and the service does not.
            "alert": {"loc-key": format!("push-{}", notice.kind)},
            "sound": "default",
            "mutable-content": 1,
            "thread-id": BASE64.encode(notice.topic),
            "interruption-level": if urgent { "time-sensitive" } else { "active" },
        },
        "kind": notice.kind,
        "room": notice.entry.room,
        "seq": notice.entry.seq,
        "events": notice.entry.events,
        "at": notice.at,
    })
}

fn judge(answer: &Answer) -> Sent {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match (answer.status.as_u16(), body["reason"].as_str()) {
        (410, _) | (400, Some("BadDeviceToken" | "DeviceTokenNotForTopic")) => Sent::Gone,
        (403, Some("ExpiredProviderToken" | "InvalidProviderToken")) => Sent::Later("provider-token", None),
        (404, _) => Sent::Refused("refused"),
        _ => answer.usual(),
    }
}
