//! The table of every setting: what it is called, how it is written, what it is for, and what it is when nobody sets it.

use std::net::SocketAddr;
use std::path::Path;

use toml::Value;

use super::{Config, LogFormat};

/// How a setting is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A text that is not empty.
    Text,
    /// In the environment: separated by commas.
    List,
    /// A whole number of seconds between the two.
    Seconds(u32, u32),
    /// A whole number between the two.
    Number(u32, u32),
    /// `true` or `false`.
    Switch,
}

/// One setting.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting {
    pub(super) section: &'static str,
    pub(super) key: &'static str,
    pub(super) kind: Kind,
    /// What it is for, in lines.
    pub(super) about: &'static str,
    /// A value as it could stand in the file: the default where there is one.
    pub(super) example: &'static str,
    /// What it is called in the settings of earlier versions, which is still understood.
    pub(super) formerly: Option<(&'static str, &'static str)>,
    /// Whether it may be given through a file of its own, and is never shown.
    pub(super) secret: bool,
    /// Whether a running server takes a new value when it gets HUP.
    pub(super) reload: bool,
    /// What it is in effect; `None`: not set, and nothing stands in.
    pub(super) effective: fn(&Config) -> Option<Value>,
}

impl Setting {
    /// `section.key`
    pub(super) fn name(&self) -> String {
        format!("{}.{}", self.section, self.key)
    }
}

/// What most settings have in common.
const fn setting(
    section: &'static str,
    key: &'static str,
    kind: Kind,
    example: &'static str,
    about: &'static str,
    effective: fn(&Config) -> Option<Value>,
) -> Setting {
    Setting { section, key, kind, about, example, formerly: None, secret: false, reload: false, effective }
}

const fn reloadable(setting: Setting) -> Setting {
    Setting { reload: true, ..setting }
}

/// Every setting, in the order in which they are shown.
pub(super) static SETTINGS: &[Setting] = &[
    setting(
        "server",
        "listen",
        Kind::List,
        r#"["127.0.0.1:8443", "[::1]:8443"]"#,
        "Addresses for HTTPS and the socket. [::]:443 and 0.0.0.0:443 together take every address of the machine.",
        |config| Some(addresses(&config.listen)),
    ),
    reloadable(setting(
        "server",
        "public_names",
        Kind::List,
        "[]",
        "DNS names and IP addresses that clients reach the server by, beside localhost; the first is the one it calls itself.",
        |config| Some(list(&config.public_names)),
    )),
    setting("server", "data", Kind::Text, r#""data""#, "The data folder.", |config| {
        Some(config.data.to_string_lossy().into_owned().into())
    }),
    setting(
        "server",
        "keys",
        Kind::Text,
        r#""/var/lib/holler/keys""#,
        "The folder with key ring, local CA and server key, outside the data folder.\n\
         When not set: $XDG_CONFIG_HOME/holler/hollerd, that is ~/.config/holler/hollerd.",
        |config| Some(config.keys.to_string_lossy().into_owned().into()),
    ),
    setting(
        "server",
        "connections_max",
        Kind::Number(1, 1_000_000),
        "16000",
        "Connections at once, of all kinds; further ones wait. Each takes a file descriptor.",
        |config| Some(integer(config.connections_max)),
    ),
    setting(
        "voice",
        "udp",
        Kind::Switch,
        "true",
        "Whether live voice also travels as datagrams, which play through loss where the socket waits. The firewall must pass UDP.\n\
         Where UDP does not get through, the socket carries the voice.",
        |config| Some(config.udp.into()),
    ),
    setting(
        "voice",
        "udp_port",
        Kind::Number(1, 65_535),
        "8443",
        "The UDP port, on every address of server.listen. When not set: the same number as the first of server.listen.",
        |config| config.udp_port.map(integer),
    ),
    reloadable(setting(
        "storage",
        "free_min_mib",
        Kind::Number(0, 100_000_000),
        "64",
        "MiB that must be free on the data folder's disk; below, events and frames are refused until there is room again.",
        |config| Some(integer(config.free_min_mib as usize)),
    )),
    reloadable(setting(
        "tls",
        "certificate",
        Kind::Text,
        r#""/etc/holler/fullchain.pem""#,
        "An own certificate chain (PEM, the server's first). When not set: the local CA makes one.",
        |config| config.tls.as_ref().map(|own| own.certificate.to_string_lossy().into_owned().into()),
    )),
    reloadable(setting(
        "tls",
        "key",
        Kind::Text,
        r#""/etc/holler/privkey.pem""#,
        "The key of the own certificate (PEM). Set both or neither.",
        |config| config.tls.as_ref().map(|own| own.key.to_string_lossy().into_owned().into()),
    )),
    Setting {
        formerly: Some(("metrics", "listen")),
        ..setting(
            "private",
            "listen",
            Kind::Text,
            r#""127.0.0.1:9464""#,
            "Address of the private listener: /healthz, /readyz and /metrics over plain HTTP, for whoever watches the server.\n\
             Nobody else should reach it. \"off\": none.",
            |config| Some(config.private.map_or_else(|| "off".to_owned(), |address| address.to_string()).into()),
        )
    },
    setting(
        "log",
        "format",
        Kind::Text,
        r#""auto""#,
        "How log lines look: text for people, json for machines, auto: text on a terminal and json otherwise.",
        |config| {
            Some(Value::from(match config.log_format {
                LogFormat::Auto => "auto",
                LogFormat::Text => "text",
                LogFormat::Json => "json",
            }))
        },
    ),
    reloadable(setting(
        "log",
        "filter",
        Kind::Text,
        r#""info""#,
        "What is logged: error, warn, info, debug, trace, also by part, such as holler_server::gateway=debug,info.",
        |config| Some(config.log_filter.clone().into()),
    )),
    setting(
        "tokens",
        "access_s",
        Kind::Seconds(60, 3_600),
        "600",
        "How long an access token is valid, in seconds.",
        |config| Some(integer(config.access_lifetime.as_secs())),
    ),
    setting(
        "tokens",
        "refresh_s",
        Kind::Seconds(3_600, 366 * 86_400),
        "2592000",
        "How long a sign-in lasts that is not refreshed, in seconds.",
        |config| Some(integer(config.refresh_lifetime.as_secs())),
    ),
    reloadable(setting(
        "limits",
        "login_attempts",
        Kind::Number(1, 1_000),
        "10",
        "Attempts to sign in with one login: this many at once, then one in login_interval_s seconds. A right password takes none.",
        |config| Some(integer(config.limits.login.burst)),
    )),
    reloadable(setting("limits", "login_interval_s", Kind::Seconds(1, 3_600), "20", "See login_attempts.", |config| {
        Some(integer(config.limits.login.interval.as_secs()))
    })),
    reloadable(setting(
        "limits",
        "address_attempts",
        Kind::Number(1, 100_000),
        "60",
        "Attempts to sign in from one address (IPv6: one /64): this many at once, then one in address_interval_s seconds.\n\
         A whole site may share an address.",
        |config| Some(integer(config.limits.address.burst)),
    )),
    reloadable(setting(
        "limits",
        "address_interval_s",
        Kind::Seconds(1, 3_600),
        "1",
        "See address_attempts.",
        |config| Some(integer(config.limits.address.interval.as_secs())),
    )),
    reloadable(setting(
        "limits",
        "device_requests",
        Kind::Number(60, 1_000_000),
        "1200",
        "Requests in a minute from one device.",
        |config| Some(integer(config.requests.device)),
    )),
    reloadable(setting(
        "limits",
        "address_requests",
        Kind::Number(60, 1_000_000),
        "1200",
        "Requests in a minute without a good token, from one address (IPv6: one /64). A whole site may share an address.",
        |config| Some(integer(config.requests.address)),
    )),
    setting(
        "traces",
        "endpoint",
        Kind::Text,
        r#""off""#,
        "Where OpenTelemetry traces of requests, sends and commits go: an OTLP collector over HTTP with protobuf,\n\
         such as http://127.0.0.1:4318/v1/traces. \"off\": nothing is traced.",
        |config| Some(config.traces.as_ref().map_or("off", |traces| traces.endpoint.as_str()).into()),
    ),
    Setting {
        secret: true,
        ..setting(
            "traces",
            "headers",
            Kind::Text,
            r#""authorization=Bearer TOKEN""#,
            "Headers for the collector: name=value, separated by commas.",
            |config| {
                let headers = &config.traces.as_ref()?.headers;
                let pairs = headers.iter().map(|(name, value)| format!("{name}={}", value.as_str()));
                (!headers.is_empty()).then(|| pairs.collect::<Vec<_>>().join(",").into())
            },
        )
    },
    setting(
        "traces",
        "percent",
        Kind::Number(1, 100),
        "100",
        "How many of a hundred requests and sends are traced.",
        |config| Some(integer(config.traces.as_ref().map_or(100, |traces| traces.percent))),
    ),
    setting(
        "push",
        "contact",
        Kind::Text,
        r#""mailto:radio@example.org""#,
        "Whom a push service may write to about this server: mailto: or https://. When not set: the server's own URL.",
        |config| config.push.contact.clone().map(Value::from),
    ),
    setting(
        "push",
        "private_hosts",
        Kind::List,
        "[]",
        "Hosts of own Web Push services. Others are called at public addresses only: their names come from clients.",
        |config| Some(list(&config.push.private_hosts)),
    ),
    setting(
        "push",
        "roots",
        Kind::Text,
        r#""/etc/holler/push-roots.pem""#,
        "Certificates (PEM) that push services may also be vouched for by, beside those of the machine.",
        |config| path(config.push.roots.as_deref()),
    ),
    setting(
        "push",
        "fcm_account",
        Kind::Text,
        r#""/etc/holler/firebase.json""#,
        "A service account of Firebase Cloud Messaging (JSON), for Android apps. When not set: none are told.",
        |config| path(config.push.fcm_account.as_deref()),
    ),
    setting(
        "push",
        "apns_key",
        Kind::Text,
        r#""/etc/holler/AuthKey.p8""#,
        "An authentication key of the Apple Push Notification service (.p8), for iOS apps. When not set: none are told.",
        |config| path(config.push.apns.as_ref().map(|apns| apns.key.as_path())),
    ),
    setting("push", "apns_key_id", Kind::Text, r#""ABC123DEFG""#, "The identifier of that key.", |config| {
        config.push.apns.as_ref().map(|apns| apns.key_id.clone().into())
    }),
    setting("push", "apns_team", Kind::Text, r#""DEF123GHIJ""#, "The identifier of the developer team.", |config| {
        config.push.apns.as_ref().map(|apns| apns.team.clone().into())
    }),
    setting(
        "push",
        "apns_topics",
        Kind::List,
        r#"["org.example.holler"]"#,
        "Bundle identifiers of the apps.",
        |config| config.push.apns.as_ref().map(|apns| list(&apns.topics)),
    ),
    setting(
        "push",
        "apns_service",
        Kind::Text,
        r#""production""#,
        "Which of Apple's services: production, or development for apps that are not from the store.",
        |config| {
            let development = config.push.apns.as_ref().is_some_and(|apns| apns.development);
            Some(if development { "development" } else { "production" }.into())
        },
    ),
];

/// The setting with this name, also where it is an earlier one.
pub(super) fn find(section: &str, key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| {
        setting.section == section && setting.key == key || setting.formerly.is_some_and(|name| name == (section, key))
    })
}

/// The setting whose name is the most like `name`, which is none; `None`: it is like none of them.
pub(super) fn like(name: &str) -> Option<String> {
    let key = name.rsplit_once('.').map_or(name, |(_, key)| key);
    if let Some(elsewhere) = SETTINGS.iter().find(|setting| setting.key == key) {
        return Some(elsewhere.name());
    }
    let near = |known: &str| strsim::damerau_levenshtein(name, known);
    let names = SETTINGS.iter().map(Setting::name).chain(sections().map(str::to_owned));
    let best = names.min_by_key(|known| near(known))?;
    // A typing mistake or two; more is another word.
    (near(&best) <= 3 && near(&best) * 2 < name.len()).then_some(best)
}

/// Every section once, in order.
pub(super) fn sections() -> impl Iterator<Item = &'static str> {
    let mut last = "";
    SETTINGS
        .iter()
        .map(|setting| setting.section)
        .filter(move |section| *section != std::mem::replace(&mut last, section))
}

fn integer(number: impl TryInto<i64>) -> Value {
    Value::Integer(number.try_into().unwrap_or(i64::MAX))
}

fn list(texts: &[String]) -> Value {
    Value::Array(texts.iter().map(|text| Value::from(text.as_str())).collect())
}

fn path(path: Option<&Path>) -> Option<Value> {
    path.map(|path| path.to_string_lossy().into_owned().into())
}

fn addresses(addresses: &[SocketAddr]) -> Value {
    Value::Array(addresses.iter().map(|address| Value::from(address.to_string())).collect())
}
