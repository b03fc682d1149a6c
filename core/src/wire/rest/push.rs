//! The bodies of `/push`: where a device is told of what it missed, and of what.

use serde::{Deserialize, Serialize};

use crate::units::UnixMs;
use crate::wire::limits::{
    PUSH_APNS_TOKEN_CHARS, PUSH_APNS_TOPIC_CHARS_MAX, PUSH_ENDPOINT_CHARS_MAX, PUSH_FCM_TOKEN_CHARS_MAX,
};
use crate::wire::problem::{Problem, ProblemKind};

/// A kind of push service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
pub enum PushKind {
    /// Web Push (RFC 8030), of browsers.
    Web,
    /// Firebase Cloud Messaging, HTTP v1.
    Fcm,
    /// The Apple Push Notification service.
    Apns,
}

impl PushKind {
    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Web => "web",
            Self::Fcm => "fcm",
            Self::Apns => "apns",
        }
    }
}

/// `PUT /push/subscription`: where this device is told.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum PushTarget {
    /// A browser's `PushSubscription`, made with the `vapid_public_key` of `GET /push`.
    Web {
        /// Its `endpoint`: `https`, at most 1,024 characters, at a public address.
        #[cfg_attr(feature = "schema", schema(max_length = 1024))]
        endpoint: String,
        /// Its `p256dh` key: an uncompressed point of P-256, 65 bytes as base64url without padding.
        #[cfg_attr(feature = "schema", schema(min_length = 87, max_length = 87))]
        p256dh: String,
        /// Its `auth` secret: 16 bytes as base64url without padding.
        #[cfg_attr(feature = "schema", schema(min_length = 22, max_length = 22))]
        auth: String,
    },
    /// An app's registration with Firebase Cloud Messaging.
    Fcm {
        /// The registration token: at most 4,096 of `A-Z a-z 0-9 _ - :`.
        #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 4096))]
        token: String,
    },
    /// An app's registration with the Apple Push Notification service.
    Apns {
        /// The device token: 64 to 200 hexadecimal digits.
        #[cfg_attr(feature = "schema", schema(min_length = 64, max_length = 200))]
        token: String,
        /// The app's bundle identifier: one that the server is set up for.
        #[cfg_attr(feature = "schema", schema(min_length = 1, max_length = 128))]
        topic: String,
    },
}

// What it holds lets anybody disturb the device: no log shows it.
impl core::fmt::Debug for PushTarget {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "PushTarget({})", self.kind().as_str())
    }
}

impl PushTarget {
    /// Which service it is of.
    pub const fn kind(&self) -> PushKind {
        match self {
            Self::Web { .. } => PushKind::Web,
            Self::Fcm { .. } => PushKind::Fcm,
            Self::Apns { .. } => PushKind::Apns,
        }
    }

    /// Checks lengths and letters; whether the endpoint may be called is the server's to check.
    pub fn check(&self) -> Result<(), Problem> {
        let refuse = |field: &'static str, expected: String| {
            Err(Problem::new(ProblemKind::OutOfBounds, format!("expected {expected}")).field(field))
        };
        let url_safe = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
        match self {
            Self::Web { endpoint, .. }
                if !endpoint.starts_with("https://")
                    || endpoint.len() > PUSH_ENDPOINT_CHARS_MAX
                    || !endpoint.bytes().all(|b| b.is_ascii_graphic()) =>
            {
                refuse("endpoint", format!("https:// and at most {PUSH_ENDPOINT_CHARS_MAX} characters of a URL"))
            }
            Self::Web { p256dh, .. } if p256dh.len() != 87 || !url_safe(p256dh) => {
                refuse("p256dh", "87 characters of base64url: 65 bytes".into())
            }
            Self::Web { auth, .. } if auth.len() != 22 || !url_safe(auth) => {
                refuse("auth", "22 characters of base64url: 16 bytes".into())
            }
            Self::Fcm { token }
                if token.is_empty()
                    || token.len() > PUSH_FCM_TOKEN_CHARS_MAX
                    || !token.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_:".contains(&b)) =>
            {
                refuse("token", format!("1 to {PUSH_FCM_TOKEN_CHARS_MAX} of A-Z a-z 0-9 _ - :"))
            }
            Self::Apns { token, .. }
                if !PUSH_APNS_TOKEN_CHARS.contains(&token.len()) || !token.bytes().all(|b| b.is_ascii_hexdigit()) =>
            {
                let (from, to) = (PUSH_APNS_TOKEN_CHARS.start(), PUSH_APNS_TOKEN_CHARS.end());
                refuse("token", format!("{from} to {to} hexadecimal digits"))
            }
            Self::Apns { topic, .. }
                if topic.is_empty()
                    || topic.len() > PUSH_APNS_TOPIC_CHARS_MAX
                    || !topic.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.".contains(&b)) =>
            {
                refuse("topic", format!("1 to {PUSH_APNS_TOPIC_CHARS_MAX} of A-Z a-z 0-9 - ."))
            }
            Self::Web { .. } | Self::Fcm { .. } | Self::Apns { .. } => Ok(()),
        }
    }
}

bodies! {
    /// `GET /push`: what the server can do.
    pub struct PushOffer {
        /// The services that this server is set up for.
        kinds: Vec<PushKind>,
        /// For a browser's `applicationServerKey` (RFC 8292 section 3.2): 65 bytes as base64url without padding.
        vapid_public_key: String,
    }

    /// `GET /push/subscription`, and the answer to `PUT`.
    pub struct PushSubscription {
        /// Which service.
        kind: PushKind,
        /// When it was made; sent again unchanged, it stays the same.
        made_at: UnixMs,
        /// Notifications that wait for it.
        waiting: u32,
    }
}

/// `GET` and `PUT /push/rules`: of what a user is told while their devices are not connected. What a request leaves out gets its
/// default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(default, deny_unknown_fields)]
#[expect(clippy::struct_excessive_bools, reason = "five switches, as people see them")]
pub struct PushRules {
    /// Emergencies in any room; on by default.
    pub emergencies: bool,
    /// Texts and bursts in direct rooms; on by default.
    pub direct: bool,
    /// Texts with `@` and one's name or login, and answers to one's own texts; on by default.
    pub mentions: bool,
    /// Bursts in groups and channels; on by default.
    pub bursts: bool,
    /// Every text in groups and channels; off by default.
    pub messages: bool,
}

impl Default for PushRules {
    fn default() -> Self {
        Self { emergencies: true, direct: true, mentions: true, bursts: true, messages: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_names_its_field() {
        let web = |endpoint: &str, p256dh: usize, auth: usize| PushTarget::Web {
            endpoint: endpoint.into(),
            p256dh: "a".repeat(p256dh),
            auth: "b".repeat(auth),
        };
        let apns = |token: usize, topic: &str| PushTarget::Apns { token: "0".repeat(token), topic: topic.into() };
        web("https://push.example.org/x", 87, 22).check().unwrap();
        PushTarget::Fcm { token: "a:b-c_D".into() }.check().unwrap();
        apns(64, "org.example.app").check().unwrap();
        for (field, wrong) in [
            ("endpoint", web("http://push.example.org/x", 87, 22)),
            ("endpoint", web(&format!("https://{}", "x".repeat(1_024)), 87, 22)),
            ("endpoint", web("https://push.example.org/ x", 87, 22)),
            ("p256dh", web("https://push.example.org/x", 86, 22)),
            ("auth", web("https://push.example.org/x", 87, 23)),
            ("token", PushTarget::Fcm { token: "a b".into() }),
            ("token", PushTarget::Fcm { token: String::new() }),
            ("token", apns(63, "org.example.app")),
            ("topic", apns(64, "org/example")),
        ] {
            assert_eq!(wrong.check().unwrap_err().field.as_deref(), Some(field), "{field}");
        }
    }
}
