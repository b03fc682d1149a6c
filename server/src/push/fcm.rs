//! Firebase Cloud Messaging, HTTP v1: a data message, from which the app makes the notification itself.
//!
//! The service reads what it carries: it gets identifiers and numbers, no names and no text.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::Mutex;
use url::Url;
use zeroize::Zeroizing;

use super::http::{Answer, Client};
use super::{PushError, Sent};
use crate::storage::accounts::Notice;
use crate::storage::push::Subject;

/// Where messages go.
const SERVICE: &str = "https://fcm.googleapis.com";
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";
/// How long an assertion is good: the most that is taken is an hour.
const ASSERTION_LIFE: Duration = Duration::from_secs(1_800);
/// An access token is renewed this long before it ends.
const RENEW_BEFORE: Duration = Duration::from_secs(120);

/// What a service account's file has that is needed here.
#[derive(Deserialize)]
struct Account {
    project_id: String,
    private_key_id: Option<String>,
    private_key: String,
    client_email: String,
    token_uri: String,
}

/// Sends with Firebase Cloud Messaging.
pub struct Fcm {
    client: Client,
    account: Account,
    key: EncodingKey,
    token_uri: Url,
    send: Url,
    /// The access token, and until when it is used, since 1970.
    token: Mutex<Option<(Zeroizing<String>, Duration)>>,
}

impl Fcm {
    /// Reads a service account.
    pub fn open(path: &Path, client: Client) -> Result<Self, PushError> {
        Self::at(SERVICE, path, client)
    }

    /// The same with a service elsewhere.
    pub(super) fn at(service: &str, path: &Path, client: Client) -> Result<Self, PushError> {
        let fault = |reason: String| PushError::File { setting: "push.fcm_account", path: path.to_owned(), reason };
        let text = Zeroizing::new(std::fs::read(path).map_err(|error| fault(error.to_string()))?);
        let expected =
            |what: String| fault(format!("expected a service account's JSON from the Firebase console: {what}"));
        let mut account: Account = serde_json::from_slice(&text).map_err(|error| expected(error.to_string()))?;
        let key =
            EncodingKey::from_rsa_pem(account.private_key.as_bytes()).map_err(|error| expected(error.to_string()))?;
        zeroize::Zeroize::zeroize(&mut account.private_key);
        let token_uri = Url::parse(&account.token_uri).map_err(|error| expected(format!("token_uri: {error}")))?;
        let send = Url::parse(&format!("{service}/v1/projects/{}/messages:send", account.project_id))
            .map_err(|error| expected(format!("project_id: {error}")))?;
        Ok(Self { client, account, key, token_uri, send, token: Mutex::new(None) })
    }

    /// Tries once.
    pub async fn send(&self, token: &str, notice: &Notice, now: Duration) -> Sent {
        let access = match self.access_token(now).await {
            Ok(access) => access,
            Err(sent) => return sent,
        };
        let body = message(token, notice, now).to_string();
        let Some(request) = self.client.post(&self.send) else { return Sent::Refused("malformed") };
        let request = request.bearer_auth(access.as_str()).header(CONTENT_TYPE, "application/json").body(body);
        let answer = match Client::send(request).await {
            Ok(answer) => answer,
            Err(sent) => return sent,
        };
        if answer.status.as_u16() == 401 {
            // It was taken back before its time.
            self.token.lock().await.take();
            return Sent::Later("unauthorized", answer.retry_after);
        }
        judge(&answer)
    }

    /// An access token, by a signed assertion (RFC 7523 section 2.1).
    async fn access_token(&self, now: Duration) -> Result<Zeroizing<String>, Sent> {
        #[derive(Deserialize)]
        struct Granted {
            access_token: String,
            expires_in: u64,
        }
        let mut kept = self.token.lock().await;
        if let Some((token, until)) = &*kept
            && now < *until
        {
            return Ok(token.clone());
        }
        let mut header = Header::new(Algorithm::RS256);
        header.kid.clone_from(&self.account.private_key_id);
        let claims = json!({
            "iss": self.account.client_email,
            "scope": SCOPE,
            "aud": self.account.token_uri,
            "iat": now.as_secs(),
            "exp": (now + ASSERTION_LIFE).as_secs(),
        });
        let assertion =
            jsonwebtoken::encode(&header, &claims, &self.key).map_err(|_| Sent::Refused("service-account"))?;
        let request = self.client.post(&self.token_uri).ok_or(Sent::Refused("service-account"))?;
        // Both values are of letters that a form takes as they are, but for the colons.
        let form = format!("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}");
        let request = request.header(CONTENT_TYPE, "application/x-www-form-urlencoded").body(form);
        let answer = Client::send(request).await?;
        if !answer.status.is_success() {
            // A wrong account is the operator's to mend; what waits is worth trying until then.
            return Err(match answer.usual() {
                later @ Sent::Later(..) => later,
                Sent::Taken | Sent::Gone | Sent::Refused(_) => Sent::Later("service-account", None),
            });
        }
        let granted: Granted =
            serde_json::from_slice(&answer.body).map_err(|_| Sent::Later("service-account", None))?;
        let life = Duration::from_secs(granted.expires_in).saturating_sub(RENEW_BEFORE);
        let (token, _) = kept.insert((Zeroizing::new(granted.access_token), now + life));
        Ok(token.clone())
    }
}

fn message(token: &str, notice: &Notice, now: Duration) -> Value {
    let life = Duration::from_millis(notice.entry.expires_at.0).saturating_sub(now).as_secs();
    let priority = match notice.entry.subject {
        Subject::Emergency | Subject::Call => "high",
        Subject::News => "normal",
    };
    json!({"message": {
        "token": token,
        // Every value is a text: the service takes no others.
        "data": {
            "kind": notice.kind,
            "room": notice.entry.room.to_string(),
            "seq": notice.entry.seq.to_string(),
            "events": notice.entry.events.to_string(),
            "at": notice.at.0.to_string(),
        },
        "android": {"priority": priority, "ttl": format!("{life}s"), "collapse_key": BASE64.encode(notice.topic)},
    }})
}

fn judge(answer: &Answer) -> Sent {
    let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let code =
        body["error"]["details"].as_array().into_iter().flatten().find_map(|detail| detail["errorCode"].as_str());
    match (answer.status.as_u16(), code) {
        (_, Some("UNREGISTERED" | "SENDER_ID_MISMATCH")) => Sent::Gone,
        // A 404 without that word is about the project, not about the device.
        (404, _) => Sent::Refused("project"),
        _ => answer.usual(),
    }
}
